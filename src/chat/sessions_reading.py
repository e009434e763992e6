"""A leitura de uma sessão de chat (o formato: ``src.chat.sessions_format``).

Também se lê um objeto ``{"messages": [{"role", "content"}], "persona"?}``, o formato de treino.

O arquivo pode ter vindo de outra pessoa, ou de uma queda no meio da gravação. Por isso só entram
falas de ``user`` e ``assistant``, tudo o que é texto passa por ``clean_text``, e a linha que não
serve é pulada e contada em ``Session.problems``. Tipos e campos desconhecidos são ignorados.
"""

import json
import os
import stat
from datetime import datetime
from pathlib import Path
from typing import Any

from src.chat.sessions_format import (
    FORMAT_VERSION,
    ROLES,
    Event,
    Session,
    clean_line,
    moment,
    plain_messages,
    title_of,
)
from src.chat.terminal_text import clean_text
from src.config.options import quoted
from src.utils.errors import DataError
from src.utils.numbers import decimal, grouped

MAX_CONTENT_CHARS = 100_000
MAX_FILE_BYTES = 50_000_000
MAX_PROBLEMS = 50  # os seguintes só se contam
_EXPECTED = (
    'esperada uma sessão do LunaGPT, cuja primeira linha é {"type": "session", ...}, ou um objeto '
    '{"messages": [{"role": "user", "content": "..."}]}'
)
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read_session(path: str | os.PathLike) -> Session:
    """Lê uma sessão, ou uma conversa no formato de treino.

    Erros:
        DataError: o arquivo não pode ser lido, é grande demais ou não é nenhum dos dois; a
            mensagem diz a linha e o que se esperava.
    """
    path = Path(path)
    data, modified = _read_bytes(path)
    lines = _lines(data.removeprefix(_UTF8_MARK))
    first = _parsed(lines[0][1]) if lines else None
    if isinstance(first, dict) and first.get("type") == "session":
        replay = _event_replay(first, lines[1:], torn=not data.endswith(b"\n"), modified=modified)
    elif (record := _training_record(first, data)) is not None:
        replay = _training_replay(record, len(lines) - 1 if record is first else 0, modified)
    else:
        raise _unrecognized(path, data, lines)
    return replay.session(path, len(data))


def _read_bytes(path: Path) -> tuple[bytes, datetime]:
    """O conteúdo e a hora da última gravação de um arquivo comum, se couber no limite."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # um pipe, por exemplo, esperaria para sempre
            raise DataError(f"'{path}': não é um arquivo comum; {_EXPECTED}.")
        with open(path, "rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"'{path}': não foi possível ler o arquivo ({reason}).") from error
    if len(data) > MAX_FILE_BYTES:
        raise DataError(
            f"'{path}': tem {decimal(status.st_size / 1e6, 1)} MB; o máximo de uma sessão é "
            f"{grouped(MAX_FILE_BYTES / 1e6)} MB."
        )
    return data, datetime.fromtimestamp(status.st_mtime).astimezone()


def _lines(data: bytes) -> list[tuple[int, bytes]]:
    """As linhas que não estão em branco, com os seus números."""
    pairs = enumerate(data.split(b"\n"), 1)
    return [(number, line) for number, line in pairs if line.strip()]


def _parsed(line: bytes) -> Any:
    """O valor JSON de uma linha; ``None`` se não for JSON em UTF-8."""
    try:
        return json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None


def _event_replay(
    header: Event, lines: list[tuple[int, bytes]], torn: bool, modified: datetime
) -> "_Replay":
    """Os acontecimentos de uma sessão; ``torn``: o arquivo não termina numa quebra de linha."""
    replay = _Replay(modified)
    replay.header(header)
    for index, (number, line) in enumerate(lines, 1):
        replay.line(number, line, torn and index == len(lines))
    return replay


def _training_record(first: Any, data: bytes) -> Event | None:
    """O objeto ``{"messages": [...]}`` da primeira linha ou, se ele ocupa várias, do arquivo."""
    value = _parsed(data.removeprefix(_UTF8_MARK)) if first is None else first
    good = isinstance(value, dict) and isinstance(value.get("messages"), list)
    return value if good else None


def _training_replay(record: Event, more: int, modified: datetime) -> "_Replay":
    """A conversa de um registro de treino; ``more``: quantos outros há no arquivo."""
    replay = _Replay(modified)
    replay.native = False
    replay.persona = clean_line(record.get("persona"))
    for index, item in enumerate(record["messages"]):
        replay.message(f"messages[{index}]", item if isinstance(item, dict) else {})
    if more:
        replay.problem(f"só a conversa da primeira linha foi lida; há mais {more} no arquivo")
    return replay


def _unrecognized(path: Path, data: bytes, lines: list[tuple[int, bytes]]) -> DataError:
    """O erro de um arquivo que não é uma sessão, com o que ele parece ser."""
    if not lines:
        return DataError(f"'{path}': está vazio; {_EXPECTED}.")
    where = f"'{path}', linha {lines[0][0]}"
    if data.startswith(_UTF16_MARKS):
        return DataError(f"{where}: está em UTF-16; esperado UTF-8. Salve-o de novo em UTF-8.")
    if b"\0" in data[:4096]:
        return DataError(f"{where}: parece um arquivo binário (ou UTF-16 sem marca); {_EXPECTED}.")
    sample = lines[0][1][:40].decode("utf-8", "replace")
    return DataError(f"{where}: {quoted(sample)} não é o começo de uma sessão; {_EXPECTED}.")


class _Replay:
    """O estado da conversa enquanto os acontecimentos se repetem."""

    def __init__(self, modified: datetime) -> None:
        self.created = self.updated = modified
        self.model = self.persona = self.context = ""
        self.mode: str | None = None
        self.native = True
        self.events: list[Event] = []
        self.problems: list[str] = []
        self.more_problems = 0
        self.last_time: datetime | None = None

    def header(self, event: Event) -> None:
        """A primeira linha."""
        self.model, self.persona = clean_line(event.get("model")), clean_line(event.get("persona"))
        self.mode = clean_line(event.get("mode")) or None
        self.context = self._text(event.get("context"), "linha 1")
        self.created = self.last_time = moment(event.get("created")) or self.created
        version = event.get("version")
        if version != FORMAT_VERSION or isinstance(version, bool):
            self.native = False
            self.problem(
                f"linha 1: a versão do formato é {quoted(version)}; esta versão do LunaGPT conhece "
                f"a {FORMAT_VERSION}, e pode não entender tudo"
            )

    def line(self, number: int, line: bytes, torn: bool) -> None:
        """Uma linha depois da primeira; ``torn``, se é a última e não chegou ao fim."""
        event, where = _parsed(line), f"linha {number}"
        if isinstance(event, dict):
            self.apply(where, event)
        elif torn:
            self.problem(f"{where}: ficou pela metade numa queda; ignorada")
        else:
            self.problem(f"{where}: não é um objeto JSON em UTF-8; ignorada")

    def apply(self, where: str, event: Event) -> None:
        """Um acontecimento; o que não se conhece é de uma versão mais nova, e não se aplica."""
        kind = event.get("type")
        if kind == "message":
            self.message(where, event)
        elif kind == "clear":
            self.events.clear()
        elif kind == "undo":
            undo_exchange(self.events)
        elif kind == "persona":
            self.persona = clean_line(event.get("persona")) or self.persona
        elif kind == "context":
            self.context = self._text(event.get("context"), where)
        self.last_time = moment(event.get("time")) or self.last_time

    def message(self, where: str, event: Event) -> None:
        """Uma fala, se for de um papel que se aceita."""
        role, content = event.get("role"), event.get("content")
        if role not in ROLES:
            self.problem(
                f"{where}: papel {quoted(role)}; esperado user ou assistant; fala ignorada"
            )
        elif not isinstance(content, str):
            self.problem(f"{where}: conteúdo {quoted(content)}; esperado um texto; fala ignorada")
        else:
            text = self._text(content, where)
            self.events.append({"role": role, "content": text} | _message_extras(event))

    def _text(self, value: Any, where: str) -> str:
        """``value`` limpo e dentro do limite; ``""`` se não for texto."""
        text = clean_text(value) if isinstance(value, str) else ""
        if len(text) > MAX_CONTENT_CHARS:
            self.problem(
                f"{where}: o texto tem {grouped(len(text))} caracteres; só os primeiros "
                f"{grouped(MAX_CONTENT_CHARS)} foram lidos"
            )
        return text[:MAX_CONTENT_CHARS]

    def problem(self, text: str) -> None:
        """Anota o que se pulou; num arquivo todo estragado, só os primeiros por extenso."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(text)
        else:
            self.more_problems += 1

    def session(self, path: Path, size: int) -> Session:
        """O resultado."""
        more = [f"... e mais {grouped(self.more_problems)}"] if self.more_problems else []
        asked = [event["content"] for event in self.events if event["role"] == "user"]
        return Session(
            id=path.stem,
            path=path,
            model=self.model,
            persona=self.persona,
            created=self.created,
            updated=self.last_time or self.updated,
            turns=len(asked),
            title=next(filter(None, map(title_of, asked)), "(vazia)"),
            size_bytes=size,
            messages=plain_messages(self.events),
            context=self.context,
            mode=self.mode,
            problems=self.problems + more,
            events=self.events,
            native=self.native,
        )


def undo_exchange(events: list[Event]) -> None:
    """Tira a última troca: da última fala do usuário em diante."""
    while events and events.pop()["role"] != "user":
        pass


def _message_extras(event: Event) -> Event:
    """O que mais uma fala traz, se for do tipo esperado."""
    found: Event = {}
    if when := moment(event.get("time")):
        found["time"] = when.isoformat()
    if persona := clean_line(event.get("persona")):
        found["persona"] = persona
    if event.get("interrupted") is True:
        found["interrupted"] = True
    for name in ("seconds", "tokens"):
        value = event.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            found[name] = value
    return found
