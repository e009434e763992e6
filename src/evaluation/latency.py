"""Quanto tempo a geração leva: até o primeiro token, e entre um token e o seguinte.

Os tempos são tomados por um ``streamer``, o mesmo caminho por que o chat recebe cada token. O do
primeiro token inclui a leitura do prompt.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers.generation.streamers import BaseStreamer

WARMUP = 1  # gerações que não contam, por modelo
PERCENTILES = (50, 95)


class _Clock(BaseStreamer):
    """Anota a hora em que cada token chega."""

    def __init__(self) -> None:
        self.stamps: list[float] = []
        self.prompt_seen = False

    def put(self, value: torch.Tensor) -> None:
        """Um lote de tokens; o primeiro é o prompt."""
        if self.prompt_seen:
            self.stamps.append(time.perf_counter())
        self.prompt_seen = True

    def end(self) -> None:
        """Nada a fechar."""


@dataclass(frozen=True)
class GenerationTime:
    """Os tempos de uma geração, em milissegundos.

    first_ms: até o primeiro token. token_ms: entre cada token e o anterior. total_ms: tudo.
    """

    first_ms: float
    token_ms: tuple[float, ...]
    total_ms: float


@torch.inference_mode()
def time_generation(model: Any, ids: Sequence[int], new_tokens: int) -> GenerationTime:
    """Gera ``new_tokens`` sem sorteio, sem parar antes, e diz quanto levou.

    Args:
        model: com ``generate``, como nos modelos do transformers.
        ids: o prompt; com os tokens novos, cabe no contexto.
    """
    inputs = torch.tensor([list(ids)], device=next(model.parameters()).device)
    clock = _Clock()
    start = time.perf_counter()
    model.generate(
        inputs,
        attention_mask=torch.ones_like(inputs),
        max_new_tokens=new_tokens,
        min_new_tokens=new_tokens,
        do_sample=False,
        num_beams=1,
        pad_token_id=0,
        streamer=clock,
    )
    end = time.perf_counter()
    gaps = np.diff([start, *clock.stamps]) * 1000
    return GenerationTime(float(gaps[0]), tuple(map(float, gaps[1:])), (end - start) * 1000)


def measure_latency(
    models: dict[str, Any], prompts: dict[str, list[list[int]]], new_tokens: int
) -> dict[str, dict[str, Any]]:
    """A latência de cada modelo, em rodadas intercaladas: prompt a prompt, um modelo e o outro.

    Args:
        models: nome -> modelo. prompts: nome -> os prompts, na mesma ordem em todos.

    Returns:
        Por modelo: ``first_token_ms`` e ``per_token_ms`` com ``p50`` e ``p95``, quantos prompts e
        quantos tokens cada um tinha e gerou, em mediana.
    """
    times: dict[str, list[GenerationTime]] = {name: [] for name in models}
    count = min(len(found) for found in prompts.values())
    for index in [*[0] * WARMUP, *range(count)]:
        for name, model in models.items():
            times[name].append(time_generation(model, prompts[name][index], new_tokens))
    return {
        name: {
            "first_token_ms": percentiles([item.first_ms for item in found[WARMUP:]]),
            "per_token_ms": percentiles([ms for item in found[WARMUP:] for ms in item.token_ms]),
            "prompts": count,
            "prompt_tokens": float(np.median([len(ids) for ids in prompts[name][:count]])),
            "new_tokens": new_tokens,
        }
        for name, found in times.items()
    }


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """``p50`` e ``p95``."""
    found = np.percentile(values, PERCENTILES)
    return {f"p{rank}": float(value) for rank, value in zip(PERCENTILES, found)}
