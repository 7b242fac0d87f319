"""Keys: who may reach a system over TCP, and in which role.

Every TCP connection is encrypted and authenticated by ZeroMQ's CURVE (RFC 26/ZMTP-CURVE): both ends
have a pair of keys. The pair of this user's systems, and a key with which this user's own programs
enter them, are made when they are first needed; further keys are made, listed and revoked by
``tomoshibi keys``. They lie in one folder of this user's configuration (0700, files 0600).

A system knows clients by their public keys alone; a secret key is in the client's file and nowhere
else.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import getpass
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeVar, get_args

import msgspec
import zmq

from hw.bounded_files import FileRefused, read_object, regular_file
from hw.errors import TomoshibiError
from hw.private_place import OTHERS, PlaceError, locked_folder
from hw.whole_file import whole_file

Role = Literal["observe", "operate", "service"]
ROLES: tuple[Role, ...] = get_args(Role)
"""In rising order: each may what those before it may."""

OWN = "own"
"""The name of the key with which this user's programs enter this user's systems."""

MOST_CLIENTS = 10_000
_NAME = re.compile(r"[\w.@+-]{1,64}", re.ASCII)
_Z85 = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
S = TypeVar("S", bound=msgspec.Struct)


class KeyFileError(TomoshibiError):
    """A key that cannot be made, read or used; the message says what to do."""


class KeyFile(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a client needs to enter a system: its own pair, and the system's public key (Z85)."""

    name: str
    role: Role
    public: str
    secret: str
    server: str


class Client(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a system knows of a client. ``made``, ``revoked``: dates; "" where it was not."""

    name: str
    role: Role
    public: str
    made: str
    revoked: str = ""


class _Pair(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    public: str
    secret: str


class _Clients(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    clients: list[Client]
    version: Literal[1] = 1


def keys_folder() -> Path:
    """Return the folder of this user's keys (``TOMOSHIBI_KEYS`` names another)."""
    config = Path(os.environ.get("XDG_CONFIG_HOME", Path.home() / ".config"))
    return Path(os.environ.get("TOMOSHIBI_KEYS", config / "tomoshibi" / "keys"))


def read_key_file(path: Path) -> KeyFile:
    """Return a client's key; raises KeyFileError, also if others may read the file."""
    found = _read(path, KeyFile)
    for key in (found.public, found.secret, found.server):
        if not _Z85.fullmatch(key):
            raise KeyFileError(f"{path}: a key in it is damaged: have it made again")
    return found


def given_key() -> KeyFile | None:
    """Return the key that ``--keys`` or ``TOMOSHIBI_KEY_FILE`` names, None if none is named."""
    named = os.environ.get("TOMOSHIBI_KEY_FILE", "")
    return read_key_file(Path(named)) if named else None


class KeyRing:
    """This user's systems' keys, in a folder; made when they are first needed."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or keys_folder()
        self._stamp: tuple[int, ...] = ()
        self._known: dict[str, Client] = {}

    @property
    def exists(self) -> bool:
        """Whether there are keys."""
        return (self.folder / "system.json").exists()

    @property
    def for_others(self) -> bool:
        """Whether any client has a key: only then may a system be reached from other machines."""
        return any(not one.revoked and not _is_own(one.name) for one in self.clients())

    def pair(self) -> tuple[bytes, bytes]:
        """Return the public and the secret key of this user's systems."""
        self._prepare()
        pair = _read(self.folder / "system.json", _Pair)
        return pair.public.encode(), pair.secret.encode()

    def own(self) -> KeyFile:
        """Return the key with which this user's programs enter this user's systems."""
        self._prepare()
        return read_key_file(self.folder / f"{OWN}.json")

    def clients(self) -> list[Client]:
        """Return all clients, revoked ones too, in the order in which they were made."""
        path = self.folder / "clients.json"
        return _read(path, _Clients).clients if path.exists() else []

    def known(self, public: str) -> Client | None:
        """Return the client with a public key, None if there is none or it was revoked.

        Cheap: the list is read again only when it has changed.
        """
        try:
            found = (self.folder / "clients.json").stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        except OSError:
            return None
        if stamp != self._stamp:
            self._known = {one.public: one for one in self.clients() if not one.revoked}
            self._stamp = stamp
        return self._known.get(public)

    def make(self, name: str, role: Role) -> KeyFile:
        """Make a client's key; the system keeps its public half. Raises KeyFileError."""
        if not _NAME.fullmatch(name) or _is_own(name):
            raise KeyFileError(
                f"key {name!r}: a name of up to 64 letters, digits and . _ - + @ is needed, "
                f"which does not begin with {OWN}-"
            )
        server = self.pair()[0].decode()
        with self._locked():
            return self._made(name, role, server)

    def revoke(self, name: str) -> Client:
        """Revoke the key of a name: it opens no connection and commands nothing from now on."""
        with self._locked():
            clients = self.clients()
            for number, one in enumerate(clients):
                if one.name == name and not one.revoked:
                    gone = msgspec.structs.replace(one, revoked=_today())
                    clients[number] = gone
                    _write(self.folder / "clients.json", _Clients(clients=clients))
                    return gone
        names = ", ".join(one.name for one in clients if not one.revoked) or "none"
        raise KeyFileError(f"there is no valid key {name!r} to revoke; valid are: {names}")

    def _made(self, name: str, role: Role, server: str) -> KeyFile:
        clients = self.clients()
        if any(one.name == name and not one.revoked for one in clients):
            raise KeyFileError(f"there is a key {name!r}: revoke it first, or choose another name")
        if len(clients) >= MOST_CLIENTS:
            raise KeyFileError(f"there are {len(clients)} keys: no more are kept")
        public, secret = (key.decode() for key in zmq.curve_keypair())
        clients.append(Client(name=name, role=role, public=public, made=_today()))
        _write(self.folder / "clients.json", _Clients(clients=clients))
        return KeyFile(name=name, role=role, public=public, secret=secret, server=server)

    def _prepare(self) -> None:
        """Make the pair of this user's systems, and this user's own key, where they are missing."""
        if (self.folder / f"{OWN}.json").exists() and self.exists:
            return
        with self._locked():
            if not self.exists:
                public, secret = (key.decode() for key in zmq.curve_keypair())
                _write(self.folder / "system.json", _Pair(public=public, secret=secret))
            if not (self.folder / f"{OWN}.json").exists():
                server = _read(self.folder / "system.json", _Pair).public
                _write(self.folder / f"{OWN}.json", self._made(_own_name(), "service", server))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            with locked_folder(self.folder):
                yield
        except (PlaceError, OSError) as error:
            raise KeyFileError(f"keys: {error}") from error


def _is_own(name: str) -> bool:
    return name.startswith(f"{OWN}-")


def _own_name() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{OWN}-{re.sub(r'[^A-Za-z0-9_-]', '_', user)[:40]}-{os.urandom(2).hex()}"


def _today() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


def write_key_file(path: Path, key: KeyFile) -> None:
    """Write a client's key to a file of mode 0600; raises FileWriteError."""
    _write(path, key)


def _write(path: Path, content: msgspec.Struct) -> None:
    with whole_file(path) as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")


def _read(path: Path, kind: type[S]) -> S:
    try:
        with regular_file(path) as file:
            found = os.fstat(file.fileno())
        if found.st_mode & OTHERS or found.st_uid != os.getuid():
            raise KeyFileError(
                f"{path} is another user's, or others may read it: a key of one's own needs "
                f"`chmod 600 {path}`; if others could read it, revoke it and make another"
            )
        return msgspec.convert(read_object(path), kind)
    except (FileRefused, msgspec.ValidationError) as error:
        raise KeyFileError(
            f"{path} is no key file: {error} (`tomoshibi keys make` makes one)"
        ) from error
