"""What `tomoshibi reconstruct` takes and refuses of a SPECT run, and of its damaged books."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coincidence.events import SINGLE
from daq.cli import build_parser
from daq.cli.commands.reconstruct import declare_options
from daq.cli.common import CommandError
from daq.cli.images.asked_options import given, refuse_foreign
from daq.cli.images.reconstruct_spect import spect_options
from daq.errors import LogError
from daq.folder.singles_log import SinglesReader, SinglesWriter
from hw.wire.block_layout import BlockKind
from recon.core.asked import OptionsError
from recon.offline.options import ReconOptions
from recon.spect.run import SpectOptions
from recon.spect.run_input import end_s, is_whole, live_share

DECLARED = declare_options(argparse.ArgumentParser())


def parsed(*arguments: str) -> Any:
    return build_parser("reconstruct").parse_args(["reconstruct", "RUN", *arguments])


def refused(options: Any, modality: str) -> None:
    refuse_foreign(options, DECLARED, modality)


def test_what_was_not_given_is_of_no_modality() -> None:
    refused(parsed(), "PET")
    refused(parsed(), "SPECT")


def test_every_option_is_known_to_be_of_one_modality_or_of_both() -> None:
    others = {"command", "run", "run_folder", "runs", "json", "output", "overwrite", "format",
              "refuse"}  # fmt: skip
    assert set(vars(parsed())) == others | {action.dest for _, action in DECLARED}
    both = {action.dest for modality, action in DECLARED if modality == "both"}
    assert both == {
        "require", "iterations", "subsets", "fwhm_mm", "threads", "attenuation", "mu_map",
        "mu_unit", "scatter", "no_decay", "no_dead_time", "frame_of_reference", "patient_position",
    }  # fmt: skip


def test_defaults_of_the_command_line_are_those_of_the_fields() -> None:
    assert ReconOptions(**given(parsed(), ReconOptions)) == ReconOptions()
    assert SpectOptions(**given(parsed(), SpectOptions)) == SpectOptions()


@pytest.mark.parametrize("modality, asked", [
    ("SPECT", "--frames=0:1"), ("SPECT", "--psf=3"), ("SPECT", "--attenuation=mlaa"),
    ("SPECT", "--scatter=energy"), ("SPECT", "--calibration=activity.json"),
    ("SPECT", "--no-normalisation"), ("SPECT", "--nuclide=I-123"), ("PET", "--list-mode"),
    ("PET", "--scatter-windows=dew"),
])  # fmt: skip
def test_options_of_the_other_modality_are_refused(modality: str, asked: str) -> None:
    with pytest.raises(CommandError, match=asked.partition("=")[0]):
        refused(parsed(asked), modality)
        spect_options(parsed(asked))


@pytest.mark.parametrize("asked", [
    "--iterations=0", "--subsets=2000", "--threads=0", "--fwhm-mm=nan", "--view-deg=1e-9",
    "--sensitivity-cps-per-MBq=1e-300",
])  # fmt: skip
def test_numbers_out_of_bounds_are_refused_before_the_log_is_read(asked: str) -> None:
    with pytest.raises(OptionsError, match="must lie in"):
        spect_options(parsed(asked))


@pytest.mark.parametrize("books", [
    None, "x", {"detector_s": 0, "module_s": [1]}, {"detector_s": float("nan"), "module_s": [1]},
    {"detector_s": 2, "module_s": [1, 1]}, {"detector_s": 2, "module_s": [0]},
    {"detector_s": 2, "module_s": ["x"]}, {"detector_s": 2, "module_s": [3]},
])  # fmt: skip
def test_books_that_cannot_be_of_the_run_are_not_used(books: Any) -> None:
    assert live_share({"live_time": books}, 1) is None
    assert live_share({"live_time": {"detector_s": 2, "module_s": [1.5]}}, 1) == (0.75,)


def test_a_run_lasts_as_long_as_its_books_say_where_they_can_be_right() -> None:
    assert end_s({"detector_time_s": 12.5}) == 12.5
    for damaged in ({}, {"detector_time_s": "x"}, {"detector_time_s": 1e30},
                    {"detector_time_s": -1}, {"detector_time_s": float("nan")}):  # fmt: skip
        assert end_s(damaged) == 0.0


def test_a_singles_log_that_was_cut_is_known(tmp_path: Path) -> None:
    path = tmp_path / "singles.tmws"
    log = SinglesWriter(path, {"windows": []})
    log.append(BlockKind.SINGLES, np.zeros(100, SINGLE))
    log.close({})
    assert is_whole(path)
    path.write_bytes(path.read_bytes()[:-10])
    assert not is_whole(path)


@pytest.mark.parametrize("head", [
    {}, {"windows": None}, {"windows": [{"name": "a", "lld_keV": 9, "uld_keV": 1}]},
    {"windows": 2 * [{"name": "a", "lld_keV": 1, "uld_keV": 9}]},
])  # fmt: skip
def test_a_singles_log_without_sound_windows_is_named(head: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "singles.tmws"
    SinglesWriter(path, head).close({})
    with pytest.raises(LogError, match=r"singles\.tmws"):
        _ = SinglesReader(path).windows
