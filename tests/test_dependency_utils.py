"""Conferir dependências não instala nada; instalar só a pedido, com o comando à vista."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from src.utils import dependency_utils
from src.utils.dependency_utils import check_and_install_dependencies, require
from src.utils.errors import DependencyError, UsageError

PYPROJECT = """
[project]
name = "lunagpt"
dependencies = [
    "filelock>=3", "numpy>=999", "nao-existe-luna>=1", "so-no-futuro; python_version > '9'"
]
[project.optional-dependencies]
lora = ["nem-este-existe", "filelock>=3"]
"""

needs_toml = pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib é do Python 3.11")


def never_run(command) -> int:
    raise AssertionError(f"nada devia ser instalado: {command}")


@pytest.fixture
def pyproject(tmp_path: Path) -> Path:
    path = tmp_path / "pyproject.toml"
    path.write_text(PYPROJECT, encoding="utf-8")
    return path


@needs_toml
def test_this_project_is_satisfied_here() -> None:
    report = check_and_install_dependencies(runner=never_run)
    assert report.ok and report.command == "" and report.source.endswith("pyproject.toml")
    assert any(item.startswith("torch") for item in report.satisfied)


@needs_toml
def test_missing_and_old_packages_are_told_apart(pyproject: Path) -> None:
    report = check_and_install_dependencies(runner=never_run, pyproject=pyproject)
    assert report.satisfied == ["filelock>=3"]
    assert report.outdated == ["numpy>=999"] and report.missing == ["nao-existe-luna>=1"]
    assert not report.ok and metadata.version("numpy") in report.notes[0]
    assert report.command.endswith("-m pip install 'nao-existe-luna>=1' 'numpy>=999'")


@needs_toml
def test_extras_are_checked_when_asked_and_not_twice(pyproject: Path) -> None:
    report = check_and_install_dependencies(extras=("lora",), pyproject=pyproject)
    assert report.missing == ["nao-existe-luna>=1", "nem-este-existe"]
    assert report.satisfied == ["filelock>=3"]


@needs_toml
def test_an_unknown_extra_is_a_usage_error(pyproject: Path) -> None:
    with pytest.raises(UsageError, match="Extra desconhecido: gpus. Os que existem: lora"):
        check_and_install_dependencies(extras=("gpus",), pyproject=pyproject)


@needs_toml
def test_install_runs_pip_of_this_python_once(
    pyproject: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []
    real = dependency_utils._installed_version

    def run(command) -> int:
        commands.append(list(command))
        return 0

    def version(name: str) -> str | None:
        return "1000" if commands else real(name)

    monkeypatch.setattr(dependency_utils, "_installed_version", version)
    report = check_and_install_dependencies(install=True, runner=run, pyproject=pyproject)
    wanted = ["nao-existe-luna>=1", "numpy>=999"]
    assert commands == [[sys.executable, "-m", "pip", "install", *wanted]]
    assert report.ok and report.installed == wanted


@needs_toml
def test_nothing_is_installed_when_nothing_is_missing(pyproject: Path) -> None:
    text = '[project]\nname = "lunagpt"\ndependencies = ["filelock"]\n'
    pyproject.write_text(text, encoding="utf-8")
    report = check_and_install_dependencies(install=True, runner=never_run, pyproject=pyproject)
    assert report.ok and report.installed == []


@needs_toml
@pytest.mark.parametrize("failure", [1, OSError("sem pip"), 0])
def test_a_failed_install_gives_the_exact_command(pyproject: Path, failure) -> None:
    def run(command) -> int:
        if isinstance(failure, OSError):
            raise failure
        return failure

    command = f"{sys.executable} -m pip install 'nao-existe-luna>=1' 'numpy>=999'"
    with pytest.raises(DependencyError) as caught:
        check_and_install_dependencies(install=True, runner=run, pyproject=pyproject)
    assert command in str(caught.value)


def test_the_default_runner_returns_the_exit_code_and_keeps_stdout_clean(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = {}

    def run(command, **options):
        seen.update(options, command=command)
        return subprocess.CompletedProcess(command, 4)

    monkeypatch.setattr(subprocess, "run", run)
    assert dependency_utils._run(["pip"]) == 4 and seen["stdout"] is sys.stderr


@needs_toml
def test_a_strange_installed_version_counts_as_outdated(
    pyproject: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dependency_utils, "_installed_version", lambda name: "não é versão")
    report = check_and_install_dependencies(pyproject=pyproject)
    assert len(report.outdated) == 3


@needs_toml
def test_a_broken_pyproject_is_reported(pyproject: Path) -> None:
    pyproject.write_text("[project", encoding="utf-8")
    with pytest.raises(DependencyError, match="Não foi possível ler"):
        check_and_install_dependencies(pyproject=pyproject)


class FakeDistribution:
    """Os metadados de uma instalação."""

    version = "9"
    requires = [
        "filelock>=3",
        'nao-existe-luna; python_version > "3"',
        'nem-este-existe>=2; extra == "lora"',
        'numpy>=1; python_version > "9" and extra == "lora"',
    ]

    class metadata:
        @staticmethod
        def get_all(name: str) -> list[str]:
            return ["lora"]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.distribution

    def distribution(name: str):
        return FakeDistribution if name == "lunagpt" else real(name)

    monkeypatch.setattr(metadata, "distribution", distribution)


def test_outside_a_source_tree_the_metadata_is_read(installed, tmp_path: Path) -> None:
    nowhere = tmp_path / "pyproject.toml"
    report = check_and_install_dependencies(extras=("lora",), pyproject=nowhere)
    assert report.source == "metadados de lunagpt 9" and report.notes == []
    assert report.satisfied == ["filelock>=3"]
    assert report.missing == ["nao-existe-luna", "nem-este-existe>=2"]


def test_the_pyproject_of_another_project_is_not_ours(installed, pyproject: Path) -> None:
    pyproject.write_text('[project]\nname = "outro"\n', encoding="utf-8")
    report = check_and_install_dependencies(pyproject=pyproject)
    assert report.source.startswith("metadados") and "A lista veio da instalação" in report.notes[0]


def test_python_3_10_reads_the_metadata_and_says_so(
    installed, pyproject: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dependency_utils.sys, "version_info", (3, 10, 0))
    report = check_and_install_dependencies(pyproject=pyproject)
    assert report.source.startswith("metadados") and "Python 3.10" in report.notes[0]


def test_without_any_list_the_command_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dependency_utils, "DISTRIBUTION", "nao-existe-luna")
    with pytest.raises(DependencyError, match="pip install -e ."):
        check_and_install_dependencies(pyproject=tmp_path / "pyproject.toml")


def test_require_returns_the_module() -> None:
    assert require("json").dumps([1]) == "[1]"
    assert require("importlib.metadata") is metadata


def test_require_names_the_extra_to_install() -> None:
    with pytest.raises(DependencyError) as caught:
        require("nao_existe_luna.parte", "lora")
    text = "O pacote 'nao_existe_luna' não está instalado. Execute: pip install -e \".[lora]\""
    assert str(caught.value) == text
    with pytest.raises(DependencyError, match="pip install nao_existe_luna"):
        require("nao_existe_luna")


def test_require_tells_a_broken_package_from_an_absent_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pacote_quebrado_luna.py").write_text("import nao_existe_luna\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DependencyError, match="instalado, mas não carrega.*nao_existe_luna"):
        require("pacote_quebrado_luna", "lora")
