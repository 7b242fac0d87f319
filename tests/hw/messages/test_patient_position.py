"""The letters at the ends of the scanner's axes, against the geometry of a person."""

from __future__ import annotations

import numpy as np
import pytest

from hw.messages.patient_position import PATIENT_POSITIONS, UNKNOWN, ends_of_axes

UP = np.array([0, 1, 0])
"""The scanner's y runs up, z along its axis."""


def person(position: str) -> dict[str, np.ndarray]:
    """Return where head, front and left point: a standing person's left is head × front."""
    head = np.array([0, 0, 1 if position[0] == "H" else -1])
    match position[2:]:
        case "S" | "P":
            front = UP if position[2:] == "S" else -UP
            left = np.cross(head, front)
        case side:
            left = UP if side == "DR" else -UP  # who lies on the right side has the left one up
            front = np.cross(left, head)
    return {"H": head, "F": -head, "A": front, "P": -front, "L": left, "R": -left}


@pytest.mark.parametrize("position", [p for p in PATIENT_POSITIONS if p != UNKNOWN])
def test_letters_are_where_the_person_is(position: str) -> None:
    where = person(position)
    found = ends_of_axes(position)  # type: ignore[arg-type]
    for number, axis in enumerate("xyz"):
        direction = np.eye(3)[number]
        low, high = found[axis]
        assert np.array_equal(where[high], direction)
        assert np.array_equal(where[low], -direction)


def test_where_nobody_said_it_the_axes_are_named() -> None:
    assert ends_of_axes(UNKNOWN) == {a: (f"−{a}", f"+{a}") for a in "xyz"}
