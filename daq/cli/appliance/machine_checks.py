"""What `doctor` checks on a bedside PC: Japanese fonts, rights to serial ports, the service."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from daq.cli.appliance.places import Places
from daq.cli.appliance.settings import kept
from daq.cli.appliance.systemd import RUNS_HERE, Systemd
from daq.cli.appliance.unit_state import UnitState, states_of
from daq.cli.appliance.versions import Versions
from daq.cli.common import CommandError

ASK_S = 10.0
FONTS_APT = "sudo apt-get install fonts-noto-cjk"
FC_LIST_APT = "sudo apt-get install fontconfig fonts-noto-cjk"


@dataclass(frozen=True)
class Finding:
    """One check's outcome."""

    what: str
    verdict: Literal["ok", "warning", "trouble"]
    found: str
    remedy: str = ""


def hospital_peers() -> Finding:
    """Whether the hospital's peers answer, where hospital.toml names any."""
    from recon.hospital.association import echo
    from recon.hospital.peers import HospitalError, hospital_file, read_hospital

    what, silent = "hospital", list[str]()
    try:
        hospital = read_hospital()
        if hospital is None:
            return Finding(what, "ok", "no hospital.toml: nothing is sent to anybody")
        for peer in hospital.peers.values():
            try:
                echo(hospital, peer)
            except HospitalError as error:
                silent.append(str(error))
    except HospitalError as error:
        silent.append(str(error))
    if silent:
        return Finding(what, "warning", "; ".join(silent), f"look at {hospital_file()}")
    return Finding(what, "ok", f"{len(hospital.peers) if hospital else 0} peers answer")


def fonts() -> Finding:
    """Whether the console can show Japanese, as in patients' names."""
    what = "fonts"
    if shutil.which("fc-list") is None:
        return Finding(what, "warning", "fc-list is missing: nobody knows which", FC_LIST_APT)
    try:
        done = subprocess.run(["fc-list", ":lang=ja", "family"], capture_output=True, text=True,
                              timeout=ASK_S, check=False)  # fmt: skip
    except subprocess.TimeoutExpired:
        return Finding(what, "warning", f"fc-list: no answer within {ASK_S:g} s", FC_LIST_APT)
    families = sorted({line.split(",")[0].strip() for line in done.stdout.splitlines()} - {""})
    if not families:
        return Finding(what, "warning", "none has Japanese letters: boxes stand for them",
                       FONTS_APT)  # fmt: skip
    return Finding(what, "ok", f"Japanese by {families[0]}, of {len(families)} families")


def serial_ports(devices: Sequence[str]) -> Finding:
    """Which serial ports there are, and whether this user may open them."""
    closed = [device for device in devices if not os.access(device, os.R_OK | os.W_OK)]
    if closed:
        remedy = f"`sudo adduser {getpass.getuser()} dialout`, then log in again; for a service's "
        remedy += "own ports `service install --usb` (docs/bedside_pc.md)"
        found = f"{', '.join(closed)}: {getpass.getuser()} may not open them"
        return Finding("serial ports", "warning", found, remedy)
    return Finding("serial ports", "ok", ", ".join(devices) or "none")


def service(places: Places, systemd: Systemd) -> Finding:
    """Whether the service that is installed here runs."""
    if not places.settings.exists():
        return Finding("service", "ok", "none is installed")
    try:
        settings, change = kept(places), Versions(places.versions).unconfirmed()
        if not RUNS_HERE.is_dir() and not places.is_trial:
            return Finding("service", "warning", "installed, but no systemd runs here")
        found = states_of(settings, places, systemd)
    except CommandError as error:
        return Finding("service", "trouble", str(error), "`tomoshibi service status` tells more")
    if change is not None:
        words = f"the change to {change.to} was cut off"
        return Finding("service", "trouble", words, "`sudo tomoshibi service settle` ends it")
    return _judged(found)


def _judged(found: Sequence[UnitState]) -> Finding:
    down = [state for state in found if state.state != "active"]
    words = ", ".join(f"{state.name} {state.state}" for state in found)
    if down:
        remedy = f"`tomoshibi service status`; `journalctl --namespace tomoshibi -u {down[0].unit}`"
        return Finding("service", "trouble", words, remedy)
    again = [state for state in found if state.restarts]
    if again:
        first = again[0]
        words += f"; {first.name} was started again {first.restarts} times"
        return Finding("service", "warning", words, "`tomoshibi service status` says why")
    return Finding("service", "ok", words)
