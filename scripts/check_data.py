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
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from data_schema import (  # noqa: E402
    EMOTION_LABELS,
    HARD_KINDS,
    KEPT_KINDS,
    PATTERNS,
    QUESTION_KINDS,
    Check,
    Data,
    Entry,
    at_least,
    balance,
    check_format,
    check_schema,
    each_at_least,
    less_than,
    none_of,
    percent,
    read_data,
)

from src.config.emotions import NEUTRAL  # noqa: E402
from src.config.personas import PERSONAS, Persona  # noqa: E402
from src.utils.dedup import duplicate_groups, text_digest  # noqa: E402
from src.utils.documents import Document  # noqa: E402
from src.utils.errors import LunaError  # noqa: E402
from src.utils.file_utils import SUPPORTED_EXTENSIONS  # noqa: E402
from src.utils.logging_utils import ensure_utf8_streams  # noqa: E402
from src.utils.numbers import decimal  # noqa: E402
from src.utils.text_cleaning import without_accents  # noqa: E402

#: gzip -6 de um corpus de notícias e textos didáticos, PorSimples (721.695 bytes): 271.062 bytes.
REFERENCE_GZIP_RATIO = 0.3756
MIN_GZIP_RATIO = 0.9 * REFERENCE_GZIP_RATIO
MAX_NEAR_DUPLICATES = 0.01
MAX_UNKNOWN_WORDS = 0.015
MIN_BYTES = 300_000
MIN_DOCUMENTS, MIN_QUESTIONS, MIN_OFF_TOPIC, MIN_DEMO = 40, 200, 80, 40
MIN_EMOTIONS, MIN_MESSAGES, MIN_AUGMENT, MIN_CONVERSATIONS = 240, 400, 200, 60
MIN_NEAR_TOPIC = 12  # perguntas fora cujo assunto os documentos tratam; e tantas outras que não
MIN_HARD = 8  # neutras difíceis de cada tipo, em cada parte
MIN_SEARCH_TRAINING = 300
MIN_CORRECTED = 25  # perguntas corrigidas, em cada parte
MIN_KEPT = 80  # frases para aumento com cada coisa a preservar
REPEATED_REPLY_WORDS = 6  # respostas mais curtas ("De nada!") podem se repetir
PARAPHRASE_SHARE = (0.45, 0.55)
_LETTERS = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_WORD = re.compile(r"\w+(?:-\w+)*")


# --- Textos ------------------------------------------------------------------------------------


def content(document: Document) -> str:
    """O texto de um documento sem os rótulos das falas."""
    if document.messages is None:
        return str(document)
    return "\n".join(message["content"] for message in document.messages)


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


def check_duplicates(data: Data) -> list[Check]:
    """Textos iguais, quase iguais (sequências de 5 palavras, Jaccard de 0,8) e respostas iguais."""
    texts = [content(document) for document in data.texts]
    seen: dict[str, Document] = {}
    exact = []
    for document, text in zip(data.texts, texts):
        first = seen.setdefault(text_digest(text), document)
        if first is not document:
            exact.append(f"{document.source} = {first.source}")
    near = [
        f"{data.texts[index].source} ~ {data.texts[group].source}"
        for index, group in enumerate(duplicate_groups(texts))
        if group != index
    ]
    return [
        none_of("textos repetidos", exact),
        less_than("textos quase repetidos", len(near) / len(texts), MAX_NEAR_DUPLICATES, near),
        none_of("respostas longas repetidas", repeated_replies(data.texts)),
    ]


def repeated_replies(documents: Iterable[Document]) -> list[str]:
    """As respostas de ``REPEATED_REPLY_WORDS`` palavras ou mais dadas em mais de uma conversa."""
    places: dict[str, list[str]] = {}
    for document in documents:
        said = [m["content"] for m in document.messages or () if m["role"] == "assistant"]
        for reply in dict.fromkeys(map(plain_words, said)):
            if len(reply.split()) >= REPEATED_REPLY_WORDS:
                places.setdefault(reply, []).append(document.source)
    return [f"{', '.join(where)}: {reply!r}" for reply, where in places.items() if len(where) > 1]


def check_split(data: Data) -> list[Check]:
    """O que mede não está no que treina: validação e treino, dev e teste, perguntas e falas."""
    overlaps = [f"validação e treino: {pair}" for pair in crossing(data.train, data.valid)]
    for name in ("emocoes", "proatividade"):
        dev, test = (
            [Document(record["texto"], record.where) for record in data.sets[f"{name}_{part}"]]
            for part in ("dev", "teste")
        )
        overlaps += [f"{name}, dev e teste: {pair}" for pair in crossing(dev, test)]
        if name == "proatividade":
            learned = [Document(r["texto"], r.where) for r in data.sets[f"{name}_treino"]]
            overlaps += [
                f"{name}, treino e medida: {pair}" for pair in crossing(learned, [*dev, *test])
            ]
    corrected = (
        [
            Document(text, record.where)
            for record in data.sets[f"correcoes_{part}"]
            for text in (record["pergunta"], *record["parafrases"])
        ]
        for part in ("dev", "teste")
    )
    overlaps += [f"correcoes, dev e teste: {pair}" for pair in crossing(*corrected)]
    trained = {plain_words(m["content"]) for d in data.train for m in d.messages or ()}
    overlaps += [
        f"{where}: a fala está no treino: {text!r}"
        for where, text in measured_lines(data)
        if plain_words(text) in trained
    ]
    return [none_of("textos dos dois lados da divisão", overlaps)]


def measured_lines(data: Data) -> Iterator[tuple[str, str]]:
    """(onde, texto) do que não pode estar no treino.

    As perguntas da demonstração ficam de fora: ela mostra o que o modelo aprendeu no treino.
    """
    for name in ("perguntas", "perguntas_fora", "aumento"):
        for record in data.sets[name]:
            yield record.where, record["texto" if name == "aumento" else "pergunta"]
    for record in data.sets["conversas"]:
        for turn in record["turnos"]:
            yield record.where, turn["usuario"]


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
    """As palavras e os números de um texto, sem acentos, maiúsculas nem pontuação.

    Um texto sem nenhum (só emoji, por exemplo) fica como é.
    """
    return " ".join(_WORD.findall(without_accents(text))) or text


def check_variety(data: Data) -> list[Check]:
    """Quanto o texto comprime: repetitivo comprime mais."""
    text = "\n".join(content(document) for document in data.texts).encode()
    ratio = len(gzip.compress(text, 6)) / len(text)
    limit = f">= {decimal(MIN_GZIP_RATIO, 4)}"
    name = "comprimido / original (gzip)"
    return [Check(name, decimal(ratio, 4), limit, ratio >= MIN_GZIP_RATIO)]


def check_spelling(data: Data) -> list[Check]:
    """Palavras que o hunspell não conhece, sem contar nomes (maiúscula fora de início de frase)."""
    name = "palavras desconhecidas"
    if not hunspell_has_portuguese():
        return [Check(name, "não medido", "hunspell pt_BR ausente", True)]
    words: Counter[str] = Counter()
    for document in data.texts:
        words.update(common_words(content(document)))
    unknown = unknown_words(words)
    rate = sum(words[word] for word in unknown) / max(sum(words.values()), 1)
    listed = sorted(unknown, key=lambda word: (-words[word], word))
    details = [f"{word} ({words[word]})" for word in listed]
    return [less_than(name, rate, MAX_UNKNOWN_WORDS, details)]


def common_words(text: str) -> list[str]:
    """As palavras que não são nomes: minúsculas, ou a primeira de uma frase."""
    words = []
    for sentence in re.split(r"[.!?:;\n\"]+", text):
        found = _LETTERS.findall(sentence)
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
    """Cada persona tem respostas bastantes e as suas marcas aparecem mais nela que nas outras."""
    replies = replies_by_persona(data.texts)
    counts = {name: len(texts) for name, texts in replies.items()}
    checks = [balance("respostas por persona", counts, tuple(PERSONAS))]
    return checks + [persona_marks(name, replies) for name in PERSONAS]


def persona_marks(name: str, replies: Mapping[str, Sequence[str]]) -> Check:
    """Quanto as marcas de uma persona aparecem nas respostas dela e nas das outras."""
    persona = PERSONAS[name]
    own = marker_rate(replies[name], persona)
    others = [text for other, texts in replies.items() if other != name for text in texts]
    other = marker_rate(others, persona)
    avoided = share_with(replies[name], persona.style.avoided)
    return Check(
        f"marcas da persona {name}",
        f"{percent(own)} (nas outras, {percent(other)}); evitadas, {percent(avoided)}",
        "mais que o dobro; < 2,00 %",
        own > 2 * other and avoided < 0.02,
    )


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
    asked, off_topic = data.sets["perguntas"], data.sets["perguntas_fora"]
    documents: dict[str, list[str]] = {}
    for document in data.train:
        documents.setdefault(Path(document.file).stem, []).append(squeeze(str(document)))
    problems = [f"{r.where}: {told}" for r in asked for told in question_problems(r, documents)]
    near = Counter("sim" if record["proxima"] else "não" for record in off_topic)
    return [
        at_least("perguntas sobre documentos", len(asked), MIN_QUESTIONS),
        at_least("perguntas fora do assunto", len(off_topic), MIN_OFF_TOPIC),
        each_at_least("perguntas fora, de assunto vizinho", near, ("sim", "não"), MIN_NEAR_TOPIC),
        none_of("problemas nas perguntas", problems),
        none_of("perguntas repetidas", repeated([*asked, *off_topic], "pergunta")),
        *check_question_classes(data),
        paraphrase_distance(asked),
    ]


def check_question_classes(data: Data) -> list[Check]:
    """Metade em paráfrase, e todos os documentos da pasta ``documentos`` perguntados por igual."""
    asked = data.sets["perguntas"]
    share = sum(record["tipo"] == "parafrase" for record in asked) / max(len(asked), 1)
    low, high = PARAPHRASE_SHARE
    limit = f"{percent(low)} a {percent(high)}"
    files = [Path(d.file) for d in data.train if Path(d.file).parent.name == "documentos"]
    counts = Counter(record["documento"] for record in asked)
    return [
        Check("perguntas em paráfrase", percent(share), limit, low <= share <= high),
        balance("perguntas por documento", counts, sorted({path.stem for path in files})),
    ]


def check_demo(data: Data) -> list[Check]:
    """As perguntas da demonstração: quantas, e nenhuma repetida."""
    records = data.sets["perguntas_demo"]
    return [
        at_least("perguntas da demonstração", len(records), MIN_DEMO),
        none_of("perguntas da demonstração repetidas", repeated(records, "pergunta")),
    ]


def question_problems(record: Entry, documents: Mapping[str, Sequence[str]]) -> list[str]:
    """O documento que não existe, a passagem que não está nele, a resposta que não está nela."""
    problems = []
    if record["documento"] not in documents:
        problems.append(f"o documento {record['documento']!r} não existe")
    elif not any(squeeze(record["passagem"]) in text for text in documents[record["documento"]]):
        problems.append("a passagem não está no documento")
    answer, passage = (squeeze(record[key]).casefold() for key in ("resposta", "passagem"))
    if not stands_alone(answer, passage):
        problems.append(f"a resposta {record['resposta']!r} não está na passagem")
    return problems


def repeated(records: Sequence[Entry], key: str) -> list[str]:
    """Os registros cujo texto em ``key`` já apareceu, sem ver acentos, caixa nem pontuação."""
    first: dict[str, Entry] = {}
    problems = []
    for record in records:
        earlier = first.setdefault(plain_words(record[key]), record)
        if earlier is not record:
            problems.append(f"{record.where}: repete {earlier.where}: {record[key]!r}")
    return problems


def squeeze(text: str) -> str:
    """Um espaço só onde havia espaços e quebras de linha."""
    return " ".join(text.split())


def paraphrase_distance(questions: Sequence[Entry]) -> Check:
    """A parte das palavras longas da pergunta que está na passagem: paráfrases dividem menos."""
    overlap: dict[str, list[float]] = {kind: [] for kind in QUESTION_KINDS}
    for record in questions:
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
    """Emoções e mensagens: sem repetição, classes equilibradas e neutras difíceis de cada tipo."""
    checks = []
    for name, key, labels, minimum in (
        ("emocoes", "emocao", EMOTION_LABELS, MIN_EMOTIONS),
        ("proatividade", "padrao", PATTERNS, MIN_MESSAGES),
    ):
        parts = {f"{name}_{part}": data.sets[f"{name}_{part}"] for part in ("dev", "teste")}
        checks.append(at_least(f"{name}: frases", sum(map(len, parts.values())), minimum))
        for part, records in parts.items():
            counts = Counter(record[key] for record in records)
            checks.append(none_of(f"{part}: problemas", label_problems(records)))
            checks.append(balance(f"{part}: classes", counts, labels))
            if name == "proatividade":
                hard = Counter(r["dificil"] for r in records if "dificil" in r)
                checks.append(each_at_least(f"{part}: difíceis", hard, HARD_KINDS, MIN_HARD))
    learned = data.sets["proatividade_treino"]
    checks.append(none_of("proatividade_treino: problemas", label_problems(learned)))
    return checks


def label_problems(records: Sequence[Entry]) -> list[str]:
    """As frases repetidas, e as marcadas como difíceis que não são neutras."""
    return repeated(records, "texto") + [
        f"{record.where}: dificil={record['dificil']!r} só vale em {NEUTRAL!r}"
        for record in records
        if "dificil" in record and record["padrao"] != NEUTRAL
    ]


def check_augmentation(data: Data) -> list[Check]:
    """O que tem de sobreviver está na frase, e há bastante do que preservar."""
    records = data.sets["aumento"]
    kinds = Counter(kind for record in records for kind in record["preservar"])
    problems = repeated(records, "texto") + [
        f"{record.where}: falta {word!r}"
        for record in records
        for words in record["preservar"].values()
        for word in words
        if not stands_alone(word, record["texto"])
    ]
    return [
        at_least("frases para aumento", len(records), MIN_AUGMENT),
        each_at_least("frases com algo a preservar", kinds, KEPT_KINDS, MIN_KEPT),
        none_of("problemas nas frases para aumento", problems),
    ]


def stands_alone(term: str, text: str) -> bool:
    """Se ``term`` está em ``text`` tal e qual, e não dentro de outra palavra ou de outro número."""
    pattern = rf"(?<!\w)(?<!\d[.,]){re.escape(term)}(?![.,]?\d|\w)"
    return re.search(pattern, text) is not None


def check_search_training(data: Data) -> list[Check]:
    """As perguntas que treinam a busca: cada uma tem a sua frase, e nenhuma é das que a medem."""
    records = data.sets["busca_treino"]
    asked = [question for record in records for question in record["perguntas"]]
    texts = [q["pergunta"] for q in asked] + [text for r in records for text in r["fora"]]
    measured = {plain_words(r["pergunta"]) for r in data.sets["perguntas"]}
    measured |= {plain_words(r["pergunta"]) for r in data.sets["perguntas_fora"]}
    problems = [
        f"{record.where}: frase {question['frase']} não existe"
        for record in records
        for question in record["perguntas"]
        if question["frase"] >= len(record["frases"])
    ]
    problems += [f"é das que medem: {text!r}" for text in texts if plain_words(text) in measured]
    problems += [f"repetida: {text!r}" for text, count in Counter(texts).items() if count > 1]
    own = [Document(" ".join(r["frases"]), r.where) for r in records]
    documents = [d for d in data.train if Path(d.file).parent.name == "documentos"]
    return [
        at_least("perguntas que treinam a busca", len(asked), MIN_SEARCH_TRAINING),
        none_of("problemas nas perguntas que treinam a busca", problems),
        none_of("documentos da busca dos dois lados", crossing(own, documents)),
    ]


def check_conversations(data: Data) -> list[Check]:
    """As conversas de avaliação: quantas, de cada persona, e nenhum id repetido."""
    records = data.sets["conversas"]
    counts = Counter(record["persona"] for record in records)
    return [
        at_least("conversas de avaliação", len(records), MIN_CONVERSATIONS),
        balance("conversas de avaliação: personas", counts, tuple(PERSONAS)),
        none_of("conversas de avaliação: ids repetidos", repeated(records, "id")),
    ]


def check_corrections(data: Data) -> list[Check]:
    """As perguntas corrigidas: quantas, e nenhuma frase que seja e não seja a mesma pergunta."""
    checks = []
    for part in ("dev", "teste"):
        records = data.sets[f"correcoes_{part}"]
        problems = repeated(records, "pergunta")
        for record in records:
            own = [record["pergunta"], *record["parafrases"], *record["vizinhas"]]
            counts = Counter(text.strip() for text in own)
            problems += [f"{record.where}: repete {t!r}" for t, n in counts.items() if n > 1]
        checks.append(at_least(f"correcoes_{part}: perguntas", len(records), MIN_CORRECTED))
        checks.append(none_of(f"correcoes_{part}: problemas", problems))
    return checks


# --- Saída -------------------------------------------------------------------------------------

CHECKS: tuple[Callable[[Data], list[Check]], ...] = (
    check_schema,
    check_size,
    check_format,
    check_duplicates,
    check_split,
    check_variety,
    check_spelling,
    check_personas,
    check_questions,
    check_demo,
    check_labels,
    check_augmentation,
    check_search_training,
    check_conversations,
    check_corrections,
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


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """As opções da linha de comando; o argparse sai com 2 se o uso está errado."""
    import main as _  # noqa: F401  (põe em português as mensagens do argparse)

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="a pasta dos dados")
    parser.add_argument("--json", action="store_true", help="um objeto JSON em vez da tabela")
    parser.add_argument("--details", type=int, default=10, help="detalhes de cada falha")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Confere e imprime; devolve 0 se tudo passou, 1 se não, ou se não deu para ler os dados."""
    options = parse_options(arguments)
    ensure_utf8_streams()
    try:
        data = read_data(options.data)
    except (LunaError, ValueError, OSError) as error:
        print(f"Erro: {error_message(error)}", file=sys.stderr)
        return 1
    checks = run_checks(data)
    passed = all(check.passed for check in checks)
    if options.json:
        told = {"passed": passed, "checks": [asdict(check) for check in checks]}
        print(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        print(table(checks, options.details))
    return 0 if passed else 1


def error_message(error: Exception) -> str:
    """O que se diz de um erro que impede a conferência."""
    if isinstance(error, OSError):
        return f"O sistema recusou a leitura de '{error.filename}': {error.strerror}."
    if isinstance(error, LunaError):
        return str(error)
    return f"Valor recusado: {error}."


if __name__ == "__main__":
    sys.exit(main())
