"""Da memória aos tokens: sorteio, limites e tokens adiantados por prompt lookup.

Glossário (letra, significado):
    V  vocabulário     p  probabilidades [V]     n  tamanho dos n-gramas     k  tokens adiantados

Prompt lookup (Saxena, 2023): se os últimos n tokens já apareceram antes, os k que vieram depois
deles são um palpite do que vem agora. O palpite é lido de uma vez, junto com o último token, e cada
posição é sorteada como sempre; enquanto o sorteio cai no palpite, a leitura já está feita. Como é o
sorteio que decide, e com a mesma sequência de números, o texto é o mesmo com e sem palpites.

Os filtros do sorteio são os de ``generate`` do transformers, na mesma ordem e com o mesmo resultado
(``tests/test_engine_decoding.py``), a não ser por uma escolha: as penalidades de repetição olham só
para a resposta em curso, e não para a pergunta, que a resposta muitas vezes precisa repetir.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from src.models.engine import DecodingState, InferenceEngine

PREFILL_TOKENS = 256  # lidos de cada vez; entre uma leitura e outra se pode parar
LOOKUP_SIZES = (3, 2)  # n-gramas que se procuram, do maior ao menor
NEVER = float("-inf")
GREEDY_BELOW = 1e-4  # dividir por menos que isto transbordaria, e já não há o que sortear


@dataclass(frozen=True)
class GenerationSettings:
    """Como gerar uma resposta; os nomes são os de ``generate`` do transformers.

    Atributos:
        temperature: 0 escolhe sempre o mais provável. top_k, top_p, min_p: cortes do sorteio; 0,
            1 e 0 os desligam. repetition_penalty: 1 desliga. no_repeat_ngram_size: 0 desliga.
        stop_ids: tokens que encerram a resposta. banned_ids: tokens que nunca saem.
        lookup_tokens: k, os tokens adiantados; 0 desliga.
        penalize_prompt: as penalidades contam também os tokens do prompt.
    """

    max_new_tokens: int = 128
    min_new_tokens: int = 0
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    stop_ids: frozenset[int] = frozenset()
    banned_ids: frozenset[int] = frozenset()
    seed: int | None = None
    lookup_tokens: int = 0
    penalize_prompt: bool = False


class Sampler:
    """Escolhe um token por vez, com as penalidades e os cortes de ``settings``."""

    def __init__(self, settings: GenerationSettings, prompt: Sequence[int]) -> None:
        self.settings = settings
        self.written: list[int] = list(prompt) if settings.penalize_prompt else []
        self.ignored = len(self.written)
        self.generator = torch.Generator()
        if settings.seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(settings.seed)

    def choose(self, logits: Tensor) -> int:
        """O próximo token, a partir dos logits [V], que não são alterados."""
        scores = self.penalized(logits.float().cpu())
        if self.settings.temperature < GREEDY_BELOW:
            return int(scores.argmax())
        kept, indices = self.candidates(scores)
        picked = torch.multinomial(kept.softmax(dim=-1), 1, generator=self.generator)
        return int(indices[picked])

    def accept(self, token: int) -> None:
        """Conta ``token`` entre os já escritos."""
        self.written.append(token)

    def penalized(self, logits: Tensor) -> Tensor:
        """Os logits [V] com as penalidades de repetição e o que não pode sair."""
        settings, scores = self.settings, logits.clone()
        if settings.repetition_penalty != 1.0 and self.written:
            seen = torch.tensor(sorted(set(self.written)))
            old = scores[seen]
            penalty = settings.repetition_penalty
            scores[seen] = torch.where(old < 0, old * penalty, old / penalty)
        banned = set(settings.banned_ids) | self._repeated_ngrams()
        if len(self.written) - self.ignored < settings.min_new_tokens:
            banned |= settings.stop_ids
        if banned:
            scores[torch.tensor(sorted(banned))] = NEVER
        return scores

    def _repeated_ngrams(self) -> set[int]:
        """Os tokens que completariam uma sequência já escrita."""
        size, written = self.settings.no_repeat_ngram_size, self.written
        if not size or len(written) < size:
            return set()
        ending = written[len(written) - size + 1 :]
        starts = range(len(written) - size + 1)
        return {written[i + size - 1] for i in starts if written[i : i + size - 1] == ending}

    def candidates(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """(logits dos que ficam depois dos cortes, ids deles), do mais provável ao menos."""
        settings = self.settings
        scores = scores / settings.temperature
        size = min(settings.top_k or len(scores), len(scores))
        kept, indices = scores.topk(size) if size < len(scores) else scores.sort(descending=True)
        if settings.top_p < 1:
            p = kept.softmax(dim=-1)
            # os mais prováveis, até que os anteriores a um já somem top_p; o primeiro sempre fica
            inside = p.cumsum(dim=-1) - p < settings.top_p
            inside[0] = True
            kept, indices = kept[inside], indices[inside]
        if settings.min_p > 0:
            p = kept.softmax(dim=-1)
            enough = p >= settings.min_p * p[0]
            kept, indices = kept[enough], indices[enough]
        return kept, indices


class NGramIndex:
    """Onde cada sequência de tokens apareceu pela última vez."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.after: dict[tuple[int, ...], int] = {}  # n-grama -> posição do token depois dele

    def extend(self, tokens: Sequence[int]) -> None:
        """Acrescenta tokens à sequência."""
        for token in tokens:
            for size in LOOKUP_SIZES:  # só então se sabe o que vem depois dos últimos n-gramas
                if len(self.tokens) >= size:
                    self.after[tuple(self.tokens[-size:])] = len(self.tokens)
            self.tokens.append(token)

    def guess(self, count: int) -> list[int]:
        """Até ``count`` tokens que, da última vez, vieram depois dos últimos."""
        for size in LOOKUP_SIZES if count > 0 else ():
            place = self.after.get(tuple(self.tokens[-size:]))
            if place is not None:
                return self.tokens[place : place + count]
        return []


def generate_tokens(
    engine: InferenceEngine,
    state: DecodingState,
    prompt: Sequence[int],
    settings: GenerationSettings,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[int]:
    """Os tokens da resposta a ``prompt``, um a um, até um de ``stop_ids`` (que também sai).

    O que de ``prompt`` já está em ``state`` não é lido de novo. No fim, ou se quem chama parar de
    pedir tokens, ``state`` tem o prompt e a resposta até ali, menos, talvez, o último token.

    Args:
        stopped: consultada entre leituras; quando diz sim, a geração acaba.

    Erros:
        ContextLengthError: o prompt não cabe no contexto.
    """
    logits = _read_prompt(engine, state, prompt, stopped)
    if logits is None:
        return
    sampler, index = Sampler(settings, prompt), NGramIndex()
    if settings.lookup_tokens:
        index.extend(prompt)
    room = min(settings.max_new_tokens, engine.config.n_positions - len(prompt))
    ahead: list[int] = []  # palpites já lidos: logits[i + 1] vem depois de ahead[i]
    rows = logits.unsqueeze(0)
    for written in range(1, room + 1):
        token = sampler.choose(rows[0])
        sampler.accept(token)
        yield token
        if token in settings.stop_ids or written == room or stopped():
            state.truncate(len(state) - len(ahead))
            return
        if ahead and token == ahead[0]:
            ahead, rows = ahead[1:], rows[1:]
            if settings.lookup_tokens:
                index.extend([token])
            continue
        state.truncate(len(state) - len(ahead))
        if settings.lookup_tokens:
            index.extend([token])
        ahead = index.guess(min(settings.lookup_tokens, room - written - 1))
        rows = engine.read(state, [token, *ahead], every_position=True)


def _read_prompt(
    engine: InferenceEngine,
    state: DecodingState,
    prompt: Sequence[int],
    stopped: Callable[[], bool],
) -> Tensor | None:
    """Lê o que falta de ``prompt``, aos pedaços; os logits do fim [V], ou ``None`` se parou."""
    logits = None
    # o último token é sempre lido: é dele que vêm os logits
    state.truncate(min(state.common_prefix(prompt), len(prompt) - 1))
    for start in range(len(state), len(prompt), PREFILL_TOKENS):
        if stopped():
            return None
        logits = engine.read(state, prompt[start : start + PREFILL_TOKENS])
    return logits
