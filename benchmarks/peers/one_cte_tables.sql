DROP TABLE IF EXISTS limit_event, limit_call;
CREATE TABLE limit_call (
    id bigint PRIMARY KEY, status text NOT NULL, started_at timestamptz, answered_at timestamptz, ended_at timestamptz,
    duration bigint, calling_number text COLLATE "C" NOT NULL, called_number text COLLATE "C" NOT NULL, version int NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX ON limit_call (calling_number, started_at);
CREATE INDEX ON limit_call (called_number, started_at);
CREATE TABLE limit_event (
    id bigserial PRIMARY KEY, event_id text COLLATE "C" NOT NULL UNIQUE, call_id bigint NOT NULL, type text NOT NULL,
    occurred_at timestamptz NOT NULL, received_at timestamptz NOT NULL,
    calling_number text COLLATE "C" NOT NULL, called_number text COLLATE "C" NOT NULL
);
CREATE INDEX ON limit_event (call_id);
CREATE INDEX ON limit_event (occurred_at);
