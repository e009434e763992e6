"""Os trechos na memória desta máquina: a tabela, a busca por palavras e a busca por sentido.

As mudanças são juntadas e só aplicadas na leitura seguinte: indexar mil arquivos refaz as matrizes
uma vez, não mil.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from src.retrieval.chunk_table import ChunkTable
from src.retrieval.hits import no_hits
from src.retrieval.lexical import EncodedTexts, LexicalIndex
from src.retrieval.types import Chunk, DocumentRecord, Hits, MetadataFilter
from src.retrieval.vectors import VectorIndex, checked_vectors
from src.utils.atomic_io import uninterrupted
from src.utils.errors import DataError

if TYPE_CHECKING:
    import numpy as np

_Method = TypeVar("_Method", bound=Callable[..., Any])


class _Pending(NamedTuple):
    """Um arquivo que ainda não entrou nas matrizes."""

    chunks: list[Chunk]
    texts: EncodedTexts
    vectors: np.ndarray | None


def _one_at_a_time(method: _Method) -> _Method:
    """Uma chamada por vez: uma busca nunca vê uma mudança pela metade."""

    @wraps(method)
    def locked(self: LocalBackend, *args: Any, **kwargs: Any) -> Any:
        with self.lock:
            return method(self, *args, **kwargs)

    return locked  # type: ignore[return-value]


class LocalBackend:
    """Um ``ChunkBackend`` na memória; ``src.retrieval.storage`` o grava e o lê.

    Args:
        use_faiss: ver ``VectorIndex``.
        table, documents, lexical, vectors: o que ``storage`` leu. Os trechos de um arquivo vêm
            juntos, e os arquivos na ordem de ``documents``.
    """

    def __init__(
        self,
        use_faiss: bool = True,
        *,
        table: ChunkTable | None = None,
        documents: Sequence[DocumentRecord] = (),
        lexical: LexicalIndex | None = None,
        vectors: VectorIndex | None = None,
    ) -> None:
        self.lock = threading.RLock()  # quem grava a segura, para que nada mude no meio
        self.use_faiss = use_faiss
        self._table = table if table is not None else ChunkTable()
        self._lexical = lexical if lexical is not None else LexicalIndex()
        self._vectors = vectors if vectors is not None else VectorIndex(use_faiss)
        self._documents = {record.file: record for record in documents}
        self._spans = _spans(self._documents.values())  # arquivo -> (primeiro, fim), já aplicados
        self._dead: list[tuple[int, int]] = []
        self._pending: dict[str, _Pending] = {}
        self._count = len(self._table)
        self._dimension = self._vectors.dimension if len(self._vectors) else 0

    # --- O que há ---------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self._count

    @property
    def documents(self) -> Mapping[str, DocumentRecord]:
        """Os arquivos indexados, por ``file``, na ordem em que entraram."""
        return MappingProxyType(self._documents)

    @property
    def dimension(self) -> int:
        """A dimensão dos vetores; 0 se o índice está vazio ou só tem palavras."""
        return self._dimension

    # --- Mudanças ---------------------------------------------------------------------------------

    @_one_at_a_time
    def add(
        self, record: DocumentRecord, chunks: Sequence[Chunk], vectors: np.ndarray | None
    ) -> None:
        """Põe os trechos de um arquivo no fim; se o arquivo já estava, os antigos saem.

        Args:
            record: ``record.chunks`` é acertado pela quantidade de trechos.
            vectors: *Shape:* [len(chunks), D] float32, de norma 1; ``None`` se o índice só tem
                palavras. É guardado sem cópia: não o altere depois.

        Erros:
            DataError: os vetores não são um por trecho, têm outra dimensão, ou faltam num índice
                que os tem (ou sobram num que não os tem). O índice fica como estava.
        """
        vectors = self._checked(record, chunks, vectors)
        texts = self._lexical.encode(chunk.indexed_text for chunk in chunks)
        self.remove(record.file)
        self._pending[record.file] = _Pending(list(chunks), texts, vectors)
        self._documents[record.file] = replace(record, chunks=len(chunks))
        self._count += len(chunks)
        if vectors is not None:
            self._dimension = int(vectors.shape[1])

    def _checked(
        self, record: DocumentRecord, chunks: Sequence[Chunk], vectors: np.ndarray | None
    ) -> np.ndarray | None:
        """Os vetores de um arquivo, conferidos com os dos outros; ``None`` se não há trechos."""
        if not chunks:
            return None
        old = self._documents.get(record.file)
        others = self._count - (old.chunks if old else 0)
        dimension = self._dimension if others else 0
        if others and (vectors is None) != (dimension == 0):
            has = "tem vetores" if dimension else "só tem palavras"
            came = "sem vetores" if vectors is None else "com vetores"
            raise DataError(
                f"'{record.file}' veio {came}, e o índice {has}. Indexe tudo de um jeito só."
            )
        if vectors is None:
            return None
        vectors = checked_vectors(vectors, dimension)
        if len(vectors) != len(chunks):
            raise DataError(
                f"'{record.file}': {len(vectors)} vetores para {len(chunks)} trechos; esperado um "
                "por trecho."
            )
        return vectors

    @_one_at_a_time
    def remove(self, file: str) -> int:
        """Tira um arquivo; devolve quantos trechos saíram (0 se não estava)."""
        record = self._documents.pop(file, None)
        if record is None:
            return 0
        if file not in self._pending:
            self._dead.append(self._spans.pop(file))
        self._pending.pop(file, None)
        self._count -= record.chunks
        self._dimension = self._dimension if self._count else 0
        return record.chunks

    @_one_at_a_time
    def clear(self) -> None:
        """Tira tudo."""
        self._table, self._lexical = ChunkTable(), LexicalIndex()
        self._vectors = VectorIndex(self.use_faiss)
        self._documents, self._spans = {}, {}
        self._dead, self._pending = [], {}
        self._count = self._dimension = 0

    @_one_at_a_time
    def set_vectors(self, vectors: np.ndarray | None) -> None:
        """Troca os vetores de todos os trechos, na ordem deles; ``None`` os tira.

        Args:
            vectors: *Shape:* [len(self), D] float32, de norma 1.

        Erros:
            DataError: não são um por trecho.
        """
        self._settle()
        fresh = VectorIndex(self.use_faiss)
        if vectors is not None:
            if len(vectors) != len(self):
                raise DataError(f"{len(vectors)} vetores para {len(self)} trechos.")
            fresh.add(vectors)
        self._vectors, self._dimension = fresh, fresh.dimension

    def _settle(self) -> None:
        """Aplica as mudanças que esperam: primeiro saem os retirados, depois entram os novos."""
        if self._dead or self._pending:
            with uninterrupted():
                self._apply()

    def _apply(self) -> None:
        import numpy as np

        alive = np.ones(len(self._table), dtype=bool)
        for start, end in self._dead:
            alive[start:end] = False
        if not alive.all():
            self._table.keep(alive)
            self._lexical.keep(alive)
            if len(self._vectors):
                self._vectors.keep(alive)
        self._enter(list(self._pending.values()))
        self._dead, self._pending = [], {}
        self._spans = _spans(self._documents.values())

    def _enter(self, items: list[_Pending]) -> None:
        if not len(self._table) and self._vectors.dimension:
            self._vectors = VectorIndex(self.use_faiss)  # vazio: a dimensão pode ser outra
        self._table.extend(chain.from_iterable(item.chunks for item in items))
        self._lexical.add(*(item.texts for item in items))
        self._vectors.add(*(item.vectors for item in items if item.vectors is not None))

    # --- Leitura ----------------------------------------------------------------------------------

    @_one_at_a_time
    def chunk(self, index: int) -> Chunk:
        """O trecho de número interno ``index``."""
        self._settle()
        found: Chunk = self._table[index]
        return found

    @_one_at_a_time
    def parts(self) -> tuple[ChunkTable, LexicalIndex, VectorIndex]:
        """A tabela, as palavras e os vetores, já com todas as mudanças; não os altere."""
        self._settle()
        return self._table, self._lexical, self._vectors

    @_one_at_a_time
    def search_lexical(self, query: str, limit: int, keep: MetadataFilter | None = None) -> Hits:
        """Os ``limit`` de maior BM25; só os de nota acima de zero."""
        self._settle()
        mask = None if keep is None else self._table.mask(keep)
        return self._lexical.search(query, limit, mask)

    @_one_at_a_time
    def search_dense(
        self, vector: np.ndarray, limit: int, keep: MetadataFilter | None = None
    ) -> Hits:
        """Os ``limit`` de maior produto interno com ``vector`` [D]; vazio se não há vetores.

        Erros:
            DataError: a dimensão é outra.
        """
        self._settle()
        if not len(self._vectors):
            return no_hits()
        mask = None if keep is None else self._table.mask(keep)
        return self._vectors.search(vector, limit, mask)

    @_one_at_a_time
    def idf(self, terms: Sequence[str]) -> Mapping[str, float]:
        """O peso de cada termo, pela quantidade de trechos em que está."""
        self._settle()
        return self._lexical.idf(terms)

    @_one_at_a_time
    def lexical_scores(self, query: str, ids: np.ndarray) -> np.ndarray:
        """O BM25 dos trechos ``ids`` [K]: [K] float32, 0 onde nenhuma palavra coincide."""
        self._settle()
        return self._lexical.scores(query, ids)

    @_one_at_a_time
    def dense_scores(self, vector: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """O produto interno dos trechos ``ids`` [K] com ``vector``: [K] float32.

        Sem vetores, zeros.
        """
        import numpy as np

        self._settle()
        if not len(self._vectors):
            return np.zeros(len(ids), dtype=np.float32)
        return self._vectors.scores(vector, ids)

    @_one_at_a_time
    def vectors(self, ids: np.ndarray) -> np.ndarray | None:
        """Os vetores dos trechos ``ids``: [K, D] float32; ``None`` se o índice não os tem."""
        self._settle()
        return self._vectors.matrix[ids] if len(self._vectors) else None


def _spans(records: Any) -> dict[str, tuple[int, int]]:
    """O intervalo de números de cada arquivo, na ordem em que estão."""
    spans, start = {}, 0
    for record in records:
        spans[record.file] = (start, start + record.chunks)
        start += record.chunks
    return spans
