"""Which kernels a command needs, whether they are compiled, and compiling them on all cores.

Each task runs some kernels once with the types used live. Tasks share kernels; which process
compiles a shared one is settled by the cache's locks (``hw.kernel_cache``), so that each is
compiled once and the others load it.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import multiprocessing
import os
import platform
import signal
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from daq.cli.launch.processes import begin_child
from hw.cpu import cpu_name_and_features

TASKS = {
    "emulator.process.warm_up:warm_spect": 17,
    "emulator.process.warm_up:warm_pet": 13,
    "coincidence.warm_up:warm_kernels": 10,
    "recon.imager.warm_up:warm_live": 8,
    "recon.imager.warm_up:warm_live_scatter": 5,
    "recon.imager.warm_up:warm_spect": 6,
    "daq.service.warm_up:warm_frames": 4,
    "emulator.process.warm_up:warm_library": 3,
    "recon.imager.warm_up:warm_offline": 4,
    "recon.imager.warm_up:warm_prompt_gamma": 4,
    "recon.imager.warm_up:warm_petsird": 3,
    "daq.link.serial.cobs:warm_cobs": 1,
}
"""Module and function, and about how many seconds of a core it takes; long ones begin first."""

EVENT_PATH = ("coincidence.warm_up:warm_kernels", "daq.service.warm_up:warm_frames",
              "daq.link.serial.cobs:warm_cobs")  # fmt: skip
_PET = (*EVENT_PATH, "recon.imager.warm_up:warm_live", "recon.imager.warm_up:warm_live_scatter",
        "emulator.process.warm_up:warm_pet")  # fmt: skip
PURPOSES: dict[str, tuple[str, ...]] = {
    "all": tuple(TASKS),
    "acquire": EVENT_PATH,
    "demo": _PET,
    "library": (*_PET, "emulator.process.warm_up:warm_library"),
    "spect": (*EVENT_PATH, "recon.imager.warm_up:warm_spect",
              "emulator.process.warm_up:warm_spect"),
    "reconstruct": tuple(task for task in TASKS if task.startswith("recon.")),
}  # fmt: skip
"""What a command needs: ``demo`` of a PET scanner, ``spect`` is the demo of a gamma camera."""

ROOMS = ("hw", "emulator", "coincidence", "daq", "recon")
_ROOT = Path(__file__).resolve().parents[3]

Progress = Callable[[float], None]


def tasks_of(purpose: str) -> list[str]:
    """Return the tasks for a purpose, long ones first."""
    return sorted(PURPOSES[purpose], key=lambda task: -TASKS[task])


def compile_kernels(purpose: str, *, jobs: int, progress: Progress) -> None:
    """Compile what a purpose needs in ``jobs`` processes, and note that it is done.

    progress : called twice a second with the share that is done

    Raises
    ------
    Exception
        what a task raised
    """
    from hw.kernel_cache import forget_unused

    forget_unused()
    tasks = tasks_of(purpose)
    whole, done = sum(TASKS[task] for task in tasks), 0
    context = multiprocessing.get_context("fork")
    with context.Pool(min(jobs, len(tasks)), _begin_worker, (os.getpid(),)) as workers:
        finished = workers.imap_unordered(_run_task, tasks)
        while done < whole:
            with contextlib.suppress(multiprocessing.TimeoutError):
                done += TASKS[finished.next(timeout=0.5)]
            progress(done / whole)
    _note(purpose)


def _begin_worker(parent: int) -> None:
    begin_child(parent, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, which ends these
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _run_task(task: str) -> str:
    module, function = task.split(":")
    getattr(importlib.import_module(module), function)()
    return task


# --- what is there --------------------------------------------------------------------------------


def is_warm(purpose: str = "all") -> bool:
    """Whether all that a purpose needs is compiled, for these very sources."""
    return _note_file(purpose).exists() or (purpose != "all" and is_warm())


def compiled() -> tuple[int, int]:
    """Return how many of our kernels are compiled, and how many there are."""
    from hw.jit import KERNELS
    from hw.kernel_cache import file_stem, kernel_folder

    for task in TASKS:
        importlib.import_module(task.split(":")[0])
    there = {path.name.rpartition("-")[0] for path in kernel_folder().glob("*.nbc")}
    return sum(file_stem(kernel) in there for kernel in KERNELS), len(KERNELS)


def _note(purpose: str) -> None:
    path = _note_file(purpose)
    path.parent.mkdir(parents=True, exist_ok=True)
    for older in path.parent.glob(f"{purpose}-*.ready"):
        if time.time() - older.stat().st_mtime > 7 * 86400:
            older.unlink(missing_ok=True)
    path.write_text(f"kernels for {purpose} are compiled\n", encoding="utf-8")


def _note_file(purpose: str) -> Path:
    """Return the file that says so; no compiler is imported for its name.

    Any edit of our sources asks for another: compiling then takes what has changed.
    """
    root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tomoshibi"
    folder = Path(os.environ.get("TOMOSHIBI_CACHE", root)) / "kernels"
    return folder / f"{purpose}-{sources_key()}.ready"


def sources_key() -> str:
    """Return the hash of our sources, of the libraries' versions and of the CPU."""
    digest = hashlib.blake2b(digest_size=8)
    parts: Sequence[str] = ("numba", "llvmlite", "numpy")
    for part in (*map(version, parts), platform.python_version(), cpu_name_and_features()):
        digest.update(part.encode())
    for path in sorted(p for room in ROOMS for p in (_ROOT / room).rglob("*.py")):
        digest.update(path.relative_to(_ROOT).as_posix().encode() + path.read_bytes())
    for path in sorted(p for room in ROOMS for p in (_ROOT / room).rglob("*.toml")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
