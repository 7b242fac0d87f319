"""The reference workload of the sorting benchmarks, as singles and as data frames.

24 modules × 256 crystals, 5 M singles/s, 20 % in true pairs of 300 ps FWHM, energies so that part
lies outside 435–650 keV, |Δt| ≤ 2 ns; in order of time, or disordered by up to 10 µs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from coincidence.calibration import Calibration
from coincidence.events import SINGLE
from coincidence.sorter import CoincidenceSorter
from daq.path.pipeline import pairs_in_view
from hw.messages.sort_settings import SortSettings
from hw.physics.constants import FWHM_PER_SIGMA
from hw.scanner.description import Scanner
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import parse_scanner, scanner_to_toml_text
from hw.wire.frames import new_header, seal_frame
from hw.wire.protocol import (
    FLAG_LAST,
    FRAME_PERIOD_LOG2,
    FRAME_PERIOD_TICKS,
    pack_words,
    ps_to_ticks,
)

RATE_PER_S = 5e6
PAIRED_FRACTION = 0.2
CTR_SIGMA_PS = 300 / FWHM_PER_SIGMA
WINDOW_PS = 2000
DISORDER_PS = 10_000_000


def reference_scanner() -> Scanner:
    """Return the workload's scanner: one ring of 24 modules of 16 × 16 crystals."""
    text = scanner_to_toml_text("bench2")
    for old, new in (
        ("modules_per_ring = 2 ", "modules_per_ring = 24 "),
        ("inradius_mm = 50.0 ", "inradius_mm = 110.0 "),
        ("n_u = 8", "n_u = 16"),
        ("n_v = 8", "n_v = 16"),
    ):
        if old not in text:
            raise ValueError(f"bench2.toml has no {old!r} any more: adapt the reference workload")
        text = text.replace(old, new)
    return parse_scanner(text, source="the benchmark's scanner")


def reference_singles(n: int, *, seed: int = 1) -> npt.NDArray[np.void]:
    """Return n singles of the reference workload, in order of time (SINGLE)."""
    rng = np.random.default_rng(seed)
    pairs = int(n * PAIRED_FRACTION / 2)
    span_ps = n / RATE_PER_S * 1e12
    times = np.sort(rng.uniform(0, span_ps, n - pairs))
    parents = rng.choice(n - pairs, pairs, replace=False)
    partner = times[parents] + rng.normal(0, CTR_SIGMA_PS, pairs)
    crystal = rng.integers(0, 24 * 256, n - pairs)
    opposite = (crystal[parents] + 12 * 256) % (24 * 256)
    singles = np.zeros(n, dtype=SINGLE)
    time_ps = np.concatenate((times, np.clip(partner, 0, None))).astype(np.int64)
    order = np.argsort(time_ps, kind="stable")
    singles["time_ps"] = time_ps[order]
    singles["crystal"] = np.concatenate((crystal, opposite))[order]
    singles["energy"] = rng.integers(3000, 6500, n)
    return singles


@dataclass(frozen=True)
class Workload:
    """Ordered singles and what is needed to sort them."""

    scanner: Scanner
    singles: npt.NDArray[np.void]
    settings: SortSettings

    @classmethod
    def of_size(cls, n: int) -> Workload:
        """Return the reference workload with n singles."""
        settings = SortSettings(
            lld_keV=435, uld_keV=650, window_ps=WINDOW_PS, delay_ps=100_000, min_sector_difference=1
        )
        return cls(reference_scanner(), reference_singles(n), settings)

    def sorter(self) -> CoincidenceSorter:
        """Return a fresh sorter for the workload."""
        return CoincidenceSorter(
            self.settings,
            module_of=build_geometry(self.scanner).crystal_module,
            allowed_pairs=pairs_in_view(self.scanner, self.settings.min_sector_difference),
        )


def disordered(
    singles: npt.NDArray[np.void], *, reach_ps: int = DISORDER_PS
) -> npt.NDArray[np.void]:
    """Return the singles in the order of times shifted at random by up to ± ``reach_ps``."""
    jitter = np.random.default_rng(2).integers(-reach_ps, reach_ps, len(singles))
    return singles[np.argsort(singles["time_ps"] + jitter, kind="stable")]


def some_calibration(scanner: Scanner) -> Calibration:
    """Return gains of 1 ± 0.02 and skews of 0 ± 100 ps (1 ns at most)."""
    rng = np.random.default_rng(3)
    gain = rng.normal(1, 0.02, scanner.n_crystals)
    skew_ps = np.clip(rng.normal(0, 100, scanner.n_crystals), -1000, 1000)
    return Calibration(gain.astype(np.float32), skew_ps.astype(np.int32))


def frames_of(workload: Workload) -> list[bytes]:
    """Return the workload as data frames in order of arrival, one per module and period."""
    singles, modules = workload.singles, workload.scanner.n_modules
    per_module = workload.scanner.crystals_per_module
    ticks = ps_to_ticks(singles["time_ps"])
    module = singles["crystal"].astype(np.int64) // per_module
    words = pack_words(
        time_ticks=ticks & (FRAME_PERIOD_TICKS - 1),
        crystal=singles["crystal"].astype(np.int64) % per_module,
        energy_dkeV=singles["energy"],
    )
    period = ticks >> FRAME_PERIOD_LOG2
    key = period * modules + module
    order = np.argsort(key, kind="stable")
    count = (int(period[-1]) + 1) * modules
    edges = np.searchsorted(key[order], np.arange(count + 1))
    before = np.zeros(modules, dtype=np.int64)
    frames = []
    for k in range(count):
        m, frame_id = k % modules, k // modules
        chosen = words[order[edges[k] : edges[k + 1]]]
        flags = FLAG_LAST if frame_id == int(period[-1]) else 0
        header = new_header(m, frame_id, frame_id, events_before=int(before[m]), flags=flags)
        frames.append(seal_frame(header, chosen))
        before[m] += len(chosen)
    return frames
