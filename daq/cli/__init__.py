"""The command line: the one place that may import every room, each only when its command runs.

Nearly everything is imported within ``main``, so that Ctrl-C gives a one-word message from the very
start.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from daq.cli.parser import Parser

    Handler = Callable[[int, FrameType | None], Any] | signal.Handlers

GROUPS = {
    "a running system": {
        "demo": "the whole chain, live: emulator, acquisition, image, console",
        "acquire": "run the acquisition service",
        "console": "open the live console on a running system",
        "imager": "run the live imager",
        "emulate": "run the detector emulator as a source of data",
        "link": "hold the serial lines of modules that run our firmware",
        "systems": "list the systems that run here, and their addresses",
        "tap": "follow a running system's prompts, delayeds, singles, triples or angles",
        "mark": "set a marker in the run that is going on",
        "record-signal": "put an ECG, a breathing belt, a blood sampler into the run",
        "alarms": "list, acknowledge or put aside what waits for an answer",
        "fault": "make the emulated electronics misbehave during a run",
        "hospital": "a hospital's worklist and archive: ask, take over, send, deliver",
        "metrics": "serve rates, counters, live times and alarms for Prometheus",
        "keys": "make, list and revoke the keys with which a system is reached over TCP",
    },
    "runs": {
        "runs": "list the runs",
        "replay": "replay a run: through the live chain, or --verify its sorting",
        "replay-source": "send a run's raw log as a source of data",
        "play": "play other electronics' list of single events as a source",
        "sort": "sort a run's raw log again, with other windows or policy",
        "recover": "repair runs that died",
        "protocols": "list, show, save and delete scan protocols",
        "study": "show or change a run's weight, tracer, injected activity, notes",
        "review": "show, decide and sign what became of a run: keep, test, discard",
        "archive": "copy a run to another disk, and read the copy back",
        "retain": "delete runs by rule that have a verified copy; first says which",
        "pseudonymise": "give a run a pseudonym, and take out who it is about",
        "truth": "show what the prompts of an emulated run really were",
    },
    "images": {
        "reconstruct": "make an image of a run, as NIfTI",
        "analyse": "measure an image: resolution, contrast, noise, regions; a report",
        "import": "read third-party data: as a run, or as lines",
        "export": "write a run as PETSIRD, for CASToR, for STIR; SPECT projections",
    },
    "instrument": {
        "calibrate": "find gains, skews, walks, masks and more from runs",
        "qc": "daily quality control of a run: judge, follow, ask whether it holds",
        "acceptance": "judge a scanner by NEMA NU 2 or NU 4, from runs; a report",
        "firmware": "build, run, flash and query the modules' firmware",
    },
    "this machine and this program": {
        "check-source": "listen to a digitizer instead of the daq: what is wrong with it",
        "doctor": "check libraries, display, disk, ports, clock and service",
        "service": "run as a service of this machine: install, status, update, roll-back",
        "warm": "compile and cache all kernels",
        "bench": "measure this machine's speed, beside published peers",
        "validate": "compute what the emulator should reproduce, and compare",
        "test": "run the test suite",
    },
}
COMMANDS = {name: words for group in GROUPS.values() for name, words in group.items()}

AGAIN_S = 0.05
"""Ctrl-C while modules are loaded waits for as long."""

DESCRIPTION = """\
Tomoshibi: acquisition system of a portable PET/SPECT scanner, from the photon to the image.
Research software, not a medical device.
"""

EPILOG = """\
examples:
  tomoshibi demo                          everything, in a window, until you close it
  tomoshibi demo --headless --duration 20 --json
  tomoshibi runs                          what has been measured
  tomoshibi replay RUN --verify           does sorting give the same bits again?
  tomoshibi sort RUN --window-ns 3 --policy discard
  tomoshibi reconstruct RUN               writes RUN/images/bsrem.nii.gz, or bsrem-2.nii.gz …

`tomoshibi COMMAND --help` explains each command with examples.
"""


PLACES = {
    "import": "import_data",
    "acceptance": "quality.acceptance",
    "recover": "keeping.recover",
    "keys": "access.keys",
    "hospital": "access.hospital",
    "systems": "access.systems",
    "service": "access.appliance",
    "pseudonymise": "access.pseudonymise",
    "mark": "keeping.mark",
    "record-signal": "keeping.record_signal",
    "alarms": "keeping.alarms",
    "protocols": "keeping.protocols",
    "metrics": "access.metrics",
    "study": "keeping.study",
    "review": "keeping.review",
    "archive": "keeping.archive",
    "retain": "keeping.retain",
    "validate": "quality.validate",
    "qc": "quality.qc",
    "check-source": "quality.check_source",
}
"""Modules of commands that are not named after them."""


def module_of(command: str) -> str:
    """Return the name of a command's module in ``daq.cli.commands``."""
    return PLACES.get(command, command.replace("-", "_"))


def build_parser(only: str | None = None) -> Parser:
    """Return the parser; ``only`` loads one command's options and leaves the others as names."""
    import argparse
    import importlib

    from daq.cli.parser import Parser

    parser = Parser(
        prog="tomoshibi",
        usage="%(prog)s COMMAND [options]",
        description=f"{DESCRIPTION}\n{_overview()}",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(
        dest="command", prog="tomoshibi", metavar="COMMAND", help=argparse.SUPPRESS
    )
    for name, words in COMMANDS.items():
        if only is None or name != only:
            commands.add_parser(name, add_help=False)
            continue
        module = importlib.import_module(f"daq.cli.commands.{module_of(name)}")
        sub = add_command(commands, name, words, module)
        sub.set_defaults(run=module.run, refuse=sub.refuse)
    return parser


def _overview() -> str:
    lines = []
    for title, commands in GROUPS.items():
        lines += ["", f"{title}:", *(f"  {name:<14}{words}" for name, words in commands.items())]
    return "\n".join(lines[1:])


def add_command(parsers: Any, name: str, words: str, module: Any) -> Parser:
    """Add a command with its module's options; return its parser."""
    import argparse

    sub: Parser = parsers.add_parser(
        name, help=words, description=module.__doc__, epilog=module.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    module.add_arguments(sub)
    sub.shorten_usage()
    return sub


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    _rarely_look_for_circles()
    ours, told = _exchanged(signal.default_int_handler, _interrupt), sys.unraisablehook
    sys.unraisablehook = lambda what: _again_if_lost(what) or told(what)
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    finally:
        sys.unraisablehook = told
        if ours:  # of a process that ends, Ctrl-C once more is to make it end at once
            _exchanged(_interrupt, signal.SIG_DFL if argv is None else signal.default_int_handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt; while modules are being loaded, try again a little later.

    Libraries try imports within ``except``, and turn what they catch there into other errors.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            _again(number)
            return
        frame = frame.f_back
    raise KeyboardInterrupt


def _again_if_lost(what: sys.UnraisableHookArgs) -> bool:
    """Return whether an interrupt came in a destructor or callback; it is then raised again."""
    lost = issubclass(what.exc_type, KeyboardInterrupt)
    if lost:
        _again(signal.SIGINT)
    return lost


def _again(number: int) -> None:
    import threading

    timer = threading.Timer(AGAIN_S, os.kill, (os.getpid(), number))
    timer.daemon = True
    timer.start()


def _exchanged(old: Handler, new: Handler) -> bool:
    """Replace SIGINT's handler if the old one is in force; return whether it was."""
    try:
        if signal.getsignal(signal.SIGINT) is not old:
            return False
        signal.signal(signal.SIGINT, new)
    except ValueError:  # only the main thread may
        return False
    return True


def _rarely_look_for_circles() -> None:
    """Let Python look for circular garbage less often than every 700 objects.

    While a command loads its modules nothing is garbage, and looking for it was about a tenth of
    the processor time of that.
    """
    import gc

    gc.set_threshold(50_000, 20, 50)


def _run(arguments: list[str]) -> int:
    from daq.cli.common import report_error
    from daq.cli.hang_up import outlive_the_terminal, records

    name = next((word for word in arguments if not word.startswith("-")), None)
    parser = build_parser(only=name if name in COMMANDS else None)
    if name == "test":  # everything behind it is pytest's
        from daq.cli.commands.test import run_tests

        return run_tests(arguments[arguments.index("test") + 1 :])
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        getattr(options, "refuse", parser.refuse)(unknown)
    if options.command is None:
        parser.print_help()
        return 0
    if records(options.command):
        outlive_the_terminal()
    try:
        return int(options.run(options))
    except BrokenPipeError:
        return 128 + signal.SIGPIPE
    except Exception as error:  # noqa: BLE001  (the last net: known errors are told in one line)
        return report_error(error)


__all__ = ["COMMANDS", "build_parser", "main"]
