"""Gravação que nunca deixa metade de um arquivo, nem metade de uma pasta, sob o nome final.

Tudo é escrito sob um nome temporário no mesmo diretório (mesmo sistema de arquivos), descarregado
para o disco (``fsync``) e só então renomeado com ``os.replace``, que é atômico em Linux, macOS e
Windows. Uma queda no meio deixa, no máximo, um ``.tmp-*`` que a próxima gravação ignora, e que
``remove_leftovers`` apaga.
"""

import errno
import json
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from src.utils.errors import StorageError

TEMP_PREFIX = ".tmp-"


def storage_error(error: OSError, path: str | os.PathLike) -> StorageError:
    """Traduz um ``OSError`` de gravação numa mensagem que diz o que fazer."""
    if error.errno == errno.ENOSPC:
        reason = "o disco está cheio. Libere espaço e repita o comando"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        reason = "não há permissão de escrita. Escolha outra pasta (LUNA_HOME) ou ajuste-a"
    else:
        reason = f"{error.strerror or error}. Verifique o disco e repita o comando"
    return StorageError(
        f"Não foi possível gravar '{path}': {reason}. O que havia ali continua como estava."
    )


def fsync_path(path: Path) -> None:
    """Descarrega um arquivo (ou, onde o sistema permite, uma pasta) para o disco."""
    if path.is_dir() and os.name == "nt":  # Windows não abre pastas para fsync
        return
    flags = os.O_RDONLY if path.is_dir() or os.name != "nt" else os.O_RDWR
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_tree(folder: Path) -> None:
    """Descarrega tudo o que há dentro de ``folder``; atalhos não são seguidos."""
    for path in folder.rglob("*"):
        if not path.is_symlink():
            fsync_path(path)


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Grava ``data`` em ``path`` de uma vez só; o arquivo antigo vale até o último instante."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=TEMP_PREFIX, dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        fsync_path(path.parent)
    except OSError as error:
        raise storage_error(error, path) from error


def write_text(path: str | os.PathLike, text: str) -> None:
    """Grava texto em UTF-8 de uma vez só."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Grava JSON legível (UTF-8, acentos preservados) de uma vez só."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Adia Ctrl-C e SIGTERM até o fim do bloco (que deve ser breve); só na thread principal."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def postpone(number: int, frame: FrameType | None) -> None:
        received.append(number)

    previous = {n: signal.signal(n, postpone) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if received:
        signal.raise_signal(received[0])


def remove_leftovers(folder: Path, prefix: str = TEMP_PREFIX) -> None:
    """Apaga de ``folder`` as pastas temporárias de gravações que morreram; ninguém as usa mais."""
    for path in folder.glob(f"{prefix}*"):
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def staged_directory(final: str | os.PathLike) -> Iterator[Path]:
    """Dá uma pasta temporária que só recebe o nome ``final`` se o bloco terminar bem.

    Erros:
        StorageError: se o disco recusar; a pasta temporária é removida e ``final`` não aparece.
        FileExistsError: se ``final`` já existir com conteúdo.
    """
    final = Path(final)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=TEMP_PREFIX, dir=final.parent))
    except OSError as error:
        raise storage_error(error, final) from error
    try:
        yield staging
        fsync_tree(staging)
        os.chmod(staging, 0o755)
        if final.is_dir() and not any(final.iterdir()):
            final.rmdir()
        if final.exists():
            raise FileExistsError(errno.EEXIST, "a pasta já existe", str(final))
        os.rename(staging, final)
        fsync_path(final.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise storage_error(error, final) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
