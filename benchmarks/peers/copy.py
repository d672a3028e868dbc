"""COPY of ready-made events and an upsert of their calls, in tables that are like the product's.

Like them in all: columns, indexes, checks and references; or bare, which is without the references.
"""

import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import psycopg

LIKE = {"event": "calls_callevent", "call": "calls_call"}
NOON = datetime(2024, 4, 1, 12, tzinfo=UTC)
# So many batches are made ready at a time: of a thousand events, about a second's work.
BATCHES_A_TURN = 30
PATIENCE_SECONDS = 120
STEPS = (("initiated", "INITIATE", 0), ("answered", "ANSWER", 5), ("ended", "DISCONNECT", 10))
EVENT_COLUMNS = "call_id, source, event_id, type, word, occurred_at, received_at, calling_number, called_number"
EVENT_TYPES = ("uuid", "text", "text", "text", "text", "timestamptz", "timestamptz", "text", "text")
UPSERT = """
    INSERT INTO {table} (id, external_id, status, direction, call_type, calling_number, called_number, started_at,
        answered_at, ended_at, ended_by, duration, ring_seconds, talk_seconds, hold_seconds, anomalies, odd, marks,
        hold_total, last_event_at, last_event_rank, version, created_at, updated_at)
    SELECT id, external_id, 'ended', 'unknown', 'voice', calling, called, started, answered, ended, 'ended', 10, 5, 5,
        0, 0, 0, 789, '0', ended, 14, 3, now(), now()
    FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[])
        AS new(id, external_id, calling, called, started, answered, ended)
    ORDER BY id
    ON CONFLICT (id) DO UPDATE SET status = EXCLUDED.status, answered_at = EXCLUDED.answered_at,
        ended_at = EXCLUDED.ended_at, version = {table}.version + EXCLUDED.version
"""


def make_tables(url: str) -> None:
    """Make both kinds of tables."""
    with psycopg.connect(url, autocommit=True) as connection:
        for kind in ("copied", "bare"):
            for (name, like), full in zip(LIKE.items(), (100, 80), strict=True):
                connection.execute(f"DROP TABLE IF EXISTS {kind}_{name} CASCADE")
                connection.execute(f"CREATE TABLE {kind}_{name} (LIKE {like} INCLUDING ALL) WITH (fillfactor = {full})")
        references = (
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f' AND conrelid = %s::regclass"
        )
        for name, like in LIKE.items():
            for (told,) in connection.execute(references, [like]).fetchall():
                own = told.replace(f"REFERENCES {LIKE['call']}(", "REFERENCES copied_call(")
                connection.execute(f"ALTER TABLE copied_{name} ADD {own}")


class Turns:
    """Has some processes make their rows, and then copy them, all at the same time."""

    def __init__(self, context: Any, count: int) -> None:
        self._all_here, self._goes_on = context.Barrier(count), context.Value("b")

    def wait(self) -> None:
        """Wait for the others."""
        self._all_here.wait(PATIENCE_SECONDS)

    def another(self, *, wanted: bool | None) -> bool:
        """Say whether another turn begins; one of them knows, and `wanted` is None for the others."""
        if wanted is not None:
            self._goes_on.value = wanted
        self.wait()
        return bool(self._goes_on.value)


# What the processes of a pool share: it can only be handed to them as they are begun.
_turns: Turns


def _begin(turns: Turns) -> None:
    global _turns
    _turns = turns


def events_per_second(
    url: str, *, name: str, seconds: float = 0, events: int = 0, connections: int, size: int, bare: bool = False
) -> float:
    """Return how many events are copied a second, in so many seconds, or of so many events.

    Making the rows is not counted, and nobody copies meanwhile, who would have the machine to themselves.
    """
    kind, context = "bare" if bare else "copied", get_context()
    with ProcessPoolExecutor(connections, context, _begin, (Turns(context, connections),)) as pool:
        jobs = [
            pool.submit(_copy, url, kind, f"{name}-{number}", seconds, events / connections, size, first=number == 0)
            for number in range(connections)
        ]
        return sum(job.result() for job in jobs)


def _rows(name: str, batch: int, size: int) -> tuple[list[Any], list[Any]]:
    events, calls = [], []
    for number in range((size + 2) // 3):
        external_id = f"{name}-{batch}-{number}"
        call = uuid5(NAMESPACE_URL, external_id)
        calling, called = f"+1202555{number % 10000:04}", f"+4930{number % 100000:06}"
        times = [NOON + timedelta(seconds=second) for _, _, second in STEPS]
        calls.append((call, external_id, calling, called, *times))
        for (kind, word, _), at in zip(STEPS, times, strict=True):
            event_id = f"{external_id}-{word}"
            events.append((call, "process_events", event_id, kind, word, at, at, calling, called))
    return events[:size], calls


def _copy(url: str, kind: str, name: str, seconds: float, wanted: float, size: int, *, first: bool) -> float:
    upsert = UPSERT.format(table=f"{kind}_call")
    spent, done, batch = 0.0, 0, 0
    with psycopg.connect(url) as connection:
        cursor = connection.cursor()
        while _turns.another(wanted=(spent < seconds or done < wanted) if first else None):
            prepared = [_rows(name, batch + more, size) for more in range(BATCHES_A_TURN)]
            batch += len(prepared)
            _turns.wait()
            began = time.perf_counter()
            for events, calls in prepared:
                with cursor.copy(f"COPY {kind}_event ({EVENT_COLUMNS}) FROM STDIN (FORMAT BINARY)") as copy:
                    copy.set_types(EVENT_TYPES)
                    for row in events:
                        copy.write_row(row)
                cursor.execute(upsert, [list(column) for column in zip(*calls, strict=True)])
                connection.commit()
                done += len(events)
            spent += time.perf_counter() - began
    return done / spent
