"""What is wrong with each crystal: the truth that a calibration has to find.

Drawn once for a serial number from the spreads of a preset: a seed is the decays', so that runs of
several seeds are runs of one instrument, whose calibration is good for all of them. Half of the
variance of each quantity belongs to the module (its sensor, clock and electronics), half to the
crystal. The kernels see one row per crystal; ``Truth`` names the columns for people and tests.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emulator.config import EmulationError, EmulatorConfig
from emulator.detector.raw_position import ideal_crystal_map
from hw.scanner.description import Scanner

MODULE_SHARE = 0.5
"""Share of the variance that all crystals of a module have in common."""

GAIN, SKEW, CURVATURE, WALK, EFFICIENCY = range(5)
CRYSTAL_COLUMNS = 5  # 20 bytes: 49152 rows stay within a megabyte, and so in the second cache

Crystals = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Truth:
    """What a calibration has to find; (n_crystals,) unless said.

    gain : f4, read-out energy over true energy, so that a calibration's gain is its inverse
    skew_ps : f4, added to the time stamp
    curvature : f4, of the energy's non-linearity, in the sense of the correction (``unbend``)
    walk_ps : f4, times √(511 keV/E) − 1 added to the time stamp
    efficiency : f4, probability that a deposit above the trigger is read out; 0 where dead
    dead, noisy : bool
    doi_gain, doi_ps : (doi_bins,) f8, factor of the energy and summand of the time by depth bin
    dead_time_ps, dead_time_model : of every module
    crystal_map : (4096,) u2, crystal of a module by raw position; empty where crystals are read
    """

    gain: npt.NDArray[np.float32]
    skew_ps: npt.NDArray[np.float32]
    curvature: npt.NDArray[np.float32]
    walk_ps: npt.NDArray[np.float32]
    efficiency: npt.NDArray[np.float32]
    dead: npt.NDArray[np.bool_]
    noisy: npt.NDArray[np.bool_]
    doi_gain: npt.NDArray[np.float64]
    doi_ps: npt.NDArray[np.float64]
    dead_time_ps: int
    dead_time_model: str
    crystal_map: npt.NDArray[np.uint16]

    @property
    def relative_efficiency(self) -> npt.NDArray[np.float64]:
        """Return the efficiencies with mean 1 over the crystals that are not dead, (n,) f8."""
        mean = self.efficiency[~self.dead].mean(dtype=np.float64)
        return self.efficiency.astype(np.float64) / mean


def serial_seed(serial: str) -> int:
    """Return the seed of what a serial number decides, 64 bits."""
    return int.from_bytes(hashlib.blake2b(serial.encode(), digest_size=8).digest(), "little")


def draw_crystals(scanner: Scanner, *, serial: str) -> Crystals:
    """Return (n_crystals, CRYSTAL_COLUMNS) f4, the rows that the kernels read.

    Gain is at least 0.1. Efficiencies are 1 + ``efficiency_spread`` · normal, over the largest of
    them: no crystal reads out more than everything.
    """
    response = scanner.response
    random = np.random.Generator(np.random.PCG64([serial_seed(serial), 0x7275]))
    rows = np.zeros((scanner.n_crystals, CRYSTAL_COLUMNS), np.float32)
    rows[:, GAIN] = np.maximum(1.0 + response.gain_spread * _spread(random, scanner), 0.1)
    rows[:, SKEW] = response.skew_spread_ps * _spread(random, scanner)
    rows[:, CURVATURE] = response.curvature_spread * _spread(random, scanner)
    rows[:, WALK] = response.walk_ps + response.walk_spread_ps * _spread(random, scanner)
    efficiency = np.maximum(1.0 + response.efficiency_spread * _spread(random, scanner), 0.0)
    rows[:, EFFICIENCY] = efficiency / efficiency.max()
    return rows


def _spread(random: np.random.Generator, scanner: Scanner) -> npt.NDArray[np.float64]:
    """Return unit-variance offsets per crystal (n_crystals,), cut at 4 σ."""
    modules = random.standard_normal(scanner.n_modules).repeat(scanner.crystals_per_module)
    crystals = random.standard_normal(scanner.n_crystals)
    return np.clip(
        math.sqrt(MODULE_SHARE) * modules + math.sqrt(1 - MODULE_SHARE) * crystals, -4.0, 4.0
    )


def depth_errors(scanner: Scanner) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return (doi_bins,) f8 factor of the energy and summand of the time in ps, by depth bin.

    Linear in the bin's depth, so that the block as a whole is right: light from the front has
    further to go to the sensor behind the block.
    """
    bins = scanner.module.doi_bins
    depth = (np.arange(bins) + 0.5) / bins - 0.5
    response = scanner.response
    return 1.0 + response.doi_gain_range * depth, response.doi_time_range_ps * depth


def choose_faulty(
    config: EmulatorConfig, scanner: Scanner, *, serial: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the dead and the noisy crystals of a configuration, (n,) each, in order.

    Named ones are taken as they are; those asked for by number are drawn from all others,
    for a serial number always the same.

    Raises
    ------
    EmulationError
        naming the setting, the value and the bound.
    """
    dead = _named("dead_crystals", config.dead_crystals, scanner)
    noisy = _named("noisy_crystals", config.noisy_crystals, scanner)
    both = np.intersect1d(dead, noisy)
    if len(both):
        raise EmulationError(
            f"noisy_crystals: crystal {both[0]} is among dead_crystals, nothing of it is read "
            "out; name it in one of them"
        )
    if isinstance(config.dead_crystals, int):
        dead = _drawn("dead_crystals", config.dead_crystals, scanner, serial, noisy)
    if isinstance(config.noisy_crystals, int):
        noisy = _drawn("noisy_crystals", config.noisy_crystals, scanner, serial, dead)
    return dead, noisy


def _named(what: str, wanted: int | tuple[int, ...], scanner: Scanner) -> npt.NDArray[np.int64]:
    crystals = np.unique(np.array([] if isinstance(wanted, int) else wanted, dtype=np.int64))
    if len(crystals) and crystals[-1] >= scanner.n_crystals:
        raise EmulationError(
            f"{what}: crystal {crystals[-1]} does not exist, {scanner.name} has crystals 0 to "
            f"{scanner.n_crystals - 1}"
        )
    return crystals


def _drawn(
    what: str, wanted: int, scanner: Scanner, serial: str, taken: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    free = np.setdiff1d(np.arange(scanner.n_crystals), taken)
    if wanted > len(free):
        raise EmulationError(
            f"{what} = {wanted}: {scanner.name} has {len(free)} crystals to choose from; "
            "ask for fewer"
        )
    random = np.random.Generator(np.random.PCG64([serial_seed(serial), *what.encode()]))
    return np.sort(random.choice(free, wanted, replace=False))


def truth_of(
    crystals: Crystals,
    scanner: Scanner,
    *,
    dead: npt.NDArray[np.int64],
    noisy: npt.NDArray[np.int64],
) -> Truth:
    """Return the rows' truth by name; ``dead`` and ``noisy`` are crystal numbers."""
    doi_gain, doi_ps = depth_errors(scanner)
    raw = scanner.response.position_readout == "raw"
    return Truth(
        gain=crystals[:, GAIN],
        skew_ps=crystals[:, SKEW],
        curvature=crystals[:, CURVATURE],
        walk_ps=crystals[:, WALK],
        efficiency=crystals[:, EFFICIENCY],
        dead=np.isin(np.arange(scanner.n_crystals), dead),
        noisy=np.isin(np.arange(scanner.n_crystals), noisy),
        doi_gain=doi_gain,
        doi_ps=doi_ps,
        dead_time_ps=round(
            max(scanner.response.dead_time_ns, scanner.response.integration_ns) * 1000
        ),
        dead_time_model=scanner.response.dead_time_model,
        crystal_map=ideal_crystal_map(scanner) if raw else np.zeros(0, np.uint16),
    )
