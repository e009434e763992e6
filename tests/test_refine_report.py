"""O relatório do refinamento: diz o que se decidiu, aguenta o que falta e nada vira marcação."""

import json
from copy import deepcopy
from html.parser import HTMLParser

import pytest

from src.evaluation import plots
from src.evaluation.intervals import Estimate
from src.training import refine_report
from src.training.refine_figures import gate_view
from src.training.refine_report import refine_page, write_refine_report
from src.utils.errors import StorageError

EVIL = '<script>alert("x")</script> & "aspas"'


def measure(value, low=None, high=None):
    return {"value": value, "low": low, "high": high}


GATE = {
    "preference": {
        "before": measure(0.5, 0.5, 0.5),
        "after": measure(0.71, 0.62, 0.79),
        "difference": measure(0.21, 0.12, 0.29),
        "margin": measure(3.4, 2.1, 4.8),
        "items": 38,
        "folds": 4,
    },
    "corrections": {"before": measure(0.2, 0, 0.5), "after": measure(0.6, 0.3, 0.9), "items": 5},
    "text": {
        "before": 2.105,
        "after": 2.113,
        "change": measure(0.004, -0.001, 0.009),
        "limit": 0.01,
        "source": "data/valid",
        "bytes": 183211,
    },
    "scale": 0.7,
}
USED = [
    {"prompt": "p1", "response": "r1", "correction": "c1", "kind": "paired", "weight": 1.0},
    {"prompt": "p2", "response": "r2", "correction": None, "kind": "desirable", "weight": 0.5},
    {"prompt": "p3", "response": "r3", "correction": None, "kind": "undesirable", "weight": 0.25},
]
RESULT = {
    "schema": 1,
    "id": "20261128-031500",
    "model": "LunaDemo",
    "created": "2026-11-28T03:15:00+00:00",
    "seconds": 192.4,
    "dry_run": False,
    "kept": True,
    "version": "v2",
    "parent": "v1",
    "reason": "O gosto melhorou sem estragar o resto.",
    "advice": ["Continue avaliando."],
    "feedback": {
        "ratings": 43,
        "paired": 6,
        "desirable": 20,
        "undesirable": 1,
        "notes": ["3 contraditórias ficaram de fora."],
        "ids": ["a"],
        "used": [item | {"persona": "formal"} for item in USED],
    },
    "learned": {
        "accuracy": measure(0.78, 0.66, 0.88),
        "lines": [
            {"text": "exclamações", "weight": -0.2},
            {"text": "respostas mais curtas", "weight": 0.4},
        ],
    },
    "gate": GATE,
    "examples": [
        {"prompt": "Oi?", "persona": "casual", "before": "Olá, senhora.", "after": "Oi!"},
        {"prompt": "Tchau?", "persona": None, "before": "Até!", "after": "Até!"},
    ],
    "settings": {"beta": 0.3, "rank": 8, "tokens": 120000, "device": "cpu", "nothing": None},
    "timings": {"treino": 88.0, "juiz": 0.42},
}


class Page(HTMLParser):
    """As marcas e o texto de uma página, sem o estilo."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if not self.tags or self.tags[-1][0] != "style":
            self.words.append(data)


def text_of(**changes):
    return Page(refine_page(RESULT | changes)).text


@pytest.fixture(scope="module")
def full_html():
    return refine_page(RESULT)


@pytest.fixture(scope="module")
def full(full_html):
    return Page(full_html)


def test_the_page_and_the_json_stand_side_by_side(tmp_path):
    html, data = write_refine_report(tmp_path / "refinements", RESULT)
    assert html == tmp_path / "refinements" / "20261128-031500.html"
    assert data == html.with_suffix(".json")
    assert "Refinamento de LunaDemo" in html.read_text(encoding="utf-8")
    assert json.loads(data.read_text(encoding="utf-8")) == RESULT


def test_the_page_opens_without_a_network_and_fits_a_phone(full):
    names = {name for name, _ in full.tags}
    assert not names & {"script", "link", "img", "iframe"} and {"svg", "details"} <= names
    links = [v for _, a in full.tags for k, v in a.items() if k.split(":")[-1] in ("href", "src")]
    assert all(value.startswith("#") for value in links)
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in (
        full.tags
    )


def test_the_page_tells_everything_there_is(full):
    for expected in (
        "28/11/2026 03:15, em 3 min 12 s",
        "Continue avaliando.",
        "em 78 % (de 66 % a 88 %) das vezes",
        "71 % de acerto no que a pessoa prefere (acaso: 50 %)",
        "Em 38 avaliações que o modelo não viu",
        "divididas em 4 partes",
        "A faixa vai de 62 % a 79 %, toda acima de 50 %, como se pedia",
        "50 % 71 % (de 62 % a 79 %) +21 pontos (de +12 a +29)",
        "Em 5 correções",
        "+40 pontos",
        "183.211 bytes de texto comum: ficou 0,4 % pior (faixa de -0,1 a +0,9 %)",
        "veio de data/valid.",
        "O limite era piorar 1,0 %; ficou dentro dele.",
        "aplicou-se 70 %",
        "Olá, senhora.",
        "depois, sem mudança",
        "De 43 avaliações, o que se usou: 6 correções, 20 respostas que agradaram e 1 resposta que"
        " não agradou.",
        "3 contraditórias ficaram de fora.",
        "corrigida peso 1,00",
        "beta 0,3",
        "tokens 120.000",
        "juiz 0,4 s",
        "20261128-031500.json",
    ):
        assert expected in full.text, expected


def test_the_strongest_trait_comes_first_and_fills_its_side(full):
    assert full.text.index("respostas mais curtas") < full.text.index("exclamações")
    bars = [attrs["style"] for name, attrs in full.tags if name == "span" and "style" in attrs]
    assert bars == ["left: 50%; width: 50.0%", "left: 25.0%; width: 25.0%"]
    assert "prefere (+0,40)" in full.text and "evita (-0,20)" in full.text


@pytest.mark.parametrize(
    "changes, kind, expected",
    [
        ({}, "good", "quem responde agora é a versão v2, e a v1 continua guardada."),
        ({"version": None, "parent": None}, "good", "O que as avaliações ensinaram ficou."),
        ({"kept": False}, "warning", "A mudança não passou na prova e foi desfeita."),
        ({"kept": False, "dry_run": True}, "info", "Foi um ensaio: nada foi gravado"),
        ({"kept": False, "gate": None}, "info", "Desta vez não houve o que aprender."),
        ({"kept": False, "gate": {"text": None}}, "info", "Desta vez não houve o que aprender."),
    ],
)
def test_the_top_of_the_page_says_what_was_decided_and_why(changes, kind, expected):
    html = refine_page(RESULT | {"gate": {"text": GATE["text"]}, "examples": []} | changes)
    text = Page(html).text
    assert f'class="verdict {kind}"' in html and expected in text
    assert text.index(expected) < text.index(RESULT["reason"]) < text.index("O que se usou".lower())


def everything_evil(value):
    """``value`` com todo texto, chaves livres incluídas, trocado por ``EVIL``."""
    if isinstance(value, str):
        return value if value in ("paired", "desirable", "undesirable") else EVIL
    if isinstance(value, list):
        return [everything_evil(item) for item in value]
    if isinstance(value, dict):
        return {key: everything_evil(item) for key, item in value.items()}
    return value


def test_no_text_from_outside_becomes_markup():
    result = everything_evil(RESULT)
    result |= {"settings": {EVIL: EVIL}, "timings": {EVIL: 1.0}}
    result["feedback"]["used"][0]["kind"] = EVIL
    page = refine_page(result)
    assert "<script" not in page and page.count("&lt;script&gt;") > 30


def without_each_key(value, path=()):
    """Cópias de ``RESULT`` em que uma chave de cada vez falta ou, ora sim, ora não, é ``None``."""
    for number, (key, item) in enumerate(value.items()):
        copy = deepcopy(RESULT)
        place = copy
        for step in path:
            place = place[step]
        place[key] = None
        if number % 2:
            del place[key]
        yield copy
        if isinstance(item, dict) and key not in ("settings", "timings"):
            yield from without_each_key(item, (*path, key))


def test_any_part_may_be_missing_or_none(monkeypatch):
    monkeypatch.setattr(plots, "bars", lambda *args, **kwargs: "<svg></svg>")
    copies = list(without_each_key(RESULT))
    assert len(copies) > 60
    for copy in copies:
        text = Page(refine_page(copy)).text
        assert "Refinamento de" in text and "None" not in text and "nan" not in text


def test_a_result_with_only_an_id_still_makes_a_page():
    text = Page(refine_page({"id": "x"})).text
    assert "Refinamento de um modelo" in text and "não se chegou à prova" in text
    assert "x.json" in text and "None" not in text


@pytest.mark.parametrize(
    "feedback, expected",
    [
        ({"ratings": 0}, "Não havia avaliações novas."),
        ({"ratings": 3}, "De 3 avaliações não saiu nada que se pudesse usar."),
        ({"ratings": 1, "paired": 1}, "De 1 avaliação, o que se usou: 1 correção."),
    ],
)
def test_little_feedback_is_told_without_zeros(feedback, expected):
    text = text_of(feedback=feedback, gate=None)
    assert expected in text and "A prova Desta vez não se chegou à prova" in text


@pytest.mark.parametrize(
    "after, reading",
    [
        (measure(0.71, 0.62, 0.79), "como se pedia: dificilmente é sorte."),
        (
            measure(0.54, 0.47, 0.61),
            "Pedia-se que ficasse toda acima de 50\u00a0%; assim, pode ter",
        ),
        (measure(0.4, 0.3, 0.45), "toda abaixo de 50\u00a0%: piorou."),
        (measure(0.6), "Não havia com que calcular uma faixa"),
    ],
)
def test_the_interval_is_read_in_plain_words_beside_the_threshold(after, reading):
    gate = {"text": GATE["text"], "preference": GATE["preference"] | {"after": after}}
    assert reading in gate_view(gate).sentences[1]


@pytest.mark.parametrize(
    "change, card, sentence",
    [
        (measure(0.004, 0.001, 0.009), "0,4\u00a0% pior", "; ficou dentro dele."),
        (measure(0.004, 0.001, 0.02), "0,4\u00a0% pior", "embora a faixa o ultrapasse."),
        (measure(0.03, 0.02, 0.04), "3,0\u00a0% pior", "; passou dele."),
        (measure(-0.002), "0,2\u00a0% melhor", "; ficou dentro dele."),
        (measure(-0.00001), "igual", "; ficou dentro dele."),
    ],
)
def test_the_common_text_is_held_against_its_limit(change, card, sentence):
    view = gate_view({"text": GATE["text"] | {"change": change}})
    assert view.cards[0][0] == card and view.sentences[0].endswith(sentence)
    assert list(view.charts) == ["text"] and "-0,0 " not in view.rows[0][-1]


@pytest.mark.parametrize("scale, words", [(1, "inteira"), (0.35, "35\u00a0%"), (0, "Nada da")])
def test_the_dose_of_the_change_is_told(scale, words):
    assert words in gate_view({"text": GATE["text"], "scale": scale}).sentences[-1]


def test_the_charts_show_before_and_after_and_the_limit(full_html):
    assert full_html.count("<svg") == 2
    assert all(f">{word}</text>" in full_html for word in ("antes", "depois", "limite"))
    assert "limite" not in plots.bars({"m": {"a": Estimate(1.0)}}, "x")


def test_long_lists_and_texts_are_cut_and_the_page_says_so():
    used = [USED[1] | {"prompt": "q" * 5000} for _ in range(150)]
    examples = [RESULT["examples"][0]] * 30
    html = refine_page(RESULT | {"gate": None, "feedback": {"used": used}, "examples": examples})
    text = Page(html).text
    assert "Aqui estão 20 de 30" in text and "Aqui estão 100 de 150" in text and "Mais 94" in text
    assert text.count("q" * refine_report.MAX_TEXT + "…") == refine_report.SHOWN_USED
    assert "q" * (refine_report.MAX_TEXT + 1) not in text


def test_a_page_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    html, data = write_refine_report(tmp_path, {"id": "x", "model": "antes"})
    kept = html.read_bytes(), data.read_bytes()
    monkeypatch.setattr(refine_report, "render", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_refine_report(tmp_path, {"id": "x", "model": "depois"})
    assert (html.read_bytes(), data.read_bytes()) == kept


def test_a_folder_that_cannot_be_written_is_explained(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StorageError, match="Não foi possível gravar"):
        write_refine_report(tmp_path / "file" / "sub", {"id": "x"})
