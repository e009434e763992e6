"""O tokenizador do LunaGPT na forma da biblioteca transformers.

Está num módulo próprio porque importar transformers leva segundos: só ``LunaTokenizer.hf`` o faz.
"""

from typing import Any

import transformers


class PreTrainedTokenizerFast(transformers.PreTrainedTokenizerFast):
    """O da biblioteca, com texto que continua texto e conversas que continuam conversas.

    Com ``split_special_tokens=True`` (o padrão em ``LunaTokenizer.hf``), ``tokenizer(texto)`` nunca
    dá um token de controle; mas a conversa já montada por ``apply_chat_template`` precisa deles.
    O modelo jinja do LunaGPT neutraliza o texto das mensagens antes, então ali é seguro ligá-los.

    O nome repete o da classe mãe porque ``save_pretrained`` o grava em ``tokenizer_config.json``:
    a pasta tem de abrir também onde o LunaGPT não está instalado.
    """

    def apply_chat_template(
        self, *args: Any, tokenizer_kwargs: dict[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        """Como na classe mãe, com os tokens de controle do modelo jinja reconhecidos."""
        options = {"split_special_tokens": False} | (tokenizer_kwargs or {})
        return super().apply_chat_template(*args, tokenizer_kwargs=options, **kwargs)
