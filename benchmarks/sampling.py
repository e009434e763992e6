"""Com que sorteio cada persona se repete menos, sem que a resposta piore.

Cada opção da grade muda o sorteio padrão da persona, e com ela respondem-se os mesmos pedidos, em
cada persona: as 40 perguntas da demonstração, falas reservadas (``data/valid/dialogos*.txt``, com o
que veio antes) e pedidos abertos, que convidam a respostas longas. Mede-se

- a repetição: respostas que se repetem (quatro palavras seguidas mais de uma vez, ou uma sequência
  três vezes seguidas), só estas últimas (laços), 4-gramas repetidos, distinct-2, respostas cortadas
  no limite;
- a qualidade: perguntas com resposta aceitável, chrF diante das respostas de verdade, e bits por
  token num 5-grama contado em ``data/train``, que denuncia palavras sem sentido.

A escolha, sempre contra o padrão de hoje e com os mesmos pedidos dos dois lados:

1. saem as opções que perdem qualidade além do acaso (intervalo de 95 % da diferença, e mais de 0,1
   bit por token);
2. das que sobram ficam as que se repetem tão pouco quanto a que menos se repete;
3. destas, as que acertam tanto quanto a que mais acerta; e a primeira na ordem da grade, que vai da
   que menos interfere à que mais interfere.

As figuras de antes e depois vêm de sementes novas: as da escolha favorecem a escolhida.

Uso::

    python benchmarks/sampling.py --model LunaDemo         # uns 10 minutos em um núcleo
    python benchmarks/sampling.py --model LunaDemo pasta/de/outro --json   # os dois, juntos
    python benchmarks/sampling.py --quick                  # sem --model: pesos aleatórios
"""

import argparse
import contextlib
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # permite rodar o arquivo sem instalar o projeto

import numpy as np  # noqa: E402
import torch  # noqa: E402

from benchmarks.harness import Row, decimal, show, table  # noqa: E402
from benchmarks.personas import (  # noqa: E402
    QUICK_TOKENS,
    demo_questions,
    held_out_turns,
    interval,
    model_options,
    opened_chat,
    spread_out,
)
from src.chat.luna_chat import MODE_SAMPLING, LunaChat  # noqa: E402
from src.config.personas import PERSONAS, Sampling  # noqa: E402
from src.evaluation import intervals  # noqa: E402
from src.evaluation.answers import acceptable, repeats_itself  # noqa: E402
from src.evaluation.intervals import Estimate  # noqa: E402
from src.evaluation.ngram import InterpolatedNGram  # noqa: E402
from src.evaluation.questions import Question  # noqa: E402
from src.evaluation.style import in_loop  # noqa: E402
from src.evaluation.text_metrics import CorpusScore, chrf, distinct, repetition  # noqa: E402
from src.models.tokenizer import LunaTokenizer  # noqa: E402
from src.utils.file_utils import load_documents  # noqa: E402

Overrides = dict[str, Any]
OPEN_PROMPTS = (
    "Conte uma história.",
    "Fale sobre o mar.",
    "Fale sobre a sua cidade.",
    "Descreva um dia de chuva.",
    "Explique como funciona um computador.",
    "Conte tudo o que você sabe sobre os rios.",
    "Escreva um texto sobre amizade.",
    "Como é a vida no campo?",
    "Fale sobre música brasileira.",
    "Explique, com detalhes, como se faz pão.",
    "Conte a história do Brasil.",
    "Descreva uma floresta.",
    "O que você pensa sobre o futuro?",
    "Fale sobre os planetas.",
    "Faça uma lista de conselhos para estudar melhor.",
    "Conte um sonho.",
    "Fale mais sobre você.",
    "Explique o que é a água e para que ela serve.",
    "Descreva uma viagem de trem.",
    "Escreva uma carta para um amigo.",
)
OFF: Overrides = {"repetition_penalty": 1.0, "no_repeat_ngram_size": 0}
N4, N3 = OFF | {"no_repeat_ngram_size": 4}, OFF | {"no_repeat_ngram_size": 3}
P1, P2 = OFF | {"repetition_penalty": 1.1}, OFF | {"repetition_penalty": 1.2}
BOTH = {"repetition_penalty": 1.1, "no_repeat_ngram_size": 4}
PENALTIES: tuple[Overrides, ...] = (OFF, N4, N3, P1, BOTH, P2)
#: As que servem a high_precision, da mais à menos cautelosa.
CAUTIOUS: tuple[Overrides, ...] = (
    *({"temperature": 0.0} | penalty for penalty in PENALTIES),
    *({"temperature": 0.2} | penalty for penalty in (OFF, N4, BOTH)),
)
#: O que muda no sorteio da persona, da opção que menos interfere à que mais interfere.
GRID: tuple[Overrides, ...] = (
    {},
    *PENALTIES,
    *(OFF | cut for cut in ({"min_p": 0.1}, {"top_p": 0.8})),
    *({"temperature": t} | OFF for t in (0.4, 0.7, 1.0)),
    *CAUTIOUS,
)
QUICK_GRID: tuple[Overrides, ...] = ({}, N4, *CAUTIOUS[:2])
SHORT = {
    "temperature": "T",
    "top_k": "k",
    "top_p": "p",
    "min_p": "mín p",
    "repetition_penalty": "pen",
    "no_repeat_ngram_size": "n",
}
MODE = "high_precision"
QUICK_PROMPTS = 3
#: Bits por token a mais que ainda não contam como perda: um trecho repetido é barato para o
#: 5-grama, e deixar de repeti-lo custa alguns centésimos.
BITS_MARGIN = 0.1
FRESH_SEEDS = 1000  # a primeira semente das figuras de antes e depois


# ---------------------------------------------------------------------- os pedidos


@dataclass(frozen=True)
class Prompts:
    """Os pedidos, sempre nesta ordem: da demonstração, reservados, abertos."""

    demo: list[Question]
    held_out: list[Question]
    open: list[Question]

    @property
    def all(self) -> list[Question]:
        """Todos."""
        return [*self.demo, *self.held_out, *self.open]

    @classmethod
    def read(cls, turns: int, each: int | None = None) -> "Prompts":
        """``turns`` falas reservadas; com ``each``, tantos pedidos de cada tipo."""
        return cls(
            spread_out(demo_questions(), each),
            spread_out(held_out_turns(), each or turns),
            spread_out([Question(text) for text in OPEN_PROMPTS], each),
        )


class Reference:
    """Um 5-grama contado nos textos de treino que vêm junto: bits por token de uma resposta."""

    def __init__(self, tokenizer: LunaTokenizer, context: int, quick: bool = False) -> None:
        from src.training.examples import build_examples

        pattern = "dialogos_luna.txt" if quick else ""
        documents, _ = load_documents([str(ROOT / "data" / "train" / pattern)])
        self.tokenizer = tokenizer
        self.ngram = InterpolatedNGram(tokenizer.get_vocab_size())
        self.ngram.fit([item.ids for item in build_examples(documents, tokenizer, context)])

    def bits(self, answer: str, finished: bool) -> float:
        """A média por token de -log2 p; o token do fim conta, se a resposta acabou."""
        end = [self.tokenizer.eos_id] if finished else []
        ids = [self.tokenizer.assistant_id, *self.tokenizer.encode(answer), *end]
        if len(ids) == 1:  # nada foi dito: tanto quanto o acaso
            return math.log2(self.ngram.vocab_size)
        return self.ngram.nats(ids) / math.log(2) / (len(ids) - 1)


# ---------------------------------------------------------------------- uma opção da grade


@dataclass(frozen=True)
class Scores:
    """O que se mediu numa opção, por pedido (a média das sementes): cada campo é um [pedidos].

    Atributos:
        accepted: só das perguntas da demonstração. chrf: só das falas reservadas.
    """

    repeats: np.ndarray
    loops: np.ndarray
    repetition: np.ndarray
    cut: np.ndarray
    words: np.ndarray
    bits: np.ndarray
    accepted: np.ndarray
    chrf: CorpusScore
    distinct_2: float

    @classmethod
    def pooled(cls, parts: Sequence["Scores"]) -> "Scores":
        """De vários modelos ou personas: cada pedido em cada um é uma unidade."""
        values: Row = {
            item.name: np.concatenate([getattr(part, item.name) for part in parts])
            for item in fields(cls)
            if item.name not in ("chrf", "distinct_2")
        }
        counts = np.concatenate([part.chrf.counts for part in parts])
        mean = float(np.mean([part.distinct_2 for part in parts]))
        return cls(**values, chrf=CorpusScore(counts, parts[0].chrf.score), distinct_2=mean)

    def to_dict(self) -> Row:
        """As médias, com intervalos onde há o que reamostrar."""
        told = {
            item.name: intervals.mean(getattr(self, item.name)).to_dict()
            for item in fields(self)
            if item.name not in ("chrf", "distinct_2")
        }
        return told | {"chrf": self.chrf.estimate.to_dict(), "distinct_2": self.distinct_2}


class Asker:
    """Responde aos pedidos com um modelo e mede as respostas."""

    def __init__(self, chat: LunaChat, prompts: Prompts, quick: bool = False) -> None:
        self.chat, self.prompts = chat, prompts
        if quick:
            chat.config.chat.max_new_tokens = QUICK_TOKENS
        self.reference = Reference(chat.tokenizer, chat.engine.config.n_positions, quick)

    def scores(self, persona: str, overrides: Overrides, seeds: Sequence[int]) -> Scores:
        """Mede uma opção; sem sorteio, uma semente basta."""
        self.chat.set_persona(persona)
        sampling = sampling_of(persona, overrides)
        for item in fields(Sampling):
            setattr(self.chat.config.chat, item.name, getattr(sampling, item.name))
        seeds = seeds[:1] if sampling.temperature <= 0 else seeds
        rounds = [self._answers(seed) for seed in seeds]
        counts = [self._chrf(answers) for answers, _ in rounds]
        summed = CorpusScore(np.sum([c.counts for c in counts], axis=0), counts[0].score)
        found = [self._measured(answers, cut) for answers, cut in rounds]
        return Scores(
            **{name: np.mean([one[name] for one in found], axis=0) for name in found[0]},
            chrf=summed,
            distinct_2=float(np.mean([distinct(answers, 2) for answers, _ in rounds])),
        )

    def _answers(self, seed: int) -> tuple[list[str], list[bool]]:
        """(respostas, quais foram cortadas no limite)."""
        answers, cut = [], []
        chat, positions = self.chat, self.chat.engine.config.n_positions
        for index, prompt in enumerate(self.prompts.all):
            chat.config.chat.seed = seed * 1000 + index
            answers.append(chat.generate_response(prompt, prompt.history))
            assert chat.last is not None
            room = min(chat.config.chat.max_new_tokens, positions - chat.last.prompt_tokens)
            cut.append(chat.last.tokens >= room)
        return answers, cut

    def _chrf(self, answers: Sequence[str]) -> CorpusScore:
        first, asked = len(self.prompts.demo), self.prompts.held_out
        given = answers[first : first + len(asked)]
        return chrf(given, [question.references[0] for question in asked])

    def _measured(self, answers: Sequence[str], cut: Sequence[bool]) -> dict[str, np.ndarray]:
        looping = [in_loop(answer) for answer in answers]
        values: dict[str, list[float]] = {
            "repeats": [loop or repeats_itself(a) for a, loop in zip(answers, looping)],
            "loops": list(map(float, looping)),
            "repetition": list(map(repetition, answers)),
            "cut": list(map(float, cut)),
            "words": [len(answer.split()) for answer in answers],
            "bits": [self.reference.bits(a, not short) for a, short in zip(answers, cut)],
            "accepted": [
                acceptable(answer, question.expected, question.refused)
                for answer, question in zip(answers, self.prompts.demo)
            ],
        }
        return {name: np.array(found, dtype=np.float64) for name, found in values.items()}


# ---------------------------------------------------------------------- a escolha


@dataclass(frozen=True)
class Option:
    """Uma opção da grade, medida."""

    overrides: Overrides
    scores: Scores


def differences(mine: Scores, other: Scores) -> dict[str, Estimate]:
    """``mine - other`` no que decide, pedido a pedido."""
    names = ("repeats", "accepted", "bits")
    found = {n: intervals.mean_difference(getattr(mine, n), getattr(other, n)) for n in names}
    return found | {"chrf": mine.chrf.minus(other.chrf)}


def loses(mine: Scores, other: Scores) -> list[str]:
    """Em que qualidades ``mine`` é pior que ``other`` além do acaso."""
    found = differences(mine, other)
    worse = {"accepted": -found["accepted"].value, "chrf": -found["chrf"].value}
    worse |= {"bits": found["bits"].value - BITS_MARGIN}
    return [name for name, loss in worse.items() if found[name].excludes_zero and loss > 0]


def choose(options: Sequence[Option], default: Scores) -> Option:
    """A opção escolhida pela regra do alto do arquivo; ``options`` na ordem da grade."""
    kept = [o for o in options if not loses(o.scores, default)] or list(options)
    least = min(kept, key=lambda o: float(o.scores.repeats.mean()))
    kept = [o for o in kept if not _differ("repeats", o, least)]
    best = max(kept, key=lambda o: float(o.scores.accepted.mean()))
    return next(o for o in kept if not _differ("accepted", o, best))


def _differ(name: str, first: Option, second: Option) -> bool:
    values = (getattr(first.scores, name), getattr(second.scores, name))
    return intervals.mean_difference(*values).excludes_zero


# ---------------------------------------------------------------------- tudo junto


class Study:
    """Mede as opções em todas as personas e modelos, e escolhe."""

    def __init__(self, askers: Sequence[Asker], grid: Sequence[Overrides], seeds: int) -> None:
        self.askers, self.grid, self.seeds = askers, grid, seeds
        self.measured: dict[tuple[str, Sampling], Scores] = {}

    def scores(self, persona: str, overrides: Overrides) -> Scores:
        """Uma opção, em todos os modelos; a mesma, pedida de novo, não é medida de novo."""
        key = (persona, sampling_of(persona, overrides))
        if key not in self.measured:
            self.measured[key] = Scores.pooled(self.by_model(persona, overrides, 0))
        return self.measured[key]

    def by_model(self, persona: str, overrides: Overrides, first_seed: int) -> list[Scores]:
        """Uma opção em cada modelo, com sementes a partir de ``first_seed``."""
        seeds = range(first_seed, first_seed + self.seeds)
        return [asker.scores(persona, overrides, seeds) for asker in self.askers]

    def options(self, persona: str) -> list[Option]:
        """A grade, sem as opções que nesta persona dão um sorteio que já está nela."""
        unique: dict[Sampling, Overrides] = {}
        for overrides in self.grid:
            unique.setdefault(sampling_of(persona, overrides), overrides)
        return [Option(o, self.scores(persona, o)) for o in unique.values()]

    def persona_choice(self, persona: str) -> Overrides:
        """Entre as opções que sorteiam."""
        options = self.options(persona)
        drawn = [o for o in options if sampling_of(persona, o.overrides).temperature > 0]
        return choose(drawn, options[0].scores).overrides

    def mode_choice(self) -> Overrides:
        """Para ``high_precision``: entre as cautelosas, nas três personas juntas."""
        cautious = [o for o in CAUTIOUS if o in self.grid]
        options = [Option(o, self._everywhere(o)) for o in cautious]
        return choose(options, self._everywhere(MODE_SAMPLING[MODE])).overrides

    def _everywhere(self, overrides: Overrides) -> Scores:
        return Scores.pooled([self.scores(name, overrides) for name in PERSONAS])

    def change(self, personas: Sequence[str], before: Overrides, after: Overrides) -> Row:
        """Antes e depois nestas personas, com sementes novas; em tudo e em cada modelo."""
        old, new = (
            [self.by_model(name, overrides, FRESH_SEEDS) for name in personas]
            for overrides in (before, after)
        )
        models = {
            asker.chat.model_name: _compared(
                *(Scores.pooled([group[i] for group in side]) for side in (old, new))
            )
            for i, asker in enumerate(self.askers)
        }
        whole = (Scores.pooled([part for group in side for part in group]) for side in (old, new))
        return _compared(*whole) | {"models": models}


def sampling_of(persona: str, overrides: Overrides) -> Sampling:
    """O sorteio da persona com as mudanças."""
    return replace(PERSONAS[persona].sampling, **overrides)


def _compared(old: Scores, new: Scores) -> Row:
    found = {name: e.to_dict() for name, e in differences(new, old).items()}
    return {"before": old.to_dict(), "after": new.to_dict(), "difference": found}


def run(args: argparse.Namespace, chats: Sequence[LunaChat]) -> Row:
    """Tudo."""
    prompts = Prompts.read(args.turns, QUICK_PROMPTS if args.quick else None)
    askers = [Asker(chat, prompts, args.quick) for chat in chats]
    study = Study(askers, QUICK_GRID if args.quick else GRID, 1 if args.quick else args.seeds)
    chosen = {name: study.persona_choice(name) for name in PERSONAS}
    mode = study.mode_choice()
    return {
        "models": [chat.model_name for chat in chats],
        "prompts": {part.name: len(getattr(prompts, part.name)) for part in fields(prompts)},
        "seeds": study.seeds,
        "written_by_people": written_by_people(askers[0]),
        "rows": [row for name in PERSONAS for row in persona_rows(name, study.options(name))],
        "recommended": {name: vars(sampling_of(name, o)) for name, o in chosen.items()}
        | {MODE: mode},
        "confirmed": {name: study.change([name], {}, o) for name, o in chosen.items()}
        | {MODE: study.change(list(PERSONAS), MODE_SAMPLING[MODE], mode)},
    }


def persona_rows(persona: str, options: Sequence[Option]) -> list[Row]:
    """As opções de uma persona, e em que cada uma perde para a primeira, o padrão de hoje."""
    return [
        {"persona": persona, "label": label(option.overrides), "overrides": option.overrides}
        | {"loses": loses(option.scores, options[0].scores)}
        | option.scores.to_dict()
        for option in options
    ]


def written_by_people(asker: Asker) -> Row:
    """As mesmas medidas nas respostas reservadas, que são de gente: a régua."""
    said = [question.references[0] for question in held_out_turns()]
    found = asker._measured(said, [False] * len(said))
    return {name: float(found[name].mean()) for name in ("repeats", "loops", "repetition", "bits")}


# ---------------------------------------------------------------------- como se lê


def label(overrides: Overrides) -> str:
    """``T 0,2, n 4``; ``padrão`` quando nada muda."""
    shown = {name: value for name, value in overrides.items() if OFF.get(name) != value}
    told = [f"{SHORT[name]} {f'{value:g}'.replace('.', ',')}" for name, value in shown.items()]
    return ", ".join(told) or ("sem penalidades" if overrides else "padrão")


def _line(row: Row) -> list[str]:
    """As figuras de uma opção."""
    repeats, accepted, score, bits = (
        Estimate(**row[name]) for name in ("repeats", "accepted", "chrf", "bits")
    )
    rest = [decimal(100 * row[name]["value"]) for name in ("loops", "repetition", "cut")]
    return [
        interval(repeats, 100),
        *rest,
        decimal(row["distinct_2"], 3),
        decimal(row["words"]["value"]),
        interval(accepted, 100),
        interval(score),
        interval(bits, 1, 2),
    ]


def text(result: Row) -> str:
    """As medidas como se leem."""
    head = ["repete %", "laço %", "4-gramas %", "cortada %", "distinct-2", "palavras"]
    head += ["aceitas %", "chrF", "bits/token"]
    prompts, people = result["prompts"], result["written_by_people"]
    parts = [
        f"{', '.join(result['models'])}: {sum(prompts.values())} pedidos, {result['seeds']} "
        f"sementes. T: temperatura; pen: repetition_penalty; n: no_repeat_ngram_size.",
        f"Respostas de gente: repetem-se {decimal(100 * people['repeats'])} %, em laço "
        f"{decimal(100 * people['loops'])} %, {decimal(people['bits'], 2)} bits por token.",
    ]
    for name in PERSONAS:
        rows = [row for row in result["rows"] if row["persona"] == name]
        lines = [[row["label"], *_line(row), ", ".join(row["loses"])] for row in rows]
        parts.append(table([name, *head, "perde em"], lines))
    for name, values in result["recommended"].items():
        told = ", ".join(f"{key}={value!r}" for key, value in values.items())
        parts.append(f"{name}: {told}")
    lines = []
    for name, pair in result["confirmed"].items():
        lines += change_lines(name, pair)
        if len(result["models"]) > 1:
            for model, part in pair["models"].items():
                lines += change_lines(f"{name}, {model}", part)
    parts.append(table(["sementes novas", "", *head], lines))
    return "\n\n".join(parts)


def change_lines(name: str, pair: Row) -> list[list[str]]:
    """Antes e depois."""
    return [[name, "antes", *_line(pair["before"])], ["", "depois", *_line(pair["after"])]]


def main(argv: list[str] | None = None) -> int:
    """Mede e imprime."""
    options = model_options("O sorteio de cada persona e modo: repetição e qualidade.", nargs="+")
    options.add_argument("--turns", type=int, default=60, help="falas reservadas (padrão: 60)")
    options.add_argument("--seeds", type=int, default=2, help="sementes por opção (padrão: 2)")
    args = options.parse_args(argv)
    torch.set_num_threads(1)  # mais threads não ajudam a ler um token por vez
    with contextlib.redirect_stdout(sys.stderr), contextlib.ExitStack() as stack:
        chats = [
            stack.enter_context(opened_chat(model, args.quick)) for model in args.model or [None]
        ]
        result = run(args, chats)
    show(args, result, text(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
