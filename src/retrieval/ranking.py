"""A ordem final: o que cada candidato tem em comum com a pergunta, somado com pesos aprendidos.

O BM25 e os vetores trazem candidatos; aqui cada um é relido e recebe seis medidas (``FEATURES``),
todas entre 0 e 1 ou quase, iguais em índices de qualquer tamanho. A nota é a soma delas com os
pesos de ``ranking.json``, aprendidos em pares de pergunta e passagem por
``scripts/train_retrieval_ranking.py``. É o "learning to rank" linear e listwise de Cao e outros
(2007, "Learning to Rank: From Pairwise Approach to Listwise Approach").
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from src.retrieval.portuguese import is_stop_word, stem, term_of, words

if TYPE_CHECKING:
    import numpy as np

#: Dos termos de uma pergunta ao peso de cada um (ver ``ChunkBackend.idf``).
TermWeights = Callable[[Sequence[str]], Mapping[str, float]]
#: O que se mede de cada candidato.
FEATURES = ("lexical", "dense", "sentence", "coverage", "pairs", "head")
_PIECE = re.compile(r"\w+|[.!?;:](?=\s)|\n")  # uma palavra, ou o fim de uma frase
_ENDINGS = frozenset(".!?;:\n")
_STOP_PAIR_WEIGHT = 0.1  # de uma palavra vazia num par, em relação a uma palavra média
_WEIGHTS_FILE = Path(__file__).with_name("ranking.json")


@dataclass(frozen=True)
class QueryTerms:
    """Os termos de uma pergunta e quanto cada um pesa.

    Atributos:
        weights: termo -> parte do peso (o IDF) da pergunta; somam 1 (vazio se só há palavras
            vazias).
        total: a soma dos IDF, em nats.
        pairs: par de radicais vizinhos -> parte do peso dos pares; somam 1.
    """

    weights: Mapping[str, float]
    total: float
    pairs: Mapping[tuple[str, str], float]


def read_query(query: str, idf: TermWeights) -> QueryTerms:
    """Os termos de ``query``; ``idf`` dá o peso de cada um deles."""
    found = words(query)
    own = idf(list(dict.fromkeys(term for term in map(term_of, found) if term)))
    total = sum(own.values())
    weights = {term: value / total for term, value in own.items()} if total > 0 else {}
    floor = _STOP_PAIR_WEIGHT / max(len(weights), 1)
    pairs: dict[tuple[str, str], float] = {}
    for first, second in zip(found, found[1:]):
        if is_stop_word(first) and is_stop_word(second):
            continue
        mass = sum(weights.get(term_of(word), 0.0) or floor for word in (first, second))
        pairs[stem(first), stem(second)] = mass
    mass = sum(pairs.values())
    return QueryTerms(weights, total, {pair: value / mass for pair, value in pairs.items()})


class _ReadText(NamedTuple):
    """Um trecho relido: os termos de cada frase, e os radicais na ordem, entre espaços.

    A pontuação do fim das frases fica entre os radicais: " o gat mi . um cao lat ". Nesse texto se
    procura um par de vizinhos, o que é mais rápido que montar o conjunto de todos os pares.
    """

    sentences: list[set[str]]
    stems: str


@lru_cache(maxsize=4096)
def _read(text: str) -> _ReadText:
    pieces = _PIECE.findall(text.lower())
    sentences: list[set[str]] = [set()]
    for piece, term in zip(pieces, map(term_of, pieces)):
        if piece in _ENDINGS:
            sentences.append(set())
        elif term:
            sentences[-1].add(term)
    return _ReadText(sentences, f" {' '.join(map(stem, pieces))} ")


def text_features(query: QueryTerms, head: str, text: str) -> tuple[float, float, float, float]:
    """(melhor frase, cobertura, pares, cabeçalho) de um trecho.

    Args:
        head: o título e a seção dele; contam como parte de cada frase.
    """
    read, above = _read(text), _read(head)
    weight_of, known = query.weights.__getitem__, query.weights.keys()
    title: set[str] = known & set[str]().union(*above.sentences)
    found = [own for sentence in read.sentences if (own := known & sentence)]
    best = max((sum(map(weight_of, own - title)) for own in found), default=0.0)
    in_title = sum(map(weight_of, title))
    coverage = sum(map(weight_of, title.union(*found)))
    pairs = sum(
        value
        for (first, second), value in query.pairs.items()
        if (pair := f" {first} {second} ") in read.stems or pair in above.stems
    )
    return in_title + best, coverage, pairs, in_title


def candidate_features(
    query: QueryTerms,
    texts: Sequence[tuple[str, str]],
    lexical: np.ndarray,
    dense: np.ndarray | None,
) -> np.ndarray:
    """As medidas de cada candidato, na ordem de ``FEATURES``.

    Args:
        texts: (cabeçalho, trecho) de cada um. lexical: *Shape:* [K], o BM25.
        dense: *Shape:* [K], o cosseno; ``None`` onde não há vetores (conta 0 em todos).

    Returns:
        *Shape:* [K, 6] float32.
    """
    import numpy as np

    rows = np.zeros((len(texts), len(FEATURES)), dtype=np.float32)
    rows[:, 0] = lexical / query.total if query.total > 0 else 0.0  # tf satura em 1
    if dense is not None:
        rows[:, 1] = dense
    # sem BM25, nenhum termo da pergunta está no trecho: o resto é 0
    for number in np.flatnonzero(rows[:, 0]).tolist():
        rows[number, 2:] = text_features(query, *texts[number])
    return rows


@lru_cache(maxsize=1)
def _learned() -> dict[str, list[float]]:
    values: dict[str, list[float]] = json.loads(_WEIGHTS_FILE.read_text(encoding="utf-8"))
    return values


def weights_of(name: str, with_vectors: bool) -> np.ndarray:
    """Os pesos aprendidos de nome ``name``, para um índice com vetores ou sem: [F] float32."""
    import numpy as np

    return np.array(_learned()[learned_key(name, with_vectors)], dtype=np.float32)


def learned_key(name: str, with_vectors: bool) -> str:
    """O nome, em ``ranking.json``, dos pesos ``name`` de um índice com vetores ou sem."""
    return f"{name}_{'hybrid' if with_vectors else 'lexical'}"


def rank_scores(features: np.ndarray, with_vectors: bool) -> np.ndarray:
    """A nota de cada candidato: [K, 6] -> [K] float32; maior é melhor."""
    scores: np.ndarray = features @ weights_of("rank", with_vectors)
    return scores


def relevances(features: np.ndarray, with_vectors: bool, name: str = "relevance") -> np.ndarray:
    """A chance de cada linha de medidas responder à pergunta: [K, F] -> [K] float32, de 0 a 1.

    É uma regressão logística, aprendida com perguntas cuja passagem está no índice e perguntas cuja
    passagem foi retirada dele.

    Args:
        name: os pesos: "relevance" (um candidato, 6 medidas) ou "answer" (a resposta toda, 4).
    """
    import numpy as np

    weights = weights_of(name, with_vectors)
    logits = features @ weights[:-1] + weights[-1]  # o último é o termo constante
    return (1 / (1 + np.exp(-logits))).astype(np.float32)


def relevance_threshold(with_vectors: bool, name: str = "threshold") -> float:
    """A chance a partir da qual se diz que um trecho responde.

    Args:
        name: "threshold" (um trecho) ou "answer_threshold" (a resposta toda).
    """
    return float(weights_of(name, with_vectors)[0])
