"""PET and SPECT at once, emulated: Ga-68 and Lu-177 in one source, told apart by their windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from coincidence.events import WINDOW_SHIFT
from daq.folder.run_config import RunConfig, default_settings
from daq.folder.singles_log import SinglesReader
from daq.replay.sort_again import verify
from daq.service.run import Run
from emulator.config import EmulatorConfig
from emulator.engines.emulation import frames_of_run
from emulator.engines.prepare import prepare
from hw.physics.energy_windows import spect_windows
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text
from hw.wire.block_layout import BlockKind

PEAK = "Lu-177_208"
PERIODS = 60


def emulated(nuclide: str, root: Path) -> tuple[Run, dict[str, Any]]:
    """Emulate 2 MBq for 0.3 s in front of the bench; return the run and its summary.

    The window is two FWHM of 19 % at 208 keV wide, so that the scatter windows lie off the peak.
    """
    windows = spect_windows(
        "Lu-177", lines_keV=[208.4], photopeak_fraction=0.4, scatter_fraction=0.06
    )
    settings = default_settings(
        load_scanner("bench2"), windows=[msgspec.to_builtins(window) for window in windows]
    )
    run = Run(RunConfig(scanner_toml=scanner_to_toml_text("bench2"), settings=settings), root)
    config = EmulatorConfig(scanner="bench2", phantom="point", nuclide=nuclide, activity_Bq=2e6)
    for frames in frames_of_run(prepare(config), config, periods=PERIODS, run_tag=run.run_tag):
        run.process(frames)
    run.finish()
    return run, run.write_summary()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Run, dict[str, Any]]]:
    """The mixture, and each of its nuclides alone with the whole activity."""
    root = tmp_path_factory.mktemp("runs")
    sources = {"both": "Ga-68:0.5+Lu-177:0.5", "Ga": "Ga-68", "Lu": "Lu-177"}
    return {name: emulated(nuclide, root / name) for name, nuclide in sources.items()}


def test_the_mixture_has_half_the_pairs_of_gallium_and_half_the_peak_of_lutetium(runs) -> None:
    both, gallium, lutetium = (runs[name][1] for name in ("both", "Ga", "Lu"))
    assert lutetium["prompts"] < 0.01 * gallium["prompts"]
    sigma = np.sqrt(both["prompts"] + gallium["prompts"] / 4)
    assert abs(both["prompts"] - gallium["prompts"] / 2) < 4 * sigma
    found, ga, lu = (summary["tew"][PEAK] for summary in (both, gallium, lutetium))
    expected = (ga["primary"] + lu["primary"]) / 2
    sigma = np.hypot(found["primary_sigma"], np.hypot(ga["primary_sigma"], lu["primary_sigma"]) / 2)
    assert abs(found["primary"] - expected) < 4 * sigma
    assert found["primary"] > 8 * found["primary_sigma"]


def test_gallium_alone_has_no_peak_at_208_keV_though_many_singles_there(runs) -> None:
    estimate = runs["Ga"][1]["tew"][PEAK]
    assert estimate["counts"] > 1000
    assert estimate["primary"] < 3 * estimate["primary_sigma"]


def test_live_is_replay_in_both_logs(runs) -> None:
    run, summary = runs["both"]
    found = verify(run.folder)
    assert found.identical
    assert found.live_further == {"singles": summary["singles_hash"]}
    log = SinglesReader(run.folder / "singles.tmws")
    number = 1 + [window.name for window in log.windows].index(PEAK)
    singles = log.read_all(BlockKind.SINGLES)
    peak = singles[singles["flags"] >> WINDOW_SHIFT == number]
    assert len(peak) == summary["windows"][PEAK]
    assert peak["energy"].min() >= 1667
    assert peak["energy"].max() <= 2501
