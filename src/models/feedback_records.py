"""O que diz uma avaliação: os campos, os valores que se aceitam e as horas.

Uma linha do arquivo (schema 1; o que não se disse não aparece):

    {"schema": 1, "id", "type": "feedback", "timestamp", "prompt", "response",
     "rating": 1 a 5, "aspects": {"precisao", "relevancia", "tom": 1 a 5}, "nps": 0 a 10,
     "correction", "persona", "session", "model", "model_version", "sources": [...],
     "history": [{"role", "content"}], "replaces": id}

Chaves desconhecidas ficam como vieram. Linhas mais antigas, sem os campos novos, também se leem.
"""

import math
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from src.config.options import quoted
from src.config.text import without_accents
from src.utils.errors import UsageError

SCHEMA = 1
ASPECTS = ("precisao", "relevancia", "tom")
RESERVED = ("schema", "id", "type", "timestamp", "target", "targets")
JUDGEMENTS = ("rating", "aspects", "correction")  # o que diz como a resposta deveria ser
MAX_TEXT_CHARS = 1_000_000

Record = dict[str, Any]


def new_record(
    prompt: Any, response: Any, rating: Any, timestamp: Any = None, extra: Record | None = None
) -> Record:
    """Uma avaliação nova, conferida, com id e hora.

    Erros:
        UsageError: um campo tem um valor que não se aceita; a mensagem diz qual.
    """
    extra = dict(extra or {})
    if forbidden := sorted(set(extra) & set(RESERVED)):
        raise UsageError(f"{forbidden[0]}: o sistema é que preenche este campo; tire-o.")
    record = {"schema": SCHEMA, "id": uuid.uuid4().hex, "type": "feedback"}
    record["timestamp"] = timestamp_text(timestamp)
    given = {"prompt": prompt, "response": response, "rating": rating} | extra
    checked = {name: _checked(name, value) for name, value in _folded(given).items()}
    record |= {name: value for name, value in checked.items() if value or name not in _LISTS}
    if all(name not in record for name in (*JUDGEMENTS, "nps")):
        raise UsageError(
            "rating=None: esperada uma nota de 1 a 5, ou um aspecto, um NPS ou uma correção."
        )
    return record


def event(kind: str, **fields: Any) -> Record:
    """Um acontecimento: ``retract`` (com ``target``) ou ``processed`` (com ``targets``)."""
    record = {"schema": SCHEMA, "type": kind, "id": uuid.uuid4().hex}
    return record | {"timestamp": timestamp_text(None)} | fields


def loaded_record(value: Record) -> tuple[Record, str]:
    """Uma avaliação lida do arquivo, ainda sem id, e o que nela não se aproveitou (``""``: nada).

    Um campo opcional com valor estranho é ignorado; sem pergunta, resposta ou uma nota que se
    entenda, não há avaliação.

    Erros:
        UsageError: a linha não é uma avaliação; a mensagem diz o que se esperava.
    """
    when = moment(value.get("timestamp"))
    record: Record = {"id": "", "type": "feedback", "timestamp": when and when.isoformat()}
    folded = _folded({"prompt": None, "response": None} | value)
    problems = []
    for name, item in folded.items():
        try:
            if name not in record:
                record[name] = _checked(name, item)
        except UsageError as error:
            if name in _REQUIRED:
                raise
            problems.append(f"{str(error).rstrip('.')} (campo ignorado)")
    return record, "; ".join(problems)


def is_judgement(record: Record) -> bool:
    """Se a avaliação ensina alguma coisa ao modelo; o NPS, sozinho, é da experiência toda."""
    return any(record.get(name) for name in JUDGEMENTS)


# --- As horas ------------------------------------------------------------------------------------


def timestamp_text(value: Any) -> str:
    """A hora em ISO 8601, com a diferença para UTC; ``None`` é agora.

    Erros:
        UsageError: não é uma hora que se entenda.
    """
    if value is None:
        return datetime.now().astimezone().isoformat()
    when = moment(value)
    if when is None:
        raise UsageError(
            f"timestamp={quoted(value)}: esperada uma data ISO 8601 (2026-01-31T12:00:00), um "
            "datetime ou segundos desde 1970."
        )
    return when.isoformat()


def moment(value: Any) -> datetime | None:
    """Um ``datetime`` com fuso; ``None`` se ``value`` não é data, nem número, nem texto ISO."""
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return datetime.fromtimestamp(value).astimezone()
        if isinstance(value, str):
            value = datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
        if not isinstance(value, datetime):
            return None
        local = value.astimezone()  # confere também que se pode mostrá-la
        return value if value.tzinfo else local
    except (ValueError, OverflowError, OSError):
        return None


# --- Os campos -----------------------------------------------------------------------------------


def _folded(given: Mapping[str, Any]) -> Record:
    """Sem os campos ausentes, e com os aspectos dados soltos dentro de ``aspects``."""
    absent = {name for name, value in given.items() if value is None and name not in _TEXTS}
    absent |= {name for name in _NAMES if given.get(name) == ""}  # uma conversa que não se guarda
    fields = {name: value for name, value in given.items() if name not in absent}
    loose = {name: fields.pop(name) for name in ASPECTS if name in fields}
    if loose:
        aspects = fields.get("aspects", {})
        fields["aspects"] = {**aspects, **loose} if isinstance(aspects, Mapping) else aspects
    return fields


def _checked(name: str, value: Any) -> Any:
    return _CHECKS.get(name, _plain)(name, value)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{name}={quoted(value)}: esperado um texto.")
    if len(value) > MAX_TEXT_CHARS:
        raise UsageError(f"{name}: tem {len(value)} caracteres; o máximo é {MAX_TEXT_CHARS}.")
    return value


def _filled(name: str, value: Any) -> str:
    if not _text(name, value).strip():
        raise UsageError(f"{name}={quoted(value)}: está em branco; esperado um texto, ou nada.")
    return value


def _scale(low: int, high: int) -> Callable[[str, Any], int]:
    def check(name: str, value: Any) -> int:
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not whole or not low <= value <= high:
            raise UsageError(f"{name}={quoted(value)}: esperado um inteiro de {low} a {high}.")
        return int(value)

    return check


def _aspects(name: str, value: Any) -> dict[str, int]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{name}={quoted(value)}: esperado um dicionário de aspecto para nota.")
    found = {}
    for key, item in value.items():
        aspect = without_accents(key) if isinstance(key, str) and key not in ASPECTS else key
        if aspect not in ASPECTS:
            raise UsageError(f"{name}: {quoted(key)} não existe; há {', '.join(ASPECTS)}.")
        if item is not None:
            found[aspect] = _scale(1, 5)(f"{name}.{aspect}", item)
    return found


def _texts(name: str, value: Any) -> list[str]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise UsageError(f"{name}={quoted(value)}: esperada uma lista de textos.")
    return [str(_text(f"{name}[{index}]", item)) for index, item in enumerate(value)]


def _history(name: str, value: Any) -> list[dict[str, str]]:
    if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
        raise UsageError(f"{name}={quoted(value)}: esperada uma lista de falas.")
    return [_turn(f"{name}[{index}]", item) for index, item in enumerate(value)]


def _turn(where: str, item: Any) -> dict[str, str]:
    if not isinstance(item, Mapping):
        raise UsageError(f'{where}={quoted(item)}: esperado {{"role": ..., "content": ...}}.')
    return {key: _text(f"{where}.{key}", item.get(key)) for key in ("role", "content")}


def _plain(name: str, value: Any) -> Any:
    """Um valor de uma chave que não se conhece: basta que caiba em JSON."""
    if not _fits_json(value):
        raise UsageError(
            f"{name}={quoted(value)}: esperado um valor que caiba em JSON (texto, número, lista, "
            "dicionário, verdadeiro ou falso)."
        )
    return value


def _fits_json(value: Any, depth: int = 50) -> bool:
    if depth == 0:
        return False
    if isinstance(value, Mapping):
        return all(isinstance(k, str) and _fits_json(v, depth - 1) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return all(_fits_json(item, depth - 1) for item in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, (str, bool, int))


_TEXTS = ("prompt", "response")
_LISTS = ("aspects", "sources", "history")  # vazias, é como se não se dissessem
_NAMES = ("persona", "session", "model", "model_version")
_REQUIRED = (*_TEXTS, "rating")
_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "prompt": _text,
    "response": _text,
    "rating": _scale(1, 5),
    "aspects": _aspects,
    "nps": _scale(0, 10),
    "correction": _filled,
    "persona": _filled,
    "session": _filled,
    "model": _filled,
    "model_version": _filled,
    "sources": _texts,
    "history": _history,
    "replaces": _filled,
}
