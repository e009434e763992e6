"""O formato de conversa do LunaGPT: os sete tokens de controle e como os turnos se sucedem.

Forma de uma conversa::

    <|system|>instruções<|user|>pergunta<|assistant|>resposta<|endoftext|><|user|>...

Cada turno é o token do papel seguido do conteúdo; o do assistente é fechado por ``<|endoftext|>``.
Só dados e funções puras: quem transforma isto em ids é ``src.models.tokenizer``.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from src.config.personas import PERSONAS, Personas
from src.utils.errors import UsageError

CONTROL_TOKENS: dict[str, str] = {
    "user": "<|user|>",
    "assistant": "<|assistant|>",
    "system": "<|system|>",
    "thinking": "<|thinking|>",
    "proactive": "<|proactive|>",
    "eos": "<|endoftext|>",
    "pad": "<|pad|>",
}
"""Nome curto -> texto de cada token de controle, na ordem em que entram no vocabulário."""

ROLES = ("user", "assistant", "system")
"""Os papéis que uma mensagem pode ter."""

Message = Mapping[str, str]
Messages = list[dict[str, str]]


def check_messages(messages: Sequence[Message]) -> None:
    """Confere a lista de mensagens antes de codificá-la.

    Erros:
        UsageError: não é lista, ou uma mensagem tem papel desconhecido, chave ausente ou conteúdo
            que não é texto; a mensagem de erro diz o índice.
    """
    if isinstance(messages, (str, Mapping)) or not isinstance(messages, Sequence):
        raise UsageError(
            f"mensagens do tipo {type(messages).__name__}: esperada uma lista de "
            '{"role": ..., "content": ...}.'
        )
    for index, message in enumerate(messages):
        _check_message(index, message)


def _check_message(index: int, message: Any) -> None:
    if not isinstance(message, Mapping):
        raise UsageError(
            f'mensagem {index} ({message!r}): esperado um dicionário com "role" e "content".'
        )
    missing = [key for key in ("role", "content") if key not in message]
    if missing:
        raise UsageError(f'mensagem {index}: falta a chave "{missing[0]}".')
    if message["role"] not in ROLES:
        raise UsageError(
            f"mensagem {index}: papel {message['role']!r} desconhecido; "
            f"esperado um de {', '.join(ROLES)}."
        )
    if not isinstance(message["content"], str):
        raise UsageError(
            f"mensagem {index}: conteúdo do tipo {type(message['content']).__name__}; "
            "esperado um texto (str)."
        )


def chat_template(tokens: Mapping[str, str]) -> str:
    """O modelo jinja da conversa, para ``apply_chat_template`` da biblioteca transformers.

    Dá a mesma sequência que ``LunaTokenizer.encode_chat`` para todo conteúdo que não contenha o
    texto de um token de controle. O que contém recebe um espaço depois de ``<|``, porque ali a
    conversa vira uma cadeia só, na qual o texto do usuário e o controle seriam iguais. O bloco
    ``generation`` marca o que o assistente escreve (``return_assistant_tokens_mask``).

    Args:
        tokens: nome curto -> texto, como ``CONTROL_TOKENS``.
    """
    harmless = "".join(
        f" | replace({_quoted(token)}, {_quoted(token[:2] + ' ' + token[2:])})"
        for token in tokens.values()
    )
    return (
        "{%- for message in messages -%}"
        "{%- set content = message['content']" + harmless + " -%}"
        "{%- if message['role'] == 'system' -%}"
        "{{- " + _quoted(tokens["system"]) + " + content -}}"
        "{%- elif message['role'] == 'user' -%}"
        "{{- " + _quoted(tokens["user"]) + " + content -}}"
        "{%- elif message['role'] == 'assistant' -%}"
        "{{- " + _quoted(tokens["assistant"]) + " -}}"
        "{%- generation -%}{{- content + " + _quoted(tokens["eos"]) + " -}}{%- endgeneration -%}"
        "{%- else -%}"
        "{{- raise_exception('papel desconhecido: ' + message['role']) -}}"
        "{%- endif -%}"
        "{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{- " + _quoted(tokens["assistant"]) + " -}}{%- endif -%}"
    )


def _quoted(text: str) -> str:
    """``text`` como literal de cadeia do jinja."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def with_persona(
    messages: Messages, persona: str | None, personas: Personas = PERSONAS
) -> Messages:
    """Acrescenta o turno de sistema da persona, se a conversa não traz um.

    Sem persona indicada, o resumo criptográfico da própria conversa escolhe entre as prontas e
    nenhuma: assim o modelo vê todas, e a mesma conversa dá sempre a mesma escolha. As da pessoa
    (``personas``) não entram no sorteio, nem quando mudam uma pronta: valem só onde declaradas.
    """
    if messages and messages[0]["role"] == "system":
        return messages
    if persona is None:
        digest = hashlib.sha256("\n".join(m["content"] for m in messages).encode()).digest()
        options: list[str | None] = [None, *sorted(PERSONAS)]
        persona, personas = options[digest[0] % len(options)], PERSONAS
    if persona is None or persona not in personas:
        return messages
    return [{"role": "system", "content": personas[persona].system_prompt}, *messages]
