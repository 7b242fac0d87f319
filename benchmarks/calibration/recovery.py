r"""How well each calibration recovers the emulator's truth.

Its figures are in docs/calibration/overview.md.

    python benchmarks/calibration/recovery.py --scanner bench2 --coincidences 100000 --point
    python benchmarks/calibration/recovery.py --scanner bench2 --coincidences 1000000
    python benchmarks/calibration/recovery.py --scanner tof_brain --coincidences 2000000 \
        --activity-MBq 20 --radius-mm 20 --length-mm 120              (200000 with --one-line)
    python benchmarks/calibration/recovery.py --scanner caremibrain --coincidences 1000000 \
        --activity-MBq 20 --radius-mm 20 --length-mm 120 --one-line
    python benchmarks/calibration/recovery.py --scanner bench2 --lutetium 100
    python benchmarks/calibration/recovery.py --scanner tof_brain --lutetium 40

Emulates a cylinder of water with F-18 until this many coincidences are reached (as long with
Tc-99m, for the non-linearity; and a line source in air, for the walk), then calibrates as
`tomoshibi calibrate` does: energy, skew (with known source, and from all coincidences), walk.
Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from coincidence.calibration import Calibration, no_calibration
from daq.calibration.coincidence_pairs import pairs_of_run
from daq.calibration.energy_fit import LineSpectra, calibrate_lines
from daq.calibration.energy_spectra import line_grid, spectra_of_run
from daq.calibration.lutetium_fit import LOG_GRID, calibrate_lutetium
from daq.calibration.skew_fit import calibrate_skew
from daq.calibration.walk_fit import calibrate_walk
from daq.folder.calibration_set import Status
from daq.folder.run_config import RunConfig, default_settings
from daq.service.run import Run
from emulator.config import EmulatorConfig
from emulator.engines.emulation import frames_of_run
from emulator.engines.instrument import Instrument
from emulator.engines.prepare import prepare
from emulator.object.phantom import Phantom
from emulator.object.shapes import cylinder, line, point
from emulator.slices import PERIOD_S
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text

LLD_keV = 250.0


def main() -> None:
    """Emulate, calibrate, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scanner", default="bench2")
    parser.add_argument("--coincidences", type=int, default=200_000)
    parser.add_argument("--activity-MBq", type=float, default=6.0)
    parser.add_argument("--radius-mm", type=float, default=8.0)
    parser.add_argument("--length-mm", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--one-line", action="store_true", help="511 keV only, no Tc-99m run")
    parser.add_argument("--point", action="store_true", help="skew of a point source too")
    parser.add_argument(
        "--lutetium", type=float, metavar="S", help="instead: S seconds without a source"
    )
    options = parser.parse_args()
    work = _lutetium if options.lutetium else _measure
    with tempfile.TemporaryDirectory(prefix="tomoshibi-recovery-") as folder:
        print(json.dumps(work(options, Path(folder)), indent=1))


def _measure(options: argparse.Namespace, root: Path) -> dict[str, Any]:
    instrument, run = _emulate(options, root, "F-18", options.coincidences)
    folders = [run.folder]
    if not options.one_line:
        folders.append(_emulate(options, root, "Tc-99m", 0, periods=run.periods)[1].folder)
    result: dict[str, Any] = {"scanner": options.scanner, "radius_mm": options.radius_mm,
                              "length_mm": options.length_mm}  # fmt: skip
    known = _energy(instrument, folders, result)
    pairs = pairs_of_run(run.folder, calibration=known, most=options.coincidences)
    truth = instrument.truth.skew_ps - instrument.truth.skew_ps.mean()
    for source in ("cylinder", "all"):
        started = time.perf_counter()
        skew = calibrate_skew(pairs, instrument.scanner, source=source)
        result[f"skew_{source}"] = {
            **_errors(skew.skew_ps - truth, skew.status),
            "coincidences": len(pairs),
            "seconds": round(time.perf_counter() - started, 1),
        }
    if options.point:
        _, bare = _emulate(
            options, root, "F-18", options.coincidences, phantom=point(instrument.scanner)
        )
        pairs = pairs_of_run(bare.folder, calibration=known, most=options.coincidences)
        skew = calibrate_skew(pairs, instrument.scanner, source="point")
        result["skew_point"] = _errors(skew.skew_ps - truth, skew.status)
    in_air = line(instrument.scanner, length_mm=options.length_mm)
    _, bare = _emulate(options, root, "F-18", options.coincidences, phantom=in_air)
    wide = pairs_of_run(bare.folder, calibration=known, lld_keV=LLD_keV, most=options.coincidences)
    started = time.perf_counter()
    walk = calibrate_walk(wide, instrument.scanner, source="cylinder")
    result["walk"] = {
        **_errors(walk.walk_ps - instrument.truth.walk_ps, walk.status),
        "coincidences": len(wide),
        "median_standard_error_ps": round(float(np.median(walk.error_ps)), 2),
        "seconds": round(time.perf_counter() - started, 1),
    }
    result["skew_with_walk"] = _errors(walk.skew_ps - truth, walk.skew_status)
    result["peak_memory_MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return result


def _lutetium(options: argparse.Namespace, root: Path) -> dict[str, Any]:
    """Return the errors of gains calibrated without a source."""
    config = EmulatorConfig(scanner=options.scanner, phantom="point", activity_Bq=1.0,
                            seed=options.seed, lutetium=True)  # fmt: skip
    periods = round(options.lutetium / PERIOD_S)
    instrument = prepare(config)
    run = _new_run(options.scanner, "background", root)
    for frames in frames_of_run(instrument, config, periods=periods, run_tag=run.run_tag):
        run.process(frames)
    run.finish()
    run.write_summary()
    started = time.perf_counter()
    spectra = spectra_of_run(run.folder, [LOG_GRID])[0]
    result: dict[str, Any] = {
        "scanner": options.scanner,
        "seconds_measured": options.lutetium,
        "singles_a_crystal": int(spectra.sum() / len(spectra)),
    }
    truth = instrument.truth
    for words, curvature in (("", None), ("_curvature_known", truth.curvature)):
        found = calibrate_lutetium(spectra, instrument.scanner, curvature=curvature)
        error = 100 * np.log(found.gain * truth.gain)
        result[f"gain_percent{words}"] = _errors(error, found.status)
        result[f"share_within_1{words}"] = round(float(np.mean(np.abs(error) < 1)), 4)
    result["seconds"] = round(time.perf_counter() - started, 1)
    result["peak_memory_MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return result


def _new_run(scanner: str, name: str, root: Path) -> Run:
    settings = default_settings(load_scanner(scanner))
    text = scanner_to_toml_text(scanner)
    run = Run(RunConfig(scanner_toml=text, settings=settings, name=name), root)
    run.start()
    return run


class _Measured:
    def __init__(self, folder: Path, periods: int) -> None:
        self.folder, self.periods = folder, periods


def _emulate(
    options: argparse.Namespace,
    root: Path,
    nuclide: str,
    coincidences: int,
    *,
    periods: int = 10**9,
    phantom: Phantom | None = None,
) -> tuple[Instrument, _Measured]:
    """Measure up to this many prompts or periods."""
    scanner = load_scanner(options.scanner)
    config = EmulatorConfig(scanner=options.scanner, nuclide=nuclide, seed=options.seed,
                            activity_Bq=options.activity_MBq * 1e6)  # fmt: skip
    name = f"{nuclide}-{phantom.name}" if phantom else nuclide
    phantom = phantom or cylinder(scanner, radius_mm=options.radius_mm, length_mm=options.length_mm)
    instrument = prepare(config, phantom=phantom)
    run = _new_run(options.scanner, name, root)
    done = 0
    for frames in frames_of_run(instrument, config, periods=periods, run_tag=run.run_tag):
        run.process(frames)
        done += 1
        if coincidences and run.pipeline.sorter.counts.prompts >= coincidences:
            break
    run.finish()
    run.write_summary()
    return instrument, _Measured(run.folder, done)


def _energy(instrument: Instrument, folders: list[Path], result: dict[str, Any]) -> Calibration:
    started = time.perf_counter()
    lines = [
        LineSpectra(line_grid(line), spectra_of_run(folder, [line_grid(line)])[0])
        for line, folder in zip((511.0, 140.511), folders, strict=False)
    ]
    found = calibrate_lines(lines, instrument.scanner)
    truth = instrument.truth
    gain = _errors(100 * (found.gain * truth.gain - 1), found.status)
    result["gain_percent"] = {
        **gain,
        "share_within_1": round(float(np.mean(np.abs(found.gain * truth.gain - 1) < 0.01)), 4),
        "singles_a_crystal": int(lines[0].spectra.sum() / len(truth.gain)),
        "seconds": round(time.perf_counter() - started, 1),
    }
    if len(lines) > 1:
        result["curvature"] = _errors(found.curvature - truth.curvature, found.curvature_status)
    return replace(
        no_calibration(len(found.gain)),
        gain=found.gain.astype(np.float32),
        curvature=found.curvature.astype(np.float32),
    )


def _errors(error: Any, status: Any) -> dict[str, float]:
    own = status == Status.FITTED
    return {
        "rms": round(float(np.sqrt(np.mean(error**2))), 4),
        "rms_fitted": round(float(np.sqrt(np.mean(error[own] ** 2))), 4) if own.any() else 0.0,
        "worst": round(float(np.abs(error).max()), 4),
        "mean": round(float(error.mean()), 4),
        "fitted": round(float(own.mean()), 4),
    }


if __name__ == "__main__":
    main()
