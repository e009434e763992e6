"""As avaliações de uma conversa: que resposta se avalia, o que já foi dito dela, o que se desfaz.

Várias avaliações da mesma resposta fazem um registro só: cada uma é gravada com o que as anteriores
disseram e no lugar delas (``replaces``). Retirada a última, volta a valer a anterior.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from src.utils.errors import UsageError
from src.utils.numbers import counted

if TYPE_CHECKING:
    from src.chat.luna_chat import AnswerInfo, LunaChat

Record = dict[str, Any]

HISTORY_TURNS = 6  # falas anteriores que vão com a avaliação
#: O que cada gravação tem de seu; o resto passa de uma avaliação à que toma o lugar dela.
OWN_FIELDS = {"schema", "id", "type", "timestamp", "replaces", "prompt", "response"}
RATED_FIELDS = ("rating", "aspects", "nps", "correction")


@dataclass(frozen=True)
class GivenAnswer:
    """Uma resposta dada nesta conversa, com quem a deu e de onde ela veio."""

    prompt: str
    response: str
    persona: str
    sources: tuple[str, ...]


def cited_sources(last: "AnswerInfo | None") -> list[str]:
    """Os documentos em que a resposta se apoia; numa recusa, nenhum."""
    if last is None or last.declined:
        return []
    return [source.passage.source for source in last.sources]


def find_exchange(
    history: Sequence[dict[str, str]], prompt: str | None = None, response: str | None = None
) -> int | None:
    """Onde, em ``history``, está a última pergunta respondida (a que tiver estes textos)."""
    for index in range(len(history) - 2, -1, -1):
        asked, answered = history[index], history[index + 1]
        if (asked["role"], answered["role"]) != ("user", "assistant"):
            continue
        if prompt in (None, asked["content"]) and response in (None, answered["content"]):
            return index
    return None


def answered_here(chat: "LunaChat", prompt: str, response: str) -> GivenAnswer | None:
    """A última resposta da conversa, se é esta e saiu deste modelo, e não de um arquivo."""
    given = chat.answered
    same = given is not None and (given.prompt, given.response) == (prompt, response)
    return given if same else None


def answer_fields(chat: "LunaChat", prompt: str, response: str) -> Record:
    """O que se sabe de uma resposta ao registrá-la: quem a deu, de onde veio, o que veio antes."""
    given = answered_here(chat, prompt, response)
    if given is None:
        stream = chat.last_stream
        latest = stream is not None and bool(response) and stream.text == response
        sources = cited_sources(chat.last) if latest else []
        given = GivenAnswer(prompt, response, chat.persona.name, tuple(sources))
    place = find_exchange(chat.history, prompt, response)
    before = chat.history[:place][-HISTORY_TURNS:] if place else []
    fields: Record = {"model": chat.model_name, "model_version": chat.model_version}
    fields |= {"persona": given.persona, "sources": list(given.sources)}
    fields["history"] = [dict(turn) for turn in before]
    return {name: value for name, value in fields.items() if value}


class ConversationRatings:
    """As avaliações da conversa em curso.

    O que vale é o que está no arquivo das avaliações, que outro processo pode mudar: daqui só saem
    os ids do que se avaliou. As de uma conversa retomada são reconhecidas pela sessão.
    """

    def __init__(self, chat: "LunaChat") -> None:
        self.chat = chat
        self.restart()

    def restart(self, model: str = "") -> None:
        """Outra conversa, com respostas que ``model`` já deu."""
        self.earlier_model = model
        self.ids: list[str] = []
        self.invited = False

    def active(self, session: str) -> list[Record]:
        """As que valem, da mais antiga à mais nova; as dadas agora, na ordem em que o foram.

        Args:
            session: o id da conversa, se ela é guardada.
        """
        order = {identity: place for place, identity in enumerate(self.ids)}
        found = [
            record
            for record in self.chat.feedback.get_all_feedback()
            if record["id"] in order or (session and record.get("session") == session)
        ]
        return sorted(found, key=lambda record: order.get(record["id"], -1))

    def give(self, session: str, exchange: tuple[str, str], **said: Any) -> Record | None:
        """Registra o que se disse da resposta; devolve o que valia dela até aqui.

        Args:
            exchange: a pergunta e a resposta. said: ``rating``, ``aspects`` (que se juntam aos já
                ditos), ``nps`` ou ``correction``.

        Erros:
            UsageError: um valor que não serve. StorageError: o disco recusou; nada mudou.
        """
        about = self._about(*exchange)
        before = self._before(session, exchange, about)
        kept = {name: value for name, value in (before or {}).items() if name not in OWN_FIELDS}
        if "aspects" in said:
            said["aspects"] = {**kept.get("aspects", {}), **said["aspects"]}
        fields = {**about, **({"session": session} if session else {}), **kept, **said}
        if before is not None:
            if all(before.get(name) == value for name, value in said.items()):
                return before  # já estava dito
            fields["replaces"] = before["id"]
        rating = fields.pop("rating", None)
        self.ids.append(self.chat.add_feedback(*exchange, rating, **fields))
        return before

    def _about(self, prompt: str, response: str) -> Record:
        """O que se sabe da resposta; a versão que deu as de uma conversa retomada, não."""
        about = answer_fields(self.chat, prompt, response)
        resumed = response and not answered_here(self.chat, prompt, response)
        if self.earlier_model and resumed:
            about |= {"model": self.earlier_model, "model_version": None}
        return about

    def _before(self, session: str, exchange: tuple[str, str], about: Record) -> Record | None:
        """O registro que já vale desta resposta: os mesmos textos, no mesmo ponto da conversa."""
        for record in reversed(self.active(session)):
            same = (record["prompt"], record["response"]) == exchange
            if same and record.get("history", []) == about.get("history", []):
                return record
        return None

    def undo(self, session: str) -> tuple[Record, Record | None]:
        """Retira a última; devolve o que saiu e o que volta a valer no lugar.

        Erros:
            UsageError: não há o que desfazer. StorageError: o disco recusou; nada mudou.
        """
        active = self.active(session)
        if not active:
            raise UsageError("Ainda não há avaliação para desfazer nesta conversa.")
        removed = active[-1]
        self.chat.feedback.retract(removed["id"])
        back = {record["id"]: record for record in self.active(session)}
        return removed, back.get(removed.get("replaces", ""))

    def invitation(self) -> str | None:
        """O convite a refinar o modelo, uma vez por conversa, quando há avaliações bastantes."""
        chat = self.chat
        if self.invited or chat.grounding.only_documents or not chat.feedback.needs_update():
            return None
        count = len(chat.feedback.pending(chat.model_name))
        if count < chat.config.feedback.min_new:
            return None
        self.invited = True
        new = counted(count, "avaliação nova", "avaliações novas")
        return f"Já há {new}: python main.py refine --model {shlex.quote(chat.model_name)}"
