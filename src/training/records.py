"""O que fica escrito ao lado dos pesos: de que dados veio o modelo, como foi treinado e como usar.

training/manifest.json   arquivos de dados (caminho, sha256, bytes), semente, argumentos, versões
training/summary.json    o resumo do último treino
model_card.md            o cartão do modelo, para pessoas
"""

import os
import platform
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from src.models.luna_model import LunaModel
from src.models.model_files import read_json
from src.training.corpus import CorpusDataset
from src.training.summary import TrainingSummary
from src.utils import atomic_io
from src.utils.hashes import file_sha256
from src.utils.numbers import grouped

MANIFEST_VERSION = 1
DATA_FILE = "data.json"  # de que arquivos veio o modelo, para o próximo treino
PACKAGES = ("torch", "transformers", "tokenizers", "lunagpt")
LICENCE_NOTE = "Licença dos dados: não informada; confira se você pode usá-los e distribuí-los."


def data_sources(texts: Sequence[str]) -> list[dict[str, Any]]:
    """Os arquivos de onde vieram ``texts`` (``Document``), com sha256 e tamanho em bytes.

    Textos sem arquivo (dados à API) não aparecem na lista.
    """
    paths = sorted({str(getattr(text, "file", "") or "") for text in texts})
    return [
        {"file": path, "sha256": file_sha256(path), "bytes": Path(path).stat().st_size}
        for path in paths
        if path and Path(path).is_file()
    ]


def remember_data(folder: Path, train: list[str], valid: list[str] | None = None) -> None:
    """Guarda em ``training/data.json`` os padrões de arquivos, absolutos."""
    patterns = {
        "train_data": absolute_patterns(train),
        "valid_data": absolute_patterns(valid or []),
    }
    atomic_io.write_json(folder / "training" / DATA_FILE, patterns)


def remembered_data(folder: Path) -> tuple[list[str], list[str]]:
    """Os padrões guardados: (treino, validação); vazios se não há."""
    path = folder / "training" / DATA_FILE
    if not path.is_file():
        return [], []
    values = read_json(path)
    return list(values.get("train_data") or []), list(values.get("valid_data") or [])


def absolute_patterns(patterns: list[str]) -> list[str]:
    """Os padrões a partir da raiz, para que valham de qualquer pasta."""
    return [os.path.abspath(os.path.expanduser(pattern)) for pattern in patterns]


def package_versions() -> dict[str, str]:
    """Versões do Python e dos pacotes que decidem o resultado."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "não instalado"
    return found


def record_training(
    folder: Path,
    model: LunaModel,
    summary: TrainingSummary,
    arguments: Any,
    texts: Any,
) -> None:
    """Grava o manifesto, o resumo e o cartão do modelo depois de um treino."""
    names = "num_train_epochs per_device_train_batch_size gradient_accumulation_steps learning_rate"
    chosen = {name: getattr(arguments, name) for name in names.split()}
    manifest = {
        "version": MANIFEST_VERSION,
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "texts": texts.documents if isinstance(texts, CorpusDataset) else len(texts),
        "files": texts.sources if isinstance(texts, CorpusDataset) else data_sources(texts),
        "licence_note": LICENCE_NOTE,
        "seed": arguments.seed,
        "arguments": chosen,
        "versions": package_versions(),
    }
    atomic_io.write_json(folder / "training" / "manifest.json", manifest)
    atomic_io.write_json(folder / "training" / "summary.json", summary.to_dict())
    write_model_card(folder, model, summary, manifest)


def write_model_card(
    folder: Path,
    model: LunaModel,
    summary: TrainingSummary | None = None,
    manifest: dict[str, Any] | None = None,
    name: str | None = None,
) -> None:
    """Escreve ``model_card.md``: o que o modelo é, seus dados, suas medidas e como usá-lo."""
    config, name = model.config, name or folder.name
    parts = {
        "state-space": len(model.state_space_layers),
        "mixture of experts": len(model.moe_blocks),
        "HyperNetwork": len(model.hyper_networks),
        "rede que cresce": len(model.growing_networks),
    }
    components = ", ".join(f"{k} ({v})" for k, v in parts.items() if v) or "nenhum"
    total = grouped(model.parameter_count())
    active = grouped(model.parameter_count(active_only=True))
    lines = [
        "---",
        "language: pt",
        "library_name: lunagpt",
        "pipeline_tag: text-generation",
        "---",
        f"# {name}",
        "",
        "Modelo de diálogo em português feito com o LunaGPT.",
        "",
        "## O modelo",
        f"- Parâmetros: {total} ({active} usados por token)",
        f"- Largura {config.n_embd}, {config.n_layer} blocos, {config.n_head} cabeças, "
        f"contexto de {config.n_positions} tokens, vocabulário de {config.vocab_size}",
        f"- Componentes: {components}",
        "",
    ]
    lines += _data_lines(manifest) + _evaluation_lines(summary)
    lines += [
        "## Como usar",
        "```bash",
        f"python main.py chat --model {name}",
        f"python main.py train --model {name} --epochs 3",
        f"python main.py evaluate --model {name}",
        "```",
        "",
    ]
    atomic_io.write_text(folder / "model_card.md", "\n".join(lines))


def _data_lines(manifest: dict[str, Any] | None) -> list[str]:
    if manifest is None:
        return []
    lines = ["## Dados do último treino", f"- {manifest['texts']} textos"]
    lines += [
        f"- `{Path(item['file']).name}`: {item['bytes']} bytes, sha256 `{item['sha256'][:16]}…`"
        for item in manifest["files"]
    ]
    return [*lines, f"- {manifest['licence_note']}", ""]


def _evaluation_lines(summary: TrainingSummary | None) -> list[str]:
    if summary is None:
        return ["## Avaliação", "Ainda não foi treinado.", ""]
    return ["## Avaliação", *[f"- {line}" for line in summary.lines()], ""]
