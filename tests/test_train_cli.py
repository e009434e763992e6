"""``main.py train``: as opções que dizem quanto, de onde e como treinar."""

import json
import re

import pytest

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


def test_resume_without_an_interrupted_run_exits_1(trained):
    result = trained("train", "--model", "Luna", "--resume")
    assert result.code == 1 and "não tem treino interrompido" in result.err


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
