"""Noisy crystals: triggers without a photon, such as a sensor's dark counts above the threshold.

Each noisy crystal has a Poisson process of its own rate, uniform in time. Read-out energies fall
off exponentially above the trigger level, with a mean excess of NOISE_EXCESS times that level: the
shape is that of coincident dark counts, the numbers are assumed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emulator.detector.raw_position import raw_address
from emulator.detector.response import ENERGY_SATURATED_DKEV
from emulator.physics.photons import State
from emulator.slices import NOISE
from hw.jit import kernel
from hw.physics.random_numbers import exponential, seed_stream, uniform
from hw.scanner.description import Scanner

NOISE_EXCESS = 0.5
_STREAM = 1 << 62  # slices of the source's own stream are far below


class NoiseTables(NamedTuple):
    """The noisy crystals as the kernel sees them.

    module, address : (n,) i8, module and content of the word's crystal field
    rate_Hz : rate of each
    trigger_keV : the digitizer's threshold
    """

    module: npt.NDArray[np.int64]
    address: npt.NDArray[np.int64]
    rate_Hz: float
    trigger_keV: float


def noise_tables(
    noisy: npt.NDArray[np.int64], scanner: Scanner, *, rate_Hz: float, trigger_keV: float
) -> NoiseTables:
    """Return the tables of noisy crystals (n,), given by global crystal number."""
    module, crystal = np.divmod(noisy, scanner.crystals_per_module)
    if scanner.response.position_readout == "raw":
        crystal = np.array([raw_address(scanner, int(c)) for c in crystal], np.int64)
    return NoiseTables(module, crystal, float(rate_Hz), float(trigger_keV))


@kernel
def add_noise(
    tables: NoiseTables,
    slice_ps: float,
    seed: int,
    slice_index: int,
    state: State,
    hits: npt.NDArray[np.void],
    n_hits: int,
    tally: npt.NDArray[np.int64],
) -> int:
    """Add one slice's noise to ``hits`` from ``n_hits`` on, in order of time.

    Parameters
    ----------
    tally : the triggers are added to NOISE

    Returns
    -------
    new number of hits, or −1 if they do not fit
    """
    seed_stream(state, np.uint64(seed), np.uint64(slice_index + _STREAM))
    crystals = len(tables.module)
    mean_gap_ps = 1e12 / (tables.rate_Hz * crystals)
    time_ps = exponential(state) * mean_gap_ps
    while time_ps < slice_ps:
        if n_hits == len(hits):
            return -1
        which = int(uniform(state) * crystals)
        energy_keV = tables.trigger_keV * (1.0 + NOISE_EXCESS * exponential(state))
        hit = hits[n_hits]
        hit.time_ps = int(time_ps)
        hit.module = tables.module[which]
        hit.crystal = tables.address[which]
        hit.energy = min(int(energy_keV * 10.0 + 0.5), ENERGY_SATURATED_DKEV)
        hit.doi = 0
        tally[NOISE] += 1
        n_hits += 1
        time_ps += exponential(state) * mean_gap_ps
    return n_hits
