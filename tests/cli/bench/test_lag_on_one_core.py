"""What benchmarks/reliability/lag_on_one_core.py makes of telemetry and summary."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "reliability" / "lag_on_one_core.py"
SUMMARY = {
    "activity_MBq": 0.2,
    "start_to_first_image_s": 6.25,
    "source": [{"max_lag_s": 0.71}],
    "images": {"fraction_used": 0.999},
}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lag_on_one_core", SCRIPT)
    assert spec and spec.loader
    made = importlib.util.module_from_spec(spec)
    sys.modules["lag_on_one_core"] = made  # dataclasses look there
    spec.loader.exec_module(made)
    return made


def test_the_lag_of_the_start_is_told_apart_from_that_of_the_rest(script: ModuleType) -> None:
    samples = [(1.0, 0.1), (2.0, 0.7), (5.0, 0.3), (6.0, 0.02), (7.0, 0.05)]
    found = script.lag_of(samples, SUMMARY, load_before=0.123)
    assert (found.start_s, found.steady_s, found.greatest_s) == (0.7, 0.05, 0.71)
    assert found.median_s == 0.1
    assert found.load_before == 0.12


def test_the_table_has_a_row_for_each_run(script: ModuleType) -> None:
    found = script.lag_of([(6.0, 0.04)], SUMMARY, load_before=0.0)
    rows = script.table([found, found], duration_s=30.0).splitlines()
    assert rows[0].startswith("2 runs of 30 s, ")
    assert rows[-1] == "| 0 | 0.2 | 6.2 | 0.04 | 0.00 | 0.04 | 0.71 | 99.9 % |"
    assert rows[-2] == rows[-1]
