"""``search``: procura nos documentos de um modelo e mostra os trechos."""

from __future__ import annotations

import argparse
import shutil
import sys
import textwrap
import time
from typing import Any

from src.cli.index import require_index
from src.cli.runner import option, say
from src.config.config import Config
from src.utils.errors import UsageError
from src.utils.logging_utils import is_interactive
from src.utils.model_store import RETRIEVER_DIR, ModelStore

PLAIN_COLUMNS = 100  # sem terminal


def run(args: argparse.Namespace, config: Config) -> dict[str, Any]:
    """Os trechos que mais respondem, do melhor ao pior."""
    if not args.prompt.strip():
        raise UsageError("A pergunta veio vazia: use -p 'sua pergunta'.")
    folder = ModelStore(config.paths.models_dir).path(args.model) / RETRIEVER_DIR
    require_index(args.model, config, folder)
    from src.chat.grounding import numbered
    from src.models.rag_retriever import RAGRetriever

    retriever = RAGRetriever.open(config, folder)
    started = time.perf_counter()
    found = retriever.retrieve(
        args.prompt,
        option(args.top_k, config.rag.top_k),
        min_relevance=args.min_relevance,
    )
    seconds = time.perf_counter() - started
    answered = bool(found) and found[0].relevance >= retriever.threshold
    sources = numbered(found)
    if not args.json:
        for source in sources:
            show(source)
        if not found:
            say(args, "Nenhum trecho encontrado.")
        elif not answered:
            say(args, "Os documentos não parecem responder a esta pergunta.")
    return {
        "query": args.prompt,
        "results": [source.to_dict() for source in sources],
        "answered": answered,
        "seconds": round(seconds, 4),
    }


def show(source: Any) -> None:
    """Um trecho na tela, sem o que mandaria no terminal."""
    from src.chat.terminal_text import clean_text

    print(" ".join(clean_text(source.heading).split()))
    width = PLAIN_COLUMNS
    if is_interactive(sys.stdout):
        width = max(shutil.get_terminal_size().columns, 20)
    for paragraph in clean_text(str(source.passage)).splitlines():
        print(textwrap.fill(paragraph, width, initial_indent="    ", subsequent_indent="    "))
    print()
