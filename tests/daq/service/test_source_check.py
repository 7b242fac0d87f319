"""`tomoshibi check-source`: every fault of a source is named, with the field and the module."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from daq.folder.run_config import default_settings
from daq.path.frame_check import Verdict
from daq.path.link_state import new_links
from daq.service.source_check.offence import offence
from daq.service.source_check.source_check import SourceCheck
from hw.messages.source import SourceReport
from hw.scanner.preset_file import load_scanner
from hw.wire.protocol import FRAME_PERIOD_TICKS
from rigs.frames_factory import RUN_TAG, ModuleSender, single_words

SCANNER = load_scanner("bench2")
PERIODS = 40


def sent(
    *, later_ticks: int = 0, periods_off: int = 0, crystal: int = 63, energy_dkeV: int = 5110,
    ends: bool = True, first: int = 1,
) -> tuple[list[bytes], SourceReport]:  # fmt: skip
    """Return frames of pairs that both modules saw at once, and their report.

    later_ticks, periods_off : how much later module 1 says it was
    crystal, energy_dkeV : the greatest of those sent, and all
    ends, first : flags of the last and first frames
    """
    rng = np.random.default_rng(7)
    times = np.sort(rng.integers(0, PERIODS * FRAME_PERIOD_TICKS, 3000))
    frames: list[bytes] = []
    senders = [ModuleSender(m) for m in range(2)]
    for period in range(PERIODS):
        for sender in senders:
            moved = times + sender.module * (later_ticks + periods_off * FRAME_PERIOD_TICKS)
            own = moved[moved // FRAME_PERIOD_TICKS == period] % FRAME_PERIOD_TICKS
            words = single_words(
                own, crystal=rng.integers(0, crystal + 1, len(own)), energy_dkeV=energy_dkeV
            )
            last = ends and period == PERIODS - 1
            flags = (first if period == 0 else 0) | (2 if last else 0)
            frames.append(sender.frame(words, flags=flags))
    report = SourceReport(
        run_tag=RUN_TAG, singles_emitted=[s.words_sent for s in senders],
        frames_sent=[s.frames_sent for s in senders], dead_events=[0, 0],
    )  # fmt: skip
    return frames, report


def checked(frames: list[bytes], *reports: SourceReport) -> SourceCheck:
    check = SourceCheck(SCANNER, default_settings(SCANNER), RUN_TAG, list(reports))
    for at in range(0, len(frames), 7):
        check.take(frames[at : at + 7])
    return check


def test_nothing_is_wrong_with_a_good_source() -> None:
    frames, report = sent()
    check = checked(frames, report)
    assert check.findings() == []
    assert check.rates() == pytest.approx([3000 / (PERIODS * 5.24288e-3)] * 2)
    (offset,) = check.offsets()
    assert (offset.module, offset.periods) == (1, 0)
    assert abs(offset.rest_ps) < 20 and offset.pairs > 2500


@pytest.mark.parametrize("off", [-2, 1])
def test_a_module_that_took_another_sync_for_period_0_is_named(off: int) -> None:
    """A stranger's run with it had no coincidence and was good all the same."""
    found = checked(*sent(periods_off=off)).findings()
    assert [words for words in found if f"module 1 is {off:+d} period(s)" in words]


def test_an_offset_beyond_the_window_is_named_in_ns() -> None:
    (found,) = checked(*sent(later_ticks=1024)).findings()  # 20 ns
    assert found.startswith("module 1 is +20.0 ns against the others, outside")


def test_what_later_steps_would_refuse_is_named() -> None:
    frames, report = sent(crystal=70, energy_dkeV=511, ends=False, first=0)
    gone = frames.pop(10)
    found = "\n".join(checked(frames).findings())
    assert "modules 0, 1: sent a first frame without the flag FIRST" in found
    assert "modules 0, 1: sent no frame with the flag LAST" in found
    assert "modules 0, 1: name crystals beyond 0 to 63" in found
    assert "is the energy in units of 0.1 keV?" in found
    assert "module 0: have frames that lack by their sequence numbers (1 frames)" in found
    assert "no SourceReport came" in found
    more = msgspec.structs.replace(report, frames_sent=[PERIODS + 3, PERIODS])
    found = "\n".join(checked([*frames, gone], more).findings())
    assert "module 0: report other numbers of frames than came (3 more frames)" in found
    short = msgspec.structs.replace(report, frames_sent=[1], singles_emitted=[1], dead_events=[0])
    assert "lists are not of 2 modules" in "\n".join(checked(frames, short).findings())


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"magic": 0x544D5342}, "BAD_MAGIC magic (byte 0) is 0x544d5342, must be 0x42534d54"),
        ({"version": 7}, "BAD_VERSION version (byte 4) is 7, this program takes 1 only"),
        ({"run_tag": 3}, f"OTHER_RUN run_tag (byte 16) is 3, Start said {RUN_TAG}"),
        ({"module": 9}, "UNKNOWN_MODULE module (byte 6) is 9, the scanner has 0 to 1"),
        ({"frame_id": 900_000}, "OUT_OF_STEP frame_id (byte 12) is 900000 at sequence 1"),
        ({"sequence": 0, "frame_id": 0}, "DUPLICATE sequence (byte 8) is 0 where about 1"),
    ],
)
def test_a_refused_frame_says_its_first_offending_field(header: dict[str, int], words: str) -> None:
    check, sender = SourceCheck(SCANNER, default_settings(SCANNER), RUN_TAG), ModuleSender(0)
    check.take([sender.frame(), ModuleSender(1).frame()])
    _, ((one, said),) = check.take([sender.frame(**header)])
    assert f"{one.verdict.name} {said}".startswith(words)
    assert f"1 frames refused as {one.verdict.name}" in check.findings()


def test_damaged_bytes_are_told_with_what_was_wanted() -> None:
    check, whole = SourceCheck(SCANNER, default_settings(SCANNER), RUN_TAG), ModuleSender(0)
    frame = whole.frame(single_words([5]))
    damaged = [frame[:40], frame[:-8], frame[:-1] + b"\0", frame[::-1]]
    damaged[2] = frame[:70] + bytes([frame[70] ^ 1]) + frame[71:]
    _, refused = check.take(damaged)
    said = [words for _, words in refused]
    assert said[0] == "its length is 40 bytes, a header alone has 64"
    assert said[1] == "event_count (byte 20) is 1: that is 72 bytes, 64 came"
    assert said[2].startswith("crc (byte 60) is 0x") and "computed over bytes 0 to 59" in said[2]
    assert said[3].startswith("magic (byte 0)")


def test_each_golden_frame_that_is_refused_has_its_words() -> None:
    golden = Path(__file__).parents[3] / "hw" / "wire" / "golden"
    data, links = (golden / "frames.bin").read_bytes(), new_links(48)
    frames = json.loads((golden / "frames.json").read_text(encoding="utf-8"))["frames"]
    refused = [one for one in frames if one["verdict"] != "ACCEPTED"]
    assert len(refused) >= 8
    for one in refused:
        frame = data[one["offset"] : one["offset"] + one["length"]]
        words = offence(frame, Verdict[one["verdict"]], run_tag=0x5EED1E55, links=links)
        assert " is " in words or " byte" in words, one
