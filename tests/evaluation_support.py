"""O que os testes de avaliação dividem: um GPT-2 comum e um modelo Luna, minúsculos e salvos."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from tests.conftest import make_model, tiny_config


def save_gpt2(folder, tokenizer, seed=0, n_positions=256):
    """Um GPT-2 do transformers, com o tokenizador na própria pasta; os pesos foram sacudidos."""
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=tokenizer.get_vocab_size(),
        n_positions=n_positions,
        n_embd=32,
        n_layer=2,
        n_head=4,
        bos_token_id=tokenizer.eos_id,
        eos_token_id=tokenizer.eos_id,
    )
    model = GPT2LMHeadModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.eval().save_pretrained(folder)
    tokenizer.hf.save_pretrained(folder)
    return folder


def save_luna(folder, tokenizer, seed=0, **switches):
    """Um modelo Luna com o seu tokenizador; sem interruptores, híbrido."""
    switches = switches or {"use_state_space": True, "use_moe": True}
    make_model(tiny_config(tokenizer, **switches), seed).save(folder)
    tokenizer.save(folder / "tokenizer")
    return folder


@pytest.fixture
def gpt2_folder(tmp_path, tokenizer):
    """A pasta de um GPT-2 comum."""
    return save_gpt2(tmp_path / "gpt2", tokenizer)


@pytest.fixture
def luna_folder(tmp_path, tokenizer):
    """A pasta de um modelo Luna híbrido."""
    return save_luna(tmp_path / "models" / "Luna", tokenizer)
