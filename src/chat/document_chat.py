"""``DocumentChat``: a conversa de quem já indexou documentos e ainda não criou um modelo."""

from src.chat.grounding import Consultation
from src.chat.luna_chat import ContextUsage, LunaChat
from src.chat.prompting import Message

NO_MODEL = (
    "Ainda não há um modelo aqui, só documentos: respondo a perguntas citando o que eles dizem."
)


class DocumentChat(LunaChat):
    """O mesmo que ``LunaChat``, sem modelo: toda resposta é uma citação, ou diz que não há.

    Args: como em ``LunaChat``; ``folder`` tem só ``retriever/``.
    """

    def _open(self) -> bool:
        """Não há tokenizador nem modelo a abrir."""
        return True

    def introduction(self) -> list[str]:
        """Como a Luna se apresenta, e como se cria o modelo que falta."""
        return [
            f"Luna, documentos de '{self.model_name}': {NO_MODEL}",
            f"Para criar um modelo que converse: python main.py create --name {self.model_name}",
        ]

    def _consult(self, prompt: str, before: list[Message]) -> Consultation:
        """Sempre uma resposta pronta."""
        asked = [turn["content"] for turn in before if turn["role"] == "user"]
        found = self.grounding.consult(prompt, asked, self.persona.name, always=True)
        if found.fallback is not None:  # rag.answer pede um modelo, que não há
            found = found.fallback
        return found if found.answer is not None else Consultation(NO_MODEL)

    def usage(self) -> ContextUsage:
        """Sem modelo, não há contexto a medir."""
        return ContextUsage(0, 0, 0, 0)
