"""The bias and the hits: no light is seen below breakdown, and the gain follows the overvoltage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.detector.bias import SLACK_MV, gain_at, with_gain
from hw.machines.emulated_bias import BIAS_MV, BREAKDOWN_MV, OVERVOLTAGE_MV, overvoltage_mV
from hw.wire.protocol import (
    ENERGY_MASK,
    KIND_SHIFT,
    KIND_SINGLE,
    WORD_KINDS,
    pack_words,
    unpack_words,
)


def test_it_is_counted_from_the_breakdown_of_the_day():
    at = {"breakdown_mV": BREAKDOWN_MV}
    assert overvoltage_mV(BIAS_MV, temperature_cC=2500, **at) == OVERVOLTAGE_MV
    assert overvoltage_mV(BIAS_MV, temperature_cC=3500, **at) == OVERVOLTAGE_MV - 220
    assert overvoltage_mV(BIAS_MV + 220, temperature_cC=3500, **at) == OVERVOLTAGE_MV
    assert overvoltage_mV(0, temperature_cC=2500, **at) == -BREAKDOWN_MV


@pytest.mark.parametrize(
    ("overvoltage", "gain"),
    [(-53_000, 0), (0, 0), (1, 1 / 3500), (1750, 0.5), (3500, 1), (3500 - SLACK_MV, 1),
     (3500 + SLACK_MV, 1), (4200, 1.2)],
)  # fmt: skip
def test_the_gain_is_proportional_to_it(overvoltage, gain):
    assert gain_at(overvoltage) == pytest.approx(gain)


@given(
    st.lists(st.integers(0, ENERGY_MASK), min_size=1, max_size=20),
    st.floats(0.001, 3.0, allow_nan=False),
)
def test_the_energy_alone_changes_and_never_wraps(energies, gain):
    count = len(energies)
    words = pack_words(
        time_ticks=np.arange(count) * 1000, crystal=np.arange(count), energy_dkeV=energies
    )
    before, after = unpack_words(words), unpack_words(with_gain(words, gain))
    for name in set(before) - {"energy"}:
        assert np.array_equal(after[name], before[name])
    wanted = [min(ENERGY_MASK, np.rint(energy * gain)) for energy in energies]
    assert after["energy"].tolist() == wanted


def test_words_that_are_no_hits_stay():
    angle = np.array([WORD_KINDS["angle"] << KIND_SHIFT | 12345], np.uint64)
    hit = pack_words(time_ticks=[5], crystal=[7], energy_dkeV=[5110])
    assert with_gain(np.concatenate([angle, hit]), 0.0).tolist() == angle.tolist()
    assert with_gain(np.concatenate([angle, hit]), 0.5)[0] == angle[0]
    assert unpack_words(hit)["kind"][0] == KIND_SINGLE
