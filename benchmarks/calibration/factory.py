r"""How true the factory calibration of a preset is: the figures of docs/calibration/overview.md.

    python benchmarks/calibration/factory.py --scanner tof_brain
    python benchmarks/calibration/factory.py --scanner caremibrain --seconds 12

Other sources, seeds and activities than the calibration's own, through the whole live chain
(`tomoshibi demo`): a point in air, once with the factory calibration and once without (photopeak,
energy resolution, CTR), then a cylinder of known activity beside the centre and the brain, whose
level is compared with the truth in the final live image and in that of `tomoshibi reconstruct`.
Prints one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt

from coincidence.events import COINCIDENCE
from daq.calibration.coincidence_pairs import expected_tof_ps
from daq.folder import listmode_log
from daq.folder.listmode_log import ListmodeReader
from daq.folder.run_folder import run_config
from emulator.object.catalogue import make_phantom
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner
from hw.wire.block_layout import BlockKind
from recon.core.grid import ImageGrid

CYLINDER = """\
name = "cylinder beside the centre"
[grid]
voxel_mm = 2.0
extent_mm = [180, 180, 120]
[[shape]]
kind = "cylinder"
centre_mm = [15, -10, 5]
radius_mm = 50
length_mm = 100
material = "water"
activity = 1.0
"""
CENTRE_MM, RADIUS_MM, LENGTH_MM, MARGIN_MM = (15.0, -10.0, 5.0), 50.0, 100.0, 15.0
SEEDS = {"point": 301, "cylinder": 302, "brain": 303}
Images = npt.NDArray[np.float64]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scanner", default="tof_brain")
    parser.add_argument("--seconds", type=float, default=12.0, help="of the cylinder, at 2 MBq")
    parser.add_argument("--only", choices=tuple(SEEDS), action="append")
    parser.add_argument("--runs", type=Path, help="keep the runs here")
    options = parser.parse_args()
    wanted = options.only or list(SEEDS)
    found: dict[str, Any] = {"scanner": options.scanner}
    with contextlib.ExitStack() as stack:
        runs = options.runs or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        runs.mkdir(parents=True, exist_ok=True)
        if "point" in wanted:
            for name in ("factory", "none"):
                folder = demo(runs, options.scanner, f"point-{name}", "point", 1.0, 5.0,
                              SEEDS["point"], "--calibration", name)  # fmt: skip
                found[f"point, {name}"] = point_figures(folder)
        if "cylinder" in wanted:
            phantom = runs / "cylinder.toml"
            phantom.write_text(CYLINDER, encoding="utf-8")
            folder = demo(runs, options.scanner, "cylinder", str(phantom), 2.0, options.seconds,
                          SEEDS["cylinder"])  # fmt: skip
            volume_mL = np.pi * RADIUS_MM**2 * LENGTH_MM / 1000
            found["cylinder"] = levels(folder, 2e6 / volume_mL, in_cylinder)
        if "brain" in wanted:
            folder = demo(runs, options.scanner, "brain", "brain", 3.0, options.seconds,
                          SEEDS["brain"])  # fmt: skip
            found["brain"] = levels(folder, *brain_truth(options.scanner, 3e6))
    print(json.dumps(found, indent=1))


def demo(
    runs: Path, scanner: str, name: str, phantom: str, activity_MBq: float, seconds: float,
    seed: int, *more: str,
) -> Path:  # fmt: skip
    """Run the chain; return the run's folder. One that was kept is taken again."""
    if not (runs / name / "summary.json").is_file():
        argv = ["demo", "--headless", "--fast", "--runs", str(runs), "--name", name,
                "--preset", scanner, "--phantom", phantom, "--activity-MBq", str(activity_MBq),
                "--duration", str(seconds), "--seed", str(seed), *more]  # fmt: skip
        subprocess.run([sys.executable, "-m", "daq.cli", *argv], check=True, stdout=sys.stderr)
    return runs / name


def point_figures(folder: Path) -> dict[str, float]:
    """Return photopeak and width of the energies, and of Δt, in the prompts of a point source."""
    prompts = [
        records
        for kind, records, _ in ListmodeReader(folder / listmode_log.FILE_NAME).placed()
        if kind == BlockKind.PROMPTS
    ]
    pairs = np.concatenate(prompts).view(COINCIDENCE)
    scanner = run_config(folder).scanner()
    energy_keV = np.concatenate([pairs["energy_a"], pairs["energy_b"]]) * 0.1
    rest_ps = pairs["tof_ps"] - expected_tof_ps(pairs, build_geometry(scanner), source="point")
    peak_keV, width_keV = peak(energy_keV, 470.0, 560.0, 4.0)
    return {
        "prompts": len(pairs),
        "photopeak_keV": round(peak_keV, 2),
        "energy_fwhm": round(width_keV / 511.0, 4),
        "preset_energy_fwhm": scanner.response.energy_fwhm_511,
        "ctr_fwhm_ps": round(peak(rest_ps, -1500.0, 1500.0, 10.0)[1], 1),
        "preset_ctr_fwhm_ps": scanner.response.ctr_fwhm_ps,
    }


def peak(values: Images, low: float, high: float, step: float) -> tuple[float, float]:
    """Return mean and FWHM of the Gaussian through a peak's upper part, by log-parabola."""
    counts, edges = np.histogram(values, np.arange(low, high + step, step))
    centres = (edges[:-1] + edges[1:]) / 2
    upper = counts > 0.5 * counts.max()
    fit = np.polyfit(centres[upper], np.log(counts[upper]), 2, w=np.sqrt(counts[upper]))
    return float(-fit[1] / (2 * fit[0])), float(2.3548 * np.sqrt(-1 / (2 * fit[0])))


def in_cylinder(grid: ImageGrid) -> Images:
    """Return the voxels well inside the cylinder as weights 0 and 1."""
    x, y, z = grid.axes_mm()
    a, b, c = CENTRE_MM
    inside = np.hypot(x - a, y - b) <= RADIUS_MM - MARGIN_MM
    return (inside & (np.abs(z - c) <= LENGTH_MM / 2 - MARGIN_MM)).astype(np.float64)


def brain_truth(scanner: str, activity_Bq: float) -> tuple[float, Any]:
    """Return the brain's mean concentration in the middle of the image, and where that is."""
    phantom = make_phantom("brain", load_scanner(scanner))
    x, y, z = np.meshgrid(*(phantom.axis_mm(axis) for axis in range(3)), indexing="ij", sparse=True)
    inside = brain_region(x, y, z)
    share = phantom.activity[inside].sum(dtype=np.float64) / phantom.activity.sum(dtype=np.float64)
    volume_mL = inside.sum() * np.prod(phantom.voxel_mm) / 1000
    return float(activity_Bq * share / volume_mL), lambda grid: brain_region(*grid.axes_mm())


def brain_region(x: Images, y: Images, z: Images) -> Images:
    """Return a cylinder that holds most of the brain, as a mask; its edge is far from any noise."""
    return np.asarray((np.hypot(x, y) <= 100.0) & (np.abs(z) <= 40.0))


def levels(folder: Path, truth: float, weights_of: Any) -> dict[str, float]:
    """Return the level of both images over the truth, at the run's start."""
    if not (folder / "images" / "osem.nii.gz").is_file():
        argv = ["reconstruct", str(folder), "--iterations", "4", "--subsets", "8"]
        subprocess.run([sys.executable, "-m", "daq.cli", *argv], check=True, stdout=sys.stderr)
    found = {"truth_Bq_per_mL": round(truth, 1)}
    for name, file in (("live", "live.nii.gz"), ("reconstruct", "osem.nii.gz")):
        about = json.loads((folder / "images" / file.replace(".nii.gz", ".json")).read_text())
        assert about["unit"] == "Bq/mL", about["unit"]
        image = np.asarray(nibabel.load(folder / "images" / file).dataobj, np.float64)
        grid = ImageGrid(image.shape, tuple(about["voxel_mm"]))
        weights = weights_of(grid).astype(np.float64)
        found[f"{name}_over_truth"] = round(
            float((image * weights).sum() / weights.sum()) / truth, 4
        )
    return found


if __name__ == "__main__":
    main()
