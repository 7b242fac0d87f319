"""Real processes in a folder of their own: a daq, its source, an imager where one is asked for.

The runs lie on a small disk of their own where mounting is allowed. Every wait is bounded.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from campaign.acknowledged import Promise, promise_of
from campaign.io_shim import IoShim
from campaign.small_disk import SmallDisk
from campaign.tap import Tap
from daq.client.client import ClientError, ControlClient, DisplayClient
from hw.messages.endpoints import Endpoints

WAIT_S = 90.0
LEAST_FREE_MB = 0


class SceneError(Exception):
    """Something that must happen did not: a finding, as much as one of the checker's."""


def wait_until(condition: Callable[[], bool], what: str, *, timeout_s: float = WAIT_S) -> None:
    """Wait, up to a bound; raises SceneError."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise SceneError(f"{what} did not happen within {timeout_s:.0f} s")
        time.sleep(0.05)


class Scene:
    """One system, for several runs one after the other."""

    def __init__(self, folder: Path, *, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.runs, self.truth = folder / "runs", folder / "truth"
        self.truth.mkdir()
        self.disk = SmallDisk(self.runs, image=folder / "runs.ext4")
        self.shim = IoShim(folder, under=self.runs)
        self.endpoints = Endpoints(f"ipc://{folder}/ipc")
        self.tap = Tap(folder / "tap", folder / "ipc")
        self.started: list[subprocess.Popen[bytes]] = []
        self.sources = 0
        self.run = folder
        self.promises: list[Promise] = []
        self.control: ControlClient | None = None
        self.display = DisplayClient(self.endpoints)
        self.daq = self.start_daq()
        self.source = self.start_source()

    def _start(
        self, *argv: str, at: str = "", env: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        argv = (sys.executable, "-m", "daq.cli", *argv, "--endpoint", at or self.endpoints.base)
        with (self.folder / f"{len(self.started)}.log").open("wb") as log:
            process = subprocess.Popen(
                argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=env
            )
        self.started.append(process)
        return process

    def start_daq(self) -> subprocess.Popen[bytes]:
        """Start a daq, and wait until it answers."""
        self.daq = self._start(
            "acquire", "--preset", "bench2", "--runs", str(self.runs),
            "--min-free-MB", str(LEAST_FREE_MB), env=self.shim.environment(),
        )  # fmt: skip
        self.reconnect()
        wait_until(self.answers, "the daq's first answer")
        return self.daq

    def start_second_daq(self) -> subprocess.Popen[bytes]:
        """Start a daq at the address that is taken already."""
        return self._start("acquire", "--preset", "bench2", "--runs", str(self.runs))

    def reconnect(self) -> None:
        """Leave what answers an earlier daq may still owe."""
        if self.control is not None:
            self.control.close()
        self.control = ControlClient(self.endpoints)

    def answers(self) -> bool:
        """Whether the daq answers."""
        if self.daq.poll() is not None:
            raise SceneError(f"the daq ended by itself, with status {self.daq.returncode}")
        try:
            self.call("ping", timeout_s=0.5)
        except ClientError:
            return False
        return True

    def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Give an order; raises ClientError where it is refused or not answered."""
        assert self.control is not None
        return dict(self.control.call(name, **arguments))

    def start_source(self) -> subprocess.Popen[bytes]:
        """Start an emulator; its truth goes into a folder of its own."""
        self.sources += 1
        place = self.truth / str(self.sources)
        place.mkdir()
        self.source = self._start(
            "emulate", "--preset", "bench2", "--phantom", "point", "--activity-MBq", "0.2",
            "--seed", str(self.seed + self.sources), "--truth", str(place),
            at=self.tap.base,
        )  # fmt: skip
        return self.source

    def start_spare_source(self) -> subprocess.Popen[bytes]:
        """Start a source beside the one that sends."""
        return self._start(
            "emulate", "--preset", "bench2", "--phantom", "point", "--activity-MBq", "0.2",
            at=self.tap.base,
        )  # fmt: skip

    def start_imager(self) -> subprocess.Popen[bytes]:
        """Start a live imager."""
        return self._start("imager")

    def share_of_image(self) -> float:
        """Return the share of this run's events that the newest live image has; 0 without one."""
        image = self.display.image(timeout_s=0.2)
        return image.fraction_used if image and image.run == self.run.name else 0.0

    def status(self) -> dict[str, Any]:
        """Return the daq's status, {} where it does not answer."""
        try:
            return self.call("status", timeout_s=2.0)
        except ClientError:
            return {}

    def begin(self) -> None:
        """Arm and start a run."""
        wait_until(self.has_its_sources, "its sources, and no other's")
        self.tap.forget()
        self.run = Path(self.call("arm", timeout_s=30)["run"])
        self.promises.clear()
        self.start_run()
        self.wait_for_data("the first data")

    def has_its_sources(self) -> bool:
        """Whether the daq hears the scene's sources, and none that has just been ended."""
        return len(self.status().get("sources", ())) == 1

    def start_run(self) -> None:
        """Start the armed run."""
        self.call("start", timeout_s=30)

    def note_promise(self) -> None:
        """Note what the daq now says is on the disk; the checker looks for it afterwards."""
        promise = promise_of(self.run, self.display)
        self.promises += [promise] if promise else []

    def recorded(self) -> int:
        """Return the raw log's size."""
        return sum(path.stat().st_size for path in self.run.glob("*raw.tmraw"))

    def wait_for_data(self, what: str, *, blocks: int = 8) -> float:
        """Wait until more is recorded; return how long that took in s."""
        began, size = time.monotonic(), self.recorded()
        wait_until(lambda: self.recorded() > size + blocks * 300, what)
        return time.monotonic() - began

    def goes_on(self, *, may_end: bool) -> bool:
        """Wait until data are recorded again; whether they are: a run may have ended instead.

        Raises SceneError where neither happens, or the run ended though it must not.
        """
        size, state = self.recorded(), ""

        def known() -> bool:
            nonlocal state
            state = str(self.status().get("state", ""))  # idle, too, until a source calls it back
            ended = state == "error" or (self.run / "summary.json").exists()
            return self.recorded() > size + 2000 or ended

        wait_until(known, "data after the fault, or the run's end")
        if self.recorded() > size + 2000:
            return True
        if not may_end:
            raise SceneError(f"the run ended: {state} {self.status().get('reason', '')}")
        return False

    def settle(self) -> None:
        """See to it that a daq is idle and a source there, before a run."""
        self.shim.set()
        if self.daq.poll() is not None:
            self.start_daq()
        if self.source.poll() is not None:
            self.start_source()
        wait_until(lambda: bool(self.status()), "the daq's answer")

    def finish(self) -> None:
        """Stop the run and wait until its books are closed."""
        wait_until(lambda: bool(self.status()), "an answer before the stop")
        if self.status().get("state") == "running":
            self.call("stop", timeout_s=60)
        wait_until(lambda: self.status().get("state") not in ("running", "stopping"), "the end")
        if self.status().get("state") == "error":
            self.call("reset")
        else:
            wait_until(lambda: (self.run / "summary.json").exists(), "the summary")

    def truths(self) -> list[Path]:
        """Return the truth files of the present run, of each source that sent to it."""
        head = json.loads((self.run / "run.json").read_text(encoding="utf-8"))
        name = f"{head['run_tag']:08x}.tmtruth"
        return sorted(self.truth.glob(f"*/{name}"))

    def close(self) -> None:
        """End every process as an operator would, the daq first; what does not end is killed."""
        if self.control is not None:
            self.control.close()
        self.display.close()
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.started:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        self.tap.close()

    def unmount(self) -> None:
        """Give the small file system back."""
        self.disk.give_back()
