"""O que os testes da linha de comando dividem: como chamá-la e modelos minúsculos já treinados.

Quem usa as fixtures as traz pelo nome: ``luna = cli_support.luna``.
"""

import contextlib
import io
import json
import logging
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import main

ROOT = Path(__file__).resolve().parents[1]
MAIN = str(ROOT / "main.py")
TINY = {
    "model": {
        **{"size": "nano", "n_embd": 32, "n_layer": 2, "n_head": 2},
        **{"n_positions": 96, "vocab_size": 400},
    },
    "chat": {"max_new_tokens": 8, "seed": 1},
}
TEXT = (ROOT / "data" / "train" / "dialogos_cotidiano.txt").read_text("utf-8")[:6000]


@dataclass
class Outcome:
    """O que um comando devolveu e escreveu."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        """O único objeto JSON de stdout; falha se houver mais alguma coisa lá."""
        value = json.loads(self.out)
        assert isinstance(value, dict) and self.out.count("\n") == 1
        return value


class Luna:
    """A linha de comando, com ``LUNA_HOME`` numa pasta só do teste."""

    def __init__(self, home: Path, capture) -> None:
        self.home, self.capture = home, capture
        self.models = home / "models"

    def __call__(self, *argv: str) -> Outcome:
        """Roda neste processo."""
        self.capture.readouterr()
        code = main.main([str(item) for item in argv])
        captured = self.capture.readouterr()
        return Outcome(code, captured.out, captured.err)

    def process(self, *argv: str, **options) -> Outcome:
        """Roda noutro processo; ``options`` são as de ``subprocess.run``."""
        command = [sys.executable, MAIN, *map(str, argv)]
        options = {"capture_output": True, "timeout": 120} | options
        result = subprocess.run(command, env=environment(self.home), **options)
        texts = [(data or b"").decode("utf-8") for data in (result.stdout, result.stderr)]
        return Outcome(result.returncode, *texts)

    def write(self, name: str, content: str | bytes) -> str:
        """Grava um arquivo na pasta do teste e devolve o caminho."""
        path = self.home / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return str(path)

    def leftovers(self, *known: str) -> list[str]:
        """O que há em ``models/`` além dos modelos ``known``: nada temporário, nada pela metade."""
        if not self.models.is_dir():
            return []
        temporary = [str(path) for path in self.models.rglob(".tmp-*")]
        visible = [path.name for path in self.models.iterdir() if path.name != ".locks"]
        return temporary + [name for name in visible if name not in known]


def environment(home: Path) -> dict[str, str]:
    """O ambiente de um processo filho."""
    hidden = ("PYTHONUNBUFFERED", "PYTHONPATH", "NO_COLOR")  # mudariam o que se quer conferir
    values = {name: value for name, value in os.environ.items() if name not in hidden}
    return values | {"LUNA_HOME": str(home), "PYTHONUTF8": "1", "OMP_NUM_THREADS": "2"}


def contents(folder: Path) -> dict[str, bytes]:
    """Cada arquivo abaixo de ``folder`` e os bytes dele."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@contextlib.contextmanager
def restored_globals():
    """Desfaz o que um comando muda no processo: registros, threads e avisos das bibliotecas."""
    import transformers

    root, verbosity = logging.getLogger(), transformers.utils.logging.get_verbosity()
    handlers, level, threads = list(root.handlers), root.level, torch.get_num_threads()
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        torch.set_num_threads(threads)
        transformers.utils.logging.set_verbosity(verbosity)
        transformers.utils.logging.enable_progress_bar()


@pytest.fixture
def luna(tmp_path, monkeypatch, capfd):
    """A linha de comando numa casa vazia, que só tem ``tiny.json`` e ``texto.txt``."""
    monkeypatch.setenv("LUNA_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.json").write_text(json.dumps(TINY), "utf-8")
    (tmp_path / "texto.txt").write_text(TEXT, "utf-8")
    with restored_globals():
        yield Luna(tmp_path, capfd)


@pytest.fixture(scope="session")
def journey(tmp_path_factory):
    """A casa com o modelo ``Luna``, criado e treinado com ``--json``, e o que isso respondeu."""
    home = tmp_path_factory.mktemp("casa")
    (home / "tiny.json").write_text(json.dumps(TINY), "utf-8")
    (home / "texto.txt").write_text(TEXT, "utf-8")
    data = ["--train_data", str(home / "texto.txt")]
    common = ["--config", str(home / "tiny.json"), "--json"]
    commands = {
        "create": ["create", "--name", "Luna", *data, *common],
        "train": ["train", "--model", "Luna", "--epochs", "1", *data, *common],
    }
    outcomes = {}
    with pytest.MonkeyPatch.context() as patch, restored_globals():
        patch.setenv("LUNA_HOME", str(home))
        for name, argv in commands.items():
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = main.main(argv)
            outcomes[name] = Outcome(code, out.getvalue(), err.getvalue())
            assert code == 0, err.getvalue()
    return home, outcomes


@pytest.fixture
def trained(luna, journey):
    """``luna`` com um modelo treinado, ``Luna``, em que o teste pode mexer."""
    home, _ = journey
    shutil.copytree(home / "models" / "Luna", luna.models / "Luna")
    return luna
