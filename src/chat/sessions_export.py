"""A conversa num arquivo à parte: para retomar (``.jsonl``), treinar (``.json``, ``.txt``) ou ler
(``.md``).
"""

import json
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from src.chat.sessions_format import (
    ROLES,
    Event,
    Message,
    Session,
    clean_line,
    encode_lines,
    header_event,
    plain_messages,
)
from src.chat.terminal_text import clean_text
from src.utils import text_cleaning
from src.utils.atomic_io import write_bytes
from src.utils.documents import ROLE_LABELS
from src.utils.errors import UsageError
from src.utils.text_formats import detect_format

MARKDOWN_LABELS = {"user": "Você", "assistant": "Luna"}
#: Largura zero, e não é espaço: na frente de uma linha, ela deixa de parecer o começo de uma fala;
#: a limpeza da leitura (``src.utils.text_cleaning``) o tira, e o texto volta igual.
_ESCAPE = "\u200b"
_SEPARATOR = re.compile(r"\s*-{3,}\s*")


def export_session(
    source: Session | Sequence[Message],
    path: str | os.PathLike,
    persona: str | None = None,
    force: bool = False,
) -> Path:
    """Grava uma conversa no formato que a extensão de ``path`` diz.

    - ``.jsonl``: sessão, que ``SessionStore.load`` lê.
    - ``.json``: ``{"messages": [...], "persona": ...}``, para treinar; ``load`` também o lê.
    - ``.txt``: diálogo com ``[PERSONA]``, para treinar.
    - ``.md``: para ler.

    Args:
        source: uma sessão, ou as falas.
        persona: a persona que o arquivo diz; ``None`` usa a da sessão.
        force: substitui um arquivo que já exista.

    Returns:
        O caminho do arquivo.

    Erros:
        UsageError: a extensão não é nenhuma dessas, a pasta não existe, o arquivo já existe ou não
            há falas. StorageError: o disco recusou.
    """
    target = Path(path).expanduser()
    build = _FORMATS.get(target.suffix.lower())
    if build is None:
        raise UsageError(
            f"'{target}': a extensão diz o formato, e esta não se conhece; as que existem: "
            f"{', '.join(_FORMATS)}."
        )
    session = source if isinstance(source, Session) else _session_of(source)
    if not session.events:
        raise UsageError("A conversa não tem nenhuma fala: não há o que gravar.")
    _check_target(target, session, force)
    write_bytes(target, build(session, clean_line(persona) or session.persona))
    with suppress(OSError):  # há discos sem permissões
        os.chmod(target, 0o600)  # como a sessão de onde veio: uma conversa é privada
    return target


def _session_of(messages: Sequence[Message]) -> Session:
    """Uma sessão que só existe para ser exportada."""
    now = datetime.now().astimezone()
    events: list[Event] = [
        {"role": item["role"], "content": clean_text(item["content"])}
        for item in messages
        if item["role"] in ROLES
    ]
    return Session(
        id="",
        path=Path(),
        model="",
        persona="",
        created=now,
        updated=now,
        turns=0,
        title="",
        size_bytes=0,
        messages=plain_messages(events),
        events=events,
    )


def _check_target(target: Path, session: Session, force: bool) -> None:
    """Exige um lugar onde se possa gravar sem apagar nada por engano.

    Erros:
        UsageError: com o motivo e o que fazer.
    """
    if not target.parent.is_dir():
        raise UsageError(f"'{target}': a pasta '{target.parent}' não existe. Crie-a antes.")
    if target.is_dir() or (os.path.lexists(target) and not force):
        raise UsageError(
            f"'{target}' já existe. Escolha outro nome (ou, fora do chat, use --force)."
        )
    if target.exists() and session.path.is_file() and target.samefile(session.path):
        raise UsageError(f"'{target}' é o arquivo da própria sessão. Escolha outro nome.")


# --- Os formatos ---------------------------------------------------------------------------------


def _jsonl(session: Session, persona: str) -> bytes:
    fields = {
        "model": session.model,
        "persona": persona,
        "mode": session.mode,
        "context": session.context,
        "created": session.created.isoformat(),
    }
    header = header_event(session.id, fields)
    return encode_lines([header, *({"type": "message", **event} for event in session.events)])


def _json(session: Session, persona: str) -> bytes:
    spoken = [item for item in session.events if item["content"].strip()]  # o treino recusa vazias
    record: Event = {"messages": plain_messages(spoken)}
    if persona:
        record["persona"] = persona
    return json.dumps(record, ensure_ascii=False, indent=2).encode("utf-8", "replace") + b"\n"


def _txt(session: Session, persona: str) -> bytes:
    """Sem linhas em branco entre as falas: separadas, seriam lidas como conversas diferentes."""
    lines = [f"[PERSONA] {persona}"] if persona else []
    for event in session.events:
        if text := text_cleaning.clean_text(event["content"]):
            first, *rest = text.split("\n")
            lines.append(f"{ROLE_LABELS[event['role']]}: {first}")
            lines.extend(_ESCAPE + line if _has_meaning(line) else line for line in rest)
    return "\n".join([*lines, ""]).encode("utf-8")


def _has_meaning(line: str) -> bool:
    """Se, num diálogo, a linha seria mais do que a continuação da fala de cima."""
    return detect_format(line) != "plain" or bool(_SEPARATOR.fullmatch(line))


def _md(session: Session, persona: str) -> bytes:
    """Cada fala é uma citação: o que há dentro dela não se confunde com o nome de quem fala."""
    title = f"# Conversa com {session.model}" if session.model else "# Conversa"
    about = [f"- Data: {session.created:%d/%m/%Y %H:%M}"]
    about += [f"- Persona: {persona}"] if persona else []
    about += [f"- Contexto: {clean_line(session.context)}"] if session.context else []
    lines = [title, "", *about]
    for event in session.events:
        lines += ["", f"**{MARKDOWN_LABELS[event['role']]}:**", ""]
        lines += [f"> {line}".rstrip() for line in event["content"].split("\n")]
    return "\n".join([*lines, ""]).encode("utf-8", "replace")


_FORMATS: dict[str, Callable[[Session, str], bytes]] = {
    ".jsonl": _jsonl,
    ".json": _json,
    ".txt": _txt,
    ".md": _md,
}
