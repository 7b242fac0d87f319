"""A run's folder as reconstruction reads it: its log block by block, and the files beside it.

One pass finds the log's sound blocks and the times that each covers; after that only blocks of the
requested time are read. A truncated log is used up to its last whole block, and the image says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from coincidence.events import COINCIDENCE
from daq.errors import LogError
from daq.folder import listmode_log as listmode
from daq.folder import raw_log as rawlog
from daq.folder.calibration_set import CalibrationSet, load_set_for, scanner_hash
from daq.folder.listmode_log import ListmodeReader, listmode_notes
from daq.folder.own_instrument import check_instrument
from daq.folder.run_folder import MU_MAP_NAME, own_calibration, run_config, started_at
from daq.folder.run_identity import RunIdentity
from hw.arrays import Records
from hw.bounded_files import MIB, FileRefused, read_npz, read_object
from hw.messages.patient_position import position_named
from hw.scanner.description import Scanner
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import parse_scanner
from hw.wire.block_layout import BlockKind
from recon.core.grid import ImageGrid, ReconError
from recon.core.mu_map import MuUnit, frame_of_reference, load_mu_map
from recon.lines.normalisation import lacks_normalisation
from recon.offline.run_data import PART_RECORDS, RunData

LEAST_S = 1e-6
_LONGEST_S = 9e6  # int64 in ps
_MOST = {
    "pair_live_s": _LONGEST_S, "module_dead_s": _LONGEST_S, "detector_s": _LONGEST_S,
    "crystal_singles": 1e15,
}  # fmt: skip


@dataclass(frozen=True)
class _Stretch:
    """Consecutive records of one kind in the log."""

    offset: int
    records: int
    first_s: float
    last_s: float


class LogIndex:
    """Positions and times of a list-mode log's records; raises ReconError if there are none.

    damaged : whether it has blocks that cannot be read notes : which parts of it are not used, in
    words
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        reader = ListmodeReader(path)
        self.head = reader.head
        self._stretches: dict[BlockKind, list[_Stretch]] = {
            BlockKind.PROMPTS: [],
            BlockKind.DELAYEDS: [],
        }
        for kind, records, offset in reader.placed():
            if kind in self._stretches and len(records):
                time_s = records["time_ps"] * 1e-12
                self._stretches[kind].append(
                    _Stretch(offset, len(records), float(time_s.min()), float(time_s.max()))
                )
        self.closed = reader.closed
        self.damaged = bool(reader.damage)
        self.notes = listmode_notes(reader)

    def count(self, kind: BlockKind) -> int:
        """Return the number of records of a kind."""
        return sum(one.records for one in self._stretches[kind])

    @property
    def first_s(self) -> float:
        """Time of the first prompt or delayed."""
        found = [one.first_s for kind in self._stretches.values() for one in kind]
        return min(found, default=0.0)

    @property
    def last_s(self) -> float:
        """Time of the last prompt or delayed."""
        found = [one.last_s for kind in self._stretches.values() for one in kind]
        return max(found, default=0.0)

    def parts(self, kind: BlockKind, start_s: float, end_s: float) -> Iterator[Records]:
        """Yield records of a kind, at least those of this time, in parts of a useful size."""
        waiting: list[_Stretch] = []
        held = 0
        with self.path.open("rb") as file:
            for one in self._stretches[kind]:
                if one.last_s < start_s or one.first_s > end_s:
                    continue
                waiting.append(one)
                held += one.records
                if held >= PART_RECORDS:
                    yield _read(file, waiting)
                    waiting, held = [], 0
            if waiting:
                yield _read(file, waiting)


def _read(file: Any, stretches: list[_Stretch]) -> Records:
    records = np.empty(sum(one.records for one in stretches), dtype=COINCIDENCE)
    at = 0
    for one in stretches:
        file.seek(one.offset)
        file.readinto(records[at : at + one.records].view(np.uint8).data)
        at += one.records
    return records


def log_of(folder: Path) -> LogIndex:
    """Return a run's list-mode log; raises ReconError, with a remedy, if there is none."""
    path = folder / listmode.FILE_NAME
    try:
        return LogIndex(path)
    except (LogError, OSError) as error:
        raise ReconError(f"{error}; {remedy_for(path)}") from error


def remedy_for(path: Path) -> str:
    """Return in words how to make the list-mode log again."""
    if not (path.parent / rawlog.FILE_NAME).exists():
        return "put a sound copy back"
    away = "move it away and " if path.exists() else ""
    return f"{away}make it again from the raw log: tomoshibi sort {path.parent} --output {path}"


def _duration_s(log: LogIndex, detector_s: float) -> float:
    recorded_s = log.last_s + 1e-12
    duration_s = max(detector_s, recorded_s) if log.closed else recorded_s
    if duration_s < LEAST_S:
        raise ReconError(
            f"{log.path}: all events lie within {duration_s:g} s and no randoms.npz says how long "
            "the run was: there is no rate to reconstruct"
        )
    return duration_s


def _check_log(log: LogIndex, folder: Path, scanner: Scanner) -> None:
    """Raise if the log is another scanner's, has no prompts, or holds absurd times."""
    text = str(log.head.get("config", {}).get("scanner_toml", ""))
    recorded = parse_scanner(text, source=str(log.path)) if text else scanner
    if scanner_hash(recorded) != scanner_hash(scanner):
        raise ReconError(
            f"{log.path} is of scanner {recorded.name} ({scanner_hash(recorded)}), {folder.name} "
            f"is a run of {scanner.name} ({scanner_hash(scanner)}): the log is another run's"
        )
    if not log.count(BlockKind.PROMPTS):
        raise ReconError(f"{folder.name} has no prompts: there is nothing to reconstruct")
    if log.first_s < 0 or log.last_s > _LONGEST_S:
        raise ReconError(
            f"{log.path} has events at {log.first_s:.6g} to {log.last_s:.6g} s, must be 0 to "
            f"{_LONGEST_S:g} s: it is damaged; {remedy_for(log.path)}"
        )


def run_data(
    folder: Path,
    *,
    mu_map: Path | None = None,
    mu_unit: MuUnit = "auto",
    calibration: Path | None = None,
    attenuated: bool = True,
    frame_uid: str = "",
    patient_position: str = "",
) -> RunData:
    """Return a PET run's data.

    Parameters
    ----------
    folder : the run's
    mu_map : a µ map's file instead of the run's own, npz or NIfTI
    mu_unit : of the values of a NIfTI map; "auto" tells 1/mm from 1/cm by their size
    calibration : a calibration set's file instead of the run's own
    attenuated : whether the µ map is read
    frame_uid : DICOM's frame of reference, instead of that of the run or its µ map
    patient_position : as in DICOM ("HFS" …), instead of the run's

    Raises
    ------
    ReconError
        if the log is missing or holds no coincidences, or a file beside it cannot be used.
    """
    config = run_config(folder)
    scanner = config.scanner()
    if scanner.modality == "SPECT":
        raise ReconError(f"{folder.name} is a SPECT run: it has no coincidences")
    log = log_of(folder)
    _check_log(log, folder, scanner)
    statistics, notes = _statistics(folder, scanner)
    notes += log.notes
    known = load_set_for(calibration, scanner) if calibration else own_calibration(folder)
    if known is not None and calibration:
        check_instrument(known, config.serial)
    notes += _outdated(known)
    detector_s = float(statistics.get("detector_s", 0.0))
    path = mu_map or folder / MU_MAP_NAME
    has_mu = attenuated and (mu_map is not None or path.exists())
    grid = ImageGrid(scanner.image.shape, scanner.image.voxel_mm)
    lay = position_named(patient_position, otherwise=config.patient_position)
    mu_source = partial(load_mu_map, path, unit=mu_unit, position=lay) if has_mu else None
    settings = config.settings
    has_delayeds = bool(settings.delay_ps)
    return RunData(
        scanner=scanner,
        prompt_parts=lambda start_s, end_s: log.parts(BlockKind.PROMPTS, start_s, end_s),
        delayed_parts=(lambda start_s, end_s: log.parts(BlockKind.DELAYEDS, start_s, end_s))
        if has_delayeds
        else None,
        duration_s=_duration_s(log, detector_s),
        geometry=build_geometry(scanner),
        window_ps=settings.window_ps,
        min_sector_difference=settings.min_sector_difference,
        lld_keV=settings.lld_keV,
        uld_keV=settings.uld_keV,
        delayed_factor=settings.delayed_factor,
        pair_live_s=statistics.get("pair_live_s"),
        module_dead_s=statistics.get("module_dead_s"),
        detector_s=detector_s,
        crystal_singles=statistics.get("crystal_singles"),
        uncalibrated=config.uncalibrated if known is None else "",
        mu_map=None if mu_source is None else mu_source(grid),
        mu_source=mu_source,
        labels=config.labels,
        start=started_at(folder),
        name=folder.resolve().name,
        hash=_hash(folder),
        notes=tuple(notes),
        damaged=log.damaged,
        identity=RunIdentity.of(folder).with_changes(
            frame_of_reference_uid=frame_uid or frame_of_reference(path),
            patient_position=patient_position,
        ),
        **_normalisation(known),
    )


def _normalisation(known: CalibrationSet | None) -> dict[str, Any]:
    """Return the arrays of a set with a usable normalisation, or none of them."""
    if known is None or lacks_normalisation(known):
        return {}
    return {
        "efficiency": known.efficiency,
        "block_profile": known.block_profile,
        "geometric": known.geometric,
        "masked": known.masked,
    }


def _outdated(known: CalibrationSet | None) -> list[str]:
    if known is None or not known.statuses["efficiency"].any():
        return []
    why = lacks_normalisation(known)
    return [why] if why else []


def _statistics(folder: Path, scanner: Scanner) -> tuple[dict[str, Any], list[str]]:
    """Return the arrays of randoms.npz that fit this scanner, and what is wrong with the rest."""
    path = folder / "randoms.npz"
    if not path.exists():
        return {}, ["live times are unknown: there is no randoms.npz beside the log"]
    shapes: dict[str, tuple[int, ...]] = {
        "pair_live_s": (scanner.n_modules, scanner.n_modules),
        "detector_s": (),
        "crystal_singles": (scanner.n_crystals,),
    }
    try:
        numbers = scanner.n_modules**2 + scanner.n_modules + scanner.n_crystals
        names = {*shapes, "module_dead_s"}
        file = read_npz(path, most_bytes=8 * numbers + MIB, only=names)
        if "module_dead_s" in file:  # not in older runs
            shapes["module_dead_s"] = (scanner.n_modules,)
        found = {name: file[name] for name in shapes}
    except (FileRefused, KeyError) as error:
        return {}, [f"{path.name} cannot be read ({error}): live times are unknown"]
    if any(found[name].shape != shape for name, shape in shapes.items()):
        return {}, [f"{path.name} is of another scanner: live times are unknown"]
    if not all(_is_sound(values, _MOST[name]) for name, values in found.items()):
        return {}, [f"{path.name} holds invalid times or counts: live times are unknown"]
    return found, []


def _is_sound(values: npt.NDArray[Any], most: float) -> bool:
    return values.dtype.kind in "iuf" and bool(((values >= 0) & (values < most)).all())


def _hash(folder: Path) -> str:
    """Return the identity of prompts and delayeds; "" for a run that was not closed."""
    try:
        return str(read_object(folder / "summary.json")["hash"])
    except (FileRefused, KeyError):
        return ""
