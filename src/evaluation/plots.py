"""Os gráficos dos relatórios: SVG pelo matplotlib, para dentro da página, sem arquivos soltos.

Usa ``Figure`` diretamente, sem ``pyplot``: nada de estado global nem de janelas.
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from src.evaluation.intervals import Estimate
from src.utils.numbers import grouped

COLORS = ("#3b5bdb", "#e8590c", "#2b8a3e", "#862e9c", "#0b7285", "#c2255c")
MARK_COLORS = ("#868e96", "#e03131", "#f08c00", "#2b8a3e", "#862e9c", "#0b7285")
MAX_POINTS = 600  # desenhados por curva; de mais, cada ponto é a média de alguns seguidos
MAX_MARKS = 40  # traços verticais de cada tipo
SMOOTHED_FROM = 40  # pontos a partir dos quais se desenha também a média móvel
DOTS_UP_TO = 40  # pontos até os quais cada um ganha uma bolinha
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


def _figure(
    width: float, height: float, columns: int = 1, rows: int = 1, **shared: Any
) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **shared)
    return figure, list(axes.flat)


def _svg(figure: Any) -> str:
    """A figura como texto ``<svg>...</svg>``."""
    stream = io.StringIO()
    unnamed = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(stream, format="svg", metadata=unnamed)
    text = stream.getvalue()
    return text[text.index("<svg") :]


def _styled(draw: Any) -> Any:
    """Desenha sempre no mesmo estilo, sem mexer no de quem chama."""

    def run(*args: Any, **kwargs: Any) -> Any:
        from matplotlib import rc_context

        with rc_context(_STYLE):
            return draw(*args, **kwargs)

    run.__doc__ = draw.__doc__
    return run


def _comma(axis: Any) -> None:
    """Números redondos no eixo, com vírgula e só as casas que têm."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{round(v, 6):g}".replace(".", ",")))


@_styled
def bars(
    groups: dict[str, dict[str, Estimate]],
    xlabel: str,
    limit: float | None = None,
    width: float = 7.2,
) -> str:
    """Uma barra por medida e por modelo, com o intervalo de 95 %.

    Args:
        groups: modelo -> medida -> valor. Todos têm as mesmas medidas.
        limit: o valor que não se deve passar, um traço vertical. width: polegadas.
    """
    names = list(next(iter(groups.values())))
    figure, (axis,) = _figure(width, 0.7 + 0.32 * len(names) * len(groups) + 0.15 * len(names))
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
    if limit is not None:
        axis.axvline(limit, color="#e03131", linewidth=1.4, linestyle="--", label="limite")
    if len(groups) > 1 or limit is not None:
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


# ---------------------------------------------------------------------- curvas


@dataclass(frozen=True)
class Chart:
    """Curvas sobre o mesmo eixo horizontal.

    curves: nome -> pontos (x, y), em ordem de x. ylabel: o que se mede. xlabel: o eixo horizontal.
    marks: nome -> valores de x com um traço vertical. smooth: desenha também a média móvel das
    curvas longas. whole: o eixo vertical só tem números inteiros e começa no zero.
    """

    curves: Mapping[str, Sequence[tuple[float, float]]]
    ylabel: str
    xlabel: str = "passo"
    marks: Mapping[str, Sequence[float]] = field(default_factory=dict)
    smooth: bool = False
    whole: bool = False


def thinned(points: Sequence[Any], limit: int = MAX_POINTS) -> np.ndarray:
    """No máximo ``limit`` linhas: cada uma é a média de linhas seguidas de ``points`` [n, m]."""
    values = np.asarray(points, dtype=float)
    size = math.ceil(len(values) / limit)
    if size <= 1:
        return values
    return np.stack([values[i : i + size].mean(axis=0) for i in range(0, len(values), size)])


def moving_mean(values: np.ndarray, width: int) -> np.ndarray:
    """A média de cada valor e de ``width // 2`` vizinhos de cada lado; menos, perto das pontas.

    Os lados têm sempre o mesmo tamanho: uma curva que desce depressa no começo não é achatada.
    """
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    side = np.minimum(np.minimum(places, places[::-1]), width // 2)
    return (sums[places + side + 1] - sums[places - side]) / (2 * side + 1)


def _grouped_ticks(axis: Any, bins: int = 7) -> None:
    """Números inteiros no eixo, com ponto nos milhares."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=bins, steps=[1, 2, 5, 10], integer=True))
    axis.set_major_formatter(FuncFormatter(lambda v, _: grouped(v)))


def _curve(
    axis: Any, name: str, points: Sequence[tuple[float, float]], color: str, smooth: bool
) -> None:
    x, y = thinned(points).T
    smooth = smooth and len(x) >= SMOOTHED_FROM
    dots = {"marker": "o", "markersize": 3.5} if len(x) <= DOTS_UP_TO else {}
    axis.plot(
        x,
        y,
        color=color,
        label=None if smooth else name,
        linewidth=0.8 if smooth else 1.6,
        alpha=0.35 if smooth else 1.0,
        **dots,
    )
    if smooth:
        axis.plot(x, moving_mean(y, len(x) // 20), color=color, label=name, linewidth=1.8)


def _draw(axis: Any, chart: Chart) -> None:
    for index, (name, points) in enumerate(chart.curves.items()):
        if len(points):
            _curve(axis, name, points, COLORS[index % len(COLORS)], chart.smooth)
    for index, (name, places) in enumerate(chart.marks.items()):
        color = MARK_COLORS[index % len(MARK_COLORS)]
        for number, x in enumerate(places[:MAX_MARKS]):
            label = None if number else name
            axis.axvline(x, color=color, linewidth=1, linestyle=":", label=label, zorder=1)
    axis.set_ylabel(chart.ylabel)
    if chart.whole:
        axis.set_ylim(bottom=0)
        _grouped_ticks(axis.yaxis)
    else:
        _comma(axis.yaxis)
    _grouped_ticks(axis.xaxis)
    if len(chart.curves) + len(chart.marks) > 1:
        axis.legend(frameon=False, fontsize=9)


@_styled
def lines(chart: Chart) -> str:
    """As curvas de ``chart`` como SVG."""
    figure, (axis,) = _figure(7.2, 3.0)
    _draw(axis, chart)
    axis.set_xlabel(chart.xlabel)
    return _svg(figure)


@_styled
def panels_png(charts: Sequence[Chart], title: str) -> bytes:
    """Os gráficos um sobre o outro, com o mesmo eixo horizontal, num PNG.

    Sem nenhum gráfico, a imagem diz que não há medidas.
    """
    rows = max(len(charts), 1)
    figure, axes = _figure(8.0, 0.5 + 2.7 * rows, rows=rows, sharex=True)
    for axis, chart in zip(axes, charts):
        _draw(axis, chart)
    if charts:
        axes[-1].set_xlabel(charts[-1].xlabel)
    else:
        axes[0].axis("off")
        axes[0].text(0.5, 0.5, "ainda sem medidas", ha="center", va="center")
    figure.suptitle(title)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120, metadata={"Software": None})
    return stream.getvalue()


@_styled
def shares(panels: Mapping[str, Sequence[tuple[float, Sequence[float]]]], part: str) -> str:
    """Como um todo se divide ao longo do tempo: um quadro por nome, faixas que somam 100 %.

    Args:
        panels: nome -> pontos (passo, frações [n]); no mesmo quadro, n é sempre o mesmo.
        part: o nome de uma parte; as faixas são ``part 1``, ``part 2``...
    """
    columns = min(len(panels), 2)
    rows = math.ceil(len(panels) / columns)
    figure, axes = _figure(2.2 + 3.1 * columns, 0.6 + 2.1 * rows, columns, rows, sharey=True)
    for axis, (name, points) in zip(axes, panels.items()):
        _draw_shares(axis, points, part)
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("passo")
    for axis in axes[len(panels) :]:
        axis.axis("off")
    for axis in axes[:: max(columns, 1)]:
        axis.set_ylabel("% dos tokens")
    largest = max(axes, key=lambda axis: len(axis.get_legend_handles_labels()[0]))
    figure.legend(
        *largest.get_legend_handles_labels(), frameon=False, fontsize=9, loc="outside right upper"
    )
    return _svg(figure)


def _draw_shares(axis: Any, points: Sequence[tuple[float, Sequence[float]]], part: str) -> None:
    table = thinned([(step, *fractions) for step, fractions in points], MAX_POINTS // 4)
    x, parts = table[:, 0], 100 * table[:, 1:].T
    names = [f"{part} {number + 1}" for number in range(len(parts))]
    colors = [COLORS[number % len(COLORS)] for number in range(len(parts))]
    if len(x) == 1:  # uma faixa de um ponto só não tem largura
        bottoms = np.concatenate([[0.0], np.cumsum(parts[:, 0])])
        for name, color, height, bottom in zip(names, colors, parts[:, 0], bottoms):
            axis.bar(x, height, 0.6, bottom, color=color, label=name, alpha=0.8)
        axis.set_xlim(x[0] - 1, x[0] + 1)
    else:
        axis.stackplot(
            x, parts, labels=names, colors=colors, alpha=0.8, linewidth=0.5, edgecolor="w"
        )
        axis.set_xlim(x[0], x[-1])
    for number in range(1, len(parts)):
        axis.axhline(100 * number / len(parts), color="#212529", linewidth=0.8, linestyle=":")
    axis.set_ylim(0, 100)
    axis.grid(visible=False)
    _grouped_ticks(axis.xaxis, 4)
