"""The event plane: everything to those who keep up, exact losses to those who do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
import zmq

import daq.service.event_stream as event_stream
from coincidence.events import ANGLE, COINCIDENCE, SINGLE, TRIPLE
from daq.client.event_reader import EventReader, Tally
from daq.service.event_stream import EventStream
from hw.messages.base import MessageError
from hw.messages.codec import decode_as, encode
from hw.messages.endpoints import Endpoints
from hw.messages.telemetry import EventBatch


@dataclass
class Yielded:
    """What the stream looks at of a batch's output."""

    prompts: np.ndarray = field(default_factory=lambda: np.empty(0, COINCIDENCE))
    delayeds: np.ndarray = field(default_factory=lambda: np.empty(0, COINCIDENCE))
    singles: np.ndarray = field(default_factory=lambda: np.empty(0, SINGLE))
    triples: np.ndarray = field(default_factory=lambda: np.empty(0, TRIPLE))
    angles: np.ndarray = field(default_factory=lambda: np.empty(0, ANGLE))
    watermark_ps: int = 5


def records(dtype: np.dtype, n: int, seed: int = 0) -> np.ndarray:
    data = np.random.default_rng(seed).integers(0, 256, n * dtype.itemsize, dtype=np.uint8)
    return data.view(dtype)


@pytest.fixture
def socket(ipc_base: str) -> Iterator[zmq.Socket]:
    """The daq's socket of the event plane, with a queue of four messages."""
    bound: zmq.Socket = zmq.Context.instance().socket(zmq.XPUB)
    bound.setsockopt(zmq.SNDHWM, 4)
    bound.bind(Endpoints(ipc_base).of("events"))
    yield bound
    bound.close(linger=0)


@pytest.fixture
def joined(socket: zmq.Socket, ipc_base: str) -> Iterator[Callable[..., EventReader]]:
    """Make readers whose subscriptions have reached the daq's socket."""
    made: list[EventReader] = []

    def join(kind: str, **options: int) -> EventReader:
        reader = EventReader(Endpoints(ipc_base), kind, **options)  # type: ignore[arg-type]
        made.append(reader)
        assert socket.poll(5000)
        return reader

    yield join
    for reader in made:
        reader.close()


def read(reader: EventReader) -> np.ndarray:
    found = reader.read(5.0)
    assert found is not None
    return found


def test_each_kind_comes_to_its_subscribers_as_it_was(socket, joined) -> None:
    stream = EventStream(socket)
    readers = {}
    for kind in ("prompts", "delayeds", "singles", "triples"):
        readers[kind] = joined(kind)
        stream.batch(Yielded())  # type: ignore[arg-type]  # takes the subscription in
    sent = {
        "prompts": records(COINCIDENCE, 5), "delayeds": records(COINCIDENCE, 3),
        "singles": records(SINGLE, 7), "triples": records(TRIPLE, 2),
        "angles": records(ANGLE, 3),
    }  # fmt: skip
    stream.start("run-1")
    stream.batch(Yielded(**sent))  # type: ignore[arg-type]
    stream.end()
    for kind, reader in readers.items():
        got = read(reader)
        assert (got.dtype, got.tobytes()) == (sent[kind].dtype, sent[kind].tobytes())
        assert len(read(reader)) == 0
        tally = reader.tally
        assert (tally.run, tally.records, tally.lost) == ("run-1", len(sent[kind]), 0)
        assert (tally.joined_after, tally.finished) == (0, True)


def test_nothing_is_sent_of_what_nobody_asked_for_but_the_numbers_go_on(socket, joined) -> None:
    stream = EventStream(socket)
    stream.start("run-1")
    for _ in range(3):
        stream.batch(Yielded(prompts=records(COINCIDENCE, 10)))  # type: ignore[arg-type]
    assert not stream.wanted("prompts")
    late = joined("prompts")
    stream.batch(Yielded(prompts=records(COINCIDENCE, 4)))  # type: ignore[arg-type]
    assert stream.wanted("prompts")
    assert not stream.wanted("singles")
    assert len(read(late)) == 4
    assert (late.tally.joined_after, late.tally.lost) == (30, 0)


def test_who_leaves_is_noticed(socket, joined) -> None:
    stream = EventStream(socket)
    reader = joined("prompts")
    stream.batch(Yielded())  # type: ignore[arg-type]
    assert stream.wanted("prompts")
    reader.close()
    assert socket.poll(5000)
    stream.batch(Yielded())  # type: ignore[arg-type]
    assert not stream.wanted("prompts")


def test_topics_that_are_none_of_ours_are_not_kept(socket, joined, ipc_base) -> None:
    stream, foreign = EventStream(socket), zmq.Context.instance().socket(zmq.SUB)
    foreign.connect(Endpoints(ipc_base).of("events"))
    for topic in (b"promptsandmore", b"x", b"\x00\xff"):
        foreign.setsockopt(zmq.SUBSCRIBE, topic)
        assert socket.poll(5000)
        stream.repeat_end()
    assert not any(stream.wanted(kind) for kind in event_stream.KINDS)
    assert stream._topics == set()
    foreign.setsockopt(zmq.SUBSCRIBE, b"")  # everything
    assert socket.poll(5000)
    stream.repeat_end()
    assert all(stream.wanted(kind) for kind in event_stream.KINDS)
    foreign.close(linger=0)


def test_a_slow_subscriber_loses_and_can_say_exactly_how_many(socket, joined) -> None:
    stream = EventStream(socket)
    slow = joined("prompts", queue=2)
    stream.start("run-1")
    batch = records(COINCIDENCE, 8000)  # 256 kB: more than a socket's own buffers hold
    for _ in range(60):
        stream.batch(Yielded(prompts=batch))  # type: ignore[arg-type]
    stream.end()
    while (found := slow.read(1.0)) is not None:
        assert len(found) in (0, 8000)
    stream.repeat_end()
    assert len(read(slow)) == 0
    tally = slow.tally
    assert tally.finished
    assert tally.lost > 0
    assert tally.joined_after + tally.records + tally.lost == 60 * 8000


def test_large_batches_are_cut_so_that_a_queue_is_bounded_in_bytes(
    socket, joined, monkeypatch
) -> None:
    monkeypatch.setattr(event_stream, "MAX_MESSAGE_BYTES", 1000)
    stream, reader = EventStream(socket), joined("prompts")
    stream.start("run-1")
    sent = records(COINCIDENCE, 100)
    stream.batch(Yielded(prompts=sent))  # type: ignore[arg-type]
    parts = [read(reader) for _ in range(4)]
    assert [len(part) for part in parts] == [31, 31, 31, 7]
    assert np.concatenate(parts).tobytes() == sent.tobytes()
    assert reader.tally.lost == 0


def batch(run: str, sequence: int, n: int, before: int, *, final: bool = False) -> EventBatch:
    return EventBatch(
        run=run, kind="prompts", sequence=sequence, records=n, before=before, watermark_ps=0,
        final=final,
    )  # fmt: skip


def test_the_tally_adds_up_over_every_gap() -> None:
    tally = Tally()
    assert tally.take(batch("a", 3, 10, 100))
    assert tally.take(batch("a", 4, 10, 110))
    assert tally.take(batch("a", 9, 10, 150))
    assert tally.take(batch("a", 12, 0, 175, final=True))
    assert (tally.joined_after, tally.records, tally.lost, tally.finished) == (100, 30, 45, True)


def test_the_repeated_end_of_an_earlier_run_is_passed_over() -> None:
    tally = Tally()
    assert not tally.take(batch("old", 8, 0, 500, final=True))
    assert not tally.finished
    assert tally.take(batch("new", 0, 5, 0))
    assert (tally.run, tally.joined_after) == ("new", 0)


def test_a_run_without_records_ends_too() -> None:
    tally = Tally()
    assert tally.take(batch("empty", 0, 0, 0, final=True))
    assert (tally.finished, tally.records) == (True, 0)


def test_the_next_run_ends_a_tally_whose_own_end_was_missed() -> None:
    tally = Tally()
    assert tally.take(batch("a", 0, 5, 0))
    assert not tally.take(batch("b", 0, 5, 0))
    assert (tally.finished, tally.run, tally.records) == (True, "a", 5)


@pytest.mark.parametrize(
    ("header", "data"),
    [
        (encode(batch("a", 0, 2, 0)), bytes(63)),
        (encode(batch("a", 0, 1, 0)).replace(b"prompts", b"singles"), bytes(16)),
        (b"no message", bytes(32)),
    ],
)
def test_a_message_that_is_not_what_it_says_is_an_error(socket, joined, header, data) -> None:
    reader = joined("prompts")
    socket.recv()
    socket.send_multipart([b"prompts", header, data])
    with pytest.raises(MessageError):
        reader.read(5.0)
    socket.send_multipart([b"prompts", header])
    assert reader.read(5.0) is None
    assert reader.invalid_messages == 1


def test_the_header_on_the_wire_is_typed_and_versioned(socket, joined) -> None:
    stream, reader = EventStream(socket), joined("triples")
    stream.start("run-1")
    stream.batch(Yielded(triples=records(TRIPLE, 3)))  # type: ignore[arg-type]
    topic, header, data = reader._socket.recv_multipart()
    found = decode_as(EventBatch, header)
    assert (topic, found.kind, found.records, found.watermark_ps) == (b"triples", "triples", 3, 5)
    assert len(data) == 3 * TRIPLE.itemsize
