"""Options of an emulation: read, checked, and handed on to the emulator's process unchanged."""

from __future__ import annotations

import argparse

import pytest

from daq.cli.options.emulation import add_emulation_options, emulation_arguments, emulator_config
from emulator.config import EmulationError


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_emulation_options(parser)
    return parser.parse_args(list(arguments))


FULL = (
    *("--preset", "bench2", "--phantom", "point", "--nuclide", "Ga-68:0.3+Lu-177:0.7"),
    *("--activity-MBq", "0.3", "--seed", "5", "--fast", "--threads", "2", "--fault", "drop=0.01"),
    *("--trigger-keV", "62.5", "--lutetium", "--dead-crystals", "17,", "--noisy-crystals", "3,9"),
    *("--noise-Hz", "1234.5", "--library", "--truth", "there"),
)
DYNAMIC = ("--tac", "bolus:full_s=60", "--motion", "breathing:period_s=5", "--no-positron-range")


CAMERA = ("--preset", "gamma_head_lehr", "--gantry", "step:32x10s", "--any-collimator")


@pytest.mark.parametrize("arguments", [(), FULL, ("--dead-crystals", "4"), CAMERA, DYNAMIC])
def test_options_survive_the_way_to_the_emulators_process(arguments):
    options = parsed(*arguments)
    assert parsed(*emulation_arguments(options)) == options


def test_options_become_the_emulators_configuration():
    config = emulator_config(parsed(*FULL))
    assert config.nuclide == "Ga-68:0.3+Lu-177:0.7"
    assert (config.trigger_keV, config.lutetium, config.noise_Hz) == (62.5, True, 1234.5)
    assert (config.dead_crystals, config.noisy_crystals) == ((17,), (3, 9))
    assert (config.library, config.truth) == ("auto", "there")
    assert emulator_config(parsed("--dead-crystals", "4")).dead_crystals == 4
    dynamic = emulator_config(parsed(*DYNAMIC))
    assert (dynamic.tac, dynamic.motion) == ("bolus:full_s=60", "breathing:period_s=5")
    assert (dynamic.positron_range, config.positron_range) == (False, True)


@pytest.mark.parametrize("text", ["-1", "a", "3,x", ",", "", "3,-4"])
def test_crystals_that_are_no_numbers_are_refused(text, capsys):
    with pytest.raises(SystemExit):
        parsed(f"--dead-crystals={text}")
    assert "a number of crystals, or crystals as 17,203" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--trigger-keV", "20", "trigger_keV is 20: give at least 30$"),
        ("--activity-MBq", "5000", r"at most 1000000000 \(--activity-MBq 1000\), for more no link"),
        ("--threads", "65", "threads is 65: give at most 64; the data do not depend on it"),
        ("--threads", "0", "threads is 0: give at least 1$"),
        ("--seed", "-1", "seed is -1: give at least 0$"),
        ("--queue-words", "65537", "at most 65536, which is what a data frame holds"),
    ],
)
def test_a_setting_out_of_bounds_is_refused_with_value_bound_and_remedy(option, value, complaint):
    with pytest.raises(EmulationError, match=complaint):
        emulator_config(parsed(option, value))
