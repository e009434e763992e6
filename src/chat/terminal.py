"""A conversa no terminal: convite, comandos, resposta que aparece aos poucos, sessão guardada."""

import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from src.chat import commands
from src.chat.line_reader import make_reader, read_message
from src.chat.luna_chat import LunaChat
from src.chat.proactive_messenger import ProactiveMessenger, Suggestion, is_acceptance
from src.chat.sessions import (
    NullWriter,
    Session,
    SessionStore,
    SessionWriter,
    history_enabled,
)
from src.chat.terminal_style import Style, symbol, use_color
from src.chat.terminal_text import StreamWrapper, clean_text, one_line
from src.utils.errors import LunaError, StorageError, UsageError
from src.utils.numbers import counted

DEFAULT_COLUMNS = 80
SHOWN_ON_RESUME = 4  # falas mostradas ao retomar
SUGGESTION_WAIT_SECONDS = 0.5


@dataclass(frozen=True)
class TerminalOptions:
    """O que a linha de comando escolhe.

    Atributos:
        resume: a sessão a retomar; ``""`` é a última. no_history: não guarda a sessão nem o que se
            digita. proactive: ``None`` deixa a escolha para a configuração e a persona.
        debug: mostra o que o modelo leu. quiet: sem a saudação.
    """

    resume: str | None = None
    no_history: bool = False
    proactive: bool | None = None
    debug: bool = False
    quiet: bool = False


class TerminalChat:
    """Uma sessão interativa com ``chat``.

    Atributos:
        writer: quem guarda a sessão (``NullWriter`` se a guarda está desligada).
        proactive: se as sugestões estão ligadas.
    """

    def __init__(self, chat: LunaChat, options: TerminalOptions | None = None) -> None:
        self.chat = chat
        self.options = options or TerminalOptions()
        self.style = Style(use_color(sys.stdout) and use_color(sys.stderr))
        self.folder = Path(chat.config.paths.logs_dir) / "chat"
        self.store = SessionStore(self.folder)
        self.keeps_history = history_enabled(chat.config, self.options.no_history)
        self.writer: SessionWriter = self._new_writer()
        wanted = self.options.proactive
        self.proactive = chat.config.chat.proactive if wanted is None else wanted
        self.messenger = self._new_messenger()
        self.offered: Suggestion | None = None
        self.interrupts = 0
        self.warned = False

    # ------------------------------------------------------------------ o laço

    def run(self) -> None:
        """Conversa até ``/sair``, Ctrl-D ou dois Ctrl-C.

        Erros:
            KeyboardInterrupt: dois Ctrl-C. UsageError: a sessão a retomar não existe.
        """
        if self.options.resume is not None:
            self.resume(self.options.resume)
        self._greet()
        reader = make_reader(
            lambda text: commands.completions(self, text),
            self.folder / "linhas.txt" if self.keeps_history else None,
        )
        with self.messenger:
            try:
                while True:
                    self._turn(read_message_or_hint(self, lambda: read_message(reader, "Você: ")))
            except (EOFError, commands.Leave):
                self.tell("Até logo!")
            finally:
                self.writer.close()

    def _greet(self) -> None:
        if not self.options.quiet:
            chat = self.chat
            self.tell(f"Luna, modelo '{chat.model_name}': {chat.persona.description}.")
            self.tell("/ajuda mostra os comandos; /sair, ou Ctrl-D, termina.")

    def _turn(self, message: str) -> None:
        """Trata uma mensagem ou um comando; um erro é dito e a conversa segue."""
        if not message:
            return
        self.interrupts = 0
        try:
            if message.startswith("/") and not message.startswith("//"):
                commands.run_command(self, message)
            else:
                self._answer(message.removeprefix("/"))
        except LunaError as error:
            self.tell(str(error), self.style.error)

    def tell(self, text: str, look: Callable[[str], str] | None = None, indent: int = 0) -> None:
        """Uma linha para a pessoa, em stderr: não se mistura às respostas de um ``> arquivo``.

        Args:
            indent: colunas à esquerda das linhas em que ela se quebrar, se a janela é larga.
        """
        parts: list[str] = []
        width = columns(sys.stderr)
        margin = indent if indent <= width // 3 else min(indent, 4)
        wrapper = StreamWrapper(parts.append, width, indent=margin)
        wrapper.feed(clean_text(text))
        wrapper.flush()
        print((look or self.style.hint)("".join(parts)), file=sys.stderr, flush=True)

    # ------------------------------------------------------------------ uma resposta

    def _answer(self, message: str) -> None:
        if self.offered is not None and is_acceptance(message):
            message = self.offered.follow_up
            self.tell(f"(você: {message})")
        self.offered = None
        if self.proactive:
            self.messenger.observe(message)
        answer, interrupted = self._speak(lambda sink: self.chat.say(message, sink))
        if answer:
            self.record(message, answer, interrupted)
        self._debug()
        if self.proactive and not interrupted:
            self._suggest()

    def answer_again(self) -> None:
        """Refaz a última resposta.

        Erros:
            UsageError: ainda não há o que refazer.
        """
        before = list(self.chat.history)
        answer, interrupted = self._speak(self.chat.retry)
        if self.chat.history != before and answer:
            self._guarded(self.writer.undo)
            self.record(self.chat.history[-2]["content"], answer, interrupted)
        self._debug()

    def _speak(self, respond: Callable[[Callable[[str], object]], str]) -> tuple[str, bool]:
        """Mostra a resposta à medida que sai; devolve o texto e se foi interrompida.

        Erros:
            KeyboardInterrupt: um segundo Ctrl-C.
        """
        label = "Luna: "
        print(self.style.name_luna(label), end="", flush=True)
        wrapper = StreamWrapper(write_now, columns_now, prefix_width=len(label))
        with self._counted_interrupts():
            try:
                answer, interrupted = respond(wrapper.feed), False
            except KeyboardInterrupt:
                stream = self.chat.last_stream
                answer, interrupted = stream.text if stream else "", True
            except LunaError:
                print(flush=True)
                raise
            wrapper.flush()
        print("" if answer else self.style.hint("(sem resposta)"), flush=True)
        if interrupted:
            self.tell("(resposta interrompida)")
            if self.interrupts > 1:
                self._record_last(answer)
                raise KeyboardInterrupt
        return answer, interrupted

    @contextmanager
    def _counted_interrupts(self) -> Iterator[None]:
        """Conta os Ctrl-C enquanto a resposta sai: o segundo pode chegar antes que ela pare."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def count(number: int, frame: FrameType | None) -> None:
            self.interrupts += 1
            raise KeyboardInterrupt

        previous = signal.signal(signal.SIGINT, count)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)

    def _suggest(self) -> None:
        """Mostra a sugestão que a última mensagem despertou, se houve."""
        self.messenger.flush(SUGGESTION_WAIT_SECONDS)
        if self.offered is not None:
            text = self.offered.text
            self.tell(f"{symbol('suggestion', sys.stderr)} {text}", self.style.suggestion)
            self._guarded(self.writer.proactive, str(self.offered.pattern), text)

    def _debug(self) -> None:
        if self.options.debug and self.chat.last is not None:
            from src.chat.debug import describe_answer

            for line in describe_answer(self.chat):
                self.tell(line)

    # ------------------------------------------------------------------ o que os comandos pedem

    def restart(self) -> None:
        """Esquece a conversa em curso."""
        self.chat.clear()
        self.offered = None
        self.messenger.reset()
        self._guarded(self.writer.clear)

    def change_persona(self, name: str) -> None:
        """Troca a persona, também a das sugestões."""
        self.chat.set_persona(name)
        self.messenger.set_persona(self.chat.persona)
        self._guarded(self.writer.persona, self.chat.persona.name)

    def change_context(self, text: str) -> None:
        """Troca o texto que o modelo leva em conta."""
        self.chat.context = text
        self._guarded(self.writer.context, text)

    def set_proactive(self, wanted: bool) -> None:
        """Liga ou desliga as sugestões."""
        self.proactive, self.offered = wanted, None

    def keep(self) -> Path:
        """Guarda a conversa em curso, mesmo com a guarda desligada, e diz onde.

        Erros:
            StorageError: o disco recusou.
        """
        if isinstance(self.writer, NullWriter) or self.writer.failed:
            self.writer = self._started_writer()
            for turn in self.chat.history:
                self.writer.message(turn["role"], turn["content"])
        return self.writer.path

    def resume(self, reference: str, show: bool = True) -> None:
        """Retoma a sessão ``reference`` (``""``: a última deste modelo) e, se pedido, a mostra.

        Erros:
            UsageError: não existe. DataError: o arquivo não é uma sessão.
        """
        if reference and reference == self.writer.id:
            raise UsageError(f"A conversa {reference} é esta.")
        session = self._find(reference)
        writer = self._resumed_writer(session)
        self.writer.close()
        self.writer = writer
        self.chat.clear()
        self.chat.history = list(session.messages)
        self.chat.context = session.context
        self.offered = None
        self.messenger.reset()
        for problem in session.problems:
            self.tell(problem, self.style.warning)
        self._adopt_persona(session)
        if show:
            self._show_resumed(session)

    def _resumed_writer(self, session: Session) -> SessionWriter:
        if not self.keeps_history:
            return NullWriter()
        try:
            return self.store.resume(session)
        except StorageError as error:
            self.tell(f"{error} A conversa segue sem ser guardada.", self.style.warning)
            return NullWriter()

    def _find(self, reference: str) -> Session:
        if reference:
            return self.store.load(reference)
        latest = self.store.latest(self.chat.model_name)
        if latest is None:
            raise UsageError(f"Ainda não há conversa guardada com o '{self.chat.model_name}'.")
        return self.store.load(latest.id)

    def _adopt_persona(self, session: Session) -> None:
        try:
            self.chat.set_persona(session.persona or self.chat.persona.name)
        except UsageError:
            self.tell(
                f"A persona '{session.persona}' da sessão não existe aqui; fico com a "
                f"'{self.chat.persona.name}'.",
                self.style.warning,
            )
        self.messenger.set_persona(self.chat.persona)

    def _show_resumed(self, session: Session) -> None:
        self.tell(f"Retomando {session.id}: {counted(session.turns, 'troca', 'trocas')}.")
        width = columns(sys.stderr) - 1
        for turn in self.chat.history[-SHOWN_ON_RESUME:]:
            name = "Você" if turn["role"] == "user" else "Luna"
            self.tell(one_line(f"{name}: {turn['content']}", width))

    # ------------------------------------------------------------------ a sessão em disco

    def _new_writer(self) -> SessionWriter:
        return self._started_writer() if self.keeps_history else NullWriter()

    def _started_writer(self) -> SessionWriter:
        chat = self.chat
        return self.store.new(chat.model_name, chat.persona.name, chat.mode, chat.context)

    def _new_messenger(self) -> ProactiveMessenger:
        messenger = ProactiveMessenger(self.chat.config, self.chat.persona)
        messenger.register_callback(self._offer)
        return messenger

    def _offer(self, suggestion: Suggestion) -> None:
        self.offered = suggestion

    def record(self, message: str, answer: str, interrupted: bool = False) -> None:
        """Guarda uma pergunta e a resposta dela."""
        self._guarded(self.writer.message, "user", message)
        extra = {"interrupted": True} if interrupted else {}
        self._guarded(self.writer.message, "assistant", answer, **extra)

    def _record_last(self, answer: str) -> None:
        if answer:
            self.record(self.chat.history[-2]["content"], answer, interrupted=True)

    def _guarded(self, write: Callable[..., object], *args: Any, **extra: Any) -> None:
        """Grava um fato da sessão; se o disco recusa, avisa uma vez e a conversa segue."""
        try:
            write(*args, **extra)
        except StorageError as error:
            if not self.warned:
                self.tell(f"{error} A conversa segue sem ser guardada.", self.style.warning)
            self.warned = True


def read_message_or_hint(session: TerminalChat, read: Callable[[], str]) -> str:
    """A próxima mensagem; um Ctrl-C no convite avisa, e o segundo seguido sai.

    Erros:
        KeyboardInterrupt: o segundo Ctrl-C. EOFError: Ctrl-D.
    """
    try:
        print(file=sys.stderr, flush=True)
        return read()
    except KeyboardInterrupt:
        session.interrupts += 1
        if session.interrupts > 1:
            raise
        session.tell("Ctrl-C de novo sai; Ctrl-D também.")
        return ""


def write_now(text: str) -> None:
    """Escreve na saída, sem esperar."""
    sys.stdout.write(text)
    sys.stdout.flush()


def columns_now() -> int:
    """A largura de stdout agora; a janela pode mudar no meio da resposta."""
    return columns(sys.stdout)


def columns(stream: Any) -> int:
    """A largura do terminal; sem terminal, larga o bastante para nada quebrar."""
    if not stream.isatty():
        return sys.maxsize
    return max(shutil.get_terminal_size((DEFAULT_COLUMNS, 24)).columns, 1)
