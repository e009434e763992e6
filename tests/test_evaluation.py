"""Medidas: verossimilhança diante do cálculo direto e o 5-grama diante da conta à mão."""

import math

import pytest
import torch

from src.evaluation.likelihood import Likelihood, measure
from src.evaluation.ngram import InterpolatedNGram
from src.training.examples import build_examples
from src.training.packing import PackedDataset
from tests.conftest import SENTENCES, make_model, tiny_config


def batches(dataset, size):
    rows = [dataset[i] for i in range(len(dataset))]
    for start in range(0, len(rows), size):
        chunk = rows[start : start + size]
        yield {name: torch.stack([row[name] for row in chunk]) for name in chunk[0]}


def test_result_does_not_depend_on_how_rows_are_batched(tokenizer):
    model = make_model(tiny_config(tokenizer, use_state_space=True, use_moe=True))
    dataset = PackedDataset(build_examples(SENTENCES, tokenizer, 40), 40, tokenizer.eos_id)
    sizes = torch.tensor(tokenizer.bytes_per_token())
    results = [measure(model, batches(dataset, n), sizes) for n in (1, 3, 8)]
    assert all(r.tokens == results[0].tokens and r.bytes == results[0].bytes for r in results)
    assert all(r.loss == pytest.approx(results[0].loss, rel=1e-6) for r in results)


def test_likelihood_figures_follow_their_definitions():
    result = Likelihood.from_totals(nats=20.0, tokens=10, byte_count=40)
    assert result.loss == 2.0 and result.perplexity == pytest.approx(math.exp(2.0))
    assert result.bits_per_byte == pytest.approx(20.0 / math.log(2) / 40)
    assert set(result.to_dict()) == {"loss", "perplexity", "bits_per_byte", "tokens", "bytes"}


def test_bytes_per_token_add_up_to_the_text(tokenizer):
    sizes = tokenizer.bytes_per_token()
    assert len(sizes) == tokenizer.get_vocab_size()
    for text in [*SENTENCES, "emoji 🌙 e acento ção"]:
        assert sum(sizes[i] for i in tokenizer.encode(text)) == len(text.encode("utf-8"))
    assert all(sizes[i] == 0 for i in tokenizer.control_ids.values())


@pytest.mark.parametrize("history", [[], [1], [3, 4], [0, 1, 2, 3], [7, 7, 7, 7, 7, 7]])
def test_ngram_probabilities_add_up_to_one(history):
    generator = torch.Generator().manual_seed(0)
    texts = torch.randint(0, 12, (4, 60), generator=generator).tolist()
    model = InterpolatedNGram(12).fit(texts)
    assert sum(model.probability(history, t) for t in range(12)) == pytest.approx(1.0)


def test_bigram_matches_the_computation_by_hand():
    """Sobre "a b a c": Kneser-Ney com desconto n1 / (n1 + 2 n2) em cada ordem."""
    a, b, c = 0, 1, 2
    model = InterpolatedNGram(vocab_size=4, order=2).fit([[a, b, a, c]])
    # bigramas: ab, ba, ac, uma vez cada -> desconto 1; unigramas de continuação: b 1, a 1, c 1
    assert model.discounts == [1.0, 1.0]
    unigram = 0.0 + (1.0 * 3 / 3) * 0.25  # tudo descontado: uniforme
    assert model.probability([], b) == pytest.approx(unigram)
    bigram = max(1 - 1.0, 0) / 2 + (1.0 * 2 / 2) * unigram
    assert model.probability([a], b) == pytest.approx(bigram)


def test_ngram_learns_what_follows_what():
    model = InterpolatedNGram(vocab_size=10, order=3).fit([[1, 2, 3] * 20])
    assert model.probability([1, 2], 3) > 0.8 > 0.1 > model.probability([1, 2], 1)
    assert model.nats([1, 2, 3, 1, 2, 3]) < 3.0
    assert model.nats([1, 2, 3], [False, False, True]) < model.nats([1, 2, 3])
