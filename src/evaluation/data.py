"""Os dados de uma avaliação: textos corridos, conversas e conjuntos de perguntas.

Ao contrário do treino, aqui nada é cortado nem tirado por ser repetido: mede-se o arquivo inteiro.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from src.evaluation.questions import Question, is_question_file, questions_of, read_questions
from src.utils.documents import Document, LoadReport, render_messages
from src.utils.errors import DataError, NoDataError
from src.utils.file_utils import expand_patterns, load_documents, too_large
from src.utils.numbers import counted

GROUPS = ("texts", "conversations", "questions")


@dataclass
class EvaluationData:
    """O que se vai medir.

    documents, groups: o que se lê, e o grupo de cada um. turns: as respostas pedidas nas conversas.
    questions: as dos conjuntos de perguntas. files: de onde veio.
    """

    documents: list[Document] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    turns: list[Question] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def add(self, document: Document, group: str) -> None:
        """Um documento a ler."""
        self.documents.append(document)
        self.groups.append(group)


def read_data(
    patterns: Sequence[str], max_file_mb: float = 200.0
) -> tuple[EvaluationData, list[str], list[str]]:
    """Lê tudo o que os padrões encontram; nada é cortado, nem tirado por ser repetido.

    Returns:
        (dados, linhas do que deu errado, linhas do que foi lido)

    Erros:
        NoDataError: um padrão não encontra nada, ou não há o que aproveitar.
        DataError: nenhum arquivo pôde ser lido.
    """
    data, warnings, totals = EvaluationData(files=expand_patterns(patterns)), [], list[str]()
    asked = [path for path in data.files if is_question_file(path)]
    for path in asked:
        report = LoadReport()
        found = [] if too_large(path, max_file_mb, report) else read_questions(path, report)
        data.questions += found
        warnings += report.warnings()
        totals += [f"{where}: {what}" for where, what in report.notices]
        totals.append(f"{path}: {counted(len(found), 'pergunta', 'perguntas')}.")
    others = [path for path in data.files if path not in asked]
    if others:
        try:
            documents, report = load_documents(
                others, max_file_mb=max_file_mb, deduplicate=False, segment=False
            )
        except DataError as error:
            if not data.questions:
                raise
            warnings.append(str(error))
        else:
            _add_documents(data, documents)
            warnings += report.warnings()
            totals += report.totals()
    _add_questions(data)
    if data.questions:
        totals.append("As perguntas são respondidas sem consultar documentos.")
    if not (data.documents or data.questions):
        listed = "".join(f"\n  {line}" for line in warnings)
        raise NoDataError(f"--data: nenhuma pergunta aproveitável.{listed}")
    return data, warnings, totals


def _add_documents(data: EvaluationData, documents: Sequence[Document]) -> None:
    for document in documents:
        data.add(document, "texts" if document.messages is None else "conversations")
        data.turns += questions_of(document)


def _add_questions(data: EvaluationData) -> None:
    """A primeira resposta aceita de cada pergunta também se lê, como conversa de uma troca."""
    for question in data.questions:
        if question.references:
            messages = [
                *question.messages,
                {"role": "assistant", "content": question.references[0]},
            ]
            data.add(
                Document(
                    render_messages(messages),
                    question.source,
                    messages=messages,
                    persona=question.persona,
                ),
                "questions",
            )
