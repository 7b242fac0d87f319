"""Signals of a run: rows in order, once each, whole after a cut; words where one cannot be kept."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from daq.errors import LogError, RunError
from daq.folder.signals.signal_file import (
    MOST_SIGNALS,
    SignalFile,
    Signals,
    given_or_kept,
    kept_signal,
    signal_path,
)
from recon.core.csv_tables import read_columns
from recon.offline.gating import GateSignal
from recon.offline.parametric import InputFunction

US = 1_000_000


def test_rows_are_read_by_gates_and_input_functions(tmp_path: Path) -> None:
    signals = Signals(tmp_path)
    signals.of("ecg", "trigger", "a port")[0].add([US, 800_000 * US, 1_600_001 * US], [1, 1, 1])
    signals.of("belt", "amplitude", "lsl:belt")[0].add([0, US], [-0.25, 1e-9])
    signals.of("blood", "activity", "a pump")[0].add([US, 2 * US], [0.0, 41.5])
    signals.close()
    assert GateSignal.load(kept_signal(tmp_path, "ecg")).times_s == pytest.approx(
        [1e-6, 0.8, 1.600001]
    )
    assert GateSignal.load(kept_signal(tmp_path, "belt")).value.tolist() == [-0.25, 1e-9]
    assert InputFunction.load(kept_signal(tmp_path, "blood")).concentration.tolist() == [0.0, 41.5]
    assert signals.summary()[0] == {"name": "ecg", "kind": "trigger", "rows": 3, "left_out": 0}
    assert signal_path(tmp_path, "ecg").stat().st_mode & 0o777 == 0o600


def test_samples_out_of_order_and_from_before_the_run_are_left_out_and_counted(
    tmp_path: Path,
) -> None:
    one = SignalFile(tmp_path, "belt", "amplitude", "")
    assert one.add([-1, 5 * US, 4 * US, 5 * US, 6 * US], [0, 1, 2, 3, 4]) == 2
    assert (one.rows, one.left_out) == (2, 3)
    one.close()
    assert read_columns(one._path)[1].tolist() == [[5e-6, 1], [6e-6, 4]]


@pytest.mark.parametrize("cut", [1, 5, 9])
def test_a_daq_that_died_in_a_row_goes_on_behind_the_last_whole_one(
    tmp_path: Path, cut: int
) -> None:
    one = SignalFile(tmp_path, "belt", "amplitude", "")
    one.add([k * 1000 * US for k in range(1, 2001)], [0.5] * 2000)
    one.close()
    os.truncate(one._path, one._path.stat().st_size - cut)
    with pytest.raises(LogError, match="last row is cut off"):
        kept_signal(tmp_path, "belt")
    again = SignalFile(tmp_path, "belt", "amplitude", "")
    assert again.rows == 1999
    assert again.add([1999 * 1000 * US, 2000 * 1000 * US], [1, 2]) == 1
    again.close()
    names, rows = read_columns(kept_signal(tmp_path, "belt"))
    assert names == ("t_s", "amplitude")
    np.testing.assert_allclose(rows[:, 0], np.arange(1, 2001) * 1e-3)
    assert rows[-1, 1] == 2


def test_what_cannot_be_kept_is_refused_in_words(tmp_path: Path) -> None:
    signals = Signals(tmp_path)
    for k in range(MOST_SIGNALS):
        signals.of(f"s{k}", "trigger", "")
    with pytest.raises(RunError, match="has 8 already"):
        signals.of("more", "trigger", "")
    with pytest.raises(RunError, match="of kind trigger in this run"):
        signals.of("s0", "phase", "")
    signals.close()
    with pytest.raises(RunError, match="another kind"):
        Signals(tmp_path).of("s0", "phase", "")


def test_a_name_means_the_runs_own_signal_and_a_path_a_file(tmp_path: Path) -> None:
    SignalFile(tmp_path, "ecg", "trigger", "").close()
    assert given_or_kept(Path("ecg"), tmp_path) == signal_path(tmp_path, "ecg")
    assert given_or_kept(Path("some/ecg.csv"), tmp_path) == Path("some/ecg.csv")
    with pytest.raises(LogError, match="no signal belt; it has: ecg"):
        given_or_kept(Path("belt"), tmp_path)


def test_blood_as_measured_is_brought_back_to_the_reference() -> None:
    measured = InputFunction(np.array([0.0, 60.0, 120.0]), np.array([8.0, 4.0, 2.0]))
    assert measured.decayed_back(60.0, 60.0).concentration == pytest.approx([4.0, 4.0, 4.0])
