"""Tier 3: a new ARM image over the line; one that is no good goes back to the old by itself."""

from __future__ import annotations

import numpy as np
import pytest

from daq.link.serial.line_errors import ImageRefused
from daq.link.serial.session import ModuleSession
from daq.link.serial.update import read_image, transfer_image, update_firmware
from hw.machines.build import slot_image
from hw.wire.control import SCHEMA_CRC, WINDOW, Board, ResetCause, Slot, State
from rigs.firmware.arm_modules import arm_image, arm_module, needs_qemu, wait_until

pytestmark = needs_qemu

VARIANT = "TOMOSHIBI_VARIANT=2"
HANGS = "TOMOSHIBI_HANGS=1"


def test_new_image_is_taken_started_confirmed_and_stays(tmp_path):
    new = arm_image(VARIANT)
    with arm_module(tmp_path) as module:
        identity = update_firmware(module.session, new.slot_image)
        assert identity["slot"] in (Slot.a, Slot.b)
        assert identity["build"] == new.build_id != arm_image().build_id
        assert identity["confirmed"] == 1
        for _ in range(3):  # more starts than an image on trial gets
            identity = module.session.reset()
        assert identity["build"] == new.build_id
        starts = module.session.starts
        module.machine.power(False)
        module.machine.power(True)
        assert module.session.wait_restart(starts, within_s=10)["build"] == new.build_id


def test_image_that_is_not_confirmed_goes_back_at_the_third_start(tmp_path):
    new, old = arm_image(VARIANT), arm_image()
    with arm_module(tmp_path) as module:
        update_firmware(module.session, new.slot_image, confirm=False)
        assert module.session.reset()["build"] == new.build_id
        assert module.session.reset()["build"] == old.build_id
        assert module.faults()[0] == "rolled_back"


def test_another_schema_is_started_confirmed_and_replaced(tmp_path):
    schema = SCHEMA_CRC ^ 0x5A5A5A5A
    foreign = arm_image(f"TOMOSHIBI_SCHEMA_OVERRIDE={schema:#x}u")
    body = read_image(foreign.slot_image)[1]
    build, board = foreign.build_id, Board.mps2_an386
    image = slot_image(body, board=board, build_id=build, schema=schema)
    with arm_module(tmp_path, any_schema=True) as module:
        identity = update_firmware(module.session, image, any_schema=True)
        assert (identity["build"], identity["schema"]) == (foreign.build_id, schema)
        for _ in range(3):
            identity = module.session.reset()
        assert (identity["build"], identity["confirmed"]) == (foreign.build_id, 1)
        assert module.session.foreign
        identity = update_firmware(module.session, arm_image().slot_image)
        assert (identity["build"], identity["slot"]) == (arm_image().build_id, Slot.b)
        assert module.faults() == []


def test_image_that_hangs_is_reset_by_the_watchdog_and_rolled_back(tmp_path):
    old = arm_image()
    with arm_module(tmp_path) as module:
        header, body = read_image(arm_image(HANGS).slot_image)
        transfer_image(module.session, header, body)
        module.session.command("reset")
        wait_until(lambda: module.window.world["shown_starts"] == 4, "two tries", within_s=15)
        module.session.close()
        with ModuleSession.open(module.machine.serial_url, module=0) as session:
            identity = session.identity
            assert (identity["build"], identity["slot"]) == (old.build_id, Slot.factory)
            assert identity["reset_cause"] == ResetCause.watchdog
            module.session = session
            assert "rolled_back" in module.faults()


def test_image_with_a_wrong_byte_is_refused_and_the_old_one_runs_on(tmp_path):
    good = arm_image(VARIANT).slot_image
    with arm_module(tmp_path) as module:
        header, body = read_image(good)
        spoiled = body[:999] + bytes([body[999] ^ 1]) + body[1000:]
        with pytest.raises(ImageRefused, match="truncated, damaged"):
            transfer_image(module.session, header, spoiled)
        assert module.session.ask_telemetry()["state"] == State.idle
        assert module.session.reset()["slot"] == Slot.factory


def test_image_of_another_board_is_refused(tmp_path):
    body = bytes(1000)
    header, _ = read_image(slot_image(body, board=int(Board.posix), build_id=1))
    with arm_module(tmp_path) as module, pytest.raises(ImageRefused, match="another board"):
        transfer_image(module.session, header, body)


def test_image_that_rots_in_its_slot_is_not_started(tmp_path):
    with arm_module(tmp_path) as module:
        identity = update_firmware(module.session, arm_image(VARIANT).slot_image)
        slot = "slot_a" if identity["slot"] == Slot.a else "slot_b"
        starts = module.session.starts
        module.machine.power(False)
        module.window.bytes[WINDOW[slot] + 5000] ^= np.uint8(1)
        module.machine.power(True)
        assert module.session.wait_restart(starts, within_s=10)["slot"] == Slot.factory
        assert "image_damaged" in module.faults()
