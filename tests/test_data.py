"""Os dados que vêm junto: o que ``check_data.py`` acusa, e como os documentos se refazem."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
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


data_schema = script("data_schema")  # antes: check_data o importa
check_data, make_documents = script("check_data"), script("make_documents")
GONE = object()  # em vez do valor de um campo: tira o campo


@pytest.fixture(scope="module")
def bundled():
    """Os dados do repositório, lidos uma vez."""
    return check_data.read_data(ROOT / "data")


@pytest.fixture
def folder(tmp_path):
    """Uma cópia dos dados, para estragar."""
    shutil.copytree(ROOT / "data", tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def no_hunspell(monkeypatch):
    """Sem a conferência mais demorada, que nada tem com o caso."""
    monkeypatch.setattr(check_data, "hunspell_has_portuguese", lambda: False)


def failing(folder, function):
    """As conferências de ``function`` que falham, pelo nome."""
    return {c.name: c for c in function(check_data.read_data(folder)) if not c.passed}


def failing_sets(folder):
    """As conferências dos conjuntos rotulados que falham, pelo nome."""
    functions = check_data.CHECKS[check_data.CHECKS.index(check_data.check_questions) :]
    return failing(folder, lambda data: [c for function in functions for c in function(data)])


def append(path, text):
    """Acrescenta ``text`` ao fim de um arquivo."""
    with open(path, "a", encoding="utf-8") as stream:
        stream.write(text)


def set_path(folder, name):
    """O arquivo de um conjunto rotulado."""
    return folder / data_schema.SETS[name][0]


def read_set(folder, name):
    """Os registros de um conjunto rotulado, sem conferir nada."""
    return [json.loads(line) for line in set_path(folder, name).read_text("utf-8").splitlines()]


def write_set(folder, name, records):
    """Grava os registros de um conjunto rotulado."""
    lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    set_path(folder, name).write_text("".join(lines), "utf-8")


def changed(record, **changes):
    """Uma cópia do registro com outros campos; ``GONE`` tira o campo."""
    return {key: value for key, value in (record | changes).items() if value is not GONE}


def edit_first(folder, name, **changes):
    """Muda campos do primeiro registro de um conjunto."""
    first, *others = read_set(folder, name)
    write_set(folder, name, [changed(first, **changes), *others])


def conversation(*replies):
    """Uma conversa em que Luna dá estas respostas."""
    messages = [
        {"role": role, "content": text}
        for reply in replies
        for role, text in (("user", "Oi"), ("assistant", reply))
    ]
    return Document("", f"conversa {id(messages)}", messages=messages)


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


def test_same_sources_give_the_same_bytes_later_and_in_another_process(tmp_path):
    first = make_documents.make_documents(output=tmp_path / "um")
    time.sleep(2.1)  # um zip guarda as horas de dois em dois segundos
    command = [sys.executable, ROOT / "scripts/make_documents.py", "--output", tmp_path / "dois"]
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    subprocess.run(command, check=True, env=os.environ | {"PYTHONHASHSEED": seed})
    assert len(first) == 12
    for path in first:
        assert path.read_bytes() == (tmp_path / "dois" / path.name).read_bytes(), path.name


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
    exact, near, _ = check_data.check_duplicates(data)
    assert exact.passed and not near.passed


def test_text_on_both_sides_of_the_split_is_found(folder):
    conversation = (folder / "train/dialogos_luna.txt").read_text("utf-8").split("---\n")[1]
    append(folder / "valid/dialogos.txt", conversation + "---\n")
    (check,) = failing(folder, check_data.check_split).values()
    assert "dialogos_luna.txt" in check.details[0] and "valid" in check.details[0]


@pytest.mark.parametrize("name", ["perguntas", "perguntas_fora", "aumento", "conversas"])
def test_line_that_is_in_the_training_text_is_found(folder, name):
    said = "qual é o seu nome"  # no treino, com maiúscula e interrogação
    turn = read_set(folder, "conversas")[0]["turnos"][0] | {"usuario": said}
    changes = {
        "perguntas": {"pergunta": said},
        "perguntas_fora": {"pergunta": said},
        "aumento": {"texto": said},
        "conversas": {"turnos": [turn, turn]},
    }
    edit_first(folder, name, **changes[name])
    (check,) = failing(folder, check_data.check_split).values()
    path = data_schema.SETS[name][0]
    assert set(check.details) == {f"{path}:1: a fala está no treino: {said!r}"}


def test_same_long_reply_in_two_conversations_is_found(folder):
    def problems(*documents):
        return check_data.repeated_replies(documents)

    long, short = "Beba água e descanse um pouco.", "Que bom ouvir isso hoje!"
    (told,) = problems(conversation(long), conversation("Oi!"), conversation(long.upper()))
    assert "beba agua e descanse um pouco" in told
    assert problems(conversation(short), conversation(short)) == []
    assert problems(conversation(long, long), conversation("Oi!")) == []
    data = check_data.Data(folder, [conversation(long, "a")], [conversation(long)], [], {})
    *_, check = check_data.check_duplicates(data)
    assert check.name == "respostas longas repetidas" and not check.passed


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


@pytest.mark.parametrize("name", ["mau.html", "mau.htm", "mau.csv", "mau.md"])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("<p>Cafe\u0301</p>\n".encode(), "NFC"),
        ("<p>Café</p>\r\n".encode(), "Windows"),
        ("<p>Café</p>\n".encode("latin-1"), "UTF-8"),
    ],
)
def test_badly_encoded_file_of_any_text_format_is_found(tmp_path, name, content, told):
    (tmp_path / name).write_bytes(content)
    (check,) = check_data.check_format(check_data.Data(tmp_path, [], [], [], {}))
    assert any(told in detail and name in detail for detail in check.details)


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


# ---------------------------------------------------------------------- o esquema

TURN = {"usuario": "Oi", "boa": "cumprimenta", "contem": [["oi", "olá"]], "nao_contem": []}


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("perguntas", {"pergunta": GONE}, "pergunta: não veio; esperado um texto não vazio"),
        ("perguntas", {"pergunta": 3}, "pergunta: veio 3; esperado um texto não vazio"),
        ("perguntas", {"tipo": "vaga"}, "tipo: veio 'vaga'; esperado um de literal, parafrase"),
        ("perguntas", {"nota": "x"}, "registro: campo 'nota' desconhecido; esperado um objeto"),
        ("perguntas_fora", {"pergunta": " "}, "pergunta: veio ' '; esperado um texto não vazio"),
        ("perguntas_fora", {"proxima": 1}, "proxima: veio 1; esperado true ou false"),
        ("perguntas_demo", {"persona": "pirata"}, "persona: veio 'pirata'; esperado um de"),
        ("perguntas_demo", {"esperado": []}, "esperado: veio []; esperado uma lista com 1 ou mais"),
        ("perguntas_demo", {"esperado": ["a", 2]}, "esperado[1]: veio 2; esperado um texto"),
        ("perguntas_demo", {"recusado": "Rio"}, "recusado: veio 'Rio'; esperado uma lista"),
        ("perguntas_demo", {"tema": GONE}, "tema: não veio"),
        ("emocoes_dev", {"emocao": "felicidade"}, "emocao: veio 'felicidade'; esperado um de"),
        ("emocoes_dev", {"emocao": ["medo"]}, "emocao: veio ['medo']; esperado um de alegria"),
        ("emocoes_teste", {"texto": GONE}, "texto: não veio"),
        ("emocoes_teste", {"dificil": "relato"}, "campo 'dificil' desconhecido"),
        ("proatividade_dev", {"padrao": None}, "padrao: veio None; esperado um de indecisao"),
        ("proatividade_teste", {"dificil": "muito"}, "dificil: veio 'muito'; esperado um de"),
        ("aumento", {"texto": GONE}, "texto: não veio"),
        ("aumento", {"preservar": {"verbos": ["ir"]}}, "preservar: campo 'verbos' desconhecido"),
        ("aumento", {"preservar": {"nomes": "Ana"}}, "preservar.nomes: veio 'Ana'; esperado uma"),
        ("conversas", {"turnos": None}, "turnos: veio None; esperado uma lista com 2 ou mais"),
        ("conversas", {"turnos": [TURN]}, "turnos: veio [{"),
        ("conversas", {"turnos": [TURN, "Oi"]}, "turnos[1]: veio 'Oi'; esperado um objeto com"),
        ("conversas", {"turnos": [TURN | {"usuario": ""}, TURN]}, "turnos[0].usuario: veio ''"),
        ("conversas", {"turnos": [TURN, TURN | {"contem": "abc"}]}, "turnos[1].contem: veio 'abc'"),
        ("conversas", {"turnos": [TURN, TURN | {"contem": []}]}, "turnos[1].contem: veio []"),
        ("conversas", {"turnos": [TURN, TURN | {"contem": [[]]}]}, "turnos[1].contem[0]: veio []"),
        ("conversas", {"turnos": [TURN, TURN | {"nao_contem": 7}]}, "turnos[1].nao_contem: veio 7"),
    ],
)
def test_record_outside_the_schema_is_told_with_field_value_and_expected(name, changes, told):
    record = read_set(ROOT / "data", name)[0]
    fields = data_schema.SETS[name][1]
    assert list(fields.problems(record)) == []
    (problem,) = fields.problems(changed(record, **changes))
    assert told in problem


def test_conversation_of_two_good_turns_fits_the_schema():
    record = {"id": "x", "tema": "x", "persona": "casual", "turnos": [TURN, TURN]}
    assert list(data_schema.SETS["conversas"][1].problems(record)) == []


@pytest.mark.usefixtures("no_hunspell")
def test_rejected_records_are_told_by_file_and_line_and_reach_no_other_check(folder, capsys):
    expected = set()
    for name, (path, fields) in data_schema.SETS.items():
        records = read_set(folder, name)
        nulls = {key: None for key in fields.required}
        lists = {key: [["x"]] for key in fields.required}
        bad = [3, None, "texto", [], {}, nulls, lists, {"texto": 3, "turnos": ["Oi", 7]}]
        write_set(folder, name, [*bad, *records])
        expected |= {f"{path}:{number}" for number in range(1, len(bad) + 1)}
    assert check_data.main(["--data", str(folder), "--json"]) == 1
    checks = json.loads(capsys.readouterr().out)["checks"]
    (failed,) = [check for check in checks if not check["passed"]]
    assert failed["name"] == "registros fora do esquema"
    assert {":".join(detail.split(":")[:2]) for detail in failed["details"]} == expected


def test_records_after_a_rejected_one_keep_their_line_numbers(folder):
    first, second, *others = read_set(folder, "perguntas")
    write_set(folder, "perguntas", [3, first, changed(second, documento="nenhum"), *others])
    problems = failing(folder, check_data.check_questions)["problemas nas perguntas"]
    assert problems.details == ("valid/perguntas.jsonl:3: o documento 'nenhum' não existe",)


def test_line_separator_inside_a_text_does_not_cut_the_record(folder):
    edit_first(folder, "perguntas_fora", pergunta="Um\u2028dois?")
    data = check_data.read_data(folder)
    assert data.sets["perguntas_fora"][0]["pergunta"] == "Um\u2028dois?" and not data.rejected


# ---------------------------------------------------------------------- os rótulos


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"passagem": "Isto não está lá: dois anos."}, "a passagem não está no documento"),
        ({"resposta": "quarenta e dois"}, "a resposta 'quarenta e dois' não está na passagem"),
        ({"resposta": "dois an"}, "a resposta 'dois an' não está na passagem"),
        ({"documento": "inexistente"}, "o documento 'inexistente' não existe"),
    ],
)
def test_bad_question_is_found(folder, changes, told):
    edit_first(folder, "perguntas", **changes)
    problems = failing(folder, check_data.check_questions)["problemas nas perguntas"]
    assert problems.details == (f"valid/perguntas.jsonl:1: {told}",)


@pytest.mark.parametrize(
    ("source", "target", "key", "name"),
    [
        ("perguntas", "perguntas", "pergunta", "perguntas repetidas"),
        ("perguntas_fora", "perguntas_fora", "pergunta", "perguntas repetidas"),
        ("perguntas", "perguntas_fora", "pergunta", "perguntas repetidas"),
        ("perguntas_demo", "perguntas_demo", "pergunta", "perguntas da demonstração repetidas"),
        ("emocoes_dev", "emocoes_dev", "texto", "emocoes_dev: problemas"),
        ("aumento", "aumento", "texto", "problemas nas frases para aumento"),
        ("conversas", "conversas", "id", "conversas de avaliação: ids repetidos"),
    ],
)
def test_repeated_record_is_found_whatever_its_case_and_marks(folder, source, target, key, name):
    again = read_set(folder, source)[1][key].upper() + " ..."
    records = read_set(folder, target)
    write_set(folder, target, [*records, changed(records[-1], **{key: again})])
    where = f"{data_schema.SETS[target][0]}:{len(records) + 1}"
    first = f"{data_schema.SETS[source][0]}:2"
    told = failing_sets(folder)[name].details
    assert any(detail.startswith(f"{where}: repete {first}:") for detail in told)


def test_questions_that_differ_only_in_a_number_are_not_repeated():
    records = [data_schema.Entry({"p": f"Quanto é {n} + 1?"}, str(n)) for n in (2, 3)]
    assert check_data.repeated(records, "p") == []


def test_hard_message_that_is_not_neutral_is_found(folder):
    edit_first(folder, "proatividade_dev", padrao="ajuda", dificil="relato")
    told = failing(folder, check_data.check_labels)["proatividade_dev: problemas"].details
    assert told == ("eval/proatividade_dev.jsonl:1: dificil='relato' só vale em 'neutro'",)


def test_absent_label_counts_zero_in_the_balance():
    whole = check_data.balance("x", {"a": 10, "b": 7}, ("a", "b"))
    absent = check_data.balance("x", {"a": 10, "b": 10}, ("a", "b", "c"))
    assert whole.passed and whole.value == "a 10, b 7"
    assert not absent.passed and absent.value == "a 10, b 10, c 0" and absent.details == ("c: 0",)
    assert not check_data.balance("x", {}, ("a", "b")).passed


@pytest.mark.parametrize(
    ("name", "key", "value", "check"),
    [
        ("emocoes_dev", "emocao", "medo", "emocoes_dev: classes"),
        ("proatividade_teste", "padrao", "ajuda", "proatividade_teste: classes"),
        ("conversas", "persona", "formal", "conversas de avaliação: personas"),
        ("perguntas", "documento", "biblioteca-flor-do-campo", "perguntas por documento"),
    ],
)
def test_class_without_any_record_is_found(folder, name, key, value, check):
    write_set(folder, name, [r for r in read_set(folder, name) if r[key] != value])
    assert failing_sets(folder)[check].details == (f"{value}: 0",)


def test_persona_without_any_reply_is_found(bundled):
    kept = [document for document in bundled.train if document.persona != "formal"]
    data = check_data.Data(bundled.folder, kept, [], [], {})
    failed = {check.name: check for check in check_data.check_personas(data) if not check.passed}
    assert failed["respostas por persona"].details == ("formal: 0",)
    assert "marcas da persona formal" in failed


def test_class_with_few_records_is_found(folder):
    records = read_set(folder, "emocoes_dev")
    afraid = [record for record in records if record["emocao"] == "medo"]
    others = [record for record in records if record["emocao"] != "medo"]
    write_set(folder, "emocoes_dev", others + afraid[:3])
    told = failing(folder, check_data.check_labels)["emocoes_dev: classes"].details
    assert told == ("medo: 3",)


@pytest.mark.parametrize("kind", data_schema.HARD_KINDS)
def test_too_few_hard_messages_of_a_kind_are_found(folder, kind):
    hard = [r for r in read_set(folder, "proatividade_teste") if r.get("dificil") == kind]
    others = [r for r in read_set(folder, "proatividade_teste") if r.get("dificil") != kind]
    write_set(folder, "proatividade_teste", others + hard[:8])
    assert "proatividade_teste: difíceis" not in failing(folder, check_data.check_labels)
    write_set(folder, "proatividade_teste", others + hard[:7])
    check = failing(folder, check_data.check_labels)["proatividade_teste: difíceis"]
    assert f"{kind} 7" in check.value


def test_off_topic_questions_need_both_near_and_far_ones(folder):
    records = read_set(folder, "perguntas_fora")
    write_set(folder, "perguntas_fora", [changed(record, proxima=False) for record in records])
    check = failing(folder, check_data.check_questions)["perguntas fora, de assunto vizinho"]
    assert check.value == "não 80, sim 0"


def test_questions_all_literal_are_found(folder):
    records = read_set(folder, "perguntas")
    write_set(folder, "perguntas", [changed(record, tipo="literal") for record in records])
    assert "perguntas em paráfrase" in failing(folder, check_data.check_questions)


def test_demo_with_a_question_missing_is_found(folder):
    write_set(folder, "perguntas_demo", read_set(folder, "perguntas_demo")[:39])
    (check,) = failing(folder, check_data.check_demo).values()
    assert (check.value, check.limit) == ("39", ">= 40")


@pytest.mark.parametrize("kind", data_schema.KEPT_KINDS)
def test_too_few_sentences_with_something_to_keep_are_found(folder, kind):
    records = read_set(folder, "aumento")
    having = [record for record in records if kind in record["preservar"]]
    for record in having[80:]:
        del record["preservar"][kind]
    write_set(folder, "aumento", records)
    assert failing(folder, check_data.check_augmentation) == {}
    del having[0]["preservar"][kind]
    write_set(folder, "aumento", records)
    (check,) = failing(folder, check_data.check_augmentation).values()
    assert check.name == "frases com algo a preservar" and f"{kind} 79" in check.value


@pytest.mark.parametrize(
    ("term", "text", "found"),
    [
        ("3", "Comprei 123 pães.", False),
        ("3", "Comprei 3 pães.", True),
        ("3", "São 3, ou 4.", True),
        ("600", "São 1.600 reais.", False),
        ("600", "Mede 600,5 metros.", False),
        ("Ana", "A Anabela chegou.", False),
        ("Ana", "A Ana-Maria chegou.", True),
        ("Nunca", "nunca mais", False),
        ("14h30", "Passou para as 14h30.", True),
        ("R$ 2,50", "Custa R$ 2,50!", True),
    ],
)
def test_what_must_be_kept_is_found_only_as_whole_words(term, text, found):
    assert check_data.stands_alone(term, text) is found


def test_sentence_without_what_it_must_keep_is_found(folder):
    edit_first(folder, "aumento", texto="A Anabela tem 123.", preservar={"numeros": ["3"]})
    (check,) = failing(folder, check_data.check_augmentation).values()
    assert check.details == ("eval/aumento.jsonl:1: falta '3'",)


# ---------------------------------------------------------------------- o comando


@pytest.mark.usefixtures("no_hunspell")
def test_command_with_every_set_empty_fails_without_a_traceback(folder, capsys):
    for name in data_schema.SETS:
        write_set(folder, name, [])
    assert check_data.main(["--data", str(folder)]) == 1
    told = capsys.readouterr().out
    assert "FALHA conversas de avaliação: 0" in told and "FALHA perguntas da demonstração" in told


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{\n", "aumento.jsonl:1: não é JSON"),
        (b'{"texto": "a"}\n\n', "aumento.jsonl:2: não é JSON"),
        (b"[" * 200_000, "aumento.jsonl:1: não é JSON"),
        (b'{"texto": "caf\xe9"}\n', "aumento.jsonl': não é UTF-8"),
        (None, "aumento.jsonl': o arquivo não existe"),
    ],
)
def test_unreadable_set_is_told_in_one_line(folder, capsys, content, told):
    path = set_path(folder, "aumento")
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert check_data.main(["--data", str(folder)]) == 1
    out, error = capsys.readouterr()
    assert out == "" and error.startswith("Erro: ") and error.count("\n") == 1
    assert told in error


def test_folder_that_does_not_exist_or_is_no_data_folder_is_told(folder, capsys):
    assert check_data.main(["--data", str(folder / "nenhuma")]) == 1
    assert "nenhuma" in capsys.readouterr().err
    set_path(folder, "aumento").unlink()
    set_path(folder, "aumento").mkdir()
    assert check_data.main(["--data", str(folder)]) == 1
    assert "O sistema recusou a leitura" in capsys.readouterr().err


def test_value_error_of_a_reader_is_told(capsys, monkeypatch):
    def refuse(folder):
        raise ValueError("caminho com byte nulo")

    monkeypatch.setattr(check_data, "read_data", refuse)
    assert check_data.main([]) == 1
    assert capsys.readouterr().err == "Erro: Valor recusado: caminho com byte nulo.\n"


def test_wrong_usage_exits_with_2_in_portuguese(capsys):
    with pytest.raises(SystemExit) as stop:
        check_data.main(["--pasta"])
    assert stop.value.code == 2
    assert "não reconhecido(s): --pasta" in capsys.readouterr().err


def test_command_prints_a_table_and_fails_when_a_check_fails(folder, capsys, monkeypatch):
    monkeypatch.setattr(check_data, "CHECKS", (check_data.check_augmentation,))
    assert check_data.main(["--data", str(folder)]) == 0
    edit_first(folder, "aumento", preservar={"nomes": ["Zoroastro"]})
    assert check_data.main(["--data", str(folder)]) == 1
    assert "FALHA problemas nas frases" in capsys.readouterr().out
    assert check_data.main(["--data", str(folder), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["passed"] is False and len(told["checks"]) == 3
