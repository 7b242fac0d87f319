"""Makes runs, and tells all who work on a run of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from daq.errors import StorageError
from daq.folder.identity.identity_file import Identity, read_identity, write_identity
from daq.folder.identity.study_file import Study, read_study, write_study
from daq.folder.journal import Journal
from daq.folder.run_config import RunConfig
from daq.service.data_sources import Sources
from daq.service.entrance.refusal import Refusal
from daq.service.event_stream import EventStream
from daq.service.imager_link import ImagerLink
from daq.service.own_calibration import calibrated
from daq.service.run import Run
from hw.notices.catalogue import notice
from hw.physics.nuclides import nuclide_in

PICTURES = (".png", ".part")
"""What a console writes into a run's folder: its pictures, and one that it is about to name."""


def of_its_tracer(config: RunConfig, study: Study | None) -> RunConfig:
    """Return a configuration that has the nuclide of the study's tracer; raises RunError where it
    has another one already."""
    nuclide = None if study is None else nuclide_in(study.tracer)
    if nuclide is None or study is None:
        return config
    planned = str(config.labels.get("nuclide") or "")
    if planned and nuclide.name not in planned:  # which may be a mixture
        raise Refusal(notice("refused.tracer", tracer=study.tracer, planned=planned))
    labels = config.labels | {"nuclide": planned or nuclide.name}
    return msgspec.structs.replace(config, labels=labels)


class RunOpener:
    """Makes a run's folder and logs, opens the journal there, and announces the run.

    Parameters
    ----------
    runs_root : the folder for new runs
    journal : of the service, which goes on in the run's folder
    sources : that are attached
    imager : the live imager
    events : the stream of events for clients
    """

    def __init__(
        self,
        runs_root: Path,
        journal: Journal,
        *,
        sources: Sources,
        imager: ImagerLink,
        events: EventStream,
    ) -> None:
        self._root, self._journal = runs_root, journal
        self._sources, self._imager, self._events = sources, imager, events
        self._asked: RunConfig | None = None

    def new(self, config: RunConfig, identity: Identity | None, study: Study | None = None) -> Run:
        """Make a run, with the calibration of the instrument that is attached.

        identity : whom the run is about, kept in its folder and nowhere else
        study : weight, activity and the like, which name nobody

        Raises
        ------
        RunError, StorageError
        """
        serial = self._sources.serial if self._sources.present else config.serial
        self._asked = config
        return self._open(calibrated(config, serial), identity, study)

    def _open(
        self,
        config: RunConfig,
        identity: Identity | None,
        study: Study | None,
        *,
        folder: Path | None = None,
    ) -> Run:
        run = Run(config, self._root, folder=folder)
        self._announce(run)
        if run.calibration:
            self._journal.tell(notice("run.calibrated", set=run.calibration.identity))
        else:
            self._journal.tell(notice("run.uncalibrated", why=run.config.uncalibrated))
        try:
            if identity is not None:
                write_identity(run.folder, identity)
            if study is not None:
                write_study(run.folder, study)
            run.study = study
        except BaseException:
            run.abandon()
            raise
        return run

    def again(self, folder: Path) -> Run:
        """Go on with a run whose daq died; raises DaqError."""
        run = Run.resumed(folder)
        self._asked = None
        self._announce(run)
        return run

    def _announce(self, run: Run) -> None:
        try:
            self._journal.open(run.folder)
            if self._journal.file is not None:
                run.guard.add(self._journal.file)
        except BaseException:
            run.abandon()
            raise
        run.disk.beside = self._journal.sync
        self._imager.start(run)
        self._events.start(run.name)

    def for_this_source(self, run: Run) -> Run:
        """Return an armed run, or one of its name for the source that came after arming.

        Its logs hold nothing yet but a head that names another instrument's calibration, or none,
        and lacks the labels that only the source knows.
        """
        serial, asked = self._sources.serial, self._asked
        known = self._sources.labels
        open_labels = [k for k, value in run.config.labels.items() if value is None and k in known]
        if asked is None or (serial == run.config.serial and not open_labels):
            return run
        labels = asked.labels | {key: known[key] for key in open_labels}
        asked = msgspec.structs.replace(asked, name=run.name, run_tag=run.run_tag, labels=labels)
        config = calibrated(asked, serial)
        run.put_away()
        self._journal.close()
        identity, study = read_identity(run.folder), read_study(run.folder)
        _empty(run.folder)
        return self._open(config, identity, study, folder=run.folder)


def _empty(folder: Path) -> None:
    """Delete what a run that never started wrote; raises StorageError.

    The folder stays: a console that photographs into it would make one of its name meanwhile, and
    the run would be refused. Its pictures stay, too.
    """
    try:
        for entry in folder.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.suffix not in PICTURES:
                entry.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"cannot empty {folder}: {error.strerror}") from error
