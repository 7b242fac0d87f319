"""The launcher of a live system: starts its processes, runs one run, stops them as one.

Source, daq, imager and console are separate processes; this one only starts, watches and stops
them. On Ctrl-C at any moment the daq closes the run and everything ends within 3 s, or on a busy
machine within 10 s.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from daq.cli.common import CommandError, finish, tell
from daq.cli.launch.kernels import is_warm
from daq.cli.launch.memory_meter import MemoryMeter
from daq.cli.launch.processes import Child, Children
from daq.cli.launch.scratch import new_scratch
from daq.cli.progress import ProgressLine
from daq.cli.sorting_outcome import describe_end
from daq.client.client import ClientError, ControlClient, DisplayClient
from daq.folder.run_config import RunConfig
from daq.folder.run_folder import SUMMARY_NAME, run_config
from hw.messages.endpoints import Endpoints
from hw.messages.telemetry import Telemetry

READY_S = 180.0
"""For a process to be ready: 60 s were too few for an imager on two cores with nine busy processes.
Nobody who waits is kept from Ctrl-C.
"""

PICTURE_S = 5.0
LEAVE_S = 10.0
"""For a process to exit when told to, unless Ctrl-C was pressed: on a busy machine the quarter of a
second that it takes may become several seconds, and nobody is waiting.
"""

HURRIED_DAQ_S = 8.0
"""For the daq after Ctrl-C, to close the run and write its summary. It takes a good second, or
several times that on a busy machine. Late is better than a run without its summary.
"""

HURRIED_LEAVE_S = 2.6
"""For all of them together after Ctrl-C; the imager may still write its image."""

HURRIED_OTHERS_S = (0.7, 2.0)
"""For all others, at least and at most, however long the daq took. If it took long, the machine is
slow, and they get as long as it took.
"""

RESTARTS = 3
GO_ON_S = 15.0
"""For a daq that was started again to go on with its run."""

KERNELS = "kernels"
"""The child that compiles, once there is a picture, what later commands need."""

NICENESS = {"imager": 10, "console": 10, KERNELS: 19}
"""Picture and window yield to the data: taking, logging and sorting come first on a busy machine;
and compiling yields to everything."""


def leave_as_it_is(config: RunConfig, scratch: Path) -> None:
    """Do nothing: the plan is complete."""


@dataclass
class ChainPlan:
    """What a live chain runs.

    source : command line of the data source, without --endpoint
    link : command line of the link process that runs firmware modules behind that source, without
        --endpoint and --folder; [] without firmware
    finish_plan : called once the other processes are starting, to complete ``config``
    window : show the console; otherwise it runs offscreen for its screenshots
    """

    config: RunConfig
    source: list[str]
    runs: Path
    window: bool
    finish_plan: Callable[[RunConfig, Path], None] = leave_as_it_is
    link: list[str] = field(default_factory=list)

    @property
    def command(self) -> str:
        """The command that a person typed."""
        return "replay" if self.source[0] == "replay-source" else "demo"


class Stopped(Exception):
    """A person asked the chain to stop, or closed the window while no run was on."""


class LiveChain:
    """One launch of a system. Use :meth:`run_and_report`."""

    def __init__(self, plan: ChainPlan) -> None:
        self.plan = plan
        self.scratch = new_scratch()
        self.endpoints = Endpoints(f"ipc://{self.scratch}")
        self.children = Children(self.scratch / "logs")
        self.folder: Path | None = None
        self._began = time.monotonic()
        self._first_image_s = 0.0
        self._memory = MemoryMeter()
        self._interrupted = False
        self._hurry = False
        self._failed = False
        self._in_run = False
        self._waits_for = ""
        self._restarts = {"imager": RESTARTS, "console": RESTARTS}
        self._idle_since_s: float | None = None
        self._argv: dict[str, list[str]] = {}
        self._console_report: dict[str, Any] = {}

    def run_and_report(self, options: argparse.Namespace) -> int:
        """Run the chain to its end, stop everything, print the result; return the exit status."""
        with self._signals():
            try:
                self._run()
            except Stopped:
                self._interrupted = True
                tell("\nstopping …")
            except CommandError as error:
                if self.folder is None:
                    raise
                self._failed = True
                tell(f"tomoshibi: {error}")
            finally:
                self._stop_everything()
        return self._report(options)

    # --- phases -------------------------------------------------------------------------------

    def _run(self) -> None:
        plan, base = self.plan, ["--endpoint", self.endpoints.base]
        scanner = plan.config.scanner()
        known_as = ["--started-by", plan.command, "--scanner-name", scanner.name]
        self._start("daq", ["acquire", *base, "--runs", str(plan.runs), *known_as])
        modality = scanner.modality
        self._start("imager", ["imager", *base, "--modality", modality])
        source = [*plan.source, *base]
        if plan.link:
            folder = self.scratch / "machines"
            self._start("link", [*plan.link, *base, "--folder", str(folder)])
            source += ["--hits", str(folder)]
        self._start("source", source)
        plan.finish_plan(plan.config, self.scratch)
        with ControlClient(self.endpoints, name=f"{plan.command}, process {os.getpid()}") as daq:
            self._wait_for("the daq", lambda: self._ping(daq))
            armed = daq.call("arm", **msgspec.to_builtins(plan.config))
            self.folder = Path(armed["run"])
            self._start_console(base)
            self._wait_for("the source", lambda: self._sources_ready(daq))
            for remark in daq.call("status")["remarks"]:
                tell(remark)
            run = armed["name"]
            self._wait_for("the imager", lambda: _status(daq)["imager_run"] == run)
            daq.call("start")
            with contextlib.suppress(ClientError):  # the console's from here on, if it is ours yet
                daq.call("control", action="give")
            tell(f"running: {self.folder}")
            self._in_run = True
            returns = RESTARTS if self.plan.source[0] == "emulate" else 0
            self._restarts |= {"daq": RESTARTS, "source": returns}
            self._restarts |= {"link": RESTARTS} if plan.link else {}
            display = DisplayClient(self.endpoints)
            try:
                self._watch_run(display)
            finally:
                display.close()
        if plan.window:
            self._wait_for_window()
        else:
            self._wait_for_last_picture()

    def _start(self, name: str, argv: list[str]) -> None:
        self._argv[name] = argv
        self.children.start(name, argv, niceness=NICENESS.get(name, 0))

    def _start_console(self, base: list[str]) -> None:
        shots = ["--screenshots", str(self.folder)]
        look = ["--json"] if self.plan.window else ["--json", "--offscreen", "--exit-when-closed"]
        pages = ["--modules"] if self.plan.link and not self.plan.window else []
        self._start("console", ["console", *base, *shots, *look, *pages])

    def _sources_ready(self, daq: ControlClient) -> bool:
        """Whether all sources are present and can begin a run."""
        status = _status(daq)
        self._waits_for = "; ".join(status["not_ready"])
        expected = 2 if self.plan.link else 1
        return len(status["sources"]) >= expected and not self._waits_for

    @staticmethod
    def _ping(daq: ControlClient) -> bool:
        try:
            daq.call("ping", timeout_s=0.5)
        except ClientError:
            return False
        return True

    def _wait_for(self, what: str, is_ready: Callable[[], bool]) -> None:
        line = ProgressLine(what)
        deadline = time.monotonic() + READY_S
        while not is_ready():
            self._look_after_children()
            why = f" ({self._waits_for})" if self._waits_for else ""
            if time.monotonic() > deadline:
                raise CommandError(
                    f"{what} was not ready within {READY_S:g} s{why}: see {self._logs()}"
                )
            line.say(f"waiting for {what} … {time.monotonic() - self._began:.0f} s{why}")
            time.sleep(0.05)
        line.done()

    def _watch_run(self, display: DisplayClient) -> None:
        line = ProgressLine("run")
        while True:
            self._look_after_children()
            if not self._first_image_s and self._has_picture(display):
                self._first_image_s = time.monotonic() - self._began
                line.done(f"first image after {self._first_image_s:.1f} s")
                if not is_warm():
                    self._start(KERNELS, ["warm", "--jobs", "1"])
            self._memory.sample(self.children.pids())
            telemetry = display.telemetry(timeout_s=0.1)
            if telemetry is None:
                continue
            line.say(_status_line(telemetry))
            self._expect_a_run(telemetry)
            if telemetry.state in ("closed", "error"):
                line.done(_status_line(telemetry))
                self._in_run = False
                return

    def _expect_a_run(self, telemetry: Telemetry) -> None:
        """Give up on a restarted daq that does not go on with the run."""
        now = time.monotonic()
        if telemetry.state != "idle":
            self._idle_since_s = None
        elif self._idle_since_s is None:
            self._idle_since_s = now
        elif now - self._idle_since_s > GO_ON_S:
            raise CommandError(
                "the daq was started again, and its source sends the run no more: what is recorded "
                f"is safe, `tomoshibi recover {self.folder}` finishes it"
            )

    def _has_picture(self, display: DisplayClient) -> bool:
        """Whether there is something to see: an image, or a projection with counts in it."""
        if display.image() is not None:
            return True
        pictures = display.projections()
        return pictures is not None and bool(pictures.arrays()[0].any())

    def _wait_for_window(self) -> None:
        if self.children.alive("console"):
            tell("the run is closed; close the console's window to leave")
        while self.children.alive("console"):
            self._look_after_children()
            time.sleep(0.1)

    def _wait_for_last_picture(self) -> None:
        """Wait until the offscreen console exits, with the closed run and the final image."""
        deadline = time.monotonic() + PICTURE_S
        while self.children.alive("console") and time.monotonic() < deadline:
            time.sleep(0.05)

    # --- children -----------------------------------------------------------------------------

    def _look_after_children(self) -> None:
        if self._hurry:  # Stopped was raised where somebody catches every Exception
            raise Stopped
        for child in self.children.died():
            if child.name == KERNELS:
                continue  # the next command that needs more compiles it, and says what is wrong
            if child.name == "console" and child.process.returncode == 0:
                self._window_closed()
                continue
            left = self._restarts.get(child.name, 0)
            if not left:
                raise CommandError(self._obituary(child))
            self._restarts[child.name] = left - 1
            tell(f"{self._obituary(child)}\nstarting the {child.name} again")
            self._start(child.name, self._argv[child.name])
            if child.name == "link":  # its modules are new ones, and so are their windows for hits
                self.children.kill("source")  # if it reported, the run would be over
                self._start("source", self._argv["source"])

    def _window_closed(self) -> None:
        """Closing a console never ends a scan; without one there is nothing to stay for.

        An offscreen console has taken its last picture.
        """
        if not self.plan.window:
            return
        if not self._in_run:
            raise Stopped
        endless = self.plan.source[0] == "emulate" and not self.plan.config.duration_s
        tell(
            f"the console was closed: the run goes on without it{', endlessly' * endless}; "
            f"Ctrl-C ends it, `tomoshibi console --endpoint {self.endpoints.base}` opens a console"
        )

    def _obituary(self, child: Child) -> str:
        last = child.tail(1)
        if last.startswith("tomoshibi: "):
            return f"the {child.name} ended: {last.removeprefix('tomoshibi: ')}"
        return (
            f"the {child.name} ended with status {child.process.returncode}; its last words:\n"
            f"{child.tail()}"
        )

    def _stop_everything(self) -> None:
        began = time.monotonic()
        killed = self.children.stop("daq", within_s=HURRIED_DAQ_S if self._hurry else LEAVE_S)
        left_s = others_leave_s(time.monotonic() - began) if self._hurry else LEAVE_S
        killed += self.children.stop(within_s=left_s)
        for name in killed:
            tell(f"the {name} did not leave in time and was killed")
        self._console_report = last_object(self.scratch / "logs" / "console.log")
        if self.folder is not None and self.folder.is_dir():
            shutil.copytree(self.scratch / "logs", self.folder / "logs", dirs_exist_ok=True)
        shutil.rmtree(self.scratch, ignore_errors=True)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        def stop(number: int, frame: object) -> None:
            if not self._hurry:  # a second Ctrl-C must not interrupt the cleaning up
                self._hurry = True
                raise Stopped

        before = {n: signal.signal(n, stop) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _logs(self) -> Path:
        return self.scratch / "logs" if self.folder is None else self.folder / "logs"

    # --- the result ---------------------------------------------------------------------------

    def _report(self, options: argparse.Namespace) -> int:
        if self.folder is None or not (self.folder / SUMMARY_NAME).exists():
            if self._interrupted:
                raise KeyboardInterrupt
            raise CommandError(f"the run left no summary; logs: {self._logs()}")
        summary: dict[str, Any] = json.loads(
            (self.folder / SUMMARY_NAME).read_text(encoding="utf-8")
        )
        summary["start_to_first_image_s"] = round(self._first_image_s, 2)
        summary["processes"] = self._memory.report()
        summary["console"] = self._console_report
        summary["activity_MBq"] = run_config(self.folder).labels.get("activity_MBq")
        finish(options, summary, _summary_text(summary))
        if self._interrupted and self._hurry:
            return 128 + signal.SIGINT
        return 1 if self._failed or summary["condition"] == "incomplete" else 0


def _status(daq: ControlClient) -> dict[str, Any]:
    """Return the daq's status; keeps control of the run, which is armed and not started yet."""
    daq.call("control", action="keep")
    return daq.call("status")


def others_leave_s(took_s: float) -> float:
    """Return how long the others may take after Ctrl-C, once the daq has exited in ``took_s``."""
    least_s, most_s = HURRIED_OTHERS_S
    return max(least_s, min(took_s, most_s), HURRIED_LEAVE_S - took_s)


def last_object(log: Path) -> dict[str, Any]:
    """Return the JSON object on a log's last line; {} if there is none."""
    try:
        found = json.loads(log.read_text(encoding="utf-8", errors="replace").splitlines()[-1])
    except (OSError, IndexError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _status_line(telemetry: Telemetry) -> str:
    if telemetry.finishing > 0:
        return f"finishing the image … {100 * telemetry.finishing:.0f} %"
    if telemetry.settings is not None and not telemetry.settings.sorts_coincidences:
        return _singles_line(telemetry)
    rates = telemetry.rates
    lost = telemetry.counters.get("frames.lost", 0)
    lag = f", source {telemetry.source_lag_s:.1f} s behind" if telemetry.source_lag_s > 0.2 else ""
    return (
        f"{telemetry.state} {telemetry.detector_time_s:6.1f} s  "
        f"singles {rates.get('singles', 0) / 1e3:7.1f} k/s  "
        f"prompts {rates.get('prompts', 0) / 1e3:6.2f} k/s  "
        f"randoms {rates.get('randoms', 0) / 1e3:5.2f} k/s  lost frames {lost}{lag}"
    )


def _singles_line(telemetry: Telemetry) -> str:
    lost = telemetry.counters.get("frames.lost", 0)
    angles = [angle for angle in telemetry.module_angles_deg if angle is not None]
    where = f"  angle {angles[0]:.1f}°" if angles else ""
    windows = "  ".join(f"{name} {cps:.0f}/s" for name, cps in telemetry.window_rates.items())
    return (
        f"{telemetry.state} {telemetry.detector_time_s:6.1f} s  "
        f"singles {telemetry.rates.get('singles', 0) / 1e3:7.2f} k/s  {windows}{where}  "
        f"lost frames {lost}"
    )


def _summary_text(summary: dict[str, Any]) -> str:
    if summary["config"]["settings"]["window_ps"] == 0:
        return _singles_summary(summary)
    images, latency = summary["images"], summary["images"]["latency_ms"]
    screen = summary["console"].get("p50_screen_latency_ms")
    painted = f"; painted after {screen:.0f} ms" if screen else ""
    return (
        f"{describe_end(summary)}\n"
        f"  {summary['singles']['received']} singles, {summary['prompts']} prompts, "
        f"{summary['delayeds']} delayeds in {summary['detector_time_s']:.1f} s\n"
        f"  {images['count']} images, {images['rate_Hz']:.1f} /s, latency p50 "
        f"{latency['p50']:.0f} ms, p99 {latency['p99']:.0f} ms, "
        f"{100 * images['fraction_used']:.1f} % of prompts used{painted}"
    )


def _singles_summary(summary: dict[str, Any]) -> str:
    windows = ", ".join(f"{name} {count}" for name, count in summary["windows"].items())
    return (
        f"{describe_end(summary)}\n"
        f"  {summary['singles']['received']} singles in {summary['detector_time_s']:.1f} s\n"
        f"  in windows: {windows}\n"
        f"  {summary['images']['count']} images; pictures: projections.npz"
    )


def replay_plan(options: argparse.Namespace, folder: Path) -> ChainPlan:
    """Return the plan that sends a run's raw log through the chain again."""
    from daq.cli.options.replay_speed import speed_words
    from daq.folder.calibration_set import FILE_NAME as CALIBRATION_NAME
    from daq.folder.protocols.planned_config import with_end
    from daq.folder.run_folder import ACTIVITY_NAME, MU_MAP_NAME, run_config, run_tag
    from hw.messages.scan_protocol import RunUntil

    config = run_config(folder)
    config = with_end(config, RunUntil())  # it ends where the raw log does
    config.name, config.run_tag = options.name, run_tag(folder)
    config.labels = {**config.labels, "replay_of": folder.name}
    config.mu_map = str((folder / MU_MAP_NAME).resolve()) if config.mu_map else ""
    if config.calibration:
        config.calibration = str((folder / CALIBRATION_NAME).resolve())
    if (folder / ACTIVITY_NAME).is_file():
        activity = str((folder / ACTIVITY_NAME).resolve())
        config.live = msgspec.structs.replace(config.live, activity=activity)
    source = ["replay-source", str(folder), *speed_words(options)]
    return ChainPlan(
        config=config,
        source=source,
        runs=options.runs,
        window=not options.headless,
    )
