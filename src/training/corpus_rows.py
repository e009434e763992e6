"""Linhas empacotadas em Arrow: feitas em paralelo e lidas do disco sem encher a memória.

Cada bloco de documentos (``corpus_reading``) é tokenizado, cortado em exemplos como em
``examples.build_examples`` e empacotado sozinho, com ``packing.best_fit``. Assim o arranjo cabe na
memória, é igual seja qual for o número de processos, e perde só o fim da última linha do bloco.

Uma linha, nas colunas do Arrow (L é o comprimento):

    ids        [L] uint16, ou uint32 com vocabulário de mais de 65.536 tokens
    learn      [L] bool, um bit por token: se é aprendido
    starts     onde cada exemplo começa
    tokens     quantos tokens de verdade; o que vem depois é preenchimento
    learned    quantos são aprendidos
    shortened  quantos exemplos não cabiam inteiros no contexto
    emotion    [exemplos * 6] float32, e persona [exemplos * 8]: só se o modelo os usa
"""

import logging
import mmap
import os
import signal
import sys
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from src.config.emotions import EMOTION_DIM
from src.config.personas import PERSONA_DIM
from src.models.tokenizer import LunaTokenizer
from src.training.corpus_reading import Block
from src.training.examples import Example, chat_windows, text_windows
from src.training.packing import best_fit
from src.utils.errors import LunaError

logger = logging.getLogger(__name__)

RELEASE_ROWS = 256  # linhas lidas entre duas devoluções das páginas mapeadas


# ---------------------------------------------------------------------- fazer as linhas


@dataclass(frozen=True)
class RowLayout:
    """A forma das linhas: comprimento L, token de preenchimento, tipo dos ids e vetores que há."""

    length: int
    fill_id: int
    id_type: str
    with_emotion: bool = False
    with_persona: bool = False

    @property
    def vectors(self) -> dict[str, int]:
        """Nome da coluna -> tamanho do vetor de cada exemplo."""
        sizes = {"emotion": EMOTION_DIM, "persona": PERSONA_DIM}
        return {name: size for name, size in sizes.items() if getattr(self, f"with_{name}")}


def block_examples(
    block: Block, tokenizer: LunaTokenizer, context: int, with_emotion: bool = False
) -> list[Example]:
    """Os exemplos de um bloco; os mesmos que ``build_examples`` dá dos mesmos documentos."""
    examples: list[Example] = []
    for messages, persona in block.chats:
        examples += chat_windows(messages, tokenizer, context, tuple(persona), with_emotion)
    for ids in tokenizer.encode_batch(block.plain):
        examples += text_windows(ids, tokenizer.eos_id, context)
    return [example for example in examples if example.learned]


def id_type(vocab_size: int) -> str:
    """O menor tipo em que todo id cabe."""
    return "uint16" if vocab_size <= 1 << 16 else "uint32"


def pack_rows(examples: Sequence[Example], layout: RowLayout) -> dict[str, Any]:
    """As colunas das linhas em que os exemplos se arrumam (R linhas, ids e learn [R, L])."""
    rows = best_fit([len(example.ids) for example in examples], layout.length)
    ids = np.full((len(rows), layout.length), layout.fill_id, dtype=layout.id_type)
    learn = np.zeros((len(rows), layout.length), dtype=bool)
    starts: list[list[int]] = []
    for row, items in enumerate(rows):
        ends = list(accumulate((len(examples[item].ids) for item in items), initial=0))
        starts.append(ends[:-1])
        for item, start, end in zip(items, ends, ends[1:]):
            ids[row, start:end] = examples[item].ids
            learn[row, start:end] = examples[item].learn
    vectors = {
        name: [[x for i in items for x in getattr(examples[i], name)] for items in rows]
        for name in layout.vectors
    }
    return vectors | {
        "ids": ids,
        "learn": learn,
        "starts": starts,
        "tokens": [sum(len(examples[i].ids) for i in items) for items in rows],
        "learned": learn.sum(axis=1),
        "shortened": [sum(examples[i].shortened for i in items) for items in rows],
    }


def pack_blocks(
    batch: dict[str, list[str]], tokenizer: LunaTokenizer, layout: RowLayout, parent: int
) -> dict[str, Any]:
    """A função do ``datasets.map``: de arquivos de blocos às linhas deles."""
    if os.getpid() != parent:
        _obey(parent)
    examples: list[Example] = []
    for path in batch["block"]:
        block = Block.read(path)
        examples += block_examples(block, tokenizer, layout.length, layout.with_emotion)
    return pack_rows(examples, layout)


_obeying: list[int] = []  # o pai deste processo, depois de _obey


def _obey(parent: int) -> None:
    """Num processo auxiliar: o Ctrl-C é assunto do pai, e a morte dele é também a deste."""
    if _obeying:
        return
    _obeying.append(parent)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()


def _die_with(parent: int) -> None:
    import psutil

    while os.getppid() == parent and psutil.pid_exists(parent):
        time.sleep(0.5)
    os._exit(1)


def write_rows(
    blocks: Sequence[Path],
    folder: Path,
    tokenizer: LunaTokenizer,
    layout: RowLayout,
    workers: int,
    show_progress: bool = True,
) -> list[Path]:
    """Tokeniza e empacota os blocos em ``workers`` processos, cada um num arquivo de ``folder``.

    Returns:
        Os arquivos Arrow, na ordem dos blocos.

    Erros:
        LunaError: um dos processos morreu.
    """
    from datasets import Dataset

    workers = max(1, min(workers, len(blocks)))
    paths = Dataset.from_dict({"block": [str(path) for path in blocks]})
    arguments = {"tokenizer": tokenizer, "layout": layout, "parent": os.getpid()}
    with _datasets_bars(show_progress), _tokenizer_without_threads(workers > 1):
        try:
            rows = paths.map(
                pack_blocks,
                fn_kwargs=arguments,
                batched=True,
                batch_size=1,
                num_proc=workers if workers > 1 else None,
                remove_columns=["block"],
                features=_features(layout),
                cache_file_name=str(folder / "rows.arrow"),
                new_fingerprint="rows",
                load_from_cache_file=False,
                desc="Tokenizando",
            )
        except RuntimeError as error:  # é como o datasets conta que um processo sumiu
            raise LunaError(
                f"A tokenização em {workers} processos parou ({error}). Se faltou memória, feche "
                "outros programas e repita: nada ficou pela metade."
            ) from error
    return [Path(item["filename"]) for item in rows.cache_files] if len(rows) else []


def _features(layout: RowLayout) -> Any:
    from datasets import Features, Sequence, Value

    counts = {name: Value("uint32") for name in ("tokens", "learned", "shortened")}
    vectors = {name: Sequence(Value("float32")) for name in layout.vectors}
    return Features(
        {
            "ids": Sequence(Value(layout.id_type), length=layout.length),
            "learn": Sequence(Value("bool"), length=layout.length),
            "starts": Sequence(Value("uint32")),
            **counts,
            **vectors,
        }
    )


@contextmanager
def _datasets_bars(wanted: bool) -> Iterator[None]:
    """As barras do ``datasets`` só se pedidas e num terminal; no fim, como estavam."""
    import datasets

    hidden = datasets.are_progress_bars_disabled()
    if not (wanted and sys.stderr.isatty()):
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        if not hidden:
            datasets.enable_progress_bars()


@contextmanager
def _tokenizer_without_threads(active: bool) -> Iterator[None]:
    """Em vários processos, nenhuma thread no tokenizador: depois do ``fork``, elas travariam."""
    name = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(name)
    if active:
        os.environ[name] = "false"  # os processos a herdam
    try:
        yield
    finally:
        if active and before is None:
            del os.environ[name]
        elif before is not None:
            os.environ[name] = before


# ---------------------------------------------------------------------- ler as linhas


class RowFiles:
    """Linhas de arquivos Arrow mapeados na memória, lidas ao acaso.

    O sistema traz as páginas à medida que são lidas e poderia ficar com todas; a cada
    ``RELEASE_ROWS`` linhas elas são devolvidas (``madvise``, onde existe), e a memória residente
    não cresce com o corpus.

    Erros:
        OSError, ValueError: um arquivo falta, ou não é Arrow (``ArrowInvalid`` é ValueError).
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._maps: list[mmap.mmap] = []
        self._batches: list[Any] = []
        for path in paths:
            self._open(path)
        self._ends = list(accumulate(batch.num_rows for batch in self._batches))
        self._served = 0

    def _open(self, path: Path) -> None:
        import pyarrow

        with open(path, "rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        self._maps.append(mapped)
        source = pyarrow.BufferReader(pyarrow.py_buffer(mapped))
        self._batches += [batch for batch in pyarrow.ipc.open_stream(source) if batch.num_rows]

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def total(self, column: str) -> int:
        """A soma de uma coluna de contagem."""
        import pyarrow.compute

        return sum(pyarrow.compute.sum(batch[column]).as_py() for batch in self._batches)

    def row(self, index: int) -> dict[str, np.ndarray]:
        """Uma linha: ``ids`` [L] int64, ``learn`` [L] bool, ``positions`` [L] int64.

        E ``emotion`` [L, 6] e ``persona`` [L, 8], float32, se as linhas os têm: os do exemplo em
        cada token dele, zero no preenchimento.
        """
        which = bisect_right(self._ends, index)
        batch = self._batches[which]
        place = index - (self._ends[which] - batch.num_rows)
        ids = batch["ids"][place].values.to_numpy().astype(np.int64)
        starts = batch["starts"][place].values.to_numpy().astype(np.int64)
        bounds = np.append(starts, batch["tokens"][place].as_py())  # o último é o preenchimento
        sizes = np.diff(np.append(bounds, len(ids)))
        row = {
            "ids": ids,
            "learn": batch["learn"][place].values.to_numpy(zero_copy_only=False),
            "positions": np.arange(len(ids)) - np.repeat(bounds, sizes),
        }
        for name in {"emotion", "persona"} & set(batch.schema.names):
            vectors = batch[name][place].values.to_numpy().reshape(len(starts), -1)
            row[name] = np.repeat(np.pad(vectors, ((0, 1), (0, 0))), sizes, axis=0)
        self._served += 1
        if self._served % RELEASE_ROWS == 0:
            self.release()
        return row

    def release(self) -> None:
        """Devolve as páginas mapeadas; a próxima leitura as traz de volta."""
        if hasattr(mmap, "MADV_DONTNEED"):
            for mapped in self._maps:
                mapped.madvise(mmap.MADV_DONTNEED)
