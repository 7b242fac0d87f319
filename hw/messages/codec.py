"""Every message between processes, typed and versioned: the one place where they are defined.

They live in ``hw`` because every room may import it and no room owns them (docs/adr/0002).
A message is one msgpack map (msgspec structs, tagged with their type's name); bulk arrays follow
as raw buffers or are ``bytes`` fields. Single events are never messages.

Planes (docs/architecture.md): *data* PUSH/PULL frames; *source* DEALER/ROUTER between the daq and
the emulator or firmware; *control* DEALER/ROUTER between clients and the daq; *coincidences*
PUSH/PULL daq to imager; *reports* PUSH/PULL imager to daq; *events* PUB/SUB, every prompt, delayed
and windowed single for whoever subscribes; *telemetry* and *images* PUB/SUB, latest only (images:
XPUB, which tells of late subscribers).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, TypeVar

import msgspec

from hw.messages.base import MESSAGE_VERSION, Message, MessageError
from hw.messages.live_settings import LiveSettings
from hw.messages.modules import ModuleAnswer, ModuleOrder, ModuleStates
from hw.messages.pictures import ImageMessage, Projections
from hw.messages.sort_settings import SortSettings

RunState = Literal["idle", "armed", "running", "stopping", "closed", "error"]
RunCondition = Literal["good", "tainted", "incomplete"]
Severity = Literal["info", "warning", "alarm"]


# --- source plane: daq (ROUTER) <-> emulator, firmware machine (DEALER) -------------------------


class Hello(Message):
    """Source to daq, repeated all the time: who is there.

    modules : how many send frames through it; 0 for the detector in front of firmware modules
    not_ready : why no run can start now, in words; "" where one can
    needs_detector : its modules get their hits from another source, one with 0 modules
    """

    kind: str
    scanner: str
    modules: int
    pid: int = 0
    software: str = ""
    not_ready: str = ""
    needs_detector: bool = False


class Welcome(Message):
    """Daq to source: you are known; wait for Start."""


class Start(Message):
    """Daq to source: send frames from detector time 0, tagged with ``run_tag``.

    duration_s : detector time after which the source ends by itself with LAST frames; 0 = endless
    folder : the run's folder on the daq's machine, for an emulator that records its truth there
    """

    run_tag: int
    duration_s: float = 0.0
    folder: str = ""


class Stop(Message):
    """Daq to source: finish the current period, send LAST frames, then a SourceReport."""


class Shutdown(Message):
    """Daq to source: leave."""


class Heartbeat(Message):
    """Source to daq, once a second while it lives: where it is and whether it keeps up.

    lag_s : how far emulated time is behind the wall clock (0 for real hardware)
    """

    detector_time_s: float = 0.0
    lag_s: float = 0.0
    running: bool = False


class FaultOrder(Message):
    """Daq to source: set, clear or list faults done on purpose. Emulators know them.

    id : chosen by the daq, comes back in the answer
    action : set a fault (``text`` describes it), clear one (``text`` is its number, or "all"), or
        list those set and the kinds there are
    """

    id: int
    action: Literal["set", "clear", "list"]
    text: str = ""


class FaultAnswer(Message):
    """Source to daq: what became of a FaultOrder.

    accepted : whether it was obeyed; ``reason`` says why not, with the remedy
    faults : the faults that are set now, in words, each with its number first
    kinds : fault kind to what it does and takes, with ``list``
    """

    id: int
    accepted: bool
    reason: str = ""
    faults: list[str] = []
    kinds: dict[str, str] = {}


class FaultDone(msgspec.Struct, kw_only=True):
    """The truth of one fault that was done on purpose.

    number, kind, text : as set
    modules : which ones
    begin_period, end_period : the frame periods [begin, end) in which it was on
    amounts : its size, such as ppm
    done : how often it was done: frames spoilt, held back or never sent, triggers added or not
        read out, frames with the flag set, modules reset (docs/faults.md has the list)
    """

    number: int
    kind: str
    text: str
    modules: list[int]
    begin_period: int
    end_period: int
    amounts: dict[str, float] = {}
    done: int = 0


class SourceReport(Message):
    """Source to daq at the end of a run: what was really sent, so that the sums can be closed.

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

    run_tag: int
    singles_emitted: list[int]
    frames_sent: list[int]
    dead_events: list[int]
    faults: dict[str, int] = {}
    fault_log: list[FaultDone] = []
    truth: dict[str, float] = {}
    max_lag_s: float = 0.0
    hits_offered: list[int] = []
    hits_seen: list[int] = []
    failed: str = ""


# --- control plane: clients (DEALER) <-> daq (ROUTER) -------------------------------------------


class Command(Message):
    """Client to daq. ``id`` is chosen by the client and comes back in every reply."""

    id: int
    name: Literal[
        "ping", "arm", "start", "stop", "reset", "status", "live", "fault", "module", "shutdown"
    ]
    args: dict[str, Any] = {}


class Reply(Message):
    """Daq to client: ``accepted`` first for slow commands, then done or failed."""

    id: int
    status: Literal["accepted", "done", "failed"]
    reason: str = ""
    result: dict[str, Any] = {}


# --- coincidence plane: daq (PUSH) -> imager (PULL) ---------------------------------------------


class RunBegin(Message):
    """Starts a run on the coincidence stream; repeated every second for late joiners.

    mu_map : path of the µ map (npz: ``mu_per_mm`` (x,y,z) f4, ``voxel_mm`` (3,)), "" for none
    calibration : path of the calibration set that the run applies, "" for none
    live : how the run is imaged; a repetition may bring other settings than the one before
    half_life_s : of the run's one nuclide, 0 where it is not known (the image then has no
        correction of decay)
    beta_plus_fraction : positrons a decay of that nuclide, 0 where it is not known
    """

    run: str
    folder: str
    scanner_toml: str
    settings: SortSettings
    mu_map: str = ""
    calibration: str = ""
    live: LiveSettings = LiveSettings()
    half_life_s: float = 0.0
    beta_plus_fraction: float = 0.0


class CoincidenceBatch(Message):
    """Header of a three-part message: this, prompts, delayeds (raw ``COINCIDENCE`` records).

    sequence : counts batches of the run from 0; a gap means batches that the imager did not get
    prompts_before, delayeds_before : totals of the run before this batch, also of batches lost
    watermark_ps : detector time up to which the stream is complete with this batch
    event_wall_ns : CLOCK_MONOTONIC time at which the batch's last event happened (the moment
        that detector time maps to, never later than the arrival of its data frame)
    live_share : share of the last seconds in which a module pair in view could see, the mean of
        all; 0 where it is not known
    """

    run: str
    sequence: int
    prompts: int
    delayeds: int
    prompts_before: int
    delayeds_before: int
    watermark_ps: int
    event_wall_ns: int
    live_share: float = 0.0


class SinglesBatch(Message):
    """Header of a three-part message of a SPECT run: this, windowed singles (raw ``SINGLE``
    records), angles (raw ``ANGLE`` records), which come no later than the singles seen at them.

    sequence : counts batches of the run from 0; a gap means batches that the imager did not get
    singles, angles : records in this batch
    singles_before : total of the run before this batch, also of batches lost
    watermark_ps, event_wall_ns : as in CoincidenceBatch
    live_share : of each module, over the last seconds; empty where it is not known
    """

    run: str
    sequence: int
    singles: int
    angles: int
    singles_before: int
    watermark_ps: int
    event_wall_ns: int
    live_share: list[float] = []


class RunEnd(Message):
    """Ends a run on the coincidence stream: finish the image and send the final ImagerReport."""

    run: str
    prompts: int
    delayeds: int


class ImagerReport(Message):
    """Imager to daq (reports plane), once a second and, with ``final``, at the end of a run.

    finishing : share of the final image's work that is done; 0 before the run's end
    """

    run: str
    images: int = 0
    rate_Hz: float = 0.0
    latency_p50_ms: float = 0.0
    latency_p99_ms: float = 0.0
    fraction_used: float = 0.0
    prompts_used: int = 0
    prompts_seen: int = 0
    batches_lost: int = 0
    final: bool = False
    image_path: str = ""
    message: str = ""
    finishing: float = 0.0


# --- event plane: daq (PUB) -> whoever subscribes (SUB) ------------------------------------------

EventKind = Literal["prompts", "delayeds", "singles", "triples", "angles"]


class EventBatch(Message):
    """Header of a three-part message: the kind as topic, this, the raw records.

    Angles (of scanners that move) come before the singles that were seen at them.

    PUB drops what a slow subscriber does not take: a gap in ``sequence`` or in ``before`` says so.

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


class JournalEntry(msgspec.Struct, kw_only=True):
    """One line of a run's journal. ``wall`` is ISO 8601 UTC."""

    number: int
    wall: str
    severity: Severity
    text: str


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
    ``calibration``: the calibration set's name@hash, "none" without.
    ``module_angles_deg``: where each module of a scanner that moves stands, None where it has not
    told yet; empty where the scanner cannot move.
    ``finishing``: share of the final image's work that is done, 0 while none is being made.
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
    module_angles_deg: list[float | None] = []
    finishing: float = 0.0

    SPECTRUM_BINS: ClassVar[int] = 256
    TIMING_BINS: ClassVar[int] = 201


AnyMessage = (
    Hello | Welcome | Start | Stop | Shutdown | Heartbeat | FaultOrder | FaultAnswer | SourceReport
    | Command | Reply
    | RunBegin | CoincidenceBatch | SinglesBatch | RunEnd | ImagerReport | EventBatch
    | ImageMessage | Projections | Telemetry
    | ModuleStates | ModuleOrder | ModuleAnswer
)  # fmt: skip


class _Envelope(msgspec.Struct):
    """What every version of every message has."""

    type: str
    version: int


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(AnyMessage)
_ENVELOPE_DECODER = msgspec.msgpack.Decoder(_Envelope)
# msgspec lets invalid UTF-8 and deep nesting through as Python's own errors.
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
M = TypeVar("M", bound=Message)


def encode(message: Message) -> bytes:
    """Return the message as msgpack bytes."""
    return _ENCODER.encode(message)


def decode(data: bytes | memoryview) -> AnyMessage:
    """Return the message in ``data``.

    Raises
    ------
    MessageError
        where it is no message of ours, or of another version.
    """
    try:
        message = _DECODER.decode(data)
    except _UNREADABLE as error:
        _refuse_other_version(data)
        raise MessageError(f"not a message of this protocol: {error}") from error
    _check_version(type(message).__name__, message.version)
    return message


def _refuse_other_version(data: bytes | memoryview) -> None:
    """Say so where a message is unreadable only because it is of another version."""
    try:
        envelope = _ENVELOPE_DECODER.decode(data)
    except _UNREADABLE:
        return
    _check_version(envelope.type, envelope.version)


def _check_version(name: str, version: int) -> None:
    if version != MESSAGE_VERSION:
        raise MessageError(
            f"{name} has message version {version}, this program "
            f"speaks {MESSAGE_VERSION}: start all processes from the same installation"
        )


def decode_as(kind: type[M], data: bytes | memoryview) -> M:
    """Decode and check that it is a ``kind``; raises :class:`MessageError` otherwise."""
    message = decode(data)
    if not isinstance(message, kind):
        raise MessageError(f"expected {kind.__name__}, got {type(message).__name__}")
    return message
