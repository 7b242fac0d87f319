"""The options of ``tomoshibi reconstruct``, and what the reconstruction is asked for by them.

Options of the other modality: refused, for an image without them would not be what was asked.
"""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daq.cli.common import CommandError, positive, whole

if TYPE_CHECKING:
    from recon.core.quantification import ActivityCalibration, Patient
    from recon.offline.options import ReconOptions
    from recon.offline.reconstruction import Extras
    from recon.offline.run_data import RunData

CORRECTIONS = (
    "sensitivity",
    "block_efficiency",
    "attenuation",
    "randoms",
    "scatter",
    "normalisation",
    "dead_time",
    "decay",
    "motion",
    "calibration",
)


def add_algorithm_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the algorithm."""
    group = parser.add_argument_group("algorithm")
    group.add_argument(
        "--algorithm",
        choices=("osem", "mlem", "bsrem"),
        default="osem",
        help="bsrem maximises a penalised likelihood (default: %(default)s)",
    )
    group.add_argument("--iterations", type=int, default=4, help="default: %(default)s")
    group.add_argument("--subsets", type=int, default=8, help="default: %(default)s")
    group.add_argument(
        "--subsets-by",
        choices=("time", "angle"),
        default="time",
        help="what subsets split (default: %(default)s)",
    )
    group.add_argument(
        "--prior",
        choices=("none", "rdp"),
        default="none",
        help="rdp: relative differences of neighbours",
    )
    group.add_argument(
        "--beta",
        type=float,
        default=0.01,
        help="strength of the prior: 0.003 light, 0.02 strong (default: %(default)g)",
    )
    group.add_argument(
        "--psf",
        type=_psf,
        default="0",
        metavar="MM|detector",
        help="resolution model: a Gaussian of this FWHM, or what follows from the "
        "crystals (default: none)",
    )
    group.add_argument(
        "--stop",
        default="",
        metavar="RULE",
        help="stop early: noise=0.1, change=0.01, both with a comma, or counts (where the two "
        "halves of the counts agree best; three times the time)",
    )
    group.add_argument(
        "--no-tof",
        action="store_true",
        help="leave the times of flight out (those of a scanner whose times are not calibrated "
        "mislead)",
    )
    group.add_argument(
        "--fwhm-mm",
        type=float,
        default=0.0,
        metavar="MM",
        help="Gaussian post-filter (default: none)",
    )
    group.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    group.add_argument(
        "--memory-MB",
        type=positive,
        default=2000.0,
        metavar="MB",
        help="events beyond this go to a temporary file (default: %(default)g)",
    )


def add_correction_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the corrections."""
    group = parser.add_argument_group("corrections (each is applied where it is possible)")
    group.add_argument(
        "--attenuation",
        choices=("map", "contour", "mlaa", "none"),
        default="map",
        help="by the run's µ map, a head contour found in the image, or MLAA "
        "(needs time of flight) (default: %(default)s)",
    )
    group.add_argument(
        "--mu-map", type=Path, metavar="FILE", help="in place of the run's own: npz or NIfTI"
    )
    group.add_argument(
        "--mu-unit",
        choices=("auto", "per-mm", "per-cm", "hu"),
        default="auto",
        help="of a NIfTI µ map (default: %(default)s)",
    )
    group.add_argument(
        "--contour-beyond-mm",
        type=float,
        default=0.0,
        metavar="MM",
        help="how far the head reaches beyond what the tracer shows: about 13 for "
        "a tracer of the brain alone (default: %(default)g)",
    )
    group.add_argument(
        "--scatter",
        choices=("sss", "energy", "none"),
        default="sss",
        help="single-scatter simulation, or by the two energies (default: %(default)s)",
    )
    group.add_argument(
        "--normalisation-set",
        type=Path,
        metavar="FILE",
        help="calibration set with efficiencies, in place of the run's own",
    )
    for name, words in (
        ("randoms", "leave randoms in"),
        ("normalisation", "take all crystals as equal"),
        (
            "block-efficiency",
            "count every photon that a block stops",
        ),
        ("dead-time", "take detector time as live time"),
        ("decay", "leave the mean activity of each frame as it is"),
        ("calibration", "leave the image in emissions/s/mL"),
    ):
        group.add_argument(f"--no-{name}", action="store_true", help=words)
    group.add_argument(
        "--require",
        action="append",
        default=[],
        choices=CORRECTIONS,
        metavar="NAME",
        help="make no image without this correction; repeatable: " + ", ".join(CORRECTIONS),
    )


def add_time_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of frames, gates and motion."""
    group = parser.add_argument_group("frames, gates, motion")
    group.add_argument(
        "--frames",
        default="",
        metavar="FRAMES",
        help="lengths one after the other, 10x60s,5x120s, or times in s, "
        "0:60,60:300 (default: the whole run)",
    )
    group.add_argument("--gates", type=whole, default=0, metavar="N", help="split into N gates")
    group.add_argument(
        "--gate-signal",
        type=Path,
        metavar="FILE",
        help="CSV with t_s (triggers), t_s,phase or t_s,amplitude",
    )
    group.add_argument(
        "--poses",
        type=Path,
        metavar="FILE",
        help="correct rigid motion, event by event: CSV with "
        "t_s,x_mm,y_mm,z_mm,rx_deg,ry_deg,rz_deg as `emulate --motion`",
    )
    group.add_argument(
        "--pose-reference",
        type=float,
        metavar="S",
        help="make the image in the pose of this time (default: of all zeros)",
    )
    group.add_argument(
        "--decay-reference",
        default="0",
        metavar="TIME",
        help="the time that decay is corrected to: s since the run's start, or "
        "2026-11-21T10:30:00+00:00 (default: the run's start)",
    )


def add_quantification_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of calibration and SUV."""
    group = parser.add_argument_group("quantification")
    group.add_argument(
        "--calibration",
        type=Path,
        metavar="FILE",
        help="activity calibration (`tomoshibi calibrate activity`); default: RUN/activity.json",
    )
    group.add_argument("--nuclide", metavar="NAME", help="where the run does not say it")
    group.add_argument("--weight-kg", type=positive, metavar="KG", help="for SUV")
    group.add_argument("--injected-MBq", type=positive, metavar="MBq", help="for SUV")
    group.add_argument(
        "--injected-at",
        default="0",
        metavar="TIME",
        help="when it was so much, as --decay-reference (default: %(default)s)",
    )
    group.add_argument("--suv", action="store_true", help="write SUV in place of Bq/mL")


def _psf(text: str) -> str:
    """Check a width in mm, or the word, for argparse."""
    try:
        return text if text == "detector" else str(float(text))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f'{text!r} is neither a width in mm nor "detector"'
        ) from None


def sources_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return what is to be read in place of the run's own."""
    return {
        "mu_map": options.mu_map,
        "mu_unit": options.mu_unit.replace("-", "_"),
        "calibration": options.normalisation_set,
        "attenuated": options.attenuation == "map",
    }


def recon_options(options: argparse.Namespace, data: RunData, scratch: Path) -> ReconOptions:
    """Return what is asked for, checked."""
    from recon.core.frames import parse_frames
    from recon.offline.options import ReconOptions

    return ReconOptions(
        algorithm=options.algorithm,
        iterations=options.iterations,
        subsets=options.subsets,
        subsets_by=options.subsets_by,
        prior=options.prior,
        beta=options.beta,
        psf_fwhm_mm=0.0 if options.psf == "detector" else float(options.psf),
        psf_detector=options.psf == "detector",
        stop=options.stop,
        tof=not options.no_tof,
        post_filter_fwhm_mm=options.fwhm_mm,
        decay=not options.no_decay,
        dead_time=not options.no_dead_time,
        randoms=not options.no_randoms,
        normalisation=not options.no_normalisation,
        block_efficiency=not options.no_block_efficiency,
        calibration=not options.no_calibration,
        attenuation=options.attenuation,
        contour_beyond_mm=options.contour_beyond_mm,
        scatter=options.scatter,
        frames=parse_frames(options.frames) if options.frames else (),
        decay_reference_s=run_time_s(options.decay_reference, data, "--decay-reference"),
        require=tuple(options.require),
        threads=options.threads,
        memory_MB=options.memory_MB,
        scratch=scratch,
    )


def extras_of(options: argparse.Namespace, folder: Path, data: RunData) -> Extras:
    """Return motion, gating, calibration and patient, as far as they are given."""
    from recon.offline.gating import GateSignal
    from recon.offline.motion import PoseStream
    from recon.offline.reconstruction import Extras

    if bool(options.gates) != bool(options.gate_signal):
        raise CommandError("--gates N and --gate-signal FILE go together: give both")
    if options.pose_reference is not None and options.poses is None:
        raise CommandError("--pose-reference needs the poses: give --poses FILE")
    poses = options.poses and PoseStream.load(options.poses, reference_s=options.pose_reference)
    return Extras(
        poses=poses or None,
        gate_signal=GateSignal.load(options.gate_signal) if options.gate_signal else None,
        gates=options.gates,
        calibration=_calibration(options, folder, data),
        patient=_patient(options, data),
    )


def _calibration(
    options: argparse.Namespace, folder: Path, data: RunData
) -> ActivityCalibration | None:
    from daq.folder.calibration_set import scanner_hash
    from daq.folder.run_folder import ACTIVITY_NAME
    from recon.core.quantification import load_calibration

    if options.no_calibration:
        return None
    path = options.calibration or folder / ACTIVITY_NAME
    if options.calibration is None and not path.exists():
        return None
    found = load_calibration(path)
    found.check(scanner=data.scanner.name, scanner_hash=scanner_hash(data.scanner))
    return found


def _patient(options: argparse.Namespace, data: RunData) -> Patient | None:
    from recon.core.quantification import Patient

    if options.weight_kg is None and options.injected_MBq is None:
        if options.suv:
            raise CommandError("--suv needs --weight-kg and --injected-MBq")
        return None
    if options.weight_kg is None or options.injected_MBq is None:
        raise CommandError("SUV needs both --weight-kg and --injected-MBq")
    return Patient(
        weight_kg=options.weight_kg,
        injected_Bq=options.injected_MBq * 1e6,
        injected_s=run_time_s(options.injected_at, data, "--injected-at"),
    )


def check_suv(plan: ReconOptions, extras: Extras, data: RunData) -> None:
    """Refuse --suv before the work, where the image could not be in Bq/mL at a known time."""
    from recon.core.quantification import nuclide_of

    lacking = {
        "no activity calibration: `tomoshibi calibrate activity` makes one for --calibration": (
            extras.calibration is None
        ),
        "--no-calibration and --no-decay exclude it": not (plan.calibration and plan.decay),
        nuclide_of(data.labels)[1]: nuclide_of(data.labels)[0] is None,
    }
    if any(lacking.values()):
        reasons = "; ".join(words for words, lacks in lacking.items() if lacks)
        raise CommandError(f"--suv needs Bq/mL, corrected for decay: {reasons}")


def run_time_s(text: str, data: RunData, option: str) -> float:
    """Return a time as s since the run's start, from a number or a date with time."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(
            f"{option} {text}: neither s since the run's start nor a date with time such as "
            "2026-11-21T10:30:00+00:00"
        ) from None
    if data.start is None:
        raise CommandError(f"{option} {text}: the run does not say when it started; give seconds")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=data.start.tzinfo)
    return (moment - data.start).total_seconds()


SPECT_ONLY: dict[str, Any] = {
    "peaks": (),
    "spect_scatter": "auto",
    "no_collimator_response": False,
    "sensitivity_cps_per_MBq": None,
    "view_deg": 3.0,
    "list_mode": False,
}
PET_ONLY: dict[str, Any] = {
    "algorithm": "osem",
    "subsets_by": "time",
    "prior": "none",
    "beta": 0.01,
    "psf": "0.0",
    "stop": "",
    "no_tof": False,
    "memory_MB": 2000.0,
    "contour_beyond_mm": 0.0,
    "normalisation_set": None,
    "no_randoms": False,
    "no_block_efficiency": False,
    "no_normalisation": False,
    "no_calibration": False,
    "frames": "",
    "gates": 0,
    "gate_signal": None,
    "poses": None,
    "pose_reference": None,
    "decay_reference": "0",
    "calibration": None,
    "nuclide": None,
    "weight_kg": None,
    "injected_MBq": None,
    "injected_at": "0",
    "suv": False,
    "parametric": "",
    "input": None,
    "patlak_from": 0.0,
}
"""What only one modality knows, with the value where it was not given."""

_NAMES = {"spect_scatter": "--scatter-windows"}


def refuse_foreign(options: argparse.Namespace, modality: str) -> None:
    """Raise CommandError for an option that a run of this modality does not know."""
    if modality == "SPECT" and options.attenuation not in ("map", "none"):
        raise CommandError(f"--attenuation {options.attenuation} is for PET runs: map or none here")
    if modality == "SPECT" and options.scatter == "energy":
        raise CommandError("--scatter energy is for PET runs: use --scatter-windows here")
    known, other = (PET_ONLY, "PET") if modality == "SPECT" else (SPECT_ONLY, "SPECT")
    for name, default in known.items():
        if getattr(options, name) != default:
            option = _NAMES.get(name, f"--{name.replace('_', '-')}")
            raise CommandError(
                f"{option} is for {other} runs, this is a {modality} run: leave it out"
            )
