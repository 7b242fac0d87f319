"""Fixtures of the specifications of reconstruction."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def reference_data() -> Path:
    """The folder of reference data, or a skip that says why."""
    name = os.environ.get("TOMOSHIBI_REFERENCE_DATA", "")
    if not name or not Path(name).is_dir():
        pytest.skip("TOMOSHIBI_REFERENCE_DATA does not name a folder of reference data")
    return Path(name)
