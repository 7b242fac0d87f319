"""The configuration over power cycles: two copies, whatever happens to one of them."""

from __future__ import annotations

import crc32c
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.wire.control import REGISTERS, WINDOW, Status
from rigs.firmware.core_board import CoreBoard
from rigs.firmware.safety_steps import (
    FAULT,
    SECTOR,
    Memories,
    logged,
    power_cut_after,
    read,
    started,
    write,
)

pytestmark = pytest.mark.firmware

PERSISTENT = [spec for spec in REGISTERS.values() if spec.persistent]
COPIES = [WINDOW["nv"], WINDOW["nv"] + SECTOR]
RECORD_BYTES = 16 + 8 * len(PERSISTENT) + 4


def _save(core: CoreBoard, threshold: int) -> int:
    assert write(core, "energy_threshold", threshold) == Status.ok
    return core.command("save")[0]


def _damage(core: CoreBoard, copy: int, at: int = 20) -> None:
    core.window.bytes[COPIES[copy] + at] ^= 0x10


def _newest(core: CoreBoard) -> int:
    return int(core.module.config.newest)


def test_a_new_board_has_its_defaults_and_says_nothing(core: CoreBoard) -> None:
    started(core)
    assert [read(core, spec.name) for spec in PERSISTENT] == [spec.default for spec in PERSISTENT]
    assert logged(core) == []


@settings(max_examples=25)
@given(data=st.data())
def test_every_persistent_register_comes_back_as_it_was_saved(
    core: CoreBoard, data: st.DataObject
) -> None:
    core.window.set_up()
    started(core)
    chosen = {s.name: data.draw(st.integers(s.min, s.max), label=s.name) for s in PERSISTENT}
    chosen["temperature_trip_cC"] = 9000
    chosen["supply_min_mV"] = 3000
    for name, value in chosen.items():
        assert write(core, name, value) == Status.ok
    assert core.command("save")[0] == Status.ok
    started(core)
    assert {name: read(core, name) for name in chosen} == chosen
    assert logged(core) == []


def test_what_is_not_saved_is_forgotten(core: CoreBoard) -> None:
    started(core)
    assert _save(core, 1000) == Status.ok
    assert write(core, "energy_threshold", 2000) == Status.ok
    started(core)
    assert read(core, "energy_threshold") == 1000
    assert core.command("defaults")[0] == Status.ok
    assert read(core, "energy_threshold") == REGISTERS["energy_threshold"].default
    started(core)
    assert read(core, "energy_threshold") == 1000


def test_saves_take_turns_between_the_copies(core: CoreBoard) -> None:
    started(core)
    taken = []
    for threshold in (100, 200, 300, 400):
        assert _save(core, threshold) == Status.ok
        taken.append(_newest(core))
    assert taken == [0, 1, 0, 1]


@pytest.mark.parametrize("at", [0, 4, 8, 17, RECORD_BYTES - 1])
def test_a_damaged_newer_copy_brings_the_older_one_and_a_fault(core: CoreBoard, at: int) -> None:
    started(core)
    _save(core, 1000)
    _save(core, 2000)
    _damage(core, _newest(core), at)
    started(core)
    assert read(core, "energy_threshold") == 1000
    assert logged(core) == [FAULT["config_older"]]
    assert core.module.state == 1, "the module waits for orders all the same"
    assert _save(core, 3000) == Status.ok
    started(core)
    assert read(core, "energy_threshold") == 3000
    assert logged(core) == [FAULT["config_older"]], "the save has mended it"


def test_two_damaged_copies_bring_defaults_and_a_fault(core: CoreBoard) -> None:
    started(core)
    _save(core, 1000)
    _save(core, 2000)
    _damage(core, 0)
    _damage(core, 1)
    started(core)
    assert read(core, "energy_threshold") == REGISTERS["energy_threshold"].default
    assert logged(core) == [FAULT["config_defaults"]]
    assert _save(core, 3000) == Status.ok
    started(core)
    assert read(core, "energy_threshold") == 3000


def test_the_sequence_number_may_wrap(core: CoreBoard) -> None:
    started(core)
    core.module.config.sequence = 0xFFFFFFFE
    for threshold in (100, 200, 300):
        assert _save(core, threshold) == Status.ok
        core.start()
        core.turn()
        assert read(core, "energy_threshold") == threshold


def test_a_cut_of_power_at_any_byte_leaves_one_of_both_configurations(core: CoreBoard) -> None:
    started(core)
    _save(core, 1000)
    _save(core, 2000)
    before, lost = Memories(core), 0
    for budget in range(RECORD_BYTES + 2):
        before.put_back(core)
        started(core)
        write(core, "energy_threshold", 3000)
        with power_cut_after(core, budget):
            core.lib.config_save(core.module)
        started(core)
        assert read(core, "energy_threshold") in (2000, 3000)
        lost += read(core, "energy_threshold") == 2000
        assert FAULT["config_defaults"] not in logged(core)
        assert core.board.nv_overwrites == core.board.nv_refused == 0
    assert lost == 1 + RECORD_BYTES, "only erased and written to its last byte it counts"


def test_a_memory_that_refuses_is_said_and_leaves_the_old_configuration(core: CoreBoard) -> None:
    started(core)
    _save(core, 1000)
    core.window.world["nv_broken"] = 1
    assert _save(core, 2000) == Status.storage
    core.window.world["nv_broken"] = 0
    started(core)
    assert read(core, "energy_threshold") == 1000


def _rewrite(core: CoreBoard, address: int, new_address: int, value: int) -> None:
    """Change one saved value, as firmware with other ranges would have saved it."""
    memory = core.window.bytes[COPIES[_newest(core)] :][:RECORD_BYTES]
    values = memory[16 : RECORD_BYTES - 4].view(np.dtype([("address", "<u4"), ("value", "<i4")]))
    index = int(np.flatnonzero(values["address"] == address)[0])
    values[index] = (new_address, value)
    memory[-4:].view("<u4")[0] = crc32c.crc32c(memory[:-4].tobytes())


def test_a_saved_value_out_of_range_leaves_the_default_and_is_a_fault(core: CoreBoard) -> None:
    started(core)
    write(core, "bias_max_mV", 30_000)
    _save(core, 1000)
    spec = REGISTERS["bias_max_mV"]
    _rewrite(core, spec.address, spec.address, spec.max + 1)
    started(core)
    assert read(core, "bias_max_mV") == spec.default
    assert read(core, "energy_threshold") == 1000
    assert logged(core) == [FAULT["config_value"]]
    entry = core.ffi.new("struct tomoshibi_fault_entry *")
    core.lib.fault_entry(core.module, 0, entry)
    assert (entry.value, entry.limit) == (spec.address, 1)


def test_a_register_that_this_firmware_does_not_have_is_left_out(core: CoreBoard) -> None:
    started(core)
    _save(core, 1000)
    _rewrite(core, REGISTERS["sync_loss_count"].address, 999, 77)
    started(core)
    assert read(core, "sync_loss_count") == REGISTERS["sync_loss_count"].default
    assert read(core, "energy_threshold") == 1000
    assert logged(core) == []
