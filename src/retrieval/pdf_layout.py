"""A página de um PDF como foi impressa: o que se repete, as tabelas e a ordem de leitura.

A ordem vem do corte XY (Nagy e Seth 1984): a página é dividida em faixas pelos vãos horizontais e
em colunas pelos verticais, até não haver mais vãos; faixas seguidas com as mesmas colunas ficam
juntas, para que cada coluna seja lida inteira. As medidas são em pontos (1/72 de polegada), com o
zero embaixo.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

_EDGE_ROWS = 2  # quantas linhas de cada ponta da página podem ser cabeçalho ou rodapé
_REPEATED = 0.4  # parte das páginas em que uma linha repetida deixa de ser texto
_KEPT = 0.5  # se tirar as repetidas deixasse menos que isto do texto, elas são o texto
_PAGE_WORD = re.compile(
    r"[-–—|\s]*p[áa]g(?:ina|\.)?\s*\d{1,4}(?:\s*(?:/|de|of)\s*\d{1,4})?[-–—|\s]*", re.IGNORECASE
)
_MARKER = re.compile(r"(?:[-–—•·▪◦‣*\uf0b7\uf0a7]|\d{1,3}[.)]|[a-zA-Z][.)])")
_BULLETS = str.maketrans({"\uf0b7": "•", "\uf0a7": "▪"})
_CELL_CHARS = 25  # o tamanho típico de uma célula; linhas de texto em colunas são mais longas
_GUTTER = 8.0  # o menor vão entre colunas


@dataclass
class PdfLine:
    """Uma linha impressa: o texto, a posição e a letra."""

    text: str
    x0: float
    x1: float
    y0: float
    size: float
    bold: bool

    @property
    def y1(self) -> float:
        """O alto da linha."""
        return self.y0 + (self.size or 12.0)


@dataclass
class PdfBox:
    """Linhas que ficam juntas: um parágrafo ou mais, ou, com ``rows``, as linhas de uma tabela."""

    lines: list[PdfLine]
    rows: list[list[PdfLine]] | None = None


@dataclass
class PdfPage:
    """As caixas de uma página, numerada a partir de 1."""

    number: int
    boxes: list[PdfBox]

    @property
    def lines(self) -> list[PdfLine]:
        """Todas as linhas."""
        return [line for box in self.boxes for line in box.lines]


# --- Cabeçalhos e rodapés ----------------------------------------------------------------------


def drop_running_lines(pages: Sequence[PdfPage]) -> None:
    """Tira de cada página o cabeçalho, o rodapé e o número, que se repetem de uma para outra.

    Uma linha se repete se é igual na mesma altura em boa parte das páginas; os números nela podem
    mudar, desde que acompanhem o da página.
    """
    places: dict[tuple[str, int], list[tuple[PdfPage, PdfLine]]] = {}
    unwanted: set[int] = set()
    for page in pages:
        for line in _edge_lines(page):
            shape = re.sub(r"\d+", "#", line.text.casefold())
            places.setdefault((shape, round(line.y0 / 12)), []).append((page, line))
            if _PAGE_WORD.fullmatch(line.text):
                unwanted.add(id(line))
    least = max(2, min(3, len(pages)), _REPEATED * len(pages))
    for found in places.values():
        if len({page.number for page, _ in found}) >= least and _follows_pages(found):
            unwanted.update(id(line) for _, line in found)
    total = sum(len(line.text) for page in pages for line in page.lines)
    lost = sum(len(line.text) for page in pages for line in page.lines if id(line) in unwanted)
    if total - lost >= _KEPT * total:
        for page in pages:
            _remove(page, unwanted)


def _edge_lines(page: PdfPage) -> list[PdfLine]:
    heights = sorted({round(line.y0) for line in page.lines}, reverse=True)
    wanted = {*heights[:_EDGE_ROWS], *heights[-_EDGE_ROWS:]}
    return [line for line in page.lines if round(line.y0) in wanted]


def _follows_pages(found: Sequence[tuple[PdfPage, PdfLine]]) -> bool:
    """Se cada número da linha é sempre o mesmo, ou anda junto com o da página."""
    numbers = [
        (page.number, [int(digits) for digits in re.findall(r"\d+", line.text)])
        for page, line in found
    ]
    for position in range(len(numbers[0][1])):
        values = {values[position] for _, values in numbers}
        offsets = {values[position] - page for page, values in numbers}
        if len(values) > 1 and len(offsets) > 1:
            return False
    return True


def _remove(page: PdfPage, unwanted: set[int]) -> None:
    for box in page.boxes:
        box.lines = [line for line in box.lines if id(line) not in unwanted]
    page.boxes = [box for box in page.boxes if box.lines]


# --- Tabelas -----------------------------------------------------------------------------------


def arrange(page: PdfPage) -> None:
    """Põe as caixas da página na ordem de leitura, com as tabelas reconhecidas."""
    _join_markers(page)
    tables = list(_tables(page))
    for table in tables:
        _remove(page, {id(line) for row in table for line in row})
        page.boxes = [part for box in page.boxes for part in _split(box, table)]
    page.boxes += [PdfBox([line for row in table for line in row], table) for table in tables]
    page.boxes = _in_order(page.boxes)


def _rows(lines: Iterable[PdfLine]) -> list[list[PdfLine]]:
    """As linhas que estão à mesma altura, de cima para baixo e da esquerda para a direita."""
    rows: list[list[PdfLine]] = []
    for line in sorted(lines, key=lambda line: -line.y0):
        if rows and abs(rows[-1][0].y0 - line.y0) < 0.4 * (line.size or 12.0):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [sorted(row, key=lambda line: line.x0) for row in rows]


def _join_markers(page: PdfPage) -> None:
    """Junta o marcador de um item ("•", "1.") ao texto dele, que o pdfminer às vezes separa."""
    joined: set[int] = set()
    for row in _rows(page.lines):
        for marker, line in zip(row, row[1:]):
            if _MARKER.fullmatch(marker.text) and line.x0 - marker.x1 < 40:
                line.text = f"{marker.text.translate(_BULLETS)} {line.text}"
                line.x0 = marker.x0
                joined.add(id(marker))
    _remove(page, joined)


def _tables(page: PdfPage) -> Iterator[list[list[PdfLine]]]:
    """Duas ou mais linhas seguidas com duas ou mais células curtas cada."""
    table: list[list[PdfLine]] = []
    for row in _rows(page.lines):
        short = median(len(line.text) for line in row) <= _CELL_CHARS
        if len(row) > 1 and short and (not table or _next_to(table[-1], row)):
            table.append(row)
            continue
        if len(table) > 1:
            yield table
        table = [row] if len(row) > 1 and short else []
    if len(table) > 1:
        yield table


def _next_to(above: Sequence[PdfLine], row: Sequence[PdfLine]) -> bool:
    """Perto, e com alguma coluna, além da primeira, alinhada à esquerda, ao meio ou à direita."""
    if above[0].y0 - row[0].y0 > 4 * (row[0].size or 12.0):
        return False
    return any(
        min(abs(a.x0 - b.x0), abs(a.x1 - b.x1), abs(a.x0 + a.x1 - b.x0 - b.x1) / 2) < 6
        for a in above[1:]
        for b in row[1:]
    )


def _split(box: PdfBox, table: list[list[PdfLine]]) -> Iterator[PdfBox]:
    """A caixa em duas, se a tabela ficava no meio dela."""
    if box.rows is not None:
        yield box
        return
    middle = table[0][0].y0
    for part in (
        [line for line in box.lines if line.y0 >= middle],
        [line for line in box.lines if line.y0 < middle],
    ):
        if part:
            yield PdfBox(part)


# --- Ordem de leitura --------------------------------------------------------------------------


def _in_order(boxes: list[PdfBox]) -> list[PdfBox]:
    """O corte XY: colunas, se há; senão faixas, as vizinhas de mesmas colunas juntas."""
    if len(boxes) < 2:
        return boxes
    columns = _columns(boxes)
    if len(columns) > 1:
        return [box for column in columns for box in _in_order(column)]
    bands: list[list[PdfBox]] = []
    for band in _bands(boxes):
        if bands and min(len(_columns(part)) for part in (bands[-1], band, bands[-1] + band)) > 1:
            bands[-1] = bands[-1] + band
        else:
            bands.append(band)
    if len(bands) == 1:
        return sorted(boxes, key=lambda box: (-_top(box), _left(box)))
    return [box for band in bands for box in _in_order(band)]


def _columns(boxes: Iterable[PdfBox]) -> list[list[PdfBox]]:
    """As caixas separadas pelos vãos verticais, da esquerda para a direita."""
    columns: list[list[PdfBox]] = []
    edge = 0.0
    for box in sorted(boxes, key=_left):
        if columns and _left(box) < edge + _GUTTER:
            columns[-1].append(box)
        else:
            columns.append([box])
        right = max(line.x1 for line in box.lines)
        edge = right if len(columns[-1]) == 1 else max(edge, right)
    return columns


def _bands(boxes: Iterable[PdfBox]) -> list[list[PdfBox]]:
    """As caixas separadas pelos vãos horizontais, de cima para baixo."""
    bands: list[list[PdfBox]] = []
    edge = 0.0
    for box in sorted(boxes, key=lambda box: -_top(box)):
        bottom = min(line.y0 for line in box.lines)
        if bands and _top(box) > edge + 1:
            bands[-1].append(box)
            edge = min(edge, bottom)
        else:
            bands.append([box])
            edge = bottom
    return bands


def _left(box: PdfBox) -> float:
    return min(line.x0 for line in box.lines)


def _top(box: PdfBox) -> float:
    return max(line.y1 for line in box.lines)
