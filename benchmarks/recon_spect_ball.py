"""A ball of 60 mm in front of a gamma camera: what TEW misses of its scatter.

Its figures are in docs/reconstruction/spect.md.

    python benchmarks/recon_spect_ball.py                  the emulator's labelled photons
    python benchmarks/recon_spect_ball.py FOLDER           also images of a run

*labels*: the ball in cold water in front of an ideal LEHR camera; scattered counts by TEW, and by
TEW with the trial, over those by the labels, in rings about the ball's centre; its counts less
scatter within 12 mm of it, over the model's expectation without scatter. ``--events`` counts all
triggers; two thirds of them fall into the photopeak's window. *image*: the ball in a warm cylinder,
8 : 1, without an energy calibration: its activity within 12 mm above the background, and its own
share of that, over the truth. FOLDER's ``ball`` is used, or made with

    tomoshibi demo --headless --fast --live-frames 0 --runs FOLDER --name ball --seed 13 \\
        --preset gamma_head_lehr --phantom FOLDER/ball.toml --nuclide Tc-99m --activity-MBq 400 \\
        --gantry turn:6deg/s --duration 60

Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from recon_runs import demo, text_file

from emulator.object.catalogue import make_phantom, mu_map_on_grid
from emulator.object.painting import Canvas, Shape
from emulator.trials.cameras import SQUARE_BINS, ideal_camera, see
from hw.physics.energy_windows import spect_windows
from hw.scanner.description import Scanner
from hw.scanner.geometry import module_poses
from hw.scanner.preset_file import load_scanner
from recon.core.grid import ImageGrid
from recon.spect.offline import reconstruct_spect
from recon.spect.peaks import peaks_of
from recon.spect.projector import SpectProjector
from recon.spect.run import SpectOptions
from recon.spect.run_input import spect_run
from recon.spect.scatter import scatter_counts
from recon.spect.scatter_trial import tew_defect
from recon.spect.views import View, ViewSet

PRESET, NUCLIDE = "gamma_head_lehr", "Tc-99m"
RADIUS_MM, MARGIN_MM, CONTRAST = 30.0, 12.0, 8.0
BODY_MM = (100.0, 160.0)
PLACE_MM = (40.0, 10.0, 0.0)
WARM_MM, WARM_RADIUS_MM = (-50.0, -20.0, 0.0), 35.0
"""A ball of the warm cylinder, away from the hot one: the background."""

RINGS_MM = (0.0, 30.0, 45.0, 60.0, 90.0)
TRIGGER_KEV = 100.0
ACTIVITY_BQ = 9e8
BALL = f"""\
name = "ball"
[grid]
voxel_mm = 2.0
extent_mm = [200, 200, {BODY_MM[1]:g}]
[[shape]]
kind = "cylinder"
radius_mm = {BODY_MM[0]:g}
length_mm = {BODY_MM[1]:g}
material = "water"
activity = 1.0
region = "body"
[[shape]]
kind = "sphere"
centre_mm = [{PLACE_MM[0]:g}, {PLACE_MM[1]:g}, {PLACE_MM[2]:g}]
radius_mm = {RADIUS_MM:g}
activity = {CONTRAST:g}
region = "ball"
"""


def labels(events: int) -> dict[str, Any]:
    """Return scatter by TEW and with the trial, relative to the labels, and the ball's activity."""
    canvas = Canvas("ball", voxel_mm=(4.0,) * 3, extent_mm=(200.0, 200.0, BODY_MM[1]))
    canvas.paint(Shape("cylinder", (BODY_MM[0], BODY_MM[0], BODY_MM[1] / 2), material="water"))
    canvas.paint(Shape("sphere", (RADIUS_MM,) * 3, activity=1.0, region="ball"))
    phantom, scanner = canvas.phantom(), load_scanner(PRESET)
    camera = ideal_camera(PRESET, NUCLIDE, phantom, trigger_keV=TRIGGER_KEV, bins=SQUARE_BINS)
    seen = see(camera, events=events, activity_Bq=ACTIVITY_BQ)
    windows = spect_windows(NUCLIDE)
    (peak,) = peaks_of(scanner, windows)
    edges = (np.arange(scanner.module.n_u + 1) - scanner.module.n_u / 2) * scanner.module.pitch_u_mm
    inside = [seen.within(w.lld_keV, w.uld_keV - 0.05) for w in windows]
    scattered = inside[peak.number] & (seen.scatters > 0)
    *counts, true = (
        np.histogram2d(seen.u_mm[which], seen.v_mm[which], (edges, edges))[0]
        for which in (*inside, scattered)
    )
    views = ViewSet((view(scanner, seen.seconds),), np.array(counts, np.float32)[:, None])
    grid = ImageGrid(scanner.image.shape, scanner.image.voxel_mm)
    mu = mu_map_on_grid(phantom, grid.shape, grid.voxel_mm)
    x, y, z = grid.axes_mm()
    image = np.where(np.sqrt(x**2 + y**2 + z**2) < RADIUS_MM, np.float32(1), np.float32(0))
    image *= np.float32(ACTIVITY_BQ / image.sum())
    expected = SpectProjector(scanner, grid, peak, mu=mu).forward(image, views.views)[0]
    defect = tew_defect(image, mu, grid, scanner, windows, peak, views.views, "tew")
    found = {
        "TEW": scatter_counts(views, peak, scanner, "tew")[0],
        "TEW and trial": scatter_counts(views, peak, scanner, "tew", defect)[0],
        "labels": true,
    }
    middle = (edges[1:] + edges[:-1]) / 2
    away = np.hypot(*np.meshgrid(middle, middle))
    rings = {f"{a:g} to {b:g} mm": (away >= a) & (away < b) for a, b in pairwise(RINGS_MM)}
    near, peak_counts = away < RADIUS_MM + MARGIN_MM, np.asarray(counts[peak.number])
    return {
        "counts_in_window": int(peak_counts.sum()),
        "scattered_share": round(float(true.sum() / peak_counts.sum()), 4),
        "scatter_over_labels": {
            name: {
                ring: round(float(scatter[which].sum() / true[which].sum()), 3)
                for ring, which in rings.items()
            }
            for name, scatter in found.items()
            if name != "labels"
        },
        "activity_over_truth": {
            name: round(float((peak_counts - scatter)[near].sum() / expected[near].sum()), 3)
            for name, scatter in found.items()
        },
    }


def view(scanner: Scanner, seconds: float) -> View:
    """Return the single view of a stationary head."""
    centre, axes = module_poses(scanner, 0.0)
    u, w = ((float(axes[0, k, 0]), float(axes[0, k, 1])) for k in (0, 2))
    x, y, z = map(float, centre[0])
    return View(0, 0.0, u, w, (x, y, z), seconds, seconds)


def images(folder: Path) -> dict[str, Any]:
    """Return the ball's activity over the truth in images of a run, by scatter method."""
    shape = text_file(folder / "ball.toml", BALL)
    found = demo(folder, "ball", "--seed", "13", "--preset", PRESET, "--phantom", shape,
                 "--nuclide", NUCLIDE, "--activity-MBq", "400", "--gantry", "turn:6deg/s",
                 "--duration", "60")  # fmt: skip
    run = spect_run(found)
    grid = ImageGrid(run.scanner.image.shape, run.scanner.image.voxel_mm)
    mu = mu_map_on_grid(make_phantom(shape, run.scanner), grid.shape, grid.voxel_mm)
    run = replace(run, mu=mu, chunks=list(run.chunks))
    activity = json.loads((found / "run.json").read_text())["config"]["labels"]["activity_MBq"]
    volume_mL = 4 / 3 * math.pi * RADIUS_MM**3 / 1e3
    body_mL = math.pi * BODY_MM[0] ** 2 * BODY_MM[1] / 1e3
    level = 1e6 * activity / (body_mL + (CONTRAST - 1) * volume_mL)
    away, warm = (distance(grid, place) for place in (PLACE_MM, WARM_MM))
    told: dict[str, Any] = {}
    for name, method in (("none", "none"), ("TEW", "tew"), ("TEW and trial", "auto")):
        made = reconstruct_spect(run, SpectOptions(scatter=method))
        background = float(made.image[warm < WARM_RADIUS_MM].mean())
        above = made.image[away < RADIUS_MM + MARGIN_MM] - background
        ball = float(above.sum()) * grid.voxel_volume_mm3 / 1e3 + background * volume_mL
        told[name] = {
            "ball": round(ball / (CONTRAST * level * volume_mL), 3),
            "body": round(background / level, 3),
            "scatter_share": made.metadata["scatter_share"],
        }
    return told


def distance(grid: ImageGrid, place_mm: tuple[float, float, float]) -> np.ndarray:
    """Return each voxel's distance from a point, mm."""
    return np.asarray(
        np.sqrt(sum((a - b) ** 2 for a, b in zip(grid.axes_mm(), place_mm, strict=True)))
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER")
    parser.add_argument("--events", type=int, default=1_400_000, help="of the labelled photons")
    options = parser.parse_args()
    told = {"labels": labels(options.events)}
    if options.folder is not None:
        told["image"] = images(options.folder)
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
