"""A tabela de trechos: os lidos do disco ficam como linhas de JSON até que alguém os peça.

Um trecho é uma linha de ``chunks.jsonl``, em UTF-8, terminada por "\\n". Cem mil trechos na memória
são os bytes do arquivo e dois números por linha.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from src.retrieval.index_files import json_bytes
from src.retrieval.types import Chunk, MetadataFilter
from src.utils.errors import DataError

if TYPE_CHECKING:
    import numpy as np

_FIELDS = tuple(field.name for field in fields(Chunk))
_METADATA_KEY = b', "metadata": '
_TEXTS = ("chunk_id", "text", "source", "file", "title", "section")


def encode_chunk(chunk: Chunk) -> bytes:
    """A linha de um trecho, sem o fim de linha.

    O que o JSON não tem nos metadados vira texto (datas) ou lista (tuplas).
    """
    record = {name: getattr(chunk, name) for name in _FIELDS}
    record["metadata"] = dict(chunk.metadata)
    return json_bytes(record)


def decode_chunk(line: bytes) -> Chunk:
    """O trecho de uma linha; chaves que este formato não conhece são ignoradas.

    Erros:
        DataError: a linha não é um trecho.
    """
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"linha que não é JSON: {error}.") from error
    if not _is_chunk(record):
        raise DataError(f"linha que não é um trecho; faltam chaves como {', '.join(_TEXTS[:4])}.")
    return Chunk(**{name: record[name] for name in _FIELDS if name in record})


def _is_chunk(record: Any) -> bool:
    if not isinstance(record, dict) or not all(
        isinstance(record.get(name, None if name in _TEXTS[:4] else ""), str) for name in _TEXTS
    ):
        return False
    page, position = record.get("page"), record.get("position", 0)
    numbers = (page is None or isinstance(page, int)) and isinstance(position, int)
    return numbers and isinstance(record.get("metadata", {}), dict)


def _tail(line: bytes) -> bytes:
    """Os metadados de uma linha, ainda em JSON; a linha toda, se não se acham."""
    _, found, tail = line.partition(_METADATA_KEY)
    return tail if found else line


def _printed(chunk: Chunk) -> bytes:
    """Os metadados de um trecho da memória, que podem ter o que o JSON não tem."""
    return repr(dict(chunk.metadata)).encode("utf-8", "surrogatepass")


class ChunkTable(Sequence[Chunk]):
    """Os trechos, por número; só muda por ``extend`` e ``keep``.

    Args:
        data: linhas de JSON, como em ``chunks.jsonl``.
        starts: *Shape:* [N, 2] int64, o começo e o fim de cada linha em ``data``.
    """

    def __init__(self, data: bytes = b"", starts: np.ndarray | None = None) -> None:
        import numpy as np

        self._data = data
        self._spans = np.empty((0, 2), dtype=np.int64) if starts is None else starts
        self._new: list[Chunk] = []
        self._places = np.arange(len(self._spans), dtype=np.int64)  # >= 0: linha; < 0: ~i em _new
        self._metadata: tuple[np.ndarray, list[Mapping[str, Any]]] | None = None

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        place = int(self._places[index])
        return self._new[~place] if place < 0 else decode_chunk(self._line(place))

    def _line(self, place: int) -> bytes:
        start, end = self._spans[place]
        return self._data[start:end]

    def lines(self) -> Iterator[bytes]:
        """As linhas de todos os trechos, na ordem, sem o fim de linha."""
        for place in self._places.tolist():
            yield encode_chunk(self._new[~place]) if place < 0 else self._line(place)

    def extend(self, chunks: Iterable[Chunk]) -> None:
        """Põe trechos no fim."""
        import numpy as np

        first = len(self._new)
        self._new.extend(chunks)
        added = ~np.arange(first, len(self._new), dtype=np.int64)
        self._places = np.concatenate([self._places, added])
        self._metadata = None

    def keep(self, mask: np.ndarray) -> None:
        """Fica só com os trechos em que ``mask`` [N] é verdadeira, na mesma ordem."""
        import numpy as np

        places = self._places[mask]
        new = places < 0
        self._new = [self._new[~place] for place in places[new].tolist()]
        places[new] = ~np.arange(len(self._new), dtype=np.int64)
        self._places, self._metadata = places, None

    def reordered(self, order: Sequence[int]) -> ChunkTable:
        """Uma tabela com os trechos na ordem dada."""
        table = ChunkTable()
        table.extend(self[row] for row in order)
        return table

    def mask(self, keep: MetadataFilter) -> np.ndarray:
        """Onde ``keep`` aceita os metadados: [N] bool; metadados iguais são julgados uma vez."""
        import numpy as np

        if self._metadata is None:
            self._metadata = self._distinct_metadata()
        codes, distinct = self._metadata
        verdicts = np.array([bool(keep(metadata)) for metadata in distinct], dtype=bool)
        return verdicts[codes] if len(codes) else np.zeros(0, dtype=bool)

    def _distinct_metadata(self) -> tuple[np.ndarray, list[Mapping[str, Any]]]:
        """(o número dos metadados de cada trecho [N], os metadados distintos).

        Numa linha os metadados são a última chave, e o trecho que a abre não cabe dentro de um
        texto, onde as aspas vêm com barra: basta comparar os bytes, sem ler as cem mil linhas.
        """
        import numpy as np

        numbers: dict[bytes, int] = {}
        distinct: list[Mapping[str, Any]] = []
        codes = np.empty(len(self), dtype=np.int64)
        for row, place in enumerate(self._places.tolist()):
            key = _printed(self._new[~place]) if place < 0 else _tail(self._line(place))
            codes[row] = numbers.setdefault(key, len(numbers))
            if len(numbers) > len(distinct):
                distinct.append(self[row].metadata)
        return codes, distinct
