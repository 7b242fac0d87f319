"""Views: the singles of a run, sorted by camera and angle into planar images, with their times.

A view is a camera within a narrow interval of angles (``view_deg``): a step of a step-and-shoot
scan, a part of a continuous turn, a part of a column's swivel. Its angle is the mean over the time
spent there, so narrow intervals lose nothing. Times come from the angle words: a module stays at an
angle from its word until the next one. A view's *exposure* is

    E = live share · ∫ 2^(−t/T½) dt    over the time spent there,

so that activities are those at the run's start (``decay`` off: T½ = ∞). Memory is fixed; singles
may come in chunks of any size, each after the angles that it needs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from coincidence.events import ANGLE, ANGLE_STEP_DEG, WINDOW_SHIFT, angles_of_singles
from hw.arrays import F8, Array, Records
from hw.jit import kernel
from hw.scanner.description import Scanner
from hw.scanner.geometry import module_poses
from recon.spect.peaks import SpectError

VIEW_DEG = 3.0
"""At 128 mm from the axis 3° are 6.7 mm, below the FWHM of any preset there."""

MOST_CELLS = 1 << 28
MOST_PS = 1 << 61
"""No time of a run: 27 days."""


@dataclass(frozen=True)
class View:
    """A camera at an angle: unit vectors in the plane of x and y, and where its crystals are.

    u, w : tangential and outward; centre_mm : centre of the crystals' front face, (3,)
    seconds : time spent there; exposure_s : live and decayed, see the module docstring
    """

    module: int
    angle_deg: float
    u: tuple[float, float]
    w: tuple[float, float]
    centre_mm: tuple[float, float, float]
    seconds: float
    exposure_s: float


@dataclass(frozen=True)
class ViewSet:
    """Views and their counts, (windows, views, n_u, n_v) float32."""

    views: tuple[View, ...]
    counts: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.views)


@kernel
def add_counts(
    crystal: Array, window: Array, slot: Array, per_module: int, n_u: int, counts: Array
) -> int:
    """Count singles into views; return how many were counted.

    Parameters
    ----------
    crystal : (n,), global number of each single's crystal
    window : (n,), its energy window, from 1
    slot : (n,) i8, its view; −1 without a known angle
    per_module, n_u : pixels of a module, and along u
    counts : (windows, slots, n_u, n_v) u4, added to
    """
    placed = 0
    for i in range(crystal.shape[0]):
        k = np.int64(window[i]) - 1
        if slot[i] < 0 or k < 0 or k >= counts.shape[0]:
            continue
        pixel = np.int64(crystal[i]) % per_module
        counts[k, slot[i], pixel % n_u, pixel // n_u] += np.uint32(1)
        placed += 1
    return placed


class ViewCounter:
    """Sorts a run's singles into views as they come.

    Parameters
    ----------
    scanner : the preset: its cameras and their motion
    windows : number of the run's windows for singles
    view_deg : width of a view, degrees
    half_life_s : of the nuclide; infinite leaves decay uncorrected
    keep_events : whether :meth:`events` will be called afterwards

    Attributes
    ----------
    placed, without_angle : singles with a view, and those whose module had sent no angle yet
    damaged : singles and angles left out: crystal or module does not exist, or impossible time
    """

    def __init__(
        self,
        scanner: Scanner,
        windows: int,
        *,
        view_deg: float = VIEW_DEG,
        half_life_s: float = math.inf,
        keep_events: bool = False,
    ) -> None:
        if not 0.05 <= view_deg <= 90:
            raise SpectError(f"views of {view_deg:g}°: 0.05 to 90 degrees are possible")
        self._scanner, self._step, self._rate = scanner, view_deg, math.log(2) / half_life_s
        motion = scanner.motion
        self._wraps = motion is not None and motion.kind == "gantry"
        low, high = (motion.least_deg, motion.most_deg) if motion else (0.0, 0.0)
        self._first = 0 if self._wraps else math.floor(low / view_deg) - 1
        last = 0 if motion is None else math.ceil(high / view_deg) + 1
        self._bins = math.ceil(360 / view_deg) if self._wraps else last - self._first + 1
        module, slots = scanner.module, scanner.n_modules * self._bins
        if windows * slots * module.n_u * module.n_v > MOST_CELLS:
            raise SpectError(
                f"{slots} views of {module.n_u} × {module.n_v} crystals in {windows} windows do "
                "not fit into memory: make views wider (--view-deg)"
            )
        self.counts = np.zeros((windows, slots, module.n_u, module.n_v), np.uint32)
        self._spent = np.zeros((3, slots))  # seconds; decayed seconds; seconds · degrees off
        self._last: list[Records | None] = [None] * scanner.n_modules
        self._known = np.empty(0, ANGLE)
        self._kept: list[npt.NDArray[np.int64]] | None = [] if keep_events else None
        self._module_of = np.repeat(
            np.arange(scanner.n_modules, dtype=np.uint16), scanner.crystals_per_module
        )
        self.placed = self.without_angle = self.damaged = 0
        self.end_ps = 0

    def take(self, singles: Records, angles: Records, *, watermark_ps: int) -> None:
        """Take in angles and the singles that followed them, complete up to a watermark."""
        angles = self._sound(angles, angles["module"] < self._scanner.n_modules)
        singles = self._sound(singles, singles["crystal"] < self._scanner.n_crystals)
        if len(angles):
            self._known = np.concatenate([self._known, angles])
            self._spend(angles)
        if watermark_ps < MOST_PS:
            self.end_ps = max(self.end_ps, watermark_ps)
        if not len(singles):
            return
        if self._scanner.motion is None:
            slot = self._module_of[singles["crystal"]].astype(np.int64) * self._bins
        else:
            slot = self._slots(
                self._module_of[singles["crystal"]],
                angles_of_singles(singles, self._known, self._module_of),
            )
        crystal = np.array(singles["crystal"])  # a copy: as views, live and offline differ in kind
        placed = add_counts(
            crystal, singles["flags"] >> WINDOW_SHIFT, slot,
            self._scanner.crystals_per_module, self._scanner.module.n_u, self.counts,
        )  # fmt: skip
        if self._kept is not None:
            window = (singles["flags"] >> WINDOW_SHIFT).astype(np.int64) - 1
            pixel = singles["crystal"].astype(np.int64) % self._scanner.crystals_per_module
            self._kept.append(np.stack([window, slot, pixel]))
        self.placed += placed
        self.without_angle += int((slot < 0).sum())
        self._forget(int(singles["time_ps"][-1]))

    def _sound(self, records: Records, exists: npt.NDArray[np.bool_]) -> Records:
        """Return the records with an existing source and a possible time; count the others."""
        sound = exists & (records["time_ps"] >= 0) & (records["time_ps"] < MOST_PS)
        if sound.all():
            return records
        self.damaged += int((~sound).sum())
        return records[sound]

    def gap(self) -> None:
        """Forget the modules' angles: the stream has a gap, whose time is in no view."""
        self._last = [None] * self._scanner.n_modules
        self._known = np.empty(0, ANGLE)

    def views(self, live_share: Sequence[float] | None = None, *, decay: bool = True) -> ViewSet:
        """Return the views in which any time was spent.

        live_share : of each module, by default 1

        Raises
        ------
        SpectError
            if no module of a moving scanner has sent an angle.
        """
        share = np.ones(self._scanner.n_modules) if live_share is None else np.array(live_share)
        seconds, decayed, moment = self._until_now()
        chosen = np.flatnonzero(seconds > 0)
        if not len(chosen):
            raise SpectError(
                "no angles in the singles log: the cameras' positions are unknown. A scanner "
                "that moves sends angle words (docs/protocol.md); look at `tomoshibi tap angles`"
            )
        made = []
        for slot in chosen:
            module, place = divmod(int(slot), self._bins)
            spent = decayed[slot] if decay else seconds[slot]
            angle = (place + self._first) * self._step + moment[slot] / seconds[slot]
            made.append(self._view(module, angle, seconds[slot], spent * share[module]))
        return ViewSet(tuple(made), self.counts[:, chosen].astype(np.float32))

    def events(self, window: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return view and pixel (iu · n_v + iv) of each single of a window; view −1 if none."""
        kept = self._kept or [np.empty((3, 0), np.int64)]
        windows, slot, pixel = np.concatenate(kept, axis=1)
        module = self._scanner.module
        number = np.full(self._spent.shape[1] + 1, -1)
        seconds = self._until_now()[0]
        chosen = np.flatnonzero(seconds > 0)
        number[chosen] = np.arange(len(chosen))
        own = windows == window
        iv, iu = np.divmod(pixel[own], module.n_u)
        return number[slot[own]], iu * module.n_v + iv

    def _view(self, module: int, angle_deg: float, seconds: float, exposure_s: float) -> View:
        turned = 0.0 if self._scanner.motion is None else angle_deg
        centre, axes = module_poses(self._scanner, turned)
        u, w = axes[module, 0], axes[module, 2]
        x, y, z = (float(place_mm) for place_mm in centre[module])
        return View(
            module, float(angle_deg), (float(u[0]), float(u[1])), (float(w[0]), float(w[1])),
            (x, y, z), float(seconds), float(exposure_s),
        )  # fmt: skip

    def _slots(self, module: npt.NDArray[np.integer], angle_deg: F8) -> npt.NDArray[np.int64]:
        angle = self._wrapped(np.nan_to_num(angle_deg))
        place = np.rint(angle / self._step).astype(np.int64) - self._first
        place = place % self._bins if self._wraps else np.clip(place, 0, self._bins - 1)
        slot = module.astype(np.int64) * self._bins + place
        return np.where(np.isfinite(angle_deg), slot, -1)

    def _wrapped(self, angle_deg: F8) -> F8:
        return np.asarray(angle_deg % 360.0) if self._wraps else angle_deg

    def _forget(self, time_ps: int) -> None:
        """Discard angles before a time, except each module's last."""
        later = self._known["time_ps"] > time_ps
        before = self._known[~later]
        _, place = np.unique(before["module"][::-1], return_index=True)
        last = before[len(before) - 1 - place]
        self._known = np.concatenate([last, self._known[later]])

    def _spend(self, angles: Records) -> None:
        """Add the time from each module's angle to its next one."""
        if self._scanner.motion is None:
            return
        for module in np.unique(angles["module"]):
            own = angles[angles["module"] == module]
            last = self._last[module]
            steps = own if last is None else np.concatenate([last, own])
            self._add(steps[:-1], steps["time_ps"][1:], self._spent)
            self._last[module] = steps[-1:].copy()

    def _add(self, angles: Records, until_ps: npt.NDArray[np.int64], spent: F8) -> None:
        """Add the time from each angle until a moment to ``spent``."""
        begin, end = angles["time_ps"] * 1e-12, until_ps * 1e-12
        seconds = np.maximum(end - begin, 0.0)
        angle = angles["steps"] * ANGLE_STEP_DEG
        slot, wrapped = self._slots(angles["module"], angle), self._wrapped(angle)
        middle = (begin + end) / 2  # within a stay of a second, decay is linear
        off = wrapped - np.rint(wrapped / self._step) * self._step
        for row, value in zip(spent, (1.0, np.exp(-self._rate * middle), off), strict=True):
            np.add.at(row, slot, seconds * value)

    def _until_now(self) -> F8:
        """Return the times including what was spent since the last angles."""
        spent = self._spent.copy()
        if self._scanner.motion is None:
            span = self.end_ps * 1e-12
            spent[0] = span
            spent[1] = -math.expm1(-self._rate * span) / self._rate if self._rate else span
            return spent
        for last in self._last:
            if last is not None:
                self._add(last, np.array([self.end_ps]), spent)
        return spent
