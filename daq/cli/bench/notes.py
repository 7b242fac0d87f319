"""The text beside the figures in the performance report: goals, what was tried, what limits."""

from __future__ import annotations

from typing import Any

from daq.cli.bench.firmware_speed import GOALS_PER_S as FIRMWARE_GOALS

GOALS_Msps = {
    "sorted_window_pairs_Msps": 500.0,
    "full_chain_disordered_Msps": 80.0,
    "full_chain_two_cores_Msps": 1.6 * 80.0,
    "frames_to_listmode_Msps": 50.0,
}

SORT = """\
One core, except for the figures named *two cores*: there the first stage has a thread of its own,
and the results are the same bits. `stages` are in millions of the singles that each stage is
given; ordering and pairing in the chain see the 60 % that the energy window leaves. `ratio_to`
compares the same work: window and pairs of ordered singles, or (strax) time order alone. The
memory limit is that of reading each single once and writing each prompt once; the chain is far
from it, because it does some 40 operations on each single and passes it through the cache eight
times.

What was tried for **window and pairs of ordered singles** (`coincidence/ordered.py`):

- one branch-free loop that carries the last accepted single in registers: a fifth slower than
  compacting times first and comparing contiguous ones, which the compiler does four at once;
- the whole array in one go: a quarter slower than pieces of 2¹⁷ singles, because the first touch
  of each page of working memory costs as much as the work done in it; blocks of 2048 to 16384
  singles, the longest being the best;
- the pairing kernel on all accepted singles: slower than on the few with a neighbour.

Of the time left, about a third is compacting the accepted, a third picking the close ones, and the
rest reading memory and pairing. Goal and figure differ from machine to machine by as much as they
do here.

What was tried for **the chain**: unsigned indices and two-word records (1.4 times as fast in all),
32-bit bucket counts, one to eight buckets a single, no pass for the range of times where the
watermark gives it; for the delayeds a walk of two indices, a bitmap of occupied time cells, and
comparing the few places where a partner would lie, the fastest. Counting the spectrum in two
copies, in a pass of its own, or together with the modules' counts gained nothing.

What was tried for **frames to a list-mode log**: unsigned indices and local counters in the
decoder (a fifth faster), one to eight periods of frames per batch. `frames_ns_a_single` says where
the time goes. The checks are two calls into a C library for each frame and one copy of the bytes;
scattering a module's frame over its whole period misses the first-level cache for most singles;
hashing the records (BLAKE2b, a gigabyte a second) is a twentieth. Decoding and selecting in one
kernel would save another pass, at the price of the one place where each is defined. On two cores
it is well above the goal, and `sort` and `replay --verify` use two. The figure includes writing
and flushing the log to the disk, and varies with that from 30 to 44 M singles/s on the machine
above; all figures of a shared host vary by a third within the hour.
"""

GOALS = {
    "decays_per_s_one_core": 1.5e6,
    "two_cores_gain": 1.7,
    "library_singles_per_s": 20e6,
    "frames_singles_per_s": 5e6,
    "nontof_forward_MLORps": 5.5,
    "nontof_back_MLORps": 3.5,
    "nontof_em_MLORps": 2.5,
    "tof_forward_MLORps": 12.0,
    "tof_back_MLORps": 8.0,
    "tof_em_MLORps": 5.0,
}

EMULATOR = """\
Brain phantom in `caremibrain`, medians of measurements that take turns. *One core*: Monte Carlo or
library, then digitizer and sealed frames, one after the other in one thread. *Two cores*: two
threads of Monte Carlo beside the digitizer's; the digitizer is sequential, because dead time is.
`library_singles_per_s` is the better of the two. `frames_singles_per_s` goes over the emulator's
own sockets into a second process that counts every frame and word.

What limits the **full Monte Carlo** is arithmetic and waiting for tables, some 620 ns a decay and
40 ns for digitizer and frames: about 60 random numbers (100 ns), steps of delta tracking in the
head, each with a voxel that is in no fast cache, and the response. What was tried, by ablation in
alternating runs that no command repeats:

- Klein and Nishina's angles by a table and a rejection that keeps 95 % instead of Kahn's: tracking
  in the object takes 0.85 of the time; one random word for path and acceptance: 2 %; ending rays
  early that can no longer meet a module: 1 to 5 %;
- decays drawn 32 at a time, so that reads of the activity's table overlap: pays for the positron
  range;
- a deposit reads the row of one of 49,152 crystals, which costs 14 % of the whole (this much is
  saved where only 16 rows are ever read). Deposits that are hopelessly low end before that, and
  random numbers are drawn while the row is being fetched: 4 %. Rows of 16-bit numbers: 3 to 5 %,
  within the noise of this host, not kept. Responding to many deposits at once would hide the rest.

What limits **load mode** is memory. A single costs about 35 ns of one core in the library's kernel,
7 ns to be put in order of time and 17 ns in the digitizer. A third of it is waiting for the
library, 40 bytes a decay out of some 50 MB:

- decays drawn at random places: twice as slow as drawn in the library's order with independent
  times, which is the same Poisson process seen from its other axis; the hits are then put in order
  by a counting sort over parts of the slice that hold two each;
- reading a batch's rows in a loop of their own before they are used keeps a dozen reads under way:
  a quarter faster; batches of 64 or 256 decays make no difference;
- rows in cache lines of their own and huge pages: a fifth; a loop without branches that blurs the
  whole batch, 1 ns a deposit; writing hits as two words without a branch: 8 %;
- normals from a table of 2¹⁶ instead of the ziggurat: two from one random word.
"""

FIRMWARE = """\
The modules' own firmware, one module alone: `native` is a process on this machine, `qemu` the ARM
image (Cortex-M4F) that QEMU translates. Events go all the way: hits and marks into the module's
queue, thresholds, gains, dead time, words, frames, checksums, over the data path (`ring`,
`ethernet` or `serial`) to the host, which checks every frame. Goals are what an unrelated
prototype reached on a comparable machine. `boot_to_hello_ms` is from the start of the process to
the module's first message, `round_trip_*` from a command to its reply on the serial line.
`stack_bound_bytes` is the deepest path through the image's call graph, `stack_bytes` the deepest
stack seen. QEMU does not model the speed of a UART.

**QEMU's serial line** is bounded by what a byte costs: eight a word, each a write to a register
that leaves the translated code, and a `sendmsg` of its own. On this kind of machine a lone program
that sends single bytes over TCP to a reader takes 0.8 µs each, QEMU's UART 1.7 to 1.8 µs, so 0.07
M events/s (runs by hand; no command repeats them). What was tried: without `nodelay`, so that TCP
joins bytes into segments, 1.7 times as fast, and kept (the host then acknowledges at once, or a
reply would take 40 ms); QEMU's translator in a thread of its own, 10 % slower; not checking the
UART's state before each byte, no difference distinguishable from noise; other carriers, with the
lone program: a pipe 0.4 µs, which pyserial cannot open, a pty 1.9 µs, a Unix socket 4.3 µs. The
line is for control and slow data; the other paths are for events.
"""

PROJECTOR = """\
Two threads unless the figure says otherwise; the lines come unordered, and the time includes
sorting them. Peers' figures are quoted, for the same workload on a comparable machine with two
cores; goals are two to eight times the best of them. What makes it fast, what was tried and what
limits it: [reconstruction/projector.md](reconstruction/projector.md).

Medians vary by a tenth and more with what else the host does: three runs gave 5.3 to 8.0 M/s for
forward without TOF, 10.1 to 11.3 with it (goal 12), and 4.7 to 6.8 for an EM pass with TOF (goal
5). A TOF line costs 180 to 200 ns on a core, of which 18 are for sorting, 17 for its set-up, 77
for writing down 48 planes and 64 for summing them (`python benchmarks/projector_steps.py`): 12 M/s
would be 167 ns. Without sorting it is slower; smaller tables of the kernel's weights gain 3 to 7 %
but are 4 to 8 times less exact; shorter chunks of planes, sorting indices only and huge pages
gained nothing.
"""

NOTES = {"sort": SORT, "emulator": EMULATOR, "projector": PROJECTOR, "firmware": FIRMWARE}


def goals(figures: dict[str, Any]) -> list[str]:
    """Return the lines of a table of goals and what was reached."""
    if any(target in figures for target in FIRMWARE_GOALS):
        return _firmware_goals(figures)
    if any(name in figures for name in GOALS):
        return _plain_goals(figures)
    rows = [name for name in GOALS_Msps if name in figures]
    if not rows:
        return []
    lines = ["| goal, M singles/s | asked | measured | |", "|---|---:|---:|---|"]
    for name in rows:
        goal = GOALS_Msps[name]
        if name == "full_chain_two_cores_Msps":
            goal = 1.6 * figures["full_chain_disordered_Msps"]
        share = figures[name] / goal
        verdict = "reached" if share >= 1 else f"{share:.0%} of it"
        lines.append(
            f"| {name.removesuffix('_Msps')} | {goal:.0f} | {figures[name]:.0f} | {verdict} |"
        )
    return [*lines, ""]


def _firmware_goals(figures: dict[str, Any]) -> list[str]:
    lines = ["| goal, events/s | asked | measured | |", "|---|---:|---:|---|"]
    for target, paths in FIRMWARE_GOALS.items():
        for path, goal in paths.items():
            measured = figures.get(target, {}).get(f"events_per_s_{path}")
            if measured is None:
                continue
            share = measured / goal
            verdict = "reached" if share >= 1 else f"{share:.0%} of it"
            name = f"{target}, {path}"
            lines.append(f"| {name} | {_figure(goal)} | {_figure(measured)} | {verdict} |")
    return [*lines, ""]


def _plain_goals(figures: dict[str, Any]) -> list[str]:
    lines = ["| goal | asked | measured | |", "|---|---:|---:|---|"]
    for name, goal in GOALS.items():
        if name in figures:
            share = figures[name] / goal
            verdict = "reached" if share >= 1 else f"{share:.0%} of it"
            lines.append(f"| {name} | {_figure(goal)} | {_figure(figures[name])} | {verdict} |")
    return [*lines, ""]


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
