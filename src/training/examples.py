"""De textos a exemplos de treino: quais tokens o modelo lê e quais ele deve aprender.

- Texto corrido: ``<|endoftext|> texto <|endoftext|>``; todo token depois do primeiro é aprendido. O
  que passa do contexto é cortado em janelas que dividem um token, de modo que cada token é
  aprendido exatamente uma vez.
- Conversa: a persona vai num turno de sistema; só a resposta do assistente e o fim dela são
  aprendidos. Conversas longas viram janelas de trocas inteiras, cada uma com o seu sistema.
- Emoção e persona: cada exemplo leva os seus dois vetores (``src/training/conditions.py``).
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from src.config.personas import PERSONAS, Personas
from src.models.chat_format import Messages, with_persona
from src.models.tokenizer import LunaTokenizer
from src.training.conditions import (
    NO_EMOTION,
    NO_PERSONA,
    EmotionRun,
    Vector,
    emotion_runs,
    persona_vector,
)
from src.utils.documents import Document, LoadReport
from src.utils.errors import NoDataError, UsageError
from src.utils.text_formats import (
    RecordError,
    detect_format,
    document_from_record,
    independent_exchanges,
    parse_dialogue,
    parse_instructions,
    parse_knowledge,
)

logger = logging.getLogger(__name__)

#: Caracteres tokenizados de cada vez: a biblioteca gasta mais de 100 bytes em cada um.
BLOCK_CHARS = 1 << 20


@dataclass(frozen=True)
class Example:
    """Uma sequência pronta: ``ids`` e, para cada um, se é aprendido (``learn``).

    O primeiro token nunca é aprendido: nada vem antes dele. ``emotion`` [6] e ``persona`` [8] valem
    para a sequência toda; zeros são o neutro.
    """

    ids: list[int]
    learn: list[bool]
    shortened: bool = False  # não cabia inteira no contexto
    emotion: Vector = NO_EMOTION
    persona: Vector = NO_PERSONA

    @property
    def learned(self) -> int:
        """Quantos tokens são aprendidos."""
        return sum(self.learn)


def build_examples(
    texts: Iterable[str],
    tokenizer: LunaTokenizer,
    context: int,
    personas: Personas = PERSONAS,
    with_emotion: bool = False,
) -> list[Example]:
    """Exemplos de até ``context`` tokens a partir de textos, conversas e instruções.

    Args:
        personas: as que existem; uma conversa que pede outra fica sem persona, com um aviso.
        with_emotion: lê a emoção das falas e separa as respostas onde ela muda, para um modelo de
            roteamento emocional; sem isso, as emoções ficam neutras.

    Erros:
        NoDataError: nenhum texto rendeu um token a aprender.
    """
    plain: list[str] = []
    examples: list[Example] = []
    unknown: Counter[str] = Counter()
    for text in texts:
        for item in parse_text(text):
            if item.messages is None:
                plain.append(item)
            else:
                if item.persona is not None and item.persona not in personas:
                    unknown[item.persona] += 1
                messages = with_persona(item.messages, item.persona, personas)
                persona = persona_vector(messages, item.persona, personas)
                examples += chat_windows(messages, tokenizer, context, persona, with_emotion)
    for ids in _encoded_texts(plain, tokenizer):
        examples += text_windows(ids, tokenizer.eos_id, context)
    _warn_of_unknown(unknown, personas)
    examples = [example for example in examples if example.learned]
    shortened = sum(example.shortened for example in examples)
    if shortened:
        logger.warning(
            "%d trocas não cabem no contexto de %d tokens e foram encurtadas.", shortened, context
        )
    if not examples:
        raise NoDataError(
            "Nenhum texto rendeu tokens para aprender. Confira se os arquivos têm texto e, nas "
            "conversas, se há respostas em linhas 'Luna: ...'."
        )
    return examples


def _encoded_texts(texts: Sequence[str], tokenizer: LunaTokenizer) -> Iterator[list[int]]:
    """Os ids de cada texto, tokenizados aos blocos.

    Um inteiro do Python ocupa 32 bytes; aqui todas as vezes de um token são o mesmo objeto.
    """
    shared = list(range(len(tokenizer)))
    for block in _blocks(texts):
        for ids in tokenizer.encode_batch(block):
            yield [shared[token] for token in ids]


def _blocks(texts: Iterable[str]) -> Iterator[list[str]]:
    """Grupos seguidos de ``texts`` com uns ``BLOCK_CHARS`` caracteres."""
    block: list[str] = []
    size = 0
    for text in texts:
        block.append(str(text))
        size += len(text)
        if size >= BLOCK_CHARS:
            yield block
            block, size = [], 0
    if block:
        yield block


def _warn_of_unknown(unknown: Counter[str], known: Personas) -> None:
    for name, count in unknown.items():
        logger.warning(
            "%d conversas pedem a persona '%s', que não existe, e ficam sem persona. As que "
            "existem: %s. Outras se definem em personas.json.",
            count,
            name,
            ", ".join(sorted(known)),
        )


def parse_text(text: Any) -> list[Document]:
    """Os documentos de um texto: um ``Document`` já lido vale como está; um ``str`` é interpretado.

    Um ``str`` que começa por ``Usuário:``, ``[INSTRUÇÃO]`` ou ``[TÍTULO]`` é lido nesse formato; um
    dicionário (``{"messages": [...]}``, alpaca...), como um registro de JSONL.

    Erros:
        UsageError: o dado não é texto nem um registro que se conheça.
    """
    if isinstance(text, Document):
        return [text]
    if isinstance(text, dict):
        try:
            return [document_from_record(text, "", "", LoadReport())]
        except RecordError as error:
            raise UsageError(f"Registro dado à API não aceito: {error}") from error
    if not isinstance(text, str):
        raise UsageError(f"Dado de treino {text!r}: esperado um texto ou um registro (dict).")
    lines = text.split("\n")
    kind = detect_format(next((line for line in lines if line.strip()), ""))
    report = LoadReport()
    if kind == "dialogue":
        independent = bool(independent_exchanges(lines))
        found = list(parse_dialogue(lines, "", report, independent=independent))
    elif kind == "instruction":
        found = list(parse_instructions(lines, "", report))
    elif kind == "knowledge":
        found = list(parse_knowledge(lines, "", report))
    else:
        found = [Document(text)]
    for source, reason in report.bad_records:
        logger.warning("Texto dado à API, linha %s: %s", source.lstrip(":"), reason)
    return found


def text_windows(ids: Sequence[int], eos_id: int, context: int) -> list[Example]:
    """Janelas de até ``context`` tokens que, juntas, aprendem cada token uma vez."""
    if not ids:
        return []
    full = [eos_id, *ids, eos_id]
    windows = []
    for start in range(0, len(full) - 1, context - 1):
        window = full[start : start + context]
        windows.append(Example(window, _all_but_first(len(window))))
    return windows


@lru_cache(maxsize=4096)
def _all_but_first(size: int) -> list[bool]:
    """A mesma lista para todas as janelas de ``size`` tokens; ninguém a muda."""
    return [False] + [True] * (size - 1)


def chat_windows(
    messages: Messages,
    tokenizer: LunaTokenizer,
    context: int,
    persona: Vector = NO_PERSONA,
    with_emotion: bool = False,
) -> list[Example]:
    """Corta uma conversa em janelas de trocas inteiras que caibam em ``context`` tokens.

    De uma troca que sozinha não cabe ficam o fim da pergunta e o começo da resposta. Com
    ``with_emotion``, uma janela em que a emoção muda dá um exemplo por emoção: a conversa até ali,
    da qual só se aprendem as respostas daquela emoção; cada resposta é aprendida uma vez.
    """
    system = [m for m in messages[:1] if m["role"] == "system"]
    windows: list[list[Messages]] = []
    for exchange in _exchanges(messages[len(system) :]):
        together = system + sum(windows[-1], []) + exchange if windows else []
        if windows and _length(tokenizer, together) <= context:
            windows[-1].append(exchange)
        else:
            windows.append([exchange])
    examples = []
    for window in windows:
        runs = emotion_runs(window) if with_emotion else [EmotionRun(0, len(window), NO_EMOTION)]
        for run in runs:
            before = _length(tokenizer, system + sum(window[: run.first], []))
            turns = system + sum(window[: run.end], [])
            ids, learn, shortened = _encoded(tokenizer, turns, before, context)
            examples.append(Example(ids, learn, shortened, run.emotion, persona))
    return examples


def _exchanges(turns: Messages) -> list[Messages]:
    """Agrupa os turnos em trocas: cada uma termina no último turno seguido do assistente."""
    groups: list[Messages] = []
    for turn in turns:
        closed = groups and groups[-1][-1]["role"] == "assistant"
        if not groups or (closed and turn["role"] != "assistant"):
            groups.append([])
        groups[-1].append(turn)
    return groups


def _length(tokenizer: LunaTokenizer, messages: Messages) -> int:
    return len(tokenizer.encode_chat(messages))


def _encoded(
    tokenizer: LunaTokenizer, messages: Messages, before: int, context: int
) -> tuple[list[int], list[bool], bool]:
    """(ids, o que se aprende, se foi encurtada) de uma conversa.

    Os primeiros ``before`` tokens são só lidos.
    """
    ids, mask = tokenizer.encode_chat(messages, return_assistant_mask=True)
    learn = [flag and place >= max(before, 1) for place, flag in enumerate(mask)]
    if len(ids) <= context:
        return ids, learn, False
    start = learn.index(True) if True in learn else len(ids)
    answer = min(len(ids) - start, max(context - start, context // 2))
    first = start + answer - context  # da pergunta fica o fim, perto da resposta
    ids, learn = ids[first : start + answer], learn[first : start + answer]
    return ids, [False, *learn[1:]], True
