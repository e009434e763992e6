"""``feedback``: mostra, exporta, importa, desfaz e apaga as avaliações das respostas."""

import argparse
import shlex
import shutil
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from src.chat.terminal_text import one_line
from src.cli.runner import say
from src.config.config import Config
from src.config.options import quoted
from src.models.feedback_formats import FORMATS, export, import_csv
from src.models.feedback_ledger import oldest_first
from src.models.feedback_records import Record, moment
from src.models.feedback_samples import training_samples
from src.models.feedback_system import FeedbackSystem
from src.utils.documents import LoadReport
from src.utils.errors import DataError, UsageError
from src.utils.logging_utils import is_interactive
from src.utils.numbers import counted, decimal, grouped

#: ação -> (quantos nomes pede, as opções que são dela, como se escreve)
ACTIONS: dict[str, tuple[int, tuple[str, ...], str]] = {
    "stats": (0, ("model",), "feedback stats [--model NOME]"),
    "list": (0, ("model",), "feedback list [--model NOME]"),
    "export": (
        *(1, ("model", "format", "force")),
        "feedback export ARQUIVO.jsonl [--format {paired,unpaired,raw}]",
    ),
    "import": (1, ("model",), "feedback import ARQUIVO.csv [--model NOME]"),
    "undo": (1, (), "feedback undo ID"),
    "purge": (
        *(0, ("id", "session", "text", "force")),
        "feedback purge com uma de --id ID, --session ID e --text TEXTO",
    ),
}
OPTIONS = ("model", "format", "id", "session", "text", "force")
LISTED = 20  # as últimas, na lista
ID_CHARS = 8  # do id, na lista; mais, se não bastarem
PROMPT_COLUMNS = 60  # da pergunta, fora de um terminal
BAR_COLUMNS = 24
ASPECT_NAMES = {"precisao": "precisão", "relevancia": "relevância", "tom": "tom"}
NO_FEEDBACK = "Nenhuma avaliação ainda. Converse (python main.py chat) e avalie: /nota 5"


def run(args: argparse.Namespace, config: Config) -> dict[str, Any]:
    """Roda a ação pedida."""
    if args.action not in ACTIONS:
        raise UsageError(f"feedback {args.action}: ação desconhecida; há {', '.join(ACTIONS)}.")
    count, options, form = ACTIONS[args.action]
    foreign = [name for name in OPTIONS if getattr(args, name) and name not in options]
    if len(args.names) != count or foreign:
        extra = f" (--{foreign[0]} é de outra ação)" if foreign else ""
        raise UsageError(f"feedback {args.action}: esperado 'main.py {form}'{extra}.")
    actions: dict[str, Callable[[argparse.Namespace, FeedbackSystem], dict[str, Any]]] = {
        "stats": _stats,
        "list": _list,
        "export": _export,
        "import": _import,
        "undo": _undo,
        "purge": _purge,
    }
    return actions[args.action](args, FeedbackSystem(config))


# --- stats ---------------------------------------------------------------------------------------


def _stats(args: argparse.Namespace, system: FeedbackSystem) -> dict[str, Any]:
    stats = system.stats(args.model)
    if not args.json:
        if stats["total"]:
            print("\n".join(summary_lines(stats)))
        _hint(args, system, stats)
    minimum = system.config.feedback.min_new
    return {"path": str(system.path), "min_new": minimum, **stats, "problems": system.problems}


def summary_lines(stats: dict[str, Any]) -> list[str]:
    """Os números em frases, do mais geral ao mais particular; o que não há não aparece."""
    corrections = stats["corrections"]
    lines = [_overview(stats), *_rating_lines(stats["rating"])]
    aspects = [
        f"{label} {_grade(stats['aspects'][name])}"
        for name, label in ASPECT_NAMES.items()
        if stats["aspects"][name]["count"]
    ]
    lines += [f"Aspectos: {'; '.join(aspects)}."] if aspects else []
    lines += _nps_lines(stats["nps"])
    if corrections:
        lines.append(f"Respostas corrigidas: {grouped(corrections)}.")
    for title, name in (("persona", "persona"), ("modelo", "model"), ("versão", "version")):
        lines += _group_lines(title, stats[f"by_{name}"])
    return lines


def _overview(stats: dict[str, Any]) -> str:
    first, last = (moment(stats[name]) for name in ("first", "last"))
    days = sorted({_day(when): None for when in (first, last) if when})
    period = ""
    if first and last:
        period = f", de {_day(first)} a {_day(last)}" if len(days) > 1 else f", em {_day(first)}"
    total = counted(stats["total"], "avaliação guardada", "avaliações guardadas")
    waiting = counted(stats["pending"], "espera um refinamento", "esperam um refinamento")
    return f"{total}{period}; {waiting}."


def _day(when: datetime) -> str:
    return when.astimezone().strftime("%d/%m/%Y")


def _rating_lines(rating: dict[str, Any]) -> list[str]:
    if not rating["count"]:
        return []
    spread = rating["distribution"]
    most = max(spread.values())
    lines = [f"Nota média: {decimal(rating['mean'], 1)} de 5."]
    for value in sorted(spread, reverse=True):
        bar = "█" * round(BAR_COLUMNS * spread[value] / most)
        lines.append(f"  {value}  {bar + ' ' if bar else ''}{grouped(spread[value])}")
    return lines


def _grade(values: dict[str, Any]) -> str:
    return f"{decimal(values['mean'], 1)} ({counted(values['count'], 'nota', 'notas')})"


def _nps_lines(nps: dict[str, Any]) -> list[str]:
    if not nps["count"]:
        return []
    answers = counted(nps["count"], "resposta", "respostas")
    return [f"NPS: {grouped(nps['score'])}, numa escala de -100 a 100 ({answers})."]


def _group_lines(title: str, groups: dict[str, dict[str, Any]]) -> list[str]:
    """Uma linha por grupo, se algum tem nome."""
    if not any(groups):
        return []
    lines = [f"Por {title}:"]
    for name, values in groups.items():
        mean = "" if values["mean"] is None else f", nota média {decimal(values['mean'], 1)}"
        total = counted(values["total"], "avaliação", "avaliações")
        lines.append(f"  {one_line(name, 40) or '(não se sabe)'}: {total}{mean}")
    return lines


def _hint(args: argparse.Namespace, system: FeedbackSystem, stats: dict[str, Any]) -> None:
    """O próximo passo."""
    if not stats["total"]:
        say(args, NO_FEEDBACK if args.model is None else f"Nenhuma avaliação de '{args.model}'.")
        return
    if stats["damaged"]:
        texts = "linha danificada foi pulada", "linhas danificadas foram puladas"
        say(args, f"{counted(stats['damaged'], *texts)}; nada delas se apagou.")
    missing = system.config.feedback.min_new - stats["pending"]
    if missing > 0:
        more = counted(missing, "avaliação nova", "avaliações novas")
        say(args, f"Com mais {more}, vale a pena refinar o modelo.")
        return
    models = [name for name in stats["by_model"] if name]
    model = args.model or (models[0] if len(models) == 1 else "NOME")
    say(args, f"Já dá para refinar: python main.py refine --model {shlex.quote(model)}")


# --- list ----------------------------------------------------------------------------------------


def _list(args: argparse.Namespace, system: FeedbackSystem) -> dict[str, Any]:
    found = _everything(args, system)
    shown = found[-LISTED:]
    if not args.json and shown:
        width = shutil.get_terminal_size().columns if is_interactive(sys.stdout) else None
        print("\n".join(table(shown, _id_chars(found), width)))
    if not found:
        say(args, NO_FEEDBACK if args.model is None else f"Nenhuma avaliação de '{args.model}'.")
    elif len(found) > len(shown):
        say(args, f"As últimas {len(shown)} de {grouped(len(found))}. Todas: feedback export")
    return {"feedback": shown, "total": len(found)}


def _everything(args: argparse.Namespace, system: FeedbackSystem) -> list[Record]:
    """As avaliações que valem, arquivadas inclusive, da mais antiga à mais nova."""
    archived, current = system.archived(), system.get_all_feedback()
    here = {record["id"] for record in current}
    records = [record for record in archived if record["id"] not in here] + current
    wanted = args.model
    return oldest_first(r for r in records if wanted is None or r.get("model", wanted) == wanted)


def _id_chars(records: list[Record]) -> int:
    """Quantos caracteres do id bastam para não confundir duas avaliações."""
    ids, size = [record["id"] for record in records], ID_CHARS
    while len({name[:size] for name in ids}) < len(ids):
        size += 1
    return size


def table(records: list[Record], id_chars: int, width: int | None) -> list[str]:
    """Uma linha por avaliação: id, data, o que se disse e o começo da pergunta.

    Args:
        width: colunas do terminal; ``None`` mostra ``PROMPT_COLUMNS`` de cada pergunta.
    """
    said = [_said(record) for record in records]
    room = max(map(len, said))
    lines = []
    for record, text in zip(records, said):
        when = moment(record["timestamp"])
        date = when.astimezone().strftime("%d/%m/%Y %H:%M") if when else "sem data"
        line = f"{record['id'][:id_chars]}  {date:<16}  {text:<{room}}  "
        left = PROMPT_COLUMNS if width is None else max(width - len(line), 10)
        lines.append((line + one_line(record["prompt"], left)).rstrip())
    return lines


def _said(record: Record) -> str:
    """O que se disse da resposta, em poucas palavras."""
    said = [f"nota {record['rating']}"] if "rating" in record else []
    said += [f"{ASPECT_NAMES[name]} {value}" for name, value in record.get("aspects", {}).items()]
    said += [f"NPS {record['nps']}"] if "nps" in record else []
    said += ["corrigida"] if "correction" in record else []
    return ", ".join(said) or "sem nota"


# --- export e import -----------------------------------------------------------------------------


def _export(args: argparse.Namespace, system: FeedbackSystem) -> dict[str, Any]:
    kind = args.format or "raw"
    if kind not in FORMATS:
        raise UsageError(f"--format {quoted(kind)}: esperado um de {', '.join(FORMATS)}.")
    rows: list[Any] = _everything(args, system)
    notes: list[str] = []
    if kind != "raw":
        found = training_samples(rows)
        rows, notes = found.samples, found.notes
    for note in notes:
        say(args, note)
    target = Path(args.names[0]).expanduser()
    if target.resolve() in (system.path.resolve(), system.archive_path.resolve()):
        raise UsageError(f"'{target}' é o arquivo das próprias avaliações. Escolha outro nome.")
    count = export(rows, target, kind, force=args.force)
    say(args, f"{counted(count, 'linha gravada', 'linhas gravadas')} em {target}.")
    return {"path": str(target), "format": kind, "rows": count, "notes": notes}


def _import(args: argparse.Namespace, system: FeedbackSystem) -> dict[str, Any]:
    report = LoadReport()
    records = import_csv(args.names[0], report)
    for line in report.warnings():
        print(line, file=sys.stderr)
    for where, notice in report.notices:
        say(args, f"{where}: {notice}")
    if not records:
        raise DataError(f"'{args.names[0]}': nenhuma linha se aproveitou; nada foi importado.")
    if args.model:
        records = [record | {"model": record.get("model", args.model)} for record in records]
    added = system.add_records(records)
    known = len(records) - added
    say(args, f"{counted(added, 'avaliação importada', 'avaliações importadas')}.")
    if known:
        say(args, f"{counted(known, 'já estava', 'já estavam')} no arquivo.")
    rejected = [f"{where}: {reason}" for where, reason in report.bad_records]
    return {"imported": added, "known": known, "rejected": rejected}


# --- undo e purge --------------------------------------------------------------------------------


def _undo(args: argparse.Namespace, system: FeedbackSystem) -> dict[str, Any]:
    record = system.find(args.names[0])
    system.retract(record["id"])
    say(args, f"Avaliação {record['id'][:ID_CHARS]} desfeita. Para apagar o texto: feedback purge")
    return {"undone": record["id"]}


def _purge(args: argparse.Namespace, system: FeedbackSystem) -> dict[str, Any]:
    given = {name: getattr(args, name) for name in ("id", "session", "text")}
    criterion = {name: value for name, value in given.items() if value is not None}
    if len(criterion) != 1:
        raise UsageError("feedback purge: esperada exatamente uma de --id, --session e --text.")
    if "id" in criterion:
        criterion["id"] = system.find(criterion["id"])["id"]
    count = system.purge_count(**criterion)
    if count and not args.force and not _confirmed(count):
        say(args, "Nada foi apagado.")
        return {"purged": 0}
    purged = system.purge(**criterion)
    if purged:
        say(args, f"{counted(purged, 'avaliação apagada', 'avaliações apagadas')} de vez.")
        say(args, "As conversas guardadas (sessions) e o que um modelo já aprendeu não mudam.")
    else:
        say(args, "Nenhuma avaliação atende a isso; nada foi apagado.")
    return {"purged": purged}


def _confirmed(count: int) -> bool:
    """Pergunta à pessoa.

    Erros:
        UsageError: não há terminal onde perguntar.
    """
    if not is_interactive(sys.stdin):
        raise UsageError("feedback purge: sem terminal para perguntar; use --force.")
    what = counted(count, "avaliação", "avaliações")
    print(f"Apagar {what} de vez? [s/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("s", "sim")
