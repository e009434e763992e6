"""A busca por sentido: os vetores dos trechos e o produto interno com o da pergunta.

Os vetores ficam uma vez só na memória, numa matriz float32, e é assim que vão para o disco: as
notas depois de ler são as de antes de gravar, bit a bit. Até ``FLAT_LIMIT`` vetores a busca é
exata, pelo FAISS ou (sem ele, com filtro, ou a partir de ``PRODUCT_FROM``) pelo numpy, sobre a
mesma matriz; daí em diante o FAISS guarda também um índice aproximado, com os vetores em 8 bits
(HNSW, Malkov e Yashunin 2018, arXiv:1603.09320; acima de ``HNSW_LIMIT``, IVF), que só escolhe os
candidatos: a nota de cada um é sempre a exata.

    N  vetores; D  dimensão; K  resultados
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from src.retrieval.hits import best_hits, no_hits
from src.retrieval.types import Hits
from src.utils.errors import DataError

if TYPE_CHECKING:
    import numpy as np

logger = logging.getLogger(__name__)

# Uma pergunta em 100 mil vetores de 384: 24 ms pelo FAISS, que usa uma thread só, e 6 ms por um
# produto do numpy, em duas. Em 500 mil, 0,12 e 0,08 s; montar o HNSW de 210 mil não acabou em 2
# minutos
PRODUCT_FROM = 20_000  # daqui em diante, a busca exata é um produto do numpy
FLAT_LIMIT = 500_000
HNSW_LIMIT = 2_000_000  # daqui em diante, montar o grafo demora demais
HNSW_LINKS = 32  # vizinhos de cada vetor no grafo
HNSW_BUILD = 80  # candidatos olhados ao montar
HNSW_SEARCH = 128  # candidatos olhados ao buscar
IVF_PROBED = 1 / 32  # parte das listas que se olha
EXTRA = 16  # candidatos a mais, por causa do arredondamento
REBUILD_FRACTION = 0.25  # parte de retirados a partir da qual o índice aproximado é refeito


@lru_cache(maxsize=1)
def _import_faiss() -> Any:
    """O FAISS, ou ``None`` se não está instalado (avisado uma vez)."""
    logging.getLogger("faiss.loader").setLevel(logging.WARNING)  # conta cada variante que tenta
    try:
        import faiss
    except ImportError as error:
        logger.info(
            "FAISS não disponível (%s): a busca por sentido usa numpy, exata e mais lenta em "
            "índices grandes. Para instalá-lo: pip install faiss-cpu",
            error,
        )
        return None
    return faiss


@lru_cache(maxsize=1)
def _say_numpy() -> None:
    logger.info("A busca por sentido usa numpy: o FAISS foi desligado (use_faiss=False).")


class VectorIndex:
    """Uma lista de vetores que muda, e os de maior produto interno com outro.

    Args:
        use_faiss: falso, ou sem o FAISS instalado, a busca é sempre exata e feita em numpy.
        flat_limit, hnsw_limit: ver ``FLAT_LIMIT`` e ``HNSW_LIMIT``.
    """

    def __init__(
        self,
        use_faiss: bool = True,
        *,
        flat_limit: int = FLAT_LIMIT,
        hnsw_limit: int = HNSW_LIMIT,
    ) -> None:
        import numpy as np

        self.use_faiss = use_faiss
        self.flat_limit, self.hnsw_limit = flat_limit, hnsw_limit
        self.matrix = np.empty((0, 0), dtype=np.float32)  # [N, D]; não se altera no lugar
        self._near: _Neighbors | None = None  # o índice aproximado, quando há

    def __len__(self) -> int:
        return len(self.matrix)

    @property
    def dimension(self) -> int:
        """D; 0 enquanto não há vetores."""
        return int(self.matrix.shape[1])

    def add(self, *batches: np.ndarray) -> None:
        """Põe vetores no fim.

        Args:
            batches: *Shape:* cada um [n, D] float32.

        Erros:
            DataError: a dimensão é outra, ou há valores que não são números.
        """
        import numpy as np

        checked = [checked_vectors(batch, self.dimension) for batch in batches if len(batch)]
        if not checked:
            return
        first = len(self)
        own = [self.matrix] if first else []
        self.matrix = np.ascontiguousarray(np.concatenate([*own, *checked]))
        if self._near is not None:
            self._near.add(self.matrix, first)

    def keep(self, mask: np.ndarray) -> None:
        """Fica só com os vetores em que ``mask`` [N] é verdadeira, na mesma ordem."""
        self.matrix = self.matrix[mask]
        if self._near is not None:
            self._near.keep(mask)

    def search(self, vector: np.ndarray, limit: int, mask: np.ndarray | None = None) -> Hits:
        """Os ``limit`` de maior produto interno com ``vector`` [D].

        Args:
            mask: *Shape:* [N] bool; falso onde o vetor não pode aparecer.

        Erros:
            DataError: a dimensão é outra, ou há valores que não são números.
        """
        import numpy as np

        if not len(self) or limit < 1:
            return no_hits()
        vector = checked_vectors(np.asarray(vector).reshape(1, -1), self.dimension)[0]
        rows = self._candidates(vector, limit + EXTRA, mask)
        return best_hits(rows, self._exact(vector, rows), limit)

    def scores(self, vector: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """O produto interno dos vetores ``rows`` [K] com ``vector`` [D]: [K] float32."""
        import numpy as np

        vector = checked_vectors(np.asarray(vector).reshape(1, -1), self.dimension)[0]
        return self._exact(vector, rows)

    def _exact(self, vector: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Linha por linha, para que a nota não dependa de quem está ao lado nem do caminho."""
        import numpy as np

        scores: np.ndarray = np.einsum("kd,d->k", self.matrix[rows], vector)
        return scores

    def _candidates(self, vector: np.ndarray, count: int, mask: np.ndarray | None) -> np.ndarray:
        """Os números dos ``count`` melhores, em ordem crescente de número."""
        import numpy as np

        faiss = _import_faiss() if self.use_faiss else _say_numpy()
        if mask is not None and not mask.any():
            return np.empty(0, dtype=np.int64)
        allowed = len(self) if mask is None else int(np.count_nonzero(mask))
        if faiss is not None and allowed > self.flat_limit:
            rows = self._neighbors(faiss).search(vector, 2 * count, mask)
        elif faiss is not None and mask is None and len(self) < PRODUCT_FROM:
            _, found = faiss.knn(
                vector[None], self.matrix, min(count, allowed), metric=faiss.METRIC_INNER_PRODUCT
            )
            rows = found[0]
        else:
            scores = self.matrix @ vector
            if mask is None:
                rows = best_hits(np.arange(len(self)), scores, count).ids
            else:
                inside = np.flatnonzero(mask)
                rows = best_hits(inside, scores[inside], count).ids
        return np.sort(rows[rows >= 0]).astype(np.int64)

    def _neighbors(self, faiss: Any) -> _Neighbors:
        """O índice aproximado, refeito se não existe ou se já não serve."""
        kind = "ivf" if len(self) > self.hnsw_limit else "hnsw"
        near = self._near
        if near is None or near.kind != kind or near.removed > REBUILD_FRACTION * near.total:
            near = self._near = _Neighbors.build(faiss, self.matrix, kind)
        return near

    def neighbors_state(self) -> tuple[np.ndarray, np.ndarray] | None:
        """O índice aproximado para gravar (bytes [S] uint8, linhas [M] int64); ``None`` sem ele.

        Se ainda não foi montado, é agora: quem indexa espera, para que quem busca não espere.
        """
        faiss = _import_faiss() if self.use_faiss and len(self) > self.flat_limit else None
        return self._neighbors(faiss).state() if faiss is not None else None

    def restore_neighbors(self, data: np.ndarray, rows: np.ndarray) -> None:
        """Volta ao índice aproximado que ``neighbors_state`` deu; sem FAISS, nada faz.

        Erros:
            DataError: o índice está danificado ou não é destes vetores.
        """
        faiss = _import_faiss() if self.use_faiss else None
        if faiss is not None:
            self._near = _Neighbors.restore(faiss, data, rows, self.matrix)


def checked_vectors(vectors: np.ndarray, dimension: int = 0) -> np.ndarray:
    """Vetores [n, D] em float32, contíguos, conferidos.

    Erros:
        DataError: não é uma matriz, a dimensão não é ``dimension`` (0 aceita qualquer uma) ou há
            valores infinitos ou que não são números.
    """
    import numpy as np

    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or not vectors.shape[1] or dimension not in (0, vectors.shape[1]):
        expected = f"[n, {dimension or 'D'}]"
        raise DataError(
            f"vetores de forma {list(vectors.shape)}: o índice espera {expected}. Se o modelo de "
            "vetores mudou, indexe de novo."
        )
    if not np.isfinite(vectors).all():
        raise DataError(
            "o modelo de vetores devolveu valores infinitos ou que não são números. Confira o "
            "modelo de vetores e indexe de novo."
        )
    return vectors


class _Neighbors:
    """Um índice aproximado do FAISS; quem sai é só marcado, porque o HNSW não retira.

    Args:
        rows: *Shape:* [M] int64, a linha atual de cada vetor do índice; -1 nos retirados.
    """

    def __init__(self, faiss: Any, index: Any, kind: str, rows: np.ndarray) -> None:
        self._faiss, self._index, self.kind, self._rows = faiss, index, kind, rows

    @classmethod
    def build(cls, faiss: Any, matrix: np.ndarray, kind: str) -> _Neighbors:
        """Um índice novo; o resultado depende só dos vetores e da quantidade de threads."""
        import numpy as np

        logger.info("Montando o índice aproximado (%s) de %d vetores.", kind, len(matrix))
        bits, product = faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
        dimension = matrix.shape[1]
        if kind == "hnsw":
            index = faiss.IndexHNSWSQ(dimension, bits, HNSW_LINKS, product)
            index.hnsw.efConstruction = HNSW_BUILD
        else:
            lists = max(1, min(int(4 * len(matrix) ** 0.5), len(matrix) // 40))
            coarse = faiss.IndexFlatIP(dimension)
            index = faiss.IndexIVFScalarQuantizer(coarse, dimension, lists, bits, product)
        index.train(matrix)
        index.add(matrix)
        return cls(faiss, index, kind, np.arange(len(matrix), dtype=np.int64))

    @property
    def total(self) -> int:
        """Quantos vetores o índice guarda, com os retirados."""
        return len(self._rows)

    @property
    def removed(self) -> int:
        """Quantos dos que ele guarda já saíram."""
        return int((self._rows < 0).sum())

    def add(self, matrix: np.ndarray, first: int) -> None:
        """Põe as linhas de ``matrix`` a partir de ``first``."""
        import numpy as np

        self._index.add(matrix[first:])
        new = np.arange(first, len(matrix), dtype=np.int64)
        self._rows = np.concatenate([self._rows, new])

    def keep(self, mask: np.ndarray) -> None:
        """Marca os que saíram e renumera os outros."""
        import numpy as np

        moved = np.where(mask, np.cumsum(mask) - 1, -1)
        alive = self._rows >= 0
        self._rows[alive] = moved[self._rows[alive]]

    def search(self, vector: np.ndarray, count: int, mask: np.ndarray | None) -> np.ndarray:
        """As linhas de uns ``count`` dos melhores, em qualquer ordem."""
        import numpy as np

        allowed = self._rows >= 0
        if mask is not None:
            allowed[allowed] = mask[self._rows[allowed]]
        bitmap = np.packbits(allowed, bitorder="little")
        selector = None if allowed.all() else self._faiss.IDSelectorBitmap(bitmap)
        if self.kind == "hnsw":
            effort = max(HNSW_SEARCH, 2 * count)
            settings = self._faiss.SearchParametersHNSW(efSearch=effort, sel=selector)
        else:
            probed = max(8, int(self._index.nlist * IVF_PROBED))
            settings = self._faiss.SearchParametersIVF(nprobe=probed, sel=selector)
        _, found = self._index.search(vector[None], min(count, self.total), params=settings)
        return self._rows[found[0][found[0] >= 0]]

    def state(self) -> tuple[np.ndarray, np.ndarray]:
        """(bytes do índice [S] uint8, linhas [M] int64)."""
        return self._faiss.serialize_index(self._index), self._rows

    @classmethod
    def restore(
        cls, faiss: Any, data: np.ndarray, rows: np.ndarray, matrix: np.ndarray
    ) -> _Neighbors:
        """O que ``state`` deu, conferido.

        Erros:
            DataError: danificado, ou de outros vetores.
        """
        import numpy as np

        try:
            index = faiss.deserialize_index(data)
        except RuntimeError as error:
            raise DataError(f"o FAISS não leu o índice aproximado: {error}.") from error
        kinds = {faiss.IndexHNSWSQ: "hnsw", faiss.IndexIVFScalarQuantizer: "ivf"}
        kind = kinds.get(type(index))
        same = index.d == matrix.shape[1] and index.ntotal == len(rows)
        if not kind or not same or not np.array_equal(np.sort(rows[rows >= 0]), range(len(matrix))):
            raise DataError("o índice aproximado não é destes vetores.")
        return cls(faiss, index, kind, rows)
