"""A run of a gamma-camera head before a flood with a known pattern, peak and resolution."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from daq.folder.run_config import RunConfig, default_settings
from daq.service.run import Run
from hw.scanner.preset_file import parse_scanner, scanner_to_toml_text
from hw.wire.protocol import FRAME_PERIOD_TICKS
from rigs.frames_factory import RUN_TAG, ModuleSender, single_words

PIXELS = 32
PERIODS = 40
LINE_keV = 140.511


def head_toml(limits: str) -> str:
    """Return the preset of a head with 32 × 32 pixels of 8 mm, with these limits of the QC."""
    text = re.sub(r"(n_[uv] = )64", rf"\g<1>{PIXELS}", scanner_to_toml_text("gamma_head_lehr"))
    return f"{text}\n[qc]\n{limits}\n"


def flood_run(
    root: Path,
    *,
    name: str = "flood",
    counts: int = 400_000,
    tilt: float = 0.0,
    peak: float = 1.0,
    limits: str = "least_flood_counts = 300.0",
    phantom: str = "flood.toml",
) -> Path:
    """Record a flood: from 1 − tilt to 1 + tilt along u, its peak at ``peak`` times the line."""
    text = head_toml(limits)
    scanner = parse_scanner(text, source="test")
    settings = default_settings(scanner, nuclides=("Tc-99m",))
    run = Run(
        RunConfig(scanner_toml=text, settings=settings, name=name, run_tag=RUN_TAG,
                  labels={"phantom": phantom, "nuclide": "Tc-99m"}),
        root,
    )  # fmt: skip
    rng, sender = np.random.default_rng(9), ModuleSender(0)
    place = (np.arange(PIXELS) + 0.5 - PIXELS / 2) / (PIXELS / 2)
    share = np.tile(1 + tilt * place, PIXELS)
    fwhm = scanner.response.energy_fwhm_511 * np.sqrt(511 / LINE_keV)
    run.start()
    for period in range(PERIODS):
        n = counts // PERIODS
        crystal = rng.choice(PIXELS * PIXELS, n, p=share / share.sum())
        energy = rng.normal(peak, fwhm / 2.3548, n) * LINE_keV * 10
        ticks = np.sort(rng.integers(0, FRAME_PERIOD_TICKS, n))
        words = single_words(ticks, crystal=crystal, energy_dkeV=np.rint(energy).astype(int))
        run.process([sender.frame(words, last=period == PERIODS - 1)])
    run.finish()
    run.write_summary()
    return run.folder
