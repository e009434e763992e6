"""Contagens de pares e trios de tokens, sem atravessar documentos e só do que se aprende.

Um *contexto* é o que vem antes: um token, ou um par frequente deles. ``Successors`` guarda, de cada
contexto, que tokens o seguiram e quantas vezes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.models.pair_embedding import pair_keys
from src.training.packing import IGNORED

MAX_TOKENS = 20_000_000  # de um corpus maior, conta-se uma amostra espalhada das linhas
BLOCK = 2_000_000  # tokens contados de uma vez


@dataclass(frozen=True)
class Successors:
    """O que seguiu cada um de C contextos.

    start: [C + 1], onde começam os sucessores de cada contexto. following: [P], o token seguinte.
    counts: [P], vezes. totals: [C], as somas por contexto.
    """

    start: Tensor
    following: Tensor
    counts: Tensor
    totals: Tensor

    @property
    def contexts(self) -> Tensor:
        """Os contextos que têm algum sucessor."""
        return torch.nonzero(self.totals > 0).ravel()


def count_pairs(rows: Any, vocab_size: int, max_tokens: int = MAX_TOKENS) -> Successors:
    """Os sucessores de cada token: C é ``vocab_size``."""
    found = _counted(w[:, 0] * vocab_size + w[:, 1] for w in windows(rows, 2, max_tokens))
    return _successors(*found, vocab_size, vocab_size)


def frequent_pairs(
    rows: Any, most: int, least_count: int, max_tokens: int = MAX_TOKENS
) -> np.ndarray:
    """As chaves (``pair_keys``), em ordem crescente, dos até ``most`` pares mais vistos.

    Só os vistos ao menos ``least_count`` vezes antes de um token que se aprende.
    """
    keys, counts = _counted(_keys(w) for w in windows(rows, 3, max_tokens))
    chosen = np.argsort(-counts, kind="stable")[:most]
    return np.sort(keys[chosen[counts[chosen] >= least_count]])


def count_after_pairs(
    rows: Any, pairs: np.ndarray, vocab_size: int, max_tokens: int = MAX_TOKENS
) -> Successors:
    """Os sucessores de cada par de ``pairs`` [C], chaves em ordem crescente."""

    def positions() -> Iterator[np.ndarray]:
        for window in windows(rows, 3, max_tokens):
            keys = _keys(window)
            place = np.searchsorted(pairs, keys).clip(max=len(pairs) - 1)
            known = pairs[place] == keys
            yield place[known] * vocab_size + window[known, 2]

    return _successors(*_counted(positions()), len(pairs), vocab_size)


def windows(rows: Any, order: int, max_tokens: int) -> Iterator[np.ndarray]:
    """Blocos [n, order] de tokens vizinhos do mesmo documento, o último deles aprendido."""
    block: list[np.ndarray] = []
    size = 0
    for tokens, last in _pieces(rows, order, max_tokens):
        end = len(last)
        block.append(np.stack([tokens[i : i + end][last] for i in range(order)], axis=1))
        size += end
        if size >= BLOCK:
            yield np.concatenate(block)
            block, size = [], 0
    if block:
        yield np.concatenate(block)


def _pieces(rows: Any, order: int, max_tokens: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(tokens [n], se a janela que começa em cada um vale [n - order + 1])."""
    examples: Sequence[Any] | None = getattr(rows, "examples", None)
    if examples is not None:
        stride = max(1, -(-rows.tokens // max_tokens))
        for example in examples[::stride]:
            if len(example.ids) >= order:
                yield np.array(example.ids, np.int64), np.array(example.learn[order - 1 :], bool)
        return
    stride = max(1, -(-len(rows) * rows.length // max_tokens))
    for index in range(0, len(rows), stride):
        row = {name: tensor.numpy() for name, tensor in rows[index].items()}
        inside = row["position_ids"][order - 1 :] >= order - 1
        yield row["input_ids"].astype(np.int64), inside & (row["labels"][order - 1 :] != IGNORED)


def _keys(window: np.ndarray) -> np.ndarray:
    first, second = torch.from_numpy(window[:, :2]).unbind(dim=1)
    return pair_keys(first, second).numpy()


def _counted(blocks: Iterator[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(valores distintos em ordem, quantas vezes cada um) de todos os blocos."""
    keys, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
    for block in blocks:
        found, times = np.unique(block, return_counts=True)
        together, where = np.unique(np.concatenate([keys, found]), return_inverse=True)
        summed = np.bincount(where.ravel(), weights=np.concatenate([counts, times]))
        keys, counts = together, summed.astype(np.int64)
    return keys, counts


def _successors(keys: np.ndarray, counts: np.ndarray, contexts: int, vocab_size: int) -> Successors:
    first = torch.from_numpy(keys // vocab_size)
    values = torch.from_numpy(counts).float()
    totals = torch.zeros(contexts).index_add_(0, first, values)
    start = torch.searchsorted(first, torch.arange(contexts + 1))
    return Successors(start, torch.from_numpy(keys % vocab_size), values, totals)
