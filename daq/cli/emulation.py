"""Options of the emulator, shared by `emulate` and `demo`, and the activity that yields a rate."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from daq.cli.common import CommandError, add_preset_option, positive
from daq.errors import DaqError

if TYPE_CHECKING:
    from emulator.config import EmulatorConfig

FAULT_NAMES = (
    "corrupt", "drop", "duplicate", "reorder", "wrong_version", "truncate", "unknown_module",
)  # fmt: skip
FAULT_WORDS = ", ".join(FAULT_NAMES)


def add_emulation_options(parser: argparse.ArgumentParser) -> None:
    """Add what the emulator emulates."""
    group = parser.add_argument_group("emulation")
    add_preset_option(parser)
    group.add_argument("--phantom", default="brain", help="phantom (default: %(default)s)")
    group.add_argument("--nuclide", default="F-18",
                       help="nuclide, or several with shares of the activity such as "
                            "Ga-68:0.3+Lu-177:0.7 (default: %(default)s)")  # fmt: skip
    group.add_argument("--activity-MBq", type=positive, default=1.0, metavar="A",
                       help="activity at the start (default: %(default)g MBq)")  # fmt: skip
    group.add_argument("--seed", type=int, default=1, help="of all random numbers")
    group.add_argument("--fast", action="store_true",
                       help="as fast as the chain takes it, not in real time")  # fmt: skip
    group.add_argument("--threads", type=int, default=1, help="Monte Carlo threads")
    group.add_argument("--fault", type=_fault, action="append", default=[], metavar="NAME=P",
                       help=f"spoil frames with probability P: {FAULT_WORDS}")  # fmt: skip
    group.add_argument("--trigger-keV", type=positive, default=100.0, metavar="E",
                       help="digitizer's threshold (default: %(default)g keV)")  # fmt: skip
    group.add_argument("--lutetium", action="store_true",
                       help="let the crystals' own 176Lu decay")  # fmt: skip
    group.add_argument("--dead-crystals", type=_crystals, default=0, metavar="N",
                       help="so many crystals read out nothing; or these, such as 17,203 (one "
                            "alone: 17,)")  # fmt: skip
    group.add_argument("--noisy-crystals", type=_crystals, default=0, metavar="N",
                       help="so many crystals, or these, trigger by themselves")  # fmt: skip
    group.add_argument("--noise-Hz", type=positive, default=20_000.0, metavar="R",
                       help="triggers/s of a noisy crystal (default: %(default)g)")  # fmt: skip


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


def _fault(text: str) -> tuple[str, float]:
    name, _, probability = text.partition("=")
    if name not in FAULT_NAMES:
        raise argparse.ArgumentTypeError(f"{text}: faults are {FAULT_WORDS}")
    return name, float(probability)


def emulator_config(options: argparse.Namespace, *, endpoint: str = "") -> EmulatorConfig:
    """Return the checked configuration that the options describe; raises CommandError."""
    import msgspec

    from emulator.config import EmulatorConfig

    values = {
        "scanner": options.preset,
        "phantom": options.phantom,
        "nuclide": options.nuclide,
        "activity_Bq": options.activity_MBq * 1e6,
        "seed": options.seed,
        "pace": "fast" if options.fast else "real-time",
        "threads": options.threads,
        "endpoint": endpoint,
        "faults": {"probability": dict(options.fault), "seed": options.seed},
        "trigger_keV": options.trigger_keV,
        "lutetium": options.lutetium,
        "dead_crystals": options.dead_crystals,
        "noisy_crystals": options.noisy_crystals,
        "noise_Hz": options.noise_Hz,
    }
    try:
        return msgspec.convert(values, EmulatorConfig)
    except msgspec.ValidationError as error:
        raise CommandError(f"emulator: {error}") from error


def emulation_arguments(options: argparse.Namespace) -> list[str]:
    """Return the options again as a command line for the emulator's process."""
    arguments = ["--preset", options.preset, "--phantom", options.phantom]
    arguments += ["--nuclide", options.nuclide, "--activity-MBq", repr(options.activity_MBq)]
    arguments += ["--seed", str(options.seed), "--threads", str(options.threads)]
    arguments += ["--trigger-keV", repr(options.trigger_keV)]
    arguments += ["--dead-crystals", _crystals_text(options.dead_crystals)]
    arguments += ["--noisy-crystals", _crystals_text(options.noisy_crystals)]
    arguments += ["--noise-Hz", repr(options.noise_Hz)]
    arguments += ["--lutetium"] if options.lutetium else []
    arguments += ["--fast"] if options.fast else []
    for name, probability in options.fault:
        arguments += ["--fault", f"{name}={probability!r}"]
    return arguments


def activity_for_rate(options: argparse.Namespace, prompts_per_s: float) -> float:
    """Return the activity in MBq that yields a rate of prompts, found by emulating it.

    A short emulation at 1 MBq gives the prompts per decay; a second one at the activity that this
    suggests takes dead time and randoms into account.

    Raises
    ------
    DaqError
        where no activity up to the emulator's bound yields the rate.
    """
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
    from daq.pipeline import Pipeline
    from daq.run_config import default_settings
    from emulator.emulation import frames_of_run
    from emulator.instrument import prepare
    from hw.geometry import build_geometry
    from hw.protocol import FRAME_PERIOD_PS

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
    return pipeline.sorter.counts.prompts / (periods * period_s)
