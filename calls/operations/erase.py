"""Erasing a number: a pseudonym stands wherever it stood, the recordings of its calls are deleted, a receipt is kept.

Calls are taken some at a time, each stretch in one transaction under the locks of its calls, while events go on
coming in. What is done is done: whoever starts again after an interruption goes on from there. Counts and
durations stay, since every call is folded anew from events that differ in nothing but the number.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import OperationalError, transaction
from django.db.models import Q

from calls.domain.erasure import FEWEST_DIGITS, hide, pseudonym, replace_in_text
from calls.domain.events import Event
from calls.domain.numbers import is_own, suggest_e164
from calls.domain.recordings import RecordingStatus
from calls.models import (
    Call,
    CallEvent,
    CallRecording,
    Client,
    ClientNumber,
    ErasedCall,
    ErasedEvent,
    ErasureReceipt,
    SIPConfiguration,
)
from calls.models.calls import EVENT_COLUMNS, event_from_row
from calls.models.fingerprints import fingerprints, number_fingerprints
from calls.operations.annotate import tell_of_changes
from calls.operations.erased import change_events, identities
from calls.operations.rebuild import mend
from calls.operations.recordings import ERASED_WHY, delete_recording
from calls.operations.scrub import holding, places, scrub, stretches
from calls.operations.turns import write_turn

# How many calls are locked at a time.
CALLS_AT_ONCE = 50
# How long after its end a call is still news for live listeners.
RECENT = timedelta(days=1)
# SQLSTATE of a deadlock, after which the same transaction may simply be tried again.
DEADLOCK, ATTEMPTS = "40P01", 5
EVENT_COLUMNS_SEARCHED = ("calling_number", "called_number", "transfer_to", "metadata")


class NotErasable(ValueError):
    """What was given is no number that could be told from other figures."""


@dataclass(slots=True, kw_only=True)
class Erasure:
    """One run: the number, known to nobody else, and what was done so far. A dry run has no receipt."""

    number: str
    at: datetime
    name: str
    dry_run: bool
    receipt: ErasureReceipt | None = None
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    # The calls that a dry run has counted, which a second look must not count again.
    seen: set[UUID] = field(default_factory=set)
    # Of these, the calls whose recordings would be deleted as a whole.
    of_number: set[UUID] = field(default_factory=set)

    def find(self, digits: str) -> str | None:
        """Return the pseudonym if these are the number's digits."""
        return self.name if digits == self.number[1:] else None

    def done(self, place: str = "", after: Any = "") -> None:
        """Keep what was done and, of the look through everything, where to go on."""
        if self.receipt is not None:
            self.receipt.counts = dict(self.counts)
            if place:
                self.receipt.position = {"place": place, "after": str(after)}
            self.receipt.save(update_fields=["counts", "position"])


def read_erasable(text: str) -> str:
    """Return the E.164 number that a text is, also spaced or without its plus; raise NotErasable."""
    bare = re.sub(r"[\s().-]", "", text)
    # "+0987654321" is no E.164 number, but kept like one where it was sent.
    number = bare if re.fullmatch(r"\+[0-9]{1,15}", bare) else suggest_e164(text)
    if number is None:
        raise NotErasable("Must be a number in E.164 form, as in +12025550123.")
    if len(number) <= FEWEST_DIGITS:
        raise NotErasable(f"A number of fewer than {FEWEST_DIGITS} digits cannot be told from other figures.")
    return number


def begin(number: str, *, user: Any, at: datetime, dry_run: bool = False) -> Erasure:
    """Return a run that erases a number: one that was interrupted, else a new one."""
    own = is_own(number, tuple(settings.OWN_NUMBERS))
    known = number_fingerprints(number)
    earlier = ErasureReceipt.objects.filter(number_hmac__in=known).order_by("-pk").first()
    # A number that was erased before keeps its pseudonym, also under another key.
    name = earlier.pseudonym if earlier else pseudonym(fingerprints(number, of="pseudonym")[0], is_own=own)
    erasure = Erasure(number=number, at=at, name=name, dry_run=dry_run)
    if not dry_run:
        receipt = earlier if earlier is not None and earlier.finished_at is None else None
        if receipt is None or receipt.number_hmac != known[0]:
            receipt = ErasureReceipt.objects.create(
                number_hmac=known[0],
                pseudonym=name,
                asked_by=user,
                asked_by_name=user.get_username() if user else "command line",
                began_at=at,
            )
        erasure.receipt = receipt
        erasure.counts.update(receipt.counts)
    return erasure


def run(erasure: Erasure) -> Iterator[str]:
    """Erase, and yield the name of the place after each small step, so that whoever waits can see it or stop."""
    yield from _clients(erasure)
    yield from _calls(erasure)
    yield from _everywhere(erasure)
    if erasure.receipt is not None:
        erasure.receipt.finished_at, erasure.receipt.position = erasure.at, None
        erasure.receipt.counts = dict(erasure.counts)
        erasure.receipt.save(update_fields=["finished_at", "position", "counts"])


def uses_in_settings(number: str) -> list[str]:
    """Return where operators have set the number, which nobody but they can change."""
    found = [f"the SIP configuration {name}" for name in _configurations(number)]
    return [*found, "the setting OWN_NUMBERS"] if number in settings.OWN_NUMBERS else found


def _configurations(number: str) -> Iterator[str]:
    rows = SIPConfiguration.objects.values_list("name", "caller_number", "username", "display_name").order_by("name")
    for row in rows:
        if any(replace_in_text(text, {number[1:]: "x"}.get) != text for text in row):
            yield row[0]


# -- Clients and calls ----------------------------------------------------------------------------


def _clients(erasure: Erasure) -> Iterator[str]:
    """Take the number from its client, whose other data stays; its calls lose their client when folded anew."""
    mine = ClientNumber.objects.filter(number=erasure.number)
    if found := mine.count():
        erasure.counts["client numbers"] += found
        if not erasure.dry_run:
            with write_turn(), transaction.atomic():
                # Whoever sets the client's numbers holds this row.
                list(Client.objects.select_for_update().filter(numbers__number=erasure.number).values_list("pk"))
                mine.delete()
                erasure.done()
    yield "clients"


def _calls(erasure: Erasure) -> Iterator[str]:
    """Take the number from the calls that an index finds, also from those that come meanwhile."""
    digits = erasure.number[1:]
    spellings = [erasure.number, digits, f"00{digits}"]
    calls = Call.objects.filter(Q(calling_number__in=spellings) | Q(called_number__in=spellings)).order_by("pk")
    while True:
        after: UUID | None = None
        changed = 0
        while ids := list(
            (calls.filter(pk__gt=after) if after else calls).values_list("pk", flat=True)[:CALLS_AT_ONCE]
        ):
            changed += _erase_calls(erasure, ids)
            after = ids[-1]
            yield "calls"
        if not changed or erasure.dry_run:
            return


def _erase_calls(erasure: Erasure, ids: Sequence[UUID]) -> int:
    """Take the number from some calls, in one transaction, and return how many of them had it."""
    for tries_left in range(ATTEMPTS - 1, -1, -1):
        counted = dict(erasure.counts)
        try:
            return _erase_calls_once(erasure, ids)
        except OperationalError as error:
            if not tries_left or getattr(error.__cause__, "sqlstate", None) != DEADLOCK:
                raise
            erasure.counts = defaultdict(int, counted)
    raise AssertionError("unreachable")


def _erase_calls_once(erasure: Erasure, ids: Sequence[UUID]) -> int:
    with write_turn(), transaction.atomic():
        calls = Call.objects.filter(pk__in=ids).order_by("pk")
        if not erasure.dry_run:
            calls = calls.select_for_update()
        names = {
            pk: (external_id, ended_at)
            for pk, external_id, ended_at in calls.values_list("pk", "external_id", "ended_at")
        }
        touched, of_number = set(), set()
        changed: dict[int, Event] = {}
        said: list[ErasedEvent] = []
        for call, row_id, event in _events_of({pk: name for pk, (name, _) in names.items() if pk not in erasure.seen}):
            hidden = hide(event, erasure.find)
            if hidden is event:
                continue
            touched.add(call)
            erasure.counts["events"] += 1
            erasure.counts["ids left"] += replace_in_text(event.event_id, erasure.find) != event.event_id
            named = not event.same_fact(hidden)
            if named or hidden.transfer_to != event.transfer_to:
                of_number.add(call)
            changed[row_id] = hidden
            if named:
                said.append(ErasedEvent(event_id=row_id, fingerprint=identities(event)[0]))
        erasure.counts["calls"] += len(of_number)
        erasure.counts["calls that mention it"] += len(touched - of_number)
        erasure.counts["ids left"] += sum(
            replace_in_text(names[call][0], erasure.find) != names[call][0] for call in touched
        )
        erasure.counts["recordings"] += _recordings(erasure, of_number)
        if erasure.dry_run:
            erasure.seen |= touched
            erasure.of_number |= of_number
        elif touched and erasure.receipt is not None:
            receipt = erasure.receipt
            change_events(changed)
            ErasedEvent.objects.bulk_create(said, ignore_conflicts=True)
            ErasedCall.objects.bulk_create(
                [ErasedCall(call_id=call, receipt=receipt) for call in sorted(touched)], ignore_conflicts=True
            )
            mend(sorted(touched), at=erasure.at, dry_run=False)
            ends = {pk: names[pk][1] for pk in sorted(touched)}
            tell_of_changes(
                [pk for pk, end in ends.items() if end is None or end >= erasure.at - RECENT], at=erasure.at
            )
            erasure.done()
    return len(touched)


def _recordings(erasure: Erasure, calls: set[UUID]) -> int:
    """Delete what was said in some calls."""
    found = CallRecording.objects.filter(call__in=calls).exclude(status=RecordingStatus.DELETED).order_by("pk")
    if erasure.dry_run:
        return found.count()
    return sum(delete_recording(recording, why=ERASED_WHY, at=erasure.at) for recording in found)


def _events_of(calls: dict[UUID, str]) -> Iterator[tuple[UUID, int, Event]]:
    rows = CallEvent.objects.filter(call__in=list(calls)).order_by("pk")
    for call, pk, *row in rows.values_list("call_id", "pk", *EVENT_COLUMNS):
        yield call, pk, event_from_row(calls[call], list(row))


# -- Everything else --------------------------------------------------------------------------------


def _everywhere(erasure: Erasure) -> Iterator[str]:
    """Look through all events, for what no index finds, and then through all other tables."""
    at_place, after = _position(erasure)
    todo: list[Any] = [None, *places()]
    names = ["events", *(place.name for place in todo[1:])]
    first = names.index(at_place) if at_place in names else 0
    for name, place in list(zip(names, todo, strict=True))[first:]:
        rows = (place.model if place else CallEvent)._base_manager.all()
        begin_after = after if name == at_place and after else None
        for stretch, last in stretches(rows, after=begin_after):
            if place is None:
                held = holding(stretch, EVENT_COLUMNS_SEARCHED, erasure.number)
                calls = sorted(set(held.values_list("call_id", flat=True)))
                for start in range(0, len(calls), CALLS_AT_ONCE):
                    _erase_calls(erasure, calls[start : start + CALLS_AT_ONCE])
            else:
                if place.model is CallRecording and erasure.of_number:
                    stretch = stretch.exclude(call__in=erasure.of_number)
                erasure.counts[name] += scrub(place, stretch, erasure.number, erasure.find, dry_run=erasure.dry_run)
            erasure.done(name, last)
            yield name


def _position(erasure: Erasure) -> tuple[str, str]:
    position = (erasure.receipt.position if erasure.receipt else None) or {}
    return str(position.get("place", "")), str(position.get("after", ""))
