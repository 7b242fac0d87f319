"""Play a list of single events from other electronics as a source, at real or any other speed.

It attaches to an acquisition service as a digitizer would, sends one run when that is started, and
leaves. What is broken in the file is counted and told; a file that ends in the middle, or is
damaged, ends the run with the reason.

csv      rows of time_ps,channel,energy
petsys   .ldat of groups (convert_raw_to_group); petsys-pairs: of coincidences
janus    CAEN Janus, binary list of spectroscopy with timing; channel = board · 64 + channel
compass  CAEN CoMPASS, binary list with energies; channel as above
gate     GATE 10 singles (npz), as `import gate` takes them; GATE 9 and 10 in ROOT (uproot: the
         extra lab), placed by position; needs no map
safir    pairs of SAFIR's .clm.safir; channel = (layer · 256 + ring) · 4096 + detector
petlink  pairs of a Siemens mMR, 32-bit PETLINK; channel = ring · 504 + place around
petsird  pairs, with their time of flight; --scanner is the file's own; needs no map
pept     lines of a positron camera's two screens; --scanner has two modules that face each other

--map is a CSV with the columns channel, module, crystal and, where wanted, gain (keV per unit of
the file's energy) and offset_ps. Without it a channel is module · crystals + crystal, energies keV.
Lists of pairs make both singles of each pair: their randoms, delayeds and single singles are no
more, and where a list knows ms only, neither is time of flight.
"""

from __future__ import annotations

import argparse
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from daq.cli.common import CommandError, add_endpoint_option, add_json_option, finish, positive
from daq.cli.options.replay_speed import add_speed_options, speed_of

if TYPE_CHECKING:
    from daq.importers.streams.foreign_list import ForeignList
    from daq.replay.event_source import Placed
    from hw.scanner.description import Scanner

FORMATS = (
    "csv", "petsys", "petsys-pairs", "janus", "compass", "gate", "safir", "petlink", "petsird",
    "pept",
)  # fmt: skip

EXAMPLES = """\
examples:
  tomoshibi acquire --preset ring.toml --auto --name lab        (in another terminal)
  tomoshibi play group.ldat --from petsys --map map.csv --scanner ring.toml
  tomoshibi play list.dat --from janus --map map.csv --scanner ring.toml --speed 4
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the list")
    parser.add_argument("--from", dest="format", required=True, choices=FORMATS)
    parser.add_argument("--map", type=Path, metavar="CSV", help="channels to modules and crystals")
    parser.add_argument("--scanner", required=True, metavar="SCANNER",
                        help="the preset that the daq has, name or file")  # fmt: skip
    parser.add_argument("--gap", type=positive, default=60.0, metavar="S",
                        help="longest time without events (default: %(default)g)")  # fmt: skip
    add_speed_options(parser)
    add_endpoint_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Play one run."""
    from daq.replay.event_source import EventSource
    from hw.messages.endpoints import Endpoints
    from hw.scanner.preset_file import load_scanner

    scanner = load_scanner(options.scanner)
    if not options.file.is_file():
        raise CommandError(f"{options.file}: there is no such file")
    of = {"gate": _gate, "petsird": _petsird}.get(options.format, _mapped)
    events, broken = of(options, scanner)
    source = EventSource(
        events, scanner, Endpoints(options.endpoint), speed=speed_of(options), gap_s=options.gap,
        broken=lambda: broken,
    )  # fmt: skip
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: source.leave())
    source.serve()
    frames = source.frames
    if frames is None:
        raise CommandError("no run was started")
    result = {"events": int(frames.sent.sum()), "late": frames.late, "broken": dict(broken),
              "failed": source.failed}  # fmt: skip
    words = [f"{result['events']} events sent, {frames.late} too late for their period"]
    words += [f"{many} {what}" for what, many in broken.items()]
    finish(options, result, "\n".join([*words, source.failed] if source.failed else words))
    return 1 if source.failed else 0


def _gate(options: argparse.Namespace, scanner: Scanner) -> tuple[Iterator[Placed], Counter[str]]:
    from daq.importers.gate_singles import read_gate_singles
    from daq.importers.streams.gate_root import read_gate_root
    from hw.scanner.geometry import build_geometry

    geometry, broken = build_geometry(scanner), Counter[str]()
    if options.file.suffix == ".root":
        return iter([read_gate_root(options.file, scanner, geometry, broken)]), broken
    one = read_gate_singles(options.file, scanner, geometry)
    return iter([(one.ticks, one.module, one.crystal, one.energy_dkeV)]), broken


def _petsird(
    options: argparse.Namespace, scanner: Scanner
) -> tuple[Iterator[Placed], Counter[str]]:
    from daq.cli.imports.played_lists import petsird_pairs

    broken = Counter[str]()
    return petsird_pairs(options.file, scanner, broken), broken


def _mapped(options: argparse.Namespace, scanner: Scanner) -> tuple[Iterator[Placed], Counter[str]]:
    """Return the events of a list where the map puts them, and what is broken as it is met."""
    from daq.importers.streams.channel_map import ChannelMap

    known = ChannelMap.read(options.map, scanner) if options.map else ChannelMap.plain(scanner)
    stream = _stream(options, scanner)

    def played() -> Iterator[Placed]:
        for events in stream:
            found = known.of(events)
            stream.count("events of channels that the map lacks", found.unknown)
            yield found.ticks, found.module, found.crystal, found.energy_dkeV

    return played(), stream.broken


def _stream(options: argparse.Namespace, scanner: Scanner) -> ForeignList:
    """Return the reader of a file; raises CommandError for a scanner that cannot be its own."""
    from daq.cli.imports.played_lists import Petlink
    from daq.importers.streams.caen import Compass, Janus
    from daq.importers.streams.pairs import Pept, Safir
    from daq.importers.streams.petsys import PetsysGroups, PetsysPairs
    from daq.importers.streams.text import Rows

    module = scanner.module
    if options.format == "pept":
        if scanner.n_modules != 2:
            raise CommandError(
                f"--from pept: {scanner.name} has {scanner.n_modules} modules, not 2"
            )
        pitch_mm = module.pitch_u_mm, module.pitch_v_mm
        return Pept(options.file, (module.n_u, module.n_v), pitch_mm)
    known: dict[str, type[Rows | Janus | Compass | PetsysGroups | Safir | Petlink]] = {
        "csv": Rows, "petsys": PetsysGroups, "petsys-pairs": PetsysPairs, "janus": Janus,
        "compass": Compass, "safir": Safir, "petlink": Petlink,
    }  # fmt: skip
    return known[options.format](options.file)
