"""The arrays of a calibration set: name, type, unit, shape, identity and bounds in one table.

To add a quantity, add a row to ``SPECS`` and a field to ``CalibrationSet``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from coincidence.calibration import DOI_BINS
from daq.errors import RunError
from hw.arrays import Array
from hw.scanner.description import MAX_CRYSTALS_PER_MODULE, Scanner

Axis = Literal["crystal", "module", "place", "depth", "position"]

GAIN_BOUNDS = (0.2, 5.0)
MAX_SKEW_PS = 100_000
"""100 ns: far more than any cable causes. A larger skew would delay the whole stream for nothing.
"""

MAX_CURVATURE = 0.15
"""E = e·(1 + k·(e/511 − 1)) rises with e up to 1638 keV, the event word's last, for k > −0.18."""

MAX_WALK_PS = 10_000
MAX_DEAD_TIME_PS = 1e9
REJECTED = 65535
"""In a crystal map: a position that belongs to no crystal."""

MASKED_NOT, MASKED_DEAD, MASKED_NOISY, MASKED_BY_HAND = range(4)
"""Values of ``masked``: why a crystal's singles are left out."""


class CalibrationSetError(RunError):
    """A calibration set that cannot be read, written or applied."""


@dataclass(frozen=True)
class ArraySpec:
    """One array of a set.

    axes : its indices; "place" is the crystal in its module, "depth" the depth bin,
        "position" the module's raw position index
    unit : of its values; "1" for factors, "" for numbers that name something
    identity : the value that changes nothing
    optional : may be empty, which means the identity (of a crystal map: crystal = position)
    status : whether a ``<name>_status`` accompanies it, indexed by its first axis
    """

    name: str
    dtype: str
    unit: str
    axes: tuple[Axis, ...]
    identity: float
    least: float
    most: float
    optional: bool = False
    status: bool = False

    def shape(self, scanner: Scanner) -> tuple[int, ...]:
        """Return the array's shape for a scanner, when it is not empty."""
        extents: dict[Axis, int] = {
            "crystal": scanner.n_crystals,
            "module": scanner.n_modules,
            "place": scanner.crystals_per_module,
            "depth": DOI_BINS,
            "position": MAX_CRYSTALS_PER_MODULE,
        }
        return tuple(extents[axis] for axis in self.axes)

    def nothing(self, scanner: Scanner) -> Array:
        """Return the array that changes nothing: an empty one if allowed."""
        shape = self.shape(scanner)
        if self.optional:
            shape = (0, *shape[1:])
        return np.full(shape, self.identity, self.dtype)


CRYSTALS: tuple[Axis, ...] = ("crystal",)
_ALL = (
    ArraySpec("gain", "<f4", "1", CRYSTALS, 1, *GAIN_BOUNDS, status=True),
    ArraySpec("skew_ps", "<i4", "ps", CRYSTALS, 0, -MAX_SKEW_PS, MAX_SKEW_PS, status=True),
    ArraySpec("curvature", "<f4", "1", CRYSTALS, 0, -MAX_CURVATURE, MAX_CURVATURE, status=True),
    ArraySpec("walk_ps", "<f4", "ps", CRYSTALS, 0, -MAX_WALK_PS, MAX_WALK_PS, status=True),
    ArraySpec("masked", "u1", "", CRYSTALS, 0, MASKED_NOT, MASKED_BY_HAND),
    ArraySpec("efficiency", "<f4", "1", CRYSTALS, 1, 0, 100, status=True),
    ArraySpec("doi_gain", "<f4", "1", ("depth",), 1, *GAIN_BOUNDS),
    ArraySpec("doi_ps", "<f4", "ps", ("depth",), 0, -MAX_WALK_PS, MAX_WALK_PS),
    ArraySpec("block_profile", "<f4", "1", ("place",), 1, 0, 100, optional=True),
    ArraySpec("geometric", "<f4", "1", ("module", "module"), 1, 0, 100, optional=True),
    ArraySpec("dead_time_ps", "<f4", "ps", ("module",), 0, 0, MAX_DEAD_TIME_PS,
              optional=True, status=True),
    ArraySpec("dead_time_model", "u1", "", ("module",), 0, 0, 2, optional=True),
    ArraySpec("crystal_map", "<u2", "", ("module", "position"), REJECTED, 0, REJECTED,
              optional=True, status=True),
)  # fmt: skip
SPECS = {spec.name: spec for spec in _ALL}
STATUS_NAMES = tuple(spec.name for spec in _ALL if spec.status)
MOST_STATUS = 3

_INDEX_WORDS: dict[Axis, str] = {
    "crystal": "crystal",
    "module": "module",
    "place": "place",
    "depth": "depth bin",
    "position": "position",
}


def status_spec(name: str) -> ArraySpec:
    """Return the spec of a quantity's status array: u1 of Status, indexed by its first axis."""
    spec = SPECS[name]
    return ArraySpec(
        f"{name}_status", "u1", "", spec.axes[:1], 0, 0, MOST_STATUS, optional=spec.optional
    )


def all_specs() -> dict[str, ArraySpec]:
    """Return every array in a file by its name there, in the order in which they are hashed."""
    statuses = [status_spec(name) for name in STATUS_NAMES]
    return SPECS | {spec.name: spec for spec in statuses}


def check_names(where: str, given: Mapping[str, object], known: Mapping[str, object]) -> None:
    """Raise CalibrationSetError for an unknown name."""
    for name in given:
        if name not in known:
            raise CalibrationSetError(
                f"calibration set {where}: there is no {name}; there are {', '.join(known)}"
            )


def check_shape(where: str, spec: ArraySpec, values: Array, scanner: Scanner) -> None:
    """Raise CalibrationSetError unless the shape is the scanner's, or empty where that is allowed.

    The entries of a crystal map must be crystals of the scanner's modules.
    """
    wanted = spec.shape(scanner)
    if values.shape != wanted and not (spec.optional and values.size == 0):
        raise CalibrationSetError(
            f"calibration set {where}: {spec.name} has shape {values.shape}, {scanner.name} with "
            f"its {scanner.n_crystals} crystals in {scanner.n_modules} modules needs {wanted}"
        )
    if spec.name == "crystal_map":
        beyond = values[(values >= scanner.crystals_per_module) & (values < REJECTED)]
        if beyond.size:
            raise CalibrationSetError(
                f"calibration set {where}: crystal_map names crystal {beyond.flat[0]}, a module "
                f"has {scanner.crystals_per_module} ({REJECTED} means none): calibrate again"
            )


def check_bounds(where: str, spec: ArraySpec, values: Array) -> None:
    """Raise CalibrationSetError, naming the first index, for values not finite or out of bounds."""
    bad = np.argwhere(~((values >= spec.least) & (values <= spec.most)))  # NaN is neither
    if len(bad):
        index = tuple(int(i) for i in bad[0])
        place = ", ".join(
            f"{_INDEX_WORDS[axis]} {i}" for axis, i in zip(spec.axes, index, strict=True)
        )
        raise CalibrationSetError(
            f"calibration set {where}: {spec.name} of {place} is {values[index]}, it must be "
            f"between {spec.least:g} and {spec.most:g} ({len(bad)} values are wrong): "
            "calibrate again"
        )


def frozen(spec: ArraySpec, values: Array) -> Array:
    """Return a read-only copy in the file's type; whole numbers are rounded, not cut."""
    rounded = np.rint(values) if spec.dtype[-2] in "iu" else values
    copy = np.array(rounded, dtype=spec.dtype)
    copy.flags.writeable = False
    return copy
