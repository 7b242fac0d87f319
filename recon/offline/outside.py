"""Activity where an image does not expect it: beside the field of view, or outside the µ map.

Two things are looked for, and reported with a number:

- Prompts on lines that miss every voxel that may hold activity. Randoms and scatter are expected
  there; what exceeds them comes from activity beside the field. ``--over-mm`` lets the iterations
  include it.
- Activity farther than ``MARGIN_MM`` from the µ map's matter, in pieces that stand out after
  smoothing: arms beside the head, a shifted map. Such activity is not corrected for its own
  attenuation.

Noise stays below the bounds; what each test finds, and at which counts, is in
docs/reconstruction/quantification.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from recon.core.display_filter import gaussian
from recon.core.events import Lors
from recon.core.field_of_view import FieldOfView
from recon.core.frames import TimeSelection
from recon.core.grid import Image, ImageGrid
from recon.em.sensitivity import support_mask
from recon.em.sensitivity_lines import sampled_lines
from recon.lines.model import LineModel, LineRate
from recon.offline.event_preparation import thinned
from recon.offline.frame_counts import Counts, Tally
from recon.offline.frame_setup import FrameModels
from recon.projector.operator import Projector
from recon.scatter.tails import OBJECT_MU_PER_MM, as_measured, pair_records

OUTSIDE = 0.5
"""Share of a frame's prompts that cannot be used beyond which the image says so."""

MARGIN_MM = 12.0
"""As that of scatter's tails: blur and positron range reach so far beyond the surface."""

SMOOTHING_FWHM_MM = 12.0
STANDS_OUT = 0.2
"""Share of the mean within the object that a piece must reach after smoothing."""

LEAST_MAP_SHARE = 0.01
"""Share of an image's activity that is worth a note."""

LEAST_BESIDE, SIGMAS = 0.01, 4.0
"""The excess beside the field, as a share of all prompts less randoms, and in standard errors, that
is worth a note."""

MOST_PROMPTS = 1_000_000


@dataclass
class SeenActivity:
    """What all frames show together, on the grid of the iterations.

    emitted : emissions in each voxel; ``counted`` : those expected among the prompts
    """

    grid: ImageGrid
    emitted: Image = field(init=False)
    counted: Image = field(init=False)

    def __post_init__(self) -> None:
        self.emitted = np.zeros(self.grid.shape, np.float32)
        self.counted = np.zeros(self.grid.shape, np.float32)

    def add(self, image: Image, exposure: Image, seconds: float) -> None:
        """Add a frame: emissions per second, its exposure, and its length."""
        self.emitted += image * np.float32(seconds)
        self.counted += image * exposure


@dataclass(frozen=True)
class Beside:
    """Prompts on lines that miss the support, and what randoms and scatter explain of them."""

    prompts: float
    expected: float

    @property
    def excess(self) -> float:
        """Prompts that neither randoms nor scatter explain."""
        return self.prompts - self.expected


def beside_the_field(models: FrameModels, tally: Tally) -> Beside:
    """Return what lies on lines that miss the cylinder of the iterations' grid."""
    system, data = models.system, models.data
    whole = TimeSelection.frame(0.0, data.duration_s)
    mask = support_mask(models.sensitivity(whole, None), system.grid).astype(np.float32)
    model = models.model(models.rates(tally, None), None)
    projector = Projector(system.grid, threads=models.threads)
    every = max(1, -(-tally.run.prompts // MOST_PROMPTS))
    try:
        seen = sum(
            int(_misses(projector, mask, model.locate(part).lors).sum())
            for part in thinned(data.prompts(), every)
        )
        expected = _expected_per_s(model, models.rates(tally, None), projector, mask)
    finally:
        projector.close()
    return Beside(float(seen * every), expected * data.duration_s)


def _expected_per_s(
    model: LineModel, rates: list[LineRate], projector: Projector, mask: Image
) -> float:
    """Return randoms and scatter per second on lines that miss the mask, all TOF bins together."""
    system = model.system
    modules, each = system.scanner.n_modules, system.scanner.crystals_per_module
    total, sampled = np.zeros(modules**2), np.zeros(modules**2)
    rng = np.random.default_rng(6)
    for lines in sampled_lines(system, samples=300_000):
        a, b = lines.crystal_a, lines.crystal_b
        located, pair = as_measured(system, a, b, rng), a // each * modules + b // each
        missed = _misses(projector, mask, located.lors)
        records = pair_records(a, b)
        value = sum(rate.of_records(records, located) for rate in rates) / system.tof_share
        total += np.bincount(pair, value * missed, modules**2)
        sampled += np.bincount(pair, minlength=modules**2)
    return float((total * each**2 / np.maximum(sampled, 1.0)).sum())


def _misses(projector: Projector, mask: Image, lors: Lors) -> npt.NDArray[np.bool_]:
    return np.asarray(projector.forward(mask, Lors(lors.start, lors.end)) <= 0)


def beside_note(found: Beside, trues_and_scatter: float) -> str:
    """Describe the prompts beside the field, "" if they are explained."""
    error = math.sqrt(max(found.prompts, 1.0)) * SIGMAS
    if found.excess < max(error, LEAST_BESIDE * trues_and_scatter):
        return ""
    return (
        f"{found.prompts:.0f} prompts lie beside the field of view, where randoms and scatter "
        f"explain {found.expected:.0f}: there is activity outside it, which brightens the image's "
        "edge; reconstruct with --over-mm or a larger --fov-mm"
    )


def field_note(seen: SeenActivity, view: FieldOfView) -> str:
    """Return what share of the counts lies outside the field of view shown, "" without a cut."""
    total = float(seen.counted.sum(dtype=np.float64))
    if view.image.shape == view.working.shape or total <= 0:
        return ""
    share = float(seen.counted[view.outside()].sum(dtype=np.float64)) / total
    return (
        f"{100 * share:.3g} % of the counts come from outside the field of view shown; the "
        "iterations had them on their larger grid"
    )


def map_note(seen: SeenActivity, mu: Image) -> str:
    """Describe the activity outside the µ map, "" if there is none worth mentioning."""
    body = mu > OBJECT_MU_PER_MM
    if not body.any() or not seen.emitted.any():
        return ""
    grid = seen.grid
    away = ndimage.distance_transform_edt(~body, sampling=grid.voxel_mm) > MARGIN_MM
    smooth = gaussian(seen.emitted, grid, fwhm_mm=SMOOTHING_FWHM_MM)
    piece = ndimage.binary_opening(away & (smooth > STANDS_OUT * float(smooth[body].mean())))
    share = float(seen.emitted[piece].sum(dtype=np.float64) / seen.emitted.sum(dtype=np.float64))
    if share < LEAST_MAP_SHARE:
        return ""
    labels, _ = ndimage.label(piece)
    held = ndimage.sum_labels(seen.emitted, labels, np.arange(1, labels.max() + 1))
    middle = ndimage.center_of_mass(piece, labels, int(np.argmax(held)) + 1)
    place = grid.origin_mm + np.array(middle) * np.array(grid.voxel_mm)
    return (
        f"{100 * share:.3g} % of the activity lies outside the µ map, most of it around "
        f"{', '.join(f'{mm:.0f}' for mm in place)} mm: it is not corrected for its own "
        "attenuation and reads too low; give a map that holds it, and see that the map is in place"
    )


def unused_notes(name: str, part: Counts, told: Mapping[str, Any]) -> list[str]:
    """Say where most of a frame's prompts are on lines that see nothing, or miss the image."""
    dead, outside = told["prompts_on_dead_lines"], told["prompts_outside"]
    notes = []
    if dead > OUTSIDE * part.prompts:
        notes.append(
            f"{name}: {dead} of {part.prompts} prompts lie on lines that can see nothing "
            "(normalisation, live times, pairs of modules): is it the right calibration set?"
        )
    if outside > OUTSIDE * part.prompts:
        notes.append(
            f"{name}: {outside} of {part.prompts} prompts meet no voxel that can be seen: check "
            "scanner, time of flight, poses and image size"
        )
    return notes
