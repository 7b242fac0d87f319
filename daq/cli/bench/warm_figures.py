"""Five figures that show whether a build became slower, each of a piece of work repeated warm.

They compare two builds on one machine (daq/cli/bench/compare.py), so each is small, always the same
work, on one core (on a shared machine, how long two threads wait for each other is chance), and
uses no network and no disk (if there is memory for the logs).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from daq.cli.bench.measuring import DURATION

SINGLES = 2_000_000
LINES = 100_000
PERIODS = 8
PROMPTS, DELAYEDS = 10_000, 3_000
BATCH_PS = 10**11
MEMORY = Path("/dev/shm")
"""Logs are written there, because a disk's variations are not the build's."""

Work = Callable[[], object]


@dataclass(frozen=True)
class WarmFigure:
    """prepare : makes the workload and returns the work; amount : work of a pass, in ``unit`` times
    s.
    """

    what: str
    unit: str
    amount: float
    prepare: Callable[[], Work]

    def of_seconds(self, seconds: float) -> float:
        """Return the figure for a pass of that many seconds: a rate, or milliseconds."""
        return seconds * 1e3 if self.unit == DURATION else self.amount / seconds


def _event_path() -> Work:
    from daq.cli.bench.sorting_speed import Chain
    from daq.cli.bench.sorting_workload import Workload, disordered

    workload = Workload.of_size(SINGLES)
    mixed = disordered(workload.singles)
    return lambda: Chain(workload).run(mixed)


def _full_chain() -> Work:
    from daq.cli.bench.sorting_speed import frames_to_logs
    from daq.cli.bench.sorting_workload import Workload, frames_of

    workload = Workload.of_size(SINGLES // 2)
    frames = frames_of(workload)

    def work() -> int:
        memory = MEMORY if MEMORY.is_dir() else None
        with tempfile.TemporaryDirectory(prefix="tomoshibi-bench-", dir=memory) as folder:
            return frames_to_logs(workload, frames, Path(folder))

    return work


def _projector() -> Work:
    from daq.cli.bench.projector_workload import ring_workload
    from recon.core.events import EventList
    from recon.projector.operator import Projector

    workload = ring_workload(LINES)
    projector = Projector(workload.grid, tof=workload.tof, threads=1)
    events = EventList.plain(workload.lors)
    return lambda: projector.em(workload.image, events)


def _emulator() -> Work:
    from daq.cli.bench.emulator_speed import MONTE_CARLO_BQ, one_core
    from emulator.config import EmulatorConfig
    from emulator.engines.prepare import prepare

    instrument = prepare(EmulatorConfig(pace="fast"))
    return lambda: one_core(instrument, MONTE_CARLO_BQ, PERIODS)


def _live_latency() -> Work:
    """A batch as it comes from the daq, decoded and imaged with the smallest sample of older
    events, and the image's message: the least latency of an image. Waits between processes are not
    included.
    """
    from coincidence.events import COINCIDENCE
    from daq.path.pipeline import pairs_in_view
    from hw.messages.codec import decode_as, encode
    from hw.messages.imager import CoincidenceBatch, RunBegin
    from hw.messages.sort_settings import SortSettings
    from hw.scanner.preset_file import load_scanner, scanner_to_toml_text
    from recon.core.scanner_tables import ReconSystem
    from recon.imager.pet_run import PetLiveRun
    from recon.live.imager import LiveImager
    from recon.live.lines import CrystalLines

    system = ReconSystem.of(load_scanner("caremibrain"))
    rng = np.random.default_rng(5)
    a, b = rng.integers(0, system.scanner.n_crystals, (2, 8 * (PROMPTS + DELAYEDS)))
    module = system.geometry.crystal_module
    seen = np.flatnonzero(pairs_in_view(system.scanner, 1)[module[a], module[b]])
    records = np.zeros(PROMPTS + DELAYEDS, COINCIDENCE)
    chosen = seen[: len(records)]
    records["crystal_a"], records["crystal_b"] = a[chosen], b[chosen]
    records["energy_a"] = records["energy_b"] = 5110
    prompts, delayeds = records[:PROMPTS], records[PROMPTS:]
    settings = SortSettings(lld_keV=350, uld_keV=650, window_ps=5000, delay_ps=500_000)
    begin = RunBegin(run="bench", folder="", scanner_toml=scanner_to_toml_text("caremibrain"),
                     settings=settings)  # fmt: skip
    sensitivity = np.full(system.grid.shape, 0.01, np.float32)
    imager = LiveImager(CrystalLines(system), sensitivity, clock=time.perf_counter)
    run, told = PetLiveRun(begin, imager, clock=time.perf_counter), [0]

    def work() -> bytes:
        sequence, told[0] = told[0], told[0] + 1
        times_ps = sequence * BATCH_PS + np.arange(PROMPTS) * (BATCH_PS // PROMPTS)
        prompts["time_ps"], delayeds["time_ps"] = times_ps, times_ps[:DELAYEDS]
        header = encode(CoincidenceBatch(
            run="bench", sequence=sequence, prompts=PROMPTS, delayeds=DELAYEDS,
            prompts_before=sequence * PROMPTS, delayeds_before=sequence * DELAYEDS,
            watermark_ps=(sequence + 1) * BATCH_PS, event_wall_ns=time.monotonic_ns(),
        ))  # fmt: skip
        parts = [prompts.tobytes(), delayeds.tobytes()]
        run.take(decode_as(CoincidenceBatch, header), parts)
        image = run.image(budget_s=0.0, catch_up_s=60.0)
        assert image is not None
        return encode(image)

    return work


FIGURES = {
    "event path": WarmFigure(
        "disordered singles to prompts and delayeds, one core",
        "M singles/s", SINGLES / 1e6, _event_path,
    ),
    "full chain": WarmFigure(
        "data frames to raw log and list-mode log, one core",
        "M singles/s", SINGLES / 2e6, _full_chain,
    ),
    "projector": WarmFigure(
        "one EM pass with time of flight, one core",
        "M lines/s", LINES / 1e6, _projector,
    ),
    "emulator": WarmFigure(
        "full Monte Carlo of the brain to frames, one core",
        "M decays/s", PERIODS * 5.24288e-3, _emulator,
    ),
    "live latency": WarmFigure(
        f"a batch of {PROMPTS:,} prompts to the image's message", DURATION, 1.0, _live_latency
    ),
}  # fmt: skip
