"""The life of a run inside the daq, from state to state (:mod:`daq.service.run_states`); no socket
of its own.

Every way a run can end goes through here and leaves a folder with closed logs, a journal and a
summary that says how it ended. Nothing here waits: stopping advances turn by turn
(:mod:`daq.service.closing`).

Recording comes first, and nothing behind it ends it (:mod:`daq.service.recording`).
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from daq.errors import DaqError, RunError, StorageError
from daq.folder.identity.identity_file import Identity, refuse_identity_in
from daq.folder.identity.study_file import Study
from daq.folder.journal import Journal, read_entries
from daq.folder.markers import MOST as MOST_MARKERS
from daq.folder.markers import Marker, marker_words
from daq.folder.protocols.planned_config import in_words
from daq.folder.raw_log import FILE_NAME as RAW_LOG_NAME
from daq.folder.run_config import RunConfig
from daq.path.frame_check import Frame
from daq.path.pipeline import Output
from daq.path.resequence import Resequencer
from daq.path.run_summary import UNSORTED
from daq.path.wall_clock import WallClock
from daq.service.closing import Closing
from daq.service.data_sources import Source, Sources
from daq.service.entrance.refusal import Refusal
from daq.service.event_stream import EventStream
from daq.service.imager_link import ImagerLink, has_image
from daq.service.manifest_maker import ManifestMaker
from daq.service.recording import Recording
from daq.service.run import Run
from daq.service.run_opener import RunOpener, of_its_tracer
from daq.service.run_states import RunStates
from daq.service.told_by_sources import misfit, report_lines
from daq.service.watching.alarm_desk import AlarmDesk
from daq.service.watching.run_ends import RunEnds
from daq.service.watching.silence import DATA_S, silences
from daq.service.watching.start_checks import DueChecks, Facts
from daq.service.watching.watch import RunWatch
from hw.free_memory import give_back_free_memory
from hw.messages.live_settings import LiveSettings
from hw.messages.patient_position import UNKNOWN
from hw.messages.sort_settings import SettingsError
from hw.messages.source import SourceReport, Start, Stop
from hw.messages.telemetry import JournalEntry, JournalLine, StartCheck
from hw.notices.catalogue import notice
from hw.wire.protocol import FRAME_PERIOD_PS

SETTLE_S = 5.0
"""So long after a restart frames are put back into their order."""

MIN_FREE_BYTES = 256 * 2**20
LOST = "incomplete: a source was lost during the run"
MODULE_ENTRIES = 200
"""Of what link processes report, in 10 s: a fault of all modules at once has an entry for each."""

OnEnd = Callable[[bool, str], None]
"""Called when a run has ended: whether it ended well, and its folder or the reason."""


class RunLife(RunStates):
    """Owns the state, the journal and the open run.

    state, reason : the current state, and why
    run : the run that is armed or open, or else the last one
    template : what "arm" without a configuration arms; later the last configuration armed
    plain : the last of these that had no protocol

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

    def _open_run(self) -> Run:
        if self.run is None:
            raise Refusal(notice("refused.no_run"))
        return self.run

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
        self.journal.add("info", f"armed {run.name}: {run.scanner.title}")
        if words := in_words(config):
            self.journal.add("info", words)
        if not config.settings.sorts_coincidences:
            words = "single photons: the pictures are projections, no image is reconstructed live"
            self.journal.add("info", words)
        return run

    def _repeat(self, config: RunConfig) -> None:
        """Let "arm" alone repeat a configuration, but for how its patient lay."""
        self.template = msgspec.structs.replace(
            config, name="", patient_position=self._usual_position
        )
        if config.protocol is None:
            self.plain = self.template

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
        self._sources.send_all(_order(run))
        self.journal.add("info", f"started, source: {self._sources.describe()}")
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
        self.journal.add("info", f"marker at {marker.at_s:.3f} s: {words}", burst=MOST_MARKERS)
        return marker

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

    def _in_order(self, frames: Sequence[Frame], now: float) -> Sequence[Frame]:
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
            frames = self._in_order(frames, arrival_ns * 1e-9)
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

    def take_report(self, report: SourceReport) -> str:
        """Keep a source's report if it is about the open run; one of a failure ends the run.

        Returns why it is refused, "" if it is not.
        """
        run = self.run
        if run is None or report.run_tag != run.run_tag:
            return ""  # of a run that was put away
        if why := misfit(report, scanner=run.scanner.name, modules=run.scanner.n_modules):
            return why
        run.reports.append(report)
        for line in report_lines(report):
            self.journal.tell(line)
        if report.failed:
            run.taint(f"incomplete: {report.failed}")
            if self.state == "running":
                self._begin_closing(notice("end.gave_up", why=report.failed))
        return ""

    @property
    def hears(self) -> bool:
        """Whether data come in a run; before it and once its modules have ended, none need to."""
        run = self.run
        if run is None or self.state in ("idle", "armed") or run.all_ended:
            return True
        return time.monotonic() - self._watch.last_data_s <= DATA_S

    def silent(self) -> dict[str, float]:
        """Return what should be heard in the run and is not, with for how long in s."""
        run, imager_s = self._open_run(), self._imager.silent_s
        return silences(
            run,
            data_s=time.monotonic() - self._watch.last_data_s,
            sources=self._sources.taking_part(),
            imager_s=imager_s if imager_s < run.elapsed_s else math.inf,  # it was there in this run
        )

    def why_no_part(self, tag: int) -> str:
        """Return what to say of a source that came in mid-run and sends another run, or none."""
        if self.state != "running" or tag == self._open_run().run_tag:
            return ""
        return (
            "; the run began without it, so it takes part from the next one on, or in the place of "
            "one like it that falls silent"
        )

    def source_lost(self, source: Source) -> None:
        """Record that a source has fallen silent; the run lacks only what one of its own sent."""
        self.journal.tell(notice("source.lost", kind=source.hello.kind))
        if self._sources.takes_part(source) and self.state == "running":
            self._lost.append(source)
            self._open_run().taint(LOST)

    def source_back(self, source: Source) -> None:
        """Record that a silent source of the run speaks again: the books say what it lacks, if
        anything, since frames and hits are numbered.
        """
        if self.run is None or source not in self._lost:
            return
        self._lost.remove(source)
        self.journal.tell(notice("source.back", kind=source.hello.kind))
        if not self._lost:
            self.run.withdraw(LOST)

    def module_news(self, line: JournalLine) -> None:
        """Journal what a link process reports of its modules; an alarm taints the run."""
        self.journal.tell(line, kind="modules", burst=MODULE_ENTRIES)
        if line.severity == "alarm" and self.state == "running":
            self._open_run().taint(f"a module's fault: {line.text}")

    def take_back(self) -> None:
        """Start sources that came back into the run, once their predecessors are lost."""
        run = self.run
        if run is None or self.state != "running":
            return
        away_s = max(0.0, time.monotonic() - self._watch.last_data_s)
        first = int((run.newest_ps * 1e-12 + away_s) / (FRAME_PERIOD_PS * 1e-12)) + 1
        order = _order(run, first_period=first)
        for source in self._sources.start_late(order):
            run.expect(first)
            values = {"kind": source.hello.kind, "away_s": f"{away_s:.1f}"}
            self.journal.tell(notice("source.restarted", **values))
            run.interruptions.add(
                at_s=run.newest_ps * 1e-12,
                away_s=away_s,
                why=notice("gap.source", kind=source.hello.kind),
            )
            run.taint("incomplete: a source was restarted, what its predecessor sent is not known")

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

    # --- running → stopping → closed ----------------------------------------------------------

    def stop(self) -> None:
        """Begin to close a running run; does nothing if that has begun already."""
        self.require("running", "stopping")
        if self.state == "running":
            self._begin_closing(notice("end.command"))

    def hurry(self) -> bool:
        """The process must exit: close what is open, quickly; return whether that is done."""
        if self.state == "running":
            self._begin_closing(notice("end.leaving"))
            self._closing.hurry()
        elif self.state == "armed":
            self._discard("the daq was told to leave")
        elif self.state == "stopping":
            self._closing.hurry()
        return self.state in ("idle", "closed", "error")

    def _begin_closing(self, why: JournalLine) -> None:
        """Ask the sources to finish; :meth:`supervise` does the rest."""
        self.enter("stopping", why)
        self.journal.add("info", f"stopping: {why.text}")
        self._open_run().ended_by = why.text
        self._sources.send_all(Stop())
        imager_works = has_image(self._open_run()) and self._imager.present
        self._closing = Closing(
            time.monotonic(), sources=self._sources.expected, imager=imager_works
        )

    def _advance_closing(self, now: float) -> None:
        run, closing = self._open_run(), self._closing
        try:
            if not closing.drained:
                if closing.drain_is_over(run, now, last_data_s=self._watch.last_data_s):
                    closing.drained_at(now)
            elif not closing.sorted:
                if closing.sorting_is_over(run, now):
                    closing.sorted_at(now)
                    self._finish(run)
            elif closing.imager_is_done(run, now):
                self._close(run)
        except DaqError as error:
            self.fail(str(error))
        except Exception as error:  # noqa: BLE001  (a defect of ours must not take the daq down)
            self.fail(f"internal error in closing, please report: {error!r}")

    def _finish(self, run: Run) -> None:
        if run.backlog:
            self._recording.end_sorting(run, "the daq had to leave")
        self._recording.guard(run)
        last = run.finish()
        if last is not None:
            self._pass_on(run, last)
        self._imager.end(run)
        self._events.end()
        run.write_summary()  # of all but the image, which may be waited for long

    def _close(self, run: Run) -> None:
        for words in self._watch.last_words(run):
            self.journal.tell(notice("run.last_losses", words=words))
        self._judge_books(run)
        summary = run.write_summary()
        self.journal.add(
            "info",
            f"closed {run.name}: {_yield(summary)}, "
            f"{summary['condition']}, books {'close' if summary['conserved'] else 'do not close'}",
        )
        if run.newest_ps:
            size = sum(path.stat().st_size for path in run.folder.iterdir() if path.is_file())
            self.last_bytes_per_s = size / (run.newest_ps * 1e-12)
        self.enter("closed", self.told or self.reason)
        give_back_free_memory()
        self._end(True, str(run.folder))
        self.manifests.begin(run.folder)

    def _judge_books(self, run: Run) -> None:
        """Taint a run whose sums do not close, or whose sources did not all say what they sent."""
        if run.unsorted:
            return
        expected = max(self._closing.sources, self._sources.expected)
        if (missing := expected - len(run.reports)) > 0:
            line = notice("books.no_report", missing=missing, expected=expected)
            self.journal.tell(line)
            run.taint(line.text)
        if not run.reports or missing > 0:
            return
        for words in run.books().open_sums():
            self.journal.tell(notice("books.open", sum=words))
            run.taint(f"the books do not close: {words}")

    def _end(self, well: bool, words: str) -> None:
        self.journal.close()
        self.alarms.run_is_over()
        self._on_end(well, words)

    # --- error, and back to idle --------------------------------------------------------------

    def fail(self, reason: str) -> None:
        """Latch an error: the run ends here, with everything before it safe."""
        self.journal.tell(notice("run.failed", why=reason))
        self.latch(reason)
        self._attempt("stopping the sources", lambda: self._sources.send_all(Stop()))
        if (run := self.run) is not None:
            run.taint(f"incomplete: {reason}")
            run.taint(f"{UNSORTED} (the run ended by an error): `tomoshibi recover` sorts it")
            self._attempt("closing the logs", run.abandon)
            self._attempt("telling the imager", lambda: self._imager.end(run))
            self._attempt("telling subscribers", self._events.end)
            self._write_last_summary(run)
        self._end(False, reason)

    def _attempt(self, what: str, step: Callable[[], object]) -> None:
        """Take a step of giving a run up; one that fails is told and keeps no other from it."""
        try:
            step()
        except Exception as error:  # noqa: BLE001  (a defect of ours must not take the daq down)
            self.journal.tell(notice("step.failed", step=what, why=repr(error)))

    def defect(self, what: str, error: Exception) -> None:
        """Record an error of ours in a part of the loop; recording goes on."""
        words = f"internal error in {what}"
        self.journal.tell(notice("defect", where=words, error=repr(error)), kind=words)
        if self.run is not None and self.state in ("running", "stopping"):
            self.run.taint(words)

    def reset(self) -> None:
        """Give up an armed run, or leave a closed or failed one: idle again."""
        self.require("armed", "closed", "error")
        if self.state == "armed":
            self._discard("reset")
        else:
            self.enter("idle")
        self.run = None

    def _discard(self, why: str) -> None:
        """Close an armed run that never started; its folder remains, with the reason."""
        run = self._open_run()
        run.taint(f"incomplete: never started ({why})")
        try:
            run.put_away()
        except StorageError as error:
            self.journal.tell(notice("disk.fails", words=error))
        self._write_last_summary(run)
        self.journal.add("info", f"{run.name} was never started: {why}")
        self.journal.close()
        self.enter("idle")

    def _write_last_summary(self, run: Run) -> None:
        try:
            run.write_summary()
        except StorageError as error:
            self.journal.tell(notice("disk.fails", words=f"no summary either: {error}"))
        except Exception as error:  # noqa: BLE001  (a defect of ours must not take the daq down)
            self.journal.tell(notice("defect", where="no summary either", error=repr(error)))

    def summary(self) -> dict[str, Any] | None:
        """Return the last run's summary, None where there was no run."""
        return None if self.run is None else self.run.summary()


def _yield(summary: dict[str, Any]) -> str:
    """Describe in words what a run recorded: pairs, or singles in windows."""
    if summary["config"]["settings"]["window_ps"]:
        return f"{summary['prompts']} prompts, {summary['delayeds']} delayeds"
    return ", ".join(f"{name} {count}" for name, count in summary["windows"].items())


def _order(run: Run, *, first_period: int = 0) -> Start:
    """Return the order by which sources begin a run, or come back into it."""
    return Start(
        run_tag=run.run_tag,
        duration_s=run.config.duration_s,
        folder=str(run.folder.resolve()),
        orbit=run.config.orbit,
        first_period=first_period,
    )
