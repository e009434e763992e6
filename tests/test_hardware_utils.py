"""Detecção de hardware dentro e fora de contêineres, e o ritmo de treino que sai dela."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from src.config.presets import PRESETS
from src.utils import hardware_utils as hw
from src.utils.errors import UsageError
from src.utils.hardware_utils import HardwareProfile

LAPTOP = HardwareProfile(4, 8, memory_total=16.0, memory_available=8.0)


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def fake_torch(cuda_gb: float = 0.0, mps: bool = False, error: bool = False) -> SimpleNamespace:
    """Um torch de mentira, com uma GPU CUDA de ``cuda_gb`` ou MPS."""

    def properties(index: int) -> SimpleNamespace:
        if error:
            raise RuntimeError("driver velho demais")
        return SimpleNamespace(total_memory=int(cuda_gb * hw.GB))

    cuda = SimpleNamespace(
        is_available=lambda: cuda_gb > 0,
        device_count=lambda: 2,
        get_device_properties=properties,
        is_bf16_supported=lambda including_emulation: True,
    )
    backends = SimpleNamespace(
        mps=SimpleNamespace(is_available=lambda: mps),
        cudnn=SimpleNamespace(benchmark=True, deterministic=False),
        cuda=SimpleNamespace(matmul=SimpleNamespace(allow_tf32=True)),
    )
    calls: list[int] = []
    return SimpleNamespace(cuda=cuda, backends=backends, set_num_threads=calls.append, calls=calls)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """8 núcleos, 16 processadores, 32 GB (24 livres), sem torch."""
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: 16 if logical else 8)
    memory = SimpleNamespace(total=32 * hw.GB, available=24 * hw.GB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    monkeypatch.setattr(hw, "_torch", lambda: None)
    for name in ("KUBERNETES_SERVICE_HOST", "container"):
        monkeypatch.delenv(name, raising=False)


# --- Detecção ------------------------------------------------------------------------------------


def test_this_machine_is_detected() -> None:
    profile = hw.detect_hardware()
    assert 1 <= profile.cpu_count <= profile.cpu_threads
    assert 0 < profile.memory_available <= profile.memory_total
    assert profile.system_type in ("high-end", "mid-range", "low-end")


def test_a_bare_machine_is_seen_whole(machine, tmp_path: Path) -> None:
    profile = hw.detect_hardware(root=tmp_path)
    assert (profile.cpu_count, profile.cpu_threads) == (8, 16)
    assert (profile.memory_total, profile.memory_available) == (32.0, 24.0)
    assert profile.system_type == "mid-range" and not profile.in_container
    assert not profile.has_cuda and not profile.has_mps and profile.gpu_memory_gb == 0


def test_a_container_is_seen_by_its_limits(machine, tmp_path: Path) -> None:
    files = {
        ".dockerenv": "",
        "sys/fs/cgroup/cpu.max": "250000 100000",
        "sys/fs/cgroup/memory.max": str(2 * hw.GB),
        "sys/fs/cgroup/memory.current": str(hw.GB // 2),
    }
    profile = hw.detect_hardware(root=tree(tmp_path, files))
    assert (profile.cpu_count, profile.cpu_threads) == (2, 2)  # 2,5 arredonda para baixo
    assert (profile.memory_total, profile.memory_available) == (2.0, 1.5)
    assert profile.in_container and hw.choose_preset(profile) == "nano"


def test_a_fraction_of_a_cpu_is_still_one(machine, tmp_path: Path) -> None:
    root = tree(tmp_path, {"sys/fs/cgroup/cpu.max": "50000 100000"})
    assert hw.detect_hardware(root=root).cpu_threads == 1


def test_a_limit_above_the_machine_does_not_count(machine, tmp_path: Path) -> None:
    files = {"sys/fs/cgroup/cpu.max": "9900000 100000"}
    files["sys/fs/cgroup/memory.max"] = str(500 * hw.GB)
    profile = hw.detect_hardware(root=tree(tmp_path, files))
    assert (profile.cpu_threads, profile.memory_total) == (16, 32.0)


def test_cpu_affinity_is_respected(
    machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 7}, raising=False)
    assert hw.detect_hardware(root=tmp_path).cpu_threads == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert hw.detect_hardware(root=tmp_path).cpu_threads == 16


def test_unknown_core_counts_fall_back(
    machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: 6 if logical else None)
    assert hw.detect_hardware(root=tmp_path).cpu_count == 6
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: None)
    assert hw.detect_hardware(root=tmp_path).cpu_count == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [("flags\t\t: fpu avx512_bf16", True), ("Features : asimd bf16", True), ("flags: fpu", False)],
)
def test_bf16_is_read_from_the_cpu_flags(
    machine, tmp_path: Path, text: str, expected: bool
) -> None:
    root = tree(tmp_path, {"proc/cpuinfo": f"processor: 0\n{text}\n"})
    assert hw.detect_hardware(root=root).supports_bf16 is expected


def test_a_cuda_gpu_is_described(machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hw, "_torch", lambda: fake_torch(cuda_gb=12))
    profile = hw.detect_hardware(root=tmp_path)
    assert (profile.has_cuda, profile.cuda_devices, profile.gpu_memory_gb) == (True, 2, 12.0)
    assert profile.system_type == "high-end" and profile.supports_bf16
    assert profile.training_memory_gb == 12.0


def test_use_torch_false_never_touches_torch(
    machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden() -> None:
        raise AssertionError("o torch não devia ser consultado")

    monkeypatch.setattr(hw, "_torch", forbidden)
    assert not hw.detect_hardware(use_torch=False, root=tmp_path).has_cuda


def test_a_gpu_that_does_not_answer_is_reported_and_left_out(
    machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hw, "_torch", lambda: fake_torch(cuda_gb=12, error=True))
    assert not hw.detect_hardware(root=tmp_path).has_cuda
    assert "driver velho demais" in caplog.text


def test_without_torch_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # importar levanta ImportError
    assert hw._torch() is None and hw.get_optimal_device() == "cpu"


def test_importing_the_module_does_not_import_torch() -> None:
    code = "import sys, src.utils.hardware_utils as h; h.detect_hardware(use_torch=False)"
    code += "; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    root = Path(__file__).resolve().parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"has_cuda": True, "cuda_devices": 1, "gpu_memory_gb": 10}, "high-end"),
        ({"has_cuda": True, "cuda_devices": 1, "gpu_memory_gb": 6}, "mid-range"),
        ({"has_cuda": True, "cuda_devices": 1, "gpu_memory_gb": 5.9}, "low-end"),
        ({"has_cuda": True, "cuda_devices": 0, "gpu_memory_gb": 80}, "low-end"),
        ({"has_mps": True}, "mid-range"),
        ({"cpu_count": 6, "memory_total": 16}, "mid-range"),
        ({"cpu_count": 64, "memory_total": 15.9}, "low-end"),
        ({"cpu_count": 5, "memory_total": 512}, "low-end"),
    ],
)
def test_classes_follow_the_reference(facts: dict, expected: str) -> None:
    assert hw.classify(**({"cpu_count": 2, "memory_total": 8.0} | facts)) == expected


# --- Dispositivo ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("torch", "best"),
    [(fake_torch(8, True), "cuda"), (fake_torch(0, True), "mps"), (fake_torch(), "cpu")],
)
def test_the_best_device_is_chosen(
    monkeypatch: pytest.MonkeyPatch, torch: SimpleNamespace, best: str
) -> None:
    monkeypatch.setattr(hw, "_torch", lambda: torch)
    assert hw.get_optimal_device() == best == hw.resolve_device("auto")
    assert hw.resolve_device(best) == best and hw.resolve_device("cpu") == "cpu"


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_an_absent_device_says_what_exists_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(hw, "_torch", fake_torch)
    with pytest.raises(UsageError, match=f"--device {name}.*o que existe: cpu.*--device auto"):
        hw.resolve_device(name)


def test_an_unknown_device_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="tpu.*auto, cpu, cuda, mps"):
        hw.resolve_device("tpu")


# --- Tamanho e ritmo -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (replace(LAPTOP, memory_total=2.4), "nano"),
        (replace(LAPTOP, memory_total=2.4, system_type="high-end"), "nano"),
        (replace(LAPTOP, memory_total=2.5), "mini"),
        (LAPTOP, "mini"),
        (replace(LAPTOP, cpu_count=6, memory_total=8.0), "small"),
        (replace(LAPTOP, cpu_count=6, memory_total=7.9), "mini"),
        (replace(LAPTOP, system_type="mid-range"), "small"),
        (replace(LAPTOP, system_type="high-end"), "base"),
    ],
)
def test_the_preset_follows_the_hardware(profile: HardwareProfile, expected: str) -> None:
    assert hw.choose_preset(profile) == expected


def settings_for(profile: HardwareProfile, size: str = "mini", **changes) -> hw.TrainingSettings:
    preset = PRESETS[size]
    values = {
        "hidden_size": preset.hidden_size,
        "context_length": preset.context_length,
        "batch_size": preset.batch_size,
        "gradient_accumulation": 1,
    }
    return hw.training_settings(profile, **(values | changes))


def test_enough_memory_changes_nothing() -> None:
    settings = settings_for(LAPTOP)
    assert (settings.batch_size, settings.gradient_accumulation) == (4, 1)
    assert (settings.threads, settings.context_length) == (4, 512)
    assert settings.notes == [] and not settings.gradient_checkpointing


@pytest.mark.parametrize("size", list(PRESETS))
def test_lightweight_keeps_the_tokens_per_update(size: str) -> None:
    preset = PRESETS[size]
    light = settings_for(replace(LAPTOP, memory_available=64.0), size, lightweight=True)
    assert (light.batch_size, light.gradient_accumulation, light.context_length) == (1, 8, 256)
    assert light.context_length * 8 == preset.batch_size * preset.context_length
    assert light.threads == 3 and "Modo leve" in light.notes[0]


def test_lightweight_accumulates_more_for_larger_updates() -> None:
    light = settings_for(LAPTOP, batch_size=8, gradient_accumulation=2, lightweight=True)
    assert light.gradient_accumulation == 32  # 8 x 2 x 512 tokens em pedaços de 256


def test_lightweight_never_lengthens_the_context_and_keeps_one_thread() -> None:
    light = settings_for(replace(LAPTOP, cpu_count=1), context_length=64, lightweight=True)
    assert light.context_length == 64 and light.threads == 1


def test_low_memory_trades_batch_for_accumulation() -> None:
    settings = settings_for(replace(LAPTOP, memory_available=1.5), batch_size=32)
    assert settings.batch_size < 32 and not settings.gradient_checkpointing
    assert settings.batch_size * settings.gradient_accumulation == 32
    assert "Lote reduzido de 32" in settings.notes[0]


def test_an_odd_batch_never_loses_sequences() -> None:
    settings = settings_for(replace(LAPTOP, memory_available=0.6), batch_size=3)
    assert (settings.batch_size, settings.gradient_accumulation) == (1, 3)


def test_checkpointing_comes_last_and_then_a_warning() -> None:
    one = hw.estimate_training_memory_gb(34_000_000, 1, 1024, 512, 8, 16384)
    values = {"parameters": 34_000_000, "num_layers": 8, "vocab_size": 16384}
    tight = replace(LAPTOP, memory_available=one - 0.01)
    settings = settings_for(tight, "small", **values)
    assert settings.batch_size == 1 and settings.gradient_checkpointing
    assert "Gradient checkpointing" in settings.notes[-1]
    tiny = settings_for(replace(LAPTOP, memory_available=0.1), "small", **values)
    assert tiny.notes[-1].startswith("Atenção") and "--size nano" in tiny.notes[-1]


def test_a_gpu_is_fitted_to_its_own_memory() -> None:
    gpu = replace(LAPTOP, has_cuda=True, cuda_devices=1, gpu_memory_gb=80.0, memory_available=0.5)
    assert settings_for(gpu, "base").notes == []


# Pico medido de RSS, menos o de antes de criar o modelo: GPT-2 em fp32, AdamW, 2 passos na CPU
# (torch 2.13, transformers 5). (parâmetros, lote, contexto, largura, blocos, vocabulário), GB.
MEASURED = [
    ((1_350_400, 8, 256, 128, 4, 4096), 0.30),
    ((1_350_400, 32, 256, 128, 4, 4096), 1.08),
    ((5_387_776, 4, 512, 256, 4, 8192), 0.62),
    ((5_387_776, 16, 512, 256, 4, 8192), 1.93),
    ((34_132_992, 2, 1024, 512, 8, 16384), 2.07),
    ((34_132_992, 4, 1024, 512, 8, 16384), 3.34),
    ((111_008_256, 2, 1024, 768, 12, 32768), 4.70),
]
MEASURED_WITH_CHECKPOINTING = [
    ((5_387_776, 16, 512, 256, 4, 8192), 1.12),
    ((34_132_992, 4, 1024, 512, 8, 16384), 1.47),
    ((111_008_256, 2, 1024, 768, 12, 32768), 3.32),
]


@pytest.mark.parametrize(("shape", "measured_gb"), MEASURED)
def test_the_estimate_covers_what_was_measured(shape: tuple, measured_gb: float) -> None:
    estimate = hw.estimate_training_memory_gb(*shape)
    assert measured_gb <= estimate <= 1.25 * measured_gb + hw.FIXED_GB


@pytest.mark.parametrize(("shape", "measured_gb"), MEASURED_WITH_CHECKPOINTING)
def test_the_estimate_with_checkpointing_is_lower_and_near(
    shape: tuple, measured_gb: float
) -> None:
    estimate = hw.estimate_training_memory_gb(*shape, gradient_checkpointing=True)
    assert 0.9 * measured_gb <= estimate <= 1.5 * measured_gb
    assert estimate < hw.estimate_training_memory_gb(*shape)


# --- Efeito --------------------------------------------------------------------------------------


def config_for(**training) -> SimpleNamespace:
    model = SimpleNamespace(
        n_embd=256,
        n_layer=4,
        n_positions=512,
        vocab_size=8192,
        num_experts=4,
        expert_size=1024,
        active_moe_layers=[1, 3],
    )
    values = {"batch_size": None, "gradient_accumulation": 1, "lightweight": False}
    return SimpleNamespace(model=model, training=SimpleNamespace(**(values | training)))


def test_setup_fills_the_batch_and_sets_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    torch, config = fake_torch(), config_for()
    monkeypatch.setattr(hw, "_torch", lambda: torch)
    monkeypatch.setattr(hw, "detect_hardware", lambda: LAPTOP)
    settings = hw.setup_memory_efficient_training(config)
    assert config.training.batch_size == 4 and torch.calls == [settings.threads] == [4]
    assert torch.backends.cudnn.benchmark is True  # sem CUDA, os interruptores ficam


def test_setup_applies_lightweight_to_the_config_and_not_to_the_model(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = config_for(lightweight=True, batch_size=4)
    model = dict(vars(config.model))
    monkeypatch.setattr(hw, "_torch", fake_torch)
    monkeypatch.setattr(hw, "detect_hardware", lambda: LAPTOP)
    with caplog.at_level("INFO"):
        settings = hw.setup_memory_efficient_training(config)
    assert (config.training.batch_size, config.training.gradient_accumulation) == (1, 8)
    assert settings.context_length == 256 and vars(config.model) == model
    assert "Modo leve" in caplog.text


def test_setup_switches_the_reference_options_only_with_cuda(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch = fake_torch(cuda_gb=12)
    monkeypatch.setattr(hw, "_torch", lambda: torch)
    profile = replace(LAPTOP, has_cuda=True, cuda_devices=1, gpu_memory_gb=12.0)
    monkeypatch.setattr(hw, "detect_hardware", lambda: profile)
    settings = hw.setup_memory_efficient_training(config_for())
    assert torch.backends.cudnn.benchmark is False
    assert torch.backends.cudnn.deterministic is True
    assert torch.backends.cuda.matmul.allow_tf32 is False
    assert "CUDA" in settings.notes[-1]


def test_setup_without_torch_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hw, "_torch", lambda: None)
    monkeypatch.setattr(hw, "detect_hardware", lambda: LAPTOP)
    assert "não está instalado" in hw.setup_memory_efficient_training(config_for()).notes[-1]


def test_experts_count_as_parameters() -> None:
    config = config_for().model
    dense = hw.approximate_parameters(256, 4, 8192, 512)
    assert hw._model_parameters(config) == dense + 2 * (4 * 2 * 256 * 1024 - 8 * 256**2)
