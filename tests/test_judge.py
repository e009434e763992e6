"""O juiz: separa gostos simples com quarenta notas, e diz quais são."""

import random

import numpy as np
import pytest

from src.config.personas import PERSONAS
from src.training.judge import ALPHA, Judge, tokens

WORDS = "a água corre devagar até o mar e a chuva cai sobre o campo verde da serra".split()


def answers(seed, count=60):
    generator = random.Random(seed)
    texts = [" ".join(generator.choices(WORDS, k=generator.randint(3, 25))) for _ in range(count)]
    return [f"Recomendo ao senhor: {t}" if i % 3 == 0 else f"{t}, tá?" for i, t in enumerate(texts)]


def right(judge, taste, texts):
    pairs = [(a, b) for a in texts for b in texts if taste(a) > taste(b)]
    return float(np.mean([judge([a])[0] > judge([b])[0] for a, b in pairs[::17]]))


TASTES = {
    "curtas": lambda text: -1.0 if len(text.split()) > 14 else 1.0,
    "formal": lambda text: 1.0 if "senhor" in text else -1.0,
}


@pytest.mark.parametrize("name", TASTES)
def test_a_simple_taste_is_learned_from_forty_ratings(name):
    taste, rated = TASTES[name], answers(1, 40)
    judge = Judge(answers(2), PERSONAS).fit(rated, [taste(t) for t in rated], [1.0] * 40)
    assert right(judge, taste, answers(3)) > 0.9


def test_it_says_what_the_person_likes():
    rated = answers(1, 40)
    judge = Judge(answers(2), PERSONAS).fit(rated, [TASTES["curtas"](t) for t in rated], [1.0] * 40)
    assert judge.traits(answers(3))[0].text == "respostas mais curtas"
    judge.fit(rated, [TASTES["formal"](t) for t in rated], [1.0] * 40)
    weights = {trait.text: trait.weight for trait in judge.traits(answers(3))}
    assert weights["expressões da persona formal"] > 0
    assert weights.get("expressões da persona casual", -1) < 0


def test_the_fit_is_the_weighted_ridge_regression():
    rated = answers(4, 12)
    target = np.random.default_rng(0).normal(size=12)
    weight = np.linspace(0.2, 1.0, 12)
    judge = Judge(answers(2), PERSONAS).fit(rated, target, weight)
    rows, scaled = judge.features(rated), weight / weight.mean()
    left = rows.T @ (scaled[:, None] * rows) + ALPHA * np.eye(rows.shape[1])
    slow = np.linalg.solve(left, rows.T @ (scaled * (target - np.average(target, weights=scaled))))
    assert np.allclose(judge.coefficients, slow)


def test_words_are_stems_numbers_and_marks():
    assert tokens("gatos 25 dormiram!") == tokens("gato 7 dormindo!")
    assert tokens("gatos 25 dormiram!")[1] == "#"
