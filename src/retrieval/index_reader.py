"""A leitura de uma geração de ``retriever/``: o que está inteiro se usa, o resto se refaz.

Os trechos são a verdade. A busca por palavras se refaz deles; os vetores, só quem tem o modelo
refaz; os arquivos indexados se refazem dos trechos, sem o resumo do conteúdo, o que faz a próxima
atualização ler cada um de novo.
"""

from __future__ import annotations

import logging
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.retrieval.chunk_table import ChunkTable, decode_chunk
from src.retrieval.index_files import (
    CHUNKS,
    DOCUMENTS,
    NEIGHBOR_ROWS,
    NEIGHBORS,
    ROWS,
    TERM_COUNTS,
    TERM_IDS,
    TERMS,
    VECTORS,
    IndexManifest,
    is_intact,
    read_array,
    read_json,
)
from src.retrieval.lexical import EncodedTexts, LexicalIndex, analyzer_signature
from src.retrieval.local_backend import LocalBackend
from src.retrieval.types import DocumentRecord
from src.retrieval.vectors import VectorIndex
from src.utils.errors import DataError

if TYPE_CHECKING:
    import numpy as np

logger = logging.getLogger(__name__)

_RECORD_FIELDS = {item.name: item.type for item in fields(DocumentRecord)}


class GenerationReader:
    """Lê a pasta de uma geração.

    Args:
        manifest: o dela; ``None`` se se perdeu, e então nada é dado por inteiro sem conferir.
        encoder: o modelo de vetores que se vai usar, como está em ``extra["encoder"]``; ``None``
            aceita qualquer um.
    """

    def __init__(
        self, folder: Path, manifest: IndexManifest | None, use_faiss: bool, encoder: Any = None
    ) -> None:
        self.folder, self.manifest = folder, manifest
        self.use_faiss, self.encoder = use_faiss, encoder
        self.problems: list[str] = []
        self.needs_vectors = False

    def read(self) -> LocalBackend:
        """O índice; ``problems`` e ``needs_vectors`` dizem o que não veio inteiro.

        Erros:
            DataError: não há trechos que se possam ler. OSError: o disco recusou.
        """
        table, alive = self._table()
        documents, table, alive = self._documents(table, alive)
        lexical = self._part(TERM_IDS, self._stored_lexical, alive)
        if lexical is None:
            lexical = _new_lexical(table)
        vectors = self._usable_vectors(table, alive)
        return LocalBackend(
            self.use_faiss, table=table, documents=documents, lexical=lexical, vectors=vectors
        )

    def _intact(self, *names: str) -> bool:
        known = self.manifest.files if self.manifest else {}
        return all(is_intact(self.folder / name, known.get(name)) for name in names)

    def _same(self, name: str, data: bytes) -> bool:
        """Se ``data``, já lido, é o que o manifesto diz de ``name``."""
        known = self.manifest.files.get(name) if self.manifest else None
        if known is None or len(data) != known["size"]:
            return False
        return zlib.crc32(data) == int(known["crc32"])

    # --- Trechos ----------------------------------------------------------------------------------

    def _table(self) -> tuple[ChunkTable, np.ndarray | None]:
        """Os trechos bons, e quais linhas do arquivo eles são ([linhas gravadas] bool).

        ``None`` quando já não se sabe que linha é qual: o que vinha por linha não serve mais.
        """
        import numpy as np

        data = (self.folder / CHUNKS).read_bytes()
        rows = self._rows()
        intact = self._same(CHUNKS, data)
        if intact and rows is not None:
            return ChunkTable(data, rows[:, :2]), np.ones(len(rows), dtype=bool)
        spans = _line_spans(data) if rows is None else rows[:, :2]
        if intact:
            good = np.ones(len(spans), dtype=bool)
        elif rows is None:
            good = np.array([_decodes(data[a:b]) for a, b in spans.tolist()], dtype=bool)
        else:
            good = np.array([zlib.crc32(data[a:b]) == c for a, b, c in rows.tolist()], dtype=bool)
        self._report_lines(good, intact)
        return ChunkTable(data, spans[good]), good if intact or rows is not None else None

    def _rows(self) -> np.ndarray | None:
        """``rows.npy``, se dá para confiar nela."""
        if self.manifest is not None and not self._intact(ROWS):
            self.problems.append(f"'{self.folder / ROWS}' está danificado ou falta; foi refeito.")
            return None
        try:
            rows = read_array(self.folder / ROWS, "int64", 2)
        except (OSError, DataError) as error:
            logger.debug("%s não serve: %s", ROWS, error)
            return None
        good = rows.shape[1] == 3 and (rows[:, 0] >= 0).all() and (rows[:, 1] >= rows[:, 0]).all()
        return rows if good else None

    def _report_lines(self, good: np.ndarray, intact: bool) -> None:
        """Diz quais linhas se perderam.

        Erros:
            DataError: todas.
        """
        import numpy as np

        bad = (np.flatnonzero(~good) + 1).tolist()
        path = self.folder / CHUNKS
        if len(good) and not good.any():
            raise DataError(f"nenhuma linha de '{path}' pôde ser lida.")
        if not len(good) and self.manifest is not None and self.manifest.chunks:
            raise DataError(f"'{path}' está vazio.")
        if bad:
            shown = ", ".join(map(str, bad[:10])) + ("..." if len(bad) > 10 else "")
            self.problems.append(
                f"'{path}' está danificado: {len(bad)} de {len(good)} trechos se perderam (linhas "
                f"{shown}); os outros foram mantidos. Indexe de novo os arquivos para recuperá-los."
            )
        elif not intact:
            self.problems.append(f"'{path}' não é como foi gravado, mas tudo pôde ser lido.")

    # --- Arquivos ---------------------------------------------------------------------------------

    def _documents(
        self, table: ChunkTable, alive: np.ndarray | None
    ) -> tuple[list[DocumentRecord], ChunkTable, np.ndarray | None]:
        """Os registros dos arquivos, os trechos na ordem deles, e que linhas gravadas eles são."""
        stored = self._stored_documents()
        whole = alive is not None and alive.all()
        if stored is not None and whole and sum(r.chunks for r in stored) == len(table):
            if len({record.file for record in stored}) == len(stored):
                return stored, table, alive
        files = [(chunk.file, chunk.title) for chunk in table]
        records = _recounted(stored or [], files)
        place = {record.file: number for number, record in enumerate(records)}
        order = sorted(range(len(files)), key=lambda row: place[files[row][0]])
        if order != list(range(len(files))):
            table, alive = table.reordered(order), None
        return records, table, alive

    def _stored_documents(self) -> list[DocumentRecord] | None:
        try:
            if self.manifest is not None and not self._intact(DOCUMENTS):
                raise DataError("não é como foi gravado")
            records = read_json(self.folder / DOCUMENTS)
            return [_record(item) for item in records]
        except (OSError, TypeError, DataError) as error:
            self.problems.append(
                f"'{self.folder / DOCUMENTS}' está danificado ou falta ({error}); a lista de "
                "arquivos foi refeita, e a próxima atualização os lê de novo."
            )
            return None

    # --- Palavras ---------------------------------------------------------------------------------

    def _part(self, name: str, read: Callable[[int], Any], alive: np.ndarray | None) -> Any:
        """O que ``read`` dá para todas as linhas, só com as vivas; ``None`` se não serve."""
        try:
            if alive is None:
                raise DataError("não se sabe mais a que trecho cada linha pertence")
            part = read(len(alive))
        except (OSError, DataError) as error:
            what = "foram refeitos" if name == TERM_IDS else "precisam ser refeitos"
            self.problems.append(
                f"'{self.folder / name}' e os arquivos que o acompanham não servem ({error}); "
                f"{what} a partir dos trechos."
            )
            return None
        if part is not None and not alive.all():
            part.keep(alive)
        return part

    def _stored_lexical(self, rows: int) -> LexicalIndex | None:
        """O índice de palavras gravado; ``None`` se a análise de palavras já é outra."""
        if self.manifest is not None and self.manifest.analyzer != analyzer_signature():
            logger.info("A análise de palavras mudou desde a gravação; o índice é refeito.")
            return None
        if not self._intact(TERMS, TERM_IDS, TERM_COUNTS):
            raise DataError("não são como foram gravados")
        texts = EncodedTexts(
            read_array(self.folder / TERM_IDS, "int32", 1),
            read_array(self.folder / TERM_COUNTS, "int32", 1),
        )
        if len(texts.lengths) != rows:
            raise DataError(f"{len(texts.lengths)} textos para {rows} trechos")
        lexical = LexicalIndex()
        lexical.restore(read_json(self.folder / TERMS), texts)
        return lexical

    # --- Vetores ----------------------------------------------------------------------------------

    def _usable_vectors(self, table: ChunkTable, alive: np.ndarray | None) -> VectorIndex | None:
        """Os vetores gravados, se são do modelo pedido; ``None`` se não há ou não servem."""
        stored = self.manifest.extra.get("encoder") if self.manifest else None
        had = self.manifest is None or VECTORS in self.manifest.files
        if not len(table) or (not had and self.encoder is None):
            return None
        if self.encoder is not None and self.manifest and (not had or stored != self.encoder):
            self.needs_vectors = True
            before = f"com o modelo de vetores {stored!r}" if had else "sem vetores"
            self.problems.append(
                f"O índice foi feito {before}, e o de agora é {self.encoder!r}: os vetores "
                "precisam ser refeitos."
            )
            return None
        vectors: VectorIndex | None = self._part(VECTORS, self._stored_vectors, alive)
        self.needs_vectors = vectors is None
        return vectors

    def _stored_vectors(self, rows: int) -> VectorIndex:
        if not self._intact(VECTORS):
            raise DataError("não é como foi gravado, ou falta")
        matrix = read_array(self.folder / VECTORS, "float32", 2)
        if len(matrix) != rows:
            raise DataError(f"{len(matrix)} vetores para {rows} trechos")
        vectors = VectorIndex(self.use_faiss)
        vectors.matrix = matrix
        self._restore_neighbors(vectors)
        return vectors

    def _restore_neighbors(self, vectors: VectorIndex) -> None:
        """O índice aproximado, se foi gravado; se não serve, é refeito na primeira busca."""
        if self.manifest is None or NEIGHBORS not in self.manifest.files:
            return
        try:
            if not self._intact(NEIGHBORS, NEIGHBOR_ROWS):
                raise DataError("não é como foi gravado")
            data = read_array(self.folder / NEIGHBORS, "uint8", 1)
            vectors.restore_neighbors(data, read_array(self.folder / NEIGHBOR_ROWS, "int64", 1))
        except (OSError, DataError) as error:
            self.problems.append(
                f"'{self.folder / NEIGHBORS}' está danificado ou falta ({error}); o índice "
                "aproximado é refeito na primeira busca."
            )


def _new_lexical(table: ChunkTable) -> LexicalIndex:
    lexical = LexicalIndex()
    lexical.add(lexical.encode(chunk.indexed_text for chunk in table))
    return lexical


def _line_spans(data: bytes) -> np.ndarray:
    """Começo e fim de cada linha não vazia: [N, 2] int64."""
    import numpy as np

    ends = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == 10)
    if data and not data.endswith(b"\n"):
        ends = np.append(ends, len(data))
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    spans = np.stack([starts, ends], axis=1).astype(np.int64)
    return spans[spans[:, 1] > spans[:, 0]]


def _decodes(line: bytes) -> bool:
    try:
        decode_chunk(line)
    except DataError as error:
        logger.debug("Trecho perdido: %s", error)
        return False
    return True


def _record(item: Any) -> DocumentRecord:
    """O registro de um arquivo, de um objeto JSON.

    Erros:
        DataError: não é um registro.
    """
    known = {key: item[key] for key in _RECORD_FIELDS if key in item}
    texts = [known.get("file"), known.get("digest"), known.get("title", "")]
    texts.append(known.get("origin", "file"))
    count = known.get("chunks")
    if not all(isinstance(text, str) for text in texts) or type(count) is not int or count < 0:
        raise DataError(f"registro de arquivo inválido: {str(item)[:80]}")
    return DocumentRecord(**known)


def _recounted(stored: list[DocumentRecord], files: list[tuple[str, str]]) -> list[DocumentRecord]:
    """Os registros que os trechos sustentam, na ordem de ``stored``, e depois os sem registro.

    Quem perdeu trechos, ou o registro, fica sem ``digest``: a próxima atualização o lê de novo.
    Sem registro, ``origin`` é "memory": nada se apaga por não se achar o arquivo.
    """
    counts = Counter(file for file, _ in files)
    titles = dict(reversed(files))  # o título do primeiro trecho
    known = {r.file: r for r in stored if r.file in counts or r.chunks == 0}
    for file in counts:
        known.setdefault(file, DocumentRecord(file, "", counts[file], titles[file], "memory"))
    return [
        record if record.chunks == counts[file] else replace(record, chunks=counts[file], digest="")
        for file, record in known.items()
    ]
