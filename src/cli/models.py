"""``models``: lista, renomeia, apaga, exporta e importa modelos."""

import argparse
import sys
from typing import Any

from src.cli.runner import parameters_text, say
from src.config.config import Config
from src.utils.errors import UsageError
from src.utils.model_store import ModelStore
from src.utils.numbers import decimal

#: ação -> (quantos nomes pede, como se escreve)
ACTIONS = {
    "list": ((0,), "models list"),
    "rename": ((2,), "models rename ATUAL NOVO"),
    "remove": ((1,), "models remove NOME"),
    "export": ((1, 2), "models export NOME [ARQUIVO.tar.gz]"),
    "import": ((1, 2), "models import ARQUIVO [NOME]"),
}


def run(args: argparse.Namespace, config: Config) -> dict[str, Any]:
    """Roda a ação pedida."""
    if args.action not in ACTIONS:
        raise UsageError(f"models {args.action}: ação desconhecida; há {', '.join(ACTIONS)}.")
    counts, form = ACTIONS[args.action]
    if len(args.names) not in counts:
        raise UsageError(f"models {args.action}: esperado 'main.py {form}'.")
    store = ModelStore(config.paths.models_dir)
    actions = {
        "list": _list,
        "rename": _rename,
        "remove": _remove,
        "export": _export,
        "import": _import,
    }
    return actions[args.action](args, store)


def _list(args: argparse.Namespace, store: ModelStore) -> dict[str, Any]:
    entries = store.list()
    if not args.json:
        for entry in entries:
            size = f"{decimal(entry.size_bytes / 1e6, 1)} MB"
            count = parameters_text(entry.parameters) if entry.parameters else "?"
            state = "" if entry.complete else "  (incompleto)"
            when = entry.modified.strftime("%d/%m/%Y %H:%M")
            print(f"{entry.name:<24} {size:>12}  {count:>24}  {when}{state}")
    indexes = store.documents_only()
    for name in indexes:
        say(args, f"{name}: só documentos, sem modelo. Para criá-lo: create --name {name}")
    if not entries:
        say(args, "Nenhum modelo ainda. Crie um: python main.py create --name MeuLunaGPT")
    return {
        "models": [
            {
                "name": entry.name,
                "path": str(entry.path),
                "size_bytes": entry.size_bytes,
                "parameters": entry.parameters,
                "modified": entry.modified.isoformat(),
                "complete": entry.complete,
            }
            for entry in entries
        ],
        "documents_only": [{"name": name, "path": str(store.path(name))} for name in indexes],
    }


def _rename(args: argparse.Namespace, store: ModelStore) -> dict[str, Any]:
    old, new = args.names
    path = store.rename(old, new)
    say(args, f"'{old}' agora se chama '{new}'.")
    return {"renamed": old, "name": new, "path": str(path)}


def _remove(args: argparse.Namespace, store: ModelStore) -> dict[str, Any]:
    name = args.names[0]
    if not store.has_only_documents(name):
        store.require(name)
    if not args.force:
        if not sys.stdin.isatty():
            raise UsageError(f"models remove {name}: sem terminal para perguntar; use --force.")
        print(f"Apagar '{name}' de vez? [s/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("s", "sim"):
            say(args, "Nada foi apagado.")
            return {"removed": None}
    store.remove(name)
    say(args, f"'{name}' foi apagado.")
    return {"removed": name}


def _export(args: argparse.Namespace, store: ModelStore) -> dict[str, Any]:
    name = args.names[0]
    archive = args.names[1] if len(args.names) > 1 else f"{name}.tar.gz"
    path = store.export(name, archive, include_checkpoints=args.checkpoints, force=args.force)
    say(args, f"'{name}' exportado para {path}.")
    return {"exported": name, "archive": str(path)}


def _import(args: argparse.Namespace, store: ModelStore) -> dict[str, Any]:
    archive = args.names[0]
    name = args.names[1] if len(args.names) > 1 else None
    path = store.import_archive(archive, name, force=args.force)
    say(args, f"Modelo '{path.name}' importado.")
    return {"imported": path.name, "path": str(path)}
