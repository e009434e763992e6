"""Dos tokens ao texto que a pessoa vê: caracteres inteiros, sem controle, até onde se pediu."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence

from src.chat.terminal_text import TextCleaner, clean_text
from src.models.tokenizer import LunaTokenizer

TextSink = Callable[[str], object]


class AnswerStream:
    """Recebe os tokens da geração e entrega só caracteres inteiros e visíveis.

    Um acento partido entre dois tokens só sai quando está completo; tokens de controle e sequências
    de terminal não saem; o raciocínio, de ``<|thinking|>`` até o próximo token de controle, também
    não. Com ``stop``, o texto acaba antes da primeira dessas expressões. ``prefix`` é dito antes do
    primeiro pedaço de texto, se houver um.
    """

    def __init__(
        self,
        tokenizer: LunaTokenizer,
        sink: TextSink | None = None,
        stop: Sequence[str] = (),
        prefix: str = "",
    ) -> None:
        self.prefix = prefix
        self.tokenizer, self.sink = tokenizer, sink
        self.decoder, self.cleaner = tokenizer.stream_decoder(), TextCleaner()
        self.control = set(tokenizer.control_ids.values())
        self.stop = [text for text in stop if text]
        self.parts: list[str] = []
        self.held = ""  # o que pode ser o começo de uma expressão de ``stop``
        self.tokens = 0
        self.thinking = False
        self.finished = False

    def put(self, token: int) -> None:
        """Recebe mais um token."""
        self.tokens += 1
        if token in self.control:
            self._clean(self.decoder.flush())
            self.thinking = token == self.tokenizer.thinking_id
        elif not self.thinking:
            self._clean(self.decoder.step(token))

    def end(self) -> None:
        """Entrega o que ainda esperava."""
        self._clean(self.decoder.flush())
        self._hold(self.cleaner.flush())
        if not self.finished:
            self._emit(self.held)
        self.held, self.finished = "", True

    def _clean(self, text: str) -> None:
        if text and not self.finished:
            self._hold(self.cleaner.feed(text))

    def _hold(self, text: str) -> None:
        """Entrega ``text``, menos o fim que pode ser o começo de uma expressão de ``stop``."""
        if self.finished:
            return
        self.held += text
        places = [place for place in map(self.held.find, self.stop) if place >= 0]
        if places:
            self._emit(self.held[: min(places)])
            self.held, self.finished = "", True
            return
        size = max((_overlap(self.held, stop) for stop in self.stop), default=0)
        ready, self.held = self.held[: len(self.held) - size], self.held[len(self.held) - size :]
        self._emit(ready)

    def _emit(self, text: str) -> None:
        if not self.parts:
            text = text.lstrip()
            text = self.prefix + text if text else ""
        if text:
            self.parts.append(text)
            if self.sink is not None:
                self.sink(text)

    @property
    def text(self) -> str:
        """Tudo o que saiu até agora."""
        return "".join(self.parts).strip()


class ReadyAnswer:
    """Uma resposta que não é gerada (uma citação, uma recusa): entregue de uma vez.

    Tem o que se lê de um ``AnswerStream``: ``text``.
    """

    def __init__(self, text: str, sink: TextSink | None = None) -> None:
        self.text = clean_text(text).strip()
        if sink is not None and self.text:
            sink(self.text)


def _overlap(text: str, stop: str) -> int:
    """Quantos caracteres do fim de ``text`` são o começo de ``stop``."""
    sizes = range(min(len(text), len(stop) - 1), 0, -1)
    return next((size for size in sizes if text.endswith(stop[:size])), 0)


class TokenProducer:
    """Gera tokens numa thread, adiante de quem os mostra, e os entrega na ordem.

    O terminal pode demorar (uma conexão lenta, uma janela que rola); enquanto ele escreve, os
    próximos tokens já estão sendo calculados, até ``ahead`` deles. Toda a geração acontece na
    thread: quem para de pedir, ou recebe um Ctrl-C, nunca a interrompe no meio de uma leitura.

    Args:
        tokens: recebe a função "devo parar?" e devolve os tokens.
    """

    _END = object()

    def __init__(
        self, tokens: Callable[[Callable[[], bool]], Iterator[int]], ahead: int = 32
    ) -> None:
        self._queue: queue.Queue[object] = queue.Queue(maxsize=ahead)
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._source = tokens
        self._thread = threading.Thread(target=self._produce, name="luna-tokens", daemon=True)

    def _produce(self) -> None:
        try:
            for token in self._source(self._stop.is_set):
                self._put(token)
                if self._stop.is_set():
                    break
        except Exception as error:  # vai para quem consome, que a levanta
            self._error = error
        self._put(self._END)

    def _put(self, item: object) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def __iter__(self) -> Iterator[int]:
        self._thread.start()
        try:
            while (item := self._queue.get()) is not self._END:
                assert isinstance(item, int)
                yield item
        finally:
            self._stop.set()
            self._thread.join()
        if self._error is not None:
            raise self._error
