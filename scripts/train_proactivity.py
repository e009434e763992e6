"""Treina o modelo da proatividade e grava ``src/chat/proactive_weights.json``.

Lê ``data/eval/proatividade_treino.jsonl`` e ``proatividade_dev.jsonl``; a parte ``teste`` nunca é
lida aqui. O mesmo texto dá os mesmos pesos.

Uso::

    python scripts/train_proactivity.py           # treina com tudo e grava
    python scripts/train_proactivity.py --check   # diz se os pesos gravados são destes textos
    python scripts/train_proactivity.py --cv      # mede cada fonte com um modelo que não a leu
"""

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from src.chat.proactive_model import (  # noqa: E402
    WEIGHTS_FILE,
    PatternModel,
    feature_values,
    features,
)
from src.chat.proactive_patterns import PATTERN_LABELS, phrase_index  # noqa: E402
from src.chat.proactive_text import read_message  # noqa: E402
from src.config.emotions import NEUTRAL  # noqa: E402
from src.utils.atomic_io import write_text  # noqa: E402
from src.utils.numbers import decimal  # noqa: E402

LABELS = (*PATTERN_LABELS, NEUTRAL)
FILES = ("proatividade_treino.jsonl", "proatividade_dev.jsonl")
MIN_COUNT = 2  # um traço visto numa mensagem só nada ensina
KEPT_FEATURES = 10_000
INVERSE_PENALTY = 30.0  # C da regressão logística
NEUTRAL_BELOW = 0.2  # de --cv: os falsos alarmes ficam em 1 a 3 % nas fontes que o modelo não leu
LEVELS = 127

Rows = Sequence[dict[str, Any]]


def read_rows() -> list[dict[str, Any]]:
    """As mensagens de treino e de desenvolvimento, com a fonte de cada uma."""
    rows = []
    for name in FILES:
        for line in (ROOT / "data" / "eval" / name).read_text("utf-8").splitlines():
            rows.append({"fonte": "dev"} | json.loads(line))
    return rows


def digest() -> str:
    """O resumo criptográfico dos textos."""
    found = hashlib.sha256()
    for name in FILES:
        found.update((ROOT / "data" / "eval" / name).read_bytes())
    return found.hexdigest()


def read_features(rows: Rows) -> list[set[str]]:
    """Os traços de cada mensagem."""
    found = []
    for row in rows:
        reading = read_message(row["texto"])
        found.append(features(reading, phrase_index().find(reading)))
    return found


def matrix(rows: Iterable[set[str]], names: Sequence[str]) -> Any:
    """Os valores dos traços ``names`` em cada mensagem: esparsa, [mensagens, traços]."""
    from scipy.sparse import csr_matrix

    place = {name: index for index, name in enumerate(names)}
    data, columns, ends = list[float](), list[int](), [0]
    for found in rows:
        known = sorted(name for name in found if name in place)
        values = feature_values(known)
        data += values.values()
        columns += [place[name] for name in values]
        ends.append(len(data))
    return csr_matrix((data, columns, ends), shape=(len(ends) - 1, len(names)))


def fit(found: Sequence[set[str]], labels: Sequence[str]) -> PatternModel:
    """Treina, fica com os traços que mais pesam, treina de novo e arredonda os pesos."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    counts = Counter(name for row in found for name in row)
    names = sorted(name for name, count in counts.items() if count >= MIN_COUNT)

    def learn() -> tuple[Any, Any]:
        x = matrix(found, names)
        model = LogisticRegression(C=INVERSE_PENALTY, max_iter=500).fit(x, labels)
        order = [list(model.classes_).index(label) for label in LABELS]
        return x, (model.coef_[order], model.intercept_[order])

    x, (weights, bias) = learn()
    effect = np.abs(weights).max(axis=0) * np.sqrt(np.asarray((x != 0).sum(axis=0)).ravel())
    chosen = np.argsort(-effect, kind="stable")[:KEPT_FEATURES]
    names = sorted(names[index] for index in chosen)
    _, (weights, bias) = learn()
    scale = float(np.abs(weights).max()) / LEVELS
    rounded = np.rint(weights / scale).astype(int)
    table = {name: tuple(map(int, rounded[:, i])) for i, name in enumerate(names)}
    return PatternModel(
        LABELS, table, round(scale, 8), tuple(round(float(b), 4) for b in bias), NEUTRAL_BELOW
    )


def choose(model: PatternModel, found: set[str]) -> str:
    """O rótulo que o modelo dá."""
    chances = model.probabilities(found)
    if chances[NEUTRAL] >= model.neutral_below:
        return NEUTRAL
    return max(PATTERN_LABELS, key=lambda name: chances[name])


def cross_validate(rows: Rows) -> None:
    """Imprime, por fonte, F1 macro e falsos alarmes de um modelo treinado sem ela."""
    from sklearn.metrics import f1_score

    found = read_features(rows)
    for source in sorted({row["fonte"] for row in rows}):
        inside = [i for i, row in enumerate(rows) if row["fonte"] == source]
        outside = [i for i, row in enumerate(rows) if row["fonte"] != source]
        model = fit([found[i] for i in outside], [rows[i]["padrao"] for i in outside])
        truth = [rows[i]["padrao"] for i in inside]
        given = [choose(model, found[i]) for i in inside]
        neutral = [g for t, g in zip(truth, given) if t == NEUTRAL]
        alarms = sum(g != NEUTRAL for g in neutral) / max(len(neutral), 1)
        present = sorted(set(truth))
        score = f1_score(truth, given, labels=present, average="macro")
        print(
            f"{source}: {len(inside)} mensagens, F1 macro {decimal(score)}, "
            f"falsos alarmes {decimal(100 * alarms, 1)} % de {len(neutral)}"
        )


def as_json(model: PatternModel) -> str:
    """O arquivo de pesos."""
    names = list(model.weights)
    saved = {
        "version": 1,
        "data_sha256": digest(),
        "labels": list(model.labels),
        "scale": model.scale,
        "bias": list(model.bias),
        "neutral_below": model.neutral_below,
        "features": names,
        "weights": [list(column) for column in zip(*model.weights.values())],
    }
    return json.dumps(saved, ensure_ascii=False, separators=(",", ":")) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Treina e grava, confere ou mede."""
    parser = argparse.ArgumentParser(description="Treina o modelo da proatividade.")
    parser.add_argument("--check", action="store_true", help="confere os pesos gravados")
    parser.add_argument("--cv", action="store_true", help="mede cada fonte sem a ler")
    args = parser.parse_args(argv)
    rows = read_rows()
    if args.cv:
        cross_validate(rows)
        return 0
    if args.check:
        saved = json.loads(WEIGHTS_FILE.read_text("utf-8"))["data_sha256"]
        same = saved == digest()
        print("Os pesos são destes textos." if same else "Os pesos são de outros textos.")
        return 0 if same else 1
    model = fit(read_features(rows), [row["padrao"] for row in rows])
    write_text(WEIGHTS_FILE, as_json(model))
    print(f"{len(rows)} mensagens, {len(model.weights)} traços: {WEIGHTS_FILE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
