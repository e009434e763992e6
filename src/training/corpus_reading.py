"""Leitura em fluxo de corpora grandes: de arquivos a blocos de documentos, sem repetições exatas.

Os documentos passam um a um: nunca há mais que um bloco na memória. O que cresce com o corpus é só
o conjunto dos resumos já vistos, de 16 a 32 bytes por documento (``DigestSet``). Repetições quase
exatas não são procuradas neste tamanho: custaria a comparação que ``src/utils/dedup.py`` faz com
todos os textos à mão.
"""

import hashlib
import json
import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from src.config.personas import PERSONAS, Personas
from src.models.chat_format import Messages, with_persona
from src.training.conditions import Vector, persona_vector
from src.utils.dedup import text_digest
from src.utils.documents import Document, LoadReport
from src.utils.errors import DataError
from src.utils.file_utils import iter_file_documents
from src.utils.numbers import grouped

#: Lidas aos poucos, por isso de qualquer tamanho; as outras são abertas inteiras (max_file_mb).
STREAMED_EXTENSIONS = (".txt", ".jsonl", ".csv")
VALID_CHARS = 2 << 20  # de texto separado para a validação, no máximo
MIN_BLOCK_CHARS = 1 << 20
BLOCK_CHARS_PER_POSITION = 1024  # a uns 4 caracteres por token, 256 linhas por bloco
MAX_LISTED_RECORDS = 1000
_EMPTY = 0
_MASK = (1 << 64) - 1


class DigestSet:
    """Conjunto de inteiros de 64 bits em endereçamento aberto: 8 bytes por casa, metade ocupada.

    Um ``set`` do Python gastaria cerca de cinco vezes mais. Com resumos de 64 bits, dois textos
    diferentes entre 10 milhões são tomados por iguais com probabilidade 3e-6.
    """

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 << 10))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, value: int) -> bool:
        """Acrescenta ``value`` (0 vale como 1) e diz se ele é novo."""
        if 2 * self._count >= len(self._slots):
            self._grow()
        return self._insert((value & _MASK) or 1)

    def _insert(self, value: int) -> bool:
        slots, mask = self._slots, len(self._slots) - 1
        place = value & mask
        while (found := slots[place]) != _EMPTY:
            if found == value:
                return False
            place = (place + 1) & mask
        slots[place] = value
        self._count += 1
        return True

    def _grow(self) -> None:
        old = self._slots
        self._slots, self._count = array("Q", bytes(16 * len(old))), 0
        for value in old:
            if value != _EMPTY:
                self._insert(value)


@dataclass
class CorpusReport(LoadReport):
    """O relato de uma leitura grande: a lista de registros ruins para em ``MAX_LISTED_RECORDS``."""

    unlisted_bad_records: int = 0

    def bad_record(self, source: str, reason: str) -> None:
        """Anota o registro, ou só o conta."""
        if len(self.bad_records) < MAX_LISTED_RECORDS:
            super().bad_record(source, reason)
        else:
            self.unlisted_bad_records += 1

    def warnings(self) -> list[str]:
        """As linhas de ``LoadReport`` e quantos registros ruins não couberam na lista."""
        lines = super().warnings()
        if self.unlisted_bad_records:
            lines.append(
                f"... e ainda {grouped(self.unlisted_bad_records)} registros fora da lista."
            )
        return lines


def read_documents(
    paths: Iterable[Path], report: LoadReport, max_file_mb: float
) -> Iterator[Document]:
    """Os documentos dos arquivos, em fluxo; .txt, .jsonl e .csv podem ter qualquer tamanho.

    Um arquivo que falha é pulado, com o motivo no relato; o que já tinha sido lido dele é usado.
    """
    for path in paths:
        streamed = path.suffix.lower() in STREAMED_EXTENSIONS
        limit = math.inf if streamed else max_file_mb
        read_before, count = len(report.files_read), 0
        try:
            for document in iter_file_documents(path, report=report, max_file_mb=limit):
                count += 1
                yield document
        except DataError as error:
            del report.files_read[read_before:]
            used = f" (os {grouped(count)} documentos antes disso foram usados)" if count else ""
            report.files_skipped.append((str(path), str(error).removeprefix(f"'{path}': ") + used))


@dataclass
class Selection:
    """O que fica no treino: sem repetições, sem o que está na validação.

    Args:
        report: onde contar documentos e repetições.
        fraction: probabilidade de um documento ir para a validação, sorteada pelo conteúdo.
        seed: outra semente, outro sorteio.
        held_out: textos de validação dados à parte; os iguais a eles saem do treino.
    """

    report: LoadReport
    fraction: float = 0.0
    seed: int = 42
    held_out: Sequence[str] = ()
    valid: list[Document] = field(default_factory=list)
    valid_chars: int = 0
    removed: int = 0

    def train_documents(self, documents: Iterable[Document]) -> Iterator[Document]:
        """Os documentos de treino; os separados ficam em ``valid``, até ``VALID_CHARS``."""
        seen, forbidden = DigestSet(), {_number(text_digest(text)) for text in self.held_out}
        for document in documents:
            digest = text_digest(document)
            if _number(digest) in forbidden:
                self.removed += 1
            elif not seen.add(_number(digest)):
                self.report.exact_duplicates += 1
            elif self._is_held_out(document, digest):
                self.valid.append(document)
                self.valid_chars += len(document)
            else:
                self.report.documents += 1
                self.report.conversations += document.messages is not None
                self.report.characters += len(document)
                yield document

    def _is_held_out(self, document: Document, digest: str) -> bool:
        drawn = hashlib.sha256(f"{self.seed}:{digest}".encode()).hexdigest()
        chosen = _number(drawn) < self.fraction * 2**64
        return chosen and self.valid_chars + len(document) <= VALID_CHARS


def _number(digest: str) -> int:
    """Os primeiros 64 bits de um resumo em hexadecimal."""
    return int(digest[:16], 16)


# ---------------------------------------------------------------------- blocos no disco


@dataclass
class Block:
    """Documentos que serão tokenizados e empacotados juntos.

    Textos, e conversas já com o turno de sistema da persona, cada uma com o vetor dela [8].
    """

    plain: list[str] = field(default_factory=list)
    chats: list[tuple[Messages, Vector]] = field(default_factory=list)

    def write(self, path: Path) -> Path:
        """Grava como JSON (temporário: some com a pasta em que o cache é montado)."""
        with open(path, "w", encoding="utf-8", errors="surrogatepass") as stream:
            json.dump([self.plain, self.chats], stream, ensure_ascii=False)
        return path

    @classmethod
    def read(cls, path: str | Path) -> "Block":
        """O que ``write`` gravou."""
        with open(path, encoding="utf-8", errors="surrogatepass") as stream:
            plain, chats = json.load(stream)
        return cls(plain, [(messages, tuple(persona)) for messages, persona in chats])


def block_chars(length: int) -> int:
    """Caracteres por bloco: linhas bastantes para que o empacotamento encaixe bem."""
    return max(MIN_BLOCK_CHARS, BLOCK_CHARS_PER_POSITION * length)


def iter_blocks(
    documents: Iterable[Document], limit: int, report: LoadReport, personas: Personas = PERSONAS
) -> Iterator[Block]:
    """Reúne documentos em blocos de uns ``limit`` caracteres, na ordem."""
    block, size = Block(), 0
    for document in documents:
        if document.messages is None:
            block.plain.append(str(document))
        else:
            if document.persona is not None and document.persona not in personas:
                reason = f"pede a persona '{document.persona}', que não existe, e fica sem persona"
                report.bad_record(document.source, reason)
            messages = with_persona(document.messages, document.persona, personas)
            persona = persona_vector(messages, document.persona, personas)
            block.chats.append((messages, persona))
        size += len(document)
        if size >= limit:
            yield block
            block, size = Block(), 0
    if size:
        yield block
