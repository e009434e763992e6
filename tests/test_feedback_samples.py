"""Das avaliações às amostras de treino, e os formatos em que elas saem e entram."""

import json
import logging
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from src.models.feedback_formats import export, import_csv, to_trl_paired, to_trl_unpaired
from src.models.feedback_records import new_record
from src.models.feedback_samples import training_samples, utility
from src.models.feedback_system import FeedbackSystem
from src.utils.documents import LoadReport
from src.utils.errors import DataError, UsageError

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def rated(rating=None, prompt="p", response="r", days=0.0, **extra) -> dict:
    """Uma avaliação de ``days`` dias atrás."""
    return new_record(prompt, response, rating, NOON - timedelta(days=days), extra)


def one(*records, **options):
    """A única amostra que as avaliações dão."""
    (sample,) = training_samples(records, **options).samples
    return sample


def left_out(*records) -> dict:
    """As contagens, quando não sai nenhuma amostra."""
    found = training_samples(records)
    assert found.samples == []
    return {name: count for name, count in found.counts.items() if count and name != "records"}


# --- Utilidade e peso ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "record,expected",
    [
        (rated(1), -1),
        (rated(2), -0.5),
        (rated(3), 0),
        (rated(5), 1),
        (rated(None, tom=5, precisao=4), 0.75),
        (rated(5, tom=1), (2 * 1 - 1) / 3),  # a nota conta em dobro
        (rated(None, nps=10), None),
        (rated(None, correction="x"), None),
    ],
)
def test_utility_joins_the_rating_and_the_aspects(record, expected):
    assert utility(record) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    "rating,kind,weight", [(5, "desirable", 1), (4, "desirable", 0.5), (1, "undesirable", 1)]
)
def test_a_rating_becomes_what_to_imitate_or_to_avoid(rating, kind, weight):
    record = rated(rating, persona="casual", history=[{"role": "user", "content": "oi"}])
    sample = one(record)
    assert (sample.kind, sample.weight, sample.ids) == (kind, weight, (record["id"],))
    assert (sample.chosen or sample.rejected, sample.prompt, sample.persona) == ("r", "p", "casual")
    assert sample.history == ({"role": "user", "content": "oi"},)
    assert sample.timestamp == record["timestamp"]


@pytest.mark.parametrize("rating,weight", [(None, 1), (1, 1), (3, 1), (4, 0.5), (5, 0.5)])
def test_a_correction_is_a_pair_of_half_the_weight_if_the_answer_was_liked(rating, weight):
    sample = one(rated(rating, correction="melhor"))
    assert (sample.kind, sample.chosen, sample.rejected) == ("paired", "melhor", "r")
    assert sample.weight == weight


def test_weight_halves_with_every_half_life_from_the_newest_record():
    old, new = training_samples([rated(5, "a", days=90), rated(5, "b")]).samples
    assert (old.weight, new.weight) == (pytest.approx(0.5), 1)
    assert one(rated(5, days=90)).weight == 1  # é a mais nova
    assert one(rated(5, days=20), now=NOON, half_life_days=10).weight == pytest.approx(0.25)
    assert one(rated(5, days=-5), now=NOON).weight == 1  # relógio adiantado


def test_without_a_time_a_record_is_as_old_as_the_oldest():
    undated = {**rated(5, "c"), "timestamp": None}
    samples = training_samples([rated(5, "a", days=90), rated(5, "b"), undated]).samples
    assert [round(sample.weight, 6) for sample in samples] == [0.5, 1, 0.5]
    assert one(undated).weight == 1


# --- Acordo --------------------------------------------------------------------------------------


def test_equal_answers_are_one_sample_whatever_the_case_and_the_spaces():
    records = [rated(5, "Oi  Luna", "Olá!"), rated(4, "oi luna ", "OLÁ!")]
    sample = one(*records)
    assert sample.weight == pytest.approx(0.75) and sample.ids == tuple(r["id"] for r in records)


@pytest.mark.parametrize(
    "change",
    [{"persona": "formal"}, {"history": [{"role": "user", "content": "e?"}]}, {"response": "s"}],
)
def test_another_persona_conversation_or_answer_is_another_sample(change):
    assert len(training_samples([rated(5), rated(5, **change)]).samples) == 2


def test_disagreement_lowers_the_weight_below_the_mean():
    sample = one(rated(5), rated(5), rated(2))
    mean, size = (1 + 1 - 0.5) / 3, (1 + 1 + 0.5) / 3
    assert sample.kind == "desirable" and sample.weight == pytest.approx(mean * mean / size)


def test_newer_opinions_count_more():
    assert one(rated(5, days=180), rated(1)).kind == "undesirable"
    assert one(rated(1, days=180), rated(5)).kind == "desirable"


def test_neutral_and_contradictory_ratings_are_left_out_and_counted():
    assert left_out(rated(3), rated(3)) == {"neutral": 2}
    assert left_out(rated(5), rated(1)) == {"contradictory": 2}
    assert left_out(rated(None, nps=10), rated(5, prompt=" ")) == {"nps_only": 1, "blank": 1}
    notes = training_samples([rated(3), rated(5, "q"), rated(1, "q")]).notes
    assert notes == [
        "1 avaliação neutra ficou de fora: não diz se é para imitar ou evitar.",
        "2 avaliações ficaram de fora: contradizem-se, e falta uma maioria.",
    ]


def test_the_newest_correction_wins_and_the_older_are_counted():
    records = [rated(None, correction=text, days=age) for text, age in (("b", 1), ("a", 2))]
    found = training_samples([*records, rated(None, response="outra", correction="A", days=3)])
    assert [(s.chosen, s.rejected) for s in found.samples] == [("b", "r"), ("b", "outra")]
    assert found.counts["superseded"] == 2 and "mais novas" in found.notes[0]


def test_a_correction_equal_to_the_answer_is_only_a_rating():
    assert one(rated(5, correction=" R ")).kind == "desirable"
    assert left_out(rated(None, correction="R")) == {"neutral": 1}


def test_a_correction_of_an_empty_answer_is_what_to_imitate():
    sample = one(rated(1, response="", correction="agora sim"))
    assert (sample.kind, sample.chosen, sample.rejected) == ("desirable", "agora sim", None)


RECORDS = st.builds(
    rated,
    st.none() | st.integers(1, 5),
    st.sampled_from("pq"),
    st.sampled_from("rs"),
    st.floats(0, 4000),
    correction=st.sampled_from(["r", "x", "y"]),
)


@given(st.lists(RECORDS, max_size=12), st.booleans())
@hypothesis_settings(deadline=None, max_examples=80)
def test_every_sample_has_a_side_a_weight_and_known_ids(records, corrected):
    if not corrected:
        records = [{k: v for k, v in r.items() if k != "correction"} for r in records]
    found = training_samples(records)
    known = {record["id"] for record in records}
    for sample in found.samples:
        assert 0 < sample.weight <= 1 and set(sample.ids) <= known
        assert (sample.chosen, sample.rejected) != (None, None)
    kinds = [sample.kind for sample in found.samples]
    for kind in ("paired", "desirable", "undesirable"):
        assert found.counts[kind] == kinds.count(kind)
    names = [name for sample in found.samples for name in sample.ids]
    out = sum(found.counts[name] for name in ("nps_only", "blank", "neutral", "contradictory"))
    assert len(names) == len(set(names)) and len(names) + out == len(records)


def test_the_system_gives_the_samples_of_what_is_pending(tmp_path):
    system = FeedbackSystem(path=tmp_path / "f.jsonl")
    used = system.add_feedback("a", "b", 5, model="A")
    system.add_feedback("c", "d", 1, model="A")
    system.add_feedback("e", "f", 1, model="B")
    system.mark_processed([used])
    assert [sample.prompt for sample in system.get_training_samples("A")] == ["c"]
    assert len(system.get_training_samples()) == 2


# --- TRL -----------------------------------------------------------------------------------------

HISTORY = [{"role": "user", "content": "oi"}, {"role": "assistant", "content": "olá"}]
ASKED = [*HISTORY, {"role": "user", "content": "p"}]


def answer(text: str) -> list[dict]:
    return [{"role": "assistant", "content": text}]


@pytest.fixture
def samples():
    """Um par, uma boa e uma ruim, nesta ordem."""
    pair = rated(1, correction="c", history=HISTORY)
    return training_samples([pair, rated(5, "q"), rated(1, "s")]).samples


def test_pairs_have_the_columns_of_preference_training(samples):
    (row,) = to_trl_paired(samples)
    assert row == {"prompt": ASKED, "chosen": answer("c"), "rejected": answer("r")}


def test_labelled_answers_have_the_columns_of_unpaired_training(samples):
    rows = to_trl_unpaired(samples)
    assert rows[:2] == [
        {"prompt": ASKED, "completion": answer("c"), "label": True},
        {"prompt": ASKED, "completion": answer("r"), "label": False},
    ]
    assert [row["label"] for row in rows] == [True, False, True, False]


@pytest.mark.parametrize("kind,rows", [("paired", 1), ("unpaired", 4), ("raw", 3)])
def test_export_writes_one_object_per_line(tmp_path, samples, kind, rows):
    path = tmp_path / "saida.jsonl"
    records = [rated(n, f"ação {n}\u2028") for n in (1, 2, 3)]
    assert export(records if kind == "raw" else samples, path, kind) == rows
    lines = path.read_bytes().decode("utf-8").splitlines()
    assert len(lines) == rows and all(isinstance(json.loads(line), dict) for line in lines)


def test_export_refuses_what_it_cannot_do(tmp_path, samples):
    path = tmp_path / "saida.jsonl"
    path.write_text("meu")
    for arguments, message in (
        ((samples, path, "zip"), "format='zip': esperado um de paired, unpaired, raw"),
        ((samples, path, "raw"), "já existe"),
        ((samples, tmp_path / "x" / "y", "raw"), "Crie-a antes"),
        (([], tmp_path / "novo", "raw"), "não há o que gravar"),
        ((samples[1:], tmp_path / "novo", "paired"), "não há o que gravar"),
    ):
        with pytest.raises(UsageError, match=message):
            export(*arguments)
    assert path.read_text() == "meu" and export(samples, path, "unpaired", force=True) == 4


# --- CSV -----------------------------------------------------------------------------------------

SHEET = """pergunta;resposta;nota;Correção;precisao;nps;persona;data;comentário
"Quanto é 2+2?";"5; acho";1;4;1;;tecnico;01/02/2026 14:30;ignorado
Olá!;Oi, tudo bem?;5,0;;;9;;2026-02-01;
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_brazilian_sheet_is_read_in_any_encoding(tmp_path, encoding, ends):
    path, report = tmp_path / "notas.csv", LoadReport()
    path.write_bytes(SHEET.replace("\n", ends).encode(encoding))
    first, second = import_csv(path, report)
    assert (first["prompt"], first["response"]) == ("Quanto é 2+2?", "5; acho")
    assert (first["rating"], first["correction"], first["persona"]) == (1, "4", "tecnico")
    assert first["aspects"] == {"precisao": 1} and first["timestamp"].startswith("2026-02-01T14:30")
    assert (second["rating"], second["nps"]) == (5, 9) and "persona" not in second
    assert report.bad_records == [] and report.notices[0][1] == "colunas ignoradas: comentário."


def test_a_comma_sheet_in_english_is_read_too(tmp_path):
    path = tmp_path / "ratings.csv"
    rows = '"d",e,1\n"a, b",c,4,s1,Luna\n'  # a primeira, sem as células vazias do fim
    path.write_text("prompt,response,rating,session,model\n" + rows)
    _, record = import_csv(path)
    assert (record["prompt"], record["session"], record["model"]) == ("a, b", "s1", "Luna")
    assert "timestamp" not in record  # a hora da importação enganaria


def test_bad_rows_are_reported_with_file_and_line_and_the_rest_is_used(tmp_path, caplog):
    path, report = tmp_path / "notas.csv", LoadReport()
    rows = ["prompt,response,rating,nps,data", "a,b,5,,", "a,b,seis,,", "a,b,9,,", "a,,3,,"]
    rows += [
        ",b,3,,",
        "a,b,,,",
        "a,b,3,11,",
        "a,b,3,,ontem",
        "a,b,3,,,,x",
        "",
        ",,,8,",
        '"c\nd",e,2,,',
    ]
    path.write_text("\n".join(rows))
    records = import_csv(path, report)
    assert [(r["prompt"], r.get("rating"), r.get("nps")) for r in records] == [
        *(("a", 5, None), ("", None, 8), ("c\nd", 2, None))
    ]
    problems = dict(report.bad_records)
    assert [int(where.rpartition(":")[2]) for where in problems] == [3, 4, 5, 6, 7, 8, 9, 10]
    for line, reason in (
        (3, "rating='seis': esperado um inteiro de 1 a 5"),
        (4, "rating=9: esperado um inteiro de 1 a 5"),
        (5, "response: está em branco"),
        (6, "prompt: está em branco"),
        (7, "rating=None: esperada uma nota de 1 a 5, ou um aspecto"),
        (8, "nps=11: esperado um inteiro de 0 a 10"),
        (9, "timestamp='ontem': esperada uma data como 31/01/2026 14:30"),
        (10, "7 colunas; esperadas 5"),
    ):
        assert reason in problems[f"{path}:{line}"]
    with caplog.at_level(logging.WARNING):
        import_csv(path)
    assert f"{path}:3" in caplog.text


@pytest.mark.parametrize(
    "text,message",
    [
        ("", "não há nenhuma linha de dados"),
        ("pergunta,resposta,nota\n", "não há nenhuma linha de dados"),
        ("pergunta,nota\na,3\n", "falta a coluna 'response ou resposta'; há 'pergunta', 'nota'"),
        ("pergunta,resposta\na,b\n", "falta a coluna 'rating ou nota'"),
        ("nada aqui\nb\n", "'prompt ou pergunta' e 'response ou resposta'"),
        ("%PDF-1.7\n", "PDF"),
    ],
)
def test_a_sheet_without_what_is_needed_is_refused(tmp_path, text, message):
    path = tmp_path / "notas.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        import_csv(path)


def test_a_missing_sheet_is_refused(tmp_path):
    with pytest.raises(DataError, match="o arquivo não existe"):
        import_csv(tmp_path / "x.csv")


def test_importing_twice_repeats_nothing_and_equal_rows_all_count(tmp_path):
    path = tmp_path / "notas.csv"
    path.write_text("prompt,response,rating\n" + "a,b,5\n" * 3)
    system = FeedbackSystem(path=tmp_path / "f.jsonl")
    assert system.add_records(import_csv(path)) == 3
    system.retract(system.get_all_feedback()[0]["id"])
    assert system.add_records(import_csv(path)) == 0 and len(system.get_all_feedback()) == 2
