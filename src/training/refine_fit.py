"""O treino de um refinamento: poucas dezenas de passos de LoRA sobre preferências e releitura.

Glossário (letra, significado):
    pi, pi_0  o modelo agora e antes      r  quanto ele passou a preferir uma resposta (nats)

A cada passo, uma parte de cada fonte que existir:

- pares que o juiz ordenou, entre respostas do próprio modelo: ``paired_loss``;
- pares escritos pela pessoa (correções): ``paired_loss`` e -ln pi da correção, por token;
- respostas avaliadas, sozinhas: ``unpaired_loss``, com os dois lados de peso total igual;
- releitura dos dados de treino: KL(pi_0 || pi) nas respostas e nos textos, para que só mude o que
  as avaliações pedem. Metade das linhas é de conversas parecidas com as corrigidas: são as que uma
  correção mais facilmente estragaria.

pi_0 é o mesmo modelo com o adaptador desligado: não há uma segunda cópia na memória.
"""

import logging
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from src.training import lora
from src.training.examples import Example
from src.training.judge import tokens
from src.training.packing import IGNORED, PackedDataset, row_length
from src.training.preference import (
    Answer,
    AnswerEncoder,
    answer_logps,
    paired_loss,
    score_answers,
    unpaired_loss,
)

logger = logging.getLogger(__name__)

SPOKEN = 0.05  # nats por token: uma resposta com menos que isto já sai sozinha
NEAR_EXAMPLES = 48  # conversas parecidas com as corrigidas
WARMUP_STEPS, DECAY_FRACTION, FINAL_RATE = 5, 0.4, 0.05


@dataclass(frozen=True)
class FitSettings:
    """Os números do treino.

    Atributos:
        judged, written, single: quantos por passo, de cada fonte. replay_rows: linhas relidas.
        beta: o freio das perdas. replay_weight: o peso da releitura (KL em nats por token).
        written_weight: o de -ln pi das correções. fold_share: dos passos, os que se dão em cada
        parte da validação cruzada. prompts: perguntas cujas respostas se sorteiam para o juiz.
    """

    steps: int = 100
    fold_share: float = 0.4
    prompts: int = 160
    judged: int = 12
    written: int = 6
    single: int = 4
    replay_rows: int = 3
    learning_rate: float = 1e-3
    beta: float = 0.3
    rank: int = 8
    replay_weight: float = 0.3
    written_weight: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """Pronto para JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Pair:
    """Uma resposta melhor que outra, à mesma conversa; ``weight`` acima de 0."""

    better: Answer
    worse: Answer
    weight: float


@dataclass(frozen=True)
class Single:
    """Uma resposta boa (``sign`` 1) ou ruim (-1)."""

    answer: Answer
    sign: float
    weight: float


@dataclass(frozen=True)
class Lessons:
    """Tudo o que se vai aprender."""

    judged: Sequence[Pair] = ()
    written: Sequence[Pair] = ()
    singles: Sequence[Single] = ()

    def __bool__(self) -> bool:
        return bool(self.judged or self.written or self.singles)


class Replay:
    """Linhas dos dados de treino, para reler.

    Args:
        examples: os exemplos de treino; vazio não relê nada.
        near: perguntas de cujos arredores se relê mais.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        encode: AnswerEncoder,
        near: Sequence[str] = (),
    ) -> None:
        self.rows = self._packed(list(examples), encode)
        chosen = _nearest(examples, near, encode) if near else []
        self.near = self._packed(chosen, encode)

    @staticmethod
    def _packed(examples: list[Example], encode: AnswerEncoder) -> PackedDataset | None:
        if not examples:
            return None
        length = row_length(examples, encode.context)
        fill = encode.tokenizer.eos_id
        return PackedDataset(examples, length, fill, **encode.conditions._asdict())


def _nearest(examples: Sequence[Example], near: Sequence[str], encode: AnswerEncoder) -> list:
    """As conversas que mais palavras raras dividem com as perguntas ``near``."""
    wanted = {token for question in near for token in tokens(question)}
    decode = encode.tokenizer.decode
    talks = [example for example in examples if not all(example.learn[1:])]
    words = [set(tokens(decode(example.ids))) & wanted for example in talks]
    common = Counter(word for found in words for word in found)
    scores = [sum(1 / common[word] ** 0.5 for word in found) for found in words]
    order = sorted(range(len(talks)), key=lambda i: -scores[i])
    return [talks[i] for i in order[:NEAR_EXAMPLES] if scores[i] > 0]


class Fitter:
    """Treina adaptadores sobre o mesmo modelo, um de cada vez.

    Args:
        model: o ``LunaModel``, já no dispositivo; volta a ser o mesmo depois de ``lora.discard``.
        on_step: recebe (passo, total).
    """

    def __init__(
        self,
        model: Any,
        encode: AnswerEncoder,
        settings: FitSettings,
        on_step: Callable[[int, int], None] = lambda step, total: None,
    ) -> None:
        self.model, self.encode, self.settings, self.on_step = model, encode, settings, on_step

    def fit(self, lessons: Lessons, replay: Replay, steps: int, seed: int) -> Any:
        """Um adaptador novo, treinado; devolve o modelo embrulhado (``peft.PeftModel``)."""
        settings = self.settings
        before = _Rewards(self.model, self.encode, lessons)
        torch.manual_seed(seed)
        wrapped = lora.add_lora(self.model, settings.rank, 2 * settings.rank)
        trained = [p for n, p in wrapped.named_parameters() if p.requires_grad and "lora_" in n]
        optimizer = torch.optim.AdamW(
            trained, lr=settings.learning_rate, betas=(0.9, 0.95), weight_decay=0.0
        )
        draw = _Draws(random.Random(seed))
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * rate_at(step, steps)
            loss = self._preference_loss(wrapped, lessons, before, draw)
            loss = loss + settings.replay_weight * self._replay_loss(wrapped, replay, draw)
            optimizer.zero_grad()
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(trained, 1.0)
            if not torch.isfinite(norm):
                logger.debug("Passo %d pulado: gradiente não finito.", step)
                continue
            optimizer.step()
            self.on_step(step + 1, steps)
        return wrapped

    def _preference_loss(
        self, wrapped: Any, lessons: Lessons, before: "_Rewards", draw: "_Draws"
    ) -> Tensor:
        settings = self.settings
        judged = draw("judged", settings.judged, len(lessons.judged))
        written = draw("written", settings.written, len(lessons.written))
        single = draw("single", settings.single, len(lessons.singles))
        judged_pairs = [lessons.judged[i] for i in judged]
        written_pairs = [lessons.written[i] for i in written]
        singles = [lessons.singles[i] for i in single]
        answers = [a for p in judged_pairs + written_pairs for a in (p.better, p.worse)]
        answers += [item.answer for item in singles]
        sizes = [2 * len(judged), 2 * len(written), len(single)]
        old = before.judged[judged], before.written[written], before.singles[single]
        logps = answer_logps(wrapped, answers, self.encode).split(sizes)
        rewards = [now - then.to(now.device) for now, then in zip(logps, old)]
        total = self._pair_loss(rewards[0], judged_pairs)
        total = total + self._pair_loss(rewards[1], written_pairs)
        if written_pairs:
            total = total + settings.written_weight * _spoken_loss(logps[1], written_pairs)
        if singles:
            total = total + self._single_loss(rewards[2], singles)
        return total

    def _pair_loss(self, rewards: Tensor, pairs: Sequence[Pair]) -> Tensor:
        if not pairs:
            return rewards.new_zeros(())
        weight = rewards.new_tensor([pair.weight for pair in pairs])
        better, worse = rewards.view(-1, 2).unbind(1)
        return (weight * paired_loss(better, worse, self.settings.beta)).mean()

    def _single_loss(self, rewards: Tensor, singles: Sequence[Single]) -> Tensor:
        sign = rewards.new_tensor([item.sign for item in singles])
        weight = rewards.new_tensor([item.weight for item in singles])
        return (weight * unpaired_loss(rewards, sign, self.settings.beta)).mean()

    def _replay_loss(self, wrapped: Any, replay: Replay, draw: "_Draws") -> Tensor | float:
        """KL(pi_0 || pi) por token, nas linhas relidas."""
        rows = _rows(replay.rows, "replay", self.settings.replay_rows, draw)
        rows += _rows(replay.near, "near", self.settings.replay_rows, draw)
        if not rows:
            return 0.0
        device = next(wrapped.parameters()).device
        total, count = torch.zeros((), device=device), 0
        for batch in _same_length(rows):
            inputs = {k: v.to(device) for k, v in batch.items() if k != "labels"}
            kept = batch["labels"][:, 1:].to(device) != IGNORED
            with torch.no_grad(), wrapped.disable_adapter():
                old = F.log_softmax(wrapped(**inputs, use_cache=False).logits[:, :-1][kept], -1)
            new = F.log_softmax(wrapped(**inputs, use_cache=False).logits[:, :-1][kept], -1)
            total = total + F.kl_div(new, old, log_target=True, reduction="sum")
            count += int(kept.sum())
        return total / max(count, 1)


def _spoken_loss(logps: Tensor, pairs: Sequence[Pair]) -> Tensor:
    """-ln pi das respostas melhores, por token; as que já são ditas (``SPOKEN``) não puxam mais."""
    tokens_each = logps.new_tensor([len(p.better.ids) - p.better.start for p in pairs])
    nats = -logps.view(-1, 2)[:, 0] / tokens_each
    return (nats - SPOKEN).clamp_min(0).mean()


class _Rewards:
    """ln pi_0 de todas as respostas, contado uma vez: [n, 2] dos pares, [n] das sozinhas."""

    def __init__(self, model: Any, encode: AnswerEncoder, lessons: Lessons) -> None:
        self.judged = self._pairs(model, encode, lessons.judged)
        self.written = self._pairs(model, encode, lessons.written)
        self.singles = score_answers(model, [item.answer for item in lessons.singles], encode)

    @staticmethod
    def _pairs(model: Any, encode: AnswerEncoder, pairs: Sequence[Pair]) -> "_PairScores":
        answers = [answer for pair in pairs for answer in (pair.better, pair.worse)]
        return _PairScores(score_answers(model, answers, encode))


class _PairScores:
    """Indexado por pares, devolve as duas de cada um em sequência."""

    def __init__(self, scores: Tensor) -> None:
        self.scores = scores.view(-1, 2)

    def __getitem__(self, chosen: list[int]) -> Tensor:
        return self.scores[chosen].flatten()


class _Draws:
    """Sorteia índices de cada fonte, sem repetir um antes de ter passado por todos."""

    def __init__(self, generator: random.Random) -> None:
        self.generator, self.waiting = generator, dict[str, list[int]]()

    def __call__(self, source: str, count: int, total: int) -> list[int]:
        if not total:
            return []
        waiting = self.waiting.setdefault(source, [])
        while len(waiting) < count:
            waiting += self.generator.sample(range(total), total)
        found, self.waiting[source] = waiting[:count], waiting[count:]
        return found


def _rows(
    dataset: PackedDataset | None, source: str, count: int, draw: _Draws
) -> list[dict[str, Tensor]]:
    if dataset is None:
        return []
    return [dataset[i] for i in draw(source, count, len(dataset))]


def _same_length(rows: list[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
    """As linhas em lotes de mesmo comprimento."""
    groups: dict[int, list[dict[str, Tensor]]] = {}
    for row in rows:
        groups.setdefault(len(row["input_ids"]), []).append(row)
    return [{name: torch.stack([r[name] for r in g]) for name in g[0]} for g in groups.values()]


def rate_at(step: int, steps: int) -> float:
    """A parte da taxa de aprendizado no passo ``step``: sobe, fica, e desce no fim."""
    start = min(1.0, (step + 1) / WARMUP_STEPS)
    end = (steps - step) / max(steps * DECAY_FRACTION, 1)
    return max(min(start, end), FINAL_RATE)


def balanced(singles: Sequence[Single]) -> list[Single]:
    """As mesmas, com boas e ruins somando o mesmo peso e a média das duas em 1."""
    sums = {sign: sum(s.weight for s in singles if s.sign == sign) for sign in (1.0, -1.0)}
    sides = sum(total > 0 for total in sums.values())
    return [
        Single(s.answer, s.sign, s.weight * len(singles) / (sides * sums[s.sign])) for s in singles
    ]
