"""O que cada tamanho pronto custa: parâmetros, disco e memória para treinar e conversar.

Uso::

    python benchmarks/presets.py                # parâmetros, disco e memória estimada
    python benchmarks/presets.py --measure      # também a memória medida, um processo por medida
    python benchmarks/presets.py --quick --json

A memória estimada é a de ``hardware_utils.estimate_training_memory_gb``, que decide o lote no
treino. A medida é o pico de memória residente de um processo que só faz aquilo (um passo de treino
com o lote e o contexto do tamanho, ou uma resposta de 32 tokens com o contexto cheio), menos o que
as bibliotecas já ocupavam antes de o modelo existir. GB são 2^30 bytes, MB são 10^6.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # permite rodar o arquivo sem instalar o projeto
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # antes de importar torch (docs/LOG.md)

import torch  # noqa: E402

from benchmarks.harness import (  # noqa: E402
    Row,
    decimal,
    machine,
    machine_line,
    parser,
    show,
    table,
)
from src.config.model_config import ModelConfig  # noqa: E402
from src.config.presets import PRESETS, Preset  # noqa: E402
from src.evaluation.latency import time_generation  # noqa: E402
from src.evaluation.memory import ANSWER_TOKENS, peak_resident_gb  # noqa: E402
from src.models.luna_model import LunaModel  # noqa: E402
from src.training.optim import build_optimizer  # noqa: E402
from src.utils.hardware_utils import estimate_training_memory_gb  # noqa: E402
from src.utils.numbers import grouped  # noqa: E402

QUICK = ("nano", "mini")


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    found = parser("Parâmetros, disco e memória de cada tamanho pronto.")
    found.add_argument("--measure", action="store_true", help="mede a memória (minutos no base)")
    found.add_argument("--child", nargs=3, help=argparse.SUPPRESS)  # ação, tamanho, pasta
    return found.parse_args(argv)


# ---------------------------------------------------------------------- no processo medido


def child(action: str, name: str, folder: str) -> Row:
    """Treina um passo ou dá uma resposta, e diz quanta memória isso pediu."""
    libraries = peak_resident_gb()
    model: Any = LunaModel.from_pretrained(folder)
    if action == "train":
        one_training_step(model, PRESETS[name])
    else:
        one_answer(model)
    return {"libraries_gb": libraries, "gb": peak_resident_gb() - libraries}


def one_training_step(model: Any, preset: Preset) -> None:
    """Ida, volta e otimizador, com o lote e o contexto do tamanho."""
    torch.manual_seed(0)
    ids = torch.randint(0, preset.vocab_size, (preset.batch_size, preset.context_length))
    optimizer = build_optimizer(model, preset.learning_rate, weight_decay=0.1)
    model.train()
    model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()


def one_answer(model: Any) -> None:
    """Uma resposta que termina com o contexto cheio."""
    torch.manual_seed(0)
    length = model.config.n_positions - ANSWER_TOKENS
    ids = torch.randint(0, model.config.vocab_size, (length,)).tolist()
    time_generation(model, ids, ANSWER_TOKENS)


def measured(action: str, name: str, folder: Path) -> Row:
    """``child`` noutro processo."""
    command = [sys.executable, __file__, "--child", action, name, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: Row = json.loads(done.stdout.splitlines()[-1])
    return result


# ---------------------------------------------------------------------- a tabela


def describe(name: str, measure: bool) -> Row:
    """Uma linha da tabela."""
    preset = PRESETS[name]
    config = ModelConfig.from_preset(name)
    torch.manual_seed(0)
    model = LunaModel.from_scratch(config)
    parameters = model.parameter_count()
    row: Row = {
        "name": name,
        "hidden_size": preset.hidden_size,
        "layers": preset.num_hidden_layers,
        "heads": preset.num_attention_heads,
        "context": preset.context_length,
        "vocab_size": preset.vocab_size,
        "batch_size": preset.batch_size,
        "parameters": parameters,
        "active_parameters": model.parameter_count(active_only=True),
        "train_estimate_gb": estimate_training_memory_gb(
            parameters,
            preset.batch_size,
            preset.context_length,
            preset.hidden_size,
            preset.num_hidden_layers,
            preset.vocab_size,
        ),
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / name
        model.save(folder)
        del model
        row["weights_mb"] = sum(p.stat().st_size for p in folder.rglob("*.safetensors")) / 1e6
        if measure:
            training = measured("train", name, folder)
            row["train_measured_gb"] = training["gb"]
            row["chat_measured_gb"] = measured("chat", name, folder)["gb"]
            row["libraries_gb"] = training["libraries_gb"]
    return row


def text(result: Row) -> str:
    """As linhas em duas tabelas Markdown."""
    rows = result["rows"]
    sizes = [
        [
            f"`{row['name']}`",
            row["hidden_size"],
            row["layers"],
            row["heads"],
            row["context"],
            grouped(row["vocab_size"]),
            grouped(row["parameters"]),
            grouped(row["active_parameters"]),
            decimal(row["weights_mb"]),
        ]
        for row in rows
    ]
    header = "tamanho,largura,blocos,cabeças,contexto,vocabulário,parâmetros,usados por token"
    memory = [[f"`{row['name']}`", *memory_cells(row)] for row in rows]
    costs = "tamanho,lote,treino: estimada (GB),treino: medida (GB),conversa: medida (GB)"
    parts = [
        machine_line(result["machine"]) + ".",
        table([*header.split(","), "pesos no disco (MB)"], sizes),
        table(costs.split(","), memory),
    ]
    libraries = [row["libraries_gb"] for row in rows if "libraries_gb" in row]
    if libraries:
        parts.append(f"Bibliotecas, a somar às medidas: {decimal(max(libraries), 2)} GB.")
    return "\n\n".join(parts)


def memory_cells(row: Row) -> list[str]:
    """Lote e memória; um traço no que não foi medido."""
    names = ("train_estimate_gb", "train_measured_gb", "chat_measured_gb")
    return [str(row["batch_size"]), *(decimal(row[n], 2) if n in row else "-" for n in names)]


def main(argv: list[str] | None = None) -> int:
    """Mede e imprime."""
    args = parse_args(argv)
    if args.child:
        print(json.dumps(child(*args.child)))
        return 0
    rows = [describe(name, args.measure) for name in (QUICK if args.quick else PRESETS)]
    result = {"machine": machine(), "rows": rows}
    show(args, result, text(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
