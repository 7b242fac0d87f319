"""Whole runs: one seed one result, Poisson decays, sums that close, and GATE's numbers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from emulator.config import EmulationError, EmulatorConfig
from emulator.engines.emulation import Emulation, frames_of_run
from emulator.engines.prepare import prepare
from emulator.object.catalogue import make_phantom
from emulator.slices import DECAYS, PAIRS
from hw.scanner.preset_file import load_scanner
from oracles.emulation import PERIOD_PS, decode_frame, ideal

BENCH = EmulatorConfig(scanner="bench2", phantom="point", activity_Bq=2e6, seed=11)


def bytes_of(config: EmulatorConfig, periods: int = 6) -> list[list[bytes]]:
    return list(frames_of_run(prepare(config), config, periods=periods, run_tag=9))


def changed(config: EmulatorConfig, **fields: object) -> EmulatorConfig:
    from msgspec.structs import replace

    return replace(config, **fields)


def test_same_seed_gives_the_same_bytes():
    assert bytes_of(BENCH) == bytes_of(BENCH)


def test_number_of_threads_and_look_ahead_do_not_change_a_byte():
    assert bytes_of(BENCH) == bytes_of(changed(BENCH, threads=2, look_ahead_s=0.02))


def test_another_seed_gives_other_bytes():
    assert bytes_of(BENCH, 1) != bytes_of(changed(BENCH, seed=12), 1)


def test_slices_may_be_computed_in_any_order():
    emulation = Emulation(prepare(BENCH), activity_Bq=2e6, seed=11)
    late = emulation.emulate_slice(5).hits.tobytes()
    for index in range(5):
        emulation.emulate_slice(index)
    assert emulation.emulate_slice(5).hits.tobytes() == late


def test_slices_are_digitized_in_order_only():
    emulation = Emulation(prepare(BENCH), activity_Bq=1e4, seed=1)
    with pytest.raises(EmulationError, match="slice 1 came where 0 was due"):
        emulation.digitize(emulation.emulate_slice(1))


def test_decays_per_slice_are_poisson():
    emulation = Emulation(ideal(BENCH), activity_Bq=2e5, seed=3)
    counts = np.array([emulation.emulate_slice(k).tally[DECAYS] for k in range(600)])
    mean = 2e5 * PERIOD_PS * 1e-12
    assert counts.mean() == pytest.approx(mean, abs=4 * np.sqrt(mean / 600))
    dispersion = counts.var(ddof=1) / counts.mean()
    assert dispersion == pytest.approx(1, abs=4 * np.sqrt(2 / 599))


def test_activity_halves_with_the_half_life():
    config = changed(BENCH, nuclide="O-15", activity_Bq=2e6)
    emulation = Emulation(prepare(config), activity_Bq=2e6, seed=3)
    half_life_periods = round(122.24 / (PERIOD_PS * 1e-12))
    early = sum(int(emulation.emulate_slice(k).tally[DECAYS]) for k in range(20))
    later = sum(
        int(emulation.emulate_slice(half_life_periods + k).tally[DECAYS]) for k in range(20)
    )
    assert later / early == pytest.approx(0.5, abs=4 * 0.5 * np.sqrt(1 / early + 1 / later))


def test_only_the_beta_plus_share_of_decays_makes_pairs():
    emulation = Emulation(prepare(changed(BENCH, nuclide="Cu-64")), activity_Bq=4e6, seed=3)
    tally = emulation.emulate_slice(0).tally
    assert tally[PAIRS] / tally[DECAYS] == pytest.approx(
        0.174, abs=4 * np.sqrt(0.15 / tally[DECAYS])
    )


@pytest.mark.parametrize(
    ("setting", "value"),
    [("activity_Bq", 0.0), ("activity_Bq", 2e9), ("trigger_keV", 20.0), ("threads", 0)],
)
def test_setting_out_of_bounds_is_refused_by_name(setting, value):
    with pytest.raises(EmulationError, match=setting):
        prepare(changed(BENCH, **{setting: value}))


@pytest.mark.parametrize(
    "faults",
    [{}, {"lutetium": True, "dead_crystals": 20, "noisy_crystals": 2, "noise_Hz": 1e5}],
)
def test_every_deposit_ends_in_one_counter(faults):
    config = changed(BENCH, activity_Bq=2e7, **faults)
    emulation = Emulation(prepare(config), activity_Bq=2e7, seed=1)
    frames = [
        [bytes(f) for f in emulation.digitize(emulation.emulate_slice(k), last=k == 4)]
        for k in range(5)
    ]
    truth = emulation.totals.truth()
    assert truth["dead"] + truth["piled_up"] > 0
    assert truth["below_trigger"] > 0
    ends = ("below_trigger", "unread", "emitted", "dead", "piled_up", "lost", "off", "after_end")
    assert truth["deposits"] + truth["noise"] == sum(truth[k] for k in ends)
    decoded = [decode_frame(f) for by_module in frames for f in by_module]
    assert sum(d["event_count"] for d in decoded) == truth["emitted"]
    assert sum(d["dead_events"] for d in decoded) == truth["dead"] + truth["piled_up"]


def test_frames_hold_only_their_period_in_order_of_time():
    for period, by_module in enumerate(bytes_of(BENCH)):
        for module, frame in enumerate(by_module):
            decoded = decode_frame(frame)
            assert (decoded["module"], decoded["frame_id"]) == (module, period)
            ticks = [event["time"] for event in decoded["events"]]
            assert ticks == sorted(ticks)
            assert max(ticks, default=0) < 2**28
            assert {event["kind"] for event in decoded["events"]} <= {1}


def coincidences(time_ps: np.ndarray, module: np.ndarray) -> int:
    """Count pairs of unlike modules within 5 ns, all pairs, times in order."""
    n = 0
    for step in range(1, 6):
        close = time_ps[step:] - time_ps[:-step] < 5000
        n += int((close & (module[step:] != module[:-step])).sum())
    return n


def in_window_per_decay(phantom_name: str, activity_Bq: float, slices: int) -> tuple[float, float]:
    config = EmulatorConfig(phantom=phantom_name, trigger_keV=75.0)
    instrument = ideal(config, make_phantom(phantom_name, load_scanner("caremibrain")))
    emulation = Emulation(instrument, activity_Bq=activity_Bq, seed=4)
    singles = pairs = decays = 0
    for k in range(slices):
        part = emulation.emulate_slice(k)
        hits = part.hits[(part.hits["energy"] >= 3500) & (part.hits["energy"] <= 6500)]
        hits = hits[np.argsort(hits["time_ps"], kind="stable")]
        singles += len(hits)
        pairs += coincidences(hits["time_ps"], hits["module"])
        decays += int(part.tally[DECAYS])
    return singles / decays, pairs / decays


@pytest.fixture
def gate_folder() -> Iterator[Path]:
    root = os.environ.get("TOMOSHIBI_REFERENCE_DATA")
    folder = Path(root or "/nonexistent") / "gate"
    if not folder.is_dir():
        pytest.skip("TOMOSHIBI_REFERENCE_DATA names no folder with gate/ in it")
    yield folder


def gate_in_window_per_decay(path: Path, decays: float, *, absolute: bool) -> tuple[float, float]:
    with np.load(path) as data:
        true_keV = data["E_keV"].astype(float)
        time_ps = data["t_ns"] * 1e3 + (0 if absolute else data["event"] * 1e7)
        module = data["block"].astype(int)
    sigma = 0.15 * 511 / 2.354820045 * np.sqrt(true_keV / 511)  # the files are not blurred
    keV = true_keV + np.random.default_rng(1).normal(size=len(true_keV)) * sigma
    chosen = np.flatnonzero((keV >= 350) & (keV <= 650))
    chosen = chosen[np.argsort(time_ps[chosen], kind="stable")]
    return len(chosen) / decays, coincidences(time_ps[chosen], module[chosen]) / decays


@pytest.mark.reference_data
def test_point_source_counts_agree_with_gate(gate_folder):
    path = gate_folder / "point_center_2e5decays_singles.npz"
    expected = gate_in_window_per_decay(path, 2e5, absolute=False)
    ours = in_window_per_decay("point", 5e4, 1500)
    assert ours == pytest.approx(expected, rel=0.03)


@pytest.mark.reference_data
def test_water_cylinder_counts_agree_with_gate(gate_folder):
    path = gate_folder / "watercyl20cm_2MBq_200ms_singles.npz"
    expected = gate_in_window_per_decay(path, 4e5, absolute=True)
    ours = in_window_per_decay("cylinder", 2e6, 40)
    assert ours == pytest.approx(expected, rel=0.03)


def test_point_source_sensitivity_is_gates_published_in_the_data_description():
    """0.493 singles and 0.1286 coincidences per decay: figures of a larger run of GATE 10."""
    assert in_window_per_decay("point", 5e4, 1000) == pytest.approx((0.493, 0.1286), rel=0.03)
