"""As respostas que o próprio modelo sorteia, para que o juiz as ordene.

De cada pergunta saem respostas em mais de uma persona: quem só fala de um jeito não teria o que
escolher. Os pares são depois treinados na persona em que a pessoa conversa.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from src.models.chat_format import Messages
from src.models.feedback_samples import TrainingSample
from src.training.examples import parse_text
from src.training.judge import Judge
from src.training.preference import Answer, AnswerEncoder, batches_by_length

PER_PERSONA = 3  # respostas a cada pergunta em cada persona
PAIRS_PER_PROMPT = 2
MAX_NEW_TOKENS = 60
MAX_PROMPT_CHARACTERS = 200
SAMPLING = {"do_sample": True, "temperature": 0.8, "top_k": 40, "top_p": 0.9}


@dataclass(frozen=True)
class Rollout:
    """Uma pergunta e as respostas que o modelo deu a ela."""

    prompt: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class JudgedPair:
    """Duas respostas do modelo à mesma pergunta, em ordem; ``gap``: a distância para o juiz."""

    prompt: str
    better: str
    worse: str
    gap: float


def first_questions(texts: Iterable[Any], generator: random.Random, count: int) -> list[str]:
    """Até ``count`` primeiras perguntas das conversas de ``texts``, sem repetir, sorteadas."""
    found: dict[str, None] = {}
    for text in texts:
        for document in parse_text(text):
            turns = [m for m in document.messages or [] if m["role"] != "system"]
            if turns and turns[0]["role"] == "user":
                asked = turns[0]["content"].strip()
                if asked and len(asked) <= MAX_PROMPT_CHARACTERS:
                    found[asked] = None
    return generator.sample(list(found), min(count, len(found)))


def sample_rollouts(
    model: Any, encode: AnswerEncoder, prompts: Sequence[str], seed: int
) -> list[Rollout]:
    """Sorteia ``PER_PERSONA`` respostas a cada pergunta em cada persona."""
    personas: list[str | None] = [*sorted(encode.personas)] or [None]
    asked = [(q, p) for q in prompts for p in personas for _ in range(PER_PERSONA)]
    starts = [encode(question, "", persona).prompt for question, persona in asked]
    torch.manual_seed(seed)
    answers = generate_batch(model, encode, starts, MAX_NEW_TOKENS, SAMPLING)
    found: dict[str, dict[str, None]] = {}
    for (question, _), answer in zip(asked, answers):
        if answer:
            found.setdefault(question, {})[answer] = None
    return [Rollout(question, tuple(texts)) for question, texts in found.items()]


@torch.no_grad()
def generate_batch(
    model: Any,
    encode: AnswerEncoder,
    prompts: Sequence[Answer],
    max_new_tokens: int,
    sampling: dict[str, Any],
) -> list[str]:
    """A resposta do modelo a cada conversa de ``prompts``, em lotes preenchidos à esquerda."""
    tokenizer, device = encode.tokenizer, next(model.parameters()).device
    found = [""] * len(prompts)
    stops = [tokenizer.eos_id, tokenizer.user_id, tokenizer.system_id]
    for batch in batches_by_length(prompts, model.config.vocab_size):
        inputs = encode.inputs([prompts[i] for i in batch])
        length = inputs["input_ids"].shape[1]
        room = min(max_new_tokens, encode.context - length)
        if room < 1:
            continue
        output = model.generate(
            **{name: tensor.to(device) for name, tensor in inputs.items()},
            max_new_tokens=room,
            eos_token_id=stops,
            pad_token_id=tokenizer.eos_id,
            **sampling,
        )
        for row, i in enumerate(batch):
            found[i] = tokenizer.decode(output[row, length:].tolist()).strip()
    return found


def judged_pairs(judge: Judge, rollouts: Sequence[Rollout]) -> list[JudgedPair]:
    """As melhores e as piores respostas de cada pergunta, para o juiz, em pares."""
    pairs = []
    for rollout in rollouts:
        scores = judge(rollout.answers)
        order = np.argsort(-scores, kind="stable")
        for place in range(min(PAIRS_PER_PROMPT, len(order) // 2)):
            best, worst = int(order[place]), int(order[-1 - place])
            gap = float(scores[best] - scores[worst])
            if gap > 0:
                pairs.append(
                    JudgedPair(rollout.prompt, rollout.answers[best], rollout.answers[worst], gap)
                )
    return pairs


def judged_answers(samples: Sequence[TrainingSample]) -> tuple[list[str], list[float], list[float]]:
    """(respostas, utilidades, pesos) que as amostras ensinam ao juiz; um par dá as duas."""
    answers, utilities, weights = [], [], []
    for sample in samples:
        for text, sign in ((sample.chosen, 1.0), (sample.rejected, -1.0)):
            if text is not None:
                answers.append(text)
                utilities.append(sign)
                weights.append(sample.weight)
    return answers, utilities, weights


def plain_history(sample: TrainingSample) -> Messages:
    """As falas de antes da pergunta, como o tokenizador as quer."""
    return [{"role": turn["role"], "content": turn["content"]} for turn in sample.history]
