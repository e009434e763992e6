"""Checkpoints de onde o treino continua exatamente como se nunca tivesse parado.

``checkpoints/step-N/`` é uma pasta de modelo comum (serve ao ``chat``), mais:

    trainer/optimizer.safetensors   os tensores do otimizador, "NOME DO PARÂMETRO|CHAVE"
    trainer/rng.safetensors         os geradores do torch
    trainer/state.json              passo, taxa, posição nos dados, callbacks, Python e NumPy

Tudo é escrito sob um nome temporário, descarregado no disco e só então renomeado: uma queda nunca
deixa meio checkpoint sob o nome de verdade. Nada é desserializado com pickle.
"""

import itertools
import logging
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from src.models.model_files import read_json
from src.utils import atomic_io
from src.utils.errors import LunaError, ModelFormatError

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
STATE_DIR, STATE_FILE = "trainer", "state.json"
SEPARATOR = "|"
_STEP = re.compile(r"step-(\d+)")


def checkpoint_steps(folder: Path) -> list[int]:
    """Os passos dos checkpoints retomáveis em ``folder``, do mais antigo ao mais novo."""
    if not folder.is_dir():
        return []
    found = [(match, path) for path in folder.iterdir() if (match := _STEP.fullmatch(path.name))]
    return sorted(int(m[1]) for m, path in found if is_checkpoint(path))


def is_checkpoint(path: Path) -> bool:
    """Se ``path`` é de um treino, e não só pesos que alguém gravou."""
    return (path / STATE_DIR / STATE_FILE).is_file()


def find_checkpoint(folder: Path, asked: str | Path = "auto", run: str = "") -> Path | None:
    """O checkpoint pedido ou, com ``auto``, o mais novo inteiro do treino ``run`` em ``folder``.

    Com ``auto``, um checkpoint danificado é deixado de lado com um aviso; ``None`` se não há.

    Erros:
        LunaError: o caminho pedido não é um checkpoint do treino ``run``.
        ModelFormatError: o caminho pedido está danificado.
    """
    newest = (folder / f"step-{step}" for step in reversed(checkpoint_steps(folder)))
    if str(asked) == "auto":
        return next((path for path in newest if _is_usable(path, run)), None)
    path, problem = Path(asked), ""
    if not is_checkpoint(path):
        problem = f"não é um checkpoint retomável (falta {STATE_DIR}/{STATE_FILE})"
    elif not belongs_to(path, run):
        problem = "é de outro treino, não do que foi interrompido"
    if problem:
        known = ", ".join(path.name for path in newest if _is_usable(path, run)) or "nenhum"
        raise LunaError(
            f"--resume {asked}: {problem}. Em '{folder}' há: {known}. Use --resume, sem caminho, "
            "para o mais novo."
        )
    return path


def belongs_to(path: Path, run: str) -> bool:
    """Se o checkpoint ``path`` é do treino ``run``.

    Erros:
        ModelFormatError: está danificado.
    """
    return bool(read_state(path).get("run") == run)


def _is_usable(path: Path, run: str) -> bool:
    try:
        return belongs_to(path, run)
    except ModelFormatError as error:
        logger.warning("Checkpoint deixado de lado: %s", error)
        return False


def set_aside(path: Path) -> None:
    """Dá outro nome a pesos que alguém gravou onde um checkpoint vai ficar: nada se apaga.

    Erros:
        StorageError: o disco recusou.
    """
    names = (path.with_name(f"{path.name}-guardado-{number}") for number in itertools.count(1))
    free = next(name for name in names if not name.exists())
    try:
        path.rename(free)
    except OSError as error:
        raise atomic_io.storage_error(error, path) from error
    logger.warning("'%s' não é deste treino, e agora se chama '%s'.", path, free.name)


def save_checkpoint(
    path: Path,
    save_model: Callable[[Path], None],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: Any,
    state: dict[str, Any],
) -> None:
    """Grava o checkpoint ``path``; se já existe, fica como está (o mesmo passo, o mesmo conteúdo).

    Args:
        save_model: grava o modelo e o tokenizador na pasta que receber.
        state: o que mais guardar, pronto para JSON (passo, posição nos dados, callbacks...).

    Erros:
        StorageError: o disco recusou; nada fica pela metade.
    """
    if path.is_dir():
        return
    with atomic_io.staged_directory(path) as staging:
        save_model(staging / "model")
        for entry in list((staging / "model").iterdir()):
            entry.rename(staging / entry.name)
        (staging / "model").rmdir()
        target = staging / STATE_DIR
        target.mkdir()
        tensors, groups = optimizer_state(model, optimizer)
        generators, others = generator_state()
        save_file(tensors, target / "optimizer.safetensors")
        save_file(generators, target / "rng.safetensors")
        values = {"version": FORMAT_VERSION, "optimizer": groups, "random": others}
        values |= {"scheduler": _plain(scheduler.state_dict()), **state}
        atomic_io.write_json(target / STATE_FILE, values)


def read_state(path: Path) -> dict[str, Any]:
    """O ``state.json`` de um checkpoint.

    Erros:
        ModelFormatError: falta, está danificado ou é de outra versão.
    """
    state = read_json(path / STATE_DIR / STATE_FILE)
    if state.get("version") != FORMAT_VERSION:
        raise ModelFormatError(
            f"O checkpoint '{path}' é da versão {state.get('version')!r}; esta lê a "
            f"{FORMAT_VERSION}. Retome-o com a versão que o gravou, ou recomece o treino."
        )
    return state


def restore(
    path: Path,
    state: dict[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: Any,
) -> None:
    """Devolve otimizador, plano da taxa e geradores ao que eram; o modelo já foi carregado.

    Erros:
        ModelFormatError: um arquivo falta, está danificado, ou é de outro modelo.
    """
    try:
        tensors = load_file(path / STATE_DIR / "optimizer.safetensors")
        generators = load_file(path / STATE_DIR / "rng.safetensors")
    except Exception as error:  # o safetensors tem exceções próprias, e o disco as dele
        raise ModelFormatError(
            f"O checkpoint '{path}' está danificado ({error}). Apague essa pasta e retome: vale o "
            "checkpoint anterior."
        ) from error
    load_optimizer_state(model, optimizer, tensors, state["optimizer"], path)
    scheduler.load_state_dict(state["scheduler"])
    for group, rate in zip(optimizer.param_groups, scheduler.get_last_lr()):
        group["lr"] = rate
    load_generator_state(generators, state["random"])


# ---------------------------------------------------------------------- otimizador


def optimizer_state(
    model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """Os tensores do otimizador, pelo nome do parâmetro, e os grupos, prontos para JSON."""
    names: dict[Any, str] = {parameter: name for name, parameter in model.named_parameters()}
    tensors = {
        f"{names[parameter]}{SEPARATOR}{key}": value.detach().cpu().contiguous().clone()
        for parameter, values in optimizer.state.items()
        for key, value in values.items()
        if isinstance(value, Tensor)
    }
    groups = []
    for group in optimizer.param_groups:
        options = {k: v for k, v in group.items() if k != "params"}
        groups.append(options | {"params": [names[p] for p in group["params"]]})
    return tensors, _plain(groups)


def load_optimizer_state(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    tensors: dict[str, Tensor],
    groups: list[dict[str, Any]],
    path: Path,
) -> None:
    """O inverso de ``optimizer_state``, também nos grupos que o crescimento acrescentou.

    Erros:
        ModelFormatError: os parâmetros do checkpoint não são os do modelo.
    """
    parameters = dict(model.named_parameters())
    wanted = {name for group in groups for name in group["params"]}
    trained = {name for name, parameter in parameters.items() if parameter.requires_grad}
    if wanted != trained:
        different = sorted(wanted ^ trained)
        raise ModelFormatError(
            f"O checkpoint '{path}' treinava outros parâmetros que os deste modelo "
            f"({len(different)}; o primeiro é {different[0]}). Retome com as mesmas opções."
        )
    optimizer.param_groups[:] = []
    optimizer.state.clear()
    for group in groups:
        options = {k: tuple(v) if isinstance(v, list) else v for k, v in group.items()}
        optimizer.add_param_group(options | {"params": [parameters[n] for n in group["params"]]})
    for key, value in tensors.items():
        name, entry = key.rsplit(SEPARATOR, 1)
        parameter = parameters[name]
        optimizer.state[parameter][entry] = value.to(parameter.device)


# ---------------------------------------------------------------------- geradores


def generator_state() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """O estado dos geradores: tensores do torch, e o de Python e NumPy pronto para JSON."""
    tensors = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        for index, value in enumerate(torch.cuda.get_rng_state_all()):
            tensors[f"cuda{index}"] = value
    version, internal, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state()
    return tensors, {
        "python": [version, list(internal), gauss],
        "numpy": [kind, np.asarray(keys).tolist(), int(position), int(has_gauss), float(cached)],
    }


def load_generator_state(tensors: dict[str, Tensor], others: dict[str, Any]) -> None:
    """O inverso de ``generator_state``."""
    torch.set_rng_state(tensors["cpu"])
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            if f"cuda{index}" in tensors:
                torch.cuda.set_rng_state(tensors[f"cuda{index}"], index)
    version, internal, gauss = others["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = others["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))


def _plain(value: Any) -> Any:
    """``value`` só com o que o JSON escreve; funções e tensores não têm lugar aqui.

    Erros:
        LunaError: há um tipo que não se sabe guardar.
    """
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Tensor) and value.numel() == 1:
        return value.item()
    raise LunaError(f"O estado do treino tem um valor que não se sabe guardar: {value!r}.")
