"""Putting the service's files in place, and taking them away; runs are never touched."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
from pathlib import Path

from daq.cli.appliance import desk_files, unit_files
from daq.cli.appliance.places import NAME, Places, write_readable
from daq.cli.appliance.settings import ServiceSettings
from daq.cli.common import CommandError
from hw.whole_file import make_folder, whole_link

MARK = Path(__file__).with_name(f"{NAME}.svg")
UNITS = "units"
"""Of a version: its folder of units, to which systemd's links lead by way of ``current``."""


def account(user: str) -> pwd.struct_passwd:
    """Return the service's account; CommandError, with the line to type, where there is none."""
    try:
        return pwd.getpwnam(user)
    except KeyError as error:
        raise CommandError(
            f"there is no account {user}: `adduser {user}` makes it; whoever sits at the scanner "
            "logs in by it, or has a key (docs/bedside_pc.md)"
        ) from error


def group_of(user: str) -> str:
    """Return the name of a user's own group, the user's name where there is no such user yet."""
    with contextlib.suppress(KeyError):
        return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name
    return user


def files_of(settings: ServiceSettings, places: Places) -> dict[Path, str]:
    """Return every text that does not belong to a version, by its place."""
    files = {
        places.environment: desk_files.environment(settings, places),
        places.wrapper: desk_files.wrapper(settings, places),
        places.log_limits: unit_files.log_limits(),
        places.desktop_entry: desk_files.desktop_entry(places),
        places.icon: MARK.read_text(encoding="utf-8"),
    }
    if settings.usb:
        files[places.udev_rules] = desk_files.udev_rules(settings, group_of(settings.user))
    return files


def write_units(folder: Path, settings: ServiceSettings, places: Places) -> None:
    """Write a version's units into its folder; remove those whose process no longer exists."""
    texts = unit_files.unit_files(settings, places)
    for name, text in texts.items():
        write_readable(folder / name, text)
    for path in folder.iterdir():
        if path.name not in texts:
            path.unlink()


def put_in_place(settings: ServiceSettings, places: Places) -> None:
    """Write all files, make the user's folders, and let systemd find the units.

    Raises
    ------
    CommandError, FileWriteError, OSError
    """
    owner = account(settings.user)
    for path, text in files_of(settings, places).items():
        write_readable(path, text, mode=0o755 if path == places.wrapper else 0o644)
    if not settings.usb:
        places.udev_rules.unlink(missing_ok=True)
    _make_private(owner, settings.runs_folder(places), places)
    link_units(settings, places)


def _make_private(owner: pwd.struct_passwd, runs: Path, places: Places) -> None:
    """Make the folders that are the user's alone; an existing one keeps its content."""
    own = [places.state, places.ends, places.state / "config", places.cache, runs]
    for folder in [*own, *([places.runtime] if places.is_trial else [])]:
        fresh = not folder.exists()
        make_folder(folder, mode=0o755)
        if folder.is_symlink() and folder != runs:
            raise CommandError(f"{folder} is a link to elsewhere: remove it")
        if fresh or folder != runs:
            os.chown(folder, owner.pw_uid, owner.pw_gid)
            folder.chmod(0o700)


def link_units(settings: ServiceSettings, places: Places) -> None:
    """Link the units of the current version, whichever it is, into systemd's folder."""
    wanted = set(unit_files.unit_files(settings, places))
    for old in _linked(places):
        if old.name not in wanted:
            old.unlink()
    for name in sorted(wanted):
        unit = places.versions / "current" / UNITS / name
        _link(places.units / name, Path(os.path.relpath(unit, places.units)))
    wants = places.units / "multi-user.target.wants" / unit_files.TARGET
    _link(wants, Path("..") / unit_files.TARGET)


def _link(path: Path, target: Path) -> None:
    make_folder(path.parent, mode=0o755)
    whole_link(path, target)


def _linked(places: Places) -> list[Path]:
    """Return the links to our units."""
    found = [*places.units.glob(f"{NAME}-*.service"), places.units / unit_files.TARGET]
    return [path for path in found if path.is_symlink()]


def take_away(settings: ServiceSettings, places: Places) -> list[Path]:
    """Remove everything that was installed; return what stays: runs, configuration, cache."""
    wants = places.units / "multi-user.target.wants" / unit_files.TARGET
    for path in [wants, *_linked(places), *files_of(settings, places), places.settings]:
        path.unlink(missing_ok=True)
    shutil.rmtree(places.versions, ignore_errors=True)
    with contextlib.suppress(OSError):  # somebody else's files are in it
        places.settings.parent.rmdir()
    kept = [settings.runs_folder(places), places.state, places.cache]
    return [folder for folder in kept if folder.exists()]
