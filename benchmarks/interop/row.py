"""A line of the table, and programs that may be missing."""

from __future__ import annotations

import importlib
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT_S = 120


class MissingProgramError(Exception):
    """A program is not here; says how to install it."""


@dataclass(frozen=True)
class Row:
    """What a program read of a format, and how far it is from ours.

    good : whether the difference is within what the format can hold
    """

    format: str
    program: str
    read: str
    difference: str
    good: bool = True


Check = Callable[[Path], Row]
"""Writes a format into an empty folder, and has a program read it."""


def module(name: str, package: str = "") -> Any:
    """Import another project's module; raises MissingProgramError with what to install."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingProgramError(f"pip install {package or name}") from error


def version(package: str) -> str:
    """Return a package's name and version."""
    return f"{package} {importlib.import_module('importlib.metadata').version(package)}"


def program(name: str, package: str) -> str:
    """Return a program's path; raises MissingProgramError with what to install."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        raise MissingProgramError(f"apt-get install {package}")
    return found


def said(command: list[str], **more: Any) -> str:
    """Run a program; return all that it says. Raises CalledProcessError where it fails."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S, **more
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]}: status {done.returncode}: {done.stderr[-300:]}")
    return done.stdout + done.stderr


def debian(package: str) -> str:
    """Return a Debian package's name and version, the name alone where nobody knows it."""
    query = shutil.which("dpkg-query")
    words = said([query, "-W", "-f", "${Version}", package]) if query else ""
    return f"{package} {words.split('+')[0].split('-')[0]}".strip()


def share(value: float) -> str:
    """Return a difference as a share of the greatest value."""
    return "0" if value == 0 else f"{value:.1e} of the greatest"
