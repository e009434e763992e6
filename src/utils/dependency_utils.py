"""Quais pacotes o LunaGPT pede, e quais estão aqui.

Nada é instalado sem que se peça: importar este módulo, ou conferir, só lê metadados.
"""

import importlib
import logging
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from src.utils.errors import DependencyError, UsageError

if TYPE_CHECKING:
    from packaging.requirements import Requirement

logger = logging.getLogger(__name__)

DISTRIBUTION = "lunagpt"
PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"

Runner = Callable[[Sequence[str]], int]


@dataclass
class DependencyReport:
    """O que se conferiu. As listas guardam requisitos, como ``"torch<2.14,>=2.6"``."""

    source: str  # de onde veio a lista
    satisfied: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # não estão instalados
    outdated: list[str] = field(default_factory=list)  # instalados numa versão que não serve
    installed: list[str] = field(default_factory=list)  # instalados por esta chamada
    notes: list[str] = field(default_factory=list)  # observações, em português

    @property
    def ok(self) -> bool:
        """Se nada falta e nada está em versão que não sirva."""
        return not self.missing and not self.outdated

    @property
    def command(self) -> str:
        """O comando que instala o que falta; vazio se nada falta."""
        needed = self.missing + self.outdated
        return shlex.join(_pip_command(needed)) if needed else ""


def _pip_command(requirements: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "pip", "install", *requirements]


def _run(command: Sequence[str]) -> int:
    """Executa ``command`` e devolve o código de saída; a saída dele vai para o terminal."""
    return subprocess.run(command, check=False, stdout=sys.stderr).returncode


# --- De onde vem a lista -------------------------------------------------------------------------


@dataclass
class _Listing:
    """A lista de requisitos e a origem dela."""

    source: str
    required: list[str]
    extras: dict[str, list[str]]


def _read_pyproject(path: Path) -> _Listing | None:
    """A lista do pyproject.toml do LunaGPT; ``None`` se ele não está lá ou o Python é 3.10.

    Erros:
        DependencyError: o arquivo existe e não pode ser lido.
    """
    if sys.version_info < (3, 11) or not path.is_file():
        return None
    import tomllib

    try:
        project = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {})
    except (OSError, ValueError) as error:
        raise DependencyError(f"Não foi possível ler '{path}': {error}.") from error
    if project.get("name") != DISTRIBUTION:
        return None
    extras = project.get("optional-dependencies", {})
    return _Listing(str(path), project.get("dependencies", []), extras)


def _read_metadata() -> _Listing | None:
    """A lista da distribuição instalada; ``None`` se não está instalada."""
    try:
        distribution = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        logger.debug("A distribuição %s não está instalada.", DISTRIBUTION)
        return None
    lines = distribution.requires or []
    names = distribution.metadata.get_all("Provides-Extra") or []
    always = [line for line in lines if _applies(line, "")]
    return _Listing(
        f"metadados de {DISTRIBUTION} {distribution.version}",
        always,
        {
            name: [_bare(line) for line in lines if line not in always and _applies(line, name)]
            for name in names
        },
    )


def _parse(line: str) -> "Requirement":
    requirements = require("packaging.requirements")
    requirement: Requirement = requirements.Requirement(line)
    return requirement


def _applies(line: str, extra: str = "") -> bool:
    """Se o requisito vale neste sistema, neste Python e com este extra."""
    marker = _parse(line).marker
    return marker is None or marker.evaluate({"extra": extra})


def _bare(line: str) -> str:
    """O requisito sem a condição (``; extra == ...``)."""
    return line.partition(";")[0].strip()


def _find_listing(pyproject: Path) -> _Listing:
    """Numa árvore de código vale o pyproject.toml: os metadados são os do dia da instalação.

    Erros:
        DependencyError: não há de onde ler a lista.
    """
    listing = _read_pyproject(pyproject) or _read_metadata()
    if listing is None:
        raise DependencyError(
            f"Não há de onde ler a lista de dependências: {_why_no_pyproject(pyproject)} e o "
            f"{DISTRIBUTION} não está instalado. Na pasta do projeto, execute: pip install -e ."
        )
    return listing


def _why_no_pyproject(pyproject: Path) -> str:
    if sys.version_info < (3, 11) and pyproject.is_file():
        return "o Python 3.10 não lê pyproject.toml sem pacotes a mais"
    return f"'{pyproject}' não é o pyproject.toml do {DISTRIBUTION}"


# --- Conferir e instalar -------------------------------------------------------------------------


def _installed_version(name: str) -> str | None:
    """A versão instalada de uma distribuição; ``None`` se ela não está aqui."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _check(line: str, report: DependencyReport) -> None:
    """Põe um requisito na lista certa do relatório."""
    version_module = require("packaging.version")
    requirement = _parse(line)
    version = _installed_version(requirement.name)
    if version is None:
        report.missing.append(_bare(line))
        return
    try:
        fits = requirement.specifier.contains(version, prereleases=True)
    except version_module.InvalidVersion:  # só as versões mais antigas do packaging
        fits = False
    if fits:
        report.satisfied.append(_bare(line))
    else:
        report.outdated.append(_bare(line))
        report.notes.append(
            f"{requirement.name} está na versão {version}; esperado {requirement.specifier}."
        )


def _make_report(extras: Sequence[str], pyproject: Path) -> DependencyReport:
    listing = _find_listing(pyproject)
    unknown = [name for name in extras if name not in listing.extras]
    if unknown:
        raise UsageError(
            f"Extra desconhecido: {unknown[0]}. Os que existem: {', '.join(listing.extras)}."
        )
    report = DependencyReport(listing.source)
    if listing.source != str(pyproject) and pyproject.is_file():
        why = _why_no_pyproject(pyproject)
        report.notes.append(f"A lista veio da instalação, porque {why}.")
    wanted = listing.required + [line for name in extras for line in listing.extras[name]]
    for line in dict.fromkeys(wanted):  # sem repetir, na ordem
        if _applies(line):
            _check(line, report)
    return report


def check_and_install_dependencies(
    install: bool = False,
    extras: Sequence[str] = (),
    *,
    runner: Runner = _run,
    pyproject: Path = PYPROJECT,
) -> DependencyReport:
    """Confere as dependências do LunaGPT; só instala se for pedido.

    Args:
        install: instala com ``pip``, neste Python, o que faltar ou estiver em versão que não serve.
        extras: grupos opcionais a conferir também, como ``("lora", "wandb")``.
        runner: executa um comando e devolve o código de saída; os testes trocam.
        pyproject: de onde ler a lista, numa árvore de código.

    Returns:
        O que há, o que falta e o que foi instalado.

    Erros:
        UsageError: um extra não existe.
        DependencyError: não há de onde ler a lista, ou a instalação falhou; a mensagem traz o
        comando exato.
    """
    before = _make_report(extras, pyproject)
    if before.ok or not install:
        return before
    needed = before.missing + before.outdated
    _install(needed, before.command, runner)
    importlib.invalidate_caches()
    report = _make_report(extras, pyproject)
    if not report.ok:
        still = ", ".join(report.missing + report.outdated)
        raise DependencyError(
            f"O pip terminou sem erro, mas ainda faltam {still}. Execute e leia o que ele diz: "
            f"{report.command}"
        )
    report.installed = needed
    return report


def _install(requirements: Sequence[str], command: str, runner: Runner) -> None:
    logger.info("Instalando: %s", command)
    try:
        code = runner(_pip_command(requirements))
        reason = f"o pip saiu com código {code}"
    except OSError as error:
        code, reason = 1, f"o pip não pôde ser executado ({error})"
    if code != 0:
        raise DependencyError(
            f"A instalação falhou: {reason}. Confira a rede e a permissão de escrita e execute: "
            f"{command}"
        )


def require(package: str, extra: str | None = None) -> ModuleType:
    """Importa um pacote opcional no momento em que ele é preciso.

    Args:
        package: o módulo, como ``"peft"`` ou ``"packaging.version"``.
        extra: o grupo do pyproject.toml que o traz; ``None`` para um pacote avulso.

    Returns:
        O módulo importado.

    Erros:
        DependencyError: não está instalado, ou não carrega; a mensagem traz o comando exato.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        root = package.partition(".")[0]
        absent = isinstance(error, ModuleNotFoundError) and error.name == root
        state = "não está instalado" if absent else f"está instalado, mas não carrega ({error})"
        command = f'pip install -e ".[{extra}]"' if extra else f"pip install {root}"
        raise DependencyError(f"O pacote '{root}' {state}. Execute: {command}") from error
