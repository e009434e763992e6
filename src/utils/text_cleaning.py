"""Limpeza básica e segmentação de textos.

``clean_text`` é idempotente: limpar duas vezes dá o mesmo que limpar uma. ``iter_segments`` limpa e
corta em fluxo, sem nunca ter o texto inteiro na memória, e nada se perde: os segmentos, juntos, dão
o texto limpo de volta, salvo o espaço em branco nos cortes.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator

from src.config.text import without_accents  # noqa: F401  (faz parte deste módulo)

SEGMENT_CHARS = 8000  # caracteres por documento, no máximo, quando um texto puro é cortado
_BLOCK_CHARS = 1 << 16  # caracteres lidos antes de cada limpeza, na segmentação em fluxo

_LINE_BREAKS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
# Cc e Cf (menos \n, \t e U+200D), surrogates soltos e caracteres de substituição.
_INVALID = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e"
    "\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ufffd-\uffff\ud800-\udfff"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0001\U000e0020-\U000e007f]"
)
_EMOJI = (
    "\u203c\u2049\u20e3\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u25a0-\u27bf\u2934\u2935"
    "\u2b00-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
)
_STRAY_JOINER = re.compile(f"(?<![{_EMOJI}\ufe0e\ufe0f])\u200d|\u200d(?![{_EMOJI}])")
_TABS = re.compile(r"\t{2,}")
_BLANKS = re.compile(r"[ \t]{2,}")
_LINE_END = re.compile(r"[ \t]+\n")
_NEWLINES = re.compile(r"\n{3,}")
_SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’»)\]]*(?=\s)")


def clean_text(text: str) -> str:
    """Deixa o texto pronto para treino e busca, sem mudar o que ele diz.

    Unicode em NFC; toda quebra de linha (também de página e de parágrafo) vira ``\\n``; caracteres
    de controle e de formato somem, menos ``\\n``, ``\\t`` e os ligadores dentro de emojis; espaços
    especiais viram espaço comum; sequências de espaços viram um só; não sobra espaço no fim das
    linhas, nem mais de uma linha em branco seguida, nem espaço nas pontas.

    Args:
        text: qualquer texto.

    Returns:
        O texto limpo; ``""`` quando nada sobra.
    """
    return _squeeze(_valid_characters(text)).strip(" \t\n")


def _valid_characters(text: str) -> str:
    """Só caracteres aceitos, em NFC."""
    text = _SPACES.sub(" ", _LINE_BREAKS.sub("\n", text))
    text = unicodedata.normalize("NFC", _INVALID.sub("", text))
    if "\u200d" in text:
        # Tirar um ligador pode juntar uma letra ao seu acento: daí a segunda normalização.
        text = unicodedata.normalize("NFC", _STRAY_JOINER.sub("", text))
    return text


def _squeeze(text: str) -> str:
    """Um espaço, uma tabulação e uma linha em branco de cada vez."""
    text = _BLANKS.sub(" ", _TABS.sub("\t", text))
    return _NEWLINES.sub("\n\n", _LINE_END.sub("\n", text))


def iter_segments(parts: Iterable[str], limit: int = SEGMENT_CHARS) -> Iterator[str]:
    """Limpa e corta, em fluxo, um texto que chega aos pedaços.

    Corta onde houver parágrafo; senão, linha; senão, frase; senão, espaço; e só no meio de uma
    palavra quando ela sozinha passa do limite.

    Args:
        parts: pedaços consecutivos do texto (linhas, por exemplo).
        limit: caracteres por segmento, no máximo.

    Yields:
        Textos limpos, não vazios, com até ``limit`` caracteres.
    """
    buffer = ""
    for block in _blocks(parts):
        buffer = _squeeze(buffer + _valid_characters(block)).lstrip(" \t\n")
        while len(buffer.rstrip(" \t\n")) > limit:
            cut = _cut_position(buffer, limit)
            yield buffer[:cut].rstrip(" \t\n")
            buffer = buffer[cut:].lstrip(" \t\n")
    if buffer.rstrip(" \t\n"):
        yield buffer.rstrip(" \t\n")


def segment_text(text: str, limit: int = SEGMENT_CHARS) -> list[str]:
    """``iter_segments`` para um texto que já está na memória."""
    return list(iter_segments([text], limit))


def _blocks(parts: Iterable[str]) -> Iterator[str]:
    """Junta os pedaços em blocos que terminam em espaço em branco, para que nada se parta."""
    pending: list[str] = []
    size = 0
    slices = (
        part[start : start + _BLOCK_CHARS]
        for part in parts
        for start in range(0, len(part), _BLOCK_CHARS)
    )
    for piece in slices:
        pending.append(piece)
        size += len(piece)
        if size < _BLOCK_CHARS:
            continue
        text = "".join(pending)
        cut = max(text.rfind("\n"), text.rfind(" ")) + 1 or len(text)
        yield text[:cut]
        pending, size = [text[cut:]], len(text) - cut
    yield "".join(pending)


def _cut_position(text: str, limit: int) -> int:
    """Onde terminar o primeiro segmento de um texto maior que ``limit``."""
    floor = max(1, limit // 8)  # um título sozinho não vira segmento
    for boundary in ("\n\n", "\n"):
        position = text.rfind(boundary, floor, limit + len(boundary))
        if position > 0:
            return position
    ends = [match.end() for match in _SENTENCE_END.finditer(text, floor, limit + 1)]
    if ends:
        return ends[-1]
    position = max(text.rfind(" ", 1, limit + 1), text.rfind("\t", 1, limit + 1))
    return position if position > 0 else limit
