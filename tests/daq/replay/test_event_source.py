"""`tomoshibi play`: events become frames with which nothing is wrong, at a speed, to the end."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from daq.cli import main
from daq.errors import ImportDataError
from daq.folder.run_config import default_settings
from daq.importers.gate_singles import read_gate_singles
from daq.replay.event_frames import EventFrames
from daq.service.source_check.listener import Bounds, listen
from daq.service.source_check.source_check import SourceCheck
from hw.messages.endpoints import Endpoints
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner
from hw.wire.protocol import FRAME_PERIOD_TICKS
from rigs.foreign_lists import petsys_group

BENCH2 = load_scanner("bench2")
TAG = 77
PERIODS = 12


def events(count: int = 4000, seed: int = 5) -> list[np.ndarray]:
    """Return ticks, module, crystal, energy of events in order of time."""
    rng = np.random.default_rng(seed)
    ticks = np.sort(rng.integers(0, PERIODS * FRAME_PERIOD_TICKS, count))
    ticks[-1] = PERIODS * FRAME_PERIOD_TICKS - 1 + ticks[0]
    return [ticks, rng.integers(0, 2, count), rng.integers(0, 64, count), np.full(count, 5110)]


def checked(frames: list[bytes], made: EventFrames) -> SourceCheck:
    check = SourceCheck(BENCH2, default_settings(BENCH2), TAG, [made.report()])
    check.take(frames)
    return check


def new_frames(**more: Any) -> EventFrames:
    return EventFrames(n_modules=2, run_tag=TAG, gap_s=60.0, **more)


def test_every_event_is_sent_and_no_frame_is_wrong() -> None:
    """In pieces, each in no order, as far as the frames of 3 periods are held back."""
    given, made, frames = events(), new_frames(), list[bytes]()
    rng = np.random.default_rng(1)
    order = np.argsort(given[0] + rng.integers(0, FRAME_PERIOD_TICKS, len(given[0])))
    for piece in np.array_split(order, 17):
        frames += made.take(*(of[piece] for of in given))
    frames += made.end()
    check = checked(frames, made)
    assert check.findings() == []
    assert check.summary()["singles"] == made.sent.sum() == 4000
    assert made.late == 0 and len(frames) == 2 * PERIODS


def test_what_comes_too_late_is_lost_and_said() -> None:
    given, made = events(), new_frames()
    frames = [*made.take(*given), *made.take(*(of[:5] for of in given)), *made.end()]
    assert made.late == 5
    assert [words for words in checked(frames, made).findings() if "(5 events)" in words]


def test_a_run_ends_with_the_period_that_holds_its_duration() -> None:
    made = new_frames(duration_s=5.3 * 5.24288e-3)
    frames = [*made.take(*events()), *made.end()]
    assert made.done and len(frames) == 2 * 6
    assert checked(frames, made).findings() == []


def test_a_run_that_is_stopped_ends_with_its_present_period() -> None:
    stop = SimpleNamespace(now=False)
    made, frames = new_frames(stopped=lambda: stop.now), list[bytes]()
    for frame in made.take(*events()):
        frames.append(frame)
        stop.now = len(frames) >= 7
    frames += made.end()
    assert len(frames) == 10  # the fourth period is ended, the fifth is the last
    assert checked(frames, made).findings() == []


def test_a_time_far_ahead_is_refused_in_words() -> None:
    made = new_frames()
    with pytest.raises(ImportDataError, match=r"damaged, or a pause, which --gap allows"):
        list(made.take(*(np.append(of, of[-1]) + np.eye(1, 4001, 4000, dtype=np.int64)[0] * 2**50
                         for of in events())))  # fmt: skip


def test_gate_singles_are_sent_whole(tmp_path: Path) -> None:
    rng, path = np.random.default_rng(8), tmp_path / "g.npz"
    block = rng.integers(0, 2, 2000)
    place = np.where(block == 0, 55.0, -55.0)[:, None] * [1.0, 0.0, 0.0]
    np.savez(path, t_ns=rng.uniform(0, 3e7, 2000), E_keV=rng.uniform(400, 600, 2000),
             xyz_mm=place, block=block)  # fmt: skip
    singles = read_gate_singles(path, BENCH2, build_geometry(BENCH2))
    made = new_frames()
    frames = [*made.take(singles.ticks, singles.module, singles.crystal, singles.energy_dkeV)]
    check = checked([*frames, *made.end()], made)
    assert check.summary()["singles"] == 2000
    assert check.findings() == []


@pytest.mark.timeout(60)
def test_a_list_with_a_map_is_played_to_its_torn_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, path, base = np.random.default_rng(3), tmp_path / "g.ldat", f"ipc://{tmp_path}/ipc"
    times = np.sort(rng.integers(10**12, 10**12 + 5 * 10**10, 500))
    data = b"".join(
        petsys_group([(int(t), 90.0, int(c)), (int(t) + 9, 10.0, 5)])
        for t, c in zip(times, rng.choice([100, 101, 102], 500), strict=True)
    )
    path.write_bytes(data + b"torn")
    known = tmp_path / "map.csv"
    known.write_text("channel,module,crystal,gain\n100,0,1,5.11\n101,1,2,5.11\n")
    said: list[int] = []
    asked = ["play", str(path), "--from", "petsys", "--map", str(known), "--scanner", "bench2"]
    monkeypatch.setattr("signal.signal", lambda *_: None)  # only the main thread may
    player = threading.Thread(
        target=lambda: said.append(main([*asked, "--fast", "--endpoint", base])), daemon=True
    )
    player.start()
    check, _ = listen(
        Endpoints(base), BENCH2, default_settings(BENCH2), Bounds(20, 60), say=lambda _: None
    )
    player.join(20)
    out = capsys.readouterr()
    singles = check.summary()["singles"]
    assert said == [1] and "ends in the middle, at byte 18000" in out.out
    assert f"{singles} events sent, 0 too late" in out.out
    assert f"{500 - singles} events of channels that the map lacks" in out.out
    assert check.summary()["in_window"] == singles > 300  # 100 · 5.11 keV
    (found,) = check.findings()
    assert "the source says that it failed" in found and "ends in the middle" in found
