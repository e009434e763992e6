"""A partida pelas contagens dentro de um treino de verdade: escolha, taxas, disco e retomada."""

import json

import pytest
from transformers import TrainerCallback

from src.models.luna_model import LunaModel
from src.training import bigrams, pair_vectors
from src.training.callbacks import CheckpointCallback
from src.training.engine import PAIRS_SCALE, STARTED_HEAD_SCALE
from src.training.optim import MUON_LR_RATIO
from src.training.run_file import read_run_file
from tests.test_resume import QUICK, Stop, new_model, same, train, weights

SWITCHES = {"use_state_space": True, "use_moe": True, "tie_word_embeddings": False}


@pytest.fixture(autouse=True)
def generous_start(monkeypatch):
    """Com os dados de teste a partida não se pagaria; aqui ela é sempre feita."""
    monkeypatch.setattr(bigrams, "MIN_TOKENS_PER_ENTRY", 0)
    monkeypatch.setattr(bigrams, "SHARE", 1e3)
    monkeypatch.setattr(pair_vectors, "SHARE", 1e6)
    monkeypatch.setattr(pair_vectors, "MIN_PAIRS", 1)
    monkeypatch.setattr(pair_vectors, "LEAST_COUNT", 2)


class Rates(TrainerCallback):
    """As taxas com que o treino começa, por tipo de parâmetro."""

    def on_train_begin(self, args, state, control, optimizer=None, **kwargs):
        self.found = {g["kind"]: g["initial_lr"] for g in optimizer.param_groups}


def events(folder) -> list[dict]:
    lines = (folder / "training" / "metrics.jsonl").read_text("utf-8").splitlines()
    return [found for found in map(json.loads, lines) if found.get("event") == "bigrams"]


def test_a_new_model_gets_its_pairs_its_rates_and_a_record(config, tokenizer):
    folder, rates = new_model(config, tokenizer, "Novo", **SWITCHES), Rates()
    train(config, "Novo", [rates])
    model = LunaModel.from_pretrained(folder)
    assert model.config.origin == "trained" and model.config.pair_rows > 10
    assert model.model.transformer.pairs.values.any()
    (event,) = events(folder)
    assert event["pairs"] == model.config.pair_rows
    assert event["loss_after_pairs"] < event["loss"]
    record = read_run_file(folder)
    assert record.options["start_passes"] > 0 and record.options["start_pairs"] > 0
    rate = QUICK["learning_rate"] * PAIRS_SCALE
    assert rates.found["table"] == pytest.approx(rate)
    assert rates.found["matrix"] == pytest.approx(rate * MUON_LR_RATIO)
    assert rates.found["head"] == pytest.approx(rate * STARTED_HEAD_SCALE)
    again = Rates()
    train(config, "Novo", [again], max_steps=1)  # o segundo treino não refaz a partida
    assert len(events(folder)) == 1 and again.found == rates.found


def test_without_pair_vectors_only_the_bigrams(config, tokenizer):
    config.training.pair_vectors = 0
    folder, rates = new_model(config, tokenizer, "Novo", **SWITCHES), Rates()
    train(config, "Novo", [rates])
    assert LunaModel.from_pretrained(folder).config.pair_rows == 0
    assert events(folder)[0]["loss_after_pairs"] is None
    assert rates.found["table"] == pytest.approx(QUICK["learning_rate"])
    assert rates.found["head"] == pytest.approx(QUICK["learning_rate"] * STARTED_HEAD_SCALE)


@pytest.mark.parametrize("stop", [1, 4])
def test_resumed_before_and_after_the_first_checkpoint_it_ends_the_same(config, tokenizer, stop):
    """Antes do primeiro, refaz a partida; depois, os pares vêm do checkpoint e não da base."""
    folders = [new_model(config, tokenizer, name, **SWITCHES) for name in ("Inteiro", "Partido")]
    train(config, "Inteiro")
    with pytest.raises(RuntimeError, match="queda"):
        train(config, "Partido", [Stop(stop), CheckpointCallback(steps=3)])
    assert LunaModel.from_pretrained(folders[1]).config.pair_rows == 0
    train(config, "Partido", resume="auto")
    assert same(weights(folders[0]), weights(folders[1]))


def test_minutes_limit_the_start_by_the_clock(config, tokenizer, monkeypatch):
    folder = new_model(config, tokenizer, "Novo", **SWITCHES)
    monkeypatch.setattr("src.training.run.seconds_per_context", lambda *shape: 1e3)
    train(config, "Novo", max_minutes=0.02)
    assert not events(folder)
    record = read_run_file(folder)
    assert record.options["start_passes"] == record.options["start_pairs"] == 0


def test_a_start_that_fails_is_done_again(config, tokenizer, monkeypatch):
    new_model(config, tokenizer, "Novo", **SWITCHES)

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    from src.training.trainer import LunaTrainer

    trainer = LunaTrainer("Novo", config, "cpu", show_progress=False)
    with monkeypatch.context() as patch:
        patch.setattr("src.training.run.add_pair_vectors", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trainer.train_supervised(["a água do rio corre"] * 20, **QUICK)
    trainer.train_supervised(["a água do rio corre"] * 20, **QUICK)
    assert trainer.model.config.pair_rows > 0


def test_the_cost_of_a_context_is_a_positive_time():
    assert 0 < bigrams.seconds_per_context(300, 16) < 1
