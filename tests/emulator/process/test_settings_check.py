"""Settings that no table is needed to refuse are refused before anything is started."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.config import EmulationError, EmulatorConfig
from emulator.fault_kinds import FaultPlan
from emulator.process.settings_check import check_settings
from hw.physics.nuclides import NuclideError
from hw.scanner.description import ScannerError

HEAD = "gamma_head_lehr"


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"activity_Bq": 5e9}, "activity_Bq is 5000000000: give at most 1000000000"),
        ({"nuclide": "Ge-68"}, "nothing to detect; choose another"),
        ({"nuclide": "F-18:0.5+Ga-68:0.6"}, "with sum 1"),
        ({"library": "auto", "tac": "bolus"}, "leave tac and motion empty"),
        ({"library": "auto", "truth": "run"}, "load mode keeps no truth"),
        ({"truth": "/nowhere/at/all"}, "is not a folder"),
        ({"dead_crystals": 10**6}, "ask for fewer"),
        ({"gantry": "fixed:30"}, r"^gantry: caremibrain is a PET scanner .* gamma_head_lehr"),
        ({"any_collimator": True}, "^any_collimator: caremibrain"),
        ({"scanner": HEAD, "nuclide": "Tc-99m", "lutetium": True}, "^lutetium: .* this is for PET"),
        ({"scanner": HEAD, "nuclide": "I-131"}, "choose gamma_head_he"),
        ({"scanner": HEAD, "nuclide": "Tc-99m", "gantry": "hop:1"}, "write fixed:30"),
        ({"faults": FaultPlan(schedule=("drop:module=48",))}, "no module 48"),
    ],
)
def test_it_is_refused_with_the_remedy(settings: dict[str, Any], complaint: str):
    with pytest.raises(EmulationError, match=complaint):
        check_settings(EmulatorConfig(**settings))


def test_names_that_do_not_exist_are_refused_with_those_that_do():
    with pytest.raises(NuclideError, match="the table has C-11"):
        check_settings(EmulatorConfig(nuclide="Foo-1"))
    with pytest.raises(ScannerError, match="the presets are bench2"):
        check_settings(EmulatorConfig(scanner="nosuch"))


@pytest.mark.parametrize(("scanner", "nuclide"), [("caremibrain", "F-18"), (HEAD, "Tc-99m")])
def test_what_can_be_emulated_passes(scanner: str, nuclide: str):
    check_settings(EmulatorConfig(scanner=scanner, nuclide=nuclide))
