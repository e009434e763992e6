"""A taxa de aprendizado ao longo do treino: uma função pura do passo, e o LambdaLR que a usa.

``wsd`` (aquece, fica, decai) é a de Hu et al., "MiniCPM" (2024): a taxa fica no máximo quase até
o fim e só então cai em linha reta. ``linear`` e ``cosine`` caem desde o fim do aquecimento.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR

from src.utils.errors import LunaError, UsageError

KINDS = ("wsd", "linear", "cosine", "constant")


def learning_rate_factor(
    step: int, total: int, warmup: int = 0, decay_fraction: float = 0.2, kind: str = "wsd"
) -> float:
    """O fator, de 0 a 1, que multiplica a taxa na atualização ``step`` (a primeira é 0).

    Nenhuma das ``total`` atualizações é feita à taxa zero: o aquecimento, de ``warmup``
    atualizações, sobe em degraus de ``1 / (warmup + 1)``, e a queda só chega a zero em ``total``.

    Args:
        decay_fraction: em ``wsd``, a parte final de ``total`` em que a taxa cai.
        kind: um de ``KINDS``.
    """
    rise = min(1.0, (step + 1) / (warmup + 1))
    left = max(total - step, 0)
    if kind == "constant":
        return rise
    if kind == "wsd":
        return min(rise, left / max(round(total * decay_fraction), 1))
    fall = min(1.0, left / max(total - warmup, 1))
    if kind == "linear":
        return min(rise, fall)
    return min(rise, 0.5 * (1 - math.cos(math.pi * fall)))


@dataclass
class RateSchedule:
    """``learning_rate_factor`` com os seus números: uma função do passo que o LambdaLR grava.

    scales: pares [primeiro passo fora do trecho, multiplicador], os estágios de um currículo.

    Erros:
        UsageError: número ou ``kind`` fora do que se aceita.
    """

    total: int
    warmup: int = 0
    decay_fraction: float = 0.2
    kind: str = "wsd"
    scales: list[list[float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"kind={self.kind!r}: esperado um de {', '.join(KINDS)}.")
        if self.total < 1:
            raise UsageError(f"total={self.total!r}: esperado ao menos 1 passo.")
        if self.warmup < 0:
            raise UsageError(f"warmup={self.warmup!r}: esperado um número de passos >= 0.")
        if not 0 <= self.decay_fraction <= 1:
            raise UsageError(f"decay_fraction={self.decay_fraction!r}: esperado de 0 a 1.")

    def __call__(self, step: int) -> float:
        factor = learning_rate_factor(step, self.total, self.warmup, self.decay_fraction, self.kind)
        return factor * next((scale for end, scale in self.scales if step < end), 1.0)


def build_scheduler(
    optimizer: torch.optim.Optimizer,
    total_steps: int,
    warmup_steps: int = 0,
    decay_fraction: float = 0.2,
    kind: str = "wsd",
    scales: list[list[float]] | None = None,
) -> LambdaLR:
    """O LambdaLR de ``learning_rate_factor``; o ``state_dict`` dele cabe em JSON.

    O total de passos vai no estado: um treino retomado termina onde foi planejado.

    Erros:
        UsageError: número ou ``kind`` fora do que se aceita.
    """
    schedule = RateSchedule(total_steps, warmup_steps, decay_fraction, kind, scales or [])
    return LambdaLR(optimizer, schedule)


def require_lambda(scheduler: Any) -> LambdaLR:
    """O próprio ``scheduler``, se for um LambdaLR.

    Erros:
        LunaError: é de outro tipo, cujas taxas não se sabe mudar no meio do treino.
    """
    if not isinstance(scheduler, LambdaLR):
        raise LunaError(
            f"Agendador {type(scheduler).__name__}: só as taxas de um LambdaLR mudam no meio do "
            "treino. Use os agendadores de Luna ou retire LearningRateSchedulerCallback."
        )
    return scheduler


def replace_schedule(scheduler: LambdaLR, schedule: RateSchedule) -> None:
    """Troca a curva de todos os grupos e aplica já a taxa deste passo."""
    scheduler.lr_lambdas = [schedule] * len(scheduler.lr_lambdas)
    _apply(scheduler)


def scale_rates(scheduler: LambdaLR, scale: float) -> None:
    """Deixa as taxas em ``scale`` vezes as do começo do treino, contando o que já foi feito.

    Cada grupo do otimizador guarda a sua escala (``plateau_scale``), que é gravada com ele; por
    isso repetir a chamada depois de uma retomada não muda nada.
    """
    for group in scheduler.optimizer.param_groups:
        group["initial_lr"] *= scale / group.get("plateau_scale", 1.0)
        group["plateau_scale"] = scale
    scheduler.base_lrs = [group["initial_lr"] for group in scheduler.optimizer.param_groups]
    _apply(scheduler)


def _apply(scheduler: LambdaLR) -> None:
    """Põe em cada grupo a taxa deste passo, com a mesma conta de ``LambdaLR.step``."""
    groups = scheduler.optimizer.param_groups
    for group, base, factor in zip(groups, scheduler.base_lrs, scheduler.lr_lambdas):
        group["lr"] = base * factor(scheduler.last_epoch)
    scheduler._last_lr = [group["lr"] for group in groups]
