"""``RAGRetriever``: os documentos da pessoa, prontos para responder perguntas.

Junta as peças de ``src.retrieval``: a leitura e o corte dos arquivos, a busca por palavras (BM25
com radicais do português) e por sentido (vetores), a ordem aprendida e a frase que responde.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from src.config.config import Config
from src.retrieval.embedding_cache import EmbeddingCache
from src.retrieval.encoder import shipped_identity
from src.retrieval.encoders import Encoder, open_encoder
from src.retrieval.index_files import IndexManifest
from src.retrieval.ingest import Ingestion, IngestReport, documents_from_texts, ingest
from src.retrieval.local_backend import LocalBackend
from src.retrieval.quoting import PASSAGES_READ, Quote, best_quote
from src.retrieval.ranking import relevance_threshold
from src.retrieval.reach import pattern_list
from src.retrieval.search import Filters, Found, search
from src.retrieval.storage import index_exists, load_index, save_index
from src.retrieval.types import Chunk, ChunkBackend, DocumentRecord
from src.utils.errors import DataError, UsageError
from src.utils.file_utils import PathLike

if TYPE_CHECKING:
    import numpy as np

logger = logging.getLogger(__name__)

#: ``progress(feitos, total, o quê)``: primeiro os arquivos, depois os vetores.
Progress = Callable[[int, int, str], None]
VECTORS_STEP = "vetores"  # o que ``progress`` diz enquanto os vetores são calculados
ENCODE_BATCH = 64  # trechos por chamada ao codificador
SAVE_SECONDS = 120.0  # numa indexação longa, de quanto em quanto tempo se grava
QUICK_REFRESH = 300  # trechos cujos vetores se refazem na hora, na primeira busca
UNUSED = "nenhum"  # em ``sentence_transformer_model``: só a busca por palavras


class RetrievedChunk(str):
    """Um trecho achado: um ``str`` com a procedência.

    Atributos:
        score (float): a nota que ordena; só se compara dentro da mesma busca.
        relevance (float): de 0 a 1, a chance de que o trecho responda.
        source, file, chunk_id, title, section (str), page (int | None), metadata (dict): de onde
            veio; ver ``Chunk``.
    """

    score: float
    relevance: float
    source: str
    file: str
    chunk_id: str
    title: str  # type: ignore[assignment]  # aqui é um texto, e não o método de str
    section: str
    page: int | None
    metadata: dict[str, Any]

    def __new__(cls, found: Found) -> RetrievedChunk:
        chunk = found.chunk
        result = super().__new__(cls, chunk.text)
        result.score, result.relevance = found.score, found.relevance
        result.source, result.file, result.chunk_id = chunk.source, chunk.file, chunk.chunk_id
        result.title, result.section, result.page = chunk.title, chunk.section, chunk.page
        result.metadata = dict(chunk.metadata)
        return result


class RAGRetriever:
    """Indexa documentos e acha os trechos que respondem a uma pergunta.

    Args:
        embedding_dim: a dimensão esperada dos vetores; a do codificador vale mais.
        use_faiss: procurar os vetores com FAISS, onde ele está instalado; senão, com numpy.
        sentence_transformer_model: nome ou pasta de um modelo do sentence-transformers. ``None``
            usa o codificador de português que vem junto; ``"nenhum"``, só a busca por palavras.
        config: a configuração do sistema, de onde vêm o tamanho dos trechos e o que não for dito.
        backend: onde os trechos ficam; ``None`` é a memória, gravada por ``save``.

    Erros:
        UsageError: um valor fora do que se aceita.
    """

    def __init__(
        self,
        embedding_dim: int = 768,
        use_faiss: bool = True,
        sentence_transformer_model: str | None = None,
        *,
        config: Config | None = None,
        backend: ChunkBackend | None = None,
    ) -> None:
        if (
            isinstance(embedding_dim, bool)
            or not isinstance(embedding_dim, int)
            or embedding_dim < 1
        ):
            raise UsageError(
                f"embedding_dim={embedding_dim!r}: esperado um inteiro de 1 em diante."
            )
        self.settings = (config or Config()).rag
        self.embedding_dim, self.use_faiss = embedding_dim, use_faiss
        chosen = sentence_transformer_model or self.settings.sentence_transformer_model
        self.model_name = chosen or None
        self.backend: ChunkBackend = backend if backend is not None else LocalBackend(use_faiss)
        self.patterns: list[str] = []
        self.manifest: IndexManifest | None = None
        self.index_encoder: str | None = None  # de quem são os vetores do índice
        self._encoder: Encoder | None = None
        self._warned = False

    @classmethod
    def open(cls, config: Config, folder: PathLike) -> RAGRetriever:
        """O índice que a seção ``rag`` da configuração diz: o da pasta ``folder``, ou o do Qdrant.

        Se em ``folder`` ainda não há índice, começa um vazio.

        Erros:
            DataError: o índice da pasta está danificado por inteiro.
            DependencyError, LunaError: o Qdrant não está instalado, ou não responde.
        """
        rag = config.rag
        backend = None
        if rag.backend == "qdrant":
            from src.retrieval.qdrant_backend import QdrantBackend

            if not rag.qdrant_url:
                raise UsageError(
                    "rag.backend é 'qdrant', e rag.qdrant_url está vazio: esperado o endereço do "
                    "servidor, como http://localhost:6333."
                )
            backend = QdrantBackend(rag.qdrant_url, rag.qdrant_collection)
        made = cls(
            rag.embedding_dim,
            rag.use_faiss,
            rag.sentence_transformer_model,
            config=config,
            backend=backend,
        )
        if backend is not None:
            made._recall(backend.extra)
            return made
        return made.load(folder) if index_exists(folder) else made

    def _recall(self, extra: Mapping[str, Any]) -> None:
        """De que arquivos veio o índice e de quem são os vetores, como ``save`` os guardou."""
        self.patterns = list(extra.get("patterns") or [])
        self.index_encoder = extra.get("encoder")

    # --- O codificador ----------------------------------------------------------------------------

    @property
    def encoder(self) -> Encoder | None:
        """Quem faz os vetores, aberto no primeiro uso; ``None`` se só se busca por palavras."""
        if self.model_name == UNUSED:
            return None
        if self._encoder is None:
            self._encoder = open_encoder(self.model_name)
            if self._encoder.dimension != self.embedding_dim:
                logger.info(
                    "Os vetores têm %d dimensões, as do codificador '%s'; embedding_dim=%d não foi "
                    "usado.",
                    self._encoder.dimension,
                    self._encoder.identity,
                    self.embedding_dim,
                )
                self.embedding_dim = self._encoder.dimension
        return self._encoder

    def _encode(self, texts: list[str], progress: Progress | None = None) -> np.ndarray:
        """Os vetores de trechos, em lotes, dizendo o quanto falta."""
        import numpy as np

        assert self.encoder is not None
        parts = []
        for start in range(0, len(texts), ENCODE_BATCH):
            parts.append(self.encoder.encode(texts[start : start + ENCODE_BATCH]))
            if progress is not None:
                progress(min(start + ENCODE_BATCH, len(texts)), len(texts), VECTORS_STEP)
        return np.concatenate(parts)

    # --- Documentos -------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Quantos trechos há."""
        return len(self.backend)

    @property
    def documents(self) -> Mapping[str, DocumentRecord]:
        """Os arquivos e textos indexados, pelo nome."""
        return self.backend.documents

    def add_documents(
        self,
        documents: Iterable[str],
        metadatas: Sequence[Mapping[str, Any] | None] | None = None,
    ) -> list[str]:
        """Indexa textos.

        O nome de cada um vem de ``source`` (ou ``fonte``) nos metadados, ou é "documento N"; um
        nome que já existe é substituído.

        Args:
            documents: os textos. metadatas: um dicionário (ou ``None``) por texto.

        Returns:
            Os ``chunk_id`` dos trechos, na ordem.

        Erros:
            UsageError, ConfigError, DataError: o que se deu não são textos, ou os metadados não são
            um por texto.
        """
        start = 1 + sum(record.origin == "memory" for record in self.documents.values())
        found = documents_from_texts(
            documents,
            metadatas,
            start=start,
            budget=self.settings.chunk_words,
            overlap=self.settings.chunk_overlap,
        )
        self.add_chunks(found)
        return [chunk.chunk_id for _, chunks in found for chunk in chunks]

    def update_document(
        self, source: str, text: str, metadata: Mapping[str, Any] | None = None
    ) -> list[str]:
        """Troca o texto do documento ``source``, ou o acrescenta; devolve os ``chunk_id``."""
        return self.add_documents([text], [{**(metadata or {}), "source": source}])

    def remove_document(self, source: str) -> int:
        """Tira um documento do índice; vale na busca seguinte.

        Returns:
            Quantos trechos saíram; 0 se ele não estava.
        """
        return self.backend.remove(source)

    def clear_index(self) -> None:
        """Tira todos os documentos da memória; o que foi gravado continua gravado."""
        self.backend.clear()
        self.patterns, self.index_encoder = [], None

    def add_files(
        self,
        patterns: PathLike | Iterable[PathLike],
        *,
        update: bool = False,
        max_file_mb: float = 200.0,
        progress: Progress | None = None,
        checkpoint: Callable[[], None] | None = None,
    ) -> IngestReport:
        """Indexa arquivos; os que não mudaram desde a última vez são só conferidos.

        Args:
            patterns: arquivos, pastas ou globs.
            update: também tira do índice os arquivos dos padrões que não existem mais.
            max_file_mb: tamanho máximo de cada arquivo, em MB de 2^20 bytes.
            progress: ver ``Progress``.
            checkpoint: chamada de tempos em tempos, quando o que já entrou pode ser gravado.

        Returns:
            O relato; um arquivo ruim não para os outros.

        Erros:
            NoDataError: um padrão não acha nada. O mais, como em ``open_encoder``.
        """
        names = pattern_list(patterns)
        ingestion = ingest(
            names,
            self.documents,
            update=update,
            max_file_mb=max_file_mb,
            budget=self.settings.chunk_words,
            overlap=self.settings.chunk_overlap,
            progress=progress,
        )
        self._consume(ingestion, progress, checkpoint)
        self.patterns = list(dict.fromkeys([*self.patterns, *names]))
        return ingestion.report

    def _consume(
        self,
        ingestion: Ingestion,
        progress: Progress | None,
        checkpoint: Callable[[], None] | None,
    ) -> None:
        """Põe no índice o que a leitura dá, em levas que cabem na memória."""
        waiting: list[tuple[DocumentRecord, list[Chunk]]] = []
        count, saved = 0, time.monotonic()
        self.refresh_vectors(progress)
        cache: EmbeddingCache | None = None  # só se algo mudou: lê todos os textos do índice
        for record, chunks in ingestion:
            waiting.append((record, chunks))
            count += len(chunks)
            if count >= 16 * ENCODE_BATCH:
                cache = cache or self._known_vectors()
                self.add_chunks(waiting, progress, cache)
                waiting, count = [], 0
                if checkpoint is not None and time.monotonic() - saved > SAVE_SECONDS:
                    checkpoint()
                    saved = time.monotonic()
        self.add_chunks(waiting, progress, cache)
        for file in ingestion.report.removed:
            self.backend.remove(file)

    def add_chunks(
        self,
        items: Sequence[tuple[DocumentRecord, list[Chunk]]],
        progress: Progress | None = None,
        cache: EmbeddingCache | None = None,
    ) -> None:
        """Põe no índice trechos já cortados, com os vetores que faltarem.

        Args:
            items: pares (registro do arquivo, trechos dele). progress: ver ``Progress``.
            cache: vetores já conhecidos; ``None`` são os do índice.
        """
        texts = [chunk.indexed_text for _, chunks in items for chunk in chunks]
        vectors = None
        if texts and self._uses_vectors(progress):
            cache = cache or self._known_vectors()
            vectors = cache.vectors_for(texts, lambda missing: self._encode(missing, progress))
        start = 0
        for record, chunks in items:
            end = start + len(chunks)
            self.backend.add(record, chunks, None if vectors is None else vectors[start:end])
            start = end

    def _uses_vectors(self, progress: Progress | None) -> bool:
        """Se os trechos novos ganham vetores: como os que já estão; no índice vazio, se há como."""
        if self.encoder is None:
            return False
        self.refresh_vectors(progress)
        if not len(self.backend):
            self.index_encoder = self.encoder.identity
        return not len(self.backend) or self.has_vectors

    @property
    def has_vectors(self) -> bool:
        """Se os trechos do índice têm vetores."""
        return bool(self.backend.dimension)

    def _known_vectors(self) -> EmbeddingCache:
        """Os vetores dos textos que o índice já tem: só os dos novos são calculados."""
        known = self.backend if isinstance(self.backend, LocalBackend) else None
        return EmbeddingCache(known if self.has_vectors else None)

    # --- Busca ------------------------------------------------------------------------------------

    def retrieve(
        self,
        query: str,
        top_k: int = 3,
        *,
        min_relevance: float | None = None,
        filters: Filters | None = None,
        max_per_document: int | None = None,
    ) -> list[RetrievedChunk]:
        """Os trechos que mais respondem a ``query``, do melhor ao pior.

        Args:
            top_k: quantos, no máximo.
            min_relevance: se dado, ficam de fora os de relevância menor (0 a 1).
            filters: condições sobre os metadados: ``{"autor": "Ana"}``, ``{"ano": [2023, 2024]}``,
                ``{"ano": lambda ano: ano > 2020}``, ou uma função dos metadados.
            max_per_document: trechos de um mesmo documento, no máximo; sem isto, com ``top_k`` de 3
                ou mais, um documento só passa de dois terços se os outros acabarem.

        Returns:
            Uma lista de ``RetrievedChunk``; vazia só se não há documentos (ou nenhum passa pelas
            condições).

        Erros:
            UsageError: a pergunta está vazia, ou um valor fora do que se aceita.
        """
        if not isinstance(query, str) or not query.strip():
            raise UsageError(f"query={query!r}: esperada uma pergunta que não seja vazia.")
        for name, value in (("top_k", top_k), ("max_per_document", max_per_document)):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise UsageError(f"{name}={value!r}: esperado um inteiro de 1 em diante.")
        if not len(self.backend):
            return []
        found = search(
            self.backend,
            self._query_encoder(),
            query,
            top_k,
            filters=filters,
            max_per_document=max_per_document,
        )
        floor = 0.0 if min_relevance is None else min_relevance
        return [RetrievedChunk(item) for item in found if item.relevance >= floor]

    def answer(self, query: str, passages: Sequence[RetrievedChunk] | None = None) -> Quote | None:
        """A frase dos documentos que melhor responde, palavra por palavra.

        Args:
            passages: onde procurar; ``None`` faz a busca.

        Returns:
            A citação, com ``found`` falso se a relevância não basta; ``None`` se não há documentos.
        """
        if passages is None:
            passages = self.retrieve(query, max(PASSAGES_READ, self.settings.top_k))
        if not passages:
            return None
        encoder, chosen = self._query_encoder(), self.settings.min_relevance
        threshold = chosen
        if threshold is None:
            threshold = relevance_threshold(encoder is not None, "answer_threshold")
        return best_quote(query, passages, encoder, self.backend.idf, threshold)

    @property
    def threshold(self) -> float:
        """A relevância a partir da qual se diz que um trecho responde."""
        chosen = self.settings.min_relevance
        return relevance_threshold(self.has_vectors) if chosen is None else chosen

    # --- Disco ------------------------------------------------------------------------------------

    def save(self, path: PathLike) -> None:
        """Grava o índice na pasta ``path``; uma queda no meio deixa o anterior inteiro.

        O Qdrant já guarda os trechos à medida que entram: com ele, ``path`` não é usado.

        Erros:
            StorageError: o disco recusou.
        """
        extra = {"encoder": self.index_encoder, "patterns": self.patterns}
        if isinstance(self.backend, LocalBackend):
            self.manifest = save_index(path, self.backend, extra)
            return
        from src.retrieval.qdrant_backend import QdrantBackend

        if isinstance(self.backend, QdrantBackend):
            self.backend.write_extra(extra)

    def load(self, path: PathLike) -> RAGRetriever:
        """Lê o índice gravado em ``path``, no lugar do que está na memória.

        O que estiver danificado é dito no log e refeito a partir dos trechos guardados.

        Returns:
            O próprio objeto.

        Erros:
            DataError: não há índice ali, ou nada dele se aproveita.
        """
        if not isinstance(self.backend, LocalBackend):
            raise UsageError("Um índice em pasta não se lê para o Qdrant: indexe os arquivos nele.")
        self.backend, self.manifest = load_index(path, self.use_faiss)
        self._recall(self.manifest.extra)
        return self

    def refresh_vectors(self, progress: Progress | None = None) -> int:
        """Refaz os vetores que faltam, ou que são de outro codificador.

        Returns:
            Quantos trechos ganharam vetores; 0 se estava tudo certo.

        Erros:
            DataError: o índice está num Qdrant, onde não se refaz.
        """
        if not self._stale_vectors():
            return 0
        assert self.encoder is not None
        if not isinstance(self.backend, LocalBackend):
            raise DataError(
                f"Os vetores desta coleção do Qdrant são do codificador '{self.index_encoder}', e "
                f"o em uso é '{self.encoder.identity}': não se misturam. Indexe numa coleção nova "
                "(rag.qdrant_collection), ou volte ao codificador anterior."
            )
        table, _, _ = self.backend.parts()
        texts = [chunk.indexed_text for chunk in table]
        logger.warning(
            "Os vetores do índice faltam ou são de outro codificador; refazendo os de %d trechos.",
            len(texts),
        )
        self.backend.set_vectors(self._encode(texts, progress))
        self.index_encoder = self.encoder.identity
        return len(texts)

    def _stale_vectors(self) -> bool:
        """Se os trechos deviam ter vetores, do codificador em uso, e não têm."""
        if not len(self.backend) or self.model_name == UNUSED or self.index_encoder is None:
            return False
        return not self.has_vectors or self.index_encoder != self._identity()

    def _identity(self) -> str:
        """A identidade do codificador em uso; o que vem junto não precisa ser aberto para isso."""
        if self._encoder is None and self.model_name is None:
            return shipped_identity()
        assert self.encoder is not None
        return self.encoder.identity

    def _query_encoder(self) -> Encoder | None:
        """O codificador, se os vetores do índice servem; refaz os de um índice pequeno."""
        if self.encoder is None:
            return None
        if self._stale_vectors():
            if len(self.backend) > QUICK_REFRESH or not isinstance(self.backend, LocalBackend):
                if not self._warned:
                    logger.warning(
                        "Os vetores do índice faltam ou são de outro codificador: a busca usa só "
                        "as palavras. Para refazê-los: python main.py index --model NOME --update "
                        "(num Qdrant, indexe numa coleção nova: rag.qdrant_collection)"
                    )
                self._warned = True
                return None
            self.refresh_vectors()
        return self.encoder if self.has_vectors else None

    def stats(self) -> dict[str, Any]:
        """Documentos, trechos, vetores, datas e tamanho em disco (bytes), prontos para JSON."""
        return {
            "documents": len(self.documents),
            "chunks": len(self.backend),
            "dimension": self.backend.dimension,
            "encoder": self.index_encoder,
            "patterns": list(self.patterns),
            "created": self.manifest.created if self.manifest else None,
            "updated": self.manifest.updated if self.manifest else None,
            "size_bytes": self.manifest.size_bytes if self.manifest else 0,
        }
