"""O relatório de um treino: ``training/report.html``, uma página só, e ``training/curves.png``.

Sai do que está gravado em ``training/`` (``src/training/run_log.py``), e por isso pode ser refeito
a qualquer hora, também no meio de um treino ou depois de uma queda.
"""

from datetime import datetime
from pathlib import Path
from typing import Any

from src.evaluation import plots
from src.evaluation.pages import render
from src.training.report_charts import bits_per_byte, expert_panels, main_charts
from src.training.run_log import Record, RunLog, number, read_run
from src.utils import atomic_io
from src.utils.numbers import decimal, grouped

TEMPLATES = Path(__file__).parent / "templates"
SHOWN_EVENTS, SHOWN_PROMPTS, SHOWN_ANSWERS = 40, 8, 12
MAX_TEXT = 1200  # letras de uma resposta ou de um detalhe
EVENTS = {
    "growth": "o modelo cresceu",
    "skipped": "passo pulado: o gradiente não era finito",
    "oom": "faltou memória: o lote foi dividido",
    "resume": "treino retomado",
    "early_stop": "parou antes: não melhorava mais",
    "stage": "começou outro estágio",
}
#: O que já aparece noutro lugar da página e não se repete nos detalhes de um acontecimento.
SHOWN_KEYS = frozenset(
    "event step time loss grad_norm learning_rate epoch tokens_per_second expert_load".split()
)


def write_training_report(folder: Path) -> tuple[Path, Path]:
    """Grava a página e a imagem do último treino de ``folder`` (a pasta do modelo).

    Lê ``training/metrics.jsonl``, ``samples.jsonl``, ``summary.json`` e ``manifest.json``; o que
    falta ou está danificado só faz a página menor.

    Returns:
        ``(training/report.html, training/curves.png)``.

    Erros:
        StorageError: o disco recusou; o que já estava lá continua.
    """
    log = read_run(folder)
    page, image = folder / "training" / "report.html", folder / "training" / "curves.png"
    atomic_io.write_text(page, training_page(log, folder.name))
    charts = main_charts(log)
    shown = [charts[name] for name in ("loss", "bits", "rate") if name in charts]
    atomic_io.write_bytes(image, plots.panels_png(shown, f"Treino de {folder.name}"))
    return page, image


def training_page(log: RunLog, name: str) -> str:
    """O HTML do treino ``log`` do modelo ``name``."""
    charts = {key: plots.lines(chart) for key, chart in main_charts(log).items()}
    experts = expert_panels(log)
    if experts:
        charts["experts"] = plots.shares(experts, "especialista")
    return render(
        "training.html.j2",
        [TEMPLATES],
        title=f"Treino de {name}",
        when=_date(log),
        finished=bool(log.summary),
        interrupted=bool(log.summary.get("interrupted")),
        damaged=log.damaged,
        cards=_cards(log),
        trust=str(log.summary.get("trust") or ""),
        charts=charts,
        stages=stage_rows(log),
        events=[_event(record) for record in log.events[-SHOWN_EVENTS:]],
        total_events=len(log.events),
        samples=_samples(log),
        manifest=_manifest_lines(log.manifest),
    )


# ---------------------------------------------------------------------- textos e tabelas


def _date(log: RunLog) -> str:
    times = [number(record.get("time")) for record in (log.start, *log.rows[:1])]
    return next((_clock(time) for time in times if time is not None), "")


def _clock(time: float) -> str:
    try:
        return datetime.fromtimestamp(time).strftime("%d/%m/%Y %H:%M")
    except (OverflowError, OSError, ValueError):
        return ""


def duration(seconds: float) -> str:
    """``45 s``, ``6 min 12 s``, ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _cards(log: RunLog) -> list[tuple[str, str]]:
    """(valor, o que é), só dos que se sabe."""
    summary, cards = log.summary, []
    steps = number(summary.get("steps"))
    steps = max((float(row["step"]) for row in log.rows), default=None) if steps is None else steps
    tokens, seconds = number(summary.get("tokens")), number(summary.get("seconds"))
    if steps is not None:
        cards.append((grouped(steps), "passos"))
    if tokens is not None:
        cards.append((grouped(tokens), "tokens lidos"))
    if seconds is not None:
        cards.append((duration(seconds), "de treino"))
    bits = [value for _, value in bits_per_byte(log)]
    if bits:
        path = [bits[0], bits[-1]] if len(bits) > 1 else bits
        cards.append((" → ".join(decimal(value) for value in path), "bits por byte na validação"))
    elif loss := log.series("loss"):
        cards.append((decimal(loss[-1][1]), "última perda do treino"))
    return cards


def stage_rows(log: RunLog) -> list[list[str]]:
    """Por estágio: nome, passos, perda do começo ao fim, bits por byte no fim, tokens/s e tempo."""
    table, before = [], number(log.start.get("step")) or 0.0
    for name, rows in log.stages():
        part = RunLog(rows=rows)
        last = float(rows[-1]["step"])
        loss = [value for _, value in part.series("loss")]
        bits = [value for _, value in part.series("eval_bits_per_byte")]
        speed = [value for _, value in part.series("tokens_per_second")]
        times = [time for row in rows if (time := number(row.get("time"))) is not None]
        table.append(
            [
                name,
                f"{grouped(before + 1)} a {grouped(last)}",
                f"{decimal(loss[0])} → {decimal(loss[-1])}" if loss else "-",
                decimal(bits[-1]) if bits else "-",
                grouped(sum(speed) / len(speed)) if speed else "-",
                duration(times[-1] - times[0]) if len(times) > 1 else "-",
            ]
        )
        before = last
    return table


def _event(record: Record) -> tuple[str, str, str, str]:
    """(passo, hora, o que houve, detalhes) de um acontecimento."""
    step, time = number(record.get("step")), number(record.get("time"))
    kind = str(record["event"])
    details = ", ".join(f"{key}: {value}" for key, value in record.items() if key not in SHOWN_KEYS)
    return (
        "-" if step is None else grouped(step),
        "-" if time is None else _clock(time),
        EVENTS.get(kind, kind),
        _shortened(details),
    )


def _samples(log: RunLog) -> list[tuple[str, list[tuple[str, str]]]]:
    """Por pergunta, as respostas (passo, texto) ao longo do treino."""
    found: dict[str, list[tuple[str, str]]] = {}
    for sample in log.samples:
        answer = _shortened(sample["answer"].strip()) or "(vazia)"
        found.setdefault(sample["prompt"], []).append((grouped(sample["step"]), answer))
    shown = list(found.items())[:SHOWN_PROMPTS]
    return [(_shortened(prompt), _spread(answers)) for prompt, answers in shown]


def _spread(items: list[Any]) -> list[Any]:
    """Até ``SHOWN_ANSWERS`` itens, espalhados, com o primeiro e o último."""
    if len(items) <= SHOWN_ANSWERS:
        return items
    gap = (len(items) - 1) / (SHOWN_ANSWERS - 1)
    return [items[round(place * gap)] for place in range(SHOWN_ANSWERS)]


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def _manifest_lines(manifest: Record) -> list[tuple[str, str]]:
    """(rótulo, valor) do que repete este treino: dados, semente, argumentos e versões."""
    lines = []
    files = manifest.get("files")
    names = [
        Path(str(item.get("file"))).name
        for item in (files if isinstance(files, list) else [])
        if isinstance(item, dict)
    ]
    texts = number(manifest.get("texts"))
    if texts is not None:
        lines.append(("textos", grouped(texts)))
    if names:
        more = f" e mais {len(names) - 10}" if len(names) > 10 else ""
        lines.append(("arquivos", ", ".join(names[:10]) + more))
    if "seed" in manifest:
        lines.append(("semente", str(manifest["seed"])))
    for key, label in (("arguments", "argumentos"), ("versions", "versões")):
        values = manifest.get(key)
        if isinstance(values, dict):
            lines.append((label, ", ".join(f"{name} {value}" for name, value in values.items())))
    return lines
