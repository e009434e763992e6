"""Conjuntos de perguntas: leitura, normalização do português e acerto de quem responde.

Um conjunto é um .jsonl, .json ou .csv cujos registros têm

- a pergunta: ``pergunta``, ``question``, ou ``text`` ao lado de ``relevant`` ou ``answer``;
- o que se espera: ``resposta``, ``respostas``, ``answer`` ou ``answers`` (texto, lista, ou o
  ``{"text": [...]}`` do SQuAD), ou os termos de ``esperado`` e ``recusado`` (``answers.py``), numa
  lista ou, numa célula, separados por ``|``;
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
from src.evaluation.answers import acceptable
from src.models.chat_format import Messages
from src.utils.documents import Document, LoadReport
from src.utils.errors import DataError, LunaError, UsageError
from src.utils.file_utils import iter_records
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
    """Se ao menos metade dos primeiros registros do arquivo é pergunta."""
    if path.suffix.lower() not in (".jsonl", ".json", ".csv") or not path.is_file():
        return False
    try:
        records = [record for _, record in islice(_records(path, LoadReport()), _SAMPLE)]
    except (LunaError, OSError):  # quem ler o arquivo a sério dirá o que há de errado com ele
        return False
    found = sum(_question_key(_plain_keys(record)) is not None for record in records)
    return found > 0 and 2 * found >= len(records)


def read_questions(path: Path, report: LoadReport) -> list[Question]:
    """As perguntas de um arquivo; registros que não servem vão para ``report``.

    Erros:
        DataError: o arquivo não pôde ser lido.
    """
    questions = []
    for source, record in _records(path, report):
        try:
            questions.append(question_from_record(record, source))
        except DataError as error:
            report.bad_record(source, str(error))
    return questions


def _plain_keys(record: Any) -> dict[str, Any]:
    """O registro com as chaves em minúsculas; vazio se não é um objeto."""
    if not isinstance(record, dict):
        return {}
    return {str(key).strip().casefold(): value for key, value in record.items()}


def question_from_record(record: Any, source: str = "") -> Question:
    """Uma pergunta de um registro; maiúsculas nas chaves não importam.

    Erros:
        DataError: falta a pergunta ou o que se espera, ou um deles não é texto.
    """
    values = _plain_keys(record)
    key = _question_key(values)
    if key is None:
        names = ", ".join(f'"{name}"' for name in list(values)[:6]) or "nada"
        raise DataError(f"tem {names}; {EXPECTED}")
    text = clean_text(_string(values[key], key))
    references = [
        answer
        for name in ANSWER_KEYS
        if name in values
        for answer in map(clean_text, _strings(values[name], name))
        if answer
    ]
    expected, refused = (_terms(values.get(name, ()), name) for name in ("esperado", "recusado"))
    if not text or not (references or expected):
        missing = "sem texto" if not text else "sem resposta"
        raise DataError(f"pergunta {missing}; {EXPECTED}")
    persona = values.get("persona")
    return Question(
        text,
        dict.fromkeys(references),
        expected=expected,
        refused=refused,
        persona=persona.strip() or None if isinstance(persona, str) else None,
        source=source,
    )


def _question_key(values: dict[str, Any]) -> str | None:
    """O campo da pergunta, se o registro é uma."""
    for key in QUESTION_KEYS:
        if key in values:
            return key
    asked = "text" in values and any(key in values for key in ("relevant", "answer"))
    return "text" if asked else None


def _terms(value: Any, name: str) -> tuple[str, ...]:
    """Os termos de uma lista, ou de um texto só (uma célula), separados por ``|``.

    Erros:
        DataError: não são textos, ou um item da lista está vazio.
    """
    if isinstance(value, str):
        return tuple(term.strip() for term in value.split("|") if term.strip())
    terms = tuple(_strings(value, name))
    if not all(term.strip() for term in terms):
        raise DataError(f'há um termo vazio em "{name}"; tire-o')
    return terms


def _string(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise DataError(f'"{name}" é do tipo {type(value).__name__}; esperado um texto')
    return value


def _strings(value: Any, name: str) -> Iterator[str]:
    """Um texto, uma lista deles, ou as formas do SQuAD."""
    if isinstance(value, dict):
        value = value.get("text", ())
    if value is None:
        return
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = f"{value}".replace(".", ",")  # um número solto, como se escreve em português
    if isinstance(value, str):
        yield value
        return
    if not isinstance(value, (list, tuple)):
        raise DataError(
            f'"{name}" é do tipo {type(value).__name__}; esperado um texto ou uma lista'
        )
    for item in value:
        yield _string(item.get("text") if isinstance(item, dict) else item, name)


def _records(path: Path, report: LoadReport) -> Iterator[tuple[str, Any]]:
    """Os registros, com os do JSON aninhado do SQuAD já soltos."""
    for source, record in iter_records(path, report):
        if isinstance(record, dict) and isinstance(record.get("data"), list):
            found = _squad_records(record)
            yield from ((f"{path}#{number}", item) for number, item in enumerate(found, 1))
        else:
            yield source, record


def _squad_records(value: dict[str, Any]) -> list[Any]:
    """As perguntas do JSON aninhado do SQuAD."""
    try:
        return [
            item
            for article in value["data"]
            for paragraph in article["paragraphs"]
            for item in paragraph["qas"]
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
    crase vira artigo e some também. Se só há artigos, eles ficam.
    """
    found = _plain_words(text)
    return " ".join([word for word in found if word not in ARTICLES] or found)


def _plain_words(text: str) -> list[str]:
    return _NOT_WORDS.sub(" ", _THOUSANDS.sub("", without_accents(text))).split()


def _comparable(answer: str, reference: str) -> tuple[list[str], list[str]]:
    """As palavras das duas, como se comparam: se a esperada é só "um" ou "a", os artigos ficam."""
    wanted = _plain_words(reference)
    if all(word in ARTICLES for word in wanted):
        return _plain_words(answer), wanted
    return normalize_answer(answer).split(), normalize_answer(reference).split()


def exact_match(answer: str, references: Sequence[str]) -> float:
    """1 se a resposta normalizada é uma das aceitas; senão 0. Uma vazia nunca é."""
    pairs = [_comparable(answer, item) for item in references]
    return float(any(given == wanted and given for given, wanted in pairs))


def f1_score(answer: str, references: Sequence[str]) -> float:
    """A maior F1 de palavras entre a resposta e as aceitas, de 0 a 1."""
    return max(_f1(*_comparable(answer, item)) for item in references)


def _f1(given: list[str], wanted: list[str]) -> float:
    common = sum((Counter(given) & Counter(wanted)).values())
    if not common:
        return 0.0
    precision, recall = common / len(given), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


def contains_answer(answer: str, references: Sequence[str]) -> float:
    """1 se alguma das respostas aceitas, normalizada, está inteira dentro da dada; senão 0."""
    pairs = [_comparable(answer, item) for item in references]
    return float(any(f" {' '.join(w)} " in f" {' '.join(g)} " for g, w in pairs if w))


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
        questions: ``Question``, cada uma com o que se espera.
        answer: qualquer função que recebe a pergunta (um ``str``) e devolve a resposta.

    Erros:
        UsageError: uma das perguntas é um texto comum, sem o que se espera.
    """
    for question in questions:
        if not isinstance(question, Question):
            raise UsageError(
                f"pergunta {str(question)[:40]!r}: esperado um Question, com a resposta esperada: "
                'Question("Quantos?", ["dois"]).'
            )
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
        "refused": list(item.question.refused),
        "persona": item.question.persona,
        "history": [dict(message) for message in item.question.history],
        "answer": item.answer,
        "exact": item.exact,
        "f1": item.f1,
        "contains": item.contains,
        "acceptable": item.acceptable,
    }
