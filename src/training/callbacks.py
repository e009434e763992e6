"""Os callbacks do treino: param, ajustam o lote e a taxa, fazem a rede crescer, gravam.

Passam-se em ``train_supervised(..., callbacks=[EarlyStoppingCallback(patience=3)])``. Cada um só
reúne os números; quem decide são as funções puras de ``src/training/decisions.py`` e
``src/training/schedule.py``. O estado de cada um vai no checkpoint (``state_dict``), e o treino
retomado decide como o que nunca parou. As medidas são sempre daquelas em que menos é melhor.
"""

import logging
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from src.models.luna_model import LunaModel
from src.training.batch_callback import DynamicBatchSizeCallback, RowSampler
from src.training.callback_base import (
    ResumableCallback,
    callbacks_state,
    load_callbacks_state,
    metric_value,
)
from src.training.checkpoint_callback import CheckpointCallback
from src.training.decisions import after_evaluation, require_number
from src.training.optim import add_parameters
from src.training.schedule import RateSchedule, replace_schedule, require_lambda, scale_rates
from src.utils.errors import UsageError
from src.utils.numbers import decimal
from src.utils.processes import world_size

logger = logging.getLogger(__name__)

__all__ = [
    "CheckpointCallback",
    "DynamicBatchSizeCallback",
    "EarlyStoppingCallback",
    "GrowthCallback",
    "LearningRateSchedulerCallback",
    "ResumableCallback",
    "attach",
    "callbacks_state",
    "load_callbacks_state",
]


class EarlyStoppingCallback(ResumableCallback):
    """Para o treino quando ``patience`` avaliações seguidas não melhoram a medida.

    Args:
        patience: quantas avaliações sem melhora se esperam.
        threshold: quanto a medida tem de cair para contar como melhora.
        metric: a medida; em bits por byte ou, com ``eval_loss``, em nats por token.

    Atributos:
        stopped_because: por que parou, em palavras; ``None`` enquanto não parou.

    Erros:
        UsageError: valor fora do que se aceita. LunaError: a avaliação não traz ``metric``.
    """

    remembered = ("best", "best_step", "waited", "evaluations", "stopped_because")

    def __init__(
        self, patience: int = 5, threshold: float = 0.0, metric: str = "eval_bits_per_byte"
    ) -> None:
        require_number("patience", patience, 1, whole=True)
        require_number("threshold", threshold, 0)
        self.patience, self.threshold, self.metric = patience, threshold, metric
        self.best: float | None = None
        self.best_step = 0
        self.waited = self.evaluations = 0
        self.stopped_because: str | None = None

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Retoma o estado; com uma paciência maior que a de então, o treino pode seguir."""
        super().load_state_dict(state)
        if self.waited < self.patience:
            self.stopped_because = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Um treino que já tinha parado para de novo."""
        control.should_training_stop |= self.stopped_because is not None

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Conta a avaliação e, esgotada a paciência, pede para parar."""
        value = metric_value(metrics, self.metric, self)
        self.evaluations += 1
        self.best, self.waited = after_evaluation(self.best, self.waited, value, self.threshold)
        if self.waited == 0:
            self.best_step = state.global_step
        if self.waited < self.patience:
            return
        best = "nenhum valor finito" if self.best is None else decimal(self.best, 4)
        self.stopped_because = (
            f"{self.metric} não melhorou mais que {decimal(self.threshold, 4)} em "
            f"{self.waited} avaliações seguidas (o melhor, {best}, foi no passo {self.best_step})."
        )
        control.should_training_stop = True
        self.tell("early_stop", f"Treino parado: {self.stopped_because}")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Avisa se nunca houve o que decidir."""
        if not self.evaluations:
            logger.warning(
                "EarlyStoppingCallback não viu nenhuma avaliação: informe valid_data e avalie "
                "durante o treino (eval_strategy)."
            )


class LearningRateSchedulerCallback(ResumableCallback):
    """Troca a curva da taxa de aprendizado e/ou a reduz quando a medida para de melhorar.

    Args:
        kind: ``wsd``, ``linear``, ``cosine`` ou ``constant`` (``src/training/schedule.py``);
            ``None`` mantém a curva do treinador.
        warmup_steps, decay_fraction: da curva ``kind``.
        plateau: reduz depois de tantas avaliações sem melhora; ``None`` nunca reduz.
        factor: por quanto a taxa é multiplicada a cada redução.
        threshold, metric: como em ``EarlyStoppingCallback``.

    Erros:
        UsageError: nem ``kind`` nem ``plateau``, ou um valor fora do que se aceita.
        LunaError: o agendador do treino não é um LambdaLR, ou a avaliação não traz ``metric``.
    """

    remembered = ("best", "waited", "scale")

    def __init__(
        self,
        kind: str | None = None,
        warmup_steps: int = 0,
        decay_fraction: float = 0.2,
        plateau: int | None = None,
        factor: float = 0.5,
        threshold: float = 0.0,
        metric: str = "eval_bits_per_byte",
    ) -> None:
        if kind is None and plateau is None:
            raise UsageError("LearningRateSchedulerCallback(): informe kind, plateau ou os dois.")
        require_number("plateau", plateau, 1, whole=True)
        require_number("threshold", threshold, 0)
        if not 0 < factor < 1:
            raise UsageError(f"factor={factor!r}: esperado entre 0 e 1.")
        if kind is not None:
            RateSchedule(1, warmup_steps, decay_fraction, kind)  # só confere
        self.kind, self.warmup_steps, self.decay_fraction = kind, warmup_steps, decay_fraction
        self.plateau, self.factor = plateau, factor
        self.threshold, self.metric = threshold, metric
        self.best: float | None = None
        self.waited = 0
        self.scale = 1.0  # o produto das reduções feitas

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        lr_scheduler: Any = None,
        **kwargs: Any,
    ) -> None:
        """Põe a curva pedida e, num treino retomado, as reduções já feitas."""
        scheduler = require_lambda(lr_scheduler)
        if self.kind is not None:
            steps = (state.max_steps, self.warmup_steps, self.decay_fraction)
            scales = getattr(scheduler.lr_lambdas[0], "scales", [])  # os estágios continuam valendo
            replace_schedule(scheduler, RateSchedule(*steps, self.kind, scales))
        scale_rates(scheduler, self.scale)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, Any] | None = None,
        lr_scheduler: Any = None,
        **kwargs: Any,
    ) -> None:
        """Reduz a taxa, se a paciência se esgotou."""
        if self.plateau is None or lr_scheduler is None:
            return
        value = metric_value(metrics, self.metric, self)
        self.best, self.waited = after_evaluation(self.best, self.waited, value, self.threshold)
        if self.waited < self.plateau:
            return
        self.waited = 0
        self.scale *= self.factor
        scale_rates(require_lambda(lr_scheduler), self.scale)
        message = f"Passo {state.global_step}: taxa reduzida a {self.scale:.3g} da inicial."
        self.tell("plateau", message, scale=self.scale)


class GrowthCallback(ResumableCallback):
    """Faz a rede crescer quando a perda de validação para de melhorar.

    Quem decide é ``GrowingNetwork.should_grow`` (limiar, paciência e teto são do modelo); os
    parâmetros novos entram no otimizador, e nenhuma saída muda na hora. Não cresce quem não tem
    ``use_growing``, nem na última avaliação, em que nada mais se aprenderia, nem com mais de um
    processo, pois o DDP não soma gradientes de parâmetros que não conhecia.

    Args:
        metric: a medida, em nats por token, como ``growth_threshold``.

    Erros:
        LunaError: a avaliação não traz ``metric``, ou o otimizador não é o de Luna.
    """

    remembered = ("losses", "grown_at")

    def __init__(self, metric: str = "eval_loss") -> None:
        self.metric = metric
        self.losses: list[float] = []  # o histórico da GrowingNetwork, que os pesos não guardam
        self.grown_at: list[int] = []

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        **kwargs: Any,
    ) -> None:
        """Devolve à rede o histórico deste treino: vazio num novo, o de antes num retomado."""
        networks = model.growing_networks if isinstance(model, LunaModel) else []
        for network in networks:
            network.losses = list(self.losses)
        if networks and world_size() > 1:
            logger.warning("Com %d processos a rede não cresce durante o treino.", world_size())

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, Any] | None = None,
        model: Any = None,
        optimizer: Any = None,
        **kwargs: Any,
    ) -> None:
        """Conta a perda e, se for hora, acrescenta uma camada."""
        growing = isinstance(model, LunaModel) and bool(model.growing_networks)
        ending = control.should_training_stop or state.global_step >= state.max_steps
        if not growing or optimizer is None or ending or world_size() > 1:
            return
        loss = metric_value(metrics, self.metric, self)
        network = model.growing_networks[0]
        grow = math.isfinite(loss) and network.should_grow(loss)
        self.losses = list(network.losses)
        if not grow:
            return
        model.grow()
        names = add_parameters(optimizer, model)
        self.grown_at.append(state.global_step)
        layers = len(network.layers)
        message = f"Passo {state.global_step}: a rede cresceu e tem {layers} camada(s) a mais."
        self.tell("growth", message, extra_layers=layers, parameters=names)


def attach(
    callbacks: Iterable[TrainerCallback],
    save: Callable[[], Path] | None = None,
    first_step: int = 0,
    sampler: RowSampler | None = None,
    report: Callable[[str, dict[str, Any]], None] | None = None,
) -> None:
    """Dá aos callbacks de quem treina o que só o treinador tem; o que já foi dado fica.

    Args:
        save: grava ``step-N`` e devolve a pasta. first_step: passos dados antes deste treino.
        sampler: de onde vêm as linhas. report: recebe cada acontecimento (``growth``, ``batch``,
            ``plateau``, ``early_stop``).
    """
    for callback in callbacks:
        if isinstance(callback, ResumableCallback):
            callback.report = callback.report or report
        if isinstance(callback, CheckpointCallback):
            callback.save, callback.first_step = callback.save or save, first_step
        if isinstance(callback, DynamicBatchSizeCallback):
            callback.sampler = callback.sampler or sampler
