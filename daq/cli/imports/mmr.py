"""Siemens mMR list mode (32-bit PETLINK) as sinograms, a list of lines and a simple image.

Writes into a folder: sinograms.npz (prompts, delayeds [plane, view, bin]: single-slice rebinned, or
span 11), lines.npz (start, end (n, 3) mm, time_ms, delayed), image.nii.gz with its JSON, and
picture.png. The image is made from prompts, with the delayeds as a uniform background: no
normalisation, attenuation or scatter correction.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from daq.cli.common import add_json_option, finish, thread_count, whole
from daq.cli.progress import ProgressLine

if TYPE_CHECKING:
    from recon.exchange.listmode.mmr import MmrEvents

EXAMPLES = """\
examples:
  tomoshibi import mmr small_listmode_file.l
  tomoshibi import mmr list.l --header list.l.hdr --span 11 --no-image --output out
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the format's options."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the list-mode file (.l)")
    parser.add_argument("--header", type=Path, metavar="FILE",
                        help="its .l.hdr (default: the matching one beside it)")  # fmt: skip
    parser.add_argument("--output", type=Path, metavar="FOLDER",
                        help="default: NAME-imported in this folder")  # fmt: skip
    parser.add_argument("--span", type=int, choices=(1, 11), default=1,
                        help="of the sinograms: 1 is rebinned into 127 planes, 11 has the vendor's "
                        "837 (default: %(default)s)")  # fmt: skip
    parser.add_argument("--no-image", action="store_true", help="sinograms and lines only")
    parser.add_argument("--iterations", type=whole, default=4, help="default: %(default)s")
    parser.add_argument("--threads", type=thread_count, default=2, help="default: %(default)s")
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Import."""
    from hw.whole_file import whole_file
    from recon.exchange.listmode.mmr import find_header, read_header, read_mmr, span11, ssrb

    header = read_header(options.header) if options.header else find_header(options.file)
    events = read_mmr(options.file, header)
    folder = options.output or Path(f"{options.file.stem}-imported")
    folder.mkdir(parents=True, exist_ok=True)
    prompts, delayeds = ssrb(events) if options.span == 1 else span11(events)
    with whole_file(folder / "sinograms.npz") as file:
        np.savez_compressed(file, prompts=prompts, delayeds=delayeds)
    _write_lines(folder / "lines.npz", events)
    result = {
        "folder": str(folder),
        "prompts": int((~events.delayed).sum()),
        "delayeds": int(events.delayed.sum()),
        "duration_s": events.duration_s,
        "planes": len(prompts),
        "other_words": events.other_words,
    }
    if not options.no_image:
        trues = prompts.astype(np.int64) - delayeds
        _write_image(options, folder, events, trues.sum(axis=0))
    finish(options, result, f"{folder}: {result['prompts']} prompts, {result['delayeds']} delayeds "
           f"in {events.duration_s:.3f} s")  # fmt: skip
    return 0


def _write_lines(path: Path, events: MmrEvents) -> None:
    from hw.whole_file import whole_file
    from recon.exchange.listmode.mmr import lines

    lors = lines(events.header, events.view, events.bin, events.sinogram)
    with whole_file(path) as file:
        np.savez(file, start=lors.start, end=lors.end, time_ms=events.time_ms,
                 delayed=events.delayed)  # fmt: skip


def _write_image(
    options: argparse.Namespace, folder: Path, events: MmrEvents, sinogram: np.ndarray
) -> None:
    from recon.exchange.images.nifti import write_nifti
    from recon.exchange.images.preview import save_cuts
    from recon.offline.mmr_image import GRID, mmr_image

    progress = ProgressLine("imaging")
    image = mmr_image(
        events,
        iterations=options.iterations,
        threads=options.threads,
        progress=lambda share: progress(share, 1.0),
    )
    progress.done()
    about = {
        "algorithm": f"list-mode MLEM, {options.iterations} iterations, 8 mm Gaussian",
        "unit": "arbitrary",
        "scanner": "Siemens mMR",
        "prompts": int((~events.delayed).sum()),
        "corrections": {"randoms": True, "normalisation": False, "attenuation": False,
                        "scatter": False},
    }  # fmt: skip
    write_nifti(folder / "image.nii.gz", image, GRID, about)
    save_cuts(
        folder / "picture.png",
        image,
        GRID,
        title=f"{options.file.name}: {about['prompts']} prompts less {events.delayed.sum()} "
        f"delayeds in {events.duration_s:.3f} s; no normalisation, attenuation, scatter",
        beside=("prompts − delayeds, all planes", np.maximum(sinogram, 0)),
    )
