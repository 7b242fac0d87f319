"""Regions that a client draws are kept with the run, or refused in words; what was there stays."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from daq.errors import RunError, StorageError
from daq.folder.region_file import read_regions
from daq.service.run_regions import MOST_REGIONS, keep_regions
from hw.regions import Box, Sphere, regions_to_json

KEPT = [Sphere("left", (1.0, 2.0, 3.0), 20.0), Box("right", (-4.0, 0.0, 0.0), (5.0, 6.0, 7.0))]


def test_they_are_kept_in_place_of_those_there(tmp_path: Path) -> None:
    for regions in (KEPT, KEPT[1:], []):
        names = keep_regions(tmp_path, msgspec.json.decode(regions_to_json(regions)))
        assert names == [one.name for one in regions]
        assert read_regions(tmp_path) == regions


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({}, "regions"),
        ({"regions": [{"kind": "star"}]}, "star"),
        ({"regions": [{"kind": "sphere", "name": "a"}]}, "centre_mm"),
        ({"regions": [], "version": 99}, "version 99"),
        ({"regions": [], "more": 1}, "more"),
        ({"regions": 2 * [msgspec.to_builtins(KEPT[0])]}, "two regions are named left"),
        (
            {"regions": [msgspec.to_builtins(KEPT[0]) | {"diameter_mm": -1.0}]},
            "sizes must lie above 0",
        ),
        (
            {"regions": [msgspec.to_builtins(KEPT[0]) | {"name": f"r{k}"} for k in range(99)]},
            f"at most {MOST_REGIONS}",
        ),
    ],
)
def test_nonsense_is_refused_and_changes_nothing(
    tmp_path: Path, args: dict[str, object], words: str
) -> None:
    keep_regions(tmp_path, msgspec.json.decode(regions_to_json(KEPT)))
    with pytest.raises(RunError, match=words):
        keep_regions(tmp_path, args)
    assert read_regions(tmp_path) == KEPT


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be kept"):
        keep_regions(tmp_path / "file" / "run", msgspec.json.decode(regions_to_json(KEPT)))
