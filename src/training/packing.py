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

from src.config.emotions import EMOTION_DIM
from src.config.personas import PERSONA_DIM
from src.training.conditions import Vector
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
        with_emotion, with_persona: se as linhas trazem os vetores, para o modelo que os usa.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        length: int,
        fill_id: int,
        with_emotion: bool = False,
        with_persona: bool = False,
    ) -> None:
        self.examples, self.length, self.fill_id = examples, length, fill_id
        self.with_emotion, self.with_persona = with_emotion, with_persona
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
        """``input_ids``, ``labels`` e ``position_ids``, cada um [L].

        Quando pedidos, também ``emotion`` [L, 6] e ``persona`` [L, 8], iguais em todos os tokens de
        um documento e zero no preenchimento. Só existem na linha entregue: na memória cada exemplo
        guarda um vetor de cada.
        """
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
        row = {
            "input_ids": torch.tensor(ids),
            "labels": torch.tensor(labels),
            "position_ids": torch.tensor(positions),
        }
        packed = [self.examples[item] for item in self.rows[index]]
        if self.with_emotion:
            row["emotion"] = self._per_token(packed, [e.emotion for e in packed], EMOTION_DIM)
        if self.with_persona:
            row["persona"] = self._per_token(packed, [e.persona for e in packed], PERSONA_DIM)
        return row

    def _per_token(self, packed: list[Example], vectors: list[Vector], size: int) -> Tensor:
        """O vetor de cada documento repetido nos seus tokens: [L, size]."""
        result, start = torch.zeros(self.length, size), 0
        for example, vector in zip(packed, vectors):
            end = start + len(example.ids)
            result[start:end] = torch.tensor(vector)
            start = end
        return result


def row_length(examples: Sequence[Example], context: int) -> int:
    """O comprimento das linhas: o contexto, ou menos quando todos os exemplos cabem em menos."""
    total = sum(len(e.ids) for e in examples)
    return max(2, min(context, total))
