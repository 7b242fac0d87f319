"""The stream of coincidences or windowed singles to the imager, and what it reports."""

from __future__ import annotations

from hw.messages.base import Message
from hw.messages.bounds import Count, Finite, Name, Text
from hw.messages.live_settings import LiveSettings
from hw.messages.sort_settings import SortSettings

# --- coincidence plane: daq (PUSH) -> imager (PULL) ---------------------------------------------


class RunBegin(Message):
    """Starts a run on the coincidence stream; repeated every second for late joiners.

    mu_map : path of the µ map (npz: ``mu_per_mm`` (x,y,z) f4, ``voxel_mm`` (3,)), "" for none
    calibration : path of the calibration set that the run applies, "" for none
    uncalibrated : why it applies none, in words
    live : how the run is imaged; a repetition may bring other settings than the one before
    half_life_s : of the run's one nuclide, 0 where it is not known (the image then has no
        correction of decay)
    beta_plus_fraction : positrons a decay of that nuclide, 0 where it is not known
    nuclide : its name, "" where it is not known (γ that come with positrons then stay in the image)
    suv_per_Bq_per_mL : of activity as of the run's start, 0 where it cannot be computed
    """

    run: str
    folder: str
    scanner_toml: str
    settings: SortSettings
    mu_map: str = ""
    calibration: str = ""
    uncalibrated: str = ""
    live: LiveSettings = LiveSettings()
    half_life_s: float = 0.0
    beta_plus_fraction: float = 0.0
    nuclide: str = ""
    suv_per_Bq_per_mL: float = 0.0


class CoincidenceBatch(Message):
    """Header of a three-part message: this, prompts, delayeds (raw ``COINCIDENCE`` records).

    sequence : counts batches of the run from 0; a gap means batches that the imager did not get
    prompts_before, delayeds_before : totals of the run before this batch, including lost batches
    watermark_ps : detector time up to which the stream is complete with this batch
    event_wall_ns : CLOCK_MONOTONIC time at which the batch's last event happened (the moment that
        detector time maps to, never later than the arrival of its data frame)
    live_share : mean live fraction, over the last seconds, of the module pairs in view; 0 if not
        known
    mean_live_share : the same from the start of the run up to this batch, for an imager that joins
        late; 0 if not known
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
    mean_live_share: float = 0.0


class SinglesBatch(Message):
    """Header of a three-part message of a SPECT run: this, windowed singles (raw ``SINGLE``
    records), angles (raw ``ANGLE`` records), sent no later than the singles seen at them.

    sequence : counts batches of the run from 0; a gap means batches that the imager did not get
    singles, angles : records in this batch
    singles_before : total of the run before this batch, including lost batches
    watermark_ps, event_wall_ns : as in CoincidenceBatch
    live_share : live fraction of each module over the last seconds; empty if not known
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

    finishing : fraction of the final image's work that is done; 0 before the end of the run
    noise : of the newest image, as in ImageMessage; 0 if not known
    """

    run: Name
    images: Count = 0
    rate_Hz: Finite = 0.0
    latency_p50_ms: Finite = 0.0
    latency_p99_ms: Finite = 0.0
    fraction_used: Finite = 0.0
    prompts_used: Count = 0
    prompts_seen: Count = 0
    batches_lost: Count = 0
    final: bool = False
    image_path: Text = ""
    message: Text = ""
    finishing: Finite = 0.0
    noise: Finite = 0.0
