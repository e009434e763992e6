"""A prova: comparações, partes, intervalos, e o que ela recusa."""

import random

import numpy as np
import pytest

from src.models.feedback_samples import TrainingSample
from src.training.gate import (
    COIN,
    Scored,
    chained,
    comparisons,
    measure_preference,
    split_folds,
    text_change,
)


def sample(prompt, kind="desirable"):
    chosen = None if kind == "undesirable" else "boa"
    rejected = None if kind == "desirable" else "ruim"
    return TrainingSample(prompt, chosen, rejected, 1.0, None, (), (prompt,), None)


def test_each_comparison_is_within_its_part():
    scored = [Scored(0, 2.0, None), Scored(0, None, 1.0), Scored(1, None, 9.0), Scored(1, 3.0, 1.0)]
    wins, gaps = comparisons(scored)
    assert wins == [1.0, 1.0, None, 1.0]
    assert gaps == [1.0, 1.0, None, 2.0]


def test_the_accuracy_of_single_ratings_is_the_area_under_the_curve():
    from sklearn.metrics import roc_auc_score

    generator = np.random.default_rng(3)
    good, bad = generator.normal(0.5, 1, 7), generator.normal(0, 1, 5)
    scored = [Scored(0, float(r), None) for r in good] + [Scored(0, None, float(r)) for r in bad]
    wins, _ = comparisons(scored)
    expected = roc_auc_score([1] * 7 + [0] * 5, np.concatenate([good, bad]))
    assert np.mean(wins[:7]) == pytest.approx(expected)
    assert np.mean(wins[7:]) == pytest.approx(expected)


def test_a_tie_is_half_a_win():
    assert comparisons([Scored(0, 1.0, 1.0)])[0] == [0.5]


def test_three_right_in_three_prove_nothing():
    few = measure_preference([Scored(fold, 1.0, 0.0) for fold in range(3)])
    assert few is not None and few.accuracy.value == 1.0 and not few.proven
    many = measure_preference([Scored(fold % 4, 1.0, 0.0) for fold in range(12)])
    assert many is not None and many.proven


def test_without_two_sides_there_is_nothing_to_measure():
    assert measure_preference([Scored(0, 1.0, None), Scored(1, None, 1.0)]) is None


def test_ratings_at_random_are_almost_never_proven(monkeypatch):
    monkeypatch.setattr("src.evaluation.intervals.RESAMPLES", 200)
    generator = random.Random(11)
    proven = 0
    for _ in range(20):
        scored = [
            (Scored(i % 4, generator.gauss(0, 1), None) if generator.random() < 0.5 else None)
            or Scored(i % 4, None, generator.gauss(0, 1))
            for i in range(24)
        ]
        found = measure_preference(scored)
        proven += found is not None and found.proven
    assert proven <= 2  # de 20; um intervalo de 95 % erra para este lado em 1 de 40


def test_two_links_prove_less_than_each():
    sure = measure_preference([Scored(i % 4, 1.0, float(i % 5 == 0) * 2) for i in range(40)])
    assert sure is not None and sure.proven
    both = chained(sure, sure)
    assert COIN < both.accuracy.value < sure.accuracy.value
    assert both.accuracy.low < sure.accuracy.low
    coin = measure_preference([Scored(i % 4, float(i % 2), 0.5) for i in range(40)])
    assert not chained(sure, coin).proven and not chained(coin, sure).proven


def test_the_same_question_stays_in_one_part_and_kinds_are_spread():
    samples = [sample(f"pergunta {i}", "desirable") for i in range(12)]
    samples += [sample(f"outra {i}", "undesirable") for i in range(8)]
    samples += [sample("Repetida?", "paired"), sample("repetida? ", "paired")]
    folds = split_folds(samples, seed=1)
    assert folds[-1] == folds[-2]
    for fold in range(4):
        kinds = [s.kind for s, place in zip(samples, folds) if place == fold]
        assert kinds.count("desirable") == 3 and kinds.count("undesirable") == 2


def test_the_text_change_is_a_fraction_of_the_bits():
    before = np.array([100.0, 200.0, 300.0])
    change = text_change(before, before * 1.02)
    assert change.value == pytest.approx(0.02)
    assert change.low == pytest.approx(0.02) and change.high == pytest.approx(0.02)
