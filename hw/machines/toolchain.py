"""Whether this computer has what it takes to build and run firmware, and how to get it.

This is the only place that says so: tests skip, and commands refuse, with these words.
"""

from __future__ import annotations

import shutil
from typing import Literal

Kind = Literal["native", "qemu"]

APT_LINE = "apt-get install --no-install-recommends gcc make gcc-arm-none-eabi qemu-system-arm"
NEEDED: dict[str, tuple[str, ...]] = {
    "native": ("gcc", "make"),
    "qemu": ("arm-none-eabi-gcc", "make", "qemu-system-arm"),
}


def missing(kind: Kind) -> str:
    """Return "" if nothing is missing, else what is missing and the command that installs it.

    kind : "native" (firmware as a process) or "qemu" (the ARM image in QEMU)
    """
    absent = [program for program in NEEDED[kind] if shutil.which(program) is None]
    if not absent:
        return ""
    return f"{kind} firmware needs {', '.join(absent)}, not found on PATH; install: {APT_LINE}"
