"""A escrita de uma sessão de chat: a trava e as linhas que só se acrescentam."""

import errno
import os
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from src.chat.sessions_format import (
    ROLES,
    Event,
    Session,
    clean_line,
    encode_lines,
    header_event,
    now,
)
from src.chat.terminal_text import clean_text
from src.config.options import quoted
from src.utils.atomic_io import storage_error, uninterrupted
from src.utils.errors import LunaError, StorageError, UsageError

SUFFIX = ".jsonl"
LOCKS_DIR = ".locks"
_ID_ATTEMPTS = 50
_OPEN_FLAGS = os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)


class SessionInUseError(LunaError):
    """A sessão está aberta em outra janela."""


def new_id() -> str:
    """Um id que ordena pela data: ``20261127-143005-ab12``."""
    return f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


# --- A trava -------------------------------------------------------------------------------------


def lock_path(folder: Path, session_id: str) -> Path:
    return folder / LOCKS_DIR / f"{session_id}.lock"


def acquire(folder: Path, session_id: str) -> Any:
    """Reserva a sessão para este processo, sem esperar.

    Erros:
        SessionInUseError: outra janela a tem. StorageError: o disco recusou a trava.
    """
    from filelock import FileLock, Timeout

    target = lock_path(folder, session_id)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        target.parent.mkdir(mode=0o700, exist_ok=True)
        lock = FileLock(str(target), timeout=0, mode=0o600, thread_local=False)
        lock.acquire()
    except Timeout as error:
        raise SessionInUseError(
            f"A conversa '{session_id}' está aberta em outra janela. Feche-a lá e repita, ou "
            "comece outra conversa."
        ) from error
    except (OSError, NotImplementedError) as error:  # o segundo: o disco não conhece travas
        failure = error if isinstance(error, OSError) else OSError(errno.ENOSYS, str(error))
        raise storage_error(failure, target) from error
    return lock


# --- A escrita -----------------------------------------------------------------------------------


class SessionWriter:
    """Acrescenta a uma sessão o que acontece nela; também serve em ``with``.

    Enquanto não há fala, nada existe no disco, e o ``id`` pode mudar se outra conversa o tomar.

    Se o disco recusar uma gravação, o método levanta ``StorageError`` uma vez, ``failed`` passa a
    verdadeiro, e dali em diante nada mais se grava nem se levanta: a conversa pode seguir. O que já
    estava no arquivo fica inteiro.

    Atributos:
        id, path: da sessão. failed: desistiu de gravar. saved: já há um arquivo.
    """

    def __init__(self, folder: Path, header: Event, earlier: Iterable[Event] = ()) -> None:
        self.folder, self.id, self.failed = folder, new_id(), False
        self._header = header
        self._persona = str(header["persona"])
        self._pending = list(earlier)  # espera a primeira fala
        self._prefix = b""  # a quebra de linha que faltava no fim do arquivo
        self._descriptor: int | None = None
        self._lock: Any = None
        self._closed = False

    @classmethod
    def reopen(cls, folder: Path, session: Session) -> "SessionWriter":
        """A escrita no arquivo de uma sessão que existe; os erros são os de ``resume``."""
        writer = cls(folder, {"persona": session.persona})
        writer.id = session.id
        writer._lock = acquire(folder, session.id)
        try:
            writer._open_existing(session.size_bytes)
        except OSError as error:
            writer.close()
            raise storage_error(error, writer.path) from error
        except LunaError:
            writer.close()
            raise
        return writer

    @property
    def path(self) -> Path:
        """O arquivo, exista ou não."""
        return self.folder / f"{self.id}{SUFFIX}"

    @property
    def saved(self) -> bool:
        """Se já há um arquivo com a conversa."""
        return self._descriptor is not None or (self._closed and self.path.is_file())

    # ------------------------------------------------------------------ os acontecimentos

    def message(
        self,
        role: str,
        content: str,
        *,
        interrupted: bool = False,
        seconds: float | None = None,
        tokens: int | None = None,
        persona: str | None = None,
        sources: Sequence[str] = (),
    ) -> None:
        """Uma fala de ``user`` ou ``assistant``; a primeira cria o arquivo.

        Erros:
            UsageError: outro papel. StorageError: o disco recusou (só da primeira vez).
        """
        if role not in ROLES:
            raise UsageError(f"role={quoted(role)}: esperado um de {', '.join(ROLES)}.")
        event: Event = {"type": "message", "role": role, "content": clean_text(content)}
        event |= {"time": now(), "persona": clean_line(persona) or self._persona}
        extras: Event = {"interrupted": interrupted or None, "seconds": seconds, "tokens": tokens}
        extras["sources"] = list(sources) or None
        self._append(event | {name: value for name, value in extras.items() if value is not None})
        if role == "assistant":  # a troca está completa: que uma queda de luz não a leve
            self._sync()

    def clear(self) -> None:
        """A conversa recomeça."""
        self._append({"type": "clear", "time": now()})

    def undo(self) -> None:
        """A última troca sai: da última fala do usuário em diante."""
        self._append({"type": "undo", "time": now()})

    def persona(self, name: str) -> None:
        """A persona mudou."""
        self._persona = clean_line(name)
        self._append({"type": "persona", "persona": self._persona, "time": now()})

    def context(self, text: str) -> None:
        """O contexto dado mudou."""
        self._append({"type": "context", "context": clean_text(text), "time": now()})

    def proactive(self, pattern: str, content: str) -> None:
        """Uma sugestão foi oferecida."""
        event = {
            "type": "proactive",
            "pattern": clean_line(pattern),
            "content": clean_text(content),
        }
        self._append(event | {"time": now()})

    def close(self) -> None:
        """Descarrega o arquivo para o disco e solta a trava; fechar de novo não faz nada."""
        self._closed = True
        descriptor, self._descriptor = self._descriptor, None
        lock, self._lock = self._lock, None
        if descriptor is not None:
            self._sync(descriptor)
            with suppress(OSError):
                os.close(descriptor)
        if lock is not None:
            lock.release()

    def _sync(self, descriptor: int | None = None) -> None:
        """Descarrega para o disco o que já foi escrito, onde ele sabe fazê-lo."""
        chosen = self._descriptor if descriptor is None else descriptor
        if chosen is not None:
            with suppress(OSError):
                os.fsync(chosen)

    def __enter__(self) -> "SessionWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ------------------------------------------------------------------ o arquivo

    def _append(self, event: Event) -> None:
        if self.failed:
            return
        if self._closed:
            raise ValueError("a sessão já foi fechada")
        if self._descriptor is None and event["type"] != "message":
            self._pending.append(event)
            return
        try:
            with uninterrupted():  # um Ctrl-C aqui deixaria meia linha
                self._store(event)
        except (OSError, StorageError) as error:
            self.failed = True
            self.close()
            if isinstance(error, StorageError):
                raise
            raise storage_error(error, self.path) from error

    def _store(self, event: Event) -> None:
        if self._descriptor is not None:
            self._write(self._prefix + encode_lines([event]))
            self._prefix = b""
            return
        self._create()
        header = header_event(self.id, self._header)
        try:
            self._write(encode_lines([header, *self._pending, event]))
        except OSError:
            self.path.unlink(missing_ok=True)
            raise
        self._pending.clear()

    def _create(self) -> None:
        """Um arquivo que não existia, já travado."""
        for _ in range(_ID_ATTEMPTS):
            try:
                self._lock = acquire(self.folder, self.id)
                self._descriptor = os.open(self.path, _OPEN_FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
                return
            except (SessionInUseError, FileExistsError):  # outra conversa tomou o id
                if self._lock is not None:
                    self._lock.release()
                self._lock, self.id = None, new_id()
        raise OSError(errno.EEXIST, "nenhum nome livre para a sessão", str(self.path))

    def _open_existing(self, expected_bytes: int) -> None:
        """Abre o arquivo de sempre, se ainda é o que foi lido."""
        try:
            self._descriptor = os.open(self.path, _OPEN_FLAGS)
        except FileNotFoundError:
            raise UsageError(f"A conversa '{self.id}' foi apagada.") from None
        size = os.fstat(self._descriptor).st_size
        if size != expected_bytes:
            raise UsageError(
                f"A conversa '{self.id}' mudou desde que foi lida, em outra janela. Carregue-a de "
                "novo."
            )
        os.lseek(self._descriptor, max(size - 1, 0), os.SEEK_SET)
        self._prefix = b"" if os.read(self._descriptor, 1) in (b"", b"\n") else b"\n"

    def _write(self, data: bytes) -> None:
        """Grava tudo ou nada: uma linha pela metade é desfeita."""
        assert self._descriptor is not None
        start = os.fstat(self._descriptor).st_size
        try:
            left = memoryview(data)
            while left:  # um disco quase cheio aceita só uma parte
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, start)
            raise


class NullWriter(SessionWriter):
    """Os mesmos métodos, sem gravar nada: para quem não quer histórico."""

    def __init__(self) -> None:
        super().__init__(Path(os.devnull), {"persona": ""})
        self.id = ""

    @property
    def saved(self) -> bool:
        """Nunca."""
        return False

    def _append(self, event: Event) -> None:
        """Nada."""
