"""A run is a folder of its own: never written to twice, readable without us, closed or cut off."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from daq.errors import RunError, StorageError
from daq.folder import listmode_log as listmode
from daq.folder import raw_log as rawlog
from daq.folder.listmode_log import ListmodeReader
from daq.folder.raw_log import RawLogReader
from daq.folder.run_config import RunConfig, config_from_args, default_settings
from daq.folder.run_folder import CONFIG_NAME, MU_MAP_NAME, SCANNER_NAME, SUMMARY_NAME, write_json
from daq.folder.run_identity import UIDS_NAME
from daq.path.takers import statistics as run_statistics
from daq.service.run import Run
from hw.messages.imager import ImagerReport
from hw.messages.sort_settings import SettingsError
from hw.scanner.description import Scanner, ScannerError
from rigs.frames_factory import RUN_TAG, sent_run

MakeConfig = Callable[..., RunConfig]

CONTRACT = {
    "run": str,
    "frames": {"sent", "received", "lost", "corrupt", "late"},
    "singles": {"emitted", "received", "accepted", "out_of_window", "late", "invalid"},
    "prompts": int,
    "delayeds": int,
    "multiples": int,
    "rates": {"mean", "peak"},
    "images": {"count", "rate_Hz", "latency_ms", "fraction_used"},
    "conserved": bool,
    "versions": {"python", "numpy", "numba", "tomoshibi", "protocol"},
}


def finished_run(config: RunConfig, root: Path, *, report: bool = True) -> Run:
    run = Run(config, root)
    sent = sent_run(n_modules=2, crystals_per_module=64, run_tag=run.run_tag)
    run.start()
    for k in range(0, len(sent.frames), 3):
        run.process(sent.frames[k : k + 3])
    if report:
        run.reports.append(sent.report)
    run.finish()
    run.write_summary()
    return run


def test_a_run_folder_holds_all_that_is_needed_to_understand_it(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    run = finished_run(make_config(name="first"), tmp_path)
    names = {path.name for path in run.folder.iterdir()}
    logs = {rawlog.FILE_NAME, listmode.FILE_NAME}
    described = {CONFIG_NAME, UIDS_NAME, SCANNER_NAME, SUMMARY_NAME}
    assert names == {*described, *logs, run_statistics.FILE_NAME}
    head = json.loads((run.folder / CONFIG_NAME).read_text(encoding="utf-8"))
    assert head["run_tag"] == RUN_TAG
    assert head["config"]["settings"]["window_ps"] == 4000
    assert {"numpy", "numba", "protocol"} <= head["versions"].keys()
    assert tomllib.loads((run.folder / SCANNER_NAME).read_text())["name"] == "bench2"
    for reader in (RawLogReader, ListmodeReader):
        name = rawlog.FILE_NAME if reader is RawLogReader else listmode.FILE_NAME
        log_head = reader(run.folder / name).head
        began = dt.datetime.fromisoformat(head["started"])
        assert began >= dt.datetime.fromisoformat(head["created"])
        armed = {key: value for key, value in head.items() if key != "started"}
        assert {key: log_head[key] for key in armed} == armed


def test_the_summary_keeps_the_contract_and_its_sums_close(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    run = finished_run(make_config(name="first"), tmp_path)
    summary = json.loads((run.folder / SUMMARY_NAME).read_text(encoding="utf-8"))
    for key, kind in CONTRACT.items():
        if isinstance(kind, set):
            assert kind <= summary[key].keys(), key
        else:
            assert isinstance(summary[key], kind), key
    assert summary["images"]["latency_ms"].keys() == {"p50", "p99"}
    assert summary["conserved"] is True
    assert summary["prompts"] > 0
    assert summary["rates"]["mean"]["prompts"] == pytest.approx(
        summary["prompts"] / summary["detector_time_s"], rel=1e-4
    )
    assert summary["hash"] == ListmodeReader(run.folder / listmode.FILE_NAME).digest()[0]
    assert summary["condition"] == "good"


PUT_AWAY = """
import gc, sys
from pathlib import Path
import msgspec
from numba.core.dispatcher import Dispatcher
from daq.service.run import Run
from daq.folder.run_config import RunConfig

run = Run(msgspec.json.decode(sys.argv[1], type=RunConfig), Path(sys.argv[2]))
run.put_away()
run.write_summary()
print([kernel.__name__ for kernel in gc.get_objects()
       if isinstance(kernel, Dispatcher) and kernel.overloads])
"""


def test_a_run_that_never_started_is_put_away_without_a_kernel(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    """Their first use takes half a second, which a process that must leave has not."""
    config = make_config(name="armed")
    argv = [sys.executable, "-c", PUT_AWAY, msgspec.json.encode(config).decode(), str(tmp_path)]
    loaded = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout
    assert loaded.strip() == "[]"
    finished = Run(config, tmp_path / "other")
    finished.finish()
    finished.write_summary()
    put_away = tmp_path / "armed"
    names = {path.name for path in put_away.iterdir()}
    assert names == {path.name for path in finished.folder.iterdir()}
    summaries = [json.loads((f / SUMMARY_NAME).read_text()) for f in (put_away, finished.folder)]
    for summary in summaries:
        del summary["created"], summary["run"]
    assert summaries[0] == summaries[1]
    assert RawLogReader(put_away / rawlog.FILE_NAME).head["run"] == "armed"
    assert ListmodeReader(put_away / listmode.FILE_NAME).digest()[0] == summaries[0]["hash"]


def test_a_run_without_a_sources_report_is_not_conserved(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    run = finished_run(make_config(), tmp_path, report=False)
    assert run.summary()["conserved"] is False


def test_frames_on_their_way_after_the_report_are_lost_only_when_the_run_is_over(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    run = Run(make_config(), tmp_path)
    sent = sent_run(n_modules=2, crystals_per_module=64, run_tag=run.run_tag)
    run.process(sent.frames[:4])
    run.reports.append(sent.report)
    assert run.books().frames()["lost"] == 0
    run.finish()
    assert run.books().frames()["lost"] == sum(sent.report.frames_sent) - 4
    assert run.books().conserved()


def test_the_imagers_report_is_in_the_summary(tmp_path: Path, make_config: MakeConfig) -> None:
    run = finished_run(make_config(), tmp_path)
    run.imager = ImagerReport(run=run.name, images=7, latency_p99_ms=80.0, fraction_used=0.5)
    images = run.summary()["images"]
    assert (images["count"], images["latency_ms"]["p99"], images["fraction_used"]) == (7, 80.0, 0.5)


def test_an_existing_folder_is_never_written_to(tmp_path: Path, make_config: MakeConfig) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(RunError, match=r"exists already.*--name"):
        Run(make_config(name="mine"), tmp_path)
    assert list((tmp_path / "mine").iterdir()) == []


def test_automatic_names_do_not_collide(tmp_path: Path, make_config: MakeConfig) -> None:
    runs = [Run(make_config(), tmp_path) for _ in range(3)]
    assert len({run.folder for run in runs}) == 3
    for run in runs:
        run.abandon()


@pytest.mark.parametrize("name", ["a/b", "/abs", "..", ".", ".hidden", "up/../x", "end/", "nul\0"])
def test_a_name_that_is_no_plain_folder_name_is_refused(
    tmp_path: Path, make_config: MakeConfig, name: str
) -> None:
    with pytest.raises(RunError, match="plain folder name"):
        Run(make_config(name=name), tmp_path / "runs")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_storage_error(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot make"):
        Run(make_config(name="x"), tmp_path / "file")
    with pytest.raises(StorageError, match="cannot make"):
        Run(make_config(name="x" * 300), tmp_path)


def test_a_missing_mu_map_is_refused_before_a_folder_is_made(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    with pytest.raises(RunError, match=r"µ map .*gone\.npz"):
        Run(make_config(name="x", mu_map=str(tmp_path / "gone.npz")), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_mu_map_is_copied_into_the_run(tmp_path: Path, make_config: MakeConfig) -> None:
    source = tmp_path / "mu.npz"
    np.savez(source, mu_per_mm=np.zeros((2, 2, 2), np.float32), voxel_mm=np.ones(3))
    run = Run(make_config(name="x", mu_map=str(source)), tmp_path)
    run.abandon()
    assert (run.folder / MU_MAP_NAME).read_bytes() == source.read_bytes()


def test_an_abandoned_run_keeps_all_that_was_processed(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    run = Run(make_config(), tmp_path)
    sent = sent_run(n_modules=2, crystals_per_module=64)
    run.process(sent.frames[:4])
    run.taint("incomplete: the disk is gone")
    run.taint("incomplete: the disk is gone")
    run.abandon()
    reader = RawLogReader(run.folder / rawlog.FILE_NAME)
    assert [bytes(f) for batch in reader for f in batch] == sent.frames[:4]
    assert reader.end is None
    assert (run.condition(), run.conditions) == ("incomplete", ["incomplete: the disk is gone"])


def test_a_run_tag_is_drawn_where_none_is_given(tmp_path: Path, make_config: MakeConfig) -> None:
    run = Run(make_config(run_tag=0), tmp_path)
    run.abandon()
    assert 0 < run.run_tag < 2**32


def test_writing_json_is_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"n": np.int64(3), "f": np.float32(0.5), "b": np.bool_(True)})
    with pytest.raises(TypeError):
        write_json(path, {"n": object()})
    assert json.loads(path.read_text()) == {"n": 3, "f": 0.5, "b": True}
    with pytest.raises(StorageError, match="cannot write"):
        write_json(tmp_path / "gone" / "x.json", {})
    (tmp_path / "taken.json").mkdir()
    with pytest.raises(StorageError, match="cannot write"):
        write_json(tmp_path / "taken.json", {})
    assert {entry.name for entry in tmp_path.iterdir()} == {"x.json", "taken.json"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"duration_s": -1}, "duration_s"),
        ({"stall_s": 0}, "stall_s"),
        ({"colour": "red"}, "colour"),
        ({"settings": {"lld_keV": 350}}, "settings"),
        ({"settings": {"lld_keV": 650, "uld_keV": 350, "window_ps": 1, "delay_ps": 0}}, "empty"),
        ({"settings": {"lld_keV": 1, "uld_keV": 2, "window_ps": 9, "delay_ps": 18}}, "delay_ps"),
        ({"settings": {"lld_keV": 1, "uld_keV": 2, "window_ps": -1, "delay_ps": 0}}, "window_ps"),
        (
            {"settings": {"lld_keV": float("nan"), "uld_keV": 2, "window_ps": 9, "delay_ps": 0}},
            "lld_keV",
        ),
    ],
)
def test_a_wrong_configuration_is_refused_naming_the_field(change: dict, words: str) -> None:
    good = {
        "scanner_toml": "",
        "settings": {"lld_keV": 350, "uld_keV": 650, "window_ps": 5000, "delay_ps": 0},
    }
    with pytest.raises(RunError, match=words):
        config_from_args({**good, **change})


def test_a_wrong_scanner_is_refused_before_a_folder_is_made(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    with pytest.raises(ScannerError):
        Run(make_config(scanner_toml="name = 3"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_changed_settings_are_checked(bench: Scanner) -> None:
    assert default_settings(bench, window_ps=None, policy="discard").policy == "discard"
    with pytest.raises(SettingsError, match="policy"):
        default_settings(bench, policy="best")
    with pytest.raises(SettingsError, match="window_ps"):
        default_settings(bench, window_ps=-3)


def test_a_run_is_for_its_owners_eyes(tmp_path: Path, make_config: MakeConfig) -> None:
    before = os.umask(0)
    try:
        run = Run(make_config(name="x"), tmp_path)
    finally:
        os.umask(before)
    assert run.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", ["secret", "fifo", "other arrays", "folder", "device"])
def test_a_file_that_is_no_mu_map_is_never_copied_into_a_run(
    tmp_path: Path, make_config: MakeConfig, kind: str
) -> None:
    named = Path("/dev/zero") if kind == "device" else tmp_path / "named"
    if kind == "secret":
        named.write_text("4711")
    elif kind == "fifo":
        os.mkfifo(named)
    elif kind == "folder":
        named.mkdir()
    elif kind == "other arrays":
        np.savez(named.with_suffix(".npz"), secret=np.zeros(3))
        named = named.with_suffix(".npz")
    with pytest.raises(RunError, match="no run folder was made"):
        Run(make_config(name="x", mu_map=str(named)), tmp_path)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("kind", ["mu_map", "calibration"])
def test_a_pipe_in_a_command_holds_nothing_up(
    tmp_path: Path, make_config: MakeConfig, kind: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RunError, match="not a regular file"):
        Run(make_config(name="x", **{kind: str(tmp_path / "pipe")}), tmp_path)
