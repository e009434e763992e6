"""O que regrava os arquivos das avaliações: levar ao arquivo-morto e apagar de vez.

Tudo acontece com a trava, e cada arquivo troca de lugar com o antigo num só instante. Uma linha
danificada não se joga fora: vai, como veio, para o arquivo das danificadas.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.config.options import quoted
from src.config.text import without_accents
from src.models.feedback_ledger import Entry, Ledger, build_ledger, event_targets, merged
from src.models.feedback_records import SCHEMA, timestamp_text
from src.models.feedback_store import FeedbackStore, Line, encode_line
from src.utils.errors import UsageError

# Os campos que não são texto da conversa; o que sobra, campos desconhecidos inclusive, é.
_NOT_CONVERSATION = (
    *("schema", "id", "type", "timestamp", "rating", "aspects", "nps", "replaces"),
    *("persona", "session", "model", "model_version"),
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)")
_PLAIN_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


# --- O arquivo-morto -----------------------------------------------------------------------------


def archive_processed(store: FeedbackStore) -> int:
    """Leva ao arquivo-morto as avaliações já usadas num refinamento.

    Vão junto as que elas trocaram e os acontecimentos que só falam delas. Primeiro se acrescenta ao
    arquivo-morto, depois se regrava o principal: uma queda entre os dois deixa as linhas em ambos,
    a leitura as conta uma vez, e a próxima vez não as acrescenta de novo.

    Returns:
        Quantas avaliações usadas foram.

    Erros:
        StorageError: o disco recusou; nada se perdeu.
    """
    with store.locked():
        ledger = build_ledger(store.read(store.path))
        used = ledger.processed & set(ledger.records)
        if not used:
            return 0
        staying = set(ledger.records) - ledger.replaced_by(used)
        kept = [entry for entry in ledger.entries if _stays(entry, staying)]
        moving = [entry for entry in ledger.entries if not _stays(entry, staying)]
        there = {entry.id for entry in build_ledger(store.read(store.archive_path)).entries}
        store.append(store.archive_path, [entry.raw for entry in moving if entry.id not in there])
        _set_aside(store, ledger.damaged())
        store.rewrite(store.path, [entry.raw for entry in kept if entry.kind != "damaged"])
        return len(used)


def _stays(entry: Entry, staying: set[str]) -> bool:
    """Se a linha fica no arquivo principal, dadas as avaliações que ficam."""
    if entry.kind == "feedback":
        return entry.id in staying
    if entry.kind == "retract":
        return bool(staying.intersection(event_targets(entry.record)))
    return entry.kind != "processed"


# --- As linhas danificadas -----------------------------------------------------------------------


def damaged_lines(store: FeedbackStore, ledger: Ledger) -> set[bytes]:
    """As linhas que não se leem, as de agora e as já guardadas à parte, como vieram."""
    kept = {_original(line) for line in store.read(store.damaged_path)}
    return kept | {line.raw for line in ledger.damaged()}


def _set_aside(store: FeedbackStore, lines: Iterable[Line]) -> None:
    """Copia para o arquivo das danificadas as que ainda não estão lá."""
    there = {_original(line) for line in store.read(store.damaged_path)}
    fresh = [_kept(line) for line in lines if line.raw not in there]
    if fresh:
        store.append(store.damaged_path, fresh)


def _kept(line: Line) -> bytes:
    """A linha como se guarda: os bytes que não são UTF-8 viram escapes, e voltam iguais."""
    value: dict[str, Any] = {"schema": SCHEMA, "type": "damaged", "timestamp": timestamp_text(None)}
    value |= {"file": line.file, "line": line.number, "problem": line.damage}
    return encode_line(value | {"raw": line.raw.decode("utf-8", "surrogateescape")})


def _original(line: Line) -> bytes:
    """Os bytes da linha danificada que uma linha do arquivo delas guarda."""
    raw = (line.value or {}).get("raw")
    return raw.encode("utf-8", "surrogateescape") if isinstance(raw, str) else line.raw


# --- Apagar de vez -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Criterion:
    """O que se quer apagar: ``name`` é "id", "session" ou "text"; ``value``, o valor comparado."""

    name: str
    value: str

    @classmethod
    def of(cls, id: str | None, session: str | None, text: str | None) -> "Criterion":
        """O único critério dado.

        Erros:
            UsageError: nenhum, mais de um, ou um em branco.
        """
        given = {"id": id, "session": session, "text": text}
        found = {name: value for name, value in given.items() if value is not None}
        if len(found) != 1:
            raise UsageError("purge: esperado exatamente um de id, session e text.")
        ((name, value),) = found.items()
        compared = _folded(value) if name == "text" and isinstance(value, str) else value
        if not isinstance(compared, str) or not compared.strip():
            raise UsageError(f"purge: {name}={quoted(value)}: esperado um texto, não em branco.")
        return cls(name, compared)

    def matches(self, entry: Entry) -> bool:
        """Se o critério alcança uma avaliação, mesmo que só num campo que a leitura ignora."""
        if self.name == "id":
            return entry.id == self.value
        line = entry.line.value or {}
        if self.name == "session":
            return str(line.get("session")) == self.value
        spoken = [item for name, item in line.items() if name not in _NOT_CONVERSATION]
        return any(self.value in _folded(text) for text in _strings(spoken))

    def matches_raw(self, raw: bytes) -> bool:
        """Se o critério alcança uma linha que não se lê; na dúvida, sim."""
        text = raw.decode("utf-8", "replace")
        if self.name == "session":
            said = re.findall(r'"session"\s*:\s*"((?:[^"\\]|\\.)*)"', text)
            return self.value in map(_unescaped, said)
        if self.name == "id":
            return self.value in text
        return self.value in _folded(text) or self.value in _folded(_unescaped(text))


@dataclass(frozen=True)
class PurgePlan:
    """O que um critério alcança nos três arquivos.

    Atributos:
        gone: os ids das avaliações. spoiled: as linhas danificadas, como vieram. others: quantas
            linhas de uma versão mais nova.
    """

    archive: Ledger
    current: Ledger
    criterion: Criterion
    gone: set[str]
    spoiled: set[bytes]
    others: int

    @property
    def count(self) -> int:
        """Quantas avaliações e outras linhas sairão."""
        return len(self.gone) + len(self.spoiled) + self.others


def purge_plan(store: FeedbackStore, criterion: Criterion) -> PurgePlan:
    """O que sairia, sem mexer em nada."""
    current = build_ledger(store.read(store.path))
    archive = build_ledger(store.read(store.archive_path))
    everything = merged(archive, current)
    damaged = damaged_lines(store, everything)
    return PurgePlan(
        archive,
        current,
        criterion,
        gone=_chosen(everything, criterion) | _chosen(archive, criterion),
        spoiled={raw for raw in damaged if criterion.matches_raw(raw)},
        others=sum(_other_matches(entry, criterion) for entry in everything.entries),
    )


def _chosen(ledger: Ledger, criterion: Criterion) -> set[str]:
    """Os ids que o critério alcança, com as outras versões de cada avaliação."""
    rated = (entry for entry in ledger.entries if entry.kind == "feedback")
    return ledger.versions({entry.id for entry in rated if criterion.matches(entry)})


def purge_files(store: FeedbackStore, criterion: Criterion) -> int:
    """Apaga, dos três arquivos, tudo o que o critério alcança.

    Returns:
        Quantas avaliações e linhas danificadas saíram.

    Erros:
        StorageError: o disco recusou; repetir o comando termina o que faltou.
    """
    with store.locked():
        store.remove_leftovers()
        plan = purge_plan(store, criterion)
        if not plan.count:
            return 0
        damaged = [*plan.archive.damaged(), *plan.current.damaged()]
        _set_aside(store, [line for line in damaged if line.raw not in plan.spoiled])
        _purge_damaged(store, plan.spoiled)
        _purge_ledger(store, store.archive_path, plan.archive, plan)
        _purge_ledger(store, store.path, plan.current, plan)
        return plan.count


def _purge_damaged(store: FeedbackStore, spoiled: set[bytes]) -> None:
    lines = store.read(store.damaged_path)
    left = [line for line in lines if _original(line) not in spoiled]
    if len(left) < len(lines):
        store.rewrite(store.damaged_path, [line.raw + b"\n" for line in left])


def _purge_ledger(store: FeedbackStore, target: Path, ledger: Ledger, plan: PurgePlan) -> None:
    """Regrava um arquivo sem o que sai, se alguma coisa sai."""
    kept = [_without(entry, plan) for entry in ledger.entries]
    lines = [line for line in kept if line is not None]
    if lines != [entry.raw for entry in ledger.entries]:
        store.rewrite(target, lines)


def _without(entry: Entry, plan: PurgePlan) -> bytes | None:
    """A linha sem o que sai; ``None`` se ela sai inteira."""
    if entry.kind == "damaged":  # já está à parte, ou sai
        return None
    if entry.kind == "other":
        return None if _other_matches(entry, plan.criterion) else entry.raw
    if entry.kind == "feedback":
        return None if entry.id in plan.gone else entry.raw
    targets = event_targets(entry.record)
    left = [name for name in targets if name not in plan.gone]
    if left == targets:
        return entry.raw
    return encode_line({**entry.record, "id": entry.id, "targets": left}) if left else None


def _other_matches(entry: Entry, criterion: Criterion) -> bool:
    """Se o critério alcança uma linha de uma versão mais nova, que não se sabe interpretar."""
    return entry.kind == "other" and criterion.matches_raw(entry.line.raw)


# --- Comparação de textos ------------------------------------------------------------------------


def _folded(text: str) -> str:
    """Sem diferença de maiúsculas, de acentos e de espaços."""
    return " ".join(without_accents(text).split())


def _strings(value: Any) -> Iterator[str]:
    """Os textos dentro de um valor JSON, por mais fundo que estejam."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            waiting += [*item, *item.values()]
        elif isinstance(item, list):
            waiting += item


def _unescaped(text: str) -> str:
    """Um pedaço de JSON, talvez cortado, com os escapes desfeitos."""

    def plain(found: re.Match[str]) -> str:
        code = found[1]
        return chr(int(code[1:], 16)) if len(code) == 5 else _PLAIN_ESCAPES.get(code, code)

    pairs = _ESCAPE.sub(plain, text).encode("utf-16", "surrogatepass")
    return pairs.decode("utf-16", "replace")
