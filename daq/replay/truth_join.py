"""Joining a run with its truth: what each prompt and each windowed single really was.

The raw log is sorted again as the run was, and each single is paired with its truth by crystal and
time. A prompt is *random* where its two singles come from different decays; of one decay it is
*true* where both are annihilation photons not scattered in the object, *scattered* where at least
one was. The other classes are in ``CLASSES``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from coincidence.calibration import no_calibration
from daq.errors import LogError
from daq.folder import raw_log as rawlog
from daq.folder.raw_log import RawLogReader
from daq.folder.run_folder import config_in, own_calibration, tag_in
from daq.folder.truth_file import TruthReader
from daq.path.pipeline import Output, Pipeline
from daq.replay.truth_singles import LabelledSingles
from hw.arrays import Records
from hw.messages.sort_settings import SortSettings
from hw.scanner.geometry import build_geometry
from hw.wire.truth_layout import FILE_NAME, LINE, LUTETIUM_DECAY, NOISE_TRIGGER, UNKNOWN

CLASSES = (
    "true", "scattered", "random", "prompt_gamma", "same_photon", "lutetium", "noise", "unknown",
)  # fmt: skip
"""true, scattered : both annihilation photons of one decay, none or some scattered in the object
random : photons of two decays, of any kind
prompt_gamma : one decay, and at least one of them a line of the nuclide
same_photon : one photon in two modules
lutetium : one decay of ¹⁷⁶Lu
noise : at least one is a trigger of noise
unknown : one of them is not in the truth file"""

(TRUE, SCATTERED, RANDOM, PROMPT_GAMMA, SAME_PHOTON, OWN_LUTETIUM, OF_NOISE, NOT_KNOWN) = range(8)

PROMPT_TRUTH = np.dtype(
    [
        ("time_ps", "<i8"),
        ("crystal_a", "<u4"),
        ("crystal_b", "<u4"),
        ("energy_a", "<u2"),
        ("energy_b", "<u2"),
        ("class", "u1"),
        ("scatters_a", "u1"),
        ("scatters_b", "u1"),
        ("modules_before", "u1"),
        ("x_mm", "<f4"),
        ("y_mm", "<f4"),
        ("z_mm", "<f4"),
    ]
)
"""The truth of one prompt: its class as in ``CLASSES``; the point where a's photon was emitted;
``modules_before`` of the two photons together. Energies in 0.1 keV."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Joined:
    """A run joined with its truth.

    prompts : (n,) PROMPT_TRUTH, in the order of the list-mode log
    windows : of each window for singles: counts by ``primary``, ``scattered``, ``lutetium``,
        ``noise``, ``unknown``
    delayeds, delayed_factor : of the run, for the comparison with the randoms
    words, unknown : event words in the raw log, and those that are not in the truth file
    """

    settings: SortSettings
    prompts: Records
    windows: dict[str, dict[str, int]]
    delayeds: int
    words: int
    unknown: int

    def counts(self, lld_keV: float = 0.0, uld_keV: float = 6553.5) -> dict[str, int]:
        """Return the prompts of each class with both energies within a window (inclusive)."""
        low, high = lld_keV * 10, uld_keV * 10
        a, b = self.prompts["energy_a"], self.prompts["energy_b"]
        inside = (a >= low) & (a <= high) & (b >= low) & (b <= high)
        found = np.bincount(self.prompts["class"][inside], minlength=len(CLASSES))
        return dict(zip(CLASSES, found.tolist(), strict=True))

    @property
    def randoms_by_delayeds(self) -> float:
        """The estimate of the randoms from the delayeds."""
        return self.delayeds / self.settings.delayed_factor


def join(folder: Path, truth: Path | None = None, *, progress: Progress | None = None) -> Joined:
    """Pair a run's prompts and windowed singles with their truth.

    Parameters
    ----------
    truth : the truth file; None for the one in the run's folder
    progress : called with (bytes done, bytes in all)

    Raises
    ------
    LogError
        if there is no truth file, or it belongs to another run.
    """
    reader = RawLogReader(folder / rawlog.FILE_NAME)
    known = _truth_reader(truth or folder / FILE_NAME, tag_in(reader.head))
    config = config_in(reader.head)
    scanner, geometry = config.scanner(), build_geometry(config.scanner())
    own = own_calibration(folder)
    calibration = own.calibration() if own else no_calibration(scanner.n_crystals)
    pipeline = Pipeline(
        scanner,
        geometry,
        config.settings,
        run_tag=tag_in(reader.head),
        calibration=calibration,
        stall_ps=int(config.stall_s * 1e12),
        recorded=True,
    )
    singles = LabelledSingles(known, scanner, calibration, geometry.crystal_module)
    joiner = _Joiner(config.settings, singles)
    total, done = (folder / rawlog.FILE_NAME).stat().st_size, 0
    for frames in reader:
        joiner.take(pipeline.process(frames))
        done += sum(map(len, frames))
        if progress is not None:
            progress(done, total)
    joiner.take(pipeline.finish())
    return joiner.result()


def _truth_reader(path: Path, run_tag: int) -> TruthReader:
    if not path.is_file():
        raise LogError(
            f"{path}: no such truth file; emulate with --truth, and name the file with "
            "--truth-file where it is not in the run's folder"
        )
    reader = TruthReader(path)
    if reader.head.get("run_tag") != run_tag:
        raise LogError(
            f"{path} is the truth of the run with the tag {reader.head.get('run_tag')}, this run "
            f"has the tag {run_tag}"
        )
    return reader


class _Joiner:
    def __init__(self, settings: SortSettings, singles: LabelledSingles) -> None:
        self._settings, self._singles = settings, singles
        self._prompts: list[Records] = []
        self._windows = [
            dict.fromkeys(("primary", "scattered", "lutetium", "noise", "unknown"), 0)
            for _ in settings.singles_windows
        ]
        self._delayeds = 0

    def take(self, batch: Output) -> None:
        """Label the events that became final with a batch."""
        self._singles.take(batch.checked)
        self._prompts.append(_prompt_truth(batch.prompts, self._singles))
        self._count_windows(batch.singles)
        self._delayeds += len(batch.delayeds)
        times = [
            records["time_ps"].max() for records in (batch.prompts, batch.singles) if len(records)
        ]
        if times:
            self._singles.forget_before(int(min(times)) - _REACH_PS)

    def _count_windows(self, singles: Records) -> None:
        if not len(singles):
            return
        labels = self._singles.find(singles["time_ps"], singles["crystal"])
        number = singles["flags"] >> 2
        kind, scattered = labels["kind"], labels["scatters"] > 0
        of_source = kind <= LINE
        for k, counts in enumerate(self._windows, start=1):
            own = number == k
            counts["primary"] += int((own & of_source & ~scattered).sum())
            counts["scattered"] += int((own & of_source & scattered).sum())
            counts["lutetium"] += int((own & (kind == LUTETIUM_DECAY)).sum())
            counts["noise"] += int((own & (kind == NOISE_TRIGGER)).sum())
            counts["unknown"] += int((own & (kind == UNKNOWN)).sum())

    def result(self) -> Joined:
        """Return all that was labelled."""
        names = [window.name for window in self._settings.singles_windows]
        return Joined(
            settings=self._settings,
            prompts=np.concatenate(self._prompts),
            windows=dict(zip(names, self._windows, strict=True)),
            delayeds=self._delayeds,
            words=self._singles.words,
            unknown=self._singles.unknown,
        )


_REACH_PS = 2 * 10**9
"""Prompts become final in order of time, to within this."""


def _prompt_truth(prompts: Records, singles: LabelledSingles) -> Records:
    tof = prompts["tof_ps"].astype(np.int64)
    early = prompts["time_ps"]
    a = singles.find(early + np.maximum(-tof, 0), prompts["crystal_a"])
    b = singles.find(early + np.maximum(tof, 0), prompts["crystal_b"])
    out = np.zeros(len(prompts), PROMPT_TRUTH)
    for name in ("time_ps", "crystal_a", "crystal_b", "energy_a", "energy_b"):
        out[name] = prompts[name]
    out["class"] = classify(a, b)
    out["scatters_a"], out["scatters_b"] = a["scatters"], b["scatters"]
    out["modules_before"] = a["modules_before"] + b["modules_before"]
    for name in ("x_mm", "y_mm", "z_mm"):
        out[name] = a[name]
    return out


def classify(a: Records, b: Records) -> npt.NDArray[np.uint8]:
    """Return the class of each pair of labels, (n,) u1: the first class that applies."""

    def either(kind: int) -> npt.NDArray[np.bool_]:
        return (a["kind"] == kind) | (b["kind"] == kind)

    conditions: dict[int, npt.NDArray[Any]] = {
        NOT_KNOWN: (a["kind"] > NOISE_TRIGGER) | (b["kind"] > NOISE_TRIGGER),
        OF_NOISE: either(NOISE_TRIGGER),
        RANDOM: a["decay"] != b["decay"],
        OWN_LUTETIUM: either(LUTETIUM_DECAY),
        SAME_PHOTON: a["photon"] == b["photon"],
        PROMPT_GAMMA: either(LINE),
        SCATTERED: (a["scatters"] > 0) | (b["scatters"] > 0),
    }
    found = np.select(list(conditions.values()), list(conditions), default=TRUE)
    return found.astype(np.uint8)
