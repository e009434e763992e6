"""``ProactiveMessenger``: repara quando uma sugestão ajudaria, e a oferece.

Três peças que não se conhecem por dentro:

- **Observador** (o monitor): o chat entrega cada turno com ``observe``, que só o põe numa fila e
  volta na hora; uma thread o lê. Nada que aconteça aqui atrasa nem interrompe a conversa.
- **Estratégia** (``proactive_patterns``): uma por padrão; cada uma diz se a mensagem o mostra, com
  que certeza e em que palavras se baseia.
- **Callback** (a apresentação): quem mostra a sugestão registra uma função. O monitor não sabe se
  ela vai para o terminal, para uma página ou para um teste.

Uma sugestão sai no máximo a cada ``min_turns_between`` turnos da pessoa, só com a certeza
``min_confidence``, e só se a persona oferece ajuda (``Persona.proactivity``). Ela é uma pergunta de
sim ou não, e leva o pedido completo (``follow_up``) que se manda ao modelo se a pessoa aceitar.
"""

import logging
import queue
import random
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from src.chat.proactive_patterns import PATTERN_LABELS, Pattern, detect
from src.chat.proactive_templates import CASUAL, Template, comfort, templates, tone_of
from src.chat.proactive_text import read_message
from src.chat.proactive_topic import Topic, find_topic, user_texts
from src.config.config import Config
from src.config.options import quoted
from src.config.personas import (
    DEFAULT_PERSONA,
    PERSONAS,
    Persona,
    get_persona,
    load_personas,
    plain_name,
)
from src.models.chat_format import CONTROL_TOKENS
from src.models.emotion import read_emotion
from src.utils.errors import UsageError

MARK = CONTROL_TOKENS["proactive"]
JOIN_TIMEOUT_S = 5.0  # quanto se espera, ao parar, por uma função de callback que demora
HISTORY_TURNS = 12  # turnos guardados para achar o assunto

logger = logging.getLogger(__name__)


class Suggestion(str):
    """Uma sugestão: o texto com a marca ``<|proactive|>`` na frente.

    Atributos:
        text: o que a pessoa vê, sem a marca.
        pattern: o padrão que a motivou.
        follow_up: o pedido completo que vai ao modelo se a pessoa aceitar.
        topic: o assunto, ou ``""``.
    """

    text: str
    pattern: str
    follow_up: str
    topic: str

    def __new__(cls, text: str, pattern: str, follow_up: str, topic: str = "") -> "Suggestion":
        suggestion = super().__new__(cls, MARK + text)
        suggestion.text, suggestion.pattern = text, pattern
        suggestion.follow_up, suggestion.topic = follow_up, topic
        return suggestion


Callback = Callable[[Suggestion], object]


class ProactiveMessenger:
    """Sistema de sugestões proativas baseado em padrões de conversação.

    Args:
        config: a configuração; dela vêm a persona, se ``persona`` não é dada, e as suas personas.
        persona: uma ``Persona`` ou o nome de uma; decide o tom, a frequência e a certeza.
        seed: semente da escolha entre os modelos de sugestão, para repetir uma conversa.

    Também serve de gerenciador de contexto: ``with ProactiveMessenger() as messenger: ...``.

    Erros:
        UsageError: a persona não existe.
    """

    def __init__(
        self,
        config: Config | None = None,
        persona: Persona | str | None = None,
        seed: int | None = None,
    ) -> None:
        self.persona = _resolve_persona(config, persona)
        self.tone = tone_of(self.persona)
        self._random = random.Random(seed)
        self._callbacks: list[Callback] = []
        self._lock = threading.RLock()  # guarda tudo o que as threads dividem
        self._monitor: _Monitor | None = None
        self._last_template: Template | None = None
        self.reset()

    # ------------------------------------------------------------------ o monitor

    def start_monitoring(self) -> None:
        """Inicia o monitoramento. Chamar de novo não muda nada; depois de parar, recomeça."""
        with self._lock:
            if self._monitor is None:
                self._monitor = _Monitor(self._handle)

    def stop_monitoring(self, timeout: float = JOIN_TIMEOUT_S) -> None:
        """Para o monitoramento e espera a thread, no máximo ``timeout`` segundos.

        O que ainda estava na fila se perde: para esperar por ele, chame ``flush`` antes.
        """
        with self._lock:
            monitor, self._monitor = self._monitor, None
        if monitor is not None:
            monitor.stop(timeout)

    @property
    def is_monitoring(self) -> bool:
        """Se o monitor está ligado."""
        return self._monitor is not None

    def observe(self, message: str, role: str = "user") -> bool:
        """Entrega um turno ao monitor e volta na hora.

        Sem monitor não faz nada: o chat pode chamá-la sempre, com a proatividade ligada ou não.

        Args:
            message: o que foi dito.
            role: quem disse. Só os turnos da pessoa (``"user"``) geram sugestões; os outros ficam
                guardados como contexto.

        Returns:
            Se o monitor recebeu o turno.
        """
        _check_text(message)
        with self._lock:
            if self._monitor is None:
                return False
            self._monitor.put((role, message))
            return True

    def flush(self, timeout: float | None = JOIN_TIMEOUT_S) -> bool:
        """Espera até que tudo o que foi observado tenha sido tratado; ``None`` espera sempre.

        Returns:
            Se deu tempo. Numa função de callback, que roda na thread do monitor, volta na hora.
        """
        monitor = self._monitor
        return monitor is None or monitor.flush(timeout)

    def reset(self) -> None:
        """Esquece a conversa: turnos, assunto e a última sugestão (para o ``/limpar`` do chat)."""
        with self._lock:
            self._history: deque[dict[str, str]] = deque(maxlen=HISTORY_TURNS)
            self._user_turns = 0
            self._last_turn: int | None = None
            self.last_suggestion: Suggestion | None = None

    def set_persona(self, persona: Persona) -> None:
        """Passa a falar, e a escolher a hora, como ``persona``."""
        with self._lock:
            self.persona, self.tone = persona, tone_of(persona)

    def __enter__(self) -> "ProactiveMessenger":
        self.start_monitoring()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop_monitoring()

    # ------------------------------------------------------------------ quem apresenta

    def register_callback(self, callback: Callback) -> Callback:
        """Registra uma função, chamada com cada ``Suggestion``, na thread do monitor.

        Serve de decorador. Uma função que falha é registrada no log e não atrapalha as outras.
        """
        if not callable(callback):
            raise UsageError(f"callback {quoted(callback)}: esperada uma função.")
        with self._lock:
            if callback not in self._callbacks:
                self._callbacks.append(callback)
        return callback

    def unregister_callback(self, callback: Callback) -> bool:
        """Retira uma função. Devolve se ela estava registrada."""
        with self._lock:
            if callback not in self._callbacks:
                return False
            self._callbacks.remove(callback)
            return True

    def _present(self, suggestion: Suggestion) -> None:
        with self._lock:
            callbacks = list(self._callbacks)
        for callback in callbacks:
            try:
                callback(suggestion)
            except Exception as error:  # de quem apresenta; a conversa não pode parar por isso
                name = getattr(callback, "__qualname__", type(callback).__name__)
                logger.error("A função %s falhou ao receber uma sugestão: %r.", name, error)

    # ------------------------------------------------------------------ a sugestão

    def detect_patterns(self, message: str) -> list[Pattern]:
        """Detecta padrões que podem acionar sugestões.

        Returns:
            Os nomes dos padrões, do mais certo ao menos; vazia, se a mensagem nada pede. Cada um
            é um ``str`` com ``confidence``, ``evidence`` e ``label``.
        """
        _check_text(message)
        return detect(message)

    def generate_suggestion(self, pattern: str, context: Any = None) -> Suggestion:
        """Gera uma sugestão para um padrão; não olha a frequência nem a certeza.

        Args:
            pattern: um dos cinco padrões, pelo nome.
            context: de onde tirar o assunto: ``None``, um texto, uma lista de mensagens, ou um
                dicionário com ``history``, ``message`` ou ``topic``.

        Erros:
            UsageError: o padrão não existe.
        """
        name = plain_name(str(pattern))
        if name not in PATTERN_LABELS:
            raise UsageError(
                f"padrão {quoted(pattern)}: esperado um de {', '.join(PATTERN_LABELS)}."
            )
        topic = find_topic(context)
        texts = user_texts(context)
        emotion = read_emotion(texts[-1] if texts else "").dominant
        with self._lock:
            template = self._choose(templates(name, self.tone, bool(topic)))
            opening = self._opening(comfort(name, self.tone, emotion))
        values = _values(name, topic, self.tone)
        text = opening + template.text.format(**values)
        return Suggestion(text, name, template.request.format(**_values(name, topic)), topic.text)

    def _choose(self, options: tuple[Template, ...]) -> Template:
        """Um modelo ao acaso, nunca o mesmo duas vezes seguidas."""
        fresh = [template for template in options if template != self._last_template]
        self._last_template = self._random.choice(fresh)
        return self._last_template

    def _opening(self, phrases: tuple[str, ...]) -> str:
        return f"{self._random.choice(phrases)} " if phrases else ""

    def _handle(self, turn: tuple[str, str]) -> None:
        """Trata um turno, na thread do monitor: guarda, decide e, se for o caso, apresenta."""
        role, message = turn
        with self._lock:
            self._history.append({"role": role, "content": message})
            if role != "user":
                return
            self._user_turns += 1
            history, allowed = list(self._history), self._is_due()
        pattern = self._pattern_of(message) if allowed else None
        if pattern is None:
            return
        suggestion = self.generate_suggestion(pattern, history)
        with self._lock:
            self._last_turn, self.last_suggestion = self._user_turns, suggestion
        self._present(suggestion)

    def _is_due(self) -> bool:
        """Se a persona oferece ajuda e já passaram turnos bastantes desde a última vez."""
        rule = self.persona.proactivity
        if not rule.enabled:
            return False
        return self._last_turn is None or (
            self._user_turns - self._last_turn >= rule.min_turns_between
        )

    def _pattern_of(self, message: str) -> Pattern | None:
        found = detect(message)
        minimum = self.persona.proactivity.min_confidence
        return found[0] if found and found[0].confidence >= minimum else None

    def accepted_request(self, message: str) -> str | None:
        """O pedido completo, se ``message`` só aceita a última sugestão; senão, ``None``.

        Uma sugestão só se aceita no turno seguinte a ela.
        """
        with self._lock:
            suggestion = self.last_suggestion
            if suggestion is None or self._last_turn != self._user_turns:
                return None
        return suggestion.follow_up if is_acceptance(message) else None


class _Monitor:
    """Uma fila e a thread que a esvazia; parado, não volta: recomeçar é fazer outro."""

    def __init__(self, handle: Callable[[tuple[str, str]], None]) -> None:
        self._handle = handle
        self._queue: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
        self._pending = 0
        self._idle = threading.Condition()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="luna-proativa", daemon=True)
        self._thread.start()

    def put(self, turn: tuple[str, str]) -> None:
        """Põe um turno na fila."""
        with self._idle:
            self._pending += 1
        self._queue.put(turn)

    def stop(self, timeout: float) -> None:
        """Para depois do turno em curso e espera por isso, no máximo ``timeout`` segundos."""
        self._stopped.set()
        self._queue.put(None)
        with self._idle:
            self._idle.notify_all()  # quem espera em ``flush`` não espera mais
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def flush(self, timeout: float | None) -> bool:
        """Espera a fila esvaziar; devolve se deu tempo."""
        if threading.current_thread() is self._thread:
            return False
        with self._idle:
            self._idle.wait_for(lambda: self._pending == 0 or self._stopped.is_set(), timeout)
            return self._pending == 0

    def _run(self) -> None:
        while (turn := self._queue.get()) is not None and not self._stopped.is_set():
            try:
                self._handle(turn)
            except Exception:  # um defeito nosso não pode derrubar a conversa em silêncio
                logger.exception("O monitor da proatividade falhou ao tratar um turno.")
            with self._idle:
                self._pending -= 1
                self._idle.notify_all()
        with self._idle:
            self._idle.notify_all()


# --- Apoio -------------------------------------------------------------------------------------

_YES = frozenset("""
    sim s ss quero claro aceito aceita manda mande bora vamos vambora pode podemos beleza ok
    okay isso
    fechado combinado demorou partiu uhum aham certeza gostaria adoraria topo vai prossiga continue
    segue siga desejo agradeceria positivo exato perfeito otimo show yes sip simm dale simbora
    """.split())
#: Acompanham um "sim" sem mudar o que ele diz.
_WITH_YES = frozenset("""
    por favor obrigado valeu entao ai eu muito voce ja agora mesmo luna que com eh o a me ser
    ver bala
    seria bom legal ta la em frente sim senhor senhora gentileza explica explicar ajuda ajudar
    mostra
    mostrar mandar comecar fazer faz faca isso amigo amiga cara mano ne uai ue opa oi ah RISO
    EMALEGRE
    """.split())
MAX_ACCEPTANCE_WORDS = 6


def is_acceptance(message: str) -> bool:
    """Se a mensagem só aceita o que se ofereceu ("sim", "quero", "pode ser", "bora, por favor").

    Uma pergunta, uma negação ou qualquer palavra a mais é outra coisa: "sim, mas e o preço?".
    """
    words = [word for word in read_message(message).words if word[0].isalpha() or word == "?"]
    if not 0 < len(words) <= MAX_ACCEPTANCE_WORDS:
        return False
    return any(word in _YES for word in words) and all(
        word in _YES or word in _WITH_YES for word in words
    )


def _resolve_persona(config: Config | None, persona: Persona | str | None) -> Persona:
    """A persona dada, a do nome dado, a da configuração ou a que se usa se nada for dito."""
    if isinstance(persona, Persona):
        return persona
    known = load_personas(config.paths.personas_file) if config else PERSONAS
    return get_persona(persona or (config.chat.persona if config else DEFAULT_PERSONA), known)


def _check_text(message: str) -> None:
    if not isinstance(message, str):
        raise UsageError(f"mensagem do tipo {type(message).__name__}: esperado um texto (str).")


def _values(pattern: str, topic: Topic, tone: str = "") -> dict[str, str]:
    """O que entra nos modelos: o assunto como objeto ("tema") e depois de "com" ou "para"."""
    if not topic.is_action:
        return {"tema": topic.text, "com": f"com {topic.text}"}
    to = "pra" if tone == CASUAL else "para"
    is_choice = pattern in ("indecisao", "informacao")
    subject = topic.text if is_choice else f"como {topic.text}"
    return {"tema": subject, "com": f"{to} {topic.text}"}
