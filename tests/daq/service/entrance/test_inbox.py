"""Messages are taken for a bounded time, whole, whoever floods: over real sockets."""

from __future__ import annotations

import itertools

import zmq

from daq.service.entrance.inbox import MOST_PARTS, Inbox


def filled(sockets, messages: list[list[bytes]]) -> zmq.Socket:
    receiver, sender = sockets(zmq.PULL, zmq.PUSH, queue=0)
    for parts in messages:
        sender.send_multipart(parts)
    assert receiver.poll(2000)
    return receiver


def test_no_more_messages_than_asked_for_are_taken_in_a_turn(sockets) -> None:
    inbox = Inbox(filled(sockets, [[b"%d" % k] for k in range(25)]), most=10, seconds=60)
    turns = [list(inbox.take()) for _ in range(3)]
    assert [len(turn) for turn in turns] == [10, 10, 5]
    assert [part for turn in turns for (part,) in turn] == [b"%d" % k for k in range(25)]


def test_a_turn_says_whether_it_was_cut(sockets) -> None:
    inbox = Inbox(filled(sockets, [[b""]] * 3), most=2, seconds=60)
    assert (len(list(inbox.take())), inbox.cut) == (2, True)
    assert (len(list(inbox.take())), inbox.cut) == (1, False)


def test_a_turn_ends_when_its_time_is_over(sockets) -> None:
    ticks = itertools.count()
    inbox = Inbox(filled(sockets, [[b""]] * 9), seconds=3, clock=lambda: float(next(ticks)))
    assert len(list(inbox.take())) == 3
    assert inbox.cut


def test_a_message_of_endless_parts_is_taken_over_many_turns_and_not_kept(sockets) -> None:
    ticks = itertools.count()
    socket = filled(sockets, [[b"%d" % k for k in range(1000)], [b"next"]])
    inbox = Inbox(socket, seconds=100, clock=lambda: float(next(ticks)))
    turns = [list(inbox.take()) for _ in range(12)]
    (first, second) = [message for turn in turns for message in turn]
    assert turns[:9] == [[]] * 9
    assert len(first) == MOST_PARTS and first[0] == b"0" and first[-1] == b"999"
    assert second == [b"next"]


def test_one_who_floods_does_not_keep_another_waiting(sockets) -> None:
    receiver, flooder = sockets(zmq.PULL, zmq.PUSH, queue=0)
    other = receiver.context.socket(zmq.PUSH)
    other.connect(receiver.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode())
    for _ in range(5000):
        flooder.send(b"flood")
    other.send(b"me too")
    assert receiver.poll(2000)
    taken = list(Inbox(receiver, most=20, seconds=60).take())
    other.close(linger=0)
    assert [b"me too"] in taken
