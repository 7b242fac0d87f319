"""All lines of a scanner as a list: binned data, projected by the list-mode kernels.

A line is a pair of crystals a < b in modules that may pair, each with a DOI bin. Counts in such
bins (a sinogram is one in a particular order) project like events, each line once:

    lines = lor_list(scanner, geometry, allowed)
    counts = lines.counts(records)
    expected = projector.forward(image, lines.lors(geometry))

A scanner has crystals² / 2 lines, so this is meant for small scanners and parts of large ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw.arrays import I8
from hw.scanner.description import Scanner
from hw.scanner.geometry import Geometry, crystal_position_mm
from oracles.multi_ray import CrystalPairs
from recon.core.events import NO_OFFSET, Lors
from recon.core.grid import ReconError

MOST_LINES = 50_000_000
"""About 2.4 GB as lines; larger scanners are taken in parts (``module_pairs``)."""


class LorListError(ReconError):
    """A scanner has too many lines, or records are not on the list."""


@dataclass(frozen=True)
class LorList:
    """Lines between crystals a < b with DOI bins; sorted by ``key``.

    key : (n,) int64, ((a · crystals + b) · bins + doi_a) · bins + doi_b
    """

    pairs: CrystalPairs
    key: I8
    n_crystals: int
    doi_bins: int

    def __len__(self) -> int:
        return len(self.key)

    def lors(self, geometry: Geometry) -> Lors:
        """Return the lines between the points that represent the crystals' DOI bins."""
        ends = (
            np.ascontiguousarray(crystal_position_mm(geometry, crystal, doi), dtype=np.float32)
            for crystal, doi in (
                (self.pairs.crystal_a, self.pairs.doi_a),
                (self.pairs.crystal_b, self.pairs.doi_b),
            )
        )
        return Lors(*ends)

    def index(self, records: npt.NDArray[np.void]) -> I8:
        """Return the line of each ``COINCIDENCE`` record, -1 if it is on none."""
        found = CrystalPairs.of_records(records, tof=False)
        swap = found.crystal_a > found.crystal_b
        a, b = _swapped(swap, found.crystal_a, found.crystal_b)
        doi_a, doi_b = _swapped(swap, found.doi_a, found.doi_b)
        key = _key(a, b, doi_a, doi_b, self.n_crystals, self.doi_bins)
        place = np.minimum(np.searchsorted(self.key, key), max(len(self.key) - 1, 0))
        known = (b < self.n_crystals) & (np.maximum(doi_a, doi_b) < self.doi_bins)
        if not len(self.key):
            return np.full(len(records), -1, dtype=np.int64)
        return np.where(known & (self.key[place] == key), place, -1).astype(np.int64)

    def counts(self, records: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
        """Return how many records lie on each line; all must lie on one."""
        index = self.index(records)
        lost = int((index < 0).sum())
        if lost:
            raise LorListError(
                f"{lost} of {len(records)} records are on no line of the list: another scanner, or "
                "module pairs that are not allowed"
            )
        return np.bincount(index, minlength=len(self)).astype(np.int64)


def lor_list(
    scanner: Scanner,
    geometry: Geometry,
    allowed: npt.NDArray[np.bool_],
    *,
    module_pairs: npt.NDArray[np.int64] | None = None,
) -> LorList:
    """Return all lines of the allowed module pairs, or of those in ``module_pairs`` (k, 2)."""
    if module_pairs is None:
        module_pairs = np.argwhere(np.triu(allowed, 1))
    bins, crystals = scanner.module.doi_bins, len(geometry.crystal_front_mm)
    count = len(module_pairs) * (scanner.crystals_per_module * bins) ** 2
    if count > MOST_LINES:
        raise LorListError(
            f"scanner {scanner.name}: {count:,} lines, at most {MOST_LINES:,} fit a list; "
            "take fewer module pairs at once"
        )
    parts = list(_of_pairs(scanner, module_pairs, bins))
    a, b, doi_a, doi_b = (
        np.concatenate([part[k] for part in parts]) if parts else np.zeros(0, np.int64)
        for k in range(4)
    )
    key = _key(a, b, doi_a, doi_b, crystals, bins)
    order = np.argsort(key)
    pairs = CrystalPairs(a[order], b[order], doi_a[order], doi_b[order], NO_OFFSET)
    return LorList(pairs, key[order], crystals, bins)


def _of_pairs(scanner: Scanner, module_pairs: I8, bins: int) -> Iterator[tuple[I8, ...]]:
    """Yield crystal a, crystal b and their DOI bins of each pair of modules."""
    each = scanner.crystals_per_module
    inside = np.indices((each, each, bins, bins)).reshape(4, -1).astype(np.int64)
    for one, two in np.sort(module_pairs, axis=1):
        yield one * each + inside[0], two * each + inside[1], inside[2], inside[3]


def _key(a: I8, b: I8, doi_a: I8, doi_b: I8, crystals: int, bins: int) -> I8:
    return np.asarray(((a * crystals + b) * bins + doi_a) * bins + doi_b, dtype=np.int64)


def _swapped(swap: npt.NDArray[np.bool_], one: I8, two: I8) -> tuple[I8, I8]:
    return np.where(swap, two, one), np.where(swap, one, two)
