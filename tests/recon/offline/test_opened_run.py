"""The public face on small made runs: views, blocks, factors of events, options, errors."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import nibabel as nib
import numpy as np
import pydicom
import pytest

import recon
from coincidence.events import SINGLE, WINDOW_SHIFT
from daq.folder.calibration_arrays import CalibrationSetError
from daq.folder.calibration_set import new_set, save_set
from daq.folder.listmode_log import ListmodeWriter
from daq.folder.raw_log import RawLogWriter
from daq.folder.run_config import RunConfig, default_settings
from daq.folder.singles_log import SinglesWriter, singles_head
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text
from hw.wire.block_layout import BlockKind
from hw.wire.frames import new_header, seal_frame
from hw.wire.protocol import FRAME_PERIOD_PS, pack_words
from recon import ReconError, open_run, reconstruct
from recon.offline.run_reader import run_data
from rigs.exchange_data import made_records
from rigs.runs.spect_run_folder import write_spect_run

SCANNER = load_scanner("bench2")
WINDOW = {"name": "all", "lld_keV": 100.0, "uld_keV": 700.0}
TICK_PS = 625 / 32


def write_run(root: Path, name: str, *, created: str = "2026-11-21T10:00:00+00:00") -> Path:
    """Write a run of two blocks of prompts, one of delayeds, two of singles, and raw frames."""
    folder = root / name
    folder.mkdir(parents=True)
    settings = default_settings(SCANNER, windows=[WINDOW])
    config = RunConfig(
        scanner_toml=scanner_to_toml_text("bench2"), settings=settings, labels={"nuclide": "F-18"}
    )
    head = {"run": name, "created": created, "config": msgspec.to_builtins(config), "run_tag": 7}
    head["calibration"] = "none"
    (folder / "run.json").write_text(json.dumps(head), encoding="utf-8")
    prompts = made_records(SCANNER, 4000, 1.0)
    log = ListmodeWriter(folder / "listmode.tmlm", head)
    log.append(BlockKind.PROMPTS, prompts[:1500])
    log.append(BlockKind.DELAYEDS, made_records(SCANNER, 200, 1.0, seed=2, delayed=True))
    log.append(BlockKind.PROMPTS, prompts[1500:])
    log.close({})
    singles = np.zeros(500, SINGLE)
    singles["time_ps"], singles["flags"] = np.arange(500), 1 << WINDOW_SHIFT
    windowed = SinglesWriter(folder / "singles.tmws", singles_head(head, settings))
    windowed.append(BlockKind.SINGLES, singles[:300])
    windowed.append(BlockKind.SINGLES, singles[300:])
    windowed.close({})
    raw = RawLogWriter(folder / "raw.tmraw", head)
    frames = [
        seal_frame(new_header(module, 0, 3, run_tag=7), words_of(module)) for module in (0, 1)
    ]
    raw.append(b"".join(frames), frames=2)
    raw.close({})
    return folder


def words_of(module: int) -> np.ndarray:
    return pack_words(time_ticks=[0, 32], crystal=[5, 6 + module], energy_dkeV=5110, doi=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs"), "one")


@pytest.fixture(scope="module")
def run(folder: Path) -> recon.Run:
    return open_run(folder)


def test_face_is_loaded_when_asked_for_and_no_sooner() -> None:
    words = (
        "import sys, recon.core.grid; print('numba' in sys.modules, 'recon.live' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["False", "False"]


def test_every_name_of_the_face_is_there() -> None:
    assert all(hasattr(recon, name) for name in recon.__all__)
    assert set(recon.__all__) == {name for names in recon._HOME.values() for name in names}
    with pytest.raises(AttributeError, match="no attribute 'reconstrukt'"):
        getattr(recon, "reconstrukt")  # noqa: B009


def test_run_tells_what_it_was(run: recon.Run) -> None:
    assert (run.name, run.modality, run.scanner.name) == ("one", "PET", "bench2")
    assert run.energy_window_keV == (400.0, 650.0)
    assert run.nuclide is not None and run.nuclide.name == "F-18"
    assert run.duration_s == pytest.approx(1.0, rel=1e-3)
    assert run.grid.shape == (32, 32, 32) and run.tof is not None
    assert run.start == datetime(2026, 11, 21, 10, tzinfo=UTC)
    assert [window.name for window in run.windows] == ["all"]


def test_blocks_are_views_of_the_file_in_its_order(run: recon.Run) -> None:
    prompts = run.prompts()
    assert [len(block) for block in prompts] == [1500, 2500]
    assert (len(prompts), prompts.size, prompts.nbytes) == (2, 4000, 128_000)
    for block in (*prompts, *run.delayeds(), *run.singles()):
        assert not block.flags.owndata and not block.flags.writeable
    assert np.shares_memory(prompts[0], prompts[0])
    every = prompts.concatenate()
    assert every.flags.writeable and np.array_equal(every, made_records(SCANNER, 4000, 1.0))
    assert np.array_equal(np.asarray(prompts), every)
    assert run.singles().size == 500 and run.angles().size == run.triples().size == 0


def test_one_array_without_a_copy_is_refused(run: recon.Run) -> None:
    with pytest.raises(ValueError, match="one array is a copy"):
        np.asarray(run.prompts(), copy=False)


def test_raw_singles_are_what_the_modules_sent(run: recon.Run) -> None:
    (singles,) = run.raw_singles()
    assert singles["crystal"].tolist() == [5, 6, 64 + 5, 64 + 7]
    assert (singles["time_ps"] - 3 * FRAME_PERIOD_PS).tolist() == [0, round(32 * TICK_PS)] * 2
    assert set(singles["energy"]) == {5110} and set(singles["doi"]) == {1}


def test_factors_of_events_are_the_engines(run: recon.Run) -> None:
    model = run.model()
    prompts = run.prompts().concatenate()
    terms, events = model.terms(prompts), model.events()
    assert len(events) == 4000 and np.array_equal(events.addend, terms.addend)
    assert np.array_equal(events.lors.start, terms.lors.start)
    assert np.array_equal(model.lines.multiplicative(prompts, model.lines.locate(prompts)),
                          terms.multiplicative)  # fmt: skip
    assert terms.randoms.any() and not terms.scatter.any()
    assert "attenuation" in model.corrections.missing()
    part = model.terms(run.prompts()[1])
    assert np.array_equal(part.addend, terms.addend[1500:])


def test_own_em_with_the_model_is_the_engines_mlem(run: recon.Run) -> None:
    options = {"decay": False, "calibration": False}
    model = run.model(**options)
    events, exposure, mask = model.events(), model.exposure, model.mask
    A = model.projector().along(events)
    image = mask * np.float32(events.weight.sum() / exposure[mask].sum(dtype="f8"))
    for _ in range(3):
        projected = A(image)
        ratio = np.divide(events.weight, projected + events.addend,
                          out=np.zeros_like(projected), where=projected > 1e-25)  # fmt: skip
        image *= np.divide(A.adjoint(ratio), exposure, out=np.zeros_like(image), where=mask)
    theirs = reconstruct(run, algorithm="mlem", iterations=3, **options).image
    ours = image / (run.grid.voxel_volume_mm3 / 1000)
    assert np.abs(ours - theirs).max() < 1e-4 * theirs.max()


def test_negative_values_survive_in_every_format(run: recon.Run, tmp_path: Path) -> None:
    image = reconstruct(run, algorithm="negml", scatter="none", voxel_mm=(1.0,), iterations=3)
    assert image.image.min() < 0 and image.metadata["algorithm"].startswith("list-mode NEGML")
    assert image.metadata["post_filter_fwhm_mm"] > 0  # chosen: it has no prior
    nifti, interfile, dicom = image.save(
        tmp_path / "a.nii", formats=("nifti", "interfile", "dicom")
    )
    assert np.array_equal(nib.load(nifti).get_fdata(dtype=np.float32), image.image)
    assert np.fromfile(interfile.with_suffix(".v"), "<f4").min() == image.image.min()
    lowest = [pydicom.dcmread(path) for path in sorted(dicom.glob("*.dcm"))]
    values = [float(one.RescaleSlope) * one.pixel_array.min() for one in lowest]
    assert min(values) == pytest.approx(
        image.image.min(), abs=float(np.abs(image.image).max()) / 32767
    )


def test_image_saves_in_every_format_and_can_be_measured(run: recon.Run, tmp_path: Path) -> None:
    image = reconstruct(run, iterations=1, frames="2x0.5s")
    assert image.image.shape == (32, 32, 32, 2) and image.image.dtype == np.float32
    assert image.unit == "emissions/s/mL, uncalibrated"
    assert image.picture(1).values.shape == (32, 32, 32)
    written = image.save(tmp_path / "new" / "it.nii.gz", formats=("nifti", "interfile"))
    assert [path.name for path in written] == ["it.nii.gz", "it.hv"]
    with pytest.raises(ReconError, match=r"must end in \.nii"):
        image.save(tmp_path / "it.img")


def test_option_that_is_none_is_refused_with_the_nearest(run: recon.Run) -> None:
    with pytest.raises(ReconError, match=r"no option iteration .* did you mean iterations"):
        reconstruct(run, iteration=3)
    with pytest.raises(ReconError, match="no option list_mode for a PET run"):
        run.model(list_mode=True)
    with pytest.raises(ReconError, match=r"iterations = 0: must lie in 1\.\.1000"):
        reconstruct(run, iterations=0)


def test_last_is_the_newest_of_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path / "runs", "newer", created="2026-11-22T10:00:00+00:00")
    write_run(tmp_path / "runs", "older")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOMOSHIBI_RUNS", raising=False)
    assert open_run("runs/last").name == open_run().name == "newer"
    assert open_run("older").name == "older"
    monkeypatch.setenv("TOMOSHIBI_RUNS", str(tmp_path / "elsewhere"))
    with pytest.raises(ReconError, match=r"no runs in .*elsewhere.*tomoshibi demo"):
        open_run("last")
    with pytest.raises(ReconError, match=r"nothing is not a run: .*tomoshibi runs"):
        open_run("nothing")


def test_run_without_windows_says_where_its_singles_are(tmp_path: Path) -> None:
    folder = write_run(tmp_path, "plain")
    (folder / "singles.tmws").unlink()
    with pytest.raises(ReconError, match=r"raw_singles\(\) reads raw.tmraw"):
        open_run(folder).singles()


def test_a_calibration_set_of_another_instrument_is_refused(folder: Path, tmp_path: Path) -> None:
    other = new_set("other", SCANNER, sources=(), serial="bench2-0007")
    path = save_set(other, tmp_path / "other.npz")
    with pytest.raises(CalibrationSetError, match="bench2-0007, this run names none: give a set"):
        run_data(folder, calibration=path)


def test_spect_run_is_reconstructed_by_the_same_call(tmp_path: Path) -> None:
    run = open_run(write_spect_run(tmp_path / "head"))
    assert (run.modality, run.singles().size, run.angles().size) == ("SPECT", 32_000, 40)
    assert run.duration_s == pytest.approx(40.0, rel=1e-3) and run.tof is None
    image = reconstruct(run, iterations=1, subsets=4, scatter="none")
    assert image.image.shape == (16, 16, 8) and image.unit == "Bq/mL"
    assert image.metadata["prompts_used"] == 32_000  # every count lies in a view
    assert image.save(tmp_path / "head.nii")[0].exists()
    with pytest.raises(ReconError, match="nuclide is for PET runs, head is a SPECT run"):
        reconstruct(run, nuclide="F-18")
    with pytest.raises(ReconError, match="it has no coincidences"):
        run.model()
