"""Options of the emulator, shared by `emulate` and `demo`, and the activity that yields a rate."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from daq.cli.common import CommandError, add_preset_option, positive, whole
from daq.cli.options.emulation_defaults import complete, defaults_in_words
from daq.errors import DaqError

if TYPE_CHECKING:
    from emulator.config import EmulatorConfig

PHANTOM_WORDS = (
    "brain, cylinder, heart, hot-rod, line, nema-line, nema-mouse-quality, nema-mouse-scatter, "
    "nema-point, nema-quality, nema-rat-scatter, nema-scatter, point, sphere, spheres"
)


def add_emulation_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of what to emulate, in groups."""
    _add_object(parser.add_argument_group("what is measured"))
    scanner = parser.add_argument_group("emulated scanner")
    add_preset_option(scanner)
    _add_scanner(scanner)
    _add_electronics(parser.add_argument_group("its electronics and their faults"))
    _add_computation(parser.add_argument_group("computation"))


def _add_object(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--phantom", metavar="NAME|FILE",
                       help=f"{PHANTOM_WORDS}; or a file of shapes (.toml) or of arrays (.npz), "
                            "which docs/emulator/phantoms.md describes "
                            f"({defaults_in_words('phantom')})")  # fmt: skip
    group.add_argument("--nuclide",
                       help="nuclide, or several with shares of the activity such as "
                            f"Ga-68:0.3+Lu-177:0.7 ({defaults_in_words('nuclide')})")  # fmt: skip
    group.add_argument("--activity-MBq", type=positive, metavar="A",
                       help="activity at the start, MBq "
                            f"({defaults_in_words('activity_MBq')})")  # fmt: skip
    group.add_argument("--follow", action="store_true",
                       help="take less than that where this machine cannot follow in real "
                            "time; `demo` does so unless an activity is given")  # fmt: skip
    group.add_argument("--tac", default="", metavar="FILE|MODEL",
                       help="how the activity of each region changes beside its decay: bolus "
                            "(FDG; the activity asked for is reached after an hour, or after 60 s "
                            "with bolus:full_s=60), washout:half_time_s=600,remaining=0.2, or a "
                            "CSV with the columns t_s and the phantom's regions, factors of their "
                            "activity, linear between the times")  # fmt: skip
    group.add_argument("--motion", default="", metavar="FILE|MODEL",
                       help="how the object moves: breathing:period_s=4,amplitude_mm=10, "
                            "head:interval_s=60,translation_mm=1.5,rotation_deg=1 (steps), or a "
                            "CSV with the columns t_s,x_mm,y_mm,z_mm,rx_deg,ry_deg,rz_deg, linear "
                            "between the times; two rows of one time are a step")  # fmt: skip
    group.add_argument("--no-positron-range", dest="positron_range", action="store_false",
                       help="let positrons annihilate where they are emitted")  # fmt: skip


def _add_scanner(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--serial", default="", metavar="NUMBER",
                       help="serial number of the emulated instrument: another one has other "
                            "errors of its crystals, and no factory calibration until `tomoshibi "
                            "calibrate factory` makes one (default: PRESET-0001)")  # fmt: skip
    group.add_argument("--gantry", default="", metavar="MOTION",
                       help="how a SPECT scanner moves: fixed:30, step:32x10s or turn:6deg/s "
                            "(default: a gantry stands at 0, swivels turn)")  # fmt: skip
    group.add_argument("--any-collimator", action="store_true",
                       help="let a collimator stand before lines it is not made for, to study "
                            "what comes through its septa")  # fmt: skip


def _add_electronics(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--trigger-keV", type=positive, metavar="E",
                       help="digitizer's threshold, keV "
                            f"({defaults_in_words('trigger_keV')})")  # fmt: skip
    group.add_argument("--queue-words", type=whole, default=65536, metavar="N",
                       help="events that a module can queue for one data frame; more are lost in "
                            "it (default: %(default)s)")  # fmt: skip
    group.add_argument("--fault", type=_fault, action="append", default=[], metavar="FAULT",
                       help="a fault of the electronics, such as drop=0.01 or "
                            "clock_drift@10s:module=3,ppm=1,for=5s; `tomoshibi fault list` and "
                            "docs/emulator/faults.md have them all")  # fmt: skip
    group.add_argument("--lutetium", action="store_true",
                       help="let the crystals' own 176Lu decay")  # fmt: skip
    group.add_argument("--dead-crystals", type=_crystals, default=0, metavar="N",
                       help="so many crystals read out nothing; or these, such as 17,203 (one "
                            "alone: 17,)")  # fmt: skip
    group.add_argument("--noisy-crystals", type=_crystals, default=0, metavar="N",
                       help="so many crystals, or these, trigger by themselves")  # fmt: skip
    group.add_argument("--noise-Hz", type=positive, default=20_000.0, metavar="R",
                       help="triggers/s of a noisy crystal (default: %(default)g)")  # fmt: skip


def _add_computation(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--seed", type=int, default=1, help="of all random numbers of the decays")
    group.add_argument("--fast", action="store_true",
                       help="as fast as the chain takes it, not in real time")  # fmt: skip
    group.add_argument("--threads", type=int, default=1, help="Monte Carlo threads")
    group.add_argument("--library", nargs="?", const="auto", default="", metavar="FILE",
                       help="load mode: play decays of an event library, which is made where it "
                            "is not there (default: kept in the cache folder)")  # fmt: skip
    group.add_argument("--truth", nargs="?", const="run", default="", metavar="FOLDER",
                       help="write the truth of every event, into the run's folder or into this "
                            "one; `tomoshibi truth` joins it with the run")  # fmt: skip


def _crystals(text: str) -> int | tuple[int, ...]:
    parts = text.split(",")
    try:
        numbers = tuple(int(part) for part in parts if part.strip())
    except ValueError:
        numbers = (-1,)
    if not numbers or min(numbers) < 0:
        raise argparse.ArgumentTypeError(f"{text}: a number of crystals, or crystals as 17,203")
    return numbers if len(parts) > 1 else numbers[0]


def _crystals_text(crystals: int | tuple[int, ...]) -> str:
    return str(crystals) if isinstance(crystals, int) else "".join(f"{n}," for n in crystals)


def _fault(text: str) -> str:
    from emulator.fault_kinds import FaultError, parse_fault

    try:
        parse_fault(text)
    except FaultError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def emulator_config(
    options: argparse.Namespace, *, endpoint: str = "", hits: str = ""
) -> EmulatorConfig:
    """Return the configuration described by the options, checked; raises EmulationError.

    hits : folder of the windows of firmware modules, "" without
    """
    from emulator.config import make_config

    complete(options)
    values = {
        "scanner": options.preset,
        "phantom": options.phantom,
        "nuclide": options.nuclide,
        "activity_Bq": options.activity_MBq * 1e6,
        "follow": options.follow,
        "serial": options.serial,
        "seed": options.seed,
        "pace": "fast" if options.fast else "real-time",
        "threads": options.threads,
        "endpoint": endpoint,
        "faults": {"schedule": options.fault, "seed": options.seed},
        "queue_words": options.queue_words,
        "trigger_keV": options.trigger_keV,
        "lutetium": options.lutetium,
        "dead_crystals": options.dead_crystals,
        "noisy_crystals": options.noisy_crystals,
        "noise_Hz": options.noise_Hz,
        "library": options.library,
        "truth": options.truth,
        "positron_range": options.positron_range,
        "tac": options.tac,
        "motion": options.motion,
        "gantry": options.gantry,
        "any_collimator": options.any_collimator,
        "hits": hits,
    }
    return make_config(values)


def emulation_arguments(options: argparse.Namespace) -> list[str]:
    """Return the options as a command line for the emulator's process."""
    complete(options)
    arguments = ["--preset", options.preset, "--phantom", options.phantom]
    arguments += ["--nuclide", options.nuclide, "--activity-MBq", repr(options.activity_MBq)]
    arguments += ["--follow"] if options.follow else []
    arguments += ["--seed", str(options.seed), "--threads", str(options.threads)]
    arguments += ["--serial", options.serial] if options.serial else []
    arguments += ["--trigger-keV", repr(options.trigger_keV)]
    arguments += ["--dead-crystals", _crystals_text(options.dead_crystals)]
    arguments += ["--noisy-crystals", _crystals_text(options.noisy_crystals)]
    arguments += ["--noise-Hz", repr(options.noise_Hz)]
    arguments += ["--lutetium"] if options.lutetium else []
    arguments += ["--fast"] if options.fast else []
    arguments += ["--library", options.library] if options.library else []
    arguments += ["--truth", options.truth] if options.truth else []
    arguments += [] if options.positron_range else ["--no-positron-range"]
    arguments += ["--tac", options.tac] if options.tac else []
    arguments += ["--motion", options.motion] if options.motion else []
    arguments += ["--gantry", options.gantry] if options.gantry else []
    arguments += ["--any-collimator"] if options.any_collimator else []
    arguments += ["--queue-words", str(options.queue_words)]
    for fault in options.fault:
        arguments += ["--fault", fault]
    return arguments


def activity_for_rate(options: argparse.Namespace, prompts_per_s: float) -> float:
    """Return the activity in MBq that yields a rate of prompts, found by emulation.

    A short emulation at 1 MBq gives the prompts per decay; a second one at the activity that this
    suggests takes dead time and randoms into account.

    Raises
    ------
    DaqError
        if no activity up to the emulator's bound yields the rate.
    CommandError
        for a SPECT scanner.
    """
    from hw.scanner.preset_file import load_scanner

    if load_scanner(options.preset).modality == "SPECT":
        raise CommandError(
            f"--prompts-per-s: {options.preset} has collimators and sees no pairs; give "
            "--activity-MBq (the run tells the singles per second in each window)"
        )
    activity_MBq = 1.0
    for _ in range(2):
        measured = _prompts_per_s(options, activity_MBq)
        if measured <= 0:
            raise DaqError(f"the phantom {options.phantom} yields no prompts in {options.preset}")
        activity_MBq *= prompts_per_s / measured
        if not activity_MBq < 1000:
            raise DaqError(
                f"{prompts_per_s:g} prompts/s would need {activity_MBq:.0f} MBq of "
                f"{options.phantom}: beyond what can be emulated, ask for a lower rate"
            )
    return activity_MBq


def _prompts_per_s(options: argparse.Namespace, activity_MBq: float) -> float:
    """Emulate and sort a stretch of about 60 000 decays."""
    from daq.folder.run_config import default_settings
    from daq.path.pipeline import Pipeline
    from emulator.engines.emulation import frames_of_run
    from emulator.engines.prepare import prepare
    from hw.scanner.geometry import build_geometry
    from hw.wire.protocol import FRAME_PERIOD_PS

    options.activity_MBq = activity_MBq
    config = emulator_config(options)
    instrument = prepare(config)
    period_s = FRAME_PERIOD_PS * 1e-12
    periods = max(2, round(60_000 / (activity_MBq * 1e6) / period_s))
    scanner = instrument.scanner
    pipeline = Pipeline(scanner, build_geometry(scanner), default_settings(scanner), run_tag=0)
    for frames in frames_of_run(instrument, config, periods=periods):
        pipeline.process(frames)
    pipeline.finish()
    return pipeline.counts.prompts / (periods * period_s)
