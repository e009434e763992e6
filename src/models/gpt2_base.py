"""Um GPT-2 local como base: os componentes entram sem mudar nenhuma resposta.

- SSM ao lado da atenção, com C = 0 e D = 0: soma zero.
- Cada MLP vira um MoE de k = 2 cujos especialistas são todos cópias dela: com os pesos do roteador
  renormalizados, a soma é a MLP original (sparse upcycling, Komatsuzaki et al., 2022).
- HyperLinear e rede que cresce já nascem neutras.

No instante da criação, portanto, os logits são os do GPT-2; o treino é que os separa.
"""

import logging
import os
from pathlib import Path
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from src.config.model_config import ModelConfig
from src.models.luna_model import LunaModel
from src.models.model_files import CONFIG_FILE, read_json
from src.models.moe import MoEBlock
from src.utils.errors import ModelFormatError, ModelNotFoundError, UsageError

logger = logging.getLogger(__name__)

COPIED_FIELDS = (
    "n_positions n_embd n_layer n_head n_inner activation_function layer_norm_epsilon "
    "scale_attn_weights scale_attn_by_inverse_layer_idx"
).split()
#: O que se pode escolher sobre uma base pronta: os componentes, nunca as dimensões dela.
CHOOSABLE = {
    "use_state_space",
    "use_moe",
    "use_hypernet",
    "use_growing",
    "state_size",
    "ssm_layers",
    "ssm_gated",
    "num_experts",
    "moe_layers",
    "emotional_routing",
    "hyper_layers",
    "hyper_rank",
    "hyper_context",
    "max_extra_layers",
    "growth_threshold",
}


def check_base_folder(folder: str | os.PathLike) -> Path:
    """Confere que ``folder`` tem um GPT-2 em safetensors e devolve o caminho.

    Erros:
        ModelNotFoundError: não há ``config.json``. ModelFormatError: não é um GPT-2, ou os pesos
        não estão em safetensors (formatos que executam código ao abrir não são lidos).
    """
    folder = Path(folder)
    if not (folder / CONFIG_FILE).is_file():
        raise ModelNotFoundError(
            f"--base '{folder}': não há {CONFIG_FILE} ali. Informe a pasta de um GPT-2 já baixado."
        )
    kind = read_json(folder / CONFIG_FILE).get("model_type")
    if kind != GPT2Config.model_type:
        raise ModelFormatError(f"--base '{folder}': o modelo é do tipo {kind!r}; esperado 'gpt2'.")
    if not any(folder.glob("*.safetensors")):
        raise ModelFormatError(
            f"--base '{folder}': não há pesos em .safetensors. Converta-os (por exemplo, abrindo e "
            "salvando com save_pretrained numa máquina de confiança)."
        )
    return folder


def base_config(base: GPT2Config, choices: dict[str, Any], **ids: Any) -> ModelConfig:
    """A ModelConfig com as dimensões da base e os componentes de ``choices``.

    Erros:
        UsageError: ``choices`` tenta mudar uma dimensão que vem da base.
    """
    refused = sorted(set(choices) - CHOOSABLE - {"size"})
    if refused:
        raise UsageError(
            f"model.{refused[0]} não pode ser escolhido com --base: as dimensões vêm da base. "
            f"Podem: {', '.join(sorted(CHOOSABLE))}."
        )
    inner = base.n_inner or 4 * base.n_embd
    values = {name: getattr(base, name) for name in COPIED_FIELDS}
    values |= {"use_state_space": True, "use_moe": True, "num_experts": 4}
    values |= {k: v for k, v in choices.items() if k != "size"}
    fixed = {"ssm_mode": "parallel", "expert_size": inner}
    fixed["sparse_top_k"] = min(2, values["num_experts"])
    return ModelConfig(**(values | fixed | ids))


def from_gpt2(
    folder: str | os.PathLike, vocab_size: int, choices: dict[str, Any] | None = None, **ids: Any
) -> LunaModel:
    """Carrega o GPT-2 de ``folder`` e o embrulha num ``LunaModel`` equivalente.

    Args:
        vocab_size: vocabulário total, já com os tokens de controle; não menor que o da base.
        choices: campos de ``CHOOSABLE``.
        ids: ``bos_token_id``, ``eos_token_id`` e ``pad_token_id``.

    Erros:
        ModelNotFoundError, ModelFormatError, UsageError.
    """
    base = GPT2LMHeadModel.from_pretrained(
        check_base_folder(folder), local_files_only=True, use_safetensors=True
    )
    if base.config.activation_function not in ("gelu_new", "gelu_pytorch_tanh"):
        logger.warning(
            "A base usa a ativação %r, que o MoE não tem: o modelo fica sem MoE.",
            base.config.activation_function,
        )
        choices = dict(choices or {}) | {"use_moe": False}
    vocab_size = max(vocab_size, base.config.vocab_size)
    base.resize_token_embeddings(vocab_size, mean_resizing=False)
    config = base_config(base.config, choices or {}, vocab_size=vocab_size, **ids)
    model = LunaModel.from_scratch(config)
    _copy_weights(base, model)
    model.config.origin = "trained"
    return model


@torch.no_grad()
def _copy_weights(base: GPT2LMHeadModel, model: LunaModel) -> None:
    """Copia cada peso da base para o lugar dele, e cada MLP para todos os especialistas."""
    target = model.model.state_dict()
    for name, tensor in base.state_dict().items():
        name = name.replace(".ln_f.", ".ln_f.base_model.") if model.growing_networks else name
        if name in target:
            target[name].copy_(tensor)
    block: Any
    original: Any
    for block, original in zip(model.blocks, base.transformer.h):
        if isinstance(block.mlp, MoEBlock):
            for expert in list[Any](block.mlp.experts):
                expert.fc.weight.copy_(original.mlp.c_fc.weight.T)
                expert.fc.bias.copy_(original.mlp.c_fc.bias)
                expert.proj.weight.copy_(original.mlp.c_proj.weight.T)
                expert.proj.bias.copy_(original.mlp.c_proj.bias)
