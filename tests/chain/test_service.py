"""One real acquisition process, fed over real sockets: runs, books, commands."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from daq.client.client import ClientError
from daq.folder.calibration_set import new_set, save_set
from daq.folder.run_folder import armed_at, start_recorded
from daq.replay.sort_again import verify
from hw.scanner.preset_file import load_scanner
from hw.wire.protocol import CRC_OFFSET
from recon import open_run

pytestmark = pytest.mark.processes


def summary_of(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def test_a_run_ends_with_its_last_frames_and_its_books_close(acquisition, source):
    daq = acquisition()
    modules = source(daq)
    folder = daq.start_run(modules)
    modules.send_periods(30)
    modules.finish()
    daq.wait_for_state("closed")
    summary = summary_of(folder)
    assert summary["condition"] == "good"
    assert summary["conserved"] is True
    assert summary["frames"]["sent"] == summary["frames"]["received"] == 62
    assert summary["singles"]["emitted"] == 62 * 20
    assert summary["prompts"] > 0
    assert verify(folder).identical


def test_stop_by_command_waits_for_the_modules_to_finish(acquisition, source):
    daq = acquisition()
    modules = source(daq)
    folder = daq.start_run(modules)
    modules.send_periods(5)
    daq.control.send("stop")
    modules.obey_stop()
    daq.wait_for_state("closed")
    assert summary_of(folder)["condition"] == "good"


def test_times_of_a_run_count_from_its_start_and_not_from_when_it_was_armed(acquisition, source):
    daq = acquisition()
    modules = source(daq)
    folder = Path(daq.control.call("arm")["run"])
    assert start_recorded(folder) is None
    before = dt.datetime.now(dt.UTC)
    daq.control.call("start")
    after = dt.datetime.now(dt.UTC)
    modules.wait_for_start()
    modules.finish()
    daq.wait_for_state("closed")
    assert armed_at(folder) < before <= open_run(folder).start <= after


def test_one_service_takes_run_after_run(acquisition, source):
    daq = acquisition()
    modules = source(daq)
    folders = []
    for _ in range(2):
        folders.append(daq.start_run(modules))
        modules.send_periods(3)
        modules.finish()
        daq.wait_for_state("closed")
    assert folders[0] != folders[1]
    assert all(summary_of(folder)["conserved"] for folder in folders)


def test_a_lost_corrupt_and_repeated_frame_are_counted_and_the_books_still_close(
    acquisition, source
):
    daq = acquisition()
    modules = source(daq)
    folder = daq.start_run(modules)
    modules.send_periods(4)
    modules.frame(0, 20)  # made, never sent
    corrupt = bytearray(modules.frame(1, 20))
    corrupt[CRC_OFFSET] ^= 0x40
    modules.send(1, bytes(corrupt))
    twice = modules.frame(0, 20)
    modules.send(0, twice)
    modules.send(0, twice)
    modules.send_periods(4)
    modules.finish()
    daq.wait_for_state("closed")
    summary = summary_of(folder)
    frames = summary["frames"]
    assert (frames["lost"], frames["corrupt"], frames["duplicate"]) == (2, 1, 1)
    assert summary["singles"]["lost"] == 40
    assert summary["conserved"] is True
    assert summary["condition"] == "tainted"
    journal = (folder / "journal.jsonl").read_text(encoding="utf-8")
    assert "data frames lost" in journal
    assert "data frames corrupt" in journal


def test_frames_of_another_version_run_or_module_are_refused_by_name(acquisition, source):
    daq = acquisition()
    modules = source(daq)
    folder = daq.start_run(modules)
    modules.send_periods(2)
    modules.send(0, modules.frame(0, 5, version=7))
    modules.send(0, modules.frame(0, 5, run_tag=1))
    modules.send(0, modules.frame(0, 5, module=9))
    modules.send(0, b"no frame at all")
    modules.send_periods(2)
    modules.finish()
    daq.wait_for_state("closed")
    frames = summary_of(folder)["frames"]
    assert frames["wrong_version"] == 1
    assert frames["other_run"] == 1
    assert frames["unknown_module"] == 1
    assert frames["corrupt"] == 1


@pytest.mark.parametrize(("command", "words"), [("start", "arm"), ("stop", "arm")])
def test_commands_that_the_state_forbids_fail_with_the_remedy(idle_daq, command, words):
    with pytest.raises(ClientError, match=words):
        idle_daq.control.call(command)


def test_start_without_a_source_is_refused_with_the_remedy(idle_daq):
    idle_daq.control.call("arm")
    with pytest.raises(ClientError, match="tomoshibi emulate"):
        idle_daq.control.call("start")


def test_a_source_of_another_scanner_is_refused(acquisition, source):
    daq = acquisition()
    source(daq, modules=3)
    daq.control.call("arm")
    with pytest.raises(ClientError, match=r"3 modules.*bench2 with 2.*--preset bench2"):
        daq.control.call("start")


def test_an_existing_run_folder_is_never_written_to(acquisition):
    daq = acquisition("--name", "patient-1")
    (daq.runs / "patient-1").mkdir(parents=True)
    with pytest.raises(ClientError, match="exists already"):
        daq.control.call("arm")
    assert list((daq.runs / "patient-1").iterdir()) == []


def test_a_damaged_calibration_set_is_refused_and_the_daq_goes_on(idle_daq, tmp_path):
    path = save_set(new_set("sound", load_scanner("bench2"), sources=()), tmp_path / "set.npz")
    content = bytearray(path.read_bytes())
    content[60:100] = b"\xff" * 40  # within the first array's compressed bytes
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(content)
    with pytest.raises(ClientError, match=r"damaged\.npz|internal error"):
        idle_daq.control.call("arm", calibration=str(damaged))
    assert idle_daq.control.call("status")["state"] == "idle"


def test_a_bad_configuration_is_refused_with_the_field(idle_daq):
    with pytest.raises(ClientError, match="run configuration"):
        idle_daq.control.call("arm", scanner_toml=3, settings={})


def test_arm_alone_repeats_the_last_configuration_and_not_how_a_patient_lay(acquisition, source):
    daq = acquisition("--duration", "5")
    first = daq.control.call("arm", patient_position="HFS")
    config = json.loads((Path(first["run"]) / "run.json").read_text(encoding="utf-8"))["config"]
    assert config["patient_position"] == "HFS"
    daq.control.call("reset")
    second = daq.control.call("arm")
    assert second["name"] != first["name"]
    config = json.loads((Path(second["run"]) / "run.json").read_text(encoding="utf-8"))["config"]
    assert config["duration_s"] == 5
    assert config["patient_position"] == "unknown"


def test_a_source_that_finishes_without_last_frames_ends_the_run_as_incomplete(acquisition, source):
    """As a replay of a run that was cut off does."""
    daq = acquisition()
    modules = source(daq)
    folder = daq.start_run(modules)
    modules.send_periods(5)
    modules.report()
    daq.wait_for_state("closed")
    summary = summary_of(folder)
    assert summary["condition"] == "incomplete"
    assert summary["frames"]["received"] == 10
