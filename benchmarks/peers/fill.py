"""Fills the product's tables with as many calls as wanted, inside the database, as the product would have stored them.

What there is of each kind, and what each number has, is the same at every size: of the numbers in calls a tenth
belongs to a few that have about 100,000 calls each, a tenth to some that have about 1,000, and the rest to
many that have 20, half of them made and half received. Each has them spread over the whole time. A table too
small for 100,000 calls has one such number with its share.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from math import gcd

import psycopg
from psycopg import sql

from calls.domain.events import Event
from calls.domain.state import fold
from calls.domain.vocabulary import Direction, EventType, Source

START = datetime(2023, 1, 1, tzinfo=UTC)
EVERY = timedelta(seconds=7)
# Goes up with every change below: what was filled otherwise is filled anew.
VERSION = 1
CHUNK = 100_000
EVENTS_A_CALL = 3  # in the mean, nearly

# What happens in calls, and in how many of a hundred: direction, source, and each event's type, word, second and cause.
Kind = tuple[int, Direction | None, Source, tuple[tuple[str, str, int, str | None], ...]]
INITIATE, ANSWER = ("initiated", "INITIATE", 0, None), ("answered", "ANSWER", 5, None)
BEGUN, RUNG = ("initiated", "call_initiated", 0, None), ("ringing", "call_ringing", 1, None)
PICKED_UP = ("answered", "call_answered", 12, None)
KINDS: tuple[Kind, ...] = (
    (20, None, Source.PROCESS_EVENTS, (INITIATE, ANSWER, ("ended", "DISCONNECT", 65, None))),
    (25, Direction.OUTBOUND, Source.SIP, (BEGUN, PICKED_UP, ("ended", "call_ended", 200, "q850:16"))),
    (20, Direction.INBOUND, Source.SIP, (BEGUN, RUNG, PICKED_UP, ("ended", "call_ended", 100, "q850:16"))),
    (15, Direction.INBOUND, Source.SIP, (BEGUN, RUNG, ("ended", "call_missed", 30, None))),
    (8, Direction.OUTBOUND, Source.SIP, (BEGUN, ("ended", "call_no_answer", 40, "q850:19"))),
    (5, Direction.OUTBOUND, Source.SIP, (BEGUN, ("ended", "call_busy", 3, "q850:17"))),
    (4, Direction.OUTBOUND, Source.SIP, (BEGUN, ("ended", "call_cancelled", 8, "cancelled"))),
    (1, Direction.OUTBOUND, Source.SIP, (BEGUN, ("failed", "call_failed", 2, "q850:38"))),
    (1, Direction.INBOUND, Source.SIP, (BEGUN, PICKED_UP, ("transfer_completed", "call_transferred", 60, None))),
    (1, Direction.INBOUND, Source.SIP, (PICKED_UP, ("ended", "call_ended", 50, "q850:16"))),  # odd: no start
)
GOING_ON: Kind = (0, Direction.INBOUND, Source.SIP, (BEGUN, RUNG))
# So many of the latest calls go on.
LATEST = 50
CODES = ("+49", "+33", "+39", "+34", "+81", "+61", "+55", "+64")
# Every so many-th number with few calls is in Iceland.
RARE = 1_000
CLIENTS, USERS = 2_000, 20


@dataclass(frozen=True, slots=True)
class Numbers:
    """Which numbers there are among so many calls, and how many."""

    slots: int
    heavy_slots: int
    middle_slots: int
    heavy: int
    middle: int
    light: int
    step: int

    def heavy_number(self, place: int) -> str:
        """Return a number with about 100,000 calls."""
        return f"+1202{place % self.heavy:07}"

    def middle_number(self, place: int) -> str:
        """Return a number with about 1,000 calls."""
        return f"+44{place % self.middle:010}"

    def light_number(self, place: int) -> str:
        """Return a number with 20 calls."""
        place %= self.light
        return f"{'+354' if place % RARE == 7 else CODES[place % len(CODES)]}{place:010}"

    def sql(self, slot: str) -> str:
        """Return the SQL for the number in one of the places of all calls, two a call."""
        place = f"(({slot}) * {self.step} % {self.slots})"
        light = f"({place} % {self.light})"
        codes = "".join(f" WHEN {code} THEN '{CODES[code]}'" for code in range(len(CODES)))
        return (
            f"CASE WHEN {place} < {self.heavy_slots} THEN '+1202' || lpad(({place} % {self.heavy})::text, 7, '0')"
            f" WHEN {place} < {self.heavy_slots + self.middle_slots}"
            f" THEN '+44' || lpad(({place} % {self.middle})::text, 10, '0')"
            f" ELSE (CASE WHEN {light} % {RARE} = 7 THEN '+354' ELSE CASE {light} % {len(CODES)}{codes} END END)"
            f" || lpad({light}::text, 10, '0') END"
        )


def numbers_of(calls: int) -> Numbers:
    """Return the numbers among so many calls."""
    slots = 2 * calls
    heavy_slots, middle_slots = slots // 10, slots // 10
    light_slots = slots - heavy_slots - middle_slots
    # Steps of the golden section, without a common divisor, visit every place once and spread each number's calls.
    step = next(step for step in range(round(slots * 0.618), slots + 2) if gcd(step, slots) == 1)
    return Numbers(
        slots,
        heavy_slots,
        middle_slots,
        max(1, heavy_slots // 100_000),
        max(1, middle_slots // 1_000),
        max(1, light_slots // 20),
        step,
    )


@cache
def _kinds() -> tuple[str, str]:
    """Return the SQL of what is known of the calls, and of the events, of each kind: by the product's own rules."""
    calls, events = [], []
    for number, (_, direction, source, steps) in enumerate((*KINDS, GOING_ON)):
        log = [
            Event(
                event_id=f"{number}-{place}",
                call_id=str(number),
                type=EventType(name),
                word=word,
                occurred_at=START + timedelta(seconds=second),
                received_at=START + timedelta(seconds=second),
                source=source,
                calling_number="+12025550123",
                called_number="+12025550124",
                direction=direction if place == 0 else None,
                cause=cause,
            )
            for place, (name, word, second, cause) in enumerate(steps)
        ]
        state = fold(log)
        times = (state.started_at, state.ringing_at, state.answered_at, state.ended_at, state.last_event_at)
        figures = (state.duration, state.ring_seconds, state.talk_seconds, state.hold_seconds)
        bits = (state.anomaly_bits, state.odd, state.marks, state.last_event_rank, state.version)
        words = (state.status, state.direction, state.ended_by, state.cause)
        values = [str(number), *map(_after, times), *(_number(one) for one in (*figures, *bits)), *map(_word, words)]
        calls.append(f"({', '.join(values)})")
        for event in log:
            words = (event.type, event.word, event.source, event.direction, event.cause)
            values = [str(number), _after(event.occurred_at), *map(_word, words)]
            events.append(f"({', '.join(values)})")
    return ", ".join(calls), ", ".join(events)


def _after(at: datetime | None) -> str:
    return "NULL::interval" if at is None else f"interval '{(at - START).total_seconds()} s'"


def _number(value: int | None) -> str:
    return "NULL::bigint" if value is None else str(int(value))


def _word(value: str | None) -> str:
    return "NULL::text" if value is None else f"'{value}'"


def statements(first: int, last: int, *, calls: int, every: timedelta = EVERY) -> tuple[str, str]:
    """Return the SQL that adds some of so many calls, and that which adds their events."""
    numbers = numbers_of(calls)
    shares = [number for number, kind in enumerate(KINDS) for _ in range(kind[0])]
    assert len(shares) == 100
    of_calls, of_events = _kinds()
    # Every tenth call was answered by one of our users.
    agent = f"(SELECT min(id) + n / 10 % {USERS} FROM auth_user WHERE username ~ '^agent-')"
    new = f"""
        SELECT n, timestamptz '{START.isoformat()}' + n * interval '{every.total_seconds()} s' AS began,
            CASE WHEN n > {calls - min(LATEST, calls // 100)} THEN {len(KINDS)}
                ELSE ('{{{",".join(map(str, shares))}}}'::int[])[n * 37 % 100 + 1] END AS kind,
            {numbers.sql("2 * n + n / 13 % 2")} AS calling, {numbers.sql("2 * n + 1 - n / 13 % 2")} AS called
        FROM generate_series({first}::bigint, {last}) AS n
    """
    return (
        f"""
        INSERT INTO calls_call (id, external_id, status, direction, call_type, calling_number, called_number,
            started_at, ringing_at, answered_at, ended_at, ended_by, cause, duration, ring_seconds, talk_seconds,
            hold_seconds, anomalies, odd, marks, hold_total, last_event_at, last_event_rank, version, created_at,
            updated_at, client_id, handled_by_id)
        SELECT md5('fill-' || n)::uuid, 'fill-' || n, status, direction, 'voice', calling, called, began + started,
            began + ringing, began + answered, began + ended, ended_by, cause, duration, ring, talk, hold, anomalies,
            odd, marks, '0', began + latest, rank, version, began, began + latest, client_id,
            CASE WHEN n % 10 = 3 AND answered IS NOT NULL THEN {agent} END
        FROM ({new}) AS new JOIN (VALUES {of_calls}) AS kinds(kind, started, ringing, answered, ended, latest,
            duration, ring, talk, hold, anomalies, odd, marks, rank, version, status, direction, ended_by, cause)
            USING (kind)
            LEFT JOIN calls_clientnumber AS own
                ON own.number = CASE WHEN direction = 'outbound' THEN called ELSE calling END
        ORDER BY n
        """,
        f"""
        INSERT INTO calls_callevent (call_id, source, event_id, type, word, occurred_at, received_at,
            calling_number, called_number, direction, cause, user_id)
        SELECT md5('fill-' || n)::uuid, source, 'fill-' || n || '-' || word, type, word, began + late, began + late,
            calling, called, said, cause, CASE WHEN n % 10 = 3 AND type = 'answered' THEN {agent} END
        FROM ({new}) AS new JOIN (VALUES {of_events}) AS kinds(kind, late, type, word, source, said, cause)
            USING (kind) ORDER BY n, late
        """,
    )


# What stands beside the calls.
PEOPLE = f"""
    INSERT INTO auth_user (username, password, first_name, last_name, email, is_superuser, is_staff, is_active,
        date_joined)
    SELECT 'agent-' || n, '!', '', '', '', false, false, true, '2023-01-01' FROM generate_series(1, {USERS}) AS n
"""
CLIENTS_OF = """
    WITH made AS (
        INSERT INTO calls_client (name, email, company, notes, created_at, updated_at)
        SELECT 'Client ' || n, 'client' || n || '@example.com', '', '', '2023-01-01', '2023-01-01'
        FROM generate_series(1, %s::int) AS n RETURNING id
    )
    INSERT INTO calls_clientnumber (client_id, number)
    SELECT id, (%s::text[])[row_number() OVER (ORDER BY id)] FROM made
"""
RECORDINGS = """
    INSERT INTO calls_callrecording (id, call_id, status, file, file_url, file_path, file_size, duration, format,
        transcript, created_at, updated_at, deleted_why)
    SELECT md5('recording-' || id)::uuid, id, 'completed', '', '', '/recordings/' || external_id || '.wav', 100000,
        duration, 'wav', '', ended_at, ended_at, ''
    FROM calls_call WHERE answered_at IS NOT NULL AND ended_at IS NOT NULL AND get_byte(uuid_send(id), 15) < 3
"""
LOOKS = """
    INSERT INTO calls_accesslogentry (at, user_id, user_name, what, number_hmac)
    SELECT started_at, NULL, 'agent-1', 'history', encode(sha256(calling_number::bytea), 'hex')
    FROM calls_call WHERE get_byte(uuid_send(id), 15) < 8 ORDER BY started_at
"""
REFUSED = """
    INSERT INTO calls_refusedreport (door, media_type, sender, sender_name, status, code, detail, body, size, is_cut,
        fingerprint, kept_bytes, event_id, call_id, times, received_at, last_received_at, state)
    SELECT 'process-events', 'application/json', 'token', 'pbx', 400, 'invalid', 'Invalid: event.', '{}', 2, false,
        md5('refused-' || id), 2, external_id || '-x', external_id, 1, started_at, started_at, 'open'
    FROM calls_call WHERE get_byte(uuid_send(id), 15) = 9 ORDER BY started_at LIMIT 10000
"""


@dataclass(frozen=True, slots=True)
class Filling:
    """How many calls, how far apart they start, and whether their events are there too."""

    calls: int
    every: timedelta = EVERY
    with_events: bool = True

    @property
    def label(self) -> str:
        """What stands at a database that is filled so, and wholly."""
        return f"filled by {self}, version {VERSION}"


def fill(url: str, filling: Filling, tell: Callable[[str], None] = lambda text: None) -> None:
    """Fill the empty tables of a new database; indexes are made last."""
    calls = filling.calls
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET maintenance_work_mem = '512MB'")
        connection.execute("SET synchronous_commit = off")  # of this connection, and only while it fills
        # The rows are whole by construction; looking each reference up would take as long as the rest.
        connection.execute("SET session_replication_role = replica")
        indexes = connection.execute(
            "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
            " WHERE indrelid IN ('calls_call'::regclass, 'calls_callevent'::regclass) AND NOT indisunique"
        ).fetchall()
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")
        numbers = numbers_of(calls)
        clients = max(1, min(CLIENTS, numbers.light // 50))
        # The first client has the number with the most calls.
        owned = [numbers.heavy_number(0), *(numbers.light_number(place) for place in range(1, clients))]
        connection.execute(PEOPLE)
        connection.execute(CLIENTS_OF, [clients, owned])
        for begin in range(0, calls, CHUNK):
            last = min(begin + CHUNK, calls)
            of_calls, of_events = statements(begin + 1, last, calls=calls, every=filling.every)
            connection.execute(of_calls)
            if filling.with_events:
                connection.execute(of_events)
            tell(f"{last:,} of {calls:,} calls")
        for statement in (RECORDINGS, LOOKS, REFUSED):
            connection.execute(statement)
        for name, definition in indexes:
            tell(f"index {name}")
            connection.execute(definition)
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
        label = sql.SQL("COMMENT ON DATABASE {} IS {}")
        connection.execute(label.format(sql.Identifier(connection.info.dbname), sql.Literal(filling.label)))


def is_filled(url: str, filling: Filling) -> bool:
    """Say whether a database was filled so, and wholly."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
        ).fetchone()
    return row == (filling.label,)
