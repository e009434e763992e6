"""Confere os dados que vêm com o projeto: repetição, variedade, ortografia, divisão e rótulos.

Uso::

    python scripts/check_data.py            # uma tabela; sai com 1 se alguma conferência falha
    python scripts/check_data.py --json     # as mesmas figuras como um objeto JSON
    python scripts/check_data.py --data PASTA

O que cada conferência quer dizer, e por que o limite é esse, está em ``docs/dados.md``.
"""

import argparse
import gzip
import json
import re
import shutil
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from src.config.personas import PERSONAS, Persona  # noqa: E402
from src.config.emotions import EMOTIONS, NEUTRAL  # noqa: E402
from src.utils.dedup import duplicate_groups, text_digest  # noqa: E402
from src.utils.documents import Document, LoadReport  # noqa: E402
from src.utils.file_utils import SUPPORTED_EXTENSIONS, load_documents  # noqa: E402
from src.utils.numbers import decimal, grouped  # noqa: E402
from src.utils.text_cleaning import without_accents  # noqa: E402

#: gzip -6 de um corpus de notícias e textos didáticos, PorSimples (721.695 bytes): 271.062 bytes.
REFERENCE_GZIP_RATIO = 0.3756
MIN_GZIP_RATIO = 0.9 * REFERENCE_GZIP_RATIO
MAX_NEAR_DUPLICATES = 0.01
MAX_UNKNOWN_WORDS = 0.015
MIN_BYTES = 300_000
MIN_DOCUMENTS, MIN_QUESTIONS, MIN_OFF_TOPIC = 40, 200, 80
MIN_EMOTIONS, MIN_MESSAGES, MIN_AUGMENT, MIN_CONVERSATIONS = 240, 400, 200, 60
MIN_CLASS_SHARE = 0.7  # da parte que a classe teria se todas fossem iguais
PARAPHRASE_SHARE = (0.45, 0.55)
PATTERNS = ("indecisao", "ajuda", "informacao", "frustracao", "clarificacao", NEUTRAL)
HARD_KINDS = {"negacao", "citacao", "relato", "sentido"}
QUESTION_KINDS = ("literal", "parafrase")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")


@dataclass(frozen=True)
class Check:
    """Uma conferência: o que se mediu, o limite e se passou."""

    name: str
    value: str
    limit: str
    passed: bool
    details: tuple[str, ...] = ()


# --- Leitura -----------------------------------------------------------------------------------


@dataclass
class Data:
    """Tudo o que se confere, já lido: os textos e os conjuntos rotulados (nome -> registros)."""

    folder: Path
    train: list[Document]
    valid: list[Document]
    reports: list[LoadReport]
    sets: dict[str, list[dict[str, Any]]]

    @property
    def texts(self) -> list[Document]:
        return [*self.train, *self.valid]


SETS = {
    "perguntas": "valid/perguntas.jsonl",
    "perguntas_fora": "valid/perguntas_fora.jsonl",
    "emocoes_dev": "eval/emocoes_dev.jsonl",
    "emocoes_teste": "eval/emocoes_teste.jsonl",
    "proatividade_dev": "eval/proatividade_dev.jsonl",
    "proatividade_teste": "eval/proatividade_teste.jsonl",
    "aumento": "eval/aumento.jsonl",
    "conversas": "eval/conversas.jsonl",
}


def read_data(folder: Path) -> Data:
    """Lê os textos pelos leitores do projeto e os conjuntos rotulados linha a linha.

    Erros:
        LunaError: uma pasta não tem nada aproveitável.
        ValueError: um conjunto tem uma linha que não é um objeto JSON; diz o arquivo e a linha.
    """
    train, first = load_documents(folder / "train", deduplicate=False)
    valid, second = load_documents(folder / "valid" / "*.txt", deduplicate=False)
    sets = {name: read_records(folder / path) for name, path in SETS.items()}
    return Data(folder, train, valid, [first, second], sets)


def read_records(path: Path) -> list[dict[str, Any]]:
    """Os objetos de um JSONL."""
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}:{number}: não é JSON: {error}") from error
        if not isinstance(record, dict):
            raise ValueError(f"{path}:{number}: esperado um objeto, veio {line[:60]!r}")
        records.append(record)
    return records


def content(document: Document) -> str:
    """O texto de um documento sem os rótulos das falas."""
    if document.messages is None:
        return str(document)
    return "\n".join(message["content"] for message in document.messages)


# --- Textos ------------------------------------------------------------------------------------


def check_size(data: Data) -> list[Check]:
    """Volume de texto, formatos e número de documentos de conhecimento."""
    size = sum(len(content(document).encode()) for document in data.texts)
    files = {document.file for document in data.texts}
    formats = {Path(file).suffix for file in files}
    missing = sorted(set(SUPPORTED_EXTENSIONS) - {".htm"} - formats)
    knowledge = [d for d in data.train if is_knowledge(d)]
    return [
        at_least("texto de treino e validação (bytes)", size, MIN_BYTES),
        Check("formatos de arquivo", str(len(formats)), "todos", not missing, tuple(missing)),
        at_least("documentos de conhecimento", len(knowledge), MIN_DOCUMENTS),
    ]


def is_knowledge(document: Document) -> bool:
    """Um documento com título: do formato de conhecimento, ou da pasta ``documentos``."""
    return "título" in document.metadata or Path(document.file).parent.name == "documentos"


def check_format(data: Data) -> list[Check]:
    """O que os leitores recusaram, e a forma das conversas e dos arquivos de texto."""
    problems = [line for report in data.reports for line in report.warnings()]
    for document in data.texts:
        problems += conversation_problems(document)
    for path in sorted(data.folder.rglob("*")):
        if path.suffix in (".txt", ".jsonl", ".csv", ".json", ".md"):
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
    except UnicodeDecodeError as error:
        return [f"{path}: não é UTF-8: {error}"]
    problems = []
    if unicodedata.normalize("NFC", text) != text:
        problems.append(f"{path}: não está em NFC")
    if "\r" in text:
        problems.append(f"{path}: fim de linha do Windows")
    for number, line in enumerate(text.split("\n"), 1):
        if line != line.rstrip():
            problems.append(f"{path}:{number}: espaço no fim da linha")
    return problems


def check_duplicates(data: Data) -> list[Check]:
    """Textos iguais e quase iguais (sequências de 5 palavras, Jaccard de 0,8 ou mais)."""
    texts = [content(document) for document in data.texts]
    seen: dict[str, Document] = {}
    exact = []
    for document, text in zip(data.texts, texts):
        first = seen.setdefault(text_digest(text), document)
        if first is not document:
            exact.append(f"{document.source} = {first.source}")
    groups = duplicate_groups(texts)
    near = [
        f"{data.texts[index].source} ~ {data.texts[group].source}"
        for index, group in enumerate(groups)
        if group != index
    ]
    rate = len(near) / len(texts)
    return [
        none_of("textos repetidos", exact),
        Check(
            "textos quase repetidos",
            percent(rate),
            f"< {percent(MAX_NEAR_DUPLICATES)}",
            rate < MAX_NEAR_DUPLICATES,
            tuple(near),
        ),
    ]


def check_split(data: Data) -> list[Check]:
    """Nenhum texto da validação é igual ou quase igual a um do treino; dev e teste, idem."""
    overlaps = [f"validação e treino: {pair}" for pair in crossing(data.train, data.valid)]
    for name in ("emocoes", "proatividade"):
        dev, test = (
            [Document(r["texto"], f"{name}_{part}:{i}") for i, r in enumerate(records, 1)]
            for part in ("dev", "teste")
            for records in (data.sets[f"{name}_{part}"],)
        )
        overlaps += [f"{name}, dev e teste: {pair}" for pair in crossing(dev, test)]
    questions = {plain_words(m["content"]) for d in data.train for m in d.messages or ()}
    for name in ("perguntas", "perguntas_fora"):
        for number, record in enumerate(data.sets[name], 1):
            if plain_words(record["pergunta"]) in questions:
                overlaps.append(f"{name}:{number}: a pergunta está no treino")
    return [none_of("textos dos dois lados da divisão", overlaps)]


def crossing(first: Sequence[Document], second: Sequence[Document]) -> list[str]:
    """Os grupos de textos iguais ou quase iguais com membros dos dois lados."""
    both = [*first, *second]
    sides: dict[int, set[bool]] = {}
    members: dict[int, list[str]] = {}
    for index, group in enumerate(duplicate_groups([content(document) for document in both])):
        sides.setdefault(group, set()).add(index < len(first))
        members.setdefault(group, []).append(both[index].source)
    return [" ~ ".join(members[group]) for group, seen in sides.items() if len(seen) == 2]


def plain_words(text: str) -> str:
    """As palavras de um texto, sem acentos, maiúsculas nem pontuação."""
    return " ".join(_WORD.findall(without_accents(text)))


def check_variety(data: Data) -> list[Check]:
    """Quanto o texto comprime: repetitivo comprime mais."""
    text = "\n".join(content(document) for document in data.texts).encode()
    ratio = len(gzip.compress(text, 6)) / len(text)
    return [
        Check(
            "comprimido / original (gzip)",
            decimal(ratio, 4),
            f">= {decimal(MIN_GZIP_RATIO, 4)}",
            ratio >= MIN_GZIP_RATIO,
        )
    ]


def check_spelling(data: Data) -> list[Check]:
    """Palavras que o hunspell não conhece, sem contar nomes (maiúscula fora de início de frase)."""
    name = "palavras desconhecidas"
    if not hunspell_has_portuguese():
        return [Check(name, "não medido", "hunspell pt_BR ausente", True)]
    words: Counter[str] = Counter()
    for document in data.texts:
        words.update(common_words(content(document)))
    unknown = unknown_words(words)
    total = sum(words.values())
    rate = sum(words[word] for word in unknown) / max(total, 1)
    listed = sorted(unknown, key=lambda word: -words[word])
    return [
        Check(
            name,
            percent(rate),
            f"< {percent(MAX_UNKNOWN_WORDS)}",
            rate < MAX_UNKNOWN_WORDS,
            tuple(f"{word} ({words[word]})" for word in listed),
        )
    ]


def common_words(text: str) -> list[str]:
    """As palavras que não são nomes: minúsculas, ou a primeira de uma frase."""
    words = []
    for sentence in re.split(r"[.!?:;\n\"]+", text):
        found = _WORD.findall(sentence)
        words += [w for i, w in enumerate(found) if w.islower() or i == 0]
    return words


def hunspell_has_portuguese() -> bool:
    """Se o hunspell está instalado com o dicionário do Brasil."""
    if shutil.which("hunspell") is None:
        return False
    command = ["hunspell", "-d", "pt_BR", "-l"]
    return subprocess.run(command, input="", capture_output=True, text=True).returncode == 0


def unknown_words(words: Iterable[str]) -> set[str]:
    """As palavras fora do dicionário, também em minúsculas (o início da frase engana)."""
    unique = sorted(set(words))
    unknown = set(spell(unique))
    lower = {word: word.lower() for word in unknown}
    still = set(spell(sorted(set(lower.values()))))
    return {word for word in unknown if lower[word] in still}


def spell(words: Sequence[str]) -> list[str]:
    """O que ``hunspell -l`` devolve: as palavras que não conhece."""
    result = subprocess.run(
        ["hunspell", "-d", "pt_BR", "-i", "utf-8", "-l"],
        input="\n".join(words) + "\n",
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    return result.stdout.split()


# --- Personas ----------------------------------------------------------------------------------


def check_personas(data: Data) -> list[Check]:
    """Cada persona tem conversas bastantes e as suas marcas aparecem mais nela que nas outras."""
    replies = replies_by_persona(data.texts)
    total = sum(map(len, replies.values()))
    checks = [balance("conversas por persona", Counter({k: len(v) for k, v in replies.items()}))]
    for name, persona in PERSONAS.items():
        own = marker_rate(replies[name], persona)
        others = [text for other, texts in replies.items() if other != name for text in texts]
        other = marker_rate(others, persona)
        avoided = share_with(replies[name], persona.style.avoided)
        checks.append(
            Check(
                f"marcas da persona {name}",
                f"{percent(own)} (nas outras, {percent(other)}); evitadas, {percent(avoided)}",
                "mais que o dobro; < 2,00 %",
                own > 2 * other and avoided < 0.02,
            )
        )
    assert total
    return checks


def replies_by_persona(documents: Iterable[Document]) -> dict[str, list[str]]:
    """As respostas de Luna, por persona declarada."""
    replies: dict[str, list[str]] = {name: [] for name in PERSONAS}
    for document in documents:
        if document.persona in replies:
            for message in document.messages or ():
                if message["role"] == "assistant":
                    replies[document.persona].append(message["content"])
    return replies


def marker_rate(texts: Sequence[str], persona: Persona) -> float:
    """A parte dos textos com ao menos uma marca da persona (tratamento ou expressão)."""
    return share_with(texts, (*persona.style.address, *persona.style.typical))


def share_with(texts: Sequence[str], expressions: Sequence[str]) -> float:
    """A parte dos textos em que aparece ao menos uma das expressões, como palavras inteiras."""
    if not texts or not expressions:
        return 0.0
    pattern = re.compile(
        rf"(?<!\w)(?:{'|'.join(map(re.escape, expressions))})(?!\w)", re.IGNORECASE
    )
    return sum(bool(pattern.search(text)) for text in texts) / len(texts)


# --- Conjuntos rotulados -----------------------------------------------------------------------


def check_questions(data: Data) -> list[Check]:
    """Cada pergunta tem documento, passagem literal e resposta dentro da passagem."""
    documents: dict[str, list[str]] = {}
    for document in data.train:
        documents.setdefault(Path(document.file).stem, []).append(squeeze(str(document)))
    problems = []
    for number, record in enumerate(data.sets["perguntas"], 1):
        problems += [f"perguntas:{number}: {p}" for p in question_problems(record, documents)]
    for number, record in enumerate(data.sets["perguntas_fora"], 1):
        if set(record) != {"pergunta", "proxima"} or not isinstance(record["proxima"], bool):
            problems.append(f"perguntas_fora:{number}: esperado {{pergunta, proxima}}: {record}")
    kinds = Counter(record.get("tipo") for record in data.sets["perguntas"])
    share = kinds["parafrase"] / max(sum(kinds.values()), 1)
    low, high = PARAPHRASE_SHARE
    return [
        at_least("perguntas sobre documentos", len(data.sets["perguntas"]), MIN_QUESTIONS),
        at_least("perguntas fora do assunto", len(data.sets["perguntas_fora"]), MIN_OFF_TOPIC),
        none_of("problemas nas perguntas", problems),
        Check(
            "perguntas em paráfrase",
            percent(share),
            f"{percent(low)} a {percent(high)}",
            low <= share <= high,
        ),
        paraphrase_distance(data.sets["perguntas"]),
    ]


def question_problems(record: dict[str, Any], documents: dict[str, list[str]]) -> list[str]:
    expected = {"documento", "pergunta", "resposta", "passagem", "tipo"}
    if set(record) != expected or not all(isinstance(v, str) and v for v in record.values()):
        return [f"esperados os textos {', '.join(sorted(expected))}: {record}"]
    problems = []
    if record["tipo"] not in QUESTION_KINDS:
        problems.append(f"tipo {record['tipo']!r}: esperado um de {', '.join(QUESTION_KINDS)}")
    if record["documento"] not in documents:
        problems.append(f"o documento {record['documento']!r} não existe")
    elif not any(squeeze(record["passagem"]) in text for text in documents[record["documento"]]):
        problems.append("a passagem não está no documento")
    if squeeze(record["resposta"]).casefold() not in squeeze(record["passagem"]).casefold():
        problems.append(f"a resposta {record['resposta']!r} não está na passagem")
    return problems


def squeeze(text: str) -> str:
    """Um espaço só onde havia espaços e quebras de linha."""
    return " ".join(text.split())


def paraphrase_distance(questions: Sequence[dict[str, Any]]) -> Check:
    """A parte das palavras longas da pergunta que está na passagem: paráfrases dividem menos."""
    overlap: dict[str, list[float]] = {kind: [] for kind in QUESTION_KINDS}
    for record in questions:
        if record.get("tipo") not in overlap:
            continue  # já acusada em question_problems
        asked = {word[:5] for word in plain_words(record["pergunta"]).split() if len(word) > 3}
        there = {word[:5] for word in plain_words(record["passagem"]).split()}
        overlap[record["tipo"]].append(len(asked & there) / max(len(asked), 1))
    literal, paraphrase = (sum(v) / max(len(v), 1) for v in overlap.values())
    return Check(
        "palavras em comum com a passagem",
        f"paráfrases {percent(paraphrase)}, literais {percent(literal)}",
        "menos que a metade",
        paraphrase < literal / 2,
    )


def check_labels(data: Data) -> list[Check]:
    """Emoções e mensagens: rótulos válidos, sem repetição, e classes equilibradas."""
    checks = []
    for name, key, labels, minimum in (
        ("emocoes", "emocao", (*EMOTIONS, NEUTRAL), MIN_EMOTIONS),
        ("proatividade", "padrao", PATTERNS, MIN_MESSAGES),
    ):
        parts = {part: data.sets[f"{name}_{part}"] for part in ("dev", "teste")}
        checks.append(at_least(f"{name}: frases", sum(map(len, parts.values())), minimum))
        for part, records in parts.items():
            problems = label_problems(records, key, labels, f"{name}_{part}")
            checks.append(none_of(f"{name}_{part}: problemas", problems))
            checks.append(balance(f"{name}_{part}: classes", Counter(r.get(key) for r in records)))
    return checks


def label_problems(
    records: Sequence[dict[str, Any]], key: str, labels: Sequence[str], name: str
) -> list[str]:
    problems, seen = [], set()
    for number, record in enumerate(records, 1):
        extra = set(record) - {"texto", key, "dificil"}
        if extra or not isinstance(record.get("texto"), str) or record.get(key) not in labels:
            problems.append(f"{name}:{number}: {record}")
        elif "dificil" in record and (
            record["dificil"] not in HARD_KINDS or record[key] != NEUTRAL
        ):
            problems.append(f"{name}:{number}: dificil={record['dificil']!r}")
        elif plain_words(record["texto"]) in seen:
            problems.append(f"{name}:{number}: repetida")
        seen.add(plain_words(str(record.get("texto"))) or str(number))
    return problems


def check_augmentation(data: Data) -> list[Check]:
    """O que tem de sobreviver está na frase."""
    problems, texts = [], set()
    for number, record in enumerate(data.sets["aumento"], 1):
        keep = record.get("preservar")
        if not isinstance(keep, dict) or set(keep) - {"negacao", "numeros", "nomes"}:
            problems.append(f"aumento:{number}: preservar={keep!r}")
            continue
        words = [word for values in keep.values() for word in values]
        problems += [f"aumento:{number}: falta {w!r}" for w in words if w not in record["texto"]]
        if record["texto"] in texts:
            problems.append(f"aumento:{number}: repetida")
        texts.add(record["texto"])
    return [
        at_least("frases para aumento", len(data.sets["aumento"]), MIN_AUGMENT),
        none_of("problemas nas frases para aumento", problems),
    ]


def check_conversations(data: Data) -> list[Check]:
    """As conversas de avaliação: turnos e o que uma boa resposta contém."""
    records, problems = data.sets["conversas"], []
    for number, record in enumerate(records, 1):
        where = f"conversas:{number}"
        if set(record) != {"id", "tema", "persona", "turnos"} or record["persona"] not in PERSONAS:
            problems.append(f"{where}: campos {sorted(record)}")
            continue
        if len(record["turnos"]) < 2:
            problems.append(f"{where}: menos de dois turnos")
        for turn in record["turnos"]:
            groups = turn.get("contem")
            if set(turn) != {"usuario", "boa", "contem", "nao_contem"} or not groups:
                problems.append(f"{where}: turno {sorted(turn)}")
            elif any(not group or not all(group) for group in groups):
                problems.append(f"{where}: grupo vazio em contem={groups}")
    if len({record.get("id") for record in records}) != len(records):
        problems.append("conversas: id repetido")
    return [
        at_least("conversas de avaliação", len(records), MIN_CONVERSATIONS),
        none_of("problemas nas conversas de avaliação", problems),
    ]


# --- Saída -------------------------------------------------------------------------------------


def at_least(name: str, value: int, minimum: int) -> Check:
    return Check(name, grouped(value), f">= {grouped(minimum)}", value >= minimum)


def none_of(name: str, problems: Sequence[str]) -> Check:
    return Check(name, str(len(problems)), "0", not problems, tuple(problems))


def balance(name: str, counts: Counter[Any]) -> Check:
    """Nenhuma classe tem menos que ``MIN_CLASS_SHARE`` da sua parte igual."""
    fair = sum(counts.values()) / max(len(counts), 1)
    low = min(counts.values(), default=0)
    shown = ", ".join(f"{key} {count}" for key, count in sorted(counts.items(), key=str))
    limit = f"menor classe >= {decimal(MIN_CLASS_SHARE, 1)} da média"
    return Check(name, shown, limit, bool(counts) and low >= MIN_CLASS_SHARE * fair)


def percent(value: float) -> str:
    return f"{decimal(100 * value, 2)} %"


CHECKS: tuple[Callable[[Data], list[Check]], ...] = (
    check_size,
    check_format,
    check_duplicates,
    check_split,
    check_variety,
    check_spelling,
    check_personas,
    check_questions,
    check_labels,
    check_augmentation,
    check_conversations,
)


def run_checks(data: Data) -> list[Check]:
    """Todas as conferências, na ordem da tabela."""
    return [check for function in CHECKS for check in function(data)]


def table(checks: Sequence[Check], shown: int) -> str:
    """A tabela que se lê, com os primeiros detalhes do que falhou."""
    lines = []
    for check in checks:
        mark = "ok   " if check.passed else "FALHA"
        lines.append(f"{mark} {check.name}: {check.value}  [{check.limit}]")
        if not check.passed:
            lines += [f"        {detail}" for detail in check.details[:shown]]
            if len(check.details) > shown:
                lines.append(f"        ... e mais {len(check.details) - shown}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Confere e imprime; devolve 0 se tudo passou, 1 se não."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="a pasta dos dados")
    parser.add_argument("--json", action="store_true", help="um objeto JSON em vez da tabela")
    parser.add_argument(
        "--details", type=int, default=10, help="detalhes por conferência que falha"
    )
    options = parser.parse_args(arguments)
    checks = run_checks(read_data(options.data))
    passed = all(check.passed for check in checks)
    if options.json:
        told = {"passed": passed, "checks": [asdict(check) for check in checks]}
        print(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        print(table(checks, options.details))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
