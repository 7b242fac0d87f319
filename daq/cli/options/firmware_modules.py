"""Options about firmware modules, shared by `link`, `demo` and `firmware`."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from daq.cli.common import CommandError, make_folder
from hw.wire.control import DEFINITION

ARM_MODULES = 4
_SPEEDS: dict[str, int] = DEFINITION["control"]
MACHINES = ("native", "qemu", "mixed")


def add_machine_options(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add the options of the machines that run the modules, and of their data path."""
    parser.add_argument("--arm-modules", type=_number, default=ARM_MODULES, metavar="N",
                        help="where both kinds run: so many modules are ARM images in QEMU, the "
                             "others native processes (default: %(default)s)")  # fmt: skip
    parser.add_argument("--firmware-data", choices=("ring", "ethernet", "serial"), default="ring",
                        help="how data frames leave the modules: a memory ring, datagrams, or the "
                             "serial line itself (default: %(default)s)")  # fmt: skip


def add_baud_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--baud``."""
    parser.add_argument("--baud", type=_baud, default=_SPEEDS["baud_default"],
                        help="speed of the serial line (default: %(default)s)")  # fmt: skip


def _baud(text: str) -> int:
    least, most = _SPEEDS["baud_min"], _SPEEDS["baud_max"]
    if not text.isdecimal() or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{text} is not a speed from {least} to {most} baud")
    return int(text)


@contextlib.contextmanager
def machine_folder(given: Path | None) -> Iterator[Path]:
    """Yield the folder for windows and logs: that one, or a temporary one that is deleted
    afterwards.
    """
    if given is not None:
        yield make_folder(given)
        return
    with tempfile.TemporaryDirectory(prefix="tomoshibi-modules-") as folder:
        yield Path(folder)


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is not a number of modules")
    return int(text)


def arm_modules(machines: str, arm: int, modules: int) -> int:
    """Return how many modules are ARM images."""
    return {"native": 0, "qemu": modules, "mixed": min(arm, modules)}[machines]


def check_machines(arm: int, modules: int) -> None:
    """Refuse machines whose tools this computer lacks, and say how to get them."""
    from hw.machines.toolchain import missing

    lacking = missing("qemu") if arm else ""
    lacking = lacking or (missing("native") if arm < modules else "")
    if lacking:
        raise CommandError(lacking)


def module_port(text: str) -> tuple[int, str]:
    """Parse MODULE=URL, for argparse."""
    number, _, url = text.partition("=")
    if not number.isdecimal() or not url:
        raise argparse.ArgumentTypeError(
            f"{text!r}: give MODULE=URL, such as 3=/dev/ttyUSB0 or 3=socket://127.0.0.1:7000"
        )
    return int(number), url
