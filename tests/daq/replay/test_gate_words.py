"""Words of the modules' gate inputs, from the raw log to the gates of an image."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from daq.cli import main
from daq.errors import LogError
from daq.folder.run_config import RunConfig, default_settings
from daq.replay.gate_words import gate_times_s
from daq.service.run import Run
from emulator.config import EmulatorConfig
from emulator.engines.emulation import frames_of_run
from emulator.engines.prepare import prepare
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text
from hw.wire.frames import seal_frame
from hw.wire.protocol import (
    FRAME_PERIOD_LOG2,
    HEADER_BYTES,
    HEADER_DTYPE,
    WORD_KINDS,
    pack_words,
    ps_to_ticks,
)

PERIODS, TAG, INPUT = 60, 9, 5
BEATS_S = np.arange(0.02, 0.31, 0.04)


def gate_words(period: int) -> np.ndarray:
    """Each beat, its bounce 0.2 ms later, and input 6 at the same times."""
    ticks = ps_to_ticks(np.rint(np.concatenate([BEATS_S, BEATS_S + 2e-4]) * 1e12).astype(np.int64))
    own = ticks[ticks >> FRAME_PERIOD_LOG2 == period] & ((1 << FRAME_PERIOD_LOG2) - 1)
    numbers = np.repeat([INPUT, 6], len(own))
    kind = WORD_KINDS["gate"]
    return pack_words(time_ticks=np.tile(own, 2), crystal=numbers, energy_dkeV=0, kind=kind)


def with_gates(frame: bytes, sent: list[int]) -> bytes:
    """Return a frame of module 0 with its gate words, and the counts that go with them."""
    header = np.frombuffer(frame, HEADER_DTYPE, 1)[0].copy()
    if header["module"] != 0:
        return frame
    words = gate_words(int(header["frame_id"]))
    header["events_before"] += sent[0]
    sent[0] += len(words)
    return seal_frame(header, np.concatenate([np.frombuffer(frame[HEADER_BYTES:], "<u8"), words]))


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a point source, 0.31 s, with a heartbeat on input 5."""
    config = EmulatorConfig(scanner="bench2", phantom="point", activity_Bq=1e6, seed=5)
    settings = default_settings(load_scanner("bench2"))
    run = Run(
        RunConfig(scanner_toml=scanner_to_toml_text("bench2"), settings=settings, run_tag=TAG,
                  name="beats", labels={"nuclide": "F-18"}),
        tmp_path_factory.mktemp("runs"),
    )  # fmt: skip
    sent = [0]
    for frames in frames_of_run(prepare(config), config, periods=PERIODS, run_tag=TAG):
        run.process([with_gates(bytes(frame), sent) for frame in frames])
    ecg, _ = run.signals.of("ecg", "trigger", "a test")
    ecg.add([round(at_s * 1e12) for at_s in BEATS_S], [1.0] * len(BEATS_S))
    run.finish()
    return run.folder


def test_times_are_those_of_the_words_once_each(run_folder: Path) -> None:
    assert gate_times_s(run_folder, INPUT) == pytest.approx(BEATS_S, abs=1e-9)


def test_an_input_without_words_is_named_with_those_that_have_some(run_folder: Path) -> None:
    with pytest.raises(LogError, match=r"0 words of gate input 2.*with words: 5, 6"):
        gate_times_s(run_folder, 2)


def test_an_image_is_gated_by_the_input(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["reconstruct", str(run_folder), "--gates", "2", "--gate-input", str(INPUT),
             "--gate-source", "cardiac", "--iterations", "1", "--subsets", "1",
             "--output", str(tmp_path / "a.nii.gz"), "--json"]  # fmt: skip
    assert main(words) == 0
    said = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert said["gates"] == [1, 2]
    assert said["FrameDuration"] == pytest.approx([0.02 * (len(BEATS_S) - 1)] * 2, rel=1e-6)
    capsys.readouterr()
    assert main([*words[:4], "--output", str(tmp_path / "b.nii.gz")]) == 1
    assert "--gate-input" in capsys.readouterr().err


def test_a_signal_that_the_run_keeps_gates_as_the_modules_own_input_does(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["reconstruct", str(run_folder), "--gates", "2", "--iterations", "1", "--subsets", "1"]
    own = [*words, "--gate-input", str(INPUT), "--output", str(tmp_path / "own.nii.gz")]
    kept = [*words, "--gate-signal", "ecg", "--output", str(tmp_path / "kept.nii.gz")]
    assert main(own) == main(kept) == 0
    one, other = (np.asarray(nib.load(tmp_path / f"{name}.nii.gz").dataobj)
                  for name in ("own", "kept"))  # fmt: skip
    assert one.max() > 0
    np.testing.assert_allclose(one, other, atol=1e-4 * one.max())
    capsys.readouterr()
    assert main([*words, "--gate-signal", "belt", "--output", str(tmp_path / "no.nii.gz")]) == 1
    assert "has no signal belt; it has: ecg" in capsys.readouterr().err
