"""Os formatos de texto, a limpeza e a segmentação."""

import json
import re
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.utils.documents import Document, LoadReport
from src.utils.text_cleaning import SEGMENT_CHARS, clean_text, iter_segments, segment_text
from src.utils.text_formats import (
    MAX_LINKED_EXCHANGES,
    RecordError,
    detect_format,
    document_from_record,
    independent_exchanges,
    parse_dialogue,
    parse_instructions,
    parse_knowledge,
    persona_name,
)


def dialogue(text, **options):
    report = LoadReport()
    lines = text.splitlines(keepends=True)
    return list(parse_dialogue(lines, "d.txt", report, **options)), report


def parsed(parse, text):
    report = LoadReport()
    return list(parse(text.splitlines(keepends=True), "a.txt", report)), report


def record(value):
    return document_from_record(value, "r.jsonl:1", "r.jsonl", LoadReport())


def roles(document):
    return [message["role"] for message in document.messages]


def contents(document):
    return [message["content"] for message in document.messages]


PAIRS = "\n\n".join(f"Usuário: pergunta {i}\nLuna: resposta {i}" for i in range(9))


# --- Diálogo -----------------------------------------------------------------------------------


def test_the_example_of_the_reference_is_one_conversation():
    documents, report = dialogue("Usuário: a\nLuna: b\n\nUsuário: c\nLuna: d\n")
    assert [contents(d) for d in documents] == [["a", "b", "c", "d"]]
    assert documents[0] == "Usuário: a\nLuna: b\nUsuário: c\nLuna: d"
    assert not report.bad_records


@pytest.mark.parametrize(
    "line, role",
    [
        ("Usuario: x", "user"),
        ("USUÁRIO : x", "user"),
        ("user:x", "user"),
        ("  Usua\u0301rio: x", "user"),
        ("luna: x", "assistant"),
        ("Assistente: x", "assistant"),
        ("Assistant: x", "assistant"),
        ("Sistema: x", "system"),
        ("System: x", "system"),
    ],
)
def test_every_spelling_of_a_role_is_understood(line, role):
    documents, _ = dialogue(f"{line}\nLuna: fim\n")
    assert documents[0].messages[0] == {"role": role, "content": "x"}


def test_system_turn_is_rendered_as_sistema():
    documents, _ = dialogue("Sistema: seja breve\nUsuário: oi\nLuna: olá\n")
    assert documents[0].startswith("Sistema: seja breve\nUsuário: oi")


def test_lines_without_a_role_continue_the_turn_and_one_blank_line_is_kept():
    documents, _ = dialogue("Usuário: oi\nLuna: um\ndois\n\ntrês\n\nUsuário: e?\nLuna: fim\n")
    assert contents(documents[0]) == ["oi", "um\ndois\n\ntrês", "e?", "fim"]


@pytest.mark.parametrize("separator", ["---\n", "\n-----\n\n", "\n\n", "\n\n\n\n", "[PERSONA] x\n"])
def test_separators_start_another_conversation(separator):
    documents, _ = dialogue(f"Usuário: a\nLuna: b\n{separator}Usuário: c\nLuna: d\n")
    assert [contents(d) for d in documents] == [["a", "b"], ["c", "d"]]


def test_source_has_the_line_where_the_conversation_begins():
    documents, _ = dialogue("Usuário: a\nLuna: b\n---\nUsuário: c\nLuna: d\n")
    assert [d.source for d in documents] == ["d.txt:1", "d.txt:4"]
    assert {d.file for d in documents} == {"d.txt"}


def test_persona_lasts_until_the_next_separator():
    text = "[PERSONA] Técnico\n\n\nUsuário: a\nLuna: b\n\nUsuário: c\nLuna: d\n---\n"
    text += "Usuário: e\nLuna: f"
    documents, _ = dialogue(text)
    assert [d.persona for d in documents] == ["tecnico", None]
    assert len(documents[0].messages) == 4


def test_persona_without_a_name_is_reported_and_the_conversation_is_kept():
    documents, report = dialogue("[PERSONA]\nUsuário: a\nLuna: b\n")
    assert documents[0].persona is None
    assert report.bad_records == [("d.txt:1", "[PERSONA] sem nome; esperado um nome")]


def test_conversation_without_a_luna_turn_is_a_bad_record():
    documents, report = dialogue("Usuário: a\n---\nUsuário: c\nLuna: d\n")
    assert [contents(d) for d in documents] == [["c", "d"]]
    assert report.bad_records[0][0] == "d.txt:1"
    assert "sem nenhuma fala da Luna" in report.bad_records[0][1]


def test_trailing_user_turn_is_dropped_and_reported():
    documents, report = dialogue("Usuário: a\nLuna: b\nUsuário: c\n")
    assert contents(documents[0]) == ["a", "b"]
    assert "ficou sem resposta" in report.bad_records[0][1]


def test_empty_turn_is_dropped_and_reported_with_its_line():
    documents, report = dialogue("Usuário: a\nLuna:\nUsuário: c\nLuna: d\n")
    assert contents(documents[0]) == ["a", "c", "d"]
    assert report.bad_records == [("d.txt:2", "fala vazia, descartada")]


def test_text_outside_a_turn_is_reported():
    _, report = dialogue("Usuário: a\nLuna: b\n---\nsolto\nUsuário: c\nLuna: d\n")
    assert report.bad_records[0][0] == "d.txt:4" and '"solto"' in report.bad_records[0][1]


def test_more_than_eight_pairs_without_separation_are_independent():
    lines = PAIRS.splitlines()
    assert independent_exchanges(lines) == MAX_LINKED_EXCHANGES + 1
    documents, _ = dialogue("[PERSONA] formal\n" + PAIRS, independent=True)
    assert len(documents) == 9 and {len(d.messages) for d in documents} == {2}
    assert {d.persona for d in documents} == {"formal"}


def test_complete_blocks_of_several_pairs_are_independent_too():
    text = PAIRS + "\n\nUsuário: a\nLuna: b\nUsuário: c\nLuna: d"
    assert independent_exchanges(text.splitlines()) == 10
    documents, _ = dialogue(text, independent=True)
    assert contents(documents[-1]) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    "text",
    [
        "\n\n".join(PAIRS.split("\n\n")[:8]),  # oito ainda são uma conversa
        PAIRS + "\n---\nUsuário: a\nLuna: b",
        "---\n" + PAIRS,
        PAIRS + "\n\n\nUsuário: a\nLuna: b",
        PAIRS + "\n\n[PERSONA] casual\nUsuário: a\nLuna: b",
        PAIRS + "\n\nUsuário: sem resposta",
        "Usuário: a\n\nLuna: b\n\n" + PAIRS,
        "Sistema: s\n" + PAIRS,
    ],
)
def test_any_separation_or_incomplete_block_keeps_the_common_reading(text):
    assert independent_exchanges(text.splitlines()) == 0


def test_blank_line_before_continued_text_does_not_split_independent_blocks():
    documents, _ = dialogue(PAIRS + "\n\nsegundo parágrafo", independent=True)
    assert contents(documents[-1])[1] == "resposta 8\n\nsegundo parágrafo"


@pytest.mark.parametrize(
    "line, kind",
    [
        ("Usuário: oi", "dialogue"),
        ("\ufeffLuna: oi", "dialogue"),
        ("[PERSONA] formal", "dialogue"),
        ("[INSTRUÇÃO] x", "instruction"),
        ("[instrucao] x", "instruction"),
        ("[TÍTULO] x", "knowledge"),
        ("[CONTEUDO] x", "knowledge"),
        ("Era uma vez", "plain"),
        ("O usuário: pessoa", "plain"),
        ("", "plain"),
    ],
)
def test_first_line_tells_the_format(line, kind):
    assert detect_format(line) == kind


def test_persona_name_has_no_accents_or_capitals():
    assert persona_name("  TÉCNICO ") == "tecnico"
    assert persona_name(" ") is None


# --- Instrução e conhecimento ------------------------------------------------------------------


def test_instructions_become_conversations_of_two_turns():
    text = "[INSTRUÇÃO] Explique\nisto.\n\n[RESPOSTA] Assim:\n\numa coisa\n---\n"
    text += "[INSTRUCAO] B\n[resposta] C"
    documents, report = parsed(parse_instructions, text)
    assert [contents(d) for d in documents] == [
        ["Explique\nisto.", "Assim:\n\numa coisa"],
        ["B", "C"],
    ]
    assert [d.source for d in documents] == ["a.txt:1", "a.txt:8"]
    assert not report.bad_records


def test_unpaired_or_empty_instructions_are_reported():
    text = "[RESPOSTA] x\n[INSTRUÇÃO] a\n[INSTRUÇÃO] b\n[RESPOSTA]\n[INSTRUÇÃO] c\n"
    documents, report = parsed(parse_instructions, text)
    assert documents == []
    assert [source for source, _ in report.bad_records] == [
        "a.txt:1",
        "a.txt:2",
        "a.txt:3",
        "a.txt:5",
    ]


def test_knowledge_blocks_keep_title_content_and_metadata():
    text = (
        "[TÍTULO] Um\n\n[CONTEÚDO] Texto\nlongo.\n\n"
        '[METADADOS] {"autor": "Maria",\n "tópicos": ["IA"]}\n\n[TITULO] Dois\n[CONTEUDO] Outro\n'
    )
    documents, report = parsed(parse_knowledge, text)
    assert documents == ["Um\n\nTexto\nlongo.", "Dois\n\nOutro"]
    assert documents[0].metadata == {"autor": "Maria", "tópicos": ["IA"], "título": "Um"}
    assert documents[0].messages is None and not report.bad_records


@pytest.mark.parametrize("metadata", ["{quebrado", "[1, 2]"])
def test_invalid_metadata_is_reported_and_the_document_is_kept(metadata):
    documents, report = parsed(parse_knowledge, f"[TÍTULO] T\n[CONTEÚDO] C\n[METADADOS] {metadata}")
    assert documents == ["T\n\nC"] and documents[0].metadata == {"título": "T"}
    assert "[METADADOS]" in report.bad_records[0][1]


def test_knowledge_without_a_title_is_accepted_and_without_content_is_reported():
    documents, report = parsed(parse_knowledge, "[CONTEÚDO] só texto\n[TÍTULO] só título\n")
    assert documents == ["só texto"]
    assert report.bad_records[0][0] == "a.txt:2" and "[CONTEÚDO]" in report.bad_records[0][1]


def test_text_without_tags_gives_no_sections():
    assert parsed(parse_instructions, "nada aqui")[0] == []
    assert parsed(parse_knowledge, "")[0] == []


# --- Registros ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        {"messages": [{"role": "user", "content": "p"}, {"role": "assistant", "content": "r"}]},
        {"conversations": [{"from": "human", "value": "p"}, {"from": "gpt", "value": "r"}]},
        {"instruction": "p", "input": "", "output": "r"},
        {"Instrução": "p", "resposta": "r"},
        {"prompt": "p", "response": "r"},
        {"prompt": "p", "completion": "r"},
        {"Pergunta": "p", "RESPOSTA": "r"},
    ],
)
def test_every_conversation_record_gives_the_same_turns(value):
    document = record(value)
    assert (roles(document), contents(document)) == (["user", "assistant"], ["p", "r"])
    assert document == "Usuário: p\nLuna: r" and document.source == "r.jsonl:1"


def test_alpaca_input_follows_the_instruction():
    document = record({"instruction": "Traduza", "input": "cat", "output": "gato"})
    assert contents(document) == ["Traduza\n\ncat", "gato"]


def test_system_and_persona_of_a_record_are_kept_and_the_rest_is_metadata():
    document = record({"prompt": "p", "response": "r", "system": "s", "persona": "Formal", "n": 3})
    assert roles(document) == ["system", "user", "assistant"]
    assert document.persona == "formal" and document.metadata == {"n": 3}


@pytest.mark.parametrize("value", [{"text": "um texto"}, {"texto": "um texto"}, "um texto"])
def test_text_records_are_plain_documents(value):
    document = record(value)
    assert document == "um texto" and document.messages is None


def test_text_record_keeps_the_other_keys_as_metadata():
    assert record({"text": "x", "fonte": "y"}).metadata == {"fonte": "y"}


def test_unanswered_last_turn_of_a_record_is_dropped_and_reported():
    report = LoadReport()
    turns = [("user", "a"), ("assistant", "b"), ("user", "c")]
    value = {"messages": [{"role": r, "content": c} for r, c in turns]}
    document = document_from_record(value, "r.jsonl:7", "r.jsonl", report)
    assert contents(document) == ["a", "b"] and report.bad_records[0][0] == "r.jsonl:7"


@pytest.mark.parametrize(
    "value, expected",
    [
        (7, "do tipo int"),
        (None, "NoneType"),
        ({}, "tem nada"),
        ({"nome": "x"}, '"messages"'),
        ({"text": "  "}, "vazio"),
        ({"text": 3}, "esperado um texto"),
        ({"text": None}, "vazio"),
        ({"prompt": "p", "response": ""}, '"response" está vazio'),
        ({"pergunta": "", "resposta": "r"}, '"pergunta" está vazio'),
        ({"messages": []}, "lista de falas"),
        ({"messages": "x"}, "lista de falas"),
        ({"messages": ["x"]}, '"role"'),
        ({"messages": [{"role": "tool", "content": "x"}]}, "'tool'"),
        ({"messages": [{"role": 3, "content": "x"}]}, "papel 3"),
        ({"messages": [{"role": "user", "content": None}]}, "texto não vazio"),
        ({"messages": [{"role": "user", "content": "só pergunta"}]}, "sem nenhuma fala da Luna"),
        ({"prompt": "p", "response": "r", "persona": 5}, '"persona"'),
    ],
)
def test_bad_records_say_what_was_expected(value, expected):
    with pytest.raises(RecordError, match=re.escape(expected)):
        record(value)


# --- Limpeza -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dirty, clean",
    [
        ("a\u0301gua", "água"),
        ("a\r\nb\rc\u2028d\x0ce", "a\nb\nc\nd\ne"),
        ("a\x00b\x07c\u200bd\u00ade\ufefff", "abcdef"),
        ("a\u00a0b\u202fc", "a b c"),
        ("a   b \t c\t\td", "a b c\td"),
        ("a  \nb\t\n", "a\nb"),
        ("a\n\n\n\n\nb", "a\n\nb"),
        ("a\ufffdb\ud800c", "abc"),
        ("  \n a \n ", "a"),
        ("👩\u200d🔬 e ❤\ufe0f\u200d🔥", "👩\u200d🔬 e ❤\ufe0f\u200d🔥"),
        ("a\u200db👩\u200d", "ab👩"),
        ("a\u200d\u0301", "á"),
        ("\u2329\u200d😀", "\u3008😀"),
        ("", ""),
    ],
)
def test_clean_text_removes_only_what_says_nothing(dirty, clean):
    assert clean_text(dirty) == clean


@settings(max_examples=300, deadline=None)
@given(
    st.text(
        st.one_of(st.characters(), st.sampled_from(" \t\n\r\u00a0\u200d\u0301\u00ad😀❤←\ufe0fa"))
    )
)
def test_clean_text_is_idempotent(text):
    once = clean_text(text)
    assert clean_text(once) == once
    assert unicodedata.is_normalized("NFC", once)


def test_no_control_or_format_character_survives():
    kept = set("\n\t\u200d")
    bad = [
        code
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs") and chr(code) not in kept
    ]
    cleaned = clean_text("x".join(map(chr, bad)))
    assert set(cleaned) <= {"x", "\n"}


# --- Segmentação -------------------------------------------------------------------------------


def test_text_within_the_limit_is_one_segment():
    assert segment_text("a" * SEGMENT_CHARS + "\n\n") == ["a" * SEGMENT_CHARS]
    assert segment_text(" \n ") == []


@pytest.mark.parametrize(
    "text, first",
    [
        ("um dois\n\ntrês. quatro\ncinco seis", "um dois"),
        ("um dois\ntrês. quatro cinco seis", "um dois"),
        ("um dois. três quatro cinco seis", "um dois."),
        ("um dois três quatro cinco seis", "um dois três quatro"),
        ("umdoistrêsquatrocincoseis", "umdoistrêsquatrocinc"),
    ],
)
def test_cuts_prefer_paragraph_then_line_then_sentence_then_space(text, first):
    segments = segment_text(text, limit=20)
    assert segments[0] == first
    assert max(map(len, segments)) <= 20


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from("aé.! \n\t")), st.integers(1, 40), st.integers(1, 7))
def test_segments_join_back_to_the_cleaned_text(text, limit, size):
    parts = [text[i : i + size] for i in range(0, len(text), size)]
    segments = list(iter_segments(parts, limit))
    assert all(0 < len(segment) <= limit for segment in segments)
    assert "".join("".join(segments).split()) == "".join(clean_text(text).split())
    assert segments == segment_text(text, limit)


def test_long_streams_are_cut_alike_whatever_the_size_of_the_parts():
    text = "\n\n".join(f"Parágrafo {i}. " + "palavra " * (i % 90) for i in range(2000))
    lines = text.splitlines(keepends=True)
    by_line, at_once = list(iter_segments(lines)), segment_text(text)
    assert "".join(" ".join(by_line).split()) == "".join(clean_text(text).split())
    assert by_line == at_once


def test_stream_without_any_space_is_cut_at_the_limit():
    parts = ["x" * 50_000] * 4
    segments = list(iter_segments(parts))
    assert "".join(segments) == "x" * 200_000
    assert max(map(len, segments)) == SEGMENT_CHARS


# --- Documento e relato ------------------------------------------------------------------------


def test_document_is_a_str_with_provenance():
    document = Document("texto", "a.txt")
    assert document == "texto" and json.dumps(document) == '"texto"'
    assert (document.source, document.file, document.messages) == ("a.txt", "a.txt", None)
    assert (document.persona, document.metadata) == (None, {})


def test_report_puts_warnings_first_and_shortens_long_lists():
    report = LoadReport(files_read=["a"], exact_duplicates=1200, near_duplicates=1)
    for number in range(7):
        report.bad_record(f"a:{number}", "motivo")
        report.notices.append(("a", f"aviso {number}"))
    report.files_skipped.append(("b.pdf", "danificado"))
    report.count([Document("abc"), Document("de", messages=[])])
    lines = report.summary().splitlines()
    assert lines[0] == "Arquivo ignorado: b.pdf: danificado"
    assert lines[6] == "... e mais 2 registros com problema."
    assert "... e mais 2 avisos de interpretação." in lines
    assert "1 arquivo lido: 2 documentos (1 conversa), 5 caracteres." in lines
    assert lines[-1] == "Repetições retiradas: 1.200 idênticas e 1 quase idêntica."


def test_report_to_dict_is_json_ready():
    report = LoadReport(bad_records=[("a:1", "x")])
    values = json.loads(json.dumps(report.to_dict()))
    assert values["bad_records"] == [["a:1", "x"]] and values["documents"] == 0
