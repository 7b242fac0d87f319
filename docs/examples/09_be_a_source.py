"""Be a source: a digitizer that speaks the protocol to a running acquisition.

Each module sends one data frame for every period of 5.24 ms, empty ones too: they say that it lives
and move time on. A frame is a 64-byte header and event words of 64 bits (docs/protocol.md). Beside
the data there is the source's own line: Hello, wait for Start, and at the end a report of what was
sent, so that the daq can close its sums.

    tomoshibi acquire --preset bench2 --auto --duration 1
    python 09_be_a_source.py [ENDPOINT]
"""

import sys

import numpy as np
import zmq

from hw.messages.endpoints import Endpoints, default_base
from hw.messages.source import Hello, SourceReport, Start, Stop
from hw.messages.source_link import SourceLink
from hw.wire.frames import new_header, seal_frame
from hw.wire.protocol import FLAG_FIRST, FLAG_LAST, FRAME_PERIOD_PS, FRAME_PERIOD_TICKS, pack_words

PAIRS = 200  # of annihilation photons a period; back to back between two facing modules
endpoints = Endpoints(sys.argv[1] if len(sys.argv) > 1 else default_base())
link = SourceLink(endpoints, Hello(kind="digitizer", scanner="bench2", modules=2))
while not (starts := [o for o in link.poll(0.1) if isinstance(o, Start)]):
    pass  # poll says Hello again and again: it does not matter who started first
order = starts[0]
periods = max(1, round((order.duration_s or 1.0) * 1e12 / FRAME_PERIOD_PS))
print(f"start: {periods} periods", flush=True)

sockets = []
for _ in range(2):  # one socket a module keeps each module's frames in order
    socket = zmq.Context.instance().socket(zmq.PUSH)
    socket.setsockopt(zmq.SNDTIMEO, 10_000)
    socket.connect(endpoints.of("data"))
    sockets.append(socket)

rng, sent = np.random.default_rng(1), 0
for period in range(periods):
    last = period == periods - 1 or any(isinstance(o, Stop) for o in link.poll())
    ticks = np.sort(rng.integers(0, FRAME_PERIOD_TICKS - 100, PAIRS))
    for module, socket in enumerate(sockets):
        words = pack_words(
            time_ticks=ticks + rng.integers(0, 10, PAIRS),  # 19.5 ps each
            crystal=rng.integers(0, 64, PAIRS),
            energy_dkeV=rng.normal(5110, 200, PAIRS).round(),
        )
        flags = (FLAG_FIRST if period == 0 else 0) | (FLAG_LAST if last else 0)
        header = new_header(
            module, period, period, run_tag=order.run_tag, events_before=sent, flags=flags
        )
        socket.send(seal_frame(header, words))
    sent += PAIRS
    if last:
        break
frames = [period + 1] * 2
link.report(SourceReport(run_tag=order.run_tag, singles_emitted=[sent] * 2, frames_sent=frames,
                         dead_events=[0, 0]))  # fmt: skip
print(f"sent {sum(frames)} frames with {2 * sent} singles")
for socket in sockets:
    socket.close(linger=5000)
link.close()
