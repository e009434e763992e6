"""Os vetores que já se têm: reindexar um arquivo mudado só calcula os dos textos novos.

Não há arquivo de cache: os vetores gravados com o índice são o cache, e o que sai do índice deixa
de ocupar o disco.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from src.retrieval.types import Chunk

if TYPE_CHECKING:
    import numpy as np

    from src.retrieval.local_backend import LocalBackend

Encode = Callable[[list[str]], "np.ndarray"]
RECENT = 20_000  # vetores calculados nesta vez que ficam à mão para textos que se repetem


def indexed_text(chunk: Chunk) -> str:
    """O texto de que se tira o vetor, quando não se diz outro."""
    return chunk.indexed_text


class EmbeddingCache:
    """Vetores por texto, a partir dos que um índice tem neste momento.

    Montá-lo lê todos os trechos (1,7 s em 100 mil vindos do disco): faça um por indexação, não um
    por arquivo. Vale para um só modelo de vetores: ``load_index(..., encoder=...)`` já deixa de
    fora os de outro.

    Args:
        backend: o índice antes das mudanças; ``None`` começa vazio.
        text_of: de que texto do trecho o vetor foi tirado.
    """

    def __init__(
        self,
        backend: LocalBackend | None = None,
        text_of: Callable[[Chunk], str] = indexed_text,
    ) -> None:
        import numpy as np

        self.reused = 0  # textos que não precisaram de conta
        self.encoded = 0  # textos que precisaram
        self._rows: dict[bytes, int] = {}
        self._recent: dict[bytes, np.ndarray] = {}
        self._matrix = np.empty((0, 0), dtype=np.float32)
        if backend is not None and backend.dimension:
            table, _, vectors = backend.parts()
            self._matrix = vectors.matrix  # a matriz nunca muda no lugar: o índice faz outra
            self._rows = {_digest(text_of(chunk)): row for row, chunk in enumerate(table)}

    def vectors_for(self, texts: Sequence[str], encode: Encode) -> np.ndarray:
        """Os vetores dos textos, na ordem; ``encode`` só recebe os que faltam, sem repetições.

        Args:
            encode: de uma lista de textos à matriz [n, D] float32.

        Returns:
            *Shape:* [len(texts), D] float32.
        """
        import numpy as np

        if not texts:
            return np.empty((0, self._matrix.shape[1]), dtype=np.float32)
        keys = [_digest(text) for text in texts]
        missing = {key: text for key, text in zip(keys, texts) if not self._knows(key)}
        found: dict[bytes, np.ndarray] = {}
        if missing:
            fresh = np.asarray(encode(list(missing.values())), dtype=np.float32)
            found = dict(zip(missing, fresh, strict=True))
        self.encoded += len(missing)
        self.reused += len(texts) - len(missing)
        result = np.stack([found[key] if key in found else self._vector(key) for key in keys])
        self._remember(found)
        return result

    def _knows(self, key: bytes) -> bool:
        return key in self._recent or key in self._rows

    def _vector(self, key: bytes) -> np.ndarray:
        return self._recent[key] if key in self._recent else self._matrix[self._rows[key]]

    def _remember(self, found: dict[bytes, np.ndarray]) -> None:
        """Guarda os calculados agora; os mais antigos dão lugar."""
        self._recent.update(found)
        while len(self._recent) > RECENT:
            del self._recent[next(iter(self._recent))]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
