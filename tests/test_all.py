"""O conjunto de testes do contrato público está aqui, e ``main.py test`` o roda."""

from pathlib import Path

import main
from src.cli import test as test_command
from src.config.config import Config

CONTRACT_FILES = """
test_all.py test_architecture.py test_chat.py test_model.py test_pipeline.py
test_pipeline_advanced.py test_tokenizer.py
""".split()


def test_contract_files_are_in_place():
    folder = Path(__file__).parent
    assert [name for name in CONTRACT_FILES if not (folder / name).is_file()] == []


def run_with(monkeypatch, arguments):
    """O comando que ``main.py test`` rodaria."""
    seen = []

    class Finished:
        returncode = 0

    def fake_run(command, **options):
        seen.append((command, options))
        return Finished()

    monkeypatch.setattr(test_command.subprocess, "run", fake_run)
    args = main.build_parser().parse_args(["test", *arguments])
    assert test_command.run(args, Config()) == {"exit_code": 0}
    return seen[0]


def test_test_command_runs_pytest_over_the_whole_suite(monkeypatch):
    command, options = run_with(monkeypatch, [])
    assert command[1:] == ["-m", "pytest"] and (options["cwd"] / "tests").is_dir()


def test_minimal_leaves_the_slow_ones_out(monkeypatch):
    command, _ = run_with(monkeypatch, ["--minimal"])
    assert command[-2:] == ["-m", "not slow"]
