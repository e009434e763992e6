"""Um documento do Word em blocos: títulos pelo estilo, itens, tabelas e notas, na ordem do texto.

O XML é percorrido aqui, e não pelos objetos do python-docx, que deixam de fora o texto inserido com
controle de alterações, os controles de conteúdo e as caixas de texto. O texto apagado com controle
de alterações (``w:delText``) fica de fora.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile
from typing import Any

from src.retrieval.text_blocks import ITEM, heading_level, table_lines
from src.retrieval.types import Block
from src.utils.text_cleaning import clean_text

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_BOX = f"{_W}txbxContent"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_STYLE_LEVEL = re.compile(r"(?:heading|t[íi]tulo|cabe[çc]alho)\s*(\d)$", re.IGNORECASE)
_SPECIAL = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "-"}
_NOTES = ("footnotes", "endnotes")


def docx_blocks(document: Any) -> tuple[str, list[Block]]:
    """O título das propriedades (``""`` se falta) e os blocos de um documento do python-docx."""
    reader = _Reader(document)
    blocks = list(reader.blocks(document.element.body))
    blocks.extend(_notes(document))
    return (document.core_properties.title or "").strip(), blocks


class _Reader:
    """Percorre o corpo; sabe que estilos são títulos e que estilos são listas."""

    def __init__(self, document: Any) -> None:
        self.levels: dict[str, int] = {}
        self.lists: set[str] = set()
        for style in document.styles:
            name = style.name or ""
            if match := _STYLE_LEVEL.search(name):
                self.levels[style.style_id] = int(match[1])
            elif name.casefold() in ("title", "título"):
                self.levels[style.style_id] = 1
            elif name.casefold().startswith(("list", "lista")):
                self.lists.add(style.style_id)

    def blocks(self, container: Any) -> Iterator[Block]:
        """Os blocos de um elemento; o que só envolve outros (``w:sdt``, ``w:ins``) é aberto."""
        stack = list(reversed(list(container)))
        while stack:
            node = stack.pop()
            if node.tag == f"{_W}p":
                yield from self._paragraph(node)
            elif node.tag == f"{_W}tbl":
                yield from self._table(node)
            elif node.tag in (f"{_W}del", f"{_W}moveFrom", _FALLBACK):
                continue
            elif isinstance(node.tag, str):
                stack.extend(reversed(list(node)))

    def _paragraph(self, node: Any) -> Iterator[Block]:
        text = _text(node)
        style = _value(node, "pPr", "pStyle")
        level = self.levels.get(style, 0) or self._outline(node)
        if text and level and len(text) <= 300:
            yield Block(" ".join(text.split()), "heading", None, level)
        elif text:
            listed = style in self.lists or node.find(f"{_W}pPr/{_W}numPr") is not None
            has_mark = bool(ITEM.match(text))
            if listed and not has_mark:
                text = f"- {text}"
            declared = 0 if listed or has_mark or "\n" in text else heading_level(text)
            kind = "heading" if declared else "list" if listed or has_mark else "paragraph"
            yield Block(text, kind, None, declared)
        for box in node.iter(_BOX):
            between = takewhile(lambda parent: parent is not node, box.iterancestors())
            if not any(parent.tag in (_FALLBACK, _BOX) for parent in between):
                yield from self.blocks(box)

    def _outline(self, node: Any) -> int:
        value = _value(node, "pPr", "outlineLvl")
        return int(value) + 1 if value.isdecimal() and int(value) < 9 else 0

    def _table(self, table: Any) -> Iterator[Block]:
        rows = [row for row in table.iter(f"{_W}tr") if _owner(row) is table]
        cells = [[_cell(cell) for cell in _cells(row)] for row in rows]
        if not any(any(row) for row in cells):
            return
        if max(map(len, cells)) == 1:  # uma tabela de uma coluna é uma moldura
            for row in rows:
                for cell in _cells(row):
                    yield from self.blocks(cell)
            return
        for line in table_lines(cells, _has_header(rows, cells)):
            yield Block(line, "table")


def _text(paragraph: Any) -> str:
    """O texto de um parágrafo, sem o das caixas de texto que ele ancora."""
    parts: list[str] = []
    stack = list(reversed(list(paragraph)))
    while stack:
        node = stack.pop()
        if node.tag == f"{_W}t":
            parts.append(node.text or "")
        elif node.tag in _SPECIAL:
            parts.append(_SPECIAL[node.tag])
        elif node.tag not in (_BOX, f"{_W}moveFrom", f"{_W}pPr", _FALLBACK):
            stack.extend(reversed(list(node)))
    return clean_text("".join(parts))


def _value(node: Any, *path: str) -> str:
    found = node.find("/".join(f"{_W}{name}" for name in path))
    return "" if found is None else found.get(f"{_W}val") or ""


def _owner(row: Any) -> Any:
    return next(row.iterancestors(f"{_W}tbl"), None)


def _cells(row: Any) -> list[Any]:
    return [cell for cell in row.iter(f"{_W}tc") if next(cell.iterancestors(f"{_W}tr")) is row]


def _cell(cell: Any) -> str:
    """O texto de uma célula, com o das tabelas dentro dela, numa linha só."""
    texts = (_text(paragraph) for paragraph in cell.iter(f"{_W}p"))
    return " ".join(" ".join(text.split()) for text in texts if text)


def _has_header(rows: list[Any], cells: list[list[str]]) -> bool:
    """A primeira linha é cabeçalho: está marcada assim, ou tem só nomes curtos e distintos."""
    if len(rows) < 2:
        return False
    if rows[0].find(f"{_W}trPr/{_W}tblHeader") is not None:
        return True
    first = cells[0]
    named = all(cell and len(cell) <= 40 and not cell[0].isdigit() for cell in first)
    return named and len(set(first)) == len(first) > 1 and _is_bold(rows[0])


def _is_bold(row: Any) -> bool:
    runs = [run for run in row.iter(f"{_W}r") if run.find(f"{_W}t") is not None]
    return bool(runs) and all(run.find(f"{_W}rPr/{_W}b") is not None for run in runs)


def _notes(document: Any) -> Iterator[Block]:
    """As notas de rodapé e de fim, depois do texto."""
    from lxml import etree

    for relation in document.part.rels.values():
        if relation.is_external or relation.reltype.rsplit("/", 1)[-1] not in _NOTES:
            continue
        parser = etree.XMLParser(resolve_entities=False, no_network=True)
        for note in etree.fromstring(relation.target_part.blob, parser):
            if note.get(f"{_W}type") in (None, "normal"):
                text = " ".join(filter(None, map(_text, note.iter(f"{_W}p"))))
                if text:
                    yield Block(text, "paragraph")
