"""A prova: o refinamento só fica se, no que não foi treinado, a pessoa o preferiria.

    r        ln pi(y|x) - ln pi_0(y|x): quanto o modelo passou a preferir uma resposta, em nats
    acerto   a parte das comparações em que a resposta de que a pessoa gosta ganha. Antes do
             refinamento r é zero em todas: 0,5, como jogar uma moeda.
    margem   a diferença média de r entre as duas, em nats.
    texto    bits por byte de texto que ninguém treinou, antes e depois.

**Correções** são pares prontos: K vezes se refina sem uma parte delas, do começo ao fim, e se mede
r nessa parte (validação cruzada).

**Notas** são de respostas a perguntas diferentes, e a 40 delas o ruído de cada pergunta esconde o
gosto: medido direto assim, o acerto de modelos bons ficou entre 54 e 83 %, com intervalos de 40
pontos (docs/LOG.md). A prova se faz em dois elos, ambos em dados que não serviram ao treino:

    a_j  o juiz (``judge.py``) prevê, em validação cruzada, as notas que não viu;
    a_m  o modelo refinado, em perguntas de fora do treino, prefere o que o juiz prefere.

    acerto = a_j a_m + (1 - a_j)(1 - a_m)      os dois certos, ou os dois errados

o que supõe que os erros de um não dependem dos do outro. O intervalo vai do produto das pontas de
baixo ao das de cima: é mais largo que o de 95 %, nunca mais estreito.

Fica se o intervalo do ganho está todo acima de zero e o texto piora até ``TEXT_LIMIT``. Com poucas
avaliações o bootstrap se engana para o lado otimista, e vale o mais baixo entre ele e o intervalo
de Wilson: três acertos em três não provam nada.

Fontes: Rafailov et al. (2023), para r; Stone, "Cross-Validatory Choice and Assessment of
Statistical Predictions" (1974); os intervalos são os de ``src/evaluation/intervals.py``.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest

from src.evaluation import intervals
from src.evaluation.intervals import CONFIDENCE, Estimate
from src.models.feedback_samples import TrainingSample, normal_text

FOLDS = 4
COIN = 0.5
TEXT_LIMIT = 0.01  # o texto piora até 1 %


@dataclass(frozen=True)
class Scored:
    """Uma amostra medida na parte em que ficou de fora.

    fold: qual. better, worse: r de cada resposta; ``None`` na que a amostra não tem.
    """

    fold: int
    better: float | None
    worse: float | None


@dataclass(frozen=True)
class Preference:
    """O que a validação cruzada disse.

    accuracy: o acerto. margin: em nats. items: amostras comparadas. gain: o acerto menos 0,5.
    """

    accuracy: Estimate
    margin: Estimate
    items: int

    @property
    def gain(self) -> Estimate:
        """O acerto acima do acaso."""
        ends = (self.accuracy.low, self.accuracy.high)
        low, high = (None if end is None else end - COIN for end in ends)
        return Estimate(self.accuracy.value - COIN, low, high)

    @property
    def proven(self) -> bool:
        """Se o intervalo do ganho está todo acima de zero."""
        return self.gain.low is not None and self.gain.low > 0

    def to_dict(self) -> dict[str, Any]:
        """Pronto para JSON."""
        return {
            "before": Estimate(COIN, COIN, COIN).to_dict(),
            "after": self.accuracy.to_dict(),
            "difference": self.gain.to_dict(),
            "margin": self.margin.to_dict(),
            "items": self.items,
            "folds": FOLDS,
        }


def split_folds(samples: Sequence[TrainingSample], seed: int, count: int = FOLDS) -> list[int]:
    """A parte de cada amostra, de 0 a ``count - 1``.

    As da mesma pergunta ficam juntas, para que nenhuma seja treinada e medida; fora isso, cada
    parte recebe tantas quanto possível de cada tipo.
    """
    groups: dict[str, list[int]] = {}
    for index, sample in enumerate(samples):
        groups.setdefault(normal_text(sample.prompt), []).append(index)
    order = list(groups.values())
    random.Random(seed).shuffle(order)
    order.sort(key=len, reverse=True)
    held: list[dict[str, int]] = [{} for _ in range(count)]
    folds = [0] * len(samples)
    for group in order:
        kinds = [samples[i].kind for i in group]
        chosen = min(
            range(count),
            key=lambda fold: (sum(held[fold].get(k, 0) for k in kinds), sum(held[fold].values())),
        )
        for index, kind in zip(group, kinds):
            folds[index] = chosen
            held[chosen][kind] = held[chosen].get(kind, 0) + 1
    return folds


def measure_preference(scored: Sequence[Scored]) -> Preference | None:
    """O acerto e a margem, com intervalos; ``None`` se não há o que comparar."""
    wins, gaps = comparisons(scored)
    compared = [i for i, win in enumerate(wins) if win is not None]
    if not compared:
        return None
    items = [scored[i] for i in compared]
    accuracy = intervals.by_index(len(items), _mean_of(items, 0))
    margin = intervals.by_index(len(items), _mean_of(items, 1))
    return Preference(_cautious(accuracy, len(items)), margin, len(items))


def comparisons(scored: Sequence[Scored]) -> tuple[list[float | None], list[float | None]]:
    """Por amostra: (a parte das comparações que acerta, a distância média); ``None`` sem nenhuma.

    Um empate vale meio acerto.
    """
    wins: list[float | None] = []
    gaps: list[float | None] = []
    goods, bads = _by_fold(scored)
    for item in scored:
        if item.better is not None and item.worse is not None:
            found = np.array([item.better - item.worse])
        elif item.better is not None:
            found = item.better - bads.get(item.fold, np.zeros(0))
        else:
            found = goods.get(item.fold, np.zeros(0)) - item.worse
        empty = not len(found)
        wins.append(None if empty else float(((found > 0) + 0.5 * (found == 0)).mean()))
        gaps.append(None if empty else float(found.mean()))
    return wins, gaps


def _by_fold(scored: Sequence[Scored]) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
    """Os r das respostas avaliadas sozinhas, boas e ruins, de cada parte."""
    sides: tuple[dict[int, list[float]], dict[int, list[float]]] = ({}, {})
    for item in scored:
        if (item.better is None) != (item.worse is None):
            side, value = (0, item.better) if item.worse is None else (1, item.worse)
            assert value is not None
            sides[side].setdefault(item.fold, []).append(value)
    good, bad = ({k: np.array(v) for k, v in side.items()} for side in sides)
    return good, bad


def _mean_of(items: Sequence[Scored], which: int) -> Callable[[np.ndarray], float]:
    """A média dos acertos (0) ou das distâncias (1) das amostras de índices dados.

    As comparações são refeitas só entre as sorteadas: cada uma participa de várias, e sortear as
    médias prontas esconderia isso.
    """

    def statistic(chosen: np.ndarray) -> float:
        found = [v for v in comparisons([items[i] for i in chosen])[which] if v is not None]
        return float(np.mean(found)) if found else (COIN if which == 0 else 0.0)

    return statistic


def _cautious(accuracy: Estimate, items: int) -> Estimate:
    """O intervalo, sem ser mais otimista que o de Wilson para ``items`` respostas."""
    hits = int(accuracy.value * items)
    wilson = binomtest(hits, items).proportion_ci(CONFIDENCE, method="wilson")
    low = float(wilson.low) if accuracy.low is None else min(accuracy.low, float(wilson.low))
    high = 1.0 if accuracy.high is None else max(accuracy.high, float(wilson.high))
    return Estimate(accuracy.value, low, high)


def chained(judge: Preference, model: Preference) -> Preference:
    """O acerto do modelo no gosto da pessoa, dos dois elos: juiz e pessoa, modelo e juiz."""

    def both(a: float | None, b: float | None) -> float:
        above = [max((COIN if end is None else end) - COIN, 0.0) for end in (a, b)]
        return COIN + 2 * above[0] * above[1]

    first, second = judge.accuracy, model.accuracy
    value = COIN + 2 * (first.value - COIN) * (second.value - COIN)
    low, high = both(first.low, second.low), both(first.high, second.high)
    return Preference(Estimate(value, low, high), model.margin, min(judge.items, model.items))


def text_change(before: np.ndarray, after: np.ndarray) -> Estimate:
    """Quanto o texto piorou, em fração (0,01 é 1 %), dos bits de cada trecho antes e depois."""

    def statistic(old: Any, new: Any, axis: int) -> Any:
        return np.sum(new, axis=axis) / np.sum(old, axis=axis) - 1

    return intervals.estimate(statistic, before, after)
