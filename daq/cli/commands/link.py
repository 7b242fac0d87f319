"""Hold the serial lines of modules that run our firmware, as one source of data.

Modules are behind serial ports (--port, once for each), or this command runs them itself
(--machines): the firmware as native processes or as ARM images in QEMU, with `tomoshibi emulate
--hits FOLDER` as their detector. It brings them up (registers of the preset, bias), attaches to an
acquisition, takes part in its runs, and keeps the modules alive: without it they switch their bias
off by themselves. Ctrl-C switches the bias off and exits.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from daq.cli.common import (
    CommandError,
    add_endpoint_option,
    add_preset_option,
    cleaning_up,
    positive,
    tell,
    whole,
)
from daq.cli.options.firmware_modules import (
    MACHINES,
    add_baud_option,
    add_machine_options,
    arm_modules,
    check_machines,
    machine_folder,
    module_port,
)

if TYPE_CHECKING:
    from daq.link.modules.linked_module import ModulePort
    from daq.link.modules.setup import ModuleSetup
    from hw.scanner.description import Scanner

EXAMPLES = """\
examples:
  tomoshibi link --preset bench2 --port 0=/dev/ttyUSB0 --port 1=/dev/ttyUSB1 --baud 921600
  tomoshibi link --preset bench2 --port 0=hwgrep://16C0:0483 --port 1=rfc2217://rack:7001
  tomoshibi link --machines native --folder /tmp/modules
  tomoshibi link --machines mixed --arm-modules 4 --firmware-data ethernet
"""

TRIGGER_KEV = 50.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_preset_option(parser)
    parser.add_argument("--port", type=module_port, action="append", default=[],
                        metavar="MODULE=URL", help="a module's serial port: a device, socket://, "
                        "rfc2217:// or hwgrep:// (once for each module)")  # fmt: skip
    add_baud_option(parser)
    parser.add_argument("--machines", choices=MACHINES,
                        help="run the modules here: native processes, ARM images in QEMU, or "
                             "both")  # fmt: skip
    add_machine_options(parser)
    parser.add_argument("--folder", type=Path, metavar="FOLDER",
                        help="for the machines' windows and logs and the lines' transcripts "
                             "(default: a temporary folder, removed at the end)")  # fmt: skip
    parser.add_argument("--bias-V", type=positive, default=56.5, metavar="V",
                        help="SiPM bias at the reference temperature "
                             "(default: %(default)g)")  # fmt: skip
    parser.add_argument("--trigger-keV", type=positive, default=TRIGGER_KEV, metavar="E",
                        help="modules drop hits below this (default: %(default)g)")  # fmt: skip
    parser.add_argument("--queue-words", type=whole, metavar="N",
                        help="most event words that a module puts into one frame")  # fmt: skip
    add_endpoint_option(parser)


def run(options: argparse.Namespace) -> int:
    """Hold the lines until told to exit."""
    from hw.messages.endpoints import Endpoints
    from hw.scanner.preset_file import load_scanner

    if bool(options.port) == bool(options.machines):
        raise CommandError(
            "link: give the modules' ports: --port MODULE=URL for each, or --machines native"
        )
    scanner = load_scanner(options.preset)
    Endpoints(options.endpoint)  # refused before anything is started
    setup = _setup(options, scanner)
    with cleaning_up(), machine_folder(options.folder) as folder, contextlib.ExitStack() as stack:
        if options.machines:
            ports = _start_machines(options, scanner, folder, stack)
        else:
            ports = _serial_ports(options, scanner)
        _serve(options, scanner, ports, setup, folder)
    return 0


def _serial_ports(options: argparse.Namespace, scanner: Scanner) -> list[ModulePort]:
    from daq.link.modules.linked_module import ModulePort

    if options.firmware_data == "ethernet":
        raise CommandError(
            "link: --firmware-data ethernet is for --machines; modules behind --port send their "
            "frames over the serial line"
        )
    numbers = [module for module, _ in options.port]
    twice = {module for module in numbers if numbers.count(module) > 1}
    if twice:
        raise CommandError(f"link: module {min(twice)} is given twice")
    urls = [url for _, url in options.port]
    shared = next((url for url in urls if urls.count(url) > 1), "")
    if shared:
        raise CommandError(f"link: port {shared} is given for two modules; each has its own")
    if max(numbers) >= scanner.n_modules:
        raise CommandError(
            f"link: no module {max(numbers)}: {scanner.name} has 0 to {scanner.n_modules - 1}"
        )
    return [ModulePort(module, url, baud=options.baud) for module, url in options.port]


def _start_machines(
    options: argparse.Namespace, scanner: Scanner, folder: Path, stack: contextlib.ExitStack
) -> list[ModulePort]:
    from daq.link.modules.own_machines import MachineRing

    arm = arm_modules(options.machines, options.arm_modules, scanner.n_modules)
    check_machines(arm, scanner.n_modules)
    ring = MachineRing(
        folder, modules=scanner.n_modules, arm=arm, data_path=options.firmware_data, say=tell
    )
    stack.enter_context(ring)
    return ring.ports()


def _setup(options: argparse.Namespace, scanner: Scanner) -> ModuleSetup:
    from daq.link.modules.setup import SLEW_OF_EMULATED_BIAS, setup_of

    setup = setup_of(
        scanner,
        data_path=options.firmware_data if options.machines else "serial",
        trigger_keV=options.trigger_keV,
        queue_words=options.queue_words,
        bias_mV=round(1000 * options.bias_V),
    )
    if options.machines:
        setup = setup.with_registers(bias_slew=SLEW_OF_EMULATED_BIAS)
    return setup


def _serve(
    options: argparse.Namespace,
    scanner: Scanner,
    ports: list[ModulePort],
    setup: ModuleSetup,
    folder: Path,
) -> None:
    from daq.link.modules.process_loop import LinkService
    from hw.messages.endpoints import Endpoints

    service = LinkService(
        Endpoints(options.endpoint),
        scanner,
        ports,
        setup,
        transcripts=folder / "transcripts",
        say=tell,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signum, frame: service.leave())
    tell(f"holding {len(ports)} modules of {scanner.name}, waiting at {options.endpoint}")
    service.serve()
