"""As avaliações noutros formatos: os de preferências da TRL (JSONL) e planilhas em CSV."""

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from src.config.options import quoted
from src.config.text import without_accents
from src.models.feedback_records import ASPECTS, JUDGEMENTS, Record, moment, new_record
from src.models.feedback_samples import TrainingSample
from src.models.feedback_store import encode_line
from src.utils.atomic_io import write_bytes
from src.utils.documents import LoadReport
from src.utils.encodings import detect_encoding
from src.utils.errors import DataError, UsageError
from src.utils.readers import iter_csv

logger = logging.getLogger(__name__)
Message = dict[str, str]

# --- TRL -----------------------------------------------------------------------------------------


def to_trl_paired(samples: Iterable[TrainingSample]) -> list[dict[str, list[Message]]]:
    """Os pares, no formato conversacional de preferências da TRL (DPO, ORPO).

    Returns:
        ``{"prompt": [falas], "chosen": [fala], "rejected": [fala]}`` por amostra ``paired``; as
        outras ficam de fora.
    """
    return [
        {
            "prompt": _prompt(sample),
            "chosen": [_answer(sample.chosen)],
            "rejected": [_answer(sample.rejected)],
        }
        for sample in samples
        if sample.chosen is not None and sample.rejected is not None
    ]


def to_trl_unpaired(samples: Iterable[TrainingSample]) -> list[dict[str, Any]]:
    """Cada resposta com o seu rótulo, no formato conversacional sem pares da TRL (KTO).

    Returns:
        ``{"prompt": [falas], "completion": [fala], "label": bool}``; um par dá duas linhas.
    """
    return [
        {"prompt": _prompt(sample), "completion": [_answer(text)], "label": label}
        for sample in samples
        for text, label in ((sample.chosen, True), (sample.rejected, False))
        if text is not None
    ]


def _prompt(sample: TrainingSample) -> list[Message]:
    return [*map(dict, sample.history), {"role": "user", "content": sample.prompt}]


def _answer(text: str | None) -> Message:
    return {"role": "assistant", "content": text or ""}


FORMATS: dict[str, Callable[[Any], list[Any]]] = {
    "paired": to_trl_paired,
    "unpaired": to_trl_unpaired,
    "raw": list,
}


def export(samples: Sequence[Any], path: str | os.PathLike, kind: str, force: bool = False) -> int:
    """Grava um JSONL, inteiro ou nada, e devolve quantas linhas ele tem.

    Args:
        samples: amostras (``paired``, ``unpaired``) ou avaliações (``raw``).
        kind: um dos ``FORMATS``.
        force: substitui um arquivo que já exista.

    Erros:
        UsageError: o formato ou a pasta não existe, o arquivo já existe ou não há o que gravar.
        StorageError: o disco recusou.
    """
    if kind not in FORMATS:
        raise UsageError(f"format={quoted(kind)}: esperado um de {', '.join(FORMATS)}.")
    target = Path(path).expanduser()
    if not target.parent.is_dir():
        raise UsageError(f"'{target}': a pasta '{target.parent}' não existe. Crie-a antes.")
    if target.is_dir() or (os.path.lexists(target) and not force):
        raise UsageError(f"'{target}' já existe. Escolha outro nome ou use --force.")
    rows = FORMATS[kind](samples)
    if not rows:
        raise UsageError(f"Nenhuma avaliação dá uma linha no formato {kind}: não há o que gravar.")
    write_bytes(target, b"".join(map(encode_line, rows)))
    with suppress(OSError):  # há discos sem permissões
        os.chmod(target, 0o600)  # como o arquivo de onde veio: uma conversa é privada
    return len(rows)


# --- CSV -----------------------------------------------------------------------------------------

#: Campo -> como a coluna se pode chamar, sem acentos nem maiúsculas.
COLUMNS: dict[str, tuple[str, ...]] = {
    "prompt": ("prompt", "pergunta"),
    "response": ("response", "resposta"),
    "rating": ("rating", "nota"),
    "correction": ("correction", "correcao"),
    **{name: (name,) for name in ASPECTS},
    "nps": ("nps",),
    "persona": ("persona",),
    "timestamp": ("timestamp", "data"),
    "session": ("session", "sessao"),
    "model": ("model", "modelo"),
}
_NUMBERS = ("rating", *ASPECTS, "nps")
_JUDGED = (*JUDGEMENTS, *ASPECTS)
_DATES = ("%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%d/%m/%Y")


def import_csv(path: str | os.PathLike, report: LoadReport | None = None) -> list[Record]:
    """As avaliações de um CSV, prontas para ``FeedbackSystem.add_records``.

    O separador (vírgula, ponto e vírgula, tabulação ou barra) e a codificação são descobertos. As
    colunas são as de ``COLUMNS``, em qualquer ordem; as outras são ignoradas. O id vem do que a
    linha diz, e por isso importar o mesmo arquivo de novo não repete nada.

    Args:
        report: onde se anotam as linhas que não se aproveitam e as colunas ignoradas; ``None`` as
            põe no registro (log).

    Erros:
        DataError: o arquivo não existe, não é um CSV ou lhe falta uma coluna necessária.
    """
    path, told = Path(path).expanduser(), LoadReport() if report is None else report
    problems: list[tuple[str, str]] = []
    rows = _rows(path, lambda where, reason: problems.append((where, reason)))
    columns = max((list(row) for _, row in rows), key=len)  # uma linha curta não as tem todas
    names = _column_fields(path, columns, told)
    records, repeats = [], Counter[str]()
    for line, row in rows:
        cells = {field: row.get(column, "").strip() for column, field in names.items()}
        try:
            records.append(_record(cells, repeats))
        except UsageError as error:
            problems.append((f"{path}:{line}", str(error)))
    told.bad_records += sorted(problems, key=lambda item: int(item[0].rpartition(":")[2]))
    if report is None:
        for problem in told.warnings():
            logger.warning("%s", problem)
    return records


def _rows(path: Path, bad_record: Callable[[str, str], None]) -> list[tuple[int, dict[str, str]]]:
    """As linhas de dados, com os seus números.

    Erros:
        DataError: o arquivo não existe, não é um CSV ou não tem nenhuma.
    """
    try:
        rows = list(iter_csv(path, detect_encoding(path), bad_record))
    except FileNotFoundError as error:
        raise DataError(f"'{path}': o arquivo não existe.") from error
    except OSError as error:
        raise DataError(f"'{path}': não foi possível ler o arquivo ({error.strerror}).") from error
    if not rows:
        raise DataError(f"'{path}': não há nenhuma linha de dados; esperado um CSV com cabeçalho.")
    return rows


def _column_fields(path: Path, columns: list[str], report: LoadReport) -> dict[str, str]:
    """Coluna -> campo, das que se conhecem.

    Erros:
        DataError: falta uma coluna necessária.
    """
    known = {alias: field for field, aliases in COLUMNS.items() for alias in aliases}
    found: dict[str, str] = {}
    for column in columns:
        field = known.get(without_accents(column).strip())
        if field and field not in found.values():
            found[column] = field
    missing = [name for name in ("prompt", "response") if name not in found.values()]
    if missing or not {*_JUDGED, "nps"} & set(found.values()):
        wanted = " e ".join(f"'{' ou '.join(COLUMNS[name])}'" for name in missing or ["rating"])
        raise DataError(
            f"'{path}', linha 1: falta a coluna {wanted}; há {', '.join(map(quoted, columns))}."
        )
    if ignored := [column for column in columns if column not in found]:
        report.notices.append((str(path), f"colunas ignoradas: {', '.join(ignored)}."))
    return found


def _record(cells: dict[str, str], repeats: Counter) -> Record:
    """A avaliação de uma linha.

    Erros:
        UsageError: um valor que não se aceita, ou falta o texto.
    """
    given: Record = {name: cell for name, cell in cells.items() if cell}
    for name in (name for name in _NUMBERS if name in given):
        given[name] = _whole(name, given[name])
    judged = any(name in given for name in _JUDGED)
    for name in ("prompt", "response"):
        if judged and name not in given:
            raise UsageError(f"{name}: está em branco; esperado um texto.")
    when = _date(given.pop("timestamp", None))
    prompt, response = given.pop("prompt", ""), given.pop("response", "")
    record = new_record(prompt, response, given.pop("rating", None), when, given)
    if when is None:  # não se sabe quando foi: a hora da importação enganaria
        del record["timestamp"]
    content = json.dumps({**record, "id": ""}, sort_keys=True)
    record["id"] = hashlib.sha256(f"{content}{repeats[content]}".encode()).hexdigest()[:32]
    repeats[content] += 1
    return record


def _whole(name: str, text: str) -> float:
    try:
        value = float(text.replace(",", "."))
        return int(value) if value.is_integer() else value
    except ValueError:
        expected = "0 a 10" if name == "nps" else "1 a 5"
        raise UsageError(f"{name}={quoted(text)}: esperado um inteiro de {expected}.") from None


def _date(text: str | None) -> datetime | None:
    """A hora de uma célula: ISO 8601 ou dia/mês/ano, com ou sem hora.

    Erros:
        UsageError: não é nenhuma das duas.
    """
    if text is None:
        return None
    for form in _DATES:
        with suppress(ValueError):
            return datetime.strptime(text, form).astimezone()
    if (when := moment(text)) is None:
        raise UsageError(
            f"timestamp={quoted(text)}: esperada uma data como 31/01/2026 14:30 ou "
            "2026-01-31T14:30:00."
        )
    return when
