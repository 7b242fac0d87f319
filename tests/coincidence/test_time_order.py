"""Time order: the stable sort by time and crystal of all that came, whatever the batching."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coincidence.events import END_OF_TIME_PS, SINGLE
from coincidence.order import TimeOrder

HOUR_PS = 3_600_000_000_000_000


def singles_at(times) -> np.ndarray:
    """Return singles whose other fields tell them apart."""
    array = np.zeros(len(times), dtype=SINGLE)
    array["time_ps"] = times
    array["crystal"] = np.arange(len(times)) * 7919 % 5  # equal times meet in any order of crystals
    array["energy"] = np.arange(len(times)) % 65536
    array["flags"], array["doi"] = np.arange(len(times)) % 3, np.arange(len(times)) % 8
    return array


def push(order: TimeOrder, singles: np.ndarray, horizon_ps: int) -> np.ndarray:
    return order.release(singles, horizon_ps).copy()


def by_numpy(singles: np.ndarray) -> np.ndarray:
    return singles[np.lexsort((singles["crystal"], singles["time_ps"]))]


any_times = st.lists(
    st.one_of(
        st.integers(0, 5),
        st.integers(0, 1000),
        st.integers(0, 2**61),
        st.integers(-1000, 0),
        st.sampled_from([0, HOUR_PS, 24 * HOUR_PS, 2**62 - 1]),
    ),
    max_size=120,
)


@given(times=any_times)
@settings(max_examples=300)
def test_one_batch_leaves_as_the_stable_sort(times: list[int]) -> None:
    singles = singles_at(times)
    order = TimeOrder()
    np.testing.assert_array_equal(push(order, singles, int(END_OF_TIME_PS)), by_numpy(singles))
    assert order.held == 0


@given(times=any_times, data=st.data())
@settings(max_examples=100)
def test_any_batching_leaves_as_the_stable_sort(times: list[int], data: st.DataObject) -> None:
    singles = singles_at(times)
    order, out, at = TimeOrder(), [], 0
    while at < len(times):
        size = data.draw(st.integers(0, 12))
        rest = singles["time_ps"][at + size :]
        horizon = int(rest.min()) if len(rest) else int(END_OF_TIME_PS)
        out.append(push(order, singles[at : at + size], horizon))
        assert (out[-1]["time_ps"] < horizon).all()
        at += size
    out.append(push(order, singles[:0], int(END_OF_TIME_PS)))
    np.testing.assert_array_equal(np.concatenate(out), by_numpy(singles))


def test_a_single_at_the_horizon_is_held_since_an_equal_one_may_follow() -> None:
    order = TimeOrder()
    assert len(push(order, singles_at([10, 5]), 10)) == 1
    assert order.held == 1


@pytest.mark.parametrize("n", [1000, 1001, 40_000])
@pytest.mark.parametrize(
    ("what", "spread"),
    [
        ("uniform", lambda rng, n: rng.integers(0, 1000 * n, n)),
        ("all equal", lambda rng, n: np.full(n, 12345)),
        ("reversed", lambda rng, n: np.arange(n)[::-1]),
        ("few distinct", lambda rng, n: rng.integers(0, 7, n)),
        ("one hours away", lambda rng, n: np.r_[rng.integers(0, 10**9, n - 1), 40 * HOUR_PS]),
        ("one far back", lambda rng, n: np.r_[rng.integers(10**16, 10**16 + 10**9, n - 1), 0]),
        (
            "two clusters",
            lambda rng, n: rng.integers(0, 10**6, n) + HOUR_PS * rng.integers(0, 2, n),
        ),
        ("exponential", lambda rng, n: np.exp(rng.uniform(0, 40, n)).astype(np.int64)),
    ],
)
def test_any_shape_of_disorder_is_sorted_stably(what: str, spread, n: int) -> None:
    singles = singles_at(spread(np.random.default_rng(3), n))
    np.testing.assert_array_equal(
        push(TimeOrder(), singles, int(END_OF_TIME_PS)), by_numpy(singles), err_msg=what
    )


def test_a_straggler_hours_away_does_not_make_it_quadratic() -> None:
    """By insertion alone this takes 2.5·10¹¹ moves: the suite's limit for one test would tell."""
    times = np.random.default_rng(4).integers(0, 10**9, 1_000_000)
    times[500_000] = 30 * HOUR_PS
    singles = singles_at(times)
    np.testing.assert_array_equal(
        push(TimeOrder(), singles, int(END_OF_TIME_PS)), by_numpy(singles)
    )


def test_it_grows_with_what_it_holds() -> None:
    rng = np.random.default_rng(5)
    order, all_pushed, out = TimeOrder(), [], []
    for batch in range(40):
        singles = singles_at(rng.integers(batch * 100, batch * 100 + 500, batch))
        singles["crystal"] += 1000 * batch
        all_pushed.append(singles)
        out.append(push(order, singles, batch * 100))
    out.append(push(order, singles_at([]), int(END_OF_TIME_PS)))
    np.testing.assert_array_equal(np.concatenate(out), by_numpy(np.concatenate(all_pushed)))


def test_a_result_stays_valid_for_as_many_calls_as_promised() -> None:
    order, kept = TimeOrder(depth=3), []
    for batch in range(3):
        singles = singles_at(np.arange(5) + 100 * batch)
        kept.append((order.release(singles, 100 * batch + 50), by_numpy(singles)))
    for released, expected in kept:
        np.testing.assert_array_equal(released, expected)
