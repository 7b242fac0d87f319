"""The modules' firmware: build it, run it here, flash it to a module, query and command a module.

`build` makes the native program and the ARM image, each with an image for updates. `run` runs
modules on this machine, without an acquisition, until Ctrl-C, and prints their serial ports. The
others talk to one module behind a port (a device, socket://, rfc2217:// or hwgrep://), which nobody
else may use meanwhile.
"""

from __future__ import annotations

import argparse
import signal
import threading
import time
from pathlib import Path

from daq.cli.common import add_json_option, cleaning_up, positive, tell, whole
from daq.cli.options.firmware_modules import (
    MACHINES,
    add_baud_option,
    add_machine_options,
    arm_modules,
    check_machines,
    machine_folder,
)

EXAMPLES = """\
examples:
  tomoshibi firmware build --output images
  tomoshibi firmware run --machines qemu
  tomoshibi firmware run --machines native --modules 8
  tomoshibi firmware ports
  tomoshibi firmware info --port /dev/ttyUSB0
  tomoshibi firmware flash images/tomoshibi-mps2.tmim --port socket://127.0.0.1:7000
  tomoshibi firmware shell --port /dev/pts/3
  tomoshibi firmware shell --port /dev/pts/3 --command "write energy_threshold 1000" --command save
  tomoshibi firmware trace --port /dev/ttyUSB0 --seconds 10
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    build = actions.add_parser("build", help="build the firmware and print its sizes")
    build.add_argument("--target", choices=("native", "mps2", "all"), default="all",
                       help="this machine, the ARM board, or both (default)")  # fmt: skip
    build.add_argument("--output", type=Path, metavar="FOLDER",
                       help="copy programs and update images there")  # fmt: skip
    _add_run(actions.add_parser("run", help="run modules on this machine"))
    flash = actions.add_parser("flash", help="flash a firmware image to a module")
    flash.add_argument("image", type=Path, help="image for updates (*.tmim), of `firmware build`")
    flash.add_argument("--unconfirmed", dest="confirm", action="store_false",
                       help="do not confirm it: at the third start the old firmware "
                            "returns")  # fmt: skip
    flash.add_argument("--any-schema", action="store_true",
                       help="accept an image of another release that this program does not "
                            "understand; it is confirmed by its build id alone")  # fmt: skip
    ports = actions.add_parser("ports", help="list serial ports, and the modules behind them")
    ports.add_argument("urls", nargs="*", metavar="URL",
                       help="ports that no system lists, such as "
                            "socket://127.0.0.1:7000")  # fmt: skip
    info = actions.add_parser("info", help="show a module's identity and settings")
    shell = actions.add_parser("shell", help="read from, write to and command a module by hand")
    shell.add_argument("--command", dest="lines", action="append", default=[], metavar="LINE",
                       help="execute this and exit (may be repeated); without it, lines are "
                            "read from the terminal or stdin")  # fmt: skip
    trace = actions.add_parser("trace", help="show the messages on a module's line as they come")
    trace.add_argument("--seconds", type=positive, metavar="S", help="exit after this time")
    for one in (flash, info, shell, trace):
        one.add_argument("--port", required=True, metavar="URL", help="the module's serial port")
        add_baud_option(one)
    for one in (build, flash, info, ports):
        add_json_option(one)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--machines", choices=MACHINES, default="native",
                        help="native processes, ARM images in QEMU, or both (default: "
                             "%(default)s)")  # fmt: skip
    parser.add_argument("--modules", type=whole, default=1, metavar="N",
                        help="how many (default: %(default)s); each is module 0 until "
                             "its register `module` is set")  # fmt: skip
    parser.add_argument("--folder", type=Path, metavar="FOLDER",
                        help="for windows and logs; the modules' non-volatile memory stays "
                             "there (default: a temporary folder)")  # fmt: skip
    add_machine_options(parser)


def run(options: argparse.Namespace) -> int:
    """Carry out the action."""
    if options.action == "build":
        from daq.cli.firmware.build import build_images

        return build_images(options)
    if options.action == "run":
        return run_machines(options)
    from daq.cli.firmware import one_module as firmware_module

    action = {
        "flash": firmware_module.flash,
        "ports": firmware_module.ports,
        "info": firmware_module.info,
        "shell": firmware_module.shell,
        "trace": firmware_module.trace,
    }[options.action]
    with cleaning_up():
        return action(options)


LOOK_S = 0.2


def run_machines(options: argparse.Namespace) -> int:
    """Run modules until Ctrl-C; print their serial ports on stdout, one per line."""
    from daq.link.modules.own_machines import MachineRing

    arm = arm_modules(options.machines, options.arm_modules, options.modules)
    check_machines(arm, options.modules)
    leave = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signum, frame: leave.set())
    with (
        machine_folder(options.folder) as folder,
        MachineRing(
            folder, modules=options.modules, arm=arm, data_path=options.firmware_data, say=tell
        ) as ring,
    ):
        for machine in ring.machines:
            print(f"module {machine.module} {machine.kind} {machine.serial_url}", flush=True)
        tell(f"windows and logs in {folder}; Ctrl-C stops the modules")
        while not leave.is_set():
            dead = [machine for machine in ring.machines if not machine.alive]
            if dead:
                raise dead[0].error("it ended by itself", "see its log")
            time.sleep(LOOK_S)
    return 0
