"""Os trechos num Qdrant: uma pasta, um servidor ou um cluster, para o que não cabe numa máquina.

O que se grava, e em que o BM25 daqui difere do de ``lexical``, está em ``qdrant_schema``. Num
servidor, a busca por sentido é aproximada (HNSW) nas coleções grandes; no motor local, exata.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from src.retrieval import qdrant_schema as schema
from src.retrieval.hits import no_hits
from src.retrieval.qdrant_collections import QdrantCollections, QdrantDocuments
from src.retrieval.qdrant_connection import served
from src.retrieval.types import Chunk, DocumentRecord, Hits, MetadataFilter
from src.retrieval.vectors import checked_vectors
from src.utils.errors import DataError, UsageError

if TYPE_CHECKING:
    import numpy as np

BATCH = 128  # pontos por pedido
_MARGIN = 16  # pontos pedidos a mais, para ver se há empate no fim
_MOST_TIED = 10_000  # até quantos pontos se lê só para desempatar pela ordem de entrada
_MOST_SEEN = 10_000  # trechos guardados para mostrar
_MOST_PLACES = 100_000  # números internos de que se sabe o ponto


class QdrantBackend:
    """Um ``ChunkBackend`` num Qdrant; toda mudança está gravada quando a chamada volta.

    Os números internos são a ordem de entrada dos trechos: sempre sobem, e têm buracos. Um só
    processo deve indexar por vez; num servidor, vários podem buscar.

    Args:
        location: uma pasta (o motor local, para testes e até cerca de 20 mil trechos), ":memory:"
            ou um endereço http(s), de porta 6333 se não diz outra.
        collection: o nome da coleção; os registros dos arquivos ficam em ``<collection>_files``.
        dimension: a dos vetores; ``None`` aceita a da coleção, ou a do primeiro arquivo.
        api_key: a chave do servidor; ``None`` a lê de ``LUNA_QDRANT_API_KEY``. Não é gravada.
        average_terms: a média de termos por trecho no BM25; só vale ao criar a coleção.
        shard_number, replication_factor: num cluster, em quantas partes se divide a coleção e
            quantas cópias há de cada uma; só valem ao criá-la. ``None``: o padrão do servidor.
        timeout_s: quanto se espera por uma resposta, em segundos.

    Erros:
        DependencyError: falta o ``qdrant-client``.
        UsageError: o endereço é inválido. DataError: a coleção tem vetores de outra dimensão ou
            não é do LunaGPT, ou a pasta está danificada.
        LunaError: o servidor não responde ou recusa o acesso, ou a pasta está em uso.
    """

    def __init__(
        self,
        location: str | os.PathLike[str],
        collection: str = "luna",
        dimension: int | None = None,
        api_key: str | None = None,
        *,
        average_terms: float = schema.AVERAGE_TERMS,
        shard_number: int | None = None,
        replication_factor: int | None = None,
        timeout_s: int = 60,
    ) -> None:
        if average_terms <= 0:
            raise UsageError(f"average_terms é {average_terms}; esperado um número acima de zero.")
        layout = {"shard_number": shard_number, "replication_factor": replication_factor}
        self._store = QdrantCollections(
            os.fspath(location),
            collection,
            expected=dimension or 0,
            average_terms=average_terms,
            layout={name: value for name, value in layout.items() if value is not None},
            api_key=api_key,
            timeout_s=timeout_s,
        )
        self.lock, self.place = self._store.lock, self._store.place
        self._client = self._store.client
        self._forget()

    def _forget(self) -> None:
        """Esquece o que se sabia dos números internos: uma mudança os invalida."""
        self._places: dict[int, str] = {}  # número interno -> ponto
        self._seen: dict[int, Chunk] = {}
        self._recent: deque[int] = deque(maxlen=2 * BATCH)  # os das últimas buscas

    @served
    def create(self, dimension: int) -> None:
        """Cria a coleção vazia; sem isto, quem a cria é o primeiro arquivo.

        Args:
            dimension: a dos vetores que virão; 0 se ela só terá palavras.

        Erros:
            DataError: a coleção já existe.
        """
        if self._store.exists:
            raise DataError(
                f"A coleção '{self._store.chunks}' já existe em {self.place}. Escolha outro nome, "
                "ou apague-a antes."
            )
        self._store.ensure(dimension)

    def close(self) -> None:
        """Fecha a conexão e solta a pasta; para seguir, abra outro."""
        self._client.close()

    # --- O que há ---------------------------------------------------------------------------

    @served
    def __len__(self) -> int:
        return self._store.count(self._store.chunks) if self._store.exists else 0

    @property
    def dimension(self) -> int:
        """A dimensão dos vetores; 0 se a coleção ainda não existe ou só tem palavras."""
        return self._store.dimension

    @property
    def documents(self) -> Mapping[str, DocumentRecord]:
        """Os arquivos indexados, por ``file``, na ordem em que entraram.

        Nada fica na memória: cada consulta pergunta ao Qdrant.
        """
        return QdrantDocuments(self._store)

    @property
    def extra(self) -> Mapping[str, Any]:
        """O que se guardou com ``write_extra``."""
        return self._store.extra

    # --- Mudanças ---------------------------------------------------------------------------

    @served
    def write_extra(self, values: Mapping[str, Any]) -> None:
        """Guarda, nos metadados da coleção, de quem são os vetores e de onde vieram os arquivos."""
        self._store.write_extra(values)

    @served
    def add(
        self, record: DocumentRecord, chunks: Sequence[Chunk], vectors: np.ndarray | None
    ) -> None:
        """Põe os trechos de um arquivo no fim; se o arquivo já estava, os antigos saem.

        Os novos entram, os antigos saem, e só então o registro é trocado: se algo parar no meio,
        nada se perde, e indexar o arquivo de novo acerta tudo.

        Args:
            record: ``record.chunks`` é acertado pela quantidade de trechos.
            vectors: *Shape:* [len(chunks), D] float32, de norma 1; ``None`` se o índice só tem
                palavras.

        Erros:
            DataError: os vetores não são um por trecho, têm outra dimensão, ou faltam numa coleção
                que os tem (ou sobram numa que não os tem). A coleção fica como estava.
        """
        rows = self._checked(record.file, chunks, vectors)
        if chunks or not self._store.exists:
            self._store.ensure(0 if rows is None else rows.shape[1])
        self._forget()
        first = self._store.next_order(self._store.chunks)
        for start in range(0, len(chunks), BATCH):
            self._upload(record.file, chunks[start : start + BATCH], rows, start, first)
        self._delete(schema.of_file(record.file, before=first))
        point = schema.record_point(
            replace(record, chunks=len(chunks)), self._store.next_order(self._store.files)
        )
        self._client.upsert(self._store.files, [point], wait=True)

    def _upload(
        self, file: str, batch: Sequence[Chunk], rows: np.ndarray | None, start: int, first: int
    ) -> None:
        """Põe um lote de trechos de um arquivo, o primeiro na posição ``start`` dele."""
        points = [
            schema.chunk_point(
                file,
                chunk,
                first + place,
                None if rows is None else rows[place].tolist(),
                self._store.average_terms,
            )
            for place, chunk in enumerate(batch, start)
        ]
        self._client.upsert(self._store.chunks, points, wait=True)

    def _checked(
        self, file: str, chunks: Sequence[Chunk], vectors: np.ndarray | None
    ) -> np.ndarray | None:
        """Os vetores de um arquivo, conferidos com os da coleção; ``None`` se não há trechos."""
        if not chunks:
            return None
        fixed = self._store.exists and self._store.count(self._store.chunks) > 0
        expected = self._store.dimension if fixed else self._store.expected
        if (fixed or expected) and (vectors is None) != (expected == 0):
            has = "tem vetores" if expected else "só tem palavras"
            came = "sem vetores" if vectors is None else "com vetores"
            raise DataError(
                f"'{file}' veio {came}, e a coleção '{self._store.chunks}' {has}. Indexe tudo de "
                "novo do mesmo jeito, depois de esvaziá-la ou em outra coleção."
            )
        if vectors is None:
            return None
        rows = checked_vectors(vectors, expected)
        if len(rows) != len(chunks):
            raise DataError(
                f"'{file}': {len(rows)} vetores para {len(chunks)} trechos; esperado um por trecho."
            )
        return rows

    def _delete(self, match: Any) -> None:
        selector = schema.models().FilterSelector(filter=match)
        self._client.delete(self._store.chunks, points_selector=selector, wait=True)

    @served
    def remove(self, file: str) -> int:
        """Tira um arquivo; devolve quantos trechos saíram (0 se não estava)."""
        if not self._store.exists:
            return 0
        match = schema.of_file(file)
        count = self._store.count(self._store.chunks, match)
        self._forget()
        self._delete(match)
        selector = schema.models().PointIdsList(points=[schema.point_id(file)])
        self._client.delete(self._store.files, points_selector=selector, wait=True)
        return count

    @served
    def clear(self) -> None:
        """Tira tudo: as duas coleções são apagadas, e refeitas quando algo entrar."""
        self._forget()
        self._store.drop()

    # --- Leitura ----------------------------------------------------------------------------

    @served
    def chunk(self, index: int) -> Chunk:
        """O trecho de número interno ``index``.

        Erros:
            DataError: não há trecho com esse número.
        """
        index = int(index)
        if index not in self._seen:  # com ele vêm, num pedido só, os das últimas buscas
            if len(self._seen) > _MOST_SEEN:
                self._seen = {}
            known = [number for number in self._recent if number in self._places]
            wanted = [index, *(number for number in known if number not in self._seen)]
            for number, point in self._fetch(wanted, with_payload=True).items():
                self._seen[number] = schema.read_chunk(point.payload)
        if index not in self._seen:
            raise self._gone(index)
        return self._seen[index]

    def _gone(self, index: int) -> DataError:
        return DataError(
            f"O trecho de número {index} não está na coleção '{self._store.chunks}': ela mudou "
            "depois da busca. Busque de novo."
        )

    def _fetch(self, ids: Iterable[int], **wanted: Any) -> dict[int, Any]:
        """Os pontos de números ``ids``, por número; os que já saíram faltam."""
        places = self._points_of(list(dict.fromkeys(ids)))
        numbers = {place: number for number, place in places.items()}
        keys, found = list(numbers), {}
        for start in range(0, len(keys), BATCH):
            batch = keys[start : start + BATCH]
            for point in self._client.retrieve(self._store.chunks, ids=batch, **wanted):
                found[numbers[str(point.id)]] = point
        return found

    def _points_of(self, ids: Sequence[int]) -> dict[int, str]:
        """O ponto de cada número interno: o que uma busca deu, ou perguntando ao Qdrant.

        Erros:
            DataError: não há trecho com um dos números.
        """
        unknown = [number for number in ids if number not in self._places]
        for start in range(0, len(unknown) if self._store.exists else 0, BATCH):
            match = schema.of_orders(unknown[start : start + BATCH])
            points, _ = self._client.scroll(
                self._store.chunks, scroll_filter=match, limit=BATCH, with_payload=["order"]
            )
            self._places |= {int(point.payload["order"]): str(point.id) for point in points}
        for number in unknown:
            if number not in self._places:
                raise self._gone(number)
        return {number: self._places[number] for number in ids}

    @served
    def search_lexical(self, query: str, limit: int, keep: MetadataFilter | None = None) -> Hits:
        """Os ``limit`` de maior BM25; só os de nota acima de zero.

        ``keep`` é uma função desta máquina: os trechos vêm do Qdrant em páginas cada vez maiores
        até que ``limit`` passem por ela, ou acabem. Um filtro que quase nada aceita lê quase tudo
        que tem alguma palavra da pergunta (em ``search_dense``, a coleção inteira).
        """
        vector = schema.query_vector(query)
        if vector is None or not self._store.exists:
            return no_hits()
        return self._search(vector, schema.TERMS, limit, keep, floor=0.0)

    @served
    def search_dense(
        self, vector: np.ndarray, limit: int, keep: MetadataFilter | None = None
    ) -> Hits:
        """Os ``limit`` de maior produto interno com ``vector`` [D]; vazio se não há vetores.

        Erros:
            DataError: a dimensão é outra.
        """
        if not self._store.dimension:
            return no_hits()
        row = checked_vectors(vector[None], self._store.dimension)[0].tolist()
        return self._search(row, schema.DENSE, limit, keep)

    def _search(
        self,
        query: Any,
        using: str,
        limit: int,
        keep: MetadataFilter | None,
        floor: float = float("-inf"),
    ) -> Hits:
        """Busca em páginas cada vez maiores, até ter ``limit`` trechos e todos os empatados."""
        if limit < 1:
            return no_hits()
        fields = ["order"] if keep is None else ["order", "metadata"]
        page = limit + _MARGIN
        while True:
            points = self._client.query_points(
                self._store.chunks, query=query, using=using, limit=page, with_payload=fields
            ).points
            kept = [
                point
                for point in points
                if point.score > floor and (keep is None or keep(point.payload["metadata"]))
            ]
            enough = len(kept) >= limit and (
                points[-1].score < kept[limit - 1].score or page >= _MOST_TIED
            )
            if enough or len(points) < page:
                return self._ranked(kept, limit)
            page *= 4

    def _ranked(self, points: Sequence[Any], limit: int) -> Hits:
        """Os melhores; no empate, na ordem de entrada."""
        import numpy as np

        ids = np.array([point.payload["order"] for point in points], dtype=np.int64)
        scores = np.array([point.score for point in points], dtype=np.float32)
        best = np.lexsort((ids, -scores))[:limit]
        if len(self._places) > _MOST_PLACES:
            self._places = {}
        self._places |= {int(ids[place]): str(points[place].id) for place in best}
        self._recent.extend(ids[best].tolist())
        return Hits(ids[best], scores[best])

    @served
    def idf(self, terms: Sequence[str]) -> Mapping[str, float]:
        """O peso de cada termo, ln(1 + (N - n + 0,5) / (n + 0,5)), pela conta do Qdrant."""
        total, names = len(self), list(dict.fromkeys(terms))
        if not total or not names:
            return {name: schema.read_idf(name, [], total) for name in names}
        answers = self._client.query_batch_points(
            self._store.chunks, requests=[schema.term_request(name) for name in names]
        )
        return {
            name: schema.read_idf(name, answer.points, total)
            for name, answer in zip(names, answers, strict=True)
        }

    @served
    def lexical_scores(self, query: str, ids: np.ndarray) -> np.ndarray:
        """O BM25 dos trechos ``ids`` [K]: [K] float32, 0 onde nenhuma palavra coincide."""
        import numpy as np

        numbers = [int(number) for number in ids]
        vector = schema.query_vector(query)
        if not numbers or vector is None:
            return np.zeros(len(numbers), dtype=np.float32)
        places = self._points_of(numbers)
        points = self._client.query_points(
            self._store.chunks,
            query=vector,
            using=schema.TERMS,
            query_filter=schema.of_points(list(places.values())),
            limit=len(places),
            with_payload=False,
        ).points
        scores = {str(point.id): point.score for point in points}
        return np.array([scores.get(places[n], 0.0) for n in numbers], dtype=np.float32)

    @served
    def dense_scores(self, vector: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """O produto interno dos trechos ``ids`` [K] com ``vector``: [K] float32.

        É calculado aqui, com os vetores guardados. Sem vetores, zeros.
        """
        import numpy as np

        rows = self.vectors(ids)
        if rows is None:
            return np.zeros(len(ids), dtype=np.float32)
        scores: np.ndarray = rows @ checked_vectors(vector[None], self._store.dimension)[0]
        return scores

    @served
    def vectors(self, ids: np.ndarray) -> np.ndarray | None:
        """Os vetores dos trechos ``ids``: [K, D] float32; ``None`` se o índice não os tem.

        Erros:
            DataError: não há trecho com um dos números.
        """
        import numpy as np

        if not self._store.dimension:
            return None
        numbers = [int(number) for number in ids]
        found = self._fetch(numbers, with_payload=False, with_vectors=[schema.DENSE])
        for number in numbers:
            if number not in found:
                raise self._gone(number)
        rows = np.array([found[n].vector[schema.DENSE] for n in numbers], dtype=np.float32)
        return rows.reshape(len(numbers), self._store.dimension)
