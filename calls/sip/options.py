"""Is a SIP server there, and does it know this account? An OPTIONS request (RFC 3261, section 11) and its answer.

One exchange over UDP (repeated as section 17.1.2 says), TCP or TLS, and once more with credentials if the server
asks for them. Nothing is followed: no redirect, no Record-Route, no other address than the one that was judged.
"""

import secrets
import socket
import ssl
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from enum import StrEnum

from calls.sip.digest import answer, choose
from calls.sip.egress import (
    Allowance,
    NotAllowed,
    Target,
    Unresolvable,
    find_targets,
    open_tcp,
    open_tls,
    open_udp,
)
from calls.sip.messages import (
    Malformed,
    Question,
    Response,
    Unsendable,
    host_in_uri,
    length_of_first,
    read_response,
    user_in_uri,
    write_request,
)

# RFC 3261, section 17.1.2.2: the first repetition after T1, then after twice as long each time, up to T2.
T1_SECONDS = 0.5
T2_SECONDS = 4.0
# What is read of all answers together, in bytes; each datagram counts for some more, so that empty ones count too.
MOST_BYTES = 65_536
BYTES_A_PIECE = 64
# A challenge's status, the header that it is in, and the header that answers it (RFC 3261, section 22).
CHALLENGES = {401: ("www-authenticate", "Authorization"), 407: ("proxy-authenticate", "Proxy-Authorization")}
REFUSED_CREDENTIALS = {401, 403, 407}
TRANSPORTS = {"udp": "UDP", "tcp": "TCP", "tls": "TLS"}


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


@dataclass(frozen=True, slots=True)
class Account:
    """A server, and who we are there. With a realm, credentials are given to that realm only."""

    host: str
    port: int
    transport: str
    username: str = ""
    password: str = ""
    realm: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of asking a server.

    `reachable`: a SIP server answered, whatever it said. `authenticated`: it took the
    credentials, or did not; None if it did not ask for them or nothing can be told. `latency_ms`: from the first
    request to its final answer.
    """

    transport: str
    reachable: bool = False
    status_code: int | None = None
    reason: str | None = None
    latency_ms: float | None = None
    server: str | None = None
    authenticated: bool | None = None
    error: Failure | None = None


class _Failed(Exception):
    def __init__(self, error: Failure) -> None:
        self.error = error
        super().__init__(error)


def ask(account: Account, *, allowed: Iterable[Allowance], within_seconds: float, ca_file: str = "") -> Finding:
    """Send OPTIONS to a server, and return what came of it, after `within_seconds` at the latest."""
    deadline = time.monotonic() + within_seconds
    finding = Finding(account.transport)
    if account.transport not in TRANSPORTS:
        return replace(finding, error=Failure.UNSUPPORTED)
    try:
        targets = find_targets(account.host, account.port, allowed=allowed, within_seconds=within_seconds)
    except NotAllowed:
        return replace(finding, error=Failure.NOT_ALLOWED)
    except (Unresolvable, TimeoutError):
        return replace(finding, error=Failure.DNS)
    for left, target in zip(range(len(targets), 0, -1), targets, strict=True):
        try:
            channel = _connect(account, target, deadline, share=left, ca_file=ca_file)
        except _Failed as failed:
            finding = replace(finding, error=failed.error)
            continue
        with closing(channel.socket):
            finding = _converse(account, channel)
        if finding.error not in (Failure.REFUSED, Failure.UNREACHABLE):
            break
    return finding


# -- The conversation ---------------------------------------------------------------------------


def _converse(account: Account, channel: "_Channel") -> Finding:
    """Ask, and once more with credentials if the server wants them; a nonce that is too old is renewed once."""
    uri = f"sip:{host_in_uri(account.host)}:{account.port}"
    question = Question(secrets.token_hex(16), secrets.token_hex(8), _branch(), 1)
    finding = Finding(account.transport)
    try:
        finding, response = _exchange(account, channel, uri, question, [], finding)
        for attempt in range(2):
            challenged = CHALLENGES.get(response.status)
            if not challenged:
                break
            asks, answers = challenged
            finding = replace(finding, authenticated=False)
            challenge = choose(response.every(asks), realm=account.realm)
            if challenge is None or not account.username or (attempt and not challenge.stale):
                break
            value = answer(
                challenge, username=account.username, password=account.password, method=question.method, uri=uri
            )
            question = replace(question, number=question.number + 1, branch=_branch())
            first = replace(finding, authenticated=None)
            finding, response = _exchange(account, channel, uri, question, [(answers, value)], first)
            finding = replace(finding, latency_ms=first.latency_ms, authenticated=_were_taken(response.status))
    except _Failed as failed:
        return replace(channel.finding or finding, error=failed.error)
    except Unsendable:
        # Ours are checked where they are stored; so it was the server, that wants a control character sent back.
        return replace(finding, error=Failure.INVALID_ANSWER)
    return finding


def _were_taken(status: int) -> bool | None:
    if status in REFUSED_CREDENTIALS:
        return False
    return True if status < 500 else None


def _branch() -> str:
    # What begins with this was made as RFC 3261 wants it (section 8.1.1.7): no two of ours are the same.
    return f"z9hG4bK{secrets.token_hex(12)}"


def _exchange(
    account: Account,
    channel: "_Channel",
    uri: str,
    question: Question,
    more: list[tuple[str, str]],
    known: Finding,
) -> tuple[Finding, Response]:
    """Send one request and return its final answer; over UDP, send it again until there is one."""
    channel.finding = known
    request = _write(account, channel, uri, question, more)
    started = time.monotonic()
    channel.send(request)
    interval, repeat_at = T1_SECONDS, started + T1_SECONDS
    provisional = False
    while True:
        response = channel.receive(until=repeat_at if channel.repeats else channel.deadline)
        if response is None:
            channel.send(request)
            interval = T2_SECONDS if provisional else min(2 * interval, T2_SECONDS)
            repeat_at = time.monotonic() + interval
        elif question.is_answered_by(response):
            seen = replace(
                known,
                reachable=True,
                status_code=response.status,
                reason=response.reason,
                server=response.server or known.server,
            )
            if response.is_final:
                return replace(seen, latency_ms=round((time.monotonic() - started) * 1000, 1)), response
            channel.finding, provisional = seen, True


def _write(account: Account, channel: "_Channel", uri: str, question: Question, more: list[tuple[str, str]]) -> bytes:
    ours, our_port = channel.socket.getsockname()[:2]
    host = host_in_uri(account.host)
    us = f"sip:{user_in_uri(account.username)}@{host}" if account.username else f"sip:{host}"
    via = f"SIP/2.0/{TRANSPORTS[account.transport]} {host_in_uri(ours)}:{our_port};branch={question.branch};rport"
    return write_request(
        question.method,
        uri,
        [
            ("Via", via),
            ("Max-Forwards", "70"),
            ("From", f'"phonegoggles" <{us}>;tag={question.tag}'),
            ("To", f"<{uri}>"),
            ("Call-ID", question.call_id),
            ("CSeq", f"{question.number} {question.method}"),
            *more,
            ("Accept", "application/sdp"),
            ("User-Agent", "phonegoggles"),
        ],
    )


# -- What carries it ----------------------------------------------------------------------------


def _connect(account: Account, target: Target, deadline: float, *, share: int, ca_file: str) -> "_Channel":
    """Return a channel to a target; of the time that is left, it may take its share. Raises _Failed."""
    within = (deadline - time.monotonic()) / share
    if within <= 0:
        raise _Failed(Failure.TIMEOUT)
    try:
        if account.transport == "udp":
            return _Datagrams(open_udp(target), deadline)
        if account.transport == "tcp":
            return _Stream(open_tcp(target, within_seconds=within), deadline)
        return _Stream(open_tls(target, within_seconds=within, ca_file=ca_file), deadline)
    except OSError as error:
        raise _Failed(_failure_of(error)) from None


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


class _Channel:
    """What carries requests and answers, until a deadline and up to a number of bytes."""

    repeats = False

    def __init__(self, opened: socket.socket, deadline: float) -> None:
        self.socket = opened
        self.deadline = deadline
        self.bytes_left = MOST_BYTES
        self.heard_nonsense = False
        # What is known already when it ends badly.
        self.finding: Finding | None = None

    def send(self, message: bytes) -> None:
        """Send a message. Raises _Failed."""
        self.socket.settimeout(self._until(self.deadline))
        try:
            self.socket.sendall(message)
        except OSError as error:
            raise _Failed(_failure_of(error)) from None

    def receive(self, *, until: float) -> Response | None:
        """Return the next response, or None when it is `until`. Raises _Failed, also when the deadline has come."""
        raise NotImplementedError

    def _read(self, until: float) -> bytes:
        """Return the next bytes. Raises TimeoutError, _Failed."""
        self.socket.settimeout(self._until(until))
        try:
            piece = self.socket.recv(MOST_BYTES)
        except TimeoutError:
            raise
        except OSError as error:
            raise _Failed(_failure_of(error)) from None
        self.bytes_left -= len(piece) + BYTES_A_PIECE
        if self.bytes_left < 0:
            raise _Failed(Failure.INVALID_ANSWER)
        return piece

    def _until(self, until: float) -> float:
        """Return how long to wait, in seconds. Raises TimeoutError if it is `until`, _Failed after the deadline."""
        now = time.monotonic()
        if now >= self.deadline:
            raise _Failed(Failure.INVALID_ANSWER if self.heard_nonsense else Failure.TIMEOUT)
        if now >= until:
            raise TimeoutError
        return min(until, self.deadline) - now


class _Datagrams(_Channel):
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


class _Stream(_Channel):
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
                    raise _Failed(Failure.INVALID_ANSWER) from None
                continue
            try:
                piece = self._read(until)
            except TimeoutError:
                self._until(until)
                continue
            if not piece:
                raise _Failed(Failure.INVALID_ANSWER if self.heard_nonsense else Failure.CLOSED)
            self._waiting = (self._waiting + piece).lstrip(b"\r\n")
            self.heard_nonsense = self.heard_nonsense or bool(self._waiting)
