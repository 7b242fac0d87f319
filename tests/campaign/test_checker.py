"""The checker finds a loss that is planted, of each kind; what is sound it passes."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from campaign.acknowledged import Promise, acknowledged, check_acknowledged
from campaign.block_file import Frame, frames_in, read_blocks
from campaign.checker import check_catalogue, check_left_over, check_replay, check_run
from campaign.scene import Scene
from campaign.tap import Passed
from rigs.acquisition_process import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a sound run of a real system that has ended, and its truth."""
    scene = Scene(tmp_path_factory.mktemp("campaign"), seed=1)
    try:
        scene.begin()
        scene.wait_for_data("half a second of data", blocks=100)
        scene.finish()
    finally:
        scene.close()
    kept = tmp_path_factory.mktemp("kept")
    shutil.copytree(scene.run, kept / "runs" / "sound")
    shutil.copy(scene.truths()[0], kept / "truth")
    PASSED[kept] = scene.tap.passed
    scene.unmount()
    yield kept


PASSED: dict[Path, Passed] = {}


@pytest.fixture
def passed(sound: Path) -> Passed:
    """What the tap noted of that run."""
    return PASSED[sound]


@pytest.fixture
def kept(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound, tmp_path / "kept")
    return tmp_path / "kept"


def findings(kept: Path) -> list[str]:
    return check_run(kept / "runs" / "sound", [kept / "truth"])


def test_a_sound_run_is_passed(kept: Path) -> None:
    assert len(frames_in(read_blocks(kept / "runs/sound/raw.tmraw"))) > 100
    assert findings(kept) == []
    assert check_catalogue(kept / "runs") == []
    assert check_replay(kept / "runs" / "sound") == []
    assert check_left_over(kept) == []


def _tag(kept: Path) -> int:
    head = json.loads((kept / "runs/sound/run.json").read_text(encoding="utf-8"))
    return int(head["run_tag"])


def test_the_tap_has_every_frame_and_what_was_told_to_be_safe(kept: Path, passed: Passed) -> None:
    frames, marks = passed.of(_tag(kept))
    assert set(frames) == set(frames_in(read_blocks(kept / "runs/sound/raw.tmraw")))
    assert set(marks) == {0, 1}
    assert len(acknowledged(frames, marks)) > 100
    assert check_run(kept / "runs/sound", [kept / "truth"], passed=passed) == []
    assert check_run(kept / "runs/sound", [], passed=passed) == []


def test_a_mark_covers_all_that_its_module_sent_before_and_nothing_else() -> None:
    """A frame that came a second time, after a daq was restarted, counts where it came first."""
    frames = [Frame(0, n, n, 1, crc=n) for n in (0, 1, 2, 3, 1, 2, 4)] + [Frame(1, 0, 0, 1)]
    told = acknowledged(frames, {0: {(1, 1), (2, 2)}, 1: {(7, 7)}})
    assert [frame.sequence for frame in told] == [0, 1, 2]


def test_acknowledged_frames_that_the_disk_lacks_are_found_whatever_the_summary_says(
    kept: Path, passed: Passed
) -> None:
    """A run that was cut off is asked for no more than that, but for all of that."""
    run, frames_and_marks = kept / "runs/sound", passed.of(_tag(kept))
    assert check_acknowledged(run, *frames_and_marks) == []
    _edit(run / "raw.tmraw", lambda data: data[: len(data) // 2])
    _summary(kept, lambda summary: summary.update(condition="incomplete", conserved=False))
    assert any("told to be on the disk" in f for f in check_acknowledged(run, *frames_and_marks))
    found = check_run(run, [kept / "truth"], passed=passed)
    assert any("told to be on the disk" in words for words in found)
    assert any("that were acknowledged are not in the raw log" in words for words in found)


@pytest.mark.parametrize("hurt", ["cut", "altered", "gone"])
def test_promised_bytes_that_are_cut_altered_or_gone_are_found(kept: Path, hurt: str) -> None:
    log = kept / "runs/sound/raw.tmraw"
    n_bytes = log.stat().st_size // 2
    promise = Promise.of(log, n_bytes)
    assert promise.broken_in(log) == ""
    if hurt == "cut":
        _edit(log, lambda data: data[: n_bytes - 1])
    elif hurt == "altered":
        _edit(log, lambda data: data[: n_bytes - 1] + bytes([data[n_bytes - 1] ^ 1]))
    else:
        log.unlink()
    said = {"cut": f"{n_bytes - 1} are there", "altered": "they are others", "gone": "No such file"}
    assert said[hurt] in promise.broken_in(log)


def test_a_summary_that_has_fewer_events_than_the_source_counted_is_found(
    kept: Path, passed: Passed
) -> None:
    def less(summary: dict[str, object]) -> None:
        singles = summary["singles"]
        assert isinstance(singles, dict)
        singles["emitted"] -= 1

    _summary(kept, less)
    found = check_run(kept / "runs/sound", [], passed=passed)
    assert any("events sent; the source counted" in words for words in found)


def _edit(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def _summary(kept: Path, change: Callable[[dict[str, object]], None]) -> None:
    path = kept / "runs/sound/summary.json"
    summary = json.loads(path.read_text(encoding="utf-8"))
    change(summary)
    path.write_text(json.dumps(summary), encoding="utf-8")


def test_a_byte_flipped_in_the_raw_log_is_found(kept: Path) -> None:
    def flip(data: bytes) -> bytes:
        middle = len(data) // 2
        return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]

    _edit(kept / "runs/sound/raw.tmraw", flip)
    assert any("torn" in found for found in findings(kept))
    assert check_replay(kept / "runs/sound") != []


def test_a_raw_log_that_was_cut_short_is_found(kept: Path) -> None:
    _edit(kept / "runs/sound/raw.tmraw", lambda data: data[: len(data) // 2])
    found = "\n".join(findings(kept))
    assert "not closed" in found
    assert "frames that were sent are not in the raw log" in found


def test_a_frame_that_the_source_sent_and_the_log_lacks_is_found(kept: Path) -> None:
    """As if the daq had never had it: log, sums and summary agree among themselves."""
    run = kept / "runs/sound"
    log = read_blocks(run / "raw.tmraw")
    payload = next(block.payload for block in log.blocks if block.kind == 2)
    words = int.from_bytes(payload[20:24], "little")
    _edit(run / "raw.tmraw", lambda data: without_frame(data, payload, 64 + 8 * words))

    def less(summary: dict[str, object]) -> None:
        frames = summary["frames"]
        assert isinstance(frames, dict)
        frames["received"] -= 1
        frames["sent"] -= 1

    _summary(kept, less)
    assert any("1 frames that were sent are not" in found for found in findings(kept))


def without_frame(data: bytes, payload: bytes, length: int) -> bytes:
    """Take the first frame out of a block, and mend the block's header."""
    import struct

    import crc32c

    at = data.index(payload)
    rest = payload[length:]
    magic, kind, flags, number, items, _, _, _ = struct.unpack_from("<4sHHIIQII", data, at - 32)
    head = struct.pack("<4sHHIIQI", magic, kind, flags, number, items - 1, len(rest),
                       crc32c.crc32c(rest))  # fmt: skip
    head += struct.pack("<I", crc32c.crc32c(head))
    return data[: at - 32] + head + rest + data[at + len(payload) :]


def test_a_line_taken_out_of_the_journal_is_found(kept: Path) -> None:
    path = kept / "runs/sound/journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) >= 3
    path.write_bytes(b"".join(lines[:1] + lines[2:]))
    assert "journal: 1 entries are missing" in findings(kept)


def test_a_summary_that_claims_more_frames_than_there_are_is_found(kept: Path) -> None:
    def more(summary: dict[str, object]) -> None:
        frames = summary["frames"]
        assert isinstance(frames, dict)
        frames["received"] += 1

    _summary(kept, more)
    assert any("frames received" in found for found in findings(kept))


def test_a_loss_that_nothing_alarms_is_found(kept: Path) -> None:
    def lost(summary: dict[str, object]) -> None:
        frames = summary["frames"]
        assert isinstance(frames, dict)
        frames["lost"] += 1
        summary["condition"] = "tainted"

    _summary(kept, lost)
    assert any("no alarm says so" in found for found in findings(kept))


def test_a_list_mode_log_that_lacks_its_pairs_is_found(kept: Path) -> None:
    _summary(kept, lambda summary: summary.update(hash="0" * 65))
    assert any("its hash" in found for found in findings(kept))


def test_a_catalogue_that_says_otherwise_is_found(kept: Path) -> None:
    import sqlite3
    from contextlib import closing

    assert check_catalogue(kept / "runs") == []
    with closing(sqlite3.connect(kept / "runs/runs.sqlite")) as database, database:
        database.execute("UPDATE runs SET prompts = 7")
    assert len(check_catalogue(kept / "runs")) == 1


def test_an_orphan_a_socket_and_a_lock_are_found(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "import time; time.sleep(100)", str(tmp_path)]
    orphan = subprocess.Popen(argv)
    try:
        with (tmp_path / "lock").open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            found: list[str] = []

            def both_seen() -> bool:
                found.extend(check_left_over(tmp_path, gone_s=0.1))
                return len(found) >= 2

            wait_until(both_seen, "the orphan, once it runs")
    finally:
        orphan.kill()
        orphan.wait(5)
    assert any(f"process {orphan.pid}" in line for line in found)
    assert any("locked" in line for line in found)
    assert check_left_over(tmp_path) == []
