"""O otimizador: Muon nas matrizes, AdamW no resto, e as matrizes do SSM mais devagar.

Muon ortogonaliza o momento de cada matriz antes de aplicá-lo: todas as direções andam o mesmo
tanto, e as raras também aprendem. A ortogonalização é a iteração de Newton-Schulz de grau 5, aqui
em fp32 e em lote (matrizes da mesma forma juntas): em CPUs sem bf16 nativo, ``torch.optim.Muon``,
que usa bf16, é muito mais lento; nas que o têm, é mais rápido (docs/LOG.md).

Fontes: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024);
Loshchilov & Hutter, "Decoupled Weight Decay Regularization" (2019).
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from src.utils.errors import LunaError

#: Matrizes da recorrência: um passo grande nelas muda a memória de toda a sequência.
SLOW_SUFFIXES = (".ssm.A", ".ssm.B")
#: Matrizes que não são transformações entre camadas: tabelas, roteadores e redes geradoras.
ADAMW_PARTS = (
    ".lora_",
    ".wte.",
    ".wpe.",
    "lm_head.",
    ".router.",
    ".emotion_bias.",
    ".hyper.",
    ".context.",
)
KINDS = ("matrix", "table", "vector", "slow", "head")
MUON_LR_RATIO = 10.0  # taxa do Muon / taxa do AdamW
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # coeficientes de Jordan et al.
NEWTON_SCHULZ_STEPS = 5


def orthogonalize(matrices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Aproxima a matriz ortogonal mais próxima de cada uma em ``matrices`` [n, linhas, colunas].

    Os valores singulares vão para perto de 1 (entre cerca de 0,7 e 1,2), sem calcular SVD. Em
    ``dtype`` bf16 a conta é a do Muon original, e mais rápida onde há bf16 em hardware.
    """
    a, b, c = NEWTON_SCHULZ
    x = matrices.to(dtype)
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT.contiguous() if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


class MuonAdamW(torch.optim.Optimizer):
    """Muon nos grupos com ``"muon": True``; AdamW nos demais.

    Cada grupo traz ``params``, ``lr``, ``weight_decay`` e, se for de Muon, ``muon``, e ``bf16``
    para fazer a conta nesse tipo. O passo
    de Muon é multiplicado por ``sqrt(max(1, linhas / colunas))``, para que formas diferentes andem
    parecido.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
    ) -> None:
        defaults = {"muon": False, "bf16": False, "momentum": momentum, "betas": betas, "eps": eps}
        super().__init__(groups, defaults | {"lr": 1e-3, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Atualiza todos os parâmetros que têm gradiente."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if group["muon"]:
                self._muon(group, parameters)
            else:
                self._adamw(group, parameters)
        return loss

    def _muon(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        by_shape: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
        for parameter in parameters:
            by_shape[tuple(parameter.shape)].append(parameter)
        for (rows, columns), same in by_shape.items():
            momenta = torch.stack([self._momentum(p, group) for p in same])
            updates = orthogonalize(momenta, torch.bfloat16 if group["bf16"] else torch.float32)
            rate = group["lr"] * max(1.0, rows / columns) ** 0.5
            for parameter, update in zip(same, updates.unbind(0)):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update, alpha=-rate)

    def _momentum(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        """O momento de Nesterov do gradiente; o acumulado fica no estado."""
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        buffer: Tensor = state["momentum"]
        buffer.lerp_(gradient, 1 - group["momentum"])
        return gradient.lerp(buffer, group["momentum"])

    def _adamw(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        """O mesmo cálculo de ``torch.optim.AdamW`` (``tests/test_optim.py`` compara os dois)."""
        beta1, beta2 = group["betas"]
        for parameter in parameters:
            state, gradient = self.state[parameter], parameter.grad
            assert gradient is not None
            if not state:
                state["step"] = torch.zeros((), device=parameter.device)
                state["mean"] = torch.zeros_like(parameter)
                state["square"] = torch.zeros_like(parameter)
            torch._fused_adamw_(  # uma leitura da memória em vez de dez (docs/LOG.md)
                [parameter],
                [gradient],
                [state["mean"]],
                [state["square"]],
                [],
                [state["step"].add_(1)],
                lr=group["lr"],
                beta1=beta1,
                beta2=beta2,
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )


def parameter_groups(
    model: nn.Module,
    learning_rate: float,
    weight_decay: float,
    ssm_lr_scale: float = 0.1,
    head_lr_scale: float = 1.0,
    low_precision: bool = False,
) -> list[dict[str, Any]]:
    """Separa os parâmetros treináveis em grupos.

    - matrizes das camadas: Muon, a ``MUON_LR_RATIO`` vezes a taxa;
    - tabelas de embeddings, roteadores e redes geradoras: AdamW, com decaimento;
    - vieses, normalizações e D do SSM: AdamW, sem decaimento;
    - A e B do SSM: AdamW, sem decaimento, a ``ssm_lr_scale`` da taxa;
    - projeção de saída própria: AdamW, com decaimento, a ``head_lr_scale`` da taxa.

    Há sempre os cinco, cada um com o seu ``kind``, mesmo os vazios: o que crescer durante o treino
    acha o seu lugar sem que o otimizador ou o agendador mudem de forma (``add_parameters``).
    """
    kinds: dict[str, list[nn.Parameter]] = {name: [] for name in KINDS}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            kinds[_kind(name, parameter)].append(parameter)
    rate, decay = learning_rate, weight_decay
    return [
        {
            "kind": "matrix",
            "params": kinds["matrix"],
            "lr": rate * MUON_LR_RATIO,
            "weight_decay": decay,
            "muon": True,
            "bf16": low_precision,
        },
        {"kind": "table", "params": kinds["table"], "lr": rate, "weight_decay": decay},
        {"kind": "vector", "params": kinds["vector"], "lr": rate, "weight_decay": 0.0},
        {
            "kind": "slow",
            "params": kinds["slow"],
            "lr": rate * ssm_lr_scale,
            "weight_decay": 0.0,
        },
        {
            "kind": "head",
            "params": kinds["head"],
            "lr": rate * head_lr_scale,
            "weight_decay": decay,
        },
    ]


def add_parameters(optimizer: torch.optim.Optimizer, model: nn.Module) -> list[str]:
    """Põe nos seus grupos os parâmetros treináveis de ``model`` que ``optimizer`` ainda não tem.

    Cada um vai para o fim do grupo do seu ``kind`` e começa com o estado vazio; o estado dos
    antigos, as taxas e o agendador não mudam.

    Returns:
        Os nomes dos que entraram, na ordem do modelo.

    Erros:
        LunaError: falta ao otimizador um grupo do tipo pedido (não veio de ``parameter_groups``);
            nada foi acrescentado.
    """
    groups = {group.get("kind"): group for group in optimizer.param_groups}
    known = {id(p) for group in optimizer.param_groups for p in group["params"]}
    new = [(n, p) for n, p in model.named_parameters() if p.requires_grad and id(p) not in known]
    for name, parameter in new:
        if _kind(name, parameter) not in groups:
            raise LunaError(
                f"O otimizador não tem grupo '{_kind(name, parameter)}' para '{name}': esperado um "
                "feito com parameter_groups (src/training/optim.py). Use o otimizador de Luna."
            )
    for name, parameter in new:
        groups[_kind(name, parameter)]["params"].append(parameter)
    return [name for name, _ in new]


def _kind(name: str, parameter: nn.Parameter) -> str:
    if name.endswith(SLOW_SUFFIXES):
        return "slow"
    if parameter.dim() != 2:
        return "vector"
    if name.endswith("lm_head.weight"):
        return "head"
    return "table" if any(part in name for part in ADAMW_PARTS) else "matrix"


def build_optimizer(
    model: nn.Module,
    learning_rate: float,
    weight_decay: float,
    ssm_lr_scale: float = 0.1,
    head_lr_scale: float = 1.0,
    low_precision: bool = False,
) -> MuonAdamW:
    """O otimizador padrão de Luna sobre os parâmetros treináveis de ``model``.

    low_precision: faz a ortogonalização em bf16.
    """
    scales = (ssm_lr_scale, head_lr_scale)
    return MuonAdamW(parameter_groups(model, learning_rate, weight_decay, *scales, low_precision))
