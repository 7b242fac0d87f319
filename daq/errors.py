"""The daq's errors. Each message says what happened, where, and what to do next."""

from __future__ import annotations

from hw.errors import TomoshibiError


class DaqError(TomoshibiError):
    """Base of all errors of the acquisition."""


class LogError(DaqError):
    """A log file whose content is not what it claims to be."""


class StorageError(DaqError):
    """The disk refused to take data: full, gone or read-only."""


class RunError(DaqError):
    """A command that the run's state or its folder does not allow."""


class ServiceError(DaqError):
    """The service cannot run: an address is taken, say, or a message is unusable."""


class ImportDataError(DaqError):
    """Third-party data that cannot be turned into a run."""
