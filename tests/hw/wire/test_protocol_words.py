"""Event words and ticks: every value comes back, nothing spills, time is exact to the tick."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hw.wire import protocol
from hw.wire.protocol import pack_words, ps_to_ticks, ticks_to_ps, unpack_words

# The layout as docs/protocol.md states it, written down here a second time on purpose.
BITS = {"kind": 3, "doi": 3, "flags": 2, "crystal": 12, "energy": 14, "time": 30}
TICK_PS = Fraction(5000, 256)
DAY_PS = 86_400 * 10**12

kinds = st.integers(0, 7)
fields = st.fixed_dictionaries(
    {name: st.integers(0, 2**bits - 1) for name, bits in BITS.items() if name != "kind"}
)


def packed(kind: int, values: list[dict[str, int]]) -> np.ndarray:
    """Pack a list of words of one kind."""
    columns = {name: [word[name] for word in values] for name in BITS if name != "kind"}
    return pack_words(
        time_ticks=columns["time"],
        crystal=columns["crystal"],
        energy_dkeV=columns["energy"],
        doi=columns["doi"],
        flags=columns["flags"],
        kind=kind,
    )


@given(kinds, st.lists(fields, max_size=20))
def test_packed_words_unpack_to_the_same_fields(kind: int, values: list[dict[str, int]]) -> None:
    unpacked = unpack_words(packed(kind, values))
    for name, column in unpacked.items():
        assert column.tolist() == [kind if name == "kind" else word[name] for word in values]


@given(kinds, fields)
def test_a_word_is_its_fields_written_as_bits_from_the_top(
    kind: int, values: dict[str, int]
) -> None:
    word = int(packed(kind, [values])[0])
    all_values = {"kind": kind} | values
    assert f"{word:064b}" == "".join(f"{all_values[name]:0{bits}b}" for name, bits in BITS.items())


@given(st.integers(0, 2**64 - 1))
def test_any_64_bits_unpack_and_pack_to_themselves(word: int) -> None:
    values = {
        name: int(column[0])
        for name, column in unpack_words(np.array([word], dtype=np.uint64)).items()
    }
    assert int(packed(values.pop("kind"), [values])[0]) == word


def test_energy_above_the_field_becomes_the_overflow_value() -> None:
    energies = [0, 5110, 16382, 16383, 16384, 10**9]
    words = pack_words(time_ticks=0, crystal=0, energy_dkeV=energies)
    assert unpack_words(words)["energy"].tolist() == [0, 5110, 16382, 16383, 16383, 16383]


def test_each_field_may_be_the_one_array() -> None:
    one = {"time_ticks": 1, "crystal": 1, "energy_dkeV": 1, "doi": 1, "flags": 1}
    for name in one:
        assert pack_words(**(one | {name: [0, 1, 1]})).shape == (3,)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("time_ticks", [1, 2**30], "time: 1073741824 is not in 0..1073741823"),
        ("time_ticks", [-1, 5], "time: -1 is not in"),
        ("crystal", [4096], "crystal: 4096 is not in 0..4095"),
        ("energy_dkeV", [-3], "energy: -3 is not in 0..16383"),
        ("doi", [8], "doi: 8 is not in 0..7"),
        ("flags", [4], "flags: 4 is not in 0..3"),
        ("kind", 8, "kind: 8 is not in 0..7"),
    ],
)
def test_a_value_beyond_its_bits_is_refused_by_name(field: str, value: object, shown: str) -> None:
    values = {"time_ticks": 0, "crystal": 0, "energy_dkeV": 0} | {field: value}
    with pytest.raises(ValueError, match=shown):
        pack_words(**values)  # type: ignore[arg-type]


@given(st.integers(-(2**40), 2**58))
@example(2**28)
@example(1)
def test_ticks_become_whole_picoseconds_rounded_down(ticks: int) -> None:
    assert int(ticks_to_ps(ticks)) == (ticks * TICK_PS).__floor__()


@given(st.integers(-(2**40), 2**63 - 1))
def test_picoseconds_become_completed_ticks(time_ps: int) -> None:
    assert int(ps_to_ticks(time_ps)) == (time_ps / TICK_PS).__floor__()


@given(st.integers(0, 2**62))
def test_a_digitised_time_is_early_by_less_than_a_tick_and_a_picosecond(time_ps: int) -> None:
    back_ps = int(ticks_to_ps(ps_to_ticks(time_ps)))
    assert time_ps - TICK_PS - 1 < back_ps <= time_ps


def test_a_frame_period_is_a_whole_number_of_picoseconds() -> None:
    assert protocol.FRAME_PERIOD_TICKS * TICK_PS == protocol.FRAME_PERIOD_PS == 5_242_880_000


def test_picoseconds_overflow_only_after_106_days() -> None:
    last_frame = 106 * DAY_PS // protocol.FRAME_PERIOD_PS
    ticks = last_frame * 2**28 + 2**30 - 1
    assert int(ticks_to_ps(ticks)) == (ticks * TICK_PS).__floor__() > 105 * DAY_PS
    # The direct product would have overflowed 32 times earlier, after three days.
    assert ticks * protocol.TICK_PS_NUM > 2**63


def test_a_time_after_107_days_would_wrap() -> None:
    ticks = 107 * DAY_PS * 32 // 625
    assert ticks_to_ps([ticks]).item() == ticks * 625 // 32 - 2**64
