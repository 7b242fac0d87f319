"""The kernel cache: an edit that could change machine code compiles anew, and nothing else does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hw import kernel_cache

ROOT = Path(kernel_cache.__file__).resolve().parents[1]
CONSTANTS = "SHIFT = 5\n"
CALLEE = """
from hw.constants import SHIFT
from hw.jit import bare_kernel

@bare_kernel
def shifted(x):
    return x + SHIFT
"""
CALLER = """
from hw.callee import shifted
from hw.jit import kernel

@kernel
def caller(x):
    return 10 * shifted(x)

@kernel
def loner(x):
    return x - 1
"""
USE = """
import sys
from numba.core import event
from hw.caller import caller, loner
with event.install_recorder("numba:compile") as seen:
    answers = caller(1), loner(1)
names = [one.data["dispatcher"].__name__ for _, one in seen.buffer if one.is_start]
print(*answers, *sorted(names))
"""


def house(folder: Path, **edits: tuple[str, str]) -> Path:
    """Write a small house that compiles as ours does, each file with one text replaced."""
    sources = {"constants": CONSTANTS, "callee": CALLEE, "caller": CALLER}
    for name in ("errors", "jit", "kernel_cache", "private_place"):
        sources[name] = (ROOT / "hw" / f"{name}.py").read_text(encoding="utf-8")
    (folder / "hw").mkdir(parents=True, exist_ok=True)
    (folder / "hw" / "__init__.py").touch()
    for name, source in sources.items():
        old, new = edits.get(name, ("", ""))
        text = source.replace(old, new) if old else source
        (folder / "hw" / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


def use(folder: Path, cache: Path, code: str = USE) -> list[str]:
    """Call both kernels in a process of its own: their answers, and what was compiled."""
    env = {**os.environ, "PYTHONPATH": str(folder), "TOMOSHIBI_CACHE": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=env,
        cwd=folder,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the house's kernels."""
    folder = tmp_path_factory.mktemp("cache")
    first = house(tmp_path_factory.mktemp("first"))
    assert use(first, folder) == ["60", "0", "caller", "loner", "shifted"]
    return folder


def test_the_same_sources_elsewhere_compile_nothing(cache: Path, tmp_path: Path) -> None:
    assert use(house(tmp_path), cache) == ["60", "0"]


def test_what_other_packages_add_to_numba_is_not_loaded(cache: Path, tmp_path: Path) -> None:
    """Awkward, in the extra `lab`, does: 2.6 s of every process that used a kernel."""
    folder = house(tmp_path)
    (folder / "intruder.py").write_text("print('loaded')\ndef register(): print('called')\n")
    said = folder / "intruder-1.0.dist-info"
    said.mkdir()
    (said / "METADATA").write_text("Metadata-Version: 2.1\nName: intruder\nVersion: 1.0\n")
    (said / "entry_points.txt").write_text("[numba_extensions]\ninit = intruder:register\n")
    assert use(folder, cache) == ["60", "0"]
    without_us = "import numba; print(numba.njit(lambda x: x + 1)(1))"
    assert use(folder, cache, without_us) == ["loaded", "called", "2"]


def test_an_edited_constant_is_seen_by_the_caller_of_its_kernel(
    cache: Path, tmp_path: Path
) -> None:
    edited = house(tmp_path, constants=("5", "7"))
    assert use(edited, cache) == ["80", "0", "caller", "shifted"]


def test_an_edited_kernel_compiles_its_callers_and_nothing_else(
    cache: Path, tmp_path: Path
) -> None:
    edited = house(tmp_path, callee=("x + SHIFT", "x - SHIFT"))
    assert use(edited, cache) == ["-40", "0", "caller", "shifted"]


def test_an_edited_caller_leaves_what_it_calls(cache: Path, tmp_path: Path) -> None:
    assert use(house(tmp_path, caller=("10 *", "20 *")), cache) == ["120", "0", "caller"]


def test_comments_and_moved_lines_compile_nothing(cache: Path, tmp_path: Path) -> None:
    edited = house(tmp_path, callee=("@bare_kernel", "# a word\n\n@bare_kernel"))
    assert use(edited, cache) == ["60", "0"]


def test_a_callee_that_moved_to_another_module_compiles_its_callers(
    cache: Path, tmp_path: Path
) -> None:
    """What is kept names the module of its callee, which this checkout does not have."""
    moved = house(tmp_path, caller=("hw.callee", "hw.elsewhere"))
    (moved / "hw/callee.py").rename(moved / "hw/elsewhere.py")
    assert use(moved, cache) == ["60", "0", "caller", "shifted"]


def test_a_torn_file_is_compiled_again(cache: Path, tmp_path: Path) -> None:
    (torn,) = (cache / "kernels").glob("hw.caller.loner-*.nbc")
    torn.write_bytes(torn.read_bytes()[:100])
    assert use(house(tmp_path), cache) == ["60", "0", "loner"]


REGISTRIES = """
import sys
from hw.caller import caller, loner
print(caller(1), loner(1), "numba.np.arrayobj" in sys.modules)
"""
SYMBOLS = """
import pickle, shutil, subprocess
import llvmlite.binding as llvm
from numba.core.registry import cpu_target
from numba.core.runtime.nrt import rtsys
from hw.kernel_cache import kernel_folder

rtsys.initialize(cpu_target.target_context)  # as load_overload does
files = 0
for path in sorted(kernel_folder().glob("*.nbc")):
    try:
        _, kind, (machine_code, _) = pickle.loads(path.read_bytes())[0]
    except ImportError:  # of a kernel of tests, or of another release
        continue
    assert kind == "object"
    code = path.with_suffix(".code")
    try:
        code.write_bytes(machine_code)
        listed = subprocess.run(["nm", "-u", code], capture_output=True, text=True, check=True)
    finally:
        code.unlink()
    names = [line.split()[-1] for line in listed.stdout.splitlines() if line.strip()]
    missing = [name for name in names if llvm.address_of_symbol(name) is None]
    assert not missing, (path.name, missing)
    files += 1
print(files)
"""


def test_kept_code_runs_without_numbas_registries(cache: Path, tmp_path: Path) -> None:
    """They are half a second of imports in every process that starts."""
    answers = use(house(tmp_path / "again"), cache, REGISTRIES)
    assert answers == ["60", "0", "False"]


@pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm, of the package binutils")
def test_all_that_kept_code_calls_is_there_without_numbas_registries() -> None:
    """A symbol that is not would be a call of address 0: registries define some, such as hashes."""
    done = subprocess.run(
        [sys.executable, "-c", SYMBOLS], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0, "no kernels are compiled yet: tomoshibi warm"


def test_an_inner_kernel_can_be_called_from_python_too(tmp_path: Path) -> None:
    folder = house(tmp_path)
    code = "from hw.caller import *\nprint(caller(1), shifted(1))"
    for _ in range(2):  # compiled, and from the cache
        assert use(folder, tmp_path / "cache", code) == ["60", "6"]


def test_every_kernel_of_the_product_has_a_key() -> None:
    from daq.cli.launch.kernels import compiled
    from hw.jit import KERNELS

    compiled()  # imports them all
    keys = {kernel_cache.kernel_key(kernel) for kernel in KERNELS}
    assert len(keys) == len(KERNELS)


def test_a_global_that_cannot_be_told_by_value_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mutable:
        """Something of ours that a kernel might read."""

    Mutable.__module__ = "hw.somewhere"
    with pytest.raises(TypeError, match="cannot be told by value"):
        list(kernel_cache._of_value(Mutable(), ()))


def test_what_was_long_unused_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOMOSHIBI_CACHE", str(tmp_path))
    old, new = tmp_path / "kernels" / "old.nbc", tmp_path / "kernels" / "new.nbc"
    old.parent.mkdir()
    for path in (old, new):
        path.touch()
    os.utime(old, (1e9, 1e9))
    assert kernel_cache.forget_unused() == 1
    assert [path.name for path in old.parent.iterdir()] == ["new.nbc"]
