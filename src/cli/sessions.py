"""``sessions``: lista, mostra, apaga e exporta as conversas guardadas."""

import argparse
import shutil
import sys
from typing import Any

from src.chat.sessions import Session, SessionInfo, SessionStore, export_session, open_store
from src.chat.terminal_text import clusters, display_width, one_line
from src.cli.runner import say
from src.config.config import Config
from src.utils.errors import LunaError, UsageError
from src.utils.logging_utils import is_interactive
from src.utils.numbers import counted

#: ação -> (quantos nomes pede, como se escreve); ``None``: um ou mais
ACTIONS = {
    "list": ((0,), "sessions list"),
    "show": ((1,), "sessions show ID"),
    "remove": (None, "sessions remove ID... (ou sessions remove --all)"),
    "export": ((2,), "sessions export ID ARQUIVO.{jsonl,json,txt,md}"),
}
LINES_FILE = "linhas.txt"  # o que já se digitou no chat
SPEAKERS = {"user": "Você", "assistant": "Luna"}
NAME_COLUMNS = 20  # o modelo e a persona, na tabela
TITLE_ROOM = 30  # colunas que o título merece
DROPPABLE = ("persona", "turns", "model", "date")  # as que saem da tabela, a primeira antes


def run(args: argparse.Namespace, config: Config) -> dict[str, Any]:
    """Roda a ação pedida."""
    if args.action not in ACTIONS:
        raise UsageError(f"sessions {args.action}: ação desconhecida; há {', '.join(ACTIONS)}.")
    counts, form = ACTIONS[args.action]
    fits = len(args.names) in counts if counts else bool(args.names) != args.all
    if not fits or (args.all and args.action != "remove"):
        raise UsageError(f"sessions {args.action}: esperado 'main.py {form}'.")
    actions = {"list": _list, "show": _show, "remove": _remove, "export": _export}
    return actions[args.action](args, open_store(config))


# --- list ----------------------------------------------------------------------------------------


def _list(args: argparse.Namespace, store: SessionStore) -> dict[str, Any]:
    found = store.list()
    if not args.json:
        width = shutil.get_terminal_size().columns if is_interactive(sys.stdout) else None
        for line in table(found, width):
            print(line)
    if not found:
        say(args, "Nenhuma conversa guardada ainda. Comece uma: python main.py chat")
    return {"sessions": [summary(info) for info in found]}


def table(found: list[SessionInfo], width: int | None) -> list[str]:
    """Uma linha por sessão, de até ``width`` colunas (``None``: inteira).

    Num terminal estreito, saem colunas para que o título, que é o que se reconhece, apareça.
    """
    columns = {
        "id": [info.id for info in found],
        "date": [info.updated.astimezone().strftime("%d/%m/%Y %H:%M") for info in found],
        "model": [one_line(info.model or "-", NAME_COLUMNS) for info in found],
        "persona": [one_line(info.persona or "-", NAME_COLUMNS) for info in found],
        "turns": [counted(info.turns, "troca", "trocas") for info in found],
    }
    titles = [info.title for info in found]
    room = min(TITLE_ROOM, max(map(display_width, titles), default=0))
    for name in DROPPABLE:
        if width is None or sum(_width(cells) + 2 for cells in columns.values()) + room <= width:
            break
        del columns[name]
    padded = [[_padded(cell, _width(cells)) for cell in cells] for cells in columns.values()]
    lines = ["  ".join(row) for row in zip(*padded, titles)]
    return lines if width is None else [_cut(line, width) for line in lines]


def _width(cells: list[str]) -> int:
    return max(map(display_width, cells), default=0)


def _padded(cell: str, width: int) -> str:
    return cell + " " * (width - display_width(cell))


def _cut(line: str, width: int) -> str:
    """Como ``one_line``, mas os espaços que alinham as colunas ficam."""
    if display_width(line) <= width:
        return line
    kept, room = [], width - 1
    for cluster in clusters(line):
        room -= display_width(cluster)
        if room < 0:
            break
        kept.append(cluster)
    return "".join(kept).rstrip() + "…"


def summary(info: SessionInfo) -> dict[str, Any]:
    """O que o ``--json`` diz de uma sessão."""
    return {
        "id": info.id,
        "path": str(info.path),
        "model": info.model,
        "persona": info.persona,
        "created": info.created.isoformat(),
        "updated": info.updated.isoformat(),
        "turns": info.turns,
        "title": info.title,
        "size_bytes": info.size_bytes,
        "damaged": info.damaged,
    }


# --- show e export -------------------------------------------------------------------------------


def _show(args: argparse.Namespace, store: SessionStore) -> dict[str, Any]:
    session = _load(args.names[0], store)
    if not args.json:
        when = session.created.astimezone().strftime("%d/%m/%Y %H:%M")
        say(args, f"{session.id}: {session.model or '?'}, {session.persona or '?'}, {when}")
        if session.context:
            say(args, f"Contexto: {session.context}")
        print("\n\n".join(map(_spoken, session.events)) or "(nenhuma fala)")
    told = {"mode": session.mode, "context": session.context, "messages": session.messages}
    return summary(session) | told | {"problems": session.problems}


def _spoken(event: dict[str, Any]) -> str:
    mark = " (resposta interrompida)" if event.get("interrupted") else ""
    return f"{SPEAKERS[event['role']]}: {event['content']}{mark}"


def _load(reference: str, store: SessionStore) -> Session:
    """Lê uma sessão guardada e diz o que nela não se aproveitou."""
    session = store.load(reference, allow_path=False)
    for problem in session.problems:
        print(f"'{session.path}', {problem}.", file=sys.stderr)
    return session


def _export(args: argparse.Namespace, store: SessionStore) -> dict[str, Any]:
    session = _load(args.names[0], store)
    path = export_session(session, args.names[1], force=args.force)
    say(args, f"'{session.id}' gravada em {path}.")
    return {"exported": session.id, "path": str(path)}


# --- remove --------------------------------------------------------------------------------------


def _remove(args: argparse.Namespace, store: SessionStore) -> dict[str, Any]:
    found = store.ids() if args.all else [store.find(name).stem for name in args.names]
    ids = list(dict.fromkeys(found))
    if not ids:
        say(args, "Nenhuma conversa guardada.")
    elif args.force or _confirmed(ids):
        _remove_each(args, store, ids)
        if args.all:  # o que se digitou nelas também
            (store.folder / LINES_FILE).unlink(missing_ok=True)
    else:
        say(args, "Nada foi apagado.")
        ids = []
    return {"removed": ids}


def _confirmed(ids: list[str]) -> bool:
    """Pergunta à pessoa.

    Erros:
        UsageError: não há terminal onde perguntar.
    """
    if not is_interactive(sys.stdin):
        raise UsageError("sessions remove: sem terminal para perguntar; use --force.")
    what = f"'{ids[0]}'" if len(ids) == 1 else f"{len(ids)} conversas"
    print(f"Apagar {what} de vez? [s/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("s", "sim")


def _remove_each(args: argparse.Namespace, store: SessionStore, ids: list[str]) -> None:
    """Apaga uma a uma; a que não se pode apagar não impede as outras.

    Erros:
        LunaError: alguma ficou; diz quais e por quê.
    """
    failures = []
    for name in ids:
        try:
            store.remove(name)
        except LunaError as error:
            failures.append(str(error))
    removed = len(ids) - len(failures)
    if removed:
        say(args, f"{counted(removed, 'conversa apagada', 'conversas apagadas')}.")
    if failures:
        raise LunaError(" ".join(failures))
