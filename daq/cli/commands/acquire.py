"""Run the acquisition service: it owns the run, logs the data frames and sorts coincidences.

Sources (`tomoshibi emulate`, firmware, a digitizer), the imager and the console attach to it at any
time. With --auto it arms and starts a run as soon as a source is there, and exits when the run is
closed. Ctrl-C closes an open run cleanly and exits.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daq.cli.common import (
    CommandError,
    add_endpoint_option,
    add_json_option,
    add_preset_option,
    add_runs_option,
    finish,
    tell,
)
from daq.cli.options.emulation_defaults import nuclide_names
from daq.cli.options.imaging import add_live_options, live_settings
from daq.cli.options.sorting import add_window_options, describe, window_changes
from daq.cli.sorting_outcome import describe_end, describe_outcome
from hw.errors import TomoshibiError
from hw.messages.patient_position import PATIENT_POSITIONS, UNKNOWN

if TYPE_CHECKING:
    from daq.folder.run_config import RunConfig
    from daq.service.service import DaqService

EXAMPLES = """\
examples:
  tomoshibi acquire --preset caremibrain              then: tomoshibi emulate, tomoshibi console
  tomoshibi acquire --preset bench2 --auto --duration 10 --json
  tomoshibi acquire --preset tof_brain --protocol fdg-brain
  tomoshibi acquire --preset tof_brain --calibration calibrations/today.npz
  tomoshibi acquire --preset gamma_head_lehr --spect Tc-99m
  tomoshibi acquire --spect Lu-177 --energy-keV 425:650      PET and SPECT at once
  tomoshibi acquire --endpoint tcp://127.0.0.1:7100 --runs /data/runs
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_preset_option(parser)
    parser.add_argument("--duration", type=float, metavar="S",
                        help="detector time of a run; 0: until stopped (default: as the protocol "
                             "says, or 0)")  # fmt: skip
    add_protocol_option(parser)
    parser.add_argument("--name", default="", help="name of the run's folder (must not exist)")
    parser.add_argument("--mu-map", default="", metavar="NPZ", help="µ map for the live image")
    add_position_option(parser)
    add_calibration_option(parser)
    parser.add_argument("--auto", action="store_true", help="arm, start, and exit when closed")
    parser.add_argument("--min-free-MB", type=float, default=256.0, metavar="MB",
                        help="disk space below which a run is refused or closed")  # fmt: skip
    parser.add_argument("--started-by", default="acquire", help=argparse.SUPPRESS)
    parser.add_argument("--scanner-name", default="", help=argparse.SUPPRESS)
    add_window_options(parser)
    add_live_options(parser)
    add_endpoint_option(parser)
    add_runs_option(parser)
    add_json_option(parser)


def add_position_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--patient-position``."""
    parser.add_argument("--patient-position", choices=PATIENT_POSITIONS, default=UNKNOWN,
                        help="head or feet first, supine, prone or on the right or left side; "
                             "DICOM images are turned by it (default: %(default)s)")  # fmt: skip


def add_protocol_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--protocol``."""
    parser.add_argument("--protocol", default="", metavar="NAME",
                        help="by a saved protocol, NAME or NAME@VERSION: nuclide, windows, live "
                             "image and what ends the run; other options go before it "
                             "(`tomoshibi protocols` lists them)")  # fmt: skip


def add_calibration_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--calibration``."""
    parser.add_argument("--calibration", default="factory", metavar="none|FILE",
                        help="calibration set, applied and kept with the run, with the activity "
                             "calibration beside it (FILE.activity.json); none: for practising "
                             "(default: the factory calibration of the scanner's serial "
                             "number)")  # fmt: skip


def template(options: argparse.Namespace, **labels: Any) -> RunConfig:
    """Return the run configuration described by the options."""
    from daq.folder.calibration_set import load_set_for
    from daq.folder.run_config import FACTORY, RunConfig, check_fits, default_settings
    from hw.messages.live_settings import LiveSettings
    from hw.scanner.preset_file import load_scanner, scanner_to_toml_text

    scanner = load_scanner(options.preset)
    if options.mu_map and not Path(options.mu_map).is_file():
        raise CommandError(f"--mu-map {options.mu_map}: there is no such file")
    calibration = "" if options.calibration == "none" else options.calibration
    if calibration not in ("", FACTORY):  # told now, not when a run is armed
        load_set_for(Path(calibration), scanner)
        calibration = str(Path(calibration).resolve())
    nuclides = nuclide_names(getattr(options, "nuclide", None) or "")
    any_collimator = getattr(options, "any_collimator", False)
    settings = default_settings(
        scanner,
        nuclides=nuclides,
        any_collimator=any_collimator,
        **({} if options.protocol else window_changes(options)),
    )
    check_fits(settings, scanner)
    config = RunConfig(
        scanner_toml=scanner_to_toml_text(options.preset),
        settings=settings,
        name=options.name,
        duration_s=options.duration or 0.0,
        mu_map=options.mu_map and str(Path(options.mu_map).resolve()),
        calibration=calibration,
        labels={"scanner": scanner.name, **labels},
        patient_position=getattr(options, "patient_position", UNKNOWN),
        live=live_settings(options) or LiveSettings(),
    )
    return by_protocol(config, options) if options.protocol else config


def by_protocol(config: RunConfig, options: argparse.Namespace) -> RunConfig:
    """Return a configuration by the protocol in the options; the other options go before it."""
    import msgspec

    from daq.folder.protocols.planned_config import planned, planned_settings
    from daq.folder.protocols.shelf import Shelf

    protocol = Shelf().find(options.protocol)
    config = planned(config, protocol)
    changes = window_changes(options)
    settings = planned_settings(config.scanner(), protocol, config.labels, **changes)
    live = live_settings(options, config.live) or config.live
    duration_s = config.duration_s if options.duration is None else options.duration
    return msgspec.structs.replace(config, settings=settings, live=live, duration_s=duration_s)


def run(options: argparse.Namespace) -> int:
    """Serve until told to leave."""
    from daq.folder.run_config import ANY_ENERGY
    from daq.service.service import DaqService
    from hw.free_memory import keep_what_is_loaded
    from hw.messages.endpoints import Endpoints

    config = template(options)
    _warm_up()
    keep_what_is_loaded()
    service = DaqService(
        Endpoints(options.endpoint),
        runs_root=options.runs,
        template=config,
        min_free_bytes=int(options.min_free_MB * 2**20),
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.leave())
    tell(f"acquisition at {options.endpoint}, runs in {options.runs}; {describe(config.settings)}")
    if [window.name for window in config.settings.windows] == [ANY_ENERGY]:
        tell("no nuclide is named: --spect Tc-99m records its photopeak and scatter windows")
    if options.auto:
        service.automatic, service.say = True, tell
    try:
        _serve(options, service)
        return _tell_outcome(options, service)
    finally:
        _end_quickly()


def _serve(options: argparse.Namespace, service: DaqService) -> None:
    """Serve, registered for other commands if the register can be written."""
    from daq.client.register import describe_self, registered

    system = describe_self(
        options.endpoint,
        runs=options.runs,
        scanner=options.scanner_name or Path(options.preset).stem,
        by=options.started_by,
    )
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(registered(system))
        except (TomoshibiError, OSError) as error:
            tell(f"other commands will need --endpoint {options.endpoint}: {error}")
        service.serve()


def _end_quickly() -> None:
    """Skip the garbage collection of all kernels at Python's exit, which takes a third of a second.

    Sockets that are never collected do not send their last messages either, so these are waited for
    first, within each socket's bound.
    """
    import gc

    import zmq

    from hw.messages.gatekeeper import gatekeepers_leave

    gatekeepers_leave()
    zmq.Context.instance().destroy()  # term would wait for ever for a socket left open
    gc.freeze()


def _warm_up() -> None:
    """Compile the event path's kernels before data can come: during a run it would cause delay."""
    from daq.cli.launch.kernels import is_warm
    from daq.service.warm_up import warm_kernels

    if not is_warm("acquire"):
        tell("first start of this build: kernels are compiled once")
        warm_kernels()


def _tell_outcome(options: argparse.Namespace, service: DaqService) -> int:
    life = service.life
    if life.state == "error":
        raise CommandError(life.reason)
    summary = life.summary()
    if summary is None:
        return 0
    outcome = describe_outcome(summary, life.run.config.settings) if life.run else ""
    finish(options, summary, f"{describe_end(summary)}\n{outcome}")
    return 1 if options.auto and summary["condition"] == "incomplete" else 0
