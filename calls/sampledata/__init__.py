"""Invented calls: plausible days of an organisation's telephone traffic, as the events that tell of them.

The same `Sample` always gives the same events, ids included. Outside numbers come from the
ranges that each country's regulator keeps free for fiction, so nobody's real number is used.
"""

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import accumulate, count, cycle, islice
from random import Random
from typing import Any

import phonenumbers
from faker import Faker
from msgspec.structs import replace

from calls.domain.events import Event
from calls.domain.numbers import is_e164, is_own
from calls.domain.vocabulary import Anomaly, EventType, Source

# The organisation's numbers, unless others are configured: 100 numbers that the US plan keeps for fiction.
SAMPLE_OWN_NUMBERS = "+120255501"

WORDS = {EventType.INITIATED: "INITIATE", EventType.ANSWERED: "ANSWER", EventType.ENDED: "DISCONNECT"}

US_AREAS = (206, 212, 213, 214, 303, 305, 312, 314, 404, 407, 415, 480, 503, 512, 602, 615, 617, 646, 702, 713, 919)
# Share of the callers, prefixes kept free for fiction, and how many digits follow.
OUTSIDE_RANGES: tuple[tuple[float, tuple[str, ...], int], ...] = (
    (50, tuple(f"+1{area}55501" for area in US_AREAS), 2),
    (4, ("+141655501", "+151455501", "+160455501"), 2),
    (18, tuple(f"+44{area}" for area in (2079460, 1134960, 1174960, 1214960, 1314960, 1414960, 1514960)), 3),
    (14, ("+493023125", "+496990009", "+494066969", "+492214710", "+498999998"), 3),
    (9, ("+3319900", "+3326191", "+3335301", "+3346571", "+3353649"), 4),
    (5, ("+6125550", "+6127010", "+6135550", "+6137010"), 4),
)
MOST_NUMBERS = 20_000

# How busy the hours of a day (UTC) and the days from Monday to Sunday are.
HOUR_WEIGHTS = (0.3, 0.2, 0.2, 0.2, 0.3, 0.6, 2, 8, 34, 72, 80, 70, 44, 58, 74, 68, 56, 30, 11, 5, 3, 2, 1, 0.5)
DAY_WEIGHTS = (1.15, 1.0, 1.0, 0.97, 0.85, 0.14, 0.06)
OFFICE_HOURS = range(8, 18)

INTERNAL_SHARE, INBOUND_SHARE = 0.04, 0.58
UNANSWERED_SHARE, UNANSWERED_AT_NIGHT = 0.14, 0.5
# In seconds: medians of log-normal lengths, and the longest that any becomes.
RING, LONGEST_RING, TALK, LONGEST_TALK = 7, 55, 95, 3 * 3600
# Logarithms of the seconds by which a late event is late: three minutes to eight hours.
LATE = (math.log(180), math.log(8 * 3600))
# The last finished call starts so long before `until`, and is over so long before it.
LAST_START, LAST_END = timedelta(seconds=70), timedelta(seconds=10)
# The oddities that some calls show: all that three words can, but for a repeated answer after the end.
ODDITIES: list[Anomaly] = [odd for odd in Anomaly if odd not in (Anomaly.EVENT_AFTER_END, Anomaly.INFERRED_END)]
FORWARDED = "+12025550199"
MILLISECOND = timedelta(milliseconds=1)


def seconds_of(number: float) -> timedelta:
    """Return a number of seconds, to the millisecond."""
    return timedelta(milliseconds=round(number * 1000))


class NoSuchSample(ValueError):
    """What is asked for cannot be invented; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What to invent: so many `calls` in the `days` before `until`, `ongoing` of them still in progress then."""

    seed: int
    until: datetime
    calls: int = 500
    days: int = 14
    numbers: int = 80
    ongoing: int = 5
    own_numbers: tuple[str, ...] = ()

    @property
    def tag(self) -> str:
        """What the ids of all its calls and events begin with, and those of no other sample."""
        moment = self.until.astimezone(UTC)
        shape = repr((self.seed, moment, self.calls, self.days, self.numbers, self.ongoing, self.own_numbers))
        return f"sample-{sha256(shape.encode()).hexdigest()[:10]}-"

    def batches(self, *, size: int = 5_000) -> Iterator[list[Event]]:
        """Yield all events in the order in which they were received, at most `size` at a time."""
        events = Organisation(self).events()
        while batch := list(islice(events, size)):
            yield batch


def usual_numbers(calls: int) -> int:
    """Return how many outside numbers so many calls would plausibly come from."""
    return min(3_000, max(12, calls // 6))


def own_lines(own_numbers: Sequence[str], *, at_most: int) -> list[str]:
    """Return dialable numbers that begin as configured, or as SAMPLE_OWN_NUMBERS; the main line comes first."""
    lines: dict[str, None] = {}
    for entry in own_numbers:
        lines |= dict.fromkeys(_extensions(entry.strip().rstrip("*")))
        if len(lines) >= at_most:
            break
    return list(lines or _extensions(SAMPLE_OWN_NUMBERS))[:at_most]


def _extensions(prefix: str) -> list[str]:
    """Return what the numbering plan allows a prefix to become, in the usual two digits if possible."""
    for digits in (2, 3, 1, 4, 0):
        numbers = [prefix + str(number).zfill(digits)[:digits] for number in range(min(100, 10**digits))]
        if valid := [number for number in numbers if _is_dialable(number)]:
            return valid
    return []


def _is_dialable(number: str) -> bool:
    try:
        return is_e164(number) and phonenumbers.is_valid_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:  # there is no such country
        return False


class Organisation:
    """The people of one sample, and what they do with their telephones."""

    def __init__(self, sample: Sample) -> None:
        if not (0 <= sample.ongoing <= sample.calls and sample.days >= 1 and 1 <= sample.numbers <= MOST_NUMBERS):
            raise NoSuchSample(f"there can be no such sample: {sample}")
        self.sample, self.tag, self.until = sample, sample.tag, sample.until.astimezone(UTC)
        self.rng = Random(sample.tag)  # noqa: S311 - invented calls are no secret
        # A person takes some thirty calls a day; a bigger sample is a bigger organisation, up to a point.
        self.lines = own_lines(sample.own_numbers, at_most=min(60, max(6, sample.calls // sample.days // 30)))
        self.callers = self._callers()
        # A few call all the time, most hardly ever.
        self.caller_weights = list(accumulate((rank + 4) ** -0.9 for rank in range(len(self.callers))))
        faker = Faker()
        faker.seed_instance(sample.tag)
        # Names are costly to invent; as in a real address book, only frequent callers have one.
        names = [faker.company() if self.rng.random() < 0.3 else faker.name() for _ in self.callers[:300]]
        self.caller_names = [{"caller_name": name} for name in names]
        self.desks = self.lines[1:] or self.lines
        self.agents = {desk: {"agent": faker.name()} for desk in self.desks}

    def _callers(self) -> list[str]:
        rng, ours = self.rng, (*self.sample.own_numbers, *self.lines)
        shares = [share for share, _, _ in OUTSIDE_RANGES]
        found: dict[str, None] = {}
        for _ in range(50 * self.sample.numbers + 1_000):
            _, prefixes, digits = rng.choices(OUTSIDE_RANGES, shares)[0]
            number = f"{rng.choice(prefixes)}{rng.randrange(10**digits):0{digits}}"
            if not is_own(number, ours):
                found[number] = None
            if len(found) == self.sample.numbers:
                break
        if not found:
            raise NoSuchSample("OWN_NUMBERS claims every number that could be invented for the others")
        return list(found)

    def events(self) -> Iterator[Event]:
        """Yield every event in the order of receipt, holding back only what is received later."""
        waiting: list[tuple[datetime, int, Event]] = []
        order = count()
        starts = sorted([*self._starts(), *self._ongoing_starts()], key=lambda start: start[0])
        # None of the last hours' calls, so that what is odd about a call is over, and none is dated in the future.
        eldest = [place for place, (start, _) in enumerate(starts) if start < self.until - timedelta(hours=4)]
        odd, late, repeated = self._specials(eldest)
        for place, (start, ongoing) in enumerate(starts):
            while waiting and waiting[0][0] <= start:
                yield heapq.heappop(waiting)[2]
            answered = True if place in odd else ongoing
            events = self.call(f"{self.tag}{place + 1}", start, answered=answered, ended=ongoing is None)
            if place in odd:
                events = self._odd(events, odd[place])
            elif place in late:
                # The sender could not reach us for minutes or hours.
                which = self.rng.randrange(len(events))
                events[which] = self._delayed(events[which], math.exp(self.rng.uniform(*LATE)))
            elif place in repeated:
                # The sender saw no answer in time, and tried again.
                events.append(self._delayed(self.rng.choice(events), self.rng.uniform(1, 30)))
            for event in events:
                heapq.heappush(waiting, (event.received_at, next(order), event))
        while waiting:
            yield heapq.heappop(waiting)[2]

    def _specials(self, calls: list[int]) -> tuple[dict[int, Anomaly], set[int], set[int]]:
        """Choose which calls are odd, and how, which have a late event, and which a repeated one: a handful each."""
        odd, late, repeated = (min(len(calls) // 10, max(8, len(calls) // part)) for part in (400, 150, 200))
        chosen = self.rng.sample(calls, odd + late + repeated)
        oddities = dict(zip(chosen[:odd], cycle(ODDITIES), strict=False))
        return oddities, set(chosen[odd : odd + late]), set(chosen[odd + late :])

    def _starts(self) -> list[tuple[datetime, bool | None]]:
        """Choose when the finished calls start: mostly in working hours, on some days more than on others."""
        rng, sample = self.rng, self.sample
        since, latest, hour = self.until - timedelta(days=sample.days), self.until - LAST_START, timedelta(hours=1)
        moods = [rng.lognormvariate(0, 0.12) for _ in range(sample.days + 1)]
        slots, weights = list[tuple[datetime, int]](), list[float]()
        clock = since.replace(minute=0, second=0, microsecond=0)
        while clock < latest:
            low = max(clock, since)
            length = (min(clock + hour, latest) - low) // MILLISECOND
            slots.append((low, max(1, length)))
            mood = moods[(clock.date() - since.date()).days]
            weights.append(DAY_WEIGHTS[clock.weekday()] * HOUR_WEIGHTS[clock.hour] * mood * length)
            clock += hour
        chosen = rng.choices(slots, weights, k=sample.calls - sample.ongoing)
        return [(low + rng.randrange(length) * MILLISECOND, None) for low, length in chosen]

    def _ongoing_starts(self) -> list[tuple[datetime, bool | None]]:
        """Choose when the calls in progress started, and whether they are answered by now; every other one is."""
        kinds = [((3, 40), False) if place % 2 else ((45, 900), True) for place in range(self.sample.ongoing)]
        return [(self.until - seconds_of(self.rng.uniform(*age)), answered) for age, answered in kinds]

    def _parties(self) -> tuple[str, str, dict[str, Any]]:
        """Choose who calls whom, and what the exchange says about the caller."""
        rng, desks = self.rng, self.desks
        chance = rng.random()
        if chance < INTERNAL_SHARE and len(desks) > 1:
            caller, callee = rng.sample(desks, 2)
            return caller, callee, self.agents[caller]
        # Many calls come to, or show, the main line; some desks are busier than others.
        line = self.lines[0] if rng.random() < 0.35 else desks[int(len(desks) * rng.random() ** 1.4)]
        rank = rng.choices(range(len(self.callers)), cum_weights=self.caller_weights)[0]
        if chance < INTERNAL_SHARE + INBOUND_SHARE:
            return self.callers[rank], line, self.caller_names[rank] if rank < len(self.caller_names) else {}
        return line, self.callers[rank], {}

    def call(self, call_id: str, start: datetime, *, answered: bool | None, ended: bool) -> list[Event]:
        """Invent the events of one call; chance says whether it is answered, unless `answered` does."""
        rng, latest = self.rng, self.until - LAST_END
        calling, called, said = self._parties()
        ring = min(rng.lognormvariate(math.log(RING), 0.55), LONGEST_RING)
        talk = min(rng.lognormvariate(math.log(TALK), 1.05), LONGEST_TALK)
        if answered is None:
            at_work = start.weekday() < 5 and start.hour in OFFICE_HOURS
            answered = rng.random() >= (UNANSWERED_SHARE if at_work else UNANSWERED_AT_NIGHT)
        if not answered:
            # One in three hangs up at once, or was busy (which these words cannot say).
            ring, talk = (rng.uniform(0.9, 4.5) if rng.random() < 0.35 else rng.uniform(14, LONGEST_RING)), 0
        told: list[tuple[EventType, datetime, dict[str, Any]]] = [(EventType.INITIATED, start, said)]
        if answered:
            desk = next((line for line in (called, calling) if line in self.agents), None) or rng.choice(self.desks)
            agent = self.agents[desk] if rng.random() < 0.5 else {}
            told.append((EventType.ANSWERED, min(start + seconds_of(ring), latest), agent))
        if ended:
            told.append((EventType.ENDED, min(start + seconds_of(ring + talk), latest), {}))
        return [
            Event(
                event_id=f"{call_id}-{place}",
                call_id=call_id,
                type=kind,
                occurred_at=at,
                # Events reach us a moment after they happened.
                received_at=at + (20 + int(230 * rng.random())) * MILLISECOND,
                source=Source.PROCESS_EVENTS,
                word=WORDS[kind],
                calling_number=calling,
                called_number=called,
                metadata=metadata,
            )
            for place, (kind, at, metadata) in enumerate(told, start=1)
        ]

    def _delayed(self, event: Event, seconds: float) -> Event:
        return replace(event, received_at=min(event.received_at + seconds_of(seconds), self.until))

    def _odd(self, events: list[Event], odd: Anomaly) -> list[Event]:
        """Return the events of an answered call, changed so that they show an oddity."""
        start, answer, end = events
        if odd is Anomaly.NO_START:
            return [answer, end]
        if odd is Anomaly.ANSWER_AFTER_END:
            return [start, _dated(answer, end.occurred_at + seconds_of(0.7)), end]
        if odd is Anomaly.END_BEFORE_START:
            return [_dated(start, end.occurred_at + seconds_of(1.2)), answer, end]
        if odd is Anomaly.OTHER_NUMBERS:
            # It was forwarded, and its end names the desk where it really rang.
            desk = next((line for line in self.lines if line not in (end.calling_number, end.called_number)), FORWARDED)
            return [start, answer, replace(end, called_number=desk)]
        if odd is Anomaly.FUTURE_TIME:
            # The sender's clock is ahead of ours.
            return [replace(event, occurred_at=event.occurred_at + timedelta(minutes=40)) for event in events]
        twice = {Anomaly.TWO_STARTS: start, Anomaly.TWO_ANSWERS: answer, Anomaly.TWO_ENDS: end}[odd]
        again = replace(twice, event_id=f"{twice.call_id}-{len(events) + 1}")
        return [*events, _dated(again, twice.occurred_at + seconds_of(0.4))]


def _dated(event: Event, at: datetime) -> Event:
    return replace(event, occurred_at=at, received_at=at + 100 * MILLISECOND)
