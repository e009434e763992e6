"""Vetores para os pares de tokens mais comuns, somados ao embedding do segundo token.

Glossário (letra, significado):
    B  lote      L  comprimento      D  largura do modelo      K  pares com vetor próprio

    h_t = E[x_t] + P[(x_{t-1}, x_t)]        P é zero para um par que não está na tabela

Ler um vetor custa o mesmo com mil ou um milhão deles, e por isso a tabela dá ao modelo memória sem
lhe dar trabalho. Ela é calculada das contagens do corpus (``src/training/pair_vectors.py``), não
treinada com o resto: fica em 8 bits, fora dos parâmetros, do otimizador e do gradiente.

Fontes: Yu et al., "Scaling Embedding Layers in Language Models" (2025), de onde vem a ideia de
vetores só para os n-gramas frequentes, achados por busca exata; a quantização é a de um expoente
por linha, a mais simples.
"""

import torch
from torch import Tensor, nn

#: Um par (a, b) é a chave ``a << KEY_BITS | b``, que não depende do tamanho do vocabulário.
KEY_BITS = 32
NOTHING = -1  # "não há token antes": começo de documento, ou preenchimento
LEVELS = 127.0  # int8 simétrico


def pair_keys(first: Tensor, second: Tensor) -> Tensor:
    """As chaves int64 dos pares; ``NOTHING`` em ``first`` dá uma chave que nenhuma tabela tem."""
    return (first.long() << KEY_BITS) | second.long()


def second_tokens(keys: Tensor) -> Tensor:
    """O segundo token de cada chave."""
    return keys & ((1 << KEY_BITS) - 1)


class PairEmbedding(nn.Module):
    """A tabela de vetores de pares.

    Buffers:
        keys: [K] int64, em ordem crescente. values: [K, D] int8. scales: [K, 1]: o vetor de uma
        linha é ``values * scales``.

    *Shape:* tokens [B, L] e anteriores [B, L] -> [B, L, D].
    """

    keys: Tensor
    values: Tensor
    scales: Tensor

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.register_buffer("keys", torch.arange(rows))
        self.register_buffer("values", torch.zeros(rows, width, dtype=torch.int8))
        self.register_buffer("scales", torch.zeros(rows, 1))

    @classmethod
    def from_vectors(cls, keys: Tensor, vectors: Tensor) -> "PairEmbedding":
        """Guarda ``vectors`` [K, D] em 8 bits, sob ``keys`` [K] em ordem crescente."""
        table = cls(*vectors.shape)
        table.keys = keys.clone()
        table.scales = (vectors.abs().amax(dim=1, keepdim=True) / LEVELS).clamp_min(1e-12)
        table.values = (vectors / table.scales).round().to(torch.int8)
        return table

    def forward(self, tokens: Tensor, previous: Tensor) -> Tensor:
        wanted = pair_keys(previous, tokens)
        row = torch.searchsorted(self.keys, wanted).clamp_max(len(self.keys) - 1)
        found = (self.keys[row] == wanted).unsqueeze(-1)
        return self.values[row].to(self.scales.dtype) * (self.scales[row] * found)


def previous_tokens(
    tokens: Tensor, mask: Tensor | None, keep: Tensor | None, before: Tensor | None
) -> tuple[Tensor, Tensor]:
    """O token antes de cada um, e os próprios tokens como "anteriores" dos que vierem.

    Args:
        tokens: [B, L]. mask: [B, L], 0 no preenchimento, ou ``None``. keep: [B, L], 0 no início de
            cada documento empacotado, ou ``None``. before: [B, 1], o que veio antes do primeiro
            (``NOTHING`` se nada), ou ``None``.

    Returns:
        (anteriores [B, L], tokens [B, L] com ``NOTHING`` no preenchimento).
    """
    real = tokens if mask is None else tokens.masked_fill(mask == 0, NOTHING)
    if before is None:
        before = torch.full_like(tokens[:, :1], NOTHING)
    previous = torch.cat([before, real[:, :-1]], dim=1)
    if keep is not None:
        previous = previous.masked_fill(~keep.bool(), NOTHING)
    return previous, real
