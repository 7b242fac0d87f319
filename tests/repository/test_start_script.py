"""The start script, function by function; no environment is really built here."""

from __future__ import annotations

import ast
import fcntl
import importlib.util
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tomoshibi"


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
    """A folder with the two files that decide what the environment holds."""
    root = tmp_path / "checkout"
    root.mkdir()
    (root / "requirements.lock").write_text("numpy==2.4.6 \\\n    --hash=sha256:00\n")
    (root / "pyproject.toml").write_text("[project]\n")
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
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    missing = start.missing_packages(window=False, venv=True)
    assert set(missing) == {
        *("python3-venv", "fonts-dejavu-core", "libgl1", "libegl1", "libglib2.0-0"),
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


def test_a_ready_environment_needs_no_ensurepip(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "python3-venv" not in start.missing_packages(window=False, venv=False)


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


@pytest.fixture
def without_gl(start: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Only libgl1 is missing; whatever shell command would run is kept in ``start.ran``."""
    start.ran, start.gone = [], {"libgl1": "draws the console (libGL.so.1)"}
    monkeypatch.setattr(start, "missing_packages", lambda **_: dict(start.gone))
    monkeypatch.setattr(subprocess, "run", lambda command, **_: start.ran.append(command))
    monkeypatch.setattr(start.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(start, "confirmed", lambda question: False)
    return start


def test_an_ordinary_user_is_told_the_sudo_line_and_nothing_is_run(
    without_gl: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(without_gl.StartError) as caught:
        without_gl.require_packages(apt=True, window=False, venv=True)
    message, status = caught.value.args
    assert status == 69
    assert "  sudo apt-get update && sudo apt-get install" in message
    assert without_gl.ran == []
    output = capsys.readouterr()
    assert output.out == ""
    assert "libgl1" in output.err
    assert "libGL.so.1" in output.err


def test_root_without_apt_flag_or_terminal_is_told_and_nothing_is_run(
    without_gl: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(without_gl.StartError, match=r"\./tomoshibi --apt"):
        without_gl.require_packages(apt=False, window=False, venv=True)
    assert without_gl.ran == []


def test_root_with_apt_flag_installs_what_is_missing(
    without_gl: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def install(command: str, **_: object) -> None:
        without_gl.ran.append(command)
        without_gl.gone.clear()

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(subprocess, "run", install)
    without_gl.require_packages(apt=True, window=False, venv=True)
    (command,) = without_gl.ran
    assert "--no-install-recommends libgl1" in command


def test_an_installation_that_did_not_help_is_an_error(
    without_gl: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(without_gl.StartError):
        without_gl.require_packages(apt=True, window=False, venv=True)
    assert "still missing: libgl1" in capsys.readouterr().err


def test_only_window_libraries_missing_offers_to_do_without_a_window(
    without_gl: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    without_gl.gone = {"libxcb-cursor0": "opens a window on the display (libxcb-cursor.so.0)"}
    with pytest.raises(without_gl.StartError, match="QT_QPA_PLATFORM=offscreen"):
        without_gl.require_packages(apt=False, window=True, venv=True)


# --- the stamp --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_editing_lock_or_project_asks_for_a_new_environment(
    start: Any, checkout: Path, name: str
) -> None:
    before = start.stamp_of(checkout)
    assert start.stamp_of(checkout) == before
    (checkout / name).write_text("changed\n")
    assert start.stamp_of(checkout) != before


def test_another_python_or_a_moved_checkout_asks_for_a_new_environment(
    start: Any, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = start.stamp_of(checkout)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "version", "3.99.0 (another build)")
        assert start.stamp_of(checkout) != before
    moved = checkout.rename(checkout.with_name("moved"))
    assert start.stamp_of(moved) != before


def test_ready_means_exactly_this_stamp(start: Any, tmp_path: Path) -> None:
    assert not start.is_ready(tmp_path, "abc")
    (tmp_path / "ready").write_text("abc")
    assert start.is_ready(tmp_path, "abc")
    assert not start.is_ready(tmp_path, "abd")


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
    """Let a set-up run these shell scripts instead of venv and pip ($VENV is the folder)."""

    def replace(*scripts: str) -> None:
        def commands(venv: Path, root: Path) -> dict[str, list[str]]:
            make = f"VENV={venv}; mkdir -p $VENV; "
            return {f"step {i}": ["sh", "-c", make + s] for i, s in enumerate(scripts)}

        monkeypatch.setattr(start, "setup_commands", commands)

    return replace


def test_requirements_are_installed_by_hash_from_wheels_only(start: Any, checkout: Path) -> None:
    commands = start.setup_commands(checkout / "venv", checkout)
    words = commands["requirements"]
    assert "--require-hashes" in words
    assert words[words.index("--only-binary") + 1] == ":all:"
    assert "--no-deps" in commands["tomoshibi"]
    assert list(commands) == ["environment", "requirements", "tomoshibi"]


def test_finished_set_up_is_stamped_and_not_done_twice(
    start: Any, checkout: Path, steps: Callable[..., None]
) -> None:
    steps("echo once >> $VENV/../count")
    venv = checkout / ".tomoshibi" / "venv"
    for _ in range(2):
        assert start.set_up([venv], root=checkout, stamp="abc") == venv
    assert start.is_ready(venv, "abc")
    assert (venv.parent / "count").read_text() == "once\n"


def test_failed_step_leaves_no_environment_and_quotes_its_last_words(
    start: Any, checkout: Path, steps: Callable[..., None]
) -> None:
    steps("true", "echo no such package: unobtainium; exit 3")
    venv = checkout / ".tomoshibi" / "venv"
    with pytest.raises(start.StartError) as caught:
        start.set_up([venv], root=checkout, stamp="abc")
    message, status = caught.value.args
    assert status == 73
    assert "'step 1' (status 3)" in message
    assert "no such package: unobtainium" in message
    assert not venv.exists()


def test_interrupted_set_up_leaves_no_environment_and_the_next_makes_it_anew(
    start: Any, checkout: Path, steps: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps("touch $VENV/half; exec sleep 60")
    venv = checkout / ".tomoshibi" / "venv"

    def ctrl_c(log: Path, folder: Path, pins: int) -> str:
        if (folder / "half").exists():
            raise KeyboardInterrupt
        return ""

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(start, "progress_of", ctrl_c)
        start.set_up([venv], root=checkout, stamp="abc")
    assert not venv.exists()
    steps("touch $VENV/whole")
    start.set_up([venv], root=checkout, stamp="abc")
    assert (venv / "whole").exists()


def test_half_made_environment_of_a_killed_set_up_is_removed_first(
    start: Any, checkout: Path, steps: Callable[..., None]
) -> None:
    venv = checkout / ".tomoshibi" / "venv"
    (venv / "lib").mkdir(parents=True)
    (venv / "ready").write_text("an older stamp")
    steps("test ! -e $VENV/lib")
    start.set_up([venv], root=checkout, stamp="abc")
    assert start.is_ready(venv, "abc")


def test_unwritable_checkout_falls_back_to_the_cache(
    start: Any, checkout: Path, steps: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout / ".tomoshibi").write_text("a file where the folder should be")
    steps("true")
    here, cached = checkout / ".tomoshibi" / "venv", checkout.parent / "cache" / "venv-1"
    assert start.set_up([here, cached], root=checkout, stamp="abc") == cached
    assert f"cannot set up {here}" in capsys.readouterr().err


def test_nowhere_to_write_is_an_error_with_the_remedy(start: Any, checkout: Path) -> None:
    (checkout / ".tomoshibi").write_text("a file where the folder should be")
    with pytest.raises(start.StartError, match="XDG_CACHE_HOME"):
        start.set_up([checkout / ".tomoshibi" / "venv"], root=checkout, stamp="abc")


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


def test_lock_is_free_again_after_a_set_up(start: Any, tmp_path: Path) -> None:
    for _ in range(2):
        with start.setup_lock(tmp_path / "venv", wait_s=0.0) as descriptor:
            assert descriptor > 2


def test_progress_counts_what_was_fetched_then_what_was_installed(
    start: Any, tmp_path: Path
) -> None:
    log, packages = tmp_path / "log", tmp_path / "venv/lib/python3.11/site-packages"
    log.write_text("Collecting click==8.5.1\n  Downloading click\nCollecting numpy==2.4.6\n")
    assert start.progress_of(log, tmp_path / "venv", 46) == "fetching 2/46 numpy==2.4.6"
    (packages / "click-8.5.1.dist-info").mkdir(parents=True)
    log.write_text(log.read_text() + "Installing collected packages: click, numpy\n")
    assert start.progress_of(log, tmp_path / "venv", 46) == "installing 1/46"


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
    monkeypatch.chdir(tmp_path)
    python = str(tmp_path / "bin" / "python")
    with pytest.raises(SystemExit):
        start.hand_over(tmp_path, ["demo", "--headless"])
    assert Path.cwd() == tmp_path
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


def test_ci_installs_every_package_that_the_script_may_ask_for(start: Any) -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8").split()
    packages = {pair.split("=")[0] for pair in (start.DRAWING + start.WINDOW).split()}
    assert packages | {"fonts-dejavu-core"} <= set(ci)
