"""A version from a git tag, a plain folder, or wheels: what was asked for, and no network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from daq.cli.appliance.places import Places
from daq.cli.appliance.settings import ServiceSettings
from daq.cli.appliance.version_build import Given, build, check_python
from daq.cli.appliance.versions import Versions
from daq.cli.common import CommandError
from rigs.appliance.small_wheels import write_wheel
from rigs.appliance.trial_service import PROGRAM, ROOT, small_wheel

pytestmark = pytest.mark.processes
SETTINGS = ServiceSettings(user="root", acquire=["--preset", "bench2"])


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(tmp_path / "root" / "opt" / "tomoshibi")


def made(given: Given, versions: Versions) -> str:
    said: list[str] = []
    return build(given, versions, SETTINGS, Places(versions.folder.parents[1]), say=said.append)


@pytest.fixture
def checkout(tmp_path: Path) -> Given:
    """A git checkout with the real start script; its lock names two wheels, which lie beside it."""
    folder, wheels = tmp_path / "checkout", tmp_path / "wheels"
    (folder / "requirements").mkdir(parents=True)
    wheels.mkdir()
    lock = [write_wheel(wheels, name, "0.7") for name in ("numpy", "required")]
    (folder / "requirements" / "run.lock").write_text("".join(lock))
    _write_release(folder, "2.0")
    shutil.copy(ROOT / "tomoshibi", folder / "tomoshibi")
    program = PROGRAM.format(root=ROOT, python=sys.executable, acquire="works")
    (folder / "checked_out.py").write_text(program)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "2.0")
    git(folder, "tag", "v2.0")
    _write_release(folder, "2.1")
    git(folder, "commit", "-q", "-a", "-m", "2.1")
    (folder / "not_committed.py").write_text("")
    return Given(folder, wheels=wheels)


def _write_release(folder: Path, version: str) -> None:
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "tomoshibi"\nversion = "{version}"\n'
        'scripts.tomoshibi = "checked_out:main"\n'
    )


def git(folder: Path, *words: str) -> str:
    argv = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@t", *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def test_a_tag_is_built_as_it_was_committed_and_from_the_given_wheels_alone(checkout, versions):
    name = made(Given(checkout.folder, ref="v2.0", wheels=checkout.wheels), versions)
    assert name == f"2.0-{git(checkout.folder, 'rev-parse', '--short=12', 'v2.0')}"
    assert versions.is_whole(name)
    place = versions.place(name)
    assert 'version = "2.0"' in (place / "source" / "pyproject.toml").read_text()
    assert not (place / "source" / "not_committed.py").exists()
    assert "acquire" in (place / "units" / "tomoshibi-daq.service").read_text()
    told = subprocess.run([place / "tomoshibi", "--help"], capture_output=True, text=True,
                          timeout=60, check=True).stdout  # fmt: skip
    assert "research software" in told.lower()


def test_without_a_tag_the_commit_that_is_checked_out_is_built(checkout, versions):
    assert made(checkout, versions).startswith("2.1-")


def test_a_release_that_was_unpacked_is_named_by_its_content(checkout, versions):
    shutil.rmtree(checkout.folder / ".git")
    one = made(checkout, versions)
    assert one == made(checkout, versions)
    (checkout.folder / "not_committed.py").write_text("1\n")
    assert made(checkout, versions) != one


def test_what_is_built_can_be_read_by_the_services_user_whatever_the_umask(tmp_path, versions):
    before = os.umask(0o077)
    try:
        name = made(Given(small_wheel(tmp_path / "w", "1.0")), versions)
    finally:
        os.umask(before)
    place = versions.place(name)
    closed = [path for path in place.rglob("*") if not path.is_symlink()
              and path.stat().st_mode & 0o044 != 0o044]  # fmt: skip
    assert closed == []
    assert list(place.rglob("small_tomoshibi*.pyc"))


def test_a_wheel_of_another_hash_leaves_no_version(checkout, versions):
    wheel = next(checkout.wheels.glob("*.whl"))
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    with pytest.raises(CommandError, match=r"the set-up failed \(status 73\)"):
        made(checkout, versions)
    assert [path for path in versions.folder.iterdir() if versions.is_whole(path.name)] == []


def test_what_is_no_source_of_a_version_is_refused_in_words(tmp_path, checkout, versions):
    wheels = small_wheel(tmp_path / "w", "1.0")
    shutil.copy(next(wheels.glob("*.whl")), wheels / "tomoshibi-1.1-py3-none-any.whl")
    (tmp_path / "empty").mkdir()
    for given, words in [
        (Given(tmp_path / "nowhere"), "there is no such folder"),
        (Given(tmp_path / "empty"), "neither a checkout of tomoshibi"),
        (Given(wheels), "more than one version"),
        (Given(checkout.folder, wheels=tmp_path / "nowhere"), "--wheels .* no such folder"),
        (Given(checkout.folder, ref="v9"), "v9"),
    ]:
        with pytest.raises(CommandError, match=words):
            made(given, versions)
    assert not versions.folder.exists() or list(versions.folder.iterdir()) == []


@pytest.mark.parametrize("python", ["/root/.pyenv/bin/python3.11", "/home/a/venv/bin/python3"])
def test_a_python_in_somebodys_home_is_refused_with_one_that_does(python):
    with pytest.raises(CommandError, match=r"/usr/bin/python3 \./tomoshibi"):
        check_python(Path(python))
    check_python(Path("/usr/bin/python3.11"))
