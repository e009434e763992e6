"""Os estágios de um currículo: o que cada um diz, como se leem e os padrões.

Fontes: exemplos fáceis primeiro, Platanios et al., "Competence-based Curriculum Learning for Neural
Machine Translation" (2019), cuja competência cresce a cada passo e aqui sobe em degraus; contextos
curtos primeiro, Li et al., "The Stability-Efficiency Tradeoff: Investigating Sequence Length
Warmup for Training GPT Models" (2022), que trunca as sequências e aqui as divide em janelas.
"""

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from src.config.options import check_fields, option, quoted
from src.training.difficulty import BY
from src.utils.errors import UsageError

logger = logging.getLogger(__name__)

SHORTEST_CONTEXT = 64  # o primeiro estágio padrão não desce disto, o menor da referência
#: Nomes parecidos, de ``train_supervised``, e a chave que vale num estágio.
RENAMED = {
    "max_position_embeddings": "context_length",
    "per_device_train_batch_size": "batch_size",
    "num_train_epochs": "epochs",
    "learning_rate": "learning_rate_scale, que multiplica a taxa",
}


@dataclass(frozen=True)
class Stage:
    """Um estágio. As três chaves da referência são ``context_length``, ``batch_size``, ``epochs``.

    name: como aparece na tela e em ``metrics.jsonl``.
    epochs: passadas pelos dados do estágio; pode ser fração.
    context_length: tokens por sequência; ``None`` é o contexto todo do treino.
    batch_size: linhas por atualização; ``None`` conserva os tokens por atualização do treino.
    learning_rate_scale: multiplica a taxa que a agenda dá.
    difficulty: parte dos dados (dos tokens), a começar pelos exemplos mais fáceis.
    by: o que é difícil: ``length``, ``rarity`` ou ``both`` (``src/training/difficulty.py``).

    Erros:
        ConfigError: um valor fora do esperado; a mensagem diz qual.
    """

    name: str = option("", "nome do estágio")
    epochs: float = option(1.0, "passadas pelos dados do estágio", minimum=0.001, maximum=100_000)
    batch_size: int | None = option(None, "linhas por atualização", type=int, minimum=1)
    context_length: int | None = option(None, "tokens por sequência", type=int, minimum=2)
    learning_rate_scale: float = option(1.0, "multiplica a taxa", minimum=0.001, maximum=100)
    difficulty: float = option(1.0, "parte dos dados, da mais fácil", minimum=0.001, maximum=1)
    by: str = option("both", "o que é difícil", choices=BY)

    def __post_init__(self) -> None:
        check_fields(self, "stage")


def parse_stages(
    stages: Sequence[Any] | None, max_context: int | None = None, epochs: float = 1.0
) -> list[Stage]:
    """Confere os estágios; um contexto maior que ``max_context`` passa a ser esse, com aviso.

    Args:
        stages: lista de dicionários ou de ``Stage``; ``None`` dá os de ``default_stages``.
        max_context: o contexto do modelo; ``None`` deixa os contextos como estão.
        epochs: só para os padrões.

    Erros:
        UsageError: com o número do estágio, a chave, o valor e o esperado.
    """
    if stages is None:
        if max_context is None:
            raise UsageError("Os estágios padrão dependem do contexto: informe max_context.")
        return default_stages(max_context, epochs)
    if not isinstance(stages, (list, tuple)) or not stages:
        raise UsageError(
            f"stages={quoted(stages)}: esperada uma lista com ao menos um estágio, como "
            '[{"context_length": 64, "batch_size": 8, "epochs": 1}].'
        )
    parsed = [_parse_stage(number, value) for number, value in enumerate(stages, start=1)]
    return [_within(stage, max_context) for stage in parsed]


def _parse_stage(number: int, value: Any) -> Stage:
    if isinstance(value, Stage):
        return value if value.name else replace(value, name=f"estágio {number}")
    known = [item.name for item in fields(Stage)]
    if not isinstance(value, dict):
        raise UsageError(
            f"Estágio {number}: {quoted(value)}: esperado um objeto com chaves entre "
            f"{', '.join(known)}."
        )
    for key in value:
        if key not in known:
            hint = f" Aqui o nome é {RENAMED[key]}." if key in RENAMED else ""
            raise UsageError(
                f"Estágio {number}: chave desconhecida {quoted(key)} (valor "
                f"{quoted(value[key])}). As que existem: {', '.join(known)}.{hint}"
            )
    try:
        stage = Stage(**value)
    except UsageError as error:
        raise UsageError(f"Estágio {number}: {str(error).removeprefix('stage.')}") from error
    return stage if stage.name else replace(stage, name=f"estágio {number}")


def _within(stage: Stage, max_context: int | None) -> Stage:
    if max_context is None or (stage.context_length or 0) <= max_context:
        return stage
    logger.warning(
        "Estágio '%s': context_length=%d passa do contexto deste modelo; usando %d.",
        stage.name,
        stage.context_length,
        max_context,
    )
    return replace(stage, context_length=max_context)


def load_stages(path: str | os.PathLike, max_context: int | None = None) -> list[Stage]:
    """Os estágios de um arquivo JSON: uma lista, ou ``{"stages": [...]}``.

    Erros:
        UsageError: o arquivo não existe, não é JSON ou tem um estágio que não se aceita; a mensagem
            começa pelo nome do arquivo.
    """
    try:
        with open(path, encoding="utf-8-sig") as stream:
            value = json.load(stream)
        if isinstance(value, dict) and set(value) == {"stages"}:
            value = value["stages"]
        if not isinstance(value, list):
            raise UsageError(
                f'{quoted(value)}: esperada uma lista de estágios, ou {{"stages": [...]}}.'
            )
        return parse_stages(value, max_context)
    except OSError as error:
        raise UsageError(f"Currículo '{path}': não foi possível ler: {error.strerror}.") from error
    except UsageError as error:
        raise UsageError(f"Currículo '{path}': {error}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"Currículo '{path}': não é JSON: {error}.") from error


def default_stages(max_context: int, epochs: float) -> list[Stage]:
    """Três estágios, com 15 %, 15 % e 70 % do trabalho de ``epochs`` passadas comuns.

    Um quarto do contexto e a metade mais fácil; metade do contexto e três quartos dos dados; tudo.
    As partes são uma escolha, não uma medida. O trabalho (tokens) de um estágio é
    ``epochs * difficulty`` passadas, e a soma é ``epochs``; conversas cortadas por um contexto
    curto fazem dela um pouco menos.

    Erros:
        ConfigError: ``epochs`` não é um número positivo.
    """
    shares = (("fáceis e curtos", 4, 0.5, 0.15), ("médios", 2, 0.75, 0.15), ("completo", 1, 1, 0.7))
    return [
        Stage(
            name=name,
            epochs=epochs * share / difficulty,
            context_length=min(max_context, max(SHORTEST_CONTEXT, max_context // part)),
            difficulty=difficulty,
        )
        for name, part, difficulty, share in shares
    ]
