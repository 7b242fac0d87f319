"""Commands and registers of the firmware: what is refused, with which status, and that it is."""

from __future__ import annotations

import json
import struct
from typing import Any

import crc32c
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.generate.dictionary import dictionary_json
from hw.wire.control import (
    COMMANDS,
    MAX_PAYLOAD,
    REGISTERS,
    SCHEMA_CRC,
    STRUCTS,
    CommandSpec,
    DataPath,
    RegisterSpec,
    State,
    Status,
)
from hw.wire.protocol import VERSION as FRAMES_VERSION
from rigs.firmware.core_board import CoreBoard

pytestmark = pytest.mark.firmware

each_register = pytest.mark.parametrize("register", REGISTERS.values(), ids=lambda r: r.name)
REGISTERS_WITH_STATE = [r for r in REGISTERS.values() if not r.read_only]
each_writable = pytest.mark.parametrize("register", REGISTERS_WITH_STATE, ids=lambda r: r.name)
each_command = pytest.mark.parametrize("spec", COMMANDS.values(), ids=lambda c: c.name)
DATA_ROOM = MAX_PAYLOAD - 4
FORBIDDEN = [
    pytest.param(spec, state, id=f"{spec.name}-{state.name}")
    for spec in COMMANDS.values()
    for state in State
    if spec.states and state.name not in spec.states
]


@pytest.fixture
def idle(core: CoreBoard) -> CoreBoard:
    """A module that has started and waits for orders; a supply for every supply_min_mV."""
    core.set_adc("supply_mV", 13_000)
    core.start()
    core.run_for(2)
    assert core.module.state == State.idle
    return core


def as_int(data: bytes) -> int:
    """Return a register's value in a reply."""
    return int.from_bytes(data, "little", signed=True)


# --- registers --------------------------------------------------------------------------------


@each_writable
def test_a_register_begins_at_its_default(idle: CoreBoard, register: RegisterSpec) -> None:
    status, detail, value = idle.command("read", register=register.address)
    assert (status, detail, as_int(value)) == (Status.ok, 0, register.default)


@each_register
def test_bounds_are_taken_and_what_lies_beyond_is_refused(
    idle: CoreBoard, register: RegisterSpec
) -> None:
    for value in (register.min, register.max):
        reply = idle.command("write", register=register.address, value=value)
        if register.read_only:
            assert reply == (Status.read_only, register.address, b"")
        else:
            assert (reply[0], as_int(reply[2])) == (Status.ok, value)
    for value in (register.min - 1, register.max + 1):
        if register.read_only or not -(2**31) <= value < 2**31:
            continue
        reply = idle.command("write", register=register.address, value=value)
        assert reply == (Status.bad_value, 4, b"")
        _, _, kept = idle.command("read", register=register.address)
        assert as_int(kept) == register.max


@each_register
def test_what_is_written_in_idle_only_is_refused_in_another_state(
    idle: CoreBoard, register: RegisterSpec
) -> None:
    idle.module.state = int(State.running)
    reply = idle.command("write", register=register.address, value=register.default)
    if register.read_only:
        assert reply[0] == Status.read_only
    elif register.idle:
        assert reply == (Status.bad_state, State.running, b"")
    else:
        assert reply[0] == Status.ok


@given(address=st.integers(0, 65535))
def test_an_address_that_no_register_has_is_refused(core_library: Any, address: int) -> None:
    index = core_library.lib.register_index(address)
    addresses = [register.address for register in REGISTERS.values()]
    assert index == (addresses.index(address) if address in addresses else -1)


def test_the_comparator_is_told_at_once(idle: CoreBoard) -> None:
    assert idle.board.comparator_mV == REGISTERS["comparator_mV"].default
    idle.command("write", register=REGISTERS["comparator_mV"].address, value=77)
    assert idle.board.comparator_mV == 77
    idle.command("defaults")
    assert idle.board.comparator_mV == REGISTERS["comparator_mV"].default


def test_defaults_set_all_persistent_registers(idle: CoreBoard) -> None:
    for register in REGISTERS_WITH_STATE:
        idle.command("write", register=register.address, value=register.max)
    assert idle.command("defaults")[0] == Status.ok
    for register in REGISTERS_WITH_STATE:
        assert as_int(idle.command("read", register=register.address)[2]) == register.default


def test_saved_registers_survive_a_reset_and_others_do_not(idle: CoreBoard) -> None:
    path, threshold = REGISTERS["data_path"].address, REGISTERS["energy_threshold"].address
    idle.command("write", register=path, value=int(DataPath.ring))
    assert idle.command("save")[0] == Status.ok
    idle.command("write", register=threshold, value=777)
    idle.start(1)
    assert as_int(idle.command("read", register=path)[2]) == DataPath.ring
    default = REGISTERS["energy_threshold"].default
    assert as_int(idle.command("read", register=threshold)[2]) == default


# --- length, state, value -----------------------------------------------------------------------


def payload_of(spec: CommandSpec) -> bytes:
    """Zeros of the right length."""
    return bytes(spec.request.itemsize)


@each_command
def test_another_length_is_refused_in_every_state(idle: CoreBoard, spec: CommandSpec) -> None:
    right = spec.request.itemsize
    wrong = {right - 1, right + 1, right + 3} if not spec.request_tail else {right - 1}
    if spec.request_tail == "u2":
        wrong.add(right + 1)
    for length in sorted(n for n in wrong if n >= 0):
        status, detail, rest = raw_command(idle, spec.code, bytes(length))
        assert (status, detail, rest) == (Status.bad_length, right, b"")


@pytest.mark.parametrize(("spec", "state"), FORBIDDEN)
def test_a_command_is_refused_where_its_state_is_not(
    idle: CoreBoard, spec: CommandSpec, state: State
) -> None:
    idle.module.state = int(state)
    idle.module.faults.latched = 3 if state == State.fault else 0
    status, detail, _ = raw_command(idle, spec.code, payload_of(spec))
    if state == State.fault:
        assert (status, detail) == (Status.faulted, 3)
    else:
        assert (status, detail) == (Status.bad_state, state)


@given(code=st.integers(0, 65535), payload=st.binary(max_size=30))
def test_a_code_of_no_command_is_refused(core_library: Any, code: int, payload: bytes) -> None:
    if code in {spec.code for spec in COMMANDS.values()}:
        return
    core = CoreBoard(core_library)
    core.start()
    assert raw_command(core, code, payload) == (Status.unknown_command, code, b"")
    assert core.module.link.counters.refused == 1


def raw_command(core: CoreBoard, code: int, payload: bytes) -> tuple[int, int, bytes]:
    """Call the dispatcher with a payload of any length, without the line."""
    reply = core.ffi.new("uint8_t[]", DATA_ROOM)
    kept = core.ffi.from_buffer(payload)
    command = core.ffi.new("struct command *")
    command.code, command.bytes, command.payload, command.reply = code, len(payload), kept, reply
    status = core.lib.command_do(core.module, command)
    core.module.link.counters.refused += status != Status.ok
    count = command.reply_bytes if status == Status.ok else 0
    return status, command.detail, bytes(core.ffi.buffer(reply, count))


# --- channels -----------------------------------------------------------------------------------


def test_gains_are_read_back_as_written_and_their_checksum_is_that_of_all(idle: CoreBoard) -> None:
    gains = np.full(4096, 16384, "<u2")
    written = np.arange(500, dtype="<u2") * 60
    gains[1000:1500] = written
    status, _, checksum = idle.command("channels_write", written.tobytes(), first=1000, count=500)
    assert status == Status.ok
    assert int.from_bytes(checksum, "little") == crc32c.crc32c(gains.tobytes())
    _, _, found = idle.command("channels_read", first=990, count=510)
    assert found == gains[990:1500].tobytes()
    register = REGISTERS["channels_checksum"].address
    assert idle.command("read", register=register)[2] == checksum


@pytest.mark.parametrize(
    ("first", "count", "tail", "expected"),
    [
        (0, 2, bytes(2), (Status.bad_length, 8)),
        (0, 0, b"", (Status.bad_value, 2)),
        (4095, 2, bytes(4), (Status.bad_value, 0)),
        (65535, 1, bytes(2), (Status.bad_value, 0)),
    ],
)
def test_gains_that_do_not_fit_are_refused(
    idle: CoreBoard, first: int, count: int, tail: bytes, expected: tuple[int, int]
) -> None:
    before = idle.lib.channels_checksum(idle.module)
    assert idle.command("channels_write", tail, first=first, count=count)[:2] == expected
    assert idle.lib.channels_checksum(idle.module) == before


@pytest.mark.parametrize(
    ("first", "count", "detail"), [(0, 0, 2), (0, 511, 2), (0, 65535, 2), (4000, 97, 0)]
)
def test_reading_gains_that_are_not_there_is_refused(
    idle: CoreBoard, first: int, count: int, detail: int
) -> None:
    reply = idle.command("channels_read", first=first, count=count)
    assert reply == (Status.bad_value, detail, b"")


# --- identity, dictionary, clocks ---------------------------------------------------------------


def test_the_identity_says_what_runs(idle: CoreBoard) -> None:
    identity = np.frombuffer(idle.command("hello")[2], STRUCTS["identity"])[0]
    data = dictionary_json()
    assert identity["schema"] == SCHEMA_CRC
    assert identity["protocol_version"] == FRAMES_VERSION
    assert identity["build"] == idle.library.build_id
    assert identity["dictionary_bytes"] == len(data)
    assert identity["dictionary_crc"] == crc32c.crc32c(data)
    assert (identity["state"], identity["fault"], identity["confirmed"]) == (State.idle, 0, 1)


def served_dictionary(core: CoreBoard, piece: int) -> bytes:
    """Fetch the dictionary in pieces, as a host does."""
    total = int(np.frombuffer(core.command("hello")[2], STRUCTS["identity"])["dictionary_bytes"][0])
    data = b""
    while len(data) < total:
        status, _, got = core.command("dictionary", offset=len(data), count=piece)
        assert status == Status.ok and 0 < len(got) <= piece
        data += got
    return data


@pytest.mark.parametrize("piece", [DATA_ROOM, 997, 64])
def test_the_dictionary_is_served_whole(idle: CoreBoard, piece: int) -> None:
    assert served_dictionary(idle, piece) == dictionary_json()


def test_the_dictionarys_end_is_no_error_and_beyond_it_is(idle: CoreBoard) -> None:
    end = len(dictionary_json())
    assert idle.command("dictionary", offset=end, count=10) == (Status.ok, 0, b"")
    assert idle.command("dictionary", offset=end - 3, count=2**32 - 1)[2] == dictionary_json()[-3:]
    assert idle.command("dictionary", offset=end + 1, count=10) == (Status.bad_value, 0, b"")


def test_a_tool_that_knows_the_dictionary_alone_drives_the_module(idle: CoreBoard) -> None:
    """Layouts, codes and bounds come from what the module served, from nothing of ours."""
    told = json.loads(served_dictionary(idle, 1000))
    commands = {entry["name"]: entry for entry in told["commands"]}
    types = {"u1": "B", "u2": "H", "u4": "I", "u8": "Q", "i4": "i"}

    def request(name: str, **values: int) -> tuple[int, bytes]:
        layout = commands[name]["request"]
        numbers = [values.get(field, 0) for field, _ in layout]
        body = struct.pack("<" + "".join(types[kind] for _, kind in layout), *numbers)
        status, _, reply = raw_command(idle, commands[name]["code"], body)
        return status, reply

    ok = told["enumerations"]["status"]["ok"]
    for register in told["registers"]:
        if "read_only" in register["flags"]:
            continue
        status, _ = request("write", register=register["address"], value=register["max"])
        assert status == ok, register["name"]
        status, value = request("read", register=register["address"])
        assert (status, as_int(value)) == (ok, register["max"])
    assert request("stop")[0] == told["enumerations"]["status"]["bad_state"]


def test_beat_returns_the_hosts_clock_and_the_modules(idle: CoreBoard) -> None:
    now = 2**63 + 12345
    _, _, reply = idle.command("beat", host_time_ns=now)
    host, counter = np.frombuffer(reply, "<u8")
    assert host == now
    assert int(counter) == idle.board.counter
