"""Acompanhar não é mexer: as amostras não mudam o treino, e as métricas chegam a quem grava."""

import json
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import Trainer, TrainerCallback, TrainerState, TrainingArguments

from src.training import tracking
from src.training.monitoring import (
    MAX_PROMPTS,
    ExpertLoadCallback,
    SamplesCallback,
    ThroughputCallback,
    expert_load,
    sample_steps,
    undisturbed,
)
from src.utils.errors import StorageError
from tests.conftest import make_model, tiny_config


@pytest.fixture
def model():
    """Um modelo minúsculo com MoE e dropout."""
    config = tiny_config(use_moe=True, n_layer=2, num_experts=3, resid_pdrop=0.3)
    return make_model(config).train()


class Last(TrainerCallback):
    """Guarda os registros como quem vem no fim da lista os vê."""

    def __init__(self):
        self.logs = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.logs.append(dict(logs))


def train(model, folder, callbacks, steps=4):
    """Um treino do transformers, de verdade, com dropout e linhas fixas."""
    rows = torch.randint(3, 300, (8, 12), generator=torch.Generator().manual_seed(0))
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=2,
        learning_rate=1e-3,
        logging_steps=2,
        save_strategy="no",
        use_cpu=True,
        seed=3,
        disable_tqdm=True,
        **tracking.tracking_arguments(False, folder, "teste"),
    )
    data = [{"input_ids": row, "labels": row} for row in rows]
    trainer = Trainer(model, arguments, train_dataset=data, callbacks=callbacks)
    trainer.train()
    return trainer


# ---------------------------------------------------------------------- amostras


def test_samples_are_evenly_spaced_and_end_with_the_training():
    assert sample_steps(100) == [20, 40, 60, 80, 100]
    assert sample_steps(3) == [1, 2, 3] and sample_steps(7, 2) == [4, 7]
    assert sample_steps(0) == sample_steps(-1) == sample_steps(10, 0) == []


@given(st.integers(1, 10**6), st.integers(1, 20))
def test_there_are_at_most_as_many_samples_as_asked_for_and_the_last_step_is_one(steps, times):
    found = sample_steps(steps, times)
    assert found == sorted(set(found)) and found[-1] == steps and found[0] >= 1
    assert len(found) == min(steps, times)


def test_sampling_changes_no_weight_of_the_training(tmp_path):
    def answer(prompt):
        asked.append(model.training or torch.is_grad_enabled())
        torch.rand(3), random.random(), np.random.rand()
        return "resposta"

    results, asked = [], []
    for name in ("sem", "com"):
        config = tiny_config(use_moe=True, n_layer=2, resid_pdrop=0.3)
        model = make_model(config)
        path = tmp_path / name / "samples.jsonl"
        callbacks = [SamplesCallback(answer, ["a", "b"], path, 4)] if name == "com" else []
        train(model, tmp_path / name, callbacks)
        results.append([parameter.detach().clone() for parameter in model.parameters()])
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [(line["step"], line["prompt"]) for line in lines] == [
        (step, prompt) for step in (1, 2, 3, 4) for prompt in "ab"
    ]
    assert set(lines[0]) == {"step", "time", "prompt", "answer"} and not any(asked)
    assert all(torch.equal(*pair) for pair in zip(*results))


def test_undisturbed_gives_everything_back_even_after_an_error(model):
    frozen = next(module for module in model.modules() if isinstance(module, torch.nn.Dropout))
    frozen.eval()
    modes = [module.training for module in model.modules()]
    torch.manual_seed(5), random.seed(5), np.random.seed(5)
    expected = torch.rand(1).item(), random.random(), np.random.rand()
    torch.manual_seed(5), random.seed(5), np.random.seed(5)
    with pytest.raises(KeyError):
        with undisturbed(model):
            assert not any(module.training for module in model.modules())
            assert not torch.is_grad_enabled()
            torch.rand(1), random.random(), np.random.rand()
            raise KeyError
    assert [module.training for module in model.modules()] == modes and torch.is_grad_enabled()
    assert (torch.rand(1).item(), random.random(), np.random.rand()) == expected


def state_at(step, max_steps=10, main=True):
    return TrainerState(global_step=step, max_steps=max_steps, is_world_process_zero=main)


def test_a_training_that_ends_early_is_sampled_once_more_and_only_once(tmp_path, model):
    asked = []
    callback = SamplesCallback(lambda p: asked.append(p) or "r", ["p"], tmp_path / "s.jsonl", 2)
    for step in range(1, 8):
        callback.on_step_end(None, state_at(step), None, model=model)
    assert len(asked) == 1  # no passo 5
    for _ in range(2):
        callback.on_train_end(None, state_at(7), None, model=model)
    assert len(asked) == 2


def test_few_prompts_are_asked_and_only_by_the_main_process(tmp_path, model):
    asked = []
    path = tmp_path / "s.jsonl"
    callback = SamplesCallback(lambda p: asked.append(p) or "r", [str(i) for i in range(9)], path)
    callback.on_step_end(None, state_at(10, main=False), None, model=model)
    assert not asked and not path.exists()
    callback.on_step_end(None, state_at(10), None, model=model)
    assert len(asked) == MAX_PROMPTS


@pytest.mark.parametrize("error", [RuntimeError("memória"), StorageError("disco")])
def test_a_failure_while_sampling_warns_once_and_training_goes_on(tmp_path, model, caplog, error):
    def fail(prompt):
        raise error

    callback = SamplesCallback(fail, ["p"], tmp_path / "s.jsonl", 10)
    for step in (1, 2):
        callback.on_step_end(None, state_at(step), None, model=model)
    assert len(caplog.records) == 1 and "passo 1" in caplog.text and model.training


def test_ctrl_c_while_sampling_is_a_ctrl_c(tmp_path, model):
    def interrupted(prompt):
        raise KeyboardInterrupt

    callback = SamplesCallback(interrupted, ["p"], tmp_path / "s.jsonl", 10)
    with pytest.raises(KeyboardInterrupt):
        callback.on_step_end(None, state_at(1), None, model=model)
    assert model.training


# ---------------------------------------------------------------------- velocidade e especialistas


def test_tokens_per_second_counts_only_the_time_of_the_steps():
    now, tokens = [0.0], [1000.0]
    callback = ThroughputCallback(lambda: tokens[0], lambda: now[0])
    callback.on_train_begin(None, None, None)

    def step(seconds, count, pause):
        callback.on_step_begin(None, None, None)
        now[0] += seconds
        tokens[0] += count
        callback.on_step_end(None, None, None)
        now[0] += pause  # avaliação, gravação

    logs = [{"loss": 1.0}, {"eval_loss": 1.0}, {"loss": 1.0}, {"loss": 1.0}]
    step(2, 300, 100)
    step(2, 100, 100)
    callback.on_log(None, None, None, logs=logs[0])
    callback.on_log(None, None, None, logs=logs[1])
    step(1, 55, 0)
    callback.on_log(None, None, None, logs=logs[2])
    callback.on_log(None, None, None, logs=logs[3])  # nenhum passo desde o anterior
    assert logs[0]["tokens_per_second"] == 100.0 and logs[2]["tokens_per_second"] == 55.0
    assert "tokens_per_second" not in logs[1] and "tokens_per_second" not in logs[3]


def test_expert_load_is_the_share_of_tokens_of_the_last_training_batch(model):
    [block, *_] = model.moe_blocks
    assert expert_load(model) == []
    x = torch.randn(1, 40, block.input_dim)
    block(x)
    chosen = block.route(x[0]).experts.flatten()
    shares = torch.bincount(chosen, minlength=3) / chosen.numel()
    assert expert_load(model) == [[round(share, 3) for share in shares.tolist()]]
    assert not block.last_load.requires_grad
    seen = block.last_load.clone()
    block.eval()
    block(torch.randn(1, 9, block.input_dim))
    assert torch.equal(block.last_load, seen)  # gerar ou avaliar não conta
    assert not [name for name in model.state_dict() if "last_load" in name]


def test_both_measures_reach_the_callbacks_that_come_later(tmp_path, model):
    last, tokens = Last(), iter(range(0, 10**6, 500))
    train(model, tmp_path, [ThroughputCallback(lambda: next(tokens)), ExpertLoadCallback(), last])
    measured = [logs for logs in last.logs if "loss" in logs]
    assert len(measured) == 2 and all(logs["tokens_per_second"] > 0 for logs in measured)
    for logs in measured:
        assert [len(load) for load in logs["expert_load"]] == [3] * len(model.moe_blocks)
        assert all(abs(sum(load) - 1) < 0.002 for load in logs["expert_load"])
    assert "expert_load" not in last.logs[-1]  # o registro final, de totais


def test_a_model_without_moe_has_no_expert_load():
    logs = {"loss": 1.0}
    ExpertLoadCallback().on_log(None, None, None, logs=logs, model=make_model(tiny_config()))
    assert logs == {"loss": 1.0}


# ---------------------------------------------------------------------- TensorBoard e wandb


def test_scalars_are_flat_and_experts_are_named():
    logs = {"loss": 1.0, "stage": "a", "expert_load": [[0.4, 0.6]], "other": [1], "none": None}
    assert tracking.flat_scalars(logs) == {
        "loss": 1.0,
        "stage": "a",
        "expert_load/block_1/expert_1": 0.4,
        "expert_load/block_1/expert_2": 0.6,
    }


def test_tensorboard_has_the_loss_the_speed_and_the_experts(tmp_path, model, monkeypatch):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    tokens = iter(range(0, 10**6, 500))
    train(model, tmp_path, tracking.tracking_callbacks(False, tmp_path, lambda: next(tokens)))
    [run] = (tmp_path / "training" / "tensorboard").iterdir()
    found = EventAccumulator(str(run)).Reload()
    names = set(found.Tags()["scalars"])
    assert {"train/loss", "train/tokens_per_second"} <= names
    assert "train/expert_load/block_1/expert_3" in names
    assert [event.step for event in found.Scalars("train/loss")] == [2, 4]


def test_wandb_is_only_there_when_asked_for(tmp_path):
    names = [type(c).__name__ for c in tracking.tracking_callbacks(False, tmp_path, lambda: 0)]
    assert "LunaWandbCallback" not in names and names[:2] == [
        "ThroughputCallback",
        "ExpertLoadCallback",
    ]
    assert tracking.tracking_arguments(False, tmp_path / "M", None) == {
        "report_to": [],
        "run_name": "M",
    }


def test_a_run_and_its_artifact_are_recorded_offline(tmp_path, model, monkeypatch):
    wandb = pytest.importorskip("wandb")
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("WANDB_DIR", raising=False)
    monkeypatch.setenv("LUNA_HOME", str(tmp_path))  # onde fica a pasta wandb/
    folder = tmp_path / "Modelo"
    folder.mkdir()
    (folder / "config.json").write_text("{}", encoding="utf-8")
    logged = []
    real = wandb.Run.log_artifact

    def spied(run, artifact):
        logged.append(artifact)
        return real(run, artifact)

    monkeypatch.setattr(wandb.Run, "log_artifact", spied)
    tokens = iter(range(0, 10**6, 500))
    try:
        train(model, folder, tracking.tracking_callbacks(True, folder, lambda: next(tokens)))
        summary = dict(wandb.run.summary)
        tracking.log_wandb_artifacts(folder)
        assert wandb.run is None  # fechado
    finally:
        wandb.finish()
    assert summary["train/tokens_per_second"] > 0
    assert summary["train/expert_load/block_1/expert_1"] >= 0
    [run] = (tmp_path / "wandb").glob("offline-run-*")
    assert list(run.glob("*.wandb"))
    assert logged[0].name.startswith("Modelo") and "config.json" in logged[0].manifest.entries


def test_without_a_key_or_a_server_wandb_records_on_this_machine(monkeypatch, caplog, tmp_path):
    wandb = pytest.importorskip("wandb")
    calls = []

    def init(**options):
        calls.append(options)
        if options.get("mode") != "offline":
            raise wandb.errors.UsageError("No API key configured.")
        return "registro"

    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.delenv("WANDB_DIR", raising=False)
    monkeypatch.setenv("LUNA_HOME", str(tmp_path))
    assert tracking.start_wandb("nome") == "registro"
    assert [call.get("mode") for call in calls] == [None, "offline"]
    assert calls[1]["dir"] == str(tmp_path.resolve()) and calls[1]["name"] == "nome"
    assert "wandb sync" in caplog.text


def test_the_artifact_has_the_model_and_not_its_training_states(tmp_path):
    kept = ["components/base.safetensors", "config.json", "training/report.html"]
    left = ["checkpoints/step-1/optimizer.pt", "training/tensorboard/x/events", "versions/a/b"]
    left += [".tmp-x/config.json", "training/samples.jsonl.lock"]
    left += ["training/cache/corpus-1/rows.arrow", "training/cache/corpus-1/valid.jsonl"]
    for name in kept + left:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x", encoding="utf-8")
    found = [path.relative_to(tmp_path).as_posix() for path in tracking.artifact_files(tmp_path)]
    assert found == kept
