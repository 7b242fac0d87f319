"""Kernels are compiled once, before any test's own time begins."""

from __future__ import annotations

import pytest

from coincidence.warm_up import warm_kernels


@pytest.fixture(scope="session", autouse=True)
def _compiled_kernels() -> None:
    warm_kernels()
