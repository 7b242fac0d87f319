"""A hang in sorting: no sign of life is given, and what was recorded by then is gone on with."""

from __future__ import annotations

import shutil
import threading
import time

from daq.service.run import Run
from rigs.acquisition_process import wait_until
from rigs.daq_in_thread import DaqInThread, frames_in


def test_a_hang_in_sorting_shows_in_the_signs_of_life_and_loses_nothing(
    tmp_path, source, monkeypatch
) -> None:
    """The service manager ends a daq that is silent, and starts another (test_watchdog.py)."""
    hung, go_on = threading.Event(), threading.Event()
    sort_next = Run.sort_next

    def hang(run: Run):
        hung.set()
        assert go_on.wait(60)
        return sort_next(run)

    signs: list[float] = []
    with DaqInThread(tmp_path) as daq:
        monkeypatch.setattr(daq.service._manager, "alive", signs.append)
        modules = source(daq)
        folder = daq.start_run(modules)
        wait_until(lambda: len(signs) > 1, "signs of life")
        monkeypatch.setattr(Run, "sort_next", hang)
        try:
            modules.send_periods(3)
            assert hung.wait(20)
            before = len(signs)
            time.sleep(0.1)  # ten turns of a loop that goes round
            assert len(signs) == before
            recorded = frames_in(folder)
            assert recorded >= 1  # it was recorded before it was sorted
            left = tmp_path / "left" / folder.name
            shutil.copytree(folder, left)  # what a daq that is killed now leaves
        finally:
            go_on.set()
            monkeypatch.setattr(Run, "sort_next", sort_next)
        daq.finish(modules, folder)
    resumed = Run.resumed(left)
    try:
        assert int(resumed.next_sequences.sum()) == recorded
        while resumed.backlog:
            resumed.sort_next()
        assert int(resumed.pipeline.links["received"].sum()) == recorded
    finally:
        resumed.put_away()
