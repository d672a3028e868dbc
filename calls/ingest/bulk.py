"""Many events at once from a file: read, judged by the rules of a door, and recorded in large groups.

While one group is with the database the next is read. Groups may also be judged and written side by side, each in
a lane, which is a process of its own; all events of one call take the same lane, in their order.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias
from zlib import crc32

import msgspec
from django.db import connection

from calls.domain.events import Event
from calls.ingest.door import CONFLICT, MAX_EVENT_BYTES, Reader, understand
from calls.ingest.files import BrokenFile, Record
from calls.ingest.processes import Workers
from calls.operations.outcomes import Result
from calls.operations.record import record
from calls.operations.running import connect_apart
from calls.web.bodies import InvalidJSON, parse_json
from calls.web.errors import Invalid

# How many events are written at a time, over all lanes.
STRETCH = 5_000
# How many such stretches may wait for the database while more is read.
AHEAD = 2


_result = attrgetter("result")


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


# Of a record what a lane must know, without its end: its text, its line, and the problem with it.
Raw: TypeAlias = tuple[bytes, int, str]
Judged: TypeAlias = tuple[Raw, Event]


class Written(NamedTuple):
    """What became of the part of a stretch that one lane had."""

    created: int
    duplicates: int
    refused: list[Refusal]


Jobs: TypeAlias = "list[Future[Written]]"


class Lanes:
    """Who judges and writes: `count` processes side by side, each with the calls of its own, or this one alone.

    `read` must be such that it can be pickled; `call_id` is the name of the field that holds the call's id. A dry run
    stores nothing.
    """

    def __init__(self, count: int, *, read: Reader, call_id: str = "call_id", dry_run: bool = False) -> None:
        self.count = count
        self._read, self._dry_run = read, dry_run
        self._stack = ExitStack()
        self._workers: Workers | None = None
        self._pool = self._stack.enter_context(ThreadPoolExecutor(1, "lane"))
        self._stack.callback(self._pool.submit, _hang_up)
        self._finder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
            msgspec.defstruct("Named", [("id", str | int)], rename={"id": call_id})
        )

    def __enter__(self) -> "Lanes":
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def share(self, raws: list[Raw], at: datetime) -> Jobs:
        """Have a stretch judged and written by all lanes; processes are started with the first one."""
        if self.count <= 1:
            return self.take_alone(raws, at)
        if self._workers is None:
            job = partial(_judge_and_write, read=self._read, dry_run=self._dry_run)
            self._workers = self._stack.enter_context(Workers(self.count, job, begin=connect_apart))
        shares: list[list[Raw]] = [[] for _ in range(self.count)]
        for raw in raws:
            shares[self._lane_of(raw[0])].append(raw)
        return [self._workers.submit(number, share, at) for number, share in enumerate(shares) if share]

    def take_alone(self, raws: list[Raw], at: datetime) -> Jobs:
        """Judge a stretch here, and have a thread write it."""
        judged, refused = _judge(raws, self._read, at)
        return [self._pool.submit(_write, judged, refused, dry_run=self._dry_run)]

    def _lane_of(self, text: bytes) -> int:
        try:
            return crc32(str(self._finder.decode(text).id).encode()) % self.count
        except (ValueError, RecursionError):  # msgspec's errors are such
            return 0  # it will be refused, wherever


def _hang_up() -> None:
    connection.close()  # that of the thread that runs this


def take(found: Iterable[Record], lanes: Lanes, *, at: Callable[[], datetime]) -> Iterator[Progress]:
    """Record what a file reports, and yield after each stretch, in their order.

    With one lane the result is that of one delivery after the other. With more, of two events that claim the same id
    for different calls either may be the first. A file of one stretch is not worth more than one.
    """
    rest = iter(found)
    waiting: deque[tuple[Record, Jobs]] = deque()
    broken: BrokenFile | None = None
    begin: Callable[[list[Raw], datetime], Jobs] | None = None
    while not broken:
        part: list[Record] = []
        try:
            part.extend(islice(rest, STRETCH))
        except BrokenFile as error:
            broken = error  # what was read before it counts
        if not part:
            break
        begin = begin or (lanes.share if len(part) == STRETCH else lanes.take_alone)
        waiting.append((part[-1], begin([(one.text, one.line, one.problem) for one in part], at())))
        if len(waiting) > AHEAD:
            yield _settle(*waiting.popleft())
    while waiting:
        yield _settle(*waiting.popleft())
    if broken:
        raise broken


def _settle(last: Record, jobs: Jobs) -> Progress:
    """Wait until a stretch is written, and say so."""
    parts = [job.result() for job in jobs]
    refused = sorted((one for part in parts for one in part.refused), key=lambda refusal: refusal.line)
    created, duplicates = sum(part.created for part in parts), sum(part.duplicates for part in parts)
    return Progress(last.next_line, last.next_byte, created, duplicates, refused)


def _judge_and_write(raws: list[Raw], at: datetime, *, read: Reader, dry_run: bool) -> Written:
    return _write(*_judge(raws, read, at), dry_run=dry_run)


def _judge(raws: Sequence[Raw], read: Reader, at: datetime) -> tuple[list[Judged], list[Refusal]]:
    """Tell the events that records report from the refusals."""
    judged: list[Judged] = []
    refused: list[Refusal] = []
    for raw in raws:
        verdict = _judge_one(raw, read, at)
        if isinstance(verdict, Refusal):
            refused.append(verdict)
        else:
            judged.append((raw, verdict))
    return judged, refused


def _judge_one(raw: Raw, read: Reader, at: datetime) -> Event | Refusal:
    """Return the event that a record reports, or why it is refused, as a batch would be told."""
    text, line, problem = raw
    if problem:
        return Refusal(line, None, "unreadable", {"non_field_errors": [problem]}, text)
    if len(text) > MAX_EVENT_BYTES:
        message = f"An event may have at most {MAX_EVENT_BYTES:,} bytes."
        return Refusal(line, None, "too_large", {"non_field_errors": [message]}, text)
    try:
        return understand(text, read=read, at=at)
    except InvalidJSON as error:
        return Refusal(line, None, "invalid_json", {"non_field_errors": [str(error.detail)]}, text)
    except Invalid as error:
        return Refusal(line, _id_of(text), "invalid", error.errors, text)


def _write(judged: Sequence[Judged], refused: list[Refusal], *, dry_run: bool) -> Written:
    """Record events, and refuse those among them that are conflicts."""
    outcomes = record([event for _, event in judged], dry_run=dry_run)
    counts = Counter(map(_result, outcomes))
    if counts[Result.CONFLICT]:
        refused += [
            Refusal(line, event.event_id, "conflict", {"event_id": [CONFLICT]}, text)
            for ((text, line, _), event), outcome in zip(judged, outcomes, strict=True)
            if outcome.result is Result.CONFLICT
        ]
    return Written(counts[Result.CREATED], counts[Result.DUPLICATE], refused)


def _id_of(text: bytes) -> str | None:
    value: Any = parse_json(text).get("event_id")
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
