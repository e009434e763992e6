"""LoRA pelo PEFT: treinar só um par de matrizes finas ao lado de cada camada linear.

Glossário (letra, significado, forma):
    W  peso congelado    [o, i]      A  [r, i]      B  [o, r], zero no início      r  posto (rank)

    y = W x + (alpha / r) B A x          e, no fim,          W <- W + (alpha / r) B A

O modelo treinado é congelado, menos A, B e, onde existem, o viés da emoção no roteador e a projeção
da persona, que são tão pequenos que se treinam inteiros. No fim o adaptador é somado aos pesos
(``merge_lora``) e o modelo volta a ser um ``LunaModel`` comum, sem custo a mais na geração.

Fonte: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (2021).
"""

import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from src.models.luna_model import LORA_TARGETS, LunaModel
from src.models.model_files import read_json
from src.utils import atomic_io
from src.utils.dependency_utils import require
from src.utils.errors import LunaError, ModelFormatError, StorageError, UsageError
from src.utils.numbers import decimal, grouped

#: Módulos pequenos que se treinam inteiros: é neles que a emoção e a persona entram.
WHOLE_MODULES = ("emotion_bias", "persona")
ADAPTER_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"  # do PEFT
BASE_FILE = "base.json"


def add_lora(
    model: LunaModel,
    rank: int = 8,
    alpha: float = 16,
    dropout: float = 0.0,
    targets: Sequence[str] | None = None,
) -> Any:
    """Congela ``model`` e põe adaptadores nas suas camadas lineares, no lugar (PEFT).

    As saídas não mudam neste instante, porque B nasce em zero. Enquanto o adaptador existe, a rede
    que cresce não cresce: as camadas novas não caberiam nele.

    Args:
        rank: posto r, a partir de 1. alpha: a escala é ``alpha / rank``.
        dropout: na entrada dos adaptadores, de 0 a 1 (sem ele).
        targets: nomes finais dos módulos; ``None`` são os de ``LORA_TARGETS`` que o modelo tem.

    Returns:
        ``peft.PeftModel``, que embrulha o próprio ``model``.

    Erros:
        UsageError: valor não aceito, módulo que não existe, ou tabela de embeddings entre os alvos.
        DependencyError: o PEFT não está instalado. LunaError: já há um adaptador.
    """
    peft = require("peft", "lora")
    if has_lora(model):
        raise LunaError("Este modelo já tem um adaptador LoRA: some-o (merge_lora) antes de outro.")
    _check_numbers(rank, alpha, dropout)
    names = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=_targets(model, targets),
        modules_to_save=[name for name in WHOLE_MODULES if name in names] or None,
        task_type="CAUSAL_LM",
    )
    for network in model.growing_networks:
        network.max_extra_layers = len(network.layers)
    with _expected_warnings():
        return peft.get_peft_model(model, config)


def _check_numbers(rank: Any, alpha: Any, dropout: Any) -> None:
    if type(rank) is not int or rank < 1:
        raise UsageError(f"LoRA: rank={rank!r}: esperado um inteiro a partir de 1, como 8.")
    if type(alpha) not in (int, float) or not 0 < alpha < float("inf"):
        raise UsageError(f"LoRA: alpha={alpha!r}: esperado um número maior que zero, como 16.")
    if type(dropout) not in (int, float) or not 0 <= dropout < 1:
        raise UsageError(f"LoRA: dropout={dropout!r}: esperado um número de 0 até antes de 1.")


def _targets(model: LunaModel, asked: Sequence[str] | None) -> list[str]:
    """Os nomes finais dos módulos a adaptar, conferidos."""
    linear = _linear_names(model)
    if asked is None:
        return [name for name in LORA_TARGETS if name in linear]
    unknown = sorted(set([asked] if isinstance(asked, str) else asked) - linear)
    if unknown or not asked:
        raise UsageError(
            f"LoRA: targets={asked!r}: {unknown[0] if unknown else 'nenhum módulo'!r} não pode ser "
            f"adaptado. Os que podem, neste modelo: {', '.join(sorted(linear))}. As tabelas de "
            "embeddings ficam de fora: a da entrada e a da saída dividem os pesos, e o adaptador "
            "de uma desfaria isso."
        )
    return [asked] if isinstance(asked, str) else list(asked)


def _linear_names(model: LunaModel) -> set[str]:
    """Os nomes finais das camadas lineares, sem a da saída nem as que se treinam inteiras."""
    from transformers.pytorch_utils import Conv1D

    tables = {id(model.get_input_embeddings()), id(model.get_output_embeddings())}
    found = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, Conv1D)) and id(module) not in tables
    }
    return found - set(WHOLE_MODULES)


@contextmanager
def _expected_warnings() -> Iterator[None]:
    """Cala dois avisos do PEFT sem consequência: ele acerta sozinho o lado das matrizes Conv1D."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to")
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing")
        yield


def has_lora(model: nn.Module) -> bool:
    """Se ``model`` (embrulhado ou não) tem um adaptador."""
    return any(hasattr(module, "lora_A") for module in model.modules())


def lora_line(model: nn.Module) -> str:
    """Para a tela: quantos parâmetros o adaptador treina, do total."""
    total = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    share = decimal(100 * trained / total, 1)
    return f"LoRA: {grouped(trained)} parâmetros treinados de {grouped(total)} ({share} %)."


# ---------------------------------------------------------------------- de volta ao LunaModel


def merge_lora(wrapped: Any) -> LunaModel:
    """Soma o adaptador aos pesos e devolve o ``LunaModel`` de sempre, inteiro treinável.

    As saídas são as do modelo com o adaptador, a menos de arredondamento.

    Erros:
        LunaError: o adaptador tem valores que não são números; os pesos não são tocados.
    """
    broken = [n for n, p in wrapped.named_parameters() if p.requires_grad and not _finite(p)]
    if broken:
        raise LunaError(
            f"O adaptador tem valores que não são números ({broken[0]}): o treino divergiu. Os "
            "pesos do modelo estão como antes; repita com uma taxa de aprendizado menor."
        )
    return _released(wrapped.merge_and_unload())


def discard_lora(wrapped: Any) -> LunaModel:
    """Tira o adaptador sem somá-lo: o ``LunaModel`` volta a ser o de antes, bit a bit."""
    for module in wrapped.modules():  # unload() ficaria com as cópias treinadas
        if hasattr(module, "modules_to_save") and hasattr(module, "original_module"):
            trained = module.modules_to_save[wrapped.active_adapter]
            trained.load_state_dict(module.original_module.state_dict())
    return _released(wrapped.unload())


def set_scale(wrapped: Any, scale: float) -> None:
    """Aplica só a parte ``scale`` (0 a 1) do que o adaptador aprendeu; 1 é ele inteiro."""
    for module in wrapped.modules():
        if hasattr(module, "lora_A") and isinstance(getattr(module, "scaling", None), dict):
            for name in module.scaling:
                module.scaling[name] = module.lora_alpha[name] / module.r[name] * scale


def adapter_state(wrapped: Any) -> dict[str, Any]:
    """Uma cópia dos números do adaptador, para ``load_state``."""
    peft = require("peft", "lora")
    state = peft.get_peft_model_state_dict(wrapped, save_embedding_layers=False)
    return {name: tensor.detach().clone() for name, tensor in state.items()}


def load_state(wrapped: Any, state: dict[str, Any]) -> None:
    """Põe num adaptador da mesma forma os números de ``adapter_state``."""
    require("peft", "lora").set_peft_model_state_dict(wrapped, state)


def _finite(parameter: nn.Parameter) -> bool:
    return bool(parameter.detach().isfinite().all())


def _released(model: LunaModel) -> LunaModel:
    """Desfaz o que ``add_lora`` mudou além dos módulos."""
    model.requires_grad_(True)
    for network in model.growing_networks:
        network.max_extra_layers = model.config.max_extra_layers
    return model


# ---------------------------------------------------------------------- no disco


def save_adapter(wrapped: Any, folder: Path, base_save_id: str | None = None) -> None:
    """Grava só o adaptador, no formato do PEFT, no lugar do que houvesse em ``folder``.

    Em fp32 nada se perde: ``load_adapter`` o devolve bit a bit. ``base.json`` guarda sobre que
    gravação do modelo ele foi treinado (``base_save_id``, de ``model_files.read_save_id``): somado
    a outra, daria outro modelo.

    Erros:
        StorageError: o disco recusou.
    """
    from safetensors import SafetensorError

    try:
        with atomic_io.staged_directory(folder) as staging:
            # "auto" procuraria a configuração do modelo na rede
            wrapped.save_pretrained(str(staging), save_embedding_layers=False)
            (staging / "README.md").unlink(missing_ok=True)  # um formulário em branco
            atomic_io.write_json(staging / BASE_FILE, {"base_save_id": base_save_id})
            if folder.exists():
                shutil.rmtree(folder)
    except SafetensorError as error:
        raise StorageError(f"Não foi possível gravar '{folder}': {error}") from error


def load_adapter(model: LunaModel, folder: Path, base_save_id: str | None = None) -> Any:
    """Põe em ``model`` o adaptador gravado em ``folder``, pronto para continuar o treino.

    Returns:
        ``peft.PeftModel``, com os mesmos parâmetros, na mesma ordem, que ``add_lora`` daria.

    Erros:
        ModelFormatError: a pasta está incompleta, danificada, ou é de um modelo de outra forma.
        LunaError: o adaptador foi treinado sobre outra gravação que não ``base_save_id``.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    peft = require("peft", "lora")
    saved = read_json(folder / ADAPTER_FILE)
    base = read_json(folder / BASE_FILE).get("base_save_id")
    if base and base_save_id and base != base_save_id:
        raise LunaError(
            f"O adaptador de '{folder}' foi treinado sobre outra gravação deste modelo (o modelo "
            "mudou depois). Recupere aquela versão, ou treine de novo sem retomar."
        )
    try:
        values = [saved[name] for name in ("r", "lora_alpha", "lora_dropout", "target_modules")]
        state = load_file(folder / WEIGHTS_FILE)  # nunca o .bin, que executaria código
    except (KeyError, OSError, SafetensorError) as error:
        raise ModelFormatError(f"O adaptador de '{folder}' não pôde ser lido: {error}") from error
    misfit = f"O adaptador de '{folder}' não serve a este modelo: tem outras camadas ou dimensões."
    try:
        wrapped = add_lora(model, *values)
    except UsageError as error:
        raise ModelFormatError(misfit) from error
    expected = peft.get_peft_model_state_dict(wrapped, save_embedding_layers=False)
    shapes = {name: tensor.shape for name, tensor in expected.items()}
    if shapes != {name: tensor.shape for name, tensor in state.items()}:
        discard_lora(wrapped)
        raise ModelFormatError(misfit)
    peft.set_peft_model_state_dict(wrapped, state)
    return wrapped
