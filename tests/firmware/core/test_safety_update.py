"""Firmware updates: what is refused, what rolls back, and that no cut of power leaves a brick."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hw.wire.control import IMAGE, SCHEMA_CRC, VERSION, Board, ResetCause, Slot, State, Status
from rigs.firmware.core_board import CoreBoard
from rigs.firmware.safety_steps import (
    FAULT,
    SLOT_OFFSETS,
    Memories,
    image_header,
    logged,
    power_cut_after,
    send_image,
    slot_is_whole,
    started,
)

pytestmark = pytest.mark.firmware

FACTORY, A, B = (int(slot) for slot in (Slot.factory, Slot.a, Slot.b))


def content(seed: int, length: int = 300) -> bytes:
    """Bytes of an image."""
    return np.random.default_rng(seed).bytes(length)


def start(core: CoreBoard, cause: int = int(ResetCause.software)) -> int:
    """Reset: the factory image runs, then what it hands over to. Return the slot that runs."""
    core.start(cause)
    if not core.board.boots:
        return FACTORY
    slot = int(core.board.boot_slot)
    starts = core.board.starts
    core.start(cause, slot=slot)
    core.board.starts = starts
    return slot


def confirm(core: CoreBoard) -> int:
    """Confirm the image that runs."""
    return int(core.lib.update_confirm(core.module))


def update(core: CoreBoard, seed: int) -> int:
    """Send, start and confirm an image; return its slot."""
    assert send_image(core, content(seed)) == Status.ok
    slot = start(core)
    assert confirm(core) == Status.ok
    return slot


def _begin(core: CoreBoard, header: np.void) -> tuple[int, int]:
    fields = {name: int(header[name]) for name in header.dtype.names}
    status, detail, _ = core.command("update_begin", **fields)
    return status, detail


# --- the way it should go ------------------------------------------------------------------------


def test_an_image_goes_over_the_line_and_is_started_by_the_next_reset(core: CoreBoard) -> None:
    started(core)
    image = content(1, 5000)
    assert _begin(core, image_header(image))[0] == Status.ok
    assert core.module.state == State.updating
    for at in range(0, len(image), 1000):
        status, _, reply = core.command("update_data", image[at : at + 1000], offset=at)
        assert status == Status.ok
        assert np.frombuffer(reply, "<u4", 1)[0] == at + 1000
    status, _, reply = core.command("update_end")
    assert (status, np.frombuffer(reply, "<u4", 1)[0]) == (Status.ok, A)
    assert core.module.state == State.idle
    core.start(int(ResetCause.software))
    assert (core.board.boots, core.board.boot_slot, core.board.boot_bytes) == (1, A, 5000)
    assert core.board.nv_overwrites == core.board.nv_refused == 0


def test_updates_take_turns_between_the_slots(core: CoreBoard) -> None:
    core.start()
    assert [update(core, seed) for seed in range(4)] == [A, B, A, B]
    assert start(core) == B
    assert logged(core) == []


def test_a_confirmed_image_says_so(core: CoreBoard) -> None:
    core.start()
    assert core.lib.update_confirmed(core.module), "the factory image always is"
    send_image(core, content(1))
    assert start(core) == A
    assert not core.lib.update_confirmed(core.module)
    assert confirm(core) == Status.ok
    assert core.lib.update_confirmed(core.module)


# --- other schemas -------------------------------------------------------------------------------

OTHER_SCHEMA = SCHEMA_CRC ^ 0x5A5A5A5A


def test_an_image_of_another_schema_is_taken_started_and_confirmed(core: CoreBoard) -> None:
    core.start()
    assert send_image(core, content(1), schema=OTHER_SCHEMA) == Status.ok
    assert start(core) == A
    assert confirm(core) == Status.ok
    assert [start(core) for _ in range(4)] == [A, A, A, A]
    assert update(core, 2) == B, "and makes room for one of ours again"
    assert logged(core) == []


def test_an_image_of_another_schema_that_is_not_confirmed_goes_back(core: CoreBoard) -> None:
    core.start()
    assert update(core, 1) == A
    assert send_image(core, content(2), schema=OTHER_SCHEMA) == Status.ok
    assert [start(core) for _ in range(4)] == [B, B, A, A]
    assert logged(core) == [FAULT["rolled_back"]]


def _put_header(core: CoreBoard, slot: int, header: np.void) -> None:
    place = SLOT_OFFSETS[slot]
    core.window.bytes[place : place + header.nbytes] = np.frombuffer(header.tobytes(), np.uint8)


@pytest.mark.parametrize(
    ("fields", "runs", "faults"),
    [
        ({"schema": OTHER_SCHEMA}, A, []),
        ({"control_version": VERSION + 1}, FACTORY, [FAULT["image_damaged"]]),
        ({"board": int(Board.posix)}, FACTORY, [FAULT["image_damaged"]]),
    ],
)
@pytest.mark.parametrize("confirmed", [True, False])
def test_what_lies_in_a_slot_is_judged_alike_at_each_start(
    core: CoreBoard, confirmed: bool, fields: dict[str, int], runs: int, faults: list[int]
) -> None:
    core.start()
    send_image(core, content(1))
    if confirmed:
        start(core)
        confirm(core)
    _put_header(core, A, image_header(content(1), **fields))
    assert start(core) == runs
    assert logged(core) == faults


# --- rollback ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cause", [ResetCause.software, ResetCause.watchdog])
def test_an_image_that_is_not_confirmed_gets_two_starts(core: CoreBoard, cause: int) -> None:
    core.start()
    send_image(core, content(1))
    assert [start(core, int(cause)) for _ in range(4)] == [A, A, FACTORY, FACTORY]
    assert logged(core).count(FAULT["rolled_back"]) == 1


def test_roll_back_goes_to_the_image_that_was_confirmed_last(core: CoreBoard) -> None:
    core.start()
    assert update(core, 1) == A
    send_image(core, content(2))
    assert [start(core) for _ in range(4)] == [B, B, A, A]
    assert logged(core) == [FAULT["rolled_back"]]
    assert core.lib.update_confirmed(core.module)


def test_a_confirmed_image_that_decays_gives_way_to_the_one_before(core: CoreBoard) -> None:
    core.start()
    update(core, 1)
    update(core, 2)
    core.window.bytes[SLOT_OFFSETS[B] + 100] ^= 1
    assert start(core) == A
    assert logged(core) == [FAULT["image_damaged"]]
    core.window.bytes[SLOT_OFFSETS[A] + 100] ^= 1
    assert start(core) == FACTORY


def test_a_pending_image_that_decays_is_never_started(core: CoreBoard) -> None:
    core.start()
    send_image(core, content(1))
    core.window.bytes[SLOT_OFFSETS[A] + 331] ^= 0x80
    assert [start(core), start(core)] == [FACTORY, FACTORY]
    assert logged(core) == [FAULT["image_damaged"]], "said once: it is no longer pending"


def test_a_try_that_cannot_be_written_down_does_not_happen(core: CoreBoard) -> None:
    core.start()
    send_image(core, content(1))
    core.window.world["nv_broken"] = 1
    assert start(core) == FACTORY
    core.window.world["nv_broken"] = 0
    assert start(core) == A


# --- refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "damage", "status", "detail"),
    [
        ({"magic": 1}, "", Status.bad_image, None),
        ({"length": 0}, "", Status.bad_image, None),
        ({"length": IMAGE["max_bytes"] + 1}, "", Status.bad_image, None),
        ({"length": 0xFFFFFFFF}, "", Status.bad_image, None),
        ({}, "header_crc", Status.bad_image, None),
        ({"board": int(Board.posix)}, "", Status.wrong_board, int(Board.posix)),
        ({"control_version": VERSION + 1}, "", Status.wrong_schema, VERSION),
        ({"control_version": VERSION + 256, "schema": 1}, "", Status.wrong_schema, VERSION),
    ],
)
def test_a_header_that_does_not_fit_is_refused(
    core: CoreBoard, fields: dict[str, int], damage: str, status: int, detail: int | None
) -> None:
    started(core)
    before = core.window.bytes[SLOT_OFFSETS[A] :][:4096].copy()
    got, got_detail = _begin(core, image_header(content(1), damage=damage, **fields))
    assert got == status
    assert detail is None or got_detail == detail
    assert core.module.state == State.idle
    assert (core.window.bytes[SLOT_OFFSETS[A] :][:4096] == before).all()


def _in_update(core: CoreBoard, image: bytes, **fields: int) -> None:
    started(core)
    assert _begin(core, image_header(image, **fields))[0] == Status.ok


def _piece(core: CoreBoard, image: bytes, offset: int) -> int:
    return core.command("update_data", image, offset=offset)[0]


def test_a_truncated_image_is_refused_and_not_started(core: CoreBoard) -> None:
    image = content(1)
    _in_update(core, image)
    assert _piece(core, image[:299], 0) == Status.ok
    assert core.command("update_end")[0] == Status.bad_image
    assert core.module.state == State.idle
    assert start(core) == FACTORY
    assert not slot_is_whole(core, A)


@pytest.mark.parametrize("bit", [0, 1201, 2399])
def test_an_image_with_one_wrong_bit_is_refused(core: CoreBoard, bit: int) -> None:
    image = content(1)
    wrong = bytearray(image)
    wrong[bit // 8] ^= 1 << bit % 8
    _in_update(core, image)
    assert _piece(core, bytes(wrong), 0) == Status.ok
    assert core.command("update_end")[0] == Status.bad_image
    assert start(core) == FACTORY


@pytest.mark.parametrize("offset", [1, 99, 101, 0xFFFFFFFF, 300])
def test_a_piece_that_is_out_of_order_is_refused(core: CoreBoard, offset: int) -> None:
    image = content(1)
    _in_update(core, image)
    assert _piece(core, image[:100], 0) == Status.ok
    assert _piece(core, image[:100], offset) == Status.bad_image
    assert _piece(core, image[100:], 100) == Status.ok, "the right one is still taken"
    assert core.command("update_end")[0] == Status.ok


def test_more_bytes_than_announced_are_refused(core: CoreBoard) -> None:
    image = content(1)
    _in_update(core, image)
    assert _piece(core, image + b"x", 0) == Status.bad_image
    assert _piece(core, image, 0) == Status.ok
    assert _piece(core, b"x", 300) == Status.bad_image


def test_update_commands_out_of_state_are_refused(core: CoreBoard) -> None:
    started(core)
    for name, tail in (("update_data", b"x"), ("update_end", b""), ("update_abort", b"")):
        assert core.command(name, tail)[0] == Status.bad_state
    _in_update(core, content(1))
    assert _begin(core, image_header(content(2)))[0] == Status.bad_state
    assert core.command("update_abort")[0] == Status.ok
    assert core.module.state == State.idle


def test_an_update_that_is_given_up_leaves_nothing_pending(core: CoreBoard) -> None:
    core.start()
    assert send_image(core, content(1)) == Status.ok
    assert _begin(core, image_header(content(2)))[0] == Status.ok
    assert core.command("update_abort")[0] == Status.ok
    assert start(core) == FACTORY
    assert logged(core) == [], "the image that it began to write over is not missed"


def test_both_slots_needed_is_busy(core: CoreBoard) -> None:
    core.start()
    update(core, 1)
    send_image(core, content(2))
    assert start(core) == B
    assert send_image(core, content(3)) == Status.busy, "A is what B would roll back to"
    assert confirm(core) == Status.ok
    assert send_image(core, content(3)) == Status.ok


def test_a_latched_fault_ends_an_update(core: CoreBoard) -> None:
    _in_update(core, content(1))
    core.window.world["interlock_closed"] = 0
    core.turn()
    assert core.module.state == State.fault
    assert _piece(core, content(1), 0) == Status.faulted
    assert start(core) == FACTORY


def test_a_memory_that_refuses_is_said(core: CoreBoard) -> None:
    started(core)
    core.window.world["nv_broken"] = 1
    assert _begin(core, image_header(content(1)))[0] == Status.storage
    assert core.module.state == State.idle


# --- power cuts ----------------------------------------------------------------------------------

UNCUT = 10_000
"""More than any step writes."""

Step = Callable[[CoreBoard], object]
STORIES: dict[str, tuple[Callable[[CoreBoard], object], Step]] = {}


def story(name: str, before: Callable[[CoreBoard], object]) -> Callable[[Step], Step]:
    """Something that writes to the memories, after what was done before it."""

    def keep(step: Step) -> Step:
        STORIES[name] = (before, step)
        return step

    return keep


def _confirmed_a(core: CoreBoard) -> None:
    core.start()
    update(core, 1)


def _confirmed_a_and_b(core: CoreBoard) -> None:
    _confirmed_a(core)
    update(core, 2)


def _pending_a(core: CoreBoard) -> None:
    core.start()
    send_image(core, content(1))


def _pending_b(core: CoreBoard) -> None:
    _confirmed_a(core)
    send_image(core, content(2))


def _b_without_tries(core: CoreBoard) -> None:
    _pending_b(core)
    start(core)
    start(core)


def _b_unconfirmed(core: CoreBoard) -> None:
    _pending_b(core)
    start(core)


story("first update", lambda core: core.start())(lambda core: send_image(core, content(7)))
story("second update", _confirmed_a)(lambda core: send_image(core, content(7)))
story("over the fallback", _confirmed_a_and_b)(lambda core: send_image(core, content(7)))
story("over a pending one", _pending_a)(lambda core: send_image(core, content(7)))
story("first try", _pending_b)(lambda core: core.start(int(ResetCause.software)))
story("roll back", _b_without_tries)(lambda core: core.start(int(ResetCause.software)))
story("confirm", _b_unconfirmed)(confirm)


def _budgeted(core: CoreBoard, step: Step, budget: int) -> None:
    """Do a step that the power is cut in; a reset within it does not give the power back."""
    restart = core.start

    def start_without_power(cause: int = 0, *, slot: int = 0) -> None:
        core.board.boots = core.board.resets = core.board.downs = 0
        core.board.running_slot = slot
        core.lib.test_forget_module()
        core.lib.module_start(core.module)

    core.start = start_without_power  # type: ignore[method-assign]
    try:
        with power_cut_after(core, budget):
            step(core)
    finally:
        core.start = restart  # type: ignore[method-assign]


@pytest.mark.parametrize("name", list(STORIES))
def test_a_cut_of_power_at_any_byte_leaves_a_module_that_starts(core: CoreBoard, name: str) -> None:
    prepare, step = STORIES[name]
    prepare(core)
    safe = {FACTORY} if not core.module.update.record.active else set()
    safe |= {int(core.module.update.record.active)} - {FACTORY}
    before = Memories(core)
    running = int(core.board.running_slot)
    _budgeted(core, step, UNCUT)
    done = Memories(core)
    for budget in range(UNCUT):
        before.put_back(core)
        core.board.running_slot = running
        _budgeted(core, step, budget)
        complete = done.slots_are_in(core)
        seen = [start(core, int(ResetCause.power_on)) for _ in range(5)]
        assert all(slot == FACTORY or slot_is_whole(core, slot) for slot in seen), (budget, seen)
        confirmed = int(core.module.update.record.active)
        assert confirmed in safe | ({running} if name == "confirm" else set()), (budget, seen)
        assert seen[3] == seen[4] == confirmed, (budget, seen)
        assert core.board.nv_overwrites == core.board.nv_refused == 0
        assert send_image(core, content(9)) == Status.ok, "and it takes another update"
        assert start(core) != confirmed
        if complete:
            break
    assert 30 < budget < UNCUT - 1, "every byte that the step writes was the last one once"
