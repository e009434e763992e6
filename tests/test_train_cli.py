"""``main.py train``: as opções que dizem quanto, de onde e como treinar."""

import json
import re
import signal
from dataclasses import replace

import pytest

from src.cli import train as train_command
from src.training import trainer
from src.training.run_callbacks import Resumer
from tests import cli_support

journey, luna, trained = cli_support.journey, cli_support.luna, cli_support.trained
DATA = ["--train_data", "texto.txt"]
CONFIG = ["--config", "tiny.json"]


def metrics(folder):
    lines = (folder / "training" / "metrics.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def last_run(folder):
    records = metrics(folder)
    starts = [i for i, r in enumerate(records) if r.get("event") == "start"]
    return records[starts[-1] :]


def test_the_plan_is_on_the_screen_before_the_training_and_the_page_after_it(trained):
    result = trained("train", "--model", "Luna", "--epochs", "2", *DATA, *CONFIG)
    assert result.code == 0
    for words in ("Modelo: ", "Dados: ", "Ritmo: ", "Fim previsto: ", "report.html"):
        assert words in result.err
    folder = trained.models / "Luna" / "training"
    assert "<svg" in (folder / "report.html").read_text("utf-8")
    assert (folder / "curves.png").read_bytes()[:4] == b"\x89PNG"
    assert (folder / "samples.jsonl").read_text("utf-8").count("\n") >= 3


def test_minutes_in_place_of_epochs(trained):
    result = trained("train", "--model", "Luna", "--max_minutes", "0,05", "--json", *DATA, *CONFIG)
    assert result.code == 0
    summary = json.loads(result.out)
    assert summary["steps"] == summary["plan"]["steps"] > 0 and summary["seconds"] < 60


def test_curriculum_from_a_file_is_told_stage_by_stage(trained, tmp_path):
    path = tmp_path / "estagios.json"
    stages = [{"name": "curtos", "context_length": 16}, {"name": "tudo", "epochs": 1}]
    path.write_text(json.dumps(stages), encoding="utf-8")
    result = trained("train", "--model", "Luna", "--curriculum", str(path), *DATA, *CONFIG)
    assert result.code == 0 and "| curtos" in result.err and "| tudo" in result.err
    names = {r.get("stage") for r in last_run(trained.models / "Luna") if r.get("event") == "stage"}
    assert names == {"curtos", "tudo"}


def test_default_curriculum_has_three_stages(trained):
    result = trained("train", "--model", "Luna", "--curriculum", "--epochs", "1", *DATA, *CONFIG)
    assert result.code == 0 and "| completo" in result.err


def test_replay_reads_the_earlier_files_again_and_measures_forgetting(trained, tmp_path):
    new = tmp_path / "novo.txt"
    talk = [f"Usuário: Qual é o dobro de {n}?\nLuna: É {2 * n}.\n" for n in range(40)]
    new.write_text("\n".join(talk), encoding="utf-8")
    base = trained("train", "--model", "Luna", "--epochs", "1", *DATA, *CONFIG)
    assert base.code == 0
    argv = [
        "train",
        "--model",
        "Luna",
        "--epochs",
        "1",
        "--train_data",
        str(new),
        "--replay",
        "0,3",
    ]
    result = trained(*argv, *CONFIG)
    assert result.code == 0 and "Leituras antigas: " in result.err
    data = json.loads((trained.models / "Luna/training/data.json").read_text("utf-8"))
    assert str(new) in data["train_data"] and len(data["train_data"]) > 1


def test_replay_draws_from_earlier_files_too_large_for_memory(trained, tmp_path):
    """Também de um arquivo que passa de max_file_mb, como depois de um treino com corpus grande."""
    config = json.loads((trained.home / CONFIG[1]).read_text("utf-8"))
    config["training"] = config.get("training", {}) | {"corpus_mb": 0.001, "max_file_mb": 0.001}
    path, new = tmp_path / "disco.json", tmp_path / "novo.txt"
    path.write_text(json.dumps(config), encoding="utf-8")
    new.write_text("\n\n".join(f"O dobro de {n} é {2 * n}." for n in range(25)), encoding="utf-8")
    base = trained("train", "--model", "Luna", "--epochs", "1", *DATA, "--config", str(path))
    assert base.code == 0
    argv = ["train", "--model", "Luna", "--epochs", "1", "--train_data", str(new), "--replay"]
    result = trained(*argv, "--config", str(path))
    assert result.code == 0, result.err
    assert "textos sorteados" in result.err and "Leituras antigas" in result.err


def test_lora_trains_an_adapter_and_leaves_a_whole_model(trained):
    from src.models.luna_model import LunaModel

    result = trained("train", "--model", "Luna", "--lora", "--epochs", "1", *DATA, *CONFIG)
    assert result.code == 0 and "serão treinados" in result.err
    folder = trained.models / "Luna"
    LunaModel.from_pretrained(folder)
    assert (folder / "training" / "adapter" / "adapter_model.safetensors").is_file()


def test_seed_changes_the_run(trained):
    losses = []
    for seed in ("1", "1", "2"):
        trained("create", "--name", "Semente", "--force", *DATA, *CONFIG)
        argv = ["train", "--model", "Semente", "--epochs", "1", "--seed", seed, "--json"]
        losses.append(json.loads(trained(*argv, *DATA, *CONFIG).out)["bits_per_byte"])
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize(
    "argv,words",
    [
        (["--epochs", "1", "--max_minutes", "2"], "use um só"),
        (["--resume", "--epochs", "3"], "tire --epochs"),
        (["--resume", "--lora"], "tire --lora"),
        (["--replay"], "--train_data"),
        (["--curriculum", "nada.json"], "nada.json"),
        (["--replay", "1"], "--replay"),
        (["--seed", "-1"], "--seed"),
    ],
)
def test_contradictions_and_bad_values_exit_2_and_say_what_to_do(trained, argv, words):
    result = trained("train", "--model", "Luna", *argv)
    assert result.code == 2 and words in result.err


def test_resume_without_an_interrupted_run_exits_1_before_reading_anything(trained, monkeypatch):
    monkeypatch.setattr(train_command, "read_data", pytest.fail)
    result = trained("train", "--model", "Luna", "--resume")
    assert result.code == 1 and "não tem treino interrompido" in result.err


def with_training(trained, **values):
    """O caminho de uma configuração como a de ``CONFIG``, com ``values`` na seção training."""
    config = json.loads((trained.home / CONFIG[1]).read_text("utf-8"))
    config["training"] = config.get("training", {}) | values
    return trained.write("outra.json", json.dumps(config))


@pytest.mark.parametrize("option", ["--curriculum", "--replay"])
def test_what_a_large_corpus_does_not_do_is_told_before_reading_it(trained, monkeypatch, option):
    monkeypatch.setattr(train_command, "read_corpus", pytest.fail)
    path = with_training(trained, corpus_mb=0.001)
    result = trained("train", "--model", "Luna", option, *DATA, "--config", path)
    assert result.code == 2 and f"treine sem {option}" in result.err


def test_ctrl_c_before_the_first_step_does_not_offer_to_resume(trained, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("src.training.run.probe", interrupt)
    result = trained("train", "--model", "Luna", "--epochs", "1", *DATA, *CONFIG)
    assert result.code == 130 and "Repita o comando" in result.err
    assert "como antes" in result.err and "--resume" not in result.err


@pytest.mark.parametrize("corpus_mb", [100, 0.001])
def test_resume_reads_the_data_as_the_run_did(trained, monkeypatch, corpus_mb):
    def press(self, args, state, control, **kwargs):
        if state.global_step == 1:
            signal.raise_signal(signal.SIGINT)

    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(Resumer, "on_step_begin", press)
    path = with_training(trained, corpus_mb=corpus_mb, valid_fraction=0.3, seed=5)
    argv = ["train", "--model", "Luna", "--epochs", "3", "--lightweight", *DATA]
    result = trained(*argv, "--max_file_mb", "5", "--config", path)
    signal.signal(signal.SIGINT, previous)
    assert result.code == 130 and "em 2 passos está salvo" in result.err
    assert f"--resume --config {path}" in result.err
    real = trainer.training_settings

    def smaller_machine(*args, **kwargs):
        return replace(real(*args, **kwargs), context_length=16)

    monkeypatch.setattr(trainer, "training_settings", smaller_machine)
    again = trained("train", "--model", "Luna", "--resume")  # também sem a configuração
    assert again.code == 0, again.err


def test_a_large_corpus_goes_to_disk_and_trains(trained, tmp_path):
    config = json.loads((trained.home / CONFIG[1]).read_text("utf-8"))
    config.setdefault("training", {})["corpus_mb"] = 0.001
    path = tmp_path / "disco.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    argv = ["train", "--model", "Luna", "--epochs", "1", *DATA, "--config", str(path)]
    first, again = trained(*argv), trained(*argv)
    assert first.code == again.code == 0
    assert list((trained.models / "Luna" / "training" / "cache").glob("corpus-*"))
    assert re.search(r"cache|já tokenizad", again.err)
