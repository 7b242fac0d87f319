"""Asking the service's daq for its state, as its user, since nobody else gets an answer."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from daq.cli.appliance.places import Places
from daq.cli.appliance.settings import ServiceSettings
from daq.cli.appliance.version_build import run_step
from daq.cli.common import CommandError
from hw.bounded_files import FileRefused, json_in

ANSWER_S = 20.0
"""For a process of ours to start, ask and print; its own question waits ``QUESTION_S``."""
QUESTION_S = 5.0


def user_environment(settings: ServiceSettings, places: Places) -> dict[str, str]:
    """Return the environment in which the service's user runs our commands."""
    return {
        "TOMOSHIBI_ENDPOINT": settings.base(places),
        "TOMOSHIBI_RUNS": str(settings.runs_folder(places)),
        "TOMOSHIBI_CACHE": str(places.cache),
        "XDG_CONFIG_HOME": str(places.state / "config"),
        "XDG_RUNTIME_DIR": str(places.runtime),
        "HOME": str(places.state),
    }


def ask(program: Path, settings: ServiceSettings, places: Places, *, leave: bool = False) -> str:
    """Return the daq's state, such as "idle", as a version's program hears it.

    leave : whether it is also to end, unless a run is under way

    Raises
    ------
    CommandError
        where it does not answer, or would not leave; with its reason
    """
    words = ["service", "ask", "--json", *(["--leave"] if leave else [])]
    user = pwd.getpwnam(settings.user).pw_uid
    text = run_step(
        [str(program), *words],
        within_s=ANSWER_S,
        what="asking the daq",
        environ=user_environment(settings, places),
        user=None if user == os.geteuid() else user,
    )
    try:
        return str(json_in(text.splitlines()[-1])["state"])
    except (FileRefused, IndexError, KeyError, TypeError) as error:
        raise CommandError(f"asking the daq: {program} printed no state") from error
