"""Que linhas cada atualização lê: uma ordem sorteada pela semente, que continua de onde parou.

Um treino é uma sequência de trechos (``StreamStage``); sem currículo, um só. Em cada trecho, cada
passada pelos dados é uma permutação das linhas que depende só da semente, do trecho e da passada.
Por isso basta guardar a posição para continuar exatamente do mesmo ponto, e o mesmo lote global sai
igual com um processo ou com vários: o processo ``r`` de ``w`` fica com as linhas ``r, r + w, ...``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from src.training.stages import Stage
from src.utils.errors import LunaError

SEED_STRIDE = 1_000_003  # separa as sementes de trechos e passadas vizinhos


class Rows(Protocol):
    """Um conjunto de linhas empacotadas, como ``PackedDataset``."""

    length: int
    tokens: int
    learned: int

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> dict[str, Tensor]: ...


@dataclass
class StreamStage:
    """Um trecho do treino: ``steps`` atualizações de ``rows_per_step`` linhas de ``rows``.

    stage: o estágio do currículo, se há um.
    """

    rows: Rows
    steps: int
    rows_per_step: int
    stage: Stage | None = None

    @property
    def name(self) -> str:
        """O nome do estágio; vazio sem currículo."""
        return self.stage.name if self.stage is not None else ""

    @property
    def tokens(self) -> float:
        """Tokens de verdade que o trecho vai ler, com repetição."""
        return self.steps * self.rows_per_step * self.tokens_per_row

    @property
    def tokens_per_row(self) -> float:
        """Média de tokens de verdade por linha, sem contar o preenchimento."""
        return self.rows.tokens / max(len(self.rows), 1)


@dataclass
class Position:
    """Onde o treino está: trecho, passos dados nele e linhas já lidas nele."""

    stage: int = 0
    steps: int = 0
    rows: int = 0
    rows_per_step: int | None = None  # se um callback mudou o lote do trecho
    tokens: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Pronto para JSON."""
        return dict(vars(self))


def steps_for(epochs: float, rows: int, rows_per_step: int) -> int:
    """Atualizações para ler ``rows`` linhas ``epochs`` vezes; a última pode passar um pouco."""
    return max(-(-round(epochs * rows) // rows_per_step), 1)


def row_order(seed: int, stage: int, epoch: int, count: int) -> Tensor:
    """A permutação [count] de uma passada pelos dados."""
    mixed = (seed * SEED_STRIDE + stage) * SEED_STRIDE + epoch
    generator = torch.Generator().manual_seed(mixed % 2**63)
    return torch.randperm(count, generator=generator)


@dataclass(eq=False)
class TrainingStream(IterableDataset):
    """Os lotes de um treino, um por atualização.

    Args:
        stages: os trechos, em ordem. seed: a semente da ordem.
        rank, world: o lugar deste processo; ``rows_per_step`` é do lote global, e múltiplo dele.

    Cada item é um dicionário de tensores [linhas deste processo, L].
    """

    stages: Sequence[StreamStage]
    seed: int = 0
    rank: int = 0
    world: int = 1
    position: Position = field(default_factory=Position)
    _order: tuple[tuple[int, int], Tensor] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        super().__init__()

    @property
    def total_steps(self) -> int:
        """Atualizações do começo ao fim de todos os trechos."""
        return sum(stage.steps for stage in self.stages)

    @property
    def total_tokens(self) -> float:
        """Tokens de verdade que o treino vai ler, com repetição."""
        return sum(stage.tokens for stage in self.stages)

    @property
    def stage(self) -> StreamStage:
        """O trecho atual (o último, se tudo já foi lido)."""
        return self.stages[self.position.stage]

    @property
    def rows_per_step(self) -> int:
        """Linhas do lote global no trecho atual; pode ser mudado entre duas atualizações."""
        return self.position.rows_per_step or self.stage.rows_per_step

    @rows_per_step.setter
    def rows_per_step(self, value: int) -> None:
        self.position.rows_per_step = max(self.world, value - value % self.world)

    @property
    def epoch(self) -> float:
        """Passadas pelos dados do trecho atual, com a fração."""
        return self.position.rows / max(len(self.stage.rows), 1)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Os lotes que faltam, a partir de ``position``, que anda a cada um."""
        while True:
            if self.position.steps < self.stage.steps:
                yield self._next_batch()
            elif self.position.stage + 1 < len(self.stages):
                self.position = Position(self.position.stage + 1, tokens=self.position.tokens)
            else:
                return

    def _next_batch(self) -> dict[str, Tensor]:
        position, stage, count = self.position, self.stage, self.rows_per_step
        indices = [self._row(position.rows + i) for i in range(self.rank, count, self.world)]
        rows = [stage.rows[index] for index in indices]
        position.rows += count
        position.steps += 1
        position.tokens += count * stage.tokens_per_row
        return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}

    def _row(self, number: int) -> int:
        """O índice da ``number``-ésima linha lida neste trecho, contando todas as passadas."""
        size = len(self.stage.rows)
        epoch, place = divmod(number, size)
        key = (self.position.stage, epoch)
        if self._order is None or self._order[0] != key:
            self._order = (key, row_order(self.seed, *key, size))
        return int(self._order[1][place])

    def state_dict(self) -> dict[str, Any]:
        """A posição, pronta para JSON."""
        return self.position.to_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Volta à posição guardada.

        Erros:
            LunaError: a posição não existe nestes trechos.
        """
        try:
            position = Position(**state)
        except TypeError as error:
            raise LunaError(f"A posição nos dados guardada não é aceita: {error}.") from error
        if position.stage >= len(self.stages):
            raise LunaError(
                f"O checkpoint parou no trecho {position.stage + 1}, e este treino tem "
                f"{len(self.stages)}: os estágios mudaram. Retome com os mesmos, ou recomece."
            )
        self.position = position
