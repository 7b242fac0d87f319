"""Fixtures of the specifications of reconstruction."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def image_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the whole session's sensitivity images; workers of pytest-xdist share it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "image-cache"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="module", autouse=True)
def one_image_cache(image_cache: Path) -> Iterator[None]:
    """Make each sensitivity image once in a session, none from the user's own cache.

    A name is a hash of all that an image depends on, so what is found there is what would be made.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOMOSHIBI_CACHE", str(image_cache))
        yield


@pytest.fixture
def reference_data() -> Path:
    """The folder of reference data, or a skip that says why."""
    name = os.environ.get("TOMOSHIBI_REFERENCE_DATA", "")
    if not name or not Path(name).is_dir():
        pytest.skip("TOMOSHIBI_REFERENCE_DATA does not name a folder of reference data")
    return Path(name)
