"""Singles and angles become views: counts, times, decay, dead time, gaps, scatter."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from coincidence.events import ANGLE, SINGLE, WINDOW_SHIFT
from hw.physics.energy_windows import spect_windows
from hw.physics.nuclides import load_nuclide
from hw.scanner.description import Scanner
from hw.scanner.preset_file import load_scanner
from recon.spect.peaks import SpectError, peaks_of
from recon.spect.scatter import scatter_counts, usable_method
from recon.spect.views import ViewCounter, ViewSet
from rigs.spect_camera import peak_of, small_head

S = 10**12


def angle_words(
    times_s: list[float], degrees: list[float], module: int = 0
) -> npt.NDArray[np.void]:
    words = np.zeros(len(times_s), ANGLE)
    words["time_ps"] = [round(t * S) for t in times_s]
    words["steps"] = [round(1000 * d) for d in degrees]
    words["module"] = module
    return words


def singles_at(times_s: list[float], *, window: int = 2, crystal: int = 5) -> npt.NDArray[np.void]:
    made = np.zeros(len(times_s), SINGLE)
    made["time_ps"] = [round(t * S) for t in times_s]
    made["crystal"], made["flags"] = crystal, window << WINDOW_SHIFT
    return made


def test_a_step_and_shoot_run_is_its_steps() -> None:
    """Two steps of 10 s, moved between within 1 s; singles at 0.05 s, 9 s and 15 s."""
    counter = ViewCounter(small_head(), 3, view_deg=3.0)
    counter.take(
        singles_at([0.05, 9.0, 15.0]),
        angle_words([0.0, 10.0, 10.5, 11.0], [0.0, 0.0, 11.3, 22.5]),
        watermark_ps=20 * S,
    )
    views = counter.views()
    assert [round(v.angle_deg, 3) for v in views.views] == [0.0, 11.3, 22.5]
    assert [v.seconds for v in views.views] == pytest.approx([10.5, 0.5, 9.0])
    assert views.counts[1].sum(axis=(1, 2)).tolist() == [2.0, 0.0, 1.0]
    assert views.counts[1, 0, 5, 0] == 2.0  # crystal 5: iu = 5, iv = 0
    assert counter.without_angle == 0


def test_a_continuous_turn_has_the_mean_angle_of_each_view() -> None:
    times = np.arange(0.0, 10.0, 0.01)
    counter = ViewCounter(small_head(), 3, view_deg=5.0)
    counter.take(singles_at([]), angle_words(list(times), list(6.0 * times)), watermark_ps=10 * S)
    views = counter.views().views
    assert sum(v.seconds for v in views) == pytest.approx(10.0)
    inner = [v.angle_deg for v in views][1:-1]
    assert inner == pytest.approx(5.0 * np.arange(1, len(inner) + 1), abs=0.06)


def test_portions_do_not_matter_and_several_turns_are_one() -> None:
    rng = np.random.default_rng(4)
    times = np.sort(rng.uniform(0.0, 20.0, 500))
    angles = angle_words(list(np.arange(0.0, 20.0, 0.1)), list(50.0 * np.arange(0.0, 20.0, 0.1)))
    whole, parts = (ViewCounter(small_head(), 3) for _ in range(2))
    whole.take(singles_at(list(times)), angles, watermark_ps=20 * S)
    for begin in range(20):
        mine = angles[(angles["time_ps"] >= begin * S) & (angles["time_ps"] < (begin + 1) * S)]
        own = times[(times >= begin) & (times < begin + 1)]
        parts.take(singles_at(list(own)), mine, watermark_ps=(begin + 1) * S)
    assert np.array_equal(whole.counts, parts.counts)
    a, b = whole.views().views, parts.views().views
    assert [v.exposure_s for v in a] == pytest.approx([v.exposure_s for v in b])
    assert all(0.0 <= v.angle_deg < 361.0 for v in a)


def test_exposure_is_live_and_decayed() -> None:
    half_life = load_nuclide("Tc-99m").half_life_s
    counter = ViewCounter(small_head(), 3, half_life_s=half_life)
    counter.take(
        singles_at([]), angle_words([0.0, half_life], [0.0, 90.0]),
        watermark_ps=round((half_life + 10.0) * S),
    )  # fmt: skip
    first, last = counter.views([0.8]).views
    assert last.exposure_s == pytest.approx(0.8 * 10.0 / 2, rel=1e-3)
    undecayed = counter.views([0.8], decay=False).views[1]
    assert undecayed.exposure_s == pytest.approx(8.0)
    assert first.exposure_s < 0.8 * first.seconds


def test_a_hole_in_the_stream_has_no_time() -> None:
    counter = ViewCounter(small_head(), 3)
    counter.take(singles_at([]), angle_words([0.0, 1.0], [0.0, 0.0]), watermark_ps=S)
    counter.gap()
    counter.take(singles_at([]), angle_words([5.0], [30.0]), watermark_ps=7 * S)
    views = counter.views().views
    assert [v.seconds for v in views] == pytest.approx([1.0, 2.0])


def test_without_angles_it_says_so_and_early_singles_are_counted() -> None:
    counter = ViewCounter(small_head(), 3)
    counter.take(singles_at([0.1, 0.2]), angle_words([], []), watermark_ps=S)
    assert counter.without_angle == 2
    with pytest.raises(SpectError, match="no angles"):
        counter.views()


def test_nonsense_views_are_refused() -> None:
    with pytest.raises(SpectError, match=r"0\.05 to 90"):
        ViewCounter(small_head(), 3, view_deg=0.0)
    with pytest.raises(SpectError, match="memory"):
        ViewCounter(load_scanner("gamma_head_lehr"), 63, view_deg=0.1)


def _views(scanner: Scanner, counts: list[float]) -> ViewSet:
    """Return 40 views that have so many counts a pixel in the windows below, peak, above."""
    counter = ViewCounter(scanner, 3)
    times = [float(t) for t in range(40)]
    counter.take(singles_at([]), angle_words(times, [9.0 * t for t in times]), watermark_ps=40 * S)
    views = counter.views()
    shape = (len(views), scanner.module.n_u, scanner.module.n_v)
    rng = np.random.default_rng(5)
    return ViewSet(views.views, np.stack([rng.poisson(c, shape) for c in counts]).astype("f4"))


def test_tew_finds_the_scatter_and_leaves_the_peaks_own_photons_alone() -> None:
    """Primaries 20 and scatter 10 a pixel; the windows beside hold trapezium and spill."""
    scanner = small_head()
    (peak,) = peaks_of(scanner, spect_windows("Tc-99m"))
    low, high = peak.scatter
    counts = [
        10.0 * 2 * low.width_keV / peak.width_keV + 20.0 * low.spill,
        30.0,
        20.0 * high.spill,
    ]
    views = _views(scanner, counts)
    found = scatter_counts(views, peak, scanner, "tew")
    # 40 · 256 pixels, smoothed: the mean's error is that of all counts together, some 1 %
    assert float(found.mean()) == pytest.approx(10.0, rel=0.03)
    assert not scatter_counts(views, peak, scanner, "none").any()
    # without the window above, its spill is not taken off either: the same within noise
    assert float(scatter_counts(views, peak, scanner, "dew").mean()) == pytest.approx(
        10.0, rel=0.05
    )


def test_scatter_windows_that_are_not_there_are_said_or_refused() -> None:
    scanner = small_head()
    bare = peaks_of(scanner, [w for w in spect_windows("Tc-99m") if w.kind == "photopeak"])
    method, words = usable_method(bare, "auto")
    assert method == "none"
    assert "no scatter window" in words
    with pytest.raises(SpectError, match="--spect NUCLIDE"):
        usable_method(bare, "tew")
    assert usable_method((peak_of(scanner),), "auto") == ("tew", "")


@pytest.mark.parametrize(
    "name, value", [("time_ps", -(2**63)), ("time_ps", 2**63 - 1), ("crystal", 2**32 - 1)]
)
def test_damaged_singles_are_left_out_and_counted(name: str, value: int) -> None:
    counter = ViewCounter(small_head(), 3, view_deg=3.0)
    damaged = singles_at([1.0])
    damaged[name] = value
    counter.take(damaged, angle_words([0.0], [0.0]), watermark_ps=2 * S)
    counter.take(singles_at([3.0]), angle_words([], []), watermark_ps=4 * S)
    assert counter.damaged == 1 and counter.placed == 1
    assert counter.views().views[0].seconds == pytest.approx(4.0)


def test_damaged_angles_are_left_out_and_counted() -> None:
    counter = ViewCounter(small_head(), 3, view_deg=3.0)
    words = angle_words([0.0, 1.0, 2.0, 3.0], [0.0, 90.0, 90.0, 90.0])
    words["module"][1] = 65535
    words["time_ps"][2:] = -(2**63), 2**63 - 1
    counter.take(singles_at([3.5]), words, watermark_ps=4 * S)
    assert counter.damaged == 3
    assert [v.angle_deg for v in counter.views().views] == [0.0]
    assert counter.views().views[0].exposure_s == pytest.approx(4.0)
