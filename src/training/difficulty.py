"""Quão difícil é cada exemplo: pelo comprimento, pela raridade dos tokens, ou pelos dois.

As duas medidas são as de Platanios et al., "Competence-based Curriculum Learning for Neural Machine
Translation" (2019): o número de tokens, e a surpresa dos tokens num modelo de unigramas contado no
próprio treino. Lá a surpresa é somada; aqui é a média por token, para que a raridade não repita o
comprimento. Como lá, o que vale é a posição do exemplo entre os outros, de 0 a 1.

n   exemplos
c   [V] quantas vezes cada token aparece no treino;  N: a soma;  U: quantos tokens distintos
s   [V] surpresa de cada token, em nats: -ln((c + 1) / (N + U)), com a suavização de Laplace
"""

import math
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from src.config.options import quoted
from src.training.examples import Example
from src.utils.errors import UsageError

BY = ("length", "rarity", "both")
CHUNK = 2**12  # exemplos convertidos para numpy de cada vez: limita a memória
PLACES = 9  # casas da surpresa média: somas em outra ordem não desempatam exemplos iguais


def difficulty_scores(examples: Sequence[Example], by: str = "both") -> list[float]:
    """A dificuldade de cada exemplo, entre 0 (fácil) e 1 (difícil); iguais têm a mesma.

    É a parte dos exemplos que são mais fáceis, contando por metade os que empatam. Em ``both``, a
    média das duas posições.

    Args:
        examples: n exemplos; as frequências são contadas neles.
        by: ``length`` (número de tokens), ``rarity`` (surpresa média dos tokens) ou ``both``.

    Returns:
        n números.

    Erros:
        UsageError: ``by`` desconhecido.
    """
    return _scores(examples, by).tolist()


def easiest(examples: Sequence[Example], fraction: float, by: str = "both") -> list[Example]:
    """Os exemplos mais fáceis que somam ``fraction`` dos tokens, na ordem em que estavam.

    A fração é de tokens, não de exemplos: assim ela diz também a parte do trabalho. O exemplo que
    completa a fração entra inteiro. Entre iguais, vem primeiro o que estava antes.

    Erros:
        UsageError: ``fraction`` fora de (0, 1], ou ``by`` desconhecido.
    """
    if not 0 < fraction <= 1:
        raise UsageError(f"fraction={quoted(fraction)}: esperado um número acima de 0 e até 1.")
    if fraction == 1 or not examples:
        _check_by(by)
        return list(examples)
    order = np.argsort(_scores(examples, by), kind="stable")
    tokens = np.cumsum(_lengths(examples)[order])
    wanted = math.ceil(round(fraction * int(tokens[-1]), 6))
    count = int(np.searchsorted(tokens, wanted)) + 1
    return [examples[index] for index in np.sort(order[:count]).tolist()]


def _check_by(by: str) -> None:
    if by not in BY:
        raise UsageError(f"by={quoted(by)}: esperado um de {', '.join(BY)}.")


def _scores(examples: Sequence[Example], by: str) -> np.ndarray:
    _check_by(by)
    measures = []
    if by != "rarity":
        measures.append(_lengths(examples))
    if by != "length":
        measures.append(_rarity(examples))
    places = sum(_places(values) for values in measures)  # metades exatas: empates ficam empates
    return np.asarray(places / (len(measures) * max(len(examples), 1)))


def _places(values: np.ndarray) -> np.ndarray:
    """[n] Quantos valores são menores, mais metade dos iguais (o próprio inclusive)."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    below = np.cumsum(counts) - counts
    return np.asarray((below + counts / 2)[group])


def _lengths(examples: Sequence[Example]) -> np.ndarray:
    return np.fromiter((len(e.ids) for e in examples), np.int64, len(examples))


def _rarity(examples: Sequence[Example]) -> np.ndarray:
    """[n] A surpresa média dos tokens de cada exemplo, em nats."""
    counts = np.zeros(0, np.int64)
    for ids, _ in _chunks(examples):
        found = np.bincount(ids, minlength=len(counts))
        found[: len(counts)] += counts
        counts = found
    surprise = -np.log((counts + 1) / max(1, counts.sum() + np.count_nonzero(counts)))
    means = [_means(surprise[ids], lengths) for ids, lengths in _chunks(examples)]
    return np.round(np.concatenate(means), PLACES) if means else np.zeros(0)


def _means(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """A média de cada trecho de ``values``; ``lengths`` diz onde um acaba e o outro começa."""
    owner = np.repeat(np.arange(len(lengths)), lengths)
    totals = np.bincount(owner, weights=values, minlength=len(lengths))
    return np.asarray(totals / np.maximum(lengths, 1))


def _chunks(examples: Sequence[Example]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """De ``CHUNK`` em ``CHUNK`` exemplos: os tokens em fila e o comprimento de cada um."""
    for start in range(0, len(examples), CHUNK):
        part = examples[start : start + CHUNK]
        lengths = _lengths(part)
        ids = chain.from_iterable(example.ids for example in part)
        yield np.fromiter(ids, np.int64, int(lengths.sum())), lengths
