"""Sound examples to damage, made by our own writers or kept in ``tests/data``."""

from __future__ import annotations

import functools
import gzip
import importlib.util
import io
import tempfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from daq.folder.listmode_log import ListmodeReader
from daq.folder.raw_log import RawLogReader
from daq.folder.singles_log import SinglesWriter
from daq.link.serial.packets import encode_message
from hw.generate.dictionary import dictionary_json
from hw.machines.build import slot_image
from hw.messages import codec as m
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner
from hw.wire.block_layout import BlockKind, block_header
from hw.wire.control import Board
from hw.wire.truth_layout import FORMAT, FRAME, LABEL
from recon.exchange.petsird.header import Binning, header_of
from recon.exchange.petsird.writer import write_petsird
from recon.exchange.scan_facts import ScanFacts
from rigs import foreign_lists as foreign

KEPT = Path(__file__).parents[1] / "data" / "release-0.1"
GATE = Path(__file__).parents[1] / "data" / "gate_policies.npz"


def kept(name: str) -> list[bytes]:
    """Return a file of the kept run."""
    return [(KEPT / name).read_bytes()]


@functools.cache
def frames() -> list[bytes]:
    """Return data frames as modules send them."""
    found: list[bytes] = []
    for _, batch in zip(range(40), RawLogReader(KEPT / "raw.tmraw"), strict=False):
        found += map(bytes, batch)
    return found[:80]


def messages() -> list[bytes]:
    """Return one message of many kinds."""
    image = m.ImageMessage(
        run="r", sequence=1, shape=(2, 1, 3), voxel_mm=(2.0, 2.0, 2.5), image=bytes(24), unit="",
        detector_time_s=1.0, event_wall_ns=1, published_wall_ns=2, prompts_used=3,
        delayeds_used=4, fraction_used=0.5, corrections={"attenuation": True},
    )  # fmt: skip
    pictures = m.Projections(
        run="r", sequence=3, windows=["peak"], modules=1, n_u=2, n_v=1, pitch_mm=(4.0, 3.0),
        counts=bytes(8), recent=bytes(8), detector_time_s=1.5, recent_s=1.0,
        angles_deg=[12.5, None], published_wall_ns=7,
    )  # fmt: skip
    report = m.SourceReport(
        run_tag=1, singles_emitted=[2**40, 0], frames_sent=[1, 2], dead_events=[0, 3],
        faults={"drop": 2},
    )  # fmt: skip
    orders = m.ModuleOrder(id=1, action="write", modules=[0], values={"bias_mV": 4})
    few: list[Any] = [
        image, pictures, report, orders, m.Hello(kind="emulator", scanner="bench2", modules=2),
        m.Heartbeat(detector_time_s=1.0), m.Start(run_tag=7, duration_s=1.0), m.Stop(),
        m.Command(id=1, name="arm", args={"name": "x", "settings": {"policy": "all"}}),
        m.Reply(id=1, status="failed", reason="no"),
        m.EventBatch(run="r", kind="prompts", sequence=0, records=0, before=0, watermark_ps=0),
    ]  # fmt: skip
    return [m.encode(message) for message in few]


def packets() -> list[bytes]:
    """Return control packets and a frame as on a serial line."""
    one = encode_message(1, 7, 3, b"\x01\x02\x03\x04")
    return [one, one + encode_message(2, 8, 4, bytes(40)), one * 5]


def dictionary() -> list[bytes]:
    """Return the firmware's dictionary."""
    return [dictionary_json()]


@functools.cache
def nifti() -> list[bytes]:
    """Return a small image as ``.nii``."""
    image = nib.Nifti1Image(np.full((6, 5, 4), 0.0096, np.float32), np.diag([4.0, 4.0, 4.0, 1.0]))
    return [image.to_bytes()]


def nifti_gz() -> list[bytes]:
    """Return the same as ``.nii.gz``."""
    return [gzip.compress(nifti()[0], mtime=0)]


def phantom_npz() -> list[bytes]:
    """Return a phantom of arrays."""
    return [_npz(
        activity=np.ones((6, 5, 4), np.float32), mu_per_mm=np.full((6, 5, 4), 0.0096, np.float32),
        voxel_mm=np.array([4.0, 4.0, 4.0]), material=np.zeros((6, 5, 4), np.uint8),
        materials=np.array(["water"]), region=np.zeros((6, 5, 4), np.uint8),
        region_names=np.array(["all"]), origin_mm=np.zeros(3),
    )]  # fmt: skip


def workload_npz() -> list[bytes]:
    """Return a projector's workload."""
    ends = np.array([[-30.0, 0, 0], [0, -30, 1]], np.float32)
    return [_npz(
        start=ends, end=-ends, tof_bin=np.zeros(2, np.int16), image_shape=np.array([8, 8, 4]),
        voxel_size=np.array([2.0, 2, 2]), image_origin=np.array([-7.0, -7, -3]),
        tof_bin_width=np.float32(10), tof_sigma=np.float32(20), tof_num_sigmas=np.float32(3),
    )]  # fmt: skip


def gate_npz() -> list[bytes]:
    """Return simulated singles."""
    return [_npz(
        t_ns=np.array([3e6, 1e6, 2e6]), E_keV=np.array([511.0, 200, 400], np.float32),
        xyz_mm=np.array([[55.0, 0, 0]] * 3, np.float32), block=np.array([0, 1, 0], np.uint8),
    )]  # fmt: skip


def _npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


PHANTOM = b"""
name = "mine"
[grid]
voxel_mm = [4.0, 4.0, 4.0]
extent_mm = [40, 40, 20]
[[shape]]
kind = "cylinder"
radius_mm = 15
length_mm = 16
material = "water"
activity = 1.0
region = "body"
[[shape]]
kind = "box"
size_mm = [4, 8, 4]
centre_mm = [2, 0, 0]
turn_deg = 30
density_g_per_cm3 = 1.1
material = "water"
"""

ROWS = b"time_ps,channel,energy_keV\n" + b"".join(b"%d,%d,511.0\n" % (9 * k, k) for k in range(99))
CHANNELS = b"channel,module,crystal,gain,offset_ps\n179,1,63,2.5,-10\n3,0,0,,\n"
HITS = [(1030, 6.0, 179), (1010, 4.5, 181), (1020, 1.5, 7)]


def petsys() -> list[bytes]:
    return [20 * foreign.petsys_group(HITS)]


def petsys_pairs() -> list[bytes]:
    return [9 * foreign.petsys_pair(HITS, HITS[:2])]


def janus() -> list[bytes]:
    event = foreign.janus_event(3, 55.5, [(0, 85, 572.5), (1, 20, None)])
    return [foreign.janus_head() + 20 * event]


def compass_list() -> list[bytes]:
    return [foreign.compass([(0, 1, 978, 798), (2, 63, 979, 4095)], has=has) for has in (5, 15)]


PEPT = b"Separation= 500 \n\n" + b"".join(
    b"%d %d.5 20 -30.25 %d\n" % (t, t % 90, 4 * t) for t in range(30)
)

SAFIR = (
    b"MUPET CListModeData".ljust(32, b"\0")
    + np.array([1 << 63 | 5, 0x0123000400020001, 1 << 62, 1 << 63 | 6, 7 << 16], "<u8").tobytes()
)


def gate_root() -> list[bytes]:
    """Return a file of GATE's singles; none where uproot is missing."""
    if importlib.util.find_spec("uproot") is None:
        return [b"root"]
    with tempfile.TemporaryDirectory() as folder:
        return [foreign.gate_root(Path(folder) / "g.root").read_bytes()]


POSES = b"t_s,x_mm,y_mm\n0,1.5,-2\n# a remark\n1,1e-3,4\n2,0,0\n"
TAC = b"t_s,head,body\n0,1,2\n1.5,3,4\n9,0.5,0\n"


def firmware() -> list[bytes]:
    """Return an update image."""
    return [slot_image(bytes(range(256)), board=Board.posix, build_id=7)]


def key_file() -> list[bytes]:
    """Return a client's key."""
    key = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
    return [
        b'{"name": "x", "role": "observe", "public": "%s", "secret": "%s", "server": "%s"}'
        % ((key.encode(),) * 3)
    ]


RINGS = 64
MMR_HEADER = (
    "!INTERFILE:=\nname of data file:=a.l\nnumber of rings:=64\n"
    "distance between rings (cm):=0.40625\ngantry crystal radius (cm):=32.8\n"
    "%number of projections:=344\n%number of views:=252\n%segment table:={"
    + ",".join(map(str, (RINGS, *(n for k in range(1, 61) for n in (RINGS - k, RINGS - k)))))
    + "}\n"
).encode()
MMR = np.array([0x80000005, 344 | 1 << 30, 12345, 0xA0000000, 0x80000006, 700], "<u4").tobytes()


@functools.cache
def singles_log() -> list[bytes]:
    """Return a singles log without records."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.tmws"
        writer = SinglesWriter(path, {"run": "r", "windows": []})
        writer.close({"singles": 0})
        return [path.read_bytes()]


def truth_log() -> list[bytes]:
    """Return the labels of two frames."""
    table, labels = np.zeros(2, FRAME), np.zeros(5, LABEL)
    table["words"] = [2, 3]
    head = b'{"format": "%s", "run_tag": 1}' % FORMAT.encode()
    payload = table.tobytes() + labels.tobytes()
    return [
        block_header(BlockKind.HEAD, head, sequence=0, items=0) + head
        + block_header(BlockKind.TRUTH, payload, sequence=1, items=2) + payload
    ]  # fmt: skip


@functools.cache
def petsird() -> list[bytes]:
    """Return the first coincidences of the kept run as PETSIRD."""
    scanner = load_scanner("bench2")
    records = ListmodeReader(KEPT / "listmode.tmlm").read_all(BlockKind.PROMPTS)[:40]
    acquisition = scanner.acquisition
    binning = Binning.of(
        scanner, window_ps=acquisition.window_ps, lld_keV=400.0, uld_keV=650.0, energy_bins=2
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.petsird"
        facts = ScanFacts.of({"run": "x", "hash": "1-2", "created": "2026-11-21T10:00:00Z"})
        header = header_of(scanner, build_geometry(scanner), binning, facts)
        write_petsird(path, [(False, records)], header, binning, doi_bins=scanner.module.doi_bins)
        return [path.read_bytes()]
