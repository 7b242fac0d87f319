"""Find each module's dead time and its model from a source that decays, or from several runs.

One run: leave a source in place for some half-lives, from a rate at which the dead time matters
(n·τ of at least 0.2) down to one at which it hardly does. Several runs: the same source, or sources
of the same shape in the same place, at four activities or more; their ratios come from the runs'
labels or from --activities. All triggers count, whatever their energy.

Both models are fitted, m = n/(1 + nτ) and m = n·exp(−nτ), and the likelier is kept. If the counts
cannot decide ("modules of unclear model" above 0), measure longer, or start higher, or give
--model: the models' dead times differ by n·τ/2 as a fraction.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daq.cli.calibrate.kind import CalibrationKind
from daq.cli.calibrate.outcome import Outcome, status_figures
from daq.cli.common import CommandError, positive
from daq.cli.progress import ProgressLine

if TYPE_CHECKING:
    from daq.calibration.deadtime_fit import DeadTimeResult
    from daq.calibration.plots import Panel
    from daq.calibration.trigger_rates import TriggerRates
    from daq.folder.calibration_set import CalibrationSet

EXAMPLES = """\
examples:
  tomoshibi calibrate deadtime DECAY --nuclide O-15 --output deadtime.npz
  tomoshibi calibrate deadtime A B C D E --output deadtime.npz      activities from the labels
  tomoshibi calibrate deadtime A B C D --activities 50 20 8 2 --nuclide F-18 --output dead.npz
  tomoshibi calibrate deadtime DECAY --half-life-s 6586.2 --background --output deadtime.npz
"""

MODELS = ("auto", "non-paralysable", "paralysable")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the dead-time calibration."""
    parser.add_argument("--nuclide", metavar="NAME",
                        help="the source's, such as O-15 (default: the run's label)")  # fmt: skip
    parser.add_argument("--half-life-s", type=positive, metavar="S",
                        help="half-life, instead of a nuclide in the table")  # fmt: skip
    parser.add_argument("--activities", type=positive, nargs="+", metavar="A",
                        help="of each run at its start, in any unit "
                        "(default: the runs' labels; one run needs none)")  # fmt: skip
    parser.add_argument("--slice-s", type=positive, metavar="S",
                        help="length of the slices of time (default: half-life / 20)")  # fmt: skip
    parser.add_argument("--background", action="store_true",
                        help="fit a constant rate too (¹⁷⁶Lu, or a long-lived rest)")  # fmt: skip
    parser.add_argument("--model", choices=MODELS, default="auto",
                        help="the model, if it is known (default: the likelier)")  # fmt: skip


def find(options: argparse.Namespace, folders: list[Path], base: CalibrationSet | None) -> Outcome:
    """Count triggers by slice of time and fit both models."""
    from daq.calibration.deadtime_fit import DeadTimeModel, calibrate_deadtime
    from daq.calibration.trigger_rates import joined, rates_of_run

    half_life_s = _half_life_s(options, folders)
    activities = _activities(options, folders)
    parts = []
    for folder, activity in zip(folders, activities, strict=True):
        progress = ProgressLine(f"triggers of {folder.name}")
        parts.append(rates_of_run(folder, half_life_s=half_life_s, slice_s=options.slice_s,
                                  activity=activity, progress=progress))  # fmt: skip
        progress.done()
    rates = joined(parts)
    model = None if options.model == "auto" else DeadTimeModel(MODELS.index(options.model))
    found = calibrate_deadtime(rates, fit_background=options.background, model=model)
    method = f"trigger rates over {len(folders)} run(s), half-life {half_life_s:g} s"
    return Outcome(
        {"dead_time_ps": found.tau_s * 1e12, "dead_time_model": found.model},
        method,
        _figures(found, rates),
        _panels(found, rates),
        {"dead_time_ps": found.status},
        {"modules": _table(found)},
    )


def _half_life_s(options: argparse.Namespace, folders: list[Path]) -> float:
    from daq.folder.run_folder import run_config
    from hw.physics.nuclides import load_nuclide

    if options.half_life_s:
        return float(options.half_life_s)
    names = {options.nuclide or run_config(folder).labels.get("nuclide") for folder in folders}
    if len(names) != 1 or None in names or not isinstance(name := names.pop(), str):
        raise CommandError(
            "the runs' labels do not name one nuclide: give --nuclide or --half-life-s"
        )
    if "+" in name or ":" in name:
        raise CommandError(
            f"the source is {name}: a dead-time fit needs one nuclide alone; measure one, or give "
            "--half-life-s where the others hardly count"
        )
    return load_nuclide(name).half_life_s


def _activities(options: argparse.Namespace, folders: list[Path]) -> list[float]:
    from daq.folder.run_folder import run_config

    if options.activities:
        if len(options.activities) != len(folders):
            raise CommandError(
                f"{len(options.activities)} activities for {len(folders)} runs: give one for each"
            )
        return list(options.activities)
    if len(folders) == 1:
        return [1.0]
    found = []
    for folder in folders:
        value = run_config(folder).labels.get("activity_MBq")
        if not isinstance(value, int | float) or value <= 0:
            raise CommandError(
                f"{folder} has no label activity_MBq (found: {value!r}): give --activities, one "
                "for each run"
            )
        found.append(float(value))
    return found


def _figures(found: DeadTimeResult, rates: TriggerRates) -> dict[str, Any]:
    import numpy as np

    from daq.calibration.deadtime_fit import PROMISED, DeadTimeModel
    from daq.folder.calibration_set import Status

    fitted = found.status == Status.FITTED
    tau, error = found.tau_s[fitted], found.tau_error_s[fitted]
    models = DeadTimeModel(int(np.bincount(found.model).argmax()))
    chi2, dof = found.chosen("chi2")[fitted].sum(), found.chosen("dof")[fitted].sum()
    return {
        **status_figures(found.status),
        "model": models.name.lower().replace("_", "-"),
        "modules_of_this_model": int((found.model == models).sum()),
        "modules_of_unclear_model": int((~found.decided).sum()),
        "tau_ns": round(float(np.median(tau) * 1e9), 3),
        "tau_least_ns": round(float(tau.min() * 1e9), 3),
        "tau_most_ns": round(float(tau.max() * 1e9), 3),
        "error_worst_percent": round(float((error / tau).max() * 100), 3),
        "two_sigma_within_2_percent": int((2 * error <= PROMISED * tau).sum()),
        "chi2_per_dof": round(float(chi2 / max(dof, 1.0)), 3),
        "load_at_start": round(float(found.load[fitted].max()), 3),
        "triggers": int(rates.counts.sum()),
        "slices": rates.counts.shape[1],
        "frames_beyond_the_last_slice": rates.beyond,
    }


def _table(found: DeadTimeResult) -> list[dict[str, Any]]:
    from daq.calibration.deadtime_fit import DeadTimeModel

    chi2, dof = found.chosen("chi2"), found.chosen("dof")
    n0, background = found.chosen("n0_cps"), found.chosen("background_cps")
    rows = []
    for k, tau_s in enumerate(found.tau_s):
        row = {
            "module": k,
            "tau_ns": _plain(tau_s * 1e9),
            "error_ns": _plain(found.tau_error_s[k] * 1e9),
            "model": DeadTimeModel(int(found.model[k])).name.lower().replace("_", "-"),
            "model_clear": bool(found.decided[k]),
            "status": int(found.status[k]),
            "chi2_per_dof": _plain(chi2[k] / max(dof[k], 1.0)),
            "load_at_start": _plain(found.load[k]),
            "n0_cps": _plain(n0[k]),
            "background_cps": _plain(background[k]),
        }
        rows.append(row)
    return rows


def _plain(value: Any) -> float | None:
    import math

    return float(f"{float(value):.5g}") if math.isfinite(value) else None


def _panels(found: DeadTimeResult, rates: TriggerRates) -> list[Panel]:
    import numpy as np

    from daq.calibration.deadtime_fit import DeadTimeModel, measured_rate
    from daq.calibration.plots import Panel, Points, histogram
    from daq.folder.calibration_set import Status

    fitted = np.flatnonzero(found.status == Status.FITTED)
    k = int(fitted[np.argsort(found.tau_s[fitted])[len(fitted) // 2]])
    used = rates.live_s[k] > 0
    rate = rates.counts[k][used] / rates.live_s[k][used] / 1e3
    top = rates.activity[k].max()
    curves = [Points("measured", rates.activity[k][used] / top, rate)]
    share = np.linspace(0, 1, 200)
    for model in (DeadTimeModel.NON_PARALYSABLE, DeadTimeModel.PARALYSABLE):
        fit = found.fits[model]
        n = fit.n0_cps[k] * share * top + fit.background_cps[k]
        name = model.name.lower().replace("_", "-")
        curves.append(Points(name, share, measured_rate(n, fit.tau_s[k], model) / 1e3, line=True))
    n0, b = found.chosen("n0_cps")[k], found.chosen("background_cps")[k]
    curves.append(Points("without dead time", share, (n0 * share * top + b) / 1e3, line=True))
    model = DeadTimeModel(int(found.model[k]))
    n = n0 * rates.activity[k][used] + b
    ratio = rate * 1e3 / measured_rate(n, found.tau_s[k], model)
    tau = found.tau_s[fitted] * 1e9
    low, high = float(tau.min()) * 0.9, float(tau.max()) * 1.1
    return [
        Panel(f"Module {k}, of median dead time", "activity, relative", tuple(curves), "kcps"),
        Panel("Measured over fitted", "activity, relative",
              (Points("", rates.activity[k][used] / top, ratio),)),
        Panel("Dead times of the modules", "ns",
              (histogram("τ", tau, low, high, bins=60),), "modules"),
    ]  # fmt: skip


KIND = CalibrationKind(
    name="deadtime",
    words="dead time and its model per module, from a decaying source",
    teaches=__doc__,
    examples=EXAMPLES,
    order=6,
    add_arguments=add_arguments,
    find=find,
)
