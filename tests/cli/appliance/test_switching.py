"""From version to version, with a real daq: never during a run, back where the new one fails, and
whole wherever it is cut off.

systemd's part is played by ``rigs.appliance.small_systemctl``, which starts what the real units
say.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daq.cli.appliance.unit_state import states_of
from daq.cli.common import CommandError
from daq.client.client import ControlClient
from hw.messages.endpoints import Endpoints
from rigs.acquisition_process import wait_until
from rigs.appliance.trial_service import ROOT, TrialService

pytestmark = pytest.mark.processes


@contextmanager
def installed() -> Iterator[TrialService]:
    """Install version 1.0 and run it; the folder's name is short, for a socket's path is."""
    trial = TrialService(Path(tempfile.mkdtemp(prefix="trial-")))
    try:
        trial.install("1.0")
        yield trial
    finally:
        trial.end()


@pytest.fixture
def service() -> Iterator[TrialService]:
    """A service that runs version 1.0, for a test that changes it."""
    with installed() as trial:
        yield trial


@pytest.fixture(scope="module")
def steady() -> Iterator[TrialService]:
    """A service that runs version 1.0, for tests behind which it still does."""
    with installed() as trial:
        yield trial


def answers(service: TrialService) -> bool:
    try:
        return service.ask() == "idle"
    except CommandError:
        return False


def test_an_update_puts_the_new_version_in_force_and_rolling_back_the_old_one(service):
    old = service.versions.current
    new = service.switcher.update(service.wheels("2.0"))
    assert (service.versions.current, service.versions.previous) == (new, old)
    assert new.startswith("2.0-")
    assert service.ask() == "idle"
    pid = int(service.systemd.show("tomoshibi-daq.service")["MainPID"])
    assert service.switcher.roll_back() == old
    assert (service.versions.current, service.versions.previous) == (old, new)
    assert int(service.systemd.show("tomoshibi-daq.service")["MainPID"]) != pid
    third = service.switcher.update(service.wheels("3.0"))
    assert not service.versions.place(new).exists()  # two are kept
    assert (service.versions.current, service.versions.previous) == (third, old)


def test_during_a_run_nothing_changes_and_the_reason_is_told(steady):
    old = steady.versions.current
    given = steady.wheels("2.0+armed")
    with ControlClient(Endpoints(steady.settings.base(steady.places))) as daq:
        daq.call("arm")
        with pytest.raises(CommandError, match="a run is armed: nothing was changed"):
            steady.switcher.update(given)
        with pytest.raises(CommandError, match="a run is armed"):
            steady.switcher.end()
        assert steady.versions.current == old
        assert daq.call("status")["state"] == "armed"
        daq.call("reset")


@pytest.mark.parametrize("acquire", ["ends", "hangs"])
def test_a_version_that_does_not_come_up_is_undone(steady, acquire):
    old, switcher = steady.versions.current, steady.switcher
    given = steady.wheels(f"2.0+{acquire}", acquire=acquire)
    switcher.comes_up_s = 40.0 if acquire == "ends" else 6.0
    with pytest.raises(CommandError, match=f"did not come up(.|\n)*{old} is in force again"):
        switcher.update(given)
    assert (steady.versions.current, steady.versions.previous) == (old, "")
    assert steady.versions.unconfirmed() is None
    assert steady.ask() == "idle"


def test_a_daq_that_does_not_answer_is_not_exchanged(steady):
    pid = int(steady.systemd.show("tomoshibi-daq.service")["MainPID"])
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(CommandError, match="whether a run is under way is not known"):
            steady.switcher.update(steady.wheels("2.0+stopped"))
    finally:
        os.kill(pid, signal.SIGCONT)
    assert steady.versions.current.startswith("1.0-")


def test_the_same_version_is_not_put_in_force_twice(steady):
    with pytest.raises(CommandError, match="is in force already"):
        steady.switcher.update(_given_of(steady, "1.0"))


def test_a_daq_that_systemd_gave_up_is_started_by_an_update(service):
    unit = service.places.units / "tomoshibi-daq.service"
    good = unit.read_text()
    unit.write_text(good.replace("acquire --", "acquire --no-such-option --"))
    service.systemd.restart(unit.name)
    gave_up = lambda: service.systemd.show(unit.name)["ActiveState"] == "failed"  # noqa: E731
    wait_until(gave_up, "the limit of restarts", timeout_s=60)
    (state,) = states_of(service.settings, service.places, service.systemd)
    assert "has FAILED" in state.words(0.0)
    assert "it ended with status 2" in state.words(0.0)
    new = service.switcher.update(service.wheels("2.0"))
    assert service.versions.current == new
    assert service.ask() == "idle"


def _given_of(service: TrialService, version: str):
    from daq.cli.appliance.version_build import Given

    return Given(service.folder / f"wheels-{version}")


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
from daq.cli.appliance.version_build import Given
from rigs.appliance.trial_service import TrialService

service, steps = TrialService(Path({folder!r})), 0

def look(event, arguments):
    global steps
    if event == "subprocess.Popen" and "show" not in arguments[1]:
        steps += 1
        if steps == {step}:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(look)
service.switcher.update(Given(Path({wheels!r})))
"""


def update_killed_at(service: TrialService, wheels: Path, step: int) -> int:
    """Update in a process that is killed as it starts its step-th program; return its status."""
    code = KILLED.format(
        tests=str(ROOT / "tests"), folder=str(service.folder), wheels=str(wheels), step=step
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, timeout=110, check=False)
    return done.returncode


@pytest.mark.timeout(600)
@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.evidence)])
def test_killed_at_any_of_its_steps_an_update_leaves_a_version_that_works(service, every):
    old = service.versions.current
    wheels = service.wheels("2.0").folder
    for step in range(1, 40, every):
        status = update_killed_at(service, wheels, step)
        assert status in (0, -signal.SIGKILL), service.log()
        current = service.versions.current
        assert service.versions.is_whole(current)
        wait_until(lambda: answers(service), f"an answer after step {step}", timeout_s=60)
        if status == 0:
            break
        settled = service.switcher.settle()
        if service.versions.current == old:
            assert "unconfirmed" in settled or "in force" in settled
        else:  # it was cut off behind the exchange, and works
            service.switcher.roll_back()
        assert service.versions.unconfirmed() is None
        assert service.ask() == "idle"
    assert status == 0
    assert step > 5  # ask, environment, wheels, bytecode, units, kernels, leave, reload, restart
    assert service.versions.current.startswith("2.0-")


def test_a_daq_that_hangs_is_started_again_and_the_cause_is_told(service):
    unit = service.places.units / "tomoshibi-daq.service"
    unit.write_text(unit.read_text().replace("WatchdogSec=30", "WatchdogSec=2"))
    service.systemd.restart(unit.name)
    wait_until(lambda: answers(service), "the daq with less patience")
    before = service.systemd.show(unit.name)
    os.kill(int(before["MainPID"]), signal.SIGSTOP)

    def another() -> bool:
        shown = service.systemd.show(unit.name)
        return shown["ActiveState"] == "active" and shown["MainPID"] != before["MainPID"]

    wait_until(another, "another daq")
    wait_until(lambda: answers(service), "its answer")
    (state,) = states_of(service.settings, service.places, service.systemd)
    assert (state.state, state.restarts) == ("active", 1)
    assert "started again once; last ended at" in state.words(state.since_s + 61)
    assert "it hung: no sign of life" in state.words(state.since_s + 61)
