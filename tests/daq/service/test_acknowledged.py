"""A frame is acknowledged once it, and all before it that may still come, are on the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from daq.folder.run_config import RunConfig
from daq.link.modules.frame_sender import FrameSender
from daq.path.gaps import MOST_LOOKS
from daq.path.link_state import WINDOW
from daq.service.run import Run
from emulator.process.data_link import DataLink
from hw.messages.source import SendAgain
from rigs.acquisition_process import wait_until
from rigs.frames_factory import ModuleSender, single_words


@pytest.fixture
def run(make_config: Callable[..., RunConfig], tmp_path: Path) -> Iterator[Run]:
    made = Run(make_config(), tmp_path / "runs")
    yield made
    made.put_away()


def frames_of(module: int, count: int) -> list[bytes]:
    sender = ModuleSender(module)
    return [sender.frame(single_words(range(4))) for _ in range(count)]


def told(run: Run) -> list[list[int]]:
    """Wait until all is on the disk; return what is acknowledged of it."""
    wait_until(lambda: run.disk.synced_bytes >= run.bytes_written, "the disk")
    marks = run.take_on_disk()
    assert marks is not None
    return [[int(number) for number in mark] for mark in marks]


def test_a_frame_that_lacks_is_not_acknowledged_with_those_after_it(run: Run) -> None:
    frames = frames_of(0, 10)
    run.record([*frames[:4], *frames[5:]])
    assert told(run) == [[3, 3], [-1, -1]]


def test_it_is_asked_for_and_acknowledged_when_it_comes(run: Run) -> None:
    frames = frames_of(0, 10)
    run.record([*frames[:4], *frames[5:]])
    assert run.ask_again() == [[], []]  # it may only be late
    assert run.ask_again() == [[4], []]
    run.record([frames[4]])
    assert run.ask_again() == [[], []]
    assert told(run) == [[9, 9], [-1, -1]]


def test_one_that_is_gone_holds_nothing_up_for_ever(run: Run) -> None:
    frames = frames_of(0, WINDOW + 6)
    run.record([*frames[:4], *frames[5 : WINDOW + 4]])
    assert run.recorded_marks[0].tolist() == [3, 3]
    run.record(frames[WINDOW + 4 :])  # it would be refused now
    assert run.recorded_marks[0].tolist() == [WINDOW + 5, WINDOW + 5]


def test_nor_does_it_where_nothing_comes_any_more(run: Run) -> None:
    frames = frames_of(1, 10)
    run.record([*frames[:4], *frames[5:]])
    asked = [run.ask_again()[1] for _ in range(MOST_LOOKS + 1)]
    assert asked.count([4]) == MOST_LOOKS // 2
    assert told(run) == [[-1, -1], [9, 9]]


def test_a_swapped_frame_at_the_end_leaves_none_unacknowledged(run: Run) -> None:
    frames = frames_of(0, 4)
    run.record([frames[0], frames[1], frames[3], frames[2]])
    assert told(run)[0] == [3, 3]


def test_the_emulator_sends_what_it_keeps_once_more_but_nothing_damaged(tmp_path: Path) -> None:
    frames, address = frames_of(0, 4), f"ipc://{tmp_path}/data"
    frames[2] = frames[2][:-1] + bytes([frames[2][-1] ^ 1])
    with zmq.Context.instance().socket(zmq.PULL) as daq:
        daq.bind(address)
        link = DataLink(address, 1)
        for frame in frames:
            assert link.send(0, frame, lambda: False)
        link.send_lacking(SendAgain(run_tag=1, sequences=[[1, 2, 9], [0]]), lambda: False)
        assert [daq.recv() for _ in range(5)] == [*frames, frames[1]]
        link.close()
        assert not daq.poll(50)
    assert link.kept.of(0) == frames


def test_so_does_a_link_process(tmp_path: Path) -> None:
    frames, address = frames_of(0, 4), f"ipc://{tmp_path}/data"
    with zmq.Context.instance().socket(zmq.PULL) as daq:
        daq.bind(address)
        sender = FrameSender(address, [0])
        for frame in frames:
            sender.send(0, frame)
        assert [daq.recv() for _ in frames] == frames
        wait_until(lambda: not sender._waiting, "the frames kept")
        sender.send_lacking(SendAgain(run_tag=1, sequences=[[2, 7], [0]]))
        assert daq.recv() == frames[2]
        wait_until(lambda: not sender._lacking, "the frame done with")
        sender.close()
    assert sender._kept.of(0) == frames
