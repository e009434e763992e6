"""O que se pede a um treino além dos ``TrainingArguments``; vai em ``run.json``."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from src.training.finetune import REPLAY_FRACTION, check_fraction
from src.training.stages import Stage, parse_stages
from src.utils.errors import UsageError

LORA_KEYS = ("rank", "alpha", "dropout", "targets")


@dataclass
class Request:
    """O pedido.

    context: tokens por linha. stages: os estágios de um currículo, como dicionários, ou ``None``.
    max_minutes: a duração, no lugar de passadas. replay_fraction: a parte dos tokens que vem dos
    dados antigos. lora: os números do adaptador, ou ``None``.
    """

    context: int
    stages: list[dict[str, Any]] | None = None
    max_minutes: float | None = None
    replay_fraction: float = 0.0
    lora: dict[str, Any] | None = None

    @classmethod
    def take(
        cls, kwargs: dict[str, Any], context: int, stages: Sequence[Stage] | None
    ) -> "Request":
        """Tira de ``kwargs`` o que é do pedido.

        Erros:
            UsageError: um valor não é aceito.
        """
        replayed = bool(kwargs.get("replay_data"))
        fraction = kwargs.pop("replay_fraction", None)
        if fraction is None:
            fraction = REPLAY_FRACTION if replayed else 0.0
        if check_fraction(fraction) and not replayed:
            raise UsageError("replay_fraction pede replay_data: os textos antigos a reler.")
        return cls(
            context,
            None if stages is None else [asdict(stage) for stage in stages],
            checked_minutes(kwargs.pop("max_minutes", None)),
            check_fraction(fraction),
            lora_numbers(kwargs.pop("lora", None)),
        )

    @property
    def curriculum(self) -> list[Stage] | None:
        """Os estágios, ou ``None``."""
        return None if self.stages is None else parse_stages(self.stages)


def checked_minutes(value: Any) -> float | None:
    """``max_minutes`` conferido.

    Erros:
        UsageError: não é um número maior que zero.
    """
    if value is None:
        return None
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 < value < float("inf"):
        raise UsageError(f"max_minutes={value!r}: esperado um número de minutos maior que zero.")
    return float(value)


def lora_numbers(value: Any) -> dict[str, Any] | None:
    """``lora`` conferido: ``True`` são os números padrão; ``None`` e ``False``, nenhum adaptador.

    Erros:
        UsageError: não é ``True`` nem um dicionário com as chaves de ``add_lora``.
    """
    if value is None or value is False:
        return None
    if value is True:
        return {}
    if not isinstance(value, dict) or set(value) - set(LORA_KEYS):
        raise UsageError(
            f"lora={value!r}: esperado True, ou um dicionário com {', '.join(LORA_KEYS)}."
        )
    return dict(value)
