"""``feedback``, como a pessoa o usa: o que mostra, o que grava e o que recusa."""

import io
import json
import subprocess
import sys
import textwrap
from datetime import datetime, timedelta, timezone

import pytest

from src.chat.terminal_text import display_width
from src.cli import feedback as cli
from src.models.feedback_system import FeedbackSystem
from tests import cli_support
from tests.cli_support import MAIN, environment

luna = cli_support.luna

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


@pytest.fixture
def system(luna) -> FeedbackSystem:
    """As avaliações que o comando vê."""
    return FeedbackSystem(path=luna.home / "feedback.jsonl")


def rate_some(system: FeedbackSystem) -> list[str]:
    """Três avaliações: uma boa do modelo A, uma ruim corrigida do B e um NPS."""
    return [
        system.add_feedback("Que horas são?", "Dez.", 5, NOON, model="A", tom=4, session="s1"),
        system.add_feedback(
            *("Quanto é 2+2?", "5", 1, NOON + timedelta(days=1)),
            **{"model": "B", "correction": "4", "persona": "tecnico"},
        ),
        system.add_feedback("", "", None, NOON + timedelta(days=2), nps=9),
    ]


def answer(monkeypatch, text: str, terminal: bool = True) -> None:
    stream = io.StringIO(text)
    stream.isatty = lambda: terminal  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", stream)


# --- stats ---------------------------------------------------------------------------------------


def test_with_nothing_yet_it_says_how_to_begin(luna):
    result = luna("feedback")
    assert (result.code, result.out) == (0, "") and "/nota 5" in result.err
    assert luna("feedback", "--json").json["total"] == 0
    assert not (luna.home / "feedback.jsonl").exists()


def test_the_summary_reads_well(luna, system):
    rate_some(system)
    result = luna("feedback")
    assert result.code == 0 and result.out == textwrap.dedent("""\
        3 avaliações guardadas, de 01/03/2026 a 03/03/2026; 2 esperam um refinamento.
        Nota média: 3,0 de 5.
          5  ████████████████████████ 1
          4  0
          3  0
          2  0
          1  ████████████████████████ 1
        Aspectos: tom 4,0 (1 nota).
        NPS: 100, numa escala de -100 a 100 (1 resposta).
        Respostas corrigidas: 1.
        Por persona:
          (não se sabe): 2 avaliações, nota média 5,0
          tecnico: 1 avaliação, nota média 1,0
        Por modelo:
          (não se sabe): 1 avaliação
          A: 1 avaliação, nota média 5,0
          B: 1 avaliação, nota média 1,0
        """)
    assert result.err == "Com mais 18 avaliações novas, vale a pena refinar o modelo.\n"
    assert luna("feedback", "stats", "--quiet").err == ""


def test_a_single_rating_and_enough_of_them_change_the_words(luna, system):
    (luna.home / "c.json").write_text(json.dumps({"feedback": {"min_new": 1}}))
    system.add_feedback("a", "b", 4, NOON)
    result = luna("feedback", "--config", "c.json", "--model", "Luna")
    assert result.out.startswith(
        "1 avaliação guardada, em 01/03/2026; 1 espera um refinamento.\nNota média: 4,0 de 5.\n"
    )
    assert result.err == "Já dá para refinar: python main.py refine --model Luna\n"


def test_stats_json_is_one_object_of_the_asked_model(luna, system):
    rate_some(system)
    told = luna("feedback", "stats", "--model", "A", "--json").json
    assert told["total"] == 2 and told["min_new"] == 20 and told["problems"] == []
    assert told["path"] == str(system.path) and told["rating"]["mean"] == 5


def test_damaged_lines_are_told_and_do_not_stop_anything(luna, system):
    rate_some(system)
    with system.path.open("a") as stream:
        stream.write("{{\n")
    result = luna("feedback")
    assert result.code == 0 and "feedback.jsonl, linha 4: não é JSON válido" in result.err
    assert "1 linha danificada foi pulada; nada delas se apagou." in result.err
    assert len(luna("feedback", "--json").json["problems"]) == 1


# --- list ----------------------------------------------------------------------------------------


def test_list_shows_short_ids_what_was_said_and_the_question(luna, system):
    names = rate_some(system)
    lines = luna("feedback", "list").out.splitlines()
    assert [line[:8] for line in lines] == [name[:8] for name in names]
    assert "01/03/2026" in lines[0] and "nota 5, tom 4" in lines[0]
    assert lines[0].endswith("Que horas são?") and "nota 1, corrigida" in lines[1]
    assert lines[2].endswith("NPS 9")


def test_list_shows_the_last_ones_archived_included(luna, system):
    used = system.add_feedback("usada", "r", 3, NOON - timedelta(days=1))
    system.mark_processed([used])
    system.clear_processed_feedback()
    for number in range(22):
        system.add_feedback(f"p{number}", "r", 3, NOON + timedelta(minutes=number), model="A")
    result = luna("feedback", "list")
    assert result.out.count("\n") == 20 and "As últimas 20 de 23" in result.err
    told = luna("feedback", "list", "--json").json
    assert told["total"] == 23 and told["feedback"][-1]["prompt"] == "p21"
    assert luna("feedback", "list", "--model", "B", "--json").json["total"] == 1


def test_the_table_fits_the_terminal_and_the_ids_are_long_enough():
    records = [
        {"id": f"abcdefgh{end}", "timestamp": None, "prompt": "pergunta 漢字 " * 9, "rating": 5}
        for end in ("12", "13")
    ]
    assert cli._id_chars(records) == 10
    for width in (60, 80, 120):
        lines = cli.table(records, 10, width)
        assert all(width - 2 <= display_width(line) <= width for line in lines)
    assert "sem data" in lines[0]


# --- export e import -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind,rows", [("raw", 3), ("paired", 1), ("unpaired", 3)])
def test_export_writes_every_format(luna, system, kind, rows):
    rate_some(system)
    options = [] if kind == "raw" else ["--format", kind]
    result = luna("feedback", "export", "saida.jsonl", *options, "--json")
    assert result.json["rows"] == rows and result.json["format"] == kind
    lines = [json.loads(line) for line in (luna.home / "saida.jsonl").open(encoding="utf-8")]
    keys = {
        "paired": {"prompt", "chosen", "rejected"},
        "unpaired": {"prompt", "completion", "label"},
    }
    assert len(lines) == rows and keys.get(kind, {"id", "prompt", "timestamp"}) <= set(lines[0])
    again = luna("feedback", "export", "saida.jsonl", *options)
    assert again.code == 2 and "--force" in again.err
    assert luna("feedback", "export", "saida.jsonl", *options, "--force").code == 0


def test_export_of_one_model_says_what_was_left_out(luna, system):
    rate_some(system)
    result = luna("feedback", "export", "b.jsonl", "--format", "paired", "--model", "B")
    assert result.code == 0 and "1 avaliação só tem NPS" in result.err
    assert "1 linha gravada em b.jsonl." in result.err
    refused = luna("feedback", "export", "a.jsonl", "--format", "paired", "--model", "A")
    assert refused.code == 2 and "não há o que gravar" in refused.err


def test_export_never_writes_over_the_ratings(luna, system):
    rate_some(system)
    before = system.path.read_bytes()
    for name in ("feedback.jsonl", "./feedback.archive.jsonl"):
        result = luna("feedback", "export", name, "--force")
        assert result.code == 2 and "arquivo das próprias avaliações" in result.err
    assert system.path.read_bytes() == before


def test_import_reads_a_sheet_and_tells_what_it_could_not_use(luna, system):
    luna.write(
        "n.csv", "pergunta;resposta;nota\nQue é água?;Um líquido;5\na;b;9\n".encode("latin-1")
    )
    result = luna("feedback", "import", "n.csv", "--model", "Luna")
    assert result.code == 0 and "1 avaliação importada." in result.err
    assert "n.csv:3: rating=9: esperado um inteiro de 1 a 5" in result.err
    (record,) = system.get_all_feedback()
    assert (record["prompt"], record["model"]) == ("Que é água?", "Luna")
    told = luna("feedback", "import", "n.csv", "--json").json
    assert (told["imported"], told["known"], len(told["rejected"])) == (0, 1, 1)
    luna.write("ruim.csv", "pergunta;resposta;nota\na;b;9\n")
    refused = luna("feedback", "import", "ruim.csv")
    assert refused.code == 1 and "nenhuma linha se aproveitou" in refused.err
    assert luna("feedback", "import", "falta.csv").code == 1


# --- undo e purge --------------------------------------------------------------------------------


def test_undo_takes_the_beginning_of_an_id(luna, system):
    names = rate_some(system)
    result = luna("feedback", "undo", names[0][:8])
    assert result.code == 0 and f"{names[0][:8]} desfeita" in result.err
    assert len(system.get_all_feedback()) == 2
    again = luna("feedback", "undo", names[0], "--json")
    assert again.code == 2 and "já foi desfeita" in again.json["error"]
    assert luna("feedback", "undo", names[1], "--json").json == {"undone": names[1]}


@pytest.mark.parametrize("text,left", [("n\n", 3), ("\n", 3), ("", 3), ("s\n", 2), ("SIM\n", 2)])
def test_purge_asks_first_in_a_terminal(luna, system, monkeypatch, text, left):
    rate_some(system)
    answer(monkeypatch, text)
    result = luna("feedback", "purge", "--text", "QUE HORAS SAO")
    assert "Apagar 1 avaliação de vez? [s/N]" in result.err and result.code == 0
    assert len(system.get_all_feedback()) == left
    assert ("Nada foi apagado." in result.err) == (left == 3)


def test_purge_without_a_terminal_needs_force(luna, system, monkeypatch):
    names = rate_some(system)
    answer(monkeypatch, "s\n", terminal=False)
    refused = luna("feedback", "purge", "--session", "s1")
    assert refused.code == 2 and "--force" in refused.err and len(system.get_all_feedback()) == 3
    assert luna("feedback", "purge", "--session", "s1", "--force", "--json").json == {"purged": 1}
    assert luna("feedback", "purge", "--id", names[1][:8], "--force", "--json").json["purged"] == 1
    assert "Que horas" not in system.path.read_text() and len(system.get_all_feedback()) == 1


def test_purge_of_what_is_not_there_asks_nothing(luna, system, monkeypatch):
    rate_some(system)
    answer(monkeypatch, "", terminal=False)
    result = luna("feedback", "purge", "--text", "nunca dito")
    assert result.code == 0 and "nada foi apagado" in result.err
    assert luna("feedback", "purge", "--id", "zz").code == 2


@pytest.mark.parametrize(
    "argv,form",
    [
        ("dancar", "ação desconhecida; há stats, list, export, import, undo, purge"),
        ("stats x", "feedback stats [--model NOME]"),
        ("export", "feedback export ARQUIVO.jsonl"),
        ("export a b", "feedback export ARQUIVO.jsonl"),
        ("export a --format zip", "--format 'zip': esperado um de paired, unpaired, raw"),
        ("import", "feedback import ARQUIVO.csv"),
        ("undo", "feedback undo ID"),
        ("purge", "exatamente uma de --id, --session e --text"),
        ("purge --id a --text b --force", "exatamente uma de --id, --session e --text"),
        ("purge --model A --id a", "--model é de outra ação"),
        ("list --force", "--force é de outra ação"),
        ("undo a --format raw", "--format é de outra ação"),
    ],
)
def test_misused_it_says_the_right_form(luna, argv, form):
    result = luna("feedback", *argv.split())
    assert result.code == 2 and form in result.err and result.out == ""


def test_it_answers_without_the_heavy_libraries(luna, system):
    rate_some(system)
    code = f"""
        import runpy, sys

        class Blocker:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in ("torch", "transformers", "numpy"):
                    raise ImportError(name + " bloqueado")

        sys.meta_path.insert(0, Blocker())
        for words in (["stats"], ["list"], ["export", "x.jsonl", "--format", "unpaired"]):
            sys.argv = ["main.py", "feedback", *words]
            try:
                runpy.run_path({MAIN!r}, run_name="__main__")
            except SystemExit as stop:
                assert stop.code == 0, words
    """
    run = [sys.executable, "-c", textwrap.dedent(code)]
    result = subprocess.run(run, env=environment(luna.home), cwd=luna.home, capture_output=True)
    assert result.returncode == 0, result.stderr.decode()
    assert "Que horas são?" in result.stdout.decode("utf-8") and (luna.home / "x.jsonl").is_file()
