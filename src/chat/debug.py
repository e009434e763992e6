"""O que ``chat --debug`` mostra de cada resposta."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from src.chat.luna_chat import LunaChat
from src.models.engine import DecodingState, InferenceEngine
from src.models.moe import MoEBlock
from src.utils.numbers import decimal


def describe_answer(chat: LunaChat) -> Iterator[str]:
    """Linhas sobre a última resposta: emoção lida, tokens, tempo e roteamento."""
    last = chat.last
    assert last is not None
    scores = [f"{name} {decimal(value, 2)}" for name, value in last.emotion.scores.items() if value]
    reasons = ", ".join(f"'{item.text}'" for item in last.emotion.evidence)
    found = f" ({'; '.join(scores)}; por {reasons})" if reasons else ""
    yield f"[emoção] {last.emotion.dominant}{found}"
    if not last.prompt_tokens:  # uma resposta pronta
        found = decimal(max((s.passage.relevance for s in last.sources), default=0.0), 2)
        yield f"[documentos] relevância {found}; o modelo não foi chamado"
        return
    rate = (last.tokens - 1) / max(last.seconds - last.first_seconds, 1e-9)
    yield (
        f"[tokens] prompt {last.prompt_tokens}, dos quais {last.reused_tokens} já lidos; "
        f"resposta {last.tokens}; primeiro em {decimal(1000 * last.first_seconds, 0)} ms, "
        f"depois {decimal(max(rate, 0.0), 0)} por segundo"
    )
    if last.dropped_turns:
        yield f"[contexto] {last.dropped_turns} falas antigas não couberam"
    yield from _routing(chat)


def _routing(chat: LunaChat) -> Iterator[str]:
    """Que especialistas do MoE leram a pergunta, e quais a leriam sem a emoção dela."""
    config, last = chat.engine.config, chat.last
    assert last is not None
    if not config.use_moe or not config.moe_layers:
        return
    if not config.with_emotion:
        yield "[especialistas] este modelo não usa a emoção no roteamento (emotional_routing)"
        return
    if not chat.history:
        return
    question = chat.tokenizer.encode(chat.history[-2]["content"])
    felt = expert_shares(chat.engine, question, last.emotion.vector)
    neutral = expert_shares(chat.engine, question, None)
    for layer, shares in felt.items():
        shown = " ".join(decimal(100 * share, 0) for share in shares)
        without = " ".join(decimal(100 * share, 0) for share in neutral[layer])
        yield f"[especialistas] bloco {layer}: {shown} % dos tokens; sem a emoção: {without} %"


def expert_shares(
    engine: InferenceEngine, tokens: list[int], emotion: list[float] | None
) -> dict[int, list[float]]:
    """Por bloco com MoE, a fração dos ``tokens`` que vai a cada especialista [E]."""
    shares: dict[int, list[float]] = {}
    handles = []

    def watch(layer: int, moe: MoEBlock) -> Any:
        def hook(module: Any, inputs: tuple[Tensor, Tensor]) -> None:
            x, felt = inputs
            flat = x.reshape(-1, x.shape[-1])
            chosen = moe.route(flat, felt.expand(len(flat), -1), with_losses=False).experts
            counts = torch.bincount(chosen.flatten(), minlength=moe.num_experts)
            shares[layer] = (counts / counts.sum()).tolist()

        return moe.register_forward_pre_hook(hook)

    for layer, block in enumerate(engine.network.h):
        moe = block.mlp
        if isinstance(moe, MoEBlock):
            handles.append(watch(layer, moe))
    try:
        engine.read(DecodingState(engine, emotion), tokens[-engine.config.n_positions :])
    finally:
        for handle in handles:
            handle.remove()
    return shares
