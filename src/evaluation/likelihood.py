"""Verossimilhança de um texto: perda, perplexidade e bits por byte.

Bits por byte divide a informação pelos bytes UTF-8 do texto, não pelos tokens: por isso serve para
comparar modelos de tokenizadores diferentes.

    bpb = (soma de -ln p dos tokens avaliados) / ln 2 / (bytes desses tokens)
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Likelihood:
    """O resultado da avaliação.

    loss: nats por token. perplexity: exp(loss). bits_per_byte: bits por byte UTF-8.
    tokens, bytes: quantos foram avaliados.
    """

    loss: float
    perplexity: float
    bits_per_byte: float
    tokens: int
    bytes: int

    @classmethod
    def from_totals(cls, nats: float, tokens: int, byte_count: int) -> "Likelihood":
        """Monta o resultado a partir das somas."""
        loss = nats / max(tokens, 1)
        bits = nats / math.log(2) / max(byte_count, 1)
        return cls(loss, math.exp(min(loss, 700.0)), bits, tokens, byte_count)

    def to_dict(self) -> dict[str, Any]:
        """Como dicionário, pronto para JSON."""
        return asdict(self)


@torch.no_grad()
def measure(
    model: Callable[..., Any],
    batches: Iterable[dict[str, Tensor]],
    bytes_per_token: Tensor,
) -> Likelihood:
    """Soma a perda dos rótulos que contam (diferentes de -100) em ``batches``.

    O resultado não depende de como as mesmas sequências são divididas em lotes.

    Args:
        model: chamável com ``input_ids`` e ``position_ids`` [B, L]; devolve ``.logits`` [B, L, V].
        batches: dicionários com ``input_ids``, ``labels`` e ``position_ids``.
        bytes_per_token: [V], bytes de texto de cada id (``LunaTokenizer.bytes_per_token``).
    """
    nats, tokens, byte_count = 0.0, 0, 0
    for batch in batches:
        inputs = {k: v for k, v in batch.items() if k != "labels"}
        targets = batch["labels"][:, 1:]
        logits = model(**inputs).logits[:, :-1]
        kept = targets != -100
        losses = F.cross_entropy(logits[kept].float(), targets[kept], reduction="sum")
        nats += float(losses.double())
        tokens += int(kept.sum())
        byte_count += int(bytes_per_token[targets[kept].cpu()].sum())
    return Likelihood.from_totals(nats, tokens, byte_count)
