"""Aprender com preferências: as respostas em tokens, quanto o modelo as prefere, e as perdas.

Glossário (letra, significado, forma):
    x  a conversa até a pergunta      y  uma resposta      B  respostas      L  tokens
    pi(y|x)  a probabilidade que o modelo dá à resposta; pi_0, a que dava antes do refinamento
    r(x, y) = ln pi(y|x) - ln pi_0(y|x)   [B]   quanto o modelo passou a preferir y, em nats
    beta     o freio: com beta maior, basta mudar menos

As perdas são todas em função de r, que é zero no começo:

- ``paired_loss``, de uma resposta boa e uma ruim à mesma pergunta: -ln sigma(beta (r+ - r-)) (DPO);
- ``unpaired_loss``, de uma resposta só: 1 - sigma(beta r) se é boa, sigma(beta r) se é ruim
  (APO-zero sem pares; KTO é a mesma conta com um ponto de referência no lugar do zero).

Onde a resposta boa foi escrita por uma pessoa, o modelo talvez nem saiba dizê-la, e entra também
-ln pi(y+|x) por token, como no RPO e no ORPO.

Fontes: Rafailov et al., "Direct Preference Optimization" (2023); D'Oosterlinck et al., "Anchored
Preference Optimization" (2024); Ethayarajh et al., "KTO" (2024); Pang et al., "Iterative Reasoning
Preference Optimization" (2024). ``tests/test_preference.py`` confere as duas contas com o TRL.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from src.config.personas import Personas
from src.models.chat_format import Messages
from src.models.tokenizer import LunaTokenizer
from src.training.conditions import (
    NO_EMOTION,
    Conditions,
    Vector,
    conditions_of,
    emotion_vector,
    persona_vector,
)

MAX_LOGITS = 2**25  # números em ponto flutuante [B, L, V] por lote, sem gradiente
MIN_PROMPT_TOKENS = 8  # do fim da conversa, o que sempre fica antes da resposta


@dataclass(frozen=True)
class Answer:
    """Uma conversa e a resposta que se mede.

    ids: a conversa e, a partir de ``start``, a resposta com o fim dela. emotion [6], persona [8].
    """

    ids: list[int]
    start: int
    emotion: Vector
    persona: Vector

    @property
    def prompt(self) -> "Answer":
        """A mesma conversa, à espera da resposta."""
        return Answer(self.ids[: self.start], self.start, self.emotion, self.persona)


class AnswerEncoder:
    """De pergunta e resposta a ``Answer``, como o chat as põe diante do modelo."""

    def __init__(self, tokenizer: LunaTokenizer, config: Any, personas: Personas) -> None:
        self.tokenizer, self.personas = tokenizer, personas
        self.context: int = config.n_positions
        self.conditions: Conditions = conditions_of(config)

    def __call__(
        self, prompt: str, answer: str, persona: str | None, history: Messages | tuple = ()
    ) -> Answer:
        """``answer`` à pergunta ``prompt``, na persona dada (``None``: sem turno de sistema).

        O que não cabe no contexto sai: primeiro as falas antigas, depois o fim da resposta.
        """
        system: Messages = []
        if persona is not None and persona in self.personas:
            content = self.personas[persona].system_prompt
            system = [{"role": "system", "content": content}]
        turns: Messages = [dict(turn) for turn in history]
        asked: Messages = [{"role": "user", "content": prompt}]
        reply: Messages = [{"role": "assistant", "content": answer}]
        while True:
            before = self.tokenizer.encode_chat(
                [*system, *turns, *asked], add_generation_prompt=True
            )
            ids = self.tokenizer.encode_chat([*system, *turns, *asked, *reply])
            if len(ids) <= self.context or not turns:
                break
            turns = turns[2:]
        start = len(before)
        if len(ids) > self.context:  # da pergunta fica o fim
            cut = min(len(ids) - self.context, max(start - MIN_PROMPT_TOKENS, 0))
            ids, start = ids[cut : cut + self.context], start - cut
        messages = [*system, *turns, *asked]
        emotion = emotion_vector(messages) if self.conditions.with_emotion else NO_EMOTION
        return Answer(ids, start, emotion, persona_vector(messages, persona, self.personas))

    def inputs(self, answers: Sequence[Answer]) -> dict[str, Tensor]:
        """``input_ids`` e ``attention_mask`` [B, L], à direita, e os vetores que o modelo usa.

        As respostas ficam todas no fim: só delas se pedem os logits.
        """
        length = max(len(answer.ids) for answer in answers)
        ids = torch.full((len(answers), length), self.tokenizer.eos_id)
        seen = torch.zeros(len(answers), length, dtype=torch.long)
        for row, answer in enumerate(answers):
            ids[row, length - len(answer.ids) :] = torch.tensor(answer.ids)
            seen[row, length - len(answer.ids) :] = 1
        return {"input_ids": ids, "attention_mask": seen} | self.vectors(answers)

    def vectors(self, answers: Sequence[Answer]) -> dict[str, Tensor]:
        """``emotion`` [B, 6] e ``persona`` [B, 8], só os que este modelo usa."""
        found = {}
        if self.conditions.with_emotion:
            found["emotion"] = torch.tensor([answer.emotion for answer in answers])
        if self.conditions.with_persona:
            found["persona"] = torch.tensor([answer.persona for answer in answers])
        return found


def answer_logps(model: Any, answers: Sequence[Answer], encode: AnswerEncoder) -> Tensor:
    """ln pi(y|x) de cada resposta, a soma dos seus tokens: [B], com gradiente."""
    device = next(model.parameters()).device
    inputs = {name: tensor.to(device) for name, tensor in encode.inputs(answers).items()}
    sizes = [len(answer.ids) - answer.start for answer in answers]
    longest = max(sizes)
    targets = inputs["input_ids"][:, -longest:]
    kept = torch.arange(longest, 0, -1) <= torch.tensor(sizes).unsqueeze(1)
    kept = kept.to(device)
    logits = model(**inputs, use_cache=False, logits_to_keep=longest + 1).logits[:, :-1]
    nats = F.cross_entropy(logits[kept].float(), targets[kept], reduction="none")
    rows = torch.nonzero(kept)[:, 0]
    return torch.zeros(len(answers), device=device).index_add(0, rows, -nats)


@torch.no_grad()
def score_answers(model: Any, answers: Sequence[Answer], encode: AnswerEncoder) -> Tensor:
    """O mesmo que ``answer_logps``, em lotes que cabem na memória e sem gradiente: [B]."""
    result = torch.zeros(len(answers))
    for batch in batches_by_length(answers, model.config.vocab_size):
        found = answer_logps(model, [answers[i] for i in batch], encode)
        result[torch.tensor(batch)] = found.cpu()
    return result


def batches_by_length(answers: Sequence[Answer], vocab_size: int) -> Iterator[list[int]]:
    """Índices em lotes de comprimento parecido, de até ``MAX_LOGITS`` logits."""
    order = sorted(range(len(answers)), key=lambda i: len(answers[i].ids))
    batch: list[int] = []
    for index in order:
        if batch and (len(batch) + 1) * len(answers[index].ids) * vocab_size > MAX_LOGITS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def paired_loss(better: Tensor, worse: Tensor, beta: float) -> Tensor:
    """A perda de cada par, de r da resposta boa e da ruim: [B]."""
    return -F.logsigmoid(beta * (better - worse))


def unpaired_loss(reward: Tensor, sign: Tensor, beta: float) -> Tensor:
    """A perda de cada resposta, de r e de ``sign`` (1: boa; -1: ruim): [B]."""
    return 1 - torch.sigmoid(beta * sign * reward)
