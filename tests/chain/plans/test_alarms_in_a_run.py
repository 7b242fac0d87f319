"""Alarms of a real daq: told to every display, answered by whoever may operate, kept till then."""

from __future__ import annotations

import json
from typing import Any

import pytest

from daq.cli import main
from daq.client.client import ClientError, DisplayClient
from daq.service.watching.alarm_desk import ANSWERED
from hw.messages.telemetry import Alarm
from rigs.acquisition_process import wait_until

pytestmark = pytest.mark.processes


class Display:
    """One of several displays, which keeps its source alive while it looks."""

    def __init__(self, daq: Any) -> None:
        self._client = DisplayClient(daq.endpoints)
        self.alarms: list[Alarm] = []

    def look(self) -> list[Alarm]:
        """Return the alarms of the newest telemetry."""
        telemetry = self._client.telemetry(timeout_s=1.0)
        if telemetry is not None:
            self.alarms = telemetry.alarms
        return self.alarms

    def close(self) -> None:
        """Close its sockets."""
        self._client.close()


def test_a_lost_source_is_an_alarm_until_it_is_back_and_somebody_has_answered(
    acquisition: Any, source: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    daq = acquisition()
    modules = source(daq)
    folder = daq.start_run(modules)
    modules.send_periods(5)
    displays = [Display(daq), Display(daq)]

    def both(stands: bool) -> bool:
        found = [[a for a in d.look() if a.id == "source.lost"] for d in displays]
        return all(len(alarms) == 1 and alarms[0].stands is stands for alarms in found)

    try:
        wait_until(lambda: both(True), "the alarm, on both displays")
        alarm = next(a for a in displays[0].alarms if a.id == "source.lost")
        assert (alarm.values, alarm.priority) == ({"kind": "test"}, "high")

        def is_back() -> None:
            modules.link.poll()
            modules.send_periods(1)

        def back() -> bool:
            is_back()
            return both(False)

        def answered() -> bool:
            is_back()
            looks = [display.look() for display in displays]
            return not any(looks)

        wait_until(back, "the cause's end")
        assert main(["alarms", "--endpoint", daq.endpoints.base]) == 0
        listed = capsys.readouterr().out
        assert "source lost: test has fallen silent" in listed
        assert "cause gone" in listed
        assert "do: look at the source's process" in listed
        assert main(["alarms", "--ack", "--endpoint", daq.endpoints.base, "--json"]) == 0
        wait_until(answered, "the answer, on both displays")
    finally:
        for display in displays:
            display.close()
    with pytest.raises(ClientError, match="no alarm has the number"):
        daq.control.call("acknowledge", numbers=[alarm.number])
    modules.finish()
    daq.wait_for_state("closed")
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    kept = next(line for line in lines if line["id"] == "source.lost")
    assert kept["values"] == {"kind": "test"}
    answers = [line for line in lines if line["id"] == ANSWERED]
    assert "source.lost" in {line["values"]["of"] for line in answers}
    assert answers[0]["text"].startswith("acknowledged by ")
