"""Lists whose formats the image's side knows, played as singles: PETLINK of an mMR, PETSIRD."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from daq.errors import ImportDataError
from daq.importers.streams.pairs import PairList, Pairs, rising
from daq.replay.event_source import Placed
from hw.scanner.description import Scanner
from recon.exchange.errors import ExchangeError
from recon.exchange.listmode.mmr import CRYSTALS_AROUND, crystals_of, find_header, ring_pairs


class Petlink(PairList):
    """Siemens mMR's words (:mod:`recon.exchange.listmode.mmr`); its header lies beside.

    channel = ring · 504 + place around
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            self._header = find_header(path)
        except ExchangeError as error:
            raise ImportDataError(str(error)) from error
        self._rings = ring_pairs(self._header)

    def pairs(self) -> Iterator[Pairs]:
        """Yield the prompts; addresses beyond the header's, and other words, are counted."""
        newest = -1
        for words in self._words():
            is_event, is_time = words >> 31 == 0, words >> 29 == 0b100
            told = np.where(is_time, (words & 0x1FFFFFFF).astype(np.int64), -1)
            step, newest = rising(told, newest)
            prompt = is_event & (words >> 30 & 1 == 1)
            self.count("delayeds", int((is_event & ~prompt).sum()))
            address = (words[prompt] & 0x3FFFFFFF).astype(np.int64)
            header = self._header
            rest, bin_ = np.divmod(address, header.bins)
            sinogram, view = np.divmod(rest, header.views)
            known = sinogram < len(self._rings)
            self.count("addresses beyond the header's sinograms", int((~known).sum()))
            places = crystals_of(view[known], bin_[known], header.bins)
            rings = self._rings[sinogram[known]]
            ends = [rings[:, end] * CRYSTALS_AROUND + places[end] for end in (0, 1)]
            yield Pairs(step[prompt][known], *ends)

    def _words(self) -> Iterator[npt.NDArray[np.uint32]]:
        rest, at = b"", 0
        for data in self._bytes():
            rest += data
            whole = len(rest) // 4 * 4
            yield np.frombuffer(rest[:whole], "<u4")
            rest, at = rest[whole:], at + whole
        if rest:
            self.trouble = self.cut_off(at, f"{len(rest)} bytes of a word's 4")


def petsird_pairs(path: Path, scanner: Scanner, broken: Counter[str]) -> Iterator[Placed]:
    """Yield both singles of each prompt, t_b − t_a apart; the preset must be the file's own.

    Raises
    ------
    ImportDataError
        if the file is no PETSIRD, is damaged, or its scanner is another.
    """
    from recon.exchange.petsird.reader import PetsirdFile
    from recon.exchange.petsird.scanner_fit import fit_scanner

    try:
        with PetsirdFile(path) as file:
            fitted = fit_scanner(file.header)
            shape, asked = _shape(fitted.scanner), _shape(scanner)
            if shape != asked:
                raise ImportDataError(
                    f"{path} is of {shape}, --scanner {scanner.name} has {asked}: `tomoshibi "
                    "import petsird` makes the file's own preset (scanner.toml)"
                )
            for delayed, records in file.parts(fitted.bins):
                if delayed:
                    broken["delayeds"] += len(records)
                    continue
                yield _singles(records, scanner.crystals_per_module)
            broken.update(file.skipped.counts)
    except (ExchangeError, KeyError, TypeError) as error:
        raise ImportDataError(f"{path}: {error}") from error


def _shape(scanner: Scanner) -> str:
    return f"{scanner.n_modules} modules of {scanner.module.n_u} × {scanner.module.n_v} crystals"


def _singles(records: npt.NDArray[np.void], per_module: int) -> Placed:
    early_ps = records["time_ps"].astype(np.int64)
    times_ps = np.concatenate([early_ps, early_ps + records["tof_ps"]])
    times_ps = np.maximum(times_ps, 0)
    crystal = np.concatenate([records["crystal_a"], records["crystal_b"]]).astype(np.int64)
    energy = np.concatenate([records["energy_a"], records["energy_b"]]).astype(np.int64)
    module, crystal = np.divmod(crystal, per_module)
    ticks = (times_ps // 625) * 32 + (times_ps % 625) * 32 // 625
    energy = np.where(energy > 0, np.minimum(energy, 16383), 5110)
    return ticks, module, crystal, energy
