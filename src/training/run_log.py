"""Lê o que um treino deixou em ``training/``: medidas, acontecimentos, amostras e resumo.

``metrics.jsonl`` só cresce: nele podem estar vários treinos, e o mesmo passo duas vezes quando um
treino parou e foi retomado de antes. Aqui fica só o último treino, e de cada passo só a última
vez. Uma queda pode deixar linhas pela metade: são puladas e contadas.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from src.utils.atomic_io import storage_error

Record = dict[str, Any]
CLOCK_SLACK_S = 2.0  # o manifesto arredonda a hora para segundos


@dataclass(frozen=True)
class RunLog:
    """O último treino de uma pasta.

    rows: as linhas com um passo. events: as que têm ``event``, menos ``start``. samples: respostas.
    start: a linha de início, vazia se não há. summary, manifest: os JSONs do treino; vazios se não
    há ou se são de um treino anterior. damaged: linhas e arquivos que não se pôde ler.
    """

    rows: list[Record] = field(default_factory=list)
    events: list[Record] = field(default_factory=list)
    samples: list[Record] = field(default_factory=list)
    start: Record = field(default_factory=dict)
    summary: Record = field(default_factory=dict)
    manifest: Record = field(default_factory=dict)
    damaged: int = 0

    def series(self, key: str) -> list[tuple[float, float]]:
        """Os pontos (passo, valor) de ``key``, só os finitos."""
        points = [(number(row.get("step")), number(row.get(key))) for row in self.rows]
        return [(step, value) for step, value in points if step is not None and value is not None]

    def stages(self) -> Iterator[tuple[str, list[Record]]]:
        """Os estágios, na ordem, com as linhas de cada um; nada se o treino não tem estágios."""
        name: str | None = None
        rows: list[Record] = []
        for row in self.rows:
            stage = name if row.get("stage") is None else str(row["stage"])
            if name is not None and stage != name:
                yield name, rows
                rows = []
            if stage is not None:
                name = stage
                rows.append(row)
        if name is not None:
            yield name, rows


def number(value: Any) -> float | None:
    """``value`` como número, se é um número finito; senão ``None``."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def read_run(folder: Path) -> RunLog:
    """O último treino gravado em ``folder`` (a pasta do modelo).

    Erros:
        StorageError: um dos arquivos existe e o disco não o deixa ler.
    """
    training = folder / "training"
    records, damaged = _read_lines(training / "metrics.jsonl", _is_metric)
    samples, bad_samples = _read_lines(training / "samples.jsonl", _is_sample)
    start, kept = last_run(records)
    rows = [record for record in kept if number(record.get("step")) is not None]
    events = [record for record in kept if record.get("event")]
    summary, bad_summary = _read_object(training / "summary.json")
    manifest, bad_manifest = _read_object(training / "manifest.json")
    if not _finished(kept or [start], manifest):
        summary, manifest = {}, {}
    return RunLog(
        rows,
        events,
        run_samples(samples, start, events),
        start,
        summary,
        manifest,
        damaged + bad_samples + bad_summary + bad_manifest,
    )


def last_run(records: list[Record]) -> tuple[Record, list[Record]]:
    """A linha ``start`` do último treino e o que veio depois, sem o que foi refeito.

    Uma linha ``resume`` no passo N anula o que há de passos acima de N antes dela. Uma medida de
    um passo menor que o anterior anula o que há desse passo em diante: é o que se vê quando a
    linha que dizia ``start`` ou ``resume`` se perdeu numa queda.
    """
    begin = max((i for i, r in enumerate(records) if r.get("event") == "start"), default=-1)
    start = records[begin] if begin >= 0 else {}
    kept: list[Record] = []
    last = -math.inf
    for record in records[begin + 1 :]:
        step = number(record.get("step"))
        if record.get("event") == "resume":
            if step is not None:
                kept, last = [r for r in kept if not _after(r, step)], step
        elif step is not None and not record.get("event"):
            if step < last:
                kept = [r for r in kept if not _after(r, step - 1)]
            last = step
        kept.append(record)
    return start, kept


def _after(record: Record, step: float) -> bool:
    """Se ``record`` é de depois do passo ``step``; uma retomada nunca se apaga."""
    own = number(record.get("step"))
    return own is not None and own > step and record.get("event") != "resume"


def run_samples(samples: list[Record], start: Record, events: list[Record]) -> list[Record]:
    """As amostras do treino que começou em ``start``, sem as que uma retomada refez.

    De cada par (passo, pergunta) fica a última.
    """
    began = number(start.get("time")) or 0.0
    resumes = [event for event in events if event.get("event") == "resume"]
    kept = {}
    for sample in samples:
        when = number(sample.get("time"))
        redone = when is not None and any(
            when < (number(resume.get("time")) or 0.0)
            and sample["step"] > (number(resume.get("step")) or 0.0)
            for resume in resumes
        )
        if not redone and (when is None or when >= began):
            kept[sample["step"], sample["prompt"]] = sample
    return sorted(kept.values(), key=lambda sample: sample["step"])


def _finished(kept: list[Record], manifest: Record) -> bool:
    """Se o manifesto, gravado no fim de um treino, é deste, e não de um anterior."""
    times = [time for record in kept if (time := number(record.get("time"))) is not None]
    try:
        done = datetime.strptime(str(manifest.get("date")), "%Y-%m-%dT%H:%M:%S%z").timestamp()
    except ValueError:
        return True  # sem data não há como dizer que é de outro
    return not times or done >= max(times) - CLOCK_SLACK_S


def _is_metric(record: Record) -> bool:
    return bool(record.get("event")) or number(record.get("step")) is not None


def _is_sample(record: Record) -> bool:
    texts = all(isinstance(record.get(key), str) for key in ("prompt", "answer"))
    return texts and number(record.get("step")) is not None


def _read_lines(path: Path, good: Any) -> tuple[list[Record], int]:
    """Os registros de um JSONL que servem, e quantas linhas não servem."""
    lines = [line for line in _read_bytes(path).split(b"\n") if line.strip()]
    parsed = [_parsed(line) for line in lines]
    records = [record for record in parsed if record is not None and good(record)]
    return records, len(lines) - len(records)


def _read_object(path: Path) -> tuple[Record, int]:
    """O objeto de um JSON; se está danificado, um vazio, e conta 1."""
    data = _read_bytes(path)
    record = _parsed(data) if data.strip() else None
    return (record or {}), int(record is None and path.exists())


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise storage_error(error, path) from error


def _parsed(line: bytes) -> Record | None:
    try:
        record = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
