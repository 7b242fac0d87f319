"""Building an event library: the full Monte Carlo with a detector that measures exactly.

The kernels are those of a run. A library is kept in the user's cache folder under a hash of all
that decides it: the kernel that makes it and its tables, and the numbers of decays.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from emulator.config import EmulationError, EmulatorConfig
from emulator.detector.miscalibration import (
    CRYSTAL_COLUMNS,
    EFFICIENCY,
    GAIN,
)
from emulator.detector.response import ResponseTables
from emulator.engines.decay_engine import DecayEngine
from emulator.engines.instrument import Instrument
from emulator.library.event_library import (
    DEPOSIT,
    Library,
    library_folder,
    read_library,
    write_library,
)
from emulator.library.kernel_tables import library_tables
from emulator.pet.pair_transport import emulate_slice
from emulator.slices import DECAYS, PERIOD_S, SliceAhead, SliceHits
from hw.kernel_cache import kernel_key

if TYPE_CHECKING:
    from emulator.engines.instrument import Instrument

DECAYS_IN_LIBRARY = 2_000_000
AUTOMATIC = "auto"
"""Name of the library that is kept in the cache folder."""

_HOPELESS = 0.35  # as in ``response``: lower deposits never reach the trigger
_DECAYS_A_SLICE = 100_000
_FORMAT = 1
Progress = Callable[[float], None]


def library_key(instrument: Instrument, decays: int) -> str:
    """Return the hash of everything a library depends on, 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    exact = _exact(instrument).tables
    for part in (_FORMAT, kernel_key(emulate_slice), decays, instrument.source, *exact):
        _feed(digest, part)
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    if isinstance(value, np.ndarray):
        digest.update(f"{value.dtype.str}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, tuple):
        for part in value:
            _feed(digest, part)
    else:
        digest.update(repr(value).encode())


def obtain_library(
    instrument: Instrument,
    name: str = AUTOMATIC,
    *,
    decays: int | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> Library:
    """Return the instrument's library, read from its file or built and written there.

    Parameters
    ----------
    name : AUTOMATIC for the cache folder, or a file
    decays : decays to emulate, divided equally among the nuclides; None: DECAYS_IN_LIBRARY
    progress : called with the fraction done

    Raises
    ------
    EmulationError
        if the file was made for other settings, or nothing is ever detected.
    """
    decays = decays or DECAYS_IN_LIBRARY
    key = library_key(instrument, decays)
    path = library_folder() / f"{key}.npz" if name == AUTOMATIC else Path(name)
    found = read_library(path, key, named=name != AUTOMATIC)
    if found is None:
        found = build_library(instrument, decays=decays, threads=threads, progress=progress)
        write_library(path, key, found, named=name != AUTOMATIC)
    return found


def build_library(
    instrument: Instrument,
    *,
    decays: int = DECAYS_IN_LIBRARY,
    threads: int = 1,
    progress: Progress | None = None,
) -> Library:
    """Emulate decays of each nuclide of the source and return their deposits."""
    exact, nuclides = _exact(instrument), len(instrument.source.nuclides)
    each = max(1, round(decays / nuclides))
    parts: list[npt.NDArray[np.void]] = []
    sizes: list[npt.NDArray[np.int64]] = []
    first, emulated = [0], []
    for nuclide in range(nuclides):
        done = 0
        for made in _slices(_OneNuclide(exact, nuclide, each), each, threads):
            deposits, size = _groups(made)
            parts.append(deposits)
            sizes.append(size)
            done += int(made.tally[DECAYS])
            if progress is not None:
                progress(min(1.0, (nuclide + done / each) / nuclides))
        first.append(sum(map(len, sizes)))
        emulated.append(done)
    if first[-1] == 0:
        raise EmulationError(
            f"no deposit in {sum(emulated)} decays: there is nothing to build an event library "
            "from; check phantom, nuclide and trigger_keV"
        )
    start = np.concatenate([[0], np.cumsum(np.concatenate(sizes))]).astype(np.uint32)
    return Library(np.concatenate(parts), start, np.array(first), np.array(emulated))


class _OneNuclide(DecayEngine):
    """Emulates one nuclide at a constant activity, with the object as at the start of a run."""

    def __init__(self, instrument: Instrument, nuclide: int, decays: int) -> None:
        activity_Bq = min(decays, _DECAYS_A_SLICE) / PERIOD_S
        super().__init__(instrument, activity_Bq=activity_Bq, seed=nuclide, labelled=True)
        self._only = np.zeros(len(instrument.source.nuclides))
        self._only[nuclide] = activity_Bq

    def activities_Bq(self, index: int) -> npt.NDArray[np.float64]:
        return self._only


def _slices(engine: _OneNuclide, decays: int, threads: int) -> Iterable[SliceHits]:
    ahead = SliceAhead(engine.make_slice, threads=threads, look_ahead_s=0.01)
    number = max(1, round(decays / min(decays, _DECAYS_A_SLICE)))
    try:
        for made, _ in zip(ahead, range(number), strict=False):
            yield made
    finally:
        ahead.close()


def _exact(instrument: Instrument) -> Instrument:
    """Return an instrument that measures everything that may trigger, without noise or errors."""
    response = instrument.response
    crystals = np.zeros((len(response.crystals), CRYSTAL_COLUMNS), np.float32)
    crystals[:, [GAIN, EFFICIENCY]] = 1.0
    exact: ResponseTables = response._replace(
        crystals=crystals,
        doi_gain=np.ones_like(response.doi_gain),
        doi_ps=np.zeros_like(response.doi_ps),
        energy_sigma=0.0,
        time_sigma_ps=0.0,
        trigger_keV=_HOPELESS * response.trigger_keV,
        hopeless_keV=0.0,
        raw=False,
        position_sigma_mm=0.0 if response.raw else response.position_sigma_mm,
    )
    tables = instrument.tables._replace(response=exact)
    return dataclasses.replace(instrument, tables=tables, lutetium=None, noise=None)


def _groups(made: SliceHits) -> tuple[npt.NDArray[np.void], npt.NDArray[np.int64]]:
    """Return a slice's deposits grouped by decay, and how many each decay left.

    Times are after the decay's first emission.
    """
    hits, labels = made.hits, made.labels
    order = np.argsort(labels["decay"], kind="stable")  # delayed photons come later in time
    hits, labels = hits[order], labels[order]
    begins = np.flatnonzero(np.diff(labels["decay"], prepend=-1))
    sizes = np.diff(begins, append=len(hits))
    deposits = np.empty(len(hits), DEPOSIT)
    if len(hits):
        emitted_ps = np.minimum.reduceat(labels["time_ps"], begins)
        deposits["time_ps"] = hits["time_ps"] - np.repeat(emitted_ps, sizes)
    deposits["energy_keV"] = hits["energy"] * 0.1
    for name in ("module", "crystal", "doi"):
        deposits[name] = hits[name]
    return deposits, sizes


def with_library(
    instrument: Instrument, config: EmulatorConfig, progress: Progress | None = None
) -> Instrument:
    """Return the instrument in load mode, with the event library named by the configuration."""
    library = obtain_library(instrument, config.library, threads=config.threads, progress=progress)
    tables = library_tables(library, instrument.response, instrument.scanner)
    return replace(instrument, library=tables)
