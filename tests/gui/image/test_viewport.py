"""One magnification for all views: a place under the pointer stays, no edge comes in too far."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gui.image.viewport import MOST_ZOOM, Viewport

EXTENT_MM = (240.0, 240.0, 160.0)


def of_image() -> Viewport:
    viewport = Viewport()
    viewport.enter(EXTENT_MM)
    return viewport


def on_screen(viewport: Viewport, axis: int, place_mm: float) -> float:
    return (place_mm - viewport.middle_mm[axis]) * viewport.zoom


def test_what_is_under_the_pointer_stays_there() -> None:
    viewport = of_image()
    viewport.magnify(4.0, {0: 0.0, 2: 0.0})
    before = on_screen(viewport, 0, 20.0), on_screen(viewport, 2, -10.0)
    viewport.magnify(1.25, {0: 20.0, 2: -10.0})
    assert on_screen(viewport, 0, 20.0) == pytest.approx(before[0])
    assert on_screen(viewport, 2, -10.0) == pytest.approx(before[1])
    assert viewport.middle_mm[1] == 0


@given(st.lists(st.tuples(st.floats(0.2, 5), st.floats(-300, 300), st.integers(0, 2)), max_size=20))
def test_the_image_is_never_lost_from_sight(moves: list[tuple[float, float, int]]) -> None:
    viewport = of_image()
    for factor, place_mm, axis in moves:
        viewport.magnify(factor, {axis: place_mm})
        viewport.shift(axis, place_mm)
        assert 1 <= viewport.zoom <= MOST_ZOOM
        for middle, extent in zip(viewport.middle_mm, EXTENT_MM, strict=True):
            assert abs(middle) <= extent / 2 * (1 - 1 / viewport.zoom) + 1e-9


def test_another_image_is_shown_whole_and_the_next_of_the_same_as_before() -> None:
    viewport = of_image()
    viewport.magnify(3.0, {0: 50.0})
    shown = viewport.zoom, list(viewport.middle_mm)
    viewport.enter(EXTENT_MM)
    assert (viewport.zoom, viewport.middle_mm) == shown
    viewport.enter((100.0, 100.0, 100.0))
    assert (viewport.zoom, viewport.middle_mm) == (1.0, [0.0, 0.0, 0.0])
