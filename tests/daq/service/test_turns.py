"""What a turn of the daq's loop gives its time to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from daq.service import service as loop
from daq.service.service import BUSY_WAIT, SORT_S, DaqService
from emulator.process.data_link import QUEUE_FRAMES, DataLink
from hw.messages.endpoints import Endpoints
from rigs.frames_factory import ModuleSender, single_words


@pytest.fixture
def service(tmp_path: Path) -> Iterator[DaqService]:
    made = DaqService(Endpoints(f"ipc://{tmp_path}/ipc"), runs_root=tmp_path / "runs")
    yield made
    made._sockets.close()


def test_sorting_has_a_quarter_of_the_time_while_more_data_wait_than_a_turn_takes(
    service: DaqService, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, sorted_at = [100.0], []

    def sort(budget_s: float) -> bool:
        sorted_at.append(now[0])
        now[0] += 2 * budget_s  # a batch that takes longer than it should
        return True

    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(service.life, "sort", sort)
    while now[0] < 110.0:
        assert service._sort(busy=True)
        now[0] += 0.001  # the rest of the turn: recording
    assert len(sorted_at) * 2 * SORT_S == pytest.approx(10.0 / (1 + BUSY_WAIT), rel=0.05)
    before = len(sorted_at)
    for _ in range(5):
        assert service._sort(busy=False)
    assert len(sorted_at) == before + 5


class Endless:
    """A data socket on which there is always another frame."""

    def __init__(self, length: int) -> None:
        self._frame = bytes(length)

    def recv(self, flags: int) -> bytes:
        return self._frame


@pytest.mark.parametrize(
    ("length", "taken"), [(100, 4096), (1024, 4096), (2**16, 64), (2**20, 4), (2**23, 1)]
)
def test_a_turn_takes_four_mebibytes_or_4096_frames(
    service: DaqService, monkeypatch: pytest.MonkeyPatch, length: int, taken: int
) -> None:
    monkeypatch.setattr(service._sockets, "data", Endless(length))
    frames, full = service._receive()
    assert (len(frames), full) == (taken, True)


def test_what_a_daq_that_takes_nothing_leaves_on_the_way_is_bounded(
    service: DaqService, tmp_path: Path
) -> None:
    """So much does a digitizer that keeps nothing lose at most with a daq that dies."""
    link = DataLink(Endpoints(f"ipc://{tmp_path}/ipc").of("data"), 2)
    sender, tries = ModuleSender(0), [0]

    def give_up() -> bool:
        tries[0] += 1
        return tries[0] > 10

    frame = sender.frame(single_words(range(4000)))
    while link.send(0, frame, give_up):
        pass
    link.close()
    in_kernel = 2 * 2**20 // len(frame)
    assert QUEUE_FRAMES + 256 - 1 <= link.sent[0] <= QUEUE_FRAMES + 256 + in_kernel
