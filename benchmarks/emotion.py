"""Quanto a leitura de emoções acerta, nos conjuntos rotulados à mão de ``data/eval``.

Imprime, para cada parte (``dev``, com que o léxico foi ajustado, e ``teste``, que quem o escreveu
não leu), o F1 de cada classe, o F1 macro e a tabela de confusão. Ao lado, a mesma leitura sem as
regras (só a soma dos pesos do léxico), que é a referência simples. Depois, em quantas frases dos
documentos que vêm junto (textos de fatos, sem emoção) se leu uma emoção. E o tempo por mensagem.

Uso::

    python benchmarks/emotion.py
    python benchmarks/emotion.py --quick --json
"""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # permite rodar o arquivo sem instalar o projeto

from sklearn.metrics import accuracy_score, confusion_matrix, f1_score  # noqa: E402

from benchmarks.harness import Row, decimal, measure_pairs, parser, show, table  # noqa: E402
from src.config.emotions import EMOTIONS, NEUTRAL  # noqa: E402
from src.models.emotion import lexicon_sum, read_emotion  # noqa: E402

LABELS = (*EMOTIONS, NEUTRAL)
PARTS = ("dev", "teste")


def read_set(part: str) -> tuple[list[str], list[str]]:
    """Os textos e as emoções de uma parte."""
    path = ROOT / "data" / "eval" / f"emocoes_{part}.jsonl"
    records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [r["texto"] for r in records], [r["emocao"] for r in records]


def factual_sentences() -> list[str]:
    """As frases dos documentos em texto de ``data/train/documentos``."""
    sentences = []
    for path in sorted((ROOT / "data" / "train" / "documentos").glob("*.txt")):
        body = re.sub(r"^\[METADADOS\].*|\[\w+\]", "", path.read_text("utf-8"), flags=re.MULTILINE)
        sentences += [s for s in re.split(r"(?<=[.!?])\s+|\n", body) if len(s.split()) > 2]
    return sentences


def score(truth: list[str], predicted: list[str]) -> Row:
    """F1 por classe e macro, acurácia e confusão (linhas: o rótulo; colunas: o que se leu)."""
    each = f1_score(truth, predicted, labels=LABELS, average=None, zero_division=0.0)
    return {
        "macro_f1": float(sum(each) / len(LABELS)),
        "accuracy": float(accuracy_score(truth, predicted)),
        "f1": dict(zip(LABELS, map(float, each))),
        "confusion": confusion_matrix(truth, predicted, labels=LABELS).tolist(),
    }


def run(repeats: int) -> Row:
    """As medidas das duas partes e o tempo por mensagem."""
    readers: dict[str, Callable[[str], str]] = {
        "rules": lambda text: read_emotion(text).dominant,
        "lexicon_only": lambda text: lexicon_sum(text).dominant,
    }
    result: Row = {"labels": list(LABELS)}
    for part in PARTS:
        texts, truth = read_set(part)
        result[part] = {"sentences": len(texts)} | {
            name: score(truth, [read(text) for text in texts]) for name, read in readers.items()
        }
    facts = factual_sentences()
    result["factual"] = {"sentences": len(facts)} | {
        name: sum(read(text) != NEUTRAL for text in facts) / len(facts)
        for name, read in readers.items()
    }
    texts, _ = read_set("teste")
    timing = measure_pairs({"all": lambda: [read_emotion(text) for text in texts]}, repeats)["all"]
    rows = [
        {"part": part, "reader": name}
        | {figure: result[part][name][figure] for figure in ("macro_f1", "accuracy")}
        for part in PARTS
        for name in readers
    ]
    return result | {"rows": rows, "ms_per_message": timing.ms.median / len(texts)}


def text(result: Row) -> str:
    """As medidas como se leem."""
    lines = []
    for part in PARTS:
        found, plain = result[part]["rules"], result[part]["lexicon_only"]
        lines += [
            f"{part}: {result[part]['sentences']} frases, F1 macro {decimal(found['macro_f1'], 3)} "
            f"(só o léxico, sem as regras: {decimal(plain['macro_f1'], 3)}), "
            f"acurácia {decimal(found['accuracy'], 3)}",
            "",
            table(
                ["rótulo \\ leitura", *LABELS, "F1"],
                [
                    [label, *row, decimal(found["f1"][label], 3)]
                    for label, row in zip(LABELS, found["confusion"])
                ],
            ),
            "",
        ]
    facts = result["factual"]
    lines.append(
        f"documentos: emoção lida em {decimal(100 * facts['rules'])} % de {facts['sentences']} "
        f"frases (só o léxico: {decimal(100 * facts['lexicon_only'])} %)"
    )
    return "\n".join([*lines, f"{decimal(result['ms_per_message'], 2)} ms por mensagem"])


def main(argv: list[str] | None = None) -> int:
    """Mede e imprime."""
    args = parser("Acerto da leitura de emoções.").parse_args(argv)
    result = run(repeats=1 if args.quick else 7)
    show(args, result, text(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
