"""Angle words: 0.001° in 26 signed bits, across the crystal and the energy field."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.wire.angle_words import ANGLE_BITS, MOST_DEG, pack_angle_words
from hw.wire.protocol import TIME_MASK, WORD_KINDS, unpack_words
from oracles.angle_words import angle_steps, angles_deg


@settings(deadline=None, derandomize=True)
@given(st.integers(-(2**25) + 1, 2**25 - 1), st.integers(0, TIME_MASK))
def test_angle_and_time_come_back(steps: int, ticks: int) -> None:
    words = pack_angle_words(time_ticks=[ticks], angle_deg=[steps / 1000])
    assert angle_steps(words).tolist() == [steps]
    fields = {name: int(value[0]) for name, value in unpack_words(words).items()}
    code = steps % 2**26  # two's complement, written differently
    assert fields == {
        "kind": WORD_KINDS["angle"], "doi": 0, "flags": 0, "crystal": code // 2**14,
        "energy": code % 2**14, "time": ticks,
    }  # fmt: skip


def test_angles_are_rounded_to_a_thousandth_of_a_degree() -> None:
    words = pack_angle_words(
        time_ticks=0, angle_deg=np.array([1.23449, -1.23449, 0.0004, 359.9996])
    )
    assert angles_deg(words).tolist() == [1.234, -1.234, 0.0, 360.0]


def test_one_time_serves_many_angles() -> None:
    assert len(pack_angle_words(time_ticks=5, angle_deg=np.zeros(9))) == 9


@pytest.mark.parametrize("angle", [MOST_DEG + 0.01, -MOST_DEG - 0.01, np.nan, np.inf])
def test_an_angle_that_does_not_fit_is_refused(angle: float) -> None:
    with pytest.raises(ValueError, match="must be within ±33554"):
        pack_angle_words(time_ticks=0, angle_deg=angle)


@pytest.mark.parametrize("ticks", [-1, TIME_MASK + 1])
def test_a_time_that_does_not_fit_is_refused(ticks: int) -> None:
    with pytest.raises(ValueError, match="angle word: time"):
        pack_angle_words(time_ticks=ticks, angle_deg=0.0)


def test_the_two_fields_make_26_bits() -> None:
    assert ANGLE_BITS == 26
