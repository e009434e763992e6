"""Os vetores de pares da partida: o que segue dois tokens, aprendido das contagens.

Depois da partida por bigramas (``src/training/bigrams.py``), cada par frequente (i, j) ganha um
vetor P_ij, somado ao embedding de j, que acerta o que costuma vir depois dos dois:

    perda de P_ij = entropia cruzada(q_ij, softmax(U norm(E_j + P_ij))) + PRIOR / (2 n_ij) |P_ij|²

com q_ij a distribuição contada e n_ij quantas vezes o par apareceu. E e U não se mexem. O último
termo é a densidade de uma normal em torno de zero: um par pouco visto se afasta pouco do que só o
token j diria.

Fontes: o modelo é o log-bilinear de Mnih & Hinton (2007) com uma interação por par; a tabela, a de
``src/models/pair_embedding.py``. As medidas estão em docs/LOG.md.
"""

from typing import Any

import torch
from torch import Tensor, nn

from src.models.luna_model import LunaModel
from src.models.pair_embedding import PairEmbedding, second_tokens
from src.training.bigrams import RowAdam, context_gradients, final_norm, passes_cost, ramp
from src.training.ngram_counts import Successors, count_after_pairs, frequent_pairs

MAX_PAIRS = 131_072
MIN_PAIRS = 1000  # menos que isto não paga a contagem
PASSES = 3
#: A tabela custa no máximo esta parte das contas do treino que vem depois.
SHARE = 0.3
LEAST_COUNT = 8  # vezes em que um par precisa aparecer
BATCH = 256  # pares por atualização
RATE, PRIOR = 0.2, 1.0
BETAS = (0.8, 0.95)


def pairs_for(
    training_tokens: float, active_parameters: int, vocab: int, width: int, most: int = MAX_PAIRS
) -> int:
    """Quantos pares valem a pena antes de um treino de ``training_tokens`` tokens."""
    training = 6.0 * training_tokens * active_parameters
    found = min(most, int(SHARE * training / (PASSES * passes_cost(1, vocab, width))))
    return found if found >= MIN_PAIRS else 0


def add_pair_vectors(
    model: LunaModel, rows: Any, most: int, seed: int, low_precision: bool = False
) -> float | None:
    """Dá a ``model`` a tabela dos até ``most`` pares mais frequentes de ``rows``.

    Returns:
        a perda média da última passada nos pares da tabela, em nats por token; ``None`` se nenhum
        par é frequente o bastante, e nada mudou.
    """
    vocab = model.config.vocab_size
    pairs = frequent_pairs(rows, most, LEAST_COUNT)
    if not len(pairs):
        return None
    counts = count_after_pairs(rows, pairs, vocab)
    keys = torch.from_numpy(pairs)
    vectors, nats = fit_vectors(
        model.model.transformer.wte.weight.detach(),
        second_tokens(keys),
        model.model.lm_head.weight.detach(),
        final_norm(model),
        counts,
        seed,
        torch.bfloat16 if low_precision else torch.float32,
    )
    model.model.transformer.pairs = PairEmbedding.from_vectors(keys, vectors)
    model.config.pair_rows = len(pairs)
    return nats


def fit_vectors(
    embedding: Tensor,
    last: Tensor,
    head: Tensor,
    norm: nn.Module,
    counts: Successors,
    seed: int,
    dtype: torch.dtype = torch.float32,
    passes: int = PASSES,
) -> tuple[Tensor, float]:
    """Os vetores [K, D] dos pares que terminam nos tokens ``last`` [K], e os nats por token."""
    vectors = torch.zeros(len(last), embedding.shape[1])
    generator = torch.Generator().manual_seed(seed)
    adam = RowAdam(vectors, BETAS)
    total, step, nats = passes * -(-len(vectors) // BATCH), 0, 0.0
    for _ in range(passes):
        nats = 0.0
        for batch in torch.randperm(len(vectors), generator=generator).split(BATCH):
            seen = counts.totals[batch]
            summed = embedding[last[batch]] + vectors[batch]
            loss, gradient = context_gradients(summed, head, norm, counts, batch, dtype)
            nats += loss * float(seen.sum())
            per_token = gradient * (seen.sum() / seen).unsqueeze(1)
            prior = vectors[batch] * (PRIOR / seen).unsqueeze(1)
            adam.step(per_token + prior, RATE * ramp(step, total), batch)
            step += 1
    return vectors, nats / float(counts.totals.sum())
