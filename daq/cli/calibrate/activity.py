"""Find the factor from emissions to Bq/mL, from a uniform cylinder of known concentration.

The run is reconstructed with the corrections that the images will have, and the mean in the
cylinder, away from its edges, is compared with the concentration filled in, at the same moment. The
factor covers what the detection model leaves out, above all the efficiency of the blocks within the
energy window; it does not depend on the nuclide. It is valid for this scanner, this energy window
and these corrections, which the file names.

The result is a JSON file, by default activity.json in the run's folder. Give it to other runs with
`tomoshibi reconstruct --calibration`, or copy it into their folders.
"""

from __future__ import annotations

import argparse
import datetime as dt
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daq.cli.calibrate.kind import CalibrationKind
from daq.cli.calibrate.outcome import one_run
from daq.cli.common import (
    CommandError,
    add_json_option,
    add_runs_option,
    find_run,
    finish,
    make_folder,
    positive,
)
from daq.cli.images.reconstruct_options import (
    add_algorithm_options,
    add_correction_options,
    recon_options,
    run_time_s,
    sources_of,
)
from daq.cli.progress import EtaLine

if TYPE_CHECKING:
    from recon.core.quantification import ActivityCalibration, MeanInRegion, Region
    from recon.offline.options import ReconOptions
    from recon.offline.reconstruction import Reconstruction
    from recon.offline.run_data import RunData

EXAMPLES = """\
examples:
  tomoshibi calibrate activity RUN --radius-mm 100 --length-mm 150 --activity-MBq 20
  tomoshibi calibrate activity RUN --radius-mm 100 --length-mm 150 --activity-MBq 20 \\
      --activity-at 2026-11-21T09:12:00+00:00 --activity-error-percent 2
  tomoshibi calibrate activity RUN --concentration-Bq-mL 5300 --region 80,100 --output today.json
"""

MOST_ERROR_PERCENT = 100.0

MARGIN_MM = 15.0
"""Distance from the cylinder's edges: beyond the blur of the resolution and of cut voxels."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "run_folders", nargs="+", metavar="RUN", help='a run: folder, name, or "last"'
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="the file to write (default: RUN/activity.json); it must not exist",
    )
    source = parser.add_argument_group("the cylinder")
    source.add_argument("--radius-mm", type=positive, metavar="R", help="of what is filled")
    source.add_argument("--length-mm", type=positive, metavar="L", help="of what is filled")
    source.add_argument(
        "--centre-mm",
        type=float,
        nargs=3,
        default=(0.0, 0.0, 0.0),
        metavar=("X", "Y", "Z"),
        help="(default: the scanner's)",
    )
    source.add_argument("--activity-MBq", type=positive, metavar="A", help="in all of it")
    source.add_argument(
        "--concentration-Bq-mL", type=positive, metavar="C", help="in place of activity and size"
    )
    source.add_argument(
        "--activity-at",
        default="0",
        metavar="TIME",
        help="when it was so much: s since the run's start, or a date with time "
        "(default: the run's start)",
    )
    source.add_argument(
        "--activity-error-percent",
        type=float,
        default=0.0,
        metavar="P",
        help="standard error of the activity (default: %(default)g)",
    )
    source.add_argument(
        "--region",
        metavar="R,L",
        help="radius and length in mm of where the mean is taken (default: the "
        f"cylinder less {MARGIN_MM:g} mm on all sides)",
    )
    parser.add_argument("--nuclide", metavar="NAME", help="if the run does not say it")
    add_algorithm_options(parser)
    add_correction_options(parser)
    add_runs_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Reconstruct, compare and write the factor."""

    import msgspec

    from hw.whole_file import whole_file
    from recon.core.quantification import mean_in
    from recon.offline.reconstruction import reconstruct
    from recon.offline.run_reader import run_data

    folder = one_run([find_run(text, options.runs) for text in options.run_folders], "activity")
    output = options.output or folder / "activity.json"
    if output.exists():
        raise CommandError(f"{output} exists already and is never overwritten: choose --output")
    region = region_of(options)
    error = options.activity_error_percent
    if not 0 <= error <= MOST_ERROR_PERCENT:
        raise CommandError(
            f"--activity-error-percent {error:g}: must lie in 0..{MOST_ERROR_PERCENT:g}"
        )
    make_folder(output.parent)
    data = run_data(folder, **sources_of(options))
    if options.nuclide:
        data = replace(data, labels={**data.labels, "nuclide": options.nuclide})
    known = concentration_Bq_per_mL(options, data)
    options.no_calibration, options.frames, options.decay_reference = True, "", "0"
    progress = EtaLine("reconstructing")
    choices = _unbiased(recon_options(options, data, folder, field=False))
    made = reconstruct(data, choices, progress=progress)
    progress.done()
    found = mean_in(made.image, made.grid, region)
    calibration = _calibration(options, data, made, found, known, region)
    with whole_file(output) as file:
        file.write(msgspec.json.format(msgspec.json.encode(calibration), indent=2) + b"\n")
    result = {
        "activity_calibration": str(output),
        **msgspec.to_builtins(calibration),
        "mean_emissions_per_s_mL": found.mean,
        "voxels": found.voxels,
        "notes": made.metadata["notes"],
    }
    finish(options, result, _told(output, calibration, found, made))
    return 0


def region_of(options: argparse.Namespace) -> Region:
    """Return the region of the mean."""
    from recon.core.quantification import Region

    centre = tuple(options.centre_mm)
    if options.region:
        try:
            radius_mm, length_mm = (positive(part) for part in options.region.split(","))
        except (ValueError, argparse.ArgumentTypeError):
            raise CommandError(
                f"--region {options.region}: give radius,length in mm, both above 0"
            ) from None
        return Region(radius_mm, length_mm, centre)
    if options.radius_mm is None or options.length_mm is None:
        raise CommandError("give the cylinder's --radius-mm and --length-mm, or --region R,L")
    radius_mm, length_mm = options.radius_mm - MARGIN_MM, options.length_mm - 2 * MARGIN_MM
    if radius_mm <= 0 or length_mm <= 0:
        raise CommandError(
            f"the cylinder is less than {2 * MARGIN_MM:g} mm across or long: nothing of it is away "
            "from its edges; use a larger one, or say --region R,L"
        )
    return Region(radius_mm, length_mm, centre)


def concentration_Bq_per_mL(options: argparse.Namespace, data: RunData) -> float:
    """Return the concentration filled in, at the run's start."""
    from hw.physics.nuclides import nuclide_of
    from recon.core.decay import MOST_HALF_LIVES

    nuclide, why = nuclide_of(data.labels)
    if nuclide is None:
        raise CommandError(f"{why}: say --nuclide")
    if not nuclide.beta_plus_fraction:
        raise CommandError(f"{nuclide.name} emits no positrons: PET cannot measure it")
    at_s = run_time_s(options.activity_at, data, "--activity-at")
    if not abs(at_s) <= MOST_HALF_LIVES * nuclide.half_life_s:
        raise CommandError(
            f"--activity-at {options.activity_at}: {at_s:g} s after the run's start are more than "
            f"{MOST_HALF_LIVES:g} half-lives of {nuclide.name}"
        )
    decayed = 2.0 ** (at_s / nuclide.half_life_s)
    if options.concentration_Bq_mL is not None:
        return float(options.concentration_Bq_mL) * decayed
    if options.activity_MBq is None or options.radius_mm is None or options.length_mm is None:
        raise CommandError(
            "how much is in the cylinder? Give --activity-MBq with --radius-mm and --length-mm, "
            "or --concentration-Bq-mL"
        )
    volume_mL = math.pi * options.radius_mm**2 * options.length_mm / 1000.0
    return float(options.activity_MBq) * 1e6 / volume_mL * decayed


def _unbiased(options: ReconOptions) -> ReconOptions:
    """Return the options with plain OSEM, but for voxels and resolution model by counts.

    A prior would pull at the mean; without a resolution model the noise of voxels, which cannot be
    negative, would lift it.
    """
    kept = tuple(name for name in options.by_counts if name in ("voxel_mm", "psf_fwhm_mm"))
    return replace(options, by_counts=kept)


def _calibration(
    options: argparse.Namespace,
    data: RunData,
    made: Reconstruction,
    found: MeanInRegion,
    known_Bq_per_mL: float,
    region: Region,
) -> ActivityCalibration:
    from daq.folder.calibration_set import scanner_hash
    from hw.physics.nuclides import nuclide_of
    from recon.core.quantification import FACTOR_BOUNDS, ActivityCalibration

    nuclide, _ = nuclide_of(data.labels)
    if nuclide is None or found.mean <= 0:
        raise CommandError(f"the image is empty in the {region}: is the cylinder there?")
    if not made.corrections.of("decay").applied:
        raise CommandError("an activity calibration needs decay correction: leave --no-decay out")
    factor, (least, most) = known_Bq_per_mL * nuclide.beta_plus_fraction / found.mean, FACTOR_BOUNDS
    if not least <= factor <= most:
        raise CommandError(
            f"a factor of {factor:.3g} is beyond {least:g}..{most:g}: {found.mean:.4g} "
            f"emissions/s/mL were found where {known_Bq_per_mL:.4g} Bq/mL should be; are activity, "
            "size and place of the cylinder right?"
        )
    return ActivityCalibration(
        factor=factor,
        error=min(math.hypot(found.error, options.activity_error_percent / 100), 1.0),
        scanner=data.scanner.name,
        scanner_hash=scanner_hash(data.scanner),
        lld_keV=data.lld_keV,
        uld_keV=data.uld_keV,
        corrections=made.corrections.applied(),
        run=data.name,
        concentration_Bq_per_mL=known_Bq_per_mL,
        region=str(region),
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    )


def _told(
    output: Path, calibration: ActivityCalibration, found: MeanInRegion, made: Reconstruction
) -> str:
    missing: dict[str, Any] = made.corrections.missing()
    lines = [f"not corrected: {name}: {why}" for name, why in missing.items()]
    lines.append(
        f"{output}: factor {calibration.factor:.5g} ± {100 * calibration.error:.2g} %, from "
        f"{found.mean:.5g} emissions/s/mL where {calibration.concentration_Bq_per_mL:.5g} Bq/mL are"
    )
    return "\n".join(lines)


KIND = CalibrationKind(
    name="activity",
    words="factor from emissions to Bq/mL, from a cylinder of known concentration",
    teaches=__doc__,
    examples=EXAMPLES,
    order=8,
    add_arguments=add_arguments,
    run=run,
)
