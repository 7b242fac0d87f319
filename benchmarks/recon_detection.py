"""The detection model against the truth: figures of docs/reconstruction/quantification.md.

    tomoshibi demo --headless --fast --truth --preset ideal.toml --phantom cylinder --duration 25
    tomoshibi truth RUN
    python benchmarks/recon_detection.py RUN [RUN …] [--radius-mm 100] [--half-mm 75]

RUN is of a uniform cylinder of water, on a scanner whose crystals are all alike (``ideal.toml``: a
preset with the spreads of gain, skew, walk, curvature and efficiency 0). Its true pairs, neither
scattered nor random, are compared with the prediction from geometry, attenuation and block
efficiency: by the distance of the lines from the axis, by their tilt, and in total. Then they are
reconstructed with attenuation alone, and the image's rings and slabs are compared. Everything is
printed with and without the block efficiency. Finally, scatter simulated from the true activity is
compared with the true scatter, single and multiple, and the rings of the image with all corrections
are printed for four quarters of the run.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from recon_scatter import evenness, places

from daq.replay.truth_join import CLASSES
from emulator.physics.materials import MU_WATER_511_PER_MM
from hw.arrays import F8
from hw.physics.nuclides import load_nuclide
from recon.core.events import Lors
from recon.em.sensitivity_lines import sampled_lines
from recon.offline.options import ReconOptions
from recon.offline.reconstruction import reconstruct
from recon.offline.run_data import RunData
from recon.offline.run_reader import run_data
from recon.scatter import EnergyWindow, ScatterOptions, ScatterRate, SingleScatter

SAMPLES = 2_000_000
RADIAL_MM = np.arange(0.0, 101.0, 10.0)
TILT_DEG = np.arange(0.0, 33.0, 4.0)


@dataclass(frozen=True)
class Cylinder:
    """A uniform cylinder of water along the axis, in the middle."""

    radius_mm: float
    half_mm: float

    @property
    def volume_mm3(self) -> float:
        """Its volume."""
        return float(2 * np.pi * self.radius_mm**2 * self.half_mm)

    def chords_mm(self, lors: Lors) -> F8:
        """Return the length of each line in it."""
        start = lors.start.astype(np.float64)
        along = lors.end.astype(np.float64) - start
        length = np.linalg.norm(along, axis=1)
        along /= length[:, None]
        a, b = (along[:, :2] ** 2).sum(1), (start[:, :2] * along[:, :2]).sum(1)
        room = b * b - a * ((start[:, :2] ** 2).sum(1) - self.radius_mm**2)
        half = np.sqrt(np.maximum(room, 0.0))
        along[:, 2] = np.where(np.abs(along[:, 2]) < 1e-9, 1e-9, along[:, 2])
        ends = np.sort((np.array([[-self.half_mm], [self.half_mm]]) - start[:, 2]) / along[:, 2], 0)
        low, high = np.maximum((-b - half) / a, ends[0]), np.minimum((half - b) / a, ends[1])
        return np.where(room > 0, np.maximum(high - low, 0.0), 0.0)


def true_pairs(folder: Path, data: RunData) -> npt.NDArray[np.void]:
    """Return the prompts that are true pairs."""
    path = folder / "truth.npz"
    if not path.exists():
        raise SystemExit(f"{path} is missing: record with --truth, then `tomoshibi truth {folder}`")
    with np.load(path) as file:
        kind = file["class"]
    return np.asarray(np.concatenate(list(data.prompts()))[kind == CLASSES.index("true")])


def lines(data: RunData, pairs: npt.NDArray[np.void], body: Cylinder, *, blocks: bool) -> None:
    """Print true pairs over their expectation."""
    system = data.system(block_efficiency=blocks)
    voxel_mm3 = system.grid.voxel_volume_mm3
    emitted_per_s = 1e6 * float(data.labels["activity_MBq"])
    emitted_per_s *= load_nuclide(str(data.labels["nuclide"])).beta_plus_fraction
    per_voxel = emitted_per_s * data.duration_s * voxel_mm3 / body.volume_mm3
    expected = [np.zeros(len(RADIAL_MM) - 1), np.zeros(len(TILT_DEG) - 1)]
    total = 0.0
    for part in sampled_lines(system, samples=SAMPLES):
        chord = body.chords_mm(part.lors)
        weight = part.weight * chord * np.exp(-MU_WATER_511_PER_MM * chord) * per_voxel
        total += float(weight.sum())
        for sums, place, edges in zip(
            expected, places(part.lors), (RADIAL_MM, TILT_DEG), strict=True
        ):
            sums += np.histogram(place, edges, weights=weight)[0]
    located = system.detection.locate(pairs, voxel_volume_mm3=voxel_mm3)
    print(f"  true pairs {len(pairs)}, over the model's {len(pairs) / total:.4f}")
    for name, sums, place, edges in zip(
        ("distance from the axis, mm", "tilt, degrees"),
        expected, places(located.lors), (RADIAL_MM, TILT_DEG), strict=True,
    ):  # fmt: skip
        seen = np.histogram(place, edges)[0]
        ratio = seen / sums / (len(pairs) / total)
        error = ratio / np.sqrt(np.maximum(seen, 1))
        words = " ".join(f"{r:.3f}±{e:.3f}" for r, e in zip(ratio, error, strict=True))
        print(f"  by {name} ({edges[0]:g} to {edges[-1]:g}): {words}")


def image(data: RunData, pairs: npt.NDArray[np.void], body: Cylinder, *, blocks: bool) -> None:
    """Print the uniformity of the image of the true pairs."""
    alone = replace(
        RunData.of_records(pairs, scanner=data.scanner, duration_s=data.duration_s),
        mu_map=data.mu_map, lld_keV=data.lld_keV, uld_keV=data.uld_keV,
    )  # fmt: skip
    plan = ReconOptions(scatter="none", decay=False, psf_fwhm_mm=4.0, block_efficiency=blocks)
    made = reconstruct(alone, plan)
    print(f"  image {evenness(made.image, made.grid, body.radius_mm, body.half_mm)}")


def scatter(folder: Path, data: RunData, pairs: int, body: Cylinder) -> None:
    """Print simulated over true scatter per second, at the true pairs' own scale."""
    system = data.system()
    if data.mu_map is None:
        raise SystemExit(f"{folder}: the run has no µ map")
    lit = np.asarray(data.mu_map > data.mu_map.max() / 2, np.float32)
    seen = 0.0
    for part in sampled_lines(system, samples=SAMPLES):
        chord = body.chords_mm(part.lors)
        seen += float((part.weight * chord * np.exp(-MU_WATER_511_PER_MM * chord)).sum())
    activity = lit * np.float32(pairs / data.duration_s / seen)
    window = EnergyWindow.of(data.scanner, lld_keV=data.lld_keV, uld_keV=data.uld_keV)
    with np.load(folder / "truth.npz") as file:
        turned = file["scatters_a"].astype(int) + file["scatters_b"]
        turned = turned[file["class"] == CLASSES.index("scattered")]
    true_per_s = len(turned) / data.duration_s
    found = {}
    for name, chains in (("integral of single scatter", 0), ("all", 400_000)):
        options = ScatterOptions(chains=chains)
        simulation = SingleScatter(system, data.mu_map, window, options=options, threads=2)
        found[name] = ScatterRate(system, simulation.table(activity)).total_per_s
    single = float((turned == 1).mean())
    print(f"  scatter: simulated over true {found['all'] / true_per_s:.3f}, the integral of single "
          f"scatter {found['integral of single scatter'] / true_per_s / single:.3f} of it; "
          f"true multiple over single {1 / single - 1:.3f}")  # fmt: skip


def quarters(data: RunData, body: Cylinder) -> None:
    """Print the uniformity of the images of four quarters of the run, with all corrections."""
    edges = np.linspace(0.0, data.duration_s, 5)
    frames = tuple((float(a), float(b)) for a, b in pairwise(edges))
    plan = ReconOptions(decay=False, calibration=False, psf_fwhm_mm=4.0, frames=frames)
    made = reconstruct(data, plan)
    rings = [
        evenness(made.image[..., k], made.grid, body.radius_mm, body.half_mm)["rings"]
        for k in range(len(frames))
    ]
    error = np.std(rings, axis=0, ddof=1) / 2
    words = " ".join(f"{m:.3f}±{e:.3f}" for m, e in zip(np.mean(rings, axis=0), error, strict=True))
    print(f"  all corrections, four quarters: rings {words}")


def main() -> None:
    """Print the figures of each run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--radius-mm", type=float, default=100.0)
    parser.add_argument("--half-mm", type=float, default=75.0)
    options = parser.parse_args()
    body = Cylinder(options.radius_mm, options.half_mm)
    for folder in options.runs:
        data = run_data(folder)
        pairs = true_pairs(folder, data)
        for blocks in (True, False):
            print(f"{folder.name}, {'with' if blocks else 'without'} block efficiency")
            lines(data, pairs, body, blocks=blocks)
            image(data, pairs, body, blocks=blocks)
        scatter(folder, data, len(pairs), body)
        quarters(data, body)


if __name__ == "__main__":
    main()
