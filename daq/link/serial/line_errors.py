"""The serial link's errors. Each message says what happened, where, and what to do next."""

from __future__ import annotations

from daq.errors import DaqError
from hw.wire.control import Slot, State, Status, fault_words


class SerialLinkError(DaqError):
    """Base of all errors of the line to a module."""


class PortError(SerialLinkError):
    """The port does not exist, may not be opened, or is not a port."""


class PortBusy(PortError):
    """Another program has the port; the message names it if the system does."""


class NoAnswer(SerialLinkError):
    """The port is open but no module answers, or it no longer answers, in time."""


class LinkLost(SerialLinkError):
    """The port went away, or the module fell silent; the session tries to reconnect."""


class FirmwareMismatch(SerialLinkError):
    """The module's firmware and this program disagree on the meaning of some bytes."""


class CommandRefused(SerialLinkError):
    """The module answered a command with another status than ok.

    Parameters
    ----------
    where : the module and its port, as errors call it
    command : its name
    status : ``hw.wire.control.Status``
    detail : the status's own, see docs/protocol.md
    words : why, and the remedy
    """

    def __init__(self, where: str, command: str, status: int, detail: int, words: str) -> None:
        self.command, self.status, self.detail = command, Status(status), detail
        super().__init__(f"{where} refused the command {command}: {words}")


class ImageRefused(SerialLinkError):
    """A firmware image that the module or this program refused, or that did not start."""


class ScanError(SerialLinkError):
    """A scan that could not be completed, or whose old setting could not be restored."""


_REMEDIES = {
    Status.unknown_command: "update the firmware, or use the program that belongs to it",
    Status.bad_length: "program and firmware do not match: update one of them",
    Status.read_only: "this register is read-only",
    Status.unknown_register: "see the registers in docs/protocol.md",
    Status.busy: "wait until the module has finished, then try again",
    Status.no_bias: "set the bias and wait until it is on",
    Status.bad_image: "rebuild the image and send all of it",
    Status.wrong_board: "use the image built for this board",
    Status.wrong_schema: "use an image of the module's control version",
    Status.storage: "the board's non-volatile memory fails: replace the board",
    Status.wrong_version: "use program and firmware of the same release",
}


def remedy_for(status: int, detail: int) -> str:
    """Describe what to do about a refusal."""
    if status == Status.bad_state:
        return _state_remedy(detail)
    if status == Status.bad_value:
        return f"the value at byte {detail} of the payload is out of its range"
    if status == Status.faulted:
        return f"{fault_words(detail)}: remove the cause, then send clear_fault"
    if status == Status.still_present:
        return f"{fault_words(detail)}: the cause is still there"
    return _REMEDIES.get(Status(status), "")


def _state_remedy(state: int) -> str:
    known = {int(entry): entry.name for entry in State}
    return f"the module's state is {known.get(state, state)}; " + {
        int(State.boot): "wait until it is idle",
        int(State.idle): "it must run for this",
        int(State.running): "send stop and wait for the run's end",
        int(State.stopping): "wait for the run's end",
        int(State.fault): "clear the fault first",
        int(State.updating): "finish the update, or send update_abort",
    }.get(state, "wait")


def slot_name(slot: int) -> str:
    """Return an image slot's name."""
    known = {int(entry): entry.name for entry in Slot}
    return known.get(slot, f"slot {slot}")
