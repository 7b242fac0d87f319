"""Firmware in the loop: emulator → the modules' own firmware → serial lines → daq → image."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from daq.client.client import ClientError
from daq.replay.sort_again import verify
from gui.modules.condition_words import condition
from hw.machines.build import build
from hw.machines.toolchain import missing
from rigs.acquisition_process import wait_until
from rigs.firmware.system import FirmwareSystem
from rigs.line_proxy import LineProxy

NATIVE = [
    pytest.mark.firmware,
    pytest.mark.skipif(bool(missing("native")), reason=missing("native") or "complete"),
]
QEMU = [
    pytest.mark.qemu,
    pytest.mark.skipif(bool(missing("qemu")), reason=missing("qemu") or "complete"),
]
pytestmark = [pytest.mark.processes, pytest.mark.timeout(120), *NATIVE]


def demo(runs: Path, *options: str) -> dict[str, Any]:
    """Run a demo to its end; return its result."""
    argv = [sys.executable, "-m", "daq.cli", "demo", "--headless", "--json", "--runs", str(runs)]
    done = subprocess.run([*argv, *options], capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


# --- the brain phantom through firmware to an image -----------------------------------------------

BRAIN = ["--activity-MBq", "0.3", "--duration", "2", "--fast", "--seed", "3"]


@pytest.fixture(scope="module", params=[
    pytest.param("native", id="48 native processes", marks=pytest.mark.evidence),
    pytest.param("qemu", id="4 ARM images and 44 native processes",
                 marks=[*QEMU, pytest.mark.evidence]),
])  # fmt: skip
def brain(request, tmp_path_factory) -> dict[str, Any]:
    """A finished run of the brain phantom through all 48 modules' firmware; two modules are enough
    for each day (below)."""
    runs = tmp_path_factory.mktemp(request.param)
    return demo(runs, *BRAIN, "--firmware", request.param, "--arm-modules", "4")


def test_the_brain_comes_through_firmware_with_every_hit_in_its_place(brain):
    assert brain["conserved"] is True
    assert brain["frames"]["sent"] == brain["frames"]["received"] == 48 * 382
    hits = brain["hits"]
    assert hits["offered"] == hits["seen"] > 100_000
    assert hits["unaccounted"] == hits["of_reset_modules"] == 0
    assert brain["singles"]["emitted"] == hits["offered"] - brain["singles"]["dead"]
    assert brain["condition"] == "good", brain["conditions"]


def test_live_through_firmware_equals_its_replay_to_the_bit(brain):
    assert verify(Path(brain["run"])).identical


def test_the_image_is_of_a_brain(brain):
    file = nib.load(brain["images"]["final"])
    image, (x_mm, y_mm, _) = file.get_fdata(), file.header.get_zooms()[:3]
    x, y, _ = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in image.shape), indexing="ij")
    radius_mm = np.hypot(x_mm * x, y_mm * y)
    inside, outside = image[radius_mm < 60].mean(), image[radius_mm > 95].mean()
    assert inside > 5 * max(outside, 0.0) > -1


@pytest.mark.qemu
@pytest.mark.skipif(bool(missing("qemu")), reason=missing("qemu") or "complete")
def test_a_run_of_arm_images_that_send_datagrams_is_whole_and_has_an_image(tmp_path):
    small = ["--preset", "bench2", "--phantom", "point", "--activity-MBq", "0.3"]
    how = ["--duration", "1", "--firmware", "qemu", "--firmware-data", "ethernet"]
    result = demo(tmp_path, *small, *how)
    assert result["conserved"] is True
    assert result["frames"]["lost"] == 0
    assert result["hits"]["offered"] == result["hits"]["seen"] > 5000
    assert result["condition"] == "good", result["conditions"]
    assert verify(Path(result["run"])).identical
    assert nib.load(result["images"]["final"]).get_fdata().max() > 0


def test_truth_of_events_is_refused_with_firmware_before_anything_starts(tmp_path):
    argv = [sys.executable, "-m", "daq.cli", "demo", "--headless", "--firmware", "native"]
    argv += ["--preset", "bench2", "--phantom", "point", "--truth", "--runs", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "leave --truth out" in done.stderr


# --- what goes wrong in a run ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def proxies() -> list[LineProxy]:
    return []


@pytest.fixture(scope="module")
def system(tmp_path_factory, proxies) -> Iterator[FirmwareSystem]:
    """Two modules on lines with plugs; each test makes a run of its own."""

    def through_proxy(module: int, url: str) -> str:
        proxies.append(LineProxy(url))
        return proxies[-1].url

    made = FirmwareSystem(tmp_path_factory.mktemp("f"), urls=through_proxy)
    try:
        made.wait_until_ready()
        made.order("write", bias_slew=100_000)
        yield made
    finally:
        made.close()
        for proxy in proxies:
            proxy.close()


def test_a_run_over_the_serial_lines_loses_nothing(system):
    folder = system.begin_run()
    system.wait_for_time(0.3)
    summary = system.end_run(folder)
    assert summary["conserved"] is True
    assert summary["frames"]["lost"] == summary["frames"]["module_resets"] == 0
    assert summary["hits"]["offered"] == summary["hits"]["seen"] > 0


def test_a_module_that_is_reset_in_a_run_takes_part_again_and_the_gap_is_accounted(system):
    folder = system.begin_run()
    system.machines[1].reset()
    wait_until(lambda: "takes part in the run again" in system.journal(folder), "the second begin")
    system.wait_for_time(0.3)
    summary = system.end_run(folder)
    assert "module 1 restarted in the run" in system.journal(folder)
    assert summary["frames"]["module_resets"] == 1
    assert summary["conserved"] is True
    assert summary["condition"] == "tainted"
    assert summary["hits"]["of_reset_modules"] > 0
    assert summary["hits"]["unaccounted"] == 0
    assert summary["modules"][0]["frames_lost"] == 0


def test_a_line_that_is_unplugged_in_a_run_comes_back_with_its_losses_counted(system, proxies):
    folder = system.begin_run()
    proxies[0].unplug()
    system.wait_for_state("loss of the line", lambda state: not state.link.connected, 0)
    proxies[0].plug()
    system.wait_for_state("the line's return", lambda state: state.link.connected, 0)
    system.wait_for_time(0.3)
    summary = system.end_run(folder)
    assert "link lost" in system.journal(folder)
    assert summary["conserved"] is True
    assert summary["frames"]["module_resets"] == 0
    assert summary["modules"][1]["frames_lost"] == 0


def test_an_open_interlock_switches_off_with_words_and_the_other_module_goes_on(system):
    folder = system.begin_run()
    world = system.machines[0].window.world
    world["interlock_closed"] = 0
    try:
        wait_until(lambda: world["shown_dac_mV"] == 0, "a safe bias")
        system.wait_for_state("the fault", lambda state: state.fault == "interlock", 0)
        state = system.states().modules[0]
        assert state.fault_text == "the interlock is open"
        assert not state.interlock_closed
        with pytest.raises(ClientError, match="still there"):
            system.order("clear_fault", 0)
        wait_until(
            lambda: "the interlock is open" in str(system.status()["not_ready"]), "no readiness"
        )
        system.wait_for_time(0.3)
        summary = system.end_run(folder)
    finally:
        world["interlock_closed"] = 1
    assert "the interlock is open" in system.journal(folder)
    assert summary["condition"] == "incomplete"
    assert summary["modules"][1]["frames_lost"] == 0
    with pytest.raises(ClientError, match="not ready: module 0: the interlock is open"):
        system.daq.control.call("arm")
        system.daq.control.call("start")
    system.daq.control.call("reset")
    system.order("clear_fault", 0)
    wait_until(lambda: "the bias is not on" in str(system.status()["not_ready"]), "a safe idle")
    assert world["shown_dac_mV"] == 0
    system.order("bias", 0, target_mV=56_500)
    system.wait_until_ready()


def test_a_bias_switched_off_in_a_run_ends_its_hits_and_is_told_as_the_cause(system):
    system.wait_until_ready()
    temperature_C = system.states().modules[0].temperature_C
    folder = system.begin_run()
    system.order("bias", 0, target_mV=0)
    system.wait_for_state("no bias", lambda state: state.bias_mV == 0, 0)
    state = system.states().modules[0]
    assert (state.asked_mV, state.lacks_bias) == (56_500, True)
    assert condition(state).text == "✗ bias 0.0 V of 56.5 V asked"
    system.wait_for_state("no hits", lambda state: state.hit_rate == 0, 0)
    assert system.states().modules[1].hit_rate > 0
    wait_until(
        lambda: "module 0: bias 0.0 V of 56.5 V asked" in system.journal(folder), "the alarm"
    )
    system.order("bias", 0, target_mV=56_500)
    system.wait_for_state("hits again", lambda state: state.hit_rate > 0, 0)
    summary = system.end_run(folder)
    assert summary["condition"] == "tainted"
    assert "a module's bias was below what was asked" in summary["conditions"]
    assert "a module's temperature left its band" not in summary["conditions"]
    assert system.states().modules[0].temperature_C == temperature_C
    assert summary["frames"]["low_bias"] > 0
    assert summary["conserved"] is True
    assert summary["hits"]["offered"] == summary["hits"]["seen"]


def test_orders_read_write_and_ramp_and_are_journaled(system):
    system.wait_until_ready()
    system.order("write", 1, energy_threshold=1234)
    assert system.order("read", 1, energy_threshold=0)["values"] == {
        "1": {"energy_threshold": 1234}
    }
    system.wait_for_state("the value", lambda s: s.registers["energy_threshold"] == 1234, 1)
    system.order("bias", 0, target_mV=55_000)
    system.wait_for_state("55 V", lambda state: abs(state.bias_mV - 55_000) < 300, 0)
    with pytest.raises(ClientError, match=r"99999 0\.1 keV, allowed is 0 to 16383"):
        system.order("write", 0, energy_threshold=99_999)
    with pytest.raises(ClientError, match="no module 7 on this link; it has 0 to 1"):
        system.order("bias", 7, target_mV=0)
    assert "module 1: write energy_threshold=1234" in system.daq_journal()
    system.order("write", 1, energy_threshold=500)
    system.order("bias", 0, target_mV=56_500)


def test_a_bias_scan_goes_to_the_displays_and_finds_the_breakdown(system):
    system.wait_until_ready()
    system.order("scan_bias", 0, from_mV=50_000, to_mV=57_000, step_mV=500)

    def scanned() -> bool:
        return any(scan.done for scan in system.states().scans)

    wait_until(scanned, "the scan's end", timeout_s=30)
    scan = next(scan for scan in system.states().scans if scan.kind == "bias")
    assert not scan.failed
    assert len(scan.points) == scan.steps == 15
    assert abs(scan.found["breakdown_mV"] - 53_000) < 600


def test_an_update_by_order_is_confirmed_and_the_module_is_ready_again(system, tmp_path):
    system.wait_until_ready()
    path = tmp_path / "update.tmim"
    path.write_bytes(build("native").slot_image)
    system.order("update", 1, path=str(path))
    system.wait_for_state("the new slot", lambda state: state.slot == "a" and state.confirmed, 1)
    wait_until(lambda: "module 1: runs firmware" in system.daq_journal(), "the journal's line")
    system.wait_until_ready()
    with pytest.raises(ClientError, match="no such file"):
        system.order("update", 0, path=str(tmp_path / "absent"))


def test_a_daq_that_is_killed_comes_back_and_modules_lose_nothing(tmp_path):
    system = FirmwareSystem(tmp_path)
    try:
        folder = system.begin_run()
        system.wait_for_time(0.5)
        system.daq.process.kill()
        system.daq.process.wait(5)
        system.restart_daq()
        system.daq.wait_for_state("running")
        system.wait_for_time(1.0)
        summary = system.end_run(folder)
    finally:
        system.close()
    assert summary["conditions"] == ["the daq was restarted in the run"]
    assert summary["conserved"] is True
    assert summary["frames"]["lost"] == 0
    assert "the daq was restarted: it gets again" in system.journal(folder)


def test_the_bias_is_safe_soon_after_the_link_process_is_killed(tmp_path):
    system = FirmwareSystem(tmp_path)
    try:
        system.begin_run()
        worlds = [machine.window.world for machine in system.machines]
        assert all(world["shown_bias_mV"] > 50_000 for world in worlds)
        system.link.process.kill()
        wait_until(
            lambda: all(world["shown_dac_mV"] == 0 for world in worlds), "a safe bias", timeout_s=10
        )
        wait_until(
            lambda: all(world["shown_bias_mV"] < 1000 for world in worlds), "no bias", timeout_s=5
        )
        wait_until(
            lambda: "source lost: firmware" in system.daq_journal(), "the daq's alarm", timeout_s=10
        )
    finally:
        system.close()
