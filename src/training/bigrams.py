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

import statistics
import time

import torch
from torch import Tensor, nn

from src.models.loss import CHUNK_FLOATS
from src.models.luna_model import LunaModel
from src.models.moe import Expert
from src.models.state_space import StateSpaceLayer
from src.training.ngram_counts import Successors

MAX_PASSES = 8
#: A partida custa no máximo esta parte das contas do treino que vem depois.
SHARE = 0.08
#: Uma passada custa isto vezes as suas multiplicações de matrizes: o resto é a softmax.
SOFTMAX_COST = 1.7
#: Com menos tokens por entrada do vocabulário, as contagens são ruído decorado (docs/LOG.md).
MIN_TOKENS_PER_ENTRY = 100
BATCH = 256  # contextos por atualização
EMBEDDING_RATE, HEAD_RATE = 1e-2, 5e-3
WARM_UP, DECAY = 8, 0.6  # atualizações de aquecimento; parte final em que a taxa desce a zero
EMBEDDING_BETAS, HEAD_BETAS = (0.8, 0.95), (0.9, 0.95)


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
    return min(MAX_PASSES, int(SHARE * training / passes_cost(vocab, vocab, width)))


def passes_cost(contexts: int, vocab: int, width: int) -> float:
    """As operações de uma passada por ``contexts`` contextos."""
    return 6.0 * contexts * vocab * width * SOFTMAX_COST


def seconds_per_context(vocab: int, width: int, low_precision: bool = False) -> float:
    """Quanto custa um contexto nesta máquina: a mediana de três lotes de mentira."""
    head, vectors, norm = torch.zeros(vocab, width), torch.zeros(BATCH, width), nn.LayerNorm(width)
    every = torch.arange(BATCH)
    ones = torch.ones(BATCH)
    counts = Successors(torch.arange(BATCH + 1), torch.zeros(BATCH, dtype=torch.long), ones, ones)
    dtype, times = torch.bfloat16 if low_precision else torch.float32, []
    for _ in range(4):
        began = time.perf_counter()
        context_gradients(vectors.clone(), head, norm, counts, every, dtype)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:]) / BATCH


def can_start(model: LunaModel) -> bool:
    """Se o modelo é novo, e a saída dele é uma projeção própria, não a tabela de entrada."""
    return model.config.origin == "random" and not model.config.tie_word_embeddings


def start_from_bigrams(
    model: LunaModel, counts: Successors, passes: int, seed: int, low_precision: bool = False
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
        final_norm(model),
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


def final_norm(model: LunaModel) -> nn.Module:
    """A normalização antes da projeção de saída, por baixo do que tiver crescido."""
    end = model.model.transformer.ln_f
    found: nn.Module = end.base_model if model.growing_networks else end
    return found


def fit(
    embedding: Tensor,
    head: Tensor,
    norm: nn.Module,
    counts: Successors,
    passes: int,
    seed: int,
    dtype: torch.dtype = torch.float32,
) -> float:
    """Ajusta ``embedding`` e ``head`` [V, D], no lugar, às contagens; devolve os nats por token."""
    contexts, generator = counts.contexts, torch.Generator().manual_seed(seed)
    total = passes * -(-len(contexts) // BATCH)
    rows = RowAdam(embedding, EMBEDDING_BETAS)
    columns = torch.optim.Adam([head], betas=HEAD_BETAS, eps=1e-12, fused=True)
    step, nats = 0, 0.0
    for _ in range(passes):
        nats = 0.0
        order = contexts[torch.randperm(len(contexts), generator=generator)]
        for batch in order.split(BATCH):
            factor, head.grad = ramp(step, total), torch.zeros_like(head)
            loss, row_gradient = context_gradients(
                embedding.detach()[batch], head, norm, counts, batch, dtype, head.grad
            )
            nats += loss * float(counts.totals[batch].sum())
            rows.step(row_gradient, EMBEDDING_RATE * factor, batch)
            columns.param_groups[0]["lr"] = HEAD_RATE * factor
            columns.step()
            step += 1
    head.grad = None
    with torch.no_grad():
        scale = embedding.square().mean(dim=1, keepdim=True).sqrt().clamp_min(1e-6)
        embedding.div_(scale)
    return nats / float(counts.totals.sum())


def ramp(step: int, total: int) -> float:
    """O fator da taxa na atualização ``step`` de ``total``: aquece, fica, desce."""
    return min((step + 1) / WARM_UP, (total - step) / (total * DECAY), 1.0)


def context_gradients(
    vectors: Tensor,
    head: Tensor,
    norm: nn.Module,
    counts: Successors,
    batch: Tensor,
    dtype: torch.dtype = torch.float32,
    head_gradient: Tensor | None = None,
) -> tuple[float, Tensor]:
    """(nats por token, gradiente de ``vectors`` [b, D]), um vetor por contexto de ``batch`` [b].

    A perda é a média sobre os tokens que seguem esses contextos. O gradiente de ``head`` [V, D] é
    somado a ``head_gradient``, se houver.
    """
    with torch.enable_grad():
        vectors = vectors.requires_grad_(True)
        hidden = norm(vectors)
    h, w = hidden.detach().to(dtype), head.detach().to(dtype)
    hidden_gradient = torch.empty_like(h)
    weight = float(counts.totals[batch].sum())
    nats, size = 0.0, max(16, CHUNK_FLOATS // 2 // len(head))
    with torch.no_grad():
        for part in range(0, len(batch), size):
            some = slice(part, part + size)
            residual, scale, loss = _residual(h[some], w, counts, batch[some], weight)
            nats += loss
            hidden_gradient[some] = (residual @ w) * scale.to(dtype)
            if head_gradient is not None:
                head_gradient += residual.T @ (h[some] * scale).to(dtype)
    (gradient,) = torch.autograd.grad(hidden, vectors, hidden_gradient.to(hidden.dtype))
    return nats, gradient


def _residual(
    h: Tensor, w: Tensor, counts: Successors, batch: Tensor, weight: float
) -> tuple[Tensor, Tensor, float]:
    """(r [b, V], s [b, 1], perda desta parte); ``s r`` é c_i / c * (softmax - q_i).

    Como em ``src/models/loss.py``, uma exponencial só, e a divisão fica para quem tem [b, D].
    """
    first, end = counts.start[batch], counts.start[batch + 1]
    number = end - first
    row = torch.repeat_interleave(torch.arange(len(batch)), number)
    offset = torch.arange(len(row)) - torch.repeat_interleave(number.cumsum(0) - number, number)
    pair = torch.repeat_interleave(first, number) + offset
    share = counts.counts[pair] / weight
    place = row * w.shape[0] + counts.following[pair]
    logits = h @ w.T
    at_targets = logits.view(-1)[place].float()
    top = logits.amax(dim=1, keepdim=True)
    residual = logits.sub_(top).exp_()
    row_sum = residual.sum(dim=1, keepdim=True, dtype=torch.float32)
    loss = float((share * ((row_sum.log() + top.float())[row, 0] - at_targets)).sum())
    scale = counts.totals[batch].unsqueeze(1) / (weight * row_sum)
    flat = residual.view(-1)
    flat[place] = (flat[place].float() - share / scale[row, 0]).to(flat.dtype)
    return residual, scale, loss


class RowAdam:
    """O passo de Adam de algumas linhas de uma tabela, cada uma com a sua idade."""

    def __init__(self, table: Tensor, betas: tuple[float, float]) -> None:
        self.table, self.betas = table, betas
        self.mean, self.square = torch.zeros_like(table), torch.zeros_like(table)
        self.age = torch.zeros(len(table), 1)

    @torch.no_grad()
    def step(self, gradient: Tensor, rate: float, rows: Tensor) -> None:
        """Anda as linhas ``rows`` [b], distintas, contra ``gradient`` [b, D]."""
        first, second = self.betas
        self.age[rows] += 1
        age = self.age[rows]
        self.mean[rows] = mean = self.mean[rows].lerp_(gradient, 1 - first)
        square = self.square[rows].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        self.square[rows] = square
        size = (square / (1 - second**age)).sqrt_().add_(1e-12)
        self.table[rows] -= rate * (mean / (1 - first**age)) / size
