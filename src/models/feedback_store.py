"""Os arquivos das avaliações: linhas, trava, arquivo-morto e linhas danificadas.

    feedback.jsonl            uma linha por avaliação ou acontecimento; só se acrescenta
    feedback.archive.jsonl    o que já foi usado num refinamento
    feedback.damaged.jsonl    linhas que não se leem, guardadas como vieram
    .feedback.jsonl.lock      a trava, que vale para os três

Uma linha entra inteira ou não entra, com vários processos gravando ao mesmo tempo: quem grava tem a
trava, escreve a linha de uma vez e a descarrega para o disco. Quem lê não precisa dela: um arquivo
reescrito troca de lugar com o antigo num só instante.
"""

import errno
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.utils.atomic_io import TEMP_PREFIX, fsync_path, storage_error, uninterrupted
from src.utils.errors import DataError, StorageError

logger = logging.getLogger(__name__)

LOCK_SECONDS = 30.0  # espera pela trava, antes de desistir
_POLL_SECONDS = 0.002
_BINARY = getattr(os, "O_BINARY", 0)
_APPEND = os.O_RDWR | os.O_APPEND | os.O_CREAT | _BINARY
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _BINARY
_PRIVATE = 0o600  # o que se conversa é de quem conversa
_UTF8_MARK = b"\xef\xbb\xbf"
# O que o JSON deixaria passar e que estraga o arquivo: quebras de linha do Unicode, controles e
# surrogates, que não existem em UTF-8.
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")

Value = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """Uma linha de um arquivo.

    Atributos:
        file: o nome do arquivo. number: a linha, a partir de 1. raw: os bytes, sem a quebra.
        value: o objeto JSON; ``None`` se a linha está danificada, e ``damage`` diz por quê.
    """

    file: str
    number: int
    raw: bytes
    value: Value | None
    damage: str = ""

    @property
    def problem(self) -> str:
        """A frase que conta à pessoa o que houve com a linha."""
        return f"{self.file}, linha {self.number}: {self.damage}; a linha foi pulada."


# --- Linhas e bytes ------------------------------------------------------------------------------


def encode_line(value: Value) -> bytes:
    """Um objeto numa linha de UTF-8, qualquer que seja o texto, com a quebra no fim.

    Erros:
        TypeError, ValueError: há um valor que o JSON não representa.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode("utf-8") + b"\n"


def parse_lines(data: bytes, file: str) -> list[Line]:
    """As linhas que não estão em branco."""
    pairs = enumerate(data.removeprefix(_UTF8_MARK).split(b"\n"), 1)
    return [_parse(file, number, raw) for number, raw in pairs if raw.strip()]


class _NotANumber(ValueError):
    """``NaN`` ou ``Infinity``, que o Python lê e o JSON não tem."""


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise _NotANumber(text)
    return value


def _no_constant(name: str) -> None:
    raise _NotANumber(name)


def _parse(file: str, number: int, raw: bytes) -> Line:
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_no_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        return Line(file, number, raw, None, f"não é JSON válido (caractere {error.pos + 1})")
    except UnicodeDecodeError as error:
        return Line(file, number, raw, None, f"não é UTF-8 (byte {error.start + 1})")
    except _NotANumber as error:
        return Line(file, number, raw, None, f"não é JSON válido ({error})")
    except (ValueError, RecursionError):  # inteiros e listas além do que o Python lê
        return Line(file, number, raw, None, "o JSON é grande ou fundo demais")
    if not isinstance(value, dict):
        return Line(file, number, raw, None, "não é um objeto JSON")
    return Line(file, number, raw, value)


# --- Os arquivos ---------------------------------------------------------------------------------


class FeedbackStore:
    """Os três arquivos e a trava. Não conhece o que as linhas dizem.

    A trava é a mesma para os três e pode ser tomada de novo por quem já a tem (na mesma thread).

    Args:
        path: o arquivo das avaliações; os outros ficam ao lado dele.
        sync: descarrega para o disco (``fsync``) cada gravação. Sem isto, uma linha ainda sobrevive
            à morte do processo, mas não a uma queda de energia.
    """

    def __init__(self, path: str | os.PathLike, sync: bool = True) -> None:
        self.path = Path(path)
        self.archive_path = self.path.with_suffix(".archive.jsonl")
        self.damaged_path = self.path.with_suffix(".damaged.jsonl")
        self.sync = sync
        self._lock: Any = None

    @property
    def lock_path(self) -> Path:
        """O arquivo da trava, oculto, ao lado do das avaliações."""
        real = Path(os.path.realpath(self.path))
        return real.with_name(f".{real.name}.lock")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Só este processo grava, enquanto durar o bloco.

        Erros:
            StorageError: outro processo não soltou a trava a tempo, ou o disco a recusou.
        """
        from filelock import FileLock, Timeout

        target = self.lock_path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if self._lock is None:
                self._lock = FileLock(str(target), mode=_PRIVATE)
            held = self._lock.acquire(timeout=LOCK_SECONDS, poll_interval=_POLL_SECONDS)
        except Timeout as error:
            raise StorageError(
                f"'{self.path}' está em uso por outro processo há mais de {LOCK_SECONDS:.0f} "
                "segundos. Espere ou encerre-o, e repita."
            ) from error
        except (OSError, NotImplementedError) as error:  # o segundo: o disco não conhece travas
            failure = error if isinstance(error, OSError) else OSError(errno.ENOSYS, str(error))
            raise storage_error(failure, target) from error
        with held:
            yield

    # ------------------------------------------------------------------ leitura

    def read(self, target: Path) -> list[Line]:
        """As linhas de um dos arquivos; nenhuma, se ele não existe.

        Uma última linha sem fim pode estar sendo escrita agora: é relida com a trava, quando quem
        escrevia já terminou.

        Erros:
            DataError: o arquivo não pode ser lido.
        """
        data = self._bytes(target)
        lines = parse_lines(data, target.name)
        if lines and lines[-1].value is None and not data.endswith(b"\n"):
            try:
                with self.locked():
                    return parse_lines(self._bytes(target), target.name)
            except StorageError:  # num disco só de leitura ninguém escreve: vale o que se leu
                logger.debug("'%s' relido sem a trava", target, exc_info=True)
        return lines

    @staticmethod
    def _bytes(target: Path) -> bytes:
        try:
            return target.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise DataError(
                f"'{target}': não foi possível ler as avaliações ({error.strerror}). Confira o "
                "caminho (feedback.path, na configuração) e as permissões."
            ) from error

    # ------------------------------------------------------------------ escrita

    def append(self, target: Path, lines: Iterable[bytes]) -> None:
        """Acrescenta linhas já codificadas, todas ou nenhuma.

        Uma linha que outro processo deixou pela metade ganha antes a quebra que lhe falta, para que
        não estrague a nova.

        Erros:
            StorageError: o disco recusou; o que havia continua como estava.
        """
        data = b"".join(lines)
        with self.locked():
            try:
                with uninterrupted():  # um Ctrl-C aqui deixaria meia linha
                    self._append(target, data)
            except OSError as error:
                raise storage_error(error, target) from error

    def _append(self, target: Path, data: bytes) -> None:
        descriptor = os.open(target, _APPEND, _PRIVATE)
        try:
            size = os.fstat(descriptor).st_size
            if size:
                os.lseek(descriptor, size - 1, os.SEEK_SET)
                data = data if os.read(descriptor, 1) == b"\n" else b"\n" + data
            self._write(descriptor, data, size)
        finally:
            os.close(descriptor)
        if self.sync and not size:  # o nome novo também tem de chegar ao disco
            fsync_path(target.parent)

    def _write(self, descriptor: int, data: bytes, size: int) -> None:
        """Grava tudo ou nada: uma linha pela metade é desfeita."""
        try:
            left = memoryview(data)
            while left:  # um disco quase cheio aceita só uma parte
                left = left[os.write(descriptor, left) :]
            if self.sync:
                os.fsync(descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, size)
            raise

    def rewrite(self, target: Path, lines: Iterable[bytes]) -> None:
        """Troca o conteúdo de um arquivo, com a trava, de uma vez só; vazio, só o principal fica.

        Erros:
            StorageError: o disco recusou; o que havia continua como estava.
        """
        data = b"".join(lines)
        with self.locked():
            try:
                if data or target == self.path:
                    self._replace(Path(os.path.realpath(target)), data)
                else:
                    target.unlink(missing_ok=True)
            except OSError as error:
                raise storage_error(error, target) from error

    def _replace(self, target: Path, data: bytes) -> None:
        """O nome temporário é sempre o mesmo: o que uma queda deixou sai na próxima gravação."""
        temporary = _temporary(target)
        mode = target.stat().st_mode & 0o777 if target.exists() else _PRIVATE
        temporary.unlink(missing_ok=True)
        try:
            with os.fdopen(os.open(temporary, _CREATE, mode), "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        fsync_path(target.parent)

    def remove_leftovers(self) -> None:
        """Com a trava, apaga o que uma gravação interrompida por uma queda tenha deixado.

        Erros:
            StorageError: o disco recusou.
        """
        with self.locked():
            for target in (self.path, self.archive_path, self.damaged_path):
                temporary = _temporary(Path(os.path.realpath(target)))
                try:
                    temporary.unlink(missing_ok=True)
                except OSError as error:
                    raise storage_error(error, temporary) from error


def _temporary(target: Path) -> Path:
    return target.with_name(f"{TEMP_PREFIX}{target.name}")
