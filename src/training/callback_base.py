"""O que todo callback de Luna tem: um estado pequeno que vai e volta de JSON, e como avisa."""

import copy
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from transformers import TrainerCallback

from src.utils.errors import LunaError

logger = logging.getLogger(__name__)


class ResumableCallback(TrainerCallback):
    """Um callback que, retomado, decide como se o treino nunca tivesse parado.

    Uma instância serve a um treino só. ``remembered`` são os atributos do estado; ``report`` é para
    onde vai cada acontecimento: ``report(event, values)``, com ``values`` pronto para JSON.
    """

    remembered: tuple[str, ...] = ()
    report: Callable[[str, dict[str, Any]], None] | None = None

    def state_dict(self) -> dict[str, Any]:
        """O estado, só com o que cabe em JSON."""
        return {name: copy.deepcopy(getattr(self, name)) for name in self.remembered}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Retoma um estado; o que faltar nele (versão anterior) fica como está."""
        for name in self.remembered:
            if name in state:
                setattr(self, name, copy.deepcopy(state[name]))

    def tell(self, event: str, message: str, **values: Any) -> None:
        """Conta um acontecimento no log e a quem pediu para saber."""
        logger.info(message)
        if self.report is not None:
            self.report(event, {"message": message, **values})


def metric_value(metrics: dict[str, Any] | None, name: str, callback: TrainerCallback) -> float:
    """O valor de ``name`` numa avaliação.

    Erros:
        LunaError: a avaliação não traz essa medida.
    """
    if not metrics or name not in metrics:
        known = ", ".join(sorted(metrics or {})) or "nenhuma"
        raise LunaError(
            f"{type(callback).__name__}: a avaliação não traz a medida '{name}'. Há: {known}. "
            "Escolha uma delas em metric=."
        )
    return float(metrics[name])


def callbacks_state(callbacks: Iterable[TrainerCallback]) -> dict[str, dict[str, Any]]:
    """O estado de todos os que têm estado, para gravar em JSON ao lado do checkpoint."""
    return {key: callback.state_dict() for key, callback in _named(callbacks)}


def load_callbacks_state(
    callbacks: Iterable[TrainerCallback], states: dict[str, dict[str, Any]]
) -> None:
    """Devolve a cada um o estado que ``callbacks_state`` gravou; os novos ficam como estão."""
    for key, callback in _named(callbacks):
        if key in states:
            callback.load_state_dict(states[key])


def _named(callbacks: Iterable[TrainerCallback]) -> Iterator[tuple[str, ResumableCallback]]:
    """Cada callback com a sua chave: a classe e, se houver mais de um dela, o número."""
    counts: dict[str, int] = {}
    for callback in callbacks:
        if isinstance(callback, ResumableCallback):
            name = type(callback).__name__
            counts[name] = counts.get(name, 0) + 1
            yield (name if counts[name] == 1 else f"{name}#{counts[name]}"), callback
