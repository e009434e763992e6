"""Os cinco erros do capítulo "Erros no Desenvolvimento" da referência, um teste cada."""

import json

import pytest
import torch

from src.config.config import ModelConfig
from src.models.luna_model import LunaModel, MoEBlock, StateSpaceLayer
from src.models.tokenizer import LunaTokenizer
from src.utils.errors import ModelFormatError
from tests.conftest import SENTENCES, make_model, tiny_config


@pytest.mark.parametrize("hidden,state", [(64, 16), (16, 64), (30, 7), (64, None)])
def test_error_1_state_space_dimensions_agree_for_any_sizes(hidden, state):
    layer = StateSpaceLayer(hidden, state)
    N = layer.state_size
    assert layer.A.shape == layer.B.shape == (N, N)
    assert layer.C.shape == (hidden, N) and layer.D.shape == (hidden,)
    assert layer(torch.randn(2, 5, hidden)).shape == (2, 5, hidden)
    assert MoEBlock(hidden)(torch.randn(2, 16, hidden)).shape == (2, 16, hidden)


def test_error_2_loading_never_unpickles_and_a_pickle_is_not_a_model(tmp_path, monkeypatch):
    make_model(tiny_config(use_state_space=True, use_moe=True)).save(tmp_path / "m")

    def refused(*args, **kwargs):
        raise AssertionError("torch.load foi chamado")

    monkeypatch.setattr(torch, "load", refused)
    assert LunaModel.from_pretrained(tmp_path / "m").moe_blocks
    for path in (tmp_path / "m" / "components").iterdir():
        path.rename(path.with_suffix(".bin"))
    with pytest.raises(ModelFormatError):
        LunaModel.from_pretrained(tmp_path / "m")


def test_error_3_heads_are_adjusted_to_divide_the_width(caplog):
    config = ModelConfig(n_embd=256, n_head=12, n_layer=2, vocab_size=300)
    assert config.n_head == 8 and "12 para 8" in caplog.text
    LunaModel.from_scratch(config)


def test_error_4_accumulated_gradients_are_scaled_by_tokens():
    """Duas metades desiguais somadas dão o gradiente do lote inteiro, não a média das médias."""
    model = make_model(tiny_config(use_state_space=True)).train()
    ids = torch.randint(3, 300, (2, 12), generator=torch.Generator().manual_seed(0))
    labels = ids.clone()
    labels[0, :8] = -100
    model(ids, labels=labels).loss.backward()
    whole = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    total = (labels[:, 1:] != -100).sum()
    for row in range(2):
        part = model(ids[[row]], labels=labels[[row]], num_items_in_batch=total)
        part.loss.backward()
    pairs = zip(whole, model.parameters(), strict=True)
    assert max(float((a - p.grad).abs().max()) for a, p in pairs) < 1e-6


def test_error_5_special_tokens_survive_saving_and_loading(config, tmp_path):
    tokenizer = LunaTokenizer(config).train(SENTENCES)
    tokenizer.save(tmp_path)
    stored = json.loads((tmp_path / "special_tokens.json").read_text("utf-8"))
    loaded = LunaTokenizer(config).load(tmp_path)
    for name in ("user", "assistant", "system", "thinking", "proactive"):
        text = getattr(tokenizer, f"{name}_token")
        assert text in json.dumps(stored)
        assert getattr(loaded, f"{name}_token") == text
        assert getattr(loaded, f"{name}_id") == getattr(tokenizer, f"{name}_id")
        assert loaded.encode(text, allow_special=True) == [getattr(loaded, f"{name}_id")]
