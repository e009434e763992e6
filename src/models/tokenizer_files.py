"""Leitura das pastas de tokenizador, a do LunaGPT e as no estilo do GPT-2.

Na pasta gravada por ``LunaTokenizer.save``::

    tokenizer.json         vocabulário, fusões e pré-tokenizador (formato da biblioteca tokenizers)
    tokenizer_config.json  o que ``transformers.AutoTokenizer`` lê, com o modelo jinja da conversa
    special_tokens.json    os sete tokens de controle, com a versão do formato

Todo defeito vira ``ModelFormatError``, com o nome do arquivo e o que fazer.
"""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.models.chat_format import CONTROL_TOKENS
from src.utils.errors import ModelFormatError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

logger = logging.getLogger(__name__)

TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"
SPECIAL_FILE = "special_tokens.json"
FORMAT_VERSION = 1

_REPAIR = (
    "Restaure a pasta de uma cópia, ou treine o tokenizador de novo com "
    "LunaTokenizer(config).train_and_save(textos, pasta)."
)


def read_json(path: Path) -> dict[str, Any]:
    """O objeto de um arquivo JSON.

    Erros:
        ModelFormatError: o arquivo falta, não pôde ser lido ou não é um objeto JSON.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelFormatError(
            f"O tokenizador está incompleto: falta '{path}'. {_REPAIR}"
        ) from error
    except (OSError, ValueError) as error:
        raise ModelFormatError(f"Não foi possível ler '{path}': {error}. {_REPAIR}") from error
    if not isinstance(value, dict):
        raise ModelFormatError(f"'{path}' não contém um objeto JSON. {_REPAIR}")
    return value


def read_luna_folder(folder: Path) -> tuple["Tokenizer", dict[str, str]]:
    """O tokenizador e os seus tokens de controle (nome curto -> texto).

    Erros:
        ModelFormatError: falta um arquivo, um deles está danificado, ou falta um token de controle.
    """
    read_json(folder / CONFIG_FILE)
    tokenizer = read_tokenizer(folder / TOKENIZER_FILE)
    tokens = read_control_tokens(folder / SPECIAL_FILE)
    for text in tokens.values():
        if tokenizer.token_to_id(text) is None:
            raise ModelFormatError(
                f"'{folder / TOKENIZER_FILE}' não tem o token de controle {text}. {_REPAIR}"
            )
    return tokenizer, tokens


def read_gpt2_folder(folder: Path) -> "Tokenizer":
    """Um tokenizador no estilo do GPT-2: ``tokenizer.json``, ou ``vocab.json`` e ``merges.txt``.

    Erros:
        ModelFormatError: faltam os arquivos, estão danificados, ou não é um BPE de bytes.
    """
    single = folder / TOKENIZER_FILE
    tokenizer = read_tokenizer(single) if single.is_file() else read_gpt2_files(folder)
    check_byte_level(tokenizer, folder)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def read_tokenizer(path: Path) -> "Tokenizer":
    """Um ``tokenizer.json``.

    Erros:
        ModelFormatError: o arquivo falta ou está danificado.
    """
    from tokenizers import Tokenizer

    read_json(path)
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # a biblioteca só levanta Exception, sem subclasse
        raise ModelFormatError(
            f"'{path}' não é um tokenizador válido: {error}. {_REPAIR}"
        ) from error


def read_control_tokens(path: Path) -> dict[str, str]:
    """Nome curto -> texto, de ``special_tokens.json``; os padrões se a pasta é antiga."""
    if not path.exists():
        logger.info("'%s' não existe (pasta antiga): usando os tokens de controle padrão.", path)
        return dict(CONTROL_TOKENS)
    data = read_json(path)
    version = data.get("format_version", FORMAT_VERSION)
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ModelFormatError(
            f"'{path}' é da versão {version!r} e este LunaGPT lê até a {FORMAT_VERSION}. "
            "Atualize o LunaGPT."
        )
    tokens = {name: data.get(f"{name}_token", text) for name, text in CONTROL_TOKENS.items()}
    for name, text in tokens.items():
        if not isinstance(text, str) or not text:
            raise ModelFormatError(f"'{path}': {name}_token={text!r}, esperado um texto. {_REPAIR}")
    if len(set(tokens.values())) < len(tokens):
        raise ModelFormatError(f"'{path}': dois tokens de controle são iguais. {_REPAIR}")
    return tokens


def read_gpt2_files(folder: Path) -> "Tokenizer":
    """``vocab.json`` e ``merges.txt``, com o pré-tokenizador do GPT-2."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocab, merges = folder / "vocab.json", folder / "merges.txt"
    if not (vocab.is_file() and merges.is_file()):
        raise ModelFormatError(
            f"'{folder}' não tem um tokenizador: esperado {TOKENIZER_FILE}, "
            "ou vocab.json e merges.txt."
        )
    try:
        tokenizer = Tokenizer(models.BPE.from_file(str(vocab), str(merges)))
    except Exception as error:  # a biblioteca só levanta Exception, sem subclasse
        raise ModelFormatError(f"'{vocab}' ou '{merges}' está danificado: {error}.") from error
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def check_byte_level(tokenizer: "Tokenizer", folder: Path) -> None:
    """Só um BPE com os 256 bytes no vocabulário codifica qualquer texto.

    Erros:
        ModelFormatError: não é.
    """
    from tokenizers import models, pre_tokenizers

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    missing = [symbol for symbol in alphabet if tokenizer.token_to_id(symbol) is None]
    if missing or not isinstance(tokenizer.model, models.BPE):
        raise ModelFormatError(
            f"O tokenizador de '{folder}' não é um BPE de bytes como o do GPT-2 "
            f"({type(tokenizer.model).__name__}, faltam {len(missing)} dos 256 bytes). "
            "Escolha um modelo da família GPT-2."
        )
    if tokenizer.normalizer is not None:
        logger.warning("O tokenizador de '%s' normaliza o texto: decode pode diferir.", folder)
