"""Lê os dados que vêm com o projeto, confere a forma deles e diz o que é uma conferência.

A tabela ``SETS`` diz, para cada conjunto, o arquivo e os campos de cada registro. Um registro fora
dela é acusado aqui, uma vez, com o arquivo, a linha, o que veio e o que se esperava
(``Data.rejected``), e não vai para ``Data.sets``: quem vem depois não confere tipos de novo.
"""

import json
import reprlib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from src.config.emotions import EMOTIONS, NEUTRAL
from src.config.personas import PERSONAS
from src.utils.documents import Document, LoadReport
from src.utils.errors import DataError
from src.utils.file_utils import load_documents
from src.utils.numbers import decimal, grouped

EMOTION_LABELS = (*EMOTIONS, NEUTRAL)
PATTERNS = ("indecisao", "ajuda", "informacao", "frustracao", "clarificacao", NEUTRAL)
HARD_KINDS = ("negacao", "citacao", "relato", "sentido")
QUESTION_KINDS = ("literal", "parafrase")
ASKED_KINDS = ("indireta", "coloquial", "literal")
KEPT_KINDS = ("negacao", "numeros", "nomes")
MIN_CLASS_SHARE = 0.7  # da parte que a classe teria se todas fossem iguais
SHOWN_CLASSES = 8  # com mais classes que isto, a tabela mostra só a menor e a maior
TEXT_SUFFIXES = (".txt", ".jsonl", ".csv", ".json", ".md", ".html", ".htm")


# --- Tipos -------------------------------------------------------------------------------------


class Kind(Protocol):
    """O que um campo aceita."""

    @property
    def expected(self) -> str:
        """O que se espera, por extenso."""

    def problems(self, value: Any, path: str = "") -> Iterator[str]:
        """O que há de errado em ``value``, que veio no campo ``path`` ("turnos[0].usuario")."""


@dataclass(frozen=True)
class Text:
    """Um texto não vazio; com ``choices``, um deles."""

    choices: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        """O que se espera, por extenso."""
        return f"um de {', '.join(self.choices)}" if self.choices else "um texto não vazio"

    def problems(self, value: Any, path: str = "") -> Iterator[str]:
        """Acusa o que não é texto, é vazio ou não é uma das escolhas."""
        good = isinstance(value, str) and value.strip()
        if not good or (self.choices and value not in self.choices):
            yield wrong(self, value, path)


@dataclass(frozen=True)
class Flag:
    """``true`` ou ``false``."""

    expected: str = "true ou false"

    def problems(self, value: Any, path: str = "") -> Iterator[str]:
        """Acusa o que não é um dos dois."""
        if not isinstance(value, bool):
            yield wrong(self, value, path)


@dataclass(frozen=True)
class Index:
    """Um inteiro de 0 em diante."""

    expected: str = "um inteiro de 0 em diante"

    def problems(self, value: Any, path: str = "") -> Iterator[str]:
        """Acusa o que não é um inteiro, ou é negativo."""
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            yield wrong(self, value, path)


@dataclass(frozen=True)
class ListOf:
    """Uma lista de ``minimum`` ou mais itens do mesmo tipo."""

    item: Kind
    minimum: int = 0

    @property
    def expected(self) -> str:
        """O que se espera, por extenso."""
        return f"uma lista com {self.minimum} ou mais itens" if self.minimum else "uma lista"

    def problems(self, value: Any, path: str = "") -> Iterator[str]:
        """Acusa o que não é lista, a lista curta e cada item ruim."""
        if not isinstance(value, list) or len(value) < self.minimum:
            yield wrong(self, value, path)
            return
        for index, item in enumerate(value):
            yield from self.item.problems(item, f"{path}[{index}]")


@dataclass(frozen=True)
class Fields:
    """Um objeto com estes campos e nenhum outro."""

    required: Mapping[str, Kind]
    optional: Mapping[str, Kind] = field(default_factory=dict)

    @property
    def expected(self) -> str:
        """O que se espera, por extenso."""
        return f"um objeto com {', '.join((*self.required, *self.optional))}"

    def problems(self, value: Any, path: str = "") -> Iterator[str]:
        """Acusa o que não é objeto, cada campo que falta, sobra ou tem valor ruim."""
        if not isinstance(value, dict):
            yield wrong(self, value, path)
            return
        known = {**self.required, **self.optional}
        for name in value:
            if name not in known:
                yield f"{path or 'registro'}: campo {name!r} desconhecido; esperado {self.expected}"
        for name, kind in known.items():
            if name in value:
                yield from kind.problems(value[name], inside(path, name))
            elif name in self.required:
                yield f"{inside(path, name)}: não veio; esperado {kind.expected}"


def wrong(kind: Kind, value: Any, path: str) -> str:
    """A acusação de um valor: o campo, o que veio e o que se esperava."""
    return f"{path or 'registro'}: veio {reprlib.repr(value)}; esperado {kind.expected}"


def inside(path: str, name: str) -> str:
    """O caminho do campo ``name`` dentro de ``path``."""
    return f"{path}.{name}" if path else name


# --- A tabela ----------------------------------------------------------------------------------

TEXT, PERSONA = Text(), Text(tuple(PERSONAS))
EMOTION = Fields({"texto": TEXT, "emocao": Text(EMOTION_LABELS)})
PATTERN = Fields(
    {"texto": TEXT, "padrao": Text(PATTERNS)}, {"dificil": Text(HARD_KINDS), "fonte": TEXT}
)
KEPT = Fields({}, {kind: ListOf(TEXT, 1) for kind in KEPT_KINDS})
TURN = Fields(
    {
        "usuario": TEXT,
        "boa": TEXT,
        "contem": ListOf(ListOf(TEXT, 1), 1),
        "nao_contem": ListOf(TEXT),
    }
)

CORRECTED = Fields(
    {
        "pergunta": TEXT,
        "correcao": TEXT,
        "tema": TEXT,
        "parafrases": ListOf(TEXT, 6),
        "vizinhas": ListOf(TEXT, 6),
    }
)
ASKED = Fields({"pergunta": TEXT, "frase": Index(), "tipo": Text(ASKED_KINDS)})

#: nome do conjunto -> (arquivo, o que cada linha tem de ser)
SETS: dict[str, tuple[str, Fields]] = {
    "perguntas": (
        "valid/perguntas.jsonl",
        Fields(
            {
                "documento": TEXT,
                "pergunta": TEXT,
                "resposta": TEXT,
                "passagem": TEXT,
                "tipo": Text(QUESTION_KINDS),
            }
        ),
    ),
    "perguntas_fora": (
        "valid/perguntas_fora.jsonl",
        Fields({"pergunta": TEXT, "proxima": Flag()}),
    ),
    "perguntas_demo": (
        "valid/perguntas_demo.jsonl",
        Fields(
            {"pergunta": TEXT, "persona": PERSONA, "esperado": ListOf(TEXT, 1), "tema": TEXT},
            {"recusado": ListOf(TEXT, 1)},
        ),
    ),
    "emocoes_dev": ("eval/emocoes_dev.jsonl", EMOTION),
    "emocoes_teste": ("eval/emocoes_teste.jsonl", EMOTION),
    "proatividade_treino": ("eval/proatividade_treino.jsonl", PATTERN),
    "proatividade_dev": ("eval/proatividade_dev.jsonl", PATTERN),
    "proatividade_teste": ("eval/proatividade_teste.jsonl", PATTERN),
    "busca_treino": (
        "eval/busca_treino.jsonl",
        Fields(
            {
                "titulo": TEXT,
                "frases": ListOf(TEXT, 2),
                "perguntas": ListOf(ASKED, 1),
                "fora": ListOf(TEXT),
            },
            {"reservado": Flag()},  # fica fora do ajuste do codificador
        ),
    ),
    "correcoes_dev": ("eval/correcoes_dev.jsonl", CORRECTED),
    "correcoes_teste": ("eval/correcoes_teste.jsonl", CORRECTED),
    "aumento": ("eval/aumento.jsonl", Fields({"texto": TEXT, "preservar": KEPT})),
    "conversas": (
        "eval/conversas.jsonl",
        Fields({"id": TEXT, "tema": TEXT, "persona": PERSONA, "turnos": ListOf(TURN, 2)}),
    ),
}


# --- Leitura -----------------------------------------------------------------------------------


class Entry(dict[str, Any]):
    """Um registro que passou no esquema, com ``where``: "valid/perguntas.jsonl:3"."""

    def __init__(self, values: dict[str, Any], where: str) -> None:
        super().__init__(values)
        self.where = where


@dataclass
class Data:
    """Tudo o que se confere, já lido.

    Atributos:
        train, valid: os textos. reports: o que os leitores do projeto recusaram deles.
        sets: os conjuntos rotulados, só com registros que passaram no esquema.
        rejected: a acusação de cada registro que não passou.
    """

    folder: Path
    train: list[Document]
    valid: list[Document]
    reports: list[LoadReport]
    sets: dict[str, list[Entry]]
    rejected: list[str] = field(default_factory=list)

    @property
    def texts(self) -> list[Document]:
        """Os textos de treino e de validação."""
        return [*self.train, *self.valid]


def read_data(folder: Path) -> Data:
    """Lê os textos pelos leitores do projeto e os conjuntos rotulados pela tabela ``SETS``.

    Erros:
        DataError: uma pasta não tem nada aproveitável, falta um conjunto, ou ele tem uma linha que
            não é JSON; diz o arquivo e a linha.
    """
    train, first = load_documents(folder / "train", deduplicate=False)
    valid, second = load_documents(folder / "valid" / "*.txt", deduplicate=False)
    data = Data(folder, train, valid, [first, second], {})
    for name, (path, fields) in SETS.items():
        data.sets[name] = []
        for number, record in enumerate(read_records(folder / path), 1):
            where = f"{path}:{number}"
            problems = [f"{where}: {problem}" for problem in fields.problems(record)]
            data.rejected += problems
            if not problems:
                data.sets[name].append(Entry(record, where))
    return data


def read_records(path: Path) -> list[Any]:
    """Os valores de um JSONL, um por linha, sejam quais forem.

    Erros:
        DataError: o arquivo não existe ou não está em UTF-8, ou uma linha não é JSON.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise DataError(
            f"'{path}': o arquivo não existe; esperado um conjunto rotulado."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"'{path}': não é UTF-8 (byte {error.start}).") from error
    lines = text.removesuffix("\n").split("\n") if text else []
    return [parse_line(line, f"{path}:{number}") for number, line in enumerate(lines, 1)]


def parse_line(line: str, where: str) -> Any:
    """O valor de uma linha de JSONL; levanta ``DataError`` se não é JSON."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:  # RecursionError: colchetes demais
        raise DataError(f"{where}: não é JSON; veio {reprlib.repr(line)}.") from error


# --- Uma conferência ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """Uma conferência: o que se mediu, o limite e se passou."""

    name: str
    value: str
    limit: str
    passed: bool
    details: tuple[str, ...] = ()


def at_least(name: str, value: int, minimum: int) -> Check:
    """``value`` chega ao mínimo."""
    return Check(name, grouped(value), f">= {grouped(minimum)}", value >= minimum)


def each_at_least(
    name: str, counts: Mapping[str, int], labels: Sequence[str], minimum: int
) -> Check:
    """Cada rótulo esperado chega ao mínimo."""
    passed = all(counts.get(label, 0) >= minimum for label in labels)
    return Check(name, shown_counts(counts, labels), f"cada >= {minimum}", passed)


def less_than(name: str, rate: float, limit: float, details: Sequence[str]) -> Check:
    """A taxa fica abaixo do limite."""
    return Check(name, percent(rate), f"< {percent(limit)}", rate < limit, tuple(details))


def none_of(name: str, problems: Sequence[str]) -> Check:
    """Nenhum problema."""
    return Check(name, str(len(problems)), "0", not problems, tuple(problems))


def balance(name: str, counts: Mapping[str, int], labels: Sequence[str]) -> Check:
    """Nenhum dos rótulos esperados tem menos que ``MIN_CLASS_SHARE`` da sua parte igual.

    Um rótulo que não aparece em ``counts`` conta zero.
    """
    found = {label: counts.get(label, 0) for label in labels}
    least = MIN_CLASS_SHARE * sum(found.values()) / max(len(labels), 1)
    low = tuple(f"{label}: {count}" for label, count in found.items() if count < least)
    limit = f"menor classe >= {decimal(MIN_CLASS_SHARE, 1)} da média"
    return Check(name, shown_counts(counts, labels), limit, least > 0 and not low, low)


def shown_counts(counts: Mapping[str, int], labels: Sequence[str]) -> str:
    """Quantos há de cada rótulo; se são muitos, o menor e o maior número."""
    if len(labels) <= SHOWN_CLASSES:
        return ", ".join(f"{label} {counts.get(label, 0)}" for label in sorted(labels))
    values = [counts.get(label, 0) for label in labels]
    return f"{len(labels)} classes, de {min(values)} a {max(values)}"


def percent(value: float) -> str:
    """Uma fração como porcentagem, com duas casas."""
    return f"{decimal(100 * value, 2)} %"


# --- A forma -----------------------------------------------------------------------------------


def check_schema(data: Data) -> list[Check]:
    """Nenhum registro fora da tabela de ``data_schema``; as outras conferências não os veem."""
    return [none_of("registros fora do esquema", data.rejected)]


def check_format(data: Data) -> list[Check]:
    """O que os leitores recusaram, e a forma das conversas e dos arquivos de texto."""
    problems = [line for report in data.reports for line in report.warnings()]
    for document in data.texts:
        problems += conversation_problems(document)
    for path in sorted(data.folder.rglob("*")):
        if path.suffix in TEXT_SUFFIXES and path.is_file():
            problems += file_problems(path)
    return [none_of("problemas de formato", problems)]


def conversation_problems(document: Document) -> list[str]:
    """Falas fora de ordem, vazias ou de persona que não existe."""
    if document.messages is None:
        return []
    roles = [m["role"] for m in document.messages if m["role"] != "system"]
    problems = []
    if roles != ["user", "assistant"] * (len(roles) // 2) or not roles:
        problems.append(f"{document.source}: as falas não alternam Usuário e Luna")
    if any(not message["content"].strip() for message in document.messages):
        problems.append(f"{document.source}: fala vazia")
    if document.persona is not None and document.persona not in PERSONAS:
        problems.append(f"{document.source}: persona {document.persona!r} não existe")
    return problems


def file_problems(path: Path) -> list[str]:
    """Codificação, composição dos acentos, fins de linha e espaços sobrando."""
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        return [f"{path}: não pôde ser lido: {error.strerror}"]
    except UnicodeDecodeError as error:
        return [f"{path}: não é UTF-8 (byte {error.start})"]
    problems = []
    if unicodedata.normalize("NFC", text) != text:
        problems.append(f"{path}: não está em NFC")
    if "\r" in text:
        problems.append(f"{path}: fim de linha do Windows")
    for number, line in enumerate(text.split("\n"), 1):
        if line != line.rstrip():
            problems.append(f"{path}:{number}: espaço no fim da linha")
    return problems
