"""Builds firmware for a target and caches the result by the hash of everything that went into it.

A second builder of the same sources waits for the first and takes its result; nothing half-built is
ever visible. The build id (CRC-32C of sources and flags) is compiled in and reported in HELLO.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import crc32c
import numpy as np

from hw.errors import TomoshibiError
from hw.machines.toolchain import Kind, missing
from hw.private_place import PlaceError, code_cache, open_private
from hw.wire.control import IMAGE, SCHEMA_CRC, STRUCTS, VERSION, Board

Target = Literal["native", "native-asan", "mps2", "test", "fuzzer"]

SOURCES = Path(__file__).resolve().parent.parent / "firmware"
"""Folder of the firmware's sources and Makefile."""
PROGRAMS: dict[str, str] = {
    "native": "tomoshibi-native",
    "native-asan": "tomoshibi-native",
    "mps2": "tomoshibi-mps2.elf",
    "test": "libtomoshibi-test.so",
    "fuzzer": "tomoshibi-fuzz",
}
"""In a build's folder: what a machine starts; core and the test board for cffi; the fuzzer."""
SLOTS: dict[str, str] = {
    "native": "tomoshibi-native-update.bin",
    "native-asan": "tomoshibi-native-update.bin",
    "mps2": "tomoshibi-mps2-update.bin",
}
"""In a build's folder: bytes of the image for an update slot, without its header."""
WITHIN_S = 180.0
TRIES = 4
KEPT_DAYS = 14
"""Builds that nobody asked for so long are removed from the cache."""
_SUFFIXES = {".c", ".h", ".S", ".s", ".ld", ".mk", ".in"}
_BOARDS: dict[str, int] = {
    "native": Board.posix,
    "native-asan": Board.posix,
    "mps2": Board.mps2_an386,
    "test": Board.test,
    "fuzzer": Board.test,
}


class BuildError(TomoshibiError, RuntimeError):
    """The firmware could not be built; the message is the compiler's."""


@dataclass(frozen=True)
class Image:
    """Built firmware.

    path : the file that a machine starts
    folder : everything that the build left
    build_id : CRC-32C reported in HELLO
    slot_image : header and bytes for an update, b"" for targets without slots
    """

    path: Path
    folder: Path
    target: str
    build_id: int
    slot_image: bytes


def build(target: Target, folder: Path | None = None, *, defines: Sequence[str] = ()) -> Image:
    """Return the firmware built for a target, from the cache if nothing has changed.

    folder : parent of the build folders, None for the user's cache
    defines : preprocessor definitions, "NAME=value", for a variant with its own build id

    Raises
    ------
    BuildError : a tool is missing, or the compiler refused
    """
    kind: Kind = "qemu" if target == "mps2" else "native"
    if target != "mps2" or shutil.which("arm-none-eabi-gcc") is None:
        lacking = missing(kind)
        if lacking:
            raise BuildError(lacking)
    parent = folder if folder is not None else cache_folder()
    for _ in range(TRIES):
        identity = _sources_crc(target, defines)
        done = parent / f"{target}-{_key(target, identity)}"
        if done.is_dir() or _build_into(done, target, identity, defines):
            with contextlib.suppress(OSError):  # a cache that can only be read serves as well
                os.utime(done)
                _forget_old(parent)
            return _image(done, target, identity)
    raise BuildError(f"firmware {target}: the sources in {SOURCES} keep changing; build again")


def cache_folder() -> Path:
    """Return the folder of all builds (``TOMOSHIBI_CACHE`` sets its parent)."""
    return code_cache("firmware")


def slot_image(body: bytes, *, board: int, build_id: int, schema: int = SCHEMA_CRC) -> bytes:
    """Return an update image: the header that the firmware verifies, then ``body``."""
    header = np.zeros((), STRUCTS["image"])
    header["magic"] = IMAGE["magic"]
    header["board"] = board
    header["control_version"] = VERSION
    header["schema"] = schema
    header["build"] = build_id
    header["length"] = len(body)
    header["crc"] = crc32c.crc32c(body)
    header["header_crc"] = crc32c.crc32c(header.tobytes()[:-4])
    return header.tobytes() + body


def _source_files() -> list[Path]:
    files = (path for path in SOURCES.rglob("*") if path.is_file())
    return sorted(p for p in files if p.suffix in _SUFFIXES or p.name == "Makefile")


def _sources_crc(target: str, defines: Sequence[str]) -> int:
    crc = crc32c.crc32c(" ".join([target, *defines]).encode())
    for path in _source_files():
        name = path.relative_to(SOURCES).as_posix().encode()
        crc = crc32c.crc32c(name + path.read_bytes(), crc)
    return crc


def _key(target: str, identity: int) -> str:
    """Return the folder's name: build id, then the compiler's contribution."""
    compiler = "arm-none-eabi-gcc" if target == "mps2" else os.environ.get("CC", "gcc")
    version = subprocess.run(
        [compiler, "--version"], capture_output=True, check=False, timeout=30
    ).stdout
    return f"{identity:08x}{hashlib.sha256(version).hexdigest()[:8]}"


def _build_into(done: Path, target: str, identity: int, defines: Sequence[str]) -> bool:
    """Build in a folder beside the final one and move it into place whole.

    Returns
    -------
    False if the sources were edited meanwhile, so that the result belongs to neither version
    """
    with _lock_file(done) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if done.is_dir():
            return True
        with tempfile.TemporaryDirectory(dir=done.parent, prefix="building-") as place:
            out = Path(place) / "out"
            out.mkdir()
            _make(out, target, identity, defines)
            if _sources_crc(target, defines) != identity:
                return False
            out.rename(done)
            return True


def _lock_file(done: Path) -> IO[str]:
    try:
        done.parent.mkdir(parents=True, exist_ok=True)
        return open_private(done.parent / f"{done.name}.lock")
    except PlaceError as error:
        raise BuildError(f"firmware: {error}") from error
    except OSError as error:
        raise BuildError(
            f"firmware: {done.parent}: the build cannot be stored there ({error.strerror}); set "
            "TOMOSHIBI_CACHE to a folder that can be written"
        ) from error


def _forget_old(parent: Path) -> None:
    oldest = time.time() - KEPT_DAYS * 86400
    for path in parent.iterdir():
        with contextlib.suppress(OSError):  # another builder was faster
            if path.stat().st_mtime < oldest:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _make(out: Path, target: str, identity: int, defines: Sequence[str]) -> None:
    """Run make; raise with the compiler's own words."""
    definitions = " ".join(f"-D{define}" for define in defines)
    argv = ["make", "-s", "-j2", "-C", str(SOURCES), target]
    argv += [f"BUILD_ID={identity:#010x}u", f"DEFINES={definitions}"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    try:
        with _plain_path(out) as path:
            done = subprocess.run(
                [*argv, f"BUILD={path}"],
                capture_output=True, text=True, check=False, timeout=WITHIN_S, env=environment,
            )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise BuildError(f"firmware {target}: not built within {WITHIN_S:.0f} s") from None
    if done.returncode != 0:
        words = "\n".join((done.stderr or done.stdout).splitlines()[:20])
        raise BuildError(f"firmware {target} does not build:\n{words}")


@contextlib.contextmanager
def _plain_path(folder: Path) -> Iterator[str]:
    """Give a folder an absolute path without spaces or characters that make would interpret."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/{os.getpid()}/fd/{handle}"
    finally:
        os.close(handle)


def _image(folder: Path, target: str, identity: int) -> Image:
    image = b""
    if target in SLOTS:
        body = (folder / SLOTS[target]).read_bytes()
        image = slot_image(body, board=_BOARDS[target], build_id=identity)
    return Image(folder / PROGRAMS[target], folder, target, identity, image)
