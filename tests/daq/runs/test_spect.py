"""A SPECT run: windowed singles, angles and pictures, exact and the same again from the raw log."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from coincidence.events import ANGLE, SINGLE, WINDOW_SHIFT, angles_of_singles
from daq.folder import singles_log
from daq.folder.run_config import ANY_ENERGY, RunConfig, check_fits, default_settings
from daq.folder.singles_log import SinglesReader
from daq.path.takers import projections
from daq.replay.sort_again import resort, verify
from daq.service.run import Run
from daq.service.watching.watch import RunWatch
from hw.messages.counters import COUNTERS
from hw.messages.sort_settings import SettingsError, SortSettings
from hw.scanner.description import Scanner
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import parse_scanner
from hw.wire.angle_words import pack_angle_words
from hw.wire.block_layout import BlockKind
from rigs.frames_factory import RUN_TAG, ModuleSender
from rigs.line_journal import told as lines_told
from rigs.spect_frames import SpectRun, spect_run
from rigs.spect_presets import COLUMNS, HEAD, as_toml

TEXTS = {"head": as_toml(HEAD), "columns": as_toml(COLUMNS)}


@pytest.fixture(params=["head", "columns"])
def text(request: pytest.FixtureRequest) -> str:
    return TEXTS[request.param]


def config(text: str, **changes: object) -> RunConfig:
    settings = default_settings(parse_scanner(text), nuclides=["Tc-99m"])
    values = {"scanner_toml": text, "settings": settings, "run_tag": RUN_TAG, "name": "spect"}
    return RunConfig(**(values | changes))  # type: ignore[arg-type]


def taken(config: RunConfig, sent: SpectRun, root: Path, *, batch: int = 7) -> Run:
    run = Run(config, root)
    run.start()
    for k in range(0, len(sent.frames), batch):
        run.process(sent.frames[k : k + batch])
    assert sent.report is not None
    run.reports.append(sent.report)
    run.finish()
    run.write_summary()
    return run


# The settings


def test_a_nuclides_windows_are_those_that_the_collimator_is_meant_for() -> None:
    scanner = parse_scanner(TEXTS["head"])  # 70 to 160 keV
    names = [w.name for w in default_settings(scanner, nuclides=["Lu-177"]).windows]
    assert names == ["Lu-177_113_low", "Lu-177_113", "Lu-177_113_high"]


def test_a_nuclide_for_another_collimator_is_refused_with_the_remedy() -> None:
    with pytest.raises(SettingsError, match=r"beyond the LEHR collimator.*choose the preset"):
        default_settings(parse_scanner(TEXTS["head"]), nuclides=["I-131"])


def test_without_a_nuclide_one_window_takes_all_that_the_preset_accepts() -> None:
    (window,) = default_settings(parse_scanner(TEXTS["head"])).windows
    assert (window.name, window.lld_keV, window.uld_keV) == (ANY_ENERGY, 60, 400)


def test_coincidences_behind_collimators_are_refused() -> None:
    settings = SortSettings(lld_keV=60, uld_keV=400, window_ps=5000, delay_ps=0)
    with pytest.raises(SettingsError, match="records single photons, no coincidences"):
        check_fits(settings, parse_scanner(TEXTS["head"]))


# What is recorded


def test_every_photon_in_a_window_is_in_the_log_at_its_angle(text: str, tmp_path: Path) -> None:
    scanner = parse_scanner(text)
    sent = spect_run(scanner)
    run = taken(config(text), sent, tmp_path)
    log = SinglesReader(run.folder / singles_log.FILE_NAME)
    singles, angles = log.read_all(BlockKind.SINGLES), log.read_all(BlockKind.ANGLES)
    numbers = {1405: 2, 1250: 1}  # 140.5 keV in the photopeak, 125.0 below it, 90.0 nowhere
    expected = sorted(
        (t, c, e, numbers[e], sent.angle_at(t, c // scanner.crystals_per_module))
        for t, c, e in sent.photons
        if e in numbers
    )
    at = angles_of_singles(singles, angles, build_geometry(scanner).crystal_module)
    found = sorted(
        zip(
            singles["time_ps"].tolist(), singles["crystal"].tolist(), singles["energy"].tolist(),
            (singles["flags"] >> WINDOW_SHIFT).tolist(), at.round(6).tolist(), strict=True,
        )
    )  # fmt: skip
    assert found == expected


def test_angles_stand_in_the_log_before_the_singles_seen_at_them(tmp_path: Path) -> None:
    sent = spect_run(parse_scanner(TEXTS["columns"]))
    run = taken(config(TEXTS["columns"]), sent, tmp_path)
    told_ps = -1
    for kind, records in SinglesReader(run.folder / singles_log.FILE_NAME):
        if kind is BlockKind.ANGLES:
            told_ps = int(records["time_ps"].max())
        else:
            period_ps = 5_242_880_000
            assert records["time_ps"].max() < told_ps + period_ps


def test_the_books_close_and_nothing_is_said_of_pairs(text: str, tmp_path: Path) -> None:
    scanner = parse_scanner(text)
    sent = spect_run(scanner)
    summary = taken(config(text), sent, tmp_path).summary()
    photons = len(sent.photons)
    inside = sum(e in (1405, 1250) for _, _, e in sent.photons)
    assert summary["conserved"] is True
    assert summary["condition"] == "good"
    singles = summary["singles"]
    assert singles["emitted"] == singles["received"] == photons
    assert (singles["accepted"], singles["windowed"]) == (0, inside)
    assert singles["out_of_window"] == photons - inside
    assert singles["other_words"] == 0
    assert summary["prompts"] == summary["delayeds"] == summary["crowded"] == 0
    assert summary["randoms"]["ratio"] is None
    assert {f"angles.{key}" for key in summary["angles"]} <= set(COUNTERS)
    assert summary["angles"] == {
        "words": len(sent.angles), "implausible": 0, "late": 0, "unknown_frames": 0,
    }  # fmt: skip
    assert sum(summary["windows"].values()) == inside
    assert set(summary["tew"]) == {"Tc-99m_141"}
    live = summary["live_time"]
    assert live["module_s"] == pytest.approx([live["detector_s"]] * scanner.n_modules)


def test_pictures_are_the_counts_of_the_log(text: str, tmp_path: Path) -> None:
    scanner = parse_scanner(text)
    sent = spect_run(scanner)
    run = taken(config(text), sent, tmp_path)
    with np.load(run.folder / projections.FILE_NAME) as saved:
        counts, names = saved["counts"], saved["windows"].tolist()
    block = scanner.module
    assert counts.shape == (3, scanner.n_modules, block.n_v, block.n_u)
    by_hand = np.zeros_like(counts)
    for _, crystal, energy in sent.photons:
        module, inside = divmod(crystal, block.n_u * block.n_v)
        row, column = divmod(inside, block.n_u)
        if energy in (1405, 1250):
            by_hand[1 if energy == 1405 else 0, module, row, column] += 1
    assert names == ["Tc-99m_141_low", "Tc-99m_141", "Tc-99m_141_high"]
    assert np.array_equal(counts, by_hand)
    assert run.takers.projections is not None
    message = run.takers.projections.message(run.name, angles_deg=[], wall_ns=1)
    assert np.array_equal(message.arrays()[0], by_hand)


def test_recent_pictures_forget(tmp_path: Path) -> None:
    scanner = parse_scanner(TEXTS["head"])
    counter = projections.ProjectionCounter(scanner, default_settings(scanner, nuclides=["Tc-99m"]))
    for second in range(20):
        singles = np.zeros(10 + second, SINGLE)
        singles["flags"] = 2 << WINDOW_SHIFT
        counter.observe(singles, (second + 1) * 10**12)
    recent, seconds = counter.recent()
    assert seconds == 5
    assert recent[1].sum() == sum(10 + s for s in range(15, 20))
    assert counter.counts[1, 0] == sum(10 + s for s in range(20))


def test_a_picture_that_does_not_fit_is_left_out_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    scanner = parse_scanner(TEXTS["head"])
    monkeypatch.setattr(projections, "MOST_CELLS", 2 * scanner.n_crystals)
    settings = default_settings(scanner, nuclides=["Tc-99m"])
    counter = projections.ProjectionCounter(scanner, settings)
    assert counter.windows == ("Tc-99m_141_low", "Tc-99m_141")
    singles = np.zeros(1, SINGLE)
    singles["flags"] = 3 << WINDOW_SHIFT
    counter.observe(singles, 1)
    assert counter.counts.sum() == 0


# The same again


def test_the_raw_log_gives_the_same_singles_and_angles_again(text: str, tmp_path: Path) -> None:
    run = taken(config(text), spect_run(parse_scanner(text)), tmp_path)
    checked = verify(run.folder)
    assert checked.identical
    assert set(checked.live_further) == {"singles", "angles"}
    summary = json.loads((run.folder / "summary.json").read_text(encoding="utf-8"))
    assert checked.replay_further["angles"] == summary["angles_hash"]
    again = resort(run.folder, threads=2)
    assert again.summary["angles_hash"] == summary["angles_hash"]
    assert again.summary["singles_hash"] == summary["singles_hash"]


def test_batches_do_not_matter(tmp_path: Path) -> None:
    text = TEXTS["columns"]
    sent = spect_run(parse_scanner(text))
    hashes = set()
    for batch in (1, 5, 1000):
        run = taken(config(text, name=f"by-{batch}"), sent, tmp_path, batch=batch)
        further = run.takers.streams.summary()
        hashes.add((further["singles_hash"], further["angles_hash"]))
    assert len(hashes) == 1


# Angles that cannot be, or never come


def frames_with_angles(*degrees: float, scanner: Scanner) -> SpectRun:
    """One module's frames, one a period, each with one angle word at its start."""
    sender, run = ModuleSender(0), SpectRun()
    for period, angle in enumerate(degrees):
        words = pack_angle_words(time_ticks=[0], angle_deg=[angle])
        run.frames.append(sender.frame(words, last=period == len(degrees) - 1))
    return run


@pytest.mark.parametrize(
    ("degrees", "implausible"),
    [
        ((0.0, 0.03, 0.06), 0),
        ((-0.5, 0.0), 0),  # an encoder's tolerance
        ((-0.6, 0.0), 1),  # below the range
        ((360.51, 360.0), 1),  # above it
        ((10.0, 90.0, 10.05), 1),  # a leap that no gantry makes in 5 ms, and back
        ((100.0, 100.5, 100.2), 0),
    ],
)
def test_an_angle_beyond_range_or_reach_is_counted_and_left_out(
    degrees: tuple[float, ...], implausible: int, tmp_path: Path
) -> None:
    scanner = parse_scanner(TEXTS["head"])
    run = Run(config(TEXTS["head"]), tmp_path)
    (output,) = run.process(frames_with_angles(*degrees, scanner=scanner).frames)
    books = run.books().angles()
    assert books["words"] == len(degrees)
    assert books["implausible"] == implausible
    assert len(output.angles) == len(degrees) - implausible
    assert output.angles.dtype == ANGLE
    run.abandon()


def test_an_implausible_angle_raises_an_alarm_and_taints_the_run(tmp_path: Path) -> None:
    run = Run(config(TEXTS["head"]), tmp_path)
    run.process(frames_with_angles(0.0, 200.0, scanner=run.scanner).frames)
    entries = lines_told(RunWatch().look(run, 5.0))
    assert any(s == "alarm" and "1 angles implausible" in words for s, words in entries)
    assert run.condition() == "tainted"
    run.abandon()


def test_modules_that_do_not_tell_their_angle_are_noticed_after_a_second(tmp_path: Path) -> None:
    scanner = parse_scanner(TEXTS["head"])
    sent = spect_run(scanner, periods=200, photons=2, tell_angles=False)
    run = taken(config(TEXTS["head"]), sent, tmp_path)
    beyond = 200 - 190  # 190 periods end within the first second
    assert run.books().angles()["unknown_frames"] == beyond
    assert any("did not tell their angle" in words for words in RunWatch().last_words(run))
    log = SinglesReader(run.folder / singles_log.FILE_NAME)
    at = angles_of_singles(
        log.read_all(BlockKind.SINGLES), log.read_all(BlockKind.ANGLES),
        build_geometry(scanner).crystal_module,
    )  # fmt: skip
    assert len(at) > 0
    assert np.isnan(at).all()


def test_an_angle_older_than_the_last_is_late(tmp_path: Path) -> None:
    run = Run(config(TEXTS["head"]), tmp_path)
    sender = ModuleSender(0)
    words = pack_angle_words(time_ticks=[1000, 0, 2000], angle_deg=[1.0, 0.9, 1.01])
    (output,) = run.process([sender.frame(words)])
    assert run.books().angles()["late"] == 1
    assert output.angles["steps"].tolist() == [1000, 1010]
    run.abandon()


def test_whoever_asks_for_any_collimator_gets_all_lines() -> None:
    scanner = parse_scanner(TEXTS["head"])
    windows = default_settings(scanner, nuclides=["I-131"], any_collimator=True).windows
    assert "I-131_364" in [window.name for window in windows]
