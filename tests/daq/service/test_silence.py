"""What should be heard in a run and is not is named, before it counts as lost."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from daq.service.data_sources import Source
from daq.service.run import Run
from daq.service.watching.silence import DATA_S, IMAGER_S, SOURCE_S, silences, states_shown
from hw.messages.source import Hello
from rigs.frames_factory import sent_run

FRAMES = sent_run(n_modules=2, crystals_per_module=64, periods=300)
HELLO = Hello(kind="emulator", scanner="bench2", modules=2)


@pytest.fixture
def run(tmp_path: Path, make_config: Any) -> Any:
    run = Run(make_config(run_tag=FRAMES.report.run_tag), tmp_path)
    run.process(FRAMES.frames[:40])
    yield run
    run.abandon()


def told(
    run: Run, *, data_s: float = 0.0, source_s: float = 0.0, imager_s: float = 0.5
) -> list[str]:
    sources = [(Source(HELLO, 0.0), source_s)]
    return list(silences(run, data_s=data_s, sources=sources, imager_s=imager_s))


def test_where_all_speak_nothing_is_told(run: Run) -> None:
    assert told(run) == []
    assert states_shown(run, heard=True) == ["live", "live"]


def test_a_dead_source_is_named_before_its_data_and_no_module_is_live(run: Run) -> None:
    both = told(run, data_s=DATA_S + 1, source_s=SOURCE_S + 1)
    assert both == ["source emulator", "data"]
    assert states_shown(run, heard=False) == ["stalled", "stalled"]


def test_an_imager_that_never_was_is_not_missed_and_one_that_was_is(run: Run) -> None:
    assert told(run, imager_s=math.inf) == []
    assert told(run, imager_s=IMAGER_S + 0.1) == ["imager"]


def test_a_module_that_stalls_while_others_send_is_named_with_its_age(run: Run) -> None:
    run.process([frame for k, frame in enumerate(FRAMES.frames[40:]) if k % 2 == 0])
    found = silences(run, data_s=0.0, sources=[], imager_s=0.0)
    assert list(found) == ["module 1"]
    assert found["module 1"] > 1.0
