"""A run that cannot be gone on with is left to the recovery: nothing of it stays open."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daq.errors import StorageError
from daq.folder.run_config import RunConfig
from daq.replay.run_recovery import needs_recovery, recover
from daq.service.run import Run
from daq.service.run_life import RunLife
from daq.service.service import DaqService
from hw.messages.endpoints import Endpoints
from rigs.frames_factory import sent_run


@pytest.fixture
def service(tmp_path: Path) -> Iterator[DaqService]:
    made = DaqService(Endpoints(f"ipc://{tmp_path}/ipc"), runs_root=tmp_path / "runs")
    yield made
    made._sockets.close()


@pytest.fixture
def died(make_config: Callable[..., RunConfig], tmp_path: Path) -> Path:
    """A run whose daq was killed, in the folder of the runs."""
    run = Run(make_config(), tmp_path / "before")
    run.start()
    run.record(sent_run(n_modules=2, crystals_per_module=64).frames[:8])
    folder = tmp_path / "runs" / run.name
    shutil.copytree(run.folder, folder)
    run.put_away()
    return folder


@pytest.mark.parametrize(
    ("owner", "name"),
    [(Run, "start"), (RunLife, "_repeat"), (Run, "_go_on_behind"), (Run, "_open")],
    ids=["starting it", "its configuration", "reading its log", "opening its logs"],
)
def test_a_resume_that_fails_leaves_the_run_to_the_recovery(
    service: DaqService, died: Path, monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    def fail(*_: object) -> None:
        raise StorageError("the disk does not take it")

    with monkeypatch.context() as planted:
        planted.setattr(owner, name, fail)
        with pytest.raises(StorageError, match="does not take it"):
            service.life.resume(died)
    assert (service.life.state, service.life.run) == ("idle", None)
    assert needs_recovery(died)
    assert recover(died).summary["frames"]["received"] == 8  # refused while somebody records it
    service.life.journal.close()
