"""Intervalos de confiança por reamostragem (bootstrap): quanto uma medida mudaria com outros dados.

As unidades (documentos, trechos, respostas) são sorteadas com reposição ``RESAMPLES`` vezes, e o
intervalo de 95 % vai do percentil 2,5 ao 97,5 das medidas refeitas. Para comparar dois modelos o
sorteio é o mesmo nos dois: o que é difícil para um costuma ser para o outro, e a diferença varia
menos que cada medida.

Fonte: Efron & Tibshirani, "An Introduction to the Bootstrap" (1993); a conta é a de
``scipy.stats.bootstrap``. Para comparações emparelhadas: Koehn, "Statistical Significance Tests for
Machine Translation Evaluation" (2004).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

RESAMPLES = 1000
CONFIDENCE = 0.95
_BATCH = 50  # sorteios por vez: limita a memória com muitas unidades

Statistic = Callable[..., Any]


@dataclass(frozen=True)
class Estimate:
    """Uma medida e o seu intervalo de 95 %; ``None`` nas pontas quando há uma unidade só."""

    value: float
    low: float | None = None
    high: float | None = None

    def to_dict(self) -> dict[str, float | None]:
        """Como dicionário, pronto para JSON."""
        return asdict(self)

    @property
    def excludes_zero(self) -> bool:
        """Numa diferença: se o intervalo inteiro está de um lado do zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def estimate(statistic: Statistic, *samples: Sequence[float] | np.ndarray) -> Estimate:
    """``statistic`` das amostras, com o intervalo.

    Args:
        statistic: recebe as amostras e ``axis``, como as funções do NumPy.
        samples: uma ou mais, do mesmo tamanho n: o valor i de todas vem da unidade i, e as unidades
            são sorteadas inteiras.
    """
    arrays = [np.asarray(sample, dtype=np.float64) for sample in samples]
    value = float(statistic(*arrays, axis=-1))
    if len(arrays[0]) < 2:
        return Estimate(value)
    return _estimate(value, arrays, statistic, vectorized=True)


def by_index(count: int, statistic: Callable[[np.ndarray], float]) -> Estimate:
    """Como ``estimate``, para o que não é uma conta do NumPy.

    Args:
        count: quantas unidades há. statistic: a medida das de índices dados, que se repetem.
    """
    everything = np.arange(count)
    value = float(statistic(everything))
    if count < 2:
        return Estimate(value)
    return _estimate(value, [everything], statistic, vectorized=False)


def _estimate(
    value: float, samples: list[np.ndarray], statistic: Statistic, vectorized: bool
) -> Estimate:
    from scipy.stats import bootstrap

    found = bootstrap(
        samples,
        statistic,
        paired=True,
        vectorized=vectorized,
        n_resamples=RESAMPLES,
        batch=_BATCH,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),  # o mesmo sorteio sempre
    ).confidence_interval
    return Estimate(value, float(found.low), float(found.high))


def mean(values: Sequence[float] | np.ndarray) -> Estimate:
    """A média."""
    return estimate(np.mean, values)


def proportion(values: Sequence[float] | np.ndarray) -> Estimate:
    """A média de acertos (0 ou 1), com o intervalo de Wilson.

    Reamostrar dois acertos em dois daria de 100 % a 100 %; o de Wilson dá de 34 % a 100 %. Fonte:
    Wilson (1927), pela conta de ``scipy.stats.binomtest``.
    """
    from scipy.stats import binomtest

    hits, count = int(round(float(np.sum(values)))), len(values)
    found = binomtest(hits, count).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(hits / count, float(found.low), float(found.high))


def ratio(
    numerators: Sequence[float] | np.ndarray, denominators: Sequence[float] | np.ndarray
) -> Estimate:
    """A razão das somas (bits por byte: bits de cada documento sobre bytes de cada um)."""
    return estimate(_ratio, numerators, denominators)


def mean_difference(
    first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray
) -> Estimate:
    """A média de ``first - second``, unidade a unidade."""
    return mean(np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64))


def ratio_difference(
    first: Sequence[float] | np.ndarray,
    second: Sequence[float] | np.ndarray,
    denominators: Sequence[float] | np.ndarray,
) -> Estimate:
    """A diferença de duas razões de mesmo denominador."""

    def statistic(a: Any, b: Any, bottom: Any, axis: int) -> Any:
        return _ratio(a, bottom, axis) - _ratio(b, bottom, axis)

    return estimate(statistic, first, second, denominators)


def _ratio(top: Any, bottom: Any, axis: int) -> Any:
    return np.sum(top, axis=axis) / np.sum(bottom, axis=axis)
