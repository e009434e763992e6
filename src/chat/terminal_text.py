"""O texto que vai para o terminal: sem ordens escondidas e quebrado entre palavras.

A resposta de um modelo, ou um arquivo de conversa, pode trazer sequências que o terminal obedece:
trocar o título, apagar a tela, escrever na área de transferência. ``TextCleaner`` as tira enquanto
o texto chega. As formas, da ECMA-48 (também com ESC e a letra trocados por um só caractere):

    CSI                   ESC [ parâmetros intermediários final       U+009B
    OSC                   ESC ] corpo BEL ou ST                       U+009D
    DCS, SOS, PM, APC     ESC P, X, ^ ou _, corpo, ST                 U+0090, 98, 9E, 9F
    título do screen      ESC k corpo ST
    ST                    ESC \\                                       U+009C
    as outras             ESC, intermediários ou nada, final

A sequência que não se completa perde só a abertura (o corpo, sem ela, é texto comum): um escape
perdido não engole a resposta.
"""

import re
import unicodedata
from collections.abc import Callable

from wcwidth import wcswidth, wcwidth

#: O corpo mais longo de uma sequência: além disso, ou de uma quebra de linha, não é sequência.
MAX_SEQUENCE_CHARS = 256
_BODY = f"{{0,{MAX_SEQUENCE_CHARS}}}"
_STOPS = r"\n\r\x18\x1a\x1b\x80-\x9f\u2028\u2029"  # onde um corpo acaba; CAN e SUB o cancelam
_CSI = rf"(?:\x1b\[|\x9b)[0-?]{_BODY}[ -/]{{0,16}}"
_OSC = rf"(?:\x1b\]|\x9d)[^\x07{_STOPS}]{_BODY}"
_STRING = rf"(?:\x1b[PX^_k]|[\x90\x98\x9e\x9f])[^{_STOPS}]{_BODY}"
_ESCAPE = r"\x1b[ -/]{0,16}"
_HIDDEN = (
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controles
    r"\u202a-\u202e\u2066-\u2069"  # viram a ordem das letras
    r"\U000e0000-\U000e007f]"  # etiquetas invisíveis
)
_WHOLE = rf"{_CSI}[@-~]|{_OSC}(?:\x07|\x9c|\x1b\\)|{_STRING}(?:\x9c|\x1b\\)|\x1b[ -/]{{1,16}}[0-~]"
_PARTIAL = rf"(?:{_CSI}|{_OSC}\x1b?|{_STRING}\x1b?|{_ESCAPE}|\r|[\ud800-\udbff])\Z"
_REST = (
    r"(?P<line>\r\n?|[\u2028\u2029])"
    r"|(?P<pair>[\ud800-\udbff][\udc00-\udfff])"
    r"|(?P<lone>[\ud800-\udfff])"
    rf"|(?P<hidden>\x1b[0-~]|{_HIDDEN})"
)
#: A ordem conta: só o que não é sequência inteira, nem o começo de uma, perde só a abertura.
_STREAMING = re.compile(f"(?P<whole>{_WHOLE})|(?P<partial>{_PARTIAL})|{_REST}")
_FINAL = re.compile(f"(?P<whole>{_WHOLE})|{_REST}")
_NOTABLE = re.compile(rf"{_HIDDEN}|[\u2028\u2029\ud800-\udfff]")
_HIDDEN_ALONE = re.compile(_HIDDEN)


class TextCleaner:
    """Limpa um texto que chega aos pedaços.

    Saem as sequências de terminal, os controles (menos ``\\n`` e ``\\t``), o que inverte a ordem
    das letras e as etiquetas invisíveis; ``\\r\\n``, ``\\r``, U+2028 e U+2029 viram ``\\n``;
    metades soltas de um par UTF-16 viram U+FFFD. Emojis compostos ficam inteiros.

    O resultado não depende de onde o texto foi partido: o fim que pode ser o começo de uma
    sequência espera o próximo pedaço, ou ``flush``.
    """

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        """O que já se sabe mostrar, depois de mais um pedaço."""
        text, self._held = self._held + piece, ""
        return _STREAMING.sub(self._replacement, text) if _NOTABLE.search(text) else text

    def flush(self) -> str:
        """O que ainda esperava; depois, o limpador serve para outro texto."""
        text, self._held = self._held, ""
        return _FINAL.sub(self._replacement, text)

    def _replacement(self, match: re.Match[str]) -> str:
        if match.lastgroup == "line":
            return "\n"
        if match.lastgroup == "lone":
            return "\ufffd"
        if match.lastgroup == "pair":
            pair = match[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le")
            return _HIDDEN_ALONE.sub("", pair)
        if match.lastgroup == "partial":
            self._held = match[0]
        return ""


def clean_text(text: str) -> str:
    """``text`` sem o que mandaria no terminal (veja ``TextCleaner``); limpar de novo nada muda."""
    cleaner = TextCleaner()
    return cleaner.feed(text) + cleaner.flush()


# ---------------------------------------------------------------------- larguras

_ZERO_WIDTH_JOINER = "\u200d"
_MAX_CLUSTER_CHARS = 32  # acentos empilhados além disso não esperam uns pelos outros


def display_width(text: str) -> int:
    """Quantas colunas ``text``, já limpo e numa linha só, ocupa no terminal."""
    if text.isascii():
        return len(text)
    width = wcswidth(text)
    return width if width >= 0 else sum(max(wcwidth(char), 0) for char in text)


def _cluster_width(cluster: str) -> int:
    """Quantas colunas reservar a um desenho: um acento sem letra pode ocupar uma."""
    return display_width(cluster) or 1


def clusters(text: str) -> list[str]:
    """``text`` nos desenhos que uma quebra não pode partir: a letra e seus acentos, um emoji."""
    if text.isascii():
        return list(text)
    found: list[str] = []
    for char in text:
        if found and _joins(found[-1], char):
            found[-1] += char
        else:
            found.append(char)
    return found


def _joins(cluster: str, char: str) -> bool:
    """Se ``char`` continua o desenho ``cluster``."""
    if char.isascii() or len(cluster) >= _MAX_CLUSTER_CHARS:
        return False
    if cluster[-1] == _ZERO_WIDTH_JOINER and unicodedata.category(char) == "So":
        return True
    if "\U0001f1e6" <= char <= "\U0001f1ff":  # duas letras regionais são uma bandeira
        return len(cluster) == 1 and "\U0001f1e6" <= cluster <= "\U0001f1ff"
    return wcwidth(char) == 0 or "\U0001f3fb" <= char <= "\U0001f3ff"  # tons de pele


def one_line(text: str, width: int) -> str:
    """``text`` limpo, numa linha de até ``width`` colunas; o corte termina em "…"."""
    line = " ".join(clean_text(text).split())
    if display_width(line) <= width:
        return line
    kept, room = [], width - 1
    for cluster in clusters(line):
        room -= _cluster_width(cluster)
        if room < 0:
            break
        kept.append(cluster)
    return "".join(kept).rstrip() + "…" if width > 0 else ""


# ---------------------------------------------------------------------- quebra de linhas

_TOKENS = re.compile(r"\n|[ \t]+|[^ \t\n]+")
_LIST_MARKER = re.compile(r"[-*+•]|\d{1,3}[.)]")
_TAB = " " * 4


class StreamWrapper:
    """Quebra entre palavras, na largura do terminal, um texto limpo que chega aos pedaços.

    A palavra que abre uma linha sai à medida que chega; as outras esperam até se saber se cabem.
    A que não cabe numa linha inteira é partida. As quebras do texto ficam; a continuação de um
    item de lista, ou de uma linha recuada, alinha-se com ele; nenhuma linha termina em espaço.

    Args:
        write: recebe o que já se pode mostrar.
        width: colunas do terminal, ou uma função que as diz a cada pedaço (a janela muda).
        prefix_width: colunas já ocupadas na primeira linha. indent: recuo das linhas seguintes.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        width: int | Callable[[], int],
        prefix_width: int = 0,
        indent: int = 0,
    ) -> None:
        self._write, self._width, self._indent = write, width, indent
        self._columns = 1
        self._out: list[str] = []
        self._open, self._column = prefix_width > 0, prefix_width
        self._margin = 0  # onde a linha da tela começa
        self._hang = indent  # onde começaria a continuação desta linha do texto
        self._words, self._first_word = 0, ""  # na linha do texto
        self._spaces = 0  # só saem com a palavra seguinte
        self._in_word = self._placed = False  # placed: a palavra já não pode mudar de linha
        self._held: list[str] = []
        self._held_width = 0
        self._cluster = ""  # o último desenho, que o próximo pedaço pode completar

    def feed(self, piece: str) -> None:
        """Recebe mais um pedaço e escreve o que já tem lugar certo."""
        self._columns = max(self._width() if callable(self._width) else self._width, 1)
        for token in _TOKENS.findall(piece):
            if token == "\n":
                self._end_line()
            elif token[0] in " \t":
                self._end_word()
                self._spaces += len(token.replace("\t", _TAB))
            else:
                *ready, self._cluster = clusters(self._cluster + token)
                self._take(ready)
        self._send()

    def flush(self) -> None:
        """Escreve a palavra que esperava."""
        self._end_word()
        self._spaces = 0
        self._send()

    def _send(self) -> None:
        text = "".join(self._out)
        self._out.clear()
        if text:
            self._write(text)

    def _take(self, ready: list[str]) -> None:
        """Recebe mais desenhos inteiros da palavra em curso."""
        if not ready:
            return
        if not self._in_word:
            self._start_word()
        if self._words == 0 and len(self._first_word) < 8:
            self._first_word += "".join(ready)
        if not self._placed:
            self._held += ready
            self._held_width += sum(map(_cluster_width, ready))
            if self._spaces + self._held_width <= self._columns - self._column:
                return
            ready = self._held
            self._next_line()
        self._put(ready)

    def _start_word(self) -> None:
        self._in_word, self._held, self._held_width = True, [], 0
        self._placed = not self._open
        if not self._open:
            self._open_line(self._margin + self._spaces)
            self._hang = max(self._margin, self._indent)
        elif self._words == 1 and _LIST_MARKER.fullmatch(self._first_word):
            self._hang = self._column + self._spaces

    def _end_word(self) -> None:
        if self._cluster:
            last, self._cluster = self._cluster, ""
            self._take([last])
        if not self._in_word:
            return
        if not self._placed:
            self._out += [" " * self._spaces, *self._held]
            self._column += self._spaces + self._held_width
        self._spaces, self._in_word = 0, False
        self._words += 1

    def _end_line(self) -> None:
        """Uma quebra que está no texto."""
        self._end_word()
        self._out.append("\n")
        self._open, self._column, self._spaces = False, 0, 0
        self._margin = self._hang = self._indent
        self._words, self._first_word = 0, ""

    def _next_line(self) -> None:
        """Uma quebra que o texto não tem; a palavra em curso continua na linha nova."""
        self._out.append("\n")
        self._open_line(self._hang)
        self._placed = True

    def _open_line(self, margin: int) -> None:
        """Começa a linha com o recuo, que nunca toma mais da metade dela."""
        self._margin = self._column = min(margin, (self._columns - 1) // 2)
        self._out.append(" " * self._margin)
        self._open, self._spaces = True, 0

    def _put(self, ready: list[str]) -> None:
        """Escreve a palavra que abre a linha, partindo-a onde a linha acaba."""
        for cluster in ready:
            width = _cluster_width(cluster)
            if self._column + width > self._columns and self._column > self._margin:
                self._next_line()
            self._out.append(cluster)
            self._column += width
