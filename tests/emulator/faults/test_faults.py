"""Faults do what they say, are counted, and leave the rest alone."""

from __future__ import annotations

import msgspec
import pytest

from emulator.fault_kinds import FRAME_KINDS, FaultPlan
from emulator.faults.frames import FaultInjector
from emulator.faults.schedule import FaultSchedule
from hw.wire.frames import new_header, seal_frame
from hw.wire.protocol import FLAG_LAST, pack_words
from oracles.frame_reader import FrameError, open_frame

WORDS = pack_words(time_ticks=[10, 20], crystal=[1, 2], energy_dkeV=[5110, 5110])


def frame(sequence: int, *, module: int = 3, flags: int = 0) -> bytes:
    return seal_frame(new_header(module, sequence, sequence, flags=flags), WORDS)


def sent(plan: FaultPlan, count: int = 4) -> tuple[list[bytes], FaultInjector]:
    schedule = FaultSchedule(plan.faults(modules=4), modules=4)
    injector = FaultInjector(schedule, exact=plan.exact.items(), seed=plan.seed)
    out: list[bytes] = []
    for sequence in range(count):
        injector.begin(sequence)
        flags = FLAG_LAST if sequence == count - 1 else 0
        out += injector.apply(3, sequence, frame(sequence, flags=flags))
    return out, injector


def sequences(frames: list[bytes]) -> list[int]:
    return [int(open_frame(part)[0]["sequence"]) for part in frames]


def test_no_plan_no_fault():
    out, injector = sent(FaultPlan())
    assert injector.idle
    assert sequences(out) == [0, 1, 2, 3]
    assert not injector.done


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("drop", [0, 2, 3]), ("duplicate", [0, 1, 1, 2, 3]), ("reorder", [0, 2, 1, 3])],
)
def test_frames_go_missing_come_twice_or_late(kind, expected):
    out, injector = sent(FaultPlan(exact={kind: ((3, 1),)}))
    assert sequences(out) == expected
    assert injector.done == {kind: 1}


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [("corrupt", "crc"), ("truncate", "length"), ("wrong_version", "version")],
)
def test_spoilt_frames_are_refused_for_the_reason_meant(kind, complaint):
    out, injector = sent(FaultPlan(exact={kind: ((3, 1),)}))
    with pytest.raises(FrameError, match=complaint):
        open_frame(out[1])
    assert sequences([out[0], *out[2:]]) == [0, 2, 3]
    assert injector.done == {kind: 1}


def test_unknown_module_has_a_valid_checksum():
    out, _ = sent(FaultPlan(exact={"unknown_module": ((3, 1),)}))
    assert int(open_frame(out[1])[0]["module"]) == 0xFFFE


@pytest.mark.parametrize("kind", FRAME_KINDS)
def test_last_frame_is_spared(kind):
    out, injector = sent(FaultPlan(probability={kind: 1.0}), count=1)
    assert sequences(out) == [0]
    assert not injector.done


def test_a_frame_held_back_leaves_before_the_last_one():
    out, _ = sent(FaultPlan(exact={"reorder": ((3, 2),)}))
    assert sequences(out) == [0, 1, 2, 3]


def test_probable_faults_fall_alike_for_one_seed_and_about_as_often_as_asked():
    plan = FaultPlan(probability={"drop": 0.1, "corrupt": 0.05}, seed=4)
    (first, injector), (second, _) = sent(plan, 2000), sent(plan, 2000)
    assert first == second
    assert injector.done["drop"] == pytest.approx(200, abs=55)
    assert injector.done["corrupt"] == pytest.approx(100, abs=40)


def test_unknown_fault_is_refused():
    with pytest.raises(msgspec.ValidationError, match="explode"):
        msgspec.convert({"probability": {"explode": 0.5}}, FaultPlan)
