"""Everything that a module refuses: the host's error says what, why and what to do."""

from __future__ import annotations

import numpy as np
import pytest

from daq.link.serial.line_errors import CommandRefused, FirmwareMismatch, SerialLinkError
from daq.link.serial.session import ModuleSession
from hw.wire.control import COMMANDS, IMAGE, SCHEMA_CRC, STRUCTS, VERSION, Status
from rigs.firmware.native_modules import begin_run, bring_up
from rigs.scripted_module import ScriptedModule


def refusal(session: ModuleSession, name: str, tail: bytes = b"", **fields: int) -> CommandRefused:
    with pytest.raises(CommandRefused) as refused:
        session.command(name, tail, **fields)
    return refused.value


IMAGE_FIELDS = dict.fromkeys(STRUCTS["image"].names, 0)


def image_fields(**fields: int) -> dict[str, int]:
    """Return an image header's fields with a right CRC of their own."""
    import crc32c

    header = np.zeros((), STRUCTS["image"])
    right = {"magic": IMAGE["magic"], "board": 1, "control_version": VERSION, "schema": SCHEMA_CRC}
    for name, value in {**right, "build": 1, "length": 1000, **fields}.items():
        header[name] = value
    header["header_crc"] = crc32c.crc32c(header.tobytes()[:-4])
    return {name: int(header[name]) for name in header.dtype.names}


@pytest.mark.firmware
@pytest.mark.parametrize(
    ("name", "fields", "status", "words"),
    [
        ("stop", {}, Status.bad_state, "the module's state is idle; it must run"),
        ("abort", {}, Status.bad_state, "the module's state is idle"),
        ("update_end", {}, Status.bad_state, "the module's state is idle"),
        ("update_abort", {}, Status.bad_state, "the module's state is idle"),
        ("run", {"run_tag": 1, "periods": 0, "first_sequence": 0}, Status.no_bias, "set the bias"),
        ("bias", {"target_mV": 70_000}, Status.bad_value, "byte 0 of the payload"),
        ("read", {"register": 999}, Status.unknown_register, "docs/protocol.md"),
        ("write", {"register": 999, "value": 0}, Status.unknown_register, "docs/protocol.md"),
        ("write", {"register": 40, "value": 0}, Status.read_only, "read-only"),
        ("baud", {"baud": 1}, Status.bad_value, "out of"),
        ("channels_read", {"first": 4096, "count": 1}, Status.bad_value, "out of"),
        ("update_begin", IMAGE_FIELDS, Status.bad_image, "rebuild the image"),
        ("update_begin", image_fields(board=2), Status.wrong_board, "built for this board"),
        ("update_begin", image_fields(control_version=9), Status.wrong_schema, "control version"),
    ],
)
def test_a_refusal_says_why_and_what_to_do(session, tmp_path, name, fields, status, words):
    error = refusal(session, name, **fields)
    assert error.status == status
    assert words in str(error)
    assert str(error).startswith(
        f"module 3 on {session.statistics.url} refused the command {name}: "
    )
    assert session.statistics.refusals == 1
    (dump,) = (tmp_path / "transcripts").iterdir()
    text = dump.read_text()
    assert text.splitlines()[0].startswith(f"module 3 on {session.statistics.url}: refused {name}")
    assert f"reply {name} #" in text
    assert "refused," in text.splitlines()[-1]


@pytest.mark.firmware
def test_what_a_run_forbids(session):
    bring_up(session)
    begin_run(session)
    for name, fields in (
        ("run", {"run_tag": 9, "periods": 0, "first_sequence": 0}),
        ("save", {}),
        ("defaults", {}),
        ("reset", {}),
        ("channels_write", {"first": 0, "count": 0}),
        ("update_begin", IMAGE_FIELDS),
    ):
        error = refusal(session, name, **fields)
        assert error.status == Status.bad_state, name
        assert "send stop and wait for the run's end" in str(error)
    with pytest.raises(CommandRefused):
        session.write("channels", 5)
    session.write("energy_threshold", 600)
    session.command("abort")
    assert session.books.run_tag in (0, 0x5EED)


@pytest.mark.firmware
def test_memory_that_does_not_take_writes_is_told(session, machine):
    machine.window.world["nv_broken"] = 1
    error = refusal(session, "save")
    assert error.status == Status.storage
    assert "replace the board" in str(error)


@pytest.mark.parametrize("status", [s for s in Status if s != Status.ok])
def test_every_status_of_the_definition_has_words_and_a_remedy(status):
    code = COMMANDS["save"].code
    with ScriptedModule(
        hear=lambda m: module.reply(m, status=int(status)) if m.code == code else None
    ) as module:
        with ModuleSession.open(module.url) as session:
            error = refusal(session, "save")
        assert error.status == status
        what, _, remedy = str(error).partition("refused the command save: ")[2].partition("; ")
        assert len(what) > 8
        assert len(remedy) > 8


def test_a_status_that_this_program_does_not_know_is_a_mismatch():
    code = COMMANDS["save"].code

    def hear(command):
        return module.reply(command, status=99) if command.code == code else None

    with (
        ScriptedModule(hear=hear) as module,
        ModuleSession.open(module.url) as session,
        pytest.raises(FirmwareMismatch, match="status 99, which this program does not know"),
    ):
        session.command("save")


@pytest.mark.parametrize("body", [b"", b"12345678"])
def test_a_reply_that_is_too_short_or_too_long_is_a_mismatch_in_words(body):
    code = COMMANDS["read"].code

    def hear(command):
        return module.reply(command, body) if command.code == code else None

    with (
        ScriptedModule(hear=hear) as module,
        ModuleSession.open(module.url) as session,
        pytest.raises(SerialLinkError, match=f"has {len(body)} bytes, 4 are expected"),
    ):
        session.read("module")
