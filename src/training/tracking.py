"""As métricas fora da pasta do modelo: TensorBoard e Weights & Biases.

O TensorBoard grava em ``training/tensorboard/``, um treino por subpasta, sempre que está instalado:
``tensorboard --logdir models``. O wandb só entra a pedido (``--use_wandb``); sem chave ou sem rede
ele grava só nesta máquina, em ``wandb/`` (ou onde ``WANDB_DIR`` mandar), e ``wandb sync`` envia
depois.
"""

import importlib.util
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import TensorBoardCallback, WandbCallback

from src.config.config import luna_home
from src.training.monitoring import ExpertLoadCallback, ThroughputCallback
from src.utils.dependency_utils import require

logger = logging.getLogger(__name__)

PROJECT = "lunagpt"  # WANDB_PROJECT escolhe outro
WANDB_TIMEOUT_S = 30  # de espera pelo servidor antes de gravar só nesta máquina
#: O que não entra no artefato: estados de treino grandes, cópias antigas, os próprios registros e
#: os textos do treino (``training/cache``).
LEFT_OUT = ("checkpoints", "versions", "tensorboard", "cache")


def tracking_arguments(use_wandb: bool, folder: Path, run_name: str | None) -> dict[str, Any]:
    """Os ``TrainingArguments`` do acompanhamento, para um treino do modelo em ``folder``.

    ``report_to`` fica vazio de propósito: o transformers poria os seus callbacks antes dos nossos,
    e nem o TensorBoard nem o wandb veriam ``tokens_per_second`` e ``expert_load``. Quem os põe, na
    ordem certa, é ``tracking_callbacks``.

    Erros:
        DependencyError: ``use_wandb`` e o pacote wandb não está instalado.
    """
    if use_wandb:
        _wandb()
    return {"report_to": [], "run_name": run_name or folder.name}


def tracking_callbacks(
    use_wandb: bool, folder: Path, tokens_seen: Callable[[], float]
) -> list[TrainerCallback]:
    """Os callbacks do acompanhamento, na ordem em que devem ficar: antes do ``MetricsCallback``.

    Args:
        use_wandb: registra também no Weights & Biases.
        folder: a pasta do modelo.
        tokens_seen: quantos tokens o treino já leu (ver ``ThroughputCallback``).
    """
    callbacks: list[TrainerCallback] = [ThroughputCallback(tokens_seen), ExpertLoadCallback()]
    if importlib.util.find_spec("tensorboard") is not None:
        callbacks.append(LunaTensorBoardCallback(folder / "training" / "tensorboard"))
    if use_wandb:
        callbacks.append(LunaWandbCallback())
    return callbacks


def flat_scalars(logs: dict[str, Any]) -> dict[str, Any]:
    """``logs`` só com números e textos; cada especialista de ``expert_load`` vira um número.

    ``{"expert_load": [[0.4, 0.6]]}`` -> ``{"expert_load/block_1/expert_1": 0.4, ...}``.
    """
    flat = {key: value for key, value in logs.items() if isinstance(value, (int, float, str))}
    for block, load in enumerate(logs.get("expert_load") or [], 1):
        for expert, fraction in enumerate(load, 1):
            flat[f"expert_load/block_{block}/expert_{expert}"] = fraction
    return flat


class LunaTensorBoardCallback(TensorBoardCallback):
    """O do transformers, mas a pasta é dada aqui, não numa variável de ambiente.

    Cada treino (e cada retomada) é uma subpasta de ``folder`` com a data e a hora.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.logging_dir = str(folder / time.strftime("%Y%m%d-%H%M%S"))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Grava os números do registro."""
        super().on_log(args, state, control, logs=flat_scalars(logs or {}), **kwargs)


class LunaWandbCallback(WandbCallback):
    """O do transformers, que aqui começa também sem chave e sem rede."""

    def __init__(self) -> None:
        _wandb()
        super().__init__()

    def setup(
        self, args: TrainingArguments, state: TrainerState, model: Any, **kwargs: Any
    ) -> None:
        """Abre o registro, se não há um aberto, e deixa o resto com o transformers."""
        if state.is_world_process_zero:
            start_wandb(args.run_name)
        super().setup(args, state, model, **kwargs)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Envia os números do registro."""
        super().on_log(args, state, control, model, flat_scalars(logs or {}), **kwargs)


def _wandb() -> Any:
    """O pacote wandb, sem o envio dos seus próprios erros: sem rede, ele espera quase um minuto.

    Erros:
        DependencyError: não está instalado.
    """
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # lido quando o wandb é importado
    return require("wandb", "wandb")


def start_wandb(run_name: str | None) -> Any:
    """O registro aberto do wandb, ou um novo.

    Sem chave configurada, ou se o servidor não responde, o registro fica só nesta máquina.

    Erros:
        DependencyError: o pacote wandb não está instalado.
    """
    wandb = _wandb()
    if wandb.run is not None:
        return wandb.run
    options: dict[str, Any] = {
        "project": os.environ.get("WANDB_PROJECT", PROJECT),
        "name": run_name,
    }
    if "WANDB_DIR" not in os.environ:  # o wandb cria lá dentro a sua pasta wandb/
        options["dir"] = str(luna_home().resolve())
    try:
        return wandb.init(**options, settings=wandb.Settings(init_timeout=WANDB_TIMEOUT_S))
    except wandb.errors.Error as error:  # sem chave (num terminal o wandb a pede) ou sem servidor
        logger.warning(
            "O wandb não abriu um registro no servidor (%s): grava só nesta máquina, na pasta "
            "wandb/. Para enviar depois: wandb login e wandb sync wandb/offline-run-*.",
            error,
        )
    return wandb.init(**options, mode="offline")


def log_wandb_artifacts(folder: Path, run_name: str | None = None) -> None:
    """Registra os arquivos do modelo em ``folder`` como artefato e fecha o registro do wandb.

    Entram pesos, tokenizador, cartão e o que há em ``training/``; ficam de fora ``checkpoints/``,
    ``versions/``, o corpus em cache e os registros do TensorBoard. Vale no registro aberto pelo
    treino; sem um, abre outro, de nome ``run_name``.

    Erros:
        DependencyError: o pacote wandb não está instalado.
    """
    wandb, run = _wandb(), start_wandb(run_name or folder.name)
    artifact = wandb.Artifact(name=folder.name, type="model")
    for path in artifact_files(folder):
        artifact.add_file(str(path), name=path.relative_to(folder).as_posix())
    run.log_artifact(artifact)
    run.finish()


def artifact_files(folder: Path) -> Iterator[Path]:
    """Os arquivos de ``folder`` que vão no artefato, em ordem."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in parts) or path.suffix == ".lock"
        if path.is_file() and not hidden and not set(parts) & set(LEFT_OUT):
            yield path
