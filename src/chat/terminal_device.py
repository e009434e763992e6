"""O terminal em si: a largura, a escrita sem espera e o teclado calado."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from src.utils.logging_utils import is_interactive

try:
    import termios
except ImportError:  # no Windows não há
    termios = None  # type: ignore[assignment]

DEFAULT_COLUMNS = 80


@contextmanager
def silent_keyboard() -> Iterator[None]:
    """Enquanto vale, o que se digita não aparece no meio da resposta; fica para o convite."""
    if termios is None or not is_interactive(sys.stdin):
        yield
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    quiet = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    try:
        termios.tcsetattr(descriptor, termios.TCSANOW, quiet)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)


def write_now(text: str) -> None:
    """Escreve na saída, sem esperar."""
    sys.stdout.write(text)
    sys.stdout.flush()


def columns_now() -> int:
    """A largura de stdout agora; a janela pode mudar no meio da resposta."""
    return columns(sys.stdout)


def columns(stream: Any) -> int:
    """A largura do terminal; sem terminal, larga o bastante para nada quebrar."""
    if not is_interactive(stream):
        return sys.maxsize
    return max(shutil.get_terminal_size((DEFAULT_COLUMNS, 24)).columns, 1)
