"""Who we are in a hospital's network, and to whom we may speak: one TOML, ``hospital.toml``.

ae_title = "TOMOSHIBI"
port = 11113               # where answers on storage commitment come; 0: none are waited for

[peers.pacs]
ae_title = "ORTHANC"
host = "10.0.0.5"
port = 4242
identified = true          # objects name the patient of identity.json; else nobody
commitment = true          # an object counts as kept only once the peer has said so
tls = true                 # ca, certificate and key stand above the peers

[peers.web]
url = "https://pacs.example/dicom-web"     # DICOMweb: objects go by STOW-RS
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from hw.bounded_files import FileRefused, read_toml
from hw.errors import TomoshibiError

FILE_VARIABLE = "TOMOSHIBI_HOSPITAL"
FILE_NAME = "hospital.toml"
EXTRA = "./tomoshibi setup hospital"

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Title = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_ .-]{1,16}$")]
_NAME = re.compile(r"[a-z0-9_-]{1,32}")


def _is_here(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


class HospitalError(TomoshibiError):
    """What cannot be done in the hospital's network; the message says why and what to do."""


class Peer(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A program of the hospital's: its application entity, or the address of its DICOMweb, and what
    may be sent to it.

    url : of a DICOMweb service; objects then go by STOW-RS, and nothing else does
    authorization : a file with the value of HTTP's header Authorization
    tls : DICOM over TLS; the peer's certificate is checked against ``ca``
    """

    ae_title: Title | None = None
    host: Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z.:-]{1,253}$")] | None = None
    port: Port | None = None
    url: Annotated[str, msgspec.Meta(pattern=r"^(https?://[!-~]+)?$", max_length=1024)] = ""
    authorization: str = ""
    identified: bool = False
    commitment: bool = False
    tls: bool = False

    def __post_init__(self) -> None:
        missing = [key for key in ("ae_title", "host", "port") if not getattr(self, key)]
        if self.url and (len(missing) < 3 or self.commitment or self.tls):
            raise ValueError("a peer with a url has no ae_title, host, port, commitment or tls")
        if not self.url and missing:
            raise ValueError(f"{missing[0]} is missing, or a url of DICOMweb in place of all three")
        if self.url.startswith("http://") and not _is_here(self.url):
            raise ValueError(f"{self.url}: only https:// leaves this machine")

    @property
    def words(self) -> str:
        """Who it is, for messages."""
        return self.url or f"{self.ae_title} at {self.host}:{self.port}"


class Hospital(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Our own title and port, and the peers by name.

    ca, certificate, key : files in PEM of TLS: who is trusted (the system's authorities, if none),
        and who we are, where a peer asks
    port_tls : whether our port, too, speaks TLS; it asks peers for their certificate then
    """

    ae_title: Title = "TOMOSHIBI"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    ca: str = ""
    certificate: str = ""
    key: str = ""
    port_tls: bool = False
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
