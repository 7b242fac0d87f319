"""What is done to a running system, by kind: one table, ``KINDS``."""

from __future__ import annotations

from campaign.faults.disk import DISK
from campaign.faults.firmware import FIRMWARE
from campaign.faults.kind import Kind
from campaign.faults.links import LINKS
from campaign.faults.machine import MACHINE
from campaign.faults.outsiders import OUTSIDERS
from campaign.faults.people import PEOPLE
from campaign.faults.power import POWER
from campaign.faults.processes import PROCESSES
from campaign.faults.wire import WIRE

_ALL = (
    *PROCESSES, *PEOPLE, *DISK, *POWER, *LINKS, *WIRE, *OUTSIDERS, *MACHINE, *FIRMWARE,
)  # fmt: skip
KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}
