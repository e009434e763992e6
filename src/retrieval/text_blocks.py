"""Texto puro em blocos: títulos, parágrafos e itens de lista.

Linhas quebradas para caber na página são rejuntadas: uma quebra foi forçada quando a primeira
palavra da linha seguinte já não cabia na largura do texto; se cabia, foi proposital. Títulos são
reconhecidos com cautela: um parágrafo tomado por título some do meio do texto citado.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from src.retrieval.types import Block

MAX_TITLE_CHARS = 120
_MARKDOWN = re.compile(r"(#{1,6})\s+(.+?)\s*#*$")
_UNDERLINE = re.compile(r"(={3,}|-{3,})$")
_STRUCTURE = re.compile(
    r"(livro|parte|t[íi]tulo|cap[íi]tulo|anexo|ap[êe]ndice|se[çc][ãa]o|subse[çc][ãa]o|"
    r"cl[áa]usula|artigo|art\.)\s+(?:[IVXLCDM]+|\d+[ºª°]?|[A-Z]|[úu]nic[oa]|"
    r"primeir[oa]|segund[oa]|terceir[oa]|quart[oa]|quint[oa])(?=$|[\s.:–—-])",
    re.IGNORECASE,
)
_STRUCTURE_LEVELS = {"l": 1, "p": 1, "t": 1, "c": 2, "a": 2, "s": 3}
_NUMBERED = re.compile(r"(\d{1,2}(?:\.\d{1,2})*)\.?\s+(?=[A-ZÀ-Ý])(.+)")
_BULLET = r"[-–—•·▪◦‣*]\s+"
ITEM = re.compile(
    rf"(?:{_BULLET}|\d{{1,3}}[.)ºª]\s+|[a-zA-Z]\)\s+|[ivxIVX]{{1,5}}(?:[.)]|\s[-–—])\s+)(?=\S)"
)
_SPEAKER = re.compile(r"[A-ZÀ-Ý][\wÀ-ÿ]{1,20}(?: [\wÀ-ÿ]{1,20})?:(?:\s|$)")
_DATE = re.compile(r"\d{4}$|\d{1,2}/\d{1,2}")
_HYPHEN_END = re.compile(r"([\wÀ-ÿ]+)[-\u2010\u00ad]$")
_CLITICS = frozenset("se lhe lhes me te vos lo la los las no na nos nas".split())
_COMPOUND_HEADS = frozenset("""
    guarda bem mal pós pré pró recém ex vice segunda terça quarta quinta sexta além aquém sem
    porta arco couve meio beija conta busca quebra para primeiro primeira salva tira norte sul
    """.split())
_VERB_END = re.compile(r"(?:[aeiou]r|sse|va|ria|ou|eu|iu|am|em|ndo|[áêô])$")
_WRAP_RANGE = (30, 160)  # larguras em que faz sentido falar em linhas quebradas à mão
_FENCE = re.compile(r"```[\w+-]*$")
_CLOSING = ".!?…:;,"


def text_blocks(text: str, page: int | None = None) -> list[Block]:
    """Os blocos de um texto já limpo (``clean_text``); ``page`` vai para todos."""
    return blocks_of_lines(text.split("\n"), page)


def blocks_of_lines(lines: Sequence[str], page: int | None = None) -> list[Block]:
    """Os blocos de uma lista de linhas; linhas em branco separam parágrafos.

    O que está entre ```` ``` ```` (código, em Markdown) fica como está, num bloco só.
    """
    blocks: list[Block] = []
    for is_code, part in _fenced(lines):
        if is_code:
            blocks += [Block("\n".join(part), "paragraph", page)] if any(part) else []
        else:
            blocks += _prose_blocks([line.strip() for line in part], page)
    return blocks


def _fenced(lines: Sequence[str]) -> Iterator[tuple[bool, Sequence[str]]]:
    """O texto em partes: (é código?, linhas). Uma cerca que não fecha é texto comum."""
    marks = [number for number, line in enumerate(lines) if _FENCE.match(line.strip())]
    start = 0
    for opening, closing in zip(marks[::2], marks[1::2]):
        yield False, lines[start:opening]
        yield True, lines[opening + 1 : closing]
        start = closing + 1
    yield False, lines[start:]


def _prose_blocks(lines: Sequence[str], page: int | None) -> list[Block]:
    width = _wrap_width(lines)
    known = _hyphenated(lines)
    groups = [part for group in _groups(lines) for part in _table_parts(group)]
    paragraphs = [
        group if group[0].startswith("|") else _rejoin(group, width, known) for group in groups
    ]
    shouting = _mostly_capitals(lines)
    blocks: list[Block] = []
    for index, paragraph in enumerate(paragraphs):
        following = paragraphs[index + 1] if index + 1 < len(paragraphs) else []
        blocks.extend(_paragraph_blocks(paragraph, following, page, shouting))
    return _with_names(blocks)


def _with_names(blocks: list[Block]) -> list[Block]:
    """Um "CAPÍTULO II" seguido do nome em maiúsculas, na linha de baixo, vira um título só."""
    named: list[Block] = []
    for block in blocks:
        last = named[-1] if named else None
        if last and last.kind == "heading" and _STRUCTURE.fullmatch(last.text):
            is_name = _in_capitals(block.text) and len(block.text) <= 80
            if is_name and not _STRUCTURE.match(block.text):
                text = f"{last.text} - {block.text}"
                named[-1] = Block(text, "heading", last.page, last.level)
                continue
        named.append(block)
    return named


def _groups(lines: Iterable[str]) -> Iterator[list[str]]:
    """As linhas seguidas, sem branco no meio."""
    group: list[str] = []
    for line in lines:
        if line:
            group.append(line)
        elif group:
            yield group
            group = []
    if group:
        yield group


def _table_parts(group: list[str]) -> Iterator[list[str]]:
    """As linhas de tabela ("| a | b |") à parte das de texto."""
    for _, part in groupby(group, key=lambda line: len(line) > 2 and line[0] == line[-1] == "|"):
        yield list(part)


def _table_rows(lines: Sequence[str], page: int | None) -> Iterator[Block]:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    rules = [all(re.fullmatch(r":?-*:?", cell) for cell in row) for row in rows]
    is_header = len(rows) > 2 and rules[1] and not rules[0]
    kept = [row for row, is_rule in zip(rows, rules) if not is_rule]
    return (Block(text, "table", page) for text in table_lines(kept, is_header))


def table_lines(rows: list[list[str]], is_header: bool) -> list[str]:
    """As linhas de uma tabela como texto.

    Com cabeçalho, "coluna: valor; coluna: valor"; sem ele, ou onde as colunas não batem, as células
    separadas por " | ". Uma tabela que só tem o cabeçalho o mostra.
    """
    if not is_header or all(len(row) != len(rows[0]) for row in rows[1:]):
        return [line for row in rows if (line := " | ".join(cell for cell in row if cell))]
    header, lines = rows[0], []
    for row in rows[1:]:
        if len(row) == len(header):
            pairs = [(name, value) for name, value in zip(header, row) if value]
            lines.append("; ".join(f"{name}: {value}" if name else value for name, value in pairs))
        else:
            lines.append(" | ".join(cell for cell in row if cell))
    return [line for line in lines if line]


# --- Linhas quebradas --------------------------------------------------------------------------


def _wrap_width(lines: Sequence[str]) -> int:
    """A largura em que o texto foi quebrado; 0 se as linhas parecem inteiras."""
    lengths = sorted(len(line) for line in lines if line)
    if not lengths:
        return 0
    width = lengths[int(0.98 * (len(lengths) - 1))]
    pairs = [(first, second) for first, second in zip(lines, lines[1:]) if first and second]
    full = sum(_fills(first, second, width) for first, second in pairs)
    wrapped = _WRAP_RANGE[0] <= width <= _WRAP_RANGE[1] and full >= 0.5 * len(pairs)
    return width if wrapped else 0


def _fills(line: str, following: str, width: int) -> bool:
    """Se a primeira palavra de ``following`` não cabia mais no fim de ``line``."""
    return width - len(line) < len(following.split(maxsplit=1)[0]) + 1 + width // 12


def _hyphenated(lines: Sequence[str]) -> frozenset[str]:
    """As palavras com hífen no meio de uma linha: são compostas de verdade."""
    words = (word for line in lines for word in re.findall(r"\w+-\w[\w-]*", line))
    return frozenset(word.casefold() for word in words)


def _rejoin(lines: Sequence[str], width: int, known: frozenset[str]) -> list[str]:
    """As linhas de um parágrafo sem as quebras forçadas."""
    joined: list[list[str]] = [[lines[0]]]
    for previous, line in zip(lines, lines[1:]):
        if not _forced(previous, line, width):
            joined.append([line])
        else:  # só a última linha interessa: juntar o parágrafo a cada vez seria quadrático
            joined[-1][-1:] = [join_lines(previous, line, known)[: -len(line)], line]
    return ["".join(parts) for parts in joined]


def _forced(previous: str, line: str, width: int) -> bool:
    """Se a quebra entre duas linhas só existe porque a de cima encheu."""
    if _MARKDOWN.match(previous) or _MARKDOWN.match(line) or _UNDERLINE.match(line):
        return False
    if ITEM.match(line) or _SPEAKER.match(line):
        return False
    if line[0].islower() and previous[-1] not in ".!?…":
        return True
    return bool(width) and _fills(previous, line, width)


def join_lines(first: str, second: str, known: frozenset[str] = frozenset()) -> str:
    """Duas linhas de um parágrafo numa só; a palavra partida por hífen é refeita.

    Args:
        known: palavras compostas, em minúsculas, que o documento tem inteiras noutro lugar.
    """
    match = _HYPHEN_END.search(first)
    if not match or not second[:1].isalpha():
        return f"{first} {second}"
    tail = re.match(r"[\w]+", second)
    if second[0].isupper() or _keeps_hyphen(match[1], tail[0] if tail else "", known):
        return first + second
    return first[:-1] + second


def _keeps_hyphen(head: str, tail: str, known: frozenset[str]) -> bool:
    """ "guarda-chuva" e "disse-lhe" têm hífen; "cami-nho" foi só partida."""
    head, tail = head.casefold(), tail.casefold()
    if f"{head}-{tail}" in known or head in _COMPOUND_HEADS or head.isdigit():
        return True
    return tail in _CLITICS and bool(_VERB_END.search(head)) and len(head) > 2


# --- Títulos e itens ---------------------------------------------------------------------------


def _mostly_capitals(lines: Sequence[str]) -> bool:
    """Um texto todo em maiúsculas, onde elas não distinguem títulos."""
    filled = [line for line in lines if line]
    return sum(map(_in_capitals, filled)) > max(3, 0.4 * len(filled))


def _in_capitals(line: str) -> bool:
    return line == line.upper() and len(re.findall(r"[A-ZÀ-Ý]", line)) >= 4


def _paragraph_blocks(
    lines: list[str], following: Sequence[str], page: int | None, shouting: bool
) -> Iterator[Block]:
    """Os blocos de um parágrafo (linhas com quebras propositais)."""
    if len(lines[0]) > 2 and lines[0][0] == lines[0][-1] == "|":
        yield from _table_rows(lines, page)
        return
    if len(lines) == 2 and _UNDERLINE.match(lines[1]) and len(lines[0]) <= MAX_TITLE_CHARS:
        yield Block(lines[0], "heading", page, 1 if lines[1][0] == "=" else 2)
        return
    for position, line in enumerate(lines):
        rest = lines[position + 1 :] or ([] if position else following)
        level = heading_level(line)
        if not level and position == 0:
            level = _plain_heading(line, lines[1:], rest, shouting)
        if level:
            marked = _MARKDOWN.match(line)
            yield Block(marked[2] if marked else line, "heading", page, level)
        elif not re.fullmatch(r"[-_=*~]{3,}", line):
            yield Block(line, "list" if ITEM.match(line) else "paragraph", page)


def heading_level(line: str) -> int:
    """O nível de um título que se declara (``# ...``, "CAPÍTULO II"); 0 se não é um."""
    if match := _MARKDOWN.match(line):
        return len(match[1])
    if len(line) > 80 or line[-1] in ".;,:":
        return 0
    match = _STRUCTURE.match(line)
    if match and (_in_capitals(line) or line[0].isupper() and _titled(line[match.end() :])):
        return _STRUCTURE_LEVELS[match[1][0].lower()]
    return 0


def _titled(rest: str) -> bool:
    """O que vem depois de "Capítulo II" num título: nada, ou um nome depois de um sinal."""
    return not rest or bool(re.match(r"\s*[.:–—-]\s*\S", rest)) or rest.strip()[:1].isupper()


def _plain_heading(line: str, rest: Sequence[str], following: Sequence[str], shouting: bool) -> int:
    """O nível de um título que só a forma denuncia; 0 se não é um."""
    if len(line) > 80 or line[-1] in _CLOSING or _DATE.search(line) or not following:
        return 0
    if _SPEAKER.match(line) or line.startswith(("-", "–", "—", "•", "*", "|")) or "|" in line:
        return 0
    if (match := _NUMBERED.match(line)) and not rest:
        return match[1].count(".") + 1 if not ITEM.match(following[0]) else 0
    if ITEM.match(line):
        return 0
    if _in_capitals(line) and not shouting:
        return 1
    short = len(line) <= 70 and len(line.split()) <= 10 and line[0].isupper()
    body = following[0]
    return 2 if short and len(body) > max(80, 1.5 * len(line)) and body[-1] in ".!?…:" else 0


def title_of(blocks: Sequence[Block]) -> str:
    """O título que os blocos dão; ``""`` se nenhum.

    É o primeiro bloco, se é título ou uma linha curta, ou um título logo depois dele.
    """
    if len(blocks) > 1 and blocks[0].kind == "paragraph":
        first = blocks[0].text
        if len(first) <= 80 and first[-1] not in _CLOSING and not _SPEAKER.match(first):
            return first
    for block in blocks[:3]:
        if block.kind == "heading":
            return block.text[:MAX_TITLE_CHARS].strip()
    return ""
