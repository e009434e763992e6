"""Acompanhamento do treino: barra com tokens por segundo e tempo que falta, e métricas em JSONL."""

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from src.utils.numbers import decimal, grouped

logger = logging.getLogger(__name__)

BAR_FORMAT = (
    "{desc} {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} passos{postfix}, faltam {remaining}"
)
PLAIN_INTERVAL_S = 15.0  # fora de um terminal, uma linha a cada tanto


class ProgressCallback(TrainerCallback):
    """Mostra o andamento em stderr; fora de um terminal, linhas simples de vez em quando.

    Args:
        tokens_per_step: média de tokens de verdade processados a cada atualização.
        enabled: desliga tudo com ``False``.
    """

    def __init__(self, tokens_per_step: float, enabled: bool = True) -> None:
        self.tokens_per_step, self.enabled = tokens_per_step, enabled
        self.bar: tqdm | None = None
        self.started = self.last_line = 0.0
        self.first_step = 0
        self.loss: float | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Abre a barra."""
        self.started = self.last_line = time.perf_counter()
        self.first_step = state.global_step
        if self.enabled and state.is_world_process_zero and sys.stderr.isatty():
            self.bar = tqdm(
                total=state.max_steps,
                initial=state.global_step,
                desc="Treinando",
                bar_format=BAR_FORMAT,
                file=sys.stderr,
                dynamic_ncols=True,
            )

    def tokens_per_second(self, state: TrainerState) -> float:
        """Tokens por segundo desde o primeiro passo."""
        elapsed = max(time.perf_counter() - self.started, 1e-9)
        return (state.global_step - self.first_step) * self.tokens_per_step / elapsed

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Anda a barra, ou imprime uma linha se já passou tempo bastante."""
        if not self.enabled or not state.is_world_process_zero:
            return
        note = f"{grouped(self.tokens_per_second(state))} tokens/s"
        if self.loss is not None:
            note = f"perda {decimal(self.loss)}, {note}"
        if self.bar is not None:
            self.bar.set_postfix_str(note, refresh=False)
            self.bar.update(state.global_step - self.bar.n)
        elif time.perf_counter() - self.last_line >= PLAIN_INTERVAL_S:
            self.last_line = time.perf_counter()
            left = self._seconds_left(state)
            line = f"passo {state.global_step}/{state.max_steps}, {note}, faltam {left:.0f} s"
            print(line, file=sys.stderr, flush=True)

    def _seconds_left(self, state: TrainerState) -> float:
        done = max(state.global_step - self.first_step, 1)
        elapsed = time.perf_counter() - self.started
        return elapsed / done * (state.max_steps - state.global_step)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Guarda a última perda."""
        if logs and "loss" in logs:
            self.loss = float(logs["loss"])

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Fecha a barra."""
        self.close()

    def close(self) -> None:
        """Fecha a barra, se estiver aberta (também depois de uma interrupção)."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None


class MetricsCallback(TrainerCallback):
    """Acrescenta cada registro do treino a ``training/metrics.jsonl``, uma linha JSON por vez."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.enabled = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Grava uma linha; se o disco recusar, avisa uma vez e o treino segue sem as métricas."""
        if not (logs and self.enabled and state.is_world_process_zero):
            return
        record = {"step": state.global_step, "time": time.time(), **logs}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "a", encoding="utf-8") as stream:
                stream.write(json.dumps(record, ensure_ascii=False) + "\n")
        except OSError as error:
            self.enabled = False
            logger.warning("As métricas não vão mais para '%s': %s", self.path, error.strerror)
