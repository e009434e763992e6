"""``index`` e ``search``, como a pessoa os usa: o que imprimem, o que devolvem e o que gravam."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from main import main
from src.config.config import Config
from src.models.luna_model import LunaModel
from src.retrieval.storage import index_lock
from src.utils.model_store import ModelStore
from tests.conftest import tiny_config

ROOT = Path(__file__).resolve().parent.parent
MUSEUM = "O Museu do Carretel abre de terça a domingo. A entrada custa doze reais."
HOSTEL = "Cães são aceitos. A diária da Pousada Vento Manso custa cento e oitenta reais."


@pytest.fixture
def home(tmp_path, monkeypatch):
    """``LUNA_HOME`` com uma pasta de documentos e a busca só por palavras, que é instantânea."""
    monkeypatch.setenv("LUNA_HOME", str(tmp_path))
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "museu.txt").write_text(MUSEUM, "utf-8")
    (docs / "pousada.txt").write_text(HOSTEL, "utf-8")
    config = {"rag": {"sentence_transformer_model": "nenhum"}}
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    return tmp_path


def run(home, *words):
    """O código de saída de um comando."""
    return main([*words, "--config", str(home / "config.json")])


def index(home, *words):
    return run(home, "index", "--model", "LunaRAG", *words)


def result(capsys):
    """O objeto que ``--json`` imprimiu."""
    return json.loads(capsys.readouterr().out)


def test_indexing_tells_what_went_in_and_how_to_create_the_model(home, capsys):
    assert index(home, "--docs", str(home / "docs")) == 0
    told = capsys.readouterr().err

    assert "2 arquivos novos" in told and "No índice: 2 documentos" in told
    assert "create --name LunaRAG" in told
    assert (home / "models" / "LunaRAG" / "retriever" / "manifest.json").is_file()


def test_json_prints_one_object(home, capsys):
    index(home, "--docs", str(home / "docs"), "--json")
    found = result(capsys)

    assert len(found["added"]) == 2 and found["stats"]["chunks"] == 2 and found["exit_code"] == 0


def test_update_alone_rereads_the_last_patterns_and_drops_what_is_gone(home, capsys):
    index(home, "--docs", str(home / "docs"))
    (home / "docs" / "museu.txt").unlink()
    (home / "docs" / "pousada.txt").write_text(HOSTEL + " Há piscina.", "utf-8")
    capsys.readouterr()

    assert index(home, "--update", "--json") == 0
    found = result(capsys)

    assert (len(found["replaced"]), len(found["removed"])) == (1, 1)
    assert found["stats"]["documents"] == 1


def test_without_update_missing_files_stay_and_are_named(home, capsys):
    index(home, "--docs", str(home / "docs"))
    (home / "docs" / "museu.txt").unlink()

    assert index(home, "--docs", str(home / "docs")) == 0
    told = capsys.readouterr().err

    assert "museu.txt" in told and "--update" in told and "No índice: 2 documentos" in told


def test_one_bad_file_does_not_stop_the_rest(home, capsys):
    (home / "docs" / "ruim.pdf").write_bytes(b"nada de PDF")

    assert index(home, "--docs", str(home / "docs")) == 0
    told = capsys.readouterr().err
    assert "ruim.pdf" in told and "não é um PDF" in told and "2 arquivos novos" in told


def test_nothing_readable_fails_with_1_and_leaves_no_index(home, capsys):
    bad = home / "ruim.pdf"
    bad.write_bytes(b"nada de PDF")

    assert index(home, "--docs", str(bad)) == 1
    assert "não é um PDF" in capsys.readouterr().err
    assert not (home / "models" / "LunaRAG").exists()


@pytest.mark.parametrize(
    "words, told",
    [
        ([], "--docs PASTA"),
        (["--update"], "ainda não tem documentos"),
        (["--stats"], "ainda não tem documentos"),
        (["--docs", "nao/existe/*.txt"], "nao/existe"),
    ],
)
def test_usage_errors_exit_2_and_leave_nothing_behind(home, capsys, words, told):
    assert index(home, *words) == 2
    assert told in capsys.readouterr().err
    assert not (home / "models" / "LunaRAG").exists()


def test_removing_takes_a_document_out_and_an_unknown_one_is_told(home, capsys):
    index(home, "--docs", str(home / "docs"))
    assert index(home, "--remove", "museo.txt") == 2
    assert "museu.txt" in capsys.readouterr().err

    assert index(home, "--remove", "museu.txt") == 0
    capsys.readouterr()
    run(home, "search", "--model", "LunaRAG", "-p", "museu carretel", "--json")
    assert [item["source"] for item in result(capsys)["results"]] == [
        str(home / "docs" / "pousada.txt")
    ]


def test_stats_list_the_documents(home, capsys):
    index(home, "--docs", str(home / "docs"))
    capsys.readouterr()
    assert index(home, "--stats") == 0
    shown = capsys.readouterr().out

    assert "Documentos: 2; trechos: 2." in shown and "pousada.txt" in shown


def test_search_shows_numbered_passages(home, capsys):
    index(home, "--docs", str(home / "docs"))
    capsys.readouterr()
    assert run(home, "search", "--model", "LunaRAG", "-p", "Quanto custa a diária?") == 0
    shown = capsys.readouterr().out

    assert shown.startswith("[1] pousada.txt (relevância") and "cento e oitenta" in shown
    assert "[2] museu.txt" in shown


def test_search_json_has_the_results_and_top_k_limits_them(home, capsys):
    index(home, "--docs", str(home / "docs"))
    capsys.readouterr()
    run(home, "search", "--model", "LunaRAG", "-p", "diária", "--top_k", "1", "--json")
    found = result(capsys)

    assert len(found["results"]) == 1 and found["results"][0]["id"] == 1
    assert {"source", "page", "section", "text", "score", "relevance"} <= set(found["results"][0])


@pytest.mark.parametrize(
    "words", [["-p", " "], ["-p", "oi", "--top_k", "0"], ["-p", "oi", "--min_relevance", "2"], []]
)
def test_bad_searches_exit_2(home, words):
    index(home, "--docs", str(home / "docs"))
    assert run(home, "search", "--model", "LunaRAG", *words) == 2


def test_search_without_an_index_says_how_to_make_one(home, capsys):
    assert run(home, "search", "--model", "LunaRAG", "-p", "oi") == 2
    assert "index --model LunaRAG --docs" in capsys.readouterr().err


def test_chat_answers_from_a_folder_that_has_only_documents(home, capsys):
    index(home, "--docs", str(home / "docs"))
    capsys.readouterr()
    question = "Quanto custa a diária da Pousada Vento Manso?"
    assert run(home, "chat", "--model", "LunaRAG", "-p", question, "--json") == 0
    found = result(capsys)

    assert found["quoted"] and "cento e oitenta" in found["answer"]
    assert found["sources"][0]["source"].endswith("pousada.txt") and found["tokens"] == 0


def test_models_lists_it_and_train_says_what_to_do(home, capsys):
    index(home, "--docs", str(home / "docs"))
    capsys.readouterr()
    main(["models"])
    assert "LunaRAG: só documentos" in capsys.readouterr().err
    assert main(["train", "--model", "LunaRAG"]) == 2
    assert "só tem documentos" in capsys.readouterr().err


def test_create_adopts_the_index_byte_for_byte(home, config, tokenizer, capsys):
    index(home, "--docs", str(home / "docs"))
    folder = home / "models" / "LunaRAG"

    def contents():
        files = (folder / "retriever").rglob("*")
        return {path.relative_to(folder): path.read_bytes() for path in files if path.is_file()}

    before = contents()
    store = ModelStore(Config().paths.models_dir)
    store.check_free("LunaRAG")

    def fill(staging):
        LunaModel.from_scratch(tiny_config(tokenizer)).save(staging)
        tokenizer.save(staging / "tokenizer")

    store.install("LunaRAG", fill)

    assert contents() == before and store.exists("LunaRAG")


def test_a_second_indexing_waits_and_says_so(home, capsys):
    folder = home / "models" / "LunaRAG" / "retriever"
    folder.parent.mkdir(parents=True)
    command = [sys.executable, str(ROOT / "main.py"), "index", "--model", "LunaRAG"]
    command += ["--docs", str(home / "docs"), "--config", str(home / "config.json")]
    with index_lock(folder):
        child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ)
        assert "esperando a vez" in child.stderr.readline()
        assert not (folder / "manifest.json").exists()
    child.communicate(timeout=60)

    assert child.returncode == 0 and (folder / "manifest.json").is_file()


@pytest.mark.skipif(os.name == "nt", reason="SIGINT")
def test_control_c_leaves_the_old_index_whole(home, capsys):
    index(home, "--docs", str(home / "docs" / "museu.txt"))
    many = home / "muitos"
    many.mkdir()
    for number in range(3000):
        (many / f"{number}.txt").write_text(f"Texto de número {number}. " * 30, "utf-8")
    command = [sys.executable, str(ROOT / "main.py"), "index", "--model", "LunaRAG"]
    command += ["--docs", str(many), "--config", str(home / "config.json")]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ)
    time.sleep(1.0)
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=60)
    capsys.readouterr()

    assert child.returncode == 130
    index(home, "--stats", "--json")
    assert result(capsys)["documents"] == 1


# --- Num Qdrant -----------------------------------------------------------------------------------


def test_the_commands_work_on_a_qdrant(home, capsys):
    config = json.loads((home / "config.json").read_text("utf-8"))
    config["rag"] |= {"backend": "qdrant", "qdrant_url": str(home / "qdrant")}
    (home / "config.json").write_text(json.dumps(config), "utf-8")

    assert index(home, "--docs", str(home / "docs")) == 0
    (home / "docs" / "museu.txt").unlink()
    (home / "docs" / "pousada.txt").write_text(HOSTEL + " Há piscina.", "utf-8")
    assert index(home, "--update") == 0  # os padrões ficaram na coleção
    capsys.readouterr()
    assert run(home, "search", "--model", "LunaRAG", "-p", "piscina", "--json") == 0
    found = result(capsys)["results"]
    assert len(found) == 1 and "Há piscina." in found[0]["text"]
    assert index(home, "--remove", "pousada.txt", "--json") == 0
    assert result(capsys)["stats"]["chunks"] == 0
    assert not (home / "models" / "LunaRAG").exists()
