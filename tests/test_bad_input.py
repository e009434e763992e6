"""Entrada ruim: o erro diz o que houve e o que fazer, sai com o código certo e não deixa restos."""

import errno
import json
import os
import pickle
import shutil

import pytest
from docx import Document as WordDocument
from pypdf import PdfReader, PdfWriter
from reportlab.pdfgen import canvas

from src.config.config import Config
from src.models import model_files
from src.models.luna_model import LunaModel
from src.models.tokenizer import LunaTokenizer
from src.training.progress import MetricsCallback
from src.utils import hardware_utils
from src.utils.model_store import ModelStore
from tests import cli_support
from tests.cli_support import TEXT, contents

journey, luna, trained = cli_support.journey, cli_support.luna, cli_support.trained

DATA = ["--train_data", "texto.txt"]
CONFIG = ["--config", "tiny.json"]
CREATE = ["create", "--name", "Nova", *CONFIG]


def refused(result, code, *words):
    """Confere um erro bem dito: uma vez, em português, com ``words``, sem traceback nem saída."""
    assert result.code == code, result.err
    assert result.out == "" and "Traceback" not in result.err
    lines = [line for line in result.err.splitlines() if line.startswith("Erro: ")]
    assert len(lines) == 1 and "Erro inesperado" not in result.err
    for word in words:
        assert word in result.err


# --- Nomes de modelos ----------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["train", *DATA], ["chat", "-p", "Oi"]])
def test_an_unknown_model_lists_the_ones_that_exist(trained, command):
    result = trained(command[0], "--model", "Lunna", *command[1:])
    refused(result, 2, "'Lunna' não existe", "quis dizer 'Luna'", "main.py create --name Lunna")
    assert trained.leftovers("Luna") == []


@pytest.mark.parametrize("name", ["models/Luna", "../Luna", "Luna/"])
def test_a_path_instead_of_a_name_is_refused_with_the_name_it_would_be(trained, name):
    for argv in (["train", "--model", name], ["chat", "--model", name, "-p", "Oi"]):
        refused(trained(*argv), 2, "é um caminho", "O nome seria 'Luna'")
    refused(trained("create", "--name", name, *DATA), 2, "é um caminho")
    assert trained.leftovers("Luna") == []


@pytest.mark.parametrize("name", ["", "a b", ".oculto", "CON", "a" * 65])
def test_a_bad_name_is_refused_before_any_work(luna, name):
    refused(luna("create", "--name", name, *DATA), 2, "nome de modelo", "MeuLunaGPT")
    assert not luna.models.exists()


def test_an_existing_model_needs_force(trained):
    before = contents(trained.models)
    refused(trained("create", "--name", "Luna", *DATA, *CONFIG), 2, "Já existe", "--force")
    assert contents(trained.models) == before


def test_a_folder_without_a_model_is_said_to_be_there(luna):
    (luna.models / "Luna" / "retriever").mkdir(parents=True)
    refused(luna("chat", "--model", "Luna", "-p", "Oi"), 2, "mas sem config.json")


# --- Arquivos de dados ---------------------------------------------------------------------------


def pdf(luna, name="certo.pdf"):
    page = canvas.Canvas(str(luna.home / name))
    page.drawString(72, 700, "Um texto qualquer.")
    page.save()
    return luna.home / name


def damaged_pdf(luna):
    path = pdf(luna)
    return luna.write("ruim.pdf", path.read_bytes()[:200])


def encrypted_pdf(luna):
    writer = PdfWriter(clone_from=PdfReader(pdf(luna)))
    writer.encrypt("segredo", "dono", algorithm="AES-256")
    writer.write(luna.home / "ruim.pdf")


def damaged_docx(luna):
    WordDocument().save(luna.home / "certo.docx")
    luna.write("ruim.docx", (luna.home / "certo.docx").read_bytes()[:-400])


BAD_FILES = {
    "damaged PDF": ("ruim.pdf", damaged_pdf, "danificado"),
    "encrypted PDF": ("ruim.pdf", encrypted_pdf, "protegido por senha"),
    "text named PDF": ("ruim.pdf", lambda luna: luna.write("ruim.pdf", TEXT), "não é um PDF"),
    "PDF named DOCX": (
        "ruim.docx",
        lambda luna: shutil.copy(pdf(luna), luna.home / "ruim.docx"),
        "não é um .docx",
    ),
    "damaged DOCX": ("ruim.docx", damaged_docx, "incompleto"),
    "binary named TXT": ("ruim.txt", lambda luna: luna.write("ruim.txt", bytes(4096)), "binári"),
    "broken JSON": ("ruim.json", lambda luna: luna.write("ruim.json", "[{]"), "não é JSON válido"),
    "unknown extension": ("ruim.exe", lambda luna: luna.write("ruim.exe", "x"), "extensão '.exe'"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_alone_is_an_error_that_names_it(luna, kind):
    name, make, words = BAD_FILES[kind]
    make(luna)
    refused(luna(*CREATE, "--train_data", name), 1, name, words)
    assert luna.leftovers() == []


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_among_good_ones_is_told_and_the_rest_is_used(luna, kind):
    name, make, words = BAD_FILES[kind]
    make(luna)
    result = luna(*CREATE, "--train_data", name, "texto.txt")
    assert result.code == 0 and f"Arquivo ignorado: {name}" in result.err and words in result.err
    assert luna.leftovers("Nova") == []


@pytest.mark.parametrize("pattern", ["nada/*.txt", "nada.txt", "*.pdf"])
@pytest.mark.parametrize("command", ["create", "train", "valid"])
def test_a_pattern_that_finds_nothing_is_named(trained, pattern, command):
    argv = {
        "create": [*CREATE, "--train_data", pattern],
        "train": ["train", "--model", "Luna", "--train_data", pattern],
        "valid": ["train", "--model", "Luna", *DATA, "--valid_data", pattern],
    }
    refused(trained(*argv[command]), 2, f"'{pattern}' não encontrou nenhum arquivo")
    assert trained.leftovers("Luna") == []


@pytest.mark.parametrize("content", ["", "\n \n\t\n", "\ufeff"])
def test_an_empty_file_is_named(luna, content):
    luna.write("vazio.txt", content)
    refused(luna(*CREATE, "--train_data", "vazio.txt"), 2, "Nenhum texto", "vazio.txt")
    assert luna.leftovers() == []


def test_an_empty_folder_is_named(luna):
    (luna.home / "pasta").mkdir()
    refused(luna(*CREATE, "--train_data", "pasta"), 2, "'pasta'", ".txt")


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_text_in_another_encoding_is_read_and_told(luna, encoding):
    luna.write("antigo.txt", TEXT.encode(encoding, errors="ignore"))
    result = luna(*CREATE, "--train_data", "antigo.txt")
    assert result.code == 0 and "antigo.txt: não está em UTF-8" in result.err
    tokenizer = LunaTokenizer(Config()).load(luna.models / "Nova" / "tokenizer")
    assert tokenizer.decode(tokenizer.encode("não é você")) == "não é você"


def test_a_bad_jsonl_line_is_told_with_file_and_line_and_the_rest_is_used(luna):
    blocks = [block for block in TEXT.split("\n\n") if len(block) > 40]
    rows = [json.dumps({"text": block}, ensure_ascii=False) for block in blocks]
    rows[1] = '{"text": "sem fim'
    luna.write("dados.jsonl", "\n".join(rows))
    result = luna(*CREATE, "--train_data", "dados.jsonl", "--json")
    assert result.json["texts"] >= (len(rows) - 1) // 2
    assert "Registro com problema: dados.jsonl:2: " in result.err
    assert result.err.count("Registro com problema") == 1


def test_too_little_text_is_an_error_in_the_command_line(luna):
    luna.write("curto.txt", "Pouco texto, mas em bom português.")
    result = luna(*CREATE, "--train_data", "curto.txt")
    refused(result, 2, "--train_data: só 34 caracteres", "ao menos 1024", "Junte mais arquivos")
    assert luna.leftovers() == []


def test_too_little_text_is_enough_for_the_python_interface(tmp_path):
    config = Config(tokenizer={"vocab_size": 300})
    tokenizer = LunaTokenizer(config)
    tokenizer.train_and_save(["Pouco texto."], tmp_path / "tokenizer")
    assert tokenizer.decode(tokenizer.encode("Olá, mundo")) == "Olá, mundo"


def test_a_file_over_the_limit_is_skipped_and_told(luna):
    luna.write("grande.txt", TEXT * 40)  # uns 240 KB
    result = luna(*CREATE, "--train_data", "grande.txt", "texto.txt", "--max_file_mb", "0,1")
    assert result.code == 0 and "1 arquivo lido" in result.err
    assert "Arquivo ignorado: grande.txt: tem 0.2 MB; o máximo é 0.1 MB" in result.err
    refused(luna(*CREATE, "--force", "--train_data", "grande.txt", "--max-file-mb", "0.1"), 1)


# --- Configuração e opções -----------------------------------------------------------------------

BAD_CONFIGS = {
    "bad JSON": ("{", "não é JSON"),
    "not an object": ("[1]", "esperado um objeto"),
    "unknown section": ('{"cozinha": {}}', "cozinha"),
    "unknown field": ('{"chat": {"altura": 1}}', "chat.altura: campo desconhecido"),
    "bad value": ('{"training": {"seed": "x"}}', "training.seed='x': esperado"),
    "section of another type": ('{"model": "nano"}', "seção model='nano'"),
    "unknown model field": ('{"model": {"size": "nano", "n_embed": 3}}', "model.n_embed"),
    "bad dimension": ('{"model": {"size": "nano", "n_layer": 0}}', "n_layer=0"),
    "dimension of another type": ('{"model": {"size": "nano", "n_embd": "x"}}', "n_embd='x'"),
    "bad switch": ('{"model": {"size": "nano", "use_moe": "sim"}}', "use_moe='sim'"),
    "bad list": ('{"model": {"size": "nano", "moe_layers": 1}}', "moe_layers=1"),
    "bad number": ('{"model": {"size": "nano", "z_weight": "x"}}', "z_weight='x'"),
    "bad count": ('{"model": {"size": "nano", "sparse_top_k": "x"}}', "sparse_top_k='x'"),
    "vocabulary of another type": ('{"model": {"size": "nano", "vocab_size": "x"}}', "vocab_size"),
    "tiny vocabulary": ('{"model": {"size": "nano", "vocab_size": 9}}', "no mínimo 264"),
    "unknown size": ('{"model": {"size": "gigante"}}', "'gigante'"),
    "size of another type": ('{"model": {"size": ["nano"]}}', "auto, nano, mini, small, base"),
}


@pytest.mark.parametrize("kind", BAD_CONFIGS)
def test_a_bad_configuration_is_named_before_any_work(luna, kind):
    text, words = BAD_CONFIGS[kind]
    luna.write("ruim.json", text)
    result = luna("create", "--name", "Nova", *DATA, "--config", "ruim.json")
    refused(result, 2, words)
    assert "Treinando o tokenizador" not in result.err and luna.leftovers() == []


@pytest.mark.parametrize("path,words", [("nada.json", "não existe"), (".", "possível ler")])
def test_a_configuration_that_cannot_be_read_is_named(luna, path, words):
    refused(luna("models", "--config", path), 2, f"'{path}'", words)


@pytest.mark.parametrize(
    "argv,words",
    [
        ("create --name B --train_data texto.txt --size enorme", "auto, nano, mini, small, base"),
        ("train --model Luna --train_data texto.txt --device tpu", "auto, cpu, cuda, mps"),
        ("chat --model Luna -p Oi --device tpu", "auto, cpu, cuda, mps"),
        ("chat --model Luna -p Oi --persona pirata", "casual, formal, tecnico"),
    ],
)
def test_an_unknown_choice_lists_the_known_ones(trained, argv, words):
    refused(trained(*argv.split()), 2, words)
    assert trained.leftovers("Luna") == []


@pytest.mark.parametrize("command", [["train", *DATA], ["chat", "-p", "Oi"]])
def test_a_gpu_that_is_not_there_is_refused(trained, monkeypatch, command):
    monkeypatch.setattr(hardware_utils, "_available_devices", lambda: ["cpu"])
    result = trained(command[0], "--model", "Luna", *command[1:], "--device", "cuda")
    refused(result, 2, "--device cuda", "não há 'cuda'", "--device auto")


@pytest.mark.parametrize("prompt", ["", "   ", "\n"])
def test_an_empty_question_is_refused(trained, prompt):
    refused(trained("chat", "-p", prompt), 2, "A pergunta veio vazia", "-p")


def test_a_question_longer_than_the_context_is_refused(trained):
    result = trained("chat", "-p", "palavra " * 200, *CONFIG)
    refused(result, 1, "contexto do modelo é de 96", "Encurte")


# --- --base --------------------------------------------------------------------------------------


def gpt2_config(**changes):
    return json.dumps({"model_type": "gpt2"} | changes)


@pytest.mark.parametrize(
    "files,code,words",
    [
        (None, 2, "não há config.json"),
        ({}, 2, "não há config.json"),
        ({"config.json": "{"}, 1, "config.json' está danificado"),
        ({"config.json": gpt2_config(model_type="bert")}, 1, "'bert'; esperado 'gpt2'"),
        (
            {"config.json": gpt2_config(), "pytorch_model.bin": pickle.dumps(1)},
            1,
            "não há pesos em .safetensors",
        ),
        ({"config.json": gpt2_config(), "model.safetensors": b"x"}, 1, "tokenizer"),
    ],
)
def test_a_wrong_base_folder_is_named(luna, files, code, words):
    if files is not None:
        (luna.home / "base").mkdir()
    for name, content in (files or {}).items():
        luna.write(f"base/{name}", content)
    refused(luna("create", "--name", "Nova", "--base", "base", *DATA), code, "base", words)
    assert luna.leftovers() == []


def test_a_base_refuses_other_dimensions(luna, tmp_path):
    luna.write("m.json", '{"model": {"n_embd": 64}}')
    result = luna("create", "--name", "Nova", "--base", "nada", *DATA, "--config", "m.json")
    refused(result, 2)
    assert luna.leftovers() == []


# --- Pastas de modelos danificadas ---------------------------------------------------------------


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE = {
    "truncated weights": (lambda f: truncated(f / "components" / "base.safetensors"), "danificado"),
    "missing weights": (lambda f: (f / "components" / "moe.safetensors").unlink(), "falta"),
    "truncated index": (lambda f: truncated(f / "model.safetensors.index.json"), "danificado"),
    "truncated config": (lambda f: truncated(f / "config.json"), "danificado"),
    "missing tokenizer": (lambda f: shutil.rmtree(f / "tokenizer"), "tokenizer"),
    "truncated tokenizer": (lambda f: truncated(f / "tokenizer" / "tokenizer.json"), "tokenizer"),
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("command", [["train", *DATA], ["chat", "-p", "Oi"]])
def test_a_damaged_model_is_refused_and_left_as_it_was(trained, kind, command):
    damage, words = DAMAGE[kind]
    folder = trained.models / "Luna"
    damage(folder)
    before = contents(folder)
    refused(trained(command[0], "--model", "Luna", *command[1:], *CONFIG), 1, words)
    assert contents(folder) == before


# --- Disco cheio ---------------------------------------------------------------------------------


def disk_full(*args, **options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("owner,name", [(os, "fsync"), (model_files, "_write_synced")])
def test_a_full_disk_during_create_leaves_nothing(luna, monkeypatch, owner, name):
    monkeypatch.setattr(owner, name, disk_full)
    refused(luna(*CREATE, *DATA), 1, "o disco está cheio", "Libere espaço")
    assert luna.leftovers() == []


def test_a_full_disk_during_create_force_keeps_the_old_model(trained, monkeypatch):
    before = contents(trained.models / "Luna")
    monkeypatch.setattr(os, "fsync", disk_full)
    refused(trained("create", "--name", "Luna", "--force", *DATA, *CONFIG), 1, "disco está cheio")
    assert contents(trained.models / "Luna") == before and trained.leftovers("Luna") == []


@pytest.mark.parametrize("owner,name", [(os, "fsync"), (model_files, "_write_synced")])
def test_a_full_disk_when_training_saves_keeps_the_old_weights(trained, monkeypatch, owner, name):
    folder = trained.models / "Luna"
    before = contents(folder / "components")
    with monkeypatch.context() as full:
        full.setattr(owner, name, disk_full)
        result = trained("train", "--model", "Luna", "--epochs", "0.1", *DATA, *CONFIG)
    refused(result, 1, "o disco está cheio", "Libere espaço")
    assert contents(folder / "components") == before and trained.leftovers("Luna") == []
    LunaModel.from_pretrained(folder)


RUN_FOLDERS = ("training/", "checkpoints/")  # o que o treino grava ao longo do caminho


def test_a_disk_that_fills_up_at_the_last_weight_file_keeps_the_old_weights(trained, monkeypatch):
    folder = trained.models / "Luna"
    before = {n: data for n, data in contents(folder).items() if not n.startswith(RUN_FOLDERS)}
    write = model_files._write_synced
    monkeypatch.setattr(
        model_files,
        "_write_synced",
        lambda path, data: disk_full() if "index" in path.name else write(path, data),
    )
    result = trained("train", "--model", "Luna", "--epochs", "0.1", *DATA, *CONFIG)
    refused(result, 1, "o disco está cheio")
    after = {n: data for n, data in contents(folder).items() if not n.startswith(RUN_FOLDERS)}
    assert after == before
    LunaModel.from_pretrained(folder)


def test_a_full_disk_for_the_metrics_does_not_stop_the_training(trained, monkeypatch):
    where = trained.home / "ocupado"
    where.write_text("um arquivo no lugar da pasta", "utf-8")
    start = MetricsCallback.__init__
    monkeypatch.setattr(
        MetricsCallback, "__init__", lambda self, path: start(self, where / "metrics.jsonl")
    )
    result = trained("train", "--model", "Luna", "--epochs", "2", *DATA, *CONFIG)
    assert result.code == 0 and result.err.count("As métricas não vão mais") == 1
    assert "Validação:" in result.err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root escreve em tudo")
def test_a_folder_without_permission_is_named(luna):
    luna.models.mkdir(mode=0o500)
    refused(luna(*CREATE, *DATA), 1, "não há permissão de escrita", "LUNA_HOME")


def test_a_models_folder_that_is_a_file_is_named(luna):
    luna.write("models", "não sou uma pasta")
    refused(luna(*CREATE, *DATA), 1, "models")
    assert ModelStore(luna.models).names() == []
