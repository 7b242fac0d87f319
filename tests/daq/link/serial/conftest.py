"""A module as a native process, and a session with it."""

from __future__ import annotations

import pytest

from daq.link.serial.session import ModuleSession
from hw.machines.toolchain import missing
from rigs.line_journal import LineJournal


@pytest.fixture(scope="session")
def native_image():
    """The native firmware, built once."""
    reason = missing("native")
    if reason:
        pytest.skip(reason)
    from hw.machines.build import build

    return build("native")


@pytest.fixture
def machine(native_image, tmp_path):
    """A running module on a pty."""
    from hw.machines.native import Native

    with Native(module=3, folder=tmp_path / "machine", image=native_image) as machine:
        yield machine


@pytest.fixture
def journal():
    """Lines of the session's journal."""
    return LineJournal()


@pytest.fixture
def session(machine, journal, tmp_path):
    """A session with the module, its journal and its transcripts' folder."""
    with ModuleSession.open(
        machine.serial_url, module=3, journal=journal.tell, transcripts=tmp_path / "transcripts"
    ) as session:
        yield session
        assert session.connection.poller.failures == 0, session.connection.poller.last_failure
