"""The planned runs, made with the emulator: its frames go straight into a run, without processes.

The run folder is as the acquisition writes it, calibrated with the factory's set; there is no live
image. A run that is there already, complete, is kept: an interrupted campaign goes on where it was.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from daq.cli.acceptance.asked_runs import Asked, AskedRun
from daq.cli.acceptance.runs_to_take import PARTS, PlannedRun
from daq.cli.common import CommandError, make_folder
from daq.cli.options.phantom_map import write_mu_map

if TYPE_CHECKING:
    from emulator.detector.truth_file import TruthWriter

Progress = Callable[[float, float], None]


def emulated(
    standard: str, planned: list[PlannedRun], *, preset: str, runs: Path, threads: int,
    tell: Callable[[str], None],
) -> Asked:  # fmt: skip
    """Make the runs that are missing; return all of them by part.

    Parameters
    ----------
    standard : whose parts the runs are for, a key of ``PARTS``
    planned : all runs of the plan
    preset : name of the scanner's preset
    runs : the folder for them, made if it is missing
    threads : of the emulator
    tell : is called with what is being done

    Raises
    ------
    CommandError
        if a folder is there that holds no complete run.
    """
    from daq.cli.progress import ProgressLine

    make_folder(runs)
    for number, one in enumerate(planned, 1):
        words = f"{number}/{len(planned)} {one.name}"
        if (runs / one.name / "summary.json").is_file():
            tell(f"{words}: is there")
            continue
        if (runs / one.name).exists():
            raise CommandError(
                f"{runs / one.name} holds a run that was not finished: move it away and start again"
            )
        progress = ProgressLine(words)
        emulate_run(one, preset=preset, runs=runs, seed=number, threads=threads, progress=progress)
        progress.done(f"{words}: {one.phantom}, {one.activity_MBq:g} MBq")
    return {
        part: [AskedRun(runs / one.name) for one in planned if part in one.parts]
        for part in PARTS[standard]
    }


def emulate_run(
    one: PlannedRun, *, preset: str, runs: Path, seed: int = 1, threads: int = 1,
    truth: bool = False, progress: Progress = lambda done, total: None,
) -> Path:  # fmt: skip
    """Make one run; return its folder.

    Parameters
    ----------
    one : the run of the plan
    preset : name of the scanner's preset
    runs : the folder in which the run's own is made
    seed : of the random numbers
    threads : of the emulator
    truth : write the truth of every event beside it, for ``tomoshibi truth``
    progress : is told periods done and all of them

    Raises
    ------
    PhantomError, EmulationError
        if it cannot be emulated; no folder is made then.
    """
    from daq.folder.run_config import FACTORY, RunConfig, default_settings
    from daq.service.own_calibration import calibrated
    from daq.service.run import Run
    from emulator.config import make_config
    from emulator.engines.emulation import frames_of_run
    from emulator.engines.prepare import prepare
    from hw.scanner.preset_file import scanner_to_toml_text
    from hw.scanner.serial import serial_of
    from hw.wire.protocol import FRAME_PERIOD_PS

    emulation = make_config(
        {"scanner": preset, "phantom": one.phantom, "nuclide": one.nuclide, "seed": seed,
         "activity_Bq": one.activity_MBq * 1e6, "threads": threads, "pace": "fast"}
    )  # fmt: skip
    instrument = prepare(emulation)
    scanner = instrument.scanner
    labels = {"scanner": scanner.name, "phantom": one.phantom, "nuclide": one.nuclide,
              "activity_MBq": one.activity_MBq, "seed": seed, "source": "emulator"}  # fmt: skip
    periods = max(2, round(one.duration_s * 1e12 / FRAME_PERIOD_PS))
    with tempfile.TemporaryDirectory(prefix="tomoshibi-") as scratch:
        config = RunConfig(
            scanner_toml=scanner_to_toml_text(preset), settings=default_settings(scanner),
            name=one.name, duration_s=one.duration_s, calibration=FACTORY, labels=labels,
            mu_map=str(write_mu_map(one.phantom, scanner, Path(scratch) / "mu_map.npz")),
        )  # fmt: skip
        run = Run(calibrated(config, serial_of("", scanner)), runs)
    writer = _truth_writer(run.folder, run.run_tag) if truth else None
    run.start()
    frames = frames_of_run(
        instrument, emulation, periods=periods, run_tag=run.run_tag, truth=writer
    )
    for number, made in enumerate(frames, 1):
        run.process(made)
        progress(number, periods)
    if writer is not None:
        writer.close({})
    run.finish()
    run.write_summary()
    return run.folder


def _truth_writer(folder: Path, run_tag: int) -> TruthWriter:
    from emulator.detector.truth_file import TruthWriter
    from hw.wire.truth_layout import FILE_NAME

    return TruthWriter(folder / FILE_NAME, {"run_tag": run_tag})
