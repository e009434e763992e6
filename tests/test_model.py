"""``LunaModel``: criar, salvar, carregar, gerar, e o que diz quando algo está errado."""

import errno
import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from src.config.config import Config, ModelConfig
from src.models import model_files
from src.models.gpt2_base import base_config, from_gpt2
from src.models.luna_model import LunaModel
from src.utils.errors import (
    ContextLengthError,
    ModelFormatError,
    ModelNotFoundError,
    StorageError,
    UsageError,
)
from src.utils.model_swap import finish_saves
from tests.conftest import make_model, tiny_config

INDEX = model_files.INDEX_FILE


def tokens(rows=1, length=8):
    return torch.randint(3, 300, (rows, length), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def saved(tmp_path):
    """A pasta de um modelo híbrido salvo."""
    make_model(tiny_config(use_state_space=True, use_moe=True)).save(tmp_path / "m")
    return tmp_path / "m"


def test_from_scratch_accepts_the_whole_config_and_the_lightweight_mode():
    config = Config(model={"size": "base", "vocab_size": 300})
    model = LunaModel.from_scratch(config, use_lightweight=True)
    assert model.config.n_embd == 256 and model.config.n_layer == 4
    assert 256 % model.config.n_head == 0


def test_new_weights_have_the_scale_of_gpt2_in_every_part():
    """Nada fica com memória não iniciada, e as saídas residuais nascem menores (GPT-2)."""
    torch.manual_seed(0)
    switches = {"use_state_space": True, "use_moe": True, "use_hypernet": True}
    config = tiny_config(n_embd=64, **switches, use_growing=True, emotional_routing=True)
    model = LunaModel.from_scratch(config)
    state = model.state_dict()
    assert all(bool(t.isfinite().all()) and float(t.abs().max()) <= 1.0 for t in state.values())
    residual = 0.02 / (2 * config.n_layer) ** 0.5
    blocks = "model.transformer.h."
    assert float(state[blocks + "1.attn.c_proj.weight"].std()) == pytest.approx(residual, rel=0.1)
    expert = state[blocks + "1.mlp.experts.0.proj.weight"]
    assert float(expert.std()) == pytest.approx(residual, rel=0.1)
    assert float(state[blocks + "1.attn.c_attn.weight"].std()) == pytest.approx(0.02, rel=0.1)
    assert float(state[blocks + "1.hyper.hyper.to_u.weight"].abs().max()) == 0
    assert float(state[blocks + "0.ssm.A"].diagonal().max()) == pytest.approx(
        torch.exp(torch.tensor(-1 / 32.0)).item()
    )


def test_folder_has_one_file_per_component_and_a_standard_index(saved):
    names = {p.relative_to(saved).as_posix() for p in saved.rglob("*") if p.is_file()}
    parts = {f"components/{n}.safetensors" for n in ("base", "moe", "state_space")}
    assert names == {*parts, "config.json", "generation_config.json", INDEX}
    index = json.loads((saved / INDEX).read_text("utf-8"))
    assert set(index["weight_map"].values()) == parts
    model = LunaModel.from_pretrained(saved)
    assert index["metadata"]["total_parameters"] == model.parameter_count()


def test_tied_embeddings_are_stored_once_and_stay_tied(saved):
    index = json.loads((saved / INDEX).read_text("utf-8"))["weight_map"]
    assert sum(key.endswith(("wte.weight", "lm_head.weight")) for key in index) == 1
    model = LunaModel.from_pretrained(saved)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_saving_over_a_model_touches_nothing_else(saved):
    (saved / "retriever").mkdir()
    (saved / "retriever" / "nota.txt").write_text("minha", "utf-8")
    make_model(tiny_config(use_moe=True), seed=5).save(saved)
    assert (saved / "retriever" / "nota.txt").read_text("utf-8") == "minha"
    assert not (saved / "components" / "state_space.safetensors").exists()
    assert LunaModel.from_pretrained(saved).state_space_layers == []


def test_saved_dimensions_win_over_the_given_config(saved, caplog):
    with caplog.at_level("INFO"):
        model = LunaModel.from_pretrained(saved, ModelConfig(vocab_size=300))
    assert model.config.n_embd == 32
    assert "n_embd" in caplog.text and caplog.text.count("vence a configuração") == 1


def test_given_config_changes_only_what_is_free_and_tokens_stay(saved):
    given = tiny_config(use_state_space=True, use_moe=True, resid_pdrop=0.3)
    given.eos_token_id = given.pad_token_id = None
    model = LunaModel.from_pretrained(saved, given)
    assert model.config.resid_pdrop == 0.3 and model.config.eos_token_id == 1
    model.save(saved)
    stored = json.loads((saved / "generation_config.json").read_text("utf-8"))
    assert stored["eos_token_id"] == 1 and stored["pad_token_id"] == 2


def test_models_do_not_share_the_config_they_came_from():
    config = tiny_config(use_growing=True)
    LunaModel.from_scratch(config).grow()
    assert config.extra_layers == 0
    assert len(LunaModel.from_scratch(config).growing_networks[0].layers) == 0


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="só no Linux se vê o mapa")
def test_loaded_weights_do_not_hold_the_files_open(saved):
    model = LunaModel.from_pretrained(saved)
    assert str(saved) not in Path("/proc/self/maps").read_text("utf-8", errors="replace")
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_only_the_main_process_saves(tmp_path):
    make_model(tiny_config()).save_pretrained(tmp_path / "m", is_main_process=False)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_final_renames_waits_for_them(saved, monkeypatch, number):
    real, count = os.replace, []

    def interrupt(number, frame):
        raise KeyboardInterrupt

    def replace_then_interrupt(source, target):
        real(source, target)
        count.append(target)
        if len(count) == 1:
            signal.raise_signal(number)

    monkeypatch.setattr(model_files.os, "replace", replace_then_interrupt)
    other = make_model(tiny_config(use_state_space=True, use_moe=True), seed=4)
    previous = signal.signal(number, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            other.save(saved)
    finally:
        signal.signal(number, previous)
    monkeypatch.undo()
    loaded = LunaModel.from_pretrained(saved).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in other.state_dict().items())


def test_final_renames_that_fail_half_way_can_be_finished(saved, monkeypatch):
    real, count = os.replace, []

    def fail_the_second(source, target):
        count.append(target)
        if len(count) == 2:
            raise OSError(errno.EIO, "erro de mentira")
        real(source, target)

    other = make_model(tiny_config(use_state_space=True, use_moe=True), seed=4)
    with monkeypatch.context() as patch:
        patch.setattr(model_files.os, "replace", fail_the_second)
        with pytest.raises(StorageError):
            other.save(saved)
    finish_saves(saved)
    loaded = LunaModel.from_pretrained(saved).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in other.state_dict().items())


@pytest.mark.parametrize(
    "name,content",
    [
        (INDEX, '{"metadata": null, "weight_map": {"a": 5}}'),
        (INDEX, '{"metadata": 3, "weight_map": {"a": "b"}}'),
        (INDEX, '{"weight_map": []}'),
        ("generation_config.json", '{"eos'),
    ],
)
def test_nonsense_inside_the_folder_files_is_named(saved, name, content):
    (saved / name).write_text(content, "utf-8")
    with pytest.raises(ModelFormatError, match=name):
        LunaModel.from_pretrained(saved)


def test_weights_the_config_does_not_know_are_refused(saved):
    config = json.loads((saved / "config.json").read_text("utf-8"))
    config |= {"use_moe": False}
    (saved / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(ModelFormatError):
        LunaModel.from_pretrained(saved)


def test_missing_model_says_how_to_create(tmp_path):
    with pytest.raises(ModelNotFoundError, match="create --name"):
        LunaModel.from_pretrained(tmp_path / "nada")


@pytest.mark.parametrize(
    "name", ["components/base.safetensors", "components/moe.safetensors", INDEX]
)
def test_missing_file_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(ModelFormatError, match=name.split("/")[-1]):
        LunaModel.from_pretrained(saved)


@pytest.mark.parametrize("name", ["components/moe.safetensors", INDEX, "config.json"])
def test_truncated_file_is_named(saved, name):
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelFormatError, match=name.split("/")[-1]):
        LunaModel.from_pretrained(saved)


def test_files_of_two_saves_are_not_mixed(saved, tmp_path):
    make_model(tiny_config(use_state_space=True, use_moe=True), seed=9).save(tmp_path / "outro")
    shutil.copy(tmp_path / "outro/components/moe.safetensors", saved / "components")
    with pytest.raises(ModelFormatError, match="outra gravação"):
        LunaModel.from_pretrained(saved)


def test_weights_are_never_silently_drawn_again(saved):
    config = json.loads((saved / "config.json").read_text("utf-8"))
    config |= {"use_hypernet": True}
    (saved / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(ModelFormatError, match="Faltam pesos"):
        LunaModel.from_pretrained(saved)


def test_mismatched_shapes_are_refused(saved):
    config = json.loads((saved / "config.json").read_text("utf-8"))
    config |= {"vocab_size": 310}
    (saved / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(ModelFormatError):
        LunaModel.from_pretrained(saved)


def test_index_pointing_outside_the_folder_is_refused(saved):
    index = json.loads((saved / INDEX).read_text("utf-8"))
    key = next(iter(index["weight_map"]))
    index["weight_map"][key] = "../fora.safetensors"
    (saved / INDEX).write_text(json.dumps(index), "utf-8")
    with pytest.raises(ModelFormatError, match="fora da pasta"):
        LunaModel.from_pretrained(saved)


def test_a_stray_single_file_checkpoint_is_told(saved):
    shutil.copy(saved / "components/base.safetensors", saved / "model.safetensors")
    with pytest.raises(ModelFormatError, match="model.safetensors"):
        LunaModel.from_pretrained(saved)


def test_another_kind_of_model_is_told(tmp_path):
    GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=20)).save_pretrained(
        tmp_path
    )
    (tmp_path / "model.safetensors").rename(tmp_path / "pesos.safetensors")
    (tmp_path / INDEX).write_text('{"weight_map": {"a": "pesos.safetensors"}}', "utf-8")
    with pytest.raises(ModelFormatError, match="gpt2"):
        LunaModel.from_pretrained(tmp_path)


def test_disk_full_keeps_the_old_model_and_leaves_no_new_one(saved, monkeypatch, tmp_path):
    before = {k: v.clone() for k, v in LunaModel.from_pretrained(saved).state_dict().items()}

    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(model_files, "_write_synced", full)
    other = make_model(tiny_config(use_state_space=True, use_moe=True), seed=3)
    with pytest.raises(StorageError, match="disco está cheio"):
        other.save(saved)
    with pytest.raises(StorageError, match="disco está cheio"):
        other.save(tmp_path / "novo")
    assert not (tmp_path / "novo").exists()
    assert [p for p in tmp_path.rglob("*") if p.name.startswith(".tmp-")] == []
    after = LunaModel.from_pretrained(saved).state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_nothing_saved_can_run_code(saved):
    kinds = {p.suffix for p in saved.rglob("*") if p.is_file()}
    assert kinds == {".json", ".safetensors"}


# ---------------------------------------------------------------------- geração e contexto


def test_sequence_beyond_the_context_is_an_error_with_both_numbers():
    model = make_model(tiny_config())
    with pytest.raises(ContextLengthError, match="65.*64"):
        model(tokens(length=65))
    with pytest.raises(ContextLengthError, match="64"):
        model.generate(tokens(length=64), max_new_tokens=3)


def test_generation_stops_at_the_context_with_a_warning(caplog):
    model = make_model(tiny_config(use_state_space=True))
    for options in ({"max_length": 500}, {"max_new_tokens": 500}):
        output = model.generate(tokens(length=10), do_sample=False, eos_token_id=None, **options)
        assert output.shape[1] == 64
    assert "não cabe no contexto" in caplog.text


def test_emotion_and_persona_reach_the_model_through_generate():
    model = make_model(
        tiny_config(use_moe=True, emotional_routing=True, use_hypernet=True), noise=0.5
    )
    ids = tokens(1, 6)
    options = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": None}
    neutral = model.generate(ids, **options)
    emotion = model.generate(ids, emotion=torch.full((1, 6), 20.0), **options)
    persona = model.generate(ids, persona=torch.full((1, 8), 20.0), **options)
    assert not torch.equal(neutral, emotion) and not torch.equal(neutral, persona)


def test_input_embeddings_work_in_place_of_ids():
    model, ids = make_model(tiny_config(use_state_space=True)), tokens(2, 9)
    with torch.no_grad():
        embedded = model.get_input_embeddings()(ids)
        difference = model(inputs_embeds=embedded).logits - model(ids).logits
    assert float(difference.abs().max()) < 1e-5
    with pytest.raises(ValueError, match="input_ids"):
        model()


def test_active_parameters_leave_idle_experts_out():
    model = make_model(tiny_config(use_moe=True, num_experts=4, sparse_top_k=1))
    expert = sum(p.numel() for p in model.moe_blocks[0].experts[0].parameters())
    blocks = len(model.moe_blocks)
    assert model.parameter_count() - model.parameter_count(active_only=True) == 3 * expert * blocks


# ---------------------------------------------------------------------- PEFT e wandb


@pytest.mark.parametrize("targets", [None, "all-linear", ["c_attn", "in_proj", "fc"]])
def test_a_lora_adapter_wraps_the_model_and_learns(targets, saved):
    peft = pytest.importorskip("peft")
    model = LunaModel.from_pretrained(saved)
    ids = tokens(2, 10)
    before = model(ids).logits
    config = peft.LoraConfig(r=4, task_type="CAUSAL_LM", target_modules=targets)
    wrapped = peft.get_peft_model(model, config)
    assert torch.allclose(wrapped(input_ids=ids).logits, before, atol=1e-5)
    wrapped.train()
    wrapped(input_ids=ids, labels=ids).loss.backward()
    trained = [n for n, p in wrapped.named_parameters() if p.grad is not None]
    assert trained and all("lora" in n for n in trained)
    assert wrapped.generate(input_ids=ids, max_new_tokens=3).shape[1] > 10


def test_saving_to_wandb_logs_an_artifact_offline(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_MODE", "offline")
    make_model(tiny_config()).save(tmp_path / "m", save_to_wandb=True, run_name="teste")
    assert wandb.run is not None
    wandb.finish()
    assert list((tmp_path / "wandb").glob("offline-run-*"))


# ---------------------------------------------------------------------- GPT-2 como base


@pytest.fixture
def gpt2_folder(tmp_path):
    """Um GPT-2 minúsculo salvo por transformers."""
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=120, n_positions=48, n_embd=24, n_layer=3, n_head=3)
    config.bos_token_id = config.eos_token_id = 1
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(tmp_path / "gpt2")
    return tmp_path / "gpt2"


@pytest.mark.parametrize(
    "choices",
    [{}, {"use_hypernet": True, "use_growing": True}, {"use_moe": False}, {"num_experts": 1}],
)
def test_base_gpt2_gains_components_without_changing_an_answer(gpt2_folder, choices):
    base = GPT2LMHeadModel.from_pretrained(gpt2_folder).eval()
    model = from_gpt2(gpt2_folder, 127, choices, eos_token_id=1)
    ids = torch.randint(0, 120, (2, 15))
    with torch.no_grad():
        assert torch.allclose(model(ids).logits[..., :120], base(ids).logits, atol=2e-5)
    assert model.config.vocab_size == 127 and model.state_space_layers
    assert bool(model.moe_blocks) == choices.get("use_moe", True)


def test_base_with_another_activation_goes_without_moe_and_says_so(gpt2_folder, caplog):
    base = GPT2LMHeadModel.from_pretrained(gpt2_folder).eval()
    base.config.activation_function = "relu"
    base.save_pretrained(gpt2_folder)
    base = GPT2LMHeadModel.from_pretrained(gpt2_folder).eval()
    model = from_gpt2(gpt2_folder, 120, {}, eos_token_id=1)
    ids = torch.randint(0, 120, (2, 15))
    with torch.no_grad():
        assert torch.allclose(model(ids).logits, base(ids).logits, atol=2e-5)
    assert model.moe_blocks == [] and "relu" in caplog.text


def test_dimensions_cannot_be_chosen_over_a_base():
    with pytest.raises(UsageError, match="n_embd"):
        base_config(GPT2Config(n_embd=24, n_head=3), {"n_embd": 48})


def test_base_folder_problems_are_told(gpt2_folder, tmp_path):
    with pytest.raises(ModelNotFoundError, match="config.json"):
        from_gpt2(tmp_path / "nada", 10)
    for path in gpt2_folder.glob("*.safetensors"):
        path.rename(path.with_suffix(".bin"))
    with pytest.raises(ModelFormatError, match="safetensors"):
        from_gpt2(gpt2_folder, 10)
    (gpt2_folder / "config.json").write_text('{"model_type": "bert"}', "utf-8")
    with pytest.raises(ModelFormatError, match="bert"):
        from_gpt2(gpt2_folder, 10)
