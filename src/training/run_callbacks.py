"""Os dois callbacks com que um ``TrainingRun`` acompanha o ``Trainer``: retoma, para e mede."""

import time
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from src.training.callback_base import ResumableCallback
from src.training.curriculum import StageResult
from src.training.stop_signals import StopRequested
from src.utils.processes import as_main_process_says

if TYPE_CHECKING:
    from src.training.run import TrainingRun


class Resumer(TrainerCallback):
    """Abre o registro de métricas, devolve tudo ao que era num treino retomado, e para a pedido.

    É o primeiro da lista: os outros já encontram o seu estado.
    """

    def __init__(self, run: "TrainingRun") -> None:
        self.run = run

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Volta ao checkpoint, ou anota quantos passos serão."""
        run = self.run
        if run.resume is not None:
            run.restore()
        else:
            run.metrics.event("planned", 0, max_steps=args.max_steps)
        control.should_training_stop |= state.global_step >= args.max_steps

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """A passada de verdade, no lugar da do transformers, que vê uma só; e a parada pedida."""
        state.epoch = self.run.stream.epoch
        stop = self.run.stop
        stop.requested = as_main_process_says(stop.requested)
        control.should_training_stop |= stop.requested

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Para aqui, já feita a avaliação deste passo e antes das do fim, que não é este.

        Erros:
            StopRequested: a parada foi pedida.
        """
        if self.run.stop.requested and state.global_step < args.max_steps:
            raise StopRequested


class StageWatcher(ResumableCallback):
    """Mede a validação na troca de estágio, e acrescenta aos registros estágio e lote.

    tokens: os lidos até o começo do estágio. seconds: os do estágio até agora.
    """

    remembered = ("tokens", "seconds")

    def __init__(self, run: "TrainingRun") -> None:
        self.run = run
        self.before: float | None = None
        self.tokens = self.seconds = 0.0

    @property
    def seconds(self) -> float:
        """Segundos desde que o estágio começou, também os de antes de uma retomada."""
        return time.perf_counter() - self._began

    @seconds.setter
    def seconds(self, value: float) -> None:
        self._began = time.perf_counter() - value

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Começa a contar o estágio, se este não continua um."""
        if self.run.resume is None:
            self.tokens = self.seconds = 0.0

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Acrescenta ``rows_per_step`` e ``stage`` ao registro; quem grava vem depois."""
        if logs is None or "loss" not in logs:
            return
        logs["rows_per_step"] = self.run.stream.rows_per_step
        if self.run.stream.stage.name:
            logs["stage"] = self.run.stream.stage.name

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """No último passo de um estágio, pede a avaliação."""
        if self._stage_ended() and self.run.measure is not None:
            control.should_evaluate = True
        elif self._stage_ended():
            self._close(None)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Fecha o estágio com a medida."""
        if self._stage_ended():
            self._close((metrics or {}).get("eval_bits_per_byte"))

    def _stage_ended(self) -> bool:
        stream = self.run.stream
        return stream.stage.stage is not None and stream.position.steps == stream.stage.steps

    def _close(self, bits: float | None) -> None:
        run = self.run
        item = run.stream.stage
        assert item.stage is not None
        if len(run.stage_results) > run.stream.position.stage:
            return
        total = run.stream.position.tokens
        before = run.stage_results[-1].after if run.stage_results else self.before
        run.stage_results.append(
            StageResult(
                item.stage,
                item.steps,
                round(total - self.tokens),
                self.seconds,
                before,
                bits,
            )
        )
        self.tokens, self.seconds = total, 0.0
        run.metrics.event("stage", run.step, stage=item.stage.name, eval_bits_per_byte=bits)
