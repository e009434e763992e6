"""As páginas de relatório: um arquivo HTML só, com os gráficos dentro, que abre sem rede.

Os modelos estão em ``templates/``; o Jinja2 escapa todo texto que vem de fora.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from src.evaluation import display, plots
from src.evaluation.evaluate import Evaluation, measured_models
from src.evaluation.history import compare
from src.evaluation.intervals import Estimate
from src.evaluation.pages import render
from src.evaluation.questions import ACCURACY_NAMES
from src.evaluation.speed import PEER_NAME, displayed
from src.utils.atomic_io import write_text

SHOWN_SAMPLES = 40  # de cada grupo
SHOWN_RUNS = 60


def write_evaluation(path: Path, evaluation: Evaluation) -> None:
    """Grava a página de uma avaliação.

    Erros:
        StorageError: o disco recusou; o que já estava em ``path`` continua lá.
    """
    write_text(path, evaluation_page(evaluation))


def evaluation_page(evaluation: Evaluation) -> str:
    """O HTML de uma avaliação."""
    result = evaluation.result
    names, models = (list(part) for part in zip(*measured_models(result).items()))
    sections = [
        (section, label, display.section_rows(models, section))
        for section, label in display.SECTIONS.items()
        if result[section]
    ]
    return render(
        "evaluation.html.j2",
        title=f"Avaliação de {' e '.join(names)}",
        result=result,
        models=list(zip(names, models)),
        names=names,
        charts=_evaluation_charts(evaluation, names, models),
        groups=list(display.shown_groups(result["likelihood"]).items()),
        differences=display.difference_rows(result, names) if len(models) > 1 else [],
        directions=display.DIRECTIONS,
        sections=sections,
        resources=display.resource_rows(models),
        samples=[
            (label, len(result["samples"][section]), _samples(models, section))
            for section, label in display.SECTIONS.items()
            if result["samples"][section]
        ],
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
                    label: Estimate(**likelihood[group]["interval"])
                    for group, label in display.shown_groups(likelihoods[0]).items()
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
    for section, labels in (("answers", display.SIMILARITY_NAMES), ("questions", ACCURACY_NAMES)):
        if models[0][section]:
            charts[section] = plots.bars(
                {
                    name: {
                        display.MEASURES[label].label: _percent(model[section][label], label)
                        for label in labels
                        if label in model[section]
                    }
                    for name, model in zip(names, models)
                },
                "de 0 a 100 (mais é melhor)",
            )
    return charts


def _percent(found: dict[str, Any], name: str) -> Estimate:
    """Na escala em que se mostra."""
    scale = display.MEASURES[name].scale
    low, high = (None if found[end] is None else found[end] * scale for end in ("low", "high"))
    return Estimate(found["value"] * scale, low, high)


def _samples(models: Sequence[dict[str, Any]], section: str) -> list[dict[str, Any]]:
    """As perguntas com as respostas de cada modelo, lado a lado, e se cada uma acertou."""
    rows = [model["samples"][section][:SHOWN_SAMPLES] for model in models]
    return [
        {
            "question": items[0],
            "history": [message["content"] for message in items[0]["history"]],
            "answers": [(item["answer"], _mark(item)) for item in items],
        }
        for items in zip(*rows)
    ]


def _mark(item: dict[str, Any]) -> str:
    """✓ ou ✗ onde há como dizer: o critério dos termos ou, sem termos, se contém a esperada."""
    found = item["acceptable"] if item["acceptable"] is not None else item["contains"]
    return "" if found is None else ("✓" if found else "✗")


# ---------------------------------------------------------------------- medidas de velocidade


def write_benchmarks(path: Path, records: Sequence[dict[str, Any]]) -> None:
    """Grava a página do histórico de velocidade; ``records`` são de uma mesma série.

    Erros:
        StorageError: o disco recusou; o que já estava em ``path`` continua lá.
    """
    write_text(path, benchmarks_page(records))


def benchmarks_page(records: Sequence[dict[str, Any]]) -> str:
    """O HTML do histórico: a última medição, a comparação com a anterior e a série."""
    last, earlier = records[-1], records[:-1]
    shown = list(records[-SHOWN_RUNS:])
    charts = {"speed": plots.speed(last["rows"], PEER_NAME)}
    if earlier:
        charts["over_time"] = plots.over_time(shown)
    return render(
        "benchmarks.html.j2",
        title=f"Velocidade de {last['model']['name']}",
        last=last,
        rows=[displayed(row) for row in last["rows"]],
        comparison=compare(earlier, last) if earlier else None,
        charts=charts,
        total=len(records),
        shown=len(shown),
        peer=PEER_NAME,
    )
