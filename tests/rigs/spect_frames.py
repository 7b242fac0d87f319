"""A SPECT run's data frames with known content, made with the protocol's plain functions."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hw.messages.source import SourceReport
from hw.scanner.description import Scanner
from hw.wire.angle_words import pack_angle_words
from hw.wire.protocol import FRAME_PERIOD_PS, FRAME_PERIOD_TICKS
from rigs.frames_factory import RUN_TAG, ModuleSender, single_words


@dataclass
class SpectRun:
    """Frames in order of arrival, the report, and the frames' contents.

    photons : (time_ps, global crystal, energy in 0.1 keV) as sent
    angles : (time_ps, module, degrees) as sent
    """

    frames: list[bytes] = field(default_factory=list)
    photons: list[tuple[int, int, int]] = field(default_factory=list)
    angles: list[tuple[int, int, float]] = field(default_factory=list)
    report: SourceReport | None = None

    def angle_at(self, time_ps: int, module: int) -> float:
        """Return the module's last angle at or before a time, by searching all of them."""
        return [angle for at, m, angle in self.angles if m == module and at <= time_ps][-1]


def spect_run(
    scanner: Scanner,
    *,
    periods: int = 40,
    photons: int = 60,
    lines_dkeV: tuple[int, ...] = (1405, 1250, 900),
    deg_per_s: float = 5.0,
    start_deg: float = 0.0,
    tell_angles: bool = True,
    run_tag: int = RUN_TAG,
    seed: int = 3,
) -> SpectRun:
    """Make a run in which each module turns at its own constant speed, reporting every period."""
    rng, run = np.random.default_rng(seed), SpectRun()
    senders = [ModuleSender(m, run_tag=run_tag) for m in range(scanner.n_modules)]
    for period in range(periods):
        for module, sender in enumerate(senders):
            ticks = rng.integers(0, FRAME_PERIOD_TICKS, photons)
            crystal = rng.integers(0, scanner.crystals_per_module, photons)
            energy = rng.choice(lines_dkeV, photons)
            times = period * FRAME_PERIOD_PS + ticks * 625 // 32
            first = module * scanner.crystals_per_module
            run.photons += zip(
                times.tolist(), (first + crystal).tolist(), energy.tolist(), strict=True
            )
            words = single_words(ticks, crystal=crystal, energy_dkeV=energy)
            if tell_angles:
                start_s = period * FRAME_PERIOD_PS * 1e-12
                angle = round(start_deg + deg_per_s * start_s * (1 - module / 10), 3)
                run.angles.append((period * FRAME_PERIOD_PS, module, angle))
                told = pack_angle_words(time_ticks=[0], angle_deg=[angle])
                words = np.concatenate([words[: photons // 2], told, words[photons // 2 :]])
            run.frames.append(sender.frame(words, last=period == periods - 1))
    run.report = SourceReport(
        run_tag=run_tag,
        singles_emitted=[s.words_sent for s in senders],
        frames_sent=[s.frames_sent for s in senders],
        dead_events=[0] * scanner.n_modules,
    )
    return run
