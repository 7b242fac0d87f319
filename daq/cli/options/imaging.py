"""Options that say how a run is imaged while it lasts, shared by demo, acquire and imager."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hw.messages.live_settings import LiveSettings


def add_live_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; each defaults to None, which changes nothing."""
    from hw.messages.corrections import SWITCHES

    group = parser.add_argument_group("live image")
    group.add_argument("--live-window", metavar="WINDOW",
                       help="events that it is made of: grow (all since the start), slide:60s (the "
                            "last 60 s), forget:30s (half-life 30 s); the console changes it "
                            "while the run goes on (default: grow)")  # fmt: skip
    group.add_argument("--live-frames", type=float, metavar="S",
                       help="length of the short dynamic frames beside it; 0: none "
                            "(default: 10)")  # fmt: skip
    group.add_argument("--attenuation", choices=("auto", "map", "contour", "none"),
                       help="by the run's µ map; by a head contour found in the early image; auto: "
                            "the map where there is one")  # fmt: skip
    group.add_argument("--live-off", action="append", default=[], choices=SWITCHES,
                       metavar="CORRECTION",
                       help=f"leave a correction out: {', '.join(SWITCHES)} "
                            "(repeatable)")  # fmt: skip
    group.add_argument("--live-activity", metavar="FILE",
                       help="activity calibration (`tomoshibi calibrate activity`): the image is "
                            "then in Bq/mL")  # fmt: skip


def live_settings(
    options: argparse.Namespace, over: LiveSettings | None = None
) -> LiveSettings | None:
    """Return the settings in the options, laid over others; None if none is given.

    Raises
    ------
    CommandError
        naming what is wrong and what is allowed.
    """
    import msgspec

    from daq.cli.common import CommandError
    from hw.messages.live_settings import LiveSettings
    from hw.messages.sort_settings import SettingsError

    values: dict[str, Any] = {
        "window": options.live_window,
        "frame_s": options.live_frames,
        "attenuation": options.attenuation,
        "off": options.live_off or None,
        "activity": options.live_activity and str(Path(options.live_activity).resolve()),
    }
    if options.live_activity and not Path(options.live_activity).is_file():
        raise CommandError(
            f"--live-activity {options.live_activity}: there is no such file; `tomoshibi calibrate "
            "activity` makes one"
        )
    given = {name: value for name, value in values.items() if value is not None}
    if not given:
        return None
    try:
        return msgspec.convert(
            {**msgspec.to_builtins(over or LiveSettings()), **given}, LiveSettings
        )
    except (msgspec.ValidationError, SettingsError) as error:
        raise CommandError(f"live image: {error}") from error
