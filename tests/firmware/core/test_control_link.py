"""The serial line of the firmware: every byte counted, every command answered once, order kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cobs import cobs
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.wire.control import (
    COMMANDS,
    DEFINITION,
    NOTICES,
    REGISTERS,
    STRUCTS,
    MessageKind,
    ResetCause,
    Status,
)
from oracles.control_reference import received
from rigs.firmware.core_board import CoreBoard, command_packet

pytestmark = pytest.mark.firmware

GOLDEN = Path(__file__).resolve().parents[3] / "hw" / "wire" / "golden"
TABLE = json.loads((GOLDEN / "control.json").read_text(encoding="utf-8"))["messages"]
LINE = (GOLDEN / "control.bin").read_bytes()
HELLO, TELEMETRY = 1, 2
FRAME = bytes(range(1, 65)) + bytes(136) + bytes(range(1, 201)) * 40


def started(core: CoreBoard) -> CoreBoard:
    """Start a module and forget what it said while starting."""
    core.start()
    core.run_for(2)
    core.messages()
    return core


def accounted(core: CoreBoard) -> int:
    """Bytes that came in, under all their headings."""
    link = core.module.link
    waiting = link.input_end - link.input_from + (0 if link.decoder.ended else link.decoder.raw)
    return int(
        link.counters.good_bytes + link.counters.invalid_bytes + link.counters.empty_bytes + waiting
    )


def replies(core: CoreBoard) -> list[tuple[int, int, int]]:
    """Sequence, status and detail of the replies that the module has sent."""
    found = []
    for header, payload in core.messages():
        if header["kind"] == MessageKind.reply:
            status, detail = np.frombuffer(payload, "<u2", 2)
            found.append((int(header["sequence"]), int(status), int(detail)))
    return found


# --- golden vectors, and bytes at random -------------------------------------------------------


@pytest.mark.parametrize("name", [entry["name"] for entry in TABLE])
def test_the_module_comes_to_the_verdict_and_answer_of_the_golden_vector(
    core: CoreBoard, name: str
) -> None:
    entry = next(entry for entry in TABLE if entry["name"] == name)
    started(core).serial_in(LINE[entry["offset"] : entry["offset"] + entry["length"]])
    core.run_for(3)
    counters = core.module.link.counters
    assert counters.invalid_packets == (entry["module"] == "invalid")
    assert accounted(core) == counters.bytes_in == entry["length"]
    found = replies(core)
    assert len(found) == (entry["module"] == "command")
    if "answer" in entry:
        answer, sequence = entry["answer"], entry["header"]["sequence"]
        assert found == [(sequence, Status[answer["status"]].value, answer["detail"])]


def _packets() -> st.SearchStrategy[bytes]:
    """Sound commands of every kind, with payloads at random."""
    codes = st.sampled_from([spec.code for spec in COMMANDS.values() if spec.name != "reset"])
    payloads = st.binary(max_size=40)
    return st.builds(command_packet, codes, payloads, st.integers(0, 65535))


@settings(max_examples=60)
@given(pieces=st.lists(st.one_of(_packets(), st.binary(max_size=40)), max_size=12))
def test_any_bytes_are_counted_and_judged_as_the_reference_does(
    core_library: Any, pieces: list[bytes]
) -> None:
    core = started(CoreBoard(core_library))
    line = b"".join(pieces)
    core.serial_in(line)
    core.run_for(2500, step_us=20_000)
    found, rest = received(line)
    counters = core.module.link.counters
    verdicts = [packet.verdict for packet in found]
    current = [p for p in found if p.verdict == "command" and p.header and p.header["version"] == 1]
    assert counters.bytes_in == len(line) == accounted(core)
    assert counters.empty_bytes == verdicts.count("empty")
    assert counters.invalid_packets == sum(v not in ("empty", "command") for v in verdicts)
    assert counters.commands + counters.repeats == len(current)
    assert counters.good_bytes == sum(p.line_bytes for p in found if p.verdict == "command")
    unfinished = core.module.link.decoder
    assert rest == (0 if unfinished.ended else unfinished.raw)


def test_an_overlong_packet_is_counted_and_the_next_one_answered(core: CoreBoard) -> None:
    started(core).serial_in(b"\x01\x02" * 5000 + b"\0" + command_packet(1, b"", 9))
    core.run_for(20)
    assert core.module.link.counters.overlong == 1
    assert core.module.link.counters.invalid_packets == 1
    assert replies(core) == [(9, 0, 0)]


# --- once and only once ------------------------------------------------------------------------


def test_a_repeated_command_is_answered_from_memory_and_not_done_again(core: CoreBoard) -> None:
    started(core)
    address = REGISTERS["energy_threshold"].address
    core.command("write", sequence=7, register=address, value=900)
    core.module.registers.values[list(REGISTERS).index("energy_threshold")] = 123
    assert core.command("write", sequence=7, register=address, value=900)[0] == 0
    assert core.module.link.counters.repeats == 1
    assert core.command("read", sequence=8, register=address)[2] == (123).to_bytes(4, "little")


def test_the_same_number_with_another_payload_is_another_command(core: CoreBoard) -> None:
    started(core)
    address = REGISTERS["energy_threshold"].address
    for value in (900, 901):
        core.command("write", sequence=7, register=address, value=value)
    assert core.module.link.counters.repeats == 0
    assert core.command("read", register=address)[2] == (901).to_bytes(4, "little")


def test_hello_is_always_answered_afresh_and_clears_the_memory(core: CoreBoard) -> None:
    started(core)
    core.command("write", sequence=1, register=REGISTERS["module"].address, value=12)
    identities = []
    for _ in range(2):
        identities.append(np.frombuffer(core.command("hello", sequence=2)[2], STRUCTS["identity"]))
        core.module.registers.values[list(REGISTERS).index("module")] = 13
    assert [int(identity["module"][0]) for identity in identities] == [12, 13]
    core.command("write", sequence=1, register=REGISTERS["module"].address, value=12)
    assert core.module.link.counters.repeats == 0


# --- the order on the line ---------------------------------------------------------------------


def test_a_reply_waits_for_the_end_of_the_frame_on_the_line_and_goes_before_the_next(
    core: CoreBoard,
) -> None:
    started(core)
    lib, module = core.lib, core.module
    core.board.line_bytes_per_ms = 100
    sent = lib.link_frame_bytes(module, FRAME, len(FRAME), 1)
    assert 0 < sent < len(FRAME)
    core.send("hello", sequence=5)
    out, offset = [], sent
    for _ in range(400):
        core.turn()
        if offset < len(FRAME):
            rest = FRAME[offset:]
            offset += lib.link_frame_bytes(module, rest, len(rest), 1)
        out += core.packets()
        if len(out) >= 2:
            break
    assert out[0] == FRAME
    assert out[1][5] == MessageKind.reply


def test_frames_and_messages_are_whole_on_a_slow_line(core: CoreBoard) -> None:
    """Frames as fast as they go, telemetry each 20 ms, a command now and then: nothing is mixed."""
    started(core)
    core.board.line_bytes_per_ms = 300
    core.command("write", register=REGISTERS["telemetry_ms"].address, value=20)
    frames, kinds, position, begun = 0, [], 0, 0
    for step in range(600):
        core.turn()
        if step % 50 == 0:
            core.send("telemetry", sequence=1000 + step)
        rest = FRAME[position:]
        took = core.lib.link_frame_bytes(core.module, rest, len(rest), 1)
        begun += position == 0 and took > 0
        position = (position + took) % len(FRAME)
        for packet in core.packets():
            if packet == FRAME:
                frames += 1
            else:
                assert packet[:4] == b"TMSC"
                kinds.append(packet[5])
    assert frames >= begun - 1 >= 10
    assert kinds.count(MessageKind.reply) >= 11, "no reply waits longer than a frame"
    assert kinds.count(MessageKind.notice) >= 15


def test_a_line_that_nobody_reads_drops_notices_and_takes_no_command_that_it_cannot_answer(
    core: CoreBoard,
) -> None:
    started(core)
    core.command("write", register=REGISTERS["telemetry_ms"].address, value=20)
    core.board.line_bytes_per_ms = 1
    asked = list(range(100, 140))
    for number in asked:
        core.send("dictionary", sequence=number, offset=0, count=1020)
    core.run_for(5000)
    assert core.module.link.counters.notices_dropped > 0
    answered = core.module.link.counters.commands
    assert answered < len(asked)
    core.board.line_bytes_per_ms = 0
    found = []
    for _ in range(200):
        core.turn()
        found += replies(core)
    assert [number for number, *_ in found] == asked, "none is lost, none is out of order"


def test_a_frame_that_stops_in_the_middle_is_cut_after_a_second(core: CoreBoard) -> None:
    started(core)
    assert core.lib.link_frame_bytes(core.module, FRAME, 500, 0) == 500
    core.send("hello", sequence=5)
    core.run_for(500)
    begun = core.serial_out()
    assert begun and b"\0" not in begun, "the reply waits"
    core.run_for(600)
    cut, *after = (begun + core.serial_out()).split(b"\0")
    assert cut, "the host sees a packet that fails its check"
    assert any(cobs.decode(packet)[5] == MessageKind.reply for packet in after if packet)


# --- the start, and the line's speed ------------------------------------------------------------


def test_hello_comes_each_second_until_the_first_command(core: CoreBoard) -> None:
    core.start()
    core.run_for(3500)
    codes = [int(h["code"]) for h, _ in core.messages() if h["kind"] == MessageKind.notice]
    assert codes.count(HELLO) == 4
    core.command("beat", host_time_ns=1)
    core.run_for(3000)
    codes = [int(h["code"]) for h, _ in core.messages() if h["kind"] == MessageKind.notice]
    assert codes.count(HELLO) == 0 and codes.count(TELEMETRY) >= 5


def test_the_line_begins_with_a_zero_so_that_hello_survives_what_was_cut_before(
    core: CoreBoard,
) -> None:
    core.start()
    core.run_for(2)
    line = b"half a packet of the program before" + core.serial_out()
    *_, hello = [packet for packet in line.split(b"\0") if packet]
    assert cobs.decode(hello)[5] == MessageKind.notice


def test_a_new_speed_comes_after_the_reply_and_stays_when_a_command_comes(core: CoreBoard) -> None:
    started(core)
    core.send("baud", sequence=3, baud=921_600)
    core.board.line_bytes_per_ms = 5
    core.turn()
    assert core.board.baud == DEFINITION["control"]["baud_default"], "the reply is on its way"
    core.run_for(20)
    assert core.board.baud == 921_600
    assert replies(core) == [(3, 0, 0)]
    core.board.line_bytes_per_ms = 0
    core.command("beat", host_time_ns=1)
    core.run_for(2000)
    assert core.board.baud == 921_600


def test_a_new_speed_at_which_nothing_comes_is_given_up_after_a_second(core: CoreBoard) -> None:
    started(core)
    core.command("baud", baud=9600)
    core.run_for(20)
    core.serial_in(b"\xf0\xf0\x00garbage at another speed\x00")
    assert core.board.baud == 9600
    core.run_for(900)
    assert core.board.baud == 9600
    core.run_for(200)
    assert core.board.baud == DEFINITION["control"]["baud_default"]
    assert core.command("hello")[0] == 0


@pytest.mark.parametrize("baud", [0, 9599, 4_000_001, 2**32 - 1])
def test_a_speed_out_of_range_is_refused_and_nothing_changes(core: CoreBoard, baud: int) -> None:
    assert started(core).command("baud", baud=baud)[:2] == (Status.bad_value, 0)
    core.run_for(20)
    assert core.board.baud == DEFINITION["control"]["baud_default"]


def test_a_reset_waits_for_its_reply_but_not_for_ever(core: CoreBoard) -> None:
    started(core)
    core.board.line_bytes_per_ms = 1
    core.send("reset")
    assert core.run_for(15) == 15
    assert core.board.resets == 0
    core.run_for(50)
    assert core.board.resets == 1
    core.start(1)
    core.board.line_bytes_per_ms = 1
    for number in range(8):
        core.send("dictionary", sequence=number + 50, count=1020)
    core.send("reset")
    core.board.line_bytes_per_ms = 400
    core.run_for(3000)
    assert core.board.resets == 1


def test_notices_are_numbered(core: CoreBoard) -> None:
    core.start()
    core.run_for(3000)
    numbers = [int(h["sequence"]) for h, _ in core.messages() if h["kind"] == MessageKind.notice]
    assert numbers == list(range(len(numbers)))
    assert {int(code) for code in NOTICES} >= {HELLO, TELEMETRY}


def test_no_order_outlives_a_reset(core: CoreBoard) -> None:
    """What stood on the line behind `reset` was said to the program before."""
    core.start()
    telemetry_ms = REGISTERS["telemetry_ms"]
    core.send("reset")
    core.send("write", register=telemetry_ms.address, value=777)
    core.run_for(50)
    assert core.board.resets == 1
    core.start(int(ResetCause.software))
    core.run_for(50)
    place = list(REGISTERS).index("telemetry_ms")
    assert core.module.registers.values[place] == telemetry_ms.default
