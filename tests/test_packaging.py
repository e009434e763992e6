"""O pacote: o que ele leva, o que ele declara, e que funciona longe do código-fonte."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import main
from tests.cli_support import TINY, environment

if sys.version_info >= (3, 11):
    import tomllib
else:  # vem com o pytest
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SETUPTOOLS = PROJECT["tool"]["setuptools"]


def git_files(*options: str) -> list[Path]:
    """Os arquivos que o git conhece; o teste é pulado fora de um repositório."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("precisa do git e do repositório")
    command = ["git", "ls-files", "-z", *options]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    paths = [ROOT / name for name in listed.decode("utf-8").split("\0") if name]
    return [path for path in paths if path.is_file()]


# --- O que o pyproject.toml declara --------------------------------------------------------------


def test_listed_packages_are_the_ones_under_src_plus_the_bundled_data():
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "src").rglob("*.py")
        if "__pycache__" not in path.parts
    }
    assert set(SETUPTOOLS["packages"]) == found | {"src.bundled"}
    assert all((ROOT / name.replace(".", "/") / "__init__.py").is_file() for name in found)
    assert SETUPTOOLS["py-modules"] == ["main"]


def test_the_bundled_package_is_the_data_folder_with_everything_in_it():
    assert SETUPTOOLS["package-dir"] == {"": ".", "src.bundled": "data"}
    assert SETUPTOOLS["package-data"]["src.bundled"] == ["**/*"]
    assert (ROOT / "data" / "train").is_dir() and (ROOT / "data" / "valid").is_dir()
    assert not list((ROOT / "data").rglob("*.py"))


def test_the_luna_command_is_main():
    assert PROJECT["project"]["scripts"] == {"luna": "main:main"}
    assert callable(main.main)


def test_the_version_is_the_same_everywhere():
    assert main.VERSION == PROJECT["project"]["version"]


def test_dependencies_come_from_the_registry_by_name():
    project = PROJECT["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    requirements = [item for group in groups for item in group] + PROJECT["build-system"][
        "requires"
    ]
    assert requirements and not [item for item in requirements if "@" in item or "/" in item]


def test_tests_that_build_the_package_have_what_they_need_in_the_dev_extra():
    [needed] = PROJECT["build-system"]["requires"]
    assert needed in PROJECT["project"]["optional-dependencies"]["dev"]


def test_no_tracked_file_knows_a_path_of_the_machine_it_was_written_on():
    forbidden = [f"/{folder}/".encode() for folder in ("work", "root")]
    guilty = [
        path.relative_to(ROOT).as_posix()
        for path in git_files()
        if any(text in path.read_bytes() for text in forbidden)
    ]
    assert guilty == []


# --- O pacote construído -------------------------------------------------------------------------


def copy_of_the_source(target: Path) -> Path:
    """Uma cópia do que o repositório tem, sem restos de construções anteriores."""
    for path in git_files("--cached", "--others", "--exclude-standard"):
        copy = target / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
    return target


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """O pacote construído a partir de uma cópia, sem rede."""
    folder = tmp_path_factory.mktemp("pacote")
    source = copy_of_the_source(folder / "fonte")
    command = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps"]
    command += ["--no-index", "--disable-pip-version-check", "-w", str(folder), str(source)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    [path] = folder.glob("lunagpt-*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_carries_the_code_and_all_of_the_data_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = git_files("--cached", "--others", "--exclude-standard")
    relative = {path.relative_to(ROOT).as_posix() for path in tracked}
    code = {name for name in relative if name.startswith("src/")} | {"main.py"}
    data = {f"src/bundled/{name[5:]}" for name in relative if name.startswith("data/")}
    assert {name for name in names if ".dist-info/" not in name} == code | data
    [entry] = [name for name in names if name.endswith("entry_points.txt")]
    assert "luna = main:main" in zipfile.ZipFile(wheel).read(entry).decode("utf-8")


@pytest.mark.slow
def test_the_wheel_creates_and_answers_far_from_the_source(wheel, tmp_path):
    installed, elsewhere = tmp_path / "instalado", tmp_path / "longe"
    zipfile.ZipFile(wheel).extractall(installed)
    elsewhere.mkdir()
    (elsewhere / "tiny.json").write_text(json.dumps(TINY), "utf-8")
    variables = environment(tmp_path / "casa") | {"PYTHONPATH": str(installed)}

    def python(*argv: str) -> subprocess.CompletedProcess:
        options = {"capture_output": True, "encoding": "utf-8", "timeout": 300}
        return subprocess.run(
            [sys.executable, *argv], cwd=elsewhere, env=variables, check=False, **options
        )

    where = python(
        "-c", "import main, src.utils.bundled as b; print(main.__file__, b.bundled_data())"
    )
    bundled = installed / "src" / "bundled"
    assert where.stdout.split() == [str(installed / "main.py"), str(bundled)], where.stderr
    created = python("-m", "main", "create", "--name", "X", "--config", "tiny.json")
    assert created.returncode == 0 and "dados de exemplo" in created.stderr, created.stderr
    answered = python("-m", "main", "chat", "-p", "Olá", "--model", "X", "--config", "tiny.json")
    assert answered.returncode == 0 and answered.stdout.endswith("\n"), answered.stderr
    data = str(bundled / "valid" / "texto.txt")
    measured = python("-m", "main", "evaluate", "--model", "X", "--data", data, "--json")
    assert measured.returncode == 0, measured.stderr
    assert json.loads(measured.stdout)["memory"]["peak_gb"] > 0  # noutro processo, longe da fonte
    assert Path(json.loads(measured.stdout)["report"]).read_text("utf-8").count("<svg") > 0
    assert sorted(os.listdir(elsewhere)) == ["tiny.json"]
    assert (tmp_path / "casa" / "models" / "X" / "config.json").is_file()
