"""As páginas de relatório: um arquivo HTML só, com os gráficos dentro, que abre sem rede.

Os modelos estão em ``templates/``; o Jinja2 escapa todo texto que vem de fora.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from src.evaluation import plots
from src.evaluation.evaluate import SIMILARITY_NAMES, Evaluation, unique_names
from src.evaluation.history import compare
from src.evaluation.intervals import Estimate
from src.evaluation.questions import ACCURACY_NAMES
from src.evaluation.speed import PEER_NAME, displayed
from src.utils.atomic_io import write_text
from src.utils.numbers import decimal, grouped

TEMPLATES = Path(__file__).parent / "templates"
GROUP_LABELS = {
    "all": "tudo",
    "texts": "textos corridos",
    "conversations": "respostas das conversas",
    "questions": "respostas das perguntas",
}
METRIC_LABELS = {
    "bits_per_byte": "bits por byte",
    "bleu": "BLEU",
    "chrf": "chrF",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "repetition": "repetição",
    "exact": "exata",
    "f1": "F1",
    "contains": "contém a resposta",
    "acceptable": "aceitável",
}
SECTION_LABELS = {"answers": "conversas", "questions": "perguntas"}
SHOWN_SAMPLES = 60
SHOWN_RUNS = 60


def metric_label(metric: str) -> str:
    """``answers.rougeL`` -> ``ROUGE-L (conversas)``."""
    section, _, name = metric.partition(".")
    if section == "bits_per_byte":
        return f"bits por byte ({GROUP_LABELS[name]})"
    return f"{METRIC_LABELS[name]} ({SECTION_LABELS[section]})"


def with_interval(value: dict[str, Any] | Estimate | None, places: int = 3) -> str:
    """``1,234 (1,200 a 1,260)``; só o valor, sem intervalo; um traço, sem valor."""
    if value is None:
        return "-"
    found: dict[str, Any] = value.to_dict() if isinstance(value, Estimate) else value
    text = decimal(found["value"], places)
    if found.get("low") is None:
        return text
    return f"{text} ({decimal(found['low'], places)} a {decimal(found['high'], places)})"


def _render(name: str, **values: Any) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    helpers: dict[str, Callable[..., str]] = {
        "decimal": decimal,
        "grouped": grouped,
        "with_interval": with_interval,
        "metric_label": metric_label,
    }
    environment.globals.update(helpers)
    return environment.get_template(name).render(**values)


# ---------------------------------------------------------------------- avaliação


def write_evaluation(path: Path, evaluation: Evaluation) -> None:
    """Grava a página de uma avaliação.

    Erros:
        StorageError: o disco recusou; o que já estava em ``path`` continua lá.
    """
    write_text(path, evaluation_page(evaluation))


def evaluation_page(evaluation: Evaluation) -> str:
    """O HTML de uma avaliação."""
    result = evaluation.result
    models = [result, *([result["compare"]] if result.get("compare") else [])]
    names = unique_names([model["model"] for model in models])
    return _render(
        "evaluation.html.j2",
        title=f"Avaliação de {' e '.join(names)}",
        result=result,
        models=list(zip(names, models)),
        names=names,
        charts=_evaluation_charts(evaluation, names, models),
        groups=[
            (group, GROUP_LABELS[group]) for group in GROUP_LABELS if group in result["likelihood"]
        ],
        similarity=[(name, METRIC_LABELS[name]) for name in SIMILARITY_NAMES],
        accuracy=[(name, METRIC_LABELS[name]) for name in ACCURACY_NAMES],
        samples=_samples(models),
        shown_samples=SHOWN_SAMPLES,
    )


def _evaluation_charts(
    evaluation: Evaluation, names: Sequence[str], models: Sequence[dict[str, Any]]
) -> dict[str, str]:
    charts: dict[str, str] = {}
    likelihoods = [model["likelihood"] for model in models]
    if likelihoods[0]:
        charts["likelihood"] = plots.bars(
            {
                name: {
                    GROUP_LABELS[group]: Estimate(**found["interval"])
                    for group, found in likelihood.items()
                }
                for name, likelihood in zip(names, likelihoods)
            },
            "bits por byte (menos é melhor)",
        )
    if len(evaluation.units[0]) > 1:
        charts["units"] = plots.distribution(
            dict(zip(names, evaluation.units)), "bits por byte de cada trecho"
        )
        if len(models) > 1:
            charts["scatter"] = plots.scatter(*evaluation.units, (names[0], names[1]))
    for section, labels in (("answers", SIMILARITY_NAMES), ("questions", ACCURACY_NAMES)):
        if models[0][section]:
            charts[section] = plots.bars(
                {
                    name: {
                        METRIC_LABELS[label]: _percent(model[section][label], label)
                        for label in labels
                        if label in model[section]
                    }
                    for name, model in zip(names, models)
                },
                "de 0 a 100 (mais é melhor)",
                places=0,
            )
    return charts


def _percent(found: dict[str, Any], name: str) -> Estimate:
    """De 0 a 100: BLEU e chrF já são; o resto vai de 0 a 1."""
    scale = 1 if name in ("bleu", "chrf") else 100
    low, high = (None if found[end] is None else found[end] * scale for end in ("low", "high"))
    return Estimate(found["value"] * scale, low, high)


def _samples(models: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """As perguntas com as respostas de cada modelo, lado a lado."""
    rows = [model["samples"][:SHOWN_SAMPLES] for model in models]
    return [
        {"question": items[0], "answers": [item["answer"] for item in items]}
        for items in zip(*rows)
    ]


# ---------------------------------------------------------------------- medidas de velocidade


def write_benchmarks(path: Path, records: Sequence[dict[str, Any]]) -> None:
    """Grava a página do histórico de velocidade; ``records`` são de uma mesma série.

    Erros:
        StorageError: o disco recusou; o que já estava em ``path`` continua lá.
    """
    write_text(path, benchmarks_page(records))


def benchmarks_page(records: Sequence[dict[str, Any]]) -> str:
    """O HTML do histórico: a última medição, a comparação com a anterior e a série."""
    last, previous = records[-1], records[-2] if len(records) > 1 else None
    shown = list(records[-SHOWN_RUNS:])
    charts = {"speed": plots.speed(last["rows"], PEER_NAME)}
    if previous is not None:
        charts["over_time"] = plots.over_time(shown)
    return _render(
        "benchmarks.html.j2",
        title=f"Velocidade de {last['model']['name']}",
        last=last,
        rows=[displayed(row) for row in last["rows"]],
        comparison=compare(previous, last) if previous is not None else None,
        charts=charts,
        total=len(records),
        shown=len(shown),
        peer=PEER_NAME,
    )
