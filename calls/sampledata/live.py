"""Invented calls that happen now: each event is written down at the moment when it happens."""

import heapq
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from heapq import merge
from itertools import count
from random import Random
from time import sleep

from msgspec.structs import replace

from calls.domain.events import Event
from calls.domain.vocabulary import EventType, Source
from calls.models import Call
from calls.operations.record import record
from calls.sampledata import WORDS, Organisation, Sample, seconds_of

# The words of the SIP webhook, which most live calls use: they also say that it rings, and that somebody waits.
SIP_WORDS = {
    EventType.INITIATED: "call_initiated",
    EventType.RINGING: "call_ringing",
    EventType.ANSWERED: "call_answered",
    EventType.HOLD: "call_hold",
    EventType.UNHOLD: "call_unhold",
    EventType.ENDED: "call_ended",
}
SIP_SHARE, HELD_SHARE = 0.6, 0.4
# So many of the calls that are in progress before are brought to an end.
MOST_ENDED = 1_000
# An event that could not be written down at its moment is dated so much before now at most.
HASTE = timedelta(seconds=1)


def live_calls(sample: Sample, *, at: datetime, calls_a_minute: float) -> Iterator[Event]:
    """Yield the events of calls of a sample's people that begin from a moment on, as they happen, without end."""
    people = Organisation(sample)
    # No call is cut short by the end of the sample.
    people.until = datetime.max.replace(tzinfo=UTC)
    waiting: list[tuple[datetime, int, Event]] = []
    order, start = count(), at
    for number in count(1):
        start += seconds_of(people.rng.expovariate(calls_a_minute / 60))
        while waiting and waiting[0][0] <= start:
            yield heapq.heappop(waiting)[2]
        events = people.call(f"{sample.tag}live-{at:%Y%m%d%H%M%S}-{number}", start, answered=None, ended=True)
        for event in _in_sip_words(events, people.rng) if people.rng.random() < SIP_SHARE else events:
            heapq.heappush(waiting, (event.occurred_at, next(order), event))


def _in_sip_words(events: list[Event], rng: Random) -> list[Event]:
    """Return the events of a call as a SIP server tells of them."""
    start, then, *_ = events
    told = [*events, _further(start, EventType.RINGING, then.occurred_at, 1 / 4)]
    talk = events[-1].occurred_at - then.occurred_at
    if len(events) == 3 and talk > timedelta(seconds=40) and rng.random() < HELD_SHARE:
        told += [_further(then, EventType.HOLD, events[-1].occurred_at, 1 / 3)]
        told += [_further(then, EventType.UNHOLD, events[-1].occurred_at, 1 / 2)]
    return [replace(event, source=Source.SIP, word=SIP_WORDS[event.type]) for event in told]


def _further(event: Event, kind: EventType, end: datetime, part: float) -> Event:
    """Return another event of the same call, some part of the way from an event to an end."""
    at = event.occurred_at + (end - event.occurred_at) * part
    return replace(event, event_id=f"{event.call_id}-{kind}", type=kind, occurred_at=at, received_at=at, metadata={})


def endings(*, at: datetime, rng: Random) -> list[Event]:
    """Return how the invented calls that are in progress go on and end, some time within three minutes."""
    going_on = Call.objects.filter(ended_at=None, external_id__startswith="sample-").order_by("started_at", "id")
    events = [event for call in going_on[:MOST_ENDED] for event in _ending(call, at, rng)]
    return sorted(events, key=_when)


def _ending(call: Call, at: datetime, rng: Random) -> list[Event]:
    told = [(EventType.ENDED, at + seconds_of(rng.uniform(20, 180)))]
    if call.answered_at is None and rng.random() < 0.7:
        told.insert(0, (EventType.ANSWERED, at + seconds_of(rng.uniform(2, 15))))
    return [
        Event(
            event_id=f"{call.external_id}-{kind}-{moment:%Y%m%d%H%M%S}",
            call_id=call.external_id,
            type=kind,
            occurred_at=moment,
            received_at=moment,
            source=Source.PROCESS_EVENTS,
            word=WORDS[kind],
            calling_number=call.calling_number,
            called_number=call.called_number,
        )
        for kind, moment in told
    ]


def go_on(sample: Sample, *, calls_a_minute: float) -> Iterator[Counter[EventType]]:
    """Write down each event when it happens, for as long as the caller asks for more; yield all counts so far."""
    begun = datetime.now(UTC)
    new = live_calls(sample, at=begun, calls_a_minute=calls_a_minute)
    counts: Counter[EventType] = Counter()
    for event in merge(endings(at=begun, rng=Random()), new, key=_when):  # noqa: S311 - invented calls are no secret
        while (wait := (event.occurred_at - datetime.now(UTC)).total_seconds()) > 0:
            sleep(min(wait, 1))
        # After a pause, as of a laptop that slept, what is past happens now.
        now = datetime.now(UTC)
        record([replace(event, occurred_at=max(event.occurred_at, now - HASTE), received_at=now)])
        counts[event.type] += 1
        yield counts


def _when(event: Event) -> datetime:
    return event.occurred_at
