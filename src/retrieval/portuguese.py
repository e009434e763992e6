"""Do texto em português aos termos da busca por palavras.

Cada palavra perde as maiúsculas, passa ao singular, é reduzida ao radical (Snowball, pelo
PyStemmer) e perde os acentos; as palavras vazias de sentido ficam de fora.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from src.config.text import without_accents

_WORD = re.compile(r"\w+")
STOP_WORDS = frozenset("""
    a ao aos aquela aquelas aquele aqueles aquilo as até com como da das de dela delas dele deles
    depois do dos e ela elas ele eles em entre era eram essa essas esse esses esta estas este estes
    eu foi foram há isso isto já lhe lhes mais mas me mesmo meu meus minha minhas muito na nas nem
    no nos nossa nossas nosso nossos num numa nós não o os ou para pela pelas pelo pelos por qual
    quais quando que quem se seja sem ser seu seus sua suas são só também te tem tinha tu tua tuas
    teu teus um uma você vocês à às é onde quanto quantos quanta quantas porque
    """.split())
_SHORTEST_PLURAL = 5  # letras; "mais", "dois" e "seis" não são plurais
_PLURALS = (
    ("ões", "ão"), ("ães", "ão"), ("ãos", "ão"), ("ns", "m"), ("ais", "al"), ("éis", "el"),
    ("óis", "ol"), ("uis", "ul"), ("res", "r"), ("zes", "z"),
)  # fmt: skip
_FOLDED_STOP_WORDS = frozenset(map(without_accents, STOP_WORDS))


@lru_cache(maxsize=1)
def _stemmer() -> Any:
    import Stemmer

    return Stemmer.Stemmer("portuguese")


def words(text: str) -> list[str]:
    """As palavras de um texto, em minúsculas, na ordem."""
    return _WORD.findall(text.lower())


@lru_cache(maxsize=1 << 17)
def stem(word: str) -> str:
    """O radical, sem acentos, de uma palavra em minúsculas (também das vazias de sentido).

    Antes, os plurais que o Snowball não junta ao singular: animais, papéis, homens, corações.
    """
    return without_accents(_stemmer().stemWord(_singular(word)))


def _singular(word: str) -> str:
    if len(word) < _SHORTEST_PLURAL:
        return word
    for ending, replacement in _PLURALS:
        if word.endswith(ending):
            return word[: -len(ending)] + replacement
    return word


@lru_cache(maxsize=1 << 17)
def is_stop_word(word: str) -> bool:
    """Se a palavra é vazia de sentido, também escrita sem acentos ("nao", "voce")."""
    return without_accents(word) in _FOLDED_STOP_WORDS


@lru_cache(maxsize=1 << 17)
def term_of(word: str) -> str:
    """O termo de uma palavra em minúsculas; ``""`` se ela é vazia de sentido."""
    return "" if is_stop_word(word) else stem(word)


def terms(text: str) -> list[str]:
    """Os termos de um texto, na ordem, com repetições."""
    found = (term_of(word) for word in words(text))
    return [term for term in found if term]
