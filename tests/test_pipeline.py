"""O caminho inteiro pela API: arquivos -> tokenizador -> modelo -> treino -> conversa."""

import json

import pytest

from src.chat.luna_chat import LunaChat
from src.models.luna_model import LunaModel
from src.models.tokenizer import LunaTokenizer
from src.training.trainer import LunaTrainer
from src.utils.file_utils import load_data_from_patterns
from tests.conftest import DIALOGUES, SENTENCES, tiny_config


@pytest.fixture
def data(tmp_path):
    """Arquivos em vários formatos, com conversas e texto corrido."""
    folder = tmp_path / "dados"
    folder.mkdir()
    (folder / "textos.txt").write_text("\n\n".join(SENTENCES), "utf-8")
    (folder / "conversa.txt").write_text("\n---\n".join(DIALOGUES), "utf-8")
    records = [{"pergunta": f"Quanto é {n} mais 1?", "resposta": f"É {n + 1}."} for n in range(8)]
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    (folder / "perguntas.jsonl").write_text("\n".join(lines), "utf-8")
    (folder / "tabela.csv").write_text("pergunta,resposta\nQual o mês?,Maio.\n", "utf-8")
    return folder


def build(config, data, **switches):
    """Cria, treina e devolve (resumo, nome)."""
    train, valid = load_data_from_patterns([str(data / "*")])
    assert train and valid
    tokenizer = LunaTokenizer(config).train(train + valid)
    folder = config.paths.model_dir("Caminho")
    model = LunaModel.from_scratch(tiny_config(tokenizer, n_positions=128, **switches))
    model.save(folder)
    tokenizer.save(folder / "tokenizer")
    trainer = LunaTrainer("Caminho", config, "cpu", show_progress=False)
    return trainer.train_supervised(train, valid, num_train_epochs=8), "Caminho"


def test_files_become_a_model_that_answers(config, data):
    summary, name = build(config, data)
    assert summary.bits_per_byte < summary.before.bits_per_byte
    answer = LunaChat(name, config).generate_response("Que horas parte o trem?")
    assert isinstance(answer, str)


def test_manifest_names_each_data_file_with_its_hash(config, data):
    build(config, data)
    path = config.paths.model_dir("Caminho") / "training" / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    names = {item["file"].split("/")[-1].split("\\")[-1] for item in manifest["files"]}
    assert names <= {"textos.txt", "conversa.txt", "perguntas.jsonl", "tabela.csv"} and names
    assert all(len(item["sha256"]) == 64 for item in manifest["files"])
    assert manifest["seed"] == 42 and "torch" in manifest["versions"]


def test_training_twice_goes_on_from_where_it_stopped(config, data):
    first, name = build(config, data)
    trainer = LunaTrainer(name, config, "cpu", show_progress=False)
    train, valid = load_data_from_patterns([str(data / "*")])
    second = trainer.train_supervised(train, valid, num_train_epochs=1)
    assert second.before.bits_per_byte == pytest.approx(first.after.bits_per_byte, rel=1e-4)


def test_a_tiny_model_learns_an_answer_by_heart(config, tokenizer):
    """O treino, o formato da conversa e a geração falam a mesma língua."""
    folder = config.paths.model_dir("Decorado")
    LunaModel.from_scratch(tiny_config(tokenizer, n_positions=128)).save(folder)
    tokenizer.save(folder / "tokenizer")
    trainer = LunaTrainer("Decorado", config, "cpu", show_progress=False)
    talk = ["[PERSONA] casual\nUsuário: Que horas parte o trem?\nLuna: Às dez e meia."]
    trainer.train_supervised(talk, num_train_epochs=60, learning_rate=3e-3)
    config.chat.temperature = 0.0
    chat = LunaChat("Decorado", config, persona="casual")
    assert chat.generate_response("Que horas parte o trem?") == "Às dez e meia."
