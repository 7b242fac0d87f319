"""Endpoints: an address for each plane from one base; nothing that leaves this machine."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.messages.endpoints import PLANES, EndpointError, Endpoints, default_base


@pytest.fixture(autouse=True)
def no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOMOSHIBI_KEYS", str(tmp_path / "no keys"))
    monkeypatch.delenv("TOMOSHIBI_KEY_FILE", raising=False)


def test_tcp_planes_take_consecutive_ports_in_their_order() -> None:
    endpoints = Endpoints("tcp://127.0.0.1:7100")
    assert [endpoints.of(plane) for plane in PLANES] == [
        f"tcp://127.0.0.1:{7100 + number}" for number in range(len(PLANES))
    ]


@given(st.integers(1024, 65535 - len(PLANES)))
def test_every_plane_has_a_port_of_its_own_within_16_bits(port: int) -> None:
    ports = [int(Endpoints(f"tcp://localhost:{port}").of(p).rpartition(":")[2]) for p in PLANES]
    assert ports == list(range(port, port + len(PLANES)))
    assert ports[-1] < 65536


def test_ipv6_loopback_keeps_its_brackets() -> None:
    assert Endpoints("tcp://[::1]:7100").of("source") == "tcp://[::1]:7101"


def test_ipc_planes_are_sockets_in_one_folder_that_is_the_users_own(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "system"
    endpoints = Endpoints(f"ipc://{folder}")
    assert not folder.exists()
    assert endpoints.of("control") == f"ipc://{folder}/control"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("base", "reason"),
    [
        ("", "use ipc:///some/folder or tcp://127.0.0.1:PORT"),
        ("/tmp/somewhere", "use ipc:///some/folder"),
        ("udp://127.0.0.1:7100", "use ipc:///some/folder"),
        ("ipc://relative/folder", "the ipc folder must be absolute"),
        ("ipc:///tmp/" + 90 * "x", "path too long for a socket, use /tmp"),
        ("ipc:///tmp/" + 45 * "é", "path too long for a socket, use /tmp"),
        ("ipc:///tmp/a\0b", "a path cannot hold a null byte"),
        ("tcp://0.0.0.0:7100", "0.0.0.0 is not this machine.*without a key.*keys make.*ssh -L"),
        ("tcp://*:7100", "is no machine's name.*take 0.0.0.0"),
        ("tcp://192.168.1.5:7100", "192.168.1.5 is not this machine.*ssh -L"),
        ("tcp://127.0.0.1.example.org:7100", "is not this machine"),
        ("tcp://:7100", "None is no machine's name"),
        ("tcp://127.0.0.1", "port must be in 1024..65525"),
        ("tcp://127.0.0.1:80", "port must be in 1024..65525"),
        ("tcp://127.0.0.1:65526", "port must be in 1024..65525"),
        ("tcp://127.0.0.1:99999", "Port out of range"),
        ("tcp://127.0.0.1:many", "Port could not be cast"),
        ("tcp://[::1", "Invalid IPv6 URL"),
    ],
)
def test_an_unusable_address_is_refused_with_the_reason(base: str, reason: str) -> None:
    with pytest.raises(EndpointError, match=reason) as refusal:
        Endpoints(base)
    assert repr(base) in str(refusal.value)


@given(st.text(max_size=40) | st.text(max_size=40).map("tcp://".__add__))
def test_any_text_is_an_address_or_an_endpoint_error(base: str) -> None:
    try:
        Endpoints(base)
    except EndpointError as error:
        assert str(error).startswith("endpoint ")


def test_the_environment_names_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOMOSHIBI_ENDPOINT", "tcp://127.0.0.1:7300")
    assert default_base() == "tcp://127.0.0.1:7300"


def test_the_default_is_a_folder_of_this_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TOMOSHIBI_ENDPOINT", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert default_base().startswith(f"ipc://{tmp_path}/tomoshibi-")


def test_a_folder_of_another_user_is_refused(tmp_path, monkeypatch):
    own = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: own + 1)
    with pytest.raises(EndpointError, match="another user"):
        Endpoints(f"ipc://{tmp_path}").of("data")
