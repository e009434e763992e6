"""Quanto rendem os caminhos rápidos, contra as referências lentas e óbvias.

* varredura paralela do SSM contra o laço token a token (B 8, L 256, N 64, ida e volta);
* MoE com tokens agrupados por especialista contra todos os especialistas com máscara (E 8, k 2);
* Muon em fp32 e em lote contra ``torch.optim.Muon`` e contra ``torch.optim.AdamW``;
* preenchimento: quanto das linhas é desperdício com e sem empacotamento, nos dados que vêm junto
  (contagem de tokens, não tempo).

Uso::

    OMP_WAIT_POLICY=PASSIVE python benchmarks/components.py
    python benchmarks/components.py --quick --json

As repetições são intercaladas; cada tempo é mediana (percentis 10 a 90), e cada razão, o mesmo das
razões de cada rodada, sobre a primeira linha do grupo.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # permite rodar o arquivo sem instalar o projeto
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # antes de importar torch (docs/LOG.md)

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from benchmarks.harness import (  # noqa: E402
    Row,
    Spread,
    decimal,
    machine,
    machine_line,
    measure_pairs,
    parser,
    show,
    table,
)
from src.config.config import Config  # noqa: E402
from src.models.moe import MoEBlock  # noqa: E402
from src.models.state_space import StateSpaceLayer, bounded_transition, scan  # noqa: E402
from src.models.tokenizer import LunaTokenizer  # noqa: E402
from src.training.examples import build_examples  # noqa: E402
from src.training.optim import MuonAdamW  # noqa: E402
from src.training.packing import PackedDataset  # noqa: E402
from src.utils.file_utils import load_documents  # noqa: E402
from src.utils.numbers import grouped  # noqa: E402
from tests.reference import moe_dense, scan_loop  # noqa: E402

BATCH, LENGTH, STATE = 8, 256, 64
WIDTH, EXPERTS, TOP_K = 256, 8, 2
MATRICES, ROWS, COLUMNS = 8, 256, 1024
CONTEXT, VOCABULARY = 256, 2048

Functions = dict[str, Callable[[], object]]


def forward_backward(function: Callable[[], Tensor], inputs: list[Tensor]) -> Callable[[], Tensor]:
    """Uma chamada que faz a ida e a volta, com gradientes zerados antes."""

    def run() -> Tensor:
        for tensor in inputs:
            tensor.grad = None
        output = function()
        output.square().mean().backward()
        return output.detach()

    return run


def scan_functions() -> Functions:
    """A recorrência ``h_t = A h_{t-1} + v_t``, dos dois modos."""
    torch.manual_seed(0)
    A = bounded_transition(StateSpaceLayer.initial_matrices(STATE)[0]).requires_grad_()
    v = torch.randn(BATCH, LENGTH, STATE, requires_grad=True)
    return {
        "laço token a token": forward_backward(lambda: scan_loop(A, v), [A, v]),
        "varredura paralela": forward_backward(lambda: scan(A, v), [A, v]),
    }


def moe_functions() -> Functions:
    """O mesmo bloco MoE, dos dois modos."""
    torch.manual_seed(0)
    block = MoEBlock(WIDTH, EXPERTS, TOP_K)
    x = torch.randn(BATCH, LENGTH, WIDTH, requires_grad=True)
    inputs = [x, *block.parameters()]
    return {
        "todos os especialistas, com máscara": forward_backward(
            lambda: moe_dense(block, x), inputs
        ),
        "tokens agrupados": forward_backward(lambda: block(x), inputs),
    }


def optimizer_functions() -> Functions:
    """Um passo de cada otimizador sobre as mesmas matrizes."""
    muon: dict[str, Any] = {"lr": 0.02, "weight_decay": 0.1}
    kinds: dict[str, Callable[[list[Tensor]], torch.optim.Optimizer]] = {
        "MuonAdamW (fp32, em lote)": lambda p: MuonAdamW([{"params": p, "muon": True} | muon]),
        "torch.optim.AdamW": lambda p: torch.optim.AdamW(p, lr=2e-3, weight_decay=0.1),
    }
    if hasattr(torch.optim, "Muon"):  # desde o torch 2.9
        kinds = {"torch.optim.Muon": lambda p: torch.optim.Muon(p, **muon)} | kinds
    return {name: make(_matrices()).step for name, make in kinds.items()}


def _matrices() -> list[Tensor]:
    torch.manual_seed(0)
    matrices = [torch.randn(ROWS, COLUMNS, requires_grad=True) for _ in range(MATRICES)]
    for matrix in matrices:
        matrix.grad = torch.randn_like(matrix)
    return matrices


def largest_difference(functions: Functions) -> float:
    """A maior diferença entre as saídas do grupo: mostra que calculam a mesma coisa."""
    outputs = [function() for function in functions.values()]
    first, *others = [output for output in outputs if isinstance(output, Tensor)]
    return max(float((first - other).abs().max()) for other in others)


def timing_rows(group: str, functions: Functions, repeats: int) -> list[Row]:
    """Uma linha por função do grupo."""
    timings = measure_pairs(functions, repeats)
    return [
        {
            "group": group,
            "name": name,
            "median_ms": timing.ms.median,
            "low_ms": timing.ms.low,
            "high_ms": timing.ms.high,
            "ratio": timing.ratio.median,
            "ratio_low": timing.ratio.low,
            "ratio_high": timing.ratio.high,
        }
        for name, timing in timings.items()
    ]


def packing_rows(vocabulary: int) -> list[Row]:
    """Quanto das linhas é preenchimento, em cada modo de arrumar os dados que vêm junto."""
    documents, _ = load_documents(str(ROOT / "data" / "train"))
    tokenizer = LunaTokenizer(Config(tokenizer={"vocab_size": vocabulary})).train(documents)
    examples = build_examples(documents, tokenizer, CONTEXT)
    lengths = [len(example.ids) for example in examples]
    packed = PackedDataset(examples, CONTEXT, tokenizer.eos_id)
    order = torch.randperm(len(lengths), generator=torch.Generator().manual_seed(0)).tolist()
    batches = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
    by_batch = sum(max(lengths[i] for i in batch) * len(batch) for batch in batches)
    slots = {
        f"uma sequência por linha de {CONTEXT}": len(lengths) * CONTEXT,
        f"uma por linha, até a maior do lote de {BATCH}": by_batch,
        f"empacotadas em linhas de {CONTEXT}": len(packed) * CONTEXT,
    }
    tokens = sum(lengths)
    return [
        {
            "name": name,
            "sequences": len(lengths),
            "tokens": tokens,
            "slots": count,
            "padding": 1 - tokens / count,
        }
        for name, count in slots.items()
    ]


def run(quick: bool) -> Row:
    """Mede tudo."""
    repeats = 3 if quick else 15
    scans, moes = scan_functions(), moe_functions()
    differences = {"scan": largest_difference(scans), "moe": largest_difference(moes)}
    rows = [
        *timing_rows(f"SSM B{BATCH} L{LENGTH} N{STATE}, ida e volta", scans, repeats),
        *timing_rows(
            f"MoE E{EXPERTS} k{TOP_K}, {BATCH * LENGTH} tokens de {WIDTH}, ida e volta",
            moes,
            repeats,
        ),
        *timing_rows(
            f"passo do otimizador, {MATRICES} matrizes {ROWS}x{COLUMNS}",
            optimizer_functions(),
            repeats,
        ),
    ]
    packing = packing_rows(VOCABULARY // 2 if quick else VOCABULARY)
    return {
        "machine": machine(),
        "repeats": repeats,
        "rows": rows,
        "differences": differences,
        "packing": packing,
    }


def text(result: Row) -> str:
    """As tabelas, em Markdown."""
    times = [
        [
            row["group"],
            row["name"],
            Spread(row["median_ms"], row["low_ms"], row["high_ms"]).text(),
            Spread(row["ratio"], row["ratio_low"], row["ratio_high"]).text(3),
        ]
        for row in result["rows"]
    ]
    packing = [
        [r["name"], grouped(r["slots"]), decimal(100 * r["padding"]) + " %"]
        for r in result["packing"]
    ]
    first = result["packing"][0]
    return "\n\n".join(
        [
            f"{machine_line(result['machine'])}; {result['repeats']} medidas.",
            table(["o quê", "como", "ms: mediana (10 %-90 %)", "razão"], times),
            "Maior diferença entre as saídas: "
            + ", ".join(f"{name} {value:.1e}" for name, value in result["differences"].items()),
            f"{grouped(first['sequences'])} sequências, {grouped(first['tokens'])} tokens:",
            table(["arrumação", "posições calculadas", "preenchimento"], packing),
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Mede e imprime."""
    args = parser("Caminhos rápidos contra as referências.").parse_args(argv)
    result = run(args.quick)
    show(args, result, text(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
