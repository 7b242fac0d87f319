"""Line quantities that are products of two crystal values and a module-pair value.

    value(a, b) = x_a · x_b · M[module of a, module of b]

Normalisation, live share and randoms all have this form. A crystal that does not exist (a damaged
record) has the value ``UNKNOWN``: such a record's line has length zero and meets no voxel, so the
event only counts as unexplained.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw.arrays import F4, Records
from hw.jit import kernel
from recon.core.grid import ReconError

UNKNOWN = 1.0


class LineArrayError(ReconError):
    """Crystal or module-pair arrays do not fit the scanner, or hold invalid values."""


@dataclass(frozen=True)
class PairProduct:
    """``crystal`` (n,) float32, ``module_pair`` (m, m) float32, symmetric; n = m · per module."""

    crystal: F4
    module_pair: F4

    def of_records(self, records: Records) -> F4:
        """Return the value of each ``COINCIDENCE`` record's line, (n,) float32."""
        out = np.empty(len(records), dtype=np.float32)
        products_of_records(
            np.require(records, requirements=["C", "W"]), self.crystal, self.module_pair, out
        )
        return out

    def of_lines(
        self, crystal_a: npt.NDArray[np.integer], crystal_b: npt.NDArray[np.integer]
    ) -> F4:
        """Return the value of the lines between these crystals, (n,) float32."""
        out = np.empty(len(crystal_a), dtype=np.float32)
        a, b = (np.ascontiguousarray(c, dtype=np.int64) for c in (crystal_a, crystal_b))
        products_of_lines(a, b, self.crystal, self.module_pair, out)
        return out

    @property
    def content_hash(self) -> str:
        """32 hex digits that change with any value."""
        digest = hashlib.sha256(repr(self.module_pair.shape).encode())
        digest.update(np.ascontiguousarray(self.crystal).tobytes())
        digest.update(np.ascontiguousarray(self.module_pair).tobytes())
        return digest.hexdigest()[:32]


def checked(
    values: npt.ArrayLike, shape: tuple[int, ...], *, name: str, least: float = 0.0
) -> npt.NDArray[np.float64]:
    """Return ``values`` as float64, or raise :class:`LineArrayError` if they are invalid."""
    array = np.asarray(values, dtype=np.float64)
    if array.shape != shape:
        raise LineArrayError(
            f"{name} has shape {array.shape}, the scanner needs {shape}: the file belongs to "
            "another scanner"
        )
    bad = np.flatnonzero(~np.isfinite(array) | (array < least))
    if len(bad):
        raise LineArrayError(
            f"{name}[{bad[0]}] is {array.flat[bad[0]]}: must be finite and at least {least:g} "
            f"({len(bad)} values are wrong); make the calibration again or leave it out"
        )
    return array


def single_precision(values: npt.NDArray[np.floating]) -> F4:
    """Return C-contiguous, writable float32: the only type that kernels are compiled for."""
    return np.array(values, dtype=np.float32, order="C")


@kernel
def products_of_records(records: Records, crystal: F4, module_pair: F4, out: F4) -> None:
    """Fill ``out`` (n,) with the value of each record's line."""
    n_crystals = len(crystal)
    per_module = n_crystals // len(module_pair)
    for i in range(len(records)):
        a = np.int64(records[i].crystal_a)
        b = np.int64(records[i].crystal_b)
        if a >= n_crystals or b >= n_crystals:
            out[i] = np.float32(UNKNOWN)
        else:
            pair = module_pair[a // per_module, b // per_module]
            out[i] = crystal[a] * crystal[b] * pair


@kernel
def products_of_lines(
    crystal_a: npt.NDArray[np.int64],
    crystal_b: npt.NDArray[np.int64],
    crystal: F4,
    module_pair: F4,
    out: F4,
) -> None:
    """Fill ``out`` (n,) with the value of each line; crystals must exist.

    Parameters
    ----------
    crystal_a, crystal_b : (n,) i8, global numbers of the lines' crystals
    crystal : (n_crystals,) f4, factor of each
    module_pair : (modules, modules) f4, factor of each pair
    out : (n,) f4, filled with the product of the three
    """
    per_module = len(crystal) // len(module_pair)
    for i in range(len(crystal_a)):
        a = crystal_a[i]
        b = crystal_b[i]
        out[i] = crystal[a] * crystal[b] * module_pair[a // per_module, b // per_module]
