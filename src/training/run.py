"""Um treino do começo ao fim: monta o Trainer e os callbacks, planeja, retoma, treina, grava.

``LunaTrainer`` (``src/training/trainer.py``) prepara dados e argumentos; aqui eles viram um
``TrainingRun``, que vale uma vez só.
"""

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainingArguments

from src.evaluation.likelihood import Likelihood
from src.models.luna_model import LunaModel
from src.models.tokenizer import LunaTokenizer
from src.training import checkpoints
from src.training.batch_callback import DynamicBatchSizeCallback
from src.training.bigrams import (
    can_start,
    passes_for,
    seconds_per_context,
    start_from_bigrams,
)
from src.training.callbacks import (
    CheckpointCallback,
    GrowthCallback,
    attach,
    callbacks_state,
    load_callbacks_state,
)
from src.training.checkpoint_callback import remove_folder
from src.training.curriculum import StageResult
from src.training.dropout import dropout_for, set_dropout
from src.training.engine import LunaHFTrainer
from src.training.lora import has_lora, save_adapter
from src.training.monitoring import SamplesCallback
from src.training.ngram_counts import count_pairs
from src.training.pair_vectors import PASSES, add_pair_vectors, pairs_for
from src.training.plan import TrainingPlan, steps_in, total_seconds
from src.training.probe import probe
from src.training.progress import MetricsCallback, ProgressCallback
from src.training.request import Monitor, Request, RunOptions
from src.training.run_callbacks import Resumer, StageWatcher
from src.training.run_file import RunFile, data_fingerprint, new_run_id, restore_stages
from src.training.stages import Stage
from src.training.stop_signals import StopRequested, StopSignals
from src.training.stream import StreamStage, TrainingStream
from src.training.tracking import tracking_callbacks
from src.utils.atomic_io import remove_leftovers
from src.utils.errors import ModelFormatError, StorageError
from src.utils.processes import as_main_process_says, is_main_process, process_rank, world_size

CHECKPOINT_MINUTES = 5.0  # e nunca mais que 2 % do tempo gravando (CheckpointCallback)
KEPT_CHECKPOINTS = 2
WARMUP_CAP = 200  # passos de aquecimento, no máximo

#: Com ``--max_minutes``, a partida pelas contagens fica no máximo com esta parte do tempo.
START_SHARE = 0.25


@dataclass
class Outcome:
    """O que um treino fez desde que começou, ou foi retomado.

    loss: média, em nats; ``None`` se foi interrompido.
    """

    steps: int
    tokens: int
    seconds: float
    loss: float | None
    interruption: BaseException | None
    plan: TrainingPlan | None
    stages: list[StageResult] = field(default_factory=list)


class TrainingRun:
    """Um treino.

    Args:
        folder: a pasta do modelo. model: o modelo, ou ele embrulhado pelo PEFT.
        stages: os trechos. request: o pedido, que vai em ``run.json``.
        measure: mede a validação, ou ``None``.
        first_step: passos que este ``LunaTrainer`` já deu antes (para o nome dos checkpoints).
        resume: o checkpoint de onde continuar. record: o treino por retomar, se é um.
    """

    def __init__(
        self,
        folder: Path,
        model: Any,
        tokenizer: LunaTokenizer,
        stages: list[StreamStage],
        options: RunOptions,
        request: Request,
        callbacks: Sequence[TrainerCallback],
        monitor: Monitor,
        measure: Callable[[], Likelihood | None] | None,
        base_save_id: str | None,
        first_step: int = 0,
        resume: Path | None = None,
        record: RunFile | None = None,
    ) -> None:
        self.folder, self.model, self.tokenizer = folder, model, tokenizer
        self.options, self.request = options, request
        self.monitor, self.measure = monitor, measure
        self.first_step = first_step if record is None else record.first_step
        self.resume, self.stop = resume, StopSignals()
        self.base_save_id = base_save_id
        self.saved = checkpoints.read_state(resume) if resume is not None else None
        self.plan: TrainingPlan | None = None
        self.stage_results: list[StageResult] = []
        self.run_id = record.run if record is not None else new_run_id()
        if record is not None:
            restore_stages(record, stages)
        seed = options.arguments["seed"]
        self.stream = TrainingStream(stages, seed, process_rank(), world_size())
        self.metrics = MetricsCallback(folder / "training" / "metrics.jsonl")
        self.progress = ProgressCallback(lambda: self.stream.position.tokens, monitor.show_progress)
        self.watcher = StageWatcher(self)
        self.callbacks = self._own_callbacks(list(callbacks))
        self.trainer = self._build()
        self._begin()
        self._settle_steps(record)
        self._settle_dropout()
        self._watch_noise()
        self.record = record or self._new_record()

    # ------------------------------------------------------------------ montagem

    def _own_callbacks(self, given: list[TrainerCallback]) -> list[TrainerCallback]:
        """Os de quem treina e os de Luna, na ordem que uns pedem aos outros."""
        monitor = self.monitor
        tracking = tracking_callbacks(
            monitor.use_wandb, self.folder, lambda: self.stream.position.tokens
        )
        found = [*tracking, *given]
        if getattr(self.model, "growing_networks", None) and self.measure is not None:
            if not any(isinstance(item, GrowthCallback) for item in found):
                found.append(GrowthCallback())
        found.append(self.watcher)
        found += [self.metrics, self.progress]
        if monitor.generate is not None and monitor.prompts:
            path = self.folder / "training" / "samples.jsonl"
            found.append(SamplesCallback(monitor.generate, monitor.prompts, path))
        if not any(isinstance(item, CheckpointCallback) for item in given):
            own = CheckpointCallback(minutes=CHECKPOINT_MINUTES, keep_last=KEPT_CHECKPOINTS)
            found.append(own)
        else:  # deve ser o último
            found.sort(key=lambda item: isinstance(item, CheckpointCallback))
        attach(
            found,
            save=self.save_checkpoint,
            first_step=self.first_step,
            sampler=self.stream,
            report=lambda event, values: self.metrics.event(event, self.step, **values),
        )
        return [Resumer(self), *found]

    def _build(self) -> LunaHFTrainer:
        options = self.options
        values = options.arguments | {"gradient_accumulation_steps": 1}  # quem acumula é o engine
        if not values["max_grad_norm"]:
            values["max_grad_norm"] = math.inf  # a norma é medida de todo modo
        arguments = TrainingArguments(**values)
        trainer = LunaHFTrainer(
            stream=self.stream,
            micro_rows=options.micro_rows,
            measure=self.measure,
            on_event=lambda event: self.metrics.event(event, self.step),
            ssm_lr_scale=options.ssm_lr_scale,
            low_precision=options.low_precision,
            own_optimizer="optim" not in options.arguments,
            model=self.model,
            args=arguments,
            eval_dataset=[] if self.measure is not None else None,  # quem mede é ``measure``
            callbacks=self.callbacks,
        )
        for name in ("PrinterCallback", "ProgressCallback"):
            _drop_callback(trainer, name)
        return trainer

    def _begin(self) -> None:
        """A linha que abre um treino nas métricas; o retomado escreve a sua quando volta."""
        if self.resume is None:
            names = [stage.name for stage in self.stream.stages if stage.name]
            self.metrics.event("start", 0, run=self.run_id, stages=names)

    def _settle_steps(self, record: RunFile | None) -> None:
        """Fixa o número de passos (guardado ou escolhido agora), faz a partida e planeja a taxa."""
        if record is None:
            self._choose_steps()
        elif self.resume is None:
            self._start(self.options.start_passes or 0, self.options.start_pairs)
        total = self.stream.total_steps
        arguments: Any = self.trainer.args
        arguments.max_steps = total
        if arguments.eval_strategy == "steps" and not self.options.arguments.get("eval_steps"):
            arguments.eval_steps = max(1, total // 8)
        if self.options.schedule is not None:
            warmup = min(round(total * self.options.warmup_fraction), WARMUP_CAP)
            stages = self.stream.stages
            scales = [item.stage.learning_rate_scale for item in stages if item.stage]
            ends = list(itertools.accumulate(item.steps for item in stages))
            self.trainer.own_schedule = {
                "warmup_steps": warmup,
                "scales": [[end, scale] for end, scale in zip(ends, scales)],
                **self.options.schedule,
            }

    def _settle_dropout(self) -> None:
        """O dropout escolhido ou, sabidos os passos, o que eles pedem."""
        if self.options.dropout is None:
            data = max(stage.rows.tokens for stage in self.stream.stages)
            self.options.dropout = dropout_for(self.stream.total_tokens, data)
        set_dropout(self.model, self.options.dropout)

    def _watch_noise(self) -> None:
        """Só agora: a sondagem dá passos que não contam, e quantos depende da máquina."""
        dynamic = [c for c in self.callbacks if isinstance(c, DynamicBatchSizeCallback)]
        if dynamic and world_size() == 1:  # com vários, a primeira parte é só deste processo
            self.trainer.observe_noise = dynamic[0].observe

    def _choose_steps(self) -> None:
        """Os passos dados, ou os que cabem nos minutos; e a partida por bigramas.

        A partida gasta do mesmo tempo: os passos são os que cabem no que sobrar.
        """
        options, minutes = self.options, self.request.max_minutes
        measured = None
        if minutes is not None or self.monitor.show_progress:
            measured = probe(self.trainer)
        began = time.perf_counter()
        if minutes is not None and measured is not None:
            self._fit_minutes(steps_in(minutes, measured.seconds_per_step))
        if options.start_passes is None:
            chosen = self._choose_start(options.start_pairs, minutes)
            options.start_passes, options.start_pairs = as_main_process_says(chosen)
        self._start(options.start_passes, options.start_pairs)
        if minutes is not None and measured is not None:
            left = minutes - (time.perf_counter() - began) / 60
            self._fit_minutes(steps_in(left, measured.seconds_per_step))
        if measured is not None:
            self.plan = self._plan(measured.seconds_per_step, measured.memory_gb)

    def _choose_start(self, most_pairs: int, minutes: float | None) -> tuple[int, int]:
        """Passadas da partida por bigramas e pares com vetor; (0, 0) num modelo que não é novo.

        Com ``minutes``, o que a partida pode custar é também medido no relógio.
        """
        model = _inner(self.model)
        if has_lora(self.model) or not can_start(model):
            return 0, 0
        vocab, width = model.config.vocab_size, model.config.n_embd
        active = model.parameter_count(active_only=True) - vocab * width
        data, training = self.stream.stages[-1].rows.tokens, self.stream.total_tokens
        passes = passes_for(training, data, active, vocab, width)
        if minutes is not None and passes:
            cost = seconds_per_context(vocab, width, self.options.low_precision)
            room = int(START_SHARE * minutes * 60 / cost)  # contextos
            passes = min(passes, room // vocab)
            most_pairs = min(most_pairs, max(room - passes * vocab, 0) // PASSES)
        return passes, pairs_for(training, active, vocab, width, most_pairs) if passes else 0

    def _start(self, passes: int, pairs: int) -> None:
        """A partida por bigramas, sobre as linhas do último trecho (o currículo as tem todas)."""
        model: Any = _inner(self.model)
        if passes < 1 or not can_start(model):
            return
        self.monitor.announce("Contando os pares de tokens, para o modelo não partir do zero...")
        model.to("cpu")
        rows, low = self.stream.stages[-1].rows, self.options.low_precision
        counts = count_pairs(rows, model.config.vocab_size)
        seed = self.options.arguments["seed"]
        try:
            nats = start_from_bigrams(model, counts, passes, seed, low)
            after_two = add_pair_vectors(model, rows, pairs, seed, low) if pairs else None
        except BaseException:
            model.config.origin = "random"  # uma partida pela metade se refaz
            raise
        model.to(self.trainer.args.device)
        self.metrics.event(
            "bigrams",
            0,
            passes=passes,
            loss=nats,
            pairs=model.config.pair_rows,
            loss_after_pairs=after_two,
        )

    def _fit_minutes(self, steps: int) -> None:
        """Reparte ``steps`` entre os trechos na proporção que tinham."""
        planned = self.stream.total_steps
        steps = left = as_main_process_says(steps)  # cada processo mediu o seu
        for stage in self.stream.stages[:-1]:
            stage.steps = min(left, max(1, round(stage.steps * steps / planned)))
            left = max(left - stage.steps, 1)
        self.stream.stages[-1].steps = left

    def _plan(self, seconds_per_step: float, memory_gb: float) -> TrainingPlan:
        model, tokens = _inner(self.model), self.stream.total_tokens
        per_step = tokens / max(self.stream.total_steps, 1)
        return TrainingPlan(
            parameters=model.parameter_count(),
            active_parameters=model.parameter_count(active_only=True),
            trainable=sum(p.numel() for p in self.model.parameters() if p.requires_grad),
            steps=self.stream.total_steps,
            tokens=round(tokens),
            data_tokens=max(stage.rows.tokens for stage in self.stream.stages),
            tokens_per_second=per_step / max(seconds_per_step, 1e-9),
            memory_gb=memory_gb,
            seconds=total_seconds(self.stream.total_steps, seconds_per_step),
            precision="bf16" if self.options.low_precision else "fp32",
        )

    def _new_record(self) -> RunFile:
        return RunFile(
            run=self.run_id,
            options=asdict(self.options),
            request=asdict(self.request),
            stages=[
                {"steps": s.steps, "rows_per_step": s.rows_per_step, "name": s.name}
                for s in self.stream.stages
            ],
            data=data_fingerprint([stage.rows for stage in self.stream.stages]),
            base_save_id=self.base_save_id,
            command=self.monitor.command,
            first_step=self.first_step,
        )

    # ------------------------------------------------------------------ o treino

    @property
    def step(self) -> int:
        """Passos dados neste treino."""
        return int(self.trainer.state.global_step)

    def execute(self) -> Outcome:
        """Treina até o fim, ou até um Ctrl-C; não grava o modelo final.

        Erros:
            KeyboardInterrupt: o segundo Ctrl-C, no meio de um passo: não há o que gravar.
        """
        if self.plan is not None:
            for line in self.plan.lines():
                self.monitor.announce(line)
        first_step, first_tokens = 0, 0.0
        if self.saved is not None:
            first_step, first_tokens = self.saved["step"], self.saved["stream"]["tokens"]
        loss, started = None, time.perf_counter()
        with self.stop:
            if is_main_process():
                remove_leftovers(self.folder / "checkpoints")
                self.record.write(self.folder)
            if self._had_stopped():
                self._restore_counters()
            else:
                loss = self._train()
        return Outcome(
            steps=self.step - first_step,
            tokens=round(self.stream.position.tokens - first_tokens),
            seconds=time.perf_counter() - started,
            loss=loss,
            interruption=StopRequested() if self.stop.requested else None,
            plan=self.plan,
            stages=self.stage_results,
        )

    def _train(self) -> float | None:
        """A perda média; ``None`` se pararam o treino, que então deixa um checkpoint."""
        loss = None
        try:
            loss = float(self.trainer.train().training_loss)
        except StopRequested:
            pass
        finally:
            self.progress.close()
        if self.stop.requested:
            self.save_checkpoint()
        return loss

    def _had_stopped(self) -> bool:
        """Se o treino por retomar já tinha parado por não melhorar: só falta gravar o modelo."""
        states = self.saved["callbacks"] if self.saved is not None else {}
        return bool(states.get("EarlyStoppingCallback", {}).get("stopped_because"))

    # ------------------------------------------------------------------ checkpoints

    def save_checkpoint(self) -> Path:
        """Grava ``checkpoints/step-N``, de onde se continua exatamente daqui."""
        path = self.folder / "checkpoints" / f"step-{self.first_step + self.step}"
        if not is_main_process():
            return path
        self._make_room(path)
        state = {
            "run": self.record.run,
            "step": self.step,
            "stream": self.stream.state_dict(),
            "callbacks": callbacks_state(self.callbacks),
            "micro_rows": self.trainer.micro_rows,
            "skipped": self.trainer.skipped,
            "stages": [result.to_dict() for result in self.stage_results],
        }
        checkpoints.save_checkpoint(
            path,
            self._save_model,
            self.model,
            unwrapped(self.trainer.optimizer),
            self.trainer.lr_scheduler,
            state,
        )
        return path

    def _make_room(self, path: Path) -> None:
        """Tira de ``path`` o que outro treino deixou lá; o que não é de um treino muda de nome.

        Erros:
            StorageError: o disco recusou.
        """
        if not path.is_dir() or self._is_own(path):
            return
        if not checkpoints.is_checkpoint(path):
            checkpoints.set_aside(path)
        elif not remove_folder(path):
            raise StorageError(f"'{path}' é de outro treino, e não pôde ser removida.")

    def _is_own(self, path: Path) -> bool:
        """Se ``path`` já é este passo deste treino; um checkpoint danificado não serve."""
        try:
            state = checkpoints.read_state(path)
        except ModelFormatError:
            return False
        return (state.get("run"), state.get("step")) == (self.record.run, self.step)

    def _save_model(self, folder: Path) -> None:
        if has_lora(self.model):
            save_adapter(self.model, folder / "adapter", self.base_save_id)
            return
        self.model.save(folder)
        self.tokenizer.save(folder / "tokenizer")

    def restore(self) -> None:
        """Volta ao checkpoint: chamado quando otimizador e plano da taxa já existem."""
        assert self.resume is not None and self.saved is not None
        self._restore_counters()
        trainer = self.trainer
        checkpoints.restore(
            self.resume, self.saved, self.model, unwrapped(trainer.optimizer), trainer.lr_scheduler
        )
        self.metrics.event("resume", self.step)

    def _restore_counters(self) -> None:
        """O que não depende do otimizador: passo, posição nos dados, callbacks e estágios."""
        assert self.saved is not None
        state = self.saved
        trainer: Any = self.trainer
        self.stream.load_state_dict(state["stream"])
        load_callbacks_state(self.callbacks, state["callbacks"])
        trainer.micro_rows, trainer.skipped = state["micro_rows"], state["skipped"]
        trainer.state.global_step = trainer._globalstep_last_logged = state["step"]
        trainer._initial_global_step = state["step"]
        self.stage_results = [_stage_result(values) for values in state["stages"]]


def unwrapped(optimizer: Any) -> torch.optim.Optimizer:
    """O otimizador de dentro do que o accelerate embrulhou."""
    inner: torch.optim.Optimizer = getattr(optimizer, "optimizer", optimizer)
    return inner


def _inner(model: Any) -> LunaModel:
    """O ``LunaModel``, mesmo dentro do PEFT."""
    found: LunaModel = model.get_base_model() if hasattr(model, "get_base_model") else model
    return found


def _stage_result(values: dict[str, Any]) -> StageResult:
    return StageResult(**(values | {"stage": Stage(**values["stage"])}))


def _drop_callback(trainer: LunaHFTrainer, name: str) -> None:
    """Tira o callback padrão ``name`` do transformers, que escreveria na saída do usuário."""
    for callback in list(trainer.callback_handler.callbacks):
        if type(callback).__name__ == name and type(callback).__module__.startswith("transformers"):
            trainer.remove_callback(callback)
