"""The processor's name and features, where the system tells them and where not."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw import cpu

TWO_CORES = """processor\t: 0
model name\t: Some CPU: 3 GHz
flags\t\t: fpu avx2

processor\t: 1
model name\t: Another
flags\t\t: fpu
"""


def test_the_first_processor_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "CPUINFO", tmp_path / "cpuinfo")
    cpu.CPUINFO.write_text(TWO_CORES)
    assert cpu.cpu_model() == "Some CPU: 3 GHz"
    assert cpu.cpu_name_and_features() == "Some CPU: 3 GHz\nfpu avx2"


def test_without_a_list_of_processors_there_is_a_name_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "CPUINFO", tmp_path / "none")
    monkeypatch.setattr(cpu.platform, "processor", lambda: "")
    assert cpu.cpu_model() == "unknown"
