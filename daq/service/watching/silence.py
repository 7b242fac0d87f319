"""What should be heard of in a run and is not: data, sources, imager, modules; for the headline of
displays, before any of them counts as lost.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from daq.service.data_sources import Source
from daq.service.run import Run
from hw.wire.protocol import FRAME_PERIOD_PS

DATA_S = 1.0
SOURCE_S = 1.5
"""Sources say something at least every 0.2 s, if only that they live."""

IMAGER_S = 1.7
"""It reports every second."""

MOST_MODULES = 4


def silences(
    run: Run, *, data_s: float, sources: list[tuple[Source, float]], imager_s: float
) -> dict[str, float]:
    """Return what is silent in a run that should not be, worst first, with for how long in s.

    data_s : since the last data frame
    sources : those that take part, and for how long each has said nothing
    imager_s : since the imager's last report, inf where none was there in the run
    """
    found = {
        f"source {source.hello.kind}": silent_s
        for source, silent_s in sources
        if silent_s > SOURCE_S and not source.reported
    }
    if data_s > DATA_S and not run.all_ended:
        found["data"] = data_s
    if IMAGER_S < imager_s < math.inf:
        found["imager"] = imager_s
    return found if "data" in found else found | dict(_modules(run))


def _modules(run: Run) -> Iterator[tuple[str, float]]:
    """Yield the modules that are behind while others send; many of them as one."""
    stalled = [m for m, state in enumerate(run.pipeline.module_states) if state == "stalled"]
    ends_ps = (run.pipeline.links["last_frame_id"] + 1) * FRAME_PERIOD_PS
    behind_s = {m: (run.newest_ps - int(ends_ps[m])) * 1e-12 for m in stalled}
    if len(stalled) > MOST_MODULES:
        yield f"{len(stalled)} modules", max(behind_s.values())
        return
    for module, seconds in behind_s.items():
        yield f"module {module}", seconds


def states_shown(run: Run, *, heard: bool) -> list[str]:
    """Return the modules' states: none that did not end is live where nothing comes any more."""
    states = run.pipeline.module_states
    return states if heard else ["stalled" if state == "live" else state for state in states]
