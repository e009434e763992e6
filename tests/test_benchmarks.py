"""Os programas de medida rodam e imprimem um objeto JSON."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.harness import decimal, table
from src.utils.numbers import grouped

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = [
    "chat.py",
    "components.py",
    "emotion.py",
    "personas.py",
    "presets.py",
    "proactivity.py",
    "refine.py",
    "retrieval.py",
    "sampling.py",
    "tokenizer.py",
    "train_memory.py",
    "train_quality.py",
    "train_throughput.py",
]


def test_every_program_is_in_the_list():
    shared = {"__init__.py", "harness.py"}
    assert sorted(p.name for p in (ROOT / "benchmarks").glob("*.py") if p.name not in shared) == (
        PROGRAMS
    )


def run_quick(program, folder):
    """Roda um programa com ``--quick --json``."""
    command = [sys.executable, str(ROOT / "benchmarks" / program), "--quick", "--json"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    options = {"cwd": folder, "env": environment, "capture_output": True, "timeout": 400}
    return subprocess.run(command, check=False, **options)


@pytest.fixture(scope="module")
def runs(request, tmp_path_factory):
    """Os programas dos testes escolhidos, dois de cada vez: aqui só se vê se rodam."""
    parameters = [getattr(item, "callspec", None) for item in request.session.items]
    chosen = [
        found.params["program"] for found in parameters if found and "program" in found.params
    ]
    with ThreadPoolExecutor(2) as pool:
        yield {
            program: pool.submit(run_quick, program, tmp_path_factory.mktemp("medida"))
            for program in PROGRAMS
            if program in chosen
        }


@pytest.mark.parametrize("program", PROGRAMS)
def test_quick_run_prints_one_json_object(program, runs):
    done = runs[program].result()
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    result = json.loads(done.stdout)
    assert isinstance(result, dict) and result["rows"]


def test_numbers_and_tables_are_written_in_portuguese():
    assert (decimal(1.25, 2), grouped(1234567)) == ("1,25", "1.234.567")
    assert table(["a", "b"], [[1, "dois"]]) == "| a | b    |\n| --- | ---- |\n| 1 | dois |"
