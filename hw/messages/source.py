"""What the daq and a source of data (emulator, firmware, replay) say to each other."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from hw.messages.base import Message
from hw.messages.bounds import (
    MOST_COUNT,
    MOST_MODULES,
    Count,
    Counts,
    Finite,
    Integer,
    Modules,
    Name,
    Numbers,
    PerModule,
    Text,
    Words,
)
from hw.messages.scan_protocol import OrbitText

MOST_FAULTS = 10_000
Seen = Annotated[
    list[Annotated[int, msgspec.Meta(ge=-1, le=MOST_COUNT)]], msgspec.Meta(max_length=MOST_MODULES)
]
Lacking = Annotated[
    list[Annotated[int, msgspec.Meta(ge=0, le=MOST_COUNT)]], msgspec.Meta(max_length=64)
]

# --- source plane: daq (ROUTER) <-> emulator, firmware machine (DEALER) -------------------------


class Hello(Message):
    """Source to daq: who is there. Every 0.2 s until Welcome, then once a second; 3 s of silence
    are a loss.

    kind : what it is, in a word of its own; "firmware" gets ModuleOrders and tells ModuleStates,
        "replay" can always wait; any other ("digitizer") has no special meaning
    scanner : the name in the preset
    modules : how many send frames through it; 0 for the detector in front of firmware modules
    serial : the scanner's serial number, by which it finds its factory calibration; "" where the
        source does not know which instrument it is
    labels : what only the source knows of a run: filled into those of its labels that are None
    remark : what a person should know before a run, "" for nothing
    not_ready : why no run can start now, in words; "" where one can
    needs_detector : its modules get their hits from another source, one with 0 modules
    run_tag : of the run that it is sending, 0 for none: a daq that was restarted goes on with it
    keeps : whether it keeps frames until they are on the disk, and sends them again: it gets
        OnDisk, Resume and SendAgain
    """

    kind: Name
    scanner: Name
    modules: Annotated[int, msgspec.Meta(ge=0, le=MOST_MODULES)]
    pid: Count = 0
    software: Name = ""
    not_ready: Text = ""
    needs_detector: bool = False
    serial: Name = ""
    labels: Numbers = {}
    remark: Text = ""
    run_tag: Count = 0
    keeps: bool = False


class Welcome(Message):
    """Daq to source: you are known; wait for Start."""


class Refused(Message):
    """Daq to source: what you sent was refused, and why. Sent at most once every few seconds."""

    reason: Text


class Start(Message):
    """Daq to source: send frames from detector time 0, tagged with ``run_tag``.

    duration_s : detector time after which the source ends by itself with LAST frames; 0 = endless.
        The last period is the one that holds it: ⌈duration_s / period⌉ periods are sent
    folder : the run's folder on the daq's machine, for an emulator that records its truth there
    orbit : how the scanner is to move (``hw/scanner/orbit.py``); "" as it is set at the source. A
        source that moves nothing takes no notice: the angles in its frames are what counts
    first_period : for a source that comes back into a run: the period of its first frame, which is
        flagged as FIRST; frames are numbered from 0
    """

    run_tag: int
    duration_s: float = 0.0
    folder: str = ""
    orbit: OrbitText = ""
    first_period: int = 0


class OnDisk(Message):
    """Daq to source, a few times a second: how far a run's frames are on the disk.

    sequences, periods : of each module's newest frame that is, and before which none lacks that
        could still be taken; -1 for none. It and all that were sent before it need not be kept.
    """

    run_tag: int
    sequences: list[int]
    periods: list[int]


class Resume(Message):
    """Daq to source: I was restarted and go on with your run; send again what came after these.

    sequences, periods : of each module's newest frame in the raw log before which none lacks; -1
        for none
    """

    run_tag: int
    sequences: list[int]
    periods: list[int]


class SendAgain(Message):
    """Daq to source: these frames lack between others; send them again if you still keep them.

    sequences : by module, the numbers that lack, at most 64
    """

    run_tag: int
    sequences: Annotated[list[Lacking], msgspec.Meta(max_length=MOST_MODULES)]


class Stop(Message):
    """Daq to source: finish the current period, send LAST frames, then a SourceReport."""


class Shutdown(Message):
    """Daq to source: leave."""


class Heartbeat(Message):
    """Source to daq, once a second while it lives: where it is and whether it keeps up.

    lag_s : how far emulated time is behind the wall clock (0 for real hardware)
    """

    detector_time_s: Finite = 0.0
    lag_s: Finite = 0.0
    running: bool = False


class FaultOrder(Message):
    """Daq to source: set, clear or list faults done on purpose. Emulators know them.

    id : chosen by the daq, comes back in the answer
    action : set a fault (``text`` describes it), clear one (``text`` is its number, or "all"), or
        list those set and the kinds there are
    """

    id: Count
    action: Literal["set", "clear", "list"]
    text: Text = ""


class FaultAnswer(Message):
    """Source to daq: what became of a FaultOrder.

    accepted : whether it was obeyed; ``reason`` says why not, with the remedy
    faults : the faults that are set now, in words, each with its number first
    kinds : fault kind to what it does and takes, with ``list``
    """

    id: Count
    accepted: bool
    reason: Text = ""
    faults: Annotated[list[Text], msgspec.Meta(max_length=MOST_FAULTS)] = []
    kinds: Words = {}


class FaultDone(msgspec.Struct, kw_only=True):
    """The truth of one fault that was done on purpose.

    number, kind, text : as set
    modules : which ones
    begin_period, end_period : the frame periods [begin, end) in which it was on
    amounts : its size, such as ppm
    done : how often it was done: frames spoilt, held back or never sent, triggers added or not
        read out, frames with the flag set, modules reset (docs/emulator/faults.md has the list)
    """

    number: Integer
    kind: Name
    text: Text
    modules: Modules
    begin_period: Integer
    end_period: Integer
    amounts: Numbers = {}
    done: Integer = 0


class SourceReport(Message):
    """Source to daq at the end of a run: what was really sent, so that the sums can be closed.

    All lists per module are of one length, that of the whole scanner's modules in the order of
    their indices: 0 for those that another source sends, whose report is added. Those of hits may
    be empty.

    singles_emitted : event words sent, per module, of every kind
    frames_sent : per module, length = modules
    faults : what was done on purpose (fault name to count)
    fault_log : the same fault by fault, with time and place
    truth : free-form totals (decays, hits below threshold, ...)
    hits_offered : of a detector in front of firmware modules: hits that it had for each module
    hits_seen : of firmware modules: hits that each took in, threw away, or knows to be lost; -1
        where a reset took the module's count with it
    failed : why the run could not go on, in words; "" where it ended as ordered
    """

    run_tag: Count
    singles_emitted: PerModule
    frames_sent: PerModule
    dead_events: PerModule
    faults: Counts = {}
    fault_log: Annotated[list[FaultDone], msgspec.Meta(max_length=MOST_FAULTS)] = []
    truth: Numbers = {}
    max_lag_s: Finite = 0.0
    hits_offered: PerModule = []
    hits_seen: Seen = []
    failed: Text = ""

    def __post_init__(self) -> None:
        modules = len(self.frames_sent)
        for name in ("singles_emitted", "dead_events", "hits_offered", "hits_seen"):
            length = len(getattr(self, name))
            if length != modules and (length or not name.startswith("hits")):
                raise ValueError(
                    f"{name} is of {length} modules, frames_sent of {modules}: both count the same"
                )
