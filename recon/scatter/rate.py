"""Scatter per second of any line: the table of the simulation, interpolated, times its scale.

    q_i = α · n_i l_i · SSS_i

with the factors (normalisation n, live share l) of the line model, as for trues, and α the scale
from the tails (or energies). Costs about 80 ns per event.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from coincidence.events import COINCIDENCE
from hw.arrays import F4, I8, Records
from recon.core.event_location import LocatedEvents
from recon.core.grid import Image
from recon.core.scanner_tables import ReconSystem
from recon.core.tof import HALF_C_MM_PER_PS
from recon.lines.model import LineFactor
from recon.scatter.detector import ScatterError
from recon.scatter.samples import crystal_weights, mean_weights
from recon.scatter.simulation import ScatterTable
from recon.scatter.single_kernels import line_rates


@dataclass(frozen=True)
class ScatterRate:
    """A ``LineRate``: the scatter expected on lines.

    scale : α, the factor on the table
    about : for the image's metadata: method, scale, scatter_fraction, note and more
    activity : the image it was simulated from, if kept for the next estimate
    gamma_scale : the scale of the prompt γ simulated from the same image
    """

    system: ReconSystem
    table: ScatterTable
    factors: Sequence[LineFactor] = ()
    scale: float = 1.0
    about: dict[str, Any] = field(default_factory=dict)
    activity: Image | None = None
    gamma_scale: float = 1.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.scale) and 0.0 <= self.scale < 100.0):
            raise ScatterError(
                f"scatter scale {self.scale:g}: must lie in 0..100; switch scatter correction off "
                "or check the µ map and the activity"
            )

    def of_records(self, records: Records, located: LocatedEvents) -> F4:
        """Return the scatter per second in each record's line and TOF bin, (n,) float32."""
        offset = located.lors.offset_mm
        if self.system.tof is not None and len(offset) != len(records):
            offset = (-HALF_C_MM_PER_PS * records["tof_ps"]).astype(np.float32)
        rate = self._interpolated(records, offset)
        for factor in self.factors:
            rate *= factor.of_records(records)
        return rate

    def of_lines(self, crystal_a: I8, crystal_b: I8) -> F4:
        """Return the scatter per second of crystal pairs, all TOF bins together, (n,) float32."""
        records = np.zeros(len(crystal_a), dtype=COINCIDENCE)
        records["crystal_a"], records["crystal_b"] = crystal_a, crystal_b
        rate = self._over_all_offsets()._interpolated(records, np.zeros(0, np.float32))
        for factor in self.factors:
            rate *= factor.of_lines(crystal_a, crystal_b)
        return rate

    @property
    def total_per_s(self) -> float:
        """Scatter per second of the whole scanner, without the factors."""
        whole = self._over_all_offsets()
        samples = whole.table.samples
        weight = mean_weights(self.system, samples.per_side, even=samples.even)
        each = np.einsum("rab,a,b->", whole.table.rates[..., 0].astype(np.float64), weight, weight)
        return float(each) * self.system.scanner.crystals_per_module**2 * self.scale

    def scaled(self, factor: float) -> ScatterRate:
        """Return the same scatter times ``factor``."""
        return replace(self, scale=self.scale * factor)

    def _over_all_offsets(self) -> ScatterRate:
        if self.table.rates.shape[3] == 1 or self.system.tof is None:
            return self
        total = self.table.rates.sum(axis=3, keepdims=True, dtype=np.float64)
        total *= self.table.bin_mm / self.system.tof.bin_mm
        return replace(self, table=replace(self.table, rates=total.astype(np.float32)))

    def _interpolated(self, records: Records, offset_mm: F4) -> F4:
        samples, scanner = self.table.samples, self.system.scanner
        sample, weight = crystal_weights(self.system, samples.per_side, even=samples.even)
        out = np.empty(len(records), dtype=np.float32)
        line_rates(
            np.require(records, requirements=["C", "W"]), offset_mm, scanner.crystals_per_module,
            scanner.n_modules, samples.row_of, sample, weight, self.table.rates,
            self.table.bin_mm, out,
        )  # fmt: skip
        out *= np.float32(self.scale)
        return out


def mean_factor(rate: ScatterRate) -> float:
    """Return the scatter-weighted mean of the model's factors over lines."""
    if not rate.factors:
        return 1.0
    rng = np.random.default_rng(1)
    rows = rate.table.samples.rows[rng.integers(len(rate.table.samples.rows), size=20_000)]
    each = rate.system.scanner.crystals_per_module
    crystals = (rows * each + rng.integers(each, size=rows.shape)).T
    a, b = np.ascontiguousarray(crystals[0]), np.ascontiguousarray(crystals[1])
    with_factors = rate.of_lines(a, b)
    plain = replace(rate, factors=()).of_lines(a, b)
    return float(with_factors.sum(dtype=np.float64) / max(plain.sum(dtype=np.float64), 1e-300))


def counted_per_s(rate: ScatterRate) -> float:
    """Return the scatter that the whole scanner counts per second, with the model's factors."""
    return rate.total_per_s * mean_factor(rate)


def settled(activity: Image, previous: ScatterRate | None) -> Image:
    """Return the mean of an image and of the (scaled) one that the previous estimate was simulated
    from.

    An image has what the previous estimate left of the prompts: after too much scatter it is too
    dark by r times the excess, with r scatter over trues. The mean keeps (1 − r)/2 of the excess.
    """
    before = None if previous is None else previous.activity
    if previous is None or before is None or before.shape != activity.shape or not before.any():
        return activity
    return np.asarray((activity + np.float32(previous.scale) * before) / 2, dtype=np.float32)
