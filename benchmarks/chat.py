"""Quanto o chat demora: até a primeira letra, na segunda pergunta e por token.

Três medidas, cada uma com o seu par ao lado, em rodadas intercaladas:

1. Do começo do processo à primeira letra: ``main.py chat -p`` contra um roteiro mínimo do
   transformers (``AutoTokenizer``, ``AutoModelForCausalLM``, ``generate`` com um streamer que
   escreve cada token na hora) sobre um GPT-2 puro de mesmas dimensões e mesmo tokenizador. Pesos
   aleatórios dos dois lados: o tempo não depende deles.
2. Do envio ao primeiro token da segunda pergunta, depois de uma conversa de uns 1.000 tokens: com o
   que já foi lido guardado (``low_latency``) e sem (``high_precision``, que relê tudo).
3. Tokens por segundo numa resposta gulosa: o chat, com e sem tokens adiantados, contra ``generate``
   sobre o GPT-2 puro.

E uma quarta, sem par: a memória do processo depois de 100 e de 300 turnos de uma conversa só.

Uso::

    python benchmarks/chat.py                      # small, uns 3 minutos em 2 núcleos
    python benchmarks/chat.py --size nano --json
    python benchmarks/chat.py --quick
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # permite rodar o arquivo sem instalar o projeto

import psutil  # noqa: E402
import torch  # noqa: E402

with contextlib.redirect_stdout(sys.stderr):  # ele se anuncia em stdout ao ser importado
    from transformers import GPT2Config, GPT2LMHeadModel  # noqa: E402
    from transformers.utils import logging as transformers_logging  # noqa: E402

from benchmarks.harness import (  # noqa: E402
    Row,
    decimal,
    machine,
    machine_line,
    measure_pairs,
    parser,
    show,
    table,
)
from src.chat.luna_chat import LunaChat  # noqa: E402
from src.config.config import Config  # noqa: E402
from src.config.model_config import ModelConfig  # noqa: E402
from src.config.presets import PRESETS  # noqa: E402
from src.evaluation.timing import against, interleaved  # noqa: E402
from src.models.luna_model import LunaModel  # noqa: E402
from src.models.tokenizer import LunaTokenizer  # noqa: E402

NAME, QUESTION = "Medida", "Qual a importância da água?"
HISTORY_TOKENS, CONTEXT = 1000, 2048
ANSWER_TOKENS = 32
PEER = """
import sys
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.generation.streamers import BaseStreamer

class Streamer(BaseStreamer):
    prompt = True
    def put(self, value):
        if not self.prompt:
            sys.stdout.write(tokenizer.decode(value.reshape(-1)))
            sys.stdout.flush()
        self.prompt = False
    def end(self):
        pass

folder, question = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
inputs = tokenizer.apply_chat_template(
    [{"role": "user", "content": question}],
    add_generation_prompt=True, return_tensors="pt", return_dict=True,
)
model.generate(**inputs, max_new_tokens=32, do_sample=False, streamer=Streamer())
"""


def prepare(folder: Path, size: str) -> tuple[Config, GPT2LMHeadModel]:
    """Grava, com pesos aleatórios, um modelo Luna e um GPT-2 puro de mesmas dimensões."""
    torch.manual_seed(0)
    transformers_logging.disable_progress_bar()
    config = Config(paths={"models_dir": str(folder / "models"), "logs_dir": str(folder / "logs")})
    preset = PRESETS[size]
    config.tokenizer.vocab_size = preset.vocab_size
    tokenizer = LunaTokenizer(config).train(corpus())
    ids: dict[str, Any] = {"eos_token_id": tokenizer.eos_id, "pad_token_id": tokenizer.pad_id}
    ids |= {"bos_token_id": tokenizer.eos_id, "vocab_size": len(tokenizer)}
    luna = LunaModel.from_scratch(ModelConfig.from_preset(size, n_positions=CONTEXT, **ids))
    target = config.paths.model_dir(NAME)
    luna.save(target)
    tokenizer.save(target / "tokenizer")
    shape = luna.config
    plain = GPT2LMHeadModel(
        GPT2Config(
            n_embd=shape.n_embd,
            n_layer=shape.n_layer,
            n_head=shape.n_head,
            n_positions=CONTEXT,
            **ids,
        )
    ).eval()
    plain.save_pretrained(folder / "gpt2")
    tokenizer.hf.save_pretrained(folder / "gpt2")
    return config, plain


def corpus() -> list[str]:
    """Os textos de exemplo, para o tokenizador."""
    return [path.read_text("utf-8") for path in sorted((ROOT / "data/train").rglob("*.txt"))]


# ---------------------------------------------------------------------- as três medidas


def first_letter_ms(command: list[str]) -> float:
    """Do começo do processo à primeira letra em stdout; o processo é então encerrado."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=ROOT
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        letter = process.stdout.read(1)
        elapsed = (time.perf_counter() - start) * 1000
        process.kill()
        if not letter:
            raise SystemExit(f"{command[1]} não escreveu nada: {process.stderr.read().decode()}")
    return elapsed


def measure_start(folder: Path, config: Config, repeats: int) -> list[Row]:
    """A primeira medida."""
    settings = folder / "config.json"
    config.save(settings)
    chat = [sys.executable, str(ROOT / "main.py"), "chat", "--config", str(settings)]
    chat += ["--model", NAME, "--temperature", "0", "-p", QUESTION]
    peer = [sys.executable, "-c", PEER, str(folder / "gpt2"), QUESTION]
    rounds = interleaved(
        {
            "transformers, GPT-2 puro": lambda: first_letter_ms(peer),
            "main.py chat -p": lambda: first_letter_ms(chat),
        },
        repeats,
        warmup=1,
    )
    return _rows("do processo à primeira letra", rounds)


def long_history(chat: LunaChat) -> list[dict[str, str]]:
    """Uma conversa de uns ``HISTORY_TOKENS`` tokens, de trechos dos textos de exemplo."""
    ids = chat.tokenizer.encode(" ".join(corpus()))
    turns: list[dict[str, str]] = []
    for start in range(0, HISTORY_TOKENS, 50):
        role = "assistant" if len(turns) % 2 else "user"
        turns.append({"role": role, "content": chat.tokenizer.decode(ids[start : start + 49])})
    return turns


def measure_second_turn(config: Config, repeats: int) -> list[Row]:
    """A segunda medida."""
    config.chat.max_new_tokens, config.chat.temperature = 8, 0.0

    def first_token_ms(mode: str) -> Any:
        chat = LunaChat(NAME, config, mode=mode, device="cpu")
        history = long_history(chat)

        def run() -> float:
            chat.history = list(history)
            chat.say("E o que mais?")
            chat.say("Por quê?")
            assert chat.last is not None
            return 1000 * chat.last.first_seconds

        return run

    found = interleaved(
        {
            "relendo tudo (high_precision)": first_token_ms("high_precision"),
            "com o que já foi lido (low_latency)": first_token_ms("low_latency"),
        },
        repeats,
    )
    return _rows("2ª pergunta após 1.000 tokens: ao primeiro token", found)


def measure_rate(config: Config, plain: GPT2LMHeadModel, repeats: int) -> list[Row]:
    """A terceira medida."""
    config.chat.max_new_tokens = config.chat.min_new_tokens = ANSWER_TOKENS
    config.chat.temperature = 0.0
    chats = {mode: LunaChat(NAME, config, mode=mode) for mode in ("high_precision", "low_latency")}
    ids = chats["low_latency"]._prompt([{"role": "user", "content": QUESTION}])[0]
    inputs = torch.tensor([ids])
    options: dict[str, Any] = {"max_new_tokens": ANSWER_TOKENS, "min_new_tokens": ANSWER_TOKENS}

    def generate() -> None:
        with torch.inference_mode():
            mask = torch.ones_like(inputs)
            plain.generate(inputs, attention_mask=mask, do_sample=False, **options)

    functions: dict[str, Any] = {"generate, GPT-2 puro": generate}
    for mode, chat in chats.items():
        functions[f"chat, {mode}"] = lambda chat=chat: chat.generate_response(QUESTION)
    timings = measure_pairs(functions, repeats)
    return [
        _row(f"{ANSWER_TOKENS} tokens de resposta", name, timing.ms, timing.ratio)
        for name, timing in timings.items()
    ]


def measure_memory(config: Config, turns: int) -> Row:
    """A memória do processo, em MB, no meio e no fim de uma conversa longa."""
    config.chat.max_new_tokens = config.chat.min_new_tokens = 16
    chat, process = LunaChat(NAME, config, mode="low_latency"), psutil.Process()
    early = min(100, turns // 2)
    found: Row = {"turns": turns, "early_turns": early}
    for turn in range(1, turns + 1):
        chat.say(f"Pergunta {turn}: e a água do rio?")
        if turn == early:
            found["early_mb"] = process.memory_info().rss / 1e6
    assert chat.last is not None
    return found | {
        "mb": process.memory_info().rss / 1e6,
        "prompt_tokens": chat.last.prompt_tokens,
        "dropped_turns": chat.last.dropped_turns,
    }


def _rows(what: str, rounds: dict[Any, list[Any]]) -> list[Row]:
    reference = next(iter(rounds.values()))
    timings = {name: against(samples, reference) for name, samples in rounds.items()}
    return [_row(what, name, timing.ms, timing.ratio) for name, timing in timings.items()]


def _row(what: str, name: str, ms: Any, ratio: Any) -> Row:
    return {
        "what": what,
        "how": name,
        "ms": ms.median,
        "ms_low": ms.low,
        "ms_high": ms.high,
        "ratio": ratio.median,
        "ratio_low": ratio.low,
        "ratio_high": ratio.high,
    }


def run(args: argparse.Namespace) -> Row:
    """As três medidas."""
    repeats = 1 if args.quick else args.repeats
    size = "nano" if args.quick else args.size
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config, plain = prepare(folder, size)
        rows = measure_start(folder, config, repeats)
        rows += measure_second_turn(config, repeats)
        rows += measure_rate(config, plain, repeats)
        memory = measure_memory(config, turns=10 if args.quick else 300)
    found = {"size": size, "repeats": repeats, "machine": machine()}
    return found | {"rows": rows, "memory": memory}


def text(result: Row) -> str:
    """As medidas como se leem."""
    body = [
        [
            row["what"],
            row["how"],
            f"{decimal(row['ms'])} ({decimal(row['ms_low'])}-{decimal(row['ms_high'])})",
            f"{decimal(row['ratio'], 3)} "
            f"({decimal(row['ratio_low'], 3)}-{decimal(row['ratio_high'], 3)})",
        ]
        for row in result["rows"]
    ]
    head = f"tamanho {result['size']}, {result['repeats']} rodadas"
    memory = result["memory"]
    last = (
        f"memória do processo: {decimal(memory['early_mb'], 0)} MB depois de "
        f"{memory['early_turns']} turnos, {decimal(memory['mb'], 0)} MB depois de "
        f"{memory['turns']} (prompt de {memory['prompt_tokens']} tokens, "
        f"{memory['dropped_turns']} falas de fora)"
    )
    lines = [machine_line(result["machine"]), head, table(["o quê", "como", "ms", "razão"], body)]
    return "\n".join([*lines, last])


def main(argv: list[str] | None = None) -> int:
    """Mede e imprime."""
    options = parser("Tempos do chat.")
    options.add_argument("--size", default="small", choices=list(PRESETS), help="dimensões")
    options.add_argument("--repeats", type=int, default=11, help="rodadas que contam")
    args = options.parse_args(argv)
    result = run(args)
    show(args, result, text(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
