"""A positron camera's list of lines (PEPT, University of Birmingham's text), imaged live.

Reads rows of t, x1, y1, x2, y2 between two parallel screens, plays them through the live imager, by
default as fast as possible, with --play at their own speed, and prints the positions of the hottest
points in the file's coordinates. Writes lines.npz, image.nii.gz and picture.png into a folder.
Points are places of sources at rest only: where they move, the command says so and prints none;
then take short parts of the list, --start and --length.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from daq.cli.common import add_json_option, finish, positive, thread_count, whole
from daq.cli.progress import ProgressLine

if TYPE_CHECKING:
    from recon.core.grid import Image, ImageGrid
    from recon.exchange.listmode.pept import PeptList

EXAMPLES = """\
examples:
  tomoshibi import pept sample_2p_static.csv
  tomoshibi import pept sample_2p_static.csv --play --points 2 --json
  tomoshibi import pept rotating.csv --start 0.5 --length 0.02
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the format's options."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the list (text)")
    parser.add_argument("--play", action="store_true", help="at the list's own speed")
    parser.add_argument("--start", type=float, default=0.0, metavar="S",
                        help="leave out what is earlier after the first line")  # fmt: skip
    parser.add_argument("--length", type=positive, metavar="S", help="of the part (default: all)")
    parser.add_argument("--voxel-mm", type=positive, default=4.0, metavar="MM",
                        help="default: %(default)s")  # fmt: skip
    parser.add_argument("--points", type=whole, default=2, metavar="N",
                        help="points to look for (default: %(default)s)")  # fmt: skip
    parser.add_argument("--output", type=Path, metavar="FOLDER",
                        help="default: NAME-imported in this folder")  # fmt: skip
    parser.add_argument("--threads", type=thread_count, default=2, help="default: %(default)s")
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Import and image."""
    from hw.whole_file import whole_file
    from recon.exchange.listmode.pept import point_sources, read_pept
    from recon.exchange.listmode.pept_motion import check_at_rest
    from recon.live.pept_playback import play

    listed = read_pept(options.file)
    if options.start or options.length:
        listed = listed.part(options.start, options.length or float("inf"))
    grid = listed.grid(options.voxel_mm)
    progress = ProgressLine("imaging")
    images: list[float] = []

    def shown(image: Any, late_s: float) -> None:
        images.append(late_s)
        progress.say(f"{image.detector_time_s:.2f} s: {image.prompts_used} lines")

    image, last = play(
        listed, grid, speed=1.0 if options.play else 0.0, threads=options.threads, shown=shown
    )
    progress.done()
    points = point_sources(image, grid, options.points)
    folder = options.output or Path(f"{options.file.stem}-imported")
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / "lines.npz") as file:
        np.savez(file, start=listed.lors.start, end=listed.lors.end, time_s=listed.time_s,
                 origin_mm=listed.origin_mm)  # fmt: skip
    _write(options, folder, listed, (image, grid, points))
    check_at_rest(listed.lors, points)
    in_file = points + listed.origin_mm
    result = {
        "folder": str(folder),
        "lines": len(listed),
        "duration_s": float(np.ptp(listed.time_s)),
        "images": len(images),
        "worst_lateness_s": max(images, default=0.0),
        "fraction_used": last.fraction_used,
        "points_mm": in_file.round(2).tolist(),
    }
    words = "; ".join(f"({x:.1f}, {y:.1f}, {z:.1f}) mm" for x, y, z in in_file)
    finish(options, result, f"{folder}: {len(listed)} lines in {len(images)} images; {words}")
    return 0


def _write(
    options: argparse.Namespace,
    folder: Path,
    listed: PeptList,
    made: tuple[Image, ImageGrid, np.ndarray],
) -> None:
    from recon.exchange.images.nifti import write_nifti
    from recon.exchange.images.preview import save_cuts

    image, grid, points = made
    about = {
        "algorithm": "live online EM", "unit": "arbitrary", "prompts": len(listed),
        "origin_in_file_mm": listed.origin_mm.tolist(), "corrections": {"sensitivity": True},
    }  # fmt: skip
    write_nifti(folder / "image.nii.gz", image, grid, about)
    save_cuts(
        folder / "picture.png",
        image,
        grid,
        title=f"{options.file.name}: {len(listed)} lines in {np.ptp(listed.time_s):.3f} s, "
        f"{options.points} hottest points",
        points_mm=list(points),
        projected=True,
    )
