"""PET and SPECT from one stream: Ga-68 pairs and Lu-177 singles, each in its own log, exactly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from coincidence.events import WINDOW_SHIFT
from daq.errors import StorageError
from daq.folder import listmode_log as listmode
from daq.folder import singles_log
from daq.folder.listmode_log import ListmodeHash, ListmodeReader, ListmodeWriter
from daq.folder.run_config import RunConfig, default_settings
from daq.folder.run_folder import run_config
from daq.folder.singles_log import SinglesReader
from daq.replay.sort_again import resort, verify
from daq.service.run import Run
from hw.messages.sort_settings import SettingsError
from hw.physics.energy_windows import spect_windows
from hw.scanner.description import Scanner
from hw.wire.block_layout import BlockKind
from hw.wire.protocol import FRAME_PERIOD_PS, FRAME_PERIOD_TICKS
from rigs.frames_factory import RUN_TAG, ModuleSender, single_words

PERIODS = 5
PAIRS, PHOTONS = 150, 400  # of each period; photons: of each module and period


class Mixture:
    """What two modules see of pairs and single photons, and the frames that they send of it."""

    def __init__(self) -> None:
        rng = np.random.default_rng(6)
        senders = [ModuleSender(0), ModuleSender(1)]
        self.frames: list[bytes] = []
        self.photons: list[tuple[int, int, int]] = []  # time_ps, crystal, energy
        for period in range(PERIODS):
            slots = rng.choice(FRAME_PERIOD_TICKS // 4000 - 1, PAIRS, replace=False) * 4000 + 2000
            for module, sender in enumerate(senders):
                ticks = rng.integers(0, FRAME_PERIOD_TICKS, PHOTONS)
                energy = np.where(rng.random(PHOTONS) < 0.7, 2080, rng.integers(500, 3000, PHOTONS))
                crystal = rng.integers(0, 64, PHOTONS)
                times = period * FRAME_PERIOD_PS + ticks * 625 // 32
                self.photons += zip(
                    times.tolist(), (crystal + 64 * module).tolist(), energy.tolist(), strict=True
                )
                words = single_words(
                    np.concatenate([slots + rng.integers(-40, 41, PAIRS), ticks]),
                    crystal=np.concatenate([rng.integers(0, 64, PAIRS), crystal]),
                    energy_dkeV=np.concatenate([np.full(PAIRS, 5110), energy]),
                )
                self.frames.append(sender.frame(words, last=period == PERIODS - 1))

    def expected(self, low_keV: float, high_keV: float) -> list[tuple[int, int, int]]:
        """The photons of a window, lower edge included and upper excluded, in order of time."""
        return sorted(p for p in self.photons if low_keV * 10 <= p[2] < high_keV * 10)


@pytest.fixture(scope="module")
def mixture() -> Mixture:
    return Mixture()


@pytest.fixture
def config(bench: Scanner, make_config: Callable[..., RunConfig]) -> RunConfig:
    windows = [msgspec.to_builtins(w) for w in spect_windows("Lu-177", scatter_fraction=0.06)]
    settings = default_settings(bench, windows=windows, triples=True)
    return make_config(settings=settings, name="both")


def recorded(config: RunConfig, root: Path, mixture: Mixture, *, at_once: int) -> Run:
    run = Run(config, root)
    run.start()
    for k in range(0, len(mixture.frames), at_once):
        run.process(mixture.frames[k : k + at_once])
    run.finish()
    run.write_summary()
    return run


@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_both_logs_are_right_whatever_the_batches(
    tmp_path: Path, config: RunConfig, mixture: Mixture, at_once: int
) -> None:
    run = recorded(config, tmp_path, mixture, at_once=at_once)
    prompts = ListmodeReader(run.folder / listmode.FILE_NAME).read_all(BlockKind.PROMPTS)
    assert len(prompts) == PERIODS * PAIRS
    assert set(prompts["energy_a"]) == set(prompts["energy_b"]) == {5110}
    log = SinglesReader(run.folder / singles_log.FILE_NAME)
    number = 1 + [window.name for window in log.windows].index("Lu-177_208")
    singles = log.read_all(BlockKind.SINGLES)
    peak = singles[singles["flags"] >> WINDOW_SHIFT == number]
    found = list(
        zip(peak["time_ps"].tolist(), peak["crystal"].tolist(), peak["energy"].tolist(),
            strict=True)
    )  # fmt: skip
    assert found == mixture.expected(187.5, 229.2)
    everything = log.read_all(BlockKind.SINGLES)
    assert (np.diff(everything["time_ps"]) >= 0).all()


def test_the_summary_counts_every_window_and_estimates_the_scatter(
    tmp_path: Path, config: RunConfig, mixture: Mixture
) -> None:
    summary = recorded(config, tmp_path, mixture, at_once=4).summary()
    edges = {w.name: (w.lld_keV, w.uld_keV) for w in config.settings.singles_windows}
    edges = {n: (lo, hi + 0.1 * n.endswith("high")) for n, (lo, hi) in edges.items()}
    expected = {name: len(mixture.expected(*edge)) for name, edge in edges.items()}
    assert summary["windows"] == expected
    estimate = summary["tew"]["Lu-177_208"]
    true = sum(energy == 2080 for _, _, energy in mixture.photons)
    assert estimate["counts"] == expected["Lu-177_208"]
    assert abs(estimate["primary"] - true) < 4 * estimate["primary_sigma"]
    assert summary["singles_hash"]
    assert json.loads((tmp_path / "both" / "summary.json").read_text())["tew"] == summary["tew"]


def test_live_is_replay_for_singles_too_and_any_other_bit_is_found(
    tmp_path: Path, config: RunConfig, mixture: Mixture
) -> None:
    folder = recorded(config, tmp_path, mixture, at_once=3).folder
    found = verify(folder)
    assert found.identical
    assert found.live_further.keys() == {"triples", "singles"}
    path = folder / singles_log.FILE_NAME
    log = SinglesReader(path)
    singles = log.read_all(BlockKind.SINGLES)
    singles["doi"][7] ^= 1
    path.unlink()
    forged = singles_log.SinglesWriter(path, {k: v for k, v in log.head.items() if k != "format"})
    forged.append(BlockKind.SINGLES, singles)
    forged.close({})
    found = verify(folder)
    assert not found.identical
    assert found.live_hash == found.replay_hash
    assert found.live_further["singles"] != found.replay_further["singles"]


def test_a_run_that_was_cut_off_is_compared_as_far_as_it_goes(
    tmp_path: Path, config: RunConfig, mixture: Mixture
) -> None:
    run = Run(config, tmp_path)
    for k in range(0, 8, 2):
        run.process(mixture.frames[k : k + 2])
    run.abandon()
    found = verify(run.folder)
    assert found.identical
    assert not found.complete


def test_the_identity_of_prompts_and_delayeds_does_not_depend_on_windows_of_singles(
    tmp_path: Path, config: RunConfig, make_config: Callable[..., RunConfig], mixture: Mixture
) -> None:
    both = recorded(config, tmp_path, mixture, at_once=2)
    plain = recorded(make_config(name="plain"), tmp_path, mixture, at_once=2)
    assert plain.hash() == both.hash()
    assert not (plain.folder / singles_log.FILE_NAME).exists()
    summary = plain.summary()
    assert (summary["windows"], summary["tew"], summary["singles_hash"]) == ({}, {}, "")
    assert verify(plain.folder).live_further == {}


def test_a_run_is_sorted_again_with_spect_windows_that_it_did_not_have(
    tmp_path: Path, config: RunConfig, make_config: Callable[..., RunConfig], mixture: Mixture
) -> None:
    plain = recorded(make_config(name="plain"), tmp_path, mixture, at_once=2)
    output = tmp_path / "again.tmlm"
    again = resort(plain.folder, config.settings, output=output)
    live = recorded(config, tmp_path, mixture, at_once=5)
    for key in ("windows", "tew", "singles_hash", "triples_hash", "angles_hash"):
        assert again.summary[key] == live.summary()[key]
    written = SinglesReader(tmp_path / "again.tmws").read_all(BlockKind.SINGLES)
    logged = SinglesReader(live.folder / singles_log.FILE_NAME).read_all(BlockKind.SINGLES)
    assert written.tobytes() == logged.tobytes()
    assert run_config(plain.folder).settings.windows == ()
    (tmp_path / "third.tmws").write_text("mine")
    for taken in (output, tmp_path / "third.tmlm", tmp_path / "one.tmws"):
        with pytest.raises(StorageError, match="exists already or is meant for two logs"):
            resort(plain.folder, config.settings, output=taken)
    assert not (tmp_path / "third.tmlm").exists()


def test_windows_on_modules_that_the_scanner_lacks_are_refused_before_a_folder_is_made(
    tmp_path: Path, bench: Scanner, make_config: Callable[..., RunConfig], mixture: Mixture
) -> None:
    beyond = {"name": "a", "lld_keV": 1.0, "uld_keV": 2.0, "modules": [0, 7]}
    settings = default_settings(bench, windows=[beyond])
    with pytest.raises(SettingsError, match="a: bench2 has no module 7, its 2 modules are 0 to 1"):
        Run(make_config(settings=settings, name="x"), tmp_path)
    assert list(tmp_path.iterdir()) == []
    plain = recorded(make_config(name="plain"), tmp_path, mixture, at_once=9)
    with pytest.raises(SettingsError, match="no module 7"):
        resort(plain.folder, settings)


def test_triples_are_stored_where_asked_beside_the_coincidences(
    tmp_path: Path, bench: Scanner, make_config: Callable[..., RunConfig]
) -> None:
    """Two in module 0, one in module 1, all within τ: a chain of two good pairs, a triple."""
    senders = [ModuleSender(0), ModuleSender(1)]
    frames = []
    for period in range(3):
        ticks = np.arange(10) * 100_000 + 500
        frames.append(
            senders[0].frame(
                single_words(np.concatenate([ticks, ticks + 30]), crystal=np.repeat([3, 9], 10)),
                last=period == 2,
            )
        )
        frames.append(senders[1].frame(single_words(ticks + 60, crystal=5), last=period == 2))
    run = Run(make_config(settings=default_settings(bench, triples=True), name="x"), tmp_path)
    run.process(frames)
    run.finish()
    summary = run.write_summary()
    log = ListmodeReader(run.folder / listmode.FILE_NAME)
    triples = log.read_all(BlockKind.TRIPLES)
    assert len(triples) == summary["triples"] == summary["multiples"] == 30
    assert triples["crystal"].tolist() == [[3, 9, 64 + 5]] * 30
    assert triples["pairs"].tolist() == [2 | 4] * 30
    assert verify(run.folder).live_further == {"triples": summary["triples_hash"]}
    writer = ListmodeWriter(tmp_path / "copy.tmlm", {})
    digest = ListmodeHash()
    for kind, records in log:
        writer.append(kind, records)
        digest.add(kind, records)
    writer.close({})
    assert digest.of(BlockKind.TRIPLES) == summary["triples_hash"]
    assert digest.hexdigest() == summary["hash"] == log.digest()[0]
    assert run.run_tag == RUN_TAG
