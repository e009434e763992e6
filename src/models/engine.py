"""O motor de inferência: as contas do ``LunaModel``, só com torch, para uma conversa por vez.

Glossário (letra, significado):
    L  tokens lidos agora     P  contexto do modelo     V  vocabulário     D  largura
    H  cabeças de atenção     e  largura de cada uma    n  tamanho de um estado recorrente

O ``LunaModel`` é um modelo do transformers: serve ao treino, ao PEFT, à avaliação, e importá-lo
custa segundos. Conversar não precisa disso. Aqui os blocos são montados com as mesmas camadas (SSM,
MoE, HyperNetwork, crescimento, pares) em volta de uma atenção que escreve direto numa memória já
alocada. A referência lenta é o próprio ``LunaModel``: ``tests/test_engine_decoding.py`` compara os
dois em todas as combinações de componentes.

A memória (``DecodingState``) guarda, por posição, chaves, valores e cada estado recorrente. São
poucos números por token, e por guardar a trajetória inteira ela volta a qualquer ponto de graça: é
o que permite desfazer tokens adiantados, refazer uma resposta e reaproveitar o começo da conversa.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from src.config.emotions import EMOTION_DIM
from src.config.personas import PERSONA_DIM
from src.models import model_files
from src.models.growing_network import GrowingNetwork
from src.models.hypernet import CausalContext, HyperLinear
from src.models.moe import MoEBlock
from src.models.pair_embedding import NOTHING, PairEmbedding
from src.models.state_space import StateSpaceLayer
from src.utils.errors import ContextLengthError, ModelFormatError

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "gelu": F.gelu,
    "relu": F.relu,
    "silu": F.silu,
    "swish": F.silu,
}
PREFIX, BACKBONE = "model.", "transformer."


@dataclass(frozen=True)
class EngineConfig:
    """O que o motor precisa saber do ``config.json``; os nomes são os da ``ModelConfig``."""

    vocab_size: int
    n_positions: int
    n_embd: int
    n_layer: int
    n_head: int
    n_inner: int | None
    activation_function: str
    layer_norm_epsilon: float
    scale_attn_weights: bool
    scale_attn_by_inverse_layer_idx: bool
    tie_word_embeddings: bool
    use_state_space: bool
    use_moe: bool
    use_hypernet: bool
    use_growing: bool
    state_size: int
    ssm_layers: list[int]
    ssm_mode: str
    ssm_gated: bool
    num_experts: int
    sparse_top_k: int
    expert_size: int
    moe_layers: list[int]
    emotional_routing: bool
    hyper_layers: list[int]
    hyper_rank: int
    hyper_context: int
    max_extra_layers: int
    extra_layers: int
    pair_rows: int

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> "EngineConfig":
        """De um dicionário que tenha ao menos estes campos, como o da ``ModelConfig``."""
        return cls(**{item.name: values[item.name] for item in fields(cls)})

    @property
    def with_emotion(self) -> bool:
        """Se o vetor de emoção muda alguma coisa neste modelo."""
        return self.emotional_routing and self.use_moe and bool(self.moe_layers)

    @property
    def with_persona(self) -> bool:
        """Se o vetor de persona muda alguma coisa neste modelo."""
        return self.use_hypernet and bool(self.hyper_layers)


class BlockMemory:
    """O que um bloco guarda de cada posição, alocado de uma vez para o contexto inteiro."""

    def __init__(self, positions: int, heads: tuple[int, int] | None, like: Tensor) -> None:
        self.positions, self.like = positions, like
        self.kv: Tensor | None = None  # [2, 1, H, P, e]
        if heads is not None:
            self.kv = like.new_zeros(2, 1, heads[0], positions, heads[1])
        self.states: dict[str, Tensor] = {}  # nome -> [1, P, n]

    def attend(self, start: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Guarda chaves e valores [1, H, L, e] e devolve os de todas as posições até aqui."""
        assert self.kv is not None
        end = start + keys.shape[2]
        self.kv[0, :, :, start:end] = keys
        self.kv[1, :, :, start:end] = values
        return self.kv[0, :, :, :end], self.kv[1, :, :, :end]

    def state(self, name: str, start: int) -> Tensor | None:
        """O estado [1, n] deixado pela posição antes de ``start``; ``None`` no começo."""
        return self.states[name][:, start - 1] if start else None

    def remember(self, name: str, start: int, states: Tensor) -> None:
        """Guarda os estados [1, L, n] das posições a partir de ``start``."""
        if name not in self.states:
            shape = (1, self.positions, states.shape[-1])
            self.states[name] = self.like.new_zeros(shape, dtype=states.dtype)
        self.states[name][:, start : start + states.shape[1]] = states


class DecodingState:
    """A memória de uma conversa: os tokens lidos e o que cada bloco guardou deles.

    Args:
        engine: o motor. emotion: [6], persona: [8]; zeros são o neutro. Valem para toda a
            sequência, como no treino: com outros, os mesmos tokens dariam outra memória.
    """

    def __init__(
        self,
        engine: "InferenceEngine",
        emotion: Sequence[float] | None = None,
        persona: Sequence[float] | None = None,
    ) -> None:
        self.tokens: list[int] = []
        self.emotion = tuple(emotion or (0.0,) * EMOTION_DIM)
        self.persona = tuple(persona or (0.0,) * PERSONA_DIM)
        self.blocks = engine.new_memory()

    def __len__(self) -> int:
        return len(self.tokens)

    def truncate(self, length: int) -> None:
        """Esquece tudo da posição ``length`` em diante."""
        del self.tokens[length:]

    def common_prefix(self, tokens: Sequence[int]) -> int:
        """Quantos tokens do começo de ``tokens`` já estão lidos."""
        for index, (mine, theirs) in enumerate(zip(self.tokens, tokens)):
            if mine != theirs:
                return index
        return min(len(self.tokens), len(tokens))

    @property
    def nbytes(self) -> int:
        """Bytes de memória ocupados, que não mudam com o tamanho da conversa."""
        tensors = [t for b in self.blocks for t in (b.kv, *b.states.values()) if t is not None]
        return sum(t.numel() * t.element_size() for t in tensors)


class Projection(nn.Module):
    """A ``Conv1D`` do GPT-2: ``x W + b``, com W [entrada, saída]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs))
        self.bias = nn.Parameter(torch.empty(outputs))

    def forward(self, x: Tensor) -> Tensor:
        flat = torch.addmm(self.bias, x.view(-1, x.shape[-1]), self.weight)
        return flat.view(*x.shape[:-1], -1)


class EngineAttention(nn.Module):
    """A atenção causal do GPT-2 sobre uma memória alocada."""

    def __init__(self, config: EngineConfig, layer: int) -> None:
        super().__init__()
        self.heads, self.width = config.n_head, config.n_embd // config.n_head
        self.scale = self.width**-0.5 if config.scale_attn_weights else 1.0
        if config.scale_attn_by_inverse_layer_idx:
            self.scale /= layer + 1
        self.c_attn = Projection(config.n_embd, 3 * config.n_embd)
        self.c_proj = Projection(config.n_embd, config.n_embd)

    def forward(self, x: Tensor, memory: BlockMemory, start: int) -> Tensor:
        """[1, L, D] -> [1, L, D], com L tokens novos a partir da posição ``start``."""
        length = x.shape[1]
        parts = self.c_attn(x).view(1, length, 3, self.heads, self.width).permute(2, 0, 3, 1, 4)
        keys, values = memory.attend(start, parts[1], parts[2])
        mask = None
        if length > 1 and start:
            ones = torch.ones(length, start + length, dtype=torch.bool, device=x.device)
            mask = ones.tril(diagonal=start)
        y = F.scaled_dot_product_attention(
            parts[0],
            keys,
            values,
            attn_mask=mask,
            is_causal=length > 1 and not start,
            scale=self.scale,
        )
        return self.c_proj(y.transpose(1, 2).reshape(x.shape))


class EngineMLP(nn.Module):
    """O feed-forward do GPT-2. *Shape:* [1, L, D] -> [1, L, D]."""

    def __init__(self, config: EngineConfig) -> None:
        super().__init__()
        inner = config.n_inner or 4 * config.n_embd
        self.c_fc = Projection(config.n_embd, inner)
        self.c_proj = Projection(inner, config.n_embd)
        self.activation = ACTIVATIONS[config.activation_function]

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(self.activation(self.c_fc(x)))


class EngineBlock(nn.Module):
    """Um ``LunaBlock`` de inferência; os nomes dos pesos são os mesmos."""

    def __init__(self, config: EngineConfig, layer: int) -> None:
        super().__init__()
        d, epsilon = config.n_embd, config.layer_norm_epsilon
        has_ssm = config.use_state_space and layer in config.ssm_layers
        self.ln_1, self.ln_2 = nn.LayerNorm(d, eps=epsilon), nn.LayerNorm(d, eps=epsilon)
        replaced = has_ssm and config.ssm_mode == "replace"
        self.attn = None if replaced else EngineAttention(config, layer)
        self.ssm = StateSpaceLayer(d, config.state_size, config.ssm_gated) if has_ssm else None
        self.mlp: nn.Module
        if config.use_moe and layer in config.moe_layers:
            self.mlp = MoEBlock(
                d,
                config.num_experts,
                config.sparse_top_k,
                config.emotional_routing,
                config.expert_size,
            )
        else:
            self.mlp = EngineMLP(config)
        self.hyper: HyperLinear | None = None
        if config.use_hypernet and layer in config.hyper_layers:
            self.context = CausalContext(d, config.hyper_context)
            self.hyper = HyperLinear(d, d, config.hyper_context, config.hyper_rank, base=False)

    def forward(
        self, h: Tensor, memory: BlockMemory, start: int, emotion: Tensor, persona: Tensor
    ) -> Tensor:
        """[1, L, D] -> [1, L, D]."""
        x = self.ln_1(h)
        mixed: Any = 0
        if self.attn is not None:
            mixed = self.attn(x, memory, start)
        if self.ssm is not None:
            y, states = self.ssm(x, state=memory.state("ssm", start), return_states=True)
            memory.remember("ssm", start, states)
            mixed = y + mixed
        h = h + mixed
        x = self.ln_2(h)
        y = self.mlp(x, emotion) if isinstance(self.mlp, MoEBlock) else self.mlp(x)
        if self.hyper is not None:
            context, states = self.context(x, state=memory.state("context", start), persona=persona)
            memory.remember("context", start, states)
            y = y + self.hyper(x, context)
        return h + y


class NothingRandom(TorchFunctionMode):
    """Enquanto vale, nada é sorteado: os pesos serão trocados, e a memória deles nem é tocada.

    O dispositivo ``meta``, que serve ao mesmo, faz o torch importar o compilador: um segundo.
    """

    SKIPPED = frozenset(("normal_", "uniform_", "kaiming_uniform_"))

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__name__", "") in self.SKIPPED:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


class EngineNetwork(nn.Module):
    """Os embeddings, os blocos e a saída, com os nomes de peso do ``LunaModel``."""

    def __init__(self, config: EngineConfig) -> None:
        super().__init__()
        d = config.n_embd
        self.wte, self.wpe = nn.Embedding(config.vocab_size, d), nn.Embedding(config.n_positions, d)
        self.h = nn.ModuleList(EngineBlock(config, i) for i in range(config.n_layer))
        self.ln_f: nn.Module = nn.LayerNorm(d, eps=config.layer_norm_epsilon)
        if config.use_growing:
            grown = GrowingNetwork(self.ln_f, max(config.max_extra_layers, config.extra_layers))
            for _ in range(config.extra_layers):
                grown.add_layer(d, d)
            self.ln_f = grown
        self.pairs = PairEmbedding(config.pair_rows, d) if config.pair_rows else None
        self.lm_head = nn.Linear(d, config.vocab_size, bias=False)

    def embed(self, tokens: Tensor, before: int, start: int) -> Tensor:
        """Os vetores de entrada [1, L, D] de ``tokens`` [1, L]; ``before``: o token anterior."""
        positions = torch.arange(start, start + tokens.shape[1], device=tokens.device)
        h = self.wte(tokens) + self.wpe(positions)
        if self.pairs is not None:
            first = torch.full_like(tokens[:, :1], before)
            h = h + self.pairs(tokens, torch.cat([first, tokens[:, :-1]], dim=1))
        return h


class InferenceEngine:
    """Lê tokens e diz o que vem depois, guardando o que leu num ``DecodingState``.

    Args:
        config: as dimensões. weights: os pesos, com os nomes que o ``LunaModel`` lhes dá.
        device: ``cpu``, ``cuda`` ou ``mps``.

    Erros:
        ModelFormatError: falta um peso, sobra um, ou algum tem outra forma.
    """

    def __init__(
        self, config: EngineConfig, weights: Mapping[str, Tensor], device: str = "cpu"
    ) -> None:
        self.config = config
        with NothingRandom():  # os pesos vêm prontos
            network = EngineNetwork(config)
        try:
            network.load_state_dict(_renamed(config, weights), assign=True)
        except RuntimeError as error:
            raise ModelFormatError(f"Os pesos não combinam com o config.json: {error}") from error
        self.network = network.requires_grad_(False).eval().to(device)
        self.device = self.network.wte.weight.device

    @classmethod
    def from_folder(cls, folder: str | os.PathLike, device: str = "cpu") -> "InferenceEngine":
        """O motor do modelo gravado em ``folder``.

        Erros:
            ModelNotFoundError: não há modelo na pasta. ModelFormatError: está incompleto ou
            danificado.
        """
        path = model_files.check_folder(folder)
        try:
            return cls(read_engine_config(path), model_files.read_weights(path), device)
        except (ModelFormatError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise _explained(path, error) from error

    @classmethod
    def from_model(cls, model: Any) -> "InferenceEngine":
        """O motor de um ``LunaModel``, dividindo com ele os pesos."""
        values = model.config.to_dict()
        return cls(EngineConfig.from_values(values), model.state_dict(), str(model.device))

    def new_memory(self) -> list[BlockMemory]:
        """A memória vazia de cada bloco."""
        like, config = self.network.wte.weight, self.config
        heads = (config.n_head, config.n_embd // config.n_head)
        return [
            BlockMemory(config.n_positions, None if block.attn is None else heads, like)
            for block in self._blocks()
        ]

    def _blocks(self) -> list[EngineBlock]:
        return [block for block in self.network.h if isinstance(block, EngineBlock)]

    @torch.inference_mode()
    def read(
        self, state: DecodingState, tokens: Sequence[int], every_position: bool = False
    ) -> Tensor:
        """Lê ``tokens`` depois do que ``state`` já tem.

        Returns:
            os logits do que vem depois do último token [V]; com ``every_position``, de cada um
            [L, V].

        Erros:
            ValueError: ``tokens`` vazio. ContextLengthError: não cabem no contexto.
        """
        start, end = len(state), len(state) + len(tokens)
        if not tokens:
            raise ValueError("Nada a ler: tokens está vazio.")
        if end > self.config.n_positions:
            raise ContextLengthError(
                f"A sequência tem {end} tokens e o contexto do modelo é de "
                f"{self.config.n_positions}. Encurte o texto ou crie um modelo com contexto maior."
            )
        h = self._hidden(state, tokens, start)
        state.tokens.extend(tokens)
        h = self.network.ln_f(h[0] if every_position else h[0, -1:])
        logits = self.network.lm_head(h).float()
        return logits if every_position else logits[0]

    def _hidden(self, state: DecodingState, tokens: Sequence[int], start: int) -> Tensor:
        before = state.tokens[-1] if start else NOTHING
        inputs = torch.tensor([list(tokens)], device=self.device)
        h = self.network.embed(inputs, before, start)
        emotion = h.new_tensor([state.emotion])
        persona = h.new_tensor([state.persona])
        for block, memory in zip(self._blocks(), state.blocks):
            h = block(h, memory, start, emotion, persona)
        return h


def read_engine_config(folder: Path) -> EngineConfig:
    """As dimensões gravadas em ``config.json``.

    Um arquivo de uma versão mais antiga, ou escrito à mão, sem algum campo, é completado pela
    ``ModelConfig`` (que importa o transformers, e por isso só então).
    """
    values = json.loads((folder / model_files.CONFIG_FILE).read_text("utf-8"))
    needed = [item.name for item in fields(EngineConfig) if item.name != "n_inner"]
    if values.get("model_type") != "luna" or any(values.get(name) is None for name in needed):
        from src.models.luna_model import read_config

        values = read_config(folder).to_dict()
    return EngineConfig.from_values(values)


def _explained(folder: Path, error: Exception) -> ModelFormatError:
    """O erro como o ``LunaModel``, que confere tudo com vagar, o explica."""
    from src.models.luna_model import LunaModel

    try:
        LunaModel.from_pretrained(folder)
    except ModelFormatError as explained:
        return explained
    return ModelFormatError(f"O modelo de '{folder}' não pôde ser aberto para conversar: {error}")


def _renamed(config: EngineConfig, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Os pesos com os nomes de ``EngineNetwork``; a saída que divide a tabela vem dela."""
    named = {
        name.removeprefix(PREFIX).removeprefix(BACKBONE): tensor
        for name, tensor in weights.items()
        if not name.endswith(".attn.bias")  # a máscara que versões antigas do GPT-2 gravavam
    }
    if config.tie_word_embeddings and "wte.weight" in named:
        named["lm_head.weight"] = named["wte.weight"]
    return named
