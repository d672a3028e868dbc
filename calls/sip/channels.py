"""What carries SIP: UDP, TCP and TLS, until a deadline and up to a number of bytes."""

import socket
import ssl
import time
from enum import StrEnum

from calls.sip.egress import Target, open_tcp, open_tls, open_udp
from calls.sip.messages import Malformed, Response, length_of_first, read_response

TRANSPORTS = {"udp": "UDP", "tcp": "TCP", "tls": "TLS"}
# What is read of all answers together, in bytes; each datagram counts for some more, so that empty ones count too.
MOST_BYTES = 65_536
BYTES_A_PIECE = 64


class Failure(StrEnum):
    """Why a server could not be asked or gave no answer; coarse: the network may not be the asker's to know."""

    NOT_ALLOWED = "not_allowed"
    UNSUPPORTED = "unsupported"
    DNS = "dns"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    TLS = "tls"
    TIMEOUT = "timeout"
    CLOSED = "closed"
    INVALID_ANSWER = "invalid_answer"


class Failed(Exception):
    """There is no answer, and this is why."""

    def __init__(self, error: Failure) -> None:
        self.error = error
        super().__init__(error)


def connect(target: Target, transport: str, *, deadline: float, within_seconds: float, ca_file: str = "") -> "Channel":
    """Return a channel to a target, opened within so many seconds, for use until the deadline. Raises Failed."""
    if within_seconds <= 0:
        raise Failed(Failure.TIMEOUT)
    try:
        if transport == "udp":
            return Datagrams(open_udp(target), deadline)
        if transport == "tcp":
            return Stream(open_tcp(target, within_seconds=within_seconds), deadline)
        return Stream(open_tls(target, within_seconds=within_seconds, ca_file=ca_file), deadline)
    except OSError as error:
        raise Failed(_failure_of(error)) from None


def _failure_of(error: OSError) -> Failure:
    if isinstance(error, TimeoutError):
        return Failure.TIMEOUT
    if isinstance(error, ssl.SSLError):
        return Failure.TLS
    if isinstance(error, ConnectionRefusedError):
        return Failure.REFUSED
    if isinstance(error, ConnectionError):
        return Failure.CLOSED
    return Failure.UNREACHABLE


class Channel:
    """What carries requests and answers, until a deadline and up to a number of bytes."""

    repeats = False

    def __init__(self, opened: socket.socket, deadline: float) -> None:
        self.socket = opened
        self.deadline = deadline
        self.bytes_left = MOST_BYTES
        self.heard_nonsense = False

    def send(self, message: bytes) -> None:
        """Send a message. Raises Failed."""
        self.socket.settimeout(self._until(self.deadline))
        try:
            self.socket.sendall(message)
        except OSError as error:
            raise Failed(_failure_of(error)) from None

    def receive(self, *, until: float) -> Response | None:
        """Return the next response, or None when it is `until`. Raises Failed, also when the deadline has come."""
        raise NotImplementedError

    def _read(self, until: float) -> bytes:
        """Return the next bytes. Raises TimeoutError, Failed."""
        self.socket.settimeout(self._until(until))
        try:
            piece = self.socket.recv(MOST_BYTES)
        except TimeoutError:
            raise
        except OSError as error:
            raise Failed(_failure_of(error)) from None
        self.bytes_left -= len(piece) + BYTES_A_PIECE
        if self.bytes_left < 0:
            raise Failed(Failure.INVALID_ANSWER)
        return piece

    def _until(self, until: float) -> float:
        """Return how long to wait, in seconds. Raises TimeoutError if it is `until`, Failed after the deadline."""
        now = time.monotonic()
        if now >= self.deadline:
            raise Failed(Failure.INVALID_ANSWER if self.heard_nonsense else Failure.TIMEOUT)
        if now >= until:
            raise TimeoutError
        return min(until, self.deadline) - now


class Datagrams(Channel):
    """UDP: each datagram is a message, and may get lost."""

    repeats = True

    def receive(self, *, until: float) -> Response | None:
        """Return the next response; what is none is left lying."""
        while True:
            try:
                piece = self._read(until)
            except TimeoutError:
                return None
            try:
                return read_response(piece)
            except Malformed:
                self.heard_nonsense = True


class Stream(Channel):
    """TCP and TLS: messages follow each other in one stream."""

    def __init__(self, opened: socket.socket, deadline: float) -> None:
        super().__init__(opened, deadline)
        self._waiting = b""

    def receive(self, *, until: float) -> Response | None:
        """Return the next response of the stream; a message that is none, such as a request, is passed over."""
        while True:
            length = None
            try:
                length = length_of_first(self._waiting)
                if length is not None and length <= len(self._waiting):
                    message, self._waiting = self._waiting[:length], self._waiting[length:].lstrip(b"\r\n")
                    self.heard_nonsense = bool(self._waiting)
                    return read_response(message)
            except Malformed:
                self.heard_nonsense = True
                if length is None:
                    raise Failed(Failure.INVALID_ANSWER) from None
                continue
            try:
                piece = self._read(until)
            except TimeoutError:
                self._until(until)
                continue
            if not piece:
                raise Failed(Failure.INVALID_ANSWER if self.heard_nonsense else Failure.CLOSED)
            self._waiting = (self._waiting + piece).lstrip(b"\r\n")
            self.heard_nonsense = self.heard_nonsense or bool(self._waiting)
