"""A run of an acceptance test: its coincidences, its mean activity, where its source was.

Activity, nuclide and phantom come from the run's labels, which the emulator writes, or are given
with the command. The log is read part by part and never kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hw.arrays import F8, Records
from hw.messages.phantom_name import split_name
from hw.physics.nuclides import nuclide_of
from recon.acceptance.count_rates import LineCounts
from recon.acceptance.line_sinogram import Strip, lor_coordinates, pair_ends_mm, sinogram
from recon.acceptance.time_resolution import timing_table
from recon.core.decay import mean_decay
from recon.core.frames import TimeSelection
from recon.core.grid import ReconError
from recon.offline.run_data import RunData
from recon.offline.run_reader import run_data

TOLD = ("activity_MBq", "nuclide", "phantom")
NUMBERS = ("sleeves", "x_mm", "y_mm", "z_mm")
"""What may be told of a run: as in its labels, and the numbers of a phantom's name."""


class AcceptanceError(ReconError):
    """A run that cannot be used in an acceptance test; the message says what it lacks."""


@dataclass(frozen=True)
class MeasuredRun:
    """A run and what is known of its source.

    activity_MBq : mean over the run; ``start_MBq`` at its start
    positron_share : positrons per decay
    numbers : of the phantom: ``sleeves``, ``x_mm`` …
    """

    data: RunData
    start_MBq: float
    activity_MBq: float
    positron_share: float
    numbers: dict[str, float]

    @property
    def name(self) -> str:
        """The run's name."""
        return self.data.name

    def number(self, key: str, default: float | None = None) -> float:
        """Return a number of the phantom; raises AcceptanceError where it is not known."""
        value = self.numbers.get(key, default)
        if value is None:
            raise AcceptanceError(
                f"run {self.name} does not tell {key} of its source: give it in the file of --from"
            )
        return value


def measured_run(folder: Path, told: Mapping[str, Any] | None = None) -> MeasuredRun:
    """Return a run with its activity.

    told : values for ``TOLD`` and ``NUMBERS`` that replace the run's labels

    Raises
    ------
    AcceptanceError
        if nuclide or activity are neither in the labels nor given.
    ReconError
        if the run cannot be read.
    """
    told = told or {}
    data = run_data(folder)
    labels = {**data.labels, **{key: told[key] for key in TOLD if key in told}}
    data = replace(data, labels=labels)
    nuclide, why = nuclide_of(labels)
    if nuclide is None:
        raise AcceptanceError(f"run {data.name}: {why}; tell it in the file of --from")
    activity = labels.get("activity_MBq")
    if not isinstance(activity, int | float) or not 0 < activity < math.inf:
        raise AcceptanceError(
            f"run {data.name}: activity_MBq at its start is {activity!r}; tell it in the file of "
            "--from"
        )
    whole = TimeSelection.frame(0.0, data.duration_s)
    _, numbers = split_name(str(labels.get("phantom") or ""))
    numbers |= {key: float(told[key]) for key in NUMBERS if key in told}
    mean = activity * mean_decay(whole, nuclide.half_life_s)
    return MeasuredRun(data, float(activity), mean, nuclide.beta_plus_fraction, numbers)


def accumulated(run: MeasuredRun, table: Callable[[Records], F8]) -> tuple[F8, F8]:
    """Return a table of the prompts and of the randoms expected among them, summed over the log.

    Raises
    ------
    AcceptanceError
        if the run has no delayed window: its randoms are not known.
    """
    data = run.data
    if data.delayed_parts is None:
        raise AcceptanceError(
            f"run {run.name} has no delayed window, so its randoms are not known: measure with "
            "one, or sort it again (tomoshibi sort)"
        )
    prompts = _sum(table(part) for part in data.prompts())
    empty = np.zeros_like(prompts)
    delayeds = _sum((table(part) for part in data.delayeds()), empty)
    return prompts, delayeds / data.delayed_factor


def _sum(tables: Any, start: F8 | None = None) -> F8:
    total = start
    for one in tables:
        total = one if total is None else total + one
    if total is None:
        raise AcceptanceError("a run has no prompts: there is nothing to judge")
    return total


def line_counts(run: MeasuredRun, strip: Strip) -> LineCounts:
    """Return the sinograms of a run."""
    found = accumulated(run, lambda part: sinogram(part, run.data.geometry, strip))
    return LineCounts(run.activity_MBq, *found, run.data.duration_s)


def timing_counts(run: MeasuredRun, line_mm: tuple[float, float]) -> F8:
    """Return the table of timing errors of a run's prompts; the strip subtracts the randoms."""
    geometry, reach = run.data.geometry, float(run.data.window_ps)
    prompts, _ = accumulated(
        run, lambda part: timing_table(part, geometry, line_mm, reach_ps=reach)
    )
    return prompts


@dataclass(frozen=True)
class SliceCounts:
    """Coincidences less randoms of each slice, where the slices are, and counts and their variance
    of all slices together."""

    z_mm: F8
    trues: F8
    total: float
    variance: float
    randoms: float


def slice_counts(
    run: MeasuredRun, *, near_mm: tuple[float, float] | None = None, within_mm: float = math.inf
) -> SliceCounts:
    """Return a run's coincidences by slice (single-slice rebinning: the mean z of the two ends).

    near_mm, within_mm : only LORs that pass so near to this point (x, y)
    """
    scanner, geometry = run.data.scanner, run.data.geometry
    slices = max(1, round(scanner.axial_mm / scanner.module.pitch_v_mm))
    half = scanner.axial_mm / 2

    def table(part: Records) -> F8:
        a, b = pair_ends_mm(part, geometry)
        z = (a[:, 2] + b[:, 2]) / 2
        if near_mm is not None:
            s, angle = lor_coordinates(part, geometry)
            there = near_mm[0] * np.cos(angle) + near_mm[1] * np.sin(angle)
            z = z[np.abs(s - there) <= within_mm]
        return np.histogram(np.clip(z, -half, half), bins=slices, range=(-half, half))[0].astype(
            np.float64
        )

    prompts, randoms = accumulated(run, table)
    edges = np.linspace(-half, half, slices + 1)
    total, expected = float(prompts.sum()), float(randoms.sum())
    variance = total + expected / run.data.delayed_factor
    return SliceCounts((edges[1:] + edges[:-1]) / 2, prompts - randoms, total - expected, variance,
                       expected)  # fmt: skip
