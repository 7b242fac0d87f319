"""A run joined with its truth: every prompt named, whatever happened to its data frames."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from coincidence.calibration import no_calibration
from daq.cli import main
from daq.errors import LogError
from daq.folder.listmode_log import ListmodeReader
from daq.folder.run_config import RunConfig, default_settings
from daq.folder.truth_file import TruthReader
from daq.path.frame_check import FrameChecker
from daq.replay.truth_join import CLASSES, Joined, classify, join
from daq.replay.truth_singles import LabelledSingles
from daq.service.run import Run
from emulator.config import EmulatorConfig
from emulator.detector.truth_file import TruthWriter
from emulator.engines.emulation import frames_of_run
from emulator.engines.prepare import prepare
from emulator.object.phantom import Phantom
from emulator.object.shapes import cylinder
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text
from hw.wire.block_layout import BlockKind
from hw.wire.truth_layout import (
    FILE_NAME,
    LABEL,
    UNKNOWN,
)

SCANNER = "bench2"
BENCH = load_scanner(SCANNER)
Spoil = Callable[[int, list[bytes]], list[bytes]]


def untouched(period: int, frames: list[bytes]) -> list[bytes]:
    return frames


def hurt(period: int, frames: list[bytes]) -> list[bytes]:
    """Lose, damage, repeat and exchange frames: each period something else."""
    first, second = frames  # of the two modules
    match period % 5:
        case 1:
            return [first]
        case 2:
            return [first, second[:100] + bytes([second[100] ^ 1]) + second[101:]]
        case 3:
            return [second, first, second]
    return frames


def measure(
    root: Path,
    config: EmulatorConfig,
    *,
    periods: int = 40,
    phantom: Phantom | None = None,
    spoil: Spoil = untouched,
) -> Path:
    """Emulate a run with its truth into a folder below ``root``."""
    run = Run(
        RunConfig(
            scanner_toml=scanner_to_toml_text(config.scanner),
            settings=default_settings(load_scanner(config.scanner)),
        ),
        root,
    )
    run.start()
    truth = TruthWriter(run.folder / FILE_NAME, {"run_tag": run.run_tag})
    instrument = prepare(config, phantom=phantom)
    made = frames_of_run(instrument, config, periods=periods, run_tag=run.run_tag, truth=truth)
    for period, frames in enumerate(made):
        run.process(spoil(period, frames))
    truth.close({})
    run.finish()
    run.write_summary()
    return run.folder


POINT = EmulatorConfig(scanner=SCANNER, phantom="point", activity_Bq=6e6, seed=5)
RING = EmulatorConfig(scanner="caremibrain", phantom="point", activity_Bq=2e7, seed=5)
NOISY = EmulatorConfig(
    scanner=SCANNER, phantom="point", nuclide="Na-22", activity_Bq=2e6, seed=6, lutetium=True,
    noisy_crystals=2, noise_Hz=900_000.0,  # few of noise are in the window
)  # fmt: skip


@pytest.fixture(scope="module")
def in_air(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return measure(tmp_path_factory.mktemp("air"), RING, periods=10)


def test_in_air_prompts_are_true_or_random_and_the_delayeds_say_how_many(in_air: Path):
    joined = join(in_air)
    counts = joined.counts()
    assert joined.unknown == 0 and counts["unknown"] == 0
    assert counts["scattered"] == 0
    assert counts["true"] > 1000 and counts["random"] > 100
    sigma = np.sqrt(counts["random"] + joined.delayeds / joined.settings.delayed_factor**2)
    assert abs(counts["random"] - joined.randoms_by_delayeds) < 3 * sigma


def test_prompts_are_those_of_the_list_mode_log(in_air: Path):
    logged = ListmodeReader(in_air / "listmode.tmlm").read_all(BlockKind.PROMPTS)
    joined = join(in_air).prompts
    for name in ("time_ps", "crystal_a", "crystal_b", "energy_a", "energy_b"):
        assert (joined[name] == logged[name]).all()


def test_true_prompts_come_from_the_point(in_air: Path):
    prompts = join(in_air).prompts
    true = prompts[prompts["class"] == CLASSES.index("true")]
    assert np.hypot(true["x_mm"], true["y_mm"]).max() < 5.0  # 0.5 mm and the positron's range


def test_in_water_some_scatter(tmp_path: Path):
    phantom = cylinder(BENCH, radius_mm=20.0, length_mm=40.0)
    joined = join(measure(tmp_path, POINT, phantom=phantom))
    counts = joined.counts()
    assert joined.unknown == 0
    assert 0.02 < counts["scattered"] / (counts["true"] + counts["scattered"]) < 0.6
    assert joined.counts(450.0, 600.0)["scattered"] < counts["scattered"]
    scattered = joined.prompts[joined.prompts["class"] == CLASSES.index("scattered")]
    assert (scattered["scatters_a"] + scattered["scatters_b"] > 0).all()


def test_lutetium_noise_and_prompt_gammas_have_their_names(tmp_path: Path):
    counts = join(measure(tmp_path, NOISY, periods=100)).counts()
    assert counts["unknown"] == 0
    assert min(counts["noise"], counts["prompt_gamma"], counts["true"]) > 0


def test_lost_damaged_repeated_and_reordered_frames_shift_nothing(tmp_path: Path):
    folder = measure(tmp_path, POINT, spoil=hurt)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["frames"]["lost"] > 0 and summary["frames"]["duplicate"] > 0
    joined = join(folder)
    assert joined.unknown == 0 and joined.counts()["unknown"] == 0
    assert joined.counts()["true"] > 100


def test_truth_of_each_word_is_that_of_its_own_photon(tmp_path: Path):
    path = tmp_path / FILE_NAME
    writer = TruthWriter(path, {"run_tag": 0})
    made = list(frames_of_run(prepare(POINT), POINT, periods=10, truth=writer))
    writer.close({})
    checked = FrameChecker(n_modules=2, run_tag=0).check([f for p in made for f in p])
    singles = LabelledSingles(
        TruthReader(path), BENCH, no_calibration(BENCH.n_crystals),
        build_geometry(BENCH).crystal_module,
    )  # fmt: skip
    singles.take(checked)
    found, labels = singles._singles, singles._labels
    assert singles.words == len(found) > 10_000
    late_ps = found["time_ps"] - labels["time_ps"]
    assert late_ps.min() > 15_000 and late_ps.max() < 30_000  # latency, flight, skew, blur
    ratio = found["energy"] * 0.1 / labels["deposit_keV"]
    assert abs(np.median(ratio) - 1) < 0.1 and np.percentile(ratio, 99) < 2


def test_classes_are_decided_in_order():
    def label(**values: object) -> np.ndarray:
        one = np.zeros(1, LABEL)
        for name, value in values.items():
            one[name] = value
        return one

    def named(a: np.ndarray, b: np.ndarray) -> str:
        return CLASSES[int(classify(a, b)[0])]

    pair = label(), label(photon=1)
    assert named(*pair) == "true"
    assert named(label(scatters=1), label(photon=1)) == "scattered"
    assert named(label(), label(photon=1, decay=1)) == "random"
    assert named(label(), label(photon=2, kind=1)) == "prompt_gamma"
    assert named(label(), label()) == "same_photon"
    assert named(label(kind=2, decay=-5), label(kind=2, decay=-5, photon=2)) == "lutetium"
    assert named(label(kind=2, decay=-5), label(photon=1)) == "random"
    assert named(label(kind=3, decay=-1), label(kind=3, decay=-1)) == "noise"
    assert named(label(kind=UNKNOWN), label()) == "unknown"


def test_truth_of_another_run_is_refused(in_air: Path, tmp_path: Path):
    TruthWriter(tmp_path / FILE_NAME, {"run_tag": 1}).close({})
    with pytest.raises(LogError, match="is the truth of the run with the tag 1"):
        join(in_air, tmp_path / FILE_NAME)
    with pytest.raises(LogError, match="emulate with --truth"):
        join(in_air, tmp_path / "none.tmtruth")


def test_truth_that_ends_early_is_told(in_air: Path, tmp_path: Path):
    whole = (in_air / FILE_NAME).read_bytes()
    (tmp_path / FILE_NAME).write_bytes(whole[: len(whole) // 2])
    joined: Joined = join(in_air, tmp_path / FILE_NAME)
    assert 0.3 * joined.words < joined.unknown < 0.7 * joined.words
    assert joined.counts()["unknown"] > 0


def test_command_writes_table_and_events(in_air: Path, tmp_path: Path, capsys):
    arguments = [str(in_air), "--energy-keV", "400:650", "--output", str(tmp_path), "--json"]
    assert main(["truth", *arguments]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["unknown_words"] == 0
    assert len(result["energy_windows"]) == 2
    assert (tmp_path / "truth.csv").read_text().startswith("lld_keV,uld_keV,true,scattered,random")
    with np.load(tmp_path / "truth.npz") as file:
        assert len(file["class"]) == result["prompts"]
