"""The regions of a run: ``regions.json`` in its folder (:mod:`hw.regions`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hw.bounded_files import FileRefused, read_bytes
from hw.regions import Region, RegionError, regions_from_json, regions_to_json
from hw.whole_file import PRIVATE_FILE, whole_file

NAME = "regions.json"


def read_regions(folder: Path) -> list[Region]:
    """Return the regions kept in a run's folder; none if there is no such file.

    Raises
    ------
    RegionError
        if the file cannot be read or holds something else.
    """
    path = folder / NAME
    try:
        text = read_bytes(path)
    except FileRefused as error:
        if not path.exists():
            return []
        raise RegionError(f"{path}: {error}") from error
    try:
        return regions_from_json(text)
    except RegionError as error:
        raise RegionError(f"{path}: {error}; correct it, or remove it") from error


def write_regions(folder: Path, regions: Sequence[Region]) -> Path:
    """Keep regions in a run's folder in place of those there; return the file.

    Raises
    ------
    RegionError, FileWriteError
        if two have one name; if it cannot be written, and what was there stays.
    """
    text = regions_to_json(regions)
    regions_from_json(text)
    with whole_file(folder / NAME, mode=PRIVATE_FILE) as file:
        file.write(text)
    return folder / NAME
