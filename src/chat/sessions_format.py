"""O arquivo de uma sessão de chat: o que tem dentro.

Uma sessão é um JSONL: a primeira linha é o cabeçalho e cada outra, um acontecimento, que só se
acrescenta. A conversa é o que resta depois de repetir todos, na ordem:

    {"type": "session", "version": 1, "id", "model", "persona", "mode", "context", "created"}
    {"type": "message", "role": "user" | "assistant", "content", "time", "persona",
     "interrupted"?: true, "seconds"?, "tokens"?}
    {"type": "clear"}                              a conversa recomeça
    {"type": "undo"}                               a última troca sai (/refazer)
    {"type": "persona", "persona"}                 a persona muda
    {"type": "context", "context"}                 o contexto muda
    {"type": "proactive", "pattern", "content"}    uma sugestão; não é uma fala
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from src.chat.terminal_text import clean_text, one_line

FORMAT_VERSION = 1
ROLES = ("user", "assistant")
TITLE_COLUMNS = 60
_FIELD_CHARS = 200  # nomes: modelo, persona, modo
# O que o JSON deixaria passar e que estraga o arquivo: quebras de linha do Unicode, controles e
# surrogates, que não existem em UTF-8.
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")

Message = dict[str, str]  # a de src.chat.prompting, que traz consigo as bibliotecas pesadas
Event = dict[str, Any]


@dataclass
class SessionInfo:
    """O que a listagem mostra de uma sessão."""

    id: str
    path: Path
    model: str
    persona: str
    created: datetime
    updated: datetime
    turns: int  # falas do usuário que a conversa tem agora
    title: str
    size_bytes: int
    damaged: bool = False


@dataclass
class Session(SessionInfo):
    """Uma sessão lida.

    Atributos:
        messages: as falas de agora, só com ``role`` e ``content``.
        events: as mesmas falas com tudo o que o arquivo diz delas (hora, persona, interrupção).
        problems: o que se pulou na leitura, uma frase por linha.
        native: está no formato de sessão, numa versão conhecida: pode-se acrescentar a ela.
    """

    messages: list[Message] = field(default_factory=list)
    context: str = ""
    mode: str | None = None
    problems: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    native: bool = True


# --- Escrita -------------------------------------------------------------------------------------


def encode_lines(events: Iterable[Event]) -> bytes:
    """Um acontecimento por linha, em UTF-8, qualquer que seja o texto."""
    lines = (json.dumps(event, ensure_ascii=False) + "\n" for event in events)
    return "".join(_UNSAFE.sub(_escaped, line) for line in lines).encode("utf-8")


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def header_event(session_id: str, fields: Event) -> Event:
    """O cabeçalho: a primeira linha do arquivo."""
    return {"type": "session", "version": FORMAT_VERSION, "id": session_id, **fields}


def header_fields(model: str, persona: str, mode: str | None, context: str) -> Event:
    """O que o cabeçalho diz além do id, com a hora de agora."""
    return {
        "model": clean_line(model),
        "persona": clean_line(persona),
        "mode": clean_line(mode) if mode else None,
        "context": clean_text(context),
        "created": now(),
    }


def now() -> str:
    """A hora, em ISO 8601, com a diferença para UTC."""
    return datetime.now().astimezone().isoformat()


def plain_messages(events: Iterable[Event]) -> list[Message]:
    """As falas só com ``role`` e ``content``."""
    return [{"role": event["role"], "content": event["content"]} for event in events]


def moment(value: Any) -> datetime | None:
    """Uma data ISO como ``datetime`` com fuso; ``None`` se não for uma."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value.replace("Z", "+00:00"))
        local = found.astimezone()  # confere também que se pode mostrá-la
    except (ValueError, OverflowError, OSError):
        return None
    return found if found.tzinfo else local


# --- Textos de uma linha -------------------------------------------------------------------------


def clean_line(value: Any) -> str:
    """Um nome, limpo e numa linha só; ``""`` se não for texto."""
    text = clean_text(value[: 4 * _FIELD_CHARS]) if isinstance(value, str) else ""
    return " ".join(text.split())[:_FIELD_CHARS]


def title_of(text: str) -> str:
    """O começo de ``text``, numa linha de até ``TITLE_COLUMNS`` colunas."""
    return one_line(text[: 8 * TITLE_COLUMNS], TITLE_COLUMNS)
