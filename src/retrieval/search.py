"""A busca: candidatos por palavras e por sentido, ordem aprendida, e variedade de documentos."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from src.retrieval.ranking import candidate_features, rank_scores, read_query, relevances
from src.retrieval.types import Chunk, ChunkBackend, MetadataFilter

if TYPE_CHECKING:
    import numpy as np

    from src.retrieval.encoders import Encoder

#: Como se filtra: valor, lista de valores ou condição por campo; ou uma função dos metadados.
Filters = Mapping[str, Any] | Callable[[Mapping[str, Any]], bool]

CANDIDATES = 50  # de cada uma das duas buscas
NEAR_COSINE = 0.97  # dois trechos mais parecidos que isto dizem o mesmo
NEAR_PENALTY = 2.0  # o que o segundo perde, em pontos da nota


@dataclass(frozen=True)
class Found:
    """Um trecho achado, a nota e a relevância (a chance, de 0 a 1, de que responda)."""

    chunk: Chunk
    score: float
    relevance: float


def search(
    backend: ChunkBackend,
    encoder: Encoder | None,
    query: str,
    top_k: int,
    *,
    filters: Filters | None = None,
    max_per_document: int | None = None,
) -> list[Found]:
    """Os ``top_k`` melhores trechos, do melhor ao pior.

    Se as palavras e os vetores não trazem candidatos bastantes, o resto vem na ordem do índice, com
    a nota que tiver: só faltam resultados quando faltam trechos.

    Args:
        encoder: ``None`` busca só por palavras.
        filters: ver ``Filters``; os campos são os dos metadados.
        max_per_document: trechos de um mesmo documento, no máximo. ``None``: com ``top_k`` de 3 ou
            mais, dois terços dele, e os outros só entram se os demais documentos acabarem.
    """
    import numpy as np

    found = read_candidates(backend, encoder, query, top_k, as_filter(filters))
    if not found.chunks:
        return []
    scores = rank_scores(found.features, encoder is not None)
    chances = relevances(found.features, encoder is not None)
    order = np.lexsort((found.ids, -scores))
    vectors = backend.vectors(found.ids)
    chosen = _diverse(order, scores, found.chunks, vectors, top_k, max_per_document)
    return [Found(found.chunks[i], float(scores[i]), float(chances[i])) for i in chosen]


class Candidates(NamedTuple):
    """Os trechos que podem responder, e o que se mediu de cada um.

    ``ids`` [K] são os números no armazém; ``features`` [K, F], as medidas de ``ranking``.
    """

    ids: np.ndarray
    chunks: list[Chunk]
    features: np.ndarray


def read_candidates(
    backend: ChunkBackend,
    encoder: Encoder | None,
    query: str,
    top_k: int,
    keep: MetadataFilter | None = None,
) -> Candidates:
    """Os candidatos das duas buscas, relidos."""
    vector = encoder.encode([query], "query")[0] if encoder is not None else None
    ids = _candidates(backend, query, vector, max(CANDIDATES, 2 * top_k), keep, top_k)
    chunks = [backend.chunk(int(index)) for index in ids]
    known = read_query(query, backend.idf)
    lexical = backend.lexical_scores(query, ids)
    dense = backend.dense_scores(vector, ids) if vector is not None else None
    texts = [(head_of(chunk), chunk.text) for chunk in chunks]
    return Candidates(ids, chunks, candidate_features(known, texts, lexical, dense))


def head_of(chunk: Chunk) -> str:
    """O que vem acima do trecho em ``indexed_text``: o título e a seção que ele não repete."""
    return chunk.indexed_text.removesuffix(chunk.text)


def _candidates(
    backend: ChunkBackend,
    query: str,
    vector: np.ndarray | None,
    limit: int,
    keep: MetadataFilter | None,
    wanted: int,
) -> np.ndarray:
    """Os números dos candidatos das duas buscas, sem repetir: [K] int64."""
    import numpy as np

    found = [backend.search_lexical(query, limit, keep).ids]
    if vector is not None:
        found.append(backend.search_dense(vector, limit, keep).ids)
    ids = np.array(list(dict.fromkeys(np.concatenate(found).tolist())), dtype=np.int64)
    if len(ids) >= wanted or len(ids) == len(backend):
        return ids
    seen = set(ids.tolist())
    rest = (index for index in range(len(backend)) if index not in seen)
    allowed = (index for index in rest if keep is None or keep(backend.chunk(index).metadata))
    more = [index for _, index in zip(range(wanted - len(ids)), allowed)]
    return np.concatenate([ids, np.array(more, dtype=np.int64)])


def _diverse(
    order: np.ndarray,
    scores: np.ndarray,
    chunks: list[Chunk],
    vectors: np.ndarray | None,
    top_k: int,
    max_per_document: int | None,
) -> list[int]:
    """Escolhe um a um o de maior nota, descontado o que repete os já escolhidos.

    É a MMR (Carbonell e Goldstein, 1998) com desconto só para o que é quase igual, e um limite por
    documento. O primeiro é sempre o de maior nota.
    """
    limit = max_per_document or (max(1, -(-2 * top_k // 3)) if top_k >= 3 else top_k)
    left, chosen = [int(index) for index in order], list[int]()
    per_file: dict[str, int] = {}
    spare: list[int] = []
    lowered = scores.astype(float).copy()
    while left and len(chosen) < top_k:
        best = max(left, key=lambda index: lowered[index])  # no empate, o que vem antes
        left.remove(best)
        if per_file.get(chunks[best].file, 0) >= limit:
            spare.append(best)
            continue
        chosen.append(best)
        per_file[chunks[best].file] = per_file.get(chunks[best].file, 0) + 1
        if vectors is not None and left:
            near = vectors[left] @ vectors[best] > NEAR_COSINE
            for index, repeats in zip(left, near):
                lowered[index] -= NEAR_PENALTY * bool(repeats)
    if max_per_document is None:
        chosen += spare[: top_k - len(chosen)]
    return sorted(chosen, key=lambda index: -scores[index])


def as_filter(filters: Filters | None) -> MetadataFilter | None:
    """A condição que os metadados de um trecho têm de cumprir."""
    if filters is None or callable(filters):
        return filters
    wanted = dict(filters)
    return lambda metadata: all(_meets(metadata.get(name), want) for name, want in wanted.items())


def _meets(value: Any, wanted: Any) -> bool:
    """Se um campo serve: um dos valores aceitos está nele (ou é ele)."""
    if callable(wanted):
        return bool(wanted(value))
    accepted = wanted if isinstance(wanted, (list, tuple, set, frozenset)) else [wanted]
    held = value if isinstance(value, (list, tuple)) else [value]
    return any(item in accepted for item in held)
