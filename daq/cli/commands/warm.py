"""Compile kernels once and keep them in the cache, on all cores, with the time left.

Every command works without it; the first start of `tomoshibi demo` compiles by itself what it
needs, and the rest once there is a picture. After an edit only what depends on it is compiled.
"""

from __future__ import annotations

import argparse
import os
import time

from daq.cli.common import add_json_option, cleaning_up, finish, whole
from daq.cli.launch.kernels import PURPOSES, compile_kernels
from daq.cli.progress import ProgressLine

EXAMPLES = """\
examples:
  tomoshibi warm
  tomoshibi warm --for demo      what a demo of a PET scanner needs
  tomoshibi warm --for spect     and of a gamma camera
"""

BAR = 24


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--for", dest="purpose", choices=PURPOSES, default="all",
                        help="compile only what this needs (default: %(default)s)")  # fmt: skip
    parser.add_argument("--jobs", type=whole, default=len(os.sched_getaffinity(0)), metavar="N",
                        help="processes that compile (default: %(default)s)")  # fmt: skip
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Compile."""
    from hw.kernel_cache import kernel_folder

    began = time.monotonic()
    line = ProgressLine("kernels")

    def show(share: float) -> None:
        line.say(progress_words(share, time.monotonic() - began))

    with cleaning_up():
        compile_kernels(options.purpose, jobs=options.jobs, progress=show)
    line.done()
    seconds = time.monotonic() - began
    result = {"seconds": round(seconds, 2), "cache": str(kernel_folder()), "for": options.purpose}
    finish(options, result, f"kernels ready in {seconds:.1f} s")
    return 0


def progress_words(share: float, seconds: float) -> str:
    """Return a bar, and how long the rest takes at the pace so far."""
    bar = "█" * round(BAR * share) + "░" * (BAR - round(BAR * share))
    left = f", about {seconds / share - seconds:.0f} s left" if share else ""
    return f"preparing kernels {bar} {100 * share:3.0f} %{left}"
