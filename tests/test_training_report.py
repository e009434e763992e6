"""O relatório do treino: só o último treino, com o que houver, e nenhum texto vira marcação."""

import json
import re
import time
from html.parser import HTMLParser

import numpy as np
import pytest

from src.evaluation import plots
from src.training import report, report_charts, run_log
from src.training.run_log import RunLog, last_run, read_run, run_samples

EVIL = '<script>alert("x")</script> & "aspas"'
T0 = 1_700_000_000.0


def row(step, **values):
    return {"step": step, "time": T0 + step, "loss": 3.0} | values


def likelihood(bits):
    return {"loss": 1.0, "perplexity": 3.0, "bits_per_byte": bits, "tokens": 9, "bytes": 30}


def write(folder, rows=(), samples=(), summary=None, manifest=None):
    """Uma pasta de modelo com o que um treino deixa; devolve-a."""
    training = folder / "training"
    training.mkdir(parents=True, exist_ok=True)
    for name, records in (("metrics", rows), ("samples", samples)):
        lines = [r if isinstance(r, str) else json.dumps(r) for r in records]
        (training / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    for name, value in (("summary", summary), ("manifest", manifest)):
        if value is not None:
            (training / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    return folder


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(seconds))


def full_run(folder):
    rows = [{"event": "start", "step": 0, "time": T0, "run": "a", "max_steps": 40}]
    for step in range(1, 41):
        stage = "curtos" if step <= 20 else "longos"
        load = [[0.2, 0.8], [0.5, 0.3, 0.2]]
        values = {"stage": stage, "learning_rate": 2e-4, "tokens_per_second": 900.0 + step}
        rows.append(row(step, loss=9 - step / 10, expert_load=load, **values))
    rows.append({"step": 40, "time": T0 + 40, "eval_bits_per_byte": 1.75, "eval_loss": 2.5})
    rows.append({"event": "growth", "step": 30, "time": T0 + 41, "layers": 1})
    samples = [
        {"step": step, "time": T0 + step, "prompt": "Oi?", "answer": f"resposta {step}"}
        for step in (20, 40)
    ]
    summary = {"steps": 40, "tokens": 81920, "seconds": 372.0, "trust": "confie pouco"}
    summary |= {"before": likelihood(3.91), "after": likelihood(1.75), "interrupted": False}
    manifest = {"date": stamp(T0 + 50), "seed": 42, "texts": 7, "files": [{"file": "/a/b.txt"}]}
    return write(folder, rows, samples, summary, manifest)


class Text(HTMLParser):
    """As marcas e o texto de uma página."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(page)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)


def page_of(folder):
    path, image = report.write_training_report(folder)
    assert image.read_bytes().startswith(b"\x89PNG")
    return path.read_text(encoding="utf-8")


# ---------------------------------------------------------------------- que linhas valem


def steps(records):
    return [record["step"] for record in records]


def test_only_the_last_started_run_counts():
    start = {"event": "start", "step": 0, "run": "b"}
    found, kept = last_run([row(1), {"event": "start", "step": 0}, row(2), start, row(1), row(2)])
    assert found is start and steps(kept) == [1, 2]


def test_a_resume_drops_the_steps_that_are_done_again_and_keeps_the_one_resumed_from():
    resume = {"event": "resume", "step": 20}
    first = [row(10, loss=1), row(20, loss=2), row(30, loss=3), {"event": "oom", "step": 25}]
    _, kept = last_run([*first, resume, row(30, loss=4)])
    assert [r.get("loss", r.get("event")) for r in kept] == [1, 2, "resume", 4]


def test_every_resume_stays_in_the_page_even_if_a_later_one_goes_further_back():
    _, kept = last_run([row(30), {"event": "resume", "step": 20}, {"event": "resume", "step": 10}])
    assert [r["event"] for r in kept] == ["resume", "resume"]


def test_a_step_that_goes_back_without_a_resume_line_replaces_what_it_repeats():
    _, kept = last_run([row(10), row(20, loss=1), row(30), row(20, loss=2), row(30)])
    assert steps(kept) == [10, 20, 30] and kept[1]["loss"] == 2


def test_an_event_of_an_earlier_step_drops_nothing():
    _, kept = last_run([row(10), row(20), {"event": "skipped", "step": 15}])
    assert steps(kept) == [10, 20, 15]


def test_training_and_validation_rows_of_the_same_step_both_stay():
    _, kept = last_run([row(10), {"step": 10, "eval_loss": 1.0}])
    assert len(kept) == 2


def test_samples_of_earlier_runs_and_of_steps_done_again_are_left_out():
    def sample(step, when, answer):
        return {"step": step, "time": when, "prompt": "p", "answer": answer}

    samples = [sample(5, 50, "antigo"), sample(5, 101, "a"), sample(9, 102, "refeito")]
    samples += [sample(9, 201, "b"), sample(5, 202, "c")]
    resume = {"event": "resume", "step": 6, "time": 200}
    kept = run_samples(samples, {"event": "start", "time": 100}, [resume])
    assert [s["answer"] for s in kept] == ["c", "b"]


def test_damaged_lines_are_skipped_and_counted(tmp_path):
    bad = ['{"step": 2, "lo', "[1]", "null", '{"loss": 1.0}', '{"step": NaN}', "", "\x00\x01"]
    folder = write(tmp_path / "m", [row(1), *bad, row(3)], ['{"step": 1, "prompt": "p"}'])
    (folder / "training" / "summary.json").write_text("{", encoding="utf-8")
    log = read_run(folder)
    assert steps(log.rows) == [1, 3] and log.damaged == 8 and log.samples == []
    assert "8 linhas ou arquivos danificados" in Text(page_of(folder)).text


def test_values_that_are_not_finite_numbers_are_not_points():
    rows = [row(1, loss=float("nan")), row(2, loss="3"), row(3, loss=True), row(4, loss=2)]
    assert RunLog(rows=rows).series("loss") == [(4.0, 2.0)]


def test_the_summary_of_an_earlier_run_is_not_shown_in_a_run_that_did_not_finish(tmp_path):
    folder = full_run(tmp_path / "m")
    assert read_run(folder).summary["steps"] == 40
    with open(folder / "training" / "metrics.jsonl", "a", encoding="utf-8") as stream:
        stream.write("\n" + json.dumps({"event": "start", "step": 0, "time": T0 + 500}))
    assert read_run(folder).summary == {} == read_run(folder).manifest
    text = Text(page_of(folder)).text
    assert "ainda não terminou" in text and "confie pouco" not in text


# ---------------------------------------------------------------------- a página


def test_the_page_of_a_full_run_shows_every_part(tmp_path):
    page = page_of(full_run(tmp_path / "Luna"))
    text = Text(page).text
    for part in ("Treino de Luna", "A perda", "Bits por byte", "A taxa de aprendizado"):
        assert part in text
    for part in ("A velocidade", "bloco MoE 2", "especialista 3", "resposta 20", "resposta 40"):
        assert part in text
    for part in ("81.920", "6 min 12 s", "3,910 → 1,750", "confie pouco", "layers: 1", "b.txt"):
        assert part in text
    assert "× 10⁻⁴" in text and "ainda não terminou" not in text
    assert page.count("<svg") == 5


def test_the_page_needs_no_network_and_runs_no_script(tmp_path):
    tags = Text(page_of(full_run(tmp_path / "m"))).tags
    assert not [tag for tag, _ in tags if tag in ("script", "link", "iframe", "img", "object")]
    outside = [
        v for _, attrs in tags for k, v in attrs.items() if k.split(":")[-1] in ("href", "src")
    ]
    assert all(value.startswith("#") for value in outside)
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in tags


def test_no_text_from_outside_becomes_markup(tmp_path):
    rows = [row(1, stage=EVIL), {"event": EVIL, "step": 1, EVIL: EVIL}]
    samples = [{"step": 1, "time": T0, "prompt": EVIL, "answer": EVIL}]
    summary = {"steps": 1, "trust": EVIL}
    manifest = {"seed": EVIL, "files": [{"file": EVIL}], "versions": {EVIL: EVIL}}
    page = page_of(write(tmp_path / "m", rows, samples, summary, manifest))
    assert "<script" not in page and page.count("&lt;script&gt;") >= 8
    log = RunLog(rows=[row(1)])
    assert "<script" not in report.training_page(log, EVIL)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [row(1)],
        [{"event": "start", "step": 0, "time": T0}],
        [{"step": 1}],
        [{"step": 1, "eval_bits_per_byte": 2.0}],
        [row(1, expert_load=[[1.0]]), row(2, expert_load="x"), row(3, expert_load=[["a"], []])],
        [{"step": 5, "expert_load": [[0.5, 0.5]]}],
        [{"step": 1, "time": 1e300, "learning_rate": 0.0}],
    ],
)
def test_a_page_comes_out_of_few_or_no_measures(tmp_path, rows):
    text = Text(page_of(write(tmp_path / "m", rows))).text
    assert "Treino de m" in text and "None" not in text and "nan" not in text


def test_without_any_file_the_page_says_there_is_nothing_yet(tmp_path):
    assert "Ainda não há medidas" in Text(page_of(tmp_path / "m")).text


def test_without_validation_the_page_says_how_to_have_it(tmp_path):
    text = Text(page_of(write(tmp_path / "m", [row(1), row(2)]))).text
    assert "--valid_data" in text and "última perda" in text


@pytest.mark.parametrize("name", ["summary", "manifest"])
@pytest.mark.parametrize("value", [{"before": 3, "after": "x", "files": 1, "date": 5}, [], "x"])
def test_unexpected_values_in_the_json_files_break_nothing(tmp_path, name, value):
    page_of(write(tmp_path / "m", [row(1)], **{name: value}))


def test_stage_rows_tell_the_steps_the_loss_and_the_bits_of_each():
    rows = [
        row(10, stage="a", loss=5.0),
        row(20, loss=4.0, stage="a"),
        {"step": 20, "time": T0 + 21},
    ]
    rows[-1]["eval_bits_per_byte"] = 2.0
    rows += [row(30, stage="b", loss=3.0, tokens_per_second=1000.0), row(40, stage="a")]
    assert report.stage_rows(RunLog(rows=rows)) == [
        ["a", "1 a 20", "5,000 → 4,000", "2,000", "-", "11 s"],
        ["b", "21 a 30", "3,000 → 3,000", "-", "1.000", "-"],
        ["a", "31 a 40", "3,000 → 3,000", "-", "-", "-"],
    ]
    assert report.stage_rows(RunLog(rows=[row(1)])) == []


def test_the_bits_measured_before_and_after_close_the_curve():
    rows = [row(5, eval_bits_per_byte=3.0), row(9)]
    summary = {"before": likelihood(4.0), "after": likelihood(2.0)}
    points = report_charts.bits_per_byte(RunLog(rows=rows, summary=summary))
    assert points == [(0.0, 4.0), (5.0, 3.0), (9.0, 2.0)]


def test_expert_panels_keep_the_shape_of_the_last_measure_and_sum_one():
    loads = [[[0.5, 0.5]], [[0.5, 0.25, 0.24]], [[0.2, 0.2, 0.6], [1.0, 0.0]]]
    rows = [row(step, expert_load=load) for step, load in enumerate(loads)]
    panels = report_charts.expert_panels(RunLog(rows=rows))
    assert [step for step, _ in panels["bloco MoE 1"]] == [1, 2]
    assert panels["bloco MoE 2"] == [(2.0, [1.0, 0.0])]
    assert all(abs(sum(parts) - 1) < 1e-9 for points in panels.values() for _, parts in points)


def test_long_answers_many_answers_and_many_events_are_cut():
    samples = [
        {"step": step, "time": T0, "prompt": "p", "answer": "a" * 9999} for step in range(1, 100)
    ]
    events = [{"event": "skipped", "step": step} for step in range(100)]
    page = report.training_page(RunLog(samples=samples, events=events), "m")
    assert page.count("passo pulado: ") == report.SHOWN_EVENTS and "de 100 acontecimentos" in page
    answers = re.findall("a{50,}…", page)
    assert len(answers) == report.SHOWN_ANSWERS
    assert all(len(answer) == report.MAX_TEXT + 1 for answer in answers)


@pytest.mark.parametrize(
    "seconds, text",
    [(44.6, "45 s"), (372, "6 min 12 s"), (7500, "2 h 05 min"), (59.7, "1 min 00 s")],
)
def test_durations_are_written_as_people_say_them(seconds, text):
    assert report.duration(seconds) == text


# ---------------------------------------------------------------------- curvas


def test_thinning_keeps_the_mean_and_the_limit():
    points = [(float(i), float(i % 7)) for i in range(1001)]
    small = plots.thinned(points, 100)
    assert len(small) <= 100 and small[0][0] == np.mean(range(11))
    assert (plots.thinned(points, 2000) == np.asarray(points)).all()


def test_the_moving_mean_is_centred_and_does_not_bend_the_ends():
    line = np.arange(50.0)
    assert np.allclose(plots.moving_mean(line, 9), line)
    assert np.allclose(plots.moving_mean(np.array([0.0, 3.0, 0.0, 3.0]), 3), [0, 1, 2, 3])


def test_a_number_is_finite_and_not_a_boolean():
    values = [1, 1.5, True, None, "1", float("inf"), float("nan"), [1]]
    assert [run_log.number(value) for value in values] == [1.0, 1.5] + [None] * 6
