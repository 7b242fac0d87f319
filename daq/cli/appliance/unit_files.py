"""The systemd units of the service, as text (docs/adr/0026).

System units with a user of their own: they start with the machine, before anybody logs in; the
program and the units belong to root, so that what runs cannot change what will run; runs, sockets
and cache are the user's alone. Every limit is stated: of restarts, of silence, of what is written,
of files, of rights.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from daq.cli.appliance.places import NAME, Places
from daq.cli.appliance.settings import ServiceSettings

TARGET = f"{NAME}.target"
SETTLE = f"{NAME}-settle.service"

SILENCE_S = 30
"""Beyond the longest turn of the daq's loop by far: closing a long run goes turn by turn."""

START_S, STOP_S = 300, 120
"""A first start compiles kernels; the end of a run is written out."""

PLAIN = re.compile(r"[\w@+=:,./-]+")


@dataclass(frozen=True)
class Process:
    """A process of the service.

    watched : it gives signs of life, and counts as hung without them
    serial : it may open the modules' serial ports
    memory : who is ended first where memory runs out (-1000 to 1000, the highest)
    """

    name: str
    about: str
    command: list[str]
    watched: bool = False
    serial: bool = False
    memory: int = 0
    more: list[str] = field(default_factory=list)

    @property
    def unit(self) -> str:
        """The unit's name."""
        return f"{NAME}-{self.name}.service"


def processes(settings: ServiceSettings) -> list[Process]:
    """Return the processes, the daq first."""
    started = ["--started-by", "service"]
    found = [
        Process("daq", "acquisition, owner of the runs", ["acquire", *started, *settings.acquire],
                watched=True, memory=-800, more=["CPUWeight=400", "IOWeight=400"]),
    ]  # fmt: skip
    if settings.with_imager:
        found.append(Process("imager", "live image", ["imager", *settings.imager], memory=500))
    if settings.source:
        link = settings.source[0] == "link"
        about = "serial lines of the modules" if link else f"source of data ({settings.source[0]})"
        found.append(Process("source", about, settings.source, watched=link, serial=link))
    return found


def unit_files(settings: ServiceSettings, places: Places) -> dict[str, str]:
    """Return the text of each unit, by its file's name."""
    all_of_them = processes(settings)
    texts = {process.unit: _service(process, settings, places) for process in all_of_them}
    texts[TARGET] = _target([process.unit for process in all_of_them])
    texts[SETTLE] = _settle(places)
    return texts


def quoted(word: str) -> str:
    """Return a word quoted for a unit's command line, without specifiers or variables."""
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return word if PLAIN.fullmatch(word) else f'"{word}"'


def _target(units: list[str]) -> str:
    return f"""\
[Unit]
Description=Tomoshibi, acquisition of a PET/SPECT scanner
Wants={" ".join(units)}

[Install]
WantedBy=multi-user.target
"""


def _settle(places: Places) -> str:
    """Return the unit that settles an interrupted update; it runs the previous version."""
    return f"""\
[Unit]
Description=Tomoshibi: back to the version before, where a new one does not come up
ConditionPathExists={places.versions}/unconfirmed.json
ConditionPathExists={places.versions}/previous/{NAME}

[Service]
Type=oneshot
ExecStart={places.versions}/previous/{NAME} service settle
TimeoutStartSec=900
"""


def _service(process: Process, settings: ServiceSettings, places: Places) -> str:
    command = " ".join(quoted(word) for word in [str(places.program), *process.command])
    parts = [
        "[Unit]",
        f"Description=Tomoshibi: {process.about}",
        f"PartOf={TARGET}",
        # times of injection are compared with the wall clock: it is to be right before
        "After=local-fs.target time-sync.target",
        f"RequiresMountsFor={quoted(str(settings.runs_folder(places)))}",
        "StartLimitIntervalSec=300",
        "StartLimitBurst=10",
        *([f"OnFailure={SETTLE}"] if process.name == "daq" else []),
        "",
        "[Service]",
        *(["Type=notify", "NotifyAccess=main", f"WatchdogSec={SILENCE_S}"]
          if process.watched else ["Type=exec"]),
        f"User={settings.user}",
        f"ExecStart={command}",
        _told_end(process, places),
        f"EnvironmentFile={places.environment}",
        f"Environment=XDG_RUNTIME_DIR={places.runtime} XDG_CACHE_HOME={places.cache}",
        "Restart=always",
        "RestartSec=3",
        f"TimeoutStartSec={START_S}",
        f"TimeoutStopSec={STOP_S}",
        "KillMode=mixed",  # our own children end with their parent, in their own order
        *_limits(process),
        *_rights(process, settings, places),
        "",
    ]  # fmt: skip
    return "\n".join(parts)


def _told_end(process: Process, places: Places) -> str:
    """Return the line that records an unexpected end, which systemd forgets at the restart."""
    words = '"$$(date +%%s) $$SERVICE_RESULT $$EXIT_CODE $$EXIT_STATUS"'
    test = 'test "$$SERVICE_RESULT" = success'
    return f"ExecStopPost=-/bin/sh -c '{test} || echo {words} > {places.ends}/{process.name}'"


def _limits(process: Process) -> list[str]:
    """Return what a process may use: log, files, memory, processes."""
    return [
        f"LogNamespace={NAME}",
        "LogRateLimitIntervalSec=30",
        "LogRateLimitBurst=2000",
        "LimitNOFILE=65536",
        "LimitCORE=0",  # a core holds what memory did, whom a run is about among it
        "TasksMax=1024",
        f"OOMScoreAdjust={process.memory}",
        *process.more,
    ]


def _rights(process: Process, settings: ServiceSettings, places: Places) -> list[str]:
    """Return a process's rights: no more than it needs."""
    runs = settings.runs_folder(places)
    writable = " ".join(quoted(str(path)) for path in (places.state, places.cache, runs))
    devices = ["DevicePolicy=closed", "DeviceAllow=char-ttyUSB rw", "DeviceAllow=char-ttyACM rw",
               "DeviceAllow=char-ttyS rw", "SupplementaryGroups=dialout"]  # fmt: skip
    homes = ("/home", "/root", "/run/user")
    return [
        "UMask=0077",
        # shared, and to be there until the last process has gone: none removes it
        f"RuntimeDirectory={NAME}",
        "RuntimeDirectoryMode=0700",
        "RuntimeDirectoryPreserve=yes",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "AmbientCapabilities=",
        "ProtectSystem=strict",
        f"ReadWritePaths={writable}",
        # a version may lie in a checkout at home only on a trial; runs on a disk mounted there do
        *([] if str(runs).startswith(homes) else ["ProtectHome=yes"]),
        "PrivateTmp=yes",
        *(devices if process.serial else ["PrivateDevices=yes"]),
        "ProtectKernelTunables=yes",
        "ProtectKernelModules=yes",
        "ProtectKernelLogs=yes",
        "ProtectControlGroups=yes",
        "ProtectHostname=yes",
        "RestrictNamespaces=yes",
        "RestrictSUIDSGID=yes",
        "RestrictRealtime=yes",
        "LockPersonality=yes",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
        "SystemCallArchitectures=native",
        # these two read whether the clock is synchronised (hw/wall_clock_sync.py); ProtectClock
        # would refuse it. MemoryDenyWriteExecute would refuse numba's machine code.
        "SystemCallFilter=@system-service adjtimex clock_adjtime",
        "SystemCallErrorNumber=EPERM",
    ]


def log_limits() -> str:
    """Return how much of the service's log, which is separate, journald keeps."""
    return """\
# Written by `tomoshibi service install`; `journalctl --namespace tomoshibi` reads the log.
[Journal]
Storage=persistent
SystemMaxUse=500M
SystemKeepFree=1G
MaxRetentionSec=1year
"""
