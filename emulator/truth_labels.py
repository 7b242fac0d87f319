"""The truth of each trigger: the labels that the Monte Carlo writes beside its hits.

One LABEL per HIT, in the same order. An empty array switches labels off: the kernels then write
none. Every engine fills the same labels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hw.jit import Record, bare_kernel
from hw.wire.truth_layout import LABEL, NOISE_TRIGGER

NOISE_DECAY = -1
"""The decay of a trigger of noise; lutetium's are below (``lutetium_number``)."""

_SLICE_SHIFT = 32


@bare_kernel
def decay_number(slice_index: int, number: int) -> int:
    """Return the decay's number in the run: slice · 2³² + number in the slice."""
    return int((np.int64(slice_index) << _SLICE_SHIFT) + number)


@bare_kernel
def lutetium_number(slice_index: int, number: int) -> int:
    """Return the number of a ¹⁷⁶Lu decay, below NOISE_DECAY."""
    return NOISE_DECAY - 1 - decay_number(slice_index, number)


def no_labels() -> npt.NDArray[np.void]:
    """Return the array that switches labels off."""
    return np.empty(0, LABEL)


@bare_kernel
def begin_photon(
    emitted: Record, decay_ps: float, x: float, y: float, z: float, energy_keV: float
) -> None:
    """Record in ``emitted`` (LABEL) where, when and with what energy a photon was emitted.

    decay_ps : from the slice's start; x, y, z : mm
    """
    emitted.time_ps = np.int64(decay_ps)
    emitted.x_mm, emitted.y_mm, emitted.z_mm = x, y, z
    emitted.emitted_keV = energy_keV


@bare_kernel
def write_label(
    label: Record, emitted: Record, deposit_keV: float, scatters: float, modules_before: int
) -> None:
    """Write the truth of one hit, from what is known of its photon, to ``label``.

    label, emitted : LABEL; ``scatters``, ``modules_before`` : as in LABEL
    """
    label.decay = emitted.decay
    label.time_ps = emitted.time_ps
    label.x_mm, label.y_mm, label.z_mm = emitted.x_mm, emitted.y_mm, emitted.z_mm
    label.emitted_keV = emitted.emitted_keV
    label.deposit_keV = deposit_keV
    label.kind = emitted.kind
    label.photon = emitted.photon
    label.scatters = min(int(scatters), 255)
    label.modules_before = modules_before


def label_noise(labels: npt.NDArray[np.void]) -> None:
    """Label triggers of noise (n,) LABEL."""
    labels[:] = np.zeros((), LABEL)
    labels["decay"], labels["kind"] = NOISE_DECAY, NOISE_TRIGGER
