"""What the write path must know of erased numbers: a retry is still a duplicate, and nothing brings a number back.

A call whose numbers were all left alone costs nothing here but a look at its state.
"""

import json
import logging
from collections.abc import Collection, Mapping
from datetime import UTC
from uuid import UUID

from calls.domain.erasure import Find, hide, is_erased, may_have_erased_numbers
from calls.domain.events import Event
from calls.domain.state import CallState
from calls.models import CallEvent, ErasedCall, ErasedEvent
from calls.models.fingerprints import fingerprints, number_fingerprints

logger = logging.getLogger(__name__)

ROWS_AT_ONCE = 200


def identities(event: Event) -> list[str]:
    """Return the fingerprints, the newest key's first, of what makes two events the same (`Event.same_fact`)."""
    occurred_at = event.occurred_at.astimezone(UTC).isoformat()
    said = [event.call_id, event.type, occurred_at, event.calling_number, event.called_number]
    return fingerprints(json.dumps(said), of="event")


def repeats_erased(event: Event, stored: Event) -> bool:
    """Say whether an event, which differs from the stored one, says what that said before numbers in it were erased."""
    if not (is_erased(stored.calling_number) or is_erased(stored.called_number)):
        return False
    known = CallEvent.objects.filter(source=event.source, event_id=event.event_id)
    kept = ErasedEvent.objects.filter(pk__in=known.values("pk")).values_list("fingerprint", flat=True)
    return any(fingerprint in identities(event) for fingerprint in kept)


def hide_erased(
    by_call: Mapping[UUID, list[Event]], states: Mapping[UUID, CallState], added: Collection[tuple[str, str]]
) -> None:
    """Put pseudonyms into events, just added to calls that we have locked, for what was erased from these calls.

    The events are changed in `by_call` and in the database, before anybody else can see them.
    """
    suspects = [call for call in by_call if call in states and may_have_erased_numbers(states[call])]
    if not suspects:
        return
    erased: dict[UUID, dict[str, str]] = {}
    rows = ErasedCall.objects.filter(call_id__in=suspects)
    for call, fingerprint, name in rows.values_list("call_id", "receipt__number_hmac", "receipt__pseudonym"):
        erased.setdefault(call, {})[fingerprint] = name
    for call, names in erased.items():
        find = _finder(names)
        for place, event in enumerate(by_call[call]):
            hidden = hide(event, find)
            if hidden is not event:
                by_call[call][place] = hidden
                if (event.source, event.event_id) in added:
                    _store(event, hidden)
            if (event.source, event.event_id) in added:
                _warn_of_a_lost_key(call, hidden, states[call])


def _warn_of_a_lost_key(call: UUID, event: Event, state: CallState) -> None:
    """Say so if an erased number of a call may just have come back, because the key that would tell it is gone."""
    told = ((event.calling_number, state.calling_number), (event.called_number, state.called_number))
    if any(number and is_erased(kept) and not is_erased(number) for number, kept in told):
        logger.error(
            "A late event of call %s, of which a number was erased, has a number that no key tells from it. If a key"
            " was taken out of ENCRYPTION_KEYS or SECRET_KEY_FALLBACKS, put it back, and erase the number again.",
            call,
        )


def _finder(names: Mapping[str, str]) -> Find:
    def find(digits: str) -> str | None:
        return next((names[known] for known in number_fingerprints(f"+{digits}") if known in names), None)

    return find


def _store(event: Event, hidden: Event) -> None:
    row = CallEvent.objects.only("pk").get(source=event.source, event_id=event.event_id)
    change_events({row.pk: hidden})
    if not event.same_fact(hidden):
        ErasedEvent.objects.create(event_id=row.pk, fingerprint=identities(event)[0])


def change_events(hidden: Mapping[int, Event]) -> None:
    """Store what is left of events, given by the keys of their rows, without a number."""
    rows = [
        CallEvent(
            pk=pk,
            calling_number=event.calling_number,
            called_number=event.called_number,
            transfer_to=event.transfer_to,
            metadata=event.metadata,
        )
        for pk, event in hidden.items()
    ]
    CallEvent.objects.bulk_update(rows, ["calling_number", "called_number", "transfer_to"], batch_size=ROWS_AT_ONCE)
    # Where there is none, it stays NULL.
    with_metadata = [row for row in rows if row.metadata]
    CallEvent.objects.bulk_update(with_metadata, ["metadata"], batch_size=ROWS_AT_ONCE)
