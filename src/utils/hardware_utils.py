"""O que esta máquina tem, e como treinar dentro disso.

Há três andares, cada um usando só o de baixo:

1. leitura: ``detect_hardware`` pergunta ao psutil, ao torch e aos cgroups (os limites de CPU e
   memória que Docker, Kubernetes e systemd impõem) e devolve um ``HardwareProfile``;
2. decisão: ``classify``, ``choose_preset``, ``estimate_training_memory_gb`` e
   ``training_settings`` são funções puras: números entram, números saem;
3. efeito: ``setup_memory_efficient_training`` aplica a decisão ao torch e à configuração.

Memória é sempre em GB de 2**30 bytes. O torch só é importado dentro das funções que precisam dele.
"""

import importlib
import logging
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from src.config.presets import (
    LIGHTWEIGHT_ACCUMULATION,
    LIGHTWEIGHT_BATCH_SIZE,
    LIGHTWEIGHT_CONTEXT,
    nearest_preset,
)
from src.utils.container_limits import (
    GB,
    ROOT,
    cpu_limit,
    in_container,
    memory_headroom_gb,
    memory_limit_gb,
    read_system_text,
)
from src.utils.errors import UsageError

logger = logging.getLogger(__name__)

DEVICES = ("auto", "cpu", "cuda", "mps")

NANO_MEMORY_GB = 2.5  # abaixo disto, só o tamanho nano
CPU_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86, x86, ARM

# A conta de memória de estimate_training_memory_gb, medida no pico de RSS de um GPT-2 em fp32 com
# AdamW na CPU (tamanhos nano a base, lotes de 2 a 32): fica de 6 a 25 % acima do medido, tirando o
# custo fixo, e até 45 % acima com gradient checkpointing. O híbrido de ModelConfig.from_preset
# (SSM e MoE), medido em cinco casos de nano a small, ficou um pouco abaixo do GPT-2: a conta vale.
BYTES_PER_PARAMETER = 16  # peso, gradiente e os dois momentos do AdamW, em fp32
FLOATS_PER_TOKEN_AND_LAYER = 32  # ativações guardadas para o backward, em múltiplos da largura
COPIES_OF_LOGITS = 4  # logits, log-softmax, e os gradientes de ambos
FIXED_GB = 0.25  # áreas de trabalho das bibliotecas


@dataclass(frozen=True)
class HardwareProfile:
    """O que o processo pode usar de fato, já descontados os limites do contêiner.

    Campos:
        cpu_count: núcleos físicos. cpu_threads: processadores lógicos.
        memory_total, memory_available: memória, em GB.
        has_cuda, cuda_devices, gpu_memory_gb: GPU NVIDIA ou ROCm; a memória é a da primeira.
        has_mps: GPU da Apple.
        system_type: ``"high-end"``, ``"mid-range"`` ou ``"low-end"`` (ver ``classify``).
        os_name: ``"Linux"``, ``"Darwin"`` ou ``"Windows"``.
        in_container: se roda em Docker, Podman, Kubernetes ou LXC.
        supports_bf16: se a GPU (ou, sem ela, a CPU) multiplica bf16 em hardware.
    """

    cpu_count: int
    cpu_threads: int
    memory_total: float
    memory_available: float
    has_cuda: bool = False
    cuda_devices: int = 0
    gpu_memory_gb: float = 0.0
    has_mps: bool = False
    system_type: str = "low-end"
    os_name: str = "Linux"
    in_container: bool = False
    supports_bf16: bool = False

    @property
    def training_memory_gb(self) -> float:
        """A memória em que o treino tem de caber: a da GPU CUDA, se houver; senão, a RAM livre."""
        return self.gpu_memory_gb if self.has_cuda else self.memory_available


@dataclass
class TrainingSettings:
    """O ritmo de treino escolhido. ``notes`` diz, em português, o que mudou e por quê."""

    batch_size: int  # sequências por passo
    gradient_accumulation: int  # passos por atualização dos pesos
    threads: int  # threads do torch
    context_length: int  # tokens por sequência
    gradient_checkpointing: bool = False  # recalcula ativações em vez de guardá-las
    notes: list[str] = field(default_factory=list)


# --- Leitura: a máquina --------------------------------------------------------------------------


def _cpus(root: Path) -> tuple[int, int]:
    """(núcleos físicos, processadores lógicos), limitados por afinidade e cota.

    Uma cota fracionária é arredondada para baixo: com threads a mais que a cota, o sistema
    congela o processo inteiro até o próximo período.
    """
    import psutil

    threads = psutil.cpu_count(logical=True) or 1
    cores = psutil.cpu_count(logical=False) or threads
    if hasattr(os, "sched_getaffinity"):
        threads = min(threads, len(os.sched_getaffinity(0)))
    quota = cpu_limit(root)
    if quota is not None:
        threads = max(1, min(threads, int(quota)))
    return min(cores, threads), threads


def _memory(root: Path) -> tuple[float, float]:
    """(memória total, memória livre) em GB, limitadas pelo cgroup."""
    import psutil

    memory = psutil.virtual_memory()
    total, available = memory.total / GB, memory.available / GB
    limit, headroom = memory_limit_gb(root), memory_headroom_gb(root)
    total = total if limit is None else min(total, limit)
    available = available if headroom is None else min(available, headroom)
    return total, available


def _torch() -> Any | None:
    """O módulo torch, ou ``None`` onde não está instalado."""
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        logger.debug("torch não está disponível (%s): sigo sem GPU.", error)
        return None


def _gpu_fields(torch: Any | None) -> dict[str, Any]:
    """Os campos de GPU do perfil, como o torch os vê."""
    fields: dict[str, Any] = {"has_mps": _has_mps(torch)}
    if torch is None or not torch.cuda.is_available():
        return fields
    try:
        memory = torch.cuda.get_device_properties(0).total_memory / GB
        bf16 = bool(torch.cuda.is_bf16_supported(including_emulation=False))
    except RuntimeError as error:
        logger.warning("A GPU CUDA aparece, mas não responde (%s): sigo sem ela.", error)
        return fields
    return fields | {
        "has_cuda": True,
        "cuda_devices": torch.cuda.device_count(),
        "gpu_memory_gb": memory,
        "supports_bf16": bf16,
    }


def _has_mps(torch: Any | None) -> bool:
    backend = getattr(getattr(torch, "backends", None), "mps", None)
    return bool(backend is not None and backend.is_available())


def _cpu_has_bf16(root: Path) -> bool:
    """Se o Linux anuncia instruções bf16; em outros sistemas, não se afirma o que não se sabe."""
    for line in read_system_text(root / "proc/cpuinfo").splitlines():
        if line.lower().startswith(("flags", "features")):
            return bool(CPU_BF16_FLAGS & set(line.partition(":")[2].split()))
    return False


def classify(
    *,
    cpu_count: int,
    memory_total: float,
    has_cuda: bool = False,
    cuda_devices: int = 0,
    gpu_memory_gb: float = 0.0,
    has_mps: bool = False,
) -> str:
    """O porte da máquina, pelas faixas da referência.

    Args:
        cpu_count: núcleos físicos. memory_total: RAM, em GB. gpu_memory_gb: da primeira GPU.

    Returns:
        ``"high-end"`` (GPU de 10 GB ou mais), ``"mid-range"`` (GPU de 6 GB, Apple Silicon, ou 6
        núcleos com 16 GB) ou ``"low-end"``.
    """
    if has_cuda and cuda_devices > 0:
        if gpu_memory_gb >= 10:
            return "high-end"
        return "mid-range" if gpu_memory_gb >= 6 else "low-end"
    if has_mps or (cpu_count >= 6 and memory_total >= 16):
        return "mid-range"
    return "low-end"


def detect_hardware(use_torch: bool = True, *, root: str | os.PathLike = ROOT) -> HardwareProfile:
    """Detecta CPU, memória e GPU, respeitando os limites do contêiner e a afinidade de CPU.

    Args:
        use_torch: pergunta ao torch pelas GPUs. Sem ele (ou se não estiver instalado), os campos
            de GPU ficam ``False`` e 0, e a resposta vem em milissegundos.
        root: raiz do sistema de arquivos; os testes montam uma falsa.
    """
    root = Path(root)
    cpu_count, cpu_threads = _cpus(root)
    memory_total, memory_available = _memory(root)
    gpu = {"supports_bf16": _cpu_has_bf16(root)} | _gpu_fields(_torch() if use_torch else None)
    profile = HardwareProfile(
        cpu_count=cpu_count,
        cpu_threads=cpu_threads,
        memory_total=memory_total,
        memory_available=memory_available,
        os_name=platform.system(),
        in_container=in_container(root),
        **gpu,
    )
    return replace(profile, system_type=_system_type(profile))


def _system_type(profile: HardwareProfile) -> str:
    return classify(
        cpu_count=profile.cpu_count,
        memory_total=profile.memory_total,
        has_cuda=profile.has_cuda,
        cuda_devices=profile.cuda_devices,
        gpu_memory_gb=profile.gpu_memory_gb,
        has_mps=profile.has_mps,
    )


# --- Dispositivo ---------------------------------------------------------------------------------


def _available_devices() -> list[str]:
    """Os dispositivos que o torch pode usar aqui, do melhor para o pior; a CPU vem sempre."""
    gpu = _gpu_fields(_torch())
    found = [("cuda", gpu.get("has_cuda", False)), ("mps", gpu["has_mps"]), ("cpu", True)]
    return [name for name, present in found if present]


def get_optimal_device() -> str:
    """O melhor dispositivo disponível: ``"cuda"``, ``"mps"`` ou ``"cpu"``."""
    return _available_devices()[0]


def resolve_device(name: str) -> str:
    """Traduz a opção ``--device`` para um dispositivo que existe.

    Args:
        name: ``"auto"`` (escolhe o melhor), ``"cpu"``, ``"cuda"`` ou ``"mps"``.

    Returns:
        ``"cuda"``, ``"mps"`` ou ``"cpu"``.

    Erros:
        UsageError: o nome não existe, ou o dispositivo pedido não está nesta máquina.
    """
    if name not in DEVICES:
        raise UsageError(
            f"--device {name}: dispositivo desconhecido; esperado um de {', '.join(DEVICES)}."
        )
    if name == "cpu":
        return name
    available = _available_devices()
    if name != "auto" and name not in available:
        raise UsageError(
            f"--device {name}: não há '{name}' disponível nesta máquina; o que existe: "
            f"{', '.join(available)}. Use --device auto, ou confira o driver da GPU e a versão "
            "do torch instalada."
        )
    return available[0] if name == "auto" else name


# --- Decisão -------------------------------------------------------------------------------------


def choose_preset(profile: HardwareProfile) -> str:
    """O tamanho de modelo (chave de ``PRESETS``) que esta máquina treina com conforto."""
    if profile.memory_total < NANO_MEMORY_GB:
        return "nano"
    if profile.system_type == "high-end":
        return "base"
    roomy_cpu = profile.memory_total >= 8 and profile.cpu_count >= 6
    return "small" if profile.system_type == "mid-range" or roomy_cpu else "mini"


def approximate_parameters(
    hidden_size: int, num_layers: int, vocab_size: int, context_length: int
) -> int:
    """Parâmetros de um GPT-2 destas dimensões, sem vieses: 12 d² por bloco e os embeddings."""
    return num_layers * 12 * hidden_size**2 + (vocab_size + context_length) * hidden_size


def estimate_training_memory_gb(
    parameters: int,
    batch_size: int,
    context_length: int,
    hidden_size: int,
    num_layers: int,
    vocab_size: int,
    gradient_checkpointing: bool = False,
) -> float:
    """Memória que o treino em fp32 com AdamW deve pedir no pico, em GB, além do que já está em uso.

    Com P parâmetros, T = lote x contexto tokens, d a largura, L blocos e V o vocabulário::

        bytes = 16 P                    peso, gradiente e dois momentos
              + 4 T (32 d L + 4 V)      ativações guardadas e cópias dos logits
              + 0,25 GB

    Com gradient checkpointing, ``32 d L`` vira ``2 d L + 32 d``: a entrada de cada bloco (e o seu
    gradiente), mais um bloco inteiro por vez. A soma erra para mais; ver as constantes do módulo.
    """
    saved = FLOATS_PER_TOKEN_AND_LAYER * hidden_size * num_layers
    if gradient_checkpointing:
        saved = 2 * hidden_size * num_layers + FLOATS_PER_TOKEN_AND_LAYER * hidden_size
    floats = batch_size * context_length * (saved + COPIES_OF_LOGITS * vocab_size)
    return (BYTES_PER_PARAMETER * parameters + 4 * floats) / GB + FIXED_GB


def training_settings(
    profile: HardwareProfile,
    *,
    hidden_size: int,
    context_length: int,
    batch_size: int,
    gradient_accumulation: int,
    lightweight: bool = False,
    num_layers: int | None = None,
    vocab_size: int | None = None,
    parameters: int | None = None,
) -> TrainingSettings:
    """Ajusta o ritmo de treino à máquina; a forma dos pesos nunca muda.

    Args:
        hidden_size, num_layers, vocab_size, parameters: o modelo; os que faltarem são estimados
            pelo tamanho pronto de largura mais próxima.
        context_length: tokens por sequência.
        batch_size, gradient_accumulation: o que se pediu.
        lightweight: o modo leve da referência: lote 1, acumulação de pelo menos 8 (mais, se for
            preciso para manter os tokens por atualização), um núcleo livre e contexto até 256.

    Returns:
        Se a conta de ``estimate_training_memory_gb`` passar da memória livre, o lote cai pela
        metade, com a acumulação a compensar, até caber; por último entra gradient checkpointing.
    """
    settings = TrainingSettings(
        batch_size, gradient_accumulation, max(1, profile.cpu_count), context_length
    )
    if lightweight:
        _apply_lightweight(settings, profile)
    preset = nearest_preset(hidden_size)
    layers = num_layers or preset.num_hidden_layers
    vocab = vocab_size or preset.vocab_size
    count = parameters or approximate_parameters(hidden_size, layers, vocab, context_length)
    _fit_memory(settings, profile.training_memory_gb, count, (hidden_size, layers, vocab))
    return settings


def _apply_lightweight(settings: TrainingSettings, profile: HardwareProfile) -> None:
    """O modo leve, com os tokens por atualização mantidos."""
    tokens = settings.batch_size * settings.gradient_accumulation * settings.context_length
    settings.batch_size = LIGHTWEIGHT_BATCH_SIZE
    settings.context_length = min(settings.context_length, LIGHTWEIGHT_CONTEXT)
    needed = -(-tokens // (settings.batch_size * settings.context_length))  # para cima
    settings.gradient_accumulation = max(LIGHTWEIGHT_ACCUMULATION, needed)
    settings.threads = max(1, profile.cpu_count - 1)
    settings.notes.append(
        f"Modo leve: lote {settings.batch_size}, acumulação {settings.gradient_accumulation}, "
        f"contexto {settings.context_length} e {settings.threads} thread(s), para caber em pouca "
        "memória e deixar a máquina utilizável. O modelo continua do mesmo tamanho."
    )


def _fit_memory(
    settings: TrainingSettings, budget: float, parameters: int, shape: tuple[int, int, int]
) -> None:
    """Reduz o lote, e por fim liga gradient checkpointing, até a estimativa caber em ``budget``."""

    def estimate() -> float:
        return estimate_training_memory_gb(
            parameters,
            settings.batch_size,
            settings.context_length,
            *shape,
            gradient_checkpointing=settings.gradient_checkpointing,
        )

    _shrink_batch(settings, estimate, budget)
    if estimate() <= budget:
        return
    settings.gradient_checkpointing = True
    settings.notes.append(
        "Gradient checkpointing ligado: com lote 1 a memória ainda não basta, e recalcular as "
        "ativações troca tempo por memória."
    )
    if estimate() > budget:
        settings.notes.append(
            f"Atenção: a estimativa é de {estimate():.1f} GB e há {budget:.1f} GB livres. Feche "
            "outros programas, use --lightweight ou crie um modelo menor (--size nano)."
        )


def _shrink_batch(settings: TrainingSettings, estimate: Callable[[], float], budget: float) -> None:
    """Divide o lote por dois até caber, com a acumulação a manter as sequências por atualização."""
    asked, wanted = estimate(), settings.batch_size
    sequences = settings.batch_size * settings.gradient_accumulation
    while settings.batch_size > 1 and estimate() > budget:
        settings.batch_size //= 2
        settings.gradient_accumulation = -(-sequences // settings.batch_size)  # para cima
    if settings.batch_size != wanted:
        settings.notes.append(
            f"Lote reduzido de {wanted} para {settings.batch_size}, com acumulação "
            f"{settings.gradient_accumulation}: o pedido usaria cerca de {asked:.1f} GB e há "
            f"{budget:.1f} GB livres."
        )


# --- Efeito --------------------------------------------------------------------------------------


def _model_parameters(model: Any) -> int:
    """Parâmetros aproximados de uma ``ModelConfig``, com os especialistas do MoE."""
    dense = approximate_parameters(model.n_embd, model.n_layer, model.vocab_size, model.n_positions)
    expert = 2 * model.n_embd * (model.expert_size or 4 * model.n_embd)
    extra = model.num_experts * expert - 8 * model.n_embd**2  # no lugar do feed-forward
    return dense + len(model.active_moe_layers) * max(extra, 0)


def setup_memory_efficient_training(config: Any) -> TrainingSettings:
    """Detecta o hardware e prepara torch e ``config`` para treinar dentro dele.

    Args:
        config: um ``src.config.config.Config``. ``config.training.batch_size`` (o do tamanho
            pronto mais próximo, se for ``None``) e ``.gradient_accumulation`` são atualizados;
            ``config.training.lightweight`` liga o modo leve.

    Returns:
        O que foi decidido, com as notas do que mudou. ``context_length`` e
        ``gradient_checkpointing`` ficam a cargo de quem treina: o modelo não é tocado.
    """
    profile, model, training = detect_hardware(), config.model, config.training
    settings = training_settings(
        profile,
        hidden_size=model.n_embd,
        context_length=model.n_positions,
        batch_size=training.batch_size or nearest_preset(model.n_embd).batch_size,
        gradient_accumulation=training.gradient_accumulation,
        lightweight=training.lightweight,
        num_layers=model.n_layer,
        vocab_size=model.vocab_size,
        parameters=_model_parameters(model),
    )
    _apply_to_torch(profile, settings)
    training.batch_size = settings.batch_size
    training.gradient_accumulation = settings.gradient_accumulation
    for note in settings.notes:
        logger.info(note)
    return settings


def _apply_to_torch(profile: HardwareProfile, settings: TrainingSettings) -> None:
    """Ajusta as threads e, só com CUDA, os três interruptores da referência."""
    torch = _torch()
    if torch is None:
        settings.notes.append("torch não está instalado: nada foi ajustado nele.")
        return
    torch.set_num_threads(settings.threads)
    if profile.has_cuda:
        torch.backends.cudnn.benchmark = False
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.deterministic = True
        settings.notes.append(
            "CUDA em modo previsível: cuDNN determinístico, sem busca de algoritmos e sem TF32."
        )
