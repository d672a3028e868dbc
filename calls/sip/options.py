"""Is a SIP server there, and does it know this account? An OPTIONS request (RFC 3261, section 11) and its answer.

One exchange over UDP (repeated as section 17.1.2 says), TCP or TLS, and once more with credentials if the server
asks for them. Nothing is followed: no redirect, no Record-Route, no other address than the one that was judged.
"""

import secrets
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from calls.sip.channels import TRANSPORTS, Channel, Failed, Failure, connect
from calls.sip.digest import Challenge, answer, choose
from calls.sip.egress import Allowance, NotAllowed, Unresolvable, find_targets
from calls.sip.messages import Question, Response, Unsendable, host_in_uri, user_in_uri, write_request

# RFC 3261, section 17.1.2.2: the first repetition after T1, then after twice as long each time, up to T2.
T1_SECONDS = 0.5
T2_SECONDS = 4.0
# A challenge's status, the header that it is in, and the header that answers it (RFC 3261, section 22).
CHALLENGES = {401: ("www-authenticate", "Authorization"), 407: ("proxy-authenticate", "Proxy-Authorization")}
REFUSED_CREDENTIALS = {401, 403, 407}


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

    `reachable`: a SIP server answered, whatever it said. `authenticated`: it took the credentials, or did not; None
    if it did not ask for them or nothing can be told. `latency_ms`: from the first request to its final answer.
    """

    reachable: bool = False
    status_code: int | None = None
    reason: str | None = None
    latency_ms: float | None = None
    server: str | None = None
    transport: str = ""
    authenticated: bool | None = None
    error: Failure | None = None


def ask(account: Account, *, allowed: Iterable[Allowance], within_seconds: float, ca_file: str = "") -> Finding:
    """Send OPTIONS to a server, and return what came of it, after `within_seconds` at the latest."""
    deadline = time.monotonic() + within_seconds
    finding = Finding(transport=account.transport)
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
            # A silent address leaves the others their share of the time.
            wait = (deadline - time.monotonic()) / left
            channel = connect(target, account.transport, deadline=deadline, within_seconds=wait, ca_file=ca_file)
        except Failed as failed:
            finding = replace(finding, error=failed.error)
            continue
        with closing(channel.socket):
            finding = _Conversation(account, channel).hold()
        if finding.error not in (Failure.REFUSED, Failure.UNREACHABLE):
            break
    return finding


# -- The conversation ---------------------------------------------------------------------------


class _Conversation:
    """One request, and what follows from its answer; `finding` is what is known so far, however it ends."""

    def __init__(self, account: Account, channel: Channel) -> None:
        self.account = account
        self.channel = channel
        self.finding = Finding(transport=account.transport)
        self.uri = f"sip:{host_in_uri(account.host)}:{account.port}"
        self.question = Question(call_id=secrets.token_hex(16), tag=secrets.token_hex(8), branch="", number=0)

    def hold(self) -> Finding:
        """Ask, and once more with credentials if the server wants them; a nonce that is too old is renewed once."""
        try:
            response = self._exchange()
            for attempt in range(2):
                if response.status not in CHALLENGES:
                    break
                asks, answers = CHALLENGES[response.status]
                challenge = choose(response.every(asks), realm=self.account.realm)
                if challenge is None or not self.account.username or (attempt and not challenge.stale):
                    self._note(authenticated=False)
                    break
                response = self._exchange((answers, self._credentials(challenge)))
                self._note(authenticated=_were_taken(response.status))
        except Failed as failed:
            self._note(error=failed.error)
        except Unsendable:
            # Ours are checked where they are stored: it is the server that wants a control character sent back.
            self._note(error=Failure.INVALID_ANSWER)
        return self.finding

    def _note(self, **found: Any) -> None:
        self.finding = replace(self.finding, **found)

    def _credentials(self, challenge: Challenge) -> str:
        return answer(
            challenge,
            username=self.account.username,
            password=self.account.password,
            method=self.question.method,
            uri=self.uri,
        )

    def _exchange(self, *more: tuple[str, str]) -> Response:
        """Send one request and return its final answer; over UDP, send it again until there is one. Raises Failed."""
        self.question = replace(self.question, number=self.question.number + 1, branch=_branch())
        request = self._write(*more)
        started = time.monotonic()
        self.channel.send(request)
        interval, repeat_at = T1_SECONDS, started + T1_SECONDS
        provisional = False
        while True:
            response = self.channel.receive(until=repeat_at if self.channel.repeats else self.channel.deadline)
            if response is None:
                self.channel.send(request)
                interval = T2_SECONDS if provisional else min(2 * interval, T2_SECONDS)
                repeat_at = time.monotonic() + interval
            elif self.question.is_answered_by(response):
                self._note(
                    reachable=True,
                    status_code=response.status,
                    reason=response.reason,
                    server=response.server or self.finding.server,
                    authenticated=None,
                )
                if response.is_final:
                    if self.finding.latency_ms is None:
                        self._note(latency_ms=round((time.monotonic() - started) * 1000, 1))
                    return response
                provisional = True

    def _write(self, *more: tuple[str, str]) -> bytes:
        ours, our_port = self.channel.socket.getsockname()[:2]
        sent_by = f"{host_in_uri(ours)}:{our_port}"
        host = host_in_uri(self.account.host)
        us = f"sip:{user_in_uri(self.account.username)}@{host}" if self.account.username else f"sip:{host}"
        return write_request(
            self.question.method,
            self.uri,
            [
                ("Via", f"SIP/2.0/{TRANSPORTS[self.account.transport]} {sent_by};branch={self.question.branch};rport"),
                ("Max-Forwards", "70"),
                ("From", f'"phonegoggles" <{us}>;tag={self.question.tag}'),
                ("To", f"<{self.uri}>"),
                ("Call-ID", self.question.call_id),
                ("CSeq", f"{self.question.number} {self.question.method}"),
                *more,
                ("Accept", "application/sdp"),
                ("User-Agent", "phonegoggles"),
            ],
        )


def _were_taken(status: int) -> bool | None:
    if status in REFUSED_CREDENTIALS:
        return False
    return True if status < 500 else None


def _branch() -> str:
    # What begins with this was made as RFC 3261 wants it (section 8.1.1.7): no two of ours are the same.
    return f"z9hG4bK{secrets.token_hex(12)}"
