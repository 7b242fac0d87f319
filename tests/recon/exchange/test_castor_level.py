"""The image that CASToR's rule makes of our files alone is ours, in Bq/mL.

CASToR itself is not there: the rule is that of its sources (oSensitivityGenerator, vOptimizer),
with lines and values read from the files.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from daq.cli import main
from daq.folder.run_config import RunConfig, default_settings
from daq.importers.coincidence_run import write_coincidence_run
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text
from recon.core.events import Lors
from recon.core.grid import ImageGrid
from recon.offline.options import ReconOptions
from recon.offline.run_model import RunModel
from recon.offline.run_reader import run_data
from recon.projector.operator import Projector
from rigs.exchange_data import made_records

BENCH = load_scanner("bench2")
UPDATES = 5


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of lines between the two modules, a quarter of them randoms."""
    made = [made_records(BENCH, 2000, 0.5), made_records(BENCH, 500, 0.5, seed=8, delayed=True)]
    for records in made:
        records["crystal_a"] %= 64
        records["crystal_b"] = records["crystal_b"] % 64 + 64
        records["tof_ps"] = 0
    config = RunConfig(
        scanner_toml=scanner_to_toml_text("bench2"), settings=default_settings(BENCH),
        name="made", labels={"nuclide": "Ga-68"},
    )  # fmt: skip
    runs = tmp_path_factory.mktemp("castor")
    write_coincidence_run(config, runs, [(False, made[0]), (True, made[1])])
    x, y, z = BENCH.image.shape
    mu = np.full((x, y, z), 0.005, np.float32)
    np.savez(runs / "made" / "mu_map.npz", mu_per_mm=mu, voxel_mm=np.array(BENCH.image.voxel_mm))
    return runs / "made"


def keys(path: Path, mark: str) -> dict[str, str]:
    lines = (line.partition(mark) for line in path.read_text().splitlines())
    return {key.strip(" !"): value.strip() for key, _, value in lines}


def castor_image(path: Path) -> tuple[np.ndarray, ImageGrid]:
    said = keys(path, ":=")
    x, y, z = (int(said[f"matrix size [{axis}]"]) for axis in (1, 2, 3))
    step = tuple(float(said[f"scaling factor (mm/pixel) [{axis}]"]) for axis in (1, 2, 3))
    values = np.fromfile(path.parent / said["name of data file"], "<f4").reshape(z, y, x)
    return np.ascontiguousarray(values.T), ImageGrid((x, y, z), (step[0], step[1], step[2]))


def image_by_castor_s_rule(header: Path) -> np.ndarray:
    """MLEM from the files alone."""
    said = keys(header, ":")
    folder, stem = header.parent, header.stem
    fields = [("ms", "<u4")]
    kinds = ("Attenuation", "Random", "Normalization")
    fields += [(kind, "<f4") for kind in kinds if said[f"{kind} correction flag"] == "1"]
    fields += [("tof", "<f4"), ("first", "<u4"), ("second", "<u4")]
    events = np.fromfile(folder / said["Data filename"], np.dtype(fields))
    places = np.fromfile(folder / f"{said['Scanner name']}.lut", "<f4").reshape(-1, 6)[:, :3]
    lors = Lors(places[events["first"]].copy(), places[events["second"]].copy())
    sensitivity, grid = castor_image(folder / f"{stem}_sensitivity.hdr")
    projector = Projector(grid)
    duration_s = float(said["Duration (s)"])
    factor = float(said["Calibration factor"]) / duration_s  # no isotope is named: no decay
    for kind in ("Attenuation", "Normalization"):
        factor = factor * (events[kind] if kind in events.dtype.names else 1.0)
    addend = events["Random"] * duration_s if "Random" in events.dtype.names else 0.0
    image = (sensitivity > 0) * np.float32(len(events) / sensitivity.sum())
    inverse = np.divide(1.0, sensitivity, out=np.zeros_like(sensitivity), where=sensitivity > 0)
    for _ in range(UPDATES):
        expected = projector.forward(image, lors) / factor + addend
        ratio = np.divide(1.0, expected * factor, out=np.zeros_like(expected), where=expected > 0)
        image = image * inverse * projector.back(ratio.astype(np.float32), lors)
    assert said["Isotope"] == "unknown"
    return image


def our_image(folder: Path, *, attenuated: bool, randoms: bool) -> np.ndarray:
    """The same from our own model of events, in Bq/mL."""
    options = ReconOptions(
        attenuation="map" if attenuated else "none", randoms=randoms, scatter="none",
        prompt_gamma=False, tof=False,
    )  # fmt: skip
    model = RunModel.of(run_data(folder), options)
    projector, events, exposure = model.projector(), model.events(), model.exposure
    image = (exposure > 0) * np.float32(len(events) / exposure.sum())
    inverse = np.divide(1.0, exposure, out=np.zeros_like(exposure), where=exposure > 0)
    addend = events.addend if len(events.addend) else 0.0
    for _ in range(UPDATES):
        expected = projector.forward(image, events.lors) + addend
        ratio = np.divide(1.0, expected, out=np.zeros_like(expected), where=expected > 0)
        image = image * inverse * projector.back(ratio.astype(np.float32), events.lors)
    return image / (model.grid.voxel_volume_mm3 / 1000) / 0.889  # mL, β⁺ fraction of Ga-68


@pytest.mark.parametrize("corrections", ["attenuation", "attenuation,randoms"])
def test_level_and_places_are_ours(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], corrections: str
) -> None:
    words = ["export", "made", "--runs", str(run_folder.parent), "--format", "castor", "--json",
             "--corrections", corrections, "--output", str(tmp_path / "a.Cdh")]  # fmt: skip
    assert main(words) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    names = {Path(one).name for one in said["files"]}
    assert {"a_sensitivity.hdr", "a_sensitivity.img", "a_mumap.hdr", "a_mumap.img"} < names
    mu, _ = castor_image(tmp_path / "a_mumap.hdr")
    assert np.allclose(mu, 0.05)  # 1/cm
    theirs = image_by_castor_s_rule(tmp_path / "a.Cdh")
    ours = our_image(run_folder, attenuated=True, randoms="randoms" in corrections)
    seen = ours > 0.2 * ours.max()
    assert theirs.sum() == pytest.approx(ours.sum(), rel=0.02)
    assert np.abs(theirs - ours)[seen].mean() < 0.03 * ours[seen].mean()
