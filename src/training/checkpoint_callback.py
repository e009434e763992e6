"""``CheckpointCallback``: quando gravar um checkpoint retomável e quais antigos podem sair."""

import logging
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerControl, TrainerState, TrainingArguments

from src.training.callback_base import ResumableCallback
from src.training.decisions import checkpoint_due, checkpoints_to_remove, require_number
from src.utils.atomic_io import TEMP_PREFIX, fsync_path, remove_leftovers
from src.utils.errors import LunaError, StorageError, UsageError
from src.utils.processes import as_main_process_says, is_main_process

logger = logging.getLogger(__name__)

REMOVING = f"{TEMP_PREFIX}removing-"
METRIC = "eval_bits_per_byte"


class CheckpointCallback(ResumableCallback):
    """Grava a cada tantos passos e/ou minutos; guarda os últimos e o melhor.

    Deve ser o **último** da lista: no passo em que há avaliação, só grava depois dela, para que o
    que os outros decidiram (crescer, reduzir a taxa, parar) vá no checkpoint. Com ``minutes``, uma
    avaliação que seja a melhor até ali também é gravada, se couber no custo (``checkpoint_due``).
    O melhor é o de menos bits por byte entre os gravados no passo de uma avaliação.

    Só remove pastas que este treino gravou (``written``, que é parte do estado). Quando ``save`` é
    chamado, o estado já conta com o checkpoint em curso. Se o disco recusar a gravação, avisa e o
    treino segue até a próxima.

    Args:
        save: grava ``step-N`` e devolve a pasta; é chamado em todos os processos. ``None``: quem
            treina o fornece (``src/training/callbacks.py: attach``).
        steps: grava nos múltiplos de ``steps``.
        minutes: grava a cada ``minutes``, ou menos vezes se gravar passasse de 2 % do tempo.
        keep_last: quantos dos últimos ficam.
        clock: o relógio, em segundos.

    Erros:
        UsageError: nem ``steps`` nem ``minutes``, ou um valor fora do que se aceita.
    """

    remembered = ("written", "last_saved_step", "save_seconds", "waited_seconds")

    def __init__(
        self,
        save: Callable[[], Path] | None = None,
        steps: int | None = None,
        minutes: float | None = None,
        keep_last: int = 2,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if steps is None and minutes is None:
            raise UsageError("CheckpointCallback(): informe steps, minutes ou os dois.")
        require_number("steps", steps, 1, whole=True)
        require_number("minutes", minutes, 0)
        require_number("keep_last", keep_last, 1, whole=True)
        self.save, self.steps, self.minutes = save, steps, minutes
        self.keep_last, self.clock = keep_last, clock
        self.first_step = 0  # passos dados antes deste treino: N = first_step + global_step
        #: Os que este treino gravou: [{"step": N, "bits_per_byte": medida no passo N ou None}].
        self.written: list[dict[str, Any]] = []
        self.last_saved_step = 0
        self.save_seconds = 0.0
        self._waited = 0.0
        self._mark: float | None = None  # o instante da última gravação; None fora do treino
        self._pending = False

    @property
    def waited_seconds(self) -> float:
        """Segundos de treino desde a última gravação."""
        return self._waited if self._mark is None else self.clock() - self._mark

    @waited_seconds.setter
    def waited_seconds(self, seconds: float) -> None:
        self._waited, self._mark = seconds, None

    @property
    def best_step(self) -> int | None:
        """O passo do melhor checkpoint gravado, se algum foi medido."""
        measured = [entry for entry in self.written if entry["bits_per_byte"] is not None]
        return min(measured, key=lambda e: e["bits_per_byte"])["step"] if measured else None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Começa a contar o tempo."""
        if self.save is None:
            raise LunaError("CheckpointCallback sem save: passe-o a train_supervised(callbacks=).")
        self._mark = self.clock() - self._waited

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Grava, se for hora; se este passo ainda vai ser avaliado, deixa para depois disso."""
        step = self.first_step + state.global_step
        due = self._pending or self._is_due(step)
        if due and not control.should_evaluate:
            self._write(step, None)
        else:
            self._pending = due

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Grava o que esperava por esta avaliação, ou o melhor até aqui."""
        if self._mark is None:
            return
        step, value = self.first_step + state.global_step, (metrics or {}).get(METRIC)
        bits = float(value) if value is not None and math.isfinite(value) else None
        if self._pending or self._is_due(step, self._is_new_best(bits)):
            self._write(step, bits)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Para de contar o tempo."""
        self.waited_seconds = self.waited_seconds

    def _is_new_best(self, bits: float | None) -> bool:
        scores = [e["bits_per_byte"] for e in self.written if e["bits_per_byte"] is not None]
        return bits is not None and bits < min(scores, default=math.inf)

    def _is_due(self, step: int, new_best: bool = False) -> bool:
        due = checkpoint_due(
            step,
            self.last_saved_step,
            self.waited_seconds,
            steps=self.steps,
            minutes=self.minutes,
            save_seconds=self.save_seconds,
            new_best=new_best,
        )
        return due if self.minutes is None else as_main_process_says(due)

    def _write(self, step: int, bits: float | None) -> None:
        assert self.save is not None
        before = (self.written, self.last_saved_step)
        entry = {"step": step, "bits_per_byte": bits}
        self.written = [old for old in self.written if old["step"] != step] + [entry]
        self.last_saved_step = step
        self._pending, self._mark = False, self.clock()
        try:
            folder = Path(self.save())
        except BaseException as error:
            self.written, self.last_saved_step = before
            if not isinstance(error, StorageError):
                raise
            logger.warning("Checkpoint do passo %d não gravado; o treino segue. %s", step, error)
            return
        self.save_seconds = self.clock() - self._mark
        self._mark = self.clock()
        if folder.name != f"step-{step}":
            raise LunaError(f"save() gravou '{folder}'; esperada uma pasta 'step-{step}'.")
        self._prune(folder.parent)

    def _prune(self, folder: Path) -> None:
        steps = [entry["step"] for entry in self.written]
        leaving = checkpoints_to_remove(steps, self.keep_last, self.best_step)
        if is_main_process():
            leaving = [step for step in leaving if remove_folder(folder / f"step-{step}")]
        self.written = [entry for entry in self.written if entry["step"] not in leaving]


def remove_folder(path: Path) -> bool:
    """Remove uma pasta sem nunca deixar metade dela sob o nome ``path``; diz se ele ficou livre.

    A pasta ganha antes um nome temporário; o que uma queda no meio deixar sob nomes assim é
    apagado na próxima vez. O que o sistema não deixar remover fica para depois, com um aviso.
    """
    try:
        remove_leftovers(path.parent, REMOVING)
        if path.exists():
            temporary = path.with_name(f"{REMOVING}{path.name}")
            path.rename(temporary)
            fsync_path(path.parent)
            shutil.rmtree(temporary)
    except OSError as error:
        logger.warning("O checkpoint antigo '%s' não saiu por completo: %s", path, error.strerror)
    return not path.exists()
