"""Da conversa ao prompt: mensagens, orçamento de tokens e limpeza da resposta."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from src.models.tokenizer import LunaTokenizer
from src.utils.errors import ContextLengthError, UsageError

Message = dict[str, str]
MIN_ANSWER_TOKENS = 16  # menos que isso não é uma resposta


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


def fit_messages(
    system: Message, turns: Sequence[Message], tokenizer: LunaTokenizer, context: int, answer: int
) -> tuple[list[int], list[Message]]:
    """Monta o prompt que deixa lugar para a resposta, tirando turnos inteiros do começo.

    O sistema e a última mensagem ficam sempre. O que sobra começa numa fala do usuário.

    Args:
        context: tokens do contexto do modelo. answer: tokens reservados à resposta.

    Returns:
        (ids do prompt, turnos que couberam).

    Erros:
        ContextLengthError: a última mensagem sozinha não cabe.
    """
    kept = list(turns)
    reserve = min(answer, context // 2)
    while True:
        ids = tokenizer.encode_chat([system, *kept], add_generation_prompt=True)
        if len(ids) + reserve <= context:
            return ids, kept
        if len(kept) == 1:
            if len(ids) + min(MIN_ANSWER_TOKENS, reserve) <= context:
                return ids, kept
            raise ContextLengthError(
                f"Sua mensagem, com as instruções, tem {len(ids)} tokens, e o contexto do modelo é "
                f"de {context}. Encurte a mensagem (ou o --context)."
            )
        kept = _without_first_exchange(kept)


def _without_first_exchange(turns: list[Message]) -> list[Message]:
    """Tira a troca mais antiga: até a próxima fala do usuário, mas nunca a última mensagem."""
    for index in range(1, len(turns)):
        if turns[index]["role"] == "user" or index == len(turns) - 1:
            return turns[index:]
    return turns[-1:]


def printable(text: str) -> str:
    """Tira de ``text`` os caracteres de controle (como os escapes de terminal), menos \\n e \\t."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc")


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
    return printable(re.sub(r"^\s*Luna:\s*", "", answer)).strip()


def _drop_thinking(turn: str, names: dict[str, str]) -> str:
    """O trecho do turno até o fim dele, sem o raciocínio."""
    thinking = re.escape(names["thinking"])
    closing = "|".join(re.escape(token) for token in names.values())
    turn = re.sub(f"{thinking}.*?(?={closing}|$)", "", turn, flags=re.DOTALL)
    ends = [names[n] for n in ("eos", "user", "system", "pad", "proactive")]
    return re.split("|".join(re.escape(token) for token in ends), turn)[0]
