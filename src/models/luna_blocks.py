"""O GPT-2 com os blocos trocados: onde os componentes avançados entram na rede.

Um ``LunaBlock`` é um bloco do GPT-2 em que cada parte pode ser outra:

    h = h + misturador(ln_1(h))       atenção, SSM no lugar dela, ou SSM ao lado dela
    h = h + feed_forward(ln_2(h))     MLP ou MoE, mais o ramo HyperLinear, se houver

Nada aqui é estado de módulo: o que só vale para uma passada (máscara, emoção, persona, perdas do
roteador) viaja num ``PassContext``.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GPT2LMHeadModel
from transformers import initialization as init
from transformers.cache_utils import Cache
from transformers.models.gpt2.modeling_gpt2 import GPT2Block, GPT2Model

from src.config.model_config import ModelConfig
from src.models.growing_network import GrowingNetwork, GrownLayer
from src.models.hybrid_cache import CACHE_NAME, HybridCacheLayer, hybrid_cache
from src.models.hypernet import CausalContext, HyperLinear, HyperNetwork
from src.models.moe import Expert, MoEBlock, MoELosses
from src.models.pair_embedding import PairEmbedding, previous_tokens
from src.models.state_space import StateSpaceLayer
from src.utils.errors import ContextLengthError


@dataclass
class PassContext:
    """O que vale só para uma passada pelo modelo.

    mask: [B, L], 0 no preenchimento, ou ``None``. keep: [B, L], 0 no início de cada documento
    empacotado, ou ``None``. emotion: [B, 6], ou [B, L, 6] por token. persona: [B, 8], ou [B, L, 8]
    por token. moe_losses: uma entrada por MoE.
    """

    mask: Tensor | None = None
    keep: Tensor | None = None
    emotion: Tensor | None = None
    persona: Tensor | None = None
    moe_losses: list[MoELosses] = field(default_factory=list)


class LunaBlock(GPT2Block):
    """Um bloco do GPT-2 com SSM, MoE e HyperLinear onde a configuração manda."""

    def __init__(self, config: ModelConfig, layer_idx: int) -> None:
        super().__init__(config, layer_idx=layer_idx)
        self.layer_idx = layer_idx
        d = config.hidden_size
        self.attn: Any
        self.mlp: Any
        self.dropout = nn.Dropout(config.resid_pdrop)  # atenção e MLP do GPT-2 já têm o seu
        self.ssm: StateSpaceLayer | None = None
        self.hyper: HyperLinear | None = None
        if layer_idx in config.active_ssm_layers:
            self.ssm = StateSpaceLayer(d, config.state_size, gated=config.ssm_gated)
            if config.ssm_mode == "replace":
                self.attn = None
        if layer_idx in config.active_moe_layers:
            self.mlp = MoEBlock(
                d,
                config.num_experts,
                config.sparse_top_k,
                config.emotional_routing,
                config.expert_size,
            )
        if layer_idx in config.active_hyper_layers:
            self.context = CausalContext(d, config.hyper_context)
            self.hyper = HyperLinear(d, d, config.hyper_context, config.hyper_rank, base=False)

    @property
    def is_recurrent(self) -> bool:
        """Se o bloco tem estado que a geração precisa guardar entre tokens."""
        return self.ssm is not None or self.hyper is not None

    def forward(
        self,
        hidden_states: Tensor,
        cache: Cache | None = None,
        attention_mask: Tensor | None = None,
        *unused: object,
        luna: PassContext | None = None,
        **kwargs,
    ) -> Tensor:
        """[B, L, D] -> [B, L, D]."""
        luna = luna or PassContext()
        layer: Any = cache.layers[self.layer_idx] if cache is not None else None
        x = self.ln_1(hidden_states)
        mixed: Any = 0
        if self.attn is not None:
            kwargs.pop("encoder_attention_mask", None)
            kwargs |= {CACHE_NAME: cache, "attention_mask": attention_mask}
            mixed = self.attn(x, **kwargs)[0]
        elif layer is not None:
            layer.advance(x)
        if self.ssm is not None:
            mixed = self._remember(x, luna, layer) + mixed
        hidden_states = hidden_states + mixed
        x = self.ln_2(hidden_states)
        return hidden_states + self._feed_forward(x, luna, layer)

    def _remember(self, x: Tensor, luna: PassContext, layer: HybridCacheLayer | None) -> Tensor:
        state = layer.last_state("ssm") if layer is not None else None
        assert self.ssm is not None
        y, states = self.ssm(x, luna.mask, luna.keep, state, return_states=True)
        if layer is not None:
            layer.append_states("ssm", states)
        return self.dropout(y)

    def _feed_forward(self, x: Tensor, luna: PassContext, layer: HybridCacheLayer | None) -> Tensor:
        if isinstance(self.mlp, MoEBlock):
            y, losses = self.mlp(x, luna.emotion, return_losses=True)
            luna.moe_losses.append(losses)
            y = self.dropout(y)
        else:
            y = self.mlp(x)
        if self.hyper is None:
            return y
        state = layer.last_state("context") if layer is not None else None
        context, states = self.context(x, luna.mask, luna.keep, state, luna.persona)
        if layer is not None:
            layer.append_states("context", states)
        return y + self.hyper(x, context)


class ComponentInit:
    """Inicialização dos componentes, pelo caminho do transformers 5.

    Só as funções de ``transformers.initialization`` respeitam os pesos já carregados: escrever
    direto nos tensores os reiniciaria em ``from_pretrained``. Os filhos são visitados antes dos
    pais, então cada ramo abaixo corrige o que o padrão fez com os seus filhos.
    """

    @classmethod
    def is_custom_code(cls) -> bool:
        """Fora do pacote, o transformers pula módulos sem pesos próprios (GPT2MLP, Expert...).

        Como aqui toda escrita passa por ``transformers.initialization``, que já protege os pesos
        carregados, essa precaução não é precisa, e com ela o início seria outro.
        """
        return False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)  # type: ignore[misc]
        config: ModelConfig = self.config  # type: ignore[attr-defined]
        residual_std = config.initializer_range / math.sqrt(2 * config.num_hidden_layers)
        if isinstance(module, StateSpaceLayer):
            A, B = StateSpaceLayer.initial_matrices(module.state_size)
            init.copy_(module.A, A)
            init.copy_(module.B, B)
            init.zeros_(module.D)
            if config.ssm_mode == "parallel":  # ao lado da atenção, nasce sem efeito
                init.zeros_(module.C)
            else:
                init.normal_(module.C, mean=0.0, std=config.initializer_range)
        elif isinstance(module, Expert):
            init.normal_(module.proj.weight, mean=0.0, std=residual_std)
        elif isinstance(module, HyperNetwork):
            for head in module.zero_heads():
                init.zeros_(head.weight)
                init.zeros_(head.bias)
        elif isinstance(module, GrownLayer):
            init.zeros_(module.proj.weight)
            init.zeros_(module.proj.bias)


class LunaTransformer(ComponentInit, GPT2Model):
    """O ``GPT2Model`` com ``LunaBlock`` no lugar dos blocos e, se pedido, o fim que cresce."""

    _no_split_modules = ["LunaBlock"]

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.h = nn.ModuleList(LunaBlock(config, i) for i in range(config.num_hidden_layers))
        if config.use_growing:
            end = GrowingNetwork(self.ln_f, config.max_extra_layers, config.growth_threshold)
            for _ in range(config.extra_layers):
                end.add_layer(config.hidden_size, config.hidden_size)
            self.ln_f = end  # type: ignore[assignment]
        self.pairs = (
            PairEmbedding(config.pair_rows, config.hidden_size) if config.pair_rows else None
        )
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        luna: PassContext | None = None,
        cache: Cache | None = None,
        **kwargs: Any,
    ) -> Any:
        """O de ``GPT2Model``, com máscara, recomeços e cache dos componentes recorrentes.

        Args:
            input_ids: [B, L]. attention_mask: [B, L], 0 no preenchimento. position_ids: [B, L]; sem
            máscara nem cache, cada 0 começa um documento empacotado. inputs_embeds: [B, L, D], no
            lugar de input_ids; sem os tokens, não há vetores de pares. luna: o contexto da passada,
            que é completado aqui. cache, past_key_values: os dois nomes da mesma coisa.

        Erros:
            ValueError: sem entrada. ContextLengthError: a sequência não cabe no contexto.
        """
        inputs = input_ids if input_ids is not None else inputs_embeds
        if inputs is None:
            raise ValueError("Informe input_ids ou inputs_embeds.")
        length = inputs.shape[1]
        cache = cache if cache is not None else past_key_values
        past_length = cache.get_seq_length() if cache is not None else 0
        self._check_length(past_length + length)
        luna = luna or PassContext()
        luna.mask = new_token_mask(attention_mask, length)
        may_pack = attention_mask is None and cache is None
        luna.keep = keep_flags(position_ids) if may_pack else None
        if use_cache is None:
            use_cache = bool(self.config.use_cache) and not self.training
        use_cache = use_cache and luna.keep is None  # uma sequência empacotada não é continuada
        if use_cache or cache is not None:
            blocks: Any = self.h
            recurrent = {block.layer_idx for block in blocks if block.is_recurrent}
            if self.pairs is not None:
                recurrent.add(0)  # guarda também o último token
            cache = hybrid_cache(cache, self.config, recurrent)
        if self.pairs is not None and input_ids is not None:
            inputs_embeds = self.wte(input_ids) + self._pair_vectors(input_ids, luna, cache)
            input_ids = None
        if position_ids is None and attention_mask is not None and attention_mask.dim() == 2:
            positions = (attention_mask.long().cumsum(dim=-1) - 1).clamp_min(0)
            position_ids = positions[:, -length:]
        return super().forward(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            luna=luna,
            **{CACHE_NAME: cache},
            **kwargs,
        )

    def _pair_vectors(self, tokens: Tensor, luna: PassContext, cache: Cache | None) -> Tensor:
        layer: Any = cache.layers[0] if cache is not None else None
        before = layer.last_state("token") if layer is not None else None
        previous, real = previous_tokens(tokens, luna.mask, luna.keep, before)
        if layer is not None:
            layer.append_states("token", real.unsqueeze(-1))
        assert self.pairs is not None
        vectors: Tensor = self.pairs(tokens, previous)
        return vectors

    def _check_length(self, length: int) -> None:
        if length > self.config.n_positions:
            raise ContextLengthError(
                f"A sequência tem {length} tokens e o contexto do modelo é de "
                f"{self.config.n_positions}. Encurte o texto ou crie um modelo com contexto maior."
            )


def new_token_mask(attention_mask: Tensor | None, length: int) -> Tensor | None:
    """A parte [B, L] da máscara que fala dos tokens novos; ``None`` se não há preenchimento."""
    if attention_mask is None or attention_mask.dim() != 2 or length == 1:
        return None
    mask = attention_mask[:, -length:]
    return None if bool((mask != 0).all()) else mask


def keep_flags(position_ids: Tensor | None) -> Tensor | None:
    """[B, L] com 0 onde a posição recomeça; ``None`` quando há um documento só por linha."""
    if position_ids is None:
        return None
    keep = position_ids != 0
    return keep if bool((~keep[:, 1:]).any()) else None


class LunaLMHead(ComponentInit, GPT2LMHeadModel):
    """O ``GPT2LMHeadModel`` que o ``LunaModel`` embrulha."""

    _no_split_modules = ["LunaBlock"]

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.loss_type = "ForCausalLM"  # o transformers o deduziria do nome da classe
        self.transformer = LunaTransformer(config)
        self.post_init()
