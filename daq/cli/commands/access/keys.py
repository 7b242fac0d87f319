"""Make, list and revoke the keys with which a system is reached over TCP.

By ipc (the default address) no key is needed: only this user gets there. Over TCP everything is
encrypted and every client has a key with a role. This user's own programs on this machine make and
use theirs by themselves; a client elsewhere, or another user, needs a key made here, where the daq
runs. Carry its file over a safe way: whoever has it, has the role.

roles:
  observe  telemetry, pictures and events; status
  operate  also arms, starts and stops runs, and switches the bias off
  service  also orders modules, sets faults, and may be a source or an imager
"""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from daq.cli.common import CommandError, add_json_option, finish

EXAMPLES = """\
examples:
  tomoshibi keys make ward-3 --role observe --output ward-3.key
  tomoshibi keys list
  tomoshibi keys revoke ward-3
  tomoshibi acquire --endpoint tcp://0.0.0.0:7100          where the scanner is
  tomoshibi console --endpoint tcp://scanner:7100 --keys ward-3.key
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    from hw.messages.keys import ROLES

    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    make = actions.add_parser("make", help="make a key")
    make.add_argument("name", metavar="NAME", help="whom it is for")
    make.add_argument("--role", required=True, choices=ROLES)
    make.add_argument("--output", type=Path, metavar="FILE",
                      help="the key's file (default: NAME.key)")  # fmt: skip
    shown = actions.add_parser("list", help="list the keys")
    revoke = actions.add_parser("revoke", help="revoke a key, at once")
    revoke.add_argument("name", metavar="NAME")
    for one in (make, shown, revoke):
        add_json_option(one)


def run(options: argparse.Namespace) -> int:
    """Make, list or revoke."""
    {"make": _make, "list": _list, "revoke": _revoke}[options.action](options)
    return 0


def _make(options: argparse.Namespace) -> None:
    from hw.messages.keys import KeyRing, write_key_file

    path = options.output or Path(f"{Path(options.name).name}.key")
    if path.exists():
        raise CommandError(f"{path} exists: choose another --output")
    key = KeyRing().make(options.name, options.role)
    try:
        write_key_file(path, key)
    except Exception:
        KeyRing().revoke(options.name)
        raise
    finish(
        options,
        {"name": key.name, "role": key.role, "public": key.public, "file": str(path)},
        f"{path}: the key {key.name}, which may {key.role}. Whoever has this file may, too",
    )


def _list(options: argparse.Namespace) -> None:
    from hw.messages.keys import KeyRing

    ring = KeyRing()
    clients = ring.clients()
    rows = [
        f"{one.name:<24} {one.role:<8} made {one.made}"
        + (f", revoked {one.revoked}" if one.revoked else "")
        for one in clients
    ]
    text = "\n".join(rows) or f"no keys in {ring.folder}: `tomoshibi keys make` makes one"
    finish(options, {"keys": [msgspec.to_builtins(one) for one in clients]}, text)


def _revoke(options: argparse.Namespace) -> None:
    from hw.messages.keys import KeyRing

    gone = KeyRing().revoke(options.name)
    words = "it commands nothing from now on; what it displays ends when it connects anew"
    finish(options, msgspec.to_builtins(gone), f"{gone.name} is revoked: {words}")
