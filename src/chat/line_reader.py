"""De onde vêm as mensagens: o teclado, com edição e memória, ou linhas simples."""

import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

#: Abre e fecha uma mensagem de várias linhas.
BLOCK = '"""'
Completions = Callable[[str], Iterable[str]]


class Reader(Protocol):
    """Quem lê uma linha."""

    def read(self, label: str) -> str:
        """A próxima linha.

        Erros:
            EOFError: acabou (Ctrl-D). KeyboardInterrupt: Ctrl-C.
        """


class PlainReader:
    """Linhas de ``input``: onde não há terminal (notebooks, programas que alimentam a entrada)."""

    def read(self, label: str) -> str:
        """A próxima linha."""
        return input(label)


class KeyboardReader:
    """Teclado de verdade, pelo prompt_toolkit: setas, busca no que já se digitou, tab.

    Enter envia; Alt-Enter (ou Esc e Enter) quebra a linha; um texto colado entra inteiro.

    Args:
        complete: o que pode completar o que foi digitado até aqui.
        memory: arquivo do que já se digitou; ``None`` não guarda.
    """

    def __init__(self, complete: Completions, memory: Path | None) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.formatted_text import ANSI

        self._styled = ANSI

        self.session: PromptSession[str] = PromptSession(
            history=_line_history(memory),
            completer=_completer(complete),
            complete_while_typing=False,
            multiline=True,
            key_bindings=_enter_sends(),
            prompt_continuation=lambda width, number, wrapped: " " * width,
            enable_open_in_editor=False,
            enable_suspend=True,
            output=_terminal_output(),
        )

    def read(self, label: str) -> str:
        """A próxima linha."""
        return self.session.prompt(self._styled(label))


def make_reader(complete: Completions, memory: Path | None) -> Reader:
    """O teclado, se a entrada é um terminal; senão, linhas simples."""
    if sys.stdin is not None and sys.stdin.isatty():
        return KeyboardReader(complete, memory)
    return PlainReader()


def read_message(reader: Reader, label: str) -> str:
    """Uma mensagem: uma linha, ou as que estão entre três aspas.

    Um bloco nunca é um comando: se começa por barra, ganha outra, como em ``//texto``. Ctrl-D no
    meio de um bloco desiste só dele.

    Erros:
        EOFError, KeyboardInterrupt: como em ``Reader.read``.
    """
    return whole_message(reader, reader.read(label))


def whole_message(reader: Reader, line: str) -> str:
    """A mensagem que começa em ``line``: se ela abre três aspas, lê as outras até fechá-las."""
    if not line.lstrip().startswith(BLOCK):
        return line.strip()
    text = line.lstrip().removeprefix(BLOCK)
    while BLOCK not in text:
        try:
            text += "\n" + reader.read("... ")
        except EOFError:
            return ""
    inside, _, after = text.partition(BLOCK)
    message = f"{inside.strip()} {after.strip()}".strip()
    return f"/{message}" if message.startswith("/") else message


def _line_history(memory: Path | None) -> Any:
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    class TolerantHistory(FileHistory):
        """Sem disco, a conversa segue: a falta já é dita por quem guarda as sessões."""

        def load_history_strings(self) -> Iterable[str]:
            try:
                yield from super().load_history_strings()
            except OSError:
                return

        def store_string(self, string: str) -> None:
            with suppress(OSError):
                super().store_string(string)

    if memory is None:
        return InMemoryHistory()
    try:
        memory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        memory.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return TolerantHistory(str(memory))


def _completer(complete: Completions) -> Any:
    from prompt_toolkit.completion import Completer, Completion

    class Words(Completer):
        """Completa o nome do comando ou, depois dele, o argumento."""

        def get_completions(self, document: Any, event: Any) -> Iterable[Any]:
            text = document.text_before_cursor
            word = text.partition(" ")[2] if " " in text else text
            return (Completion(found, -len(word)) for found in complete(text))

    return Words()


def _enter_sends() -> Any:
    from prompt_toolkit.enums import DEFAULT_BUFFER
    from prompt_toolkit.filters import has_focus
    from prompt_toolkit.key_binding import KeyBindings

    bindings = KeyBindings()
    writing = has_focus(DEFAULT_BUFFER)  # na busca (Ctrl-R), Enter escolhe o achado

    @bindings.add("enter", filter=writing)
    def send(event: Any) -> None:
        event.current_buffer.validate_and_handle()

    @bindings.add("escape", "enter", filter=writing)
    def new_line(event: Any) -> None:
        event.current_buffer.insert_text("\n")

    @bindings.add("c-c", filter=writing)
    def erase_or_leave(event: Any) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt(), style="class:aborting")

    return bindings


def _terminal_output() -> Any:
    """O convite vai para onde há terminal: stderr, se a saída foi desviada para um arquivo."""
    from prompt_toolkit.output import create_output

    return create_output(stdout=sys.stdout if sys.stdout.isatty() else sys.stderr)
