"""Compiling the kernels of the event path ahead of their use, with exactly the live types.

After :func:`warm_kernels` a :class:`~daq.pipeline.Pipeline` compiles nothing any more, live or in
a replay.
"""

from __future__ import annotations

import numpy as np

from coincidence.select import empty_singles
from coincidence.warm import warm_kernels as warm_coincidence_kernels
from daq.decode import Decoder
from daq.frame_check import FrameChecker
from hw.frames import new_header, seal_frame
from hw.protocol import pack_words

_RUN_TAG = 1


def warm_kernels() -> None:
    """Run every kernel from frames to coincidences once."""
    warm_coincidence_kernels()
    words = pack_words(time_ticks=np.arange(2), crystal=0, energy_dkeV=5110)
    frame = seal_frame(new_header(0, 0, 0, run_tag=_RUN_TAG), words)
    checked = FrameChecker(n_modules=1, run_tag=_RUN_TAG).check([frame])
    Decoder(n_modules=1, crystals_per_module=1).decode(checked, empty_singles(2))
