"""Data frames received as datagrams: reassembled, with every missing one counted.

A datagram gives its frame, its place in it, and the frame's length (docs/protocol.md, *Datagrams*).
A frame is passed on when it is complete; nothing is requested again, so one lost datagram is one
lost frame. Two forms arrive on the same socket, distinguished by their first bytes: the datagram
itself and, from a machine whose network card is tunnelled, the whole Ethernet frame with its IPv4
and UDP headers, which are checked and removed.

The socket asks the kernel for 8 MiB of room (0.3 s at 25 MB/s): a receiver that sleeps for a while
loses nothing. ``granted_bytes`` is what the kernel gave; raise ``net.core.rmem_max`` if that is
less.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

from daq.link.serial.line_errors import PortBusy, PortError
from hw.wire.control import DATAGRAM, STRUCTS
from hw.wire.protocol import HEADER_BYTES, MAX_EVENTS, WORD_BYTES

ROOM_BYTES = 8 << 20
_RCVBUFFORCE = 33  # Linux's SO_RCVBUFFORCE, which the socket module does not name
OPEN_FRAMES = 4
_DATAGRAMS_A_TURN = 4096
_LATEST = 64  # datagrams that may overtake one
_MAGIC: int = DATAGRAM["magic"]
_MAGIC_BYTES = _MAGIC.to_bytes(4, "little")
_PORT: int = DATAGRAM["port"]
_MOST: int = DATAGRAM["max_bytes"]
_HEADER = struct.Struct("<IHHIIII")
_FRAME_MOST = HEADER_BYTES + WORD_BYTES * MAX_EVENTS
_IPV4 = b"\x08\x00"
_OTHERS = (b"\x08\x06", b"\x86\xdd")
_UDP = 17
_ETHERNET_BYTES, _IP_BYTES, _UDP_BYTES = 14, 20, 8

if _HEADER.size != STRUCTS["datagram"].itemsize:
    raise ValueError("the datagram's header is not laid out as this file reads it")


def strip_ethernet(packet: memoryview, *, port: int = _PORT) -> memoryview | None:
    """Return the payload of a UDP datagram to ``port``; None for any other Ethernet frame.

    Checks type, IPv4 header with its checksum, protocol, lengths and destination port (RFC 791,
    RFC 768). UDP's own checksum is ignored: the data frame's CRC-32C is stronger.
    """
    if len(packet) < _ETHERNET_BYTES + _IP_BYTES + _UDP_BYTES or packet[12:14] != _IPV4:
        return None
    ip = packet[_ETHERNET_BYTES:]
    header_bytes = 4 * (ip[0] & 15)
    total = int.from_bytes(ip[2:4], "big")
    if ip[0] >> 4 != 4 or header_bytes < _IP_BYTES or not header_bytes + 8 <= total <= len(ip):
        return None
    fragment = int.from_bytes(ip[6:8], "big") & 0x3FFF
    if ip[9] != _UDP or fragment or not _sums_up(ip[:header_bytes]):
        return None
    udp = ip[header_bytes:total]
    length = int.from_bytes(udp[4:6], "big")
    if int.from_bytes(udp[2:4], "big") != port or not _UDP_BYTES <= length <= len(udp):
        return None
    return udp[_UDP_BYTES:length]


def _sums_up(header: memoryview) -> bool:
    """Return whether the ones' complement sum of the header's 16-bit words is all ones."""
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    return total % 0xFFFF == 0 and total != 0


@dataclass
class _OpenFrame:
    data: bytearray
    pieces: set[int]
    missing: int


class Reassembly:
    """Reassembles the data frames of one module.

    datagrams, frames : good ones; invalid : neither a datagram nor an Ethernet frame with one, or
    one that contradicts itself; foreign : Ethernet frames for others; repeated : came twice;
    lost_datagrams : by their numbers; lost_frames : begun but never completed
    """

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self.datagrams = self.frames = self.invalid = self.foreign = self.repeated = 0
        self.lost_datagrams = self.lost_frames = 0
        self._take = take
        self._open: dict[int, _OpenFrame] = {}
        self._next_number = 0

    def feed(self, packet: memoryview) -> None:
        """Handle a packet as received from the socket."""
        if packet[:4] != _MAGIC_BYTES:
            inside = strip_ethernet(packet)
            if inside is None:
                self._refuse_packet(packet)
                return
            packet = inside
        if len(packet) < _HEADER.size:
            self.invalid += 1
            return
        magic, _, length, sequence, offset, frame_bytes, number = _HEADER.unpack_from(packet)
        body = packet[_HEADER.size :]
        fits = length == len(body) and 0 < length <= _MOST and offset + length <= frame_bytes
        if magic != _MAGIC or not fits or not HEADER_BYTES <= frame_bytes <= _FRAME_MOST:
            self.invalid += 1
            return
        self._follow(number)
        self.datagrams += 1
        if length == frame_bytes:
            self.frames += 1
            self._take(bytes(body))
            return
        self._place(sequence, frame_bytes, offset, body)

    def give_up(self) -> None:
        """Count incomplete frames as lost: nothing more will come."""
        self.lost_frames += len(self._open)
        self._open.clear()
        self._next_number = 0

    def _refuse_packet(self, packet: memoryview) -> None:
        ethernet = len(packet) >= _ETHERNET_BYTES and bytes(packet[12:14]) in _OTHERS
        self.foreign += ethernet  # ARP, IPv6: part of any network
        self.invalid += not ethernet

    def _follow(self, number: int) -> None:
        """Count missing datagrams by their numbers, which begin at 0 with each run."""
        ahead = (number - self._next_number) & 0xFFFFFFFF
        if _LATEST < 0x100000000 - ahead <= 0x80000000:
            ahead = number  # a new run
        elif ahead > 0x80000000:  # one that is late: it was counted as lost
            self.lost_datagrams = max(0, self.lost_datagrams - 1)
            return
        self.lost_datagrams += ahead
        self._next_number = (number + 1) & 0xFFFFFFFF

    def _place(self, sequence: int, frame_bytes: int, offset: int, body: memoryview) -> None:
        frame = self._open.get(sequence)
        if frame is None or len(frame.data) != frame_bytes:
            self.lost_frames += frame is not None
            frame = _OpenFrame(bytearray(frame_bytes), set(), frame_bytes)
            self._open.pop(sequence, None)
            self._open[sequence] = frame
            while len(self._open) > OPEN_FRAMES:
                del self._open[next(iter(self._open))]
                self.lost_frames += 1
        if offset in frame.pieces:
            self.repeated += 1
            return
        frame.pieces.add(offset)
        frame.data[offset : offset + len(body)] = body
        frame.missing -= len(body)
        if frame.missing == 0:
            del self._open[sequence]
            self.frames += 1
            self._take(bytes(frame.data))


class DatagramReceiver:
    """A UDP socket served by a poller; ``books`` counts what came and what did not.

    Raises
    ------
    PortBusy, PortError
        another program has the port, or this machine does not have that address.
    """

    def __init__(
        self,
        port: int,
        *,
        take: Callable[[bytes], None],
        module: int | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.module = module
        self.books = Reassembly(take)
        self._buffer = bytearray(65536)
        self._view = memoryview(self._buffer)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM_BYTES)
            with contextlib.suppress(PermissionError):  # beyond rmem_max, for who may
                self._socket.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, ROOM_BYTES)
            self._socket.setblocking(False)
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise _bind_error(host, port, error) from error

    @property
    def port(self) -> int:
        """The port bound: the requested one, or for 0 the one that the system chose."""
        return int(self._socket.getsockname()[1])

    @property
    def granted_bytes(self) -> int:
        """Buffer space granted by the kernel, which includes its own book-keeping."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)

    @property
    def lost_frames(self) -> int:
        return self.books.lost_frames

    @property
    def descriptor(self) -> int | None:
        return self._socket.fileno()

    def turn(self, *, hung_up: bool) -> int:
        """Receive all waiting datagrams."""
        size, feed, view = 0, self.books.feed, self._view
        receive = self._socket.recv_into
        for _ in range(_DATAGRAMS_A_TURN):
            try:
                count = receive(view)
            except OSError:
                break  # none is there; an ICMP error of our own sending cannot be
            size += count
            feed(view[:count])
        return size

    def tick(self, now_s: float) -> float:
        """Nothing is due."""
        return now_s + 3600.0

    def close(self) -> None:
        """Close the socket; remove it from the poller first."""
        self.books.give_up()
        self._socket.close()


def _bind_error(host: str, port: int, error: OSError) -> PortError:
    if "in use" in str(error):
        return PortBusy(f"UDP port {port} of {host}: another program listens there; end it first")
    return PortError(f"UDP port {port} of {host} cannot be bound ({error}); choose another one")
