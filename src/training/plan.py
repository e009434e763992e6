"""O que se sabe de um treino antes de ele começar: tamanho, velocidade, memória e hora do fim.

Uma sondagem curta faz algumas atualizações de mentira, com a taxa zero: pesos, otimizador, dados e
geradores ficam como estavam. ``--max_minutes`` vira ali um número de passos, que é guardado: um
treino interrompido e retomado termina onde terminaria.
"""

import copy
import statistics
import time
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import torch

from src.evaluation.memory import peak_resident_gb
from src.training.checkpoints import generator_state, load_generator_state
from src.training.engine import LunaHFTrainer, learned_tokens
from src.utils.numbers import decimal, grouped

WARM_UP, MIN_STEPS, MAX_STEPS = 1, 3, 8
PROBE_SECONDS = 4.0  # a sondagem para por volta disto, a partir de MIN_STEPS
#: Parte do tempo que não é passo: validação, checkpoints, respostas ao longo do caminho.
OVERHEAD = 0.06


@dataclass
class Probe:
    """seconds_per_step: mediana de uma atualização. memory_gb: pico de memória até ali."""

    seconds_per_step: float
    memory_gb: float


@dataclass
class TrainingPlan:
    """O plano de um treino.

    parameters, active_parameters: pesos, e os usados por token. trainable: os que o treino muda.
    steps: atualizações. tokens: tokens lidos até o fim, com repetição. data_tokens: os dos dados.
    tokens_per_second, memory_gb, seconds: estimados pela sondagem.
    """

    parameters: int
    active_parameters: int
    trainable: int
    steps: int
    tokens: int
    data_tokens: int
    tokens_per_second: float
    memory_gb: float
    seconds: float
    precision: str = "fp32"

    def to_dict(self) -> dict[str, Any]:
        """Pronto para JSON."""
        return asdict(self)

    def lines(self, now: datetime | None = None) -> list[str]:
        """O plano em português, linha a linha."""
        end = (now or datetime.now()) + timedelta(seconds=self.seconds)
        passes = self.tokens / max(self.data_tokens, 1)
        active = ""
        if self.active_parameters != self.parameters:
            active = f" ({grouped(self.active_parameters)} por token)"
        return [
            f"Modelo: {grouped(self.parameters)} parâmetros{active}"
            + (
                f", dos quais {grouped(self.trainable)} serão treinados."
                if self.trainable != self.parameters
                else "."
            ),
            f"Dados: {grouped(self.data_tokens)} tokens, lidos {decimal(passes)} vez(es): "
            f"{grouped(self.tokens)} tokens em {grouped(self.steps)} passos.",
            f"Ritmo: cerca de {grouped(self.tokens_per_second)} tokens/s ({self.precision}), "
            f"{decimal(self.memory_gb, 1)} GB de memória.",
            f"Fim previsto: {describe_end(end, now or datetime.now())} "
            f"({describe_duration(self.seconds)}).",
        ]


def steps_in(minutes: float, seconds_per_step: float) -> int:
    """Quantas atualizações cabem em ``minutes``, descontado o que não é passo; ao menos 1."""
    return max(1, int(minutes * 60 * (1 - OVERHEAD) / max(seconds_per_step, 1e-9)))


def total_seconds(steps: int, seconds_per_step: float) -> float:
    """A duração prevista de ``steps`` atualizações, com a parte que não é passo."""
    return steps * seconds_per_step / (1 - OVERHEAD)


def describe_duration(seconds: float) -> str:
    """``95`` -> "1 min 35 s"; ``7300`` -> "2 h 1 min"."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def describe_end(end: datetime, now: datetime) -> str:
    """A hora do fim; com o dia, se não for hoje."""
    return end.strftime("%H:%M" if end.date() == now.date() else "%d/%m às %H:%M")


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
