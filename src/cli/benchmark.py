"""``benchmark``: a velocidade da inferência, guardada no histórico e comparada com a última vez."""

import argparse
from pathlib import Path
from typing import Any

from src.cli.evaluate import model_folder, progress_line
from src.cli.runner import option, quiet_libraries, say, use_cores
from src.config.config import Config
from src.utils.numbers import counted, decimal

DEFAULT_NAME = "benchmark"  # o modelo da referência
REPEATS = 25  # com menos, duas medições seguidas nem sempre concordam (docs/LOG.md)
MAX_SECONDS, QUICK_SECONDS = 240.0, 60.0  # modelos grandes fazem menos rodadas
HISTORY_FILE = "benchmarks.jsonl"
PAGE_FILE = "benchmarks.html"


def run(args: argparse.Namespace, config: Config) -> dict[str, Any]:
    """Mede, mostra, acrescenta ao histórico e diz o que mudou."""
    from src.evaluation import history
    from src.evaluation.report import write_benchmarks
    from src.evaluation.timing import machine, machine_line

    quiet_libraries()
    model, described, device = open_model(args, config)
    rows = measure(args, model, described["context"])
    found = machine()
    record = history.new_record(
        "inference_speed",
        rows,
        model=described,
        device=device,
        new_tokens=new_tokens(described["context"]),
        machine=found,
        machine_line=machine_line(found),
    )
    logs = Path(config.paths.logs_dir)
    earlier = history.series(history.read(logs / HISTORY_FILE), record)
    history.append(logs / HISTORY_FILE, record)
    write_benchmarks(logs / PAGE_FILE, [*earlier, record])
    comparison = history.compare(earlier, record) if earlier else None
    if not args.json:
        print(screen(record, comparison))
    count = counted(len(earlier) + 1, "medição", "medições")
    say(args, f"Histórico: {logs / HISTORY_FILE} ({count} desta série)")
    say(args, f"Gráficos: {logs / PAGE_FILE}")
    return record | {"comparison": comparison}


def open_model(args: argparse.Namespace, config: Config) -> tuple[Any, dict[str, Any], str]:
    """O modelo a medir, o que o descreve e o dispositivo."""
    from src.evaluation.subject import load_subject
    from src.utils.hardware_utils import resolve_device
    from src.utils.model_store import ModelStore

    device = resolve_device(option(args.device, "auto"))
    use_cores(device)
    name = args.model
    if name is None and DEFAULT_NAME in ModelStore(config.paths.models_dir).names():
        name = DEFAULT_NAME
    if name is None:
        say(args, "Sem --model: medindo um nano híbrido de pesos aleatórios.")
        model = random_nano().to(device)
        return model, describe("nano (pesos aleatórios)", model), device
    folder = model_folder(name, config)
    subject = load_subject(folder, device=device)
    return subject.model, describe(subject.name, subject.model, subject.context), device


def random_nano() -> Any:
    """Um modelo do tamanho nano, sem treino: a velocidade não depende dos pesos."""
    import torch

    from src.config.model_config import ModelConfig
    from src.models.luna_model import LunaModel

    torch.manual_seed(0)
    return LunaModel.from_scratch(ModelConfig.from_preset("nano"))


def describe(name: str, model: Any, context: int | None = None) -> dict[str, Any]:
    """O que, num modelo, decide a velocidade dele."""
    from src.evaluation.subject import context_length

    config = model.config
    parts = {"ssm": "state_space_layers", "moe": "moe_blocks", "hyper": "hyper_networks"}
    counts = {key: len(getattr(model, attribute, ())) for key, attribute in parts.items()}
    return {
        "name": name,
        "type": config.model_type,
        "parameters": sum(p.numel() for p in model.parameters()),
        "dtype": str(model.dtype).removeprefix("torch."),
        "hidden_size": getattr(config, "hidden_size", None),
        "layers": getattr(config, "num_hidden_layers", None),
        "heads": getattr(config, "num_attention_heads", None),
        "vocab_size": config.vocab_size,
        "context": context or context_length(config),
        **counts,
    }


def new_tokens(context: int) -> int:
    """Os tokens gerados: 20, ou menos num contexto minúsculo."""
    from src.evaluation.speed import NEW_TOKENS

    return min(NEW_TOKENS, context - 1)


def measure(args: argparse.Namespace, model: Any, context: int) -> list[dict[str, Any]]:
    """As linhas de ``inference_speed``."""
    from src.evaluation.speed import gpt2_peer, inference_speed, prompt_lengths

    progress = progress_line(args)
    lengths = prompt_lengths(context, new_tokens(context))
    if args.quick:
        lengths = sorted({lengths[0], lengths[-1]})
    peer = gpt2_peer(model, context)
    return inference_speed(
        model,
        peer,
        lengths,
        option(args.repeats, REPEATS),
        QUICK_SECONDS if args.quick else MAX_SECONDS,
        new_tokens(context),
        lambda done, wanted: progress(f"rodada {done} de {wanted}"),
    )


def screen(record: dict[str, Any], comparison: dict[str, Any] | None) -> str:
    """A tabela e o que mudou desde a última medição."""
    from src.evaluation.speed import PEER_NAME, displayed
    from src.evaluation.timing import table

    rows = [list(displayed(row).values()) for row in record["rows"]]
    header = ["prompt", "ms", "1º token", "por token", "razão", "mais rápido"]
    rounds = counted(record["rows"][0]["repeats"], "rodada", "rodadas")
    lines = [
        f"{record['model']['name']} ao lado de um {PEER_NAME} do transformers de mesmas dimensões.",
        f"{record['new_tokens']} tokens gerados por resposta; {rounds}, os dois em turnos.",
        record["machine_line"] + ".",
        "",
        table(header, rows),
        "",
        "Prompt em tokens; 1º token e por token em ms; entre parênteses, do percentil 10 ao 90.",
        f"Razão: o tempo deste modelo sobre o do {PEER_NAME}; abaixo de 1, este é mais rápido.",
        "Os ms valem só para agora; o que se compara de uma vez para outra é a razão.",
    ]
    return "\n".join([*lines, "", *comparison_lines(comparison)])


def comparison_lines(comparison: dict[str, Any] | None) -> list[str]:
    """O que mudou; a primeira medição da série não tem com que se comparar."""
    from src.evaluation.display import date_text
    from src.evaluation.speed import PEER_NAME
    from src.evaluation.timing import table

    if comparison is None:
        return ["Primeira medição desta série: a próxima será comparada a esta."]
    rows = [
        [row["seq_len"], decimal(row["previous"]), decimal(row["current"]), row["verdict"]]
        for row in comparison["rows"]
    ]
    drift = comparison["machine"]
    machine = (
        f"O {PEER_NAME} levou {decimal(drift, 2)}x o tempo de então: isso é a máquina."
        if drift is not None
        else ""
    )
    return [
        f"Diante da medição de {date_text(comparison['previous_date'])}. {machine}",
        "",
        table(["prompt", "razão antes", "razão agora", "resultado"], rows),
    ]
