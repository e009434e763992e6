"""Expressões regulares sobre palavras: a escrita de ``proactive_cues`` e como ela casa.

Uma expressão vira uma sequência de peças; cada peça aceita uma palavra, um vão ou uma borda. As
expressões ficam num índice pela primeira palavra, e por isso uma mensagem de vinte palavras se
confronta com milhares delas em menos de um milissegundo.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from src.chat.proactive_text import Reading
from src.utils.text_cleaning import without_accents

SHORT_GAP, LONG_GAP = 3, 8
_OPEN = ""  # a chave das expressões que podem começar com qualquer palavra


@dataclass(frozen=True)
class Piece:
    """Uma parte de uma expressão.

    kind: "word", "optional", "except", "gap", "start", "end", "first" ou "last".
    words, prefixes, suffixes: o que a palavra pode ser, ou como pode começar ou terminar.
    gap: quantas palavras um vão cobre, no máximo. marks: se ele passa por sinais.
    """

    kind: str
    words: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    gap: int = 0
    marks: bool = False

    def accepts(self, word: str) -> bool:
        """Se a palavra é uma das que a peça aceita."""
        return (
            word in self.words
            or (bool(self.prefixes) and word.startswith(self.prefixes))
            or (bool(self.suffixes) and len(word) > 3 and word.endswith(self.suffixes))
        )


class Match(NamedTuple):
    """Onde uma expressão casou: da palavra ``first`` à ``last``, inclusive."""

    name: str
    first: int
    last: int


class PhraseIndex:
    """As expressões de várias pistas, prontas para se procurar numa mensagem."""

    def __init__(self, cues: Mapping[str, str], classes: Mapping[str, str]) -> None:
        self._entries: dict[str, list[tuple[str, tuple[Piece, ...]]]] = {}
        for name, text in cues.items():
            for expression in re.sub(r"\|\s+", "|", text).split(","):
                if expression.strip():
                    self._add(name, parse(expression, classes))

    def _add(self, name: str, pieces: tuple[Piece, ...]) -> None:
        for key in _keys(pieces):
            self._entries.setdefault(key, []).append((name, pieces))

    def find(self, reading: Reading) -> list[Match]:
        """Todos os casamentos, na ordem da mensagem; de uma pista, um por posição, o mais longo."""
        found = []
        for position, word in enumerate(reading.words):
            longest: dict[str, int] = {}
            for key in (word, word[:3] + "*", word[:2] + "*", _OPEN):
                for name, pieces in self._entries.get(key, ()):
                    end = _match(pieces, 0, reading, position)
                    if end > longest.get(name, position):
                        longest[name] = end
            found += [Match(name, position, end - 1) for name, end in longest.items()]
        return found


def parse(expression: str, classes: Mapping[str, str]) -> tuple[Piece, ...]:
    """As peças de uma expressão; erra com ``ValueError`` se ela está mal escrita."""
    return tuple(_piece(token, classes) for token in without_accents(expression).split())


_FIXED = {
    "..": Piece("gap", gap=SHORT_GAP),
    "...": Piece("gap", gap=LONG_GAP, marks=True),
    "^": Piece("start"),
    "$": Piece("end"),
    "^^": Piece("first"),
    "$$": Piece("last"),
}


def _piece(token: str, classes: Mapping[str, str]) -> Piece:
    if token in _FIXED:
        return _FIXED[token]
    kind = "word"
    if token.startswith("["):
        if not token.endswith("]"):
            raise ValueError(f"{token!r}: colchete sem par.")
        kind, token = "optional", token[1:-1]
    elif token.startswith("!"):
        kind, token = "except", token[1:]
    options = []
    for option in token.split("|"):
        if option.startswith("<"):
            options += classes[option.strip("<>")].split("|")
        else:
            options.append(option)
    options = [_capital(option) for option in options if option]
    return Piece(
        kind,
        frozenset(o for o in options if "*" not in o),
        tuple(o[:-1] for o in options if o.endswith("*")),
        tuple(o[1:] for o in options if o.startswith("*")),
    )


def _capital(option: str) -> str:
    upper = option.upper()
    return (
        upper
        if upper in ("CIT", "NUM", "RISO") or upper.startswith("EM") and upper in _EM
        else option
    )


_EM = ("EMPENSA", "EMTRISTE", "EMRISO", "EMALEGRE")


def _keys(pieces: Sequence[Piece]) -> set[str]:
    """Sob que chaves do índice fica uma expressão, pelas palavras com que pode começar."""
    keys: set[str] = set()
    for piece in pieces:
        if piece.kind in ("start", "first"):
            continue
        if piece.kind not in ("word", "optional") or piece.suffixes:
            return {_OPEN}
        keys |= piece.words
        for prefix in piece.prefixes:
            if len(prefix) < 2:
                return {_OPEN}
            keys.add(prefix[:3] + "*")
        if piece.kind == "word":
            return keys
    return {_OPEN}


def _match(pieces: Sequence[Piece], index: int, reading: Reading, position: int) -> int:
    """A posição depois do casamento de ``pieces[index:]`` a partir de ``position``; -1 se não."""
    words = reading.words
    while index < len(pieces):
        piece = pieces[index]
        kind = piece.kind
        if kind == "word":
            if position >= len(words) or not piece.accepts(words[position]):
                return -1
            position += 1
        elif kind == "optional":
            if position < len(words) and piece.accepts(words[position]):
                end = _match(pieces, index + 1, reading, position + 1)
                if end >= 0:
                    return end
        elif kind == "gap":
            return _match_gap(piece, pieces, index + 1, reading, position)
        elif not _border(piece, reading, position):
            return -1
        index += 1
    return position


def _match_gap(
    piece: Piece, pieces: Sequence[Piece], index: int, reading: Reading, position: int
) -> int:
    words = reading.words
    for used in range(piece.gap + 1):
        end = _match(pieces, index, reading, position + used)
        if end >= 0:
            return end
        here = position + used
        if here >= len(words) or not (piece.marks or words[here][0].isalnum()):
            return -1
    return -1


def _border(piece: Piece, reading: Reading, position: int) -> bool:
    words = reading.words
    if piece.kind == "except":
        return position >= len(words) or not piece.accepts(words[position])
    if piece.kind == "first":
        return position == 0
    if piece.kind == "last":
        return not any(word[0].isalpha() and word.islower() for word in words[position:])
    if piece.kind == "start":
        return position == 0 or reading.clauses[position] != reading.clauses[position - 1]
    return (
        position >= len(words)
        or reading.clauses[position] != reading.clauses[position - 1]
        or not words[position][0].isalnum()
    )
