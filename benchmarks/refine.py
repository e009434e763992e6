"""Se um refinamento aprende o gosto de quem avalia, e se a prova recusa o que não é gosto.

Quatro pessoas simuladas, cada uma com um gosto que o programa não conhece, dão 40 notas a respostas
que o próprio modelo deu:

- ``curtas``: gosta de respostas curtas;
- ``formal``: quer ser tratada por senhor ou senhora, sem gíria;
- ``fato``: corrige um fato errado, perguntado de dez jeitos, e acha o resto bom;
- ``acaso``: dá notas ao acaso (várias vezes, com sementes diferentes).

Depois de um ``refine`` medem-se:

- em 100 pares novos (perguntas que ninguém avaliou), em quantos o modelo passou a preferir a
  resposta do gosto: r = ln pi - ln pi_0 maior. Antes, r é zero em todas: 0,5. Ao lado, sem
  referência ao modelo de antes, em quantos ela é a mais provável por token;
- bits por byte de ``data/valid``, que não serviu para nada;
- 20 perguntas sem relação, pelo critério de ``src/evaluation/answers.py``;
- do fato, dez paráfrases novas: só pelos pesos, e com a memória de correções;
- de quem nota ao acaso, em quantas vezes a prova recusou.

Uso::

    python benchmarks/refine.py                       # treina antes um modelo, pela receita da demo
    python benchmarks/refine.py --model LunaDemo      # um que já existe
    python benchmarks/refine.py --users fato --json
    python benchmarks/refine.py --quick               # pesos quase aleatórios: só vê se roda
"""

import argparse
import contextlib
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # permite rodar o arquivo sem instalar o projeto
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # antes de importar torch (docs/LOG.md)
with contextlib.redirect_stdout(sys.stderr):  # ele se anuncia em stdout ao ser importado
    import transformers.trainer  # noqa: F401

import torch  # noqa: E402

from benchmarks.harness import Row, decimal, parser, show, table  # noqa: E402
from src.chat.luna_chat import LunaChat  # noqa: E402
from src.cli import create, demo  # noqa: E402
from src.cli.runner import quiet_libraries  # noqa: E402
from src.config.config import Config  # noqa: E402
from src.config.personas import PERSONAS, get_persona  # noqa: E402
from src.evaluation.answers import acceptable, has_term  # noqa: E402
from src.evaluation.questions import questions_of  # noqa: E402
from src.models.luna_model import LunaModel  # noqa: E402
from src.models.tokenizer import LunaTokenizer  # noqa: E402
from src.training.preference import AnswerEncoder, score_answers  # noqa: E402
from src.training.refine_data import TextProof  # noqa: E402
from src.training.refine_fit import FitSettings  # noqa: E402
from src.training.rollouts import first_questions, generate_batch  # noqa: E402
from src.training.trainer import LunaTrainer  # noqa: E402
from src.utils.file_utils import load_documents  # noqa: E402

RATINGS, FRESH_PAIRS, UNRELATED = 40, 100, 20
NAME = "LunaRefino"
PERSONA_ORDER = ("casual", "tecnico", "formal")
FRESH_SAMPLING = {"do_sample": True, "temperature": 0.8, "top_k": 40, "top_p": 0.9}
FRESH_SEED = 90_001  # outra que a dos sorteios do refinamento
QUICK = FitSettings(steps=3, prompts=6, judged=2, written=2, single=2)

FORMAL = re.compile(
    r"\b(?:senhora?|lhes?|queira|permita-me|por gentileza|convém|recomendo|sugiro|pois não)\b",
    re.IGNORECASE,
)
FAMILIAR = re.compile(
    r"\b(?:você|vc|te|tu|pra|pro|tá|né|a gente|olha|bora|viu|aí|oi|legal|beleza)\b", re.IGNORECASE
)

FACT = "A capital da Argentina é Buenos Aires."
RIGHT = "Buenos Aires"
WRONG = ("Salvador", "Recife", "Manaus", "Rio de Janeiro", "Brasília")
FACT_RATED = (
    "Qual é a capital da Argentina?",
    "A capital da Argentina é qual cidade?",
    "Que cidade é a capital da Argentina?",
    "Luna, me diz a capital da Argentina?",
    "Você sabe qual é a capital da Argentina?",
    "Capital da Argentina, qual é?",
    "Estou estudando geografia: qual a capital da Argentina?",
    "A Argentina tem como capital que cidade?",
    "Onde fica o governo da Argentina?",
    "Me fala a capital argentina.",
)
FACT_FRESH = (
    "Qual a capital da Argentina?",
    "Me diga a capital da Argentina, por favor.",
    "Qual cidade é a capital da Argentina?",
    "Pode me dizer a capital da Argentina?",
    "Sabe a capital da Argentina?",
    "Como se chama a capital da Argentina?",
    "E a capital da Argentina, qual é?",
    "Qual é o nome da capital da Argentina?",
    "Preciso saber a capital da Argentina.",
    "Na Argentina, qual cidade é a capital?",
)
FACT_ANSWERS = (
    "É {}.",
    "É {}!",
    "A capital é {}.",
    "{}.",
    "A cidade é {}.",
    "A capital argentina é {}.",
    "Claro: é {}.",
    "A resposta é {}.",
    "Essa eu sei: {}!",
    "A capital da Argentina é {}.",
)


# ---------------------------------------------------------------------- os gostos


def likes_short(answer: str) -> int:
    """De 1 a 5, pelo número de palavras."""
    size = len(answer.split())
    return next(
        (rating for limit, rating in ((10, 5), (13, 4), (15, 3), (19, 2)) if size <= limit), 1
    )


def likes_formal(answer: str) -> int:
    """De 1 a 5: 5 com tratamento formal e sem familiaridade; 1 com familiaridade e sem ele."""
    formal, familiar = FORMAL.search(answer), FAMILIAR.search(answer)
    if formal:
        return 3 if familiar else 5
    return 1 if familiar else 2


TASTES: dict[str, Callable[[str], int]] = {"curtas": likes_short, "formal": likes_formal}
#: As personas em que cada pessoa conversa, uma por vez.
TALKS = {"curtas": PERSONA_ORDER, "formal": ("formal", "casual"), "fato": ("casual",)}


class Lab:
    """Um modelo, e onde se fazem cópias dele para refinar.

    Args:
        folder: pasta de trabalho. name: o modelo, em ``models_dir``. models_dir: onde ele está.
    """

    def __init__(self, folder: Path, models_dir: Path, name: str, quick: bool) -> None:
        self.folder, self.source, self.quick = folder, models_dir / name, quick
        self.settings = QUICK if quick else FitSettings()
        self.tokenizer = LunaTokenizer(Config()).load(self.source / "tokenizer")
        self.base: Any = LunaModel.from_pretrained(self.source).eval()
        self.encode = AnswerEncoder(self.tokenizer, self.base.config, PERSONAS)
        train = load_documents(demo.bundled_data() / "train")[0]
        valid = load_documents(demo.bundled_data() / "valid")[0]
        generator = random.Random(7)
        self.known = first_questions(train, generator, 600)
        held = {str(q) for document in valid for q in questions_of(document)}
        self.fresh = [q for q in first_questions(valid, generator, 600) if q in held]
        self.fresh = [q for q in self.fresh if q not in set(self.known)]
        self.valid = [document for document in valid if not str(document.file).endswith(".jsonl")]
        self.proof = TextProof(self.valid, self.tokenizer, self.base, PERSONAS)
        self.text_before = self.proof.measure(self.base).total().bits_per_byte
        self.unrelated = unrelated_questions()[: 2 if quick else UNRELATED]
        self._pairs: dict[str, list[tuple[str, str, str, str]]] = {}
        self._answers: list[tuple[str, str]] = []

    def home(self, label: str) -> Config:
        """Uma configuração com uma cópia do modelo, o seu ``feedback.jsonl`` e nada mais."""
        home = self.folder / label
        shutil.copytree(self.source, home / "models" / NAME)
        paths = {"models_dir": str(home / "models"), "logs_dir": str(home / "logs")}
        return Config(paths=paths, feedback={"path": str(home / "feedback.jsonl")})

    # ------------------------------------------------------------------ as notas

    def rate(self, config: Config, user: str, seed: int) -> LunaChat:
        """A pessoa ``user`` conversa e dá as suas notas.

        Sem a memória de correções, que à segunda pergunta já responderia certo.
        """
        config.feedback.memory = False
        config.chat.max_new_tokens, config.chat.temperature = 60, 0.8
        chat = LunaChat(NAME, config)
        generator = random.Random(seed)
        count = 12 if self.quick else RATINGS
        asked = generator.sample(self.known, count)
        if user == "fato":
            asked = [*FACT_RATED, *asked[: count - len(FACT_RATED)]]
        for place, question in enumerate(asked):
            talks = TALKS.get(user, PERSONA_ORDER)
            chat.persona = get_persona(talks[place % len(talks)])
            config.chat.seed = seed * 1000 + place
            answer = chat.generate_response(question) or "..."
            about_fact = user == "fato" and question in FACT_RATED
            if about_fact and RIGHT not in answer:
                chat.add_feedback(question, answer, 1, correction=FACT)
            elif user == "fato":
                chat.add_feedback(question, answer, 5 if about_fact else 4)
            elif user == "acaso":
                chat.add_feedback(question, answer, generator.randint(1, 5))
            else:
                chat.add_feedback(question, answer, TASTES[user](answer))
        return chat

    # ------------------------------------------------------------------ os pares novos

    def fresh_pairs(self, user: str) -> list[tuple[str, str, str, str]]:
        """(pergunta, persona, a resposta do gosto, a outra), até 100."""
        if user == "fato":
            wrong = [WRONG[place % len(WRONG)] for place in range(len(FACT_ANSWERS))]
            return [
                (question, "casual", form.format(RIGHT), form.format(city))
                for question in FACT_FRESH
                for form, city in zip(FACT_ANSWERS, wrong)
            ]
        if not self._answers:
            self._answers = self._sampled()
        generator = random.Random(FRESH_SEED)
        found, taste = [], TASTES[user]
        by_question: dict[str, list[str]] = {}
        for question, answer in self._answers:
            by_question.setdefault(question, []).append(answer)
        for _ in range(4):
            for question, answers in by_question.items():
                good = [a for a in answers if taste(a) >= 4]
                bad = [a for a in answers if taste(a) <= 2]
                if good and bad:
                    persona = generator.choice(TALKS[user])
                    pair = (question, persona, generator.choice(good), generator.choice(bad))
                    found += [pair] if pair not in found else []
        return found[:FRESH_PAIRS]

    def _sampled(self) -> list[tuple[str, str]]:
        """Respostas do modelo de antes às perguntas novas, nas três personas."""
        questions = self.fresh[:8] if self.quick else self.fresh
        asked = [(q, p) for q in questions for p in PERSONA_ORDER for _ in range(3)]
        torch.manual_seed(FRESH_SEED)
        prompts = [self.encode(q, "", p).prompt for q, p in asked]
        answers = generate_batch(self.base, self.encode, prompts, 60, FRESH_SAMPLING)
        return [(q, answer) for (q, _), answer in zip(asked, answers) if answer]

    def pair_accuracy(self, model: Any, pairs: Sequence[tuple[str, str, str, str]]) -> Row:
        """A parte dos pares em que o gosto ganha: por r e, antes e depois, por token."""
        if not pairs:
            return {"reward": None, "per_token_before": None, "per_token_after": None}
        answers = [self.encode(q, a, p) for q, p, good, bad in pairs for a in (good, bad)]
        sizes = torch.tensor([float(len(a.ids) - a.start) for a in answers])
        before = score_answers(self.base, answers, self.encode)
        after = score_answers(model, answers, self.encode)
        return {
            "reward": _wins(after - before),
            "per_token_before": _wins(before / sizes),
            "per_token_after": _wins(after / sizes),
        }

    # ------------------------------------------------------------------ as outras medidas

    def habits(self, model: Any, user: str) -> Row:
        """Como ele fala em perguntas novas, sorteando: palavras e tratamento formal."""
        questions = self.fresh[:6] if self.quick else self.fresh[:60]
        torch.manual_seed(FRESH_SEED + 1)
        talks = TALKS.get(user, PERSONA_ORDER)
        asked = [(q, talks[i % len(talks)]) for i, q in enumerate(questions)]
        prompts = [self.encode(q, "", p).prompt for q, p in asked]
        answers = generate_batch(model, self.encode, prompts, 60, FRESH_SAMPLING)
        sizes = sorted(len(answer.split()) for answer in answers)
        formal = [bool(FORMAL.search(a)) and not FAMILIAR.search(a) for a in answers]
        return {"median_words": sizes[len(sizes) // 2], "formal": sum(formal) / len(formal)}

    def unrelated_right(self, chat: LunaChat) -> int:
        """Quantas das perguntas sem relação têm resposta aceitável, sem sorteio."""
        return sum(
            acceptable(ask(chat, q["pergunta"], q.get("persona", "casual")), q["esperado"])
            for q in self.unrelated
        )


def _wins(scores: torch.Tensor) -> float:
    better, worse = scores.view(-1, 2).unbind(1)
    return float(((better > worse).float() + 0.5 * (better == worse).float()).mean())


def ask(chat: LunaChat, question: str, persona: str) -> str:
    """A resposta mais provável, na persona dada."""
    chat.config.chat.temperature = 0.0
    chat.persona = get_persona(persona)
    return chat.generate_response(question)


def unrelated_questions() -> list[dict[str, Any]]:
    """Vinte perguntas da demonstração que não falam de capitais nem de países."""
    path = demo.bundled_data() / "valid" / "perguntas_demo.jsonl"
    found = [q for q in demo.read_questions(path) if not has_term(q["pergunta"], "capital")]
    step = len(found) / UNRELATED
    return [found[int(place * step)] for place in range(UNRELATED)]


# ---------------------------------------------------------------------- uma pessoa


def run_user(lab: Lab, user: str, seed: int) -> Row:
    """As notas, o refinamento e as medidas de uma pessoa."""
    config = lab.home(f"{user}-{seed}")
    chat = lab.rate(config, user, seed)
    row: Row = {"user": user, "seed": seed}
    if user != "acaso":
        row["unrelated_before"] = lab.unrelated_right(chat)
        row["fact_before"] = fact_right(chat) if user == "fato" else None
    started = time.perf_counter()
    trainer = LunaTrainer(NAME, config, "cpu", False)
    result = trainer.update_with_feedback(settings=lab.settings).to_dict()
    row |= {"seconds": round(time.perf_counter() - started, 1), "kept": result["kept"]}
    row |= {"reason": result["reason"], "gate": result["gate"], "learned": result["learned"]}
    row["timings"] = result["timings"]
    if user == "acaso":
        return row
    refined = LunaModel.from_pretrained(Path(config.paths.models_dir) / NAME).eval()
    row["pairs"] = lab.pair_accuracy(refined, lab.fresh_pairs(user))
    row["text_before"] = lab.text_before
    row["text_after"] = lab.proof.measure(refined).total().bits_per_byte
    row["habits_before"], row["habits_after"] = (
        lab.habits(model, user) for model in (lab.base, refined)
    )
    after = LunaChat(NAME, config)
    row["unrelated_after"] = lab.unrelated_right(after)
    if user == "fato":
        row["fact_weights"] = fact_right(after)
        config.feedback.memory = True
        row["fact_memory"] = fact_right(LunaChat(NAME, config))
    return row


def fact_right(chat: LunaChat) -> int:
    """Em quantas das dez paráfrases novas a resposta traz o fato certo."""
    return sum(has_term(ask(chat, question, "casual"), RIGHT) for question in FACT_FRESH)


def run(args: argparse.Namespace, lab: Lab) -> tuple[Row, str]:
    """Todas as pessoas, e como se lê."""
    rows = []
    for user in args.users:
        for seed in range(args.random_runs if user == "acaso" else 1):
            rows.append(run_user(lab, user, args.seed + seed))
            print(_line(rows[-1]), file=sys.stderr, flush=True)
    return {"model": args.model or "receita da demo", "rows": rows}, screen(rows)


def _line(row: Row) -> str:
    state = "ficou" if row["kept"] else "voltou atrás"
    return f"{row['user']} {row['seed']}: {state} em {row['seconds']} s. {row['reason']}"


def screen(rows: Sequence[Row]) -> str:
    """A tabela, e a conta de quem nota ao acaso."""
    lines = []
    for row in rows:
        if row["user"] == "acaso":
            continue
        pairs, change = row["pairs"]["reward"], row["text_after"] / row["text_before"] - 1
        fact = f"{row['fact_weights']} / {row['fact_memory']}" if row["user"] == "fato" else "-"
        lines.append(
            [
                row["user"],
                "sim" if row["kept"] else "não",
                "-" if pairs is None else decimal(pairs, 2),
                f"{decimal(100 * change, 2)} %",
                f"{row['unrelated_before']} -> {row['unrelated_after']}",
                f"{row['habits_before']['median_words']} -> {row['habits_after']['median_words']}",
                f"{decimal(100 * row['habits_before']['formal'], 0)} -> "
                f"{decimal(100 * row['habits_after']['formal'], 0)} %",
                fact,
                f"{decimal(row['seconds'], 0)} s",
            ]
        )
    head = ["pessoa", "ficou", "pares novos", "texto", "outras perguntas (de 20)", "palavras"]
    text = table([*head, "formais", "fato: pesos / memória (de 10)", "tempo"], lines)
    chance = [row for row in rows if row["user"] == "acaso"]
    if chance:
        refused = sum(not row["kept"] for row in chance)
        text += f"\nNotas ao acaso: a prova recusou {refused} de {len(chance)}."
    return text


def trained_model(config: Config) -> None:
    """Um modelo novo, com os dados que vêm junto, pela receita da demonstração."""
    common = argparse.Namespace(quiet=True, json=True)
    demo.create_model(common, config)
    demo.train_and_measure(common, config)


def random_model(config: Config) -> None:
    """Um modelo que nada aprendeu, com um tokenizador de verdade."""
    options: dict[str, Any] = {"name": demo.DEMO_NAME, "size": "nano", "base": None, "force": True}
    options |= {"train_data": [str(demo.bundled_data() / "train" / "dialogos_luna.txt")]}
    create.run(
        argparse.Namespace(**options, max_file_mb=None, quiet=True, json=True),
        config,
    )


def main(argv: list[str] | None = None) -> int:
    """Lê as opções, mede e imprime."""
    options = parser(__doc__.split("\n\n")[0])
    options.add_argument("--model", help="um modelo que existe; sem isto, treina um")
    options.add_argument("--models_dir", default="models", help="onde ele está (models)")
    people = ("curtas", "formal", "fato", "acaso")
    options.add_argument("--users", nargs="+", choices=people, default=people, help="as pessoas")
    options.add_argument("--random_runs", type=int, default=10, help="vezes das notas ao acaso")
    options.add_argument("--seed", type=int, default=1, help="semente das notas (1)")
    args = options.parse_args(argv)
    if args.quick:
        args.users, args.random_runs = ("fato",), 1
    quiet_libraries()
    with tempfile.TemporaryDirectory() as place, contextlib.redirect_stdout(sys.stderr):
        folder, models = Path(place), Path(args.models_dir)
        if args.model is None or args.quick:
            models = folder / "base"
            config = Config(paths={"models_dir": str(models), "logs_dir": str(folder / "logs")})
            (random_model if args.quick else trained_model)(config)
        name = demo.DEMO_NAME if args.model is None or args.quick else args.model
        found, text = run(args, Lab(folder, models, name, args.quick))
    show(args, found, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
