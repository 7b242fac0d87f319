"""SAFIR list mode (STIR's, also of `export --format safir`) as a list of lines.

Writes lines.npz into a folder: start, end (n, 3) mm on the scanner's axes, time_ms, delayed. The
crystal map says where the crystals are; there is no scanner in the file to make a run of.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from daq.cli.common import add_json_option, finish

EXAMPLES = """\
examples:
  tomoshibi import safir point_5.clm.safir --map crystal_map_front.txt
  tomoshibi import safir brain.clm.safir --output out      (with brain_crystals.txt beside it)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the format's options."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the list (.clm.safir)")
    parser.add_argument("--map", type=Path, metavar="FILE",
                        help="its crystal map (default: NAME_crystals.txt beside it)")  # fmt: skip
    parser.add_argument("--output", type=Path, metavar="FOLDER",
                        help="default: NAME-imported in this folder")  # fmt: skip
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Import."""
    from hw.whole_file import whole_file
    from recon.exchange.listmode.safir_in import read_safir

    stem = options.file.name.removesuffix(".safir").removesuffix(".clm")
    events = read_safir(options.file, options.map or options.file.with_name(f"{stem}_crystals.txt"))
    folder = options.output or Path(f"{stem}-imported")
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / "lines.npz") as file:
        np.savez(file, start=events.lors.start, end=events.lors.end, time_ms=events.time_ms,
                 delayed=events.delayed)  # fmt: skip
    delayeds = int(events.delayed.sum())
    duration_s = float(np.ptp(events.time_ms)) / 1000 if len(events) else 0.0
    result = {
        "folder": str(folder),
        "prompts": len(events) - delayeds,
        "delayeds": delayeds,
        "duration_s": duration_s,
    }
    words = f"{folder}: {result['prompts']} prompts, {delayeds} delayeds in {duration_s:.3f} s"
    finish(options, result, words)
    return 0
