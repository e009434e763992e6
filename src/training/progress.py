"""Acompanhamento do treino: barra com tokens por segundo e tempo que falta, e métricas em JSONL."""

import json
import logging
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from src.evaluation.history import ends_a_line
from src.utils.numbers import decimal, grouped
from src.utils.processes import is_main_process

logger = logging.getLogger(__name__)

BAR_FORMAT = (
    "{desc} {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} passos{postfix}, faltam {remaining}"
)
PLAIN_INTERVAL_S = 15.0  # fora de um terminal, uma linha a cada tanto


class ProgressCallback(TrainerCallback):
    """Mostra o andamento em stderr; fora de um terminal, linhas simples de vez em quando.

    Args:
        tokens_seen: quantos tokens o treino já leu, somados todos os processos.
        enabled: desliga tudo com ``False``.
    """

    def __init__(self, tokens_seen: Callable[[], float], enabled: bool = True) -> None:
        self.tokens_seen, self.enabled = tokens_seen, enabled
        self.bar: tqdm | None = None
        self.started = self.last_line = 0.0
        self.first_step, self.first_tokens = 0, 0.0
        self.loss: float | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Abre a barra."""
        self.started = self.last_line = time.perf_counter()
        self.first_step, self.first_tokens = state.global_step, self.tokens_seen()
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
        return (self.tokens_seen() - self.first_tokens) / elapsed

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
        self.enabled, self.checked = True, False

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Grava uma linha; se o disco recusar, avisa uma vez e o treino segue sem as métricas."""
        if logs and state.is_world_process_zero:
            self._append({"step": state.global_step, "time": time.time(), **logs})

    def event(self, name: str, step: int, **values: Any) -> None:
        """Grava um acontecimento (``start``, ``resume``, ``growth``, ``oom``, ``skipped``...)."""
        if is_main_process():
            self._append({"event": name, "step": step, "time": time.time(), **values})

    def _append(self, record: dict[str, Any]) -> None:
        if not self.enabled:
            return
        line = json.dumps(_finite(record), ensure_ascii=False) + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self.checked and not ends_a_line(self.path):
                line = "\n" + line  # uma queda deixou meia linha
            with open(self.path, "a", encoding="utf-8") as stream:
                stream.write(line)
            self.checked = True
        except OSError as error:
            self.enabled = False
            logger.warning("As métricas não vão mais para '%s': %s", self.path, error.strerror)


def _finite(record: dict[str, Any]) -> dict[str, Any]:
    """``record`` sem infinitos e NaN, que não existem em JSON."""
    bad = {k for k, v in record.items() if isinstance(v, float) and not math.isfinite(v)}
    return {key: None if key in bad else value for key, value in record.items()}
