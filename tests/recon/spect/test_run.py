"""A whole SPECT run, offline and live: corrections, bad input, and the live image at its end."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import msgspec
import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest

from coincidence.events import ANGLE, SINGLE, WINDOW_SHIFT
from daq.folder.singles_log import FILE_NAME, SinglesWriter
from hw.arrays import Records
from hw.messages.base import MessageError
from hw.messages.imager import RunBegin, RunEnd, SinglesBatch
from hw.messages.pictures import ImageMessage
from hw.messages.sort_settings import SortSettings
from hw.physics.energy_windows import spect_windows
from hw.scanner.preset_file import parse_scanner, scanner_to_toml_text
from hw.wire.block_layout import BlockKind
from recon.core.asked import OptionsError
from recon.core.grid import GridError, Image
from recon.imager.spect_run import SpectLiveRun
from recon.spect.offline import reconstruct_spect
from recon.spect.peaks import SpectError
from recon.spect.projector import SpectProjector
from recon.spect.run import SpectOptions, SpectRun
from rigs.spect_camera import grid_of, peak_of, small_head, view_at

STEP_S, STEPS, STEP_DEG = 2.0, 40, 9.0
Second = tuple[Records, Records, int]


def truth(shape: tuple[int, int, int]) -> Image:
    """Return a warm block with a hot one in it, Bq a voxel: 14 MBq."""
    image = np.zeros(shape, np.float32)
    image[4:12, 4:12, 2:6] = 2e4
    image[6:8, 8:10, 3:5] = 1e6
    return image


@pytest.fixture(scope="module")
def stream() -> tuple[SpectRun, list[Second]]:
    """A step-and-shoot run of the small head, drawn from its own model with attenuation."""
    scanner = small_head()
    grid, rng = grid_of(scanner), np.random.default_rng(11)
    mu = np.where(grid.cylinder(90.0), np.float32(0.0096), np.float32(0.0))
    projector = SpectProjector(scanner, grid, peak_of(scanner), mu=mu)
    chunks = []
    for step in range(STEPS):
        expected = projector.forward(
            truth(grid.shape), [view_at(scanner, STEP_DEG * step, seconds=STEP_S)]
        )[0]
        n = rng.poisson(expected)
        singles = np.zeros(int(n.sum()), SINGLE)
        iu, iv = np.divmod(np.repeat(np.arange(n.size), n.ravel()), n.shape[1])
        singles["crystal"] = iu + scanner.module.n_u * iv
        times = np.sort(rng.uniform(step * STEP_S, (step + 1) * STEP_S, len(singles)))
        singles["time_ps"], singles["flags"] = (1e12 * times).astype("i8"), 2 << WINDOW_SHIFT
        angles = np.zeros(1, ANGLE)
        angles["time_ps"] = round(step * STEP_S * 1e12)
        angles["steps"] = round(1000 * STEP_DEG * step)
        chunks.append((singles, angles, round((step + 1) * STEP_S * 1e12)))
    return SpectRun(scanner, spect_windows("Tc-99m"), chunks, mu, (1.0,), STEP_S * STEPS), chunks


PLAIN = SpectOptions(iterations=4, subsets=4, scatter="none", decay=False)


def total_MBq(image: Image) -> float:
    return float(image.sum()) * 16.0**3 / 1e3 / 1e6


def test_a_run_comes_out_in_Bq_per_mL(stream: tuple[SpectRun, list[Second]]) -> None:
    """2 %: 3 · 10⁴ counts; the model that drew them is the one that reconstructs."""
    made = reconstruct_spect(stream[0], PLAIN)
    assert total_MBq(made.image) == pytest.approx(truth(made.grid.shape).sum() / 1e6, rel=0.03)
    assert made.metadata["views"] == STEPS
    assert made.metadata["corrections"]["attenuation"]["applied"]
    assert made.metadata["corrections"]["scatter"] == {"applied": False, "how": "not applied"}
    assert not made.warnings


def test_each_correction_moves_the_total_as_it_should(
    stream: tuple[SpectRun, list[Second]],
) -> None:
    run, _ = stream
    whole = total_MBq(reconstruct_spect(run, PLAIN).image)
    slow = total_MBq(reconstruct_spect(replace(run, live_share=(0.8,)), PLAIN).image)
    assert slow / whole == pytest.approx(1.25, rel=0.01)
    twice = replace(PLAIN, sensitivity_cps_per_MBq=2e6 * peak_of(run.scanner).counts_per_decay)
    assert total_MBq(reconstruct_spect(run, twice).image) / whole == pytest.approx(0.5, rel=0.01)
    bare = reconstruct_spect(replace(run, mu=None, calibrated=False), PLAIN)
    assert total_MBq(bare.image) < 0.6 * whole
    assert any("µ map" in words for words in bare.warnings)
    assert any("calibration" in words for words in bare.warnings)
    blurred = reconstruct_spect(run, replace(PLAIN, fwhm_mm=30.0)).image
    assert blurred.max() < 0.8 * reconstruct_spect(run, PLAIN).image.max()


def test_list_mode_is_the_same(stream: tuple[SpectRun, list[Second]]) -> None:
    binned, listed = (
        reconstruct_spect(stream[0], replace(PLAIN, list_mode=mode)) for mode in (False, True)
    )
    np.testing.assert_allclose(
        listed.image, binned.image, rtol=1e-3, atol=1e-4 * binned.image.max()
    )
    assert listed.metadata["algorithm"] == "list-mode OSEM"


def test_what_can_be_no_image_is_said_in_words(stream: tuple[SpectRun, list[Second]]) -> None:
    run, chunks = stream
    none = np.empty(0, SINGLE)
    with pytest.raises(SpectError, match="no counts in Tc-99m_141"):
        reconstruct_spect(replace(run, chunks=[(none, c[1], c[2]) for c in chunks]), PLAIN)
    with pytest.raises(SpectError, match="angle"):
        reconstruct_spect(replace(run, chunks=[(c[0], c[1][:0], c[2]) for c in chunks]), PLAIN)
    with pytest.raises(GridError, match="µ map"):
        reconstruct_spect(replace(run, mu=np.zeros((3, 3, 3), np.float32)), PLAIN)
    with pytest.raises(OptionsError, match="sensitivity"):
        reconstruct_spect(run, replace(PLAIN, sensitivity_cps_per_MBq=float("nan")))
    bare = tuple(w for w in run.windows if w.kind == "photopeak")
    renumbered = [(_as_first(c[0]), c[1], c[2]) for c in chunks]
    made = reconstruct_spect(
        replace(run, windows=bare, chunks=renumbered), replace(PLAIN, scatter="auto")
    )
    assert any("scatter" in words for words in made.warnings)
    with pytest.raises(SpectError, match="scatter window"):
        reconstruct_spect(replace(run, windows=bare), replace(PLAIN, scatter="tew"))


def _as_first(singles: Records) -> npt.NDArray[np.void]:
    changed = singles.copy()
    changed["flags"] = 1 << WINDOW_SHIFT
    return changed


def test_a_part_of_a_turn_is_imaged_with_a_warning(
    stream: tuple[SpectRun, list[Second]],
) -> None:
    run, chunks = stream
    made = reconstruct_spect(replace(run, chunks=chunks[:8], end_s=16.0), PLAIN)
    assert any("63° only" in words for words in made.warnings)
    assert np.isfinite(made.image).all()


class Clock:
    """Seconds that pass by a tenth with each look."""

    now = 100.0

    def __call__(self) -> float:
        self.now += 0.1
        return self.now


def live_run(folder: Path, mu: Image) -> SpectLiveRun:
    text = scanner_to_toml_text("gamma_head_lehr")
    for key, value in {"n_u": "16", "n_v": "16", "shape": "[16, 16, 8]",
                       "voxel_mm": "[16.0, 16.0, 16.0]"}.items():  # fmt: skip
        text = re.sub(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
    assert parse_scanner(text) == small_head()
    path = folder / "mu.npz"
    np.savez(path, mu_per_mm=mu, voxel_mm=np.full(3, 16.0))
    settings = SortSettings(
        lld_keV=126.5, uld_keV=154.5, window_ps=0, delay_ps=0, min_sector_difference=0,
        windows=spect_windows("Tc-99m"),
    )  # fmt: skip
    begin = RunBegin(
        run="live", folder=str(folder), scanner_toml=text, settings=settings, mu_map=str(path),
        calibration="a set",
    )  # fmt: skip
    return SpectLiveRun(begin, clock=Clock())


def batch_of(number: int, before: int, chunk: Second) -> tuple[SinglesBatch, list[bytes]]:
    singles, angles, watermark_ps = chunk
    header = SinglesBatch(
        run="live", sequence=number, singles=len(singles), angles=len(angles),
        singles_before=before, watermark_ps=watermark_ps, event_wall_ns=1, live_share=[1.0],
    )  # fmt: skip
    return header, [singles.tobytes(), angles.tobytes()]


def test_the_live_image_grows_and_ends_as_the_offline_one(
    stream: tuple[SpectRun, list[Second]], tmp_path: Path
) -> None:
    """5 % NRMSE where there is activity: the same counts, the same passes."""
    run, chunks = stream
    assert run.mu is not None
    live, before, images = live_run(tmp_path, run.mu), 0, []
    for number, chunk in enumerate(chunks):
        live.take(*batch_of(number, before, chunk))
        before += len(chunk[0])
        image = live.image(budget_s=0.05)
        images += [image] if image is not None else []
    assert len(images) >= STEPS // 2
    assert images[-1].unit == "Bq/mL"
    assert images[-1].corrections["attenuation"]
    final = live.end(RunEnd(run="live", prompts=before, delayeds=0), stopped=lambda: False)
    assert final is not None
    assert final.final
    assert final.note == "40 views, 351° seen, no post-filter"
    assert live.report().fraction_used == 1.0
    offline = reconstruct_spect(replace(run, end_s=0.0), SpectOptions()).image
    there = offline > 0.1 * offline.max()
    error = np.sqrt(np.mean((final.array() - offline)[there] ** 2)) / offline[there].mean()
    assert error < 0.05
    written = nib.load(tmp_path / "images" / "live.nii.gz").get_fdata()
    np.testing.assert_allclose(written, final.array())


def test_batches_that_are_lost_cost_time_but_no_truth(
    stream: tuple[SpectRun, list[Second]], tmp_path: Path
) -> None:
    run, chunks = stream
    assert run.mu is not None
    live, before = live_run(tmp_path, run.mu), 0
    for number, chunk in enumerate(chunks):
        if number % 4 != 3:
            live.take(*batch_of(number, before, chunk))
        before += len(chunk[0])
    final = live.end(RunEnd(run="live", prompts=before, delayeds=0), stopped=lambda: False)
    assert final is not None
    assert live.report().batches_lost == 9  # the last one is told by RunEnd's total
    assert live.report().fraction_used == pytest.approx(0.75, abs=0.02)
    expected = total_MBq(reconstruct_spect(run, SpectOptions()).image)
    assert total_MBq(final.array()) == pytest.approx(expected, rel=0.03)


def listed(folder: Path, chunks: list[Second], *, run: str = "live") -> None:
    """Write a run's list of singles."""
    windows = [msgspec.to_builtins(one) for one in spect_windows("Tc-99m")]
    log = SinglesWriter(folder / FILE_NAME, {"run": run, "windows": windows})
    for singles, angles, _ in chunks:
        log.append(BlockKind.ANGLES, angles)
        log.append(BlockKind.SINGLES, singles)
    log.close({})


def joined_late(
    stream: tuple[SpectRun, list[Second]], folder: Path
) -> tuple[SpectLiveRun, ImageMessage, ImageMessage]:
    """Return a run whose imager came at half time, its image then and at the end."""
    run, chunks = stream
    assert run.mu is not None
    live, before = live_run(folder, run.mu), 0
    for number, chunk in enumerate(chunks):
        if number >= STEPS // 2:
            live.take(*batch_of(number, before, chunk))
        before += len(chunk[0])
    early = live.image(budget_s=0.0)
    final = live.end(RunEnd(run="live", prompts=before, delayeds=0), stopped=lambda: False)
    assert final is not None and early is not None
    return live, early, final


def test_who_joined_late_has_all_at_the_end(
    stream: tuple[SpectRun, list[Second]], tmp_path: Path
) -> None:
    listed(tmp_path, stream[1])
    live, early, final = joined_late(stream, tmp_path)
    assert "from 40.0 s on: the imager was not there before" in early.note
    assert early.fraction_used < 0.7
    assert final.note == "40 views, 351° seen, no post-filter"
    report = live.report()
    assert report.fraction_used == 1.0 and "caught up" in report.message
    expected = total_MBq(reconstruct_spect(stream[0], SpectOptions()).image)
    assert total_MBq(final.array()) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("kept", ["half", "another run's"])
def test_who_joined_late_and_has_no_list_says_so_everywhere(
    stream: tuple[SpectRun, list[Second]], tmp_path: Path, kept: str
) -> None:
    half = kept == "half"
    listed(tmp_path, stream[1][: STEPS // 2 if half else STEPS], run="live" if half else "other")
    live, _, final = joined_late(stream, tmp_path)
    words = "from 40.0 s on: the imager was not there before"
    assert words in final.note and final.fraction_used < 0.7
    report = live.report()
    assert report.fraction_used < 0.7 and "not all of what was missed" in report.message
    told = json.loads((tmp_path / "images" / "live.json").read_text())
    assert told["algorithm"] == f"live OSEM, finished as offline, {words}"
    assert told["fraction_used"] < 0.7


def test_an_image_that_is_cut_short_says_so(
    stream: tuple[SpectRun, list[Second]], tmp_path: Path
) -> None:
    run, chunks = stream
    assert run.mu is not None
    live, before = live_run(tmp_path, run.mu), 0
    for number, chunk in enumerate(chunks):
        live.take(*batch_of(number, before, chunk))
        before += len(chunk[0])
    final = live.end(RunEnd(run="live", prompts=before, delayeds=0), stopped=lambda: True)
    assert final is not None
    assert "cut short, not as `tomoshibi reconstruct` makes it" in final.note
    told = json.loads((tmp_path / "images" / "live.json").read_text())
    assert told["algorithm"].startswith("live OSEM, cut short")


def test_nonsense_in_the_stream_is_refused_or_left(
    stream: tuple[SpectRun, list[Second]], tmp_path: Path
) -> None:
    run, chunks = stream
    assert run.mu is not None
    live = live_run(tmp_path, run.mu)
    header, parts = batch_of(0, 0, chunks[0])
    with pytest.raises(MessageError, match="start all processes from the same installation"):
        live.take(header, [parts[0][:-1], parts[1]])
    assert live.image(budget_s=0.05) is None
    damaged = chunks[0][0].copy()
    damaged["crystal"] = 2**32 - 1
    header, parts = batch_of(0, 0, (damaged, *chunks[0][1:]))
    live.take(header, parts)
    final = live.end(RunEnd(run="live", prompts=0, delayeds=0), stopped=lambda: False)
    assert final is not None
    assert not final.array().any()
    assert "no image" in live.report().message
    assert f"{len(damaged)} damaged records" in final.note


@pytest.mark.parametrize(
    "shares", [[float("nan")], [0.0], [-1.0], [float("inf")], [2.0], [1.0, 1.0]]
)
def test_live_shares_that_cannot_be_are_not_taken(
    shares: list[float], stream: tuple[SpectRun, list[Second]], tmp_path: Path
) -> None:
    run, chunks = stream
    assert run.mu is not None
    live = live_run(tmp_path, run.mu)
    header, parts = batch_of(0, 0, chunks[0])
    live.take(header, parts)
    live.take(msgspec.structs.replace(header, sequence=1, live_share=shares), parts)
    image = live.image(budget_s=0.0)
    assert image is not None and image.array().any() and np.isfinite(image.array()).all()
