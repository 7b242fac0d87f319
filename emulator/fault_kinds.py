"""The faults the emulator can produce, their parameters and bounds, and how to write them.

    KIND[=P][@TIME][:NAME=VALUE,...]      such as clock_drift@10s:module=3,ppm=1,for=5s

``@TIME`` is detector time from the run's start (default: at once); ``for`` is how long it lasts
(default: until cleared); ``module`` is one module or several (0+3+7; default: all); ``=P`` is short
for ``:p=P``. Times take s or ms. docs/emulator/faults.md describes what each does and what a
receiver sees of it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from hw.errors import TomoshibiError

MOST_STALL_S = 30.0
WHOLE = ("periods", "before", "crystal")
"""Amounts that count something."""

MOST_CLOCK_ERROR_S = 2.6e-3  # half a frame period
FRAME_KINDS = (
    "corrupt",
    "drop",
    "duplicate",
    "reorder",
    "wrong_version",
    "truncate",
    "unknown_module",
)


class FaultError(TomoshibiError, ValueError):
    """A fault that cannot be done; the message names the bound and the remedy."""


class Amount(NamedTuple):
    """A numeric parameter of a fault: its default (None: required) and bounds."""

    default: float | None
    least: float
    most: float


@dataclass(frozen=True)
class Kind:
    """One kind of fault. ``ends``: needs ``for``; ``at_start``: can only begin with the run."""

    words: str
    amounts: dict[str, Amount]
    ends: bool = False
    at_start: bool = False
    most_s: float = math.inf


_P = {"p": Amount(1.0, 0.0, 1.0)}
_THERMAL = {
    "percent_per_K": Amount(-1.0, -20.0, 20.0),
    "band": Amount(2.0, 0.01, 100.0),
}
"""Gain with temperature at constant bias. −0.8 %/K: silicon photomultiplier (onsemi C-Series data
sheet, at 2.5 V above breakdown); −0.2 %/K: light of LSO and LYSO (Mao, Zhang and Zhu, IEEE Trans.
Nucl. Sci. 55 (2008) 2425). ``band``: K around the last epoch's temperature, assumed."""

KINDS: dict[str, Kind] = {
    "corrupt": Kind("a bit of the frame is flipped", _P),
    "drop": Kind("the frame is not sent", _P),
    "duplicate": Kind("the frame is sent twice", _P),
    "reorder": Kind("the frame is sent after its successor", _P),
    "wrong_version": Kind("the header has another protocol version", _P),
    "truncate": Kind("the end of the frame is missing", _P),
    "unknown_module": Kind("the header names a module that does not exist", _P),
    "stalled_link": Kind(
        "frames are held back, then come all at once", {}, ends=True, most_s=MOST_STALL_S
    ),
    "vanished_link": Kind("frames are never sent", {}),
    "clock_drift": Kind(
        "the module loses SYNC and its clock runs fast by ppm (or slow, below 0) until it is back",
        {"ppm": Amount(1.0, -1000.0, 1000.0)},
        ends=True,
    ),
    "clock_leap": Kind(
        "the module's period counter jumps ahead", {"periods": Amount(1000.0, 1.0, 1e6)}
    ),
    "counter_wrap": Kind(
        "the frame numbers begin shortly before 2^32", {"before": Amount(100.0, 1.0, 2**31)},
        at_start=True,
    ),
    "dead_crystal": Kind("the crystal is not read out", {"crystal": Amount(None, 0, 4095)}),
    "noisy_crystal": Kind(
        "the crystal triggers by itself",
        {"crystal": Amount(None, 0, 4095), "Hz": Amount(20_000.0, 1.0, 1e6)},
    ),
    "temperature_drift": Kind(
        "the temperature rises steadily, and the gain follows",
        {"K_per_s": Amount(0.1, -100.0, 100.0), **_THERMAL},
    ),
    "temperature_sine": Kind(
        "the temperature goes up and down, and the gain follows",
        {"K": Amount(3.0, 0.0, 50.0), "period": Amount(60.0, 0.01, 1e5), **_THERMAL},
    ),
    "module_reset": Kind(
        "the module loses power, is silent, then restarts", {"off": Amount(0.05, 0.001, 60.0)}
    ),
    "burst": Kind(
        "the module's trigger rate rises by the factor times, to at least Hz",
        {"times": Amount(20.0, 1.0, 1e5), "Hz": Amount(0.0, 0.0, 2e7)},
    ),
}  # fmt: skip


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One fault to apply. ``at_s`` None: at once; ``for_s`` 0: until cleared; no modules: all."""

    kind: str
    at_s: float | None = None
    for_s: float = 0.0
    modules: tuple[int, ...] = ()
    amounts: dict[str, float] = {}

    def describe(self) -> str:
        """Return the fault as text that ``parse_fault`` reads."""
        given = [f"module={'+'.join(map(str, self.modules))}"] if self.modules else []
        given += [f"{name}={value:g}" for name, value in self.amounts.items()]
        given += [f"for={self.for_s:g}s"] if self.for_s else []
        at = "" if self.at_s is None else f"@{self.at_s:g}s"
        return self.kind + at + (":" + ",".join(given) if given else "")


def describe_kinds() -> dict[str, str]:
    """Return each kind with what it does and the parameters it takes."""
    return {name: _kind_words(kind) for name, kind in KINDS.items()}


def _kind_words(kind: Kind) -> str:
    amounts = [
        name if amount.default is None else f"{name}={amount.default:g}"
        for name, amount in kind.amounts.items()
    ]
    amounts += ["for=TIME (needed)"] if kind.ends else []
    return kind.words + (f"; {', '.join(amounts)}" if amounts else "")


_WRITTEN = re.compile(r"(?P<kind>\w+)(=(?P<p>[^@:]+))?(@(?P<at>[^:]+))?(:(?P<rest>.*))?$")


def parse_fault(text: str, *, modules: int | None = None, crystals: int | None = None) -> Fault:
    """Return the fault that a text describes.

    Parameters
    ----------
    modules, crystals : modules of the scanner, crystals of a module; None if not yet known

    Raises
    ------
    FaultError
        naming the kind, the value, its bound and the remedy.
    """
    written = _WRITTEN.match(text.strip())
    if written is None:
        raise FaultError(f"fault {text!r}: write KIND@TIME:name=value,..., such as {EXAMPLE}")
    name = written["kind"]
    if name not in KINDS:
        raise FaultError(f"fault {text!r}: no kind {name!r}; there are {', '.join(KINDS)}")
    given = _given(text, written["p"], written["rest"] or "")
    lasting = given.pop("for", None)
    fault = Fault(
        kind=name,
        at_s=None if written["at"] is None else _seconds(text, "@", written["at"]),
        for_s=0.0 if lasting is None else _lasting(text, lasting),
        modules=_modules(text, given.pop("module", "")),
        amounts=_amounts(text, KINDS[name], given),
    )
    check_fault(fault, modules=modules, crystals=crystals)
    return fault


EXAMPLE = "clock_drift@10s:module=3,ppm=1,for=5s"


def check_fault(fault: Fault, *, modules: int | None, crystals: int | None) -> None:
    """Check the fault against its kind and the scanner; raises FaultError."""
    kind, words = KINDS[fault.kind], f"fault {fault.describe()}"
    if kind.ends and not fault.for_s > 0:
        raise FaultError(f"{words}: say for how long, such as for=2s")
    if fault.for_s > kind.most_s:
        raise FaultError(f"{words}: for is {fault.for_s:g} s, the bound is {kind.most_s:g} s")
    if "off" in kind.amounts and fault.for_s:
        raise FaultError(f"{words}: it lasts as long as the module is off; leave for out")
    if kind.at_start and fault.at_s:
        raise FaultError(f"{words}: it can only begin with the run; leave @ out")
    error_s = abs(fault.amounts.get("ppm", 0.0)) * 1e-6 * fault.for_s
    if error_s > MOST_CLOCK_ERROR_S:
        raise FaultError(
            f"{words}: the clock would be off by {error_s * 1e3:.3g} ms in the end, the bound is "
            f"{MOST_CLOCK_ERROR_S * 1e3:g} ms; give less ppm or a shorter time"
        )
    most = max(fault.modules, default=0)
    if modules is not None and most >= modules:
        raise FaultError(f"{words}: no module {most}, the scanner has 0 to {modules - 1}")
    crystal = fault.amounts.get("crystal", 0)
    if crystals is not None and crystal >= crystals:
        raise FaultError(f"{words}: no crystal {crystal:g}, a module has 0 to {crystals - 1}")


def _given(text: str, p: str | None, rest: str) -> dict[str, str]:
    """Return the names and values given, each of which may appear only once."""
    given = {} if p is None else {"p": p}
    for part in filter(None, rest.split(",")):
        name, _, value = (word.strip() for word in part.partition("="))
        if name in given:
            raise FaultError(f"fault {text!r}: {name} is given twice; leave one of them out")
        given[name] = value
    return given


def _amounts(text: str, kind: Kind, given: dict[str, str]) -> dict[str, float]:
    unknown = given.keys() - kind.amounts.keys()
    if unknown:
        known = ["module", "for", *kind.amounts]
        raise FaultError(f"fault {text!r}: no {unknown.pop()!r}; it takes {', '.join(known)}")
    amounts = {}
    for name, amount in kind.amounts.items():
        if name not in given and amount.default is None:
            raise FaultError(f"fault {text!r}: say which {name}, such as {name}=17")
        seconds = name in ("off", "period")
        value = _number(text, name, given.get(name, str(amount.default)), seconds=seconds)
        if not amount.least <= value <= amount.most:
            raise FaultError(
                f"fault {text!r}: {name} is {value:g}, the bounds are {amount.least:g} and "
                f"{amount.most:g}"
            )
        if name in WHOLE and value != int(value):
            raise FaultError(f"fault {text!r}: {name} is {value:g}; give a whole number")
        amounts[name] = value
    return amounts


def _modules(text: str, written: str) -> tuple[int, ...]:
    parts = written.split("+") if written else []
    if not all(part.isdecimal() and len(part) < 10 for part in parts):
        raise FaultError(
            f"fault {text!r}: module is {written!r}; give a number, or several like 0+3"
        )
    return tuple(sorted({int(part) for part in parts}))


def _seconds(text: str, name: str, written: str) -> float:
    value = _number(text, name, written, seconds=True)
    if not 0 <= value <= 1e7:
        raise FaultError(f"fault {text!r}: {name} is {written!r}; give 0 or more, such as 5s")
    return value


def _lasting(text: str, written: str) -> float:
    value = _seconds(text, "for", written)
    if value == 0:
        raise FaultError(
            f"fault {text!r}: for is 0; give a time, or leave it out to last until cleared"
        )
    return value


def _number(text: str, name: str, written: str, *, seconds: bool = False) -> float:
    scale = 1.0
    if seconds and written.endswith("s"):
        scale = 1e-3 if written.endswith("ms") else 1.0
        written = written.removesuffix("s").removesuffix("m")
    try:
        value = float(written) * scale
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FaultError(f"fault {text!r}: {name} is {written!r}, not a number")
    return value


FaultKind = Literal[
    "corrupt", "drop", "duplicate", "reorder", "wrong_version", "truncate", "unknown_module"
]
Probability = Annotated[float, Meta(ge=0, le=1)]


class FaultPlan(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The faults to apply in each run.

    probability : fault name to probability per frame
    exact : fault name to a list of (module, period)
    schedule : any faults, as text (see this module)
    seed : decides where the random faults fall
    """

    probability: dict[FaultKind, Probability] = {}
    exact: dict[FaultKind, tuple[tuple[int, int], ...]] = {}
    schedule: tuple[str, ...] = ()
    seed: int = 0

    def faults(self, *, modules: int | None = None, crystals: int | None = None) -> list[Fault]:
        """Return the faults of the plan except the exact ones; raises FaultError.

        modules, crystals : modules of the scanner, crystals of a module; None if not yet known
        """
        probable = [
            Fault(kind=kind, at_s=0.0, amounts={"p": p}) for kind, p in self.probability.items()
        ]
        return probable + [
            parse_fault(t, modules=modules, crystals=crystals) for t in self.schedule
        ]
