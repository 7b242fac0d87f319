"""Raw log and list-mode log: round trips, identity, files of another kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import daq.folder.listmode_log as listmode_module
from coincidence.events import COINCIDENCE
from daq.errors import LogError
from daq.folder.blocks import BlockReader, BlockWriter
from daq.folder.listmode_log import ListmodeHash, ListmodeReader, ListmodeWriter
from daq.folder.raw_log import RawLogReader, RawLogWriter, split_frames
from daq.path.frame_check import FrameChecker
from hw.wire.block_layout import BlockKind
from rigs.frames_factory import RUN_TAG, ModuleSender, single_words


def some_records(n: int, seed: int = 0) -> np.ndarray:
    data = np.random.default_rng(seed).integers(0, 256, n * COINCIDENCE.itemsize, dtype=np.uint8)
    return data.view(COINCIDENCE)


def frames_of(count: int) -> list[bytes]:
    sender = ModuleSender(0)
    return [sender.frame(single_words(range(k % 4))) for k in range(count)]


def test_frames_come_back_as_they_were_batch_by_batch(tmp_path: Path) -> None:
    frames, checker = frames_of(9), FrameChecker(n_modules=1, run_tag=RUN_TAG)
    log = RawLogWriter(tmp_path / "raw", {"run_tag": RUN_TAG})
    for batch in (frames[:4], [], [b"bad"], frames[4:]):
        checked = checker.check(batch)
        if len(checked):
            log.append(checked.payload, frames=len(checked))
    log.close({"frames": 9})
    assert log.bytes_written == (tmp_path / "raw").stat().st_size
    reader = RawLogReader(tmp_path / "raw")
    assert [[bytes(f) for f in batch] for batch in reader] == [frames[:4], frames[4:]]
    assert reader.head["run_tag"] == RUN_TAG
    assert reader.end == {"frames": 9}
    assert reader.torn_bytes == 0


def test_a_raw_log_without_an_end_tells_so(tmp_path: Path) -> None:
    log = RawLogWriter(tmp_path / "raw", {})
    checked = FrameChecker(n_modules=1, run_tag=RUN_TAG).check(frames_of(3))
    log.append(checked.payload, frames=len(checked))
    log.abandon()
    with (tmp_path / "raw").open("ab") as file:
        file.write(b"torn")
    reader = RawLogReader(tmp_path / "raw")
    assert sum(len(batch) for batch in reader) == 3
    assert (reader.end, reader.torn_bytes) == (None, 4)


@pytest.mark.parametrize("cut", [1, 10, 63, 64, 70])
def test_frames_that_overrun_their_block_are_a_log_error(cut: int) -> None:
    frame = ModuleSender(0).frame(single_words([1, 2]))
    assert len(split_frames(frame * 3)) == 3
    assert split_frames(b"") == []
    with pytest.raises(LogError, match="byte 80"):
        split_frames(frame + frame[:cut])


@pytest.mark.parametrize(
    ("reader", "other"), [(RawLogReader, ListmodeWriter), (ListmodeReader, RawLogWriter)]
)
def test_a_log_of_the_other_kind_is_refused_by_name(tmp_path: Path, reader, other) -> None:
    other(tmp_path / "log", {}).close({})
    with pytest.raises(LogError, match="is a tomoshibi"):
        reader(tmp_path / "log")
    BlockWriter(tmp_path / "plain", {}).close({})
    with pytest.raises(LogError, match="file of another kind"):
        reader(tmp_path / "plain")


def test_coincidences_come_back_as_they_were(tmp_path: Path) -> None:
    prompts, delayeds = some_records(10), some_records(4, seed=1)
    log = ListmodeWriter(tmp_path / "list", {"run": "x"})
    log.append(BlockKind.PROMPTS, prompts[:6])
    log.append(BlockKind.DELAYEDS, delayeds)
    log.append(BlockKind.PROMPTS, prompts[6:6])
    log.append(BlockKind.PROMPTS, prompts[6:])
    log.close({})
    reader = ListmodeReader(tmp_path / "list")
    np.testing.assert_array_equal(reader.read_all(BlockKind.PROMPTS), prompts)
    np.testing.assert_array_equal(reader.read_all(BlockKind.DELAYEDS), delayeds)
    assert [kind for kind, _ in reader] == [
        BlockKind.PROMPTS,
        BlockKind.DELAYEDS,
        BlockKind.PROMPTS,
    ]
    assert reader.closed


def test_the_hash_does_not_depend_on_batches_but_on_every_bit(tmp_path: Path) -> None:
    prompts, delayeds = some_records(20), some_records(7, seed=1)

    def digest(*batches: tuple[BlockKind, np.ndarray]) -> str:
        hashed = ListmodeHash()
        for kind, records in batches:
            hashed.add(kind, records)
        return hashed.hexdigest()

    p, d = BlockKind.PROMPTS, BlockKind.DELAYEDS
    whole = digest((p, prompts), (d, delayeds))
    assert digest((d, delayeds[:3]), (p, prompts[:5]), (d, delayeds[3:]), (p, prompts[5:])) == whole
    assert digest((p, np.repeat(prompts, 2)[::2]), (d, delayeds)) == whole  # strided
    assert digest((d, prompts), (p, delayeds)) != whole
    changed = prompts.copy()
    changed["window"][-1] ^= 1
    assert digest((p, changed), (d, delayeds)) != whole


def test_more_records_than_a_block_holds_become_several_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listmode_module, "MAX_RECORDS", 4)
    log = ListmodeWriter(tmp_path / "list", {})
    records = some_records(10)
    log.append(BlockKind.PROMPTS, records)
    log.close({})
    assert [b.items for b in BlockReader(tmp_path / "list")] == [4, 4, 2]
    np.testing.assert_array_equal(
        ListmodeReader(tmp_path / "list").read_all(BlockKind.PROMPTS), records
    )
