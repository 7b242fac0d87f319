"""First words with a module: whom the host understands, whom it refuses, and how it says so."""

from __future__ import annotations

import json

import pytest
from scripted_module import ScriptedModule

from daq.serial_link.errors import FirmwareMismatch, NoAnswer
from daq.serial_link.packets import NOTICE, encode_message
from daq.serial_link.session import ModuleSession
from hw.control import COMMANDS, SCHEMA_CRC, VERSION


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


@pytest.mark.parametrize(("field", "theirs"), [("control_version", 9), ("protocol_version", 7)])
def test_another_version_is_refused_with_both(field, theirs):
    with ScriptedModule() as module:
        module.identity[field] = theirs
        with pytest.raises(FirmwareMismatch, match=rf"protocol {theirs}.*this program speaks"):
            ModuleSession.open(module.url)


def test_a_module_that_speaks_another_control_protocol_altogether_is_named():
    def foreign(command):
        plain = bytearray(encode_message(NOTICE, 1, 1, b""))
        from cobs import cobs

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
