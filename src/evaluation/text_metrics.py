"""O quanto um texto gerado se parece com o de referência, e o quanto varia.

- BLEU e chrF: sacrebleu (Post, "A Call for Clarity in Reporting BLEU Scores", 2018), de 0 a 100,
  com os padrões da biblioteca e o intervalo por reamostragem dela.
- ROUGE-1, 2 e L: rouge-score, medida F de 0 a 1, com palavras em português (acentos, radicais do
  Snowball) no lugar do corte para o inglês.
- distinct-n: n-gramas diferentes sobre todos os n-gramas gerados (Li et al., "A Diversity-Promoting
  Objective Function for Neural Conversation Models", 2016). Depende do tamanho do conjunto: só
  compare conjuntos com o mesmo número de respostas.
- repetição: 1 - (4-gramas diferentes / 4-gramas) dentro de cada resposta, em média (Welleck et al.,
  "Neural Text Generation with Unlikelihood Training", 2019).
"""

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from src.evaluation.intervals import RESAMPLES, Estimate, mean

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


def bleu(answers: Sequence[str], references: Sequence[str]) -> Estimate:
    """BLEU do conjunto, de 0 a 100."""
    return _corpus_score(_bleu_metric(), answers, references)


def chrf(answers: Sequence[str], references: Sequence[str]) -> Estimate:
    """chrF do conjunto, de 0 a 100: n-gramas de caracteres, mais justo com flexões que o BLEU."""
    return _corpus_score(_chrf_metric(), answers, references)


def _bleu_metric() -> Any:
    from sacrebleu.metrics import BLEU

    return BLEU()


def _chrf_metric() -> Any:
    from sacrebleu.metrics import CHRF

    return CHRF()


def _corpus_score(metric: Any, answers: Sequence[str], references: Sequence[str]) -> Estimate:
    resamples = RESAMPLES if len(answers) > 1 else 1
    found = metric.corpus_score(list(answers), [list(references)], n_bootstrap=resamples)
    if resamples == 1:
        return Estimate(float(found.score))
    # a forma JSON é o que a biblioteca publica do intervalo; falta quando toda amostra dá zero
    values = json.loads(found.format(is_json=True, width=6, signature=str(metric.get_signature())))
    middle, half = values.get("confidence_mean", 0.0), values.get("confidence_var", 0.0)
    return Estimate(float(found.score), max(middle - half, 0.0), min(middle + half, 100.0))


def paired_p_values(
    first: Sequence[str], second: Sequence[str], references: Sequence[str]
) -> dict[str, float]:
    """Para BLEU e chrF, a chance de uma diferença assim sem que os modelos difiram.

    Reamostragem emparelhada de ``sacrebleu.significance``.
    """
    from sacrebleu.significance import PairedTest

    _, scores = PairedTest(
        [("a", list(first)), ("b", list(second))],
        {"bleu": _bleu_metric(), "chrf": _chrf_metric()},
        references=[list(references)],
        test_type="bs",
        n_samples=RESAMPLES,
    )()
    found: dict[str, Any] = scores
    return {name: _p_value(*found[label]) for name, label in _labels(found).items()}


def _p_value(first: Any, second: Any) -> float:
    """O p do segundo; 1 quando as duas medidas são iguais, caso em que a biblioteca dá quase 0."""
    return 1.0 if first.score == second.score else float(second.p_value)


def _labels(scores: dict[str, Any]) -> dict[str, str]:
    """O nome que a biblioteca dá a cada coluna do resultado ("BLEU", "chrF2")."""
    found = {label.lower()[:4]: label for label in scores if label != "System"}
    return {name: found[name] for name in ("bleu", "chrf")}


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
    scores = {"bleu": bleu(answers, references), "chrf": chrf(answers, references)}
    return scores | {name: mean(values) for name, values in rouge(answers, references).items()}


def variety(answers: Sequence[str]) -> dict[str, Any]:
    """distinct-1 e 2, repetição (com intervalo), palavras por resposta e respostas vazias."""
    return {
        "distinct_1": distinct(answers, 1),
        "distinct_2": distinct(answers, 2),
        "repetition": mean([repetition(answer) for answer in answers]).to_dict(),
        "words": float(np.mean([len(words(answer)) for answer in answers])),
        "empty": sum(not answer.strip() for answer in answers),
    }
