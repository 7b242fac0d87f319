"""The lock: every requirement pinned and hashed, no host named, the project's bounds met."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DECLARED = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]


def pins() -> dict[str, str]:
    """Return version by canonical name."""
    found = re.findall(r"^([\w.-]+)==([^\s;]+)", LOCK, flags=re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


@pytest.mark.parametrize("declared", DECLARED)
def test_every_declared_requirement_is_pinned_within_its_bounds(declared: str) -> None:
    requirement = Requirement(declared)
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


def test_every_pin_has_a_hash() -> None:
    entries = re.split(r"^(?=[A-Za-z0-9])", LOCK, flags=re.MULTILINE)[1:]
    # a package may have two versions, for old and for new Pythons
    assert {canonicalize_name(entry.split("==")[0]) for entry in entries} == pins().keys()
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_no_host_is_named() -> None:
    options = ("://", "index-url ", "find-links ", "trusted-host ")
    body = [line for line in LOCK.splitlines() if not line.startswith("#")]
    assert [line for line in body if any(option in line for option in options)] == []
    assert "://" not in LOCK


def test_build_backend_and_its_editable_part_are_pinned_too() -> None:
    assert {"hatchling", "editables"} <= pins().keys()


def test_qt_is_below_the_release_that_kills_python_3_11() -> None:
    major, minor = map(int, pins()["pyside6-essentials"].split(".")[:2])
    assert (6, 10) <= (major, minor) < (6, 12)
