"""The locks: every requirement pinned and hashed, no host named, bounds met, one version for all.

And what is declared is what is imported, the other way round too.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCKS = {path.stem: path.read_text(encoding="utf-8") for path in ROOT.glob("requirements/*.lock")}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RUN = PROJECT["project"]["dependencies"]
GROUPS = PROJECT["dependency-groups"]
DECLARED = [("run", line) for line in RUN] + [("test", line) for line in RUN + GROUPS["test"]]
EXTRAS = PROJECT["project"]["optional-dependencies"]
OPTIONAL = [line for lines in EXTRAS.values() for line in lines]
DECLARED += [(extra, line) for extra, lines in EXTRAS.items() for line in RUN + lines]
DECLARED += [("docs", line) for line in GROUPS["docs"]]
ROOMS = ("hw", "emulator", "coincidence", "daq", "recon", "gui")

# Used otherwise than by an import.
COMMANDS = {"import-linter", "mypy", "ruff"}
PLUGINS = {"pytest-benchmark", "pytest-cov", "pytest-timeout", "pytest-xdist"}
BY_OTHERS = {"editables"}  # hatchling writes an editable wheel with it
QT = {"pyside6-essentials"}  # what pyqtgraph draws with, by its own choice of several
OTHER_QT = {"pyqt6"}  # asked for by its name in an environment variable, in one test
DATA = {"icrp107-database"}  # hw/physics/generate_nuclides.py reads its files


def pins(lock: str) -> dict[str, set[str]]:
    """Return versions by canonical name; there may be two, for old and for new Pythons."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", LOCKS[lock], flags=re.MULTILINE):
        found.setdefault(canonicalize_name(name), set()).add(version)
    return found


def names_of(requirements: Iterable[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def imported_distributions(files: Iterable[Path]) -> set[str]:
    """Return the distributions, of other people, that these files import."""
    found = packages_distributions()
    modules: set[str] = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module.split(".")[0])
    foreign = modules - sys.stdlib_module_names - set(ROOMS)
    return {canonicalize_name(name) for module in foreign for name in found.get(module, ())}


# --- the locks --------------------------------------------------------------------------------


def test_there_is_a_lock_for_each_purpose() -> None:
    assert set(LOCKS) == {"run", "test", "docs", *EXTRAS}


@pytest.mark.parametrize(("lock", "declared"), DECLARED)
def test_every_declared_requirement_is_pinned_within_its_bounds(lock: str, declared: str) -> None:
    requirement = Requirement(declared)
    versions = pins(lock)[canonicalize_name(requirement.name)]
    assert all(requirement.specifier.contains(version) for version in versions)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_a_hash(lock: str) -> None:
    entries = re.split(r"^(?=[A-Za-z0-9])", LOCKS[lock], flags=re.MULTILINE)[1:]
    assert {canonicalize_name(entry.split("==")[0]) for entry in entries} == pins(lock).keys()
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_no_host_is_named(lock: str) -> None:
    options = ("://", "index-url ", "find-links ", "trusted-host ")
    body = [line for line in LOCKS[lock].splitlines() if not line.startswith("#")]
    assert [line for line in body if any(option in line for option in options)] == []
    assert "://" not in LOCKS[lock]


def test_tests_run_on_what_users_run_on() -> None:
    assert pins("run").items() <= pins("test").items()
    for extra in EXTRAS:
        assert pins("run").items() <= pins(extra).items()


@pytest.mark.parametrize("other", ["run", "test"])
def test_documents_are_built_in_the_same_environment(other: str) -> None:
    both = pins("docs").keys() & pins(other).keys()
    assert {n: pins("docs")[n] for n in both} == {n: pins(other)[n] for n in both}


def test_a_demo_is_spared_the_tools_of_the_tests() -> None:
    tools = {"hatchling", "hypothesis", "mypy", "petsird", "pytest", "ruff"}
    assert tools <= pins("test").keys()
    assert not tools & pins("run").keys()


def test_qt_is_below_the_release_that_kills_python_3_11() -> None:
    for version in pins("run")["pyside6-essentials"]:
        major, minor = map(int, version.split(".")[:2])
        assert (6, 10) <= (major, minor) < (6, 12)


# --- declared and used ------------------------------------------------------------------------


def is_generator(path: Path) -> bool:
    """Return whether a file of a room only writes others, for a developer."""
    return "generate" in path.relative_to(ROOT).as_posix()


def files_of(*folders: str) -> set[Path]:
    return {path for folder in folders for path in (ROOT / folder).rglob("*.py")}


def test_the_rooms_import_what_the_project_declares_and_nothing_else() -> None:
    used = imported_distributions(path for path in files_of(*ROOMS) if not is_generator(path))
    assert used - names_of(GROUPS["peers"]) - names_of(OPTIONAL) | QT == names_of(RUN)


def test_what_is_optional_is_imported_where_it_is_for_and_nowhere_else() -> None:
    """Without it installed, by its name: it need not be in the environment of the tests."""
    asked = {"pynetdicom": "import pynetdicom", "h5py": 'package("h5py")',
             "pyarrow": 'package("pyarrow")', "uproot": 'package("uproot")',
             "pylsl": "import pylsl", "prometheus-client": "from prometheus_client import",
             "highdicom": "import_module(\"highdicom\")"}  # fmt: skip
    homes = {
        "pynetdicom": "recon/hospital",
        "pylsl": "daq/link/signals",
        "prometheus-client": "daq/client",
        "highdicom": "recon/hospital/objects",
    }
    assert names_of(OPTIONAL) == set(asked)
    for name, words in asked.items():
        users = {path.parent.relative_to(ROOT).as_posix() for path in files_of(*ROOMS)
                 if words in path.read_text(encoding="utf-8")}  # fmt: skip
        images = {"recon/exchange/images"} if name == "h5py" else set()
        assert users == {homes.get(name, "recon/exchange/tables")} | images
    (reader,) = (path for path in files_of("daq") if '"uproot"' in path.read_text("utf-8"))
    assert reader.relative_to(ROOT).as_posix() == "daq/importers/streams/gate_root.py"


def test_tests_and_checks_use_what_they_declare_and_nothing_else() -> None:
    generators = {path for path in files_of(*ROOMS) if is_generator(path)}
    files = files_of("tests", "benchmarks", "docs") - files_of("docs/site")
    used = imported_distributions(files | generators)
    used |= COMMANDS | PLUGINS | BY_OTHERS | DATA | OTHER_QT
    known = names_of(RUN) | names_of(GROUPS["peers"]) | names_of(OPTIONAL)
    assert used - known == names_of(GROUPS["test"])


def test_what_builds_the_site_is_declared_with_it() -> None:
    used = imported_distributions(files_of("docs/site"))  # nothing where the site is not built
    assert used <= names_of(GROUPS["docs"])


def test_msgpack_the_owners_format_is_read_by_another_program_than_wrote_it() -> None:
    assert "msgpack" in names_of(GROUPS["test"])
    assert "msgpack" in imported_distributions((ROOT / "tests").rglob("*.py"))
