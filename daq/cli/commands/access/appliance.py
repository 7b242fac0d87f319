"""Run the acquisition as a service of this machine: it starts with it, and again where it fails.

`install` makes systemd units for daq, live imager and source, a command, a menu entry and rules for
the serial ports; `status` tells in words what runs; `update` puts another version in force, never
during a run, and goes back by itself where that one does not come up; `roll-back` returns to the
version before; `remove` takes all of it away but the runs. docs/bedside_pc.md sets up a PC.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daq.cli.common import CommandError, add_endpoint_option, add_json_option, finish, tell
from hw.bounded_files import json_in

if TYPE_CHECKING:
    from daq.cli.appliance.places import Places
    from daq.cli.appliance.settings import ServiceSettings
    from daq.cli.appliance.switching import Switcher
    from daq.cli.appliance.version_build import Given

EXAMPLES = """\
examples:
  sudo ./tomoshibi service install --user tomoshibi --preset tof_brain \\
      --source "link --port 0=/dev/tomoshibi/A10 --port 1=/dev/tomoshibi/A11" --usb 0403:6001
  tomoshibi service install --preset bench2 --source emulate --print      what would be written
  tomoshibi service status
  sudo tomoshibi service update --from ~/tomoshibi --ref v0.2.0           or: --from WHEELS
  sudo tomoshibi service roll-back
  sudo tomoshibi service remove
"""
MOST_STDIN = 65_536


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    install = actions.add_parser("install", help="install and start the service, or change it")
    _add_what_to_install(install)
    status = actions.add_parser("status", help="what runs, since when, restarts, last cause")
    remove = actions.add_parser("remove", help="remove the service; the runs stay")
    update = actions.add_parser("update", help="put another version in force")
    back = actions.add_parser("roll-back", help="put the version before in force again")
    settle = actions.add_parser("settle", help="end an update that was cut off (systemd does)")
    ask = actions.add_parser("ask", help="the daq's state, as its user is told")
    ask.add_argument("--leave", action="store_true", help="let it end, unless a run is under way")
    add_endpoint_option(ask)
    units = actions.add_parser("write-units", help="write this version's units (update does)")
    units.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    for one in (install, update):
        _add_version_options(one, needed=one is update)
    for one in (install, status, remove, update, back, settle, units):
        one.add_argument("--root", type=Path, default=Path("/"), metavar="FOLDER",
                         help="a trial: all files below this folder, systemd is not asked "
                              "(default: %(default)s)")  # fmt: skip
    for one in (install, status, remove, update, back, settle, ask):
        add_json_option(one)


def _add_what_to_install(parser: argparse.ArgumentParser) -> None:
    def words(name: str, metavar: str, about: str) -> None:
        parser.add_argument(name, type=shlex.split, default=[], metavar=metavar, help=about)

    parser.add_argument("--user", default="tomoshibi", metavar="ACCOUNT",
                        help="whose the runs are, and who runs all of it "
                             "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--preset", default="caremibrain", metavar="SCANNER",
                        help="scanner preset, or a TOML file's whole path "
                             "(default: %(default)s)")  # fmt: skip
    words("--acquire", "OPTIONS", 'of the acquisition, more: --acquire="--calibration FILE"')
    words("--source", "COMMAND", 'the source: "link --port …", "emulate …" (default: none here)')
    words("--imager", "OPTIONS", "of the live imager")
    parser.add_argument("--no-imager", action="store_true", help="without a live image")
    parser.add_argument("--runs", type=Path, metavar="FOLDER",
                        help="folder of the runs (default: /var/lib/tomoshibi/runs)")  # fmt: skip
    parser.add_argument("--endpoint", default="", metavar="ADDRESS",
                        help="where the processes meet (default: sockets of the account "
                             "alone)")  # fmt: skip
    parser.add_argument("--usb", action="append", default=[], metavar="VENDOR:PRODUCT",
                        help="ids of the modules' serial adapters, for stable names and rights "
                             "(once for each kind; `lsusb` shows them)")  # fmt: skip
    parser.add_argument("--print", dest="only_print", action="store_true",
                        help="print every file, and touch nothing")  # fmt: skip


def _add_version_options(parser: argparse.ArgumentParser, *, needed: bool) -> None:
    default = "" if needed else " (default: where this program comes from)"
    parser.add_argument("--from", dest="given", type=Path, metavar="FOLDER", required=needed,
                        help="a checkout, or wheels of tomoshibi and what it "
                             f"requires{default}")  # fmt: skip
    parser.add_argument("--ref", default="", metavar="TAG",
                        help="of a checkout: tag or commit (default: what is there)")  # fmt: skip
    parser.add_argument("--wheels", type=Path, metavar="FOLDER",
                        help="of a checkout: the lock's wheels, without an index")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Do what is asked."""
    if options.action != "ask":  # the service's user reads what root writes here
        from daq.cli.appliance.version_build import FOR_ALL

        os.umask(FOR_ALL)
    does = {
        "install": _install, "status": _status, "remove": _remove, "update": _update,
        "roll-back": _roll_back, "settle": _settle, "ask": _ask, "write-units": _write_units,
    }[options.action]  # fmt: skip
    return does(options)


# --- install and remove ---------------------------------------------------------------------------


def _install(options: argparse.Namespace) -> int:
    from daq.cli.appliance.installation import account, put_in_place
    from daq.cli.appliance.settings import keep, kept
    from daq.cli.appliance.version_build import build, write_units_of

    settings, places = _asked_settings(options), _places(options)
    if options.only_print:
        _print(settings, places)
        return 0
    _need_root(places)
    account(settings.user)  # told before anything is built
    switcher = _switcher(settings, places)
    versions = switcher.versions
    with versions.locked():
        name = versions.current
        if name and options.given:
            raise CommandError(f"{name} is installed: `service update` puts another in force")
        if name and not places.is_trial:
            _switcher(kept(places), places).end()
        if name:
            write_units_of(name, versions, settings, places)
        else:
            name = build(_given(options), versions, settings, places, say=tell)
            versions.put_in_force(name, previous="")
        put_in_place(settings, places)
        keep(settings, places)
        if not places.is_trial:
            switcher.begin()
    words = f"{name} is installed; `tomoshibi service status` tells what runs"
    if not settings.usb:
        words += "\nno --usb: the serial ports keep their names and rights"
    finish(options, {"version": name, "files": str(places.root)}, words)
    return 0


def _asked_settings(options: argparse.Namespace) -> ServiceSettings:
    from daq.cli.appliance.settings import ServiceSettings, check

    preset = ["--preset", options.preset]
    source = list(options.source)
    if source[:1] in (["link"], ["emulate"]) and "--preset" not in source:
        source[1:1] = preset
    settings = ServiceSettings(
        user=options.user,
        acquire=[*preset, *options.acquire],
        source=source,
        imager=options.imager,
        with_imager=not options.no_imager,
        runs=str(options.runs or ""),
        endpoint=options.endpoint,
        usb=options.usb,
    )
    check(settings)
    _check_options(settings)
    return settings


def _check_options(settings: ServiceSettings) -> None:
    """Have each command look at its options now: a unit that fails is found much later."""
    from daq.cli import build_parser

    lines = [["acquire", *settings.acquire], ["imager", *settings.imager], settings.source]
    for line in lines:
        if line:
            asked, unknown = build_parser(only=line[0]).parse_known_args(line)
            if unknown:
                asked.refuse(unknown)


def _print(settings: ServiceSettings, places: Places) -> None:
    from daq.cli.appliance.installation import files_of
    from daq.cli.appliance.unit_files import unit_files

    files = {places.units / name: text for name, text in unit_files(settings, places).items()}
    for path, text in {**files, **files_of(settings, places)}.items():
        print(f"=== {path}\n{text}")


def _remove(options: argparse.Namespace) -> int:
    from daq.cli.appliance.installation import take_away
    from daq.cli.appliance.settings import kept

    places = _places(options)
    settings = kept(places)
    _need_root(places)
    switcher = _switcher(settings, places)
    with switcher.versions.locked():
        if not places.is_trial:
            switcher.end()
        left = [str(folder) for folder in take_away(settings, places)]
        if not places.is_trial:
            switcher.systemd.reload()
    finish(options, {"left": left}, f"removed. These stay: {', '.join(left)}")
    return 0


# --- versions -------------------------------------------------------------------------------------


def _update(options: argparse.Namespace) -> int:
    name = _installed(options).update(_given(options))
    words = f"{name} is in force and answers; `tomoshibi service roll-back` is the way back. Open "
    words += "consoles are of the version before: close them, and open new ones"
    finish(options, {"version": name}, words)
    return 0


def _roll_back(options: argparse.Namespace) -> int:
    name = _installed(options).roll_back()
    finish(options, {"version": name}, f"{name} is in force again, and answers")
    return 0


def _settle(options: argparse.Namespace) -> int:
    words = _installed(options).settle()
    finish(options, {"outcome": words}, words)
    return 0


def _installed(options: argparse.Namespace) -> Switcher:
    from daq.cli.appliance.settings import kept

    places = _places(options)
    settings = kept(places)
    if places.is_trial:
        raise CommandError(f"{places.root} is a trial: nothing runs there that could be exchanged")
    _need_root(places)
    return _switcher(settings, places)


def _given(options: argparse.Namespace) -> Given:
    from daq.cli.appliance.version_build import Given

    here = Path(__file__).resolve().parents[4]
    return Given((options.given or here).absolute(), ref=options.ref, wheels=options.wheels)


def _write_units(options: argparse.Namespace) -> int:
    import msgspec

    from daq.cli.appliance.installation import write_units
    from daq.cli.appliance.settings import ServiceSettings, check

    text = sys.stdin.read(MOST_STDIN)
    try:
        settings = msgspec.convert(json_in(text), ServiceSettings)
    except msgspec.ValidationError as error:
        raise CommandError(f"write-units: settings on standard input: {error}") from error
    check(settings)
    write_units(options.output, settings, _places(options))
    return 0


# --- state ----------------------------------------------------------------------------------------


def _status(options: argparse.Namespace) -> int:
    from daq.cli.appliance.settings import kept
    from daq.cli.appliance.systemd import RUNS_HERE, Systemd
    from daq.cli.appliance.unit_state import states_of
    from daq.cli.appliance.versions import Versions

    places = _places(options)
    settings, versions = kept(places), Versions(places.versions)
    if places.is_trial or not RUNS_HERE.is_dir():
        raise CommandError(f"files are installed below {places.root}; no systemd runs them")
    found = states_of(settings, places, Systemd())
    change = versions.unconfirmed()
    lines = [state.words(time.time()) for state in found]
    lines.append(f"version {versions.current}; before: {versions.previous or 'none'}")
    if change is not None:
        words = f"the change from {change.came_from} to {change.to} was cut off"
        lines.append(f"{words}: `sudo tomoshibi service settle` ends it")
    well = change is None and all(state.state == "active" for state in found)
    result: dict[str, Any] = {
        "well": well, "version": versions.current, "previous": versions.previous,
        "processes": [vars(state) for state in found],
    }  # fmt: skip
    finish(options, result, "\n".join(lines))
    return 0 if well else 1


def _ask(options: argparse.Namespace) -> int:
    from daq.cli.appliance.daq_asked import QUESTION_S
    from daq.client.client import ControlClient
    from hw.messages.endpoints import Endpoints

    with ControlClient(Endpoints(options.endpoint)) as daq:
        state = daq.call("status", timeout_s=QUESTION_S)["state"]
        if options.leave:
            daq.call("shutdown", timeout_s=QUESTION_S, unless_run=True)
    finish(options, {"state": state}, f"the daq is {state}")
    return 0


def _places(options: argparse.Namespace) -> Places:
    from daq.cli.appliance.places import Places

    return Places(options.root.absolute())


def _need_root(places: Places) -> None:
    if os.geteuid() != 0 and not places.is_trial:
        raise CommandError("units and versions are root's: type `sudo` before it")


def _switcher(settings: ServiceSettings, places: Places) -> Switcher:
    from daq.cli.appliance.switching import Switcher
    from daq.cli.appliance.systemd import Systemd
    from daq.cli.appliance.versions import Versions

    return Switcher(places, settings, Versions(places.versions), Systemd(), say=tell)
