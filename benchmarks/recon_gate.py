"""Images of what GATE simulated: a world in which neither emulator nor reconstruction was made.

    python benchmarks/recon_gate.py FOLDER cylinder.npz spheres.npz [--psf 4] [--threads 2]

The files are GATE 10 singles of `caremibrain` with ideal modules (arrays as `tomoshibi import gate`
reads them, with `meta`), of a water cylinder of 200 × 150 mm, warm (scene "cylinder") or with six
hot spheres of 10 to 37 mm, 4 : 1 ("spheres"). Each is imported with the preset's resolution
(``--blur``), reconstructed with all corrections that a run without a calibration has, and measured.
Prints one JSON object a file: the background's level over the truth, in absolute terms (nothing is
calibrated), rings and slabs over the level within 60 mm, each with the standard error of its
quarters; scatter's share of the prompts and the truth; the spheres' recovery (measured contrast
over the true one) within their true outlines.
"""

from __future__ import annotations

import argparse
import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from recon_runs import tomoshibi

RADIUS_MM, HALF_MM, MU_PER_MM = 100.0, 75.0, 0.0096
DIAMETERS_MM = (10, 13, 17, 22, 28, 37)
CENTRES_RADIUS_MM, CONTRAST = 57.2, 4.0
VOXELS, VOXEL_MM = (110, 110, 78), 2.0
RINGS_MM = (0, 20, 40, 60, 80, 92)
FREE_MM = 8.0
"""Background is measured so far from spheres and edges: blur reaches no further."""


def axes_mm() -> list[np.ndarray]:
    along = [(np.arange(n) - (n - 1) / 2) * VOXEL_MM for n in VOXELS]
    return np.meshgrid(*along, indexing="ij")


def mu_map(path: Path) -> Path:
    x, y, z = axes_mm()
    water = (np.hypot(x, y) <= RADIUS_MM) & (abs(z) <= HALF_MM)
    mu = np.where(water, MU_PER_MM, 0).astype(np.float32)
    np.savez(path, mu_per_mm=mu, voxel_mm=np.full(3, VOXEL_MM))
    return path


def sphere_centres_mm() -> list[tuple[float, float]]:
    turns = [number * math.pi / 3 for number in range(len(DIAMETERS_MM))]
    return [(CENTRES_RADIUS_MM * math.cos(a), CENTRES_RADIUS_MM * math.sin(a)) for a in turns]


def background_per_mL(meta: dict[str, Any]) -> float:
    """Return the emissions per second and mL that were simulated in the background."""
    volume_mL = math.pi * RADIUS_MM**2 * 2 * HALF_MM / 1000
    if meta["scene"] == "spheres":
        hot_mL = sum(math.pi * d**3 / 6000 for d in DIAMETERS_MM)
        volume_mL += (CONTRAST - 1.0) * hot_mL
    return float(meta["decays"]) / float(meta["duration_s"]) / volume_mL


def free_mask(*, spheres: bool) -> np.ndarray:
    x, y, z = axes_mm()
    free = (np.hypot(x, y) < RADIUS_MM - FREE_MM) & (abs(z) < HALF_MM - FREE_MM)
    for (cx, cy), diameter in zip(sphere_centres_mm(), DIAMETERS_MM, strict=True):
        near = (x - cx) ** 2 + (y - cy) ** 2 + z**2 < (diameter / 2 + FREE_MM) ** 2
        free &= ~near if spheres else True
    return free


def with_error(image: np.ndarray, mask: np.ndarray, unit: float) -> list[float]:
    """Return a region's mean over ``unit`` and its standard error, from its four quadrants."""
    x, y, _ = axes_mm()
    parts = [image[mask & (np.sign(x) == a) & (np.sign(y) == b)] for a in (-1, 1) for b in (-1, 1)]
    means = [part.mean() / unit for part in parts if len(part)]
    return [
        round(float(image[mask].mean() / unit), 3),
        round(float(np.std(means) / math.sqrt(3)), 3),
    ]


def measured(image: np.ndarray, meta: dict[str, Any]) -> dict[str, Any]:
    x, y, z = axes_mm()
    radius, hot = np.hypot(x, y), meta["scene"] == "spheres"
    free = free_mask(spheres=hot)
    level = image[free & (radius < 60)].mean()
    rings = [free & (radius >= a) & (radius < b) for a, b in pairwise(RINGS_MM)]
    slabs = [free & (radius < 80) & (abs(z - middle) < 8) for middle in range(-56, 57, 16)]
    found: dict[str, Any] = {
        "background_over_truth": with_error(image, free & (radius < 60), background_per_mL(meta)),
        "rings": [with_error(image, ring, level) for ring in rings],
        "slabs": [with_error(image, slab, level) for slab in slabs],
    }
    if hot:
        found["recovery_by_diameter_mm"] = {
            diameter: round(float((image[inside].mean() / level - 1) / (CONTRAST - 1)), 3)
            for (cx, cy), diameter in zip(sphere_centres_mm(), DIAMETERS_MM, strict=True)
            if (inside := (x - cx) ** 2 + (y - cy) ** 2 + z**2 < (diameter / 2) ** 2).any()
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the runs are kept")
    parser.add_argument("files", type=Path, nargs="+", help="GATE's singles")
    parser.add_argument("--psf", default="4", help="resolution model, mm (default: %(default)s)")
    parser.add_argument("--iterations", default="4")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    mu = mu_map(options.folder / "mu.npz")
    for file in options.files:
        with np.load(file, allow_pickle=False) as singles:
            meta = json.loads(str(singles["meta"]))
        run = options.folder / file.stem
        if not (run / "summary.json").exists():
            tomoshibi("import", "gate", str(file), "--blur", "--name", file.stem,
                      "--runs", str(options.folder))  # fmt: skip
        made = run / "images" / f"psf{options.psf}x{options.iterations}.nii.gz"
        tomoshibi("reconstruct", str(run), "--mu-map", str(mu), "--psf", options.psf,
                  "--iterations", options.iterations, "--output", str(made))  # fmt: skip
        about = json.loads(made.with_name(made.name.replace(".nii.gz", ".json")).read_text())
        found = measured(np.asarray(nib.load(made).dataobj, dtype=np.float64), meta)
        found["prompts"] = about["prompts"]
        found["scatter_share"] = about["corrections"]["scatter"]["share_of_prompts"]
        print(json.dumps({file.stem: found}))


if __name__ == "__main__":
    main()
