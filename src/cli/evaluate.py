"""``evaluate``: mede um modelo, ou dois lado a lado, e grava um relatório."""

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from src.cli.runner import option, quiet_libraries, say, use_cores
from src.config.config import Config
from src.utils.bundled import bundled_data
from src.utils.errors import ModelNotFoundError, NoDataError, UsageError
from src.utils.numbers import grouped

PROGRESS_SECONDS = 5.0  # entre uma linha de andamento e outra
DEFAULT_ANSWERS = 100


def run(args: argparse.Namespace, config: Config) -> dict[str, Any]:
    """Mede ``args.model`` (e ``args.compare``) nos dados, mostra e grava o relatório."""
    from src.evaluation.evaluate import Settings, evaluate
    from src.evaluation.report import write_evaluation

    started = time.perf_counter()
    names = [args.model, *([args.compare] if args.compare else [])]
    folders = [model_folder(name, config) for name in names]
    report = report_path(args, config, folders)
    data, warnings = gather(args, config, folders)
    quiet_libraries()
    contestants, personas = open_all(args, config, folders)
    warnings += unknown_personas(data, personas)
    for line in warnings:
        print(line, file=sys.stderr)
    answers = option(args.max_answers, DEFAULT_ANSWERS)
    settings = Settings(answers, args.window, args.stride, args.quick)
    evaluation = evaluate(contestants, data, settings, personas, progress_line(args))
    finish(evaluation.result, data.files, warnings, report, started)
    if not args.json:
        print(screen(evaluation.result), flush=True)  # antes: se a página falhar, isto fica
    write_evaluation(report, evaluation)
    say(args, f"Relatório: {report}")
    return evaluation.result


def gather(args: argparse.Namespace, config: Config, folders: list[Path]) -> tuple[Any, list[str]]:
    """Os dados e o que há de errado com eles: registros ruins e arquivos que estavam no treino."""
    from src.evaluation.data import read_data

    limit = option(args.max_file_mb, config.training.max_file_mb)
    data, problems, totals = read_data(data_patterns(args, folders[0]), limit)
    for line in totals:
        say(args, line)
    return data, [*overlap_warnings(folders, data.files), *problems]


# ---------------------------------------------------------------------- o que medir


def model_folder(name: str, config: Config) -> Path:
    """A pasta de um modelo: o nome de um dos criados ou o caminho de qualquer pasta.

    Erros:
        ModelNotFoundError: não é nenhum dos dois.
    """
    from src.utils.model_store import CONFIG_FILE, ModelStore

    store = ModelStore(config.paths.models_dir)
    if name in store.names():
        return store.require(name)
    folder = Path(name).expanduser()
    if (folder / CONFIG_FILE).is_file():
        return folder
    if folder.is_dir() or folder.name != name:
        raise ModelNotFoundError(
            f"'{name}' não é a pasta de um modelo: não há {CONFIG_FILE} nela. Informe o nome de um "
            f"modelo criado ({', '.join(store.names()) or 'não há nenhum'}) ou a pasta de um "
            "modelo do transformers."
        )
    return store.require(name)


def data_patterns(args: argparse.Namespace, folder: Path) -> list[str]:
    """Os dados pedidos; sem eles, os de validação do último treino, ou os que vêm junto."""
    from src.training.records import remembered_data
    from src.utils.file_utils import expand_patterns

    if args.data:
        return list(args.data)
    _, valid = remembered_data(folder)
    if valid:
        try:
            expand_patterns(valid)
        except NoDataError as error:
            print(f"A validação do último treino não está mais lá: {error}", file=sys.stderr)
        else:
            say(args, f"Sem --data: usando a validação do último treino ({', '.join(valid)}).")
            return valid
    say(args, "Sem --data: usando os dados de validação que vêm com o LunaGPT.")
    return [str(bundled_data() / "valid" / name) for name in ("*.txt", "perguntas.jsonl")]


def overlap_warnings(folders: list[Path], files: list[Path]) -> list[str]:
    """O que dizer dos arquivos em que um dos modelos treinou."""
    from src.evaluation.contamination import trained_files

    return [
        f"Atenção: '{folder.name}' treinou com {', '.join(str(path) for path in found)}. Nesses "
        "dados os números medem memória, não o que ele aprendeu."
        for folder in folders
        if (found := trained_files(folder, files))
    ]


def unknown_personas(data: Any, personas: Any) -> list[str]:
    """O que dizer das personas pedidas que não existem."""
    asked = [*data.questions, *data.turns]
    names = sorted({item.persona for item in asked if item.persona} - set(personas))
    if not names:
        return []
    return [
        f"Persona que não existe: {', '.join(names)}. Essas perguntas vão na da configuração. "
        f"Existem: {', '.join(sorted(personas))}."
    ]


def report_path(args: argparse.Namespace, config: Config, folders: list[Path]) -> Path:
    """Onde gravar o relatório: o pedido, ou um nome novo em ``logs/evaluation/``.

    Erros:
        UsageError: o pedido é uma pasta, ou não termina em .html.
    """
    if args.report:
        path = Path(args.report).expanduser()
        if path.is_dir() or path.suffix.lower() not in (".html", ".htm"):
            raise UsageError(f"--report '{args.report}': esperado um arquivo .html.")
        return require_writable(path)
    stem = "-".join([time.strftime("%Y%m%d-%H%M%S"), *(f.resolve().name for f in folders)])
    folder, copy = Path(config.paths.logs_dir) / "evaluation", 1
    path = folder / f"{stem}.html"
    while path.exists():  # dois no mesmo segundo
        copy += 1
        path = folder / f"{stem}-{copy}.html"
    return require_writable(path)


def require_writable(path: Path) -> Path:
    """``path``, se ali se pode gravar: melhor saber antes de minutos de medida.

    Erros:
        StorageError: a pasta não pode ser criada, ou não aceita arquivos.
    """
    from src.utils.atomic_io import storage_error

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            return path
    except OSError as error:
        raise storage_error(error, path) from error


# ---------------------------------------------------------------------- quem responde


def open_all(
    args: argparse.Namespace, config: Config, folders: list[Path]
) -> tuple[list[Any], Any]:
    """Os modelos abertos, cada um com quem responde por ele, e as personas que existem."""
    from src.config.personas import load_personas
    from src.utils.hardware_utils import resolve_device

    device = resolve_device(option(args.device, "auto"))
    use_cores(device)
    personas = load_personas(config.paths.personas_file)
    return [contestant(folder, config, device, personas) for folder in folders], personas


def contestant(folder: Path, config: Config, device: str, personas: Any) -> Any:
    """O modelo de ``folder`` e as suas respostas: um Luna responde como no chat, sem sorteio."""
    from src.evaluation.evaluate import ANSWER_TOKENS, Contestant, greedy_answer
    from src.evaluation.subject import LunaSubject, is_luna, load_subject

    name = folder.resolve().name
    if not is_luna(folder):
        subject = load_subject(folder, name, device)
        return Contestant(subject, greedy_answer(subject))
    from src.chat.luna_chat import LunaChat
    from src.config.personas import get_persona

    settings = Config(
        paths=config.paths,
        chat=replace(config.chat, temperature=0.0, max_new_tokens=ANSWER_TOKENS),
        feedback=replace(config.feedback, memory=False),  # mede-se o modelo, não as correções
    )
    chat = LunaChat(name, settings, config.chat.persona, device, folder=folder)

    def answer(question: Any) -> str:
        wanted = question.persona if question.persona in personas else config.chat.persona
        chat.persona = get_persona(wanted, personas)
        return chat.generate_response(question, question.history)

    return Contestant(LunaSubject(name, folder, chat.model, chat.tokenizer), answer)


def progress_line(args: argparse.Namespace) -> Any:
    """Uma função que mostra o andamento de vez em quando."""
    last = time.perf_counter()

    def show(text: str) -> None:
        nonlocal last
        if time.perf_counter() - last >= PROGRESS_SECONDS:
            last = time.perf_counter()
            say(args, text)

    return show


# ---------------------------------------------------------------------- o que mostrar


def finish(
    result: dict[str, Any], files: list[Path], warnings: list[str], report: Path, started: float
) -> None:
    """Acrescenta ao resultado de onde veio, em que máquina e quanto levou."""
    from src.evaluation.evaluate import LOSSY, measured_models
    from src.evaluation.timing import machine, machine_line

    result["data"] = [str(path) for path in files]
    models = measured_models(result)
    lossy = [name for name, model in models.items() if not model["tokenizer"]["lossless"]]
    result["warnings"] = [*warnings, *(LOSSY % name for name in lossy)]
    result["report"] = str(report)
    result["date"] = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    result["machine"] = machine()
    result["machine_line"] = machine_line(result["machine"])
    result["seconds"] = round(time.perf_counter() - started, 1)


def screen(result: dict[str, Any]) -> str:
    """As medidas como se leem no terminal."""
    from src.evaluation import display
    from src.evaluation.evaluate import measured_models
    from src.evaluation.timing import table

    names, models = (list(part) for part in zip(*measured_models(result).items()))
    parts = [table(["medida", *names], measured_rows(models))]
    if result.get("compare"):
        rows = [list(row.values()) for row in display.difference_rows(result, names)]
        parts += ["", table(["medida", "melhor", f"{names[0]} menos {names[1]}"], rows)]
    parts += [
        "",
        f"{display.DIRECTIONS}; entre parênteses, o intervalo de 95 %. Bits por byte compara",
        "qualquer modelo; BLEU, chrF, ROUGE, acertos e repetição vão de 0 a 100.",
    ]
    return "\n".join(parts)


def measured_rows(models: list[dict[str, Any]]) -> list[list[str]]:
    """Uma linha por medida, uma coluna por modelo."""
    from src.evaluation import display

    rows: list[list[str]] = []
    likelihoods = [model["likelihood"] for model in models]
    bits = display.MEASURES["bits_per_byte"]
    for group, label in display.shown_groups(likelihoods[0]).items():
        cells = [bits.text(found[group]["interval"]) for found in likelihoods]
        rows.append([f"bits por byte, {label} {bits.better}", *cells])
    if likelihoods[0]:
        rows.append(["perplexidade", *(display.perplexity_text(m["perplexity"]) for m in models)])
        counts = [f"{grouped(m['tokens'])} / {grouped(m['bytes'])}" for m in models]
        rows.append(["tokens / bytes medidos", *counts])
    for section, title in display.SECTIONS.items():
        if models[0][section]:
            found = display.section_rows(models, section)
            rows += [[f"{title}: {label}", *cells] for label, *cells in found]
    return [*rows, *display.resource_rows(models)]
