"""Steps of load: taken in order, said once, counted, and taken back with hysteresis."""

from __future__ import annotations

import pytest

from daq.service.load import FROM_BYTES, IMAGE_SHARE, STEPS, Load


def test_steps_are_taken_in_order_and_taken_back() -> None:
    load, said = Load(), []
    for second, amount in enumerate((0, *FROM_BYTES, *reversed(FROM_BYTES), 0)):
        said += load.look(amount, behind_s=1.5, now=float(second))
    severities = [line.severity for line in said]
    assert severities == ["warning"] * 3 + ["info"] * 3
    assert "sorting is 1.5 s behind: displays are updated less often" in said[0].text
    assert "recording is not affected" in said[0].text
    assert "a quarter of the events" in said[1].text
    assert "from the disk" in said[2].text
    assert said[-1].text == "displays are updated as usual again"
    assert load.level == 0
    assert load.summary() == {
        "display": {"times": 1, "seconds": 6.0},
        "image": {"times": 1, "seconds": 4.0},
        "sorting": {"times": 1, "seconds": 2.0},
    }


def test_an_amount_that_wavers_takes_a_step_once() -> None:
    load, lines = Load(), 0
    for second in range(40):
        lines += len(load.look(FROM_BYTES[0] * (4 if second % 2 else 3) // 4, 0.0, float(second)))
    assert lines == 1
    assert load.summary()["display"]["times"] == 1


def test_several_steps_may_be_due_at_once() -> None:
    load = Load()
    assert len(load.look(FROM_BYTES[-1], 9.0, 0.0)) == len(STEPS)
    assert (load.shows_less, load.sorts_later) == (True, True)
    assert len(load.look(0, 0.0, 1.0)) == len(STEPS)
    assert (load.shows_less, load.sorts_later, load.level) == (False, False, 0)


@pytest.mark.parametrize(("amount", "share"), [(0, 1), (FROM_BYTES[1], IMAGE_SHARE)])
def test_the_image_gets_all_batches_or_every_fourth(amount: int, share: int) -> None:
    load = Load()
    load.look(amount, 0.0, 0.0)
    assert sum(load.images_next() for _ in range(400)) == 400 // share


def test_an_imager_that_leaves_events_out_is_told_once_counted_and_taken_back() -> None:
    load, said = Load(), []
    used = seen = 0
    for second in range(60):
        seen += 2000
        used += 400 if 11 <= second < 31 else 2000
        said += load.look_at_image(max(used - 300, 0), seen, float(second))  # some wait
    assert [line.severity for line in said] == ["warning", "info"]
    assert "the live image uses 20 % of the events" in said[0].text
    assert said[1].text == "the live image uses all events again"
    assert load.image_share > 0.95
    assert load.summary() == {"imager": {"times": 1, "seconds": 20.0}}


def test_few_events_and_an_imager_that_begins_anew_say_nothing() -> None:
    load, said = Load(), []
    for second in range(30):
        said += load.look_at_image(0, 10 * second, float(second))
    for second in range(30, 60):
        counted = 2000 * (second % 15)
        said += load.look_at_image(counted, counted, float(second))
    assert said == [] and load.summary() == {}
