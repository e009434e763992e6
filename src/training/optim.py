"""O otimizador: AdamW em grupos, com as matrizes do SSM mais devagar."""

from typing import Any

import torch
from torch import nn

#: Matrizes da recorrência: um passo grande nelas muda a memória de toda a sequência.
SLOW_SUFFIXES = (".ssm.A", ".ssm.B")


def parameter_groups(
    model: nn.Module, learning_rate: float, weight_decay: float, ssm_lr_scale: float = 0.1
) -> list[dict[str, Any]]:
    """Separa os parâmetros treináveis em três grupos.

    - matrizes comuns: com decaimento;
    - A e B do SSM: sem decaimento, a ``ssm_lr_scale`` da taxa;
    - vieses, normalizações, C e D: sem decaimento.
    """
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    slow: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if name.endswith(SLOW_SUFFIXES):
            slow.append(parameter)
        elif parameter.dim() >= 2:
            decayed.append(parameter)
        else:
            plain.append(parameter)
    groups = [
        {"params": decayed, "lr": learning_rate, "weight_decay": weight_decay},
        {"params": plain, "lr": learning_rate, "weight_decay": 0.0},
        {"params": slow, "lr": learning_rate * ssm_lr_scale, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def build_optimizer(
    model: nn.Module, learning_rate: float, weight_decay: float, ssm_lr_scale: float = 0.1
) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter, 2019) com betas 0,9 e 0,95, usuais em modelos de linguagem."""
    groups = parameter_groups(model, learning_rate, weight_decay, ssm_lr_scale)
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.95), eps=1e-8)
