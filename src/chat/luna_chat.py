"""``LunaChat``: a conversa com um modelo treinado."""

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.chat.answer import AnswerStream, ReadyAnswer, TextSink, TokenProducer
from src.chat.corrections_memory import ChatCorrections
from src.chat.grounding import (
    CONTEXT_SHARE,
    Consultation,
    Grounding,
    Source,
    is_small,
    with_documents,
)
from src.chat.prompt_cache import PromptCache
from src.chat.prompting import (
    MIN_ANSWER_TOKENS,
    Message,
    MessageEncoder,
    fit_messages,
    normalize_history,
    visible_answer,
)
from src.chat.ratings import GivenAnswer, answer_fields, cited_sources
from src.config.config import MODES, Config
from src.config.emotions import EMOTION_DIM
from src.config.options import quoted, with_floats
from src.config.personas import PERSONA_DIM, Persona, Sampling, get_persona, load_personas
from src.models.decoding import GenerationSettings, generate_tokens
from src.models.emotion import EmotionReading, read_emotion
from src.models.engine import DecodingState, InferenceEngine
from src.models.model_files import read_save_id
from src.models.tokenizer import LunaTokenizer
from src.utils.errors import ContextLengthError, UsageError
from src.utils.hardware_utils import resolve_device
from src.utils.model_store import ModelStore

if TYPE_CHECKING:
    from src.models.feedback_system import FeedbackSystem
    from src.models.luna_model import LunaModel
    from src.retrieval.corrections import Correction

#: Como se sorteia num modo, quando a configuração não diz.
MODE_SAMPLING: dict[str, dict[str, Any]] = {
    "low_latency": {},
    "high_precision": {"temperature": 0.0},
}
LOOKUP_TOKENS = 4  # adiantados por prompt lookup, em low_latency
RETRY_TEMPERATURE = 0.7  # sem sorteio, a mesma pergunta daria sempre a mesma resposta
NO_EMOTION, NO_PERSONA = (0.0,) * EMOTION_DIM, (0.0,) * PERSONA_DIM


@dataclass
class AnswerInfo:
    """Como foi a última resposta.

    Atributos:
        tokens: os gerados, o do fim incluído. prompt_tokens: os do prompt; reused_tokens: destes,
            os que já estavam lidos. seconds: a resposta toda; first_seconds: até o primeiro token.
        dropped_turns: turnos antigos que não couberam no contexto. emotion: a da pergunta.
        sources: os trechos de documentos em que ela se apoia. quoted: ela é uma citação deles.
        declined: os documentos não respondem, e ela o diz; ``sources`` traz o trecho mais próximo.
        correction: a resposta é esta correção, que alguém já fez.
    """

    prompt_tokens: int
    reused_tokens: int
    dropped_turns: int
    emotion: EmotionReading
    tokens: int = 0
    seconds: float = 0.0
    first_seconds: float = 0.0
    sources: tuple[Source, ...] = ()
    quoted: bool = False
    declined: bool = False
    correction: "Correction | None" = None

    @property
    def corrected(self) -> bool:
        """Se a resposta é uma correção que alguém já fez."""
        return self.correction is not None


@dataclass(frozen=True)
class ContextUsage:
    """Quantos tokens do contexto cada parte ocupa na próxima pergunta."""

    system: int
    history: int
    dropped_turns: int
    total: int

    @property
    def free(self) -> int:
        """O que sobra para a próxima pergunta e a resposta."""
        return max(self.total - self.system - self.history, 0)


class LunaChat:
    """Conversa com um modelo: histórico, persona e geração.

    Args:
        model_name: nome de um modelo criado.
        config: a configuração do sistema.
        persona: ``casual``, ``tecnico``, ``formal`` ou uma sua (``paths.personas_file``).
        device: ``auto``, ``cpu``, ``cuda`` ou ``mps``.
        mode: ``low_latency`` guarda o que já leu entre perguntas, adianta tokens por prompt lookup
            e gera enquanto o terminal escreve; ``high_precision`` relê tudo a cada pergunta, sem
            atalho algum, e sorteia com mais cautela. ``None``: o da configuração.
        folder: a pasta do modelo, quando ele não está na de modelos.

    Atributos:
        history: os turnos da conversa em curso. context: texto que o modelo lê antes dela.
        last: como foi a última resposta (``AnswerInfo``). grounding: os documentos do modelo,
            se ele os tem (``retriever/``). corrections: as respostas que alguém já corrigiu, que
            valem antes deles. answered: a última resposta da conversa e quem a deu.
        model_version: a gravação do modelo que está aberta (o ``save_id`` dela).

    Erros:
        ModelNotFoundError, ModelFormatError: o modelo não existe ou está danificado.
        UsageError: persona, dispositivo ou modo que não existe.
    """

    def __init__(
        self,
        model_name: str,
        config: Config | None = None,
        persona: str = "casual",
        device: str = "auto",
        mode: str | None = None,
        folder: Path | None = None,
    ) -> None:
        self.config = config or Config()
        self.mode = mode or self.config.chat.mode
        if self.mode not in MODES:
            raise UsageError(f"mode={mode!r}: esperado um de {', '.join(MODES)}.")
        self.model_name = model_name
        self.personas = load_personas(self.config.paths.personas_file)
        self.persona: Persona = get_persona(persona, self.personas)
        self.device = resolve_device(device)
        if folder is None:
            folder = ModelStore(self.config.paths.models_dir).require(model_name)
        self.folder = folder
        self.context = ""
        self.history: list[Message] = []
        self.last: AnswerInfo | None = None
        self.last_stream: AnswerStream | ReadyAnswer | None = None
        self._lock = threading.RLock()
        self._retries = 0
        self._model: LunaModel | None = None
        self.answered: GivenAnswer | None = None
        self.model_version = ""
        self._feedback: FeedbackSystem | None = None
        self.corrections = ChatCorrections(self.config, model_name, lambda: self.feedback)
        self.grounding = Grounding(self.config, folder, self._open())

    def _open(self) -> bool:
        """Abre o tokenizador e o modelo; devolve se ele é menor que o tamanho ``base``."""
        self.tokenizer = LunaTokenizer(self.config).load(self.folder / "tokenizer")
        self.engine = InferenceEngine.from_folder(self.folder, self.device)
        self.model_version = read_save_id(self.folder) or ""
        self._encode = MessageEncoder(self.tokenizer)
        self._cache = PromptCache(self.engine)
        return is_small(self.engine.config.n_embd, self.engine.config.n_layer)

    @property
    def model(self) -> "LunaModel":
        """O mesmo modelo como ``LunaModel``, aberto no primeiro uso (a conversa não precisa)."""
        if self._model is None:
            from src.models.luna_model import LunaModel

            self._model = LunaModel.from_pretrained(self.folder).to(self.device).eval()
        return self._model

    # ------------------------------------------------------------------ uma resposta

    def generate_response(
        self,
        prompt: str,
        history: Iterable[Any] | None = None,
        on_text: TextSink | None = None,
    ) -> str:
        """Responde a ``prompt``.

        Args:
            prompt: a mensagem do usuário; nunca vira token de controle.
            history: turnos anteriores: mensagens ou pares (usuário, Luna).
            on_text: chamada com cada pedaço de texto assim que ele fica pronto.

        Returns:
            A resposta, sem tokens de controle.

        Erros:
            UsageError: mensagem vazia. ContextLengthError: a mensagem, com a persona e o contexto
            dado, não cabe no contexto do modelo; o erro diz o que encurtar.
        """
        if not prompt.strip():
            raise UsageError("A mensagem está vazia: escreva uma pergunta ou um pedido.")
        before = normalize_history(history)
        self.last = None  # a anterior não vale para esta, nem se ela for interrompida
        consulted = self._consult(prompt, before)
        text, sources = self._with_documents(prompt, consulted)
        if consulted.in_context and not sources:
            assert consulted.fallback is not None
            consulted = consulted.fallback
        if consulted.answer is not None:
            return self._ready(prompt, consulted, on_text)
        turns = [*before, {"role": "user", "content": text}]
        ids, kept = self._prompt(turns)
        emotion = read_emotion(prompt)
        self.last = AnswerInfo(len(ids), 0, len(turns) - len(kept), emotion, sources=sources)
        stream = AnswerStream(
            self.tokenizer, on_text, self.config.chat.stop or (), consulted.prefix
        )
        self.last_stream = stream
        with self._lock:  # a memória do que já foi lido é uma só
            self._generate(ids, stream, emotion)
        return stream.text

    def _consult(self, prompt: str, before: list[Message]) -> Consultation:
        """A correção já feita, ou o que os documentos dizem; ``high_precision`` sempre os usa."""
        correction = self.corrections.find(prompt, before)
        if correction is not None:
            return Consultation(correction.text, correction=correction)
        asked = [turn["content"] for turn in before if turn["role"] == "user"]
        always = self.grounding.only_documents or self.mode == "high_precision"
        return self.grounding.consult(prompt, asked, self.persona.name, always)

    def _with_documents(
        self, prompt: str, consulted: Consultation
    ) -> tuple[str, tuple[Source, ...]]:
        """A mensagem que o modelo lê, com os trechos que couberem antes dela.

        Vão na mensagem, e não no turno de sistema: o que já foi lido da conversa continua valendo.
        """
        if not consulted.in_context:
            return prompt, ()
        positions = self.engine.config.n_positions
        taken = len(self._encode(self._system_message())) + len(self.tokenizer.encode(prompt)) + 3
        reserve = min(self.config.chat.max_new_tokens, positions // 2)
        room = min(int(positions * CONTEXT_SHARE), positions - reserve - taken)
        return with_documents(
            prompt, consulted.sources, room, lambda text: len(self.tokenizer.encode(text))
        )

    def _ready(self, prompt: str, consulted: Consultation, on_text: TextSink | None) -> str:
        """Entrega uma resposta que não é gerada."""
        assert consulted.answer is not None
        self.last = AnswerInfo(
            0,
            0,
            0,
            read_emotion(prompt),
            sources=consulted.sources,
            quoted=consulted.quoted,
            declined=consulted.declined,
            correction=consulted.correction,
        )
        self.last_stream = ReadyAnswer(consulted.answer, on_text)
        return self.last_stream.text

    def _generate(self, ids: list[int], stream: AnswerStream, emotion: EmotionReading) -> None:
        """Gera a resposta ao prompt ``ids`` e a entrega a ``stream``."""
        assert self.last is not None
        started = time.perf_counter()
        state = self._state_for(ids, emotion)
        self.last.reused_tokens = min(state.common_prefix(ids), len(ids) - 1)
        try:
            for token in self._tokens(ids, state):
                if not self.last.tokens:
                    self.last.first_seconds = time.perf_counter() - started
                self.last.tokens += 1
                stream.put(token)
                if stream.finished:
                    break
        finally:
            stream.end()
            self.last.seconds = time.perf_counter() - started

    def _state_for(self, ids: list[int], emotion: EmotionReading) -> DecodingState:
        """A memória em que se lê o prompt: nova, ou a que já tem o começo dele."""
        shape = self.engine.config
        felt = emotion.vector if shape.with_emotion else NO_EMOTION
        persona = self.persona.vector if shape.with_persona else NO_PERSONA
        if self.mode == "high_precision":
            return DecodingState(self.engine, felt, persona)
        head = len(self._encode(self._system_message()))
        return self._cache.state_for(ids, head, felt, persona)

    def _tokens(self, ids: list[int], state: DecodingState) -> Iterator[int]:
        settings = self.generation_settings()
        if self.mode == "high_precision":
            yield from generate_tokens(self.engine, state, ids, settings)
            return
        yield from TokenProducer(
            lambda stopped: generate_tokens(self.engine, state, ids, settings, stopped)
        )

    def sampling(self) -> Sampling:
        """Como se sorteia: o que a configuração disser; no resto, o modo; no resto, a persona."""
        chat = self.config.chat
        chosen = {item.name: getattr(chat, item.name) for item in fields(Sampling)}
        said = {name: value for name, value in chosen.items() if value is not None}
        values = replace(self.persona.sampling, **(MODE_SAMPLING[self.mode] | said))
        if self._retries and values.temperature <= 0:
            values = replace(values, temperature=RETRY_TEMPERATURE)
        return with_floats(values)

    def generation_settings(self) -> GenerationSettings:
        """Como a próxima resposta será gerada, com a configuração, o modo e a persona de agora."""
        chat, tokens = self.config.chat, self.tokenizer
        sampling = {item.name: getattr(self.sampling(), item.name) for item in fields(Sampling)}
        return GenerationSettings(
            max_new_tokens=chat.max_new_tokens,
            min_new_tokens=min(chat.min_new_tokens, chat.max_new_tokens),
            stop_ids=frozenset((tokens.eos_id, tokens.user_id, tokens.system_id)),
            banned_ids=frozenset((tokens.pad_id, tokens.proactive_id)),
            seed=None if chat.seed is None else chat.seed + self._retries,
            lookup_tokens=LOOKUP_TOKENS if self.mode == "low_latency" else 0,
            **sampling,
        )

    def extract_response(self, generated_text: str) -> str:
        """A resposta limpa dentro de um texto gerado com tokens de controle."""
        return visible_answer(generated_text, self.tokenizer)

    # ------------------------------------------------------------------ o prompt

    def _prompt(self, turns: list[Message]) -> tuple[list[int], list[Message]]:
        """(ids do prompt, turnos que couberam nele)."""
        positions, answer = self.engine.config.n_positions, self.config.chat.max_new_tokens
        system = self._system_message()
        try:
            return fit_messages(system, turns, self.tokenizer, positions, answer, self._encode)
        except ContextLengthError as error:
            raise ContextLengthError(self._no_room(turns[-1]["content"])) from error

    def _no_room(self, message: str) -> str:
        """Por que o prompt não cabe: os tokens de cada parte e qual delas encurtar."""
        texts = (self.persona.system_prompt, self.context.strip(), message)
        persona, given, asked = (len(self.tokenizer.encode(text)) for text in texts)
        positions, name = self.engine.config.n_positions, quoted(self.persona.name)
        if asked >= max(persona, given) and persona + given + MIN_ANSWER_TOKENS < positions:
            remedy = "Encurte a mensagem."
        elif given > persona:
            remedy = "Encurte o contexto dado (--context ou /contexto)."
        else:
            file = self.config.paths.personas_file
            remedy = f"Encurte o system_prompt dela (em '{file}') ou escolha outra com --persona."
        context = f"o contexto dado (--context), {given}; " if given else ""
        return (
            f"Falta lugar para a resposta: a persona {name} tem {persona} tokens; {context}"
            f"a mensagem, {asked}; e o contexto do modelo é de {positions} tokens. {remedy}"
        )

    def _system_message(self) -> Message:
        content = self.persona.system_prompt
        if self.context.strip():
            content += f"\n\nContexto: {self.context.strip()}"
        return {"role": "system", "content": content}

    def usage(self) -> ContextUsage:
        """Quanto do contexto a conversa em curso ocupa."""
        system = len(self._encode(self._system_message()))
        total = self.engine.config.n_positions
        try:
            probe = [*self.history, {"role": "user", "content": " "}]
            ids, kept = self._prompt(probe)
        except ContextLengthError:
            return ContextUsage(system, 0, len(self.history), total)
        around = system + len(self._encode(probe[-1])) + 1  # e o token do assistente
        return ContextUsage(system, len(ids) - around, len(probe) - len(kept), total)

    # ------------------------------------------------------------------ as avaliações

    @property
    def feedback(self) -> "FeedbackSystem":
        """Onde ficam as avaliações (``config.feedback.path``), aberto no primeiro uso."""
        if self._feedback is None:
            from src.models.feedback_system import FeedbackSystem

            self._feedback = FeedbackSystem(self.config)
        return self._feedback

    def add_feedback(self, prompt: str, response: str, rating: int | None, **extra: Any) -> str:
        """Registra uma avaliação, com o modelo, a persona, as fontes e os turnos anteriores.

        Args:
            rating: de 1 a 5; ``None`` se há aspectos, NPS ou correção.
            extra: o que mais ``FeedbackSystem.add_feedback`` aceita; vale mais que o que se supõe.

        Returns:
            O id da avaliação.

        Erros:
            UsageError: um valor que não serve. StorageError: o disco recusou.
        """
        known = answer_fields(self, prompt, response)
        return self.feedback.add_feedback(prompt, response, rating, **(known | extra))

    # ------------------------------------------------------------------ a conversa

    def say(self, message: str, on_text: TextSink | None = None) -> str:
        """Responde dentro da conversa em curso e guarda os dois turnos no histórico.

        Interrompida por Ctrl-C, guarda o que já saiu e repassa o ``KeyboardInterrupt``.
        """
        self._retries = 0
        return self._say(message, on_text)

    def retry(self, on_text: TextSink | None = None) -> str:
        """Responde de novo à última mensagem; a resposta anterior sai do histórico.

        Erros:
            UsageError: ainda não há o que refazer.
        """
        if len(self.history) < 2 or self.history[-2]["role"] != "user":
            raise UsageError("Ainda não há resposta para refazer.")
        message = self.history[-2]["content"]
        previous, self.history = self.history, self.history[:-2]
        self._retries += 1
        try:
            answer = self._say(message, on_text)
        except BaseException:
            if len(self.history) < len(previous):  # nada saiu: fica a resposta que havia
                self.history = previous
            raise
        if not answer:
            self.history = previous
        return answer

    def _say(self, message: str, on_text: TextSink | None) -> str:
        self.last_stream = None
        try:
            answer = self.generate_response(message, self.history, on_text)
        except KeyboardInterrupt:
            self._remember(message, self.last_stream.text if self.last_stream else "")
            raise
        self._remember(message, answer)
        return answer

    def _remember(self, message: str, answer: str) -> None:
        if answer:
            self.history.append({"role": "user", "content": message})
            self.history.append({"role": "assistant", "content": answer})
            sources = tuple(cited_sources(self.last))
            self.answered = GivenAnswer(message, answer, self.persona.name, sources)

    def clear(self) -> None:
        """Recomeça a conversa; a persona e o contexto dado ficam."""
        self.history.clear()
        self.last = self.answered = None
        self._retries = 0

    def set_persona(self, name: str) -> None:
        """Troca a persona daqui em diante; a conversa continua.

        Erros:
            UsageError: não existe; a mensagem lista as que existem.
        """
        self.persona = get_persona(name, self.personas)

    def introduction(self) -> list[str]:
        """Como a Luna se apresenta no começo de uma conversa."""
        lines = [f"Luna, modelo '{self.model_name}': {self.persona.description}."]
        if self.grounding.active:
            lines.append("Consulto os documentos indexados; /fontes mostra de onde vem a resposta.")
        return lines

    def chat(self, initial_context: str = "") -> None:
        """Sessão interativa no terminal, até ``/sair``, Ctrl-D ou dois Ctrl-C.

        Args:
            initial_context: texto que o modelo lê, como contexto, antes da conversa.

        Erros:
            KeyboardInterrupt: a pessoa saiu com dois Ctrl-C.
        """
        from src.chat.terminal import TerminalChat

        self.context = initial_context
        TerminalChat(self).run()
