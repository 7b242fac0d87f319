"""What the defaults recover, how noisy they are and how far off, at 0.3, 3 and 30 M prompts.

    python benchmarks/recon_defaults.py FOLDER [PHANTOM …] [--millions 0.3 3 30] [--seconds 270]

Prints a table for each phantom: the defaults by counts (recon/offline/defaults.py), the defaults
before them (OSEM, 4 x 8, the preset's voxels, nothing else), and NEGML with what is chosen for it.

| measure | what |
|---|---|
| level | mean of the background over what was emulated, in Bq/mL |
| hot 28, hot 16 | contrast within the sphere's true outline over the true one, 4 : 1 |
| cold 28, air | mean over the background's, within the outline less 4 mm; in brackets all of it |
| SD voxels, SD 20 mm | of voxels, and of means of spheres of 20 mm, over the background's mean |
| centre, rim, ends | of the cylinder, over its level within 85 mm and 120 mm length |

Runs already in FOLDER are used; the others are made as ``tomoshibi demo --headless --fast
--live-frames 0 --runs FOLDER --name NAME`` with

    ellipse     --phantom ellipse.toml --activity-MBq 3 --duration SECONDS --seed 31
    moved       the same with its spheres elsewhere, --seed 47: no constant was chosen on it
    cylinder    --phantom cylinder --activity-MBq 3 --duration 20 --seed 11

and ``ellipse.toml`` written there; 270 SECONDS give 30 M prompts. Fewer prompts are the first
seconds of the run.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from recon_runs import demo, text_file

from recon import reconstruct
from recon.core.grid import ImageGrid
from recon.offline.run_image import RunImage

Points = npt.NDArray[np.float64]
Spheres = Sequence[tuple[tuple[float, float, float], float]]
ACTIVITY_MBQ, CONTRAST = 3.0, 4.0
RADII_MM, LENGTH_MM = (95.0, 75.0), 140.0
HOT_28, HOT_16 = ((48.0, 0.0, 0.0), 14.0), ((-48.0, 0.0, 0.0), 8.0)
COLD_28, AIR_28 = ((0.0, 40.0, 0.0), 14.0), ((0.0, -40.0, 0.0), 14.0)
SPHERES = (HOT_28, HOT_16, COLD_28, AIR_28)
MOVED = (
    ((0.0, -38.0, 22.0), 14.0), ((36.0, 24.0, -18.0), 8.0),
    ((-50.0, 0.0, -20.0), 14.0), ((45.0, -12.0, 12.0), 14.0),
)  # fmt: skip
"""The same four at other places."""

PLACES = {"ellipse": SPHERES, "moved": MOVED}
CORE_MM, FREE_MM = 4.0, 10.0
CYLINDER_MM = (100.0, 150.0)
OLD: dict[str, Any] = {
    "algorithm": "osem", "iterations": 4, "subsets": 8, "psf_fwhm_mm": 0.0, "prior": "none",
    "voxel_mm": (2.0,), "post_filter_fwhm_mm": 0.0,
}  # fmt: skip
PLANS: dict[str, dict[str, Any]] = {
    "by counts": {}, "before": OLD, "negml": {"algorithm": "negml"},
}  # fmt: skip
OTHERS: dict[str, dict[str, Any]] = {
    "osem, 10 iterations": {"algorithm": "osem", "iterations": 10, "subsets": 8},
    "β 0.0052, 24 iterations": {"beta": 0.0052, "iterations": 24, "algorithm": "bsrem"},
    "β 0.0052, 24, --psf 4": {
        "beta": 0.0052, "iterations": 24, "psf_fwhm_mm": 4.0, "algorithm": "bsrem",
    },
    "--psf 4": {"psf_fwhm_mm": 4.0},
}  # fmt: skip
"""Other choices for some 3 M prompts, asked for by ``--plans``."""

RUNS = {
    "ellipse": "--activity-MBq 3 --seed 31 --live-window slide:5s --duration",
    "moved": "--activity-MBq 3 --seed 47 --live-window slide:5s --duration",
    "cylinder": "--activity-MBq 3 --seed 11 --duration 20",
}


def ellipse_toml(spheres: Spheres) -> str:
    """Return the phantom: a warm ellipse of water with a sphere of each kind, the air last."""
    body = f'kind = "cylinder"\nradii_mm = {list(RADII_MM)}\nlength_mm = {LENGTH_MM}\n'
    shapes = [body + 'material = "water"\nactivity = 1.0']
    for (centre, radius), activity in zip(spheres, (CONTRAST, CONTRAST, 0.0, 0.0), strict=True):
        material = '\nmaterial = "air"' if (centre, radius) == spheres[-1] else ""
        shapes.append(
            f'kind = "sphere"\ncentre_mm = {list(centre)}\nradius_mm = {radius}\n'
            f"activity = {activity}{material}"
        )
    grid = 'name = "ellipse"\n[grid]\nvoxel_mm = 2.0\nextent_mm = [200, 160, 148]\n'
    return grid + "".join(f"[[shape]]\n{shape}\n" for shape in shapes)


def ball(place: tuple[tuple[float, float, float], float], points: Points, less_mm: float) -> Any:
    """Return which points lie in a sphere whose radius is ``less_mm`` smaller."""
    centre, radius = place
    return ((points - centre) ** 2).sum(axis=-1) < (radius - less_mm) ** 2


@dataclass(frozen=True)
class Seen:
    """One image in Bq/mL, and the centres of its voxels."""

    image: npt.NDArray[np.float64]
    points: Points

    @classmethod
    def of(cls, made: RunImage) -> Seen:
        grid: ImageGrid = made.grid
        x, y, z = np.broadcast_arrays(*grid.axes_mm())
        return cls(made.image.astype(np.float64), np.stack([x, y, z], axis=-1).astype(np.float64))

    def spheres_sd(self, free: Any, mean: float) -> float:
        """Return the deviation of the means of spheres of 20 mm that lie in ``free``, over it."""
        found = []
        for place in itertools.product(range(-80, 81, 20), range(-80, 81, 20), range(-60, 61, 20)):
            inside = ball(((float(place[0]), float(place[1]), float(place[2])), 10.0),
                          self.points, 0.0)  # fmt: skip
            if free[inside].all():
                found.append(self.image[inside].mean())
        return float(np.std(found, ddof=1)) / mean if len(found) > 2 else math.nan


def of_ellipse(seen: Seen, spheres: Spheres) -> dict[str, str]:
    """Return the measures of the ellipse."""
    points, image = seen.points, seen.image
    x, y, z = (points[..., k] for k in range(3))
    inner = (x / (RADII_MM[0] - FREE_MM)) ** 2 + (y / (RADII_MM[1] - FREE_MM)) ** 2 < 1
    free = inner & (abs(z) < LENGTH_MM / 2 - FREE_MM)
    for one in spheres:
        free &= ~ball(one, points, -FREE_MM)
    mean = float(image[free].mean())
    volumes = [4 / 3 * math.pi * radius**3 / 1000 for _, radius in spheres]
    body_mL = math.pi * RADII_MM[0] * RADII_MM[1] * LENGTH_MM / 1000 - sum(volumes)
    true = 1e6 * ACTIVITY_MBQ / (body_mL + CONTRAST * (volumes[0] + volumes[1]))
    hot = [(image[ball(one, points, 0)].mean() / mean - 1) / (CONTRAST - 1) for one in spheres[:2]]
    cold = [
        f"{image[ball(one, points, CORE_MM)].mean() / mean:.2f} "
        f"({image[ball(one, points, 0)].mean() / mean:.2f})"
        for one in spheres[2:]
    ]
    return {
        "level": f"{mean / true:.3f}", "hot 28": f"{hot[0]:.2f}", "hot 16": f"{hot[1]:.2f}",
        "cold 28": cold[0], "air": cold[1], "SD voxels": f"{image[free].std() / mean:.1%}",
        "SD 20 mm": f"{seen.spheres_sd(free, mean):.1%}",
    }  # fmt: skip


def of_cylinder(seen: Seen) -> dict[str, str]:
    """Return the measures of the cylinder."""
    points, image = seen.points, seen.image
    radius, z = np.hypot(points[..., 0], points[..., 1]), abs(points[..., 2])
    free = (radius < 85) & (z < 60)
    mean = float(image[free].mean())
    true = 1e6 * ACTIVITY_MBQ / (math.pi * CYLINDER_MM[0] ** 2 * CYLINDER_MM[1] / 1000)
    parts = {
        "centre": (radius < 30) & (z < 60), "rim": (radius > 75) & (radius < 92) & (z < 60),
        "ends": (radius < 85) & (z > 55) & (z < 70),
    }  # fmt: skip
    told = {name: f"{image[part].mean() / mean:.3f}" for name, part in parts.items()}
    return {
        "level": f"{mean / true:.3f}", **told, "SD voxels": f"{image[free].std() / mean:.1%}",
        "SD 20 mm": f"{seen.spheres_sd(free, mean):.1%}",
    }  # fmt: skip


def made_run(folder: Path, phantom: str, seconds: int) -> Path:
    """Return the run of a phantom, made if missing."""
    words = RUNS[phantom].split()
    if phantom in PLACES:
        file = text_file(folder / f"{phantom}.toml", ellipse_toml(PLACES[phantom]))
        return demo(folder, phantom, "--phantom", file, *words, str(seconds))
    return demo(folder, phantom, "--phantom", phantom, *words)


def table(run: Path, phantom: str, millions: list[float], plans: list[str]) -> None:
    """Print the table of one phantom."""
    prompts = int(json.loads((run / "summary.json").read_text())["prompts"])
    measure: Callable[[Seen], dict[str, str]] = of_cylinder
    if phantom in PLACES:
        measure = partial(of_ellipse, spheres=PLACES[phantom])
    heading = True
    for million in millions:
        share = min(1.0, 1e6 * million / prompts)
        for plan in plans:
            found = one_image(run, share, {**PLANS, **OTHERS}[plan], measure)
            if heading:
                print("| prompts | options | " + " | ".join(found) + " |")
                print("|" + "---|" * (len(found) + 2))
                heading = False
            row = [f"{share * prompts / 1e6:.2g} M", plan, *found.values()]
            print("| " + " | ".join(row) + " |", flush=True)


def one_image(run: Path, share: float, plan: dict[str, Any], measure: Any) -> dict[str, str]:
    """Return the measures of the first share of a run."""
    lasted_s = float(json.loads((run / "summary.json").read_text())["detector_time_s"])
    made = reconstruct(run, frames=((0.0, share * lasted_s),), noise_parts=0, **plan)
    for note in made.metadata["notes"]:
        if "name an option" in note:
            print(f"<!-- {note} -->", flush=True)
    found: dict[str, str] = measure(Seen.of(made))
    return found


def main() -> None:
    """Print the tables asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("phantoms", nargs="*", metavar="PHANTOM", help=", ".join(RUNS))
    parser.add_argument("--millions", type=float, nargs="+", default=[0.3, 3.0, 30.0])
    parser.add_argument("--seconds", type=int, default=270, help="of the ellipse's run")
    parser.add_argument("--plans", nargs="+", default=list(PLANS),
                        choices=[*PLANS, *OTHERS])  # fmt: skip
    options = parser.parse_args()
    for phantom in options.phantoms or RUNS:
        run = made_run(options.folder, phantom, options.seconds)
        table(run, phantom, options.millions, options.plans)


if __name__ == "__main__":
    main()
