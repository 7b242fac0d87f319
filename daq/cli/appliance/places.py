"""Where the service's files lie: fixed places, all of them below one root."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hw.whole_file import make_folder, whole_file

NAME = "tomoshibi"


@dataclass(frozen=True)
class Places:
    """All places; a root other than ``/`` is a trial, of which systemd knows nothing."""

    root: Path = Path("/")

    @property
    def is_trial(self) -> bool:
        """Whether nothing but files may be touched."""
        return self.root != Path("/")

    @property
    def versions(self) -> Path:
        """The program's versions: root's, read by everybody, written by no service."""
        return self.root / "opt" / NAME

    @property
    def program(self) -> Path:
        """The command line of the version in force."""
        return self.versions / "current" / NAME

    @property
    def settings(self) -> Path:
        """How the service was set up (:mod:`daq.cli.appliance.settings`)."""
        return self.root / "etc" / NAME / "service.json"

    @property
    def environment(self) -> Path:
        """Environment variables of the service and of its user's commands."""
        return self.root / "etc" / NAME / "environment"

    @property
    def units(self) -> Path:
        """Where systemd looks for units that an administrator has put there."""
        return self.root / "etc" / "systemd" / "system"

    @property
    def log_limits(self) -> Path:
        """How much of the service's log is kept."""
        return self.root / "etc" / "systemd" / f"journald@{NAME}.conf"

    @property
    def udev_rules(self) -> Path:
        """Names and rights of the modules' serial ports."""
        return self.root / "etc" / "udev" / "rules.d" / f"70-{NAME}.rules"

    @property
    def wrapper(self) -> Path:
        """The command that everybody types."""
        return self.root / "usr" / "local" / "bin" / NAME

    @property
    def desktop_entry(self) -> Path:
        """What opens the console from the desktop's menu."""
        return self.root / "usr" / "local" / "share" / "applications" / f"{NAME}.desktop"

    @property
    def icon(self) -> Path:
        """The product's mark."""
        icons = self.root / "usr" / "local" / "share" / "icons" / "hicolor"
        return icons / "scalable" / "apps" / f"{NAME}.svg"

    @property
    def state(self) -> Path:
        """What the service keeps, of its user alone (0700): runs, configuration, last ends."""
        return self.root / "var" / "lib" / NAME

    @property
    def ends(self) -> Path:
        """A file for each process: how it last ended, where that was not by order."""
        return self.state / "ends"

    @property
    def cache(self) -> Path:
        """Compiled kernels and computed pictures, of its user alone (0700)."""
        return self.root / "var" / "cache" / NAME

    @property
    def runtime(self) -> Path:
        """Sockets, of its user alone (0700); made by systemd at each start of the machine."""
        return self.root / "run" / NAME


def write_readable(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a file that everybody may read, whatever the umask, whole or not at all."""
    make_folder(path.parent, mode=0o755)
    with whole_file(path, mode=mode) as file:
        file.write(text.encode())
        os.fchmod(file.fileno(), mode)
