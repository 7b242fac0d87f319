"""Frames, sorted coincidences and images stay what they were (tests/golden_outputs.py)."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from golden_outputs import IMAGE_TOLERANCE, KEPT, Golden, differences, outputs


@pytest.fixture(scope="module")
def kept() -> dict[str, Golden]:
    found: dict[str, Golden] = json.loads(KEPT.read_text(encoding="utf-8"))
    return found


def test_outputs_are_those_that_were_kept(tmp_path: Path, kept: dict[str, Golden]) -> None:
    said = differences(outputs(tmp_path), kept)
    assert not said, "\n".join(
        [*said, "where this was meant: python tests/golden_outputs.py --write (contributing.md)"]
    )


def test_a_bit_of_a_hash_and_a_hair_of_an_image_are_found(kept: dict[str, Golden]) -> None:
    name = "release-0.1"
    assert not differences(kept, kept)
    for what in ("frames", "coincidences"):
        other = copy.deepcopy(kept)
        other[name][what] = other[name][what][:-1] + "-"
        assert what in "".join(differences(other, kept))
    greatest = max(kept[name]["image"])
    place = kept[name]["image"].index(greatest)
    for part, seen in ((0.5, False), (2.0, True)):
        other = copy.deepcopy(kept)
        other[name]["image"][place] += part * IMAGE_TOLERANCE * greatest
        assert bool(differences(other, kept)) is seen


def test_a_run_that_only_one_list_has_is_told(kept: dict[str, Golden]) -> None:
    assert len(differences({}, kept)) == len(kept)
