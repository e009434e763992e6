"""Os gráficos do relatório de um treino: que pontos entram em cada um."""

import math
from typing import Any

from src.evaluation.plots import Chart
from src.training.run_log import Record, RunLog, number

MAX_BLOCKS, MAX_EXPERTS = 12, 64  # quadros de especialistas desenhados e faixas em cada um
#: Acontecimentos com um traço nos gráficos, e o nome de cada traço.
MARKS = {
    "growth": "cresceu",
    "skipped": "passo pulado",
    "oom": "faltou memória",
    "resume": "retomado",
}


def main_charts(log: RunLog) -> dict[str, Chart]:
    """Os gráficos de curvas que têm ao menos um ponto: loss, bits, rate e speed."""
    marks = _marks(log)
    rate, power = _scaled(log.series("learning_rate"))
    unit = f" (× 10{_superscript(power)})" if power else ""
    charts = {
        "loss": Chart(
            {"treino": log.series("loss"), "validação": log.series("eval_loss")},
            "perda (nats por token)",
            marks=marks,
            smooth=True,
        ),
        "bits": Chart({"validação": bits_per_byte(log)}, "bits por byte", marks=marks),
        "rate": Chart({"taxa": rate}, f"taxa de aprendizado{unit}"),
        "speed": Chart(
            {"tokens/s": log.series("tokens_per_second")},
            "tokens por segundo",
            smooth=True,
            whole=True,
        ),
    }
    filled = {key: _without_empty(chart) for key, chart in charts.items()}
    return {key: chart for key, chart in filled.items() if chart.curves}


def _without_empty(chart: Chart) -> Chart:
    curves = {name: points for name, points in chart.curves.items() if points}
    return Chart(curves, chart.ylabel, marks=chart.marks, smooth=chart.smooth, whole=chart.whole)


def bits_per_byte(log: RunLog) -> list[tuple[float, float]]:
    """Os bits por byte da validação: os do caminho e, nas pontas, os medidos antes e depois."""
    points = dict(log.series("eval_bits_per_byte"))
    before, after = _measured(log.summary, "before"), _measured(log.summary, "after")
    steps = [float(row["step"]) for row in log.rows]
    last = max(steps, default=number(log.summary.get("steps")))
    if before is not None:
        points[number(log.start.get("step")) or 0.0] = before
    if after is not None and last is not None:
        points[last] = after
    return sorted(points.items())


def _measured(summary: Record, when: str) -> float | None:
    found = summary.get(when)
    return number(found.get("bits_per_byte")) if isinstance(found, dict) else None


def _scaled(points: list[tuple[float, float]]) -> tuple[list[tuple[float, float]], int]:
    """Valores pequenos multiplicados por uma potência de 10, e o expoente dela com sinal."""
    largest = max((abs(value) for _, value in points), default=0.0)
    power = math.floor(math.log10(largest)) if largest > 0 else 0
    if power >= -1:
        return points, 0
    return [(step, value / 10.0**power) for step, value in points], power


def _superscript(power: int) -> str:
    return str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _marks(log: RunLog) -> dict[str, list[float]]:
    """Os passos dos acontecimentos e das mudanças de estágio, por nome."""
    marks: dict[str, list[float]] = {}
    for record in log.events:
        name, step = MARKS.get(str(record["event"])), number(record.get("step"))
        if name is not None and step is not None:
            marks.setdefault(name, []).append(step)
    for _, rows in list(log.stages())[1:]:
        marks.setdefault("outro estágio", []).append(float(rows[0]["step"]))
    return marks


def expert_panels(log: RunLog) -> dict[str, list[tuple[float, list[float]]]]:
    """Por bloco MoE, os pontos (passo, fração dos tokens em cada especialista).

    Só entram as linhas com tantos especialistas quantos o bloco tem na última.
    """
    found: dict[int, list[tuple[float, list[float]]]] = {}
    for row in log.rows:
        blocks = row.get("expert_load")
        for index, load in enumerate(blocks[:MAX_BLOCKS] if isinstance(blocks, list) else []):
            if fractions := _fractions(load):
                found.setdefault(index, []).append((float(row["step"]), fractions))
    return {
        f"bloco MoE {index + 1}": [p for p in points if len(p[1]) == len(points[-1][1])]
        for index, points in sorted(found.items())
    }


def _fractions(load: Any) -> list[float]:
    """As frações de um bloco, somando 1; vazio se não são números."""
    values = [number(item) for item in load] if isinstance(load, list) else []
    clean = [value for value in values if value is not None and value >= 0]
    total = sum(clean)
    if len(clean) != len(values) or not 0 < len(clean) <= MAX_EXPERTS or total <= 0:
        return []
    return [value / total for value in clean]  # foram arredondadas
