"""The event store: nothing lost, nothing doubled, in memory or on disk, and what it refuses."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from oracles.reconstruction import random_lines
from recon.core.events import EventList, Lors
from recon.core.grid import ImageGrid
from recon.em.event_store import EventStore, EventStoreError, view_of
from recon.em.list_mode_osem import osem
from recon.projector.operator import Projector

GRID = ImageGrid((12, 12, 10), (4.0, 4.0, 4.0))


def numbered(count: int, *, tof: bool = True) -> EventList:
    """Return events whose weight tells which one it is."""
    lors = random_lines(count)
    lors = lors if tof else Lors(lors.start, lors.end)
    addend = np.linspace(0.0, 1.0, count, dtype=np.float32)
    number = np.arange(1, count + 1, dtype=np.float32)
    return EventList(lors, number, addend)


def parts_of(events: EventList, size: int) -> Iterator[EventList]:
    for first in range(0, len(events), size):
        yield events.take(slice(first, first + size))


def blocks_of(store: EventStore) -> list[list[EventList]]:
    return [list(store.subset(number)) for number in range(store.subsets)]


@pytest.mark.parametrize("tof", [True, False])
@pytest.mark.parametrize("by", ["time", "angle"])
@pytest.mark.parametrize("limit", [0, 1 << 30])
def test_every_event_comes_back_once_and_whole(limit: int, by: str, tof: bool) -> None:
    events = numbered(5000, tof=tof)
    with EventStore.build(
        parts_of(events, 700), subsets=6, by=by, memory_limit_bytes=limit
    ) as store:
        assert store.on_disk == (limit == 0) and len(store) == 5000
        assert store.total_weight == pytest.approx(5000 * 5001 / 2)
        seen = []
        for block in (block for blocks in blocks_of(store) for block in blocks):
            where = block.weight.astype(int) - 1
            assert np.array_equal(block.lors.start, events.lors.start[where])
            assert np.array_equal(block.lors.end, events.lors.end[where])
            assert np.array_equal(block.addend, events.addend[where])
            assert block.lors.has_tof == tof
            if tof:
                assert np.array_equal(block.lors.offset_mm, events.lors.offset_mm[where])
            seen.append(where)
        assert np.array_equal(np.sort(np.concatenate(seen)), np.arange(5000))


def test_disk_and_memory_give_the_same_image_to_the_bit() -> None:
    events = EventList.plain(random_lines(4000))
    images = []
    for limit in (0, 1 << 30):
        with EventStore.build(parts_of(events, 900), subsets=4, memory_limit_bytes=limit) as store:
            exposure = np.ones(GRID.shape, np.float32)
            images.append(osem(Projector(GRID), store, exposure, GRID.cylinder(24.0)).image)
    assert np.array_equal(*images) and images[0].any()


def test_subsets_in_time_are_alike() -> None:
    """Each holds the same share of events from every part of the list and of every direction."""
    events = numbered(8000)
    with EventStore.build([events], subsets=8) as store:
        for blocks in blocks_of(store):
            weight = np.concatenate([block.weight for block in blocks])
            assert len(weight) == 1000
            # 1000 draws of a uniform time: the mean strays by 8000 / √12 / √1000 = 73 (1 σ)
            assert abs(weight.mean() - 4000) < 4 * 73
            views = np.concatenate([view_of(block.lors, 8) for block in blocks])
            assert np.bincount(views, minlength=8).min() > 60


def test_subsets_by_angle_hold_every_mth_view() -> None:
    with EventStore.build([numbered(8000)], subsets=8, by="angle") as store:
        for number, blocks in enumerate(blocks_of(store)):
            views = np.concatenate([view_of(block.lors, 96) for block in blocks])
            assert set(views % 8) == {number}


def test_the_file_has_no_name_so_nothing_is_left_behind(tmp_path: Path) -> None:
    with EventStore.build(
        [numbered(100)], folder=tmp_path, subsets=2, memory_limit_bytes=0
    ) as store:
        assert store.on_disk and not list(tmp_path.iterdir())


def test_lines_that_see_nothing_are_left_out_and_counted() -> None:
    events = numbered(100)
    events.weight[::4] = 0.0
    with EventStore.build([events], subsets=3) as store:
        assert len(store) == 75 and store.left_out == 25


def test_an_empty_list_gives_an_empty_store() -> None:
    for limit in (0, 1 << 30):
        with EventStore.build([], subsets=3, memory_limit_bytes=limit) as store:
            assert len(store) == 0 and not any(blocks_of(store))


@pytest.mark.parametrize("value", [-1.0, np.inf, np.nan])
@pytest.mark.parametrize("name", ["weight", "addend"])
def test_numbers_that_poison_an_image_are_refused(name: str, value: float) -> None:
    events = numbered(100)
    getattr(events, name)[3] = value
    with pytest.raises(EventStoreError, match=f"1 events have a negative or infinite {name}"):
        EventStore.build([events], subsets=2)


def test_lists_with_and_without_tof_do_not_mix() -> None:
    with pytest.raises(EventStoreError, match="some events have TOF offsets and some have none"):
        EventStore.build([numbered(10), numbered(10, tof=False)], subsets=2)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The kernel refuses to let a file grow further, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told_by_name(tmp_path: Path) -> None:
    with files_of_at_most(10_000), pytest.raises(EventStoreError, match="free some room"):
        EventStore.build([numbered(3000)], folder=tmp_path, subsets=2, memory_limit_bytes=0)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_does_not_exist_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(EventStoreError, match="nowhere"):
        EventStore.build(
            [numbered(10)], folder=tmp_path / "nowhere", subsets=2, memory_limit_bytes=0
        )


def test_a_list_that_breaks_off_is_not_taken_for_a_whole_one() -> None:
    def torn() -> Iterator[EventList]:
        yield numbered(10)
        raise OSError("the log ends in the middle of a block")

    with pytest.raises(OSError, match="in the middle"):
        EventStore.build(torn(), subsets=2)


def test_a_closed_store_says_so() -> None:
    store = EventStore.build([numbered(10)], subsets=2)
    store.close()
    with pytest.raises(EventStoreError, match="closed"):
        list(store.subset(0))


@pytest.mark.parametrize("subsets", [0, 1001])
def test_absurd_numbers_of_subsets_are_refused(subsets: int) -> None:
    with pytest.raises(EventStoreError, match=r"must lie in 1\.\.1000"):
        EventStore.build([], subsets=subsets)
