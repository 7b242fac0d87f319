"""Scatter of each frame from its own image: the activity goes from one side to the other."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from hw.scanner.geometry import build_geometry
from oracles.reconstruction import simulated_records
from recon.core.asked import OptionsError
from recon.core.correction_record import Corrections
from recon.core.frames import TimeSelection
from recon.offline import scatter_step
from recon.offline.frame_setup import FrameModels
from recon.offline.options import ReconOptions
from recon.offline.reconstruction import prepare, reconstruct
from recon.offline.run_data import RunData
from recon.offline.scatter_step import frame_scatter, moved_share
from recon.scatter import ScatterRate, SingleScatter
from recon.scatter.simulation import ScatterOptions
from rigs.coarse_brain import coarse_brain, grid_of

pytestmark = pytest.mark.timeout(300)

FRAMES = ((0.0, 5.0), (5.0, 10.0))
PLAN = {"iterations": 2, "subsets": 4, "block_efficiency": False, "frames": FRAMES}


SCANNER = coarse_brain()
GRID = grid_of(SCANNER)


@pytest.fixture(autouse=True)
def one_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Estimate scatter once from one image, coarsely: what each is made from needs no more."""
    monkeypatch.setattr(scatter_step, "ROUNDS", 1)
    coarse = partial(SingleScatter, options=ScatterOptions(chains=20_000))
    monkeypatch.setattr(scatter_step, "SingleScatter", coarse)


@pytest.fixture(scope="module")
def bolus() -> RunData:
    """Activity at x = -40 mm for 5 s, then at x = 40 mm, in a cylinder of water."""
    rng = np.random.default_rng(0)
    parts = []
    for number, x in enumerate((-40.0, 40.0)):
        points = rng.normal(0, 8.0, (130_000, 3)) + [x, 0, 0]  # noqa: RUF005
        found = simulated_records(SCANNER, build_geometry(SCANNER), points, seed=number)
        found["time_ps"] = np.sort(rng.integers(0, int(5e12), len(found))) + number * int(5e12)
        parts.append(found)
    x, y, _ = GRID.axes_mm()
    mu = np.where(np.hypot(x, y) < 80, np.float32(0.0096), np.float32(0)) * np.ones(
        GRID.shape, np.float32
    )
    return RunData.of_records(np.concatenate(parts), scanner=SCANNER, duration_s=10.0, mu_map=mu)


def middle_mm(models: FrameModels) -> float:
    """Return the x of the activity that a scatter estimate was made from."""
    assert isinstance(models.scatter, ScatterRate) and models.scatter.activity is not None
    activity = models.scatter.activity
    return float((activity * GRID.axes_mm()[0]).sum() / activity.sum())


def test_a_frames_scatter_comes_from_its_own_activity(bolus: RunData) -> None:
    plan = ReconOptions(**PLAN)  # type: ignore[arg-type]
    parts = prepare(bolus, plan)
    assert abs(middle_mm(parts.models)) < 3
    selection, done = TimeSelection.frame(*FRAMES[0]), Corrections()
    counts = parts.tally.parts[0]
    alone = frame_scatter(parts.models, parts.tally, selection, counts, plan, done)
    assert alone is not None and done.of("scatter").applied
    assert middle_mm(alone) == pytest.approx(-40, abs=5)


def test_a_tracer_that_moves_is_told_and_the_image_says_what_was_done(bolus: RunData) -> None:
    by_run = reconstruct(bolus, ReconOptions(**PLAN))  # type: ignore[arg-type]
    assert any("--scatter-per-frame" in one for one in by_run.metadata["notes"])
    by_frame = reconstruct(bolus, ReconOptions(**PLAN, scatter_per_frame=True))  # type: ignore[arg-type]
    assert not any("--scatter-per-frame" in one for one in by_frame.metadata["notes"])
    assert "2 of 2 frames by itself" in by_frame.corrections.of("scatter").how
    shares = [frame["scatter"]["share_of_prompts"] for frame in by_frame.metadata["frames"]]
    assert shares[0] == pytest.approx(shares[1], abs=0.05)


def test_noise_is_no_motion_of_the_tracer() -> None:
    rng = np.random.default_rng(2)
    noisy = [rng.gamma(0.1, 10.0, GRID.shape).astype(np.float32) for _ in range(3)]
    assert moved_share(noisy, GRID) < 0.1
    assert moved_share(noisy[:1], GRID) == 0.0


def test_energies_frame_by_frame_are_refused() -> None:
    with pytest.raises(OptionsError, match="scatter = sss"):
        ReconOptions(scatter="energy", scatter_per_frame=True)
