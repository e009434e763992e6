"""A escolha dos melhores de uma lista de notas, com empates sempre na mesma ordem."""

from __future__ import annotations

from typing import TYPE_CHECKING

from src.retrieval.types import Hits

if TYPE_CHECKING:
    import numpy as np


def no_hits() -> Hits:
    """Nenhum trecho."""
    import numpy as np

    return Hits(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))


def best_hits(ids: np.ndarray, scores: np.ndarray, limit: int) -> Hits:
    """Os ``limit`` de maior nota; no empate, o de menor número.

    Só o que pode entrar é ordenado: o custo é linear nos demais.

    Args:
        ids: *Shape:* [N], números de trechos, em ordem crescente. scores: *Shape:* [N].
    """
    import numpy as np

    if limit < 1 or not len(ids):
        return no_hits()
    if len(ids) > limit:
        floor = np.partition(scores, len(scores) - limit)[-limit]
        inside = np.flatnonzero(scores >= floor)  # todos os empatados no limite, e corta-se depois
        ids, scores = ids[inside], scores[inside]
    order = np.lexsort((ids, -scores))[:limit]
    return Hits(ids[order].astype(np.int64), scores[order].astype(np.float32))
