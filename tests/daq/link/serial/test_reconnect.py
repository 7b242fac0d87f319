"""Lines that break, stall, fall silent and come back: told, counted, and nothing hangs."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from daq.link.serial.line_errors import LinkLost, NoAnswer, SerialLinkError
from daq.link.serial.session import ModuleSession
from daq.service.watching.alarm_desk import AlarmDesk
from hw.wire.control import State
from rigs.firmware.native_modules import begin_run, bring_up, feed, mark, period_words, wait_until
from rigs.wire_proxy import WireProxy

pytestmark = pytest.mark.firmware


@pytest.fixture
def proxy(machine, tmp_path):
    with WireProxy(machine.serial_url, tmp_path) as proxy:
        yield proxy


@pytest.fixture
def line(proxy, journal, tmp_path):
    """A session over the proxy; ``links`` collects what on_link was told."""
    links: list[tuple[bool, str]] = []
    with ModuleSession.open(
        proxy.url,
        module=3,
        journal=journal.tell,
        transcripts=tmp_path / "transcripts",
        on_link=lambda connected, words: links.append((connected, words)),
        silence_s=1.0,
    ) as session:
        session.links = links
        yield session
        assert session.connection.poller.failures == 0, session.connection.poller.last_failure


def test_unplugging_is_noticed_at_once_and_plugging_in_again_goes_on(line, proxy, journal):
    proxy.unplug()
    wait_until(lambda: not line.connected, within_s=2)
    with pytest.raises(LinkLost, match="is not connected"):
        line.command("telemetry")
    proxy.plug_in()
    wait_until(lambda: line.connected)
    assert line.ask_telemetry()["state"] == State.idle
    assert [connected for connected, _ in line.links] == [True, False, True]
    assert line.statistics.reconnects == 1
    assert line.starts == 1  # the module went on: nothing to set up again
    assert any(entry.startswith("alarm:") and "link lost" in entry for entry in journal)
    assert any("connected again" in entry for entry in journal)


def test_the_alarm_of_a_lost_line_stands_until_the_module_answers_again(line, proxy, journal):
    desk = AlarmDesk()
    proxy.unplug()
    wait_until(lambda: not line.connected, within_s=2)
    proxy.plug_in()
    wait_until(lambda: any("connected again" in entry for entry in journal))
    stood = []
    for entry in journal.lines:
        desk.take(entry)
        stood.append([(alarm.id, alarm.stands) for alarm in desk.shown()])
    assert [("module.link_lost", True)] in stood
    assert stood[-1] == [("module.link_lost", False)], "somebody has to answer yet"


def test_a_transcript_is_dumped_when_the_link_is_lost(line, proxy, tmp_path):
    line.read("module")
    proxy.unplug()
    wait_until(lambda: list((tmp_path / "transcripts").glob("*.txt")))
    time.sleep(0.1)
    (dump,) = (tmp_path / "transcripts").iterdir()
    text = dump.read_text()
    assert "link lost" in text.splitlines()[0]
    assert "command read #" in text
    assert "reply read #" in text


def test_the_gap_of_an_unplugged_line_is_accounted_and_told(line, machine, proxy, journal):
    bring_up(line)
    begin_run(line)
    rng = np.random.default_rng(2)
    for period in range(40):
        feed(machine, period_words(rng, 50))
        feed(machine, mark(period))
    wait_until(lambda: line.books.frames == 40)
    proxy.unplug()
    for period in range(40, 400):  # more than the line's buffers hold: the module must drop
        feed(machine, period_words(rng, 200))
        feed(machine, mark(period))
    time.sleep(1.5)
    proxy.plug_in()
    wait_until(lambda: line.connected)
    for period in range(400, 420):
        feed(machine, period_words(rng, 50))
        feed(machine, mark(period, last=period == 419))
    wait_until(lambda: line.command("report")["ended"] != 0)
    line.close_books()
    report = line.command("report")
    books = line.books
    assert books.frames + books.lost_frames == 420
    assert report["frames"] + report["frames_dropped"] == 420
    assert books.words + books.lost_words == report["words"] == 40 * 50 + 360 * 200 + 20 * 50
    if books.lost_frames:
        wait_until(lambda: any("data frames lost, with" in entry for entry in journal))


def test_a_port_that_vanishes_while_commands_are_written_is_a_named_error(line, proxy):
    errors: list[Exception] = []

    def keep_asking() -> None:
        until = time.monotonic() + 5.0
        while not errors and time.monotonic() < until:
            try:
                line.command("channels_write", bytes(1000), first=0, count=500)
            except SerialLinkError as error:
                errors.append(error)

    asking = threading.Thread(target=keep_asking)
    asking.start()
    time.sleep(0.1)
    proxy.unplug()
    asking.join(10)
    assert not asking.is_alive()
    assert isinstance(errors[0], LinkLost)
    assert str(proxy.url) in str(errors[0])


def test_a_line_that_stalls_ends_in_no_answer_and_goes_on_by_itself(line, proxy):
    proxy.stall(0.7)
    with pytest.raises(NoAnswer, match=r"no reply within 2 × 0\.1 s"):
        line.command("telemetry", timeout_s=0.1, tries=2)
    assert line.connected
    wait_until(lambda: _answers(line))
    assert line.statistics.late_replies >= 1
    assert line.statistics.reconnects == 0


def _answers(session: ModuleSession) -> bool:
    try:
        session.command("telemetry")
    except SerialLinkError:
        return False
    return True


def test_a_module_that_falls_silent_is_lost_and_found_again(line, machine, journal):
    machine.power(False)
    wait_until(lambda: not line.connected)
    assert any("no reply for" in entry or "no reply within" in entry for entry in journal)
    machine.power(True)
    wait_until(lambda: line.connected)
    assert line.starts == 2
    assert any("started anew (power_on)" in entry for entry in journal)


def test_a_machine_that_ends_is_lost_and_one_that_starts_at_another_port_is_found(
    native_image, tmp_path
):
    from hw.machines.native import Native

    with (
        Native(folder=tmp_path, image=native_image) as machine,
        ModuleSession.open(lambda: machine.serial_url) as session,
    ):
        machine.stop()
        wait_until(lambda: not session.connected)
        machine.start()
        wait_until(lambda: session.connected)
        assert session.starts == 2
        assert session.statistics.url == machine.serial_url
        session.command("telemetry")


def test_a_tcp_line_is_lost_and_found_again(native_image, tmp_path):
    from hw.machines.native import Native

    with Native(folder=tmp_path, image=native_image, serial="tcp") as machine:
        assert machine.serial_url.startswith("socket://")
        with ModuleSession.open(lambda: machine.serial_url) as session:
            session.command("telemetry")
            machine.stop()
            wait_until(lambda: not session.connected)
            machine.start()
            wait_until(lambda: session.connected)
            session.command("telemetry")


def test_closing_a_session_in_the_middle_of_getting_back_ends_it(line, proxy):
    proxy.unplug()
    wait_until(lambda: not line.connected)
    line.close()
    assert not [t for t in threading.enumerate() if t.name == "serial-link-recovery"]
