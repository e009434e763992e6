"""O codificador de textos que vem junto: de uma pergunta ou passagem a um vetor.

É um BERT (Devlin e outros, 2019) na forma do multilingual-e5-small (Wang e outros, 2024,
"Multilingual E5 Text Embeddings"), com o vocabulário reduzido ao português, os pesos em 4 bits
(``packed_weights``) e um ajuste LoRA (Hu e outros, 2021) aprendido em pares de pergunta e passagem
(``scripts/train_retrieval_encoder.py``). O vetor é a média dos estados da última camada, com norma
1. Só precisa de torch e tokenizers: abrir não importa o transformers.

    B textos, T tokens, D dimensão (384), H cabeças (12), F largura interna (1.536), V vocabulário
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.retrieval.packed_weights import CODES, SCALES, unpack
from src.utils.errors import ModelFormatError

if TYPE_CHECKING:
    import numpy as np
    import torch

SHIPPED_FOLDER = Path(__file__).with_name("encoder_pt")
CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE = "config.json", "tokenizer.json", "model.safetensors"
PREFIXES = {"query": "query: ", "passage": "passage: "}
BATCH_TOKENS = 4096  # tokens por lote, com o preenchimento: cerca de 100 MB de ativações
ALONE_TOKENS = 64  # até aqui, uma thread é mais rápida que várias que dormem
LORA_DOWN, LORA_UP = ".lora_a", ".lora_b"  # o ajuste de uma matriz: W + B A


def read_config(folder: Path) -> dict[str, Any]:
    """A configuração de uma pasta no formato do codificador.

    Erros:
        ModelFormatError: falta, ou está danificada.
    """
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(folder, error) from error
    return config


def shipped_identity() -> str:
    """A ``identity`` do codificador que vem junto, sem ler os pesos."""
    return str(read_config(SHIPPED_FOLDER)["identity"])


def _unreadable(folder: Path, error: Exception) -> ModelFormatError:
    return ModelFormatError(
        f"O codificador de textos em '{folder}' não pôde ser lido ({error}). Reinstale o "
        "LunaGPT, ou aponte rag.sentence_transformer_model para outro modelo."
    )


def read_packed(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """(configuração, pesos em fp32) de uma pasta no formato do codificador.

    Erros:
        ModelFormatError: falta um arquivo, ou um deles está danificado.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    config = read_config(folder)
    try:
        stored = load_file(folder / WEIGHTS_FILE)
    except (OSError, ValueError, SafetensorError) as error:
        raise _unreadable(folder, error) from error
    weights: dict[str, Any] = {}
    for name, value in stored.items():
        if name.endswith(CODES):
            base = name.removesuffix(CODES)
            columns = _columns(base, config)
            weights[base] = unpack(value, stored[base + SCALES], columns)
        elif not name.endswith((SCALES, LORA_DOWN, LORA_UP)):
            weights[name] = value.astype("float32")
    for name in [name for name in stored if name.endswith(LORA_DOWN)]:
        base = name.removesuffix(LORA_DOWN)
        down, up = (stored[base + end].astype("float32") for end in (LORA_DOWN, LORA_UP))
        weights[base] = weights[base] + up @ down
    tensors = {name: torch.from_numpy(value) for name, value in weights.items()}
    for name, tensor in tensors.items():
        if ".layer." in name and tensor.dim() == 2:  # guardada por colunas: 12 % mais rápida
            tensors[name] = tensor.t().contiguous().t()
    return config, tensors


def _columns(name: str, config: dict[str, Any]) -> int:
    """As entradas da matriz ``name``: a segunda do bloco interno tem F; as outras, D."""
    inner = name.endswith("output.dense.weight") and "attention" not in name
    return int(config["intermediate_size"] if inner else config["hidden_size"])


class LunaEncoder:
    """Codifica perguntas e passagens em vetores de norma 1.

    Args:
        folder: a pasta dos pesos; ``None`` é a que vem junto.

    Atributos:
        dimension: D. identity: muda quando os pesos mudam; vetores de identidades diferentes não
            se comparam.

    Erros:
        ModelFormatError: a pasta está incompleta ou danificada.
    """

    def __init__(self, folder: Path | None = None) -> None:
        from tokenizers import Tokenizer

        folder = folder or SHIPPED_FOLDER
        self.config, self.weights = read_packed(folder)
        self.dimension: int = self.config["hidden_size"]
        self.identity: str = self.config["identity"]
        self.max_tokens: int = self.config["max_position_embeddings"]
        try:
            self.tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        except Exception as error:  # a tokenizers não tem exceções próprias
            raise ModelFormatError(
                f"'{folder / TOKENIZER_FILE}' não pôde ser lido ({error}). Reinstale o LunaGPT."
            ) from error
        self.tokenizer.enable_truncation(self.max_tokens)

    def encode(self, texts: Sequence[str], kind: str = "passage") -> np.ndarray:
        """Os vetores de ``texts``.

        Cada texto é lido até ``max_tokens`` tokens. Textos de comprimento parecido vão juntos, para
        que haja pouco preenchimento.

        Args:
            kind: "query" (perguntas) ou "passage" (trechos).

        Returns:
            *Shape:* [B, D] float32, de norma 1.
        """
        import numpy as np

        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for chosen, states, mask in self._batches(texts, kind):
            vectors[chosen] = mean_vector(states, mask).numpy()
        return vectors

    def read(
        self, texts: Sequence[str], kind: str = "passage"
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Os vetores de ``texts`` e os estados dos tokens de cada um.

        Args:
            kind: ver ``encode``.

        Returns:
            *Shape:* ([B, D], B vezes [T, D]) float32, tudo de norma 1.
        """
        import numpy as np
        import torch.nn.functional as functional

        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        tokens: dict[int, np.ndarray] = {}
        for chosen, states, mask in self._batches(texts, kind):
            vectors[chosen] = mean_vector(states, mask).numpy()
            for row, own, visible in zip(chosen, functional.normalize(states, dim=-1), mask):
                tokens[row] = own[visible].numpy()
        return vectors, [tokens[row] for row in range(len(texts))]

    def _batches(
        self, texts: Sequence[str], kind: str
    ) -> Iterator[tuple[list[int], torch.Tensor, torch.Tensor]]:
        """(números dos textos, estados [B, T, D], máscara [B, T]), dos mais longos aos curtos."""
        import torch

        found = self.tokenizer.encode_batch([PREFIXES[kind] + text for text in texts])
        rows = [encoding.ids for encoding in found]
        order = sorted(range(len(rows)), key=lambda index: -len(rows[index]))
        start = 0
        while start < len(order):
            size = max(1, BATCH_TOKENS // len(rows[order[start]]))
            chosen = order[start : start + size]
            ids, mask = padded([rows[index] for index in chosen])
            with torch.inference_mode(), _few_threads(ids.numel()):
                states = self.hidden_states(ids, mask)
            yield chosen, states, mask
            start += size

    def hidden_states(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Os estados da última camada.

        Args:
            ids: *Shape:* [B, T] int64. mask: *Shape:* [B, T] bool, ``False`` no preenchimento.

        Returns:
            *Shape:* [B, T, D] float32.
        """
        weights, length = self.weights, ids.shape[1]
        x = weights["embeddings.word_embeddings.weight"][ids]  # [B, T, D]
        x = x + weights["embeddings.position_embeddings.weight"][:length]
        x = self._norm(x, "embeddings.LayerNorm")
        visible = None if bool(mask.all()) else mask[:, None, None, :]  # [B, 1, 1, T]
        for layer in range(self.config["num_hidden_layers"]):
            x = self._layer(x, visible, f"encoder.layer.{layer}")
        return x

    def _layer(self, x: torch.Tensor, visible: torch.Tensor | None, name: str) -> torch.Tensor:
        import torch.nn.functional as functional

        attended = self._linear(self._attention(x, visible, name), f"{name}.attention.output.dense")
        x = self._norm(x + attended, f"{name}.attention.output.LayerNorm")
        inner = functional.gelu(self._linear(x, f"{name}.intermediate.dense"))  # [B, T, F]
        return self._norm(
            x + self._linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm"
        )

    def _attention(self, x: torch.Tensor, visible: torch.Tensor | None, name: str) -> torch.Tensor:
        import torch.nn.functional as functional

        heads = self.config["num_attention_heads"]
        batch, length, width = x.shape
        query, key, value = (
            self._linear(x, f"{name}.attention.self.{part}")
            .view(batch, length, heads, width // heads)
            .transpose(1, 2)  # [B, H, T, D / H]
            for part in ("query", "key", "value")
        )
        scale = 1.0 / math.sqrt(width // heads)
        mixed = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=visible, scale=scale
        )
        return mixed.transpose(1, 2).reshape(batch, length, width)

    def _linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        import torch.nn.functional as functional

        return functional.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        import torch.nn.functional as functional

        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return functional.layer_norm(x, x.shape[-1:], weight, bias, self.config["layer_norm_eps"])


def padded(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Listas de tokens, preenchidas até a mais longa: ids [B, T] int64 e máscara [B, T] bool."""
    import torch

    longest = max(map(len, rows))
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros(len(rows), longest, dtype=torch.bool)
    for row, tokens in enumerate(rows):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = True
    return ids, mask


@contextmanager
def _few_threads(tokens: int) -> Iterator[None]:
    """Uma thread só para um texto curto, quando as do OpenMP dormem entre uma conta e outra.

    Acordá-las custa mais que o que elas poupam: uma pergunta leva 19 ms com uma e 26 com duas.
    """
    import torch

    threads = torch.get_num_threads()
    alone = tokens <= ALONE_TOKENS and os.environ.get("OMP_WAIT_POLICY", "").upper() == "PASSIVE"
    if not alone or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def mean_vector(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """A média dos estados fora do preenchimento, com norma 1: [B, T, D] e [B, T] -> [B, D]."""
    import torch.nn.functional as functional

    weights = mask[..., None].to(states.dtype)
    return functional.normalize((states * weights).sum(1) / weights.sum(1), dim=-1)
