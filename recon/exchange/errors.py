"""What the exchange with other programs' formats refuses."""

from __future__ import annotations

from recon.core.grid import ReconError


class ExchangeError(ReconError):
    """A file that cannot be written, or read as what it claims to be; says what to do next."""
