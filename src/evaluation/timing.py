"""O relógio das medidas: rodadas intercaladas, mediana, variação e a máquina.

Numa máquina compartilhada os milissegundos mudam de um minuto para o outro, e a mudança passa do
que uma medição vê de si mesma. Repete-se a **razão** entre duas coisas medidas lado a lado: o que
atrapalha uma atrapalha a outra. Por isso toda comparação aqui é de razões, e só se diz que uma é
maior que a outra quando as variações não se tocam (docs/LOG.md tem as medidas).

A variação impressa vai do percentil 10 ao 90 das rodadas.
"""

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.utils.container_limits import read_system_text
from src.utils.numbers import decimal

SPREAD = (10, 90)  # percentis
MIN_REPEATS = 10  # rodadas que contam, por mais que demorem


@dataclass(frozen=True)
class Spread:
    """Uma medida repetida: a mediana e os percentis 10 e 90 das repetições."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> "Spread":
        """Das repetições; com uma só, a variação é nula."""
        import numpy as np

        low, high = np.percentile(samples, SPREAD)
        return cls(float(statistics.median(samples)), float(low), float(high))

    def text(self, places: int = 1) -> str:
        """``12,3 (11,9-14,0)``."""
        low, high = decimal(self.low, places), decimal(self.high, places)
        return f"{decimal(self.median, places)} ({low}-{high})"

    def overlaps(self, other: "Spread") -> bool:
        """Se as variações se tocam: aí nenhuma das duas é maior."""
        return self.low <= other.high and other.low <= self.high

    @property
    def differs_from_one(self) -> bool:
        """Numa razão: se a variação inteira está de um lado de 1."""
        return self.low > 1 or self.high < 1


@dataclass(frozen=True)
class Timing:
    """O que uma função levou: em milissegundos, e sobre a primeira função, rodada a rodada."""

    ms: Spread
    ratio: Spread


def interleaved(
    functions: dict[Any, Callable[[], Any]],
    repeats: int,
    warmup: int = 2,
    max_seconds: float = float("inf"),
    on_round: Callable[[int, int], object] | None = None,
) -> dict[Any, list[Any]]:
    """Chama as funções em rodadas, uma vez cada por rodada, e junta o que devolvem.

    Args:
        repeats: rodadas que contam. warmup: rodadas antes delas, que não contam.
        max_seconds: depois disto, e de ``MIN_REPEATS`` rodadas, para.
        on_round: recebe quantas rodadas contaram e quantas se querem.
    """
    found: dict[Any, list[Any]] = {name: [] for name in functions}
    started = time.perf_counter()
    for index in range(warmup + repeats):
        for name, function in functions.items():
            value = function()
            if index >= warmup:
                found[name].append(value)
        done = index + 1 - warmup
        if on_round is not None and done > 0:
            on_round(done, repeats)
        if done >= MIN_REPEATS and time.perf_counter() - started > max_seconds:
            break
    return found


def measure_pairs(
    functions: dict[str, Callable[[], object]], repeats: int, warmup: int = 2
) -> dict[str, Timing]:
    """Mede as funções em rodadas intercaladas; a primeira é a referência das razões."""
    clocks = {name: _timed(function) for name, function in functions.items()}
    rounds = interleaved(clocks, repeats, warmup)
    reference = next(iter(rounds.values()))
    return {name: against(samples, reference) for name, samples in rounds.items()}


def against(samples_ms: Sequence[float], reference_ms: Sequence[float]) -> Timing:
    """As medidas de uma coisa e as razões, rodada a rodada, sobre as da referência."""
    ratios = [mine / other for mine, other in zip(samples_ms, reference_ms)]
    return Timing(Spread.of(samples_ms), Spread.of(ratios))


def _timed(function: Callable[[], object]) -> Callable[[], float]:
    def run() -> float:
        start = time.perf_counter()
        function()
        return (time.perf_counter() - start) * 1000

    return run


# ---------------------------------------------------------------------- a máquina


def machine() -> dict[str, Any]:
    """A máquina e as versões, sem nada que identifique a pessoa."""
    import psutil
    import torch
    import transformers

    return {
        "system": platform.system(),
        "processor": processor_name(),
        "cores": psutil.cpu_count(logical=False),
        "threads": torch.get_num_threads(),
        "load_average": round(psutil.getloadavg()[0], 2),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY", "padrão"),
    }


def processor_name() -> str:
    """O nome comercial do processador; onde o sistema não o diz, a arquitetura."""
    lines = read_system_text(Path("/proc/cpuinfo")).splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (names or [platform.processor()])[0] or platform.machine()


def machine_line(found: dict[str, Any]) -> str:
    """A máquina numa linha."""
    return (
        f"{found['system']}, {found['processor']}, {found['cores']} núcleos, "
        f"{found['threads']} threads, {decimal(found['memory_gb'], 1)} GB, "
        f"torch {found['torch']}, OMP_WAIT_POLICY={found['omp_wait_policy']}, "
        f"carga {decimal(found['load_average'], 1)} no fim"
    )


def table(header: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    """Uma tabela Markdown, alinhada para se ler no terminal."""
    lines = [[str(cell) for cell in line] for line in [header, *rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    lines.insert(1, ["-" * max(width, 3) for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |"
        for line in lines
    )
