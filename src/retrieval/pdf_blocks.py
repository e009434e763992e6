"""Um PDF em blocos, com a página de cada um.

O pdfminer dá as linhas com posição e tamanho de letra; daí saem, na ordem de leitura e sem o que se
repete no alto e no pé das páginas (``pdf_layout``), as tabelas, os parágrafos (linhas de uma mesma
caixa, rejuntadas) e os títulos (letra maior que a do texto). Se o pdfminer falha, o pypdf dá só o
texto, e vale a forma das linhas.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from src.retrieval.pdf_layout import PdfBox, PdfLine, PdfPage, arrange, drop_running_lines
from src.retrieval.text_blocks import ITEM, blocks_of_lines, heading_level, join_lines, table_lines
from src.retrieval.types import Block
from src.utils.text_cleaning import clean_text

_HEADING_RATIO = 1.15
_MAX_HEADING = 160
_MAX_JOINED = 20_000  # caracteres: acima disto não é um parágrafo que atravessa páginas
_LIGATURES = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl"}
_UNMAPPED = re.compile(r"\(cid:\d+\)")
_TERMINAL = re.compile(r"[.!?…:;][\"'”’»)\]]*$")


def pdf_pages(path: Path, max_pages: int, max_chars: int) -> tuple[list[PdfPage], int]:
    """As páginas de um PDF, pelo pdfminer, e quantas ele tem ao todo.

    Para depois de ``max_pages`` páginas ou de ``max_chars`` caracteres.
    """
    from pdfminer.high_level import extract_pages

    total = _page_count(path)
    pages, characters = [], 0
    for number, layout in enumerate(extract_pages(str(path), maxpages=max_pages), 1):
        boxes = [PdfBox(lines) for box in _text_boxes(layout) if (lines := _box_lines(box))]
        pages.append(PdfPage(number, boxes))
        characters += sum(len(line.text) for line in pages[-1].lines)
        if characters > max_chars:
            break
    return pages, max(total, len(pages))


def _page_count(path: Path) -> int:
    from pdfminer.pdfdocument import PDFDocument
    from pdfminer.pdfparser import PDFParser
    from pdfminer.pdftypes import resolve1

    with open(path, "rb") as stream:
        document = PDFDocument(PDFParser(stream))
        count = resolve1(resolve1(document.catalog.get("Pages")) or {}).get("Count", 0)
    return resolve1(count) if isinstance(resolve1(count), int) else 0


def _text_boxes(layout: Any) -> Iterator[Any]:
    from pdfminer.layout import LTFigure, LTTextBox

    for item in layout:
        if isinstance(item, LTTextBox):
            yield item
        elif isinstance(item, LTFigure):
            yield from _text_boxes(item)


def _box_lines(box: Any) -> list[PdfLine]:
    from pdfminer.layout import LTChar, LTTextLine

    lines = []
    for line in box:
        text = _line_text(line.get_text()) if isinstance(line, LTTextLine) else ""
        if not text:
            continue
        chars = [char for char in line if isinstance(char, LTChar) and char.get_text().strip()]
        sizes = [round(char.size, 1) for char in chars] or [0.0]
        bold = bool(chars) and all("bold" in char.fontname.lower() for char in chars)
        lines.append(PdfLine(text, line.x0, line.x1, line.y0, median(sizes), bold))
    return lines


def _line_text(text: str) -> str:
    """O texto de uma linha, com as ligaduras abertas e sem os sinais que a fonte não traduz."""
    return " ".join(clean_text(_UNMAPPED.sub("", text).translate(_LIGATURES)).split())


# --- Parágrafos --------------------------------------------------------------------------------


def page_blocks(pages: Sequence[PdfPage]) -> list[Block]:
    """Os blocos das páginas, com os parágrafos que atravessam páginas e colunas inteiros."""
    lines = [line for page in pages for line in page.lines]
    if not lines:
        return []
    body = _body_size(lines)
    levels = _heading_levels(lines, body)
    known = frozenset(
        word.casefold() for line in lines for word in re.findall(r"\w+-\w[\w-]*", line.text)
    )
    blocks: list[Block] = []
    for page in pages:
        for box in page.boxes:
            if box.rows is not None:
                blocks.extend(_table_blocks(box.rows, page.number))
                continue
            for group in _paragraph_lines(box.lines, body):
                _append(blocks, _block(group, page.number, levels, body, known), known)
    return blocks


def _table_blocks(rows: list[list[PdfLine]], page: int) -> Iterator[Block]:
    """Uma linha de tabela por bloco; a primeira é cabeçalho se só ela está em negrito."""
    first, rest = rows[0], rows[1:]
    is_header = all(cell.bold for cell in first) and not any(cell.bold for cell in rest[0])
    for line in table_lines([[cell.text for cell in row] for row in rows], is_header):
        yield Block(line, "table", page)


def _body_size(lines: Iterable[PdfLine]) -> float:
    """O tamanho de letra em que está a maior parte do texto, em pontos."""
    sizes: Counter[float] = Counter()
    for line in lines:
        sizes[line.size] += len(line.text)
    return sizes.most_common(1)[0][0]


def _heading_levels(lines: Iterable[PdfLine], body: float) -> dict[float, int]:
    """O nível de cada tamanho de letra de título: o maior é 1."""
    sizes = {line.size for line in lines if line.size > _HEADING_RATIO * body}
    return {size: min(level, 6) for level, size in enumerate(sorted(sizes, reverse=True), 1)}


def _paragraph_lines(box: list[PdfLine], body: float) -> Iterator[list[PdfLine]]:
    """As linhas de cada parágrafo de uma caixa."""
    left, right = min(line.x0 for line in box), max(line.x1 for line in box)
    group = [box[0]]
    for previous, line in zip(box, box[1:]):
        if _new_paragraph(previous, line, left, right, body):
            yield group
            group = []
        group.append(line)
    yield group


def _new_paragraph(
    previous: PdfLine, line: PdfLine, left: float, right: float, body: float
) -> bool:
    if (
        abs(previous.size - line.size) > 0.1 * body
        or previous.bold != line.bold
        and (previous.bold or line.bold)
        and not line.text[:1].islower()
    ):
        return True
    if ITEM.match(line.text):
        return True
    if line.text[:1].islower():
        return False
    indented = line.x0 - left > 0.8 * body and previous.x0 - left < 0.4 * body
    first_word = len(line.text.split(maxsplit=1)[0]) * 0.5 * body
    ended_early = right - previous.x1 > first_word + 2 * body
    return ended_early or (indented and bool(_TERMINAL.search(previous.text)))


def _block(
    group: list[PdfLine], page: int, levels: dict[float, int], body: float, known: frozenset[str]
) -> Block:
    text = group[0].text
    for line in group[1:]:
        text = join_lines(text, line.text, known)
    level = _level(group, text, levels, body)
    kind = "heading" if level else "list" if ITEM.match(text) else "paragraph"
    return Block(text, kind, page, level)


def _level(group: list[PdfLine], text: str, levels: dict[float, int], body: float) -> int:
    """O nível de título de um parágrafo: pela letra maior, pelo negrito ou pelo que diz."""
    if len(text) > _MAX_HEADING or not re.search(r"[^\W\d_]", text):
        return 0
    if size_level := levels.get(group[0].size, 0):
        return size_level if text[-1] not in ".;," else 0
    bold = all(line.bold for line in group) and group[0].size >= 0.95 * body
    if bold and len(text) <= 100 and text[-1] not in ".;,:" and not text[0].islower():
        return len(levels) + 1
    return heading_level(text) and len(levels) + heading_level(text)


def _append(blocks: list[Block], block: Block, known: frozenset[str]) -> None:
    """Põe o bloco, ou o junta ao anterior, se é o resto de um parágrafo ou título cortado."""
    previous = blocks[-1] if blocks else None
    if previous and block.kind == "paragraph" and previous.kind in ("paragraph", "list"):
        open_ended = len(previous.text) < _MAX_JOINED and not _TERMINAL.search(previous.text)
        if open_ended and block.text[0].islower():
            text = join_lines(previous.text, block.text, known)
            blocks[-1] = Block(text, previous.kind, previous.page)
            return
    if previous and block.kind == previous.kind == "heading" and block.level == previous.level:
        if block.text[0].islower() and block.page == previous.page:
            text = join_lines(previous.text, block.text, known)
            blocks[-1] = Block(text, "heading", block.page, block.level)
            return
    blocks.append(block)


# --- Sem posição: pypdf ------------------------------------------------------------------------


def pypdf_blocks(texts: Sequence[str]) -> list[Block]:
    """Os blocos do texto corrido de cada página."""
    pages = [
        PdfPage(number, [PdfBox(_bare_lines(lines))] if lines else [])
        for number, lines in enumerate(map(_clean_lines, texts), 1)
    ]
    drop_running_lines(pages)
    blocks: list[Block] = []
    for page in pages:
        lines = [line.text for line in page.lines]
        for block in blocks_of_lines(lines, page.number):
            _append(blocks, block, frozenset())
    return blocks


def _clean_lines(text: str) -> list[str]:
    return clean_text(text.translate(_LIGATURES)).split("\n")


def _bare_lines(texts: Sequence[str]) -> list[PdfLine]:
    """Linhas sem posição: a altura é a ordem, contada da ponta da página mais próxima."""
    half, count = len(texts) // 2, len(texts)
    heights = [1e6 - 12 * n if n < half else 12 * (count - n) for n in range(count)]
    return [PdfLine(text, 0, 0, height, 0, False) for text, height in zip(texts, heights)]


class PdfReading(NamedTuple):
    """O que se tirou de um PDF: os blocos, as páginas lidas, as que ele tem e as sem texto."""

    blocks: list[Block]
    pages: int
    total: int
    empty: int


def with_pdfminer(path: Path, max_pages: int, max_chars: int) -> PdfReading:
    """Lê um PDF com o pdfminer.six (ver ``pdf_pages``)."""
    pages, total = pdf_pages(path, max_pages, max_chars)
    empty = sum(not page.boxes for page in pages)
    drop_running_lines(pages)
    for page in pages:
        arrange(page)
    return PdfReading(page_blocks(pages), len(pages), total, empty)


def with_pypdf(path: Path, max_pages: int, max_chars: int) -> PdfReading:
    """Lê um PDF com o pypdf, com os mesmos limites."""
    from pypdf import PdfReader

    texts, characters = [], 0
    with open(path, "rb") as stream:
        reader = PdfReader(stream)
        total = len(reader.pages)
        for page in reader.pages[:max_pages]:
            texts.append(page.extract_text())
            characters += len(texts[-1])
            if characters > max_chars:
                break
    empty = sum(not text.strip() for text in texts)
    return PdfReading(pypdf_blocks(texts), len(texts), total, empty)
