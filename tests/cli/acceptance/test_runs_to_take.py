"""The plan: what each standard asks for, as far as the scanner holds it."""

from __future__ import annotations

import argparse
import shlex

import pytest

from daq.cli import build_parser, main
from daq.cli.acceptance.runs_to_take import PARTS, plan_text, runs_to_take
from daq.cli.common import CommandError
from emulator.object.catalogue import phantom_names
from hw.messages.phantom_name import split_name
from hw.scanner.preset_file import load_scanner

CAREMIBRAIN = load_scanner("caremibrain")


@pytest.mark.parametrize("standard", ["nu2", "nu4"])
def test_every_part_has_its_runs(standard):
    planned = runs_to_take(standard, CAREMIBRAIN)
    assert {part for one in planned for part in one.parts} == set(PARTS[standard])
    names = [one.name for one in planned]
    assert len(set(names)) == len(names)
    assert {split_name(one.phantom)[0] for one in planned} <= set(phantom_names())


def test_line_is_planned_in_five_sleeves_at_two_places():
    lines = [one.phantom for one in runs_to_take("nu2", CAREMIBRAIN) if "sens" in one.parts[0]]
    assert lines == [f"nema-line:sleeves={n},y_mm={y}" for y in (0, 100) for n in range(1, 6)]


def test_points_that_the_scanner_does_not_hold_are_left_out():
    points = {split_name(one.phantom)[1]["y_mm"] for one in runs_to_take("nu2", CAREMIBRAIN)
              if one.parts == ("resolution",)}  # fmt: skip
    assert points == {10.0, 100.0}


def test_points_of_nu_4_are_sodium_in_an_acrylic_cube():
    """NU 4-2008, 3.2 and 5.2: of 22Na, in the middle of a cube of 10 mm. NU 2's are of 18F."""
    for standard, nuclide, cube_mm in (("nu4", "Na-22", 10.0), ("nu2", "F-18", None)):
        points = [one for one in runs_to_take(standard, CAREMIBRAIN) if "point" in one.phantom]
        assert {one.nuclide for one in points} == {nuclide}
        assert {split_name(one.phantom)[1].get("cube_mm") for one in points} == {cube_mm}


def test_activities_of_the_mouse_go_beyond_the_peak():
    """The emulated NECR of both rings that we judged by NU 4 peaks below 200 MBq."""
    rates = [one.activity_MBq for one in runs_to_take("nu4", CAREMIBRAIN)
             if one.parts == ("count-rates",)]  # fmt: skip
    assert max(rates) >= 2 * 200


def test_share_shortens_the_runs_down_to_ten_frames():
    whole, part = (runs_to_take("nu2", CAREMIBRAIN, share=s) for s in (1.0, 0.01))
    assert part[0].duration_s == pytest.approx(whole[0].duration_s / 100)
    assert min(one.duration_s for one in part) == 0.05


def test_a_camera_has_no_acceptance_by_nema_nu_2():
    with pytest.raises(CommandError, match="SPECT"):
        runs_to_take("nu2", load_scanner("gamma_head_lehr"))


def test_commands_of_the_plan_are_understood():
    planned = runs_to_take("nu2", CAREMIBRAIN)
    text = plan_text("nu2", planned, preset="caremibrain", runs="my runs")
    commands = [shlex.split(line)[1:] for line in text.splitlines() if "tomoshibi" in line]
    assert len(commands) == len(planned) + 1
    for words, one in zip(commands, planned, strict=False):
        options = build_parser(only="demo").parse_args(words)
        assert (options.phantom, options.name, str(options.runs)) == (
            one.phantom, one.name, "my runs"
        )  # fmt: skip
    judging: argparse.Namespace = build_parser(only="acceptance").parse_args(commands[-1])
    assert len(judging.sensitivity) == 10
    assert judging.tof == judging.count_rates == judging.accuracy


def test_plan_prints_a_table_of_one_part(capsys):
    assert main(["acceptance", "nu4", "--plan", "--only", "image-quality"]) == 0
    text = capsys.readouterr().out
    assert "nema-mouse-quality" in text
    assert "nema-mouse-scatter" not in text
