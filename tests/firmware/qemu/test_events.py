"""Tier 3: hits into the ARM image, frames out, bit by bit as the reference says, on every path."""

from __future__ import annotations

import time

import numpy as np
import pytest

from hw.machines.image_figures import image_figures
from hw.wire.control import DataPath, Lock, State
from hw.wire.protocol import FLAG_SYNC_LOST, HEADER_BYTES, pack_words
from oracles.firmware_reference import Settings
from rigs.firmware.arm_modules import (
    arm_image,
    arm_module,
    assert_same_frames,
    expected,
    header_of,
    needs_qemu,
    periods_of_hits,
    wait_until,
)
from rigs.firmware.events import books_close, mark

pytestmark = needs_qemu

DEAD_TIMES = {"dead_time_ticks": 400_000, "dead_time_scope": 1, "paralysable": 1}


@pytest.mark.parametrize("path", [DataPath.ring, DataPath.ethernet, DataPath.serial])
def test_frames_are_those_of_the_reference(path, tmp_path):
    settings = Settings(sync_lock_count=1, energy_threshold=800, **DEAD_TIMES)
    words = periods_of_hits(2, 12, 1200)
    reference = expected(words, settings)
    with arm_module(tmp_path, path=path) as module:
        module.prepare(path, **settings.registers())
        module.begin()
        for period in words:
            module.put(period)
        module.wait_frames(len(words))
        assert_same_frames(module.frames, reference.frames)
        report = module.report()
        assert {name: report[name] for name in reference.report()} == reference.report()
        assert report["dead"] > 0
        assert report["below"] > 0
        wait_until(lambda: "run_ended" in dict(module.notices), "the notice of the end")


def test_ten_million_hits_through_the_ring_are_all_accounted_for(tmp_path):
    """Each of 10 M hits ends in a frame or in one counter, the sum is exact."""
    per_period, periods = 20_000, 500
    templates = periods_of_hits(3, 4, per_period)
    energies = [(period[:-1] >> np.uint64(30)) & np.uint64(0x3FFF) for period in templates]
    above = [int((energy >= 500).sum()) for energy in energies]
    with arm_module(tmp_path) as module:
        module.prepare(DataPath.ring, dead_time_ticks=0)
        module.begin()
        for period in range(periods):
            words = templates[period % 4].copy()
            words[-1] = mark(period, flags=1 | 2 * (period == periods - 1))
            module.put(words)
        module.wait_frames(periods, within_s=60)  # 20 are not enough beside other work
        report = module.report()
        assert report["hits"] == periods * per_period == 10_000_000
        assert report["words"] == sum(above) * periods // 4
        assert books_close(report)
        assert report["below"] == report["hits"] - report["words"]
        got = sum((len(frame) - HEADER_BYTES) // 8 for frame in module.frames)
        assert got == report["words"]
        assert (report["frames"], report["frames_dropped"], report["lost"]) == (periods, 0, 0)
        assert module.session.books.lost_frames == 0


def test_host_that_does_not_read_stops_the_intake_and_then_costs_whole_frames(tmp_path):
    """A full frame ring: hits wait for a second, then frames are dropped whole and counted."""
    rng = np.random.default_rng(4)
    crystals, times = rng.integers(0, 4096, 60_000), np.sort(rng.integers(0, 1 << 28, 60_000))
    hits = pack_words(crystal=crystals, energy_dkeV=np.full(60_000, 5110), time_ticks=times)
    with arm_module(tmp_path, path=DataPath.none) as module:  # nobody takes frames out
        module.prepare(DataPath.ring, dead_time_ticks=0)
        module.begin()
        periods = 24  # of 0.48 MB each, into 8 MiB
        for period in range(periods):
            flags = 1 | 2 * (period == periods - 1)
            module.put(np.append(hits, np.uint64(mark(period, flags=flags))))
        wait_until(lambda: module.report()["ended"] == 3, "the end of the run", within_s=20)
        report = module.report()
        frames = module.window.take()
        assert report["frames_dropped"] > 0
        assert len(frames) == report["frames"] == periods - report["frames_dropped"]
        assert report["hits"] == periods * hits.size
        assert books_close(report)


def test_sync_lost_and_regained(tmp_path):
    with arm_module(tmp_path) as module:
        module.prepare(DataPath.ring, sync_lock_count=3, sync_loss_count=2)
        module.begin()
        flags = [1] * 6 + [0] * 4 + [1] * 6
        for period, synced in enumerate(flags):
            last = 2 * (period == len(flags) - 1)
            module.put(np.array([mark(period, flags=synced | last)], np.uint64))
        module.wait_frames(len(flags))
        lost = [bool(header_of(frame)["flags"] & FLAG_SYNC_LOST) for frame in module.frames]
        assert lost == [True] * 2 + [False] * 5 + [True] * 5 + [False] * 4
        telemetry = module.session.ask_telemetry()
        assert (telemetry["lock"], telemetry["sync_losses"]) == (Lock.locked, 1)
        assert "sync_lost" in module.faults()
        assert telemetry["state"] == State.idle  # not a fault that latches


def test_two_runs_one_after_the_other_do_not_mix(tmp_path):
    settings = Settings(sync_lock_count=1)
    first, second = periods_of_hits(5, 5, 300), periods_of_hits(6, 5, 300)
    with arm_module(tmp_path) as module:
        module.prepare(DataPath.ring, **settings.registers())
        module.begin(8)
        for period in first:
            module.put(period)
        module.wait_frames(5)
        wait_until(lambda: module.window.gate == 0, "the gate to close")
        stray = first[0][:100]
        module.put(stray)  # of nobody's run: discarded and counted
        module.begin(9, first_sequence=100)
        wait_until(lambda: module.window.hits_waiting == 0, "stray hits to be discarded")
        for period in second:
            module.put(period)
        module.wait_frames(10)
        assert_same_frames(module.frames[:5], expected(first, settings, run_tag=8).frames)
        again = expected(second, settings, run_tag=9, first_sequence=100, locked=True)
        assert_same_frames(module.frames[5:], again.frames)
        assert module.window.hits_discarded == stray.size


def test_stack_stays_within_what_the_call_graph_allows(tmp_path):
    figures = image_figures(arm_image())
    with arm_module(tmp_path) as module:
        module.prepare(DataPath.ring)
        module.begin()
        for period in periods_of_hits(7, 4, 500):
            module.put(period)
        module.wait_frames(4)
        time.sleep(1.1)  # the deepest stack is looked at once a second
        used = int(module.session.ask_telemetry()["stack_bytes"])
    assert 0 < used <= figures.stack < figures.stack_size
