"""A memória das correções: reconhece, dita de outro modo, uma pergunta que alguém já corrigiu.

Primeiro as palavras (``question_form``): ficam de fora as perguntas que querem saber outra coisa, e
as que têm mais de uma palavra sem par. Das poucas que restam, o codificador que vem junto compara o
sentido. As medidas (``FEATURES``) somam-se com pesos aprendidos (``corrections.json``, por
``scripts/train_corrections.py``), numa regressão logística. Sem o codificador, só as palavras.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.retrieval.encoders import shipped_encoder
from src.retrieval.question_form import (
    QuestionForm,
    Word,
    leftovers,
    may_ask_the_same,
    read_question,
)
from src.utils.errors import LunaError

if TYPE_CHECKING:
    import numpy as np

    from src.retrieval.encoders import Encoder

    Reading = tuple[np.ndarray, np.ndarray]  # o vetor [D] e os estados dos tokens [T, D]

logger = logging.getLogger(__name__)

#: O que as palavras dizem de um par: as que sobram em cada pergunta (e nas duas), as de enchimento
#: que sobram, se o que se quer saber se diz de outro jeito, se falta um "meu" ou "seu", e se a
#: mensagem não pergunta.
WORD_FEATURES = ("asked_left", "stored_left", "both_left", "fillers", "kind", "owner", "statement")
#: O que o codificador diz: o cosseno, e o token de cada pergunta menos parecido com os da outra.
MEANING_FEATURES = ("cosine", "asked_token", "stored_token")
FEATURES = WORD_FEATURES + MEANING_FEATURES
MAX_LEFT = 1  # palavras sem par, em cada pergunta
MAX_FILLERS = 3  # as de enchimento, a partir daqui, contam igual
MAX_COMPARED = 32  # correções cujo sentido se compara, numa pergunta
_PREFIX = 5  # letras do começo que duas palavras da mesma família dividem
_WEIGHTS_FILE = Path(__file__).with_name("corrections.json")


@dataclass(frozen=True)
class Correction:
    """Uma resposta corrigida.

    Atributos:
        prompt: a pergunta. text: a resposta boa. response: a que foi corrigida.
        timestamp: quando, em ISO 8601; ``""`` se não se sabe. id: o do registro.
    """

    prompt: str
    text: str
    response: str = ""
    timestamp: str = ""
    id: str = ""

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Correction:
        """A correção de um registro de ``FeedbackSystem.corrections``."""
        return cls(
            record["prompt"],
            record["correction"],
            record.get("response") or "",
            record.get("timestamp") or "",
            record.get("id") or "",
        )


@dataclass(frozen=True)
class Match:
    """A correção achada e a chance, de 0 a 1, de que a pergunta seja a mesma."""

    correction: Correction
    similarity: float


class CorrectionMemory:
    """As correções, prontas para serem achadas.

    Args:
        corrections: da mais antiga à mais nova. De uma mesma pergunta vale a mais nova; e quem
            corrige uma resposta que já veio da memória corrige a correção antiga.
        encoder: abre o codificador, na primeira pergunta que precisa dele; ``None`` compara só as
            palavras.
    """

    def __init__(
        self,
        corrections: Iterable[Correction],
        encoder: Callable[[], Encoder] | None = shipped_encoder,
    ) -> None:
        self._open_encoder = encoder
        self._readings: dict[str, Reading] = {}
        self._stored: dict[str, tuple[QuestionForm, Correction]] = {}
        for correction in corrections:
            self._add(correction)
        self._places: dict[object, list[str]] = {}  # palavra -> as perguntas em que está
        for plain, (form, _) in self._stored.items():
            for key in _keys(form):
                self._places.setdefault(key, []).append(plain)

    def __len__(self) -> int:
        return len(self._stored)

    def _add(self, correction: Correction) -> None:
        form = read_question(correction.prompt)
        if not form.plain:
            return
        for plain, (older, known) in self._stored.items():
            delivered = known.text.strip() == correction.response.strip()
            if delivered and _word_features(form, older) is not None:
                self._stored[plain] = older, replace(correction, prompt=known.prompt)
        self._stored.pop(form.plain, None)
        self._stored[form.plain] = form, correction

    def match(self, question: str) -> Match | None:
        """A correção da pergunta ``question``; ``None`` se nenhuma é dela.

        A mesma pergunta, sem ver acentos, pontuação e cortesias, é achada sem o codificador.
        """
        asked = read_question(question)
        if asked.plain in self._stored:
            return Match(self._stored[asked.plain][1], 1.0)
        rows = [(plain, row) for plain in self._near(asked) if (row := self._row(asked, plain))]
        if not rows or not asked.plain:
            return None
        rows = sorted(rows, key=lambda found: found[1][0] + found[1][1])[:MAX_COMPARED]
        chances = self._chances(asked, rows)
        best = max(range(len(rows)), key=lambda index: (chances[index], index))
        if chances[best] < threshold():
            return None
        return Match(self._stored[rows[best][0]][1], chances[best])

    def _near(self, asked: QuestionForm) -> Iterable[str]:
        """As perguntas guardadas que têm alguma palavra em comum com ``asked``, da mais antiga."""
        found = {plain for key in _keys(asked) for plain in self._places.get(key, ())}
        return (plain for plain in self._stored if plain in found)

    def _row(self, asked: QuestionForm, plain: str) -> list[float] | None:
        return _word_features(asked, self._stored[plain][0])

    def _chances(self, asked: QuestionForm, rows: Sequence[tuple[str, list[float]]]) -> list[float]:
        """A chance de cada uma das linhas ser a mesma pergunta."""
        try:
            encoder = self._open_encoder() if self._open_encoder is not None else None
        except (LunaError, ImportError) as error:
            logger.warning("As correções são procuradas só pelas palavras: %s", error)
            encoder = self._open_encoder = None
        if encoder is None:
            return [chance(row) for _, row in rows]
        self._read(encoder, [asked.plain, *(plain for plain, _ in rows)])
        mine = self._readings.pop(asked.plain)
        return [chance(row + meaning_features(mine, self._readings[plain])) for plain, row in rows]

    def _read(self, encoder: Encoder, texts: Sequence[str]) -> None:
        """Lê, de uma vez, os textos que ainda não foram lidos."""
        new = [text for text in texts if text not in self._readings]
        vectors, states = encoder.read(new, "query")
        self._readings.update(zip(new, zip(vectors, states)))


def _keys(form: QuestionForm) -> set[object]:
    """O que duas perguntas que pedem o mesmo têm em comum: ao menos uma destas coisas."""
    found: set[object] = {word.text[:_PREFIX] for word in form.words}
    found |= {word.root for word in form.words}
    found |= {meaning for word in form.words for meaning in word.meanings}
    return found or {None}


def pair_features(asked: str, stored: str, encoder: Encoder | None) -> list[float] | None:
    """As medidas de um par de perguntas, na ordem de ``FEATURES``.

    Sem codificador, só as das palavras; ``None`` se elas bastam para ver que não é a mesma.
    """
    one, other = read_question(asked), read_question(stored)
    row = _word_features(one, other)
    if row is None or encoder is None:
        return row
    vectors, states = encoder.read([one.plain, other.plain], "query")
    return row + meaning_features((vectors[0], states[0]), (vectors[1], states[1]))


def _word_features(asked: QuestionForm, stored: QuestionForm) -> list[float] | None:
    """As medidas de ``WORD_FEATURES``, ou ``None``."""
    if not may_ask_the_same(asked, stored):
        return None
    left, right = leftovers(asked, stored)
    mine, others = _weighty(left), _weighty(right)
    if max(len(mine), len(others)) > MAX_LEFT:
        return None
    if any(word.name or word.decisive for word in (*mine, *others)):
        return None
    fillers = len(left) + len(right) - len(mine) - len(others)
    missing = asked.possessors - stored.owners or stored.possessors - asked.owners
    return [
        float(len(mine)),
        float(len(others)),
        float(len(mine) * len(others)),
        float(min(fillers, MAX_FILLERS)),
        float(asked.kind != stored.kind),
        float(bool(missing)),
        float(not asked.asks),
    ]


def _weighty(words: Iterable[Word]) -> list[Word]:
    return [word for word in words if not word.filler]


def meaning_features(asked: Reading, stored: Reading) -> list[float]:
    """As medidas de ``MEANING_FEATURES``, de duas perguntas lidas pelo codificador."""
    alike = asked[1] @ stored[1].T  # [T, S]
    cosine = float(asked[0] @ stored[0])
    return [cosine, float(alike.max(axis=1).min()), float(alike.max(axis=0).min())]


@lru_cache(maxsize=1)
def _learned() -> dict[str, Any]:
    values: dict[str, Any] = json.loads(_WEIGHTS_FILE.read_text(encoding="utf-8"))
    return values


def threshold() -> float:
    """A chance a partir da qual a pergunta é a mesma."""
    return float(_learned()["threshold"])


def chance(row: Sequence[float]) -> float:
    """A chance de um par de perguntas ser a mesma.

    Args:
        row: as medidas, na ordem de ``FEATURES``, ou só as de ``WORD_FEATURES``.
    """
    weights = _learned()["hybrid" if len(row) == len(FEATURES) else "lexical"]
    logit = weights[-1] + sum(value * weight for value, weight in zip(row, weights))
    return 1 / (1 + math.exp(-logit))
