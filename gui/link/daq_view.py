"""The console's view of the daq: newest telemetry, image, projections, modules, and their ages.

Telemetry older than a second is no longer "the state": the link is then ``silent``, a condition
that every display shows. Ages are measured with this machine's clock; the publisher's
``CLOCK_MONOTONIC`` is mapped to it by the least delay seen, so that a console behind an ssh tunnel,
on a machine with another boot time, still shows true ages.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, TypeVar

from daq.client.client import DisplayClient
from gui.link.plausible import (
    check_image,
    check_modules,
    check_projections,
    check_telemetry,
)
from hw.messages.base import MessageError
from hw.messages.endpoints import Endpoints
from hw.messages.modules import ModuleStates
from hw.messages.pictures import ImageMessage, Projections
from hw.messages.telemetry import Telemetry

SILENT_AFTER_S = 1.0

LinkState = Literal["waiting", "connected", "silent"]
Received = TypeVar("Received")


class Link:
    """Polls the display plane; ``poll`` never blocks."""

    def __init__(
        self, endpoints: Endpoints, *, clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._client = DisplayClient(endpoints)
        self._clock_ns = clock_ns
        self._heard_ns = 0
        self._clock_lead_ns: int | None = None
        self.telemetry: Telemetry | None = None
        self.image: ImageMessage | None = None
        self.projections: Projections | None = None
        self.modules: ModuleStates | None = None
        self._modules_heard_ns = 0
        self.fault = ""
        self.telemetries = 0
        self.images = 0

    def poll(self) -> tuple[bool, bool]:
        """Receive all messages; return whether telemetry and image are new."""
        return self._poll_telemetry(), self.poll_image()

    def _newest(
        self, receive: Callable[[], Received | None], check: Callable[[Received], None]
    ) -> Received | None:
        """Return what has come; of what cannot be read, ``fault`` says why."""
        try:
            message = receive()
            if message is not None:
                check(message)
        except MessageError as error:
            self.fault = str(error)
            return None
        return message

    def _poll_telemetry(self) -> bool:
        telemetry = self._newest(self._client.telemetry, check_telemetry)
        if telemetry is None:
            return False
        self.telemetry = telemetry
        self.telemetries += 1
        self.fault = ""
        self._heard_ns = self._clock_ns()
        lead_ns = self._heard_ns - telemetry.wall_ns
        if self._clock_lead_ns is None or lead_ns < self._clock_lead_ns:
            self._clock_lead_ns = lead_ns
        return True

    def poll_image(self) -> bool:
        """Receive a live image if one has come; return whether it is new."""
        image = self._newest(self._client.image, check_image)
        if image is None:
            return False
        self.image = image
        self.images += 1
        return True

    def poll_projections(self) -> bool:
        """Receive planar pictures if they have come; return whether they are new."""
        pictures = self._newest(self._client.projections, check_projections)
        self.projections = pictures or self.projections
        return pictures is not None

    def poll_modules(self) -> None:
        """Receive the state of firmware modules if it has come."""
        modules = self._newest(self._client.modules, check_modules)
        if modules is not None:
            self.modules = modules
            self._modules_heard_ns = self._clock_ns()

    @property
    def modules_age_s(self) -> float:
        """Seconds since the modules' state arrived (0 before the first)."""
        return (self._clock_ns() - self._modules_heard_ns) * 1e-9 if self.modules else 0.0

    @property
    def state(self) -> LinkState:
        """Whether the daq was heard within the last second, before it, or never."""
        if self.telemetry is None:
            return "waiting"
        return "connected" if self.age_s <= SILENT_AFTER_S else "silent"

    @property
    def age_s(self) -> float:
        """Seconds since the last telemetry arrived (0 before the first)."""
        return (self._clock_ns() - self._heard_ns) * 1e-9 if self.telemetry else 0.0

    @property
    def image_age_s(self) -> float:
        """Seconds since the image was published (0 without one)."""
        return self._since_s(self.image.published_wall_ns) if self.image else 0.0

    @property
    def projections_age_s(self) -> float:
        """Seconds since the planar pictures were published (0 without any)."""
        return self._since_s(self.projections.published_wall_ns) if self.projections else 0.0

    @property
    def now_ns(self) -> int:
        """The present time on the publisher's clock, as far as known."""
        return self._clock_ns() - (self._clock_lead_ns or 0)

    def _since_s(self, published_wall_ns: int) -> float:
        age_ns = self.now_ns - published_wall_ns
        return max(0.0, age_ns * 1e-9)

    @property
    def projections_are_of_run(self) -> bool:
        """Whether the planar pictures belong to the telemetry's run."""
        pictures, telemetry = self.projections, self.telemetry
        return bool(pictures and telemetry and pictures.run == telemetry.run)

    @property
    def single_photons(self) -> bool:
        """Whether the daq's run sorts no coincidences: the console then shows projections."""
        settings = self.telemetry.settings if self.telemetry else None
        return settings is not None and not settings.sorts_coincidences

    @property
    def image_is_of_run(self) -> bool:
        """Whether the image belongs to the telemetry's run."""
        return bool(self.image and self.telemetry and self.image.run == self.telemetry.run)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
