"""``index``: põe documentos no índice de um modelo, atualiza, retira e conta o que há."""

from __future__ import annotations

import argparse
import difflib
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from src.cli.runner import option, say
from src.config.config import Config
from src.utils.errors import UsageError
from src.utils.logging_utils import is_interactive
from src.utils.model_store import RETRIEVER_DIR, ModelStore
from src.utils.numbers import counted, decimal

PROGRESS_SECONDS = 0.2
PROGRESS_COLUMNS = 30  # cobre a linha anterior, que pode ser mais comprida
INTERRUPTED = (
    "Interrompido. O que já estava gravado no índice continua; repita o comando para terminar."
)


def run(args: argparse.Namespace, config: Config) -> dict[str, Any]:
    """Muda o índice e diz como ficou."""
    if not (args.docs or args.update or args.remove or args.stats):
        raise UsageError(
            "Diga o que fazer: --docs PASTA indexa, --update relê o que mudou, --remove retira, "
            "--stats mostra o que há."
        )
    store = ModelStore(config.paths.models_dir)
    folder = store.path(args.model) / RETRIEVER_DIR
    if not (args.docs or args.update or args.remove):
        return show_stats(args, config, folder)
    from src.retrieval.storage import index_lock, lock_file

    if not args.docs:
        require_index(args.model, config, folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    wait = "Outro processo está indexando estes documentos; esperando a vez."
    try:
        with index_lock(folder, on_wait=lambda: say(args, wait)):
            return change(args, config, folder, store)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(INTERRUPTED) from error
    finally:
        remove_if_empty(folder.parent, lock_file(folder))


def remove_if_empty(folder: Path, lock: Path) -> None:
    """Apaga a pasta que esta chamada criou e em que só ficou a trava."""
    if folder.is_dir() and set(folder.iterdir()) <= {lock}:
        lock.unlink(missing_ok=True)
        folder.rmdir()


def require_index(name: str, config: Config, folder: Path) -> None:
    """Erros:
    UsageError: o modelo ainda não tem documentos.
    """
    from src.retrieval.storage import index_exists

    if config.rag.backend == "local" and not index_exists(folder):
        raise UsageError(
            f"'{name}' ainda não tem documentos. Para indexá-los: python main.py index --model "
            f"{name} --docs PASTA"
        )


def change(
    args: argparse.Namespace, config: Config, folder: Path, store: ModelStore
) -> dict[str, Any]:
    """Lê o índice, muda e grava, já com a trava."""
    from src.models.rag_retriever import RAGRetriever

    started = time.perf_counter()
    retriever = RAGRetriever.open(config, folder)
    result: dict[str, Any] = {"model": args.model, "exit_code": 0}
    if args.remove:
        result["removed_chunks"] = remove(args, retriever)
    if args.docs or args.update:
        report = add(args, config, retriever, folder)
        result |= report.to_dict()
        for line in report.lines():
            show = say if report.exit_code == 0 else _always
            show(args, line)
    if len(retriever) or result["exit_code"] == 0:
        retriever.save(folder)
    result |= {"stats": retriever.stats(), "seconds": round(time.perf_counter() - started, 2)}
    stats = result["stats"]
    say(
        args,
        f"No índice: {counted(stats['documents'], 'documento', 'documentos')}, "
        f"{counted(stats['chunks'], 'trecho', 'trechos')} "
        f"({decimal(result['seconds'], 1)} s).",
    )
    if not store.exists(args.model):
        say(
            args,
            f"Ainda não há um modelo '{args.model}': chat responde citando. Para criá-lo: "
            f"python main.py create --name {args.model}",
        )
    return result


def _always(args: argparse.Namespace, text: str) -> None:
    print(text, file=sys.stderr)


def add(args: argparse.Namespace, config: Config, retriever: Any, folder: Path) -> Any:
    """Indexa ``--docs``; só com ``--update``, os padrões da última vez.

    Erros:
        UsageError: não se sabe que arquivos reler.
    """
    patterns = args.docs or retriever.patterns
    if not patterns:
        raise UsageError(
            "--update: o índice não veio de arquivos; não há o que reler. Diga quais: --docs PASTA"
        )
    return retriever.add_files(
        patterns,
        update=args.update,
        max_file_mb=option(args.max_file_mb, config.training.max_file_mb),
        progress=Progress(args),
        checkpoint=lambda: retriever.save(folder),
    )


def remove(args: argparse.Namespace, retriever: Any) -> int:
    """Tira os documentos de ``--remove``; ou todos, ou nenhum.

    Erros:
        UsageError: um deles não está no índice; a mensagem diz os mais parecidos.
    """
    names = list(retriever.documents)
    chosen = [find_document(name, names) for name in args.remove]
    return sum(retriever.remove_document(name) for name in chosen)


def find_document(name: str, known: list[str]) -> str:
    """O documento de nome ``name``: inteiro, ou só o do arquivo, se é um só."""
    if name in known:
        return name
    same = [item for item in known if Path(item).name == name or Path(item) == Path(name)]
    if len(same) == 1:
        return same[0]
    short = {Path(item).name: item for item in known}
    found = difflib.get_close_matches(Path(name).name, short, 3)
    close = same or [short[item] for item in found]
    hint = f" Você quis dizer {' ou '.join(map(repr, close))}?" if close else ""
    raise UsageError(f"--remove '{name}': não está no índice.{hint} --stats mostra o que há.")


def show_stats(args: argparse.Namespace, config: Config, folder: Path) -> dict[str, Any]:
    """O que há no índice."""
    from src.chat.terminal_text import one_line
    from src.models.rag_retriever import RAGRetriever

    require_index(args.model, config, folder)
    retriever = RAGRetriever.open(config, folder)
    stats = retriever.stats()
    documents: list[dict[str, Any]] = [
        {"file": record.file, "title": record.title, "chunks": record.chunks}
        for record in retriever.documents.values()
    ]
    if not args.json:
        print(f"Documentos: {stats['documents']}; trechos: {stats['chunks']}.")
        print(f"Vetores: {stats['encoder'] or 'nenhum'} ({stats['dimension']} dimensões).")
        print(f"Criado: {_when(stats['created'])}; atualizado: {_when(stats['updated'])}.")
        print(f"Em disco: {_size(stats['size_bytes'])}.")
        for item in documents:
            title = f" ({item['title']})" if item["title"] else ""
            count = counted(item["chunks"], "trecho", "trechos")
            print("  " + one_line(f"{item['file']}{title}: {count}", sys.maxsize))
    return {"model": args.model, **stats, "files": documents}


def _when(stamp: str | None) -> str:
    """Uma data do índice, na hora daqui."""
    if not stamp:
        return "-"
    return datetime.fromisoformat(stamp).astimezone().strftime("%d/%m/%Y %H:%M")


def _size(size_bytes: int) -> str:
    return f"{decimal(size_bytes / 2**20, 1)} MB"


class Progress:
    """Quanto falta, numa linha que se reescreve; sem terminal, calado."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.shown = not (args.quiet or args.json) and is_interactive(sys.stderr)
        self.last = 0.0

    def __call__(self, done: int, total: int, what: str) -> None:
        """Mostra ``done`` de ``total``; ``what`` é o arquivo, ou os vetores."""
        now = time.monotonic()
        if not self.shown or (done < total and now - self.last < PROGRESS_SECONDS):
            return
        self.last = now
        from src.models.rag_retriever import VECTORS_STEP

        name = "vetores" if what == VECTORS_STEP else "arquivos"
        end = "\n" if done == total else ""
        line = f"{done}/{total} {name}".ljust(PROGRESS_COLUMNS)
        print(f"\r{line}", end=end, file=sys.stderr, flush=True)
