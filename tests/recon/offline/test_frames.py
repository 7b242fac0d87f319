"""Frames and gates: how they are written, which events they hold, what is refused."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from recon.core.csv_tables import TableError
from recon.core.frames import FrameError, TimeSelection, frame_selections, parse_frames
from recon.offline.gating import GateError, GateSignal, gated_frames


def test_lengths_follow_each_other_and_times_stand_as_they_are() -> None:
    assert parse_frames("2x60s,1x2min, 30") == ((0, 60), (60, 120), (120, 240), (240, 270))
    assert parse_frames("0:60,90:300") == ((0, 60), (90, 300))


@pytest.mark.parametrize("text", ["", "10x", "60:0", "0:60,30:90", "ax3", "0:inf", "3x-5", "0:nan"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(FrameError):
        parse_frames(text)


def test_a_frame_beyond_the_end_is_cut_and_told() -> None:
    frames, notes = frame_selections(((0, 60), (60, 120), (120, 180)), duration_s=90)
    assert [frame.duration_s for frame in frames] == [60, 30, 0]
    assert frames[2].asked_s == (120, 180)
    assert len(notes) == 2 and "90 s" in notes[0]


def test_an_event_on_an_edge_belongs_to_the_later_frame() -> None:
    times = np.array([0, 10**12 - 1, 10**12, 2 * 10**12])
    first, second = (TimeSelection.frame(k, k + 1) for k in (0, 1))
    assert first.holds(times).tolist() == [True, True, False, False]
    assert second.holds(times).tolist() == [False, False, True, False]


def test_triggers_deal_each_cycle_out_and_reject_odd_ones() -> None:
    triggers = np.array([1.0, 5.0, 9.0, 30.0, 34.0])  # one of 21 s: no breath
    gates = GateSignal("trigger", triggers, np.zeros(0)).gates(4, duration_s=33.5)
    assert [gate.duration_s for gate in gates] == pytest.approx([3, 3, 3, 2.5])
    assert gates[1].intervals_s.tolist() == [[2, 3], [6, 7], [31, 32]]
    assert [gate.gate for gate in gates] == [1, 2, 3, 4]


def test_gates_by_amplitude_last_equally_long_and_part_the_signal() -> None:
    times = np.linspace(0, 40, 4001)
    signal = np.sin(2 * np.pi * times / 4)
    gates = GateSignal("amplitude", times, signal).gates(4, duration_s=40)
    assert [gate.duration_s for gate in gates] == pytest.approx([10] * 4, abs=0.05)
    inside = [signal[gate.holds((times * 1e12).astype(np.int64))] for gate in gates]
    for low, high in pairwise(inside):
        assert low.max() < high.min() + 0.02  # one sample of the signal


def test_gates_by_phase_wrap_from_one_cycle_into_the_next() -> None:
    times = np.arange(0, 12, 0.1)
    gates = GateSignal("phase", times, (times / 3) % 1).gates(3, duration_s=12)
    assert sum(gate.duration_s for gate in gates) == pytest.approx(times[-1])
    assert gates[0].holds(np.array([int(0.55e12), int(1.55e12)])).tolist() == [True, False]


def test_every_gate_of_every_frame() -> None:
    frames, _ = frame_selections(((0, 4), (4, 8)), duration_s=8)
    signal = GateSignal("trigger", np.array([0.0, 2, 4, 6, 8]), np.zeros(0))
    both = gated_frames(frames, signal.gates(2, duration_s=8), signal)
    assert [one.duration_s for one in both] == [2, 2, 2, 2]
    assert [one.gate for one in both] == [1, 2, 1, 2]
    assert both[2].intervals_s.tolist() == [[4, 5], [6, 7]]


def test_a_signal_file_says_by_its_first_line_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "signal.csv"
    path.write_text("t_s\n0\n4\n8\n")
    assert GateSignal.load(path).kind == "trigger"
    path.write_text("# belt\nt_s,amplitude\n0,1\n1,2\n")
    assert GateSignal.load(path).kind == "amplitude"
    for text, error in (
        ("t_s,height\n0,1\n1,2\n", GateError),
        ("t_s\n3\n2\n", GateError),
        ("t_s,phase\n0,0.1\n1,7\n", GateError),
        ("t_s\n0\nnan\n", TableError),
        ("t_s\n0,1\n", TableError),
        ("", TableError),
    ):
        path.write_text(text)
        with pytest.raises(error):
            GateSignal.load(path)
