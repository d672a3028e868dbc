"""Fills the product's tables with finished calls of three events, inside the database."""

import psycopg

COUNT = "SELECT count(*) FROM (SELECT 1 FROM calls_callevent LIMIT %s) AS found"
# As the product would have stored them.
CALLS = """
    INSERT INTO calls_call (id, external_id, status, direction, call_type, calling_number, called_number, started_at,
        answered_at, ended_at, ended_by, duration, ring_seconds, talk_seconds, hold_seconds, anomalies, odd, marks,
        hold_total, last_event_at, last_event_rank, version, created_at, updated_at)
    SELECT md5('fill-' || n)::uuid, 'fill-' || n, 'ended', 'unknown', 'voice',
        '+1202' || lpad((n * 7919 %% 1000000)::text, 7, '0'), '+4930' || lpad((n * 104729 %% 1000000)::text, 7, '0'),
        at, at + interval '5 s', at + interval '65 s', 'ended', 65, 5, 60, 0, 0, 0, 789, '0', at + interval '65 s',
        14, 3, at, at + interval '65 s'
    FROM (
        SELECT n, timestamptz '2023-01-01' + n * interval '7 s' AS at FROM generate_series(%s::bigint, %s) AS n
    ) AS new
"""
EVENTS = """
    INSERT INTO calls_callevent (call_id, source, event_id, type, word, occurred_at, received_at, calling_number,
        called_number)
    SELECT md5('fill-' || n)::uuid, 'process_events', 'fill-' || n || '-' || word, type, word, at + late, at + late,
        '+1202' || lpad((n * 7919 %% 1000000)::text, 7, '0'), '+4930' || lpad((n * 104729 %% 1000000)::text, 7, '0')
    FROM (
            SELECT n, timestamptz '2023-01-01' + n * interval '7 s' AS at FROM generate_series(%s::bigint, %s) AS n
        ) AS new,
        (VALUES ('initiated', 'INITIATE', interval '0'), ('answered', 'ANSWER', interval '5 s'),
            ('ended', 'DISCONNECT', interval '65 s')) AS steps(type, word, late)
"""
CHUNK = 100_000


def fill(url: str, events: int) -> None:
    """Make sure that there are so many events, in whole calls; adds what is missing."""
    with psycopg.connect(url, autocommit=True) as connection:
        there = connection.execute(COUNT, [events]).fetchone()
        begin, end = (there[0] if there else 0) // 3, events // 3
        while begin < end:
            upto = min(begin + CHUNK, end)
            with connection.transaction():
                connection.execute(CALLS, [begin + 1, upto])
                connection.execute(EVENTS, [begin + 1, upto])
            begin = upto
        connection.execute("VACUUM ANALYZE calls_call")
        connection.execute("VACUUM ANALYZE calls_callevent")
