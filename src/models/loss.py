"""Entropia cruzada com a projeção no vocabulário, em pedaços que cabem no cache da CPU.

Glossário (letra, significado):
    T  tokens aprendidos      V  vocabulário      D  largura do modelo

Os logits [T, V] são o maior tensor de um modelo pequeno, e ninguém precisa deles inteiros: o
gradiente de cada pedaço sai na própria ida, e só [T, D] e [V, D] ficam guardados. A conta óbvia,
``cross_entropy(h @ W.T, y)``, está em ``tests/test_loss.py`` ao lado desta.

Fonte: a ideia é a de Wijmans et al., "Cut Your Losses in Large-Vocabulary Language Models" (2024),
e Hsu et al., "Liger Kernel" (2024), aqui em PyTorch puro.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK_FLOATS = 2**21  # logits por pedaço na CPU: 8 MB em fp32
GPU_CHUNK_FLOATS = 2**27  # na GPU pedaços grandes é que rendem


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Soma de -ln p; a volta só multiplica os gradientes que a ida já calculou."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        dtype = compute_dtype(hidden)
        h, w = hidden.to(dtype), weight.to(dtype)
        hidden_gradient = torch.empty_like(h)
        weight_gradient = torch.zeros_like(weight, dtype=torch.float32)
        total = torch.zeros((), device=hidden.device, dtype=torch.float32)
        size = chunk_size(weight.shape[0], hidden.device.type)
        for part in range(0, len(h), size):
            chunk, wanted = h[part : part + size], targets[part : part + size].unsqueeze(1)
            logits = chunk @ w.T
            at_target = logits.gather(1, wanted).float()
            top = logits.amax(dim=1, keepdim=True)
            weights = logits.sub_(top).exp_()  # as probabilidades, vezes a soma da linha
            row_sum = weights.sum(dim=1, keepdim=True, dtype=torch.float32)
            total += (row_sum.log() + top.float() - at_target).sum()
            chosen = weights.gather(1, wanted).float() - row_sum  # em fp32: p perto de 1 se cancela
            weights.scatter_(1, wanted, chosen.to(dtype))
            share = 1 / row_sum  # dividir [n, D], e não [n, V], pela soma
            hidden_gradient[part : part + size] = (weights @ w) * share.to(dtype)
            shared = (chunk * share).to(dtype)
            if dtype == torch.float32:
                weight_gradient.addmm_(weights.T, shared)
            else:
                weight_gradient += weights.T @ shared
        ctx.save_for_backward(hidden_gradient.to(hidden.dtype), weight_gradient.to(weight.dtype))
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        hidden_gradient, weight_gradient = ctx.saved_tensors
        (scale,) = gradients
        return hidden_gradient * scale, weight_gradient * scale, None


def chunked_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Soma de ``-ln p(alvo)`` em nats, sem montar os logits.

    Args:
        hidden: [T, D]. weight: [V, D], a projeção de saída. targets: [T], ids de 0 a V - 1.
    """
    if not torch.is_grad_enabled():  # a ida acima calcula também a volta
        return _without_gradient(hidden, weight, targets)
    return _ChunkedCrossEntropy.apply(hidden, weight, targets)


def _without_gradient(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    dtype = compute_dtype(hidden)
    h, w = hidden.to(dtype), weight.to(dtype)
    total = torch.zeros((), device=hidden.device, dtype=torch.float32)
    size = chunk_size(weight.shape[0], hidden.device.type)
    for part in range(0, len(h), size):
        logits = (h[part : part + size] @ w.T).float()
        total += F.cross_entropy(logits, targets[part : part + size], reduction="sum")
    return total


def compute_dtype(hidden: Tensor) -> torch.dtype:
    """O tipo das contas: o do autocast, se houver; senão o de ``hidden``."""
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return hidden.dtype


def chunk_size(vocab_size: int, device: str) -> int:
    """Tokens por pedaço: ao menos 16."""
    floats = CHUNK_FLOATS if device == "cpu" else GPU_CHUNK_FLOATS
    return max(16, floats // vocab_size)
