"""Images: NIfTI, DICOM PET and NM, Interfile, as other programs place and value their voxels."""

from __future__ import annotations

import re
from pathlib import Path

import nibabel as nib
import numpy as np
from interop.phantom import ABOUT, FRAMES, GRID, POSITIONS, difference, image
from interop.row import Check, Row, debian, module, program, said, share, version

from hw.arrays import F8
from recon.exchange.images.dicom_nm import write_dicom_nm
from recon.exchange.images.dicom_pet import write_dicom_pet
from recon.exchange.images.interfile import write_interfile
from recon.exchange.images.nifti import write_nifti

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
ROUNDING = 1.0 / 131070 + 1e-6
"""Of 16 bits, as exchange.md has it."""


def _pet(folder: Path, position: str, frames: int = 1) -> np.ndarray:
    values = image(frames)
    about = {**ABOUT, "run": f"interop-{position}", "hash": position, "patient_position": position}
    write_dicom_pet(folder / position, values, GRID, FRAMES[:frames], about)
    return values


def _nm(folder: Path, position: str) -> np.ndarray:
    about = {**ABOUT, "run": f"interop-{position}", "hash": position, "nuclide": "Tc-99m",
             "modality": "SPECT", "patient_position": position}  # fmt: skip
    (folder / position).mkdir()
    write_dicom_nm(folder / position / "a.dcm", image()[..., 0], GRID, FRAMES[:1], about)
    return image()[..., 0]


def _by_sitk(read: list[str] | str) -> tuple[np.ndarray, F8]:
    """Return [i, j, k, …] and the affine to RAS."""
    sitk = module("SimpleITK")
    found = sitk.ReadImage(read)
    values = sitk.GetArrayFromImage(found).T.astype(float)
    size = found.GetDimension()
    turn = np.array(found.GetDirection()).reshape(size, size)[:3, :3]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * np.array(found.GetSpacing())[:3], found.GetOrigin()[:3]
    return values, TO_RAS @ affine


def _by_dcm2niix(folder: Path) -> list[tuple[np.ndarray, F8]]:
    """Return the values of all images that it makes of a folder, with their affines."""
    out = folder.with_name(f"{folder.name}-nii")
    out.mkdir()
    said([program("dcm2niix", "dcm2niix"), "-f", "%s", "-o", str(out), str(folder)])
    made = [nib.load(path) for path in sorted(out.glob("*.nii"))]
    return [(one.get_fdata(), one.affine) for one in made]


def nifti_nibabel(folder: Path) -> Row:
    write_nifti(folder / "a.nii.gz", image(3), GRID, ABOUT, FRAMES)
    read = nib.load(folder / "a.nii.gz")
    worst = max(
        difference(read.get_fdata()[..., k], read.affine, image(3)[..., k]) for k in range(3)
    )
    return Row("NIfTI, 3 time frames", version("nibabel"), "voxels, affine", share(worst),
               worst == 0)  # fmt: skip


def nifti_sitk(folder: Path) -> Row:
    write_nifti(folder / "a.nii.gz", image(3), GRID, ABOUT, FRAMES)
    values, affine = _by_sitk(str(folder / "a.nii.gz"))
    worst = max(difference(values[..., k], affine, image(3)[..., k]) for k in range(3))
    return Row("NIfTI, 3 time frames", version("SimpleITK"), "voxels, origin, direction",
               share(worst), worst == 0)  # fmt: skip


def pet_sitk(folder: Path) -> Row:
    sitk, worst = module("SimpleITK"), 0.0
    for position in POSITIONS:
        truth = _pet(folder, position)[..., 0]
        names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder / position))
        worst = max(worst, difference(*_by_sitk(names), truth, position))
    return Row("DICOM PET, 8 positions of the patient", version("SimpleITK"),
               "voxels at their place in the patient", share(worst), worst < ROUNDING)  # fmt: skip


def pet_dcm2niix(folder: Path) -> Row:
    worst = 0.0
    for position in POSITIONS:
        truth = _pet(folder, position)[..., 0]
        ((values, affine),) = _by_dcm2niix(folder / position)
        worst = max(worst, difference(values, affine, truth, position))
    return Row("DICOM PET, 8 positions of the patient", debian("dcm2niix"),
               "voxels at their place in the patient", share(worst), worst < ROUNDING)  # fmt: skip


def dynamic_dcm2niix(folder: Path) -> Row:
    truth = _pet(folder, "HFS", 3)
    ((values, affine),) = _by_dcm2niix(folder / "HFS")
    worst = max(difference(values[..., k], affine, truth[..., k]) for k in range(3))
    # it scales all frames by one factor, which the brightest needs
    return Row("DICOM PET, 3 time frames", debian("dcm2niix"), "one image with 3 volumes",
               share(worst), worst < 2 * ROUNDING)  # fmt: skip


def pet_orders(folder: Path) -> Row:
    dciodvfy, errors, files = program("dciodvfy", "dicom3tools"), 0, 0
    for position in POSITIONS:
        _pet(folder, position)
        for path in (folder / position).iterdir():
            errors += len(re.findall(r"^Error", said([dciodvfy, str(path)]), re.MULTILINE))
            files += 1
    return Row("DICOM PET, 8 positions of the patient", debian("dicom3tools"),
               f"{files} objects, by dciodvfy", f"{errors} errors", errors == 0)  # fmt: skip


def nm_sitk(folder: Path) -> Row:
    worst = 0.0
    for position in POSITIONS:
        truth = _nm(folder, position)
        found = _by_sitk(str(folder / position / "a.dcm"))
        worst = max(worst, difference(*found, truth, position))
    return Row("DICOM NM, 8 positions of the patient", version("SimpleITK"),
               "voxels at their place in the patient", share(worst), worst < ROUNDING)  # fmt: skip


def nm_dcm2niix(folder: Path) -> Row:
    worst = 0.0
    for position in POSITIONS:
        truth = _nm(folder, position)
        ((values, affine),) = _by_dcm2niix(folder / position)
        worst = max(worst, difference(values, affine, truth, position))
    return Row("DICOM NM, 8 positions of the patient", debian("dcm2niix"),
               "voxels at their place in the patient", share(worst), worst < ROUNDING)  # fmt: skip


def interfile_medcon(folder: Path) -> Row:
    """It knows no orientation: voxels are compared in the order of the file."""
    write_interfile(folder / "a.hv", image()[..., 0], GRID, FRAMES[:1], ABOUT)
    command = [program("medcon", "medcon"), "-f", "a.hv", "-c", "nifti", "-o", "b", "-noprefix"]
    said([*command, "-q"], cwd=folder)
    read = nib.load(next(folder.glob("*.nii")))
    off = np.abs(read.get_fdata().squeeze()[::-1, ::-1] - image()[..., 0]).max() / image().max()
    sized = np.allclose(np.abs(read.header.get_zooms()[:3]), GRID.voxel_mm)
    return Row("Interfile image", debian("medcon"), "voxels in order, their size", share(off),
               bool(sized and off < 1e-6))  # fmt: skip


CHECKS: dict[str, Check] = {
    "NIfTI × nibabel": nifti_nibabel,
    "NIfTI × SimpleITK": nifti_sitk,
    "DICOM PET × SimpleITK": pet_sitk,
    "DICOM PET × dcm2niix": pet_dcm2niix,
    "DICOM PET, time frames × dcm2niix": dynamic_dcm2niix,
    "DICOM PET × dciodvfy": pet_orders,
    "DICOM NM × SimpleITK": nm_sitk,
    "DICOM NM × dcm2niix": nm_dcm2niix,
    "Interfile × medcon": interfile_medcon,
}
