"""Rede que cresce durante o treino quando a perda para de melhorar.

Cada camada nova é residual, ``y = x + W2 gelu(W1 norm(x))``, com ``W2 = 0`` ao nascer: no instante
em que a rede cresce nenhuma saída muda, e a camada aprende dali em diante.

Fonte: a ideia de crescer sem mudar a função é a de Chen, Goodfellow & Shlens, "Net2Net" (2015).
"""

import torch.nn.functional as F
from torch import Tensor, nn

from src.utils.errors import LunaError


class GrownLayer(nn.Module):
    """Camada residual que nasce sem efeito. *Shape:* [..., i] -> [..., o].

    Com ``i == o`` o atalho é a identidade. Com dimensões diferentes, o atalho é uma projeção que
    nasce copiando as ``min(i, o)`` primeiras coordenadas.
    """

    def __init__(self, input_dim: int, output_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(input_dim)
        self.fc = nn.Linear(input_dim, 4 * input_dim)
        self.proj = nn.Linear(4 * input_dim, output_dim)
        nn.init.zeros_(self.proj.weight)
        nn.init.zeros_(self.proj.bias)
        same = input_dim == output_dim
        self.shortcut = nn.Identity() if same else nn.Linear(input_dim, output_dim, bias=False)
        if isinstance(self.shortcut, nn.Linear):
            nn.init.eye_(self.shortcut.weight)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.gelu(self.fc(self.norm(x)), approximate="tanh")
        return self.shortcut(x) + self.proj(inner)


def has_plateaued(losses: list[float], threshold: float, patience: int) -> bool:
    """Se as últimas ``patience`` perdas não melhoraram a melhor anterior em mais de ``threshold``.

    Função pura: decide só pelo histórico ``losses`` (em nats, do mais antigo ao mais novo).
    """
    if len(losses) <= patience:
        return False
    return min(losses[-patience:]) > min(losses[:-patience]) - threshold


class GrowingNetwork(nn.Module):
    """Um modelo base mais as camadas que ele for ganhando.

    Args:
        base_model: módulo [..., d] -> [..., d] a ser aumentado.
        max_extra_layers: teto de camadas adicionais.
        growth_threshold: melhora mínima da perda, em nats, para não crescer.
        patience: quantas avaliações sem essa melhora pedem uma camada.
    """

    def __init__(
        self,
        base_model: nn.Module,
        max_extra_layers: int = 2,
        growth_threshold: float = 0.01,
        patience: int = 3,
    ) -> None:
        super().__init__()
        self.base_model = base_model
        self.max_extra_layers = max_extra_layers
        self.growth_threshold = growth_threshold
        self.patience = patience
        self.layers = nn.ModuleList()
        self.losses: list[float] = []

    def can_grow(self) -> bool:
        """Se ainda cabe uma camada."""
        return len(self.layers) < self.max_extra_layers

    def should_grow(self, loss: float) -> bool:
        """Registra ``loss`` (nats) e diz se é hora de crescer.

        True quando a perda não melhorou ``growth_threshold`` em ``patience`` avaliações e ainda
        cabe uma camada; o histórico então recomeça.
        """
        self.losses.append(float(loss))
        if not self.can_grow():
            return False
        grow = has_plateaued(self.losses, self.growth_threshold, self.patience)
        if grow:
            self.losses = [min(self.losses)]
        return grow

    def add_layer(self, input_dim: int, output_dim: int) -> nn.Module:
        """Acrescenta uma camada [..., input_dim] -> [..., output_dim] e a devolve.

        Com dimensões iguais, nenhuma saída muda.

        Erros:
            LunaError: o teto ``max_extra_layers`` já foi atingido.
        """
        if not self.can_grow():
            raise LunaError(
                f"A rede já cresceu o máximo: {len(self.layers)} de {self.max_extra_layers} "
                "camadas. Aumente max_extra_layers para ir além."
            )
        layer = GrownLayer(input_dim, output_dim)
        reference = next(self.parameters(), None)
        if reference is not None:
            layer = layer.to(reference.device, reference.dtype)
        self.layers.append(layer.train(self.training))
        return layer

    def forward(self, x: Tensor, *args: object, **kwargs: object) -> Tensor:
        """Passa ``x`` pelo modelo base e depois pelas camadas que cresceram."""
        x = self.base_model(x, *args, **kwargs)
        for layer in self.layers:
            x = layer(x)
        return x
