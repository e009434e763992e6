"""A entropia cruzada em pedaços é a de sempre: perda e gradientes, ao lado da conta óbvia."""

import pytest
import torch
import torch.nn.functional as F

from src.models import loss
from src.models.loss import chunk_size, chunked_cross_entropy
from tests.conftest import make_model, tiny_config


def obvious(hidden, weight, targets):
    """A conta que todos conhecem, com os logits inteiros."""
    return F.cross_entropy(hidden @ weight.T, targets, reduction="sum")


def random_case(tokens=37, vocabulary=53, width=8):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(tokens, width, generator=generator, requires_grad=True)
    weight = torch.randn(vocabulary, width, generator=generator, requires_grad=True)
    return hidden, weight, torch.randint(0, vocabulary, (tokens,), generator=generator)


@pytest.mark.parametrize("floats", [1, 53 * 20, 2**21])
def test_value_and_gradients_are_those_of_the_obvious_way(floats, monkeypatch):
    """Com pedaços de 16 e de 20 tokens, e com um pedaço só."""
    monkeypatch.setattr(loss, "CHUNK_FLOATS", floats)
    hidden, weight, targets = random_case()
    expected = torch.autograd.grad(obvious(hidden, weight, targets) * 0.3, (hidden, weight))
    total = chunked_cross_entropy(hidden, weight, targets)
    assert float(total) == pytest.approx(float(obvious(hidden, weight, targets)), rel=1e-6)
    found = torch.autograd.grad(total * 0.3, (hidden, weight))
    for one, other in zip(found, expected):
        assert torch.allclose(one, other, atol=1e-5)
    with torch.no_grad():
        again = chunked_cross_entropy(hidden, weight, targets)
    assert float(again) == pytest.approx(float(total), rel=1e-6)


def test_under_autocast_the_sums_stay_in_fp32():
    hidden, weight, targets = random_case(tokens=300)
    with torch.autocast("cpu", torch.bfloat16):
        total = chunked_cross_entropy(hidden, weight, targets)
    total.backward()
    assert total.dtype == hidden.grad.dtype == weight.grad.dtype == torch.float32
    exact = obvious(hidden, weight, targets)
    assert float(total) == pytest.approx(float(exact), rel=5e-3)


@pytest.mark.parametrize("p", [0.5, 0.9, 0.98, 0.99, 0.999])
def test_in_bf16_a_confident_token_still_gets_its_gradient(p):
    """A derivada do logit do alvo é p - 1, mesmo quando p quase chega a 1."""
    weight = torch.eye(4, requires_grad=True)
    hidden = torch.tensor([[0.0, 0.0, 0.0, torch.logit(torch.tensor(p)) + torch.tensor(3.0).log()]])
    hidden = hidden.bfloat16().float().requires_grad_()
    exact = float(hidden.detach().softmax(dim=1)[0, 3]) - 1
    with torch.autocast("cpu", torch.bfloat16):
        chunked_cross_entropy(hidden, weight, torch.tensor([3])).backward()
    assert float(hidden.grad[0, 3]) == pytest.approx(exact, rel=0.02)
    assert float(hidden.grad.sum()) == pytest.approx(0.0, abs=abs(exact) * 0.02)


def test_no_token_to_learn_is_zero_with_zero_gradients():
    hidden, weight, targets = random_case()
    total = chunked_cross_entropy(hidden[:0], weight, targets[:0])
    total.backward()
    assert float(total) == 0.0 and not weight.grad.any()


def test_a_chunk_never_gets_smaller_than_sixteen_tokens():
    assert chunk_size(8192, "cpu") == 256
    assert chunk_size(10**9, "cpu") == 16
    assert chunk_size(8192, "cuda") > chunk_size(8192, "cpu")


def test_the_model_without_logits_has_the_same_loss_and_gradients():
    switches = {"use_state_space": True, "use_moe": True, "use_hypernet": True}
    model = make_model(tiny_config(**switches)).train()
    ids = torch.randint(3, 300, (2, 24), generator=torch.Generator().manual_seed(0))
    labels = ids.clone()
    labels[:, :5] = -100
    results = []
    for return_logits in (True, False):
        model.zero_grad()
        output = model(ids, labels=labels, return_logits=return_logits, num_items_in_batch=50)
        output.loss.backward()
        results.append((float(output.loss), {n: p.grad for n, p in model.named_parameters()}))
    assert output.logits is None
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-6)
    for name, gradient in results[0][1].items():
        assert torch.allclose(gradient, results[1][1][name], atol=1e-6), name
