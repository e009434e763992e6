"""``ModelConfig``: as dimensões do modelo e quais componentes avançados ele tem.

É uma ``GPT2Config`` (transformers), então ``hidden_size``, ``num_attention_heads``,
``num_hidden_layers`` e ``max_position_embeddings`` são os apelidos que a própria GPT2Config dá a
``n_embd``, ``n_head``, ``n_layer`` e ``n_positions``. Cada interruptor ``use_*`` funciona sozinho.
"""

import logging
import math
from typing import Any

from huggingface_hub.errors import StrictDataclassFieldValidationError
from transformers import GPT2Config

from src.config.errors import ConfigError
from src.config.presets import LIGHTWEIGHT_HIDDEN_SIZE, LIGHTWEIGHT_NUM_LAYERS, PRESETS

logger = logging.getLogger(__name__)

SSM_MODES = ("replace", "parallel")
LAYER_LISTS = ("ssm_layers", "moe_layers", "hyper_layers")


def largest_head_count(hidden_size: int, wanted: int) -> int:
    """O maior divisor de ``hidden_size`` que não passa de ``wanted`` (erro 3 da referência)."""
    return next(n for n in range(min(wanted, hidden_size), 0, -1) if hidden_size % n == 0)


class ModelConfig(GPT2Config):
    """Configuração de um ``LunaModel``, guardada em ``config.json`` ao lado dos pesos.

    Sem argumentos tem as dimensões do GPT-2 small e nenhum componente avançado.

    Campos além dos da GPT2Config:
        use_state_space: camadas state-space (SSM) nos blocos ``ssm_layers``.
        use_moe: mixture of experts no lugar do feed-forward nos blocos ``moe_layers``.
        use_hypernet: ramo ``HyperLinear``, condicionado ao contexto, nos blocos ``hyper_layers``.
        use_growing: rede que cresce depois do último bloco.
        state_size: dimensão N do estado do SSM; ``None`` é ``hidden_size // 4`` (mínimo 16).
        ssm_layers: blocos com SSM; ``None`` são os de índice par.
        ssm_mode: ``"replace"`` põe o SSM no lugar da atenção; ``"parallel"``, ao lado dela.
        ssm_gated: multiplica a saída do SSM por ``silu(W x)``.
        num_experts, sparse_top_k: E especialistas, dos quais k rodam por token.
        expert_size: largura interna de cada especialista; ``None`` é ``4 * hidden_size // k``.
        moe_layers: blocos com MoE; ``None`` são os de índice ímpar (ou o único que houver).
        balance_weight, z_weight: pesos das perdas auxiliares do roteador.
        emotional_routing: o roteador soma um viés aprendido do vetor de emoção (6 dimensões).
        hyper_layers, hyper_rank, hyper_context: blocos, posto e contexto da HyperLinear.
        max_extra_layers, growth_threshold: teto de camadas que a rede pode ganhar e a melhora
            mínima da perda (em nats) abaixo da qual ela cresce.
        extra_layers: quantas camadas já cresceram (estado salvo, não escolha).
        pair_rows: quantos pares de tokens têm vetor próprio (estado salvo, não escolha).
        origin: de onde vêm os pesos (estado salvo, não escolha): ``random``, novos; ``bigram``,
            novos que partiram das contagens de pares; ``trained``, treinados ou de uma base.

    Erros:
        ConfigError: valor fora do que se aceita, com o campo, o valor e o esperado.
    """

    model_type = "luna"

    vocab_size: int = 32768
    resid_pdrop: float | int = 0.0
    embd_pdrop: float | int = 0.0
    attn_pdrop: float | int = 0.0
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None

    use_state_space: bool = False
    use_moe: bool = False
    use_hypernet: bool = False
    use_growing: bool = False
    state_size: int | None = None
    ssm_layers: list[int] | None = None
    ssm_mode: str = "replace"
    ssm_gated: bool = True
    num_experts: int = 4
    sparse_top_k: int = 1
    expert_size: int | None = None
    moe_layers: list[int] | None = None
    balance_weight: float = 0.01
    z_weight: float = 0.001
    emotional_routing: bool = False
    hyper_layers: list[int] | None = None
    hyper_rank: int = 4
    hyper_context: int = 32
    max_extra_layers: int = 2
    growth_threshold: float = 0.01
    extra_layers: int = 0
    pair_rows: int = 0
    origin: str = "trained"

    def __setattr__(self, name: str, value: Any) -> None:
        try:
            super().__setattr__(name, value)
        except StrictDataclassFieldValidationError as error:
            raise ConfigError(
                f"{name}={value!r}: tipo errado ({error.__cause__ or error})."
            ) from error

    def __post_init__(self, **kwargs: Any) -> None:
        for alias in [name for name in kwargs if name in self.attribute_map]:
            setattr(self, alias, kwargs.pop(alias))
        self._check_types()
        self._check_dimensions()
        heads = largest_head_count(self.n_embd, self.n_head)
        if heads != self.n_head:
            logger.warning(
                "Ajustando as cabeças de atenção de %d para %d, para dividir a largura %d.",
                self.n_head,
                heads,
                self.n_embd,
            )
            self.n_head = heads
        self._fill_layers()
        self._check_components()
        super().__post_init__(**kwargs)

    def _check_types(self) -> None:
        """Os tipos dos campos próprios; os herdados, a GPT2Config confere."""
        for name, kind in ModelConfig.__annotations__.items():
            value = getattr(self, name)
            if kind is bool and not isinstance(value, bool):
                raise ConfigError(f"{name}={value!r}: esperado true ou false.")
            if kind is int and type(value) is not int:
                raise ConfigError(f"{name}={value!r}: esperado um número inteiro.")
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if kind is float and not (number and math.isfinite(value)):
                raise ConfigError(f"{name}={value!r}: esperado um número finito.")
            if name in LAYER_LISTS and not _is_layer_list(value):
                raise ConfigError(f"{name}={value!r}: esperada uma lista de números inteiros.")

    def _check_dimensions(self) -> None:
        for name in ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head"):
            require_positive(name, getattr(self, name))

    def _fill_layers(self) -> None:
        """Troca ``None`` pelos padrões que dependem das outras dimensões."""
        blocks = range(self.n_layer)
        odd = [i for i in blocks if i % 2 == 1] or [0]
        if self.ssm_layers is None:
            self.ssm_layers = [i for i in blocks if i % 2 == 0]
        if self.moe_layers is None:
            self.moe_layers = odd
        if self.hyper_layers is None:
            self.hyper_layers = odd
        if self.state_size is None:
            self.state_size = max(self.n_embd // 4, 16)
        if self.expert_size is None:
            self.expert_size = max(4 * self.n_embd // max(self.sparse_top_k, 1), 1)

    def _check_components(self) -> None:
        for name in ("state_size", "num_experts", "expert_size", "hyper_rank", "hyper_context"):
            require_positive(name, getattr(self, name))
        if not 1 <= self.sparse_top_k <= self.num_experts:
            raise ConfigError(
                f"sparse_top_k={self.sparse_top_k}: esperado de 1 a num_experts={self.num_experts}."
            )
        if self.ssm_mode not in SSM_MODES:
            raise ConfigError(f"ssm_mode={self.ssm_mode!r}: esperado um de {', '.join(SSM_MODES)}.")
        for name in LAYER_LISTS:
            out = [i for i in getattr(self, name) if not 0 <= i < self.n_layer]
            if out:
                raise ConfigError(
                    f"{name}={getattr(self, name)}: os blocos vão de 0 a {self.n_layer - 1}; "
                    f"{out} não existe(m)."
                )
        if not 0 <= self.extra_layers <= self.max_extra_layers:
            raise ConfigError(
                f"extra_layers={self.extra_layers}: esperado de 0 a "
                f"max_extra_layers={self.max_extra_layers}."
            )
        for name in ("balance_weight", "z_weight", "growth_threshold", "pair_rows"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name}={getattr(self, name)}: esperado um número >= 0.")

    # Listas efetivas: vazias quando o interruptor está desligado.
    @property
    def active_ssm_layers(self) -> list[int]:
        """Índices dos blocos que têm SSM de fato."""
        return list(self.ssm_layers or []) if self.use_state_space else []

    @property
    def active_moe_layers(self) -> list[int]:
        """Índices dos blocos que têm MoE de fato."""
        return list(self.moe_layers or []) if self.use_moe else []

    @property
    def active_hyper_layers(self) -> list[int]:
        """Índices dos blocos que têm HyperLinear de fato."""
        return list(self.hyper_layers or []) if self.use_hypernet else []

    def replaced(self, **changes: Any) -> "ModelConfig":
        """Uma cópia com ``changes``; listas e tamanhos derivados são recalculados.

        Mudar a profundidade, a largura ou o ``sparse_top_k`` invalida os padrões calculados a
        partir deles, que voltam a ``None`` a menos que também venham em ``changes``.
        """
        values = {k: v for k, v in self.to_dict().items() if k in type(self).field_names()}
        changes = {self.attribute_map.get(k, k): v for k, v in changes.items()}
        if changes.get("n_layer", self.n_layer) != self.n_layer:
            values |= {"ssm_layers": None, "moe_layers": None, "hyper_layers": None}
        if changes.get("n_embd", self.n_embd) != self.n_embd:
            values |= {"state_size": None, "expert_size": None}
        if changes.get("sparse_top_k", self.sparse_top_k) != self.sparse_top_k:
            values["expert_size"] = None
        return type(self)(**(values | changes))

    @classmethod
    def field_names(cls) -> set[str]:
        """Os campos que se pode escolher ao construir, já sem os do transformers em geral."""
        inherited = {
            "vocab_size",
            "n_positions",
            "n_embd",
            "n_layer",
            "n_head",
            "n_inner",
            "activation_function",
            "resid_pdrop",
            "embd_pdrop",
            "attn_pdrop",
            "layer_norm_epsilon",
            "initializer_range",
            "bos_token_id",
            "eos_token_id",
            "pad_token_id",
            "scale_attn_weights",
            "scale_attn_by_inverse_layer_idx",
            "tie_word_embeddings",
        }
        own = {name for name in ModelConfig.__annotations__}
        return inherited | own

    @classmethod
    def from_preset(cls, name: str, **changes: Any) -> "ModelConfig":
        """A configuração híbrida de um tamanho pronto: ``nano``, ``mini``, ``small`` ou ``base``.

        Erros:
            ConfigError: o tamanho não existe.
        """
        if name not in PRESETS:
            raise ConfigError(
                f"tamanho {name!r} não existe: escolha entre {', '.join(PRESETS)} ou auto."
            )
        preset = PRESETS[name]
        values: dict[str, Any] = {
            "n_embd": preset.hidden_size,
            "n_layer": preset.num_hidden_layers,
            "n_head": preset.num_attention_heads,
            "n_positions": preset.context_length,
            "vocab_size": preset.vocab_size,
            "use_state_space": True,
            "use_moe": True,
        }
        return cls(**(values | changes))

    def lightweight(self) -> "ModelConfig":
        """A versão leve da referência: largura até 256 e até 4 blocos."""
        return self.replaced(
            n_embd=min(self.n_embd, LIGHTWEIGHT_HIDDEN_SIZE),
            n_layer=min(self.n_layer, LIGHTWEIGHT_NUM_LAYERS),
        )


def _is_layer_list(value: Any) -> bool:
    """Se ``value`` serve como lista de blocos; ``None`` é a lista padrão."""
    return value is None or (
        isinstance(value, (list, tuple)) and all(type(item) is int for item in value)
    )


def require_positive(name: str, value: Any) -> None:
    """Exige um inteiro maior que zero.

    Erros:
        ConfigError: com o nome, o valor e o esperado.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name}={value!r}: esperado um número inteiro maior que zero.")
