"""Ler e escrever um modelo num só arquivo, ``.tar.gz`` ou ``.zip``.

Um arquivo que veio de outra pessoa é tratado como hostil: ele é lido uma vez, em ordem, e cada
entrada passa por todas as conferências antes que um byte dela chegue ao disco. A escrita só produz
o que a leitura aceita, sem dono, sem hora de criação e em ordem: mesmas entradas, mesmos bytes.
"""

import gzip
import os
import shutil
import stat
import tarfile
import tempfile
import time
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from src.utils.atomic_io import TEMP_PREFIX, fsync_path, storage_error
from src.utils.errors import ModelFormatError, StorageError, UsageError

MAX_EXPANDED_BYTES = 20 * 1024**3
MAX_ENTRIES = 20_000
MAX_RATIO = 200  # expandido / compactado; pesos ficam perto de 1, JSON perto de 10
RATIO_FREE_BYTES = 64 * 1024**2  # até aqui a razão não importa: camadas zeradas compactam muito
TAR_HEADER_BYTES = 64 * 1024  # folga por entrada, para cabeçalhos e preenchimento do tar
CHUNK_BYTES = 1024**2
ZIP_FIRST_SECOND, ZIP_LAST_SECOND = 315619200, 4354732800  # o zip vai de 1980 a 2107

#: Formatos que executam código ao serem lidos.
PICKLE_SUFFIXES = frozenset(".bin .pt .pth .pkl .pickle .ckpt .joblib .dill".split())
_WINDOWS_RESERVED = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³"]
)
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ARCHIVE_SUFFIXES = {".tar.gz": "tar", ".tgz": "tar", ".zip": "zip"}


def reserved_on_windows(component: str) -> bool:
    """Se o Windows recusa este componente de caminho, com ou sem extensão (``con.json``)."""
    return component.split(".")[0].casefold() in _WINDOWS_RESERVED


# --- Ler um arquivo exportado --------------------------------------------------------------------


@dataclass(frozen=True)
class _Member:
    """Uma entrada já conferida: o caminho, sem a pasta de cima, e como ler o conteúdo."""

    top: str
    parts: tuple[str, ...]
    size: int  # bytes
    open: Callable[[], IO[bytes]] | None  # None é uma pasta


class _Budget:
    """Conta o que já se expandiu e recusa o que passa dos limites."""

    def __init__(self, archive: Path, max_bytes: int) -> None:
        self.archive, self.max_bytes = archive, max_bytes
        self.compressed = max(archive.stat().st_size, 1)
        self.expanded = self.entries = 0
        self.top = ""
        self.seen: dict[tuple[str, ...], bool] = {}  # caminho -> é pasta

    def refuse(self, reason: str) -> ModelFormatError:
        return ModelFormatError(
            f"'{self.archive}' foi recusado: {reason}. Nada foi importado. Use um arquivo criado "
            "por 'python main.py models export'."
        )

    def admit(self, name: str, size: int, is_dir: bool) -> tuple[str, ...]:
        """Confere nome e tamanho de uma entrada e devolve as partes do caminho.

        Erros:
            ModelFormatError: com o que foi recusado.
        """
        parts = self._safe_parts(name)
        self.top = self.top or parts[0]
        if parts[0] != self.top or (len(parts) == 1 and not is_dir):
            raise self.refuse(f"esperada uma só pasta no topo, e há '{self.top}' e '{name}'")
        if not is_dir and Path(parts[-1]).suffix.lower() in PICKLE_SUFFIXES:
            raise self.refuse(f"'{name}' é de um formato que executa código ao ser lido (pickle)")
        self._check_duplicate(name, parts, is_dir)
        self.entries += 1
        self.expanded += size
        if self.entries > MAX_ENTRIES:
            raise self.refuse(f"tem mais de {MAX_ENTRIES} entradas")
        if self.expanded > self.max_bytes:
            raise self.refuse(f"expande para mais de {self.max_bytes / 1024**3:.3g} GB")
        if self.expanded > max(RATIO_FREE_BYTES, MAX_RATIO * self.compressed):
            raise self.refuse("expande demais para o seu tamanho, como uma bomba de compactação")
        return parts

    def _safe_parts(self, name: str) -> tuple[str, ...]:
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        bad = not parts or name.startswith("/") or ".." in parts
        for part in parts:
            strange = any(ord(c) < 32 or c in '\\:*?"<>|' for c in part)
            bad = bad or strange or part[-1] in ". " or reserved_on_windows(part)
        if bad or any(0xD800 <= ord(c) <= 0xDFFF for c in name):
            raise self.refuse(f"o caminho {name!r} não é permitido")
        return parts

    def _check_duplicate(self, name: str, parts: tuple[str, ...], is_dir: bool) -> None:
        """Recusa repetições, também as que só diferem em maiúsculas ou na forma do acento."""
        key = tuple(unicodedata.normalize("NFC", part).casefold() for part in parts)
        parents_ok = all(self.seen.setdefault(key[:n], True) for n in range(1, len(key)))
        if (
            not parents_ok
            or self.seen.get(key, is_dir) != is_dir
            or (not is_dir and key in self.seen)
        ):
            raise self.refuse(f"o caminho '{name}' aparece mais de uma vez")
        self.seen[key] = is_dir


class _MeteredStream:
    """O tar descompactado, que só anda até onde as entradas já aceitas permitem.

    Sem isto, um cabeçalho estendido de 10 GB seria carregado na memória antes de qualquer
    conferência.
    """

    def __init__(self, stream: gzip.GzipFile, budget: _Budget) -> None:
        self.stream, self.budget = stream, budget
        self.used, self.allowed = 0, TAR_HEADER_BYTES

    def read(self, size: int) -> bytes:
        data = self.stream.read(size)
        self.used += len(data)
        if self.used > self.allowed:
            raise self.budget.refuse("tem um cabeçalho de tar grande demais")
        return data


def _tar_members(archive: Path, budget: _Budget) -> Iterator[_Member]:
    with gzip.open(archive, "rb") as stream:
        meter = _MeteredStream(stream, budget)
        with tarfile.open(fileobj=meter, mode="r|") as tar:  # type: ignore[call-overload]
            for info in tar:
                if not (info.isdir() or info.isreg()) or info.issparse():
                    raise budget.refuse(f"'{info.name}' não é um arquivo comum nem uma pasta")
                size = 0 if info.isdir() else info.size
                parts = budget.admit(info.name, size, info.isdir())
                meter.allowed += size + TAR_HEADER_BYTES
                opener = None if info.isdir() else _tar_opener(tar, info)
                yield _Member(parts[0], parts[1:], size, opener)
        while meter.read(CHUNK_BYTES):  # até o fim: é lá que o gzip confere a soma de verificação
            pass


def _tar_opener(tar: tarfile.TarFile, info: tarfile.TarInfo) -> Callable[[], IO[bytes]]:
    def opener() -> IO[bytes]:
        stream = tar.extractfile(info)
        assert stream is not None  # só entradas comuns chegam aqui
        return stream

    return opener


def _zip_members(archive: Path, budget: _Budget) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as bundle:
        for info in bundle.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise budget.refuse(f"'{info.filename}' não é um arquivo comum nem uma pasta")
            if info.flag_bits & 1 or info.compress_type not in _ZIP_METHODS:
                raise budget.refuse(f"'{info.filename}' tem senha ou compactação desconhecida")
            size = 0 if info.is_dir() else info.file_size
            parts = budget.admit(info.orig_filename, size, info.is_dir())
            opener = None if info.is_dir() else _zip_opener(bundle, info)
            yield _Member(parts[0], parts[1:], size, opener)


def _zip_opener(bundle: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], IO[bytes]]:
    return lambda: bundle.open(info)


@contextmanager
def _readable(archive: Path) -> Iterator[None]:
    """Traduz os erros de um arquivo danificado."""
    damaged = (tarfile.TarError, zipfile.BadZipFile, zlib.error, gzip.BadGzipFile, EOFError)
    odd = (ValueError, NotImplementedError, OverflowError)  # campos sem sentido
    try:
        yield
    except damaged + odd as error:
        raise ModelFormatError(
            f"'{archive}' está danificado ou incompleto ({error}). Copie-o ou baixe-o de novo."
        ) from error


def _read_magic(archive: Path) -> bytes:
    """Os primeiros bytes, que dizem o formato; o sufixo não conta."""
    if archive.is_dir():
        raise UsageError(f"'{archive}' é uma pasta; esperado um arquivo .tar.gz ou .zip.")
    try:
        with open(archive, "rb") as stream:
            return stream.read(4)
    except FileNotFoundError as error:
        raise UsageError(f"O arquivo '{archive}' não existe.") from error
    except OSError as error:
        raise StorageError(f"Não foi possível ler '{archive}': {error.strerror}.") from error


def _members(archive: Path, max_bytes: int) -> Generator[_Member, None, None]:
    """As entradas do arquivo, em ordem, cada uma já conferida.

    Erros:
        UsageError: o arquivo não existe.
        ModelFormatError: está danificado, é de outro formato ou tem algo que não se aceita.
    """
    magic = _read_magic(archive)
    budget = _Budget(archive, max_bytes)
    with _readable(archive):
        if magic.startswith(b"\x1f\x8b"):
            yield from _tar_members(archive, budget)
        elif magic.startswith(b"PK"):
            yield from _zip_members(archive, budget)
        else:
            raise budget.refuse("não é um .tar.gz nem um .zip")
    if not budget.entries:
        raise budget.refuse("está vazio")


def top_folder(archive: Path, max_bytes: int) -> str:
    """O nome da pasta de cima, que é o do modelo na máquina de origem.

    Erros:
        UsageError, ModelFormatError: como em ``_members``.
    """
    with closing(_members(archive, max_bytes)) as members:
        return next(members).top


def extract(archive: Path, folder: Path, max_bytes: int) -> None:
    """Extrai tudo, sem a pasta de cima, para ``folder``.

    Arquivos são criados só para leitura e escrita: nem atalhos, nem permissão de execução.
    """
    for member in _members(archive, max_bytes):
        target = folder.joinpath(*member.parts)
        if member.open is None:
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "xb") as sink:
            written = sum(sink.write(chunk) for chunk in _chunks(archive, member.open))
            sink.flush()
            os.fsync(sink.fileno())
        if written != member.size:
            raise ModelFormatError(f"'{archive}' está incompleto: faltam bytes de '{target.name}'.")


def _chunks(archive: Path, opener: Callable[[], IO[bytes]]) -> Iterator[bytes]:
    with _readable(archive), opener() as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk


# --- Escrever um arquivo exportado ---------------------------------------------------------------


def archive_kind(path: Path) -> str:
    """``"tar"`` ou ``"zip"``, pelo sufixo."""
    for suffix, kind in _ARCHIVE_SUFFIXES.items():
        if path.name.lower().endswith(suffix):
            return kind
    raise UsageError(f"'{path}': esperado um nome terminado em {', '.join(_ARCHIVE_SUFFIXES)}.")


LOCK_SUFFIX = ".lock"  # das travas, vazias, que ficam ao lado do que protegem


def files_to_export(folder: Path, leave_out: Collection[str] = ()) -> list[tuple[str, Path]]:
    """(caminho dentro do arquivo, arquivo), em ordem alfabética.

    Args:
        leave_out: subpastas de ``folder`` que não viajam, como ``"checkpoints"`` ou ``"a/b"``.

    Erros:
        ModelFormatError: há algo que a importação recusaria.
    """
    found = []
    for parent, folders, files in os.walk(folder):
        place = Path(parent).relative_to(folder)
        folders[:] = [
            name
            for name in folders
            if (place / name).as_posix() not in leave_out and not name.startswith(TEMP_PREFIX)
        ]
        for path in [Path(parent, name) for name in folders if Path(parent, name).is_symlink()]:
            raise ModelFormatError(f"'{path}' é um atalho para outra pasta; copie-a para lá.")
        found += [
            Path(parent, name)
            for name in files
            if not name.startswith(TEMP_PREFIX) and not name.endswith(LOCK_SUFFIX)
        ]
    for path in found:
        if not path.is_file() or path.suffix.lower() in PICKLE_SUFFIXES:
            raise ModelFormatError(
                f"'{path}' não pode ser exportado: não é um arquivo comum, ou é de um formato que "
                "executa código ao ser lido. Tire-o da pasta do modelo e repita."
            )
    named = ((f"{folder.name}/{path.relative_to(folder).as_posix()}", path) for path in found)
    return sorted(named)


@contextmanager
def _source(path: Path) -> Iterator[tuple[IO[bytes], os.stat_result]]:
    try:
        stream = open(path, "rb")
    except OSError as error:
        raise ModelFormatError(f"Não foi possível ler '{path}': {error.strerror}.") from error
    with stream:
        yield stream, os.fstat(stream.fileno())


def _write_tar(sink: IO[bytes], files: list[tuple[str, Path]]) -> None:
    """Um .tar.gz sem dono, sem hora de criação e em ordem: mesmas entradas, mesmos bytes."""
    with gzip.GzipFile("", "wb", compresslevel=1, fileobj=sink, mtime=0) as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name, path in files:
                with _source(path) as (stream, status):
                    info = tarfile.TarInfo(name)
                    info.size, info.mtime, info.mode = status.st_size, int(status.st_mtime), 0o644
                    tar.addfile(info, stream)


def _write_zip(sink: IO[bytes], files: list[tuple[str, Path]]) -> None:
    with zipfile.ZipFile(sink, "w") as bundle:
        for name, path in files:
            with _source(path) as (stream, status):
                seconds = min(max(status.st_mtime, ZIP_FIRST_SECOND), ZIP_LAST_SECOND)
                info = zipfile.ZipInfo(name, time.gmtime(seconds)[:6])
                info.compress_type, info.create_system = zipfile.ZIP_DEFLATED, 3
                info.external_attr = (stat.S_IFREG | 0o644) << 16
                with bundle.open(info, "w", force_zip64=True) as target:
                    shutil.copyfileobj(stream, target, CHUNK_BYTES)


@contextmanager
def _atomic_stream(path: Path) -> Iterator[IO[bytes]]:
    """Um arquivo que só recebe o nome ``path`` se o bloco terminar bem.

    Erros:
        StorageError: o disco recusou; nada fica no lugar.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=TEMP_PREFIX, dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        finally:
            Path(name).unlink(missing_ok=True)
        fsync_path(path.parent)
    except OSError as error:
        raise storage_error(error, path) from error


def write_archive(target: Path, files: list[tuple[str, Path]]) -> None:
    """Grava ``files`` em ``target``, de uma vez só, no formato que o sufixo pede.

    Erros:
        UsageError: o sufixo não serve. ModelFormatError: um arquivo não pôde ser lido.
        StorageError: o disco recusou.
    """
    write = _write_tar if archive_kind(target) == "tar" else _write_zip
    with _atomic_stream(target) as sink:
        write(sink, files)
