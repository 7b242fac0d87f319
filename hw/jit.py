"""The one way to compile a kernel, and where its machine code is cached.

numba's cache does not notice that a *callee* or a *constant* in another module was edited: a
cached caller keeps the old answer. So the cache folder's name carries a hash of every kernel
source of ours with all that it imports, numba's version and the CPU: any edit starts a fresh
folder. Import ``kernel`` from here, never ``numba.njit``, or the key is not set before numba
reads it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOMS = ("hw", "emulator", "coincidence", "daq", "recon")
_ROOT = Path(__file__).resolve().parent.parent


_KERNEL = re.compile(r"^@\w*kernel$", re.MULTILINE)
_IMPORT = re.compile(r"^\s*from (\w[\w.]*) import \(?([\w, ]*)", re.MULTILINE)


def _kernel_sources() -> list[Path]:
    """Return the kernels' files, what they import of ours, and definitions beside those."""
    files = [path for room in ROOMS for path in (_ROOT / room).rglob("*.py")]
    pending = [path for path in files if _KERNEL.search(path.read_text(encoding="utf-8"))]
    found: set[Path] = set()
    while pending:
        path = pending.pop()
        if path not in found:
            found.add(path)
            pending += _imported_files(path.read_text(encoding="utf-8"))
    definitions = (path.with_suffix(".toml") for path in found)
    return sorted({*found, *(path for path in definitions if path.is_file())})


def _imported_files(source: str) -> list[Path]:
    files = []
    for module, names in _IMPORT.findall(source):
        if module.split(".")[0] in ROOMS:
            place = _ROOT.joinpath(*module.split("."))
            candidates = [place, *(place / name.strip() for name in names.split(","))]
            files += [path.with_name(f"{path.name}.py") for path in candidates if path.name]
    return [path for path in files if path.is_file()]


def _cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    names = [line for line in text.splitlines() if line.startswith(("model name", "flags"))]
    return "\n".join(names[:2])


def cache_key() -> str:
    """Return 16 hex digits that change whenever compiled kernels must be compiled anew."""
    digest = hashlib.sha256()
    for part in (version("numba"), version("numpy"), platform.python_version(), _cpu_name()):
        digest.update(part.encode())
    for path in _kernel_sources():
        digest.update(path.as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def cache_root() -> Path:
    """Return the folder of everything that is cached (``TOMOSHIBI_CACHE`` names another)."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tomoshibi"
    return Path(os.environ.get("TOMOSHIBI_CACHE", default))


def cache_folder() -> Path:
    """Return the folder for compiled kernels; all sources are read for its name, some 0.1 s."""
    return cache_root() / "kernels" / cache_key()


if "NUMBA_CACHE_DIR" not in os.environ:
    os.environ["NUMBA_CACHE_DIR"] = str(cache_folder())

import numba  # noqa: E402  (after the cache folder is named, on purpose)
import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402

Array = npt.NDArray[Any]
"""An array argument of a kernel; its docstring gives shape and dtype."""

Record = Any
"""One record of a structured array inside a kernel."""

Number = int | np.int64

kernel: Callable[..., Any] = numba.njit(nogil=True, cache=True)
"""Decorate a module-level function: compiled on first call, releases the GIL, cached on disk."""

bare_kernel: Callable[..., Any] = numba.njit(
    nogil=True, cache=True, _nrt=False, forceinline=True, error_model="numpy"
)
"""Like ``kernel`` but compiled without numba's reference counting, and inlined into its callers.

For small functions that are handed many arrays, called hundreds of times an event: counting
references (locked instructions) on each call made the Monte Carlo 3.5 times slower and cost the
projector 100 ns a ray. Such kernels cannot allocate (``numpy.empty``, slices of unlike arrays).
Division by zero gives infinity, as in numpy, instead of a test at each division.
"""
