"""Relative errors of values that should be proportional to the activity."""

from __future__ import annotations

import numpy as np
import pytest

from recon.acceptance.count_accuracy import count_errors

ACTIVITY = np.array([1.0, 2.0, 4.0, 40.0, 80.0])
SLICES = np.array([1.0, 3.0])


def test_perfect_corrections_have_no_error():
    found = count_errors(ACTIVITY, ACTIVITY[:, None] * SLICES)
    np.testing.assert_allclose(found.slices, 0, atol=1e-12)
    np.testing.assert_allclose(found.together, 0, atol=1e-12)


def test_a_loss_at_one_activity_and_slice_is_its_error():
    values = ACTIVITY[:, None] * SLICES
    values[3] *= [0.95, 1.02]
    found = count_errors(ACTIVITY, values)
    np.testing.assert_allclose(found.slices[3], [-0.05, 0.02])
    assert found.together[3] == pytest.approx((-0.05 * 1 + 0.02 * 3) / 4)
    assert found.greatest_up_to(4.0) == pytest.approx(0, abs=1e-12)
    assert found.greatest_up_to(40.0) == pytest.approx(0.0025)


def test_order_of_the_runs_does_not_matter():
    values = ACTIVITY[:, None] * SLICES * np.array([1, 1, 1, 0.9, 0.8])[:, None]
    turned = count_errors(ACTIVITY[::-1], values[::-1])
    np.testing.assert_allclose(turned.activity_MBq, ACTIVITY)
    np.testing.assert_allclose(turned.together[3:], [-0.1, -0.2])


def test_three_activities_are_too_few():
    with pytest.raises(ValueError, match="at least one more"):
        count_errors(ACTIVITY[:3], ACTIVITY[:3, None] * SLICES)
