"""Intervalos por reamostragem, diante do que a estatística prevê."""

import numpy as np
import pytest

from src.evaluation import intervals
from src.evaluation.intervals import Estimate


def test_interval_of_a_mean_is_the_one_of_the_normal():
    values = np.random.default_rng(1).normal(10, 2, 400)
    found = intervals.mean(values)
    half = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    generator, hits = np.random.default_rng(2), 0
    for _ in range(60):
        found = intervals.mean(generator.normal(0, 1, 40))
        hits += found.low <= 0 <= found.high
    assert 50 <= hits <= 60  # 57 esperados


def test_proportion_of_a_few_hits_is_not_certainty():
    """Wilson, à mão: com 2 de 2, o limite de baixo é 2 / (2 + 1,96²)."""
    found = intervals.proportion([1.0, 1.0])
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(2 / (2 + 1.959964**2), abs=1e-5)
    none = intervals.proportion([0.0] * 5)
    assert none.low == 0.0 and none.high == pytest.approx(1.959964**2 / (5 + 1.959964**2), abs=1e-5)


def test_ratio_weighs_units_by_their_size():
    found = intervals.ratio([10, 300], [10, 100])
    assert found.value == 310 / 110
    assert 1.0 <= found.low < found.value < found.high <= 3.0


def test_pairing_sees_a_small_steady_difference_that_the_noise_hides():
    noise = np.random.default_rng(3).normal(5, 3, 100)
    other = noise + 0.05 + np.random.default_rng(4).normal(0, 0.02, 100)
    ones = np.ones(100)
    apart = [intervals.mean(noise), intervals.mean(other)]
    assert apart[0].high > apart[1].low  # cada um por si, não se distinguem
    assert intervals.mean_difference(other, noise).excludes_zero
    assert intervals.ratio_difference(other, noise, ones).excludes_zero
    assert not intervals.mean_difference(noise, noise).excludes_zero


def test_a_single_unit_and_equal_units_have_no_spread():
    assert intervals.mean([3.0]) == Estimate(3.0)
    assert intervals.mean([3.0, 3.0]) == Estimate(3.0, 3.0, 3.0)
    assert not Estimate(3.0).excludes_zero


def test_the_same_data_give_the_same_interval():
    values = np.random.default_rng(5).random(50)
    assert intervals.mean(values) == intervals.mean(values)


def test_by_index_is_the_same_interval_for_a_mean():
    values = np.random.default_rng(6).random(30)
    found = intervals.by_index(30, lambda chosen: float(values[chosen].mean()))
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx(
        (intervals.mean(values).low, intervals.mean(values).high)
    )
    assert intervals.by_index(1, lambda chosen: 7.0) == Estimate(7.0)
