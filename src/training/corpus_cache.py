"""A pasta do cache de um corpus grande: a chave, a trava, o índice e como tudo é montado.

    corpus-<chave>/
      corpus.json       o índice: versão, chave, tamanhos, contagens e o relato da leitura
      rows_*.arrow      as linhas empacotadas (``corpus_rows``), um arquivo por processo
      valid.jsonl       o que foi separado para a validação, até uns 2 MB de texto

A chave é o SHA-256 de tudo o que decide as linhas: conteúdo dos arquivos, tokenizador, comprimento,
personas, divisão e versão do formato. A pasta só recebe o nome quando está completa.
"""

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from src.config.personas import PERSONAS, Personas
from src.models.tokenizer import LunaTokenizer
from src.training.corpus_reading import (
    VALID_CHARS,
    CorpusReport,
    Selection,
    block_chars,
    iter_blocks,
    read_documents,
)
from src.training.corpus_rows import RowFiles, RowLayout, id_type, write_rows
from src.utils import atomic_io
from src.utils.dedup import text_digest
from src.utils.documents import Document
from src.utils.errors import DataError, NoDataError
from src.utils.hardware_utils import detect_hardware
from src.utils.hashes import file_sha256
from src.utils.numbers import counted, grouped

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1  # muda quando muda a leitura, o corte em exemplos ou o arranjo das linhas
INDEX, VALID, PREFIX = "corpus.json", "valid.jsonl", "corpus-"
MAX_WORKERS = 8  # cada processo a mais ocupa memória; a leitura, que é uma só, passa a limitar
MEGABYTE = 1 << 20


@dataclass(frozen=True)
class CorpusOptions:
    """O que decide as linhas além dos arquivos, do tokenizador e do comprimento.

    Atributos:
        valid_fraction: parte dos documentos separada para a validação, sorteada pelo conteúdo; o
            que passaria de uns 2 MB de texto fica no treino.
        seed: semente desse sorteio.
        held_out: textos de validação já escolhidos; os iguais saem do treino.
        max_file_mb: tamanho máximo dos arquivos que não se leem aos poucos (PDF, DOCX, JSON...).
        personas: as que existem.
        with_emotion, with_persona: os vetores que as linhas trazem
            (``conditions.conditions_of(config)``).
        workers: processos que tokenizam; ``None``: um por núcleo, até ``MAX_WORKERS``. Não muda as
            linhas.
        show_progress: mostra barras em stderr, se for um terminal.
    """

    valid_fraction: float = 0.0
    seed: int = 42
    held_out: Sequence[str] = ()
    max_file_mb: float = 200.0
    personas: Personas = field(default_factory=lambda: PERSONAS)
    with_emotion: bool = False
    with_persona: bool = False
    workers: int | None = None
    show_progress: bool = True


@contextmanager
def only_process(cache_dir: Path) -> Iterator[None]:
    """Um processo de cada vez na pasta do cache; a trava cai com o processo."""
    from filelock import FileLock

    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(str(cache_dir / ".lock"))
        lock.acquire()
    except OSError as error:
        raise atomic_io.storage_error(error, cache_dir) from error
    try:
        yield
    finally:
        lock.release()


def corpus_key(
    sources: Sequence[dict[str, Any]],
    tokenizer: LunaTokenizer,
    length: int,
    options: CorpusOptions,
) -> str:
    """O resumo de tudo o que decide as linhas."""
    with tempfile.TemporaryDirectory() as temporary:
        tokenizer.save(temporary)
        saved = {path.name: file_sha256(path) for path in sorted(Path(temporary).iterdir())}
    recipe = {
        "version": FORMAT_VERSION,
        "files": [[Path(s["file"]).suffix.lower(), s["sha256"], s["bytes"]] for s in sources],
        "tokenizer": saved,
        "length": length,
        "personas": {n: [p.system_prompt, p.vector] for n, p in sorted(options.personas.items())},
        "vectors": [options.with_emotion, options.with_persona],
        "valid_fraction": options.valid_fraction,
        "seed": options.seed,
        "held_out": sorted(text_digest(text) for text in options.held_out),
        "max_file_mb": options.max_file_mb,
    }
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def clean(cache_dir: Path, keep: Path | None) -> None:
    """Tira os outros caches e o que uma montagem interrompida deixou."""
    for path in cache_dir.iterdir():
        ours = path.name.startswith((PREFIX, atomic_io.TEMP_PREFIX)) and path.is_dir()
        if ours and path != keep:
            shutil.rmtree(path, ignore_errors=True)  # no Windows, um em uso fica para a próxima


def read_index(folder: Path) -> dict[str, Any]:
    """O índice, conferidos a versão e o tamanho de cada arquivo.

    Erros:
        DataError: diz o que falta ou não confere.
    """
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if index["version"] != FORMAT_VERSION:
            raise damaged(folder, f"formato {index['version']!r}; esperado {FORMAT_VERSION}")
        sizes = {shard["file"]: shard["bytes"] for shard in [*index["shards"], index["valid"]]}
        for name, expected in sizes.items():
            found = (folder / name).stat().st_size
            if found != expected:
                raise damaged(folder, f"'{name}' tem {found} bytes; esperados {expected}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(folder, f"{type(error).__name__}: {error}") from error
    return dict(index)


def damaged(folder: Path, reason: str) -> DataError:
    return DataError(f"O corpus tokenizado em '{folder}' está danificado ({reason}).")


# ---------------------------------------------------------------------- montar


def build(
    folder: Path,
    key: str,
    sources: list[dict[str, Any]],
    tokenizer: LunaTokenizer,
    length: int,
    options: CorpusOptions,
    say: Callable[[str], object],
) -> None:
    """Lê, tokeniza e grava sob um nome temporário; o nome final só aparece com tudo pronto."""
    size = sum(source["bytes"] for source in sources)
    workers = options.workers or min(detect_hardware(use_torch=False).cpu_count, MAX_WORKERS)
    say(
        f"Corpus grande ({grouped(size / MEGABYTE)} MB): lido aos poucos e tokenizado uma vez, em "
        f"{counted(workers, 'processo', 'processos')}. Repetições quase idênticas não são "
        "procuradas neste tamanho; as idênticas, sim."
    )
    kind, vectors = id_type(tokenizer.get_vocab_size()), (
        options.with_emotion,
        options.with_persona,
    )
    layout = RowLayout(length, tokenizer.eos_id, kind, *vectors)
    report = CorpusReport()
    fraction = min(options.valid_fraction, VALID_CHARS / max(size, 1))
    selection = Selection(report, fraction, options.seed, options.held_out)
    with atomic_io.staged_directory(folder) as staging:
        spool = staging / "blocks"
        spool.mkdir()
        documents = read_documents(
            (Path(source["file"]) for source in sources), report, options.max_file_mb
        )
        chosen = selection.train_documents(documents)
        blocks = iter_blocks(chosen, block_chars(length), report, options.personas)
        files = [b.write(spool / f"{number:06d}.json") for number, b in enumerate(blocks)]
        shards: list[Path] = []
        if files:
            shards = write_rows(files, staging, tokenizer, layout, workers, options.show_progress)
        shutil.rmtree(spool)
        _note(selection, report)
        _write_valid(staging, selection.valid)
        index = {"version": FORMAT_VERSION, "key": key, "length": length, "sources": sources}
        index |= {"report": asdict(report), "documents": report.documents}
        _write_index(staging, index, shards)


def _note(selection: Selection, report: CorpusReport) -> None:
    if selection.removed:
        text = f"{grouped(selection.removed)} textos do treino também estão nela e saíram do treino"
        report.notices.append(("validação", text))


def _write_valid(staging: Path, documents: Sequence[Document]) -> None:
    lines = [
        json.dumps(
            {
                "text": str(document),
                "source": document.source,
                "file": document.file,
                "messages": document.messages,
                "persona": document.persona,
            },
            ensure_ascii=False,
        )
        for document in documents
    ]
    atomic_io.write_text(staging / VALID, "".join(line + "\n" for line in lines))


def _write_index(staging: Path, index: dict[str, Any], shards: Sequence[Path]) -> None:
    """Confere as linhas, soma-as e grava o índice.

    Erros:
        NoDataError: nenhuma linha.
    """
    rows = RowFiles(shards)
    if not len(rows):
        listed = CorpusReport(**index["report"]).warnings()
        raise NoDataError(
            "Nenhum texto rendeu tokens para aprender. Confira se os arquivos têm texto e, nas "
            "conversas, se há respostas em linhas 'Luna: ...'."
            + "".join(f"\n  {w}" for w in listed)
        )
    if shortened := rows.total("shortened"):
        logger.warning(
            "%s trocas não cabem no contexto de %d tokens e foram encurtadas.",
            grouped(shortened),
            index["length"],
        )
    files = [{"file": path.name, "bytes": path.stat().st_size} for path in shards]
    index |= {"shards": files, "rows": len(rows)}
    index |= {"tokens": rows.total("tokens"), "learned": rows.total("learned")}
    index["valid"] = {"file": VALID, "bytes": (staging / VALID).stat().st_size}
    atomic_io.write_json(staging / INDEX, index)
