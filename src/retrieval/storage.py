"""A pasta ``retriever/``: o índice no disco, que uma queda nunca deixa pela metade.

    retriever/
      manifest.json            qual geração vale; escrito por último, de uma vez
      data-<geração>/
        chunks.jsonl           um trecho por linha: a verdade, de que o resto se refaz
        documents.json         os arquivos indexados, na ordem
        rows.npy               [N, 3] int64: começo, fim e CRC-32 de cada linha de chunks.jsonl
        terms.json             os termos da busca por palavras, por número
        term_ids.npy           [T] int32: os termos de todos os trechos, em sequência
        term_counts.npy        [N] int32: quantos são os de cada trecho
        vectors.npy            [N, D] float32; só se há vetores
        neighbors.npy, neighbor_rows.npy   o índice aproximado do FAISS; só nos índices grandes
        manifest.json          cópia do manifesto, para quando o de fora se perde

Uma gravação monta a geração nova numa pasta temporária, descarrega tudo, dá-lhe o nome e só então
troca o manifesto; a antiga é apagada depois. Quem leu a antiga continua com ela: tudo é lido para
a memória, nada fica mapeado nem aberto. Nada é lido com pickle.

O manifesto traz tamanho, CRC-32 e SHA-256 de cada arquivo. A leitura confere o tamanho e o CRC-32
(25 ms por 100 MB em qualquer processador; o SHA-256 leva 70 ms nos que têm instruções para ele e
umas cinco vezes isso nos outros), que bastam contra danos do disco.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from src.retrieval.chunk_table import ChunkTable
from src.retrieval.index_files import (
    CHUNKS,
    DOCUMENTS,
    GENERATION_PREFIX,
    MANIFEST,
    NEIGHBOR_ROWS,
    NEIGHBORS,
    ROWS,
    TERM_COUNTS,
    TERM_IDS,
    TERMS,
    VECTORS,
    FileWriter,
    IndexManifest,
    NewerFormatError,
    json_bytes,
    read_json,
    write_array,
    write_data,
)
from src.retrieval.index_reader import GenerationReader
from src.retrieval.lexical import analyzer_signature
from src.retrieval.local_backend import LocalBackend
from src.utils.atomic_io import (
    TEMP_PREFIX,
    remove_leftovers,
    staged_directory,
    storage_error,
    write_bytes,
)
from src.utils.errors import DataError, LunaError

logger = logging.getLogger(__name__)

READ_ATTEMPTS = 5  # outro processo pode trocar a geração durante a leitura
PathLike = str | os.PathLike


# --- Gravar --------------------------------------------------------------------------------------


def save_index(
    folder: PathLike, backend: LocalBackend, extra: Mapping[str, Any] | None = None
) -> IndexManifest:
    """Grava o índice; até o último instante, vale o que estava lá.

    Pega ``index_lock``, se quem chama já não a tem; para que uma gravação não desfaça outra, quem
    lê, muda e grava fica dentro dela do começo ao fim.

    Args:
        folder: a pasta ``retriever/``; criada se preciso.
        extra: o que o manifesto guarda para quem chamou, em tipos do JSON: ``encoder`` (a
            identidade do modelo de vetores), ``settings``, ``patterns``...

    Erros:
        StorageError: o disco recusou; o índice antigo continua inteiro.
    """
    folder = Path(folder)
    with index_lock(folder), backend.lock:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            current = _clean_before(folder)
            now = datetime.now(timezone.utc)
            manifest = _new_manifest(backend, current, now, dict(extra or {}))
            with staged_directory(_generation_folder(folder, manifest)) as staging:
                manifest.files = _write_generation(staging, backend)
                write_data(staging / MANIFEST, json_bytes(manifest.to_json(), indent=2))
        except OSError as error:
            raise storage_error(error, folder) from error
        write_bytes(folder / MANIFEST, json_bytes(manifest.to_json(), indent=2) + b"\n")
        _remove_generations(folder, keep=manifest.generation)
    return manifest


def _new_manifest(
    backend: LocalBackend, current: IndexManifest | None, now: datetime, extra: dict[str, Any]
) -> IndexManifest:
    stamp = now.isoformat(timespec="milliseconds")
    return IndexManifest(
        generation=f"{now:%Y%m%d%H%M%S}-{uuid.uuid4().hex[:8]}",
        created=current.created if current else stamp,
        updated=stamp,
        chunks=len(backend),
        documents=len(backend.documents),
        dimension=backend.dimension,
        analyzer=analyzer_signature(),
        extra=extra,
    )


def _generation_folder(folder: Path, manifest: IndexManifest) -> Path:
    return folder / f"{GENERATION_PREFIX}{manifest.generation}"


def _write_generation(staging: Path, backend: LocalBackend) -> dict[str, dict[str, Any]]:
    """Escreve os arquivos de dados e devolve o resumo de cada um."""
    table, lexical, vectors = backend.parts()
    names, texts = lexical.state()
    documents = [asdict(record) for record in backend.documents.values()]
    files = _write_chunks(staging, table)
    files[DOCUMENTS] = write_data(staging / DOCUMENTS, json_bytes(documents, indent=1))
    files[TERMS] = write_data(staging / TERMS, json_bytes(names))
    files[TERM_IDS] = write_array(staging / TERM_IDS, texts.ids)
    files[TERM_COUNTS] = write_array(staging / TERM_COUNTS, texts.lengths)
    if len(vectors):
        files[VECTORS] = write_array(staging / VECTORS, vectors.matrix)
    if near := vectors.neighbors_state():
        files[NEIGHBORS] = write_array(staging / NEIGHBORS, near[0])
        files[NEIGHBOR_ROWS] = write_array(staging / NEIGHBOR_ROWS, near[1])
    return files


def _write_chunks(staging: Path, table: ChunkTable) -> dict[str, dict[str, Any]]:
    """Escreve ``chunks.jsonl`` e, ao lado, onde cada linha começa, acaba, e o CRC-32 dela."""
    import numpy as np

    rows = np.empty((len(table), 3), dtype=np.int64)
    with FileWriter(staging / CHUNKS) as stream:
        for row, line in enumerate(table.lines()):
            rows[row] = stream.size, stream.size + len(line), zlib.crc32(line)
            stream.write(line + b"\n")
    return {CHUNKS: stream.summary(), ROWS: write_array(staging / ROWS, rows)}


def _clean_before(folder: Path) -> IndexManifest | None:
    """Apaga o que gravações mortas deixaram e devolve o manifesto que vale.

    Sem manifesto que se leia, as gerações ficam até a nova estar no lugar: uma delas pode ser a
    única cópia.
    """
    remove_leftovers(folder)
    for path in folder.glob(f"{TEMP_PREFIX}*"):  # os arquivos soltos
        try:
            path.unlink()
        except OSError as error:
            logger.debug("'%s' fica para a próxima gravação: %s", path, error)
    try:
        current = IndexManifest.from_json(read_json(folder / MANIFEST))
    except (OSError, DataError) as error:
        logger.debug("'%s' não tem manifesto que se leia: %s", folder, error)
        return None
    if _generation_folder(folder, current).is_dir():
        _remove_generations(folder, keep=current.generation)
    return current


def _remove_generations(folder: Path, keep: str) -> None:
    """Apaga as gerações que não são ``keep``; o que o sistema segurar fica para a próxima vez."""
    for path in folder.glob(f"{GENERATION_PREFIX}*"):
        if path.name == f"{GENERATION_PREFIX}{keep}" or not path.is_dir():
            continue
        try:
            (path / MANIFEST).unlink(missing_ok=True)  # sem ele, já não passa por inteira
            shutil.rmtree(path)
        except OSError as error:
            logger.debug("'%s' fica para a próxima gravação: %s", path, error)


# --- Ler -----------------------------------------------------------------------------------------


def load_index(
    folder: PathLike, use_faiss: bool = True, *, encoder: Any = None
) -> tuple[LocalBackend, IndexManifest]:
    """Lê o índice inteiro para a memória.

    O que estiver danificado é dito (``manifest.problems`` e um aviso no registro) e refeito a
    partir dos trechos; vetores não se refazem aqui: ``manifest.needs_vectors`` diz que faltam.

    Args:
        encoder: a identidade do modelo de vetores em uso, como foi dada em ``extra["encoder"]``; se
            o índice é de outro, vem sem vetores. ``None`` aceita qualquer um.

    Erros:
        DataError: não há índice, ele é de um formato mais novo, ou nada se aproveita.
    """
    folder = Path(folder)
    for _ in range(READ_ATTEMPTS - 1):
        current = _current_generation(folder)
        try:
            backend, manifest = _load_once(folder, use_faiss, encoder)
        except DataError:
            if _current_generation(folder) == current:
                raise
            continue
        if not manifest.problems or _current_generation(folder) == current:
            break
        logger.debug("O índice mudou durante a leitura; lendo de novo.")
    else:
        backend, manifest = _load_once(folder, use_faiss, encoder)
    for problem in manifest.problems:
        logger.warning("%s", problem)
    return backend, manifest


def index_exists(folder: PathLike) -> bool:
    """Se há ali um índice, inteiro ou não."""
    folder = Path(folder)
    return (folder / MANIFEST).is_file() or any(folder.glob(f"{GENERATION_PREFIX}*"))


def read_manifest(folder: PathLike) -> IndexManifest | None:
    """O manifesto, sem ler os dados; ``None`` se falta ou está danificado.

    Erros:
        DataError: o índice é de um formato mais novo.
    """
    path = Path(folder) / MANIFEST
    try:
        return IndexManifest.from_json(read_json(path))
    except NewerFormatError as error:
        raise NewerFormatError(f"'{folder}': {error}") from error
    except (OSError, DataError) as error:
        logger.debug("'%s' não pôde ser lido: %s", path, error)
        return None


def _current_generation(folder: Path) -> str | None:
    manifest = read_manifest(folder)
    return manifest.generation if manifest else None


def _load_once(folder: Path, use_faiss: bool, encoder: Any) -> tuple[LocalBackend, IndexManifest]:
    if not index_exists(folder):
        raise DataError(f"Não há índice em '{folder}'. Indexe os documentos primeiro.")
    reasons: list[str] = []
    current = read_manifest(folder)
    for data_folder, manifest in _candidates(folder, current):
        reader = GenerationReader(data_folder, manifest, use_faiss, encoder)
        try:
            backend = reader.read()
        except (OSError, DataError) as error:
            reasons.append(f"{data_folder.name}: {error}")
            continue
        if manifest is not current or manifest is None:
            path, why = folder / MANIFEST, "; ".join(reasons) or "falta ou está danificado"
            reader.problems.append(
                f"'{path}' não serve ({why}); foi usada a pasta {data_folder.name}."
            )
        return backend, _loaded(manifest, reader, backend)
    raise DataError(
        f"O índice em '{folder}' está danificado e nada se aproveita ({'; '.join(reasons)}). "
        "Indexe os documentos de novo."
    )


def _candidates(
    folder: Path, current: IndexManifest | None
) -> list[tuple[Path, IndexManifest | None]]:
    """As gerações a tentar: a do manifesto, as outras da mais nova à mais velha, as sem ele."""
    others: list[tuple[Path, IndexManifest | None]] = []
    for path in folder.glob(f"{GENERATION_PREFIX}*"):
        if current is None or path != _generation_folder(folder, current):
            others.append((path, read_manifest(path)))
    others.sort(key=lambda pair: (pair[1].updated if pair[1] else "", pair[0].name), reverse=True)
    return [(_generation_folder(folder, current), current), *others] if current else others


def _loaded(
    manifest: IndexManifest | None, reader: GenerationReader, backend: LocalBackend
) -> IndexManifest:
    """O manifesto, com o que a leitura achou e o que de fato há."""
    if manifest is None:
        stamp = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        generation = reader.folder.name.removeprefix(GENERATION_PREFIX)
        manifest = IndexManifest(generation, stamp, stamp)
    return replace(
        manifest,
        chunks=len(backend),
        documents=len(backend.documents),
        dimension=backend.dimension,
        problems=reader.problems,
        needs_vectors=reader.needs_vectors,
    )


# --- Travas --------------------------------------------------------------------------------------


_held: set[tuple[str, int, int]] = set()  # (trava, processo, thread) de quem já a tem


@contextmanager
def index_lock(
    folder: PathLike,
    timeout: float | None = None,
    on_wait: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Reserva o índice para quem a pega: ler, mudar e gravar sem que outro grave no meio.

    Quem só lê não precisa dela. A mesma thread pode pegá-la de novo. O arquivo da trava fica ao
    lado da pasta (``.retriever.lock``); o sistema a solta se o processo morrer.

    Args:
        timeout: segundos de espera; ``None`` espera o quanto for preciso.
        on_wait: chamada uma vez, se for preciso esperar; sem ela, um aviso no registro.

    Erros:
        LunaError: o tempo acabou. StorageError: o disco recusou a trava.
    """
    folder = Path(folder).absolute()
    target = lock_file(folder)
    owner = (str(target), os.getpid(), threading.get_ident())
    if owner in _held:
        yield
        return
    lock = _acquire(target, folder, timeout, on_wait or _say_waiting)
    _held.add(owner)
    try:
        yield
    finally:
        _held.discard(owner)
        lock.release()


def lock_file(folder: Path) -> Path:
    """O arquivo da trava do índice ``folder``."""
    return folder.with_name(f".{folder.name}.lock")


def _acquire(target: Path, folder: Path, timeout: float | None, on_wait: Callable[[], None]) -> Any:
    from filelock import FileLock, Timeout

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(str(target), thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            on_wait()
            lock.acquire(timeout=-1 if timeout is None else timeout)
    except Timeout as error:
        raise LunaError(
            f"o índice '{folder}' está em uso por outro processo há mais de {timeout:g} s. Espere "
            "que termine, ou interrompa-o, e repita o comando."
        ) from error
    except OSError as error:
        raise storage_error(error, target) from error
    return lock


def _say_waiting() -> None:
    logger.warning("Outro processo está mudando este índice; esperando que termine.")
