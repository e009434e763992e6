"""Velocidade da inferência: quanto leva gerar alguns tokens depois de prompts de vários tamanhos.

É a medida automática da referência, de 32 tokens ao contexto inteiro, ao lado de um GPT-2 de mesmas
dimensões gerado pelo transformers na mesma rodada. As rodadas passam por todos os tamanhos e pelos
dois modelos, de modo que cada tamanho é visto ao longo de toda a medição.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from src.evaluation.latency import GenerationTime, time_generation
from src.evaluation.timing import MIN_REPEATS, Spread, against, interleaved
from src.utils.errors import UsageError
from src.utils.numbers import decimal

NEW_TOKENS = 20  # os da referência
SHORTEST = 32  # tokens do menor prompt
PEER_NAME = "GPT-2"  # o do transformers
FEW_ROUNDS = "poucas rodadas"


def prompt_lengths(context: int, new_tokens: int = NEW_TOKENS) -> list[int]:
    """32, 64, 128... e, por fim, o maior prompt que deixa lugar à resposta."""
    longest = max(1, context - new_tokens)
    lengths, size = [], SHORTEST
    while size < longest:
        lengths.append(size)
        size *= 2
    return [*lengths, longest]


def gpt2_peer(model: Any, context: int) -> Any:
    """Um GPT-2 comum, de pesos aleatórios, com as dimensões, o tipo e o dispositivo de ``model``.

    Erros:
        UsageError: a configuração do modelo não diz as dimensões (não é um transformer).
    """
    from transformers import GPT2Config, GPT2LMHeadModel

    config, names = model.config, ("hidden_size", "num_hidden_layers", "num_attention_heads")
    sizes: list[Any] = [getattr(config, name, None) for name in names]
    if not all(isinstance(value, int) for value in sizes):
        raise UsageError(
            f"benchmark: um modelo '{config.model_type}' não tem as dimensões de um GPT-2 "
            f"({', '.join(names)}), ao lado do qual é medido."
        )
    width, layers, heads = sizes
    state = torch.random.get_rng_state()
    peer = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=context,
            n_embd=width,
            n_layer=layers,
            n_head=next(n for n in range(heads, 0, -1) if width % n == 0),
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    torch.random.set_rng_state(state)
    reference = next(model.parameters())
    return peer.eval().to(device=reference.device, dtype=reference.dtype)


def inference_speed(
    model: Any,
    peer: Any,
    lengths: Sequence[int],
    repeats: int,
    max_seconds: float = float("inf"),
    new_tokens: int = NEW_TOKENS,
    on_round: Callable[[int, int], object] | None = None,
) -> list[dict[str, Any]]:
    """Mede ``model`` e ``peer`` em cada tamanho de prompt.

    Args:
        lengths: tokens dos prompts, como em ``prompt_lengths``.
        repeats, max_seconds, on_round: ver ``interleaved``.

    Returns:
        Uma linha por tamanho: ``seq_len``; ``median_ms``, ``low_ms`` e ``high_ms`` do total;
        ``first_token_ms`` e ``per_token_ms`` em mediana; ``peer_median_ms``; e ``ratio``,
        ``ratio_low`` e ``ratio_high``, o tempo do modelo sobre o do par, rodada a rodada.
    """
    generator = torch.Generator().manual_seed(0)
    prompts = {
        length: torch.randint(0, model.config.vocab_size, (length,), generator=generator).tolist()
        for length in lengths
    }
    functions: dict[Any, Callable[[], GenerationTime]] = {}
    for length, ids in prompts.items():
        for name, target in (("model", model), ("peer", peer)):
            functions[name, length] = _generation(target, ids, new_tokens)
    found = interleaved(functions, repeats, max_seconds=max_seconds, on_round=on_round)
    return [_row(length, found["model", length], found["peer", length]) for length in prompts]


def _generation(model: Any, ids: list[int], new_tokens: int) -> Callable[[], GenerationTime]:
    return lambda: time_generation(model, ids, new_tokens)


def _row(length: int, mine: list[GenerationTime], peer: list[GenerationTime]) -> dict[str, Any]:
    timing = against([item.total_ms for item in mine], [item.total_ms for item in peer])
    return {
        "seq_len": length,
        "repeats": len(mine),
        "median_ms": timing.ms.median,
        "low_ms": timing.ms.low,
        "high_ms": timing.ms.high,
        "first_token_ms": Spread.of([item.first_ms for item in mine]).median,
        "per_token_ms": Spread.of([ms for item in mine for ms in item.token_ms]).median,
        "peer_median_ms": Spread.of([item.total_ms for item in peer]).median,
        "ratio": timing.ratio.median,
        "ratio_low": timing.ratio.low,
        "ratio_high": timing.ratio.high,
    }


def ratio_spread(row: dict[str, Any]) -> Spread:
    """A razão de uma linha, com a sua variação."""
    return Spread(row["ratio"], row["ratio_low"], row["ratio_high"])


def displayed(row: dict[str, Any]) -> dict[str, str]:
    """Uma linha como se mostra: tamanho, ms, primeiro token, cada token, razão e quem venceu."""
    return {
        "seq_len": str(row["seq_len"]),
        "ms": Spread(row["median_ms"], row["low_ms"], row["high_ms"]).text(),
        "first": decimal(row["first_token_ms"], 1),
        "token": decimal(row["per_token_ms"], 2),
        "ratio": ratio_spread(row).text(3),
        "verdict": verdict(row),
    }


def verdict(row: dict[str, Any]) -> str:
    """Quem foi mais rápido naquele tamanho; ninguém, se a variação inclui a igualdade."""
    if row["repeats"] < MIN_REPEATS:
        return FEW_ROUNDS
    ratio = ratio_spread(row)
    if not ratio.differs_from_one:
        return "empate"
    return "este modelo" if ratio.median < 1 else PEER_NAME
