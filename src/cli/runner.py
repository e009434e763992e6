"""Roda o comando escolhido: prepara o ambiente, desenha os erros e devolve o código de saída."""

import argparse
import importlib
import json
import logging
import os
import shutil
import sys
import textwrap
import traceback
from typing import Any

from src.config.config import Config
from src.utils.errors import LunaError
from src.utils.numbers import decimal, grouped
from src.utils.processes import is_main_process

#: Passivas, as threads do OpenMP dormem em vez de girar à espera: sem isso, outro programa ocupando
#: um núcleo deixa cada passo várias vezes mais lento (docs/LOG.md).
ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "true"}


def run(args: argparse.Namespace) -> int:
    """Roda ``src.cli.<comando>.run(args, config)``; o único lugar que imprime erros."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        _prepare(args)
        module = importlib.import_module(f"src.cli.{args.command}")
        result: dict[str, Any] | None = module.run(args, load_config(args))
        if args.json and result is not None and is_main_process():
            print(json.dumps(result, ensure_ascii=False))
        return int(result.get("exit_code", 0)) if result else 0
    except KeyboardInterrupt as error:
        return _interrupted(error, args)
    except BrokenPipeError:  # main.py trata
        raise
    except LunaError as error:
        return _failed(error, error.exit_code, args)
    except MemoryError as error:
        message = "Faltou memória. Tente --lightweight, um --size menor ou arquivos menores."
        return _failed(error, 1, args, message)
    except OSError as error:
        where = f" ('{error.filename}')" if error.filename else ""
        return _failed(error, 1, args, f"O sistema recusou a operação{where}: {error.strerror}.")
    except Exception as error:  # o que não se previu também sai sem traceback
        hint = "Isto é um defeito do LunaGPT; com --debug aparecem os detalhes para o relato."
        return _failed(error, 1, args, f"Erro inesperado ({type(error).__name__}): {error}. {hint}")


def _prepare(args: argparse.Namespace) -> None:
    from src.utils.logging_utils import ensure_utf8_streams, setup_logging

    ensure_utf8_streams()
    setup_logging(logging.WARNING, quiet=args.quiet, debug=args.debug)


def load_config(args: argparse.Namespace) -> Config:
    """A configuração do ``--config``, ou a padrão."""
    return Config.from_file(args.config) if args.config else Config()


def _failed(
    error: BaseException, code: int, args: argparse.Namespace, message: str | None = None
) -> int:
    text = message or str(error)
    if args.debug:
        traceback.print_exception(error)
    if args.json:
        print(json.dumps({"error": text, "exit_code": code}, ensure_ascii=False))
    print(f"Erro: {text}", file=sys.stderr)
    return code


def _interrupted(error: KeyboardInterrupt, args: argparse.Namespace) -> int:
    if args.debug:
        traceback.print_exception(error)
    print(f"\n{error}" if str(error) else "\nInterrompido.", file=sys.stderr)
    return 130


# ---------------------------------------------------------------------- apoio aos comandos


def say(args: argparse.Namespace, text: str) -> None:
    """Uma linha para a pessoa, em stderr; calada com ``--quiet`` ou ``--json``."""
    if args.quiet or args.json or not is_main_process():
        return
    if sys.stderr.isatty():
        text = textwrap.fill(text, shutil.get_terminal_size().columns - 1)
    print(text, file=sys.stderr, flush=True)


def read_texts(args: argparse.Namespace, config: Config, patterns: list[str]) -> list[Any]:
    """Lê os arquivos de ``patterns`` e conta à pessoa o que achou, problemas primeiro.

    Erros:
        NoDataError, DataError: nada a ler, ou nada aproveitável.
    """
    from src.utils.file_utils import load_documents

    limit = option(getattr(args, "max_file_mb", None), config.training.max_file_mb)
    documents, report = load_documents(patterns, max_file_mb=limit)
    for line in report.warnings():
        print(line, file=sys.stderr)
    for line in report.totals():
        say(args, line)
    return documents


def quiet_libraries() -> None:
    """Sem barras nem avisos do transformers na tela de quem usa."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()


def use_cores(device: str, lightweight: bool = False) -> None:
    """No processador, usa todos os núcleos; com ``--lightweight``, deixa um livre."""
    import torch

    from src.utils.hardware_utils import detect_hardware

    if device == "cpu":
        cores = max(detect_hardware().cpu_count, 1)
        torch.set_num_threads(max(cores - 1, 1) if lightweight else cores)


def parameters_text(count: int) -> str:
    """``1,8 milhão de parâmetros``, ``2,1 milhões de parâmetros`` ou ``253.392 parâmetros``."""
    millions = round(count / 1e6, 1)
    if millions < 1:
        return f"{grouped(count)} parâmetros"
    word = "milhão" if millions < 2 else "milhões"
    return f"{decimal(millions, 1)} {word} de parâmetros"


def option(value: Any, default: Any) -> Any:
    """O que a pessoa deu na linha de comando, ou ``default`` (as opções nascem ``None``)."""
    return default if value is None else value
