"""``demo``: do zero a um modelo que responde, em poucos minutos e sem rede.

Cria um modelo ``nano`` com os dados que vêm junto, treina, mede e faz perguntas. Tudo o que aparece
na última tela foi medido ali, na hora.
"""

import argparse
import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from src.cli.runner import bundled_data, quiet_libraries, read_texts, say
from src.config.config import Config
from src.evaluation.answers import CRITERION, acceptable
from src.utils.numbers import decimal

DEMO_NAME = "LunaDemo"
DEMO_SIZE = "nano"
DEMO_EPOCHS = 45.0


def run(args: argparse.Namespace, config: Config) -> dict[str, Any]:
    """Roda a demonstração inteira e imprime a última tela em stdout."""
    started = time.perf_counter()
    quiet_libraries()
    say(args, "[1/4] Criando um modelo pequeno com os dados de exemplo")
    create_model(args, config)
    say(args, f"[2/4] Treinando ({DEMO_EPOCHS:.0f} passadas pelos dados; alguns minutos)")
    with contextlib.redirect_stdout(sys.stderr):  # o transformers e o wandb escrevem em stdout
        summary, baseline = train_and_measure(args, config)
    say(args, "[3/4] Fazendo as perguntas de exemplo")
    answers = ask(config, read_questions(bundled_data() / "valid" / "perguntas_demo.jsonl"))
    say(args, "[4/4] Pronto")
    result = {
        "model": DEMO_NAME,
        "seconds": round(time.perf_counter() - started, 1),
        "bits_per_byte": {
            "untrained": summary.before.bits_per_byte,
            "five_gram": baseline.bits_per_byte,
            "trained": summary.after.bits_per_byte,
        },
        "tokens": summary.after.tokens,
        "questions": len(answers),
        "criterion": CRITERION,
        "acceptable": sum(item["acceptable"] for item in answers),
        "answers": answers,
        "trust": summary.trust,
    }
    if not args.json:
        print(screen(result))
    return result


def create_model(args: argparse.Namespace, config: Config) -> None:
    """``create --name LunaDemo --size nano --force``."""
    from src.cli import create

    options = {"name": DEMO_NAME, "train_data": None, "size": DEMO_SIZE, "base": None}
    common = {"force": True, "max_file_mb": None, "quiet": True, "json": args.json}
    create.run(argparse.Namespace(**options, **common), config)


def train_and_measure(args: argparse.Namespace, config: Config) -> tuple[Any, Any]:
    """Treina e mede; o 5-grama lê os mesmos tokens de treino e é medido nos mesmos de validação."""
    from src.evaluation.likelihood import Likelihood
    from src.evaluation.ngram import InterpolatedNGram
    from src.training.examples import build_examples
    from src.training.trainer import LunaTrainer

    data = bundled_data()
    train = read_texts(args, config, [str(data / "train")])
    valid = read_texts(args, config, [str(data / "valid" / "*.txt")])
    trainer = LunaTrainer(DEMO_NAME, config, "auto", not (args.quiet or args.json))
    summary = trainer.train_supervised(train, valid, num_train_epochs=DEMO_EPOCHS)

    tokenizer, context = trainer.tokenizer, trainer.model.config.n_positions
    ngram = InterpolatedNGram(tokenizer.get_vocab_size())
    ngram.fit([example.ids for example in build_examples(train, tokenizer, context)])
    held_out = build_examples(valid, tokenizer, context)
    nats = sum(ngram.nats(example.ids, example.learn) for example in held_out)
    assert summary.after is not None  # há validação
    baseline = Likelihood.from_totals(nats, summary.after.tokens, summary.after.bytes)
    return summary, baseline


def read_questions(path: Path) -> list[dict[str, Any]]:
    """As perguntas de exemplo: ``pergunta``, os termos de ``esperado`` e os de ``recusado``."""
    with open(path, encoding="utf-8") as stream:
        return [json.loads(line) for line in stream if line.strip()]


def ask(config: Config, questions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pergunta cada uma, sem sorteio, e confere a resposta pelo critério de ``acceptable``."""
    from src.chat.luna_chat import LunaChat

    config.chat.temperature, config.chat.max_new_tokens = 0.0, 60
    chat = LunaChat(DEMO_NAME, config)
    answers = []
    for item in questions:
        answer = chat.generate_response(item["pergunta"])
        good = acceptable(answer, item["esperado"], item.get("recusado", ()))
        answers.append({"question": item["pergunta"], "answer": answer, "acceptable": good})
    return answers


def screen(result: dict[str, Any]) -> str:
    """A última tela."""
    bpb = result["bits_per_byte"]
    lines = ["", "=== Perguntas de exemplo, respondidas pelo modelo ===", ""]
    for item in result["answers"]:
        mark = "+" if item["acceptable"] else "-"
        lines += [f"{mark} Você: {item['question']}", f"  Luna: {item['answer']}"]
    rows = (
        ("modelo sem treino", bpb["untrained"]),
        ("5-grama interpolado", bpb["five_gram"]),
        ("modelo treinado", bpb["trained"]),
    )
    count, total = result["acceptable"], result["questions"]
    lines += ["", f"Respostas aceitáveis (+): {count} de {total}.", result["criterion"], ""]
    lines += ["=== Bits por byte em texto que ele não leu (menos é melhor) ===", ""]
    lines += [f"  {name:<22}{decimal(value):>8}" for name, value in rows]
    lines += [
        "",
        f"Medido em {result['tokens']} tokens de data/valid; tudo em {result['seconds']:.0f} s.",
        f"Quanto confiar: {result['trust']}.",
        "",
        f"Converse com ele: python main.py chat --model {DEMO_NAME}",
    ]
    return "\n".join(lines)
