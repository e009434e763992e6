"""``LunaChat``: a conversa com um modelo treinado."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from transformers.generation.streamers import BaseStreamer

from src.chat.prompting import (
    MIN_ANSWER_TOKENS,
    Message,
    fit_messages,
    normalize_history,
    printable,
    visible_answer,
)
from src.config.config import MODES, Config
from src.config.options import quoted, with_floats
from src.config.personas import Persona, Sampling, get_persona, load_personas
from src.models.emotion import read_emotion
from src.models.luna_model import LunaModel
from src.models.tokenizer import LunaTokenizer
from src.utils.errors import ContextLengthError, LunaError, UsageError
from src.utils.hardware_utils import resolve_device
from src.utils.model_store import ModelStore

#: O que cada modo muda na geração. O padrão (``None``) é o da configuração.
MODE_SETTINGS: dict[str, dict[str, Any]] = {
    "low_latency": {"prompt_lookup_num_tokens": 4},
    "high_precision": {"do_sample": False},
}
HELP = "Comandos: /sair termina, /limpar recomeça a conversa, /ajuda mostra isto."
TextSink = Callable[[str], object]


class AnswerStream(BaseStreamer):
    """Recebe os tokens da geração e entrega só caracteres inteiros e visíveis.

    Um acento partido entre dois tokens só sai quando está completo; tokens de controle não saem; o
    raciocínio, de ``<|thinking|>`` até o próximo token de controle, também não.
    """

    def __init__(self, tokenizer: LunaTokenizer, sink: TextSink | None = None) -> None:
        self.tokenizer, self.sink = tokenizer, sink
        self.decoder = tokenizer.stream_decoder()
        self.control = set(tokenizer.control_ids.values())
        self.parts: list[str] = []
        self.tokens = 0
        self.thinking = False
        self.prompt_seen = False

    def put(self, value: torch.Tensor) -> None:
        """Um lote de tokens [n] ou [1, n]; o primeiro é o prompt, que se ignora."""
        if not self.prompt_seen:
            self.prompt_seen = True
            return
        for token in value.reshape(-1).tolist():
            self._token(token)

    def _token(self, token: int) -> None:
        self.tokens += 1
        if token in self.control:
            self._emit(self.decoder.flush())
            self.thinking = token == self.tokenizer.thinking_id
        elif not self.thinking:
            self._emit(self.decoder.step(token))

    def _emit(self, text: str) -> None:
        text = printable(text)
        if not self.parts:
            text = text.lstrip()
        if text:
            self.parts.append(text)
            if self.sink is not None:
                self.sink(text)

    def end(self) -> None:
        """Entrega o que sobrou no decodificador."""
        self._emit(self.decoder.flush())

    @property
    def text(self) -> str:
        """Tudo o que saiu até agora."""
        return "".join(self.parts).strip()


class LunaChat:
    """Conversa com um modelo: histórico, persona e geração.

    Args:
        model_name: nome de um modelo criado.
        config: a configuração do sistema.
        persona: ``casual``, ``tecnico``, ``formal`` ou uma sua (``paths.personas_file``).
        device: ``auto``, ``cpu``, ``cuda`` ou ``mps``.
        mode: ``low_latency``, ``high_precision`` ou ``None`` (o da configuração).
        folder: a pasta do modelo, quando ele não está na de modelos.

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
        if mode is not None and mode not in MODES:
            raise UsageError(f"mode={mode!r}: esperado um de {', '.join(MODES)}.")
        self.config = config or Config()
        self.model_name = model_name
        personas = load_personas(self.config.paths.personas_file)
        self.persona: Persona = get_persona(persona, personas)
        self.mode = mode
        self.device = resolve_device(device)
        if folder is None:
            folder = ModelStore(self.config.paths.models_dir).require(model_name)
        self.tokenizer = LunaTokenizer(self.config).load(folder / "tokenizer")
        self.model: Any = LunaModel.from_pretrained(folder).to(self.device)
        self.model.eval()
        self.context = ""
        self.history: list[Message] = []
        self.last_stream: AnswerStream | None = None

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
        turns = [*normalize_history(history), {"role": "user", "content": prompt}]
        ids = self._prompt(turns)
        stream = self.last_stream = AnswerStream(self.tokenizer, on_text)
        self._generate(ids, stream, self._conditions(prompt))
        return stream.text

    def _prompt(self, turns: list[Message]) -> list[int]:
        """Os ids do prompt, com o que couber do histórico."""
        positions, answer = self.model.config.n_positions, self.config.chat.max_new_tokens
        try:
            return fit_messages(self._system_message(), turns, self.tokenizer, positions, answer)[0]
        except ContextLengthError as error:
            raise ContextLengthError(self._no_room(turns[-1]["content"])) from error

    def _no_room(self, message: str) -> str:
        """Por que o prompt não cabe: os tokens de cada parte e qual delas encurtar."""
        texts = (self.persona.system_prompt, self.context.strip(), message)
        persona, given, asked = (len(self.tokenizer.encode(text)) for text in texts)
        positions, name = self.model.config.n_positions, quoted(self.persona.name)
        if asked >= max(persona, given) and persona + given + MIN_ANSWER_TOKENS < positions:
            remedy = "Encurte a mensagem."
        elif given > persona:
            remedy = "Encurte o --context."
        else:
            file = self.config.paths.personas_file
            remedy = f"Encurte o system_prompt dela (em '{file}') ou escolha outra com --persona."
        context = f"o --context, {given}; " if given else ""
        return (
            f"Falta lugar para a resposta: a persona {name} tem {persona} tokens; {context}"
            f"a mensagem, {asked}; e o contexto do modelo é de {positions} tokens. {remedy}"
        )

    def _system_message(self) -> Message:
        content = self.persona.system_prompt
        if self.context.strip():
            content += f"\n\nContexto: {self.context.strip()}"
        return {"role": "system", "content": content}

    def _conditions(self, prompt: str) -> dict[str, torch.Tensor]:
        """Os vetores com que o modelo foi treinado: a emoção da fala e a persona."""
        config, found = self.model.config, {}
        if config.emotional_routing:
            found["emotion"] = torch.tensor([read_emotion(prompt).vector], device=self.device)
        if config.use_hypernet:
            found["persona"] = torch.tensor([self.persona.vector], device=self.device)
        return found

    @torch.inference_mode()
    def _generate(
        self, ids: list[int], stream: AnswerStream, conditions: dict[str, torch.Tensor]
    ) -> None:
        settings = self._settings(self.model.config.n_positions - len(ids))
        if self.config.chat.seed is not None:
            torch.manual_seed(self.config.chat.seed)
        inputs = torch.tensor([ids], device=self.device)
        self.model.generate(
            inputs, attention_mask=torch.ones_like(inputs), streamer=stream, **settings
        )

    def sampling(self) -> Sampling:
        """Como se sorteia: o que a configuração disser e, no resto, o da persona."""
        chat = self.config.chat
        chosen = {item.name: getattr(chat, item.name) for item in fields(Sampling)}
        said = {name: value for name, value in chosen.items() if value is not None}
        return with_floats(replace(self.persona.sampling, **said))

    def _settings(self, room: int) -> dict[str, Any]:
        """Os argumentos de ``generate`` para a configuração e o modo atuais."""
        chat, tokens, sampling = self.config.chat, self.tokenizer, self.sampling()
        settings: dict[str, Any] = {
            "max_new_tokens": min(chat.max_new_tokens, room),
            "min_new_tokens": min(chat.min_new_tokens, chat.max_new_tokens, room) or None,
            "repetition_penalty": sampling.repetition_penalty,
            "no_repeat_ngram_size": sampling.no_repeat_ngram_size,
            "eos_token_id": [tokens.eos_id, tokens.user_id, tokens.system_id],
            "pad_token_id": tokens.pad_id,
            "suppress_tokens": [tokens.pad_id, tokens.proactive_id],
            "do_sample": sampling.temperature > 0,
        }
        settings |= MODE_SETTINGS.get(self.mode or "", {})
        if settings["do_sample"]:
            settings |= {
                "temperature": sampling.temperature,
                "top_k": sampling.top_k,
                "top_p": sampling.top_p,
                "min_p": sampling.min_p or None,
            }
        return settings

    def extract_response(self, generated_text: str) -> str:
        """A resposta limpa dentro de um texto gerado com tokens de controle."""
        return visible_answer(generated_text, self.tokenizer)

    # ------------------------------------------------------------------ a sessão

    def say(self, message: str, on_text: TextSink | None = None) -> str:
        """Responde dentro da conversa em curso e guarda os dois turnos no histórico.

        Interrompida por Ctrl-C, guarda o que já saiu e repassa o ``KeyboardInterrupt``.
        """
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

    def chat(self, initial_context: str = "") -> None:
        """Sessão interativa no terminal, até ``/sair``, Ctrl-D ou Ctrl-C no convite.

        Args:
            initial_context: texto que o modelo lê, como contexto, antes da conversa.
        """
        self.context = initial_context
        _enable_line_editing()
        print(f"Luna ({self.persona.description}). {HELP}", file=sys.stderr)
        while True:
            try:
                message = input("\nVocê: ").strip()
            except EOFError:
                break
            if message in ("/sair", "/exit"):
                break
            if message:
                self._turn(message)
        print("\nAté logo!", file=sys.stderr)

    def _turn(self, message: str) -> None:
        if message in ("/ajuda", "/help"):
            print(HELP, file=sys.stderr)
        elif message in ("/limpar", "/clear"):
            self.history.clear()
            print("Conversa recomeçada.", file=sys.stderr)
        elif message.startswith("/"):
            print(f"Não conheço o comando '{message}'. {HELP}", file=sys.stderr)
        else:
            self._answer_aloud(message)

    def _answer_aloud(self, message: str) -> None:
        print("Luna: ", end="", flush=True)
        try:
            answer = self.say(message, lambda text: print(text, end="", flush=True))
        except KeyboardInterrupt:
            print("\n(resposta interrompida)", file=sys.stderr)
            return
        except LunaError as error:
            print(f"\n{error}", file=sys.stderr)
            return
        print("" if answer else "(sem resposta)")


def _enable_line_editing() -> None:
    """Setas e histórico no convite, onde o Python traz readline (no Windows o console já os dá)."""
    try:
        import readline  # noqa: F401
    except ImportError:
        return
