-- What PostgreSQL alone can do: one call of three events, each event one statement that also brings the call up to date.
\set call random(1, 9000000000000000)
WITH added AS (
    INSERT INTO limit_event (event_id, call_id, type, occurred_at, received_at, calling_number, called_number)
    VALUES (:call || '-1', :call, 'initiated', '2024-04-01T12:00:00Z', now(), '+12025550123', '+4930123456')
    ON CONFLICT (event_id) DO NOTHING RETURNING call_id, occurred_at, calling_number, called_number
)
INSERT INTO limit_call (id, status, started_at, calling_number, called_number, version)
SELECT call_id, 'initiated', occurred_at, calling_number, called_number, 1 FROM added
ON CONFLICT (id) DO UPDATE SET started_at = LEAST(limit_call.started_at, EXCLUDED.started_at), version = limit_call.version + 1;
WITH added AS (
    INSERT INTO limit_event (event_id, call_id, type, occurred_at, received_at, calling_number, called_number)
    VALUES (:call || '-2', :call, 'answered', '2024-04-01T12:00:05Z', now(), '+12025550123', '+4930123456')
    ON CONFLICT (event_id) DO NOTHING RETURNING call_id, occurred_at, calling_number, called_number
)
INSERT INTO limit_call (id, status, answered_at, calling_number, called_number, version)
SELECT call_id, 'answered', occurred_at, calling_number, called_number, 1 FROM added
ON CONFLICT (id) DO UPDATE SET answered_at = LEAST(limit_call.answered_at, EXCLUDED.answered_at),
    status = 'answered', version = limit_call.version + 1;
WITH added AS (
    INSERT INTO limit_event (event_id, call_id, type, occurred_at, received_at, calling_number, called_number)
    VALUES (:call || '-3', :call, 'ended', '2024-04-01T12:00:30Z', now(), '+12025550123', '+4930123456')
    ON CONFLICT (event_id) DO NOTHING RETURNING call_id, occurred_at, calling_number, called_number
)
INSERT INTO limit_call (id, status, ended_at, calling_number, called_number, version)
SELECT call_id, 'ended', occurred_at, calling_number, called_number, 1 FROM added
ON CONFLICT (id) DO UPDATE SET ended_at = LEAST(limit_call.ended_at, EXCLUDED.ended_at), status = 'ended',
    duration = extract(epoch FROM EXCLUDED.ended_at - limit_call.started_at), version = limit_call.version + 1;
