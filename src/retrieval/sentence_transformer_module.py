"""O codificador que vem junto, para quem usa o sentence-transformers.

    from src.retrieval.sentence_transformer_module import as_sentence_transformer
    model = as_sentence_transformer()
    model.encode_query(["Quanto custa?"])

``SentenceTransformer("src/retrieval/encoder_pt", trust_remote_code=True)`` dá o mesmo: a permissão
é pedida porque a classe abaixo não é da biblioteca.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import InputModule

from src.retrieval.encoder import PREFIXES, SHIPPED_FOLDER, LunaEncoder, mean_vector, padded


class LunaEncoderModule(InputModule):
    """O ``LunaEncoder`` como módulo do sentence-transformers; os pesos não se treinam por aqui."""

    def __init__(self, folder: str | Path = SHIPPED_FOLDER) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.encoder = LunaEncoder(self.folder)
        self.tokenizer = self.encoder.tokenizer
        self.max_seq_length = self.encoder.max_tokens

    def preprocess(
        self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any
    ) -> dict[str, torch.Tensor]:
        """Os tokens de textos: ``input_ids`` e ``attention_mask``, [B, T]."""
        found = self.tokenizer.encode_batch([(prompt or "") + text for text in inputs])
        ids, mask = padded([encoding.ids for encoding in found])
        return {"input_ids": ids, "attention_mask": mask}

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Acrescenta ``sentence_embedding`` [B, D] e ``token_embeddings`` [B, T, D]."""
        ids, mask = features["input_ids"].cpu(), features["attention_mask"].cpu().bool()
        with torch.inference_mode():
            states = self.encoder.hidden_states(ids, mask)
            features["sentence_embedding"] = mean_vector(states, mask).clone()
            features["token_embeddings"] = states.clone()
        return features

    def get_embedding_dimension(self) -> int:
        """D."""
        return self.encoder.dimension

    def save(self, output_path: str, *args: Any, **kwargs: Any) -> None:
        """Copia a pasta do codificador."""
        shutil.copytree(self.folder, output_path, dirs_exist_ok=True)

    @classmethod
    def load(  # type: ignore[override]  # dos outros argumentos, nenhum faz falta
        cls, model_name_or_path: str, **kwargs: Any
    ) -> LunaEncoderModule:
        """Abre a pasta ``model_name_or_path``."""
        return cls(model_name_or_path)


def as_sentence_transformer(folder: str | Path = SHIPPED_FOLDER) -> SentenceTransformer:
    """Um ``SentenceTransformer`` com o codificador de ``folder`` e os prefixos dele."""
    prompts = {"query": PREFIXES["query"], "document": PREFIXES["passage"]}
    return SentenceTransformer(modules=[LunaEncoderModule(folder)], prompts=prompts, device="cpu")
