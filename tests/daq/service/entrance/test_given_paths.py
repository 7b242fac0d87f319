"""Which files a command may name: over ipc the user's own, over TCP those of the runs alone."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from daq.errors import RunError
from daq.folder.run_config import FACTORY
from daq.service.entrance.given_paths import GivenPaths
from hw.messages.endpoints import Endpoints
from hw.messages.live_settings import LiveSettings
from hw.scanner.serial import CALIBRATION_FOLDER

TCP = Endpoints("tcp://127.0.0.1:17500")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_bytes(b"of root")
    return tmp_path / "secret"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "map.npz").write_bytes(b"map")
    return tmp_path / "runs"


def test_over_ipc_any_plain_file_may_be_named(ipc_base, outside, runs, make_config) -> None:
    given = GivenPaths(Endpoints(ipc_base), runs)
    config = make_config(mu_map=str(outside), calibration=str(outside))
    assert given.checked(config) is config


@pytest.mark.parametrize("field", ["mu_map", "calibration", "activity"])
def test_over_tcp_only_files_of_the_runs_may_be_named(outside, runs, make_config, field) -> None:
    given = GivenPaths(TCP, runs)

    def asked(path: Path):
        if field == "activity":
            return make_config(live=LiveSettings(activity=str(path)))
        return make_config(**{field: str(path)})

    given.checked(asked(runs / "map.npz"))
    (runs / "link").symlink_to(outside)
    for path in (outside, runs / ".." / "secret", runs / "link", outside.parent / "none"):
        with pytest.raises(RunError, match="a command over TCP may name no files"):
            given.checked(asked(path))


def test_over_tcp_the_shipped_calibrations_and_what_the_daq_was_started_with_may_be_named(
    outside, runs, make_config
) -> None:
    template = make_config(mu_map=str(outside))
    given = GivenPaths(TCP, runs, template)
    given.checked(template)
    shipped = sorted(CALIBRATION_FOLDER.glob("*.npz"))[0]
    given.checked(make_config(calibration=str(shipped)))
    given.checked(msgspec.structs.replace(template, calibration=FACTORY))


def test_a_path_that_is_none_is_refused_in_words(ipc_base, runs) -> None:
    given = GivenPaths(Endpoints(ipc_base), runs)
    given.check_activity("")
    with pytest.raises(RunError, match="null"):
        given.check_activity("a\0b")
    given.check_activity(str(runs / "none.json"))  # the imager tells
