"""The daq's side of the imager's planes, and the real service in a thread."""

from __future__ import annotations

import threading
from pathlib import Path

import zmq

from hw.messages.codec import decode_as
from hw.messages.endpoints import Endpoints
from hw.messages.imager import ImagerReport
from hw.messages.pictures import ImageMessage
from recon.imager.service import LiveService


class DaqSide:
    """The daq's side of the planes, for one service in a thread."""

    def __init__(self, folder: Path) -> None:
        self.endpoints = Endpoints(f"ipc://{folder}")
        context = zmq.Context.instance()
        self.stream, self.reports = context.socket(zmq.PUSH), context.socket(zmq.PULL)
        self.images = context.socket(zmq.SUB)
        for socket in (self.stream, self.reports, self.images):
            socket.setsockopt(zmq.LINGER, 0)
        self.stream.bind(self.endpoints.of("coincidences"))
        self.reports.bind(self.endpoints.of("reports"))
        self.images.setsockopt(zmq.SUBSCRIBE, b"")
        linked = self.images.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        self.images.connect(self.endpoints.of("images"))
        self.service = LiveService(self.endpoints)
        self.thread = threading.Thread(target=self.service.serve)
        self.thread.start()
        assert linked.poll(10_000), "no link"  # an image that is published before it is lost
        self.images.disable_monitor()
        linked.close()

    def close(self) -> None:
        self.service.leave()
        self.thread.join(5.0)
        for socket in (self.stream, self.reports, self.images):
            socket.close()

    def report(self, *, final: bool) -> ImagerReport:
        """Return the next report that is final or not."""
        for _ in range(50):
            assert self.reports.poll(60_000), "no report"
            report = decode_as(ImagerReport, self.reports.recv())
            if report.final == final:
                return report
        raise AssertionError("no such report")

    def image(self, *, final: bool) -> ImageMessage:
        """Return the next image that is final or not."""
        for _ in range(200):
            assert self.images.poll(60_000), "no image"
            image = decode_as(ImageMessage, self.images.recv())
            if image.final == final:
                return image
        raise AssertionError("no such image")
