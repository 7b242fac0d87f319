"""Follow a live run: its events, counters and image as they come, without disturbing it.

Displays (telemetry, image) give the newest and drop the rest; the event stream is complete or says
what it lost. Both are subscriptions: the run does not wait for you. ``tomoshibi demo`` tells its
address, as does ``tomoshibi acquire``.

    python 08_follow_a_live_run.py [ENDPOINT]
"""

import sys
import time

import numpy as np

from daq.client.client import DisplayClient
from daq.client.event_reader import EventReader
from hw.messages.endpoints import Endpoints, default_base

endpoints = Endpoints(sys.argv[1] if len(sys.argv) > 1 else default_base())
display = DisplayClient(endpoints)
energy_keV = np.zeros(700, dtype=np.int64)
quiet_after_s = 60.0
deadline = time.monotonic() + quiet_after_s

with EventReader(endpoints, "prompts") as reader:
    print(f"following {endpoints.base}", flush=True)
    while not reader.tally.finished and time.monotonic() < deadline:
        records = reader.read(timeout_s=0.2)  # (n,) COINCIDENCE, read-only
        if records is not None:
            energy_keV += np.bincount(records["energy_a"] // 10, minlength=700)[:700]
            deadline = time.monotonic() + quiet_after_s
        image = display.image()
        if image is not None and image.shape[0]:
            age_s = (time.monotonic_ns() - image.event_wall_ns) * 1e-9
            applied = [name for name, on in image.corrections.items() if on]
            print(f"image of {image.prompts_used} prompts, {age_s:.2f} s old: {applied}")
        telemetry = display.telemetry()
        if telemetry is not None and telemetry.state == "running" and records is not None:
            rate = telemetry.rates.get("prompts", 0.0)
            print(f"{telemetry.detector_time_s:.2f} s: {rate:.0f} prompts/s", flush=True)

tally = reader.tally
print(f"run {tally.run}: {tally.records} prompts, {tally.lost} lost, finished {tally.finished}")
print(f"spectrum peaks at {energy_keV.argmax()} keV")
display.close()
