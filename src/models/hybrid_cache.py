"""A memória da geração: chaves e valores da atenção e, na mesma camada, os estados recorrentes.

``HybridCacheLayer`` guarda, além do KV, os estados dos últimos ``HISTORY`` tokens de cada módulo
recorrente (SSM e contexto da HyperNetwork). Por guardar a trajetória, e não só o último estado, ela
pode ser cortada: é o que a decodificação especulativa (prompt lookup) pede ao rejeitar tokens.
"""

import dataclasses

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer
from transformers.modeling_outputs import CausalLMOutputWithPast

from src.utils.errors import LunaError

#: O nome do cache em ``forward`` e nas saídas do transformers: ``cache`` desde a versão 5.24.
CACHE_NAME = next(
    field.name
    for field in dataclasses.fields(CausalLMOutputWithPast)
    if field.name in ("cache", "past_key_values")
)
HISTORY = 32  # estados guardados: até 31 tokens podem ser desfeitos


class HybridCacheLayer(DynamicLayer):
    """KV mais as trajetórias de estado [B, <=HISTORY, n], por nome de módulo."""

    _layer_type = "luna_hybrid"

    def __init__(self, **kwargs: object) -> None:
        super().__init__()
        self.states: dict[str, Tensor] = {}

    def last_state(self, name: str) -> Tensor | None:
        """O estado [B, n] depois do último token, ou ``None`` no começo."""
        return self.states[name][:, -1] if name in self.states else None

    def append_states(self, name: str, states: Tensor) -> None:
        """Acrescenta os estados [B, L, n] dos tokens novos."""
        if name in self.states:
            states = torch.cat([self.states[name], states], dim=1)
        self.states[name] = states[:, -HISTORY:]

    def advance(self, x: Tensor) -> None:
        """Conta os tokens de ``x`` [B, L, D] numa camada sem atenção, com um KV de tamanho 1."""
        empty = x.new_zeros(x.shape[0], 1, x.shape[1], 1)
        self.update(empty, empty)

    def crop(self, tokens_to_remove: int) -> None:
        """Desfaz os últimos ``-tokens_to_remove`` tokens (o argumento é negativo, como na base).

        Erros:
            LunaError: pediu-se para desfazer mais tokens do que os estados guardados permitem.
        """
        count = -tokens_to_remove
        for name, states in self.states.items():
            if 0 < count >= states.shape[1] and count < self.get_seq_length():
                raise LunaError(
                    f"Não é possível desfazer {count} tokens: a memória recorrente guarda só os "
                    f"últimos {states.shape[1] - 1}. Recomece com um cache novo."
                )
        super().crop(tokens_to_remove)
        if count > 0:
            kept = {name: states[:, :-count] for name, states in self.states.items()}
            self.states = {name: states for name, states in kept.items() if states.shape[1]}

    def _map_states(self, function) -> None:
        self.states = {name: function(states) for name, states in self.states.items()}

    def reorder_cache(self, beam_idx: torch.LongTensor) -> None:
        """Reordena as linhas (beam search)."""
        super().reorder_cache(beam_idx)
        self._map_states(lambda s: s.index_select(0, beam_idx.to(s.device)))

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repete cada linha ``repeats`` vezes."""
        super().batch_repeat_interleave(repeats)
        self._map_states(lambda s: s.repeat_interleave(repeats, dim=0))

    def batch_select_indices(self, indices: Tensor) -> None:
        """Fica só com as linhas ``indices``."""
        super().batch_select_indices(indices)
        self._map_states(lambda s: s[indices])

    def reset(self) -> None:
        """Volta ao estado de nova."""
        super().reset()
        self.states = {}


def hybrid_cache(cache: Cache | None, config, layers: set[int]) -> Cache:
    """Um cache em que as camadas ``layers`` são híbridas; cria um novo se ``cache`` for ``None``.

    Erros:
        LunaError: o cache veio já preenchido por outro tipo de camada, ou é estático.
    """
    if cache is None:
        cache = DynamicCache(config=config)
    while len(cache.layers) < config.num_hidden_layers:
        cache.layers.append(DynamicLayer())
    for index in layers:
        current = cache.layers[index]
        if isinstance(current, HybridCacheLayer):
            continue
        if type(current) is not DynamicLayer or current.is_initialized:
            raise LunaError(
                f"O cache {type(current).__name__} não serve a este modelo, que tem memória "
                "recorrente: use o padrão (DynamicCache) ou cache_implementation=None."
            )
        cache.layers[index] = HybridCacheLayer()
    return cache
