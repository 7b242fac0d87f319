"""Steps of load: taken in order, said once, counted, and taken back with hysteresis."""

from __future__ import annotations

import pytest

from daq.service.load import FROM_BYTES, IMAGE_SHARE, STEPS, Load
from hw.messages.imager import ImagerReport


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


def report(second: int, *, used: int, seen: int, rate_Hz: int = 3) -> ImagerReport:
    return ImagerReport(
        run="r", images=rate_Hz * second, prompts_used=max(used, 0), prompts_seen=seen
    )


def test_an_imager_that_leaves_events_out_is_told_once_counted_and_taken_back() -> None:
    load, said = Load(), []
    used = seen = 0
    for second in range(1, 61):
        seen += 2000
        used += 400 if 11 < second <= 31 else 2000
        now = report(second, used=used - 300, seen=seen)  # some wait for the next image
        said += load.look_at_image(now, float(second))
    assert [line.severity for line in said] == ["warning", "info"]
    assert "the live image uses 20 % of the events" in said[0].text
    assert said[1].text == "the live image uses all events again"
    assert load.image_share > 0.95
    assert load.summary() == {"imager": {"times": 1, "seconds": 20.0}}


def test_few_events_few_images_and_an_imager_that_begins_anew_say_nothing() -> None:
    load, said = Load(), []
    for second in range(60):  # it is being prepared, then works with next to nothing
        rate_Hz = 3 if second >= 30 else 0
        now = report(second, used=0, seen=10 * second, rate_Hz=rate_Hz)
        said += load.look_at_image(now, float(second))
    for second in range(60, 120):
        counted = 2000 * (second % 20)
        now = report(second % 20 + 1, used=counted, seen=counted)
        said += load.look_at_image(now, float(second))
    for second in range(120, 180):  # an image in ten seconds: all wait for it
        now = report(second, used=0, seen=2000 * second, rate_Hz=0)
        said += load.look_at_image(now, float(second))
    assert said == [] and load.summary() == {}
