"""O que os programas de medida dividem: relógio com repetições intercaladas, máquina e tabelas."""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from src.utils import numbers

Row = dict[str, Any]


@dataclass(frozen=True)
class Timing:
    """Tempos de uma função, em milissegundos."""

    median_ms: float
    min_ms: float
    max_ms: float
    ratio: float  # mediana, rodada a rodada, do tempo desta sobre o da primeira função

    def text(self) -> str:
        """``12,3 (11,9-14,0)``."""
        return f"{decimal(self.median_ms)} ({decimal(self.min_ms)}-{decimal(self.max_ms)})"


def measure_pairs(
    functions: dict[str, Callable[[], object]], repeats: int, warmup: int = 2
) -> dict[str, Timing]:
    """Mede as funções em rodadas intercaladas: o que atrapalha uma atrapalha também a outra.

    Args:
        functions: a primeira é a referência das razões.
        repeats: rodadas que contam. warmup: rodadas antes delas, que não contam.
    """
    rounds: list[list[float]] = []
    for index in range(warmup + repeats):
        row = [_milliseconds(function) for function in functions.values()]
        if index >= warmup:
            rounds.append(row)
    return {
        name: Timing(
            statistics.median(row[i] for row in rounds),
            min(row[i] for row in rounds),
            max(row[i] for row in rounds),
            statistics.median(row[i] / row[0] for row in rounds),
        )
        for i, name in enumerate(functions)
    }


def _milliseconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return (time.perf_counter() - start) * 1000


def machine() -> Row:
    """A máquina e as versões, sem nada que identifique a pessoa."""
    import psutil
    import torch

    return {
        "system": platform.system(),
        "cores": psutil.cpu_count(logical=False),
        "threads": torch.get_num_threads(),
        "load_average": round(psutil.getloadavg()[0], 2),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY", "padrão"),
    }


def machine_line(found: Row) -> str:
    """A máquina numa linha."""
    return (
        f"{found['system']}, {found['cores']} núcleos, {found['threads']} threads, "
        f"{decimal(found['memory_gb'])} GB, torch {found['torch']}, "
        f"OMP_WAIT_POLICY={found['omp_wait_policy']}, "
        f"carga {decimal(found['load_average'])} no fim"
    )


def decimal(value: float, places: int = 1) -> str:
    """Um número com vírgula e, se nada se disser, uma casa."""
    return numbers.decimal(value, places)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Uma tabela Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def parser(description: str) -> argparse.ArgumentParser:
    """Um parser com as opções que todo programa de medida tem."""
    found = argparse.ArgumentParser(description=description)
    found.add_argument("--json", action="store_true", help="imprime um objeto JSON")
    found.add_argument("--quick", action="store_true", help="o mínimo, em segundos")
    return found


def show(args: argparse.Namespace, result: Row, text: str) -> None:
    """Imprime ``result`` em JSON, ou ``text``."""
    print(json.dumps(result, ensure_ascii=False, indent=2) if args.json else text)
