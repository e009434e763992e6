"""A linha de comando: ajuda, códigos de saída, saída padrão limpa, sessões e interrupções."""

import argparse
import io
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tarfile
import textwrap
import time
from types import SimpleNamespace

import pytest
from safetensors import safe_open

import main
from src.models.luna_model import LunaModel
from src.utils.dependency_utils import DependencyReport
from src.utils.model_store import ModelStore
from tests import cli_support
from tests.cli_support import MAIN, ROOT, TINY, Luna, contents, environment

journey, luna, trained = cli_support.journey, cli_support.luna, cli_support.trained

COMMANDS = [
    "create",
    "train",
    "chat",
    "sessions",
    "feedback",
    "index",
    "search",
    "refine",
    "evaluate",
    "benchmark",
    "demo",
    "models",
    "info",
    "setup",
    "test",
]
HEAVY = ("torch", "transformers", "numpy", "src")
ANSI = "\x1b"
TRACEBACK = "Traceback"
DATA = ["--train_data", "texto.txt"]
CONFIG = ["--config", "tiny.json"]
posix_only = pytest.mark.skipif(os.name == "nt", reason="precisa de um terminal POSIX")


def shapes(folder):
    """O nome e a forma de cada peso salvo."""
    found = {}
    for path in (folder / "components").glob("*.safetensors"):
        with safe_open(str(path), framework="pt") as shard:
            found |= {key: tuple(shard.get_slice(key).get_shape()) for key in shard.keys()}
    return found


# --- Ajuda ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_works_without_the_heavy_libraries_and_imports_only_the_standard_one(command):
    code = f"""
        import runpy, sys

        class Blocker:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in {HEAVY!r}:
                    raise ImportError(name + " bloqueado")

        before = set(sys.modules)
        sys.meta_path.insert(0, Blocker())
        sys.argv = {["main.py", *command.split(), "--help"]!r}
        try:
            runpy.run_path({MAIN!r}, run_name="__main__")
        finally:
            new = {{name.partition(".")[0] for name in set(sys.modules) - before}}
            print(sorted(new - sys.stdlib_module_names), file=sys.stderr)
    """
    run = [sys.executable, "-c", textwrap.dedent(code)]
    result = subprocess.run(run, capture_output=True, text=True, encoding="utf-8")
    assert (result.returncode, result.stderr) == (0, "[]\n")
    assert result.stdout.startswith("uso: main.py") and "mostra esta ajuda e sai" in result.stdout
    assert not re.search(r"usage:|options:|positional|show |error", result.stdout)


def test_every_command_has_a_module_and_every_option_a_description():
    parser = main.build_parser()
    [subparsers] = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    assert list(subparsers.choices) == COMMANDS
    for name, command in subparsers.choices.items():
        assert (ROOT / "src" / "cli" / f"{name}.py").is_file()
        assert all(action.help for action in command._actions), name


def test_version_is_printed(luna):
    assert luna("--version").out == f"LunaGPT {main.VERSION}\n"


def test_no_command_prints_the_help_and_exits_2(luna):
    result = luna()
    assert result.code == 2 and "comandos:" in result.out and result.err == ""


@pytest.mark.parametrize(
    "argv,message",
    [
        ("voar", "'voar' não existe (escolha entre 'create'"),
        ("chat --nada", "não reconhecido(s): --nada"),
        ("create", "falta(m): --name"),
        ("train --epochs 1", "falta(m): --model"),
        ("train --model", "opção --model: esperado um valor"),
        ("create --name X --train_data", "esperado ao menos um valor"),
        ("create --nam X", "falta(m): --name"),  # sem abreviações
        ("chat --json=1", "opção --json: não recebe valor (veio '1')"),
        ("train --model X --epochs 0", "opção --epochs: valor inválido: '0' (esperado um número"),
        ("train --model X --epochs -1", "opção --epochs: valor inválido: '-1'"),
        ("train --model X --epochs nan", "opção --epochs: valor inválido: 'nan'"),
        ("train --model X --epochs abc", "opção --epochs: valor inválido: 'abc'"),
        ("create --name X --max_file_mb 0", "--max_file_mb/--max-file-mb: valor inválido: '0'"),
    ],
)
def test_wrong_usage_exits_2_with_a_portuguese_message_on_stderr(luna, argv, message):
    result = luna(*argv.split())
    assert result.code == 2 and result.out == ""
    assert message in result.err and result.err.startswith("uso: main.py")
    assert not re.search(r"usage|error|required|invalid|unrecognized|expected", result.err)
    assert luna.leftovers() == []


@pytest.mark.parametrize(
    "command,flags",
    [
        ("create", "--name --train_data"),
        (
            "train",
            "--model --epochs --train_data --valid_data --use_wandb --lightweight --device",
        ),
        ("chat", "--model --persona --context --device --lightweight"),
        ("test", "--minimal"),
    ],
)
def test_reference_flags_exist_with_their_exact_spelling(luna, command, flags):
    words = set(re.findall(r"(?<![\w-])--[\w-]+", luna(command, "--help").out))
    assert set(flags.split()) <= words


def test_underscores_and_hyphens_are_the_same_option():
    parse = main.build_parser().parse_args
    for spelled in ("train_data", "train-data"):
        args = parse(["train", "--model", "X", f"--{spelled}", "a", "b"])
        assert args.train_data == ["a", "b"]
    args = parse("train --model X --valid-data v --use-wandb --max-file-mb 1,5".split())
    assert (args.valid_data, args.use_wandb, args.max_file_mb) == (["v"], True, 1.5)


# --- Do começo ao fim ----------------------------------------------------------------------------


def test_create_reports_one_json_object(journey):
    home, outcomes = journey
    result = outcomes["create"].json
    keys = {"name", "path", "size", "parameters", "active_parameters", "vocab_size", "texts"}
    assert keys <= set(result)
    assert result["name"] == "Luna" and result["path"] == str(home / "models" / "Luna")
    assert result["vocab_size"] <= TINY["model"]["vocab_size"] + 16
    assert 0 < result["active_parameters"] < result["parameters"]
    assert outcomes["create"].err == ""


def test_train_reports_one_json_object(journey):
    result = journey[1]["train"].json
    assert {"steps", "tokens", "seconds", "bits_per_byte", "model", "trust"} <= set(result)
    assert result["steps"] > 0 and result["tokens"] > 0 and result["seconds"] > 0
    assert result["bits_per_byte"] == result["after"]["bits_per_byte"] > 0
    assert result["after"]["loss"] < result["before"]["loss"]


def test_create_train_and_chat_speak_on_stderr_and_answer_on_stdout(luna):
    created = luna("create", "--name", "Nova", *DATA, *CONFIG)
    assert (created.code, created.out) == (0, "")
    assert "1 arquivo lido" in created.err and "Modelo 'Nova' criado em" in created.err
    assert "main.py train --model Nova" in created.err
    trained = luna("train", "--model", "Nova", "--epochs", "1", *DATA, *CONFIG)
    assert (trained.code, trained.out) == (0, "")
    assert "Validação:" in trained.err and "Quanto confiar:" in trained.err
    assert "main.py chat --model Nova" in trained.err
    told = luna("chat", "-p", "Olá", "--model", "Nova", *CONFIG, "--json").json
    answer = luna("chat", "-p", "Olá", "--model", "Nova", *CONFIG)
    assert answer.code == 0 and answer.err == ""
    assert answer.out.endswith("\n") and answer.out.strip() == told["answer"]
    assert ANSI not in created.err + trained.err + answer.out
    assert luna.leftovers("Nova") == []


def test_chat_reports_one_json_object(trained):
    result = trained("chat", "-p", "Olá", *CONFIG, "--json")
    told = result.json
    assert result.code == 0 and result.err == ""
    assert {"answer", "sources", "tokens", "seconds"} <= set(told)
    assert 0 < told["tokens"] <= 8 and told["sources"] == [] and told["seconds"] > 0
    assert (told["model"], told["persona"]) == ("Luna", "casual")


@pytest.mark.parametrize("persona", ["tecnico", "casual", "formal", "técnico", "Formal"])
def test_chat_accepts_each_persona(trained, persona):
    result = trained("chat", "-p", "Olá", "--persona", persona, *CONFIG, "--json")
    assert result.json["persona"] == persona.lower().replace("é", "e")


def test_chat_takes_context_device_and_lightweight(trained):
    result = trained(
        *("chat", "--model", "Luna", "-p", "Oi", "--context", "É dia.", *CONFIG),
        *("--device", "cpu", "--lightweight"),
    )
    assert result.code == 0 and "Modo leve" in result.err


def test_quiet_says_nothing_but_the_result(trained):
    created = trained("create", "--name", "B", *DATA, *CONFIG, "--quiet")
    assert (created.code, created.out, created.err) == (0, "", "")
    answered = trained("chat", "--model", "Luna", "-p", "Oi", *CONFIG, "--quiet")
    assert answered.code == 0 and answered.err == ""


def test_create_without_data_uses_the_bundled_one(luna):
    result = luna("create", "--name", "Pronta", *CONFIG)
    assert result.code == 0 and "dados de exemplo" in result.err


def test_create_makes_the_vocabulary_follow_the_amount_of_text(luna):
    luna.write("nano.json", json.dumps({"model": {"size": "nano", "n_embd": 32, "n_layer": 2}}))
    result = luna("create", "--name", "B", *DATA, "--config", "nano.json", "--json")
    assert result.json["vocab_size"] <= 512 + 16  # 6 KB de texto; o tamanho nano iria a 4096


def test_train_epochs_may_be_a_fraction(trained):
    result = trained("train", "--model", "Luna", "--epochs", "0,1", *DATA, *CONFIG, "--json")
    whole = trained("train", "--model", "Luna", "--epochs", "1", *DATA, *CONFIG, "--json")
    assert 0 < result.json["steps"] < whole.json["steps"]


def test_train_reads_the_given_validation_data(trained):
    trained.write("valid.txt", "Usuário: Que dia é hoje?\nLuna: Hoje é segunda-feira.\n")
    options = [*DATA, "--valid_data", "valid.txt", *CONFIG]
    result = trained("train", "--model", "Luna", "--epochs", "0.1", *options)
    assert result.code == 0 and "separados para validação" not in result.err
    assert "Validação:" in result.err


def test_lightweight_training_says_what_changes_and_keeps_the_weight_shapes(trained):
    before = shapes(trained.models / "Luna")
    result = trained("train", "--model", "Luna", "--epochs", "0.1", *DATA, *CONFIG, "--lightweight")
    assert result.code == 0 and shapes(trained.models / "Luna") == before
    assert re.search(r"(?i)leve", result.err) and re.search(r"(?i)lote", result.err)


# --- A base e a pasta de modelos -----------------------------------------------------------------


@pytest.fixture(scope="module")
def gpt2_folder(tmp_path_factory):
    """Um GPT-2 minúsculo, com o seu tokenizador, como se tivesse sido baixado."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("base") / "gpt2-pequeno"
    trainer = ByteLevelBPETokenizer()
    text = (ROOT / "data" / "train" / "dialogos_cotidiano.txt").read_text("utf-8")[:6000]
    trainer.train_from_iterator([text], vocab_size=300, special_tokens=["<|endoftext|>"])
    end = "<|endoftext|>"
    PreTrainedTokenizerFast(
        tokenizer_object=trainer._tokenizer, bos_token=end, eos_token=end, unk_token=end
    ).save_pretrained(folder)
    size = trainer.get_vocab_size()
    dimensions = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 96}
    ids = {"bos_token_id": 0, "eos_token_id": 0}
    GPT2LMHeadModel(GPT2Config(vocab_size=size, **dimensions, **ids)).save_pretrained(folder)
    return folder


def test_a_local_gpt2_becomes_a_model_that_trains_and_answers(luna, gpt2_folder):
    result = luna("create", "--name", "B", "--base", gpt2_folder, *DATA, "--json")
    assert result.code == 0 and result.json["size"] is None
    trained = luna("train", "--model", "B", "--epochs", "0.2", *DATA, "--json")
    assert trained.code == 0 and trained.json["steps"] > 0
    luna.write("curto.json", '{"chat": {"max_new_tokens": 4}}')
    assert luna("chat", "-p", "Oi", "--config", "curto.json", "--json").code == 0


def test_create_adopts_a_folder_that_holds_only_a_retriever(luna):
    kept = luna.models / "Luna" / "retriever" / "manifest.json"
    kept.parent.mkdir(parents=True)
    kept.write_text('{"documentos": 3}', "utf-8")
    assert luna("create", "--name", "Luna", *DATA, *CONFIG).code == 0
    assert kept.read_text("utf-8") == '{"documentos": 3}'
    assert ModelStore(luna.models).names() == ["Luna"] and luna.leftovers("Luna") == []


def test_create_force_replaces_the_model_and_keeps_its_retriever(trained):
    folder = trained.models / "Luna"
    (folder / "retriever").mkdir()
    (folder / "retriever" / "manifest.json").write_text("{}", "utf-8")
    before = contents(folder)
    assert trained("create", "--name", "Luna", *DATA, *CONFIG, "--force").code == 0
    after = contents(folder)
    assert after["retriever/manifest.json"] == b"{}"
    assert after["components/base.safetensors"] != before["components/base.safetensors"]
    assert not [name for name in after if name.startswith("training/summary")]
    assert trained.leftovers("Luna") == []


def test_chat_without_model_uses_the_only_one(trained):
    result = trained("chat", "-p", "Oi", *CONFIG)
    assert result.code == 0 and "Usando o modelo 'Luna'." in result.err


def test_chat_without_model_lists_them_when_there_are_several(trained):
    shutil.copytree(trained.models / "Luna", trained.models / "Outra")
    result = trained("chat", "-p", "Oi")
    assert result.code == 2 and result.out == ""
    assert "--model" in result.err and "Luna, Outra" in result.err


def test_chat_without_any_model_says_how_to_create_one(luna):
    result = luna("chat", "-p", "Oi")
    assert result.code == 2 and "python main.py create --name" in result.err


# --- models --------------------------------------------------------------------------------------


def test_models_actions_report_one_json_object_each(trained):
    [entry] = trained("models", "list", "--json").json["models"]
    assert {"name", "path", "size_bytes", "parameters", "modified", "complete"} <= set(entry)
    assert entry["name"] == "Luna" and entry["complete"] and entry["parameters"] > 0
    renamed = trained("models", "rename", "Luna", "Lua", "--json").json
    assert (renamed["renamed"], renamed["name"]) == ("Luna", "Lua")
    exported = trained("models", "export", "Lua", "--json").json
    assert exported == {"exported": "Lua", "archive": "Lua.tar.gz"}
    assert trained("models", "remove", "Lua", "--force", "--json").json == {"removed": "Lua"}
    assert trained("models", "--json").json == {"models": [], "documents_only": []}
    imported = trained("models", "import", "Lua.tar.gz", "Volta", "--json").json
    assert imported["imported"] == "Volta"
    assert trained("chat", "-p", "Oi", *CONFIG).code == 0
    assert trained.leftovers("Volta") == []


def test_models_lists_to_stdout_one_line_per_model(trained):
    result = trained("models")
    assert result.code == 0 and result.err == "" and result.out.count("\n") == 1
    assert re.match(r"Luna +\d+,\d MB +[\d.]+ parâmetros +\d\d/\d\d/\d{4}", result.out)
    (trained.models / "Luna" / "components" / "base.safetensors").unlink()
    assert "(incompleto)" in trained("models").out


def test_models_without_any_says_how_to_create_one(luna):
    result = luna("models")
    assert (result.code, result.out) == (0, "") and "main.py create" in result.err


@pytest.mark.parametrize(
    "argv,form",
    [
        ("models dancar", "ação desconhecida; há list, rename, remove, export, import"),
        ("models list extra", "models list"),
        ("models rename Luna", "models rename ATUAL NOVO"),
        ("models remove", "models remove NOME"),
        ("models remove A B", "models remove NOME"),
        ("models export", "models export NOME [ARQUIVO.tar.gz]"),
        ("models import a b c", "models import ARQUIVO [NOME]"),
        ("models import nada.tar.gz", "nada.tar.gz"),
        ("models export Luna x.rar", ".tar.gz"),
        ("models rename Luna Luna", "já se chama 'Luna'"),
        ("models remove Nada --force", "não existe"),
    ],
)
def test_models_misused_says_the_right_form_and_exits_2(trained, argv, form):
    result = trained(*argv.split())
    assert result.code == 2 and result.out == "" and form in result.err
    assert ModelStore(trained.models).names() == ["Luna"]


@pytest.mark.parametrize("answer,left", [("n\n", ["Luna"]), ("\n", ["Luna"]), ("s\n", [])])
def test_remove_asks_first_in_a_terminal(trained, monkeypatch, answer, left):
    terminal = io.StringIO(answer)
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", terminal)
    result = trained("models", "remove", "Luna")
    assert result.code == 0 and "[s/N]" in result.err
    assert ModelStore(trained.models).names() == left


def test_remove_without_a_terminal_needs_force(trained, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("s\n"))
    result = trained("models", "remove", "Luna")
    assert result.code == 2 and "--force" in result.err
    assert ModelStore(trained.models).names() == ["Luna"]


def test_import_never_replaces_without_force(trained):
    trained("models", "export", "Luna", "l.zip")
    before = contents(trained.models)
    result = trained("models", "import", "l.zip")
    assert result.code == 2 and "--force" in result.err and contents(trained.models) == before
    assert trained("models", "import", "l.zip", "--force").code == 0


@pytest.mark.parametrize("member", ["Mau/../../fora.txt", "/fora.txt", "Mau/c:\\fora.txt"])
def test_a_hostile_archive_is_refused_with_nothing_written(luna, member):
    with tarfile.open(luna.home / "mau.tar.gz", "w:gz") as archive:
        for name in ("Mau/config.json", member):
            info = tarfile.TarInfo(name)
            info.size = 2
            archive.addfile(info, io.BytesIO(b"{}"))
    before = set(contents(luna.home))
    result = luna("models", "import", "mau.tar.gz")
    assert result.code == 1 and result.err.startswith("Erro: ") and TRACEBACK not in result.err
    assert {n for n in contents(luna.home) if ".locks" not in n} == before
    assert luna.leftovers() == [] and not (luna.home.parent / "fora.txt").exists()


# --- info, setup e test --------------------------------------------------------------------------


def test_info_reports_the_machine_the_versions_and_the_folders(trained):
    told = trained("info", "--json").json
    keys = {"hardware", "device", "suggested_size", "versions", "models_dir", "models"}
    assert keys <= set(told) and told["models"] == ["Luna"]
    assert told["models_dir"] == str(trained.models.resolve())
    assert {"python", "torch", "transformers"} <= set(told["versions"])
    text = trained("info")
    assert text.code == 0 and "Processador:" in text.out and ANSI not in text.out


def test_setup_check_reports_one_json_object(luna):
    result = luna("setup", "--check", "--json")
    told = result.json
    assert {"ok", "satisfied", "missing", "outdated", "installed", "exit_code"} <= set(told)
    assert result.code == told["exit_code"] == int(not told["ok"]) and told["installed"] == []


@pytest.mark.parametrize("json_flag", [[], ["--json"]])
def test_setup_with_something_missing_exits_1(luna, monkeypatch, json_flag):
    report = DependencyReport("pyproject.toml", missing=["torch>=2.6"])
    name = "src.utils.dependency_utils.check_and_install_dependencies"
    monkeypatch.setattr(name, lambda **options: report)
    result = luna("setup", "--check", *json_flag)
    assert result.code == 1
    if json_flag:
        assert result.json["missing"] == ["torch>=2.6"] and result.json["ok"] is False
    else:
        assert "falta: torch>=2.6" in result.err and "pip install" in result.err


@pytest.mark.parametrize("options", [[], ["--minimal"], ["--json"]])
def test_test_runs_pytest_and_returns_its_exit_code(luna, monkeypatch, options):
    calls = []

    def fake_run(command, **keywords):
        calls.append((command, keywords))
        return SimpleNamespace(returncode=5)

    monkeypatch.setattr("src.cli.test.subprocess.run", fake_run)
    result = luna("test", *options)
    [(command, keywords)] = calls
    assert result.code == 5 and command[1:3] == ["-m", "pytest"] and keywords["cwd"] == ROOT
    assert (command[-2:] == ["-m", "not slow"]) == (options == ["--minimal"])
    if options == ["--json"]:
        assert result.json == {"exit_code": 5} and keywords["stdout"] is sys.stderr


# --- A entrada padrão ----------------------------------------------------------------------------


def test_a_piped_question_is_answered_once(trained):
    result = trained.process("chat", *CONFIG, cwd=trained.home, input="Olá, Luna!\n".encode())
    assert result.code == 0 and result.out.strip() and result.out.count("Luna:") == 0
    assert result.err == "Usando o modelo 'Luna'.\n" and ANSI not in result.out


@pytest.mark.parametrize("option", [[], ["-p", "-"]])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_a_question_from_stdin_is_read_in_any_usual_encoding(
    trained, monkeypatch, option, encoding
):
    questions = []

    def remember(self, prompt, history=None, on_text=None):
        questions.append(prompt)
        told = {"quoted": False, "declined": False, "corrected": False}
        self.last = SimpleNamespace(tokens=1, sources=(), **told)
        return "sim"

    monkeypatch.setattr("src.chat.luna_chat.LunaChat.generate_response", remember)
    stream = io.TextIOWrapper(io.BytesIO("Você está aí?\n".encode(encoding)), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", stream)
    result = trained("chat", *option, *CONFIG, "--json")
    assert result.json["answer"] == "sim" and questions == ["Você está aí?"]


def test_json_without_a_question_in_a_terminal_asks_for_one(trained, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", terminal)
    result = trained("chat", "--json")
    assert result.code == 2 and "-p" in result.json["error"]


# --- Erros ---------------------------------------------------------------------------------------


def test_errors_are_printed_once_without_a_traceback(luna):
    result = luna("train", "--model", "Nada")
    assert result.code == 2 and result.out == ""
    assert result.err.startswith("Erro: ") and result.err.count("Nada' não existe") == 1
    assert TRACEBACK not in result.err


def test_debug_adds_the_traceback(luna):
    result = luna("train", "--model", "Nada", "--debug")
    assert result.code == 2 and TRACEBACK in result.err and "ModelNotFoundError" in result.err
    assert "Erro: O modelo 'Nada' não existe" in result.err


def test_json_errors_are_one_object_too(luna):
    result = luna("train", "--model", "Nada", "--json")
    assert result.json["exit_code"] == result.code == 2
    assert result.err == f"Erro: {result.json['error']}\n"


@pytest.mark.parametrize(
    "error,words",
    [
        (RuntimeError("peça solta"), "Erro inesperado (RuntimeError): peça solta"),
        (MemoryError(), "Faltou memória"),
        (PermissionError(13, "negado", "x.txt"), "'x.txt'"),
    ],
)
def test_what_nobody_foresaw_is_still_one_line(luna, monkeypatch, error, words):
    def fail(self):
        raise error

    monkeypatch.setattr(ModelStore, "list", fail)
    result = luna("models")
    assert result.code == 1 and result.out == ""
    assert result.err.startswith("Erro: ") and words in result.err and TRACEBACK not in result.err
    assert TRACEBACK in luna("models", "--debug").err


@posix_only
@pytest.mark.parametrize(
    "argv", [["--help"], [], ["models"], ["models", "--json"], ["models", "dancar", "--json"]]
)
def test_a_closed_stdout_gives_no_traceback(trained, argv):
    reader, writer = os.pipe()
    os.close(reader)  # como em "| head -0"
    with os.fdopen(writer, "wb") as closed:
        options = {"capture_output": False, "stdout": closed, "stderr": subprocess.PIPE}
        result = trained.process(*argv, **options)
    assert result.code == 1 and "BrokenPipe" not in result.err and TRACEBACK not in result.err


# --- Num terminal de verdade ---------------------------------------------------------------------

#: Torna o terminal o que controla o processo (para Ctrl-C) e conversa três vezes.
SESSIONS = f"""
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
os.close(os.open(os.ttyname(0), os.O_RDWR))
sys.path.insert(0, {str(ROOT)!r})
import main
for _ in range(3):
    code = main.main(["chat", "--config", "tiny.json"])
    print(f"[saiu com {{code}}]", flush=True)
"""


class Terminal:
    """Um pseudoterminal com um processo do outro lado."""

    def __init__(self, code: str, luna: Luna) -> None:
        import pty

        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            **{"stdin": slave, "stdout": slave, "stderr": slave},
            env=environment(luna.home) | {"TERM": "dumb"},
            cwd=luna.home,
            start_new_session=True,
        )
        os.close(slave)
        self.unread = b""

    def expect(self, text: str, seconds: float = 90) -> str:
        """Lê até aparecer ``text`` e devolve o que leu, ``text`` incluído."""
        wanted, deadline = text.encode(), time.monotonic() + seconds
        while wanted not in self.unread:
            left = max(deadline - time.monotonic(), 0)
            ready, _, _ = select.select([self.master], [], [], left)
            assert ready, f"esperava {text!r}; veio {self.unread.decode(errors='replace')!r}"
            self.unread += os.read(self.master, 4096)
        seen, _, self.unread = self.unread.partition(wanted)
        return (seen + wanted).decode(errors="replace")

    def type(self, text: str) -> None:
        """Digita ``text``."""
        os.write(self.master, text.encode())

    def close(self) -> None:
        """Encerra o processo, se ainda viver, e fecha o terminal."""
        self.process.kill()
        self.process.wait()
        os.close(self.master)


PROMPT = "\x1b[?2004h"  # o prompt_toolkit liga o modo de colagem uma vez por convite


@posix_only
def test_a_conversation_in_a_terminal(trained):
    terminal = Terminal(SESSIONS, trained)
    try:
        assert "/sair, ou Ctrl-D" in terminal.expect(PROMPT)
        terminal.type("Olá\n")
        assert re.search(r"Luna: \S", terminal.expect(PROMPT))
        terminal.type("/ajuda\n")
        assert "recomeça a conversa" in terminal.expect(PROMPT)
        terminal.type("/dancar\n")
        assert "Não conheço o comando '/dancar'" in terminal.expect(PROMPT)
        terminal.type("/limpar\n")
        assert "Conversa recomeçada." in terminal.expect(PROMPT)
        terminal.type("\n")  # uma linha vazia só repete o convite
        terminal.expect(PROMPT)
        terminal.type("/sair\n")
        assert "Até logo!" in terminal.expect("[saiu com 0]")
        terminal.expect(PROMPT)
        terminal.type("\x04")  # Ctrl-D
        assert "Até logo!" in terminal.expect("[saiu com 0]")
        terminal.expect(PROMPT)
        terminal.type("\x03")  # Ctrl-C
        terminal.expect("Ctrl-C de novo sai")
        terminal.expect(PROMPT)
        terminal.type("\x03")
        seen = terminal.expect("[saiu com 130]")
        assert "Interrompido." in seen and TRACEBACK not in seen
    finally:
        terminal.close()


# --- Ctrl-C no treino ----------------------------------------------------------------------------


def interruptible(argv):
    """``main.py argv``, com o Ctrl-C ligado mesmo que o pytest rode em segundo plano."""
    return [
        sys.executable,
        "-c",
        "import runpy, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        f"sys.argv = {['main.py', *argv]!r}; runpy.run_path({MAIN!r}, run_name='__main__')",
    ]


@posix_only
def test_ctrl_c_while_training_saves_what_was_learned(trained):
    folder = trained.models / "Luna"
    before, metrics = contents(folder), folder / "training" / "metrics.jsonl"
    argv = ["train", "--model", "Luna", "--epochs", "10000", *DATA, *CONFIG]
    logged = metrics.read_text("utf-8").count('"loss": ')
    process = subprocess.Popen(
        interruptible(argv),
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE},
        env=environment(trained.home),
        cwd=trained.home,
    )
    deadline = time.monotonic() + 120
    while metrics.read_text("utf-8").count('"loss": ') == logged and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = (data.decode("utf-8") for data in process.communicate(timeout=60))
    assert process.returncode == 130 and out == "" and TRACEBACK not in err
    steps = int(re.search(r"o aprendido em (\d+) passos está salvo", err)[1])
    assert steps > 0 and "python main.py train --model Luna" in err
    assert json.loads((folder / "training" / "summary.json").read_text("utf-8"))["interrupted"]
    assert contents(folder)["components/base.safetensors"] != before["components/base.safetensors"]
    LunaModel.from_pretrained(folder)
    assert trained.leftovers("Luna") == []


@pytest.mark.parametrize("where,words", [("train", "como antes"), ("_measure", "como antes")])
def test_ctrl_c_before_anything_was_saved_says_so(trained, monkeypatch, where, words):
    from src.training.trainer import LunaTrainer

    def interrupt(self, *args, **keywords):
        raise KeyboardInterrupt

    owner = LunaTrainer if where == "_measure" else LunaModel
    monkeypatch.setattr(owner, "save" if where == "train" else where, interrupt)
    before = contents(trained.models / "Luna" / "components")
    argv = ["--model", "Luna", "--epochs", "0.1", *DATA, *CONFIG]
    result = trained("train", *argv)
    assert result.code == 130 and words in result.err and "salvo" not in result.err
    assert contents(trained.models / "Luna" / "components") == before


def test_ctrl_c_while_measuring_after_the_training_still_says_it_is_saved(trained, monkeypatch):
    from src.training.trainer import LunaTrainer

    measure = LunaTrainer._measure

    def interrupt_after_saving(self, *args):
        if self.last_summary is not None:
            raise KeyboardInterrupt
        return measure(self, *args)

    monkeypatch.setattr(LunaTrainer, "_measure", interrupt_after_saving)
    result = trained("train", "--model", "Luna", "--epochs", "0.1", *DATA, *CONFIG)
    assert result.code == 130 and re.search(r"em \d+ passos está salvo", result.err)
    assert "Treino terminado" in result.err and "--resume" not in result.err


def test_ctrl_c_anywhere_else_exits_130_without_a_traceback(luna, monkeypatch):
    def interrupt(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(ModelStore, "list", interrupt)
    result = luna("models")
    assert (result.code, result.out, result.err) == (130, "", "\nInterrompido.\n")


def test_training_again_uses_the_files_of_the_creation_and_says_so(trained):
    """Sem --train_data, um modelo criado com dados próprios não passa aos de exemplo."""
    assert trained("create", "--name", "Meus", *DATA, *CONFIG).code == 0
    result = trained("train", "--model", "Meus", "--epochs", "1")
    assert result.code == 0 and "usando os arquivos de antes" in result.err
    assert "dados de exemplo" not in result.err


def test_texts_held_out_leave_the_training_data(trained):
    result = trained("train", "--model", "Luna", "--epochs", "1", *DATA, "--valid_data", DATA[1])
    assert result.code == 2 and "não sobra nada para treinar" in result.err


def test_chat_without_any_standard_input_asks_for_a_question(trained, monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    result = trained("chat", "--model", "Luna")
    assert result.code == 2 and "-p" in result.err
