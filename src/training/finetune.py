"""Ajuste fino sem esquecer: reler parte do que o modelo já sabia, e medir o que ele esqueceu.

Treinado só em dados novos, um modelo perde o que aprendeu nos antigos. Misturar aos novos uma parte
dos antigos (replay) segura boa parte disso, e o quanto segurou se mede: bits por byte em textos
antigos separados da releitura, antes e depois.

Fontes: Robins, "Catastrophic Forgetting, Rehearsal and Pseudorehearsal" (1995); Ibrahim et al.,
"Simple and Scalable Strategies to Continually Pre-train Large Language Models" (2024).
"""

import heapq
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from src.evaluation.likelihood import Likelihood
from src.training.corpus_reading import read_documents
from src.training.examples import Example
from src.utils.dedup import deduplicate, text_digest
from src.utils.documents import Document, LoadReport
from src.utils.errors import NoDataError, UsageError
from src.utils.file_utils import expand_patterns
from src.utils.numbers import decimal

PIECE_CHARACTERS = 20_000  # um livro antigo é sorteado aos pedaços, não inteiro
#: Folga: poucos tokens têm mais caracteres que isto, e o que sobrar não é usado.
CHARACTERS_PER_TOKEN = 8
REPLAY_FRACTION = 0.2
#: Um em cada tantos textos antigos fica fora da releitura, para medir o esquecimento, até o máximo.
HELD_OUT_EVERY, HELD_OUT_CHARACTERS = 10, 200_000


def check_fraction(fraction: float) -> float:
    """Confere a parte que vem dos dados antigos.

    Erros:
        UsageError: não é um número de 0 até antes de 1.
    """
    number = isinstance(fraction, (int, float)) and not isinstance(fraction, bool)
    if not number or not 0 <= fraction < 1:
        raise UsageError(
            f"--replay {fraction!r}: esperado um número de 0 até antes de 1, a parte dos tokens "
            f"que vem dos dados antigos, como {REPLAY_FRACTION}."
        )
    return float(fraction)


def replay_tokens(new_examples: Sequence[Example], fraction: float) -> float:
    """Quantos tokens antigos fazem deles a parte ``fraction`` do total.

    Contam os tokens aprendidos: são eles que pesam na perda.
    """
    fraction = check_fraction(fraction)
    return sum(e.learned for e in new_examples) * fraction / (1 - fraction)


def mix_replay(
    new_examples: Sequence[Example],
    old_examples: Sequence[Example],
    fraction: float = REPLAY_FRACTION,
    seed: int = 0,
) -> list[Example]:
    """Os exemplos novos, todos, mais exemplos antigos sorteados.

    Args:
        fraction: a parte dos tokens aprendidos que vem dos antigos, de 0 até antes de 1; o
            resultado erra por até metade do último exemplo.
        seed: o mesmo sorteio dá a mesma mistura.

    Returns:
        os novos, na ordem, e depois os antigos. Nenhum antigo se repete antes que todos tenham
        entrado.

    Erros:
        UsageError: ``fraction`` não é aceita, ou há o que reler e nenhum exemplo antigo.
    """
    wanted = replay_tokens(new_examples, fraction)
    usable = [example for example in old_examples if example.learned]
    if wanted and not usable:
        raise UsageError(
            f"--replay {fraction}: não há dados antigos para reler. Diga quais são, ou use "
            "--replay 0."
        )
    chosen: list[Example] = []
    taken = 0
    for example in _endless(usable, random.Random(seed)):
        if wanted - taken <= example.learned / 2:
            break
        chosen.append(example)
        taken += example.learned
    return [*new_examples, *chosen]


def _endless(items: Sequence[Example], generator: random.Random) -> Iterator[Example]:
    """``items`` em ordem sorteada, uma passada inteira depois da outra."""
    while items:
        yield from generator.sample(items, len(items))


def sample_texts(texts: Iterable[str], tokens: float, seed: int = 0) -> list[str]:
    """Textos sorteados que bastam para ``tokens`` tokens, para não tokenizar um corpus inteiro.

    Textos corridos longos são sorteados em pedaços de até ``PIECE_CHARACTERS``, cortados em fim de
    linha; conversas e registros ficam inteiros. Os textos passam um a um, e só o que está sorteado
    até ali fica na memória.
    """
    generator, characters = random.Random(seed), tokens * CHARACTERS_PER_TOKEN
    chosen: list[tuple[float, int, str]] = []  # um heap: o de número sorteado maior sai primeiro
    size = 0
    for order, piece in enumerate(_all_pieces(texts)):
        heapq.heappush(chosen, (-generator.random(), order, piece))
        size += len(piece)
        while chosen and size - len(chosen[0][2]) >= characters:
            size -= len(heapq.heappop(chosen)[2])
    return [piece for _, _, piece in sorted(chosen, reverse=True)]


def sample_corpus(
    patterns: Sequence[str], tokens: float, max_file_mb: float, report: LoadReport
) -> list[Document]:
    """``sample_texts`` de arquivos que não cabem na memória, lidos aos poucos; sem repetições.

    Erros:
        NoDataError: um padrão não encontra nada, ou não há texto aproveitável.
    """
    documents = read_documents(expand_patterns(patterns), report, max_file_mb)
    drawn: list[Any] = sample_texts(documents, tokens)
    chosen, *_ = deduplicate(drawn)
    if not chosen:
        raise NoDataError(f"--replay: nenhum texto aproveitável em {', '.join(patterns)}.")
    return chosen


def enough_tokens(new_texts: Sequence[str], fraction: float) -> float:
    """Tokens antigos que bastam, com folga, para reler ``fraction`` e medir o esquecimento."""
    replayed = sum(map(len, new_texts)) * check_fraction(fraction) / (1 - fraction)
    return replayed / 2 + HELD_OUT_EVERY * HELD_OUT_CHARACTERS / CHARACTERS_PER_TOKEN


def hold_out(texts: Iterable[str] | None, seed: int = 0) -> tuple[list[str], list[str]]:
    """Separa textos antigos para medir o esquecimento: (os que se podem reler, os separados).

    Os iguais ficam do mesmo lado. Com menos de ``HELD_OUT_EVERY`` pedaços, ou se nada sobraria para
    reler, nenhum é separado.
    """
    pieces = list(_all_pieces([texts] if isinstance(texts, str) else texts or []))
    apart: set[str] = set()
    size = 0
    for index in random.Random(seed).sample(range(len(pieces)), len(pieces) // HELD_OUT_EVERY):
        if size < HELD_OUT_CHARACTERS:
            apart.add(text_digest(str(pieces[index])))
            size += len(pieces[index])
    sides: tuple[list[str], list[str]] = ([], [])
    for piece in pieces:
        sides[text_digest(str(piece)) in apart].append(piece)
    return sides if sides[0] else (pieces, [])


def _all_pieces(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield from _pieces(text)


def _pieces(text: str) -> Iterator[str]:
    if not isinstance(text, Document) or text.messages is not None:
        yield text
        return
    start = 0
    while start < len(text):
        end = start + PIECE_CHARACTERS
        if end < len(text):
            end = text.rfind("\n", start, end) + 1 or end
        yield text.with_text(text[start:end])
        start = end


@dataclass(frozen=True)
class Forgetting:
    """O que o ajuste fino fez ao que o modelo já sabia.

    before, after: bits por byte em textos antigos. bytes: quantos foram. held_out: se eles ficaram
    fora da releitura; se não (eram poucos para separar), a medida é otimista.
    """

    before: float
    after: float
    bytes: int
    held_out: bool = True

    @classmethod
    def between(cls, before: Likelihood, after: Likelihood, held_out: bool = True) -> "Forgetting":
        """A partir das duas medidas, sobre os mesmos textos.

        Erros:
            ValueError: as medidas são de textos diferentes.
        """
        if before.bytes != after.bytes:
            raise ValueError(f"Medidas de textos diferentes: {before.bytes} e {after.bytes} bytes.")
        return cls(before.bits_per_byte, after.bits_per_byte, before.bytes, held_out)

    @property
    def difference(self) -> float:
        """Bits por byte a mais; positivo é o que se esqueceu."""
        return self.after - self.before

    def line(self) -> str:
        """A linha da tela."""
        shown = round(self.difference, 3) or 0.0  # nunca -0,000
        words = "esqueceu" if shown > 0 else "melhorou também nelas" if shown < 0 else "não mudou"
        sign = "+" if shown > 0 else ""
        read = "" if self.held_out else " (relidas no treino: eram poucas para separar)"
        change = f"{decimal(self.before)} -> {decimal(self.after)} bits por byte"
        return f"Leituras antigas{read}: {change} ({sign}{decimal(shown)}: {words})."

    def to_dict(self) -> dict[str, Any]:
        """Como dicionário, pronto para JSON."""
        return asdict(self) | {"difference": self.difference}
