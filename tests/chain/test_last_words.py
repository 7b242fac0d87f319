"""Displays learn how a run ended, also where the daq leaves right after it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from daq.client.client import DisplayClient
from daq.folder.run_config import RunConfig, default_settings
from daq.service import service as loop
from daq.service.service import DaqService
from hw.messages.endpoints import Endpoints
from hw.messages.telemetry import Telemetry
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text
from rigs.acquisition_process import WAIT_S, wait_until

NEVER_S = 3600.0
QUIET_S = 0.4
"""Above both cadences."""


@pytest.fixture
def automatic(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], SimpleNamespace]]:
    """Serve a preset in a thread: one run, then the service leaves."""
    running: list[tuple[DaqService, threading.Thread]] = []

    def serve(preset: str) -> SimpleNamespace:
        folder = tmp_path_factory.mktemp("q")
        scanner = load_scanner(preset)
        template = RunConfig(
            scanner_toml=scanner_to_toml_text(preset),
            settings=default_settings(scanner, nuclides=["Tc-99m"]),
        )
        endpoints = Endpoints(f"ipc://{folder}/ipc")
        service = DaqService(endpoints, runs_root=Path(folder / "runs"), template=template)
        service.automatic = True
        thread = threading.Thread(target=service.serve)
        thread.start()
        running.append((service, thread))
        return SimpleNamespace(endpoints=endpoints, thread=thread, modules=scanner.n_modules)

    yield serve
    for service, thread in running:
        service.leave()
        thread.join(WAIT_S)


@pytest.mark.parametrize(("preset", "has_pictures"), [("bench2", False), ("gamma_head_lehr", True)])
def test_the_last_telemetry_and_pictures_of_an_automatic_run_say_that_it_has_closed(
    automatic, source, monkeypatch, preset: str, has_pictures: bool
) -> None:
    daq = automatic(preset)
    with closing(DisplayClient(daq.endpoints)) as display:
        wait_until(lambda: display.telemetry() is not None, "telemetry")
        monkeypatch.setattr(loop, "TELEMETRY_S", NEVER_S)
        wait_until(lambda: display.telemetry(QUIET_S) is None, "no telemetry but the last")
        modules = source(daq, scanner=preset, modules=daq.modules)
        modules.wait_for_start()
        if has_pictures:
            wait_until(lambda: display.projections() is not None, "planar pictures")
            monkeypatch.setattr(loop, "PICTURES_S", NEVER_S)
            wait_until(lambda: display.projections(QUIET_S) is None, "no pictures but the last")
        modules.send_periods(3)
        modules.finish()
        daq.thread.join(WAIT_S)
        last: Telemetry | None = display.telemetry(1.0)
        pictures = display.projections(1.0)
    assert last is not None and last.state == "closed"
    assert (pictures is not None and pictures.final) == has_pictures
