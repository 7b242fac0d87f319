"""Faults that change the triggers of a slice: dead or noisy crystals, gain that drifts with
temperature, bursts.

They act on one slice at a time after the Monte Carlo, in order, and depend only on the seed and the
period. Triggers they remove are counted as the Monte Carlo does (unread, below trigger), those they
add count as noise; labels follow their hits.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from emulator.detector.noise import NOISE_EXCESS
from emulator.detector.raw_position import ideal_crystal_map, raw_address
from emulator.detector.response import BELOW_TRIGGER, ENERGY_SATURATED_DKEV, HIT, UNREAD
from emulator.faults.schedule import Entry, FaultSchedule
from emulator.slices import NOISE, PERIOD_S, SliceHits
from emulator.truth_labels import label_noise
from hw.scanner.description import Scanner
from hw.wire.protocol import FRAME_PERIOD_PS
from hw.wire.truth_layout import LABEL

MOST_ADDED = 200_000
"""Triggers that a fault adds to one module in one period at most: more than any frame holds."""

_KINDS = ("dead_crystal", "noisy_crystal", "burst")


class CrystalFaults:
    """Changes the slices of one run. ``gain``: (modules,) f8, relative gain, set from outside.

    Parameters
    ----------
    schedule : the faults of the run
    trigger_keV : triggers of noise lie above it
    seed : of the random numbers of noise and bursts
    labelled : whether the slices carry the truth, which added triggers then get, too
    """

    def __init__(
        self,
        scanner: Scanner,
        schedule: FaultSchedule,
        *,
        trigger_keV: float,
        seed: int,
        labelled: bool = False,
    ) -> None:
        self.gain = np.ones(scanner.n_modules)
        self._scanner = scanner
        self._schedule = schedule
        self._trigger_keV = trigger_keV
        self._seed = seed
        self._labelled = labelled
        self._raw_map: npt.NDArray[np.uint16] | None = None
        if scanner.response.position_readout == "raw":
            self._raw_map = ideal_crystal_map(scanner)

    def disturb(self, hits: SliceHits) -> SliceHits:
        """Return the slice as changed by faulty crystals; the same object if no fault is on."""
        entries = self._schedule.on(hits.index, *_KINDS)
        if not entries and (self.gain == 1.0).all():
            return hits
        hits = replace(hits, missed=hits.missed.copy(), tally=hits.tally.copy())
        for entry in entries:
            if entry.fault.kind != "dead_crystal":
                hits = self._add(hits, entry)
        if not (self.gain == 1.0).all():
            hits = self._amplify(hits)
        for entry in entries:
            if entry.fault.kind == "dead_crystal":
                hits = self._silence(hits, entry)
        return hits

    def _amplify(self, hits: SliceHits) -> SliceHits:
        changed = hits.hits.copy()
        energy = np.rint(changed["energy"] * self.gain[changed["module"]])
        changed["energy"] = np.minimum(energy, ENERGY_SATURATED_DKEV)
        low = changed["energy"] < self._trigger_keV * 10.0
        return _without(replace(hits, hits=changed), low, BELOW_TRIGGER)

    def _silence(self, hits: SliceHits, entry: Entry) -> SliceHits:
        module, crystal = hits.hits["module"], hits.hits["crystal"]
        if self._raw_map is not None:
            crystal = self._raw_map[crystal]
        dead = entry.modules[module] & (crystal == int(entry.fault.amounts["crystal"]))
        entry.done += int(dead.sum())
        return _without(hits, dead, UNREAD)

    def _add(self, hits: SliceHits, entry: Entry) -> SliceHits:
        """Merge noise triggers into the others, in order of time."""
        random = np.random.default_rng([self._seed, entry.number, hits.index])
        present = np.bincount(hits.hits["module"], minlength=len(entry.modules))
        added = [
            self._noise(random, entry, module, int(present[module]))
            for module in np.flatnonzero(entry.modules).tolist()
        ]
        together = np.concatenate([hits.hits, *added])
        n_added = len(together) - len(hits.hits)
        entry.done += n_added
        hits.tally[NOISE] += n_added
        order = np.argsort(together["time_ps"], kind="stable")
        labels = hits.labels
        if self._labelled:
            noise = np.zeros(n_added, LABEL)
            label_noise(noise)
            labels = np.concatenate([labels, noise])[order]
        return replace(hits, hits=together[order], labels=labels)

    def _noise(
        self, random: np.random.Generator, entry: Entry, module: int, present: int
    ) -> npt.NDArray[np.void]:
        amounts = entry.fault.amounts
        mean = amounts["Hz"] * PERIOD_S
        if entry.fault.kind == "burst":
            mean = max(mean, (amounts["times"] - 1.0) * present)
        n = min(int(random.poisson(mean)), MOST_ADDED)
        hits = np.zeros(n, HIT)
        hits["time_ps"] = random.integers(0, FRAME_PERIOD_PS, n)
        hits["module"] = module
        if entry.fault.kind == "burst":
            hits["crystal"] = self._addresses(
                random.integers(0, self._scanner.crystals_per_module, n)
            )
        else:
            hits["crystal"] = self._addresses(np.full(n, int(amounts["crystal"])))
        energy_keV = self._trigger_keV * (1.0 + NOISE_EXCESS * random.exponential(size=n))
        hits["energy"] = np.minimum(np.rint(energy_keV * 10.0), ENERGY_SATURATED_DKEV)
        return hits

    def _addresses(self, crystals: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        if self._raw_map is None:
            return crystals
        table = np.array(
            [raw_address(self._scanner, c) for c in range(self._scanner.crystals_per_module)]
        )
        return np.asarray(table[crystals], dtype=np.int64)


def _without(hits: SliceHits, gone: npt.NDArray[np.bool_], why: int) -> SliceHits:
    """Return the slice without some hits, which are counted per module as missed."""
    if not gone.any():
        return hits
    modules = hits.hits["module"][gone]
    hits.missed[:, why] += np.bincount(modules, minlength=len(hits.missed))
    labels = hits.labels[~gone] if len(hits.labels) else hits.labels
    return replace(hits, hits=hits.hits[~gone], labels=labels)
