"""Os limites dos cgroups, v1 e v2, e as marcas de contêiner, sobre raízes de mentira."""

from pathlib import Path

import pytest

from src.utils import container_limits as limits

V1_UNLIMITED = "9223372036854771712"


def tree(root: Path, files: dict[str, str]) -> Path:
    """Escreve ``files`` (caminho -> texto) sob ``root`` e devolve ``root``."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Um ambiente sem as variáveis que os contêineres definem."""
    for name in ("KUBERNETES_SERVICE_HOST", "container"):
        monkeypatch.delenv(name, raising=False)


def test_without_cgroups_there_are_no_limits(tmp_path: Path) -> None:
    assert limits.cpu_limit(tmp_path) is None
    assert limits.memory_limit_gb(tmp_path) is None and limits.memory_headroom_gb(tmp_path) is None


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"sys/fs/cgroup/cpu.max": "150000 100000"}, 1.5),
        ({"sys/fs/cgroup/cpu.max": "max 100000"}, None),
        ({"sys/fs/cgroup/cpu.max": "lixo"}, None),
        (
            {
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            4.0,
        ),
        (
            {
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            None,
        ),
    ],
)
def test_cpu_quota_of_both_cgroup_versions(tmp_path: Path, files: dict, expected) -> None:
    assert limits.cpu_limit(tree(tmp_path, files)) == expected


def test_memory_limit_of_cgroup_v2_gives_back_the_file_cache(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/memory.max": str(4 * limits.GB),
        "sys/fs/cgroup/memory.current": str(3 * limits.GB),
        "sys/fs/cgroup/memory.stat": f"anon 1\ninactive_file {limits.GB}\nlixo",
    }
    root = tree(tmp_path, files)
    assert limits.memory_limit_gb(root) == 4.0 and limits.memory_headroom_gb(root) == 2.0


def test_memory_limit_of_cgroup_v1(tmp_path: Path) -> None:
    folder = "sys/fs/cgroup/memory"
    files = {
        f"{folder}/memory.limit_in_bytes": str(2 * limits.GB),
        f"{folder}/memory.usage_in_bytes": str(limits.GB),
        f"{folder}/memory.stat": "inactive_file 5\ntotal_inactive_file 0",
    }
    root = tree(tmp_path, files)
    assert limits.memory_limit_gb(root) == 2.0 and limits.memory_headroom_gb(root) == 1.0
    tree(tmp_path, {f"{folder}/memory.limit_in_bytes": V1_UNLIMITED})
    assert limits.memory_limit_gb(root) is None


def test_every_level_of_the_hierarchy_limits(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/fatia/servico\n",
        "sys/fs/cgroup/fatia/memory.max": str(limits.GB),
        "sys/fs/cgroup/fatia/servico/memory.max": str(2 * limits.GB),
        "sys/fs/cgroup/fatia/servico/cpu.max": "300000 100000",
        "sys/fs/cgroup/fatia/cpu.max": "max 100000",
    }
    root = tree(tmp_path, files)
    assert limits.memory_limit_gb(root) == 1.0 and limits.cpu_limit(root) == 3.0


def test_nested_groups_of_cgroup_v1_are_found(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "9:memory:/lote/1\n4:cpu,cpuacct:/lote\n3:cpuset:/\n",
        "sys/fs/cgroup/memory/lote/1/memory.limit_in_bytes": str(3 * limits.GB),
        "sys/fs/cgroup/cpu,cpuacct/lote/cpu.cfs_quota_us": "200000",
        "sys/fs/cgroup/cpu,cpuacct/lote/cpu.cfs_period_us": "100000",
    }
    root = tree(tmp_path, files)
    assert limits.memory_limit_gb(root) == 3.0 and limits.cpu_limit(root) == 2.0


def test_a_group_outside_the_namespace_is_not_followed(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/../../outro", "sys/fs/cgroup/memory.max": str(limits.GB)}
    assert limits.memory_limit_gb(tree(tmp_path, files)) == 1.0


@pytest.mark.parametrize(
    "files",
    [{".dockerenv": ""}, {"run/.containerenv": ""}, {"proc/1/cgroup": "1:cpu:/kubepods/x"}],
)
def test_containers_are_recognised(bare, tmp_path: Path, files: dict) -> None:
    assert not limits.in_container(tmp_path)
    assert limits.in_container(tree(tmp_path, files))


def test_kubernetes_is_recognised_by_its_variable(
    bare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert limits.in_container(tmp_path)
