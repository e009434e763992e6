"""Dois modelos lado a lado: a diferença em cada medida, com o seu próprio intervalo.

Os dois viram os mesmos trechos e as mesmas perguntas, e o que se reamostra são os pares.
"""

from dataclasses import dataclass
from typing import Any

from src.evaluation import intervals, text_metrics
from src.evaluation.data import GROUPS
from src.evaluation.intervals import Estimate
from src.evaluation.likelihood import UnitScores
from src.evaluation.questions import ACCURACY_NAMES, Answered, grades

#: Entre dois modelos iguais, a reamostragem acusava uma diferença em 48 % das vezes com 2
#: unidades, em 9 % com 10 e em 7 % com 20 (docs/LOG.md).
MIN_UNITS = 20


@dataclass
class Measured:
    """O que se mediu de um modelo, com as partes de que a comparação precisa."""

    scores: dict[str, UnitScores]
    turns: list[Answered]
    questions: list[Answered]
    result: dict[str, Any]


def differences(first: Measured, second: Measured) -> list[dict[str, Any]]:
    """As diferenças entre os dois, medida a medida: o primeiro menos o segundo.

    ``winner`` é 1, 2 ou ``None``: o intervalo inclui o zero, há menos de ``MIN_UNITS`` unidades
    (com poucas, o intervalo é estreito demais) ou, nos bits por byte, um dos tokenizadores perde
    texto.
    """
    rows = []
    fair = all(found.result["tokenizer"]["lossless"] for found in (first, second))
    for group in ("all", *GROUPS):
        if group in first.scores and first.scores[group].bytes.sum():
            a, b = first.scores[group], second.scores[group]
            found = intervals.ratio_difference(a.bits, b.bits, a.bytes)
            name, units = f"bits_per_byte.{group}", int((a.bytes > 0).sum())
            rows.append(_difference(name, found, units, lower_is_better=True, fair=fair))
    if first.turns:
        rows += _answer_differences(first, second)
    for name in ACCURACY_NAMES:
        mine, other = (grades(found.questions, name) for found in (first, second))
        if mine:
            gap = intervals.mean_difference(mine, other)
            rows.append(_difference(f"questions.{name}", gap, len(mine)))
    return rows


def _answer_differences(first: Measured, second: Measured) -> list[dict[str, Any]]:
    references = [item.question.references[0] for item in first.turns]
    mine, other = ([item.answer for item in found.turns] for found in (first, second))
    rows: list[dict[str, Any]] = []
    for name, measure in (("bleu", text_metrics.bleu), ("chrf", text_metrics.chrf)):
        gap = measure(mine, references).minus(measure(other, references))
        rows.append(_difference(f"answers.{name}", gap, len(mine)))
    a, b = text_metrics.rouge(mine, references), text_metrics.rouge(other, references)
    for kind in text_metrics.ROUGE_TYPES:
        gap = intervals.mean_difference(a[kind], b[kind])
        rows.append(_difference(f"answers.{kind}", gap, len(mine)))
    said = [pair for pair in zip(mine, other) if all(answer.strip() for answer in pair)]
    if said:  # uma resposta vazia não se repete, e também não diz nada
        repeated = [[text_metrics.repetition(answer) for answer in side] for side in zip(*said)]
        gap = intervals.mean_difference(*repeated)
        rows.append(_difference("answers.repetition", gap, len(said), lower_is_better=True))
    return rows


def _difference(
    metric: str, found: Estimate, units: int, lower_is_better: bool = False, fair: bool = True
) -> dict[str, Any]:
    """Uma diferença e quem venceu; ninguém, com menos de ``MIN_UNITS`` unidades ou sem ``fair``."""
    winner = None
    if found.excludes_zero and units >= MIN_UNITS and fair:
        winner = 1 if (found.value < 0) == lower_is_better else 2
    return {"metric": metric, **found.to_dict(), "units": units, "winner": winner}
