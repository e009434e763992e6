"""``train``: treina um modelo que existe."""

import argparse
import contextlib
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from src.cli.runner import option, quiet_libraries, read_texts, say
from src.config.config import Config
from src.utils.bundled import bundled_data
from src.utils.errors import UsageError

#: Perguntas feitas ao longo do treino, para ver o modelo mudar (``training/samples.jsonl``).
PROMPTS = ("Oi, tudo bem?", "O que é a água?", "Me conte uma história curta.")
#: Opções que mudam o treino e por isso não se misturam com ``--resume``, que usa as de antes.
FIXED_BY_RESUME = ("epochs", "max_minutes", "curriculum", "lora", "seed")
#: O que da configuração decide que linhas se leem; ``--resume`` volta a usar o de então.
REMEMBERED_CONFIG = ("corpus_mb", "max_file_mb", "valid_fraction", "seed", "lightweight")


def run(args: argparse.Namespace, config: Config) -> dict[str, Any]:
    """Treina ``args.model`` e diz, no fim, quanto confiar nele."""
    from src.utils.model_store import ModelStore

    folder = ModelStore(config.paths.models_dir).require(args.model)  # antes de ler dados
    check_options(args)
    stages = read_stages(args)
    config.training.lightweight |= bool(args.lightweight)
    record = resumed_record(args, config, folder)
    earlier = earlier_data(args, folder, record)
    recall_data(args, folder, record)
    train, valid = read_data(args, config, folder, record)
    quiet_libraries()
    with contextlib.redirect_stdout(sys.stderr), terminated_as_interrupted():
        # o transformers e o wandb escrevem em stdout
        summary = supervised(args, config, train, valid, stages, earlier)
    if args.train_data:
        from src.training.records import remember_data

        remember_data(folder, [*earlier, *args.train_data], args.valid_data)
    summary.notes = []
    for line in summary.lines():
        say(args, line)
    say(args, f"Relatório: {folder / 'training' / 'report.html'}")
    say(args, f"Converse: python main.py chat --model {args.model}")
    return summary.to_dict() | {"model": args.model}


def check_options(args: argparse.Namespace) -> None:
    """Recusa opções que se contradizem.

    Erros:
        UsageError.
    """
    if args.epochs is not None and args.max_minutes is not None:
        raise UsageError("--epochs e --max_minutes dizem os dois quanto treinar: use um só.")
    if args.resume is None:
        return
    given = [name for name in FIXED_BY_RESUME if getattr(args, name) not in (None, False)]
    if given:
        raise UsageError(
            f"--resume continua com as opções de antes: tire --{given[0]}, ou treine sem --resume "
            "para começar outro treino."
        )


def read_stages(args: argparse.Namespace) -> Any:
    """Os estágios de ``--curriculum``; ``None`` pede os padrões (ou não há currículo)."""
    if not args.curriculum:
        return None
    from src.training.curriculum import load_stages

    return load_stages(args.curriculum)


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Um SIGTERM (desligar a máquina, parar o contêiner) vale como Ctrl-C.

    Durante os passos quem atende os dois é ``src/training/stop_signals.py``.
    """
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def supervised(
    args: argparse.Namespace, config: Config, train: Any, valid: list, stages: Any, earlier: list
) -> Any:
    """Treina, dizendo antes o que a máquina ou ``--lightweight`` mudou; devolve o resumo.

    Erros:
        KeyboardInterrupt: Ctrl-C; a mensagem diz o que está salvo e como continuar.
    """
    from src.training.run_file import unfinished_run
    from src.training.trainer import LunaTrainer

    trainer = LunaTrainer(
        args.model, config, option(args.device, "auto"), not (args.quiet or args.json)
    )
    trainer.monitor.use_wandb = bool(args.use_wandb)
    trainer.monitor.announce = lambda line: say(args, line)
    trainer.monitor.prompts = PROMPTS
    trainer.monitor.command = remembered_command(args, config, earlier)
    for note in trainer.settings.notes:
        say(args, note)
    say(args, f"Treinando '{args.model}' ({trainer.device}).")
    if args.resume is None and unfinished_run(trainer.folder) is not None:
        say(
            args,
            "Há um treino interrompido deste modelo, que --resume continuaria; este é outro, e "
            "toma o lugar dele.",
        )
    options = trainer_options(args)
    if earlier and args.replay:
        options |= {"replay_data": replay_texts(args, config, earlier, train)}
        options |= {"replay_fraction": args.replay}
    try:
        if args.curriculum is not None:
            return trainer.train_curriculum(train, valid, stages, **options)
        return trainer.train_supervised(train, valid, **options)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(interrupted_text(trainer, args)) from error


def replay_texts(
    args: argparse.Namespace, config: Config, earlier: list[str], train: Any
) -> list[Any]:
    """Os textos de antes, para reler; dos que não cabem na memória, um sorteio que baste."""
    from src.training.corpus_reading import CorpusReport
    from src.training.finetune import enough_tokens, sample_corpus
    from src.utils.numbers import grouped

    if not is_large(config, earlier):
        return read_texts(args, config, earlier)
    report, limit = CorpusReport(), option(args.max_file_mb, config.training.max_file_mb)
    new = train if isinstance(train, list) else []  # um corpus em disco não aceita releitura
    texts = sample_corpus(earlier, enough_tokens(new, args.replay), limit, report)
    for line in report.warnings():
        print(line, file=sys.stderr)
    say(args, f"Os dados de antes não cabem na memória: {grouped(len(texts))} textos sorteados.")
    return texts


def remembered_command(
    args: argparse.Namespace, config: Config, earlier: list[str]
) -> dict[str, Any]:
    """O que ``--resume`` precisa saber da linha de comando e da configuração."""
    from src.training.records import absolute_patterns

    training = {name: getattr(config.training, name) for name in REMEMBERED_CONFIG}
    training["max_file_mb"] = option(args.max_file_mb, training["max_file_mb"])
    return {
        "training": training,
        "train_data": absolute_patterns(args.train_data or []),
        "valid_data": absolute_patterns(args.valid_data or []),
        "replay": args.replay,
        "earlier": earlier,
    }


def interrupted_text(trainer: Any, args: argparse.Namespace) -> str:
    """O que dizer de um Ctrl-C: o que está salvo e, se há o que continuar, como."""
    from src.training.run_file import read_run_file

    saved = "o modelo está como antes"  # parou antes de gravar
    if trainer.last_summary:
        saved = f"o aprendido em {trainer.last_summary.steps} passos está salvo"
    command = ["python", "main.py", "train", "--model", args.model, "--resume"]
    if args.config:
        command += ["--config", os.path.abspath(args.config)]
    found, begun = read_run_file(trainer.folder), trainer.record
    if found is None or begun is None or found.run != begun.run:
        return f"Treino interrompido antes do primeiro passo; {saved}. Repita o comando."
    if found.finished:
        return f"Treino terminado, e {saved}; só as medidas do fim foram interrompidas."
    return f"Treino interrompido; {saved}. Para continuar: {shlex.join(command)}"


def resumed_record(args: argparse.Namespace, config: Config, folder: Path) -> Any:
    """O treino por retomar; ``None`` sem ``--resume``. As opções de leitura voltam a ser as dele.

    Erros:
        LunaError: não há treino por retomar.
    """
    from src.training.run_file import require_unfinished

    if args.resume is None:
        return None
    record = require_unfinished(folder)
    for name, value in record.command.get("training", {}).items():
        setattr(config.training, name, value)
    return record


def earlier_data(args: argparse.Namespace, folder: Path, record: Any) -> list[str]:
    """Os arquivos de antes, para reler com ``--replay``.

    Erros:
        UsageError: ``--replay`` sem dados novos, ou sem dados de antes.
    """
    from src.training.records import remembered_data

    if record is not None:
        args.replay = record.command.get("replay")
        return list(record.command.get("earlier") or [])
    if not args.replay:
        return []
    if not args.train_data:
        raise UsageError(
            "--replay relê os dados de antes junto dos novos: dê os novos em --train_data."
        )
    earlier, _ = remembered_data(folder)
    if not earlier:
        raise UsageError(
            f"--replay: não se sabe de que dados veio '{args.model}'. Junte-os em --train_data."
        )
    return earlier


def recall_data(args: argparse.Namespace, folder: Path, record: Any) -> None:
    """Sem ``--train_data``, os arquivos do treino por retomar, do ``create`` ou do último."""
    from src.training.records import remembered_data

    if args.train_data:
        return
    if record is not None:
        train, valid = record.command.get("train_data"), record.command.get("valid_data")
        args.train_data, args.valid_data = train or None, args.valid_data or valid or None
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
    for name in ("max_minutes", "seed", "resume"):
        if getattr(args, name) is not None:
            options[name] = getattr(args, name)
    if args.lora:
        options["lora"] = True
    if args.use_wandb:
        options["run_name"] = args.model
    return options


def read_data(
    args: argparse.Namespace, config: Config, folder: Path, record: Any
) -> tuple[Any, list[Any]]:
    """Textos de treino e de validação.

    Sem ``--valid_data``, uma parte do treino é separada; sem ``--train_data``, valem os dados que
    vêm junto. O que é grande demais para a memória vira um ``CorpusDataset`` em disco.

    Erros:
        UsageError: currículo ou releitura, que pedem tudo na memória, com dados grandes demais.
    """
    from src.utils.file_utils import split_documents

    train_patterns, valid_patterns = args.train_data, args.valid_data
    if not train_patterns:
        say(args, "Sem --train_data: usando os dados de exemplo que vêm com o LunaGPT.")
        train_patterns = [str(bundled_data() / "train")]
        valid_patterns = valid_patterns or [str(bundled_data() / "valid" / "*.txt")]
    elif is_large(config, train_patterns):
        if args.curriculum is not None or args.replay:
            name = "--replay" if args.curriculum is None else "--curriculum"
            raise UsageError(
                f"{name}: os dados passam de {config.training.corpus_mb:g} MB e ficam em disco, e "
                f"{name} os pede na memória. Use menos dados, ou treine sem {name}."
            )
        context = record.request["context"] if record is not None else None
        return read_corpus(args, config, folder, train_patterns, valid_patterns, context)
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


def is_large(config: Config, patterns: list[str]) -> bool:
    """Se os textos passam do que se guarda inteiro na memória."""
    from src.training.corpus import corpus_is_large
    from src.utils.file_utils import expand_patterns

    return corpus_is_large(expand_patterns(patterns), config.training.corpus_mb)


def read_corpus(
    args: argparse.Namespace,
    config: Config,
    folder: Path,
    patterns: list[str],
    valid: Any,
    context: int | None,
) -> tuple[Any, list[Any]]:
    """As linhas de um corpus grande, tokenizadas uma vez e lidas do disco.

    Args:
        context: o comprimento delas; ``None`` é o que esta máquina aguenta.
    """
    from src.config.personas import load_personas
    from src.models.tokenizer import LunaTokenizer
    from src.training.conditions import conditions_of
    from src.training.corpus import CorpusOptions, prepare_corpus
    from src.training.trainer import LunaTrainer

    quiet_libraries()
    held_out = read_texts(args, config, valid) if valid else []
    training = config.training
    trainer = LunaTrainer(args.model, config, option(args.device, "auto"), False)
    options = CorpusOptions(
        valid_fraction=0.0 if held_out else training.valid_fraction,
        seed=training.seed,
        held_out=held_out,
        max_file_mb=option(args.max_file_mb, training.max_file_mb),
        personas=load_personas(config.paths.personas_file),
        show_progress=not (args.quiet or args.json),
        **conditions_of(trainer.model.config)._asdict(),
    )
    corpus = prepare_corpus(
        patterns,
        LunaTokenizer(config).load(folder / "tokenizer"),
        option(context, trainer.settings.context_length),
        folder / "training" / "cache",
        options,
        lambda line: say(args, line),
    )
    for line in corpus.report.warnings():
        print(line, file=sys.stderr)
    for line in corpus.report.totals():
        say(args, line)
    return corpus, held_out or list(corpus.valid_texts)


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
