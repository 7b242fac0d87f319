"""The ideal read-out of the references, made with the emulator's own digitizer.

It sums what the photons of one decay deposit in a block, but never two decays: an integration time
of MERGE_PS and no dead time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from coincidence.events import SINGLE
from emulator.config import EmulationError
from emulator.detector.digitizer import NO_ORIGIN, TAG_PERIOD_SHIFT, Digitizer, digitizer_tables
from emulator.engines.instrument import Instrument
from emulator.slices import SliceHits
from emulator.truth_labels import no_labels
from hw.arrays import Records
from hw.wire.protocol import FRAME_PERIOD_PS, ticks_to_ps, unpack_words
from hw.wire.truth_layout import LABEL

MERGE_PS = 2_000
"""Longer than a photon takes to cross the scanner, far shorter than the time between decays."""


class ReadOut:
    """The ideal read-out: singles of slices, in order of number, with the labels of each."""

    def __init__(self, instrument: Instrument) -> None:
        scanner = instrument.scanner
        tables = digitizer_tables(scanner)._replace(
            dead_time_ps=0, integration_ps=MERGE_PS, light_decay_ps=0.0
        )
        self._digitizer = Digitizer(scanner.n_modules, tables, origins=True)
        self._crystals = scanner.crystals_per_module
        self._before = no_labels()

    def take(self, hits: SliceHits) -> tuple[Records, Records]:
        """Return (n,) SINGLE, module by module, and the (n,) LABEL of the first hit of each."""
        digitizer = self._digitizer
        if not digitizer.take(hits.hits, hits.index):
            raise EmulationError("too many triggers cross a frame's end; lower activity_Bq")
        end = int(digitizer.first_word[-1])
        event = digitizer.origin[:end] != NO_ORIGIN
        module = np.repeat(np.arange(len(digitizer.counts)), np.diff(digitizer.first_word))
        singles = self._decode(digitizer.words[:end][event], module[event], hits.index)
        labels = self._labels(digitizer.origin[:end][event], hits)
        self._before = hits.labels
        return singles, labels

    def _decode(self, words: npt.NDArray[Any], module: npt.NDArray[Any], index: int) -> Records:
        singles = np.zeros(len(words), SINGLE)
        fields = unpack_words(words)
        singles["time_ps"] = ticks_to_ps(fields["time"]) + index * FRAME_PERIOD_PS
        singles["crystal"] = module * self._crystals + fields["crystal"]
        singles["energy"], singles["doi"] = fields["energy"], fields["doi"]
        return singles

    def _labels(self, tags: npt.NDArray[np.int64], hits: SliceHits) -> Records:
        """Return each tag's label; a few tags belong to the previous slice."""
        if len(hits.labels) == 0:
            return hits.labels
        number = tags & ((1 << TAG_PERIOD_SHIFT) - 1)
        own = tags >> TAG_PERIOD_SHIFT == hits.index
        labels = np.empty(len(tags), LABEL)
        labels[own] = hits.labels[number[own]]
        labels[~own] = self._before[number[~own]]
        return labels
