"""Fixtures of the firmware's tests: the core in this process, and what builds it once."""

from __future__ import annotations

import pytest

from hw.machines.toolchain import missing


@pytest.fixture(scope="session")
def core_library():
    """The core and the test board as a loaded library; built once, cached between runs."""
    reason = missing("native")
    if reason:
        pytest.skip(reason)
    pytest.importorskip("cffi")
    from hw.machines.build import build
    from rigs.firmware.core_board import CoreLibrary

    return CoreLibrary(build("test"))


@pytest.fixture
def core(core_library):
    """A new board with the core on it, not started: ``core.start()`` (core_board.CoreBoard)."""
    from rigs.firmware.core_board import CoreBoard

    return CoreBoard(core_library)


@pytest.fixture(scope="session")
def native_image():
    """The firmware as a process of this host; built once, cached between runs."""
    reason = missing("native")
    if reason:
        pytest.skip(reason)
    from hw.machines.build import build

    return build("native")


@pytest.fixture
def native(native_image, tmp_path):
    """A running native machine of module 0."""
    from hw.machines.native import Native

    with Native(folder=tmp_path, image=native_image) as machine:
        yield machine
