"""O modelo que se avalia: uma pasta Luna, ou a de qualquer modelo causal do transformers.

Um ``Subject`` esconde a diferença entre os dois: sabe transformar texto e conversa em tokens, com
os bytes de texto que cada parte representa, e um pedido em prompt.

- Luna: o formato de conversa dos tokens de controle.
- Os demais: a conversa como texto, ``Usuário: ...`` e ``Luna: ...``, uma fala por linha.

Em conversas contam só as respostas, e só o texto delas, para que os dois sejam comparáveis.
"""

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from src.config.config import Config
from src.evaluation.likelihood import Encoded
from src.models.chat_format import Messages
from src.models.model_files import CONFIG_FILE, read_json
from src.models.tokenizer import LunaTokenizer
from src.utils.documents import ROLE_LABELS
from src.utils.errors import ModelFormatError, ModelNotFoundError

logger = logging.getLogger(__name__)

BLOCK_CHARS = 1 << 19  # codificar um texto pede umas 140 vezes o tamanho dele em memória
UNIT_CHARS = 2000  # um texto maior que isto é comparado trecho a trecho
MIN_CONTEXT = 4  # tokens
MAX_WINDOW = 2048  # tokens; modelos de contexto maior são lidos em janelas deste tamanho
_LONE_BREAK = re.compile(r"(?<=\S)\n(?=\S)")
_ANSWER_ENDS = tuple(f"\n{label}:" for label in ROLE_LABELS.values())


class Subject(ABC):
    """Um modelo aberto para avaliação.

    Atributos:
        name (str): como aparece nos resultados. folder (Path): de onde veio.
        model: chamável com ``input_ids`` [B, L]. device (str): onde ele está.
        context (int): tokens que cabem numa janela. vocab_size (int): V.
        prefix_id (int): o token de início, antes do primeiro do texto.
    """

    def __init__(self, name: str, folder: Path, model: Any, prefix_id: int) -> None:
        self.name, self.folder, self.model, self.prefix_id = name, folder, model, prefix_id
        self.device = str(next(model.parameters()).device.type)
        self.vocab_size = int(model.config.vocab_size)
        self.context = min(context_length(model.config), MAX_WINDOW)
        self.parameters = sum(p.numel() for p in model.parameters())

    @abstractmethod
    def encode(self, text: str) -> tuple[list[int], list[int]]:
        """Os tokens de ``text``, nunca de controle, e o caractere em que cada um começa."""

    @abstractmethod
    def conversation(self, messages: Messages) -> Encoded:
        """Uma conversa, em que contam as respostas."""

    @abstractmethod
    def prompt(self, messages: Messages) -> list[int]:
        """Os tokens que pedem a resposta à última mensagem."""

    @abstractmethod
    def answer(self, ids: Sequence[int]) -> str:
        """O texto da resposta nos tokens gerados."""

    @abstractmethod
    def decode(self, ids: list[int]) -> str:
        """O texto dos tokens, todos eles."""

    def is_lossless(self, texts: Iterable[str]) -> bool:
        """Se o tokenizador devolve o texto que recebeu, salvo espaço nas pontas.

        Um que troca palavras por um token desconhecido, ou tira acentos, tem menos a prever, e os
        seus bits por byte não se comparam com os de outro.
        """
        return all(self.decode(self.encode(text)[0]).strip() == text.strip() for text in texts)

    @property
    @abstractmethod
    def stop_ids(self) -> list[int]:
        """Os tokens que encerram uma resposta."""

    def text(self, text: str) -> Encoded:
        """Um texto corrido, em que todo token conta; longo, em trechos de ``UNIT_CHARS``."""
        ids, starts = [np.array([self.prefix_id], np.int32)], [np.zeros(1, np.int64)]
        for begin, block in blocks(text, BLOCK_CHARS):
            found = self.encode(block)
            ids.append(np.array(found[0], np.int32))
            starts.append(np.array(found[1], np.int64) + begin)
        bounds = unit_starts(text)
        pieces = [text[a:b] for a, b in zip(bounds, [*bounds[1:], len(text)])]
        units = np.searchsorted(bounds, np.concatenate(starts), side="right") - 1
        scored = np.ones(len(units), dtype=bool)
        scored[0] = False
        sizes = [len(piece.encode("utf-8")) for piece in pieces]
        return Encoded(np.concatenate(ids), scored, units, np.array(sizes))


class LunaSubject(Subject):
    """Um modelo Luna e o seu tokenizador."""

    def __init__(self, name: str, folder: Path, model: Any, tokenizer: LunaTokenizer) -> None:
        super().__init__(name, folder, model, tokenizer.eos_id)
        self.tokenizer = tokenizer

    def encode(self, text: str) -> tuple[list[int], list[int]]:
        """Como em ``LunaTokenizer.encode_with_starts``."""
        return self.tokenizer.encode_with_starts(text)

    def decode(self, ids: list[int]) -> str:
        """Com os tokens de controle, se houvesse."""
        return self.tokenizer.decode(ids, skip_special_tokens=False)

    def conversation(self, messages: Messages) -> Encoded:
        """O formato de conversa do LunaGPT; o token que fecha a resposta não conta."""
        ids, answers = self.tokenizer.encode_chat(messages, return_assistant_mask=True)
        scored = [a and token != self.tokenizer.eos_id for token, a in zip(ids, answers)]
        return _one_unit(ids, scored, answer_bytes(messages))

    def prompt(self, messages: Messages) -> list[int]:
        """A conversa, terminada pelo token do assistente."""
        return self.tokenizer.encode_chat(messages, add_generation_prompt=True)

    def answer(self, ids: Sequence[int]) -> str:
        """Sem tokens de controle."""
        return self.tokenizer.decode(list(ids)).strip()

    @property
    def stop_ids(self) -> list[int]:
        """Fim de texto e começo de outro turno."""
        return [self.tokenizer.eos_id, self.tokenizer.user_id, self.tokenizer.system_id]


class PlainSubject(Subject):
    """Um modelo causal do transformers, com o tokenizador da própria pasta."""

    def __init__(self, name: str, folder: Path, model: Any, tokenizer: Any) -> None:
        prefix = tokenizer.bos_token_id
        prefix = tokenizer.eos_token_id if prefix is None else prefix
        if prefix is None:
            raise ModelFormatError(
                f"O tokenizador de '{folder}' não tem token de início nem de fim (bos_token, "
                "eos_token): o primeiro token do texto não teria de onde ser previsto. Defina um "
                "deles em tokenizer_config.json."
            )
        super().__init__(name, folder, model, prefix)
        self.tokenizer = tokenizer

    def encode(self, text: str) -> tuple[list[int], list[int]]:
        """Sem tokens especiais, nem os que o texto imite."""
        found = self.tokenizer(
            text,
            add_special_tokens=False,
            split_special_tokens=True,
            return_offsets_mapping=True,
            return_attention_mask=False,
            verbose=False,
        )
        return found["input_ids"], [start for start, _ in found["offset_mapping"]]

    def decode(self, ids: list[int]) -> str:
        """Sem arrumar espaços."""
        text: str = self.tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        return text

    def conversation(self, messages: Messages) -> Encoded:
        """As falas por extenso; conta o texto depois de ``Luna:``, com o espaço que o antecede."""
        ids, scored = [self.prefix_id], [False]
        for before, content in _spoken(messages):
            for piece, counts in ((before, False), (content, True)):
                tokens = self.encode(piece)[0]
                ids += tokens
                scored += [counts] * len(tokens)
        return _one_unit(ids, scored, answer_bytes(messages))

    def prompt(self, messages: Messages) -> list[int]:
        """As falas por extenso, até ``Luna:``."""
        pieces = _spoken([*messages, {"role": "assistant", "content": ""}])
        text = "".join(before + content for before, content in pieces).rstrip(" ")
        return [self.prefix_id, *self.encode(text)[0]]

    def answer(self, ids: Sequence[int]) -> str:
        """O que vem antes da próxima fala."""
        text = self.tokenizer.decode(list(ids), skip_special_tokens=True)
        ends = [text.find(mark) for mark in _ANSWER_ENDS]
        return text[: min((end for end in ends if end >= 0), default=len(text))].strip()

    @property
    def stop_ids(self) -> list[int]:
        """O fim de texto, se há."""
        return [t for t in [self.tokenizer.eos_token_id] if t is not None]


def _one_unit(ids: list[int], scored: list[bool], byte_count: int) -> Encoded:
    units = np.zeros(len(ids), dtype=np.int64)
    return Encoded(np.array(ids, np.int32), np.array(scored, bool), units, np.array([byte_count]))


def answer_bytes(messages: Messages) -> int:
    """Bytes UTF-8 das respostas de uma conversa."""
    answers = (m["content"] for m in messages if m["role"] == "assistant")
    return sum(len(answer.encode("utf-8")) for answer in answers)


def _spoken(messages: Messages) -> list[tuple[str, str]]:
    """(o que vem antes, `` resposta``) de cada resposta, com as falas por extenso."""
    pieces, before = [], ""
    for message in messages:
        before += f"{ROLE_LABELS[message['role']]}:"
        if message["role"] == "assistant":
            pieces.append((before, f" {message['content']}"))
            before = "\n"
        else:
            before += f" {message['content']}\n"
    return pieces


def blocks(text: str, size: int) -> Iterator[tuple[int, str]]:
    """(onde começa, pedaço): o texto em partes que se codificam uma a uma, poupando memória.

    O corte fica depois de uma quebra de linha sozinha entre dois caracteres visíveis: ali os cortes
    do GPT-2 e do LunaGPT já separam as peças, e os tokens são os do texto inteiro. Um texto que não
    tem dessas quebras fica inteiro.
    """
    start = 0
    while len(text) - start > size:
        match = _LONE_BREAK.search(text, start + size)
        if match is None:
            break
        yield start, text[start : match.end()]
        start = match.end()
    yield start, text[start:]


def unit_starts(text: str, size: int = UNIT_CHARS) -> list[int]:
    """Onde começa cada trecho: o texto cortado, em linhas ou espaços, a ``size`` caracteres."""
    starts = [0]
    while len(text) - starts[-1] > size:
        begin, end = starts[-1], starts[-1] + size
        cut = max(text.rfind("\n", begin + 1, end), text.rfind(" ", begin + size // 2, end))
        starts.append(cut if cut > begin else end)
    return starts


def context_length(config: Any) -> int:
    """Tokens do contexto de um modelo, pelo nome que a arquitetura lhe dá."""
    for name in ("n_positions", "max_position_embeddings", "n_ctx", "max_sequence_length"):
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 1:
            return value
    logger.warning("O config.json não diz o contexto do modelo; usando %d tokens.", MAX_WINDOW)
    return MAX_WINDOW


# ---------------------------------------------------------------------- abrir


def is_luna(folder: Path) -> bool:
    """Se o ``config.json`` da pasta diz que o modelo é um Luna.

    Erros:
        ModelFormatError: ele falta ou está danificado.
    """
    return read_json(folder / CONFIG_FILE).get("model_type") == "luna"


def load_subject(folder: Path, name: str | None = None, device: str = "cpu") -> Subject:
    """Abre a pasta de um modelo, Luna ou não. Nunca usa a rede nem executa código da pasta.

    Erros:
        ModelNotFoundError: não há ``config.json``.
        ModelFormatError: os pesos ou o tokenizador faltam, estão danificados ou não estão em
        safetensors.
    """
    folder = Path(folder)
    if not (folder / CONFIG_FILE).is_file():
        raise ModelNotFoundError(
            f"Não há modelo em '{folder}': falta {CONFIG_FILE}. Confira o caminho."
        )
    name = name or folder.resolve().name
    if is_luna(folder):
        from src.models.luna_model import LunaModel

        tokenizer = LunaTokenizer(Config()).load(folder / "tokenizer")
        model: Any = LunaModel.from_pretrained(folder).to(device)
        return LunaSubject(name, folder, model.eval(), tokenizer)
    model, tokenizer = _load_plain_model(folder).eval(), _load_plain_tokenizer(folder)
    _check_plain(model, tokenizer, folder)
    return PlainSubject(name, folder, model.to(device), tokenizer)


def _load_plain_model(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    loaded: Any
    try:
        loaded = AutoModelForCausalLM.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as error:  # cada arquitetura e cada quantização falha do seu modo
        raise ModelFormatError(
            f"'{folder}' não abriu como modelo de linguagem do transformers ({_brief(error)}). São "
            "lidos modelos causais com pesos em .safetensors, sem quantização."
        ) from error
    model, info = loaded
    missing = sorted(info.get("missing_keys") or [])
    if missing:
        raise ModelFormatError(
            f"Faltam pesos em '{folder}' ({len(missing)}; o primeiro é {missing[0]}): medir pesos "
            "sorteados não diria nada."
        )
    return model


def _brief(error: Exception) -> str:
    """O começo da primeira linha da mensagem de uma biblioteca."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text[:200].rstrip(" .")


@torch.inference_mode()
def _check_plain(model: Any, tokenizer: Any, folder: Path) -> None:
    """Confere o que a medida supõe: contexto, vocabulário e que o modelo só olha para trás.

    Erros:
        ModelFormatError: uma das três falha.
    """
    size, context = int(model.config.vocab_size), context_length(model.config)
    if context < MIN_CONTEXT or size < 2:
        raise ModelFormatError(
            f"'{folder}': contexto de {context} tokens; esperado ao menos {MIN_CONTEXT}."
        )
    if len(tokenizer) > size:
        raise ModelFormatError(
            f"'{folder}': o tokenizador tem {len(tokenizer)} tokens e o modelo, {size}. São de "
            "modelos diferentes?"
        )
    first = torch.zeros(1, 4, dtype=torch.long)
    second = first.clone()
    second[0, -1] = 1
    a, b = (model(input_ids=ids).logits[0, :-1].float() for ids in (first, second))
    if not torch.allclose(a, b, rtol=1e-2, atol=1e-3):
        raise ModelFormatError(
            f"'{folder}' não é causal: o que vem depois muda a previsão do que veio antes (como no "
            "BERT). Bits por byte e geração não têm sentido nele."
        )


def _load_plain_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    places = [folder, folder / "tokenizer"]
    names = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "tokenizer.model")
    place = next((p for p in places if any((p / name).is_file() for name in names)), None)
    if place is None:
        raise ModelFormatError(
            f"'{folder}' não tem tokenizador: esperado tokenizer.json, ou vocab.json e merges.txt, "
            "nela ou em tokenizer/."
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            place, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # a biblioteca tokenizers só levanta Exception, sem subclasse
        raise ModelFormatError(f"O tokenizador de '{place}' não abriu: {error}") from error
    if not tokenizer.is_fast:
        raise ModelFormatError(
            f"O tokenizador de '{place}' é dos lentos, sem a posição de cada token no texto. "
            "Grave-o como tokenizer.json."
        )
    return tokenizer
