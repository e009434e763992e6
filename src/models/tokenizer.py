"""``LunaTokenizer``: texto em português para ids e de volta, sem perda e sem surpresas.

O texto nunca vira token de controle: há só dois caminhos até um deles, ``encode_chat`` e
``encode(..., allow_special=True)``. O vocabulário contém os 256 bytes, então todo texto Unicode tem
codificação e ``decode(encode(x)) == x``. O treino está em ``src.models.tokenizer_training``; o
formato da conversa, em ``src.models.chat_format``; os arquivos,
em ``src.models.tokenizer_files``.
"""

import logging
import operator
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from src.config.config import Config
from src.models.chat_format import CONTROL_TOKENS, Message, chat_template, check_messages
from src.models.tokenizer_files import (
    CONFIG_FILE,
    FORMAT_VERSION,
    SPECIAL_FILE,
    TOKENIZER_FILE,
    read_gpt2_folder,
    read_luna_folder,
)
from src.models.tokenizer_training import train_bpe, valid_text
from src.utils.atomic_io import write_json, write_text
from src.utils.errors import LunaError, UsageError

if TYPE_CHECKING:
    from os import PathLike

    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

logger = logging.getLogger(__name__)
MIN_CHARACTERS = 1024  # abaixo disto o vocabulário não presta


class _ControlId:
    """O id de um token de controle, como atributo (``tokenizer.user_id``)."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.role = name.removesuffix("_id")

    def __get__(self, instance: "LunaTokenizer | None", owner: type) -> int:
        if instance is None:
            raise AttributeError(f"{self.role}_id só existe num LunaTokenizer treinado.")
        return instance.control_ids[self.role]


class StreamDecoder:
    """Texto à medida que os tokens chegam, só em caracteres inteiros.

    Decodificar token a token parte acentos e emojis em ``U+FFFD``; aqui os bytes de um caractere
    incompleto esperam. A soma dos pedaços, com ``flush``, é ``decode`` de todos os ids. Usa
    ``tokenizers.decoders.DecodeStream``.
    """

    def __init__(self, tokenizer: "Tokenizer") -> None:
        self._tokenizer = tokenizer
        self._reset()

    def _reset(self) -> None:
        from tokenizers.decoders import DecodeStream

        self._stream = DecodeStream(skip_special_tokens=True)
        self._pending: list[int] = []

    def step(self, token_id: int) -> str:
        """O texto que este token completa; ``""`` se nenhum, ou se é um token de controle."""
        token_id = int(token_id)
        text = self._stream.step(self._tokenizer, token_id)
        if text is None:
            self._pending.append(token_id)
            return ""
        self._pending.clear()
        return text

    def flush(self) -> str:
        """O que ficou à espera (``U+FFFD`` no lugar de bytes incompletos); recomeça do zero."""
        rest = self._tokenizer.decode(self._pending, skip_special_tokens=True)
        self._reset()
        return rest


class LunaTokenizer:
    """Tokenizador de português: BPE de bytes, com tokens especiais para o diálogo.

    Args:
        config: de onde vêm ``config.tokenizer.vocab_size`` (total, com os tokens de controle),
            ``.min_frequency`` e ``.superword_fraction``; ``None`` usa os padrões.

    Atributos:
        user_token, assistant_token, system_token, thinking_token, proactive_token, eos_token,
        pad_token (str): o texto de cada token de controle.
        user_id, assistant_id, system_id, thinking_id, proactive_id, eos_id, pad_id (int): o id.

    Erros:
        LunaError: em qualquer uso antes de ``train_and_save`` ou ``load``.
    """

    user_id = _ControlId()
    assistant_id = _ControlId()
    system_id = _ControlId()
    thinking_id = _ControlId()
    proactive_id = _ControlId()
    eos_id = _ControlId()
    pad_id = _ControlId()

    def __init__(self, config: Config | None = None) -> None:
        self.config = config if config is not None else Config()
        self._tokenizer: Tokenizer | None = None
        self._control_ids: dict[str, int] = {}
        self._hf: PreTrainedTokenizerFast | None = None
        self._name_control_tokens(CONTROL_TOKENS)

    def _name_control_tokens(self, tokens: dict[str, str]) -> None:
        self.user_token = tokens["user"]
        self.assistant_token = tokens["assistant"]
        self.system_token = tokens["system"]
        self.thinking_token = tokens["thinking"]
        self.proactive_token = tokens["proactive"]
        self.eos_token = tokens["eos"]
        self.pad_token = tokens["pad"]

    @property
    def control_tokens(self) -> dict[str, str]:
        """Nome curto -> texto dos sete tokens de controle."""
        return {name: getattr(self, f"{name}_token") for name in CONTROL_TOKENS}

    @property
    def control_ids(self) -> dict[str, int]:
        """Nome curto -> id dos sete tokens de controle."""
        self._require()
        return self._control_ids

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Depois de ``pickle`` ou ``copy``: a biblioteca não guarda ``encode_special_tokens``."""
        self.__dict__.update(state)
        if self._tokenizer is not None:
            self._tokenizer.encode_special_tokens = True

    def _require(self) -> "Tokenizer":
        if self._tokenizer is None:
            raise LunaError(
                "O tokenizador ainda não foi treinado nem carregado. Carregue-o com load(pasta) "
                "ou treine-o com train_and_save(textos, pasta)."
            )
        return self._tokenizer

    # Treinar, salvar e carregar

    def train(self, texts: Iterable[str]) -> "LunaTokenizer":
        """Treina nos textos, sem gravar. Determinístico: os mesmos textos, o mesmo vocabulário.

        Args:
            texts: lista, gerador ou outro iterável de ``str``.

        Erros:
            NoDataError: não há texto algum.
            UsageError: um item não é texto.
        """
        options = self.config.tokenizer
        if isinstance(texts, (list, tuple)):
            total = sum(len(text) for text in texts if isinstance(text, str))
            if total < MIN_CHARACTERS:
                logger.warning(
                    "Só %d caracteres para treinar o tokenizador; com menos de %d (1 KB) o "
                    "vocabulário sai muito pobre.",
                    total,
                    MIN_CHARACTERS,
                )
        self._tokenizer = train_bpe(
            texts,
            vocab_size=options.vocab_size - len(CONTROL_TOKENS),
            min_frequency=options.min_frequency,
            superword_fraction=options.superword_fraction,
        )
        self.configure_special_tokens()
        return self

    def train_and_save(
        self, texts: Iterable[str], save_dir: "str | PathLike[str]"
    ) -> "LunaTokenizer":
        """Treina nos textos e grava em ``save_dir``; veja ``train`` e ``save``."""
        self.train(texts).save(save_dir)
        return self

    def configure_special_tokens(self) -> None:
        """Põe no vocabulário os tokens de controle que faltam, sempre como especiais.

        Os que já existem mantêm o id. Depois disto, o texto deles dentro de um texto comum não é
        reconhecido como controle.
        """
        from tokenizers import AddedToken

        tokenizer = self._require()
        tokenizer.add_special_tokens(
            [AddedToken(t, special=True, normalized=False) for t in self.control_tokens.values()]
        )
        tokenizer.encode_special_tokens = True
        ids = {name: tokenizer.token_to_id(t) for name, t in self.control_tokens.items()}
        self._control_ids = {name: value for name, value in ids.items() if value is not None}
        self._hf = None

    def save(self, save_dir: "str | PathLike[str]") -> None:
        """Grava a pasta, cada arquivo de uma vez, ``tokenizer.json`` por último.

        Erros:
            StorageError: o disco recusou a gravação.
        """
        tokenizer, folder = self._require(), Path(save_dir)
        names = {f"{name}_token": text for name, text in self.control_tokens.items()}
        write_json(folder / SPECIAL_FILE, {"format_version": FORMAT_VERSION} | names)
        write_json(folder / CONFIG_FILE, self._hf_config())
        write_text(folder / TOKENIZER_FILE, tokenizer.to_str(pretty=True) + "\n")

    def _hf_config(self) -> dict[str, Any]:
        """O conteúdo de ``tokenizer_config.json``."""
        named = ("eos", "pad")
        others = [text for name, text in self.control_tokens.items() if name not in named]
        return {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": self.eos_token,
            "pad_token": self.pad_token,
            "extra_special_tokens": others,
            "clean_up_tokenization_spaces": False,
            "chat_template": chat_template(self.control_tokens),
        }

    def load(self, tokenizer_dir: "str | PathLike[str]") -> "LunaTokenizer":
        """Carrega a pasta gravada por ``save`` e devolve o próprio objeto.

        Uma pasta antiga, sem ``special_tokens.json``, usa os tokens de controle padrão.

        Erros:
            ModelFormatError: falta um arquivo, ou um deles está danificado.
        """
        tokenizer, tokens = read_luna_folder(Path(tokenizer_dir))
        self._tokenizer = tokenizer
        self._name_control_tokens(tokens)
        self.configure_special_tokens()
        return self

    @classmethod
    def from_hf_folder(
        cls, folder: "str | PathLike[str]", config: Config | None = None
    ) -> "LunaTokenizer":
        """Toma um tokenizador no estilo do GPT-2 e lhe acrescenta os tokens de controle que faltam.

        Todo id existente fica como está; ``<|endoftext|>``, se houver, é reaproveitado.

        Args:
            folder: pasta local com ``tokenizer.json``, ou com ``vocab.json`` e ``merges.txt``.

        Erros:
            ModelFormatError: faltam os arquivos, estão danificados, ou não é um BPE de bytes.
        """
        instance = cls(config)
        instance._tokenizer = read_gpt2_folder(Path(folder))
        instance.configure_special_tokens()
        return instance

    # Texto <-> ids

    def encode(self, text: str, allow_special: bool = False) -> list[int]:
        """Converte texto em ids.

        Args:
            text: qualquer texto Unicode (substitutos UTF-16 isolados viram U+FFFD).
            allow_special: reconhece os tokens de controle no texto; só para texto de confiança,
                nunca para o de usuários e documentos.

        Erros:
            UsageError: ``text`` não é ``str``.
        """
        tokenizer, text = self._require(), _checked_text(text)
        if not allow_special:
            return tokenizer.encode(text, add_special_tokens=False).ids
        ids: list[int] = []
        by_text = {text: self._control_ids[name] for name, text in self.control_tokens.items()}
        for piece in re.split(f"({'|'.join(map(re.escape, by_text))})", text):
            known = by_text.get(piece)
            ids += [known] if known is not None else self.encode(piece)
        return ids

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        """``encode`` de cada texto, em paralelo; nunca dá tokens de controle."""
        batch = [_checked_text(text) for text in texts]
        encodings = self._require().encode_batch_fast(batch, add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def encode_with_starts(self, text: str) -> tuple[list[int], list[int]]:
        """``encode`` e, para cada token, o índice em ``text`` do caractere em que ele começa."""
        encoding = self._require().encode(_checked_text(text), add_special_tokens=False)
        return encoding.ids, [start for start, _ in encoding.offsets]

    def decode(self, tokens: Any, skip_special_tokens: bool = True) -> str:
        """Converte ids em texto.

        Args:
            tokens: sequência de inteiros, tensor do torch ou array do numpy, de uma dimensão; um
                inteiro só também serve. Ids fora do vocabulário não dão texto.
            skip_special_tokens: deixa de fora os tokens de controle.

        Erros:
            UsageError: não é uma sequência de inteiros não negativos.
        """
        return self._require().decode(_as_ids(tokens), skip_special_tokens=skip_special_tokens)

    def get_vocab_size(self) -> int:
        """Quantos ids existem, tokens de controle incluídos."""
        return self._require().get_vocab_size(with_added_tokens=True)

    def __len__(self) -> int:
        return self.get_vocab_size()

    def bytes_per_token(self) -> list[int]:
        """Por id, quantos bytes UTF-8 de texto o token representa; 0 nos de controle [V]."""
        tokenizer, control = self._require(), set(self.control_ids.values())
        added = {i: token.content for i, token in tokenizer.get_added_tokens_decoder().items()}
        sizes = []
        for index in range(self.get_vocab_size()):
            if index in control:
                sizes.append(0)
            elif index in added:
                sizes.append(len(added[index].encode("utf-8")))
            else:  # no alfabeto byte-level, cada caractere é um byte
                sizes.append(len(tokenizer.id_to_token(index) or ""))
        return sizes

    def stream_decoder(self) -> StreamDecoder:
        """Um decodificador para tokens que chegam um a um."""
        return StreamDecoder(self._require())

    # Conversas

    @overload
    def encode_chat(
        self,
        messages: Sequence[Message],
        add_generation_prompt: bool = ...,
        return_assistant_mask: Literal[False] = ...,
    ) -> list[int]: ...

    @overload
    def encode_chat(
        self,
        messages: Sequence[Message],
        add_generation_prompt: bool = ...,
        *,
        return_assistant_mask: Literal[True],
    ) -> tuple[list[int], list[bool]]: ...

    def encode_chat(
        self,
        messages: Sequence[Message],
        add_generation_prompt: bool = False,
        return_assistant_mask: bool = False,
    ) -> list[int] | tuple[list[int], list[bool]]:
        """Os ids de uma conversa; o conteúdo nunca vira token de controle, seja ele qual for.

        Args:
            messages: ``{"role": "user" | "assistant" | "system", "content": str}`` em ordem.
            add_generation_prompt: termina com o token do assistente, para que o modelo responda.
            return_assistant_mask: devolve também a máscara do que se deve aprender.

        Returns:
            Os ids; com ``return_assistant_mask``, ``(ids, máscara)``, onde ``True`` marca o
            conteúdo do assistente e o ``<|endoftext|>`` que o fecha (não o token do papel).

        Erros:
            UsageError: papel desconhecido, chave ausente ou conteúdo que não é texto.
        """
        check_messages(messages)
        role_ids, ids, mask = self.control_ids, list[int](), list[bool]()
        contents = self.encode_batch(message["content"] for message in messages)
        for message, content in zip(messages, contents):
            learned = message["role"] == "assistant"
            body = content + [role_ids["eos"]] if learned else content
            ids += [role_ids[message["role"]], *body]
            mask += [False] + [learned] * len(body)
        if add_generation_prompt:
            ids, mask = ids + [role_ids["assistant"]], mask + [False]
        return (ids, mask) if return_assistant_mask else ids

    # A forma da biblioteca transformers

    @property
    def hf(self) -> "PreTrainedTokenizerFast":
        """O mesmo tokenizador como ``PreTrainedTokenizerFast``, criado no primeiro uso.

        ``hf(texto)`` deixa o texto ser texto (``split_special_tokens=True``);
        ``hf.apply_chat_template(mensagens)`` dá os tokens de controle da conversa.
        """
        if self._hf is None:
            from src.models.hf_tokenizer import PreTrainedTokenizerFast

            options = {k: v for k, v in self._hf_config().items() if k != "tokenizer_class"}
            self._hf = PreTrainedTokenizerFast(tokenizer_object=self._require(), **options)
            # Como atributo, e não no construtor, para que save_pretrained não o grave: em outras
            # ferramentas apply_chat_template depende dos tokens de controle reconhecidos.
            self._hf.split_special_tokens = True
        return self._hf


def _checked_text(text: str) -> str:
    if not isinstance(text, str):
        raise UsageError(f"texto do tipo {type(text).__name__}: esperado str.")
    return valid_text(text)


def _as_ids(tokens: Any) -> list[int]:
    """Lista de inteiros de uma lista, tupla, tensor, array ou inteiro só."""
    values = tokens.tolist() if hasattr(tokens, "tolist") else tokens
    try:
        ids = [values] if isinstance(values, int) else [operator.index(value) for value in values]
    except TypeError as error:
        raise UsageError(
            f"tokens do tipo {type(tokens).__name__}: esperada uma sequência de inteiros, "
            "de uma dimensão."
        ) from error
    if ids and not 0 <= min(ids) <= max(ids) < 2**32:
        raise UsageError(
            f"token {min(ids)}: esperado um id de 0 em diante. Rótulos mascarados (-100) devem "
            "ser retirados antes de decodificar."
        )
    return ids
