"""Lists of other people's electronics: what is read, what is counted, what is refused in words."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from daq.errors import ImportDataError
from daq.importers.streams import foreign_list
from daq.importers.streams.caen import Compass, Janus
from daq.importers.streams.channel_map import ChannelMap
from daq.importers.streams.foreign_list import ForeignList, made
from daq.importers.streams.petsys import PetsysGroups, PetsysPairs
from daq.importers.streams.text import Rows
from hw.scanner.preset_file import load_scanner
from rigs.foreign_lists import compass, janus_event, janus_head, petsys_group, petsys_pair

BENCH2 = load_scanner("bench2")
GROUP = [(1030, 6.0, 179), (1010, 4.5, 181), (1020, 1.5, 7)]


def read(kind: type[ForeignList], path: Path, data: bytes) -> tuple[ForeignList, np.ndarray]:
    path.write_bytes(data)
    stream = kind(path)
    return stream, np.concatenate([made([], [], []), *stream])


def rows_of(events: np.ndarray) -> list[tuple[int, int, float]]:
    return [(int(e["time_ps"]), int(e["channel"]), float(e["energy"])) for e in events]


@pytest.fixture(params=[1 << 20, 7])
def piece_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Files are read whole, and 7 bytes at a time: what a reader makes of them is the same."""
    monkeypatch.setattr(foreign_list, "PIECE_BYTES", request.param)
    return int(request.param)


def test_a_group_is_a_single_of_its_strongest_hit(piece_bytes: int, tmp_path: Path) -> None:
    data = petsys_group(GROUP) + petsys_group([(900, 2.0, 3)]) + petsys_group(GROUP)
    stream, events = read(PetsysGroups, tmp_path / "a.ldat", data)
    assert rows_of(events) == [(1010, 179, 12.0), (900, 3, 2.0), (1010, 179, 12.0)]
    assert not stream.broken


def test_groups_that_lack_a_hit_are_counted(piece_bytes: int, tmp_path: Path) -> None:
    whole, size = petsys_group(GROUP), 18
    data = whole[size:] + whole[:size] + whole[2 * size :] + whole
    stream, events = read(PetsysGroups, tmp_path / "a.ldat", data)
    assert rows_of(events) == [(1010, 179, 12.0)]
    assert stream.broken == {"hits without the first of their group": 2,
                             "groups with hits that lack": 1}  # fmt: skip


def test_a_coincidence_is_each_of_its_groups_once(piece_bytes: int, tmp_path: Path) -> None:
    data = petsys_pair(GROUP, [(1000, 9.0, 500), (1001, 1.0, 501)])
    stream, events = read(PetsysPairs, tmp_path / "c.ldat", data + data)
    assert sorted(rows_of(events)) == [(1000, 500, 10.0)] * 2 + [(1010, 179, 12.0)] * 2
    assert not stream.broken


def test_janus_gives_the_strongest_channel_of_each_board(piece_bytes: int, tmp_path: Path) -> None:
    data = janus_head() + janus_event(3, 55.5, [(0, 85, 572.5), (1, 20, None), (9, 170, 560.0)])
    data += janus_event(1, 54.0, [(63, 5, None)])
    _, events = read(Janus, tmp_path / "l.dat", data)
    assert rows_of(events) == [(55_500_000 + 560_000, 201, 170.0), (54_000_000, 127, 5.0)]


@pytest.mark.parametrize("has", [13, 15, 5, 1, 9])
def test_compass_is_read_with_and_without_waveforms(
    has: int, piece_bytes: int, tmp_path: Path
) -> None:
    events = [(0, 1, 97_874_000_000, 798), (2, 63, 97_874_001_000, 4095)]
    _, found = read(Compass, tmp_path / "c.BIN", compass(events, has=has))
    assert rows_of(found) == [(97_874_000_000, 1, 798.0), (97_874_001_000, 191, 4095.0)]


def test_rows_with_a_head_and_nonsense(piece_bytes: int, tmp_path: Path) -> None:
    data = b"time_ps,channel,energy_keV\n10,3,511\n\nx,y\n20,4,300.5,more\n30,5,nan\n-1,1,1\n40,6,9"
    stream, events = read(Rows, tmp_path / "e.csv", data)
    assert rows_of(events) == [(10, 3, 511.0), (20, 4, 300.5), (40, 6, 9.0)]
    assert stream.broken == {"lines that are no rows": 1,
                             "events without a possible time or energy": 2}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        (PetsysGroups, lambda: petsys_group(GROUP)[:-5], "ends in the middle, at byte 36"),
        (PetsysPairs, lambda: petsys_pair(GROUP, GROUP)[:-1], "35 of a record's 36 bytes"),
        (Janus, lambda: janus_head() + janus_event(0, 1.0, [(0, 1, None)])[:-1], "ends in the"),
        (Janus, lambda: janus_head() + struct.pack("<HB", 4, 0), "an event of 4 bytes"),
        (Janus, lambda: janus_head(mode=1), "is no list of Janus in format 3.x of spectroscopy"),
        (Janus, lambda: janus_head(in_ns=0), "OF_OutFileUnit ns"),
        (Janus, lambda: b"", "ends in the middle, at byte 0"),
        (Compass, lambda: compass([(0, 0, 5, 5)])[:-1], "ends in the middle, at byte 2"),
        (Compass, lambda: compass([(0, 0, 5, 5)])[:21] + b"\xff" * 9, "a waveform of 4294967295"),
        (Compass, lambda: b"\x00\x01abc", "is no list of CoMPASS 2"),
        (Compass, lambda: compass([], has=8), "is no list of CoMPASS 2 with energies"),
    ],
)
def test_what_is_cut_off_or_absurd_ends_in_words(
    kind: type[ForeignList], data: Callable[[], bytes], words: str, piece_bytes: int, tmp_path: Path
) -> None:
    with pytest.raises(ImportDataError, match=words):
        read(kind, tmp_path / "bad", data())


def test_hits_that_do_not_fill_an_event_are_counted(tmp_path: Path) -> None:
    event = bytearray(janus_event(0, 1.0, [(0, 1, None), (1, 2, None)]))
    event[35:37] = struct.pack("<H", 9)  # the number of hits
    good = janus_event(0, 2.0, [(4, 1, None)])
    stream, events = read(Janus, tmp_path / "l.dat", janus_head() + bytes(event) + good)
    assert rows_of(events) == [(2_000_000, 4, 1.0)]
    assert stream.broken == {"events whose hits do not fill them": 1}


def test_a_map_places_calibrates_and_shifts(tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    path.write_text("channel,module,crystal,gain,offset_ps\n179,1,63,2.5,-10\n3,0,0,,\n")
    mapped = ChannelMap.read(path, BENCH2).of(
        made([1010, 900, 5, 5], [179, 3, 4, 9999], [12.0, 511.0, 1.0, 1.0])
    )
    assert mapped.module.tolist() == [1, 0] and mapped.crystal.tolist() == [63, 0]
    assert mapped.energy_dkeV.tolist() == [300, 5110]
    assert mapped.ticks.tolist() == [1000 * 32 // 625, 900 * 32 // 625]
    assert mapped.unknown == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("channel,module\n1,0\n", "no column crystal"),
        ("channel,module,crystal\n1,0,64\n", "line 2: crystal 64 is not within 0 to 63"),
        ("channel,module,crystal\n1,2,0\n", "line 2: module 2 is not within 0 to 1"),
        ("channel,module,crystal\n-1,0,0\n", "line 2: channel -1 is not within 0 to 16777215"),
        ("channel,module,crystal\n1,0,0\n1,0,1\n", "2 rows of 1 channels"),
        ("channel,module,crystal\n1,x,0\n", "line 2: invalid literal"),
        ("channel,module,crystal\n1,0\n", "line 2:"),
        ("channel,module,crystal,gain\n1,0,0,nan\n", "line 2: gain nan"),
        ("channel,module,crystal\n", "0 rows of 0 channels"),
        ("\xff", "no column channel, module, crystal"),
    ],
)
def test_a_map_that_cannot_be_is_refused(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ImportDataError, match=words):
        ChannelMap.read(path, BENCH2)


@pytest.mark.reference_data
@pytest.mark.parametrize(
    ("kind", "name", "events", "channels"),
    [
        (PetsysGroups, "petsys/chanCal_Source.ldat", 10_000, 505),
        (PetsysGroups, "petsys/chanCal_woSource.ldat", 1000, 385),
        (PetsysPairs, "petsys/20221121_SourceSM1pos8_1000evt_coinc.ldat", 2000, 414),
        (Janus, "caen/Run54.first256_list.dat", 256, 134),
        (Compass, "caen/compass_test_data.BIN", 102, 2),
    ],
)
def test_measured_lists_are_read_to_their_last_byte(
    kind: type[ForeignList], name: str, events: int, channels: int
) -> None:
    root = os.environ.get("TOMOSHIBI_REFERENCE_DATA", "")
    if not root or not (Path(root) / name).is_file():
        pytest.skip(f"no {name}: set TOMOSHIBI_REFERENCE_DATA to the reference data")
    stream = kind(Path(root) / name)
    found = np.concatenate(list(stream))
    assert (len(found), len(np.unique(found["channel"]))) == (events, channels)
    assert not stream.broken
    if kind is PetsysPairs:  # pairs are pairs: most within 5 ns of another
        assert (np.diff(np.sort(found["time_ps"])) < 5000).sum() > 850
