"""O tokenizador do LunaGPT na forma da biblioteca transformers.

Está num módulo próprio porque importar transformers leva segundos: só ``LunaTokenizer.hf`` o faz.
"""

from typing import Any

import transformers


class PreTrainedTokenizerFast(transformers.PreTrainedTokenizerFast):
    """O da biblioteca, com texto que continua texto e conversas que continuam conversas.

    Com ``split_special_tokens`` ligado (como em ``LunaTokenizer.hf``), ``tokenizer(texto)`` nunca
    dá um token de controle; mas a conversa já montada por ``apply_chat_template`` precisa deles.
    O modelo jinja do LunaGPT neutraliza antes o texto das mensagens, então ali é seguro ligá-los.

    O nome repete o da classe mãe porque ``save_pretrained`` o grava em ``tokenizer_config.json``:
    a pasta tem de abrir também onde o LunaGPT não está instalado.
    """

    def apply_chat_template(self, conversation: Any, *args: Any, **kwargs: Any) -> Any:
        """Como na classe mãe, com os tokens de controle do modelo jinja reconhecidos."""
        options = kwargs.get("tokenizer_kwargs") or {}
        kwargs["tokenizer_kwargs"] = {"split_special_tokens": False} | options
        return super().apply_chat_template(conversation, *args, **kwargs)
