"""All prompts of a run, from its own list: for its last image, where the stream lacked some.

A machine that cannot follow uses a part of the events while they come. Once the run has ended there
is time, and the list that the daq wrote in the run's folder has them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from daq.errors import DaqError
from daq.folder.listmode_log import FILE_NAME
from daq.folder.listmode_past import ListmodePast
from hw.arrays import Records
from recon.core.grid import ReconError


class RunList:
    """The first ``prompts`` prompts of a run's ``listmode.tmlm``."""

    def __init__(self, folder: Path, run: str, *, prompts: int) -> None:
        self._path, self._run, self._prompts = folder / FILE_NAME, run, prompts

    def __len__(self) -> int:
        return self._prompts

    def parts(self, events: int) -> Iterator[Records]:
        """Yield (n,) ``COINCIDENCE`` records, about ``events`` at a time, the newest part first.

        Raises
        ------
        ReconError
            if the list holds fewer, is damaged, another run's, or cannot be read.
        """
        try:
            past = ListmodePast(self._path, run=self._run, prompts=self._prompts, delayeds=0)
            for part in past.parts(events):
                yield part.prompts
        except (DaqError, OSError) as error:
            raise ReconError(str(error)) from error
