"""O lugar deste processo entre os que o torchrun lançou; fora dele, é o único."""

import os
from typing import TypeVar

T = TypeVar("T")


def is_main_process() -> bool:
    """Se este é o processo que fala e grava: o de ``RANK`` 0."""
    return process_rank() == 0


def world_size() -> int:
    """Quantos processos há."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def process_rank() -> int:
    """O número deste processo, a partir de 0."""
    return int(os.environ.get("RANK", "0"))


def as_main_process_says(value: T) -> T:
    """``value`` como o processo principal o tem: relógios e sinais diferem de um para outro.

    Todos os processos têm de chamar, na mesma ordem.
    """
    if world_size() == 1:
        return value
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        return value
    shared = [value]
    dist.broadcast_object_list(shared, src=0)
    return shared[0]
