"""Quanta memória o treino pede com N MB de texto, contra o mesmo treino com 1 MB.

Uso::

    python benchmarks/train_memory.py                  # 200 MB contra 1 MB
    python benchmarks/train_memory.py --mb 1024        # 1 GB: dezenas de minutos em 2 núcleos
    python benchmarks/train_memory.py --quick --json

Cada treino roda num processo seu: abre o modelo, dá um passo com um lote sorteado (é a memória do
próprio modelo), tokeniza o corpus para o disco (``src/training/corpus.py``), lê linhas ao acaso e
treina com ``LunaTrainer``, da partida por bigramas à gravação do modelo. O pico é o que o sistema
registra (VmHWM no Linux) e inclui as páginas mapeadas. "Com os auxiliares" soma os processos que
tokenizam, amostrados a cada 0,5 s (PSS no Linux: uma página dividida conta uma vez). O texto é
sintético: linhas de ``data/train`` com números que variam, para que nada seja repetição. GB são
2^30 bytes; MB, 2^20.
"""

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from itertools import count
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # permite rodar o arquivo sem instalar o projeto
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # antes de importar torch (docs/LOG.md)

with contextlib.redirect_stdout(sys.stderr):  # ele se anuncia em stdout ao ser importado
    import transformers.trainer

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
from src.config.config import Config  # noqa: E402
from src.config.model_config import ModelConfig  # noqa: E402
from src.config.presets import PRESETS  # noqa: E402
from src.evaluation.memory import GB, peak_resident_gb  # noqa: E402
from src.models.luna_model import LunaModel  # noqa: E402
from src.models.tokenizer import LunaTokenizer  # noqa: E402
from src.training.corpus import CorpusOptions, prepare_corpus  # noqa: E402
from src.training.optim import build_optimizer  # noqa: E402
from src.training.trainer import LunaTrainer  # noqa: E402
from src.utils.numbers import grouped  # noqa: E402

MEGABYTE = 1 << 20
MIN_LINE = 60  # caracteres
SAMPLE_SECONDS = 0.5


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    found = parser("Memória residente do treino com um corpus grande, contra 1 MB de texto.")
    found.add_argument("--mb", type=int, default=200, help="tamanho do corpus, em MB")
    found.add_argument("--size", choices=sorted(PRESETS), default="nano", help="o modelo")
    found.add_argument("--steps", type=int, default=60, help="passos de treino")
    found.add_argument("--rows", type=int, default=1000, help="linhas lidas ao acaso")
    found.add_argument("--workers", type=int, help="processos que tokenizam (um por núcleo)")
    found.add_argument("--temp", help="pasta dos arquivos temporários: pede 1,6 vez o corpus")
    found.add_argument("--child", nargs=2, help=argparse.SUPPRESS)  # pasta do modelo, corpus
    args = found.parse_args(argv)
    if args.quick:
        args.mb, args.steps, args.rows = 3, 2, 50
    return args


# ---------------------------------------------------------------------- no processo medido


def child(args: argparse.Namespace) -> Row:
    """Treina e diz o pico de memória depois de cada etapa."""
    transformers.utils.logging.disable_progress_bar()
    folder, text = map(Path, args.child)
    preset, result = PRESETS[args.size], {"libraries_gb": peak_resident_gb()}
    config = Config()
    config.paths.models_dir = str(folder.parent)
    trainer = LunaTrainer(folder.name, config, "cpu", show_progress=False)
    model, length = trainer.model, trainer.model.config.n_positions
    torch.manual_seed(0)
    ids = torch.randint(0, model.config.vocab_size, (preset.batch_size, length))
    one_step(model, preset.learning_rate, {"input_ids": ids, "labels": ids})
    result["model_gb"] = peak_resident_gb()
    started = time.perf_counter()
    options = CorpusOptions(workers=args.workers)
    dataset = prepare_corpus(text, trainer.tokenizer, length, text.parent / "cache", options)
    result |= {"build_seconds": time.perf_counter() - started, "build_gb": peak_resident_gb()}
    order = random.Random(0)
    started = time.perf_counter()
    for _ in range(args.rows):
        dataset[order.randrange(len(dataset))]
    result["row_us"] = (time.perf_counter() - started) / max(args.rows, 1) * 1e6
    result["rows_gb"] = peak_resident_gb()
    with contextlib.redirect_stdout(sys.stderr):  # o Trainer imprime o seu resumo
        trainer.train_supervised(
            dataset, max_steps=args.steps, per_device_train_batch_size=preset.batch_size
        )
    result["peak_gb"] = peak_resident_gb()
    names = ("tokens", "length", "fill_fraction", "documents")
    return result | {name: getattr(dataset, name) for name in names} | {"dataset": len(dataset)}


def one_step(model: Any, rate: float, batch: dict[str, Any]) -> None:
    """Um passo de treino à taxa zero, com um otimizador que se joga fora."""
    optimizer = build_optimizer(model, rate, weight_decay=0.0)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    model.train()
    model(**batch).loss.backward()
    optimizer.step()
    model.zero_grad()


# ---------------------------------------------------------------------- o processo que mede


def measured(args: argparse.Namespace, model: Path, text: Path) -> Row:
    """``child`` noutro processo, com a memória dele e dos seus auxiliares amostrada."""
    command = [sys.executable, __file__, "--child", str(model), str(text), "--size", args.size]
    command += ["--steps", str(args.steps), "--rows", str(args.rows)]
    command += ["--workers", str(args.workers)] if args.workers else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        largest = [0.0]
        watch = threading.Thread(target=watch_memory, args=(process, largest), daemon=True)
        watch.start()
        output, _ = process.communicate()
        watch.join()
    if process.returncode:
        raise RuntimeError(f"o treino medido terminou com o código {process.returncode}")
    result: Row = json.loads(output.splitlines()[-1])
    megabytes = text.stat().st_size / MEGABYTE
    return {"mb": megabytes, **result, "tree_gb": max(largest[0], result["peak_gb"])}


def watch_memory(process: subprocess.Popen[str], largest: list[float]) -> None:
    """Guarda em ``largest[0]`` o maior total (GB) do processo com os filhos."""
    import psutil

    while process.poll() is None:
        total = 0
        try:
            root = psutil.Process(process.pid)
            for member in [root, *root.children(recursive=True)]:
                memory = member.memory_full_info()
                total += getattr(memory, "pss", memory.rss)
        except psutil.Error:  # um deles acabou entre a lista e a leitura
            continue
        largest[0] = max(largest[0], total / GB)
        time.sleep(SAMPLE_SECONDS)


def source_lines() -> list[str]:
    """As linhas longas dos textos que vêm junto, sem os nomes de quem fala."""
    lines = [
        line.partition(": ")[2] or line
        for path in sorted((ROOT / "data" / "train").glob("*.txt"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    return [line for line in lines if len(line) >= MIN_LINE]


def write_corpus(path: Path, megabytes: int) -> Path:
    """Um .txt de ``megabytes`` em parágrafos de quatro linhas, cada um com o seu número."""
    lines, order, size = source_lines(), random.Random(0), 0
    with open(path, "w", encoding="utf-8") as stream:
        for number in count(1):
            chosen = " ".join(order.choices(lines, k=4))
            size += stream.write(f"Nota {number}: {chosen} Fim da nota {number}.\n\n")
            if number % 1000 == 0:
                size = stream.tell()
            if size >= megabytes * MEGABYTE:
                return path
    return path


def write_model(folder: Path, size: str) -> Path:
    """Um modelo novo do tamanho pedido, com tokenizador treinado nos textos que vêm junto."""
    config = Config()
    config.tokenizer.vocab_size = PRESETS[size].vocab_size
    tokenizer = LunaTokenizer(config).train(source_lines())
    model_config = ModelConfig.from_preset(size)
    model_config.vocab_size = tokenizer.get_vocab_size()
    model_config.bos_token_id = model_config.eos_token_id = tokenizer.eos_id
    model_config.tie_word_embeddings = False  # como create faz com tanto texto
    torch.manual_seed(0)
    LunaModel.from_scratch(model_config).save(folder)
    tokenizer.save(folder / "tokenizer")
    return folder


def text(result: Row) -> str:
    """A tabela e o que ela diz."""
    header = "corpus (MB),tokens,linhas,ocupadas,tokenizar (s),bibliotecas (GB),com o modelo (GB),"
    header += "com o corpus feito (GB),treino (GB),com os auxiliares (GB)"
    lines = [
        [
            grouped(row["mb"]),
            grouped(row["tokens"]),
            grouped(row["dataset"]),
            f"{decimal(100 * row['fill_fraction'])} %",
            decimal(row["build_seconds"]),
            *(decimal(row[f"{n}_gb"], 2) for n in "libraries model build peak tree".split()),
        ]
        for row in result["rows"]
    ]
    extra = "Acima do próprio modelo: {} GB neste processo, {} GB com os auxiliares (meta: 1,5 GB)."
    above = extra.format(decimal(result["above_gb"], 2), decimal(result["tree_above_gb"], 2))
    growth = f"A mais que com 1 MB: {decimal(result['growth_gb'], 2)} GB."
    machine_text = machine_line(result["machine"]) + "."
    return "\n\n".join([machine_text, table(header.split(","), lines), f"{above} {growth}"])


def main(argv: list[str] | None = None) -> int:
    """Mede e imprime."""
    args = parse_args(argv)
    if args.child:
        print(json.dumps(child(args)))
        return 0
    with tempfile.TemporaryDirectory(dir=args.temp) as temporary:
        base = Path(temporary)
        model = write_model(base / "model", args.size)
        rows = []
        for megabytes in (1, args.mb):
            place = base / str(megabytes)
            place.mkdir(exist_ok=True)
            rows.append(measured(args, model, write_corpus(place / "texto.txt", megabytes)))
    small, large = rows
    result = {
        "machine": machine(),
        "model": args.size,
        "rows": rows,
        "above_gb": large["peak_gb"] - large["model_gb"],
        "tree_above_gb": large["tree_gb"] - large["model_gb"],
        "growth_gb": large["peak_gb"] - small["peak_gb"],
    }
    show(args, result, text(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
