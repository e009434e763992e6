"""O plano de um currículo: todos os estágios num treino só, com os passos sabidos antes do começo.

Tudo aqui é puro. O plano (``plan_stages``) diz de que passo a que passo vai cada estágio e com que
linhas; o passo global basta para saber o estágio (``stage_at``), e por isso um treino retomado
continua onde estava. O que é um estágio, e de que artigos vem a ideia: ``src/training/stages.py``.
"""

import bisect
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from src.evaluation.timing import table
from src.training.difficulty import difficulty_scores, easiest
from src.training.examples import Example
from src.training.packing import PackedDataset, row_length
from src.training.stages import Stage, default_stages, load_stages, parse_stages
from src.utils.errors import UsageError
from src.utils.numbers import decimal, grouped

__all__ = [
    "Stage",
    "StagePlan",
    "StageResult",
    "default_stages",
    "difficulty_scores",
    "easiest",
    "learning_rate_scale",
    "load_stages",
    "parse_stages",
    "plan_lines",
    "plan_stages",
    "stage_at",
    "stage_table",
]


@dataclass(frozen=True)
class StagePlan:
    """Um estágio com os seus dados e os seus passos.

    dataset: as linhas empacotadas. rows_per_step: linhas por atualização, somados os processos.
    steps: atualizações. first_step: a primeira, contada desde o começo do treino (a partir de 0).
    """

    stage: Stage
    dataset: PackedDataset
    rows_per_step: int
    steps: int
    first_step: int

    @property
    def examples(self) -> Sequence[Example]:
        """Os exemplos do estágio, cortados no seu contexto."""
        return self.dataset.examples

    @property
    def end_step(self) -> int:
        """A primeira atualização que já não é deste estágio; no último, o total do treino."""
        return self.first_step + self.steps


def plan_stages(
    stages: Sequence[Stage],
    build: Callable[[int], list[Example]],
    context: int,
    rows_per_step: int,
    fill_id: int,
    **conditions: bool,
) -> list[StagePlan]:
    """O plano de todos os estágios, antes do primeiro passo.

    Args:
        stages: os de ``parse_stages``.
        build: dá os exemplos cortados num contexto; é chamada uma vez para cada contexto.
        context: o contexto L do treino, para os estágios que não dizem o seu.
        rows_per_step: linhas de L tokens por atualização. Um estágio de contexto menor que não diz
            ``batch_size`` usa mais linhas, para ter os mesmos tokens por atualização.
        fill_id, **conditions: os de ``PackedDataset``: o preenchimento e os vetores das linhas.

    Erros:
        NoDataError: ``build`` não achou o que aprender.
    """
    cut: dict[int, list[Example]] = {}
    plans: list[StagePlan] = []
    for stage in stages:
        length = stage.context_length or context
        if length not in cut:
            cut[length] = build(length)
        chosen = easiest(cut[length], stage.difficulty, stage.by)
        dataset = PackedDataset(chosen, row_length(chosen, length), fill_id, **conditions)
        rows = stage.batch_size or max(1, round(rows_per_step * context / length))
        rows = min(rows, len(dataset))
        first = plans[-1].end_step if plans else 0
        plans.append(StagePlan(stage, dataset, rows, _steps(stage, len(dataset), rows), first))
    return plans


def _steps(stage: Stage, rows: int, rows_per_step: int) -> int:
    """``ceil(epochs * rows / rows_per_step)``, sem que 1,1 * 10 vire 12 por arredondamento."""
    return math.ceil(round(stage.epochs * rows / rows_per_step, 6))


def stage_at(plans: Sequence[StagePlan], step: int) -> StagePlan:
    """O estágio da atualização ``step`` (a partir de 0; é o ``global_step`` antes dela).

    Depois da última atualização, continua sendo o último estágio.

    Erros:
        UsageError: ``step`` negativo.
    """
    if step < 0:
        raise UsageError(f"step={step}: esperado um inteiro >= 0.")
    return plans[bisect.bisect_right(plans, step, key=lambda plan: plan.first_step) - 1]


def learning_rate_scale(plans: Sequence[StagePlan], step: int) -> float:
    """Por quanto se multiplica a taxa na atualização ``step``."""
    return stage_at(plans, step).stage.learning_rate_scale


def plan_lines(plans: Sequence[StagePlan]) -> list[str]:
    """O plano em português, uma linha por estágio, para mostrar antes do começo."""
    return [
        f"Estágio {number}/{len(plans)}, {plan.stage.name}: contexto {plan.dataset.length}, "
        f"{decimal(100 * plan.stage.difficulty, 0)} % dos dados, {plan.rows_per_step} linhas por "
        f"passo, {grouped(plan.steps)} passos."
        for number, plan in enumerate(plans, start=1)
    ]


@dataclass(frozen=True)
class StageResult:
    """O que um estágio fez.

    steps: atualizações dadas. tokens: tokens processados. seconds: tempo de relógio.
    before, after: bits por byte da validação antes e depois dele; ``None`` sem validação.
    """

    stage: Stage
    steps: int
    tokens: int
    seconds: float
    before: float | None = None
    after: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Como dicionário, pronto para JSON; ``stage`` volta a ser lido por ``parse_stages``."""
        return asdict(self)


def stage_table(results: Sequence[StageResult]) -> list[str]:
    """O relatório por estágio: as linhas de uma tabela em português."""
    header = ("estágio", "passos", "tokens", "segundos", "bits por byte antes", "depois")
    rows = [
        (
            result.stage.name,
            grouped(result.steps),
            grouped(result.tokens),
            grouped(result.seconds),
            "não medido" if result.before is None else decimal(result.before),
            "não medido" if result.after is None else decimal(result.after),
        )
        for result in results
    ]
    return table(header, rows).split("\n")
