"""Ctrl-C e SIGTERM durante o treino: o primeiro espera o fim do passo; o segundo para já.

Parar no meio de um passo deixaria pesos, otimizador, sorteios e dados em passos diferentes.
"""

import contextlib
import os
import signal
import threading
from types import FrameType
from typing import Any

from src.utils.processes import is_main_process

NOTICE = "\nParando no fim deste passo, para gravar. Outro Ctrl-C para já, sem gravar.\n"


class StopRequested(KeyboardInterrupt):
    """O treino parou entre dois passos, a pedido."""


class StopSignals:
    """Dentro do bloco, o primeiro sinal fica anotado em ``requested``; o segundo interrompe.

    Fora da thread principal, que não recebe sinais, nada muda; e um sinal que o processo ignora
    (``nohup``) continua ignorado.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) not in (None, signal.SIG_IGN):
                    self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *error: Any) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        if is_main_process():
            with contextlib.suppress(OSError):
                os.write(2, NOTICE.encode())  # print() não serve dentro de um tratador de sinais
