"""The life of a run inside the daq, from state to state (:mod:`daq.service.life.run_states`); no
socket of its own.

This is its beginning, its going on after a daq died, and its recording. How it ends, and what its
sources have to say in it, are in :mod:`daq.service.life`.

Recording comes first, and nothing behind it ends it (:mod:`daq.service.recording`).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from daq.errors import RunError, StorageError
from daq.folder.identity.identity_file import Identity, refuse_identity_in
from daq.folder.identity.study_file import Study
from daq.folder.journal import read_entries
from daq.folder.markers import MOST as MOST_MARKERS
from daq.folder.markers import Marker, marker_words
from daq.folder.protocols.planned_config import in_words
from daq.folder.raw_log import FILE_NAME as RAW_LOG_NAME
from daq.folder.run_config import RunConfig
from daq.path.frame_check import Frame
from daq.path.resequence import Resequencer
from daq.path.wall_clock import WallClock
from daq.service.entrance.refusal import Refusal
from daq.service.life.run_sources import RunSources, order_of
from daq.service.recording import Recording
from daq.service.run import Run
from daq.service.run_opener import of_its_tracer
from daq.service.run_signals import keep_signal
from daq.service.watching.run_ends import RunEnds
from daq.service.watching.watch import RunWatch
from hw.messages.live_settings import LiveSettings
from hw.messages.sort_settings import SettingsError
from hw.messages.telemetry import JournalEntry
from hw.notices.catalogue import notice

SETTLE_S = 5.0
"""So long after a restart frames are put back into their order."""


class RunLife(RunSources):
    """Owns the state, the journal and the open run.

    state, reason : the current state, and why
    run : the run that is armed or open, or else the last one
    template : what "arm" without a configuration arms; later the last configuration armed
    plain : the last of these that had no protocol
    """

    @property
    def takes_data(self) -> bool:
        """Whether data frames belong to an open run now."""
        draining = self.state == "stopping" and not self._closing.drained
        return self.state == "running" or draining

    def supervise(self, now: float) -> None:
        """Do what the state requires at ``now``, in monotonic seconds; to be called every turn."""
        if self.state == "stopping":
            self._advance_closing(now)
        elif self.state == "running":
            self._look_after(self._open_run(), now)

    # --- idle or closed → armed → running -----------------------------------------------------

    def arm(
        self,
        config: RunConfig | None,
        identity: Identity | None = None,
        study: Study | None = None,
        *,
        aside: bool = False,
    ) -> Run:
        """Make the run's folder and logs; raises RunError or StorageError with the remedy.

        identity : whom the run is about, kept in its folder and nowhere else
        study : weight, activity and the like, kept in its folder, too
        aside : a run such as QC's: the next Arm repeats the one before it
        """
        self.require("idle", "closed")
        config = config or self.template
        if config is None:
            raise Refusal(notice("refused.no_configuration"))
        self.watch_disk()
        if self.disk_free < self._min_free_bytes:
            free_MiB, least_MiB = self.disk_free // 2**20, self._min_free_bytes // 2**20
            raise Refusal(
                notice(
                    "refused.disk", free_MiB=free_MiB, least_MiB=least_MiB, folder=self.runs_root
                )
            )
        run = self.run = self._opener.new(of_its_tracer(config, study), identity, study)
        if not aside:
            self._repeat(config)
        self.enter("armed")
        self.journal.tell(notice("run.armed", run=run.name, scanner=run.scanner.title))
        if words := in_words(config):
            self.journal.add("info", words)
        if not config.settings.sorts_coincidences:
            self.journal.tell(notice("run.single_photons"))
        return run

    def _repeat(self, config: RunConfig) -> None:
        """Let "arm" alone repeat a configuration, but for how its patient lay."""
        self.template = msgspec.structs.replace(
            config, name="", patient_position=self._usual_position
        )
        if config.protocol is None:
            self.plain = self.template

    def start(self) -> Run:
        """Start the sources; raises RunError where there are none, or others than armed for."""
        self.require("armed")
        run = self._open_run()
        if why := self._sources.mismatch(run.scanner):
            raise Refusal(why)
        run = self.run = self._opener.for_this_source(run)
        self._lost.clear()
        run.start()
        self.enter("running")
        self._clock, self._watch, self._ends = WallClock(), RunWatch(), RunEnds()
        self._recording = Recording(self.journal, self._pass_on)
        self._watch.data_came(time.monotonic())
        self._sources.send_all(order_of(run))
        self.journal.tell(notice("run.started", sources=self._sources.describe()))
        return run

    def image_as(self, changes: dict[str, Any]) -> LiveSettings:
        """Change how the run is imaged, now and in later runs; raises RunError."""
        base = self.run.live if self.run is not None else LiveSettings()
        values = {**msgspec.to_builtins(base), **changes}
        try:
            live = msgspec.convert(values, LiveSettings)
        except (msgspec.ValidationError, SettingsError) as error:
            raise RunError(f"live: {error}") from error
        if self.template is not None:
            activity = changes.get("activity", self.template.live.activity)
            asked = msgspec.structs.replace(live, activity=activity)  # the run's own is no wish
            self.template = msgspec.structs.replace(self.template, live=asked)
        if self.run is not None:
            self.run.live = live
            if self.state in ("armed", "running"):
                self._imager.begin(self.run)
        return live

    def mark(self, text: object) -> Marker:
        """Set a marker at the detector time; raises RunError or StorageError."""
        self.require("running")
        run, words = self._open_run(), marker_words(text)
        refuse_identity_in(run.folder, words, "marker")
        marker = run.markers.add(words, at_s=run.newest_ps * 1e-12)
        line = notice("run.marked", at_s=f"{marker.at_s:.3f}", words=words)
        self.journal.tell(line, burst=MOST_MARKERS)
        return marker

    def take_signal(self, args: dict[str, Any]) -> dict[str, Any]:
        """Keep samples of a signal from outside at their detector times; raises DaqError."""
        self.require("running")
        return keep_signal(self._open_run(), args, self._clock, self.journal)

    def announce(self) -> None:
        """Announce the run to an imager that started late, and its end to slow subscribers."""
        self._events.repeat_end()
        if self.run is not None and self.state in ("armed", "running"):
            self._imager.begin(self.run)

    # --- again: a run whose daq died ----------------------------------------------------------

    def resume(self, folder: Path) -> Run:
        """Go on with an open run that a daq left when it died; raises DaqError.

        What it had recorded is sorted from the disk, beside the recording of what comes.
        """
        self.require("idle")
        away_s = max(0.0, time.time() - (folder / RAW_LOG_NAME).stat().st_mtime)
        told = read_entries(folder)
        run = self._opener.again(folder)
        try:
            self._go_on_with(run, told, away_s)
        except BaseException as error:
            self._leave_to_recovery(run, str(error))
            raise
        return run

    def _leave_to_recovery(self, run: Run, why: str) -> None:
        """Close the logs of a run that cannot be gone on with, and be idle."""
        run.abandon()
        self.journal.close()
        self.run = self._resequencer = None
        self.latch(why)
        self.enter("idle")

    def _go_on_with(self, run: Run, told: list[JournalEntry], away_s: float) -> None:
        self.run = run
        self._recall(told)
        self._repeat(run.config)
        self.enter("armed")
        self.enter("running")
        run.start()
        now = time.monotonic()
        self._clock, self._watch, self._ends = WallClock(), RunWatch(), RunEnds()
        self._recording = Recording(self.journal, self._pass_on)
        self._resequencer = Resequencer(
            run.next_sequences, run.newest_periods, run_tag=run.run_tag, lacking=run.lacking
        )
        self._settled_s = now + SETTLE_S
        self._watch.data_came(now)
        run.taint("the daq was restarted in the run")
        run.interruptions.add(at_s=run.newest_ps * 1e-12, away_s=away_s, why=notice("gap.daq"))
        recorded = {"recorded_s": f"{run.newest_ps * 1e-12:.1f}", "away_s": f"{away_s:.1f}"}
        self.journal.tell(notice("run.resumed", run=run.name, **recorded))

    def _recall(self, told: list[JournalEntry]) -> None:
        """Take up the alarms of the daq that died; recording does not depend on it."""
        try:
            self.alarms.recall(told)
        except Exception as error:  # noqa: BLE001  (what a damaged journal says is not ours)
            self.defect("taking up alarms", error)

    def _inorder_of(self, frames: Sequence[Frame], now: float) -> Sequence[Frame]:
        """Return the frames that may be recorded now; what was queued before a restart comes before
        what the sources send again."""
        waiting = self._resequencer
        if waiting is None:
            return frames
        ready = waiting.push(frames)
        if now >= self._settled_s:
            self._resequencer = None
            ready += waiting.flush()
        return ready

    # --- running ------------------------------------------------------------------------------

    @property
    def blocked(self) -> bool:
        """Whether the disk is full: no more frames should be taken in now."""
        return self._recording.blocked

    def take(self, frames: Sequence[Frame]) -> None:
        """Record data frames; :meth:`sort` does the rest. Any failure is latched."""
        run, arrival_ns = self._open_run(), time.monotonic_ns()
        try:
            frames = self._inorder_of(frames, arrival_ns * 1e-9)
            self._recording.record(run, frames, arrival_ns * 1e-9)
        except StorageError as error:
            self.fail(str(error))
            return
        except Exception as error:  # noqa: BLE001  (a defect of ours must not take the daq down)
            self.fail(f"internal error in recording, please report: {error!r}")
            return
        if frames and not self.blocked:
            self._watch.data_came(arrival_ns * 1e-9)
            self._clock.observe(arrival_ns=arrival_ns, frame_end_ps=run.newest_ps)

    def sort(self, budget_s: float) -> bool:
        """Sort what is recorded, for about so long; return whether there is more."""
        if self.run is None or self.state not in ("running", "stopping"):
            return False
        return self._recording.sort(self.run, budget_s)

    def watch_disk(self) -> None:
        """Check the free disk space; stop a run while it can still be closed properly."""
        try:
            self.runs_root.mkdir(parents=True, exist_ok=True)
            self.disk_free = shutil.disk_usage(self.runs_root).free
        except OSError as error:
            self.journal.tell(notice("disk.away", folder=self.runs_root, why=error.strerror))
            self._disk_away = True
            return
        if self._disk_away:
            self._disk_away = False
            self.journal.tell(notice("disk.back", folder=self.runs_root))
        if self.disk_free < self._min_free_bytes and self.state == "running":
            left_MiB = f"{self.disk_free / 2**20:.0f}"
            about = {"left_MiB": left_MiB, "folder": self.runs_root}
            self.journal.tell(notice("disk.nearly_full", **about))
            why = notice("end.disk", **about)
            self._open_run().taint(f"incomplete: {why.text}")
            self._begin_closing(why)

    def _look_after(self, run: Run, now: float) -> None:
        """Journal what is new; stop a run that has come to its end."""
        for line in self._watch.look(run, now, lag_s=self._sources.lag_s()):
            self.journal.tell(line)
        self._recording.look(run)
        if run.all_ended:
            self._begin_closing(notice("end.modules"))
        elif self._sources.all_reported:
            self._begin_closing(notice("end.sources"))
        elif why := self._ends.why(run):
            self._begin_closing(why)
        elif self._watch.given_up(run, now):
            run.taint("incomplete: the source fell silent")
            self._begin_closing(notice("end.silence"))
