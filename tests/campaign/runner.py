"""Takes short runs, each with one to three faults at random moments, and has each one checked."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from subprocess import SubprocessError

from campaign import checker
from campaign.faults import KINDS
from campaign.faults.kind import Kind
from campaign.firmware_scene import FirmwareScene
from campaign.scene import Scene, SceneError
from daq.client.client import ClientError
from hw.machines.toolchain import missing

RUNS_A_SCENE = 6
"""Then the processes are ended, and what they leave is looked at."""

PAUSE_S = (0.0, 0.6)


@dataclass
class Injection:
    """One fault of one run, and how long it took until data were recorded again.

    recovery_s : from when it began to be undone
    since_s : from when it was injected
    """

    kind: str
    recovery_s: float | None = None
    since_s: float | None = None


@dataclass
class RunResult:
    """One run with its faults; ``told`` frames were lost, and the summary says so."""

    number: int
    faults: list[Injection]
    findings: list[str] = field(default_factory=list)
    condition: str = ""
    told: int = 0


class Campaign:
    """A sequence that follows from the seed, as far as processes let it."""

    def __init__(self, seed: int, *, kinds: Sequence[str] = (), most_faults: int = 3) -> None:
        self.seed, self.results = seed, []  # type: int, list[RunResult]
        self.not_run: dict[str, str] = {}
        self._rng, self._most = Random(seed), most_faults
        self._kinds = [KINDS[name] for name in kinds or KINDS]
        if reason := missing("native"):
            self.not_run |= {kind.name: reason for kind in self._kinds if kind.firmware}
            self._kinds = [kind for kind in self._kinds if not kind.firmware]
        self._waiting: list[Kind] = []
        self._scene: Scene | None = None
        self._in_scene = 0

    def run_for(self, seconds: float) -> None:
        """Take runs until the time is over; the last one is taken to its end."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.one_run()
        self.end_scene()

    def one_run(self) -> RunResult:
        """Take one run with the next faults, and check it."""
        result = RunResult(len(self.results), [])
        self.results.append(result)
        try:
            scene = self._present_scene()
            self._take(scene, result)
            result.findings += self._check(scene, result)
        except (SceneError, ClientError, AssertionError, OSError, SubprocessError) as error:
            result.findings.append(f"{type(error).__name__}: {error}")
        self._in_scene += 1
        _tell(result)
        other = self._scene and isinstance(self._scene, FirmwareScene) != self._next_kind().firmware
        if result.findings or other or self._in_scene >= RUNS_A_SCENE:
            self.end_scene()
        return result

    def _present_scene(self) -> Scene:
        """Where no scene stands, a new one: with firmware where the next kind needs it."""
        if self._scene is None:
            folder = Path(tempfile.mkdtemp(prefix="campaign-"))
            make = FirmwareScene if self._next_kind().firmware else Scene
            self._scene = make(folder, seed=self.seed)
            self._in_scene = 0
        return self._scene

    def _take(self, scene: Scene, result: RunResult) -> None:
        kinds = self._next_kinds(scene)
        scene.settle()
        for kind in kinds:
            if kind.before_run:
                self._inject(kind, scene, result)
        scene.begin()
        for kind in kinds:
            if not kind.before_run and not self._goes_on_after(kind, scene, result):
                break
        scene.note_promise()
        scene.finish()

    def _goes_on_after(self, kind: Kind, scene: Scene, result: RunResult) -> bool:
        time.sleep(self._rng.uniform(*PAUSE_S))
        scene.note_promise()
        began_s = time.monotonic()
        injection, undone_s = self._inject(kind, scene, result)
        if not scene.goes_on(may_end=kind.ends_run):
            return False
        now_s = time.monotonic()
        injection.recovery_s, injection.since_s = now_s - undone_s, now_s - began_s
        return True

    def _inject(self, kind: Kind, scene: Scene, result: RunResult) -> tuple[Injection, float]:
        """Return when its undoing began, too: a killed process's start is part of the recovery."""
        injection = Injection(kind.name)
        result.faults.append(injection)
        with kind.inject(scene, self._rng):
            time.sleep(self._rng.uniform(*kind.lasts_s))
            undone_s = time.monotonic()
        return injection, undone_s

    def _next_kinds(self, scene: Scene) -> list[Kind]:
        """Every kind comes once before any comes again; one that ends the run comes last."""
        chosen: list[Kind] = []
        firmware = isinstance(scene, FirmwareScene)
        for _ in range(self._rng.randint(1, self._most)):
            if self._next_kind().firmware != firmware:
                break
            kind = self._waiting.pop()
            if reason := kind.cannot(scene):
                self.not_run[kind.name] = reason
            else:
                chosen.append(kind)
        return sorted(chosen, key=lambda kind: kind.ends_run)

    def _next_kind(self) -> Kind:
        """Return the kind whose turn it is; those that need firmware come one after the other."""
        if not self._waiting:
            drawn = self._rng.sample(self._kinds, len(self._kinds))
            self._waiting = sorted(drawn, key=lambda kind: kind.firmware)
        return self._waiting[-1]

    def _check(self, scene: Scene, result: RunResult) -> list[str]:
        summary = checker.object_in(scene.run / "summary.json")
        result.condition = summary.get("condition", "")
        result.told = summary.get("frames", {}).get("lost", 0)
        found = checker.recover_where_told(scene.run)
        found += checker.check_run(
            scene.run, scene.truths(), passed=scene.tap.passed, faults=len(result.faults)
        )
        log = scene.run / "raw.tmraw"
        broken = [words for one in scene.promises if (words := one.broken_in(log))]
        found += [f"{checker.LOST}{words}" for words in broken]
        found += checker.check_replay(scene.run)
        return found + checker.check_catalogue(scene.runs) + checker.check_commands(scene.runs)

    def end_scene(self) -> None:
        """End all processes, look for what they leave, and keep the folder of a finding."""
        scene, self._scene = self._scene, None
        if scene is None:
            return
        scene.close()
        result = self.results[-1]
        left = checker.check_left_over(scene.folder)
        result.findings += left
        if left:
            _tell(result)
        if result.findings:
            kept = scene.folder.with_name(scene.folder.name + "-kept")
            with contextlib.suppress(OSError):
                shutil.copytree(scene.run, kept / "run")
            for log in scene.folder.glob("*.log"):
                shutil.copy(log, kept)
            print(f"  kept: {kept}", file=sys.stderr, flush=True)
        scene.unmount()
        shutil.rmtree(scene.folder, ignore_errors=True)


def _tell(result: RunResult) -> None:
    faults = ", ".join(
        f"{one.kind} ({one.recovery_s:.1f} s)" if one.recovery_s is not None else one.kind
        for one in result.faults
    )
    print(f"run {result.number}: {faults}: {result.condition}", file=sys.stderr, flush=True)
    for finding in result.findings:
        print(f"  FOUND {finding}", file=sys.stderr, flush=True)
