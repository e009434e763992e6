"""O relato de uma indexação: o que entrou, o que mudou, o que falhou e o que se repete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from src.utils.dedup import NearDuplicates, text_digest
from src.utils.numbers import counted, decimal, grouped

_SHOWN = 5  # problemas de cada tipo que o resumo mostra por extenso
_MAX_CHARS = 100_000_000  # texto guardado para procurar quase repetições


@dataclass
class IngestReport:
    """O que aconteceu com cada arquivo.

    Atributos:
        added, replaced, unchanged: arquivos novos, mudados e iguais.
        removed: arquivos que saem do índice: sumiram do disco (com ``update``) ou ficaram sem
            texto. missing: sumiram do disco, mas continuam no índice.
        failed: pares (arquivo, motivo); o que o índice já tinha deles fica.
        warnings: pares (onde, o quê) do que ficou de fora.
        exact_duplicates, near_duplicates: entre os trechos novos, quantos repetem um anterior.
        near_checked: ``False`` se havia texto demais para procurar quase repetições.
        chunks, characters, pages: o que os arquivos novos e mudados deram.
        seconds: quanto durou.
    """

    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)
    exact_duplicates: int = 0
    near_duplicates: int = 0
    near_checked: bool = True
    chunks: int = 0
    characters: int = 0
    pages: int = 0
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """0 se algo se aproveitou (ou já estava em dia), 1 se nada pôde ser lido."""
        useful = self.added or self.replaced or self.unchanged or self.removed
        return 0 if useful or not (self.failed or self.warnings) else 1

    def lines(self) -> list[str]:
        """O resumo, com os problemas primeiro."""
        return [
            *_listed("Arquivo ignorado", "arquivos ignorados", self.failed),
            *_listed("Aviso", "avisos", self.warnings),
            *self._missing_lines(),
            self._files_line(),
            self._content_line(),
            *self._duplicate_lines(),
        ]

    def _files_line(self) -> str:
        parts = [
            counted(len(self.added), "arquivo novo", "arquivos novos"),
            counted(len(self.replaced), "mudado", "mudados"),
            counted(len(self.unchanged), "igual", "iguais"),
            counted(len(self.removed), "removido", "removidos"),
            counted(len(self.failed), "com falha", "com falha"),
        ]
        return ", ".join(parts) + "."

    def _content_line(self) -> str:
        pages = f", {counted(self.pages, 'página', 'páginas')}" if self.pages else ""
        return (
            f"{counted(self.chunks, 'trecho', 'trechos')}, "
            f"{counted(self.characters, 'caractere', 'caracteres')}{pages}, "
            f"em {decimal(self.seconds, 1)} s."
        )

    def _missing_lines(self) -> list[str]:
        if not self.missing:
            return []
        shown = ", ".join(self.missing[:_SHOWN])
        more = f" e mais {grouped(len(self.missing) - _SHOWN)}" * (len(self.missing) > _SHOWN)
        return [f"Não existem mais, mas continuam no índice: {shown}{more}. Use --update."]

    def _duplicate_lines(self) -> list[str]:
        lines = []
        if self.exact_duplicates or self.near_duplicates:
            lines.append(
                "Trechos repetidos, que foram mantidos: "
                f"{counted(self.exact_duplicates, 'idêntico', 'idênticos')} e "
                f"{counted(self.near_duplicates, 'quase idêntico', 'quase idênticos')}."
            )
        if not self.near_checked:
            lines.append("Havia texto demais para procurar trechos quase idênticos.")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Todos os campos, prontos para JSON (os pares viram listas)."""
        values = asdict(self)
        for name in ("failed", "warnings"):
            values[name] = [list(pair) for pair in values[name]]
        return {**values, "seconds": round(self.seconds, 3), "exit_code": self.exit_code}


def _listed(singular: str, plural: str, pairs: Sequence[tuple[str, str]]) -> list[str]:
    lines = [f"{singular}: {where}: {reason}" for where, reason in pairs[:_SHOWN]]
    if len(pairs) > _SHOWN:
        lines.append(f"... e mais {grouped(len(pairs) - _SHOWN)} {plural}.")
    return lines


class DuplicateCounter:
    """Conta os trechos que repetem outro: os idênticos na hora, os quase idênticos no fim."""

    def __init__(self, max_chars: int = _MAX_CHARS) -> None:
        self._seen: set[bytes] = set()
        self._texts: list[str] = []
        self._room = max_chars
        self.exact = 0

    def add(self, text: str) -> None:
        """Anota um trecho."""
        digest = bytes.fromhex(text_digest(text))[:16]
        if digest in self._seen:
            self.exact += 1
            return
        self._seen.add(digest)
        self._room -= len(text)
        if self._room >= 0:
            self._texts.append(text)
        else:
            self._texts = []

    @property
    def complete(self) -> bool:
        """Se ainda se sabe de todos os textos."""
        return self._room >= 0

    def near(self) -> int:
        """Quantos são quase idênticos a um anterior; 0 se o texto passou do limite."""
        near = NearDuplicates(self._texts)
        dropped: set[int] = set()
        for later, earlier in near.candidates():
            if later not in dropped and earlier not in dropped and near.similar(later, earlier):
                dropped.add(later)
        return len(dropped)
