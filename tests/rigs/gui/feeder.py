"""A stand-in for daq and imager: real sockets, made-up but plausible numbers.

The console's tests run it in a thread; by hand it runs as a process: ``python
tests/rigs/gui/feeder.py ipc:///tmp/feeder --scenario trouble --seconds 60``
"""

from __future__ import annotations

import argparse
import functools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import zmq

from hw.messages.codec import decode_as, encode
from hw.messages.commands import Command, Reply
from hw.messages.corrections import PET_NAMES
from hw.messages.counters import COUNTERS, harm_of
from hw.messages.endpoints import Endpoints
from hw.messages.patient_position import UNKNOWN, PatientPosition
from hw.messages.pictures import DynamicFrame, ImageMessage, Projections
from hw.messages.scan_protocol import RunUntil
from hw.messages.sort_settings import EnergyWindow, SortSettings
from hw.messages.telemetry import (
    Alarm,
    Interruption,
    JournalEntry,
    JournalLine,
    StartCheck,
    Telemetry,
)
from hw.physics.energy_windows import spect_windows

RINGS, SECTORS = 3, 16
SHAPE, VOXEL_MM = (110, 110, 78), (2.0, 2.0, 2.0)
SETTINGS = SortSettings(lld_keV=350, uld_keV=650, window_ps=5000, delay_ps=500_000)
SPECT = SortSettings(
    lld_keV=425,
    uld_keV=650,
    window_ps=4500,
    delay_ps=100_000,
    delay_windows=4,
    delay_sides="two",
    policy="TakeWinnerOfGoods",
    min_sector_difference=4,
    triples=True,
    windows=(
        *spect_windows("Lu-177", scatter_fraction=0.06),
        EnergyWindow(name="front", lld_keV=400, uld_keV=600, kind="coincidence", modules=(0, 1)),
    ),
)


def refused(command: int, why: str | JournalLine) -> Reply:
    """Return a refusal in words, or by a message of the catalogue."""
    line = why if isinstance(why, JournalLine) else JournalLine("info", why)
    return Reply(
        id=command, status="failed", reason=line.text, reason_id=line.id, reason_values=line.values
    )


ALL_THAT_CAN_BE_LOST = {name: 123_456 for name in COUNTERS if harm_of(name) == "loss"}

NEXT_STATE = {"arm": "armed", "start": "running", "stop": "closed", "reset": "idle"}


@dataclass
class Script:
    """What the feeder publishes; tests change it while it runs."""

    state: str = "running"
    reason: str = ""
    run: str = "2026-11-21_brain_01"
    folder: str = ""
    duration_s: float = 300.0
    condition: str = "good"
    losses: dict[str, int] = field(default_factory=dict)
    module_states: dict[int, str] = field(default_factory=dict)
    silences: dict[str, float] = field(default_factory=dict)
    interruptions: list[Interruption] = field(default_factory=list)
    position: PatientPosition = UNKNOWN
    checks: list[StartCheck] = field(default_factory=list)
    protocol: str = ""
    orbit: str = ""
    until: RunUntil = field(default_factory=RunUntil)
    counted: int = 0
    noise_percent: float = 0.0
    control: str = ""
    control_asked: str = ""
    silent: bool = False
    no_images: bool = False
    answers: bool = True
    refuse: str | JournalLine = ""
    final: bool = False
    fraction_used: float = 1.0
    disk_free_GB: float = 214.0
    source_lag_s: float = 0.02
    prompts_per_s: float = 6200.0
    settings: SortSettings | None = SETTINGS
    calibration: str = "brain-2026-11@5f1c09ab"
    randoms: dict[str, float] | None = None
    randoms_alarm: bool = False
    module_live: dict[int, float] = field(default_factory=dict)
    pair_live: float = 0.9642
    image: np.ndarray | None = None
    image_run: str = ""
    suv_per_unit: float = 0.0
    window: str = "grow"
    frames: int = 0
    raw_telemetry: bytes = b""
    projections: Callable[[Feeder], Projections] | None = None
    rings: int = RINGS
    modules: int = RINGS * SECTORS
    angles_deg: list[float | None] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    journal: list[tuple[str, str]] = field(
        default_factory=lambda: [
            ("info", "armed: caremibrain, 350–650 keV, τ 5 ns, delay 500 ns"),
            ("info", "run started, source emulator, 48 modules"),
            ("info", "first image after 1.3 s"),
        ]
    )


def brain(rng: np.random.Generator, events: float) -> np.ndarray:
    """Return a head-like image in kBq/mL whose noise falls with the number of events."""
    axes = [(np.arange(n) - 0.5 * (n - 1)) * mm for n, mm in zip(SHAPE, VOXEL_MM, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    shell = (x / 72) ** 2 + (y / 90) ** 2 + (z / 70) ** 2
    folds = 0.5 + 0.5 * np.sin(x / 7 + 2 * np.sin(y / 16)) * np.cos(y / 8 + z / 13)
    image = np.where(shell < 1, 2.0 + 1.2 * folds, 0.0)
    image = np.where((shell < 1) & (shell > 0.72), 6.0 + 2.5 * folds, image)
    for sign in (-1, 1):
        deep = ((x - sign * 22) / 11) ** 2 + ((y - 8) / 18) ** 2 + (z / 14) ** 2
        image = np.where(deep < 1, 8.5, image)
    image = np.where((np.abs(x) / 9) ** 2 + ((y + 6) / 22) ** 2 + (z / 12) ** 2 < 1, 0.8, image)
    noise = rng.gamma(max(2.0, events / 6e4), size=SHAPE)
    return np.asarray(image * noise / noise.mean(), dtype=np.float32)


@functools.cache
def brains() -> tuple[np.ndarray, ...]:
    """Return the images that every feeder cycles through; made once, in half a second."""
    rng = np.random.default_rng(7)
    return tuple(brain(rng, 3e5) for _ in range(6))


def spectrum(singles: float, rng: np.random.Generator) -> np.ndarray:
    """Return a 511 keV spectrum with 15 % resolution, Compton continuum and back-scatter."""
    energy = (np.arange(256) + 0.5) * 4.0
    peak = np.exp(-0.5 * ((energy - 511) / (0.15 * 511 / 2.355)) ** 2)
    edge = 1 / (1 + np.exp((energy - 345) / 24))
    shape = peak + 0.62 * edge + 0.4 * np.exp(-0.5 * ((energy - 175) / 38) ** 2)
    shape *= 1 / (1 + np.exp(-(energy - 70) / 7))
    return rng.poisson(singles * shape / shape.sum()).astype("<u4")


def timing(prompts: float, randoms: float, rng: np.random.Generator) -> tuple[bytes, bytes]:
    """Return Δt histograms of prompts and delayeds, 201 bins of 100 ps."""
    at = (np.arange(201) - 100) * 100.0
    inside = np.abs(at) <= 5000
    peak = np.exp(-0.5 * (at / 640) ** 2)
    trues = max(0.0, prompts - randoms) * peak / peak.sum()
    flat = randoms * inside / inside.sum()
    return (
        rng.poisson(trues + flat).astype("<u4").tobytes(),
        rng.poisson(flat).astype("<u4").tobytes(),
    )


class Feeder:
    """Publishes telemetry at 20 Hz and images at 5 Hz, and answers commands."""

    def __init__(self, endpoints: Endpoints, script: Script | None = None, seed: int = 7) -> None:
        self.script = script or Script()
        self.commands: list[Command] = []
        self._endpoints = endpoints
        self._rng = np.random.default_rng(seed)
        self._leave = threading.Event()
        self._bound = threading.Event()
        self._began_s = time.monotonic()
        self._images = 0
        self._brains = brains() if self.script.image is None else ()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Feeder:
        self._thread.start()
        assert self._bound.wait(5), "the feeder could not bind"
        return self

    def __exit__(self, *_: object) -> None:
        self._leave.set()
        self._thread.join(5)

    def _work(self) -> None:
        with zmq.Context() as context:
            control = context.socket(zmq.ROUTER)
            telemetry, images = context.socket(zmq.PUB), context.socket(zmq.PUB)
            projections = context.socket(zmq.PUB)
            for socket, plane in (
                (control, "control"),
                (telemetry, "telemetry"),
                (images, "images"),
                (projections, "projections"),
            ):
                socket.setsockopt(zmq.LINGER, 0)
                socket.bind(self._endpoints.of(plane))
            self._bound.set()
            tick = 0
            while not self._leave.wait(0.05):
                self._answer(control)
                if self.script.silent:
                    continue
                telemetry.send(self.script.raw_telemetry or encode(self.telemetry()))
                if tick % 4 == 0 and not self.script.no_images:
                    images.send(encode(self.image()))
                if tick % 4 == 0 and self.script.projections is not None:
                    projections.send(encode(self.script.projections(self)))
                tick += 1
            for socket in (control, telemetry, images, projections):
                socket.close()

    def _answer(self, control: zmq.Socket[bytes]) -> None:
        while control.poll(0):
            who, data = control.recv_multipart()
            command = decode_as(Command, data)
            self.commands.append(command)
            if not self.script.answers:
                continue
            if self.script.refuse:
                reply = refused(command.id, self.script.refuse)
            else:
                self.script.state = NEXT_STATE.get(command.name, self.script.state)
                reply = Reply(id=command.id, status="done")
            control.send_multipart([who, encode(reply)])

    @property
    def elapsed_s(self) -> float:
        """Seconds since the feeder was created, plus a head start so that plots are filled."""
        return time.monotonic() - self._began_s + 42.0

    def telemetry(self) -> Telemetry:
        """Return telemetry according to the script."""
        script, rng = self.script, self._rng
        flows = script.state in ("running", "stopping")
        elapsed_s = self.elapsed_s if script.run else 0.0
        prompts_per_s = script.prompts_per_s * (1 + 0.02 * np.sin(elapsed_s / 9))
        prompts = rng.normal(prompts_per_s, 60)
        randoms = rng.normal(0.11 * prompts_per_s, 14)
        rates = {
            "singles": rng.normal(31 * prompts_per_s, 400),
            "accepted": rng.normal(21 * prompts_per_s, 350),
            "prompts": prompts,
            "randoms": randoms,
            "trues": prompts - randoms,
        }
        total = script.prompts_per_s * elapsed_s
        prompt_times, delayed_times = timing(total, 0.11 * total, rng)
        states = [script.module_states.get(m, "live") for m in range(script.modules)]
        per_module = rng.normal(31 * prompts_per_s / 48, 60, size=script.modules)
        if script.rings == RINGS:
            per_module *= 1 - 0.12 * np.abs(np.repeat([-1, 0, 1], SECTORS))
        return Telemetry(
            state=script.state,
            reason=script.reason,
            run=script.run,
            folder=script.folder or f"/data/{script.run}",
            scanner="caremibrain",
            scanner_title="CareMiBrain (model)",
            source="emulator",
            elapsed_s=elapsed_s,
            detector_time_s=elapsed_s,
            duration_s=script.duration_s,
            settings=script.settings,
            rates={k: float(v) if flows else 0.0 for k, v in rates.items()},
            counters=self._counters(elapsed_s),
            spectrum=spectrum(31 * total, rng).tobytes(),
            spectrum_bin_keV=4.0,
            timing=prompt_times,
            timing_delayed=delayed_times,
            timing_bin_ps=100.0,
            module_rates=[
                float(r) if s == "live" and flows else 0.0
                for r, s in zip(per_module, states, strict=True)
            ],
            module_states=states,
            silent=script.silences,
            interruptions=script.interruptions,
            patient_position=script.position,
            checks=script.checks,
            protocol=script.protocol,
            orbit=script.orbit,
            until=script.until,
            counted=script.counted,
            noise_percent=script.noise_percent,
            control=script.control,
            control_asked=script.control_asked,
            rings=script.rings,
            module_angles_deg=script.angles_deg,
            alarms=script.alarms,
            journal=[
                JournalEntry(
                    number=n, wall=f"2026-11-21T02:5{n % 10}:0{n % 7}Z", severity=s, text=t
                )
                for n, (s, t) in enumerate(script.journal)
            ],
            wall_ns=time.monotonic_ns(),
            source_lag_s=script.source_lag_s,
            disk_free_GB=script.disk_free_GB,
            condition=script.condition,
            buffers={"singles_held": 3120.0},
            randoms=self._randoms(randoms) if script.randoms is None else script.randoms,
            randoms_alarm=script.randoms_alarm,
            window_rates=self._window_rates(),
            module_live=[self._module_live(m, s) for m, s in enumerate(states)],
            pair_live=script.pair_live,
            calibration=script.calibration,
        )

    def _randoms(self, delayed_cps: float) -> dict[str, float]:
        singles_cps = delayed_cps / 1.0123
        ratio = {"ratio": 1.0123, "ratio_sigma": 0.0081}
        return {"delayed_cps": delayed_cps, "singles_cps": singles_cps} | ratio

    def _window_rates(self) -> dict[str, float]:
        settings = self.script.settings
        windows = settings.singles_windows if settings else ()
        wide = {window.name: window.uld_keV - window.lld_keV for window in windows}
        return {name: 240.0 * keV for name, keV in wide.items()}

    def _module_live(self, module: int, state: str) -> float:
        if state in ("stalled", "silent"):
            return 0.0
        usual = 0.985 - 0.004 * (module % 3) if module // SECTORS == 1 else 0.992
        return self.script.module_live.get(module, usual)

    def _counters(self, elapsed_s: float) -> dict[str, int]:
        total = int(self.script.prompts_per_s * elapsed_s)
        frames = int(elapsed_s / 0.00524288) * RINGS * SECTORS
        counters = {
            "frames.sent": frames,
            "frames.received": frames,
            "frames.lost": 0,
            "frames.corrupt": 0,
            "frames.late": 0,
            "singles.received": 31 * total,
            "singles.accepted": 21 * total,
            "singles.out_of_window": 10 * total,
            "singles.late": 0,
            "singles.invalid": 0,
            "prompts": total,
            "delayeds": int(0.11 * total),
            "multiples": int(0.004 * total),
        }
        return counters | self.script.losses

    def image(self) -> ImageMessage:
        """Return the next live image."""
        script = self.script
        self._images += 1
        events = script.prompts_per_s * self.elapsed_s
        data = self._brains[self._images % 6] if script.image is None else script.image
        now_ns = time.monotonic_ns()
        return ImageMessage(
            run=script.image_run or script.run,
            sequence=self._images,
            shape=data.shape,
            voxel_mm=VOXEL_MM,
            image=np.ascontiguousarray(data, dtype=np.float32).tobytes(),
            unit="kBq/mL (a made-up image)",
            detector_time_s=self.elapsed_s - 0.16,
            event_wall_ns=now_ns - 163_000_000,
            published_wall_ns=now_ns,
            prompts_used=int(events),
            delayeds_used=int(0.11 * events),
            fraction_used=script.fraction_used,
            corrections={name: name in ("attenuation", "randoms") for name in PET_NAMES},
            how={"attenuation": "the run's µ map", "scatter": "the image has no µ map"},
            noise=0.17,
            rate_Hz=5.0,
            final=script.final,
            suv_per_unit=script.suv_per_unit,
            window=script.window,
            window_s=60.0,
            prompts_in_window=int(events),
            frames=[dynamic_frame(number) for number in range(script.frames)],
        )


def dynamic_frame(number: int) -> DynamicFrame:
    """Return a 10 s frame of a ball with falling activity."""
    x, y, z = np.mgrid[-7:8, -7:8, -5:6]
    ball = np.where(x**2 + y**2 + z**2 < 20, 60_000 / (1 + number), 0).astype("<u2")
    return DynamicFrame(
        number=number,
        begin_s=10.0 * number,
        end_s=10.0 * (number + 1),
        shape=ball.shape,
        voxel_mm=(4.0, 4.0, 4.0),
        scale=1e-3,
        image=ball.tobytes(),
        prompts=50_000,
        complete=True,
    )


def projections(feeder: Feeder) -> Projections:
    """Return projections of a hot ball in each of the run's windows, for the script's modules."""
    script = feeder.script
    assert script.settings is not None
    names = [window.name for window in script.settings.singles_windows]
    n_v, n_u = (48, 64) if script.modules == 1 else (64, 16)
    pitch_mm = (4.0, 4.0) if script.modules == 1 else (2.46, 2.46)
    v, u = np.mgrid[:n_v, :n_u]
    ball = np.exp(-((u - 0.4 * n_u) ** 2 + (v - 0.7 * n_v) ** 2) / (0.02 * n_u * n_v))
    rng = np.random.default_rng(4)
    shape = (len(names), script.modules, n_v, n_u)
    weights = np.array([1.0 + 4 * ("low" not in n and "high" not in n) for n in names])
    expected = weights[:, None, None, None] * (0.2 + ball)[None, None] * np.ones(shape)
    whole, recent = rng.poisson(8 * expected), rng.poisson(expected)
    return Projections(
        run=script.run,
        sequence=1,
        windows=names,
        modules=script.modules,
        n_u=n_u,
        n_v=n_v,
        pitch_mm=pitch_mm,
        counts=whole.astype("<u4").tobytes(),
        recent=recent.astype("<u4").tobytes(),
        detector_time_s=feeder.elapsed_s,
        recent_s=5.2,
        angles_deg=script.angles_deg,
        published_wall_ns=time.monotonic_ns(),
        final=script.final,
    )


def single_photons(nuclide: str, modules: int, angles_deg: list[float | None]) -> Script:
    """Return the script of a SPECT run."""
    settings = SortSettings(
        lld_keV=60, uld_keV=400, window_ps=0, delay_ps=0, min_sector_difference=0,
        windows=spect_windows(nuclide),
    )  # fmt: skip
    return Script(
        settings=settings,
        randoms={},
        no_images=True,
        rings=1,
        modules=modules,
        angles_deg=angles_deg,
        projections=projections,
        pair_live=0.0,
        journal=[("info", "armed: single photons")],
    )


WALL = "2026-11-23T03:00:00.000+00:00"
ALARMS = [
    Alarm(
        number=4, id="source.lost", values={"kind": "emulator"}, priority="high", stands=True,
        text="source lost: emulator has fallen silent", first_wall=WALL, last_wall=WALL,
        first_out=True,
    ),
    Alarm(
        number=5, id="data.harmed", count=1204, priority="medium", first_wall=WALL, last_wall=WALL,
        values={"count": "37", "what": "data frames lost", "total": "20114"},
        text="37 data frames lost (20114 in this run)", answered_by="a technologist",
    ),
]  # fmt: skip


def trouble() -> Script:
    """Return a script in which every visible fault occurs."""
    return Script(
        condition="tainted",
        losses={"frames.lost": 37, "singles.lost": 20114, "singles.late": 3, "frames.reordered": 2},
        module_states={5: "stalled", 21: "silent", 40: "ended"},
        fraction_used=0.62,
        disk_free_GB=6.3,
        source_lag_s=1.4,
        randoms={
            "delayed_cps": 812.0,
            "singles_cps": 655.0,
            "ratio": 1.2397,
            "ratio_sigma": 0.0114,
        },
        randoms_alarm=True,
        pair_live=0.9138,
        module_live={7: 0.41},
        journal=[
            ("info", "armed: caremibrain, 350–650 keV, τ 5 ns, delay 500 ns"),
            ("info", "run started, source emulator, 48 modules"),
            ("warning", "module 5 (ring 0, sector 5) stalled: no frame for 1.0 s"),
            ("alarm", "37 frames of module 21 lost (20 114 singles): gap after sequence 8123"),
            ("info", "module 5 is live again"),
        ],
        alarms=ALARMS,
    )


SCENARIOS = {
    "good": Script,
    "trouble": trouble,
    "error": lambda: Script(
        state="error",
        reason="disk full: raw log could not be extended (/data, 0 bytes free)",
        condition="incomplete",
        disk_free_GB=0.0,
    ),
    "spect": lambda: Script(settings=SPECT),
    "head": lambda: single_photons("Lu-177", 1, [123.4]),
    "columns": lambda: single_photons("Tc-99m", 9, [float(10 * k - 40) for k in range(9)]),
    "silences": lambda: Script(
        silences={
            "source emulator": 3.0,
            "data": 2.4,
            "imager": 5.1,
            "module 7": 9.0,
            "12 modules": 1.2,
        },
    ),
    "idle": lambda: Script(
        state="idle",
        run="",
        settings=None,
        calibration="none",
        randoms={},
        no_images=True,
        module_states=dict.fromkeys(range(48), "silent"),
    ),
    "closed": lambda: Script(
        state="closed", final=True, module_states=dict.fromkeys(range(48), "ended")
    ),
}


def main() -> None:
    """Feed for a while."""
    parser = argparse.ArgumentParser()
    parser.add_argument("base")
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), default="good")
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    with Feeder(Endpoints(options.base), SCENARIOS[options.scenario]()):
        time.sleep(options.seconds)


if __name__ == "__main__":
    main()
