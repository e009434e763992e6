"""Empacotamento: várias sequências por linha, sem que uma enxergue a outra.

Preencher cada conversa até o tamanho do bloco desperdiça de 70 % a 80 % da conta. Aqui as
sequências são arrumadas lado a lado em linhas de comprimento fixo; ``position_ids`` recomeça em 0
em cada uma, e o modelo usa isso para separar atenção, estado do SSM e contexto
(``LunaModel.forward``).

O arranjo é o best-fit decrescente (Ding et al., "Fewer Truncations Improve Language Modeling",
2024): da maior sequência à menor, cada uma vai para a linha em que sobra menos espaço.
"""

import bisect
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from src.training.examples import Example

IGNORED = -100  # rótulo que não conta na perda


def best_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Arruma itens de ``lengths`` em linhas de ``capacity``; devolve os índices de cada linha.

    Cada índice aparece uma vez e nenhuma linha passa da capacidade.
    """
    rows: list[list[int]] = []
    free: list[tuple[int, int]] = []  # (espaço livre, linha), em ordem
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        spot = bisect.bisect_left(free, (lengths[index], -1))
        if spot < len(free):
            room, row = free.pop(spot)
        else:
            room, row = capacity, len(rows)
            rows.append([])
        rows[row].append(index)
        bisect.insort(free, (room - lengths[index], row))
    return rows


class PackedDataset(Dataset):
    """Linhas empacotadas de comprimento fixo.

    Args:
        examples: sequências de até ``length`` tokens.
        length: comprimento L de cada linha.
        fill_id: token do preenchimento no fim da linha; forma um documento à parte, sem rótulo.
    """

    def __init__(self, examples: Sequence[Example], length: int, fill_id: int) -> None:
        self.examples, self.length, self.fill_id = examples, length, fill_id
        self.rows = best_fit([len(e.ids) for e in examples], length)
        self.tokens = sum(len(e.ids) for e in examples)
        self.learned = sum(e.learned for e in examples)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def fill_fraction(self) -> float:
        """Parte das linhas ocupada por tokens de verdade, de 0 a 1."""
        return self.tokens / (len(self.rows) * self.length)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """``input_ids``, ``labels`` e ``position_ids``, cada um [L]."""
        ids: list[int] = []
        labels: list[int] = []
        positions: list[int] = []
        for item in self.rows[index]:
            example = self.examples[item]
            ids += example.ids
            labels += [t if learn else IGNORED for t, learn in zip(example.ids, example.learn)]
            positions += range(len(example.ids))
        gap = self.length - len(ids)
        ids += [self.fill_id] * gap
        labels += [IGNORED] * gap
        positions += range(gap)
        return {
            "input_ids": torch.tensor(ids),
            "labels": torch.tensor(labels),
            "position_ids": torch.tensor(positions),
        }


def row_length(examples: Sequence[Example], context: int) -> int:
    """O comprimento das linhas: o contexto, ou menos quando todos os exemplos cabem em menos."""
    total = sum(len(e.ids) for e in examples)
    return max(2, min(context, total))
