"""Compile all kernels once and keep them in the cache, in this one process, with progress.

Every command works without it; the first start of `tomoshibi demo` does it by itself.
"""

from __future__ import annotations

import argparse
import importlib
import time

from daq.cli.common import add_json_option, finish, tell

EXAMPLES = """\
examples:
  tomoshibi warm
"""

ROOMS = ("coincidence", "daq.service", "emulator.process", "recon.imager")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Compile room by room."""
    from hw.jit import cache_folder

    began = time.monotonic()
    for number, room in enumerate(ROOMS, 1):
        tell(f"preparing kernels {number}/{len(ROOMS)}: {room}")
        importlib.import_module(f"{room}.warm_up").warm_kernels()
        if room == "daq.service":
            from daq.link.serial.cobs import warm_cobs

            warm_cobs()
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "warm").write_text("all kernels were compiled\n", encoding="utf-8")
    seconds = time.monotonic() - began
    finish(options, {"seconds": round(seconds, 2), "cache": str(folder)},
           f"kernels ready in {seconds:.1f} s")  # fmt: skip
    return 0


def is_warm() -> bool:
    """Whether this build's kernels are in the cache."""
    from hw.jit import cache_folder

    return (cache_folder() / "warm").exists()
