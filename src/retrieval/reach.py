"""Que arquivos os padrões alcançam: os que existem, e os que já existiram e estão no índice."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from src.utils.errors import NoDataError
from src.utils.file_utils import PathLike, expand_patterns


def pattern_list(patterns: PathLike | Iterable[PathLike]) -> list[str]:
    """Os padrões como textos, com ``~`` no lugar da pasta da pessoa."""
    names = [patterns] if isinstance(patterns, (str, os.PathLike)) else list(patterns)
    return [os.path.expanduser(os.fspath(name)) for name in names]


def found_files(patterns: list[str], known: Iterable[str]) -> list[str]:
    """Os arquivos dos padrões, normalizados, em ordem e sem repetir o mesmo por dois nomes.

    Um arquivo que o índice já conhece por outro nome (relativo e absoluto, por exemplo) fica com o
    nome que tem lá.

    Erros:
        NoDataError: um padrão não acha nada, e o índice também não tem nada que ele alcance.
    """
    names = {os.path.realpath(name): name for name in known}
    found: dict[str, str] = {}
    if not patterns:
        expand_patterns(patterns)
    for pattern in patterns:
        try:
            paths = expand_patterns(pattern)
        except NoDataError:
            if not any(map(reaches(pattern), names.values())):
                raise
            paths = []
        for path in paths:
            real = os.path.realpath(path)
            found.setdefault(real, names.get(real, os.path.normpath(path)))
    return sorted(found.values())


def missing_files(patterns: list[str], known: Mapping[str, object] | Iterable[str]) -> list[str]:
    """Os arquivos conhecidos que os padrões alcançam e que não existem mais."""
    gone = [name for name in known if not os.path.exists(name)]
    tests = [reaches(pattern) for pattern in patterns] if gone else []
    return [name for name in gone if any(reached(name) for reached in tests)]


def reaches(pattern: str) -> Callable[[str], bool]:
    """Se um padrão (arquivo, pasta ou glob) alcança um nome de arquivo, exista ele ou não."""
    base = os.path.abspath(pattern)
    expression = _translated(base) if glob.has_magic(pattern) else None
    prefix = base.rstrip(os.sep) + os.sep

    def reached(name: str) -> bool:
        full = os.path.abspath(name)
        if full == base or full.startswith(prefix):
            return True
        return expression is not None and bool(expression.fullmatch(full))

    return reached


@lru_cache(maxsize=64)
def _translated(pattern: str) -> re.Pattern[str]:
    """A expressão regular de um glob com ``*``, ``?``, ``[...]`` e ``**``."""
    parts, position = [], 0
    for match in re.finditer(r"\*\*[/\\]|\*\*|\*|\?|\[!?\]?[^\]]*\]", pattern):
        parts.append(re.escape(pattern[position : match.start()]))
        token = match[0]
        if token.startswith("**"):
            parts.append(r"(?:.*[/\\])?" if len(token) == 3 else r".*")
        elif token[0] == "[":
            body = token[1:-1].replace("\\", r"\\")
            parts.append(f"[{'^' + body[1:] if body[:1] == '!' else body}]")
        else:
            parts.append(r"[^/\\]*" if token == "*" else r"[^/\\]")
        position = match.end()
    return re.compile("".join(parts) + re.escape(pattern[position:]), re.DOTALL)
