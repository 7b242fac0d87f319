"""The error of reading or writing other programs' formats."""

from __future__ import annotations

from recon.core.grid import ReconError


class ExchangeError(ReconError):
    """A file cannot be written, or read as its format; the message says what to do next."""
