"""A partida com pares: contagens de trios, o ajuste ao lado da conta óbvia, e o que ela promete."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from src.models.pair_embedding import KEY_BITS
from src.training import pair_vectors
from src.training.bigrams import context_gradients, start_from_bigrams
from src.training.ngram_counts import count_after_pairs, count_pairs, frequent_pairs
from src.training.pair_vectors import MAX_PAIRS, MIN_PAIRS, add_pair_vectors, fit_vectors, pairs_for
from tests.test_bigrams import VOCABULARY, OnDisk, dataset, fresh


def obvious_trios(rows) -> dict:
    """{(i, j): {k: vezes}}, contando um a um."""
    table: dict = {}
    for example in rows.examples:
        for i, j, k, learned in zip(
            example.ids, example.ids[1:], example.ids[2:], example.learn[2:]
        ):
            if learned:
                successors = table.setdefault((i, j), {})
                successors[k] = successors.get(k, 0) + 1
    return table


@pytest.mark.parametrize("view", [lambda rows: rows, OnDisk])
@pytest.mark.parametrize("most", [12, 10_000])
def test_trios_are_counted_inside_documents_and_only_where_learned(view, most):
    rows = dataset()
    table = obvious_trios(rows)
    totals = {pair: sum(after.values()) for pair, after in table.items()}
    pairs = frequent_pairs(view(rows), most, least_count=2)
    found = [(int(k) >> KEY_BITS, int(k) & ((1 << KEY_BITS) - 1)) for k in pairs]
    assert found == sorted(found) and len(found) <= most
    left_out = [n for pair, n in totals.items() if n >= 2 and pair not in found]
    assert max(left_out, default=0) <= min(totals[pair] for pair in found)
    assert min(totals[pair] for pair in found) >= 2
    counts = count_after_pairs(view(rows), pairs, VOCABULARY)
    for row, pair in enumerate(found):
        some = slice(int(counts.start[row]), int(counts.start[row + 1]))
        seen = dict(zip(counts.following[some].tolist(), counts.counts[some].tolist()))
        assert seen == table[pair]


def test_the_fit_goes_where_the_gradient_of_the_stated_loss_is_zero():
    """Com passadas de sobra, chega ao mínimo da perda com a normal em torno de zero."""
    torch.manual_seed(0)
    rows, norm = dataset(documents=200), nn.LayerNorm(8)
    pairs = frequent_pairs(rows, 20, least_count=4)
    counts = count_after_pairs(rows, pairs, VOCABULARY)
    base, head = torch.randn(len(pairs), 8), torch.randn(VOCABULARY, 8)
    vectors, nats = fit_vectors(
        base, torch.arange(len(pairs)), head, norm, counts, seed=0, passes=600
    )
    free = vectors.clone().requires_grad_()
    total = torch.zeros(())
    for row in range(len(pairs)):
        some = slice(int(counts.start[row]), int(counts.start[row + 1]))
        logs = F.log_softmax(norm(base[row] + free[row]) @ head.T, dim=0)
        total = total - (counts.counts[some] * logs[counts.following[some]]).sum()
    data = float(total) / float(counts.totals.sum())
    assert nats == pytest.approx(data, rel=1e-2)
    (total + pair_vectors.PRIOR / 2 * free.square().sum()).backward()
    per_token = free.grad / counts.totals.unsqueeze(1)
    at_zero, gradient = context_gradients(base, head, norm, counts, torch.arange(len(pairs)))
    before = gradient * (counts.totals.sum() / counts.totals).unsqueeze(1)
    assert nats < at_zero - 0.1
    assert per_token.abs().mean() < 0.03 * before.abs().mean()


def test_the_model_with_pairs_predicts_better_than_the_bigrams_and_repeats_itself(monkeypatch):
    monkeypatch.setattr(pair_vectors, "BATCH", 4)  # poucos pares: mais atualizações por passada
    rows = trigram_rows()
    losses, tables = [], []
    for most in (0, 150, 150):
        model = fresh()
        start_from_bigrams(model, count_pairs(rows, VOCABULARY), passes=60, seed=0)
        if most:
            nats = add_pair_vectors(model, rows, most, seed=0)
            assert nats is not None and model.config.pair_rows == 150
            tables.append(model.model.transformer.pairs.values)
        losses.append(mean_loss(model, rows))
    assert losses[1] < losses[0] - 0.1
    assert torch.equal(*tables)


def trigram_rows():
    """Documentos em que os dois últimos tokens decidem o próximo, e só o último não."""
    rows, random = dataset(documents=300), np.random.default_rng(0)
    for example in rows.examples:
        ids = [int(n) for n in random.integers(3, 18, 2)]
        while len(ids) < len(example.ids):
            ids.append(3 + (ids[-1] * 5 + ids[-2]) % 15)
        example.ids[:] = ids
    return rows


def mean_loss(model, rows) -> float:
    model.eval()
    with torch.no_grad():
        losses = [
            float(model(torch.tensor([e.ids]), labels=torch.tensor([e.ids])).loss)
            for e in rows.examples[:50]
        ]
    return sum(losses) / len(losses)


def test_without_frequent_pairs_nothing_changes():
    model, rows = fresh(), dataset(documents=2)
    assert add_pair_vectors(model, rows, 50, seed=0) is None
    assert model.config.pair_rows == 0 and model.model.transformer.pairs is None


def test_pairs_follow_the_size_of_the_training_that_comes_after():
    shape = (5 * 10**6, 8192, 256)
    assert pairs_for(0, *shape) == 0
    assert 0 < pairs_for(10**5, *shape) < pairs_for(10**6, *shape) <= MAX_PAIRS
    assert pairs_for(10**9, *shape) == MAX_PAIRS and pairs_for(10**9, *shape, 5000) == 5000
    assert pairs_for(10**9, *shape, MIN_PAIRS - 1) == 0
