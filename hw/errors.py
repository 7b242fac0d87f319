"""The base of all our errors: those shown to the user as one line.

Each room's own base derives from :class:`TomoshibiError`; the message says what, where and what to
do next. Anything else that reaches the command line is a bug and keeps its traceback.
"""

from __future__ import annotations


class TomoshibiError(Exception):
    """An error that the user can do something about; the message says what."""


class FileWriteError(TomoshibiError):
    """A file or folder that could not be written; nothing half-written is left behind."""
