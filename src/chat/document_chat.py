"""``DocumentChat``: a conversa de quem já indexou documentos e ainda não criou um modelo."""

from typing import Any

from src.chat.grounding import Consultation
from src.chat.luna_chat import ContextUsage, LunaChat
from src.chat.prompting import Message
from src.utils.errors import DataError

NO_MODEL = (
    "Ainda não há um modelo aqui, só documentos: respondo a perguntas citando o que eles dizem."
)
TURNED_OFF = (
    "Ainda não há um modelo aqui, e a consulta aos documentos está desligada (/documentos ligado, "
    "ou rag.answer na configuração)."
)


class DocumentChat(LunaChat):
    """O mesmo que ``LunaChat``, sem modelo: toda resposta é uma citação, ou diz que não há.

    Args: como em ``LunaChat``; ``folder`` tem só ``retriever/``.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.grounding.only_documents = True

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
        """Sempre uma resposta pronta.

        Erros:
            DataError: os documentos não se deixam abrir, e sem eles não há o que responder.
        """
        found = super()._consult(prompt, before)
        if found.correction is not None:
            return found
        if self.grounding.problem:
            raise DataError(self.grounding.problem)
        if found.answer is not None:
            return found
        return Consultation(NO_MODEL if self.grounding.active else TURNED_OFF)

    def usage(self) -> ContextUsage:
        """Sem modelo, não há contexto a medir."""
        return ContextUsage(0, 0, 0, 0)
