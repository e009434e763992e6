"""Corpora maiores que a memória: lidos em fluxo, tokenizados uma vez e relidos do disco.

``prepare_corpus`` lê os arquivos documento a documento (``corpus_reading``), tokeniza e empacota em
paralelo com o ``datasets`` (``corpus_rows``) e guarda as linhas em
``<pasta do modelo>/training/cache/`` (``corpus_cache``). O treino seguinte com os mesmos dados as
reencontra; um cache estragado é refeito; fica um por modelo. Para abrir as linhas sem o LunaGPT:
``datasets.Dataset.from_file("rows_00000_of_00002.arrow")``.
"""

import json
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from src.models.tokenizer import LunaTokenizer
from src.training.corpus_cache import (
    MEGABYTE,
    PREFIX,
    VALID,
    CorpusOptions,
    build,
    clean,
    corpus_key,
    damaged,
    only_process,
    read_index,
)
from src.training.corpus_reading import STREAMED_EXTENSIONS, CorpusReport
from src.training.corpus_rows import RowFiles
from src.training.packing import IGNORED
from src.utils.documents import Document
from src.utils.errors import ConfigError, DataError
from src.utils.file_utils import PathLike, expand_patterns
from src.utils.hashes import file_sha256
from src.utils.numbers import counted

__all__ = ["LARGE_MB", "CorpusDataset", "CorpusOptions", "corpus_is_large", "prepare_corpus"]

logger = logging.getLogger(__name__)

LARGE_MB = 100.0


def corpus_is_large(paths: Iterable[PathLike], limit_mb: float = LARGE_MB) -> bool:
    """Se os .txt, .jsonl e .csv somam mais de ``limit_mb`` (MB de 2^20 bytes).

    Args:
        paths: arquivos que existem (``expand_patterns``). Os de outras extensões não contam: são
            abertos inteiros de um modo ou de outro.
    """
    texts = (path for path in map(Path, paths) if path.suffix.lower() in STREAMED_EXTENSIONS)
    return sum(path.stat().st_size for path in texts) > limit_mb * MEGABYTE


class CorpusDataset(Dataset):
    """Linhas empacotadas num cache em disco, com a interface de ``PackedDataset``.

    Args:
        folder: a pasta do cache.

    Atributos:
        length: comprimento L das linhas. tokens, learned: somas de todas elas.
        documents: quantos documentos há no treino. report: o relato da leitura.
        sources: os arquivos de origem (``file``, ``sha256``, ``bytes``).

    Erros:
        DataError: falta um arquivo do cache, ou está incompleto.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        index = read_index(self.folder)
        try:
            self._rows = RowFiles([self.folder / shard["file"] for shard in index["shards"]])
            self.length, self.tokens = int(index["length"]), int(index["tokens"])
            self.learned, self.documents = int(index["learned"]), int(index["documents"])
            self.report = CorpusReport(**index["report"])
            self.sources: list[dict[str, Any]] = index["sources"]
            expected = int(index["rows"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise damaged(self.folder, f"{type(error).__name__}: {error}") from error
        if len(self._rows) != expected:
            raise damaged(self.folder, f"{len(self._rows)} linhas; esperadas {expected}")

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def fill_fraction(self) -> float:
        """Parte das linhas ocupada por tokens de verdade, de 0 a 1."""
        return self.tokens / (len(self) * self.length)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """``input_ids``, ``labels`` e ``position_ids``, cada um [L].

        Se pedidos nas opções, também ``emotion`` [L, 6] e ``persona`` [L, 8].
        """
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(f"linha {index}: o corpus tem {len(self)}")
        row = self._rows.row(position)
        ids, learn, positions = row.pop("ids"), row.pop("learn"), row.pop("positions")
        return {
            "input_ids": torch.from_numpy(ids),
            "labels": torch.from_numpy(np.where(learn, ids, IGNORED)),
            "position_ids": torch.from_numpy(positions),
            **{name: torch.from_numpy(vectors) for name, vectors in row.items()},
        }

    @property
    def valid_texts(self) -> list[Document]:
        """Os documentos separados para a validação; vazia se não se pediu."""
        with open(self.folder / VALID, encoding="utf-8") as stream:
            return [_document(json.loads(line)) for line in stream]

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder}  # um mapa de memória não passa de um processo a outro

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["folder"])  # type: ignore[misc]


def prepare_corpus(
    patterns: PathLike | Iterable[PathLike],
    tokenizer: LunaTokenizer,
    length: int,
    cache_dir: PathLike,
    options: CorpusOptions = CorpusOptions(),
    say: Callable[[str], object] = logger.info,
) -> CorpusDataset:
    """As linhas de treino dos arquivos: do cache, se é o deles; senão, feitas agora.

    Args:
        patterns: arquivos, pastas ou globs (``expand_patterns``).
        tokenizer: o do modelo.
        length: comprimento L das linhas; documentos mais longos são cortados em janelas.
        cache_dir: onde fica o cache, em geral ``<pasta do modelo>/training/cache``. É lida e
            gravada por um processo de cada vez: os outros esperam e o encontram pronto.
        say: recebe as linhas para a pessoa.

    Erros:
        NoDataError: nenhum arquivo, ou nada que se aprenda neles. ConfigError: ``valid_fraction``
        fora de [0, 1). StorageError: o disco recusou; nada fica pela metade.
    """
    if not 0 <= options.valid_fraction < 1:
        raise ConfigError(
            f"valid_fraction={options.valid_fraction!r}: esperado um número de 0 a menos de 1."
        )
    sources = [
        {"file": str(path), "sha256": file_sha256(path), "bytes": path.stat().st_size}
        for path in expand_patterns(patterns)
    ]
    key = corpus_key(sources, tokenizer, length, options)
    cache_dir = Path(cache_dir)
    folder = cache_dir / f"{PREFIX}{key[:16]}"
    with only_process(cache_dir):
        dataset = _reuse(folder, say)
        clean(cache_dir, keep=folder if dataset else None)
        if dataset is None:
            build(folder, key, sources, tokenizer, length, options, say)
            dataset = CorpusDataset(folder)
    dataset.sources = sources  # os de agora: o conteúdo é o mesmo, o nome pode ter mudado
    return dataset


def _reuse(folder: Path, say: Callable[[str], object]) -> CorpusDataset | None:
    """O cache, se está inteiro; um estragado sai do caminho, com uma linha."""
    if not folder.exists():
        return None
    try:
        dataset = CorpusDataset(folder)
    except DataError as error:
        say(f"{error} Tokenizando de novo.")
        return None
    say(
        f"Corpus já tokenizado, de um treino anterior: {counted(len(dataset), 'linha', 'linhas')} "
        f"de {_length_text(dataset)} em '{folder}'."
    )
    return dataset


def _length_text(dataset: CorpusDataset) -> str:
    """``512 tokens, 98,7 % ocupadas``."""
    return f"{dataset.length} tokens, {dataset.fill_fraction:.1%} ocupadas".replace(".", ",")


def _document(values: dict[str, Any]) -> Document:
    return Document(values.pop("text"), values.pop("source"), **values)
