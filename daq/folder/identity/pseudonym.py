"""Removes a person's identity from a run's folder, and searches for anything left of it.

The person's data go, with the pseudonym, into a key file elsewhere, if one is asked for, and out of
the folder: ``identity.json`` is removed, and labels of older runs that identify are taken out of
``run.json``, ``summary.json`` and the heads of logs. Nothing else changes: no record, time, UID or
hash of records. Then every file is searched, inside archives too, for what was taken out.
"""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
import secrets
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np

from daq.errors import LogError, RunError, StorageError
from daq.folder.identity.identity_file import (
    IDENTITY_NAME,
    SHORTEST,
    Identity,
    identifying_labels,
    read_identity,
)
from daq.folder.listing.manifest import FILE_NAME as MANIFEST_NAME
from daq.folder.listing.manifest import write_manifest
from daq.folder.run_folder import CONFIG_NAME, write_json
from hw.bounded_files import FileRefused, json_in, read_json, read_object
from hw.errors import FileWriteError
from hw.whole_file import whole_file
from hw.wire.block_layout import (
    BLOCK_HEADER,
    BLOCK_HEADER_BYTES,
    BLOCK_MAGIC,
    BlockKind,
    block_header,
)

PSEUDONYM_NAME = "pseudonym.json"
MOST_BYTES = 8 << 30
"""Of a compressed file's content, to be searched; beyond, it counts as not searched."""

_CHUNK = 1 << 20
_LETTERS = "ABCDEFGHJKMNPQRSTVWXYZ23456789"


@dataclass
class Pseudonymised:
    """What was done to a run, and what was found afterwards.

    changed : files that were changed or removed, and how
    left : (file, field): where something of the person still stands
    not_searched : files that could not be looked into
    """

    pseudonym: str
    key_file: str = ""
    changed: list[str] = field(default_factory=list)
    left: list[tuple[str, str]] = field(default_factory=list)
    not_searched: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether everything was searched and nothing found."""
        return not self.left and not self.not_searched


def new_pseudonym() -> str:
    """Return a random pseudonym, which says nothing about the person."""
    return "P-" + "".join(secrets.choice(_LETTERS) for _ in range(10))


def pseudonymise(
    folder: Path, *, pseudonym: str = "", key_file: Path | None = None
) -> Pseudonymised:
    """Give a run a pseudonym; ``key_file``, kept elsewhere, says whose it is.

    Raises
    ------
    RunError, LogError, StorageError
        if there is no run, the key file exists or lies in the folder, or a file cannot be changed.
        The key file is on disk before anything is taken out.
    """
    if not (folder / CONFIG_NAME).is_file():
        raise RunError(f"{folder} is not a run: there is no {CONFIG_NAME}")
    identity, labels = read_identity(folder), _identifying_labels(folder)
    done = Pseudonymised(pseudonym or new_pseudonym())
    wanted = list(_searched_for(identity, labels))
    _refuse_telling(done.pseudonym, wanted)
    if key_file is not None:
        _write_key(key_file, folder, done.pseudonym, identity, labels)
        done.key_file = str(key_file)
    if labels:
        done.changed += _without_labels(folder)
    write_json(folder / PSEUDONYM_NAME, {"pseudonym": done.pseudonym, "made": _now()})
    done.changed.append(f"{PSEUDONYM_NAME}: written")
    if identity is not None:
        (folder / IDENTITY_NAME).unlink()
        _sync(folder)
        done.changed.append(f"{IDENTITY_NAME}: removed")
    if (folder / MANIFEST_NAME).is_file():
        write_manifest(folder)  # of what is left
        done.changed.append(f"{MANIFEST_NAME}: made anew")
    _search(folder, wanted, done)
    return done


def _refuse_telling(pseudonym: str, wanted: list[tuple[str, str]]) -> None:
    told = [name for name, text in wanted if text.casefold() in pseudonym.casefold()]
    if told:
        raise RunError(f"the pseudonym contains the {told[0]}: choose another")


def _searched_for(identity: Identity | None, labels: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if identity is not None:
        yield from identity.texts()
    for key, value in labels.items():
        if len(str(value)) >= SHORTEST:
            yield f"label {key!r}", str(value)


def _write_key(
    path: Path, folder: Path, pseudonym: str, identity: Identity | None, labels: dict[str, Any]
) -> None:
    if path.resolve().is_relative_to(folder.resolve()):
        raise RunError(f"{path} lies in the run: a key is kept elsewhere")
    if path.exists():
        raise RunError(f"{path} exists: choose another file for the key")
    about = {
        "pseudonym": pseudonym,
        "run": folder.resolve().name,
        "made": _now(),
        "identity": msgspec.to_builtins(identity) if identity else {},
        "labels": labels,
    }
    try:
        with whole_file(path) as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(json.dumps(about, ensure_ascii=False, indent=1).encode() + b"\n")
    except FileWriteError as error:
        raise StorageError(str(error)) from error


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


def _sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


# --- labels of older runs -------------------------------------------------------------------------


def _identifying_labels(folder: Path) -> dict[str, Any]:
    try:
        labels = read_object(folder / CONFIG_NAME)["config"]["labels"]
        return {key: labels[key] for key in identifying_labels(labels)}
    except (FileRefused, KeyError, TypeError, AttributeError) as error:
        raise LogError(f"{folder / CONFIG_NAME} is not a run configuration: {error!r}") from error


def _without_labels(folder: Path) -> list[str]:
    """Take identifying labels out of the JSON files and the heads of logs; return what changed."""
    changed = []
    for path in sorted(_files(folder)):
        if path.suffix == ".json" and path.name != IDENTITY_NAME and _clean_json(path):
            changed.append(f"{path.relative_to(folder)}: labels taken out")
        elif path.suffix.startswith(".tm") and _clean_head(path):
            changed.append(f"{path.relative_to(folder)}: labels taken out of its head")
    return changed


def _clean_json(path: Path) -> bool:
    try:
        content = read_json(path)
    except FileRefused:
        return False
    if not isinstance(content, dict) or not _drop_labels(content):
        return False
    write_json(path, content)
    return True


def _drop_labels(content: Any) -> bool:
    """Take identifying labels out of every ``labels`` in place; return whether there were any."""
    found = False
    if isinstance(content, dict):
        labels = content.get("labels")
        if isinstance(labels, dict):
            for key in identifying_labels(labels):
                del labels[key]
                found = True
        found = any([found, *map(_drop_labels, content.values())])
    elif isinstance(content, list):
        found = any([*map(_drop_labels, content)])
    return found


def _clean_head(path: Path) -> bool:
    """Rewrite a log with the labels removed from its head; its other blocks stay byte for byte."""
    with path.open("rb") as log:
        raw = log.read(BLOCK_HEADER_BYTES)
        if len(raw) < BLOCK_HEADER_BYTES:
            return False
        header = np.frombuffer(raw, BLOCK_HEADER)[0]
        if header["magic"] != BLOCK_MAGIC or header["kind"] != BlockKind.HEAD:
            return False
        try:
            head = json_in(log.read(min(int(header["length"]), _CHUNK * 16)))
        except FileRefused:
            return False
        if not _drop_labels(head):
            return False
        text = json.dumps(head, ensure_ascii=False, sort_keys=True).encode()
        try:
            with whole_file(path) as file:
                items = int(header["items"])
                file.write(block_header(BlockKind.HEAD, text, sequence=0, items=items) + text)
                shutil.copyfileobj(log, file, _CHUNK)
        except FileWriteError as error:
            raise StorageError(str(error)) from error
    return True


# --- the search -----------------------------------------------------------------------------------


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files of a run; links, which lead elsewhere, are not followed."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path


def _search(folder: Path, wanted: list[tuple[str, str]], done: Pseudonymised) -> None:
    """Look for every text in the names and contents of all files."""
    needles = [(name, needle) for name, text in wanted for needle in _encodings(text)]
    longest = max((len(needle) for _, needle in needles), default=0)
    own_name = folder.resolve().name.lower().encode()
    for found in sorted({name for name, needle in needles if needle in own_name}):
        done.left.append((".", f"{found}, in the folder's name"))
    for path in sorted(_files(folder)):
        place = str(path.relative_to(folder))
        stands = {name for name, needle in needles if needle in place.lower().encode()}
        try:
            for stream in _streams(path):
                stands |= _found_in(stream, needles, longest)
        except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, RuntimeError):
            done.not_searched.append(place)
        done.left += [(place, name) for name in sorted(stands)]
    if _identifying_labels(folder):
        done.left.append((CONFIG_NAME, "labels"))


def _encodings(text: str) -> set[bytes]:
    """Return a text in the encodings that files may have, in lower and upper case."""
    found: set[bytes] = set()
    for form in (text, text.lower(), text.upper(), text.title()):
        found |= {form.encode(), form.encode("utf-16-le"), form.encode("utf-16-be")}
        found |= {form.encode("latin-1", "ignore"), json.dumps(form)[1:-1].encode()}
    return {one for one in found if len(one) >= SHORTEST}


def _streams(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file's content as it is, and uncompressed."""
    with path.open("rb") as file:
        yield file
    if path.suffix == ".gz":
        with gzip.open(path, "rb") as unpacked:
            yield unpacked  # type: ignore[misc]
    elif path.suffix == ".npz":
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                with archive.open(member) as unpacked:
                    yield unpacked


def _found_in(stream: IO[bytes], needles: list[tuple[str, bytes]], longest: int) -> set[str]:
    found: set[str] = set()
    rest, read = b"", 0
    while needles and (chunk := stream.read(_CHUNK)):
        read += len(chunk)
        if read > MOST_BYTES:
            raise ValueError("too large to be searched")
        text = rest + chunk
        both = text + b"\0" + text.lower()  # as it stands, and in any mixture of letters
        found |= {name for name, needle in needles if needle in both}
        rest = text[-longest:]
    return found
