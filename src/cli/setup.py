"""``setup``: confere as dependências e, sem ``--check``, instala as que faltam."""

import argparse
from dataclasses import asdict
from typing import Any

from src.cli.runner import say
from src.config.config import Config


def run(args: argparse.Namespace, config: Config) -> dict[str, Any]:
    """Confere; sem ``--check``, instala. O código de saída é 1 se algo ainda falta."""
    from src.utils.dependency_utils import check_and_install_dependencies

    report = check_and_install_dependencies(install=not args.check, extras=tuple(args.extra or ()))
    for item in report.installed:
        say(args, f"instalado: {item}")
    for item in report.missing:
        say(args, f"falta: {item}")
    for item in report.outdated:
        say(args, f"versão que não serve: {item}")
    for note in report.notes:
        say(args, note)
    if report.ok:
        say(args, f"Tudo certo: {len(report.satisfied)} dependências conferidas.")
    else:
        say(args, f"Para instalar: {report.command}")
    return asdict(report) | {"ok": report.ok, "exit_code": int(not report.ok)}
