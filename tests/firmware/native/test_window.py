"""The window: who may use it, what is refused in words, and that both rings keep every byte."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from hw.machines.machine import MachineError
from hw.machines.memory_window import RECORD_BYTES, SKIP, Window, WindowError
from hw.machines.native import Native
from hw.wire.control import RING, WINDOW, WORLD_DEFAULTS


@pytest.fixture
def window(tmp_path):
    with Window.create(tmp_path / "a.window") as made:
        yield made


def words(*values: int) -> np.ndarray:
    return np.array(values, np.uint64)


# --- the file --------------------------------------------------------------------------------


def test_a_new_window_has_fair_weather_and_erased_memories(window):
    assert dict(window.world) == WORLD_DEFAULTS
    nv = window.bytes[WINDOW["nv"] : WINDOW["nv"] + WINDOW["nv_bytes"]]
    assert (nv == 0xFF).all()
    assert window.bytes[WINDOW["slot_a"]] == window.bytes[WINDOW["slot_b"]] == 0xFF
    assert (window.gate, window.hits_waiting, window.take()) == (0, 0, [])


def test_two_maps_of_one_file_see_the_same(window):
    with Window.open(window.path) as other:
        other.world["ambient_cC"] = -1250
        assert window.world["ambient_cC"] == -1250
        window.put(words(1, 2, 3))
        assert other.hits_waiting == 3


def test_a_window_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(WindowError, match=r"nowhere.window: no such file; Window.create makes one"):
        Window.open(tmp_path / "nowhere.window")


def test_a_short_window_is_refused_with_both_sizes(tmp_path):
    path = tmp_path / "short.window"
    path.write_bytes(b"x" * 100)
    with pytest.raises(WindowError, match=r"short.window: 100 bytes, not 16777216: truncated"):
        Window.open(path)


def test_a_window_with_a_damaged_world_page_is_refused(window):
    window.world["magic"] = 0xDEAD
    with pytest.raises(WindowError, match=r"begins with 0x0000dead, not 0x574d5354: not set up"):
        Window.open(window.path)


def test_the_weather_has_no_other_names(window):
    with pytest.raises(KeyError):
        window.world["rain"] = 1
    with pytest.raises(TypeError, match="cannot be deleted"):
        del window.world["freeze"]


def test_a_window_is_claimed_once(window):
    window.claim()
    with Window.open(window.path) as other:
        with pytest.raises(WindowError, match="another machine runs on it; stop that one first"):
            other.claim()
        window.release()
        other.claim()


# --- hits ------------------------------------------------------------------------------------


def test_a_full_hit_ring_takes_the_first_words_and_says_how_many(window):
    everything = np.arange(WINDOW["hit_words"] + 5, dtype=np.uint64)
    assert window.put(everything) == WINDOW["hit_words"]
    assert window.hit_room == 0
    assert window.put(words(1)) == 0


def test_hits_wrap_around_the_end_of_the_ring_and_the_counts_around_32_bits(window):
    start = 2**32 - 3
    ring = window.bytes[WINDOW["hit_ring"] :][:4096].view(np.uint32)
    ring[RING["head"] // 4] = ring[RING["tail"] // 4] = start
    assert window.put(words(10, 11, 12, 13, 14)) == 5
    assert window.hits_waiting == 5
    data = window.bytes[WINDOW["hit_data"] :][: 8 * WINDOW["hit_words"]].view(np.uint64)
    assert data[-3:].tolist() == [10, 11, 12]
    assert data[:2].tolist() == [13, 14]
    assert ring[RING["head"] // 4] == 2


def test_lost_hits_are_counted(window):
    window.count_lost(3)
    window.count_lost(2**32 - 1)
    assert window.hits_lost == 2


# --- frames ----------------------------------------------------------------------------------


def put_frame(window: Window, at: int, frame: bytes, *, head: int) -> None:
    data = window.bytes[WINDOW["frame_data"] :]
    data[at : at + 8] = np.frombuffer(np.array([len(frame), 0], "<u4").tobytes(), np.uint8)
    data[at + 8 : at + 8 + len(frame)] = np.frombuffer(frame, np.uint8)
    _frame_ring(window)[RING["head"] // 4] = head


def _frame_ring(window: Window) -> np.ndarray:
    return window.bytes[WINDOW["frame_ring"] :][:4096].view(np.uint32)


def test_frames_come_out_once_and_give_their_room_back(window):
    first, second = bytes(range(64)), bytes(range(72))
    put_frame(window, 0, first, head=72)
    put_frame(window, 72, second, head=72 + 80)
    assert [bytes(view) for view in window.peek()] == [first, second]
    assert window.frame_bytes_waiting == 152
    assert window.take() == [first, second]
    assert window.frame_bytes_waiting == 0
    assert window.take() == []


def test_a_skip_record_leads_to_the_start_of_the_ring(window):
    size = WINDOW["frame_bytes"]
    ring = _frame_ring(window)
    ring[RING["tail"] // 4] = size - 40
    window.bytes[WINDOW["frame_data"] :][size - 40 : size - 36].view(np.uint32)[0] = SKIP
    frame = b"12345678" * 8
    put_frame(window, 0, frame, head=size + RECORD_BYTES + 64)
    assert window.take() == [frame]
    assert ring[RING["tail"] // 4] == size + 72


@pytest.mark.parametrize("length", [0, 63, 65, 56, 0x7FFFFFFF, 2000])
def test_a_damaged_frame_ring_is_told_and_emptied(window, length):
    put_frame(window, 0, bytes(64), head=72)
    window.bytes[WINDOW["frame_data"] :][:4].view(np.uint32)[0] = length
    with pytest.raises(
        WindowError, match=rf"damaged at byte 0: a record of {length} bytes with 72"
    ):
        window.take()
    assert window.frame_bytes_waiting == 0
    assert window.take() == []


# --- machines on windows ---------------------------------------------------------------------


@pytest.mark.firmware
def test_a_second_machine_on_one_window_is_refused_and_the_first_goes_on(native, tmp_path):
    second = Native(folder=tmp_path, image=native.image)
    with pytest.raises(MachineError, match="another machine runs on it; stop that one first"):
        second.start()
    second.close()
    assert native.alive


def spoil_world_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"xxxx")


@pytest.mark.firmware
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_bytes(b"x" * 4096), "not 16777216 bytes long"),
        (spoil_world_page, "world page is not set up, or damaged"),
    ],
)
def test_the_program_itself_refuses_a_bad_window(native_image, tmp_path, spoil, words):
    machine = Native(folder=tmp_path, image=native_image)
    spoil(machine.window.path)
    with pytest.raises(MachineError, match=words):
        machine.start()
    machine.close()


@pytest.mark.firmware
@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--serial", "pty"], "both are needed"),
        (["--serial"], "unknown, or without its value"),
        (["--colour", "red"], "option --colour: unknown"),
        (["--window", "W", "--serial", "usb"], "neither pty nor tcp:PORT"),
        (["--window", "W", "--serial", "tcp:70000"], "neither pty nor tcp:PORT"),
        (["--window", "W", "--serial", "tcp:1x"], "neither pty nor tcp:PORT"),
        (["--window", "W", "--serial", "pty", "--udp", "7117"], "not HOST:PORT"),
        (["--window", "W", "--serial", "pty", "--udp", "a.b:7"], "not an IPv4 address"),
        (["--window", "W", "--serial", "pty", "--leash", "me"], "not a process id"),
        (["--resume", "99"], "is for the board itself"),
    ],
)
def test_bad_options_are_refused_in_words(native_image, tmp_path, argv, words):
    Window.create(tmp_path / "W").close()
    done = subprocess.run(
        [native_image.path, *argv],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert done.returncode == 2
    assert words in done.stderr
