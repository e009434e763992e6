"""De onde vêm os vetores: o codificador que vem junto, ou um modelo do sentence-transformers."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from src.utils.errors import DependencyError, LunaError

if TYPE_CHECKING:
    import numpy as np

logger = logging.getLogger(__name__)


class Encoder(Protocol):
    """Quem transforma textos em vetores.

    ``identity`` muda quando os vetores deixam de se comparar; ``dimension`` é D.
    """

    identity: str
    dimension: int

    def encode(self, texts: Sequence[str], kind: str = "passage") -> np.ndarray:
        """Os vetores [len(texts), D] float32, de norma 1; ``kind``: "query" ou "passage"."""

    def read(
        self, texts: Sequence[str], kind: str = "passage"
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """O mesmo, e os estados dos tokens de cada texto: [T, D] float32, de norma 1."""


class SentenceTransformerEncoder:
    """Um modelo do sentence-transformers: nome no Hugging Face ou pasta local.

    Os prefixos são os que o modelo declara para perguntas e passagens; aos da família E5, que nem
    sempre os declaram, dão-se "query: " e "passage: ".

    Args:
        name: nome ou pasta.

    Erros:
        DependencyError: o sentence-transformers não está instalado.
        LunaError: o modelo não foi achado, ou não pôde ser aberto.
    """

    def __init__(self, name: str) -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise DependencyError(
                f"O modelo de vetores '{name}' precisa do sentence-transformers. Instale-o com: "
                "pip install sentence-transformers"
            ) from error
        try:
            self.model: Any = SentenceTransformer(name)
        except Exception as error:  # a biblioteca levanta OSError, ValueError, de rede, de JSON...
            raise LunaError(_cannot_open(name, error)) from error
        self.dimension = int(self.model.get_embedding_dimension() or 0)
        self.identity = f"sentence-transformers:{_public_name(name)}:{self.dimension}"
        self.prefixes = _missing_prefixes(name, self.model)

    def encode(self, texts: Sequence[str], kind: str = "passage") -> np.ndarray:
        """Ver ``Encoder``."""
        import numpy as np

        found = self._run(texts, kind, normalize_embeddings=True)
        return np.asarray(found, dtype=np.float32).reshape(len(texts), self.dimension)

    def read(
        self, texts: Sequence[str], kind: str = "passage"
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Ver ``Encoder``; num modelo sem estados por token, o texto inteiro conta como um."""
        import numpy as np
        import torch.nn.functional as functional

        found = self._run(texts, kind, output_value=None)
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        states = []
        for row, item in zip(vectors, found):
            row[:] = functional.normalize(item["sentence_embedding"].float(), dim=-1).cpu()
            if "token_embeddings" in item:
                tokens = item["token_embeddings"][item["attention_mask"].bool()].float()
                states.append(functional.normalize(tokens, dim=-1).cpu().numpy())
            else:
                states.append(row[None])
        return vectors, states

    def _run(self, texts: Sequence[str], kind: str, **options: Any) -> Any:
        method = self.model.encode_query if kind == "query" else self.model.encode_document
        prepared = [self.prefixes.get(kind, "") + text for text in texts]
        return method(prepared, show_progress_bar=False, **options)


def _public_name(name: str) -> str:
    """O nome sem as pastas desta máquina, que não devem ir para dentro de um índice."""
    return Path(name).resolve().name if os.path.isdir(name) else name


def _missing_prefixes(name: str, model: Any) -> dict[str, str]:
    """Os prefixos que o modelo quer e não declara."""
    declared = any((model.prompts or {}).values())
    if declared or "e5" not in _public_name(name).casefold():
        return {}
    return {"query": "query: ", "passage": "passage: "}


def _cannot_open(name: str, error: Exception) -> str:
    if os.path.isdir(name):
        return (
            f"A pasta '{name}' não é um modelo do sentence-transformers que se possa abrir "
            f"({error}). Esperada a pasta que ele grava, com modules.json."
        )
    return (
        f"O modelo de vetores '{name}' não foi aberto ({type(error).__name__}). Ele não é uma "
        "pasta daqui, e para baixá-lo é preciso rede. Confira o nome, baixe-o onde há rede e "
        "aponte rag.sentence_transformer_model para a pasta; ou deixe esse campo vazio e use o "
        "codificador que vem junto."
    )


def open_encoder(name: str | None) -> Encoder:
    """O codificador de nome ``name``; ``None`` é o que vem junto.

    Erros:
        DependencyError, LunaError, ModelFormatError: não pôde ser aberto; a mensagem diz o que
        fazer.
    """
    if name:
        return SentenceTransformerEncoder(name)
    return shipped_encoder()


@lru_cache(maxsize=1)
def shipped_encoder() -> Encoder:
    """O codificador que vem junto, aberto uma vez só por processo.

    Erros:
        ModelFormatError: está incompleto ou danificado.
    """
    from src.retrieval.encoder import LunaEncoder

    return LunaEncoder()
