"""Os documentos dizem o que o programa faz: exemplos rodam, opções existem, links abrem."""

import dataclasses
import json
import re
import shlex
from pathlib import Path

import pytest

import main
from src.config import config as config_module
from src.config.config import Config
from src.config.personas import TRAITS, load_personas
from src.models.luna_model import LunaModel
from src.training.summary import TRUST_LEVELS
from tests.conftest import tiny_config

ROOT = Path(__file__).resolve().parents[1]
READMES = ["README.md", "README.en.md"]
DOCUMENTS = [*READMES, "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md"]
DOCUMENTS += sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))
SHELL_WORDS = {"|", ">", ">>", "<", "&&", ";", "&"}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def fenced(name: str, language: str) -> list[str]:
    """Os blocos de código de uma linguagem."""
    return re.findall(rf"^```{language}\n(.*?)^```", read(name), re.MULTILINE | re.DOTALL)


def command_lines(name: str) -> list[str]:
    """O que vem depois de ``main.py`` em cada linha de comando do documento."""
    found = re.findall(r"(?:python|--nproc_per_node \d) main\.py ([^`\n]*)", read(name))
    return [line for line in found if not line.startswith("...")]


def subcommands() -> dict:
    """Nome -> parser de cada comando."""
    (action,) = [a for a in main.build_parser()._actions if hasattr(a, "choices") and a.choices]
    return dict(action.choices)


def flags(parser) -> set[str]:
    """A forma longa de cada opção, menos ``--help``."""
    options = [[o for o in a.option_strings if o.startswith("--")] for a in parser._actions]
    return {names[0] for names in options if names} - {"--help"}


@pytest.fixture
def prepared_folder(tmp_path, monkeypatch, tokenizer):
    """Uma pasta com o modelo que o README usa, minúsculo."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "models" / "MeuLunaGPT"
    settings = tiny_config(tokenizer, n_positions=128, use_state_space=True, use_moe=True)
    LunaModel.from_scratch(settings).save(folder)
    tokenizer.save(folder / "tokenizer")
    return tmp_path


@pytest.mark.parametrize("name", [*READMES, "docs/avaliacao.md"])
def test_python_snippets_run_in_order(name, prepared_folder, capsys):
    namespace: dict = {"__name__": "readme"}
    snippets = fenced(name, "python")
    assert snippets
    for snippet in snippets:
        exec(compile(snippet, name, "exec"), namespace)
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_line_is_accepted(name):
    for line in command_lines(name):
        words = shlex.split(line, comments=True)
        end = next((i for i, word in enumerate(words) if word in SHELL_WORDS), len(words))
        try:
            main.build_parser().parse_args(words[:end])
        except SystemExit as stop:
            assert stop.code == 0, f"{name}: main.py {line}"


def test_the_readmes_do_show_commands():
    assert all(len(command_lines(name)) > 5 for name in READMES)


@pytest.mark.parametrize("name", READMES)
def test_every_flag_is_in_the_row_of_its_command(name):
    text, parsers = read(name), subcommands()
    (section,) = re.findall(r"^## Com(?:andos|mands)\n.*?^## ", text, re.MULTILINE | re.DOTALL)
    common = set.intersection(*map(flags, parsers.values()))
    missing = [flag for flag in common if f"`{flag}" not in text]
    for command, parser in parsers.items():
        rows = re.findall(rf"^\| `{command}`.*$", section, re.MULTILINE)
        assert len(rows) == 1, f"{name}: esperada uma linha de tabela para {command}"
        shown = set(re.findall(r"--[a-z_]+", rows[0]))
        missing += [f"{command} {flag}" for flag in flags(parser) - common - shown]
        assert shown <= flags(parser), f"{name}: {command} não tem {shown - flags(parser)}"
    assert missing == []


def test_every_configuration_field_is_documented():
    text = read("README.md")
    sections = config_module._SECTIONS
    absent = [
        f"{name}.{item.name}"
        for name, section in sections.items()
        for item in dataclasses.fields(section)
        if name not in ("rag", "feedback") and f"`{item.name}`" not in text
    ]
    assert absent == []


@pytest.mark.parametrize("name", READMES)
def test_configuration_example_is_accepted(name):
    examples = [json.loads(block) for block in fenced(name, "json")]
    examples = [example for example in examples if "chat" in example]
    assert examples
    for example in examples:
        config = Config.from_dict(example)
        assert config.model.n_embd > 0


def test_personas_example_is_accepted(tmp_path):
    (example,) = [block for block in fenced("README.md", "json") if "system_prompt" in block]
    (tmp_path / "personas.json").write_text(example, "utf-8")
    persona = load_personas(tmp_path / "personas.json")["professora"]
    values = json.loads(example)["professora"]
    assert persona.system_prompt == values["system_prompt"]
    assert persona.sampling.temperature == values["sampling"]["temperature"]
    for trait in TRAITS:
        assert f"`{trait}`" in read("README.md")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_relative_links_and_images_exist(name):
    for target in re.findall(r"\]\(([^)\s]+)\)", read(name)):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        assert file.exists(), f"{name}: {target}"
        if anchor:
            assert anchor in slugs(file), f"{name}: {target}"


def slugs(file: Path) -> set[str]:
    """As âncoras dos títulos de um documento."""
    titles = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_trust_levels_are_the_ones_the_program_prints():
    (worst, _), (middle, _), *_ = TRUST_LEVELS
    for limit in (worst, middle):
        assert f"{limit:g}".replace(".", ",") in read("README.md").partition("Regra prática")[2]


def test_readme_stays_scannable():
    assert len(read("README.md").splitlines()) <= 320
