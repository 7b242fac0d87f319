"""How numbers are written, and how an axis keeps still."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gui.kit.wording import (
    SteadyCeiling,
    age_text,
    clock_text,
    fraction_text,
    grouped,
    level_text,
    nice_ceiling,
    rate_text,
)

THIN = "\u202f"


@pytest.mark.parametrize(
    ("per_s", "text"),
    [
        (0.0, "0.00"),
        (83, "0.08"),
        (6_214, "6.21"),
        (99_994, "99.99"),
        (99_996, "100.0"),
        (128_640, "128.6"),
        (2_512_345, f"2{THIN}512"),
        (-120, "−0.12"),
        (float("nan"), "–"),
    ],
)
def test_rates_are_written_in_thousands_per_second(per_s: float, text: str) -> None:
    assert rate_text(per_s) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "00:00"), (59.9, "00:59"), (600, "10:00"), (3723, "1:02:03")]
)
def test_clock(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.24, "0.2 s"), (9.96, "10 s"), (119, "119 s"), (600, "10 min")]
)
def test_ages_grow_coarser(seconds: float, text: str) -> None:
    assert age_text(seconds) == text


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0, "0.0 %"), (0.98765, "98.8 %"), (0.99999, "99.9 %"), (1, "100.0 %"), (float("nan"), "–")],
)
def test_a_fraction_is_whole_only_where_nothing_is_missing(fraction: float, text: str) -> None:
    assert fraction_text(fraction) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0123, "0.0123"), (1.234, "1.23"), (16.84, "16.8"), (812.4, "812"),
     (1e-5, "1.00e−05")],
)  # fmt: skip
def test_levels_have_three_figures(value: float, text: str) -> None:
    assert level_text(value) == text


def test_thousands_are_grouped_by_thin_spaces() -> None:
    assert grouped(-1234567) == f"−1{THIN}234{THIN}567"


@given(st.floats(1e-6, 1e12))
def test_a_nice_ceiling_covers_the_value_and_wastes_less_than_half(value: float) -> None:
    ceiling = nice_ceiling(value)
    assert value <= ceiling * (1 + 1e-9)
    assert ceiling <= 2.001 * value


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=50))
def test_an_axis_always_covers_the_newest_value(values: list[float]) -> None:
    ceiling = SteadyCeiling()
    for value in values:
        ceiling.follow(value)
        assert ceiling.value >= value


def test_an_axis_keeps_still_while_it_serves() -> None:
    ceiling = SteadyCeiling()
    assert ceiling.follow(90)
    assert [ceiling.follow(value) for value in (60, 99, 45, 100)] == [False] * 4
    assert ceiling.follow(101)
