"""The source's side of the source plane: what it says of itself, and when."""

from __future__ import annotations

from pathlib import Path

import zmq

from hw.messages.codec import decode
from hw.messages.endpoints import Endpoints
from hw.messages.source import Hello
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
