"""What ends a run by its plan: counts reached, or noise that has come down to what was wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daq.folder.run_config import RunConfig
from daq.service.run import Run
from daq.service.watching.run_ends import FALLEN, LOW_REPORTS, RunEnds, counted, noise_percent
from hw.messages.imager import ImagerReport

Make = Callable[..., Run]

RISE = (20.0, 40.6, 47.4, 53.8, 61.0, 62.0, 63.4, 68.1, 69.5)
"""Noise in %, a report a second, of an emulated brain: the image begins smooth."""


@pytest.fixture
def make_run(make_config: Callable[..., RunConfig], tmp_path: Path) -> Iterator[Make]:
    made: list[Run] = []

    def make(**changes: object) -> Run:
        made.append(Run(make_config(**changes), tmp_path))
        return made[-1]

    yield make
    for run in made:
        run.put_away()


def after(ends: RunEnds, run: Run, *noises: float, first: int = 1) -> str:
    """Return why the run is to be ended after reports of these noises, in %."""
    why = ""
    for number, noise in enumerate(noises, start=first):
        run.imager = ImagerReport(run=run.name, images=12 * number, noise=noise / 100)
        assert not why, "a run is ended once"
        for _ in range(3):  # the daq looks more often than the imager reports
            line = None if why else ends.why(run)
            why = line.text if line else why
    return why


def test_without_a_plan_nothing_ends_it(make_run: Make) -> None:
    run = make_run()
    assert after(RunEnds(), run, *RISE, 1.0, 1.0, 1.0, 1.0) == ""
    assert noise_percent(run) == pytest.approx(1.0)


def test_the_smooth_beginning_of_an_image_ends_no_run(make_run: Make) -> None:
    run = make_run(until_noise_percent=60.0)
    assert after(RunEnds(), run, *RISE, 65.0, 60.0, 55.0, 53.0) == ""


def test_noise_that_has_fallen_ends_it_after_some_reports(make_run: Make) -> None:
    ends, run = RunEnds(), make_run(until_noise_percent=60.0)
    low = FALLEN * max(RISE) - 0.1
    assert after(ends, run, *RISE, *[low] * LOW_REPORTS) == (
        "the live image has the noise that was wanted: 52 %, at most 60 %"
    )


def test_a_single_low_report_is_chance_and_0_is_not_known(make_run: Make) -> None:
    run = make_run(until_noise_percent=30.0)
    assert after(RunEnds(), run, *RISE, 29.0, 29.0, 31.0, 29.0, 0.0, 29.0, 29.0) == ""


def test_an_imager_that_was_started_again_begins_anew(make_run: Make) -> None:
    ends, run = RunEnds(), make_run(until_noise_percent=50.0)
    assert after(ends, run, *RISE, 60.0) == ""
    assert after(ends, run, 10.0, 20.0, 30.0, 40.0) == ""


def test_counts_end_it_when_they_are_reached(make_run: Make) -> None:
    run = make_run(until_counts=1)
    assert counted(run) == 0
    assert RunEnds().why(run) is None
    run.pipeline.counts.prompts = 1_234
    line = RunEnds().why(run)
    assert line is not None and line.text == "1 counts are reached: 1234"
    assert (line.id, line.values) == ("end.counts", {"wanted": "1", "found": "1234"})
