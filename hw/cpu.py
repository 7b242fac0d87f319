"""Which processor this is: for measured figures, and for machine code compiled for it."""

from __future__ import annotations

import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


def cpu_model() -> str:
    """Return the processor's name as its maker gives it; "unknown" if the system does not say."""
    return _first("model name") or platform.processor() or "unknown"


def cpu_name_and_features() -> str:
    """Return its name and features: machine code for others may not run on it."""
    return "\n".join((cpu_model(), _first("flags")))


def _first(field: str) -> str:
    """Return a field's first value in the system's list of processors, "" without one."""
    try:
        text = CPUINFO.read_text(encoding="utf-8")
    except OSError:
        return ""
    rows = (line.partition(":") for line in text.splitlines())
    return next((value.strip() for name, _, value in rows if name.strip() == field), "")
