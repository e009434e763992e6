"""De um documento em blocos a trechos do tamanho que se indexa.

O documento é dividido em seções, pelos títulos; seções pequenas e vizinhas se juntam; cada grupo é
uma sequência de unidades (frases, itens, linhas de tabela) que nunca se partem. Onde cortar a
sequência é escolhido de uma vez só para o grupo inteiro, por programação dinâmica, como o TeX
quebra um parágrafo em linhas (Knuth e Plass 1981): cada corte tem um custo (barato entre
parágrafos, caro no meio de uma lista ou logo depois de quem a anuncia), e trechos vazios também.

    U  unidades de um grupo        custo[i]  o menor custo de cortar as unidades de i em diante
    budget  palavras por trecho    lead[i]   as frases repetidas antes da unidade i
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from src.retrieval.sentences import split_sentences
from src.retrieval.types import Block, Chunk, SourceDocument
from src.utils.errors import ConfigError

BUDGET_WORDS = 160
OVERLAP_SENTENCES = 1
#: Muda quando a leitura ou o corte mudam: os arquivos já indexados são refeitos.
INGEST_VERSION = 1

Count = Callable[[str], int]

_INSIDE_PARAGRAPH = 0.3  # custos de um corte, na escala de um trecho vazio (1)
_INSIDE_LIST = 0.5
_AFTER_INTRO = 2.0
_AFTER_HEADING = 4.0
_PER_CHUNK = 0.4
_GAP = 100  # até onde se procura uma frase depois da anterior, em caracteres
_CLAUSE = re.compile(r"(?<=[;:,])\s+")


def words_of(text: str) -> int:
    """Quantas palavras há num texto, separadas por espaço."""
    return len(text.split())


@dataclass(frozen=True)
class _Unit:
    """O que não se parte: uma frase, um item, uma linha de tabela ou um título.

    ``glue`` é o que a separa da anterior quando ficam no mesmo trecho; ``break_cost``, o custo de
    começar um trecho nela; ``repeats`` diz se pode ser repetida no trecho seguinte.
    """

    text: str
    words: int
    glue: str
    break_cost: float
    page: int | None
    repeats: bool


@dataclass
class _Section:
    """Os blocos sob um título; ``path`` são os títulos, do maior ao menor."""

    path: tuple[str, ...]
    heading: Block | None = None
    blocks: list[Block] = field(default_factory=list)


def chunk_document(
    document: SourceDocument,
    *,
    budget: int = BUDGET_WORDS,
    overlap: int = OVERLAP_SENTENCES,
    count: Count = words_of,
    start: int = 0,
) -> list[Chunk]:
    """Os trechos de um documento, na ordem.

    Nenhum passa de ``budget``, e nenhuma frase é cortada, a não ser a que sozinha passa dele. Cada
    frase do documento está em algum trecho; os títulos vão para ``section``, e também para o texto
    onde um trecho junta mais de uma seção.

    Args:
        budget: tamanho máximo de um trecho, na medida de ``count`` (palavras; 160 são cerca de 220
            tokens).
        overlap: quantas frases do trecho anterior da mesma seção se repetem, se couberem num quarto
            do trecho.
        count: mede um texto; a medida de dois textos juntos tem de ser a soma das dos dois.
        start: a posição do primeiro trecho no arquivo.

    Erros:
        ConfigError: ``budget`` menor que 1 ou ``overlap`` negativo.
    """
    check_parameters(budget, overlap)
    sections = _sections(document)
    chunks: list[Chunk] = []
    for group in _merge(sections, budget, count):
        section = " > ".join(_common(part.path for part in group))
        units = _units(group, budget, count)
        for text, page in _pack(units, budget, overlap):
            position = start + len(chunks)
            chunks.append(_chunk(document, text, position, section, page))
    return chunks


def check_parameters(budget: int, overlap: int) -> None:
    """Confere o tamanho e a repetição pedidos.

    Erros:
        ConfigError: ``budget`` menor que 1 ou ``overlap`` negativo.
    """
    if budget < 1:
        raise ConfigError(f"budget={budget!r}: esperado um número de palavras de ao menos 1.")
    if overlap < 0:
        raise ConfigError(f"overlap={overlap!r}: esperado um número de frases, 0 ou mais.")


def _chunk(
    document: SourceDocument, text: str, position: int, section: str, page: int | None
) -> Chunk:
    return Chunk(
        chunk_id(document.file, position, text),
        text,
        document.source,
        document.file,
        position,
        document.title,
        section,
        page,
        document.metadata,
    )


def chunk_id(file: str, position: int, text: str) -> str:
    """16 dígitos hexadecimais de um SHA-256: os mesmos em qualquer máquina."""
    identity = f"{file}\0{position}\0{text}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(identity).hexdigest()[:16]


# --- Seções ------------------------------------------------------------------------------------


def _sections(document: SourceDocument) -> list[_Section]:
    """As seções do documento; um título sem texto embaixo, e que nenhum outro usa, vira texto."""
    sections = [_Section(())]
    open_headings: list[Block] = []
    for block in document.blocks:
        if block.kind != "heading":
            sections[-1].blocks.append(block)
            continue
        while open_headings and open_headings[-1].level >= block.level:
            open_headings.pop()
        open_headings.append(block)
        path = tuple(heading.text for heading in open_headings if heading.text != document.title)
        sections.append(_Section(path, block))
    kept = []
    for section, following in zip(sections, [*sections[1:], _Section(())]):
        if section.blocks:
            kept.append(section)
        elif section.heading and not _contains(section, following, document.title):
            kept.append(_Section(section.path[:-1], None, [_as_paragraph(section.heading)]))
    return kept


def _contains(section: _Section, following: _Section, title: str) -> bool:
    """Se o título da seção aparece no caminho da seguinte, ou é o do documento."""
    if section.heading is None:
        return True
    is_title = section.heading.text == title
    inner = following.heading is not None and following.heading.level > section.heading.level
    return inner or (is_title and (following.heading is not None or bool(following.blocks)))


def _as_paragraph(block: Block) -> Block:
    return Block(block.text, "paragraph", block.page)


def _merge(sections: Sequence[_Section], budget: int, count: Count) -> Iterator[list[_Section]]:
    """Grupos de seções vizinhas que cabem num trecho.

    O documento inteiro, se couber; senão, uma seção de menos de meio trecho se junta à seguinte do
    mesmo pai (ou à primeira das suas subseções).
    """
    sizes = [_size(section, count) for section in sections]
    if sections and sum(sizes) <= budget:
        yield list(sections)
        return
    group: list[_Section] = []
    total = 0
    for section, size in zip(sections, sizes):
        together = total + size <= budget and min(total, size) <= budget // 2
        if group and not (together and _related(group[0], section)):
            yield group
            group, total = [], 0
        group.append(section)
        total += size
    if group:
        yield group


def _size(section: _Section, count: Count) -> int:
    heading = count(section.heading.text) if section.heading else 0
    return heading + sum(count(block.text) for block in section.blocks)


def _related(first: _Section, other: _Section) -> bool:
    """Irmãs, ou mãe e filha."""
    shared = len(_common([first.path, other.path]))
    return shared >= len(first.path) - 1 and len(other.path) >= len(first.path)


def _common(paths: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """O começo que todos os caminhos têm em comum."""
    columns = zip(*paths)
    shared = []
    for names in columns:
        if len(set(names)) > 1:
            break
        shared.append(names[0])
    return tuple(shared)


# --- Unidades ----------------------------------------------------------------------------------


def _units(group: Sequence[_Section], budget: int, count: Count) -> list[_Unit]:
    """As unidades de um grupo; com mais de uma seção, os títulos entram no texto."""
    units: list[_Unit] = []
    shown = _common(section.path for section in group)
    for section in group:
        previous: Block | None = None
        if len(group) > 1:
            common = len(_common([shown, section.path]))
            for name in section.path[common:]:  # os títulos que ainda não apareceram
                heading = Block(name, "heading", section.heading.page if section.heading else None)
                _add(units, heading, previous, budget, count)
                previous = heading
            shown = section.path if len(section.path) > common else shown
        for block in section.blocks:
            _add(units, block, previous, budget, count)
            previous = block
    return units


def _add(
    units: list[_Unit], block: Block, previous: Block | None, budget: int, count: Count
) -> None:
    """Põe as unidades de um bloco."""
    glue, cost = _glue(block, previous), _break_cost(block, previous)
    position = 0
    for text in _pieces(block.text, block.kind != "paragraph", budget, count):
        found = block.text.find(text, position, position + len(text) + _GAP)
        if position and found >= 0:  # dentro do bloco, o que as separava era uma linha ou um espaço
            glue = "\n" if "\n" in block.text[position:found] else " "
        words = count(text)
        repeats = block.kind == "paragraph" and words > 2
        units.append(_Unit(text, words, glue, cost, block.page, repeats))
        position = max(found, position) + len(text)
        glue, cost = " ", _INSIDE_PARAGRAPH


def _glue(block: Block, previous: Block | None) -> str:
    """Itens ficam em linhas seguidas, também depois de quem os anuncia; o resto, separado."""
    if previous is None or block.kind not in ("list", "table"):
        return "\n\n" if previous is None or previous.kind != "heading" else "\n"
    same = previous.kind == block.kind or previous.kind == "heading"
    return "\n" if same or previous.text.endswith(":") else "\n\n"


def _break_cost(block: Block, previous: Block | None) -> float:
    if previous is None:
        return 0.0
    if previous.kind == "heading":
        return _AFTER_HEADING
    if previous.text.endswith(":"):
        return _AFTER_INTRO
    return _INSIDE_LIST if block.kind == previous.kind == "list" else 0.0


def _pieces(text: str, whole: bool, budget: int, count: Count) -> Iterator[str]:
    """O texto inteiro, se é um item que cabe; senão, as frases, cortadas só se não couberem."""
    if whole and count(text) <= budget:
        yield text
        return
    for sentence in split_sentences(text):
        if count(sentence) <= budget:
            yield sentence
        else:
            yield from _cut(sentence, budget, count)


def _cut(sentence: str, budget: int, count: Count) -> Iterator[str]:
    """Uma frase grande demais em partes: entre orações onde der, entre palavras onde não."""
    pieces: list[str] = []
    for clause in _CLAUSE.split(sentence):
        if count(clause) <= budget:
            pieces.append(clause)
        else:
            pieces.extend(_cut_words(clause, budget, count))
    current = ""
    for piece in pieces:
        longer = f"{current} {piece}" if current else piece
        if current and count(longer) > budget:
            yield current
            current = piece
        else:
            current = longer
    if current:
        yield current


def _cut_words(clause: str, budget: int, count: Count) -> Iterator[str]:
    words = clause.split()
    start = 0
    while start < len(words):
        end = start + 1
        size = count(words[start])
        while end < len(words) and (size := size + count(words[end])) <= budget:
            end += 1
        yield " ".join(words[start:end])
        start = end


# --- Os cortes ---------------------------------------------------------------------------------


def _pack(units: Sequence[_Unit], budget: int, overlap: int) -> Iterator[tuple[str, int | None]]:
    """O texto e a página de cada trecho do grupo."""
    leads = [_lead(units, index, budget, overlap) for index in range(len(units))]
    for start, end in _cuts(units, leads, budget):
        own = sum(unit.words for unit in units[start:end])
        lead = leads[start] if own + _words(units, leads[start], start) <= budget else start
        yield _join(units[lead:end]), units[start].page


def _words(units: Sequence[_Unit], start: int, end: int) -> int:
    return sum(unit.words for unit in units[start:end])


def _lead(units: Sequence[_Unit], index: int, budget: int, overlap: int) -> int:
    """Onde começa o que se repete antes da unidade ``index``; ela mesma, se nada se repete."""
    lead = index
    words = 0
    while lead > 0 and index - lead < overlap and units[lead - 1].repeats:
        words += units[lead - 1].words
        if words > budget // 4:
            break
        lead -= 1
    return lead


def _cuts(units: Sequence[_Unit], leads: Sequence[int], budget: int) -> list[tuple[int, int]]:
    """Os limites [começo, fim) de cada trecho que dão o menor custo total."""
    cost = [0.0] * (len(units) + 1)
    chosen = [0] * len(units)
    for start in range(len(units) - 1, -1, -1):
        words = _words(units, leads[start], start)
        cost[start] = float("inf")
        for end in range(start + 1, len(units) + 1):
            words += units[end - 1].words
            if words > budget and end > start + 1:
                break
            total = _PER_CHUNK + max(0.0, 1 - words / budget) ** 2 + cost[end]
            total += units[end].break_cost if end < len(units) else 0.0
            if total <= cost[start]:
                cost[start], chosen[start] = total, end
    cuts, start = [], 0
    while start < len(units):
        cuts.append((start, chosen[start]))
        start = chosen[start]
    return cuts


def _join(units: Sequence[_Unit]) -> str:
    parts = [units[0].text]
    for unit in units[1:]:
        parts += [unit.glue, unit.text]
    return "".join(parts)
