"""Da conversa ao prompt: mensagens, orçamento de tokens e limpeza da resposta."""

import math
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from src.chat.terminal_text import clean_text
from src.models.tokenizer import LunaTokenizer
from src.utils.errors import ContextLengthError, UsageError

Message = dict[str, str]
MIN_ANSWER_TOKENS = 16  # menos que isso não é uma resposta
DROP_STEPS = 4  # a conversa que não cabe encurta em quartos do contexto


def normalize_history(history: Iterable[Any] | None) -> list[Message]:
    """O histórico como mensagens.

    Aceita mensagens ``{"role", "content"}`` ou pares ``(usuário, Luna)``.

    Erros:
        UsageError: um item não é de nenhuma das duas formas.
    """
    messages: list[Message] = []
    for index, item in enumerate(history or []):
        if isinstance(item, dict) and {"role", "content"} <= set(item):
            messages.append({"role": str(item["role"]), "content": str(item["content"])})
        elif isinstance(item, (tuple, list)) and len(item) == 2:
            messages.append({"role": "user", "content": str(item[0])})
            messages.append({"role": "assistant", "content": str(item[1])})
        else:
            raise UsageError(
                f"history[{index}]={item!r}: esperado um par (usuário, Luna) ou uma mensagem "
                '{"role": ..., "content": ...}.'
            )
    return messages


class MessageEncoder:
    """Os ids de cada mensagem, lembrando os das últimas: uma conversa longa não é relida inteira.

    Args:
        remembered: quantas mensagens lembrar.
    """

    def __init__(self, tokenizer: LunaTokenizer, remembered: int = 2048) -> None:
        self.tokenizer = tokenizer
        self._cached = lru_cache(maxsize=remembered)(self._encode)

    def __call__(self, message: Message) -> tuple[int, ...]:
        """O token do papel, o conteúdo (nunca controle) e, no assistente, o fim."""
        return self._cached(message["role"], message["content"])

    def _encode(self, role: str, content: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode_chat([{"role": role, "content": content}]))


def fit_messages(
    system: Message,
    turns: Sequence[Message],
    tokenizer: LunaTokenizer,
    context: int,
    answer: int,
    encode: MessageEncoder | None = None,
) -> tuple[list[int], list[Message]]:
    """Monta o prompt que deixa lugar para a resposta, tirando trocas inteiras do começo.

    O sistema e a última mensagem ficam sempre. O que sobra começa numa fala do usuário. Do começo
    sai um pouco mais que o preciso, em passos de ``context / DROP_STEPS`` tokens: assim várias
    perguntas seguidas partem do mesmo ponto, e o que já foi lido se aproveita.

    Args:
        context: tokens do contexto do modelo. answer: tokens reservados à resposta.
        encode: quem codifica as mensagens; serve para lembrar as já codificadas.

    Returns:
        (ids do prompt, turnos que couberam).

    Erros:
        ContextLengthError: a última mensagem sozinha não cabe.
    """
    encode = encode or MessageEncoder(tokenizer)
    reserve = min(answer, context // 2)
    head, tail = encode(system), (*encode(turns[-1]), tokenizer.assistant_id)
    if len(head) + len(tail) + min(MIN_ANSWER_TOKENS, reserve) > context:
        raise ContextLengthError(
            f"Sua mensagem, com as instruções, tem {len(head) + len(tail)} tokens, e o contexto do "
            f"modelo é de {context}. Encurte a mensagem (ou o --context)."
        )
    exchanges = _exchanges(turns[:-1])
    sizes = [sum(len(encode(turn)) for turn in exchange) for exchange in exchanges]
    room = context - reserve - len(head) - len(tail)
    first = _first_kept(sizes, room, max(context // DROP_STEPS, 1))
    kept = [turn for exchange in exchanges[first:] for turn in exchange] + [turns[-1]]
    middle = [token for turn in kept[:-1] for token in encode(turn)]
    return [*head, *middle, *tail], kept


def _exchanges(turns: Sequence[Message]) -> list[list[Message]]:
    """Agrupa os turnos em trocas: cada uma começa numa fala do usuário."""
    groups: list[list[Message]] = []
    for turn in turns:
        if not groups or turn["role"] == "user":
            groups.append([])
        groups[-1].append(turn)
    return groups


def _first_kept(sizes: Sequence[int], room: int, step: int) -> int:
    """O índice da primeira troca que fica, para que as últimas caibam em ``room`` tokens.

    Se o passo deixaria a conversa sem troca alguma, sai só o que precisa sair.
    """
    excess = sum(sizes) - room
    if excess <= 0:
        return 0
    dropped, enough = 0, len(sizes)
    for index, size in enumerate(sizes):
        if dropped >= excess:
            enough = min(enough, index)
        if dropped >= math.ceil(excess / step) * step:
            return index
        dropped += size
    return enough


def visible_answer(text: str, tokenizer: LunaTokenizer) -> str:
    """A resposta limpa dentro de um texto gerado que ainda traz os tokens de controle.

    Vale o último turno do assistente; o raciocínio (``<|thinking|>`` até o próximo token de
    controle) nunca aparece.
    """
    names = tokenizer.control_tokens
    turns = text.split(names["assistant"])
    answer = _drop_thinking(turns[-1], names)
    if not answer.strip() and len(turns) > 1:
        answer = _drop_thinking(turns[-2], names)
    return clean_text(re.sub(r"^\s*Luna:\s*", "", answer)).strip()


def _drop_thinking(turn: str, names: dict[str, str]) -> str:
    """O trecho do turno até o fim dele, sem o raciocínio."""
    thinking = re.escape(names["thinking"])
    closing = "|".join(re.escape(token) for token in names.values())
    turn = re.sub(f"{thinking}.*?(?={closing}|$)", "", turn, flags=re.DOTALL)
    ends = [names[n] for n in ("eos", "user", "system", "pad", "proactive")]
    return re.split("|".join(re.escape(token) for token in ends), turn)[0]
