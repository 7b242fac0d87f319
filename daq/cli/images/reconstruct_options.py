"""The options of ``tomoshibi reconstruct``, and the settings of the reconstruction from them.

Options of the other modality are refused, because the image would not be what was asked for.
"""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from daq.cli.common import CommandError, positive, whole
from daq.cli.images.asked_options import Declared, OptionGroup, given
from daq.folder.run_identity import is_uid
from hw.messages.patient_position import PATIENT_POSITIONS
from recon.core.frame_times import Source
from recon.offline.options import ReconOptions

if TYPE_CHECKING:
    from recon.core.quantification import ActivityCalibration, Patient
    from recon.offline.gating import GateSignal
    from recon.offline.reconstruction import Extras
    from recon.offline.run_data import RunData


FIELD = "field"
"""The group of the options of voxels and field of view."""


def add_algorithm_options(parser: argparse.ArgumentParser) -> Declared:
    """Add the options of the algorithm."""
    group = OptionGroup(parser, "algorithm")
    group.add_fields(ReconOptions, "algorithm")
    return group.declared


def add_field_options(parser: argparse.ArgumentParser) -> Declared:
    """Add the options of voxels and field of view."""
    group = OptionGroup(parser, "voxels and field of view")
    group.add_fields(ReconOptions, FIELD)
    return group.declared


def add_correction_options(parser: argparse.ArgumentParser) -> Declared:
    """Add the options of the corrections."""
    title = "corrections (each is applied if possible)"
    group = OptionGroup(parser, title)
    group.add_fields(ReconOptions, "corrections")
    group.add("--mu-map", modality="both", type=Path, metavar="FILE",
              help="instead of the run's own: npz or NIfTI")  # fmt: skip
    group.add("--mu-unit", modality="both", choices=("auto", "per-mm", "per-cm", "hu"),
              default="auto", help="of a NIfTI µ map (default: %(default)s)")  # fmt: skip
    group.add("--normalisation-set", type=Path, metavar="FILE",
              help="calibration set with efficiencies, instead of the run's own")  # fmt: skip
    return group.declared


def add_time_options(parser: argparse.ArgumentParser) -> Declared:
    """Add the options of frames, gates and motion."""
    group = OptionGroup(parser, "frames, gates, motion")
    group.add("--frames", default="", metavar="FRAMES",
              help="lengths one after the other, 10x60s,5x120s, or times in s, 0:60,60:300 "
                   "(default: the whole run)")  # fmt: skip
    group.add("--gates", type=whole, default=0, metavar="N", help="split into N gates")
    group.add("--gate-signal", type=Path, metavar="FILE",
              help="CSV with t_s (triggers), t_s,phase or t_s,amplitude; or the name of a signal "
                   "that the run has (`tomoshibi record-signal`)")  # fmt: skip
    group.add("--gate-input", type=int, metavar="N",
              help="gate by input N of the modules, as triggers, in place of a file")  # fmt: skip
    group.add("--gate-source", choices=get_args(Source), default="unknown",
              help="what the signal is of; only gates of a heartbeat become one gated DICOM series "
                   "(default: %(default)s)")  # fmt: skip
    group.add("--poses", type=Path, metavar="FILE",
              help="correct rigid motion, event by event: CSV with "
                   "t_s,x_mm,y_mm,z_mm,rx_deg,ry_deg,rz_deg as `emulate --motion`")  # fmt: skip
    group.add("--pose-reference", type=float, metavar="S",
              help="make the image in the pose of this time (default: of all zeros)")  # fmt: skip
    group.add("--decay-reference", default="0", metavar="TIME",
              help="the time that decay is corrected to: s since the run's start, or "
                   "2026-11-21T10:30:00+00:00 (default: the run's start)")  # fmt: skip
    return group.declared


def add_quantification_options(parser: argparse.ArgumentParser) -> Declared:
    """Add the options of calibration and SUV."""
    group = OptionGroup(parser, "quantification")
    group.add("--calibration", type=Path, metavar="FILE",
              help="activity calibration (`tomoshibi calibrate activity`); default: "
                   "RUN/activity.json")  # fmt: skip
    group.add("--nuclide", metavar="NAME", help="if the run does not say it")
    group.add(
        "--weight-kg",
        type=positive,
        metavar="KG",
        help="for SUV (default: as `tomoshibi study` has it)",
    )
    group.add("--injected-MBq", type=positive, metavar="MBq",
              help="stands in the image's files; with --weight-kg for SUV")  # fmt: skip
    group.add("--injected-at", default="0", metavar="TIME",
              help="when it was so much, as --decay-reference (default: %(default)s)")  # fmt: skip
    group.add("--suv", action="store_true", help="write SUV instead of Bq/mL")
    return group.declared


def add_dicom_options(parser: argparse.ArgumentParser) -> Declared:
    """Add options for what DICOM files need and the run may lack."""
    group = OptionGroup(parser, "DICOM")
    group.add("--patient-position", modality="both", choices=PATIENT_POSITIONS,
              help="instead of the run's own")  # fmt: skip
    group.add("--frame-of-reference", modality="both", type=_uid, metavar="UID",
              help="of the CT that the µ map is from and still lies on (default: what the µ map "
                   "names, or the run's own)")  # fmt: skip
    return group.declared


def _uid(text: str) -> str:
    if not is_uid(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no DICOM UID, such as 1.2.840.10008.1")
    return text


def sources_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return the files to read instead of the run's own."""
    return {
        "mu_map": options.mu_map,
        "mu_unit": options.mu_unit.replace("-", "_"),
        "calibration": options.normalisation_set,
        "attenuated": options.attenuation == "map",
    }


def dicom_facts(options: argparse.Namespace) -> dict[str, Any]:
    """Return the values given in place of the run's; "" for none."""
    return {
        "frame_uid": options.frame_of_reference or "",
        "patient_position": options.patient_position or "",
    }


def recon_options(
    options: argparse.Namespace, data: RunData, scratch: Path, *, field: bool = True
) -> ReconOptions:
    """Return the settings asked for, checked.

    field : whether the command has the options of voxels and field of view
    """
    from recon.core.frames import parse_frames
    from recon.offline.defaults import by_counts

    values = given(options, ReconOptions, without=() if field else (FIELD,))
    if options.psf == "detector":
        values |= {"psf_fwhm_mm": 0.0, "psf_detector": True}
    values |= {
        "by_counts": by_counts(values),
        "frames": parse_frames(options.frames) if options.frames else (),
        "decay_reference_s": run_time_s(options.decay_reference, data, "--decay-reference"),
        "scratch": scratch,
    }
    return ReconOptions(**values)


def extras_of(options: argparse.Namespace, folder: Path, data: RunData) -> Extras:
    """Return motion, gating, calibration and patient, where given."""
    from recon.offline.motion import PoseStream
    from recon.offline.reconstruction import Extras

    signals = (options.gate_signal is not None) + (options.gate_input is not None)
    if signals != bool(options.gates):
        raise CommandError(
            "--gates N and --gate-signal FILE, or --gate-input N, go together: give both"
        )
    if options.pose_reference is not None and options.poses is None:
        raise CommandError("--pose-reference needs the poses: give --poses FILE")
    poses = options.poses and PoseStream.load(options.poses, reference_s=options.pose_reference)
    return Extras(
        poses=poses or None,
        gate_signal=_gate_signal(options, folder),
        gates=options.gates,
        calibration=_calibration(options, folder, data),
        patient=_patient(options, folder, data),
    )


def _gate_signal(options: argparse.Namespace, folder: Path) -> GateSignal | None:
    from daq.folder.signals.signal_file import given_or_kept
    from daq.replay.gate_words import gate_times_s
    from recon.offline.gating import GateSignal

    if options.gate_input is not None:
        return GateSignal.of_triggers(
            gate_times_s(folder, options.gate_input), source=options.gate_source
        )
    if options.gate_signal is None:
        return None
    path = given_or_kept(options.gate_signal, folder)
    return GateSignal.load(path, source=options.gate_source)


def _calibration(
    options: argparse.Namespace, folder: Path, data: RunData
) -> ActivityCalibration | None:
    from recon.offline.run_image import activity_calibration_of

    if options.no_calibration:
        return None
    return activity_calibration_of(folder, data.scanner, options.calibration)


def _patient(options: argparse.Namespace, folder: Path, data: RunData) -> Patient | None:
    """Return what SUV needs: as named, else as the run's study has it."""
    from recon.core.quantification import Patient

    study = _patient_of_study(folder, data)
    if options.weight_kg is None and options.injected_MBq is None:
        if options.suv and (study is None or study.weight_kg is None):
            raise CommandError(
                "--suv needs weight and injected activity with its time: name --weight-kg and "
                "--injected-MBq, or keep them in the run with `tomoshibi study RUN`"
            )
        return study
    if options.injected_MBq is None or (options.suv and options.weight_kg is None):
        raise CommandError("SUV needs both --weight-kg and --injected-MBq")
    return Patient(
        weight_kg=options.weight_kg,
        injected_Bq=options.injected_MBq * 1e6,
        injected_s=run_time_s(options.injected_at, data, "--injected-at"),
    )


def _patient_of_study(folder: Path, data: RunData) -> Patient | None:
    """Return net activity, and weight if known, of the run's study; None without an activity."""
    from daq.folder.identity.study_file import read_study
    from hw.physics.nuclides import nuclide_of
    from recon.offline.kept_images.run_facts import patient_of

    return patient_of(read_study(folder), data.start, nuclide_of(data.labels)[0])


def check_suv(plan: ReconOptions, extras: Extras, data: RunData) -> None:
    """Refuse --suv before the work if the image could not be in Bq/mL at a known time."""
    from hw.physics.nuclides import nuclide_of

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
