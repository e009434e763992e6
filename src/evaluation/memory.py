"""Quanta memória um modelo pede para conversar, medida num processo que só faz isso.

    python -m src.evaluation.memory PASTA DISPOSITIVO

Dentro de um processo que já fez outras coisas o pico não diria nada do modelo.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from src.utils.errors import LunaError

GB = 2**30
ANSWER_TOKENS = 32
_ROOT = Path(__file__).resolve().parents[2]
_TIMEOUT_S = 600


def peak_resident_gb() -> float:
    """O pico de memória residente deste processo, em GB (2^30 bytes)."""
    status = Path("/proc/self/status")
    if status.exists():  # no Linux, ru_maxrss herda o pico do processo pai
        lines = status.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / GB
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset / GB
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / GB  # em bytes no macOS


def measure_memory(folder: Path, device: str = "cpu") -> dict[str, float | None]:
    """Abre o modelo de ``folder`` noutro processo, responde com o contexto cheio e mede.

    Returns:
        ``peak_gb``: o pico do processo. ``libraries_gb``: o que as bibliotecas já ocupavam antes de
        o modelo existir. ``model_gb``: a diferença. ``vram_gb``: o pico na GPU, ou ``None``.

    Erros:
        LunaError: o processo falhou; a mensagem traz o fim do que ele escreveu.
    """
    command = [sys.executable, "-m", "src.evaluation.memory", str(folder.resolve()), device]
    path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        done = _run(command, path)
    except subprocess.TimeoutExpired as error:
        raise LunaError(
            f"A medida de memória de '{folder}' passou de {_TIMEOUT_S} s e foi interrompida."
        ) from error
    if done.returncode:
        raise LunaError(
            f"A medida de memória de '{folder}' falhou (código {done.returncode}): "
            f"{done.stderr.strip()[-400:]}"
        )
    found: dict[str, float | None] = json.loads(done.stdout.splitlines()[-1])
    return found


def _run(command: list[str], path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=os.environ | {"PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
        timeout=_TIMEOUT_S,
        check=False,
    )


def run(folder: Path, device: str) -> dict[str, float | None]:
    """O que o outro processo faz."""
    import torch

    import src.models.luna_model  # noqa: F401  (e, com ela, o GPT-2 do transformers)
    from src.evaluation.latency import time_generation
    from src.evaluation.subject import load_subject

    libraries = peak_resident_gb()
    subject: Any = load_subject(folder, device=device)
    prompt = [subject.prefix_id] * max(1, subject.context - ANSWER_TOKENS)
    time_generation(subject.model, prompt, min(ANSWER_TOKENS, subject.context - 1))
    vram = torch.cuda.max_memory_allocated() / GB if device == "cuda" else None
    peak = peak_resident_gb()
    return {
        "peak_gb": peak,
        "libraries_gb": libraries,
        "model_gb": peak - libraries,
        "vram_gb": vram,
    }


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), sys.argv[2])))
