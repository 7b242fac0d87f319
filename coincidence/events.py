"""The records of singles and coincidences: one layout for kernels, files and messages."""

from __future__ import annotations

import numpy as np

SINGLE = np.dtype(
    [
        ("time_ps", "<i8"),
        ("crystal", "<u4"),
        ("energy", "<u2"),
        ("flags", "u1"),
        ("doi", "u1"),
    ]
)
"""A detected photon, 16 bytes: time since the run's start in ps, global crystal index, energy in
0.1 keV, flags of the event word, depth bin."""

COINCIDENCE = np.dtype(
    [
        ("time_ps", "<i8"),
        ("crystal_a", "<u4"),
        ("crystal_b", "<u4"),
        ("tof_ps", "<i4"),
        ("energy_a", "<u2"),
        ("energy_b", "<u2"),
        ("flags", "u1"),
        ("doi_a", "u1"),
        ("doi_b", "u1"),
        ("window", "u1"),
        ("reserved", "<u4"),
    ]
)
"""A prompt or a delayed, 32 bytes. ``crystal_a < crystal_b``; ``tof_ps = t_b − t_a``, so a
positive value means that the photon reached a first: the source is nearer to a. ``time_ps`` is
the earlier single's time. In a delayed the delay is already taken from the later single's time."""

FLAG_DELAYED = 1
FLAG_MULTIPLE = 2

END_OF_TIME_PS = np.int64(2**62)
"""A watermark beyond every event: used once, to flush at the end of a run."""
