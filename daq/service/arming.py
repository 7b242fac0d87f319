"""Arming by command: interprets its arguments for :class:`daq.service.run_life.RunLife`.

Without arguments the last configuration is armed once more. ``protocol`` is one that the daq has,
by ``NAME`` or ``NAME@VERSION``, or a whole one, or None for none; other arguments override it.
``again`` repeats the run that has just been closed, with the same patient.
"""

from __future__ import annotations

from typing import Any

import msgspec

from daq.errors import RunError
from daq.folder.identity.identity_file import (
    Identity,
    identity_of,
    read_identity,
    refuse_identifying,
)
from daq.folder.identity.study_file import Study, read_study, study_of
from daq.folder.protocols.planned_config import planned, unplanned
from daq.folder.protocols.shelf import Shelf
from daq.folder.run_config import RunConfig, config_from_args
from daq.service.entrance.given_paths import GivenPaths
from daq.service.entrance.refusal import Refusal
from daq.service.run import Run
from daq.service.run_life import RunLife
from hw.messages.scan_protocol import ScanProtocol
from hw.notices.catalogue import notice
from hw.scanner.protocol_text import ProtocolError, protocol_of


class Arming:
    """Arms runs by command."""

    def __init__(self, life: RunLife, given: GivenPaths) -> None:
        self._life, self._given = life, given

    def arm(self, arguments: dict[str, Any]) -> Run:
        """Arm a run; raises DaqError or SettingsError with the remedy."""
        args = dict(arguments)
        if args.pop("again", False):
            return self._again(args)
        aside = args.pop("aside", False) is True
        identity = identity_of(args.pop("identity")) if "identity" in args else None
        study = study_of(args.pop("study")) if "study" in args else None
        config = self._given.checked(self._config(args)) if args else None
        return self._armed(config, identity, study, aside=aside)

    def _armed(
        self,
        config: RunConfig | None,
        identity: Identity | None,
        study: Study | None,
        *,
        aside: bool = False,
    ) -> Run:
        refuse_identifying(config.name if config else "", config.labels if config else {}, identity)
        return self._life.arm(config, identity, study, aside=aside)

    def _again(self, args: dict[str, Any]) -> Run:
        """Arm the closed run's configuration, for the same patient in the same position."""
        self._life.require("closed")
        run, template = self._life.run, self._life.template
        if args:
            raise RunError(f"arm: again repeats the last run as it was; leave {min(args)} out")
        if run is None or template is None:
            raise Refusal(notice("refused.nothing_again"))
        position = run.config.patient_position
        config = msgspec.structs.replace(template, patient_position=position)
        return self._armed(config, read_identity(run.folder), read_study(run.folder))

    def _config(self, args: dict[str, Any]) -> RunConfig:
        if "protocol" not in args or "scanner_toml" in args:
            return config_from_args(args, self._life.template)
        base = self._planned(args.pop("protocol"))
        return config_from_args(args, base) if args else base

    def _planned(self, wanted: Any) -> RunConfig:
        template, plain = self._life.template, self._life.plain
        if template is None:
            raise Refusal(notice("refused.no_scanner"))
        if wanted is not None:
            return planned(template, _protocol(wanted))
        is_the_scanners = plain is not None and plain.scanner_toml == template.scanner_toml
        return plain if plain is not None and is_the_scanners else unplanned(template)


def _protocol(wanted: Any) -> ScanProtocol:
    try:
        return Shelf().find(wanted) if isinstance(wanted, str) else protocol_of(wanted)
    except ProtocolError as error:
        raise RunError(f"arm: {error}") from error
