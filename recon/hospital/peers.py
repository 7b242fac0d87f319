"""Who we are in a hospital's network, and to whom we may speak: one TOML, ``hospital.toml``.

ae_title = "TOMOSHIBI"
port = 11113               # where answers on storage commitment come; 0: none are waited for

[peers.pacs]
ae_title = "ORTHANC"
host = "10.0.0.5"
port = 4242
identified = true          # objects name the patient of identity.json; else nobody
commitment = true          # an object counts as kept only once the peer has said so
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

import msgspec

from hw.bounded_files import FileRefused, read_toml
from hw.errors import TomoshibiError

FILE_VARIABLE = "TOMOSHIBI_HOSPITAL"
FILE_NAME = "hospital.toml"
EXTRA = "./tomoshibi setup hospital"

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Title = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_ .-]{1,16}$")]
_NAME = re.compile(r"[a-z0-9_-]{1,32}")


class HospitalError(TomoshibiError):
    """What cannot be done in the hospital's network; the message says why and what to do."""


class Peer(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A program of the hospital's: its application entity, and what may be sent to it."""

    ae_title: Title
    host: Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z.:-]{1,253}$")]
    port: Port
    identified: bool = False
    commitment: bool = False


class Hospital(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Our own title and port, and the peers by name."""

    ae_title: Title = "TOMOSHIBI"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    peers: dict[str, Peer] = {}

    def peer(self, name: str) -> Peer:
        """Return a peer; raises HospitalError naming those there are."""
        if name not in self.peers:
            known = ", ".join(self.peers) or "none"
            raise HospitalError(f"no peer {name!r} in {hospital_file()}: there are {known}")
        return self.peers[name]


def hospital_file() -> Path:
    """Return the configuration's place (``TOMOSHIBI_HOSPITAL`` names another)."""
    given = os.environ.get(FILE_VARIABLE)
    root = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return Path(given) if given else root / "tomoshibi" / FILE_NAME


def read_hospital() -> Hospital | None:
    """Return the configuration, None where there is none; raises HospitalError if it is unsound."""
    path = hospital_file()
    if not path.exists():
        return None
    try:
        found = msgspec.convert(read_toml(path), Hospital)
    except (FileRefused, msgspec.ValidationError) as error:
        raise HospitalError(f"{path}: {error}") from error
    for name in found.peers:
        if not _NAME.fullmatch(name):
            raise HospitalError(f"{path}: peer {name!r}: small letters, digits, - and _ only")
    return found
