"""O que se grava num Qdrant: as coleções, os pontos e o BM25 como vetor esparso.

O produto do vetor da pergunta com o de um trecho é a nota do BM25, porque cada parte guarda um
fator:

    trecho     tf / (tf + k1 * (1 - b + b * |d| / média)), por termo; calculado ao indexar
    pergunta   quantas vezes o termo aparece nela
    Qdrant     ln(1 + (N - df + 0,5) / (df + 0,5)), na hora da busca (``Modifier.IDF``)

É a fórmula de ``lexical``, com três diferenças:

- a média de termos por trecho é fixada quando a coleção é criada, porque mudá-la seria regravar
  todos os pontos; as notas continuam não dependendo da ordem das mudanças. No FaQuAD (249
  parágrafos, média 73), fixá-la entre 60 e 100 muda o acerto em primeiro em menos de 0,5 ponto;
- um termo é um número de 32 bits tirado do hash dele: com 100 mil termos, espera-se um par que
  colide, e os dois contam como um só;
- num servidor, trechos removidos seguem na conta do IDF até que ele reorganize o que gravou, e num
  cluster cada parte (shard) tem a sua conta. No motor local, a conta é a dos trechos que lá estão.
"""

from __future__ import annotations

import json
import math
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import blake2b
from typing import Any

from src.retrieval.chunk_table import decode_chunk
from src.retrieval.lexical import K1, B
from src.retrieval.portuguese import terms
from src.retrieval.types import Chunk, DocumentRecord
from src.utils.dependency_utils import require

AVERAGE_TERMS = 80.0
DENSE, TERMS = "dense", "terms"  # os nomes dos vetores
_RECORD_FIELDS = ("file", "digest", "chunks", "title", "origin")
_NAMESPACE = uuid.UUID("6f0c3c1e-0a53-5c0e-9a55-4c554e410001")  # nunca muda


def models() -> Any:
    """O módulo ``qdrant_client.models``."""
    return require("qdrant_client.models", "qdrant")


# --- O BM25 como vetor esparso -------------------------------------------------------------------


def term_number(term: str) -> int:
    """O número de um termo: 32 bits do BLAKE2b dele, iguais em qualquer máquina."""
    return int.from_bytes(blake2b(term.encode("utf-8"), digest_size=4).digest(), "big")


def term_weights(text: str, average_terms: float) -> tuple[list[int], list[float]]:
    """O vetor esparso de um trecho: os números dos termos e a parte do BM25 que não é o IDF."""
    counts = Counter(map(term_number, terms(text)))
    norm = K1 * (1 - B + B * sum(counts.values()) / average_terms)
    numbers = sorted(counts)
    return numbers, [counts[number] / (counts[number] + norm) for number in numbers]


def query_vector(query: str) -> Any:
    """O vetor esparso da pergunta; ``None`` se ela não tem termos."""
    counts = Counter(map(term_number, terms(query)))
    if not counts:
        return None
    numbers = sorted(counts)
    values = [float(counts[number]) for number in numbers]
    return models().SparseVector(indices=numbers, values=values)


def term_request(term: str) -> Any:
    """O pedido de um trecho que tenha o termo, com os pesos dele; ``read_idf`` lê a resposta."""
    kinds = models()
    vector = kinds.SparseVector(indices=[term_number(term)], values=[1.0])
    return kinds.QueryRequest(query=vector, using=TERMS, limit=1, with_vector=[TERMS])


def read_idf(term: str, points: Sequence[Any], total: int) -> float:
    """O IDF que o Qdrant usa para um termo: a nota do trecho achado sobre o peso gravado nele.

    Args:
        points: a resposta a ``term_request``; vazia se nenhum trecho tem o termo.
        total: quantos trechos há.
    """
    if not points:
        return math.log1p((total + 0.5) / 0.5)
    stored = points[0].vector[TERMS]
    return float(points[0].score / stored.values[stored.indices.index(term_number(term))])


# --- Os pontos -----------------------------------------------------------------------------------


def cleaned(text: str) -> str:
    """O texto como cabe em UTF-8: metades de pares substitutos viram "?"."""
    return text.encode("utf-8", "replace").decode("utf-8")


def point_id(key: str) -> str:
    """O UUID de um ``chunk_id`` ou de um arquivo; o mesmo em qualquer máquina."""
    return str(uuid.uuid5(_NAMESPACE, cleaned(key)))


def _as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Os valores como o JSON os devolve: o que ele não tem vira texto (datas) ou lista."""
    record: dict[str, Any] = json.loads(
        cleaned(json.dumps(values, ensure_ascii=False, default=str))
    )
    return record


def chunk_point(
    file: str, chunk: Chunk, order: int, row: list[float] | None, average_terms: float
) -> Any:
    """O ponto de um trecho.

    Args:
        order: a ordem de entrada, que é o número interno do trecho.
        row: o vetor do codificador [D]; ``None`` se a coleção só tem palavras.
    """
    numbers, weights = term_weights(chunk.indexed_text, average_terms)
    vector: dict[str, Any] = {TERMS: models().SparseVector(indices=numbers, values=weights)}
    if row is not None:
        vector[DENSE] = row
    values = {**vars(chunk), "metadata": dict(chunk.metadata), "file": file, "order": order}
    return models().PointStruct(
        id=point_id(chunk.chunk_id), vector=vector, payload=_as_json(values)
    )


def read_chunk(payload: Mapping[str, Any]) -> Chunk:
    """O trecho de um ponto.

    Erros:
        DataError: o ponto não é de um trecho.
    """
    return decode_chunk(json.dumps(payload).encode("ascii"))


def record_point(record: DocumentRecord, order: int) -> Any:
    """O ponto, sem vetores, do registro de um arquivo."""
    payload = _as_json({**asdict(record), "order": order})
    return models().PointStruct(id=point_id(record.file), vector={}, payload=payload)


def read_record(payload: Mapping[str, Any]) -> DocumentRecord:
    """O registro de um ponto."""
    return DocumentRecord(**{name: payload[name] for name in _RECORD_FIELDS if name in payload})


# --- Os filtros ----------------------------------------------------------------------------------


def of_file(file: str, before: int | None = None) -> Any:
    """Os trechos de um arquivo; ``before`` fica só com os de ordem menor."""
    kinds = models()
    must = [kinds.FieldCondition(key="file", match=kinds.MatchValue(value=cleaned(file)))]
    if before is not None:
        must.append(kinds.FieldCondition(key="order", range=kinds.Range(lt=before)))
    return kinds.Filter(must=must)


def of_orders(orders: list[int]) -> Any:
    """Os trechos de certos números internos."""
    kinds = models()
    match = kinds.MatchAny(any=orders)
    return kinds.Filter(must=[kinds.FieldCondition(key="order", match=match)])


def of_points(ids: list[str]) -> Any:
    """Certos pontos."""
    kinds = models()
    return kinds.Filter(must=[kinds.HasIdCondition(has_id=ids)])


# --- As coleções ---------------------------------------------------------------------------------


def create_chunks(
    client: Any, name: str, dimension: int, average_terms: float, layout: Mapping[str, int]
) -> None:
    """Cria a coleção dos trechos.

    Args:
        dimension: a dos vetores; 0 se ela só tem palavras.
        layout: ``shard_number`` e ``replication_factor``, onde se quer outro que o padrão.
    """
    kinds = models()
    dense = kinds.VectorParams(size=dimension or 1, distance=kinds.Distance.DOT)
    sparse = kinds.SparseVectorParams(modifier=kinds.Modifier.IDF)
    client.create_collection(
        name,
        vectors_config={DENSE: dense} if dimension else {},
        sparse_vectors_config={TERMS: sparse},
        metadata={"format": 1, "average_terms": average_terms},
        **layout,
    )


def create_files(client: Any, name: str, layout: Mapping[str, int]) -> None:
    """Cria a coleção dos registros dos arquivos, de pontos sem vetores."""
    client.create_collection(name, vectors_config={}, **layout)


def index_payload(client: Any, name: str) -> None:
    """Cria, num servidor, os índices dos campos por que se filtra e se ordena."""
    kinds = models().PayloadSchemaType
    for key, kind in (("order", kinds.INTEGER), ("file", kinds.KEYWORD)):
        client.create_payload_index(name, key, field_schema=kind, wait=True)
