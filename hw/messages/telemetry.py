"""What the daq publishes: every event to whoever subscribes, and the run's state, latest only."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec

from hw.messages.base import Message
from hw.messages.bounds import Finite, Name, Text
from hw.messages.patient_position import UNKNOWN, PatientPosition
from hw.messages.scan_protocol import RunUntil
from hw.messages.sort_settings import SortSettings

RunState = Literal["idle", "armed", "running", "stopping", "closed", "error"]
RunCondition = Literal["good", "tainted", "incomplete"]
Severity = Literal["info", "warning", "alarm"]

# --- event plane: daq (PUB) -> whoever subscribes (SUB) ------------------------------------------

EventKind = Literal["prompts", "delayeds", "singles", "triples", "angles"]


class EventBatch(Message):
    """Header of a three-part message: the kind as topic, this, the raw records.

    Angles (of scanners that move) come before the singles seen at them.

    PUB drops what a slow subscriber does not take: a gap in ``sequence`` or in ``before`` shows it.

    sequence : counts batches of this kind and run from 0
    before : records of this kind in the run before this batch
    watermark_ps : detector time up to which the stream is complete with this batch
    final : nothing follows in this run
    """

    run: str
    kind: EventKind
    sequence: int
    records: int
    before: int
    watermark_ps: int
    final: bool = False


# --- telemetry plane: daq (PUB) -> displays (SUB), single part, latest only ----------------------


Values = Annotated[dict[Name, Text], msgspec.Meta(max_length=16)]
"""What a message's words are filled with, by name."""


class JournalLine(msgspec.Struct):
    """An event for the journal, which will give it a number and a time.

    ``id`` and ``values``: of the catalogue of messages (``hw/notices``); "" for a plain event,
    which is its English words.
    """

    severity: Severity
    text: Text
    id: Name = ""
    values: Values = {}


class Interruption(msgspec.Struct, kw_only=True, frozen=True):
    """A time without data in a run whose acquisition or source was away.

    at_s : detector time of what came last before it; away_s : how long nothing came
    why : in English; ``id`` and ``values`` as in JournalLine, "" in runs of earlier versions
    """

    at_s: Finite
    away_s: Finite
    why: Text
    id: str = ""
    values: dict[str, str] = {}


class StartCheck(msgspec.Struct, kw_only=True, frozen=True):
    """What was looked at before a run. ``stops``: a start would be refused for it.

    words : in English; ``id`` and ``values`` as in JournalLine, "" for what others say in sentences
    """

    name: Name
    state: Literal["ok", "warning", "stops"]
    words: Text
    id: str = ""
    values: dict[str, str] = {}


REPEATED, ALIKE = "repeated", "alike"
"""Values of an entry that stands for more of the same words, or of the same kind: how many."""


class JournalEntry(msgspec.Struct, kw_only=True):
    """One line of a run's journal. ``wall`` is ISO 8601 UTC; ``id`` and ``values`` as in
    JournalLine, "" in older journals. One that stands for more has ``REPEATED`` or ``ALIKE``.
    """

    number: int
    wall: str
    severity: Severity
    text: str
    id: str = ""
    values: dict[str, str] = {}


class Alarm(msgspec.Struct, kw_only=True):
    """A condition that stays until its cause is gone and somebody has acknowledged it.

    ``number`` names it in commands. ``count``: how often it came, between ``first_wall`` and
    ``last_wall`` (ISO 8601 UTC). ``stands``: whether its cause is still there. ``answered_by``:
    who acknowledged it, "" for nobody. ``shelved_s``: for how long it is still put aside.
    ``first_out``: whether it came first, while no other alarm waited for an answer.
    """

    number: int
    id: str
    values: dict[str, str]
    text: str
    priority: Literal["high", "medium", "low"]
    first_wall: str
    last_wall: str
    count: int = 1
    stands: bool = False
    answered_by: str = ""
    shelved_s: float = 0.0
    first_out: bool = False


class Telemetry(Message):
    """The daq's state for displays, about 20 times a second.

    Histograms are whole-run counts as little-endian u4 bytes: ``spectrum`` (bins of
    ``spectrum_bin_keV`` from 0), ``timing`` (Δt = t_b - t_a of prompts in ``timing_bin_ps`` bins,
    centred), ``timing_delayed`` the same of delayeds. ``module_rates`` singles/s per module.
    ``module_states``: "live", "stalled", "silent" (never heard) or "ended", per module.
    ``rates``: singles, accepted, prompts, randoms, trues per second over the last second.
    ``counters``: every named counter of the run (frames.*, singles.*, ...).
    ``randoms``: the two estimates of the randoms' rate over the last seconds: delayed_cps,
    singles_cps (2τ·S·S), their ratio delayed / singles and its standard deviation ratio_sigma;
    empty where there are too few. ``randoms_alarm``: whether the ratio is off 1.
    ``window_rates``: singles/s of each energy window for singles, by name.
    ``module_live``: live fraction of each module over the last seconds, in 0..1;
    ``pair_live``: the same of the module pairs in the field of view, their mean.
    ``calibration``: the calibration set's name@hash, "none" without; ``uncalibrated``: why.
    ``module_angles_deg``: where each module of a scanner that moves stands, None where it has not
    told yet; empty where the scanner cannot move.
    ``finishing``: share of the final image's work that is done, 0 while none is being made.
    ``silent``: what should be heard in a run and is not ("source emulator", "data", "imager",
    "module 7", "12 modules"), worst first, with for how long in s.
    ``reason``: why the state is this one, in English; ``reason_id`` and ``reason_values`` as in
    JournalLine, "" for what is told in sentences.
    ``interruptions``: of the run, the newest 20.
    ``checks``: what should be looked at before a run is started; empty in one.
    ``patient_position``: how the patient lies in the scanner, as the run was told.
    ``orbit``: how the scanner moves in it, "" as it is set at the source
    ``protocol``: name and version of the protocol that the run was armed by, before one of that of
    the next Arm; "" without. ``until``: what ends the run; ``counted`` of these counts there are;
    ``noise_percent``: of the newest live image, 0 if not known.
    ``control``: the client that holds control of the run, ``control_asked`` one that asks it for
    it; "" for nobody. ``alarms``: the worst first, at most 32; ``alarms_hidden``: how many more.
    """

    state: RunState
    reason: str
    run: str
    folder: str
    scanner: str
    scanner_title: str
    source: str
    elapsed_s: float
    detector_time_s: float
    duration_s: float
    settings: SortSettings | None
    rates: dict[str, float]
    counters: dict[str, int]
    spectrum: bytes
    spectrum_bin_keV: float
    timing: bytes
    timing_delayed: bytes
    timing_bin_ps: float
    module_rates: list[float]
    module_states: list[str]
    rings: int
    journal: list[JournalEntry]
    wall_ns: int
    source_lag_s: float = 0.0
    disk_free_GB: float = 0.0
    condition: RunCondition = "good"
    buffers: dict[str, float] = {}
    randoms: dict[str, float] = {}
    randoms_alarm: bool = False
    window_rates: dict[str, float] = {}
    module_live: list[float] = []
    pair_live: float = 0.0
    calibration: str = "none"
    uncalibrated: str = ""
    module_angles_deg: list[float | None] = []
    finishing: float = 0.0
    silent: dict[str, float] = {}
    interruptions: list[Interruption] = []
    patient_position: PatientPosition = UNKNOWN
    checks: list[StartCheck] = []
    protocol: str = ""
    orbit: str = ""
    until: RunUntil = RunUntil()
    counted: int = 0
    noise_percent: float = 0.0
    control: str = ""
    control_asked: str = ""
    alarms: list[Alarm] = []
    alarms_hidden: int = 0
    reason_id: str = ""
    reason_values: dict[str, str] = {}

    SPECTRUM_BINS: ClassVar[int] = 256
    TIMING_BINS: ClassVar[int] = 201
