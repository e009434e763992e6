"""O que se pede a um treino, o que decide o resultado dele e quem o acompanha.

``Request`` e ``RunOptions`` vão em ``run.json``.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from src.training.finetune import REPLAY_FRACTION, check_fraction
from src.training.stages import Stage, parse_stages
from src.utils.errors import UsageError

logger = logging.getLogger(__name__)

LORA_KEYS = ("rank", "alpha", "dropout", "targets")


@dataclass
class Request:
    """O pedido, além dos ``TrainingArguments``.

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


@dataclass
class RunOptions:
    """O que decide o resultado de um treino, além dos dados e do modelo; vai em ``run.json``.

    micro_rows: linhas por ida e volta, neste processo. schedule: ``kind`` e ``decay_fraction`` do
    plano da taxa, ou ``None`` quando é o do transformers. low_precision: contas em bf16.
    dropout: ``None`` deixa a escolha para quando se souberem os passos (``dropout_for``).
    start_passes: passadas da partida por bigramas (``src/training/bigrams.py``); ``None`` deixa a
    escolha para quem treina. start_pairs: teto de pares com vetor próprio; depois da escolha, os
    que valem a pena (``src/training/pair_vectors.py``).
    """

    arguments: dict[str, Any]
    micro_rows: int
    dropout: float | None
    ssm_lr_scale: float
    low_precision: bool
    threads: int
    schedule: dict[str, Any] | None = None
    warmup_fraction: float = 0.0
    start_passes: int | None = None
    start_pairs: int = 0


@dataclass
class Monitor:
    """Quem acompanha o treino: barra, wandb, perguntas ao longo do caminho.

    command: o que a linha de comando quer achar em ``run.json`` ao retomar.
    """

    show_progress: bool = True
    use_wandb: bool = False
    announce: Callable[[str], None] = logger.info
    generate: Callable[[str], str] | None = None
    prompts: Sequence[str] = ()
    command: dict[str, Any] = field(default_factory=dict)


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
