"""The base of every message between processes, with a version checked on arrival."""

from __future__ import annotations

import msgspec

from hw.errors import TomoshibiError

MESSAGE_VERSION = 3


class MessageError(TomoshibiError, ValueError):
    """A message that cannot be understood; says what arrived and what was expected."""


class Message(msgspec.Struct, kw_only=True, tag=True):
    """Base of all messages; ``version`` is checked on arrival."""

    version: int = MESSAGE_VERSION
