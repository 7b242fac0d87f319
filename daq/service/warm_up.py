"""Compiling the kernels of the event path before their use, with exactly the live types.

After :func:`warm_kernels` a :class:`~daq.path.pipeline.Pipeline` compiles nothing more, live or in
a replay.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from coincidence.events import COINCIDENCE, as_words, empty_singles
from coincidence.warm_up import warm_kernels as warm_coincidence_kernels
from daq.calibration.energy_spectra import accumulate_spectra, line_grid, new_spectra
from daq.path.angles import AngleTrack
from daq.path.decode import DEFAULT_STALL_PS, Decoder
from daq.path.frame_check import CheckedFrames, FrameChecker
from daq.path.live_time import LiveTime
from daq.path.takers.module_timing import ModuleTiming
from daq.path.takers.projections import count_pictures
from daq.path.takers.randoms import RandomsTally
from hw.messages.sort_settings import SortSettings
from hw.physics.constants import REFERENCE_KEV
from hw.scanner.description import Motion
from hw.wire.frames import new_header, seal_frame
from hw.wire.protocol import pack_words

_RUN_TAG = 1


def warm_kernels() -> None:
    """Run every kernel from frames to coincidences once."""
    warm_coincidence_kernels()
    warm_frames()


def warm_frames() -> None:
    """Run every kernel from frames to singles, and those that count them."""
    words = pack_words(time_ticks=np.arange(2), crystal=0, energy_dkeV=5110)
    frame = seal_frame(new_header(0, 0, 0, run_tag=_RUN_TAG), words)
    checked = FrameChecker(n_modules=1, run_tag=_RUN_TAG).check([frame])
    decoder = Decoder(n_modules=1, crystals_per_module=1)
    count = decoder.decode(checked, singles := empty_singles(2))
    _warm_statistics(checked, decoder.horizons_ps, singles[:count])
    motion = Motion(kind="gantry", most_deg_per_s=1.0, least_deg=0.0, most_deg=360.0)
    AngleTrack(motion, 1).take(checked)
    count_pictures(as_words(singles[:count]), np.zeros((1, 1), np.uint32))
    accumulate_spectra(singles[:count], line_grid(REFERENCE_KEV).table(), new_spectra(1))


def _warm_statistics(
    checked: CheckedFrames, horizons_ps: npt.NDArray[np.int64], singles: npt.NDArray[np.void]
) -> None:
    settings = SortSettings(lld_keV=0, uld_keV=1, window_ps=1, delay_ps=0)
    tally = RandomsTally(
        settings, module_of=np.zeros(1, np.uint16), allowed=np.zeros((1, 1), np.bool_)
    )
    tally.observe(singles, np.zeros(1, dtype=COINCIDENCE))
    tally.finish()
    timing = ModuleTiming(settings, np.zeros(1, np.uint16))
    timing.observe(np.zeros(1, dtype=COINCIDENCE), singles)
    live_time = LiveTime(n_modules=1, stall_ps=DEFAULT_STALL_PS)
    live_time.observe(checked.headers, horizons_ps)
    live_time.finish()
