"""What is done to a running system, by kind: one table, ``KINDS``."""

from __future__ import annotations

from campaign.faults.disk import DISK
from campaign.faults.kind import Kind
from campaign.faults.links import LINKS
from campaign.faults.machine import MACHINE
from campaign.faults.outsiders import OUTSIDERS
from campaign.faults.processes import PROCESSES

KINDS: dict[str, Kind] = {
    kind.name: kind for kind in (*PROCESSES, *DISK, *LINKS, *OUTSIDERS, *MACHINE)
}
NOT_HERE = {
    "power cut": "needs a disk that forgets: tests/chain/test_power_cut.py",
    "firmware hangs": "the scene has no modules with firmware; tests/chain/test_firmware.py",
    "serial line unplugged": "likewise; tests/chain/test_serial.py",
    "update of the firmware cut": "likewise; tests/firmware",
    "calibration damaged": "the scene's scanner has no calibration; tests/fuzz",
}
"""Kinds that this campaign cannot do, and where they are tested, if they are."""
