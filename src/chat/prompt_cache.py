"""O que o modelo já leu, guardado de uma pergunta para a outra."""

from collections.abc import Sequence

from src.models.engine import DecodingState, InferenceEngine


class PromptCache:
    """Algumas memórias de conversa; cada prompt continua a que tiver mais do seu começo.

    O turno de sistema, a persona, o contexto dado e os turnos anteriores são lidos uma vez. Com
    mais de uma memória, ir a outra persona e voltar não relê nada.

    Args:
        engine: o motor. size: quantas memórias, no máximo; a menos usada é reaproveitada.
    """

    def __init__(self, engine: InferenceEngine, size: int = 2) -> None:
        self.engine, self.size = engine, size
        self.states: list[DecodingState] = []  # da menos à mais recente

    def state_for(
        self,
        prompt: Sequence[int],
        head: int,
        emotion: Sequence[float],
        persona: Sequence[float],
    ) -> DecodingState:
        """A memória de onde ler ``prompt``, que passa a ser a mais recente.

        Emoção e persona entram em cada posição: uma memória com outras não serve. A que não tem os
        ``head`` primeiros tokens (o turno de sistema) é de outra persona, e fica para ela.
        """
        conditions = (tuple(emotion), tuple(persona))
        usable = [s for s in self.states if (s.emotion, s.persona) == conditions]
        best = max(usable, key=lambda state: state.common_prefix(prompt), default=None)
        if best is None or best.common_prefix(prompt) < head:
            del self.states[: max(len(self.states) - self.size + 1, 0)]
            best = DecodingState(self.engine, emotion, persona)
        self.states = [state for state in self.states if state is not best] + [best]
        return best

    def clear(self) -> None:
        """Esquece tudo."""
        self.states.clear()
