"""O corte de um texto em português em frases.

Um ponto só termina a frase quando o que vem antes não é abreviatura, inicial ou número de lista, e
o que vem depois pode começar outra. Na dúvida, não corta: uma frase longa custa menos que meia
frase. Nada se perde: as frases, juntas, dão o texto de volta, salvo o espaço em branco.

As abreviaturas têm três comportamentos:

    antes de nome     "Sr. Silva", "Av. Brasil"    nunca terminam a frase
    antes de número   "p. 12", "séc. XX"           só terminam antes de palavra com maiúscula
    finais            "etc.", "Ltda.", "a.C."      terminam antes de maiúscula
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_BEFORE_NAMES = frozenset("""
    sr sra srs sras srta dr dra drs dras prof profa profª prof.ª profs dom fr frei pe padre
    sto sta eng engª enga arq adv exmo exma ilmo ilma mons rev ten cel gen gal sgt maj cb
    des dep sen gov pres embx av r al pça pc rod trav tv jd vl cond bl apto st mr mrs ms
    v.exa v.sa v.s s.exa ss.exas nª sra.ª obs ex p.ex cf vs fl fls
    """.split())
_BEFORE_NUMBERS = frozenset("""
    n nº n.º n° nr nro num núm art arts inc par § p pp pág págs pag pags vol vols v cap caps fig
    figs tab quadro séc sécs sec tel tels telefax cel ramal ed tít lin lote cód op cit item it
    aprox ca c máx mín min km jan fev mar abr mai jun jul ago set out nov dez
    """.split())
_MAY_END = frozenset("etc cia ltda s.a s/a a.c d.c a.m p.m jr bros ltd co hab".split())
#: Palavras que começam frases e não nomes: depois de uma letra só ("vitamina C. Depois"), cortam.
_STARTERS = frozenset("""
    a o as os um uma uns umas no na nos nas em num numa de do da dos das ao aos à às por pelo pela
    para com sem sob sobre entre até após desde e mas ou se que quem qual quando onde como porque
    pois porém contudo entretanto todavia assim então logo depois antes hoje ontem amanhã agora já
    ainda também não nunca sempre só ele ela eles elas eu nós você vocês isso isto aquilo esse essa
    esses essas este esta estes estas aquele aquela aqueles aquelas seu sua seus suas cada todo toda
    todos todas outro outra outros outras há foi é era são eram será dessa desse deste desta nesse
    nessa neste nesta além apesar embora enquanto durante segundo conforme caso muito muitos muitas
    """.split())
_STOP = re.compile(r"(?<![.!?…])[.!?…]+[\"'”’»)\]*_]*(?=\s)")
_BREAK = re.compile(r"\n\s*")
_LAST_WORD = re.compile(r"[\wªº°§][\wªº°§./]*$")
_OPENERS = "\"'“‘«([{¿¡*_"
_DASHES = "-–—−•·▪‣*"
_LETTER_ITEM = re.compile(r"(?:[A-Za-z]|[ivxIVX]{1,4}|\d{1,3})[)\]]\s")
_ITEM_LINE = re.compile(
    r"(?:[-–—•·▪‣*]\s|(?:\d{1,3}(?:\.\d{1,3})*[.)]|[A-Za-z]\)|[IVXivx]+(?:[.)]|\s[-–—]))\s)"
)
_ENUMERATOR = re.compile(r"[\"'“«(]*(?:\d{1,3}(?:\.\d{1,3})*[ºª°]?|[A-Za-z]|[IVXLivxl]{1,5})\.")
_LEGAL_HEAD = re.compile(
    r"(?:art|artigo|§|par[áa]grafo|cl[áa]usula|inciso|item|cap[íi]tulo|se[çc][ãa]o|anexo)\.?\s*"
    r"(?:\d+|[IVXLC]+|[úu]nic[oa])[ºª°]?(?:-[A-Z])?\.",
    re.IGNORECASE,
)
_DOTTED = re.compile(r"(?:\w\.)+\w")
_ROMAN = re.compile(r"[IVXLCDM]+")
_SPEAKER = re.compile(r"[A-ZÀ-Ý][\wÀ-ÿ]{1,20}( [A-ZÀ-Ý][\wÀ-ÿ]{1,20})?: ")
_CONTINUES = re.compile(
    r"(?:[,;–—(-]|\b(?:d[aeo]s?|e|ou|a|o|as|os|em|n[ao]s?|para|por|com|que|um|uma))$"
)
_SHORT_LINE = 0.6  # parte da linha mais longa abaixo da qual uma linha terminou de propósito


def split_sentences(text: str) -> list[str]:
    """As frases de um texto, na ordem, sem espaço nas pontas.

    Uma linha em branco sempre separa; uma quebra simples separa quando a linha seguinte é um item
    de lista, uma fala ou um novo começo, e senão vale como espaço.

    Args:
        text: qualquer texto.

    Returns:
        As frases; lista vazia se só há espaço em branco.
    """
    sentences: list[str] = []
    for start, end in _lines(text):
        sentences.extend(_split_line(text[start:end]))
    return sentences


def _lines(text: str) -> Iterator[tuple[int, int]]:
    """Os limites dos pedaços que uma quebra de linha separa de vez."""
    if "\n" not in text:
        yield 0, len(text)
        return
    widest = max(map(len, text.split("\n")))
    start = line_start = 0
    for match in _BREAK.finditer(text):
        line = text[line_start : match.start()].strip()
        if match[0].count("\n") > 1 or _ends_line(
            line, text[match.end() : match.end() + 80], widest
        ):
            yield start, match.start()
            start = match.end()
        line_start = match.end()
    yield start, len(text)


def _ends_line(line: str, following: str, widest: int) -> bool:
    """Se a quebra depois de ``line`` separa frases."""
    if _ITEM_LINE.match(following) or _SPEAKER.match(following):
        return True
    if not following[:1].isupper() or _CONTINUES.search(line):
        return False
    return len(line) < _SHORT_LINE * widest


def _split_line(text: str) -> Iterator[str]:
    start = 0
    for match in _STOP.finditer(text):
        if _ends_sentence(text, start, match):
            yield text[start : match.end()].strip()
            start = match.end()
    if rest := text[start:].strip():
        yield rest


def _ends_sentence(text: str, start: int, match: re.Match[str]) -> bool:
    """Se a pontuação de ``match`` termina a frase que começou em ``start``."""
    following = text[match.end() : match.end() + 60].lstrip()
    if not following:
        return True
    if not _may_begin(following):
        return False
    if match[0].rstrip("\"'”’»)]*_") != ".":
        return True
    head = text[start : match.start() + 1].lstrip() if match.start() - start < 40 else ""
    if head and (_ENUMERATOR.fullmatch(head) or _LEGAL_HEAD.fullmatch(head)):
        return False
    word = _LAST_WORD.search(text, max(start, match.start() - 40), match.start())
    closed = len(match[0]) > 1  # ponto e aspas ou parêntese: '"etc."'
    return word is None or _word_may_end(word[0], following, closed, first=word[0] == head[:-1])


def _may_begin(following: str) -> bool:
    """Se uma frase pode começar assim; um travessão e uma minúscula continuam a fala."""
    if _LETTER_ITEM.match(following):
        return True
    body = following.lstrip(_OPENERS + _DASHES + " \t\n")
    return not body[:1].islower()


def _word_may_end(word: str, following: str, closed: bool, first: bool) -> bool:
    """Se ``word`` seguida de ponto pode terminar uma frase antes de ``following``."""
    key = word.casefold().strip(".")
    body = following.lstrip(_OPENERS + " ")
    next_word = re.match(r"\w*", body)[0] if body else ""  # type: ignore[index]
    if key in _MAY_END:
        return not (key == "cia" and next_word.casefold() in ("ltda", "s"))
    if closed:
        return True
    if key in _BEFORE_NAMES:
        return False
    if key in _BEFORE_NUMBERS and not (len(word) == 1 and word.isupper()):
        return word[0].islower() and not first and _is_plain_capital(next_word, body)
    if len(word) == 1 and word.isupper() or _DOTTED.fullmatch(word) and word[0].isalpha():
        return next_word.casefold() in _STARTERS and body[len(next_word) :][:1] != "."
    return True


def _is_plain_capital(word: str, body: str) -> bool:
    """Uma palavra com maiúscula que não é número romano, letra solta nem abreviatura."""
    if word.casefold() in _STARTERS:
        return body[len(word) :][:1] != "."
    return len(word) > 1 and word[0].isupper() and not _ROMAN.fullmatch(word)
