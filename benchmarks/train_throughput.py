"""O que o ``LunaTrainer`` custa além do laço, e o que o empacotamento poupa.

* ``LunaTrainer`` (Trainer do transformers, callbacks, métricas) contra um laço de PyTorch de uma
  página, com o mesmo modelo, os mesmos lotes e o mesmo otimizador: tokens por segundo;
* o mesmo laço com conversas empacotadas contra conversas preenchidas até a maior do lote, em tokens
  de verdade por segundo.

Uso::

    OMP_WAIT_POLICY=PASSIVE python benchmarks/train_throughput.py
    python benchmarks/train_throughput.py --quick --json

As repetições são intercaladas; cada número é a mediana (percentis 10 a 90), e cada razão, a de uma
rodada. A primeira atualização de cada treino fica fora do relógio.
"""

import contextlib
import copy
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # permite rodar o arquivo sem instalar o projeto
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # antes de importar torch (docs/LOG.md)
with contextlib.redirect_stdout(sys.stderr):  # ele se anuncia em stdout ao ser importado
    import transformers.trainer

import torch  # noqa: E402
from torch import Tensor  # noqa: E402
from transformers import TrainerCallback  # noqa: E402

from benchmarks.harness import (  # noqa: E402
    Row,
    decimal,
    machine,
    machine_line,
    parser,
    show,
    table,
)
from src.config.config import Config  # noqa: E402
from src.config.model_config import ModelConfig  # noqa: E402
from src.evaluation.timing import Spread  # noqa: E402
from src.models.luna_model import LunaModel  # noqa: E402
from src.models.tokenizer import LunaTokenizer  # noqa: E402
from src.training.examples import Example, build_examples  # noqa: E402
from src.training.optim import build_optimizer  # noqa: E402
from src.training.packing import PackedDataset  # noqa: E402
from src.training.stream import StreamStage, TrainingStream  # noqa: E402
from src.training.trainer import LunaTrainer  # noqa: E402
from src.utils.file_utils import load_documents  # noqa: E402
from src.utils.numbers import grouped  # noqa: E402

NAME, ROWS, CONTEXT, LEARNING_RATE = "Vazao", 8, 256, 1e-3
Batch = dict[str, Tensor]


class Clock(TrainerCallback):
    """O tempo do fim da primeira atualização ao fim da última."""

    def __init__(self) -> None:
        self.first = self.last = 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Marca a hora."""
        self.last = time.perf_counter()
        self.first = self.first or self.last


def bare_loop(model: Any, batches: Iterable[Batch], precision: str) -> float:
    """Segundos do laço de uma página, sem a primeira atualização."""
    optimizer = build_optimizer(model, LEARNING_RATE, 0.1, low_precision=precision == "bf16")
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    model.train()
    started = finished = 0.0
    for batch in batches:
        items = (batch["labels"] != -100).sum()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = model(**batch, return_logits=False, num_items_in_batch=items).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        finished = time.perf_counter()
        started = started or finished
    return finished - started


def luna_seconds(config: Config, texts: list[Any], steps: int) -> float:
    """Segundos do ``LunaTrainer`` nas mesmas atualizações."""
    clock = Clock()
    trainer = LunaTrainer(NAME, config, "cpu", show_progress=False)
    trainer.model.save = lambda *args, **kwargs: None  # as rodadas partem todas do mesmo modelo
    trainer.train_supervised(
        texts,
        max_steps=steps,
        per_device_train_batch_size=ROWS,
        learning_rate=LEARNING_RATE,
        callbacks=[clock],
    )
    return clock.last - clock.first


def stream(rows: PackedDataset, steps: int, seed: int) -> list[Batch]:
    """Os lotes que o ``LunaTrainer`` leria, prontos."""
    return list(TrainingStream([StreamStage(rows, steps, ROWS)], seed))


def padded(examples: list[Example], count: int, fill: int) -> list[Batch]:
    """``count`` lotes de ``ROWS`` conversas, preenchidas até a maior de cada lote."""
    batches = []
    for start in range(0, count * ROWS, ROWS):
        some = [examples[i % len(examples)] for i in range(start, start + ROWS)]
        length = max(len(example.ids) for example in some)
        rows = [PackedDataset([example], length, fill)[0] for example in some]
        batches.append({name: torch.stack([row[name] for row in rows]) for name in rows[0]})
    return batches


def real_tokens(batches: list[Batch]) -> int:
    """Tokens que contam na perda: os mesmos nos dois arranjos."""
    return sum(int((batch["labels"] != -100).sum()) for batch in batches[1:])


def spread_text(spread: Spread) -> str:
    """``mediana (p10-p90)`` em tokens por segundo."""
    return f"{grouped(spread.median)} ({grouped(spread.low)}-{grouped(spread.high)})"


def measure(quick: bool, precision: str) -> list[Row]:
    """As duas comparações."""
    steps, repeats = (4, 2) if quick else (24, 7)
    with tempfile.TemporaryDirectory() as folder:
        config = Config()
        config.paths.models_dir = folder
        config.training.precision = precision
        config.tokenizer.vocab_size = 1024 if quick else 4096
        texts, _ = load_documents([str(ROOT / "data" / "train")])
        tokenizer = LunaTokenizer(config).train([str(text) for text in texts])
        size = {"n_embd": 32, "n_layer": 2, "n_head": 2} if quick else {}
        ids = {"bos_token_id": tokenizer.eos_id, "eos_token_id": tokenizer.eos_id}
        model_config = ModelConfig.from_preset(
            "nano", vocab_size=tokenizer.get_vocab_size(), n_positions=CONTEXT, **size, **ids
        )
        torch.manual_seed(0)
        model = LunaModel.from_scratch(model_config)
        model.save(Path(folder) / NAME)
        tokenizer.save(Path(folder) / NAME / "tokenizer")
        examples = build_examples(texts, tokenizer, CONTEXT)
        rows = PackedDataset(examples, CONTEXT, tokenizer.eos_id)
        talk = [example for example in examples if not all(example.learn[1:])]
        talk_rows = PackedDataset(talk, CONTEXT, tokenizer.eos_id)
        batches = stream(rows, steps, config.training.seed)
        packed = stream(talk_rows, steps, 0)
        loose = padded(talk, steps, tokenizer.eos_id)
        tokens = (steps - 1) * ROWS * CONTEXT
        rates: dict[str, list[float]] = {name: [] for name in ("bare", "luna", "padded", "packed")}
        for turn in range(repeats + 1):  # a primeira aquece
            seconds = {
                "bare": bare_loop(copy.deepcopy(model), batches, precision),
                "luna": luna_seconds(config, texts, steps),
                "padded": bare_loop(copy.deepcopy(model), loose, precision),
                "packed": bare_loop(copy.deepcopy(model), packed, precision),
            }
            if turn:
                for name, value in seconds.items():
                    done = {"padded": real_tokens(loose), "packed": real_tokens(packed)}
                    rates[name].append(done.get(name, tokens) / value)
    return [
        _row("laço de uma página", rates["bare"], rates["bare"], 1),
        _row("LunaTrainer", rates["luna"], rates["bare"], 1),
        _row("conversas preenchidas", rates["padded"], rates["padded"], 2),
        _row("conversas empacotadas", rates["packed"], rates["padded"], 2),
    ]


def _row(name: str, rates: list[float], peer: list[float], group: int) -> Row:
    ratios = [one / other for one, other in zip(rates, peer)]
    spread = Spread.of(rates)
    return {
        "group": group,
        "name": name,
        "repeats": len(rates),
        "tokens_per_second": spread.median,
        "low": spread.low,
        "high": spread.high,
        "ratio": statistics.median(ratios),
        "ratio_low": Spread.of(ratios).low,
        "ratio_high": Spread.of(ratios).high,
        "text": spread_text(spread),
    }


def main() -> int:
    """Mede e imprime."""
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    args = options.parse_args()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    rows = measure(args.quick, args.precision)
    result = {"machine": machine(), "precision": args.precision, "rows": rows}
    cells = [[r["name"], r["text"], decimal(r["ratio"], 3)] for r in rows]
    text = table(["como", "tokens/s: mediana (p10-p90)", "razão"], cells)
    note = "Nas conversas contam só os tokens aprendidos; a razão é sobre a linha de cima do par."
    show(args, result, f"{machine_line(machine())}\n\n{text}\n\n{note}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
