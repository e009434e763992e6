"""O TRL treina um modelo Luna como qualquer outro (contrato 7 do modelo)."""

import json

import pytest
import torch

from src.models.feedback_formats import export
from src.models.feedback_system import FeedbackSystem
from src.models.luna_model import LunaModel
from tests.conftest import make_model, tiny_config

trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")

COMMON = {
    "per_device_train_batch_size": 2,
    "max_steps": 1,
    "report_to": [],
    "use_cpu": True,
    "bf16": False,  # o TRL liga bf16 por conta própria, também em CPU
    "save_strategy": "no",
    "disable_tqdm": True,
    "learning_rate": 1e-2,
    "max_length": 48,
    "gradient_checkpointing": False,
}
SWITCHES = {"use_state_space": True, "use_moe": True, "use_hypernet": True}


def fresh(tokenizer) -> LunaModel:
    return make_model(tiny_config(tokenizer, **SWITCHES))


def moved(before: LunaModel, after: torch.nn.Module) -> bool:
    pairs = zip(before.parameters(), after.parameters(), strict=True)
    return any(not torch.equal(a, b) for a, b in pairs)


def test_supervised_fine_tuning_takes_a_step(tokenizer, tmp_path):
    rows = {"prompt": ["Oi, tudo bem?"] * 4, "completion": [" Tudo ótimo.", " Sim."] * 2}
    trainer = trl.SFTTrainer(
        model=fresh(tokenizer),
        args=trl.SFTConfig(output_dir=str(tmp_path), **COMMON),
        train_dataset=datasets.Dataset.from_dict(rows),
        processing_class=tokenizer.hf,
    )
    trainer.train()
    assert moved(fresh(tokenizer), trainer.model)


def test_preference_tuning_takes_a_step(tokenizer, tmp_path):
    rows = {"prompt": ["Oi?"] * 4, "chosen": [" Tudo ótimo."] * 4, "rejected": [" Não."] * 4}
    trainer = trl.DPOTrainer(
        model=fresh(tokenizer),
        ref_model=fresh(tokenizer),
        args=trl.DPOConfig(output_dir=str(tmp_path), **COMMON),
        train_dataset=datasets.Dataset.from_dict(rows),
        processing_class=tokenizer.hf,
    )
    trainer.train()
    assert moved(fresh(tokenizer), trainer.model)


def test_exported_feedback_has_the_columns_and_the_form_that_trl_expects(tmp_path):
    from trl.data_utils import is_conversational, unpair_preference_dataset

    system = FeedbackSystem(path=tmp_path / "feedback.jsonl")
    system.add_feedback("Que horas são?", "Dez.", 2, correction="Dez e meia.")
    system.add_feedback("Tudo bem?", "Tudo ótimo.", 5)
    rows = {}
    for kind in ("paired", "unpaired"):
        export(system.get_training_samples(), tmp_path / kind, kind)
        lines = (tmp_path / kind).read_text("utf-8").splitlines()
        rows[kind] = datasets.Dataset.from_list([json.loads(line) for line in lines])
    assert all(is_conversational(row) for found in rows.values() for row in found)
    unpaired = unpair_preference_dataset(rows["paired"])
    assert set(unpaired.column_names) == set(rows["unpaired"].column_names)
    assert list(unpaired) == list(rows["unpaired"])[:2]
