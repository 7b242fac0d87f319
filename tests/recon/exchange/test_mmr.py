"""Siemens mMR list mode: words, sinograms and lines of made files, and of the measured sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recon.core.grid import ImageGrid
from recon.exchange.errors import ExchangeError
from recon.exchange.listmode.mmr import (
    GAP_EVERY,
    MmrHeader,
    all_addresses,
    crystals_of,
    find_header,
    line_count,
    lines,
    read_header,
    read_mmr,
    ring_pairs,
    span11,
    ssrb,
)
from recon.offline.mmr_image import mmr_image

RINGS = 64
TABLE = (RINGS, *(n for k in range(1, 61) for n in (RINGS - k, RINGS - k)))
HEADER = MmrHeader(344, 252, RINGS, 4.0625, 328.0, TABLE, "a.l")
TEXT = """\
!INTERFILE:=
name of data file:=a.l
number of rings:=64
distance between rings (cm):=0.40625
gantry crystal radius (cm):=32.8
%number of projections:={bins}
%number of views:=252
%segment table:={{{table}}}
"""


def word(bin_: int, view: int, sinogram: int, *, prompt: bool = True) -> int:
    return (bin_ + 344 * (view + 252 * sinogram)) | (int(prompt) << 30)


def made(folder: Path, words: list[int]) -> Path:
    path = folder / "a.l"
    np.array(words, "<u4").tofile(path)
    (folder / "a.l.hdr").write_text(TEXT.format(bins=344, table=", ".join(map(str, TABLE))))
    return path


def test_words_become_events_with_their_times(tmp_path: Path) -> None:
    tag, other = 0x80000000, 0xA0000000
    path = made(tmp_path, [
        tag | 5, word(1, 2, 3), word(343, 251, 4083, prompt=False), other, tag | 6, word(172, 0, 0),
    ])  # fmt: skip
    events = read_mmr(path, find_header(path))
    assert events.time_ms.tolist() == [5, 5, 6] and events.delayed.tolist() == [False, True, False]
    assert (events.bin[1], events.view[1], events.sinogram[1]) == (343, 251, 4083)
    assert events.other_words == 1 and events.duration_s == pytest.approx(0.002)


def test_lines_cross_the_axis_at_the_middle_bin_and_stand_at_their_rings() -> None:
    lors = lines(HEADER, np.array([0, 126]), np.array([172, 172]), np.array([0, 70]))
    radius = np.hypot(lors.start[:, 0], lors.start[:, 1])
    assert radius == pytest.approx([335.0, 335.0], rel=1e-6)
    assert np.allclose(lors.start[:, :2], -lors.end[:, :2], atol=1e-2)
    assert lors.start[0, 2] == lors.end[0, 2] == pytest.approx(-31.5 * 4.0625)
    # sinogram 70 is plane 6 of segment +1, whose first ring is one further than its second
    assert (lors.start[1, 2] - lors.end[1, 2]) / 4.0625 == pytest.approx(1.0)


def test_bins_are_half_a_crystal_apart_and_views_turn_evenly() -> None:
    bins = np.arange(100, 244)
    lors = lines(HEADER, np.zeros(144, int), bins, np.zeros(144, int))
    along = lors.end - lors.start
    away = np.cross(lors.start, along)[:, 2] / np.linalg.norm(along, axis=1)
    # sin of half the crystals' angle: 335 mm · sin(π·t / 504)
    assert away == pytest.approx(335 * np.sin(np.pi * (bins - 172) / 504), abs=1e-2)


def test_every_pair_of_rings_has_one_sinogram() -> None:
    pairs = ring_pairs(HEADER)
    assert len(pairs) == 4084 == len(np.unique(pairs, axis=0))
    assert pairs.min() == 0 and pairs.max() == 63
    assert np.abs(pairs[:, 0] - pairs[:, 1]).max() == 60


def test_sinograms_keep_every_count(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    words = [
        word(int(b), int(v), int(s), prompt=bool(p))
        for b, v, s, p in zip(
            rng.integers(0, 344, 500), rng.integers(0, 252, 500), rng.integers(0, 4084, 500),
            rng.integers(0, 2, 500), strict=True,
        )
    ]  # fmt: skip
    path = made(tmp_path, words)
    events = read_mmr(path, find_header(path))
    for prompts, delayeds, planes in ((*ssrb(events), 127), (*span11(events), 837)):
        assert prompts.shape == (planes, 252, 344)
        assert prompts.sum() == (~events.delayed).sum()
        assert delayeds.sum() == events.delayed.sum()
    ring = ring_pairs(HEADER)[events.sinogram[0]]
    first = ssrb(events)[int(events.delayed[0])]
    assert first[ring.sum(), events.view[0], events.bin[0]] >= 1


def test_span_11_puts_planes_where_the_vendor_s_table_has_them(tmp_path: Path) -> None:
    """Segment +1 (127 planes in) begins at ring difference 6, of which each end has one plane."""
    pairs = ring_pairs(HEADER).tolist()
    path = made(tmp_path, [word(0, 0, pairs.index([6, 0])), word(0, 0, pairs.index([0, 6])),
                           word(0, 0, pairs.index([63, 57]))])  # fmt: skip
    prompts, _ = span11(read_mmr(path, HEADER))
    assert np.flatnonzero(prompts.sum(axis=(1, 2))).tolist() == [127, 127 + 114, 127 + 115]


def test_lines_that_can_be_are_drawn_and_counted() -> None:
    view, bin_, sinogram = all_addresses(HEADER, 4000, seed=1)
    d1, d2 = crystals_of(view, bin_, 344)
    assert len(view) == 4000 and not (d1 % GAP_EVERY == 0).any() and not (d2 % GAP_EVERY == 0).any()
    share = line_count(HEADER) / (344 * 252 * 4084)
    assert share == pytest.approx((8 / 9) ** 2, rel=2e-3)  # two crystals, each 8 of 9 places
    assert sinogram.max() > 4000


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "whole number"),
        (b"\0\0\0", "whole number"),
        (b"\xff\xff\xff\x7f", "addresses lie beyond"),
    ],
)
def test_lists_that_are_none_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = made(tmp_path, [0])
    path.write_bytes(content)
    with pytest.raises(ExchangeError, match=words):
        read_mmr(path, HEADER)


def test_headers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.l.hdr"
    path.write_text(TEXT.format(bins=344, table="127, 115, 115"))
    with pytest.raises(ExchangeError, match="span 1"):
        read_header(path)
    path.write_text(TEXT.format(bins="many", table="64"))
    with pytest.raises(ExchangeError, match="no number for 'number of projections'"):
        read_header(path)
    with pytest.raises(ExchangeError, match="no header that fits"):
        find_header(tmp_path / "a.l")


@pytest.mark.reference_data
def test_measured_sample_is_read_and_shows_one_body(reference_data: Path) -> None:
    """The sample's known counts; no event in a gap between blocks, which only the right geometry
    gives; and a compact body near the middle."""
    path = reference_data / "stir_mmr" / "small_listmode_file.l"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    events = read_mmr(path, find_header(path))
    assert (~events.delayed).sum() == 218_881 and events.delayed.sum() == 35_320
    assert events.duration_s == pytest.approx(0.613)
    for place in crystals_of(events.view, events.bin, 344):
        assert not (place % GAP_EVERY == 0).any()
    grid = ImageGrid((48, 48, 22), (12.0, 12.0, 12.0))
    image = mmr_image(events, iterations=3, grid=grid, sampled_lines=100_000, fwhm_mm=12.0)
    assert np.isfinite(image).all()
    x, y, z = grid.axes_mm()
    body = (np.abs(x - 15) < 120) & (np.abs(y) < 90) & (np.abs(z) < 85)
    assert image[body].sum() > 0.6 * image.sum()  # 6 % of the volume; the rest is scatter


def test_a_segment_table_of_endless_digits_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path, [0]).with_name("a.l.hdr")
    path.write_text(TEXT.format(bins=344, table="9" * 5000))
    with pytest.raises(ExchangeError, match="are not the uncompressed"):
        read_header(path)
