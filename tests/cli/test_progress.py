"""Progress in a log is sparse, and as often as a program that shows it asks for."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from daq.cli import progress
from daq.cli.progress import ProgressLine


@pytest.mark.parametrize(
    ("asked", "lines"),
    [("", 9), ("10", 9), ("0.5", 199), ("0", 990), ("-3", 990), ("nan", 9), ("often", 9)],
)
def test_without_a_terminal_lines_come_as_asked(
    asked: str, lines: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now_s = 0.0
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now_s))
    monkeypatch.delenv("TOMOSHIBI_PROGRESS_S", raising=False)
    if asked:
        monkeypatch.setenv("TOMOSHIBI_PROGRESS_S", asked)
    line = ProgressLine("work")
    for step in range(10_000):
        now_s = step / 100
        line(step, 10_000)
    told = capsys.readouterr().err.splitlines()
    assert len(told) == pytest.approx(lines, rel=0.12)
    assert all(words.startswith("work: ") for words in told)
