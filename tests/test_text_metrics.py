"""BLEU, chrF, ROUGE e variedade, diante de contas feitas à mão."""

import numpy as np
import pytest

from src.evaluation.intervals import Estimate
from src.evaluation.text_metrics import (
    PortugueseStems,
    bleu,
    chrf,
    distinct,
    repetition,
    rouge,
    similarity,
    variety,
    words,
)

ANSWERS = ["o gato dorme", "a casa é azul", "não sei", "o trem parte às dez"] * 3
REFERENCES = ["o gato dorme no sofá", "a casa era azul", "talvez", "o trem parte cedo"] * 3


def value(score):
    return score.estimate.value


def test_bleu_equals_the_hand_computation():
    """1-gramas 4/5, 2-gramas 2/4, 3-gramas 0/3 e 4-gramas 0/2, suavizados a 1/6 e 1/8."""
    found = bleu(["o gato está no tapete"], ["o gato dorme no tapete"])
    assert value(found) == pytest.approx(100 * (4 / 5 * 2 / 4 / 6 / 8) ** 0.25, rel=1e-6)
    assert found.estimate.low is None  # com uma resposta só não há o que reamostrar


def test_bleu_punishes_short_answers():
    """Todas as precisões são 1; a resposta tem 4 palavras e a referência, 6: exp(1 - 6/4)."""
    found = bleu(["a casa é azul"], ["a casa é azul e grande"])
    assert value(found) == pytest.approx(100 * 2.718281828459045 ** (1 - 6 / 4), rel=1e-6)


def test_chrf_equals_the_hand_computation():
    """'abc' e 'abd': 1-gramas 2/3, 2-gramas 1/2, 3-gramas 0/1; precisão e cobertura são iguais."""
    assert value(chrf(["abc"], ["abd"])) == pytest.approx(100 * (2 / 3 + 1 / 2) / 3, rel=1e-6)


def test_equal_answers_score_the_maximum_and_unrelated_ones_nothing():
    texts = ["a água corre para o mar azul", "o trem parte às dez e meia"]
    same = similarity(texts, texts)
    assert same["bleu"].value == pytest.approx(100) and same["chrf"].value == pytest.approx(100)
    assert all(same[kind].value == 1.0 for kind in ("rouge1", "rouge2", "rougeL"))
    nothing = similarity(["xyz"] * 2, texts)
    assert nothing["rouge1"].value == 0.0 and nothing["chrf"].value < 5


def test_rouge_equals_the_hand_computation():
    """'o menino comeu bolo' diante de 'o menino comeu pão doce'.

    ROUGE-1: 3 palavras em comum, de 4 e de 5. ROUGE-2: 2 pares, de 3 e de 4. ROUGE-L: sequência 3.
    """
    found = rouge(["o menino comeu bolo"], ["o menino comeu pão doce"])
    assert found["rouge1"] == [pytest.approx(2 * 3 / (4 + 5))]
    assert found["rouge2"] == [pytest.approx(2 * 2 / (3 + 4))]
    assert found["rougeL"] == [pytest.approx(2 * 3 / (4 + 5))]


def test_rouge_knows_portuguese_inflections_and_accents():
    assert rouge(["os meninos correram"], ["o menino corria"])["rouge1"] == [pytest.approx(2 / 3)]
    assert PortugueseStems().tokenize("Ação, ações!") == ["açã", "açõ"]  # o que o Snowball dá
    assert words("Não há maçãs: só 3 pães.") == ["não", "há", "maçãs", "só", "3", "pães"]
    assert rouge(["maçã"], ["maca"])["rouge1"] == [0.0]


def test_intervals_contain_the_value_and_are_reproducible():
    first, second = (similarity(ANSWERS, REFERENCES) for _ in range(2))
    for name, found in first.items():
        assert found.low < found.value < found.high
        assert found == second[name]


def test_distinct_counts_different_ngrams_over_all():
    assert distinct(["a b a", "a b"], 1) == 2 / 5
    assert distinct(["a b a", "a b"], 2) == 2 / 3  # (a b), (b a), (a b)
    assert distinct(["", "a"], 2) == 0.0


def test_repetition_is_the_part_already_said():
    assert repetition("um dois três quatro") == 0.0
    assert repetition("eu sei que sim eu sei que sim eu sei que sim") == pytest.approx(1 - 4 / 9)
    assert repetition("curta") == 0.0


def test_variety_counts_empty_answers_and_words():
    found = variety(["", "três palavras aqui", "uma"])
    assert found["empty"] == 1 and found["words"] == pytest.approx(4 / 3)
    assert variety(["", " "])["repetition"] is None  # quem não diz nada não se repete
    again = "eu sei que sim eu sei que sim"
    assert variety(["", again])["repetition"]["value"] == repetition(again) > 0


@pytest.mark.parametrize("measure", [bleu, chrf])
def test_corpus_scores_are_the_ones_of_sacrebleu(measure):
    from sacrebleu.metrics import BLEU, CHRF

    metric = {bleu: BLEU, chrf: CHRF}[measure]()
    for answers in (ANSWERS, ["xyz"] * len(REFERENCES), REFERENCES):
        public = metric.corpus_score(answers, [REFERENCES]).score
        assert value(measure(answers, REFERENCES)) == pytest.approx(public, abs=1e-4)


@pytest.mark.parametrize("measure", [bleu, chrf])
def test_resampling_the_sums_equals_scoring_the_resampled_texts(measure):
    generator = np.random.default_rng(0)
    found = measure(ANSWERS, REFERENCES)
    for _ in range(20):
        chosen = generator.integers(0, len(ANSWERS), len(ANSWERS))
        again = measure([ANSWERS[i] for i in chosen], [REFERENCES[i] for i in chosen])
        assert found.of(chosen) == pytest.approx(value(again), abs=1e-4)


def test_differences_tell_a_clear_gap_from_none():
    references = [f"a resposta certa número {i} é esta aqui mesmo" for i in range(20)]
    wrong = ["nada a ver com isso"] * 20
    for measure in (bleu, chrf):
        right, bad = measure(references, references), measure(wrong, references)
        assert right.minus(bad).excludes_zero and right.minus(bad).low > 50
        assert right.minus(right) == Estimate(0.0, 0.0, 0.0)


def test_some_empty_and_unrelated_answers_are_no_trouble():
    """Um sorteio em que nada casa dá chrF zero, em que a reamostragem do sacrebleu falha."""
    found = similarity(["", "xyz", "o gato"], ["a casa", "qualquer", "o gato"])
    assert found["chrf"].low == 0.0 < found["chrf"].value
