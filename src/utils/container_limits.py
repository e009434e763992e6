"""Os limites de CPU e memória que Docker, Kubernetes e systemd impõem, lidos dos cgroups (v1 e v2).

Só leitura: o que falta ou não se deixa ler vale como "sem limite". Memória é em GB de 2**30 bytes.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

logger = logging.getLogger(__name__)

GB = 1024**3
ROOT = Path("/")
NO_LIMIT_BYTES = 2**60  # o cgroup v1 escreve um número enorme para dizer "sem limite"


def read_system_text(path: Path) -> str:
    """O conteúdo de um arquivo do sistema, ou ``""`` onde ele não existe ou não se deixa ler."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        logger.debug("Sem %s: %s", path, error)
        return ""


def _limit(text: str) -> int | None:
    """Um limite em número; ``None`` para ``max``, ``-1``, vazio ou 'sem limite' do cgroup v1."""
    value = int(text) if text.isdecimal() else 0
    return value if 0 < value < NO_LIMIT_BYTES else None


def _own_group(root: Path, controller: str) -> str:
    """O caminho do grupo deste processo; ``controller`` vazio é o cgroup v2."""
    for line in read_system_text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        names, _, group = rest.partition(":")
        wanted = controller.split(",")[0] in names.split(",") if controller else number == "0"
        if wanted and ".." not in group:  # ".." é um grupo de fora deste namespace
            return group.strip("/")
    return ""


def _group_levels(root: Path, controller: str) -> Iterator[Path]:
    """As pastas do grupo deste processo até a raiz da hierarquia: todo limite no caminho vale.

    Dentro de um contêiner o caminho costuma não existir, e só a raiz responde.
    """
    base = root / "sys/fs/cgroup" / controller
    level = base / _own_group(root, controller)
    while level != base:
        yield level
        level = level.parent
    yield base


def cpu_limit(root: str | os.PathLike = ROOT) -> float | None:
    """A cota de CPU do cgroup, em processadores (1.5 é um e meio); ``None`` sem cota.

    Args:
        root: raiz do sistema de arquivos; os testes montam uma falsa.
    """
    root, quotas = Path(root), []
    for level in _group_levels(root, ""):
        quota, _, period = read_system_text(level / "cpu.max").partition(" ")
        quotas.append((_limit(quota), _limit(period)))
    for controller in ("cpu", "cpu,cpuacct"):
        for level in _group_levels(root, controller):
            quota = read_system_text(level / "cpu.cfs_quota_us")
            quotas.append((_limit(quota), _limit(read_system_text(level / "cpu.cfs_period_us"))))
    return min((quota / period for quota, period in quotas if quota and period), default=None)


def _memory_levels(root: Path) -> Iterator[tuple[int, int]]:
    """Para cada limite de memória no caminho: (limite, bytes em uso que não se pode devolver).

    O cache de arquivos inativo conta como uso no cgroup, mas o sistema o devolve quando preciso.
    """
    files = {
        "": ("memory.max", "memory.current"),
        "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    }
    for controller, (limit_name, usage_name) in files.items():
        for level in _group_levels(root, controller):
            limit = _limit(read_system_text(level / limit_name))
            if limit is None:
                continue
            usage = _limit(read_system_text(level / usage_name)) or 0
            stat = dict(
                line.split(" ", 1)
                for line in read_system_text(level / "memory.stat").splitlines()
                if " " in line
            )
            inactive = _limit(stat.get("total_inactive_file", stat.get("inactive_file", ""))) or 0
            yield limit, max(usage - inactive, 0)


def memory_limit_gb(root: str | os.PathLike = ROOT) -> float | None:
    """O menor limite de memória do cgroup, em GB; ``None`` sem limite."""
    return min((limit / GB for limit, _ in _memory_levels(Path(root))), default=None)


def memory_headroom_gb(root: str | os.PathLike = ROOT) -> float | None:
    """Quanto ainda cabe dentro dos limites de memória do cgroup, em GB; ``None`` sem limite."""
    levels = _memory_levels(Path(root))
    return min((max(limit - used, 0) / GB for limit, used in levels), default=None)


def in_container(root: str | os.PathLike = ROOT) -> bool:
    """Se há marcas de Docker, Podman, Kubernetes ou LXC."""
    root = Path(root)
    if (root / ".dockerenv").exists() or (root / "run/.containerenv").exists():
        return True
    if os.environ.get("KUBERNETES_SERVICE_HOST") or os.environ.get("container"):
        return True
    groups = read_system_text(root / "proc/1/cgroup")
    return any(mark in groups for mark in ("docker", "kubepods", "lxc", "containerd"))
