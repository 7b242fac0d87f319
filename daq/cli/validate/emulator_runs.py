"""Runs of the emulator for validation: an ideal detector, its singles and coincidences.

*Ideal* means, as in the references: no errors of gain, skew, walk or efficiency, and the read-out
of ``ideal_read_out``, without dead time, but the energy, time and position resolution of the
preset. ``run_digitized`` uses the preset's own dead time and pile-up, data frames and the
acquisition's pipeline.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from coincidence.sorter import CoincidenceSorter
from daq.cli.validate.ideal_read_out import ReadOut
from daq.cli.validate.result_line import Scope
from daq.folder.run_config import default_settings
from daq.path.pipeline import Pipeline
from emulator.config import EmulatorConfig
from emulator.detector.miscalibration import CRYSTAL_COLUMNS, EFFICIENCY, GAIN
from emulator.engines.decay_engine import DecayEngine
from emulator.engines.emulation import Emulation
from emulator.engines.instrument import Instrument
from emulator.engines.prepare import prepare
from emulator.object.phantom import Phantom
from emulator.physics.positron_range import RANGE_BINS
from emulator.slices import DECAYS, PERIOD_S, SliceAhead, SliceHits
from hw.arrays import Records
from hw.messages.sort_settings import SortSettings
from hw.scanner.geometry import allowed_module_pairs, build_geometry


@dataclass(frozen=True)
class Trial:
    """Singles within an energy window and their coincidences.

    decays : of the source, in ``seconds``
    singles : (n,) SINGLE in order of time
    labels : (n,) LABEL, the truth of each
    prompts, delayeds : COINCIDENCE
    """

    decays: int
    seconds: float
    singles: Records
    labels: Records
    prompts: Records
    delayeds: Records
    settings: SortSettings


def ideal_instrument(
    *, scanner: str = "caremibrain", phantom: str | Phantom = "point", efficiency: float = 1.0,
    trigger_keV: float = 75.0, pairs_only: bool = True,
) -> Instrument:  # fmt: skip
    """Return an instrument without errors of crystals, with F-18.

    Parameters
    ----------
    scanner : name of a preset
    phantom : its name, or the phantom itself
    efficiency : of all crystals, 0 to 1
    trigger_keV : hits below are not read out
    pairs_only : each decay gives a pair that starts at the decay, back to back except for the
        non-collinearity: the references' sources emit pairs of photons, not positrons
    """
    named = phantom if isinstance(phantom, str) else "point"
    config = EmulatorConfig(scanner=scanner, phantom=named, trigger_keV=trigger_keV)
    made = prepare(config, phantom=None if isinstance(phantom, str) else phantom)
    if not pairs_only:
        return with_crystals(made, efficiency)
    emission = made.tables.emission
    pairs = emission._replace(
        positron=np.zeros_like(emission.positron), radii_mm=np.empty((0, RANGE_BINS + 1))
    )
    return with_crystals(replace(made, tables=made.tables._replace(emission=pairs)), efficiency)


def with_crystals(instrument: Instrument, efficiency: float = 1.0) -> Instrument:
    """Return the instrument with crystals without errors except this efficiency."""
    response = instrument.tables.response
    crystals = np.zeros((instrument.scanner.n_crystals, CRYSTAL_COLUMNS), np.float32)
    crystals[:, GAIN], crystals[:, EFFICIENCY] = 1.0, efficiency
    perfect = response._replace(
        crystals=crystals,
        doi_gain=np.ones_like(response.doi_gain),
        doi_ps=np.zeros_like(response.doi_ps),
    )
    return replace(instrument, tables=instrument.tables._replace(response=perfect))


def slices_of(
    instrument: Instrument, scope: Scope, *, activity_Bq: float, decays: float,
    labelled: bool = False, first: int = 0,
) -> Iterator[SliceHits]:  # fmt: skip
    """Yield slices from number ``first`` with about that many decays; reports progress.

    Parameters
    ----------
    scope : seed, threads and whom to tell the progress
    activity_Bq : of the source, as slice 0 begins
    decays : about so many in all, at least two slices
    labelled : whether the hits know where they come from
    first : number of the first slice
    """
    engine = DecayEngine(instrument, activity_Bq=activity_Bq, seed=scope.seed, labelled=labelled)
    count = max(2, round(decays / (activity_Bq * PERIOD_S)))
    ahead = SliceAhead(
        lambda k: engine.make_slice(first + k), threads=scope.threads, look_ahead_s=0.02
    )
    try:
        for number, hits in zip(range(count), ahead, strict=False):
            scope.progress(number + 1, count)
            yield hits
    finally:
        ahead.close()


def run_trial(
    instrument: Instrument, scope: Scope, *, activity_Bq: float, decays: float,
    **changes: Any,
) -> Trial:  # fmt: skip
    """Return singles and coincidences of the instrument without dead time.

    ``changes`` replace values of the preset's sorting settings.
    """
    settings = default_settings(instrument.scanner, **changes)
    read_out = ReadOut(instrument)
    parts, labels, total, count = [], [], 0, 0
    for hits in slices_of(instrument, scope, activity_Bq=activity_Bq, decays=decays, labelled=True):
        singles, truth = read_out.take(hits)
        inside = in_window(singles["energy"], settings)
        parts.append(singles[inside])
        labels.append(truth[inside])
        total += int(hits.tally[DECAYS])
        count += 1
    singles, truth = np.concatenate(parts), np.concatenate(labels)
    order = np.argsort(singles["time_ps"], kind="stable")
    singles, truth = singles[order], truth[order]
    prompts, delayeds = sort_singles(singles, instrument, settings)
    return Trial(total, count * PERIOD_S, singles, truth, prompts, delayeds, settings)


@dataclass(frozen=True)
class Digitized:
    """Coincidences of a run through dead time, frames and the acquisition's pipeline."""

    seconds: float
    prompts: Records
    delayeds: Records


def run_digitized(
    instrument: Instrument, scope: Scope, *, activity_Bq: float, decays: float
) -> Digitized:
    """Return the coincidences of a run as the acquisition finds them, with the preset's windows."""
    scanner = instrument.scanner
    emulation = Emulation(instrument, activity_Bq=activity_Bq, seed=scope.seed)
    pipeline = Pipeline(scanner, build_geometry(scanner), default_settings(scanner), run_tag=0)
    count = max(2, round(decays / (activity_Bq * PERIOD_S)))
    ahead = SliceAhead(emulation.emulate_slice, threads=scope.threads, look_ahead_s=0.02)
    prompts, delayeds = [], []
    try:
        for number, hits in zip(range(count), ahead, strict=False):
            scope.progress(number + 1, count)
            found = pipeline.process(emulation.digitize(hits, last=number == count - 1))
            prompts.append(found.prompts)
            delayeds.append(found.delayeds)
    finally:
        ahead.close()
    rest = pipeline.finish()
    return Digitized(
        count * PERIOD_S,
        np.concatenate([*prompts, rest.prompts]),
        np.concatenate([*delayeds, rest.delayeds]),
    )


def narrowed(trial: Trial, instrument: Instrument, **changes: Any) -> Trial:
    """Return the trial sorted again with a narrower energy window."""
    settings = default_settings(instrument.scanner, **changes)
    inside = in_window(trial.singles["energy"], settings)
    singles, labels = trial.singles[inside], trial.labels[inside]
    prompts, delayeds = sort_singles(singles, instrument, settings)
    return Trial(trial.decays, trial.seconds, singles, labels, prompts, delayeds, settings)


def in_window(energy_dkeV: npt.NDArray[Any], settings: SortSettings) -> npt.NDArray[np.bool_]:
    """Return which energies (0.1 keV) are within the coincidence window."""
    inside = (energy_dkeV >= 10 * settings.lld_keV) & (energy_dkeV <= 10 * settings.uld_keV)
    return np.asarray(inside)


def sort_singles(
    singles: Records, instrument: Instrument, settings: SortSettings
) -> tuple[Records, Records]:
    """Return (prompts, delayeds) of singles in order of time."""
    allowed = allowed_module_pairs(
        instrument.scanner, min_sector_difference=settings.min_sector_difference
    )
    np.fill_diagonal(allowed, False)  # with a difference of 0 a module could pair with itself
    sorter = CoincidenceSorter(
        settings,
        module_of=build_geometry(instrument.scanner).crystal_module,
        allowed_pairs=allowed,
    )
    pushed, rest = sorter.push(singles, 0), sorter.finish()
    return (
        np.concatenate([pushed.prompts, rest.prompts]),
        np.concatenate([pushed.delayeds, rest.delayeds]),
    )


def labels_of_pairs(pairs: Records, trial: Trial) -> tuple[Records, Records]:
    """Return the labels of the two singles of each prompt, (n,) LABEL each."""
    first_ps = pairs["time_ps"]
    later_ps = first_ps + np.abs(pairs["tof_ps"].astype(np.int64))
    a_first = pairs["tof_ps"] >= 0
    first = np.where(a_first, pairs["crystal_a"], pairs["crystal_b"])
    later = np.where(a_first, pairs["crystal_b"], pairs["crystal_a"])
    labels = trial.labels
    return labels[_find(trial, first_ps, first)], labels[_find(trial, later_ps, later)]


def _find(
    trial: Trial, time_ps: npt.NDArray[Any], crystal: npt.NDArray[Any]
) -> npt.NDArray[np.int64]:
    """Return the index of the single of each (time, crystal)."""
    singles = trial.singles
    at = np.searchsorted(singles["time_ps"], time_ps, side="left")
    for _ in range(4):  # singles at the same picosecond are few
        wrong = singles["crystal"][at] != crystal
        if not wrong.any():
            return np.asarray(at)
        at = np.where(wrong, np.minimum(at + 1, len(singles) - 1), at)
    raise RuntimeError("a prompt's single is not among the singles: a defect of the trial")
