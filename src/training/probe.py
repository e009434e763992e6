"""A sondagem: quanto custa uma atualização nesta máquina, sem mudar nada.

Faz algumas atualizações de mentira, com a taxa zero: pesos, otimizador, dados e geradores ficam
como estavam.
"""

import copy
import statistics
import time
from dataclasses import dataclass
from typing import Any

import torch

from src.evaluation.memory import peak_resident_gb
from src.training.checkpoints import generator_state, load_generator_state
from src.training.engine import LunaHFTrainer, learned_tokens

WARM_UP, MIN_STEPS, MAX_STEPS = 2, 3, 8
PROBE_SECONDS = 4.0  # a sondagem para por volta disto, a partir de MIN_STEPS


@dataclass
class Probe:
    """seconds_per_step: mediana de uma atualização. memory_gb: pico de memória até ali."""

    seconds_per_step: float
    memory_gb: float


def probe(trainer: LunaHFTrainer) -> Probe:
    """Mede algumas atualizações sem mudar nada: pesos, otimizador, posição e geradores voltam.

    Com taxa zero e sem decaimento, o otimizador faz a conta inteira e soma zero aos pesos.
    """
    generators = generator_state()
    position = copy.deepcopy(trainer.stream.position)
    optimizer = _harmless_optimizer(trainer)
    model: Any = trainer.model
    was_training = model.training
    model.to(trainer.args.device)
    times: list[float] = []
    batches = iter(trainer.stream)
    started = time.perf_counter()
    while len(times) < WARM_UP + MAX_STEPS:
        enough = len(times) >= WARM_UP + MIN_STEPS
        if enough and time.perf_counter() - started > PROBE_SECONDS:
            break
        batch = next(batches, None)
        if batch is None:
            trainer.stream.position = copy.deepcopy(position)
            batches = iter(trainer.stream)
            continue
        begin = time.perf_counter()
        _fake_step(trainer, model, optimizer, batch)
        times.append(time.perf_counter() - begin)
    memory = peak_resident_gb()
    model.zero_grad()
    model.train(was_training)
    trainer.stream.position = position
    load_generator_state(*generators)
    return Probe(statistics.median(times[WARM_UP:]), memory)


def _harmless_optimizer(trainer: LunaHFTrainer) -> torch.optim.Optimizer:
    """Um otimizador à parte, do mesmo tipo, com taxa e decaimento zero em todos os grupos."""
    optimizer = trainer.fresh_optimizer()
    for group in optimizer.param_groups:
        group["lr"] = group["weight_decay"] = 0.0
    return optimizer


def _fake_step(trainer: LunaHFTrainer, model: Any, optimizer: Any, batch: dict[str, Any]) -> None:
    items = learned_tokens(batch).to(trainer.args.device)
    trainer.training_step(model, batch, items)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    model.zero_grad()
    if trainer.args.device.type == "cuda":
        torch.cuda.synchronize()
