"""What modules say of themselves is told once, by name; what looks wrong is counted by name."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest

from daq.path.clock_judge import HARMLESS_PERIODS
from daq.path.decode import MAX_FRAME_ID
from daq.path.frame_check import FrameChecker, Verdict
from daq.path.link_state import LINK
from daq.service.run import Run
from daq.service.told_by_sources import describe_fault
from daq.service.watching.watch import LAG_S, ModuleWatch, RunWatch, named
from hw.messages.source import FaultDone, SourceReport
from hw.wire.protocol import FLAG_FIRST, FLAG_SYNC_LOST
from rigs.frames_factory import RUN_TAG, ModuleSender, single_words
from rigs.line_journal import told as lines_told


def checker(n_modules: int = 1) -> FrameChecker:
    return FrameChecker(n_modules=n_modules, run_tag=RUN_TAG)


# --- numbers --------------------------------------------------------------------------------------


def test_numbers_may_begin_anywhere_where_the_first_frame_says_so():
    check, sender = checker(), ModuleSender(0)
    sender.sequence, sender.events_before = 2**32 - 3, 7
    frames = [sender.frame(single_words([k]), flags=FLAG_FIRST if k == 0 else 0) for k in range(9)]
    del frames[5]
    assert len(check.check([*frames, frames[0]])) == 8
    link = check.links[0]
    assert (link["received"], link["lost"], link["words_lost"], link["resets"]) == (8, 1, 1, 0)
    assert link["frames_base"] + link["next_sequence"] == 9
    assert link["words_base"] + link["next_word"] == 9
    assert check.verdicts[Verdict.DUPLICATE] == 1


@pytest.mark.parametrize("before", [5, 2**32 - 3])
def test_a_first_frame_in_mid_run_is_a_reset_whatever_the_numbers_were(before):
    """Numbers that fall from just below 2³² to 0 would look like a small gap without it."""
    check, sender = checker(), ModuleSender(0)
    sender.sequence = before
    check.check([sender.frame(flags=FLAG_FIRST), sender.frame(single_words([1]))])
    sender.restart()
    sender.frame_id += 10
    check.check([sender.frame(single_words([1, 2]), flags=FLAG_FIRST), sender.frame()])
    link = check.links[0]
    assert (link["resets"], link["received"], link["lost"], link["slips"]) == (1, 4, 0, 0)
    assert link["frames_base"] + link["next_sequence"] == 4
    assert (link["words_received"], link["words_lost"]) == (3, 0)


def test_a_first_frame_overtaken_by_its_successor_is_no_reset():
    check, sender = checker(), ModuleSender(0)
    first, second = sender.frame(flags=FLAG_FIRST), sender.frame()
    check.check([second, first])
    assert check.links[0][["resets", "received", "lost"]].tolist() == (0, 2, 0)


def test_a_period_that_leaps_ahead_of_its_number_is_refused_and_counts_as_lost():
    check, sender = checker(), ModuleSender(0)
    good = [sender.frame() for _ in range(5)]
    leapt = [sender.frame(frame_id=15 + k + HARMLESS_PERIODS + 1) for k in range(3)]
    sender.frame_id = 8
    assert len(check.check([*good, *leapt, sender.frame()])) == 6
    assert check.verdicts[Verdict.OUT_OF_STEP] == 3
    assert (check.links[0]["lost"], check.links[0]["slips"]) == (3, 0)
    assert check.links[0]["last_frame_id"] == 8


def test_a_small_slip_is_followed_and_counted_there_and_back():
    check, sender = checker(), ModuleSender(0)
    frames = [sender.frame() for _ in range(3)]
    sender.frame_id += 2
    frames += [sender.frame() for _ in range(3)]
    sender.frame_id -= 2
    frames += [sender.frame() for _ in range(3)]
    assert len(check.check(frames)) == 9
    assert (check.links[0]["slips"], check.links[0]["lost"]) == (2, 0)


def test_lost_frames_are_no_leap_for_period_and_number_go_together():
    check, sender = checker(), ModuleSender(0)
    first = sender.frame()
    for _ in range(1000):
        sender.frame()
    assert len(check.check([first, sender.frame()])) == 2
    assert check.links[0]["lost"] == 1000
    assert MAX_FRAME_ID > 1000


# --- what modules tell ----------------------------------------------------------------------------


def test_sync_lost_and_found_is_told_once_by_module():
    check, watch = checker(3), ModuleWatch()
    senders = [ModuleSender(m) for m in range(3)]
    check.check([s.frame(flags=FLAG_SYNC_LOST * (s.module > 0)) for s in senders])
    assert lines_told(watch.look(check.links)) == [("alarm", "SYNC lost: modules 1, 2")]
    check.check([s.frame(flags=FLAG_SYNC_LOST * (s.module == 2)) for s in senders])
    assert lines_told(watch.look(check.links)) == [("info", "SYNC again: module 1")]
    assert lines_told(watch.look(check.links)) == []
    assert check.links["sync_lost"].tolist() == [0, 1, 2]


def test_sync_lost_and_found_between_two_looks_is_told_all_the_same():
    check, watch, sender = checker(), ModuleWatch(), ModuleSender(0)
    check.check([sender.frame(flags=FLAG_SYNC_LOST), sender.frame()])
    assert [words for _, words in lines_told(watch.look(check.links))] == [
        "SYNC lost: module 0",
        "SYNC again: module 0",
    ]


def test_a_new_epoch_is_told_with_its_temperature():
    check, watch = checker(2), ModuleWatch()
    senders = [ModuleSender(m) for m in range(2)]
    check.check([s.frame(temperature=2450, epoch=0) for s in senders])
    assert lines_told(watch.look(check.links)) == []
    check.check([s.frame(temperature=2700 + 50 * s.module, epoch=1) for s in senders])
    ((severity, words),) = lines_told(watch.look(check.links))
    assert severity == "warning"
    assert words.startswith("new epoch at 27.0 to 27.5 °C: modules 0, 1")
    assert check.links["epochs"].tolist() == [1, 1]


TEMPERATURE = "a module's temperature left its band"
CHANGED = "a module's bias or settings were changed"


@pytest.mark.parametrize(("cC", "cause"), [(2700, TEMPERATURE), (2451, CHANGED)])
def test_an_epoch_taints_with_its_own_cause(cC, cause):
    check, watch, sender = checker(), ModuleWatch(), ModuleSender(0)
    assert lines_told(watch.look(check.links)) == []  # before the module is heard
    check.check([sender.frame(temperature=2450, epoch=3)])
    watch.look(check.links)
    check.check([sender.frame(temperature=cC, epoch=4)])
    watch.look(check.links)
    assert watch.causes == [cause]


def test_a_bias_below_what_was_asked_is_an_alarm_by_module_and_taints():
    check, watch = checker(2), ModuleWatch()
    senders = [ModuleSender(m) for m in range(2)]

    def look(*biases_V):
        frames = zip(senders, biases_V, strict=True)
        check.check([s.frame(temperature=2450, bias=round(100 * V)) for s, V in frames])
        return lines_told(watch.look(check.links))

    assert look(29.0, 29.0) == look(28.6, 29.3) == []  # within what follows the temperature
    assert watch.causes == []
    assert look(20.0, 29.0) == [("alarm", "module 0: bias 20.0 V of 29.0 V asked")]
    assert look(10.0, 29.0) == []  # told
    assert look(0.0, 29.0) == [("alarm", "module 0: bias 0.0 V of 29.0 V asked")]
    assert look(0.0, 0.0) == [("alarm", "module 1: bias 0.0 V of 29.0 V asked")]
    assert look(29.0, 29.0) == [("info", "bias as asked again: modules 0, 1")]
    assert watch.causes == ["a module's bias was below what was asked"]  # and stays
    assert check.links["low_bias"].tolist() == [4, 1]


def test_a_fall_between_two_looks_taints_all_the_same():
    check, watch, sender = checker(), ModuleWatch(), ModuleSender(0)
    check.check([sender.frame(bias=bias) for bias in (2900, 0, 2900)])
    assert lines_told(watch.look(check.links)) == []
    assert watch.causes == ["a module's bias was below what was asked"]
    assert check.links["low_bias"].tolist() == [1]


def test_many_modules_are_told_in_one_entry():
    assert named([5]) == "module 5"
    assert named(range(48)) == "modules 0, 1, 2, 3, 4, 5 and 42 more"
    assert lines_told(ModuleWatch().look(np.zeros(4, LINK))) == []


def test_a_source_that_falls_behind_is_told_once_and_when_it_keeps_up_again():
    watch = RunWatch()
    told = [
        lines_told(watch._lag(lag_s)) for lag_s in (0.1, LAG_S + 1, LAG_S + 2, LAG_S / 2, 0.0, 0.0)
    ]
    assert [entry[0][0] if entry else "" for entry in told] == ["", "warning", "", "", "info", ""]
    assert "1.5 s behind real time" in told[1][0][1]


# --- the truth ------------------------------------------------------------------------------------


def test_the_truth_of_faults_is_kept_in_the_runs_folder(tmp_path, make_config):
    fault = FaultDone(
        number=1, kind="drop", text="drop:module=3,p=1", modules=[3], begin_period=191,
        end_period=286, amounts={"p": 1.0}, done=95,
    )  # fmt: skip
    report = SourceReport(
        run_tag=1, singles_emitted=[], frames_sent=[], dead_events=[], fault_log=[fault]
    )
    run = Run(make_config(), tmp_path)
    run.put_away()
    run.write_summary()
    assert not (run.folder / "faults.json").exists()
    run.reports.append(report)
    run.write_summary()
    kept = json.loads((run.folder / "faults.json").read_text(encoding="utf-8"))
    assert msgspec.convert(kept["faults"], list[FaultDone]) == [fault]
    assert describe_fault(fault) == "drop:module=3,p=1, module 3, from 1.00 to 1.50 s, 95 times"
