"""The serial link's vocabulary of errors. Each message says what, where and what to do next."""

from __future__ import annotations

from daq.errors import DaqError
from hw.wire.control import Slot, State, Status, fault_words


class SerialLinkError(DaqError):
    """Base of all errors of the line to a module."""


class PortError(SerialLinkError):
    """The port does not exist, may not be opened, or is none."""


class PortBusy(PortError):
    """Another program has the port; the message names it where the system tells."""


class NoAnswer(SerialLinkError):
    """The port is open but no module answers, or no longer, within the bound."""


class LinkLost(SerialLinkError):
    """The port went away, or the module fell silent; the session tries to get it back."""


class FirmwareMismatch(SerialLinkError):
    """The module's firmware and this program do not give all bytes the same meaning."""


class CommandRefused(SerialLinkError):
    """The module answered a command with another status than ok.

    command : name; status : ``hw.wire.control.Status``; detail : the status's own, see
    docs/protocol.md
    """

    def __init__(self, where: str, command: str, status: int, detail: int, words: str) -> None:
        self.command, self.status, self.detail = command, Status(status), detail
        super().__init__(f"{where} refused the command {command}: {words}")


class ImageRefused(SerialLinkError):
    """A firmware image that the module, or this program, does not take, or that did not start."""


class ScanError(SerialLinkError):
    """A scan that could not be finished, or after which the old setting could not be restored."""


_REMEDIES = {
    Status.unknown_command: "update the firmware, or use the program that belongs to it",
    Status.bad_length: "program and firmware do not belong together: update one of them",
    Status.read_only: "this register shows something; it cannot be set",
    Status.unknown_register: "see the registers in docs/protocol.md",
    Status.busy: "wait for what is going on, then try again",
    Status.no_bias: "set the bias and wait until it is on",
    Status.bad_image: "build the image anew and send it whole",
    Status.wrong_board: "take the image that was built for this board",
    Status.wrong_schema: "take an image of the module's control version",
    Status.storage: "the board's non-volatile memory fails: replace the board",
    Status.wrong_version: "use the program and the firmware of one release",
}


def remedy_for(status: int, detail: int) -> str:
    """Return what to do about a refusal, in words."""
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
