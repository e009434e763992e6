"""Conjuntos de perguntas: o que se lê, como se compara e o que se recusa."""

import json

import pytest

from src.evaluation.questions import (
    Question,
    answer_all,
    contains_answer,
    exact_match,
    f1_score,
    grade,
    grades,
    is_question_file,
    normalize_answer,
    question_from_record,
    questions_of,
    read_questions,
)
from src.utils.documents import Document, LoadReport
from src.utils.errors import DataError, UsageError


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


# ---------------------------------------------------------------------- normalização e medidas


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("O gato, a casa!", "gato casa"),
        ("São Paulo", "sao paulo"),
        ("À noite", "noite"),
        ("uma xícara  de   chá", "xicara de cha"),
        ("1.600 reais", "1600 reais"),
        ("1,5 km", "1,5 km"),
        ("em 1822, no Brasil", "em 1822 no brasil"),
        ("12.345.678", "12345678"),
        ("segunda-feira", "segunda feira"),
        ("3.14", "3 14"),
        ("ônibus", "onibus"),
        ("«Dom Casmurro»", "dom casmurro"),
        ("", ""),
    ],
)
def test_answers_are_normalised_as_portuguese(text, expected):
    assert normalize_answer(text) == expected


def test_words_that_only_look_like_articles_inside_others_stay():
    assert normalize_answer("ovo, asa, umbigo") == "ovo asa umbigo"


@pytest.mark.parametrize(
    ("answer", "references", "exact", "f1"),
    [
        ("dois anos", ["dois anos"], 1, 1.0),
        ("Dois anos.", ["os dois anos"], 1, 1.0),
        ("vale dois anos", ["dois anos"], 0, 2 * 2 / (3 + 2)),  # precisão 2/3, cobertura 1
        ("dois dias", ["dois anos"], 0, 0.5),
        ("três meses", ["dois anos"], 0, 0.0),
        ("anos anos", ["dois anos"], 0, 0.5),  # uma repetida não conta duas vezes
        ("dois dias", ["dois anos", "dois dias", "nunca"], 1, 1.0),
        ("", ["dois anos"], 0, 0.0),
        ("", ["Um"], 0, 0.0),  # quem não diz nada nunca acerta
        ("a", ["o"], 0, 0.0),
        ("um", ["Um"], 1, 1.0),
        ("Só um.", ["um"], 0, 2 * 1 / 3),  # a esperada é só artigo: os artigos ficam
        ("15", ["1,5"], 0, 0.0),
    ],
)
def test_exact_and_f1_equal_the_hand_computation(answer, references, exact, f1):
    assert exact_match(answer, references) == exact
    assert f1_score(answer, references) == pytest.approx(f1)


def test_contains_accepts_a_sentence_around_and_not_a_piece_of_a_word():
    assert contains_answer("A carteirinha vale dois anos, viu?", ["dois anos"]) == 1
    assert contains_answer("vinte e dois anoses", ["dois anos"]) == 0
    assert contains_answer("custa 1600 reais", ["160"]) == 0


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("São 1.600 pessoas.", "1600"),
        ("Vale por dois anos, e só.", "dois anos."),
        ("Foi Machado de Assis.", "O Machado de Assis"),
        ("segunda feira de manhã", "Segunda-feira"),
        ("Há só um.", "Um"),
    ],
)
def test_contains_compares_normalised_texts(answer, reference):
    assert contains_answer(answer, [reference]) == 1


@pytest.mark.parametrize("text", ["dois anos", "O Machado de Assis.", "1.600", "a"])
def test_an_exact_answer_also_contains_the_reference(text):
    assert exact_match(text, [text]) == contains_answer(text, [text]) == f1_score(text, [text]) == 1


def test_a_plain_text_is_not_a_question():
    with pytest.raises(UsageError, match="Question"):
        answer_all(["Quanto vale?"], lambda question: "dois")


def test_any_callable_answers(tmp_path):
    questions = [
        Question("Quanto vale?", ["dois anos"]),
        Question("Qual é o seu nome?", expected=["Luna"], refused=["Maria"]),
    ]
    seen = []

    def answer(question):
        seen.append(question)
        return "Vale dois anos." if question.startswith("Quanto") else "Eu me chamo Luna."

    graded = answer_all(questions, answer)
    assert seen == ["Quanto vale?", "Qual é o seu nome?"]
    assert (graded[0].exact, graded[0].contains, graded[0].acceptable) == (0, 1, None)
    assert (graded[1].exact, graded[1].f1, graded[1].acceptable) == (None, None, 1)
    assert grades(graded, "contains") == [1] and grades(graded, "acceptable") == [1]
    assert grade(questions[1], "Sou a Luna, a Maria").acceptable == 0


# ---------------------------------------------------------------------- leitura


FORMS = [
    ({"pergunta": "P?", "resposta": "R"}, ("R",)),
    ({"question": "P?", "answer": "R"}, ("R",)),
    ({"question": "P?", "answers": ["R", "S", "R"]}, ("R", "S")),
    ({"question": "P?", "answers": {"text": ["R", "S"], "answer_start": [0, 1]}}, ("R", "S")),
    ({"question": "P?", "answers": [{"text": "R"}, {"text": "S"}]}, ("R", "S")),
    ({"text": "P?", "relevant": ["d1"], "answer": "R"}, ("R",)),
]


@pytest.mark.parametrize(("record", "references"), FORMS)
def test_every_known_form_is_read(record, references, tmp_path):
    path = write(tmp_path, "p.jsonl", json.dumps(record) + "\n")
    assert is_question_file(path)
    (question,) = read_questions(path, LoadReport())
    assert question == "P?" and question.references == references
    assert question.source == f"{path}:1"


def test_expected_terms_and_persona_are_read(tmp_path):
    record = {"pergunta": "P?", "persona": "formal", "esperado": ["x"], "recusado": ["y"]}
    (question,) = read_questions(write(tmp_path, "p.jsonl", record), LoadReport())
    assert (question.expected, question.refused, question.persona) == (("x",), ("y",), "formal")
    assert question.references == ()


def test_capital_letters_in_the_keys_do_not_matter(tmp_path):
    path = write(tmp_path, "p.csv", "Pergunta,Resposta,Persona\nQuanto?,Dois,\n")
    assert is_question_file(path)
    (question,) = read_questions(path, LoadReport())
    assert question.references == ("Dois",) and question.persona is None


def test_terms_of_a_cell_are_separated_by_bars_and_an_empty_cell_has_none(tmp_path):
    path = write(tmp_path, "p.csv", "pergunta,esperado,recusado\nQuem?,Luna | a Luna,\n")
    (question,) = read_questions(path, LoadReport())
    assert question.expected == ("Luna", "a Luna") and question.refused == ()


def test_a_file_half_of_questions_is_one_of_questions_and_tells_the_rest(tmp_path):
    path, report = write(tmp_path, "p.jsonl", '{"pergunta": "P?", "respota": "R"}'), LoadReport()
    assert is_question_file(path) and read_questions(path, report) == []
    assert "sem resposta" in report.bad_records[0][1]


def test_squad_files_are_read_and_unanswerable_questions_are_told(tmp_path):
    qas = [
        {"question": "P?", "answers": [{"text": "R"}], "is_impossible": False},
        {"question": "Q?", "answers": [], "is_impossible": True},
    ]
    path = write(tmp_path, "s.json", {"data": [{"paragraphs": [{"qas": qas, "context": "c"}]}]})
    assert is_question_file(path)
    report = LoadReport()
    assert read_questions(path, report) == ["P?"]
    assert report.bad_records[0][0] == f"{path}#2" and "sem resposta" in report.bad_records[0][1]


def test_csv_of_questions_is_read(tmp_path):
    path = write(tmp_path, "p.csv", "pergunta;resposta\nQuanto?;Dois\nOnde?;Aqui\n")
    assert is_question_file(path)
    assert [q.references for q in read_questions(path, LoadReport())] == [("Dois",), ("Aqui",)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "Usuário: Oi\nLuna: Olá"),
        ("a.jsonl", '{"messages": [{"role": "user", "content": "a"}]}'),
        ("a.jsonl", '{"text": "um texto qualquer"}'),
        ("a.jsonl", '{"pergunta": "P?"}\n{"a": 1}\n{"a": 2}'),
        ("a.json", [{"instruction": "faça", "output": "feito"}]),
        ("a.csv", "nome,idade\nAna,3\n"),
        ("a.jsonl", "isto não é json"),
        ("a.json", "{"),
        ("a.jsonl", ""),
        ("a.json", 3),
    ],
)
def test_other_files_are_not_taken_for_questions(tmp_path, name, content):
    assert not is_question_file(write(tmp_path, name, content))


def test_bad_records_are_reported_and_the_rest_is_used(tmp_path):
    lines = [
        {"pergunta": "P?", "resposta": "R"},
        {"pergunta": "", "resposta": "R"},
        {"pergunta": "P?"},
        {"pergunta": 3, "resposta": "R"},
        {"pergunta": "P?", "resposta": {"text": [[]]}},
        {"pergunta": "P?", "esperado": [" "]},
        ["P?", "R"],
        5,
        "texto solto",
        {"pergunta": "Q?", "resposta": None, "esperado": ["S"]},
        {"pergunta": "R?", "resposta": 2.5},
    ]
    path, report = tmp_path / "p.jsonl", LoadReport()
    path.write_text("\n".join(map(json.dumps, lines)), "utf-8")
    found = read_questions(path, report)
    assert found == ["P?", "Q?", "R?"] and found[2].references == ("2,5",)
    assert [where for where, _ in report.bad_records] == [f"{path}:{n}" for n in range(2, 10)]
    assert all(what for _, what in report.bad_records)


def test_a_damaged_squad_file_is_told(tmp_path):
    path = write(tmp_path, "s.json", {"data": [{"texto": "x"}]})
    with pytest.raises(DataError, match="SQuAD"):
        read_questions(path, LoadReport())


def test_the_error_names_what_came_and_what_was_expected():
    with pytest.raises(DataError, match='tem "titulo"; esperada uma pergunta'):
        question_from_record({"titulo": "x"})


def test_bundled_question_sets_are_all_read():
    from pathlib import Path

    folder, report = Path(__file__).parents[1] / "data" / "valid", LoadReport()
    counts = {}
    for name in ("perguntas.jsonl", "perguntas_demo.jsonl"):
        assert is_question_file(folder / name)
        counts[name] = len(read_questions(folder / name, report))
    assert counts == {"perguntas.jsonl": 230, "perguntas_demo.jsonl": 40}
    assert report.bad_records == []


# ---------------------------------------------------------------------- conversas


def test_each_answer_of_a_conversation_is_asked_for_with_what_came_before():
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": "d"},
    ]
    document = Document("x", "f.txt:1", messages=messages, persona="casual")
    first, second = questions_of(document)
    assert (first, first.history, first.references) == ("a", messages[:1], ("b",))
    assert (second, second.history, second.references) == ("c", messages[:3], ("d",))
    assert second.messages == messages[:4] and second.persona == "casual"


def test_answers_without_a_question_are_not_asked_for():
    messages = [
        {"role": "assistant", "content": "Oi! Sou a Luna."},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "assistant", "content": "c"},
    ]
    assert questions_of(Document("x", messages=messages)) == ["a"]
    assert questions_of(Document("texto corrido")) == []
