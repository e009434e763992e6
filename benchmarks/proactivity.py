"""Quanto a proatividade acerta, nos conjuntos rotulados de ``data/eval``.

Imprime, para cada parte (``dev``, com que as pistas e o modelo foram feitos, e ``teste``, que quem
os fez não leu), o F1 macro dos seis rótulos, os falsos alarmes nas mensagens neutras (com o
intervalo de Wilson), o F1 de cada rótulo e a tabela de confusão. Ao lado, as pistas sem o modelo e,
mais simples ainda, as expressões da referência procuradas ao pé da letra. E o tempo por mensagem.

Uso::

    python benchmarks/proactivity.py
    python benchmarks/proactivity.py --quick --json
"""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # permite rodar o arquivo sem instalar o projeto

from sklearn.metrics import confusion_matrix, f1_score  # noqa: E402

from benchmarks.harness import Row, decimal, measure_pairs, parser, show, table  # noqa: E402
from src.chat.proactive_patterns import (  # noqa: E402
    PATTERN_LABELS,
    detect,
    detect_by_reference,
    detect_by_rules,
)
from src.config.emotions import NEUTRAL  # noqa: E402
from src.evaluation.intervals import proportion  # noqa: E402

LABELS = (*PATTERN_LABELS, NEUTRAL)
PARTS = ("dev", "teste")
DETECTORS: dict[str, Callable[[str], Sequence[str]]] = {
    "model": detect,
    "cues_only": detect_by_rules,
    "reference_phrases": detect_by_reference,
}
NAMES = {
    "model": "modelo (o que o chat usa)",
    "cues_only": "só as pistas",
    "reference_phrases": "só as expressões da referência",
}


def read_set(part: str) -> tuple[list[str], list[str]]:
    """Os textos e os padrões de uma parte."""
    path = ROOT / "data" / "eval" / f"proatividade_{part}.jsonl"
    records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [r["texto"] for r in records], [r["padrao"] for r in records]


def score(truth: list[str], given: list[str]) -> Row:
    """F1 por rótulo e macro, falsos alarmes e confusão (linhas: o rótulo; colunas: o dado)."""
    each = f1_score(truth, given, labels=LABELS, average=None, zero_division=0.0)
    alarms = [found != NEUTRAL for real, found in zip(truth, given) if real == NEUTRAL]
    rate = proportion(alarms)
    return {
        "macro_f1": float(sum(each) / len(LABELS)),
        "f1": dict(zip(LABELS, map(float, each))),
        "neutral": len(alarms),
        "false_alarms": sum(alarms),
        "false_alarm_rate": rate.value,
        "false_alarm_low": rate.low,
        "false_alarm_high": rate.high,
        "confusion": confusion_matrix(truth, given, labels=LABELS).tolist(),
    }


def run(repeats: int) -> Row:
    """As medidas das duas partes e o tempo por mensagem."""
    result: Row = {"labels": list(LABELS)}
    for part in PARTS:
        texts, truth = read_set(part)
        result[part] = {"messages": len(texts)} | {
            name: score(truth, [(list(find(text)) or [NEUTRAL])[0] for text in texts])
            for name, find in DETECTORS.items()
        }
    texts, _ = read_set("teste")
    timing = measure_pairs({"all": lambda: [detect(text) for text in texts]}, repeats)["all"]
    rows = [
        {"part": part, "detector": name}
        | {key: result[part][name][key] for key in ("macro_f1", "false_alarm_rate")}
        for part in PARTS
        for name in DETECTORS
    ]
    return result | {"rows": rows, "ms_per_message": timing.ms.median / len(texts)}


def summary(found: Row) -> list[str]:
    """F1 macro e falsos alarmes de um detector."""
    low, high = (decimal(100 * found[f"false_alarm_{end}"]) for end in ("low", "high"))
    return [
        decimal(found["macro_f1"], 3),
        f"{found['false_alarms']} de {found['neutral']} ({low} a {high} %)",
    ]


def text(result: Row) -> str:
    """As medidas como se leem."""
    lines = []
    for part in PARTS:
        measured = result[part]
        rows = [[NAMES[name], *summary(measured[name])] for name in DETECTORS]
        model = measured["model"]
        confusion = [
            [label, *row, decimal(model["f1"][label], 3)]
            for label, row in zip(LABELS, model["confusion"])
        ]
        lines += [
            f"{part}: {measured['messages']} mensagens",
            "",
            table(["detector", "F1 macro", "falsos alarmes"], rows),
            "",
            table(["rótulo \\ dado", *LABELS, "F1"], confusion),
            "",
        ]
    return "\n".join([*lines, f"{decimal(result['ms_per_message'], 2)} ms por mensagem"])


def main(argv: list[str] | None = None) -> int:
    """Mede e imprime."""
    args = parser("Acerto da proatividade.").parse_args(argv)
    result = run(repeats=1 if args.quick else 7)
    show(args, result, text(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
