"""What a run's life is made of: the journal, the open run, and what watches and records it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from daq.folder.journal import Journal
from daq.folder.run_config import RunConfig
from daq.path.pipeline import Output
from daq.path.resequence import Resequencer
from daq.path.wall_clock import WallClock
from daq.service.data_sources import Source, Sources
from daq.service.entrance.refusal import Refusal
from daq.service.event_stream import EventStream
from daq.service.imager_link import ImagerLink
from daq.service.life.closing import Closing
from daq.service.life.run_states import RunStates
from daq.service.manifest_maker import ManifestMaker
from daq.service.recording import Recording
from daq.service.run import Run
from daq.service.run_opener import RunOpener
from daq.service.watching.alarm_desk import AlarmDesk
from daq.service.watching.run_ends import RunEnds
from daq.service.watching.start_checks import DueChecks, Facts
from daq.service.watching.watch import RunWatch
from hw.messages.patient_position import UNKNOWN
from hw.messages.telemetry import StartCheck
from hw.notices.catalogue import notice

MIN_FREE_BYTES = 256 * 2**20

OnEnd = Callable[[bool, str], None]
"""Called when a run has ended: whether it ended well, and its folder or the reason."""


class RunParts(RunStates):
    """The parts, and what every stage of the life needs of them.

    Parameters
    ----------
    runs_root : the folder for new runs
    sources : that are attached
    imager : the live imager
    events : the stream of events for clients
    on_end : is called when closing, or failing, is complete
    template : what "arm" without a configuration arms at first; None: nothing
    min_free_bytes : a run ends when less is free on the disk
    """

    def __init__(
        self,
        runs_root: Path,
        *,
        sources: Sources,
        imager: ImagerLink,
        events: EventStream,
        on_end: OnEnd,
        template: RunConfig | None = None,
        min_free_bytes: int = MIN_FREE_BYTES,
    ) -> None:
        super().__init__()
        self.runs_root = runs_root
        self.template = template
        self.plain = template if template and template.protocol is None else None
        self._usual_position = template.patient_position if template else UNKNOWN
        self.alarms = AlarmDesk()
        self.journal = Journal(listen=self.alarms.take)
        self.run: Run | None = None
        self.disk_free = 0
        self._disk_away = False
        self.last_bytes_per_s = 0.0
        self._checks = DueChecks(self._facts)
        self._opener = RunOpener(
            runs_root, self.journal, sources=sources, imager=imager, events=events
        )
        self._sources = sources
        self._imager = imager
        self._events = events
        self._on_end = on_end
        self._min_free_bytes = min_free_bytes
        self._clock = WallClock()
        self._watch, self._ends = RunWatch(), RunEnds()
        self._closing = Closing(0.0, sources=0, imager=False)
        self._recording = Recording(self.journal, self._pass_on)
        self.manifests = ManifestMaker()
        self._lost: list[Source] = []
        self._resequencer: Resequencer | None = None
        self._settled_s = 0.0

    def _open_run(self) -> Run:
        if self.run is None:
            raise Refusal(notice("refused.no_run"))
        return self.run

    def checks(self) -> list[StartCheck]:
        """Return what should be looked at before a run is started; [] in one."""
        return [] if self.state in ("running", "stopping") else self._checks.now()

    def _facts(self) -> Facts:
        template = self.run.config if self.run and self.state == "armed" else self.template
        sources = self._sources
        return Facts(
            template=template,
            serial=sources.serial,
            sources=sources.describe(),
            modules_live=sources.modules_live(),
            mismatch=sources.mismatch(template.scanner()) if template else None,
            imager=self._imager.present,
            disk_free=self.disk_free,
            least_free=self._min_free_bytes,
            bytes_per_s=self.last_bytes_per_s,
            runs=self.runs_root,
        )

    def _pass_on(self, run: Run, output: Output) -> None:
        """Send what became final to the imager and to subscribers; never waits."""
        try:
            wall_ns = self._clock.wall_ns(output.watermark_ps)
            if run.load.images_next():
                self._imager.batch(run, output, event_wall_ns=wall_ns)
            else:
                self._imager.leave_out(run, output)
        except Exception as error:  # noqa: BLE001  (a defect of ours must not end the sorting)
            self.defect("sending to the imager", error)
        try:
            self._events.batch(output)
        except Exception as error:  # noqa: BLE001  (as above)
            self.defect("sending to subscribers", error)

    def defect(self, what: str, error: Exception) -> None:
        """Record an error of ours in a part of the loop; recording goes on."""
        words = f"internal error in {what}"
        self.journal.tell(notice("defect", where=words, error=repr(error)), kind=words)
        if self.run is not None and self.state in ("running", "stopping"):
            self.run.taint(words)

    def summary(self) -> dict[str, Any] | None:
        """Return the last run's summary, None where there was no run."""
        return None if self.run is None else self.run.summary()
