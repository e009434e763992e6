"""A conversa no terminal: convite, comandos, resposta que aparece aos poucos, sessão guardada."""

import logging
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from src.chat import commands
from src.chat.corrections_memory import correction_hint
from src.chat.line_reader import PlainReader, Reader, make_reader, read_message
from src.chat.luna_chat import AnswerInfo, LunaChat
from src.chat.proactive_messenger import ProactiveMessenger, Suggestion, is_acceptance
from src.chat.ratings import ConversationRatings, cited_sources
from src.chat.sessions import (
    NullWriter,
    Session,
    SessionStore,
    SessionWriter,
    history_enabled,
)
from src.chat.terminal_device import columns, columns_now, silent_keyboard, write_now
from src.chat.terminal_style import Style, symbol, use_color
from src.chat.terminal_text import StreamWrapper, clean_text, one_line
from src.utils.atomic_io import uninterrupted
from src.utils.errors import LunaError, StorageError, UsageError
from src.utils.logging_utils import is_interactive
from src.utils.numbers import counted

logger = logging.getLogger(__name__)

LINES_FILE = "linhas.txt"  # o que já se digitou
SHOWN_ON_RESUME = 4  # falas mostradas ao retomar
SHOWN_PROBLEMS = 3
SUGGESTION_WAIT_SECONDS = 0.5
USER, LUNA = "Você: ", "Luna: "


@dataclass(frozen=True)
class TerminalOptions:
    """O que a linha de comando escolhe.

    Atributos:
        resume: a sessão a retomar; ``""`` é a última. no_history: não guarda a sessão nem o que se
            digita. proactive: ``None`` deixa a escolha para a configuração e a persona.
        persona, context: os da linha de comando, que valem mais que os da sessão retomada.
        debug: mostra o que o modelo leu. quiet: sem a saudação.
    """

    resume: str | None = None
    no_history: bool = False
    proactive: bool | None = None
    persona: str | None = None
    context: str | None = None
    debug: bool = False
    quiet: bool = False


class TerminalChat:
    """Uma sessão interativa com ``chat``.

    Atributos:
        writer: quem guarda a sessão (``NullWriter`` se a guarda está desligada).
        proactive: se as sugestões estão ligadas. ratings: as avaliações dadas nela.
        reader: quem lê o que a pessoa digita.
    """

    def __init__(self, chat: LunaChat, options: TerminalOptions | None = None) -> None:
        self.chat = chat
        self.options = options or TerminalOptions()
        self.style = Style(use_color(sys.stdout) and use_color(sys.stderr))
        self.folder = Path(chat.config.paths.logs_dir) / "chat"
        self.store = SessionStore(self.folder)
        self.keeps_history = history_enabled(chat.config, self.options.no_history)
        self.warned = False
        self.writer: SessionWriter = self._new_writer()
        wanted = self.options.proactive
        self.proactive = chat.config.chat.proactive if wanted is None else wanted
        self.messenger = self._new_messenger()
        self.offered: Suggestion | None = None
        self.unanswered: str | None = None  # a última mensagem, se ficou sem resposta
        self.interrupts = 0
        self.ratings = ConversationRatings(chat)
        self.reader: Reader = PlainReader()

    # ------------------------------------------------------------------ o laço

    def run(self) -> None:
        """Conversa até ``/sair``, Ctrl-D ou dois Ctrl-C.

        Erros:
            KeyboardInterrupt: dois Ctrl-C. UsageError: a sessão a retomar não existe.
        """
        self._greet()
        if self.options.resume is not None:
            self.resume(self.options.resume)
        self.reader = make_reader(
            lambda text: commands.completions(self, text),
            self.folder / LINES_FILE if self.keeps_history else None,
        )
        with self.messenger:
            try:
                while True:
                    self._turn(lambda: read_message(self.reader, self.style.name_user(USER)))
            except (EOFError, commands.Leave):
                self._say_goodbye()
            finally:
                self.writer.close()

    def _greet(self) -> None:
        if not self.options.quiet:
            for line in self.chat.introduction():
                self.tell(line)
            self.tell("/ajuda mostra os comandos; /sair, ou Ctrl-D, termina.")

    def _say_goodbye(self) -> None:
        self.tell("Até logo!")
        if self.writer.saved and not self.writer.failed:
            self.tell(f"Para continuar: python main.py {self.resume_command(self.writer.id)}")

    def resume_command(self, session_id: str) -> str:
        """O comando que retoma uma sessão."""
        return f"chat --model {shlex.quote(self.chat.model_name)} --resume {session_id}"

    def _turn(self, read: Callable[[], str]) -> None:
        """Lê e trata uma mensagem ou um comando; um erro é dito e a conversa segue.

        Erros:
            KeyboardInterrupt: o segundo Ctrl-C seguido. EOFError: Ctrl-D. Leave: ``/sair``.
        """
        try:
            print(file=sys.stderr, flush=True)
            message = read()
            if message:
                self.interrupts = 0
                self._handle(message)
        except KeyboardInterrupt:
            self.interrupts += 1
            if self.interrupts > 1:
                raise
            self.tell("Ctrl-C de novo sai; Ctrl-D também.")
        except BrokenPipeError:  # quem lia a saída foi embora: main.py trata
            raise
        except LunaError as error:
            self.tell(str(error), self.style.error)
        except (OSError, RuntimeError, ValueError) as error:
            logger.debug("Erro na conversa.", exc_info=True)
            self.tell(f"Algo deu errado ({type(error).__name__}: {error}).", self.style.error)
            self.tell("A conversa segue; com --debug aparecem os detalhes.")

    def _handle(self, message: str) -> None:
        if message.startswith("/") and not message.startswith("//"):
            commands.run_command(self, message)
        else:
            self._answer(message.removeprefix("/"))

    def tell(self, text: str, look: Callable[[str], str] | None = None, indent: int = 0) -> None:
        """Uma linha para a pessoa, em stderr: não se mistura às respostas de um ``> arquivo``.

        Args:
            indent: colunas à esquerda das linhas em que ela se quebrar, se a janela é larga.
        """
        parts: list[str] = []
        width = columns(sys.stderr)
        margin = indent if indent <= width // 2 else min(indent, 4)
        wrapper = StreamWrapper(parts.append, width, indent=margin)
        wrapper.feed(clean_text(text))
        wrapper.flush()
        print((look or self.style.hint)("".join(parts)), file=sys.stderr, flush=True)

    def ask(self, question: str) -> str:
        """O que a pessoa responde à pergunta de um comando; vazio se desiste (Enter, Ctrl-D).

        Erros:
            KeyboardInterrupt: Ctrl-C.
        """
        try:
            return read_message(self.reader, self.style.hint(question))
        except EOFError:
            return ""

    # ------------------------------------------------------------------ uma resposta

    def _answer(self, message: str) -> None:
        if self.offered is not None and is_acceptance(message):
            message = self.offered.follow_up
            self.tell(f"(você: {message})")
        self.offered = None
        if self.proactive:
            self.messenger.observe(message)
        answer, interrupted = self._speak(lambda sink: self.chat.say(message, sink))
        self.unanswered = None if answer else message
        if answer:
            self.record(message, answer, interrupted)
            self.messenger.observe(answer, role="assistant")
        self._after(interrupted)
        if self.proactive and not interrupted:
            self._suggest()

    def answer_again(self) -> None:
        """Refaz a última resposta, ou dá a que faltou.

        Erros:
            UsageError: ainda não há o que refazer.
        """
        if self.unanswered is not None:
            self._answer(self.unanswered)
            return
        if not self.chat.history:
            raise UsageError("Ainda não há resposta para refazer.")
        before = list(self.chat.history)
        answer, interrupted = self._speak(self.chat.retry)
        if self.chat.history != before and answer:
            self.record(self.chat.history[-2]["content"], answer, interrupted, undo=True)
        self._after(interrupted)

    def _after(self, interrupted: bool) -> None:
        """O que vem depois de uma resposta já guardada.

        Erros:
            KeyboardInterrupt: houve um segundo Ctrl-C enquanto ela saía.
        """
        if interrupted and self.interrupts > 1:
            raise KeyboardInterrupt
        for line in source_lines(self.chat.last, self.chat.grounding.only_documents):
            self.tell(line)
        if self.options.debug and self.chat.last is not None:
            from src.chat.debug import describe_answer

            for line in describe_answer(self.chat):
                self.tell(line)

    def _speak(self, respond: Callable[[Callable[[str], object]], str]) -> tuple[str, bool]:
        """Mostra a resposta à medida que sai; devolve o texto e se foi interrompida."""
        wrapper = StreamWrapper(write_now, columns_now, prefix_width=len(LUNA))
        named = False

        def show(piece: str) -> None:
            nonlocal named
            if not named:
                named = True
                self._name_luna()
            wrapper.feed(piece)

        with self._counted_interrupts(), silent_keyboard():
            try:
                answer, interrupted = respond(show), False
            except KeyboardInterrupt:
                stream = self.chat.last_stream
                answer, interrupted = stream.text if stream else "", True
        wrapper.flush()
        if named:
            print(flush=True)
        if interrupted:
            self.tell("(resposta interrompida)")
        elif not answer:
            self.tell("(sem resposta)")
        return answer, interrupted

    def _name_luna(self) -> None:
        """Quem fala: ao lado da resposta num terminal; fora dela, num ``> arquivo``."""
        stream = sys.stdout if is_interactive(sys.stdout) else sys.stderr
        print(self.style.name_luna(LUNA), end="", file=stream, flush=True)

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
        offered = self.offered
        if offered is not None:
            mark = symbol("suggestion", sys.stderr)
            self.tell(f"{mark} {offered.text}", self.style.suggestion)
            self._guarded(lambda: self.writer.proactive(str(offered.pattern), offered.text))

    # ------------------------------------------------------------------ o que os comandos pedem

    def restart(self) -> None:
        """Começa outra conversa; a que havia, se guardada, fica guardada."""
        self.chat.clear()
        self._forget_turn()
        self._replace_writer(self._new_writer())

    def change_persona(self, name: str) -> None:
        """Troca a persona, também a das sugestões."""
        try:
            self.chat.set_persona(name)
        except UsageError as error:
            raise UsageError(str(error).replace("--persona", "/persona", 1)) from error
        self.messenger.set_persona(self.chat.persona)
        self._guarded(lambda: self.writer.persona(self.chat.persona.name))

    def change_context(self, text: str) -> None:
        """Troca o texto que o modelo leva em conta."""
        self.chat.context = text
        self._guarded(lambda: self.writer.context(text))

    def set_proactive(self, wanted: bool) -> None:
        """Liga ou desliga as sugestões."""
        self.proactive, self.offered = wanted, None

    def keep(self) -> Path:
        """Guarda a conversa em curso e diz onde.

        Com a guarda desligada, guarda só o que houve até aqui.

        Erros:
            StorageError: o disco recusou.
        """
        if self.kept_session() is None:
            writer = self._started_writer()
            for turn in self.chat.history:
                writer.message(turn["role"], turn["content"])
            if not self.keeps_history:
                writer.close()
                return writer.path
            self._replace_writer(writer)
        return self.writer.path

    def kept_session(self) -> Session | None:
        """A conversa em curso como está no disco; ``None`` se lá falta alguma coisa."""
        if not self.writer.saved or self.writer.failed:
            return None
        try:
            kept = self.store.load(self.writer.id, allow_path=False)
        except (LunaError, OSError):
            return None
        return kept if kept.messages == self.chat.history else None

    @property
    def session_id(self) -> str:
        """O id da conversa, se ela é guardada; senão, vazio."""
        return self.writer.id if self.writer.saved and not self.writer.failed else ""

    def resume(self, reference: str, show: bool = True) -> None:
        """Retoma a sessão ``reference`` (``""``: a última deste modelo) e, se pedido, a mostra.

        Erros:
            UsageError: não existe. DataError: o arquivo não é uma sessão.
        """
        session = self._find(reference)
        if self.writer.saved and session.path.resolve() == self.writer.path.resolve():
            raise UsageError(f"A conversa {session.id} é esta.")
        self._replace_writer(self._resumed_writer(session))
        self.chat.clear()
        self.chat.history = list(session.messages)
        self.chat.context = session.context
        self._forget_turn(session.model)
        if self.chat.history and self.chat.history[-1]["role"] == "user":
            self.unanswered = self.chat.history.pop()["content"]
        self._adopt_persona(session)
        if self.options.context is not None:
            self.change_context(self.options.context)
        if show:
            self._show_resumed(session)

    def _find(self, reference: str) -> Session:
        if reference:
            return self.store.load(reference)
        latest = self.store.latest(self.chat.model_name)
        if latest is None:
            raise UsageError(
                f"Ainda não há conversa guardada com o '{self.chat.model_name}'. Comece uma: "
                f"python main.py chat --model {shlex.quote(self.chat.model_name)}"
            )
        return self.store.load(latest.id)

    def _resumed_writer(self, session: Session) -> SessionWriter:
        if not self.keeps_history:
            return NullWriter()
        try:
            return self.store.resume(session)
        except StorageError as error:
            self._warn_unsaved(error)
            return NullWriter()

    def _adopt_persona(self, session: Session) -> None:
        wanted = self.options.persona or session.persona or self.chat.persona.name
        try:
            self.chat.set_persona(wanted)
        except UsageError:
            self.tell(
                f"A persona '{wanted}' da conversa não existe aqui; fico com a "
                f"'{self.chat.persona.name}'.",
                self.style.warning,
            )
        self.messenger.set_persona(self.chat.persona)

    def _show_resumed(self, session: Session) -> None:
        self.tell(f"Retomando {session.id}: {counted(session.turns, 'troca', 'trocas')}.")
        if session.model and session.model != self.chat.model_name:
            self.tell(
                f"Ela começou com o modelo '{session.model}'; quem responde agora é o "
                f"'{self.chat.model_name}'.",
                self.style.warning,
            )
        for problem in session.problems[:SHOWN_PROBLEMS]:
            self.tell(problem, self.style.warning)
        rest = len(session.problems) - SHOWN_PROBLEMS
        if rest > 0:
            self.tell(f"E mais {rest} linhas com problema em {session.path}.", self.style.warning)
        width = columns(sys.stderr) - 1
        if self.chat.context:
            self.tell(one_line(f"Contexto dado: {self.chat.context}", width))
        for turn in self.chat.history[-SHOWN_ON_RESUME:]:
            name = USER if turn["role"] == "user" else LUNA
            self.tell(one_line(f"{name}{turn['content']}", width))
        if self.unanswered is not None:
            self.tell(one_line(f"{USER}{self.unanswered}", width))
            self.tell("Esta ficou sem resposta: /refazer responde.")

    # ------------------------------------------------------------------ a sessão em disco

    def record(
        self, message: str, answer: str, interrupted: bool = False, undo: bool = False
    ) -> None:
        """Guarda uma pergunta e a resposta dela, que podem substituir a última troca."""

        def write() -> None:
            with uninterrupted():  # um Ctrl-C aqui deixaria a pergunta sem a resposta
                if undo:
                    self.writer.undo()
                self.writer.message("user", message)
                sources = cited_sources(self.chat.last)
                self.writer.message("assistant", answer, interrupted=interrupted, sources=sources)

        self._guarded(write)

    def _new_writer(self) -> SessionWriter:
        return self._started_writer() if self.keeps_history else NullWriter()

    def _started_writer(self) -> SessionWriter:
        chat = self.chat
        return self.store.new(chat.model_name, chat.persona.name, chat.mode, chat.context)

    def _replace_writer(self, writer: SessionWriter) -> None:
        self.writer.close()
        self.writer, self.warned = writer, False

    def _new_messenger(self) -> ProactiveMessenger:
        messenger = ProactiveMessenger(self.chat.config, self.chat.persona)
        messenger.register_callback(self._offer)
        return messenger

    def _offer(self, suggestion: Suggestion) -> None:
        self.offered = suggestion

    def _forget_turn(self, model: str = "") -> None:
        """Outra conversa; ``model`` é quem deu as respostas que ela já tem."""
        self.offered = self.unanswered = None
        self.messenger.reset()
        self.ratings.restart(model)

    def _guarded(self, write: Callable[[], object]) -> None:
        """Grava um fato da sessão; se o disco recusa, avisa uma vez e a conversa segue."""
        try:
            write()
        except StorageError as error:
            self._warn_unsaved(error)

    def _warn_unsaved(self, error: StorageError) -> None:
        if not self.warned:
            self.tell(str(error), self.style.warning)
            self.tell("A conversa segue sem ser guardada; /salvar tenta de novo.")
        self.warned = True


def source_lines(last: AnswerInfo | None, only_documents: bool = False) -> list[str]:
    """De onde veio a resposta, uma linha por fonte; nada, se o modelo a tirou de si.

    Args:
        only_documents: não há modelo que responda sem eles.
    """
    if last is not None and last.corrected:
        return [correction_hint(last.correction)]
    if last is None or not last.sources:
        return []
    if last.declined:
        hint = "" if only_documents else "; /documentos desligado me deixa responder"
        return [f"/fontes mostra o trecho mais próximo{hint}."]
    lines = [f"[{source.number}] {source.name}" for source in last.sources]
    return [*lines[:-1], f"{lines[-1]} (/fontes mostra o trecho)"]
