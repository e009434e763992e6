"""O histórico das medidas: ``logs/benchmarks.jsonl``, uma medição por linha, só acrescentada.

Duas medições se comparam quando são da mesma coisa na mesma máquina (``KEY``), e pela razão sobre o
par medido junto, que não muda quando a máquina fica mais lenta. Se as variações se tocam, nenhuma
das duas venceu.
"""

import json
import logging
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from src.evaluation.speed import FEW_ROUNDS, ratio_spread
from src.evaluation.timing import MIN_REPEATS, Spread
from src.utils.atomic_io import storage_error

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
#: O que precisa ser igual para que duas medições se comparem.
KEY = ("benchmark", "model", "device", "new_tokens", "processor", "threads", "gpu")
_LOCK_SECONDS = 30
_ROW_FIELDS = (
    "seq_len repeats median_ms low_ms high_ms peer_median_ms ratio ratio_low ratio_high"
).split()


def new_record(benchmark: str, rows: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """Uma medição, datada, pronta para o histórico."""
    return {
        "version": FORMAT_VERSION,
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "benchmark": benchmark,
        "commit": commit(),
        **fields,
        "rows": rows,
    }


def commit() -> str | None:
    """O commit do código, se ele está num repositório git; ``None`` se não."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "--short", "HEAD"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        logger.debug("o commit não pôde ser lido: %s", error)
        return None
    return done.stdout.strip() or None


def append(path: Path, record: dict[str, Any]) -> None:
    """Acrescenta uma linha; o que já está no arquivo nunca é reescrito.

    Uma linha que uma queda deixou pela metade fica como está, e a nova começa na linha seguinte.

    Erros:
        StorageError: o disco recusou.
    """
    from filelock import FileLock

    line = (json.dumps(record, ensure_ascii=False) + "\n").encode("utf-8")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock", timeout=_LOCK_SECONDS):
            if not ends_a_line(path):
                line = b"\n" + line
            with open(path, "ab") as stream:
                stream.write(line)
                stream.flush()
                os.fsync(stream.fileno())
    except OSError as error:
        raise storage_error(error, path) from error


def ends_a_line(path: Path) -> bool:
    """Se o que se acrescentar a ``path`` começa uma linha: ele termina uma, é vazio ou não há."""
    if not path.exists() or not path.stat().st_size:
        return True
    with open(path, "rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"


def read(path: Path) -> list[dict[str, Any]]:
    """As medições, da mais antiga à mais nova; linhas danificadas são puladas, com um aviso.

    Erros:
        StorageError: o arquivo existe e não pode ser lido.
    """
    try:
        lines = path.read_bytes().split(b"\n") if path.exists() else []
    except OSError as error:
        raise storage_error(error, path) from error
    records = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        record = _parsed(line)
        if record is None:
            logger.warning("%s:%d não é uma medição que se possa ler; pulada.", path, number)
        else:
            records.append(record)
    return records


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or record.get("version") != FORMAT_VERSION:
        return None
    rows, texts = record.get("rows"), (record.get("date"), record.get("benchmark"))
    good = isinstance(rows, list) and all(map(_good_row, rows))
    good = good and all(isinstance(text, str) for text in texts)
    return record if good and isinstance(record.get("machine"), dict) else None


def _good_row(row: Any) -> bool:
    """Se a linha tem, em números, tudo o que se lê dela."""
    return isinstance(row, dict) and all(
        isinstance(row.get(name), (int, float)) and row[name] > 0 for name in _ROW_FIELDS
    )


def comparable(record: dict[str, Any]) -> tuple[str, ...]:
    """O que identifica a série de uma medição."""
    values = {**record.get("machine", {}), **record}
    return tuple(json.dumps(values.get(name), sort_keys=True) for name in KEY)


def series(records: list[dict[str, Any]], current: dict[str, Any]) -> list[dict[str, Any]]:
    """As medições comparáveis a ``current``, na ordem."""
    key = comparable(current)
    return [record for record in records if comparable(record) == key]


def compare(earlier: Sequence[dict[str, Any]], current: dict[str, Any]) -> dict[str, Any]:
    """O que mudou desde as medições anteriores da mesma série.

    Cada tamanho de prompt é comparado à última medição em que ele aparece.

    Returns:
        ``machine``: o tempo do par agora sobre o de antes, que diz como estava a máquina; ``rows``:
        por tamanho, as duas razões e ``verdict``: "igual" quando as variações se tocam, senão "mais
        rápido" ou "mais lento", com ``change``, a variação relativa da razão.
    """
    before = {row["seq_len"]: row for record in earlier for row in record["rows"]}
    rows, drifts = [], []
    for row in current["rows"]:
        old = before.get(row["seq_len"])
        if old is None:
            continue
        was, now = ratio_spread(old), ratio_spread(row)
        drifts.append(row["peer_median_ms"] / old["peer_median_ms"])
        rows.append(
            {
                "seq_len": row["seq_len"],
                "previous": was.median,
                "current": now.median,
                "change": now.median / was.median - 1,
                "verdict": _verdict(old, row),
            }
        )
    machine = Spread.of(drifts).median if drifts else None
    return {"previous_date": earlier[-1]["date"], "machine": machine, "rows": rows}


def _verdict(old: dict[str, Any], row: dict[str, Any]) -> str:
    was, now = ratio_spread(old), ratio_spread(row)
    if min(old["repeats"], row["repeats"]) < MIN_REPEATS:
        return FEW_ROUNDS
    if was.overlaps(now):
        return "igual"
    return "mais rápido" if now.median < was.median else "mais lento"
