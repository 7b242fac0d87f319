"""A run's estimates of randoms: in its summary, its file, its telemetry and its alarm."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from coincidence import randoms
from daq.errors import StorageError
from daq.folder.run_config import RunConfig, default_settings
from daq.folder.run_folder import write_json
from daq.path import live_time
from daq.path.takers import module_timing
from daq.path.takers.statistics import FILE_NAME, LONGEST_SPAN_PS
from daq.replay.sort_again import resort
from daq.service.run import Run
from daq.service.status import compose_telemetry
from daq.service.watching.alarm_desk import AlarmDesk
from daq.service.watching.watch import RunWatch
from hw.messages.codec import decode_as, encode
from hw.messages.telemetry import Telemetry
from hw.scanner.preset_file import load_scanner
from hw.wire.protocol import FRAME_PERIOD_PS, FRAME_PERIOD_TICKS
from rigs.frames_factory import ModuleSender, single_words
from rigs.line_journal import told as lines_told

MakeConfig = Callable[..., RunConfig]
BENCH = load_scanner("bench2")
TICK_PS = 625 / 32
SINGLES = 8000
"""Of each module in a period: 1.53 M/s, so that 2τ·S·S is 98 randoms a period at τ = 4 ns."""


def periods(
    n: int, *, seed: int = 1, partners: float = 0.0, senders: list[ModuleSender] | None = None
) -> list[list[bytes]]:
    """Return frames of both modules, period by period: uncorrelated singles, of which a share of
    module 1's comes exactly one delay after one of module 0's."""
    rng = np.random.default_rng(seed)
    senders = senders or [ModuleSender(m) for m in range(2)]
    delay_ticks = default_settings(BENCH).delay_ps / TICK_PS + 20
    found = []
    for _ in range(n):
        ticks = rng.integers(0, FRAME_PERIOD_TICKS, (2, SINGLES))
        tied = int(partners * SINGLES)
        shifted = (ticks[0, :tied] + delay_ticks).astype(np.int64)
        ticks[1, :tied] = np.minimum(shifted, FRAME_PERIOD_TICKS - 1)
        found.append(
            [s.frame(single_words(t, crystal=rng.integers(0, 64, SINGLES)))
             for s, t in zip(senders, ticks, strict=True)]
        )  # fmt: skip
    return found


def run_of(config: RunConfig, root: Path, batches: list[list[bytes]]) -> Run:
    run = Run(config, root)
    for frames in batches:
        run.process(frames)
    run.finish()
    return run


@pytest.mark.parametrize(("windows", "sides"), [(1, "one"), (3, "two")])
def test_the_summary_has_both_estimates_and_they_agree_with_the_truth(
    tmp_path: Path, make_config: MakeConfig, windows: int, sides: str
) -> None:
    settings = default_settings(BENCH, delay_windows=windows, delay_sides=sides)
    run = run_of(make_config(settings=settings), tmp_path, periods(30))
    found = run.summary()["randoms"]
    truth = 30 * 2 * settings.window_ps / FRAME_PERIOD_PS * SINGLES**2
    assert found["delayed_factor"] == windows * (2 if sides == "two" else 1)
    assert found["delayed"] == run.summary()["delayeds"]
    assert found["estimate_delayed"] == found["delayed"] / found["delayed_factor"]
    assert abs(found["estimate_delayed"] - truth) < 3 * math.sqrt(truth / found["delayed_factor"])
    assert found["estimate_singles"] == pytest.approx(truth, abs=0.01)  # N is the same each period
    assert found["ratio"] == pytest.approx(found["estimate_delayed"] / truth, abs=1e-5)
    assert abs(found["ratio"] - 1) < 3 * found["ratio_sigma"]
    assert found["ratio_sigma"] == pytest.approx(1 / math.sqrt(found["delayed"]), rel=0.1)
    rates = run.takers.rates.summary()["rates"]["mean"]
    assert rates["randoms"] == pytest.approx(
        found["estimate_delayed"] / run.summary()["detector_time_s"], rel=1e-3
    )


def test_without_delayed_windows_only_the_singles_rate_is_known(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    settings = default_settings(BENCH, delay_ps=0)
    run = run_of(make_config(settings=settings), tmp_path, periods(2))
    summary = json.loads(json.dumps(run.write_summary()))
    found = summary["randoms"]
    assert (found["estimate_delayed"], found["ratio"], found["ratio_sigma"]) == (None, None, None)
    assert found["estimate_singles"] > 100


def test_the_randoms_file_holds_the_counts_behind_the_estimates(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    run = run_of(make_config(), tmp_path, periods(10))
    summary = run.summary()
    with np.load(run.folder / FILE_NAME) as file:
        assert file["crystal_singles"].sum() == summary["singles"]["accepted"]
        assert file["crystal_delayeds"].sum() == 2 * summary["delayeds"]
        assert file["module_pair_delayeds"].sum() == summary["delayeds"]
        estimate = file["module_pair_singles_estimate"]
        assert (
            estimate[0, 1]
            == estimate.sum()
            == pytest.approx(summary["randoms"]["estimate_singles"], abs=0.01)
        )
        kept = {"module_live_s": "module_s", "module_dead_s": "dead_s", "pair_live_s": "pair_s"}
        for name, key in kept.items():
            np.testing.assert_allclose(file[name], summary["live_time"][key], atol=1e-6)
        rate = file["crystal_fan_rate"]
        assert rate[:64].sum() * rate[64:].sum() == pytest.approx(
            summary["randoms"]["estimate_delayed"]
        )
        assert (int(file["tau_ps"]), int(file["factor"])) == (4000, 1)
    assert not list(run.folder.glob("*.part"))


def test_the_singles_rate_alone_is_told_where_there_are_no_delayeds_and_no_alarm_rises(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    run = Run(make_config(settings=default_settings(BENCH, delay_ps=0)), tmp_path)
    for frames in periods(60):
        run.process(frames)
    recent = run.takers.statistics.recent_randoms()
    assert recent is not None
    assert recent.telemetry().keys() == {"singles_cps"}
    RunWatch().look(run, 0.0)
    assert not run.randoms_alarm
    run.abandon()


def test_the_telemetry_tells_the_last_seconds_and_crosses_the_wire(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    run = Run(make_config(), tmp_path)
    life = SimpleNamespace(
        run=run,
        state="running",
        reason="",
        told=None,
        journal=SimpleNamespace(tail=[], write_errors=0),
        alarms=AlarmDesk(),
        disk_free=10**9,
        hears=True,
        silent=dict,
        checks=list,
    )
    sources = SimpleNamespace(describe=lambda: "", lag_s=lambda: 0.0, invalid_messages=0)
    before = compose_telemetry(life, sources, stray_frames=0)
    assert (before.randoms, before.module_live, before.pair_live) == ({}, [], 0.0)
    for frames in periods(60):
        run.process(frames)
    run.randoms_alarm = True
    told = decode_as(Telemetry, encode(compose_telemetry(life, sources, stray_frames=0)))
    assert told.randoms.keys() == {"delayed_cps", "singles_cps", "ratio", "ratio_sigma"}
    assert told.randoms["ratio"] == pytest.approx(1, abs=4 * told.randoms["ratio_sigma"])
    assert (told.module_live, told.pair_live, told.randoms_alarm) == ([1.0, 1.0], 1.0, True)
    assert (told.calibration, told.window_rates) == ("none", {})
    life.state = "closed"
    assert compose_telemetry(life, sources, stray_frames=0).randoms == {}
    run.abandon()


def test_rows_of_numbers_in_the_summary_are_lines(tmp_path: Path) -> None:
    value = {"rows": [[1, 2.5e-9], [-3, 0]], "text": "[  1,  2 ]\n[\n 3 ]", "none": []}
    write_json(tmp_path / "x.json", value)
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert json.loads(text) == value
    assert "[ 1, 2.5e-09 ]" in text


def test_a_disk_that_refuses_the_file_is_a_storage_error(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    run = run_of(make_config(), tmp_path, periods(1))
    with pytest.raises(StorageError, match=r"cannot write .*randoms\.npz"):
        run.takers.statistics.save(tmp_path / "gone")


def test_nothing_is_compiled_in_a_run(tmp_path: Path, make_config: MakeConfig) -> None:
    run_of(make_config(), tmp_path, periods(1))
    for module in (randoms, live_time):
        kernels = [thing for thing in vars(module).values() if hasattr(thing, "signatures")]
        assert len(kernels) > 1
        assert all(len(kernel.signatures) == 1 for kernel in kernels)


def test_any_batching_and_a_resort_give_the_same_estimates(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    batches = periods(8)
    frames = [frame for batch in batches for frame in batch]
    one_by_one = run_of(make_config(name="a"), tmp_path, [[frame] for frame in frames])
    together = run_of(make_config(name="b"), tmp_path, [frames])
    assert (one_by_one.folder / FILE_NAME).read_bytes() == (
        together.folder / FILE_NAME
    ).read_bytes()
    for key in ("randoms", "live_time"):
        assert one_by_one.summary()[key] == together.summary()[key]
    again, summary = resort(together.folder).summary, together.summary()
    assert again == {key: summary[key] for key in again}
    assert {"randoms", "live_time", "rates", "windows", "triples_hash"} <= again.keys()


def test_a_lost_frame_moves_no_estimate_against_the_other(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    """Half of each module's frames are lost, never both of a period: there are no randoms."""
    batches = [frames[k % 2 : k % 2 + 1] for k, frames in enumerate(periods(40))]
    run = run_of(make_config(), tmp_path, batches)
    assert run.summary()["singles"]["accepted"] == 40 * SINGLES
    assert run.summary()["randoms"]["estimate_singles"] == 0
    assert run.summary()["delayeds"] == 0


def test_the_recent_estimates_are_rates_of_detector_time(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    run = Run(make_config(), tmp_path)
    assert run.takers.statistics.recent_randoms() is None
    assert run.takers.statistics.recent_live() is None
    for frames in periods(150):
        run.process(frames)
    recent, live = run.takers.statistics.recent_randoms(), run.takers.statistics.recent_live()
    truth_cps = 2 * 4e-9 * (SINGLES / FRAME_PERIOD_PS * 1e12) ** 2
    assert recent is not None
    assert live is not None
    assert recent.singles_cps == pytest.approx(truth_cps, rel=1e-6)
    assert abs(recent.counts.ratio - 1) < 3 * recent.counts.sigma
    assert recent.telemetry().keys() == {"delayed_cps", "singles_cps", "ratio", "ratio_sigma"}
    assert recent.delayed_cps == pytest.approx(recent.counts.ratio * recent.singles_cps)
    assert (live.modules, live.pairs) == ([1.0, 1.0], 1.0)
    run.abandon()


def test_an_alarm_is_told_once_taints_the_run_and_ends_when_the_estimates_agree_again(
    tmp_path: Path, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module_timing, "LEAST_SINGLES", 10**9)  # randoms alone have no Δt peak
    run, watch = Run(make_config(), tmp_path), RunWatch()
    senders = [ModuleSender(0), ModuleSender(1)]
    said: list[tuple[str, str]] = []

    def feed(n: int, *, partners: float, now: float) -> None:
        for frames in periods(n, seed=n, partners=partners, senders=senders):
            run.process(frames)
        watch.data_came(now)
        said.extend(lines_told(watch.look(run, now)))

    feed(60, partners=0.0, now=1.0)
    assert said == []
    feed(60, partners=0.02, now=3.0)
    assert run.randoms_alarm
    feed(10, partners=0.02, now=5.0)
    (severity, words), *others = said
    assert (severity, others) == ("alarm", [])
    assert "randoms by delayeds over randoms by singles: 1." in words
    assert run.conditions == ["the two estimates of the randoms disagreed"]
    quiet = LONGEST_SPAN_PS // FRAME_PERIOD_PS + 60
    for _ in range(quiet):
        run.process([sender.frame() for sender in senders])
    feed(60, partners=0.0, now=7.0)
    assert not run.randoms_alarm
    assert said[1][0] == "info"
    assert run.condition() == "tainted"
    run.abandon()
