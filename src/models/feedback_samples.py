"""Das avaliações às amostras de treino: o que imitar, o que evitar e com que peso.

    u        utilidade de uma avaliação, de -1 (evitar) a 1 (imitar)
    w        recência: 0,5 elevado a idade / meia-vida                     (0, 1]
    m        média das utilidades de uma mesma resposta, pesada por w
    a        acordo: |m| / média de |u|; 1 se todas vão para o mesmo lado   [0, 1]
    peso     |m| * a * w da mais nova                                       (0, 1]

A nota vale 1..5 -> -1, -0,5, 0, 0,5, 1; os aspectos, a média deles na mesma escala; com os dois, a
nota conta em dobro. Uma correção faz um par (a correção é melhor que a resposta) de peso w, ou a
metade se a resposta também foi bem avaliada. O NPS é da experiência toda e não faz amostra.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from src.models.feedback_records import Record, is_judgement, moment
from src.utils.numbers import counted

HALF_LIFE_DAYS = 90.0
MIN_MEAN = 0.25  # |m| abaixo disto não diz para que lado ir
_DAY_SECONDS = 86_400.0
_LIKED_PAIR = 0.5  # o peso de corrigir uma resposta de que se gostou

Group = list[Record]


@dataclass(frozen=True)
class TrainingSample:
    """O que uma resposta avaliada ensina.

    Atributos:
        prompt: a pergunta. history: as falas de antes dela, com ``role`` e ``content``.
        chosen: o que imitar; ``None`` se só há o que evitar. rejected: o inverso.
        weight: de 0 (exclusive) a 1.
        ids: as avaliações de onde veio. timestamp: a hora da mais nova, em ISO 8601.
    """

    prompt: str
    chosen: str | None
    rejected: str | None
    weight: float
    persona: str | None
    history: tuple[dict[str, str], ...]
    ids: tuple[str, ...]
    timestamp: str | None

    @property
    def kind(self) -> str:
        """``paired`` (os dois), ``desirable`` (só ``chosen``) ou ``undesirable`` (só o outro)."""
        if self.chosen is None:
            return "undesirable"
        return "desirable" if self.rejected is None else "paired"


@dataclass(frozen=True)
class SampleSet:
    """As amostras e o que se fez para chegar a elas.

    Atributos:
        notes: o que ficou de fora e por quê, uma frase por motivo.
        counts: quantas amostras de cada tipo; quantas avaliações se leram (``records``), quantas
            ficaram de fora (``nps_only``, ``blank``, ``neutral``, ``contradictory``) e quantas
            correções deram lugar a uma mais nova (``superseded``).
    """

    samples: list[TrainingSample]
    notes: list[str]
    counts: dict[str, int]


def training_samples(
    records: Iterable[Record],
    now: datetime | None = None,
    half_life_days: float = HALF_LIFE_DAYS,
) -> SampleSet:
    """As amostras de treino que as avaliações dão.

    As da mesma pergunta, resposta, persona e conversa até ali (sem diferença de maiúsculas e de
    espaços) fazem uma amostra só. De correções diferentes da mesma pergunta, a mais nova vence.

    Args:
        records: avaliações de ``FeedbackSystem``.
        now: de onde se conta a idade; ``None``, da avaliação mais nova. Sem hora, uma avaliação tem
            a idade da mais antiga.
        half_life_days: a idade, em dias, em que uma avaliação vale a metade.
    """
    records = list(records)
    recency = _Recency(records, now, half_life_days)
    counts: Counter[str] = Counter()
    usable = [record for record in records if _usable(record, counts)]
    groups: dict[tuple, Group] = {}
    for record in usable:
        groups.setdefault((_question(record), normal_text(record["response"])), []).append(record)
    corrections = _newest_corrections(groups.values(), recency, counts)
    found = [_sample(group, corrections, recency, counts) for group in groups.values()]
    samples = [sample for sample in found if sample is not None]
    counts.update(sample.kind for sample in samples)
    totals = {name: counts[name] for name in _COUNTED} | {"records": len(records)}
    return SampleSet(samples, _notes(totals), totals)


_COUNTED = (
    *("paired", "desirable", "undesirable"),
    *("nps_only", "blank", "neutral", "contradictory", "superseded"),
)


def _usable(record: Record, counts: Counter) -> bool:
    """Se a avaliação pode fazer amostra; se não, conta o motivo."""
    if not is_judgement(record):
        counts["nps_only"] += 1
        return False
    if not record["prompt"].strip() or not (record["response"].strip() or _correction(record)):
        counts["blank"] += 1
        return False
    return True


# --- Utilidade, recência e acordo ----------------------------------------------------------------


def utility(record: Record) -> float | None:
    """De -1 (evitar) a 1 (imitar); ``None`` se não há nota nem aspecto."""
    aspects = list(record.get("aspects", {}).values())
    parts = [(record["rating"], 2)] if "rating" in record else []
    parts += [(sum(aspects) / len(aspects), 1)] if aspects else []
    total = sum(weight for _, weight in parts)
    return sum((value - 3) / 2 * weight for value, weight in parts) / total if parts else None


class _Recency:
    """Quanto vale uma avaliação pela idade: 0,5 elevado a idade / meia-vida."""

    def __init__(self, records: list[Record], now: datetime | None, half_life_days: float) -> None:
        times = [when for record in records if (when := moment(record.get("timestamp")))]
        self.reference = (moment(now) if now else None) or max(times, default=None)
        self.oldest = min(times, default=None)
        self.half_life_days = half_life_days

    def time(self, record: Record) -> datetime | None:
        """A hora da avaliação, ou a da mais antiga."""
        return moment(record.get("timestamp")) or self.oldest

    def of(self, record: Record) -> float:
        """A recência, de 0 (exclusive) a 1."""
        when = self.time(record)
        if when is None or self.reference is None:
            return 1.0
        days = max(0.0, (self.reference - when).total_seconds() / _DAY_SECONDS)
        return max(0.5 ** (days / self.half_life_days), 1e-9)

    def newest(self, group: Group) -> Record:
        """A mais nova de um grupo; no empate, a última."""
        best = group[0]
        for record in group[1:]:
            older, when = self.time(best), self.time(record)
            if older is None or when is None or when >= older:
                best = record
        return best


def _agreement(group: Group, recency: _Recency) -> tuple[float, float]:
    """A média das utilidades (m) e o acordo (a), pesados pela recência; sem nenhuma, (0, 0)."""
    rated = [(value, recency.of(r)) for r in group if (value := utility(r)) is not None]
    total = sum(weight for _, weight in rated)
    if not total:
        return 0.0, 0.0
    mean = sum(value * weight for value, weight in rated) / total
    size = sum(abs(value) * weight for value, weight in rated) / total
    return mean, abs(mean) / size if size else 0.0


# --- As amostras ---------------------------------------------------------------------------------


def _sample(
    group: Group, corrections: dict[tuple, str], recency: _Recency, counts: Counter
) -> TrainingSample | None:
    """A amostra de um grupo; ``None``, e o motivo contado, se ele não diz para que lado ir."""
    mean, agreement = _agreement(group, recency)
    newest = recency.newest(group)
    response = newest["response"]
    if corrected := [record for record in group if _correction(record)]:
        latest = recency.newest(corrected)
        chosen = corrections[_question(latest)]
        weight = recency.of(latest) * (_LIKED_PAIR if mean > 0 else 1.0)
        same = not response.strip() or normal_text(chosen) == normal_text(response)
        return _build(group, latest, chosen, None if same else response, weight)
    if abs(mean) < MIN_MEAN:
        quiet = all(abs(utility(record) or 0.0) < MIN_MEAN for record in group)
        counts["neutral" if quiet else "contradictory"] += len(group)
        return None
    weight = abs(mean) * agreement * recency.of(newest)
    good = mean > 0
    return _build(group, newest, response if good else None, None if good else response, weight)


def _build(
    group: Group, newest: Record, chosen: str | None, rejected: str | None, weight: float
) -> TrainingSample:
    return TrainingSample(
        prompt=newest["prompt"],
        chosen=chosen,
        rejected=rejected,
        weight=weight,
        persona=newest.get("persona"),
        history=tuple(newest.get("history", ())),
        ids=tuple(record["id"] for record in group),
        timestamp=newest.get("timestamp"),
    )


def _newest_corrections(
    groups: Iterable[Group], recency: _Recency, counts: Counter
) -> dict[tuple, str]:
    """Pergunta -> a correção mais nova dela; as outras, se diferentes, contam como superadas."""
    by_question: dict[tuple, Group] = {}
    for group in groups:
        for record in filter(_correction, group):
            by_question.setdefault(_question(record), []).append(record)
    found = {}
    for question, corrected in by_question.items():
        winner = _correction(recency.newest(corrected))
        found[question] = winner
        others = (normal_text(_correction(record)) for record in corrected)
        counts["superseded"] += sum(other != normal_text(winner) for other in others)
    return found


def _correction(record: Record) -> str:
    """A correção; ``""`` se não há, ou se é igual à resposta."""
    text = record.get("correction", "")
    return "" if normal_text(text) == normal_text(record["response"]) else text


def _question(record: Record) -> tuple:
    """O que faz de duas perguntas a mesma: o texto, a persona e as falas de antes."""
    turns = tuple(
        (turn["role"], normal_text(turn["content"])) for turn in record.get("history", ())
    )
    return normal_text(record["prompt"]), record.get("persona"), turns


def normal_text(text: str) -> str:
    """Sem diferença de maiúsculas e de espaços."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


_NOTES = {
    "neutral": (
        "avaliação neutra ficou de fora: não diz se é para imitar ou evitar",
        "avaliações neutras ficaram de fora: não dizem se é para imitar ou evitar",
    ),
    "contradictory": (
        "avaliação ficou de fora: contradiz outra da mesma resposta",
        "avaliações ficaram de fora: contradizem-se, e falta uma maioria",
    ),
    "superseded": (
        "correção deu lugar a uma mais nova da mesma pergunta",
        "correções deram lugar a outras, mais novas, da mesma pergunta",
    ),
    "blank": (
        "avaliação ficou de fora: falta o texto da pergunta ou da resposta",
        "avaliações ficaram de fora: falta o texto da pergunta ou da resposta",
    ),
    "nps_only": (
        "avaliação só tem NPS, que é da experiência toda e não ensina uma resposta",
        "avaliações só têm NPS, que é da experiência toda e não ensina uma resposta",
    ),
}


def _notes(counts: dict[str, int]) -> list[str]:
    found = ((counts[name], *texts) for name, texts in _NOTES.items())
    return [f"{counted(count, one, many)}." for count, one, many in found if count]
