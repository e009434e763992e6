"""O LunaGPT dentro do lm-evaluation-harness: as mesmas tarefas que se usam para comparar modelos.

Pede o extra ``harness`` (``pip install -e ".[harness]"``). Registra o modelo ``luna``::

    python -m src.evaluation.lm_harness run --model luna \\
        --model_args pretrained=models/MeuLunaGPT --tasks minha_tarefa --include_path minhas_tarefas

Tudo o mais é do harness: tarefas, opções e saída. Tarefas que baixam dados precisam de internet; as
locais (``dataset_path: json`` e ``data_files``), não. O texto das tarefas é codificado como o do
usuário: nunca vira token de controle.

Fonte: Gao et al., "A framework for few-shot language model evaluation", lm-evaluation-harness.
"""

import sys
from pathlib import Path
from typing import Any

from src.utils.dependency_utils import require

require("lm_eval", "harness")

import torch  # noqa: E402
from lm_eval.api.registry import register_model  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402

from src.config.config import Config  # noqa: E402
from src.models.luna_model import LunaModel  # noqa: E402
from src.models.tokenizer import LunaTokenizer  # noqa: E402
from src.utils.errors import UsageError  # noqa: E402
from src.utils.hardware_utils import resolve_device  # noqa: E402


@register_model("luna")
class LunaLM(HFLM):
    """Uma pasta Luna como modelo do harness.

    Args:
        pretrained: a pasta do modelo.
        device: ``cpu``, ``cuda`` ou ``mps``; o melhor que houver, sem ela ou com o ``cuda:0`` que o
            harness pede por padrão onde não há GPU.
        batch_size, max_length e demais: os de ``HFLM``.

    Erros:
        ModelNotFoundError, ModelFormatError: não há modelo na pasta, ou está danificado.
        UsageError: o dispositivo não existe nesta máquina.
    """

    def __init__(self, pretrained: str, device: str | None = None, **kwargs: Any) -> None:
        folder, wanted = Path(pretrained), device or "auto"
        if not wanted.startswith("cuda") or not torch.cuda.is_available():
            wanted = resolve_device("auto" if wanted.startswith("cuda") else wanted)
        model = LunaModel.from_pretrained(folder).to(wanted)
        tokenizer = LunaTokenizer(Config()).load(folder / "tokenizer").hf
        super().__init__(
            pretrained=model.eval(), tokenizer=tokenizer, device=wanted, backend="causal", **kwargs
        )

    def apply_chat_template(self, *unused: Any, **options: Any) -> str:
        """Recusado: o texto das tarefas nunca vira token de controle, e o molde viraria texto.

        Erros:
            UsageError: sempre.
        """
        raise UsageError(
            "--apply_chat_template não vale com --model luna: os papéis da conversa seriam lidos "
            "como texto comum. Rode sem essa opção."
        )

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Contexto e continuação codificados à parte.

        O harness codifica os dois juntos e corta; com fusões entre palavras, um token poderia
        atravessar o corte, e uma parte da continuação não seria avaliada.
        """
        kept = context.rstrip()
        continuation = context[len(kept) :] + continuation
        return self.tok_encode(kept), self.tok_encode(continuation)


def main() -> int:
    """A linha de comando do harness, com o modelo ``luna`` registrado."""
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()
    return 0


if __name__ == "__main__":
    sys.exit(main())
