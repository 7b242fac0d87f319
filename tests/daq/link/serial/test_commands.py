"""Every command of a real module, over a real pty."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from daq.link.serial.line_errors import CommandRefused, PortError
from daq.link.serial.session import ModuleSession
from hw.wire.control import COMMANDS, REGISTERS, BiasState, DataPath, Slot, State, Status
from hw.wire.protocol import FLAG_FIRST, FLAG_LAST, TIME_MASK
from oracles.frame_reader import open_frame
from rigs.firmware.native_modules import (
    RUN_TAG,
    begin_run,
    bring_up,
    feed,
    mark,
    period_words,
    wait_until,
)

pytestmark = pytest.mark.firmware


def test_hello_dictionary_and_telemetry(session, machine):
    assert int(session.identity["build"]) == machine.image.build_id
    assert session.identity["slot"] == Slot.factory
    assert session.dictionary.differences() == []
    telemetry = session.ask_telemetry()
    assert telemetry["state"] == State.idle
    assert int(telemetry["supply_mV"]) == pytest.approx(5000, abs=50)


def test_every_register_reads_and_writes_within_its_bounds(session, machine):
    machine.window.world["supply_mV"] = 12_500  # at no bound of a trip does anything trip
    machine.window.world["ambient_cC"] = -1000
    for name, spec in REGISTERS.items():
        if spec.read_only:
            with pytest.raises(CommandRefused) as refused:
                session.write(name, 1)
            assert refused.value.status == Status.read_only
            continue
        for value in (spec.min, spec.max, spec.default):
            assert session.write(name, value) == value
            assert session.read(name) == value
        for value in (spec.min - 1, spec.max + 1):
            with pytest.raises(CommandRefused) as refused:
                session.write(name, value)
            assert refused.value.status == Status.bad_value
        assert session.read(name) == spec.default


def test_save_and_defaults(session):
    session.write("energy_threshold", 777)
    session.command("save")
    session.command("defaults")
    assert session.read("energy_threshold") == REGISTERS["energy_threshold"].default
    session.reset()
    assert session.read("energy_threshold") == 777


def test_channel_gains_come_back_as_written(session):
    gains = np.arange(500, dtype="<u2") + 16000
    first = session.command("channels_write", gains.tobytes(), first=100, count=500)
    assert session.command("channels_read", first=100, count=500).tail == gains.tobytes()
    assert session.read("channels_checksum") & 0xFFFFFFFF == first["checksum"]


def test_bias_ramps_on_and_off(session):
    session.write("bias_slew", 100_000)
    session.command("bias", target_mV=30_000)
    on = session.wait_for(lambda t: t["bias_state"] == BiasState.on, within_s=5, what="bias on")
    assert int(on["bias_mV"]) == pytest.approx(30_000, abs=300)
    session.command("bias", target_mV=0)
    session.wait_for(lambda t: t["bias_state"] == BiasState.off, within_s=5, what="bias off")


@pytest.mark.parametrize("path", [DataPath.serial, DataPath.ring, DataPath.ethernet])
def test_a_run_brings_every_word_on_every_data_path(native_image, tmp_path, path):
    from daq.link.serial.datagrams import DatagramReceiver
    from daq.link.serial.memory_ring import RingReceiver
    from hw.machines.native import Native

    frames: list[bytes] = []
    handed: list[ModuleSession] = []
    receiver = DatagramReceiver(0, take=lambda frame: handed[0].connection.take_frame(frame))
    with (
        Native(folder=tmp_path, image=native_image, datagram_port=receiver.port) as machine,
        ModuleSession.open(machine.serial_url, on_frame=frames.append) as session,
    ):
        handed.append(session)
        ring = RingReceiver(machine.window, take=session.connection.take_frame)
        member = {DataPath.ethernet: receiver, DataPath.ring: ring}.get(path)
        if member is not None:
            session.connection.poller.add(member)
        bring_up(session, path=path)
        begin_run(session)
        rng = np.random.default_rng(1)
        sent = [period_words(rng, hits) for hits in (0, 1, 500, 3000, 0)]
        for period, words in enumerate(sent):
            feed(machine, words)
            feed(machine, mark(period, last=period == 4))
        wait_until(lambda: len(frames) == 5)
        assert session.close_books() == 0
        if member is not None:
            session.connection.poller.remove(member)
    receiver.close()
    for period, (frame, words) in enumerate(zip(frames, sent, strict=True)):
        header, got = open_frame(frame)
        assert (int(header["sequence"]), int(header["frame_id"])) == (period, period)
        assert int(header["run_tag"]) == RUN_TAG
        assert got.tolist() == words.tolist()
        assert bool(header["flags"] & FLAG_FIRST) == (period == 0)
        assert bool(header["flags"] & FLAG_LAST) == (period == 4)
        assert (got & np.uint64(TIME_MASK)).max(initial=0) < 1 << 28
    assert (session.books.frames, session.books.words) == (5, 3501)


def test_stop_ends_with_the_period_and_abort_at_once(session, machine):
    ended = []
    session.connection._on_notice = lambda name, record: (
        ended.append(record) if name == "run_ended" else None
    )
    bring_up(session)
    begin_run(session)
    feed(machine, mark(0))
    wait_until(lambda: session.books.frames == 1)
    session.command("stop")
    assert session.ask_telemetry()["state"] == State.stopping
    feed(machine, mark(1))
    wait_until(lambda: ended)
    assert (int(ended[0]["frames"]), int(ended[0]["ended"])) == (2, 1)
    begin_run(session, run_tag=9)
    session.command("abort")
    wait_until(lambda: len(ended) == 2)
    assert (int(ended[1]["run_tag"]), int(ended[1]["ended"])) == (9, 4)


def test_fault_log_counts_and_tells_the_newest(session, machine):
    machine.window.world["interlock_closed"] = 0
    session.wait_for(lambda t: t["state"] == State.fault, within_s=5, what="the fault")
    entry = session.command("fault_log", index=0)
    assert entry["fault"] == 3
    assert entry.detail >= 1


def test_speed_changes_and_the_session_goes_on(session):
    for baud in (921_600, 115_200):
        session.set_baud(baud)
        assert session.statistics.baud == baud
        session.command("telemetry")


def test_a_speed_that_the_module_does_not_do_changes_nothing(session):
    with pytest.raises(CommandRefused) as refused:
        session.set_baud(5)
    assert refused.value.status == Status.bad_value
    assert session.statistics.baud == 115_200
    session.command("telemetry")


def test_a_speed_that_the_line_does_not_carry_is_given_up_on_both_sides(session, monkeypatch):
    real = session.connection._line.set_baud

    def carries_only_the_old_one(baud):
        if baud != 115_200:
            raise PortError("this line does not")
        real(baud)

    monkeypatch.setattr(session.connection._line, "set_baud", carries_only_the_old_one)
    with pytest.raises(PortError, match=r"921600 baud does not work.*115200 is in force again"):
        session.set_baud(921_600)
    session.command("telemetry")
    assert session.statistics.baud == 115_200


def test_reset_comes_back_with_one_more_start(session, journal):
    before = int(session.identity["resets"])
    session.command("telemetry")
    assert int(session.reset()["resets"]) == before + 1
    assert session.starts == 2
    assert any("started anew (software)" in line for line in journal)


def test_beats_keep_the_module_content_and_fill_the_statistics(session):
    session.command("beat", host_time_ns=1)
    session.write("host_timeout_ms", 1000)
    session.command("bias", target_mV=20_000)
    time.sleep(1.6)  # longer than the module's patience: beats alone kept it
    telemetry = session.ask_telemetry()
    assert telemetry["fault"] == 0
    state = session.statistics.link_state()
    assert state.connected
    assert 0.0 < state.round_trip_ms[0] <= state.round_trip_ms[1]
    assert (state.retransmits, state.invalid_packets, state.reconnects) == (0, 0, 0)


def test_every_command_of_the_definition_was_tried_here_or_in_the_tests_of_updates():
    text = "".join(
        path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py")
    )
    tried = {name for name in COMMANDS if f'"{name}"' in text}
    by_methods = {"read", "write", "hello", "dictionary", "baud", "run", "reset"}
    assert set(COMMANDS) - tried - by_methods == set()
