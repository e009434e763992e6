"""Os gráficos dos relatórios: SVG pelo matplotlib, para dentro da página, sem arquivos soltos.

Usa ``Figure`` diretamente, sem ``pyplot``: nada de estado global nem de janelas.
"""

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from src.evaluation.intervals import Estimate

COLORS = ("#3b5bdb", "#e8590c", "#2b8a3e", "#862e9c", "#0b7285", "#c2255c")
_STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # um $ num nome é só um $
    "svg.hashsalt": "lunagpt",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e9ecef",
    "axes.axisbelow": True,
    "axes.edgecolor": "#868e96",
}


def _figure(width: float, height: float, columns: int = 1) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)[0]
    return figure, list(axes)


def _svg(figure: Any) -> str:
    """A figura como texto ``<svg>...</svg>``."""
    stream = io.StringIO()
    unnamed = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(stream, format="svg", metadata=unnamed)
    text = stream.getvalue()
    return text[text.index("<svg") :]


def _styled(draw: Any) -> Any:
    """Desenha sempre no mesmo estilo, sem mexer no de quem chama."""

    def run(*args: Any, **kwargs: Any) -> str:
        from matplotlib import rc_context

        with rc_context(_STYLE):
            found: str = draw(*args, **kwargs)
            return found

    run.__doc__ = draw.__doc__
    return run


def _comma(axis: Any) -> None:
    """Números redondos no eixo, com vírgula e só as casas que têm."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{round(v, 6):g}".replace(".", ",")))


@_styled
def bars(groups: dict[str, dict[str, Estimate]], xlabel: str) -> str:
    """Uma barra por medida e por modelo, com o intervalo de 95 %.

    Args:
        groups: modelo -> medida -> valor. Todos têm as mesmas medidas.
    """
    names = list(next(iter(groups.values())))
    figure, (axis,) = _figure(7.2, 0.7 + 0.32 * len(names) * len(groups) + 0.15 * len(names))
    height = 0.8 / len(groups)
    for index, (model, values) in enumerate(groups.items()):
        places_y = np.arange(len(names)) + (index - (len(groups) - 1) / 2) * height
        heights = [values[name].value for name in names]
        axis.barh(places_y, heights, height * 0.92, color=COLORS[index], label=model)
        for y, name in zip(places_y, names):
            found = values[name]
            if found.low is not None and found.high is not None:
                axis.plot([found.low, found.high], [y, y], color="#212529", linewidth=1.4)
    axis.set_yticks(np.arange(len(names)), names)
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    axis.set_xlabel(xlabel)
    _comma(axis.xaxis)
    if len(groups) > 1:
        axis.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    return _svg(figure)


@_styled
def distribution(values: dict[str, Sequence[float]], xlabel: str) -> str:
    """Um histograma por modelo, nas mesmas faixas."""
    figure, (axis,) = _figure(7.2, 2.8)
    low, high = np.percentile(np.concatenate([np.asarray(v) for v in values.values()]), (0.5, 99.5))
    edges = np.linspace(low, high if high > low else low + 1, 30)
    for index, (name, found) in enumerate(values.items()):
        axis.hist(
            np.clip(found, edges[0], edges[-1]), edges, color=COLORS[index], alpha=0.55, label=name
        )
    axis.set_xlabel(xlabel)
    axis.set_ylabel("textos ou trechos")
    _comma(axis.xaxis)
    if len(values) > 1:
        axis.legend(frameon=False, fontsize=9)
    return _svg(figure)


@_styled
def scatter(first: Sequence[float], second: Sequence[float], names: tuple[str, str]) -> str:
    """Um ponto por trecho: o primeiro modelo na horizontal, o segundo na vertical."""
    figure, (axis,) = _figure(4.6, 4.4)
    both = np.concatenate([first, second])
    low, high = np.percentile(both, (0.5, 99.5))
    axis.plot([low, high], [low, high], color="#868e96", linewidth=1, linestyle="--")
    axis.scatter(first, second, s=9, alpha=0.5, color=COLORS[0], linewidths=0)
    margin = 0.05 * (high - low or 1)
    axis.set_xlim(low - margin, high + margin)
    axis.set_ylim(low - margin, high + margin)
    axis.set_xlabel(f"bits por byte: {names[0]}")
    axis.set_ylabel(f"bits por byte: {names[1]}")
    _comma(axis.xaxis)
    _comma(axis.yaxis)
    return _svg(figure)


@_styled
def speed(rows: Sequence[dict[str, Any]], peer: str) -> str:
    """À esquerda, o tempo de cada tamanho de prompt, do modelo e do par; à direita, a razão."""
    figure, (left, right) = _figure(8.6, 3.0, columns=2)
    sizes = [row["seq_len"] for row in rows]
    medians = [row["median_ms"] for row in rows]
    spread = [
        [row["median_ms"] - row["low_ms"] for row in rows],
        [row["high_ms"] - row["median_ms"] for row in rows],
    ]
    left.errorbar(sizes, medians, yerr=spread, marker="o", color=COLORS[0], label="este modelo")
    peers = [row["peer_median_ms"] for row in rows]
    left.plot(sizes, peers, marker="s", color=COLORS[1], label=peer)
    left.set_ylabel("ms por resposta")
    left.set_ylim(bottom=0)
    left.legend(frameon=False, fontsize=9)
    ratios = [row["ratio"] for row in rows]
    spread = [
        [row["ratio"] - row["ratio_low"] for row in rows],
        [row["ratio_high"] - row["ratio"] for row in rows],
    ]
    right.errorbar(sizes, ratios, yerr=spread, marker="o", color=COLORS[0])
    right.axhline(1, color="#868e96", linewidth=1, linestyle="--")
    right.set_ylabel("razão dos tempos")
    _comma(right.yaxis)
    for axis in (left, right):
        axis.set_xscale("log", base=2)
        axis.set_xticks(sizes, [str(size) for size in sizes])
        axis.minorticks_off()
        axis.set_xlabel("tokens do prompt")
    return _svg(figure)


@_styled
def over_time(records: Sequence[dict[str, Any]]) -> str:
    """A razão de cada tamanho de prompt, medição a medição."""
    figure, (axis,) = _figure(8.6, 3.4)
    sizes = sorted({row["seq_len"] for record in records for row in record["rows"]})
    for index, size in enumerate(sizes):
        points = [
            (place, row)
            for place, record in enumerate(records)
            for row in record["rows"]
            if row["seq_len"] == size
        ]
        where = [place + (index - len(sizes) / 2) * 0.06 for place, _ in points]
        middle = [row["ratio"] for _, row in points]
        spread = [
            [row["ratio"] - row["ratio_low"] for _, row in points],
            [row["ratio_high"] - row["ratio"] for _, row in points],
        ]
        color = COLORS[index % len(COLORS)]
        axis.errorbar(
            where, middle, yerr=spread, marker="o", color=color, label=str(size), linewidth=1
        )
    step = math.ceil(len(records) / 12)
    places = list(range(0, len(records), step))
    labels = [records[place]["date"][:16].replace("T", "\n") for place in places]
    axis.set_xticks(places, labels, fontsize=8)
    axis.axhline(1, color="#868e96", linewidth=1, linestyle="--")
    axis.set_ylabel("tempo sobre o do GPT-2")
    _comma(axis.yaxis)
    axis.legend(title="tokens", frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return _svg(figure)
