"""A leitura de um arquivo até os seus trechos, aqui ou num processo à parte com limites.

Um PDF pode prender o leitor para sempre, ou pedir toda a memória; por isso PDFs e arquivos grandes
são lidos por processos auxiliares, que morrem sozinhos sem levar nada junto. São interpretadores
novos, que conversam por canos: cada mensagem são 8 bytes com o tamanho e um JSON. Assim não é
preciso um ``if __name__ == "__main__"`` no programa de quem chama, como no ``multiprocessing``, e
funciona igual em notebooks.

    pedido      {"file", "limits", "budget", "overlap", "timeout_s"}
    respostas   {"ready": true}, uma vez; por pedido, {"chunks": [...]} quantas forem, e
                {"done": {...}} ou {"error": texto, "fatal": bool}
"""

from __future__ import annotations

import json
import logging
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from src.retrieval.blocks import ReadLimits, ReadReport, iter_source_documents
from src.retrieval.chunking import BUDGET_WORDS, OVERLAP_SENTENCES, chunk_document
from src.retrieval.types import Chunk
from src.utils.errors import DataError
from src.utils.numbers import counted

logger = logging.getLogger(__name__)

MEMORY_MB = 2048  # por processo auxiliar
_MEGABYTE = 1 << 20
_HEADER = struct.Struct(">Q")
_BATCH = 500  # trechos por mensagem
_START_S = 60.0
_SMALL_BYTES = 1 << 18  # um .docx ou .html até aqui é lido neste processo mesmo
_SMALL_TEXT_BYTES = 1 << 23
_MANY_FILES = 100
_BYTES_PER_TIMEOUT = 1 << 22  # um arquivo maior tem, em proporção, mais tempo: até _MAX_TIMEOUTS
_MAX_TIMEOUTS = 10
_ROOT = str(Path(__file__).resolve().parents[2])
_COMMAND = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from src.retrieval.parsing import serve; serve()"
)


@dataclass(frozen=True)
class ParseTask:
    """O que ler, e como cortar (ver ``chunk_document``)."""

    file: str
    limits: ReadLimits = ReadLimits()
    budget: int = BUDGET_WORDS
    overlap: int = OVERLAP_SENTENCES


@dataclass
class ParsedFile:
    """O que um arquivo deu.

    Atributos:
        title: o do primeiro documento. pages: páginas lidas, onde há. characters: do texto lido.
        warnings: pares (onde, o quê) do que ficou de fora.
    """

    chunks: list[Chunk] = field(default_factory=list)
    title: str = ""
    pages: int = 0
    characters: int = 0
    warnings: list[tuple[str, str]] = field(default_factory=list)


def parse_file(task: ParseTask, send: Callable[[list[Chunk]], None] | None = None) -> ParsedFile:
    """Lê e corta um arquivo neste processo.

    Args:
        send: recebe os trechos aos poucos, que então não ficam em ``chunks``.

    Erros:
        DataError: o arquivo não pôde ser lido; diz por quê e o que fazer.
    """
    report, parsed = ReadReport(), ParsedFile()
    sent = 0
    try:
        for document in iter_source_documents(task.file, report, task.limits):
            parsed.title = parsed.title or document.title
            parsed.characters += sum(len(block.text) for block in document.blocks)
            start = sent + len(parsed.chunks)
            parsed.chunks += chunk_document(
                document, budget=task.budget, overlap=task.overlap, start=start
            )
            if send and len(parsed.chunks) >= _BATCH:
                send(parsed.chunks)
                sent, parsed.chunks = sent + len(parsed.chunks), []
    except RecursionError as error:
        raise DataError(
            f"'{task.file}': o documento tem níveis demais, um dentro do outro. Simplifique-o ou "
            "salve-o como .txt."
        ) from error
    parsed.pages = report.pages
    parsed.warnings = report.notices + report.bad_records
    return parsed


def needs_process(file: str, files: int = 1) -> bool:
    """Se o arquivo vai a um processo auxiliar: PDFs e os grandes, que podem não acabar.

    Args:
        files: quantos arquivos há ao todo; de muitos, também os .docx e .html pequenos, que são
            lentos de ler.
    """
    extension, size = os.path.splitext(file)[1].lower(), os.path.getsize(file)
    if extension == ".pdf":
        return True
    if extension in (".docx", ".html", ".htm"):
        return size > _SMALL_BYTES or files >= _MANY_FILES
    return size > _SMALL_TEXT_BYTES


# --- Quem pede ---------------------------------------------------------------------------------


class ParserPool:
    """Até ``workers`` processos auxiliares, abertos quando há o que ler.

    Args:
        timeout_s: segundos por arquivo (mais, em proporção, acima de 4 MB, até dez vezes); depois
            deles o processo é morto, e só o arquivo falha.
        memory_mb: memória de cada processo, onde o sistema sabe limitar.
    """

    def __init__(
        self, workers: int, *, timeout_s: float = 60.0, memory_mb: int = MEMORY_MB
    ) -> None:
        self._executor = ThreadPoolExecutor(max(1, workers), thread_name_prefix="luna-leitura")
        self._local = threading.local()
        self._lock = threading.Lock()
        self._processes: list[_ParserProcess] = []
        self._closed = False
        self.timeout_s, self.memory_mb = timeout_s, memory_mb

    def submit(self, task: ParseTask) -> Future[ParsedFile]:
        """Põe um arquivo na fila; o resultado é um ``ParsedFile``, ou o ``DataError`` dele."""
        return self._executor.submit(self._run, task)

    def _run(self, task: ParseTask) -> ParsedFile:
        process = getattr(self._local, "process", None)
        if process is None:
            process = self._local.process = _ParserProcess(self.timeout_s, self.memory_mb)
            with self._lock:
                self._processes.append(process)
        if self._closed:
            raise DataError(f"'{task.file}': a leitura foi interrompida.")
        return process.parse(task)

    def close(self) -> None:
        """Mata os processos; o que estava sendo lido é abandonado."""
        self._closed = True
        self._executor.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            for process in self._processes:
                process.close()
        self._executor.shutdown(wait=True)
        with self._lock:
            for process in self._processes:
                process.close()  # algum pode ter sido aberto enquanto se fechava

    def __enter__(self) -> ParserPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _ParserProcess:
    """Um processo auxiliar, reaberto quando morre."""

    def __init__(self, timeout_s: float, memory_mb: int) -> None:
        self.timeout_s, self.memory_mb = timeout_s, memory_mb
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def parse(self, task: ParseTask) -> ParsedFile:
        process = self._process or self._start()
        if process is None:
            return parse_file(task)
        expired, seconds = threading.Event(), self._seconds(task.file)
        watchdog = threading.Timer(seconds, _expire, (process, expired))
        watchdog.daemon = True
        watchdog.start()
        try:
            return self._exchange(process, task, seconds)
        except (OSError, EOFError) as error:
            self.close()
            expired_s = seconds if expired.is_set() else None
            raise DataError(self._death(task, process, expired_s)) from error
        finally:
            watchdog.cancel()

    def _seconds(self, file: str) -> float:
        """O tempo que este arquivo tem."""
        times = os.path.getsize(file) / _BYTES_PER_TIMEOUT
        return self.timeout_s * min(max(1.0, times), _MAX_TIMEOUTS)

    def _exchange(
        self, process: subprocess.Popen[bytes], task: ParseTask, seconds: float
    ) -> ParsedFile:
        assert process.stdin and process.stdout
        _send(process.stdin, {**asdict(task), "timeout_s": seconds})
        chunks: list[Chunk] = []
        while True:
            answer = _receive(process.stdout)
            chunks.extend(Chunk(*values) for values in answer.get("chunks", ()))
            if "done" in answer:
                done = answer["done"]
                done["warnings"] = [(where, what) for where, what in done["warnings"]]
                return ParsedFile(chunks, **done)
            if "error" in answer:
                if answer["fatal"]:
                    self.close()
                raise DataError(answer["error"])

    def _death(
        self, task: ParseTask, process: subprocess.Popen[bytes], expired_s: float | None
    ) -> str:
        if expired_s is not None:
            seconds = counted(max(1, round(expired_s)), "segundo", "segundos")
            return (
                f"'{task.file}': a leitura passou de {seconds} e foi interrompida. Divida o "
                "arquivo, exporte-o de novo ou aumente timeout_s."
            )
        return (
            f"'{task.file}': o processo que o lia morreu (código {process.returncode}); pode ter "
            f"faltado memória (o limite é {self.memory_mb} MB). Divida o arquivo ou exporte-o de "
            "novo."
        )

    def _start(self) -> subprocess.Popen[bytes] | None:
        """O processo aberto e pronto; ``None`` onde o sistema não deixa abrir um."""
        if self._closed or not sys.executable:
            return None
        command = [sys.executable, "-c", _COMMAND, _ROOT, str(self.memory_mb)]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            logger.warning("Sem processos auxiliares (%s); lendo sem limite de tempo.", error)
            return None
        self._process = process
        watchdog = threading.Timer(_START_S, process.kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            assert process.stdout
            _receive(process.stdout)
        except (OSError, EOFError) as error:
            self.close()
            logger.warning("O processo auxiliar não abriu (%s); lendo sem limite.", error)
            return None
        finally:
            watchdog.cancel()
        return process

    def close(self) -> None:
        """Mata o processo, se há um; a próxima leitura abre outro."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()  # antes dos canos: quem estiver lendo solta o seu ao ver o fim
        for stream in (process.stdin, process.stdout):
            try:
                if stream:
                    stream.close()
            except OSError as error:  # sobrou um pedido pela metade
                logger.debug("Cano já fechado: %s", error)


def _expire(process: subprocess.Popen[bytes], expired: threading.Event) -> None:
    expired.set()
    process.kill()


# --- As mensagens ------------------------------------------------------------------------------


def _send(stream: IO[bytes], message: dict[str, Any]) -> None:
    data = json.dumps(message).encode("ascii")
    stream.write(_HEADER.pack(len(data)) + data)
    stream.flush()


def _receive(stream: IO[bytes]) -> dict[str, Any]:
    """A próxima mensagem.

    Erros:
        EOFError: o outro lado fechou antes do fim dela.
    """
    header = stream.read(_HEADER.size)
    if len(header) < _HEADER.size:
        raise EOFError("o outro processo fechou")
    (size,) = _HEADER.unpack(header)
    data = stream.read(size)
    if len(data) < size:
        raise EOFError("o outro processo fechou no meio de uma mensagem")
    return json.loads(data)


# --- Quem lê -----------------------------------------------------------------------------------


def serve() -> None:
    """O laço de um processo auxiliar: lê pedidos da entrada padrão até ela fechar."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # o Ctrl-C é de quem pediu, que nos mata
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # o que alguma biblioteca imprimir não se mistura com as mensagens
    _limit_memory(int(sys.argv[2]) * _MEGABYTE)
    logging.disable(logging.CRITICAL)
    _send(output, {"ready": True})
    while True:
        try:
            request = _receive(sys.stdin.buffer)
        except EOFError:
            return
        _answer(output, request)


def _answer(output: IO[bytes], request: dict[str, Any]) -> None:
    _limit_cpu(request.pop("timeout_s"))
    task = ParseTask(**{**request, "limits": ReadLimits(**request["limits"])})

    def send(chunks: list[Chunk]) -> None:
        for start in range(0, len(chunks), _BATCH):
            batch = chunks[start : start + _BATCH]
            _send(output, {"chunks": [_row(chunk) for chunk in batch]})

    try:
        parsed = parse_file(task, send)
    except DataError as error:
        _send(output, {"error": str(error), "fatal": False})
    except MemoryError:
        text = f"'{task.file}': a leitura precisa de mais memória que o limite. Divida o arquivo."
        _send(output, {"error": text, "fatal": True})
    except Exception as error:  # um erro nosso ou de uma biblioteca não pode parar os outros
        text = f"'{task.file}': erro inesperado na leitura ({type(error).__name__}: {error})."
        _send(output, {"error": text, "fatal": True})
    else:
        send(parsed.chunks)
        done = {name: getattr(parsed, name) for name in ("title", "pages", "characters")}
        _send(output, {"done": {**done, "warnings": parsed.warnings}})


def _row(chunk: Chunk) -> list[Any]:
    """Os campos de um trecho, na ordem em que ``Chunk`` os recebe."""
    return [getattr(chunk, name) for name in Chunk.__dataclass_fields__]


def _limit_memory(size: int) -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (size, size))
    except (ImportError, ValueError, OSError) as error:
        logger.debug("Sem limite de memória neste sistema: %s", error)


def _limit_cpu(timeout_s: float) -> None:
    """Um processo esquecido (quem o abriu morreu) também acaba."""
    try:
        import resource

        seconds = int(time.process_time() + timeout_s) + 10
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, hard))
    except (ImportError, ValueError, OSError) as error:
        logger.debug("Sem limite de CPU neste sistema: %s", error)
