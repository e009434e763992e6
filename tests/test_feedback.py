"""As avaliações no disco: nada se perde, nada fica pela metade, e o que se apaga some."""

import contextlib
import errno
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from src.config.config import Config
from src.models import feedback_store
from src.models.feedback_store import FeedbackStore
from src.models.feedback_system import FeedbackSystem
from src.utils.errors import DataError, LunaError, StorageError, UsageError

ROOT = Path(__file__).resolve().parents[1]
NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
SECRET = "Avenida São João, 1234"
RATED = {"prompt": "Que horas são?", "response": "Dez e meia.", "rating": 4}
WRITER = """
import os, sys
from src.models.feedback_system import FeedbackSystem

path, name, count = sys.argv[1:]
assert not {"torch", "transformers", "numpy"} & set(sys.modules)
system = FeedbackSystem(path=path, sync=False)
for number in range(int(count)):
    identity = system.add_feedback(f"{name}-{number}", "ção " * 30, number % 5 + 1)
    os.write(1, identity.encode() + b"\\n")  # só depois que a chamada voltou
"""
READER = """
import os, sys
from src.models.feedback_system import FeedbackSystem

system, torn, most = FeedbackSystem(path=sys.argv[1]), set(), 0
while not os.path.exists(sys.argv[1] + ".stop"):
    found = system.get_all_feedback()
    assert len(found) >= most and len({record["id"] for record in found}) == len(found)
    most, torn = len(found), torn | set(system.problems)
assert len(torn) <= 1, torn  # só a linha do processo que morreu
"""


@pytest.fixture
def system(tmp_path) -> FeedbackSystem:
    """Um arquivo de avaliações que ainda não existe."""
    return FeedbackSystem(path=tmp_path / "feedback.jsonl")


def reopened(system: FeedbackSystem) -> FeedbackSystem:
    return FeedbackSystem(path=system.path)


def ids(records) -> list[str]:
    return [record["id"] for record in records]


def write_lines(path: Path, *lines: str | bytes | dict) -> None:
    """Grava linhas como vierem; a última também ganha a quebra."""
    texts = [
        json.dumps(line, ensure_ascii=False) if isinstance(line, dict) else line for line in lines
    ]
    path.write_bytes(b"".join((t if isinstance(t, bytes) else t.encode()) + b"\n" for t in texts))


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".feedback.jsonl.lock"}


# --- Guardar e ler -------------------------------------------------------------------------------


def test_a_rating_comes_back_with_an_id_a_time_and_what_was_said(system):
    identity = system.add_feedback(
        *("Oi", "Olá!", 5, NOON),
        **{"aspects": {"precisão": 4}, "tom": 2, "nps": 9, "correction": "Olá, tudo bem?"},
        **{"persona": "casual", "session": "s1", "model": "Luna", "model_version": "v2"},
        **{"sources": ("a.pdf",), "history": [{"role": "user", "content": "E aí"}], "cor": [1]},
    )
    (record,) = reopened(system).get_all_feedback()
    assert record == {
        **{"schema": 1, "id": identity, "type": "feedback", "timestamp": NOON.isoformat()},
        **{"prompt": "Oi", "response": "Olá!", "rating": 5, "aspects": {"precisao": 4, "tom": 2}},
        **{"nps": 9, "correction": "Olá, tudo bem?", "persona": "casual", "session": "s1"},
        **{"model": "Luna", "model_version": "v2", "sources": ["a.pdf"]},
        **{"history": [{"role": "user", "content": "E aí"}], "cor": [1]},
    }
    assert system.path.read_bytes().count(b"\n") == 1 and system.problems == []


def test_what_was_not_said_is_not_in_the_line(system):
    system.add_feedback("a", "b", 3, persona=None, session="", aspects={"tom": None}, history=[])
    assert set(json.loads(system.path.read_text())) == {
        *("schema", "id", "type", "timestamp", "prompt", "response", "rating")
    }


def test_the_configuration_says_where_and_how_many(tmp_path):
    config = Config(feedback={"path": tmp_path / "sub" / "notas.jsonl", "min_new": 2})
    system = FeedbackSystem(config)
    system.add_feedback(**RATED)
    assert system.path == tmp_path / "sub" / "notas.jsonl" and system.path.is_file()
    assert system.archive_path == tmp_path / "sub" / "notas.archive.jsonl"
    assert not system.needs_update() and system.needs_update(1)
    system.add_feedback(**RATED)
    assert system.needs_update() and not system.needs_update(minimum=3)


@pytest.mark.skipif(os.name == "nt", reason="permissões POSIX")
def test_only_the_owner_reads_a_new_file(system):
    system.add_feedback(**RATED)
    assert system.path.stat().st_mode & 0o777 == 0o600


def test_importing_the_module_loads_nothing_heavy():
    code = """
import sys
before = set(sys.modules)
import src.models.feedback_system, src.models.feedback_samples, src.models.feedback_formats
print({name.partition(".")[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout.strip() == "{'src'}", result.stderr


@given(st.text(), st.text(min_size=1), st.lists(st.text(), max_size=3))
@hypothesis_settings(deadline=None, max_examples=60)
def test_any_text_survives_the_store(prompt, correction, history):
    turns = [{"role": "user", "content": text} for text in history]
    wanted = correction if correction.strip() else "x"
    with tempfile.TemporaryDirectory() as folder:
        system = FeedbackSystem(path=Path(folder) / "f.jsonl", sync=False)
        for _ in range(2):
            system.add_feedback(prompt, prompt[::-1], None, correction=wanted, history=turns)
        for record in reopened(system).get_all_feedback():
            assert (record["prompt"], record["response"]) == (prompt, prompt[::-1])
            assert (record["correction"], record.get("history", [])) == (wanted, turns)
        assert (
            system.path.read_bytes().count(b"\n") == 2 == len(system.path.read_bytes().splitlines())
        )


def test_a_lone_surrogate_does_not_spoil_the_file(system):
    system.add_feedback("a\ud800b", "\x85\u2028\x00", 1)
    assert system.get_all_feedback()[0]["prompt"] == "a\ud800b"
    system.path.read_bytes().decode("utf-8")


@pytest.mark.parametrize(
    "given_time,expected",
    [
        (NOON, NOON),
        (NOON.timestamp(), NOON),
        (int(NOON.timestamp()), NOON),
        ("2026-03-01T12:00:00Z", NOON),
        ("2026-03-01T09:00:00-03:00", NOON),
        (datetime(2026, 3, 1, 12), datetime(2026, 3, 1, 12).astimezone()),
    ],
)
def test_times_of_every_form_are_the_same_moment(system, given_time, expected):
    system.add_feedback("a", "b", 3, given_time)
    assert datetime.fromisoformat(system.get_all_feedback()[0]["timestamp"]) == expected


@pytest.mark.parametrize(
    "changes,message",
    [
        ({"rating": 0}, "rating=0: esperado um inteiro de 1 a 5"),
        ({"rating": 6}, "rating=6"),
        ({"rating": 4.5}, "rating=4.5"),
        ({"rating": True}, "rating=True"),
        ({"rating": "5"}, "rating='5'"),
        ({"rating": float("nan")}, "rating=nan"),
        ({"rating": None, "aspects": {}}, "rating=None: esperada uma nota de 1 a 5, ou um aspecto"),
        ({"prompt": None}, "prompt=None: esperado um texto"),
        ({"response": 3}, "response=3: esperado um texto"),
        ({"aspects": {"graça": 3}}, "aspects: 'graça' não existe; há precisao, relevancia, tom"),
        ({"aspects": [1]}, "aspects="),
        ({"aspects": {1: 3}}, "aspects: 1 não existe"),
        ({"tom": 9}, "aspects.tom=9: esperado um inteiro de 1 a 5"),
        ({"nps": 11}, "nps=11: esperado um inteiro de 0 a 10"),
        ({"correction": " "}, "correction=' ': está em branco"),
        ({"persona": 3}, "persona=3"),
        ({"sources": "a.pdf"}, "sources='a.pdf': esperada uma lista de textos"),
        ({"sources": [1]}, "sources[0]=1"),
        ({"history": [{"role": "user"}]}, "history[0].content=None"),
        ({"history": "oi"}, "history='oi'"),
        ({"history": ["oi"]}, "history[0]='oi'"),
        ({"timestamp": "ontem"}, "timestamp='ontem': esperada uma data ISO 8601"),
        ({"timestamp": 1e300}, "timestamp=1e+300"),
        ({"timestamp": True}, "timestamp=True"),
        ({"replaces": "nenhuma"}, "replaces='nenhuma': não há avaliação com esse id"),
        ({"id": "x"}, "id: o sistema é que preenche"),
        ({"cor": object()}, "cor=<object"),
        ({"cor": {"a": float("inf")}}, "cor={'a': inf}"),
    ],
)
def test_a_bad_value_names_the_field_and_writes_nothing(system, changes, message):
    with pytest.raises(UsageError) as caught:
        system.add_feedback(**(RATED | changes))
    assert message in str(caught.value) and not system.path.exists()


@pytest.mark.parametrize(
    "said", [{"tom": 3}, {"aspects": {"precisao": 1}}, {"nps": 0}, {"correction": "Onze."}]
)
def test_a_rating_is_optional_when_something_else_was_said(system, said):
    system.add_feedback("a", "b", None, **said)
    assert "rating" not in system.get_all_feedback()[0]


def test_filters_are_inclusive_and_leave_out_those_without_a_rating(system):
    for rating in (1, 2, 3, 4, 5):
        system.add_feedback(str(rating), "r", rating)
    system.add_feedback("sem nota", "r", None, tom=1)
    assert len(system.get_filtered_feedback()) == 6

    def found(*bounds):
        return "".join(record["prompt"] for record in system.get_filtered_feedback(*bounds))

    assert (found(4), found(None, 2), found(2, 3), found(5, 1)) == ("45", "12", "23", "")
    with pytest.raises(UsageError, match="min_rating='4': esperado um número"):
        system.get_filtered_feedback(min_rating="4")


def test_records_come_oldest_first_whatever_the_order_of_the_lines(system):
    for day in (3, 1, 2):
        system.add_feedback(str(day), "r", 3, NOON + timedelta(days=day))
    write_lines(
        system.path, *system.path.read_text().splitlines(), {"prompt": "0", "response": "r"}
    )
    assert [record["prompt"] for record in system.get_all_feedback()] == ["0", "1", "2", "3"]


def test_pending_is_of_the_model_or_of_none_and_ignores_the_nps_alone(system):
    for model in ("A", "B", None):
        system.add_feedback(str(model), "r", 5, model=model)
    system.add_feedback("", "", None, nps=9)
    assert [record["prompt"] for record in system.pending("A")] == ["A", "None"]
    assert len(system.pending()) == 3 and len(system.get_all_feedback()) == 4
    assert not system.needs_update(4)


# --- Desfazer e trocar ---------------------------------------------------------------------------


def test_undoing_the_replacement_revives_the_replaced_through_a_chain(system):
    first = system.add_feedback("p", "r", 1)
    second = system.add_feedback("p", "r", 2, replaces=first)
    third = system.add_feedback("p", "r", 3, replaces=second)
    assert ids(system.get_all_feedback()) == [third]
    system.retract(third)
    assert ids(system.get_all_feedback()) == [second]
    system.retract(second)
    assert ids(reopened(system).get_all_feedback()) == [first]
    system.retract(first)
    assert system.get_all_feedback() == [] and system.path.read_bytes().count(b"\n") == 6


def test_undoing_the_middle_of_a_chain_does_not_bring_the_first_back(system):
    first = system.add_feedback("p", "r", 1)
    second = system.add_feedback("p", "r", 2, replaces=first)
    third = system.add_feedback("p", "r", 3, replaces=second)
    system.retract(second)
    assert ids(system.get_all_feedback()) == [third]
    system.retract(third)
    assert ids(system.get_all_feedback()) == [first]


def test_undoing_what_does_not_exist_or_was_undone_is_refused(system):
    with pytest.raises(UsageError, match="id='x': não há avaliação com esse id"):
        system.retract("x")
    identity = system.add_feedback(**RATED)
    system.retract(identity)
    with pytest.raises(UsageError, match="já foi desfeita"):
        system.retract(identity)


def test_lines_that_replace_each_other_in_a_circle_are_still_read(system):
    line = {"prompt": "p", "response": "r", "rating": 3}
    write_lines(
        system.path, {**line, "id": "a", "replaces": "b"}, {**line, "id": "b", "replaces": "a"}
    )
    assert ids(system.get_all_feedback()) == ["b"]


def test_find_accepts_the_beginning_of_an_id(system):
    line = {"prompt": "p", "response": "r", "rating": 3}
    write_lines(system.path, {**line, "id": "abc1"}, {**line, "id": "abd2"})
    assert system.find("abc")["id"] == "abc1"
    with pytest.raises(UsageError, match="'ab' é o começo de 2 avaliações"):
        system.find("ab")
    for missing in ("zz", ""):
        with pytest.raises(UsageError, match="feedback list"):
            system.find(missing)


# --- Linhas antigas e danificadas ----------------------------------------------------------------


def test_older_lines_load_with_a_steady_id_and_keep_what_they_had(system):
    write_lines(
        system.path,
        {"prompt": "a", "response": "b", "rating": 5},
        {"prompt": "a", "response": "b", "rating": 5},
        {"prompt": "c", "response": "d", "rating": 2.0, "timestamp": 0, "humor": "bom"},
        {"prompt": "e", "response": "f", "timestamp": "??", "persona": None},
        {"prompt": "g", "response": "h", "rating": 3, "id": 7},
    )
    found = {record["prompt"]: record for record in system.get_all_feedback()}
    assert system.problems == [] and len(set(ids(system.get_all_feedback()))) == 5
    assert found["a"]["timestamp"] is None and found["e"]["timestamp"] is None
    assert found["c"]["rating"] == 2 and found["c"]["humor"] == "bom" and found["g"]["id"] == "7"
    assert datetime.fromisoformat(found["c"]["timestamp"]).timestamp() == 0
    assert ids(reopened(system).get_all_feedback()) == ids(system.get_all_feedback())


def test_older_lines_keep_their_id_when_the_file_is_rewritten(system):
    line = {"prompt": "a", "response": "b", "rating": 5}
    write_lines(system.path, line, line, line)
    first, second, third = ids(system.get_all_feedback())
    system.mark_processed([first])
    assert system.clear_processed_feedback() == 1
    assert ids(system.get_all_feedback()) == [second, third] and ids(system.archived()) == [first]


def test_a_newer_version_s_lines_are_ignored_and_kept(system):
    newer = {"schema": 2, "type": "estrela", "alvo": "x"}
    write_lines(system.path, newer, RATED, {**RATED, "schema": 9})
    assert len(system.get_all_feedback()) == 2 and system.problems == []
    system.mark_processed(ids(system.get_all_feedback()))
    system.clear_processed_feedback()
    assert json.loads(system.path.read_text()) == newer


DAMAGED = {
    b'{"prompt": "a", "resp': "não é JSON válido (caractere 17)",
    b"\xff\xfe{}": "não é UTF-8 (byte 1)",
    b"[1, 2]": "não é um objeto JSON",
    b"[" * 100_000: "o JSON é grande ou fundo demais",
    b'{"rating": 5}': "prompt=None: esperado um texto",
    b'{"prompt": "a", "response": "b", "rating": 9}': "rating=9: esperado um inteiro de 1 a 5",
    b"\x00\x00\x00": "não é JSON válido (caractere 1)",
}


def test_damaged_lines_are_skipped_reported_by_number_and_warned_of_once(system, caplog):
    write_lines(system.path, RATED, *DAMAGED, "", RATED | {"rating": 1})
    assert len(system.get_all_feedback()) == 2
    assert system.problems == [
        f"feedback.jsonl, linha {number}: {reason}; a linha foi pulada."
        for number, reason in enumerate(DAMAGED.values(), 2)
    ]
    system.get_all_feedback()
    (warning,) = caplog.records
    assert "linha 2" in warning.message and "(e mais 2)" in warning.message
    assert system.stats()["damaged"] == len(DAMAGED)


def test_a_strange_optional_field_is_dropped_and_reported(system):
    write_lines(system.path, {**RATED, "nps": 99, "persona": ["x"]})
    (record,) = system.get_all_feedback()
    assert record["rating"] == 4 and "nps" not in record and "persona" not in record
    assert "nps=99: esperado um inteiro de 0 a 10 (campo ignorado)" in system.problems[0]


def test_damaged_lines_are_set_aside_as_they_came_when_the_file_is_rewritten(system):
    write_lines(system.path, RATED, *DAMAGED)
    system.mark_processed(ids(system.get_all_feedback()))
    system.clear_processed_feedback()
    aside = system.path.with_name("feedback.damaged.jsonl")
    kept = [json.loads(line) for line in aside.read_text("utf-8").splitlines()]
    assert [item["raw"].encode("utf-8", "surrogateescape") for item in kept] == list(DAMAGED)
    assert [item["line"] for item in kept] == list(range(2, 2 + len(DAMAGED)))
    assert system.path.read_bytes() == b"" and system.stats()["damaged"] == len(DAMAGED)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
FIELDS = (
    *("id", "type", "timestamp", "prompt", "response", "rating", "aspects", "nps", "correction"),
    *("persona", "session", "sources", "history", "replaces", "target", "targets", "tom"),
)
VALUES = JSON | st.sampled_from(["a", "b", "processed", "retract"])


@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), VALUES), max_size=8))
@hypothesis_settings(deadline=None, max_examples=40)
def test_no_line_of_json_stops_the_reading(lines):
    with tempfile.TemporaryDirectory() as folder:
        system = FeedbackSystem(path=Path(folder) / "f.jsonl", sync=False)
        write_lines(system.path, *lines, RATED)
        assert system.get_all_feedback()[-1:] and system.stats()["total"] >= 1
        system.mark_processed(ids(system.get_all_feedback()))
        system.clear_processed_feedback()
        assert system.purge(text=RATED["prompt"]) >= 1 and system.get_training_samples() == []


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_number_that_json_does_not_have_damages_only_its_line(system, value):
    write_lines(system.path, {"type": "processed", "timestamp": value}, RATED)
    assert len(system.get_all_feedback()) == 1 and "linha 1" in system.problems[0]
    system.mark_processed(ids(system.get_all_feedback()))
    assert system.clear_processed_feedback() == 1


def test_purge_reaches_the_fields_that_the_reading_ignores(system):
    deep = "segredo"
    for _ in range(300):
        deep = [deep]
    write_lines(system.path, {**RATED, "cor": deep}, {**RATED, "correction": ["Segredo"]})
    assert len(system.problems or system.get_all_feedback()) == 2
    assert system.purge(text="segredo") == 2 and system.path.read_bytes() == b""


@pytest.mark.parametrize("start", [b"\xef\xbb\xbf", b""])
def test_a_mark_and_windows_line_ends_are_accepted(system, start):
    line = json.dumps(RATED).encode()
    system.path.write_bytes(start + line + b"\r\n\r\n" + line)
    system.add_feedback(**RATED)
    assert len(system.get_all_feedback()) == 3 and system.problems == []


def test_cut_anywhere_the_whole_lines_remain_and_the_next_one_is_whole(system):
    whole = [system.add_feedback("ação", "ção", 3) for _ in range(2)]
    data = system.path.read_bytes()
    second = data.index(b"\n") + 1
    for size in range(second, len(data)):
        system.path.write_bytes(data[:size])
        added = system.add_feedback(**RATED)
        kept = whole if size == len(data) - 1 else whole[:1]  # só faltava a quebra
        assert ids(system.get_all_feedback()) == [*kept, added]
        assert len(system.problems) == (second < size < len(data) - 1)


def test_an_unfinished_last_line_is_read_again_after_the_writer_is_done(system, monkeypatch):
    line = json.dumps(RATED).encode() + b"\n"
    system.path.write_bytes(line[:10])
    held = FeedbackStore.locked

    @contextlib.contextmanager
    def finished(store):
        with held(store):
            system.path.write_bytes(line)  # quem tinha a trava terminou
            yield

    monkeypatch.setattr(FeedbackStore, "locked", finished)
    assert len(system.get_all_feedback()) == 1 and system.problems == []


def test_without_a_lock_the_unfinished_line_is_just_damaged(system, monkeypatch):
    write_lines(system.path, RATED)
    system.path.write_bytes(system.path.read_bytes() + b'{"prom')

    def refused(store):
        raise StorageError("disco só de leitura")

    monkeypatch.setattr(FeedbackStore, "locked", refused)
    assert len(system.get_all_feedback()) == 1 and "linha 2" in system.problems[0]


def test_an_unreadable_file_says_what_to_check(tmp_path):
    with pytest.raises(DataError, match="feedback.path"):
        FeedbackSystem(path=tmp_path).get_all_feedback()


# --- Quedas e vários processos -------------------------------------------------------------------


def test_eight_processes_lose_nothing_while_others_read_and_one_is_killed(tmp_path):
    path, count, told = tmp_path / "feedback.jsonl", 1000, {"stdout": subprocess.PIPE}
    run = [sys.executable, "-c"]
    reader = subprocess.Popen([*run, READER, path], cwd=ROOT)
    writers = [
        subprocess.Popen([*run, WRITER, path, str(n), str(count)], cwd=ROOT, **told)
        for n in range(8)
    ]
    victim = writers[3]
    beginning = [victim.stdout.readline() for _ in range(random.randrange(10, count // 2))]
    victim.kill()
    returned = [writer.stdout.read().split() for writer in writers]
    returned[3] = b"".join(beginning).split() + returned[3]
    assert [n for n, writer in enumerate(writers) if writer.wait(timeout=120)] == [3]
    Path(f"{path}.stop").touch()
    assert reader.wait(timeout=120) == 0

    system = FeedbackSystem(path=path)
    found = {record["id"]: record["prompt"] for record in system.get_all_feedback()}
    for name, names in enumerate(returned):
        prompts = [found[identity.decode()] for identity in names]
        assert prompts == [f"{name}-{number}" for number in range(len(names))]
    assert [len(names) for names in returned if len(names) != count] == [len(returned[3])]
    assert 0 <= len(found) - sum(map(len, returned)) <= 1  # gravou, e não teve tempo de dizer
    assert max(Counter(found.values()).values()) == 1 and len(system.problems) <= 1


def test_a_process_killed_in_the_middle_of_a_line_leaves_the_lock_and_the_others_free(system):
    system.add_feedback(**RATED)
    code = """
import os, signal, sys
from src.models.feedback_system import FeedbackSystem

real_write = os.write

def killed(descriptor, data):
    real_write(descriptor, bytes(data)[:30])
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

os.write = killed
FeedbackSystem(path=sys.argv[1]).add_feedback("a", "b", 1)
"""
    result = subprocess.run([sys.executable, "-c", code, system.path], cwd=ROOT)
    assert result.returncode != 0 and not system.path.read_bytes().endswith(b"\n")
    system.add_feedback(**RATED)
    assert len(system.get_all_feedback()) == 2 and "linha 2" in system.problems[0]


def test_threads_of_one_system_do_not_mix_their_lines(system):
    def rate(name):
        for number in range(25):
            system.add_feedback(f"{name}-{number}", "r" * 200, 5)

    threads = [threading.Thread(target=rate, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({record["prompt"] for record in system.get_all_feedback()}) == 100
    assert system.problems == []


@pytest.mark.parametrize("step", ["write", "fsync"])
def test_a_refused_write_leaves_the_file_as_it_was(system, monkeypatch, step):
    system.add_feedback(**RATED)
    before, real_write = system.path.read_bytes(), os.write

    def half(descriptor, data):
        real_write(descriptor, bytes(data)[:20])
        raise OSError(errno.ENOSPC, "sem espaço")

    def refused(descriptor):
        raise OSError(errno.ENOSPC, "sem espaço")

    monkeypatch.setattr(os, step, half if step == "write" else refused)
    with pytest.raises(StorageError, match="o disco está cheio"):
        system.add_feedback(**RATED)
    monkeypatch.undo()
    assert system.path.read_bytes() == before
    system.add_feedback(**RATED)
    assert len(system.get_all_feedback()) == 2


def test_control_c_in_the_middle_of_a_write_leaves_a_whole_line(system, monkeypatch):
    real_write, calls = os.write, []

    def slow(descriptor, data):
        calls.append(len(data))
        if len(calls) == 1:
            signal.raise_signal(signal.SIGINT)
        return real_write(descriptor, bytes(data)[:15])

    monkeypatch.setattr(os, "write", slow)
    with pytest.raises(KeyboardInterrupt):
        system.add_feedback(**RATED)
    monkeypatch.undo()
    assert len(calls) > 1 and len(system.get_all_feedback()) == 1 and system.problems == []


def test_a_lock_that_is_never_released_ends_in_an_explanation(system, monkeypatch):
    monkeypatch.setattr(feedback_store, "LOCK_SECONDS", 0.0)
    system.add_feedback(**RATED)
    with FileLock(str(system.path.with_name(".feedback.jsonl.lock")), thread_local=False):
        with pytest.raises(StorageError, match="em uso por outro processo"):
            system.add_feedback(**RATED)
        assert len(system.get_all_feedback()) == 1  # ler não espera


def test_a_folder_that_refuses_the_lock_says_what_to_do(tmp_path):
    (tmp_path / "arquivo").write_text("")
    with pytest.raises(StorageError, match="Não foi possível gravar"):
        FeedbackSystem(path=tmp_path / "arquivo" / "f.jsonl").add_feedback(**RATED)


# --- O arquivo-morto -----------------------------------------------------------------------------


def test_used_ratings_go_to_the_archive_with_what_they_replaced(system):
    old = system.add_feedback("p", "r", 1)
    used = system.add_feedback("p", "r", 2, replaces=old, correction="melhor")
    undone, waiting = system.add_feedback("q", "r", 3), system.add_feedback("w", "r", 4)
    system.retract(undone)
    system.mark_processed([used, "apagada no meio do treino"], model="Luna", version="v2")
    assert ids(system.pending()) == [waiting] and len(system.get_all_feedback()) == 2
    assert system.clear_processed_feedback() == 1 and system.clear_processed_feedback() == 0
    assert ids(system.get_all_feedback()) == [waiting] and ids(system.archived()) == [used]
    assert ids(system.corrections()) == [used] and system.stats()["archived"] == 1
    archive = [json.loads(line) for line in system.archive_path.read_text().splitlines()]
    assert ids(archive[:2]) == [old, used]
    assert (archive[2]["targets"], archive[2]["version"]) == ([used], "v2")
    system.retract(used)  # também depois de arquivada
    assert ids(system.archived()) == [old] and system.corrections() == []


def test_a_replacement_of_an_archived_rating_waits_for_the_next_refinement(system):
    first = system.add_feedback("p", "r", 1)
    system.mark_processed([first])
    system.clear_processed_feedback()
    second = system.add_feedback("p", "r", 5, replaces=first)
    assert ids(system.pending()) == [second] and system.archived() == []
    system.retract(second)
    assert ids(system.archived()) == [first] and system.pending() == []


def test_marking_unknown_ids_writes_nothing(system):
    system.mark_processed(["x"])
    assert not system.path.exists()


class Killed(BaseException):
    """No lugar da morte do processo: nada a trata, e o que já está no disco fica."""


def test_a_crash_between_archive_and_rewrite_loses_and_repeats_nothing(system, monkeypatch):
    names = [system.add_feedback(str(n), "r", 5) for n in range(4)]
    system.mark_processed(names[:3])

    def killed(store, target, lines):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(FeedbackStore, "rewrite", killed)
        with pytest.raises(Killed):
            system.clear_processed_feedback()
    assert ids(system.get_all_feedback()) == names and system.archived() == []
    assert system.stats()["total"] == 4 and ids(system.pending()) == names[3:]
    assert system.clear_processed_feedback() == 3
    assert (
        ids(system.archived()) == names[:3] and system.archive_path.read_bytes().count(b"\n") == 4
    )


def test_an_archive_torn_by_a_crash_receives_what_was_missing(system):
    names = [system.add_feedback("ação", "r", 5) for _ in range(2)]
    system.mark_processed(names)
    before = system.path.read_bytes()
    system.clear_processed_feedback()
    archive = system.archive_path.read_bytes()
    for size in range(0, len(archive), 29):
        system.path.write_bytes(before)
        system.archive_path.write_bytes(archive[:size])
        assert reopened(system).stats()["total"] == 2
        assert system.clear_processed_feedback() == 2
        assert ids(system.archived()) == names


@pytest.mark.parametrize("step", ["replace", "fsync"])
def test_a_refused_rewrite_keeps_the_old_file(system, monkeypatch, step):
    system.add_feedback(**RATED)
    before = system.path.read_bytes()

    def refused(*arguments):
        raise OSError(errno.ENOSPC, "sem espaço")

    with monkeypatch.context() as patch:
        patch.setattr(os, step, refused)
        with pytest.raises(StorageError):
            system.purge(text="horas")
    assert system.path.read_bytes() == before and files(system.path.parent) == {"feedback.jsonl"}


# --- Apagar de vez -------------------------------------------------------------------------------


def test_purge_leaves_no_trace_of_the_text_in_any_file(system, tmp_path):
    lower, plain = SECRET.lower(), "avenida sao joao, 1234"
    kept = system.add_feedback("inocente", "r", 5)
    first = system.add_feedback(f"Moro na {SECRET}", "ok", 5)
    system.add_feedback("p", "r", 4, correction=lower, replaces=first)
    undone = system.add_feedback("p", f"É na {plain.upper()}", 1)
    system.retract(undone)
    used = system.add_feedback("p", "r", 3, history=[{"role": "user", "content": lower}])
    system.mark_processed([used, kept])
    archived = system.add_feedback("x", lower, 2)
    system.mark_processed([archived])
    with system.path.open("ab") as stream:  # linhas danificadas: inteira, com escapes e cortada
        stream.write(f'{{"prompt": "{SECRET}\n'.encode())
        stream.write(json.dumps({"prompt": [SECRET]}).encode() + b"\n")
        stream.write(json.dumps({"type": "novidade", "texto": SECRET}).encode() + b"\n")
    system.clear_processed_feedback()
    system.add_feedback("p", "r", 3, sources=[f"{SECRET}.pdf"])
    system.add_feedback("p", "r", 3, apelido=SECRET)
    (tmp_path / ".tmp-feedback.jsonl").write_text(SECRET)  # de uma gravação que caiu
    with system.path.open("ab") as stream:
        stream.write(b'{"x": "avenida s\\u00c3o joao, 1234 e ma')

    expected = 7 + 4  # avaliações (a trocada vai com a que a trocou) e linhas que não se entendem
    assert system.purge_count(text=plain) == expected
    assert system.purge(text=" Avenida   SAO joão, 1234") == expected
    for path in tmp_path.iterdir():
        text = path.read_bytes().decode("utf-8")
        assert "1234" not in text and "venida" not in text, path.name
    assert ids(system.archived()) == [kept] and system.get_all_feedback() == []
    assert files(tmp_path) == {"feedback.jsonl", "feedback.archive.jsonl"}
    (event,) = [line for line in map(json.loads, system.archive_path.open()) if "targets" in line]
    assert event["targets"] == [kept]


def test_purge_by_id_takes_all_versions_and_their_events(system):
    first = system.add_feedback("p", "r", 1)
    second = system.add_feedback("p", "r", 2, replaces=first)
    other = system.add_feedback("q", "r", 3)
    system.retract(second)
    system.mark_processed([first, other])
    assert system.purge(id=second) == 2 and system.purge(id=second) == 0
    text = system.path.read_text()
    assert first not in text and second not in text and ids(system.get_all_feedback()) == [other]


def test_purge_by_session_takes_only_that_conversation(system):
    for session in ("s1", "s1", "s10", None):
        system.add_feedback("p", "r", 3, session=session)
    with system.path.open("ab") as stream:
        stream.write(b'{"session": "s1", "prompt": "cort\n{"session": "s10", "prompt": "cort\n')
    assert system.purge(session="s1") == 3
    assert [record.get("session") for record in system.get_all_feedback()] == ["s10", None]
    assert system.stats()["damaged"] == 1  # a outra linha danificada foi guardada à parte


@pytest.mark.parametrize(
    "criteria", [{}, {"id": "a", "text": "b"}, {"text": "  "}, {"text": "\u0301"}, {"id": 3}]
)
def test_purge_asks_for_exactly_one_criterion(system, criteria):
    system.add_feedback(**RATED)
    with pytest.raises(UsageError, match="purge"):
        system.purge(**criteria)
    assert len(system.get_all_feedback()) == 1


def test_purge_keeps_the_permissions_and_follows_a_link(tmp_path):
    real = tmp_path / "dados" / "f.jsonl"
    FeedbackSystem(path=real).add_feedback(**RATED)
    real.chmod(0o640)
    link = tmp_path / "feedback.jsonl"
    link.symlink_to(real)
    system = FeedbackSystem(path=link)
    system.add_feedback("outra", "r", 1)
    assert system.purge(text="horas") == 1 and link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640 and real.read_bytes().count(b"\n") == 1


# --- Os números ----------------------------------------------------------------------------------


def test_stats_count_what_is_active(system):
    system.add_feedback("a", "b", 5, NOON, persona="casual", model="A", model_version="v1", tom=4)
    system.add_feedback("a", "b", 2, NOON + timedelta(days=2), persona="casual", tom=1, nps=10)
    system.add_feedback("a", "b", None, NOON + timedelta(days=1), correction="c", nps=3, model="B")
    system.retract(system.add_feedback("a", "b", 1))
    stats = json.loads(json.dumps(system.stats()))
    assert (stats["total"], stats["pending"], stats["archived"], stats["damaged"]) == (3, 3, 0, 0)
    assert stats["rating"]["mean"] == 3.5 and stats["rating"]["count"] == 2
    assert stats["rating"]["distribution"] == {"1": 0, "2": 1, "3": 0, "4": 0, "5": 1}
    assert stats["aspects"]["tom"] == {"mean": 2.5, "count": 2}
    assert stats["aspects"]["precisao"] == {"mean": None, "count": 0}
    assert stats["nps"] == {"score": 0.0, "count": 2} and stats["corrections"] == 1
    assert stats["by_persona"]["casual"] == {"total": 2, "mean": 3.5}
    assert set(stats["by_model"]) == {"A", "B", ""} and set(stats["by_version"]) == {"v1", ""}
    first, last = NOON, NOON + timedelta(days=2)
    assert (stats["first"], stats["last"]) == (first.isoformat(), last.isoformat())
    assert system.stats(model="A")["total"] == 2  # a de A e a que não diz de qual é


def test_stats_of_nothing_are_empty(system):
    stats = system.stats()
    assert stats["total"] == 0 and stats["rating"]["mean"] is None and stats["first"] is None


def test_every_error_is_one_of_ours(system):
    for call in (lambda: system.retract("x"), lambda: system.purge(), lambda: system.find("x")):
        with pytest.raises(LunaError):
            call()
