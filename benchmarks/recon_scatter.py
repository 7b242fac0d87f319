"""Scatter correction against the truth of emulated runs.

Its figures are in docs/reconstruction/scatter.md.

    tomoshibi demo --headless --preset caremibrain --phantom cylinder --duration 20 --truth
    tomoshibi truth RUN
    python benchmarks/recon_scatter.py RUN [RUN …] [--images docs/images] [--uniform-mm 100:75]

Each run is reconstructed without scatter correction, with it simulated, and by energies. The
estimates are compared with the true scatter: the amount, and its profiles over the distance of
lines from the axis, their tilt and (with time of flight) their offset. Figures of profiles:
Σ|estimate − truth| over Σ truth, and the same without the amount. ``--uniform-mm radius:half``
measures the uniformity of a cylinder in these images and in one of the true coincidences alone
(with attenuation, dead time and, with ``--calibration``, normalisation).
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from daq.replay.truth_join import CLASSES
from hw.arrays import F8
from hw.wire.protocol import TICK_PS_NUM, TICK_PS_SHIFT
from recon.core.correction_record import Corrections
from recon.core.events import Lors
from recon.core.grid import Image, ImageGrid
from recon.core.scanner_tables import ReconSystem
from recon.core.tof import HALF_C_MM_PER_PS
from recon.em.sensitivity_lines import sampled_lines
from recon.offline.frame_counts import Tally
from recon.offline.frame_setup import FrameModels
from recon.offline.line_corrections import line_factors, randoms_rate
from recon.offline.options import ReconOptions, Scatter
from recon.offline.reconstruction import reconstruct
from recon.offline.run_data import RunData
from recon.offline.run_reader import run_data
from recon.offline.scatter_step import scatter_rate
from recon.scatter import EnergyRate, ScatterRate
from recon.scatter.rate import mean_factor
from recon.scatter.tails import as_measured

KINDS: dict[str, Scatter] = {"off": "none", "simulated": "sss", "energies": "energy"}
PLAN = ReconOptions(psf_fwhm_mm=4.0, decay=False, calibration=False)
RADIAL_MM = np.linspace(0.0, 125.0, 11)
TILT_DEG = np.linspace(0.0, 32.0, 9)
TICK_MM = HALF_C_MM_PER_PS * TICK_PS_NUM / 2**TICK_PS_SHIFT
OFFSET_MM = (np.arange(22) - 10.5) * 7 * TICK_MM
"""Each bin holds as many of the offsets that whole ticks of the time can give."""


@dataclass(frozen=True)
class Case:
    """A run, its images by kind of scatter correction (emissions/s per mL) and its estimates."""

    name: str
    system: ReconSystem
    duration_s: float
    images: dict[str, Image]
    estimates: dict[str, ScatterRate]
    truth: dict[str, npt.NDArray[Any]]
    records: npt.NDArray[np.void]
    data: RunData
    threads: int


def load(
    folder: Path, calibration: Path | None, threads: int, *, tof: bool
) -> tuple[Case, dict[str, float]]:
    """Reconstruct and estimate; also time the estimates."""
    data = run_data(folder, calibration=calibration)
    system = data.system(tof=tof)
    if data.mu_map is None:
        raise SystemExit(f"{folder}: the run has no µ map")
    tally = Tally.of(data, [])
    images, rates, cost = {}, {}, {}
    for name, kind in KINDS.items():
        options = replace(PLAN, scatter=kind, threads=threads, tof=tof)
        images[name] = reconstruct(data, options).image
        done = Corrections()
        models = FrameModels(data, system, threads)
        models.factors = line_factors(data, models.system, options, done)
        models.randoms = randoms_rate(data, system, tally, options, done)
        models.mu = data.mu_map
        start = time.perf_counter()
        scatter_rate(models, tally, options, done)
        cost[f"{name}_s"] = round(time.perf_counter() - start, 1)
        found = models.scatter
        rates[name] = found.rate if isinstance(found, EnergyRate) else found
    with np.load(folder / "truth.npz") as file:
        truth = {name: file[name] for name in ("class", "scatters_a", "scatters_b")}
    records = np.concatenate(list(data.prompts()))
    estimates = {name: rate for name, rate in rates.items() if isinstance(rate, ScatterRate)}
    name = f"{data.scanner.name}_{data.labels.get('phantom', 'object')}".replace("-", "_")
    case = Case(name, system, data.duration_s, images, estimates, truth, records, data, threads)
    return case, cost


def places(lors: Lors) -> tuple[F8, F8]:
    """Return distance from the axis (mm) and tilt (degrees) of lines."""
    along = (lors.end - lors.start).astype(np.float64)
    flat = np.hypot(along[:, 0], along[:, 1])
    radial = np.abs(lors.start[:, 0] * along[:, 1] - lors.start[:, 1] * along[:, 0]) / flat
    return radial, np.degrees(np.arctan2(np.abs(along[:, 2]), flat))


def true_profiles(case: Case) -> dict[str, F8]:
    """Return counts of true scatter over radius, tilt and offset."""
    chosen = case.truth["class"] == CLASSES.index("scattered")
    volume = case.system.grid.voxel_volume_mm3
    located = case.system.detection.locate(case.records[chosen], voxel_volume_mm3=volume)
    radial, tilt = places(located.lors)
    found = {
        "radius": np.histogram(radial, RADIAL_MM)[0],
        "tilt": np.histogram(tilt, TILT_DEG)[0],
    }
    if case.system.tof is not None:
        found["offset"] = np.histogram(located.lors.offset_mm, OFFSET_MM)[0]
    return {name: counts.astype(np.float64) for name, counts in found.items()}


def estimated_profiles(case: Case, rate: ScatterRate) -> dict[str, F8]:
    """Return the same for an estimate, summed over quasi-random lines."""
    scanner = case.system.scanner
    parts, rng = [], np.random.default_rng(9)
    for lines in sampled_lines(case.system, samples=2_000_000):
        a, b = lines.crystal_a, lines.crystal_b
        radial, tilt = places(as_measured(case.system, a, b, rng).lors)
        parts.append((radial, tilt, rate.of_lines(a, b)))
    radial, tilt, value = (np.concatenate([part[k] for part in parts]) for k in range(3))
    pairs = np.triu(case.system.allowed, 1).sum()
    stands_for = case.duration_s * scanner.crystals_per_module**2 * pairs / len(value)
    found = {
        "radius": np.histogram(radial, RADIAL_MM, weights=value)[0] * stands_for,
        "tilt": np.histogram(tilt, TILT_DEG, weights=value)[0] * stands_for,
    }
    if case.system.tof is not None:
        table = rate.table.rates.sum(axis=(0, 1, 2), dtype=np.float64)
        place = (np.arange(len(table)) - (len(table) - 1) / 2) * rate.table.bin_mm
        middle = (OFFSET_MM[1:] + OFFSET_MM[:-1]) / 2
        values = np.interp(middle, place, table, left=0.0, right=0.0)
        found["offset"] = values / values.sum() * rate.total_per_s * case.duration_s
    return found


def figures(case: Case, uniform: tuple[float, float] | None) -> dict[str, Any]:
    """Return the figures of a run."""
    kind = case.truth["class"]
    true, scattered = (float((kind == CLASSES.index(name)).sum()) for name in CLASSES[:2])
    again = case.truth["scatters_a"].astype(int) + case.truth["scatters_b"] > 1
    multiple = float((again & (kind == CLASSES.index("scattered"))).sum())
    truth = true_profiles(case)
    told: dict[str, Any] = {
        "prompts": len(kind),
        "true_scatter_fraction": scattered / (true + scattered),
        "true_multiple_share": multiple / scattered,
    }
    for name, rate in case.estimates.items():
        amount = rate.total_per_s * mean_factor(rate) * case.duration_s
        one = {"scatter_over_truth": amount / scattered, **rate.about}
        one["scatter_fraction"] = amount / (true + scattered)
        for axis, counts in estimated_profiles(case, rate).items():
            shape = counts * truth[axis].sum() / counts.sum()
            one[f"{axis}_difference"] = float(np.abs(counts - truth[axis]).sum() / scattered)
            one[f"{axis}_shape_difference"] = float(np.abs(shape - truth[axis]).sum() / scattered)
        told[name] = one
    if uniform is not None:
        images = case.images | {"trues alone": of_trues(case)}
        told["uniform"] = {
            name: evenness(image, case.system.grid, *uniform) for name, image in images.items()
        }
    return told


def of_trues(case: Case) -> Image:
    """Return the image of the true coincidences alone, without background terms."""
    trues = case.records[case.truth["class"] == CLASSES.index("true")]
    data = replace(case.data, prompt_parts=lambda start_s, end_s: [trues])
    tof = case.system.tof is not None
    options = replace(PLAN, scatter="none", randoms=False, threads=case.threads, tof=tof)
    return np.asarray(reconstruct(data, options).image)


def evenness(image: Image, grid: ImageGrid, radius_mm: float, half_mm: float) -> dict[str, Any]:
    """Return ring and slab means of a cylinder over the overall mean, edge excluded."""
    x, y, z = grid.axes_mm()
    radius = np.broadcast_to(np.hypot(x, y), grid.shape)
    height = np.broadcast_to(np.abs(z), grid.shape)
    inner = (radius < radius_mm - 12) & (height < half_mm - 12)
    whole = float(image[inner].mean())
    edges = np.linspace(0.0, radius_mm - 12, 7)
    rings = [inner & (radius >= a) & (radius < b) for a, b in pairwise(edges)]
    slabs = [inner & (height >= a) & (height < a + 12) for a in np.arange(0.0, half_mm - 23, 12)]
    by_ring = [float(image[ring].mean()) / whole for ring in rings]
    by_slab = [float(image[slab].mean()) / whole for slab in slabs]
    worst = max(abs(value - 1) for value in (*by_ring, *by_slab))
    return {
        "rings": [round(value, 4) for value in by_ring],
        "slabs": [round(value, 4) for value in by_slab],
        "worst": round(worst, 4),
    }


def picture(cases: list[Case], folder: Path) -> None:
    """Draw profiles with the truth, and images with the correction off and on."""
    from matplotlib.figure import Figure

    for case in cases:
        truth = true_profiles(case)
        estimates = {name: estimated_profiles(case, rate) for name, rate in case.estimates.items()}
        edges = {"radius": RADIAL_MM, "tilt": TILT_DEG, "offset": OFFSET_MM}
        names = {"radius": "distance from the axis, mm", "tilt": "tilt, degrees",
                 "offset": "TOF offset, mm"}  # fmt: skip
        figure = Figure(figsize=(4.2 * len(truth), 3.2), layout="constrained")
        panels = np.atleast_1d(figure.subplots(1, len(truth)))
        for panel, (axis, counts) in zip(panels, truth.items(), strict=True):
            middle = (edges[axis][1:] + edges[axis][:-1]) / 2
            panel.step(middle, counts, where="mid", color="0.6", label="true scatter")
            for (label, found), style in zip(estimates.items(), ("-", "--"), strict=True):
                panel.plot(middle, found[axis], style, lw=1.3, label=label)
            panel.set_xlabel(names[axis])
            panel.set_ylim(0)
        panels[0].set_ylabel("events per bin")
        panels[0].legend(fontsize=8, frameon=False)
        figure.suptitle(case.name, fontsize=10)
        figure.savefig(folder / f"recon_scatter_profile_{case.name}.png", dpi=100)
        _draw_images(case, folder, Figure)


def _draw_images(case: Case, folder: Path, new_figure: Any) -> None:
    from scipy.ndimage import gaussian_filter

    figure = new_figure(figsize=(11.0, 3.4), layout="constrained")
    panels = figure.subplots(1, 4, width_ratios=[1, 1, 1, 1.3])
    middle = case.system.grid.shape[2] // 2
    smooth = {k: gaussian_filter(image, 1.3) for k, image in case.images.items()}
    slices = {k: v[:, :, middle - 4 : middle + 5].mean(axis=2) for k, v in smooth.items()}
    most = float(np.percentile(slices["off"], 99.7))
    for panel, (name, image) in zip(panels, slices.items(), strict=False):
        panel.imshow(image.T, vmin=0, vmax=most, cmap="gray_r", origin="lower")
        panel.set_title(f"scatter: {name}", fontsize=9)
        panel.set_axis_off()
    x = case.system.grid.axes_mm()[0].ravel()
    centre = case.system.grid.shape[1] // 2
    for name, image in slices.items():
        panels[3].plot(x, image[:, centre - 5 : centre + 6].mean(axis=1), lw=1.2, label=name)
    panels[3].legend(fontsize=8, frameon=False)
    panels[3].set(xlabel="x, mm", ylabel="emissions/s per mL")
    panels[3].set_ylim(0)
    figure.savefig(folder / f"recon_scatter_image_{case.name}.png", dpi=90)


def main() -> None:
    """Print one JSON object, and draw if requested."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders with truth.npz")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="draw into this folder")
    parser.add_argument("--uniform-mm", metavar="R:H", help="a cylinder's radius and half length")
    parser.add_argument("--calibration", type=Path, help="a calibration set with a normalisation")
    parser.add_argument("--no-tof", action="store_true", help="leave time of flight out")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    uniform = None
    if options.uniform_mm:
        radius, half = (float(part) for part in options.uniform_mm.split(":"))
        uniform = (radius, half)
    cases, told = [], {}
    for folder in options.runs:
        case, cost = load(folder, options.calibration, options.threads, tof=not options.no_tof)
        cases.append(case)
        told[folder.name] = figures(case, uniform) | {"cost": cost}
    print(json.dumps(told, indent=1))
    if options.images:
        picture(cases, options.images)


if __name__ == "__main__":
    main()
