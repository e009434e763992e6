"""O histórico das medidas: nada se perde, e só se compara o que é comparável."""

import json
import multiprocessing

import pytest

from src.evaluation import history
from src.utils.errors import StorageError

MACHINE = {"processor": "P", "threads": 2}


def row(size=32, ratio=1.0, spread=0.05, peer=100.0, repeats=25):
    return {
        "seq_len": size,
        "repeats": repeats,
        "median_ms": ratio * peer,
        "low_ms": 0.9 * ratio * peer,
        "high_ms": 1.1 * ratio * peer,
        "first_token_ms": 1.0,
        "per_token_ms": 1.0,
        "peer_median_ms": peer,
        "ratio": ratio,
        "ratio_low": ratio - spread,
        "ratio_high": ratio + spread,
    }


def record(*rows, **fields):
    values = {"model": {"name": "m"}, "device": "cpu", "new_tokens": 20, "machine": MACHINE}
    return history.new_record("inference_speed", list(rows or [row()]), **(values | fields))


def test_what_is_appended_is_read_back_in_order(tmp_path):
    path = tmp_path / "logs" / "benchmarks.jsonl"
    records = [record(row(ratio=1 + i / 10)) for i in range(3)]
    for item in records:
        history.append(path, item)
    assert history.read(path) == records
    assert history.read(tmp_path / "nada.jsonl") == []


def test_a_line_torn_by_a_crash_costs_only_itself(tmp_path, caplog):
    path = tmp_path / "b.jsonl"
    history.append(path, record())
    torn = path.read_bytes()[:-40]
    path.write_bytes(torn)
    history.append(path, record(row(ratio=2.0)))
    assert path.read_bytes().startswith(torn)
    (kept,) = history.read(path)
    assert kept["rows"][0]["ratio"] == 2.0
    assert f"{path}:1" in caplog.text


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"3",
        b'{"version": 99}',
        b"\xff\xfe",
        json.dumps(record(row()) | {"rows": [{"ratio": 1}]}).encode(),
        json.dumps(record(row()) | {"rows": "x"}).encode(),
        json.dumps(record(row()) | {"date": None}).encode(),
        json.dumps(record(row()) | {"machine": 3}).encode(),
        json.dumps(record(row() | {"peer_median_ms": 0})).encode(),
    ],
)
def test_lines_of_another_kind_are_skipped(tmp_path, line):
    path = tmp_path / "b.jsonl"
    path.write_bytes(line + b"\n")
    history.append(path, record())
    assert len(history.read(path)) == 1


def _append_many(path, worker):
    for index in range(20):
        history.append(path, record(row(size=worker * 100 + index + 1)))


def test_processes_that_append_together_lose_nothing(tmp_path):
    path = tmp_path / "b.jsonl"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_append_many, args=(path, n)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    sizes = {item["rows"][0]["seq_len"] for item in history.read(path)}
    assert sizes == {n * 100 + i + 1 for n in range(3) for i in range(20)}


def test_a_refused_disk_is_told(tmp_path):
    (tmp_path / "logs").write_text("não é uma pasta")
    with pytest.raises(StorageError, match="benchmarks.jsonl"):
        history.append(tmp_path / "logs" / "benchmarks.jsonl", record())
    (tmp_path / "b.jsonl").mkdir()
    with pytest.raises(StorageError, match="b.jsonl"):
        history.read(tmp_path / "b.jsonl")


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"name": "outro"}},
        {"device": "cuda"},
        {"new_tokens": 5},
        {"machine": MACHINE | {"threads": 1}},
        {"machine": MACHINE | {"processor": "Q"}},
        {"machine": MACHINE | {"gpu": "H"}},
        {"benchmark": "outro"},
    ],
)
def test_only_the_same_thing_on_the_same_machine_is_compared(change):
    current = record()
    others = [record() | change, record(commit="outro"), record(row(ratio=3.0))]
    assert history.series(others, current) == others[1:]


# ---------------------------------------------------------------------- comparação


def test_spreads_that_touch_are_the_same_speed():
    found = history.compare([record(row(ratio=1.0))], record(row(ratio=1.09)))
    assert found["rows"][0]["verdict"] == "igual"
    assert found["rows"][0]["change"] == pytest.approx(0.09)


@pytest.mark.parametrize(("ratio", "verdict"), [(0.8, "mais rápido"), (1.2, "mais lento")])
def test_spreads_apart_name_the_change(ratio, verdict):
    found = history.compare([record(row(ratio=1.0))], record(row(ratio=ratio)))
    assert found["rows"][0]["verdict"] == verdict


def test_each_length_is_compared_to_the_last_run_that_has_it():
    runs = [
        record(row(32, 1.0), row(64, 1.0), date="primeira"),
        record(row(32, 2.0), row(64, 2.0), date="segunda"),
        record(row(32, 3.0), date="rápida"),
    ]
    found = history.compare(runs, record(row(32, 3.0), row(64, 2.0)))
    assert [item["previous"] for item in found["rows"]] == [3.0, 2.0]
    assert all(item["verdict"] == "igual" for item in found["rows"])
    assert found["previous_date"] == "rápida"


def test_few_rounds_name_no_change():
    found = history.compare([record(row(ratio=1.0, repeats=3))], record(row(ratio=2.0)))
    assert found["rows"][0]["verdict"] == "poucas rodadas"


def test_a_slower_machine_is_not_a_slower_model():
    """Tudo levou o dobro, o par também: a razão não mudou, e é isso que se diz."""
    found = history.compare([record(row(peer=100.0))], record(row(peer=200.0)))
    assert found["machine"] == 2.0 and found["rows"][0]["verdict"] == "igual"


def test_lengths_that_only_one_run_has_are_left_out():
    found = history.compare([record(row(32))], record(row(32), row(64)))
    assert [item["seq_len"] for item in found["rows"]] == [32]
    empty = history.compare([record(row(32))], record(row(64)))
    assert empty["rows"] == [] and empty["machine"] is None
