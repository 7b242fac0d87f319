"""The image of a run in one call, PET or SPECT: ``recon.reconstruct``.

The engines are :func:`recon.offline.reconstruction.reconstruct` for PET, which takes a measurement
and options as objects, and :func:`recon.spect.offline.reconstruct_spect`; here a run's folder goes
in and an image ready to save comes out, as with ``tomoshibi reconstruct``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from daq.folder.calibration_set import scanner_hash
from hw.messages.patient_position import PatientPosition
from hw.scanner.description import Scanner
from recon.analysis.picture import Picture
from recon.core.asked import OptionsError
from recon.core.frame_times import FrameTime
from recon.core.grid import ReconError
from recon.core.mu_map import MuUnit
from recon.core.quantification import ActivityCalibration, Patient, load_calibration
from recon.exchange.images.formats import MadeImage, formats_of, write_images
from recon.offline.defaults import by_counts
from recon.offline.gating import GateSignal
from recon.offline.motion import PoseStream
from recon.offline.opened_run import Run, open_run
from recon.offline.options import ReconOptions
from recon.offline.reconstruction import Extras
from recon.offline.reconstruction import reconstruct as reconstruct_data
from recon.offline.run_model import checked_options
from recon.offline.run_reader import run_data
from recon.spect.offline import reconstruct_spect
from recon.spect.run import SpectOptions
from recon.spect.run_input import is_whole, spect_run

ACTIVITY_NAME = "activity.json"


@dataclass(frozen=True)
class RunImage(MadeImage):
    """An image, what it shows and how it was made.

    Attributes
    ----------
    image : ndarray
        (x, y, z), or (x, y, z, frame) for several frames or gates, float32, in :attr:`unit`.
    grid : ImageGrid
        Shape, ``voxel_mm``, ``origin_mm``; the scanner's frame, z along the bore.
    frames : sequence of FrameTime
        The time of each volume.
    metadata : dict
        Corrections (how, or why not), counts, options, notes.
    modality : str
        PET or SPECT.
    suv_factor : float or None
        SUV per unit of the image, if known.
    """

    suv_factor: float | None = None

    @property
    def unit(self) -> str:
        """Bq/mL, or emissions/s/mL without a calibration."""
        return str(self.metadata["unit"])

    def picture(self, frame: int = 0) -> Picture:
        """Return one volume for the measures of :mod:`recon.analysis`."""
        values = self.image if self.image.ndim == 3 else self.image[..., frame]
        x, y, z = (float(place) for place in self.grid.origin_mm)
        parts = self.parts[frame] if frame < len(self.parts) else None
        return Picture(
            values.astype(np.float64), self.grid.voxel_mm, (x, y, z), self.metadata, "image", parts
        )

    def save(self, path: str | Path, formats: str | Sequence[str] = "nifti") -> list[Path]:
        """Write the image, with its metadata as JSON beside a NIfTI file.

        Parameters
        ----------
        path : str or Path
            A file named .nii or .nii.gz; other formats go beside it, under its name.
        formats : str or sequence of str
            ``nifti``, ``dicom``, ``interfile``: comma-separated, or a sequence.

        Returns
        -------
        list of Path
            What was written: files, or folders of DICOM files.

        Raises
        ------
        ExchangeError, FileWriteError
            if a format is unknown or cannot hold the image, or it cannot be written.
        """
        names = formats_of(formats if isinstance(formats, str) else ",".join(formats))
        path = Path(path)
        if not path.name.endswith((".nii", ".nii.gz")):
            raise ReconError(f"{path}: its name must end in .nii or .nii.gz")
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_images(self, path, names)


def reconstruct(
    run: Run | str | Path,
    *,
    mu_map: str | Path | None = None,
    mu_unit: MuUnit = "auto",
    normalisation_set: str | Path | None = None,
    activity_calibration: str | Path | None = None,
    nuclide: str = "",
    poses: PoseStream | None = None,
    gate_signal: GateSignal | None = None,
    gates: int = 0,
    patient: Patient | None = None,
    patient_position: PatientPosition | None = None,
    frame_of_reference: str = "",
    progress: Callable[[str, float], None] = lambda what, share: None,
    stopped: Callable[[], bool] = lambda: False,
    **options: Any,
) -> RunImage:
    """Reconstruct a run with every correction that it allows, as ``tomoshibi reconstruct`` does.

    Parameters
    ----------
    run : Run, str or Path
        An opened run, or anything that :func:`open_run` takes.
    mu_map, mu_unit : optional
        A µ map (npz or NIfTI) instead of the run's own, and the unit of a NIfTI map.
    normalisation_set : optional
        A calibration set with efficiencies, instead of the run's own.
    activity_calibration : optional
        A file made by ``tomoshibi calibrate activity``; default: the run's ``activity.json``.
    nuclide : str, optional
        Needed if the run does not name it.
    poses, gate_signal, gates : optional
        Rigid motion; splitting into gates.
    patient : Patient, optional
        Weight and injected activity, for SUV.
    patient_position, frame_of_reference : optional
        What DICOM files say, instead of what the run and its µ map do.
    progress : callable, optional
        Called with the current step and the share done; ``print`` will do.
    stopped : callable, optional
        Polled regularly; True ends with ReconstructionStopped.
    **options
        Fields of :class:`ReconOptions` (PET) or :class:`SpectOptions` (SPECT): iterations, subsets,
        algorithm, psf_fwhm_mm, attenuation, scatter, frames (also as ``"10x60s"``), require, …
        Of algorithm, voxels, resolution, prior and filter, what is not named is chosen by the
        counts (:mod:`recon.offline.defaults`), and ``metadata["by_counts"]`` says what.

    Returns
    -------
    RunImage

    Raises
    ------
    ReconError
        for an option that is unknown or out of bounds, data that cannot be used, and a required
        correction that is not possible.

    Examples
    --------
    >>> image = reconstruct("runs/last", iterations=8, scatter="none")  # doctest: +SKIP
    >>> image.save("brain.nii.gz", formats=("nifti", "dicom"))          # doctest: +SKIP
    """
    run = run if isinstance(run, Run) else open_run(run)
    chosen_mu = None if mu_map is None else Path(mu_map)
    said = {"frame_uid": frame_of_reference, "patient_position": patient_position or ""}
    if run.modality == "SPECT":
        given = {
            "normalisation_set": normalisation_set, "activity_calibration": activity_calibration,
            "nuclide": nuclide, "poses": poses, "gate_signal": gate_signal, "gates": gates,
            "patient": patient,
        }  # fmt: skip
        _refuse_for_spect(run, [name for name, value in given.items() if value])
        return _spect_image(run, chosen_mu, mu_unit, said, options, progress, stopped)
    asked = {"by_counts": by_counts(options), **options}
    plan = checked_options(ReconOptions, "PET", asked)
    data = run_data(
        run.folder,
        mu_map=chosen_mu,
        mu_unit=mu_unit,
        calibration=None if normalisation_set is None else Path(normalisation_set),
        attenuated=plan.attenuation == "map",
        **said,
    )
    if nuclide:
        data = replace(data, labels={**data.labels, "nuclide": nuclide})
    calibration = None
    if plan.calibration:
        chosen = None if activity_calibration is None else Path(activity_calibration)
        calibration = activity_calibration_of(run.folder, run.scanner, chosen)
    extras = Extras(
        poses=poses, gate_signal=gate_signal, gates=gates, calibration=calibration, patient=patient
    )
    made = reconstruct_data(data, plan, extras, progress=progress, stopped=stopped)
    return RunImage(
        made.image, made.grid, made.frames, made.metadata,
        parts=made.parts, suv_factor=made.suv_factor,
    )  # fmt: skip


def activity_calibration_of(
    folder: Path, scanner: Scanner, path: Path | None = None
) -> ActivityCalibration | None:
    """Return the activity calibration in a file, or the run's own, checked against its scanner.

    None if none is named and the run's folder has none.
    """
    chosen = path or folder / ACTIVITY_NAME
    if path is None and not chosen.exists():
        return None
    found = load_calibration(chosen)
    found.check(scanner=scanner.name, scanner_hash=scanner_hash(scanner))
    return found


def _refuse_for_spect(run: Run, names: list[str]) -> None:
    if names:
        raise OptionsError(f"{names[0]} is for PET runs, {run.name} is a SPECT run: leave it out")


def _spect_image(
    run: Run,
    mu_map: Path | None,
    mu_unit: MuUnit,
    said: dict[str, str],
    options: dict[str, Any],
    progress: Callable[[str, float], None],
    stopped: Callable[[], bool],
) -> RunImage:
    plan = checked_options(SpectOptions, "SPECT", options)
    data = spect_run(
        run.folder, mu_map=mu_map, mu_unit=mu_unit, attenuated=plan.attenuation, **said
    )
    made = reconstruct_spect(data, plan, said=progress, stopped=stopped)
    warnings = list(made.warnings)
    if not is_whole(run.singles().path):
        warnings.append("the singles log was not closed: it is used up to its last whole block")
    about = {"run": run.name, **made.metadata, "warnings": warnings}
    frames = [FrameTime(0.0, about["duration_s"], prompts=about["prompts_used"])]
    return RunImage(made.image, made.grid, frames, about, modality="SPECT")
