"""A daq in a thread of this process, so that its parts can be spoilt."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any, Self

from daq.client.client import ControlClient
from daq.folder.raw_log import RawLogReader
from daq.folder.run_config import RunConfig, default_settings
from daq.service.service import DaqService
from hw.messages.endpoints import Endpoints
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text
from rigs.acquisition_process import wait_until


class DaqInThread:
    """A daq whose parts can be spoilt: real sockets, real files, its loop in a thread."""

    def __init__(self, folder: Path) -> None:
        self.endpoints = Endpoints(f"ipc://{folder}/ipc")
        settings = default_settings(load_scanner("bench2"))
        config = RunConfig(scanner_toml=scanner_to_toml_text("bench2"), settings=settings)
        self.service = DaqService(self.endpoints, runs_root=folder / "runs", template=config)
        self.control = ControlClient(self.endpoints)
        self._thread = threading.Thread(target=self.service.serve)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start_run(self, source: Any) -> Path:
        folder = Path(self.control.call("arm")["run"])
        self.control.call("start")
        source.wait_for_start()
        return folder

    @property
    def run(self) -> Any:
        return self.service.life.run

    def recorded(self, count: int) -> None:
        wait_until(lambda: int(self.run.pipeline.links["received"].sum()) >= count, f"{count}")

    def finish(self, source: Any, folder: Path) -> dict[str, Any]:
        source.finish()
        wait_until(lambda: self.service.life.state in ("closed", "error"), "the run's end")
        return dict(json.loads((folder / "summary.json").read_text(encoding="utf-8")))

    def journal(self, folder: Path) -> str:
        return (folder / "journal.jsonl").read_text(encoding="utf-8")

    def close(self) -> None:
        self.control.close()
        self.service.leave()
        self._thread.join(30)


def frames_in(folder: Path) -> int:
    """Return how many frames a run's raw log holds."""
    return sum(len(frames) for frames in RawLogReader(folder / "raw.tmraw"))
