"""``LunaModel``: um GPT-2 com componentes avançados, em tudo um modelo do transformers.

Glossário: B lote, L comprimento, V vocabulário, D largura.

O modelo embrulha um ``GPT2LMHeadModel`` (``.model``) cujos blocos podem ter state-space, mixture of
experts e HyperNetwork, e cujo fim pode crescer (``src/models/luna_blocks.py``). Importar este
módulo registra a classe nas ``Auto*`` do transformers.
"""

import copy
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GenerationConfig,
    GenerationMixin,
    PreTrainedModel,
)
from transformers.cache_utils import Cache
from transformers.initialization import no_init_weights
from transformers.modeling_outputs import CausalLMOutputWithPast

from src.config.config import Config
from src.config.model_config import ModelConfig
from src.models import model_files
from src.models.growing_network import GrowingNetwork
from src.models.hybrid_cache import CACHE_NAME, HybridCacheLayer
from src.models.hypernet import CausalContext, HyperLinear, HyperNetwork
from src.models.loss import chunked_cross_entropy
from src.models.luna_blocks import ComponentInit, LunaBlock, LunaLMHead, PassContext
from src.models.moe import MoEBlock, MoELosses
from src.models.state_space import StateSpaceLayer
from src.utils import atomic_io
from src.utils.errors import ContextLengthError, LunaError, ModelFormatError

logger = logging.getLogger(__name__)

__all__ = [
    "CausalContext",
    "GrowingNetwork",
    "HybridCacheLayer",
    "HyperLinear",
    "HyperNetwork",
    "LunaModel",
    "LunaOutput",
    "MoEBlock",
    "MoELosses",
    "ModelConfig",
    "StateSpaceLayer",
]

#: Campos da ModelConfig que dizem a forma dos pesos; os do modelo salvo sempre vencem.
SHAPE_FIELDS = (
    "vocab_size n_positions n_embd n_layer n_head n_inner use_state_space use_moe use_hypernet "
    "use_growing state_size ssm_layers ssm_mode ssm_gated num_experts sparse_top_k expert_size "
    "moe_layers emotional_routing hyper_layers hyper_rank hyper_context extra_layers"
).split()
#: O que quem carrega pode mudar: não altera a forma dos pesos nem o sentido dos tokens.
FREE_FIELDS = (
    "resid_pdrop embd_pdrop attn_pdrop balance_weight z_weight growth_threshold use_cache "
    "_attn_implementation"
).split()
LORA_TARGETS = ["c_attn", "c_proj", "c_fc", "in_proj", "gate", "fc", "proj"]


@dataclass
class LunaOutput(CausalLMOutputWithPast):
    """A saída do modelo, com as perdas auxiliares do MoE à parte.

    loss: nats por token; no treino, já soma as auxiliares com os pesos da configuração.
    balance_loss, z_loss: médias sobre os blocos MoE, sem peso; ``None`` sem MoE.
    """

    balance_loss: Tensor | None = None
    z_loss: Tensor | None = None


class LunaModel(ComponentInit, PreTrainedModel, GenerationMixin):
    """Modelo de linguagem causal: GPT-2 com componentes avançados opcionais.

    Atributos:
        config: a ``ModelConfig``.
        model: o ``GPT2LMHeadModel`` embrulhado.
        moe_blocks, state_space_layers, hyper_networks, growing_networks: listas dos componentes;
            vazias quando o interruptor correspondente está desligado.
    """

    config_class = ModelConfig
    config: ModelConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _no_split_modules = ["LunaBlock"]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True
    _tied_weights_keys = {"model.lm_head.weight": "model.transformer.wte.weight"}
    _keys_to_ignore_on_load_unexpected = [r"attn\.bias"]

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        with no_init_weights():  # cada nível iniciaria tudo de novo; basta uma vez, no fim
            self.model = LunaLMHead(config)
        self.post_init()
        _tell_peft()

    # ------------------------------------------------------------------ componentes

    @property
    def blocks(self) -> list[LunaBlock]:
        """Os blocos, do primeiro ao último."""
        return list(self.model.transformer.h)

    @property
    def moe_blocks(self) -> list[MoEBlock]:
        """Os blocos Mixture of Experts."""
        return [block.mlp for block in self.blocks if isinstance(block.mlp, MoEBlock)]

    @property
    def state_space_layers(self) -> list[StateSpaceLayer]:
        """As camadas state-space."""
        return [block.ssm for block in self.blocks if block.ssm is not None]

    @property
    def hyper_networks(self) -> list[HyperNetwork]:
        """As HyperNetworks."""
        return [block.hyper.hyper for block in self.blocks if block.hyper is not None]

    @property
    def growing_networks(self) -> list[GrowingNetwork]:
        """As redes que crescem."""
        end = self.model.transformer.ln_f
        return [end] if isinstance(end, GrowingNetwork) else []

    def grow(self) -> torch.nn.Module:
        """Acrescenta uma camada ao fim da rede e a devolve; nenhuma saída muda agora.

        Os parâmetros novos precisam chegar ao otimizador de quem treina.

        Erros:
            LunaError: ``use_growing`` está desligado, ou o teto foi atingido.
        """
        if not self.growing_networks:
            raise LunaError("Este modelo não cresce: crie-o com use_growing=true na configuração.")
        layer = self.growing_networks[0].add_layer(self.config.hidden_size, self.config.hidden_size)
        self.config.extra_layers += 1
        return layer

    @property
    def base_model(self) -> torch.nn.Module:
        """O transformer sem a cabeça de linguagem, como em todo modelo do transformers."""
        return self.model.transformer

    def get_decoder(self) -> torch.nn.Module:
        """O mesmo que ``base_model``."""
        return self.model.transformer

    def get_input_embeddings(self) -> torch.nn.Module:
        """A tabela de embeddings [V, D]."""
        return self.model.transformer.wte

    def set_input_embeddings(self, value: torch.nn.Module) -> None:
        """Troca a tabela de embeddings."""
        self.model.transformer.wte = value

    def get_output_embeddings(self) -> torch.nn.Module:
        """A projeção de saída, que divide os pesos com a de entrada."""
        return self.model.lm_head

    def set_output_embeddings(self, new_embeddings: torch.nn.Module) -> None:
        """Troca a projeção de saída."""
        self.model.lm_head = new_embeddings

    # ------------------------------------------------------------------ passada para a frente

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        emotion: Tensor | None = None,
        persona: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        cache: Cache | None = None,
        return_logits: bool = True,
        **kwargs: Any,
    ) -> Any:
        """Calcula os logits e, com ``labels``, a perda.

        Args:
            input_ids: [B, L]. attention_mask: [B, L], 0 no preenchimento (à esquerda ou à direita).
            position_ids: [B, L]; sem ``attention_mask`` nem cache, cada 0 começa um documento novo
                da sequência empacotada, e nada passa de um documento a outro.
            labels: [B, L], deslocados por dentro; -100 não conta.
            emotion: [B, 6], para o roteamento emocional. persona: [B, 8], para a HyperNetwork. Um
                vetor vale para a sequência toda; em linhas empacotadas, um por token: [B, L, 6] e
                [B, L, 8]. ``None`` é o mesmo que zeros.
            cache: o mesmo que ``past_key_values``, com o nome que o transformers lhe dá desde 5.24.
            return_logits: com ``False``, e ``labels``, só a perda: os logits nunca existem inteiros
                (``src/models/loss.py``). É o que o treino pede.

        Returns:
            LunaOutput com ``logits`` [B, L, V]; uma tupla com ``return_dict=False``.

        Erros:
            ContextLengthError: a sequência não cabe no contexto do modelo.
        """
        return_dict = kwargs.pop("return_dict", None)
        luna = PassContext(emotion=emotion, persona=persona)
        inputs: dict[str, Any] = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "position_ids": position_ids,
            "inputs_embeds": inputs_embeds,
            "use_cache": use_cache,
            "luna": luna,
            CACHE_NAME: cache if cache is not None else past_key_values,
        }
        if labels is not None and not return_logits:
            output = self._loss_only(inputs, labels, kwargs.get("num_items_in_batch"))
        else:
            inputs |= {"labels": labels, "logits_to_keep": logits_to_keep}
            output = self.model(**inputs, **kwargs)
        result = self._with_router_losses(output, luna, labels, kwargs.get("num_items_in_batch"))
        return result.to_tuple() if return_dict is False else result

    def _loss_only(self, inputs: dict[str, Any], labels: Tensor, total_items: Any) -> Any:
        """A mesma perda, sobre os tokens que contam, sem montar os logits."""
        output = self.model.transformer(**inputs)
        targets = labels[:, 1:]
        kept = targets != -100
        hidden = output.last_hidden_state[:, :-1][kept]
        total = chunked_cross_entropy(hidden, self.model.lm_head.weight, targets[kept])
        loss = total / (kept.sum().clamp_min(1) if total_items is None else total_items)
        return CausalLMOutputWithPast(loss=loss, **{CACHE_NAME: getattr(output, CACHE_NAME)})

    def _with_router_losses(
        self, output: Any, luna: PassContext, labels: Tensor | None, total_items: Any
    ) -> LunaOutput:
        """Junta as perdas do roteador; no treino, soma-as à perda com os pesos da configuração.

        Quando o Trainer dá o total de tokens da acumulação, a parte auxiliar é dividida na mesma
        proporção, para que 1 lote de 8 e 8 de 1 deem o mesmo gradiente.
        """
        loss, balance, z = output.loss, None, None
        if luna.moe_losses:
            balance = torch.stack([losses.balance for losses in luna.moe_losses]).mean()
            z = torch.stack([losses.z for losses in luna.moe_losses]).mean()
            if loss is not None and self.training and labels is not None:
                share: Any = 1.0
                if total_items is not None:
                    share = (labels[:, 1:] != -100).sum() / total_items
                extra = self.config.balance_weight * balance + self.config.z_weight * z
                loss = loss + extra * share
        return LunaOutput(
            loss=loss,
            logits=output.logits,
            hidden_states=output.hidden_states,
            attentions=output.attentions,
            balance_loss=balance,
            z_loss=z,
            **{CACHE_NAME: getattr(output, CACHE_NAME)},
        )

    # ------------------------------------------------------------------ geração

    def generate(
        self,
        inputs: Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        """Gera texto, como no transformers, sem nunca passar do contexto do modelo.

        ``max_length``, ``max_new_tokens`` e ``min_new_tokens`` que não caberiam são reduzidos, com
        um aviso.

        Erros:
            ContextLengthError: o prompt já ocupa todo o contexto.
        """
        prompt = inputs if inputs is not None else kwargs.get("input_ids")
        if prompt is not None:
            chosen = generation_config or self.generation_config
            self._limit_length(prompt.shape[-1], chosen, kwargs)
        generate: Any = super().generate
        return generate(inputs, generation_config=generation_config, **kwargs)

    def _limit_length(self, prompt: int, chosen: GenerationConfig, kwargs: dict[str, Any]) -> None:
        context = self.config.n_positions
        room = context - prompt
        lookahead = kwargs.get("prompt_lookup_num_tokens") or 0
        if lookahead and 0 < room <= lookahead + 1:  # não há onde conferir os tokens adiantados
            kwargs.pop("prompt_lookup_num_tokens")
        elif lookahead:
            context, room = context - lookahead - 1, room - lookahead - 1
        if room < 1:
            raise ContextLengthError(
                f"O prompt tem {prompt} tokens e ocupa todo o contexto ({context}). "
                "Encurte-o ou crie um modelo com contexto maior."
            )
        limits = {"max_length": context, "max_new_tokens": room, "min_new_tokens": room}
        for name, limit in limits.items():
            value = kwargs[name] if name in kwargs else getattr(chosen, name, None)
            if value is not None and value > limit:
                logger.warning("%s=%d não cabe no contexto; usando %d.", name, value, limit)
                kwargs[name] = limit

    # ------------------------------------------------------------------ criar, salvar, carregar

    @classmethod
    def from_scratch(
        cls, config: ModelConfig | Config, use_lightweight: bool = False
    ) -> "LunaModel":
        """Cria um modelo com pesos novos.

        Args:
            config: ``ModelConfig``, ou ``Config`` (usa a seção ``.model``).
            use_lightweight: limita largura a 256 e profundidade a 4 blocos, como na referência.
        """
        model_config = copy.deepcopy(config.model if isinstance(config, Config) else config)
        if use_lightweight:
            model_config = model_config.lightweight()
        model_config.origin, model_config.pair_rows = "random", 0
        model = cls(model_config)
        model.eval()
        return model

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, model_path: str | os.PathLike, config: ModelConfig | None = None, **kwargs: Any
    ) -> Any:
        """Carrega um modelo salvo. As dimensões salvas vencem as de ``config``.

        Nunca usa a rede, nunca desserializa código (só safetensors e JSON) e nunca reinicia pesos
        em silêncio.

        Erros:
            ModelNotFoundError: não há modelo na pasta.
            ModelFormatError: a pasta está incompleta, danificada, ou falta algum peso.
        """
        folder = model_files.check_folder(model_path)
        saved = read_config(folder)
        chosen = _saved_shape_wins(saved, config)
        wants_info = kwargs.pop("output_loading_info", False)
        kwargs["local_files_only"] = True
        loaded: Any
        try:
            loaded = super().from_pretrained(
                folder, config=chosen, output_loading_info=True, **kwargs
            )
        except (RuntimeError, KeyError) as error:
            raise ModelFormatError(
                f"Os pesos de '{folder}' não combinam com o config.json: {error}"
            ) from error
        model, info = loaded
        lost = sorted(info.get("missing_keys") or []) + [
            str(item[0]) for item in info.get("mismatched_keys") or []
        ]
        extra = sorted(info.get("unexpected_keys") or [])
        if extra:
            raise ModelFormatError(
                f"'{folder}' tem pesos que o config.json não prevê ({len(extra)}; o primeiro é "
                f"{extra[0]}): são de gravações diferentes. Nada foi carregado."
            )
        if lost:
            raise ModelFormatError(
                f"Faltam pesos em '{folder}' ({len(lost)}; o primeiro é {lost[0]}). O modelo não "
                "foi carregado, para não responder com pesos sorteados."
            )
        detach_from_files(model)
        return (model, info) if wants_info else model

    def save(
        self,
        model_dir: str | os.PathLike,
        save_to_wandb: bool = False,
        run_name: str | None = None,
        save_id: str | None = None,
    ) -> None:
        """Grava o modelo em ``model_dir``, um arquivo por componente.

        Uma pasta nova só aparece quando está completa; numa que existe, só os arquivos do modelo
        são trocados, o índice por último. ``save_id`` identifica a gravação, se já foi escolhido.

        Erros:
            StorageError: o disco recusou; o que já existia continua valendo.
        """
        self.save_pretrained(model_dir, save_id=save_id)
        if save_to_wandb:
            _log_to_wandb(Path(model_dir), run_name)

    def save_pretrained(  # type: ignore[override]
        self,
        save_directory: str | os.PathLike,
        state_dict: dict[str, Tensor] | None = None,
        is_main_process: bool = True,
        save_id: str | None = None,
        **unused: Any,
    ) -> None:
        """O mesmo formato de ``save``, sob o nome que o transformers e o Trainer chamam.

        Com ``is_main_process=False`` não grava nada, como no transformers.
        """
        if not is_main_process:
            return
        folder = Path(save_directory)
        if folder.is_dir() and any(folder.iterdir()):
            self._write(folder, state_dict, save_id)
            return
        with atomic_io.staged_directory(folder) as staging:
            self._write(staging, state_dict, save_id)

    def _write(
        self, folder: Path, state_dict: dict[str, Tensor] | None, save_id: str | None
    ) -> None:
        self.config.architectures = [type(self).__name__]
        self.config.dtype = str(self.dtype).removeprefix("torch.")
        texts = {
            "generation_config.json": _generation_json(self),
            model_files.CONFIG_FILE: self.config.to_json_string(use_diff=False),
        }
        model_files.write_model(folder, state_dict or self.state_dict(), texts, save_id)

    def parameter_count(self, active_only: bool = False) -> int:
        """Quantos parâmetros o modelo tem; com ``active_only``, os usados por token."""
        total = sum(p.numel() for p in self.parameters())
        if active_only:
            for moe in self.moe_blocks:
                expert = sum(p.numel() for p in moe.experts[0].parameters())
                total -= expert * (moe.num_experts - moe.sparse_top_k)
        return total


def read_config(folder: Path) -> ModelConfig:
    """A ``ModelConfig`` gravada em ``folder``.

    Erros:
        ModelFormatError: o ``config.json`` está danificado ou é de outro tipo de modelo.
    """
    values = model_files.read_json(folder / model_files.CONFIG_FILE)
    if (folder / "generation_config.json").exists():
        model_files.read_json(folder / "generation_config.json")  # só confere
    kind = values.get("model_type")
    if kind != ModelConfig.model_type:
        raise ModelFormatError(
            f"'{folder}' tem um modelo do tipo {kind!r}, não 'luna'. Para usar um GPT-2 como base: "
            "python main.py create --name NOME --base PASTA"
        )
    try:
        return ModelConfig.from_dict(values)
    except (LunaError, ValueError, TypeError, AttributeError) as error:
        raise ModelFormatError(f"O config.json de '{folder}' não é aceito: {error}") from error


def _saved_shape_wins(saved: ModelConfig, given: ModelConfig | None) -> ModelConfig:
    """A configuração salva, com o que ``given`` pode mudar sem mexer nos pesos nem nos tokens."""
    if given is None:
        return saved
    different = [n for n in SHAPE_FIELDS if getattr(saved, n) != getattr(given, n, None)]
    if different:
        logger.info("O modelo salvo vence a configuração dada em: %s.", ", ".join(different))
        return saved
    for name in FREE_FIELDS:
        setattr(saved, name, getattr(given, name))
    return saved


def detach_from_files(model: torch.nn.Module) -> None:
    """Copia os pesos para a memória do processo.

    O safetensors os deixa mapeados no arquivo, e no Windows um arquivo mapeado não pode ser
    substituído: salvar por cima do modelo carregado falharia.
    """
    for tensor in [*model.parameters(), *model.buffers()]:  # pesos divididos vêm uma vez só
        tensor.data = tensor.data.clone()


def _generation_json(model: LunaModel) -> str:
    settings = model.generation_config or GenerationConfig()
    settings.eos_token_id = model.config.eos_token_id
    settings.pad_token_id = model.config.pad_token_id
    settings.bos_token_id = model.config.bos_token_id
    return settings.to_json_string()


def _log_to_wandb(folder: Path, run_name: str | None) -> None:
    """Registra a pasta como artefato do Weights & Biases (funciona sem rede, em modo offline)."""
    from src.utils.dependency_utils import require

    wandb = require("wandb", "wandb")
    run = wandb.run or wandb.init(project="lunagpt", name=run_name)
    artifact = wandb.Artifact(name=folder.name, type="model")
    artifact.add_dir(str(folder))
    run.log_artifact(artifact)


def _tell_peft() -> None:
    """Diz ao PEFT, se ele já foi importado, que camadas adaptar quando o usuário não escolhe."""
    constants = sys.modules.get("peft.utils.constants")
    mapping = getattr(constants, "TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING", None)
    if mapping is not None:
        mapping.setdefault(ModelConfig.model_type, LORA_TARGETS)


AutoConfig.register(ModelConfig.model_type, ModelConfig, exist_ok=True)
AutoModelForCausalLM.register(ModelConfig, LunaModel, exist_ok=True)
