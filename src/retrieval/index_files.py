"""Os arquivos de ``retriever/``: nomes, manifesto, gravação com resumo e conferência.

O formato está descrito em ``src.retrieval.storage``.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from src.utils.errors import DataError

if TYPE_CHECKING:
    import numpy as np

logger = logging.getLogger(__name__)

FORMAT = "lunagpt-retriever"
VERSION = 1
MANIFEST = "manifest.json"
GENERATION_PREFIX = "data-"
CHUNKS = "chunks.jsonl"
DOCUMENTS = "documents.json"
ROWS = "rows.npy"
TERMS = "terms.json"
TERM_IDS = "term_ids.npy"
TERM_COUNTS = "term_counts.npy"
VECTORS = "vectors.npy"
NEIGHBORS = "neighbors.npy"
NEIGHBOR_ROWS = "neighbor_rows.npy"
_BLOCK = 1 << 20


@dataclass
class IndexManifest:
    """O que ``manifest.json`` diz, e o que a leitura achou.

    Atributos:
        generation: a pasta de dados é ``data-<generation>``.
        created, updated: ISO 8601 com fuso, da primeira e desta gravação.
        chunks, documents, dimension: quantos trechos e arquivos; D dos vetores, 0 sem eles.
        analyzer: a assinatura da análise de palavras com que se gravou.
        files: por arquivo, ``{"size": bytes, "crc32": inteiro, "sha256": hexadecimal}``.
        extra: o que quem gravou quis guardar (``encoder``, ``settings``, ``patterns``...).
        problems: o que a leitura achou de errado, em frases; não vai para o disco.
        needs_vectors: os vetores não servem (danificados, ou de outro modelo) e o índice veio sem
            eles: é preciso calculá-los de novo e chamar ``set_vectors``; não vai para o disco.
    """

    generation: str
    created: str
    updated: str
    chunks: int = 0
    documents: int = 0
    dimension: int = 0
    analyzer: str = ""
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    needs_vectors: bool = False

    @property
    def size_bytes(self) -> int:
        """Quanto os dados ocupam no disco, em bytes."""
        return sum(int(item["size"]) for item in self.files.values())

    def to_json(self) -> dict[str, Any]:
        """O objeto que se grava; as chaves de ``extra`` ficam ao lado das do formato.

        Erros:
            DataError: uma chave de ``extra`` é do formato.
        """
        own = {"format": FORMAT, "version": VERSION}
        own |= {name: getattr(self, name) for name in _STORED}
        if taken := sorted(set(self.extra) & set(own)):
            raise DataError(f"chaves reservadas no manifesto: {', '.join(taken)}.")
        return {**own, **self.extra}

    @classmethod
    def from_json(cls, record: Any) -> IndexManifest:
        """O contrário de ``to_json``.

        Erros:
            NewerFormatError: foi gravado por uma versão mais nova. DataError: não é um manifesto.
        """
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise DataError(f"não é um manifesto de índice ('format' deveria ser '{FORMAT}').")
        version = record.get("version")
        if isinstance(version, int) and version > VERSION:
            raise NewerFormatError(
                f"o índice foi gravado por uma versão mais nova do LunaGPT (formato {version}; o "
                f"mais novo que esta lê é o {VERSION}). Atualize o LunaGPT, ou apague a pasta e "
                "indexe de novo."
            )
        values = {name: record[name] for name in _STORED if name in record}
        if not isinstance(version, int) or not _valid(values):
            raise DataError("o manifesto do índice tem campos que faltam ou de outro tipo.")
        extra = {key: record[key] for key in record if key not in {*_STORED, "format", "version"}}
        return cls(**values, extra=extra)


_STORED = tuple(
    item.name
    for item in fields(IndexManifest)
    if item.name not in ("extra", "problems", "needs_vectors")
)


class NewerFormatError(DataError):
    """O índice é de um formato que esta versão não conhece."""


def _valid(values: Mapping[str, Any]) -> bool:
    texts = (values.get(name) for name in ("generation", "created", "updated"))
    counts = (values.get(name, 0) for name in ("chunks", "documents", "dimension"))
    files = values.get("files")
    return (
        all(isinstance(text, str) for text in texts)
        and re.fullmatch(r"[0-9A-Za-z-]+", values["generation"]) is not None
        and isinstance(values.get("analyzer", ""), str)
        and all(type(count) is int and count >= 0 for count in counts)
        and isinstance(files, dict)
        and all(
            isinstance(item, dict) and all(type(item.get(key)) is int for key in ("size", "crc32"))
            for item in files.values()
        )
    )


def json_bytes(value: Any, indent: int | None = None) -> bytes:
    """JSON em UTF-8; o que o UTF-8 não aceita (nomes de arquivo quebrados) sai como ``\\udXXX``."""
    try:
        return json.dumps(value, ensure_ascii=False, indent=indent, default=str).encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent, default=str).encode("ascii")


def read_json(path: Path) -> Any:
    """O conteúdo de um arquivo JSON.

    Erros:
        DataError: não é JSON. OSError: não pôde ser lido.
    """
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"'{path}' não é JSON: {error}.") from error


class FileWriter:
    """Um arquivo que se escreve aos poucos, com o resumo feito no caminho."""

    def __init__(self, path: Path) -> None:
        self._stream = open(path, "wb", buffering=_BLOCK)
        self._sha256 = hashlib.sha256()
        self.size = self.crc32 = 0

    def __enter__(self) -> FileWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()

    def write(self, data: bytes) -> int:
        """Escreve ``data``."""
        self._sha256.update(data)
        self.crc32 = zlib.crc32(data, self.crc32)
        self.size += len(data)
        return self._stream.write(data)

    def summary(self) -> dict[str, Any]:
        """O que o manifesto guarda deste arquivo."""
        return {"size": self.size, "crc32": self.crc32, "sha256": self._sha256.hexdigest()}


def write_data(path: Path, data: bytes) -> dict[str, Any]:
    """Escreve um arquivo e devolve o resumo dele."""
    with FileWriter(path) as stream:
        stream.write(data)
    return stream.summary()


def write_array(path: Path, array: np.ndarray) -> dict[str, Any]:
    """Escreve um .npy e devolve o resumo dele."""
    import numpy as np

    with FileWriter(path) as stream:
        np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
    return stream.summary()


def read_array(path: Path, dtype: str, dimensions: int) -> np.ndarray:
    """Um .npy do tipo e do número de dimensões esperados; objetos (pickle) são recusados.

    O cabeçalho é conferido antes de se reservar memória: um que minta não a esgota.

    Erros:
        DataError: não é. OSError: não pôde ser lido.
    """
    import numpy as np

    with open(path, "rb") as stream:
        try:
            if np.lib.format.read_magic(stream) != (1, 0):
                raise ValueError("versão do formato .npy que não se usa aqui")
            shape, by_columns, found = np.lib.format.read_array_header_1_0(stream)
        except ValueError as error:
            raise DataError(f"'{path}' não é uma matriz do numpy: {error}.") from error
        size = stream.tell() + math.prod(shape) * found.itemsize
        expected = (np.dtype(dtype), dimensions, False, path.stat().st_size)
        if (found, len(shape), by_columns, size) != expected:
            raise DataError(f"'{path}' tem tipo {found} e forma {list(shape)} em {size} bytes.")
        return np.fromfile(stream, dtype=found).reshape(shape)


def is_intact(path: Path, expected: Mapping[str, Any] | None) -> bool:
    """Se o arquivo tem o tamanho e o CRC-32 do manifesto; falso se não se sabe ou se ele falta."""
    try:
        if expected is None or path.stat().st_size != expected["size"]:
            return False
        crc32 = 0
        with open(path, "rb") as stream:
            for block in iter(lambda: stream.read(_BLOCK), b""):
                crc32 = zlib.crc32(block, crc32)
    except OSError as error:
        logger.debug("'%s' não pôde ser conferido: %s", path, error)
        return False
    return crc32 == int(expected["crc32"])
