"""As peças da busca: blocos, documentos, trechos, e o que um armazém de trechos sabe fazer.

Um arquivo é lido em ``Block`` (parágrafos e títulos, com a página), que formam um
``SourceDocument``; este é cortado em ``Chunk``, a unidade que se indexa, se busca e se cita. Quem
guarda os trechos é um ``ChunkBackend``: a memória e o disco desta máquina (``local_backend``) ou um
servidor (``qdrant_backend``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np

#: Decide, pelos metadados de um trecho (os da pessoa), se ele pode aparecer.
MetadataFilter = Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True)
class Block:
    """Um pedaço de um arquivo, na ordem de leitura.

    Atributos:
        kind: "heading", "paragraph", "list" (um item) ou "table" (uma linha ou a tabela).
        page: a página, a partir de 1; ``None`` onde não há páginas.
        level: o nível do título, a partir de 1; 0 no que não é título.
    """

    text: str
    kind: str = "paragraph"
    page: int | None = None
    level: int = 0


@dataclass
class SourceDocument:
    """Um documento lido, ainda inteiro.

    Atributos:
        source: como se cita: o arquivo como foi dado, ou arquivo e registro ("fatos.jsonl:12").
        file: só o arquivo; é por ele que se atualiza e se remove.
        title: o título; ``""`` se não há.
        metadata: o que mais a pessoa disse dele (autor, data...).
    """

    source: str
    file: str
    blocks: list[Block]
    title: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Chunk:
    """Um trecho: o que se indexa, se busca e se cita.

    Atributos:
        chunk_id: único no índice e igual em qualquer máquina: vem do arquivo, da ordem e do texto.
        text: o que se mostra e se cita. source, file, title, metadata: os do documento.
        section: os títulos que o contêm, do maior ao menor, separados por " > ".
        position: a ordem do trecho no arquivo, a partir de 0.
        page: a página em que começa, a partir de 1; ``None`` onde não há.
    """

    chunk_id: str
    text: str
    source: str
    file: str
    position: int = 0
    title: str = ""
    section: str = ""
    page: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def indexed_text(self) -> str:
        """O que a busca lê: o título e a seção, que o trecho muitas vezes não repete, e ele."""
        heads = [head for head in (self.title, self.section) if head and head not in self.text]
        return "\n".join([*dict.fromkeys(heads), self.text])


@dataclass(frozen=True)
class DocumentRecord:
    """O que o índice sabe de um arquivo (ou de um texto dado em memória).

    Atributos:
        file: a chave. digest: SHA-256 do conteúdo; igual, o arquivo não mudou.
        chunks: quantos trechos deu. title: o do primeiro documento dele.
        origin: "file" ou "memory" (dado por ``add_documents``).
    """

    file: str
    digest: str
    chunks: int
    title: str = ""
    origin: str = "file"


def by_file(chunks: Sequence[Chunk]) -> list[tuple[DocumentRecord, list[Chunk]]]:
    """Trechos que não vêm de uma leitura, juntos por arquivo, com um registro sem resumo."""
    files: dict[str, list[Chunk]] = {}
    for chunk in chunks:
        files.setdefault(chunk.file, []).append(chunk)
    return [(DocumentRecord(file, "", len(own)), own) for file, own in files.items()]


class Hits(NamedTuple):
    """Trechos achados, do melhor ao pior; no empate, na ordem em que foram indexados.

    ``ids`` são os números internos do armazém (valem até a próxima mudança); ``scores`` [K]
    float32.
    """

    ids: np.ndarray  # [K] int64
    scores: np.ndarray  # [K] float32


class ChunkBackend(Protocol):
    """Quem guarda os trechos e acha os parecidos.

    Toda mudança vale na busca seguinte, e a estatística da busca por palavras é sempre a dos
    trechos que lá estão: remover dá o mesmo que nunca ter indexado.
    """

    def __len__(self) -> int:
        """Quantos trechos há."""

    @property
    def documents(self) -> Mapping[str, DocumentRecord]:
        """Os arquivos indexados, por ``file``, na ordem em que entraram."""

    @property
    def dimension(self) -> int:
        """A dimensão dos vetores; 0 se o índice está vazio ou só tem palavras."""

    def idf(self, terms: Sequence[str]) -> Mapping[str, float]:
        """O peso de cada termo, ln(1 + (N - n + 0,5) / (n + 0,5)), com ele em n dos N trechos."""

    def add(
        self, record: DocumentRecord, chunks: Sequence[Chunk], vectors: np.ndarray | None
    ) -> None:
        """Põe os trechos de um arquivo; se o arquivo já estava, os antigos saem.

        Args:
            vectors: *Shape:* [len(chunks), D] float32, de norma 1; ``None`` se o índice só tem
                palavras.
        """

    def remove(self, file: str) -> int:
        """Tira um arquivo; devolve quantos trechos saíram (0 se não estava)."""

    def clear(self) -> None:
        """Tira tudo."""

    def chunk(self, index: int) -> Chunk:
        """O trecho de número interno ``index``."""

    def search_lexical(self, query: str, limit: int, keep: MetadataFilter | None = None) -> Hits:
        """Os ``limit`` de maior BM25; só os de nota acima de zero."""

    def search_dense(
        self, vector: np.ndarray, limit: int, keep: MetadataFilter | None = None
    ) -> Hits:
        """Os ``limit`` de maior produto interno com ``vector`` [D]; vazio se não há vetores."""

    def lexical_scores(self, query: str, ids: np.ndarray) -> np.ndarray:
        """O BM25 dos trechos ``ids`` [K]: [K] float32, 0 onde nenhuma palavra coincide."""

    def dense_scores(self, vector: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """O produto interno dos trechos ``ids`` [K] com ``vector``: [K] float32."""

    def vectors(self, ids: np.ndarray) -> np.ndarray | None:
        """Os vetores dos trechos ``ids``: [K, D] float32; ``None`` se o índice não os tem."""
