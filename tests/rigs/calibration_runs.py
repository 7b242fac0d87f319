"""Runs for the calibration tests: a mis-calibrated bench, its truth, synthetic coincidences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from coincidence.events import SINGLE
from daq.calibration.coincidence_pairs import PAIR, expected_tof_ps
from daq.folder import calibration_set
from daq.folder.calibration_set import CalibrationSet
from daq.folder.run_config import RunConfig, default_settings
from daq.path.decode import Decoder
from daq.path.frame_check import FrameChecker
from daq.service.run import Run
from emulator.config import EmulatorConfig
from emulator.engines.emulation import frames_of_run
from emulator.engines.instrument import Instrument
from emulator.engines.prepare import prepare
from emulator.object.phantom import Phantom
from emulator.object.shapes import cylinder
from hw.scanner.description import Scanner
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text

BENCH = load_scanner("bench2")


@dataclass(frozen=True)
class BenchRun:
    """A run folder, and the crystals' true properties from the emulator; the mean skew is 0."""

    folder: Path
    gain: np.ndarray
    skew_ps: np.ndarray
    walk_ps: np.ndarray
    curvature: np.ndarray


def emulate_bench(
    root: Path, *, periods: int, seed: int = 3, phantom: Phantom | None = None
) -> BenchRun:
    """Measure a small water cylinder between the two modules, or another phantom."""
    emulation = EmulatorConfig(scanner="bench2", activity_Bq=6e6, seed=seed)
    phantom = phantom or cylinder(BENCH, radius_mm=8.0, length_mm=20.0)
    return emulate(root, emulation, periods=periods, phantom=phantom)


def emulate(
    root: Path, emulation: EmulatorConfig, *, periods: int, phantom: Phantom | None = None
) -> BenchRun:
    """Measure a run with this emulator configuration; its folder is named after the nuclide."""
    instrument = prepare(emulation, phantom=phantom)
    run = Run(
        RunConfig(
            scanner_toml=scanner_to_toml_text(emulation.scanner),
            settings=default_settings(load_scanner(emulation.scanner)),
            name=emulation.nuclide,
        ),
        root,
    )
    run.start()
    for frames in frames_of_run(instrument, emulation, periods=periods, run_tag=run.run_tag):
        run.process(frames)
    run.finish()
    run.write_summary()
    truth = instrument.truth
    skew_ps = truth.skew_ps - truth.skew_ps.mean()
    return BenchRun(run.folder, truth.gain, skew_ps, truth.walk_ps, truth.curvature)


def singles_of(
    config: EmulatorConfig, *, periods: int, phantom: Phantom | None = None
) -> tuple[Instrument, Iterator[np.ndarray]]:
    """Return the emulated instrument, and its singles as decoded, period by period."""
    scanner = load_scanner(config.scanner)
    instrument = prepare(config, phantom=phantom)

    def batches() -> Iterator[np.ndarray]:
        checker = FrameChecker(n_modules=scanner.n_modules, run_tag=1)
        decoder = Decoder(
            n_modules=scanner.n_modules, crystals_per_module=scanner.crystals_per_module
        )
        for frames in frames_of_run(instrument, config, periods=periods, run_tag=1):
            out = np.empty(sum(map(len, frames)) // 8, SINGLE)
            yield out[: decoder.decode(checker.check(frames), out)]

    return instrument, batches()


def synthetic_pairs(
    scanner: Scanner, skew_ps: np.ndarray, *, n: int, ctr_fwhm_ps: float, seed: int, randoms: float
) -> np.ndarray:
    """Return (n,) PAIR of random crystals in opposite modules, from a point at the centre.

    A true pair's time difference has the flight times of its line's foot, the two skews and a
    Gaussian; a share ``randoms`` has a uniform difference within ±4 ns instead.
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
    pairs["energy_a"] = pairs["energy_b"] = 5110
    return pairs


def add_walk(pairs: np.ndarray, walk_ps: np.ndarray, *, seed: int) -> np.ndarray:
    """Give half of the photons energies from 250 to 500 keV, and all pairs the crystals' walk:
    crossing the threshold is delayed by (√(511 keV/E) − 1)·walk."""
    rng, pairs = np.random.default_rng(seed), pairs.copy()
    for side, sign in (("a", -1), ("b", 1)):
        peak = rng.normal(511.0, 25.0, len(pairs)).clip(350, 650)
        scattered = rng.uniform(250.0, 500.0, len(pairs))
        energy_keV = np.where(rng.random(len(pairs)) < 0.5, peak, scattered)
        pairs[f"energy_{side}"] = np.rint(energy_keV * 10)
        late = walk_ps[pairs[f"crystal_{side}"]] * ((511 / energy_keV) ** 0.5 - 1)
        pairs["tof_ps"] += np.rint(sign * late).astype(np.int32)
    return pairs


def as_version(made: CalibrationSet, version: int) -> CalibrationSet:
    """Return a set as made by another version of the program, with its hash."""
    about = msgspec.structs.replace(made.about, version=version, serial="", hash="")
    found = calibration_set._content_hash(about, calibration_set.arrays_of(made))
    return msgspec.structs.replace(made, about=msgspec.structs.replace(about, hash=found))
