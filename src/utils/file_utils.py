"""A leitura de dados: de padrões como ``"dados/**/*.txt"`` a listas de ``Document``.

``load_data_from_patterns`` é a porta de entrada: expande os padrões, lê cada arquivo pelo leitor da
sua extensão (``readers``), reconhece o formato do texto (``text_formats``), limpa e segmenta
(``text_cleaning``), tira as repetições e divide em treino e validação (``dedup``). Um arquivo ou
registro ruim nunca para o resto: vai para o ``LoadReport``.
"""

import glob
import json
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, overload

from src.utils.dedup import deduplicate as drop_duplicates
from src.utils.dedup import split_documents
from src.utils.documents import Document, LoadReport
from src.utils.encodings import Encoding, detect_encoding, open_text
from src.utils.errors import DataError, NoDataError
from src.utils.readers import iter_csv, iter_jsonl, read_docx, read_html, read_json, read_pdf
from src.utils.text_cleaning import SEGMENT_CHARS, clean_text, iter_segments
from src.utils.text_formats import (
    EXPECTED_RECORD,
    RecordError,
    detect_format,
    document_from_record,
    independent_exchanges,
    parse_dialogue,
    parse_instructions,
    parse_knowledge,
)

__all__ = [
    "SEGMENT_CHARS",
    "SUPPORTED_EXTENSIONS",
    "Document",
    "LoadReport",
    "checked_extension",
    "expand_patterns",
    "iter_records",
    "too_large",
    "iter_file_documents",
    "load_data_from_patterns",
    "load_documents",
    "load_file_based_on_extension",
    "reading",
    "split_documents",
]

logger = logging.getLogger(__name__)

PathLike = str | os.PathLike[str]
SUPPORTED_EXTENSIONS = (".txt", ".csv", ".json", ".jsonl", ".pdf", ".docx", ".html", ".htm")
_TEXT_READERS = {".pdf": read_pdf, ".docx": read_docx, ".html": read_html, ".htm": read_html}
_MEGABYTE = 1 << 20
_LISTED_REASONS = 10


# --- Um arquivo --------------------------------------------------------------------------------


def load_file_based_on_extension(path: PathLike) -> str:
    """O conteúdo de um arquivo como um texto só, já limpo.

    Registros de CSV, JSON e JSONL saem em sequência; os que não têm um formato de treino conhecido
    saem com as suas próprias chaves.

    Args:
        path: um .txt, .csv, .json, .jsonl, .pdf, .docx, .html ou .htm.

    Erros:
        DataError: o arquivo não existe, não é do tipo que a extensão diz, está danificado ou
            protegido, ou a extensão não é uma das aceitas.
    """
    path = Path(path)
    with reading(path):
        extension = checked_extension(path)
        if extension in _TEXT_READERS:
            return clean_text(_TEXT_READERS[extension](path))
        if extension == ".txt":
            with open_text(path, detect_encoding(path)) as stream:
                return clean_text(stream.read())
        return _records_text(path, extension)


def _records_text(path: Path, extension: str) -> str:
    """Os registros de um arquivo em sequência; linhas em CSV, blocos em JSON e JSONL."""
    report = LoadReport()
    texts = [_record_text(value, extension) for _, value in iter_records(path, report)]
    for source, reason in report.bad_records:
        logger.warning("%s: %s", source, reason)
    if report.bad_records and not texts:
        source, reason = report.bad_records[0]
        raise DataError(f"'{path}': nenhum registro pôde ser lido; o primeiro, {source}: {reason}.")
    return clean_text(("\n" if extension == ".csv" else "\n\n").join(texts))


def _record_text(value: Any, extension: str) -> str:
    if extension == ".csv":
        return _row_text(value)
    try:
        return document_from_record(value, "", "", LoadReport())
    except RecordError:  # não é um formato de treino, mas ainda é conteúdo
        return json.dumps(value, ensure_ascii=False, indent=2)


def _row_text(row: dict[str, str]) -> str:
    """Uma linha de tabela como "coluna: valor; coluna: valor"; células vazias ficam de fora."""
    return "; ".join(f"{name}: {value.strip()}" for name, value in row.items() if value.strip())


def iter_file_documents(
    path: PathLike,
    *,
    report: LoadReport | None = None,
    max_file_mb: float = 200.0,
    segment: bool = True,
) -> Iterator[Document]:
    """Os documentos de um arquivo, em fluxo: um .txt, .jsonl ou .csv nunca é carregado inteiro.

    Args:
        path: o arquivo; aparece em ``source`` como foi dado.
        report: onde anotar o que foi lido e o que ficou de fora; sem ele, os problemas vão para o
            log.
        max_file_mb: acima deste tamanho, em MB de 2^20 bytes, o arquivo é pulado.
        segment: corta um texto puro em documentos de até ``SEGMENT_CHARS`` caracteres; ``False`` o
            deixa inteiro, e na memória.

    Erros:
        DataError: como em ``load_file_based_on_extension``.
    """
    path, own_report = Path(path), report is None
    report = LoadReport() if report is None else report
    with reading(path):
        extension = checked_extension(path)
        if too_large(path, max_file_mb, report):
            documents: Iterable[Document] = ()
        elif extension == ".txt":
            documents = _text_documents(path, report, segment)
        elif extension in _TEXT_READERS:
            documents = _plain_documents([_TEXT_READERS[extension](path)], path, segment)
        else:
            documents = _record_documents(path, extension, report)
        yield from documents
    if own_report:
        for warning in report.warnings():
            logger.warning("%s", warning)


def too_large(path: Path, max_file_mb: float, report: LoadReport) -> bool:
    """Se o arquivo passa do tamanho; anota no relato que foi lido ou por que não foi."""
    size_mb = path.stat().st_size / _MEGABYTE
    if size_mb <= max_file_mb:
        report.files_read.append(str(path))
        return False
    reason = f"tem {size_mb:.1f} MB; o máximo é {max_file_mb:g} MB. Aumente-o com --max_file_mb"
    report.files_skipped.append((str(path), reason))
    return True


def _text_documents(path: Path, report: LoadReport, segment: bool) -> Iterator[Document]:
    """Um .txt: diálogo, instrução, conhecimento ou texto puro, conforme a primeira linha."""
    encoding = detect_encoding(path)
    _note_encoding(path, encoding, report)
    with open_text(path, encoding) as stream:
        pieces = iter(partial(stream.readline, 1 << 16), "")  # uma linha pode ser o arquivo todo
        kind = detect_format(next((line for line in pieces if line.strip("\ufeff \t\n")), ""))
    independent = kind == "dialogue" and _note_independent(path, encoding, report)
    with open_text(path, encoding) as stream:
        if kind == "dialogue":
            yield from parse_dialogue(stream, str(path), report, independent=independent)
        elif kind == "instruction":
            yield from parse_instructions(stream, str(path), report)
        elif kind == "knowledge":
            yield from parse_knowledge(stream, str(path), report)
        else:
            parts = iter(partial(stream.read, 1 << 16), "")
            yield from _plain_documents(parts, path, segment)


def _note_encoding(path: Path, encoding: Encoding, report: LoadReport) -> None:
    if encoding.errors == "strict":
        return
    text = f"não está em UTF-8; lido como {encoding.name}"
    if encoding.name.startswith("utf-8"):
        text = "tem alguns bytes que não são UTF-8; eles foram retirados"
    report.notices.append((str(path), text))


def _note_independent(path: Path, encoding: Encoding, report: LoadReport) -> bool:
    with open_text(path, encoding) as stream:
        count = independent_exchanges(stream)
    if count:
        text = (
            f"{count} blocos sem separação entre conversas foram lidos como conversas "
            "independentes. Se forem uma conversa só, retire as linhas em branco entre as falas"
        )
        report.notices.append((str(path), text))
    return bool(count)


def _plain_documents(parts: Iterable[str], path: Path, segment: bool) -> Iterator[Document]:
    texts = iter_segments(parts) if segment else [clean_text("".join(parts))]
    for text in texts:
        if text:
            yield Document(text, str(path))


def _record_documents(path: Path, extension: str, report: LoadReport) -> Iterator[Document]:
    for source, value in iter_records(path, report):
        try:
            yield document_from_record(value, source, str(path), report)
        except RecordError as error:
            if extension == ".csv" and EXPECTED_RECORD in str(error):  # uma tabela qualquer
                yield Document(clean_text(_row_text(value)), source, file=str(path))
            else:
                report.bad_record(source, str(error))


def iter_records(path: Path, report: LoadReport) -> Iterator[tuple[str, Any]]:
    """Os pares (procedência, registro) de um .json, .jsonl ou .csv; problemas vão ao relato."""
    extension = path.suffix.lower()
    encoding = detect_encoding(path)
    _note_encoding(path, encoding, report)
    if extension == ".json":
        value = read_json(path, encoding)
        if not isinstance(value, list):
            yield str(path), value
            return
        yield from ((f"{path}#{number}", item) for number, item in enumerate(value, 1))
        return
    read = iter_jsonl if extension == ".jsonl" else iter_csv
    for number, record in read(path, encoding, report.bad_record):
        yield f"{path}:{number}", record


def checked_extension(path: Path) -> str:
    """A extensão, em minúsculas, de um arquivo comum que existe.

    Erros:
        DataError: não existe, é uma pasta, não é um arquivo comum ou a extensão não é aceita.
    """
    if not path.exists():
        raise DataError(f"'{path}': o arquivo não existe. Confira o nome e a pasta.")
    if not path.is_file():
        what = "uma pasta" if path.is_dir() else "um arquivo especial"
        raise DataError(f"'{path}': é {what}; esperado um arquivo.")
    extension = path.suffix.lower()
    if extension not in SUPPORTED_EXTENSIONS:
        raise DataError(
            f"'{path}': a extensão '{path.suffix}' não é aceita; as aceitas são "
            f"{', '.join(SUPPORTED_EXTENSIONS)}. Converta o arquivo para uma delas."
        )
    return extension


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Traduz um ``OSError`` de leitura em ``DataError``."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"'{path}': não foi possível ler o arquivo ({error.strerror or error}). Confira a "
            "permissão e o disco."
        ) from error


# --- Muitos arquivos ---------------------------------------------------------------------------


def expand_patterns(patterns: PathLike | Iterable[PathLike]) -> list[Path]:
    """Os arquivos de uma lista de padrões, em ordem e sem repetir.

    Um padrão é um arquivo, uma pasta (todos os arquivos de extensão aceita abaixo dela) ou um glob
    com ``*``, ``?``, ``[...]`` e ``**``; ``~`` é a pasta da pessoa.

    Erros:
        NoDataError: um padrão não encontra nada; diz qual e onde se procurou.
    """
    names = [patterns] if isinstance(patterns, (str, os.PathLike)) else list(patterns)
    if not names:
        raise NoDataError("Nenhum arquivo de dados foi indicado; esperado ao menos um padrão.")
    unique: dict[str, Path] = {}
    for path in sorted(path for name in names for path in _matches(os.fspath(name))):
        unique.setdefault(os.path.realpath(path), path)
    return list(unique.values())


def _matches(pattern: str) -> list[Path]:
    expanded = os.path.expanduser(pattern)
    if os.path.isdir(expanded):
        found = [path for path in Path(expanded).rglob("*") if _belongs(path, Path(expanded))]
    elif os.path.lexists(expanded):  # um nome com colchetes também é só um nome
        found = [Path(expanded)]
    else:
        found = [Path(name) for name in glob.glob(expanded, recursive=True)]
        found = [path for path in found if not path.is_dir()]
    if not found:
        raise _nothing_found(pattern, expanded)
    return found


def _belongs(path: Path, folder: Path) -> bool:
    """De uma pasta, só o que se sabe ler e não está oculto."""
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return path.suffix.lower() in SUPPORTED_EXTENSIONS and not hidden and path.is_file()


def _nothing_found(pattern: str, expanded: str) -> NoDataError:
    if os.path.isdir(expanded):
        return NoDataError(
            f"A pasta '{pattern}' não tem nenhum arquivo que se possa ler; as extensões aceitas "
            f"são {', '.join(SUPPORTED_EXTENSIONS)}."
        )
    folder = Path(expanded).parent if expanded else Path()
    while glob.has_magic(str(folder)):
        folder = folder.parent
    problem = "" if os.path.isdir(folder) else f" (a pasta '{folder}' não existe)"
    start = folder if folder.is_absolute() else Path.cwd()
    return NoDataError(
        f"O padrão '{pattern}' não encontrou nenhum arquivo, procurado a partir de '{start}'"
        f"{problem}. Confira o nome e a pasta; padrões com * vão entre aspas na linha de comando."
    )


def load_documents(
    patterns: PathLike | Iterable[PathLike],
    *,
    max_file_mb: float = 200.0,
    deduplicate: bool = True,
    segment: bool = True,
) -> tuple[list[Document], LoadReport]:
    """Lê tudo o que os padrões encontram.

    Args:
        patterns: ver ``expand_patterns``.
        max_file_mb: tamanho máximo de cada arquivo, em MB.
        deduplicate: tira textos idênticos e quase idênticos, ficando com o primeiro.
        segment: corta textos puros longos; ver ``iter_file_documents``.

    Returns:
        (documentos, relato)

    Erros:
        NoDataError: um padrão não encontra nada, ou os arquivos não têm texto aproveitável.
        DataError: nenhum arquivo pôde ser lido; diz o motivo de cada um.
    """
    report = LoadReport()
    return _load(patterns, report, max_file_mb, deduplicate, segment), report


def _load(
    patterns: PathLike | Iterable[PathLike],
    report: LoadReport,
    max_file_mb: float,
    deduplicate: bool,
    segment: bool = True,
) -> list[Document]:
    documents: list[Document] = []
    for path in expand_patterns(patterns):
        documents.extend(_load_one(path, report, max_file_mb, segment))
    _require_documents(documents, report)
    if deduplicate:
        documents, report.exact_duplicates, report.near_duplicates = drop_duplicates(documents)
    report.count(documents)
    return documents


def _load_one(path: Path, report: LoadReport, max_file_mb: float, segment: bool) -> list[Document]:
    """Os documentos de um arquivo; se não puder ser lido, nenhum, e o motivo vai para o relato."""
    read_before = len(report.files_read)
    try:
        found = iter_file_documents(path, report=report, max_file_mb=max_file_mb, segment=segment)
        documents = list(found)
    except DataError as error:
        del report.files_read[read_before:]
        report.files_skipped.append((str(path), str(error).removeprefix(f"'{path}': ")))
        return []
    if not documents and len(report.files_read) > read_before:
        report.notices.append((str(path), "nenhum texto aproveitável"))
    return documents


def _require_documents(documents: list[Document], report: LoadReport) -> None:
    if documents:
        return
    problems = report.files_skipped + report.bad_records
    listed = "".join(f"\n  {where}: {reason}" for where, reason in problems[:_LISTED_REASONS])
    if len(problems) > _LISTED_REASONS:
        listed += f"\n  ... e mais {len(problems) - _LISTED_REASONS}."
    if not report.files_read:
        raise DataError(f"Nenhum arquivo de dados pôde ser lido:{listed}")
    raise NoDataError(
        f"Nenhum texto aproveitável em {', '.join(report.files_read[:_LISTED_REASONS])}; esperado "
        f"texto, diálogos ou registros (ver 'Preparação de Dados' no README.md).{listed}"
    )


@overload
def load_data_from_patterns(
    patterns: PathLike | Iterable[PathLike],
    auto_split: Literal[True] = True,
    *,
    valid_fraction: float = ...,
    seed: int = ...,
    max_file_mb: float = ...,
    report: LoadReport | None = ...,
) -> tuple[list[Document], list[Document]]: ...


@overload
def load_data_from_patterns(
    patterns: PathLike | Iterable[PathLike],
    auto_split: Literal[False],
    *,
    valid_fraction: float = ...,
    seed: int = ...,
    max_file_mb: float = ...,
    report: LoadReport | None = ...,
) -> list[Document]: ...


def load_data_from_patterns(
    patterns: PathLike | Iterable[PathLike],
    auto_split: bool = True,
    *,
    valid_fraction: float = 0.1,
    seed: int = 42,
    max_file_mb: float = 200.0,
    report: LoadReport | None = None,
) -> tuple[list[Document], list[Document]] | list[Document]:
    """Lê os dados dos padrões e os divide em treino e validação.

    O resumo vai para o log: problemas como WARNING, totais como INFO.

    Args:
        patterns: um padrão ou uma lista deles; ver ``expand_patterns``.
        auto_split: com ``False``, devolve uma lista só.
        valid_fraction: parte reservada à validação, de 0 a menos de 1.
        seed: semente da divisão; a mesma semente e os mesmos dados dão a mesma divisão.
        max_file_mb: tamanho máximo de cada arquivo, em MB.
        report: um relato a preencher, para quem quiser mais que o log.

    Returns:
        (treino, validação), ou a lista de todos os documentos com ``auto_split=False``.

    Erros:
        NoDataError, DataError: como em ``load_documents``.
        ConfigError: ``valid_fraction`` fora de [0, 1).
    """
    report = LoadReport() if report is None else report
    documents = _load(patterns, report, max_file_mb, deduplicate=True)
    for line in report.warnings():
        logger.warning("%s", line)
    for line in report.totals():
        logger.info("%s", line)
    if not auto_split:
        return documents
    return split_documents(documents, valid_fraction, seed, already_unique=True)
