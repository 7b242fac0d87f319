"""A SPECT run's folder as input of the reconstruction: windows, chunks of singles, live shares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw.bounded_files import FileRefused, read_object
from recon.core.grid import ReconError

if TYPE_CHECKING:
    from daq.folder.singles_log import SinglesReader
    from recon.core.mu_map import MuUnit
    from recon.spect.run import Chunk, SpectRun

CHUNK_RECORDS = 200_000
LONGEST_S = 9e6
"""Times are int64 in ps."""

MARGIN = 1e-3
"""How far live shares may exceed 1: a run's last period may reach beyond its end."""


def spect_run(
    folder: Path,
    *,
    mu_map: Path | None = None,
    mu_unit: MuUnit = "auto",
    attenuated: bool = True,
    frame_uid: str = "",
    patient_position: str = "",
) -> SpectRun:
    """Return the run in a folder.

    Parameters
    ----------
    folder : the run's
    mu_map : a µ map's file instead of the run's own, npz or NIfTI
    mu_unit : of the values of a NIfTI map; "auto" tells 1/mm from 1/cm by their size
    attenuated : whether to read the µ map
    frame_uid : DICOM's frame of reference, instead of that of the run or its µ map
    patient_position : as in DICOM ("HFS" …), instead of the run's

    Raises
    ------
    ReconError
        if the singles are missing.
    """
    from daq.folder.run_folder import MU_MAP_NAME, run_config, started_at
    from daq.folder.run_identity import RunIdentity
    from daq.folder.singles_log import FILE_NAME, SinglesReader
    from hw.messages.patient_position import position_named
    from recon.core.grid import ImageGrid
    from recon.core.mu_map import frame_of_reference, load_mu_map
    from recon.spect.run import SpectRun

    path = folder / FILE_NAME
    if not path.exists():
        raise ReconError(
            f"{folder.name} has no {FILE_NAME}: it was recorded without windows for singles. Sort "
            "its raw log again: tomoshibi sort RUN --spect NUCLIDE --output FILE"
        )
    config = run_config(folder)
    scanner = config.scanner()
    log, summary = SinglesReader(path), _summary(folder)
    chosen = mu_map or folder / MU_MAP_NAME
    has_mu = attenuated and (mu_map is not None or chosen.exists())
    grid = ImageGrid(scanner.image.shape, scanner.image.voxel_mm)
    lay = position_named(patient_position, otherwise=config.patient_position)
    return SpectRun(
        scanner=scanner,
        windows=log.windows,
        chunks=chunks_of(log),
        mu=load_mu_map(chosen, grid, unit=mu_unit, position=lay) if has_mu else None,
        live_share=live_share(summary, scanner.n_modules),
        end_s=end_s(summary) if is_whole(path) else 0.0,
        calibrated=bool(config.calibration),
        start=started_at(folder),
        hash=str(summary.get("singles_hash", "")),
        identity=RunIdentity.of(folder).with_changes(
            frame_of_reference_uid=frame_uid or frame_of_reference(chosen),
            patient_position=patient_position,
        ),
    )


def is_whole(path: Path) -> bool:
    """Return whether a singles log was closed; a truncated one ends with its last whole block."""
    return read_through(path).closed


def read_through(path: Path) -> SinglesReader:
    """Return a singles log that was read to its end, so that it knows what is damaged."""
    from daq.folder.singles_log import SinglesReader

    log = SinglesReader(path)
    for _ in log:
        pass
    return log


def chunks_of(log: SinglesReader, records: int = CHUNK_RECORDS) -> Iterator[Chunk]:
    """Yield a log's singles with the preceding angles, many blocks at a time."""
    import numpy as np

    from coincidence.events import ANGLE, SINGLE
    from hw.wire.block_layout import BlockKind

    parts: dict[BlockKind, list[Any]] = {BlockKind.SINGLES: [], BlockKind.ANGLES: []}
    empty = {BlockKind.SINGLES: np.empty(0, SINGLE), BlockKind.ANGLES: np.empty(0, ANGLE)}

    def chunk() -> Chunk:
        singles, angles = (
            np.concatenate([empty[kind], *parts[kind]])
            for kind in (BlockKind.SINGLES, BlockKind.ANGLES)
        )
        ends = [int(a["time_ps"].max(initial=0)) for a in (singles, angles)]
        return singles, angles, max(ends)

    held = 0
    for kind, found in log:
        parts[kind].append(found)
        held += len(found)
        if held >= records and kind is BlockKind.SINGLES:
            yield chunk()
            held, parts = 0, {kind: [] for kind in parts}
    if held:
        yield chunk()


def _summary(folder: Path) -> dict[str, Any]:
    from daq.folder.run_folder import SUMMARY_NAME

    try:
        return read_object(folder / SUMMARY_NAME)
    except FileRefused:
        return {}


def live_share(summary: dict[str, Any], modules: int) -> tuple[float, ...] | None:
    """Return each module's live share; None if a run was cut off and has no sound books."""
    try:
        books = summary["live_time"]
        detector_s = float(books["detector_s"])
        share = tuple(float(live) / detector_s for live in books["module_s"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    sound = len(share) == modules and all(0 < part <= 1 + MARGIN for part in share)
    return share if sound else None


def end_s(summary: dict[str, Any]) -> float:
    """Return a run's duration (s), 0 if unknown."""
    try:
        end_s = float(summary["detector_time_s"])
    except (KeyError, TypeError, ValueError):
        return 0.0
    return end_s if 0 < end_s < LONGEST_S else 0.0
