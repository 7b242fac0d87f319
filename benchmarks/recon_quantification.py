"""Concentrations, motion, hot rods and few counts.

Its figures are in docs/reconstruction/quantification.md.

    python benchmarks/recon_quantification.py FOLDER [PART …]

| part | prints or draws | runs of FOLDER |
|---|---|---|
| cylinders | Bq/mL found in cylinders and frames, by the factor of ``o15`` | o15, cyl1, cyl3 |
| motion | docs/images/recon_motion.png (--image), without and with poses | move |
| rods | the valleys between hot rods, by diameter | rods |
| counts | how much higher six frames read than the whole run | o15 |

Without PART all are run. Runs already in FOLDER are used; the others are made as

    tomoshibi demo --headless --fast --live-frames 0 --runs FOLDER --name NAME …

    norm    --phantom annulus.toml --activity-MBq 0.5 --duration 40 --seed 21
    cyl1    --phantom cylinder --activity-MBq 1 --duration 20 --seed 1
    cyl3    --phantom cylinder --activity-MBq 3 --duration 8 --seed 7
    o15     --phantom cylinder --nuclide O-15 --activity-MBq 1.5 --duration 60 --seed 4
    move    --phantom hot-rod --motion poses.csv --activity-MBq 1 --duration 20 --seed 3
    rods    --phantom hot-rod --activity-MBq 1 --duration 20 --seed 6

with ``annulus.toml`` (``recon_runs.py``) and ``poses.csv`` written there; ``norm.npz`` is made from
``norm`` by ``tomoshibi calibrate normalisation``.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from recon_runs import demo, normalisation, text_file

from emulator.object.shapes import HOT_ROD_DIAMETERS_MM, _rod_centres_mm
from hw.physics.nuclides import load_nuclide
from hw.regions import Cylinder
from recon.analysis.picture import Picture
from recon.analysis.regions import measure
from recon.core.grid import Image
from recon.core.quantification import ActivityCalibration, Region, mean_in
from recon.offline.motion import PoseStream
from recon.offline.options import ReconOptions
from recon.offline.reconstruction import Extras, Reconstruction, reconstruct
from recon.offline.run_data import RunData
from recon.offline.run_reader import run_data

CYLINDER_ML = math.pi * 10.0**2 * 15.0
REGION = Region(85.0, 120.0)
PLAN = ReconOptions(psf_fwhm_mm=3.0)
RODS_MM = 60.0
SIX = tuple((10.0 * k, 10.0 * k + 10.0) for k in range(6))
RUNS = {
    "cyl1": "--phantom cylinder --activity-MBq 1 --duration 20 --seed 1",
    "cyl3": "--phantom cylinder --activity-MBq 3 --duration 8 --seed 7",
    "o15": "--phantom cylinder --nuclide O-15 --activity-MBq 1.5 --duration 60 --seed 4",
    "move": "--phantom hot-rod --activity-MBq 1 --duration 20 --seed 3 --motion",
    "rods": "--phantom hot-rod --activity-MBq 1 --duration 20 --seed 6",
}
POSES = """\
t_s,x_mm,y_mm,z_mm,rx_deg,ry_deg,rz_deg
0,0,0,0,0,0,0
5,0,0,0,0,0,0
5,8,-5,6,3,-4,10
10,8,-5,6,3,-4,10
20,-6,4,-5,-2,3,-12
"""


@dataclass(frozen=True)
class Runs:
    """The folder of runs, and where the picture goes."""

    folder: Path
    image: Path

    @property
    def poses(self) -> Path:
        """The body's motion during ``move``."""
        return Path(text_file(self.folder / "poses.csv", POSES))

    def data(self, name: str) -> RunData:
        """Return a run with its normalisation; both are made if missing."""
        words = RUNS[name].split() + ([str(self.poses)] if name == "move" else [])
        norm = ("--activity-MBq", "0.5", "--duration", "40", "--seed", "21")
        return run_data(
            demo(self.folder, name, *words), calibration=normalisation(self.folder, *norm)
        )


def cylinders(runs: Runs) -> None:
    """Print the factor from one cylinder, and the Bq/mL it gives in its frames and in others."""
    data = runs.data("o15")
    factor = factor_of(data)
    print(f"factor {factor.factor:.4f} ± {100 * factor.error:.2g} % from {data.name}")
    extras = Extras(calibration=factor)
    for name in ("cyl1", "cyl3", "o15"):
        data = runs.data(name)
        tell(name, data, reconstruct(data, PLAN, extras))
    tell("o15, frames", data, reconstruct(data, replace(PLAN, frames=SIX), extras))


def factor_of(data: RunData) -> ActivityCalibration:
    """Return the factor from a cylinder's run, as `tomoshibi calibrate activity` does."""
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
    """Print the measured value against the truth for each frame."""
    true = 1e6 * data.labels["activity_MBq"] / CYLINDER_ML
    image = made.image if made.image.ndim == 4 else made.image[..., None]
    for number, frame in enumerate(made.frames):
        found = mean_in(image[..., number], made.grid, REGION)
        print(
            f"{name}: {frame.start_s:g}-{frame.end_s:g} s, {frame.prompts} prompts: "
            f"{found.mean:.1f} Bq/mL of {true:.1f}, {100 * (found.mean / true - 1):+.1f} %, "
            f"slices ± {100 * found.slices.std() / found.mean:.1f} %"
        )


def counts(runs: Runs) -> None:
    """Print the mean of six decay-corrected frames over that of one image of all their counts."""
    data = runs.data("o15")
    for psf_mm in (0.0, 4.0):
        plan = replace(PLAN, psf_fwhm_mm=psf_mm, calibration=False)
        whole, six = (reconstruct(data, replace(plan, frames=f)) for f in ((), SIX))
        all_of_it = mean_in(whole.image, whole.grid, REGION).mean
        means = [mean_in(six.image[..., k], six.grid, REGION).mean for k in range(len(SIX))]
        prompts = [frame.prompts for frame in six.frames]
        print(
            f"--psf {psf_mm:g}: {min(prompts)} to {max(prompts)} prompts read "
            f"{100 * (np.mean(means) / all_of_it - 1):+.1f} % of {sum(prompts)}"
        )


def rods(runs: Runs) -> None:
    """Print 1 − c/h of each sector: h the mean of its rods, c that midway between neighbours."""
    data = runs.data("rods")
    made = reconstruct(data, PLAN)
    print(f"rods: {made.frames[0].prompts} prompts")
    x_mm, y_mm, z_mm = (float(mm) for mm in made.grid.origin_mm)
    picture = Picture(made.image.astype(np.float64), made.grid.voxel_mm, (x_mm, y_mm, z_mm))
    for sector, diameter in enumerate(HOT_ROD_DIAMETERS_MM):
        centres = np.array(_rod_centres_mm(diameter, sector))
        hot, cold = (mean_of(picture, places, diameter) for places in (centres, between(centres)))
        print(f"{diameter:g} mm, {len(centres)} rods: 1 - c/h = {1 - cold / hot:.2f}")


def between(centres: np.ndarray) -> np.ndarray:
    """Return the points midway between rods and their nearest neighbours."""
    one, two = np.triu_indices(len(centres), 1)
    apart = np.hypot(*(centres[one] - centres[two]).T)
    near = apart < 1.01 * apart.min()
    return np.asarray((centres[one] + centres[two])[near] / 2)


def mean_of(picture: Picture, places: np.ndarray, diameter_mm: float) -> float:
    """Return the mean over discs of a rod's diameter, ``RODS_MM`` long."""
    rois = [Cylinder("rod", (float(x), float(y), 0.0), diameter_mm, RODS_MM) for x, y in places]
    return float(np.mean([measure(roi, picture).mean for roi in rois]))


def motion(runs: Runs) -> None:
    """Draw moving hot rods, without and with their poses."""
    data = runs.data("move")
    moved = Extras(poses=PoseStream.load(runs.poses))
    plain = replace(PLAN, psf_fwhm_mm=0.0)
    draw([reconstruct(data, plain, given).image for given in (None, moved)], runs.image)


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


PARTS: dict[str, Callable[[Runs], None]] = {
    "cylinders": cylinders, "motion": motion, "rods": rods, "counts": counts,
}  # fmt: skip


def main() -> None:
    """Run the requested parts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--image", type=Path, default=Path("docs/images/recon_motion.png"))
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}: there are {', '.join(PARTS)}")
    for name in options.parts or PARTS:
        PARTS[name](Runs(options.folder, options.image))


if __name__ == "__main__":
    main()
