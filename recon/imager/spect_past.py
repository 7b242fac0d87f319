"""What a SPECT imager missed: all singles of the run once more, from its own list, at its end.

The list holds the singles that the stream carried; the daq writes them before it sends them. Views
are counted from the front, for each single's angle comes before it. So nothing is joined: counters
of a whole list take the place of those of an incomplete stream.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from daq.folder.singles_log import FILE_NAME, SinglesReader
from recon.core.grid import ReconError
from recon.spect.run_input import chunks_of
from recon.spect.views import ViewCounter


def count_from_list(
    folder: Path,
    run: str,
    counter: ViewCounter,
    *,
    singles: int,
    stopped: Callable[[], bool],
) -> None:
    """Count the views of a run's list.

    Parameters
    ----------
    folder, run : the run's folder and identity
    counter : empty; takes all singles and angles
    singles : how many the stream was to carry
    stopped : polled between some 100,000 records; True gives up

    Raises
    ------
    DaqError, OSError
        if the list cannot be read.
    ReconError
        if it is another run's, holds fewer singles, or there was no time.
    """
    path, held = folder / FILE_NAME, 0
    log = SinglesReader(path)
    if log.head.get("run", run) != run:
        raise ReconError(f"{path} is of run {log.head['run']}, not of {run}")
    for found, angles, until_ps in chunks_of(log):
        if stopped():
            raise ReconError("no time left")
        counter.take(found, angles, watermark_ps=until_ps)
        held += len(found)
    if held < singles:
        raise ReconError(f"{path} holds {held} of {singles} singles")
