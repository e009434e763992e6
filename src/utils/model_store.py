"""A pasta de modelos: listar, conferir, travar, renomear, apagar, exportar e importar.

O que sai pela ``export`` volta pela ``import_archive``. Um arquivo que veio de outra pessoa é
tratado como hostil: ele é lido uma vez, em ordem, e cada entrada passa por todas as conferências
antes que um byte dela chegue ao disco, numa pasta temporária que só no fim recebe o nome do modelo.
"""

import difflib
import gzip
import json
import logging
import os
import re
import shutil
import stat
import tarfile
import tempfile
import time
import unicodedata
import uuid
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from src.utils.atomic_io import TEMP_PREFIX, fsync_path, staged_directory, storage_error
from src.utils.errors import (
    LunaError,
    ModelExistsError,
    ModelFormatError,
    ModelNotFoundError,
    StorageError,
    UsageError,
)

logger = logging.getLogger(__name__)

CONFIG_FILE = "config.json"
INDEX_FILE = "model.safetensors.index.json"
CHECKPOINTS_DIR = "checkpoints"
RETRIEVER_DIR = "retriever"
LOCKS_DIR = ".locks"
REMOVED_PREFIX = f"{TEMP_PREFIX}removed-"
REPLACED_PREFIX = f"{TEMP_PREFIX}replaced-"

MAX_NAME_LENGTH = 64  # caracteres
MAX_NAME_BYTES = 200  # os sistemas de arquivos param em 255, e há prefixos temporários
MAX_EXPANDED_BYTES = 20 * 1024**3
MAX_ENTRIES = 20_000
MAX_RATIO = 200  # expandido / compactado; pesos ficam perto de 1, JSON perto de 10
RATIO_FREE_BYTES = 64 * 1024**2  # até aqui a razão não importa: camadas zeradas compactam muito
TAR_HEADER_BYTES = 64 * 1024  # folga por entrada, para cabeçalhos e preenchimento do tar
CHUNK_BYTES = 1024**2

#: Formatos que executam código ao serem lidos.
PICKLE_SUFFIXES = frozenset(".bin .pt .pth .pkl .pickle .ckpt .joblib .dill".split())
_WINDOWS_RESERVED = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³"]
)
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ARCHIVE_SUFFIXES = {".tar.gz": "tar", ".tgz": "tar", ".zip": "zip"}


# --- Nomes ---------------------------------------------------------------------------------------


def _reserved_on_windows(component: str) -> bool:
    return component.split(".")[0].casefold() in _WINDOWS_RESERVED


def _name_problem(name: str) -> str | None:
    """O que há de errado com um nome de modelo, ou ``None``."""
    if not name:
        return "está vazio"
    if not re.fullmatch(r"[\w.\-]+", name):
        return "só pode ter letras, números, '.', '_' e '-'"
    if name[0] in ".-" or name[-1] == ".":
        return "não pode começar com '.' ou '-', nem terminar com '.'"
    if len(name) > MAX_NAME_LENGTH or len(name.encode("utf-8")) > MAX_NAME_BYTES:
        return f"é longo demais ({len(name)} caracteres; o máximo é {MAX_NAME_LENGTH})"
    return "é reservado pelo Windows" if _reserved_on_windows(name) else None


def validate_model_name(name: str) -> str:
    """Confere o nome de um modelo e o devolve com os acentos compostos (Unicode NFC).

    Um nome é um só componente de caminho: letras (acentuadas também), números, ``.``, ``_`` e
    ``-``, até 64 caracteres, sem começar com ``.`` ou ``-``.

    Erros:
        UsageError: o nome não serve, ou é um caminho; nesse caso a mensagem diz qual seria o nome.
    """
    if not isinstance(name, str):
        raise UsageError(f"nome de modelo {name!r}: esperado um texto.")
    name = unicodedata.normalize("NFC", name)
    if re.search(r"[/\\]|^[A-Za-z]:", name):
        last = re.split(r"[/\\:]", name.rstrip("/\\"))[-1]
        hint = "" if _name_problem(last) else f" O nome seria '{last}'."
        raise UsageError(
            f"'{name}' é um caminho; aqui se espera o nome de um modelo da pasta de modelos.{hint}"
        )
    problem = _name_problem(name)
    if problem:
        raise UsageError(f"O nome de modelo '{name}' {problem}. Um exemplo que serve: MeuLunaGPT.")
    return name


# --- O que há numa pasta de modelo ---------------------------------------------------------------


@dataclass(frozen=True)
class ModelEntry:
    """Um modelo na pasta de modelos."""

    name: str
    path: Path
    size_bytes: int  # soma dos arquivos, com checkpoints
    parameters: int | None  # None se a pasta não diz
    modified: datetime  # da última gravação dos pesos ou da configuração, com fuso local
    has_retriever: bool
    complete: bool  # configuração, índice e todos os pesos estão lá


def _read_json(path: Path) -> dict[str, Any] | None:
    """O objeto JSON de ``path``; ``None`` se o arquivo falta ou está danificado."""
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        logger.debug("'%s' não pôde ser lido: %s", path, error)
        return None
    return value if isinstance(value, dict) else None


def model_problem(folder: str | os.PathLike) -> str | None:
    """O que falta para ``folder`` ser um modelo completo, em uma frase; ``None`` se nada falta.

    Confere a configuração, o índice dos pesos e a presença de cada arquivo que ele cita; não lê
    os pesos.
    """
    folder = Path(folder)
    for name in (CONFIG_FILE, INDEX_FILE):
        if not (folder / name).is_file():
            return f"falta {name}"
        if _read_json(folder / name) is None:
            return f"{name} não é um objeto JSON"
    shards = (_read_json(folder / INDEX_FILE) or {}).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        return f"{INDEX_FILE} não tem a lista de pesos (weight_map)"
    for shard in sorted({str(value) for value in shards.values()}):
        inside = not Path(shard).is_absolute() and ".." not in re.split(r"[/\\]", shard)
        if not inside or not (folder / shard).is_file():
            return f"falta o arquivo de pesos {shard}"
    return None


def _require_complete(folder: Path) -> None:
    """Exige um modelo completo.

    Erros:
        ModelFormatError: com o que falta.
    """
    problem = model_problem(folder)
    if problem:
        raise ModelFormatError(
            f"O modelo está incompleto: {problem}. Treine-o ou exporte-o de novo na origem."
        )


def _folder_bytes(folder: Path) -> int:
    """A soma dos tamanhos; o que sumir durante a conta (há um treino em curso) fica de fora."""
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                logger.debug("'%s' sumiu enquanto o tamanho era somado.", name)
    return total


def _parameters(folder: Path) -> int | None:
    metadata = (_read_json(folder / INDEX_FILE) or {}).get("metadata")
    for source in (metadata, _read_json(folder / CONFIG_FILE)):
        value = source.get("total_parameters") if isinstance(source, dict) else None
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def _entry(folder: Path) -> ModelEntry:
    retriever = folder / RETRIEVER_DIR
    written = [folder / name for name in (CONFIG_FILE, INDEX_FILE) if (folder / name).is_file()]
    stamp = max((path.stat().st_mtime for path in written), default=folder.stat().st_mtime)
    return ModelEntry(
        name=folder.name,
        path=folder,
        size_bytes=_folder_bytes(folder),
        parameters=_parameters(folder),
        modified=datetime.fromtimestamp(stamp).astimezone(),
        has_retriever=retriever.is_dir() and any(retriever.iterdir()),
        complete=model_problem(folder) is None,
    )


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
            "por 'python main.py export'."
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
            bad = bad or strange or part[-1] in ". " or _reserved_on_windows(part)
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


def _extract(archive: Path, folder: Path, max_bytes: int) -> None:
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


def _archive_kind(path: Path) -> str:
    """``"tar"`` ou ``"zip"``, pelo sufixo."""
    for suffix, kind in _ARCHIVE_SUFFIXES.items():
        if path.name.lower().endswith(suffix):
            return kind
    raise UsageError(f"'{path}': esperado um nome terminado em {', '.join(_ARCHIVE_SUFFIXES)}.")


def _files_to_export(folder: Path, include_checkpoints: bool) -> list[tuple[str, Path]]:
    """(caminho dentro do arquivo, arquivo), em ordem alfabética.

    Erros:
        ModelFormatError: há algo que a importação recusaria.
    """
    found = []
    for parent, folders, files in os.walk(folder):
        if Path(parent) == folder and not include_checkpoints:
            folders[:] = [name for name in folders if name != CHECKPOINTS_DIR]
        folders[:] = [name for name in folders if not name.startswith(TEMP_PREFIX)]
        for path in [Path(parent, name) for name in folders if Path(parent, name).is_symlink()]:
            raise ModelFormatError(f"'{path}' é um atalho para outra pasta; copie-a para lá.")
        found += [Path(parent, name) for name in files if not name.startswith(TEMP_PREFIX)]
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
                seconds = min(
                    max(status.st_mtime, 315619200), 4354732800
                )  # o zip vai de 1980 a 2107
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


# --- A pasta de modelos --------------------------------------------------------------------------

Names = list[str]  # dentro da classe, ``list`` é o método
Entries = list[ModelEntry]


class ModelStore:
    """Os modelos de uma pasta.

    Uma subpasta é um modelo quando tem ``config.json``; outra (por exemplo, só com ``retriever/``)
    não conta como existente.

    Args:
        models_dir: a pasta; criada na primeira gravação.
    """

    def __init__(self, models_dir: str | os.PathLike) -> None:
        self.models_dir = Path(models_dir)

    def path(self, name: str) -> Path:
        """A pasta do modelo ``name``, exista ou não.

        Erros:
            UsageError: o nome não serve.
        """
        return self.models_dir / validate_model_name(name)

    def exists(self, name: str) -> bool:
        """Se há um modelo com esse nome.

        Erros:
            UsageError: o nome não serve.
        """
        return (self.path(name) / CONFIG_FILE).is_file()

    def names(self) -> Names:
        """Os nomes dos modelos, em ordem alfabética, sem olhar dentro deles.

        Erros:
            StorageError: a pasta de modelos não pode ser lida.
        """
        try:
            folders = [path for path in self.models_dir.iterdir() if path.name[0] != "."]
            found = [path.name for path in folders if (path / CONFIG_FILE).is_file()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StorageError(
                f"Não foi possível ler '{self.models_dir}': {error.strerror}."
            ) from error
        for name in [name for name in found if _name_problem(name)]:
            logger.warning("A pasta '%s' foi ignorada: o nome %s.", name, _name_problem(name))
        valid = [name for name in found if not _name_problem(name)]
        return sorted(valid, key=lambda name: (name.casefold(), name))

    def list(self) -> Entries:
        """Os modelos, em ordem alfabética, com tamanho, parâmetros e estado.

        Erros:
            StorageError: a pasta de modelos não pode ser lida.
        """
        entries = []
        for name in self.names():
            try:
                entries.append(_entry(self.models_dir / name))
            except FileNotFoundError:
                logger.debug("O modelo '%s' foi apagado durante a listagem.", name)
        return entries

    def require(self, name: str) -> Path:
        """A pasta de um modelo que existe.

        Erros:
            UsageError: o nome não serve.
            ModelNotFoundError: não existe; a mensagem lista os que existem e como criar.
        """
        folder = self.path(name)
        if self.exists(name):
            return folder
        names = self.names()
        close = difflib.get_close_matches(folder.name, names, n=3, cutoff=0.6)
        lines = [f"O modelo '{folder.name}' não existe em '{self.models_dir}'."]
        if folder.is_dir():
            lines.append(f"A pasta está lá, mas sem {CONFIG_FILE}.")
        if close:
            lines.append(f"Você quis dizer {' ou '.join(repr(item) for item in close)}?")
        lines.append(f"Os que existem: {', '.join(names) or 'nenhum'}.")
        lines.append(f"Para criá-lo: python main.py create --name {folder.name}")
        raise ModelNotFoundError(" ".join(lines))

    def check_free(self, name: str, force: bool = False) -> Path:
        """A pasta em que um modelo novo pode ser gravado.

        Erros:
            UsageError: o nome não serve.
            ModelExistsError: já existe um modelo com esse nome e ``force`` é falso.
        """
        folder = self.path(name)
        if self.exists(name) and not force:
            raise ModelExistsError(
                f"Já existe um modelo '{folder.name}' em '{self.models_dir}'. Use --force para "
                "substituí-lo, ou escolha outro nome."
            )
        return folder

    @contextmanager
    def lock(self, name: str, timeout: float = 0) -> Iterator[None]:
        """Reserva o modelo para este processo enquanto o bloco durar.

        Args:
            timeout: segundos de espera; 0 tenta uma vez só, negativo espera o quanto for preciso.

        Erros:
            LunaError: o modelo está em uso. StorageError: a trava não pôde ser criada.
        """
        from filelock import FileLock, Timeout

        folder = self.path(name)
        target = self.models_dir / LOCKS_DIR / f"{folder.name}.lock"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(str(target), timeout=timeout, thread_local=False)
            lock.acquire()
        except Timeout as error:
            raise LunaError(
                f"o modelo '{folder.name}' está em uso por outro processo (treino ou refinamento). "
                "Espere que termine, ou interrompa-o, e repita o comando."
            ) from error
        except OSError as error:
            raise storage_error(error, target) from error
        try:
            yield
        finally:
            lock.release()

    def rename(self, old: str, new: str) -> Path:
        """Dá outro nome a um modelo e devolve a nova pasta.

        Erros:
            UsageError: um nome não serve, ou os dois são iguais. ModelNotFoundError: ``old`` não
            existe. ModelExistsError: ``new`` já está ocupado. LunaError: um deles está em uso.
            StorageError: o disco recusou.
        """
        source, target = self.require(old), self.path(new)
        if source.name == target.name:
            raise UsageError(f"O modelo já se chama '{source.name}'.")
        same = target.exists() and target.samefile(source)  # só muda maiúscula, no macOS e Windows
        with self.lock(old), nullcontext() if same else self.lock(new):
            try:
                self._refuse_occupied(target, allowed=same)
                os.rename(source, target)
                fsync_path(self.models_dir)
            except OSError as error:
                raise storage_error(error, target) from error
        return target

    def _refuse_occupied(self, folder: Path, allowed: bool) -> None:
        """Exige que ``folder`` não exista; uma pasta vazia sai do caminho.

        Erros:
            ModelExistsError: há algo lá e ``allowed`` é falso.
        """
        if allowed or not os.path.lexists(folder):
            return
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
            return
        raise ModelExistsError(
            f"'{folder}' já existe e não está vazia. Escolha outro nome, ou remova-a antes."
        )

    def remove(self, name: str) -> None:
        """Apaga um modelo.

        A pasta primeiro perde o nome e só depois é apagada: interrompida no meio, a remoção não
        deixa meio modelo. O que sobrar sai na próxima remoção.

        Erros:
            UsageError, ModelNotFoundError: como em ``require``. LunaError: está em uso.
            StorageError: o disco recusou.
        """
        folder = self.require(name)
        with self.lock(name):
            trash = self._set_aside(folder, REMOVED_PREFIX)
        for leftover in [trash, *self.models_dir.glob(f"{REMOVED_PREFIX}*")]:
            self._discard(leftover, name)

    def _set_aside(self, folder: Path, prefix: str) -> Path:
        """Tira o nome de ``folder``, de uma vez só, e devolve onde ela ficou."""
        aside = self.models_dir / f"{prefix}{folder.name}-{uuid.uuid4().hex[:8]}"
        try:
            os.rename(folder, aside)
        except OSError as error:
            raise storage_error(error, folder) from error
        return aside

    def _discard(self, folder: Path, name: str) -> None:
        """Apaga o que já não tem nome de modelo; um atalho é desfeito, não seguido."""
        try:
            if folder.is_symlink():
                folder.unlink()
            elif folder.exists():
                shutil.rmtree(folder)
        except OSError as error:
            raise StorageError(
                f"'{name}' já não está entre os modelos, mas sobraram arquivos em '{folder}' "
                f"({error.strerror}). Apague essa pasta quando puder."
            ) from error

    def export(
        self,
        name: str,
        archive_path: str | os.PathLike,
        *,
        include_checkpoints: bool = False,
        force: bool = False,
    ) -> Path:
        """Grava um modelo num só arquivo, ``.tar.gz`` ou ``.zip`` conforme o sufixo.

        Args:
            include_checkpoints: leva também ``checkpoints/``, que só serve para retomar o treino.
            force: substitui um arquivo que já exista.

        Returns:
            O caminho do arquivo.

        Erros:
            UsageError: nome ou sufixo não servem, ou o arquivo já existe. ModelNotFoundError: o
            modelo não existe. ModelFormatError: está incompleto, ou tem algo que a importação
            recusaria. LunaError: está em uso. StorageError: o disco recusou.
        """
        source, target = self.require(name), Path(archive_path)
        kind = _archive_kind(target)
        if target.is_dir() or (target.exists() and not force):
            raise UsageError(f"'{target}' já existe. Use --force para substituir, ou outro nome.")
        with self.lock(name):
            _require_complete(source)
            files = _files_to_export(source, include_checkpoints)
            with _atomic_stream(target) as sink:
                (_write_tar if kind == "tar" else _write_zip)(sink, files)
        return target

    def import_archive(
        self,
        archive_path: str | os.PathLike,
        name: str | None = None,
        force: bool = False,
        *,
        max_bytes: int = MAX_EXPANDED_BYTES,
    ) -> Path:
        """Traz um modelo de um arquivo feito por ``export`` e devolve a pasta dele.

        Args:
            name: o nome do modelo; ``None`` usa o da pasta que está no arquivo.
            force: substitui um modelo que já exista.
            max_bytes: o máximo que o arquivo pode ocupar depois de expandido.

        Erros:
            UsageError: o arquivo não existe ou o nome não serve. ModelExistsError: o nome está
            ocupado. ModelFormatError: o arquivo está danificado, incompleto ou tem algo que não
            se aceita (caminhos para fora, atalhos, pickles, expansão enorme). LunaError: o modelo
            está em uso. StorageError: o disco recusou. Em todos os casos nada é deixado para trás.
        """
        archive = Path(archive_path)
        with closing(_members(archive, max_bytes)) as members:
            top = next(members).top
        final = self.check_free(top if name is None else name, force)
        with self.lock(final.name):
            self._refuse_occupied(final, allowed=force)
            old = self._install(archive, final, max_bytes)
        if old is not None:
            self._discard(old, final.name)
        return final

    def _install(self, archive: Path, final: Path, max_bytes: int) -> Path | None:
        """Extrai e dá o nome; o modelo antigo só perde o dele depois que o novo está no disco.

        Returns:
            Onde ficou o modelo substituído, se havia um.
        """
        old = None
        try:
            with staged_directory(final) as staging:
                _extract(archive, staging, max_bytes)
                _require_complete(staging)
                if os.path.lexists(final):
                    old = self._set_aside(final, REPLACED_PREFIX)
        except BaseException:
            if old is not None and not os.path.lexists(final):
                os.rename(old, final)
            raise
        return old
