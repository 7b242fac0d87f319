"""Firmware updates over the line: whole ones stay, all others leave the old firmware as it was."""

from __future__ import annotations

import pytest
from native_rig import begin_run, bring_up, wait_until

from daq.serial_link.errors import CommandRefused, ImageRefused
from daq.serial_link.update import read_image, transfer_image, update_firmware
from hw.control import Board, Slot, State
from hw.machines.build import build, slot_image

pytestmark = pytest.mark.firmware


@pytest.fixture(scope="session")
def other_image():
    """Another build of the same firmware."""
    from hw.machines.toolchain import missing

    if missing("native"):
        pytest.skip(missing("native"))
    return build("native", defines=["TOMOSHIBI_VARIANT=2"])


def test_a_new_firmware_is_sent_started_and_confirmed(session, other_image):
    old, steps = int(session.identity["build"]), []
    identity = update_firmware(
        session, other_image.slot_image, progress=lambda done, total: steps.append((done, total))
    )
    assert int(identity["build"]) == other_image.build_id != old
    assert identity["slot"] == Slot.a
    assert identity["confirmed"]
    size = len(other_image.slot_image) - 32
    assert steps[-1] == (size, size)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert int(session.reset()["build"]) == other_image.build_id


def test_an_image_that_is_not_confirmed_goes_back_after_its_tries(session, other_image):
    old = int(session.identity["build"])
    identity = update_firmware(session, other_image.slot_image, confirm=False)
    assert not identity["confirmed"]
    for _ in range(3):
        identity = session.reset()
    assert int(identity["build"]) == old
    count = session.command("fault_log", index=0).detail
    faults = [session.command("fault_log", index=i)["fault"] for i in range(count)]
    assert 22 in faults  # rolled back


def damaged(image: bytes) -> bytes:
    return image[:5000] + bytes([image[5000] ^ 1]) + image[5001:]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda image: b"", "no firmware image"),
        (lambda image: image[:31], "no firmware image"),
        (lambda image: b"MZ" + image[2:], "no firmware image"),
        (lambda image: image[:-1], "truncated"),
        (lambda image: image[:100], "truncated"),
        (lambda image: image + b"x", "belong there"),
        (damaged, "damaged"),
        (lambda image: image[:12] + b"\xff" + image[13:], "header is damaged"),
    ],
)
def test_a_spoilt_image_is_refused_before_a_byte_is_sent(session, native_image, spoil, words):
    sent = session.statistics.commands
    with pytest.raises(ImageRefused, match=words):
        update_firmware(session, spoil(native_image.slot_image))
    assert session.statistics.commands == sent


def test_an_image_for_another_board_is_refused_by_name(session, native_image):
    body = native_image.slot_image[32:]
    image = slot_image(body, board=Board.mps2_an386, build_id=5)
    with pytest.raises(ImageRefused, match="is a posix, the image is for mps2_an386"):
        update_firmware(session, image)


def test_an_image_file_is_read_and_named(session, native_image, tmp_path):
    path = tmp_path / "half.bin"
    path.write_bytes(native_image.slot_image[:5000])
    with pytest.raises(ImageRefused, match=r"half\.bin: truncated"):
        update_firmware(session, path)
    with pytest.raises(ImageRefused, match="cannot be read"):
        update_firmware(session, tmp_path / "absent.bin")


def test_the_module_itself_refuses_what_was_damaged_on_the_way(session, native_image):
    header, body = read_image(native_image.slot_image)
    with pytest.raises(ImageRefused, match="truncated, damaged"):
        transfer_image(session, header, damaged(b"\0" * 32 + body)[32:])
    assert session.ask_telemetry()["state"] == State.idle
    assert int(session.reset()["build"]) == native_image.build_id


def test_an_image_that_does_not_start_is_rolled_back_and_told(session, native_image, other_image):
    body = other_image.slot_image[32:]
    image = slot_image(b"\0" * len(body), board=Board.posix, build_id=0x0BADC0DE)
    with pytest.raises(ImageRefused, match=r"not the new 0badc0de|nothing answers"):
        update_firmware(session, image)
    wait_until(lambda: session.connected)
    assert int(session.identity["build"]) == native_image.build_id


def test_an_update_in_a_run_is_refused(session, native_image):
    bring_up(session)
    begin_run(session)
    with pytest.raises(CommandRefused, match="send stop"):
        update_firmware(session, native_image.slot_image)
    session.command("abort")


def test_a_transfer_that_is_broken_off_leaves_the_module_idle(session, native_image):
    header, body = read_image(native_image.slot_image)

    def ctrl_c(done: int, total: int) -> None:
        if done > 10_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        transfer_image(session, header, body, progress=ctrl_c)
    assert session.ask_telemetry()["state"] == State.idle
    session.command("update_confirm")
    assert int(session.refresh_identity()["build"]) == native_image.build_id
