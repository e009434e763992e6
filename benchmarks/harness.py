"""O que os programas de medida dividem: opções e saída; o relógio é ``src.evaluation.timing``."""

import argparse
import json
from typing import Any

from src.evaluation.timing import (
    Spread,
    machine,
    machine_line,
    measure_pairs,
    table,
)
from src.utils import numbers

__all__ = [
    "Row",
    "Spread",
    "decimal",
    "machine",
    "machine_line",
    "measure_pairs",
    "parser",
    "show",
    "table",
]

Row = dict[str, Any]


def decimal(value: float, places: int = 1) -> str:
    """Um número com vírgula e, se nada se disser, uma casa."""
    return numbers.decimal(value, places)


def parser(description: str) -> argparse.ArgumentParser:
    """Um parser com as opções que todo programa de medida tem."""
    found = argparse.ArgumentParser(description=description)
    found.add_argument("--json", action="store_true", help="imprime um objeto JSON")
    found.add_argument("--quick", action="store_true", help="o mínimo, em segundos")
    return found


def show(args: argparse.Namespace, result: Row, text: str) -> None:
    """Imprime ``result`` em JSON, ou ``text``."""
    print(json.dumps(result, ensure_ascii=False, indent=2) if args.json else text)
