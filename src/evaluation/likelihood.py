"""Verossimilhança de um texto: perda, perplexidade e bits por byte.

Bits por byte divide a informação pelos bytes UTF-8 do texto, não pelos tokens: por isso serve para
comparar modelos de tokenizadores diferentes.

    bpb = (soma de -ln p dos tokens avaliados) / ln 2 / (bytes desses tokens)

Há duas medidas. ``score`` é a de ``main.py evaluate``: cada documento é lido do começo, depois do
token de início, por janelas que deslizam, e contam só os tokens do texto. ``measure``, do treino, é
mais barata: linhas já empacotadas, em que o fim de cada texto também conta.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

MAX_LOGITS = 2**25  # números em ponto flutuante [B, L, V] por lote; o pico é umas 3 vezes isso
MAX_ROWS = 16  # janelas por lote


@dataclass(frozen=True)
class Likelihood:
    """O resultado da avaliação.

    loss: nats por token. perplexity: exp(loss). bits_per_byte: bits por byte UTF-8.
    tokens, bytes: quantos foram avaliados.
    """

    loss: float
    perplexity: float
    bits_per_byte: float
    tokens: int
    bytes: int

    @classmethod
    def from_totals(cls, nats: float, tokens: int, byte_count: int) -> "Likelihood":
        """Monta o resultado a partir das somas."""
        loss = nats / max(tokens, 1)
        bits = nats / math.log(2) / max(byte_count, 1)
        return cls(loss, math.exp(min(loss, 700.0)), bits, tokens, byte_count)

    def to_dict(self) -> dict[str, Any]:
        """Como dicionário, pronto para JSON."""
        return asdict(self)


@torch.no_grad()
def measure(
    model: Callable[..., Any],
    batches: Iterable[dict[str, Tensor]],
    bytes_per_token: Tensor,
) -> Likelihood:
    """Soma a perda dos rótulos que contam (diferentes de -100) em ``batches``.

    O resultado não depende de como as mesmas sequências são divididas em lotes.

    Args:
        model: chamável com ``input_ids`` e ``position_ids`` [B, L]; devolve ``.logits`` [B, L, V].
        batches: dicionários com ``input_ids``, ``labels`` e ``position_ids``.
        bytes_per_token: [V], bytes de texto de cada id (``LunaTokenizer.bytes_per_token``).
    """
    nats, tokens, byte_count = 0.0, 0, 0
    for batch in batches:
        inputs = {k: v for k, v in batch.items() if k != "labels"}
        targets = batch["labels"][:, 1:]
        logits = model(**inputs).logits[:, :-1]
        kept = targets != -100
        losses = F.cross_entropy(logits[kept].float(), targets[kept], reduction="sum")
        nats += float(losses.double())
        tokens += int(kept.sum())
        byte_count += int(bytes_per_token[targets[kept].cpu()].sum())
    return Likelihood.from_totals(nats, tokens, byte_count)


# ---------------------------------------------------------------------- janelas que deslizam


@dataclass(frozen=True)
class Encoded:
    """Um documento em tokens.

    ids: [n] inteiros; o primeiro é o token de início e nunca é avaliado.
    scored: [n], se o token é avaliado.
    unit: [n], a que trecho do documento o token pertence, de 0 a U - 1.
    unit_bytes: [U], bytes UTF-8 do que é avaliado em cada trecho.
    """

    ids: np.ndarray
    scored: np.ndarray
    unit: np.ndarray
    unit_bytes: np.ndarray

    @property
    def tokens(self) -> int:
        """Quantos tokens são avaliados."""
        return int(self.scored.sum())


@dataclass(frozen=True)
class Window:
    """Os tokens de ``start`` a ``end`` (sem ele) de um documento; contam os de ``first`` em diante.

    Entre as janelas de um documento, cada token conta exatamente uma vez.
    """

    document: int
    start: int
    end: int
    first: int


def sliding_windows(length: int, window: int, stride: int, document: int = 0) -> Iterator[Window]:
    """As janelas de um documento de ``length`` tokens, o primeiro sendo o de início.

    A primeira janela conta tudo; as seguintes avançam ``stride`` e contam só o que é novo, de modo
    que todo token fora da primeira é previsto com ao menos ``window - stride`` tokens à vista.

    Args:
        window: tokens por janela, até o contexto do modelo.
        stride: avanço, de 1 a ``window - 1``.

    Erros:
        ValueError: ``stride`` fora desse intervalo: um token ficaria sem nada antes de si.
    """
    if not 1 <= stride < window:
        raise ValueError(f"stride={stride}: esperado de 1 a window - 1 = {window - 1}.")
    first = 1
    for start in range(0, length, stride):
        end = min(start + window, length)
        if first < end:
            yield Window(document, start, end, first)
        first = end
        if end == length:
            return


@torch.inference_mode()
def score(
    model: Callable[..., Any],
    documents: Sequence[Encoded],
    window: int,
    stride: int,
    vocab_size: int,
    device: str = "cpu",
    batch_rows: int | None = None,
    on_progress: Callable[[int], object] | None = None,
) -> list[np.ndarray]:
    """-ln p de cada token de cada documento, em nats; zero nos que não são avaliados.

    Cada documento é independente dos outros, e o resultado não depende do tamanho do lote, salvo o
    arredondamento das multiplicações de matrizes.

    Args:
        model: chamável com ``input_ids`` [B, L]; devolve ``.logits`` [B, L, V].
        batch_rows: janelas por lote; sem ele, quantas couberem em ``MAX_LOGITS``.
        on_progress: recebe, a cada lote, quantos tokens foram avaliados nele.

    Returns:
        Por documento, [n] em float64.
    """
    nats = [np.zeros(len(document.ids)) for document in documents]
    for batch in _batches(documents, window, stride, vocab_size, batch_rows):
        ids, targets = _rows(documents, batch)
        logits = model(input_ids=ids.to(device), use_cache=False).logits[:, :-1]
        kept = targets.to(device) != -100
        losses = F.cross_entropy(
            logits[kept].float(), targets.to(device)[kept], reduction="none"
        ).cpu()
        done = 0
        for row, item in enumerate(batch):
            where = torch.nonzero(targets[row] != -100).ravel()
            found = losses[done : done + len(where)].double().numpy()
            nats[item.document][item.start + 1 + where.numpy()] = found
            done += len(where)
        if on_progress is not None:
            on_progress(done)
    return nats


def _batches(
    documents: Sequence[Encoded],
    window: int,
    stride: int,
    vocab_size: int,
    batch_rows: int | None,
) -> Iterator[list[Window]]:
    """As janelas que têm o que avaliar, das maiores às menores, em lotes de tamanho parecido."""
    windows = [
        item
        for index, document in enumerate(documents)
        for item in sliding_windows(len(document.ids), window, stride, index)
        if document.scored[item.first : item.end].any()
    ]
    windows.sort(key=lambda item: (item.start - item.end, item.document, item.start))
    done = 0
    while done < len(windows):
        length = windows[done].end - windows[done].start
        rows = batch_rows or max(1, min(MAX_ROWS, MAX_LOGITS // (length * vocab_size)))
        yield windows[done : done + rows]
        done += rows


def _rows(documents: Sequence[Encoded], batch: Sequence[Window]) -> tuple[Tensor, Tensor]:
    """Os ids [B, L] e os alvos [B, L - 1] de um lote, -100 onde não se avalia.

    O preenchimento fica à direita: o modelo é causal, e nada antes dele o vê.
    """
    length = max(item.end - item.start for item in batch)
    ids = np.zeros((len(batch), length), dtype=np.int64)
    targets = np.full((len(batch), length - 1), -100)
    for row, item in enumerate(batch):
        document, size = documents[item.document], item.end - item.start
        ids[row, :size] = document.ids[item.start : item.end]
        scored = document.scored[item.first : item.end]
        new = targets[row, item.first - item.start - 1 : size - 1]
        new[scored] = document.ids[item.first : item.end][scored]
    return torch.from_numpy(ids), torch.from_numpy(targets)


@dataclass(frozen=True)
class UnitScores:
    """A informação de cada trecho avaliado, na ordem dos documentos.

    nats: [U]. tokens: [U]. bytes: [U]. Os trechos são os mesmos para qualquer modelo, porque vêm do
    texto e não dos tokens: é o que permite comparar dois modelos trecho a trecho.
    """

    nats: np.ndarray
    tokens: np.ndarray
    bytes: np.ndarray

    @classmethod
    def collect(cls, documents: Sequence[Encoded], nats: Sequence[np.ndarray]) -> "UnitScores":
        """Soma por trecho o que ``score`` deu por token."""
        sums, tokens, sizes = [], [], []
        for document, values in zip(documents, nats):
            units, count = document.unit, len(document.unit_bytes)
            sums.append(np.bincount(units, weights=values, minlength=count))
            tokens.append(np.bincount(units, weights=document.scored, minlength=count))
            sizes.append(document.unit_bytes.astype(np.float64))
        empty = [np.zeros(0)]
        return cls(*(np.concatenate(parts or empty) for parts in (sums, tokens, sizes)))

    @property
    def bits(self) -> np.ndarray:
        """[U], a informação de cada trecho em bits."""
        return self.nats / math.log(2)

    def total(self) -> Likelihood:
        """A medida do conjunto todo."""
        return Likelihood.from_totals(
            float(self.nats.sum()), int(self.tokens.sum()), int(self.bytes.sum())
        )
