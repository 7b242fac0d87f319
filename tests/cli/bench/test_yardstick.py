"""Figures beside a yardstick of the same sitting: rates and durations as ratios to numpy's sort."""

from __future__ import annotations

from pathlib import Path

import pytest

from daq.cli.bench.speed_report import as_text, write_report
from daq.cli.bench.yardstick import YARDSTICK, in_yardsticks, yardstick


@pytest.mark.parametrize(
    ("suite", "name", "value", "ratio"),
    [
        ("sort", "full_chain_disordered_Msps", 80.0, "8"),
        ("projector", "tof_em_MLORps_one_thread", 2.0, "0.2"),
        ("emulator", "decays_per_s_one_core", 1.5e6, "0.15"),
        ("firmware", "native: round_trip_p50_ms", 25.0, "0.25"),
        ("live", "screen_latency_p50_ms", 150.0, "1.5"),
        ("live", "prompts_per_s", 1e5, ""),  # the source's, at any speed of the machine
        ("projector", "peers: STIR (quoted, 2 cores): nontof_em_MLORps", 0.49, ""),
        ("sort", "singles", 1000, ""),
        ("sort", "disorder: slowdown", 1.3, ""),
    ],
)
def test_ratio_to_ten_million_sorted_numbers_a_second(suite, name, value, ratio) -> None:
    assert in_yardsticks(suite, name, value, 10.0) == ratio


def test_no_yardstick_no_ratio() -> None:
    assert in_yardsticks("sort", "full_chain_disordered_Msps", 80.0, None) == ""


def test_the_report_tells_the_yardstick_and_the_ratios(tmp_path: Path) -> None:
    measured = yardstick()
    results = {"emulator": {"decays_per_s_one_core": 2e6 * measured[YARDSTICK]}}
    results["emulator"]["yardstick"] = measured
    assert "(2 × yardstick)" in as_text(results)
    write_report(tmp_path / "report.md", results, [])
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| decays_per_s_one_core |" in text and "| 2 |" in text
    assert f"| yardstick: {YARDSTICK} |" in text and "bench compare" in text
