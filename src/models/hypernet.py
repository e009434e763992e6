"""HyperNetworks: pesos que uma rede gera para outra, a partir do contexto.

Glossário (letra, significado):
    B  lote      L  comprimento      c  dimensão do contexto      r  posto (rank)
    i  entrada da camada-alvo        o  saída da camada-alvo

Os pesos gerados têm posto baixo, ``W(c) = U(c) V(c)^T``, e começam em zero: a camada nasce igual à
de sempre e aprende a se adaptar. O contexto é causal: a persona (fixa na conversa) mais a média
corrida do que já se leu, nunca o que vem depois.

Fonte: Ha, Dai & Le, "HyperNetworks" (2016); o posto baixo é o de Hu et al., "LoRA" (2021).
"""

import torch
from torch import Tensor, nn

from src.config.personas import PERSONA_DIM


class HyperNetwork(nn.Module):
    """Gera peso e viés de uma camada linear a partir de um contexto.

    Args:
        context_dim: dimensão c do contexto.
        target_dim: saída o da camada-alvo (e entrada, se ``input_dim`` não for dado).
        hidden_dim: largura da camada oculta.
        input_dim: entrada i da camada-alvo; ``None`` é ``target_dim``.
        rank: posto r dos pesos gerados.
    """

    def __init__(
        self,
        context_dim: int,
        target_dim: int,
        hidden_dim: int,
        input_dim: int | None = None,
        rank: int = 4,
    ) -> None:
        super().__init__()
        self.target_dim, self.input_dim = target_dim, input_dim or target_dim
        self.rank = min(rank, self.target_dim, self.input_dim)
        self.hidden = nn.Linear(context_dim, hidden_dim)
        self.to_v = nn.Linear(hidden_dim, self.rank * self.input_dim)
        self.to_u = nn.Linear(hidden_dim, self.rank * self.target_dim)
        self.to_bias = nn.Linear(hidden_dim, self.target_dim)
        for head in self.zero_heads():
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def zero_heads(self) -> list[nn.Linear]:
        """As saídas que começam em zero, para que os pesos gerados comecem em zero."""
        return [self.to_u, self.to_bias]

    def factors(self, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``context`` [..., c] -> (U [..., o, r], V [..., i, r], viés [..., o])."""
        z = torch.tanh(self.hidden(context))
        u = self.to_u(z).unflatten(-1, (self.target_dim, self.rank))
        v = self.to_v(z).unflatten(-1, (self.input_dim, self.rank))
        return u, v, self.to_bias(z)

    def forward(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """``context`` [..., c] -> (peso [..., o, i], viés [..., o])."""
        u, v, bias = self.factors(context)
        return u @ v.transpose(-1, -2), bias


class HyperLinear(nn.Module):
    """Camada linear cujos pesos somam uma base fixa e uma parte gerada pelo contexto.

    ``y = base(x) + U(c) (V(c)^T x) + b(c)``; o produto é feito em dois passos de posto r, sem
    montar a matriz. Com ``base=False`` só existe a parte gerada, que começa em zero.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        context_dim: int,
        rank: int = 4,
        hidden_dim: int = 32,
        base: bool = True,
    ) -> None:
        super().__init__()
        self.base = nn.Linear(in_features, out_features) if base else None
        self.hyper = HyperNetwork(context_dim, out_features, hidden_dim, in_features, rank)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """``x`` [B, L, i], ``context`` [B, c] (da sequência) ou [B, L, c] -> [B, L, o]."""
        if context.dim() == x.dim() - 1:
            context = context.unsqueeze(1)
        u, v, bias = self.hyper.factors(context)  # [B, 1 ou L, ...]
        inner = torch.einsum("...i,...ir->...r", x, v.expand(*x.shape[:-1], -1, -1))
        generated = torch.einsum("...r,...or->...o", inner, u.expand(*x.shape[:-1], -1, -1)) + bias
        return generated if self.base is None else self.base(x) + generated


class CausalContext(nn.Module):
    """O contexto da HyperNetwork em cada posição: persona mais a média corrida do passado.

    ``c_t = média(P x_1 ... P x_t) + Q persona``. O estado que a geração guarda entre tokens é a
    soma e a contagem, [B, c + 1].
    """

    def __init__(self, hidden_size: int, context_dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(hidden_size, context_dim, bias=False)
        self.persona = nn.Linear(PERSONA_DIM, context_dim, bias=False)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        keep: Tensor | None = None,
        state: Tensor | None = None,
        persona: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Calcula o contexto de todas as posições.

        Args:
            x: [B, L, D]. mask: [B, L], 0 na margem. keep: [B, L], 0 onde um documento começa.
            state: [B, c + 1] deixado pelos tokens anteriores.
            persona: [B, 8], da sequência, ou [B, L, 8], por token (linhas empacotadas).

        Returns:
            (contexto [B, L, c], estados [B, L, c + 1]).

        Erros:
            ValueError: ``persona`` não tem um vetor por sequência nem um por token.
        """
        ones = x.new_ones(*x.shape[:2], 1)
        weight = ones if mask is None else mask.unsqueeze(-1).to(x.dtype)
        terms = torch.cat([self.project(x) * weight, weight], dim=-1)  # [B, L, c + 1]
        totals = _running_totals(terms, keep)
        if state is not None:
            totals = totals + state.unsqueeze(1)
        context = totals[..., :-1] / totals[..., -1:].clamp_min(1.0)
        if persona is None:  # sem persona a soma é zero, mas segue no grafo (DDP)
            persona = x.new_zeros(1, PERSONA_DIM)
        return context + self.persona(_per_position(persona, x).to(x.dtype)), totals


def _per_position(persona: Tensor, x: Tensor) -> Tensor:
    """``persona`` [B, 8] ou [B, L, 8] na forma que se soma a ``x`` [B, L, D]: [B, 1 ou L, 8]."""
    vectors = persona.unsqueeze(1) if persona.dim() == 2 else persona
    rows, length = x.shape[:2]
    if vectors.dim() != 3 or len(vectors) not in (1, rows) or vectors.shape[1] not in (1, length):
        raise ValueError(
            f"persona de forma {list(persona.shape)} para x de forma {list(x.shape)}: esperado um "
            f"vetor por sequência [B, {PERSONA_DIM}] ou um por token [B, L, {PERSONA_DIM}]."
        )
    return vectors


def _running_totals(terms: Tensor, keep: Tensor | None) -> Tensor:
    """Somas acumuladas de ``terms`` [B, L, n], recomeçando onde ``keep`` [B, L] é 0."""
    totals = terms.cumsum(dim=1)
    if keep is None:
        return totals
    positions = torch.arange(terms.shape[1], device=terms.device).expand(keep.shape)
    starts = torch.where(keep == 0, positions, torch.zeros_like(positions)).cummax(dim=1).values
    before = totals - terms  # soma sem o próprio token
    return totals - before.gather(1, starts.unsqueeze(-1).expand_as(totals))
