"""As páginas: um arquivo só, que abre sem rede, e nenhum texto de fora vira marcação."""

import re
from html.parser import HTMLParser

import pytest

from src.evaluation import display, report
from src.evaluation.evaluate import Evaluation
from src.evaluation.intervals import Estimate
from tests.test_history import record, row

EVIL = '<script>alert("x")</script> & "aspas"'
LATENCY = {"p50": 1.0, "p95": 2.0}
INTERVAL = {"value": 2.0, "low": 1.9, "high": 2.1}


def sample(question, **changes):
    """Uma pergunta respondida, como ``as_json`` a dá."""
    values = {"references": [], "expected": [], "refused": [], "persona": None, "history": []}
    values |= {"answer": "", "contains": None, "acceptable": None}
    return values | {"question": question} | changes


def measured(name, **changes):
    """Um resultado de avaliação, como ``evaluate`` o dá."""
    likelihood = {"bits_per_byte": 2.0, "perplexity": 9.0, "tokens": 10, "bytes": 40}
    values = {
        "model": name,
        "parameters": 1234567,
        **likelihood,
        "likelihood": {
            name: likelihood | {"interval": INTERVAL, "units": 3}
            for name in ("all", "texts", "questions")
        },
        "protocol": {"window": 64, "stride": 32},
        "tokenizer": {"vocab_size": 400, "tokens_per_word": 1.5, "bytes_per_token": 3.0},
        "answers": {
            "count": 1,
            **{name: INTERVAL for name in ("bleu", "chrf", "rouge1", "rouge2", "rougeL")},
            "repetition": INTERVAL,
            "distinct_1": 0.5,
            "distinct_2": 0.7,
            "words": 4.0,
            "empty": 0,
        },
        "questions": {
            "count": 1,
            "f1": INTERVAL | {"count": 1},
            "acceptable": {"value": 0.5, "low": None, "high": None, "count": 1},
            "repetition": None,
            "distinct_1": 0.5,
            "distinct_2": 0.7,
            "words": 4.0,
            "empty": 0,
        },
        "latency": {
            "first_token_ms": LATENCY,
            "per_token_ms": LATENCY,
            "prompts": 5,
            "prompt_tokens": 9.0,
            "new_tokens": 32,
        },
        "memory": {"peak_gb": 0.5, "model_gb": 0.1, "libraries_gb": 0.4, "vram_gb": None},
        "samples": {
            "questions": [
                sample(EVIL, references=[EVIL], answer=EVIL, contains=1.0),
                sample("b", expected=["t"], refused=["r"], acceptable=0.0, persona="formal"),
            ],
            "answers": [
                sample("c", references=["d"], history=[{"role": "user", "content": "antes"}])
            ],
        },
    }
    return values | changes


def evaluation(compare=False, **changes):
    result = measured("Modelo " + EVIL, **changes)
    result |= {"date": "hoje", "data": [EVIL], "machine_line": "máquina", "warnings": [EVIL]}
    units = [[1.0, 2.0, 3.0]]
    if compare:
        result["compare"] = measured("Outro")
        result["differences"] = [
            {"metric": "bits_per_byte.all", "value": -0.1, "low": -0.2, "high": -0.05}
            | {"units": 30, "winner": 1},
            {"metric": "answers.bleu", "value": 0.1, "low": None, "high": None}
            | {"units": 30, "winner": None},
        ]
        units.append([1.5, 2.5, 3.5])
    return Evaluation(result, units)


class Page(HTMLParser):
    """As marcas abertas e o texto de uma página."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.links, self.text = [], [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "href", "xlink:href") and v]

    def handle_data(self, data):
        self.text += data


PAGES = {
    "one": lambda: report.evaluation_page(evaluation()),
    "two": lambda: report.evaluation_page(evaluation(compare=True)),
    "bare": lambda: report.evaluation_page(
        Evaluation(
            evaluation(answers=None, questions=None, memory=None, likelihood={}).result
            | {"bits_per_byte": None, "samples": {"questions": [], "answers": []}},
            [[]],
        )
    ),
    "first": lambda: report.benchmarks_page([benchmark_record()]),
    "many": lambda: report.benchmarks_page([benchmark_record() for _ in range(70)]),
}


def benchmark_record():
    return record(row(32), row(64, ratio=0.9), model={"name": EVIL}, machine_line="máquina")


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_whole_self_contained_and_escaped(name):
    html = PAGES[name]()
    page = Page(html)
    assert html.startswith("<!DOCTYPE html>") and html.rstrip().endswith("</html>")
    assert "script" not in page.tags and "link" not in page.tags and "img" not in page.tags
    assert all(link.startswith("#") for link in page.links)
    loads = re.findall(
        r"url\((?!#)|@import|https?://(?!www\.w3\.org|purl\.org|creativecommons)", html
    )
    assert loads == []
    assert EVIL in page.text or name == "bare"


def test_charts_are_in_the_page():
    assert PAGES["one"]().count("<svg") == 4  # por grupo, por trecho, conversas e perguntas
    assert PAGES["two"]().count("<svg") == 5  # e o de um modelo diante do outro
    assert PAGES["bare"]().count("<svg") == 0
    assert PAGES["first"]().count("<svg") == 1
    assert PAGES["many"]().count("<svg") == 2
    assert "60 de 70 medições" in PAGES["many"]()


def test_comparison_names_a_winner_only_where_there_is_one():
    text = Page(PAGES["two"]()).text
    assert "bits por byte, tudo ↓" in text and "-0,100 (-0,200 a -0,050)" in text
    assert "BLEU, conversas ↑" in text and "empate" in text


def test_the_same_result_gives_the_same_page():
    assert PAGES["two"]() == PAGES["two"]()


def test_answers_are_marked_and_carry_what_came_before():
    text = Page(PAGES["one"]()).text
    assert "✓ " + EVIL in text and "✗ (vazia)" in text
    assert "recusado: r" in text and "[formal]" in text and "antes" in text
    assert "2 de 2." in text and "1 de 1." in text


def test_only_the_first_answers_are_shown_and_it_is_said():
    many = evaluation(samples={"questions": [sample("p")] * 50, "answers": []})
    assert "40 de 50; todas em --json" in Page(report.evaluation_page(many)).text


def test_values_are_written_in_portuguese():
    assert display.with_interval({"value": 1.5, "low": 1.25, "high": 2.0}, 1, 2) == (
        "1,50 (1,25 a 2,00)"
    )
    assert display.MEASURES["rougeL"].text({"value": 0.015, "low": None, "high": None}) == "1,5"
    assert display.with_interval(None) == "-" and display.number_text(None) == "-"
    assert display.metric_label("answers.rougeL") == "ROUGE-L, conversas ↑"
    assert display.metric_label("bits_per_byte.texts") == "bits por byte, textos ↓"
    assert display.date_text("2026-11-26T22:10:05+0000") == "26/11/2026 22:10"
    assert display.date_text("hoje") == "hoje"
    assert display.perplexity_text(29396.31) == "29.396" and display.perplexity_text(9) == "9,00"


def test_with_a_single_group_the_total_is_not_repeated():
    assert display.shown_groups({"all": 1, "texts": 1}) == {"texts": "textos"}
    assert list(display.shown_groups({"all": 1, "texts": 1, "questions": 1})) == [
        "all",
        "texts",
        "questions",
    ]


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.18), (0.97, 1.2), (0.0, 25.0), (1.0, 1.0)])
def test_axis_numbers_are_exact(low, high):
    from src.evaluation import plots

    values = {"a": Estimate(low, low, high), "b": Estimate(high, low, high)}
    texts = re.findall(r">(-?[\d,]+)</text>", plots.bars({"m": values}, "x"))
    steps = [float(text.replace(",", ".")) for text in texts]
    gaps = {round(b - a, 6) for a, b in zip(steps, steps[1:])}
    assert len(steps) > 2 and len(gaps) == 1


def test_page_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "r.html"
    path.write_text("antes", "utf-8")
    monkeypatch.setattr(report, "evaluation_page", lambda _: (_ for _ in ()).throw(RuntimeError))
    with pytest.raises(RuntimeError):
        report.write_evaluation(path, evaluation())
    assert path.read_text("utf-8") == "antes" and len(list(tmp_path.iterdir())) == 1
