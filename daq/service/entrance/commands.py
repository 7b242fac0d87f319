"""What a client asks for by a command, done by the daq's parts; each is answered once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from daq.errors import DaqError, RunError
from daq.service.arming import Arming
from daq.service.data_sources import Sources
from daq.service.entrance.control_desk import ControlDesk
from daq.service.entrance.control_lease import ControlLease
from daq.service.entrance.door import Door
from daq.service.entrance.given_paths import GivenPaths
from daq.service.entrance.refusal import Refusal, refused
from daq.service.imager_link import ImagerLink
from daq.service.relays import FaultRelay, ModuleRelay
from daq.service.run_life import RunLife
from daq.service.run_regions import keep_regions
from daq.service.watching.alarm_desk import alarm_numbers, shelved_s
from hw.messages.commands import Command, Reply
from hw.messages.sort_settings import SettingsError
from hw.notices.catalogue import notice

MOST_WAITING = 256
MOST_ANSWERS = 300
"""Of alarms, more than there can be: each answer is kept."""
REFUSALS = 50
"""That are journalled in 10 s; what is beyond is counted."""

UNDER_WAY = ("armed", "running", "stopping")


class Commands:
    """Serves the control socket; what a stop asks for is answered when the run has ended, by
    :meth:`answer_waiting`.

    Parameters
    ----------
    desk : receives commands and sends replies
    life, sources, imager : what commands act on and tell of
    door : who may give which command
    given : paths that clients may name
    leave : ends the service

    Attributes
    ----------
    lease : who holds control
    """

    def __init__(
        self,
        desk: ControlDesk,
        *,
        life: RunLife,
        sources: Sources,
        imager: ImagerLink,
        door: Door,
        given: GivenPaths,
        leave: Callable[[], None],
    ) -> None:
        self.lease = ControlLease(life.journal)
        self._desk, self._life, self._sources, self._imager = desk, life, sources, imager
        self._door, self._given, self._leave = door, given, leave
        self._arming = Arming(life, given)
        self._waiting: list[tuple[bytes, int]] = []
        self._relays: dict[str, FaultRelay | ModuleRelay] = {
            "fault": FaultRelay(sources, life.journal, desk.reply),
            "module": ModuleRelay(sources, life.journal, desk.reply),
        }
        self._commands: dict[str, Callable[[Command], dict[str, Any] | None]] = {
            "ping": lambda command: {},
            "arm": self._arm,
            "start": lambda command: {"run": str(life.start().folder)},
            "stop": lambda command: life.stop(),
            "reset": self._reset,
            "status": self._status,
            "live": self._image_as,
            "regions": self._regions,
            "mark": self._mark,
            "signal": lambda command: life.take_signal(command.args),
            "acknowledge": self._acknowledge,
            "shelve": self._shelve,
            "shutdown": self._shutdown,
        }

    def serve(self) -> None:
        """Obey what has come since the last turn."""
        self.lease.look()
        self._desk.serve(self._obey)

    def poll_relays(self) -> None:
        """Pass on what modules and emulators answered to orders."""
        for relay in self._relays.values():
            relay.poll()

    def _obey(self, identity: bytes, command: Command) -> Reply:
        if shut := self._door.admit(identity, command):
            return Reply(id=command.id, status="failed", reason=shut)
        try:
            if command.name == "control":
                share = self.lease.act(self._door.key_of(identity), command)
                return Reply(id=command.id, status="done", result=share)
            if why := self.lease.why_not(self._door.key_of(identity), command):
                raise Refusal(why)
            if command.name in self._relays:
                self._relays[command.name].order(identity, command)
                return Reply(id=command.id, status="accepted")
            result = self._commands[command.name](command)
        except (DaqError, SettingsError, ValueError) as error:
            line = notice("command.refused", command=command.name, why=error)
            self._life.journal.tell(line, kind="command refused", burst=REFUSALS)
            return refused(command.id, error)
        except Exception as error:  # noqa: BLE001  (a defect of ours must not take the daq down)
            line = notice("defect", where=f"internal error in {command.name}", error=repr(error))
            self._life.journal.tell(line, kind=f"internal error in {command.name}")
            words = line.text
            return Reply(id=command.id, status="failed", reason=words)
        if result is None and len(self._waiting) >= MOST_WAITING:
            words = f"{MOST_WAITING} commands wait for the end of the run already"
            return Reply(id=command.id, status="failed", reason=words)
        if result is None:
            self._waiting.append((identity, command.id))
            return Reply(id=command.id, status="accepted")
        return Reply(id=command.id, status="done", result=result)

    def answer_waiting(self, well: bool, words: str) -> None:
        """Answer those who asked for the run's end, which has come; ``words`` has run or reason."""
        for identity, number in self._waiting:
            if well:
                self._desk.reply(identity, Reply(id=number, status="done", result={"run": words}))
            else:
                self._desk.reply(identity, Reply(id=number, status="failed", reason=words))
        self._waiting.clear()

    def _arm(self, command: Command) -> dict[str, Any]:
        run = self._arming.arm(command.args)
        return {"run": str(run.folder), "name": run.name}

    def _reset(self, command: Command) -> dict[str, Any]:
        self._life.reset()
        return {}

    def _status(self, command: Command) -> dict[str, Any]:
        life = self._life
        return {
            "state": life.state,
            "reason": life.reason,
            "run": str(life.run.folder) if life.run else "",
            "sources": [source.hello.kind for source in self._sources.present],
            "not_ready": self._sources.not_ready(),
            "labels": self._sources.labels,
            "remarks": self._sources.remarks,
            "imager": self._imager.present,
            "imager_run": self._imager.run,
        }

    def _image_as(self, command: Command) -> dict[str, Any]:
        self._given.check_activity(str(command.args.get("activity", "")))
        result: dict[str, Any] = msgspec.to_builtins(self._life.image_as(command.args))
        return result

    def _regions(self, command: Command) -> dict[str, Any]:
        run = self._life.run
        if run is None:
            raise Refusal(notice("refused.no_run"))
        return {"regions": keep_regions(run.folder, command.args)}

    def _mark(self, command: Command) -> dict[str, Any]:
        result: dict[str, Any] = msgspec.to_builtins(self._life.mark(command.args.get("text")))
        return result

    def _acknowledge(self, command: Command) -> dict[str, Any]:
        who = command.client or "a client"
        answered = self._life.alarms.acknowledge(alarm_numbers(command.args), who)
        for alarm in answered:
            line = notice("alarm.acknowledged", who=who, alarm=alarm.text, of=alarm.id)
            self._life.journal.tell(line, kind="acknowledged", burst=MOST_ANSWERS)
        return {"acknowledged": [alarm.number for alarm in answered]}

    def _shelve(self, command: Command) -> dict[str, Any]:
        seconds = shelved_s(command.args)
        aside = self._life.alarms.shelve(alarm_numbers(command.args), seconds)
        who = command.client or "a client"
        for alarm in aside:
            line = notice("alarm.aside", who=who, alarm=alarm.text, seconds=f"{seconds:.0f}")
            self._life.journal.tell(line, kind="shelved", burst=MOST_ANSWERS)
        return {"shelved": [alarm.number for alarm in aside]}

    def _shutdown(self, command: Command) -> dict[str, Any]:
        if command.args.get("unless_run") and self._life.state in UNDER_WAY:
            raise RunError(f"a run is {self._life.state}, and whoever asks would not end one")
        self._leave()
        return {}
