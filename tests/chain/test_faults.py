"""Faults of the electronics through the real chain: what was done against what was noticed.

The emulator's own account (``faults.json``) is the truth; the acquisition's counters and journal
must say the same, and the books must close.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from daq.client.client import ClientError, ControlClient
from daq.replay.sort_again import verify
from emulator.config import EmulatorConfig
from emulator.engines.emulation import rehearse
from emulator.engines.instrument import Instrument
from emulator.engines.prepare import prepare
from emulator.fault_kinds import FaultPlan
from emulator.process.service import EmulatorService
from hw.messages.source import FaultDone
from rigs.acquisition_process import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]

SETTINGS = {"scanner": "bench2", "phantom": "point", "activity_Bq": 3e5}


@pytest.fixture(scope="module")
def instrument() -> Instrument:
    """The bench with a point source, its kernels compiled."""
    prepared = prepare(EmulatorConfig(**SETTINGS))  # type: ignore[arg-type]
    rehearse(prepared)
    return prepared


@pytest.fixture
def emulator(instrument: Instrument) -> Iterator[Callable[..., None]]:
    """Start emulators in threads; all leave at the end of the test."""
    running: list[tuple[EmulatorService, threading.Thread]] = []

    def start(daq: Any, *faults: str, **settings: Any) -> None:
        config = EmulatorConfig(
            **{  # type: ignore[arg-type]
                **SETTINGS,
                "pace": "fast",
                "endpoint": daq.endpoints.base,
                "faults": FaultPlan(schedule=faults),
            }
            | settings
        )
        service = EmulatorService(config, instrument)
        thread = threading.Thread(target=service.serve)
        thread.start()
        running.append((service, thread))

    yield start
    for service, thread in running:
        service.leave()
        thread.join(10)


@dataclass(frozen=True)
class Outcome:
    """What a run left behind."""

    folder: Path
    frames: dict[str, int]
    singles: dict[str, int]
    summary: dict[str, Any]
    journal: str
    faults: list[FaultDone]

    def done(self, kind: str) -> int:
        """How often the emulator did a kind of fault."""
        return sum(fault.done for fault in self.faults if fault.kind == kind)


def outcome_of(folder: Path) -> Outcome:
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    journal = (folder / "journal.jsonl").read_text(encoding="utf-8")
    path = folder / "faults.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"faults": []}
    faults = msgspec.convert(kept["faults"], list[FaultDone])
    assert summary["conserved"] is True
    assert verify(folder).identical
    return Outcome(folder, summary["frames"], summary["singles"], summary, journal, faults)


@pytest.fixture
def run_of(acquisition: Any, emulator: Any) -> Callable[..., Outcome]:
    """Record a run of given duration with faults; return what it left."""

    def record(*faults: str, duration_s: float = 1.5, **settings: Any) -> Outcome:
        daq = acquisition("--duration", str(duration_s), "--auto")
        emulator(daq, *faults, **settings)
        assert daq.process.wait(60) == 0, daq.log.read_text()
        (folder,) = (path for path in daq.runs.iterdir() if path.is_dir())
        return outcome_of(folder)

    return record


def test_frames_spoilt_and_links_cut_are_noticed_frame_by_frame(run_of):
    spoilt = ("corrupt", "truncate", "drop", "wrong_version", "unknown_module")
    run = run_of(
        *(f"{kind}:module=0,p=0.02" for kind in (*spoilt, "duplicate", "reorder")),
        "vanished_link@0.5s:module=1,for=100ms",
        "stalled_link@1s:module=1,for=200ms",
    )
    assert all(run.done(kind) > 0 for kind in spoilt)
    assert run.frames["corrupt"] == run.done("corrupt") + run.done("truncate")
    for kind in ("wrong_version", "unknown_module", "duplicate"):
        assert run.frames[kind] == run.done(kind)
    assert run.done("vanished_link") == 19
    assert run.frames["lost"] == sum(run.done(kind) for kind in (*spoilt, "vanished_link"))
    assert 0 <= run.done("reorder") - run.frames["reordered"] <= 3  # its successor was dropped
    assert run.done("stalled_link") == 38
    assert run.frames["module_stalls"] == 0  # below the stall bound
    assert run.frames["late"] <= run.frames["reordered"]
    assert run.summary["condition"] == "tainted"
    assert "data frames corrupt" in run.journal


def test_a_link_that_stalls_beyond_the_bound_is_told_and_its_late_singles_are_counted(run_of):
    """In real time: with two links that are read in turn, a fast source's stall may be no lag.

    Much longer than the bound of 1 s: a source that a busy machine held up sends what it is behind
    with at once, and that much of the stall is none for the daq.
    """
    fault = "stalled_link@0.2s:module=1,for=5s"
    run = run_of(fault, duration_s=5.8, pace="real-time")
    assert run.frames["lost"] == 0
    assert run.frames["module_stalls"] == 1
    assert run.done("stalled_link") == 954
    assert run.frames["late"] > 0
    assert run.singles["late"] > 0
    assert "module stalls" in run.journal


def test_modules_that_lose_sync_reset_or_warm_up_are_told_by_name(run_of):
    run = run_of(
        "clock_drift@0.2s:module=0,ppm=2,for=0.5s",
        "temperature_drift@0.1s:module=1,K_per_s=5,band=2",
        "module_reset@1s:module=1,off=60ms",
    )
    assert run.frames["sync_lost"] == run.done("clock_drift") == 95
    assert "SYNC lost: module 0" in run.journal
    assert "SYNC again: module 0" in run.journal
    assert run.frames["module_resets"] == run.done("module_reset") == 1
    assert run.frames["lost"] == 0
    assert run.frames["sent"] == 2 * 287 - 11  # a module without power makes no frames
    assert run.frames["epochs"] == 3  # at 2, 4 and 6 K above
    assert "new epoch at" in run.journal


def test_slow_and_fast_clocks_smear_coincidences_and_lose_no_single(run_of):
    right = run_of(duration_s=0.8)
    for ppm in (-100, 100):
        run = run_of(f"clock_drift@100ms:module=0,ppm={ppm},for=0.7s", duration_s=0.8)
        truth = run.summary["source"][0]["truth"]
        assert run.frames["lost"] == run.frames["slips"] == run.frames["out_of_step"] == 0
        assert run.singles["lost"] == run.singles["late"] == 0
        expected = right.summary["source"][0]["truth"]
        assert truth["deposits"] == expected["deposits"]
        assert truth["emitted"] + truth["dead"] + truth["piled_up"] == pytest.approx(
            expected["emitted"] + expected["dead"] + expected["piled_up"], abs=20
        )
        assert run.summary["prompts"] < 0.4 * right.summary["prompts"]


def test_counters_that_wrap_and_a_clock_that_leaps_make_nothing_else_late(run_of):
    run = run_of(
        "counter_wrap:module=0,before=100", "clock_leap@0.8s:module=1,periods=5000,for=0.1s"
    )
    assert run.done("clock_leap") == 19
    # as many again at most: the module that judges this clock comes in bursts on a busy machine
    assert 19 <= run.frames["out_of_step"] <= 38
    assert run.frames["lost"] == run.frames["out_of_step"]
    assert run.frames["late"] == run.frames["duplicate"] == run.frames["module_resets"] == 0
    assert run.singles["late"] == run.singles["invalid"] == 0
    assert "leapt away" in run.journal


@pytest.mark.parametrize(
    ("faults", "refused_most"),
    [
        (["clock_leap@0s:module=1,periods=1000000,for=6ms"], 2),
        (
            [
                "module_reset@0.3s:module=1,off=20ms",
                "clock_leap@0.3s:module=1,periods=1000000,for=50ms",
            ],
            20,  # 10, and as many again on a busy machine
        ),
        (["module_reset@0.3s:module=0,off=100ms", "vanished_link@0.2s:module=0,for=400ms"], 0),
        (["counter_wrap:module=1,before=2147483648", "drop@0s:module=1,p=1,for=6ms"], 0),
        (["module_reset@0.3s:module=0,off=6ms", "reorder:module=0,p=1"], 0),
        (
            [
                "counter_wrap:module=1,before=2147483648",
                "module_reset@0.498s:module=1,off=0.02",
                "clock_leap@0.293s:periods=63,for=0.02s",
            ],
            0,
        ),
        (["clock_leap@1s:module=1,periods=1000000"], 191),
    ],
    ids=[
        "first frame leaps", "leap at a reset", "reset while the link is down", "first frame lost",
        "reset among swapped frames", "reset of wrapped numbers", "leap to the end",
    ],
)  # fmt: skip
def test_one_bad_clock_or_number_costs_its_frames_and_no_others(run_of, faults, refused_most):
    """Minimal forms of faults that cost a module, or all singles of all modules."""
    run = run_of(*faults, duration_s=2.0)
    assert run.frames["out_of_step"] <= refused_most
    assert run.frames["duplicate"] == 0
    assert run.frames["lost"] < 200
    small = 0.3 if "periods=63" in faults[-1] or "reorder" in faults[-1] else 0.05  # their own
    assert run.singles["late"] <= small * run.singles["received"]
    assert run.summary["prompts"] > 0.2 * run.singles["received"] / 10
    assert run.summary["condition"] == "tainted"


def test_a_module_that_is_off_by_a_period_is_named_though_all_sums_close(run_of):
    """One module of two: no coincidence at all, and the run was good."""
    run = run_of("clock_leap@0s:module=1,periods=1", duration_s=6.0, activity_Bq=1e6)
    assert run.singles["late"] < 0.01 * run.singles["received"]
    assert "has a Δt peak" in run.journal
    assert run.summary["condition"] == "tainted"


def test_noise_bursts_and_dead_crystals_are_in_the_counts_and_overflow_is_told(run_of):
    run = run_of(
        "dead_crystal:module=0,crystal=27",
        "noisy_crystal@0.2s:module=0,crystal=3,Hz=50000,for=0.5s",
        "burst@1s:module=1,times=1,Hz=2000000,for=30ms",
        queue_words=3000,
    )
    truth = run.summary["source"][0]["truth"]
    assert truth["noise"] == run.done("noisy_crystal") + run.done("burst")
    assert truth["unread"] >= run.done("dead_crystal") > 0
    assert run.done("noisy_crystal") == pytest.approx(25_000, rel=0.05)
    assert run.singles["lost_in_module"] == truth["lost"] > 0
    assert run.singles["dead"] == truth["dead"] + truth["piled_up"]
    assert "events lost in modules' queues" in run.journal


def test_faults_are_set_cleared_and_listed_while_a_run_goes_on(acquisition, emulator):
    daq = acquisition()
    emulator(daq, pace="real-time")
    wait_for_source(daq.control)
    folder = Path(daq.control.call("arm")["run"])
    daq.control.call("start")
    assert command(daq, "set", "drop:module=0", "burst@1000s:module=1")["faults"] == [
        "1 drop:module=0,p=1",
        "2 burst@1000s:module=1,times=20,Hz=0",
    ]
    assert len(command(daq, "clear", "1")["faults"]) == 1
    listed = command(daq, "list")
    assert len(listed["faults"]) == 1
    assert "clock_drift" in listed["kinds"]
    with pytest.raises(ClientError, match=r"no module 9, the scanner has 0 to 1"):
        daq.control.call("fault", action="set", text="drop:module=9")
    daq.control.call("stop", timeout_s=20)
    run = outcome_of(folder)
    assert [fault.kind for fault in run.faults] == ["drop"]
    assert run.frames["lost"] == run.done("drop") > 0
    assert "fault set drop:module=0, on purpose" in run.journal
    assert "fault set drop:module=9 refused" in run.journal
    assert "was done on purpose: drop" in run.journal


def test_faults_without_a_source_are_refused_with_the_remedy(acquisition):
    daq = acquisition()
    with pytest.raises(ClientError, match="tomoshibi emulate"):
        daq.control.call("fault", action="set", text="drop")
    with pytest.raises(ClientError, match="set, clear, list"):
        daq.control.call("fault", action="break")


def test_a_source_that_knows_no_faults_is_told_of(acquisition, source):
    daq = acquisition()
    source(daq)
    with pytest.raises(ClientError, match="did not answer"):
        daq.control.call("fault", action="list")


def wait_for_source(control: ControlClient) -> None:
    wait_until(lambda: bool(control.call("status")["sources"]), "the source's Hello")


def command(daq: Any, action: str, *faults: str) -> dict[str, Any]:
    """Run ``tomoshibi fault`` as a person would."""
    argv = [sys.executable, "-m", "daq.cli", "fault", action, *faults, "--json"]
    argv += ["--endpoint", daq.endpoints.base]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
