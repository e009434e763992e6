"""Os dados que vêm junto: o que ``check_data.py`` acusa, e como os documentos se refazem."""

import importlib.util
import json
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest

from src.utils.documents import Document
from src.utils.file_utils import load_documents

ROOT = Path(__file__).resolve().parent.parent


def script(name):
    """Um script da pasta ``scripts`` como módulo."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


check_data, make_documents = script("check_data"), script("make_documents")


@pytest.fixture(scope="module")
def bundled():
    return check_data.read_data(ROOT / "data")


@pytest.fixture
def folder(tmp_path):
    """Uma cópia dos dados, para estragar."""
    shutil.copytree(ROOT / "data", tmp_path / "data")
    return tmp_path / "data"


def failing(folder, function):
    return {c.name: c for c in function(check_data.read_data(folder)) if not c.passed}


def append(path, text):
    with open(path, "a", encoding="utf-8") as stream:
        stream.write(text)


def edit_first(path, **changes):
    """Muda campos do primeiro registro de um JSONL; ``None`` tira o campo."""
    lines = path.read_text("utf-8").splitlines()
    record = json.loads(lines[0]) | changes
    lines[0] = json.dumps({k: v for k, v in record.items() if v is not None}, ensure_ascii=False)
    path.write_text("\n".join(lines) + "\n", "utf-8")


# ---------------------------------------------------------------------- o que vem junto


@pytest.mark.parametrize("function", check_data.CHECKS, ids=lambda f: f.__name__)
def test_bundled_data_passes(bundled, function):
    checks = function(bundled)
    assert checks
    failed = [(c.name, c.value, c.limit, c.details[:3]) for c in checks if not c.passed]
    assert failed == []


def test_questions_reach_every_document_of_the_folder(bundled):
    asked = {record["documento"] for record in bundled.sets["perguntas"]}
    stems = {path.stem for path in (ROOT / "data/train/documentos").iterdir()}
    assert stems <= asked


def test_documents_are_what_the_script_makes_of_their_sources(tmp_path):
    made = make_documents.make_documents(output=tmp_path)
    assert Counter(path.suffix for path in made) == {".pdf": 4, ".docx": 4, ".html": 4}
    bundled_folder = ROOT / "data" / "train" / "documentos"
    for path in made:
        (again,), _ = load_documents(path)
        (there,), _ = load_documents(bundled_folder / path.name)
        assert str(again) == str(there), path.name
        title, paragraphs, _ = make_documents.read_source(
            make_documents.SOURCES / path.suffix[1:] / f"{path.stem}.txt"
        )
        for part in (title, *paragraphs):
            assert check_data.squeeze(part) in check_data.squeeze(there), path.name


def test_source_with_two_documents_is_refused(tmp_path):
    (tmp_path / "x.txt").write_text("[TÍTULO] A\n[CONTEÚDO] B\n[TÍTULO] C\n[CONTEÚDO] D\n", "utf-8")
    with pytest.raises(ValueError, match="esperado um documento"):
        make_documents.read_source(tmp_path / "x.txt")


# ---------------------------------------------------------------------- o que deve ser acusado


def test_repeated_and_nearly_repeated_texts_are_found(folder):
    conversation = (folder / "train/dialogos_luna.txt").read_text("utf-8").split("---\n")[0]
    append(folder / "train/dialogos_cotidiano.txt", conversation + "---\n")
    assert "textos repetidos" in failing(folder, check_data.check_duplicates)
    long = " ".join(f"palavra{i}" for i in range(60))
    texts = [Document(long), Document(long.replace("palavra59", "outra"))]
    data = check_data.Data(folder, texts, [], [], {})
    exact, near = check_data.check_duplicates(data)
    assert exact.passed and not near.passed


def test_text_on_both_sides_of_the_split_is_found(folder):
    conversation = (folder / "train/dialogos_luna.txt").read_text("utf-8").split("---\n")[1]
    append(folder / "valid/dialogos.txt", conversation + "---\n")
    (check,) = failing(folder, check_data.check_split).values()
    assert "dialogos_luna.txt" in check.details[0] and "valid" in check.details[0]


def test_question_that_is_in_the_training_text_is_found(folder):
    edit_first(folder / "valid/perguntas.jsonl", pergunta="Qual é o seu nome?")
    (check,) = failing(folder, check_data.check_split).values()
    assert check.details == ("perguntas:1: a pergunta está no treino",)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("\nUsuário: Oi\nUsuário: Oi?\nLuna: Olá!\n", "alternam"),
        ("[PERSONA] pirata\nUsuário: Oi\nLuna: Arrr\n", "pirata"),
        ("Usuário: Oi \nLuna: Olá\n", "espaço no fim"),
        ("Usuário: Oi\r\nLuna: Olá\n", "Windows"),
        ("Usuário: Cafe\u0301\nLuna: Olá\n", "NFC"),
    ],
)
def test_bad_format_is_found(folder, text, told):
    (folder / "train/mau.txt").write_bytes(text.encode())
    (check,) = failing(folder, check_data.check_format).values()
    assert any(told in detail and "mau.txt" in detail for detail in check.details)


def test_text_that_repeats_itself_fails_for_variety(folder):
    texts = [Document("A água do rio corre devagar até o mar. " * 50)]
    data = check_data.Data(folder, texts, [], [], {})
    assert not check_data.check_variety(data)[0].passed


def test_misspelled_text_fails_and_names_do_not_count(folder, monkeypatch):
    known = {"o", "rio", "corre"}
    monkeypatch.setattr(check_data, "hunspell_has_portuguese", lambda: True)
    monkeypatch.setattr(check_data, "spell", lambda words: [w for w in words if w not in known])
    good = check_data.Data(folder, [Document("O rio Parnaíba corre.")], [], [], {})
    bad = check_data.Data(folder, [Document("O rio corre devagár.")], [], [], {})
    assert check_data.check_spelling(good)[0].passed
    (check,) = check_data.check_spelling(bad)
    assert not check.passed and check.details == ("devagár (1)",)


def test_without_hunspell_spelling_is_not_measured_and_says_so(bundled, monkeypatch):
    monkeypatch.setattr(check_data.shutil, "which", lambda name: None)
    (check,) = check_data.check_spelling(bundled)
    assert check.passed and check.value == "não medido"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"passagem": "Isto não está lá."}, "a passagem não está no documento"),
        ({"resposta": "quarenta e dois"}, "não está na passagem"),
        ({"documento": "inexistente"}, "'inexistente' não existe"),
        ({"tipo": "difícil"}, "literal, parafrase"),
        ({"resposta": None}, "esperados os textos"),
    ],
)
def test_bad_question_is_found(folder, changes, told):
    edit_first(folder / "valid/perguntas.jsonl", **changes)
    problems = failing(folder, check_data.check_questions)["problemas nas perguntas"]
    assert any(told in detail and "perguntas:1:" in detail for detail in problems.details)


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("emocoes_dev", {"emocao": "felicidade"}),
        ("emocoes_teste", {"texto": None}),
        ("proatividade_dev", {"padrao": "duvida"}),
        ("proatividade_teste", {"dificil": "muito"}),
    ],
)
def test_bad_label_is_found(folder, file, changes):
    edit_first(folder / "eval" / f"{file}.jsonl", **changes)
    assert f"{file}: problemas" in failing(folder, check_data.check_labels)


def test_unbalanced_classes_are_found(folder):
    lines = (folder / "eval/emocoes_dev.jsonl").read_text("utf-8").splitlines()
    kept = [line for line in lines if '"medo"' not in line] + [x for x in lines if '"medo"' in x][
        :3
    ]
    (folder / "eval/emocoes_dev.jsonl").write_text("\n".join(kept) + "\n", "utf-8")
    assert "emocoes_dev: classes" in failing(folder, check_data.check_labels)


def test_sentence_without_what_it_must_keep_is_found(folder):
    edit_first(folder / "eval/aumento.jsonl", preservar={"nomes": ["Zoroastro"]})
    (check,) = failing(folder, check_data.check_augmentation).values()
    assert check.details == ("aumento:1: falta 'Zoroastro'",)


def test_evaluation_conversation_without_criterion_is_found(folder):
    turn = {"usuario": "Oi", "boa": "cumprimenta", "contem": [[]], "nao_contem": []}
    edit_first(folder / "eval/conversas.jsonl", turnos=[turn, turn])
    (check,) = failing(folder, check_data.check_conversations).values()
    assert "grupo vazio" in check.details[0]


def test_line_that_is_not_json_is_told_with_file_and_number(folder):
    append(folder / "eval/aumento.jsonl", "{\n")
    with pytest.raises(ValueError, match=r"aumento.jsonl:\d+: não é JSON"):
        check_data.read_data(folder)


def test_command_prints_a_table_and_fails_when_a_check_fails(folder, capsys, monkeypatch):
    monkeypatch.setattr(check_data, "CHECKS", (check_data.check_augmentation,))
    assert check_data.main(["--data", str(folder)]) == 0
    edit_first(folder / "eval/aumento.jsonl", preservar={"nomes": ["Zoroastro"]})
    assert check_data.main(["--data", str(folder)]) == 1
    assert "FALHA problemas nas frases" in capsys.readouterr().out
    assert check_data.main(["--data", str(folder), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["passed"] is False and len(told["checks"]) == 2
