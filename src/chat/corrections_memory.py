"""A correção que já vale na conversa: a resposta boa, dada antes de qualquer treino.

Quem corrige a resposta a uma pergunta e a faz de novo, com as mesmas palavras ou com outras, recebe
a correção. O arquivo das avaliações é relido quando muda, também por outro processo. Uma mensagem
que só se entende com as anteriores ("e a do Chile?") só vale como a mesma depois da mesma pergunta.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.chat.message_kind import depends_on_before, with_subject
from src.chat.ratings import HISTORY_TURNS
from src.config.config import Config
from src.utils.errors import LunaError

if TYPE_CHECKING:
    from src.models.feedback_system import FeedbackSystem
    from src.retrieval.corrections import Correction, CorrectionMemory

logger = logging.getLogger(__name__)

ID_CHARS = 8  # do id, na dica
_GREETING = re.compile(r"^\s*e a[ií]\b[\s,!?]*", re.IGNORECASE)


class ChatCorrections:
    """As correções que valem para um modelo.

    Args:
        feedback: abre o arquivo das avaliações; só é chamada se ele existe.
    """

    def __init__(
        self, config: Config, model_name: str, feedback: Callable[[], FeedbackSystem]
    ) -> None:
        self.config, self.model_name, self._feedback = config, model_name, feedback
        self._seen: object = None  # como estavam os arquivos na última leitura
        self._memory: CorrectionMemory | None = None
        self._dependent: dict[str, Correction] = {}

    def find(self, message: str, before: Sequence[Mapping[str, str]] = ()) -> Correction | None:
        """A correção da resposta a ``message``; ``None`` se não há, ou se a memória está desligada.

        Args:
            before: os turnos anteriores da conversa.
        """
        if not self.config.feedback.memory or not self._refresh():
            return None
        if depends_on_before(_without_greeting(message)):
            return self._dependent.get(_in_context(message, before))
        found = self._memory.match(message) if self._memory is not None else None
        return found.correction if found is not None else None

    def _refresh(self) -> bool:
        """Relê as correções se os arquivos mudaram; devolve se há alguma."""
        now = _state(Path(self.config.feedback.path))
        if now != self._seen:
            self._seen, self._memory, self._dependent = now, None, {}
            if any(now):
                self._load()
        return self._memory is not None

    def _load(self) -> None:
        try:
            records = self._feedback().corrections(self.model_name)
        except LunaError as error:
            logger.warning("A conversa segue sem as correções: %s", error)
            return
        records = [record for record in records if (record.get("prompt") or "").strip()]
        if not records:
            return
        from src.retrieval.corrections import Correction, CorrectionMemory

        alone = []
        for record in records:
            if depends_on_before(_without_greeting(record["prompt"])):
                key = _in_context(record["prompt"], record.get("history") or ())
                self._dependent[key] = Correction.from_record(record)
            else:
                alone.append(Correction.from_record(record))
        self._memory = CorrectionMemory(alone)


def _state(path: Path) -> tuple[Any, Any]:
    """O tamanho e a data do arquivo das avaliações e do arquivo-morto dele."""

    def one(target: Path) -> tuple[int, int, int] | None:
        try:
            found = os.stat(target)
        except OSError:  # não existe ainda, ou não se deixa ver: não há o que ler
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    return one(path), one(path.with_suffix(".archive.jsonl"))


def _without_greeting(message: str) -> str:
    """Sem o "e aí" do começo, que não continua nada."""
    return _GREETING.sub("", message)


def _in_context(message: str, before: Sequence[Mapping[str, str]]) -> str:
    """A mensagem e a pergunta de que ela depende, na forma em que se comparam."""
    from src.retrieval.question_form import plain_words

    plain = plain_words(message)
    recent = [turn for turn in before if turn["role"] != "system"][-HISTORY_TURNS:]
    asked = [turn["content"] for turn in recent if turn["role"] == "user"]
    asked = [text for text in asked if plain_words(text) != plain]
    return plain_words(with_subject(message, asked))


def correction_hint(correction: Correction | None) -> str:
    """De onde veio uma resposta corrigida, e como se retira a correção."""
    if correction is None:
        return ""
    day = re.match(r"\d{4}-(\d\d)-(\d\d)", correction.timestamp)
    when = f" em {day[2]}/{day[1]}" if day else ""
    undo = f"python main.py feedback undo {correction.id[:ID_CHARS]}"
    return f"(resposta corrigida por você{when}; {undo} a retira)"
