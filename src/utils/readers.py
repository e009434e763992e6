"""Um leitor por extensão: PDF, DOCX, HTML, JSON, JSONL e CSV.

Os leitores de documentos devolvem texto; os de registros devolvem pares (linha, registro). O que
não se pode ler vira ``DataError``, com o arquivo, o que foi encontrado, o que era esperado e o que
fazer. As bibliotecas são importadas só quando o seu formato aparece.
"""

from __future__ import annotations

import csv
import json
import logging
import re
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from src.utils.encodings import Encoding, detect_encoding, open_text
from src.utils.errors import DataError
from src.utils.text_formats import EXPECTED_RECORD

if TYPE_CHECKING:
    from bs4 import BeautifulSoup

logger = logging.getLogger(__name__)
Content = TypeVar("Content")

CSV_DELIMITERS = (",", ";", "\t", "|")
_CSV_FIELD_CHARS = 1 << 27  # o padrão do Python (128 KB) recusa artigos inteiros numa célula
_SNIFF_ROWS = 20
_MAX_DOCX_BYTES = 1 << 29  # um .docx inteiro depois de descomprimido
_BOMB_BYTES, _BOMB_RATIO = 1 << 25, 200  # acima dos dois, um pacote comprimido não é um documento
_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]+)", re.IGNORECASE)
_INVISIBLE = ("script", "style", "noscript", "template", "iframe", "object", "canvas", "svg")
_CELLS = ["td", "th"]
_HTML_BREAKS = {
    **dict.fromkeys("caption dd div dt figcaption legend li option summary tr".split(), "\n"),
    **dict.fromkeys("address article aside blockquote body details dl fieldset".split(), "\n\n"),
    **dict.fromkeys("figure footer form h1 h2 h3 h4 h5 h6 header hr main nav".split(), "\n\n"),
    **dict.fromkeys("ol p pre section table title ul".split(), "\n\n"),
}


# --- PDF ---------------------------------------------------------------------------------------


def read_pdf(path: Path) -> str:
    """O texto de um PDF: por pdfminer.six e, se este falhar ou nada achar, por pypdf.

    Erros:
        DataError: não é um PDF, está danificado, pede senha ou não tem camada de texto.
    """
    extractors = (("pdfminer.six", _pdfminer_text), ("pypdf", _pypdf_text))
    return first_pdf_reading(path, extractors, str.strip)


def first_pdf_reading(
    path: Path,
    extractors: Iterable[tuple[str, Callable[[Path], Content]]],
    has_text: Callable[[Content], object],
) -> Content:
    """O que dá a primeira biblioteca que acha texto num PDF.

    Args:
        extractors: pares (nome da biblioteca, função que lê o arquivo com ela).
        has_text: se o que uma função devolveu tem algum texto.

    Erros:
        DataError: como em ``read_pdf``.
    """
    head = _head(path, 1024)
    if b"%PDF-" not in head:
        raise DataError(
            f"'{path}': não é um PDF (começa com {head[:12]!r}; esperado '%PDF-'). Confira a "
            "extensão ou exporte o arquivo de novo."
        )
    problems = []
    for name, extract in extractors:
        try:
            with _quiet("pdfminer", "pypdf"), _password_refused(path):
                content = extract(path)
        except (DataError, MemoryError):
            raise
        except Exception as error:  # num PDF danificado, as duas bibliotecas falham de mil modos
            problems.append(f"{name}: {error or type(error).__name__}")
            logger.debug("%s não leu '%s'", name, path, exc_info=True)
            continue
        if has_text(content):
            return content
    raise _unreadable_pdf(path, problems)


def _unreadable_pdf(path: Path, problems: list[str]) -> DataError:
    if len(problems) == 2:
        return DataError(
            f"'{path}': o PDF está danificado ou incompleto ({'; '.join(problems)}). Baixe-o ou "
            "exporte-o de novo."
        )
    return DataError(
        f"'{path}': o PDF está sem camada de texto: provavelmente foi digitalizado como imagem. "
        "Passe-o por um OCR (o ocrmypdf, por exemplo) e tente de novo."
    )


def _head(path: Path, size: int) -> bytes:
    with open(path, "rb") as stream:
        return stream.read(size)


def _pdfminer_text(path: Path) -> str:
    from pdfminer.high_level import extract_text

    return extract_text(str(path))


def _pypdf_text(path: Path) -> str:
    from pypdf import PdfReader

    with open(path, "rb") as stream:
        return "\n\n".join(page.extract_text() for page in PdfReader(stream).pages)


@contextmanager
def _password_refused(path: Path) -> Iterator[None]:
    """Traduz o pedido de senha das duas bibliotecas em ``DataError``."""
    try:
        yield
    except Exception as error:  # pelo nome: importar as duas bibliotecas só para isto custa caro
        if type(error).__name__ in ("PDFPasswordIncorrect", "FileNotDecryptedError"):
            raise _protected(path, "PDF") from error
        raise


def _protected(path: Path, kind: str) -> DataError:
    return DataError(
        f"'{path}': o {kind} está protegido por senha. Salve uma cópia sem senha e use a cópia."
    )


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Cala os avisos internos das bibliotecas: o que importa volta como ``DataError``."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [item.level for item in loggers]
    for item in loggers:
        item.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for item, level in zip(loggers, levels):
            item.setLevel(level)


# --- DOCX --------------------------------------------------------------------------------------


def read_docx(path: Path) -> str:
    """Parágrafos e tabelas de um .docx, na ordem do documento; células separadas por " | ".

    Erros:
        DataError: não é um .docx, está danificado ou pede senha.
    """
    return read_docx_with(path, _docx_text)


def _docx_text(document: Any) -> str:
    return "\n\n".join(block for block in _docx_blocks(document) if block.strip())


def read_docx_with(path: Path, extract: Callable[[Any], Content]) -> Content:
    """O que ``extract`` tira do documento, aberto com o python-docx e conferido antes.

    Erros:
        DataError: como em ``read_docx``.
    """
    check_docx(path)
    from docx import Document as open_docx

    try:
        return extract(open_docx(str(path)))
    except MemoryError:
        raise
    except Exception as error:  # python-docx e lxml falham de muitos modos num XML estragado
        raise DataError(
            f"'{path}': o documento do Word está danificado ({error or type(error).__name__}). "
            "Abra-o no editor, salve-o de novo e repita."
        ) from error


def check_docx(path: Path) -> int:
    """Confere o que é possível antes de entregar o arquivo à biblioteca.

    Returns:
        Os bytes que o pacote todo ocupa descomprimido.

    Erros:
        DataError: não é um .docx, pede senha, ou descomprimido seria grande demais.
    """
    head = _head(path, 1 << 16)
    if head.startswith(_OLE_MAGIC):
        if "EncryptedPackage".encode("utf-16-le") in path.read_bytes():
            raise _protected(path, "documento do Word")
        raise DataError(
            f"'{path}': é um documento do Word no formato antigo (.doc); esperado .docx. "
            "Abra-o no editor e salve-o como .docx."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            archive.getinfo("word/document.xml")
            entries = archive.infolist()
    except zipfile.BadZipFile as error:
        raise DataError(
            f"'{path}': não é um .docx, ou está incompleto (começa com {head[:12]!r}; esperado um "
            "pacote ZIP inteiro). Confira a extensão ou baixe-o de novo."
        ) from error
    except KeyError as error:
        raise DataError(
            f"'{path}': é um ZIP, mas não um documento do Word (falta 'word/document.xml'). "
            "Confira a extensão."
        ) from error
    size = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    if size > _MAX_DOCX_BYTES:
        raise DataError(
            f"'{path}': o conteúdo descomprimido teria {size} bytes; o máximo é {_MAX_DOCX_BYTES}. "
            "Divida o documento."
        )
    if size > _BOMB_BYTES and size > _BOMB_RATIO * packed:
        raise DataError(
            f"'{path}': o pacote cresceria {size // max(1, packed)} vezes ao ser descomprimido "
            f"({size} bytes), como uma bomba de descompressão; o máximo é {_BOMB_RATIO} vezes. Se "
            "o documento é mesmo seu, abra-o no editor e salve-o de novo."
        )
    return size


def _docx_blocks(container: Any) -> Iterator[str]:
    """Um texto por parágrafo e um por tabela (uma linha por linha da tabela)."""
    from docx.table import Table

    for item in container.iter_inner_content():
        if isinstance(item, Table):
            yield "\n".join(_docx_row(row) for row in item.rows)
        else:
            yield item.text


def _docx_row(row: Any) -> str:
    cells, seen = [], set()
    for cell in row.cells:
        if cell._tc in seen:  # uma célula mesclada aparece uma vez por coluna que ocupa
            continue
        seen.add(cell._tc)
        cells.append(
            " ".join(text.replace("\n", " ") for text in _docx_blocks(cell) if text.strip())
        )
    return " | ".join(cells)


# --- HTML --------------------------------------------------------------------------------------


def read_html(path: Path) -> str:
    """O texto visível de uma página, com os blocos em linhas separadas e o título primeiro.

    Erros:
        DataError: o conteúdo é binário ou a codificação não foi reconhecida.
    """
    return html_text(read_html_source(path))


def read_html_source(path: Path) -> str:
    """O código de uma página, na codificação que ela declara ou na que se reconhece.

    Erros:
        DataError: como em ``read_html``.
    """
    declared = _CHARSET.search(_head(path, 4096))
    encoding = detect_encoding(path, declared.group(1).decode("ascii") if declared else None)
    with open_text(path, encoding) as stream:
        return stream.read()


def html_text(html: str) -> str:
    """O texto visível de um trecho de HTML (ver ``read_html``)."""
    from bs4 import BeautifulSoup

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # XHTML, e textos curtos que parecem nomes de arquivo
        soup = BeautifulSoup(html, "html.parser")
    parts, pending = [], ""
    for part, is_break in _visible_parts(soup):
        if is_break:  # de quebras seguidas vale a maior
            pending = max(pending, part, key=len)
        elif part.strip(" ") or not pending:
            parts += [pending, part]
            pending = ""
    lines = [line.strip() for line in "".join(parts).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _visible_parts(soup: BeautifulSoup) -> Iterator[tuple[str, bool]]:
    """Os textos na ordem da página (``False``) e as quebras entre os blocos (``True``).

    Com uma pilha em vez de recursão: páginas estragadas chegam a milhares de níveis.
    """
    from bs4.element import PreformattedString, Tag

    stack: list[tuple[Any, bool]] = [(soup, False)]  # (nó ou quebra, dentro de <pre>)
    while stack:
        node, verbatim = stack.pop()
        if isinstance(node, PreformattedString):  # comentário, DOCTYPE, CDATA
            continue
        if type(node) is str:
            yield node, True
        elif not isinstance(node, Tag):
            yield node if verbatim else re.sub(r"[ \t\r\n\f]+", " ", node), False
        elif node.name == "br":
            yield "\n", False
        elif not _hidden(node):
            if node.name in _CELLS and node.find_previous_sibling(_CELLS):
                yield " | ", False
            mark = _HTML_BREAKS.get(node.name, "")
            children = node("title", recursive=False) if node.name == "head" else node.contents
            verbatim = verbatim or node.name == "pre"
            stack.append((mark, True))
            stack.extend((child, verbatim) for child in reversed(children))
            yield mark, True


def _hidden(tag: Any) -> bool:
    style = "".join(str(tag.get("style", "")).lower().split())
    return tag.name in _INVISIBLE or tag.has_attr("hidden") or "display:none" in style


# --- Registros: JSON, JSONL, CSV ---------------------------------------------------------------


def read_json(path: Path, encoding: Encoding) -> Any:
    """O valor de um arquivo .json.

    Erros:
        DataError: não é JSON válido; diz a linha e o que fazer.
    """
    with open_text(path, encoding) as stream:
        text = stream.read().lstrip("\ufeff")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        advice = "Corrija a linha e repita."
        if error.msg.startswith("Extra data"):
            advice = "Se há um objeto por linha, o formato é JSONL: mude a extensão para .jsonl."
        raise DataError(
            f"'{path}', linha {error.lineno}: não é JSON válido ({error.msg}); esperado um objeto, "
            f"uma lista de objetos ou uma lista de textos. {advice}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"'{path}': o JSON não pôde ser lido ({error}). Simplifique-o.") from error


def iter_jsonl(
    path: Path, encoding: Encoding, bad_record: Callable[[str, str], None]
) -> Iterator[tuple[int, Any]]:
    """Os pares (linha, valor) de um .jsonl; linhas inválidas vão para ``bad_record``.

    Erros:
        DataError: o arquivo é um JSON comum, espalhado por várias linhas.
    """
    first = True
    with open_text(path, encoding) as stream:
        for number, line in enumerate(stream, 1):
            line = line.strip().lstrip("\ufeff")
            if not line:
                continue
            if first and line in ("[", "{"):
                raise DataError(
                    f"'{path}': é JSON comum, espalhado por várias linhas; esperado um objeto por "
                    "linha. Mude a extensão para .json."
                )
            first = False
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                bad_record(f"{path}:{number}", f"não é JSON válido ({error}); {EXPECTED_RECORD}")
            else:
                yield number, value


def iter_csv(
    path: Path, encoding: Encoding, bad_record: Callable[[str, str], None]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Os pares (linha, {coluna: valor}) de um .csv com cabeçalho; o separador é descoberto.

    Erros:
        DataError: o CSV não pôde ser interpretado.
    """
    limit = max(csv.field_size_limit(), _CSV_FIELD_CHARS)
    csv.field_size_limit(limit)  # vale para todo o processo; por isso só aumenta
    try:
        with open_text(path, encoding) as stream:
            delimiter = csv_delimiter(list(islice(stream, _SNIFF_ROWS)))
        with open_text(path, encoding) as stream:
            lines = (line.replace("\0", "") for line in stream)
            yield from _csv_rows(path, csv.reader(lines, delimiter=delimiter), bad_record)
    except csv.Error as error:
        raise DataError(
            f"'{path}': o CSV não pôde ser lido ({error}). Confira as aspas e salve-o de novo."
        ) from error


def _csv_rows(
    path: Path, rows: Any, bad_record: Callable[[str, str], None]
) -> Iterator[tuple[int, dict[str, str]]]:
    header: list[str] | None = None
    previous = 0
    for row in rows:
        line, previous = previous + 1, rows.line_num
        if not any(cell.strip() for cell in row):
            continue
        if header is None:
            header = _column_names(row)
        elif len(row) > len(header) and any(cell.strip() for cell in row[len(header) :]):
            bad_record(
                f"{path}:{line}",
                f"{len(row)} colunas; esperadas {len(header)}, como no cabeçalho. Se o separador "
                "faz parte do texto, ponha o texto entre aspas",
            )
        else:
            yield line, dict(zip(header, row))


def _column_names(row: list[str]) -> list[str]:
    """O cabeçalho com nomes distintos e não vazios, para que nenhuma coluna se perca."""
    names: list[str] = []
    for position, cell in enumerate(row, 1):
        name = cell.strip().lstrip("\ufeff") or f"coluna {position}"
        names.append(f"{name} ({position})" if name in names else name)
    return names


def csv_delimiter(lines: Iterable[str]) -> str:
    """O separador mais coerente com as primeiras linhas; vírgula, se nenhum aparece.

    Vale o que dá a mais linhas o mesmo número de colunas (duas ou mais) do cabeçalho e, no empate,
    o que dá mais colunas.
    """
    sample = [line.replace("\0", "") for line in lines if line.strip()]

    def score(delimiter: str) -> tuple[float, int]:
        widths = [len(row) for row in csv.reader(sample, delimiter=delimiter) if row]
        if not widths or widths[0] < 2:
            return (0.0, 0)
        return (sum(width == widths[0] for width in widths) / len(widths), widths[0])

    return max(CSV_DELIMITERS, key=score)
