"""A nuclide that is added is known to DICOM, too, or named here as one that has no code there."""

from __future__ import annotations

import json
import re
from importlib.resources import files

from recon.exchange.scan_facts import NUCLIDE_CODES

NO_CODE = {"Y-86", "At-211", "Ac-225"}
"""Context groups 18 and 4020 of PS3.16 have none for them: DICOM gets their name alone."""

_TABLE = json.loads(files("hw.physics").joinpath("nuclides.json").read_text(encoding="utf-8"))
NUCLIDES = {nuclide["name"] for nuclide in _TABLE["nuclides"]}


def test_each_nuclide_has_a_code_or_is_named_as_one_without() -> None:
    assert NUCLIDES - set(NUCLIDE_CODES) == NO_CODE
    assert set(NUCLIDE_CODES) <= NUCLIDES


def test_no_code_stands_for_two_nuclides_and_each_names_its_mass_number() -> None:
    codes = [code for code, _ in NUCLIDE_CODES.values()]
    assert len(set(codes)) == len(codes)
    for name, (code, meaning) in NUCLIDE_CODES.items():
        assert re.fullmatch(r"\d{7,9}", code)
        assert meaning.startswith(f"^{name.split('-')[1]}^")
