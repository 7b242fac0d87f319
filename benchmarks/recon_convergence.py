"""Draws how fast and how far the algorithms converge: docs/images/recon_convergence.png.

    python benchmarks/recon_convergence.py --output docs/images/recon_convergence.png

A cylinder with two hot spheres and a cold one, 600,000 trues, seen by a cylindrical detector that
blurs positions by 6 mm FWHM, and a uniform background of a quarter as many. Left: log-likelihood
against passes over the data. Right: recovery of the small hot sphere (its excess over the cylinder,
relative to the truth) against noise (deviation over the cylinder's voxels over their mean), one
point per pass. Below: a slice of the final images. BSREM uses the resolution model too.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hw.arrays import F8
from recon.core.events import EventList, Lors
from recon.core.grid import Image, ImageGrid
from recon.core.resolution import GaussianResolution
from recon.em.event_store import EventStore
from recon.em.penalised import Bsrem, RelativeDifference
from recon.em.problem import EmModel, em_update
from recon.em.stopping import Step
from recon.projector.operator import Projector

RADIUS_MM, HALF_MM = 130.0, 60.0
GRID = ImageGrid((56, 56, 24), (3.0, 3.0, 4.0))
FIELD = GRID.cylinder(83.0)
FWHM_MM = 6.0
HOT, LARGE, COLD = (35.0, 0.0, 0.0), (-35.0, 10.0, 0.0), (0.0, -35.0, 0.0)
SPHERES = ((HOT, 8.0, 4.0), (LARGE, 13.0, 4.0), (COLD, 12.0, 0.0))
"""Centre, radius (mm), activity relative to the cylinder (radius 70 mm, length 80 mm)."""


def activity(points: F8) -> F8:
    """Return the activity at points (n, 3), 1 in the cylinder."""
    value = (np.hypot(points[:, 0], points[:, 1]) < 70) * (np.abs(points[:, 2]) < 40) * 1.0
    for centre, radius, level in SPHERES:
        value[np.linalg.norm(points - centre, axis=1) < radius] = level
    return value


def through(points: F8, rng: np.random.Generator) -> Lors:
    """Return lines through points in random directions, where both ends lie on the wall."""
    along = rng.normal(size=points.shape)
    a, b = (along[:, :2] ** 2).sum(1), (points[:, :2] * along[:, :2]).sum(1)
    root = np.sqrt(b * b - a * ((points[:, :2] ** 2).sum(1) - RADIUS_MM**2))
    ends = [points + along * ((sign * root - b) / a)[:, None] for sign in (-1, 1)]
    seen = np.all([np.abs(end[:, 2]) < HALF_MM for end in ends], axis=0)
    start, end = (np.ascontiguousarray(end[seen], dtype=np.float32) for end in ends)
    return Lors(start, end)


def scan(counts: int, seed: int = 1) -> tuple[EventList, Image]:
    """Return the events with their addends, and the exposure."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1, 1, (24 * counts, 3)) * (70, 70, 40)
    points = points[rng.random(len(points)) * 4 < activity(points)]
    points = points + rng.normal(0, FWHM_MM / 2.3548, points.shape)
    trues = through(points, rng).take(slice(0, counts))
    points = rng.uniform(-1, 1, (8_000_000, 3)) * (83, 83, 48)
    field_lines = through(points[np.hypot(points[:, 0], points[:, 1]) < 83], rng)
    projector = Projector(GRID, threads=2)
    # lines through uniform points are as many as their chords are long: one step of EM mends that
    exposure, _ = projector.em(FIELD.astype(np.float32), EventList.plain(field_lines))
    randoms = field_lines.take(slice(0, counts // 4))
    both = Lors(*(np.concatenate(ends) for ends in _ends(trues, randoms)))
    level = np.float32(len(randoms) / exposure[FIELD].sum(dtype=np.float64))
    addend = projector.forward(level * FIELD, both)
    projector.close()
    return EventList(both, np.ones(len(both), np.float32), addend), exposure


def _ends(one: Lors, two: Lors) -> list[list[npt.NDArray[np.float32]]]:
    return [[one.start, two.start], [one.end, two.end]]


@dataclass
class Curve:
    """The course of one algorithm, pass by pass."""

    name: str
    likelihood: list[float] = field(default_factory=list)
    recovery: list[float] = field(default_factory=list)
    noise: list[float] = field(default_factory=list)
    image: Image = field(default_factory=lambda: np.zeros(GRID.shape, np.float32))

    def follow(self, model: EmModel, step: Step, passes: int) -> Curve:
        """Iterate and measure."""
        image = model.start(None)
        for first in range(0, passes * model.subsets, model.subsets):
            likelihood = 0.0
            for update in range(first, first + model.subsets):
                share = model.events.share(update - first)
                likelihood -= model.expected(image) * share
                image, sums = step(image, update)
                likelihood += sums.log_likelihood
            self.likelihood.append(likelihood)
            self._measure(image)
        self.image = image
        return self

    def _measure(self, image: Image) -> None:
        x, y, z = np.broadcast_arrays(*GRID.axes_mm())
        away = [np.linalg.norm([x - c[0], y - c[1], z - c[2]], axis=0) for c, _, _ in SPHERES]
        flat = (np.hypot(x, y) < 58) & (np.abs(z) < 30) & (np.min(away, axis=0) > 22)
        mean = float(image[flat].mean())
        sphere = float(image[away[0] < SPHERES[0][1]].mean())
        self.recovery.append((sphere / mean - 1) / (SPHERES[0][2] - 1))
        self.noise.append(float(image[flat].std()) / mean)


def curves(events: EventList, exposure: Image) -> list[Curve]:
    """Run the algorithms."""
    projector = Projector(GRID, threads=2)
    resolution = GaussianResolution(GRID, (FWHM_MM, FWHM_MM, FWHM_MM))

    def model(subsets: int, *, blurred: bool = False) -> EmModel:
        store = EventStore.build([events], subsets=subsets)
        return EmModel.of(projector, store, exposure, FIELD, resolution if blurred else None)

    def em(name: str, passes: int, subsets: int, *, blurred: bool = False) -> Curve:
        chosen = model(subsets, blurred=blurred)
        return Curve(name).follow(chosen, partial(em_update, chosen), passes)

    def bsrem(name: str, passes: int, beta: float) -> Curve:
        chosen = model(8, blurred=True)
        penalty = RelativeDifference(beta).penalty(chosen)
        return Curve(name).follow(chosen, Bsrem(chosen, penalty).step, passes)

    return [
        em("MLEM", 40, 1),
        em("OSEM", 12, 8),
        em("OSEM, resolution", 12, 8, blurred=True),
        bsrem("BSREM, β = 0.003", 16, 0.003),
        bsrem("BSREM, β = 0.02", 16, 0.02),
    ]


def draw(made: list[Curve], output: Path) -> None:
    """Write the picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure = plt.figure(figsize=(10, 6.4), layout="constrained")
    grid = figure.add_gridspec(2, 4, height_ratios=[1.25, 1])
    left, right = figure.add_subplot(grid[0, :2]), figure.add_subplot(grid[0, 2:])
    best = max(max(one.likelihood) for one in made)
    for one, marker in zip(made, "ovsdx", strict=True):
        passes = np.arange(1, len(one.likelihood) + 1)
        style = {"marker": marker, "markersize": 3.5, "linewidth": 1, "label": one.name}
        left.plot(passes, (np.array(one.likelihood) - best) / 1000, **style)
        right.plot(np.array(one.noise) * 100, np.array(one.recovery) * 100, **style)
    left.set(
        xlabel="passes over the data", ylabel="log-likelihood below the best (1000)", ylim=(-40, 2)
    )
    right.set(xlabel="noise in the cylinder (%)", ylabel="recovery of the 16 mm sphere (%)")
    left.legend(fontsize=8)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    for place, one in enumerate(made[1:]):
        axes = figure.add_subplot(grid[1, place])
        middle = one.image[:, :, GRID.shape[2] // 2].T / np.median(
            one.image[FIELD & (one.image > 0)]
        )
        axes.imshow(middle, cmap="gray_r", vmin=0, vmax=5, origin="lower")
        axes.set_title(f"{one.name}\n{len(one.likelihood)} passes", fontsize=8)
        axes.axis("off")
    figure.savefig(output, dpi=80)


def main() -> None:
    """Scan, reconstruct, draw, and print the last point of every curve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, default=600_000)
    parser.add_argument("--output", type=Path, default=Path("docs/images/recon_convergence.png"))
    options = parser.parse_args()
    made = curves(*scan(options.counts))
    for one in made:
        percent = f"recovery {100 * one.recovery[-1]:.1f} %, noise {100 * one.noise[-1]:.1f} %"
        passes = len(one.noise)
        print(f"{one.name}: {passes} passes, {one.likelihood[-1]:.1f}, {percent}")
    draw(made, options.output)


if __name__ == "__main__":
    main()
