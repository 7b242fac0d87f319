"""First words with a module: whom the host understands, whom it refuses, and how it says so."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
from cobs import cobs

from daq.link.serial.line_errors import FirmwareMismatch, LinkLost, NoAnswer
from daq.link.serial.packets import NOTICE, encode_message
from daq.link.serial.session import ModuleSession
from hw.wire.control import COMMANDS, NOTICES, SCHEMA_CRC, STRUCTS, VERSION
from hw.wire.protocol import HEADER_DTYPE, MAGIC
from rigs.firmware.native_modules import OTHER_SCHEMA, wait_until
from rigs.line_journal import LineJournal
from rigs.scripted_module import ScriptedModule


def test_identity_and_dictionary_are_read_and_checked():
    with ScriptedModule() as module, ModuleSession.open(module.url) as session:
        assert int(session.identity["build"]) == 0xABCDEF01
        assert session.dictionary.names("commands")["run"] == COMMANDS["run"].code
        assert session.dictionary.differences() == []


def test_hello_is_asked_again_until_somebody_answers():
    silent = 3

    def deaf_at_first(command):
        nonlocal silent
        silent -= 1
        return b"" if silent >= 0 else None

    with ScriptedModule(hear=deaf_at_first) as module:
        with ModuleSession.open(module.url, timeout_s=0.05) as session:
            assert session.connected
        assert [m.code for m in module.heard[:4]] == [COMMANDS["hello"].code] * 4


def test_nobody_there_is_an_error_within_the_bound_that_says_what_came():
    with (
        ScriptedModule(hear=lambda command: b"") as module,
        pytest.raises(NoAnswer, match=r"no HELLO within 0\.3 s; not one byte came: is it powered"),
    ):
        ModuleSession.open(module.url, timeout_s=0.05, hello_s=0.3)


def test_noise_instead_of_an_answer_asks_for_the_speed():
    with (
        ScriptedModule(hear=lambda command: b"\x37\x99\x01") as module,
        pytest.raises(NoAnswer, match=r"is the speed right \(115200 baud\)"),
    ):
        ModuleSession.open(module.url, timeout_s=0.05, hello_s=0.3)


def test_another_schema_is_refused_with_both_and_what_differs():
    with ScriptedModule() as module:
        content = json.loads(module.dictionary)
        content["commands"] = [c for c in content["commands"] if c["name"] != "bias"]
        content["registers"].append({**content["registers"][0], "name": "colour", "address": 99})
        module.dictionary = json.dumps(content).encode()
        module.promise(module.dictionary)
        module.identity["schema"] = 0x12345678
        with pytest.raises(FirmwareMismatch) as refused:
            ModuleSession.open(module.url)
    words = str(refused.value)
    assert "schema 12345678" in words
    assert f"{SCHEMA_CRC:08x}" in words
    assert "it lacks the commands bias" in words
    assert "it adds the registers colour" in words
    assert "Flash the firmware of this release" in words


def test_a_session_for_any_schema_gives_a_foreign_module_what_is_frozen_and_no_more():
    with ScriptedModule() as module:
        module.identity["schema"] = OTHER_SCHEMA
        with ModuleSession.open(module.url, any_schema=True) as session:
            assert session.foreign
            assert "update_begin" in session.dictionary.names("commands")
            session.command("update_confirm")
            sent = {m.code for m in module.heard}
            with pytest.raises(FirmwareMismatch, match=r"another schema.*bias may mean something"):
                session.command("bias", target_mV=50_000)
            with pytest.raises(FirmwareMismatch, match="flash the firmware of this release"):
                session.read("module")
        frozen = {spec.code for spec in COMMANDS.values() if spec.frozen}
        assert sent <= frozen
        assert {m.code for m in module.heard} == sent


def test_a_session_for_any_schema_with_a_module_of_ours_is_like_any_other():
    with ScriptedModule() as module, ModuleSession.open(module.url, any_schema=True) as session:
        assert not session.foreign
        assert session.read("module") == 0


def test_another_version_of_data_frames_alone_is_no_reason_not_to_update():
    with ScriptedModule() as module:
        module.identity["protocol_version"] = 7
        with ModuleSession.open(module.url, any_schema=True) as session:
            assert session.foreign


def test_another_control_version_is_refused_also_for_any_schema():
    with ScriptedModule() as module:
        module.identity["control_version"] = 9
        with pytest.raises(FirmwareMismatch, match=r"control protocol 9.*this program speaks"):
            ModuleSession.open(module.url, any_schema=True)


@pytest.mark.parametrize("content", [b"{", b'{"commands": [1]}'])
@pytest.mark.parametrize("schema", [SCHEMA_CRC, OTHER_SCHEMA])
def test_an_unreadable_dictionary_does_not_stand_in_the_way_of_an_update(schema, content):
    with ScriptedModule() as module:
        module.identity["schema"] = schema
        module.dictionary = content
        module.promise(content)
        with ModuleSession.open(module.url, any_schema=True) as session:
            assert session.dictionary.content == {}
            session.command("update_confirm")


TELEMETRY = next(code for code, (name, _) in NOTICES.items() if name == "telemetry")
HELLO = next(code for code, (name, _) in NOTICES.items() if name == "hello")


def _empty_frame() -> bytes:
    header = np.zeros((), HEADER_DTYPE)
    header["magic"] = MAGIC
    return cobs.encode(header.tobytes()) + b"\0"


@pytest.mark.parametrize("schema", [SCHEMA_CRC, OTHER_SCHEMA])
def test_news_and_frames_of_a_foreign_module_are_not_read(schema):
    def hear(command):
        if command.code != COMMANDS["update_confirm"].code:
            return None
        news = encode_message(NOTICE, 1, TELEMETRY, bytes(STRUCTS["telemetry"].itemsize))
        return news + _empty_frame() + module.reply(command)

    told = []
    with ScriptedModule(hear=hear) as module:
        module.identity["schema"] = schema
        with ModuleSession.open(
            module.url, any_schema=True, on_notice=lambda name, record: told.append(name)
        ) as session:
            session.command("update_confirm")
            ours = schema == SCHEMA_CRC
            assert ("telemetry" in told) == ours
            assert (session.telemetry is not None) == ours
            assert session.books.invalid == int(ours), "the frame is none, but was looked at"


def test_a_module_that_comes_back_with_another_schema_is_let_go_until_it_is_ours_again():
    def hear(command):
        if command.code != COMMANDS["save"].code:
            return None
        module.identity["schema"], module.identity["resets"] = OTHER_SCHEMA, 2
        return encode_message(NOTICE, 0, HELLO, module.identity.tobytes()) + module.reply(command)

    journal = LineJournal()
    with (
        ScriptedModule(hear=hear) as module,
        ModuleSession.open(module.url, journal=journal.tell) as session,
    ):
        with contextlib.suppress(LinkLost):  # where the notice is seen before the reply
            session.command("save")
        wait_until(lambda: not session.connected)
        assert any("its firmware now has another schema" in line for line in journal)
        wait_until(lambda: any("not back yet" in line for line in journal))
        with pytest.raises(LinkLost):
            session.read("module")
        module.identity["schema"], module.identity["resets"] = SCHEMA_CRC, 3
        wait_until(lambda: session.connected)
        assert session.read("module") == 0
        assert session.starts == 3


@pytest.mark.parametrize(("field", "theirs"), [("control_version", 9), ("protocol_version", 7)])
def test_another_version_is_refused_with_both(field, theirs):
    with ScriptedModule() as module:
        module.identity[field] = theirs
        with pytest.raises(FirmwareMismatch, match=rf"protocol {theirs}.*this program speaks"):
            ModuleSession.open(module.url)


def test_a_module_that_speaks_another_control_protocol_altogether_is_named():
    def foreign(command):
        plain = bytearray(encode_message(NOTICE, 1, 1, b""))
        packet = bytearray(cobs.decode(bytes(plain[:-1])))
        packet[4] = VERSION + 1
        import crc32c

        packet[12:16] = crc32c.crc32c(bytes(packet[:12])).to_bytes(4, "little")
        return cobs.encode(bytes(packet)) + b"\0"

    with (
        ScriptedModule(hear=foreign) as module,
        pytest.raises(FirmwareMismatch, match=f"control protocol {VERSION + 1}, this program"),
    ):
        ModuleSession.open(module.url, timeout_s=0.05, hello_s=0.3)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: d[:-1] + b"]", "CRC"),
        (lambda d: d[: len(d) // 2], "bytes with CRC"),
        (lambda d: b"", "0 bytes with CRC"),
    ],
)
def test_a_damaged_dictionary_is_refused(spoil, words):
    with ScriptedModule() as module:
        different = module.dictionary + b" "  # not one that this process knows already
        module.promise(different)
        module.dictionary = spoil(different)
        with pytest.raises(FirmwareMismatch, match=words):
            ModuleSession.open(module.url)


@pytest.mark.parametrize("content", [b"{", b"[1, 2]", b'{"commands": [1]}', b"\xff\xfe"])
def test_a_dictionary_that_is_no_dictionary_is_refused(content):
    with ScriptedModule() as module:
        module.dictionary = content
        module.promise(content)
        with pytest.raises(FirmwareMismatch, match="not what this program can read"):
            ModuleSession.open(module.url)


@pytest.mark.parametrize("length", [0, 1 << 24])
def test_a_dictionary_of_an_impossible_length_is_not_even_read(length):
    with ScriptedModule() as module:
        module.identity["dictionary_bytes"] = length
        with pytest.raises(FirmwareMismatch, match=f"{length} bytes, 1 to"):
            ModuleSession.open(module.url)
        assert COMMANDS["dictionary"].code not in {m.code for m in module.heard}
