"""As duas coleções de um índice num Qdrant: a dos trechos e a dos registros dos arquivos."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

from src.retrieval import qdrant_schema as schema
from src.retrieval.qdrant_connection import MEMORY, connect, explained, is_remote, served
from src.retrieval.types import DocumentRecord
from src.utils.errors import DataError

_PAGE = 128  # registros por pedido


class QdrantCollections:
    """As coleções ``name`` (trechos) e ``name_files`` (registros); criadas quando algo entra.

    Atributos:
        client: o ``QdrantClient``. place: o endereço ou a pasta, para as mensagens.
        chunks, files: os nomes das coleções. exists: se a dos trechos existe.
        dimension: a dos vetores; 0 se a coleção não existe ou só tem palavras.
        average_terms: a média de termos com que a coleção foi criada, ou será.
        extra: o que quem indexa guardou junto da coleção (``write_extra``).

    Args:
        expected: a dimensão dos vetores que virão; 0 se ainda não se sabe.
        layout: ``shard_number`` e ``replication_factor``, onde se quer outro que o padrão.
    """

    def __init__(
        self,
        location: str,
        name: str,
        *,
        expected: int = 0,
        average_terms: float = schema.AVERAGE_TERMS,
        layout: Mapping[str, int] | None = None,
        api_key: str | None = None,
        timeout_s: int = 60,
    ) -> None:
        self._remote = is_remote(location)
        self.lock = threading.RLock()
        self.place = location if self._remote or location == MEMORY else f"'{location}'"
        self.chunks, self.files = name, f"{name}_files"
        self.expected, self.average_terms = expected, average_terms
        self.dimension, self.exists = 0, False
        self.extra: dict[str, Any] = {}
        self._layout = dict(layout or {})
        with explained(self.place):
            self.client = connect(location, api_key, timeout_s)
            try:
                self._read()
            except BaseException:
                self.client.close()
                raise

    def _read(self) -> None:
        """Lê como a coleção foi criada, se ela já existe."""
        self.exists = self.client.collection_exists(self.chunks)
        if not self.exists:
            return
        config = self.client.get_collection(self.chunks).config
        if schema.TERMS not in (config.params.sparse_vectors or {}):
            raise DataError(
                f"A coleção '{self.chunks}' em {self.place} não é do LunaGPT: falta o vetor "
                f"'{schema.TERMS}'. Escolha outro nome de coleção."
            )
        dense = dict(config.params.vectors or {}).get(schema.DENSE)
        self.dimension = dense.size if dense else 0
        self.extra = dict(config.metadata or {})
        self.average_terms = float(self.extra.get("average_terms", self.average_terms))
        for name in ("shard_number", "replication_factor"):  # valem se ela for refeita
            if getattr(config.params, name):
                self._layout.setdefault(name, getattr(config.params, name))
        self._check_dimension()
        self._ensure_files()

    def _check_dimension(self) -> None:
        if self.expected in (0, self.dimension) or not self.count(self.chunks):
            return
        found = f"vetores de dimensão {self.dimension}" if self.dimension else "só palavras"
        raise DataError(
            f"A coleção '{self.chunks}' em {self.place} tem {found}; o modelo de vetores é de "
            f"dimensão {self.expected}. Use o modelo com que ela foi feita, ou outra coleção."
        )

    def ensure(self, dimension: int) -> None:
        """Cria as coleções que faltam; a de trechos, se é de outra dimensão, é refeita vazia."""
        self._ensure_files()
        if self.exists and self.dimension == dimension:
            return
        self._drop(self.chunks)
        schema.create_chunks(self.client, self.chunks, dimension, self.average_terms, self._layout)
        if self._remote:
            schema.index_payload(self.client, self.chunks)
        self.dimension, self.exists, self.extra = dimension, True, {}

    def _ensure_files(self) -> None:
        if not self.client.collection_exists(self.files):
            schema.create_files(self.client, self.files, self._layout)
            if self._remote:
                schema.index_payload(self.client, self.files)

    def write_extra(self, values: Mapping[str, Any]) -> None:
        """Guarda valores que o JSON tem nos metadados da coleção; sem coleção, nada faz."""
        if self.exists and any(self.extra.get(name) != value for name, value in values.items()):
            self.client.update_collection(self.chunks, metadata=dict(values))
            self.extra |= values

    def drop(self) -> None:
        """Apaga as duas coleções."""
        self._drop(self.files)
        self._drop(self.chunks)
        self.dimension, self.exists, self.extra = 0, False, {}

    def _drop(self, name: str) -> None:
        if self.client.collection_exists(name):
            self.client.delete_collection(name)

    def count(self, name: str, match: Any = None) -> int:
        """Quantos pontos de uma coleção passam por um filtro."""
        return int(self.client.count(name, count_filter=match, exact=True).count)

    def next_order(self, name: str) -> int:
        """O próximo número de ordem de uma coleção."""
        last, _ = self.client.scroll(
            name,
            limit=1,
            order_by=schema.models().OrderBy(key="order", direction="desc"),
            with_payload=["order"],
        )
        return int(last[0].payload["order"]) + 1 if last else 0


class QdrantDocuments(Mapping[str, DocumentRecord]):
    """Os registros dos arquivos, na ordem em que entraram, lidos do Qdrant quando se pede."""

    def __init__(self, collections: QdrantCollections) -> None:
        self._collections = collections
        self.lock, self.place = collections.lock, collections.place

    @served
    def __getitem__(self, file: str) -> DocumentRecord:
        store = self._collections
        found = store.exists and store.client.retrieve(store.files, ids=[schema.point_id(file)])
        if not found:
            raise KeyError(file)
        return schema.read_record(found[0].payload)

    @served
    def __len__(self) -> int:
        store = self._collections
        return store.count(store.files) if store.exists else 0

    def __iter__(self) -> Iterator[str]:
        start = 0
        while page := self._page(start):
            yield from (file for _, file in page)
            start = page[-1][0] + 1

    @served
    def _page(self, start: int) -> list[tuple[int, str]]:
        """(ordem, arquivo) dos próximos registros, a partir de uma ordem."""
        store = self._collections
        if not store.exists:
            return []
        page, _ = store.client.scroll(
            store.files,
            limit=_PAGE,
            order_by=schema.models().OrderBy(key="order", direction="asc", start_from=start),
            with_payload=["order", "file"],
        )
        return [(int(point.payload["order"]), point.payload["file"]) for point in page]
