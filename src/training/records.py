"""O que fica escrito ao lado dos pesos: de que dados veio o modelo, como foi treinado e como usar.

training/manifest.json   arquivos de dados (caminho, sha256, bytes), semente, argumentos, versões
training/summary.json    o resumo do último treino
model_card.md            o cartão do modelo, para pessoas
"""

import hashlib
import platform
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from src.models.luna_model import LunaModel
from src.training.summary import TrainingSummary
from src.utils import atomic_io

MANIFEST_VERSION = 1
PACKAGES = ("torch", "transformers", "tokenizers", "lunagpt")
LICENCE_NOTE = "Licença dos dados: não informada; confira se você pode usá-los e distribuí-los."


def data_sources(texts: Sequence[str]) -> list[dict[str, Any]]:
    """Os arquivos de onde vieram ``texts`` (``Document``), com sha256 e tamanho em bytes.

    Textos sem arquivo (dados à API) não aparecem na lista.
    """
    names = {str(getattr(text, "source", "") or "") for text in texts}
    paths = sorted({path for name in names for path in [_existing_file(name)] if path})
    return [
        {"file": path, "sha256": file_sha256(path), "bytes": Path(path).stat().st_size}
        for path in paths
    ]


def _existing_file(source: str) -> str | None:
    """``"conversas.jsonl:12"`` -> ``"conversas.jsonl"``; ``None`` se não é um arquivo."""
    for name in (source, source.rpartition(":")[0]):
        if name and Path(name).is_file():
            return name
    return None


def file_sha256(path: str) -> str:
    """O sha256 do conteúdo, lido aos poucos."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


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
    texts: Sequence[str],
) -> None:
    """Grava o manifesto, o resumo e o cartão do modelo depois de um treino."""
    names = "num_train_epochs per_device_train_batch_size gradient_accumulation_steps learning_rate"
    chosen = {name: getattr(arguments, name) for name in names.split()}
    manifest = {
        "version": MANIFEST_VERSION,
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "texts": len(texts),
        "files": data_sources(texts),
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
    total = f"{model.parameter_count():,}".replace(",", ".")
    active = f"{model.parameter_count(active_only=True):,}".replace(",", ".")
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
