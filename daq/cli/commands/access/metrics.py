"""Serve a running system's rates, counters, live times and alarms for Prometheus.

A process of its own beside the acquisition, which it cannot slow down: it subscribes as a console
does. It answers GET /metrics, on this machine alone unless --address names another of its
addresses; anybody who reaches that may read. No run, patient or person is named in what it says.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

from daq.cli.common import CommandError, add_json_option, finish, tell, whole
from daq.cli.which_system import add_running_option, endpoint_of

if TYPE_CHECKING:
    from daq.client.client import DisplayClient
    from hw.messages.telemetry import Telemetry

EXAMPLES = """\
examples:
  tomoshibi metrics                      http://127.0.0.1:9464/metrics
  tomoshibi metrics --port 9500 --address 10.0.0.7

in prometheus.yml:
  scrape_configs: [{job_name: tomoshibi, static_configs: [{targets: ["127.0.0.1:9464"]}]}]
"""

LOOPBACK, PORT = "127.0.0.1", 9464
FRESH_S = 3.0
"""What is older is no answer of the acquisition's."""
SLOW_CLIENT_S = 3.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--port", type=whole, default=PORT, help="default: %(default)s")
    parser.add_argument("--address", default=LOOPBACK,
                        help="of this machine, to listen at (default: %(default)s)")  # fmt: skip
    add_running_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Serve until told to leave."""
    from daq.client.client import DisplayClient
    from hw.messages.endpoints import Endpoints

    try:
        import daq.client.prometheus_text  # noqa: F401  (each answer needs it)
    except ImportError as error:
        raise CommandError(
            f"metrics needs prometheus-client: ./tomoshibi setup lab ({error})"
        ) from error
    display = DisplayClient(Endpoints(endpoint_of(options)))
    with contextlib.closing(display), _server(options, Newest(display)) as server:
        leave = False

        def told(*_: object) -> None:
            nonlocal leave
            leave = True

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, told)
        host, port = server.server_address[:2]
        tell(f"http://{host!s}:{port}/metrics; Ctrl-C ends")
        if host != LOOPBACK:
            tell("note: whoever reaches this address may read rates and alarms")
        while not leave:
            server.handle_request()
        finish(options, {"answered": server.answered}, f"answered {server.answered} times")
    return 0


class Newest:
    """The newest telemetry, while it is fresh."""

    def __init__(self, display: DisplayClient) -> None:
        self._display = display
        self._last: Telemetry | None = None
        self._at_s = 0.0

    def __call__(self) -> Telemetry | None:
        """Return it; None where nothing came for a while."""
        found = self._display.telemetry(timeout_s=0.5)
        if found is not None:
            self._last, self._at_s = found, time.monotonic()
        return self._last if time.monotonic() - self._at_s < FRESH_S else None


class Server(HTTPServer):
    """Answers one request after another, each within a bounded time."""

    timeout = 0.2

    def __init__(self, place: tuple[str, int], newest: Newest) -> None:
        self.newest, self.answered = newest, 0
        super().__init__(place, _Answer)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that went away is its own affair."""


class _Answer(BaseHTTPRequestHandler):
    server: Server
    timeout = SLOW_CLIENT_S
    server_version, sys_version = "tomoshibi", ""

    def do_GET(self) -> None:
        from daq.client.prometheus_text import CONTENT_TYPE, metrics_text

        if self.path.split("?")[0] != "/metrics":
            self.send_error(404, "only /metrics is here")
            return
        body = metrics_text(self.server.newest()).encode()
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.server.answered += 1

    def log_message(self, *_: object) -> None:
        """Write no line for each request."""


def _server(options: argparse.Namespace, newest: Newest) -> Server:
    try:
        return Server((options.address, options.port), newest)
    except (OSError, OverflowError) as error:
        raise CommandError(
            f"{options.address}:{options.port} cannot be listened at: {error}; --port and "
            "--address name another"
        ) from error
