"""Each correction off and on, for a scanner that needs all of them.

Its figures are in docs/reconstruction/quantification.md.

    python benchmarks/recon_corrections.py FOLDER [--image docs/images/recon_corrections.png]

Makes, in FOLDER, a caremibrain whose crystals differ by 15 %, whose modules are dead for 5 µs after
each hit and whose window is 20 ns, so that every correction matters; then three runs of it: an
annulus in air (the normalisation), a cylinder of F-18 (the factor to Bq/mL), and a cylinder of
O-15, which is reconstructed with all corrections and with each of them left out. Runs and images
already in FOLDER are used. Draws the images with profiles against the truth, prints a table.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from recon_runs import demo, normalisation, text_file
from scipy import ndimage

from emulator.object.shapes import CYLINDER_LENGTH_MM, CYLINDER_RADIUS_MM
from hw.physics.nuclides import load_nuclide
from hw.scanner.preset_file import scanner_to_toml_text
from recon.analysis.contrast import Warm
from recon.analysis.picture import Picture
from recon.analysis.uniformity import uniformity
from recon.core.grid import Image, ImageGrid
from recon.core.quantification import ActivityCalibration, Region, load_calibration, mean_in
from recon.offline.options import ReconOptions
from recon.offline.reconstruction import Extras, reconstruct
from recon.offline.run_data import RunData
from recon.offline.run_reader import run_data

CYLINDER_ML = math.pi * CYLINDER_RADIUS_MM**2 * CYLINDER_LENGTH_MM / 1000
CYLINDER = Warm((0.0, 0.0, 0.0), 2 * CYLINDER_RADIUS_MM, CYLINDER_LENGTH_MM)
REGION = Region(85.0, 120.0)
PLAN = ReconOptions(psf_fwhm_mm=4.0)
SHOWN_FWHM_MM = 6.0
SLAB_MM = 40.0
POOR = {
    "gain_spread": 0.0,
    "skew_spread_ps": 0.0,
    "walk_ps": 0.0,
    "walk_spread_ps": 0.0,
    "curvature_spread": 0.0,
    "efficiency_spread": 0.15,
    "dead_time_ns": 5000.0,
    "window_ps": 20000,
}
"""What is not as in the preset: energies and times are ideal, so that no other set is needed."""


@dataclass(frozen=True)
class Row:
    """A correction to leave out."""

    title: str
    off: dict[str, Any]


ROWS = {
    "attenuation": Row("attenuation\n(scatter needs it)", {"attenuation": "none"}),
    "scatter": Row("scatter", {"scatter": "none"}),
    "randoms": Row("randoms", {"randoms": False}),
    "normalisation": Row("normalisation", {"normalisation": False}),
    "dead_time": Row("dead time", {"dead_time": False}),
    "decay": Row("decay", {"decay": False}),
}


def main() -> None:
    """Make what is missing, reconstruct, print, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--image", type=Path, default=Path("docs/images/recon_corrections.png"))
    options = parser.parse_args()
    folder: Path = options.folder
    make(folder)
    data = coarse(run_data(folder / "o15", calibration=folder / "norm.npz"))
    true = concentration(data)
    images = images_of(folder, data)
    grid = ImageGrid(data.scanner.image.shape, data.scanner.image.voxel_mm)
    for name, image in images.items():
        tell(name, image / np.float32(true), grid)
    draw({name: image / np.float32(true) for name, image in images.items()}, grid, options.image)


def make(folder: Path) -> None:
    """Make scanner, runs and normalisation, unless they exist; all with the same seed, also for the
    crystals."""
    text = scanner_to_toml_text("caremibrain")
    for name, value in POOR.items():
        text = re.sub(rf"^{name} = [-\d.e]+", f"{name} = {value}", text, flags=re.MULTILINE)
    poor = ("--seed", "6", "--preset", text_file(folder / "poor.toml", text))
    demo(folder, "o15", *poor, "--phantom", "cylinder", "--nuclide", "O-15",
         "--activity-MBq", "2.5", "--duration", "40")  # fmt: skip
    normalisation(folder, *poor, "--activity-MBq", "1", "--duration", "40")
    demo(folder, "f18", *poor, "--phantom", "cylinder", "--activity-MBq", "1", "--duration", "25")


def coarse(data: RunData) -> RunData:
    """Return the data with voxels of twice the size: eight times fewer, enough for slabs."""
    image = data.scanner.image
    shape = tuple(n // 2 for n in image.shape)
    wide = msgspec.structs.replace(
        image, shape=shape, voxel_mm=tuple(2 * mm for mm in image.voxel_mm)
    )
    if data.mu_map is None:
        raise SystemExit(f"{data.name} has no µ map")
    mu = data.mu_map.reshape(shape[0], 2, shape[1], 2, shape[2], 2).mean(axis=(1, 3, 5))
    return replace(data, scanner=msgspec.structs.replace(data.scanner, image=wide), mu_map=mu)


def images_of(folder: Path, data: RunData) -> dict[str, Image]:
    """Return the image with everything on, and one with each correction off, in Bq/mL."""
    plans = {"all on": PLAN} | {name: replace(PLAN, **row.off) for name, row in ROWS.items()}
    return {name: one_image(folder, data, name, plan) for name, plan in plans.items()}


def one_image(folder: Path, data: RunData, name: str, plan: ReconOptions) -> Image:
    """Return an image from the folder, or make it there."""
    path = folder / f"{name.replace(' ', '_')}.npy"
    if not path.exists():
        done = reconstruct(data, plan, Extras(calibration=factor(folder)))
        applied = {key: one.figures for key, one in done.corrections.done.items() if one.applied}
        print(name, applied, file=sys.stderr)
        np.save(path, done.image)
    return np.asarray(np.load(path))


def concentration(data: RunData) -> float:
    """Return the true Bq/mL at the run's start."""
    return 1e6 * float(data.labels["activity_MBq"]) / CYLINDER_ML


def factor(folder: Path) -> ActivityCalibration:
    """Return the factor to Bq/mL, as found by `tomoshibi calibrate activity`."""
    path = folder / "activity.json"
    if path.exists():
        return load_calibration(path)
    data = coarse(run_data(folder / "f18", calibration=folder / "norm.npz"))
    made = reconstruct(data, replace(PLAN, calibration=False))
    found = mean_in(made.image, made.grid, REGION)
    share = load_nuclide(data.labels["nuclide"]).beta_plus_fraction
    known = ActivityCalibration(
        factor=concentration(data) * share / found.mean,
        error=found.error,
        scanner=data.scanner.name,
        corrections=made.corrections.applied(),
        run=data.name,
    )
    path.write_bytes(msgspec.json.encode(known))
    return known


def tell(name: str, image: Image, grid: ImageGrid) -> None:
    """Print a row of the table: mean, worst ring and slice, noise of the slices."""
    x_mm, y_mm, z_mm = (float(mm) for mm in grid.origin_mm)
    picture = Picture(image.astype(np.float64), grid.voxel_mm, (x_mm, y_mm, z_mm), name=name)
    found = uniformity(picture, CYLINDER)
    print(
        f"| {name} | {mean_in(image, grid, REGION).mean:.3f} | {100 * found.worst_ring:.1f} % "
        f"| {100 * found.slices.std():.1f} % |"
    )


def draw(images: dict[str, Image], grid: ImageGrid, path: Path) -> None:
    """Draw the slab with each correction off and on, and profiles through both with the truth."""
    import matplotlib as mpl
    import PIL.Image

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        len(ROWS), 3, figsize=(7.4, 1.5 * len(ROWS)), width_ratios=(1, 1, 1.7),
        layout="constrained",
    )  # fmt: skip
    for line, (name, row) in zip(axes, ROWS.items(), strict=True):
        pair = images[name], images["all on"]
        top = plot(line[2], pair, grid)
        for axis, image in zip(line[:2], pair, strict=True):
            axis.imshow(slab(image, grid).T, origin="lower", cmap="gray_r", vmin=0,
                        vmax=top, interpolation="bilinear")  # fmt: skip
            axis.set(xticks=[], yticks=[], frame_on=False)
        line[0].set_ylabel(row.title, fontsize=9)
    titles = ("off", "on, with all others", "activity over truth (black = top of this axis)")
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=9)
    axes[-1, 2].legend(fontsize=8, loc="lower center", ncols=3, frameon=False)
    axes[-1, 2].set_xlabel("x, mm", fontsize=8)
    figure.savefig(path, dpi=80)
    plt.close(figure)
    PIL.Image.open(path).convert("RGB").quantize(64).save(path, optimize=True)


def smoothed(image: Image, grid: ImageGrid) -> Image:
    """Return the smoothed image to show."""
    return ndimage.gaussian_filter(image, [SHOWN_FWHM_MM / 2.355 / mm for mm in grid.voxel_mm])


def slab(image: Image, grid: ImageGrid) -> Image:
    """Return the mean over the middle 40 mm."""
    z = grid.axes_mm()[2].ravel()
    return np.asarray(smoothed(image, grid)[:, :, np.abs(z) <= SLAB_MM / 2].mean(axis=2))


def plot(axis: Any, pair: tuple[Image, Image], grid: ImageGrid) -> float:
    """Draw profiles along x, 40 mm wide both ways, and the truth; return the axis' top."""
    x, y, z = (one.ravel() for one in grid.axes_mm())
    half, top = SLAB_MM / 2, 1.0
    for image, style, name in zip(pair, ("C3-", "C0-"), ("off", "on"), strict=True):
        part = image[:, np.abs(y) <= half][:, :, np.abs(z) <= half].mean(axis=(1, 2))
        axis.plot(x, part, style, lw=1.2, label=name)
        top = max(top, 1.2 * float(part.max()))
    edge = CYLINDER_RADIUS_MM
    axis.plot([-115, -edge, -edge, edge, edge, 115], [0, 0, 1, 1, 0, 0], "k:", lw=1, label="truth")
    axis.set_xlim(-112, 112)
    axis.set_ylim(0, top)
    axis.tick_params(labelsize=7)
    return top


if __name__ == "__main__":
    main()
