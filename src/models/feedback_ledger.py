"""O estado das avaliações: o que as linhas, lidas na ordem, deixam valendo.

Uma avaliação vale se não foi desfeita (``retract``) nem trocada por outra (``replaces``). Desfazer
a que trocou faz a trocada valer de novo; numa corrente de trocas, vale só a última que ficou.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone

from src.models.feedback_records import Record, loaded_record, moment
from src.models.feedback_store import Line, Value, encode_line
from src.utils.errors import UsageError

EVENTS = ("retract", "processed")
_ID_CHARS = 32


@dataclass(frozen=True)
class Entry:
    """Uma linha entendida.

    Atributos:
        kind: "feedback", "retract", "processed", "other" (de uma versão mais nova) ou "damaged".
        id: a identidade; derivada dos bytes quando a linha não a diz.
        record: a avaliação, ou o acontecimento como veio.
    """

    line: Line
    kind: str
    id: str
    record: Record

    @property
    def raw(self) -> bytes:
        """A linha como se regrava: igual, mas com a identidade que ganhou."""
        value = self.line.value
        if value is None or value.get("id") == self.id or self.kind == "other":
            return self.line.raw.rstrip(b"\r\n") + b"\n"
        return encode_line({**value, "id": self.id})


@dataclass
class Ledger:
    """As linhas e o que resulta delas.

    Atributos:
        records: id -> avaliação, na ordem das linhas, valha ou não.
        processed: os ids já usados num refinamento. retracted, covered: os que não valem.
    """

    entries: list[Entry] = field(default_factory=list)
    records: dict[str, Record] = field(default_factory=dict)
    retracted: set[str] = field(default_factory=set)
    processed: set[str] = field(default_factory=set)
    covered: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def is_active(self, identity: str) -> bool:
        """Se a avaliação ainda vale."""
        return (
            identity in self.records
            and identity not in self.retracted
            and identity not in self.covered
        )

    def active(self) -> list[Record]:
        """As que valem, da mais antiga à mais nova; sem hora conta como a mais antiga."""
        return oldest_first(self.records[name] for name in self.records if self.is_active(name))

    def damaged(self) -> list[Line]:
        """As linhas que não se leem."""
        return [entry.line for entry in self.entries if entry.kind == "damaged"]

    def versions(self, identities: set[str]) -> set[str]:
        """``identities`` e as avaliações que elas trocaram, ou que as trocaram."""
        return self._reach(identities, both=True)

    def replaced_by(self, identities: set[str]) -> set[str]:
        """``identities`` e as avaliações que elas trocaram."""
        return self._reach(identities, both=False)

    def _reach(self, identities: set[str], both: bool) -> set[str]:
        links: dict[str, list[str]] = {}
        for name, record in self.records.items():
            if (older := record.get("replaces")) in self.records:
                links.setdefault(name, []).append(older)
                if both:
                    links.setdefault(older, []).append(name)
        found, waiting = set(identities), list(identities)
        while waiting:
            for name in links.get(waiting.pop(), ()):
                if name not in found:
                    found.add(name)
                    waiting.append(name)
        return found


def oldest_first(records: Iterable[Record]) -> list[Record]:
    """Da mais antiga à mais nova; as sem hora antes, e no empate a ordem em que vieram."""
    never = datetime.min.replace(tzinfo=timezone.utc)
    return sorted(records, key=lambda record: moment(record.get("timestamp")) or never)


def build_ledger(lines: Iterable[Line]) -> Ledger:
    """Lê as linhas de um arquivo, na ordem."""
    ledger, names = Ledger(), _Names()
    for line in lines:
        entry, problem = _understand(line, names)
        if problem:
            ledger.problems.append(problem)
        if entry.kind == "feedback" and entry.id in ledger.records:
            continue  # a mesma linha, repetida
        ledger.entries.append(entry)
        _apply(ledger, entry)
    _cover(ledger)
    return ledger


def merged(older: Ledger, newer: Ledger) -> Ledger:
    """Os dois como um só; o que uma queda deixou nos dois conta como do mais novo."""
    ledger = Ledger(problems=newer.problems + older.problems)
    repeated = {entry.id for entry in newer.entries if entry.id}
    ledger.entries = [entry for entry in older.entries if entry.id not in repeated]
    ledger.entries += newer.entries
    for entry in ledger.entries:
        _apply(ledger, entry)
    _cover(ledger)
    return ledger


def _apply(ledger: Ledger, entry: Entry) -> None:
    if entry.kind == "feedback":
        ledger.records[entry.id] = entry.record
    elif entry.kind == "retract":
        ledger.retracted.add(str(entry.record.get("target")))
    elif entry.kind == "processed":
        ledger.processed.update(event_targets(entry.record))


def event_targets(record: Record) -> list[str]:
    """As avaliações de que um acontecimento fala."""
    found = record.get("targets", record.get("target"))
    return [str(item) for item in (found if isinstance(found, list) else [found])]


def _cover(ledger: Ledger) -> None:
    """Marca as trocadas, de trás para a frente: só quem veio depois troca quem veio antes."""
    later: set[str] = set()
    for name in reversed(list(ledger.records)):
        later.add(name)
        older = ledger.records[name].get("replaces")
        counts = name not in ledger.retracted or name in ledger.covered
        if older in ledger.records and older not in later and counts:
            ledger.covered.add(older)


def _understand(line: Line, names: "_Names") -> tuple[Entry, str]:
    """A linha entendida e o que houve com ela (``""``: nada)."""
    if line.value is None:
        return Entry(line, "damaged", "", {}), line.problem
    kind = line.value.get("type", "feedback")
    if kind in EVENTS:
        return Entry(line, kind, names.identify(line.raw, line.value), line.value), ""
    if kind != "feedback":
        return Entry(line, "other", "", line.value), ""
    try:
        record, ignored = loaded_record(line.value)
    except UsageError as error:
        broken = Line(line.file, line.number, line.raw, None, str(error).rstrip("."))
        return Entry(broken, "damaged", "", {}), broken.problem
    record["id"] = names.identify(line.raw, line.value)
    problem = f"{line.file}, linha {line.number}: {ignored}." if ignored else ""
    return Entry(line, "feedback", record["id"], record), problem


class _Names:
    """Os ids de um arquivo: o que a linha diz ou, se falta ou já é de outra, o que os bytes dão."""

    def __init__(self) -> None:
        self._owners: dict[str, bytes] = {}  # id -> a linha que o tem
        self._repeats: dict[bytes, int] = {}  # linhas iguais e sem id são avaliações diferentes

    def identify(self, raw: bytes, value: Value) -> str:
        """O id de uma linha."""
        raw, given = raw.strip(), value.get("id")
        if isinstance(given, (str, int)) and not isinstance(given, bool) and str(given):
            if self._owners.setdefault(str(given), raw) == raw:
                return str(given)
        while True:
            repeat = self._repeats[raw] = self._repeats.get(raw, -1) + 1
            salt = b"\n%d" % repeat if repeat else b""
            identity = hashlib.sha256(raw + salt).hexdigest()[:_ID_CHARS]
            if self._owners.setdefault(identity, raw + salt) == raw + salt:
                return identity
