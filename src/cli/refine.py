"""``refine``: refina um modelo com as avaliações dele, e só fica com o que se prova melhor."""

import argparse
import contextlib
import sys
from pathlib import Path
from typing import Any

from src.cli.runner import option, quiet_libraries, say
from src.config.config import Config
from src.utils.errors import UsageError
from src.utils.numbers import counted, decimal

SHOWN_TRAITS = 4


def run(args: argparse.Namespace, config: Config) -> dict[str, Any]:
    """Refina, lista as versões (``--list``) ou volta a uma delas (``--rollback``)."""
    from src.utils.model_store import ModelStore

    asked = [name for name in ("list", "dry_run") if getattr(args, name)]
    asked += ["rollback"] if args.rollback is not None else []
    if len(asked) > 1:
        raise UsageError(f"--{asked[0]} e --{asked[1]} pedem coisas diferentes: use um só.")
    store = ModelStore(config.paths.models_dir)
    folder = store.require(args.model)
    if args.list:
        return list_versions(args, folder)
    if args.rollback is not None:
        with store.lock(args.model):
            return roll_back(args, folder)
    return refine(args, config)


def refine(args: argparse.Namespace, config: Config) -> dict[str, Any]:
    """Refina e diz o que houve."""
    from src.cli.train import terminated_as_interrupted
    from src.training.trainer import LunaTrainer

    config.training.lightweight |= bool(args.lightweight)
    quiet_libraries()
    with contextlib.redirect_stdout(sys.stderr), terminated_as_interrupted():
        trainer = LunaTrainer(args.model, config, option(args.device, "auto"), False)
        trainer.monitor.announce = lambda line: say(args, line)
        for note in trainer.settings.notes:
            say(args, note)
        try:
            result = trainer.update_with_feedback(dry_run=bool(args.dry_run))
        except KeyboardInterrupt as error:
            text = "Refinamento interrompido; o modelo continua como estava."
            raise KeyboardInterrupt(text) from error
    if not args.json:
        for line in lines(result.to_dict()):
            print(line)
    return result.to_dict()


def lines(result: dict[str, Any]) -> list[str]:
    """A última tela de um refinamento."""
    found = []
    used, learned, proof = result["feedback"], result["learned"], result["gate"]
    kinds = [
        counted(used["paired"], "correção", "correções"),
        counted(used["desirable"], "resposta boa", "respostas boas"),
        counted(used["undesirable"], "resposta ruim", "respostas ruins"),
    ]
    found.append(f"Avaliações: {used['ratings']} ({', '.join(kinds)}).")
    found += used["notes"]
    if learned and learned["lines"]:
        likes = [trait["text"] for trait in learned["lines"] if trait["weight"] > 0]
        dislikes = [trait["text"] for trait in learned["lines"] if trait["weight"] < 0]
        for verb, traits in (("Você prefere", likes), ("e não gosta de", dislikes)):
            if traits:
                found.append(f"{verb}: {', '.join(traits[:SHOWN_TRAITS])}.")
    if proof and proof["text"]:
        text = proof["text"]
        found.append(
            f"Texto que ele não leu: {decimal(text['before'])} -> {decimal(text['after'])} bits "
            f"por byte ({text['source']})."
        )
    found.append(result["reason"])
    found += result["advice"]
    if result["kept"]:
        model = result["model"]
        found.append(
            f"Agora responde a {result['version']}. Converse: python main.py chat --model {model}"
        )
        found.append(
            f"Para voltar à {result['parent']}: python main.py refine --model {model} --rollback"
        )
    if result["report"]:
        found.append(f"Relatório: {result['report']}")
    return found


def list_versions(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """As versões guardadas, e qual responde."""
    from src.models.versions import ORIGINS, VersionStore

    store = VersionStore(folder)
    versions, current = store.all(), store.current()
    if not args.json:
        if not versions:
            print("Ainda não há versões: a primeira nasce no primeiro refinamento que ficar.")
        for version in versions:
            mark = "*" if version == current else " "
            what = ORIGINS.get(version.origin, version.origin)
            accuracy = (version.details.get("preference") or {}).get("value")
            gain = f", {decimal(100 * accuracy, 0)} % das preferências" if accuracy else ""
            print(f"{mark} {version.name}  {version.created:%d/%m/%Y %H:%M}  {what}{gain}")
        if versions and current is None:
            print("* a que responde foi treinada depois, e ainda não está guardada aqui")
    return {
        "model": args.model,
        "current": current.name if current else None,
        "versions": [version.to_dict() for version in versions],
    }


def roll_back(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Volta à versão anterior, ou à que se pediu."""
    from src.models.versions import VersionStore

    quiet_libraries()
    store = VersionStore(folder)
    wanted = store.find(args.rollback or None)
    before = store.current()
    if before == wanted:
        raise UsageError(f"--rollback: a {wanted.name} já é a que responde.")
    store.serve(wanted)
    kept = before or next(v for v in reversed(store.all()) if v.origin == "treino")
    if not args.json:
        print(f"Responde agora a {wanted.name}. A de antes ({kept.name}) continua guardada.")
    return {"model": args.model, "current": wanted.name, "before": kept.name}
