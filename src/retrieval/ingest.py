"""A indexação de arquivos: o que é novo ou mudou é lido e cortado; o que não mudou, só conferido.

``ingest`` dá os arquivos um a um, à medida que ficam prontos e sempre na ordem dos nomes, para que
o índice não dependa de quem terminou antes. Um arquivo ruim nunca para os outros: vai para o
``IngestReport``. O resumo (``digest``) de um arquivo é o SHA-256 dos seus bytes com a versão da
leitura e o tamanho dos trechos: mudar qualquer um deles refaz o arquivo.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.retrieval.blocks import ReadLimits, from_document, metadata_title
from src.retrieval.chunking import (
    BUDGET_WORDS,
    INGEST_VERSION,
    OVERLAP_SENTENCES,
    check_parameters,
    chunk_document,
)
from src.retrieval.ingest_report import DuplicateCounter, IngestReport
from src.retrieval.parsing import ParsedFile, ParserPool, ParseTask, needs_process, parse_file
from src.retrieval.reach import found_files, missing_files, pattern_list
from src.retrieval.types import Chunk, DocumentRecord, SourceDocument
from src.utils.documents import Document, LoadReport
from src.utils.errors import ConfigError, DataError
from src.utils.file_utils import PathLike, checked_extension, reading
from src.utils.text_cleaning import clean_text
from src.utils.text_formats import detect_format, parse_knowledge

__all__ = ["IngestReport", "Ingestion", "documents_from_texts", "file_digest", "ingest"]

logger = logging.getLogger(__name__)

Progress = Callable[[int, int, str], None]
_MAX_WORKERS = 4
_AHEAD = 4  # arquivos lidos à frente, por processo
_MEGABYTE = 1 << 20
_SOURCE_KEYS = ("source", "fonte")


@dataclass
class _Pending:
    """Um arquivo a ler: o seu resumo e, se um processo auxiliar o lê, o resultado futuro."""

    file: str
    digest: str
    stamp: tuple[int, int]
    heavy: bool
    future: Future[ParsedFile] | None = None


def ingest(
    patterns: PathLike | Iterable[PathLike],
    known: Mapping[str, DocumentRecord],
    *,
    update: bool = False,
    max_file_mb: float = 200.0,
    budget: int = BUDGET_WORDS,
    overlap: int = OVERLAP_SENTENCES,
    workers: int | None = None,
    timeout_s: float = 60.0,
    progress: Progress | None = None,
) -> Ingestion:
    """Prepara a indexação dos arquivos dos padrões; nada é lido até se percorrer o resultado.

    Args:
        patterns: arquivos, pastas ou globs; ver ``expand_patterns``.
        known: o que o índice já tem, por arquivo.
        update: também tira do índice os arquivos que os padrões alcançam e não existem mais.
        max_file_mb: tamanho máximo de cada arquivo, em MB de 2^20 bytes.
        budget, overlap: o tamanho dos trechos, em palavras, e a repetição, em frases.
        workers: processos auxiliares, no máximo; 0 lê tudo neste processo, sem limites de tempo e
            de memória. Por padrão, um por processador, até 4, e só se houver o que os justifique.
        timeout_s: segundos por arquivo lido num processo auxiliar; os de mais de 4 MB têm mais, em
            proporção, até dez vezes.
        progress: chamada com (feitos, total, arquivo) depois de cada arquivo.

    Returns:
        O iterador de (registro, trechos), com o relato em ``report``.

    Erros:
        NoDataError: um padrão não acha nada, nem no índice.
        ConfigError: ``budget``, ``overlap``, ``timeout_s``, ``workers`` ou ``max_file_mb`` fora do
            que se aceita.
    """
    check_parameters(budget, overlap)
    for name, value in (("timeout_s", timeout_s), ("max_file_mb", max_file_mb)):
        if not value > 0:
            raise ConfigError(f"{name}={value!r}: esperado um número maior que 0.")
    if workers is not None and workers < 0:
        raise ConfigError(f"workers={workers!r}: esperado 0 (nenhum) ou mais.")
    limits = ReadLimits(max_file_mb=max_file_mb)
    options = ParseTask("", limits, budget, overlap)
    return Ingestion(pattern_list(patterns), known, update, options, workers, timeout_s, progress)


class Ingestion:
    """Uma indexação em curso: dá cada arquivo novo ou mudado, uma vez só.

    ``report.removed`` já está completo, quanto ao que sumiu do disco, antes do primeiro arquivo;
    os demais campos, no fim.
    """

    def __init__(
        self,
        patterns: list[str],
        known: Mapping[str, DocumentRecord],
        update: bool,
        options: ParseTask,
        workers: int | None,
        timeout_s: float,
        progress: Progress | None,
    ) -> None:
        self._started = time.monotonic()
        self.report = IngestReport()
        digests = {file: item.digest for file, item in known.items() if item.origin == "file"}
        self._known = digests
        self.files = found_files(patterns, digests)
        gone = missing_files(patterns, digests)
        (self.report.removed if update else self.report.missing).extend(gone)
        self._options, self._progress = options, progress
        self._workers, self._timeout_s = workers, timeout_s
        self._duplicates = DuplicateCounter()
        self._results = self._run()

    def __iter__(self) -> Generator[tuple[DocumentRecord, list[Chunk]], None, None]:
        return self._results

    def __len__(self) -> int:
        """Quantos arquivos serão conferidos."""
        return len(self.files)

    def _run(self) -> Generator[tuple[DocumentRecord, list[Chunk]], None, None]:
        queue: deque[_Pending] = deque()
        workers = _worker_count(self._workers)
        pool = ParserPool(workers, timeout_s=self._timeout_s)
        done = 0
        try:
            for file in [*self.files, None]:  # None esvazia a fila
                if file is not None and (pending := self._look(file)) is not None:
                    if workers and pending.heavy:
                        pending.future = pool.submit(self._task(file))
                    queue.append(pending)
                elif file is not None:
                    done += 1
                    self._tell(done, file)
                while queue and (file is None or _ready(queue, workers)):
                    pending = queue.popleft()
                    result = self._result(pending)
                    done += 1
                    self._tell(done, pending.file)
                    if result is not None:
                        yield result
            self._count_duplicates()
        finally:
            pool.close()
            self.report.seconds = time.monotonic() - self._started

    def _task(self, file: str) -> ParseTask:
        options = self._options
        return ParseTask(file, options.limits, options.budget, options.overlap)

    def _tell(self, done: int, file: str) -> None:
        if self._progress:
            self._progress(done, len(self.files), file)

    def _look(self, file: str) -> _Pending | None:
        """O arquivo, se é preciso lê-lo; senão, só a anotação de que não mudou ou falhou."""
        try:
            pending = self._examine(file)
        except DataError as error:
            self._fail(file, error)
            return None
        if self._known.get(file) == pending.digest:
            self.report.unchanged.append(file)
            return None
        return pending

    def _examine(self, file: str) -> _Pending:
        _check_name(file)
        path = Path(file)
        with reading(path):
            checked_extension(path)
            size_mb, limit = path.stat().st_size / _MEGABYTE, self._options.limits.max_file_mb
            if size_mb > limit:
                raise DataError(
                    f"'{file}': tem {size_mb:.1f} MB; o máximo é {limit:g} MB. Aumente-o com "
                    "--max_file_mb ou divida o arquivo."
                )
            stamp = _stamp(file)
            digest = file_digest(file, self._options.budget, self._options.overlap)
            heavy = needs_process(file, len(self.files))
        return _Pending(file, digest, stamp, heavy)

    def _fail(self, file: str, error: Exception) -> None:
        self.report.failed.append((file, str(error).removeprefix(f"'{file}'").lstrip(",: ")))

    def _result(self, pending: _Pending) -> tuple[DocumentRecord, list[Chunk]] | None:
        """O arquivo lido; se mudou enquanto era lido, lido outra vez."""
        try:
            parsed = self._parsed(pending)
            if _stamp(pending.file) != pending.stamp:
                pending = self._examine(pending.file)
                parsed = self._parsed(pending)
                if _stamp(pending.file) != pending.stamp:
                    notice = "mudou enquanto era lido; indexe-o de novo quando estiver pronto"
                    self.report.warnings.append((pending.file, notice))
        except (DataError, OSError) as error:
            self._fail(pending.file, error)
            return None
        return self._accept(pending, parsed)

    def _parsed(self, pending: _Pending) -> ParsedFile:
        if pending.future is not None:
            future, pending.future = pending.future, None
            return future.result()
        try:
            return parse_file(self._task(pending.file))
        except (DataError, OSError):
            raise
        except Exception as error:  # um erro nosso ou de uma biblioteca não pode parar os outros
            logger.debug("Erro inesperado em '%s'", pending.file, exc_info=True)
            raise DataError(
                f"'{pending.file}': erro inesperado na leitura ({type(error).__name__}: {error})."
            ) from error

    def _accept(
        self, pending: _Pending, parsed: ParsedFile
    ) -> tuple[DocumentRecord, list[Chunk]] | None:
        report, file = self.report, pending.file
        report.warnings.extend(parsed.warnings)
        known = file in self._known
        if not parsed.chunks:
            report.warnings.append((file, "nenhum texto aproveitável"))
            if known:
                report.removed.append(file)
            return None
        (report.replaced if known else report.added).append(file)
        report.chunks += len(parsed.chunks)
        report.characters += parsed.characters
        report.pages += parsed.pages
        for chunk in parsed.chunks:
            self._duplicates.add(chunk.text)
        record = DocumentRecord(file, pending.digest, len(parsed.chunks), parsed.title)
        return record, parsed.chunks

    def _count_duplicates(self) -> None:
        self.report.exact_duplicates = self._duplicates.exact
        self.report.near_checked = self._duplicates.complete
        self.report.near_duplicates = self._duplicates.near()


def _ready(queue: deque[_Pending], workers: int) -> bool:
    """Se o primeiro da fila deve sair agora: já está lido, é lido aqui, ou a fila encheu."""
    first = queue[0].future
    return first is None or first.done() or len(queue) > _AHEAD * max(1, workers)


def _worker_count(wanted: int | None) -> int:
    if wanted is not None:
        return wanted
    try:
        available = len(os.sched_getaffinity(0))  # type: ignore[attr-defined,unused-ignore]
    except AttributeError:  # só o Linux sabe
        available = os.cpu_count() or 1
    return max(1, min(available, _MAX_WORKERS))


def _check_name(file: str) -> None:
    try:
        file.encode("utf-8")
    except UnicodeEncodeError as error:
        shown = file.encode("utf-8", "replace").decode("utf-8")
        raise DataError(
            f"'{shown}': o nome do arquivo não é UTF-8 válido. Renomeie-o e repita."
        ) from error


def _stamp(file: str) -> tuple[int, int]:
    status = os.stat(file)
    return status.st_mtime_ns, status.st_size


def file_digest(file: str, budget: int = BUDGET_WORDS, overlap: int = OVERLAP_SENTENCES) -> str:
    """O SHA-256 do conteúdo com a versão da leitura e o tamanho dos trechos, em hexadecimal."""
    digest = _new_digest(budget, overlap)
    with open(file, "rb") as stream:
        while block := stream.read(_MEGABYTE):
            digest.update(block)
    return digest.hexdigest()


def _new_digest(budget: int, overlap: int) -> Any:
    return hashlib.sha256(f"luna {INGEST_VERSION} {budget} {overlap}\0".encode())


# --- Textos em memória -------------------------------------------------------------------------


def documents_from_texts(
    texts: Iterable[str],
    metadatas: Sequence[Mapping[str, Any] | None] | None = None,
    *,
    start: int = 1,
    budget: int = BUDGET_WORDS,
    overlap: int = OVERLAP_SENTENCES,
) -> list[tuple[DocumentRecord, list[Chunk]]]:
    """Os trechos de textos que não vêm de arquivos.

    O nome de cada um é o "source" ou a "fonte" dos metadados, o ``source`` de um ``Document``, ou
    "documento N". Textos de mesmo nome formam um registro só. Um texto no formato de conhecimento é
    reconhecido; o título vem dos metadados ou do texto.

    Args:
        texts: os textos; um ``Document`` traz os seus próprios metadados.
        metadatas: um por texto; o que dizem vale mais que o do texto.
        start: o número do primeiro texto, para os que não têm nome.
        budget, overlap: ver ``chunk_document``.

    Returns:
        Um par (registro, trechos) por nome, na ordem; os textos vazios ficam de fora, com aviso no
        log.

    Erros:
        ConfigError: ``metadatas`` de outro tamanho, ou ``budget`` e ``overlap`` inválidos.
        DataError: um dos textos não é um ``str``, ou um dos metadados não é um dicionário.
    """
    texts = [texts] if isinstance(texts, str) else list(texts)
    if metadatas is not None and len(metadatas) != len(texts):
        raise ConfigError(
            f"metadatas tem {len(metadatas)} itens para {len(texts)} textos; esperado um por texto."
        )
    check_parameters(budget, overlap)
    groups: dict[str, list[SourceDocument]] = {}
    digests: dict[str, Any] = {}
    for number, text in enumerate(texts):
        metadata = _checked_metadata(text, metadatas[number] if metadatas else None, number)
        name = _name_of(text, metadata) or f"documento {start + number}"
        documents = [item for item in _text_documents(text, name, metadata) if item.blocks]
        if not documents:
            logger.warning("%s: o texto está vazio e não foi indexado.", name)
            continue
        groups.setdefault(name, []).extend(documents)
        identity = json.dumps([str(text), metadata], sort_keys=True, default=str)
        digests.setdefault(name, _new_digest(budget, overlap)).update(identity.encode())
    results = []
    for name, documents in groups.items():
        chunks: list[Chunk] = []
        for document in documents:
            chunks += chunk_document(document, budget=budget, overlap=overlap, start=len(chunks))
        digest = digests[name].hexdigest()
        record = DocumentRecord(name, digest, len(chunks), documents[0].title, "memory")
        results.append((record, chunks))
    return results


def _checked_metadata(text: Any, given: Any, number: int) -> dict[str, Any]:
    """Os metadados do texto com os dados à parte, depois de conferir os tipos."""
    if not isinstance(text, str):
        raise DataError(
            f"texts[{number}] é do tipo {type(text).__name__}; esperado um texto (str). Para "
            "arquivos, use add_files."
        )
    if given is not None and not isinstance(given, Mapping):
        raise DataError(
            f"metadatas[{number}] é do tipo {type(given).__name__}; esperado um dicionário ou None."
        )
    own = text.metadata if isinstance(text, Document) else {}
    return {**own, **(given or {})}


def _name_of(text: str, metadata: Mapping[str, Any]) -> str:
    """O nome que os metadados ou o ``Document`` dão; ``""`` se nenhum."""
    for key in _SOURCE_KEYS:
        value = metadata.get(key)
        if isinstance(value, (str, os.PathLike)) and os.fspath(value).strip():
            return os.fspath(value).strip()
    return text.source if isinstance(text, Document) else ""


def _text_documents(text: str, name: str, metadata: dict[str, Any]) -> Iterator[SourceDocument]:
    if isinstance(text, Document) and text.messages is not None:
        found = [text]
    else:
        cleaned = clean_text(text)
        first = cleaned.split("\n", 1)[0]
        found = [Document(cleaned)]
        if detect_format(first) == "knowledge":
            report = LoadReport()
            found = list(parse_knowledge(cleaned.split("\n"), name, report))
            for where, what in report.bad_records:
                logger.warning("%s: %s", where, what)
    for item in found:
        document = from_document(item)
        document.source = document.file = name
        document.title = metadata_title(metadata) or document.title
        document.metadata = {**document.metadata, **metadata}
        yield document
