"""The beginning of a list-mode log that is being written is read backwards, part by part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coincidence.events import COINCIDENCE
from daq.errors import LogError
from daq.folder.listmode_log import ListmodeWriter
from daq.folder.listmode_past import ListmodePast, PastPart
from hw.wire.block_layout import BlockKind

BATCHES, PROMPTS, DELAYEDS = 20, 7, 2


def records(first: int, count: int) -> np.ndarray:
    made = np.zeros(count, COINCIDENCE)
    made["time_ps"] = np.arange(first, first + count)
    return made


def write(path: Path) -> ListmodeWriter:
    """Write batches of prompts and delayeds, as a run does; the log stays open."""
    log = ListmodeWriter(path, {"run": "one"})
    for number in range(BATCHES):
        log.append(BlockKind.PROMPTS, records(PROMPTS * number, PROMPTS))
        log.append(BlockKind.DELAYEDS, records(DELAYEDS * number, DELAYEDS))
    return log


def read(path: Path, prompts: int, delayeds: int, at_least: int) -> list[PastPart]:
    past = ListmodePast(path, run="one", prompts=prompts, delayeds=delayeds)
    return list(past.parts(at_least))


@pytest.mark.parametrize("at_least", [1, 10, 50, 10**6])
@pytest.mark.parametrize("batches", [0, 1, 11, BATCHES])
def test_parts_come_backwards_and_hold_all_up_to_the_limits(
    tmp_path: Path, at_least: int, batches: int
) -> None:
    write(tmp_path / "log")
    prompts, delayeds = batches * PROMPTS, batches * DELAYEDS
    parts = read(tmp_path / "log", prompts, delayeds, at_least)
    assert all(len(part.prompts) >= at_least for part in parts[1:-1])
    joined = [np.concatenate([records(0, 0), *kind[::-1]]) for kind in zip(*parts, strict=True)]
    for found, count in zip(joined, (prompts, delayeds), strict=False):
        assert found["time_ps"].tolist() == list(range(count))


def test_the_growing_end_is_not_looked_at(tmp_path: Path) -> None:
    write(tmp_path / "log").abandon()
    whole = (tmp_path / "log").read_bytes()
    (tmp_path / "log").write_bytes(whole[:-3] + b"???")
    prompts, delayeds = (BATCHES - 1) * PROMPTS, (BATCHES - 1) * DELAYEDS
    assert (
        sum(len(part.prompts) for part in read(tmp_path / "log", prompts, delayeds, 9)) == prompts
    )


def test_a_list_that_is_shorter_than_was_told_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "log")
    with pytest.raises(LogError, match="holds 140 of the 141 prompts"):
        read(tmp_path / "log", BATCHES * PROMPTS + 1, 0, 9)


def test_damage_within_it_is_told(tmp_path: Path) -> None:
    write(tmp_path / "log").abandon()
    whole = bytearray((tmp_path / "log").read_bytes())
    whole[-40 * BATCHES] ^= 1
    (tmp_path / "log").write_bytes(whole)
    with pytest.raises(LogError, match=r"damaged|holds \d+ of"):
        read(tmp_path / "log", BATCHES * PROMPTS, BATCHES * DELAYEDS, 9)


def test_another_runs_list_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "log")
    with pytest.raises(LogError, match="not the list-mode log of the run two"):
        ListmodePast(tmp_path / "log", run="two", prompts=1, delayeds=0)
