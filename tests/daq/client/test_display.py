"""A display is one that takes connections; a name alone is none."""

from __future__ import annotations

import socket

import pytest

from daq.client.display import why_no_window


@pytest.fixture(autouse=True)
def _no_display(monkeypatch, tmp_path):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def test_without_names_both_are_told():
    assert why_no_window() == "neither DISPLAY nor WAYLAND_DISPLAY is set"


@pytest.mark.parametrize("name", [":59173", "unix:59173.0", "localhost:59173", "nonsense", ":0x"])
def test_a_dead_display_is_told_with_its_name(name, monkeypatch):
    monkeypatch.setenv("DISPLAY", name)
    assert why_no_window() == f"nothing answers at DISPLAY={name}"


def test_one_of_two_that_answers_is_enough(monkeypatch, tmp_path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "wayland-7"))
        server.listen()
        monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-7")
        monkeypatch.setenv("DISPLAY", ":59173")
        assert why_no_window() == ""
    assert "DISPLAY=:59173 and WAYLAND_DISPLAY=wayland-7" in why_no_window()
