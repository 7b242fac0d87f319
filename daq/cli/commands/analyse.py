"""Measure an image: point sources, spheres, uniformity, regions, profiles; with a report.

IMAGE is a NIfTI file, or a run, whose newest image is used. Without options the image is described
and shown, with what was corrected for; of a run's image also who signed the run. All positions are
x,y,z in mm in the scanner's frame.

--point          width of a point source, NEMA NU 2-2018 section 3
--phantom        contrast recovery and background variability of its spheres (section 7), and the
                 uniformity of its warm cylinder: `spheres`, `cylinder`, or a file of shapes
--warm           uniformity and noise of a warm cylinder along z
--roi, --regions mean ± σ, deviation and extremes in regions given here, or kept in the run
--profile        values along an axis
"""

from __future__ import annotations

import argparse
from pathlib import Path

from daq.cli.common import CommandError, add_json_option, add_runs_option, find_run, finish, tell

EXAMPLES = """\
examples:
  tomoshibi analyse RUN                                   the newest image of a run
  tomoshibi analyse point.nii.gz --point                  FWHM and FWTM along x, y and z
  tomoshibi analyse RUN --phantom spheres --report quality.pdf
  tomoshibi analyse image.nii.gz --roi hot:sphere:0,30,0:12 --roi warm:cylinder:0,0,0:150,80
  tomoshibi analyse RUN --regions                         the regions kept in the run
  tomoshibi analyse image.nii.gz --profile x:0,30,0 --profile z:0,0,0:10 --report image.html
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("image", metavar="IMAGE", help='NIfTI file, run folder, name, or "last"')
    parser.add_argument("--frame", type=int, default=0, metavar="N",
                        help="image of a series, from 0 (default: %(default)s)")  # fmt: skip
    parser.add_argument("--point", nargs="?", const="", metavar="x,y,z",
                        help="point source: measure the brightest, or that at x,y,z")  # fmt: skip
    parser.add_argument("--phantom", metavar="NAME|FILE",
                        help="spheres, cylinder, or a file of shapes")  # fmt: skip
    parser.add_argument("--warm", metavar="x,y,z:D,L",
                        help="a warm cylinder along z: centre, diameter, length")  # fmt: skip
    parser.add_argument("--roi", action="append", default=[], metavar="NAME:KIND:x,y,z:SIZE",
                        help="a region: sphere (diameter), ellipsoid (x,y,z), cylinder "
                             "(diameter,length), box (x,y,z) or threshold (x,y,z,share of the "
                             "maximum); may be repeated")  # fmt: skip
    parser.add_argument("--regions", action="store_true",
                        help="the regions kept in the run (regions.json)")  # fmt: skip
    parser.add_argument("--profile", action="append", default=[], metavar="AXIS:x,y,z[:WIDTH]",
                        help="values along x, y or z through a point; may be repeated")  # fmt: skip
    parser.add_argument("--report", type=Path, metavar="FILE",
                        help="write tables and pictures to a .pdf or .html file")  # fmt: skip
    add_runs_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Measure, print, and write the report."""
    from daq.cli.images.measures import Measures
    from daq.folder.identity.review_file import read_review
    from daq.folder.region_file import read_regions
    from recon.analysis.picture import read_picture
    from recon.analysis.regions import parse_region
    from recon.analysis.report import write_report

    path = image_path(options)
    measures = Measures(read_picture(path, frame=options.frame), path)
    regions = [parse_region(text) for text in options.roi]
    folder, kept = run_of(path), []
    if options.regions:
        kept = read_regions(folder or find_run(options.image, options.runs))
    measures.describe([*regions, *kept])
    if folder is not None:
        review = read_review(folder)
        measures.review(review.words() if review is not None else "")
    if options.point is not None:
        measures.point(options.point)
    if options.phantom:
        measures.phantom(options.phantom)
    if options.warm:
        measures.uniform(options.warm)
    if regions or kept:
        measures.regions(regions, kept=kept)
    if options.profile:
        measures.profiles(options.profile)
    if options.report:
        write_report(options.report, f"Tomoshibi: {path.name}", measures.sections)
        measures.result["report"] = str(options.report)
        tell(f"report: {options.report}")
    finish(options, measures.result, measures.text())
    return 0


def run_of(image: Path) -> Path | None:
    """Return the folder of the run that keeps an image, None for a file of its own."""
    from daq.folder.run_folder import CONFIG_NAME

    folder = image.resolve().parent.parent
    return folder if (folder / CONFIG_NAME).is_file() else None


def image_path(options: argparse.Namespace) -> Path:
    """Return the image named: a file, or the newest NIfTI image of a run."""
    path = Path(options.image)
    if path.is_file():
        return path
    if path.suffix in (".nii", ".gz"):
        raise CommandError(f"{path} does not exist; give a NIfTI file or a run")
    folder = find_run(options.image, options.runs)
    images = [*folder.glob("images/*.nii.gz"), *folder.glob("images/*.nii")]
    if not images:
        raise CommandError(
            f"{folder.name} has no image yet: make one with `tomoshibi reconstruct {folder.name}`"
        )
    return max(images, key=lambda image: image.stat().st_mtime_ns)
