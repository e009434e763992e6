"""O quanto um texto gerado se parece com o de referência, e o quanto varia.

- BLEU e chrF: sacrebleu (Post, "A Call for Clarity in Reporting BLEU Scores", 2018), de 0 a 100,
  com os padrões da biblioteca.
- ROUGE-1, 2 e L: rouge-score, medida F de 0 a 1, com palavras em português (acentos, radicais do
  Snowball) no lugar do corte para o inglês.
- distinct-n: n-gramas diferentes sobre todos os n-gramas gerados (Li et al., "A Diversity-Promoting
  Objective Function for Neural Conversation Models", 2016). Depende do tamanho do conjunto: só
  compare conjuntos com o mesmo número de respostas.
- repetição: 1 - (4-gramas diferentes / 4-gramas) dentro de cada resposta, em média (Welleck et al.,
  "Neural Text Generation with Unlikelihood Training", 2019).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from src.evaluation import intervals
from src.evaluation.intervals import Estimate, mean

REPETITION_ORDER = 4
ROUGE_TYPES = ("rouge1", "rouge2", "rougeL")
_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """As palavras e números, em minúsculas, com acentos."""
    return _WORD.findall(text.lower())


class PortugueseStems:
    """O corte em radicais que ``rouge_score`` usa no lugar do seu, feito para o inglês."""

    def __init__(self) -> None:
        from nltk.stem.snowball import PortugueseStemmer

        self.stem = lru_cache(maxsize=50_000)(PortugueseStemmer().stem)

    def tokenize(self, text: str) -> list[str]:
        """Os radicais das palavras de ``text``."""
        return [self.stem(word) for word in words(text)]


# ---------------------------------------------------------------------- parecença


@dataclass(frozen=True)
class CorpusScore:
    """Uma medida do conjunto todo, de 0 a 100, função de contagens que se somam por resposta.

    counts: [n, k]. score: a medida das contagens somadas [k].
    """

    counts: np.ndarray
    score: Callable[[np.ndarray], float]

    def of(self, chosen: np.ndarray) -> float:
        """A medida das respostas de índices ``chosen``, com repetição."""
        return self.score(self.counts[chosen].sum(axis=0))

    @property
    def estimate(self) -> Estimate:
        """O valor e o intervalo."""
        return intervals.by_index(len(self.counts), self.of)

    def minus(self, other: "CorpusScore") -> Estimate:
        """A diferença para outro modelo, que respondeu às mesmas perguntas."""
        return intervals.by_index(len(self.counts), lambda i: self.of(i) - other.of(i))


def bleu(answers: Sequence[str], references: Sequence[str]) -> CorpusScore:
    """BLEU do conjunto, de 0 a 100."""
    from sacrebleu.metrics import BLEU

    return _corpus_score(BLEU(), answers, references)


def chrf(answers: Sequence[str], references: Sequence[str]) -> CorpusScore:
    """chrF do conjunto, de 0 a 100: n-gramas de caracteres, mais justo com flexões que o BLEU."""
    from sacrebleu.metrics import CHRF

    return _corpus_score(CHRF(), answers, references)


def _corpus_score(metric: Any, answers: Sequence[str], references: Sequence[str]) -> CorpusScore:
    """As contagens vêm de métodos internos do sacrebleu, os mesmos da reamostragem dele.

    Aquela falha no chrF quando um sorteio dá zero (2.6.0); daí a nossa. Um teste compara o valor
    com o da função pública.
    """
    counts = metric._extract_corpus_statistics(list(answers), [list(references)])
    return CorpusScore(
        np.asarray(counts),
        lambda sums: float(metric._compute_score_from_stats(sums.tolist()).score),
    )


def rouge(answers: Sequence[str], references: Sequence[str]) -> dict[str, list[float]]:
    """A medida F de cada resposta, de 0 a 1, para ``rouge1``, ``rouge2`` e ``rougeL``."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(list(ROUGE_TYPES), tokenizer=PortugueseStems())
    found = [scorer.score(reference, answer) for answer, reference in zip(answers, references)]
    return {kind: [float(item[kind].fmeasure) for item in found] for kind in ROUGE_TYPES}


# ---------------------------------------------------------------------- variedade


def _ngrams(text: str, order: int) -> list[tuple[str, ...]]:
    found = words(text)
    return [tuple(found[i : i + order]) for i in range(len(found) - order + 1)]


def distinct(answers: Sequence[str], order: int) -> float:
    """n-gramas diferentes sobre o total, de 0 a 1; 0 quando não há nenhum."""
    grams = [gram for answer in answers for gram in _ngrams(answer, order)]
    return len(set(grams)) / len(grams) if grams else 0.0


def repetition(answer: str, order: int = REPETITION_ORDER) -> float:
    """Parte dos n-gramas da resposta que já tinha aparecido nela, de 0 a 1."""
    grams = _ngrams(answer, order)
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


# ---------------------------------------------------------------------- tudo junto


def similarity(answers: Sequence[str], references: Sequence[str]) -> dict[str, Estimate]:
    """BLEU, chrF e ROUGE, com intervalos."""
    scores = {
        "bleu": bleu(answers, references).estimate,
        "chrf": chrf(answers, references).estimate,
    }
    return scores | {name: mean(values) for name, values in rouge(answers, references).items()}


def variety(answers: Sequence[str]) -> dict[str, Any]:
    """distinct-1 e 2, repetição (com intervalo), palavras por resposta e respostas vazias.

    A repetição é das respostas que dizem algo; ``None`` se nenhuma diz.
    """
    said = [answer for answer in answers if answer.strip()]
    return {
        "distinct_1": distinct(answers, 1),
        "distinct_2": distinct(answers, 2),
        "repetition": mean([repetition(answer) for answer in said]).to_dict() if said else None,
        "words": float(np.mean([len(words(answer)) for answer in answers])),
        "empty": len(answers) - len(said),
    }
