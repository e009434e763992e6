"""Os registros (logs) do LunaGPT: uma linha por evento, em português, na saída de erro.

A saída padrão pertence às respostas e ao ``--json``: nenhum registro é escrito nela.
"""

import io
import logging
import os
import sys
from typing import IO, Any

from src.utils.atomic_io import storage_error

LINE_FORMAT = "%(asctime)s %(nivel)s %(name)s: %(message)s"
TIME_FORMAT = "%H:%M:%S"

LEVEL_NAMES = {
    logging.DEBUG: "DETALHE",
    logging.INFO: "INFO",
    logging.WARNING: "AVISO",
    logging.ERROR: "ERRO",
    logging.CRITICAL: "GRAVE",
}
COLORS = {logging.WARNING: "\033[33m", logging.ERROR: "\033[31m", logging.CRITICAL: "\033[1;31m"}
RESET_COLOR = "\033[0m"

#: Bibliotecas que contam mais do que se quer ler.
NOISY_LIBRARIES = (
    "accelerate",
    "datasets",
    "faiss",
    "filelock",
    "fsspec",
    "httpcore",
    "httpx",
    "huggingface_hub",
    "matplotlib",
    "pdfminer",
    "peft",
    "PIL",
    "pypdf",
    "sentence_transformers",
    "torch",
    "transformers",
    "urllib3",
    "wandb",
)
_MARK = "_lunagpt_handler"  # distingue os nossos handlers dos de outros (o pytest tem os dele)


class PortugueseFormatter(logging.Formatter):
    """Hora, nível em português, origem e mensagem; colorido se o terminal aceitar."""

    def __init__(self, color: bool = False) -> None:
        super().__init__(LINE_FORMAT, TIME_FORMAT)
        self.color = color

    def format(self, record: logging.LogRecord) -> str:
        record.nivel = LEVEL_NAMES.get(record.levelno, record.levelname)
        line = super().format(record)
        color = COLORS.get(record.levelno, "") if self.color else ""
        return f"{color}{line}{RESET_COLOR}" if color else line


def setup_logging(
    level: int = logging.INFO,
    *,
    quiet: bool = False,
    debug: bool = False,
    log_file: str | os.PathLike | None = None,
    stream: IO[str] | None = None,
) -> None:
    """Configura os registros do processo. Chamar de novo substitui a configuração anterior.

    Args:
        level: nível mínimo, como em ``logging``.
        quiet: só avisos e erros (``--quiet``).
        debug: tudo, inclusive das bibliotecas (``--debug``); vale mais que ``quiet``.
        log_file: também grava neste arquivo, em UTF-8, acrescentando ao que houver.
        stream: onde escrever; ``None`` é a saída de erro.

    Erros:
        StorageError: ``log_file`` não pode ser aberto; a configuração anterior fica como estava.
    """
    if debug:
        level = logging.DEBUG
    elif quiet:
        level = max(level, logging.WARNING)
    stream = stream or sys.stderr
    handlers: list[logging.Handler] = [_mark(logging.StreamHandler(stream), use_color(stream))]
    if log_file is not None:
        handlers.append(_mark(_open_log_file(log_file), color=False))
    root = logging.getLogger()
    _remove_own_handlers(root)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    for name in NOISY_LIBRARIES:
        logging.getLogger(name).setLevel(logging.NOTSET if debug else max(level, logging.WARNING))


def _mark(handler: logging.Handler, color: bool) -> logging.Handler:
    """Dá ao handler o formato e a marca dos nossos."""
    handler.setFormatter(PortugueseFormatter(color))
    setattr(handler, _MARK, True)
    return handler


def _open_log_file(path: str | os.PathLike) -> logging.FileHandler:
    try:
        parent = os.path.dirname(os.path.abspath(path))
        os.makedirs(parent, exist_ok=True)
        return logging.FileHandler(path, mode="a", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise storage_error(error, os.fspath(path)) from error


def _remove_own_handlers(root: logging.Logger) -> None:
    for handler in [item for item in root.handlers if getattr(item, _MARK, False)]:
        root.removeHandler(handler)
        handler.close()


def ensure_utf8_streams() -> None:
    """Faz ``sys.stdout`` e ``sys.stderr`` aceitarem qualquer texto, sem nunca levantar erro.

    Redirecionadas (para arquivo ou pipe), passam a UTF-8. Num terminal que já não seja UTF-8, a
    codificação fica (é a que a fonte dele sabe mostrar) e o que não couber vira ``?``; no Windows
    o Python fala UTF-16 com o console, e UTF-8 é sempre seguro. Fluxos que não se deixam
    reconfigurar (os de um teste, os de um notebook) ficam como estão.
    """
    for name, errors in (("stdout", "backslashreplace"), ("stderr", "replace")):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper):
            continue
        if _is_utf8(stream) or os.name == "nt" or not is_interactive(stream):
            stream.reconfigure(encoding="utf-8", errors=errors)
        else:
            stream.reconfigure(errors="replace")


def _is_utf8(stream: Any) -> bool:
    return (getattr(stream, "encoding", "") or "").lower().replace("-", "") in ("utf8", "utf8sig")


def is_interactive(stream: Any) -> bool:
    """Se ``stream`` é um terminal, com alguém do outro lado; um fluxo fechado não é."""
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # sem isatty (ou None), ou já fechado
        return False


def use_color(stream: Any) -> bool:
    """Se cabe colorir ``stream``: é um terminal capaz e ``NO_COLOR`` não pede o contrário.

    ``NO_COLOR`` com qualquer texto desliga (https://no-color.org); ``TERM=dumb`` também.
    """
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return is_interactive(stream)
