"""Small SPECT runs as folders, written without an emulator: a warm middle, and a flood."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from coincidence.events import ANGLE, SINGLE, WINDOW_SHIFT
from daq.folder.run_config import RunConfig, default_settings
from daq.folder.singles_log import SinglesWriter, singles_head
from daq.service.run import Run
from hw.physics.energy_windows import spect_windows
from hw.scanner.preset_file import parse_scanner, scanner_to_toml_text
from hw.wire.block_layout import BlockKind
from hw.wire.protocol import FRAME_PERIOD_TICKS
from rigs.frames_factory import RUN_TAG, ModuleSender, single_words

CREATED = "2026-11-21T10:00:00+00:00"

PIXELS = 32
PERIODS = 40
LINE_keV = 140.511


def write_spect_run(
    folder: Path,
    *,
    point_mm: tuple[float, float, float] | None = None,
    stop_deg: float = 9.0,
    preset: str = "gamma_head_lehr",
    **config_more: Any,
) -> Path:
    """Write a step-and-shoot run of a camera with few pixels: counts from a warm middle.

    point_mm : of a source instead, of which 800 photons a stop go straight to the camera
    stop_deg : from one stop to the next, of 40
    config_more : more of the run's configuration
    """
    text = re.sub(r"(n_[uv] = )64", r"\g<1>16", scanner_to_toml_text(preset))
    text = text.replace("[64, 64, 64]", "[16, 16, 8]").replace("[4.0, 4.0, 4.0]", "[16, 16, 16]")
    windows = [msgspec.to_builtins(window) for window in spect_windows("Tc-99m")]
    settings = default_settings(parse_scanner(text, source="test"), windows=windows)
    settings = msgspec.structs.replace(settings, window_ps=0, delay_ps=0)
    config = RunConfig(
        scanner_toml=text, settings=settings, labels={"nuclide": "Tc-99m"}, **config_more
    )
    head = {"run": folder.name, "config": msgspec.to_builtins(config), "calibration": "none"}
    head["created"] = CREATED
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(head), encoding="utf-8")
    log = SinglesWriter(folder / "singles.tmws", singles_head(head, settings))
    rng = np.random.default_rng(4)
    for step in range(40):
        singles, angles = np.zeros(800, SINGLE), np.zeros(1, ANGLE)
        singles["crystal"] = rng.integers(6, 10, 800) + 16 * rng.integers(6, 10, 800)
        if point_mm is not None:
            singles["crystal"] = _seen(point_mm, step * stop_deg, rng)
        singles["time_ps"] = np.sort(rng.integers(step * 10**12, (step + 1) * 10**12, 800))
        singles["flags"] = 2 << WINDOW_SHIFT
        angles["time_ps"], angles["steps"] = step * 10**12, round(1000 * stop_deg) * step
        log.append(BlockKind.ANGLES, angles)
        log.append(BlockKind.SINGLES, singles)
    log.close({})
    return folder


def _seen(
    point_mm: tuple[float, float, float], camera_deg: float, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Return the crystals, of 16 mm, at which a camera at this angle from +x sees a point, blurred
    by 10 mm: u runs to +y for a camera at +x, v along z."""
    x, y, z = point_mm
    turn = np.radians(camera_deg)
    place = np.array([y * np.cos(turn) - x * np.sin(turn), z])
    pixel = np.rint((place + rng.normal(0.0, 10.0, (800, 2))) / 16.0 + 7.5).astype(np.int64)
    return np.asarray(pixel[:, 0] + 16 * pixel[:, 1])


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
