"""The examples of docs/examples, each a real process on a real run that is made once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from daq.folder.listmode_log import ListmodeReader
from emulator.object.catalogue import make_phantom, mu_map_on_grid
from hw.scanner.preset_file import load_scanner
from hw.wire.block_layout import BlockKind
from rigs.acquisition_process import Acquisition, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
RING, SPHERES = str(EXAMPLES / "ring.toml"), str(EXAMPLES / "spheres.toml")
FOLLOWER = "08_follow_a_live_run.py"
READY_S, END_S = 100.0, 200.0
"""Of a machine that does much else beside."""

SETTINGS = ["--activity-MBq", "0.5", "--seed", "3"]


@dataclass(frozen=True)
class Recorded:
    """The run's folder, and what the example that followed it printed."""

    folder: Path
    followed: str


def process(*argv: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *argv],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd, env=os.environ,
    )  # fmt: skip


def ended(one: subprocess.Popen[str]) -> str:
    """Return what a process printed, after it ended well."""
    try:
        said, _ = one.communicate(timeout=END_S)
    finally:
        one.kill()
    assert one.returncode == 0, said
    return said


def write_mu_map(path: Path) -> str:
    image = load_scanner(RING).image
    mu = mu_map_on_grid(make_phantom(SPHERES, load_scanner(RING)), image.shape, image.voxel_mm)
    np.savez_compressed(path, mu_per_mm=mu, voxel_mm=np.asarray(image.voxel_mm))
    return str(path)


def ready(daq: Acquisition, run: str) -> bool:
    status = daq.control.call("status")
    return bool(status["sources"]) and not status["not_ready"] and status["imager_run"] == run


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """Three seconds of two spheres in the small ring, with singles, followed while it was made."""
    folder = tmp_path_factory.mktemp("q")
    daq = Acquisition(folder, "--preset", RING, "--window", "all=100:700")
    at = ["--endpoint", daq.endpoints.base]
    emulate = ["emulate", "--preset", RING, "--phantom", SPHERES, *SETTINGS]
    helpers = [
        process("-m", "daq.cli", *emulate, *at, cwd=folder),
        process("-m", "daq.cli", "imager", *at, cwd=folder),
    ]
    try:
        mu_map = write_mu_map(folder / "mu_map.npz")
        labels = {"nuclide": "F-18", "phantom": "spheres.toml"}
        armed = daq.control.call("arm", labels=labels, mu_map=mu_map, duration_s=3.0)
        run = Path(armed["run"])
        wait_until(lambda: ready(daq, run.name), "sources and imager ready", timeout_s=READY_S)
        helpers.append(process(str(EXAMPLES / FOLLOWER), daq.endpoints.base, cwd=folder))
        assert helpers[-1].stdout is not None
        assert "following" in helpers[-1].stdout.readline()
        daq.control.call("start")
        wait_until(lambda: daq.state() == "closed", "the run's end", timeout_s=END_S)
        yield Recorded(run, ended(helpers[-1]))
    finally:
        daq.end()
        for one in helpers:
            one.terminate()
            one.wait(10)
            if one.stdout is not None:
                one.stdout.close()


def shown(recorded: Recorded, name: str, folder: Path) -> str:
    """Return what an example prints of the run."""
    return ended(process(str(EXAMPLES / name), str(recorded.folder), cwd=folder))


def figure(pattern: str, said: str) -> float:
    """Return the one number that a pattern finds."""
    found = re.search(pattern, said)
    assert found, f"{pattern!r} is not in:\n{said}"
    return float(found[1])


def prompts_of(recorded: Recorded) -> int:
    return len(ListmodeReader(recorded.folder / "listmode.tmlm").read_all(BlockKind.PROMPTS))


def test_reading_a_run_copies_nothing(recorded: Recorded, tmp_path: Path) -> None:
    said = shown(recorded, "01_read_a_run.py", tmp_path)
    assert figure(r"(\d+) prompts in \d+ blocks", said) == prompts_of(recorded) > 2000
    assert "views of the file, not copies: True" in said
    assert "F-18" in said and "attenuation" in said.split("applied: ")[1].splitlines()[0]
    assert 0.4 < figure(r"attenuation ([\d.]+)", said) < 0.9
    assert figure(r"scatter ([\d.e-]+) /s", said) > 0


def test_sorting_otherwise_finds_the_runs_own_bits_again(
    recorded: Recorded, tmp_path: Path
) -> None:
    said = shown(recorded, "02_sort_it_otherwise.py", tmp_path)
    assert f"own settings: {prompts_of(recorded)} prompts, same bits: True" in said
    counts = [figure(rf"τ = {ps} ps: (\d+)", said) for ps in (500, 1000, 2000, 4000)]
    assert counts == sorted(counts) and counts[0] < counts[-1]
    assert counts[2] == prompts_of(recorded)


def test_projection_and_its_adjoint_agree(recorded: Recorded, tmp_path: Path) -> None:
    said = shown(recorded, "03_project.py", tmp_path)
    assert abs(figure(r"- 1 = ([-\d.e]+)", said)) < 1e-5
    assert figure(r"at 0°: ([\d.]+) mm", said) == pytest.approx(96.0, rel=1e-3)


def test_own_em_comes_to_the_image_of_reconstruct(recorded: Recorded, tmp_path: Path) -> None:
    said = shown(recorded, "04_own_em.py", tmp_path)
    assert said.splitlines()[-1] == "the same image"
    assert figure(r"reconstruct\(\): ([\d.e-]+) of", said) < 1e-3


def test_reconstruction_tells_its_corrections_and_writes_files(
    recorded: Recorded, tmp_path: Path
) -> None:
    said = shown(recorded, "05_reconstruct.py", tmp_path)
    assert "✓ scatter" in said and "✗ calibration" in said
    assert "two frames: (48, 48, 12, 2)" in said
    assert {"example.nii.gz", "example.json", "example.hv"} <= {p.name for p in tmp_path.iterdir()}


def test_measures_find_the_hot_sphere(recorded: Recorded, tmp_path: Path) -> None:
    said = shown(recorded, "06_measure.py", tmp_path)
    assert figure(r"brightest at (-?\d+),", said) == pytest.approx(16, abs=10)
    assert figure(r"hot over opposite: ([\d.]+)", said) > 1.5


def test_plot_is_written(recorded: Recorded, tmp_path: Path) -> None:
    said = shown(recorded, "07_plot.py", tmp_path)
    assert figure(r"png: (\d+) prompts", said) == prompts_of(recorded)
    assert (tmp_path / "example.png").read_bytes().startswith(b"\x89PNG")


def test_follower_got_every_prompt_of_the_live_run(recorded: Recorded) -> None:
    said = recorded.followed
    assert f"{prompts_of(recorded)} prompts, 0 lost, finished True" in said
    assert recorded.folder.name in said
    assert int(re.findall(r"image of (\d+) prompts", said)[-1]) > 0  # the first may be empty
    assert figure(r"peaks at (\d+) keV", said) == pytest.approx(505, abs=25)


def test_source_of_ones_own_makes_a_run_whose_sums_close(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("q")
    daq = Acquisition(folder, "--auto", "--duration", "0.5", "--json")
    try:
        source = process(str(EXAMPLES / "09_be_a_source.py"), daq.endpoints.base, cwd=folder)
        said = ended(source)
        assert daq.process.wait(END_S) == 0, daq.log.read_text()
    finally:
        daq.end()
    singles = figure(r"with (\d+) singles", said)
    text = daq.log.read_text()
    assert '"conserved": true' in text and f'"received": {singles:.0f}' in text
    assert figure(r'"prompts": (\d+)', text) > 0.5 * singles / 2


def test_own_calibration_finds_the_gains_and_recovers_prompts(
    recorded: Recorded, tmp_path: Path
) -> None:
    said = shown(recorded, "10_own_calibration.py", tmp_path)
    assert figure(r"npz: (\d+) of 1024 crystals", said) > 900
    assert figure(r"σ ([\d.]+) %", said) == pytest.approx(5, abs=1.5)
    assert figure(r"after (\d+)", said) > figure(r"before (\d+)", said)


def test_a_format_of_ones_own_is_known_to_save(recorded: Recorded, tmp_path: Path) -> None:
    said = shown(recorded, "11_bring_an_image_format.py", tmp_path)
    assert "example.npz: (48, 48, 12)" in said and "same True" in said


def test_every_example_is_listed_and_tested() -> None:
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    here = Path(__file__).read_text(encoding="utf-8")
    assert "digitizer.py" in (Path(__file__).with_name("test_digitizer.py")).read_text("utf-8")
    for path in EXAMPLES.glob("*.py"):
        assert f"({path.name})" in listed and f'"{path.name}"' in here
