"""Whether a file of a run is of a version that this program reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daq.errors import LogError
from daq.folder.run_config import FORMAT_VERSION


def check_format(path: Path, head: Mapping[str, Any]) -> None:
    """Raise LogError, naming the version, for a head written in a later format than ours.

    A head without a version is of the first one, or is no head, as its reader will notice.
    """
    versions = head.get("versions")
    told = versions.get("format", "1") if isinstance(versions, Mapping) else "1"
    if not str(told).isdecimal() or len(str(told)) > 9 or int(told) > FORMAT_VERSION:
        raise LogError(
            f"{path} is of format version {str(told)[:20]}, this program reads versions up to "
            f"{FORMAT_VERSION}: take the release that wrote it, or a later one"
        )
