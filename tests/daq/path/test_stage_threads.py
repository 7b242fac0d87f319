"""Stages in a row: any number of threads gives the same results, errors come out, nothing hangs."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from daq.path.stage_threads import run_stages


def add_one(x: int) -> int:
    return x + 1


def double(x: int) -> int:
    return 2 * x


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("n", [0, 1, 2, 50])
def test_results_come_in_order_whatever_the_threads(n: int, threads: int) -> None:
    found = list(run_stages(range(n), (add_one, double, add_one), threads=threads))
    assert found == [2 * (x + 1) + 1 for x in range(n)]


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_in_a_stage_comes_out_after_the_results_before_it(threads: int) -> None:
    def fragile(x: int) -> int:
        if x == 5:
            raise OSError("disk full")
        return x

    found: list[int] = []
    with pytest.raises(OSError, match="disk full"):
        found.extend(run_stages(range(100), (fragile, double), threads=threads))
    assert found == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_in_the_source_comes_out(threads: int) -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("torn log")

    with pytest.raises(ValueError, match="torn log"):
        list(run_stages(source(), (double,), threads=threads))


def test_leaving_early_stops_the_threads() -> None:
    before = threading.active_count()
    results = run_stages(iter(range(10**9)), (add_one, double), threads=2)
    assert next(results) == 2
    results.close()
    assert threading.active_count() == before
