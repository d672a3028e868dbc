"""Missed calls to return: who called in vain, and whether anybody has spoken with them since.

A *wait* is a run of missed inbound calls of one caller with no contact between them. A contact is a call,
answered by the one who was called, of either kind: somebody *called back* (outbound), or the caller *got
through* (inbound). A contact ends the wait if it started at the moment of its last missed call or later: the
legs of one call to several telephones often start together, and one answered leg is enough.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from calls.domain.vocabulary import CallStatus

# Callers whose number was withheld (RFC 3323 and the words that gateways use): nobody can call them back.
WITHHELD = frozenset({"", "anonymous", "private", "restricted", "unavailable", "unknown", "withheld"})

# The statuses of a call that ended in vain. One that was transferred before the answer is none of them: it went on.
UNANSWERED = (CallStatus.MISSED, CallStatus.NO_ANSWER, CallStatus.BUSY, CallStatus.CANCELLED, CallStatus.FAILED)


class Returned(StrEnum):
    """How a wait ended."""

    CALLED_BACK = "called_back"
    GOT_THROUGH = "got_through"


@dataclass(frozen=True, slots=True)
class Contact:
    """The call that ended a wait."""

    call: UUID
    at: datetime
    how: Returned
    handled_by: str = ""


@dataclass(slots=True)
class Wait:
    """One caller's wait: its missed calls, from the first to the last, and what was done about it.

    `attempts` counts the outbound calls to the caller that nobody answered; `more` says that both counts
    stop short, because the caller has more calls than are looked at for one line.
    """

    caller: str
    last_call: UUID
    last_missed_at: datetime
    first_missed_at: datetime
    missed: int = 1
    attempts: int = 0
    last_attempt_at: datetime | None = None
    more: bool = False
    contact: Contact | None = None
    client: Any = None

    @property
    def waited(self) -> timedelta | None:
        """From the first missed call to the contact; None as long as there is none."""
        return None if self.contact is None else max(timedelta(), self.contact.at - self.first_missed_at)


@dataclass(frozen=True, slots=True)
class Leg:
    """A call with the caller, as far as it matters here."""

    started_at: datetime
    inbound: bool
    answered: bool


def extend(wait: Wait, legs: Iterable[Leg], *, until: datetime | None) -> None:
    """Complete a wait from the caller's calls, of any order: how often they called and were called, since when.

    `legs` are the caller's finished or answered calls until the wait's contact (`until`), or until now.
    """
    legs = list(legs)
    before = max(
        (leg.started_at for leg in legs if leg.answered and leg.started_at < wait.last_missed_at), default=None
    )
    since = [leg for leg in legs if before is None or leg.started_at > before]
    missed = [leg for leg in since if leg.inbound and not leg.answered and leg.started_at <= wait.last_missed_at]
    wait.missed = max(1, len(missed))
    wait.first_missed_at = min((leg.started_at for leg in missed), default=wait.last_missed_at)
    attempts = [
        leg.started_at
        for leg in since
        if not leg.inbound
        and not leg.answered
        and leg.started_at >= wait.first_missed_at
        and (until is None or leg.started_at <= until)
    ]
    wait.attempts, wait.last_attempt_at = len(attempts), max(attempts, default=None)
