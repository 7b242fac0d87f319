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
0.1 keV, flags of the event word, depth bin. A *windowed* single carries the number of its energy
window (from 1, as in ``SortSettings.singles_windows``) in the upper six bits of its flags."""

WINDOW_SHIFT = 2
WORD_FLAGS_MASK = (1 << WINDOW_SHIFT) - 1
"""The lower bits of a single's flags are those of the event word."""

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
the earlier single's time. In a delayed the delay is already taken from the later single's time,
and ``window`` is the number of its delayed window, from 0."""

TRIPLE = np.dtype(
    [
        ("time_ps", "<i8"),
        ("crystal", "<u4", (3,)),
        ("after_ps", "<i4", (2,)),
        ("energy", "<u2", (3,)),
        ("doi", "u1", (3,)),
        ("pairs", "u1"),
        ("reserved", "<u2"),
    ]
)
"""Three singles connected by good pairs, 40 bytes, in order of time: the first one's time, how much
later the second and third came, ``pairs`` the good pairs among them (1 first and second, 2 first
and third, 4 second and third)."""

ANGLE = np.dtype(
    [
        ("time_ps", "<i8"),
        ("steps", "<i4"),
        ("module", "<u2"),
        ("reserved", "<u2"),
    ]
)
"""Where a module stood, 16 bytes: from this time until its next angle it stands at ``steps`` of
``ANGLE_STEP_DEG`` (``hw.scanner.geometry.module_poses`` says what is turned)."""

ANGLE_STEP_DEG = 0.001

FLAG_DELAYED = 1
FLAG_MULTIPLE = 2

END_OF_TIME_PS = np.int64(2**62)
"""A watermark beyond every event: used once, to flush at the end of a run."""
