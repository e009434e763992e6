"""O que um refinamento lê além das avaliações: o texto a reler e o texto em que se prova."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src.config.personas import Personas
from src.evaluation.likelihood import Encoded, UnitScores, score
from src.evaluation.subject import LunaSubject
from src.models.chat_format import with_persona
from src.models.tokenizer import LunaTokenizer
from src.training.corpus_reading import CorpusReport
from src.training.finetune import hold_out, sample_corpus
from src.training.records import remembered_data
from src.utils.bundled import bundled_data
from src.utils.documents import Document
from src.utils.errors import DataError, NoDataError

logger = logging.getLogger(__name__)

REPLAY_TOKENS, PROOF_TOKENS = 300_000, 40_000
MIN_PROOF_UNITS = 8  # trechos; com menos, o intervalo não diria nada


@dataclass(frozen=True)
class RefineTexts:
    """replay: a reler. proof: em que se mede o texto, fora do treino. source: de onde ele veio."""

    replay: list[Any]
    proof: list[Any]
    source: str


def read_texts(folder: Path, max_file_mb: float, seed: int) -> RefineTexts:
    """Os textos de que o modelo de ``folder`` veio; se não se sabe, os que vêm junto.

    Sem dados de validação, uma parte dos de treino fica fora da releitura.

    Erros:
        NoDataError: nem uns nem outros existem.
    """
    train, valid = remembered_data(folder)
    if train:
        try:
            return _read(train, valid, max_file_mb, seed)
        except (NoDataError, DataError) as error:
            logger.warning(
                "Os dados de treino de '%s' não estão mais onde estavam (%s); uso os de exemplo.",
                folder.name,
                error,
            )
    bundled = bundled_data()
    return _read([str(bundled / "train")], [str(bundled / "valid" / "*.txt")], max_file_mb, seed)


def _read(train: list[str], valid: list[str], max_file_mb: float, seed: int) -> RefineTexts:
    replay = sample_corpus(train, REPLAY_TOKENS, max_file_mb, CorpusReport())
    if valid:
        proof: list[Any] = sample_corpus(valid, PROOF_TOKENS, max_file_mb, CorpusReport())
        return RefineTexts(replay, proof, _listed(valid))
    kept, apart = hold_out(replay, seed)
    source = _listed(train)
    if not apart:  # poucos demais para separar: mede-se no que se relê, e a medida é otimista
        return RefineTexts(kept, kept, f"{source} (também relido: eram poucos para separar)")
    return RefineTexts(kept, apart, f"{source} (parte fora da releitura)")


def _listed(patterns: Sequence[str]) -> str:
    names = [Path(pattern).name for pattern in patterns]
    return ", ".join(names[:3]) + (f" e mais {len(names) - 3}" if len(names) > 3 else "")


class TextProof:
    """Mede bits por trecho de um texto, com o modelo como está: [U] (``UnitScores.bits``).

    Os trechos pares ajustam a força do refinamento e os ímpares o provam.
    """

    def __init__(
        self, texts: Sequence[Any], tokenizer: LunaTokenizer, model: Any, personas: Personas
    ) -> None:
        self.subject = LunaSubject("", Path(), model, tokenizer)
        self.documents = [self._encoded(text, personas) for text in texts]

    def _encoded(self, text: Any, personas: Personas) -> Encoded:
        if isinstance(text, Document) and text.messages is not None:
            return self.subject.conversation(with_persona(text.messages, text.persona, personas))
        return self.subject.text(str(text))

    def measure(self, model: Any) -> UnitScores:
        """A informação de cada trecho."""
        subject = self.subject
        window = subject.context
        nats = score(
            model, self.documents, window, max(1, window // 2), subject.vocab_size, subject.device
        )
        return UnitScores.collect(self.documents, nats)


def tuning_half(units: UnitScores) -> np.ndarray:
    """Os bits dos trechos que ajustam a força: [U / 2]."""
    return units.bits[0::2]


def proving_half(units: UnitScores) -> UnitScores:
    """Os trechos da prova."""
    return UnitScores(units.nats[1::2], units.tokens[1::2], units.bytes[1::2])
