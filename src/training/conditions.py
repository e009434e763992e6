"""O que o modelo recebe além dos tokens: o vetor de emoção e o de persona de cada sequência.

Na geração um vetor vale para a sequência toda: a emoção é a da última fala da pessoa, já lida
inteira quando a resposta começa, e a persona é a da conversa. O treino repete isso: cada exemplo
tem um vetor só. Onde a emoção muda no meio de uma conversa, as respostas vão para exemplos
diferentes, cada um com a conversa até ali; aplicar a última emoção também às respostas anteriores
lhes mostraria o futuro, e aplicar a primeira às últimas não é o que a geração faz.
"""

from collections.abc import Sequence
from typing import NamedTuple

from src.config.emotions import EMOTION_DIM
from src.config.model_config import ModelConfig
from src.config.personas import PERSONA_DIM, PERSONAS, Personas
from src.models.chat_format import Messages
from src.models.emotion import read_emotion

Vector = tuple[float, ...]
NO_EMOTION: Vector = (0.0,) * EMOTION_DIM
NO_PERSONA: Vector = (0.0,) * PERSONA_DIM


class Conditions(NamedTuple):
    """Quais vetores um modelo usa de fato."""

    with_emotion: bool
    with_persona: bool


def conditions_of(config: ModelConfig) -> Conditions:
    """Os vetores que um modelo com ``config`` usa: emoção no MoE, persona na HyperNetwork."""
    return Conditions(
        with_emotion=config.emotional_routing and bool(config.active_moe_layers),
        with_persona=bool(config.active_hyper_layers),
    )


def emotion_vector(turns: Messages) -> Vector:
    """A emoção da última fala do usuário em ``turns``: [EMOTION_DIM]; zeros se não há fala."""
    said = next((m["content"] for m in reversed(turns) if m["role"] == "user"), None)
    return NO_EMOTION if said is None else tuple(read_emotion(said).vector)


def persona_vector(messages: Messages, declared: str | None, personas: Personas) -> Vector:
    """A persona de uma conversa já com o turno de sistema: [PERSONA_DIM]; zeros se não se sabe.

    Vale a declarada, se existe; senão, aquela de que é o turno de sistema (as conversas sem persona
    recebem uma das prontas: ``chat_format.with_persona``).
    """
    if declared is not None and declared in personas:
        return personas[declared].vector
    system = messages[0]["content"] if messages and messages[0]["role"] == "system" else None
    known = [*PERSONAS.values(), *personas.values()]
    return next((p.vector for p in known if p.system_prompt == system), NO_PERSONA)


class EmotionRun(NamedTuple):
    """As trocas ``first`` a ``end`` (sem ela), seguidas e de mesma emoção."""

    first: int
    end: int
    emotion: Vector


def emotion_runs(exchanges: Sequence[Messages]) -> list[EmotionRun]:
    """Os trechos de mesma emoção de uma conversa dada em trocas, na ordem."""
    runs: list[EmotionRun] = []
    for index, exchange in enumerate(exchanges):
        emotion = emotion_vector(exchange)
        if runs and runs[-1].emotion == emotion:
            runs[-1] = runs[-1]._replace(end=index + 1)
        else:
            runs.append(EmotionRun(index, index + 1, emotion))
    return runs
