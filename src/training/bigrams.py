"""A partida por bigramas: embeddings que já sabem que token costuma vir depois de qual.

Nos primeiros minutos, um modelo pequeno aprende sobretudo pares de tokens, um exemplo ruidoso de
cada vez. As contagens de todos os pares do corpus saem em segundos, e ajustar a elas o modelo sem
os blocos (embedding, normalização final, projeção de saída) é o mesmo que ler o corpus inteiro a
cada passada, ao custo de uma projeção por token do vocabulário. O treino comum começa daí.

Glossário (letra, significado, forma):
    V  vocabulário      E  embeddings [V, D]      U  projeção de saída [V, D]
    c_ij  quantas vezes j seguiu i           q_i  a distribuição do que segue i: c_ij / c_i

    perda = soma_i c_i / c * entropia cruzada(q_i, softmax(U norm(E_i)))

Com as saídas dos blocos em zero, isso é exatamente a perda do modelo inteiro nesses pares. No fim,
cada linha de E vai à raiz quadrática média 1, o que não muda saída alguma (a normalização a
desfaz) e deixa os blocos somarem a um vetor de tamanho conhecido.

Fontes: o modelo é o log-bilinear de Mnih & Hinton, "Three New Graphical Models for Statistical
Language Modelling" (2007), com um só token de contexto; a ideia de partir de bigramas é comum, e as
medidas que a justificam aqui estão em docs/LOG.md.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from src.models.loss import CHUNK_FLOATS
from src.models.luna_model import LunaModel
from src.models.moe import Expert
from src.models.state_space import StateSpaceLayer
from src.training.packing import IGNORED

logger = logging.getLogger(__name__)

MAX_PASSES = 8
#: A partida custa no máximo esta parte das contas do treino que vem depois.
SHARE = 0.08
#: Uma passada custa isto vezes as suas multiplicações de matrizes: o resto é a softmax.
SOFTMAX_COST = 1.7
#: Com menos tokens por entrada do vocabulário, as contagens são ruído decorado (docs/LOG.md).
MIN_TOKENS_PER_ENTRY = 100
MAX_TOKENS = 20_000_000  # de um corpus maior, conta-se uma amostra espalhada das linhas
BATCH = 256  # contextos por atualização
EMBEDDING_RATE, HEAD_RATE = 1e-2, 5e-3
WARM_UP, DECAY = 8, 0.6  # atualizações de aquecimento; parte final em que a taxa desce a zero
EMBEDDING_BETAS, HEAD_BETAS = (0.8, 0.95), (0.9, 0.95)


@dataclass(frozen=True)
class PairCounts:
    """Os pares contados, agrupados pelo primeiro token.

    start: [V + 1], onde começam os pares de cada contexto. following: [P], o segundo token.
    counts: [P]. totals: [V], as somas por contexto.
    """

    start: Tensor
    following: Tensor
    counts: Tensor
    totals: Tensor

    @property
    def contexts(self) -> Tensor:
        """Os tokens que aparecem como contexto."""
        return torch.nonzero(self.totals > 0).ravel()


def count_pairs(rows: Any, vocab_size: int, max_tokens: int = MAX_TOKENS) -> PairCounts:
    """Conta (token, token aprendido seguinte) em ``rows``, sem atravessar documentos."""
    keys, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
    for before, after in _pairs(rows, max_tokens):
        found, times = np.unique(before * vocab_size + after, return_counts=True)
        keys, counts = _merged(keys, counts, found, times)
    first = torch.from_numpy(keys // vocab_size)
    values = torch.from_numpy(counts).float()
    totals = torch.zeros(vocab_size).index_add_(0, first, values)
    start = torch.searchsorted(first, torch.arange(vocab_size + 1))
    return PairCounts(start, torch.from_numpy(keys % vocab_size), values, totals)


def _merged(
    keys: np.ndarray, counts: np.ndarray, more: np.ndarray, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    if not len(keys):
        return more, times
    together, where = np.unique(np.concatenate([keys, more]), return_inverse=True)
    summed = np.bincount(where.ravel(), weights=np.concatenate([counts, times]))
    return together, summed.astype(np.int64)


def _pairs(rows: Any, max_tokens: int) -> Any:
    """(primeiros [n], segundos [n]) em blocos de uns milhões de tokens."""
    block: list[tuple[np.ndarray, np.ndarray]] = []
    size = 0
    for before, after in _pieces(rows, max_tokens):
        block.append((before, after))
        size += len(before)
        if size >= 4_000_000:
            yield tuple(np.concatenate(side) for side in zip(*block))
            block, size = [], 0
    if block:
        yield tuple(np.concatenate(side) for side in zip(*block))


def _pieces(rows: Any, max_tokens: int) -> Any:
    examples: Sequence[Any] | None = getattr(rows, "examples", None)
    if examples is not None:
        stride = max(1, -(-rows.tokens // max_tokens))
        for example in examples[::stride]:
            ids, learn = np.array(example.ids, np.int64), np.array(example.learn[1:], bool)
            yield ids[:-1][learn], ids[1:][learn]
        return
    stride = max(1, -(-len(rows) * rows.length // max_tokens))
    for index in range(0, len(rows), stride):
        row = {name: tensor.numpy() for name, tensor in rows[index].items()}
        learn = (row["labels"][1:] != IGNORED) & (row["position_ids"][1:] != 0)
        ids = row["input_ids"].astype(np.int64)
        yield ids[:-1][learn], ids[1:][learn]


def passes_for(
    training_tokens: float, data_tokens: int, active_parameters: int, vocab: int, width: int
) -> int:
    """Quantas passadas valem a pena antes de um treino de ``training_tokens`` tokens.

    Conta operações, não segundos, para que o mesmo treino seja o mesmo em qualquer máquina. Com
    poucos dados (``data_tokens``, sem repetição), nenhuma.
    """
    if data_tokens < MIN_TOKENS_PER_ENTRY * vocab:
        return 0
    training = 6.0 * training_tokens * active_parameters
    one_pass = 6.0 * vocab * vocab * width * SOFTMAX_COST
    return min(MAX_PASSES, int(SHARE * training / one_pass))


def can_start(model: LunaModel) -> bool:
    """Se o modelo é novo, e a saída dele é uma projeção própria, não a tabela de entrada."""
    return model.config.origin == "random" and not model.config.tie_word_embeddings


def start_from_bigrams(
    model: LunaModel, counts: PairCounts, passes: int, seed: int, low_precision: bool = False
) -> float:
    """Zera as saídas dos blocos e ajusta embeddings e projeção aos pares.

    Args:
        passes: passadas por todos os contextos. seed: a semente da ordem deles.
        low_precision: faz as multiplicações em bf16.

    Returns:
        a perda média da última passada, em nats por token.
    """
    silence_blocks(model)
    loss = fit(
        model.model.transformer.wte.weight,
        model.model.lm_head.weight,
        _final_norm(model),
        counts,
        passes,
        seed,
        torch.bfloat16 if low_precision else torch.float32,
    )
    model.config.origin = "bigram"
    return loss


@torch.no_grad()
def silence_blocks(model: LunaModel) -> None:
    """Zera a última matriz de cada ramo residual: o modelo vira embedding, norma e projeção."""
    for module in model.modules():
        if isinstance(module, StateSpaceLayer):
            module.C.zero_()
            module.D.zero_()
        elif isinstance(module, Expert):
            module.proj.weight.zero_()
            module.proj.bias.zero_()
    for block in model.blocks:
        for part in (block.attn, block.mlp):
            if hasattr(part, "c_proj"):
                part.c_proj.weight.zero_()
                part.c_proj.bias.zero_()
    model.model.transformer.wpe.weight.zero_()


def _final_norm(model: LunaModel) -> nn.Module:
    end = model.model.transformer.ln_f
    found: nn.Module = end.base_model if model.growing_networks else end
    return found


def fit(
    embedding: Tensor,
    head: Tensor,
    norm: nn.Module,
    counts: PairCounts,
    passes: int,
    seed: int,
    dtype: torch.dtype = torch.float32,
) -> float:
    """Ajusta ``embedding`` e ``head`` [V, D], no lugar, às contagens; devolve os nats por token."""
    contexts, generator = counts.contexts, torch.Generator().manual_seed(seed)
    total = passes * -(-len(contexts) // BATCH)
    rows, columns = _Adam(embedding, EMBEDDING_BETAS), _Adam(head, HEAD_BETAS)
    step, nats = 0, 0.0
    for _ in range(passes):
        nats = 0.0
        order = contexts[torch.randperm(len(contexts), generator=generator)]
        for batch in order.split(BATCH):
            factor = min((step + 1) / WARM_UP, (total - step) / (total * DECAY), 1.0)
            loss, row_gradient, head_gradient = pair_gradients(
                embedding, head, norm, counts, batch, dtype
            )
            nats += loss * float(counts.totals[batch].sum())
            rows.step(row_gradient, EMBEDDING_RATE * factor, batch)
            columns.step(head_gradient, HEAD_RATE * factor)
            step += 1
    with torch.no_grad():
        scale = embedding.square().mean(dim=1, keepdim=True).sqrt().clamp_min(1e-6)
        embedding.div_(scale)
    return nats / float(counts.totals.sum())


def pair_gradients(
    embedding: Tensor,
    head: Tensor,
    norm: nn.Module,
    counts: PairCounts,
    batch: Tensor,
    dtype: torch.dtype = torch.float32,
) -> tuple[float, Tensor, Tensor]:
    """(nats por token, gradiente das linhas de E [b, D], gradiente de U [V, D]) dos contextos.

    A perda é a média sobre os tokens que seguem os contextos de ``batch`` [b].
    """
    with torch.enable_grad():
        vectors = embedding.detach()[batch].requires_grad_(True)
        hidden = norm(vectors)
    h, w = hidden.detach().to(dtype), head.detach().to(dtype)
    hidden_gradient, head_gradient = torch.empty_like(h), torch.zeros_like(head)
    weight = float(counts.totals[batch].sum())
    nats, size = 0.0, max(16, CHUNK_FLOATS // 2 // len(head))
    with torch.no_grad():
        for part in range(0, len(batch), size):
            some = slice(part, part + size)
            residual, loss = _residual(h[some], w, counts, batch[some], weight)
            nats += loss
            residual = residual.to(dtype)
            hidden_gradient[some] = residual @ w
            head_gradient += residual.T @ h[some]
    (row_gradient,) = torch.autograd.grad(hidden, vectors, hidden_gradient.to(hidden.dtype))
    return nats, row_gradient, head_gradient


def _residual(
    h: Tensor, w: Tensor, counts: PairCounts, batch: Tensor, weight: float
) -> tuple[Tensor, float]:
    """c_i / c * (softmax - q_i) [b, V], e a perda desta parte."""
    logits = (h @ w.T).float()
    normaliser = logits.logsumexp(dim=1, keepdim=True)
    first, end = counts.start[batch], counts.start[batch + 1]
    number = end - first
    row = torch.repeat_interleave(torch.arange(len(batch)), number)
    offset = torch.arange(len(row)) - torch.repeat_interleave(number.cumsum(0) - number, number)
    pair = torch.repeat_interleave(first, number) + offset
    share = counts.counts[pair] / weight
    place = row * w.shape[0] + counts.following[pair]
    loss = float((share * (normaliser[row, 0] - logits.view(-1)[place])).sum())
    residual = logits.sub_(normaliser).exp_().mul_(counts.totals[batch].unsqueeze(1) / weight)
    residual.view(-1).index_add_(0, place, share, alpha=-1)
    return residual, loss


class _Adam:
    """O passo de Adam de uma tabela, também só de algumas linhas, cada uma com a sua idade."""

    def __init__(self, table: Tensor, betas: tuple[float, float]) -> None:
        self.table, self.betas = table, betas
        self.mean, self.square = torch.zeros_like(table), torch.zeros_like(table)
        self.age = torch.zeros(len(table), 1)

    @torch.no_grad()
    def step(self, gradient: Tensor, rate: float, rows: Tensor | None = None) -> None:
        """Anda ``rows`` (ou todas) contra ``gradient``."""
        where: Any = slice(None) if rows is None else rows
        first, second = self.betas
        self.age[where] += 1
        age = self.age[where]
        self.mean[where] = mean = self.mean[where].lerp(gradient, 1 - first)
        square = self.square[where].mul(second).addcmul(gradient, gradient, value=1 - second)
        self.square[where] = square
        size = (square / (1 - second**age)).sqrt_().add_(1e-12)
        self.table[where] -= rate * (mean / (1 - first**age)) / size
