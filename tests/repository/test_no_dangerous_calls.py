"""What SECURITY.md promises of the sources: nothing is executed, unpickled or led astray by a name.

Each exception stands here with its reason.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("hw", "emulator", "coincidence", "daq", "recon", "gui")
SOURCES = [
    *sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py")),
    ROOT / "tomoshibi",
]

FORBIDDEN = {
    "eval": "runs a text",
    "exec": "runs a text",
    "compile": "makes a program of a text",
    "__import__": "imports by a name",
    "pickle.load": "runs what a file says",
    "pickle.loads": "runs what a file says",
    "pickle.Unpickler": "runs what a file says",
    "marshal.loads": "makes a program of bytes",
    "shelve.open": "unpickles",
    "dill.loads": "unpickles",
    "joblib.load": "unpickles",
    "yaml.load": "makes any object",
    "os.system": "starts a shell",
    "os.popen": "starts a shell",
    "tempfile.mktemp": "names a file that another may make first",
    "xml.etree.ElementTree.parse": "follows entities",
    "np.load": "does not bound what it decompresses: hw.bounded_files.read_npz",
    "json.loads": "does not bound depth, and lets NaN through: hw.bounded_files.json_in",
    "json.load": "does not bound depth, and lets NaN through: hw.bounded_files.json_in",
    "tomllib.loads": "does not bound depth: hw.bounded_files.toml_in",
}

OWN_FILES = "a run's own files, whose readers catch what it raises"
ALLOWED = {
    ("tomoshibi", "tomllib.loads"): "the checkout's own pyproject.toml",
    ("hw/kernel_cache.py", "pickle.loads"): "our own machine code, of a folder that was checked",
    ("hw/bounded_files.py", "json.loads"): "the bounded reader itself",
    ("hw/bounded_files.py", "tomllib.loads"): "the bounded reader itself",
    ("hw/wire/protocol.py", "tomllib.loads"): "our own definition, shipped with the program",
    ("hw/wire/control.py", "tomllib.loads"): "our own definition, shipped with the program",
    ("hw/physics/generate_nuclides.py", "json.loads"): "makes a shipped file, by hand",
    ("hw/machines/qemu.py", "json.loads"): "QEMU's answers",
    ("hw/physics/block_efficiency.py", "np.load"): "our own cache",
    ("recon/em/sensitivity_cache.py", "np.load"): "our own cache",
    ("daq/cli/validate/spectra.py", "np.load"): "reference data, by hand",
    ("daq/cli/launch/live_chain.py", "json.loads"): "what our own processes print",
    ("daq/cli/bench/speed_history.py", "json.loads"): "the repository's own file",
    ("daq/cli/bench/worker.py", "json.loads"): "what our own processes print",
    ("daq/cli/bench/build_worker.py", "json.loads"): "what our own processes print",
    ("daq/cli/bench/speed_report.py", "json.loads"): "what our own processes print",
    ("daq/cli/bench/live_speed.py", "json.loads"): "what our own processes print",
    ("daq/folder/run_folder.py", "json.loads"): OWN_FILES,
    ("daq/folder/run_identity.py", "json.loads"): OWN_FILES,
    ("daq/folder/blocks.py", "json.loads"): OWN_FILES,
    ("daq/folder/listing/catalogue.py", "json.loads"): OWN_FILES,
}


def called(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Yield every call with the dotted name of what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def calls() -> list[tuple[str, str, ast.Call]]:
    found = []
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += [(place(path), name, call) for name, call in called(tree)]
    return found


def test_nothing_is_executed_or_unpickled(calls: list[tuple[str, str, ast.Call]]) -> None:
    found = {
        (file, name): FORBIDDEN[name]
        for file, name, _ in calls
        if name in FORBIDDEN and (file, name) not in ALLOWED
    }
    assert found == {}


def test_every_exception_is_still_needed(calls: list[tuple[str, str, ast.Call]]) -> None:
    there = {(file, name) for file, name, _ in calls}
    perhaps = {key for key, why in ALLOWED.items() if why == OWN_FILES}
    assert set(ALLOWED) - perhaps - there == set()


def test_numpy_never_unpickles(calls: list[tuple[str, str, ast.Call]]) -> None:
    for file, name, call in calls:
        for word in call.keywords:
            if word.arg == "allow_pickle":
                assert isinstance(word.value, ast.Constant), (file, name)
                assert word.value.value is False, (file, name)


def test_no_command_goes_through_a_shell(calls: list[tuple[str, str, ast.Call]]) -> None:
    shells = []
    for file, name, call in calls:
        for word in call.keywords:
            constant = isinstance(word.value, ast.Constant) and word.value.value is False
            if word.arg == "shell" and not constant:
                first = call.args[0] if call.args else None
                if not isinstance(first, ast.Constant | ast.Name):
                    shells.append((file, name, call.lineno))
    assert shells == []


def test_permissions_are_never_opened_to_others(calls: list[tuple[str, str, ast.Call]]) -> None:
    opened = [
        (file, name, ast.unparse(call))
        for file, name, call in calls
        if re.search(r"(^|\.)(chmod|fchmod|mkdir|umask)$", name)
        for argument in [*call.args, *(word.value for word in call.keywords)]
        if isinstance(argument, ast.Constant)
        and isinstance(argument.value, int)
        and not isinstance(argument.value, bool)
        and argument.value & 0o022
    ]
    assert opened == []
