"""Conjuntos de perguntas: leitura, normalização do português e acerto de quem responde.

Um conjunto é um .jsonl, .json ou .csv cujos registros têm

- a pergunta: ``pergunta``, ``question``, ou ``text`` ao lado de ``relevant`` ou ``answer``;
- o que se espera: ``resposta``, ``respostas``, ``answer`` ou ``answers`` (texto, lista, ou o
  ``{"text": [...]}`` do SQuAD), ou os termos de ``esperado`` e ``recusado`` (``answers.py``);
- opcional: ``persona``.

Também o JSON aninhado do SQuAD (``{"data": [{"paragraphs": [{"qas": [...]}]}]}``).

As medidas são as do SQuAD (Rajpurkar et al., 2016), com a normalização adaptada ao português: exato
(a resposta normalizada é igual) e F1 (palavras em comum); vale a melhor das respostas aceitas. E
duas para modelos que respondem em frases: se a resposta contém a esperada, e o critério de
``answers.py``.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from src.config.text import without_accents
from src.evaluation.answers import acceptable, has_term
from src.models.chat_format import Messages
from src.utils.documents import Document, LoadReport
from src.utils.encodings import detect_encoding
from src.utils.errors import DataError, LunaError
from src.utils.readers import iter_csv, iter_jsonl, read_json
from src.utils.text_cleaning import clean_text

QUESTION_KEYS = ("pergunta", "question")
ANSWER_KEYS = ("resposta", "respostas", "answer", "answers")
EXPECTED = (
    'esperada uma pergunta ("pergunta" ou "question") e a resposta ("resposta", "answers") ou os '
    'termos de "esperado"'
)
ACCURACY_NAMES = ("exact", "f1", "contains", "acceptable")
ARTICLES = frozenset("o a os as um uma uns umas".split())
_THOUSANDS = re.compile(r"(?<=\d)\.(?=\d{3}(?!\d))")
_NOT_WORDS = re.compile(r"(?<!\d),|,(?!\d)|[^\w\s,]")
_SAMPLE = 20  # registros olhados para reconhecer o formato


class Question(str):
    """Uma pergunta; é um ``str`` comum para quem a responde.

    Atributos:
        references (tuple[str, ...]): as respostas aceitas; vazia quando só há termos.
        expected, refused (tuple[str, ...]): os termos do critério de ``answers.py``.
        persona (str | None): o estilo pedido. history (Messages): o que veio antes, numa conversa.
        source (str): arquivo e linha.
    """

    references: tuple[str, ...]
    expected: tuple[str, ...]
    refused: tuple[str, ...]
    persona: str | None
    history: Messages
    source: str

    def __new__(
        cls,
        text: str,
        references: Iterable[str] = (),
        *,
        expected: Iterable[str] = (),
        refused: Iterable[str] = (),
        persona: str | None = None,
        history: Messages | None = None,
        source: str = "",
    ) -> "Question":
        question = super().__new__(cls, text)
        question.references = tuple(references)
        question.expected, question.refused = tuple(expected), tuple(refused)
        question.persona, question.source = persona, source
        question.history = history or []
        return question

    @property
    def messages(self) -> Messages:
        """A conversa até a pergunta, inclusive."""
        return [*self.history, {"role": "user", "content": str(self)}]


Answer = Callable[[Question], str]


# ---------------------------------------------------------------------- leitura


def is_question_file(path: Path) -> bool:
    """Se os primeiros registros do arquivo são perguntas; ``False`` em qualquer outro caso."""
    if path.suffix.lower() not in (".jsonl", ".json", ".csv"):
        return False
    try:
        records = list(islice(_records(path, lambda *_: None), _SAMPLE))
    except (LunaError, OSError):  # quem ler o arquivo a sério dirá o que há de errado com ele
        return False
    found = [_question_key(record) for _, record in records if isinstance(record, dict)]
    return bool(found) and sum(key is not None for key in found) * 2 > len(records)


def read_questions(path: Path, report: LoadReport) -> list[Question]:
    """As perguntas de um arquivo; registros que não servem vão para ``report``.

    Erros:
        DataError: o arquivo não pôde ser lido.
    """
    questions = []
    for source, record in _records(path, report.bad_record):
        try:
            questions.append(question_from_record(record, source))
        except DataError as error:
            report.bad_record(source, str(error))
    report.files_read.append(str(path))
    return questions


def question_from_record(record: Any, source: str = "") -> Question:
    """Uma pergunta de um registro.

    Erros:
        DataError: falta a pergunta ou o que se espera, ou um deles não é texto.
    """
    key = _question_key(record) if isinstance(record, dict) else None
    if key is None:
        names = ", ".join(f'"{name}"' for name in list(record)[:6]) if record else "nada"
        raise DataError(f"tem {names}; {EXPECTED}")
    text = clean_text(_string(record[key], key))
    references = [
        answer
        for name in ANSWER_KEYS
        if name in record
        for answer in map(clean_text, _strings(record[name], name))
        if answer
    ]
    expected, refused = (
        tuple(_strings(record.get(name, ()), name)) for name in ("esperado", "recusado")
    )
    if not text or not (references or expected):
        raise DataError(f"pergunta sem texto ou sem resposta; {EXPECTED}")
    if not all(term.strip() for term in (*expected, *refused)):
        raise DataError('há um termo vazio em "esperado" ou "recusado"; tire-o')
    persona = record.get("persona")
    return Question(
        text,
        dict.fromkeys(references),
        expected=expected,
        refused=refused,
        persona=persona if isinstance(persona, str) else None,
        source=source,
    )


def _question_key(record: dict[str, Any]) -> str | None:
    """O campo da pergunta, se o registro é uma."""
    answered = any(key in record for key in (*ANSWER_KEYS, "esperado"))
    for key in QUESTION_KEYS:
        if key in record and answered:
            return key
    return "text" if "text" in record and any(k in record for k in ("relevant", "answer")) else None


def _string(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise DataError(f'"{name}" é do tipo {type(value).__name__}; esperado um texto')
    return value


def _strings(value: Any, name: str) -> Iterator[str]:
    """Um texto, uma lista deles, ou as formas do SQuAD."""
    if isinstance(value, dict):
        value = value.get("text", ())
    if isinstance(value, str):
        yield value
        return
    if not isinstance(value, (list, tuple)):
        raise DataError(
            f'"{name}" é do tipo {type(value).__name__}; esperado um texto ou uma lista'
        )
    for item in value:
        yield _string(item.get("text") if isinstance(item, dict) else item, name)


def _records(path: Path, bad_record: Callable[[str, str], None]) -> Iterator[tuple[str, Any]]:
    encoding = detect_encoding(path)
    if path.suffix.lower() == ".json":
        value = read_json(path, encoding)
        records = _squad_records(value) if isinstance(value, dict) else value
        if isinstance(records, list):
            yield from ((f"{path}#{number}", item) for number, item in enumerate(records, 1))
        return
    read = iter_csv if path.suffix.lower() == ".csv" else iter_jsonl
    for number, record in read(path, encoding, bad_record):
        yield f"{path}:{number}", record


def _squad_records(value: dict[str, Any]) -> list[Any]:
    """As perguntas do JSON aninhado do SQuAD; as sem resposta (versão 2) ficam de fora."""
    if not isinstance(value.get("data"), list):
        return [value]
    try:
        return [
            item
            for article in value["data"]
            for paragraph in article["paragraphs"]
            for item in paragraph["qas"]
            if not item.get("is_impossible")
        ]
    except (TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f'o JSON tem "data", mas não a forma do SQuAD (falta {error}): esperado '
            '{"data": [{"paragraphs": [{"qas": [...]}]}]}.'
        ) from error


def questions_of(document: Document) -> list[Question]:
    """Uma pergunta por resposta de uma conversa: a fala do usuário, com tudo o que veio antes."""
    messages, found = document.messages or [], []
    for index, message in enumerate(messages):
        asked = messages[index - 1] if index else None
        if message["role"] == "assistant" and asked is not None and asked["role"] == "user":
            found.append(
                Question(
                    asked["content"],
                    [message["content"]],
                    persona=document.persona,
                    history=messages[: index - 1],
                    source=document.source,
                )
            )
    return found


# ---------------------------------------------------------------------- acerto


def normalize_answer(text: str) -> str:
    """A resposta como se compara: sem maiúsculas, acentos, pontuação, artigos nem espaços a mais.

    Os pontos de milhar somem ("1.600" é "1600") e a vírgula decimal fica ("1,5" não é "15"). A
    crase vira artigo e some também.
    """
    plain = _THOUSANDS.sub("", without_accents(text))
    found = _NOT_WORDS.sub(" ", plain).split()
    return " ".join(word for word in found if word not in ARTICLES)


def exact_match(answer: str, references: Sequence[str]) -> float:
    """1 se a resposta normalizada é uma das aceitas; senão 0."""
    return float(normalize_answer(answer) in {normalize_answer(item) for item in references})


def f1_score(answer: str, references: Sequence[str]) -> float:
    """A maior F1 de palavras entre a resposta e as aceitas, de 0 a 1."""
    return max(_f1(normalize_answer(answer), normalize_answer(item)) for item in references)


def _f1(answer: str, reference: str) -> float:
    given, wanted = answer.split(), reference.split()
    if not given or not wanted:
        return float(given == wanted)
    common = sum((Counter(given) & Counter(wanted)).values())
    if not common:
        return 0.0
    precision, recall = common / len(given), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


def contains_answer(answer: str, references: Sequence[str]) -> float:
    """1 se alguma das respostas aceitas está inteira dentro da dada; senão 0."""
    return float(any(has_term(answer, item) for item in references if item.strip()))


@dataclass(frozen=True)
class Answered:
    """Uma pergunta respondida, com o que cada medida disse; ``None`` onde ela não se aplica."""

    question: Question
    answer: str
    exact: float | None
    f1: float | None
    contains: float | None
    acceptable: float | None


def grade(question: Question, answer: str) -> Answered:
    """Confere uma resposta."""
    references = question.references
    accepted = None
    if question.expected:
        accepted = float(acceptable(answer, question.expected, question.refused))
    if not references:
        return Answered(question, answer, None, None, None, accepted)
    return Answered(
        question,
        answer,
        exact_match(answer, references),
        f1_score(answer, references),
        contains_answer(answer, references),
        accepted,
    )


def answer_all(questions: Sequence[Question], answer: Answer) -> list[Answered]:
    """Faz as perguntas a ``answer``, uma a uma, e confere cada resposta.

    Args:
        answer: qualquer função que recebe a pergunta (um ``str``) e devolve a resposta.
    """
    return [grade(question, answer(question)) for question in questions]


def grades(items: Sequence[Answered], name: str) -> list[float]:
    """Os valores de uma medida (``ACCURACY_NAMES``), das perguntas em que ela se aplica."""
    return [value for item in items if (value := getattr(item, name)) is not None]


def as_json(item: Answered) -> dict[str, Any]:
    """Uma pergunta respondida, pronta para JSON."""
    return {
        "question": str(item.question),
        "references": list(item.question.references),
        "expected": list(item.question.expected),
        "answer": item.answer,
        "exact": item.exact,
        "f1": item.f1,
        "contains": item.contains,
        "acceptable": item.acceptable,
    }
