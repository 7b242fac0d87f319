"""Settings of the whole suite: property tests draw the same examples on every machine."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "repository",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("repository")

os.environ.setdefault("PYQTGRAPH_QT_LIB", "PySide6")  # as gui does, whoever imports Qt first

ONE_AT_A_TIME = (
    "tests/campaign/",
    "tests/chain/",
    "tests/cli/",
    "tests/daq/link/serial/",
    "tests/firmware/",
    "tests/gui/",
    "tests/emulator/process/test_pacing.py",
    "tests/emulator/process/test_service.py",
)
"""Tests that start processes or look at the clock: of several workers, the first runs them all, and
the others yield the processor to it."""

ANYWHERE = (
    "tests/campaign/",
    "tests/chain/test_faults.py",
    "tests/chain/test_tutorials.py",
    "tests/cli/acceptance/",
    "tests/cli/launch/test_purposes.py",
    "tests/cli/test_calibrate_factory.py",
    "tests/cli/test_command_line.py",
    "tests/cli/test_dicom_command.py",
    "tests/gui/image/",
    "tests/gui/modules/",
    "tests/gui/projections/",
    "tests/gui/sorting/",
)
"""Of these, those that bear waiting: any worker runs them, so that all end at about one time."""

FIRST = "gw0"
TOGETHER = "one at a time"

NICENESS = 10


@pytest.fixture(scope="session", autouse=True)
def configuration_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keys, protocols and layouts lie in a folder of the tests, not in that of who runs them."""
    config = tmp_path_factory.mktemp("config")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(config))
        patch.setenv("TOMOSHIBI_KEYS", str(config / "keys"))
        patch.delenv("TOMOSHIBI_KEY_FILE", raising=False)
        yield


def pytest_configure(config: pytest.Config) -> None:
    """Take Ctrl-C as in a terminal: a shell starts what it runs in the background with SIGINT
    ignored, and the processes that tests start would inherit that."""
    if getattr(config, "workerinput", {"workerid": FIRST})["workerid"] != FIRST:
        os.nice(NICENESS)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionstart() -> None:
    """Look for circular garbage rarely: collecting thousands of tests makes none."""
    gc.set_threshold(50_000, 20, 50)


def pytest_collection_finish() -> None:
    """Leave what was collected out of every later look for garbage."""
    gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    words = "run the tests marked `evidence` too: many repeats, Monte Carlo; minutes each"
    parser.addoption("--evidence", action="store_true", help=words)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave long evidence out, in words, unless it is asked for."""
    if config.getoption("--evidence"):
        return
    skip = pytest.mark.skip(reason="long evidence: ./tomoshibi test --evidence -m evidence")
    for item in items:
        if item.get_closest_marker("evidence"):
            item.add_marker(skip)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share the tests out among workers (``-n 2``) file by file, in the order of collection.

    A file stays together, so that each of its fixtures is made once.
    """
    from xdist.scheduler import LoadScopeScheduling

    class FileByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            waits = nodeid.startswith(ONE_AT_A_TIME) and not nodeid.startswith(ANYWHERE)
            return TOGETHER if waits else nodeid.split("::", 1)[0]

        def _assign_work_unit(self, node: Any) -> None:
            """Keep TOGETHER for the first worker, whichever is ready before the other."""
            if TOGETHER in self.workqueue:
                self.workqueue.move_to_end(TOGETHER, last=node.gateway.id != FIRST)
            super()._assign_work_unit(node)

    named = (*ONE_AT_A_TIME, *ANYWHERE)
    gone = [place for place in named if not (config.rootpath / place).exists()]
    if gone:
        raise pytest.UsageError(f"tests/conftest.py names {gone}: not there")
    config.option.loadscopereorder = False
    return FileByFile(config, log)
