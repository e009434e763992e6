"""``refine`` na linha de comando: o roteiro da referência, as versões, e os erros."""

import io
import json

import pytest

from src.training import gate
from src.training.refine_fit import FitSettings
from tests import cli_support

journey, luna, trained = cli_support.journey, cli_support.luna, cli_support.trained
CORRECTION = "É o Rio Verde."


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Poucos passos, e uma prova dada por feita: um modelo minúsculo não prova nada."""
    settings = FitSettings(steps=2, written=2, single=2, replay_rows=1, rank=2)
    good = gate.measure_preference([gate.Scored(i % 4, 1.0, 0.0) for i in range(20)])
    monkeypatch.setattr("src.training.refine_run.FitSettings", lambda: settings)
    monkeypatch.setattr("src.training.refine.MAX_NEW_TOKENS", 4)
    monkeypatch.setattr("src.training.refine_data.REPLAY_TOKENS", 2000)
    monkeypatch.setattr("src.training.refine_data.PROOF_TOKENS", 2000)
    monkeypatch.setattr(gate, "measure_preference", lambda scored: good)
    monkeypatch.setattr(gate, "TEXT_LIMIT", 10.0)


def chat(luna, monkeypatch, lines):
    """Uma conversa no terminal, com ``lines`` digitadas."""
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    monkeypatch.setattr("src.cli.chat.is_interactive", lambda stream: True)
    return luna("chat", "--model", "Luna", "--persona", "casual", "--no_proactive")


def test_the_references_workflow_runs_as_printed(trained, monkeypatch):
    lines = []
    for place in range(8):
        lines += [f"Que rio é o {place}?", "/nota 2", f"/corrigir {CORRECTION}"]
    talked = chat(trained, monkeypatch, [*lines, "/sair"])
    assert talked.code == 0, talked.err
    text = (trained.home / "feedback.jsonl").read_text("utf-8")
    records = [json.loads(line) for line in text.splitlines()]
    assert sum("correction" in record for record in records) >= 4
    refined = trained("refine", "--model", "Luna")
    assert refined.code == 0 and "Relatório:" in refined.out, refined.err
    again = chat(trained, monkeypatch, ["Que rio é o 0?", "/sair"])
    assert again.code == 0 and CORRECTION in again.out


def rated(luna):
    rows = "".join(f"Que rio é o {i}?;Não sei.;1;{CORRECTION}\n" for i in range(8))
    path = luna.write("notas.csv", f"pergunta;resposta;nota;correcao\n{rows}")
    assert luna("feedback", "import", path).code == 0


def test_versions_are_listed_and_brought_back(trained):
    rated(trained)
    result = trained("refine", "--model", "Luna", "--json")
    assert result.code == 0 and result.json["kept"], result.out + result.err
    assert result.json["version"] == "v2" and result.json["report"].endswith(".html")
    listed = trained("refine", "--model", "Luna", "--list")
    assert "* v2" in listed.out and "v1" in listed.out
    back = trained("refine", "--model", "Luna", "--rollback")
    assert back.code == 0 and "a v1" in back.out
    found = trained("refine", "--model", "Luna", "--list", "--json").json
    assert found["current"] == "v1" and len(found["versions"]) == 2
    same = trained("refine", "--model", "Luna", "--rollback", "v1")
    assert same.code == 2 and "já é a que responde" in same.err


def test_a_dry_run_keeps_the_model_and_the_ratings(trained):
    rated(trained)
    before = cli_support.contents(trained.models / "Luna" / "components")
    result = trained("refine", "--model", "Luna", "--dry_run", "--lightweight", "--device", "cpu")
    assert result.code == 0 and "ensaio" in result.out
    assert cli_support.contents(trained.models / "Luna" / "components") == before
    assert trained("feedback", "--json").json["pending"] == 8


def test_without_ratings_it_says_what_to_do(trained):
    result = trained("refine", "--model", "Luna")
    assert result.code == 0 and "/nota" in result.out and "continua como estava" in result.out


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--list", "--dry_run"], "use um só"),
        (["--rollback", "v7"], "não há essa versão"),
        (["--rollback"], "não há versão anterior"),
        (["--device", "abacaxi"], "abacaxi"),
    ],
)
def test_bad_options_are_explained(trained, options, word):
    result = trained("refine", "--model", "Luna", *options)
    assert result.code == 2 and word in result.err, (result.out, result.err)


def test_an_unknown_model_is_explained(luna):
    result = luna("refine", "--model", "Nenhum")
    assert result.code != 0 and "não existe" in result.err
