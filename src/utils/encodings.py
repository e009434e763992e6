"""Em que codificação um arquivo de texto está, e se é mesmo texto.

A ordem: marca de ordem de bytes (BOM); UTF-8, conferido no arquivo inteiro em pedaços; cp1252 (o
Latin-1 do Windows) quando o resultado parece português; e, por último, charset-normalizer.
"""

import codecs
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from src.utils.errors import DataError

_CHUNK_BYTES = 1 << 20
_SAMPLE_BYTES = 1 << 18  # o quanto se olha para adivinhar a codificação
_MAX_NUL_SHARE = 0.001  # fração de bytes nulos acima da qual não é texto
_MAX_CONTROL_SHARE = 0.05
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # antes de UTF-16: começa com os mesmos dois bytes
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SIGNATURES = (
    (b"%PDF-", "um PDF", ".pdf"),
    (b"PK\x03\x04", "um ZIP (talvez um documento do Word)", ".docx"),
    (b"\xd0\xcf\x11\xe0", "um documento antigo do Office, ou protegido por senha", ".docx"),
    (b"\x89PNG", "uma imagem PNG", ""),
    (b"\xff\xd8\xff", "uma imagem JPEG", ""),
    (b"GIF8", "uma imagem GIF", ""),
    (b"\x1f\x8b", "um arquivo comprimido (gzip)", ""),
)
_CONTROL_BYTES = bytes(set(range(32)) - set(b"\t\n\x0b\x0c\r\x1a\x1b"))
# O que um texto em português (e vizinhos) usa fora do ASCII.
_PORTUGUESE = frozenset(
    "áàâãäéèêëíìîïóòôõöúùûüçñÁÀÂÃÄÉÈÊËÍÌÎÏÓÒÔÕÖÚÙÛÜÇÑªº°§«»“”‘’–—…•€£©®·´¿¡\u00a0"
)


@dataclass(frozen=True)
class Encoding:
    """O nome para ``open`` e o que fazer com bytes inválidos ("strict" ou "replace")."""

    name: str
    errors: str = "strict"


def detect_encoding(path: str | os.PathLike, declared: str | None = None) -> Encoding:
    """A codificação de um arquivo de texto.

    Args:
        path: o arquivo; é lido em pedaços, nunca inteiro.
        declared: a codificação que o próprio documento declara (HTML), usada se não for UTF-8.

    Erros:
        DataError: o arquivo é binário, ou a codificação não foi reconhecida.
    """
    with open(path, "rb") as stream:
        head = stream.read(_SAMPLE_BYTES)
    refuse_other_formats(path, head)
    bom = next((name for mark, name in _BOMS if head.startswith(mark)), None)
    if bom in ("utf-16", "utf-32"):
        return Encoding(bom)
    nul_bytes, invalid_at = _scan(path)
    _refuse_binary(path, head, nul_bytes)
    if invalid_at is None:
        return Encoding(bom or "utf-8")
    with open(path, "rb") as stream:
        stream.seek(max(0, invalid_at - _SAMPLE_BYTES // 2))
        sample = stream.read(_SAMPLE_BYTES)
    return _guess(path, sample, bom, declared)


@contextmanager
def open_text(path: str | os.PathLike, encoding: Encoding) -> Iterator[TextIO]:
    """Abre o arquivo como texto, com toda quebra de linha como ``\\n``.

    Erros:
        DataError: bytes que a codificação não admite.
    """
    try:
        with open(path, encoding=encoding.name, errors=encoding.errors) as stream:
            yield stream
    except UnicodeError as error:
        raise DataError(
            f"'{path}': começa como texto em {encoding.name}, mas tem bytes que essa codificação "
            f"não admite ({error}). O arquivo está danificado ou incompleto; salve-o de novo, "
            "de preferência em UTF-8."
        ) from error


def refuse_other_formats(path: str | os.PathLike, head: bytes) -> None:
    """Recusa, pelo que há nos primeiros bytes, o que claramente não é texto.

    Erros:
        DataError: com o que foi encontrado e o que fazer.
    """
    for signature, what, extension in _SIGNATURES:
        if head.startswith(signature):
            advice = f"Mude a extensão para {extension}" if extension else "Converta-o para texto"
            raise DataError(
                f"'{path}': o conteúdo é {what}; esperado texto, pela extensão "
                f"'{os.path.splitext(path)[1]}'. {advice} ou retire-o da lista."
            )


def _scan(path: str | os.PathLike) -> tuple[int, int | None]:
    """Percorre o arquivo: quantos bytes nulos há e onde deixa de ser UTF-8 (``None``: é todo)."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    nul_bytes, position, invalid_at = 0, 0, None
    with open(path, "rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            nul_bytes += chunk.count(0)
            invalid_at = (
                _first_invalid(decoder, chunk, position) if invalid_at is None else invalid_at
            )
            position += len(chunk)
    if invalid_at is None:
        invalid_at = _first_invalid(decoder, b"", position, final=True)
    return nul_bytes, invalid_at


def _first_invalid(
    decoder: codecs.IncrementalDecoder, chunk: bytes, position: int, final: bool = False
) -> int | None:
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError as error:
        return position + error.start
    return None


def _refuse_binary(path: str | os.PathLike, head: bytes, nul_bytes: int) -> None:
    size = os.path.getsize(path)
    controls = len(head) - len(head.translate(None, _CONTROL_BYTES))
    if nul_bytes > 2 and nul_bytes > _MAX_NUL_SHARE * size:
        found = f"{nul_bytes} bytes nulos em {size}"
    elif controls > max(2, _MAX_CONTROL_SHARE * len(head)):
        found = f"{controls} bytes de controle nos primeiros {len(head)}"
    else:
        return
    raise DataError(
        f"'{path}': {found}: parece um arquivo binário (ou UTF-16 sem marca de início); esperado "
        "texto. Se for texto, salve-o em UTF-8; se não for, retire-o da lista."
    )


def _guess(
    path: str | os.PathLike, sample: bytes, bom: str | None, declared: str | None
) -> Encoding:
    """A codificação de uma amostra que não é UTF-8 válido."""
    if bom or _mostly_utf8(sample):
        return Encoding(bom or "utf-8", "replace")
    if declared and (name := _usable(sample, declared)):
        return Encoding(name, "replace")
    if _looks_portuguese(sample):
        return Encoding("cp1252", "replace")
    from charset_normalizer import from_bytes

    best = from_bytes(sample).best()
    if best is None:
        raise DataError(
            f"'{path}': a codificação do texto não foi reconhecida. Abra-o num editor e salve-o "
            "em UTF-8."
        )
    return Encoding(best.encoding, "replace")


def _mostly_utf8(sample: bytes) -> bool:
    """UTF-8 com poucos bytes estragados: melhor perder esses do que todos os acentos."""
    text = sample.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    valid = sum(not character.isascii() for character in text) - broken
    return valid >= 2 * broken


def _usable(sample: bytes, declared: str) -> str | None:
    """A codificação declarada, se serve; como nos navegadores, Latin-1 quer dizer cp1252."""
    try:
        name = codecs.lookup(declared).name
        name = "cp1252" if name in ("iso8859-1", "ascii") else name
        sample.decode(name)
    except (LookupError, UnicodeError):
        return None
    return None if name.startswith("utf") else name


def _looks_portuguese(sample: bytes) -> bool:
    """Em cp1252, o que há fora do ASCII é do português, e nem toda letra tem acento?"""
    text = sample.decode("cp1252", "replace")
    special = [character for character in text if not character.isascii()]
    letters = sum(character.isalpha() for character in text)
    accented = sum(character.isalpha() for character in special)
    expected = sum(character in _PORTUGUESE for character in special)
    return expected >= 0.95 * len(special) and accented <= 0.6 * letters
