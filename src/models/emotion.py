"""A emoção de um texto: seis números de 0 a 1, lidos por léxico e regras do português.

Glossário (nome, significado):
    entrada     expressão do léxico ("feliz*", "que nojo"), com a emoção e o peso dela
    peso        quanto a expressão vale sozinha, de 0 a 2
    fator       o que o contexto faz com o peso: intensidade, ênfase, negação, contraste
    s           soma dos pesos vezes fatores de uma emoção; o resultado é ``1 - exp(-s)``, em [0, 1)

As regras são as de VADER (Hutto e Gilbert, 2014), refeitas para o português: a negação vale para
trás de vários modos ("não", "nem", "sem", "nunca") e duas negações na mesma oração continuam sendo
uma ("não estou nada feliz"); "mas" e "só que" diminuem o que veio antes; "-inho" atenua e "-ão" e
"-íssimo" aumentam; maiúsculas, letras repetidas e exclamações enfatizam. O que está entre aspas, e
o que fala da palavra e não do sentimento ("sinônimo de raiva"), não conta.

Não há rede neural aqui: uma mensagem se lê em cerca de um milissegundo, e a leitura diz em que se
baseou (``evidence``).
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from src.config.emotions import EMOTIONS, NEUTRAL
from src.models.emotion_lexicon import (
    ABBREVIATIONS,
    DOWNTONERS,
    EMOJI,
    IGNORED,
    INTENSIFIERS,
    LEXICON,
    METALINGUISTIC,
    NEGATED_PHRASES,
    WHOLE_WORDS,
)
from src.utils.text_cleaning import without_accents

MAX_CHARACTERS = 4000  # de uma mensagem colada, lê-se o fim, onde costuma estar o pedido
MIN_DOMINANT = 0.25  # abaixo disto, nenhuma emoção se destaca: neutro
STRONGER, WEAKER = 1.5, 0.6
EMPHASIS_CAPS, EMPHASIS_LONG, EMPHASIS_MARK = 1.3, 1.25, 0.15
DIMINUTIVE, AUGMENTATIVE = 0.85, 1.2
BEFORE_CONTRAST = 0.35  # "estava feliz, mas..."
MENTIONED = 0.1  # fala da palavra, não do sentimento
IMPERSONAL = 0.7  # texto sem primeira pessoa nem ênfase, como o de um documento
ASKED = 0.4  # pergunta em que não há primeira pessoa: "a raiva tem cura?"
NEGATION_WINDOW = 4  # palavras entre a negação e o que ela nega
MODIFIER_WINDOW = 2
MAX_GAP = 3  # palavras que ".." cobre numa entrada do léxico

NEGATIONS = frozenset("nao nunca jamais nem sem tampouco".split())
NEGATED_NEXT = frozenset("nada nenhum nenhuma".split())  # só negam a palavra seguinte
FIRST_PERSON = frozenset(
    "eu me mim meu minha meus minhas comigo to tava sou tenho fui vou quero sinto fico nos nosso "
    "nossa".split()
)
CONTRASTS = frozenset("mas porem contudo entretanto todavia".split())
CONTRAST_PHRASES = (("so", "que"), ("no", "entanto"), ("ao", "contrario"))

_QUOTED = re.compile(r"[\"“«][^\"“”«»\n]*[\"”»]|(?<!\w)['‘][^'‘’\n]+['’](?!\w)")
_LAUGH = re.compile(
    r"(?<!\w)(?:k{3,}|(?:ha){2,}h?|(?:he){2,}|(?:hua){2,}|(?:ka){3,}|(?:rs){2,}|rs)(?!\w)", re.I
)
_EMOTICONS = (
    (re.compile(r"[:;=]-?[)D]+(?!\w)|(?<!\b\w\s)(?<!\w)<3(?![\w;])|\^_?\^"), "alegria", 0.8),
    (re.compile(r"(?<!>)[:;=]'?-?\(+|T[_.]T|;-;"), "tristeza", 0.8),
    (re.compile(r">:\(+"), "raiva", 0.9),
    (re.compile(r"(?<!\w)[:=]-?[oO](?!\w)|(?<!\w)[oO][_.][oO](?!\w)"), "surpresa", 0.8),
    (re.compile(r"\?{2,}|\?!|!\?"), "surpresa", 0.4),
)
_TOKEN = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*|[.!?;:,…\n]+|[()]")
_LONG = re.compile(r"([^\W\d_])\1{2,}")
_SUFFIXES = (
    (re.compile(r"zinh[oa]s?$"), DIMINUTIVE),
    (re.compile(r"inh[oa]s?$"), DIMINUTIVE),
    (re.compile(r"issim[oa]s?$"), AUGMENTATIVE),
    (re.compile(r"(?:zao|zona|ao|ona|aco|aca)$"), AUGMENTATIVE),
)
_SENTENCE_END = re.compile(r"[.!?;…\n]")


@dataclass(frozen=True)
class Evidence:
    """Uma expressão que pesou na leitura: o trecho, a emoção e o peso já com os fatores."""

    text: str
    emotion: str
    weight: float


@dataclass(frozen=True)
class EmotionReading:
    """O resultado: ``scores`` por emoção, em [0, 1), e as expressões em que se baseia."""

    scores: Mapping[str, float]
    evidence: tuple[Evidence, ...]

    @property
    def vector(self) -> list[float]:
        """Os valores na ordem de ``EMOTIONS``: [EMOTION_DIM], o que o roteamento emocional lê."""
        return [self.scores[name] for name in EMOTIONS]

    @property
    def dominant(self) -> str:
        """A emoção mais forte, ou ``"neutro"`` se nenhuma chega a ``MIN_DOMINANT``."""
        best = max(EMOTIONS, key=lambda name: self.scores[name])
        return best if self.scores[best] >= MIN_DOMINANT else NEUTRAL


def read_emotion(text: str) -> EmotionReading:
    """Lê a emoção de ``text``, qualquer texto (vazio é neutro; de um longo, o fim).

    Returns:
        As seis intensidades, de 0 (ausente) a quase 1, e as expressões encontradas.
    """
    plain = _QUOTED.sub(" , ", text[-MAX_CHARACTERS:])
    evidence = list(_emoji_evidence(plain))
    tokens = list(_tokens(plain))
    distance = 1.0 if evidence or _is_personal(tokens) else IMPERSONAL
    for sentence in _sentences(tokens):
        evidence += _sentence_evidence(sentence, distance)
    return _reading(evidence)


def lexicon_sum(text: str) -> EmotionReading:
    """A leitura sem as regras: só a soma dos pesos do léxico e dos emoji.

    É a referência simples ao lado da qual se mede ``read_emotion`` (``benchmarks/emotion.py``).
    """
    text = text[-MAX_CHARACTERS:]
    tokens, evidence = list(_tokens(text)), list(_emoji_evidence(text))
    position = 0
    while position < len(tokens):
        hit = _find_entry(tokens, position) if tokens[position].is_word else None
        if hit and hit[0].emotion != NEUTRAL:
            evidence.append(Evidence(tokens[position].raw, hit[0].emotion, hit[0].weight))
        position = hit[1] if hit else position + 1
    return _reading(evidence)


def _reading(evidence: list[Evidence]) -> EmotionReading:
    totals = dict.fromkeys(EMOTIONS, 0.0)
    for item in evidence:
        totals[item.emotion] += item.weight
    scores = {name: 1 - math.exp(-total) for name, total in totals.items()}
    return EmotionReading(scores, tuple(evidence))


# --- Do texto às palavras ----------------------------------------------------------------------


class _Form(NamedTuple):
    """Uma forma sob a qual se procura uma palavra, e o grau que se desfez para chegar a ela."""

    text: str
    degree: float = 1.0  # 1: nenhum


@dataclass(frozen=True)
class _Token:
    """Uma palavra ou um sinal.

    forms: as formas sem acento nem maiúscula sob as quais se procura no léxico, da mais fiel à
    mais reduzida; nenhuma, se é um sinal. factor: a ênfase com que a palavra foi escrita.
    """

    raw: str
    forms: tuple[_Form, ...]
    factor: float = 1.0

    @property
    def plain(self) -> str:
        return self.forms[0].text if self.forms else ""

    def degree_over(self, stem: str) -> float:
        """O grau do sufixo que vem depois de ``stem`` ("tristinho" sobre "trist"); 1 se nenhum."""
        degrees = (f.degree for f in self.forms if f.degree != 1 and f.text.startswith(stem))
        return next(degrees, 1.0)

    @property
    def is_word(self) -> bool:
        return bool(self.forms)


def _tokens(text: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text):
        raw = match[0]
        if raw[0].isalpha():
            yield _word(raw)
        else:
            yield _Token(raw, ())


def _word(raw: str) -> _Token:
    factor = EMPHASIS_CAPS if raw.isupper() and len(raw) >= 3 else 1.0
    plain = without_accents(raw)
    if _LONG.search(plain):
        factor *= EMPHASIS_LONG
        bases = [_LONG.sub(r"\1", plain), _LONG.sub(r"\1\1", plain)]
    else:
        bases = [plain]
    bases = [ABBREVIATIONS.get(base, base) for base in bases]
    forms = [_Form(base) for base in bases]
    for base in bases:
        if base in _whole_words():
            continue
        for suffix, degree in _SUFFIXES:
            stem = suffix.sub("", base)
            if stem != base and len(stem) >= 3:
                stem = re.sub("qu$", "c", stem)
                forms += [_Form(stem + ending, degree) for ending in ("o", "a", "e", "")]
    return _Token(raw, tuple(dict.fromkeys(forms)), factor)


@cache
def _whole_words() -> frozenset[str]:
    return frozenset(WHOLE_WORDS.split())


def _sentences(tokens: list[_Token]) -> Iterator[list[_Token]]:
    """Divide em frases; o sinal do fim fica com a frase."""
    current: list[_Token] = []
    for token in tokens:
        current.append(token)
        if not token.is_word and _SENTENCE_END.search(token.raw):
            yield current
            current = []
    if current:
        yield current


# --- O léxico ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Entry:
    words: tuple[str, ...]  # "medo", "trist*" (qualquer fim), ".." (até MAX_GAP palavras)
    emotion: str
    weight: float
    own_negation: bool


@cache
def _index() -> dict[str, list[_Entry]]:
    """As entradas pelo começo (três letras) da primeira palavra, as mais longas antes."""
    index: dict[str, list[_Entry]] = {}
    for emotion, levels in {**LEXICON, NEUTRAL: {0.0: IGNORED}}.items():
        for weight, text in levels.items():
            for expression in _expressions(text):
                words = tuple(ABBREVIATIONS.get(word, word) for word in expression.split())
                entry = _Entry(words, emotion, weight, bool(NEGATIONS & set(words)))
                index.setdefault(_key(words[0]), []).append(entry)
    for entries in index.values():
        entries.sort(key=lambda entry: (-len(entry.words), -len(entry.words[0])))
    return index


def _key(first: str) -> str:
    """Sob que chave do índice fica uma entrada: "" se a primeira palavra é curta e aberta."""
    return "" if first.endswith("*") and len(first) < 4 else first.rstrip("*")[:3]


def _expressions(text: str) -> list[str]:
    return [" ".join(without_accents(part).split()) for part in text.split(",") if part.strip()]


@cache
def _phrases(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(expression.split()) for expression in _expressions(text))


def _matches_word(pattern: str, token: _Token, exact: bool) -> float:
    """O fator do grau (diminutivo, aumentativo) se a palavra casa com o padrão; 0 se não casa.

    ``exact`` só aceita a palavra como foi escrita.
    """
    for form in token.forms[:1] if exact else token.forms:
        if form.text == pattern:
            return form.degree
        if pattern.endswith("*") and form.text.startswith(pattern[:-1]):
            return form.degree if form.degree != 1 else token.degree_over(pattern[:-1])
    return 0.0


def _match(
    words: tuple[str, ...], tokens: list[_Token], start: int, exact: bool = False
) -> tuple[int, float]:
    """(posição depois do casamento, fator) de ``words`` a partir de ``start``; (0, 0) se não casa.

    ``exact`` não desfaz diminutivos nem aumentativos.
    """
    factor, position, gap = 1.0, start, 0
    for word in words:
        if word == "..":
            gap = MAX_GAP
            continue
        while True:
            if position >= len(tokens) or not tokens[position].is_word:
                return 0, 0.0
            degree = _matches_word(word, tokens[position], exact)
            position += 1
            if degree:
                factor *= degree * tokens[position - 1].factor
                break
            if not gap:
                return 0, 0.0
            gap -= 1
        gap = 0
    return position, factor


def _find_entry(tokens: list[_Token], start: int) -> tuple[_Entry, int, float] | None:
    """A entrada mais longa que começa em ``start``, com o fim e o fator."""
    best: tuple[_Entry, int, float] | None = None
    for key in {"", *(form.text[:3] for form in tokens[start].forms)}:
        for entry in _index().get(key, ()):
            end, factor = _match(entry.words, tokens, start)
            if end and (best is None or end > best[1]):
                best = (entry, end, factor)
    return best


# --- As regras ---------------------------------------------------------------------------------


def _is_personal(tokens: list[_Token]) -> bool:
    """Se alguém fala de si, ou fala com ênfase: só aí uma palavra comum é sinal de emoção."""
    return any(
        token.plain in FIRST_PERSON
        or token.factor > 1
        or "!" in token.raw
        or (len(token.plain) > 4 and token.plain.endswith("ei"))  # "cheguei", "fiquei"
        for token in tokens
    )


def _sentence_evidence(tokens: list[_Token], distance: float) -> list[Evidence]:
    """As expressões de uma frase, com os fatores do contexto; ``distance`` vale para todas."""
    marks = sum(token.raw.count("!") for token in tokens if not token.is_word)
    emphasis = distance * (1 + EMPHASIS_MARK * min(marks, 3))
    personal = FIRST_PERSON & {token.plain for token in tokens}
    if not personal and any(_contains(tokens, phrase) for phrase in _phrases(METALINGUISTIC)):
        emphasis *= MENTIONED
    asked = tokens[-1].raw.startswith("?") and not personal
    contrast = _last_contrast(tokens)
    neither = sum(token.plain == "nem" for token in tokens) > 1  # "nem feliz nem triste"
    found, position = [], 0
    while position < len(tokens):
        hit = _find_entry(tokens, position) if tokens[position].is_word else None
        if hit is None:
            position += 1
            continue
        entry, end, factor = hit
        factor *= emphasis * _intensity(tokens, position, end)
        if position < contrast:
            factor *= BEFORE_CONTRAST
        if end - position == 1 and position and _is_name(tokens, position):
            factor *= MENTIONED
        if asked and entry.emotion != "surpresa":
            factor *= ASKED
        text = " ".join(token.raw for token in tokens[position:end])
        negated = not entry.own_negation and _negated(tokens, position)
        if entry.emotion != NEUTRAL and not (negated and neither):
            found += list(_weighed(text, entry, factor, negated))
        position = end
    return found


def _is_name(tokens: list[_Token], position: int) -> bool:
    """Maiúscula só na inicial, no meio da frase: um nome ("Porto Alegre", o samba "Tristeza")."""
    return tokens[position].raw.istitle() and tokens[position - 1].is_word


#: O que resta de cada emoção negada: "não estou feliz" soa a tristeza; "não tenho medo", a nada.
_NEGATED = {"alegria": ("tristeza", 0.7), "tristeza": ("alegria", 0.3)}


def _weighed(text: str, entry: _Entry, factor: float, negated: bool) -> Iterator[Evidence]:
    emotion, weight = entry.emotion, entry.weight * factor
    if negated:
        emotion, share = _NEGATED.get(emotion, (emotion, 0.0))
        weight *= share
    if weight:
        yield Evidence(text, emotion, weight)


def _contains(tokens: list[_Token], phrase: tuple[str, ...]) -> bool:
    return any(_match(phrase, tokens, i, exact=True)[0] for i, t in enumerate(tokens) if t.is_word)


def _last_contrast(tokens: list[_Token]) -> int:
    """A posição do último "mas" (ou parente) que não abre a frase; 0 se não há."""
    for i in range(len(tokens) - 1, 0, -1):
        pair = (tokens[i].plain, tokens[i + 1].plain if i + 1 < len(tokens) else "")
        if tokens[i].plain in CONTRASTS or pair in CONTRAST_PHRASES:
            return i
    return 0


def _intensity(tokens: list[_Token], start: int, end: int) -> float:
    """O efeito de "muito", "super", "demais" (fortes) e "um pouco", "meio" (fracos) por perto."""
    before = _window(tokens, range(start - 1, -1, -1), MODIFIER_WINDOW)
    after = _window(tokens, range(end, len(tokens)), MODIFIER_WINDOW)
    around = set(before) | {word for word in after if word in _AFTER}
    if around & _words(DOWNTONERS):
        return WEAKER
    return STRONGER if around & _words(INTENSIFIERS) else 1.0


_AFTER = frozenset("demais muito caramba caralho bastante mesmo pouco pouquinho".split())


@cache
def _words(text: str) -> frozenset[str]:
    return frozenset(_expressions(text))


def _window(tokens: list[_Token], positions: Iterable[int], size: int) -> list[str]:
    """As até ``size`` palavras seguidas nas posições dadas, sem passar de um sinal."""
    words: list[str] = []
    for i in positions:
        if not tokens[i].is_word or len(words) == size:
            break
        words.append(tokens[i].plain)
    return words


def _coordinates(token: _Token) -> bool:
    """Se a palavra começa outra oração; "é" é verbo, e não a conjunção "e"."""
    return token.plain in _COORDINATORS and token.raw.casefold() not in ("é", "eh")


_COORDINATORS = frozenset("e ou entao porque".split())


def _negated(tokens: list[_Token], start: int) -> bool:
    """Se uma negação alcança a palavra em ``start`` sem sinal nem contraste no caminho."""
    words = _window(tokens, range(start - 1, -1, -1), NEGATION_WINDOW)
    for distance, word in enumerate(words):
        if word in CONTRASTS or _coordinates(tokens[start - 1 - distance]):
            return False
        if word in NEGATIONS or (word in NEGATED_NEXT and not distance):
            position = start - 1 - distance
            return not any(
                _match(phrase, tokens, i)[0] > position
                for phrase in _phrases(NEGATED_PHRASES)
                for i in range(max(position - 3, 0), position + 1)
                if tokens[i].is_word
            )
    return False


# --- Emoji e risadas ---------------------------------------------------------------------------


def _emoji_evidence(text: str) -> Iterator[Evidence]:
    """Emoji (o segundo igual vale metade, o terceiro um quarto...), carinhas e risadas."""
    seen: dict[str, int] = {}
    for char in text:
        for emotion, weight in EMOJI.get(char, ()):
            yield Evidence(char, emotion, weight * 0.5 ** seen.get(char, 0))
        if char in EMOJI:
            seen[char] = seen.get(char, 0) + 1
    for pattern, emotion, weight in _EMOTICONS:
        if match := pattern.search(text):
            yield Evidence(match[0], emotion, weight)
    if match := _LAUGH.search(text):
        yield Evidence(match[0], "alegria", 0.45)
