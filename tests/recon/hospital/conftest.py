"""A real Orthanc for the tests of what goes to an archive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rigs.hospital.orthanc import Orthanc


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    """A running archive; skips where Orthanc is not installed."""
    one = Orthanc(tmp_path)
    yield one
    one.kill()
