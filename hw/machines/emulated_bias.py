"""The bias that emulated SiPMs need: what board model, link process and emulator agree upon.

Breakdown and its rise with temperature are those of ``hw/firmware/hal/common/board_model.c``.
"""

from __future__ import annotations

from hw.wire.control import WORLD_DEFAULTS

BREAKDOWN_MV: int = WORLD_DEFAULTS["breakdown_mV"]
"""At 25 °C."""

BREAKDOWN_MV_PER_K = 22
REFERENCE_CC = 2500

OVERVOLTAGE_MV = 3_500
"""Above breakdown where the emulated detectors are run: their energies are true there."""

BIAS_MV = BREAKDOWN_MV + OVERVOLTAGE_MV


def overvoltage_mV(bias_mV: int, *, breakdown_mV: int, temperature_cC: int) -> int:
    """Return how far a bias is above breakdown at this temperature; negative below it."""
    warmer_mV = round(BREAKDOWN_MV_PER_K * (temperature_cC - REFERENCE_CC) / 100)
    return bias_mV - breakdown_mV - warmer_mV
