"""σ told of an image's regions, over what 30 emulated repeats of the measurement show.

    python benchmarks/recon_noise.py FOLDER [--repeats 30] [--seconds 4] [--images IMAGE …]

One run is emulated, unless FOLDER has it: an ellipse of 190 × 150 × 140 mm of warm water with
twelve hot spheres of 24 mm (4 : 1) and twelve cold ones, ¹⁸F, 1 MBq, with the factory calibration:

    tomoshibi demo --headless --fast --live-frames 0 --live-window slide:5s --runs FOLDER \
        --name noise --phantom FOLDER/noise.toml --activity-MBq 1 --seed 41 --duration SECONDS

Its disjoint stretches of ``--seconds`` are the repeats: other decays, other photons, the same
object and electronics. Background and scatter are the whole run's, for σ holds the noise of the
prompts alone; the decay is divided out. Of every image each of 48 balls is read, twelve of a kind:

| kind | where | across |
|---|---|---|
| warm | between the spheres | 16 mm |
| hot, cold | in the middle of each sphere | 14 mm |
| edge | across the rim of the ellipse | 16 mm |

Prints for each image and kind the root of the mean variance that was told, over that found from
repeat to repeat, and the same of the regions one by one, of which 30 repeats know each within 13 %,
so that the lowest and highest are far from 1 by chance. SD over mean is what was found. Images:

- bsrem: ``recon.reconstruct`` as it chooses by the counts. osem: 4 × 8, resolution model of 4 mm,
  voxels of 4 mm, without and with a filter of 6 mm.
- grow, slide, forget: the prompts played through the live image in 24 turns, on the scanner's own
  voxels, with a window of all the stretch, of its last half, and of a half-life of its half; each
  as it is shown, with its filter by counts, and without.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from recon_runs import demo, text_file

from coincidence.events import COINCIDENCE
from hw.arrays import Records
from hw.messages.live_settings import TimeWindow
from hw.regions import Sphere, shares
from recon import open_run, reconstruct
from recon.core.display_filter import gaussian
from recon.core.frames import TimeSelection
from recon.core.grid import Image, ImageGrid
from recon.core.noise_parts import NoiseParts
from recon.lines.randoms import CrystalRandoms
from recon.live.dynamic_frames import frame_grid
from recon.live.imager import LiveImager
from recon.live.lines import CrystalLines
from recon.offline import reconstruction
from recon.scatter import ScatterRate

Triple = tuple[float, float, float]
Span = tuple[float, float]
Readings = npt.NDArray[np.float64]
"""(regions, 2): mean and σ told, the regions kind by kind."""

RADII_MM, LENGTH_MM, SPHERE_MM = (95.0, 75.0), 140.0, 12.0
RING_MM, LAYERS = (58.0, 42.0), tuple(enumerate((-51.0, -17.0, 17.0, 51.0)))
ACROSS_MM = {"warm": 16.0, "hot": 14.0, "cold": 14.0, "edge": 16.0}
FILTER_MM = 6.0
TURNS, SAMPLE, MOST = 24, 40_000, 50_000
"""Of the live image in a stretch, and how many older and newer events a turn takes."""
WINDOWS = {"grow": "grow", "slide": "slide:{:g}s", "forget": "forget:{:g}s"}

PLANS: dict[str, dict[str, Any]] = {
    "bsrem": {},
    "osem": {"algorithm": "osem", "iterations": 4, "subsets": 8, "psf_fwhm_mm": 4.0,
             "voxel_mm": (4.0,), "post_filter_fwhm_mm": 0.0},
}  # fmt: skip
IMAGES = [*PLANS, *WINDOWS]


def regions() -> dict[str, list[Sphere]]:
    """Return the regions of each kind; the phantom's spheres lie around the hot and cold ones."""
    ring = [on_ellipse(RING_MM, k) for k in range(6)]
    rim = [on_ellipse(RADII_MM, k) for k in range(6)]
    places: dict[str, list[Triple]] = {
        "warm": [(x, 0.0, float(z)) for x in (-18.0, 18.0) for z in range(-50, 51, 20)],
        "hot": [(*ring[k], z) for layer, z in LAYERS for k in range(6) if (k + layer) % 2 == 0],
        "cold": [(*ring[k], z) for layer, z in LAYERS for k in range(6) if (k + layer) % 2 == 1],
        "edge": [(*place, z) for place in rim for z in (-34.0, 34.0)],
    }
    return {
        kind: [Sphere(f"{kind} {k}", centre, ACROSS_MM[kind]) for k, centre in enumerate(centres)]
        for kind, centres in places.items()
    }


def on_ellipse(half_mm: tuple[float, float], sixth: int) -> tuple[float, float]:
    """Return the point of an ellipse after so many sixths of the turn."""
    angle = math.pi / 3 * sixth
    return round(half_mm[0] * math.cos(angle), 1), round(half_mm[1] * math.sin(angle), 1)


def phantom_toml() -> str:
    """Return the phantom: a warm ellipse with hot and cold spheres."""
    size = f"radii_mm = {list(RADII_MM)}\nlength_mm = {LENGTH_MM}"
    shapes = [f'kind = "cylinder"\n{size}\nmaterial = "water"\nactivity = 1.0']
    for kind, activity in (("hot", 4.0), ("cold", 0.0)):
        shapes += [
            f'kind = "sphere"\ncentre_mm = {list(one.centre_mm)}\nradius_mm = {SPHERE_MM}\n'
            f"activity = {activity}"
            for one in regions()[kind]
        ]
    grid = 'name = "ellipse with 24 spheres"\n[grid]\nvoxel_mm = 2.0\nextent_mm = [200, 160, 148]\n'
    return grid + "".join(f"[[shape]]\n{shape}\n" for shape in shapes)


def read(image: Image, grid: ImageGrid, parts: NoiseParts, parts_grid: ImageGrid) -> Readings:
    """Return mean and told σ of each region, as an analysis and the live image find them."""
    found = []
    (x, y, z), (u, v, w) = grid.axes_mm(), parts_grid.axes_mm()
    for region in itertools.chain(*regions().values()):
        block, share = shares(region, (x, y, z))
        mean = float((share * image[block]).sum() / share.sum())
        found.append((mean, parts.sigma_of_mean(*shares(region, (u, v, w)), mean)))
    return np.array(found)


def offline(run: Path, spans_s: list[Span], plan: str) -> dict[str, list[Readings]]:
    """Return the readings of the images of each stretch, as made and filtered."""
    reconstruction.FRAMES_WITH_PARTS = len(spans_s)  # a tenth of a GB
    made = reconstruct(run, frames=tuple(spans_s), threads=1, **PLANS[plan])
    grid = made.grid
    found: dict[str, list[Readings]] = {}
    for mm in (0.0, FILTER_MM) if plan == "osem" else (0.0,):
        smooth = partial(gaussian, grid=grid, fwhm_mm=mm)
        found[f"{plan}, filter {mm:g} mm" if mm else plan] = [
            read(smooth(np.ascontiguousarray(made.image[..., k])), grid, one.filtered(smooth), grid)
            for k, one in enumerate(made.parts)
            if one is not None
        ]
    return found


class Live:
    """The live image, with the corrections of a whole run in force from the first event."""

    def __init__(self, run: Path) -> None:
        opened = open_run(run)
        self._model = opened.model(threads=1)
        models = self._model.parts.models
        scatter, randoms = models.scatter, models.randoms
        assert isinstance(scatter, ScatterRate) and isinstance(randoms, CrystalRandoms)
        assert opened.nuclide is not None
        self._scatter, self._half_life_s = scatter, opened.nuclide.half_life_s
        per_s = self._model.parts.tally.run.prompts / self._model.duration_s
        share = scatter.about["share_of_prompts"] + randoms.total_per_s / per_s
        self._true_share = 1.0 - float(share)
        lines = CrystalLines(models.system)
        lines.correct(models.factors, models.mu)
        lines.switch_randoms(on=False)  # the delayeds' of a stretch: these are of all
        lines.randoms = randoms
        self._imager = LiveImager(lines, self._model.sensitivity, clock=lambda: 0.0)

    def of(self, span_s: Span, window: str) -> dict[str, Readings]:
        """Return the readings at the end of a stretch, as shown and unfiltered."""
        left = 0.5 ** (sum(span_s) / 2 / self._half_life_s)
        mean = 0.5 ** (self._model.duration_s / 2 / self._half_life_s)
        self._imager.lines.scatter = self._scatter.scaled(left / mean)
        self._play(self._records(span_s), window, span_s[1] - span_s[0])
        shown, plain = self._imager.shown(), self._imager.unfiltered()
        bare = self._imager.noise_parts(fwhm_mm=0.0)
        assert shown.fraction_used == 1.0 and shown.parts is not None and bare is not None
        grids = self._imager.grid, frame_grid(self._imager.grid)
        return {
            "as shown": read(shown.image, grids[0], shown.parts, grids[1]) / left,
            "no filter": read(plain, grids[0], bare, grids[1]) / left,
        }

    def _play(self, records: Records, window: str, seconds: float) -> None:
        imager, nothing = self._imager, np.empty(0, COINCIDENCE)
        imager.restart(window=TimeWindow.parse(window))
        imager.true_share = self._true_share
        ends_ps = np.linspace(0.0, 1e12 * seconds, TURNS + 1)
        places = [*np.searchsorted(records["time_ps"], ends_ps[:-1]), len(records)]
        for (first, last), end_ps in zip(itertools.pairwise(places), ends_ps[1:], strict=True):
            imager.receive(records[first:last], nothing, watermark_ps=round(end_ps))
            imager.use_pending(MOST, sample=SAMPLE)

    def _records(self, span_s: Span) -> Records:
        """Return the prompts of a stretch, their times from its beginning."""
        found = np.concatenate(list(self._model.data.prompts(TimeSelection.frame(*span_s))))
        found["time_ps"] -= round(1e12 * span_s[0])
        return np.sort(found, order="time_ps")


def live(run: Path, spans_s: list[Span], window: str) -> dict[str, list[Readings]]:
    """Return the readings of the live images at the end of each stretch."""
    half_s = (spans_s[0][1] - spans_s[0][0]) / 2
    image, found = Live(run), defaultdict(list)
    for span_s in spans_s:
        for name, one in image.of(span_s, WINDOWS[window].format(half_s)).items():
            found[f"live, {window}, {name}"].append(one)
    return found


def print_rows(name: str, found: Readings) -> None:
    """Print the rows of one image; ``found`` (repeats, regions, 2)."""
    means, told = found[..., 0], found[..., 1]
    variance, seen = (told**2).mean(axis=0), means.var(axis=0, ddof=1)
    end = 0
    for kind, one in regions().items():
        of = slice(end, end := end + len(one))
        pooled = math.sqrt(variance[of].mean() / seen[of].mean())
        each = np.sqrt(variance[of] / seen[of])
        noise = math.sqrt(seen[of].mean()) / means[:, of].mean()
        print(f"| {name} | {kind} | {len(one)} | {noise:.0%} | {pooled:.2f} | "
              f"{each.min():.2f}, {each.max():.2f} |", flush=True)  # fmt: skip


def main() -> None:
    """Make the run if missing, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each repeat")
    parser.add_argument("--images", nargs="+", default=IMAGES, choices=IMAGES)
    options = parser.parse_args()
    file = text_file(options.folder / "noise.toml", phantom_toml())
    run = demo(options.folder, "noise", "--phantom", file, "--activity-MBq", "1", "--seed", "41",
               "--live-window", "slide:5s", "--duration",
               f"{options.repeats * options.seconds:g}")  # fmt: skip
    spans_s = [(k * options.seconds, (k + 1) * options.seconds) for k in range(options.repeats)]
    print("| image | kind | regions | SD over mean | σ told / found, pooled | lowest, highest |")
    print("|" + "---|" * 6)
    for image in options.images:
        made = (live if image in WINDOWS else offline)(run, spans_s, image)
        for name, found in made.items():
            print_rows(name, np.array(found))


if __name__ == "__main__":
    main()
