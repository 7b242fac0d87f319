"""Firmware updates over the line: whole ones stay, all others leave the old firmware as it was."""

from __future__ import annotations

import contextlib

import crc32c
import pytest

from daq.link.serial.line_errors import (
    CommandRefused,
    FirmwareMismatch,
    ImageRefused,
    LinkLost,
    SerialLinkError,
)
from daq.link.serial.session import ModuleSession
from daq.link.serial.update import HEADER_BYTES, read_image, transfer_image, update_firmware
from hw.machines.build import build, slot_image
from hw.wire.control import SCHEMA_CRC, VERSION, Board, Slot, State, Status
from rigs.firmware.native_modules import (
    OTHER_SCHEMA,
    begin_run,
    bring_up,
    foreign_build,
    wait_until,
)
from rigs.scripted_module import ScriptedModule

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
        (lambda image: b"", "not a firmware image"),
        (lambda image: image[:31], "not a firmware image"),
        (lambda image: b"MZ" + image[2:], "not a firmware image"),
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


# --- other schemas --------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def foreign(native_image):
    """Firmware of another schema: (the build, its image for updates)."""
    return foreign_build()


@pytest.fixture
def any_schema(machine, journal):
    """A session that takes a module of whatever schema."""
    with ModuleSession.open(machine.serial_url, any_schema=True, journal=journal.tell) as session:
        yield session


@pytest.fixture
def old_module(foreign, tmp_path):
    """A module whose factory image is of another schema than this program."""
    from hw.machines.native import Native

    with Native(folder=tmp_path / "old", image=foreign[0]) as machine:
        yield machine


def test_an_image_that_this_program_would_not_understand_is_refused_before_a_byte(session, foreign):
    sent = session.statistics.commands
    words = rf"schema {OTHER_SCHEMA:08x}, this program {SCHEMA_CRC:08x}.*--any-schema"
    with pytest.raises(ImageRefused, match=words):
        update_firmware(session, foreign[1])
    with pytest.raises(SerialLinkError, match="must be opened with any_schema"):
        update_firmware(session, foreign[1], any_schema=True)
    assert session.statistics.commands == sent


def test_an_image_of_another_control_version_is_refused_whatever_is_said(any_schema, native_image):
    header = read_image(native_image.slot_image)[0]
    header["control_version"] = VERSION + 1
    header["header_crc"] = crc32c.crc32c(header.tobytes()[:-4])
    image = header.tobytes() + native_image.slot_image[HEADER_BYTES:]
    with pytest.raises(ImageRefused, match="no update goes from one to the other"):
        update_firmware(any_schema, image, any_schema=True)
    fields = {name: int(header[name]) for name in header.dtype.names}
    with pytest.raises(CommandRefused, match="of another control version") as refused:
        any_schema.command("update_begin", **fields)
    assert (refused.value.status, refused.value.detail) == (Status.wrong_schema, VERSION)


def test_another_schema_comes_when_it_is_asked_for_stays_and_goes(
    machine, any_schema, foreign, native_image
):
    identity = update_firmware(any_schema, foreign[1], any_schema=True)
    assert (int(identity["build"]), int(identity["schema"])) == (foreign[0].build_id, OTHER_SCHEMA)
    assert identity["confirmed"]
    assert any_schema.foreign
    for _ in range(3):
        identity = any_schema.reset()
    assert int(identity["build"]) == foreign[0].build_id
    any_schema.close()
    with pytest.raises(FirmwareMismatch, match=f"schema {OTHER_SCHEMA:08x}"):
        ModuleSession.open(machine.serial_url)
    with ModuleSession.open(machine.serial_url, any_schema=True) as session:
        assert session.foreign
        identity = update_firmware(session, native_image.slot_image)
        assert (int(identity["build"]), identity["slot"]) == (native_image.build_id, Slot.b)
        assert not session.foreign
        assert session.ask_telemetry()["state"] == State.idle


def test_another_schema_that_is_not_confirmed_goes_back_after_its_tries(
    any_schema, foreign, native_image
):
    identity = update_firmware(any_schema, foreign[1], any_schema=True, confirm=False)
    assert any_schema.foreign
    assert not identity["confirmed"]
    builds = [int(any_schema.reset()["build"]) for _ in range(2)]
    assert builds == [foreign[0].build_id, native_image.build_id]
    assert not any_schema.foreign


def test_an_image_that_is_of_another_schema_than_it_says_is_not_confirmed(
    any_schema, foreign, native_image
):
    lying = slot_image(foreign[1][HEADER_BYTES:], board=Board.posix, build_id=foreign[0].build_id)
    with pytest.raises(ImageRefused, match=f"says schema {OTHER_SCHEMA:08x}.*not confirmed"):
        update_firmware(any_schema, lying)
    assert not any_schema.identity["confirmed"]
    builds = [int(any_schema.reset()["build"]) for _ in range(2)]
    assert builds[-1] == native_image.build_id


def _leave_faulted(machine, session):
    machine.window.world["interlock_closed"] = 0
    wait_until(lambda: session.refresh_identity()["state"] == State.fault)
    machine.window.world["interlock_closed"] = 1


def _leave_updating(machine, session):
    header = read_image(build("native").slot_image)[0]
    session.command("update_begin", **{name: int(header[name]) for name in header.dtype.names})


@pytest.mark.parametrize("leave", [lambda *_: None, _leave_faulted, _leave_updating])
def test_a_module_of_an_old_schema_gets_this_programs_firmware(old_module, native_image, leave):
    with ModuleSession.open(old_module.serial_url, any_schema=True) as session:
        assert session.foreign
        leave(old_module, session)
    with ModuleSession.open(old_module.serial_url, any_schema=True) as session:
        identity = update_firmware(session, native_image.slot_image)
    assert identity["confirmed"]
    with ModuleSession.open(old_module.serial_url) as session:
        assert int(session.identity["build"]) == native_image.build_id
        assert session.ask_telemetry()["state"] == State.idle


def test_a_foreign_module_in_a_run_is_left_alone(native_image):
    with ScriptedModule() as module:
        module.identity["schema"], module.identity["board"] = OTHER_SCHEMA, Board.posix
        module.identity["state"] = State.running
        with (
            ModuleSession.open(module.url, any_schema=True) as session,
            pytest.raises(ImageRefused, match="in a run, which this program cannot end"),
        ):
            update_firmware(session, native_image.slot_image)


def _press_reset(machine):
    """Reset, and wait until the module is idle again: presses in quick succession are one."""
    world = machine.window.world
    starts = world["shown_starts"]
    machine.reset()
    wait_until(lambda: world["shown_starts"] != starts and world["shown_state"] == State.idle)


def test_a_session_lets_go_of_a_module_that_starts_with_another_schema_until_it_goes_back(
    machine, journal, foreign, native_image
):
    with ModuleSession.open(machine.serial_url, any_schema=True) as session:
        transfer_image(session, *read_image(foreign[1]))
    with ModuleSession.open(machine.serial_url, journal=journal.tell) as session:
        with contextlib.suppress(LinkLost):
            session.command("reset")
        wait_until(lambda: any("not back yet" in line for line in journal))
        assert not session.connected
        assert any(f"schema {OTHER_SCHEMA:08x}" in line for line in journal)
        for _ in range(2):
            _press_reset(machine)
        wait_until(lambda: session.connected)
        assert int(session.identity["build"]) == native_image.build_id
