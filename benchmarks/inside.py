"""Records single events in this process, one after the other: `python -m benchmarks.inside NAME SECONDS`."""

import json
import sys
import time

import django

django.setup()

from django.utils import timezone  # noqa: E402 - after the setup

from calls.ingest.process_events import read_event  # noqa: E402
from calls.operations.record import _record_alone  # noqa: E402

WORDS = ("INITIATE", "ANSWER", "DISCONNECT")


def main(name: str, seconds: float) -> None:
    """Record events for some seconds."""
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        call, step = divmod(count, 3)
        said = {
            "event_id": f"{name}-{count}",
            "call_id": f"{name}-{call}",
            "event": WORDS[step],
            "calling_number": f"+1202555{call % 10000:04}",
            "called_number": "+4930123456",
            "created_at": f"2024-04-01T12:00:{step * 5:02}Z",
        }
        _record_alone([read_event(said, at=timezone.now())])
        count += 1
    print(json.dumps({"rate": count / (time.perf_counter() - began)}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
