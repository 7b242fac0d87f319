"""The start script, function by function; environments built here hold three small wheels."""

from __future__ import annotations

import ast
import fcntl
import importlib.util
import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import pytest

from rigs.appliance.small_wheels import write_wheel

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tomoshibi"
LOCK = "numpy==2.4.6 \\\n    --hash=sha256:00\npyqtgraph==0.14.0 \\\n    --hash=sha256:00\n"
PROJECT = """\
[project]
name = "tomoshibi"
version = "0.1.0"
scripts.tomoshibi = "daq.cli:main"
"""


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a fresh module; its name has no .py, so no bytecode may lie beside it."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = SourceFileLoader("tomoshibi_start", str(SCRIPT))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the files that decide what the environment holds."""
    root = tmp_path / "checkout"
    (root / "requirements").mkdir(parents=True)
    (root / "requirements" / "run.lock").write_text(LOCK)
    (root / "requirements" / "test.lock").write_text(f"{LOCK}pytest==9.2.0 --hash=sha256:00\n")
    (root / "pyproject.toml").write_text(PROJECT)
    return root


# --- what it is -------------------------------------------------------------------------------


def test_it_is_executable_and_imports_the_standard_library_only() -> None:
    assert SCRIPT.stat().st_mode & stat.S_IXUSR
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"))
    imports = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    imports |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert {name.split(".")[0] for name in imports} <= sys.stdlib_module_names


def test_it_names_no_host() -> None:
    assert "://" not in SCRIPT.read_text(encoding="utf-8")


def test_an_old_python_can_parse_it_and_so_refuse_with_words() -> None:
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"), feature_version=(3, 8))
    first = next(node for node in tree.body if isinstance(node, ast.ImportFrom))
    assert first.module == "__future__"  # annotations of today's grammar are not evaluated
    assert [name.name for name in first.names] == ["annotations"]


# --- Python -----------------------------------------------------------------------------------


def test_old_python_is_refused_with_its_version_its_path_and_the_remedy(start: Any) -> None:
    with pytest.raises(start.StartError) as caught:
        start.refuse_old_python((3, 9, 2), "/usr/bin/python3")
    message, status = caught.value.args
    assert status == 78
    for words in ("3.11", "3.9.2", "/usr/bin/python3", "python3.11 ./tomoshibi"):
        assert words in message


@pytest.mark.parametrize("version", [(3, 11, 2), (3, 13, 0), (4, 0, 0)])
def test_new_enough_python_is_accepted(start: Any, version: tuple[int, ...]) -> None:
    assert start.refuse_old_python(version, "python3") is None


# --- system packages --------------------------------------------------------------------------


def test_bare_system_without_display_is_asked_for_nothing_of_x(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "can_load", lambda soname: False)
    monkeypatch.setattr(start, "has_font", lambda: False)
    monkeypatch.setattr(start, "pip_wheel", lambda: None)
    missing = start.missing_packages(window=False, venv=True)
    assert set(missing) == {
        *("python3-pip-whl", "fonts-dejavu-core", "libgl1", "libegl1", "libglib2.0-0"),
        *("libfontconfig1", "libxkbcommon0", "libdbus-1-3"),
    }


def test_with_a_display_the_window_libraries_are_needed_too(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "has_font", lambda: True)
    monkeypatch.setattr(start, "can_load", lambda soname: "xcb" not in soname)
    missing = start.missing_packages(window=True, venv=False)
    assert "libxcb-cursor0" in missing
    assert "libgl1" not in missing
    assert missing["libxcb-icccm4"] == "opens a window on the display (libxcb-icccm.so.4)"


def test_a_ready_environment_needs_no_pip(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "pip_wheel", lambda: None)
    assert start.PIP not in start.missing_packages(window=False, venv=False)


def test_pip_is_found_where_python_or_debian_keeps_its_wheel(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start.sysconfig, "get_path", lambda name: str(tmp_path / name))
    monkeypatch.setattr(start.sysconfig, "get_config_var", lambda name: str(tmp_path / "debian"))
    assert start.pip_wheel() is None
    for folder in ("debian", "stdlib/ensurepip/_bundled"):
        (tmp_path / folder).mkdir(parents=True)
        (wheel := tmp_path / folder / "pip-25.1-py3-none-any.whl").touch()
        assert start.pip_wheel() == wheel


def test_tests_are_offered_the_compilers_and_machines_that_are_missing(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gcc").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(start, "can_load", lambda soname: soname != "libxcb-cursor.so.0")
    missing = start.missing_for_tests()
    assert {
        "libxcb-cursor0",
        "make",
        "gcc-arm-none-eabi",
        "qemu-system-arm",
        "xvfb",
        "openbox",
    } <= set(missing)
    assert "gcc" not in missing


def test_libraries_are_found_by_loading_them(start: Any) -> None:
    assert start.can_load("libc.so.6")
    assert not start.can_load("libtomoshibi-is-not-a-library.so.7")


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        ({"DISPLAY": ""}, False),
        ({"DISPLAY": ":0"}, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, True),
        ({"DISPLAY": ":0", "QT_QPA_PLATFORM": "xcb"}, True),
        ({"DISPLAY": ":0", "QT_QPA_PLATFORM": "offscreen"}, False),
        ({"DISPLAY": ":0", "QT_QPA_PLATFORM": "minimal:enable_fonts"}, False),
    ],
)
def test_a_window_is_wanted_where_qt_would_open_one(
    start: Any, environ: dict[str, str], wanted: bool
) -> None:
    assert start.window_wanted(environ) is wanted


def test_apt_line_can_be_typed_as_it_stands(start: Any) -> None:
    line = start.apt_line(["libgl1", "libegl1"], root=False)
    assert line == (
        "sudo apt-get update && sudo apt-get install --yes --no-install-recommends libgl1 libegl1"
    )
    assert "sudo" not in start.apt_line(["libgl1"], root=True)


GL = {"libgl1": "draws the console (libGL.so.1)"}


@pytest.fixture
def user(start: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Make the script believe in this user and in these programs; nobody answers questions."""

    def become(*, root: bool, programs: str = "apt-get sudo") -> Any:
        monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
        there = programs.split()
        monkeypatch.setattr(start.shutil, "which", lambda name: name if name in there else None)
        monkeypatch.setattr(start, "confirmed", lambda question: False)
        return start

    return become


@pytest.mark.parametrize(
    ("root", "apt", "programs", "line"),
    [
        (False, False, "apt-get sudo", "  sudo apt-get update && sudo apt-get install"),
        (False, True, "apt-get", "  sudo apt-get update && sudo apt-get install"),
        (True, False, "apt-get", "  apt-get update && apt-get install"),
        (True, True, "dnf", "Other systems"),
    ],
)
def test_what_may_not_be_installed_is_told_with_the_line_to_type(
    user: Callable[..., Any],
    root: bool,
    apt: bool,
    programs: str,
    line: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    start = user(root=root, programs=programs)
    with pytest.raises(start.StartError) as caught:
        start.packages_to_install(GL, [], apt=apt)
    message, status = caught.value.args
    assert status == 69
    assert line in message
    assert "./tomoshibi --apt" in message
    output = capsys.readouterr()
    assert output.out == ""
    assert "libgl1" in output.err
    assert "libGL.so.1" in output.err


@pytest.mark.parametrize("root", [True, False])
def test_apt_flag_installs_what_is_missing_and_what_tests_skip_without(
    user: Callable[..., Any], root: bool
) -> None:
    assert user(root=root).packages_to_install(GL, ["gcc"], apt=True) == ["libgl1", "gcc"]


def test_packages_of_tests_are_no_condition_but_are_told(
    user: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert user(root=True).packages_to_install({}, ["qemu-system-arm"], apt=False) == []
    assert "--apt brings them): qemu-system-arm" in capsys.readouterr().err


def test_only_window_libraries_missing_offers_to_do_without_a_window(
    user: Callable[..., Any],
) -> None:
    start = user(root=False)
    with pytest.raises(start.StartError, match="QT_QPA_PLATFORM=offscreen"):
        start.packages_to_install({"libxcb-cursor0": "opens a window"}, [], apt=False)


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt-get that writes down how it was called, where this returns."""
    (program := tmp_path / "apt-get").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return tmp_path / "calls"


def test_pip_comes_before_the_packages_that_nothing_waits_for(
    user: Callable[..., Any], apt: Path
) -> None:
    start = user(root=True)
    work = start.install_packages(["libgl1", start.PIP, "gcc"])
    assert work.finish() == 0
    calls = [line.split("APT::Status-Fd=1 ")[1] for line in apt.read_text().splitlines()]
    install = "install --yes --no-install-recommends"
    assert calls == ["update", f"{install} python3-pip-whl", f"{install} libgl1 gcc"]


def test_interrupt_leaves_apt_to_end_by_itself(user: Callable[..., Any], apt: Path) -> None:
    (apt.parent / "apt-get").write_text(f"#!/bin/sh\nsleep 0.5; echo done >> {apt}\n")
    work = user(root=True).install_packages(["libgl1"])
    assert os.getpgid(work.process.pid) != os.getpgid(0)  # where a terminal's Ctrl-C goes
    work.stop()
    assert work.process.wait(30) == 0
    assert apt.read_text() == "done\ndone\n"


def test_an_installation_that_did_not_help_is_an_error(
    start: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(start, "missing_packages", lambda **_: GL)
    monkeypatch.setattr(start, "packages_to_install", lambda *_, **__: ["libgl1"])
    monkeypatch.setattr(start, "is_ready", lambda *_: True)
    failed = start.Work("packages", ["sh", "-c", "echo no link; exit 100"], tmp_path / "log")
    monkeypatch.setattr(start, "install_packages", lambda packages: failed)
    assert start.main(["--apt", "demo"]) == 69
    told = capsys.readouterr().err
    assert "no link" in told
    assert "still missing: libgl1" in told


# --- the stamps -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("requirements/run.lock", "numpy==2.4.7 --hash=sha256:00\n"),
        ("pyproject.toml", PROJECT.replace("0.1.0", "0.2.0")),
    ],
)
def test_another_lock_or_version_asks_for_a_new_environment(
    start: Any, checkout: Path, name: str, text: str
) -> None:
    before = start.stamps_of(checkout, ["run"])
    assert start.stamps_of(checkout, ["run"]) == before
    (checkout / name).write_text(text)
    assert start.stamps_of(checkout, ["run"]) != before


def test_settings_of_tools_keep_the_environment(start: Any, checkout: Path) -> None:
    before = start.stamps_of(checkout, ["run"])
    (checkout / "pyproject.toml").write_text(PROJECT + "[tool.ruff]\nline-length = 90\n")
    assert start.stamps_of(checkout, ["run"]) == before


def test_a_patched_python_keeps_the_environment(
    start: Any, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = start.stamps_of(checkout, ["run"])
    monkeypatch.setattr(sys, "version", "3.11.99 (another build of the same Python)")
    monkeypatch.setattr(sys, "version_info", (*sys.version_info[:2], 99, "final", 0))
    assert start.stamps_of(checkout, ["run"]) == before


def test_another_python_or_a_moved_checkout_asks_for_a_new_environment(
    start: Any, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = start.stamps_of(checkout, ["run"])
    for name, value in (
        ("version_info", (3, 99, 0, "final", 0)),
        ("abiflags", "t"),
        ("base_prefix", "/opt/python"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(sys, name, value)
            assert start.stamps_of(checkout, ["run"]) != before
    moved = checkout.rename(checkout.with_name("moved"))
    assert start.stamps_of(moved, ["run"]) != before


def test_a_lock_that_does_not_exist_is_refused_with_those_that_do(
    start: Any, checkout: Path
) -> None:
    with pytest.raises(start.StartError, match="there are: run, test"):
        start.stamps_of(checkout, ["run", "tset"])


def test_ready_means_exactly_these_stamps(start: Any, tmp_path: Path) -> None:
    assert not start.is_ready(tmp_path, {"run": "abc"})
    (tmp_path / "ready-run").write_text("abc")
    assert start.is_ready(tmp_path, {"run": "abc"})
    assert not start.is_ready(tmp_path, {"run": "abd"})
    assert not start.is_ready(tmp_path, {"run": "abc", "test": "def"})


def test_environment_lives_in_the_checkout_and_else_in_the_cache(
    start: Any, tmp_path: Path
) -> None:
    here, cached = start.candidate_venvs(Path("/a/clone"), {"XDG_CACHE_HOME": str(tmp_path)})
    assert here == Path("/a/clone/.tomoshibi/venv")
    assert cached.parent == tmp_path / "tomoshibi"
    _, other = start.candidate_venvs(Path("/b/clone"), {"XDG_CACHE_HOME": str(tmp_path)})
    assert other.name != cached.name


# --- the set-up -------------------------------------------------------------------------------


@pytest.fixture
def steps(start: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let a set-up run these shell scripts instead of pip ($VENV is the folder)."""

    def replace(*scripts: str) -> None:
        left = [*scripts, *["true"] * (2 - len(scripts))]

        def run(name: str, wanted: object, venv: Path, *, lock: int) -> Any:
            script = f"VENV={venv}; mkdir -p $VENV; {left.pop(0)}"
            return start.Work(name, ["sh", "-c", script], venv.with_name(f"{name}.log"))

        monkeypatch.setattr(start, "start_wheels", run)
        monkeypatch.setattr(start, "make_venv", lambda venv, *beside: venv.mkdir())
        monkeypatch.setattr(start, "install_project", lambda venv, root: None)

    return replace


@pytest.fixture
def set_up(start: Any, checkout: Path) -> Callable[..., Path]:
    """Set up the checkout's environment with these stamps."""

    def run(
        *places: Path, warm: Sequence[str] = (), beside: list[Any] | None = None, **stamps: str
    ) -> Path:
        return start.set_up(
            list(places) or [checkout / ".tomoshibi" / "venv"],
            root=checkout,
            stamps=stamps or {"run": "abc"},
            beside=[] if beside is None else beside,
            warm=[*warm],
        )

    return run


@pytest.fixture
def wheels(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of small wheels, the only ones that pip finds; the checkout's locks name them."""
    (folder := tmp_path / "wheels").mkdir()
    run = write_wheel(folder, "numpy", "2.4.6") + write_wheel(folder, "pyqtgraph", "0.14.0")
    (checkout / "requirements/run.lock").write_text(run)
    (checkout / "requirements/test.lock").write_text(run + write_wheel(folder, "pytest", "9.2.0"))
    (checkout / "daq").mkdir()
    (checkout / "daq" / "cli.py").write_text(
        "import sys\n\ndef main():\n    import numpy\n    print(numpy.__version__, *sys.argv[1:])\n"
        "\nif __name__ == '__main__':\n    main()\n"
    )
    for name, value in (("NO_INDEX", "1"), ("FIND_LINKS", folder), ("CONFIG_FILE", os.devnull)):
        monkeypatch.setenv(f"PIP_{name}", str(value))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return folder


def test_environment_holds_the_locks_wheels_and_this_checkout_as_it_lies(
    set_up: Callable[..., Path], wheels: Path, checkout: Path
) -> None:
    venv = set_up()
    program = [venv / "bin" / "tomoshibi", "runs"]
    assert subprocess.check_output(program, text=True) == "2.4.6 runs\n"
    (checkout / "daq" / "cli.py").write_text("def main():\n    print('edited')\n")
    assert subprocess.check_output(program, text=True) == "edited\n"
    ask = "from importlib.metadata import version as v; print(v('tomoshibi'), v('pyqtgraph'))"
    python = venv / "bin" / "python"
    assert subprocess.check_output([python, "-c", ask], text=True) == "0.1.0 0.14.0\n"
    assert list(venv.rglob("pyqtgraph*.pyc")) == []  # it is compiled when it is imported
    assert subprocess.call([python, "-m", "pip", "check"], stdout=subprocess.DEVNULL) == 0


def test_a_wheel_of_another_hash_is_refused(
    set_up: Callable[..., Path], start: Any, wheels: Path, checkout: Path
) -> None:
    with zipfile.ZipFile(wheels / "numpy-2.4.6-py3-none-any.whl", "a") as wheel:
        wheel.writestr("more.py", "")
    with pytest.raises(start.StartError, match="DO NOT MATCH THE HASHES"):
        set_up()
    assert not (checkout / ".tomoshibi" / "venv").exists()


def test_tests_are_added_to_the_environment_that_is_there(
    set_up: Callable[..., Path], wheels: Path, start: Any
) -> None:
    (kept := set_up() / "kept").touch()
    venv = set_up(run="abc", test="def")
    assert kept.exists()
    assert list(start.site_of(venv).glob("pytest-*.dist-info"))
    assert start.is_ready(venv, {"run": "abc", "test": "def"})


def test_another_lock_of_the_tests_makes_the_environment_anew(
    set_up: Callable[..., Path], steps: Callable[..., None]
) -> None:
    steps("touch $VENV/old")
    assert (set_up(run="abc", test="def") / "old").exists()
    steps("true")
    assert not (set_up(run="abc", test="another lock") / "old").exists()


def test_kernels_are_compiled_beside_the_wheels_that_they_do_not_need(
    set_up: Callable[..., Path], wheels: Path
) -> None:
    beside: list[Any] = []
    set_up(warm=["warm", "--for", "demo"], beside=beside)
    (kernels,) = beside
    assert kernels.finish() == 0
    assert kernels.words() == "2.4.6 warm --for demo\n"


def test_finished_set_up_is_stamped_and_not_done_twice(
    start: Any, set_up: Callable[..., Path], steps: Callable[..., None]
) -> None:
    steps("true", "echo once >> $VENV/../count")
    for _ in range(2):
        venv = set_up()
    assert start.is_ready(venv, {"run": "abc"})
    assert (venv.parent / "count").read_text() == "once\n"


def test_failed_step_leaves_no_environment_and_quotes_its_last_words(
    start: Any, checkout: Path, set_up: Callable[..., Path], steps: Callable[..., None]
) -> None:
    steps("true", "echo no such package: unobtainium; exit 3")
    with pytest.raises(start.StartError) as caught:
        set_up()
    message, status = caught.value.args
    assert status == 73
    assert "'wheels' (status 3)" in message
    assert "no such package: unobtainium" in message
    assert not (checkout / ".tomoshibi" / "venv").exists()


def test_interrupted_set_up_leaves_no_environment_and_the_next_makes_it_anew(
    start: Any,
    checkout: Path,
    set_up: Callable[..., Path],
    steps: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps("touch $VENV/half; exec sleep 60")
    venv = checkout / ".tomoshibi" / "venv"

    def ctrl_c(works: object) -> str:
        if (venv / "half").exists():
            raise KeyboardInterrupt
        return ""

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(start, "progress_line", ctrl_c)
        set_up()
    assert not venv.exists()
    steps("touch $VENV/whole")
    set_up()
    assert (venv / "whole").exists()


def test_half_made_environment_of_a_killed_set_up_is_removed_first(
    start: Any, checkout: Path, set_up: Callable[..., Path], steps: Callable[..., None]
) -> None:
    venv = checkout / ".tomoshibi" / "venv"
    (venv / "lib").mkdir(parents=True)
    (venv / "ready-run").write_text("an older stamp")
    steps("test ! -e $VENV/lib")
    set_up()
    assert start.is_ready(venv, {"run": "abc"})


def test_unwritable_checkout_falls_back_to_the_cache(
    checkout: Path,
    set_up: Callable[..., Path],
    steps: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    (checkout / ".tomoshibi").write_text("a file where the folder should be")
    steps("true")
    here, cached = checkout / ".tomoshibi" / "venv", checkout.parent / "cache" / "venv-1"
    assert set_up(here, cached) == cached
    assert f"cannot set up {here}" in capsys.readouterr().err


def test_nowhere_to_write_is_an_error_with_the_remedy(
    start: Any, checkout: Path, set_up: Callable[..., Path]
) -> None:
    (checkout / ".tomoshibi").write_text("a file where the folder should be")
    with pytest.raises(start.StartError, match="XDG_CACHE_HOME"):
        set_up()


def test_second_set_up_waits_a_bounded_time_and_names_the_lock(
    start: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    venv = tmp_path / "venv"
    with (tmp_path / "venv.lock").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with (
            pytest.raises(start.StartError, match=r"venv\.lock") as caught,
            start.setup_lock(venv, wait_s=0.2),
        ):
            pytest.fail("two set-ups at once")
    assert caught.value.args[1] == 75
    assert capsys.readouterr().err.count("another set-up is running") == 1


@pytest.mark.parametrize("order", ["run optional", "optional run"])
def test_a_package_that_one_lock_wants_everywhere_stays_wanted(
    order: str, start: Any, tmp_path: Path
) -> None:
    """Another lock wants it for another interpreter only: pip would have left it out."""
    (tmp_path / "run").write_text("cffi==2.1.1 \\\n    --hash=sha256:00\n")
    (tmp_path / "optional").write_text(
        "cffi==2.1.1 ; implementation_name == 'pypy' \\\n    --hash=sha256:00\n"
        "scipy==1.17.1 ; python_version >= '3.12' \\\n    --hash=sha256:01\n"
    )
    wanted = start.united(tmp_path / name for name in order.split())
    assert wanted["cffi"] == "cffi==2.1.1 \\\n    --hash=sha256:00\n"
    assert wanted["scipy"].startswith("scipy==1.17.1 ; python_version >= '3.12'")


def test_lock_is_free_again_after_a_set_up(start: Any, tmp_path: Path) -> None:
    for _ in range(2):
        with start.setup_lock(tmp_path / "venv", wait_s=0.0) as descriptor:
            assert descriptor > 2


# --- progress ---------------------------------------------------------------------------------


def test_progress_of_wheels_goes_by_size_fetched_then_installed(start: Any, tmp_path: Path) -> None:
    names = {"numpy": "", "click": ""}  # 16 and 1 MB, fetched and installed: 34 in all
    words = "Collecting click==8.5.1\n  Downloading click\n"
    assert start.part_of_wheels(words, names, tmp_path) == 0.0
    words += "Collecting numpy==2.4.6\n  Downloading numpy\n"
    assert start.part_of_wheels(words, names, tmp_path) == pytest.approx(1 / 34)
    words += "Installing collected packages: click, numpy\n"
    assert start.part_of_wheels(words, names, tmp_path) == pytest.approx(17 / 34)
    (tmp_path / "numpy-2.4.6.dist-info").mkdir()
    assert start.part_of_wheels(words, names, tmp_path) == pytest.approx(33 / 34)


def test_progress_of_packages_is_what_apt_says(start: Any) -> None:
    words = "Reading package lists...\n"
    assert start.part_of_packages(words) == 0.0
    words += "dlstatus:3:50.0:Retrieving file 3 of 9\n"
    assert start.part_of_packages(words) == pytest.approx(0.05)
    words += "pmstatus:libgl1:40.0:Installing libgl1\n"
    assert start.part_of_packages(words) == pytest.approx(0.46)


def test_progress_of_kernels_is_their_last_count(start: Any) -> None:
    assert start.part_of_kernels("") == 0.0
    assert start.part_of_kernels("kernels 1/4: hw\nkernels 3/4: recon\n") == 0.75


def test_the_line_has_every_part_and_the_time_that_the_slowest_needs(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = [
        start.Work(name, ["true"], tmp_path / name, lambda words, part=part: part)
        for name, part in (("packages", 0.8), ("wheels", 0.5))
    ]
    for work in works:
        work.process.wait(30)
        work.begin = 100.0
    monkeypatch.setattr(start.time, "monotonic", lambda: 110.0)
    line = start.progress_line(works)
    assert line == "tomoshibi: #######....... packages 80 %, wheels 50 %, about 10 s left"
    assert start.progress_line([]) == ""


# --- handing over -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "apt", "kept"),
    [
        (["--apt", "demo"], True, ["demo"]),
        (["demo", "--apt", "--json"], True, ["demo", "--json"]),
        (["demo"], False, ["demo"]),
        (["test", "--", "--apt"], False, ["test", "--", "--apt"]),
    ],
)
def test_apt_flag_is_taken_out_before_the_command_sees_it(
    start: Any, given: list[str], apt: bool, kept: list[str]
) -> None:
    assert start.split_arguments(given) == (apt, kept)


def test_command_line_and_test_suite_run_in_the_environment(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []

    def execv(path: str, words: list[str]) -> None:
        calls.append(words)
        raise SystemExit(0)

    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.chdir(tmp_path)
    python = str(tmp_path / "bin" / "python")
    with pytest.raises(SystemExit):
        start.hand_over(tmp_path, ["demo", "--headless"])
    assert Path.cwd() == tmp_path
    assert "PYTHONDONTWRITEBYTECODE" not in os.environ  # our packages come without bytecode
    with pytest.raises(SystemExit):
        start.hand_over(tmp_path, ["test", "-k", "lock"])
    assert Path.cwd() == ROOT
    assert calls == [
        [python, str(tmp_path / "bin" / "tomoshibi"), "demo", "--headless"],
        [python, "-m", "pytest", "-k", "lock"],
    ]


def test_errors_go_to_stderr_with_their_exit_status(
    start: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise start.StartError("what, where, what next", 78)

    monkeypatch.setattr(start, "refuse_old_python", refuse)
    assert start.main(["demo"]) == 78
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", "tomoshibi: what, where, what next\n")


def test_each_command_needs_the_run_lock_and_the_test_suite_its_own(start: Any) -> None:
    assert start.locks_for([]) == start.locks_for(["demo", "test"]) == ["run"]
    assert start.locks_for(["test", "-x"]) == start.locks_for(["setup"]) == ["run", "test"]
    assert start.locks_for(["setup", "run"]) == ["run"]
    assert start.locks_for(["setup", "docs"]) == ["run", "docs"]


def test_kernels_are_compiled_beforehand_for_a_demo_that_will_run(start: Any) -> None:
    assert start.warm_for(["demo", "--headless"]) == ["warm", "--for", "demo"]
    assert (
        start.warm_for(["demo", "--help"]) == start.warm_for(["doctor"]) == start.warm_for([]) == []
    )


def test_compiling_needs_nothing_but_what_is_installed_first(start: Any) -> None:
    """Every kernel's room is imported with all other distributions out of reach."""
    files = (path for path in ROOT.glob("*/**/warm_up.py") if ".tomoshibi" not in path.parts)
    rooms = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files]
    assert rooms
    program = f"""
import importlib, sys
from importlib.metadata import packages_distributions
first = {start.FIRST.split()!r} + ["tomoshibi", "setuptools", "pip"]
late = {{m for m, found in packages_distributions().items()
        if not {{n.lower().replace("_", "-") for n in found}} & set(first)}} - sys.modules.keys()
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in late:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Refuse())
from daq.cli.commands import warm
for room in {rooms!r}:
    importlib.import_module(room)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_ci_takes_its_packages_from_the_script() -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "./tomoshibi --apt setup" in ci
    assert "libgl1" not in ci
