"""Aprende os pesos com que a memória das correções reconhece uma pergunta (``src/retrieval``).

Uso::

    python scripts/train_corrections.py          # refaz src/retrieval/corrections.json
    python scripts/train_corrections.py --cv     # só mede, em dez partes que não se treinaram

Cada par é uma pergunta corrigida de ``data/eval/correcoes_dev.jsonl`` e uma paráfrase (a mesma) ou
uma vizinha (outra). Os pares que as palavras já separam não entram no ajuste, mas contam na medida.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from src.retrieval.corrections import (  # noqa: E402
    FEATURES,
    WORD_FEATURES,
    pair_features,
)
from src.retrieval.encoders import shipped_encoder  # noqa: E402
from src.retrieval.question_form import read_question  # noqa: E402
from src.utils.atomic_io import write_text  # noqa: E402

DATA = ROOT / "data" / "eval" / "correcoes_dev.jsonl"
TARGET = ROOT / "src" / "retrieval" / "corrections.json"
OTHER_WEIGHT = 2.0  # tomar uma pergunta por outra custa mais que não reconhecê-la
DECAY = 0.02  # da soma dos quadrados dos pesos
MAX_OTHERS = 0.015  # vizinhas tomadas pela pergunta corrigida, na escolha do limiar
FOLDS = 10
DECIMALS = 3


@dataclass(frozen=True)
class Pair:
    """Um par: se é a mesma pergunta, de que grupo é, e as medidas.

    ``row`` é ``None`` onde as palavras já dizem que é outra; ``identical``, que é a mesma.
    """

    same: bool
    group: int
    identical: bool
    row: list[float] | None


def read_pairs(path: Path) -> list[Pair]:
    """Os pares do arquivo, com as medidas das palavras e do codificador."""
    encoder = shipped_encoder()
    pairs = []
    for group, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        record = json.loads(line)
        stored = record["pergunta"]
        for name, same in (("parafrases", True), ("vizinhas", False)):
            for asked in record[name]:
                identical = read_question(asked).plain == read_question(stored).plain
                row = None if identical else pair_features(asked, stored, encoder)
                pairs.append(Pair(same, group, identical, row))
    return pairs


def learn(pairs: Sequence[Pair], count: int) -> np.ndarray:
    """Os pesos das primeiras ``count`` medidas, e o termo constante: [count + 1]."""
    chosen = [(pair.row[:count], pair.same) for pair in pairs if pair.row is not None]
    values = torch.tensor([row for row, _ in chosen], dtype=torch.float64)
    labels = torch.tensor([float(same) for _, same in chosen], dtype=torch.float64)
    costs = torch.where(labels > 0, 1.0, OTHER_WEIGHT)
    weights = torch.zeros(count + 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        logits = values @ weights[:-1] + weights[-1]
        each = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels, costs)
        total = each + DECAY / len(labels) * weights[:-1].square().sum()
        total.backward()
        return total

    optimizer.step(loss)
    return weights.detach().numpy()


def chances_of(pairs: Sequence[Pair], weights: np.ndarray) -> np.ndarray:
    """A chance de cada par: 1 nos idênticos, 0 nos que as palavras separam."""
    count = len(weights) - 1
    found = np.array([float(pair.identical) for pair in pairs])
    for place, pair in enumerate(pairs):
        if pair.row is not None:
            found[place] = 1 / (1 + np.exp(-(np.dot(pair.row[:count], weights[:-1]) + weights[-1])))
    return found


def held_out(pairs: Sequence[Pair], count: int) -> np.ndarray:
    """A chance de cada par, com pesos que não viram o grupo dele."""
    found = np.zeros(len(pairs))
    for fold in range(FOLDS):
        inside = np.array([pair.group % FOLDS == fold for pair in pairs])
        weights = learn([p for p, kept in zip(pairs, inside) if not kept], count)
        found[inside] = chances_of([p for p, kept in zip(pairs, inside) if kept], weights)
    return found


def shares(pairs: Sequence[Pair], chances: np.ndarray, limit: float) -> tuple[float, float]:
    """(paráfrases reconhecidas, vizinhas tomadas pela corrigida), de 0 a 1."""
    same = np.array([pair.same for pair in pairs])
    found = chances >= limit
    return float(found[same].mean()), float(found[~same].mean())


def best_threshold(pairs: Sequence[Pair], chances: np.ndarray) -> float:
    """O menor limiar que deixa passar, no máximo, ``MAX_OTHERS`` das vizinhas."""
    grid = np.arange(0.2, 0.95, 0.01)
    return float(next(t for t in grid if shares(pairs, chances, t)[1] <= MAX_OTHERS))


def main(arguments: Sequence[str] | None = None) -> int:
    """Mede em partes e, sem ``--cv``, grava os pesos."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cv", action="store_true", help="só mede")
    options = parser.parse_args(arguments)
    torch.set_num_threads(min(2, torch.get_num_threads()))
    pairs = read_pairs(DATA)
    chances = held_out(pairs, len(FEATURES))
    limit = best_threshold(pairs, chances)
    for name, found in (
        ("com o codificador", chances),
        ("só palavras", held_out(pairs, len(WORD_FEATURES))),
    ):
        right, wrong = shares(pairs, found, limit)
        print(f"{name}: {right:.1%} das paráfrases, {wrong:.1%} das vizinhas (limiar {limit:.2f})")
    if not options.cv:
        learned: dict[str, Any] = {"threshold": round(limit, 2)}
        for name, features in (("hybrid", FEATURES), ("lexical", WORD_FEATURES)):
            learned[name] = [round(w, DECIMALS) for w in learn(pairs, len(features)).tolist()]
        write_text(TARGET, json.dumps(learned, indent=1) + "\n")
        print(f"Gravado em {TARGET.relative_to(ROOT)}: {learned}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
