"""Singles with their truth: the label of each event word, with the single made from it.

A single is identified by its crystal and calibrated time. The words are decoded here once more and
calibrated by the pipeline's own kernel with all windows open, so that no single is left out and the
times agree to the picosecond.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from coincidence.calibration import NO_CRYSTAL, Calibration
from coincidence.events import SINGLE
from coincidence.select import COINCIDENCE_BIT, ENERGIES, Selector, WindowTable
from daq.folder.truth_file import TruthReader
from daq.path.frame_check import CheckedFrames
from hw.arrays import Records
from hw.scanner.description import Scanner
from hw.wire.protocol import (
    CRYSTAL_MASK,
    FRAME_PERIOD_LOG2,
    KIND_SINGLE,
    ticks_to_ps,
    unpack_words,
)
from hw.wire.truth_layout import LABEL, UNKNOWN


class LabelledSingles:
    """Keeps the last singles with their labels, and finds them by crystal and time.

    words, unknown : words decoded so far, and those of them that are not in the truth file
    """

    def __init__(
        self,
        truth: TruthReader,
        scanner: Scanner,
        calibration: Calibration,
        module_of: npt.NDArray[np.uint16],
    ) -> None:
        self.words = self.unknown = 0
        self._truth = truth
        self._crystals = scanner.crystals_per_module
        self._map = _crystal_map(scanner, calibration)
        unmasked = dataclasses.replace(calibration, masked=np.zeros(len(module_of), np.bool_))
        self._selector = Selector(unmasked, _all_windows(scanner.n_modules), module_of)
        self._singles = np.empty(0, SINGLE)
        self._labels = np.empty(0, LABEL)

    def take(self, frames: CheckedFrames) -> None:
        """Add the singles of a batch of accepted frames."""
        words = np.frombuffer(frames.payload, dtype="<u8")
        parts = [self._singles], [self._labels]
        for header, start in zip(frames.headers, frames.word_starts, strict=True):
            labels = self._truth.labels_of(header)
            own = words[start : start + int(header["event_count"])]
            singles, kept = self._decode(header, own)
            parts[0].append(self._selector.select(singles).copy())
            parts[1].append(labels[kept])
            self.words += len(singles)
            self.unknown += int((labels["kind"][kept] == UNKNOWN).sum())
        singles, labels = np.concatenate(parts[0]), np.concatenate(parts[1])
        order = np.lexsort((singles["crystal"], singles["time_ps"]))
        self._singles, self._labels = singles[order], labels[order]

    def forget_before(self, time_ps: int) -> None:
        """Forget singles before a time: nothing that can contain them remains to be labelled."""
        first = int(np.searchsorted(self._singles["time_ps"], time_ps))
        self._singles, self._labels = self._singles[first:], self._labels[first:]

    def find(self, time_ps: npt.NDArray[np.int64], crystal: npt.NDArray[np.uint32]) -> Records:
        """Return the labels of singles (n,) LABEL; kind UNKNOWN if there is no such single."""
        times, crystals = self._singles["time_ps"], self._singles["crystal"]
        place = np.searchsorted(times, time_ps)
        found = np.full(len(time_ps), -1)
        open_ = np.arange(len(time_ps))
        while len(open_):  # several singles may have the same time, in different crystals
            open_ = open_[place[open_] < len(times)]
            open_ = open_[times[place[open_]] == time_ps[open_]]
            match = crystals[place[open_]] == crystal[open_]
            found[open_[match]] = place[open_[match]]
            open_ = open_[~match]
            place[open_] += 1
        labels = np.zeros(len(time_ps), LABEL)
        labels["kind"] = UNKNOWN
        labels[found >= 0] = self._labels[found[found >= 0]]
        return labels

    def _decode(
        self, header: np.void, words: npt.NDArray[np.uint64]
    ) -> tuple[Records, npt.NDArray[np.bool_]]:
        """Return the singles in a frame's words, and which words they are."""
        module = int(header["module"])
        row = self._map[module if len(self._map) > 1 else 0]
        fields = unpack_words(words)
        crystal = row[fields["crystal"]]
        kept = (fields["kind"] == KIND_SINGLE) & (crystal != NO_CRYSTAL)
        ticks = (int(header["frame_id"]) << FRAME_PERIOD_LOG2) + fields["time"]
        singles = np.zeros(int(kept.sum()), SINGLE)
        singles["time_ps"] = ticks_to_ps(ticks)[kept]
        singles["crystal"] = module * self._crystals + crystal[kept].astype(np.int64)
        for name in ("energy", "flags", "doi"):
            singles[name] = fields[name][kept]
        return singles, kept


def _crystal_map(scanner: Scanner, calibration: Calibration) -> npt.NDArray[np.uint16]:
    """Return the crystal in a module for each value of the word's field, (modules or 1, 4096)."""
    if calibration.crystal_map is not None:
        return calibration.crystal_map
    plain = np.full((1, CRYSTAL_MASK + 1), NO_CRYSTAL, np.uint16)
    plain[0, : scanner.crystals_per_module] = np.arange(scanner.crystals_per_module)
    return plain


def _all_windows(modules: int) -> WindowTable:
    """Return a table that accepts every energy of every crystal."""
    rows = np.full((1, ENERGIES), COINCIDENCE_BIT, np.uint8)
    return WindowTable(rows, np.zeros(modules, np.uint16))
