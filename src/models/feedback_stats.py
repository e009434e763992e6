"""Os números das avaliações: médias, distribuição, NPS e contagens."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from src.models.feedback_records import ASPECTS, Record, moment

_PROMOTER, _DETRACTOR = 9, 6  # NPS: 9 e 10 promovem, 0 a 6 detraem
RATINGS = range(1, 6)


def feedback_stats(
    records: list[Record], pending: int, archived: int, damaged: int
) -> dict[str, Any]:
    """Um dicionário pronto para JSON; médias sem nada a contar são ``None``.

    Args:
        records: as avaliações que valem, arquivadas inclusive.
        pending, archived, damaged: o que já se contou fora daqui.
    """
    times = sorted(when for record in records if (when := moment(record.get("timestamp"))))
    return {
        "total": len(records),
        "pending": pending,
        "archived": archived,
        "damaged": damaged,
        "rating": _ratings(records),
        "aspects": {name: _mean(_aspect(records, name)) for name in ASPECTS},
        "nps": nps_score(records),
        "corrections": sum(bool(record.get("correction")) for record in records),
        "by_persona": _by(records, "persona"),
        "by_model": _by(records, "model"),
        "by_version": _by(records, "model_version"),
        "first": times[0].isoformat() if times else None,
        "last": times[-1].isoformat() if times else None,
    }


def _ratings(records: list[Record]) -> dict[str, Any]:
    ratings = [record["rating"] for record in records if "rating" in record]
    counts = Counter(ratings)
    spread = {str(value): counts[value] for value in RATINGS}
    return _mean(ratings) | {"distribution": spread}


def _aspect(records: list[Record], name: str) -> list[int]:
    found = (record.get("aspects", {}).get(name) for record in records)
    return [value for value in found if value is not None]


def _mean(values: Iterable[float]) -> dict[str, Any]:
    values = list(values)
    return {"mean": sum(values) / len(values) if values else None, "count": len(values)}


def nps_score(records: list[Record]) -> dict[str, Any]:
    """O Net Promoter Score: a porcentagem que promove menos a que detrai, de -100 a 100."""
    given = [record["nps"] for record in records if "nps" in record]
    balance = sum(value >= _PROMOTER for value in given)
    balance -= sum(value <= _DETRACTOR for value in given)
    return {"score": 100 * balance / len(given) if given else None, "count": len(given)}


def _by(records: list[Record], name: str) -> dict[str, dict[str, Any]]:
    """Valor do campo -> média das notas e contagens; as que não o dizem ficam em ``""``."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(str(record.get(name, "")), []).append(record)
    return {
        key: {"total": len(group), "mean": _ratings(group)["mean"]}
        for key, group in sorted(groups.items())
    }
