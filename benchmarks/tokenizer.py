"""Quantos tokens o tokenizador do LunaGPT gasta por palavra, e a que velocidade.

Compara, com os mesmos textos de treino e o mesmo tamanho de vocabulário, num texto reservado:

* o BPE de bytes com o padrão de corte do GPT-2, treinado aqui com a biblioteca ``tokenizers``;
* o do LunaGPT sem o estágio 2 (``superword_fraction=0``);
* o do LunaGPT com o estágio 2, em várias frações do vocabulário.

Uso::

    python benchmarks/tokenizer.py                      # dados que acompanham o projeto
    python benchmarks/tokenizer.py --quick --json
    python benchmarks/tokenizer.py --vocab 32768 --corpora 'corpora/*.txt' --valid reservado.txt

"Palavra" é o que ``str.split()`` separa. A velocidade é a mediana das repetições, codificando o
texto reservado linha a linha, numa só thread.
"""

import argparse
import glob
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # permite rodar o arquivo sem instalar o projeto

from src.config.config import TokenizerConfig  # noqa: E402
from src.models.chat_format import CONTROL_TOKENS  # noqa: E402
from src.models.tokenizer_training import train_bpe, train_words  # noqa: E402
from src.utils.errors import LunaError, NoDataError  # noqa: E402

GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""O padrão de corte publicado com o GPT-2 (Radford et al. 2019)."""

FRACTIONS = (0.05, 0.1, 0.2, 0.3, 0.4)
BUNDLED_VOCAB, CORPORA_VOCAB, QUICK_VOCAB = 4096, 32768, 2048

Row = dict[str, Any]


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Tokens por palavra e velocidade do tokenizador.")
    parser.add_argument("--json", action="store_true", help="imprime um objeto JSON")
    parser.add_argument("--quick", action="store_true", help="só a fração padrão, poucas medidas")
    parser.add_argument(
        "--vocab",
        type=int,
        help=f"tamanho do vocabulário, com os tokens de controle (padrão: {CORPORA_VOCAB} com "
        f"--corpora, {BUNDLED_VOCAB} sem ele, {QUICK_VOCAB} com --quick)",
    )
    parser.add_argument("--corpora", nargs="+", metavar="GLOB", help="textos de treino")
    parser.add_argument("--valid", metavar="ARQUIVO", help="texto reservado")
    return parser.parse_args(argv)


def read_texts(patterns: list[str], excluded: Path) -> list[str]:
    """Os textos dos arquivos, em ordem de nome, sem o reservado.

    Erros:
        NoDataError: nenhum arquivo corresponde.
    """
    names = sorted({name for pattern in patterns for name in glob.glob(pattern)})
    paths = [path for path in map(Path, names) if path.resolve() != excluded.resolve()]
    if not paths:
        raise NoDataError(f"nenhum texto de treino em {' '.join(patterns)}.")
    return [path.read_text(encoding="utf-8") for path in paths]


def encode_speed(tokenizer: "Tokenizer", text: str, repeats: int) -> float:
    """MB (10^6 bytes) por segundo, mediana de ``repeats``."""
    lines, seconds = text.splitlines(keepends=True), []
    for _ in range(repeats):
        start = time.perf_counter()
        for line in lines:
            tokenizer.encode(line, add_special_tokens=False)
        seconds.append(time.perf_counter() - start)
    return len(text.encode("utf-8")) / 1e6 / statistics.median(seconds)


def measure(
    name: str, train: Callable[[], "Tokenizer"], valid: str, repeats: int, fraction: float | None
) -> Row:
    """Treina e mede um tokenizador; ``repeats=0`` deixa a velocidade de fora."""
    start = time.perf_counter()
    tokenizer = train()
    train_seconds = time.perf_counter() - start
    tokens = len(tokenizer.encode(valid, add_special_tokens=False).ids)
    return {
        "name": name,
        "superword_fraction": fraction,
        "vocab": tokenizer.get_vocab_size() + len(CONTROL_TOKENS),
        "tokens": tokens,
        "tokens_per_word": tokens / len(valid.split()),
        "tokens_per_byte": tokens / len(valid.encode("utf-8")),
        "train_seconds": train_seconds,
        "encode_mb_per_s": encode_speed(tokenizer, valid, repeats) if repeats else None,
    }


def run(texts: list[str], valid: str, vocab: int, quick: bool) -> list[Row]:
    """Uma linha por tokenizador, com a razão entre os seus tokens e os do padrão do GPT-2."""
    options = TokenizerConfig()
    size, default = vocab - len(CONTROL_TOKENS), options.superword_fraction
    repeats = 1 if quick else 5
    baseline = partial(train_words, texts, size, options.min_frequency, GPT2_PATTERN)
    rows = [measure("padrão do GPT-2", baseline, valid, repeats, None)]
    fractions = {0.0, default} if quick else {0.0, default, *FRACTIONS}
    for fraction in sorted(fractions):
        train = partial(train_bpe, texts, size, options.min_frequency, fraction)
        name = "LunaGPT (padrão)" if fraction == default else "LunaGPT"
        timed = repeats if fraction in (0.0, default) else 0
        rows.append(measure(name, train, valid, timed, fraction))
    return [row | {"ratio": row["tokens"] / rows[0]["tokens"]} for row in rows]


def table(rows: list[Row]) -> str:
    """As linhas como tabela Markdown."""
    lines = [
        "| tokenizador | fração | vocabulário | tokens/palavra | tokens/byte | razão "
        "| treino (s) | MB/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        fraction, speed = row["superword_fraction"], row["encode_mb_per_s"]
        cells = [
            row["name"],
            "" if fraction is None else f"{fraction:g}",
            f"{row['vocab']}",
            f"{row['tokens_per_word']:.4f}",
            f"{row['tokens_per_byte']:.4f}",
            f"{row['ratio']:.4f}",
            f"{row['train_seconds']:.1f}",
            "" if speed is None else f"{speed:.2f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Mede e imprime; devolve o código de saída."""
    args = parse_args(argv)
    default_vocab = CORPORA_VOCAB if args.corpora else BUNDLED_VOCAB
    vocab = args.vocab or (QUICK_VOCAB if args.quick else default_vocab)
    valid_path = Path(args.valid) if args.valid else ROOT / "data" / "valid" / "texto.txt"
    try:
        texts = read_texts(args.corpora or [str(ROOT / "data" / "train" / "*.txt")], valid_path)
        valid = valid_path.read_text(encoding="utf-8")
        rows = run(texts, valid, vocab, args.quick)
    except (LunaError, OSError) as error:
        print(f"erro: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 1)
    train_bytes = sum(len(text.encode("utf-8")) for text in texts)
    if args.json:
        print(json.dumps({"vocab": vocab, "train_bytes": train_bytes, "rows": rows}, indent=2))
    else:
        print(f"treino: {train_bytes / 1e6:.2f} MB; vocabulário: {vocab}\n\n{table(rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
