"""Uma pergunta reduzida ao que ela pede, para saber se duas pedem o mesmo.

De "me diz aí, qual foi o ano em que a escravidão acabou no Brasil?" ficam o que se quer saber
(quando) e as palavras que dizem de quê (escravidão, acabar, Brasil). Duas perguntas pedem o mesmo
quando querem saber a mesma coisa e cada palavra de uma tem par na outra: a mesma palavra, outra
forma dela ou um sinônimo. As tabelas estão em ``question_words``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from src.config.text import without_accents
from src.retrieval.portuguese import is_stop_word, stem
from src.retrieval.question_words import (
    CHOICE_WORDS,
    CLASSIFIERS,
    COURTESIES,
    DECISIVE,
    ENDINGS,
    FILLERS,
    KEPT_WORDS,
    KIND_PAIRS,
    KINDS,
    NUMBERS,
    OWNERS,
    POSSESSIVES,
    REWRITES,
    SHORT_FORMS,
)

LONGEST = 400  # caracteres de uma pergunta que se lê
LONG = "long"
_PIECE = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d]\w*|\w+")
_HYPHEN = re.compile(r"(?<=\w)-(?=\w)")
_TIMES_SIGN = re.compile(r"(?<=\d)\s*[x×*]\s*(?=\d)")
_PERCENT = re.compile(r"%|\bpor cento\b")
_LETTERS = re.compile(r"[^\W\d_]+")
_COURTESIES = [re.compile(rf"^(?:{start})\b ?") for start in COURTESIES]
_ENDINGS = re.compile(rf" (?:{ENDINGS})$")
_REWRITES = [(re.compile(rf"\b(?:{said})"), instead) for said, instead in REWRITES]
_KINDS = [(kind, re.compile(rf"\b(?:{said})\b")) for kind, said in KINDS]
_SYNONYMS_FILE = Path(__file__).with_name("synonyms.json")
_ORDINAL = re.compile(r"\b([1-9])[ªº°ao](?=\W|$)")
_ORDINALS = "primeir segund terceir quart quint sext setim oitav non".split()
_PLURALS = (
    ("oes", "ao"), ("aes", "ao"), ("ais", "al"), ("eis", "el"), ("ois", "ol"), ("uis", "ul"),
    ("res", "r"), ("zes", "z"), ("ses", "s"), ("ns", "m"),
)  # fmt: skip
_SHORTEST_PLURAL = 5
_PLAIN_PLURAL = re.compile(r"(?<=[^aeiou][aeou])s$|(?<=..[aeo]u)s$")
_VERB_END = re.compile(r"(?:[aei]r|[aei]m|ou|eu|iu|[aeio])$")
_SHORTEST_ROOT = 3
_SHARED_LETTERS, _SHARED_SHARE = 5, 0.6  # do começo de duas palavras da mesma família
_SENTENCE_END = '.!?:;"“«('


@dataclass(frozen=True)
class Word:
    """Uma palavra da pergunta.

    Atributos:
        text: em minúsculas e sem acentos. root: o radical. meanings: as linhas de sinônimos em que
        está. filler: quase nada acrescenta. name: escrita como nome próprio. decisive: se sobra
        numa das duas perguntas, muda o que ela pede.
    """

    text: str
    root: str
    meanings: frozenset[int]
    filler: bool
    name: bool = False
    decisive: bool = False


@dataclass(frozen=True)
class QuestionForm:
    """O que uma mensagem pergunta.

    Atributos:
        plain: as palavras, sem acentos, pontuação e cortesia: iguais, é a mesma pergunta.
        kind: o que se quer saber ("who", "when", "how"...: ver ``KINDS``); "" se é de sim ou não,
            ou não é pergunta; ``LONG`` se é um texto comprido, que só é igual a si mesmo.
        owners: de quem fala: "me" (quem pergunta), "you" (a Luna). possessors: dos donos ("meu").
        words: as que dizem de quê. numbers: os números, na ordem.
        asks: se pergunta ou pede; falso numa afirmação.
    """

    plain: str
    kind: str
    owners: frozenset[str]
    possessors: frozenset[str]
    words: tuple[Word, ...]
    numbers: tuple[str, ...]
    asks: bool


def read_question(text: str) -> QuestionForm:
    """O que ``text`` pergunta; ver ``QuestionForm``."""
    if len(text) > LONGEST:
        return QuestionForm(plain_words(text), LONG, frozenset(), frozenset(), (), (), False)
    return _read(text)


@lru_cache(maxsize=4096)
def _read(text: str) -> QuestionForm:
    everything = plain_words(text)
    plain = without_courtesy(everything)
    kind, rest = _kind_and_rest(plain)
    owners, possessors = _owners(plain.split()), _owners(POSSESSIVES.intersection(plain.split()))
    names = proper_names(text)
    words = tuple(
        _word(word, word in names, kind) for word in rest.split() if _says_something(word)
    )
    if all(word.filler for word in words):  # são tudo o que ela tem
        words = tuple(replace(word, filler=False) for word in words)
    asks = "?" in text or plain != everything or _opens_asking(plain)
    numbers = tuple(word.text for word in words if word.text[0].isdigit())
    return QuestionForm(plain, kind, owners, possessors, words, numbers, asks)


def _owners(found: Iterable[str]) -> frozenset[str]:
    return frozenset(name for name, own in OWNERS.items() if own.intersection(found))


# --- Do texto às palavras ------------------------------------------------------------------------


def plain_words(text: str) -> str:
    """As palavras em minúsculas e sem acentos; sem abreviações, e os números em algarismos.

    "Qto é 15 × 4, mais vinte e três?" vira "quanto e 15 vezes 4 mais 23".
    """
    folded = _HYPHEN.sub("", without_accents(text))
    folded = _ORDINAL.sub(lambda found: _ORDINALS[int(found[1]) - 1] + "a", folded)
    folded = _PERCENT.sub(" porcento ", _TIMES_SIGN.sub(" vezes ", folded))
    found = (SHORT_FORMS.get(word, word) for word in _PIECE.findall(folded))
    return " ".join(_with_digits(" ".join(found).split()))


def _with_digits(found: Sequence[str]) -> Iterator[str]:
    """As palavras, com os números por extenso em algarismos: "dois mil e vinte" -> "2020"."""
    place = 0
    while place < len(found):
        value, after = _number_at(found, place)
        yield found[place] if value is None else str(value)
        place = after


def _number_at(found: Sequence[str], place: int) -> tuple[int | None, int]:
    """(o número por extenso que começa em ``place``, ou ``None``; onde ele acaba)."""
    thousands, below, step = 0, NUMBERS.get(found[place]), NUMBERS.get(found[place], 0)
    if below is None:
        return None, place + 1
    place += 1
    while place < len(found):
        if found[place] == "mil" and not thousands:
            thousands, below, step, place = 1000 * below, 0, 1000, place + 1
            continue
        joined = found[place] == "e" and place + 1 < len(found)
        more = NUMBERS.get(found[place + 1]) if joined else None
        if more is None or not (step >= 100 > more or step >= 1000 or 100 > step >= 20 > 10 > more):
            break
        below, step, place = below + more, more, place + 2
    return thousands + below, place


def without_courtesy(plain: str) -> str:
    """Sem o que vem antes da pergunta ("oi, você sabe me dizer") e depois dela ("por favor")."""
    before = ""
    while plain != before:
        before = plain
        for start in _COURTESIES:
            plain = start.sub("", plain, count=1) or plain
        plain = _ENDINGS.sub("", plain)
    return plain


def _kind_and_rest(plain: str) -> tuple[str, str]:
    """(o que se quer saber, a pergunta sem as palavras que o dizem)."""
    for said, instead in _REWRITES:
        plain = " ".join(said.sub(instead, plain).split())
    for kind, said in _KINDS:
        found = said.search(plain)
        if found:
            return kind, plain[: found.start()] + " " + plain[found.end() :]
    return ("which" if CHOICE_WORDS.intersection(plain.split()) else ""), plain


def _opens_asking(plain: str) -> bool:
    """Se, mesmo sem "?", as palavras começam como uma pergunta."""
    opening = any(found.start() == 0 for _, said in _KINDS if (found := said.search(plain)))
    return opening or bool(CHOICE_WORDS.intersection(plain.split()[:2]))


def _says_something(word: str) -> bool:
    empty = is_stop_word(word) and word not in KEPT_WORDS
    return not empty and word != "luna" and not any(word in own for own in OWNERS.values())


def proper_names(text: str) -> set[str]:
    """As palavras escritas como nome próprio: com maiúscula, fora do começo de uma frase."""
    found = list(_LETTERS.finditer(text))[1:]
    return {
        without_accents(word[0])
        for word in found
        if word[0][0].isupper() and text[: word.start()].rstrip()[-1:] not in _SENTENCE_END
    }


def _singular(word: str) -> str:
    if len(word) >= _SHORTEST_PLURAL:
        for ending, replacement in _PLURALS:
            if word.endswith(ending):
                return word[: -len(ending)] + replacement
    return _PLAIN_PLURAL.sub("", word)


@lru_cache(maxsize=1 << 14)
def _root(word: str) -> str:
    """O radical: "abro", "abrir" e "abre" -> "abr"."""
    root = stem(_singular(word))
    shorter = _VERB_END.sub("", root) if root == word else root
    return shorter if len(shorter) >= _SHORTEST_ROOT else root


@lru_cache(maxsize=1)
def _meanings() -> dict[str, frozenset[int]]:
    """radical -> as linhas de sinônimos em que está."""
    found: dict[str, set[int]] = {}
    lines: list[str] = json.loads(_SYNONYMS_FILE.read_text(encoding="utf-8"))
    for number, line in enumerate(lines):
        for word in line.split():
            found.setdefault(_root(word), set()).add(number)
    return {root: frozenset(lines) for root, lines in found.items()}


@lru_cache(maxsize=2)
def _fillers(kind: str) -> frozenset[str]:
    found = FILLERS + (CLASSIFIERS if kind == "who" else "")
    return frozenset(map(_root, found.split()))


@lru_cache(maxsize=1)
def _decisive() -> frozenset[str]:
    return frozenset(map(_root, DECISIVE.split()))


def _word(text: str, name: bool, kind: str) -> Word:
    root = _root(text)
    filler = root in _fillers("who" if kind == "who" else "")
    return Word(text, root, _meanings().get(root, frozenset()), filler, name, root in _decisive())


# --- Duas perguntas ------------------------------------------------------------------------------


def leftovers(asked: QuestionForm, stored: QuestionForm) -> tuple[list[Word], list[Word]]:
    """As palavras de cada uma que não têm par na outra; cada palavra é par de uma só."""
    left, right = list(asked.words), list(stored.words)
    for pairs in (_same_root, _related):
        _pair_off(left, right, pairs)
    return _without_repeats(left, stored.words), _without_repeats(right, asked.words)


def _pair_off(left: list[Word], right: list[Word], pairs: Callable[[Word, Word], bool]) -> None:
    """Tira das duas listas, uma a uma, as palavras que ``pairs`` junta."""
    for word in list(left):
        other = next((other for other in right if pairs(word, other)), None)
        if other is not None:
            left.remove(word)
            right.remove(other)


def _without_repeats(words: Sequence[Word], other: Sequence[Word]) -> list[Word]:
    """As que a outra pergunta não diz nem uma vez ("você *sente emoções*", "tem *sentimentos*")."""
    return [
        word
        for word in words
        if not any(_same_root(word, seen) or word.meanings & seen.meanings for seen in other)
    ]


def _same_root(first: Word, second: Word) -> bool:
    return first.root == second.root


def _related(first: Word, second: Word) -> bool:
    """Se dizem o mesmo: sinônimas, ou da mesma família ("descobriu", "descobridor").

    De dois nomes próprios não se diz isso: Júlia não é Juliana.
    """
    if first.meanings & second.meanings:
        return True
    if first.name and second.name:
        return False
    one, two = first.text, second.text
    shared = next((i for i, (a, b) in enumerate(zip(one, two)) if a != b), min(len(one), len(two)))
    longest = max(len(one), len(two))
    return shared >= max(_SHARED_LETTERS, _SHARED_SHARE * longest) or shared >= max(7, longest / 2)


def may_ask_the_same(asked: QuestionForm, stored: QuestionForm) -> bool:
    """Falso quando não há como: querem saber coisas diferentes, ou falam de outra pessoa ou número.

    "Quando nasceu" e "onde nasceu"; "o meu time" e "o seu time"; "15% de 240" e "15% de 250".
    """
    if LONG in (asked.kind, stored.kind) or asked.numbers != stored.numbers:
        return False
    kinds = frozenset((asked.kind, stored.kind))
    if len(kinds) == 2 and kinds not in KIND_PAIRS:
        return False
    return not (len(asked.owners) == len(stored.owners) == 1 and asked.owners != stored.owners)
