"""How the service was set up: kept in one file, from which everything else is written again."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from daq.cli.appliance.places import Places, write_readable
from daq.cli.common import CommandError
from hw.bounded_files import FileRefused, read_object

SOURCES = ("emulate", "link", "replay-source")
USB = re.compile(r"[0-9a-f]{4}:[0-9a-f]{4}")
_ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


class ServiceSettings(msgspec.Struct, frozen=True):
    """What `service install` was asked for. A version leaves out what only a newer one knows.

    user : the account whose runs they are, and which runs every process
    acquire, source, imager : options of the commands; the source's first word is its command, and
        without a word there is none
    with_imager : whether there is a live imager
    runs : folder of the runs, "" for the service's own
    endpoint : where the processes meet, "" for sockets of the user alone
    usb : the modules' serial adapters, as VENDOR:PRODUCT in hexadecimal digits
    """

    user: str
    acquire: list[str] = []
    source: list[str] = []
    imager: list[str] = []
    with_imager: bool = True
    runs: str = ""
    endpoint: str = ""
    usb: list[str] = []

    def runs_folder(self, places: Places) -> Path:
        """Return the folder of the runs."""
        return Path(self.runs) if self.runs else places.state / "runs"

    def base(self, places: Places) -> str:
        """Return the address where the processes meet."""
        return self.endpoint or f"ipc://{places.runtime}/planes"


def check(settings: ServiceSettings) -> None:
    """Raise CommandError, naming the option, for a setting that cannot work."""
    if not _ACCOUNT.fullmatch(settings.user):
        raise CommandError(f"--user {settings.user!r}: no account can have that name")
    if settings.runs and not Path(settings.runs).is_absolute():
        raise CommandError(f"--runs {settings.runs}: give the whole path, from / on")
    for pair in settings.usb:
        if not USB.fullmatch(pair):
            raise CommandError(
                f"--usb {pair}: give VENDOR:PRODUCT in small hexadecimal digits, such as "
                "0403:6001 (`lsusb` shows them)"
            )
    if settings.source and settings.source[0] not in SOURCES:
        raise CommandError(
            f"--source {settings.source[0]}: begin with one of {', '.join(SOURCES)}, or none"
        )
    words = [settings.runs, settings.endpoint, *settings.acquire, *settings.source]
    for word in (*words, *settings.imager):
        if not word.isprintable():
            raise CommandError(f"{word!r}: a unit holds no control characters")


def keep(settings: ServiceSettings, places: Places) -> None:
    """Write the settings, readable by all: they hold nothing secret."""
    text = msgspec.json.format(msgspec.json.encode(settings), indent=1).decode()
    write_readable(places.settings, f"{text}\n")


def kept(places: Places) -> ServiceSettings:
    """Return the settings; CommandError if there are none, or they cannot be read."""
    try:
        found = msgspec.convert(read_object(places.settings), ServiceSettings)
    except FileRefused as error:
        if not places.settings.exists():
            words = f"no service is installed here ({places.settings} is missing)"
            raise CommandError(f"{words}: `tomoshibi service install --help`") from error
        raise CommandError(f"{places.settings}: {error}; `service install` writes it") from error
    except msgspec.ValidationError as error:
        raise CommandError(f"{places.settings}: {error}; `service install` writes it") from error
    check(found)
    return found
