"""A partida por bigramas: contagens, gradientes ao lado da conta óbvia, e o que ela promete."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from src.models.luna_model import LunaModel
from src.training.bigrams import (
    MAX_PASSES,
    can_start,
    context_gradients,
    fit,
    passes_for,
    start_from_bigrams,
)
from src.training.examples import Example
from src.training.ngram_counts import count_pairs
from src.training.packing import PackedDataset
from tests.conftest import tiny_config

VOCABULARY = 40


def dataset(documents=30, length=12, seed=0) -> PackedDataset:
    """Documentos de uma cadeia de Markov: depois de i vem i + 1, quase sempre."""
    random = np.random.default_rng(seed)
    examples = []
    for _ in range(documents):
        ids = [int(random.integers(3, VOCABULARY))]
        while len(ids) < length:
            jump = 1 if random.random() < 0.9 else int(random.integers(2, 9))
            ids.append(3 + (ids[-1] - 3 + jump) % (VOCABULARY - 3))
        learn = [False] + [bool(random.random() < 0.8) for _ in ids[1:]]
        examples.append(Example(ids, learn))
    return PackedDataset(examples, 32, fill_id=1)


class OnDisk:
    """O mesmo conjunto sem ``examples``, como um ``CorpusDataset``."""

    def __init__(self, rows):
        self.rows, self.length, self.tokens = rows, rows.length, rows.tokens

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


def obvious_counts(rows) -> np.ndarray:
    table = np.zeros((VOCABULARY, VOCABULARY))
    for example in rows.examples:
        for before, after, learned in zip(example.ids, example.ids[1:], example.learn[1:]):
            table[before, after] += learned
    return table


@pytest.mark.parametrize("view", [lambda rows: rows, OnDisk])
def test_pairs_are_counted_inside_documents_and_only_where_learned(view):
    rows = dataset()
    counts = count_pairs(view(rows), VOCABULARY)
    table = np.zeros((VOCABULARY, VOCABULARY))
    for context in range(VOCABULARY):
        some = slice(int(counts.start[context]), int(counts.start[context + 1]))
        table[context, counts.following[some]] = counts.counts[some]
    expected = obvious_counts(rows)
    assert (table == expected).all()
    assert counts.totals.numpy() == pytest.approx(expected.sum(axis=1))


def test_a_large_corpus_is_sampled():
    rows = dataset(documents=400)
    some = count_pairs(rows, VOCABULARY, max_tokens=rows.tokens // 4)
    every = count_pairs(rows, VOCABULARY)
    assert 0.2 < float(some.totals.sum() / every.totals.sum()) < 0.3


def test_gradients_are_those_of_the_tokens_one_by_one():
    torch.manual_seed(0)
    rows, norm = dataset(), nn.LayerNorm(8)
    counts = count_pairs(rows, VOCABULARY)
    E, U = torch.randn(VOCABULARY, 8), torch.randn(VOCABULARY, 8)
    batch = counts.contexts[:9]
    head_gradient = torch.zeros_like(U)
    loss, row_gradient = context_gradients(
        E[batch], U, norm, counts, batch, torch.float32, head_gradient
    )
    table = torch.tensor(obvious_counts(rows)).long()
    pairs = [
        (i, j) for i in batch.tolist() for j in range(VOCABULARY) for _ in range(int(table[i, j]))
    ]
    before, after = (torch.tensor(side) for side in zip(*pairs))
    E, U = E.requires_grad_(), U.requires_grad_()
    expected = F.cross_entropy(norm(E[before]) @ U.T, after)
    expected.backward()
    assert loss == pytest.approx(float(expected), rel=1e-5)
    assert torch.allclose(row_gradient, E.grad[batch], atol=1e-6)
    assert torch.allclose(head_gradient, U.grad, atol=1e-6)


def fresh(**changes) -> LunaModel:
    torch.manual_seed(0)
    switches = {"use_state_space": True, "use_moe": True, "use_growing": True}
    switches |= {"tie_word_embeddings": False, "vocab_size": VOCABULARY} | changes
    return LunaModel.from_scratch(tiny_config(**switches))


def test_the_model_starts_at_the_loss_of_the_bigrams():
    """A perda do ajuste é a do modelo inteiro: os blocos calam, e a escala de E não importa."""
    model, rows = fresh(), dataset()
    counts = count_pairs(rows, VOCABULARY)
    start_from_bigrams(model, counts, passes=300, seed=0)
    entropy = _entropy(obvious_counts(rows))
    with torch.no_grad():
        nats = tokens = 0.0
        for example in rows.examples:
            ids = torch.tensor([example.ids])
            labels = torch.where(torch.tensor([example.learn]), ids, -100)
            count = int((labels[:, 1:] != -100).sum())
            nats, tokens = nats + float(model(ids, labels=labels).loss) * count, tokens + count
    assert nats / tokens < entropy + 0.1
    final, _ = context_gradients(
        model.model.transformer.wte.weight.detach()[counts.contexts],
        model.model.lm_head.weight,
        model.model.transformer.ln_f.base_model,
        counts,
        counts.contexts,
    )
    assert nats / tokens == pytest.approx(final, rel=1e-4)
    sizes = model.model.transformer.wte.weight.square().mean(dim=1).sqrt()
    assert torch.allclose(sizes, torch.ones_like(sizes), atol=1e-4)


def _entropy(table: np.ndarray) -> float:
    share = table / table.sum(axis=1, keepdims=True).clip(1)
    logs = np.log(share, where=share > 0, out=np.zeros_like(share))
    return float(-(table * logs).sum() / table.sum())


def test_the_same_seed_gives_the_same_start_and_bf16_a_close_one():
    rows = dataset()
    counts = count_pairs(rows, VOCABULARY)
    tables = []
    for seed, dtype in ((1, torch.float32), (1, torch.float32), (1, torch.bfloat16)):
        torch.manual_seed(3)
        E, U = torch.randn(VOCABULARY, 8) * 0.02, torch.randn(VOCABULARY, 8) * 0.02
        loss = fit(E, U, nn.LayerNorm(8), counts, 30, seed, dtype)
        tables.append((E, loss))
    assert torch.equal(tables[0][0], tables[1][0])
    assert tables[2][1] == pytest.approx(tables[0][1], rel=0.05)


def test_passes_follow_the_size_of_the_training_that_comes_after():
    shape = (5 * 10**6, 8192, 256)
    assert passes_for(0, 10**7, *shape) == passes_for(2_000, 10**7, *shape) == 0
    assert 0 < passes_for(150_000, 10**7, *shape) < MAX_PASSES
    assert passes_for(10**9, 10**7, *shape) == MAX_PASSES
    assert passes_for(10**9, 100 * 8192 - 1, *shape) == 0  # poucos dados


def test_only_a_new_model_with_its_own_output_starts_from_bigrams(tmp_path):
    model = fresh()
    assert can_start(model)
    assert not can_start(fresh(tie_word_embeddings=True))
    start_from_bigrams(model, count_pairs(dataset(), VOCABULARY), passes=1, seed=0)
    assert not can_start(model)
    model.save(tmp_path / "m")
    assert LunaModel.from_pretrained(tmp_path / "m").config.origin == "bigram"
