"""``Document``, o texto que sabe de onde veio, e ``LoadReport``, o relato de uma leitura."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from src.utils.numbers import counted, grouped

ROLE_LABELS = {"user": "Usuário", "assistant": "Luna", "system": "Sistema"}
_SHOWN = 5  # problemas de cada tipo que o resumo mostra por extenso


class Document(str):
    """Um texto com procedência; é um ``str`` comum em tudo o mais.

    Atributos:
        source (str): o arquivo como foi dado ("notas.txt"), ou arquivo e linha ("falas.jsonl:12"),
            ou arquivo e registro ("dados.json#3").
        file (str): só o arquivo.
        messages (list[dict] | None): as falas de uma conversa, na ordem, cada uma com ``role``
            ("user", "assistant" ou "system") e ``content``; ``None`` em texto puro.
        persona (str | None): o estilo pedido para a conversa.
        metadata (dict): o que mais o registro trazia.
    """

    source: str
    file: str
    messages: list[dict[str, str]] | None
    persona: str | None
    metadata: dict[str, Any]

    def __new__(
        cls,
        text: str,
        source: str = "",
        *,
        file: str | None = None,
        messages: list[dict[str, str]] | None = None,
        persona: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> "Document":
        document = super().__new__(cls, text)
        document.source = source
        document.file = source if file is None else file
        document.messages = messages
        document.persona = persona
        document.metadata = {} if metadata is None else metadata
        return document

    def with_text(self, text: str) -> "Document":
        """Outro texto com a mesma procedência (para cortes; só faz sentido em texto puro)."""
        return Document(
            text, self.source, file=self.file, persona=self.persona, metadata=dict(self.metadata)
        )


def render_messages(messages: Iterable[dict[str, str]]) -> str:
    """As falas como texto legível: "Usuário: ...", "Luna: ...", "Sistema: ...", uma por linha."""
    return "\n".join(f"{ROLE_LABELS[m['role']]}: {m['content']}" for m in messages)


@dataclass
class LoadReport:
    """O que se leu, o que ficou de fora e por quê.

    Os pares são sempre (onde, o quê). ``documents``, ``conversations`` e ``characters`` contam o
    que sobrou depois de tirar as repetições.
    """

    files_read: list[str] = field(default_factory=list)
    files_skipped: list[tuple[str, str]] = field(default_factory=list)
    bad_records: list[tuple[str, str]] = field(default_factory=list)
    notices: list[tuple[str, str]] = field(default_factory=list)
    documents: int = 0
    conversations: int = 0
    exact_duplicates: int = 0
    near_duplicates: int = 0
    characters: int = 0

    def bad_record(self, source: str, reason: str) -> None:
        """Anota um registro que não se aproveitou (ou só em parte)."""
        self.bad_records.append((source, reason))

    def count(self, documents: Iterable[Document]) -> None:
        """Refaz os totais a partir dos documentos que ficaram."""
        self.documents = self.conversations = self.characters = 0
        for document in documents:
            self.documents += 1
            self.conversations += document.messages is not None
            self.characters += len(document)

    def warnings(self) -> list[str]:
        """Uma linha por problema, os primeiros de cada tipo por extenso."""
        return [
            *_listed("Arquivo ignorado", "arquivos ignorados", self.files_skipped),
            *_listed("Registro com problema", "registros com problema", self.bad_records),
        ]

    def totals(self) -> list[str]:
        """As linhas do que deu certo, avisos de interpretação incluídos."""
        conversations = counted(self.conversations, "conversa", "conversas")
        lines = [f"{path}: {text}" for path, text in self.notices[:_SHOWN]]
        if len(self.notices) > _SHOWN:
            lines.append(f"... e mais {len(self.notices) - _SHOWN} avisos de interpretação.")
        lines.append(
            f"{counted(len(self.files_read), 'arquivo lido', 'arquivos lidos')}: "
            f"{counted(self.documents, 'documento', 'documentos')} ({conversations}), "
            f"{counted(self.characters, 'caractere', 'caracteres')}."
        )
        if self.exact_duplicates or self.near_duplicates:
            lines.append(
                "Repetições retiradas: "
                f"{counted(self.exact_duplicates, 'idêntica', 'idênticas')} e "
                f"{counted(self.near_duplicates, 'quase idêntica', 'quase idênticas')}."
            )
        return lines

    def summary(self) -> str:
        """O relato em poucas linhas, com os problemas primeiro."""
        return "\n".join(self.warnings() + self.totals())

    def to_dict(self) -> dict[str, Any]:
        """Todos os campos, prontos para JSON (os pares viram listas)."""
        values = asdict(self)
        for name in ("files_skipped", "bad_records", "notices"):
            values[name] = [list(pair) for pair in values[name]]
        return values


def _listed(singular: str, plural: str, pairs: list[tuple[str, str]]) -> list[str]:
    lines = [f"{singular}: {where}: {reason}" for where, reason in pairs[:_SHOWN]]
    if len(pairs) > _SHOWN:
        lines.append(f"... e mais {grouped(len(pairs) - _SHOWN)} {plural}.")
    return lines
