"""De um arquivo a documentos em blocos, prontos para serem cortados em trechos.

Um .pdf, .docx, .html ou texto puro é um documento; nos formatos de registros (conhecimento,
instruções, diálogos, JSON, JSONL e CSV) cada registro é um, citado como "arquivo:linha" ou
"arquivo#3". O que não se aproveita vai para o ``ReadReport``, com o motivo.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from src.retrieval.docx_blocks import docx_blocks
from src.retrieval.html_blocks import html_blocks
from src.retrieval.pdf_blocks import PdfReading, with_pdfminer, with_pypdf
from src.retrieval.text_blocks import MAX_TITLE_CHARS, text_blocks, title_of
from src.retrieval.types import Block, SourceDocument
from src.utils.documents import ROLE_LABELS, Document, LoadReport
from src.utils.errors import DataError
from src.utils.file_utils import checked_extension, iter_file_documents, iter_records, reading
from src.utils.numbers import counted, grouped
from src.utils.readers import first_pdf_reading, read_docx_with, read_html_source
from src.utils.text_cleaning import clean_text
from src.utils.text_formats import EXPECTED_RECORD, RecordError, document_from_record

logger = logging.getLogger(__name__)

TITLE_KEYS = ("título", "titulo", "title")
_MEGABYTE = 1 << 20
_MAX_TITLE = 200
_EMPTY_SHARE = 0.2  # parte das páginas sem texto a partir da qual se avisa


@dataclass(frozen=True)
class ReadLimits:
    """Até onde se lê um arquivo.

    Atributos:
        max_file_mb: o tamanho, em MB de 2^20 bytes; acima dele o arquivo é recusado.
        max_pages: páginas de um PDF; as demais ficam de fora, com aviso.
        max_chars: caracteres extraídos; o resto fica de fora, com aviso.
    """

    max_file_mb: float = 200.0
    max_pages: int = 5000
    max_chars: int = 20_000_000


@dataclass
class ReadReport(LoadReport):
    """O relato da leitura de um arquivo, com as páginas lidas."""

    pages: int = 0


def read_source_documents(path: str | Path, *, max_file_mb: float = 200.0) -> list[SourceDocument]:
    """Os documentos de um arquivo; os registros ruins vão para o log.

    Args:
        path: um .txt, .csv, .json, .jsonl, .pdf, .docx, .html ou .htm; aparece em ``source`` e
            ``file`` como foi dado.
        max_file_mb: tamanho máximo, em MB de 2^20 bytes.

    Returns:
        Os documentos, na ordem do arquivo; lista vazia se ele não tem texto.

    Erros:
        DataError: o arquivo não existe, é grande demais, não é do tipo que a extensão diz, está
            danificado ou protegido, ou a extensão não é aceita.
    """
    report = ReadReport()
    documents = list(iter_source_documents(path, report, ReadLimits(max_file_mb)))
    for where, what in report.notices + report.bad_records:
        logger.warning("%s: %s", where, what)
    return documents


def iter_source_documents(
    path: str | Path, report: ReadReport, limits: ReadLimits = ReadLimits()
) -> Iterator[SourceDocument]:
    """Os documentos de um arquivo, em fluxo: um .jsonl ou .csv nunca é carregado inteiro.

    Um documento que está sozinho no arquivo cita-se só pelo arquivo, sem linha nem registro.

    Args:
        report: recebe os registros ruins, os avisos e as páginas lidas.

    Erros:
        DataError: como em ``read_source_documents``.
    """
    documents = _iter_documents(Path(path), report, limits)
    first, second = next(documents, None), next(documents, None)
    if first is not None and second is None:
        first.source = first.file
    yield from (document for document in (first, second) if document is not None)
    yield from documents


def _iter_documents(path: Path, report: ReadReport, limits: ReadLimits) -> Iterator[SourceDocument]:
    with reading(path):
        extension = checked_extension(path)
        _check_size(path, limits)
        read = _READERS.get(extension, _records)
        characters = 0
        for document in read(path, report, limits):
            document.blocks = [block for block in document.blocks if block.text.strip()]
            if not document.blocks:
                continue
            room = limits.max_chars - characters
            characters += sum(len(block.text) for block in document.blocks)
            if characters > limits.max_chars:
                report.notices.append((str(path), _cut_notice(limits)))
                document.blocks = _first_characters(document.blocks, room)
                if document.blocks:
                    yield document
                return
            yield document


def _check_size(path: Path, limits: ReadLimits) -> None:
    size_mb = path.stat().st_size / _MEGABYTE
    if size_mb > limits.max_file_mb:
        raise DataError(
            f"'{path}': tem {size_mb:.1f} MB; o máximo é {limits.max_file_mb:g} MB. Aumente-o com "
            "--max_file_mb ou divida o arquivo."
        )


def _cut_notice(limits: ReadLimits) -> str:
    return (
        f"o texto passa de {grouped(limits.max_chars)} caracteres; o resto ficou de fora. Divida o "
        "arquivo para indexar tudo"
    )


def _first_characters(blocks: list[Block], room: int) -> list[Block]:
    """Os blocos inteiros que cabem em ``room`` caracteres; do primeiro, ao menos um pedaço."""
    kept: list[Block] = []
    for block in blocks:
        if len(block.text) > room:
            if not kept and room > 0:
                kept.append(Block(block.text[:room], block.kind, block.page, block.level))
            break
        kept.append(block)
        room -= len(block.text)
    return kept


# --- Um leitor por formato ---------------------------------------------------------------------


def _pdf(path: Path, report: ReadReport, limits: ReadLimits) -> Iterator[SourceDocument]:
    pages, chars = limits.max_pages, limits.max_chars
    extractors = (
        ("pdfminer.six", partial(with_pdfminer, max_pages=pages, max_chars=chars)),
        ("pypdf", partial(with_pypdf, max_pages=pages, max_chars=chars)),
    )
    result = first_pdf_reading(path, extractors, _has_blocks)
    report.pages += result.pages
    report.notices.extend((str(path), notice) for notice in _page_notices(result, limits))
    yield SourceDocument(str(path), str(path), result.blocks, title_of(result.blocks))


def _page_notices(result: PdfReading, limits: ReadLimits) -> Iterator[str]:
    """O que ficou de fora de um PDF: as páginas além do limite e as que são só imagem."""
    total = counted(result.total, "página", "páginas")
    if result.pages < result.total and result.pages >= limits.max_pages:
        yield (
            f"tem {total}; só as {grouped(result.pages)} primeiras foram lidas. Divida o arquivo "
            "para indexar tudo"
        )
    if result.empty > max(1, _EMPTY_SHARE * result.pages):
        yield (
            f"{grouped(result.empty)} de {grouped(result.pages)} páginas não têm texto; se foram "
            "digitalizadas como imagem, passe o arquivo por um OCR (o ocrmypdf, por exemplo)"
        )


def _has_blocks(result: PdfReading) -> bool:
    return bool(result.blocks)


def _docx(path: Path, report: ReadReport, limits: ReadLimits) -> Iterator[SourceDocument]:
    title, blocks = read_docx_with(path, docx_blocks)
    yield SourceDocument(str(path), str(path), blocks, title_of(blocks) or title[:_MAX_TITLE])


def _html(path: Path, report: ReadReport, limits: ReadLimits) -> Iterator[SourceDocument]:
    title, blocks = html_blocks(read_html_source(path))
    yield SourceDocument(str(path), str(path), blocks, title[:_MAX_TITLE] or title_of(blocks))


def _text(path: Path, report: ReadReport, limits: ReadLimits) -> Iterator[SourceDocument]:
    """Um .txt: diálogo, instrução, conhecimento ou texto puro, conforme a primeira linha."""
    huge = path.stat().st_size > 4 * limits.max_chars
    found = iter_file_documents(path, report=report, max_file_mb=limits.max_file_mb, segment=huge)
    plain: list[str] = []
    characters = 0
    for document in found:
        if document.source != str(path):
            yield from_document(document)
        elif characters <= limits.max_chars:
            plain.append(document)
            characters += len(document)
    if plain:
        yield from_document(Document("\n\n".join(plain), str(path)))


def _records(path: Path, report: ReadReport, limits: ReadLimits) -> Iterator[SourceDocument]:
    is_table = path.suffix.lower() == ".csv"
    for source, value in iter_records(path, report):
        try:
            yield from_document(document_from_record(value, source, str(path), report))
        except RecordError as error:
            unknown = isinstance(value, Mapping) and EXPECTED_RECORD in str(error)
            if unknown and (document := from_fields(value, source, str(path), is_table)):
                yield document
            else:
                report.bad_record(source, str(error))


_READERS = {".pdf": _pdf, ".docx": _docx, ".html": _html, ".htm": _html, ".txt": _text}


# --- De registros a documentos -----------------------------------------------------------------


def from_document(document: Document) -> SourceDocument:
    """Um ``Document`` de ``src.utils`` (texto puro, conhecimento ou conversa) em blocos.

    Uma só pergunta com a sua resposta vira a resposta com a pergunta por título; nas conversas,
    cada fala é um bloco, com o nome de quem fala.
    """
    metadata = dict(document.metadata)
    if document.persona:
        metadata.setdefault("persona", document.persona)
    if document.messages is not None:
        title, blocks = _conversation(document.messages)
        title = metadata_title(metadata) or title
    else:
        title = metadata_title(metadata)
        text = str(document)
        if title and text.startswith(f"{title}\n"):
            text = text[len(title) :].lstrip()
        blocks = text_blocks(text)
        title = title or title_of(blocks)
    return SourceDocument(document.source, document.file, blocks, title[:_MAX_TITLE], metadata)


def metadata_title(metadata: Mapping[str, Any]) -> str:
    """O título que os metadados trazem (``título``, ``titulo`` ou ``title``); ``""`` se nenhum."""
    for key, value in metadata.items():
        if str(key).casefold() in TITLE_KEYS and isinstance(value, str) and value.strip():
            return " ".join(value.split())
    return ""


def _conversation(messages: list[dict[str, str]]) -> tuple[str, list[Block]]:
    if [message["role"] for message in messages] == ["user", "assistant"]:
        question, answer = (message["content"] for message in messages)
        if len(question) <= MAX_TITLE_CHARS and "\n" not in question:
            return question, text_blocks(answer)
        return "", [*_turn("", question), *_turn("", answer)]
    blocks: list[Block] = []
    for message in messages:
        blocks.extend(_turn(f"{ROLE_LABELS[message['role']]}: ", message["content"]))
    return "", blocks


def _turn(label: str, content: str) -> list[Block]:
    """Os blocos de uma fala; nada nela é título."""
    parts = text_blocks(content)
    blocks = [Block(part.text, "list" if part.kind == "list" else "paragraph") for part in parts]
    first = Block(label + blocks[0].text, "paragraph") if blocks else Block("")
    return [first, *blocks[1:]]


def from_fields(
    record: Mapping[str, Any], source: str, file: str, is_table: bool
) -> SourceDocument | None:
    """Um registro qualquer como "campo: valor"; ``None`` se todos os campos estão vazios."""
    fields = [(name, clean_text(value)) for name, value in _flatten(record)]
    pairs = [f"{name}: {value}" for name, value in fields if value]
    if not pairs:
        return None
    title = metadata_title(record)
    if is_table:
        return SourceDocument(source, file, [Block("; ".join(pairs), "table")], title)
    return SourceDocument(source, file, [Block(pair, "list") for pair in pairs], title)


def _flatten(value: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Os valores simples de um registro com o caminho até eles ("autor.nome")."""
    if isinstance(value, Mapping) and depth < 20:
        for key, item in value.items():
            yield from _flatten(item, f"{name}.{key}" if name else str(key), depth + 1)
    elif isinstance(value, list) and depth < 20:
        if all(not isinstance(item, (Mapping, list)) for item in value):
            yield name, ", ".join(str(item) for item in value if item is not None)
            return
        for number, item in enumerate(value, 1):
            yield from _flatten(item, f"{name}[{number}]", depth + 1)
    elif value is not None:
        yield name, "sim" if value is True else "não" if value is False else str(value)
