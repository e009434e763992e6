"""Uma página HTML em blocos: títulos, parágrafos, itens e linhas de tabela, na ordem da página.

A página é percorrida com uma pilha, sem recursão: páginas estragadas chegam a milhares de níveis.
Fica de fora o que não se vê e o que só serve para navegar (``nav``, botões, formulários de busca).
"""

from __future__ import annotations

import re
import warnings
from typing import Any

from src.retrieval.text_blocks import ITEM, table_lines
from src.retrieval.types import Block
from src.utils.text_cleaning import clean_text

_SKIPPED = frozenset("""
    script style noscript template iframe object canvas svg head nav button select input textarea
    audio video math datalist
    """.split())
_BLOCK_TAGS = frozenset("""
    address article aside blockquote body caption dd details dialog div dl dt fieldset figcaption
    figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main ol option p pre
    section summary table tbody td tfoot th thead title tr ul center
    """.split())
_LAYOUT_TAGS = frozenset("table h1 h2 h3 h4 ul ol pre form".split())
_MAX_CELL = 300  # caracteres: uma célula maior é texto corrido
_HEADING = re.compile(r"h[1-6]$")
_CLOSE = object()


def html_blocks(html: str) -> tuple[str, list[Block]]:
    """O ``<title>`` de uma página (``""`` se falta) e os seus blocos."""
    from bs4 import BeautifulSoup

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # XHTML, e textos curtos que parecem nomes de arquivo
        soup = BeautifulSoup(html, "html.parser")
    title = soup.title.get_text(" ", strip=True) if soup.title else ""
    walker = _Walker()
    walker.walk(soup)
    return " ".join(clean_text(title).split()), walker.blocks


class _Walker:
    """O percurso de uma página: junta texto solto e fecha um bloco em cada elemento de bloco."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.text: list[str] = []
        self.kind, self.level = "paragraph", 0
        self.marker = ""
        self.verbatim = 0
        self.counters: list[int | None] = []  # o próximo número de cada <ol>; None num <ul>

    def walk(self, root: Any) -> None:
        stack: list[tuple[Any, Any]] = [(root, None)]
        while stack:
            node, mark = stack.pop()
            if mark is _CLOSE:
                self._close(node)
            elif getattr(node, "name", None) is None:
                self._string(node)
            elif node.name == "br":
                self.text.append("\n")
            elif node.name == "table" and (rows := _table_rows(node)) is not None:
                self._table(rows)
            elif not _hidden(node):
                self._open(node)
                stack.append((node, _CLOSE))
                stack.extend((child, None) for child in reversed(node.contents))
        self._flush()

    def _string(self, node: Any) -> None:
        from bs4.element import PreformattedString

        if isinstance(node, PreformattedString):  # comentário, DOCTYPE, CDATA
            return
        self.text.append(str(node) if self.verbatim else re.sub(r"\s+", " ", str(node)))

    def _open(self, node: Any) -> None:
        name = node.name
        if name in _BLOCK_TAGS and not (name == "dd" and self._after_term()):
            self._flush()
        if name in ("ol", "ul", "menu"):
            self.counters.append(_start(node) if name == "ol" else None)
        elif name in ("li", "dt", "dd"):
            self.kind = "list"
            self.marker = self._marker() if name == "li" else ""
        elif _HEADING.match(name):
            self.kind, self.level = "heading", int(name[1])
        elif name == "pre":
            self.verbatim += 1

    def _after_term(self) -> bool:
        """Um ``<dd>`` logo depois do seu ``<dt>``: os dois formam um item, "termo: definição"."""
        term = "".join(self.text).strip()
        if not term or self.kind != "list":
            return False
        self.text = [f"{term}: "]
        return True

    def _marker(self) -> str:
        if not self.counters or self.counters[-1] is None:
            return "- "
        self.counters[-1] += 1
        return f"{self.counters[-1] - 1}. "

    def _close(self, node: Any) -> None:
        name = node.name
        if name in _BLOCK_TAGS and name != "dt":
            self._flush()
            self.kind, self.level, self.marker = "paragraph", 0, ""
        if name in ("ol", "ul", "menu") and self.counters:
            self.counters.pop()
        elif name == "pre":
            self.verbatim -= 1

    def _flush(self) -> None:
        """Fecha o bloco em curso, se tem texto."""
        raw, self.text = "".join(self.text), []
        text = clean_text("\n".join(line.strip() for line in raw.split("\n")))
        if not text:
            return
        if self.kind == "heading":
            text = " ".join(text.split())
        elif self.marker and not ITEM.match(text):
            text = self.marker + text
        self.blocks.append(Block(text, self.kind, None, self.level))
        self.kind, self.level, self.marker = "paragraph", 0, ""

    def _table(self, rows: list[str]) -> None:
        self._flush()
        self.blocks.extend(Block(row, "table") for row in rows)


def _hidden(tag: Any) -> bool:
    if not hasattr(tag, "get") or tag.name == "[document]":
        return False
    style = "".join(str(tag.get("style", "")).lower().split())
    return tag.name in _SKIPPED or tag.has_attr("hidden") or "display:none" in style


def _start(node: Any) -> int:
    value = str(node.get("start", "1"))
    return int(value) if value.isdecimal() else 1


def _table_rows(table: Any) -> list[str] | None:
    """Uma linha de texto por linha de tabela; ``None`` se ela só arruma a página."""
    if _hidden(table):
        return []
    if _arranges(table):
        return None
    rows = [row for row in _table_cells(table) if row]
    cells = [[clean_text(" ".join("".join(parts).split())) for _, parts in row] for row in rows]
    longest = max((len(text) for row in cells for text in row), default=0)
    if max(map(len, rows), default=0) < 2 or longest > _MAX_CELL:
        return None
    is_header = len(rows) > 1 and all(name == "th" for name, _ in rows[0])
    caption = clean_text(table.caption.get_text(" ", strip=True)) if table.caption else ""
    return ([caption] if caption else []) + table_lines(cells, is_header)


def _table_cells(table: Any) -> list[list[tuple[str, list[str]]]]:
    """As células de cada linha, como (elemento, textos).

    Vale a ordem em que começam: em muitas páginas ``</td>`` e ``</tr>`` faltam, e o analisador põe
    uma célula dentro da outra.
    """
    from bs4.element import PreformattedString

    rows: list[list[tuple[str, list[str]]]] = [[]]
    stack = list(reversed(table.contents))
    while stack:
        node = stack.pop()
        name = getattr(node, "name", None)
        if name is None:
            if isinstance(node, PreformattedString):
                continue
            if not rows[-1] and node.strip():  # texto solto, fora de qualquer célula
                rows[-1].append(("td", []))
            if rows[-1]:
                rows[-1][-1][1].append(str(node))
            continue
        if name == "tr":
            rows.append([])
        elif name in ("td", "th"):
            rows[-1].append((name, []))
        elif rows[-1] and name in _BLOCK_TAGS | {"br"}:
            rows[-1][-1][1].append(" ")
        if name != "caption" and not _hidden(node):
            stack.extend(reversed(node.contents))
    return rows


def _arranges(table: Any) -> bool:
    """Se dentro da tabela há blocos de página, como títulos, listas e outras tabelas.

    Para no primeiro: o ``find`` do BeautifulSoup percorre tudo, e tabelas se aninham aos milhares.
    """
    stack = list(table.contents)
    while stack:
        node = stack.pop()
        if getattr(node, "name", None) in _LAYOUT_TAGS:
            return True
        stack.extend(getattr(node, "contents", ()))
    return False
