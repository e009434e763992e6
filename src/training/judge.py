"""O juiz: um modelo pequeno e legível do gosto da pessoa, aprendido com as notas dela.

Quarenta notas são poucas para mexer em milhões de pesos: o modelo decoraria as respostas avaliadas
em vez do que elas têm em comum. O juiz tem poucas peças, e por isso generaliza: o tamanho da
resposta, as expressões de cada persona, a pontuação e as palavras. Depois ele ordena respostas que
o próprio modelo sorteia, e é com centenas desses pares que se refina. O que ele aprendeu se lê.

    X  [n, f]  características      u  [n]  utilidade, de -1 a 1      p  [n]  o peso de cada nota

    (regressão de crista)  c = argmin sum_i p_i (u_i - b - X_i c)^2 + alpha |c|^2

Fontes: Hoerl & Kennard, "Ridge Regression" (1970); ordenar sorteios do próprio modelo por um modelo
de recompensa: Liu et al., "Statistical Rejection Sampling Improves Preference Optimization" (2024).
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from src.config.personas import Personas, Style

ALPHA = 1.0
WORD_SCALE = 2.0  # o peso das palavras, todas juntas, ao lado das outras características
MIN_ANSWERS = 3  # respostas em que uma palavra precisa aparecer
MAX_COUNT = 2  # de uma expressão de persona, até quantas vezes contam
SHOWN_WORDS, MIN_SHOWN = 8, 0.08
_TOKEN = re.compile(r"[^\W\d_]+|\d+|[!?…]")
_NUMBER, _MARKS = "#", {"!": "exclamações", "?": "perguntas de volta", "…": "reticências"}


@dataclass(frozen=True)
class Trait:
    """Uma característica do gosto: o que é, e quanto a pessoa gosta dela (de -1 a 1)."""

    text: str
    weight: float


class Judge:
    """Prevê a utilidade de uma resposta.

    Args:
        answers: respostas do modelo, sem nota, de onde saem o vocabulário e o que é comum.
        personas: de onde vêm as expressões que marcam cada estilo.
    """

    def __init__(self, answers: Sequence[str], personas: Personas) -> None:
        patterns = ((name, _style_pattern(p.style)) for name, p in sorted(personas.items()))
        self.styles = [(name, pattern) for name, pattern in patterns if pattern is not None]
        found = Counter(token for answer in answers for token in set(tokens(answer)))
        kept = sorted(token for token, count in found.items() if count >= MIN_ANSWERS)
        self.vocabulary = {token: place for place, token in enumerate(kept)}
        self.rarity = np.array([math.log(1 + len(answers) / found[token]) for token in kept])
        plain = self._plain(answers)
        self.mean, self.spread = plain.mean(axis=0), plain.std(axis=0) + 1e-6
        self.answers = answers
        self.coefficients = np.zeros(plain.shape[1] + len(kept))
        self.intercept = 0.0

    def fit(
        self, answers: Sequence[str], utilities: Sequence[float], weights: Sequence[float]
    ) -> "Judge":
        """Aprende com respostas avaliadas; devolve o próprio juiz.

        Args:
            utilities: de -1 (ruim) a 1 (boa). weights: quanto cada uma conta, acima de 0.
        """
        rows, target = self.features(answers), np.asarray(utilities, dtype=np.float64)
        weight = np.asarray(weights, dtype=np.float64) / np.mean(weights)
        self.intercept = float(np.average(target, weights=weight))
        root = np.sqrt(weight)[:, None]
        scaled = rows * root
        gram = scaled @ scaled.T + ALPHA * np.eye(len(rows))  # n é menor que f: a forma dual
        self.coefficients = scaled.T @ np.linalg.solve(gram, (target - self.intercept) * root[:, 0])
        return self

    def __call__(self, answers: Sequence[str]) -> np.ndarray:
        """A utilidade prevista de cada resposta: [n]."""
        return self.features(answers) @ self.coefficients + self.intercept

    # ------------------------------------------------------------------ características

    def features(self, answers: Sequence[str]) -> np.ndarray:
        """[n, f]: as simples, padronizadas, e as palavras, de norma ``WORD_SCALE``."""
        plain = (self._plain(answers) - self.mean) / self.spread
        words = np.zeros((len(answers), len(self.vocabulary)))
        for row, answer in enumerate(answers):
            for token, count in Counter(tokens(answer)).items():
                place = self.vocabulary.get(token)
                if place is not None:
                    words[row, place] = (1 + math.log(count)) * self.rarity[place]
        norms = np.linalg.norm(words, axis=1, keepdims=True)
        return np.concatenate([plain, WORD_SCALE * words / np.maximum(norms, 1e-9)], axis=1)

    def _plain(self, answers: Sequence[str]) -> np.ndarray:
        rows = [
            [math.log(1 + len(answer.split()))]
            + [min(MAX_COUNT, len(pattern.findall(answer))) for _, pattern in self.styles]
            for answer in answers
        ]
        return np.array(rows, dtype=np.float64)

    # ------------------------------------------------------------------ o que se aprendeu

    def traits(self, answers: Sequence[str]) -> list[Trait]:
        """O gosto em palavras, do mais forte ao mais fraco.

        O peso de uma característica é quanto a utilidade muda quando ela muda um desvio-padrão, em
        ``answers``; de -1 a 1, positivo se a pessoa gosta dela.
        """
        size = 1 + len(self.styles)
        effect = np.clip(self.coefficients * self.features(answers).std(axis=0), -1, 1)
        long, styles, words = effect[0], effect[1:size], effect[size:]
        text = "respostas mais curtas" if long < 0 else "respostas mais longas"
        found = [Trait(text, abs(float(long)))]
        for (name, _), value in zip(self.styles, styles):
            found.append(Trait(f"expressões da persona {name}", float(value)))
        order = np.argsort(-np.abs(words))[:SHOWN_WORDS]
        names = list(self.vocabulary)
        found += [Trait(self._named(names[place]), float(words[place])) for place in order]
        shown = [trait for trait in found if abs(trait.weight) >= MIN_SHOWN]
        return sorted(shown, key=lambda trait: -abs(trait.weight))

    def _named(self, token: str) -> str:
        if token == _NUMBER:
            return "números"
        return _MARKS.get(token) or f"a palavra “{_spoken_word(token, self.answers)}”"


def tokens(text: str) -> list[str]:
    """Os radicais das palavras, as marcas de pontuação e ``#`` por número."""
    return [_reduced(token) for token in _TOKEN.findall(text.casefold())]


@lru_cache(maxsize=1 << 16)
def _reduced(token: str) -> str:
    if token.isdigit():
        return _NUMBER
    return _stemmer()(token) if token.isalpha() else token


@lru_cache(maxsize=1)
def _stemmer() -> Callable[[str], str]:
    from Stemmer import Stemmer

    stem: Callable[[str], str] = Stemmer("portuguese").stemWord
    return stem


def _spoken_word(token: str, answers: Sequence[str]) -> str:
    """Uma palavra inteira de que ``token`` é o radical."""
    for answer in answers:
        for word in _TOKEN.findall(answer.casefold()):
            if _reduced(word) == token:
                return word
    return token


def _style_pattern(style: Style) -> re.Pattern | None:
    words = sorted({*style.typical, *style.address}, key=len)
    if not words:
        return None
    options = "|".join(re.escape(word) for word in reversed(words))
    return re.compile(rf"(?<!\w)(?:{options})(?!\w)", re.IGNORECASE)
