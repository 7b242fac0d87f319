"""What a turn of the daq's loop gives its time to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from daq.service import service as loop
from daq.service.service import BUSY_WAIT, SORT_S, DaqService
from hw.messages.endpoints import Endpoints


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
