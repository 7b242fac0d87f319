"""Images of what GATE simulated, a world in which neither emulator nor reconstruction was made,
beside the same scenes emulated.

    python benchmarks/recon_gate.py FOLDER cylinder.npz spheres.npz ellipse.npz [--plans osem]
    python benchmarks/recon_gate.py FOLDER hot_1.npz hot_2.npz … --repeats [--write PAGE]

The files are GATE 10 singles of `caremibrain` with ideal modules (arrays as `tomoshibi import gate`
reads them, with `meta`): a water cylinder of 200 x 150 mm, warm (scene "cylinder") or with six hot
spheres of 10 to 37 mm, `meta`'s contrast : 1 ("spheres"), and an ellipse of 150 x 190 x 150 mm with
hot spheres of 28 and 16 mm and spheres of 28 mm of cold water and of air ("ellipse"). Each is
imported with the preset's resolution (``--blur``) and reconstructed with all corrections that a run
without a calibration has.

Without ``--repeats`` each file stands beside the same scene emulated: runs in FOLDER, made where
missing, FRAMES times as long at the same activity, with the factory calibration; they are read in
as many frames of the file's length.

With ``--repeats`` files of one scene are repeats, and nothing is emulated. Beside their mean stands
what the same measure finds in the truth blurred by the image's *stated resolution*: a Gaussian as
wide as the detectors' blur, the voxel and the post-filter in quadrature. A resolution model that
has converged makes an image sharper than that, a prior blunter.

| measure | what |
|---|---|
| level | mean of the background within 60 mm over what was simulated; of GATE in absolute terms |
| rings, slabs | over the level: rings of 20 mm; slabs of 16 mm within 80 mm, lowest and highest |
| hot | contrast within the sphere's true outline over the true one; where the contrast is above |
|   | MOST_WARM, the sphere's mean over the true one, over the level |
| level, then | what all spheres hold with 8 mm around them, over what they were given |
| cold, air | mean over the background's, within the outline less 4 mm |

Brackets hold standard errors: of repeats that of their mean; else what the emulated frames scatter
by, which is that of one file of GATE, and that of their mean.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from recon_runs import demo, text_file, tomoshibi
from scipy.special import erf

from daq.cli.marked_page import markdown_table, write_between_marks
from hw.arrays import F8
from hw.physics.nuclides import load_nuclide
from hw.scanner.preset_file import load_scanner
from recon import reconstruct
from recon.core.detector_response import usual_fwhm_mm
from recon.offline.run_image import RunImage

FRAMES = 5
LENGTH_MM, MU_PER_MM, CONTRAST = 150.0, 0.0096, 4.0
VOXELS, VOXEL_MM = (110, 110, 78), 2.0
RINGS_MM = (0, 20, 40, 60, 80, 92)
FREE_MM, CORE_MM = 8.0, 4.0
"""Background is measured so far from spheres and edges: blur reaches no further; cold spheres so
far within their outline."""

MOST_WARM = 100.0
"""A contrast above which the background is too cold to be a measure of anything."""

SIGMA_PER_FWHM = 0.42466

PLANS: dict[str, dict[str, Any]] = {
    "counts": {},
    "osem": {"algorithm": "osem", "iterations": 4, "subsets": 8, "psf_fwhm_mm": 4.0},
    "filtered": {
        "algorithm": "osem",
        "iterations": 10,
        "subsets": 8,
        "psf_fwhm_mm": 2.6,
        "post_filter_fwhm_mm": 6.0,
    },
    "negml": {"algorithm": "negml"},
}


class Insert(NamedTuple):
    """A sphere: its name, place, diameter, concentration over the background's, and whether of
    air."""

    name: str
    x_mm: float
    y_mm: float
    diameter_mm: float
    contrast: float
    air: bool = False

    def near(self, points: F8, more_mm: float) -> npt.NDArray[np.bool_]:
        """Return which points lie in the sphere or so far around it."""
        return np.asarray(self.away_mm(points) < self.diameter_mm / 2 + more_mm)

    def away_mm(self, points: F8) -> F8:
        """Return the points' distances from the middle."""
        return np.asarray(np.linalg.norm(points - (self.x_mm, self.y_mm, 0.0), axis=-1))

    def blurred(self, points: F8, fwhm_mm: float) -> F8:
        """Return a ball of 1, blurred by a Gaussian, at some points."""
        r, radius = np.maximum(self.away_mm(points), 1e-3), self.diameter_mm / 2
        wide = math.sqrt(2) * SIGMA_PER_FWHM * fwhm_mm
        near, far = (radius - r) / wide, (radius + r) / wide
        tails = wide / (2 * math.sqrt(math.pi) * r) * (np.exp(-(near**2)) - np.exp(-(far**2)))
        return np.asarray((erf(near) + erf(far)) / 2 - tails)


@dataclass(frozen=True)
class Scene:
    """A warm elliptic cylinder of water along z with spheres in its middle."""

    radii_mm: tuple[float, float]
    inserts: tuple[Insert, ...] = ()

    def inside(self, points: F8, less_mm: float) -> npt.NDArray[np.bool_]:
        """Return which points lie in the cylinder and so far from its surface."""
        x, y = (points[..., k] / (self.radii_mm[k] - less_mm) for k in range(2))
        return np.asarray((x**2 + y**2 < 1) & (abs(points[..., 2]) < LENGTH_MM / 2 - less_mm))

    def free(self, points: F8) -> npt.NDArray[np.bool_]:
        """Return which points belong to the background."""
        found = self.inside(points, FREE_MM)
        for insert in self.inserts:
            found &= ~insert.near(points, FREE_MM)
        return found

    @property
    def cold(self) -> bool:
        """Whether nearly all activity is in spheres."""
        return any(one.contrast > MOST_WARM for one in self.inserts)

    def blurred(self, points: F8, fwhm_mm: float) -> F8:
        """Return the truth over the background, blurred; the cylinder's own edge is left out."""
        found = np.ones(points.shape[:-1])
        for one in self.inserts:
            found += (one.contrast - 1) * one.blurred(points, fwhm_mm)
        return found

    @property
    def weighted_mL(self) -> float:
        """The background's volume that would hold all activity."""
        whole = math.pi * self.radii_mm[0] * self.radii_mm[1] * LENGTH_MM
        more = sum((one.contrast - 1.0) * math.pi * one.diameter_mm**3 / 6 for one in self.inserts)
        return (whole + more) / 1000

    def toml(self) -> str:
        """Return the phantom for the emulator."""
        body = f'kind = "cylinder"\nradii_mm = {list(self.radii_mm)}\nlength_mm = {LENGTH_MM}\n'
        shapes = [body + 'material = "water"\nactivity = 1.0']
        for one in self.inserts:
            material = '\nmaterial = "air"' if one.air else ""
            shapes.append(
                f'kind = "sphere"\ncentre_mm = [{one.x_mm:.3f}, {one.y_mm:.3f}, 0.0]\n'
                f"radius_mm = {one.diameter_mm / 2}\nactivity = {one.contrast}{material}"
            )
        grid = 'name = "scene"\n[grid]\nvoxel_mm = 2.0\nextent_mm = [208, 208, 156]\n'
        return grid + "".join(f"[[shape]]\n{shape}\n" for shape in shapes)


def six_spheres() -> Iterator[Insert]:
    """Yield the IEC spheres, 4 : 1."""
    for number, diameter in enumerate((10, 13, 17, 22, 28, 37)):
        angle = number * math.pi / 3
        place = 57.2 * math.cos(angle), 57.2 * math.sin(angle)
        yield Insert(f"hot {diameter}", *place, diameter, CONTRAST)


SCENES = {
    "cylinder": Scene((100.0, 100.0)),
    "spheres": Scene((100.0, 100.0), tuple(six_spheres())),
    "ellipse": Scene(
        (75.0, 95.0),
        (
            Insert("hot 28", 35.0, 40.0, 28.0, CONTRAST),
            Insert("hot 16", -35.0, 40.0, 16.0, CONTRAST),
            Insert("cold 28", 35.0, -40.0, 28.0, 0.0),
            Insert("air 28", -35.0, -40.0, 28.0, 0.0, air=True),
        ),
    ),
}


def scene_of(meta: dict[str, Any]) -> Scene:
    """Return a file's scene, with the contrast that it was simulated with."""
    scene = SCENES[meta["scene"]]
    hot = [replace_contrast(one, float(meta.get("contrast", CONTRAST))) for one in scene.inserts]
    return replace(scene, inserts=tuple(hot))


def replace_contrast(one: Insert, contrast: float) -> Insert:
    """Return a hot sphere with another contrast; a cold one as it is."""
    return one._replace(contrast=contrast) if one.contrast else one


def points_of(grid: Any) -> F8:
    """Return the voxels' middles, (x, y, z, 3) mm."""
    return np.stack(np.broadcast_arrays(*grid.axes_mm()), axis=-1).astype(np.float64)


def mu_map(folder: Path, name: str) -> Path:
    """Return the file of a scene's µ map, written if missing."""
    path = folder / f"{name}_mu.npz"
    along = [(np.arange(n) - (n - 1) / 2) * VOXEL_MM for n in VOXELS]
    points = np.stack(np.meshgrid(*along, indexing="ij"), axis=-1)
    scene = SCENES[name]
    water = scene.inside(points, 0.0)
    for insert in scene.inserts:
        water &= ~insert.near(points, 0.0) if insert.air else True
    mu = np.where(water, MU_PER_MM, 0).astype(np.float32)
    np.savez(path, mu_per_mm=mu, voxel_mm=np.full(3, VOXEL_MM))
    return path


def figures(scene: Scene, image: F8, points: F8, true: float) -> dict[str, float]:
    """Return all measures of one image; ``true`` is the background's activity."""
    if scene.cold:
        return of_spheres(scene, image, points, true)
    free, radius = scene.free(points), np.hypot(points[..., 0], points[..., 1])
    level = float(image[free & (radius < 60)].mean())
    found = {"level": level / true}
    for a, b in pairwise(RINGS_MM):
        if (ring := free & (radius >= a) & (radius < b)).any():
            found[f"ring to {b}"] = float(image[ring].mean()) / level
    slabs = [
        float(image[free & (radius < 80) & (abs(points[..., 2] - middle) < 8)].mean()) / level
        for middle in range(-56, 57, 16)
    ]
    found |= {"lowest slab": min(slabs), "highest slab": max(slabs)}
    for one in scene.inserts:
        if one.contrast:
            mean = float(image[one.near(points, 0.0)].mean()) / level
            found[one.name] = (mean - 1) / (one.contrast - 1)
        else:
            found[one.name] = float(image[one.near(points, -CORE_MM)].mean()) / level
    return found


def of_spheres(scene: Scene, image: F8, points: F8, true: float) -> dict[str, float]:
    """Return the measures of spheres that hold nearly all activity."""
    around = np.zeros(image.shape, bool)
    given = 0.0
    for one in scene.inserts:
        around |= one.near(points, FREE_MM)
        given += one.contrast * math.pi * one.diameter_mm**3 / 6
    steps = [abs(points[1, 1, 1, k] - points[0, 0, 0, k]) for k in range(3)]
    level = float(image[around].sum()) * math.prod(steps) / given / true
    found = {"level": level}
    for one in scene.inserts:
        mean = float(image[one.near(points, 0.0)].mean())
        found[one.name] = mean / (one.contrast * true * level)
    return found


def of_gate(folder: Path, file: Path, plan: dict[str, Any]) -> tuple[dict[str, float], RunImage]:
    """Return the measures of a file of GATE, and its image."""
    with np.load(file, allow_pickle=False) as singles:
        meta = json.loads(str(singles["meta"]))
    run, scene = folder / file.stem, scene_of(meta)
    if not (run / "summary.json").exists():
        tomoshibi("import", "gate", str(file), "--blur", "--name", file.stem,
                  "--runs", str(folder))  # fmt: skip
    made = reconstruct(run, mu_map=mu_map(folder, meta["scene"]), noise_parts=0, **plan)
    true = meta["decays"] / meta["duration_s"] / scene.weighted_mL
    return figures(scene, made.image.astype(np.float64), points_of(made.grid), true), made


def emulated(
    folder: Path, file: Path, plan: dict[str, Any]
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the measures of the same scene emulated: mean of the frames, and their deviation."""
    with np.load(file, allow_pickle=False) as singles:
        meta = json.loads(str(singles["meta"]))
    name, seconds = meta["scene"], float(meta["duration_s"])
    pairs_MBq = meta["activity_Bq"] / 1e6
    activity_MBq = pairs_MBq / load_nuclide("F-18").beta_plus_fraction
    phantom = text_file(folder / f"{name}.toml", SCENES[name].toml())
    run = demo(folder, f"{name}_emulated", "--phantom", phantom, "--activity-MBq",
               f"{activity_MBq:.4f}", "--duration", f"{FRAMES * seconds:g}")  # fmt: skip
    spans = tuple((k * seconds, (k + 1) * seconds) for k in range(FRAMES))
    made = reconstruct(run, frames=spans, noise_parts=0, **plan)
    true = activity_MBq * 1e6 / SCENES[name].weighted_mL
    each = [
        figures(SCENES[name], made.image[..., k].astype(np.float64), points_of(made.grid), true)
        for k in range(FRAMES)
    ]
    keys = each[0]
    return (
        {key: float(np.mean([one[key] for one in each])) for key in keys},
        {key: float(np.std([one[key] for one in each], ddof=1)) for key in keys},
    )


def measured(folder: Path, file: Path, plan: str) -> dict[str, Any]:
    """Return what one file gives and what the blurred truth would; kept in the folder."""
    kept = folder / f"{file.stem}_{plan}.json"
    if kept.exists():
        return dict(json.loads(kept.read_text()))
    found, made = of_gate(folder, file, PLANS[plan])
    with np.load(file, allow_pickle=False) as singles:
        meta = json.loads(str(singles["meta"]))
    scene, points, fwhm_mm = scene_of(meta), points_of(made.grid), stated_fwhm_mm(made)
    truth = figures(scene, scene.blurred(points, fwhm_mm), points, 1.0)
    about = {key: meta.get(key) for key in ("scene", "contrast", "decays")}
    told = {**about, "fwhm_mm": fwhm_mm, "prompts": made.metadata["prompts"],
            "found": found, "truth": truth}  # fmt: skip
    kept.write_text(json.dumps(told))
    return told


def repeats(folder: Path, files: Sequence[Path], plan: str) -> str:
    """Return a table of files of one scene: their mean, its standard error, the blurred truth."""
    each = [measured(folder, file, plan) for file in files]
    first = each[0]
    if any((one["scene"], one["contrast"]) != (first["scene"], first["contrast"]) for one in each):
        raise SystemExit("--repeats: the files are not of one scene and contrast")
    rows = []
    for key in first["truth"]:
        values = [one["found"][key] for one in each]
        expected = float(np.mean([one["truth"][key] for one in each]))
        error = float(np.std(values, ddof=1)) / math.sqrt(len(each)) if len(each) > 1 else math.nan
        mean = float(np.mean(values))
        ratio = f"{mean / expected:.3f} ({error / expected:.3f})" if expected > 0.2 else "–"
        rows.append([key, f"{mean:.3f} ({error:.3f})", f"{expected:.3f}", ratio])
    decays, prompts = (np.mean([one[key] for one in each]) / 1e6 for key in ("decays", "prompts"))
    fwhm_mm = np.mean([one["fwhm_mm"] for one in each])
    words = (
        f"**{first['scene']}, {first['contrast']:g} : 1, `{plan}`**: {len(each)} repeats of "
        f"{decays:.2g} M decays, {prompts:.2g} M prompts; stated resolution {fwhm_mm:.1f} mm"
    )
    head = ["measure", "GATE", "blurred truth", "over it"]
    return f"{words}\n\n{markdown_table(head, rows)}\n"


def stated_fwhm_mm(made: RunImage) -> float:
    """Return the resolution that an image can be said to have: detectors, voxel, post-filter."""
    voxel = [float(one) for one in made.grid.voxel_mm]
    detectors = usual_fwhm_mm(load_scanner("caremibrain"), voxel)
    return math.hypot(detectors, float(made.metadata["post_filter_fwhm_mm"]))


def main() -> None:
    """Print a table for each file and plan."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the runs are kept")
    parser.add_argument("files", type=Path, nargs="+", help="GATE's singles")
    parser.add_argument("--plans", nargs="+", default=list(PLANS), choices=list(PLANS))
    parser.add_argument("--repeats", action="store_true", help="the files are of one scene")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="of --repeats, into a page")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.repeats:
        scene = options.files[0].stem.rsplit("_", 1)[0]
        for plan in options.plans:
            table = repeats(options.folder, options.files, plan)
            print(table, flush=True)
            if options.write:
                write_between_marks(options.write, f"gate repeats {scene} {plan}", table)
        return
    for file in options.files:
        for plan in options.plans:
            gate, made = of_gate(options.folder, file, PLANS[plan])
            ours, deviation = emulated(options.folder, file, PLANS[plan])
            about = made.metadata["corrections"]["scatter"]
            print(f"\n{file.stem}, {plan}: {made.metadata['prompts']} prompts, scatter "
                  f"{about.get('share_of_prompts')}\n")  # fmt: skip
            print("| measure | GATE | emulated |\n|---|---|---|")
            for key, value in gate.items():
                print(f"| {key} | {value:.3f} ({deviation[key]:.3f}) | {ours[key]:.3f} "
                      f"({deviation[key] / math.sqrt(FRAMES):.3f}) |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
