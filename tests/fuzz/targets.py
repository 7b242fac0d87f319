"""One target for each decoder: what it reads, and how much of it a test run tries.

A decoder may refuse bytes with an error of ours, in words. Anything else (a KeyError, a
RecursionError, no memory, no answer) is a finding.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import crc32c
import numpy as np

from daq.archive.run_copy import files_in_copy
from daq.cli.bench.projector_workload import read_workload
from daq.cli.imports.played_lists import Petlink
from daq.folder.calibration_set import load_set
from daq.folder.identity.identity_file import read_identity
from daq.folder.identity.review_file import read_review
from daq.folder.identity.study_file import read_study
from daq.folder.interruptions import read_interruptions
from daq.folder.journal import read_entries
from daq.folder.listing.archive_record import read_copies
from daq.folder.listing.catalogue import Catalogue
from daq.folder.listing.manifest import sizes_wrong, verify
from daq.folder.listmode_log import ListmodeReader
from daq.folder.markers import read_markers
from daq.folder.protocols.shelf import check_nuclide
from daq.folder.quality.qc_result import read_qc
from daq.folder.raw_log import RawLogReader
from daq.folder.region_file import read_regions
from daq.folder.run_config import default_settings
from daq.folder.run_folder import run_config
from daq.folder.run_identity import RunIdentity
from daq.folder.singles_log import SinglesReader
from daq.folder.truth_file import TruthReader
from daq.importers.gate_singles import read_gate_singles
from daq.importers.streams.caen import Compass, Janus
from daq.importers.streams.channel_map import ChannelMap
from daq.importers.streams.gate_root import read_gate_root
from daq.importers.streams.pairs import Pept, Safir
from daq.importers.streams.petsys import PetsysGroups, PetsysPairs
from daq.importers.streams.text import Rows
from daq.link.serial.cobs import decoded
from daq.link.serial.dictionary import parse_dictionary
from daq.link.serial.packets import PacketReader
from daq.link.serial.update import read_image
from daq.path.pipeline import Pipeline
from daq.quality.run_counts import run_counts
from daq.service.watching.alarm_desk import AlarmDesk
from emulator.fault_kinds import parse_fault
from emulator.object.phantom_file import load_phantom
from emulator.object.settings_text import read_header, read_table
from fuzz import corpus, mending
from hw.messages.codec import decode
from hw.messages.keys import read_key_file
from hw.messages.pictures import ImageMessage, Projections
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner, parse_scanner
from hw.scanner.protocol_text import PROTOCOL_FOLDER, protocol_text, read_protocol
from hw.wire.control import STRUCTS
from hw.wire.protocol import HEADER_DTYPE
from recon.analysis.picture import read_picture
from recon.core.csv_tables import read_columns
from recon.core.grid import ImageGrid
from recon.core.mu_map import frame_of_reference, load_mu_map
from recon.core.quantification import load_calibration
from recon.exchange.listmode.mmr import find_header, read_mmr
from recon.exchange.listmode.pept import read_pept
from recon.exchange.petsird.reader import PetsirdFile
from recon.exchange.petsird.scanner_fit import fit_scanner

Mend = Callable[[random.Random, bytes], bytes]
BENCH2 = load_scanner("bench2")
GEOMETRY = build_geometry(BENCH2)
GRID = ImageGrid((6, 5, 4), (4.0, 4.0, 4.0))
QC_RESULT = (
    b'{"run": "a", "scanner": "bench2", "serial": "", "modality": "PET", "source": "point", '
    b'"measured": "2026-11-23T08:00:00+01:00", "made": "2026-11-23T08:05:00+01:00", '
    b'"detector_time_s": 60.0, "calibration": "none", "overdue_h": 24.0, "trend": {"x": 1.0}, '
    b'"parts": [{"title": "p", "figures": [{"name": "n", "value": 1.0, "limit": 2.0, '
    b'"limit_key": "most_noisy"}], "reason": "", "needed": true, "notes": ["n"]}], "version": 1}'
)
SCRATCH = tempfile.TemporaryDirectory(prefix="tomoshibi-fuzz-")


@dataclass(frozen=True)
class Target:
    """A decoder.

    corpus : sound examples
    run : decodes bytes
    inputs : how many a test run tries; a night has no bound
    mend : makes checksums right again, or changes what lies behind them; for half of the inputs
    """

    corpus: Callable[[], list[bytes]]
    run: Callable[[bytes], object]
    inputs: int = 350
    mend: Mend | None = None


def of_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """Return a decoder that reads a file of this name."""

    def run(data: bytes) -> object:
        path = Path(SCRATCH.name) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return read(path)

    return run


def blocks(rng: random.Random, data: bytes) -> bytes:
    """Mend a file of blocks."""
    return mending.mended_blocks(data)


def pictures(data: bytes) -> None:
    """Decode a message; of pictures, their arrays too."""
    message = decode(data)
    if isinstance(message, ImageMessage):
        message.array()
    elif isinstance(message, Projections):
        message.arrays()


class Stream:
    """Frames through the whole pipeline; a fresh one after so many, or after frames to the end."""

    def __init__(self) -> None:
        self._left, self._pipeline = 0, self._new()

    def _new(self) -> Pipeline:
        self._left = 500
        tag = int(np.frombuffer(corpus.frames()[0][:64], HEADER_DTYPE)["run_tag"][0])
        return Pipeline(BENCH2, GEOMETRY, default_settings(BENCH2), run_tag=tag)

    def __call__(self, data: bytes) -> None:
        if not self._left:
            self._pipeline.finish()
            self._pipeline = self._new()
        self._left -= 1
        self._pipeline.process([data])


def stream(data: bytes) -> None:
    """Take a frame in a pipeline that has seen others."""
    if not STREAMS:
        STREAMS.append(Stream())
    STREAMS[0](data)


STREAMS: list[Stream] = []


def dictionary(data: bytes) -> None:
    """Read a firmware's dictionary that its identity promises."""
    identity = np.zeros((), STRUCTS["identity"])
    identity["dictionary_bytes"], identity["dictionary_crc"] = len(data), crc32c.crc32c(data)
    parse_dictionary("module 0", identity[()], data)


def petsird(path: Path) -> None:
    """Read all coincidences."""
    with PetsirdFile(path) as file:
        for _ in file.parts(fit_scanner(file.header).bins):
            pass


def mmr_header(path: Path) -> None:
    """Read the header beside a file."""
    find_header(path.with_name("a.l"))


def mmr(data: bytes) -> None:
    """Read words beside a sound header."""
    path = _beside_header(data)
    read_mmr(path, find_header(path))


def petlink(data: bytes) -> None:
    """Play words beside a sound header."""
    list(Petlink(_beside_header(data)))


def _beside_header(data: bytes) -> Path:
    folder = Path(SCRATCH.name) / "mmr"
    folder.mkdir(exist_ok=True)
    (folder / "a.l.hdr").write_bytes(corpus.MMR_HEADER)
    (folder / "a.l").write_bytes(data)
    return folder / "a.l"


def truth(path: Path) -> None:
    """Look up labels."""
    header = np.zeros((), HEADER_DTYPE)
    header["frame_id"] = 5
    TruthReader(path).labels_of(header[()])


def mu_map(path: Path) -> None:
    """Read a µ map and what it says about itself."""
    load_mu_map(path, GRID)
    frame_of_reference(path)


def text(data: bytes) -> str:
    """Return bytes as a text, as a message would hold it."""
    return data.decode("utf-8", "replace")


def tac(path: Path) -> None:
    """Read a curve of activity over time."""
    columns = read_header("tac", path, "a file")
    read_table("tac", path, columns, instead="a file") if columns else None


def key(path: Path) -> None:
    """Read a client's key."""
    path.chmod(0o600)
    read_key_file(path)


def catalogue(path: Path) -> None:
    """List a folder of runs."""
    Catalogue(path.parents[1]).rows()


def _npz(rng: random.Random, data: bytes) -> bytes:
    try:
        return mending.other_arrays(rng, data)
    except Exception:  # noqa: BLE001  (the mutation broke it: then as it is)
        return data


def journal(path: Path) -> None:
    """Read a run's journal, and take up its alarms."""
    AlarmDesk().recall(read_entries(path.parent))


def manifest(path: Path) -> None:
    """Compare a run's files with its manifest, both ways."""
    sizes_wrong(path.parent)
    verify(path.parent)


def uids(path: Path) -> None:
    """Read a run's UIDs beside a sound configuration."""
    (path.parent / "run.json").write_bytes(corpus.kept("run.json")[0])
    RunIdentity.of(path.parent)


FAULTS = [
    b"clock_drift@10s:module=3,ppm=1,for=5s", b"drop:p=0.01", b"module_reset@0.3s:module=0,off=6ms",
    b"counter_wrap:module=1,before=2147483648",
]  # fmt: skip

TARGETS: dict[str, Target] = {
    "messages": Target(corpus.messages, pictures),
    "frames": Target(corpus.frames, stream, mend=lambda rng, data: mending.mended_frame(data)),
    "packets": Target(
        corpus.packets,
        lambda data: PacketReader().feed(data),
        mend=lambda rng, data: mending.mended_packets(data),
    ),
    "cobs": Target(corpus.packets, decoded),
    "dictionary": Target(corpus.dictionary, dictionary),
    "faults": Target(
        lambda: FAULTS, lambda data: parse_fault(text(data), modules=48, crystals=256), 700
    ),
    "scanner toml": Target(
        lambda: corpus.kept("scanner.toml"), lambda data: parse_scanner(text(data)), 500
    ),
    "protocol toml": Target(
        lambda: [path.read_bytes() for path in PROTOCOL_FOLDER.glob("*.toml")],
        of_file("protocol.toml", lambda path: protocol_text(check_nuclide(read_protocol(path)))),
        500,
    ),
    "markers": Target(
        lambda: [b'{"markers": [{"at_s": 1.5, "wall": "2026-11-23T10:00Z", "text": "moved"}]}'],
        of_file("m/markers.json", lambda path: read_markers(path.parent)),
    ),
    "interruptions": Target(
        lambda: [b'{"interruptions": [{"at_s": 1.5, "away_s": 2.5, "why": "daq"}]}'],
        of_file("i/interruptions.json", lambda path: read_interruptions(path.parent)),
    ),
    "copies": Target(
        lambda: [b'{"copies": [{"place": "/a/b", "at": "2026-11-24", "files": 2, "bytes": 9}]}'],
        of_file("c/archive.json", lambda path: read_copies(path.parent)),
    ),
    "list of a copy": Target(
        lambda: [b'{"files": {"images/x.nii.gz": {"bytes": 3, "digest": "00ff"}}, "version": 1}'],
        of_file("l/copy.json", lambda path: files_in_copy(path.parent)),
    ),
    "phantom toml": Target(
        lambda: [corpus.PHANTOM], of_file("p.toml", lambda path: load_phantom(path)), 500
    ),
    "phantom npz": Target(corpus.phantom_npz, of_file("p.npz", load_phantom), mend=_npz),
    "calibration": Target(
        lambda: corpus.kept("calibration.npz"), of_file("c.npz", load_set), mend=_npz
    ),
    "mu map npz": Target(lambda: corpus.kept("mu_map.npz"), of_file("m.npz", mu_map), mend=_npz),
    "mu map nii": Target(corpus.nifti, of_file("m.nii", mu_map)),
    "mu map nii.gz": Target(corpus.nifti_gz, of_file("m.nii.gz", mu_map)),
    "picture": Target(corpus.nifti, of_file("i.nii", read_picture)),
    "gate": Target(
        corpus.gate_npz,
        of_file("g.npz", lambda path: read_gate_singles(path, BENCH2, GEOMETRY)),
        mend=_npz,
    ),
    "petsys list": Target(corpus.petsys, of_file("g.ldat", lambda p: list(PetsysGroups(p)))),
    "petsys pairs": Target(corpus.petsys_pairs, of_file("c.ldat", lambda p: list(PetsysPairs(p)))),
    "janus list": Target(corpus.janus, of_file("l.dat", lambda p: list(Janus(p)))),
    "compass list": Target(corpus.compass_list, of_file("c.BIN", lambda p: list(Compass(p)))),
    "safir list played": Target(lambda: [corpus.SAFIR], of_file("s.bin", lambda p: list(Safir(p)))),
    "pept played": Target(
        lambda: [corpus.PEPT], of_file("p.pept", lambda p: list(Pept(p, (64, 64), (9.0, 9.0))))
    ),
    "petlink played": Target(lambda: [corpus.MMR], petlink),
    "gate root": Target(
        corpus.gate_root,
        of_file("g.root", lambda p: read_gate_root(p, BENCH2, GEOMETRY, Counter())), 60,
    ),
    "event rows": Target(lambda: [corpus.ROWS], of_file("e.csv", lambda p: list(Rows(p)))),
    "channel map": Target(
        lambda: [corpus.CHANNELS], of_file("map.csv", lambda path: ChannelMap.read(path, BENCH2))
    ),
    "workload": Target(corpus.workload_npz, of_file("w.npz", read_workload), mend=_npz),
    "petsird": Target(corpus.petsird, of_file("p.petsird", petsird)),
    "pept": Target(lambda: [corpus.PEPT], of_file("p.csv", read_pept)),
    "table": Target(lambda: [corpus.POSES], of_file("poses.csv", read_columns)),
    "kinetics": Target(lambda: [corpus.TAC], of_file("tac.csv", tac)),
    "firmware image": Target(corpus.firmware, of_file("image.bin", read_image)),
    "identity": Target(
        lambda: [b'{"name": "x", "birth_date": "1970-12-31", "sex": "F"}'],
        of_file("id/identity.json", lambda path: read_identity(path.parent)),
    ),
    "key file": Target(corpus.key_file, of_file("own.json", key)),
    "mmr list": Target(lambda: [corpus.MMR], mmr),
    "mmr header": Target(lambda: [corpus.MMR_HEADER], of_file("h/a.l.hdr", mmr_header)),
    "activity": Target(
        lambda: corpus.kept("activity.json"), of_file("a.json", load_calibration), 500
    ),
    "quality control": Target(
        lambda: [QC_RESULT],
        of_file("q/qc.json", lambda path: read_qc(path.parent).verdict),
    ),
    "regions": Target(
        lambda: [b'{"version": 1, "regions": []}'],
        of_file("r/regions.json", lambda path: read_regions(path.parent)),
    ),
    "run json": Target(
        lambda: corpus.kept("run.json"),
        of_file("run/run.json", lambda path: run_config(path.parent)),
    ),
    "catalogue": Target(
        lambda: corpus.kept("run.json"), of_file("c/r/run.json", catalogue), 300
    ),
    "raw log": Target(
        lambda: corpus.kept("raw.tmraw"),
        of_file("r.tmraw", lambda path: list(RawLogReader(path))),
        500,
        mend=blocks,
    ),
    "list-mode log": Target(
        lambda: corpus.kept("listmode.tmlm"),
        of_file("l.tmlm", lambda path: list(ListmodeReader(path))),
        mend=blocks,
    ),
    "singles log": Target(
        corpus.singles_log,
        of_file("s.tmws", lambda path: list(SinglesReader(path))),
        mend=blocks,
    ),
    "truth log": Target(
        corpus.truth_log, of_file("t.tmtruth", truth), mend=blocks
    ),
    "journal": Target(
        lambda: [
            b'{"number":1,"wall":"w","severity":"alarm","text":"t","id":"source.lost"}\n',
            b'{"number":2,"wall":"w","severity":"info","text":"t","values":{"a":"b"}}\n',
        ],
        of_file("j/journal.jsonl", journal),
    ),
    "manifest": Target(
        lambda: [
            b'{"algorithm": "blake2b-256", "files": {"raw.tmraw": {"bytes": 9, "digest": "00ff"}}}'
        ],
        of_file("mf/manifest.json", manifest),
    ),
    "uids": Target(
        lambda: [b'{"study": "2.25.1234", "frame_of_reference": "2.25.99"}'],
        of_file("u/uids.json", uids),
        300,
    ),
    "study": Target(
        lambda: [b'{"tracer": "FDG", "weight_kg": 70, "injected_at": "2026-11-23T09:30+01:00"}'],
        of_file("s/study.json", lambda path: read_study(path.parent)),
    ),
    "review": Target(
        lambda: [b'{"verdict": "discard", "reason": "moved", "note": "n"}'],
        of_file("rv/review.json", lambda path: read_review(path.parent)),
    ),
    "summary": Target(
        lambda: corpus.kept("summary.json"),
        of_file("sm/summary.json", lambda path: run_counts(path.parent)),
    ),
}  # fmt: skip
