"""Acompanhar o treino sem mexer nele: amostras de respostas, tokens por segundo, especialistas.

O Trainer passa o mesmo dicionário ``logs`` a todos os callbacks, na ordem da lista: o que um
acrescenta, os seguintes veem. Por isso ``ThroughputCallback`` e ``ExpertLoadCallback`` vêm antes
dos que gravam (``src/training/tracking.py`` e ``MetricsCallback``).
"""

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from src.evaluation.history import append
from src.models.moe import MoEBlock

logger = logging.getLogger(__name__)

SAMPLE_TIMES = 5  # vezes que as perguntas são feitas num treino
MAX_PROMPTS = 4  # perguntas de cada vez: as amostras são uma espiada, não uma avaliação


# ---------------------------------------------------------------------- amostras


def sample_steps(max_steps: int, times: int = SAMPLE_TIMES) -> list[int]:
    """Os passos em que as perguntas são feitas: ``times``, a espaços iguais, o último no fim.

    Com menos passos que ``times``, todos eles.
    """
    if max_steps < 1 or times < 1:
        return []
    return sorted({max(1, round(max_steps * turn / times)) for turn in range(1, times + 1)})


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Põe ``model`` em avaliação, sem gradientes; no fim, tudo volta a ser o que era.

    Voltam o modo de cada módulo (treino ou avaliação) e os geradores de números aleatórios do
    Python, do numpy e do torch (CPU e o acelerador do modelo): o treino segue como se nada tivesse
    acontecido.
    """
    modes = [(module, module.training) for module in model.modules()]
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    device = next(model.parameters()).device
    accelerator: Any = None if device.type == "cpu" else torch.get_device_module(device)
    accelerated = accelerator.get_rng_state() if accelerator else None
    try:
        model.eval()
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if accelerator:
            accelerator.set_rng_state(accelerated)


class SamplesCallback(TrainerCallback):
    """Faz as mesmas perguntas ao longo do treino e guarda as respostas.

    Cada resposta é uma linha de ``path``: ``{"step", "time", "prompt", "answer"}``. Os passos saem
    de ``sample_steps``, e por isso nada precisa ser guardado para retomar; um treino que termina
    antes responde também no fim. Só o processo principal pergunta.

    Args:
        generate: responde uma pergunta com o modelo que está sendo treinado, em poucos tokens.
        prompts: as perguntas; ficam as primeiras ``MAX_PROMPTS``.
        path: o arquivo, em geral ``training/samples.jsonl``.
        times: quantas vezes perguntar.
    """

    def __init__(
        self,
        generate: Callable[[str], str],
        prompts: Sequence[str],
        path: Path,
        times: int = SAMPLE_TIMES,
    ) -> None:
        self.generate, self.path, self.times = generate, path, times
        self.prompts = list(prompts)[:MAX_PROMPTS]
        self.last_step = -1
        self.enabled = True

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Pergunta, se este é um dos passos."""
        if state.global_step in sample_steps(state.max_steps, self.times):
            self._sample(state, kwargs["model"])

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Pergunta no fim, se o último passo ainda não tem respostas."""
        if state.global_step not in (0, self.last_step):
            self._sample(state, kwargs["model"])

    def _sample(self, state: TrainerState, model: nn.Module) -> None:
        """Uma falha aqui não vale um treino: avisa uma vez e não pergunta mais."""
        if not (self.enabled and state.is_world_process_zero):
            return
        self.last_step = state.global_step
        try:
            with undisturbed(model):
                for prompt in self.prompts:
                    sample = {"prompt": prompt, "answer": self.generate(prompt)}
                    append(self.path, {"step": state.global_step, "time": time.time(), **sample})
        except (
            Exception
        ) as error:  # gerar pode falhar de muitos modos (memória, disco, tokenizador)
            self.enabled = False
            logger.warning(
                "As amostras pararam no passo %d (%s: %s); o treino segue sem elas.",
                state.global_step,
                type(error).__name__,
                error,
            )


# ---------------------------------------------------------------------- velocidade e especialistas


class ThroughputCallback(TrainerCallback):
    """Acrescenta ``tokens_per_second`` aos registros que têm ``loss``.

    São os tokens desde o registro anterior sobre o tempo dos passos: o da avaliação, das gravações
    e das amostras não conta.

    Args:
        tokens_seen: quantos tokens o treino já leu, somados todos os processos.
        clock: a hora em segundos; os testes trocam.
    """

    def __init__(
        self, tokens_seen: Callable[[], float], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.tokens_seen, self.clock = tokens_seen, clock
        self.seconds = self.step_began = 0.0
        self.tokens = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Começa a contar daqui: um treino retomado já leu tokens antes."""
        self.seconds, self.tokens = 0.0, self.tokens_seen()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Marca a hora."""
        self.step_began = self.clock()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Soma o tempo do passo."""
        self.seconds += self.clock() - self.step_began

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Põe a velocidade em ``logs`` e recomeça a contagem."""
        if logs is None or "loss" not in logs or self.seconds <= 0:
            return
        tokens = self.tokens_seen()
        logs["tokens_per_second"] = round((tokens - self.tokens) / self.seconds, 1)
        self.seconds, self.tokens = 0.0, tokens


def expert_load(model: nn.Module) -> list[list[float]]:
    """Por bloco MoE, a fração dos tokens do último lote de treino em cada especialista.

    Blocos que ainda não treinaram ficam de fora.
    """
    blocks = [module for module in model.modules() if isinstance(module, MoEBlock)]
    loads = [block.last_load for block in blocks if block.last_load is not None]
    return [[round(fraction, 3) for fraction in load.tolist()] for load in loads]


class ExpertLoadCallback(TrainerCallback):
    """Acrescenta ``expert_load`` aos registros que têm ``loss``, nos modelos com MoE."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Põe em ``logs`` a carga do último lote deste processo."""
        if logs is not None and "loss" in logs and (load := expert_load(kwargs["model"])):
            logs["expert_load"] = load
