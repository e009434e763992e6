"""A resposta que só cita: as frases dos documentos que melhor respondem, palavra por palavra.

Cada frase das passagens achadas recebe medidas (``SENTENCE_FEATURES``) que se somam com pesos
aprendidos (``ranking.json``); um softmax faz delas a chance de cada frase ser a que responde.
Quando uma frase se destaca, só ela é citada; quando não, as seguintes também, até
``MAX_SENTENCES``: é melhor mostrar quatro frases, uma delas certa, do que apostar numa.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from src.retrieval.ranking import (
    TermWeights,
    read_query,
    relevances,
    text_features,
    weights_of,
)
from src.retrieval.sentences import split_sentences

if TYPE_CHECKING:
    import numpy as np

    from src.retrieval.encoders import Encoder

#: O que se mede de cada frase.
SENTENCE_FEATURES = ("rank", "cosine", "late", "coverage", "pairs", "number", "no_number")
PASSAGES_READ = 8  # de que as frases saem
MAX_SENTENCES = 4
QUOTE_MASS = 0.7  # a chance que as frases citadas têm de somar
SKIPPED = " […] "  # entre frases que não são vizinhas
_ASKS_NUMBER = re.compile(
    r"\b(quant[oa]s?|quando|que (ano|dia|horas?|data|idade|s[eé]culo)|valor|pre[cç]o|cust(a|am|ou)|"
    r"horário|prazo|tempo|dura|demora)\b"
)
_HAS_NUMBER = re.compile(
    r"\d|\b(um|uma|dois|duas|tr[eê]s|quatro|cinco|seis|sete|oito|nove|dez|onze|doze|treze|quatorze|"
    r"catorze|quinze|dezesseis|dezessete|dezoito|dezenove|vinte|trinta|quarenta|cinquenta|sessenta|"
    r"setenta|oitenta|noventa|cem|cento|duzentos|trezentos|quatrocentos|quinhentos|mil|milh[aã]o|"
    r"milhões|metade|dobro|segunda|ter[cç]a|quarta|quinta|sexta|s[aá]bado|domingo)\b"
)


class Passage(Protocol):
    """Uma passagem achada (ver ``RetrievedChunk``)."""

    score: float
    relevance: float
    title: str
    section: str

    def __str__(self) -> str: ...


@dataclass(frozen=True)
class QuotePart:
    """Frases vizinhas de uma passagem."""

    text: str
    passage: Passage


@dataclass(frozen=True)
class Quote:
    """O que os documentos dizem.

    Atributos:
        parts: as frases, por passagem; a primeira é a da frase mais provável.
        relevance: de 0 a 1, a chance de que os documentos respondam.
        found: se ela basta para afirmar que respondem.
        passages: todas as passagens lidas, da melhor à pior.
    """

    parts: tuple[QuotePart, ...]
    relevance: float
    found: bool
    passages: tuple[Passage, ...]

    @property
    def text(self) -> str:
        """Todas as frases citadas."""
        return SKIPPED.join(part.text for part in self.parts)

    @property
    def passage(self) -> Passage:
        """De onde vem a frase mais provável."""
        return self.parts[0].passage


@dataclass(frozen=True)
class Sentence:
    """Uma frase: o texto, o número da passagem e o lugar nela."""

    text: str
    passage: int
    place: int


def candidate_sentences(passages: Sequence[Passage]) -> list[Sentence]:
    """As frases das passagens, na ordem; a que se repete noutra passagem conta uma vez."""
    found: dict[str, Sentence] = {}
    for number, passage in enumerate(passages):
        for place, text in enumerate(split_sentences(str(passage))):
            found.setdefault(text, Sentence(text, number, place))
    return list(found.values())


def best_quote(
    query: str,
    passages: Sequence[Passage],
    encoder: Encoder | None,
    idf: TermWeights,
    threshold: float,
) -> Quote:
    """As frases de ``passages`` (uma ou mais, da melhor à pior) que melhor respondem.

    Args:
        encoder: para comparar o sentido; ``None`` compara só as palavras.
        idf: dá o peso de cada termo.
        threshold: a relevância a partir da qual os documentos respondem.
    """
    import numpy as np

    sentences = candidate_sentences(passages)
    features = sentence_features(query, passages, sentences, encoder, idf)
    scores = features @ weights_of("quote", encoder is not None)
    chances = np.exp(scores - scores.max())
    chances /= chances.sum()
    chosen, mass = list[int](), 0.0
    for index in np.argsort(-chances, kind="stable").tolist():
        if chosen and (mass >= QUOTE_MASS or len(chosen) == MAX_SENTENCES):
            break
        chosen.append(index)
        mass += float(chances[index])
    found = answer_features(passages, features)
    relevance = float(relevances(found, encoder is not None, "answer"))
    parts = _parts([sentences[index] for index in chosen], passages)
    return Quote(parts, relevance, relevance >= threshold, tuple(passages))


def answer_features(passages: Sequence[Passage], rows: np.ndarray) -> np.ndarray:
    """O que se mede de todas as frases juntas, para saber se alguma responde: [4] float32.

    O logito da maior relevância das passagens, e o maior valor, entre as frases ``rows`` [S, 7], do
    cosseno, da semelhança token a token e da cobertura.
    """
    import numpy as np

    best = min(max(max(passage.relevance for passage in passages), 1e-6), 1 - 1e-6)
    return np.array([np.log(best / (1 - best)), *rows[:, 1:4].max(axis=0)], dtype=np.float32)


def sentence_features(
    query: str,
    passages: Sequence[Passage],
    sentences: Sequence[Sentence],
    encoder: Encoder | None,
    idf: TermWeights,
) -> np.ndarray:
    """As medidas de cada frase, na ordem de ``SENTENCE_FEATURES``: [S, 7] float32."""
    import numpy as np

    known = read_query(query, idf)
    heads = [head_of_passage(passage) for passage in passages]
    top = max(passage.score for passage in passages)
    asks = bool(_ASKS_NUMBER.search(query.lower()))
    rows = np.zeros((len(sentences), len(SENTENCE_FEATURES)), dtype=np.float32)
    for row, sentence in zip(rows, sentences):
        head = heads[sentence.passage]
        coverage, _, pairs, _ = text_features(known, head, sentence.text)
        numbers = bool(_HAS_NUMBER.search(sentence.text.lower()))
        row[0] = passages[sentence.passage].score - top
        row[3:] = coverage, pairs, asks and numbers, asks and not numbers
    if encoder is not None:
        (vector,), (asked,) = encoder.read([query], "query")
        vectors, states = encoder.read(_with_heads(sentences, heads))
        rows[:, 1] = vectors @ vector
        rows[:, 2] = [late_score(asked, own) for own in states]
    return rows


def late_score(asked: np.ndarray, found: np.ndarray) -> float:
    """A semelhança token a token de uma pergunta com um texto, de -1 a 1.

    Cada token da pergunta fica com o cosseno do token do texto que mais se parece com ele; a nota é
    a média deles. É a "interação tardia" do ColBERT (Khattab e Zaharia, 2020, arXiv:2004.12832),
    com os estados da última camada.

    Args:
        asked: *Shape:* [T, D], de norma 1. found: *Shape:* [S, D], de norma 1.
    """
    return float((asked @ found.T).max(axis=1).mean())


def head_of_passage(passage: Passage) -> str:
    """O título e a seção de uma passagem, que a frase sozinha não traz."""
    return " ".join(dict.fromkeys(filter(None, (passage.title, passage.section))))


def _with_heads(sentences: Sequence[Sentence], heads: Sequence[str]) -> list[str]:
    """Cada frase com o cabeçalho da passagem."""
    return [f"{heads[s.passage]}: {s.text}" if heads[s.passage] else s.text for s in sentences]


def _parts(chosen: Sequence[Sentence], passages: Sequence[Passage]) -> tuple[QuotePart, ...]:
    """As frases escolhidas, por passagem; a mais provável vem antes."""
    order = list(dict.fromkeys(sentence.passage for sentence in chosen))
    parts = []
    for number in order:
        own = [sentence for sentence in chosen if sentence.passage == number]
        text = own[0].text
        for before, after in zip(own, own[1:]):
            text += (" " if after.place == before.place + 1 else SKIPPED) + after.text
        parts.append(QuotePart(text, passages[number]))
    return tuple(parts)
