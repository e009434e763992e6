"""O lugar deste processo entre os que o torchrun lançou; fora dele, é o único."""

import os


def is_main_process() -> bool:
    """Se este é o processo que fala e grava: o de ``RANK`` 0."""
    return process_rank() == 0


def world_size() -> int:
    """Quantos processos há."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def process_rank() -> int:
    """O número deste processo, a partir de 0."""
    return int(os.environ.get("RANK", "0"))
