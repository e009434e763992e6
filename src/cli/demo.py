"""``demo``: do zero a um modelo que responde, em poucos minutos e sem rede.

Cria um modelo ``nano`` com os dados que vêm junto, treina em duas etapas, mede e faz perguntas.
Depois indexa os documentos que vêm junto e responde sobre eles, citando. Tudo o que aparece na
última tela foi medido ali, na hora.

A primeira etapa passa por todos os textos e ensina um pouco de português. A segunda insiste nas
conversas curtas, com um quarto do resto para não esquecer: o modelo decora respostas, que é o que
um modelo deste tamanho consegue em minutos, e paga por isso em texto novo. A tela mostra os dois.
"""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from src.cli.runner import quiet_libraries, read_texts, say
from src.config.config import Config
from src.config.personas import get_persona
from src.evaluation.answers import CRITERION, acceptable, has_term
from src.utils.bundled import bundled_data
from src.utils.documents import Document
from src.utils.numbers import decimal

DEMO_NAME = "LunaDemo"
DEMO_SIZE = "nano"
TEXT_EPOCHS, DIALOGUE_EPOCHS = 6.0, 20.0  # as passadas de cada etapa
BATCH_SIZE = 4  # menor que o do nano: mais atualizações por minuto (docs/LOG.md)
SHORT_CHARACTERS = 350  # até aqui uma conversa é curta
DOCUMENT_QUESTIONS = (0, 2, 40, 75, 110, 143, 180, 221)  # as de perguntas.jsonl que se mostram
OUTSIDE_QUESTIONS = (0, 47)  # e as de perguntas_fora.jsonl
REPLAY_EVERY = 4  # de cada tantos dos outros textos, um volta na segunda etapa


def run(args: argparse.Namespace, config: Config) -> dict[str, Any]:
    """Roda a demonstração inteira e imprime a última tela em stdout."""
    started = time.perf_counter()
    quiet_libraries()
    say(args, "[1/5] Criando um modelo pequeno com os dados de exemplo")
    create_model(args, config)
    say(
        args,
        f"[2/5] Treinando ({TEXT_EPOCHS:.0f} passadas por tudo e {DIALOGUE_EPOCHS:.0f} pelas "
        "conversas curtas; alguns minutos)",
    )
    with contextlib.redirect_stdout(sys.stderr):  # o transformers e o wandb escrevem em stdout
        first, summary, baseline = train_and_measure(args, config)
    say(args, "[3/5] Fazendo as perguntas de exemplo")
    answers = ask(config, read_questions(bundled_data() / "valid" / "perguntas_demo.jsonl"))
    say(args, "[4/5] Indexando os documentos de exemplo e perguntando sobre eles")
    documents = ask_documents(args, config)
    say(args, "[5/5] Pronto")
    result = {
        "model": DEMO_NAME,
        "seconds": round(time.perf_counter() - started, 1),
        "bits_per_byte": {
            "untrained": first.before.bits_per_byte,
            "five_gram": baseline.bits_per_byte,
            "after_texts": first.after.bits_per_byte,
            "trained": summary.after.bits_per_byte,
        },
        "tokens": summary.after.tokens,
        "questions": len(answers),
        "criterion": CRITERION,
        "acceptable": sum(item["acceptable"] for item in answers),
        "answers": answers,
        "documents": documents,
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


def train_and_measure(args: argparse.Namespace, config: Config) -> tuple[Any, Any, Any]:
    """Treina nas duas etapas e mede.

    Returns:
        (resumo da primeira etapa, resumo da segunda, medida do 5-grama, que lê os mesmos tokens de
        treino e é medido nos mesmos de validação).
    """
    from src.evaluation.likelihood import Likelihood
    from src.evaluation.ngram import InterpolatedNGram
    from src.training.examples import build_examples
    from src.training.trainer import LunaTrainer

    data = bundled_data()
    train = read_texts(args, config, [str(data / "train")])
    valid = read_texts(args, config, [str(data / "valid" / "*.txt")])
    trainer = LunaTrainer(DEMO_NAME, config, "auto", not (args.quiet or args.json))
    batch = {"per_device_train_batch_size": BATCH_SIZE}
    first = trainer.train_supervised(train, valid, num_train_epochs=TEXT_EPOCHS, **batch)
    dialogues = second_stage(train)
    second = trainer.train_supervised(dialogues, valid, num_train_epochs=DIALOGUE_EPOCHS, **batch)

    tokenizer, context = trainer.tokenizer, trainer.model.config.n_positions
    ngram = InterpolatedNGram(tokenizer.get_vocab_size())
    ngram.fit([example.ids for example in build_examples(train, tokenizer, context)])
    held_out = build_examples(valid, tokenizer, context)
    nats = sum(ngram.nats(example.ids, example.learn) for example in held_out)
    assert second.after is not None  # há validação
    baseline = Likelihood.from_totals(nats, second.after.tokens, second.after.bytes)
    return first, second, baseline


def second_stage(texts: Sequence[Document]) -> list[Document]:
    """As conversas curtas e, para não esquecer o resto, um de cada ``REPLAY_EVERY`` dos outros."""
    short = [t for t in texts if t.messages is not None and len(t) <= SHORT_CHARACTERS]
    others = [t for t in texts if t.messages is None or len(t) > SHORT_CHARACTERS]
    return short + others[::REPLAY_EVERY]


def read_questions(path: Path) -> list[dict[str, Any]]:
    """As perguntas de exemplo: ``pergunta``, os termos de ``esperado`` e os de ``recusado``."""
    with open(path, encoding="utf-8") as stream:
        return [json.loads(line) for line in stream if line.strip()]


def ask(config: Config, questions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pergunta cada uma, sem sorteio, e confere a resposta pelo critério de ``acceptable``."""
    from src.chat.luna_chat import LunaChat

    config.chat.temperature, config.chat.max_new_tokens = 0.0, 60
    config.feedback.memory = False  # mede-se o modelo, não as correções
    chat = LunaChat(DEMO_NAME, config)
    answers = []
    for item in questions:
        chat.persona = get_persona(item.get("persona", config.chat.persona))
        answer = chat.generate_response(item["pergunta"])
        good = acceptable(answer, item["esperado"], item.get("recusado", ()))
        answers.append(
            {"question": item["pergunta"], "persona": chat.persona.name}
            | {"answer": answer, "acceptable": good}
        )
    return answers


def ask_documents(args: argparse.Namespace, config: Config) -> dict[str, Any]:
    """Indexa ``data/train/documentos``, mostra algumas respostas e mede todas as perguntas.

    Returns:
        As respostas mostradas e a parte das citações que contém o fato, por tipo de pergunta, e das
        perguntas de fora que são recusadas.
    """
    from src.cli import index

    options = {"model": DEMO_NAME, "docs": [str(bundled_data() / "train" / "documentos")]}
    common = {"update": True, "remove": None, "stats": False, "max_file_mb": None}
    shared = {"quiet": args.quiet, "json": args.json}
    report = index.run(argparse.Namespace(**options, **common, **shared), config)
    valid = bundled_data() / "valid"
    inside = read_questions(valid / "perguntas.jsonl")
    outside = read_questions(valid / "perguntas_fora.jsonl")
    shown = [inside[i] for i in DOCUMENT_QUESTIONS] + [outside[i] for i in OUTSIDE_QUESTIONS]
    return {
        "documents": report["stats"]["documents"],
        "chunks": report["stats"]["chunks"],
        "index_seconds": report["seconds"],
        "answers": [answer_from_documents(config, item) for item in shown],
        "measured": measure_documents(config, inside, outside),
    }


def answer_from_documents(config: Config, item: dict[str, Any]) -> dict[str, Any]:
    """A resposta do chat a uma pergunta, com as fontes."""
    chat = _document_chat(config)
    answer = chat.generate_response(item["pergunta"])
    assert chat.last is not None
    expected = item.get("resposta")  # as de fora não têm
    good = has_term(answer, expected) if expected else chat.last.declined
    sources = [] if chat.last.declined else [source.name for source in chat.last.sources]
    return {"question": item["pergunta"], "answer": answer, "sources": sources, "right": good}


@lru_cache(maxsize=1)
def _document_chat(config: Config) -> Any:
    from src.chat.luna_chat import LunaChat

    config.feedback.memory = False
    return LunaChat(DEMO_NAME, config)


def measure_documents(
    config: Config, inside: list[dict[str, Any]], outside: list[dict[str, Any]]
) -> dict[str, Any]:
    """Quanto as citações acertam em todas as perguntas que vêm junto."""
    retriever = _document_chat(config).grounding.retriever
    right: dict[str, list[bool]] = {}
    for item in inside:
        quote = retriever.answer(item["pergunta"])
        found = quote.found and has_term(quote.text, item["resposta"])
        right.setdefault(item["tipo"], []).append(found)
    declined = [not retriever.answer(item["pergunta"]).found for item in outside]
    return {
        "right": {kind: sum(each) for kind, each in right.items()},
        "asked": {kind: len(each) for kind, each in right.items()},
        "declined": sum(declined),
        "outside": len(declined),
    }


def document_lines(found: dict[str, Any]) -> list[str]:
    """O que a última tela diz dos documentos."""
    lines = ["", "=== Perguntas sobre os documentos, respondidas com citação ===", ""]
    for item in found["answers"]:
        mark = "+" if item["right"] else "-"
        lines += [f"{mark} Você: {item['question']}", f"  Luna: {item['answer']}"]
        lines += [f"  Fontes: {'; '.join(item['sources'])}"] if item["sources"] else []
    measured = found["measured"]
    kinds = {"literal": "com as palavras do texto", "parafrase": "com outras palavras"}
    lines += [
        "",
        f"{found['documents']} documentos, {found['chunks']} trechos. Citação com o fato:",
    ]
    for kind, right in measured["right"].items():
        lines.append(f"  {kinds.get(kind, kind)}: {right} de {measured['asked'][kind]}")
    lines.append(
        f"  recusadas, das que nenhum documento responde: {measured['declined']} de "
        f"{measured['outside']}"
    )
    return lines


def screen(result: dict[str, Any]) -> str:
    """A última tela."""
    bpb = result["bits_per_byte"]
    lines = ["", "=== Perguntas de exemplo, respondidas pelo modelo ===", ""]
    for item in result["answers"]:
        mark = "+" if item["acceptable"] else "-"
        luna = f"Luna ({item['persona']})"
        lines += [f"{mark} Você: {item['question']}", f"  {luna}: {item['answer']}"]
    rows = (
        ("modelo sem treino", bpb["untrained"]),
        ("5-grama interpolado", bpb["five_gram"]),
        ("depois de todos os textos", bpb["after_texts"]),
        ("depois das conversas", bpb["trained"]),
    )
    count, total = result["acceptable"], result["questions"]
    lines += ["", f"Respostas aceitáveis (+): {count} de {total}.", result["criterion"], ""]
    lines += ["=== Bits por byte em texto que ele não leu (menos é melhor) ===", ""]
    lines += [f"  {name:<26}{decimal(value):>8}" for name, value in rows]
    lines += document_lines(result["documents"])
    lines += [
        "",
        f"Medido em {result['tokens']} tokens de data/valid; tudo em {result['seconds']:.0f} s.",
        f"Quanto confiar: {result['trust']}.",
        "",
        f"Converse com ele: python main.py chat --model {DEMO_NAME}",
    ]
    return "\n".join(lines)
