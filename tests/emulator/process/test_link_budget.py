"""A rate that no link can carry is refused with the remedy; what fits is let through."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from emulator.config import EmulationError, EmulatorConfig
from emulator.detector.digitizer import digitizer_tables
from emulator.engines.emulation import frames_of_run
from emulator.engines.prepare import prepare
from emulator.process.settings_check import LinkBudget, check_links, link_budget
from emulator.slices import PERIOD_S
from hw.scanner.preset_file import load_scanner
from hw.wire.protocol import HEADER_BYTES, MAX_EVENTS

TABLES = digitizer_tables(load_scanner("bench2"))


def budget(per_decay: float, modules: int = 2, **tables: object) -> LinkBudget:
    share = np.full(modules, per_decay)
    return LinkBudget(share, np.zeros(modules), TABLES._replace(**tables))  # type: ignore[arg-type]


def test_the_busiest_frame_decides_where_there_is_no_dead_time():
    found = budget(0.1, dead_time_ps=0, integration_ps=0)
    assert found.too_much(0.98 * MAX_EVENTS / PERIOD_S / 0.1) == ""
    assert "events in a data frame, which holds 65536" in found.too_much(1.3e8)


def test_dead_time_keeps_a_modules_rate_below_its_links():
    assert budget(0.1, dead_time_ps=200_000).too_much(1e9) == ""
    paralysed = budget(0.1, dead_time_ps=200_000, paralysable=True)
    assert paralysed.events_cps(5e8).max() < paralysed.events_cps(5e7).max()


def test_many_modules_together_exceed_the_hosts_link():
    many = budget(0.01, modules=200, dead_time_ps=1000, integration_ps=0)
    assert "all modules together would send" in many.too_much(1e8)
    most = many.most_Bq(1e8)
    assert many.too_much(0.99 * most) == ""
    assert many.too_much(1.01 * most) != ""


def test_expected_events_are_those_that_an_emulation_sends():
    config = EmulatorConfig(scanner="bench2", phantom="point", activity_Bq=2e7, lutetium=True)
    instrument = prepare(config)
    expected = link_budget(instrument, config).events_cps(config.activity_Bq)
    frames = [frame for period in frames_of_run(instrument, config, periods=4) for frame in period]
    words = sum(len(frame) - HEADER_BYTES for frame in frames) / 8
    assert words / (4 * PERIOD_S) == pytest.approx(expected.sum(), rel=0.05)
    check_links(instrument, config)


def test_modules_whose_dead_time_bounds_them_are_let_through_at_any_activity():
    config = EmulatorConfig(scanner="bench2", phantom="point", activity_Bq=1e9)
    check_links(prepare(config), config)


def test_a_rate_beyond_the_links_is_refused_with_the_activity_and_the_most_that_fits():
    config = EmulatorConfig(scanner="bench2", phantom="point", activity_Bq=1e9)
    instrument = prepare(config)
    scanner = instrument.scanner
    response = msgspec.structs.replace(scanner.response, dead_time_ns=0.0, integration_ns=0.0)
    fast = replace(instrument, scanner=msgspec.structs.replace(scanner, response=response))
    words = r"activity of 1000 MBq: .* at most about .* MBq of F-18 in this phantom fit"
    with pytest.raises(EmulationError, match=words):
        check_links(fast, config)
