"""``info``: a máquina, as versões e as pastas, como o LunaGPT as vê."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from src.config.config import Config
from src.utils.numbers import decimal


def run(args: argparse.Namespace, config: Config) -> dict[str, Any]:
    """Reúne e mostra."""
    from src.training.records import package_versions
    from src.utils.hardware_utils import choose_preset, detect_hardware, get_optimal_device
    from src.utils.model_store import ModelStore

    profile = detect_hardware()
    result = {
        "hardware": asdict(profile),
        "device": get_optimal_device(),
        "suggested_size": choose_preset(profile),
        "versions": package_versions(),
        "models_dir": str(Path(config.paths.models_dir).resolve()),
        "models": ModelStore(config.paths.models_dir).names(),
    }
    if not args.json:
        memory = f"{decimal(profile.memory_total, 1)} GB"
        free = f"{decimal(profile.memory_available, 1)} GB"
        print(f"Sistema:     {profile.os_name} ({profile.system_type})")
        print(f"Processador: {profile.cpu_count} núcleos, {profile.cpu_threads} threads")
        print(f"Memória:     {memory} ({free} livres)")
        print(f"Dispositivo: {result['device']}")
        print(f"Tamanho sugerido para create --size auto: {result['suggested_size']}")
        print("Versões:     " + ", ".join(f"{k} {v}" for k, v in package_versions().items()))
        print(f"Modelos em:  {result['models_dir']} ({len(result['models'])})")
    return result
