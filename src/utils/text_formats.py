"""Os formatos de texto de treino: diálogo, instrução, conhecimento e registros.

**Diálogo** — linhas ``Usuário:`` e ``Luna:`` (também ``Usuario:``, ``User:``, ``Assistente:``,
``Assistant:``, ``Sistema:``, ``System:``, sem distinguir maiúsculas). Uma linha sem papel continua
a fala de cima; uma linha em branco no meio dela é mantida. Uma linha em branco entre falas segue na
mesma conversa; ``---``, duas linhas em branco ou ``[PERSONA] nome`` começam outra. A persona vale
até a próxima separação.

A exceção: num arquivo sem separação alguma, com mais de ``MAX_LINKED_EXCHANGES`` blocos separados
por linha em branco, cada um completo (começa no usuário, alterna e termina na Luna), cada bloco é
uma conversa: é uma lista de perguntas independentes, não uma conversa de centenas de falas. O
relato diz quando isso acontece.

**Instrução** — ``[INSTRUÇÃO] ...`` e ``[RESPOSTA] ...``. **Conhecimento** — ``[TÍTULO]``,
``[CONTEÚDO]`` e ``[METADADOS] {json}``. Os dois aceitam várias linhas e vários por arquivo.

**Registros** (JSON, JSONL e CSV) — ver ``document_from_record``.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from src.config.personas import plain_name
from src.utils.documents import Document, LoadReport, render_messages
from src.utils.text_cleaning import clean_text

MAX_LINKED_EXCHANGES = 8  # acima disso, blocos completos sem separação são independentes
EXPECTED_RECORD = (
    'esperado um objeto com "messages", "conversations", "instruction"/"output", '
    '"prompt"/"response", "pergunta"/"resposta" ou "text"'
)
ROLES = {
    **dict.fromkeys(("user", "human", "usuario", "usuário"), "user"),
    **dict.fromkeys(("assistant", "gpt", "luna", "assistente"), "assistant"),
    **dict.fromkeys(("system", "sistema"), "system"),
}
_PAIRS = (  # (chaves da pergunta, chaves da resposta), na ordem em que são procuradas
    (("instruction", "instrução", "instrucao"), ("output", "response", "resposta")),
    (("prompt",), ("response", "completion")),
    (("pergunta",), ("resposta",)),
)
_ROLE_LINE = re.compile(
    r"\s*(usu[aá]rio|user|luna|assistente|assistant|sistema|system)\s*:\s*(.*)", re.IGNORECASE
)
_PERSONA_LINE = re.compile(r"\s*\[PERSONA\]\s*(.*)", re.IGNORECASE)
_SEPARATOR_LINE = re.compile(r"\s*-{3,}\s*")
_INSTRUCTION_TAG = re.compile(r"\s*\[(INSTRU[CÇ][AÃ]O|RESPOSTA)\]\s*:?\s*(.*)", re.IGNORECASE)
_KNOWLEDGE_TAG = re.compile(r"\s*\[(T[IÍ]TULO|CONTE[UÚ]DO|METADADOS)\]\s*:?\s*(.*)", re.IGNORECASE)


class RecordError(ValueError):
    """Um registro que não se pode aproveitar; a mensagem diz o que era esperado."""


def detect_format(first_line: str) -> str:
    """O formato de um .txt por sua primeira linha não vazia.

    Returns:
        "dialogue", "instruction", "knowledge" ou "plain".
    """
    line = _normalized(first_line)
    if _ROLE_LINE.match(line) or _PERSONA_LINE.match(line):
        return "dialogue"
    if _INSTRUCTION_TAG.match(line):
        return "instruction"
    return "knowledge" if _KNOWLEDGE_TAG.match(line) else "plain"


def _normalized(line: str) -> str:
    return unicodedata.normalize("NFC", line).lstrip("\ufeff").rstrip()


# --- Diálogo -----------------------------------------------------------------------------------


def independent_exchanges(lines: Iterable[str]) -> int:
    """Quantos blocos independentes há num diálogo sem separação (ver o alto do arquivo).

    Returns:
        O número de blocos; 0 quando o arquivo é para ser lido como conversas comuns.
    """
    count, blanks = 0, 0
    roles: list[str] = []
    for raw in lines:
        line = _normalized(raw)
        if not line.strip():
            blanks += 1
            continue
        match = _ROLE_LINE.match(line)
        if roles and (blanks > 1 or _PERSONA_LINE.match(line)) or _SEPARATOR_LINE.fullmatch(line):
            return 0
        if match and blanks and roles:
            if not _complete(roles):
                return 0
            count, roles = count + 1, []
        if match:
            roles.append(ROLES[match[1].casefold()])
        blanks = 0
    count += 1
    return count if _complete(roles) and count > MAX_LINKED_EXCHANGES else 0


def _complete(roles: list[str]) -> bool:
    """Usuário, Luna, usuário, Luna, ... até a Luna."""
    return bool(roles) and roles == ["user", "assistant"] * (len(roles) // 2)


def parse_dialogue(
    lines: Iterable[str], file: str, report: LoadReport, *, independent: bool = False
) -> Iterator[Document]:
    """As conversas de um diálogo (formato no alto do arquivo), uma a uma.

    Args:
        lines: as linhas do arquivo.
        file: o nome que aparece em ``source`` ("arquivo:linha") e no relato.
        report: onde se anotam conversas sem resposta, falas vazias e linhas soltas.
        independent: cada bloco separado por linha em branco é uma conversa.
    """
    reader = _DialogueReader(file, report)
    blanks = 0
    for number, raw in enumerate(lines, 1):
        line = _normalized(raw)
        if not line.strip():
            blanks += 1
            continue
        role, persona = _ROLE_LINE.match(line), _PERSONA_LINE.match(line)
        separator = _SEPARATOR_LINE.fullmatch(line)
        if blanks > 1 or persona or separator:
            yield from reader.finish()
        elif independent and role and blanks:
            yield from reader.finish(keep_persona=True)
        if persona:
            reader.set_persona(persona[1], number)
        elif role:
            reader.begin_turn(ROLES[role[1].casefold()], role[2], number)
        elif not separator:
            reader.continue_turn(line, number, blank_before=blanks == 1)
        blanks = 0
    yield from reader.finish()


class _DialogueReader:
    """As falas da conversa em curso."""

    def __init__(self, file: str, report: LoadReport) -> None:
        self.file, self.report = file, report
        self.persona: str | None = None
        self.turns: list[tuple[str, list[str], int]] = []  # papel, linhas, número da primeira

    def set_persona(self, name: str, number: int) -> None:
        self.persona = persona_name(name)
        if self.persona is None:
            self.report.bad_record(f"{self.file}:{number}", "[PERSONA] sem nome; esperado um nome")

    def begin_turn(self, role: str, text: str, number: int) -> None:
        self.turns.append((role, [text], number))

    def continue_turn(self, line: str, number: int, blank_before: bool) -> None:
        if not self.turns:
            self.report.bad_record(
                f"{self.file}:{number}",
                f'"{line.strip()[:40]}" está fora de uma fala; esperado "Usuário:" ou "Luna:" no '
                "começo da conversa",
            )
            return
        self.turns[-1][1].extend(["", line] if blank_before else [line])

    def finish(self, keep_persona: bool = False) -> Iterator[Document]:
        """Fecha a conversa em curso, se houver uma, e dá o documento dela, se tiver resposta."""
        if not self.turns:
            return
        source = f"{self.file}:{self.turns[0][2]}"
        messages = []
        for role, lines, number in self.turns:
            if content := clean_text("\n".join(lines)):
                messages.append({"role": role, "content": content})
            else:
                self.report.bad_record(f"{self.file}:{number}", "fala vazia, descartada")
        persona, self.turns = self.persona, []
        if not keep_persona:
            self.persona = None
        try:
            yield conversation(messages, source, self.file, self.report, persona=persona)
        except RecordError as error:
            self.report.bad_record(source, str(error))


def persona_name(name: str) -> str | None:
    """O nome de uma persona em minúsculas e sem acentos ("Técnico" -> "tecnico")."""
    return plain_name(clean_text(name)) or None


def conversation(
    messages: list[dict[str, str]],
    source: str,
    file: str,
    report: LoadReport,
    *,
    persona: str | None = None,
    metadata: dict[str, Any] | None = None,
) -> Document:
    """O documento de uma conversa; o que vem depois da última resposta é descartado e relatado.

    Erros:
        RecordError: a conversa não tem nenhuma fala da Luna.
    """
    end = len(messages)
    while end and messages[end - 1]["role"] != "assistant":
        end -= 1
    if not end:
        raise RecordError("conversa sem nenhuma fala da Luna; esperada ao menos uma resposta")
    if end < len(messages):
        report.bad_record(source, "a última fala ficou sem resposta e foi descartada")
    kept = messages[:end]
    text = render_messages(kept)
    return Document(
        text, source, file=file, messages=kept, persona=persona, metadata=metadata or {}
    )


# --- Instrução e conhecimento ------------------------------------------------------------------


def parse_instructions(lines: Iterable[str], file: str, report: LoadReport) -> Iterator[Document]:
    """Os pares ``[INSTRUÇÃO]``/``[RESPOSTA]`` como conversas de duas falas."""
    pending: tuple[str, int] | None = None
    for tag, text, number in _sections(lines, _INSTRUCTION_TAG):
        if tag == "instrucao":
            if pending:
                report.bad_record(f"{file}:{pending[1]}", "[INSTRUÇÃO] sem [RESPOSTA]")
            pending = (text, number)
        elif pending is None:
            report.bad_record(f"{file}:{number}", "[RESPOSTA] sem [INSTRUÇÃO] antes")
        elif not (text and pending[0]):
            report.bad_record(f"{file}:{pending[1]}", "[INSTRUÇÃO] ou [RESPOSTA] sem texto")
            pending = None
        else:
            messages = _exchange(pending[0], text)
            yield conversation(messages, f"{file}:{pending[1]}", file, report)
            pending = None
    if pending:
        report.bad_record(f"{file}:{pending[1]}", "[INSTRUÇÃO] sem [RESPOSTA]")


def parse_knowledge(lines: Iterable[str], file: str, report: LoadReport) -> Iterator[Document]:
    """Os blocos ``[TÍTULO]``/``[CONTEÚDO]``/``[METADADOS]`` como textos puros.

    O texto é "título\\n\\nconteúdo"; os metadados trazem também o título, em "título". Metadados
    que não são um objeto JSON são relatados, e o documento fica sem eles.
    """
    fields: dict[str, str] = {}
    start = 1
    for tag, text, number in _sections(lines, _KNOWLEDGE_TAG):
        if fields and (tag in fields or tag == "titulo"):
            yield from _knowledge(fields, start, file, report)
            fields = {}
        if not fields:
            start = number
        fields[tag] = text
    if fields:
        yield from _knowledge(fields, start, file, report)


def _knowledge(
    fields: dict[str, str], start: int, file: str, report: LoadReport
) -> Iterator[Document]:
    source = f"{file}:{start}"
    if not fields.get("conteudo"):
        report.bad_record(source, "bloco sem [CONTEÚDO]; esperado o texto depois do título")
        return
    metadata: dict[str, Any] = {}
    try:
        metadata = _metadata(fields.get("metadados") or "{}")
    except RecordError as error:
        report.bad_record(source, str(error))
    title = fields.get("titulo", "")
    if title:
        metadata["título"] = title
    text = f"{title}\n\n{fields['conteudo']}" if title else fields["conteudo"]
    yield Document(text, source, file=file, metadata=metadata)


def _metadata(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordError(
            f"[METADADOS] não é JSON válido ({error}); o documento ficou sem metadados"
        ) from error
    if not isinstance(value, dict):
        raise RecordError("[METADADOS]: esperado um objeto JSON; o documento ficou sem metadados")
    return value


def _sections(lines: Iterable[str], tag: re.Pattern[str]) -> Iterator[tuple[str, str, int]]:
    """As seções marcadas: (marca sem acento, em minúsculas; texto limpo; linha da marca)."""
    current: tuple[str, list[str], int] | None = None
    for number, raw in enumerate(lines, 1):
        line = _normalized(raw)
        if match := tag.match(line):
            if current:
                yield _section(*current)
            current = (persona_name(match[1]) or "", [match[2]], number)
        elif current:
            current[1].append(line)
    if current:
        yield _section(*current)


def _section(tag: str, lines: list[str], number: int) -> tuple[str, str, int]:
    while lines and (not lines[-1].strip() or _SEPARATOR_LINE.fullmatch(lines[-1])):
        lines.pop()  # traços entre um bloco e outro não são conteúdo
    return tag, clean_text("\n".join(lines)), number


# --- Registros ---------------------------------------------------------------------------------


def document_from_record(record: Any, source: str, file: str, report: LoadReport) -> Document:
    """Um registro de JSON, JSONL ou CSV como documento.

    Aceita ``{"messages": [{"role", "content"}], "persona"?}``, sharegpt
    (``{"conversations": [{"from", "value"}]}``), alpaca (``{"instruction", "input"?, "output"}``),
    ``{"prompt", "response" | "completion"}``, ``{"pergunta", "resposta"}``, ``{"text" | "texto"}``
    e um texto solto. As demais chaves viram ``metadata``.

    Erros:
        RecordError: o registro não tem nenhum desses formatos, ou tem um deles com valor inválido.
    """
    if isinstance(record, str):
        record = {"text": record}
    if not isinstance(record, Mapping):
        raise RecordError(f"é um valor do tipo {type(record).__name__}; {EXPECTED_RECORD}")
    values = {str(key).strip().casefold(): (key, value) for key, value in record.items()}
    found = _messages_of(values)
    if found is not None:
        messages, used = found
        persona, rest = _persona_of(values), _rest(values, {*used, "persona"})
        return conversation(messages, source, file, report, persona=persona, metadata=rest)
    for name in ("text", "texto"):
        if name in values:
            text = clean_text(_text_of(values, name))
            if not text:
                raise RecordError(f'"{name}" está vazio; esperado um texto')
            return Document(text, source, file=file, metadata=_rest(values, {name}))
    names = ", ".join(f'"{key}"' for key in list(record)[:6]) or "nada"
    raise RecordError(f"tem {names}; {EXPECTED_RECORD}")


_Values = dict[str, tuple[Any, Any]]  # chave em minúsculas -> (chave original, valor)


def _messages_of(values: _Values) -> tuple[list[dict[str, str]], set[str]] | None:
    """As falas de um registro e as chaves de onde vieram; ``None`` se não for conversa."""
    for name in ("messages", "conversations"):
        if name in values:
            return _checked_messages(values[name][1], name), {name}
    for questions, answers in _PAIRS:
        question = next((key for key in questions if key in values), None)
        answer = next((key for key in answers if key in values), None)
        if question and answer:
            return _pair_messages(values, question, answer)
    return None


def _pair_messages(
    values: _Values, question: str, answer: str
) -> tuple[list[dict[str, str]], set[str]]:
    prompt = clean_text(_text_of(values, question))
    response = clean_text(_text_of(values, answer))
    if not (prompt and response):
        empty = answer if prompt else question
        raise RecordError(f'"{empty}" está vazio; esperado um texto')
    used = {question, answer}
    if question.startswith("instru") and "input" in values:
        extra = clean_text(_text_of(values, "input"))
        prompt = f"{prompt}\n\n{extra}" if extra else prompt
        used.add("input")
    system = clean_text(_text_of(values, "system")) if "system" in values else ""
    return _exchange(prompt, response, system), used | {"system"}


def _exchange(question: str, answer: str, system: str = "") -> list[dict[str, str]]:
    turns = (("system", system), ("user", question), ("assistant", answer))
    return [{"role": role, "content": text} for role, text in turns if text]


def _checked_messages(items: Any, name: str) -> list[dict[str, str]]:
    if not isinstance(items, list) or not items:
        raise RecordError(f'"{name}": esperada uma lista de falas, com ao menos uma')
    return [_checked_message(item, f"{name}[{index}]") for index, item in enumerate(items)]


def _checked_message(item: Any, where: str) -> dict[str, str]:
    if not isinstance(item, Mapping):
        raise RecordError(f'{where}: esperado um objeto com "role" e "content"')
    role = item.get("role", item.get("from"))
    content = item.get("content", item.get("value"))
    known = (
        ROLES.get(unicodedata.normalize("NFC", role).casefold()) if isinstance(role, str) else ""
    )
    if not known:
        raise RecordError(f"{where}: papel {role!r}; esperado user, assistant ou system")
    if not isinstance(content, str) or not (text := clean_text(content)):
        raise RecordError(f"{where}: fala {str(content)[:40]!r}; esperado um texto não vazio")
    return {"role": known, "content": text}


def _text_of(values: _Values, name: str) -> str:
    key, value = values[name]
    if value is None:
        return ""
    if not isinstance(value, str):
        raise RecordError(f'"{key}" é do tipo {type(value).__name__}; esperado um texto')
    return value


def _persona_of(values: _Values) -> str | None:
    return persona_name(_text_of(values, "persona")) if "persona" in values else None


def _rest(values: _Values, used: set[str]) -> dict[str, Any]:
    return {key: value for name, (key, value) in values.items() if name not in used}
