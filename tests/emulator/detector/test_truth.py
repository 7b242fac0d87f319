"""What is known of each trigger: labels beside the hits, and the file that holds them."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import crc32c
import numpy as np
import pytest
from msgspec.structs import replace as changed

from emulator.config import EmulationError, EmulatorConfig
from emulator.detector.truth_file import IN_RUN, TruthWriter, open_truth
from emulator.engines.decay_engine import DecayEngine
from emulator.engines.emulation import Emulation, frames_of_run
from emulator.engines.instrument import Instrument
from emulator.engines.prepare import prepare
from emulator.object.shapes import cylinder
from emulator.slices import SliceHits
from emulator.truth_labels import NOISE_DECAY, decay_number, lutetium_number
from hw.messages.source import Start
from hw.scanner.preset_file import load_scanner
from hw.wire.truth_layout import (
    ANNIHILATION,
    FILE_NAME,
    FRAME,
    LABEL,
    LINE,
    LUTETIUM_DECAY,
    NOISE_TRIGGER,
)
from oracles.emulation import PERIOD_PS

CONFIG = EmulatorConfig(
    scanner="bench2", phantom="point", nuclide="Na-22", activity_Bq=4e6, seed=4, lutetium=True,
    noisy_crystals=2,
)  # fmt: skip


def in_water(config: EmulatorConfig) -> Instrument:
    phantom = cylinder(load_scanner("bench2"), radius_mm=20.0, length_mm=40.0)
    return prepare(config, phantom=phantom)


def made_of(instrument: Instrument, index: int = 3, *, labelled: bool = True) -> SliceHits:
    engine = DecayEngine(instrument, activity_Bq=4e6, seed=4, labelled=labelled)
    return engine.make_slice(index)


def test_labels_change_no_hit():
    plain, labelled = made_of(in_water(CONFIG), labelled=False), made_of(in_water(CONFIG))
    assert plain.hits.tobytes() == labelled.hits.tobytes()
    assert len(plain.labels) == 0 and len(labelled.labels) == len(labelled.hits)


def test_every_kind_of_trigger_is_labelled():
    labels = made_of(in_water(CONFIG)).labels
    kind, decay = labels["kind"], labels["decay"]
    assert set(kind) == {ANNIHILATION, LINE, LUTETIUM_DECAY, NOISE_TRIGGER}
    assert (decay[kind <= LINE] >= decay_number(3, 0)).all()
    assert (decay[kind == LUTETIUM_DECAY] <= lutetium_number(3, 0)).all()
    assert (decay[kind == NOISE_TRIGGER] == NOISE_DECAY).all()
    assert set(labels["photon"][kind == ANNIHILATION]) == {0, 1}
    assert labels["photon"][kind == LINE].min() >= 2
    assert labels["emitted_keV"][kind == ANNIHILATION] == pytest.approx(511, abs=0.01)
    assert labels["emitted_keV"][kind == LINE].max() == pytest.approx(1274.5, abs=0.1)


def test_time_energy_and_place_are_those_of_the_hit():
    made = made_of(in_water(CONFIG))
    labels, hits = made.labels, made.hits
    of_source = labels["kind"] <= LINE
    late_ps = (hits["time_ps"] - labels["time_ps"])[of_source]
    assert late_ps.min() > 15_000 and late_ps.max() < 30_000
    assert (labels["deposit_keV"] <= labels["emitted_keV"] * 1.001)[of_source].all()
    ratio = hits["energy"][of_source] * 0.1 / labels["deposit_keV"][of_source]
    assert np.median(ratio) == pytest.approx(1, abs=0.1)
    assert np.hypot(labels["x_mm"], labels["y_mm"])[of_source].max() < 25


def test_scatter_needs_matter():
    in_air = made_of(prepare(CONFIG)).labels
    assert made_of(in_water(CONFIG)).labels["scatters"].max() > 0
    assert in_air["scatters"].max() == 0


def read_blocks(path: Path) -> list[tuple[int, int, bytes]]:
    """Read a block file after docs/file-format.md: (kind, items, payload)."""
    data, at, blocks = path.read_bytes(), 0, []
    while at < len(data):
        magic, kind, _, sequence, items, length, crc = struct.unpack_from("<IHHIIQI", data, at)
        (own,) = struct.unpack_from("<I", data, at + 28)
        payload = data[at + 32 : at + 32 + length]
        assert (magic, sequence) == (0x4B424D54, len(blocks))
        assert own == crc32c.crc32c(data[at : at + 28]) and crc == crc32c.crc32c(payload)
        blocks.append((kind, items, payload))
        at += 32 + length
    return blocks


def test_file_has_a_label_for_each_word_of_each_frame(tmp_path: Path):
    path = tmp_path / FILE_NAME
    writer = TruthWriter(path, {"run_tag": 9})
    frames = list(frames_of_run(in_water(CONFIG), CONFIG, periods=3, run_tag=9, truth=writer))
    writer.close({"periods": 3})
    (_, _, head), *data, (end_kind, _, end) = read_blocks(path)
    assert json.loads(head)["run_tag"] == 9 and end_kind == 9
    assert [kind for kind, _, _ in data] == [10, 10, 10]
    for sent, (_, items, payload) in zip(frames, data, strict=True):
        table = np.frombuffer(payload, FRAME, items)
        labels = np.frombuffer(payload, LABEL, offset=table.nbytes)
        assert table["module"].tolist() == [0, 1]
        assert table["words"].tolist() == [(len(frame) - 64) // 8 for frame in sent]
        assert len(labels) == table["words"].sum()
    assert json.loads(end) == {"periods": 3, "words": writer.words}


def test_triggers_that_cross_a_frames_end_keep_their_truth(tmp_path: Path):
    """All hits come half a period late here: half of them are carried into the next frame."""
    path, delay_ps = tmp_path / FILE_NAME, PERIOD_PS // 2
    config = changed(CONFIG, noisy_crystals=0, lutetium=False, nuclide="F-18")
    writer = TruthWriter(path, {"run_tag": 0})
    emulation = Emulation(in_water(config), activity_Bq=2e6, seed=1, origins=True)
    words: list[np.ndarray] = []
    for index in range(4):
        hits = emulation.emulate_slice(index)
        hits.hits["time_ps"] += delay_ps
        frames = emulation.digitize(hits)
        assert emulation.digitizer.carried > 100
        writer.append(hits, frames, emulation.digitizer)
        ticks = [np.frombuffer(frame[64:], "<u8") & (2**30 - 1) for frame in frames]
        words += [part * 625 // 32 + index * PERIOD_PS for part in ticks]
    writer.close({})
    labels = [
        np.frombuffer(payload, LABEL, offset=items * FRAME.itemsize)
        for kind, items, payload in read_blocks(path)
        if kind == 10
    ]
    late_ps = np.concatenate(words).astype(np.int64) - np.concatenate(labels)["time_ps"] - delay_ps
    assert late_ps.min() > 15_000 and late_ps.max() < 30_000


def test_run_folder_or_named_folder(tmp_path: Path):
    order = Start(run_tag=42, folder=str(tmp_path))
    open_truth(IN_RUN, order, "bench2").close({})
    assert (tmp_path / FILE_NAME).is_file()
    open_truth(str(tmp_path), order, "bench2").close({})
    assert (tmp_path / "0000002a.tmtruth").is_file()
    with pytest.raises(EmulationError, match="name a folder that exists"):
        open_truth(str(tmp_path / "none"), order, "bench2")
    with pytest.raises(EmulationError, match="not given"):
        open_truth(IN_RUN, Start(run_tag=42), "bench2")
    with pytest.raises(EmulationError, match="File exists"):
        open_truth(IN_RUN, order, "bench2")


def test_hits_without_their_labels_are_refused(tmp_path: Path):
    writer = TruthWriter(tmp_path / FILE_NAME, {"run_tag": 0})
    emulation = Emulation(in_water(CONFIG), activity_Bq=1e6, seed=1)
    hits = emulation.emulate_slice(0)
    with pytest.raises(EmulationError, match="and 0 labels"):
        writer.append(hits, emulation.digitize(hits), emulation.digitizer)
    writer.close({})


def test_a_folder_that_is_none_and_load_mode_are_refused_before_any_run(tmp_path):
    with pytest.raises(EmulationError, match="is not a folder; create it, name an existing one"):
        prepare(changed(CONFIG, truth=str(tmp_path / "nowhere")))
    with pytest.raises(EmulationError, match="load mode keeps no truth"):
        prepare(changed(CONFIG, truth=str(tmp_path), library="auto"))
