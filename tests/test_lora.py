"""LoRA: o que se congela, que toda combinação de componentes passa por ele, e a volta exata."""

import json
import logging

import pytest
import torch

from src.models.luna_model import LORA_TARGETS, LunaModel
from src.training.lora import (
    BASE_FILE,
    WHOLE_MODULES,
    add_lora,
    discard_lora,
    has_lora,
    load_adapter,
    lora_line,
    merge_lora,
    save_adapter,
)
from src.training.optim import MuonAdamW
from src.utils.errors import LunaError, ModelFormatError, UsageError
from tests.conftest import make_model, tiny_config
from tests.test_equivalence import build, every_combination

pytest.importorskip("peft")
EXACT = 1e-5  # somar BA a W e multiplicar por x arredonda em outra ordem
EVERYTHING = {"use_state_space": True, "use_moe": True, "use_hypernet": True, "use_growing": True}
EVERYTHING |= {"emotional_routing": True}


def batch(rows=2, length=14, seed=1):
    """Tokens e os dois vetores."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, 300, (rows, length), generator=generator)
    emotion = torch.rand(rows, 6, generator=generator)
    persona = torch.randn(rows, 8, generator=generator)
    return {"input_ids": ids, "emotion": emotion, "persona": persona}


def logits(model):
    with torch.no_grad():
        return model.eval()(**batch()).logits


def biggest(a, b):
    return float((a - b).detach().abs().max())


def trained(wrapped):
    return {name: p for name, p in wrapped.named_parameters() if p.requires_grad}


def shake(wrapped, std=0.05):
    """Dá ao adaptador valores como os de um treino."""
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in trained(wrapped).values():
            parameter.add_(torch.randn_like(parameter) * std)


def optimizer_for(wrapped):
    return MuonAdamW([{"params": list(trained(wrapped).values()), "lr": 1e-2}])


def train(wrapped, optimizer, steps, first=0):
    wrapped.train()
    for step in range(first, first + steps):
        inputs = batch(seed=step)
        wrapped(**inputs, labels=inputs["input_ids"]).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def states(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# ---------------------------------------------------------------------- em toda combinação


@every_combination
def test_adapters_start_without_effect_then_merge_into_the_same_outputs(switches, tmp_path):
    model = build(switches)
    names, parameters = set(model.state_dict()), model.parameter_count()
    before = logits(model)
    wrapped = add_lora(model, rank=4)
    assert biggest(logits(wrapped), before) < EXACT
    shake(wrapped)
    adapted = logits(wrapped)
    assert biggest(adapted, before) > 100 * EXACT
    merged = merge_lora(wrapped)
    assert merged is model and type(merged) is LunaModel and not has_lora(merged)
    assert biggest(logits(merged), adapted) < EXACT
    assert set(merged.state_dict()) == names and merged.parameter_count() == parameters
    assert all(p.requires_grad for p in merged.parameters())
    merged.save(tmp_path / "m")
    assert same(states(LunaModel.from_pretrained(tmp_path / "m")), states(merged))


@every_combination
def test_every_adapter_is_on_the_path_of_the_gradient(switches):
    """Quem lesse ``camada.weight`` direto passaria por fora do adaptador."""
    wrapped = add_lora(build(switches), rank=2)
    shake(wrapped)
    inputs = batch(rows=4)
    wrapped.train()
    wrapped(**inputs, labels=inputs["input_ids"]).loss.backward()
    assert [n for n, p in trained(wrapped).items() if p.grad is None] == []
    still = [n for n, p in trained(wrapped).items() if float(p.grad.abs().max()) == 0]
    assert [n for n in still if ".experts." not in n] == []  # um especialista pode ficar ocioso
    frozen = [n for n, p in wrapped.named_parameters() if not p.requires_grad]
    assert all(wrapped.get_parameter(name).grad is None for name in frozen)


@every_combination
def test_only_adapters_and_the_emotion_and_persona_inputs_are_trained(switches):
    model = build(switches)
    before = states(model)
    wrapped = add_lora(model, rank=2)
    names = set(trained(wrapped))
    whole = {n for n in names if any(f".{part}." in n for part in WHOLE_MODULES)}
    assert all("lora_" in n for n in names - whole)
    assert any("emotion_bias" in n for n in whole) == switches["use_moe"]
    assert any("persona" in n for n in whole) == switches["use_hypernet"]
    train(wrapped, optimizer_for(wrapped), 2)
    assert same(states(discard_lora(wrapped)), before)


# ---------------------------------------------------------------------- o treino


def test_gradient_checkpointing_gives_the_same_gradients():
    gradients = []
    for checkpointing in (False, True):
        wrapped = add_lora(build(EVERYTHING | {"ssm_mode": "replace", "sparse_top_k": 1}))
        shake(wrapped)
        wrapped.train()
        if checkpointing:
            wrapped.gradient_checkpointing_enable()
        inputs = batch()
        wrapped(**inputs, labels=inputs["input_ids"]).loss.backward()
        gradients.append([p.grad.clone() for p in trained(wrapped).values()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_a_few_steps_learn_and_the_saved_model_has_learned(tmp_path):
    wrapped = add_lora(make_model(tiny_config(use_state_space=True, use_moe=True)))
    inputs = batch(seed=0)
    inputs["labels"] = inputs["input_ids"]
    with torch.no_grad():
        before = float(wrapped.eval()(**inputs).loss)
    optimizer = optimizer_for(wrapped)
    wrapped.train()
    for _ in range(25):
        wrapped(**inputs).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    merge_lora(wrapped).save(tmp_path / "m")
    with torch.no_grad():
        after = float(LunaModel.from_pretrained(tmp_path / "m")(**inputs).loss)
    assert after < before - 0.5


def test_the_screen_says_how_much_is_trained():
    model = make_model(tiny_config())
    total = model.parameter_count()
    wrapped = add_lora(model, rank=2, targets=["c_attn"])
    extra = 3 * (2 * 32 + 2 * 96)  # 3 blocos; A [2, 32] e B [96, 2]
    shown = f"{total + extra:,}".replace(",", ".")
    share = f"{100 * extra / (total + extra):.1f}".replace(".", ",")
    assert lora_line(wrapped) == f"LoRA: {extra} parâmetros treinados de {shown} ({share} %)."
    assert f"{extra:,}" == str(extra)  # abaixo de mil não há ponto


def test_the_network_does_not_grow_under_an_adapter_and_grows_again_after():
    model = make_model(tiny_config(use_growing=True, max_extra_layers=2))
    model.grow()
    wrapped = add_lora(model)
    network = model.growing_networks[0]
    assert any("layers.0.fc.lora_A" in name for name in trained(wrapped))
    assert not network.can_grow()
    assert not any(network.should_grow(loss) for loss in [1.0] * 10)
    with pytest.raises(LunaError):
        model.grow()
    merge_lora(wrapped)
    model.grow()
    assert len(network.layers) == 2


def test_an_adapter_that_diverged_is_not_merged():
    model = make_model(tiny_config(use_moe=True))
    before = states(model)
    wrapped = add_lora(model)
    with torch.no_grad():
        next(iter(trained(wrapped).values())).fill_(float("nan"))
    with pytest.raises(LunaError, match="divergiu"):
        merge_lora(wrapped)
    assert same(states(discard_lora(wrapped)), before)


# ---------------------------------------------------------------------- escolhas recusadas


@pytest.mark.parametrize(
    "choice",
    [{"rank": 0}, {"rank": 2.5}, {"rank": True}, {"alpha": 0}, {"alpha": float("nan")}]
    + [{"dropout": 1.0}, {"dropout": -0.1}, {"dropout": "0.1"}],
)
def test_numbers_out_of_range_are_named(choice):
    (name,) = choice
    with pytest.raises(UsageError, match=f"LoRA: {name}="):
        add_lora(make_model(tiny_config()), **choice)


@pytest.mark.parametrize("targets", [["wte"], ["c_attn", "lm_head"], "lm_head", ["nada"], []])
def test_embeddings_and_unknown_modules_are_refused_with_the_choices(targets):
    model = make_model(tiny_config(use_state_space=True))
    with pytest.raises(UsageError, match="c_attn.*c_proj.*gate.*in_proj"):
        add_lora(model, targets=targets)
    assert not has_lora(model) and all(p.requires_grad for p in model.parameters())


def test_embeddings_stay_tied_through_the_adapter():
    model = make_model(tiny_config(use_moe=True))
    wrapped = add_lora(model)
    train(wrapped, optimizer_for(wrapped), 1)
    merged = merge_lora(wrapped)
    assert merged.get_output_embeddings().weight is merged.get_input_embeddings().weight


def test_a_second_adapter_is_refused():
    model = make_model(tiny_config())
    add_lora(model)
    with pytest.raises(LunaError, match="já tem um adaptador"):
        add_lora(model)


def test_default_targets_are_those_the_model_has(recwarn):
    wrapped = add_lora(make_model(tiny_config()))
    assert set(wrapped.peft_config["default"].target_modules) == {"c_attn", "c_proj", "c_fc"}
    assert {"c_attn", "c_proj", "c_fc"} < set(LORA_TARGETS)
    assert [str(w.message) for w in recwarn if "fan_in_fan_out" in str(w.message)] == []


# ---------------------------------------------------------------------- no disco


@pytest.fixture
def adapter(tmp_path):
    """A pasta de um adaptador treinado e os seus valores."""
    wrapped = add_lora(build(EVERYTHING | {"ssm_mode": "replace", "sparse_top_k": 1}), rank=4)
    shake(wrapped)
    save_adapter(wrapped, tmp_path / "adapter", "gravacao-1")
    return tmp_path / "adapter", {n: p.detach().clone() for n, p in trained(wrapped).items()}


def fresh():
    return build(EVERYTHING | {"ssm_mode": "replace", "sparse_top_k": 1})


def test_the_adapter_comes_back_bit_for_bit(adapter):
    folder, values = adapter
    wrapped = load_adapter(fresh(), folder, "gravacao-1")
    loaded = trained(wrapped)
    assert list(loaded) == list(values)  # a ordem é a do otimizador salvo
    assert all(torch.equal(loaded[name], values[name]) for name in values)


def test_the_folder_is_pefts_own_format_and_runs_no_code(adapter):
    from peft import PeftModel

    folder, values = adapter
    names = {p.name for p in folder.iterdir()}
    assert names == {"adapter_config.json", "adapter_model.safetensors", BASE_FILE}
    theirs = PeftModel.from_pretrained(fresh(), folder)
    ours = load_adapter(fresh(), folder)
    assert biggest(logits(theirs), logits(ours)) == 0


def test_saving_again_replaces_the_adapter_and_leaves_nothing_else(adapter):
    folder, _ = adapter
    wrapped = add_lora(fresh(), rank=2)
    save_adapter(wrapped, folder)
    assert load_adapter(fresh(), folder).peft_config["default"].r == 2
    assert [p.name for p in folder.parent.iterdir()] == ["adapter"]


def test_an_adapter_of_another_save_of_the_model_is_refused(adapter):
    with pytest.raises(LunaError, match="outra gravação"):
        load_adapter(fresh(), adapter[0], "gravacao-2")


@pytest.mark.parametrize("other", [{}, EVERYTHING])
def test_an_adapter_of_another_model_is_refused_and_leaves_it_as_it_was(adapter, other):
    model = make_model(tiny_config(n_embd=64, **other))
    before = states(model)
    with pytest.raises(ModelFormatError, match="não serve a este modelo"):
        load_adapter(model, adapter[0])
    assert same(states(model), before)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors", BASE_FILE])
def test_a_damaged_adapter_is_told(adapter, name):
    folder = adapter[0]
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelFormatError, match="adapter"):
        load_adapter(fresh(), folder)
    (folder / name).unlink()
    with pytest.raises(ModelFormatError, match="adapter"):
        load_adapter(fresh(), folder)


def test_a_config_without_a_field_is_told(adapter):
    path = adapter[0] / "adapter_config.json"
    values = json.loads(path.read_text("utf-8"))
    del values["lora_alpha"]
    path.write_text(json.dumps(values), "utf-8")
    with pytest.raises(ModelFormatError, match="lora_alpha"):
        load_adapter(fresh(), adapter[0])


def test_resuming_equals_never_having_stopped(tmp_path, caplog):
    """O que um checkpoint precisa guardar: o adaptador e o otimizador; a base não muda."""
    straight = add_lora(fresh(), rank=4, dropout=0.1)
    optimizer = optimizer_for(straight)
    torch.manual_seed(7)
    train(straight, optimizer, 3)
    save_adapter(straight, tmp_path / "step-3" / "adapter")
    kept, rng = optimizer.state_dict(), torch.get_rng_state()
    torch.save(kept, tmp_path / "optimizer.pt")
    train(straight, optimizer, 3, first=3)

    with caplog.at_level(logging.WARNING):
        resumed = load_adapter(fresh(), tmp_path / "step-3" / "adapter")
    optimizer = optimizer_for(resumed)
    optimizer.load_state_dict(torch.load(tmp_path / "optimizer.pt"))
    torch.set_rng_state(rng)
    train(resumed, optimizer, 3, first=3)
    assert same(states(merge_lora(resumed)), states(merge_lora(straight)))
