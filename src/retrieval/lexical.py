"""A busca por palavras: BM25 sobre radicais do português.

Cada trecho vira uma lista de números de termos; as notas de todos os pares (termo, trecho) são
calculadas de uma vez e guardadas numa matriz esparsa por colunas, e uma busca soma as colunas dos
termos da pergunta (bm25s, Lù 2024, arXiv:2407.03618). A matriz é refeita na primeira busca depois
de uma mudança, a partir dos números já guardados: nenhum texto é lido de novo.

    N  trechos; V  termos distintos; T  ocorrências de termos em todos os trechos
    tf [N, V]  quantas vezes o termo está no trecho; df [V]  em quantos trechos ele está
    nota(t, d) = ln(1 + (N - df + 0,5) / (df + 0,5)) * tf / (tf + k1 * (1 - b + b * |d| / média))

A fórmula é a do Lucene (Kamphuis et al., ECIR 2020).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from src.retrieval.hits import best_hits, no_hits
from src.retrieval.portuguese import STOP_WORDS, terms
from src.retrieval.types import Hits
from src.utils.errors import DataError

if TYPE_CHECKING:
    import numpy as np

K1 = 1.2  # a partir de que repetição um termo deixa de somar
B = 0.75  # quanto o tamanho do trecho pesa: 0, nada; 1, por inteiro


_PROBE = (
    "Às 10h30 de 2024, os corações dos cidadãos brasileiros pulavam: a constituição previa "
    "direitos, deveres e obrigações municipais; guarda-chuvas, e-mails e pães-de-ló não. O que é a "
    "fotossíntese? Cantávamos, cantaríamos, cantando; felizmente, rapidamente, infelizes."
)


def analyzer_signature() -> str:
    """Muda quando a análise de palavras muda (radicais, acentos, palavras vazias).

    Um índice gravado com outra assinatura tem termos que a pergunta de hoje não acharia.
    """
    content = "\n".join([*sorted(STOP_WORDS), *terms(_PROBE)])
    return hashlib.sha256(content.encode("utf-8")).hexdigest()[:16]


class EncodedTexts(NamedTuple):
    """Textos como números de termos.

    ``ids`` [T] int32 traz os de todos os textos, em sequência; ``lengths`` [N] int32, quantos são
    os de cada um.
    """

    ids: np.ndarray
    lengths: np.ndarray


class LexicalIndex:
    """O BM25 de uma lista de textos que muda.

    Depois de qualquer sequência de mudanças, as notas são as de um índice feito do zero com os
    textos que restaram, na mesma ordem.

    Args:
        analyze: do texto aos termos, com repetições.
    """

    def __init__(
        self,
        analyze: Callable[[str], Sequence[str]] = terms,
        *,
        k1: float = K1,
        b: float = B,
    ) -> None:
        import numpy as np

        self.k1, self.b = k1, b
        self._analyze = analyze
        self._numbers: dict[str, int] = {}  # termo -> número
        self._ids = np.empty(0, dtype=np.int32)  # [T]
        self._lengths = np.empty(0, dtype=np.int32)  # [N]
        self._scorer: Any = None  # um bm25s.BM25, ou None se é preciso refazer
        self._last: tuple[str, np.ndarray] | None = None  # a última pergunta e as notas [N]

    def __len__(self) -> int:
        return len(self._lengths)

    def encode(self, texts: Iterable[str]) -> EncodedTexts:
        """Os números dos termos de cada texto; termos novos ganham o próximo número."""
        import numpy as np

        numbers, parts, lengths = self._numbers, [], []
        for text in texts:
            found = [numbers.setdefault(term, len(numbers)) for term in self._analyze(text)]
            parts.append(found)
            lengths.append(len(found))
        ids = np.fromiter(chain.from_iterable(parts), dtype=np.int32, count=sum(lengths))
        return EncodedTexts(ids, np.array(lengths, dtype=np.int32))

    def add(self, *batches: EncodedTexts) -> None:
        """Põe no fim os textos que ``encode`` deu."""
        import numpy as np

        self._ids = np.concatenate([self._ids, *(batch.ids for batch in batches)])
        self._lengths = np.concatenate([self._lengths, *(batch.lengths for batch in batches)])
        self._scorer = self._last = None

    def keep(self, mask: np.ndarray) -> None:
        """Fica só com os textos em que ``mask`` [N] é verdadeira, na mesma ordem."""
        import numpy as np

        self._ids = self._ids[np.repeat(mask, self._lengths)]
        self._lengths = self._lengths[mask]
        self._scorer = self._last = None

    def search(self, query: str, limit: int, mask: np.ndarray | None = None) -> Hits:
        """Os ``limit`` textos de maior nota; só os de nota acima de zero.

        Args:
            mask: *Shape:* [N] bool; falso onde o texto não pode aparecer.
        """
        import numpy as np

        scores = self.all_scores(query)
        found = np.flatnonzero(scores if mask is None else (scores > 0) & mask)
        return best_hits(found, scores[found], limit) if len(found) else no_hits()

    def scores(self, query: str, rows: np.ndarray) -> np.ndarray:
        """O BM25 dos textos ``rows`` [K]: [K] float32."""
        return self.all_scores(query)[rows]

    def all_scores(self, query: str) -> np.ndarray:
        """O BM25 de todos os textos: [N] float32; um termo repetido na pergunta conta de novo.

        As notas da última pergunta ficam à mão: uma busca as pede para achar candidatos e, logo
        depois, para medi-los. Não as altere.
        """
        if self._last is None or self._last[0] != query:
            self._last = (query, self._scores_of(query))
        return self._last[1]

    def _scores_of(self, query: str) -> np.ndarray:
        import numpy as np

        if self._scorer is None:
            self._scorer = self._build()
        columns = len(self._scorer.scores["indptr"]) - 1
        found = (self._numbers.get(term, columns) for term in self._analyze(query))
        known = [number for number in found if number < columns]
        if not known:
            return np.zeros(len(self), dtype=np.float32)
        scores: np.ndarray = self._scorer.get_scores_from_ids(known)
        return scores

    def idf(self, names: Iterable[str]) -> dict[str, float]:
        """O peso de cada termo: ln(1 + (N - n + 0,5) / (n + 0,5)), com ele em n dos N textos."""
        if self._scorer is None:
            self._scorer = self._build()
        starts = self._scorer.scores["indptr"]
        found = {}
        for name in names:
            number = self._numbers.get(name, len(starts))
            count = int(starts[number + 1] - starts[number]) if number + 1 < len(starts) else 0
            found[name] = math.log1p((len(self) - count + 0.5) / (count + 0.5))
        return found

    def _build(self) -> Any:
        """Um ``bm25s.BM25`` com a matriz de notas.

        ``BM25.index`` faz o mesmo com um laço em Python por trecho (4,9 s em 100 mil trechos de 100
        termos; aqui, 0,4 s); os testes comparam os dois.
        """
        import bm25s
        import numpy as np

        data, rows, starts = self._matrix()
        scorer = bm25s.BM25(method="lucene", k1=self.k1, b=self.b)
        scorer.nonoccurrence_array = None  # só o BM25L e o BM25+ dão nota a quem não tem o termo
        scorer.scores = {
            "data": data,
            "indices": rows,
            "indptr": starts.astype(np.int64),
            "num_docs": len(self),
        }
        return scorer

    def _matrix(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As notas por colunas (CSC): valores [P], trechos [P], começo de cada coluna [V+1]."""
        import numpy as np
        from scipy.sparse import csr_array

        shape = (len(self), len(self._numbers))
        starts = np.concatenate([[0], np.cumsum(self._lengths, dtype=np.int64)])
        ones = np.ones(len(self._ids), dtype=np.float32)
        counts = csr_array((ones, self._ids, starts), shape=shape).tocsc()
        counts.sum_duplicates()  # [N, V]: tf
        found_in = np.diff(counts.indptr)  # [V]: df
        idf = np.log1p((shape[0] - found_in + 0.5) / (found_in + 0.5))
        mean = self._lengths.mean(dtype=np.float64) if len(self) else 0.0
        relative = self._lengths / mean if mean else np.zeros(shape[0])
        norm = (self.k1 * (1 - self.b + self.b * relative)).astype(np.float32)
        tf = counts.data
        scores = tf / (tf + norm[counts.indices])
        scores *= np.repeat(idf.astype(np.float32), found_in)
        return scores, counts.indices, counts.indptr

    def state(self) -> tuple[list[str], EncodedTexts]:
        """O que se grava: os termos em uso, por número, e os textos; ``restore`` o lê de volta.

        Os termos que só textos retirados tinham ficam de fora.
        """
        import numpy as np

        used = np.flatnonzero(np.bincount(self._ids, minlength=len(self._numbers)))
        renumbered = np.zeros(len(self._numbers), dtype=np.int32)
        renumbered[used] = np.arange(len(used), dtype=np.int32)
        names = list(self._numbers)
        ids = renumbered[self._ids] if len(self._ids) else self._ids
        return [names[number] for number in used], EncodedTexts(ids, self._lengths)

    def restore(self, names: Sequence[str], texts: EncodedTexts) -> None:
        """Volta ao que ``state`` deu.

        Erros:
            DataError: os números não combinam entre si.
        """
        numbers = {name: number for number, name in enumerate(names)}
        ids, lengths = texts
        sizes = ids.ndim == lengths.ndim == 1 and int(lengths.sum(dtype="int64")) == len(ids)
        inside = not len(ids) or (ids.min() >= 0 and ids.max() < len(names))
        if len(numbers) != len(names) or not sizes or not inside or (lengths < 0).any():
            raise DataError("os números de termos não combinam com a lista de termos.")
        self._numbers, self._ids, self._lengths = numbers, ids, lengths
        self._scorer = self._last = None
