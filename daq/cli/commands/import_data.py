"""Read third-party data: as a run, or as lines of response with an image.

gate     GATE 10 / opengate singles (npz), packed into data frames and sorted like a live run
petsird  PETSIRD list mode: a run of coincidences that can be reconstructed and exported
mmr      Siemens mMR list mode (32-bit PETLINK): sinograms, lines, a simple image
safir    STIR's SAFIR list mode with its crystal map: lines
pept     a positron camera's list of lines (text): played through the live imager

`tomoshibi import FORMAT --help` explains each with examples.
"""

from __future__ import annotations

import argparse
import importlib

from daq.cli import add_command

FORMATS = {
    "gate": "GATE 10 / opengate singles as a run",
    "petsird": "PETSIRD list mode as a run",
    "mmr": "Siemens mMR list mode as sinograms and lines",
    "safir": "STIR's SAFIR list mode as lines",
    "pept": "a positron camera's lines, live",
}

EXAMPLES = """\
examples:
  tomoshibi import gate singles.npz --scanner caremibrain
  tomoshibi import petsird brain.petsird && tomoshibi reconstruct last
  tomoshibi import mmr small_listmode_file.l
  tomoshibi import safir point_5.clm.safir --map crystal_map_front.txt
  tomoshibi import pept sample_2p_static.csv --play
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the formats, each with its own options."""
    formats = parser.add_subparsers(dest="format", metavar="FORMAT", required=True, title="formats")
    for name, words in FORMATS.items():
        module = importlib.import_module(f"daq.cli.imports.{name}")
        sub = add_command(formats, name, words, module)
        sub.set_defaults(import_run=module.run)


def run(options: argparse.Namespace) -> int:
    """Import."""
    return int(options.import_run(options))
