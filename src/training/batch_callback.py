"""``DynamicBatchSizeCallback``: o lote cresce ou encolhe conforme o ruído do gradiente."""

import math
from typing import Any, Protocol

from transformers import TrainerControl, TrainerState, TrainingArguments

from src.training.callback_base import ResumableCallback
from src.training.decisions import NoiseEstimate, next_rows_per_step, noise_scale, require_number
from src.utils.errors import LunaError, UsageError

MIN_ROWS = 2  # com uma linha só não há dois tamanhos de lote a comparar, e o ruído não se vê


class RowSampler(Protocol):
    """Quem escolhe as linhas de cada atualização; ``rows_per_step`` pode mudar entre elas."""

    rows_per_step: int


class DynamicBatchSizeCallback(ResumableCallback):
    """Ajusta as linhas por atualização ao ruído do gradiente (``src/training/decisions.py``).

    Quem treina parte cada atualização em ao menos dois micro-lotes (com um só, não há dois tamanhos
    a comparar) e chama ``observe``; ``small_batch`` dá os dois primeiros números. A cada
    ``every`` passos, no fim do passo, o lote dobra, cai à metade ou fica, em
    ``sampler.rows_per_step``. A falta de memória é outra decisão, imediata, de quem treina:
    ``after_out_of_memory``, que só reparte a atualização em micro-lotes menores.

    Args:
        sampler: quem escolhe as linhas; ``None``: quem treina o fornece (``attach``).
        max_rows: o teto de linhas; ``None`` é oito vezes o inicial.
        min_rows: o piso, que nunca é menor que ``MIN_ROWS``.
        every: de quantos em quantos passos se decide; também quantas observações é preciso ter.
        decay: o peso do passado na média móvel das estimativas.

    Erros:
        UsageError: valor fora do que se aceita.
    """

    remembered = ("signal", "noise", "observations", "first_rows", "rows_per_step")

    def __init__(
        self,
        sampler: RowSampler | None = None,
        max_rows: int | None = None,
        min_rows: int = 1,
        every: int = 20,
        decay: float = 0.95,
    ) -> None:
        require_number("min_rows", min_rows, 1, whole=True)
        require_number("max_rows", max_rows, min_rows, whole=True)
        require_number("every", every, 1, whole=True)
        if not 0 <= decay < 1:
            raise UsageError(f"decay={decay!r}: esperado de 0 a menos de 1.")
        self.sampler, self.max_rows, self.min_rows = sampler, max_rows, max(min_rows, MIN_ROWS)
        self.every, self.decay = every, decay
        self.signal = self.noise = 0.0
        self.observations = 0
        self.first_rows: int | None = None
        self.rows_per_step: int | None = None

    @property
    def noise_rows(self) -> float:
        """O tamanho de lote que o ruído pede, em linhas, pela média móvel."""
        return NoiseEstimate(self.signal, self.noise).rows

    def state_dict(self) -> dict[str, Any]:
        """O estado, com as linhas de agora: outros (os estágios) também as mudam."""
        if self.rows_per_step is not None and self.sampler is not None:
            self.rows_per_step = self.sampler.rows_per_step
        return super().state_dict()

    def observe(self, small_sq: float, big_sq: float, small_rows: float, big_rows: float) -> None:
        """Conta uma atualização.

        Args:
            small_sq, small_rows: |gradiente|² e linhas do lote pequeno, como ``small_batch`` os dá.
            big_sq, big_rows: |gradiente|² da atualização inteira, **antes** do corte da norma, e as
                suas linhas. Um valor que não é finito (atualização pulada) não conta.

        Erros:
            LunaError: ``small_rows`` não é menor que ``big_rows``.
        """
        if not (math.isfinite(small_sq) and math.isfinite(big_sq)):
            return
        new = noise_scale(small_sq, big_sq, small_rows, big_rows)
        average = NoiseEstimate(self.signal, self.noise).averaged(new, self.decay)
        self.signal, self.noise = average.signal, average.noise
        self.observations += 1

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Guarda o lote inicial; num treino retomado, repõe o que valia."""
        if self.sampler is None:
            raise LunaError("DynamicBatchSizeCallback sem sampler: passe-o a train_supervised().")
        if self.rows_per_step not in (None, self.sampler.rows_per_step):
            self.sampler.rows_per_step = self.rows_per_step
        self.rows_per_step = self.sampler.rows_per_step
        self.first_rows = self.first_rows or self.rows_per_step

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Decide, se for a vez."""
        if state.global_step % self.every or self.observations < self.every:
            return
        assert self.sampler is not None and self.first_rows is not None
        current = self.sampler.rows_per_step
        most = self.max_rows or 8 * self.first_rows
        rows = next_rows_per_step(current, self.noise_rows, self.min_rows, most)
        if rows != current:
            self.sampler.rows_per_step = rows
            message = f"Passo {state.global_step}: de {current} para {rows} linhas por atualização."
            self.tell("batch", message, rows_per_step=rows)
