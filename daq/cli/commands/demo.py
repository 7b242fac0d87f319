"""The whole chain, live: emulator → acquisition → live image → console, four processes.

A SPECT scanner is imaged too: the console shows the image above the projections.
With a display it shows the console until you close it. Without one (or with --headless) it says
so, runs for 30 s or --duration, and leaves screenshots of the real console and the final image in
the run's folder. Ctrl-C at any moment closes the run and stops every process within 3 s.

Every demo is a system of its own. `tomoshibi tap`, `tomoshibi fault` and others that attach to a
running system find it by themselves, or ask for --endpoint where several run.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from daq.cli.commands.acquire import (
    add_calibration_option,
    add_position_option,
    add_protocol_option,
)
from daq.cli.common import (
    CommandError,
    add_json_option,
    add_runs_option,
    positive,
    signals_wait,
    tell,
)
from daq.cli.options.emulation import (
    activity_for_rate,
    add_emulation_options,
    emulation_arguments,
    emulator_config,
)
from daq.cli.options.emulation_defaults import complete
from daq.cli.options.firmware_modules import add_machine_options, arm_modules, check_machines
from daq.cli.options.imaging import add_live_options
from daq.cli.options.phantom_map import write_mu_map
from daq.cli.options.sorting import add_window_options

if TYPE_CHECKING:
    from daq.cli.launch.live_chain import ChainPlan
    from daq.folder.run_config import RunConfig

EXAMPLES = """\
examples:
  tomoshibi demo
  tomoshibi demo --headless --duration 20 --seed 7 --json
  tomoshibi demo --preset tof_brain --phantom hot-rod --activity-MBq 2
  tomoshibi demo --prompts-per-s 50000 --live-window slide:30s
  tomoshibi demo --preset gamma_head_lehr --nuclide Tc-99m
  tomoshibi demo --protocol fdg-brain --duration 60
  tomoshibi demo --calibration none               raw energies and times, to calibrate oneself
  tomoshibi demo --serial caremibrain-0002        another instrument, not calibrated yet
  tomoshibi demo --firmware native                every module a process of our firmware
  tomoshibi demo --firmware qemu --arm-modules 4  four ARM images in QEMU, the others native
"""

HEADLESS_S = 30.0
MOST_MBQ = 3.0
"""Of PET, where no activity was asked for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--headless", action="store_true", help="no window, only screenshots")
    parser.add_argument("--duration", type=positive, metavar="S",
                        help="detector time of the run; without it: until stopped "
                        f"({HEADLESS_S:g} s when headless)")  # fmt: skip
    parser.add_argument("--name", default="", help="name of the run's folder (must not exist)")
    parser.add_argument("--prompts-per-s", type=positive, metavar="N",
                        help="set the activity that yields this rate")  # fmt: skip
    add_protocol_option(parser)
    add_calibration_option(parser)
    add_position_option(parser)
    add_emulation_options(parser)
    modules = parser.add_argument_group("modules with firmware")
    modules.add_argument("--firmware", choices=("native", "qemu"),
                         help="run the modules' own firmware between emulator and acquisition, as "
                              "native processes or with ARM images in QEMU")  # fmt: skip
    add_machine_options(modules)
    add_window_options(parser)
    add_live_options(parser)
    add_runs_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Run the demo."""
    with signals_wait():
        from daq.cli.launch.live_chain import LiveChain

    if not options.headless and (why := no_display()):
        tell(f"no window, {why}: running headless, screenshots go to the run's folder")
        options.headless = True
    if options.protocol:
        take_protocol(options)
    if options.duration is None and options.headless:
        options.duration = HEADLESS_S
    follow_the_machine(options)
    complete(options)
    if options.firmware:
        check_tools(options)
    warm_up(kernels_needed(options))
    if options.prompts_per_s is not None:
        options.activity_MBq = activity_for_rate(options, options.prompts_per_s)
        tell(f"{options.prompts_per_s:g} prompts/s need {options.activity_MBq:.3g} MBq")
    with signals_wait():
        plan = demo_plan(options)
    chain = LiveChain(plan)
    tell(f"for tap, fault and console: --endpoint {chain.endpoints.base}")
    return chain.run_and_report(options)


def take_protocol(options: argparse.Namespace) -> None:
    """Emulate the protocol's nuclide, for as long as it says; raises CommandError for another."""
    from daq.folder.protocols.shelf import Shelf

    protocol = Shelf().find(options.protocol)
    if options.nuclide and protocol.nuclide and options.nuclide != protocol.nuclide:
        raise CommandError(
            f"--nuclide {options.nuclide}: {protocol.label} is for {protocol.nuclide}; leave it "
            "out, or choose another protocol"
        )
    options.nuclide = options.nuclide or protocol.nuclide or None
    if options.duration is None and protocol.until.duration_s:
        options.duration = protocol.until.duration_s


def follow_the_machine(options: argparse.Namespace) -> None:
    """Unless an activity or a rate was asked for, let the emulator choose: at most 3 MBq of PET
    (the live image needs no more), for SPECT at most the default."""
    chosen = options.activity_MBq is not None or options.prompts_per_s is not None
    if chosen or options.fast or options.firmware:
        return
    from hw.scanner.preset_file import load_scanner

    options.follow = True
    if load_scanner(options.preset).modality == "PET":
        options.activity_MBq = MOST_MBQ


def no_display() -> str:
    """Return "" if a window can be expected to open, else why not."""
    from daq.client.display import why_no_window

    return "" if os.environ.get("QT_QPA_PLATFORM") else why_no_window()


def warm_up(purpose: str) -> None:
    """Compile what the demo needs before its processes need it; the rest can wait for a picture."""
    from daq.cli.launch.kernels import is_warm
    from daq.cli.launch.processes import run_to_end

    if is_warm(purpose):
        return
    tell("first start of this build: kernels are compiled once")
    if run_to_end(["warm", "--for", purpose]):
        raise CommandError("the kernels could not be compiled; see the message above")


def kernels_needed(options: argparse.Namespace) -> str:
    """Return for what purpose kernels are compiled first."""
    from hw.scanner.preset_file import load_scanner

    if load_scanner(options.preset).modality == "SPECT":
        return "spect"
    return "library" if options.library else "demo"


def demo_plan(options: argparse.Namespace) -> ChainPlan:
    """Return the plan of the demo's chain."""
    from daq.cli.commands.acquire import template
    from daq.cli.launch.live_chain import ChainPlan
    from hw.scanner.serial import serial_of

    complete(options)
    options.mu_map = ""
    labels = {
        "phantom": options.phantom,
        "nuclide": options.nuclide,
        "activity_MBq": None if options.follow else options.activity_MBq,
        "seed": options.seed,
        "source": "emulator",
    }
    more = ("tac", "motion", "library", "gantry", "lutetium")
    labels |= {name: getattr(options, name) for name in more if getattr(options, name)}
    if options.firmware:
        labels["firmware"] = options.firmware
    config = template(options, **labels)
    config.serial = serial_of(options.serial, config.scanner())
    link = link_arguments(options) if options.firmware else []

    def complete_plan(config: RunConfig, scratch: Path) -> None:
        """Before a run is armed: what cannot be emulated leaves no folder."""
        from emulator.process.settings_check import check_settings

        hits = str(scratch / "machines") if options.firmware else ""
        check_settings(emulator_config(options, hits=hits))
        config.mu_map = str(write_mu_map(options.phantom, config.scanner(), scratch / "mu_map.npz"))

    return ChainPlan(
        config=config,
        source=["emulate", *emulation_arguments(options)],
        runs=options.runs,
        window=not options.headless,
        finish_plan=complete_plan,
        link=link,
    )


def check_tools(options: argparse.Namespace) -> None:
    """Refuse, with the way to get them, where compiler or QEMU are not here."""
    from hw.scanner.preset_file import load_scanner

    modules = load_scanner(options.preset).n_modules
    check_machines(arm_modules(_machines(options), options.arm_modules, modules), modules)


def _machines(options: argparse.Namespace) -> str:
    return "mixed" if options.firmware == "qemu" else "native"


def link_arguments(options: argparse.Namespace) -> list[str]:
    """Return the command line of the link process that runs the firmware of all modules."""
    arguments = ["link", "--preset", options.preset, "--machines", _machines(options)]
    arguments += ["--arm-modules", str(options.arm_modules)]
    arguments += ["--firmware-data", options.firmware_data]
    arguments += ["--trigger-keV", repr(options.trigger_keV)]
    return [*arguments, "--queue-words", str(options.queue_words)]
