"""``train``: treina um modelo que existe."""

import argparse
import contextlib
import shlex
import sys
from pathlib import Path
from typing import Any

from src.cli.runner import bundled_data, option, quiet_libraries, read_texts, say
from src.config.config import Config
from src.utils.numbers import grouped


def run(args: argparse.Namespace, config: Config) -> dict[str, Any]:
    """Treina ``args.model`` e diz, no fim, quanto confiar nele."""
    from src.utils.model_store import ModelStore

    folder = ModelStore(config.paths.models_dir).require(args.model)  # antes de ler dados
    recall_data(args, folder)
    if args.lightweight:
        config.training.lightweight = True
    train, valid = read_data(args, config)
    quiet_libraries()
    with contextlib.redirect_stdout(sys.stderr):  # o transformers e o wandb escrevem em stdout
        summary = supervised(args, config, train, valid)
    if args.train_data:
        from src.training.records import remember_data

        remember_data(folder, args.train_data, args.valid_data)
    summary.notes = []
    for line in summary.lines():
        say(args, line)
    say(args, f"Converse: python main.py chat --model {args.model}")
    return summary.to_dict() | {"model": args.model}


def supervised(args: argparse.Namespace, config: Config, train: list, valid: list) -> Any:
    """Treina, dizendo antes o que a máquina ou ``--lightweight`` mudou; devolve o resumo.

    Erros:
        KeyboardInterrupt: Ctrl-C; a mensagem diz o que está salvo e como continuar.
    """
    from src.training.trainer import LunaTrainer

    trainer = LunaTrainer(
        args.model, config, option(args.device, "auto"), not (args.quiet or args.json)
    )
    for note in trainer.settings.notes:
        say(args, note)
    count = grouped(trainer.model.parameter_count())
    say(args, f"Treinando '{args.model}' ({count} parâmetros, {trainer.device}).")
    try:
        return trainer.train_supervised(train, valid, **trainer_options(args))
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(interrupted_text(trainer, args)) from error


def interrupted_text(trainer: Any, args: argparse.Namespace) -> str:
    """O que dizer de um Ctrl-C: o que está salvo e como continuar."""
    saved = "o modelo está como antes"  # parou antes de gravar
    if trainer.last_summary:
        saved = f"o aprendido em {trainer.last_summary.steps} passos está salvo"
    command = ["python", "main.py", "train", "--model", args.model]
    for name in ("train_data", "valid_data"):
        patterns = getattr(args, name)
        command += [f"--{name}", *patterns] if patterns else []
    return f"Treino interrompido; {saved}. Para continuar: {shlex.join(command)}"


def recall_data(args: argparse.Namespace, folder: Path) -> None:
    """Sem ``--train_data``, os arquivos do ``create`` ou do último treino deste modelo."""
    from src.training.records import remembered_data

    if args.train_data:
        return
    train, valid = remembered_data(folder)
    if train:
        say(args, f"Sem --train_data: usando os arquivos de antes ({', '.join(train)}).")
        args.train_data, args.valid_data = train, args.valid_data or valid or None


def trainer_options(args: argparse.Namespace) -> dict[str, Any]:
    """As opções da linha de comando, com os nomes do Trainer."""
    options: dict[str, Any] = {}
    if args.epochs is not None:
        options["num_train_epochs"] = args.epochs
    if args.use_wandb:
        from src.utils.dependency_utils import require

        require("wandb", "wandb")
        options |= {"report_to": ["wandb"], "run_name": args.model}
    return options


def read_data(args: argparse.Namespace, config: Config) -> tuple[list[Any], list[Any]]:
    """Textos de treino e de validação.

    Sem ``--valid_data``, uma parte do treino é separada; sem ``--train_data``, valem os dados que
    vêm junto.
    """
    from src.utils.file_utils import split_documents

    train_patterns, valid_patterns = args.train_data, args.valid_data
    if not train_patterns:
        say(args, "Sem --train_data: usando os dados de exemplo que vêm com o LunaGPT.")
        train_patterns = [str(bundled_data() / "train")]
        valid_patterns = valid_patterns or [str(bundled_data() / "valid" / "*.txt")]
    train = read_texts(args, config, train_patterns)
    if valid_patterns:
        valid = read_texts(args, config, valid_patterns)
        return without_held_out(args, train, valid), valid
    training = config.training
    train, valid = split_documents(
        train, training.valid_fraction, training.seed, already_unique=True
    )
    say(args, f"{len(train)} textos para treino, {len(valid)} separados para validação.")
    return train, valid


def without_held_out(args: argparse.Namespace, train: list[Any], valid: list[Any]) -> list[Any]:
    """``train`` sem os textos que também estão, iguais ou quase, em ``valid``.

    Erros:
        NoDataError: não sobra nada para treinar.
    """
    from src.utils.dedup import duplicate_groups
    from src.utils.errors import NoDataError

    groups = duplicate_groups([*valid, *train])
    held_out = set(groups[: len(valid)])
    kept = [text for text, group in zip(train, groups[len(valid) :]) if group not in held_out]
    if len(kept) < len(train):
        removed = len(train) - len(kept)
        print(
            f"{removed} textos do treino também estão na validação e saíram do treino.",
            file=sys.stderr,
        )
    if not kept:
        raise NoDataError(
            "--valid_data: os textos são os mesmos do treino, e não sobra nada para treinar. "
            "Use outros arquivos, ou deixe que uma parte seja separada (sem --valid_data)."
        )
    return kept
