"""Concentrations found in emulated cylinders, and a picture of motion, for the docs.

docs/recon_quantification.md quotes them.

    D="tomoshibi demo --headless --fast --runs RUNS"
    $D --name norm --phantom annulus.toml --activity-MBq 0.5 --duration 40 --seed 21
    $D --name cyl1 --phantom cylinder --activity-MBq 1 --duration 20 --seed 1
    $D --name cyl3 --phantom cylinder --activity-MBq 3 --duration 8 --seed 7
    $D --name o15 --phantom cylinder --nuclide O-15 --activity-MBq 1.5 --duration 60 --seed 4
    $D --name move --phantom hot-rod --motion poses.csv --duration 20 --seed 3
    tomoshibi calibrate normalisation norm --radius-mm 90 --inner-radius-mm 80 --length-mm 152 \\
        --runs RUNS --output norm.npz
    python benchmarks/recon_quantification.py RUNS --normalisation norm.npz --factor-from o15 \\
        --cylinders cyl1,cyl3,o15 --move move --poses poses.csv --image docs/images/recon_motion.png

annulus.toml is a cylinder of activity in air of radius 90 mm and length 152 mm, and within it one
of radius 80 mm without activity.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

from daq.cli.reconstruct_source import run_data
from hw.nuclides import load_nuclide
from recon.grid import Image
from recon.motion import PoseStream
from recon.offline import Extras, Reconstruction, reconstruct
from recon.options import ReconOptions
from recon.quantification import ActivityCalibration, Region, mean_in
from recon.run_data import RunData

CYLINDER_ML = math.pi * 10.0**2 * 15.0
REGION = Region(85.0, 120.0)
PLAN = ReconOptions(psf_fwhm_mm=3.0)


def main() -> None:
    """Reconstruct, compare, print, draw."""
    options = _options()
    source = options.runs / options.factor_from
    data = run_data(source, calibration=options.normalisation)
    factor = factor_of(data)
    print(f"factor {factor.factor:.4f} ± {100 * factor.error:.2g} % from {source.name}")
    extras = Extras(calibration=factor)
    for name in filter(None, options.cylinders.split(",")):
        data = run_data(options.runs / name, calibration=options.normalisation)
        tell(name, data, reconstruct(data, PLAN, extras))
        if data.labels["nuclide"] == "O-15":
            six = tuple((10.0 * k, 10.0 * k + 10.0) for k in range(6))
            tell(f"{name}, frames", data, reconstruct(data, replace(PLAN, frames=six), extras))
    if options.move:
        data = run_data(options.runs / options.move, calibration=options.normalisation)
        moved = Extras(poses=PoseStream.load(options.poses))
        plain = replace(PLAN, psf_fwhm_mm=0.0)
        images = [reconstruct(data, plain, given).image for given in (None, moved)]
        draw(images, options.image)


def factor_of(data: RunData) -> ActivityCalibration:
    """Return the factor that a cylinder's run gives, as `tomoshibi calibrate activity` does."""
    made = reconstruct(data, replace(PLAN, calibration=False))
    found = mean_in(made.image, made.grid, REGION)
    share = load_nuclide(data.labels["nuclide"]).beta_plus_fraction
    known = 1e6 * data.labels["activity_MBq"] / CYLINDER_ML
    return ActivityCalibration(
        factor=known * share / found.mean,
        error=found.error,
        scanner=data.scanner.name,
        corrections=made.corrections.applied(),
        run=data.name,
    )


def tell(name: str, data: RunData, made: Reconstruction) -> None:
    """Print what was found against what is true, for each frame."""
    true = 1e6 * data.labels["activity_MBq"] / CYLINDER_ML
    image = made.image if made.image.ndim == 4 else made.image[..., None]
    for number, frame in enumerate(made.frames):
        found = mean_in(image[..., number], made.grid, REGION)
        print(
            f"{name}: {frame.start_s:g}-{frame.end_s:g} s, {frame.prompts} prompts: "
            f"{found.mean:.1f} Bq/mL of {true:.1f}, {100 * (found.mean / true - 1):+.1f} %, "
            f"slices ± {100 * found.slices.std() / found.mean:.1f} %"
        )


def draw(images: list[Image], path: Path) -> None:
    """Draw transverse slabs without and with correction."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(7, 3.7))
    for axis, image, title in zip(axes, images, ("as measured", "with its poses"), strict=True):
        middle = image.shape[2] // 2
        slab = image[13:-13, 13:-13, middle - 9 : middle + 9].mean(axis=2)
        most = sorted(slab.ravel())[-len(slab.ravel()) // 300]
        axis.imshow(slab.T, origin="lower", cmap="gray_r", vmax=most, interpolation="bilinear")
        axis.set_title(title, fontsize=10)
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=80)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--normalisation", type=Path)
    parser.add_argument("--factor-from", required=True)
    parser.add_argument("--cylinders", default="")
    parser.add_argument("--move", default="")
    parser.add_argument("--poses", type=Path)
    parser.add_argument("--image", type=Path, default=Path("docs/images/recon_motion.png"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
