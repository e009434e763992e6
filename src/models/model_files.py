"""A pasta de um modelo no disco: um arquivo por componente e um índice padrão do transformers.

    config.json                      ModelConfig
    generation_config.json
    components/base.safetensors      o GPT-2
    components/state_space.safetensors, moe, hypernet, growing, pairs     os que existirem
    model.safetensors.index.json     qual peso está em qual arquivo

O transformers lê isso como um checkpoint fragmentado comum. Todos os arquivos são escritos sob
nomes temporários e só então renomeados, o índice por último. Cada arquivo leva um ``save_id``; se
uma queda misturar arquivos de duas gravações, a leitura percebe e diz.
"""

import json
import os
import uuid
from pathlib import Path
from typing import Any

from torch import Tensor

from src.utils import atomic_io
from src.utils.errors import ModelFormatError, ModelNotFoundError
from src.utils.model_store import CONFIG_FILE, INDEX_FILE

COMPONENTS_DIR = "components"
#: Trecho do nome do peso -> componente; o que não casar é da base.
COMPONENT_KEYS = {
    ".ssm.": "state_space",
    ".mlp.router.": "moe",
    ".mlp.emotion_bias.": "moe",
    ".mlp.experts.": "moe",
    ".hyper.": "hypernet",
    ".context.": "hypernet",
    ".ln_f.layers.": "growing",
    ".pairs.": "pairs",
}


def component_of(key: str) -> str:
    """A que componente pertence um peso, pelo nome dele."""
    return next((name for part, name in COMPONENT_KEYS.items() if part in key), "base")


def group_by_component(state: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Separa os pesos por componente; pesos que dividem a mesma memória são gravados uma vez."""
    groups: dict[str, dict[str, Tensor]] = {}
    seen: dict[tuple, str] = {}
    for key, tensor in state.items():
        identity = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if tensor.numel() and identity in seen:
            continue
        seen[identity] = key
        groups.setdefault(component_of(key), {})[key] = tensor.detach().cpu().contiguous()
    return groups


def new_save_id() -> str:
    """Um identificador novo de gravação."""
    return uuid.uuid4().hex


def write_model(
    folder: Path, state: dict[str, Tensor], texts: dict[str, str], save_id: str | None = None
) -> None:
    """Grava pesos, ``texts`` (nome -> conteúdo) e índice em ``folder``, sem tocar no resto.

    Tudo é escrito antes sob nomes temporários; depois, sem que um Ctrl-C possa entrar no meio, cada
    um recebe o seu nome, o índice por último. Uma gravação que pare no meio desses renomes deixa os
    temporários que faltam, com que ``model_swap.finish_saves`` a termina.

    Args:
        save_id: o identificador desta gravação; ``None`` sorteia um.

    Erros:
        StorageError: o disco recusou; os arquivos antigos continuam valendo.
    """
    from safetensors.torch import save

    save_id = save_id or new_save_id()
    groups = group_by_component(state)
    target = folder / COMPONENTS_DIR
    contents = {f"{COMPONENTS_DIR}/{name}.safetensors": name for name in groups}
    pending: list[tuple[Path, Path]] = []
    renaming = False

    def stage(name: str, data: bytes) -> None:
        final = folder / name
        temporary = final.with_name(f"{atomic_io.TEMP_PREFIX}{final.stem}-{save_id}")
        pending.append((temporary, final))
        _write_synced(temporary, data)

    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, group in contents.items():
            stage(name, save(groups[group], metadata={"format": "pt", "save_id": save_id}))
        for name, text in texts.items():
            stage(name, text.encode("utf-8"))
        stage(INDEX_FILE, _json_bytes(_index(groups, save_id)))
        with atomic_io.uninterrupted():
            renaming = True
            for temporary, final in pending:
                os.replace(temporary, final)
        atomic_io.fsync_path(target)
        atomic_io.fsync_path(folder)
    except OSError as error:
        raise atomic_io.storage_error(error, target) from error
    finally:
        for temporary, _ in [] if renaming else pending:
            temporary.unlink(missing_ok=True)
    _remove_stale(target, set(groups))


def _json_bytes(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode("utf-8")


def _write_synced(path: Path, data: bytes) -> None:
    with open(path, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _index(groups: dict[str, dict[str, Tensor]], save_id: str) -> dict[str, Any]:
    tensors = [t for group in groups.values() for t in group.values()]
    parameters = [t for name in groups if name != "pairs" for t in groups[name].values()]
    return {
        "metadata": {
            "save_id": save_id,
            "total_parameters": sum(t.numel() for t in parameters),
            "total_size": sum(t.numel() * t.element_size() for t in tensors),
        },
        "weight_map": {
            key: f"{COMPONENTS_DIR}/{name}.safetensors"
            for name, group in groups.items()
            for key in group
        },
    }


def _remove_stale(target: Path, current: set[str]) -> None:
    """Apaga componentes que o modelo não tem mais e sobras de gravações interrompidas."""
    for path in target.iterdir():
        stale = path.suffix == ".safetensors" and path.stem in set(COMPONENT_KEYS.values())
        if stale and path.stem not in current:
            path.unlink(missing_ok=True)
    for folder in (target, target.parent):
        for path in folder.glob(f"{atomic_io.TEMP_PREFIX}*"):
            if path.is_file():
                path.unlink(missing_ok=True)


def read_save_id(folder: Path) -> str | None:
    """O identificador da última gravação da pasta; ``None`` se ela não tem."""
    metadata = read_json(folder / INDEX_FILE).get("metadata")
    return metadata.get("save_id") if isinstance(metadata, dict) else None


def check_folder(folder: str | os.PathLike) -> Path:
    """Confere que ``folder`` é um modelo Luna inteiro e devolve o caminho.

    Erros:
        ModelNotFoundError: a pasta ou o ``config.json`` não existe.
        ModelFormatError: falta um arquivo, algum está danificado, ou são de gravações diferentes.
    """
    folder = Path(folder)
    if not (folder / CONFIG_FILE).is_file():
        raise ModelNotFoundError(
            f"Não há modelo em '{folder}': falta {CONFIG_FILE}. Crie um com "
            "'python main.py create --name NOME' ou confira o caminho."
        )
    if (folder / "model.safetensors").exists():
        raise ModelFormatError(
            f"Em '{folder}' há um model.safetensors ao lado do índice; o transformers leria só "
            "ele. Se não foi você que o pôs ali, mova-o para outra pasta."
        )
    index = read_json(folder / INDEX_FILE)
    weight_map, metadata = index.get("weight_map"), index.get("metadata") or {}
    named = isinstance(weight_map, dict) and all(isinstance(n, str) for n in weight_map.values())
    if not weight_map or not named or not isinstance(metadata, dict):
        raise ModelFormatError(f"'{folder / INDEX_FILE}' não tem a lista de pesos (weight_map).")
    _check_shards(folder, set(weight_map.values()), metadata.get("save_id"))
    return folder


def read_json(path: Path) -> dict[str, Any]:
    """Lê um JSON da pasta do modelo.

    Erros:
        ModelFormatError: falta, está truncado ou não é um objeto.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelFormatError(f"O modelo está incompleto: falta '{path}'.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelFormatError(f"'{path}' está danificado: não é JSON válido ({error}).") from error
    if not isinstance(value, dict):
        raise ModelFormatError(f"'{path}' está danificado: esperado um objeto JSON.")
    return value


def _check_shards(folder: Path, names: set[str], save_id: str | None) -> None:
    from safetensors import SafetensorError, safe_open

    for name in sorted(names):
        path = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ModelFormatError(f"O índice de '{folder}' aponta para fora da pasta: '{name}'.")
        if not path.is_file():
            raise ModelFormatError(f"O modelo está incompleto: falta '{path}'.")
        try:
            with safe_open(str(path), framework="pt") as shard:
                found = (shard.metadata() or {}).get("save_id")
        except (SafetensorError, OSError) as error:
            raise ModelFormatError(
                f"'{path}' está danificado ({error}). Recupere uma cópia da pasta ou treine-o."
            ) from error
        if save_id and found and found != save_id:
            raise ModelFormatError(
                f"'{path}' é de outra gravação que não a do índice: uma gravação foi interrompida "
                "no meio. Recupere um checkpoint de 'checkpoints/' ou uma cópia da pasta."
            )


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Todos os pesos da pasta, já conferida por ``check_folder``.

    Ficam mapeados nos arquivos, que este projeto só troca por renomeação: quem os lê continua com
    os de antes. No Windows, onde um arquivo mapeado não pode ser trocado, são copiados.

    Erros:
        ModelFormatError: um arquivo está danificado, ou falta nele um peso do índice.
    """
    from safetensors import SafetensorError, safe_open

    by_file: dict[str, list[str]] = {}
    for key, name in read_json(folder / INDEX_FILE)["weight_map"].items():
        by_file.setdefault(name, []).append(key)
    weights: dict[str, Tensor] = {}
    for name, keys in by_file.items():
        try:
            with safe_open(str(folder / name), framework="pt") as shard:
                weights |= {key: shard.get_tensor(key) for key in keys}
        except (SafetensorError, OSError) as error:
            raise ModelFormatError(f"'{folder / name}' está danificado ({error}).") from error
    if os.name == "nt":
        weights = {key: tensor.clone() for key, tensor in weights.items()}
    return weights
