"""Regions: to JSON and back, kept in a run, and the share of each voxel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from daq.folder.region_file import read_regions, write_regions
from hw.regions import (
    Box,
    Cylinder,
    Ellipsoid,
    RegionError,
    Sphere,
    Threshold,
    regions_from_json,
    regions_to_json,
    shares,
)

ALL = [
    Sphere("a", (1.0, 2.0, 3.0), 10.0),
    Ellipsoid("b", (0.0, 0.0, 0.0), (10.0, 12.0, 8.0)),
    Cylinder("c", (0.0, 5.0, 0.0), 12.0, 9.0),
    Box("d", (0.0, 0.0, -2.5), (6.0, 7.0, 8.0)),
    Threshold("e", (0.0, 0.0, 0.0), (20.0, 20.0, 20.0), 0.4),
]
AXIS = np.arange(-20.0, 21.0, 2.0)
AXES = (AXIS, AXIS, AXIS)


def test_regions_come_back_from_json_as_they_went() -> None:
    text = regions_to_json(ALL)
    assert regions_from_json(text) == ALL
    assert b'"kind": "sphere"' in text and b'"diameter_mm": 10.0' in text


def test_a_run_keeps_its_regions(tmp_path: Path) -> None:
    assert read_regions(tmp_path) == []
    assert write_regions(tmp_path, ALL) == tmp_path / "regions.json"
    assert read_regions(tmp_path) == ALL
    with pytest.raises(RegionError, match="two regions are named a"):
        write_regions(tmp_path, [ALL[0], ALL[0]])
    assert read_regions(tmp_path) == ALL


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a list of regions"),
        ('{"regions": [{"kind": "ball", "name": "a", "centre_mm": [0,0,0]}]}', "ball"),
        (
            '{"regions": [{"kind":"box","name":"a","centre_mm":[0,0,0],"sides_mm":[1,1,-1]}]}',
            "above 0",
        ),
        ('{"regions": [], "version": 2}', "version 2"),
    ],
)
def test_what_is_no_list_of_regions_is_refused_by_name(
    tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "regions.json").write_text(text)
    with pytest.raises(RegionError, match=words) as refused:
        read_regions(tmp_path)
    assert "regions.json" in str(refused.value)


def test_a_threshold_takes_the_voxels_that_reach_its_share_within_its_box() -> None:
    values = np.ones((21, 21, 21))
    values[10, 10, 10], values[10, 10, 11], values[0, 0, 0] = 10.0, 5.0, 100.0
    block, share = shares(ALL[4], AXES, values)
    assert share.sum() == 2 and set(values[block][share > 0]) == {10.0, 5.0}
    with pytest.raises(RegionError, match="needs the image's values"):
        shares(ALL[4], AXES)


def test_a_box_between_voxels_counts_by_its_share() -> None:
    block, share = shares(Box("d", (1.0, 0.0, 0.0), (2.0, 2.0, 2.0)), AXES)
    assert block[0] == slice(10, 12)
    assert share.reshape(2, -1).sum(axis=1) == pytest.approx([0.5, 0.5])
