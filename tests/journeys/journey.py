"""Plays telephone calls, and holds what the service says of them against what SIPp did."""

import contextlib
import http.client
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from tests.journeys.telephony import Exchange, Load, Telephones
from tests.journeys.truth import PlayedCall, Truth, truth_of

# How far Kamailio's time of a message may be from SIPp's; between them lies a busy machine.
TOLERANCE = timedelta(seconds=2)
# How long delivery may take once the last call is over, in seconds.
DELIVERY_SECONDS = 60


class Service:
    """The service's reading side, over HTTP with an analyst's token."""

    def __init__(self, address: str, key: str) -> None:
        self.host, self.headers = urlsplit(address).netloc, {"Authorization": f"Token {key}"}

    def get(self, path: str, **parameters: str) -> Any:
        """Return what the service says, None for a 404, and raise RuntimeError for any other answer but 200."""
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            connection.request("GET", f"{path}?{urlencode(parameters)}", headers=self.headers)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {body[:500]!r}")
        return json.loads(body)


@dataclass
class Row:
    """What is found of the calls of one kind; `wrong` says in words what is not as it must be."""

    load: Load
    truth: Truth
    in_history: int = 0  # calls with the right label in both numbers' history
    in_logs: int = 0  # calls with the right status among the call logs
    events: int = 0
    lost: int = 0
    duplicated: int = 0
    wrong: list[str] = field(default_factory=list)


def play(loads: Sequence[Load], exchange: Exchange, meanwhile: Callable[[], None] = lambda: None) -> list[Row]:
    """Make all the calls; `meanwhile` is asked again and again until the last one is over."""
    with contextlib.ExitStack() as stack:
        telephones = [Telephones(load, exchange.directory, exchange.address) for load in loads]
        callers = [stack.enter_context(each.run()) for each in telephones]
        while any(caller.poll() is None for caller in callers):
            meanwhile()
            time.sleep(0.02)
        rows = [Row(each.load, truth_of(each)) for each in telephones]
        for row, each, caller in zip(rows, telephones, callers, strict=True):
            if caller.returncode or row.truth.failed or row.truth.succeeded != row.load.calls:
                row.wrong.append(
                    f"SIPp: {row.truth.succeeded} of {row.load.calls} calls went as planned "
                    f"(exit code {caller.returncode}): {each.errors()[:2000]}"
                )
    return rows


def expected_events(rows: Sequence[Row]) -> int:
    """Return how many events all these calls must have left."""
    return sum(len(row.load.kind.events) * row.truth.made for row in rows)


def wait_for_delivery(rows: Sequence[Row], exchange: Exchange, count: Callable[[], int]) -> None:
    """Wait until all events are there and none is on its way, or for as long as that may take at most."""
    deadline = time.monotonic() + DELIVERY_SECONDS
    while time.monotonic() < deadline and (count() < expected_events(rows) or exchange.waiting()):
        time.sleep(0.1)


def compare(rows: Sequence[Row], service: Service, begin: datetime) -> list[str]:
    """Fill in the rows with what the service says since `begin`, and return what is wrong besides."""
    for row in rows:
        _compare_history(row, service, begin)
        _compare_calls(row, service)
    return _compare_statistics(rows, service, begin)


def _compare_history(row: Row, service: Service, begin: datetime) -> None:
    kind = row.load.kind
    found = []
    for number, other, called_out in (
        (kind.calling_number, kind.called_number, True),
        (kind.called_number, kind.calling_number, False),
    ):
        parameters = {"include": "ongoing", "from": begin.isoformat()}
        entries = service.get(f"/call-history/{quote(number)}/", **parameters) or []
        wanted = (other, kind.label(called_out=called_out))
        right = [
            entry
            for entry in entries
            if (entry["counterparty_number"], entry["call_status"]) == wanted
            and (entry["duration"] is not None) == kind.answered
        ]
        found.append(len(right))
        if len(entries) != row.truth.made or len(right) != len(entries):
            seen = Counter((entry["counterparty_number"], entry["call_status"]) for entry in entries)
            row.wrong.append(f"history of {number}: {dict(seen)}, but {row.truth.made} x {wanted} were played")
    row.in_history = min(found)


def _compare_calls(row: Row, service: Service) -> None:
    kind = row.load.kind
    for played in row.truth.calls.values():
        call = service.get(f"/api/call-logs/{quote(played.call_id, safe='')}/")
        if call is None:
            row.lost += len(kind.events)
            row.wrong.append(f"{played.call_id}: the service does not know this call")
            continue
        types = Counter(event["event_type"] for event in call["events"])
        row.events += types.total()
        row.lost += (Counter(kind.events) - types).total()
        row.duplicated += (types - Counter(kind.events)).total()
        said = {
            "status": call["status"],
            "direction": call["direction"],
            "caller_number": call["caller_number"],
            "recipient_number": call["recipient_number"],
            "anomalies": call["anomalies"],
            "events": tuple(event["event_type"] for event in call["events"]),
        }
        must = {
            "status": kind.status,
            "direction": kind.direction,
            "caller_number": kind.calling_number,
            "recipient_number": kind.called_number,
            "anomalies": [],
            "events": kind.events,
        }
        row.in_logs += said["status"] == must["status"]
        for name, value in said.items():
            if value != must[name]:
                row.wrong.append(f"{played.call_id}: {name} is {value}, not {must[name]}")
        row.wrong += _compare_times(call, played, answered=kind.answered)
    if len(row.truth.calls) != row.truth.made:
        row.wrong.append(f"SIPp counts {row.truth.made} calls, and its log has {len(row.truth.calls)}")


def _compare_times(call: dict[str, Any], played: PlayedCall, *, answered: bool) -> list[str]:
    """Hold the times of a call against those of the messages that its caller saw."""
    pairs: list[tuple[str, datetime | None]] = [("started_at", played.started_at)]
    if answered:
        pairs += [("answered_at", played.answered_at), ("ended_at", played.ended_at)]
    wrong = []
    for name, truth in pairs:
        said = datetime.fromisoformat(call[name]) if call[name] else None
        if said is None or truth is None or abs(said - truth) > TOLERANCE:
            wrong.append(f"{played.call_id}: {name} is {said}, and SIPp says {truth}")
    return wrong


def _compare_statistics(rows: Sequence[Row], service: Service, begin: datetime) -> list[str]:
    end = datetime.now(UTC) + timedelta(seconds=1)
    said = service.get("/api/call-logs/statistics/", **{"from": begin.isoformat(), "to": end.isoformat()})
    total = sum(row.truth.made for row in rows)
    answered = sum(row.truth.made for row in rows if row.load.kind.answered)
    must = {
        "total_calls": total,
        "answered_calls": answered,
        "missed_calls": total - answered,
        "inbound_calls": sum(row.truth.made for row in rows if row.load.kind.direction == "inbound"),
        "outbound_calls": sum(row.truth.made for row in rows if row.load.kind.direction == "outbound"),
        "answer_rate": round(100 * answered / total, 1),
    }
    wrong = [f"statistics: {name} is {said[name]}, not {value}" for name, value in must.items() if said[name] != value]
    played = [call for row in rows if row.load.kind.answered for call in row.truth.calls.values()]
    lengths = [(call.ended_at - call.started_at).total_seconds() for call in played if call.ended_at]
    average = sum(lengths) / len(lengths) if lengths else 0
    # Each duration is rounded down to whole seconds, and then their mean to the nearest.
    if not average - 1.6 < said["average_duration_seconds"] < average + 1.1:
        wrong.append(f"statistics: the average is {said['average_duration_seconds']}, and SIPp's is {average:.2f}")
    return wrong
