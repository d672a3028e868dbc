"""Many events at once from a file: read, judged by the rules of a door, and recorded in large groups.

While one group is with the database the next is read. Groups may also be written side by side, each in a
lane (a thread with a connection of its own); all events of one call take the same lane, in their order.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple
from zlib import crc32

from django.db import connection

from calls.domain.events import Event
from calls.ingest.door import CONFLICT, MAX_EVENT_BYTES, Reader, read_fields
from calls.ingest.files import BrokenFile, Record
from calls.operations.outcomes import Outcome, Result
from calls.operations.record import record
from calls.web.bodies import InvalidJSON, parse_json
from calls.web.errors import Invalid

# How many events are written at a time, over all lanes.
STRETCH = 5_000
# How many such stretches may wait for the database while more is read.
AHEAD = 2


class Refusal(NamedTuple):
    """A record that was refused, and why."""

    line: int
    event_id: str | None
    code: str
    errors: dict[str, list[str]]
    text: bytes


@dataclass(frozen=True, slots=True)
class Progress:
    """A stretch of a file that is committed, whatever follows; the next one begins at this line and byte."""

    line: int
    byte: int
    created: int
    duplicates: int
    refused: list[Refusal]


Judged = tuple[Record, Event]


def take(
    found: Iterable[Record], *, read: Reader, at: Callable[[], datetime], lanes: int = 1, dry_run: bool = False
) -> Iterator[Progress]:
    """Record what a file reports, and yield after each stretch, in their order; a dry run stores nothing.

    With one lane the result is that of one delivery after the other. With more, of two events that claim the same id
    for different calls either may be the first.
    """
    rest = iter(found)
    with ExitStack() as stack:
        pools = [stack.enter_context(ThreadPoolExecutor(1, f"lane-{number}")) for number in range(lanes)]
        for pool in pools:
            stack.callback(pool.submit, _hang_up)
        waiting: deque[Callable[[], Progress]] = deque()
        broken: BrokenFile | None = None
        while not broken:
            part: list[Record] = []
            try:
                part.extend(islice(rest, STRETCH))
            except BrokenFile as error:
                broken = error  # what was read before it counts
            if not part:
                break
            waiting.append(_begin(part, read, at(), pools, dry_run=dry_run))
            if len(waiting) > AHEAD:
                yield waiting.popleft()()
        while waiting:
            yield waiting.popleft()()
        if broken:
            raise broken


def _hang_up() -> None:
    connection.close()  # that of the thread that runs this


def _begin(
    part: Sequence[Record], read: Reader, at: datetime, pools: Sequence[ThreadPoolExecutor], *, dry_run: bool
) -> Callable[[], Progress]:
    """Judge a stretch and send it to the database; what is returned waits for it."""
    judged: list[list[Judged]] = [[] for _ in pools]
    refused: list[Refusal] = []
    for one in part:
        verdict = _judge(one, read, at)
        if isinstance(verdict, Refusal):
            refused.append(verdict)
        else:
            judged[crc32(verdict.call_id.encode()) % len(pools)].append((one, verdict))
    jobs: list[tuple[list[Judged], Future[list[Outcome]]]] = [
        (lane, pool.submit(record, [event for _, event in lane], dry_run=dry_run))
        for lane, pool in zip(judged, pools, strict=True)
    ]

    def settle() -> Progress:
        counts: Counter[Result] = Counter()
        for lane, job in jobs:
            for (one, event), outcome in zip(lane, job.result(), strict=True):
                counts[outcome.result] += 1
                if outcome.result is Result.CONFLICT:
                    refused.append(Refusal(one.line, event.event_id, "conflict", {"event_id": [CONFLICT]}, one.text))
        refused.sort(key=lambda refusal: refusal.line)
        last = part[-1]
        return Progress(last.next_line, last.next_byte, counts[Result.CREATED], counts[Result.DUPLICATE], refused)

    return settle


def _judge(one: Record, read: Reader, at: datetime) -> Event | Refusal:
    """Return the event that a record reports, or why it is refused, as a batch would be told."""
    if one.problem:
        return Refusal(one.line, None, "unreadable", {"non_field_errors": [one.problem]}, one.text)
    if len(one.text) > MAX_EVENT_BYTES:
        message = f"An event may have at most {MAX_EVENT_BYTES:,} bytes."
        return Refusal(one.line, None, "too_large", {"non_field_errors": [message]}, one.text)
    try:
        return read(read_fields(one.text), at=at)
    except InvalidJSON as error:
        return Refusal(one.line, None, "invalid_json", {"non_field_errors": [str(error.detail)]}, one.text)
    except Invalid as error:
        return Refusal(one.line, _id_of(one.text), "invalid", error.errors, one.text)


def _id_of(text: bytes) -> str | None:
    value: Any = parse_json(text).get("event_id")
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
