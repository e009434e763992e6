"""Todo caminho esperto diante da sua referência lenta, e os contratos do modelo.

Os contratos valem em todas as combinações de componentes (design, seção 3). Tolerâncias: 2e-5 em
float32, algumas vezes o erro de arredondamento observado (cerca de 2e-6); 1e-10 em float64.
"""

import copy
import itertools

import pytest
import torch
from transformers import AutoModelForCausalLM

from src.models.growing_network import GrowingNetwork
from src.models.hybrid_cache import CACHE_NAME, HISTORY
from src.models.hypernet import CausalContext, HyperLinear, HyperNetwork
from src.models.luna_model import LunaModel
from src.models.moe import MoEBlock
from src.models.state_space import StateSpaceLayer, bounded_transition, scan
from src.utils.errors import LunaError
from tests.conftest import make_model, tiny_config
from tests.reference import context_loop, moe_dense, scan_loop, state_space_loop

TOLERANCE = 2e-5


def combinations():
    """As 24 combinações: SSM (não, no lugar, ao lado) x MoE x HyperNetwork x crescimento."""
    ssm_modes = [None, "replace", "parallel"]
    for ssm, moe, hyper, growing in itertools.product(ssm_modes, *[[False, True]] * 3):
        switches = {"use_moe": moe, "use_hypernet": hyper, "use_growing": growing}
        switches |= {"use_state_space": ssm is not None, "ssm_mode": ssm or "replace"}
        switches |= {"emotional_routing": moe, "sparse_top_k": 2 if hyper else 1}
        parts = [("ssm-" + ssm) if ssm else "", "moe" * moe, "hyper" * hyper, "grow" * growing]
        yield pytest.param(switches, id="+".join(filter(None, parts)) or "gpt2")


every_combination = pytest.mark.parametrize("switches", list(combinations()))


def build(switches) -> LunaModel:
    model = make_model(tiny_config(**switches))
    if switches["use_growing"]:
        layer = model.grow()
        torch.nn.init.normal_(layer.proj.weight, std=0.1)
    return model


def tokens(rows=2, length=20, seed=1):
    return torch.randint(3, 300, (rows, length), generator=torch.Generator().manual_seed(seed))


def biggest(a, b):
    return float((a - b).detach().abs().max())


# ---------------------------------------------------------------------- state-space


@pytest.mark.parametrize("length", [1, 2, 3, 7, 16, 37])
@pytest.mark.parametrize("with_keep", [False, True])
@pytest.mark.parametrize("with_state", [False, True])
def test_parallel_scan_equals_the_token_loop(length, with_keep, with_state):
    torch.manual_seed(length)
    A = bounded_transition(torch.randn(6, 6, dtype=torch.double), 0.99)
    v = torch.randn(2, length, 6, dtype=torch.double)
    keep = (torch.rand(2, length, 1) > 0.3).double() if with_keep else None
    state = torch.randn(2, 6, dtype=torch.double) if with_state else None
    assert biggest(scan(A, v, keep, state), scan_loop(A, v, keep, state)) < 1e-10


def test_parallel_scan_has_the_gradients_of_the_token_loop():
    torch.manual_seed(0)
    keep = (torch.rand(2, 11, 1) > 0.3).double()
    raw = torch.randn(4, 4, dtype=torch.double)
    v = torch.randn(2, 11, 4, dtype=torch.double)
    state = torch.randn(2, 4, dtype=torch.double)
    gradients = []
    for function in (scan, scan_loop):
        inputs = [t.clone().requires_grad_() for t in (raw, v, state)]
        function(bounded_transition(inputs[0]), inputs[1], keep, inputs[2]).pow(2).sum().backward()
        gradients.append([t.grad for t in inputs])
    assert max(biggest(a, b) for a, b in zip(*gradients)) < 1e-9


@pytest.mark.parametrize("gated", [False, True])
def test_state_space_layer_equals_its_own_step(gated):
    torch.manual_seed(0)
    layer = StateSpaceLayer(24, gated=gated).eval()
    torch.nn.init.normal_(layer.D)
    x = torch.randn(3, 17, 24)
    assert biggest(layer(x), state_space_loop(layer, x)) < TOLERANCE


def test_state_space_layer_follows_the_written_recurrence():
    torch.manual_seed(0)
    layer = StateSpaceLayer(10, state_size=5)
    torch.nn.init.normal_(layer.D)
    x, h = torch.randn(1, 6, 10), torch.zeros(5)
    for t in range(6):
        h = layer.transition() @ h + layer.B @ layer.in_proj(x[0, t])
        expected = layer.C @ h + layer.D * x[0, t]
        assert biggest(layer(x)[0, t], expected) < TOLERANCE


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_transition_radius_stays_below_one(scale):
    torch.manual_seed(0)
    bounded = bounded_transition(torch.randn(32, 32) * scale)
    assert float(torch.linalg.eigvals(bounded).abs().max()) < 1.0


def test_transition_within_the_bound_is_left_alone():
    A, _ = StateSpaceLayer.initial_matrices(16)
    assert torch.equal(bounded_transition(A), A)


def test_cached_transition_follows_the_weights():
    layer = StateSpaceLayer(8, state_size=4)
    x = torch.randn(1, 5, 8)
    with torch.no_grad():
        before = layer(x)
        layer.A.mul_(0.5)
        after = layer(x)
    assert biggest(before, after) > 1e-4


def test_masked_positions_do_not_enter_the_state():
    torch.manual_seed(0)
    layer = StateSpaceLayer(8)
    x, mask = torch.randn(1, 9, 8), torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1, 1]])
    assert biggest(layer(x, mask=mask)[:, 3:], layer(x[:, 3:])) < TOLERANCE


# ---------------------------------------------------------------------- mixture of experts


@pytest.mark.parametrize("experts,k", [(4, 1), (4, 2), (8, 2), (3, 3)])
def test_grouped_experts_equal_the_dense_loop_gradients_included(experts, k):
    torch.manual_seed(0)
    block = MoEBlock(16, experts, k, emotional_routing=True).double()
    torch.nn.init.normal_(block.emotion_bias.weight)
    x, emotion = torch.randn(2, 9, 16).double(), torch.rand(2, 6).double()
    gradients, outputs = [], []
    for function in (block, lambda x, e: moe_dense(block, x, e)):
        block.zero_grad()
        inputs = x.clone().requires_grad_()
        y = function(inputs, emotion)
        y.pow(2).sum().backward()
        outputs.append(y)
        gradients.append([inputs.grad, *[p.grad.clone() for p in block.parameters()]])
    assert biggest(*outputs) < 1e-10
    assert max(biggest(a, b) for a, b in zip(*gradients)) < 1e-9


def count_expert_tokens(block, x):
    """Quantos tokens cada especialista processou de fato."""
    counts, hooks = [0] * block.num_experts, []
    for index, expert in enumerate(block.experts):

        def hook(module, inputs, index=index):
            counts[index] += inputs[0].shape[0]

        hooks.append(expert.register_forward_pre_hook(hook))
    block(x)
    for handle in hooks:
        handle.remove()
    return counts


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("rows", [1, 13])
def test_exactly_k_experts_run_per_token(k, rows):
    torch.manual_seed(0)
    block = MoEBlock(8, 4, k)
    assert sum(count_expert_tokens(block, torch.randn(rows, 8))) == k * rows
    with torch.no_grad():
        assert sum(count_expert_tokens(block, torch.randn(rows, 8))) == k * rows


def test_ties_in_the_router_still_choose_exactly_k():
    block = MoEBlock(8, 6, 2)
    torch.nn.init.zeros_(block.router.weight)
    assert sum(count_expert_tokens(block, torch.randn(5, 8))) == 10


def test_router_receives_gradient_even_with_one_expert_per_token():
    torch.manual_seed(0)
    block = MoEBlock(8, 4, 1)
    block(torch.randn(3, 5, 8)).pow(2).sum().backward()
    assert float(block.router.weight.grad.abs().max()) > 0


def test_idle_experts_get_a_zero_gradient_instead_of_none():
    block = MoEBlock(4, 8, 1)
    block(torch.randn(1, 2, 4)).sum().backward()
    assert all(p.grad is not None for p in block.parameters())


def test_single_token_shortcut_equals_the_grouped_path():
    torch.manual_seed(0)
    block, x = MoEBlock(8, 4, 2), torch.randn(1, 1, 8)
    with torch.no_grad():
        shortcut = block(x)
    assert biggest(shortcut, block(x)) < 1e-6


def test_emotion_changes_the_routing():
    torch.manual_seed(0)
    block, x = MoEBlock(8, 4, 1, emotional_routing=True), torch.randn(2, 6, 8)
    torch.nn.init.normal_(block.emotion_bias.weight, std=5.0)
    assert biggest(block(x, torch.ones(2, 6)), block(x)) > 1e-4


def test_balance_loss_is_one_when_the_load_is_even():
    block = MoEBlock(4, 4, 2)
    torch.nn.init.zeros_(block.router.weight)
    _, losses = block(torch.randn(3, 4), return_losses=True)
    assert float(losses.balance) == pytest.approx(1.0)
    assert float(losses.z) == pytest.approx(torch.log(torch.tensor(4.0)).item() ** 2)


# ---------------------------------------------------------------------- HyperNetwork e crescimento


def test_hyperlinear_equals_the_materialised_weights():
    torch.manual_seed(0)
    layer = HyperLinear(6, 5, context_dim=3, rank=2)
    torch.nn.init.normal_(layer.hyper.to_u.weight)
    torch.nn.init.normal_(layer.hyper.to_bias.weight)
    x, context = torch.randn(2, 7, 6), torch.randn(2, 7, 3)
    weight, bias = layer.hyper(context)
    expected = layer.base(x) + torch.einsum("bloi,bli->blo", weight, x) + bias
    assert biggest(layer(x, context), expected) < TOLERANCE
    sequence = layer(x, context[:, 0])
    repeated = layer(x, context[:, :1].expand(-1, 7, -1))
    assert biggest(sequence, repeated) < TOLERANCE


def test_generated_weights_start_at_zero_and_have_the_target_shape():
    weight, bias = HyperNetwork(context_dim=4, target_dim=6, hidden_dim=8)(torch.randn(3, 4))
    assert weight.shape == (3, 6, 6) and bias.shape == (3, 6)
    assert float(weight.abs().max()) == 0 and float(bias.abs().max()) == 0


@pytest.mark.parametrize("packed", [False, True])
def test_causal_context_equals_the_token_loop(packed):
    torch.manual_seed(0)
    module, x = CausalContext(6, 4), torch.randn(2, 9, 6)
    keep = torch.tensor([[0, 1, 1, 0, 1, 1, 1, 0, 1], [1] * 9]) if packed else None
    persona = torch.randn(2, 8)
    context, _ = module(x, keep=keep, persona=persona)
    assert biggest(context, context_loop(module, x, keep, persona)) < TOLERANCE


def test_growing_network_changes_nothing_when_it_grows_and_then_learns():
    torch.manual_seed(0)
    network = GrowingNetwork(torch.nn.Linear(6, 6), max_extra_layers=1, growth_threshold=0.1)
    x = torch.randn(4, 6)
    before = network(x)
    layer = network.add_layer(6, 6)
    assert torch.equal(before, network(x))
    network(x).pow(2).sum().backward()
    assert float(layer.proj.weight.grad.abs().max()) > 0
    with pytest.raises(LunaError, match="max_extra_layers"):
        network.add_layer(6, 6)


def test_growing_network_accepts_another_output_width():
    network = GrowingNetwork(torch.nn.Identity(), max_extra_layers=2)
    network.add_layer(6, 10)
    x = torch.randn(3, 6)
    assert network(x).shape == (3, 10)
    assert torch.equal(network(x)[:, :6], x)


def test_network_asks_to_grow_only_on_a_plateau():
    network = GrowingNetwork(torch.nn.Identity(), growth_threshold=0.05, patience=2)
    improving = [network.should_grow(loss) for loss in (3.0, 2.5, 2.0, 1.5)]
    stuck = [network.should_grow(loss) for loss in (1.49, 1.48)]
    assert improving == [False] * 4 and stuck == [False, True]


# ---------------------------------------------------------------------- contratos do modelo


@every_combination
def test_no_logit_depends_on_later_tokens(switches):
    model, ids = build(switches), tokens()
    changed = ids.clone()
    changed[:, 12] = (changed[:, 12] + 7) % 290 + 3
    with torch.no_grad():
        difference = (model(ids).logits - model(changed).logits).abs().amax(dim=(0, 2))
    # no MoE os grupos mudam de tamanho, e com eles o arredondamento
    assert float(difference[:12].max()) < 2e-6 < 1e-4 < float(difference[12:].max())


@every_combination
def test_cached_decoding_equals_the_full_run(switches):
    model, ids = build(switches), tokens()
    cache, pieces = None, []
    with torch.no_grad():
        full = model(ids).logits
        for start, end in ((0, 7), (7, 8), (8, 9), (9, 15), (15, 20)):
            output = model(ids[:, start:end], past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            pieces.append(output.logits)
    assert biggest(torch.cat(pieces, dim=1), full) < TOLERANCE


@pytest.mark.parametrize("name", ["cache", "past_key_values"])
def test_both_names_of_the_cache_continue_the_same_text(name):
    """O transformers trocou o nome na versão 5.24; quem chama pode usar qualquer um."""
    model, ids = make_model(tiny_config(use_state_space=True)), tokens(1, 9)
    with torch.no_grad():
        full = model(ids).logits[:, 8:]
        kept = getattr(model(ids[:, :8], use_cache=True), CACHE_NAME)
        assert biggest(model(ids[:, 8:], **{name: kept}).logits, full) < TOLERANCE
        alone = model(ids[:, 8:]).logits
    assert biggest(alone, full) > 100 * TOLERANCE  # sem o cache seria outra coisa


@every_combination
def test_left_padded_rows_go_on_alone_from_the_cache(switches):
    model, ids = build(switches), tokens(2, 18)
    padded = torch.cat([torch.full((1, 6), 2), ids[:1, :8]], dim=1)
    batch = torch.cat([padded, ids[1:, :14]])
    mask = torch.ones(2, 18).long()
    mask[0, :6] = 0
    with torch.no_grad():
        cache = model(batch, attention_mask=mask[:, :14], use_cache=True).past_key_values
        pieces = []
        for start, end in ((14, 15), (15, 18)):  # um token e vários
            new = torch.stack([ids[0, start - 6 : end - 6], ids[1, start:end]])
            output = model(new, attention_mask=mask[:, :end], past_key_values=cache)
            cache = output.past_key_values
            pieces.append(output.logits)
        together = torch.cat(pieces, dim=1)
        assert biggest(together[0], model(ids[:1, :12]).logits[0, 8:]) < TOLERANCE
        assert biggest(together[1], model(ids[1:]).logits[0, 14:]) < TOLERANCE


@every_combination
def test_generation_is_the_same_with_and_without_cache(switches):
    model, ids = build(switches), tokens(2, 8)
    for extra in ({}, {"num_beams": 4, "no_repeat_ngram_size": 3}):
        options = {"max_new_tokens": 10, "do_sample": False} | extra
        cached = model.generate(ids, use_cache=True, **options)
        assert torch.equal(cached, model.generate(ids, use_cache=False, **options))


@every_combination
def test_prompt_lookup_equals_greedy(switches):
    model = build(switches)
    ids = torch.cat([tokens(1, 6)] * 3, dim=1)  # repetição: há o que procurar
    greedy = model.generate(ids, max_new_tokens=20, do_sample=False)
    lookup = model.generate(ids, max_new_tokens=20, do_sample=False, prompt_lookup_num_tokens=4)
    assert torch.equal(greedy, lookup)


@pytest.mark.parametrize("room", range(1, 12))
def test_prompt_lookup_near_the_end_of_the_context_never_overflows(room):
    model = make_model(tiny_config(use_state_space=True))
    ids = torch.cat([tokens(1, 8)] * 8, dim=1)[:, : 64 - room]
    for options in ({"do_sample": False}, {"do_sample": True}):
        output = model.generate(
            ids, max_new_tokens=room, prompt_lookup_num_tokens=4, eos_token_id=None, **options
        )
        assert ids.shape[1] < output.shape[1] <= 64


@every_combination
def test_cropping_the_cache_equals_never_having_read(switches):
    model, ids = build(switches), tokens(1, 20)
    with torch.no_grad():
        cache = model(ids[:, :15], use_cache=True).past_key_values
        cache.crop(-5)
        output = model(ids[:, 10:], past_key_values=cache, use_cache=True)
        assert biggest(output.logits, model(ids).logits[:, 10:]) < TOLERANCE


@every_combination
def test_left_padded_batch_equals_the_rows_alone(switches):
    model, ids = build(switches), tokens()
    padded = torch.cat([torch.full((1, 6), 2), ids[:1, :14]], dim=1)
    batch = torch.cat([padded, ids[1:]])
    mask = torch.ones_like(batch)
    mask[0, :6] = 0
    with torch.no_grad():
        together = model(batch, attention_mask=mask).logits
        assert biggest(together[0, 6:], model(ids[:1, :14]).logits[0]) < TOLERANCE
        assert biggest(together[1], model(ids[1:]).logits[0]) < TOLERANCE
    options = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None}
    generated = model.generate(batch, attention_mask=mask, **options)
    alone = model.generate(ids[:1, :14], attention_mask=torch.ones(1, 14).long(), **options)
    assert torch.equal(generated[0, 20:], alone[0, 14:])


@every_combination
def test_the_wrapped_gpt2_and_the_transformer_work_on_their_own(switches):
    """É por eles que o TRL e outras ferramentas passam."""
    model, ids = build(switches), tokens()
    mask = torch.ones_like(ids)
    mask[0, :4] = 0
    with torch.no_grad():
        whole = model(ids, attention_mask=mask).logits
        assert biggest(model.model(ids, attention_mask=mask).logits, whole) < TOLERANCE
        hidden = model.base_model(ids, attention_mask=mask).last_hidden_state
        assert biggest(model.get_output_embeddings()(hidden), whole) < TOLERANCE
        as_tuple = model(ids, attention_mask=mask, return_dict=False)
        assert torch.equal(as_tuple[0], whole)


@every_combination
def test_packed_documents_equal_documents_alone(switches):
    model, ids = build(switches), tokens(1, 20)
    lengths = (5, 9, 6)
    positions = torch.cat([torch.arange(n) for n in lengths]).unsqueeze(0)
    with torch.no_grad():
        packed = model(ids, position_ids=positions).logits
        start = 0
        for length in lengths:
            alone = model(ids[:, start : start + length]).logits
            assert biggest(packed[:, start : start + length], alone) < TOLERANCE
            start += length


@every_combination
def test_saved_equals_loaded_bit_for_bit(switches, tmp_path):
    model, ids = build(switches), tokens()
    model.save(tmp_path / "m")
    for loaded in (
        LunaModel.from_pretrained(tmp_path / "m"),
        AutoModelForCausalLM.from_pretrained(tmp_path / "m"),
    ):
        assert type(loaded) is LunaModel
        pairs = zip(model.state_dict().items(), loaded.state_dict().items(), strict=True)
        assert all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)
        with torch.no_grad():
            assert torch.equal(model(ids).logits, loaded(ids).logits)


@every_combination
def test_gradient_checkpointing_gives_the_same_gradients(switches):
    plain = build(switches).train()
    checkpointed = copy.deepcopy(plain)
    checkpointed.gradient_checkpointing_enable()
    for model in (plain, checkpointed):
        model(tokens(), labels=tokens()).loss.backward()
    pairs = zip(plain.parameters(), checkpointed.parameters(), strict=True)
    assert all(torch.equal(a.grad, b.grad) for a, b in pairs)


@every_combination
def test_every_parameter_receives_a_gradient(switches):
    model = build(switches).train()
    model(tokens(), labels=tokens()).loss.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_growth_changes_no_output_then_reaches_checkpoint_and_reload(tmp_path):
    model, ids = make_model(tiny_config(use_growing=True, use_state_space=True)), tokens()
    with torch.no_grad():
        before = model(ids).logits
        parameters = model.parameter_count()
        model.grow()
        assert torch.equal(before, model(ids).logits)
    assert model.parameter_count() > parameters
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.train()
    model(ids, labels=ids).loss.backward()
    optimizer.step()
    model.eval().save(tmp_path / "m")
    loaded = LunaModel.from_pretrained(tmp_path / "m")
    grown = loaded.growing_networks[0].layers
    assert len(grown) == 1 and float(grown[0].proj.weight.detach().abs().max()) > 0
    with torch.no_grad():
        assert torch.equal(loaded(ids).logits, model(ids).logits)
    with pytest.raises(LunaError, match="use_growing"):
        make_model(tiny_config()).grow()


def test_cropping_more_than_the_kept_history_is_refused():
    model = make_model(tiny_config(use_state_space=True))
    with torch.no_grad():
        cache = model(tokens(1, 50), use_cache=True).past_key_values
        with pytest.raises(LunaError, match="desfazer"):
            cache.crop(-(HISTORY + 2))


def test_cache_operations_keep_kv_and_states_together():
    model, ids = make_model(tiny_config(use_state_space=True, use_hypernet=True)), tokens(2, 12)
    with torch.no_grad():
        full = model(ids).logits[:, -1]
        cache = model(ids[:, :-1], use_cache=True).past_key_values
        swapped = copy.deepcopy(cache)
        swapped.reorder_cache(torch.tensor([1, 0]))
        output = model(ids[[1, 0], -1:], past_key_values=swapped).logits[:, -1]
        assert biggest(output, full[[1, 0]]) < TOLERANCE
        repeated = copy.deepcopy(cache)
        repeated.batch_repeat_interleave(2)
        rows = ids.repeat_interleave(2, dim=0)[:, -1:]
        output = model(rows, past_key_values=repeated).logits[:, -1]
        assert biggest(output, full.repeat_interleave(2, dim=0)) < TOLERANCE
        chosen = copy.deepcopy(cache)
        chosen.batch_select_indices(torch.tensor([1]))
        output = model(ids[1:, -1:], past_key_values=chosen).logits[:, -1]
        assert biggest(output, full[1:]) < TOLERANCE
        cache.reset()
        assert biggest(model(ids, past_key_values=cache).logits[:, -1], full) < TOLERANCE


def test_a_static_cache_is_refused_with_the_reason():
    model = make_model(tiny_config(use_state_space=True))
    with pytest.raises(LunaError, match="DynamicCache"):
        model.generate(tokens(1, 5), max_new_tokens=3, cache_implementation="static")
