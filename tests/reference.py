"""Referências lentas e óbvias, contra as quais se conferem os caminhos rápidos."""

import torch


def scan_loop(A, v, keep=None, state=None):
    """``h_t = A (k_t h_{t-1}) + v_t``, um token por vez. [B, L, N]."""
    h = torch.zeros_like(v[:, 0]) if state is None else state
    states = []
    for t in range(v.shape[1]):
        if keep is not None:
            h = h * keep[:, t]
        h = h @ A.T + v[:, t]
        states.append(h)
    return torch.stack(states, dim=1)


def state_space_loop(layer, x):
    """A camada state-space, um token por vez, com ``step``."""
    state, outputs = None, []
    for t in range(x.shape[1]):
        y, state = layer.step(x[:, t], state)
        outputs.append(y)
    return torch.stack(outputs, dim=1)


def moe_dense(block, x, emotion=None):
    """O MoE com todos os especialistas rodando sobre todos os tokens, mascarados pelos pesos."""
    flat = x.reshape(-1, x.shape[-1])
    if emotion is not None:
        emotion = emotion.repeat_interleave(flat.shape[0] // emotion.shape[0], dim=0)
    routing = block.route(flat, emotion)
    weights = torch.zeros(flat.shape[0], block.num_experts, dtype=x.dtype)
    weights = weights.scatter(1, routing.experts, routing.weights)
    output = torch.zeros_like(flat)
    for index, expert in enumerate(block.experts):
        output = output + expert(flat) * weights[:, index : index + 1]
    return output.view(x.shape)


def context_loop(module, x, keep=None, persona=None):
    """O contexto causal da HyperNetwork, um token por vez. [B, L, c]."""
    projected = module.project(x)
    rows = []
    for b in range(x.shape[0]):
        start, row = 0, []
        for t in range(x.shape[1]):
            if keep is not None and keep[b, t] == 0:
                start = t
            context = projected[b, start : t + 1].mean(dim=0)
            if persona is not None:
                context = context + module.persona(persona[b])
            row.append(context)
        rows.append(torch.stack(row))
    return torch.stack(rows)


@torch.no_grad()
def nats_one_by_one(model, ids, window, stride):
    """-ln p de cada token depois do primeiro, uma passada por token, só com o que a janela mostra.

    O token ``t`` da primeira janela vê todos os anteriores; um de outra, desde o início da dela.
    """
    nats = []
    for t in range(1, len(ids)):
        start = 0
        while start + window <= t:
            start += stride
        logits = model(input_ids=torch.tensor([ids[start:t]])).logits[0, -1]
        nats.append(float(-torch.log_softmax(logits.double(), dim=-1)[ids[t]]))
    return nats
