"""``test``: roda os testes do projeto com o pytest."""

import argparse
import subprocess
import sys
from pathlib import Path

from src.config.config import Config
from src.utils.errors import LunaError


def run(args: argparse.Namespace, config: Config) -> dict[str, int]:
    """Devolve o código de saída do pytest; com ``--json``, o relato dele vai para stderr.

    Erros:
        DependencyError: falta o pytest. LunaError: não há testes (pacote instalado, sem o código).
    """
    from src.utils.dependency_utils import require

    require("pytest", "dev")
    root = Path(__file__).resolve().parents[2]
    if not (root / "tests").is_dir():
        raise LunaError(
            "Os testes vêm com o código-fonte, não com o pacote instalado: clone o repositório."
        )
    command = [sys.executable, "-m", "pytest"]
    if args.minimal:
        command += ["-m", "not slow"]
    if args.quiet:
        command += ["-q"]
    output = sys.stderr if args.json else None
    return {"exit_code": subprocess.run(command, cwd=root, check=False, stdout=output).returncode}
