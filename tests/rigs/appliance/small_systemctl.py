"""A stand-in for ``systemctl`` and the part of systemd behind it, for machines without one.

It reads the real unit files and starts their real commands: environment, notification socket,
watchdog, restart with a limit, ``ExecStopPost``. Left out: sandbox, accounts, dependencies, logs.
Restarts come after 0.2 s, whatever the unit says. One process supervises each unit; it outlives
whoever ordered it, as systemd does.

    python small_systemctl.py STATE UNITS start|stop|restart|show|daemon-reload …
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

RESTART_S = 0.2
STOP_S = 15.0
LOOK_S = 0.05


def parsed(path: Path) -> dict[str, str]:
    """Return a unit's settings; of those that are given twice, the last."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def words(line: str) -> list[str]:
    """Return a command line's words, specifiers and variables put back."""
    return [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(line.lstrip("-"))]


def environment(unit: dict[str, str]) -> dict[str, str]:
    """Return the environment of a unit's processes."""
    pairs = shlex.split(unit.get("Environment", ""))
    if "EnvironmentFile" in unit:
        lines = Path(unit["EnvironmentFile"]).read_text(encoding="utf-8").splitlines()
        pairs += [shlex.split(line)[0] for line in lines if line and not line.startswith("#")]
    return dict(pair.split("=", 1) for pair in pairs)


class Supervisor:
    """One unit's process, started again as its unit says."""

    def __init__(self, state: Path, units: Path, name: str) -> None:
        self.state, self.path, self.name = state, units / name, name
        self.told = {"SupervisorPID": str(os.getpid()), "NRestarts": "0", "Result": "success"}
        self.leave = False
        self.starts: list[float] = []
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "leave", True))

    def tell(self, **news: str) -> None:
        """Write the state, whole."""
        self.told.update(news)
        part = self.state / f"{self.name}.part"
        part.write_text(json.dumps(self.told))
        part.replace(self.state / f"{self.name}.json")

    def run(self) -> None:
        """Start and start again, until told to stop or the limit is reached."""
        while not self.leave:
            unit = parsed(self.path)
            self.starts.append(time.monotonic())
            result, code, status = self.one_life(unit)
            env = {"SERVICE_RESULT": result, "EXIT_CODE": code, "EXIT_STATUS": status}
            if "ExecStopPost" in unit:
                subprocess.run(words(unit["ExecStopPost"]), env={**os.environ, **env}, check=False)
            if self.leave:
                break
            if len(self.starts) >= int(unit.get("StartLimitBurst", "5")):
                self.tell(ActiveState="failed", Result="start-limit-hit", MainPID="0")
                return
            self.tell(ActiveState="activating", SubState="auto-restart", Result=result,
                      NRestarts=str(len(self.starts)))  # fmt: skip
            time.sleep(RESTART_S)
        self.tell(ActiveState="inactive", SubState="dead", MainPID="0", InvocationID="")

    def one_life(self, unit: dict[str, str]) -> tuple[str, str, str]:
        """Run the process to its end; return result, code and status as systemd names them."""
        address = self.state / f"{self.name}.notify"
        address.unlink(missing_ok=True)
        watched = unit.get("Type") == "notify"
        silence_s = float(unit.get("WatchdogSec", "inf"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(str(address))
            listener.settimeout(LOOK_S)
            env = {**os.environ, **environment(unit)}
            if watched:
                env["NOTIFY_SOCKET"] = str(address)
                env["WATCHDOG_USEC"] = str(int(min(silence_s, 1e6) * 1e6))
            with (self.state / f"{self.name}.log").open("ab") as log:
                child = subprocess.Popen(words(unit["ExecStart"]), env=env, cwd="/", stdout=log,
                                         stderr=log, stdin=subprocess.DEVNULL)  # fmt: skip
            ready = not watched
            self.tell(ActiveState="active" if ready else "activating", MainPID=str(child.pid),
                      InvocationID=uuid.uuid4().hex, SubState="")  # fmt: skip
            return self.watch(child, listener, silence_s, watched)

    def watch(
        self,
        child: subprocess.Popen[bytes],
        listener: socket.socket,
        silence_s: float,
        watched: bool,
    ) -> tuple[str, str, str]:
        """Listen until the process ends, or is ended."""
        heard, hung, ready = time.monotonic(), False, False
        while child.poll() is None:
            if self.leave:
                child.terminate()
                try:
                    child.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    child.kill()
                break
            try:
                said = listener.recv(1000).decode()
            except TimeoutError:
                said = ""
            if said == "READY=1":
                ready = True
                self.tell(ActiveState="active", ActiveEnterTimestamp=f"@{int(time.time())}")
            if said:
                heard = time.monotonic()
            if watched and ready and time.monotonic() > heard + silence_s and not hung:
                hung = True
                child.send_signal(signal.SIGABRT)
                child.send_signal(signal.SIGCONT)
        code = child.wait()
        if hung:
            return "watchdog", "dumped", "ABRT"
        if code < 0:
            return "signal", "killed", signal.Signals(-code).name.removeprefix("SIG")
        return ("exit-code" if code else "success"), "exited", str(code)


def known(state: Path, name: str) -> dict[str, str]:
    """Return what is known of a unit."""
    try:
        return dict(json.loads((state / f"{name}.json").read_text()))
    except FileNotFoundError:
        return {"ActiveState": "inactive", "NRestarts": "0", "Result": "success"}


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def stop(state: Path, name: str) -> None:
    """Stop a unit, and wait for its end."""
    pid = int(known(state, name).get("SupervisorPID", "0"))
    if pid and alive(pid):
        os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + 2 * STOP_S
        while alive(pid) and time.monotonic() < end:
            time.sleep(LOOK_S)


def start(state: Path, units: Path, name: str) -> None:
    """Start a unit's supervisor, unless it runs; a target starts nothing here."""
    pid = int(known(state, name).get("SupervisorPID", "0"))
    if name.endswith(".target") or (pid and alive(pid)):
        return
    if known(state, name)["ActiveState"] == "failed":  # as systemd does within the interval
        print(f"{name}: start request repeated too quickly", file=sys.stderr)
        return
    (state / f"{name}.json").unlink(missing_ok=True)
    argv = [sys.executable, __file__, str(state), str(units), "supervise", name]
    with (state / f"{name}.log").open("ab") as log:
        subprocess.Popen(argv, start_new_session=True, stdout=log, stderr=log,
                         stdin=subprocess.DEVNULL)  # fmt: skip
    end = time.monotonic() + 10.0
    while not (state / f"{name}.json").exists() and time.monotonic() < end:
        time.sleep(LOOK_S)


def main() -> int:
    state, units = Path(sys.argv[1]), Path(sys.argv[2])
    order, *rest = sys.argv[3:]
    names = [word for word in rest if not word.startswith("--")]
    if order == "supervise":
        Supervisor(state, units, names[0]).run()
    for name in names:
        if order in ("stop", "restart"):
            stop(state, name)
        if order in ("start", "restart"):
            start(state, units, name)
        if order == "reset-failed" and known(state, name).get("ActiveState") == "failed":
            (state / f"{name}.json").unlink()
        if order == "show":
            print("\n".join(f"{key}={value}" for key, value in known(state, name).items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
