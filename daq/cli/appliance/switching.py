"""Switching versions: never during a run, and back by itself if the new one fails.

The order of steps is what makes an interruption harmless. Everything slow is done beforehand,
beside the version in force: build, units, kernels. Then the daq is asked to leave unless a run is
under way, in one question; the change is noted; the links are exchanged; systemd is told to start
the processes anew, and does so whatever becomes of us. Cut off before the exchange, the old version
is in force; behind it, the new one is, unconfirmed: ``settle`` looks whether it works, and goes
back where it does not. Where it fails by itself, systemd calls ``settle``.
"""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Callable
from dataclasses import dataclass

from daq.cli.appliance import daq_asked
from daq.cli.appliance.places import Places
from daq.cli.appliance.settings import ServiceSettings
from daq.cli.appliance.systemd import Systemd
from daq.cli.appliance.unit_files import TARGET, processes
from daq.cli.appliance.version_build import Given, Say, build, run_step
from daq.cli.appliance.versions import Unconfirmed, Versions
from daq.cli.common import CommandError

WARM_S = 1800.0
COMES_UP_S = 120.0
"""With its kernels compiled the daq answers after some seconds; a slow disk gets more."""

STAYS_S = 5.0
LOOK_S = 0.25
MOST_STARTS = 3
UNDER_WAY = ("armed", "running", "stopping")


@dataclass
class Switcher:
    """Changes the version in force.

    comes_up_s, stays_s : within which time a new daq must answer, and how long it must stay
    clock, pause : of the waits
    """

    places: Places
    settings: ServiceSettings
    versions: Versions
    systemd: Systemd
    say: Say
    comes_up_s: float = COMES_UP_S
    stays_s: float = STAYS_S
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep

    def update(self, given: Given) -> str:
        """Make a version and put it in force; return its name.

        Raises
        ------
        CommandError
            where a run is under way, the build fails, or the new daq does not come up; then the
            version before is in force
        """
        with self.versions.locked():
            self._settle()
            self._refuse_during_a_run()
            name = build(given, self.versions, self.settings, self.places, say=self.say)
            if name == self.versions.current:
                raise CommandError(f"{name} is in force already: nothing was changed")
            self._warm(name)
            self._switch(name)
            self.versions.forget_others()
        return name

    def roll_back(self) -> str:
        """Put the version before in force; return its name."""
        with self.versions.locked():
            self._settle()
            name = self.versions.previous
            if not name or name == self.versions.current:
                raise CommandError("there is no version before this one to go back to")
            self._refuse_during_a_run()
            self._switch(name)
        return name

    def settle(self) -> str:
        """Confirm a change that was cut off, or undo it; return what was done, in words."""
        with self.versions.locked():
            return self._settle()

    def _settle(self) -> str:
        change = self.versions.unconfirmed()
        if change is None:
            return "nothing is unconfirmed"
        if self.versions.current != change.to:  # it was not made, or is undone already
            self.versions.put_in_force(change.came_from, previous=change.previous)
            if self._why_not_well(""):  # no run can be lost by it
                self._restart()
            self.versions.confirm()
            return f"{change.came_from} stayed in force"
        why = self._why_not_well("")
        if not why:
            self.versions.confirm()
            return f"{change.to} works, and stays"
        self.say(f"{change.to} does not work ({why}): back to {change.came_from}")
        self._undo(change)
        return f"{change.came_from} is in force again"

    # --- beginning and end of the service -------------------------------------------------------

    def let_leave(self) -> None:
        """End the daq; CommandError, with the reason, if a run is under way."""
        self._refuse_during_a_run()
        if self._runs():
            self._ask(leave=True)

    def begin(self) -> None:
        """Start the processes, or start them anew with other options, kernels compiled before."""
        self._warm(self.versions.current)
        self._restart()
        self.systemd.start(TARGET)

    def end(self) -> None:
        """End all processes; CommandError where a run is under way."""
        self.let_leave()
        self.systemd.stop(TARGET, *(process.unit for process in processes(self.settings)))

    # --- the daq ------------------------------------------------------------------------------

    @property
    def _daq(self) -> str:
        return processes(self.settings)[0].unit

    def _runs(self) -> bool:
        return self.systemd.show(self._daq).get("ActiveState") not in ("inactive", "failed")

    def _ask(self, *, leave: bool = False) -> str:
        program = self.versions.program(self.versions.current)
        return daq_asked.ask(program, self.settings, self.places, leave=leave)

    def _refuse_during_a_run(self) -> None:
        if not self._runs():
            return
        try:
            state = self._ask()
        except CommandError as error:
            raise CommandError(
                f"whether a run is under way is not known: {error}\nNothing was changed. "
                f"`systemctl restart {self._daq}` starts the daq anew, which ends a run"
            ) from error
        if state in UNDER_WAY:
            raise CommandError(f"a run is {state}: nothing was changed. Close it, then try again")

    # --- the change ---------------------------------------------------------------------------

    def _warm(self, name: str) -> None:
        """Compile a version's kernels as the service's user, who has a cache of machine code."""
        self.say(f"compiling kernels of {name}")
        user = pwd.getpwnam(self.settings.user).pw_uid
        run_step(
            [str(self.versions.program(name)), "warm"],
            within_s=WARM_S,
            what="the new version's kernels",
            environ=daq_asked.user_environment(self.settings, self.places),
            user=None if user == os.geteuid() else user,
        )

    def _switch(self, name: str) -> None:
        change = Unconfirmed(name, self.versions.current, self.versions.previous)
        self.let_leave()  # refused, with the reason, where a run has begun meanwhile
        self.versions.note(change)
        self.versions.put_in_force(name, previous=change.came_from)
        self.say(f"{name} is in force; starting the processes anew")
        why = self._why_not_well(self._restart())
        if why:
            self._undo(change)
            raise CommandError(
                f"{name} did not come up: {why}\n{change.came_from} is in force again; `journalctl "
                f"--namespace tomoshibi -u {self._daq}` has what the new one said"
            )
        self.versions.confirm()

    def _undo(self, change: Unconfirmed) -> None:
        """Go back, and note at the end that there is nothing to settle any more."""
        self.versions.put_in_force(change.came_from, previous=change.previous)
        why = self._why_not_well(self._restart())
        self.versions.confirm()
        if why:
            raise CommandError(f"{change.came_from}, in force again, does not come up: {why}")

    def _restart(self) -> str:
        """Restart all processes; return the start of the daq that this ended.

        It is asked for at the last moment: systemd may have started the old version once more.
        """
        units = [process.unit for process in processes(self.settings)]
        self.systemd.reload()
        self.systemd.forgive(*units)
        before = self._start_of_daq()
        self.systemd.restart(*units)
        return before

    def _start_of_daq(self) -> str:
        """Return what tells this start of the daq from any other."""
        return self.systemd.show(self._daq).get("InvocationID", "")

    def _why_not_well(self, before: str) -> str:
        """Wait for a daq other than ``before`` that answers and stays; return why none does."""
        end_s, starts = self.clock() + self.comes_up_s, list[str]()
        why = "it was not started"
        while self.clock() < end_s:
            shown = self.systemd.show(self._daq)
            start = shown.get("InvocationID", "")
            if start and start != before and start not in starts:
                starts.append(start)
            if shown.get("ActiveState") == "failed":
                return f"systemd gave it up ({shown.get('Result', '')})"
            if len(starts) >= MOST_STARTS:
                return f"it was started {MOST_STARTS} times, and ended again"
            if starts and shown.get("ActiveState") == "active":
                why = self._answer(start)
                if not why:
                    return ""
            self.pause(LOOK_S)
        return f"{why}, within {self.comes_up_s:g} s"

    def _answer(self, start: str) -> str:
        """Return why the daq of this start is not well, "" if it answers and keeps running."""
        try:
            self._ask()
        except CommandError as error:
            return str(error)
        self.pause(self.stays_s)
        return "" if self._start_of_daq() == start else "it ended soon after its start"
