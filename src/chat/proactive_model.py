"""O modelo linear da proatividade: dos traços de uma mensagem à probabilidade de cada padrão.

Glossário (letra, significado):
    f  traço: um n-grama de palavras, um n-grama de letras ou uma pista que casou
    v  valor de f na mensagem: 1, ou ``CHARACTER_VALUE`` nos n-gramas de letras, dividido pela norma
    w  pesos de f, um por rótulo      b  viés, um por rótulo

    p(rótulo) = softmax(soma de v w + b)

É uma regressão logística multinomial (scikit-learn) treinada por ``scripts/train_proactivity.py``
com mensagens escritas para isso. Aqui só se leem os pesos, que são inteiros de -127 a 127 vezes uma
escala: uma mensagem leva décimos de milissegundo, sem scikit-learn.
"""

import json
import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from src.chat.proactive_matching import Match
from src.chat.proactive_text import Reading

WEIGHTS_FILE = Path(__file__).with_name("proactive_weights.json")
WORD_SIZES, CHARACTER_SIZES = (1, 2, 3), (2, 3, 4, 5)
CHARACTER_VALUE = 0.3  # são muitos por palavra: valem menos cada um


def features(reading: Reading, matches: Iterable[Match]) -> set[str]:
    """Os traços de uma mensagem.

    ``w:`` n-gramas de palavras, ``c:`` de letras, ``p:`` pista, ``l:`` pista na última oração,
    ``e:`` pista numa anterior, ``P:`` padrão de alguma pista.
    """
    found = set(_word_ngrams(reading.words)) | set(_character_ngrams(reading.words))
    last = reading.clauses[-1] if reading.words else 0
    for match in matches:
        place = "l:" if reading.clauses[match.last] == last else "e:"
        found |= {f"p:{match.name}", place + match.name, f"P:{match.name.split('.')[0]}"}
    return found


def _word_ngrams(words: Iterable[str]) -> Iterator[str]:
    padded = ["^", *words, "$"]
    for size in WORD_SIZES:
        for start in range(len(padded) - size + 1):
            yield "w:" + " ".join(padded[start : start + size])


def _character_ngrams(words: Iterable[str]) -> Iterator[str]:
    for word in set(words):
        padded = f" {word} "
        for size in CHARACTER_SIZES:
            for start in range(len(padded) - size + 1):
                yield "c:" + padded[start : start + size]


def feature_values(found: Collection[str]) -> dict[str, float]:
    """O valor de cada traço, com a norma do conjunto igual a 1."""
    values = {name: CHARACTER_VALUE if name[0] == "c" else 1.0 for name in found}
    norm = math.sqrt(sum(value * value for value in values.values())) or 1.0
    return {name: value / norm for name, value in values.items()}


@dataclass(frozen=True)
class PatternModel:
    """Os pesos treinados.

    labels: os rótulos. weights: traço -> um inteiro por rótulo; vezes ``scale``, o peso. bias: um
    por rótulo. neutral_below: uma mensagem só pede algo se p(neutro) fica abaixo disto.
    """

    labels: tuple[str, ...]
    weights: dict[str, tuple[int, ...]]
    scale: float
    bias: tuple[float, ...]
    neutral_below: float

    def probabilities(self, found: Collection[str]) -> dict[str, float]:
        """A probabilidade de cada rótulo; traços que o modelo não conhece não contam."""
        totals = list(self.bias)
        known = [name for name in found if name in self.weights]
        for name, value in feature_values(known).items():
            for place, weight in enumerate(self.weights[name]):
                totals[place] += value * weight * self.scale
        highest = max(totals)
        powers = [math.exp(total - highest) for total in totals]
        return {label: power / sum(powers) for label, power in zip(self.labels, powers)}


@cache
def load_model() -> PatternModel:
    """O modelo que vem com o projeto."""
    return read_model(WEIGHTS_FILE)


def read_model(path: Path) -> PatternModel:
    """Os pesos gravados por ``scripts/train_proactivity.py``."""
    saved = json.loads(path.read_text("utf-8"))
    rows = zip(saved["features"], zip(*saved["weights"]))
    return PatternModel(
        tuple(saved["labels"]),
        {name: tuple(row) for name, row in rows},
        saved["scale"],
        tuple(saved["bias"]),
        saved["neutral_below"],
    )
