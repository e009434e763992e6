"""Se as três personas diferem mesmo num modelo treinado, e quanto disso vem do vetor de persona.

1. As respostas: cada pergunta reservada (as falas de ``data/valid/dialogos*.txt``, sem o que veio
   antes, e as de ``perguntas_demo.jsonl``) é feita nas três personas. O que se mede nelas, e os
   testes que separam diferença de acaso, está em ``src/evaluation/style.py``.
2. As previsões: a divergência KL, em bits por token, entre o que o modelo prevê numa persona e o
   que prevê, na mesma resposta, quando muda só o vetor, só o turno de sistema, ou os dois.
3. Com HyperNetwork, o vetor sozinho: as medidas de 1 com o turno de sistema da persona padrão em
   todas, e quanto muda W = U V^T, que ela gera; ao lado, quanto muda de uma pergunta para outra.

Uso::

    python benchmarks/personas.py --model LunaDemo
    python benchmarks/personas.py --model LunaDemo --sampling own --questions 100 --json
    python benchmarks/personas.py --quick             # sem --model: um modelo de pesos aleatórios
"""

import argparse
import contextlib
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # permite rodar o arquivo sem instalar o projeto

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from benchmarks.harness import Row, decimal, parser, show, table  # noqa: E402
from src.chat.luna_chat import LunaChat  # noqa: E402
from src.config.config import Config  # noqa: E402
from src.config.personas import DEFAULT_PERSONA, PERSONAS, Persona  # noqa: E402
from src.evaluation import intervals  # noqa: E402
from src.evaluation.intervals import Estimate  # noqa: E402
from src.evaluation.questions import Question, questions_of  # noqa: E402
from src.evaluation.questions import read_questions as read_question_file  # noqa: E402
from src.evaluation.style import MARKS, SHAPES, StyleReport, style_report, verdict  # noqa: E402
from src.models.decoding import generate_tokens  # noqa: E402
from src.models.emotion import read_emotion  # noqa: E402
from src.models.engine import DecodingState, EngineBlock  # noqa: E402
from src.models.model_files import CONFIG_FILE  # noqa: E402
from src.utils.documents import LoadReport  # noqa: E402
from src.utils.errors import LunaError  # noqa: E402
from src.utils.file_utils import load_documents  # noqa: E402

VALID = ROOT / "data" / "valid"
RANDOM_MODEL = "Aleatorio"
QUICK_QUESTIONS, QUICK_TOKENS, QUICK_PERMUTATIONS = 5, 12, 99
NO_HYPERNET = "Este modelo não tem HyperNetwork: o vetor de persona não muda nada nele."
BETWEEN_QUESTIONS = "entre perguntas"
CHANGES = {"vector": "só o vetor", "system": "só o turno de sistema", "both": "os dois"}


# ---------------------------------------------------------------------- o modelo e as perguntas


def model_options(description: str, nargs: str | None = None) -> argparse.ArgumentParser:
    """Um parser com ``--model``, ``--json`` e ``--quick``."""
    options = parser(description)
    told = "nome ou pasta de um modelo treinado; com --quick, dispensável"
    options.add_argument("--model", nargs=nargs, help=told)
    return options


@contextlib.contextmanager
def opened_chat(model: str | None, quick: bool) -> Iterator[LunaChat]:
    """O chat com ``model``, um nome ou uma pasta; sem ele, em ``quick``, com pesos aleatórios.

    Erros:
        SystemExit: falta o modelo, ou ele não abre.
    """
    if model is None and not quick:
        raise SystemExit("Erro: falta --model NOME (os que há: python main.py models).")
    if model is not None:
        folder = Path(model)
        found = folder if (folder / CONFIG_FILE).is_file() else None
        try:
            config = Config(feedback={"memory": False})
            chat = LunaChat(folder.name, config, device="cpu", folder=found)
        except LunaError as error:
            raise SystemExit(f"Erro: {error}") from error
        yield chat
        return
    with tempfile.TemporaryDirectory() as place:
        config = Config(paths={"models_dir": place})
        create_random(config)
        yield LunaChat(RANDOM_MODEL, config, device="cpu")


def create_random(config: Config) -> None:
    """Grava um modelo pequeno de pesos aleatórios: só mostra que o programa roda."""
    from src.config.model_config import ModelConfig
    from src.models.luna_model import LunaModel
    from src.models.tokenizer import LunaTokenizer

    torch.manual_seed(0)
    config.tokenizer.vocab_size = 512
    tokenizer = LunaTokenizer(config).train([(VALID / "dialogos.txt").read_text("utf-8")])
    ids = {"eos_token_id": tokenizer.eos_id, "pad_token_id": tokenizer.pad_id}
    shape = ModelConfig.from_preset("nano", vocab_size=len(tokenizer), use_hypernet=True, **ids)
    target = config.paths.model_dir(RANDOM_MODEL)
    LunaModel.from_scratch(shape).save(target)
    tokenizer.save(target / "tokenizer")


def demo_questions() -> list[Question]:
    """As perguntas da demonstração, com os termos que se esperam."""
    return read_question_file(VALID / "perguntas_demo.jsonl", LoadReport())


def held_out_turns() -> list[Question]:
    """Uma pergunta por fala das conversas de validação, com o que veio antes dela."""
    pattern = str(VALID / "dialogos*.txt")
    documents, _ = load_documents([pattern], deduplicate=False, segment=False)
    return [question for document in documents for question in questions_of(document)]


def spread_out(items: Sequence[Any], count: int | None) -> list[Any]:
    """``count`` dos itens, a distâncias iguais; todos se ``count`` é ``None`` ou não há tantos."""
    if count is None or count >= len(items):
        return list(items)
    return [items[i * len(items) // count] for i in range(count)]


# ---------------------------------------------------------------------- as respostas


def ask_all(chat: LunaChat, questions: Sequence[str], sampling: str) -> dict[str, list[str]]:
    """As respostas de cada persona, sem histórico; ``greedy``: sem sorteio; ``own``: o dela."""
    if sampling == "greedy":
        no_sampling(chat)
    answers: dict[str, list[str]] = {}
    for name in PERSONAS:
        chat.set_persona(name)
        answers[name] = []
        for index, question in enumerate(questions):
            chat.config.chat.seed = index
            answers[name].append(chat.generate_response(question))
    return answers


def no_sampling(chat: LunaChat) -> None:
    """A resposta mais provável, sem as penalidades da persona: a diferença é só do modelo."""
    chat.config.chat.temperature = 0.0
    chat.config.chat.repetition_penalty, chat.config.chat.no_repeat_ngram_size = 1.0, 0


def same_answers(answers: dict[str, list[str]]) -> float:
    """A parte das perguntas a que todas as personas respondem com o mesmo texto."""
    groups = list(zip(*answers.values()))
    return sum(len(set(group)) == 1 for group in groups) / len(groups)


# ---------------------------------------------------------------------- o vetor


class VectorProbe:
    """Mede o que muda quando, na mesma pergunta, mudam o vetor e o turno de sistema."""

    def __init__(self, chat: LunaChat) -> None:
        self.chat, self.engine, self.tokenizer = chat, chat.engine, chat.tokenizer
        no_sampling(chat)
        self._answers: dict[tuple[str, str, str], list[int]] = {}

    def prompt(self, question: str, persona: Persona) -> list[int]:
        """Os tokens que pedem a resposta, com o turno de sistema de ``persona``."""
        turns = [("system", persona.system_prompt), ("user", question)]
        messages = [{"role": role, "content": content} for role, content in turns]
        return self.tokenizer.encode_chat(messages, add_generation_prompt=True)

    def state(self, question: str, persona: Persona) -> DecodingState:
        """Uma memória nova, com a emoção da pergunta e o vetor de ``persona``."""
        emotion = read_emotion(question).vector if self.engine.config.with_emotion else None
        return DecodingState(self.engine, emotion, persona.vector)

    def answer(self, question: str, system: Persona, vector: Persona) -> list[int]:
        """Os tokens da resposta mais provável."""
        key = (question, system.name, vector.name)
        if key not in self._answers:
            ids, state = self.prompt(question, system), self.state(question, vector)
            settings = self.chat.generation_settings()
            self._answers[key] = list(generate_tokens(self.engine, state, ids, settings))
        return self._answers[key]

    def vector_answers(self, questions: Sequence[str]) -> dict[str, list[str]]:
        """As respostas com o vetor de cada persona e o turno de sistema da padrão."""
        system = PERSONAS[DEFAULT_PERSONA]
        return {
            name: [self.tokenizer.decode(self.answer(q, system, vector)).strip() for q in questions]
            for name, vector in PERSONAS.items()
        }

    def predictions(
        self, question: str, answer: Sequence[int], system: Persona, vector: Persona
    ) -> Tensor:
        """Os log-probs [L, V] de cada token de ``answer``."""
        ids = [*self.prompt(question, system), *answer[:-1]]
        state = self.state(question, vector)
        logits = self.engine.read(state, ids, every_position=True)[-len(answer) :]
        return logits.log_softmax(dim=-1)

    def divergences(self, question: str, own: Persona, other: Persona) -> dict[str, float]:
        """KL média, em bits, de ``own`` para ela com o vetor, o sistema ou os dois de ``other``."""
        answer = self.answer(question, own, own)
        base = self.predictions(question, answer, own, own)
        mixes = {"vector": (own, other), "system": (other, own), "both": (other, other)}
        if not self.engine.config.with_persona:
            mixes = {"system": mixes["system"]}
        return {
            name: kl_bits(base, self.predictions(question, answer, *mix))
            for name, mix in mixes.items()
        }

    def weights(self, question: str, own: Persona) -> dict[int, dict[str, Tensor]]:
        """Bloco -> vetor de quem -> W [o, i], no fim do prompt, com o resto do contexto igual."""
        state = self.state(question, own)
        self.engine.read(state, self.prompt(question, own))
        found: dict[int, dict[str, Tensor]] = {}
        for index, block in enumerate(self.engine.network.h):
            if not isinstance(block, EngineBlock) or block.hyper is None:
                continue
            totals = state.blocks[index].states["context"][0, len(state) - 1]  # [c + 1]
            context = totals[:-1] / totals[-1].clamp_min(1.0)
            found[index] = {
                name: block.hyper.hyper(context + block.context.persona(vector))[0]
                for name, vector in _vectors(context)
            }
        return found


def _vectors(like: Tensor) -> Iterator[tuple[str, Tensor]]:
    for name, persona in PERSONAS.items():
        yield name, like.new_tensor(persona.vector)


def kl_bits(first: Tensor, second: Tensor) -> float:
    """A média, nas posições, de KL(first || second), de log-probs [L, V], em bits."""
    nats = (first.exp() * (first - second)).sum(dim=-1).mean()
    return max(float(nats) / math.log(2), 0.0)


def change(first: Tensor, second: Tensor) -> float:
    """||first - second|| / ||first||; 0 se ``first`` é nulo."""
    size = float(first.norm())
    return float((first - second).norm()) / size if size else 0.0


def pairs() -> list[tuple[str, str]]:
    """Os pares de personas."""
    names = list(PERSONAS)
    return [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]


@torch.inference_mode()
def prediction_rows(probe: VectorProbe, questions: Sequence[str]) -> list[Row]:
    """A segunda medida: por par de personas (nos dois sentidos) e pelo que muda."""
    rows = []
    for first, second in pairs():
        found: dict[str, list[float]] = {}
        for question in questions:
            there = probe.divergences(question, PERSONAS[first], PERSONAS[second])
            back = probe.divergences(question, PERSONAS[second], PERSONAS[first])
            for name in there:
                found.setdefault(name, []).append((there[name] + back[name]) / 2)
        rows += [
            {"pair": f"{first}/{second}", "changed": name} | intervals.mean(bits).to_dict()
            for name, bits in found.items()
        ]
    return rows


@torch.inference_mode()
def weight_rows(probe: VectorProbe, questions: Sequence[str]) -> list[Row]:
    """A mudança de W por bloco, entre personas e entre uma pergunta e a seguinte."""
    found: dict[tuple[int, str], list[float]] = {}
    for name, persona in PERSONAS.items():
        before: dict[int, Tensor] = {}
        for question in questions:
            for block, weights in probe.weights(question, persona).items():
                for pair in (pair for pair in pairs() if name in pair):
                    (other,) = set(pair) - {name}
                    moved = change(weights[name], weights[other])
                    found.setdefault((block, "/".join(pair)), []).append(moved)
                if block in before:
                    moved = change(before[block], weights[name])
                    found.setdefault((block, BETWEEN_QUESTIONS), []).append(moved)
                before[block] = weights[name]
    return [
        {"block": block, "pair": pair} | intervals.mean(values).to_dict()
        for (block, pair), values in sorted(found.items())
    ]


# ---------------------------------------------------------------------- tudo junto


def run(args: argparse.Namespace, chat: LunaChat) -> tuple[Row, str]:
    """As medidas, e como se leem."""
    count = QUICK_QUESTIONS if args.quick else args.questions
    questions = spread_out([str(q) for q in (*held_out_turns(), *demo_questions())], count)
    if args.quick:
        chat.config.chat.max_new_tokens = QUICK_TOKENS
        args.permutations = QUICK_PERMUTATIONS
    answers = ask_all(chat, questions, args.sampling)
    report = style_report(answers, PERSONAS, args.permutations)
    result = {
        "model": chat.model_name,
        "sampling": args.sampling,
        "questions": len(questions),
        "verdict": verdict(report),
        "against_style": report.against_style(),
        "same_answers": same_answers(answers),
        "rows": [_row(item) for item in report.comparisons],
        "style": report.to_dict(),
        "answers": _listed(questions, answers),
    }
    vector, told = run_vector(args, VectorProbe(chat), questions)
    return result | vector, f"{answers_text(result, report)}\n\n{told}"


def run_vector(
    args: argparse.Namespace, probe: VectorProbe, questions: Sequence[str]
) -> tuple[Row, str]:
    """A segunda medida e, com HyperNetwork, a terceira."""
    probed, hypernet = spread_out(questions, args.probed), probe.engine.config.with_persona
    predictions = prediction_rows(probe, probed)
    result: Row = {"hypernet": hypernet, "predictions": predictions}
    if not hypernet:
        return result, f"{predictions_text(predictions)}\n\n{NO_HYPERNET}"
    alone = style_report(probe.vector_answers(questions), PERSONAS, args.permutations)
    weights = weight_rows(probe, probed)
    result |= {"vector_alone": alone.to_dict() | {"verdict": verdict(alone)}, "weights": weights}
    told = [predictions_text(predictions), vector_text(alone), weights_text(weights)]
    return result, "\n\n".join(told)


def _listed(questions: Sequence[str], answers: dict[str, list[str]]) -> list[Row]:
    return [
        {"question": question} | {name: group[i] for name, group in answers.items()}
        for i, question in enumerate(questions)
    ]


def _row(item: Any) -> Row:
    return {
        "measure": item.measure,
        "persona": item.persona,
        "own": item.own.value,
        "others": item.others.value,
        "difference": item.difference.value,
        "p": item.p,
    }


# ---------------------------------------------------------------------- como se lê


def interval(found: Estimate, scale: float = 1.0, places: int = 1) -> str:
    """``12,3 (10,1 a 14,8)``."""
    told = decimal(scale * found.value, places)
    if found.low is None or found.high is None:
        return told
    return f"{told} ({decimal(scale * found.low, places)} a {decimal(scale * found.high, places)})"


def answers_text(result: Row, report: StyleReport) -> str:
    """A primeira medida."""
    wrong = ", ".join(result["against_style"]) or "nada"
    same = decimal(100 * result["same_answers"])
    how = "sem sorteio" if result["sampling"] == "greedy" else "cada persona com o seu sorteio"
    return "\n\n".join(
        [
            f"{result['model']}: {result['questions']} perguntas nas três personas, {how}; "
            f"a mesma resposta nas três em {same} %.",
            comparisons_table(report),
            vocabulary_table(report),
            identification_text(report),
            f"Veredito: {result['verdict']}.",
            f"Contra o estilo declarado: {wrong}.",
        ]
    )


def comparisons_table(report: StyleReport) -> str:
    """Cada medida em cada persona e nas outras."""
    body = []
    for measure, title in {**MARKS, **SHAPES}.items():
        scale, places = (100.0, 1) if measure in MARKS else (1.0, 2)
        for item in report.comparisons:
            if item.measure == measure:
                values = (item.own, item.others, item.difference)
                told = [interval(value, scale, places) for value in values]
                unit = " (%)" if measure in MARKS else ""
                body.append([f"{title}{unit}", item.persona, *told, decimal(item.p, 4)])
    return table(["medida", "persona", "nela", "nas outras", "diferença", "p"], body)


def vocabulary_table(report: StyleReport) -> str:
    """A divergência de cada par."""
    body = [
        [f"{d.first}/{d.second}", decimal(d.bits, 3), decimal(d.chance, 3), decimal(d.p, 4)]
        for d in report.vocabulary
    ]
    return table(["vocabulário", "bits", "ao acaso", "p"], body)


def identification_text(report: StyleReport) -> str:
    """De quem é cada resposta."""
    found = report.identification
    names = list(dict.fromkeys(item.persona for item in report.comparisons))
    body = [[name, *map(decimal, row)] for name, row in zip(names, found["confusion"])]
    return (
        f"De quem é a resposta, por um Bayes ingênuo: {interval(found['accuracy'], 100)} % de "
        f"acerto (ao acaso, {decimal(100 * found['chance'])} %).\n\n"
        + table(["de quem é \\ a quem se atribui", *names], body)
    )


def predictions_text(rows: Sequence[Row]) -> str:
    """A segunda medida."""
    body = [[row["pair"], CHANGES[row["changed"]], interval(_estimate(row), 1, 3)] for row in rows]
    return table(["previsões", "o que muda", "KL (bits por token)"], body)


def vector_text(alone: StyleReport) -> str:
    """As respostas em que só o vetor muda."""
    found = interval(alone.identification["accuracy"], 100)
    return (
        f"Só com o vetor trocado (turno de sistema da {DEFAULT_PERSONA}), {found} % das respostas "
        f"são reconhecidas; {verdict(alone)}."
    )


def weights_text(rows: Sequence[Row]) -> str:
    """A mudança dos pesos gerados."""
    body = [[row["block"], row["pair"], interval(_estimate(row), 100)] for row in rows]
    return table(["bloco", "par", "mudança de W (%)"], body)


def _estimate(row: Row) -> Estimate:
    return Estimate(row["value"], row["low"], row["high"])


def main(argv: list[str] | None = None) -> int:
    """Mede e imprime."""
    options = model_options("Diferença entre as personas num modelo treinado.")
    options.add_argument("--questions", type=int, help="quantas perguntas (padrão: todas)")
    options.add_argument("--probed", type=int, default=60, help="perguntas nas medidas do vetor")
    options.add_argument("--permutations", type=int, default=1999, help="permutações de cada teste")
    options.add_argument(
        "--sampling", choices=("greedy", "own"), default="greedy", help="sem sorteio, ou o de cada"
    )
    args = options.parse_args(argv)
    with (
        contextlib.redirect_stdout(sys.stderr),
        opened_chat(args.model, args.quick) as chat,
    ):  # as bibliotecas se anunciam em stdout
        result, told = run(args, chat)
    show(args, result, told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
