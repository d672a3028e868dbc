"""Telephone systems that report calls, and keep a ledger of every event that was acknowledged.

Calls are made up in waves; their events are repeated, shuffled, partly put into batches, and sent by several
connections at once. Whoever gets no 2xx sends the same again, as a real sender would.
"""

import http.client
import json
import random
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from calls.domain.events import Event
from calls.domain.vocabulary import EventType, Source
from tests.reference import reference

NOON = datetime(2024, 4, 1, 12, tzinfo=UTC)
# Outside words, written here once more: a mistake in the product's tables shall not hide in them.
FIRST_WORDS = {"initiated": "INITIATE", "answered": "ANSWER", "ended": "DISCONNECT"}
SIP_WORDS = {"initiated": "call_initiated", "ringing": "call_ringing", "answered": "call_answered"}
SIP_WORDS |= {"hold": "call_hold", "unhold": "call_unhold", "ended": "call_ended", "failed": "call_failed"}
# A call: who tells of it (p: /process-events/, s: the SIP webhook), what, at which second; a cause after a slash.
STORIES = [
    "p initiated 0, p answered 5, p ended 65",
    "p initiated 0, p ended 20",
    "p initiated 0, p answered 0, p ended 0",
    "p answered 9, p ended 4",
    "s initiated 0, s ringing 1, s answered 4, s hold 10, s unhold 31, s hold 40, s ended 44",
    "s initiated 0, s ringing 2, s ended 9/busy",
    "s initiated 0, s ended 9, s ringing 12, s failed 15",
    "p initiated 0, s ringing 1, s answered 3, p ended 50, s ended 50",
    "p initiated 0, p initiated 7, p answered 8, p answered 9, p ended 70, p ended 80",
]
CALLS_A_WAVE = 24
# How long a sender waits for an answer, and for how long all of them may be left with nothing, in seconds.
ANSWER_SECONDS = 8.0
PATIENCE_SECONDS = 90.0
NOT_ANSWERED = (OSError, http.client.HTTPException, ValueError)


@dataclass(frozen=True)
class Delivery:
    """Events that are sent in one request."""

    path: str
    events: tuple[Event, ...]
    batch: bool

    @property
    def body(self) -> bytes:
        """What is sent."""
        bodies = [body_of(event) for event in self.events]
        return json.dumps(bodies if self.batch else bodies[0]).encode()


def body_of(event: Event) -> dict[str, Any]:
    """Return an event in the words of its source."""
    if event.source == Source.PROCESS_EVENTS:
        word, kind, call, time_, caller, callee = "event", FIRST_WORDS[event.type], "call_id", "created_at", "ing", "ed"
        names = (f"call{caller}_number", f"call{callee}_number")
    else:
        word, kind, call, time_ = "event_type", SIP_WORDS[event.type], "sip_call_id", "timestamp"
        kind = "call_busy" if event.cause == "busy" else kind
        names = ("caller_number", "recipient_number")
    return {
        "event_id": event.event_id,
        call: event.call_id,
        word: kind,
        names[0]: event.calling_number,
        names[1]: event.called_number,
        time_: event.occurred_at.isoformat(),
    }


@dataclass
class Ledger:
    """Everything that was sent, what was acknowledged, and what was wrong about the answers."""

    sent: dict[str, Event] = field(default_factory=dict)
    acked: set[str] = field(default_factory=set)
    created: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    longest: float = 0.0

    def copy(self) -> "Ledger":
        """Return what is known now."""
        return Ledger(dict(self.sent), set(self.acked))

    def answer(self, delivery: Delivery, status: int, body: Any) -> bool:
        """Note an answer; say whether it acknowledges."""
        if status >= 500 or status == 429:
            self.refused[str(status)] += 1
            return False
        size = len(delivery.events)
        if status != 200:
            self.wrong.append(f"{status} {str(body)[:200]}")
        elif delivery.batch and (body["created"] + body["duplicates"] != size or body["rejected"]):
            self.wrong.append(f"batch of {size}: {str(body)[:200]}")
        elif not delivery.batch and body.get("result") == "created":
            self.created[delivery.events[0].event_id] += 1
        self.acked.update(event.event_id for event in delivery.events)
        return True


class Traffic:
    """Senders at work."""

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        writer: str,
        reader: str,
        seed: int = 7,
        senders: int = 8,
        cut: float = 0,
        sizes: Sequence[int] = (1, 1, 1, 2, 7),
    ) -> None:
        self.ledger = Ledger()
        self._addresses, self._writer, self._reader, self._senders = list(addresses), writer, reader, senders
        self._cut = cut  # so often the connection is cut before the answer is read
        self._sizes = sizes  # so many events in a request
        # Only /process-events/ takes batches; a wave has to fill a few of them.
        large = max(sizes) > CALLS_A_WAVE
        self._stories = [story for story in STORIES if "s " not in story] if large else STORIES
        self._calls_a_wave = max(CALLS_A_WAVE, max(sizes))
        self._chance = random.Random(seed)
        self._lock = threading.Condition()
        self._waiting: deque[Delivery] = deque()
        self._wave, self._stopping, self.cuts = 0, False, 0
        self._give_up = float("inf")
        self._threads = [threading.Thread(target=self._send_all, args=(place,)) for place in range(senders)]

    @contextmanager
    def flowing(self) -> Iterator["Traffic"]:
        """Report calls during the body of `with`, and then until all that was begun has been acknowledged."""
        for thread in self._threads:
            thread.start()
        patience = 0.0
        try:
            self.wait_for(20)
            yield self
            patience = PATIENCE_SECONDS
        finally:
            with self._lock:
                self._stopping, self._give_up = True, time.monotonic() + patience
            for thread in self._threads:
                thread.join()
            missing = len(self.ledger.sent) - len(self.ledger.acked)
            if missing:
                self.ledger.wrong.append(f"{missing} events were never acknowledged: {dict(self.ledger.refused)}")

    def wait_for(self, count: int, *, patience: float = PATIENCE_SECONDS) -> None:
        """Wait until so many more events have been acknowledged; raise RuntimeError when that takes too long."""
        with self._lock:
            goal = len(self.ledger.acked) + count
            if not self._lock.wait_for(lambda: len(self.ledger.acked) >= goal, patience):
                raise RuntimeError(f"nothing was acknowledged any more: {dict(self.ledger.refused)}")

    def wait_for_refusals(self, count: int) -> None:
        """Wait until so many tries, from the beginning, were refused or got no answer."""
        with self._lock:
            self._lock.wait_for(lambda: sum(self.ledger.refused.values()) >= count, PATIENCE_SECONDS)

    def last(self, seconds: float) -> None:
        """Let the reports flow for some seconds."""
        time.sleep(seconds)

    # -- What is sent -------------------------------------------------------------------------------

    def _next(self) -> Delivery | None:
        with self._lock:
            if not self._waiting and not self._stopping:
                self._make_wave()
            return self._waiting.popleft() if self._waiting else None

    def _make_wave(self) -> None:
        self._wave += 1
        chance = self._chance
        events: list[Event] = []
        for place in range(self._calls_a_wave):
            begin = NOON + timedelta(seconds=self._wave * 100, milliseconds=chance.randrange(0, 2000))
            # A few calls a number, so that a history is more than one entry.
            caller = f"+1202{(self._wave // 3) % 900 + 100}{place:04}"
            for count, line in enumerate(chance.choice(self._stories).split(", ")):
                who, kind, second = line.split()
                second, _, cause = second.partition("/")
                event = Event(
                    event_id=f"{self._wave}-{place}-{count}",
                    call_id=f"call-{self._wave}-{place}",
                    type=EventType(kind),
                    occurred_at=begin + timedelta(seconds=int(second)),
                    received_at=begin,
                    source=Source.PROCESS_EVENTS if who == "p" else Source.SIP,
                    calling_number=caller,
                    called_number="+442071838750",
                    cause=cause or None,
                )
                events.append(event)
                self.ledger.sent[event.event_id] = event
        copies = [event for event in events for _ in range(chance.choice([1, 1, 2, 3]))]
        chance.shuffle(copies)
        paths = {Source.PROCESS_EVENTS: "/process-events/", Source.SIP: "/api/webhooks/sip/"}
        first = [event for event in copies if event.source == Source.PROCESS_EVENTS]
        second = [event for event in copies if event.source == Source.SIP]
        self._waiting.extend(Delivery(paths[event.source], (event,), False) for event in second)
        while first:
            size = chance.choice(self._sizes)
            group, first = first[:size], first[size:]
            self._waiting.append(Delivery("/process-events/", tuple(group), size > 1))
        chance.shuffle(self._waiting)

    # -- How it is sent -----------------------------------------------------------------------------

    def _send_all(self, place: int) -> None:
        address = urlsplit(self._addresses[place % len(self._addresses)]).netloc
        chance = random.Random(place)
        connection = http.client.HTTPConnection(address, timeout=ANSWER_SECONDS)
        headers = {"Authorization": f"Token {self._writer}", "Content-Type": "application/json"}
        while delivery := self._next():
            begin = time.monotonic()
            while time.monotonic() < self._give_up:
                try:
                    connection.request("POST", delivery.path, delivery.body, headers)
                    if chance.random() < self._cut:
                        cut(connection)
                        self.cuts += 1
                        continue
                    answer = connection.getresponse()
                    status, body = answer.status, json.loads(answer.read())
                except NOT_ANSWERED as error:
                    connection.close()
                    # No number of HTTP's: nothing came.
                    status, body = 599, type(error).__name__
                with self._lock:
                    done = self.ledger.answer(delivery, status, body)
                    if done:
                        self.ledger.longest = max(self.ledger.longest, time.monotonic() - begin)
                    self._lock.notify_all()
                if done:
                    break
                time.sleep(0.1)  # a sender's pause before it tries again
            if chance.random() < 0.1:
                self._look(connection, delivery.events[0])
        connection.close()

    def _look(self, connection: http.client.HTTPConnection, event: Event) -> None:
        """See whether the next GET shows what was acknowledged just now; no answer says nothing."""
        try:
            connection.request(
                "GET", f"/api/call-logs/{event.call_id}/", headers={"Authorization": f"Token {self._reader}"}
            )
            answer = connection.getresponse()
            body = json.loads(answer.read())
        except NOT_ANSWERED:
            connection.close()
            return
        if answer.status >= 500 or event.event_id not in self.ledger.acked:
            return
        if event.event_id not in [each["event_id"] for each in body.get("events", [])]:
            with self._lock:
                self.ledger.wrong.append(f"{event.event_id} was acknowledged, and the next GET did not show it")


def cut(connection: http.client.HTTPConnection) -> None:
    """Cut a connection at once (RST), whatever is under way."""
    if connection.sock is not None:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def history_of(events: list[Event], number: str) -> list[dict[str, Any]]:
    """Return what `/call-history/` must answer for a calling number, worked out from what was sent."""
    by_call: dict[str, list[Event]] = {}
    for event in events:
        by_call.setdefault(event.call_id, []).append(event)
    rows = []
    for log in by_call.values():
        facts = reference(log)
        if facts["ended_at"] and facts["calling_number"] == number:
            completed = facts["answered_at"] is not None
            started = facts["started_at"].isoformat().replace("+00:00", "Z")
            row = {"call_time": started, "counterparty_number": facts["called_number"], "duration": facts["duration"]}
            rows.append(row | {"call_status": f"{'Completed' if completed else 'Missed'} Outbound"})
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))


def check_histories(address: str, ledger: Ledger, reader: str, *, most: int = 30) -> list[str]:
    """Compare the histories of some numbers with the ledger; return what differs."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    by_number: dict[str, list[Event]] = {}
    for event in ledger.sent.values():
        by_number.setdefault(event.calling_number, []).append(event)
    wrong = []
    for number in random.Random(1).sample(sorted(by_number), min(most, len(by_number))):
        connection.request("GET", f"/call-history/{number}/", headers={"Authorization": f"Token {reader}"})
        answer = connection.getresponse()
        told = json.loads(answer.read())
        expected = history_of(by_number[number], number)
        if answer.status != 200 or sorted(told, key=lambda row: json.dumps(row, sort_keys=True)) != expected:
            wrong.append(f"history of {number}: {answer.status} {str(told)[:300]}, expected {str(expected)[:300]}")
    connection.close()
    return wrong
