"""The kernel cache's key: any edit that could change machine code changes it, nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw import jit

KERNEL = "from hw.constants import SHIFT\nfrom hw.jit import kernel\n\n@kernel\ndef f(): ...\n"
FILES = {
    "hw/jit.py": "kernel = None\n",
    "hw/constants.py": "from hw import origin\nSHIFT = origin.SHIFT\n",
    "hw/constants.toml": "shift = 5\n",
    "hw/origin.py": "SHIFT = 5\n",
    "coincidence/pairs.py": KERNEL,
    "daq/service/service.py": "from hw.jit import cache_folder\nfrom coincidence.pairs import f\n",
    "gui/app/window.py": "from hw.jit import kernel\n\n@kernel\ndef g(): ...\n",
}


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small house with a kernel, its constants, and files that have no part in it."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(jit, "_ROOT", tmp_path)
    return tmp_path


def edit(file: Path) -> None:
    """Change a file without changing what it says."""
    with file.open("a", encoding="utf-8") as opened:
        opened.write("# edited\n")


@pytest.mark.parametrize(
    "name",
    ["coincidence/pairs.py", "hw/constants.py", "hw/origin.py", "hw/constants.toml", "hw/jit.py"],
    ids=["kernel", "its constants", "where those come from", "their definition", "the compiler"],
)
def test_an_edit_that_may_change_a_kernel_changes_the_key(name: str, house: Path) -> None:
    before = jit.cache_key()
    edit(house / name)
    assert jit.cache_key() != before


@pytest.mark.parametrize("name", ["daq/service/service.py", "gui/app/window.py"])
def test_an_edit_elsewhere_keeps_the_key(name: str, house: Path) -> None:
    before = jit.cache_key()
    edit(house / name)
    assert jit.cache_key() == before


def test_a_new_kernel_file_changes_the_key(house: Path) -> None:
    before = jit.cache_key()
    (house / "coincidence" / "order.py").write_text(KERNEL, encoding="utf-8")
    assert jit.cache_key() != before


def test_another_version_of_numba_changes_the_key(
    house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = jit.cache_key()
    monkeypatch.setattr(jit, "version", lambda package: f"{package} of tomorrow")
    assert jit.cache_key() != before


def test_another_cpu_changes_the_key(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = jit.cache_key()
    monkeypatch.setattr(jit, "_cpu_name", lambda: "another CPU")
    assert jit.cache_key() != before


def test_every_kernel_of_the_product_and_the_protocol_are_hashed() -> None:
    root = Path(jit.__file__).resolve().parents[1]
    hashed = {path.relative_to(root).as_posix() for path in jit._kernel_sources()}
    wanted = {
        "hw/wire/protocol.py",
        "hw/wire/protocol.toml",
        "coincidence/events.py",
        "daq/path/decode.py",
    }
    assert wanted <= hashed
    for room in jit.ROOMS:
        for path in (root / room).rglob("*.py"):
            if "\n@kernel" in path.read_text(encoding="utf-8"):
                assert path.relative_to(root).as_posix() in hashed


def test_the_cache_lies_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TOMOSHIBI_CACHE", str(tmp_path))
    assert jit.cache_folder() == tmp_path / "kernels" / jit.cache_key()
