"""The kernels' random numbers follow their distributions and their streams are independent."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hw.physics.random_numbers import (
    exponential,
    exponential_and_uniform,
    in_disc,
    next_word,
    normal,
    seed_stream,
    uniform,
)
from oracles.emulation import random_state

DRAWS = 20_000


@pytest.mark.parametrize(
    ("draw", "distribution"),
    [(uniform, stats.uniform), (exponential, stats.expon), (normal, stats.norm)],
)
def test_draws_follow_their_distribution(draw, distribution):
    state = random_state(7)
    sample = np.array([draw(state) for _ in range(DRAWS)])
    assert stats.kstest(sample, distribution.cdf).pvalue > 0.001


def test_exponential_and_uniform_of_one_word_are_independent():
    state = random_state(17)
    sample = np.array([exponential_and_uniform(state) for _ in range(200_000)])
    assert stats.kstest(sample[:, 0], stats.expon.cdf).pvalue > 0.001
    assert stats.kstest(sample[:, 1], stats.uniform.cdf).pvalue > 0.001
    assert sample[:, 0].max() > 7.697
    rank = np.floor(-np.expm1(-sample[:, 0]) * 20), np.floor(sample[:, 1] * 20)
    table, *_ = np.histogram2d(*rank, bins=20)
    assert stats.chi2_contingency(table).pvalue > 0.001


def test_normal_tails_beyond_the_ziggurat_are_drawn():
    state = random_state(8)
    sample = np.array([normal(state) for _ in range(200_000)])
    assert np.abs(sample).max() > 3.654
    assert sample.var() == pytest.approx(1.0, abs=0.015)
    beyond_3 = (np.abs(sample) > 3).sum()
    assert beyond_3 == pytest.approx(200_000 * 0.0026998, abs=4 * np.sqrt(540))


def test_exponential_has_no_longest_value_at_the_ziggurats_edge():
    state = random_state(9)
    sample = np.array([exponential(state) for _ in range(200_000)])
    assert sample.max() > 7.697
    assert (sample > 5).sum() == pytest.approx(200_000 * np.exp(-5), abs=4 * np.sqrt(1348))


def test_disc_points_lie_in_the_disc_uniformly():
    state = random_state(10)
    points = np.array([in_disc(state) for _ in range(DRAWS)])
    assert np.allclose(points[:, 2], points[:, 0] ** 2 + points[:, 1] ** 2)
    assert stats.kstest(points[:, 2], stats.uniform.cdf).pvalue > 0.001


def test_streams_of_one_seed_and_seeds_of_one_stream_differ():
    first = []
    for seed, stream in [(1, 0), (1, 1), (2, 0), (2, 1)]:
        state = np.zeros(2, np.uint64)
        seed_stream(state, np.uint64(seed), np.uint64(stream))
        first.append(int(next_word(state)))
    assert len(set(first)) == 4


def test_generator_is_xoroshiro128_plus_plus():
    """Against the authors' C code, retold with Python's whole numbers."""
    mask = 2**64 - 1
    s0, s1 = 0x0123456789ABCDEF, 0xFEDCBA9876543210
    state = np.array([s0, s1], np.uint64)
    for _ in range(100):
        total = (s0 + s1) & mask
        expected = (((total << 17 | total >> 47) & mask) + s0) & mask
        s1 ^= s0
        s0 = ((s0 << 49 | s0 >> 15) & mask) ^ s1 ^ ((s1 << 21) & mask)
        s1 = (s1 << 28 | s1 >> 36) & mask
        assert int(next_word(state)) == expected
