"""Lists of pairs played as singles: both of each pair, at its time; what is none is counted."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from daq.cli import main
from daq.cli.imports.played_lists import Petlink, petsird_pairs
from daq.errors import ImportDataError
from daq.folder.run_config import default_settings
from daq.importers.streams import foreign_list
from daq.importers.streams.foreign_list import ForeignList, made
from daq.importers.streams.gate_root import read_gate_root
from daq.importers.streams.pairs import Pept, Safir
from daq.service.source_check.listener import Bounds, listen
from hw.messages.endpoints import Endpoints
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner, parse_scanner, scanner_to_toml_text
from recon.exchange.listmode.mmr import crystals_of, ring_pairs
from recon.exchange.listmode.safir import write_safir
from recon.exchange.petsird.header import Binning, header_of
from recon.exchange.petsird.writer import write_petsird
from recon.exchange.scan_facts import ScanFacts
from rigs.exchange_data import made_records
from rigs.foreign_lists import gate_root

BENCH2 = load_scanner("bench2")
GEOMETRY = build_geometry(BENCH2)
TIME, RANDOM = 1 << 63, 1 << 62


def read(stream: ForeignList) -> list[tuple[int, int]]:
    events = np.concatenate([made([], [], []), *stream])
    assert (events["energy"] == 511).all()
    return [(int(e["time_ps"]), int(e["channel"])) for e in events]


def safir_word(a: tuple[int, int, int], b: tuple[int, int, int]) -> int:
    (ring, place, layer), (ring_b, place_b, layer_b) = a, b
    return ring | ring_b << 8 | place << 16 | place_b << 32 | layer << 48 | layer_b << 52


def safir_file(path: Path, words: list[int]) -> Path:
    head = b"SAFIR CListModeData".ljust(32, b"\0")
    path.write_bytes(head + np.array(words, np.uint64).tobytes())
    return path


@pytest.fixture(params=[1 << 20, 7])
def piece_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Files are read whole, and 7 bytes at a time: what a reader makes of them is the same."""
    monkeypatch.setattr(foreign_list, "PIECE_BYTES", request.param)
    return int(request.param)


def test_safirs_pairs_are_two_singles_spread_over_their_ms(
    piece_bytes: int, tmp_path: Path
) -> None:
    one, other = safir_word((1, 2, 0), (3, 4, 1)), safir_word((0, 5, 0), (0, 7, 0))
    words = [one, TIME | 20, one, other, other | RANDOM, TIME | 21, other, TIME | 19, one]
    stream = Safir(safir_file(tmp_path / "a.clm.safir", words))
    a, b = 1 * 4096 + 2, (256 + 3) * 4096 + 4
    ms = 10**9
    assert read(stream) == [
        (20 * ms + ms // 4, a), (20 * ms + ms // 4, b), (20 * ms + 3 * ms // 4, 5),
        (20 * ms + 3 * ms // 4, 7), (21 * ms + ms // 4, 5), (21 * ms + ms // 4, 7),
        (21 * ms + 3 * ms // 4, a), (21 * ms + 3 * ms // 4, b),
    ]  # fmt: skip
    assert stream.broken == {"delayeds": 1, "pairs before the first time": 1}


def test_petlinks_addresses_are_the_crystals_of_the_reader(
    piece_bytes: int, tmp_path: Path
) -> None:
    table = (64, *(n for k in range(1, 61) for n in (64 - k, 64 - k)))
    (tmp_path / "a.l.hdr").write_text(
        "name of data file:=a.l\nnumber of rings:=64\ndistance between rings (cm):=0.40625\n"
        "gantry crystal radius (cm):=32.8\n%number of projections:=344\n%number of views:=252\n"
        f"%segment table:={{{','.join(map(str, table))}}}\n"
    )
    prompt, far = 1 << 30, 344 * 252 * 4084
    address = 200 + 344 * (17 + 252 * 70)
    words = [0x80000000 | 9, prompt | address, address, prompt | far, 0xA0000000, 0x80000000 | 10]
    np.array(words, "<u4").tofile(tmp_path / "a.l")
    stream = Petlink(tmp_path / "a.l")
    found = read(stream)
    rings = ring_pairs(stream._header)[70]
    places = crystals_of(np.array(17), np.array(200), 344)
    at = 9 * 10**9 + 10**9 // 2
    assert found == [(at, int(r * 504 + p)) for r, p in zip(rings, places, strict=True)]
    assert stream.broken == {"delayeds": 1, "addresses beyond the header's sinograms": 1}


def test_a_positron_cameras_places_are_crystals_of_two_facing_modules(
    piece_bytes: int, tmp_path: Path
) -> None:
    path = tmp_path / "p.csv"
    path.write_text("Separation= 500\n words\n\n 0.9 10.0 20.5 0.0 79.9\n 0.9 80.1 1 1 1\n 3 4\n")
    stream = Pept(path, (8, 8), (10.0, 10.0))
    channels = [1 + 8 * 2, 64 + 7 + 8 * 7, -1, 64 + 7]  # the second screen's u runs against x
    assert [channel for _, channel in read(stream)] == channels
    assert stream.broken == {"rows that are no lines": 1}


def test_petsirds_pairs_keep_their_time_of_flight(tmp_path: Path) -> None:
    settings, path = BENCH2.acquisition, tmp_path / "a.petsird"
    binning = Binning.of(BENCH2, window_ps=settings.window_ps, lld_keV=settings.lld_keV,
                         uld_keV=settings.uld_keV, energy_bins=1)  # fmt: skip
    header = header_of(BENCH2, GEOMETRY, binning, ScanFacts.of({"run": "x", "nuclide": "F-18"}))
    prompts = made_records(BENCH2, 500, 0.02)
    write_petsird(path, [(False, prompts)], header, binning, doi_bins=2)
    broken = Counter[str]()
    pieces = list(petsird_pairs(path, BENCH2, broken))
    ticks, module, crystal, energy = (np.concatenate(of) for of in zip(*pieces, strict=True))
    assert len(ticks) == 1000 and not broken["delayeds"]
    assert (energy == 5250).all()  # the middle of 400 to 650 keV
    pairs = sorted(zip(*(module * 64 + crystal)[:1000].reshape(2, -1), strict=True))
    assert pairs == sorted(zip(prompts["crystal_a"], prompts["crystal_b"], strict=True))
    tof_ps = np.diff(ticks.reshape(2, -1), axis=0)[0] * 625 / 32
    order, ours = np.argsort(prompts["time_ps"] // 10**9, kind="stable"), prompts["tof_ps"]
    assert np.abs(np.sort(tof_ps) - np.sort(ours[order])).max() < 40  # bins of 25 ps, ticks of 19.5
    with pytest.raises(ImportDataError, match="2 modules of 8 × 8 crystals, --scanner caremibrain"):
        list(petsird_pairs(path, load_scanner("caremibrain"), broken))


@pytest.mark.parametrize("gate", [9, 10])
def test_gates_singles_in_root_are_placed_and_put_in_order(gate: int, tmp_path: Path) -> None:
    uproot = pytest.importorskip("uproot", reason="./tomoshibi setup lab installs uproot")
    path, broken = gate_root(tmp_path / "g.root", gate=gate), Counter[str]()
    with uproot.open(path) as file:
        tree = file["Singles"]
        names = ("GlobalTime", "PostPosition_") if gate == 10 else ("time", "globalPos")
        time_s = tree[names[0]].array(library="np") * (1e-9 if gate == 10 else 1)
        x, y, z = (tree[names[1] + axis].array(library="np") for axis in "XYZ")
    found = read_gate_root(path, BENCH2, GEOMETRY, broken)
    order = np.argsort(time_s, kind="stable")
    assert np.abs(found.ticks * 625 / 32 * 1e-12 - time_s[order]).max() < 3e-11
    module = (x < 0).astype(int)
    iu = np.floor((np.where(module, -y, y) + 12.8) / 3.2).astype(int)
    iv = np.floor((z + 12.8) / 3.2).astype(int)
    assert found.module.tolist() == module[order].tolist()
    assert found.crystal.tolist() == (iu + 8 * iv)[order].tolist()
    assert not broken


def test_singles_outside_of_every_module_are_counted(tmp_path: Path) -> None:
    uproot = pytest.importorskip("uproot", reason="./tomoshibi setup lab installs uproot")
    rows = {"GlobalTime": [1.0, 2.0, np.nan], "TotalEnergyDeposit": [0.5] * 3}
    rows |= {f"PostPosition_{axis}": [55.0, 200.0, 55.0] for axis in "X"}
    rows |= {f"PostPosition_{axis}": [0.0] * 3 for axis in "YZ"}
    with uproot.recreate(tmp_path / "g.root") as file:
        file.mktree("Singles", dict.fromkeys(rows, "f8")).extend(
            {name: np.array(column) for name, column in rows.items()}
        )
    broken = Counter[str]()
    assert len(read_gate_root(tmp_path / "g.root", BENCH2, GEOMETRY, broken).ticks) == 1
    assert broken == {"singles outside of every module": 1,
                      "singles without a possible time, energy or place": 1}  # fmt: skip


@pytest.mark.parametrize(
    ("stream", "data", "words"),
    [
        (Safir, b"SAFIR CListModeData".ljust(32, b"\0") + b"1234567", "ends in the middle, at"),
        (Safir, b"SAFIR", "ends in the middle"),
        (Safir, b"x" * 99, "is no list of SAFIR's"),
        (lambda path: Pept(path, (8, 8), (1, 1)), b"only words\n", "no row of t, x1"),
        (Petlink, b"1234", "no header that fits"),
        (lambda path: read_gate_root(path, BENCH2, GEOMETRY, Counter()), b"no", "as ROOT|uproot"),
    ],
)
def test_what_is_no_list_is_refused_in_words(
    stream: Callable[[Path], object], data: bytes, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.root"
    path.write_bytes(data)
    with pytest.raises(ImportDataError, match=words):
        list(stream(path))  # type: ignore[call-overload]


@pytest.mark.timeout(120)
def test_our_own_safir_list_goes_through_the_live_chain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written for STIR, played with a map made of its crystal map: each pair is found again."""
    records = made_records(BENCH2, 400, 0.05)
    path = tmp_path / "a.clm.safir"
    write_safir(path, [(False, records)], BENCH2, GEOMETRY)
    events = np.concatenate(list(Safir(path)))
    channels = np.unique(events["channel"])
    assert len(channels) <= 256  # 128 crystals, two layers
    known = tmp_path / "map.csv"
    known.write_text("channel,module,crystal\n" + "".join(
        f"{channel},{channel % 4096 // 8 % 2},{channel // 4096 % 256 * 8 + channel % 8}\n"
        for channel in channels))  # fmt: skip
    base, said = f"ipc://{tmp_path}/ipc", list[int]()
    asked = ["play", str(path), "--from", "safir", "--map", str(known), "--scanner", "bench2"]
    monkeypatch.setattr("signal.signal", lambda *_: None)  # only the main thread may
    player = threading.Thread(
        target=lambda: said.append(main([*asked, "--fast", "--endpoint", base])), daemon=True
    )
    player.start()
    check, _ = listen(
        Endpoints(base), BENCH2, default_settings(BENCH2), Bounds(20, 60), say=lambda _: None
    )
    player.join(20)
    assert said == [0] and "800 events sent, 0 too late" in capsys.readouterr().out
    assert check.findings() == [] and check.summary()["singles"] == 800


@pytest.mark.reference_data
@pytest.mark.parametrize(
    ("name", "pairs", "broken"),
    [
        ("safir/point_5.clm.safir", 35_844, {"delayeds": 43}),
        ("safir/coincidencesLM.clm.safir", 1395, {"pairs before the first time": 13}),
        ("stir_mmr/small_listmode_file.l", 218_881 - 166,
         {"delayeds": 35_320, "pairs before the first time": 166}),
        ("pept/sample_2p_static.csv", 30_026, {"rows that are no lines": 1}),
    ],
)  # fmt: skip
def test_measured_lists_are_played_to_their_last_pair(
    name: str, pairs: int, broken: dict[str, int]
) -> None:
    root = os.environ.get("TOMOSHIBI_REFERENCE_DATA", "")
    if not root or not (Path(root) / name).is_file():
        pytest.skip(f"no {name}: set TOMOSHIBI_REFERENCE_DATA to the reference data")
    path = Path(root) / name
    kinds: dict[str, Callable[[Path], ForeignList]] = {
        ".safir": Safir, ".l": Petlink, ".csv": lambda path: Pept(path, (64, 64), (9.5, 9.5))
    }  # fmt: skip
    stream = kinds[path.suffix](path)
    events = np.concatenate(list(stream))
    assert len(events) == 2 * pairs and stream.broken == broken
    assert (events["time_ps"][::2] == events["time_ps"][1::2]).all()
    assert (np.diff(events["time_ps"]) >= 0).all()


def test_a_preset_of_two_flat_screens_is_possible() -> None:
    text = scanner_to_toml_text("bench2")
    for old, new in (("inradius_mm = 50.0", "inradius_mm = 356.0"), ("n_u = 8", "n_u = 64"),
                     ("n_v = 8", "n_v = 64"), ("width_mm = 25.6", "width_mm = 608.0"),
                     ("height_mm = 25.6", "height_mm = 608.0"),
                     ("ring_pitch_mm = 26.0", "ring_pitch_mm = 609.0")):  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    scanner = parse_scanner(text)
    assert scanner.n_modules == 2 and scanner.crystals_per_module == 4096
