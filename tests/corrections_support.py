"""Quanto a memória das correções reconhece: a medida dos conjuntos de ``data/eval/correcoes_*``.

O conjunto de teste inteiro, com as mensagens sem relação::

    python -m tests.corrections_support
"""

import json
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from src.chat.corrections_memory import ChatCorrections
from src.config.config import Config
from src.models.feedback_system import FeedbackSystem

DATA = Path(__file__).resolve().parent.parent / "data"
Case = dict[str, Any]


@dataclass
class Measured:
    """O que a memória fez com cada mensagem, e quais ela errou.

    Atributos:
        paraphrases, neighbors, unrelated: quantas. missed: paráfrases sem a correção, ou com a de
        outra pergunta. taken: vizinhas que receberam alguma correção. strange: e as sem relação.
    """

    paraphrases: int = 0
    neighbors: int = 0
    unrelated: int = 0
    missed: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)

    @property
    def recognized(self) -> float:
        """A parte das paráfrases que recebe a sua correção."""
        return 1 - len(self.missed) / self.paraphrases

    @property
    def mistaken(self) -> float:
        """A parte das vizinhas que recebe uma correção."""
        return len(self.taken) / self.neighbors


def read_lines(name: str) -> list[Case]:
    """Os registros de um JSONL de ``data``."""
    text = (DATA / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def unrelated_messages() -> list[str]:
    """Perguntas, conversas e desabafos dos outros conjuntos, que nenhuma correção responde."""
    found = [record["pergunta"] for record in read_lines("valid/perguntas.jsonl")]
    found += [record["pergunta"] for record in read_lines("valid/perguntas_fora.jsonl")]
    for record in read_lines("eval/conversas.jsonl"):
        found += [turn["usuario"] for turn in record["turnos"]]
    for name in ("emocoes_dev", "proatividade_dev"):
        found += [record["texto"] for record in read_lines(f"eval/{name}.jsonl")]
    return found


def corrected(folder: Path, cases: Iterable[Case]) -> ChatCorrections:
    """A memória de quem corrigiu a resposta a cada pergunta."""
    config = Config(feedback={"path": str(folder / "feedback.jsonl")})
    system = FeedbackSystem(config, sync=False)
    for case in cases:
        system.add_feedback(case["pergunta"], "Não sei.", 1, correction=case["correcao"])
    return ChatCorrections(config, "m", lambda: system)


def measure(folder: Path, cases: list[Case], unrelated: Iterable[str] = ()) -> Measured:
    """Guarda todas as correções e faz, a cada uma, as perguntas das outras também."""
    memory, result = corrected(folder, cases), Measured()
    for case in cases:
        for text in case["parafrases"]:
            result.paraphrases += 1
            found = memory.find(text)
            if found is None or found.text != case["correcao"]:
                result.missed.append(f"{text} | {case['pergunta']}{' (outra)' if found else ''}")
        for text in case["vizinhas"]:
            result.neighbors += 1
            found = memory.find(text)
            if found is not None:
                result.taken.append(f"{text} | {found.prompt}")
    for text in unrelated:
        result.unrelated += 1
        found = memory.find(text)
        if found is not None:
            result.strange.append(f"{text} | {found.prompt}")
    return result


def main() -> None:
    """Mede o conjunto de teste e mostra as figuras e os erros."""
    cases = read_lines("eval/correcoes_teste.jsonl")
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), cases, unrelated_messages())
    for name, count, wrong in (
        ("paráfrases não reconhecidas", found.paraphrases, found.missed),
        ("vizinhas tomadas pela corrigida", found.neighbors, found.taken),
        ("sem relação, com alguma correção", found.unrelated, found.strange),
    ):
        print(f"{name}: {len(wrong)} de {count}")
        for line in wrong:
            print(f"    {line}")


if __name__ == "__main__":
    main()
