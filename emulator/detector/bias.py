"""What the bias does to a module's hits: none below breakdown, energies with the overvoltage.

A SiPM's gain is C·ΔV/q, proportional to the overvoltage ΔV (onsemi, AND9770/D, "Introduction to
the Silicon Photomultiplier", *Gain*): an energy measured at ΔV is the true one times ΔV/ΔV₀, with
ΔV₀ where the detector is calibrated. That the photon detection efficiency falls with ΔV too, which
makes energies below ΔV₀ smaller still, is left out. Hits whose energy falls below the module's
threshold are the module's to drop.
"""

from __future__ import annotations

import numpy as np

from hw.arrays import U8
from hw.machines.emulated_bias import OVERVOLTAGE_MV
from hw.wire.protocol import ENERGY_MASK, ENERGY_SHIFT, KIND_SHIFT, KIND_SINGLE

SLACK_MV = 25
"""So far from ΔV₀ the gain still is one (0.7 %): what rounding, and the firmware's following of the
temperature, leave over does not make hits depend on the moment at which the bias is read.
"""


def gain_at(overvoltage_mV: int) -> float:
    """Return the gain, 1 where the detector is calibrated, 0 below breakdown."""
    if abs(overvoltage_mV - OVERVOLTAGE_MV) <= SLACK_MV:
        return 1.0
    return max(0, overvoltage_mV) / OVERVOLTAGE_MV


def with_gain(words: U8, gain: float) -> U8:
    """Return a period's event words, (n,) u8, as they are measured with this gain.

    Without gain the hits are gone; words of other kinds stay as they are.
    """
    if gain == 1.0:
        return words
    of_hits = words >> np.uint64(KIND_SHIFT) == KIND_SINGLE
    if gain <= 0.0:
        return words[~of_hits]
    field = np.uint64(ENERGY_MASK << ENERGY_SHIFT)
    code = (words & field) >> np.uint64(ENERGY_SHIFT)
    scaled = np.minimum(np.rint(code * gain), ENERGY_MASK).astype(np.uint64)
    measured = words & ~field | scaled << np.uint64(ENERGY_SHIFT)
    return np.where(of_hits, measured, words)
