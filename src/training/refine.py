"""Um refinamento, do começo ao fim: aprender com as avaliações, provar, ficar ou voltar atrás.

1. As avaliações viram amostras (``src/models/feedback_samples.py``).
2. O juiz aprende o gosto e ordena respostas que o modelo sorteia (``judge.py``, ``rollouts.py``).
3. Um adaptador LoRA é treinado com tudo (``refine_fit.py``), e dele se aplica a maior parte que o
   texto aguenta.
4. Prova-se com o que não foi treinado (``gate.py``): o gosto, no juiz e depois no modelo; as
   correções, repetindo o treino sem uma parte delas.
5. Se fica, vira uma versão nova (``src/models/versions.py``); o modelo que responde só muda aí.
"""

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.config.personas import Personas
from src.models.feedback_samples import SampleSet, TrainingSample, normal_text
from src.models.tokenizer import LunaTokenizer
from src.training import gate, lora
from src.training.examples import build_examples
from src.training.judge import Judge
from src.training.preference import Answer, AnswerEncoder, score_answers
from src.training.refine_data import RefineTexts, TextProof, proving_half, tuning_half
from src.training.refine_fit import FitSettings, Fitter, Lessons, Pair, Replay, Single, balanced
from src.training.rollouts import (
    MAX_NEW_TOKENS,
    Rollout,
    first_questions,
    generate_batch,
    judged_answers,
    judged_pairs,
    plain_history,
    sample_rollouts,
)
from src.utils.errors import NoDataError
from src.utils.numbers import counted, decimal

logger = logging.getLogger(__name__)

SCHEMA = 1
MIN_SAMPLES = 8  # com menos, nem um acerto perfeito provaria nada
MIN_PAIRS = 4  # correções de que a prova delas precisa
MIN_SIDE = 3  # notas altas e baixas de que o juiz precisa
TUNING_LIMIT = 0.004  # quanto a metade que ajusta pode piorar: sobra folga para a que prova
SCALE_TRIES = 5
PROOF_SHARE = 4  # de cada tantas perguntas sorteadas, uma fica para a prova
EXAMPLES = 6  # perguntas mostradas antes e depois
GREEDY = {"do_sample": False}


@dataclass
class RefineResult:
    """O que aconteceu num refinamento; ``to_dict`` é o que vai ao relatório e ao ``--json``.

    Atributos:
        kept: o modelo que responde mudou. version: a que passou a responder. parent: a de antes.
        reason: por quê, numa frase. advice: o que a pessoa pode fazer.
        preference, text, scale: a prova; ``None`` se não se chegou a ela. links: os dois elos da
        prova do gosto. corrections: a das correções, por probabilidade direta.
    """

    model: str
    id: str = field(default_factory=lambda: f"{datetime.now():%Y%m%d-%H%M%S}")
    created: str = field(
        default_factory=lambda: datetime.now().astimezone().isoformat(timespec="seconds")
    )
    seconds: float = 0.0
    dry_run: bool = False
    kept: bool = False
    version: str | None = None
    parent: str | None = None
    reason: str = ""
    advice: list[str] = field(default_factory=list)
    feedback: dict[str, Any] = field(default_factory=dict)
    learned: dict[str, Any] | None = None
    preference: gate.Preference | None = None
    corrections: dict[str, Any] | None = None
    links: dict[str, Any] | None = None
    text: dict[str, Any] | None = None
    scale: float | None = None
    examples: list[dict[str, Any]] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    report: str | None = None

    @property
    def proven(self) -> bool:
        """Se a prova foi feita e deu certo."""
        change = self.text["change"]["value"] if self.text else float("inf")
        return bool(self.preference and self.preference.proven and change <= gate.TEXT_LIMIT)

    def to_dict(self) -> dict[str, Any]:
        """Pronto para JSON."""
        names = "model id created seconds dry_run kept version parent reason advice feedback"
        names += " learned examples settings timings report"
        plain = {name: getattr(self, name) for name in names.split()}
        proof = None
        if self.preference is not None or self.text is not None:
            proof = {
                "preference": self.preference.to_dict() if self.preference else None,
                "links": self.links,
                "corrections": self.corrections,
                "text": self.text,
                "scale": self.scale,
            }
        return {"schema": SCHEMA} | plain | {"gate": proof}


class Refinement:
    """Refina ``model`` na memória; quem chama grava, ou não.

    Args:
        model: o ``LunaModel``, no dispositivo. Volta a ser o de antes se o refinamento não é
            provado. samples: as avaliações. texts: o que se relê e em que se prova.
        default_persona: a das avaliações que não a dizem (a do chat).
        announce: recebe uma linha por etapa.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: LunaTokenizer,
        personas: Personas,
        samples: SampleSet,
        texts: RefineTexts,
        settings: FitSettings,
        result: RefineResult,
        default_persona: str,
        seed: int = 0,
        announce: Callable[[str], None] = logger.info,
    ) -> None:
        self.model, self.tokenizer, self.personas = model, tokenizer, personas
        self.set, self.samples, self.texts = samples, samples.samples, texts
        self.settings, self.result, self.seed = settings, result, seed
        self.default_persona, self.announce = default_persona, announce
        self.encode = AnswerEncoder(tokenizer, model.config, personas)
        self.fitter = Fitter(model, self.encode, settings)
        self.rollouts: list[Rollout] = []  # em que se treina
        self.proof_rollouts: list[Rollout] = []  # em que se prova
        self.taste: gate.Preference | None = None  # o juiz nas notas que não viu
        self.corrected: gate.Preference | None = None  # o modelo nas correções que não viu
        self.result.settings = settings.to_dict() | {"seed": seed, "folds": gate.FOLDS}
        self.result.feedback = feedback_summary(samples)

    def run(self) -> Any:
        """Aprende e prova.

        Returns:
            O modelo com o adaptador (``peft.PeftModel``), à espera de ``lora.merge_lora``, se foi
            provado; ``None`` se não, e ``model`` está como antes. O porquê está em ``result``.
        """
        self.model.eval()
        reason, advice = cannot_learn(self.set)
        if reason:
            self.result.reason, self.result.advice = reason, advice
            return None
        self.folds = gate.split_folds(self.samples, self.seed)
        self.examples = self._replay_examples()
        if self._judge_is_possible(self.samples):
            self._sample()
            self._explain()
        if self._nothing_to_learn():
            return None
        before = self._before()
        wrapped = self._fit_all()
        try:
            self._choose_scale(wrapped, before)
            self._prove_taste(wrapped)
            self.result.examples = self._examples(before.answers, self._answers(wrapped))
            return self._prove_corrections(wrapped)
        except BaseException:
            if lora.has_lora(self.model):
                lora.discard_lora(wrapped)
            raise

    # ------------------------------------------------------------------ o que há a aprender

    def _replay_examples(self) -> list[Any]:
        with_emotion = self.encode.conditions.with_emotion
        context = self.encode.context
        try:
            return build_examples(
                self.texts.replay, self.tokenizer, context, self.personas, with_emotion
            )
        except NoDataError as error:
            logger.warning("Sem dados de treino para reler: %s", error)
            return []

    def _judge_is_possible(self, samples: Sequence[TrainingSample]) -> bool:
        """Se há notas altas e baixas bastantes para se falar de um gosto."""
        _, utilities, _ = judged_answers(taste_samples(samples))
        return min(utilities.count(1.0), utilities.count(-1.0)) >= MIN_SIDE

    def _sample(self) -> None:
        started = time.perf_counter()
        generator = random.Random(self.seed)
        asked = list(dict.fromkeys(sample.prompt for sample in self.samples))
        count = self.settings.prompts
        known = first_questions(self.texts.replay, generator, count)
        prompts = list(dict.fromkeys([*known, *asked]))[:count]
        self.announce(f"Sorteando respostas do modelo a {len(prompts)} perguntas.")
        rollouts = sample_rollouts(self.model, self.encode, prompts, self.seed)
        generator.shuffle(rollouts)
        self.proof_rollouts, self.rollouts = split_rollouts(rollouts, asked)
        self._timed("sorteio de respostas", started)

    def _encoded(self, sample: TrainingSample, text: str) -> Answer:
        """``text`` como resposta à conversa de ``sample``."""
        persona = sample.persona or self.default_persona
        return self.encode(sample.prompt, text, persona, plain_history(sample))

    def _judge(self, samples: Sequence[TrainingSample]) -> Judge:
        pool = [answer for rollout in self.rollouts for answer in rollout.answers]
        return Judge(pool, self.personas).fit(*judged_answers(taste_samples(samples)))

    def _explain(self) -> None:
        """O que o juiz aprendeu, e quanto acerta nas notas que não viu (validação cruzada)."""
        scored = []
        for fold in sorted(set(self.folds)):
            inside, outside = self._split(fold)
            if not self._judge_is_possible(inside):
                continue
            judge = self._judge(inside)
            for sample in outside:
                if sample.kind != "paired":
                    sides = (sample.chosen, sample.rejected)
                    values = (None if t is None else float(judge([t])[0]) for t in sides)
                    scored.append(gate.Scored(fold, *values))
        self.taste = gate.measure_preference(scored)
        known = [answer for rollout in self.rollouts for answer in rollout.answers]
        traits = self._judge(self.samples).traits(known + judged_answers(self.samples)[0])
        self.result.learned = {
            "accuracy": self.taste.accuracy.to_dict() if self.taste else None,
            "lines": [{"text": trait.text, "weight": trait.weight} for trait in traits],
        }

    def _split(self, fold: int) -> tuple[list[TrainingSample], list[TrainingSample]]:
        """As amostras de dentro e as de fora da parte ``fold``."""
        inside = [s for s, place in zip(self.samples, self.folds) if place != fold]
        return inside, [s for s, place in zip(self.samples, self.folds) if place == fold]

    @property
    def _has_taste(self) -> bool:
        """Se o juiz acerta, acima do acaso, notas que não viu: só então ele ensina o modelo."""
        return self.taste is not None and self.taste.proven

    def _nothing_to_learn(self) -> bool:
        """Sem correções, se nem o juiz acerta acima do acaso não há o que ensinar ao modelo."""
        if self._has_taste or any(sample.kind == "paired" for sample in self.samples):
            return False
        figure = "não houve como prever as que não vi"
        if self.taste is not None:
            accuracy = self.taste.accuracy
            figure = (
                f"tentando prever as que não vi, acertei {percent(accuracy.value)} "
                f"({percent(accuracy.low)} a {percent(accuracy.high)}), e ao acaso se acerta 50 %"
            )
        self.result.reason = (
            f"Não encontrei um padrão nas suas notas: {figure}. O modelo continua como estava."
        )
        self.result.advice = [
            "Mais avaliações ajudam, sobretudo das respostas de que mais gostou e menos gostou."
        ]
        self.result.learned = None
        return True

    # ------------------------------------------------------------------ o treino

    def _lessons(self, samples: Sequence[TrainingSample]) -> Lessons:
        """As amostras, e os pares que o juiz que elas fazem ordena, em tokens."""
        singles, written = [], []
        for sample in samples:
            better, worse = self._sides(sample)
            if better is not None and worse is not None:
                written.append(Pair(better, worse, sample.weight))
            else:
                sign, answer = (1.0, better) if worse is None else (-1.0, worse)
                assert answer is not None
                singles.append(Single(answer, sign, sample.weight))
        two_sided = len({single.sign for single in singles}) > 1
        if two_sided and not self._has_taste:  # notas sem padrão só atrapalhariam as correções
            singles = []
        return Lessons(self._judged(samples), written, balanced(singles))

    def _judged(self, samples: Sequence[TrainingSample]) -> list[Pair]:
        if not self._has_taste or not self._judge_is_possible(samples):
            return []
        return self._ordered(self._judge(samples), self.rollouts)

    def _ordered(self, judge: Judge, rollouts: Sequence[Rollout]) -> list[Pair]:
        """Os pares que ``judge`` ordena, cada um numa persona em que a pessoa conversa."""
        pairs = judged_pairs(judge, rollouts)
        usual = float(np.mean([pair.gap for pair in pairs])) if pairs else 1.0
        personas = [sample.persona or self.default_persona for sample in self.samples]
        generator = random.Random(self.seed)
        found = []
        for pair in pairs:
            persona = generator.choice(personas)
            better, worse = (
                self.encode(pair.prompt, t, persona) for t in (pair.better, pair.worse)
            )
            found.append(Pair(better, worse, min(2.0, pair.gap / usual)))
        return found

    def _fit(self, samples: Sequence[TrainingSample], steps: int) -> Any:
        near = [sample.prompt for sample in samples if sample.kind == "paired"]
        replay = Replay(self.examples, self.encode, near)
        return self.fitter.fit(self._lessons(samples), replay, steps, self.seed)

    def _fit_all(self) -> Any:
        started = time.perf_counter()
        self.announce(
            f"Aprendendo com {counted(len(self.samples), 'amostra', 'amostras')} "
            f"({self.settings.steps} passos)."
        )
        wrapped = self._fit(self.samples, self.settings.steps)
        self._timed("treino", started)
        return wrapped

    # ------------------------------------------------------------------ a prova

    def _before(self) -> "_Before":
        started = time.perf_counter()
        self.proof = TextProof(self.texts.proof, self.tokenizer, self.model, self.personas)
        found = _Before(self.proof.measure(self.model), self._answers(self.model))
        self._timed("medidas de antes", started)
        return found

    def _choose_scale(self, wrapped: Any, before: "_Before") -> None:
        """A maior parte da mudança com que a metade que ajusta piora até ``TUNING_LIMIT``.

        A piora cresce com o quadrado da mudança, mais ou menos: cada tentativa parte daí.
        """
        started = time.perf_counter()
        scale, old = 1.0, tuning_half(before.units)
        for left in reversed(range(SCALE_TRIES)):
            lora.set_scale(wrapped, scale)
            self.after_units = self.proof.measure(wrapped)
            change = float(tuning_half(self.after_units).sum() / old.sum() - 1)
            if change <= TUNING_LIMIT or not left:  # a que se aplica é sempre a última medida
                break
            scale = shrunk(scale, change)
        self.result.scale = scale
        then, now = proving_half(before.units), proving_half(self.after_units)
        worse = gate.text_change(then.bits, now.bits)
        self.result.text = {
            "before": then.total().bits_per_byte,
            "after": now.total().bits_per_byte,
            "change": worse.to_dict(),
            "limit": gate.TEXT_LIMIT,
            "source": self.texts.source,
            "bytes": int(then.bytes.sum()),
        }
        self._timed("ajuste da força e texto", started)

    def _prove_taste(self, wrapped: Any) -> None:
        """Em perguntas e respostas que o treino não viu, o modelo passou a preferir o que o juiz
        prefere? E o juiz acerta notas que não viu: com os dois elos, ``gate.chained``.
        """
        if not self._has_taste:
            return
        assert self.taste is not None
        pairs = self._ordered(self._judge(self.samples), self.proof_rollouts)
        if not pairs:
            return
        answers = [answer for pair in pairs for answer in (pair.better, pair.worse)]
        after = score_answers(wrapped, answers, self.encode)
        with wrapped.disable_adapter():
            before = score_answers(wrapped, answers, self.encode)
        better, worse = (after - before).view(-1, 2).unbind(1)
        scored = [gate.Scored(0, float(good), float(bad)) for good, bad in zip(better, worse)]
        link = gate.measure_preference(scored)
        if link is not None:
            self.result.preference = gate.chained(self.taste, link)
            self.result.links = {
                "judge": self.taste.accuracy.to_dict(),
                "model": link.accuracy.to_dict(),
            }

    def _prove_corrections(self, wrapped: Any) -> Any:
        """Validação cruzada das correções, e a decisão; devolve o modelo com o adaptador, ou nada.

        Os adaptadores da validação são treinados sobre o mesmo modelo, e por isso o final sai e
        volta.
        """
        started = time.perf_counter()
        final = lora.adapter_state(wrapped)
        lora.discard_lora(wrapped)
        paired = [sample.kind == "paired" for sample in self.samples]
        parts = sorted({fold for fold, pair in zip(self.folds, paired) if pair})
        if sum(paired) >= MIN_PAIRS and len(parts) > 1:
            scored: list[gate.Scored] = []
            direct: list[tuple[float, float]] = []
            steps = max(1, round(self.settings.steps * self.settings.fold_share))
            for number, fold in enumerate(parts, 1):
                self.announce(f"Provando as correções: parte {number} de {len(parts)}.")
                found, compared = self._prove_part(fold, steps)
                scored += found
                direct += compared
            self.corrected = gate.measure_preference(scored)
            self.result.corrections = _direct(direct)
            if self.result.preference is None:
                self.result.preference = self.corrected
        self._timed("prova das correções", started)
        self._decide()
        if not self.result.proven:
            return None
        restored = lora.add_lora(self.model, self.settings.rank, 2 * self.settings.rank)
        lora.load_state(restored, final)
        lora.set_scale(restored, self.result.scale or 0.0)
        return restored

    def _prove_part(
        self, fold: int, steps: int
    ) -> tuple[list[gate.Scored], list[tuple[float, float]]]:
        """Treina sem a parte ``fold`` e mede nela as correções: r, e ln pi por token."""
        inside, outside = self._split(fold)
        exam = _Exam([self._sides(sample) for sample in outside if sample.kind == "paired"])
        before = score_answers(self.model, exam.answers, self.encode)
        wrapped = self._fit(inside, steps)
        try:
            lora.set_scale(wrapped, self.result.scale or 0.0)
            after = score_answers(wrapped, exam.answers, self.encode)
        finally:
            lora.discard_lora(wrapped)
        return exam.scored(fold, after - before), exam.direct(before, after)

    def _sides(self, sample: TrainingSample) -> tuple[Answer | None, Answer | None]:
        """(a resposta melhor, a pior) de uma amostra; ``None`` na que ela não tem."""
        sides = (sample.chosen, sample.rejected)
        better, worse = (None if text is None else self._encoded(sample, text) for text in sides)
        return better, worse

    def _decide(self) -> None:
        result, preference = self.result, self.result.preference
        stays = "O modelo continua como estava."
        if preference is None or result.text is None:
            result.reason = (
                f"Não há com que fazer a prova (correções, ao menos {MIN_PAIRS}). {stays}"
            )
            result.advice = ["Elas já valem na conversa, pela memória de correções."]
            return
        if self.corrected is not None and not self.corrected.proven:
            preference = result.preference = self.corrected
        accuracy, change = preference.accuracy, result.text["change"]["value"]
        figure = (
            f"acertou {percent(accuracy.value)} das preferências que não viu "
            f"({percent(accuracy.low)} a {percent(accuracy.high)}; ao acaso, 50 %)"
        )
        size = decimal(100 * abs(change), 2)
        text = f"o texto piorou {size} %" if change > 0 else "o texto não piorou"
        if not preference.proven:
            result.reason = f"Não ficou provado que melhora: {figure}. {stays}"
            result.advice = [
                "Mais avaliações, ou correções com /corrigir, tornam a prova mais forte."
            ]
        elif change > gate.TEXT_LIMIT:
            result.reason = (
                f"Aprendeu o que você prefere ({figure}), mas {text}, e o limite é "
                f"{percent(gate.TEXT_LIMIT)}. {stays}"
            )
        else:
            result.reason = f"Melhorou: {figure}, e {text}."

    # ------------------------------------------------------------------ exemplos e tempos

    def _asked(self) -> list[tuple[str, str]]:
        """(pergunta, persona) dos exemplos: metade das avaliadas, as mais pesadas; metade novas."""
        heavy = sorted(self.samples, key=lambda s: (s.kind != "paired", -s.weight))
        rated = {s.prompt: s.persona or self.default_persona for s in heavy if not s.history}
        asked = list(rated.items())[: EXAMPLES // 2]
        known = [r.prompt for r in self.rollouts if r.prompt not in rated]
        known = known or first_questions(self.texts.replay, random.Random(self.seed), EXAMPLES)
        persona = asked[0][1] if asked else self.default_persona
        return asked + [(question, persona) for question in known[: EXAMPLES - len(asked)]]

    def _answers(self, model: Any) -> list[str]:
        """As respostas aos exemplos, sem sorteio."""
        prompts = [self.encode(question, "", persona).prompt for question, persona in self._asked()]
        return generate_batch(model, self.encode, prompts, MAX_NEW_TOKENS, GREEDY)

    def _examples(self, before: Sequence[str], after: Sequence[str]) -> list[dict[str, Any]]:
        return [
            {"prompt": question, "persona": persona, "before": old, "after": new}
            for (question, persona), old, new in zip(self._asked(), before, after)
        ]

    def _timed(self, name: str, started: float) -> None:
        self.result.timings[name] = round(time.perf_counter() - started, 2)


class _Exam:
    """As respostas de uma parte de fora, em fila para serem medidas de uma vez."""

    def __init__(self, questions: Sequence[tuple[Answer | None, Answer | None]]) -> None:
        self.answers: list[Answer] = []
        self.questions = [(self._put(better), self._put(worse)) for better, worse in questions]

    def _put(self, answer: Answer | None) -> int | None:
        if answer is None:
            return None
        self.answers.append(answer)
        return len(self.answers) - 1

    def scored(self, fold: int, rewards: Tensor) -> list[gate.Scored]:
        """O r de cada amostra, de ``rewards`` [n] de todas as respostas."""
        return [
            gate.Scored(fold, *(None if i is None else float(rewards[i]) for i in sides))
            for sides in self.questions
        ]

    def direct(self, before: Tensor, after: Tensor) -> list[tuple[float, float]]:
        """De cada par, se a melhor é a mais provável por token: (antes, depois)."""
        sizes = torch.tensor([float(len(a.ids) - a.start) for a in self.answers])
        old, new = before / sizes, after / sizes
        return [
            (float(old[better] > old[worse]), float(new[better] > new[worse]))
            for better, worse in self.questions
            if better is not None and worse is not None
        ]


@dataclass(frozen=True)
class _Before:
    """As medidas do modelo antes: a informação de cada trecho e as respostas aos exemplos."""

    units: Any
    answers: list[str]


def shrunk(scale: float, change: float) -> float:
    """A próxima força a tentar, se com ``scale`` o texto piorou ``change``, que passa do limite."""
    return scale * min(0.9, 0.95 * (TUNING_LIMIT / change) ** 0.5)


def split_rollouts(
    rollouts: Sequence[Rollout], asked: Sequence[str]
) -> tuple[list[Rollout], list[Rollout]]:
    """(os da prova, os do treino): uma pergunta avaliada nunca prova, se há outras.

    Args:
        asked: as perguntas avaliadas.
    """
    rated = {normal_text(question) for question in asked}
    fresh = [rollout for rollout in rollouts if normal_text(rollout.prompt) not in rated]
    proof = (fresh or list(rollouts))[: len(rollouts) // PROOF_SHARE]
    chosen = {id(rollout) for rollout in proof}
    return proof, [rollout for rollout in rollouts if id(rollout) not in chosen]


def percent(value: float | None) -> str:
    """``84 %``."""
    return "?" if value is None else f"{decimal(100 * value, 0)} %"


def taste_samples(samples: Sequence[TrainingSample]) -> list[TrainingSample]:
    """As amostras que falam de gosto: a mesma correção repetida é um fato, e fica de fora."""
    texts = [normal_text(s.chosen or "") for s in samples if s.kind == "paired"]
    return [
        sample
        for sample in samples
        if sample.kind != "paired" or texts.count(normal_text(sample.chosen or "")) == 1
    ]


def cannot_learn(found: SampleSet) -> tuple[str, list[str]]:
    """Por que não dá para aprender com estas avaliações, e o que fazer; ``("", [])`` se dá."""
    samples, counts = found.samples, found.counts
    kinds = {sample.kind for sample in samples}
    stays = "O modelo continua como estava."
    if not samples and counts.get("contradictory"):
        return (
            f"As avaliações se contradizem: {counts['contradictory']} dão notas opostas às mesmas "
            f"respostas, e nada sobra para aprender. {stays}",
            ["Se mudou de ideia, /desfazer na conversa, ou 'feedback undo', retira a nota antiga."],
        )
    if len(samples) < MIN_SAMPLES:
        have = counted(len(samples), "avaliação que ensina algo", "avaliações que ensinam algo")
        return (
            f"Ainda é pouco: há {have}, e com menos de {MIN_SAMPLES} nada se prova. {stays}",
            ["Na conversa, /nota 1 a 5 avalia a última resposta e /corrigir ensina a certa."],
        )
    if kinds == {"desirable"}:
        return (
            "Só há notas altas: sei o que repetir, mas não o que evitar, e sem os dois lados não "
            f"se prova que algo mudou para melhor. {stays}",
            ["Dê nota também às respostas de que não gostou, ou corrija-as com /corrigir."],
        )
    if kinds == {"undesirable"}:
        return (
            "Só há notas baixas: sei o que evitar, mas não o que dizer no lugar. " + stays,
            ["Corrija algumas com /corrigir, ou dê nota alta às respostas boas."],
        )
    sides = counts.get("desirable", 0), counts.get("undesirable", 0)
    if "paired" not in kinds and min(sides) < MIN_SIDE + 1:
        return (
            f"Há {counted(sides[0], 'nota alta', 'notas altas')} e "
            f"{counted(sides[1], 'nota baixa', 'notas baixas')}: com menos de {MIN_SIDE + 1} de um "
            f"lado não se separa o que você prefere do que foi acaso. {stays}",
            ["Corrija algumas respostas com /corrigir, ou avalie mais das que faltam."],
        )
    return "", []


def feedback_summary(found: SampleSet) -> dict[str, Any]:
    """O que se usou, para o relatório."""
    counts = found.counts
    return {
        "ratings": counts.get("records", 0),
        "paired": counts.get("paired", 0),
        "desirable": counts.get("desirable", 0),
        "undesirable": counts.get("undesirable", 0),
        "notes": found.notes,
        "ids": sorted({id for sample in found.samples for id in sample.ids}),
        "used": [
            {
                "prompt": sample.prompt,
                "response": sample.rejected if sample.kind != "desirable" else sample.chosen,
                "correction": sample.chosen if sample.kind == "paired" else None,
                "kind": sample.kind,
                "weight": round(sample.weight, 4),
                "persona": sample.persona,
            }
            for sample in found.samples
        ],
    }


def _direct(found: Sequence[tuple[float, float]]) -> dict[str, Any] | None:
    """Das correções de fora: quantas vezes o modelo as acha mais prováveis, antes e depois."""
    if not found:
        return None
    from src.evaluation.intervals import proportion

    before, after = zip(*found)
    return {
        "before": proportion(before).to_dict(),
        "after": proportion(after).to_dict(),
        "items": len(found),
    }


def reports_folder(folder: Path) -> Path:
    """Onde ficam os relatórios de refinamento de um modelo."""
    return folder / "training" / "refinements"
