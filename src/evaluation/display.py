"""Como as medidas se escrevem, no terminal e na página: nomes, sentido, escala e números."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from src.evaluation.comparison import MIN_UNITS
from src.evaluation.questions import ACCURACY_NAMES
from src.evaluation.text_metrics import ROUGE_TYPES
from src.utils.numbers import decimal, grouped

LESS, MORE = "↓", "↑"  # para que lado é melhor
DIRECTIONS = f"{LESS} menos é melhor, {MORE} mais é melhor"
NO_WINNER = "empate"


@dataclass(frozen=True)
class Measure:
    """Uma medida. label: o nome. better: o lado bom. scale: por quanto se multiplica ao mostrar.

    places: casas decimais.
    """

    label: str
    better: str
    scale: float = 100
    places: int = 1

    def text(self, found: dict[str, Any] | None) -> str:
        """O valor e o intervalo, na escala em que se mostram."""
        return with_interval(found, self.scale, self.places)


SIMILARITY_NAMES = ("bleu", "chrf", *ROUGE_TYPES)
MEASURES = {
    "bits_per_byte": Measure("bits por byte", LESS, 1, 3),
    "bleu": Measure("BLEU", MORE, 1),
    "chrf": Measure("chrF", MORE, 1),
    "rouge1": Measure("ROUGE-1", MORE),
    "rouge2": Measure("ROUGE-2", MORE),
    "rougeL": Measure("ROUGE-L", MORE),
    "repetition": Measure("repetição", LESS),
    "exact": Measure("exatas", MORE),
    "f1": Measure("F1", MORE),
    "contains": Measure("contêm a esperada", MORE),
    "acceptable": Measure("aceitáveis", MORE),
}
GROUP_LABELS = {
    "all": "tudo",
    "texts": "textos",
    "conversations": "respostas das conversas",
    "questions": "respostas das perguntas",
}
SECTIONS = {"answers": "conversas", "questions": "perguntas"}


def with_interval(found: dict[str, Any] | None, scale: float = 1, places: int = 3) -> str:
    """``1,234 (1,200 a 1,260)``; só o valor, sem intervalo; um traço, sem valor."""
    if found is None:
        return "-"
    text = decimal(found["value"] * scale, places)
    if found.get("low") is None:
        return text
    low, high = (decimal(found[end] * scale, places) for end in ("low", "high"))
    return f"{text} ({low} a {high})"


def shown_groups(likelihood: dict[str, Any]) -> dict[str, str]:
    """Os grupos medidos e o nome de cada um; com um só, "tudo" não aparece."""
    names = [name for name in GROUP_LABELS if name in likelihood]
    if len(names) == 2:
        names.remove("all")
    return {name: GROUP_LABELS[name] for name in names}


def perplexity_text(value: float | None) -> str:
    """Com duas casas; acima de mil, sem elas."""
    if value is None:
        return "-"
    return grouped(value) if value >= 1000 else decimal(value, 2)


def number_text(value: float | None, places: int = 3) -> str:
    """O número, ou um traço."""
    return "-" if value is None else decimal(value, places)


def date_text(stamp: str) -> str:
    """``2026-11-26T22:10:05+0000`` -> ``26/11/2026 22:10``; o que não for data fica como está."""
    try:
        return datetime.strptime(stamp[:16], "%Y-%m-%dT%H:%M").strftime("%d/%m/%Y %H:%M")
    except ValueError:
        return stamp


def metric_label(metric: str) -> str:
    """``answers.rougeL`` -> ``ROUGE-L, conversas ↑``."""
    section, _, name = metric.partition(".")
    if section == "bits_per_byte":
        return f"bits por byte, {GROUP_LABELS[name]} {LESS}"
    return f"{MEASURES[name].label}, {SECTIONS[section]} {MEASURES[name].better}"


def difference_rows(result: dict[str, Any], names: Sequence[str]) -> list[dict[str, str]]:
    """As diferenças como se mostram: medida, quem foi melhor e a diferença."""
    groups = shown_groups(result["likelihood"])
    rows = []
    for row in result["differences"]:
        section, _, name = row["metric"].partition(".")
        if section == "bits_per_byte" and name not in groups:
            continue
        measure = MEASURES["bits_per_byte" if section == "bits_per_byte" else name]
        winner = names[row["winner"] - 1] if row["winner"] else NO_WINNER
        if row["units"] < MIN_UNITS:
            winner = f"só {row['units']}: não se diz"
        rows.append(
            {"label": metric_label(row["metric"]), "winner": winner, "gap": measure.text(row)}
        )
    return rows


def section_rows(models: Sequence[dict[str, Any]], section: str) -> list[list[str]]:
    """Uma linha por medida das respostas (``answers`` ou ``questions``), uma coluna por modelo."""
    found = [model[section] for model in models]
    names = [*SIMILARITY_NAMES, *ACCURACY_NAMES, "repetition"]
    rows = []
    for name in names:
        if name in found[0]:
            count = found[0][name].get("count") if found[0][name] else None
            partial = f" (de {count})" if count not in (None, found[0]["count"]) else ""
            measure = MEASURES[name]
            label = f"{measure.label}{partial} {measure.better}"
            rows.append([label, *(measure.text(item[name]) for item in found)])
    variety = [f"{decimal(i['distinct_1'], 2)} / {decimal(i['distinct_2'], 2)}" for i in found]
    rows.append(["distinct-1 / distinct-2", *variety])
    rows.append(["palavras por resposta", *(decimal(item["words"], 1) for item in found)])
    rows.append(["respostas vazias", *(f"{i['empty']} de {i['count']}" for i in found)])
    return rows


def resource_rows(models: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Velocidade, memória e tokenizador."""
    rows = []
    for key, label in (("first_token_ms", "primeiro token, ms"), ("per_token_ms", "por token, ms")):
        times = [model["latency"][key] for model in models]
        cells = [f"{decimal(t['p50'], 1)} / {decimal(t['p95'], 1)}" for t in times]
        rows.append([f"{label} (p50 / p95) {LESS}", *cells])
    memories = [model["memory"] for model in models]
    if memories[0]:
        cells = [f"{decimal(m['peak_gb'], 2)} ({decimal(m['model_gb'], 2)})" for m in memories]
        rows.append([f"memória no pico, GB (do modelo) {LESS}", *cells])
        if memories[0]["vram_gb"] is not None:
            cells = [number_text(m["vram_gb"], 2) for m in memories]
            rows.append([f"memória da GPU, GB {LESS}", *cells])
    tokenizers = [model["tokenizer"] for model in models]
    cells = [number_text(item["tokens_per_word"], 2) for item in tokenizers]
    rows.append([f"tokens por palavra {LESS}", *cells])
    return rows
