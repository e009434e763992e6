"""Mixture of Experts: de E especialistas, só k rodam para cada token.

Glossário (letra, significado):
    T  tokens do lote inteiro (B * L)     E  especialistas      k  especialistas por token
    d  largura do modelo                  f  largura interna de cada especialista
    p  probabilidades do roteador [T, E]  w  pesos dos escolhidos [T, k]

Os tokens são de fato agrupados por especialista: o custo é o de k especialistas, não o de E.

Fontes: Shazeer et al., "Outrageously Large Neural Networks" (2017); Fedus et al., "Switch
Transformers" (2021), de onde vêm k = 1 sem renormalizar e a perda de balanço; Zoph et al.,
"ST-MoE" (2022), de onde vem a perda z.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.config.emotions import EMOTION_DIM


class MoELosses(NamedTuple):
    """Perdas auxiliares do roteador, escalares.

    balance: E * soma_e(fração dos tokens em e * probabilidade média de e); 1 é o equilíbrio.
    z: média de logsumexp(logits)², que impede os logits de crescer sem fim.
    """

    balance: Tensor
    z: Tensor


class Routing(NamedTuple):
    """Quem processa cada token: ``weights`` [T, k], ``experts`` [T, k] e as perdas, se pedidas."""

    weights: Tensor
    experts: Tensor
    losses: MoELosses | None


class Expert(nn.Module):
    """Um feed-forward de duas camadas com GELU. *Shape:* [n, d] -> [n, d]."""

    def __init__(self, input_dim: int, expert_size: int) -> None:
        super().__init__()
        self.fc = nn.Linear(input_dim, expert_size)
        self.proj = nn.Linear(expert_size, input_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(F.gelu(self.fc(x), approximate="tanh"))


class MoEBlock(nn.Module):
    """Bloco Mixture of Experts com roteamento esparso.

    Args:
        input_dim: largura d dos vetores de entrada.
        num_experts: número E de especialistas.
        sparse_top_k: quantos rodam por token: exatamente k, mesmo com empates.
        emotional_routing: soma aos logits do roteador um viés aprendido do vetor de emoção.
        expert_size: largura interna f; ``None`` é ``4 * input_dim // sparse_top_k``.

    Erros:
        ValueError: ``sparse_top_k`` fora de 1..num_experts.
    """

    def __init__(
        self,
        input_dim: int,
        num_experts: int = 4,
        sparse_top_k: int = 2,
        emotional_routing: bool = False,
        expert_size: int | None = None,
    ) -> None:
        super().__init__()
        if not 1 <= sparse_top_k <= num_experts:
            raise ValueError(
                f"sparse_top_k={sparse_top_k}: esperado de 1 a num_experts={num_experts}."
            )
        self.input_dim, self.num_experts, self.sparse_top_k = input_dim, num_experts, sparse_top_k
        size = expert_size or max(4 * input_dim // sparse_top_k, 1)
        self.router = nn.Linear(input_dim, num_experts, bias=False)
        self.emotion_bias = (
            nn.Linear(EMOTION_DIM, num_experts, bias=False) if emotional_routing else None
        )
        self.experts = nn.ModuleList(Expert(input_dim, size) for _ in range(num_experts))
        #: Fração dos tokens em cada especialista [E] no último lote de treino; só para acompanhar.
        self.last_load: Tensor | None = None

    def route(self, x: Tensor, emotion: Tensor | None = None, with_losses: bool = True) -> Routing:
        """Escolhe os k especialistas de cada token de ``x`` [T, d].

        Com k = 1 o peso é a própria probabilidade: renormalizada, ela seria sempre 1 e o roteador
        não receberia gradiente. Sem ``with_losses``, as perdas não são calculadas.
        """
        logits = self.router(x)
        if self.emotion_bias is not None:
            if emotion is None:  # sem emoção o viés é zero, mas segue no grafo (DDP)
                emotion = x.new_zeros(1, EMOTION_DIM)
            logits = logits + self.emotion_bias(emotion.to(logits.dtype))
        probabilities = logits.softmax(dim=-1)  # [T, E]
        weights, experts = probabilities.topk(self.sparse_top_k, dim=-1)
        if self.sparse_top_k > 1:
            weights = weights / weights.sum(dim=-1, keepdim=True)
        losses = self._losses(logits, probabilities, experts) if with_losses else None
        return Routing(weights, experts, losses)

    def _losses(self, logits: Tensor, probabilities: Tensor, experts: Tensor) -> MoELosses:
        chosen = F.one_hot(experts, self.num_experts).to(logits.dtype).sum(dim=1)  # [T, E]
        load = chosen.mean(dim=0) / self.sparse_top_k
        if self.training:
            self.last_load = load.detach()
        balance = self.num_experts * (load * probabilities.mean(dim=0)).sum()
        return MoELosses(balance, logits.logsumexp(dim=-1).square().mean())

    def forward(
        self, x: Tensor, emotion: Tensor | None = None, return_losses: bool = False
    ) -> Tensor | tuple[Tensor, MoELosses]:
        """Passa cada token pelos seus k especialistas.

        Args:
            x: [B, L, d], ou qualquer forma [..., d].
            emotion: vetor de emoção por sequência [B, 6] ou por token [B, L, 6] (linhas
                empacotadas); só com ``emotional_routing``.
            return_losses: devolve também as perdas auxiliares.

        Returns:
            tensor da forma de ``x``, ou ``(tensor, MoELosses)``.

        Erros:
            ValueError: ``emotion`` não tem um vetor por sequência nem um por token.
        """
        flat = x.reshape(-1, x.shape[-1])  # [T, d]
        if emotion is not None:
            emotion = _per_token(emotion, x)
        routing = self.route(flat, emotion, with_losses=return_losses or self.training)
        output = self._one_token(flat, routing) if len(flat) == 1 else self._grouped(flat, routing)
        output = output.view(x.shape)
        if return_losses:
            assert routing.losses is not None
            return output, routing.losses
        return output

    def _one_token(self, x: Tensor, routing: Routing) -> Tensor:
        """Atalho da geração: nada a agrupar quando há um token só."""
        if torch.is_grad_enabled():  # no treino todo especialista entra no grafo (ver _grouped)
            return self._grouped(x, routing)
        chosen = routing.experts[0].tolist()
        parts = [self.experts[e](x) * routing.weights[0, j] for j, e in enumerate(chosen)]
        return torch.stack(parts).sum(dim=0)

    def _grouped(self, x: Tensor, routing: Routing) -> Tensor:
        """Ordena os pares (token, especialista) por especialista e roda um lote em cada.

        Com gradiente ligado, um especialista ocioso roda sobre zero tokens: seus parâmetros
        recebem gradiente zero em vez de nenhum, e o DDP não fica esperando por eles.
        """
        experts = routing.experts.reshape(-1)  # [T * k]
        order = torch.argsort(experts, stable=True)
        tokens = order // self.sparse_top_k  # de que token é cada par
        counts = torch.bincount(experts, minlength=self.num_experts).tolist()
        groups = x.index_select(0, tokens).split(counts)
        outputs = [
            expert(group)
            for expert, group in zip(self.experts, groups)
            if len(group) or torch.is_grad_enabled()
        ]
        weighted = torch.cat(outputs) * routing.weights.reshape(-1)[order].unsqueeze(-1)
        return torch.zeros_like(x).index_add(0, tokens, weighted.to(x.dtype))


def _per_token(emotion: Tensor, x: Tensor) -> Tensor:
    """Um vetor de emoção por token de ``x`` [..., d], a partir de [B, 6] ou [B, L, 6]: [T, 6]."""
    if emotion.shape[:-1] == x.shape[:-1]:
        return emotion.reshape(-1, EMOTION_DIM)
    if emotion.dim() != 2 or len(emotion) not in (1, len(x)):
        raise ValueError(
            f"emotion de forma {list(emotion.shape)} para x de forma {list(x.shape)}: esperado um "
            f"vetor por sequência [B, {EMOTION_DIM}] ou um por token [B, L, {EMOTION_DIM}]."
        )
    return emotion.repeat_interleave(x[..., 0].numel() // len(emotion), dim=0)
