"""The counts behind a run's estimates of randoms: singles per slice, delayeds per fan and pair.

They do not depend on the batching, to the bit. A slice is one frame period: a module whose frame is
missing has no singles in exactly the slices in which it has no coincidences either, so neither lost
frames nor stalls bias 2τ·S·S, and the counts themselves contain the dead time. No live-time
correction is needed, and none is made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from coincidence.randoms import (
    FanRates,
    RandomsRatio,
    close_slice,
    compare_estimates,
    count_delayeds,
    count_singles,
    fan_sum_rates,
    singles_rate_randoms,
)
from hw.arrays import Records
from hw.messages.sort_settings import SortSettings
from hw.wire.protocol import FRAME_PERIOD_PS

SLICE_PS = FRAME_PERIOD_PS


@dataclass(frozen=True)
class RandomsTotals:
    """Running totals: delayeds, Σ N_m · N_n over allowed pairs and closed slices, singles in those
    slices, and the detector times up to which delayeds and closed slices are counted.
    """

    delayeds: int
    products: int
    singles: int
    delayeds_ps: int
    slices_ps: int


class RandomsTally:
    """Counts a run's accepted singles and delayeds.

    Parameters
    ----------
    module_of : (n_crystals,) u2
    allowed : (modules, modules) bool, pairs in the field of view
    """

    def __init__(
        self,
        settings: SortSettings,
        *,
        module_of: npt.NDArray[np.uint16],
        allowed: npt.NDArray[np.bool_],
    ) -> None:
        modules = len(allowed)
        self.settings = settings
        self.crystal_singles = np.zeros(len(module_of), dtype=np.int64)
        self.crystal_delayeds = np.zeros(len(module_of), dtype=np.int64)
        self.pair_delayeds = np.zeros((modules, modules), dtype=np.int64)
        self.products = np.zeros((modules, modules), dtype=np.int64)
        self.delayeds = 0
        self._module_of = module_of
        self._allowed = allowed
        self._either = np.triu(allowed | allowed.T, 1)
        self._open = np.zeros(modules, dtype=np.int64)
        self._place = np.array([0, SLICE_PS], dtype=np.int64)
        self._singles = 0

    def observe(self, accepted: Records, delayeds: Records) -> None:
        """Add a batch: singles accepted for coincidences, in order of time, and delayeds."""
        count_singles(
            accepted, self._module_of, SLICE_PS, self._place, self.crystal_singles, self._open,
            self.products,
        )  # fmt: skip
        count_delayeds(delayeds, self._module_of, self.crystal_delayeds, self.pair_delayeds)
        self.delayeds += len(delayeds)
        self._singles += len(accepted)

    def finish(self) -> None:
        """Close the open slice: the run is over."""
        close_slice(self._open, self.products)

    def totals(self, watermark_ps: int) -> RandomsTotals:
        """Return the running totals; delayeds are final up to ``reach_ps`` before the watermark."""
        return RandomsTotals(
            delayeds=self.delayeds,
            products=int(self.products[self._either].sum()),
            singles=self._singles - int(self._open.sum()),
            delayeds_ps=max(watermark_ps - self.settings.reach_ps, 0),
            slices_ps=int(self._place[0]) * SLICE_PS,
        )

    @property
    def per_product(self) -> float:
        """The randoms per unit of Σ N_m · N_n: 2τ / Δt."""
        return 2 * self.settings.window_ps / SLICE_PS

    @property
    def factor(self) -> int:
        """How often the delayed windows count the randoms; 0 without delayed windows."""
        return self.settings.delayed_factor if self.settings.delay_ps else 0

    def ratio(self) -> RandomsRatio:
        """Return both estimates of the whole run; the open slice counts from :meth:`finish` on."""
        products = int(self.products[self._either].sum())
        return compare_estimates(
            self.delayeds, self.factor, products * self.per_product, singles=self._singles
        )

    def pair_randoms(self) -> npt.NDArray[np.float64]:
        """Return 2τ·S·S of each pair of modules, (modules, modules), row < column."""
        return singles_rate_randoms(
            self.products, self._allowed, window_ps=self.settings.window_ps, slice_ps=SLICE_PS
        )

    def fan_rates(self) -> FanRates:
        """Return the smoothed delayeds of all windows together; divided by the factor, randoms."""
        return fan_sum_rates(self.crystal_delayeds, self._module_of, self._allowed)
