"""Coincidences and projections, as other programs read them event by event and count by count."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from interop.phantom import ABOUT
from interop.row import Check, MissingProgramError, Row, debian, module, program, said, version

from daq.cli import main as tomoshibi
from hw.physics.constants import LIGHT_MM_PER_PS
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner
from recon.exchange.petsird.header import Binning, header_of
from recon.exchange.petsird.writer import write_petsird
from recon.exchange.scan_facts import ScanFacts
from rigs.exchange_data import made_records
from rigs.runs.spect_run_folder import write_spect_run

SCANNER = load_scanner("bench2")
DURATION_S = 0.02
RELEASES = {"0.12": "0.12.0", "0.11": "0.11.1", "0.10": "0.10.0", "0.9": "0.9.1"}
READERS = "TOMOSHIBI_PETSIRD_READERS"

PETSIRD_READER = """
import json, sys
import petsird
events, delayed, ends = [], 0, []
with petsird.BinaryPETSIRDReader(sys.argv[1]) as reader:
    scanner = reader.read_header().scanner
    edges = [float(one) for one in scanner.tof_bin_edges[0][0].edges]
    for block in reader.read_time_blocks():
        span = block.value.time_interval
        for e in block.value.prompt_events[0][0]:
            a, b = (int(one) for one in e.detection_bins)
            events.append([a, b, int(e.tof_idx), int(span.start), int(span.stop)])
        delayed += len(block.value.delayed_events[0][0])
print(json.dumps({"events": events, "delayed": delayed, "edges": edges}))
"""


def _lists() -> tuple[np.ndarray, np.ndarray]:
    """Return prompts and delayeds, of crystals on opposite sides."""
    made = []
    for count, delayed in ((4000, False), (600, True)):
        records = made_records(SCANNER, count, DURATION_S, seed=3 + delayed, delayed=delayed)
        half = SCANNER.n_crystals // 2
        records["crystal_a"] %= half
        records["crystal_b"] = records["crystal_b"] % half + half
        made.append(records)
    return made[0], made[1]


def _petsird_environment(release: str) -> dict[str, str]:
    """Return an environment in which a release of petsird is the one imported."""
    place = Path(os.environ.get(READERS, "/nowhere")) / release
    if (place / "petsird").is_dir():
        return {**os.environ, "PYTHONPATH": str(place)}
    try:
        if importlib.metadata.version("petsird") == release:
            return dict(os.environ)
    except importlib.metadata.PackageNotFoundError:
        pass
    raise MissingProgramError(
        f"pip install --no-deps --target READERS/{release} petsird=={release}; {READERS}=READERS"
    )


def petsird(schema: str, folder: Path) -> Row:
    environment = _petsird_environment(RELEASES[schema])
    acquisition, doi = SCANNER.acquisition, SCANNER.module.doi_bins
    binning = Binning.of(SCANNER, window_ps=acquisition.window_ps, lld_keV=acquisition.lld_keV,
                         uld_keV=acquisition.uld_keV)  # fmt: skip
    prompts, delayeds = _lists()
    header = header_of(SCANNER, build_geometry(SCANNER), binning, ScanFacts.of(ABOUT))
    write_petsird(folder / "a.petsird", [(False, prompts), (True, delayeds)], header, binning,
                  doi_bins=doi, version=schema)  # fmt: skip
    command = [sys.executable, "-c", PETSIRD_READER, str(folder / "a.petsird")]
    found: dict[str, Any] = json.loads(said(command, env=environment))
    events = np.array(found["events"])
    wrong = sum(
        int((events[:, place] != prompts[f"crystal_{end}"] * doi + prompts[f"doi_{end}"]).sum())
        for place, end in enumerate("ba")
    )
    edges = np.array(found["edges"])
    middle_ps = (edges[:-1] + edges[1:])[events[:, 2]] / LIGHT_MM_PER_PS
    tof_ps = float(np.abs(middle_ps - prompts["tof_ps"]).max())
    at_ms = prompts["time_ps"] / 1e9
    late = int(((at_ms < events[:, 3]) | (at_ms >= events[:, 4])).sum())
    width_ps = float(np.diff(edges).max()) * 2 / LIGHT_MM_PER_PS
    return Row(
        f"PETSIRD {schema}", f"petsird {RELEASES[schema]}",
        f"{len(events)} prompts, {found['delayed']} delayeds",
        f"{wrong} other crystals, {late} outside their ms, TOF {tof_ps:.1f} ps at most "
        f"(bins of {width_ps:.1f} ps)",
        wrong == late == 0 and found["delayed"] == len(delayeds) and tof_ps <= width_ps / 2 + 0.1,
    )  # fmt: skip


def _projections(folder: Path) -> Path:
    """Return a SPECT run's projections of one window as a file."""
    run = write_spect_run(folder / "spect", point_mm=(41.0, -18.0, 33.0), patient_position="HFS")
    path = folder / "p.dcm"
    command = ["export", str(run), "--format", "dicom", "--output", str(path)]
    with contextlib.redirect_stdout(io.StringIO()):
        if tomoshibi([*command, "--only-windows", "Tc-99m_141"]):
            raise RuntimeError(f"{' '.join(command)} failed")
    return path


def _centres(frames: np.ndarray) -> np.ndarray:
    """Return the mean row and column of each frame [view, row, column], in pixels."""
    rows, columns = np.indices(frames.shape[1:])
    counts = frames.sum(axis=(1, 2))
    return np.stack([(frames * one).sum(axis=(1, 2)) / counts for one in (rows, columns)], 1)


def _as_made(folder: Path) -> np.ndarray:
    """Return the views [view, row, column] as our own code has them before any format."""
    from recon.exchange.projections.dicom_tomo import patient_frames
    from recon.spect.projections import projections_of
    from recon.spect.run_input import spect_run

    views = projections_of(spect_run(folder / "spect", attenuated=False), view_deg=3.0)
    return patient_frames(views.only(["Tc-99m_141"]), "HFS")[0, 0].astype(float)


def projections(read: Callable[[Path], np.ndarray], by: str, folder: Path) -> Row:
    """Compare views [view, row, column] as a program has them with ours before any format."""
    path = _projections(folder)
    found, ours = read(path), _as_made(folder)
    off = float(np.abs(found - ours[: len(found)]).max())
    moved = float(np.abs(_centres(found) - _centres(ours[: len(found)])).max())
    return Row("SPECT projections, DICOM NM TOMO", by,
               f"{len(found)} of {len(ours)} views, {found.sum():.0f} counts",
               f"{off:g} counts in any pixel, point moved by {moved:g} px", off == 0)  # fmt: skip


def tomo_sitk(folder: Path) -> Row:
    sitk = module("SimpleITK")

    def read(path: Path) -> np.ndarray:
        return np.asarray(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), float)

    return projections(read, version("SimpleITK"), folder)


def tomo_pydicom(folder: Path) -> Row:
    pydicom = module("pydicom")
    return projections(lambda path: pydicom.dcmread(path).pixel_array.astype(float),
                       version("pydicom"), folder)  # fmt: skip


def tomo_dciodvfy(folder: Path) -> Row:
    path = _projections(folder)
    errors = said([program("dciodvfy", "dicom3tools"), str(path)]).count("\nError")
    return Row("SPECT projections, DICOM NM TOMO", debian("dicom3tools"), "1 object, by dciodvfy",
               f"{errors} errors", errors == 0)  # fmt: skip


CHECKS: dict[str, Check] = {
    **{f"PETSIRD {schema} × petsird": partial(petsird, schema) for schema in RELEASES},
    "SPECT projections, DICOM × pydicom": tomo_pydicom,
    "SPECT projections, DICOM × SimpleITK": tomo_sitk,
    "SPECT projections, DICOM × dciodvfy": tomo_dciodvfy,
}
