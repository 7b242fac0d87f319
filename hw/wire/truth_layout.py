"""The layout of a truth file: what an emulator knows about each event word that its modules sent.

A file of blocks (``hw.wire.block_layout``). Each TRUTH block has a FRAME for each data frame as it
left the digitizer, then a LABEL for each of their words in order. See docs/file-format.md.
"""

from __future__ import annotations

import numpy as np

FILE_NAME = "truth.tmtruth"
FORMAT = "tomoshibi truth"

FRAME = np.dtype(
    [
        ("module", "<u2"),
        ("reserved", "<u2"),
        ("frame_id", "<u4"),
        ("events_before", "<u8"),
        ("words", "<u4"),
        ("sequence", "<u4"),
    ]
)
"""A data frame as sent, 24 bytes: the fields of its header, and how many words it has."""

LABEL = np.dtype(
    [
        ("decay", "<i8"),
        ("time_ps", "<i8"),
        ("x_mm", "<f4"),
        ("y_mm", "<f4"),
        ("z_mm", "<f4"),
        ("emitted_keV", "<f4"),
        ("deposit_keV", "<f4"),
        ("kind", "u1"),
        ("photon", "u1"),
        ("scatters", "u1"),
        ("modules_before", "u1"),
    ]
)
"""The truth of one trigger, 40 bytes.

decay : the same for all triggers of one decay of the run: ≥ 0 of the source, ≤ −2 of lutetium,
    −1 noise
time_ps : when the photon was emitted, from the run's start
x_mm, y_mm, z_mm : where the photon was emitted
emitted_keV : with which energy; 0 for noise
deposit_keV : what the photons left in the module; 0 for noise
kind : ANNIHILATION, LINE, LUTETIUM_DECAY, NOISE_TRIGGER, or NO_SINGLE
photon : number within the decay; annihilation photons are 0 and 1, lines from 2 on
scatters : how often it was scattered in the object before (at most 255)
modules_before : how many modules it had met before; of a camera the sum of 1 where it crossed
    septa, 2 where it came back from behind the crystal, 4 where it scattered in septa
"""

ANNIHILATION, LINE, LUTETIUM_DECAY, NOISE_TRIGGER = range(4)
"""What a trigger comes from: an annihilation photon, a γ or X photon of the source, a decay of
¹⁷⁶Lu in a crystal, nothing but noise."""

UNKNOWN = 254
"""Kind of a word that the truth file does not know."""

NO_SINGLE = 255
"""Kind of a label whose word is no single."""
