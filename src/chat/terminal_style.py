"""A aparência da conversa: poucas cores, só onde há quem as veja, e símbolos com substitutos.

As cores são as do próprio terminal. Das oito básicas, só vermelho e magenta se leem bem tanto em
fundo claro como em escuro (os testes medem o contraste); o resto é negrito, sublinhado e tom baixo.
"""

import os
import sys
from typing import IO, Any

from src.utils import logging_utils

#: Os parâmetros de cada aparência (SGR, ECMA-48 8.3.117).
LOOKS = {
    "name_user": "1",  # negrito
    "name_luna": "1;35",  # negrito, magenta
    "hint": "2",  # tom baixo
    "warning": "31",  # vermelho
    "error": "1;31",
    "suggestion": "35",
    "code": "1",
    "title": "1;4",  # negrito, sublinhado
}

#: O símbolo e o que o substitui onde ele não pode ser escrito.
SYMBOLS = {
    "suggestion": ("💡", "*"),
    "bullet": ("•", "-"),
    "ellipsis": ("…", "..."),
}
_UNICODE_PROBE = "ã…•💡"
_ENABLE_VIRTUAL_TERMINAL_PROCESSING = 0x0004


class Style:
    """As aparências que a conversa usa; desligada, devolve o texto como veio.

    O texto deve chegar limpo (``clean_text``): o que já tem cores perde a de fora no fim da de
    dentro.
    """

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled

    def name_user(self, text: str) -> str:
        """O nome de quem pergunta."""
        return self._paint("name_user", text)

    def name_luna(self, text: str) -> str:
        """O nome de quem responde."""
        return self._paint("name_luna", text)

    def hint(self, text: str) -> str:
        """Uma dica, que não disputa a atenção com as respostas."""
        return self._paint("hint", text)

    def warning(self, text: str) -> str:
        """Um aviso: a conversa segue."""
        return self._paint("warning", text)

    def error(self, text: str) -> str:
        """Algo não foi feito."""
        return self._paint("error", text)

    def suggestion(self, text: str) -> str:
        """Uma sugestão da Luna."""
        return self._paint("suggestion", text)

    def code(self, text: str) -> str:
        """Algo que se digita."""
        return self._paint("code", text)

    def title(self, text: str) -> str:
        """O título de um quadro ou de uma lista."""
        return self._paint("title", text)

    def _paint(self, look: str, text: str) -> str:
        return f"\033[{LOOKS[look]}m{text}\033[0m" if self.enabled and text else text


def use_color(stream: Any) -> bool:
    """Se cabe colorir ``stream``.

    Nesta ordem: ``NO_COLOR`` com qualquer texto desliga (https://no-color.org); ``FORCE_COLOR`` ou
    ``CLICOLOR_FORCE``, com algo além de ``0``, ligam (https://bixense.com/clicolors);
    ``TERM=dumb`` e o que não é terminal desligam; no Windows, o console precisa aceitar cores.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if any(
        os.environ.get(name, "0") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")
    ):
        _console_obeys(stream)
        return True
    return logging_utils.use_color(stream) and _console_obeys(stream)


def _console_obeys(stream: Any) -> bool:
    """Se o terminal entende sequências; no Windows, pede ao console que passe a entendê-las."""
    if sys.platform != "win32":
        return True
    import ctypes
    import msvcrt
    from ctypes import wintypes

    try:
        kernel = ctypes.windll.kernel32
        handle = wintypes.HANDLE(msvcrt.get_osfhandle(stream.fileno()))
        mode = wintypes.DWORD()
        if not kernel.GetConsoleMode(handle, ctypes.byref(mode)):
            return False
        wanted = mode.value | _ENABLE_VIRTUAL_TERMINAL_PROCESSING
        return bool(kernel.SetConsoleMode(handle, wanted))
    except (AttributeError, OSError, ValueError):  # sem console, sem fileno, já fechado
        return False


def supports_unicode(stream: Any) -> bool:
    """Se a codificação de ``stream`` escreve acentos, pontuação fina e emojis."""
    return _encodes(stream, _UNICODE_PROBE)


def symbol(name: str, stream: IO[str] | None = None) -> str:
    """O símbolo ``name``, ou o substituto onde ``stream`` (a saída padrão) não o escreve."""
    preferred, plain = SYMBOLS[name]
    target = sys.stdout if stream is None else stream
    return preferred if _encodes(target, preferred) else plain


def _encodes(stream: Any, text: str) -> bool:
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True
