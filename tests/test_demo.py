"""A demonstração: as duas etapas, o que ela pergunta e o que a última tela diz."""

import argparse
import json

import pytest

from src.cli import create, demo
from src.config.personas import PERSONAS
from src.evaluation.answers import CRITERION
from src.utils.documents import Document
from src.utils.file_utils import load_documents
from tests.conftest import DIALOGUES, SENTENCES

LONG = "Usuário: Conte uma história.\nLuna: " + "Era uma vez um rio que queria ser mar. " * 12


@pytest.fixture
def bundled(tmp_path, monkeypatch):
    """Dados de exemplo minúsculos no lugar dos que vêm junto, e uma passada por etapa."""
    folder = tmp_path / "bundled"
    (folder / "train").mkdir(parents=True)
    (folder / "valid").mkdir()
    (folder / "train" / "falas.txt").write_text("\n---\n".join([*DIALOGUES, LONG]), "utf-8")
    (folder / "train" / "prosa.txt").write_text("\n".join(SENTENCES), "utf-8")
    (folder / "valid" / "texto.txt").write_text("O rio corre até o mar da cidade.", "utf-8")
    questions = [
        {"pergunta": "O que é água?", "esperado": ["líquido"], "tema": "x"},
        {"pergunta": "Qual é o seu nome?", "persona": "formal", "esperado": ["Luna"], "tema": "x"},
    ]
    lines = [json.dumps(question, ensure_ascii=False) for question in questions]
    (folder / "valid" / "perguntas_demo.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "train" / "documentos").mkdir()
    (folder / "train" / "documentos" / "clube.txt").write_text(
        "O clube abre às sete da manhã. A carteirinha custa doze reais.", "utf-8"
    )
    inside = {"pergunta": "Quanto custa a carteirinha do clube?", "resposta": "doze reais"}
    inside |= {"tipo": "literal"}
    outside = {"pergunta": "Qual é a capital da Mongólia?", "proxima": False}
    for name, record in (("perguntas", inside), ("perguntas_fora", outside)):
        line = json.dumps(record, ensure_ascii=False)
        (folder / "valid" / f"{name}.jsonl").write_text(line + "\n", "utf-8")
    monkeypatch.setattr(demo, "DOCUMENT_QUESTIONS", (0,))
    monkeypatch.setattr(demo, "OUTSIDE_QUESTIONS", (0,))
    for module in (demo, create):
        monkeypatch.setattr(module, "bundled_data", lambda: folder)
    monkeypatch.setattr(demo, "TEXT_EPOCHS", 1.0)
    monkeypatch.setattr(demo, "DIALOGUE_EPOCHS", 1.0)
    return folder


def test_demo_creates_trains_measures_and_asks(bundled, config, capsys):
    args = argparse.Namespace(json=False, quiet=True, max_file_mb=None)
    result = demo.run(args, config)
    assert (config.paths.model_dir(demo.DEMO_NAME) / "config.json").is_file()
    assert list(result["bits_per_byte"]) == ["untrained", "five_gram", "after_texts", "trained"]
    assert result["bits_per_byte"]["after_texts"] < result["bits_per_byte"]["untrained"]
    assert [answer["persona"] for answer in result["answers"]] == ["casual", "formal"]
    assert result["acceptable"] == sum(answer["acceptable"] for answer in result["answers"])
    documents = result["documents"]
    assert documents["documents"] == 1 and documents["measured"]["asked"] == {"literal": 1}
    assert "doze reais" in documents["answers"][0]["answer"] and documents["answers"][0]["right"]
    assert documents["answers"][0]["sources"] == ["clube.txt"]
    assert documents["measured"]["declined"] == documents["measured"]["outside"] == 1
    shown = capsys.readouterr().out
    assert "Respostas aceitáveis (+): " in shown
    assert "com as palavras do texto: 1 de 1" in shown and "Fontes: clube.txt" in shown


def test_second_stage_is_the_short_conversations_and_a_part_of_the_rest():
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    short = [Document("curta", messages=turns) for _ in range(3)]
    long = [Document("x" * (demo.SHORT_CHARACTERS + 1), messages=turns) for _ in range(3)]
    prose = [Document(f"texto {number}") for number in range(5)]
    chosen = demo.second_stage([*prose, *long, *short])
    assert chosen[:3] == short
    assert chosen[3:] == [*prose, *long][:: demo.REPLAY_EVERY] and len(chosen) == 5


def test_screen_shows_every_answer_its_mark_the_count_and_the_criterion():
    answers = [
        {"question": "P1?", "persona": "casual", "answer": "R1.", "acceptable": True},
        {"question": "P2?", "persona": "formal", "answer": "R2", "acceptable": False},
    ]
    bpb = {"untrained": 3.5, "five_gram": 2.25, "after_texts": 2.0, "trained": 2.5}
    result = {"answers": answers, "bits_per_byte": bpb, "questions": 2, "acceptable": 1}
    result |= {"criterion": CRITERION, "tokens": 10, "seconds": 61.2, "trust": "pouco"}
    measured = {"right": {"literal": 3}, "asked": {"literal": 4}, "declined": 1, "outside": 2}
    found = {"question": "P3?", "answer": "R3.", "sources": ["a.pdf, p. 2"], "right": True}
    result["documents"] = {"documents": 5, "chunks": 9, "answers": [found], "measured": measured}
    text = demo.screen(result)
    assert "+ Você: P3?\n  Luna: R3.\n  Fontes: a.pdf, p. 2" in text
    assert (
        "com as palavras do texto: 3 de 4" in text and "nenhum documento responde: 1 de 2" in text
    )
    assert "+ Você: P1?\n  Luna (casual): R1.\n- Você: P2?\n  Luna (formal): R2" in text
    assert f"Respostas aceitáveis (+): 1 de 2.\n{CRITERION}" in text
    for number in ("3,500", "2,250", "2,000", "2,500", "61 s"):
        assert number in text


def test_bundled_questions_are_forty_and_name_personas_that_exist():
    questions = demo.read_questions(demo.bundled_data() / "valid" / "perguntas_demo.jsonl")
    assert len(questions) == 40 and len({q["pergunta"] for q in questions}) == 40
    for question in questions:
        assert set(question) - {"recusado"} == {"pergunta", "persona", "esperado", "tema"}
        assert question["persona"] in PERSONAS and question["esperado"]


def test_bundled_data_has_enough_for_both_stages():
    texts, _ = load_documents(demo.bundled_data() / "train")
    chosen = demo.second_stage(texts)
    assert 500 < len(chosen) < len(texts)
