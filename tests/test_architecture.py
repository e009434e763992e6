"""Componentes arquiteturais: o exemplo da referência e interruptores que valem."""

import unittest

import pytest
import torch

from src.config.config import ModelConfig
from src.models.growing_network import GrowingNetwork
from src.models.luna_model import GrowingNetwork as ReexportedGrowing
from src.models.luna_model import LunaModel, MoEBlock, StateSpaceLayer
from src.utils.errors import ConfigError
from tests.conftest import make_model, tiny_config
from tests.test_equivalence import count_expert_tokens

SWITCHES = {
    "use_state_space": ("state_space_layers", ".ssm."),
    "use_moe": ("moe_blocks", ".experts."),
    "use_hypernet": ("hyper_networks", ".hyper."),
    "use_growing": ("growing_networks", ".ln_f.layers."),
}


def tokens():
    return torch.randint(3, 300, (2, 12), generator=torch.Generator().manual_seed(0))


def switched(name: str) -> LunaModel:
    model = make_model(tiny_config(**{name: True}))
    if name == "use_growing":
        torch.nn.init.normal_(model.grow().proj.weight, std=0.1)
    return model


class TestReferenceSamples(unittest.TestCase):
    """O teste unitário que a referência traz, como está escrito lá."""

    def test_state_space_layer(self):
        """Teste da State Space Layer"""
        batch_size, seq_len, hidden_size = 2, 4, 64
        ssl = StateSpaceLayer(hidden_size=hidden_size)
        x = torch.randn(batch_size, seq_len, hidden_size)
        output = ssl(x)
        self.assertEqual(output.shape, (batch_size, seq_len, hidden_size))

    def test_moe_block(self):
        block = MoEBlock(input_dim=64, num_experts=4, sparse_top_k=2, emotional_routing=True)
        x = torch.randn(2, 4, 64)
        self.assertEqual(block(x).shape, x.shape)
        self.assertEqual(block(x, torch.rand(2, 6)).shape, x.shape)

    def test_growing_network(self):
        network = GrowingNetwork(torch.nn.Linear(8, 8), max_extra_layers=1, growth_threshold=0.1)
        network.add_layer(8, 8)
        self.assertEqual(network(torch.randn(2, 8)).shape, (2, 8))


def test_layers_are_reexported_by_the_model_module():
    assert ReexportedGrowing is GrowingNetwork


@pytest.mark.parametrize("switch", SWITCHES)
def test_each_switch_fills_its_list_and_adds_parameters(switch):
    plain, model = make_model(tiny_config()), switched(switch)
    attribute = SWITCHES[switch][0]
    assert getattr(plain, attribute) == [] and len(getattr(model, attribute)) > 0
    if switch != "use_state_space":  # no lugar da atenção, o SSM pode ter menos pesos que ela
        assert model.parameter_count() > plain.parameter_count()
    beside = make_model(tiny_config(use_state_space=True, ssm_mode="parallel"))
    assert beside.parameter_count() > plain.parameter_count()


@pytest.mark.parametrize("switch", SWITCHES)
def test_removing_the_part_changes_the_output(switch):
    model, ids = switched(switch), tokens()
    with torch.no_grad():
        before = model(ids).logits
        for name, parameter in model.named_parameters():
            if SWITCHES[switch][1] in name:
                parameter.zero_()
        assert float((model(ids).logits - before).abs().max()) > 1e-4


@pytest.mark.parametrize("switch", SWITCHES)
def test_gradients_reach_every_weight_of_the_part(switch):
    model = switched(switch).train()
    ids = torch.randint(3, 300, (4, 40), generator=torch.Generator().manual_seed(0))
    model(ids, labels=ids).loss.backward()
    reached = {n: float(p.grad.abs().max()) for n, p in model.named_parameters()}
    part = {n: g for n, g in reached.items() if SWITCHES[switch][1] in n}
    unused = {n for n, g in part.items() if g == 0}
    assert part and not unused


@pytest.mark.parametrize("k", [1, 2])
def test_exactly_k_experts_run_per_token_inside_the_model(k):
    model = make_model(tiny_config(use_moe=True, sparse_top_k=k))
    for block in model.moe_blocks:
        assert sum(count_expert_tokens(block, torch.randn(2, 7, 32))) == 14 * k


def test_switched_off_lists_leave_no_trace_in_the_weights():
    names = " ".join(make_model(tiny_config()).state_dict())
    assert not any(mark in names for _, mark in SWITCHES.values())


def test_half_width_experts_keep_the_cost_of_one_mlp():
    one, two = tiny_config(use_moe=True), tiny_config(use_moe=True, sparse_top_k=2)
    assert one.expert_size == 4 * 32 and two.expert_size == 2 * 32


@pytest.mark.parametrize(
    "changes,message",
    [
        ({"sparse_top_k": 9}, "num_experts=4"),
        ({"ssm_mode": "torto"}, "replace"),
        ({"moe_layers": [3]}, "de 0 a 2"),
        ({"n_layer": 0}, "n_layer=0"),
        ({"n_embd": "largo"}, "n_embd"),
        ({"extra_layers": 5}, "max_extra_layers"),
        ({"growth_threshold": -1.0}, ">= 0"),
    ],
)
def test_impossible_architectures_are_refused_with_the_reason(changes, message):
    with pytest.raises(ConfigError, match=message):
        tiny_config(**changes)


def test_head_count_becomes_the_largest_divisor(caplog):
    config = ModelConfig(hidden_size=256, num_attention_heads=12)
    assert config.num_attention_heads == 8
    assert "12 para 8" in caplog.text


@pytest.mark.parametrize("width,heads,expected", [(256, 12, 8), (7, 3, 1), (12, 12, 12), (4, 9, 4)])
def test_head_count_always_divides_the_width(width, heads, expected):
    assert ModelConfig(n_embd=width, n_head=heads).n_head == expected
