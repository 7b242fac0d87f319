"""List, show, save and delete scan protocols.

A protocol says once what is the same for many runs: nuclide and tracer, windows and sorting, frames
and corrections of the live image, and what ends the run: a duration, a number of counts, or the
noise of the live image. `--protocol NAME` of demo and acquire, and the console's study page, take
runs by it; the run keeps name, version and all of it.

Saving a name again makes its next version; the older ones stay, as NAME@VERSION. Your own lie in
$XDG_CONFIG_HOME/tomoshibi/protocols. What is shown can be edited and saved from the file.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from daq.cli.common import CommandError, add_json_option, add_runs_option, find_run, finish

if TYPE_CHECKING:
    from daq.folder.protocols.shelf import Shelf
    from hw.messages.scan_protocol import ScanProtocol

EXAMPLES = """\
examples:
  tomoshibi protocols
  tomoshibi protocols show fdg-brain
  tomoshibi protocols save our-fdg --from last --title "FDG, our ward"
  tomoshibi protocols save our-fdg --from last --noise-percent 5
  tomoshibi protocols show our-fdg > our-fdg.toml      edit it, then:
  tomoshibi protocols save our-fdg --from our-fdg.toml
  tomoshibi protocols delete our-fdg@1
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("action", nargs="?", choices=("list", "show", "save", "delete"),
                        default="list", help="what to do (default: list)")  # fmt: skip
    parser.add_argument("name", nargs="?", default="", metavar="NAME",
                        help="of the protocol; NAME@VERSION for an older one")  # fmt: skip
    group = parser.add_argument_group("save")
    group.add_argument("--from", dest="source", metavar="RUN|FILE",
                       help='as a run was taken (a folder, a name, or "last"), or as a TOML file '
                            "says")  # fmt: skip
    group.add_argument("--title", help="what it is, in a line")
    group.add_argument("--tracer", help="such as FDG; nothing about a person")
    group.add_argument("--duration", type=float, metavar="S", help="detector time that ends a run")
    group.add_argument("--counts", type=int, metavar="N",
                       help="prompts that end a run; of SPECT, counts in photopeaks")  # fmt: skip
    group.add_argument("--noise-percent", type=float, metavar="P",
                       help="noise of the live image that ends a run")  # fmt: skip
    add_runs_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Do it."""
    from daq.folder.protocols.shelf import Shelf

    shelf = Shelf()
    if options.action == "list":
        return _list(options, shelf)
    if not options.name:
        raise CommandError(
            f"protocols {options.action}: say which, `tomoshibi protocols` lists them"
        )
    return {"show": _show, "save": _save, "delete": _delete}[options.action](options, shelf)


def _list(options: argparse.Namespace, shelf: Shelf) -> int:
    found = shelf.all()
    lines, seen = [], set[str]()
    for one in found:
        protocol = one.protocol
        newest = protocol.name not in seen
        seen.add(protocol.name)
        name = protocol.name if newest else f"  {protocol.name}@{protocol.version}"
        whose = "yours" if one.path else "shipped"
        lines.append(
            f"{name:<22} v{protocol.version:<3} {protocol.modality:<5} {whose:<8} "
            f"{protocol.title or protocol.until.words()}"
        )
    lines += [f"NOT USABLE {fault}" for fault in shelf.faults]
    result = {
        "protocols": [
            {"yours": one.path is not None, **msgspec.to_builtins(one.protocol)} for one in found
        ],
        "faults": shelf.faults,
    }
    finish(options, result, "\n".join(lines))
    return 0


def _show(options: argparse.Namespace, shelf: Shelf) -> int:
    from hw.scanner.protocol_text import protocol_text

    protocol = shelf.find(options.name)
    finish(options, msgspec.to_builtins(protocol), protocol_text(protocol).rstrip())
    return 0


def _save(options: argparse.Namespace, shelf: Shelf) -> int:
    if not options.source:
        raise CommandError(
            f"protocols save {options.name}: --from RUN or --from FILE.toml says what; "
            '"last" is the newest run'
        )
    kept = shelf.save(_changed(_from_source(options), options))
    protocol = kept.protocol
    result = {"path": kept.path, **msgspec.to_builtins(protocol)}
    finish(options, result, f"{kept.path}: {protocol.label}, {protocol.until.words()}")
    return 0


def _from_source(options: argparse.Namespace) -> ScanProtocol:
    """Return the protocol of a run or a file, under the name asked for."""
    from daq.folder.protocols.planned_config import protocol_from
    from daq.folder.run_folder import run_config
    from hw.scanner.protocol_text import protocol_of, read_protocol

    if options.source.endswith(".toml"):
        values = msgspec.to_builtins(read_protocol(Path(options.source)))
        return protocol_of({**values, "name": options.name}, source=options.source)
    config = run_config(find_run(options.source, options.runs))
    return protocol_from(config, options.name)


def _changed(protocol: ScanProtocol, options: argparse.Namespace) -> ScanProtocol:
    """Return a protocol with what the options say otherwise; raises ProtocolError."""
    from hw.scanner.protocol_text import protocol_of

    values = msgspec.to_builtins(protocol)
    ends = {"duration_s": options.duration, "counts": options.counts,
            "noise_percent": options.noise_percent}  # fmt: skip
    values["until"] |= {key: value for key, value in ends.items() if value is not None}
    words = {"title": options.title, "tracer": options.tracer}
    values |= {key: value for key, value in words.items() if value is not None}
    return protocol_of(values, source=f"protocol {protocol.name}")


def _delete(options: argparse.Namespace, shelf: Shelf) -> int:
    gone = [one.label for one in shelf.delete(options.name)]
    words = f"deleted: {', '.join(gone)} (set aside in {shelf.folder}, as *.deleted)"
    finish(options, {"deleted": gone}, words)
    return 0
