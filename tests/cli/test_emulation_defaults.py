"""What is not given is chosen by the preset's modality; what has no meaning there is refused."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from daq.cli.commands import demo
from daq.cli.common import CommandError
from daq.cli.options.emulation import activity_for_rate, add_emulation_options, emulator_config
from daq.cli.options.emulation_defaults import complete, nuclide_names
from rigs.spect_presets import COLUMNS, HEAD, as_toml


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_emulation_options(parser)
    return parser.parse_args(list(arguments))


@pytest.fixture
def head(tmp_path: Path) -> str:
    path = tmp_path / "head.toml"
    path.write_text(as_toml(HEAD), encoding="utf-8")
    return str(path)


def test_a_pet_scanner_has_fluorine_in_a_head(head: str) -> None:
    complete(options := parsed("--preset", "bench2"))
    assert (options.phantom, options.nuclide, options.activity_MBq) == ("brain", "F-18", 1.0)


def test_a_camera_has_the_nuclide_that_its_collimator_is_meant_for(head: str) -> None:
    complete(options := parsed("--preset", head))
    assert (options.nuclide, options.activity_MBq, options.trigger_keV) == ("Tc-99m", 100.0, 40.0)
    assert emulator_config(options).nuclide == "Tc-99m"


def test_collimators_for_higher_energies_have_other_nuclides(tmp_path: Path) -> None:
    for (least, most), nuclide in {(180.0, 300.0): "Lu-177", (300.0, 400.0): "I-131"}.items():
        changed = HEAD | {"collimator": HEAD["collimator"] | {"least_keV": least, "most_keV": most}}
        path = tmp_path / f"{nuclide}.toml"
        path.write_text(as_toml(changed), encoding="utf-8")
        complete(options := parsed("--preset", str(path)))
        assert options.nuclide == nuclide


def test_many_columns_share_the_activity(tmp_path: Path) -> None:
    path = tmp_path / "columns.toml"
    path.write_text(as_toml(COLUMNS), encoding="utf-8")
    complete(options := parsed("--preset", str(path)))
    assert options.activity_MBq == 10.0


def test_what_is_given_stays(head: str) -> None:
    given = ("--preset", head, "--nuclide", "In-111", "--activity-MBq", "7", "--phantom", "point")
    complete(options := parsed(*given))
    assert (options.nuclide, options.activity_MBq, options.phantom) == ("In-111", 7.0, "point")


def test_a_camera_has_no_rate_of_prompts(head: str) -> None:
    with pytest.raises(CommandError, match="sees no pairs; give --activity-MBq"):
        activity_for_rate(parsed("--preset", head), 1000.0)


def test_a_mixtures_nuclides_are_named_without_shares() -> None:
    assert nuclide_names("Ga-68:0.3+Lu-177:0.7") == ["Ga-68", "Lu-177"]
    assert nuclide_names("") == []


@pytest.mark.parametrize(
    ("given", "kept"), [((), "unknown"), (("--patient-position", "HFP"), "HFP")]
)
def test_a_demo_says_how_its_patient_lies(given: tuple[str, ...], kept: str) -> None:
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    assert demo.demo_plan(parser.parse_args(list(given))).config.patient_position == kept
