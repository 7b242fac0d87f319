"""Which files a command may name.

Over ipc a client is the daq's own user, who may read what he may read. Over TCP it may be somebody
else with a key: he gets at no file but those of the runs, the shipped calibrations, and what the
daq was started with.
"""

from __future__ import annotations

from pathlib import Path

from daq.errors import RunError
from daq.folder.run_config import FACTORY, RunConfig
from hw.bounded_files import FileRefused, regular_file
from hw.messages.endpoints import Endpoints
from hw.scanner.serial import CALIBRATION_FOLDER

MOST_MU_MAP_BYTES = 256 * 2**20
MOST_CALIBRATION_BYTES = 64 * 2**20
MOST_ACTIVITY_BYTES = 2**20


class GivenPaths:
    """Checks the paths in commands."""

    def __init__(
        self, endpoints: Endpoints, runs_root: Path, template: RunConfig | None = None
    ) -> None:
        named = _paths(template) if template else []
        self._has_roots = endpoints.base.startswith("tcp")
        self._roots = [root.resolve() for root in (runs_root, CALIBRATION_FOLDER)]
        self._files = [Path(path).resolve() for path, _ in named]

    def checked(self, config: RunConfig) -> RunConfig:
        """Return a configuration whose files may be read; raises RunError naming the one that may
        not.
        """
        for path, most_bytes in _paths(config):
            self.check(path, most_bytes=most_bytes)
        return config

    def check_activity(self, path: str) -> None:
        """Check the path of an activity calibration, "" for none; raises RunError."""
        if path:
            self.check(path, most_bytes=MOST_ACTIVITY_BYTES)

    def check(self, path: str, *, most_bytes: int) -> None:
        """Raise RunError unless a file may be read. A missing file is reported elsewhere."""
        try:
            real = Path(path).resolve()
        except (OSError, ValueError, RuntimeError) as error:
            raise RunError(f"{path!r} is no path: {error}") from error
        if self._has_roots and not self._is_ours(real):
            raise RunError(
                f"{path}: a command over TCP may name no files but those below {self._roots[0]}: "
                "put it there, name it where the daq is started, or use an ipc:// endpoint"
            )
        if real.exists():
            _check_plain(real, most_bytes=most_bytes)

    def _is_ours(self, path: Path) -> bool:
        return path in self._files or any(path.is_relative_to(root) for root in self._roots)


def _check_plain(path: Path, *, most_bytes: int) -> None:
    try:
        with regular_file(path, most_bytes=most_bytes):
            pass
    except FileRefused as error:
        raise RunError(f"{path} is not taken: {error}") from error


def _paths(config: RunConfig) -> list[tuple[str, int]]:
    """Return the files that a configuration names, and how large each may be."""
    calibration = "" if config.calibration == FACTORY else config.calibration
    named = [
        (config.mu_map, MOST_MU_MAP_BYTES),
        (calibration, MOST_CALIBRATION_BYTES),
        (config.live.activity, MOST_ACTIVITY_BYTES),
    ]
    return [(path, most_bytes) for path, most_bytes in named if path]
