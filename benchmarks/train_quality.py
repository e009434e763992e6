"""Quanto se aprende no mesmo tempo de relógio: Luna ao lado do GPT-2 do transformers.

Cada candidato treina com os mesmos textos, tokenizador, largura, profundidade, contexto e threads,
um de cada vez, e é medido em texto que ninguém leu, em bits por byte (``main.py evaluate``):

* ``gpt2-adamw``   GPT2LMHeadModel no Trainer do transformers, com o AdamW dele, blocos empacotados;
* ``gpt2-muon``    o mesmo com Muon nas matrizes (o de Luna, em fp32 e em lote);
* ``luna``         ``LunaTrainer`` com os padrões;
* ``luna:CHAVE=VALOR,...``   ``luna`` com campos da ``ModelConfig`` trocados, para ver cada peça.

O relógio começa na primeira atualização (em Luna, antes da sondagem e da partida por bigramas) e
inclui tudo o que o treino faz, menos as avaliações ao longo do caminho. Nos dois GPT-2 a taxa desce
em linha reta até zero no fim do tempo, pelo relógio; Luna fixa os passos pela sondagem de
``--max_minutes``. Com ``--screen``, cada candidato tenta antes três taxas por menos tempo, e fica
com a melhor; ``luna`` não, porque o que se mede dela é o padrão. Nada do tempo de tokenizar conta,
para nenhum.

Uso::

    python benchmarks/train_quality.py --train 'CORPORA/*.txt' --valid VALID.txt --minutes 6 \\
        --screen 2 --seeds 2 --out resultado
    python benchmarks/train_quality.py --quick --json

``--out`` grava ``resultado.json`` depois de cada treino (e o próximo comando igual continua dele) e
``resultado.svg``, os bits por byte ao longo do tempo.
"""

import argparse
import contextlib
import gc
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # permite rodar o arquivo sem instalar o projeto
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # antes de importar torch (docs/LOG.md)
with contextlib.redirect_stdout(sys.stderr):  # ele se anuncia em stdout ao ser importado
    import transformers.trainer

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch.optim.lr_scheduler import LambdaLR  # noqa: E402
from torch.utils.data import Dataset  # noqa: E402
from transformers import (  # noqa: E402
    GPT2Config,
    GPT2LMHeadModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

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
from src.config.presets import ties_embeddings  # noqa: E402
from src.evaluation import plots  # noqa: E402
from src.evaluation.likelihood import Encoded, UnitScores, score  # noqa: E402
from src.models.luna_model import LunaModel  # noqa: E402
from src.models.tokenizer import LunaTokenizer  # noqa: E402
from src.training.optim import build_optimizer  # noqa: E402
from src.training.trainer import LunaTrainer  # noqa: E402
from src.utils.atomic_io import write_json, write_text  # noqa: E402
from src.utils.file_utils import load_documents  # noqa: E402
from src.utils.numbers import grouped  # noqa: E402

ARMS = ["gpt2-adamw", "gpt2-muon", "luna"]
RATES = {"gpt2-adamw": (1e-3, 2e-3, 4e-3), "gpt2-muon": (1e-3, 2e-3, 4e-3)}
LUNA_FACTORS = (0.5, 1.0, 2.0)  # vezes a taxa padrão do tamanho
POINTS = 6  # avaliações ao longo do caminho, numa amostra
SAMPLE_DOCUMENTS = 4
WARMUP = 0.03
GROWTH_TEXTS = 40  # os textos em que uma rede que cresce acompanha a perda
PIECE = 4096  # caracteres de cada documento de validação


@dataclass
class Setting:
    """O que todos dividem: textos, tokenizador, dimensões e tempo."""

    train: list[Any]
    valid: list[Encoded]
    tokenizer: LunaTokenizer
    config: Config
    width: int
    layers: int
    heads: int
    context: int
    rows: int
    threads: int
    blocks: torch.Tensor | None = None


@dataclass
class Result:
    """Um treino medido. curve: pares (segundos, bits por byte numa amostra)."""

    arm: str
    seed: int
    rate: float
    minutes: float
    bits_per_byte: float
    steps: int
    tokens: int
    seconds: float
    parameters: int
    curve: list[list[float]] = field(default_factory=list)


class Blocks(Dataset):
    """O corpus num fio só, cortado em blocos do tamanho do contexto."""

    def __init__(self, ids: torch.Tensor, context: int) -> None:
        self.rows = ids[: len(ids) // context * context].view(-1, context)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        row = self.rows[index].long()
        return {"input_ids": row, "labels": row}


class Timekeeper(TrainerCallback):
    """Para o treino no fim do tempo e mede ao longo do caminho, fora do relógio."""

    def __init__(self, seconds: float, measure: Any = None) -> None:
        self.seconds, self.measure = seconds, measure
        self.began: float | None = None
        self.paused = self.first_step = 0.0
        self.curve: list[list[float]] = []
        self.elapsed = 0.0

    def now(self) -> float:
        """Segundos desde a primeira atualização, sem as avaliações."""
        return 0.0 if self.began is None else time.perf_counter() - self.began - self.paused

    def fraction(self) -> float:
        """A parte do tempo que já passou, de 0 a 1."""
        return min(self.now() / self.seconds, 1.0)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Liga o relógio."""
        if self.began is None:
            self.began, self.first_step = time.perf_counter(), time.time()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Mede, se é hora, e para quando o tempo acaba."""
        self.elapsed = self.now()
        due = (len(self.curve) + 1) * self.seconds / POINTS
        if self.measure is not None and self.elapsed >= due:
            paused = time.perf_counter()
            self.curve.append([round(self.elapsed, 1), self.measure(kwargs["model"])])
            self.paused += time.perf_counter() - paused
        control.should_training_stop |= self.elapsed >= self.seconds


def bits_per_byte(model: Any, documents: Sequence[Encoded], context: int, vocab: int) -> float:
    """A medida de ``main.py evaluate``, em janelas do contexto que deslizam pela metade."""
    training = model.training
    model.eval()
    nats = score(model, documents, context, context // 2, vocab)
    model.train(training)
    return UnitScores.collect(documents, nats).total().bits_per_byte


def train_gpt2(
    setting: Setting, muon: bool, rate: float, seconds: float, seed: int
) -> tuple[Any, Timekeeper, int]:
    """GPT-2 do transformers no Trainer dele; a taxa desce pelo relógio."""
    set_seed(seed)
    vocab = setting.tokenizer.get_vocab_size()
    config = GPT2Config(
        vocab_size=vocab,
        n_positions=setting.context,
        n_embd=setting.width,
        n_layer=setting.layers,
        n_head=setting.heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=setting.tokenizer.eos_id,
        eos_token_id=setting.tokenizer.eos_id,
    )
    model = GPT2LMHeadModel(config)
    assert setting.blocks is not None
    clock = Timekeeper(seconds, lambda trained: _sampled(trained, setting))
    if muon:
        optimizer: Any = build_optimizer(model, rate, 0.1)
    else:
        decay = [p for p in model.parameters() if p.dim() > 1]
        rest = [p for p in model.parameters() if p.dim() < 2]
        groups = [{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95))

    def factor(step: int) -> float:
        done = clock.fraction()
        return min((done + 1e-3) / WARMUP, 1.0 - max(done - WARMUP, 0) / (1 - WARMUP))

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=10**6,
            per_device_train_batch_size=setting.rows,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            seed=seed,
            max_grad_norm=1.0,
        )
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=Blocks(setting.blocks, setting.context),
            callbacks=[clock],
            optimizers=(optimizer, LambdaLR(optimizer, factor)),
        )
        trainer.train()
    return model, clock, trainer.state.global_step


def train_luna(
    setting: Setting, changes: dict[str, Any], factor: float, seconds: float, seed: int
) -> tuple[Any, Timekeeper, int, float]:
    """``LunaTrainer`` com os padrões, e ``changes`` na ModelConfig."""
    eos, vocab_size = setting.tokenizer.eos_id, setting.tokenizer.get_vocab_size()
    characters = sum(len(text) for text in setting.train)
    model_config = ModelConfig.from_preset(
        "mini",
        n_embd=setting.width,
        n_layer=setting.layers,
        n_head=setting.heads,
        n_positions=setting.context,
        vocab_size=vocab_size,
        bos_token_id=eos,
        eos_token_id=eos,
        **{"tie_word_embeddings": ties_embeddings(characters, vocab_size), **changes},
    )
    with tempfile.TemporaryDirectory() as folder:
        config = setting.config
        config.paths.models_dir = folder
        set_seed(seed)
        LunaModel.from_scratch(model_config).save(Path(folder) / "Luna")
        setting.tokenizer.save(Path(folder) / "Luna" / "tokenizer")
        trainer = LunaTrainer("Luna", config, "cpu", show_progress=False)
        trainer.settings.threads = setting.threads
        torch.set_num_threads(setting.threads)
        rate = trainer.preset.learning_rate * factor
        clock = Timekeeper(seconds * 10, lambda trained: _sampled(trained, setting))
        clock.seconds = seconds * 1.02  # uma folga: os passos já foram contados para caber
        train, watched = setting.train, {}
        if model_config.use_growing:  # só cresce quem tem validação para ver a perda parar
            train, watched = train[:-GROWTH_TEXTS], {"valid_data": train[-GROWTH_TEXTS:]}
        summary = trainer.train_supervised(
            train,
            **watched,
            max_minutes=seconds / 60,
            learning_rate=rate,
            per_device_train_batch_size=setting.rows,
            seed=seed,
            callbacks=[clock],
        )
        metrics = Path(folder) / "Luna" / "training" / "metrics.jsonl"
        before = clock.first_step - start_time(metrics)
        clock.elapsed += before
        clock.curve = [[round(at + before, 1), value] for at, value in clock.curve]
        return trainer.model, clock, summary.steps, rate


def start_time(metrics: Path) -> float:
    """A hora em que o treino de Luna começou: antes da sondagem e da partida por bigramas."""
    lines = metrics.read_text(encoding="utf-8").splitlines()
    return next(float(r["time"]) for r in map(json.loads, lines) if r.get("event") == "start")


def _sampled(model: Any, setting: Setting) -> float:
    some = setting.valid[:SAMPLE_DOCUMENTS]
    vocab = setting.tokenizer.get_vocab_size()
    return round(bits_per_byte(model, some, setting.context, vocab), 4)


def run(setting: Setting, arm: str, rate: float, minutes: float, seed: int) -> Result:
    """Treina e mede um candidato; ``rate`` é a taxa, ou o fator sobre a padrão em Luna."""
    gc.collect()
    torch.set_num_threads(setting.threads)
    seconds = minutes * 60
    if arm.startswith("luna"):
        changes = parse_changes(arm.partition(":")[2])
        model, clock, steps, rate = train_luna(setting, changes, rate, seconds, seed)
        parameters = model.parameter_count()
    else:
        model, clock, steps = train_gpt2(setting, arm == "gpt2-muon", rate, seconds, seed)
        parameters = sum(p.numel() for p in model.parameters())
    torch.set_num_threads(setting.threads)
    vocab = setting.tokenizer.get_vocab_size()
    return Result(
        arm=arm,
        seed=seed,
        rate=rate,
        minutes=minutes,
        bits_per_byte=bits_per_byte(model, setting.valid, setting.context, vocab),
        steps=steps,
        tokens=steps * setting.rows * setting.context,
        seconds=round(clock.elapsed, 1),
        parameters=parameters,
        curve=clock.curve,
    )


def parse_changes(text: str) -> dict[str, Any]:
    """``use_moe=false,num_experts=2`` -> ``{"use_moe": False, "num_experts": 2}``."""
    pairs = (item.split("=", 1) for item in text.split(",") if item)
    return {name: json.loads(value) for name, value in pairs}


def rates_of(arm: str) -> Sequence[float]:
    """As taxas que o candidato tenta; em Luna, fatores sobre a taxa padrão."""
    return LUNA_FACTORS if arm.startswith("luna") else RATES[arm]


def prepare(args: argparse.Namespace) -> Setting:
    """Lê os textos, treina o tokenizador e corta a validação."""
    config = Config()
    config.tokenizer.vocab_size = args.vocab_size
    train, _ = load_documents(args.train, max_file_mb=1000)
    held_out, _ = load_documents(args.valid, max_file_mb=1000)
    tokenizer = LunaTokenizer(config).train([str(text) for text in train])
    pieces = [piece for text in held_out for piece in shortened(str(text))]
    random.Random(0).shuffle(pieces)
    kept = pieces[: max(1, args.valid_kb * 1024 // PIECE)]
    valid = [encoded(piece, tokenizer) for piece in kept]
    ids: list[int] = []
    for found in tokenizer.encode_batch([str(text) for text in train]):
        ids += [tokenizer.eos_id, *found]
    return Setting(
        train=train,
        valid=valid,
        tokenizer=tokenizer,
        config=config,
        width=args.width,
        layers=args.layers,
        heads=args.heads,
        context=args.context,
        rows=args.rows,
        threads=args.threads,
        blocks=torch.tensor(ids, dtype=torch.int32),
    )


def encoded(text: str, tokenizer: LunaTokenizer) -> Encoded:
    """Um documento depois do token de início, como em ``main.py evaluate``."""
    ids = np.array([tokenizer.eos_id, *tokenizer.encode(text)], np.int32)
    scored = np.ones(len(ids), dtype=bool)
    scored[0] = False
    size = np.array([len(text.encode("utf-8"))])
    return Encoded(ids, scored, np.zeros(len(ids), dtype=np.int64), size)


def shortened(text: str) -> list[str]:
    """Pedaços de uns ``PIECE`` caracteres, cortados em fim de linha."""
    found, current = [], ""
    for line in text.splitlines(keepends=True):
        current += line
        if len(current) >= PIECE:
            found.append(current)
            current = ""
    return [*found, current] if current.strip() else found


def measure(args: argparse.Namespace, setting: Setting) -> dict[str, Any]:
    """Escolhe a taxa de cada candidato e treina os finais; continua de um resultado parcial."""
    result = _saved(args)
    for arm in args.arms:
        best = list(rates_of(arm))[1]
        if args.screen and arm != "luna":  # dela se mede o padrão
            for rate in rates_of(arm):
                _once(args, setting, result, "screen", arm, rate, args.screen, 0)
            tried = [r for r in result["screen"] if r["arm"] == arm]
            best = min(tried, key=lambda r: r["bits_per_byte"])["asked"]
        for seed in range(args.seeds):
            _once(args, setting, result, "rows", arm, best, args.minutes, seed)
    return result


def _once(
    args: argparse.Namespace,
    setting: Setting,
    result: dict[str, Any],
    kind: str,
    arm: str,
    rate: float,
    minutes: float,
    seed: int,
) -> None:
    key = {"arm": arm, "asked": rate, "minutes": minutes, "seed": seed}
    if any(all(row[name] == value for name, value in key.items()) for row in result[kind]):
        return
    row: Row = asdict(run(setting, arm, rate, minutes, seed)) | key
    result[kind].append(row)
    print(
        f"{kind} {arm} taxa {row['rate']:g} semente {seed}: "
        f"{decimal(row['bits_per_byte'], 4)} bits por byte, {row['steps']} passos, "
        f"{decimal(row['seconds'])} s",
        file=sys.stderr,
        flush=True,
    )
    if args.out:
        write_json(Path(f"{args.out}.json"), result)


def _saved(args: argparse.Namespace) -> dict[str, Any]:
    names = "train valid valid_kb vocab_size width layers heads context rows threads".split()
    setting = {name: getattr(args, name) for name in names}
    empty: dict[str, Any] = {"setting": setting, "machine": machine(), "screen": [], "rows": []}
    path = Path(f"{args.out}.json")
    if not args.out or not path.is_file():
        return empty
    saved: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if saved["setting"] != setting:
        sys.exit(f"'{path}' é de outra medição: apague-o ou use outro --out.")
    return saved


def summarise(result: dict[str, Any]) -> str:
    """A tabela: por candidato, a média das sementes e a razão sobre cada GPT-2."""
    means: dict[str, float] = {}
    groups: dict[str, list[Row]] = {}
    for row in result["rows"]:
        groups.setdefault(row["arm"], []).append(row)
    for arm, rows in groups.items():
        means[arm] = sum(row["bits_per_byte"] for row in rows) / len(rows)
    cells = []
    for arm, rows in groups.items():
        peers = [means.get(peer) for peer in ARMS[:2]]
        cells.append(
            [
                arm,
                f"{rows[0]['rate']:g}".replace(".", ","),
                grouped(rows[0]["parameters"]),
                grouped(sum(r["steps"] for r in rows) / len(rows)),
                decimal(sum(r["seconds"] for r in rows) / len(rows)),
                " ".join(decimal(r["bits_per_byte"], 3) for r in rows),
                *[decimal(means[arm] / peer, 3) if peer else "" for peer in peers],
            ]
        )
    header = ["candidato", "taxa", "parâmetros", "passos", "segundos", "bits por byte (sementes)"]
    return table([*header, "/ AdamW", "/ Muon"], cells)


def plot(result: dict[str, Any], path: Path) -> None:
    """Os bits por byte ao longo do tempo, uma curva por candidato (a primeira semente)."""
    curves = {
        row["arm"]: [(point[0], point[1]) for point in row["curve"]]
        for row in result["rows"]
        if row["seed"] == 0 and row["curve"]
    }
    if curves:
        chart = plots.Chart(curves, "bits por byte (amostra)", "segundos")
        write_text(path, plots.lines(chart))


def options() -> argparse.ArgumentParser:
    """As opções."""
    data = ROOT / "data"
    found = parser(__doc__.splitlines()[0])
    found.add_argument("--train", nargs="+", default=[str(data / "train")])
    found.add_argument("--valid", nargs="+", default=[str(data / "valid" / "*.txt")])
    found.add_argument("--valid_kb", type=int, default=256, help="validação usada, em KB")
    found.add_argument("--minutes", type=float, default=6.0)
    found.add_argument("--screen", type=float, default=0.0, help="minutos de cada tentativa")
    found.add_argument("--seeds", type=int, default=1)
    found.add_argument("--arms", nargs="+", default=ARMS)
    found.add_argument("--vocab_size", type=int, default=8192)
    found.add_argument("--width", type=int, default=256)
    found.add_argument("--layers", type=int, default=4)
    found.add_argument("--heads", type=int, default=4)
    found.add_argument("--context", type=int, default=256)
    found.add_argument("--rows", type=int, default=8)
    found.add_argument("--threads", type=int, default=2)
    found.add_argument("--out", help="prefixo dos arquivos de resultado")
    return found


def main() -> int:
    """Mede e imprime."""
    args = options().parse_args()
    if args.quick:
        args.minutes, args.vocab_size, args.width, args.layers, args.heads = 0.05, 512, 32, 2, 2
        args.context, args.rows = 64, 4
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    with contextlib.redirect_stdout(sys.stderr):  # o Trainer imprime o seu resumo
        result = measure(args, prepare(args))
    if args.out:
        plot(result, Path(f"{args.out}.svg"))
    show(args, result, f"{machine_line(machine())}\n\n{summarise(result)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
