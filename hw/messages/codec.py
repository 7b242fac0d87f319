"""Encoding and decoding of all messages between processes, which are typed and versioned.

Messages live in ``hw`` because every room may import it and no room owns them (docs/adr/0002). A
message is one msgpack map (msgspec structs, tagged with their type's name); bulk arrays follow as
raw buffers or are ``bytes`` fields. Single events are never messages.

Planes (docs/architecture.md): *data* PUSH/PULL frames; *source* DEALER/ROUTER between the daq and
the emulator or firmware; *control* DEALER/ROUTER between clients and the daq; *coincidences*
PUSH/PULL daq to imager; *reports* PUSH/PULL imager to daq; *events* PUB/SUB, every prompt, delayed
and windowed single for whoever subscribes; *telemetry* and *images* PUB/SUB, latest only (images:
XPUB, which notices late subscribers).
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from hw.messages.base import MESSAGE_VERSION, Message, MessageError
from hw.messages.commands import Command, Reply
from hw.messages.imager import CoincidenceBatch, ImagerReport, RunBegin, RunEnd, SinglesBatch
from hw.messages.modules import ModuleAnswer, ModuleOrder, ModuleStates
from hw.messages.pictures import ImageMessage, Projections
from hw.messages.source import (
    FaultAnswer,
    FaultOrder,
    Heartbeat,
    Hello,
    OnDisk,
    Refused,
    Resume,
    SendAgain,
    Shutdown,
    SourceReport,
    Start,
    Stop,
    Welcome,
)
from hw.messages.telemetry import EventBatch, Telemetry

AnyMessage = (
    Hello | Welcome | Refused | Start | Stop | Shutdown | Heartbeat
    | FaultOrder | FaultAnswer | SourceReport
    | OnDisk | Resume | SendAgain
    | Command | Reply
    | RunBegin | CoincidenceBatch | SinglesBatch | RunEnd | ImagerReport | EventBatch
    | ImageMessage | Projections | Telemetry
    | ModuleStates | ModuleOrder | ModuleAnswer
)  # fmt: skip


class _Envelope(msgspec.Struct):
    """The fields that every version of every message has."""

    type: str
    version: int


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(AnyMessage)
_ENVELOPE_DECODER = msgspec.msgpack.Decoder(_Envelope)

# msgspec lets invalid UTF-8 and deep nesting through as Python's own errors.
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
M = TypeVar("M", bound=Message)


def encode(message: Message) -> bytes:
    """Return the message as msgpack bytes."""
    return _ENCODER.encode(message)


def decode(data: bytes | memoryview) -> AnyMessage:
    """Return the message in ``data``.

    Raises
    ------
    MessageError if it is not one of our messages, or of another version.
    """
    try:
        message = _DECODER.decode(data)
    except _UNREADABLE as error:
        _refuse_other_version(data)
        raise MessageError(f"not a message of this protocol: {error}") from error
    _check_version(type(message).__name__, message.version)
    return message


def _refuse_other_version(data: bytes | memoryview) -> None:
    """Raise a clear error if a message is unreadable only because its version differs."""
    try:
        envelope = _ENVELOPE_DECODER.decode(data)
    except _UNREADABLE:
        return
    _check_version(envelope.type, envelope.version)


def _check_version(name: str, version: int) -> None:
    if version != MESSAGE_VERSION:
        raise MessageError(
            f"{name} has message version {version}, this program "
            f"speaks {MESSAGE_VERSION}: start all processes from the same installation"
        )


def decode_as(kind: type[M], data: bytes | memoryview) -> M:
    """Decode and check that it is a ``kind``; raises :class:`MessageError` otherwise."""
    message = decode(data)
    if not isinstance(message, kind):
        raise MessageError(f"expected {kind.__name__}, got {type(message).__name__}")
    return message
