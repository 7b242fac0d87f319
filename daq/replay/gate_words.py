"""The gate or trigger inputs of a run's modules: when their words came, from the raw log.

The sorter leaves these words out; a heartbeat or a breathing belt wired to a module's input is in
the raw log on the detector's own clock.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from daq.errors import LogError
from daq.folder import raw_log as rawlog
from daq.folder.raw_log import RawLogReader
from daq.folder.run_folder import run_config, tag_in
from daq.path.frame_check import FrameChecker
from hw.wire.protocol import (
    FRAME_PERIOD_LOG2,
    KIND_SHIFT,
    WORD_KINDS,
    ticks_to_ps,
    unpack_words,
)

BOUNCE_S = 1e-3
"""Words of an input closer than this are one: a contact bounces, or several modules saw it."""


def gate_times_s(folder: Path, number: int) -> npt.NDArray[np.float64]:
    """Return when an input's words came, s of detector time, ascending.

    Parameters
    ----------
    number : of the input, as the words have it

    Raises
    ------
    LogError
        if the raw log is missing or damaged, or holds fewer than two of them.
    """
    config = run_config(folder)
    reader = RawLogReader(folder / rawlog.FILE_NAME)
    checker = FrameChecker(n_modules=config.scanner().n_modules, run_tag=tag_in(reader.head))
    kind = WORD_KINDS["gate"]
    found: list[npt.NDArray[np.int64]] = []
    inputs: set[int] = set()
    for frames in reader:
        checked = checker.check(frames, recorded=True)
        everything = np.frombuffer(checked.payload, "<u8")
        for header, first in zip(checked.headers, checked.word_starts, strict=True):
            words = everything[first : first + int(header["event_count"])]
            words = words[words >> np.uint64(KIND_SHIFT) == kind]
            if not len(words):
                continue
            fields = unpack_words(words)
            inputs.update(map(int, fields["crystal"]))
            own = fields["time"][fields["crystal"] == number]
            found.append((int(header["frame_id"]) << FRAME_PERIOD_LOG2) + own)
    ticks = np.concatenate([np.empty(0, np.int64), *found])
    times_s = np.asarray(np.sort(ticks_to_ps(ticks)) * 1e-12, np.float64)
    if len(times_s):
        times_s = times_s[np.diff(times_s, prepend=-np.inf) > BOUNCE_S]
    if len(times_s) < 2:
        others = ", ".join(map(str, sorted(inputs))) or "none"
        raise LogError(
            f"{folder.name} has {len(times_s)} words of gate input {number}, two or more are "
            f"needed; inputs with words: {others}"
        )
    return times_s
