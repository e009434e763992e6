"""``create``: tokenizador e modelo novos, a partir dos arquivos da pessoa."""

import argparse
import logging
from pathlib import Path
from typing import Any

from src.cli.runner import (
    option,
    parameters_text,
    quiet_libraries,
    read_texts,
    say,
)
from src.config.config import Config, TokenizerConfig
from src.config.presets import PRESETS, ties_embeddings
from src.utils.bundled import bundled_data
from src.utils.errors import ConfigError, NoDataError, UsageError

logger = logging.getLogger(__name__)
MIN_CHARACTERS = 1024  # menos que isso não dá um vocabulário
MIN_VOCABULARY = 512
SMALLEST_VOCABULARY = 264  # os 256 bytes e os tokens de controle
CHARACTERS_PER_TOKEN = 40


def run(args: argparse.Namespace, config: Config) -> dict[str, Any]:
    """Cria o modelo ``args.name``; a pasta só aparece quando está completa."""
    from src.utils.model_store import ModelStore

    if args.base and args.size:
        raise UsageError("--size não vale com --base: as dimensões vêm da base. Tire uma das duas.")
    size = choose_size(option(args.size, config.model_choices.get("size", "auto")))
    store = ModelStore(config.paths.models_dir)
    store.check_free(args.name, args.force)
    if not args.base:
        config.model = planned_model(config, size)  # valores recusados aparecem antes do trabalho
    texts = [] if args.base else training_texts(args, config)
    quiet_libraries()
    with store.lock(args.name):
        store.check_free(args.name, args.force)  # outro create pode ter terminado enquanto se lia
        model = build(args, config, size, texts, store)
    folder = store.path(args.name)
    say(args, f"Modelo '{args.name}' criado em {folder}.")
    say(args, f"Treine: python main.py train --model {args.name}")
    return {
        "name": args.name,
        "path": str(folder),
        "size": None if args.base else size,
        "parameters": model.parameter_count(),
        "active_parameters": model.parameter_count(active_only=True),
        "vocab_size": model.config.vocab_size,
        "texts": len(texts),
    }


def choose_size(asked: str) -> str:
    """``auto`` vira o tamanho que cabe nesta máquina.

    Erros:
        ConfigError: o tamanho não existe.
    """
    if asked == "auto":
        from src.utils.hardware_utils import choose_preset, detect_hardware

        return choose_preset(detect_hardware())
    if not isinstance(asked, str) or asked not in PRESETS:
        raise ConfigError(
            f"--size {asked!r}: não existe. Escolha entre auto, {', '.join(PRESETS)}."
        )
    return asked


def planned_model(config: Config, size: str) -> Any:
    """A ModelConfig do tamanho e do ``--config``; o vocabulário só se sabe depois dos textos.

    Erros:
        ConfigError: um campo da seção ``model`` não existe ou tem valor não aceito.
    """
    planned = Config(model=config.model_choices | {"size": size}).model
    if planned.vocab_size < SMALLEST_VOCABULARY:
        raise ConfigError(
            f"model.vocab_size={planned.vocab_size}: esperado no mínimo {SMALLEST_VOCABULARY}."
        )
    return planned


def training_texts(args: argparse.Namespace, config: Config) -> list[str]:
    """Os textos para o tokenizador.

    Erros:
        NoDataError: menos de 1 KB de texto.
    """
    if not args.train_data:
        say(args, "Sem --train_data: usando os dados de exemplo que vêm com o LunaGPT.")
    texts = read_texts(args, config, args.train_data or [str(bundled_data() / "train")])
    total = sum(len(text) for text in texts)
    if total < MIN_CHARACTERS:
        raise NoDataError(
            f"--train_data: só {total} caracteres de texto; são precisos ao menos {MIN_CHARACTERS} "
            "(1 KB) para criar um vocabulário. Junte mais arquivos."
        )
    return texts


def build(args: argparse.Namespace, config: Config, size: str, texts: list[str], store: Any) -> Any:
    """Treina o tokenizador e cria os pesos; o modelo só ganha nome quando está inteiro."""
    from src.models.tokenizer import LunaTokenizer
    from src.training.records import remember_data, write_model_card

    if args.base:
        tokenizer, model = _from_base(args, config)
    else:
        config.tokenizer.vocab_size = vocabulary_size(config, size, texts)
        say(args, f"Treinando o tokenizador ({len(texts)} textos)...")
        tokenizer = LunaTokenizer(config).train(texts)
        model = _from_scratch(config, tokenizer, sum(len(text) for text in texts))
    what = f"sobre {args.base}" if args.base else f"tamanho {size}"
    say(args, f"{parameters_text(model.parameter_count())}, {what}.")

    def fill(folder: Path) -> None:
        tokenizer.save(folder / "tokenizer")
        model.save(folder)
        write_model_card(folder, model, name=args.name)
        if args.train_data:
            remember_data(folder, args.train_data)

    store.install(args.name, fill)
    return model


def vocabulary_size(config: Config, size: str, texts: list[str]) -> int:
    """O vocabulário pedido na configuração; senão, o do tamanho, ou menos quando há pouco texto.

    Um token a cada 40 caracteres faz cada um aparecer umas dez vezes, em média. Com os dados que
    vêm junto, um vocabulário maior que isso só aumentou o modelo (docs/LOG.md).
    """
    if "vocab_size" in config.model_choices:
        return int(config.model_choices["vocab_size"])
    if config.tokenizer.vocab_size != TokenizerConfig().vocab_size:
        return config.tokenizer.vocab_size
    characters = sum(len(text) for text in texts)
    return min(PRESETS[size].vocab_size, max(MIN_VOCABULARY, characters // CHARACTERS_PER_TOKEN))


def token_ids(tokenizer: Any) -> dict[str, int]:
    """Os ids especiais que a configuração do modelo guarda."""
    return {
        "bos_token_id": tokenizer.eos_id,
        "eos_token_id": tokenizer.eos_id,
        "pad_token_id": tokenizer.pad_id,
    }


def _from_scratch(config: Config, tokenizer: Any, characters: int) -> Any:
    import torch

    from src.models.luna_model import LunaModel

    torch.manual_seed(config.training.seed)
    vocab_size = tokenizer.get_vocab_size()
    changes: dict[str, Any] = {"vocab_size": vocab_size} | token_ids(tokenizer)
    if "tie_word_embeddings" not in config.model_choices:
        changes["tie_word_embeddings"] = ties_embeddings(characters, vocab_size)
    config.model = config.model.replaced(**changes)
    return LunaModel.from_scratch(config.model)


def _from_base(args: argparse.Namespace, config: Config) -> tuple[Any, Any]:
    import torch

    from src.models.gpt2_base import check_base_folder, from_gpt2
    from src.models.tokenizer import LunaTokenizer

    folder: Path = check_base_folder(args.base)
    tokenizer = LunaTokenizer.from_hf_folder(folder, config)
    torch.manual_seed(config.training.seed)
    model = from_gpt2(
        folder, tokenizer.get_vocab_size(), config.model_choices, **token_ids(tokenizer)
    )
    return tokenizer, model
