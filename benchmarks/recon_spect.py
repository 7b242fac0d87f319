"""SPECT against the emulator's truth: the figures and pictures of docs/reconstruction/spect.md.

    python benchmarks/recon_spect.py spheres RUN [RUN …]   corrections off and on, sphere activities
    python benchmarks/recon_spect.py camera                sensitivity and resolution of the model
    python benchmarks/recon_spect.py projector             milliseconds per view

The first takes runs of the phantom `spheres`, made with

    tomoshibi demo --headless --fast --preset P --phantom spheres --activity-MBq 400 \\
        --gantry turn:6deg/s --duration 120

where P is gamma_head_lehr (gamma_head_melp with --nuclide Lu-177 --activity-MBq 900), as a file
with gain_spread = 0 instead of a calibration. Pictures go to docs/images (--pictures FOLDER).
Prints one JSON object. For a ball of 60 mm, by labels and reconstructed, see
``recon_spect_ball.py``.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from emulator.object.camera_phantoms import SPHERES_CONTRAST, SPHERES_MM, SPHERES_RING_MM
from emulator.object.catalogue import make_phantom, mu_map_on_grid
from emulator.trials.cameras import counts_per_photon, gaussian_fwhm_mm, line_spread_mm
from hw.physics.energy_windows import spect_windows
from hw.scanner.geometry import module_poses
from hw.scanner.preset_file import load_scanner
from recon.core.grid import Image, ImageGrid
from recon.spect.collimator import collimator_response
from recon.spect.crystal import counted_share
from recon.spect.offline import SpectImage, reconstruct_spect
from recon.spect.peaks import peaks_of
from recon.spect.projector import SpectProjector
from recon.spect.run import SpectOptions
from recon.spect.run_input import spect_run
from recon.spect.views import View

OFF = SpectOptions(
    iterations=6, subsets=8, attenuation=False, scatter="none", collimator_response=False
)
STEPS = (
    ("no correction", OFF),
    ("+ attenuation", replace(OFF, attenuation=True)),
    ("+ scatter (TEW)", replace(OFF, attenuation=True, scatter="tew")),
    ("+ what TEW misses", replace(OFF, attenuation=True, scatter="auto")),
    ("+ collimator response",
     replace(OFF, attenuation=True, scatter="auto", collimator_response=True)),
)  # fmt: skip
BODY_MM = (100.0, 180.0)
MARGIN_MM = 12.0
CAMERAS = (
    ("gamma_head_lehr", "Tc-99m", 140.511), ("gamma_head_melp", "Lu-177", 208.366),
    ("gamma_head_melp", "Lu-177", 112.95), ("czt_cardiac", "Tc-99m", 140.511),
)  # fmt: skip


def spheres(folder: Path, pictures: Path) -> dict[str, Any]:
    """Reconstruct a run with each correction added; measure, and draw."""
    activity_Bq = json.loads((folder / "run.json").read_text())["config"]["labels"]["activity_MBq"]
    activity_Bq *= 1e6
    run = spect_run(folder)
    if run.mu is None:
        image = run.scanner.image
        phantom = make_phantom("spheres", run.scanner)
        run = replace(run, mu=mu_map_on_grid(phantom, image.shape, image.voxel_mm))
    made, told = {}, {}
    for name, options in STEPS:
        began = time.perf_counter()
        made[name] = reconstruct_spect(replace(run, chunks=list(spect_run(folder).chunks)), options)
        told[name] = {
            **measured(made[name], activity_Bq),
            "seconds": round(time.perf_counter() - began, 1),
        }
    path = pictures / f"recon_spect_{_nuclide(made)}.png"
    draw(made, level_of(activity_Bq), path)
    last = made[STEPS[-1][0]].metadata
    return {
        "run": folder.name,
        "counts": last["counts_per_peak"],
        "scatter_share": last["scatter_share"],
        "scatter_share_tew": made["+ scatter (TEW)"].metadata["scatter_share"],
        "steps": told,
    }


def _nuclide(made: dict[str, SpectImage]) -> str:
    """Return a nuclide as in file names: Tc-99m is tc99m."""
    return str(made[STEPS[0][0]].metadata["nuclide"]).replace("-", "").lower()


def level_of(activity_Bq: float) -> float:
    """Return the true activity of the body, Bq/mL; the spheres have SPHERES_CONTRAST times that."""
    radius, length = BODY_MM
    hot = sum(math.pi / 6 * d**3 for d in SPHERES_MM) / 1e3
    return activity_Bq / (math.pi * radius**2 * length / 1e3 + (SPHERES_CONTRAST - 1) * hot)


def measured(made: SpectImage, activity_Bq: float) -> dict[str, Any]:
    """Return total and body, and each sphere's activity, relative to the truth.

    A sphere's activity is all above the true background within 12 mm of its surface, including what
    blur carried out of it.
    """
    grid, image, true = made.grid, made.image, level_of(activity_Bq)
    voxel_mL = grid.voxel_volume_mm3 / 1e3
    x, y, z = grid.axes_mm()
    body = (np.hypot(x, y) < 30.0) & (np.abs(z) < 60.0)
    found = {
        "total": float(image.sum()) * voxel_mL / activity_Bq,
        "body": float(image[body].mean()) / true,
    }
    background = float(image[body].mean())
    for number, diameter in enumerate(SPHERES_MM):
        angle = math.pi / 3 * number
        cx, cy = SPHERES_RING_MM * math.cos(angle), SPHERES_RING_MM * math.sin(angle)
        apart = np.sqrt((x - cx) ** 2 + (y - cy) ** 2 + z**2)
        around = apart < diameter / 2 + MARGIN_MM
        above = float((image[around] - background).sum()) * voxel_mL
        volume_mL = math.pi / 6 * diameter**3 / 1e3
        excess = (SPHERES_CONTRAST - 1) * true * volume_mL
        whole = SPHERES_CONTRAST * true * volume_mL
        found[f"{diameter:g} mm"] = (above + background * volume_mL) / whole
        inside = apart < diameter / 2
        found[f"{diameter:g} mm, mean inside"] = float(image[inside].mean()) / (
            SPHERES_CONTRAST * true
        )
        found[f"{diameter:g} mm, excess"] = above / excess
    return {name: round(value, 3) for name, value in found.items()}


def draw(made: dict[str, SpectImage], level: float, path: Path) -> None:
    """Draw the slice through the spheres with each correction, on one scale of Bq/mL."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(made) + 1, figsize=(15.0, 2.9), constrained_layout=True)
    top, shown = SPHERES_CONTRAST * level / 1e3, None
    for axis, (name, one) in zip(axes, made.items(), strict=False):
        n_z = one.image.shape[2]
        slab = one.image[:, :, n_z // 2 - 1 : n_z // 2 + 1].mean(axis=2).T / 1e3
        half = one.grid.shape[0] * one.grid.voxel_mm[0] / 2
        shown = axis.imshow(slab, origin="lower", cmap="gray_r", vmin=0, vmax=top,
                            extent=(-half, half, -half, half))  # fmt: skip
        axis.set_title(name, fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
    assert shown is not None
    figure.colorbar(shown, ax=axes[-2], label="kBq/mL", shrink=0.8)
    _profiles(axes[-1], made, top)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
    plt.close(figure)


def _profiles(axis: Any, made: dict[str, SpectImage], top: float) -> None:
    """Draw the activity along a line through the largest sphere and its neighbour across."""
    for name, one in made.items():
        grid = one.grid
        along = np.arange(-110.0, 110.0, 2.0)
        angle = math.pi / 3 * (len(SPHERES_MM) - 1)
        values = _along(one.image, grid, along * math.cos(angle), along * math.sin(angle))
        axis.plot(along, values / 1e3, lw=1, label=name)
    truth = np.where(np.abs(along) < BODY_MM[0], top / SPHERES_CONTRAST, 0.0)
    across = SPHERES_MM[len(SPHERES_MM) // 2 - 1]
    truth[np.abs(along - SPHERES_RING_MM) < SPHERES_MM[-1] / 2] = top
    truth[np.abs(along + SPHERES_RING_MM) < across / 2] = top
    axis.plot(along, truth, "k:", lw=1, label="truth")
    axis.set_xlabel("mm, through 17 and 37 mm", fontsize=8)
    axis.set_ylabel("kBq/mL", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.set_ylim(0, 2.0 * top)  # room for the legend
    axis.legend(fontsize=6, loc="upper center", ncols=2)


def _along(image: Image, grid: ImageGrid, x_mm: np.ndarray, y_mm: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    middle = image[:, :, grid.shape[2] // 2 - 1 : grid.shape[2] // 2 + 1].mean(axis=2)
    places = [(p - grid.origin_mm[k]) / grid.voxel_mm[k] for k, p in enumerate((x_mm, y_mm))]
    return np.asarray(ndimage.map_coordinates(middle, places, order=1))


def camera() -> Iterator[dict[str, Any]]:
    """Yield the model's sensitivity and resolution with the emulator's, in air."""
    for preset, nuclide, energy in CAMERAS:
        scanner = load_scanner(preset)
        response = collimator_response(scanner, energy)
        share = counted_share(scanner, energy, 0.9 * energy, 1.1 * energy)
        seen, sigma = counts_per_photon(
            preset, nuclide, energy, distance_mm=100.0, events=60_000, seed=1
        )
        made: dict[str, Any] = {
            "camera": preset, "keV": energy, "counts_per_photon": response.efficiency * share,
            "emulator": seen, "emulator_sigma": sigma,
        }  # fmt: skip
        for distance in (50.0, 100.0, 200.0) if scanner.module.monolithic else ():
            place = line_spread_mm(
                preset, nuclide, energy, distance_mm=distance, events=40_000, seed=2
            )
            made[f"fwhm_{distance:.0f}_mm"] = round(float(response.fwhm_mm(distance)), 2)
            made[f"emulator_fwhm_{distance:.0f}_mm"] = round(gaussian_fwhm_mm(place), 2)
        yield made


def projector() -> Iterator[dict[str, Any]]:
    """Yield milliseconds per view, forward and back with attenuation, on each preset's own grid."""
    for preset in ("gamma_head_lehr", "czt_cardiac"):
        scanner = load_scanner(preset)
        grid = ImageGrid(scanner.image.shape, scanner.image.voxel_mm)
        mu = np.where(grid.cylinder(100.0), np.float32(0.0096), np.float32(0.0))
        one = SpectProjector(scanner, grid, peaks_of(scanner, spect_windows("Tc-99m"))[0], mu=mu)
        views = [_view(scanner, k) for k in range(16)]
        image = np.ones(grid.shape, np.float32)
        seen = one.forward(image, views)
        times = []
        for _ in range(3):
            began = time.perf_counter()
            one.forward(image, views)
            middle = time.perf_counter()
            one.back(seen, views)
            times.append((middle - began, time.perf_counter() - middle))
        forward, back = (1e3 * min(t[k] for t in times) / len(views) for k in (0, 1))
        yield {"camera": preset, "grid": grid.shape, "forward_ms": round(forward, 2),
               "back_ms": round(back, 2)}  # fmt: skip


def _view(scanner: Any, k: int) -> View:
    module = k % scanner.n_modules
    centre, axes = module_poses(scanner, 2.0 * k)
    (ux, uy, _), (wx, wy, _) = axes[module, 0], axes[module, 2]
    x, y, z = map(float, centre[module])
    return View(module, 2.0 * k, (float(ux), float(uy)), (float(wx), float(wy)), (x, y, z), 1, 1)


def main() -> None:
    """Run the requested part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("spheres", "camera", "projector"))
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--pictures", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    made: list[Any] = []
    if options.part == "spheres":
        made = [spheres(folder, options.pictures) for folder in options.runs]
    else:
        made = list(camera() if options.part == "camera" else projector())
    print(json.dumps({options.part: made}, indent=1, default=str))


if __name__ == "__main__":
    main()
