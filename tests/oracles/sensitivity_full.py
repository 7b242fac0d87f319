"""The sensitivity image as a sum over all lines, crystal pair by crystal pair.

For small scanners, and to check the sampled image: the lines are those of events (centres of
crystals, depths of the DOI bins), with the same gains. A pair's gain is shared among its depth bins
by the absorption at normal incidence. Sampled and full image differ if crystals are large compared
with voxels: events then lie on a comb of lines, and this image shows the comb.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from coincidence.events import COINCIDENCE
from recon.core.grid import Image, ReconError
from recon.core.scanner_tables import ReconSystem
from recon.em.sensitivity import SensitivityStopped
from recon.lines.model import LineFactor, LineModel
from recon.projector.operator import Projector

MOST_LINES = 20_000_000
PAIRS_PER_CHUNK = 100_000


class FullSensitivityError(ReconError):
    """A scanner has too many lines to sum over all of them."""


def full_sensitivity(
    system: ReconSystem,
    factors: Sequence[LineFactor] = (),
    mu_per_mm: Image | None = None,
    *,
    threads: int = 1,
    stopped: Callable[[], bool] = lambda: False,
) -> Image:
    """Return s = Σ over all lines of m a, on the system's grid.

    Raises
    ------
    FullSensitivityError
        for more than ``MOST_LINES`` lines (depth bins counted): use the sampled image.
    """
    share = doi_shares(system)
    lines = line_count(system)
    if lines > MOST_LINES:
        raise FullSensitivityError(
            f"{system.scanner.name} has {lines:,} lines, the full sum is for at most "
            f"{MOST_LINES:,}: use the sampled sensitivity"
        )
    projector = Projector(system.grid, threads=threads)
    attenuation = None if mu_per_mm is None else (projector, mu_per_mm)
    model = LineModel(system, list(factors), [], attenuation)
    total = np.zeros(system.grid.shape, dtype=np.float64)
    try:
        for records in _all_lines(system):
            if stopped():
                raise SensitivityStopped
            located = model.locate(records)
            weight = model.multiplicative(records, located)
            weight *= share[records["doi_a"]] * share[records["doi_b"]]
            total += projector.back(weight, located.lors)
    finally:
        projector.close()
    return total.astype(np.float32)


def line_count(system: ReconSystem) -> int:
    """Return the number of a scanner's lines, counting depth bins."""
    pairs = int(np.triu(system.allowed | system.allowed.T, 1).sum())
    per_pair = system.scanner.crystals_per_module * system.scanner.module.doi_bins
    return pairs * per_pair**2


def doi_shares(system: ReconSystem) -> npt.NDArray[np.float32]:
    """Return the share of interactions in each DOI bin at normal incidence."""
    detection = system.detection
    edges = np.linspace(0.0, detection.thickness_mm, system.scanner.module.doi_bins + 1)
    share = -np.diff(np.exp(-detection.mu_per_mm * edges))
    return np.asarray(share / share.sum(), dtype=np.float32)


def _all_lines(system: ReconSystem) -> Iterator[npt.NDArray[np.void]]:
    """Yield records of all crystal pairs and depth bins, a few module pairs at a time."""
    each, bins = system.scanner.crystals_per_module, system.scanner.module.doi_bins
    place = np.arange(each * bins)
    a, b = (side.reshape(-1) for side in np.meshgrid(place, place, indexing="ij"))
    pairs = np.argwhere(np.triu(system.allowed | system.allowed.T, 1))
    at_once = max(1, PAIRS_PER_CHUNK // len(a))
    for first in range(0, len(pairs), at_once):
        chosen = pairs[first : first + at_once]
        records = np.zeros((len(chosen), len(a)), dtype=COINCIDENCE)
        records["crystal_a"] = chosen[:, :1] * each + a // bins
        records["crystal_b"] = chosen[:, 1:] * each + b // bins
        records["doi_a"], records["doi_b"] = a % bins, b % bins
        yield records.reshape(-1)
