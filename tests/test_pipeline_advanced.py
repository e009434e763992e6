"""O caminho inteiro com todos os componentes avançados, sozinhos e juntos."""

import pytest
import torch

from src.chat.luna_chat import LunaChat
from src.models.luna_model import LunaModel
from src.training.trainer import LunaTrainer
from tests.conftest import DIALOGUES, SENTENCES, tiny_config

EVERYTHING = {
    "use_state_space": True,
    "use_moe": True,
    "use_hypernet": True,
    "use_growing": True,
    "emotional_routing": True,
}
VARIANTS = [
    pytest.param({"use_state_space": True}, id="ssm"),
    pytest.param({"use_state_space": True, "ssm_mode": "parallel"}, id="ssm-ao-lado"),
    pytest.param({"use_moe": True, "sparse_top_k": 2}, id="moe"),
    pytest.param({"use_hypernet": True}, id="hyper"),
    pytest.param({"use_growing": True}, id="crescimento"),
    pytest.param(EVERYTHING, id="tudo"),
]


@pytest.mark.parametrize("switches", VARIANTS)
def test_each_component_trains_saves_and_answers(config, tokenizer, switches):
    folder = config.paths.model_dir("Partes")
    LunaModel.from_scratch(tiny_config(tokenizer, n_positions=128, **switches)).save(folder)
    tokenizer.save(folder / "tokenizer")
    trainer = LunaTrainer("Partes", config, "cpu", show_progress=False)
    if switches.get("use_growing"):
        trainer.model.grow()
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    summary = trainer.train_supervised(SENTENCES + DIALOGUES, SENTENCES, num_train_epochs=6)
    assert summary.bits_per_byte < summary.before.bits_per_byte
    still = {
        name
        for name, p in trainer.model.named_parameters()
        if torch.equal(before[name], p.detach())
    }
    unused = ("emotion_bias", "context.persona")  # sem emoção nem persona nos dados
    assert {name for name in still if not any(part in name for part in unused)} == set()
    chat = LunaChat("Partes", config)
    assert isinstance(chat.generate_response("Oi, tudo bem?"), str)
    assert chat.model.config.extra_layers == trainer.model.config.extra_layers
