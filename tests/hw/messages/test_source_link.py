"""The source's side of the source plane: what it says of itself, and when."""

from __future__ import annotations

from pathlib import Path

import zmq

from hw.messages.codec import decode, encode
from hw.messages.endpoints import Endpoints
from hw.messages.source import Hello, Refused, Welcome
from hw.messages.source_link import SourceLink

READY = Hello(kind="test", scanner="bench2", modules=2)
FAULTY = Hello(kind="test", scanner="bench2", modules=2, not_ready="module 0: no bias")


def test_another_hello_goes_out_at_once_and_the_same_one_only_with_the_next_beat(
    tmp_path: Path,
) -> None:
    endpoints = Endpoints(f"ipc://{tmp_path}/ipc")
    daq: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.ROUTER)
    daq.bind(endpoints.of("source"))
    link = SourceLink(endpoints, READY, clock=lambda: 0.0)
    try:
        link.poll()
        for hello in (READY, FAULTY, FAULTY, READY):
            link.introduce(hello)
        link.poll()  # no beat is due
        came = [daq.recv_multipart() for _ in range(3) if daq.poll(5000)]
        assert [decode(parts[-1]) for parts in came] == [READY, FAULTY, READY]
        assert not daq.poll(100)
    finally:
        link.close()
        daq.close()


def test_what_the_daq_refuses_or_says_in_another_version_is_told_once_each(tmp_path: Path) -> None:
    endpoints = Endpoints(f"ipc://{tmp_path}/ipc")
    daq: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.ROUTER)
    daq.bind(endpoints.of("source"))
    told: list[str] = []
    link = SourceLink(endpoints, READY, tell=told.append)
    try:
        link.poll()
        identity, _ = daq.recv_multipart()
        for message in (Refused(reason="modules: 9"), Refused(reason="modules: 9")):
            daq.send_multipart([identity, encode(message)])
        daq.send_multipart([identity, encode(Welcome(version=9))])
        daq.send_multipart([identity, encode(Welcome())])
        while not link.welcomed:
            link.poll(1.0)
        assert told[0] == "the daq refused what was sent: modules: 9"
        assert "Welcome has message version 9" in told[1]
        assert len(told) == 2
    finally:
        link.close()
        daq.close()
