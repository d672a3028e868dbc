"""Counts the calls that differ from what their events add up to: `python -m benchmarks.check`."""

import json
from itertools import groupby
from typing import Any

import django

django.setup()

from calls.domain.state import fold  # noqa: E402 - after the setup
from calls.models import Call, CallEvent  # noqa: E402
from calls.models.calls import DERIVED_FIELDS, EVENT_COLUMNS, STATE_FIELDS, event_from_row, state_values  # noqa: E402

COLUMNS = (*STATE_FIELDS, *DERIVED_FIELDS)


def main() -> None:
    """Fold every call's events and compare with its row."""
    columns = ("call_id", "call__external_id", *EVENT_COLUMNS[:-1])
    rows = CallEvent.objects.order_by("call_id").values_list(*columns).iterator(chunk_size=10_000)
    calls = Call.objects.order_by("pk").values_list("pk", *COLUMNS).iterator(chunk_size=10_000)
    logs = groupby(rows, key=lambda row: row[0])
    count = differing = 0
    for pk, *stored in calls:
        count += 1
        call, log = next(logs, (None, iter(())))
        events = [event_from_row(external_id, [*row, None]) for _, external_id, *row in log]
        expected: dict[str, Any] = state_values(fold(events))
        if call != pk or any(expected[name] != value for name, value in zip(COLUMNS, stored, strict=True)):
            differing += 1
    differing += sum(1 for _ in logs)
    print(json.dumps({"calls": count, "differing": differing}))


if __name__ == "__main__":
    main()
