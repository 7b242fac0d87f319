"""Runs for the calibration tests: a mis-calibrated bench, its truth, synthetic coincidences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from daq.calibrate_skew import PAIR, expected_tof_ps
from daq.run import Run
from daq.run_config import RunConfig, default_settings
from emulator.config import EmulatorConfig
from emulator.emulation import frames_of_run, prepare
from emulator.shapes import cylinder
from hw.geometry import build_geometry
from hw.scanner import Scanner, load_scanner, scanner_to_toml_text

BENCH = load_scanner("bench2")


@dataclass(frozen=True)
class BenchRun:
    """A run folder, and the gains and skews that the emulator gave its crystals."""

    folder: Path
    gain: np.ndarray
    skew_ps: np.ndarray


def emulate_bench(root: Path, *, periods: int, seed: int = 3) -> BenchRun:
    """Measure a small water cylinder between the two modules."""
    emulation = EmulatorConfig(scanner="bench2", activity_Bq=6e6, seed=seed)
    phantom = cylinder(BENCH, radius_mm=8.0, length_mm=20.0)
    instrument = prepare(emulation, phantom=phantom)
    run = Run(
        RunConfig(
            scanner_toml=scanner_to_toml_text("bench2"),
            settings=default_settings(BENCH),
            name="bench",
        ),
        root,
    )
    run.start()
    for frames in frames_of_run(instrument, emulation, periods=periods, run_tag=run.run_tag):
        run.process(frames)
    run.finish()
    run.write_summary()
    response = instrument.response
    return BenchRun(run.folder, response.gain, response.skew_ps)


def synthetic_pairs(
    scanner: Scanner, skew_ps: np.ndarray, *, n: int, ctr_fwhm_ps: float, seed: int, randoms: float
) -> np.ndarray:
    """Return (n,) PAIR of random crystals of opposite modules, from a point at the centre.

    Each true pair has the flight times of its line's foot, the two skews and a Gaussian; a share
    ``randoms`` has a uniform difference within ±4 ns instead.
    """
    rng = np.random.default_rng(seed)
    per_module, modules = scanner.crystals_per_module, scanner.n_modules
    first = rng.integers(0, modules // 2, n)
    opposite = first + modules // 2
    pairs = np.zeros(n, dtype=PAIR)
    pairs["crystal_a"] = first * per_module + rng.integers(0, per_module, n)
    pairs["crystal_b"] = opposite * per_module + rng.integers(0, per_module, n)
    flight = expected_tof_ps(pairs, build_geometry(scanner), source="point")
    noise = rng.normal(0.0, ctr_fwhm_ps / 2.3548, n)
    true = skew_ps[pairs["crystal_b"]] - skew_ps[pairs["crystal_a"]] + flight + noise
    random = rng.uniform(-4000.0, 4000.0, n)
    pairs["tof_ps"] = np.rint(np.where(rng.random(n) < randoms, random, true))
    return pairs
